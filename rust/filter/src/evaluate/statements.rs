//! What statements with more to them than a comparison do to a walk.

use crate::dynamic::Live;
use crate::facts::CtState;
use crate::op::{Key, Map, MarkValue, Nat, Rule, Scope, Slot, Verdict};
use crate::outcome::{Effect, Outcome, WalkReason};
use netfast_nft::ast::MaxSegment;
use netfast_nft::field::Field;

use super::options::{announced, fitting};
use super::read::{TCP, values};
use super::trace::Tracer;
use super::{Next, Progress, Walker};

impl<T: Tracer> Walker<'_, '_, T> {
    pub(super) fn set_mark(&mut self, slot: Slot, value: &MarkValue, at: &mut Progress) {
        let mut source = 0;
        let mut plain = false;
        match value {
            MarkValue::Constant(_) => {}
            MarkValue::Computed { from, .. } => {
                source = *from as u8;
                self.narrow(Scope::Flow, 0, at, |walker, _| walker.mark(*from).is_some());
            }
            MarkValue::Map(map) => {
                source = map.key.marks;
                plain = map.key.scope != Scope::Flow;
                let hit = |walker: &Self, plain| {
                    walker.rules.find(map, walker.facts, plain, &walker.live()).is_some()
                };
                self.narrow(map.key.scope, map.key.marks, at, hit);
            }
        }
        at.touch();
        // Known, if all plain packets that come here get the mark that the facts get.
        let together = at.residual && (at.concrete || !self.live);
        let known = together && at.settled && !plain && source & self.unknown == 0;
        if (at.residual || at.concrete) && self.open() {
            self.unknown = if known { self.unknown & !(slot as u8) } else { self.unknown | slot as u8 };
            if self.exits || !self.live {
                self.parted |= slot as u8;
            }
        }
        if !at.concrete && (self.live || !known) {
            return;
        }
        let Some(mark) = self.rules.new_mark(value, self.facts, &self.live()) else { return };
        match (slot, &mut self.facts.connection) {
            (Slot::Packet, _) => {
                self.facts.mark = mark;
                self.effect(at, Effect::Mark(mark));
            }
            (Slot::Connection, Some(connection)) => {
                connection.mark = mark;
                self.effect(at, Effect::CtMark(mark));
            }
            (Slot::Connection, None) => {}
        }
    }

    /// What look-ups in sets that change depend on.
    pub(super) fn live(&self) -> Live<'_> {
        Live { dynamics: &self.state.dynamics, now: self.now, pending: Some(&self.out.keys) }
    }

    /// A statement that changes a set: whether the rule goes on is found out for each packet.
    pub(super) fn change(&mut self, change: u32, key: &Key, at: &mut Progress) {
        at.touch();
        at.settled = false;
        if !at.concrete {
            return;
        }
        let Some(values) = values(key, self.facts, false) else {
            at.concrete = false;
            return;
        };
        let (dynamics, length) = (&self.state.dynamics, self.facts.l3_length);
        let (key, goes_on) = self.out.keys.change(dynamics, change, values, length, self.now);
        self.out.effects.push(Effect::Change(change, key));
        at.concrete = goes_on;
    }

    /// Only segments with SYN have a largest segment (RFC 9293 section 3.7.1), and those of connections are never plain.
    pub(super) fn max_segment(&mut self, value: MaxSegment, at: &mut Progress) {
        if self.facts.protocol != TCP {
            at.concrete = false;
            at.residual = false;
            return;
        }
        at.concrete = at.concrete && !self.facts.fragment;
        if at.residual && self.open() {
            self.out.opening = true;
            if self.facts.connection.is_none() {
                self.give_up(WalkReason::Branch);
                at.residual = false;
            }
        }
        let Some(old) = announced(self.facts).filter(|_| at.concrete) else { return };
        let new = match value {
            MaxSegment::Constant(size) => size,
            MaxSegment::RouteMtu => fitting(self.facts),
        };
        if new < old {
            self.facts.max_segment = Some(new);
            self.out.effects.push(Effect::MaxSegment(new));
        }
    }

    /// A field of the IP header: of plain packets the tables change it, too.
    pub(super) fn set_field(&mut self, field: Field, value: u8, at: &mut Progress) {
        if at.residual && self.open() {
            self.give_up(WalkReason::Branch);
            at.residual = false;
        }
        let effect = match field {
            Field::IpTtl | Field::Ip6HopLimit => Effect::HopLimit(value),
            _ => Effect::Dscp(value),
        };
        if at.concrete {
            match effect {
                Effect::HopLimit(_) => self.facts.hop_limit_now = value,
                _ => self.facts.dscp = Some(value),
            }
            self.out.effects.push(effect);
        }
    }

    pub(super) fn no_track(&mut self, at: &mut Progress) {
        if self.facts.connection.is_some() {
            return;
        }
        if self.open() && (!at.settled || self.exits || !self.live || at.residual != at.concrete) {
            self.give_up(WalkReason::Branch);
        }
        at.touch();
        if at.concrete {
            self.facts.ct_state = CtState::Untracked;
            self.out.effects.push(Effect::NoTrack);
        }
    }

    pub(super) fn vmap(&mut self, rule: &Rule, map: &Map, at: &mut Progress) -> Option<Next> {
        let varies = map.key.scope == Scope::Packet || map.key.marks & self.unknown != 0;
        if !varies {
            let concrete = self.rules.find_verdict(map, self.facts, false, &self.live());
            let plain = match map.key.scope {
                Scope::Flow => concrete,
                _ => self.rules.find_verdict(map, self.facts, true, &self.live()),
            };
            if concrete != plain && at.concrete && at.residual && self.open() {
                self.give_up(WalkReason::Exotic);
                at.residual = false;
            }
            return match if at.concrete { concrete } else { plain } {
                Some(verdict) => self.verdict(rule, verdict, at),
                None => {
                    at.concrete = false;
                    at.residual = false;
                    None
                }
            };
        }
        let found =
            if at.concrete { self.rules.find_verdict(map, self.facts, false, &self.live()) } else { None };
        at.settled = false;
        if self.open() && at.residual {
            if self.rules.branches(map) {
                self.give_up(WalkReason::Branch);
                at.residual = false;
            } else {
                at.touch();
                self.exits = true;
            }
        }
        let outcome = match found {
            Some(Verdict::Accept) => Outcome::Accept,
            Some(Verdict::Drop) => Outcome::Drop,
            Some(Verdict::Continue) => return None,
            Some(verdict) => return self.verdict(rule, verdict, at),
            None => {
                at.concrete = false;
                return None;
            }
        };
        self.tracer.rule_ended(rule.id, &outcome, self.rules);
        self.end_concrete(outcome, Some(rule.id));
        at.concrete = false;
        None
    }

    pub(super) fn verdict(&mut self, rule: &Rule, verdict: Verdict, at: &mut Progress) -> Option<Next> {
        match verdict {
            Verdict::Continue => None,
            Verdict::Accept => Some(self.end(rule, Outcome::Accept, at)),
            Verdict::Drop => Some(self.end(rule, Outcome::Drop, at)),
            Verdict::Return => Some(self.branch(rule, Next::Return, at)),
            Verdict::Jump(chain) => Some(self.branch(rule, Next::Chain(chain), at)),
            Verdict::Goto(chain) => Some(self.branch(rule, Next::Tail(chain), at)),
        }
    }

    /// A verdict that leads elsewhere: both go there, or the residual gives up.
    pub(super) fn branch(&mut self, rule: &Rule, next: Next, at: &Progress) -> Next {
        if self.open() {
            if at.residual && at.settled && (at.concrete || !self.live) {
                self.push_steps(rule, at, true);
            } else if at.residual && !at.settled {
                self.give_up(WalkReason::Branch);
            } else if at.residual || at.concrete {
                self.give_up(WalkReason::Exotic);
            }
        }
        if at.concrete {
            self.out.effects.push(Effect::Hit(rule.id));
            self.tracer.rule_passed(rule.id, self.rules);
        }
        let follows = at.concrete || (at.residual && !self.live && self.open());
        if self.done() {
            Next::Done
        } else if follows {
            next
        } else {
            Next::Rule
        }
    }

    /// A verdict that ends the base chain.
    pub(super) fn end(&mut self, rule: &Rule, outcome: Outcome, at: &mut Progress) -> Next {
        if at.residual && self.open() {
            if !at.settled {
                at.touch();
                self.exits = true;
            }
            if at.effects {
                self.push_steps(rule, at, false);
            }
            if at.settled {
                self.end_residual(outcome, Some(rule.id));
            }
        } else if at.effects {
            self.push_steps(rule, at, false);
        }
        if at.concrete {
            self.tracer.rule_ended(rule.id, &outcome, self.rules);
            self.end_concrete(outcome, Some(rule.id));
        }
        if self.done() { Next::Done } else { Next::Rule }
    }

    pub(super) fn nat(&mut self, rule: &Rule, nat: &Nat, at: &mut Progress) -> Option<Next> {
        for map in nat.maps() {
            let hit =
                |walker: &Self, plain| walker.rules.find(map, walker.facts, plain, &walker.live()).is_some();
            self.narrow(map.key.scope, map.key.marks, at, hit);
        }
        let spec = self.rules.nat_spec(nat, self.facts, &self.live()).filter(|_| nat.fits(self.facts.family));
        if at.residual && !at.settled {
            self.give_up(WalkReason::Branch);
            at.residual = false;
        }
        match spec {
            Some(spec) if at.concrete || at.residual => Some(self.end(rule, Outcome::Nat(spec), at)),
            _ => {
                at.concrete = false;
                at.residual = false;
                None
            }
        }
    }

    pub(super) fn mark(&self, slot: Slot) -> Option<u32> {
        match slot {
            Slot::Packet => Some(self.facts.mark),
            Slot::Connection => self.facts.connection.map(|connection| connection.mark),
        }
    }
}
