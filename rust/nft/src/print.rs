//! Rule sets to text, as `nft list ruleset` would print them.
mod expression;
mod statement;

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{
    Base, Chain, ChainKind, CounterObject, DataOf, Flowtable, Hook, KeyType, Limit, Object, Policy, Quota,
    Rule, RulesetAst, Set, Statement, Table,
};
use crate::field::TableFamily;
use crate::parser::objects::{PRIORITIES, priority_at};

use expression::{joined, print_elements, print_field, print_time};
use statement::{print_amount, print_rate, print_statement};

/// How far from a named priority nft prints its name and the difference.
const NEAR_PRIORITY: i32 = 10;

impl Display for RulesetAst {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            write!(out, "{table}")?;
        }
        Ok(())
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "table {} {} {{", self.family.keyword(), self.name)?;
        let mut first = true;
        let mut gap =
            |out: &mut Formatter<'_>| if std::mem::take(&mut first) { Ok(()) } else { writeln!(out) };
        if let Some(comment) = &self.comment {
            gap(out)?;
            writeln!(out, "\tcomment \"{comment}\"")?;
        }
        for counter in &self.counters {
            gap(out)?;
            print_counter(out, counter)?;
        }
        for limit in &self.limits {
            gap(out)?;
            print_object(out, "limit", limit, |out, limit: &Limit| print_rate(out, limit))?;
        }
        for quota in &self.quotas {
            gap(out)?;
            print_object(out, "quota", quota, |out, quota: &Quota| print_amount(out, quota))?;
        }
        for set in self.sets.iter().filter(|set| !set.meter) {
            gap(out)?;
            print_set(out, set)?;
        }
        for flowtable in &self.flowtables {
            gap(out)?;
            print_flowtable(out, flowtable)?;
        }
        for chain in self.chains.iter().filter(|chain| !chain.anonymous) {
            gap(out)?;
            print_chain(out, chain, self)?;
        }
        writeln!(out, "}}")
    }
}

fn print_counter(out: &mut Formatter<'_>, counter: &CounterObject) -> fmt::Result {
    writeln!(out, "\tcounter {} {{", counter.name)?;
    if let Some(comment) = &counter.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    writeln!(out, "\t\tpackets {} bytes {}\n\t}}", counter.packets, counter.bytes)
}

fn print_object<T>(
    out: &mut Formatter<'_>,
    keyword: &str,
    object: &Object<T>,
    print: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    writeln!(out, "\t{keyword} {} {{", object.name)?;
    if let Some(comment) = &object.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    out.write_str("\t\t")?;
    print(out, &object.value)?;
    writeln!(out, "\n\t}}")
}

fn print_flowtable(out: &mut Formatter<'_>, flowtable: &Flowtable) -> fmt::Result {
    writeln!(out, "\tflowtable {} {{", flowtable.name)?;
    writeln!(out, "\t\thook ingress priority {}", Priority(flowtable.priority, Hook::Forward))?;
    if !flowtable.devices.is_empty() {
        out.write_str("\t\tdevices = { ")?;
        joined(out, &flowtable.devices, ", ", |out, device| write!(out, "\"{device}\""))?;
        writeln!(out, " }}")?;
    }
    if flowtable.offload {
        writeln!(out, "\t\tflags offload")?;
    }
    if flowtable.counter {
        writeln!(out, "\t\tcounter")?;
    }
    writeln!(out, "\t}}")
}

fn print_set(out: &mut Formatter<'_>, set: &Set) -> fmt::Result {
    writeln!(out, "\t{} {} {{", if set.data.is_some() { "map" } else { "set" }, set.name)?;
    write!(out, "\t\t{}", TypeList(&set.key, true))?;
    match &set.data {
        None => {}
        Some(DataOf::Verdict) => out.write_str(" : verdict")?,
        Some(DataOf::Values { key, interval }) => {
            write!(out, " : {}{}", if *interval { "interval " } else { "" }, TypeList(key, false))?;
        }
    }
    writeln!(out)?;
    if let Some(size) = set.size {
        writeln!(out, "\t\tsize {size}")?;
    }
    let flags = [
        (set.constant, "constant"),
        (set.dynamic, "dynamic"),
        (set.interval, "interval"),
        (set.expires, "timeout"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if !flags.is_empty() {
        writeln!(out, "\t\tflags {}", flags.join(","))?;
    }
    for (time, name) in [(set.timeout, "timeout"), (set.gc_interval, "gc-interval")] {
        if let Some(time) = time {
            write!(out, "\t\t{name} ")?;
            print_time(out, time.into())?;
            writeln!(out)?;
        }
    }
    if set.auto_merge {
        writeln!(out, "\t\tauto-merge")?;
    }
    if let Some(comment) = &set.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    if !set.elements.is_empty() {
        let data = match &set.data {
            Some(DataOf::Values { key, .. }) => key.data_types(),
            _ => smallvec::SmallVec::new(),
        };
        write!(out, "\t\telements = ")?;
        print_elements(out, &set.elements, &set.key.data_types(), &data, ",\n\t\t\t     ")?;
        writeln!(out)?;
    }
    writeln!(out, "\t}}")
}

/// A list of types or fields, with the keyword in front or not.
struct TypeList<'a>(&'a KeyType, bool);

impl Display for TypeList<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            KeyType::Types(types) => {
                out.write_str(if self.1 { "type " } else { "" })?;
                joined(out, types, " . ", |out, of| write!(out, "{of}"))
            }
            KeyType::TypeOf(fields) => {
                out.write_str(if self.1 { "typeof " } else { "" })?;
                joined(out, fields, " . ", |out, field| print_field(out, *field))
            }
        }
    }
}

fn print_chain(out: &mut Formatter<'_>, chain: &Chain, table: &Table) -> fmt::Result {
    writeln!(out, "\tchain {} {{", chain.name)?;
    if let Some(comment) = &chain.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    if let Some(base) = &chain.base {
        writeln!(out, "\t\t{base}")?;
    }
    for rule in &chain.rules {
        writeln!(out, "\t\t{}", RuleText { rule, family: table.family, table: Some(table) })?;
    }
    writeln!(out, "\t}}")
}

impl Display for Base {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (kind, hook) = (self.kind.keyword(), self.hook.keyword());
        let policy = match self.policy {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        };
        write!(
            out,
            "type {kind} hook {hook} priority {}; policy {policy};",
            Priority(self.priority, self.hook)
        )
    }
}

struct Priority(i32, Hook);

impl Display for Priority {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let near = PRIORITIES.iter().find(|&&(name, value)| {
            priority_at(name, self.1) && self.0.checked_sub(value).is_some_and(|by| by.abs() <= NEAR_PRIORITY)
        });
        match near {
            None => write!(out, "{}", self.0),
            Some(&(name, value)) => match self.0 - value {
                0 => out.write_str(name),
                by if by > 0 => write!(out, "{name} + {by}"),
                by => write!(out, "{name} - {}", -by),
            },
        }
    }
}

impl ChainKind {
    /// As it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

impl Hook {
    /// As it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// A rule on its way to text.
struct RuleText<'a> {
    rule: &'a Rule,
    family: TableFamily,
    /// Where the chains stand that are written within the rule.
    table: Option<&'a Table>,
}

impl Rule {
    /// The rule as text, in a table of the family.
    #[must_use]
    pub fn display(&self, family: TableFamily) -> impl Display + '_ {
        RuleText { rule: self, family, table: None }
    }
}

impl Display for RuleText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for statement in &self.rule.statements {
            if matches!(statement, Statement::Match(found) if found.implicit) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.write_char(' ')?;
            }
            print_statement(out, statement, self.family, self.table)?;
        }
        match &self.rule.comment {
            Some(comment) => write!(out, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}
