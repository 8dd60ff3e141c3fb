//! What waits until more is read: references until the end of a command, the order of elements and of rules that were
//! inserted until the end of the text.
use std::collections::BTreeMap;

use super::{Fault, MAX_CHAINS, MAX_ELEMENTS, MAX_NAMED, Parsed, Parser, Pending};
use crate::ast::{Rule, Set, SetElement, Span, Statement};
use crate::elements::{Merge, normalize};
use crate::error::Problem;

/// How many elements a set has room for that rules put elements into, unless it says so (as nft).
pub(super) const DYNAMIC_SIZE: u32 = 65_535;

/// A table while its text is read.
#[derive(Default)]
pub(super) struct Reading {
    /// By chain: the rules that `insert` puts before those it has, the last one foremost.
    pub inserted: BTreeMap<usize, Vec<Rule>>,
    /// By set: where in its elements each list begins, and stands in the text.
    pub lists: BTreeMap<usize, Vec<(usize, Span)>>,
    /// The number of the next block within a rule.
    pub blocks: u32,
}

impl Parser<'_, '_> {
    /// Looks up what the rules of the last command refer to.
    pub(super) fn settle_references(&mut self) {
        for Pending { table: index, chain, rule } in std::mem::take(&mut self.pending) {
            if self.faults.len() >= self.max_errors {
                return;
            }
            let Some(table) = self.ruleset.tables.get(index) else { continue };
            let Some(rule) = table.chains.get(chain).and_then(|chain| chain.rules.get(rule)) else {
                continue;
            };
            let faults = crate::check::references(table, rule);
            let changed: Vec<String> = rule.statements.iter().filter_map(changed_set).collect();
            if faults.is_empty() && !changed.is_empty() {
                self.make_dynamic(index, &changed);
            }
            self.faults.extend(faults);
        }
    }

    /// Puts rules and elements in their order.
    pub(super) fn settle_order(&mut self) {
        for (table, reading) in self.ruleset.tables.iter_mut().zip(std::mem::take(&mut self.reading)) {
            for (chain, mut rules) in reading.inserted {
                let chain = &mut table.chains[chain];
                rules.reverse();
                rules.append(&mut chain.rules);
                chain.rules = rules;
            }
            for (set, lists) in reading.lists {
                if let Err(fault) = table.sets[set].settle(&lists) {
                    self.faults.push(fault);
                }
            }
            for set in table.sets.iter_mut().filter(|set| set.dynamic) {
                let room = u32::try_from(set.elements.len()).unwrap_or(u32::MAX).max(DYNAMIC_SIZE);
                set.size = set.size.or(Some(room));
            }
        }
        self.faults.truncate(self.max_errors);
    }

    /// Sets that rules change are dynamic, whether or not they say so (as nft).
    fn make_dynamic(&mut self, table: usize, changed: &[String]) {
        let sets = self.ruleset.tables[table].sets.iter_mut();
        sets.filter(|set| changed.contains(&set.name)).for_each(|set| set.dynamic = true);
    }

    /// Takes all rules from a chain.
    pub(super) fn flush_chain(&mut self, table: usize, chain: usize) {
        let rules = &mut self.ruleset.tables[table].chains[chain].rules;
        let inserted = self.reading[table].inserted.remove(&chain).unwrap_or_default();
        self.rules = self.rules.saturating_sub(rules.len() + inserted.len());
        rules.clear();
    }

    /// Removes a table, and what it counts for in the limits.
    pub(super) fn remove_table(&mut self, number: usize) {
        for chain in 0..self.ruleset.tables[number].chains.len() {
            self.flush_chain(number, chain);
        }
        self.reading.remove(number);
        let table = self.ruleset.tables.remove(number);
        self.chains = self.chains.saturating_sub(table.chains.len());
        let others = table.sets.len()
            + table.counters.len()
            + table.limits.len()
            + table.quotas.len()
            + table.flowtables.len();
        self.named = self.named.saturating_sub(others + 1);
    }
}

impl Parser<'_, '_> {
    /// Counts a chain that is declared.
    pub(super) fn count_chain(&mut self, span: Span) -> Parsed<()> {
        let remedy = "use maps of verdicts in place of chains and blocks that are alike";
        count(&mut self.chains, MAX_CHAINS, "chains, blocks in rules among them", remedy, span)
    }

    /// Counts another thing with a name that is declared.
    pub(super) fn count_named(&mut self, span: Span) -> Parsed<()> {
        let remedy = "put what is alike into one set or map, or leave out names";
        count(
            &mut self.named,
            MAX_NAMED,
            "tables, sets, maps, counters, limits, quotas and flow tables",
            remedy,
            span,
        )
    }
}

/// The set that a statement changes.
fn changed_set(statement: &Statement) -> Option<String> {
    match statement {
        Statement::Dynamic(dynamic) => Some(dynamic.set.clone()),
        _ => None,
    }
}

fn count(
    known: &mut usize,
    limit: usize,
    what: &'static str,
    remedy: &'static str,
    span: Span,
) -> Parsed<()> {
    if *known >= limit {
        return Err(Fault { span, problem: Problem::TooMany { what, limit, remedy } });
    }
    *known += 1;
    Ok(())
}

impl Set {
    /// Puts the elements in order. `lists` are those that the text has: what is wrong is told at the first of them with
    /// which it is.
    fn settle(&mut self, lists: &[(usize, Span)]) -> Result<(), Fault> {
        let elements = std::mem::take(&mut self.elements);
        if let [(_, span)] = lists {
            self.elements = self.ordered(elements).map_err(|problem| Fault { span: *span, problem })?;
            return Ok(());
        }
        let read = elements.clone();
        self.elements = self.ordered(elements).map_err(|problem| {
            let end_of = |list: usize| lists.get(list + 1).map_or(read.len(), |next| next.0);
            let sound = |list: &usize| self.ordered(read[..end_of(*list)].to_vec()).is_ok();
            let numbers: Vec<usize> = (0..lists.len()).collect();
            let first = numbers.partition_point(sound).min(lists.len().saturating_sub(1));
            Fault { span: lists.get(first).map_or(self.span, |list| list.1), problem }
        })?;
        Ok(())
    }

    fn ordered(&self, elements: Vec<SetElement>) -> Result<Vec<SetElement>, Problem> {
        let merge = if self.auto_merge { Merge::Adjacent } else { Merge::Never };
        let elements = normalize(elements, merge, !self.interval)?;
        let limit = self.size.map_or(MAX_ELEMENTS, |size| size as usize);
        if elements.len() > limit {
            return Err(Problem::TooMany { what: "elements", limit, remedy: "raise the set's size" });
        }
        Ok(elements)
    }
}
