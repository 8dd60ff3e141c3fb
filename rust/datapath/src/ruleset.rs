//! The rules of a node: taken up, compiled for its ports, read.
use crate::config::Tracking;
use crate::error::NodeError;
use crate::node::Node;
use crate::partition::Partitions;
use netfast_filter::state::RuleState;
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_nft::ast::RulesetAst;
use netfast_time::Instant;
use std::sync::Arc;

impl Node {
    /// Puts a rule set in the place of the one before, at once: each packet sees one or the other. Counters, limits and
    /// quotas of rules that stay the same go on.
    ///
    /// # Errors
    /// [`NodeError::Rules`]; the rule set before stays.
    pub fn set_rules(&mut self, source: RulesetAst) -> Result<(), NodeError> {
        let before = std::mem::replace(&mut self.source, Arc::new(source));
        self.recompile().inspect_err(|_| self.source = before)
    }

    /// The rule set as it was given.
    pub fn source(&self) -> &RulesetAst {
        &self.source
    }

    /// The rule set, compiled.
    pub fn rules(&self) -> &Ruleset {
        &self.rules
    }

    /// Counters, limits and quotas of the rules, up to date.
    pub fn rule_state(&mut self) -> &RuleState {
        self.flush_programs();
        &self.rule_state
    }

    /// Compiles the rules with the ports as they are now.
    pub(crate) fn recompile(&mut self) -> Result<(), NodeError> {
        self.flush_programs();
        let names: Vec<_> = self.ports().map(|(id, port)| (id, port.config.name.as_str())).collect();
        let rules = self.rules.replacement(&self.source, &names, &RulesetLimits::default())?;
        let changed = rules.changed_bases(&self.rules);
        // A chain that came, went or stands elsewhere now was in nobody's walk, or is in everybody's.
        let place = |rules: &Ruleset, base| {
            rules.base(base).map(|chain| (chain.family, chain.hook, chain.kind, chain.priority))
        };
        let come = changed.iter().any(|base| place(&rules, *base) != place(&self.rules, *base));
        self.rule_state = rules.carry(&self.rules, &self.rule_state, self.now);
        if self.now > Instant::ZERO {
            self.rule_state.advance(self.now);
        }
        self.rules = rules;
        let chains = changed.iter().fold(0, |bits, base| bits | Partitions::chain_bit(*base));
        let tracked = (self.tracks, self.translates);
        self.set_tracking();
        if come || tracked != (self.tracks, self.translates) {
            self.partitions.touch_node();
        }
        if chains != 0 {
            self.partitions.touch_chains(chains);
        }
        self.classify();
        Ok(())
    }

    pub(crate) fn set_tracking(&mut self) {
        self.translates = crate::tracking::translates(&self.source);
        self.asks_tuples = crate::tracking::asks_for_tuples(&self.source);
        self.tracks = match self.config.tracking {
            Tracking::On => true,
            Tracking::Off => false,
            Tracking::Auto => self.translates || crate::tracking::asks_for_connections(&self.source),
        };
    }
}
