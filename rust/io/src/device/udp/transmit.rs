//! From packets to datagrams.
use netfast_buf::{PacketPool, Skb};
use netfast_time::Instant;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::receive::{IPV4, IPV6};
use super::{REFUSED, UdpLink, UdpPayload, ecn};
use crate::device::messages::{ControlWriter, MESSAGES, Outgoing};
use crate::device::outgoing::{self, ETHERNET_HEADER, LINK_HEADERS};
use crate::device::{DeviceError, DeviceReason};

/// Datagrams in one message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const SEGMENTS: usize = 64;

/// Bytes in one message, with headers less than an IP packet holds.
const BYTES: u32 = 65_000;

/// Pieces in one message (`UIO_MAXIOV` of Linux).
const PIECES: usize = 1_024;

/// Packets that are sent as one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    packets: usize,
    /// Bytes of the datagram of the first; only the last may have fewer.
    size: u32,
    ecn: u8,
    bytes: u32,
    pieces: usize,
}

impl Run {
    /// Adds a packet, if it may be in the same message: false when the message ends before it.
    fn add(&mut self, size: u32, ecn: u8, pieces: usize, is_last: bool) -> bool {
        if self.packets == 0 {
            *self = Self { packets: 1, size, ecn, bytes: size, pieces };
            return true;
        }
        let fits = !is_last
            && self.packets < SEGMENTS
            && size <= self.size
            && ecn == self.ecn
            && self.bytes + size <= BYTES
            && self.pieces + pieces <= PIECES;
        if fits {
            self.packets += 1;
            self.bytes += size;
            self.pieces += pieces;
        }
        fits
    }
}

impl UdpLink {
    /// Sends packets from the front.
    pub(super) fn send(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        while !packets.is_empty() {
            let most = MESSAGES * if self.segments { SEGMENTS } else { 1 };
            let longest = self.config.mtu + LINK_HEADERS;
            let count = outgoing::sendable(packets, most, longest, &mut self.counters, pool);
            let count = self.carried(packets, count, pool);
            if count == 0 {
                continue;
            }
            let mut runs = [Run::default(); MESSAGES];
            let used = self.arrange(packets, count, &mut runs);
            match self.call(packets, &runs[..used]) {
                Ok(sent) => {
                    let count = runs[..sent].iter().map(|run| run.packets).sum();
                    outgoing::sent(packets, count, &mut self.counters, pool);
                }
                Err(error) => {
                    if !self.front_failed(now, error, runs[0].packets > 1, packets, pool)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Of the first `count` packets, how many may go before one that the datagrams do not carry; if that is the first, it
    /// is dropped.
    fn carried(&mut self, packets: &mut VecDeque<Skb>, count: usize, pool: &mut PacketPool) -> usize {
        if self.config.payload == UdpPayload::Ethernet {
            return count;
        }
        let is_carried = |packet: &Skb| {
            let head = packet.head();
            match (head.get(12..14), head.get(14).map(|first| first >> 4)) {
                (Some(ethertype), Some(4)) => ethertype == IPV4,
                (Some(ethertype), Some(6)) => ethertype == IPV6,
                _ => false,
            }
        };
        let carried = packets.iter().take(count).take_while(|packet| is_carried(packet)).count();
        if carried == 0 && count > 0 {
            outgoing::drop_front(packets, DeviceReason::Malformed, &mut self.counters, pool);
        }
        carried
    }

    /// Bytes before what the datagram carries.
    fn skipped(&self) -> u32 {
        if self.config.payload == UdpPayload::Ip { ETHERNET_HEADER } else { 0 }
    }

    /// Arranges the first `count` packets in messages; how many messages these are.
    fn arrange(&self, packets: &VecDeque<Skb>, count: usize, runs: &mut [Run; MESSAGES]) -> usize {
        let (skipped, mut used, mut is_ended) = (self.skipped(), 0, !self.segments);
        for packet in packets.iter().take(count) {
            let size = packet.len() - skipped;
            let ecn = if self.config.ecn { field(packet) } else { 0 };
            let pieces = packet.segments().len();
            if used == 0 || !runs[used - 1].add(size, ecn, pieces, is_ended) {
                if used == MESSAGES {
                    break;
                }
                runs[used].add(size, ecn, pieces, false);
                used += 1;
            }
            // One that is shorter is the last of its message.
            is_ended = !self.segments || size < runs[used - 1].size;
        }
        used
    }

    fn call(&mut self, packets: &VecDeque<Skb>, runs: &[Run]) -> io::Result<usize> {
        let skipped = self.skipped() as usize;
        let source = self.local.filter(|_| !self.config.connected);
        let mut call = self.outbox.begin();
        if !self.config.connected {
            call.to(&self.remote);
        }
        let mut packets = packets.iter();
        for run in runs {
            call.message();
            packets.by_ref().take(run.packets).for_each(|packet| payload(&mut call, packet, skipped));
            call.control(control(run, source, self.config.remote.is_ipv6()));
        }
        self.counters.system_calls += 1;
        call.send(self.socket.as_fd())
    }

    /// What the answer to the message at the front means: true when there is more to be tried.
    fn front_failed(
        &mut self,
        now: Instant,
        error: io::Error,
        is_run: bool,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<bool, DeviceError> {
        let reason = match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => {
                self.counters.blocked += 1;
                return Ok(false);
            }
            // Not by this interface, with this transformation, or this kernel: one by one from now on.
            Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP) if is_run => {
                self.segments = false;
                return Ok(true);
            }
            Some(libc::EMSGSIZE) => {
                self.read_path();
                DeviceReason::TooLong
            }
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN) => {
                self.refused_until = Some(now + REFUSED);
                DeviceReason::LinkDown
            }
            Some(libc::EPERM | libc::EINVAL | libc::EACCES) => DeviceReason::Refused,
            Some(libc::EINTR) => return Ok(true),
            _ => return Err(self.failed("sendmmsg", error)),
        };
        outgoing::drop_front(packets, reason, &mut self.counters, pool);
        Ok(true)
    }
}

/// The ECN field of the packet in a frame.
fn field(packet: &Skb) -> u8 {
    let head = packet.head();
    match (head.get(12..14), head.get(ETHERNET_HEADER as usize..)) {
        (Some(ethertype), Some(inside)) if ethertype == IPV4 || ethertype == IPV6 => ecn::of_packet(inside),
        _ => 0,
    }
}

/// Adds what a datagram carries of a frame: all behind the first bytes.
fn payload<'a>(call: &mut Outgoing<'a>, packet: &'a Skb, mut skip: usize) {
    for piece in packet.segments() {
        let skipped = skip.min(piece.len());
        skip -= skipped;
        if skipped < piece.len() {
            call.piece(&piece[skipped..]);
        }
    }
}

/// The control messages of a message.
fn control(run: &Run, source: Option<IpAddr>, is_6: bool) -> ControlWriter {
    let mut control = ControlWriter::new();
    if run.packets > 1 {
        control.add(libc::SOL_UDP, libc::UDP_SEGMENT, &(run.size as u16).to_ne_bytes());
    }
    if run.ecn != 0 {
        let field = libc::c_int::from(run.ecn).to_ne_bytes();
        match is_6 {
            true => control.add(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &field),
            false => control.add(libc::IPPROTO_IP, libc::IP_TOS, &field),
        }
    }
    match source {
        Some(IpAddr::V4(source)) => {
            let mut data = [0; 12];
            data[4..8].copy_from_slice(&source.octets());
            control.add(libc::IPPROTO_IP, libc::IP_PKTINFO, &data);
        }
        Some(IpAddr::V6(source)) => {
            let mut data = [0; 20];
            data[..16].copy_from_slice(&source.octets());
            control.add(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data);
        }
        None => {}
    }
    control
}
