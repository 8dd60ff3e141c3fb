//! The whole against lists that are searched from end to end.
use netfast_fib::{
    Family, Fib, NextHop, Outcome, Prefix, Query, Route, RouteKey, RouteKind, Rule, RuleAction, TableId,
};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeSet;

const TABLES: [TableId; 4] = [TableId::LOCAL, TableId::MAIN, TableId::DEFAULT, TableId(7)];

/// A node as lists.
#[derive(Default)]
struct Lists {
    routes: Vec<Route>,
    rules: Vec<Rule>,
    down: BTreeSet<u32>,
}

impl Lists {
    fn usable(&self, route: &Route) -> bool {
        let up = |hop: &NextHop| !self.down.contains(&hop.port.unwrap());
        !matches!(route.kind, RouteKind::Unicast(_)) || route.hops().iter().any(up)
    }

    fn lookup(&self, table: TableId, family: Family, number: u128) -> Option<&Route> {
        let of_family =
            self.routes.iter().filter(|route| route.table == table && route.prefix.family() == family);
        let matching = of_family.filter(|route| {
            let shift = u32::from(family.bits() - route.prefix.length());
            let different = (route.prefix.address() ^ number).checked_shr(shift).unwrap_or(0);
            different == 0 && self.usable(route)
        });
        matching.max_by_key(|route| (route.prefix.length(), Reverse(route.metric)))
    }

    /// The route that decides, or the rule that does.
    fn resolve(&self, query: &Query) -> (Option<RouteKey>, Option<Rule>) {
        let mut rules: Vec<_> = self.rules.iter().filter(|rule| rule.family == query.family).collect();
        rules.sort_by_key(|rule| rule.priority);
        for rule in rules {
            let within = |prefix: Option<Prefix>, number: u128| {
                prefix.is_none_or(|prefix| (prefix.address()..=prefix.last()).contains(&number))
            };
            let matches = within(rule.from, query.source.unwrap())
                && within(rule.to, query.destination)
                && (rule.in_port.is_none() || rule.in_port == query.in_port)
                && rule.mark.is_none_or(|(mark, mask)| query.mark & mask == mark & mask)
                && rule.dscp.is_none_or(|dscp| dscp == query.tos / 4);
            if matches == rule.invert {
                continue;
            }
            let RuleAction::Lookup(table) = rule.action else { return (None, Some(*rule)) };
            let Some(route) = self.lookup(table, query.family, query.destination) else { continue };
            let drops =
                matches!(route.kind, RouteKind::Unreachable | RouteKind::Blackhole | RouteKind::Prohibit);
            let short = rule.suppress_prefix_length.is_some_and(|length| route.prefix.length() <= length);
            if route.kind != RouteKind::Throw && (drops || !short) {
                return (Some(route.key()), Some(*rule));
            }
        }
        (None, None)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(Route),
    Replace(Route),
    Remove(usize),
    AddRule(Rule),
    RemoveRule(usize),
    Port(u32, bool),
}

/// Prefixes near each other and at both ends of the address space.
fn prefix() -> impl Strategy<Value = Prefix> {
    let base =
        prop_oneof![Just(0u128), Just(u128::MAX), Just(0x0a00_0100), Just(0x2001_0db8 << 96), any::<u128>()];
    (any::<bool>(), base, proptest::collection::vec(0u8..128, 0..2), 0u8..=128).prop_map(
        |(six, base, flips, length)| {
            let family = if six { Family::V6 } else { Family::V4 };
            let number = flips.iter().fold(base, |number, flip| number ^ (1 << flip));
            Prefix::containing(family.address(number), length % (family.bits() + 1)).unwrap()
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let kind = prop_oneof![
        5 => proptest::collection::vec(0u32..4, 1..3)
            .prop_map(|ports| RouteKind::Unicast(ports.into_iter().map(NextHop::port).collect())),
        1 => (0u32..4).prop_map(RouteKind::Local),
        1 => (0u32..4).prop_map(RouteKind::Broadcast),
        1 => prop_oneof![
            Just(RouteKind::Unreachable), Just(RouteKind::Blackhole), Just(RouteKind::Prohibit), Just(RouteKind::Throw)
        ],
    ];
    (prefix(), proptest::sample::select(&TABLES[..]), 0u32..3, kind)
        .prop_map(|(prefix, table, metric, kind)| Route { table, metric, ..Route::new(prefix, kind) })
}

fn rule() -> impl Strategy<Value = Rule> {
    let action = prop_oneof![
        6 => proptest::sample::select(&TABLES[..]).prop_map(RuleAction::Lookup),
        1 => Just(RuleAction::Unreachable),
        1 => Just(RuleAction::Blackhole),
        1 => Just(RuleAction::Prohibit),
    ];
    let matches = (
        proptest::option::of(prefix()),
        any::<bool>(),
        proptest::option::of(0u32..3),
        proptest::option::of((0u32..4, 0u32..4)),
        proptest::option::weighted(0.2, 0u8..2),
    );
    let rest = (0u32..40_000, proptest::bool::weighted(0.2), proptest::option::weighted(0.3, 0u8..40));
    (any::<bool>(), action, matches, rest).prop_map(|(six, action, matches, (priority, invert, suppress))| {
        let (prefix, source, in_port, mark, dscp) = matches;
        let family = prefix.map_or(if six { Family::V6 } else { Family::V4 }, |prefix| prefix.family());
        let (from, to) = if source { (prefix, None) } else { (None, prefix) };
        let suppress_prefix_length = suppress;
        Rule {
            invert,
            from,
            to,
            in_port,
            mark,
            dscp,
            suppress_prefix_length,
            ..Rule::new(family, priority, action)
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => route().prop_map(Step::Add),
        1 => route().prop_map(Step::Replace),
        3 => any::<usize>().prop_map(Step::Remove),
        2 => rule().prop_map(Step::AddRule),
        1 => any::<usize>().prop_map(Step::RemoveRule),
        1 => (0u32..4, any::<bool>()).prop_map(|(port, up)| Step::Port(port, up)),
    ]
}

fn apply(fib: &mut Fib, lists: &mut Lists, step: Step) {
    match step {
        Step::Add(route) => {
            let exists = lists.routes.iter().any(|other| other.key() == route.key());
            assert_eq!(fib.add_route(route.clone()).is_err(), exists);
            if !exists {
                lists.routes.push(route);
            }
        }
        Step::Replace(route) => {
            fib.replace_route(route.clone()).unwrap();
            lists.routes.retain(|other| other.key() != route.key());
            lists.routes.push(route);
        }
        Step::Remove(which) if !lists.routes.is_empty() => {
            let route = lists.routes.swap_remove(which % lists.routes.len());
            assert_eq!(fib.remove_route(&route.key()), Ok(route.clone()));
            assert!(fib.remove_route(&route.key()).is_err());
        }
        Step::AddRule(rule) => {
            let exists = lists.rules.contains(&rule);
            assert_eq!(fib.add_rule(rule).is_err(), exists);
            if !exists {
                lists.rules.push(rule);
            }
        }
        Step::RemoveRule(which) if !lists.rules.is_empty() => {
            let rule = lists.rules.remove(which % lists.rules.len());
            fib.remove_rule(&rule).unwrap();
        }
        Step::Remove(_) | Step::RemoveRule(_) => {}
        Step::Port(port, up) => {
            let changes = if up { lists.down.remove(&port) } else { lists.down.insert(port) };
            assert_eq!(fib.set_port(port, up), Ok(changes));
        }
    }
}

/// Both ends of each prefix, their neighbours outside, and some random ones.
fn addresses(lists: &Lists, family: Family, random: &[u128]) -> Vec<u128> {
    let ones = Prefix::all(family).last();
    let prefixes = lists.routes.iter().map(|route| route.prefix).filter(|prefix| prefix.family() == family);
    let ends = prefixes.flat_map(|prefix| {
        [prefix.address(), prefix.address().wrapping_sub(1), prefix.last(), prefix.last().wrapping_add(1)]
    });
    ends.chain(random.iter().copied()).map(|number| number & ones).collect()
}

fn agree_in_tables(
    fib: &Fib,
    lists: &Lists,
    family: Family,
    addresses: &[u128],
) -> Result<(), TestCaseError> {
    for table in TABLES {
        let mut found = vec![None; addresses.len()];
        match family {
            Family::V6 => fib.lookup6(table, addresses, &mut found).unwrap(),
            Family::V4 => {
                let addresses: Vec<_> = addresses.iter().map(|address| *address as u32).collect();
                fib.lookup4(table, &addresses, &mut found).unwrap();
            }
        }
        for (address, found) in addresses.iter().zip(found) {
            let expected = lists.lookup(table, family, *address).map(Route::key);
            prop_assert_eq!(found.map(|id| fib.route(id).unwrap().route().key()), expected);
            prop_assert_eq!(fib.lookup(table, family.address(*address)), found);
        }
    }
    Ok(())
}

fn agree_on(fib: &Fib, lists: &Lists, query: &Query) -> Result<(), TestCaseError> {
    let resolution = fib.resolve(query);
    let (route, rule) = lists.resolve(query);
    let matched = resolution.matched;
    let key = matched.map(|by| RouteKey { table: by.table, prefix: by.prefix, metric: by.metric });
    prop_assert_eq!(key, route);
    prop_assert_eq!(resolution.rule.map(|index| fib.rules(query.family)[index]), rule);
    prop_assert_eq!(resolution.priority, rule.map(|rule| rule.priority));
    let kind = matched.map(|by| &fib.route(by.route).unwrap().route().kind);
    match (resolution.outcome, kind, rule.map(|rule| rule.action)) {
        (Outcome::Forward(group), Some(RouteKind::Unicast(hops)), _) => {
            let ports: BTreeSet<_> =
                hops.iter().filter_map(|hop| hop.port).filter(|port| fib.is_up(*port)).collect();
            let hops = fib.group(group).unwrap().hops();
            prop_assert_eq!(
                hops.iter().map(|hop| fib.hop(hop.0).unwrap().port).collect::<BTreeSet<_>>(),
                ports
            );
        }
        (Outcome::Local(port), Some(RouteKind::Local(expected)), _) => prop_assert_eq!(port, *expected),
        (Outcome::Broadcast(port), Some(RouteKind::Broadcast(expected)), _) => {
            prop_assert_eq!(port, *expected)
        }
        (Outcome::Unreachable, Some(RouteKind::Unreachable), _) => {}
        (Outcome::Blackhole, Some(RouteKind::Blackhole), _) => {}
        (Outcome::Prohibit, Some(RouteKind::Prohibit), _) => {}
        (Outcome::Unreachable, None, Some(RuleAction::Unreachable)) => {}
        (Outcome::Blackhole, None, Some(RuleAction::Blackhole)) => {}
        (Outcome::Prohibit, None, Some(RuleAction::Prohibit)) => {}
        (Outcome::NoRoute, None, None) => {}
        other => prop_assert!(false, "{:?}", other),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn routes_and_rules_decide_as_lists_do(
        steps in proptest::collection::vec(step(), 1..80),
        random in proptest::collection::vec(any::<u128>(), 8),
        packet in (0u32..4, 0u32..4, 0u8..16),
    ) {
        let mut fib = Fib::new(1);
        let mut lists = Lists::default();
        for family in [Family::V4, Family::V6] {
            lists.rules.extend(fib.rules(family));
        }
        let half = steps.len() / 2;
        for (index, step) in steps.into_iter().enumerate() {
            apply(&mut fib, &mut lists, step);
            if index != half {
                continue;
            }
            for family in [Family::V4, Family::V6] {
                agree_in_tables(&fib, &lists, family, &addresses(&lists, family, &random))?;
            }
        }
        let (port, mark, tos) = packet;
        let mut queries = Vec::new();
        for family in [Family::V4, Family::V6] {
            let addresses = addresses(&lists, family, &random);
            agree_in_tables(&fib, &lists, family, &addresses)?;
            let pairs = addresses.iter().zip(addresses.iter().rev());
            queries.extend(pairs.map(|(destination, source)| {
                let (destination, source, in_port) = (*destination, Some(*source), Some(port));
                Query { family, destination, source, in_port, mark, tos }
            }));
        }
        for query in &queries {
            agree_on(&fib, &lists, query)?;
        }
        // Both families in one vector.
        let half = queries.len() / 2;
        let mixed: Vec<_> = (0..half).flat_map(|index| [queries[index], queries[half + index]]).collect();
        let mut together = Vec::new();
        fib.resolve_batch(&mixed, &mut together);
        prop_assert_eq!(together, mixed.iter().map(|query| fib.resolve(query)).collect::<Vec<_>>());
        prop_assert_eq!(fib.routes().count(), lists.routes.len());
    }
}

/// Enough routes that the root grows and shrinks.
#[test]
fn thousands_of_routes_come_and_go() {
    let mut fib = Fib::new(1);
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let mut lists = Lists::default();
    for serial in 0..6000u32 {
        let (family, number) = match random() % 2 {
            0 => (Family::V4, u128::from(random() as u32)),
            _ => (Family::V6, u128::from(random()) << 80 | u128::from(random())),
        };
        let length = (random() % u64::from(family.bits() + 1)) as u8;
        let prefix = Prefix::containing(family.address(number), length).unwrap();
        let route = Route::new(prefix, RouteKind::Unicast(vec![NextHop::port(serial % 200)]));
        if fib.add_route(route.clone()).is_ok() {
            lists.routes.push(route);
        }
    }
    loop {
        for family in [Family::V4, Family::V6] {
            let all = addresses(&lists, family, &[]);
            let some: Vec<_> = all.iter().copied().step_by(all.len() / 400 + 1).collect();
            agree_in_tables(&fib, &lists, family, &some).unwrap();
        }
        if lists.routes.is_empty() {
            break;
        }
        for _ in 0..lists.routes.len().div_ceil(3) {
            let route = lists.routes.swap_remove(random() as usize % lists.routes.len());
            fib.remove_route(&route.key()).unwrap();
        }
    }
    assert!(fib.is_empty());
    assert_eq!((fib.memory().lookup, fib.groups().count()), (0, 0));
}
