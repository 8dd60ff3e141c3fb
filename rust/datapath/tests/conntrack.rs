//! Connections: full tables, floods, time, counters, what rules say of them.
mod common;
use common::*;
use netfast_buf::{PacketBatch, Skb};
use netfast_datapath::{DropReason, EndReason, Event, NodeConfig, TapKind, Tracking};
use netfast_time::Instant;

fn tracking(max_connections: u32) -> NodeConfig {
    NodeConfig { max_connections, tracking: Tracking::On, ..NodeConfig::default() }
}

/// A connection of the client's to a server port, established and assured.
fn establish(router: &mut Router, from: u16) {
    let (c, s) = (("192.0.2.10", from), ("198.51.100.7", 80));
    router.push(LAN, &tcp(LAN, c, s, Segment { flags: SYN, seq: 100, ack: 0, payload: 0 }));
    router.push(WAN, &tcp(WAN, s, c, Segment { flags: SYN | ACK, seq: 900, ack: 101, payload: 0 }));
    router.push(LAN, &tcp(LAN, c, s, Segment { flags: ACK, seq: 101, ack: 901, payload: 0 }));
}

fn data(from: u16) -> Vec<u8> {
    let segment = Segment { flags: ACK, seq: 101, ack: 901, payload: 10 };
    tcp(LAN, ("192.0.2.10", from), ("198.51.100.7", 80), segment)
}

fn scan(at: u32) -> Vec<u8> {
    let [_, b, c, d] = at.to_be_bytes();
    udp(LAN, ("192.0.2.10", 1_000 + at as u16 % 50_000), (&format!("198.{b}.{c}.{d}"), 7), b"")
}

#[test]
fn a_scan_evicts_no_established_connection() {
    let mut router = Router::with(tracking(100), "");
    for from in 5_000..5_050 {
        establish(&mut router, from);
    }
    for round in 0..40u32 {
        let mixed: Vec<_> = (0..50).flat_map(|at| [scan(round * 50 + at), data(5_000 + at as u16)]).collect();
        let [_, wan] = router.push_all(LAN, &mixed);
        assert_eq!(wan.len(), 100, "all pass");
    }
    assert_eq!(router.node.entries(), 100);
    assert_eq!(router.node.counters().early_dropped, 40 * 50 - 50);
    assert_eq!(router.node.connections().filter(|connection| connection.tcp.is_some()).count(), 50);
}

#[test]
fn a_table_full_of_established_ones_refuses_new_ones() {
    let mut router = Router::with(
        tracking(20),
        "table ip f { chain pre { type filter hook prerouting priority raw; udp dport 9 notrack; }; }",
    );
    for from in 5_000..5_020 {
        establish(&mut router, from);
    }
    router.node.take_events();
    assert_eq!(router.push(LAN, &scan(1)), None);
    assert_eq!(router.node.dropped(DropReason::TableFull), 1);
    let (events, _) = router.node.take_events();
    assert!(events.iter().any(|(_, event)| matches!(event, Event::TableFull { .. })));
    let untracked = udp(LAN, ("192.0.2.10", 1), ("198.51.100.7", 9), b"x");
    assert!(router.push(LAN, &untracked).is_some(), "what is not tracked needs no place");
    assert!(router.push(LAN, &data(5_003)).is_some());
    assert_eq!(router.node.entries(), 20);
}

#[test]
fn a_connection_ends_exactly_when_its_time_is_over() {
    let mut router = Router::with(tracking(100), "");
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    router.push(LAN, &packet);
    let id = |router: &Router| router.node.connections().next().map(|connection| connection.id);
    let first = id(&router);
    router.wait(29_999);
    router.push(LAN, &packet);
    assert_eq!(id(&router), first);
    router.wait(30_000);
    router.push(LAN, &packet);
    assert_ne!(id(&router), first);
    let (events, _) = router.node.take_events();
    let ended = events.iter().find_map(|(_, event)| match event {
        Event::EndedConnection { reason, packets, .. } => Some((*reason, *packets)),
        _ => None,
    });
    assert_eq!(ended, Some((EndReason::Timeout, [2, 0])));
}

#[test]
fn tcp_may_open_again_when_it_was_closed() {
    let mut router = Router::with(tracking(100), "");
    establish(&mut router, 4000);
    let (c, s) = (("192.0.2.10", 4000), ("198.51.100.7", 80));
    router.push(LAN, &tcp(LAN, c, s, Segment { flags: FIN | ACK, seq: 101, ack: 901, payload: 0 }));
    router.push(WAN, &tcp(WAN, s, c, Segment { flags: FIN | ACK, seq: 901, ack: 102, payload: 0 }));
    router.push(LAN, &tcp(LAN, c, s, Segment { flags: ACK, seq: 102, ack: 902, payload: 0 }));
    let state = |router: &Router| router.node.connections().next().unwrap().tcp.unwrap().name();
    assert_eq!(state(&router), "TIME_WAIT");
    router.node.take_events();
    router.push(LAN, &tcp(LAN, c, s, Segment { flags: SYN, seq: 70_000, ack: 0, payload: 0 }));
    assert_eq!(state(&router), "SYN_SENT");
    let (events, _) = router.node.take_events();
    let reopened =
        |event: &Event| matches!(event, Event::EndedConnection { reason: EndReason::Reopened, .. });
    assert!(events.iter().any(|(_, event)| reopened(event)), "{events:?}");
}

#[test]
fn marks_of_connections_are_seen_from_the_next_packet_on() {
    let mut router = Router::new(
        "table ip f {
            chain pre { type filter hook prerouting priority filter; ct mark 5 counter; }
            chain through { type filter hook forward priority filter; ct mark 0 ct mark set 5; ip length > 100 ct mark set 6; }
        }",
    );
    let packet = |size| udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), &vec![0; size]);
    let mut seen = Vec::new();
    for size in [1, 1, 1, 200, 1, 1] {
        router.push(LAN, &packet(size));
        let mark = router.node.connections().next().unwrap().mark;
        let counter = router.node.rules().rules().find_map(|rule| rule.counters.first().copied()).unwrap();
        seen.push((mark, router.node.rule_state().counter(counter).packets));
    }
    assert_eq!(seen, [(5, 0), (5, 1), (5, 2), (6, 3), (6, 3), (6, 3)]);
}

#[test]
fn a_rule_counts_each_packet_once_by_whichever_way() {
    let mut router = Router::new(
        "table ip f { chain through { type filter hook forward priority filter; counter; ip length > 100 counter; ct state new counter; udp dport 53 counter accept; }; }",
    );
    let packet = |size| udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), &vec![0; size]);
    for size in [1, 200, 1, 200, 200] {
        assert!(router.push(LAN, &packet(size)).is_some());
    }
    let counters: Vec<_> = router.node.rules().rules().flat_map(|rule| rule.counters.clone()).collect();
    let state = router.node.rule_state();
    let counts: Vec<_> = counters
        .iter()
        .map(|counter| (state.counter(*counter).packets, state.counter(*counter).bytes))
        .collect();
    assert_eq!(counts, [(5, 742), (3, 684), (5, 742), (5, 742)]);
    assert_eq!(router.node.counters().cache.hits, 4);
}

#[test]
fn what_is_not_tracked_is_cached_all_the_same() {
    let mut router = Router::new(
        "table ip f {
            chain pre { type filter hook prerouting priority raw; udp dport 53 notrack; }
            chain through { type filter hook forward priority filter; policy drop; ct state untracked counter accept; }
        }",
    );
    for _ in 0..4 {
        assert!(router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x")).is_some());
        assert!(router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 54), b"x")).is_none());
    }
    assert_eq!((router.node.connections().count(), router.node.entries()), (0, 1));
    assert_eq!(router.node.counters().cache.hits, 3);
}

#[test]
fn log_lines_say_what_stands_where_the_rule_stands() {
    let mut router = Router::new(
        "table ip n { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }
         table ip f {
            chain pre { type filter hook prerouting priority filter; log prefix \"a\"; }
            chain post { type filter hook postrouting priority 150; log prefix \"b\"; }
         }",
    );
    for _ in 0..3 {
        router.push(LAN, &udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x"));
        let (events, _) = router.node.take_events();
        let lines: Vec<_> = events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Log { prefix, tuple, in_port, out_port, .. } => {
                    Some((prefix.to_string(), tuple.source[12..].to_vec(), *in_port, *out_port))
                }
                _ => None,
            })
            .collect();
        let expected = [
            ("a".to_owned(), vec![192, 0, 2, 10], Some(LAN), None),
            ("b".to_owned(), vec![203, 0, 113, 1], Some(LAN), Some(WAN)),
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn queues_that_nobody_empties_count_what_they_miss() {
    let config = NodeConfig { max_events: 3, max_tapped: 2, ..tracking(100) };
    let mut router = Router::with(config, "");
    router.node.tap(LAN, true).unwrap();
    for at in 0..10 {
        router.push(LAN, &scan(at));
    }
    let (events, missed) = router.node.take_events();
    assert_eq!((events.len(), missed), (3, 7));
    let (tapped, missed) = router.node.take_taps();
    assert_eq!((tapped.len(), missed), (2, 8));
    assert!(tapped.iter().all(|packet| packet.kind == TapKind::In));
    router.push(LAN, &scan(11));
    assert_eq!(router.node.take_events().0.len(), 1, "there is room again");
}

#[test]
fn a_full_table_of_programs_costs_time_and_nothing_else() {
    let mut router = Router::with(NodeConfig { max_programs: 1, ..tracking(100) }, "");
    for _ in 0..3 {
        let request = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
        let answer = udp(WAN, ("198.51.100.7", 53), ("192.0.2.10", 4000), b"x");
        assert!(router.push(LAN, &request).is_some() && router.push(WAN, &answer).is_some());
    }
    assert_eq!(router.node.programs(), 1);
    assert_eq!((router.node.counters().cache.hits, router.node.counters().cache.refused), (2, 3));
}

#[test]
fn time_that_goes_backwards_stands_still() {
    let mut router = Router::with(tracking(100), "");
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    router.push(LAN, &packet);
    let then = router.now;
    router.now = Instant::from_secs(1);
    router.push(LAN, &packet);
    assert_eq!((router.node.now(), router.node.counters().time_backwards), (then, 1));
    assert_eq!(router.node.connections().next().unwrap().expires_in.as_nanos(), 30_000_000_000);
}

#[test]
fn packets_of_a_flow_keep_their_order_across_a_miss() {
    let mut router = Router::with(tracking(1_000), "");
    // Flows begin within the batch; two packets of each, then others between.
    let mut batch = PacketBatch::new();
    let numbered = |flow: u16, number: u8| udp(LAN, ("192.0.2.10", flow), ("198.51.100.7", 53), &[number]);
    for at in 0..240u16 {
        let frame = numbered(1_000 + at % 40, (at / 40) as u8);
        batch.push(Skb::from_slice(&frame, router.node.pool()).unwrap()).unwrap();
    }
    router.node.push(router.now, LAN, &mut batch, &mut router.out);
    let [_, wan] = router.taken();
    let mut next = [0u8; 40];
    for frame in &wan {
        let flow = usize::from(src(frame).1 - 1_000);
        assert_eq!(*frame.last().unwrap(), next[flow]);
        next[flow] += 1;
    }
    assert_eq!(next, [6; 40]);
}

#[test]
fn keys_that_aim_at_one_bucket_do_not_lose_translated_flows() {
    use netfast_flow::Endpoints;
    use netfast_low::hash::Seed;
    let mut router = Router::new(
        "table ip n { chain post { type nat hook postrouting priority srcnat; oifname wan ip saddr 192.0.2.10 masquerade; }; }",
    );
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.66"), CLIENT_MAC, &mut router.out).unwrap();
    let requests: Vec<_> =
        (0..20).map(|at| udp(LAN, ("192.0.2.10", 7_000 + at), ("198.51.100.7", 53), b"q")).collect();
    let answers: Vec<_> =
        (0..20).map(|at| udp(WAN, ("198.51.100.7", 53), ("203.0.113.1", 7_000 + at), b"a")).collect();
    router.push_all(LAN, &requests);
    // The seed is known here: flows whose hashes share the twelve bits that choose a bucket, many more than one holds.
    let seed = Seed::new(0);
    let mapped = |last: u32| std::net::Ipv4Addr::from(last).to_ipv6_mapped().octets();
    let aimed = |number: &u32| {
        let ends = [0xc000_0242, 0xc633_6400 | number >> 24].map(mapped);
        let addresses: [u8; 32] = ends.as_flattened().try_into().unwrap();
        let [[a, b], [c, d]] = [(number >> 8) as u16 | 1, *number as u16 & 255].map(u16::to_be_bytes);
        let mut ends = Endpoints::NONE;
        ends.set(false, 17, &addresses, [a, b, c, d], seed) >> 20 & 0xfff == 0
    };
    let attack: Vec<_> = (0..1_600_000u32)
        .filter(|number| number & 0x100 != 0)
        .filter(aimed)
        .take(180)
        .map(|number| {
            let to = format!("198.51.100.{}", number >> 24);
            udp(LAN, ("192.0.2.66", (number >> 8) as u16 | 1), (&to, number as u16 & 255), b"x")
        })
        .collect();
    assert!(attack.len() > 140, "{} keys", attack.len());
    let [_, wan] = router.push_all(LAN, &attack);
    assert_eq!(wan.len(), attack.len());
    let hits = router.node.counters().cache.hits;
    for _ in 0..2 {
        let [lan, _] = router.push_all(WAN, &answers);
        assert!(lan.iter().all(|frame| dst(frame).0 == "192.0.2.10") && lan.len() == 20);
        let [_, wan] = router.push_all(LAN, &requests);
        assert!(wan.iter().all(|frame| src(frame).0 == "203.0.113.1") && wan.len() == 20);
    }
    assert_eq!(router.node.counters().cache.hits, hits + 60, "the first answers write their programs");
    assert_eq!(router.node.connections().count(), 20 + attack.len());
}

#[test]
fn more_than_a_neighbours_queue_holds_is_dropped_oldest_first() {
    let mut config = tracking(1_000);
    config.neighbours.queue_packets = 3;
    let mut router = Router::with(config, "");
    let frames: Vec<_> =
        (0..5).map(|at| udp(WAN, ("198.51.100.7", 1_000 + at), ("192.0.2.77", 2), b"x")).collect();
    router.push_all(WAN, &frames);
    assert_eq!((router.node.counters().held, router.node.dropped(DropReason::NeighbourQueue)), (3, 2));
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.77"), CLIENT_MAC, &mut router.out).unwrap();
    let [lan, _] = router.taken();
    assert_eq!(lan.iter().map(|frame| src(frame).1).collect::<Vec<_>>(), [1_002, 1_003, 1_004]);
}
