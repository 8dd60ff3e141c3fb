//! The way of most packets: one lookup, a program, out.
//!
//! Work is done on vectors of 64 packets: all are dissected, and their places in the index asked for. Then each packet in
//! order, while entries and lines of those a little behind it are asked for, so that memory is there when it is
//! needed. A packet that the cache cannot take goes through the tables right there, so the order of packets never changes.
use crate::decide::HookVerdict;
use crate::hit::{OTHERS, SEGMENTS};
use crate::node::Node;
use crate::offload::is_unfinished;
use crate::outputs::Outputs;
use crate::port::{Mac, NO_PORT, PortId};
use crate::program::By;
use crate::reason::DropReason;
use crate::tap::TapKind;
use netfast_buf::{PacketBatch, Skb};
use netfast_flow::Endpoints;
use netfast_flow::cache::{Found, NONE};
use netfast_flow::conntrack::{TcpSegment, Way};
use netfast_low::hash::Seed;
use netfast_time::Instant;
use netfast_wire::dissect::protocol as p;
use netfast_wire::quick::{Quick, quick4_within, quick6_within};

/// Packets whose memory is asked for at once; what they need stays in the first-level cache.
const VECTOR: usize = 64;
/// Packets whose entries are asked for together: about what a processor waits for at a time.
const STEP: usize = 4;
/// Entries that the sweep looks at with each vector.
const SWEEP: usize = 16;
/// Entries that it looks at in one call without packets.
const SWEEP_IDLE: usize = 4_096;

/// Where the IP header of a plain packet begins: behind an Ethernet header without a tag.
pub(crate) const L3: usize = 14;
/// [`Look::data`] of what is no segment for the quick way.
const NO_DATA: u32 = u32::MAX;

/// What the first phases know of a packet. What its ends say is not said again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub ends: Endpoints,
    pub hash: u64,
    pub ip_len: u32,
    pub candidate: u32,
    /// Bytes of data of a TCP segment that cannot hold SACK blocks.
    data: u32,
    /// Bytes of headers that may change; of TCP's and UDP's, all but options. 0 when the cache may not take the packet: then
    /// nothing of this is known.
    reach: u8,
    /// Where the upper-layer header begins.
    l4: u8,
    pub hop_limit: u8,
}

const _: () = assert!(size_of::<Look>() == 64);

impl Look {
    /// Nothing is known.
    pub const NOTHING: Self = Self {
        ends: Endpoints::NONE,
        hash: 0,
        ip_len: 0,
        candidate: NONE,
        data: NO_DATA,
        reach: 0,
        l4: 0,
        hop_limit: 0,
    };

    /// The cache may take the packet.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.reach != 0
    }

    #[inline(always)]
    pub fn v6(&self) -> bool {
        usize::from(self.l4) == L3 + 40
    }

    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.ends.protocol()
    }

    /// Where the upper-layer header begins.
    #[inline(always)]
    pub fn l4(&self) -> usize {
        usize::from(self.l4)
    }

    /// Bytes of headers that may change: of a packet in pieces the first may hold no more.
    #[inline(always)]
    pub fn reach(&self) -> u32 {
        u32::from(self.reach)
    }

    /// Bytes of data of a TCP segment that may be taken by what its fixed header says.
    #[inline(always)]
    pub fn data(&self) -> Option<u32> {
        (self.data != NO_DATA).then_some(self.data)
    }

    /// Looks at a frame of `length` bytes that begins with `head`. False when it is none for the cache.
    #[inline(always)]
    fn read(&mut self, mac: u64, head: &[u8], length: u32, seed: Seed) -> bool {
        let Some(link) = head.first_chunk::<L3>() else { return false };
        if first_word(link) << 16 != mac {
            return false;
        }
        // Each family for itself, so that what is found stays in registers.
        match u16::from_ne_bytes([link[12], link[13]]) {
            IPV6 => quick6_within(head, length).is_some_and(|quick| self.fill(&quick, true, head, seed)),
            IPV4 => quick4_within(head, length).is_some_and(|quick| self.fill(&quick, false, head, seed)),
            _ => false,
        }
    }

    #[inline(always)]
    fn fill(&mut self, quick: &Quick, v6: bool, head: &[u8], seed: Seed) -> bool {
        match quick.protocol {
            p::TCP => self.fill_in::<true>(quick, v6, p::TCP, head, seed),
            protocol => self.fill_in::<false>(quick, v6, protocol, head, seed),
        }
    }

    #[inline(always)]
    fn fill_in<const TCP: bool>(
        &mut self,
        quick: &Quick,
        v6: bool,
        protocol: u8,
        head: &[u8],
        seed: Seed,
    ) -> bool {
        let l4 = if v6 { L3 + 40 } else { L3 + 20 };
        let Some(ports) = head.get(l4..).and_then(<[u8]>::first_chunk) else { return false };
        // Written one by one, so that little waits in registers.
        self.data = if TCP { data(quick, head) } else { NO_DATA };
        (self.ip_len, self.hop_limit, self.candidate) = (quick.ip_len, quick.hop_limit, NONE);
        (self.l4, self.reach) = (l4 as u8, l4 as u8 + if TCP { 20 } else { 8 });
        let mut mapped = [0; 32];
        let addresses = if v6 {
            let Some(addresses) = head.get(L3 + 8..).and_then(<[u8]>::first_chunk) else { return false };
            addresses
        } else {
            for (place, [_, word]) in mapped.chunks_exact_mut(16).zip([quick.src, quick.dst]) {
                place[8..].copy_from_slice(&word.to_be_bytes());
            }
            &mapped
        };
        self.hash = self.ends.set(v6, protocol, addresses, *ports, seed);
        true
    }
}

const IPV4: u16 = u16::from_ne_bytes([0x08, 0x00]);
const IPV6: u16 = u16::from_ne_bytes([0x86, 0xdd]);

/// The first eight bytes of an Ethernet header, of which six are the destination.
#[inline(always)]
fn first_word(link: &[u8; L3]) -> u64 {
    u64::from_le_bytes([link[0], link[1], link[2], link[3], link[4], link[5], link[6], link[7]])
}

/// Bytes of data of a TCP segment, if its options cannot hold SACK blocks.
#[inline(always)]
fn data(quick: &Quick, head: &[u8]) -> u32 {
    let (start, length) = (usize::from(quick.l4_offset), u32::from(quick.l4_len));
    if length > 20 && head.get(start + 20..start + length as usize).is_none_or(TcpSegment::may_hold_sack) {
        return NO_DATA;
    }
    quick.ip_len - u32::from(quick.l4_offset - quick.l3_offset) - length
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
    /// Likewise, once it is what the port takes: a super-packet, or one whose checksum is not filled in.
    Finish { port: PortId, wire: PortId },
    /// It is for the node.
    Deliver,
    /// It ends here.
    Drop(DropReason, Option<By>),
    /// No connection is known.
    Begins,
    /// Something has changed since the connection's program was right.
    Stale(Found),
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
    /// Packets of them that were no hits.
    others: u64,
}

impl Run {
    fn new(start: usize) -> Self {
        Self { start, port: NO_PORT, wire: NO_PORT, bytes: 0, others: 0 }
    }
}

/// A batch on its way.
struct Pass<'a> {
    now: Instant,
    ingress: Ingress,
    verdicts: HookVerdicts<'a>,
    packets: &'a mut [Skb],
    run: Run,
    /// Entries were stale: what is asked of those for a new decision is asked for as well.
    stale: bool,
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
        if self.collates(port) {
            let bytes = packets.packets().iter().map(|packet| u64::from(packet.len())).sum();
            self.count_arrivals(port, packets.len(), bytes);
            self.push_collated(now, port, packets, verdicts, out);
        } else {
            self.push_batch(now, ingress, packets, verdicts, true, out);
        }
    }

    /// Packets that were counted as they came in.
    pub(crate) fn push_counted(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut PacketBatch,
        verdicts: HookVerdicts<'_>,
        out: &mut Outputs,
    ) {
        let Some(mac) = self.port(port).map(|port| port.config.mac) else { return };
        self.push_batch(now, Ingress { port, mac }, packets, verdicts, false, out);
    }

    fn push_batch(
        &mut self,
        now: Instant,
        ingress: Ingress,
        packets: &mut PacketBatch,
        verdicts: HookVerdicts<'_>,
        counts: bool,
        out: &mut Outputs,
    ) {
        let port = ingress.port;
        let count = packets.len();
        let mut looks = std::mem::take(&mut self.looks);
        looks.resize(VECTOR, Look::NOTHING);
        let (packets_mut, run) = (packets.packets_mut(), Run::new(0));
        let mut pass = Pass { now, ingress, verdicts, packets: packets_mut, run, stale: false };
        let mut start = 0;
        while start < count {
            // Vectors end at the same packets, so that sweeps come there, however packets are batched.
            let end = (start + VECTOR - self.phase).min(count);
            let looks = &mut looks[..end - start];
            let bytes = self.look(&ingress.mac, &pass.packets[start..end], looks);
            if counts {
                self.count_arrivals(port, end - start, bytes);
            }
            self.push_vector(&mut pass, start, looks, out);
            self.phase = (self.phase + end - start) % VECTOR;
            if self.phase == 0 {
                self.sweep(now, SWEEP);
            }
            start = end;
        }
        self.looks = looks;
        let run = pass.run;
        if run.start == 0 && run.port != NO_PORT {
            // All of the batch leaves by one port.
            self.count_run(&run, packets.packets_mut());
            out.send_batch(run.wire, packets);
        } else {
            self.end_run(&run, &mut packets.packets_mut()[run.start..], out);
            packets.clear();
        }
    }

    /// Packets from `start` on, one after the other. What later ones need is asked for a little with each: all at once would be
    /// more than a processor waits for at a time.
    fn push_vector(&mut self, pass: &mut Pass<'_>, start: usize, looks: &mut [Look], out: &mut Outputs) {
        let in_runs = self.verify.is_none() && !self.config.verify_checksums;
        // That of the hashes in `looks`.
        let seed = self.cache.seed();
        let count = looks.len();
        let first = &mut looks[..count.min(2 * STEP)];
        self.ask_entries(first);
        if pass.stale {
            first.iter().for_each(|look| self.cache.prefetch_cold(look.candidate));
        }
        let mut at = 0;
        while at < looks.len() {
            if in_runs {
                let before = at;
                // Without connections a segment is a packet like all others.
                at = match looks[at].data().filter(|_| self.tracks) {
                    Some(_) => self.run_on::<SEGMENTS>(pass, start, at, looks),
                    None => self.run_on::<OTHERS>(pass, start, at, looks),
                };
                if at > before {
                    continue;
                }
            } else if at.is_multiple_of(STEP) {
                self.ask_ahead(looks, at, pass.stale);
            }
            let look = &mut looks[at];
            if look.is_plain() && self.cache.seed() != seed {
                look.hash = look.ends.hash(self.cache.seed());
                look.candidate = NONE;
            }
            self.push_one(pass, start + at, look, out);
            at += 1;
        }
    }

    /// A packet that does not go on as the one before it did.
    fn push_one(&mut self, pass: &mut Pass<'_>, at: usize, look: &Look, out: &mut Outputs) {
        let (now, ingress) = (pass.now, pass.ingress);
        let hook = pass.verdicts.by_packet.get(at).copied().flatten();
        let mut fate = if self.verify.is_some() {
            Fate::Verify
        } else {
            self.by_cache(now, &ingress, look, &mut pass.packets[at])
        };
        let is_hit = !matches!(fate, Fate::Begins | Fate::Stale(_));
        if !is_hit {
            pass.stale |= matches!(fate, Fate::Stale(_));
            fate = self.by_class(now, &ingress, look, &mut pass.packets[at], fate, hook.is_some());
        }
        if let Fate::Out { port, wire } = fate {
            if port != pass.run.port {
                self.end_run(&pass.run, &mut pass.packets[pass.run.start..at], out);
                pass.run = Run { port, wire, ..Run::new(at) };
            }
            pass.run.bytes += u64::from(pass.packets[at].len());
            pass.run.others += u64::from(!is_hit);
            return;
        }
        self.end_run(&pass.run, &mut pass.packets[pass.run.start..at], out);
        pass.run = Run::new(at + 1);
        if fate == Fate::Tables && !look.is_plain() {
            self.foresee(ingress.port, &pass.packets[at + 1..]);
        }
        let packet = std::mem::take(&mut pass.packets[at]);
        self.end_one(now, &ingress, look, packet, fate, hook, out);
    }

    /// Sends packets of a vector on, from its packet `at` on, as long as each is a plain hit of a kind that leaves by the run's
    /// port: how far. Each kind has a loop for itself, whose registers it has.
    #[inline(never)]
    fn run_on<const KIND: u8>(
        &mut self,
        pass: &mut Pass<'_>,
        start: usize,
        mut at: usize,
        looks: &mut [Look],
    ) -> usize {
        let (now, ingress, run) = (pass.now, pass.ingress, &mut pass.run);
        let packets = &mut pass.packets[start..start + looks.len()];
        let (first, mut like) = (at, Way::Original);
        while at < looks.len() {
            if at.is_multiple_of(STEP) {
                self.ask_ahead(looks, at, pass.stale);
            }
            let end = ((at / STEP + 1) * STEP).min(looks.len());
            let mut step = looks[at..end].iter().zip(&mut packets[at..end]);
            let other = step.position(|(look, packet)| {
                self.at_once::<KIND>(now, &ingress, look, packet, Some(run.port), &mut like).is_none()
            });
            if let Some(done) = other {
                at += done;
                break;
            }
            at = end;
        }
        let bytes: u64 = looks[first..at].iter().map(|look| u64::from(look.ip_len)).sum();
        run.bytes += bytes + ((at - first) * L3) as u64;
        at
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
            Fate::Finish { port, wire } => {
                self.counters.cache.hits += 1;
                self.send_out(now, packet, port, wire, out);
            }
            Fate::Drop(reason, by) => self.drop_packet(now, ingress.port, packet, reason, by),
            Fate::Tables | Fate::Begins | Fate::Stale(_) | Fate::Out { .. } => {
                self.receive(now, ingress.port, packet, hook, out);
            }
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
        self.counters.cache.hits += count - run.others;
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

    /// Dissects packets, and asks for their places in the index; gives their bytes.
    #[inline(never)]
    fn look(&self, mac: &Mac, packets: &[Skb], looks: &mut [Look]) -> u64 {
        let (seed, mut bytes) = (self.cache.seed(), 0);
        let [a, b, c, d, e, f] = *mac;
        let mac = u64::from_le_bytes([0, 0, a, b, c, d, e, f]);
        for (look, packet) in looks.iter_mut().zip(packets) {
            bytes += u64::from(packet.len());
            if !is_unfinished(packet) && look.read(mac, packet.head(), packet.len(), seed) {
                self.cache.prefetch(look.hash);
            } else {
                (look.reach, look.candidate) = (0, NONE);
            }
        }
        bytes
    }

    /// Asks for what packets behind packet `at` need, with which a step begins: for those of two steps later, and for what a new
    /// decision reads where entries are `stale`. It stands alone, so that hits have the registers.
    #[inline(never)]
    fn ask_ahead(&self, looks: &mut [Look], at: usize, stale: bool) {
        let Some(looks) = looks.get_mut(at + 2 * STEP..) else { return };
        match looks.first_chunk_mut::<STEP>() {
            Some(step) => self.ask_entries(step),
            None => self.ask_entries(looks),
        }
        if stale {
            let looks = &looks[..looks.len().min(STEP)];
            looks.iter().for_each(|look| self.cache.prefetch_cold(look.candidate));
        }
    }

    /// Finds candidates, and asks for the memory of their entries.
    #[inline(always)]
    fn ask_entries(&self, looks: &mut [Look]) {
        for look in looks.iter_mut().filter(|look| look.is_plain()) {
            look.candidate = self.cache.candidate(look.hash);
        }
    }

    /// What the cache sees of a super-packet, or of one whose checksum is not filled in.
    pub(crate) fn look_unfinished(&self, mac: &Mac, packet: &Skb) -> Option<Look> {
        let [a, b, c, d, e, f] = *mac;
        let mac = u64::from_le_bytes([0, 0, a, b, c, d, e, f]);
        let mut look = Look::NOTHING;
        if !look.read(mac, packet.head(), packet.len(), self.cache.seed()) {
            return None;
        }
        look.candidate = self.cache.candidate(look.hash);
        Some(look)
    }

    /// What the cache would see of a packet; `None` for those that it does not take.
    pub(crate) fn look_at(&self, mac: &Mac, packet: &Skb) -> Option<Look> {
        let mut look = Look::NOTHING;
        self.look(mac, std::slice::from_ref(packet), std::slice::from_mut(&mut look));
        look.is_plain().then_some(look)
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
        self.poll_collation(now, out);
        self.end_datagrams(now, out);
        self.expire_neighbours(now, out);
        self.sweep(now, SWEEP_IDLE);
        self.mappings.expire(now, SWEEP_IDLE);
    }
}
