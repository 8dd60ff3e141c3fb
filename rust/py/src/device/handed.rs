//! Descriptors that somebody else opened.
use super::spec::DeviceSpec;
use netfast_io::device::tun::Tun;
use netfast_io::device::{Device, DeviceError};
use std::os::fd::BorrowedFd;

/// A TUN or TAP device of a copy of a descriptor; the caller keeps his own, and may close it.
pub fn tun(spec: &DeviceSpec, fd: i32) -> Result<Box<dyn Device>, DeviceError> {
    let told = |source| DeviceError::System { device: format!("descriptor {fd}"), call: "dup", source };
    // SAFETY: it is not -1 (settings refuse what is below 0), and is borrowed for the call of `dup` alone, which says EBADF
    // when nothing is open under this number.
    let copy = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().map_err(told)?;
    let device = Tun::from_fd(copy)?;
    if device.kind().name() != spec.kind().name {
        return Err(DeviceError::Setting {
            device: format!("descriptor {fd}"),
            setting: "fd",
            value: device.kind().name().to_owned(),
            expected: format!("a {} device", spec.kind().name),
        });
    }
    Ok(Box::new(device))
}
