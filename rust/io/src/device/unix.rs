//! Ethernet frames over Unix sockets: a wire to a virtual machine or to another process that needs no privileges.
//!
//! [`UnixDatagram`] sends each frame as a datagram, as QEMU's `-netdev dgram` does. [`UnixStream`] puts the length before
//! each frame in a stream (4 bytes, big-endian), as QEMU's `-netdev stream` and passt do.
//!
//! Whoever may write to the socket's file may send frames: put it into a directory of your own.
mod datagram;
mod framing;
mod stream;

pub use datagram::{UnixDatagram, UnixDatagramConfig};
pub use framing::FRAME_LIMIT;
pub use stream::{StreamEnd, UnixStream, UnixStreamConfig};

use netfast_time::Duration;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use super::DeviceError;

/// How often a peer that is away is looked for. A path is resolved each time, which takes a microsecond.
const LOOK: Duration = Duration::from_millis(100);

/// Calls of the system of one [`receive`](super::Device::receive): frames that are refused do not fill a batch, and whoever
/// sends nothing else would keep everybody else waiting.
const CALLS: u32 = 16;

/// The longest IP packet that a frame may carry.
const MAX_MTU: u32 = 65_535;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        Ok(Self { device: data.dev(), inode: data.ino() })
    }
}

/// The file of a socket that was bound; it is removed at the end, if it is still the same one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    /// Binds a socket by `bind`. A file that a socket left behind, and that nobody listens at any more, is replaced.
    fn bind<S>(
        device: &str,
        path: &Path,
        is_in_use: impl Fn(&Path) -> bool,
        bind: impl Fn(&Path) -> io::Result<S>,
    ) -> Result<(S, Self), DeviceError> {
        let bound = match bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_in_use(path) => {
                remove_left_behind(path).and_then(|()| bind(path))
            }
            bound => bound,
        };
        let socket = bound.map_err(|source| refused(device, path, "bind", source))?;
        let identity = Identity::of(path).map_err(|source| refused(device, path, "stat", source))?;
        Ok((socket, Self { path: path.to_owned(), identity }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Identity::of(&self.path).is_ok_and(|identity| identity == self.identity) {
            // It may be gone meanwhile; then it is as we would leave it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the file of a socket, but nothing that is another kind of file.
fn remove_left_behind(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.file_type().is_socket() {
        return fs::remove_file(path);
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// True when connecting says that somebody has the socket.
fn answers(connected: io::Result<()>) -> bool {
    match connected {
        Ok(()) => true,
        // Nobody has it open, or it is no socket of this type, or there is none.
        Err(error) => !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
    }
}

/// What the system said about a socket's path.
fn refused(device: &str, path: &Path, call: &'static str, source: io::Error) -> DeviceError {
    let device = device.to_owned();
    let setting = |expected: &str| DeviceError::Setting {
        device: device.clone(),
        setting: "path",
        value: path.display().to_string(),
        expected: expected.to_owned(),
    };
    match source.kind() {
        io::ErrorKind::PermissionDenied => DeviceError::NotPermitted {
            device,
            call,
            remedy: "choose a directory that this user may write to, or have write permission on the peer's socket given",
        },
        io::ErrorKind::AddrInUse => setting("a path that is no file yet and that no other socket listens at"),
        io::ErrorKind::InvalidInput => setting("a path of at most 107 bytes without zeros"),
        io::ErrorKind::NotFound => DeviceError::Missing {
            device,
            missing: path.parent().unwrap_or(path).display().to_string(),
            remedy: "make the directory first",
        },
        _ => DeviceError::System { device, call, source },
    }
}

/// Refuses an MTU that no frame of this kind has.
fn check_mtu(device: &str, mtu: u32) -> Result<(), DeviceError> {
    if (68..=MAX_MTU).contains(&mtu) {
        return Ok(());
    }
    Err(DeviceError::Setting {
        device: device.to_owned(),
        setting: "mtu",
        value: mtu.to_string(),
        expected: format!("68 to {MAX_MTU} bytes"),
    })
}

/// True when the datagram socket at this path is somebody's.
fn datagram_answers(path: &Path) -> bool {
    answers(net::UnixDatagram::unbound().and_then(|probe| {
        probe.set_nonblocking(true)?;
        probe.connect(path)
    }))
}
