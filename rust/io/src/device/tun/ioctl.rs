//! The requests of ioctl(2) that TUN needs (linux/if_tun.h, netdevice(7)), each with the one type of its argument.
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `struct ifreq`: a name and a union, which is 24 bytes where pointers have eight, and shorter elsewhere.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ifreq {
    name: [u8; libc::IFNAMSIZ],
    pub value: [u8; 24],
}

const _: () = assert!(size_of::<Ifreq>() >= size_of::<libc::ifreq>());

impl Ifreq {
    /// About the interface of this name, of which [`libc::IFNAMSIZ`] - 1 bytes count.
    pub fn new(name: &str) -> Self {
        let mut request = Self::default();
        let length = name.len().min(libc::IFNAMSIZ - 1);
        request.name[..length].copy_from_slice(&name.as_bytes()[..length]);
        request
    }

    pub fn name(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end]).into_owned()
    }

    /// Its value as an int.
    pub fn int(&self) -> i32 {
        i32::from_ne_bytes([self.value[0], self.value[1], self.value[2], self.value[3]])
    }

    pub fn set_int(&mut self, value: i32) {
        self.value[..4].copy_from_slice(&value.to_ne_bytes());
    }

    /// Its value as flags.
    pub fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.value[0], self.value[1]])
    }

    pub fn set_flags(&mut self, flags: u16) {
        self.value[..2].copy_from_slice(&flags.to_ne_bytes());
    }
}

/// Requests whose argument is an [`Ifreq`].
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    /// Makes or joins an interface.
    SetInterface,
    /// Its name and flags.
    Interface,
    Flags,
    SetFlags,
    Mtu,
    SetMtu,
    SetAddress,
    SetQueueLength,
    Index,
    /// That of an index.
    Name,
}

/// A request about an interface, on a descriptor of TUN or on any socket.
pub(super) fn about(fd: &impl AsFd, request: About, argument: &mut Ifreq) -> io::Result<()> {
    let request = match request {
        About::SetInterface => libc::TUNSETIFF,
        About::Interface => libc::TUNGETIFF,
        About::Flags => libc::SIOCGIFFLAGS as libc::Ioctl,
        About::SetFlags => libc::SIOCSIFFLAGS as libc::Ioctl,
        About::Mtu => libc::SIOCGIFMTU as libc::Ioctl,
        About::SetMtu => libc::SIOCSIFMTU as libc::Ioctl,
        About::SetAddress => libc::SIOCSIFHWADDR as libc::Ioctl,
        About::SetQueueLength => libc::SIOCSIFTXQLEN as libc::Ioctl,
        About::Index => libc::SIOCGIFINDEX as libc::Ioctl,
        About::Name => libc::SIOCGIFNAME as libc::Ioctl,
    };
    // SAFETY: each of these requests reads and writes one `struct ifreq`, which is not longer than `Ifreq` and holds no
    // pointer in what is asked for here; it is borrowed for the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, std::ptr::from_mut(argument)) };
    checked(result)
}

/// Requests whose argument is an int behind a pointer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    HeaderLength,
    SetHeaderLength,
    LittleEndian,
    Carrier,
}

pub(super) fn setting(fd: &impl AsFd, request: Setting, value: &mut i32) -> io::Result<()> {
    let request = match request {
        Setting::HeaderLength => libc::TUNGETVNETHDRSZ,
        Setting::SetHeaderLength => libc::TUNSETVNETHDRSZ,
        Setting::LittleEndian => libc::TUNSETVNETLE,
        Setting::Carrier => libc::TUNSETCARRIER,
    };
    // SAFETY: each of these requests reads or writes one int, which is borrowed for the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, std::ptr::from_mut(value)) };
    checked(result)
}

/// `TUNSETOFFLOAD`: which super-packets may be read.
pub(super) fn set_offloads(fd: &impl AsFd, flags: u32) -> io::Result<()> {
    // SAFETY: the argument is a number.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) };
    checked(result)
}

/// `TUNSETPERSIST`: whether the interface outlives its descriptors.
pub(super) fn set_persistent(fd: &impl AsFd, persistent: bool) -> io::Result<()> {
    // SAFETY: the argument is a number.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETPERSIST, libc::c_ulong::from(persistent)) };
    checked(result)
}

/// `TUNGETDEVNETNS`: the network namespace that the interface is in.
pub(super) fn namespace(fd: &impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: the request has no argument.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNGETDEVNETNS, 0) };
    checked(result)?;
    // SAFETY: where it does not fail the result is a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
