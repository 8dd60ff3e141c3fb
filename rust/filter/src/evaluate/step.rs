//! Carries out the steps of a program, for one packet after the other.

use netfast_time::Instant;

use crate::dynamic::Live;
use crate::facts::{CtState, Facts};
use crate::op::{MarkValue, Op, Rule, Slot, Verdict};
use crate::outcome::{Effect, LogSink, RuleStep, StepOutcome};
use crate::ruleset::Ruleset;
use crate::state::RuleState;

use super::read::{TCP, values};
use super::{flow_add, reject_with};

impl Ruleset {
    /// Carries out a step of a [`Residual`](crate::outcome::Residual): effects go to `state` and `log` at once, marks
    /// and `notrack` to `facts`.
    ///
    /// The steps of a base chain, in order until one ends it, and then the residual's end do exactly what a walk and
    /// the commitment of its effects do.
    #[inline]
    pub fn step(
        &self,
        step: RuleStep,
        facts: &mut Facts<'_>,
        state: &mut RuleState,
        now: Instant,
        log: &mut impl LogSink,
    ) -> StepOutcome {
        match step {
            RuleStep::Count(counter) => {
                state.count(counter, facts.l3_length);
                StepOutcome::Continue
            }
            RuleStep::Hit(rule) => {
                state.hit(rule, 1);
                StepOutcome::Continue
            }
            RuleStep::Rule(rule) => {
                let Some(rule) = self.rule_at(rule) else { return StepOutcome::Continue };
                match self.carry_out(rule, facts, state, now, log) {
                    Some(outcome) => {
                        state.hit(rule.id, 1);
                        outcome
                    }
                    None => StepOutcome::Continue,
                }
            }
        }
    }

    /// What the rule says; `None` where the packet is none of those that it is about.
    fn carry_out(
        &self,
        rule: &Rule,
        facts: &mut Facts<'_>,
        state: &mut RuleState,
        now: Instant,
        log: &mut impl LogSink,
    ) -> Option<StepOutcome> {
        for op in &rule.ops {
            let ends = match op {
                Op::Vmap(map) => ended(self.find_verdict(map, facts, false, &live(state, now))?),
                Op::Verdict(verdict) => ended(*verdict),
                Op::Reject(kind) => Some(StepOutcome::Reject(reject_with(*kind, facts.family))),
                Op::Nat(nat) => {
                    self.nat_spec(nat, facts, &live(state, now)).filter(|_| nat.fits(facts.family))?;
                    Some(StepOutcome::Accept)
                }
                _ if self.goes_on(op, facts, state, now, log) => None,
                _ => return None,
            };
            if ends.is_some() {
                return ends;
            }
        }
        Some(StepOutcome::Continue)
    }

    /// Carries a statement out that ends nothing: whether the packet goes on to the next one of the rule.
    fn goes_on(
        &self,
        op: &Op,
        facts: &mut Facts<'_>,
        state: &mut RuleState,
        now: Instant,
        log: &mut impl LogSink,
    ) -> bool {
        match op {
            Op::Match(found) => return self.holds(found, facts, false, &live(state, now)),
            Op::Count(counter) => state.count(*counter, facts.l3_length),
            Op::Limit(limit, over) => {
                let within = state.within(*limit, &[], facts.l3_length, now);
                if within {
                    state.apply(Effect::Take(*limit), facts.l3_length, now);
                }
                return within != *over;
            }
            Op::Quota(quota, over) => {
                let exceeded = state.exceeded(*quota, &[], facts.l3_length);
                state.apply(Effect::Use(*quota), facts.l3_length, now);
                return exceeded == *over;
            }
            Op::Log(entry) => log.log(*entry),
            Op::SetMark(slot, value) => return self.set_mark(*slot, value, facts, &live(state, now)),
            Op::Change(change, key) => {
                let key = values(key, facts, false);
                return key.is_some_and(|key| state.dynamics.apply(*change, &key, facts.l3_length, now));
            }
            // Packets that these are about take no steps.
            Op::MaxSegment(_) => return facts.protocol == TCP,
            Op::SetField(..) => {}
            Op::FlowAdd => return flow_add::takes(facts, false),
            Op::NoTrack if facts.connection.is_none() => facts.ct_state = CtState::Untracked,
            Op::NoTrack | Op::Vmap(_) | Op::Verdict(_) | Op::Reject(_) | Op::Nat(_) => {}
        }
        true
    }

    fn set_mark(&self, slot: Slot, value: &MarkValue, facts: &mut Facts<'_>, live: &Live<'_>) -> bool {
        let Some(mark) = self.new_mark(value, facts, live) else { return false };
        match (slot, &mut facts.connection) {
            (Slot::Packet, _) => facts.mark = mark,
            (Slot::Connection, Some(connection)) => connection.mark = mark,
            (Slot::Connection, None) => {}
        }
        true
    }
}

/// What look-ups in sets that change depend on: what a step changes is changed at once.
fn live(state: &RuleState, now: Instant) -> Live<'_> {
    Live { dynamics: &state.dynamics, now, pending: None }
}

/// How a verdict ends the rule. Where it leads elsewhere the walk that made the program went there already.
fn ended(verdict: Verdict) -> Option<StepOutcome> {
    match verdict {
        Verdict::Accept => Some(StepOutcome::Accept),
        Verdict::Drop => Some(StepOutcome::Drop),
        Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_) => Some(StepOutcome::Continue),
        Verdict::Continue => None,
    }
}
