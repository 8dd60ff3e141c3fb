//! A decision carried out: the tables of connections and programs, the rules' counters, the packet itself.
use crate::chains::LogNote;
use crate::config::NodeConfig;
use crate::decide::{Answer, Decision, Verdict};
use crate::emit::Leaving;
use crate::event::{EndReason, Event};
use crate::node::Node;
use crate::offload::{is_unfinished, mark, sum_again};
use crate::outputs::Outputs;
use crate::port::PortId;
use crate::program::{By, End, Program};
use crate::reason::DropReason;
use crate::subject::Shape;
use crate::track::{Begin, Change, Class, MAPPED, Track, UNTRACKED, Update};
use netfast_buf::{ChecksumState, Skb};
use netfast_filter::outcome::{Asked, Effect};
use netfast_flow::FlowKey;
use netfast_flow::cache::{FlowCache, NONE};
use netfast_flow::conntrack::{Status, TcpTrack, Translation, Tuple, Way};
use netfast_low::crc32c;
use netfast_time::Instant;
use netfast_wire::router::{decrement_hop_limit, is_damaged, quoted};
use std::sync::Arc;

/// Entries that are looked at when one has to go and all connections are assured.
const EARLY_DROP_SAMPLE: usize = 16;
/// Bytes of an upper-layer header that a translation may change.
const UPPER: u32 = 20;

impl Node {
    /// Carries a decision out, about a packet that came in or one of the node's own.
    pub(crate) fn commit(
        &mut self,
        now: Instant,
        wire: PortId,
        mut packet: Skb,
        shape: Shape,
        mut decision: Decision,
        out: &mut Outputs,
    ) {
        self.apply_effects(now, &decision, shape.ip_len);
        let port = shape.in_port.unwrap_or(wire);
        if let Some(tuple) = decision.exhausted {
            self.events.offer(now, || Event::NatExhausted { tuple });
        }
        if let Verdict::Drop { reason, by } = decision.verdict {
            self.answer_dropped(now, &mut packet, &shape, decision, reason, out);
            self.drop_packet(now, port, packet, reason, by);
            return;
        }
        let entry = match self.change(now, &mut decision, &shape, true) {
            Ok(entry) => entry,
            Err(reason) => {
                self.drop_packet(now, port, packet, reason, None);
                return;
            }
        };
        self.remember(entry, &mut decision);
        if is_unfinished(&packet) {
            mark(&mut packet, shape.v6, shape.protocol, shape.l3, shape.l4);
        }
        if self.rewrite(&mut packet, &shape, &decision).is_err() {
            self.drop_packet(now, port, packet, DropReason::Malformed, None);
            return;
        }
        match decision.verdict {
            Verdict::Forward { port, next, mac, neighbour, mtu } => {
                if shape.in_port.is_some() || decision.hop_limit.is_some() {
                    self.count_down(&mut packet, &shape, decision.hop_limit);
                }
                let _ = packet.pop(shape.l3);
                let way = Leaving { port, next, mac, neighbour };
                let size = if packet.hot.gso_size == 0 { packet.len() } else { shape.segment_len };
                if shape.pieces.is_none() && size <= mtu {
                    self.leave(now, packet, way, out);
                } else {
                    let cut = self.cutting(&packet, &shape, mtu, decision.leaves.is_some());
                    self.leave_in_fragments(now, packet, cut, way, out);
                }
            }
            _ => {
                if decision.hop_limit.is_some() {
                    self.count_down(&mut packet, &shape, decision.hop_limit);
                }
                self.deliver(now, packet, &shape, out);
            }
        }
    }

    /// What a decision to drop a packet changes beside that: its connection, and what its sender is told.
    fn answer_dropped(
        &mut self,
        now: Instant,
        packet: &mut Skb,
        shape: &Shape,
        mut decision: Decision,
        reason: DropReason,
        out: &mut Outputs,
    ) {
        let answer = decision.answer.filter(|_| shape.in_port.is_some());
        let known = decision.track.stays();
        let entry = self.change(now, &mut decision, shape, false).unwrap_or(None);
        self.remember(entry, &mut decision);
        // Rules answer nothing that was damaged on its way, as Linux has it.
        let damaged = || reason == DropReason::Reject && rejects_nothing(packet, shape);
        let Some(answer) = answer.filter(|_| !damaged()) else { return };
        let track = &decision.track;
        let track = track.has_connection().then(|| track.answered(known, decision.ct_mark));
        self.answer_changed(now, packet, shape, &decision, (answer, track), out);
    }

    /// Tells the sender of a packet that was dropped why. What is quoted is as the rules have left it; the packet stays as it came.
    fn answer_changed(
        &mut self,
        now: Instant,
        packet: &mut Skb,
        shape: &Shape,
        decision: &Decision,
        (mut answer, track): (Answer, Option<Track>),
        out: &mut Outputs,
    ) {
        let writes = |effect: &Effect| matches!(effect, Effect::MaxSegment(_) | Effect::Dscp(_));
        if decision.hop_limit.is_none() && !decision.effects.iter().any(writes) {
            self.answer(now, packet, shape, answer, track, out);
            return;
        }
        let mut left = packet.duplicate(&mut self.pool);
        let _ = self.change_headers(&mut left, shape, decision);
        if decision.hop_limit.is_some() {
            self.count_down(&mut left, shape, decision.hop_limit);
            answer.counted_down = false;
        }
        self.answer(now, &left, shape, answer, track, out);
        self.pool.recycle(left);
    }

    /// Counters, limits, quotas, log lines.
    pub(crate) fn apply_effects(&mut self, now: Instant, decision: &Decision, length: u32) {
        self.rule_state.commit(&decision.effects, &decision.keys, length, now);
        for note in &decision.logs {
            self.log(now, note, length);
        }
    }

    pub(crate) fn log(&mut self, now: Instant, note: &LogNote, length: u32) {
        if !self.events.wants() {
            return;
        }
        let Some(info) = self.rules.log(note.log) else { return };
        let prefix: Arc<str> = info.prefix.as_deref().unwrap_or_default().into();
        let rule: Arc<str> = self.rules.rule(info.rule).map(|rule| &*rule.text).unwrap_or_default().into();
        let event = Event::Log {
            prefix,
            rule,
            tuple: note.tuple,
            in_port: note.in_port,
            out_port: note.out_port,
            length,
        };
        self.events.push(now, event);
    }

    /// Changes the table of connections; gives the packet's entry. `passes` is false for packets that are dropped: they
    /// begin no connection.
    fn change(
        &mut self,
        now: Instant,
        decision: &mut Decision,
        shape: &Shape,
        passes: bool,
    ) -> Result<Option<u32>, DropReason> {
        match std::mem::take(&mut decision.track.change) {
            Change::None => Ok(None),
            Change::Update(update) => Ok(self.update(now, &update, decision, shape)),
            Change::Begin(begin) if passes => self.begin(now, &begin, decision, shape),
            Change::Begin(begin) => {
                // What is over goes, though nothing takes its place.
                if let Some((entry, reason)) = begin.replaces {
                    self.end(now, entry, reason);
                }
                Ok(None)
            }
        }
    }

    fn update(
        &mut self,
        now: Instant,
        update: &Update,
        decision: &mut Decision,
        shape: &Shape,
    ) -> Option<u32> {
        let track = &decision.track;
        let way = track.way as usize;
        let (entry, transport) = self.cache.entry_and_transport(update.entry);
        if let (Some(place), Some(next)) = (transport, update.transport) {
            *place = next;
        }
        if let Some(timeout) = update.timeout {
            entry.expires = now.as_nanos().saturating_add(timeout.as_nanos());
        }
        if let Some(most) = update.at_most {
            entry.expires = entry.expires.min(now.as_nanos().saturating_add(most.as_nanos()));
        }
        if !update.counts {
            if track.quotes.is_none() {
                entry.set_class(update.class as u8);
            } else {
                self.set_ct_mark(update.entry, decision.ct_mark);
            }
            return None;
        }
        if track.quotes.is_none() {
            entry.set_class(update.class as u8);
            let cold = self.cache.cold_mut(update.entry);
            let before = Status(cold.status);
            cold.status |= track.status.0;
            let after = Status(cold.status);
            if before != after {
                if after.has(Status::ASSURED) {
                    self.cache.keep(update.entry);
                }
                let replied = before.has(Status::SEEN_REPLY) != after.has(Status::SEEN_REPLY);
                let asked = if replied { Asked::CT_STATE | Asked::CT_STATUS } else { Asked::CT_STATUS };
                self.void(update.entry, asked);
            }
        }
        // An error tells about the connection, it is no packet of its (Linux does not count it either).
        if decision.track.quotes.is_none() {
            let entry = self.cache.entry_mut(update.entry);
            entry.packets[way] += 1;
            entry.bytes[way] += u64::from(shape.ip_len);
        }
        self.set_ct_mark(update.entry, decision.ct_mark);
        if update.over {
            self.end(now, update.entry, EndReason::Timeout);
            return None;
        }
        decision.track.quotes.is_none().then_some(update.entry)
    }

    pub(crate) fn set_ct_mark(&mut self, at: u32, mark: Option<u32>) {
        let cold = self.cache.cold_mut(at);
        if let Some(mark) = mark.filter(|mark| *mark != cold.mark) {
            cold.mark = mark;
            self.void(at, Asked::CT_MARK);
        }
    }

    /// Programs that asked for what has changed are decided anew.
    pub(crate) fn void(&mut self, at: u32, asked: Asked) {
        for way in Way::ALL {
            let id = self.cache.entry(at).programs[way as usize];
            if self.programs.get(id).is_some_and(|program| program.asked.any(asked)) {
                self.cache.entry_mut(at).programs[way as usize] = NONE;
                self.release(id);
            }
        }
    }

    /// Enters a connection. What is not tracked gets an entry only where there is room: it needs none.
    fn begin(
        &mut self,
        now: Instant,
        begin: &Begin,
        decision: &mut Decision,
        shape: &Shape,
    ) -> Result<Option<u32>, DropReason> {
        if let Some((entry, reason)) = begin.replaces {
            self.end(now, entry, reason);
        }
        let track = &decision.track;
        let (original, reply) = (track.original, track.reply);
        let (first, second) = (FlowKey::of_tuple(0, &original), FlowKey::of_tuple(0, &reply));
        let translated = first.0 != second.0;
        // Without translations both ways have one key, and one connection; else each way may be another's, which ended.
        let ways = if translated || self.cache.translated() > 0 { 2 } else { 1 };
        for key in [first, second].iter().take(ways) {
            let found = self.cache.find(&key.0, key.1, self.cache.hash(&key.0));
            let Some(found) = found else { continue };
            let entry = self.cache.entry(found.entry);
            if self.cache.cold(found.entry).status & UNTRACKED != 0 {
                self.end(now, found.entry, EndReason::Reopened);
            } else if entry.expires <= now.as_nanos() {
                self.end(now, found.entry, EndReason::Timeout);
            } else if begin.tracked {
                return Err(DropReason::NatExhausted);
            } else {
                // The other way is that of a connection, which would not be found behind this.
                return Ok(None);
            }
        }
        if self.cache.is_full() && !self.early_drop(now, begin.tracked) {
            if !begin.tracked {
                return Ok(None);
            }
            self.events.offer(now, || Event::TableFull { tuple: original });
            return Err(DropReason::TableFull);
        }
        let line = translated.then(|| nat_line(&original, &reply, second)).transpose()?;
        let inserted = self.cache.insert(first, line, begin.transport, now.as_nanos());
        let at = inserted.ok_or(DropReason::TableFull)?;
        let entry = self.cache.entry_mut(at);
        entry.expires = now.as_nanos().saturating_add(begin.timeout.as_nanos());
        entry.set_class(begin.class as u8);
        entry.packets[0] = 1;
        entry.bytes[0] = u64::from(shape.ip_len);
        let cold = self.cache.cold_mut(at);
        cold.status = if begin.tracked { track.status.with(Status::CONFIRMED).0 } else { UNTRACKED };
        cold.mark = decision.ct_mark.unwrap_or(0);
        if let Some((_, source, outer)) = decision.mapping
            && self.keep_mapping(now, source, outer)
        {
            self.cache.cold_mut(at).status |= MAPPED;
        }
        if begin.tracked {
            let id = self.cache.serial(at);
            self.events.offer(now, || Event::NewConnection { id, original, reply });
        }
        Ok(Some(at))
    }

    /// At the limit of mappings, which the table counts, the connection goes on without one.
    fn keep_mapping(
        &mut self,
        now: Instant,
        source: netfast_flow::conntrack::Endpoint,
        outer: netfast_flow::conntrack::Endpoint,
    ) -> bool {
        use netfast_flow::conntrack::{NatRange, PortRange};
        let range = NatRange::to_address(outer.address).with_ports(PortRange::new(outer.port, outer.port));
        let mut same = || outer.port;
        self.mappings.acquire(&source, &range, |_| false, &mut same, now).is_ok()
    }

    /// Makes room in a full table: of two connections that are not assured the one that would end sooner goes (Linux: early
    /// drop), of a few at hand one that is over where all are assured. What is not tracked takes no connection's place.
    pub(crate) fn early_drop(&mut self, now: Instant, tracked: bool) -> bool {
        let nanos = now.as_nanos();
        let spare = if tracked { self.cache.spare() } else { None };
        let worth = |entry: &netfast_flow::cache::Entry| {
            (entry.expires <= nanos || entry.class() == Class::Untracked as u8).then_some(entry.expires)
        };
        let Some(weak) = spare.or_else(|| self.cache.least(EARLY_DROP_SAMPLE, worth)) else { return false };
        let over = self.cache.entry(weak).expires <= nanos;
        self.counters.early_dropped += u64::from(!over);
        self.end(now, weak, if over { EndReason::Timeout } else { EndReason::Evicted });
        true
    }

    /// Takes a connection out of the table.
    pub(crate) fn end(&mut self, now: Instant, at: u32, reason: EndReason) {
        let (entry, cold) = (*self.cache.entry(at), *self.cache.cold(at));
        for id in entry.programs {
            self.release(id);
        }
        if cold.status & UNTRACKED == 0 {
            if cold.status & MAPPED != 0 {
                let [original, _] = self.tuples(at);
                let source = netfast_flow::conntrack::Endpoint {
                    protocol: original.protocol,
                    address: original.source,
                    port: original.source_port,
                };
                self.mappings.release(&source, now);
            }
            if self.events.wants() {
                let [original, reply] = self.tuples(at);
                let event = Event::EndedConnection {
                    id: self.cache.serial(at),
                    reason,
                    original,
                    reply,
                    packets: entry.packets,
                    bytes: entry.bytes,
                    created: Instant::from_nanos(cold.created),
                };
                self.events.push(now, event);
            }
        }
        self.cache.remove(at);
    }

    /// Both tuples of a connection.
    pub(crate) fn tuples(&self, at: u32) -> [Tuple; 2] {
        self.cache.keys(at).map(|(key, direction)| key.tuple(direction))
    }

    /// Writes down for later packets what was decided.
    pub(crate) fn remember(&mut self, entry: Option<u32>, decision: &mut Decision) {
        let Some(at) = entry else { return };
        let way = decision.track.way;
        if let Some(hop) = decision.hop {
            self.cache.set_hop(at, way, hop.to_bits());
        }
        if let Some(program) = decision.program.take() {
            self.set_program(at, way, &program);
        }
    }

    pub(crate) fn set_program(&mut self, at: u32, way: Way, program: &Program) {
        let id = self.programs.intern(program);
        if id == NONE {
            self.counters.cache.refused += 1;
        }
        self.place_program(at, way, id);
    }

    /// A way gets a program, which has been counted as used; the one that it had is let go.
    pub(crate) fn place_program(&mut self, at: u32, way: Way, id: u32) {
        let entry = self.cache.entry_mut(at);
        let old = std::mem::replace(&mut entry.programs[way as usize], id);
        let stamp = std::mem::replace(&mut entry.stamps[way as usize], self.partitions.epoch);
        self.counters.cache.changed += u64::from(old != NONE && old != id && stamp != self.partitions.epoch);
        self.release(old);
    }

    pub(crate) fn release(&mut self, id: u32) {
        if id == NONE {
            return;
        }
        if let Some((program, packets, bytes)) = self.programs.release(id) {
            count(&mut self.rule_state, program, packets, bytes);
        }
    }

    /// Tells the rules' counters what programs have counted for them.
    pub(crate) fn flush_programs(&mut self) {
        let state = &mut self.rule_state;
        self.programs.drain_counts(|program, packets, bytes| count(state, program, packets, bytes));
    }

    /// The header and the largest segment become what the rules have said; but for the hop limit, which is still to be
    /// counted down.
    fn change_headers(&mut self, packet: &mut Skb, shape: &Shape, decision: &Decision) -> Result<(), ()> {
        for effect in &decision.effects {
            match effect {
                Effect::MaxSegment(size) => {
                    crate::change::lower(packet, shape, *size, &mut self.pool)?;
                }
                Effect::Dscp(value) => crate::change::set_dscp(packet, shape, *value, &mut self.pool)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Addresses and ports of the packet become those of its connection's other side.
    pub(crate) fn rewrite(&mut self, packet: &mut Skb, shape: &Shape, decision: &Decision) -> Result<(), ()> {
        packet.trim(shape.l3 + shape.ip_len);
        let reach = if shape.later_fragment { shape.l4 } else { (shape.l4 + UPPER).min(packet.len()) };
        packet.set_header_length(reach.min(packet.len()), &mut self.pool).map_err(|_| ())?;
        self.change_headers(packet, shape, decision)?;
        if decision.leaves.is_none() {
            return Ok(());
        }
        let Track { original, reply, way, .. } = &decision.track;
        let translation = Translation::new(original, reply).map_err(|_| ())?;
        let l3 = shape.l3 as usize;
        let l4 = (shape.l4 - shape.l3) as usize;
        if decision.track.quotes.is_some() {
            let length = packet.len();
            let head = packet.head_mut(length, &mut self.pool).map_err(|_| ())?;
            let quote = quoted(&head[l3..]).ok_or(())?;
            return translation
                .apply_error(*way, &mut head[l3..], l4, quote.offset, quote.l4_offset)
                .map_err(|_| ());
        }
        let head = packet.head_mut(reach.min(packet.len()), &mut self.pool).map_err(|_| ())?;
        let applied = translation.apply(*way, &mut head[l3..], l4, !shape.later_fragment).map_err(|_| ())?;
        if applied.needs_crc32c {
            self.sum_sctp(packet, shape.l4);
        }
        // What was changed by differences of addresses and ports is the sum of addresses alone.
        if packet.hot.checksum == ChecksumState::Partial && packet.hot.inner.l4().is_none() {
            sum_again(packet, shape.l3, &mut self.pool)?;
        }
        Ok(())
    }

    /// The CRC-32c of an SCTP packet (RFC 9260, appendix A), over all its segments.
    pub(crate) fn sum_sctp(&mut self, packet: &mut Skb, l4: u32) {
        let (mut skip, mut crc, mut at) = (l4 as usize, !0, 0usize);
        for segment in packet.segments() {
            let bytes = segment.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(segment.len());
            for (from, to, zero) in [(0, 8, false), (8, 12, true), (12, usize::MAX, false)] {
                let start = from.max(at) - at;
                let end = to.saturating_sub(at).min(bytes.len());
                if start < end {
                    crc = if zero {
                        crc32c::update(crc, &[0; 4][..end - start])
                    } else {
                        crc32c::update(crc, &bytes[start..end])
                    };
                }
            }
            at += bytes.len();
        }
        let end = l4 + 12;
        if let Ok(head) = packet.head_mut(end, &mut self.pool) {
            head[end as usize - 4..end as usize].copy_from_slice(&(!crc).to_le_bytes());
        }
    }

    /// The hop limit becomes one less, or what rules have said.
    pub(crate) fn count_down(&mut self, packet: &mut Skb, shape: &Shape, limit: Option<u8>) {
        let length = packet.header_length().max(shape.l3 + if shape.v6 { 40 } else { 20 });
        if let Ok(head) = packet.head_mut(length.min(packet.len()), &mut self.pool) {
            let header = &mut head[shape.l3 as usize..];
            match limit {
                Some(limit) => crate::change::set_hop_limit(header, limit),
                None => {
                    decrement_hop_limit(header);
                }
            }
        }
    }

    /// The classes' timeouts, for the fast path.
    pub(crate) fn class_timeouts(config: &NodeConfig) -> [u64; Class::ALL.len()] {
        let timeouts = &config.timeouts;
        Class::ALL.map(|class| match class {
            Class::Slow | Class::Other | Class::OtherStream => 0,
            Class::Tcp => config.tcp.timeouts.established.as_nanos(),
            Class::Udp | Class::UdpAnswered => timeouts.udp.as_nanos(),
            Class::UdpStream => timeouts.udp_stream.as_nanos(),
            Class::Untracked => crate::track::UNTRACKED_FOR.as_nanos(),
        })
    }
}

/// True for a packet that was damaged on its way.
fn rejects_nothing(packet: &Skb, shape: &Shape) -> bool {
    if matches!(packet.hot.checksum, ChecksumState::Good | ChecksumState::Partial) {
        return false;
    }
    let mut copy = vec![0; (packet.len() - shape.l3).min(shape.ip_len) as usize];
    packet.read(shape.l3, &mut copy).is_err() || is_damaged(&copy)
}

/// What the packets of a program count.
fn count(state: &mut netfast_filter::state::RuleState, program: &Program, packets: u64, bytes: u64) {
    if packets == 0 {
        return;
    }
    for counter in &program.counters {
        state.count_many(*counter, packets, bytes);
    }
    for rule in &program.hits {
        state.hit(*rule, packets);
    }
    if let End::Drop { by: Some(By::Rule(rule)), .. } = program.end {
        state.hit(rule, packets);
    }
}

fn nat_line(
    original: &Tuple,
    reply: &Tuple,
    key: (netfast_flow::FlowKey, netfast_flow::Direction),
) -> Result<netfast_flow::cache::NatLine, DropReason> {
    let translation = Translation::new(original, reply).map_err(|_| DropReason::NatExhausted)?;
    let rewrites = Way::ALL.map(|way| translation.rewrite(way));
    let (l3, l4) = (rewrites.map(|rewrite| rewrite.l3_change), rewrites.map(|rewrite| rewrite.l4_change));
    Ok(FlowCache::<TcpTrack>::nat_line(key, l3, l4))
}
