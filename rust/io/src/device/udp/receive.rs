//! From datagrams to packets.
use netfast_buf::{PacketBatch, PacketPool};
use netfast_time::Instant;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use super::{REFUSED, UdpLink, UdpPayload, ecn};
use crate::device::messages::{ControlMessages, MESSAGES, Message};
use crate::device::outgoing::ETHERNET_HEADER;
use crate::device::{DeviceError, DeviceReason, Received};

/// Ethertypes of what datagrams carry.
pub(super) const IPV4: [u8; 2] = [0x08, 0x00];
pub(super) const IPV6: [u8; 2] = [0x86, 0xdd];

/// Calls of the system of one [`receive`](crate::device::Device::receive): datagrams that are refused do not fill a batch, and
/// whoever sends nothing else would keep everybody else waiting.
const CALLS: u32 = 16;

/// Messages that were received and not yet given on, since the batch was full: from the next one on, and from an offset in
/// that one on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    next: usize,
    count: usize,
    offset: usize,
}

/// What control messages tell of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    /// Bytes of each of the datagrams that were put together.
    segment: Option<usize>,
    ecn: u8,
    overruns: Option<u32>,
    local: Option<IpAddr>,
}

impl UdpLink {
    /// Gives on what has arrived.
    pub(super) fn take(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let (mut is_last, mut calls) = (false, 0..CALLS);
        loop {
            while self.unread.next < self.unread.count {
                if !self.message(now, batch, pool) {
                    return Ok(Received::More);
                }
                (self.unread.next, self.unread.offset) = (self.unread.next + 1, 0);
            }
            if is_last {
                return Ok(Received::Empty);
            }
            if calls.next().is_none() {
                return Ok(Received::More);
            }
            self.counters.system_calls += 1;
            match self.inbox.receive(self.socket.as_fd(), MESSAGES) {
                Ok(count) => {
                    self.unread = Unread { next: 0, count, offset: 0 };
                    is_last = count < MESSAGES;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Empty),
                Err(error) => self.answered(now, error, "recvmmsg")?,
            }
        }
    }

    /// What an error means that the peer's machine or the path caused; others end the device.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        error: io::Error,
        call: &'static str,
    ) -> Result<(), DeviceError> {
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(()),
            Some(libc::EMSGSIZE) => {
                self.read_path();
                Ok(())
            }
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN) => {
                self.refused_until = Some(now + REFUSED);
                Ok(())
            }
            _ => Err(self.failed(call, error)),
        }
    }

    /// Gives on the packets of the next message: false when the batch is full before its end.
    fn message(&mut self, now: Instant, batch: &mut PacketBatch, pool: &mut PacketPool) -> bool {
        let message = self.inbox.message(self.unread.next);
        let told = Told::read(message.control);
        if let Some(overruns) = told.overruns {
            let more = overruns.wrapping_sub(self.overruns);
            self.counters.dropped_in[DeviceReason::Overrun as usize] += u64::from(more);
            self.overruns = overruns;
        }
        let refused = match message.bytes {
            _ if message.truncated => Some(DeviceReason::Truncated),
            _ if !self.config.connected && !is_from(&message, self.config.remote) => {
                Some(DeviceReason::Refused)
            }
            [] => Some(DeviceReason::Malformed),
            _ => None,
        };
        if let Some(reason) = refused {
            self.counters.drop_in(reason);
            return true;
        }
        self.refused_until = None;
        self.local = told.local;
        let outer = self.config.ecn.then_some(told.ecn);
        let each = told.segment.filter(|segment| *segment > 0).unwrap_or(message.bytes.len());
        let is_ip = self.config.payload == UdpPayload::Ip;
        for payload in message.bytes[self.unread.offset..].chunks(each) {
            if batch.is_full() {
                return false;
            }
            match give(payload, is_ip, outer, batch, pool) {
                Ok(packet) => {
                    packet.hot.timestamp = now;
                    self.counters.received += 1;
                    self.counters.received_bytes += u64::from(packet.len());
                }
                Err(reason) => self.counters.drop_in(reason),
            }
            self.unread.offset += payload.len();
        }
        true
    }
}

/// Puts one packet into the batch.
fn give<'a>(
    payload: &[u8],
    is_ip: bool,
    outer: Option<u8>,
    batch: &'a mut PacketBatch,
    pool: &mut PacketPool,
) -> Result<&'a mut netfast_buf::Skb, DeviceReason> {
    let ethertype = match payload.first().map(|first| first >> 4) {
        _ if !is_ip => None,
        Some(4) => Some(IPV4),
        Some(6) => Some(IPV6),
        _ => return Err(DeviceReason::Malformed),
    };
    let at = if is_ip { 0 } else { ETHERNET_HEADER };
    let inside = payload.get(at as usize..).ok_or(DeviceReason::Malformed)?;
    let is_packet = is_ip || matches!([payload[12], payload[13]], IPV4 | IPV6);
    let inner = ecn::of_packet(inside);
    let field = match outer.filter(|_| is_packet) {
        // Its sender would not understand that there is congestion.
        Some(outer) => ecn::after(inner, outer).ok_or(DeviceReason::Refused)?,
        None => inner,
    };
    let packet = batch.push_slice(payload, pool).map_err(|_| DeviceReason::Overrun)?;
    if field != inner {
        let headers = (at + 12).min(packet.len());
        let head = packet.head_mut(headers, pool).map_err(|_| DeviceReason::Malformed)?;
        ecn::write(&mut head[at as usize..], field);
    }
    if let Some(ethertype) = ethertype {
        let header = packet.push(ETHERNET_HEADER, pool).map_err(|_| DeviceReason::Malformed)?;
        header[12..].copy_from_slice(&ethertype);
    }
    Ok(packet)
}

impl Told {
    fn read(control: ControlMessages<'_>) -> Self {
        let mut told = Self::default();
        let word = |data: &[u8]| data.first_chunk().map(|word| u32::from_ne_bytes(*word));
        for (level, kind, data) in control {
            match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => told.segment = word(data).map(|size| size as usize),
                (libc::IPPROTO_IP, libc::IP_TOS) => told.ecn = data.first().map_or(0, |tos| tos & 3),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    told.ecn = word(data).map_or(0, |class| class as u8 & 3);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => told.overruns = word(data),
                // An index, the address that answers have to leave from, and that of the header.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let address = data.get(4..8).and_then(|bytes| bytes.first_chunk::<4>());
                    told.local = address.map(|bytes| Ipv4Addr::from(*bytes).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    told.local = data.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).into());
                }
                _ => {}
            }
        }
        told
    }
}

/// True when the peer sent it: a port, and an address that is somewhere behind it (`sockaddr_in`, `sockaddr_in6`).
fn is_from(message: &Message<'_>, peer: SocketAddr) -> bool {
    let is_port = message.name.get(2..4) == Some(&peer.port().to_be_bytes());
    is_port
        && match peer.ip() {
            IpAddr::V4(address) => message.name.get(4..8) == Some(&address.octets()),
            IpAddr::V6(address) => message.name.get(8..24) == Some(&address.octets()),
        }
}
