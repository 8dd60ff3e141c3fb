//! What a configuration says that its author may not have meant.
use crate::{Family, Fib, Prefix, RouteEntry, RouteKey, RouteKind, RuleAction, TableId, Unresolved};
use std::collections::BTreeSet;
use std::fmt;

/// Something that is allowed, but odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Never used while a route of the same prefix with a lower metric can be.
    Shadowed {
        /// The route.
        route: RouteKey,
        /// The one that is used.
        by: RouteKey,
    },
    /// Says nothing that a less specific route does not say, too.
    Redundant {
        /// The route.
        route: RouteKey,
        /// The less specific one.
        covered_by: RouteKey,
    },
    /// One of its next hops cannot be used.
    Unresolved {
        /// The route.
        route: RouteKey,
        /// The first reason.
        reason: Unresolved,
        /// True when none can be used.
        entirely: bool,
    },
    /// A table that has routes, but that no rule of the routes' family leads to.
    UnusedTable {
        /// The table.
        table: TableId,
        /// The family.
        family: Family,
    },
    /// Rules that look into a table without routes of either family.
    EmptyTable {
        /// The priority of the rules.
        priority: u32,
        /// The table.
        table: TableId,
    },
    /// A rule that matches every packet and decides stands before this one.
    UnreachableRule {
        /// The rule's family.
        family: Family,
        /// The rule's index.
        rule: usize,
        /// The index of the one before it.
        by: usize,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadowed { route, by } => {
                write!(f, "route {route}: not used while that of metric {} is there", by.metric)
            }
            Self::Redundant { route, covered_by } => {
                write!(f, "route {route}: {} has the same next hops; it can be left out", covered_by.prefix)
            }
            Self::Unresolved { route, reason, entirely: true } => {
                write!(f, "route {route}: not used, {reason}")
            }
            Self::Unresolved { route, reason, .. } => {
                write!(f, "route {route}: not all of its hops are used, {reason}")
            }
            Self::UnusedTable { table, family } => {
                write!(f, "table {table}: no rule leads to its {family} routes; add one that looks it up")
            }
            Self::EmptyTable { priority, table } => {
                write!(f, "rule {priority}: table {table} has no routes; add some to it, or remove the rule")
            }
            Self::UnreachableRule { family, rule, by } => {
                write!(f, "{family} rule {rule} (from 0): rule {by} before it takes every packet")
            }
        }
    }
}

impl Fib {
    /// What a configuration says that its author may not have meant: routes by table and prefix, then tables, then rules.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for table in self.tables() {
            self.routes_of(table, &mut findings);
        }
        for table in self.tables() {
            let families = [Family::V4, Family::V6].into_iter();
            let unused = families
                .filter(|family| self.has_routes(table, *family) && !self.is_looked_up(table, *family));
            findings.extend(unused.map(|family| Finding::UnusedTable { table, family }));
        }
        findings.extend(self.empty_tables());
        for family in [Family::V4, Family::V6] {
            findings.extend(self.unreachable_rules(family));
        }
        findings
    }

    /// A rule for both families is two, and is told once.
    fn empty_tables(&self) -> impl Iterator<Item = Finding> {
        let rules = [Family::V4, Family::V6].into_iter().flat_map(|family| self.rules(family));
        let looks: BTreeSet<_> = rules
            .filter_map(|rule| match rule.action {
                RuleAction::Lookup(TableId::LOCAL | TableId::MAIN | TableId::DEFAULT) => None,
                RuleAction::Lookup(table) => Some((rule.priority, table)),
                _ => None,
            })
            .collect();
        let empty = |table| [Family::V4, Family::V6].iter().all(|family| !self.has_routes(table, *family));
        let found = looks.into_iter().filter(move |(_, table)| empty(*table));
        found.map(|(priority, table)| Finding::EmptyTable { priority, table })
    }

    fn routes_of(&self, table: TableId, findings: &mut Vec<Finding>) {
        let Some(prefixes) = self.table(table).map(|table| table.prefixes()) else { return };
        // The used routes whose prefixes contain the present one, the longest last.
        let mut covering: Vec<(Prefix, &RouteEntry)> = Vec::new();
        for (prefix, alternatives) in prefixes {
            let best = alternatives.best.and_then(|id| self.route(id));
            for entry in alternatives.routes.iter().filter_map(|id| self.route(*id)) {
                let route = entry.route.key();
                if let Some(reason) = entry.unresolved {
                    findings.push(Finding::Unresolved { route, reason, entirely: !entry.is_usable() });
                }
                match best.map(|best| best.route.key()) {
                    Some(by) if by.metric < route.metric => findings.push(Finding::Shadowed { route, by }),
                    _ => {}
                }
            }
            while covering.last().is_some_and(|(outer, _)| !outer.covers(prefix)) {
                covering.pop();
            }
            let Some(best) = best else { continue };
            if let Some((_, outer)) = covering.last().filter(|(_, outer)| says_the_same(best, outer)) {
                let (route, covered_by) = (best.route.key(), outer.route.key());
                findings.push(Finding::Redundant { route, covered_by });
            }
            covering.push((*prefix, best));
        }
    }

    fn has_routes(&self, table: TableId, family: Family) -> bool {
        let prefixes = self.table(table).into_iter().flat_map(|table| table.prefixes());
        prefixes.into_iter().any(|(prefix, _)| prefix.family() == family)
    }

    fn is_looked_up(&self, table: TableId, family: Family) -> bool {
        self.rules(family).iter().any(|rule| rule.action == RuleAction::Lookup(table))
    }

    fn unreachable_rules(&self, family: Family) -> impl Iterator<Item = Finding> {
        let rules = self.rules(family);
        let all = |prefix: Option<Prefix>| prefix.is_none_or(|prefix| prefix.length() == 0);
        let last = rules.iter().position(|rule| {
            let decides = !matches!(rule.action, RuleAction::Lookup(_));
            let everything = all(rule.from)
                && all(rule.to)
                && rule.in_port.is_none()
                && rule.mark.is_none_or(|(_, mask)| mask == 0)
                && rule.dscp.is_none();
            decides && everything && !rule.invert
        });
        let behind = last.map_or(rules.len(), |last| last + 1)..rules.len();
        behind.map(move |rule| Finding::UnreachableRule { family, rule, by: last.unwrap_or(rule) })
    }
}

fn says_the_same(inner: &RouteEntry, outer: &RouteEntry) -> bool {
    let (a, b) = (&inner.route, &outer.route);
    let same_kind = match (&a.kind, &b.kind) {
        (RouteKind::Unicast(_), RouteKind::Unicast(_)) => inner.group == outer.group,
        // Each local and broadcast address is meant as such.
        (RouteKind::Local(_) | RouteKind::Broadcast(_), _) => false,
        (one, other) => one == other,
    };
    same_kind && a.preferred_source == b.preferred_source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NextHop, Route, Rule};

    fn route(text: &str, port: u32) -> Route {
        Route::new(text.parse().unwrap(), RouteKind::Unicast(vec![NextHop::port(port)]))
    }

    fn texts(fib: &Fib) -> Vec<String> {
        fib.findings().iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_plain_configuration_is_not_remarked_upon() {
        let mut fib = Fib::new(1);
        for (prefix, port) in [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.0.0.0/16", 1), ("::/0", 1)] {
            fib.add_route(route(prefix, port)).unwrap();
        }
        for host in ["10.0.0.1/32", "127.0.0.0/8", "127.0.0.1/32"] {
            let local = Route::new(host.parse().unwrap(), RouteKind::Local(1));
            fib.add_route(Route { table: TableId::LOCAL, ..local }).unwrap();
        }
        assert_eq!(texts(&fib), [""; 0]);
    }

    #[test]
    fn routes_that_are_not_needed_are_named() {
        let mut fib = Fib::new(1);
        fib.add_route(route("0.0.0.0/0", 1)).unwrap();
        fib.add_route(Route { metric: 9, ..route("0.0.0.0/0", 2) }).unwrap();
        fib.add_route(route("10.0.0.0/8", 2)).unwrap();
        fib.add_route(route("10.0.0.0/9", 2)).unwrap();
        fib.add_route(route("11.0.0.0/8", 1)).unwrap();
        let expected = [
            "route 0.0.0.0/0 table main metric 9: not used while that of metric 0 is there",
            "route 10.0.0.0/9 table main metric 0: 10.0.0.0/8 has the same next hops; it can be left out",
            "route 11.0.0.0/8 table main metric 0: 0.0.0.0/0 has the same next hops; it can be left out",
        ];
        assert_eq!(texts(&fib), expected);
    }

    #[test]
    fn routes_that_wait_are_named() {
        let mut fib = Fib::new(1);
        fib.add_route(route("10.0.0.0/8", 1)).unwrap();
        let both = RouteKind::Unicast(vec![NextHop::port(1), NextHop::port(2)]);
        fib.add_route(Route { kind: both, ..route("11.0.0.0/8", 0) }).unwrap();
        fib.set_port(1, false).unwrap();
        let expected = [
            "route 10.0.0.0/8 table main metric 0: not used, port 1 is down",
            "route 11.0.0.0/8 table main metric 0: not all of its hops are used, port 1 is down",
        ];
        assert_eq!(texts(&fib), expected);
    }

    #[test]
    fn rules_that_look_into_empty_tables_are_named() {
        let mut fib = Fib::new(1);
        for family in [Family::V4, Family::V6] {
            fib.add_rule(Rule::new(family, 100, RuleAction::Lookup(TableId(9)))).unwrap();
        }
        assert_eq!(texts(&fib), ["rule 100: table 9 has no routes; add some to it, or remove the rule"]);
        fib.add_route(Route { table: TableId(9), ..route("10.0.0.0/8", 1) }).unwrap();
        assert!(texts(&fib).is_empty());
    }

    #[test]
    fn tables_and_rules_that_are_not_reached_are_named() {
        let mut fib = Fib::new(1);
        fib.add_route(Route { table: TableId(7), ..route("2001:db8::/32", 1) }).unwrap();
        fib.add_rule(Rule::new(Family::V4, 40_000, RuleAction::Blackhole)).unwrap();
        assert_eq!(texts(&fib), ["table 7: no rule leads to its IPv6 routes; add one that looks it up"]);
        fib.add_rule(Rule::new(Family::V4, 40_000, RuleAction::Lookup(TableId(7)))).unwrap();
        assert_eq!(texts(&fib)[1], "IPv4 rule 4 (from 0): rule 3 before it takes every packet");
    }
}
