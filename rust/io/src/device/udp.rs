//! A UDP socket as a port: packets as payloads to one peer, a tunnel without a header of its own.
//!
//! Each datagram carries one IP packet ([`UdpPayload::Ip`]) or one Ethernet frame ([`UdpPayload::Ethernet`]). Nothing of it
//! is encrypted or authenticated: whoever can send datagrams with the peer's address can send packets.
//!
//! Datagrams of one size go to the system together and come from it together (`UDP_SEGMENT`, `UDP_GRO`), where it can do
//! that. The ECN field of packets is that of the datagrams around them, as RFC 6040 asks of tunnels (the normal mode of 4.1,
//! the table of 4.2). Datagrams are not fragmented on this machine nor on the way: [`Link::mtu`] is what the path carries, and
//! what is longer is dropped as too long.
mod ecn;
mod open;
mod receive;
mod transmit;

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::{Duration, Instant};
pub(super) use open::switch_on;
use socket2::{SockAddr, Socket};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use super::messages::{Inbox, Outbox};
use super::stack::debug;
use super::{Device, DeviceCounters, DeviceError, Link, Received};

/// How long the link counts as down after the peer's machine said that nobody listens there.
pub const REFUSED: Duration = Duration::from_secs(1);

/// How often the path's MTU is read.
const CHECK: Duration = Duration::from_secs(1);

/// What datagrams carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpPayload {
    /// IP packets of both versions.
    #[default]
    Ip,
    /// Ethernet frames.
    Ethernet,
}

/// What a [`UdpLink`] is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// Where datagrams come to; port 0 takes a free one.
    pub local: SocketAddr,
    /// The peer, of the same family.
    pub remote: SocketAddr,
    /// The network namespace of the socket: one of `ip netns`, or a path. `None` is the caller's.
    pub namespace: Option<String>,
    /// Whether the socket is connected to the peer: then the system passes over what others send, and says when nobody
    /// listens. Without, others' datagrams are dropped here, and answers leave from the address that the peer sent to
    /// (`IP_PKTINFO`), which matters where this machine has several.
    pub connected: bool,
    /// What datagrams carry.
    pub payload: UdpPayload,
    /// The longest IP packet, in bytes: 576 to 65,000; less where the path carries less.
    pub mtu: u32,
    /// Whether datagrams have the ECN field of the packets, and packets get that of the datagrams.
    pub ecn: bool,
    /// Whether datagrams of one size go and come together, where the system can do that.
    pub offloads: bool,
    /// Bytes that may wait each way (`SO_RCVBUF`, `SO_SNDBUF`); the system has a limit.
    pub buffer: u32,
    /// The link address of this end, if it has one: of Ethernet frames only.
    pub mac: Option<[u8; 6]>,
}

impl UdpConfig {
    /// IP packets of at most 1,400 bytes between two addresses, connected, with ECN and offloads.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            namespace: None,
            connected: true,
            payload: UdpPayload::Ip,
            mtu: 1_400,
            ecn: true,
            offloads: true,
            buffer: 4 << 20,
            mac: None,
        }
    }
}

/// A UDP socket as a port.
pub struct UdpLink {
    config: UdpConfig,
    name: String,
    socket: Socket,
    remote: SockAddr,
    /// The address that the peer sends to, where answers have to say so.
    local: Option<IpAddr>,
    /// What the path carries, of IP packets inside.
    path: u32,
    next_check: Instant,
    /// Nobody listened, and until then that is believed.
    refused_until: Option<Instant>,
    /// The system takes datagrams of one size together.
    segments: bool,
    /// The system's count of datagrams that found no room.
    overruns: u32,
    inbox: Box<Inbox>,
    unread: receive::Unread,
    outbox: Outbox,
    counters: DeviceCounters,
}

impl UdpLink {
    /// The address that the socket has: with the port that it was given.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok().and_then(|address| address.as_socket())
    }

    /// The address of this machine that the peer sends to, where it was heard (of sockets that are not connected).
    pub fn heard_at(&self) -> Option<IpAddr> {
        self.local
    }

    fn check(&mut self, now: Instant) {
        if now >= self.next_check {
            self.next_check = now + CHECK;
            self.read_path();
        }
        if self.refused_until.is_some_and(|until| now >= until) {
            self.refused_until = None;
        }
    }

    fn failed(&self, call: &'static str, source: std::io::Error) -> DeviceError {
        DeviceError::System { device: self.name.clone(), call, source }
    }
}

impl Device for UdpLink {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        Link {
            mac: self.config.mac.filter(|_| self.config.payload == UdpPayload::Ethernet),
            mtu: self.config.mtu.min(self.path),
            point_to_point: self.config.payload == UdpPayload::Ip,
            up: self.refused_until.is_none(),
            features: FeatureSet::NONE,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.check(now);
        self.take(now, batch, pool)
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.check(now);
        self.send(now, packets, pool)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.refused_until
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }
}

impl fmt::Debug for UdpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, "UdpLink", f)
    }
}
