//! The way of most packets: one lookup, a program, out.
//!
//! Work is done on vectors of 64 packets in phases, so that the memory of all of them is asked for before the first
//! one's is needed: dissect and hash, index, entries, lines; then each packet in order. A packet that the cache cannot take
//! goes through the tables right there, so the order of packets never changes.
use crate::decide::HookVerdict;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, NO_PORT, PortId};
use crate::reason::DropReason;
use crate::tap::TapKind;
use netfast_buf::{PacketBatch, Skb};
use netfast_filter::outcome::RuleId;
use netfast_flow::cache::NONE;
use netfast_flow::{Direction, FlowKey};
use netfast_low::hash::Seed;
use netfast_time::Instant;
use netfast_wire::quick::{Quick, quick_within};

/// Packets whose memory is asked for at once; what they need stays in the first-level cache.
const VECTOR: usize = 64;
/// Entries that the sweep looks at with each vector.
const SWEEP: usize = 16;
/// Entries that it looks at in one call without packets.
const SWEEP_IDLE: usize = 4_096;

/// What the first phases know of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub key: FlowKey,
    pub hash: u64,
    pub ip_len: u32,
    pub candidate: u32,
    pub l3: u8,
    pub l4: u8,
    pub protocol: u8,
    pub hop_limit: u8,
    pub v6: bool,
    pub direction: Direction,
    pub plain: bool,
}

impl Look {
    /// Nothing is known.
    pub const NOTHING: Self = Self {
        key: FlowKey::NONE,
        hash: 0,
        ip_len: 0,
        candidate: NONE,
        l3: 0,
        l4: 0,
        protocol: 0,
        hop_limit: 0,
        v6: false,
        direction: Direction::Up,
        plain: false,
    };

    #[inline(always)]
    fn fill(&mut self, quick: &Quick, seed: Seed) {
        let (source, destination) = ((quick.src, quick.src_port), (quick.dst, quick.dst_port));
        let v6 = quick.ip_version == 6;
        let (key, direction) = FlowKey::in_context(0, v6, quick.protocol, source, destination);
        *self = Self {
            key,
            hash: key.seeded_hash(seed),
            ip_len: quick.ip_len,
            candidate: NONE,
            l3: quick.l3_offset as u8,
            l4: quick.l4_offset as u8,
            protocol: quick.protocol,
            hop_limit: quick.hop_limit,
            v6,
            direction,
            plain: true,
        };
    }
}

/// What a port says to each of its packets.
#[derive(Clone, Copy)]
pub(crate) struct Ingress {
    pub port: PortId,
    pub mac: Mac,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It leaves by a port, on a wire.
    Out { port: PortId, wire: PortId },
    /// It is for the node.
    Deliver,
    /// It ends here.
    Drop(DropReason, Option<RuleId>),
    /// The tables decide.
    Tables,
    /// Both ways decide.
    Verify,
}

/// Packets of a batch, one after the other, that leave by the same port: from `start` on.
struct Run {
    start: usize,
    /// [`NO_PORT`] where there is none yet.
    port: PortId,
    wire: PortId,
    bytes: u64,
}

impl Run {
    fn new(start: usize) -> Self {
        Self { start, port: NO_PORT, wire: NO_PORT, bytes: 0 }
    }
}

/// Which packets of a batch begin flows, and what the hook said of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookVerdicts<'a> {
    /// A verdict for each packet of the batch; shorter lists say nothing of the rest.
    pub by_packet: &'a [Option<HookVerdict>],
}

impl Node {
    /// Takes packets that came in by a port, in order, with their Ethernet headers; the batch is empty then.
    ///
    /// `now` is when they came. Time that goes back counts as no time passing.
    pub fn push(&mut self, now: Instant, port: PortId, packets: &mut PacketBatch, out: &mut Outputs) {
        self.push_with(now, port, packets, HookVerdicts::default(), out);
    }

    /// As [`Node::push`], with what the hook for new flows said of the packets.
    pub fn push_with(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut PacketBatch,
        verdicts: HookVerdicts<'_>,
        out: &mut Outputs,
    ) {
        let now = self.clock(now);
        out.reserve_ports(self.ports.len());
        let ingress = match self.port(port) {
            Some(port_of) => Ingress { port, mac: port_of.config.mac },
            None => {
                for packet in packets.drain() {
                    self.counters.packets_in += 1;
                    self.drop_packet(now, port, packet, DropReason::UnknownPort, None);
                }
                return;
            }
        };
        if self.taps.any() {
            self.tap_arrivals(now, port, packets);
        }
        let count = packets.len();
        let mut run = Run::new(0);
        let mut looks = std::mem::take(&mut self.looks);
        looks.resize(VECTOR, Look::NOTHING);
        let slice = packets.packets_mut();
        let mut start = 0;
        while start < count {
            // Vectors end at the same packets, so that sweeps come there, however packets are batched.
            let end = (start + VECTOR - self.phase).min(count);
            let bytes = self.look(&ingress.mac, &slice[start..end], &mut looks[..end - start]);
            self.count_arrivals(port, end - start, bytes);
            let seed = self.cache.seed();
            for (at, look) in (start..end).zip(&mut looks) {
                if look.plain && self.cache.seed() != seed {
                    look.hash = look.key.seeded_hash(self.cache.seed());
                    look.candidate = NONE;
                }
                let packet = &mut slice[at];
                let fate = if self.verify.is_some() {
                    Fate::Verify
                } else {
                    self.by_cache(now, &ingress, look, packet)
                };
                if let Fate::Out { port, wire } = fate {
                    let length = u64::from(packet.len());
                    if port != run.port {
                        self.end_run(&run, &mut slice[run.start..at], out);
                        run = Run { start: at, port, wire, bytes: 0 };
                    }
                    run.bytes += length;
                    continue;
                }
                self.end_run(&run, &mut slice[run.start..at], out);
                run = Run::new(at + 1);
                let packet = std::mem::take(&mut slice[at]);
                let hook = verdicts.by_packet.get(at).copied().flatten();
                self.end_one(now, &ingress, look, packet, fate, hook, out);
            }
            self.phase = (self.phase + end - start) % VECTOR;
            if self.phase == 0 {
                self.sweep(now, SWEEP);
            }
            start = end;
        }
        self.looks = looks;
        if run.start == 0 && run.port != NO_PORT {
            // All of the batch leaves by one port.
            self.count_run(&run, packets.packets_mut());
            out.send_batch(run.wire, packets);
        } else {
            self.end_run(&run, &mut packets.packets_mut()[run.start..], out);
            packets.clear();
        }
    }

    /// A packet that does not leave by the cache's word.
    #[expect(clippy::too_many_arguments, reason = "what is known of the packet at that point")]
    fn end_one(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: Skb,
        fate: Fate,
        hook: Option<HookVerdict>,
        out: &mut Outputs,
    ) {
        match fate {
            Fate::Verify => self.act_verified(now, ingress, look, packet, hook, out),
            Fate::Deliver => {
                self.counters.local += 1;
                out.deliver(packet);
            }
            Fate::Drop(reason, rule) => self.drop_packet(now, ingress.port, packet, reason, rule),
            Fate::Tables | Fate::Out { .. } => self.receive(now, ingress.port, packet, hook, out),
        }
    }

    /// Packets in a row that leave by the same port are handed over together.
    fn end_run(&mut self, run: &Run, packets: &mut [Skb], out: &mut Outputs) {
        if run.port != NO_PORT && !packets.is_empty() {
            self.count_run(run, packets);
            out.send_all(run.wire, packets);
        }
    }

    fn count_run(&mut self, run: &Run, packets: &[Skb]) {
        let count = packets.len() as u64;
        self.counters.out += count;
        self.counters.cache.hits += count;
        let ports = [run.port, run.wire];
        let ports = &ports[..1 + usize::from(run.port != run.wire)];
        for counted in ports {
            if let Some(Some(port)) = self.ports.get_mut(*counted as usize) {
                port.counts.packets_out += count;
                port.counts.bytes_out += run.bytes;
            }
        }
        if self.taps.any() {
            for packet in packets {
                for tapped in ports {
                    self.taps.record(packet.hot.timestamp, *tapped, TapKind::Out, packet);
                }
            }
        }
    }

    fn count_arrivals(&mut self, port: PortId, packets: usize, bytes: u64) {
        self.counters.packets_in += packets as u64;
        if let Some(Some(port)) = self.ports.get_mut(port as usize) {
            port.counts.packets_in += packets as u64;
            port.counts.bytes_in += bytes;
        }
    }

    /// Taps see packets as they came.
    fn tap_arrivals(&mut self, now: Instant, port: PortId, packets: &PacketBatch) {
        for packet in packets.packets() {
            self.taps.record(now, port, TapKind::In, packet);
        }
    }

    /// Dissects packets, and asks for the memory of their flows; gives their bytes.
    #[inline]
    fn look(&self, mac: &Mac, packets: &[Skb], looks: &mut [Look]) -> u64 {
        let (seed, mut bytes) = (self.cache.seed(), 0);
        for (look, packet) in looks.iter_mut().zip(packets) {
            bytes += u64::from(packet.len());
            look.plain = false;
            look.candidate = NONE;
            let head = packet.head();
            if head.first_chunk::<6>() != Some(mac) {
                continue;
            }
            let Some(quick) = quick_within(head, packet.len()) else { continue };
            if quick.vlan.is_some() || packet.hot.gso_size != 0 {
                continue;
            }
            look.fill(&quick, seed);
            self.cache.prefetch(look.hash);
        }
        for look in looks.iter_mut().filter(|look| look.plain) {
            look.candidate = self.cache.candidate(look.hash);
        }
        for look in looks.iter() {
            self.cache.prefetch_lines(look.candidate);
        }
        bytes
    }

    /// What the cache would see of a packet; `None` for those that it does not take.
    pub(crate) fn look_at(&self, mac: &Mac, packet: &Skb) -> Option<Look> {
        let mut look = Look::NOTHING;
        self.look(mac, std::slice::from_ref(packet), std::slice::from_mut(&mut look));
        look.plain.then_some(look)
    }

    /// Looks at entries in their order and takes out what is over.
    pub(crate) fn sweep(&mut self, now: Instant, count: usize) {
        let nanos = now.as_nanos();
        let mut found = std::mem::take(&mut self.swept);
        self.cache.sweep(count, |entry| entry.expires <= nanos, &mut found);
        for at in found.drain(..) {
            self.end(now, at, crate::event::EndReason::Timeout);
        }
        self.swept = found;
    }

    /// Lets time pass: connections, queues of neighbours and fragments that wait end. Call it when nothing comes for a
    /// while, and at [`Node::next_timeout`].
    pub fn poll(&mut self, now: Instant, out: &mut Outputs) {
        let now = self.clock(now);
        out.reserve_ports(self.ports.len());
        while let Some((port, packet)) = self.fragments.expired(now) {
            self.counters.held = self.counters.held.saturating_sub(1);
            self.drop_packet(now, port, packet, DropReason::FragmentTimeout, None);
        }
        self.expire_neighbours(now, out);
        self.sweep(now, SWEEP_IDLE);
        self.mappings.expire(now, SWEEP_IDLE);
    }
}
