//! The interface as the kernel sees it: what it is now, and the few settings that spare a caller `ip`.
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use netfast_time::Instant;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use socket2::{Domain, Socket, Type};

use super::ioctl::{self, About, Ifreq};
use super::{TunOptions, failed};
use crate::device::DeviceError;
use crate::device::namespace::enter;

/// Bytes of `/proc/net/dev` that are looked at: some thirty interfaces. Where there are more, overruns of those behind are
/// not counted.
const STATISTICS: usize = 4_096;

/// What the kernel says of an interface, and how it is asked again. None of that waits for the lock of all interfaces
/// (RTNL), which others may hold for long.
#[derive(Debug, Default)]
pub(super) struct Control {
    there: There,
    /// The interface's number in its namespace; 0 when it is not known.
    index: i32,
    pub mtu: u32,
    pub up: bool,
    /// When it is to be asked again.
    pub due: Instant,
    /// Packets that the kernel dropped, because nobody had read those before, until it was asked last.
    overruns: u64,
}

/// What speaks of the interfaces of a namespace. Nothing where that may not be entered: what is known stays as it is.
#[derive(Debug, Default)]
struct There {
    socket: Option<OwnedFd>,
    /// `/proc/net/dev`; only of the queue that counts for the interface.
    statistics: Option<File>,
}

impl There {
    /// Those of this thread's namespace.
    fn here(counts: bool) -> io::Result<Self> {
        let statistics = if counts { File::open("/proc/thread-self/net/dev").ok() } else { None };
        Ok(Self { socket: Some(control_socket()?), statistics })
    }

    /// Those of the interface behind a descriptor, wherever it is.
    fn of(device: &str, fd: &OwnedFd, counts: bool) -> Self {
        let there = ioctl::namespace(fd).ok().and_then(|namespace| {
            let there = || Self::here(counts).map_err(|error| failed(device, "socket", error));
            enter(device, &namespace, there).ok()
        });
        there.unwrap_or_default()
    }
}

impl Control {
    /// An MTU that is believed where nobody can be asked: that of a new interface.
    const MTU: u32 = 1_500;

    /// Of an interface in this thread's namespace, whose overruns this queue `counts`.
    pub fn here(counts: bool) -> io::Result<Self> {
        Ok(Self { there: There::here(counts)?, ..Self::unknown() })
    }

    /// Of the interface behind a descriptor, wherever it is.
    pub fn of(device: &str, fd: &OwnedFd) -> Self {
        Self { there: There::of(device, fd, true), ..Self::unknown() }
    }

    fn unknown() -> Self {
        Self { mtu: Self::MTU, up: true, ..Self::default() }
    }

    /// Asks at the next occasion.
    pub fn forget(&mut self) {
        self.due = Instant::ZERO;
    }

    /// Asks for name, MTU and state, and for the first time. What was dropped before is no matter of this queue.
    ///
    /// # Errors
    /// [`DeviceError::Gone`].
    pub fn begin(&mut self, fd: &OwnedFd, name: &mut String) -> Result<(), DeviceError> {
        self.refresh(fd, name).map(drop)
    }

    /// Asks for name, MTU and state; says how many packets the kernel dropped since the last time, because nobody had read
    /// those before.
    ///
    /// # Errors
    /// [`DeviceError::Gone`].
    pub fn refresh(&mut self, fd: &OwnedFd, name: &mut String) -> Result<u64, DeviceError> {
        if !self.ask(name) {
            self.find(fd, name)?;
        }
        let overruns = self.there.statistics.as_ref().and_then(|file| dropped(file, name));
        let overruns = overruns.unwrap_or(self.overruns);
        Ok(overruns.saturating_sub(std::mem::replace(&mut self.overruns, overruns)))
    }

    /// Looks for an interface that is not where it was: deleted, or moved to another namespace.
    fn find(&mut self, fd: &OwnedFd, name: &mut String) -> Result<(), DeviceError> {
        let mut interface = Ifreq::default();
        if let Err(error) = ioctl::about(fd, About::Interface, &mut interface) {
            self.up = false;
            return Err(failed(name, "ioctl TUNGETIFF", error));
        }
        *name = interface.name();
        if self.index != 0 {
            self.there = There::of(name, fd, self.there.statistics.is_some());
        }
        if let Some(socket) = &self.there.socket {
            let mut index = Ifreq::new(name);
            let known = ioctl::about(socket, About::Index, &mut index).is_ok();
            self.index = if known { index.int() } else { 0 };
            self.ask(name);
        }
        Ok(())
    }

    /// Asks where it was found last; false when it is not there.
    fn ask(&mut self, name: &mut String) -> bool {
        let Some(socket) = &self.there.socket else { return false };
        let mut found = Ifreq::default();
        found.set_int(self.index);
        if ioctl::about(socket, About::Name, &mut found).is_err() {
            return false;
        }
        let now = found.name();
        if now != *name {
            *name = now;
        }
        let (mut mtu, mut flags) = (Ifreq::new(name), Ifreq::new(name));
        if ioctl::about(socket, About::Mtu, &mut mtu).is_err()
            || ioctl::about(socket, About::Flags, &mut flags).is_err()
        {
            return false;
        }
        self.mtu = u32::try_from(mtu.int()).unwrap_or(Self::MTU);
        let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as u16;
        self.up = flags.flags() & wanted == wanted;
        true
    }

    /// Sets what the options say, in the interface's namespace.
    pub fn configure(&self, name: &str, options: &TunOptions) -> Result<(), DeviceError> {
        let Some(socket) = &self.there.socket else { return Ok(()) };
        let set = |call, request, argument: &mut Ifreq| {
            ioctl::about(socket, request, argument).map_err(|error| refused(name, call, error))
        };
        if let Some(mac) = options.mac {
            let mut address = Ifreq::new(name);
            address.set_flags(libc::ARPHRD_ETHER);
            address.value[2..8].copy_from_slice(&mac);
            set("ioctl SIOCSIFHWADDR", About::SetAddress, &mut address)?;
        }
        if let Some(mtu) = options.mtu {
            let mut request = Ifreq::new(name);
            request.set_int(i32::try_from(mtu).unwrap_or(i32::MAX));
            set("ioctl SIOCSIFMTU", About::SetMtu, &mut request)?;
        }
        if let Some(length) = options.queue_length {
            let mut request = Ifreq::new(name);
            request.set_int(i32::try_from(length).unwrap_or(i32::MAX));
            set("ioctl SIOCSIFTXQLEN", About::SetQueueLength, &mut request)?;
        }
        if !options.addresses.is_empty() {
            let mut index = Ifreq::new(name);
            set("ioctl SIOCGIFINDEX", About::Index, &mut index)?;
            for &(address, prefix) in &options.addresses {
                add_address(index.int() as u32, address, prefix)
                    .map_err(|error| refused(name, "netlink RTM_NEWADDR", error))?;
            }
        }
        if options.up {
            let mut flags = Ifreq::new(name);
            set("ioctl SIOCGIFFLAGS", About::Flags, &mut flags)?;
            flags.set_flags(flags.flags() | libc::IFF_UP as u16);
            set("ioctl SIOCSIFFLAGS", About::SetFlags, &mut flags)?;
        }
        Ok(())
    }
}

/// What an answer to a setting means.
fn refused(name: &str, call: &'static str, source: io::Error) -> DeviceError {
    match source.raw_os_error() {
        Some(libc::EPERM) => DeviceError::NotPermitted {
            device: name.to_owned(),
            call,
            remedy: "changing an interface needs CAP_NET_ADMIN: let root set MTU, addresses and state, and leave them out",
        },
        _ => failed(name, call, source),
    }
}

/// What an interface dropped of what was to be sent by it, as `/proc/net/dev` says: its twelfth number (netdevice(7),
/// proc_net(5)).
fn dropped(file: &File, name: &str) -> Option<u64> {
    let mut text = [0; STATISTICS];
    let length = file.read_at(&mut text, 0).ok()?;
    // A line that is not all there would tell another number.
    let whole = text[..length].iter().rposition(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(&text[..whole]).ok()?;
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().nth(11)?.parse().ok()
}

/// A socket whose ioctls speak of the interfaces of this thread's namespace.
fn control_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// Adds an address to an interface (rtnetlink(7), `RTM_NEWADDR`). An IPv6 address is used at once, without a search for
/// duplicates: the other end of the link is this program.
fn add_address(index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let mut body = vec![family as u8, prefix, libc::IFA_F_NODAD as u8, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    for attribute in [libc::IFA_LOCAL, libc::IFA_ADDRESS] {
        body.extend_from_slice(&(octets.len() as u16 + 4).to_ne_bytes());
        body.extend_from_slice(&attribute.to_ne_bytes());
        body.extend_from_slice(&octets);
    }
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend_from_slice(&libc::RTM_NEWADDR.to_ne_bytes());
    message.extend_from_slice(&(flags as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&body);
    let mut netlink = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, None)?;
    netlink.write_all(&message)?;
    let mut answer = [0; 256];
    let length = netlink.read(&mut answer)?;
    // nlmsghdr, then the error of NLMSG_ERROR: negative, or 0 for "done".
    let error = answer[..length].get(16..20).and_then(|error| error.first_chunk()).copied();
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
