//! Rules, and what a resolution tells.
use crate::{
    Change, Family, Fib, FibError, NextHop, Outcome, Prefix, Query, Route, RouteKind, Rule, RuleAction,
    TableId,
};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn query(destination: &str) -> Query {
    Query::to(destination.parse().unwrap())
}

fn from(source: &str, destination: &str) -> Query {
    Query { source: Some(crate::prefix::number(source.parse().unwrap())), ..query(destination) }
}

fn to_port(text: &str, table: TableId, port: u32) -> Route {
    Route { table, ..Route::new(prefix(text), RouteKind::Unicast(vec![NextHop::port(port)])) }
}

fn port_of(fib: &Fib, query: &Query) -> Option<u32> {
    let group = fib.group(fib.resolve(query).group()?)?;
    Some(fib.hop(group.hops()[0].0)?.port)
}

/// Main: everything to port 1; table 7: 10.0.0.0/8 to port 7.
fn two_tables() -> Fib {
    let mut fib = Fib::new(1);
    fib.add_route(to_port("0.0.0.0/0", TableId::MAIN, 1)).unwrap();
    fib.add_route(to_port("10.0.0.0/8", TableId(7), 7)).unwrap();
    fib
}

#[test]
fn a_node_begins_with_the_rules_of_linux() {
    let fib = Fib::new(1);
    let text = |family| fib.rules(family).iter().map(Rule::to_string).collect::<Vec<_>>();
    let [local, main] = ["0: from all lookup local", "32766: from all lookup main"];
    assert_eq!(text(Family::V4), [local, main, "32767: from all lookup default"]);
    assert_eq!(text(Family::V6), [local, main]);
}

#[test]
fn a_table_without_an_answer_leaves_it_to_the_next_rule() {
    let mut fib = two_tables();
    let rule = Rule::new(Family::V4, 100, RuleAction::Lookup(TableId(7)));
    fib.add_rule(Rule { from: Some(prefix("192.0.2.0/24")), ..rule }).unwrap();
    assert_eq!(port_of(&fib, &from("192.0.2.1", "10.1.1.1")), Some(7));
    assert_eq!(port_of(&fib, &from("192.0.3.1", "10.1.1.1")), Some(1));
    assert_eq!(port_of(&fib, &from("192.0.2.1", "11.1.1.1")), Some(1));
    assert_eq!(port_of(&fib, &query("10.1.1.1")), Some(1), "an unknown source is in no prefix but the whole");
    fib.add_route(Route { table: TableId(7), ..Route::new(prefix("10.1.0.0/16"), RouteKind::Throw) })
        .unwrap();
    assert_eq!(port_of(&fib, &from("192.0.2.1", "10.1.1.1")), Some(1));
    let resolution = fib.resolve(&from("192.0.2.1", "10.2.1.1"));
    assert_eq!((resolution.rule, resolution.priority), (Some(1), Some(100)));
    assert!(
        resolution.to_string().starts_with("rule 100, table 7, 10.0.0.0/8 metric 0: forward to"),
        "{resolution}"
    );
}

#[test]
fn every_field_of_a_rule_counts() {
    let base = Rule::new(Family::V4, 100, RuleAction::Blackhole);
    let packet = Query { in_port: Some(3), mark: 0x15, tos: 0xb9, ..from("192.0.2.1", "10.1.1.1") };
    let matching = [
        base,
        Rule { from: Some(prefix("192.0.2.0/31")), ..base },
        Rule { to: Some(prefix("10.0.0.0/8")), ..base },
        Rule { in_port: Some(3), ..base },
        Rule { mark: Some((0x25, 0x0f)), ..base },
        Rule { dscp: Some(46), ..base },
    ];
    let others = [
        Rule::new(Family::V6, 100, RuleAction::Blackhole),
        Rule { from: Some(prefix("192.0.2.2/31")), ..base },
        Rule { to: Some(prefix("11.0.0.0/8")), ..base },
        Rule { in_port: Some(4), ..base },
        Rule { mark: Some((0x25, 0x1f)), ..base },
        Rule { mark: Some((0, u32::MAX)), ..base },
        Rule { dscp: Some(0), ..base },
    ];
    assert!(matching.iter().all(|rule| rule.matches(&packet)));
    assert!(!others.iter().any(|rule| rule.matches(&packet)));
    assert!(!matching.iter().any(|rule| Rule { invert: true, ..*rule }.matches(&packet)));
    assert!(others[1..].iter().all(|rule| Rule { invert: true, ..*rule }.matches(&packet)));
    let all = Rule {
        from: Some(prefix("192.0.2.0/24")),
        in_port: Some(3),
        mark: Some((1, 15)),
        dscp: Some(46),
        ..base
    };
    let text = "100: not from 192.0.2.0/24 iif 3 fwmark 0x1/0xf dscp 46 blackhole";
    assert_eq!(Rule { invert: true, ..all }.to_string(), text);
}

#[test]
fn short_prefixes_are_suppressed_but_what_drops_is_not() {
    let mut fib = two_tables();
    fib.add_route(to_port("0.0.0.0/0", TableId(7), 8)).unwrap();
    let rule = Rule::new(Family::V4, 100, RuleAction::Lookup(TableId(7)));
    fib.add_rule(Rule { suppress_prefix_length: Some(0), ..rule }).unwrap();
    assert_eq!(port_of(&fib, &query("10.1.1.1")), Some(7));
    assert_eq!(port_of(&fib, &query("11.1.1.1")), Some(1));
    fib.replace_route(Route { table: TableId(7), ..Route::new(prefix("0.0.0.0/0"), RouteKind::Prohibit) })
        .unwrap();
    assert_eq!(fib.resolve(&query("11.1.1.1")).outcome, Outcome::Prohibit);
}

#[test]
fn rules_decide_themselves_and_come_and_go() {
    let mut fib = two_tables();
    fib.take_changes();
    let first =
        Rule { from: Some(prefix("192.0.2.0/24")), ..Rule::new(Family::V4, 5, RuleAction::Unreachable) };
    let second = Rule { action: RuleAction::Prohibit, ..first };
    fib.add_rule(first).unwrap();
    fib.add_rule(second).unwrap();
    assert_eq!(fib.take_changes(), [Change::Rules]);
    let packet = from("192.0.2.1", "10.1.1.1");
    let resolution = fib.resolve(&packet);
    assert_eq!((resolution.outcome, resolution.matched), (Outcome::Unreachable, None));
    assert_eq!(resolution.to_string(), "rule 5: unreachable");
    fib.remove_rule(&first).unwrap();
    assert_eq!(fib.resolve(&packet).outcome, Outcome::Prohibit);
    assert_eq!(fib.remove_rule(&first), Err(FibError::NoSuchRule { priority: 5 }));
    for rule in fib.rules(Family::V4).to_vec() {
        fib.remove_rule(&rule).unwrap();
    }
    assert_eq!(fib.resolve(&packet).to_string(), "no route");
}

#[test]
fn rules_that_cannot_match_are_refused() {
    let mut fib = Fib::new(1);
    let base = Rule::new(Family::V4, 5, RuleAction::Blackhole);
    let six = prefix("2001:db8::/32");
    let error = FibError::RuleFamily { priority: 5, prefix: six, family: Family::V4 };
    assert_eq!(fib.add_rule(Rule { to: Some(six), ..base }), Err(error));
    assert_eq!(
        fib.add_rule(Rule { dscp: Some(64), ..base }),
        Err(FibError::RuleDscp { priority: 5, dscp: 64 })
    );
    assert_eq!(fib.generation(), 0);
}

#[test]
fn a_local_address_tells_its_port_and_a_route_its_source() {
    let mut fib = two_tables();
    let local = Route { table: TableId::LOCAL, ..Route::new(prefix("10.1.1.1/32"), RouteKind::Local(4)) };
    fib.add_route(local).unwrap();
    assert_eq!(fib.resolve(&query("10.1.1.1")).outcome, Outcome::Local(4));
    let source = "10.1.1.1".parse().unwrap();
    let route = Route { preferred_source: Some(source), ..to_port("0.0.0.0/0", TableId::MAIN, 1) };
    assert_eq!(route.to_string(), "0.0.0.0/0 port 1 table main metric 0 src 10.1.1.1");
    fib.replace_route(route).unwrap();
    assert_eq!(fib.resolve(&query("11.1.1.1")).preferred_source(), Some(source));
}
