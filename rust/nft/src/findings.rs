//! What is probably not meant, though it is no error.
use std::collections::HashSet;
use std::sync::Arc;

use thiserror::Error;

use crate::ast::{
    Chain, Counter, Element, Hook, Interval, Lookup, MapSource, MarkValue, Match, NatValue, Operator, Policy,
    Rhs, Rule, RulesetAst, Span, Statement, Table, Verdict,
};
use crate::context::Context;
use crate::error::LanguageError;
use crate::field::{Field, TableFamily, TcpOption};
use crate::include::{Includes, NoIncludes};
use crate::parser::{MAX_ERRORS, parse_with_defines};

/// How many rules before a rule are compared with it.
const MAX_COMPARED_RULES: usize = 1000;
/// How many pairs of elements are compared to see whether one set is within another.
const MAX_COMPARED_ELEMENTS: usize = 10_000;
/// Connection tracking comes at this priority of prerouting and output (`NF_IP_PRI_CONNTRACK` of Linux).
const PRIORITY_CONNTRACK: i32 = -200;

/// Something that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub span: Span,
    /// What.
    pub doubt: Doubt,
}

/// What is doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Doubt {
    /// A rule that no packet reaches.
    #[error("no packet gets here: the rule in line {}{} takes all that this one could", by.line, of_file(file.as_deref()))]
    Unreachable {
        /// The rule that takes them.
        by: Span,
        /// Its file, if that is another one.
        file: Option<Arc<str>>,
    },
    /// `define` without a use.
    #[error("variable `{name}` is not used")]
    UnusedVariable {
        /// Its name.
        name: String,
    },
    /// A set or map without a use.
    #[error("set `{name}` of table `{table}` is not used")]
    UnusedSet {
        /// The table.
        table: String,
        /// Its name.
        name: String,
    },
    /// A named counter without a use.
    #[error("counter `{name}` of table `{table}` is not used")]
    UnusedCounter {
        /// The table.
        table: String,
        /// Its name.
        name: String,
    },
    /// A chain without hook that nothing jumps to.
    #[error("nothing jumps to chain `{name}` of table `{table}`")]
    UnusedChain {
        /// The table.
        table: String,
        /// Its name.
        name: String,
    },
    /// A base chain that lets everything pass.
    #[error("chain `{name}` of table `{table}` has no rules and accepts everything")]
    EmptyBaseChain {
        /// The table.
        table: String,
        /// Its name.
        name: String,
    },
    /// A question about the connection before it is looked up.
    #[error(
        "connections are looked up at priority -200, after this chain: what is asked of them is not known yet"
    )]
    ConnectionBeforeTracking,
}

/// A variable that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnusedDefine {
    pub name: String,
    pub span: Span,
}

/// Reads a rule set and tells what is probably not meant, in the order of the text.
///
/// # Errors
///
/// As [`crate::parse`].
pub fn check(text: &str, file_name: &str) -> Result<(RulesetAst, Vec<Finding>), Vec<LanguageError>> {
    check_including(text, file_name, &mut NoIncludes)
}

/// As [`check`], of a rule set whose `include` commands get their texts from the caller.
///
/// # Errors
///
/// As [`crate::parse_including`].
pub fn check_including(
    text: &str,
    file_name: &str,
    includes: &mut dyn Includes,
) -> Result<(RulesetAst, Vec<Finding>), Vec<LanguageError>> {
    let (ruleset, unused) = parse_with_defines(text, file_name, includes, MAX_ERRORS)?;
    let mut found = findings(&ruleset);
    name_files(&mut found, &ruleset, file_name);
    found.extend(
        unused
            .into_iter()
            .map(|define| Finding { span: define.span, doubt: Doubt::UnusedVariable { name: define.name } }),
    );
    found.sort_by_key(|finding| (finding.span.file, finding.span.line, finding.span.column));
    Ok((ruleset, found))
}

fn of_file(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" of {name}"))
}

/// Tells the files of rules that are in other ones than those that they make unreachable.
fn name_files(found: &mut [Finding], ruleset: &RulesetAst, file_name: &str) {
    for Finding { span, doubt } in found {
        let Doubt::Unreachable { by, file } = doubt else { continue };
        if by.file != span.file {
            *file = match by.file.checked_sub(1) {
                None => Some(file_name.into()),
                Some(index) => ruleset.included.0.get(usize::from(index)).cloned(),
            };
        }
    }
}

/// What is probably not meant in a rule set. Files have no names here: those of [`check_including`] do.
#[must_use]
pub fn findings(ruleset: &RulesetAst) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in &ruleset.tables {
        unused(table, &mut found);
        let changes = Changes::of(table);
        for chain in &table.chains {
            unreachable(&changes, chain, &mut found);
        }
    }
    found.sort_by_key(|finding| (finding.span.file, finding.span.line, finding.span.column));
    found
}

fn unused(table: &Table, found: &mut Vec<Finding>) {
    let mut chains = HashSet::new();
    let mut sets = HashSet::new();
    let mut counters = HashSet::new();
    for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
        chains.extend(rule.jump_targets(table));
        for statement in &rule.statements {
            sets.extend(named_sets(statement));
            if let Statement::Counter(Counter::Named(name)) = statement {
                counters.insert(name.as_str());
            }
        }
    }
    let of = || table.name.clone();
    for set in table.sets.iter().filter(|set| !sets.contains(set.name.as_str())) {
        let doubt = Doubt::UnusedSet { table: of(), name: set.name.clone() };
        found.push(Finding { span: set.span, doubt });
    }
    for counter in table.counters.iter().filter(|counter| !counters.contains(counter.name.as_str())) {
        let doubt = Doubt::UnusedCounter { table: of(), name: counter.name.clone() };
        found.push(Finding { span: counter.span, doubt });
    }
    for chain in &table.chains {
        let name = chain.name.clone();
        match &chain.base {
            None if !chains.contains(chain.name.as_str()) => {
                found.push(Finding { span: chain.span, doubt: Doubt::UnusedChain { table: of(), name } });
            }
            Some(base) if chain.rules.is_empty() && base.policy == Policy::Accept => {
                found.push(Finding { span: chain.span, doubt: Doubt::EmptyBaseChain { table: of(), name } });
            }
            Some(base)
                if base.priority <= PRIORITY_CONNTRACK
                    && matches!(base.hook, Hook::Prerouting | Hook::Output) =>
            {
                before_tracking(chain, found);
            }
            _ => {}
        }
    }
}

fn named_sets(statement: &Statement) -> Vec<&str> {
    let lookups: Vec<&Lookup> = match statement {
        Statement::Match(Match { rhs: Rhs::Named(name), .. }) => return vec![name],
        Statement::Dynamic(dynamic) => return vec![&dynamic.set],
        Statement::Vmap(lookup)
        | Statement::SetMark(MarkValue::Map(lookup))
        | Statement::SetCtMark(MarkValue::Map(lookup)) => vec![lookup],
        Statement::Nat(nat) => [&nat.address, &nat.port]
            .into_iter()
            .filter_map(|value| match value {
                Some(NatValue::Map(lookup)) => Some(lookup),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    lookups
        .into_iter()
        .filter_map(|lookup| match &lookup.map {
            MapSource::Named(name) => Some(name.as_str()),
            MapSource::Anonymous(_) => None,
        })
        .collect()
}

fn before_tracking(chain: &Chain, found: &mut Vec<Finding>) {
    for rule in &chain.rules {
        for (index, statement) in rule.statements.iter().enumerate() {
            let fields = match statement {
                Statement::Match(found) => &found.key.fields,
                Statement::Vmap(lookup) => &lookup.key.fields,
                Statement::Dynamic(dynamic) => &dynamic.key.fields,
                _ => continue,
            };
            if fields.iter().any(|field| asks_connection(*field)) {
                let span = rule.spans.get(index).copied().unwrap_or(rule.span);
                found.push(Finding { span, doubt: Doubt::ConnectionBeforeTracking });
            }
        }
    }
}

fn asks_connection(field: Field) -> bool {
    matches!(
        field,
        Field::CtState
            | Field::CtDirection
            | Field::CtStatus
            | Field::CtMark
            | Field::CtExpiration
            | Field::CtTuple(..)
    )
}

/// Rules behind one that ends the chain for all packets that they could match.
fn unreachable(changes: &Changes<'_>, chain: &Chain, found: &mut Vec<Finding>) {
    let mut enders: Vec<(Vec<&Match>, Span)> = Vec::new();
    for rule in &chain.rules {
        let matches: Vec<&Match> = matches_of(rule).collect();
        let by = enders.iter().rev().take(MAX_COMPARED_RULES).find(|(before, _)| {
            before.iter().all(|before| matches.iter().any(|found| within(found, before)))
        });
        if let Some((before, by)) = by {
            found.push(Finding { span: rule.span, doubt: Doubt::Unreachable { by: *by, file: None } });
            if before.is_empty() {
                // All that follows is as unreachable; telling it once is enough.
                return;
            }
        } else if ends_for_all_it_matches(changes, rule) {
            enders.push((matches, rule.span));
        }
    }
}

fn matches_of(rule: &Rule) -> impl Iterator<Item = &Match> {
    rule.statements.iter().filter_map(|statement| match statement {
        Statement::Match(found) => Some(found),
        _ => None,
    })
}

/// Whether the rule takes every packet that its matches hold for, and always the same ones.
fn ends_for_all_it_matches(changes: &Changes<'_>, rule: &Rule) -> bool {
    let ends = match rule.statements.last() {
        Some(Statement::Verdict(verdict)) => {
            matches!(verdict, Verdict::Accept | Verdict::Drop | Verdict::Return | Verdict::Goto(_))
        }
        Some(Statement::Reject(_)) => true,
        Some(Statement::Nat(nat)) => {
            // A map may not have the packet; to an address packets of the other family are not translated.
            let map = |value: &Option<NatValue>| matches!(value, Some(NatValue::Map(_)));
            let settled = Context::after(changes.family, &rule.statements).network() == Some(nat.family);
            !map(&nat.address) && !map(&nat.port) && (nat.address.is_none() || settled)
        }
        _ => false,
    };
    ends && rule.statements.iter().all(|statement| match statement {
        Statement::Match(found) => !changes.may_change(found),
        Statement::Counter(_)
        | Statement::NfTrace(_)
        | Statement::Log(_)
        | Statement::Verdict(_)
        | Statement::Reject(_)
        | Statement::Nat(_) => true,
        _ => false,
    })
}

/// What the rules of a table may change between two looks at a packet.
struct Changes<'t> {
    family: TableFamily,
    /// Sets that rules put elements into or take them out of.
    filled: HashSet<&'t str>,
    /// Packets are taken from their connections.
    untracked: bool,
}

impl<'t> Changes<'t> {
    fn of(table: &'t Table) -> Self {
        let filled = table.sets.iter().filter(|set| set.dynamic).map(|set| set.name.as_str());
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let untracked =
            rules.flat_map(|rule| &rule.statements).any(|statement| matches!(statement, Statement::NoTrack));
        Self { family: table.family, filled: filled.collect(), untracked }
    }

    /// Whether a match may hold for a packet, and later not, or the other way round.
    fn may_change(&self, found: &Match) -> bool {
        let field = |field: &Field| match field {
            Field::Mark
            | Field::CtMark
            | Field::IpDscp
            | Field::Ip6Dscp
            | Field::IpTtl
            | Field::Ip6HopLimit
            | Field::IpChecksum
            | Field::TcpChecksum => true,
            Field::TcpOption(option) => *option == TcpOption::MAX_SEGMENT,
            Field::CtState => self.untracked,
            _ => false,
        };
        found.key.fields.iter().any(field)
            || matches!(&found.rhs, Rhs::Named(name) if self.filled.contains(name.as_str()))
    }
}

/// Whether every packet for which `inner` holds is one for which `outer` holds.
fn within(inner: &Match, outer: &Match) -> bool {
    if inner.key != outer.key {
        return false;
    }
    if inner.operator == outer.operator && inner.rhs == outer.rhs {
        return true;
    }
    match (inner.operator, outer.operator, &inner.rhs, &outer.rhs) {
        (Operator::AnyBit, Operator::AnyBit, Rhs::Value(inner), Rhs::Value(outer)) => inner & !outer == 0,
        (Operator::NoBit, Operator::NoBit, Rhs::Value(inner), Rhs::Value(outer)) => outer & !inner == 0,
        (Operator::Equal, Operator::Equal, inner, outer) => {
            let (Some(inner), Some(outer)) = (elements(inner), elements(outer)) else { return false };
            inner.len().saturating_mul(outer.len()) <= MAX_COMPARED_ELEMENTS
                && inner.iter().all(|inner| outer.iter().any(|outer| element_within(inner, outer)))
        }
        _ => false,
    }
}

fn elements(rhs: &Rhs) -> Option<Vec<Element>> {
    Some(match rhs {
        Rhs::Value(value) => vec![smallvec::smallvec![Interval::single(*value)]],
        Rhs::Range(element) => vec![element.clone()],
        Rhs::Anonymous(elements) => elements.iter().map(|element| element.key.clone()).collect(),
        Rhs::Named(_) => return None,
    })
}

fn element_within(inner: &Element, outer: &Element) -> bool {
    inner.iter().zip(outer).all(|(inner, outer)| outer.low <= inner.low && inner.high <= outer.high)
}
