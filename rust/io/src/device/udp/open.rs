//! How the socket is opened.
use netfast_time::Instant;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{UdpConfig, UdpLink, UdpPayload};
use crate::device::messages::{Extras, Inbox, MESSAGES, Outbox};
use crate::device::outgoing::{ETHERNET_HEADER, LINK_HEADERS};
use crate::device::{DeviceCounters, DeviceError, namespace};

/// Bytes of IPv4 and UDP headers before a payload, and of IPv6 and UDP.
const HEADERS_4: u32 = 28;
const HEADERS_6: u32 = 48;

/// The longest payload that the system gives on at once.
const LONGEST: usize = 65_536;

/// Bounds of the MTU: what every IPv4 host takes (RFC 1122 3.3.2), and what leaves room for headers around it.
const MTU: std::ops::RangeInclusive<u32> = 576..=65_000;

impl UdpLink {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`DeviceError::Setting`], [`DeviceError::Missing`] when this machine has no such address or no route to the peer,
    /// [`DeviceError::NotPermitted`] for ports below 1,024, [`DeviceError::System`].
    pub fn open(config: UdpConfig) -> Result<Self, DeviceError> {
        let name = format!("udp:{}", config.remote);
        check(&name, &config)?;
        let socket = namespace::inside(&name, config.namespace.as_deref(), || {
            open_socket(&config).map_err(|(call, source)| refused(&name, &config, call, source))
        })?;
        let extras = Extras { control: true, name: !config.connected };
        let slot = if config.offloads { LONGEST } else { (config.mtu + LINK_HEADERS) as usize };
        let mut link = Self {
            name,
            remote: config.remote.into(),
            local: None,
            path: u32::MAX,
            next_check: Instant::ZERO,
            refused_until: None,
            segments: config.offloads,
            overruns: 0,
            inbox: Box::new(Inbox::new(slot, MESSAGES, extras)),
            unread: Default::default(),
            outbox: Outbox::new(),
            counters: DeviceCounters::default(),
            socket,
            config,
        };
        link.read_path();
        Ok(link)
    }

    /// Reads what the path carries, where the system knows that: of a connected socket.
    pub(super) fn read_path(&mut self) {
        let socket = self.socket.as_fd();
        let link = if self.config.payload == UdpPayload::Ethernet { ETHERNET_HEADER } else { 0 };
        let (path, headers) = match self.config.remote {
            SocketAddr::V4(_) => (sockopt::ip_mtu(socket), HEADERS_4),
            SocketAddr::V6(_) => (sockopt::ipv6_mtu(socket), HEADERS_6),
        };
        if let Ok(path) = path {
            self.path = path.saturating_sub(headers + link);
        }
    }
}

fn check(name: &str, config: &UdpConfig) -> Result<(), DeviceError> {
    let setting = |setting, value: String, expected: String| {
        Err(DeviceError::Setting { device: name.to_owned(), setting, value, expected })
    };
    if config.local.is_ipv4() != config.remote.is_ipv4() {
        return setting("local", config.local.to_string(), "an address of the peer's family".to_owned());
    }
    if config.remote.port() == 0 || config.remote.ip().is_unspecified() {
        return setting("remote", config.remote.to_string(), "one address and one port".to_owned());
    }
    if !MTU.contains(&config.mtu) {
        return setting("mtu", config.mtu.to_string(), format!("{} to {} bytes", MTU.start(), MTU.end()));
    }
    Ok(())
}

/// The socket, or what was asked of the system in vain.
fn open_socket(config: &UdpConfig) -> Result<Socket, (&'static str, io::Error)> {
    let kind = Type::DGRAM.cloexec().nonblocking();
    let socket = Socket::new(Domain::for_address(config.local), kind, Some(Protocol::UDP))
        .map_err(|error| ("socket", error))?;
    let fd = socket.as_fd();
    let is_6 = config.local.is_ipv6();
    set_path_discovery(&socket, is_6).map_err(|error| ("setsockopt MTU_DISCOVER", error.into()))?;
    if config.ecn {
        let set =
            if is_6 { sockopt::set_ipv6_recvtclass(fd, true) } else { sockopt::set_ip_recvtos(fd, true) };
        set.map_err(|error| ("setsockopt RECVTOS", error.into()))?;
    }
    if !config.connected {
        let (level, option) = if is_6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        } else {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        };
        switch_on(fd, level, option).map_err(|error| ("setsockopt PKTINFO", error))?;
    }
    // Both are for information and speed; a kernel without them serves as well.
    let _ = switch_on(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
    if config.offloads {
        let _ = switch_on(fd, libc::SOL_UDP, libc::UDP_GRO);
    }
    let size = config.buffer as usize;
    let sizes = socket.set_recv_buffer_size(size).and_then(|()| socket.set_send_buffer_size(size));
    sizes.map_err(|error| ("setsockopt SO_RCVBUF", error))?;
    socket.bind(&SockAddr::from(config.local)).map_err(|error| ("bind", error))?;
    if config.connected {
        socket.connect(&SockAddr::from(config.remote)).map_err(|error| ("connect", error))?;
    }
    Ok(socket)
}

/// Never fragments, and learns what the path carries.
fn set_path_discovery(socket: &Socket, is_6: bool) -> rustix::io::Result<()> {
    if is_6 {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DO)
    } else {
        sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DO)
    }
}

/// Sets an option whose value is an int to 1.
pub(in crate::device) fn switch_on(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<()> {
    let one: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the system reads one int, which is borrowed for the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const one).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn refused(name: &str, config: &UdpConfig, call: &'static str, source: io::Error) -> DeviceError {
    let device = name.to_owned();
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => DeviceError::Setting {
            device,
            setting: "local",
            value: config.local.to_string(),
            expected: "an address that no other socket has, or port 0 for a free one".to_owned(),
        },
        Some(libc::EADDRNOTAVAIL) => DeviceError::Missing {
            device,
            missing: format!("the address {}", config.local.ip()),
            remedy: "give it to an interface first (`ip addr add`), or take 0.0.0.0 or [::]",
        },
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => DeviceError::Missing {
            device,
            missing: format!("a route to {}", config.remote.ip()),
            remedy: "add one (`ip route add`), or open the link unconnected",
        },
        Some(libc::EACCES | libc::EPERM) => DeviceError::NotPermitted {
            device,
            call,
            remedy: "ports below 1024 need CAP_NET_BIND_SERVICE: take another port",
        },
        _ => DeviceError::System { device, call, source },
    }
}
