//! What goes through a device, counted by protocol, and the last frames in a line each.
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_time::Instant;
use netfast_wire::dissect::{Frame, dissect, protocol};
use netfast_wire::{Layers, Limits, LinkType, Present};

use super::stack::{Observer, offer};
use super::{Device, DeviceError, Received};

/// The default of frames that a [`Tracer`] keeps.
pub const TRACE_FRAMES: usize = 256;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was received.
    In,
    /// It was sent.
    Out,
}

/// A frame in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSummary {
    /// When it was received, or sent.
    pub time: Instant,
    /// Which way it went.
    pub way: Way,
    /// Its bytes.
    pub length: u32,
    /// Its Ethertype; 0 where it is too short.
    pub ethertype: u16,
    /// Addresses and protocol of its outermost IP packet.
    pub ip: Option<(IpAddr, IpAddr, u8)>,
    /// Ports of that.
    pub ports: Option<(u16, u16)>,
    /// Packets that it stands for; 0 when it stands for itself.
    pub segments: u16,
}

impl FrameSummary {
    fn of(packet: &Skb, time: Instant, way: Way) -> Self {
        let (head, length) = (packet.head(), packet.len());
        let mut layers = Layers::default();
        let frame = Frame { bytes: head, wire_len: length, link: LinkType::ETHERNET };
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        let ip = layers.src_ip().zip(layers.dst_ip()).map(|(src, dst)| (src, dst, layers.protocol));
        let ports = layers.present.has(Present::PORTS).then_some((layers.src_port, layers.dst_port));
        let ethertype = head.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        Self { time, way, length, ethertype, ip, ports, segments: packet.hot.gso_segments }
    }
}

/// As one line: `100.000000000s out 10.0.0.1:80 > 10.0.0.2:40000 tcp 1514 bytes`.
impl fmt::Display for FrameSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.way == Way::In { "in " } else { "out" };
        write!(f, "{} {way} ", self.time)?;
        match (self.ip, self.ports) {
            (Some((source, destination, number)), Some((from, to))) => {
                let (source, destination) = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
                write!(f, "{source} > {destination} {}", Protocol(number))?;
            }
            (Some((source, destination, number)), None) => {
                write!(f, "{source} > {destination} {}", Protocol(number))?;
            }
            (None, _) if self.ethertype == 0x0806 => f.write_str("arp")?,
            (None, _) => write!(f, "ethertype {:#06x}", self.ethertype)?,
        }
        write!(f, " {} bytes", self.length)?;
        if self.segments > 0 {
            write!(f, " of {} segments", self.segments)?;
        }
        Ok(())
    }
}

struct Protocol(u8);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            protocol::TCP => f.write_str("tcp"),
            protocol::UDP => f.write_str("udp"),
            protocol::ICMPV4 => f.write_str("icmp"),
            protocol::ICMPV6 => f.write_str("icmpv6"),
            number => write!(f, "protocol {number}"),
        }
    }
}

/// Frames of one direction by what they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounters {
    /// All frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// IPv4.
    pub ipv4: u64,
    /// IPv6.
    pub ipv6: u64,
    /// Neither.
    pub other: u64,
    /// TCP.
    pub tcp: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP and ICMPv6.
    pub icmp: u64,
    /// Super-packets.
    pub super_packets: u64,
}

impl TraceCounters {
    fn count(&mut self, summary: &FrameSummary) {
        self.frames += 1;
        self.bytes += u64::from(summary.length);
        self.super_packets += u64::from(summary.segments > 0);
        match summary.ip {
            Some((IpAddr::V4(_), ..)) => self.ipv4 += 1,
            Some((IpAddr::V6(_), ..)) => self.ipv6 += 1,
            None => self.other += 1,
        }
        match summary.ip.map(|(.., number)| number) {
            Some(protocol::TCP) => self.tcp += 1,
            Some(protocol::UDP) => self.udp += 1,
            Some(protocol::ICMPV4 | protocol::ICMPV6) => self.icmp += 1,
            _ => {}
        }
    }
}

/// Is told of each frame.
pub type OnFrame = Box<dyn FnMut(&FrameSummary) + Send>;

/// A device whose frames are looked at; it changes nothing.
pub struct Tracer<D> {
    inner: D,
    seen: Seen,
    offered: VecDeque<Skb>,
    summaries: Vec<FrameSummary>,
}

struct Seen {
    keep: usize,
    last: VecDeque<FrameSummary>,
    counters: [TraceCounters; 2],
    on_frame: Option<OnFrame>,
}

impl Seen {
    fn see(&mut self, summary: FrameSummary) {
        self.counters[summary.way as usize].count(&summary);
        if let Some(on_frame) = &mut self.on_frame {
            on_frame(&summary);
        }
        if self.keep == 0 {
            return;
        }
        if self.last.len() >= self.keep {
            self.last.pop_front();
        }
        self.last.push_back(summary);
    }
}

struct Sending<'a> {
    seen: &'a mut Seen,
    summaries: &'a mut Vec<FrameSummary>,
    now: Instant,
}

impl Observer for Sending<'_> {
    fn offered(&mut self, packet: &Skb, _: &mut PacketPool) {
        self.summaries.push(FrameSummary::of(packet, self.now, Way::Out));
    }

    fn taken(&mut self, count: usize) {
        self.summaries.truncate(count);
        self.summaries.drain(..).for_each(|summary| self.seen.see(summary));
    }
}

impl<D: Device> Tracer<D> {
    /// Looks at what goes through a device and keeps the last `keep` frames.
    pub fn new(inner: D, keep: usize) -> Self {
        let seen = Seen { keep, last: VecDeque::new(), counters: Default::default(), on_frame: None };
        Self { inner, seen, offered: VecDeque::new(), summaries: Vec::new() }
    }

    /// Tells each frame to `on_frame`, too: in the loop, so it should be quick.
    #[must_use]
    pub fn with_callback(mut self, on_frame: impl FnMut(&FrameSummary) + Send + 'static) -> Self {
        self.seen.on_frame = Some(Box::new(on_frame));
        self
    }

    /// The last frames, the oldest first.
    pub fn last(&self) -> impl ExactSizeIterator<Item = &FrameSummary> {
        self.seen.last.iter()
    }

    /// What was received, and what was sent.
    pub fn trace_counters(&self) -> [TraceCounters; 2] {
        self.seen.counters
    }

    /// The device below.
    pub fn inner(&self) -> &D {
        &self.inner
    }
}

impl<D: Device> Device for Tracer<D> {
    forward!(self => self.inner; name link descriptor sender reap in_flight is_blocked completions next_timeout counters close);

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        let before = batch.len();
        let found = self.inner.receive(now, batch, pool);
        for packet in &batch.packets()[before..] {
            self.seen.see(FrameSummary::of(packet, packet.hot.timestamp, Way::In));
        }
        found
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        let Self { inner, seen, offered, summaries } = self;
        offer(inner, now, packets, pool, offered, &mut Sending { seen, summaries, now })
    }
}

#[cfg(test)]
mod tests;
