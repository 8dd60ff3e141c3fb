//! Base chains in a decision: what they say about this packet, and what remains of them for later ones.
use crate::decide::Pass;
use crate::partition::Partitions;
use crate::program::{By, Stage, Step, What};
use crate::reason::DropReason;
use crate::trace::Tell;
use crate::track::inverse;
use crate::tracking::reads;
use netfast_filter::facts::{CtDirection, CtState, CtTuple, Tuples};
use netfast_filter::outcome::{
    Asked, BaseId, CounterId, Effect, LogId, Outcome, RejectWith, Residual, RuleId, RuleStep, Walk,
};
use netfast_flow::conntrack::{State, Tuple, Way};
use netfast_nft::ast::{ChainKind, Hook, Statement};
use netfast_nft::field::Field;
use smallvec::SmallVec;
use std::cell::Cell;
use std::ops::RangeInclusive;

/// Steps of a program, ends of chains included.
const MAX_PROGRAM: usize = 64;
/// Rules that may depend on the packet (architecture: `walk` beyond eight).
const MAX_RULES: usize = netfast_filter::outcome::MAX_STEPS;

/// A connection's tuples, as rules see them: a translation changes the reply's.
#[derive(Debug, Default)]
pub(crate) struct LiveTuples(Cell<[CtTuple; 2]>);

impl LiveTuples {
    pub fn set(&self, original: &Tuple, reply: &Tuple) {
        self.0.set([original, reply].map(ct_tuple));
    }
}

impl Tuples for LiveTuples {
    fn tuple(&self, direction: CtDirection) -> CtTuple {
        self.0.get()[direction as usize]
    }
}

pub(crate) fn ct_tuple(tuple: &Tuple) -> CtTuple {
    CtTuple {
        source: tuple.source,
        destination: tuple.destination,
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        protocol: tuple.protocol,
    }
}

pub(crate) const fn ct_state(state: State) -> CtState {
    match state {
        State::Invalid => CtState::Invalid,
        State::Established => CtState::Established,
        State::Related => CtState::Related,
        State::New => CtState::New,
        State::Untracked => CtState::Untracked,
    }
}

pub(crate) const fn ct_direction(way: Way) -> CtDirection {
    match way {
        Way::Original => CtDirection::Original,
        Way::Reply => CtDirection::Reply,
    }
}

/// A packet that a log statement saw, as it was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogNote {
    pub log: LogId,
    pub tuple: Tuple,
    pub in_port: Option<u32>,
    pub out_port: Option<u32>,
}

/// Counters, and rules that each packet of a flow comes to the end of.
type Settled = (SmallVec<[CounterId; 4]>, SmallVec<[RuleId; 4]>);

/// What is written down for later packets while a decision is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub steps: SmallVec<[Step; 8]>,
    pub asked: Asked,
    pub chains: u64,
    /// Later packets have to walk the rules.
    pub walk: bool,
    /// This packet went where others do not: nothing can be written down.
    pub void: bool,
}

impl Draft {
    fn push(&mut self, base: BaseId, stage: Stage, what: What) {
        let rules = || {
            let counts = |what| matches!(what, What::Rule(RuleStep::Count(_) | RuleStep::Hit(_)));
            self.steps.iter().filter(move |step| !counts(step.what))
        };
        if self.steps.len() >= MAX_PROGRAM
            || (matches!(what, What::Rule(RuleStep::Rule(_))) && rules().count() >= MAX_RULES)
        {
            self.walk = true;
            return;
        }
        self.steps.push(Step { base, stage, what });
    }

    /// Takes up what remains of a base chain; false when later packets do not come behind it.
    fn add(&mut self, base: BaseId, stage: Stage, residual: &Residual, concrete: &Outcome) {
        self.chains |= Partitions::chain_bit(base);
        let (steps, end, rule) = match residual {
            Residual::Walk(_) => {
                self.walk = true;
                return;
            }
            Residual::Steps { steps, end, rule } => (steps, end, rule),
        };
        let branches = steps.iter().any(|step| matches!(step, RuleStep::Rule(_)));
        for step in steps {
            self.push(base, stage, What::Rule(*step));
        }
        match (end, concrete) {
            (Outcome::Accept, Outcome::Accept) => {
                if let Some(rule) = rule {
                    self.push(base, stage, What::Rule(RuleStep::Hit(*rule)));
                }
            }
            // A rule that reads the packet let this one pass; others end here.
            (Outcome::Drop, Outcome::Accept) => self.push(base, stage, What::Drop(*rule)),
            (Outcome::Drop, Outcome::Drop) if !branches => {}
            // This packet ends here, others go on to chains that were not walked; or each one is answered.
            (Outcome::Accept, _) => self.void = true,
            _ => self.walk = true,
        }
    }

    /// True when a step depends on the packet.
    pub fn reads_packets(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::Rule(RuleStep::Rule(_)) | What::Drop(_)))
    }

    /// When no step depends on the packet: counters that each packet counts, and rules that each one comes to the end of.
    pub fn settled(&self) -> Option<Settled> {
        let (mut counters, mut hits) = (SmallVec::new(), SmallVec::new());
        for step in &self.steps {
            match step.what {
                What::Rule(RuleStep::Count(counter)) => counters.push(counter),
                What::Rule(RuleStep::Hit(rule)) => hits.push(rule),
                What::Rule(RuleStep::Rule(_)) | What::Drop(_) => return None,
            }
        }
        Some((counters, hits))
    }
}

/// How the chains of a hook end for a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Said {
    Pass,
    Drop(DropReason, By),
    Reject(RejectWith, RuleId),
}

impl<T: Tell> Pass<'_, '_, T> {
    /// Walks the chains of a hook whose priority is in a range, those of type `nat` left out.
    pub(crate) fn chains(&mut self, hook: Hook, priorities: RangeInclusive<i32>, stage: Stage) -> Said {
        let node = self.node;
        for &base in node.rules.bases(self.facts.family, hook) {
            let Some(info) = node.rules.base(base) else { continue };
            if !priorities.contains(&info.priority) || info.kind == ChainKind::Nat {
                continue;
            }
            let walk = self.walk_base(base);
            self.draft.asked |= walk.asked;
            // Classes do not tell segments with SYN from others.
            self.by_class &= !walk.opening;
            let (outcome, rule) = (walk.outcome, walk.rule);
            self.draft.walk |= self.is_for_tables(&walk.residual);
            self.draft.add(base, stage, &walk.residual, &outcome);
            self.walk = walk;
            match (outcome, rule) {
                (Outcome::Accept | Outcome::Nat(_), _) => {}
                (Outcome::Drop, Some(rule)) => return Said::Drop(DropReason::Rule, By::Rule(rule)),
                (Outcome::Drop, None) => return Said::Drop(DropReason::Policy, By::Policy(base)),
                (Outcome::Reject(with), Some(rule)) => return Said::Reject(with, rule),
                (Outcome::Reject(_), None) => return Said::Drop(DropReason::Policy, By::Policy(base)),
            }
        }
        Said::Pass
    }

    /// True when a step may reject, or asks for routes: only the tables do that.
    fn is_for_tables(&self, residual: &Residual) -> bool {
        let Residual::Steps { steps, .. } = residual else { return false };
        let node = self.node;
        let is_one = |rule: RuleId| {
            let (table, chain, rule) = node.rules.rule(rule)?.path;
            let rule = node.source.tables.get(table)?.chains.get(chain)?.rules.get(rule)?;
            let for_tables = |statement: &Statement| {
                matches!(statement, Statement::Reject(_))
                    || reads(statement, |field| matches!(field, Field::Fib(_)))
            };
            Some(rule.statements.iter().any(for_tables))
        };
        steps.iter().any(|step| matches!(step, RuleStep::Rule(rule) if is_one(*rule) != Some(false)))
    }

    /// Walks the `nat` chains of a hook, for the first packet of a connection alone; `Some` when they end it.
    pub(crate) fn nat_chains(&mut self, hook: Hook) -> Option<(DropReason, Option<By>)> {
        let node = self.node;
        for &base in node.rules.bases(self.facts.family, hook) {
            if node.rules.base(base).is_none_or(|info| info.kind != ChainKind::Nat) || !self.wants_nat(hook) {
                continue;
            }
            let marks = (self.facts.mark, self.facts.mark_known, self.facts.ct_mark_known);
            let effects = self.effects.len();
            let walk = self.walk_base(base);
            // What these chains count and log, for this packet or for others of its class, no program does.
            let silent = matches!(&walk.residual, Residual::Steps { steps, .. } if steps.is_empty());
            self.by_class &= silent && self.effects.len() == effects && !walk.opening;
            // Later packets do not come here: what this one is told here, they are not.
            self.draft.void |= self.facts.mark != marks.0;
            (self.facts.mark_known, self.facts.ct_mark_known) = (marks.1, marks.2);
            self.draft.chains |= Partitions::chain_bit(base);
            let (outcome, rule) = (walk.outcome, walk.rule);
            self.walk = walk;
            match outcome {
                Outcome::Nat(_) if self.track.state == State::Related => return None,
                Outcome::Nat(spec) => {
                    if let Err(reason) = self.bind(hook, &spec) {
                        return Some((reason, rule.map(By::Rule)));
                    }
                }
                Outcome::Drop if rule.is_some() => return Some((DropReason::Rule, rule.map(By::Rule))),
                Outcome::Drop => return Some((DropReason::Policy, Some(By::Policy(base)))),
                Outcome::Accept | Outcome::Reject(_) => {}
            }
        }
        None
    }

    /// Walks one base chain; what it would change is gathered.
    fn walk_base(&mut self, base: BaseId) -> Walk {
        let node = self.node;
        let before = self.effects.len();
        let mut walk = std::mem::take(&mut self.walk);
        walk.clear();
        std::mem::swap(&mut walk.effects, &mut self.effects);
        std::mem::swap(&mut walk.keys, &mut self.keys);
        let (facts, now) = (&mut self.facts, self.subject.now);
        node.rules.explain(base, facts, &node.rule_state, now, &mut walk, self.tell);
        std::mem::swap(&mut walk.effects, &mut self.effects);
        std::mem::swap(&mut walk.keys, &mut self.keys);
        self.note(before);
        walk
    }

    /// Log lines say addresses and ports as they were where the rule stood.
    fn note(&mut self, from: usize) {
        let tuple = self.seen();
        for effect in &self.effects[from..] {
            match effect {
                Effect::Log(log) => {
                    let (in_port, out_port) = (self.facts.in_port, self.facts.out_port);
                    self.logs.push(LogNote { log: *log, tuple, in_port, out_port });
                }
                Effect::CtMark(mark) => self.ct_mark = Some(*mark),
                Effect::NoTrack => self.notrack = true,
                _ => {}
            }
        }
    }

    /// Addresses and ports as rules see them now.
    pub(crate) fn seen(&self) -> Tuple {
        let (source_port, destination_port) = self
            .facts
            .ports
            .or_else(|| self.facts.icmp.map(|(kind, code)| (0, u16::from_be_bytes([kind, code]))))
            .unwrap_or_default();
        Tuple {
            source: self.facts.source,
            destination: self.facts.destination,
            source_port,
            destination_port,
            protocol: self.facts.protocol,
        }
    }

    /// Nat chains see the first packet of a connection, and no more once it is decided.
    fn wants_nat(&self, hook: Hook) -> bool {
        use netfast_flow::conntrack::Status;
        let done = match hook {
            Hook::Prerouting | Hook::Output => Status::DNAT_DONE,
            _ => Status::SNAT_DONE,
        };
        // A reset that answers a connection not yet entered is the first to come there, though it changes nothing.
        let resets = self.track.state == State::Related
            && self.track.quotes.is_none()
            && self.facts.protocol == netfast_wire::dissect::protocol::TCP;
        (resets || self.track.begins() && self.track.state == State::New) && !self.track.status.has(done)
    }

    /// Rules see the connection's tuples and status as they are now.
    pub(crate) fn refresh_connection(&mut self) {
        self.live.set(&self.track.original, &self.track.reply);
        if let Some(connection) = &mut self.facts.connection {
            connection.status = u32::from(self.track.status.0);
        }
    }

    /// The tuple that the packet has once everything is translated that will be, as far as it is known now.
    pub(crate) fn translated(&self) -> Tuple {
        if self.track.has_connection() {
            self.track.leaving()
        } else {
            inverse(&inverse(&self.track.original))
        }
    }
}
