//! Gateways, ports, limits; what is refused changes nothing.
use super::*;
use crate::{Outcome, Prefix, Query, ReversePath, ReversePathMode, RuleAction, Unresolved};
use proptest::prelude::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn unicast(text: &str, hops: &[NextHop]) -> Route {
    Route::new(prefix(text), RouteKind::Unicast(hops.to_vec()))
}

fn via(gateway: &str) -> NextHop {
    NextHop::gateway(ip(gateway))
}

/// Ports 1 and 2 with a network each, 10.0.N.0/24.
fn two_ports() -> Fib {
    let mut fib = Fib::new(1);
    fib.add_route(unicast("10.0.1.0/24", &[NextHop::port(1)])).unwrap();
    fib.add_route(unicast("10.0.2.0/24", &[NextHop::port(2)])).unwrap();
    fib
}

/// The hops that packets to the address may take: port, gateway, weight.
fn hops(fib: &Fib, destination: &str) -> Vec<(PortId, Option<IpAddr>, u64)> {
    let Some(group) = fib.resolve(&Query::to(ip(destination))).group() else { return Vec::new() };
    let hops = fib.group(group).unwrap().hops().iter();
    hops.map(|(hop, weight)| (fib.hop(*hop).unwrap().port, fib.hop(*hop).unwrap().gateway, *weight)).collect()
}

/// All that a refused change must leave as it is.
fn state(fib: &Fib) -> impl PartialEq + std::fmt::Debug + use<> {
    let routes: Vec<_> =
        fib.routes().map(|(id, entry)| (id, entry.route.clone(), entry.group, entry.unresolved)).collect();
    let groups: Vec<_> =
        fib.groups().map(|(id, group)| (id, group.hops().to_vec(), group.buckets().to_vec())).collect();
    (
        routes,
        groups,
        fib.rules4.clone(),
        fib.rules6.clone(),
        fib.generation(),
        fib.tables().collect::<Vec<_>>(),
    )
}

#[track_caller]
fn refused(fib: &mut Fib, route: Route, expected: FibError) {
    let before = state(fib);
    let waiting = fib.take_changes();
    let refusals = fib.counts().refused;
    assert_eq!(fib.add_route(route), Err(expected));
    assert_eq!(state(fib), before);
    assert_eq!(fib.take_changes(), []);
    assert_eq!(fib.counts().refused, refusals + 1);
    drop(waiting);
}

#[test]
fn gateways_take_the_port_of_their_network() {
    let mut fib = two_ports();
    fib.add_route(unicast("0.0.0.0/0", &[via("10.0.2.9")])).unwrap();
    assert_eq!(hops(&fib, "198.51.100.1"), [(2, Some(ip("10.0.2.9")), 1)]);
    assert_eq!(hops(&fib, "10.0.1.7"), [(1, None, 1)]);
}

#[test]
fn recursive_gateways_multiply_weights_within_their_part() {
    let mut fib = two_ports();
    let three_to_one = [via("10.0.1.1").weighted(3), via("10.0.2.1")];
    fib.add_route(unicast("203.0.113.0/24", &three_to_one)).unwrap();
    fib.add_route(unicast("198.51.100.0/24", &[via("203.0.113.5")])).unwrap();
    let expected = [(1, Some(ip("10.0.1.1")), 3), (2, Some(ip("10.0.2.1")), 1)];
    assert_eq!(hops(&fib, "198.51.100.1"), expected);
    // Half for a hop of its own, half for what is divided three to one.
    let half_and_half = [via("203.0.113.5"), via("10.0.2.2")];
    fib.add_route(unicast("192.0.2.0/24", &half_and_half)).unwrap();
    let expected = [(1, Some(ip("10.0.1.1")), 3), (2, Some(ip("10.0.2.1")), 1), (2, Some(ip("10.0.2.2")), 4)];
    assert_eq!(hops(&fib, "192.0.2.1"), expected);
}

#[test]
fn gateways_that_no_route_leads_to_are_refused() {
    let mut fib = two_ports();
    let lost = unicast("0.0.0.0/0", &[via("172.16.0.1")]);
    refused(
        &mut fib,
        lost.clone(),
        FibError::GatewayUnreachable { key: lost.key(), gateway: ip("172.16.0.1") },
    );
    let wrong_port = unicast("0.0.0.0/0", &[NextHop::via(1, ip("10.0.2.1"))]);
    let error = FibError::GatewayNotOnLink { key: wrong_port.key(), gateway: ip("10.0.2.1"), port: 1 };
    refused(&mut fib, wrong_port.clone(), error);
    let on_link = NextHop { on_link: true, ..NextHop::via(1, ip("10.0.2.1")) };
    fib.add_route(unicast("0.0.0.0/0", &[on_link])).unwrap();
    assert_eq!(hops(&fib, "8.8.8.8"), [(1, Some(ip("10.0.2.1")), 1)]);
    fib.add_route(Route::new(prefix("172.16.0.0/12"), RouteKind::Blackhole)).unwrap();
    let black = unicast("100.64.0.0/10", &[via("172.16.0.1")]);
    refused(
        &mut fib,
        black.clone(),
        FibError::GatewayUnreachable { key: black.key(), gateway: ip("172.16.0.1") },
    );
}

#[test]
fn own_and_odd_addresses_are_no_gateways() {
    let mut fib = two_ports();
    let table = TableId::LOCAL;
    fib.add_route(Route { table, ..Route::new(prefix("10.0.1.1/32"), RouteKind::Local(1)) }).unwrap();
    fib.add_route(Route { table, ..Route::new(prefix("10.0.1.255/32"), RouteKind::Broadcast(1)) }).unwrap();
    let of = |hop| unicast("0.0.0.0/0", &[hop]);
    let key = of(via("10.0.1.1")).key();
    refused(&mut fib, of(via("10.0.1.1")), FibError::GatewayIsLocal { key, gateway: ip("10.0.1.1") });
    for bad in ["10.0.1.255", "0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "fe80::1", "ff02::1"] {
        refused(&mut fib, of(via(bad)), FibError::BadGateway { key, gateway: ip(bad) });
    }
    let six = unicast("::/0", &[via("10.0.1.2")]);
    refused(&mut fib, six.clone(), FibError::FamilyMismatch { key: six.key(), address: ip("10.0.1.2") });
    refused(&mut fib, of(NextHop::port(1).weighted(0)), FibError::ZeroWeight { key, index: 0 });
    refused(&mut fib, of(NextHop { port: None, ..NextHop::port(1) }), FibError::EmptyHop { key, index: 0 });
    refused(&mut fib, unicast("0.0.0.0/0", &[]), FibError::NoHops { key });
    let nowhere = NextHop { on_link: true, ..via("10.0.1.2") };
    refused(&mut fib, of(nowhere), FibError::OnLinkWithoutPort { key, gateway: ip("10.0.1.2") });
}

#[test]
fn a_default_route_leads_to_gateways_only_on_link() {
    let mut fib = two_ports();
    fib.add_route(unicast("0.0.0.0/0", &[via("10.0.1.1")])).unwrap();
    let lost = unicast("20.0.0.0/8", &[via("172.16.0.1")]);
    refused(
        &mut fib,
        lost.clone(),
        FibError::GatewayUnreachable { key: lost.key(), gateway: ip("172.16.0.1") },
    );
    fib.replace_route(unicast("0.0.0.0/0", &[NextHop::port(2)])).unwrap();
    fib.add_route(lost).unwrap();
    assert_eq!(hops(&fib, "20.0.0.1"), [(2, Some(ip("172.16.0.1")), 1)]);
}

#[test]
fn ipv4_through_ipv6_gateways_rfc_8950() {
    let mut fib = Fib::new(1);
    fib.add_route(unicast("2001:db8::/64", &[NextHop::port(3)])).unwrap();
    fib.add_route(unicast("0.0.0.0/0", &[via("2001:db8::1")])).unwrap();
    fib.add_route(unicast("10.0.0.0/8", &[NextHop::via(4, ip("fe80::1"))])).unwrap();
    assert_eq!(hops(&fib, "192.0.2.1"), [(3, Some(ip("2001:db8::1")), 1)]);
    assert_eq!(hops(&fib, "10.1.2.3"), [(4, Some(ip("fe80::1")), 1)]);
}

#[test]
fn circles_are_refused() {
    let mut fib = two_ports();
    fib.add_route(unicast("20.0.0.0/8", &[via("10.0.1.1")])).unwrap();
    fib.add_route(unicast("30.0.0.0/8", &[via("20.0.0.1")])).unwrap();
    let circle = unicast("20.0.0.0/16", &[via("30.0.0.1")]);
    refused(&mut fib, circle.clone(), FibError::GatewayLoop { key: circle.key(), gateway: ip("20.0.0.1") });
    let itself = unicast("40.0.0.0/8", &[via("40.0.0.1")]);
    refused(
        &mut fib,
        itself.clone(),
        FibError::GatewayUnreachable { key: itself.key(), gateway: ip("40.0.0.1") },
    );
    let closer = unicast("10.0.1.1/32", &[via("20.0.0.1")]);
    refused(&mut fib, closer.clone(), FibError::GatewayLoop { key: closer.key(), gateway: ip("10.0.1.1") });
}

#[test]
fn no_more_than_four_gateways_are_followed() {
    let mut fib = two_ports();
    fib.add_route(unicast("20.0.0.0/16", &[via("10.0.1.1")])).unwrap();
    for network in 1..4 {
        let before = format!("20.{}.0.1", network - 1);
        fib.add_route(unicast(&format!("20.{network}.0.0/16"), &[via(&before)])).unwrap();
    }
    assert_eq!(hops(&fib, "20.3.0.1"), [(1, Some(ip("10.0.1.1")), 1)]);
    let fifth = unicast("20.4.0.0/16", &[via("20.3.0.1")]);
    let error = FibError::GatewayDepth { key: fifth.key(), gateway: ip("20.3.0.1"), limit: 4 };
    refused(&mut fib, fifth, error);
}

#[test]
fn multipath_behind_multipath_ends_in_time() {
    let mut fib = two_ports();
    let many =
        |network: &str| -> Vec<NextHop> { (1..=200).map(|host| via(&format!("{network}.{host}"))).collect() };
    fib.add_route(unicast("20.0.0.0/8", &many("10.0.1"))).unwrap();
    fib.add_route(unicast("30.0.0.0/8", &many("20.0.0"))).unwrap();
    assert_eq!(hops(&fib, "30.0.0.1").len(), 200, "the 200 neighbours, each once");
    let wide = unicast("40.0.0.0/8", &many("30.0.0"));
    refused(&mut fib, wide.clone(), FibError::GatewayWidth { key: wide.key(), gateway: ip("30.0.0.1") });
    // What was admitted before it became too wide waits.
    fib.add_route(unicast("10.0.3.0/24", &[NextHop::port(3)])).unwrap();
    let both: Vec<_> = many("50.0.0").into_iter().take(1).chain(many("10.0.2")).collect();
    fib.add_route(unicast("50.0.0.0/8", &[via("10.0.3.1")])).unwrap();
    let id = fib.add_route(unicast("60.0.0.0/8", &both)).unwrap();
    fib.replace_route(unicast("50.0.0.0/8", &many("10.0.3"))).unwrap();
    let reason = Unresolved::TooWide { gateway: ip("50.0.0.1") };
    assert_eq!(fib.route(id).unwrap().unresolved(), Some(reason));
    assert!(!fib.route(id).unwrap().is_usable());
}

#[test]
fn what_depends_on_a_port_waits_for_it() {
    let mut fib = two_ports();
    fib.add_route(unicast("20.0.0.0/8", &[via("10.0.1.1")])).unwrap();
    fib.add_route(unicast("30.0.0.0/8", &[via("20.0.0.1"), via("10.0.2.1")])).unwrap();
    fib.add_route(unicast("0.0.0.0/0", &[via("10.0.2.1")])).unwrap();
    let (default, both) = (hops(&fib, "8.8.8.8"), hops(&fib, "30.0.0.1"));
    assert_eq!(fib.set_port(1, false), Ok(true));
    assert_eq!(fib.set_port(1, false), Ok(false));
    assert_eq!(hops(&fib, "20.0.0.1"), default, "its own route waits, the default route stands in");
    assert_eq!(hops(&fib, "30.0.0.1"), [(2, Some(ip("10.0.2.1")), 1)]);
    let id = fib.find(&unicast("20.0.0.0/8", &[]).key()).unwrap();
    assert!(!fib.route(id).unwrap().is_usable());
    fib.set_port(1, true).unwrap();
    assert_eq!(hops(&fib, "20.0.0.1"), [(1, Some(ip("10.0.1.1")), 1)]);
    assert_eq!(hops(&fib, "30.0.0.1"), both);
}

#[test]
fn a_route_may_wait_for_a_port_that_is_down() {
    let mut fib = Fib::new(1);
    fib.set_port(1, false).unwrap();
    let id = fib.add_route(unicast("10.0.0.0/8", &[NextHop::port(1)])).unwrap();
    assert_eq!(fib.route(id).unwrap().unresolved(), Some(Unresolved::PortDown { port: 1 }));
    assert_eq!(fib.resolve(&Query::to(ip("10.0.0.1"))).outcome, Outcome::NoRoute);
    fib.set_port(1, true).unwrap();
    assert_eq!(hops(&fib, "10.0.0.1"), [(1, None, 1)]);
}

#[test]
fn what_depends_on_a_route_waits_for_it() {
    let mut fib = two_ports();
    fib.add_route(unicast("0.0.0.0/0", &[via("10.0.1.1")])).unwrap();
    let network = fib.remove_route(&unicast("10.0.1.0/24", &[]).key()).unwrap();
    assert_eq!(fib.resolve(&Query::to(ip("8.8.8.8"))).outcome, Outcome::NoRoute);
    let default = fib.find(&unicast("0.0.0.0/0", &[]).key()).unwrap();
    let reason = Unresolved::GatewayUnreachable { gateway: ip("10.0.1.1") };
    assert_eq!(fib.route(default).unwrap().unresolved(), Some(reason));
    fib.take_changes();
    fib.add_route(network).unwrap();
    assert_eq!(hops(&fib, "8.8.8.8"), [(1, Some(ip("10.0.1.1")), 1)]);
    let changed = |text| Change::Route { table: TableId::MAIN, prefix: prefix(text) };
    assert_eq!(fib.take_changes(), [changed("10.0.1.0/24"), changed("0.0.0.0/0")]);
}

#[test]
fn a_better_metric_wins_while_it_can_be_used() {
    let mut fib = two_ports();
    let cheap = Route { metric: 10, ..unicast("0.0.0.0/0", &[via("10.0.1.1")]) };
    let dear = Route { metric: 20, ..unicast("0.0.0.0/0", &[via("10.0.2.1")]) };
    fib.add_route(dear.clone()).unwrap();
    fib.add_route(cheap.clone()).unwrap();
    refused(&mut fib, cheap.clone(), FibError::RouteExists { key: cheap.key() });
    assert_eq!(hops(&fib, "8.8.8.8")[0].0, 1);
    fib.set_port(1, false).unwrap();
    assert_eq!(hops(&fib, "8.8.8.8")[0].0, 2);
    fib.set_port(1, true).unwrap();
    assert_eq!(hops(&fib, "8.8.8.8")[0].0, 1);
    assert_eq!(fib.remove_route(&cheap.key()), Ok(cheap.clone()));
    assert_eq!(hops(&fib, "8.8.8.8")[0].0, 2);
    assert_eq!(fib.remove_route(&cheap.key()), Err(FibError::NoSuchRoute { key: cheap.key() }));
}

#[test]
fn flows_of_surviving_hops_stay_when_a_port_goes_and_comes() {
    let mut fib = two_ports();
    fib.add_route(unicast("10.0.3.0/24", &[NextHop::port(3)])).unwrap();
    let three = [via("10.0.1.1"), via("10.0.2.1").weighted(2), via("10.0.3.1").weighted(3)];
    fib.add_route(unicast("0.0.0.0/0", &three)).unwrap();
    let choose = |fib: &Fib| -> Vec<HopId> {
        let group = fib.resolve(&Query::to(ip("8.8.8.8"))).group().unwrap();
        (0..4096u64).map(|part| fib.select(group, part << 52).unwrap()).collect()
    };
    let port = |fib: &Fib, hop: HopId| fib.hop(hop).unwrap().port;
    let before = choose(&fib);
    fib.set_port(2, false).unwrap();
    let without = choose(&fib);
    for (before, after) in before.iter().zip(&without) {
        assert!(port(&fib, *before) == 2 || before == after);
        assert_ne!(port(&fib, *after), 2);
    }
    fib.set_port(2, true).unwrap();
    let again = choose(&fib);
    assert_eq!(
        again.iter().filter(|hop| port(&fib, **hop) == 2).count(),
        before.iter().filter(|hop| port(&fib, **hop) == 2).count()
    );
    for (without, again) in without.iter().zip(&again) {
        assert!(port(&fib, *again) == 2 || without == again);
    }
}

#[test]
fn replacing_and_appending_keep_flows() {
    let mut fib = two_ports();
    let id = fib.add_route(unicast("0.0.0.0/0", &[via("10.0.1.1")])).unwrap();
    assert_eq!(fib.append_route(unicast("0.0.0.0/0", &[via("10.0.2.1")])), Ok(id));
    assert_eq!(hops(&fib, "8.8.8.8").len(), 2);
    let again = unicast("0.0.0.0/0", &[via("10.0.2.1")]);
    assert_eq!(fib.append_route(again.clone()), Err(FibError::RouteExists { key: again.key() }));
    let old = fib.group(fib.route(id).unwrap().group().unwrap()).unwrap().clone();
    let two_and_one = [via("10.0.2.1"), via("10.0.1.1"), via("10.0.1.2")];
    assert_eq!(fib.replace_route(unicast("0.0.0.0/0", &two_and_one)), Ok(id));
    let new = fib.group(fib.route(id).unwrap().group().unwrap()).unwrap();
    for part in (0..256u64).map(|part| part << 56) {
        assert!(new.select(part) == old.select(part) || !old.contains(new.select(part)));
    }
    fib.add_route(Route::new(prefix("192.0.2.0/24"), RouteKind::Blackhole)).unwrap();
    let mixed = unicast("192.0.2.0/24", &[via("10.0.1.1")]);
    assert_eq!(fib.append_route(mixed.clone()), Err(FibError::NotMultipath { key: mixed.key() }));
    fib.replace_route(mixed).unwrap();
    assert_eq!(hops(&fib, "192.0.2.1").len(), 1);
}

#[test]
fn limits_refuse_and_change_nothing() {
    let config = FibConfig {
        max_routes: 3,
        max_tables: 2,
        max_rules: 6,
        max_groups: 2,
        max_hops_per_route: 2,
        ..FibConfig::default()
    };
    let mut fib = Fib::with_config(config);
    fib.add_route(unicast("10.0.1.0/24", &[NextHop::port(1)])).unwrap();
    fib.add_route(unicast("10.0.2.0/24", &[NextHop::port(2)])).unwrap();
    refused(&mut fib, unicast("0.0.0.0/0", &[via("10.0.2.1")]), FibError::TooManyGroups { limit: 2 });
    let three = unicast("0.0.0.0/0", &[via("10.0.2.1"), via("10.0.2.2"), via("10.0.2.3")]);
    refused(&mut fib, three.clone(), FibError::TooManyHops { key: three.key(), hops: 3, limit: 2 });
    let other = |table| Route { table: TableId(table), ..Route::new(prefix("10.0.0.0/8"), RouteKind::Throw) };
    fib.add_route(other(7)).unwrap();
    refused(&mut fib, other(9), FibError::TooManyRoutes { limit: 3 });
    fib.remove_route(&unicast("10.0.1.0/24", &[]).key()).unwrap();
    refused(&mut fib, other(9), FibError::TooManyTables { table: TableId(9), limit: 2 });
    fib.remove_route(&other(7).key()).unwrap();
    fib.add_route(other(9)).unwrap();
    let rule = Rule::new(Family::V4, 5, RuleAction::Lookup(TableId(9)));
    fib.add_rule(rule).unwrap();
    assert_eq!(fib.add_rule(rule), Err(FibError::RuleExists { priority: 5 }));
    let before = state(&fib);
    let sixth = Rule::new(Family::V4, 6, RuleAction::Blackhole);
    assert_eq!(fib.add_rule(sixth), Err(FibError::TooManyRules { limit: 6 }));
    assert_eq!(state(&fib), before);
}

#[test]
fn a_port_that_goes_at_the_limit_of_groups_costs_what_is_counted() {
    let mut fib = Fib::with_config(FibConfig { max_groups: 1, ..FibConfig::default() });
    let both = [NextHop::port(1), NextHop::port(2)];
    fib.add_route(unicast("10.0.0.0/8", &both)).unwrap();
    fib.set_port(1, false).unwrap();
    assert_eq!((hops(&fib, "10.0.0.1"), fib.counts().group_limit), (vec![(2, None, 1)], 0));
    fib.set_port(1, true).unwrap();
    fib.add_route(unicast("11.0.0.0/8", &both)).unwrap();
    fib.set_port(1, false).unwrap();
    assert_eq!(fib.counts().group_limit, 1);
    let waiting: Vec<_> = fib.routes().filter_map(|(_, entry)| entry.unresolved).collect();
    assert!(waiting.contains(&Unresolved::GroupLimit), "{waiting:?}");
}

/// What admission cannot see: a circle that closes only when a port comes back.
#[test]
fn circles_that_close_later_are_cut() {
    let mut fib = two_ports();
    fib.add_route(unicast("20.0.0.0/8", &[NextHop::port(1)])).unwrap();
    fib.add_route(unicast("30.0.0.0/8", &[NextHop::port(2)])).unwrap();
    fib.add_route(unicast("20.0.0.0/16", &[via("30.0.0.1")])).unwrap();
    fib.set_port(2, false).unwrap();
    fib.add_route(unicast("30.0.0.0/16", &[via("20.0.0.1")])).unwrap();
    assert!(fib.counts().loops_cut > 0);
    fib.set_port(2, true).unwrap();
    fib.remove_route(&unicast("30.0.0.0/16", &[]).key()).unwrap();
    assert_eq!(hops(&fib, "20.0.0.1"), [(2, Some(ip("30.0.0.1")), 1)]);
}

#[test]
fn a_long_list_of_changes_becomes_everything() {
    let mut fib = Fib::with_config(FibConfig { max_changes: 3, ..FibConfig::default() });
    for third in 0..5 {
        fib.add_route(unicast(&format!("10.0.{third}.0/24"), &[NextHop::port(1)])).unwrap();
    }
    assert_eq!(fib.take_changes(), [Change::Everything]);
    assert_eq!(fib.take_changes(), []);
    assert_eq!(fib.counts().changes_overflowed, 1);
    fib.remove_rule(&Rule::defaults(Family::V6)[0]).unwrap();
    assert_eq!(fib.take_changes(), [Change::Rules]);
}

#[test]
fn reverse_paths_as_linux_has_them() {
    let mut fib = two_ports();
    fib.add_route(unicast("0.0.0.0/0", &[via("10.0.2.1")])).unwrap();
    fib.add_route(Route::new(prefix("192.168.0.0/16"), RouteKind::Blackhole)).unwrap();
    let table = TableId::LOCAL;
    fib.add_route(Route { table, ..Route::new(prefix("10.0.1.1/32"), RouteKind::Local(1)) }).unwrap();
    let query = |source, port| Query {
        source: Some(crate::prefix::number(ip(source))),
        in_port: Some(port),
        ..Query::to(ip("8.8.8.8"))
    };
    let check = |source, port| {
        [ReversePathMode::Strict, ReversePathMode::Loose]
            .map(|mode| fib.reverse_path(&query(source, port), mode))
    };
    assert_eq!(check("10.0.1.9", 1), [ReversePath::Pass; 2]);
    assert_eq!(check("10.0.1.9", 2), [ReversePath::WrongPort, ReversePath::Pass]);
    assert_eq!(
        check("203.0.113.9", 1),
        [ReversePath::WrongPort, ReversePath::Pass],
        "a default route is a route"
    );
    assert_eq!(check("192.168.3.4", 2), [ReversePath::NoRoute; 2]);
    assert_eq!(check("10.0.1.1", 1), [ReversePath::NotUnicast; 2]);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8, u8, Vec<u8>),
    Remove(usize),
    Port(u32, bool),
}

/// Few nested prefixes whose gateways stand in each other: dependence, circles and shadowing come by themselves.
fn step() -> impl Strategy<Value = Step> {
    let add = (
        0u8..6,
        prop_oneof![Just(0u8), Just(8), Just(16), Just(24)],
        0u8..2,
        proptest::collection::vec(0u8..12, 1..3),
    );
    prop_oneof![
        5 => add.prop_map(|(network, length, metric, hops)| Step::Add(network, length, metric, hops)),
        2 => any::<usize>().prop_map(Step::Remove),
        2 => (0u32..3, any::<bool>()).prop_map(|(port, up)| Step::Port(port, up)),
    ]
}

fn nested(network: u8, length: u8) -> Prefix {
    Prefix::containing(ip(&format!("10.{}.{}.0", network % 3, network)), length).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// After any changes every way leads where it would lead if followed now, and addresses find the best usable route.
    #[test]
    fn what_is_written_down_is_what_would_be_found(steps in proptest::collection::vec(step(), 1..60)) {
        let mut fib = Fib::new(3);
        for step in steps {
            match step {
                Step::Add(network, length, metric, hops) => {
                    let hop = |hop: &u8| match *hop {
                        port @ 0..3 => NextHop::port(port.into()),
                        3 => NextHop::via(0, ip("10.1.1.1")),
                        gateway => via(&format!("10.{}.{}.1", gateway % 3, gateway % 6)),
                    };
                    let kind = RouteKind::Unicast(hops.iter().map(hop).collect());
                    let route = Route { metric: metric.into(), ..Route::new(nested(network, length), kind) };
                    let before = state(&fib);
                    if fib.add_route(route).is_err() {
                        prop_assert_eq!(state(&fib), before);
                    }
                }
                Step::Remove(which) if !fib.is_empty() => {
                    let key = fib.routes().nth(which % fib.len()).unwrap().1.route.key();
                    fib.remove_route(&key).unwrap();
                }
                Step::Remove(_) => {}
                Step::Port(port, up) => {
                    fib.set_port(port, up).unwrap();
                }
            }
            let resolver = fib.resolver(None);
            for (id, entry) in fib.routes() {
                let mut usable = false;
                for via in &entry.vias {
                    let written = fib.vias.outcome(*via).unwrap();
                    usable |= written.is_ok();
                    if !matches!(written, Err(Unresolved::Loop { .. })) {
                        prop_assert_eq!(written, &resolver.follow(&fib.vias.key(*via).unwrap()));
                    }
                }
                prop_assert_eq!(entry.is_usable(), usable);
                let prefix = entry.route.prefix;
                let alternatives = fib.tables[&TableId::MAIN].alternatives(&prefix);
                let best = alternatives.iter().find(|id| fib.route(**id).unwrap().is_usable());
                prop_assert_eq!(fib.tables[&TableId::MAIN].best(&prefix), best.copied());
                prop_assert_eq!(fib.find(&entry.route.key()), Some(id));
            }
        }
        let keys: Vec<_> = fib.routes().map(|(_, entry)| entry.route.key()).collect();
        for key in keys {
            fib.remove_route(&key).unwrap();
        }
        prop_assert_eq!(fib.groups().count(), 0);
        prop_assert_eq!(fib.tables().count(), 0);
        prop_assert_eq!(fib.vias.inside(&Prefix::all(Family::V4)).len(), 0);
    }
}

/// `ip route add default via 192.0.2.254 table 100`: the gateway is a neighbour by the main table's connected route.
#[test]
fn a_default_route_in_another_table_finds_its_gateway_in_the_main_one() {
    let mut fib = Fib::new(1);
    let connected: Prefix = "192.0.2.0/24".parse().unwrap();
    fib.add_route(Route::new(connected, RouteKind::Unicast(vec![NextHop::port(3)]))).unwrap();
    let default = Route {
        table: TableId(100),
        ..Route::new(
            "0.0.0.0/0".parse().unwrap(),
            RouteKind::Unicast(vec![NextHop::gateway("192.0.2.254".parse().unwrap())]),
        )
    };
    let id = fib.add_route(default).unwrap();
    let group = fib.route(id).unwrap().group().unwrap();
    let hop = fib.hop(fib.select(group, 0).unwrap()).unwrap();
    assert_eq!((hop.port, hop.gateway), (3, Some("192.0.2.254".parse().unwrap())));
}
