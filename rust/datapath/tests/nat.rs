//! Translations: which way packets, answers and rules see them.
mod common;
use common::*;
use netfast_buf::{PacketBatch, Skb};
use netfast_datapath::{DropReason, Event, HookVerdict, HookVerdicts, NodeConfig, Tracking};
use netfast_fib::{NextHop, Route, RouteKind};

const MASQUERADE: &str =
    "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }";

/// Sends a packet of the node's own, made by one of the frame builders.
fn send(router: &mut Router, frame: &[u8]) -> [Vec<Vec<u8>>; 2] {
    let packet = Skb::from_slice(&frame[14..], router.node.pool()).unwrap();
    router.node.send(router.now, packet, &mut router.out);
    router.taken()
}

/// What was delivered to the node, as frames.
fn local(router: &mut Router) -> Vec<Vec<u8>> {
    router.out.take_local().iter().map(Skb::to_vec).collect()
}

#[test]
fn a_hairpin_leads_back_in() {
    let mut router = Router::new(
        "table ip nat {
            chain pre { type nat hook prerouting priority dstnat; ip daddr 203.0.113.1 udp dport 8080 dnat to 192.0.2.11:80; }
            chain post { type nat hook postrouting priority srcnat; ip saddr 192.0.2.0/24 masquerade; }
        }",
    );
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.11"), SERVER_MAC, &mut router.out).unwrap();
    for _ in 0..3 {
        let request = udp(LAN, ("192.0.2.10", 4000), ("203.0.113.1", 8080), b"q");
        let (port, frame) = router.push(LAN, &request).expect("back in");
        assert_eq!(
            (port, src(&frame), dst(&frame)),
            (LAN, ("192.0.2.1".into(), 4000), ("192.0.2.11".into(), 80))
        );
        let answer = udp(LAN, ("192.0.2.11", 80), ("192.0.2.1", 4000), b"a");
        let (port, frame) = router.push(LAN, &answer).expect("and back");
        let expected = (LAN, ("203.0.113.1".into(), 8080), ("192.0.2.10".into(), 4000));
        assert_eq!((port, src(&frame), dst(&frame)), expected);
    }
    assert!(router.node.counters().cache.hits >= 4);
}

#[test]
fn an_endpoint_keeps_its_outer_one_whoever_it_talks_to() {
    for filtering in [false, true] {
        let config = NodeConfig {
            endpoint_independent: true,
            endpoint_independent_filtering: filtering,
            ..NodeConfig::default()
        };
        let mut router = Router::with(
            config,
            "table ip nat { chain post { type nat hook postrouting priority srcnat; ip protocol udp oifname wan masquerade to :5000-6000 fully-random; }; }",
        );
        let outer: Vec<_> = ["198.51.100.7", "198.51.100.8", "198.51.100.9"]
            .into_iter()
            .map(|server| {
                let packet = udp(LAN, ("192.0.2.10", 4000), (server, 53), b"q");
                src(&router.push(LAN, &packet).expect("forwarded").1)
            })
            .collect();
        assert!(outer.windows(2).all(|pair| pair[0] == pair[1]), "{outer:?}");
        // Someone whom it never talked to (RFC 4787 REQ-8).
        let stranger = udp(WAN, ("198.51.100.99", 9), ("203.0.113.1", outer[0].1), b"x");
        let got = router.push(WAN, &stranger).map(|(port, frame)| (port, dst(&frame)));
        assert_eq!(got, filtering.then(|| (LAN, ("192.0.2.10".to_owned(), 4000))));
        local(&mut router);
        if filtering {
            // A neighbour of its that only knows the outer endpoint (REQ-9).
            let inner = udp(LAN, ("192.0.2.11", 7), ("203.0.113.1", outer[0].1), b"x");
            let (port, frame) = router.push(LAN, &inner).expect("a hairpin");
            assert_eq!((port, dst(&frame)), (LAN, ("192.0.2.10".to_owned(), 4000)));
        }
    }
}

#[test]
fn a_redirect_and_its_answers() {
    let mut router = Router::new(
        "table inet nat { chain pre { type nat hook prerouting priority dstnat; udp dport 53 redirect to :5353; }; }",
    );
    for (client, server, own) in
        [("192.0.2.10", "198.51.100.7", "192.0.2.1"), ("2001:db8:1::10", "2001:db8:5::7", "2001:db8:1::1")]
    {
        assert_eq!(router.push(LAN, &udp(LAN, (client, 4000), (server, 53), b"q")), None);
        let got = local(&mut router);
        assert_eq!((dst(&got[0]), src(&got[0])), ((own.to_owned(), 5353), (client.to_owned(), 4000)));
        let [lan, _] = send(&mut router, &udp(LAN, (own, 5353), (client, 4000), b"a"));
        assert_eq!((src(&lan[0]), dst(&lan[0])), ((server.to_owned(), 53), (client.to_owned(), 4000)));
    }
}

#[test]
fn sources_are_translated_on_their_way_in() {
    let mut router = Router::new(
        "table ip nat { chain in { type nat hook input priority 100; udp dport 53 snat to 10.9.9.9; }; }",
    );
    for round in 0..3 {
        assert_eq!(router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), ("192.0.2.1", 53), b"q")), None);
        let got = local(&mut router);
        assert_eq!(src(&got[0]), ("10.9.9.9".to_owned(), 4000), "round {round}");
        let [lan, _] = send(&mut router, &udp(LAN, ("192.0.2.1", 53), ("10.9.9.9", 4000), b"a"));
        assert_eq!(dst(&lan[0]), ("192.0.2.10".to_owned(), 4000));
    }
}

#[test]
fn what_the_node_sends_may_go_elsewhere() {
    let mut router = Router::new(
        "table ip nat { chain out { type nat hook output priority -100; ip daddr 10.5.5.5 dnat to 192.0.2.10; }; }
         table ip f { chain out { type filter hook output priority filter; ip daddr 192.0.2.10 counter accept; counter drop; }; }",
    );
    let [lan, _] = send(&mut router, &udp(WAN, ("203.0.113.1", 53), ("10.5.5.5", 53), b"x"));
    assert_eq!(dst(&lan[0]), ("192.0.2.10".to_owned(), 53), "the filter sees the translated destination");
    assert_eq!(router.push(LAN, &udp(LAN, ("192.0.2.10", 53), ("203.0.113.1", 53), b"y")), None);
    assert_eq!(src(&local(&mut router)[0]), ("10.5.5.5".to_owned(), 53));
}

#[test]
fn answers_to_the_node_itself_are_established() {
    let mut router = Router::new(
        "table inet f { chain in { type filter hook input priority filter; policy drop; ct state established accept; }; }",
    );
    for (own, server) in [("203.0.113.1", "198.51.100.7"), ("2001:db8:ff::1", "2001:db8:5::7")] {
        let stray = udp(WAN, (server, 53), (own, 6000), b"a");
        assert_eq!(router.push(WAN, &stray), None);
        assert!(local(&mut router).is_empty());
        let [_, wan] = send(&mut router, &udp(WAN, (own, 6000), (server, 53), b"q"));
        assert_eq!(wan.len(), 1);
        for _ in 0..3 {
            router.push(WAN, &stray);
            assert_eq!(local(&mut router).len(), 1);
        }
    }
}

#[test]
fn what_the_node_sends_to_itself_arrives() {
    let mut router = Router::new("");
    let [lan, wan] = send(&mut router, &udp(WAN, ("203.0.113.1", 53), ("192.0.2.1", 53), b"x"));
    assert_eq!((lan.len(), wan.len(), local(&mut router).len()), (0, 0, 1));
}

#[test]
fn masquerading_takes_the_address_of_the_next_hops_network() {
    let mut router = Router::new(MASQUERADE);
    router.node.add_address(WAN, ip("198.18.0.1"), 24).unwrap();
    let kind = RouteKind::Unicast(vec![NextHop::gateway(ip("198.18.0.2"))]);
    router.node.add_route(Route::new("198.51.100.0/25".parse().unwrap(), kind)).unwrap();
    router.node.set_neighbour(router.now, WAN, ip("198.18.0.2"), SERVER_MAC, &mut router.out).unwrap();
    for (server, own) in [("198.51.100.7", "198.18.0.1"), ("198.51.100.200", "203.0.113.1")] {
        let (_, frame) = router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), (server, 53), b"q")).unwrap();
        assert_eq!(src(&frame).0, own);
    }
}

#[test]
fn when_no_port_is_left_the_node_says_so_and_goes_on() {
    let mut router = Router::new(
        "table ip nat { chain post { type nat hook postrouting priority srcnat; ip protocol udp masquerade to :2000-2001; }; }",
    );
    let packet = |from| udp(LAN, ("192.0.2.10", from), ("198.51.100.7", 53), b"q");
    for from in [4000, 4001] {
        assert!(router.push(LAN, &packet(from)).is_some());
    }
    assert_eq!(router.push(LAN, &packet(4002)), None);
    assert_eq!(router.node.dropped(DropReason::NatExhausted), 1);
    let (events, _) = router.node.take_events();
    assert!(
        events
            .iter()
            .any(|(_, event)| matches!(event, Event::NatExhausted { tuple } if tuple.source_port == 4002))
    );
    assert!(router.push(LAN, &packet(4000)).is_some());
    router.wait(31_000);
    assert!(router.push(LAN, &packet(4002)).is_some(), "the first ones are over");
}

/// What the server sends to the client begins a connection that is translated, with the very addresses of the one that the
/// client begins when that is over.
#[test]
fn a_translated_connection_that_is_over_is_in_nobodys_way() {
    let rules = "table ip t {
      chain c {
        type nat hook postrouting priority srcnat;
        iifname \"wan\" masquerade
      }
    }";
    let mut router = Router::new(rules);
    let there = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    let back = udp(WAN, ("198.51.100.7", 53), ("192.0.2.10", 4000), b"x");
    let (_, translated) = router.push(WAN, &back).unwrap();
    assert_eq!(src(&translated).0, "192.0.2.1");
    router.wait(40_000);
    let (_, sent) = router.push(LAN, &there).unwrap();
    assert_eq!(src(&sent), ("192.0.2.10".to_owned(), 4000));
    let (port, answer) = router.push(WAN, &back).expect("an answer to what the client sent");
    assert_eq!((port, src(&answer)), (LAN, ("198.51.100.7".to_owned(), 53)));
    router.check();
}

#[test]
fn chains_see_translations_by_their_priority() {
    let mut router = Router::new(
        "table ip nat {
            chain pre { type nat hook prerouting priority dstnat; udp dport 53 dnat to 198.51.100.99; }
            chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }
        }
        table ip f {
            chain a { type filter hook prerouting priority mangle; ip daddr 198.51.100.99 drop; }
            chain b { type filter hook prerouting priority filter; ip daddr 198.51.100.7 drop; ip length > 500 drop; }
            chain c { type filter hook postrouting priority mangle; ip saddr 203.0.113.1 drop; }
            chain d { type filter hook postrouting priority 110; ip saddr 192.0.2.10 drop; ip dscp ef ip saddr 203.0.113.1 counter accept; }
        }",
    );
    for _ in 0..3 {
        let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"q");
        let (_, frame) = router.push(LAN, &packet).expect("no chain drops it");
        assert_eq!((src(&frame).0.as_str(), dst(&frame).0.as_str()), ("203.0.113.1", "198.51.100.99"));
    }
    assert_eq!(router.node.counters().cache.hits, 2);
}

#[test]
fn a_quote_of_what_waited_in_vain_reaches_the_inner_host() {
    let mut router = Router::new(MASQUERADE);
    router.node.remove_neighbour(WAN, ip("203.0.113.2"));
    assert_eq!(router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"q")), None);
    router.wait(3_001);
    router.node.poll(router.now, &mut router.out);
    let [lan, wan] = router.taken();
    assert_eq!((lan.len(), wan.len()), (1, 0));
    let layers = seen(&lan[0]);
    assert_eq!((layers.icmp_type, layers.icmp_code, dst(&lan[0]).0.as_str()), (3, 1, "192.0.2.10"));
    assert_eq!(lan[0][34 + 8 + 12..][..4], [192, 0, 2, 10], "the quoted source is the inner one");
}

#[test]
fn masquerading_behind_a_port_without_an_address_says_so() {
    let mut router = Router::new(
        "table ip6 n { chain p { type nat hook postrouting priority srcnat; oifname bare masquerade\n}\n}",
    );
    let bare = router.node.add_port(netfast_datapath::PortConfig::new("bare", [2, 0, 0, 0, 0, 9])).unwrap();
    let hops = vec![netfast_fib::NextHop::port(bare)];
    let route =
        netfast_fib::Route::new("2001:db8:77::/48".parse().unwrap(), netfast_fib::RouteKind::Unicast(hops));
    router.node.add_route(route).unwrap();
    let packet = udp(LAN, ("2001:db8:1::10", 1), ("2001:db8:77::1", 2), b"x");
    assert_eq!(router.push(LAN, &packet), None);
    assert_eq!(router.node.dropped(netfast_datapath::DropReason::NoAddress), 1);
}

/// Pushes one frame that the hook has translated: `source` and its port.
fn push_hooked(router: &mut Router, port: u32, frame: &[u8], source: (&str, u16)) -> Vec<u8> {
    let mut batch = PacketBatch::new();
    batch.push(Skb::from_slice(frame, router.node.pool()).unwrap()).unwrap();
    let verdict =
        HookVerdict { source: Some((mapped(ip(source.0)), Some(source.1))), ..HookVerdict::default() };
    let verdicts = HookVerdicts { by_packet: &[Some(verdict)] };
    router.node.push_with(router.now, port, &mut batch, verdicts, &mut router.out);
    let [lan, wan] = router.taken();
    lan.into_iter().chain(wan).next().expect("it passes")
}

/// What comes untranslated with the tuple of a translated connection's replies-to-be begins a connection of its own, by another
/// port: whoever has translated, and whether or not its class is known.
#[test]
fn nobody_gets_the_key_of_a_translated_connection() {
    let (client, server) = (("192.0.2.10", 1000), ("198.51.100.7", 53));
    let there = udp(LAN, client, server, b"q");
    let against = udp(WAN, server, client, b"x");
    for (by_hook, known) in [(true, false), (true, true), (false, false), (false, true)] {
        let config = NodeConfig { tracking: Tracking::On, ..NodeConfig::default() };
        let mut router = Router::with(config, if by_hook { "" } else { MASQUERADE });
        let sent = match by_hook {
            true => push_hooked(&mut router, LAN, &there, ("203.0.113.1", 1000)),
            false => router.push(LAN, &there).unwrap().1,
        };
        assert_eq!(src(&sent), ("203.0.113.1".to_owned(), 1000));
        if !by_hook {
            router.node.set_rules(rules("")).unwrap();
        }
        for port in 0..2 * u16::from(known) {
            router.push(WAN, &udp(WAN, server, ("192.0.2.10", 2000 + port), b"x")).unwrap();
        }
        let counted = router.node.counters().cache.known;
        assert_eq!(counted > 0, known, "its class");
        let (port, got) = router.push(WAN, &against).expect("it passes");
        assert_eq!((port, dst(&got)), (LAN, ("192.0.2.10".to_owned(), 1000)), "{by_hook} {known}");
        assert_ne!(
            src(&got),
            ("198.51.100.7".to_owned(), 53),
            "{by_hook} {known}: its answers are the other's"
        );
        assert_eq!(router.node.counters().cache.known, counted);
        // More connections, until the index is made anew.
        for port in 3000..4000 {
            router.push(LAN, &udp(LAN, ("192.0.2.10", port), server, b"q")).unwrap();
        }
        let (_, sent) = router.push(LAN, &there).unwrap();
        assert_eq!(src(&sent), ("203.0.113.1".to_owned(), 1000), "{by_hook} {known}");
    }
}
