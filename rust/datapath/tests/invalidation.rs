//! What a change of tables means to flows that the cache knows.
mod common;
use common::*;
use netfast_datapath::{DropReason, Mac, PortConfig};
use netfast_fib::{Family, NextHop, Prefix, Route, RouteKind, Rule, RuleAction, TableId};
use std::collections::BTreeMap;

const OTHER: Mac = [2, 0, 0, 0, 0, 0x77];

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn gateways(list: &[(&str, u16)]) -> RouteKind {
    RouteKind::Unicast(list.iter().map(|(via, weight)| NextHop::gateway(ip(via)).weighted(*weight)).collect())
}

fn add_gateways(router: &mut Router, list: &[&str]) {
    for (at, via) in list.iter().enumerate() {
        let mac = [2, 0, 0, 0, 1, at as u8];
        router.node.set_neighbour(router.now, WAN, ip(via), mac, &mut router.out).unwrap();
    }
}

#[test]
fn a_neighbour_on_the_link_gets_another_link_address() {
    for (client, server) in [("192.0.2.10", "198.51.100.7"), ("2001:db8:1::10", "2001:db8:5::7")] {
        let mut router = Router::new("");
        let packet = udp(WAN, (server, 53), (client, 4000), b"x");
        for mac in [CLIENT_MAC, OTHER] {
            router.node.set_neighbour(router.now, LAN, ip(client), mac, &mut router.out).unwrap();
            for _ in 0..2 {
                assert_eq!(router.push(WAN, &packet).unwrap().1[..6], mac);
            }
        }
        router.node.remove_neighbour(LAN, ip(client));
        assert_eq!(router.push(WAN, &packet), None);
        assert_eq!(router.node.counters().held, 1);
        router.node.set_neighbour(router.now, LAN, ip(client), OTHER, &mut router.out).unwrap();
        assert_eq!(router.taken()[0].len(), 1);
    }
}

#[test]
fn flows_stay_with_their_hop_while_it_is_there() {
    let mut router = Router::new("");
    add_gateways(&mut router, &["203.0.113.11", "203.0.113.12", "203.0.113.13"]);
    let group = |list: &[(&str, u16)]| Route::new(prefix("198.51.100.0/24"), gateways(list));
    router.node.add_route(group(&[("203.0.113.11", 3), ("203.0.113.12", 1)])).unwrap();
    let flows: Vec<_> =
        (0..400).map(|at| udp(LAN, ("192.0.2.10", 4000 + at), ("198.51.100.7", 53), b"x")).collect();
    let hops = |router: &mut Router| {
        let [_, wan] = router.push_all(LAN, &flows);
        wan.iter().map(|frame| (src(frame).1, frame[5])).collect::<BTreeMap<u16, u8>>()
    };
    let before = hops(&mut router);
    let second = before.values().filter(|hop| **hop == 1).count();
    assert!((60..140).contains(&second), "{second} of 400 have the hop of weight 1 of 4");
    assert_eq!(hops(&mut router), before);
    router
        .node
        .replace_route(group(&[("203.0.113.11", 1), ("203.0.113.12", 1), ("203.0.113.13", 2)]))
        .unwrap();
    assert_eq!(hops(&mut router), before, "a hop more moves nobody");
    router.node.replace_route(group(&[("203.0.113.11", 1), ("203.0.113.13", 2)])).unwrap();
    for (flow, hop) in hops(&mut router) {
        assert!(if before[&flow] == 1 { hop != 1 } else { hop == before[&flow] }, "flow {flow} by {hop}");
    }
}

#[test]
fn marks_and_code_points_choose_tables() {
    let mut router = Router::new(
        "table ip f { chain pre { type filter hook prerouting priority mangle; udp dport 80 meta mark set 7; ip length > 200 meta mark set 7; }; }",
    );
    add_gateways(&mut router, &["203.0.113.11"]);
    let hop = NextHop { on_link: true, ..NextHop::via(WAN, ip("203.0.113.11")) };
    let other = Route { table: TableId(7), ..Route::new(prefix("0.0.0.0/0"), RouteKind::Unicast(vec![hop])) };
    router.node.add_route(other).unwrap();
    let action = RuleAction::Lookup(TableId(7));
    router.node.add_policy(Rule { mark: Some((7, u32::MAX)), ..Rule::new(Family::V4, 100, action) }).unwrap();
    let hop = |router: &mut Router, packet: &[u8]| router.push(LAN, packet).unwrap().1[..6].to_vec();
    let elsewhere = [2, 0, 0, 0, 1, 0];
    let packet = |port, size| udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", port), &vec![0; size]);
    for _ in 0..3 {
        assert_eq!(hop(&mut router, &packet(80, 10)), elsewhere);
        assert_eq!(hop(&mut router, &packet(53, 10)), SERVER_MAC);
    }
    router.node.add_policy(Rule { dscp: Some(46), ..Rule::new(Family::V4, 101, action) }).unwrap();
    for _ in 0..3 {
        let mut marked = packet(54, 10);
        marked[15] = 0xb8;
        fix_ipv4(&mut marked);
        assert_eq!(hop(&mut router, &packet(54, 10)), SERVER_MAC);
        // The flow keeps its hop only where the table has it.
        assert_eq!(hop(&mut router, &marked), elsewhere);
    }
}

#[test]
fn a_recursive_next_hop_moves_with_its_route() {
    let mut router = Router::new("");
    add_gateways(&mut router, &["203.0.113.11", "203.0.113.12"]);
    let under = |via: &str| Route::new(prefix("10.0.0.0/8"), gateways(&[(via, 1)]));
    router.node.add_route(under("203.0.113.11")).unwrap();
    router.node.add_route(Route::new(prefix("198.51.100.0/24"), gateways(&[("10.1.1.1", 1)]))).unwrap();
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    for (last, via) in [(0, "203.0.113.11"), (1, "203.0.113.12")] {
        router.node.replace_route(under(via)).unwrap();
        for _ in 0..2 {
            assert_eq!(router.push(LAN, &packet).unwrap().1[..6], [2, 0, 0, 0, 1, last]);
        }
    }
}

#[test]
fn rules_that_ask_for_routes_follow_them() {
    let mut router = Router::new(
        "table inet f { chain pre { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }; }",
    );
    let packet = udp(WAN, ("198.51.100.7", 53), ("192.0.2.10", 4000), b"x");
    for _ in 0..2 {
        assert!(router.push(WAN, &packet).is_some());
    }
    let kind = RouteKind::Unicast(vec![NextHop::port(LAN)]);
    let route = Route::new(prefix("198.51.100.0/24"), kind);
    router.node.add_route(route.clone()).unwrap();
    assert_eq!(router.push(WAN, &packet), None);
    router.node.remove_route(&route.key()).unwrap();
    assert!(router.push(WAN, &packet).is_some());
}

#[test]
fn a_port_that_goes_takes_what_waits_with_it() {
    let mut router = Router::new("");
    let mut port = PortConfig::new("dmz", [2, 0, 0, 0, 0, 3]);
    port.addresses = vec![(ip("172.16.0.1"), 24)];
    let dmz = router.node.add_port(port).unwrap();
    for host in 2..5 {
        let to = format!("172.16.0.{host}");
        assert_eq!(router.push(LAN, &udp(LAN, ("192.0.2.10", 1), (&to, 2), b"x")), None);
    }
    assert_eq!(router.node.counters().held, 3);
    router.node.remove_port(dmz).unwrap();
    router.check();
    assert_eq!((router.node.counters().held, router.node.dropped(DropReason::NoNextHop)), (0, 3));
}

#[test]
fn a_known_flow_by_another_port_is_looked_at_anew() {
    let mut router = Router::new(
        "table ip f { chain through { type filter hook forward priority filter; iifname wan drop; }; }",
    );
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    for _ in 0..2 {
        assert!(router.push(LAN, &packet).is_some());
    }
    let hits = router.node.counters().cache.hits;
    let mut moved = packet.clone();
    moved[..6].copy_from_slice(&WAN_MAC);
    assert_eq!(router.push(WAN, &moved), None);
    assert_eq!((router.node.dropped(DropReason::Rule), router.node.counters().cache.hits), (1, hits));
    assert!(router.push(LAN, &packet).is_some());
}

#[test]
fn a_smaller_mtu_holds_at_once() {
    let mut router = Router::new("");
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), &[0; 1_400]);
    for _ in 0..2 {
        assert_eq!(router.push(LAN, &packet).unwrap().0, WAN);
    }
    router.node.set_mtu(WAN, 1_400).unwrap();
    let (port, frame) = router.push(LAN, &packet).expect("an error");
    assert_eq!((port, seen(&frame).icmp_type, seen(&frame).icmp_code), (LAN, 3, 4));
    assert_eq!(frame[40..42], 1_400u16.to_be_bytes());
}

#[test]
fn what_a_change_does_not_concern_is_not_decided_anew() {
    let mut router = Router::new("");
    let flows: Vec<_> = (0..100)
        .map(|at| udp(LAN, ("192.0.2.10", 4000), (&format!("{}.51.100.7", 20 + at), 53), b"x"))
        .collect();
    router.push_all(LAN, &flows);
    router.node.add_route(Route::new(prefix("50.51.0.0/16"), RouteKind::Blackhole)).unwrap();
    let [_, wan] = router.push_all(LAN, &flows);
    assert_eq!(wan.len(), 99);
    let cache = router.node.counters().cache;
    assert_eq!((cache.refreshed, cache.revalidated, cache.hits), (99, 1, 99));
    router.node.add_route(Route::new(prefix("51.51.0.0/16"), gateways(&[("203.0.113.2", 1)]))).unwrap();
    router.push_all(LAN, &flows);
    assert_eq!(router.node.counters().cache.changed, 0, "it came out the same");
    add_gateways(&mut router, &["203.0.113.11"]);
    router.node.replace_route(Route::new(prefix("51.51.0.0/16"), gateways(&[("203.0.113.11", 1)]))).unwrap();
    router.push_all(LAN, &flows);
    assert_eq!(router.node.counters().cache.changed, 1);
}
