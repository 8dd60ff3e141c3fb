//! Verification: each packet that the cache decides is decided by the tables as well, and both must agree in everything.
use crate::decide::{Decision, Given, HookVerdict, Verdict};
use crate::fast::{Fate, Ingress, Look};
use crate::ingress::Arrival;
use crate::node::Node;
use crate::offload::is_unfinished;
use crate::outputs::Outputs;
use crate::port::PortId;
use crate::program::{Program, ethernet};
use crate::reason::DropReason;
use crate::subject::Shape;
use crate::trace::Silent;
use crate::track::{Begin, Change, Update};
use netfast_buf::Skb;
use netfast_filter::state::Foretold;
use netfast_flow::cache::NONE;
use netfast_flow::conntrack::Status;
use netfast_time::Instant;

/// Differences that are kept; later ones are counted.
const MAX_DIFFERENCES: usize = 1_024;

/// A packet about which the cache and the tables disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// When.
    pub time: Instant,
    /// The port that it came from.
    pub port: PortId,
    /// Its bytes.
    pub packet: Vec<u8>,
    /// What the tables say and what the cache did.
    pub text: String,
}

/// What verification found.
#[derive(Debug, Default)]
pub(crate) struct Verify {
    differences: Vec<Difference>,
    missed: u64,
    compared: u64,
}

/// What the tables say of a packet that the cache is about to decide.
struct Expected {
    verdict: Option<(Option<PortId>, Vec<u8>)>,
    reason: Option<DropReason>,
    rules: Foretold,
    update: Option<Update>,
    begin: Option<Begin>,
    /// What a connection of which nothing is known yet, or not any more, has then.
    status: Status,
    program: Option<Program>,
    hop: u32,
}

impl Node {
    /// Decides each packet that the cache takes by the tables, too, and keeps differences. Slow.
    pub fn set_verify(&mut self, on: bool) {
        self.verify = on.then(Verify::default);
    }

    /// The differences since the last time, how many more there were, and how many packets were compared.
    pub fn take_differences(&mut self) -> (Vec<Difference>, u64, u64) {
        let Some(verify) = &mut self.verify else { return (Vec::new(), 0, 0) };
        let taken = std::mem::take(&mut verify.differences);
        (taken, std::mem::take(&mut verify.missed), std::mem::take(&mut verify.compared))
    }

    /// One packet, both ways.
    pub(crate) fn act_verified(
        &mut self,
        now: Instant,
        ingress: &Ingress,
        look: &Look,
        packet: Skb,
        hook: Option<HookVerdict>,
        out: &mut Outputs,
    ) {
        let bytes = packet.to_vec();
        self.flush_programs();
        let expected = self.expect(now, ingress, &packet);
        let before = self.counters.dropped.clone();
        let mut packet = packet;
        let unfinished =
            is_unfinished(&packet).then(|| self.look_unfinished(&ingress.mac, &packet)).flatten();
        let mut fate = self.by_cache(now, ingress, look, &mut packet);
        let is_hit = !matches!(fate, Fate::Begins | Fate::Stale(_));
        if !is_hit {
            fate = self.by_class(now, ingress, look, &mut packet, fate, hook.is_some());
        }
        let got = match fate {
            Fate::Out { wire, .. } | Fate::Finish { wire, .. } => Some((Some(wire), packet.to_vec())),
            Fate::Deliver => Some((None, packet.to_vec())),
            _ => None,
        };
        match fate {
            Fate::Tables | Fate::Verify | Fate::Begins | Fate::Stale(_) => {
                self.receive(now, ingress.port, packet, hook, out);
                return;
            }
            Fate::Finish { port, wire } => {
                self.counters.cache.hits += 1;
                self.send_out(now, packet, port, wire, out);
            }
            Fate::Out { port, wire } => {
                self.counters.cache.hits += u64::from(is_hit);
                self.sent(now, packet, port, wire, out);
            }
            Fate::Deliver => {
                self.counters.local += 1;
                out.deliver(packet);
            }
            Fate::Drop(reason, by) => self.drop_packet(now, ingress.port, packet, reason, by),
        }
        self.flush_programs();
        let look = unfinished.as_ref().unwrap_or(look);
        let text = match &expected {
            None => Some("the tables do not take it, the cache did".to_owned()),
            Some(expected) => self
                .compare(now, look, expected, &before, got.as_ref())
                .or_else(|| if is_hit { None } else { self.compare_program(look, expected) }),
        };
        let Some(verify) = &mut self.verify else { return };
        verify.compared += 1;
        if let Some(text) = text {
            if verify.differences.len() < MAX_DIFFERENCES {
                verify.differences.push(Difference { time: now, port: ingress.port, packet: bytes, text });
            } else {
                verify.missed += 1;
            }
        }
    }

    fn expect(&mut self, now: Instant, ingress: &Ingress, packet: &Skb) -> Option<Expected> {
        let (decision, shape) = match self.arrive(packet, ingress.port, now) {
            Arrival::Packet(subject) => {
                (self.decide(&subject, Given::default(), &mut Silent), subject.shape())
            }
            _ => return None,
        };
        let rules = self.rule_state.foretell(&decision.effects, &decision.keys, shape.ip_len, now);
        let reason = match decision.verdict {
            Verdict::Drop { reason, .. } => Some(reason),
            _ => None,
        };
        let (update, begin) = match &decision.track.change {
            Change::Update(update) => (Some(update.clone()), None),
            Change::Begin(begin) => (None, Some(begin.clone())),
            Change::None => (None, None),
        };
        let verdict = self.leaves_as(packet, &shape, &decision);
        let hop = decision.hop.map_or(NONE, |hop| hop.to_bits());
        let (status, program) = (decision.track.status, decision.program);
        Some(Expected { verdict, reason, rules, update, begin, status, program, hop })
    }

    /// Where the packet goes and what it is then, by the tables.
    fn leaves_as(
        &mut self,
        packet: &Skb,
        shape: &Shape,
        decision: &Decision,
    ) -> Option<(Option<PortId>, Vec<u8>)> {
        let mut copy = Skb::from_slice(&packet.to_vec(), &mut self.pool).ok()?;
        (copy.hot.checksum, copy.hot.inner) = (packet.hot.checksum, packet.hot.inner);
        match decision.verdict {
            Verdict::Drop { .. } => None,
            Verdict::Deliver => {
                self.rewrite(&mut copy, shape, decision).ok()?;
                if decision.hop_limit.is_some() {
                    self.count_down(&mut copy, shape, decision.hop_limit);
                }
                Some((None, copy.to_vec()))
            }
            Verdict::Forward { port, mac, .. } => {
                self.rewrite(&mut copy, shape, decision).ok()?;
                self.count_down(&mut copy, shape, decision.hop_limit);
                let leaving = self.port(port)?;
                let (length, header) = ethernet(leaving.config.mac, mac?, leaving.tag, shape.v6);
                let mut frame = header[..usize::from(length)].to_vec();
                frame.extend(copy.to_vec().get(shape.l3 as usize..)?);
                Some((Some(leaving.wire), frame))
            }
        }
    }

    fn compare(
        &self,
        now: Instant,
        look: &Look,
        expected: &Expected,
        before: &crate::reason::DropCounts,
        got: Option<&(Option<PortId>, Vec<u8>)>,
    ) -> Option<String> {
        let dropped = crate::reason::DropReason::ALL
            .iter()
            .filter(|_| got.is_none())
            .find(|reason| self.counters.dropped.of(**reason) != before.of(**reason))
            .copied();
        if dropped != expected.reason {
            let word = |reason: Option<DropReason>| reason.map_or("passes", DropReason::name);
            return Some(format!("tables: {}; cache: {}", word(expected.reason), word(dropped)));
        }
        if dropped.is_none() {
            let (port, bytes) = expected.verdict.as_ref()?;
            let (at, got) = got?;
            if at != port || got != bytes {
                return Some(format!("tables: {port:?} {}; cache: {at:?} {}", hex(bytes), hex(got)));
            }
        }
        self.rule_state.differs(&expected.rules).or_else(|| self.compare_connection(now, look, expected))
    }

    fn compare_connection(&self, now: Instant, look: &Look, expected: &Expected) -> Option<String> {
        let (key, direction) = look.ends.ordered();
        let found = self.cache.find(&key, direction, self.cache.hash(&key))?;
        if let Some(begin) = &expected.begin {
            return self.compare_beginning(now, found.entry, begin, expected);
        }
        let Some(update) = &expected.update else {
            return Some("the tables know no connection of this packet".to_owned());
        };
        let entry = self.cache.entry(found.entry);
        if found.entry != update.entry || entry.class() != update.class as u8 {
            return Some(format!(
                "tables: {update:?}; cache: entry {}, class {}",
                found.entry,
                entry.class()
            ));
        }
        if let Some(transport) = &update.transport
            && self.cache.transport(found.entry) != Some(transport)
        {
            return Some(format!("tables: {transport:?}; cache: {:?}", self.cache.transport(found.entry)));
        }
        let expires = update.timeout.map(|timeout| now.as_nanos().saturating_add(timeout.as_nanos()));
        if expires.is_some_and(|expires| expires != entry.expires) {
            return Some(format!("expiry by the tables: {expires:?}; by the cache: {}", entry.expires));
        }
        None
    }
}

impl Node {
    fn compare_beginning(&self, now: Instant, at: u32, begin: &Begin, expected: &Expected) -> Option<String> {
        let entry = self.cache.entry(at);
        let expires = now.as_nanos().saturating_add(begin.timeout.as_nanos());
        let (tables, cache) = (
            (begin.class as u8, expires, expected.status.with(Status::CONFIRMED).0, begin.transport, [1, 0]),
            (
                entry.class(),
                entry.expires,
                self.cache.cold(at).status,
                self.cache.transport(at).copied(),
                entry.packets,
            ),
        );
        if expected.reason.is_some() {
            return Some("the cache entered a connection for a packet that is dropped".to_owned());
        }
        (tables != cache)
            .then(|| format!("the connection by the tables: {tables:?}; by the cache: {cache:?}"))
    }

    /// What was known of a packet's class against what the tables say of the packet.
    fn compare_program(&self, look: &Look, expected: &Expected) -> Option<String> {
        let (key, direction) = look.ends.ordered();
        let Some(found) = self.cache.find(&key, direction, self.cache.hash(&key)) else {
            let enters = expected.begin.is_some() && expected.reason.is_none();
            return enters.then(|| "the tables enter a connection, the cache did not".to_owned());
        };
        let way = found.way as usize;
        let program = self.programs.get(self.cache.entry(found.entry).programs[way]);
        let hop = self.cache.hops(found.entry)[way];
        let same = program == expected.program.as_ref() && (expected.hop == NONE || hop == expected.hop);
        (!same).then(|| {
            format!("program by the tables: {:?}; by its class: {program:?}, hop {hop}", expected.program)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
