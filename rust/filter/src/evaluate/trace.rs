//! Tells what happens on a walk.

use crate::op::BaseChain;
use crate::outcome::{Outcome, RuleId};
use crate::ruleset::Ruleset;

/// Is told of the concrete packet's way through the rules, in order. Every method does nothing unless implemented.
pub trait Tracer {
    /// Whether anybody listens; `false` makes the telling cost nothing.
    const ACTIVE: bool = true;

    /// A base chain begins.
    fn base(&mut self, _chain: &BaseChain) {}

    /// A jump or goto leads into a chain, which has that name.
    fn chain(&mut self, _name: &str) {}

    /// A rule ended at its statement of that number, from 0, implicit matches included: it did not hold.
    fn rule_failed(&mut self, _rule: RuleId, _statement: usize, _rules: &Ruleset) {}

    /// A rule came to its end, or its verdict leads elsewhere.
    fn rule_passed(&mut self, _rule: RuleId, _rules: &Ruleset) {}

    /// A rule's verdict ended the base chain.
    fn rule_ended(&mut self, _rule: RuleId, _outcome: &Outcome, _rules: &Ruleset) {}

    /// The policy of the base chain holds.
    fn policy(&mut self, _chain: &BaseChain) {}
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTracer;

impl Tracer for NoTracer {
    const ACTIVE: bool = false;
}
