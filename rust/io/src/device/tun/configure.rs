//! The interface as the kernel sees it: what it is now, and the few settings that spare a caller `ip`.
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netfast_time::Instant;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use socket2::{Domain, Socket, Type};

use super::ioctl::{self, About, Ifreq};
use super::{TunOptions, failed};
use crate::device::DeviceError;
use crate::device::namespace::enter;

/// What the kernel says of an interface, and a socket in its namespace to ask again.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// None where the namespace may not be entered: what is known stays as it is.
    socket: Option<OwnedFd>,
    pub mtu: u32,
    pub up: bool,
    /// When it is to be asked again.
    pub due: Instant,
}

impl Control {
    /// An MTU that is believed where nobody can be asked: that of a new interface.
    const MTU: u32 = 1_500;

    /// Of an interface in this thread's namespace.
    pub fn here() -> io::Result<Self> {
        Ok(Self { socket: Some(control_socket()?), ..Self::unknown() })
    }

    /// Of the interface behind a descriptor, wherever it is.
    pub fn of(device: &str, fd: &OwnedFd) -> Self {
        let socket = ioctl::namespace(fd).ok().and_then(|namespace| {
            let there = || control_socket().map_err(|error| failed(device, "socket", error));
            enter(device, &namespace, there).ok()
        });
        Self { socket, ..Self::unknown() }
    }

    fn unknown() -> Self {
        Self { socket: None, mtu: Self::MTU, up: true, due: Instant::ZERO }
    }

    /// Asks at the next occasion.
    pub fn forget(&mut self) {
        self.due = Instant::ZERO;
    }

    /// Asks for name, MTU and state.
    ///
    /// # Errors
    /// [`DeviceError::Gone`].
    pub fn refresh(&mut self, fd: &OwnedFd, name: &mut String) -> Result<(), DeviceError> {
        let mut interface = Ifreq::default();
        if let Err(error) = ioctl::about(fd, About::Interface, &mut interface) {
            self.up = false;
            return Err(failed(name, "ioctl TUNGETIFF", error));
        }
        let now = interface.name();
        if now != *name {
            *name = now;
        }
        if !self.ask(name) && self.socket.is_some() {
            // It was moved to another namespace.
            *self = Self { socket: Self::of(name, fd).socket, ..std::mem::take(self) };
            self.ask(name);
        }
        Ok(())
    }

    fn ask(&mut self, name: &str) -> bool {
        let Some(socket) = &self.socket else { return false };
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
        let Some(socket) = &self.socket else { return Ok(()) };
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
