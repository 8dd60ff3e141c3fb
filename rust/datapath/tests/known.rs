//! Flows of a class that is known: decided without a walk, and as the walk decides.
mod common;
use common::*;
use netfast_buf::Skb;
use netfast_datapath::{DropReason, Known, NodeConfig, Tracking};
use netfast_fib::{NextHop, Route, RouteKind};

const STATEFUL: &str = "table inet f { chain forward { type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname lan udp dport { 53, 123 } counter accept
    iifname lan tcp dport 80-443 accept
\n}\n}";

fn syn(from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    tcp(LAN, from, to, Segment { flags: SYN, seq: 7, ack: 0, payload: 0 })
}

#[test]
fn the_second_flow_of_a_class_needs_no_walk() {
    let mut router = Router::new(STATEFUL);
    for port in 0..100 {
        assert!(
            router.push(LAN, &udp(LAN, ("192.0.2.10", 4000 + port), ("198.51.100.7", 53), b"?")).is_some()
        );
        assert!(
            router.push(LAN, &syn(("2001:db8:1::10", 4000 + port), ("2001:db8:5::7", 200 + port))).is_some()
        );
    }
    let counters = router.node.counters();
    assert_eq!((counters.cache.known, counters.cache.misses, counters.cache.hits), (198, 2, 0));
    assert_eq!((router.node.connections().count(), counters.out), (200, 200));
    let state = router.node.rule_state().clone();
    let counted: u64 = router
        .node
        .rules()
        .rules()
        .flat_map(|rule| &rule.counters)
        .map(|at| state.counter(*at).packets)
        .sum();
    assert_eq!(counted, 100, "the counter of a rule counts them all");
    // Their answers are hits, or decided once, as after any first packet.
    for port in 0..100 {
        assert!(
            router.push(WAN, &udp(WAN, ("198.51.100.7", 53), ("192.0.2.10", 4000 + port), b"!")).is_some()
        );
    }
}

#[test]
fn a_scan_is_dropped_by_its_class() {
    let mut router = Router::new(STATEFUL);
    for port in 1..500 {
        assert_eq!(router.push(WAN, &udp(WAN, ("198.51.100.7", port), ("192.0.2.10", 53), b"?")), None);
    }
    let counters = router.node.counters();
    assert_eq!((counters.cache.known, counters.cache.misses), (498, 1));
    assert_eq!((router.node.dropped(DropReason::Policy), router.node.entries()), (499, 0));
}

#[test]
fn what_a_packet_of_a_known_class_is_otherwise_the_tables_see() {
    let text = STATEFUL.replace("ct state est", "ct state invalid drop\n    ct state est");
    let mut router = Router::with(NodeConfig { verify_checksums: true, ..NodeConfig::default() }, &text);
    let request = |port, payload: &[u8]| udp(LAN, ("192.0.2.10", port), ("198.51.100.7", 53), payload);
    assert!(router.push(LAN, &request(1, b"")).is_some());
    let known = router.node.counters().cache.known;
    // Its last hop; too long to go on whole; damaged; no datagram; from an address that is the node's.
    let mut last = request(2, b"");
    last[22] = 1;
    fix_ipv4(&mut last);
    let mut damaged = request(3, b"abcd");
    damaged[43] ^= 1;
    let mut short = request(4, b"abcd");
    short[39] = 7;
    let own = udp(LAN, ("203.0.113.1", 5), ("198.51.100.7", 53), b"");
    for frame in [last, request(6, &[0; 1_473]), damaged, short, own] {
        router.push(LAN, &frame);
    }
    assert_eq!((router.node.counters().cache.known, router.node.counters().out), (known, 1 + 2));
    for reason in [DropReason::HopLimit, DropReason::TooBig, DropReason::MartianSource] {
        assert_eq!(router.node.dropped(reason), 1, "{reason:?}");
    }
    assert_eq!(router.node.dropped(DropReason::Rule), 2, "invalid is not new");
}

#[test]
fn new_rules_make_classes_unknown() {
    let mut router = Router::new(STATEFUL);
    let request = |port| udp(LAN, ("192.0.2.10", port), ("198.51.100.7", 53), b"");
    assert!(router.push(LAN, &request(1)).is_some() && router.push(LAN, &request(2)).is_some());
    router.node.set_rules(rules(&STATEFUL.replace("53, 123", "123"))).unwrap();
    for port in 1..5 {
        assert_eq!(router.push(LAN, &request(port)), None);
    }
    router.node.set_rules(rules(STATEFUL)).unwrap();
    let before = router.node.counters().cache;
    for port in 1..100 {
        assert!(router.push(LAN, &request(port)).is_some());
    }
    let after = router.node.counters().cache;
    assert_eq!(after.known - before.known, 96, "{after:?}");
}

#[test]
fn after_a_change_flows_are_decided_by_their_class() {
    let mut router = Router::new(STATEFUL);
    let request = |port| udp(LAN, ("192.0.2.10", port), ("198.51.100.7", 53), b"");
    let reply = |port| udp(WAN, ("198.51.100.7", 53), ("192.0.2.10", port), b"");
    for _ in 0..3 {
        for port in 1..100 {
            assert!(router.push(LAN, &request(port)).is_some() && router.push(WAN, &reply(port)).is_some());
        }
        router.wait(2_500);
    }
    router.node.set_rules(rules(&STATEFUL.replace("counter accept", "accept"))).unwrap();
    let before = router.node.counters().cache;
    for port in 1..100 {
        assert!(router.push(LAN, &request(port)).is_some() && router.push(WAN, &reply(port)).is_some());
    }
    let after = router.node.counters().cache;
    assert_eq!(
        (after.revalidated - before.revalidated, after.misses, after.hits),
        (198, before.misses, before.hits)
    );
    for port in 1..100 {
        assert!(router.push(LAN, &request(port)).is_some() && router.push(WAN, &reply(port)).is_some());
    }
    assert_eq!(router.node.counters().cache.hits - after.hits, 198);
}

#[test]
fn flows_of_a_class_take_their_own_hops() {
    let mut router = Router::new(STATEFUL);
    let mut hops = Vec::new();
    for last in 11..15u8 {
        let via = ip(&format!("203.0.113.{last}"));
        router.node.set_neighbour(router.now, WAN, via, [2, 0, 0, 0, 1, last], &mut router.out).unwrap();
        hops.push(NextHop::gateway(via));
    }
    router.node.add_route(Route::new("198.51.100.0/24".parse().unwrap(), RouteKind::Unicast(hops))).unwrap();
    let request = |port| udp(LAN, ("192.0.2.10", port), ("198.51.100.7", 53), b"");
    let mut by_hop = [0; 4];
    for port in 0..400 {
        let (_, frame) = router.push(LAN, &request(port)).unwrap();
        by_hop[usize::from(frame[5]) - 11] += 1;
        assert_eq!(router.push(LAN, &request(port)).unwrap().1[5], frame[5]);
    }
    assert!(by_hop.iter().all(|flows| (60..140).contains(flows)), "{by_hop:?}");
    assert_eq!(router.node.counters().cache.known, 396);
}

#[test]
fn chains_of_type_nat_that_read_the_packet_are_walked() {
    let text = format!(
        "{STATEFUL}\ntable ip n {{ chain pre {{ type nat hook prerouting priority dstnat;\n\
         meta length > 60 counter dnat to 198.51.100.9\n}}\n}}"
    );
    let mut router = Router::new(&text);
    for port in 0..20 {
        let frame = udp(
            LAN,
            ("192.0.2.10", 4000 + port),
            ("198.51.100.7", 53),
            &[0; 50][..usize::from(port % 2) * 50],
        );
        let (_, sent) = router.push(LAN, &frame).unwrap();
        assert_eq!(dst(&sent).0, if port % 2 == 1 { "198.51.100.9" } else { "198.51.100.7" });
    }
    assert_eq!(router.node.counters().cache.known, 0);
}

#[test]
fn hosts_on_the_link_are_told_apart() {
    let mut router = Router::new("");
    for last in 20..40u8 {
        let host = ip(&format!("192.0.2.{last}"));
        router.node.set_neighbour(router.now, LAN, host, [2, 0, 0, 0, 3, last], &mut router.out).unwrap();
    }
    for round in 0..2 {
        for last in 20..40u8 {
            let host = format!("192.0.2.{last}");
            let frame = udp(WAN, ("198.51.100.7", 100 + round), (&host, 9), b"");
            assert_eq!(router.push(WAN, &frame).unwrap().1[5], last);
        }
    }
    // Nobody asks for connections here, so that none are tracked, and no classes kept.
    assert_eq!(router.node.counters().cache.known, 0);
    router
        .node
        .set_rules(rules(
            "table ip f { chain c { type filter hook forward priority 0; ct state invalid drop\n}\n}",
        ))
        .unwrap();
    for round in 2..4 {
        for last in 20..40u8 {
            let host = format!("192.0.2.{last}");
            let frame = udp(WAN, ("198.51.100.7", 100 + round), (&host, 9), b"");
            assert_eq!(router.push(WAN, &frame).unwrap().1[5], last);
        }
    }
    assert_eq!(router.node.counters().cache.known, 20);
}

/// Rules of all kinds that flows of a few addresses and ports come by, both ways, with changes in between.
#[test]
fn many_flows_and_rule_sets_agree() {
    const SETS: &str = "set hosts {\ntype ipv4_addr\nflags interval\nelements = { 192.0.2.10-192.0.2.12, 198.51.100.0/28 }\n}
        map ports {\ntype inet_service : verdict\nelements = { 53 : accept, 80 : jump web }\n}
        chain web {\nip saddr 192.0.2.11 drop\ntcp dport 443 return\n}\n";
    const LINES: [&str; 18] = [
        "ct state established accept",
        "ct state invalid drop",
        "ip saddr @hosts accept",
        "ip daddr != @hosts counter",
        "tcp dport vmap @ports",
        "udp dport vmap @ports",
        "iifname lan ip saddr . udp dport { 192.0.2.10 . 53, 192.0.2.0/29 . 80-90 } drop",
        "ip6 saddr 2001:db8:1::/65 counter accept",
        "meta l4proto tcp tcp sport 1000-1010 drop",
        "ip daddr 198.51.100.0/25 meta mark set 3",
        "meta mark 3 counter",
        "oifname wan udp dport 53 accept",
        "limit rate 5/second accept",
        "ip length > 100 drop",
        "ct direction reply counter",
        "ct status assured counter",
        "ip6 hoplimit < 10 drop",
        "tcp flags syn counter",
    ];
    const NAT: &str = "table ip n { chain post { type nat hook postrouting priority srcnat;\noifname wan ip saddr 192.0.2.10 masquerade\n}\n}\n";
    let mut state = 9u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut known, mut revalidated) = (0, 0);
    for _ in 0..60 {
        let mut text = || {
            let lines: Vec<_> = (0..1 + random(7)).map(|_| LINES[random(18) as usize]).collect();
            let hook = ["prerouting", "forward", "postrouting"][random(3) as usize];
            let policy = ["accept", "drop"][usize::from(hook == "forward" && random(2) == 0)];
            let nat = if random(3) == 0 { NAT } else { "" };
            let lines: Vec<_> =
                lines.into_iter().filter(|line| hook != "prerouting" || !line.contains("oifname")).collect();
            format!(
                "table inet f {{\n{SETS}chain c {{\ntype filter hook {hook} priority 0; policy {policy};\n{}\n}}\n}}\n{nat}",
                lines.join("\n")
            )
        };
        let texts = [text(), text()];
        let mut router =
            Router::with(NodeConfig { seed: random(1 << 40), ..NodeConfig::default() }, &texts[0]);
        for round in 0..4 {
            for _ in 0..150 {
                let v6 = random(3) == 0;
                let (client, server) = match v6 {
                    true => (
                        format!("2001:db8:1::{:x}", 0x10 + random(2) * 0x8000),
                        format!("2001:db8:5::{}", random(4)),
                    ),
                    false => (format!("192.0.2.{}", 10 + random(4)), format!("198.51.100.{}", random(40))),
                };
                let client = (&*client, 1_000 + random(30) as u16);
                let server = (&*server, [53, 80, 443, 90][random(4) as usize]);
                let payload = vec![0; random(2) as usize * 90];
                let replies = random(3) == 0;
                let frame = match (random(2), replies) {
                    (0, false) => udp(LAN, client, server, &payload),
                    (0, true) => udp(WAN, server, client, &payload),
                    (_, false) => tcp(
                        LAN,
                        client,
                        server,
                        Segment { flags: [SYN, ACK][random(2) as usize], seq: 1, ack: 1, payload: 0 },
                    ),
                    (_, true) => {
                        tcp(WAN, server, client, Segment { flags: SYN | ACK, seq: 1, ack: 2, payload: 0 })
                    }
                };
                router.push_all(if replies { WAN } else { LAN }, &[frame]);
                router.wait(random(100));
            }
            match round {
                0 => router.node.set_rules(rules(&texts[1])).unwrap(),
                1 => router.node.set_mtu(WAN, 1_400).unwrap(),
                _ => {}
            }
        }
        known += router.node.counters().cache.known;
        revalidated += router.node.counters().cache.revalidated;
    }
    assert!(known > 2_000 && revalidated > 100, "{known} known, {revalidated} revalidated");
}

/// Every packet is counted once as what decided it, also one whose program came from its class and which the tables have then.
#[test]
fn what_is_decided_anew_is_counted_once() {
    for verify in [false, true] {
        let mut router = Router::new(STATEFUL);
        router.node.set_verify(verify);
        let server = ("198.51.100.7", 80);
        let clients = [4000, 4001].map(|port| ("192.0.2.10", port));
        let part = |flags, seq, ack, payload| Segment { flags, seq, ack, payload };
        for client in clients {
            router.push(LAN, &tcp(LAN, client, server, part(SYN, 100, 0, 0))).unwrap();
            router.push(WAN, &tcp(WAN, server, client, part(SYN | ACK, 900, 101, 0))).unwrap();
            for _ in 0..2 {
                router.push(LAN, &tcp(LAN, client, server, part(ACK, 101, 901, 0))).unwrap();
                router.push(WAN, &tcp(WAN, server, client, part(ACK, 901, 101, 0))).unwrap();
            }
        }
        router.node.set_rules(rules(&STATEFUL.replace("80-443", "80-444"))).unwrap();
        let before = router.node.counters().cache;
        router.push(LAN, &tcp(LAN, clients[0], server, part(ACK, 101, 901, 10))).unwrap();
        let mut blocks = tcp(LAN, clients[1], server, part(ACK, 101, 901, 12));
        // Two paddings and a SACK block instead of the data (RFC 2018 3).
        blocks[46] = 0x80;
        blocks[54..66].copy_from_slice(&[1, 1, 5, 10, 0, 0, 3, 0x90, 0, 0, 3, 0xa0]);
        let sum = netfast_wire::checksum::pseudo_checksum(
            mapped(ip("192.0.2.10")),
            mapped(ip("198.51.100.7")),
            6,
            &[&blocks[34..50], &[0; 2], &blocks[52..]].concat(),
        );
        blocks[50..52].copy_from_slice(&sum.to_be_bytes());
        router.push(LAN, &blocks).unwrap();
        let (counters, cache) = (router.node.counters(), router.node.counters().cache);
        assert_eq!(cache.revalidated - before.revalidated, 2, "{verify}");
        let decided =
            cache.hits + cache.known + cache.misses + cache.uncached + cache.walked + cache.revalidated;
        assert_eq!(decided, counters.packets_in, "{verify}: {cache:?}");
    }
}

/// A trace says "hit" of what one lookup decides, and of nothing else.
#[test]
fn a_trace_tells_of_hits_alone() {
    let mut router = Router::with(NodeConfig { tracking: Tracking::On, ..NodeConfig::default() }, "");
    let (client, server) = (("192.0.2.10", 4000), ("198.51.100.7", 53));
    let (there, back) = (udp(LAN, client, server, b"?"), udp(WAN, server, client, b"!"));
    let mut last_hop = there.clone();
    last_hop[22] = 1;
    fix_ipv4(&mut last_hop);
    let long = udp(LAN, client, server, &[0; 1_400]);
    let opening = syn(client, server);
    let mut told = Vec::new();
    let mut step = |router: &mut Router, port, frame: &[u8]| {
        let packet = Skb::from_slice(frame, router.node.pool()).unwrap();
        let known = router.node.trace(port, &packet).cache;
        let hits = router.node.counters().cache.hits;
        router.push(port, frame);
        assert_eq!(
            router.node.counters().cache.hits - hits,
            u64::from(known == Known::Hit),
            "{told:?} {known:?}"
        );
        told.push(known);
    };
    for (port, frame) in
        [(LAN, &there), (LAN, &there), (WAN, &back), (WAN, &back), (LAN, &there), (LAN, &long)]
    {
        step(&mut router, port, frame);
    }
    router.node.set_mtu(WAN, 1_300).unwrap();
    for frame in [&there, &there, &long, &last_hop] {
        step(&mut router, LAN, frame);
    }
    // A UDP connection is assured by what comes after its first two seconds.
    router.wait(2_500);
    router.node.poll(router.now, &mut router.out);
    for frame in [&there, &there, &opening, &opening] {
        step(&mut router, LAN, frame);
    }
    use Known::{Entry, Hit, Miss, Stale, Uncached};
    let expected =
        [Miss, Hit, Entry, Hit, Hit, Hit, Stale, Hit, Uncached, Uncached, Uncached, Hit, Miss, Uncached];
    assert_eq!(told, expected);
}
