//! Walks base chains.
//!
//! One walk answers two questions at once. *Concretely*: what becomes of this packet? And what *remains* (the residual)
//! for later plain packets of its flow: rules whose matches hold for the whole flow are settled, others become steps. Both follow
//! the same way through the chains until one of them ends; where they would part the residual gives up.

mod flow_add;
mod matching;
mod options;
mod read;
mod statements;
mod step;
mod trace;

use netfast_time::Instant;
use smallvec::SmallVec;

use crate::facts::{CtState, Facts, Family};
use crate::op::{Op, Rule, Scope, Slot};
use crate::outcome::{
    BaseId, Effect, MAX_COUNTS, MAX_STEPS, Outcome, RejectWith, Residual, RuleId, RuleStep, Walk, WalkReason,
};
use crate::ruleset::Ruleset;
use crate::state::RuleState;
use netfast_nft::ast::{IcmpX, Policy, RejectKind};

pub use trace::{NoTracer, Tracer};

const EITHER_MARK: u8 = Slot::Packet as u8 | Slot::Connection as u8;

/// How a chain was left.
enum Left {
    /// At its end, or by return.
    Below,
    /// Nothing is left to be found out.
    Done,
}

/// Where a rule leads.
enum Next {
    Rule,
    Chain(u32),
    /// To a chain whose end is the end of this one.
    Tail(u32),
    Return,
    Done,
}

/// What the residual still is; what it is stands in [`Walk::residual`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Open,
    Closed,
    Gone,
}

impl Ruleset {
    /// Walks a base chain: changes nothing but `facts` (the marks) and `out`.
    ///
    /// Effects of base chains walked before for the same packet are looked at, so that a limit that both come to is paid
    /// twice. A base chain that is not of this rule set accepts.
    pub fn walk(&self, base: BaseId, facts: &mut Facts<'_>, state: &RuleState, now: Instant, out: &mut Walk) {
        Walker::new(self, facts, state, now, out, &mut NoTracer, true).run(base);
    }

    /// The same without the index, each rule in order: what [`walk`](Self::walk) is compared with.
    pub fn walk_linear(
        &self,
        base: BaseId,
        facts: &mut Facts<'_>,
        state: &RuleState,
        now: Instant,
        out: &mut Walk,
    ) {
        Walker::new(self, facts, state, now, out, &mut NoTracer, false).run(base);
    }

    /// Walks a base chain rule by rule and tells the tracer what happens.
    pub fn explain<T: Tracer>(
        &self,
        base: BaseId,
        facts: &mut Facts<'_>,
        state: &RuleState,
        now: Instant,
        out: &mut Walk,
        tracer: &mut T,
    ) {
        // Who listens is told of every rule; nobody is told of none.
        Walker::new(self, facts, state, now, out, tracer, !T::ACTIVE).run(base);
    }
}

struct Walker<'w, 'f, T> {
    rules: &'w Ruleset,
    facts: &'w mut Facts<'f>,
    state: &'w RuleState,
    now: Instant,
    out: &'w mut Walk,
    tracer: &'w mut T,
    indexed: bool,
    /// The concrete packet has not ended.
    live: bool,
    rest: Rest,
    /// Marks that differ from packet to packet, as bits of [`Slot`].
    unknown: u8,
    /// Marks that were set behind a step that may have ended the chain for other packets.
    parted: u8,
    /// A step may end the chain.
    exits: bool,
    /// The facts that rules change, as the concrete packet left them.
    left: Option<Changed>,
}

/// What rules change in the facts.
#[derive(Clone, Copy)]
struct Changed {
    mark: u32,
    ct_mark: Option<u32>,
    ct_state: CtState,
}

/// How far a rule has come.
struct Progress {
    /// The concrete packet is still in it.
    concrete: bool,
    /// So are plain packets of the flow, as far as settled matches tell.
    residual: bool,
    /// No match so far depends on the packet.
    settled: bool,
    /// Something happens for each packet that comes so far.
    effects: bool,
    /// Nothing else than counting does.
    counts: bool,
    /// How many of its counters count all plain packets that come so far.
    counted: usize,
}

impl Progress {
    /// An effect that is more than counting.
    fn touch(&mut self) {
        if self.residual {
            self.effects = true;
            self.counts = false;
        }
    }
}

impl<'w, 'f, T: Tracer> Walker<'w, 'f, T> {
    fn new(
        rules: &'w Ruleset,
        facts: &'w mut Facts<'f>,
        state: &'w RuleState,
        now: Instant,
        out: &'w mut Walk,
        tracer: &'w mut T,
        indexed: bool,
    ) -> Self {
        let mut unknown = 0;
        if !facts.mark_known {
            unknown |= Slot::Packet as u8;
        }
        if !facts.ct_mark_known {
            unknown |= Slot::Connection as u8;
        }
        Self {
            rules,
            facts,
            state,
            now,
            out,
            tracer,
            indexed,
            live: true,
            rest: Rest::Open,
            unknown,
            parted: 0,
            exits: false,
            left: None,
        }
    }

    fn run(&mut self, base: BaseId) {
        let rules = self.rules;
        self.out.outcome = Outcome::Accept;
        self.out.rule = None;
        self.out.residual = Residual::Steps { steps: SmallVec::new(), end: Outcome::Accept, rule: None };
        let Some(base) = rules.base(base) else {
            return;
        };
        self.tracer.base(base);
        if let Left::Below = self.chain(base.chain) {
            let policy = match base.policy {
                Policy::Accept => Outcome::Accept,
                Policy::Drop => Outcome::Drop,
            };
            if self.live {
                self.tracer.policy(base);
            }
            self.end_concrete(policy, None);
            self.end_residual(policy, None);
        }
        self.finish();
    }

    fn finish(&mut self) {
        let given_up = if self.rest == Rest::Gone { EITHER_MARK } else { 0 };
        if let Some(left) = self.left {
            self.facts.mark = left.mark;
            self.facts.ct_state = left.ct_state;
            if let (Some(connection), Some(mark)) = (&mut self.facts.connection, left.ct_mark) {
                connection.mark = mark;
            }
        }
        let unknown = self.unknown | self.parted | given_up;
        self.facts.mark_known = unknown & Slot::Packet as u8 == 0;
        self.facts.ct_mark_known = unknown & Slot::Connection as u8 == 0;
    }

    fn open(&self) -> bool {
        self.rest == Rest::Open
    }

    fn done(&self) -> bool {
        !self.live && !self.open()
    }

    fn chain(&mut self, number: u32) -> Left {
        let rules = self.rules;
        let Some(chain) = rules.chain(number) else { return Left::Below };
        self.out.asked |= chain.asked;
        match &chain.index {
            Some(index) if self.indexed => {
                let facts = &*self.facts;
                let mut candidates = index.candidates(|class| Ruleset::class_value(class, facts));
                while let Some(position) = candidates.next() {
                    if let Some(left) = self.visit(&chain.rules[position]) {
                        return left;
                    }
                }
            }
            _ => {
                for rule in &chain.rules {
                    if let Some(left) = self.visit(rule) {
                        return left;
                    }
                }
            }
        }
        Left::Below
    }

    fn tell_chain(&mut self, chain: u32) {
        if T::ACTIVE && self.live {
            self.tracer.chain(self.rules.chain_name(chain));
        }
    }

    /// Looks at a rule; tells how the chain was left, if it was.
    fn visit(&mut self, rule: &Rule) -> Option<Left> {
        match self.rule(rule) {
            Next::Rule => None,
            Next::Return => Some(Left::Below),
            Next::Done => Some(Left::Done),
            Next::Tail(chain) => {
                self.tell_chain(chain);
                Some(self.chain(chain))
            }
            Next::Chain(chain) => {
                self.tell_chain(chain);
                match self.chain(chain) {
                    Left::Below => None,
                    Left::Done => Some(Left::Done),
                }
            }
        }
    }

    fn rule(&mut self, rule: &Rule) -> Next {
        let mut at = Progress {
            concrete: self.live,
            residual: self.open(),
            settled: true,
            effects: false,
            counts: true,
            counted: 0,
        };
        for (statement, op) in rule.ops.iter().enumerate() {
            let concrete = at.concrete && T::ACTIVE;
            if let Some(next) = self.op(rule, op, &mut at) {
                return next;
            }
            at.residual = at.residual && self.open();
            if concrete && !at.concrete && self.live {
                self.tracer.rule_failed(rule.id, statement, self.rules);
            }
            if !at.concrete && !at.residual {
                return self.after(rule, &at);
            }
        }
        if T::ACTIVE && at.concrete {
            self.tracer.rule_passed(rule.id, self.rules);
        }
        self.after(rule, &at)
    }

    /// Behind the last statement that was carried out, without a verdict.
    fn after(&mut self, rule: &Rule, at: &Progress) -> Next {
        if at.effects || at.residual {
            self.push_steps(rule, at, at.residual);
        }
        if at.concrete {
            self.out.effects.push(Effect::Hit(rule.id));
        }
        if self.done() { Next::Done } else { Next::Rule }
    }

    /// Carries out a statement; tells where the rule leads, if it ends.
    #[inline]
    fn op(&mut self, rule: &Rule, op: &Op, at: &mut Progress) -> Option<Next> {
        match op {
            Op::Match(found) if found.opening && self.facts.connection.is_some() => {
                // Segments with SYN are not plain while their connection is tracked.
                self.out.opening |= at.residual;
                at.residual = false;
                at.concrete = at.concrete && self.rules.holds(found, self.facts, false, &self.live());
            }
            Op::Match(found) => {
                self.narrow(found.key.scope, found.key.marks, at, |walker, plain| {
                    walker.rules.holds(found, walker.facts, plain, &walker.live())
                });
            }
            Op::Count(counter) => {
                at.effects |= at.residual;
                at.counted += usize::from(at.residual);
                self.effect(at, Effect::Count(*counter));
            }
            Op::Limit(limit, over) => {
                at.touch();
                at.settled = false;
                if at.concrete {
                    let within = self.state.within(*limit, &self.out.effects, self.facts.l3_length, self.now);
                    if within {
                        self.out.effects.push(Effect::Take(*limit));
                    }
                    at.concrete = within != *over;
                }
            }
            Op::Quota(quota, over) => {
                at.touch();
                at.settled = false;
                if at.concrete {
                    let exceeded = self.state.exceeded(*quota, &self.out.effects, self.facts.l3_length);
                    self.out.effects.push(Effect::Use(*quota));
                    at.concrete = exceeded == *over;
                }
            }
            Op::Log(log) => {
                at.touch();
                self.effect(at, Effect::Log(*log));
            }
            Op::SetMark(slot, value) => self.set_mark(*slot, value, at),
            Op::NoTrack => self.no_track(at),
            Op::MaxSegment(value) => self.max_segment(*value, at),
            Op::SetField(field, value) => self.set_field(*field, *value, at),
            Op::FlowAdd => {
                self.narrow(Scope::Plain, 0, at, |walker, plain| flow_add::takes(walker.facts, plain));
            }
            Op::Change(change, key) => self.change(*change, key, at),
            Op::Vmap(map) => return self.vmap(rule, map, at),
            Op::Verdict(verdict) => return self.verdict(rule, *verdict, at),
            Op::Reject(kind) => {
                let with = reject_with(*kind, self.facts.family);
                return Some(self.end(rule, Outcome::Reject(with), at));
            }
            Op::Nat(nat) => return self.nat(rule, nat, at),
        }
        None
    }

    fn effect(&mut self, at: &Progress, effect: Effect) {
        if at.concrete {
            self.out.effects.push(effect);
        }
    }

    /// A condition: who fails it leaves the rule.
    #[inline]
    fn narrow(&mut self, scope: Scope, marks: u8, at: &mut Progress, holds: impl Fn(&Self, bool) -> bool) {
        if scope == Scope::Packet || marks & self.unknown != 0 {
            at.settled = false;
            at.concrete = at.concrete && holds(self, false);
        } else if scope == Scope::Flow {
            if !holds(self, false) {
                at.concrete = false;
                at.residual = false;
            }
        } else {
            at.concrete = at.concrete && holds(self, false);
            at.residual = at.residual && holds(self, true);
        }
    }

    fn end_concrete(&mut self, outcome: Outcome, rule: Option<RuleId>) {
        if !self.live {
            return;
        }
        self.live = false;
        self.out.outcome = outcome;
        self.out.rule = rule;
        self.out.effects.extend(rule.map(Effect::Hit));
        self.left = Some(Changed {
            mark: self.facts.mark,
            ct_mark: self.facts.connection.map(|connection| connection.mark),
            ct_state: self.facts.ct_state,
        });
    }

    fn end_residual(&mut self, outcome: Outcome, decider: Option<RuleId>) {
        if let Residual::Steps { end, rule, .. } = &mut self.out.residual
            && self.rest == Rest::Open
        {
            (*end, *rule) = (outcome, decider);
            self.rest = Rest::Closed;
        }
    }

    fn give_up(&mut self, reason: WalkReason) {
        if self.open() {
            self.rest = Rest::Gone;
            self.out.residual = Residual::Walk(reason);
        }
    }

    /// What a rule does for each packet. It `passes` if its last statement is not the end of the base chain.
    fn push_steps(&mut self, rule: &Rule, at: &Progress, passes: bool) {
        if at.counts && at.settled {
            let counter = |op: &Op| if let Op::Count(counter) = op { Some(*counter) } else { None };
            for counter in rule.ops.iter().filter_map(counter).take(at.counted) {
                self.push_step(RuleStep::Count(counter));
            }
            if passes {
                self.push_step(RuleStep::Hit(rule.id));
            }
        } else {
            self.push_step(RuleStep::Rule(rule.id));
        }
    }

    fn push_step(&mut self, step: RuleStep) {
        match &mut self.out.residual {
            Residual::Steps { steps, .. } if self.rest == Rest::Open => {
                let rules = steps.iter().filter(|step| matches!(step, RuleStep::Rule(_))).count();
                if rules < MAX_STEPS && steps.len() < MAX_COUNTS {
                    steps.push(step);
                } else {
                    self.give_up(WalkReason::TooManySteps);
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn reject_with(kind: RejectKind, family: Family) -> RejectWith {
    let icmp = |v4, v6| match family {
        Family::Ipv4 => RejectWith::Icmp(v4),
        Family::Ipv6 => RejectWith::Icmpv6(v6),
    };
    match kind {
        RejectKind::TcpReset => RejectWith::TcpReset,
        RejectKind::Icmp(code) => RejectWith::Icmp(code),
        RejectKind::Icmp6(code) => RejectWith::Icmpv6(code),
        RejectKind::IcmpX(IcmpX::NoRoute) => icmp(0, 0),
        RejectKind::IcmpX(IcmpX::PortUnreachable) => icmp(3, 4),
        RejectKind::IcmpX(IcmpX::HostUnreachable) => icmp(1, 3),
        RejectKind::IcmpX(IcmpX::AdminProhibited) => icmp(13, 1),
    }
}
