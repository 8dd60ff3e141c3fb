//! The way of most packets: one lookup, a program, out.
//!
//! Work is done on vectors of 64 packets in phases, so that the memory of all of them is asked for before the first
//! one's is needed: dissect and hash, index, entries, lines; then each packet in order. A packet that the cache cannot take
//! goes through the tables right there, so the order of packets never changes.
use crate::decide::HookVerdict;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{NO_PORT, PortId};
use crate::program::{End, Stage, Step, What};
use crate::reason::DropReason;
use crate::tap::TapKind;
use crate::track::{Class, UNTRACKED};
use netfast_buf::{PacketBatch, Skb};
use netfast_filter::facts::{Connection, Facts, Family};
use netfast_filter::outcome::{LogId, RuleId, RuleStep, StepOutcome};
use netfast_flow::cache::{Found, NONE};
use netfast_flow::conntrack::{Answered, State, Status, TcpSegment, Tuple, Way, track_answered};
use netfast_flow::{Direction, FlowKey};
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::protocol as p;
use netfast_wire::quick::{Quick, quick_within};

/// Packets whose memory is asked for at once; what they need stays in the first-level cache.
const VECTOR: usize = 64;
/// Bytes of an upper-layer header that a translation may change.
const UPPER: u32 = 20;
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
    candidate: u32,
    l3: u8,
    l4: u8,
    protocol: u8,
    hop_limit: u8,
    v6: bool,
    pub direction: Direction,
    plain: bool,
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
    mac: [u8; 6],
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
        self.count_arrivals(now, &ingress, packets);
        let count = packets.len();
        let mut run = Run::new(0);
        let mut looks = std::mem::take(&mut self.looks);
        looks.resize(VECTOR, Look::NOTHING);
        let slice = packets.packets_mut();
        let mut start = 0;
        while start < count {
            // Vectors end at the same packets, so that sweeps come there, however packets are batched.
            let end = (start + VECTOR - self.phase).min(count);
            self.look(&slice[start..end], &mut looks[..end - start]);
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

    fn count_arrivals(&mut self, now: Instant, ingress: &Ingress, packets: &PacketBatch) {
        self.counters.packets_in += packets.len() as u64;
        let bytes: u64 = packets.packets().iter().map(|packet| u64::from(packet.len())).sum();
        if let Some(Some(port)) = self.ports.get_mut(ingress.port as usize) {
            port.counts.packets_in += packets.len() as u64;
            port.counts.bytes_in += bytes;
        }
        if self.taps.any() {
            for packet in packets.packets() {
                self.taps.record(now, ingress.port, TapKind::In, packet);
            }
        }
    }

    /// Dissects packets, and asks for the memory of their flows.
    #[inline]
    fn look(&self, packets: &[Skb], looks: &mut [Look]) {
        let seed = self.cache.seed();
        for (look, packet) in looks.iter_mut().zip(packets) {
            look.plain = false;
            look.candidate = NONE;
            let Some(quick) = quick_within(packet.head(), packet.len()) else { continue };
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
    }

    /// What the cache would see of a packet; `None` for those that it does not take.
    pub(crate) fn look_at(&self, packet: &Skb) -> Option<Look> {
        let mut look = Look::NOTHING;
        self.look(std::slice::from_ref(packet), std::slice::from_mut(&mut look));
        look.plain.then_some(look)
    }

    /// What becomes of one packet by the cache, which changes it: [`Fate::Tables`] and nothing changed when they have to be
    /// asked.
    #[inline]
    pub(crate) fn by_cache(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: &mut Skb,
    ) -> Fate {
        if !look.plain || packet.head().first_chunk::<6>() != Some(&ingress.mac) {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        let Some(found) = self.cache.find_at(look.candidate, &look.key, look.direction, look.hash) else {
            self.counters.cache.misses += 1;
            return Fate::Tables;
        };
        let (nanos, way) = (now.as_nanos(), found.way as usize);
        let entry = self.cache.entry(found.entry);
        let (id, class) = (entry.programs[way], entry.class);
        if entry.expires <= nanos || id == NONE {
            self.counters.cache.misses += 1;
            return Fate::Tables;
        }
        if entry.stamps[way] != self.partitions.epoch && !self.renew(&found, id) {
            self.counters.cache.revalidated += 1;
            return Fate::Tables;
        }
        let Some(slot) = self.programs.slot_mut(id) else { return Fate::Tables };
        let slot = *slot;
        if slot.in_port != ingress.port || self.config.verify_checksums && self.checksum_unsure(look, packet)
        {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        }
        if look.ip_len > slot.mtu || look.hop_limit <= 1 || slot.has_steps || look.l3 != 14 {
            return self.by_program(now, id, ingress, look, &found, packet);
        }
        let Some(timeout) = self.go_on(now, class, look, &found, packet) else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        let other = if slot.translate { other_key(&self.cache, &found) } else { None };
        self.count_hit(&found, id, look, nanos.saturating_add(timeout));
        packet.hot.timestamp = now;
        packet.trim(14 + look.ip_len);
        let l4 = usize::from(look.l4);
        let reach = (u32::from(look.l4) + UPPER).min(packet.len());
        let Ok(head) = packet.headers_mut(reach, &mut self.pool) else { return Fate::Tables };
        if let Some(link) = head.first_chunk_mut::<14>() {
            *link = slot.ethernet;
        }
        let ip = &mut head[14..];
        if let Some(other) = &other {
            translate_head(ip, l4 - 14, look, other);
        }
        if look.v6 {
            ip[7] = look.hop_limit - 1;
        } else {
            netfast_wire::router::decrement_hop_limit(ip);
        }
        self.fix_sctp(look, other.is_some(), packet);
        Fate::Out { port: slot.port, wire: slot.wire }
    }

    #[inline(always)]
    fn count_hit(&mut self, found: &Found, id: u32, look: &Look, expires: u64) {
        let way = found.way as usize;
        let length = u64::from(look.ip_len);
        let entry = self.cache.entry_mut(found.entry);
        entry.expires = expires;
        entry.packets[way] += 1;
        entry.bytes[way] += length;
        if let Some(slot) = self.programs.slot_mut(id) {
            slot.packets += 1;
            slot.bytes += length;
        }
    }

    /// A program that has steps, or does not end with a plain Ethernet header.
    #[inline(never)]
    fn by_program(
        &mut self,
        now: Instant,
        id: u32,
        ingress: &Ingress,
        look: &Look,
        found: &Found,
        packet: &mut Skb,
    ) -> Fate {
        let Some(program) = self.programs.get(id) else { return Fate::Tables };
        let (end, translate, has_steps) = (program.end, program.translate, !program.steps.is_empty());
        let fits = match end {
            End::Output { mtu, .. } => look.ip_len <= mtu && look.hop_limit > 1,
            End::Walk => {
                self.counters.cache.walked += 1;
                return Fate::Tables;
            }
            End::Deliver | End::Drop { .. } => true,
        };
        let class = self.cache.entry(found.entry).class;
        let timeout = if fits { self.go_on(now, class, look, found, packet) } else { None };
        let Some(timeout) = timeout else {
            self.counters.cache.uncached += 1;
            return Fate::Tables;
        };
        self.count_hit(found, id, look, now.as_nanos().saturating_add(timeout));
        if has_steps && let Some((reason, rule)) = self.take_steps(now, id, look, found, packet) {
            self.counters.cache.hits += 1;
            return Fate::Drop(reason, rule);
        }
        packet.hot.timestamp = now;
        let (l3, l4) = (u32::from(look.l3), u32::from(look.l4));
        let (port, wire, count_down) = match end {
            End::Output { port, wire, .. } => (port, wire, true),
            End::Deliver => (ingress.port, ingress.port, false),
            End::Drop { reason, rule } => {
                self.counters.cache.hits += 1;
                return Fate::Drop(reason, rule);
            }
            End::Walk => return Fate::Tables,
        };
        packet.trim(l3 + look.ip_len);
        let reach = (l4 + UPPER).min(packet.len());
        let other = if translate { other_key(&self.cache, found) } else { None };
        let Ok(head) = packet.headers_mut(reach, &mut self.pool) else { return Fate::Tables };
        let ip = &mut head[l3 as usize..];
        if let Some(other) = &other {
            translate_head(ip, (l4 - l3) as usize, look, other);
        }
        if count_down {
            netfast_wire::router::decrement_hop_limit(ip);
        }
        if let End::Output { length, ethernet, .. } = end {
            let _ = packet.pop(l3);
            if let Ok(head) = packet.push(u32::from(length), &mut self.pool) {
                head.copy_from_slice(&ethernet[..usize::from(length)]);
            }
        }
        self.fix_sctp(look, other.is_some(), packet);
        if count_down {
            return Fate::Out { port, wire };
        }
        self.counters.cache.hits += 1;
        packet.hot.in_port = ingress.port;
        Fate::Deliver
    }

    #[inline]
    fn fix_sctp(&mut self, look: &Look, translated: bool, packet: &mut Skb) {
        if translated && look.protocol == p::SCTP {
            // Counted from the end: the Ethernet header may have another length now.
            let l4 = packet.len() - (look.ip_len - u32::from(look.l4 - look.l3));
            self.sum_sctp(packet, l4);
        }
    }

    /// Where checksums are verified, a packet with a wrong one is the tables'.
    #[cold]
    fn checksum_unsure(&self, look: &Look, packet: &Skb) -> bool {
        self.tracks && crate::verify::checksum_is_wrong(packet, u32::from(look.l4))
    }

    /// The connection's state goes on with this packet: how long it stays, ns; `None` when the tables have to look.
    #[inline(always)]
    fn go_on(&mut self, now: Instant, class: u8, look: &Look, found: &Found, packet: &Skb) -> Option<u64> {
        const TCP: u8 = Class::Tcp as u8;
        const UDP: u8 = Class::Udp as u8;
        const UDP_STREAM: u8 = Class::UdpStream as u8;
        const UNTRACKED: u8 = Class::Untracked as u8;
        match class {
            TCP => self.go_on_tcp(look, found, packet),
            UDP | UDP_STREAM | UNTRACKED => Some(self.timeouts[usize::from(class)]),
            _ => self.go_on_slowly(now, class, look, found),
        }
    }

    #[inline(never)]
    fn go_on_slowly(&self, now: Instant, class: u8, look: &Look, found: &Found) -> Option<u64> {
        const UDP_ANSWERED: u8 = Class::UdpAnswered as u8;
        const OTHER: u8 = Class::Other as u8;
        const OTHER_STREAM: u8 = Class::OtherStream as u8;
        match class {
            UDP_ANSWERED => {
                let young =
                    Instant::from_nanos(self.cache.entry(found.entry).created) + Duration::from_secs(2);
                (now <= young).then_some(self.timeouts[usize::from(class)])
            }
            OTHER | OTHER_STREAM => {
                let rule = Answered::of(look.protocol)?;
                let status = Status(self.cache.entry(found.entry).status);
                Some(track_answered(rule, status, &self.config.timeouts).timeout.as_nanos())
            }
            _ => None,
        }
    }

    #[inline]
    fn go_on_tcp(&mut self, look: &Look, found: &Found, packet: &Skb) -> Option<u64> {
        let header = packet.head().get(usize::from(look.l4)..)?;
        let fixed = header.first_chunk::<20>()?;
        let length = usize::from(fixed[12] >> 4) * 4;
        let segment = look.ip_len.checked_sub(u32::from(look.l4 - look.l3))?;
        let payload = segment.checked_sub(length as u32)?;
        if length > 20 && TcpSegment::may_hold_sack(header.get(20..length)?) {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let window = u16::from_be_bytes([fixed[14], fixed[15]]);
        let (_, transport) = self.cache.entry_and_transport(found.entry);
        let track = transport?;
        if !track.quick(found.way, word(4), word(8), window, fixed[13], payload) {
            return None;
        }
        Some(track.timeout(&self.config.tcp).duration(&self.config.tcp.timeouts).as_nanos())
    }

    /// True when nothing that the program depends on has changed since it was last right; its stamp is renewed then.
    #[cold]
    fn renew(&mut self, found: &Found, id: u32) -> bool {
        let Some(program) = self.programs.get(id) else { return false };
        let on = self.dependencies(found.entry, program);
        let way = found.way as usize;
        let stamp = self.cache.entry(found.entry).stamps[way];
        if self.partitions.changed_since(stamp, &on) {
            return false;
        }
        self.cache.entry_mut(found.entry).stamps[way] = self.partitions.epoch;
        self.counters.cache.refreshed += 1;
        true
    }

    /// The steps of a program that read each packet: why it ends here, if it does.
    #[inline(never)]
    fn take_steps(
        &mut self,
        now: Instant,
        id: u32,
        look: &Look,
        found: &Found,
        packet: &Skb,
    ) -> Option<(DropReason, Option<RuleId>)> {
        let program = self.programs.get(id)?.clone();
        let entry = *self.cache.entry(found.entry);
        let [original, reply] = self.tuples(found.entry);
        let live = crate::chains::LiveTuples::default();
        live.set(&original, &reply);
        let arriving = if found.way == Way::Original { original } else { reply };
        let leaving = crate::track::inverse(if found.way == Way::Original { &reply } else { &original });
        let status = Status(entry.status);
        let tracked = entry.status & UNTRACKED == 0 && self.tracks;
        let state =
            if tracked { State::of(found.way, status.has(Status::SEEN_REPLY)) } else { State::Untracked };
        let connection = tracked.then_some(Connection {
            direction: crate::chains::ct_direction(found.way),
            status: u32::from(entry.status & !UNTRACKED),
            mark: entry.mark,
            expiration: left(entry.expires, now),
            tuples: &live,
        });
        let head = packet.head();
        let l3 = usize::from(look.l3);
        let out_port = if let End::Output { port, .. } = program.end { Some(port) } else { None };
        let mut facts = Facts {
            family: if look.v6 { Family::Ipv6 } else { Family::Ipv4 },
            protocol: look.protocol,
            in_port: Some(program.in_port),
            ct_state: crate::chains::ct_state(state),
            connection,
            mark: 0,
            ethernet: head.first_chunk::<14>(),
            l3: head.get(l3..).unwrap_or_default(),
            l3_length: look.ip_len,
            l4_offset: u16::from(look.l4 - look.l3),
            ..Facts::EMPTY
        };
        let mut logs = Vec::new();
        let mut skip = None;
        let mut end = None;
        for step in &program.steps {
            if skip == Some(step.base) {
                continue;
            }
            stage(&mut facts, step, look.hop_limit, &arriving, &leaving, out_port);
            match self.take_step(now, step, &mut facts, &mut logs) {
                StepOutcome::Continue => {}
                StepOutcome::Accept => skip = Some(step.base),
                StepOutcome::Drop => {
                    let (reason, rule) = match step.what {
                        What::Drop(None) => (DropReason::Policy, None),
                        What::Drop(rule) => (DropReason::Rule, rule),
                        What::Rule(RuleStep::Rule(rule)) => (DropReason::Rule, Some(rule)),
                        _ => (DropReason::Rule, None),
                    };
                    end = Some((reason, rule));
                    break;
                }
                // Programs with rules that answer say walk.
                StepOutcome::Reject(_) => {
                    end = Some((DropReason::Reject, None));
                    break;
                }
            }
        }
        let mark = facts.connection.map(|connection| connection.mark);
        let seen = Tuple {
            source: facts.source,
            destination: facts.destination,
            source_port: facts.ports.map_or(0, |ports| ports.0),
            destination_port: facts.ports.map_or(0, |ports| ports.1),
            protocol: facts.protocol,
        };
        let (ports, length) = ((facts.in_port, facts.out_port), facts.l3_length);
        self.note_logs(now, &logs, seen, ports, length);
        if let Some(mark) = mark {
            self.set_ct_mark(found.entry, Some(mark));
        }
        end
    }

    /// Log statements of steps.
    fn note_logs(
        &mut self,
        now: Instant,
        logs: &[LogId],
        tuple: Tuple,
        ports: (Option<u32>, Option<u32>),
        length: u32,
    ) {
        for log in logs {
            let note = crate::chains::LogNote { log: *log, tuple, in_port: ports.0, out_port: ports.1 };
            self.log(now, &note, length);
        }
    }

    fn take_step(
        &mut self,
        now: Instant,
        step: &Step,
        facts: &mut Facts<'_>,
        logs: &mut Vec<LogId>,
    ) -> StepOutcome {
        match step.what {
            What::Rule(rule) => self.rules.step(rule, facts, &mut self.rule_state, now, logs),
            What::Hit(rule) => {
                self.rule_state.hit(rule, 1);
                StepOutcome::Continue
            }
            What::Drop(rule) => {
                if let Some(rule) = rule {
                    self.rule_state.hit(rule, 1);
                }
                StepOutcome::Drop
            }
        }
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

/// What is left of a connection's time, in milliseconds.
pub(crate) fn left(expires: u64, now: Instant) -> u32 {
    (expires.saturating_sub(now.as_nanos()) / 1_000_000).min(u64::from(u32::MAX)) as u32
}

/// What rules of a stage see of addresses and hop limit.
fn stage(
    facts: &mut Facts<'_>,
    step: &Step,
    hop_limit: u8,
    arriving: &Tuple,
    leaving: &Tuple,
    out_port: Option<PortId>,
) {
    let source = if step.stage == Stage::Leaving { leaving } else { arriving };
    let destination = if step.stage == Stage::Arrived { arriving } else { leaving };
    facts.source = source.source;
    facts.destination = destination.destination;
    facts.ports = Some((source.source_port, destination.destination_port));
    let forwarded = matches!(step.stage, Stage::Forwarded | Stage::Leaving);
    facts.hop_limit_now = if forwarded { hop_limit.saturating_sub(1) } else { hop_limit };
    facts.out_port = if forwarded { out_port } else { None };
}

/// What a packet's addresses and ports become: the ends of the connection's other key, and the checksums' differences.
struct OtherKey {
    source: ([u8; 16], u16),
    destination: ([u8; 16], u16),
    l3: u16,
    l4: u16,
}

#[inline]
fn other_key<T: Copy>(cache: &netfast_flow::cache::FlowCache<T>, found: &Found) -> Option<OtherKey> {
    let line = cache.nat(found.entry)?;
    let entry = cache.entry(found.entry);
    // What leaves is the inverse of how the other way arrives.
    let (key, direction) = match found.way {
        Way::Original => (line.reply(), line.direction()),
        Way::Reply => (entry.key(), entry.first()),
    };
    let way = found.way as usize;
    let [low, high] = key.addresses();
    let [low_port, high_port] = key.raw_ports();
    let (from, to) = ((low, low_port), (high, high_port));
    let (source, destination) = if direction == Direction::Up { (to, from) } else { (from, to) };
    Some(OtherKey { source, destination, l3: line.l3_change[way], l4: line.l4_change[way] })
}

/// `ip` begins with the IP header and reaches as far as the upper layer's checksum.
#[inline]
fn translate_head(ip: &mut [u8], l4: usize, look: &Look, other: &OtherKey) {
    if look.v6 {
        ip[8..24].copy_from_slice(&other.source.0);
        ip[24..40].copy_from_slice(&other.destination.0);
    } else {
        ip[12..16].copy_from_slice(&other.source.0[12..]);
        ip[16..20].copy_from_slice(&other.destination.0[12..]);
        change(&mut ip[10..12], other.l3, false);
    }
    let upper = &mut ip[l4..];
    upper[..2].copy_from_slice(&other.source.1.to_be_bytes());
    upper[2..4].copy_from_slice(&other.destination.1.to_be_bytes());
    let at = match look.protocol {
        p::TCP => 16,
        p::UDP | p::UDPLITE | p::DCCP => 6,
        _ => return,
    };
    if let Some(sum) = upper.get_mut(at..at + 2) {
        change(sum, other.l4, look.protocol == p::UDP);
    }
}

/// RFC 1624: adds a difference to a checksum. Zero of UDP means that there is none (RFC 768), so it stays, and a sum
/// that becomes zero is written as its other form.
#[inline]
fn change(field: &mut [u8], grows: u16, udp: bool) {
    let old = u16::from_be_bytes([field[0], field[1]]);
    if grows == 0 || (udp && old == 0) {
        return;
    }
    let (sum, carry) = (!old).overflowing_add(grows);
    let new = !(sum + u16::from(carry));
    let new = if udp && new == 0 { 0xffff } else { new };
    field.copy_from_slice(&new.to_be_bytes());
}
