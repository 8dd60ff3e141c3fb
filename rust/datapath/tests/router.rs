//! A router, its rules, its connections and its translations.
mod common;
use common::*;
use netfast_datapath::{DropReason, Known, NodeConfig, Reassembly};

const NOTHING: &str = "";

#[test]
fn packets_are_forwarded_both_ways_by_one_entry() {
    for (client, server) in [("192.0.2.10", "198.51.100.7"), ("2001:db8:1::10", "2001:db8:5::7")] {
        let mut router = Router::new(NOTHING);
        let request = udp(LAN, (client, 4000), (server, 53), b"question");
        for round in 0..5u64 {
            let (port, frame) = router.push(LAN, &request).expect("forwarded");
            assert_eq!(port, WAN);
            assert_eq!(frame[..6], SERVER_MAC);
            assert_eq!(frame[6..12], WAN_MAC);
            assert_eq!(seen(&frame).hop_limit, 63);
            assert_eq!((src(&frame).1, dst(&frame).1), (4000, 53));
            let reply = udp(WAN, (server, 53), (client, 4000), b"answer");
            let (port, frame) = router.push(WAN, &reply).expect("forwarded");
            assert_eq!((port, &frame[..6]), (LAN, &CLIENT_MAC[..]));
            assert_eq!(router.node.counters().cache.hits, round * 2);
        }
        assert_eq!(router.node.entries(), 1);
        assert_eq!(router.node.counters().out, 10);
    }
}

#[test]
fn a_stateful_firewall_lets_answers_in() {
    let mut router = Router::new(
        "table inet filter { chain forward { type filter hook forward priority 0; policy drop;
            ct state established,related accept
            iifname lan counter accept
       \n}\n}",
    );
    let (c, s) = (("2001:db8:1::10", 4000), ("2001:db8:5::7", 443));
    let stray = tcp(WAN, s, c, Segment { flags: SYN, seq: 1, ack: 0, payload: 0 });
    assert_eq!(router.push(WAN, &stray), None);
    assert_eq!(router.node.dropped(DropReason::Policy), 1);
    assert_eq!(router.node.connections().count(), 0);
    let syn = tcp(LAN, c, s, Segment { flags: SYN, seq: 100, ack: 0, payload: 0 });
    assert!(router.push(LAN, &syn).is_some());
    assert!(
        router
            .push(WAN, &tcp(WAN, s, c, Segment { flags: SYN | ACK, seq: 900, ack: 101, payload: 0 }))
            .is_some()
    );
    assert!(
        router.push(LAN, &tcp(LAN, c, s, Segment { flags: ACK, seq: 101, ack: 901, payload: 0 })).is_some()
    );
    for _ in 0..3 {
        let data = tcp(LAN, c, s, Segment { flags: ACK, seq: 101, ack: 901, payload: 100 });
        assert!(router.push(LAN, &data).is_some());
        assert!(
            router
                .push(WAN, &tcp(WAN, s, c, Segment { flags: ACK, seq: 901, ack: 201, payload: 0 }))
                .is_some()
        );
    }
    assert!(router.node.counters().cache.hits >= 3, "{:?}", router.node.counters().cache);
    let connection = router.node.connections().next().unwrap();
    assert_eq!(connection.tcp.unwrap().name(), "ESTABLISHED");
    let outside = tcp(WAN, s, c, Segment { flags: ACK, seq: 90_000_000, ack: 201, payload: 10 });
    assert_eq!(router.push(WAN, &outside), None, "outside the window: invalid, so the policy's");
}

#[test]
fn masquerading_translates_there_and_back() {
    let mut router = Router::new(
        "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade\n}\n}",
    );
    let (c, s) = (("192.0.2.10", 4000), ("198.51.100.7", 53));
    for round in 0..3 {
        let (_, frame) = router.push(LAN, &udp(LAN, c, s, b"question")).expect("forwarded");
        assert_eq!(src(&frame), ("203.0.113.1".to_owned(), 4000));
        let (port, frame) =
            router.push(WAN, &udp(WAN, s, ("203.0.113.1", 4000), b"answer")).expect("forwarded");
        assert_eq!((port, dst(&frame)), (LAN, ("192.0.2.10".to_owned(), 4000)), "round {round}");
    }
    assert_eq!(router.node.counters().cache.hits, 4);
    // Another client with the same port gets another one.
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.11"), CLIENT_MAC, &mut router.out).unwrap();
    let (_, frame) = router.push(LAN, &udp(LAN, ("192.0.2.11", 4000), s, b"question")).expect("forwarded");
    let (address, port) = src(&frame);
    assert_eq!(address, "203.0.113.1");
    assert!(port >= 1024 && port != 4000);
    let (_, frame) = router.push(WAN, &udp(WAN, s, ("203.0.113.1", port), b"answer")).expect("forwarded");
    assert_eq!(dst(&frame), ("192.0.2.11".to_owned(), 4000));
    // An echo, by its identifier.
    let (_, frame) = router.push(LAN, &echo(LAN, c.0, s.0, true, 77)).expect("forwarded");
    assert_eq!(src(&frame).0, "203.0.113.1");
    let (port, frame) = router.push(WAN, &echo(WAN, s.0, "203.0.113.1", false, 77)).expect("forwarded");
    assert_eq!((port, dst(&frame).0.as_str(), seen(&frame).icmp_id), (LAN, "192.0.2.10", 77));
}

#[test]
fn port_forwarding_and_its_errors() {
    let mut router = Router::new(
        "table ip nat { chain pre { type nat hook prerouting priority dstnat; iifname wan tcp dport 8080 dnat to 192.0.2.10:80\n}\n}",
    );
    let outside = ("198.51.100.7", 5000);
    let syn = tcp(WAN, outside, ("203.0.113.1", 8080), Segment { flags: SYN, seq: 1, ack: 0, payload: 0 });
    let (port, frame) = router.push(WAN, &syn).expect("forwarded");
    assert_eq!((port, dst(&frame)), (LAN, ("192.0.2.10".to_owned(), 80)));
    // The host says that there is nobody: the error goes out as if it came from the outer address, its quote translated back.
    let mut upper = vec![3, 3, 0, 0, 0, 0, 0, 0];
    upper.extend(&frame[14..14 + 28]);
    let error = common::frame(LAN, "192.0.2.10", "198.51.100.7", 1, upper, Some(2));
    let (port, frame) = router.push(LAN, &error).expect("forwarded");
    assert_eq!((port, src(&frame).0.as_str(), dst(&frame).0.as_str()), (WAN, "203.0.113.1", "198.51.100.7"));
    assert_eq!(frame[34 + 8 + 16..][..4], [203, 0, 113, 1], "the quoted destination");
    assert_eq!(frame[34 + 8 + 20 + 2..][..2], 8080u16.to_be_bytes());
}

#[test]
fn a_router_owes_errors() {
    let mut router = Router::new(NOTHING);
    for (client, server) in [("192.0.2.10", "198.51.100.7"), ("2001:db8:1::10", "2001:db8:5::7")] {
        let mut packet = udp(LAN, (client, 4000), (server, 53), b"x");
        let v6 = ip(client).is_ipv6();
        packet[if v6 { 21 } else { 22 }] = 1;
        if !v6 {
            fix_ipv4(&mut packet);
        }
        let (port, frame) = router.push(LAN, &packet).expect("answered");
        assert_eq!(port, LAN);
        let layers = seen(&frame);
        assert_eq!((layers.icmp_type, layers.icmp_code), if v6 { (3, 0) } else { (11, 0) });
        let big = udp(LAN, (client, 4000), (server, 53), &[0; 1_600]);
        let (port, frame) = router.push(LAN, &big).expect("answered");
        let layers = seen(&frame);
        assert_eq!((port, layers.icmp_type, layers.icmp_code), if v6 { (LAN, 2, 0) } else { (LAN, 3, 4) });
    }
    assert_eq!(router.node.dropped(DropReason::HopLimit), 2);
    assert_eq!(router.node.dropped(DropReason::TooBig), 2);
    assert_eq!(router.node.counters().created, 4);
}

#[test]
fn the_node_answers_echoes_and_takes_what_is_its_own() {
    let mut router = Router::new(NOTHING);
    for own in ["192.0.2.1", "2001:db8:1::1"] {
        let client = if ip(own).is_ipv6() { "2001:db8:1::10" } else { "192.0.2.10" };
        let (port, frame) = router.push(LAN, &echo(LAN, client, own, true, 5)).expect("answered");
        assert_eq!((port, src(&frame).0.as_str(), seen(&frame).icmp_id), (LAN, own, 5));
    }
    assert_eq!(router.node.counters().local, 2);
    assert_eq!(router.out.take_local().len(), 2);
}

#[test]
fn packets_wait_for_a_neighbour() {
    let mut router = Router::new(NOTHING);
    let packet = udp(WAN, ("198.51.100.7", 1), ("192.0.2.77", 2), b"x");
    assert_eq!(router.push(WAN, &packet), None);
    assert_eq!(router.node.counters().held, 1);
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.77"), CLIENT_MAC, &mut router.out).unwrap();
    let [lan, _] = router.taken();
    assert_eq!((lan.len(), dst(&lan[0]).1), (1, 2));
    // One that nobody answers for: the sender is told.
    let packet = udp(WAN, ("198.51.100.7", 1), ("192.0.2.78", 2), b"x");
    assert_eq!(router.push(WAN, &packet), None);
    router.wait(3_001);
    router.node.poll(router.now, &mut router.out);
    let [_, wan] = router.taken();
    assert_eq!((wan.len(), seen(&wan[0]).icmp_type, seen(&wan[0]).icmp_code), (1, 3, 1));
}

#[test]
fn a_change_of_rules_concerns_cached_flows_at_once() {
    let mut router = Router::new(NOTHING);
    let packet = udp(LAN, ("192.0.2.10", 1), ("198.51.100.7", 53), b"x");
    for _ in 0..3 {
        assert!(router.push(LAN, &packet).is_some());
    }
    let text = "table ip f { chain through { type filter hook forward priority 0; udp dport 53 drop\n}\n}";
    router.node.set_rules(rules(text)).unwrap();
    assert_eq!(router.push(LAN, &packet), None);
    assert_eq!(router.node.dropped(DropReason::Rule), 1);
    router.node.set_rules(rules("")).unwrap();
    assert!(router.push(LAN, &packet).is_some());
}

#[test]
fn what_reads_each_packet_is_a_step() {
    let mut router = Router::new(
        "table ip f { chain through { type filter hook forward priority 0; policy accept;
            ip length > 200 counter drop
            ip dscp ef counter accept
            udp dport 53 limit rate over 2/second burst 2 packets drop
            counter
       \n}\n}",
    );
    let small = udp(LAN, ("192.0.2.10", 1), ("198.51.100.7", 53), b"x");
    let large = udp(LAN, ("192.0.2.10", 1), ("198.51.100.7", 53), &[0; 300]);
    assert!(router.push(LAN, &small).is_some());
    assert!(router.push(LAN, &large).is_none());
    assert!(router.push(LAN, &small).is_some());
    assert!(router.push(LAN, &small).is_none(), "above the limit");
    router.wait(1_000);
    assert!(router.push(LAN, &small).is_some());
    assert!(router.node.counters().cache.hits >= 3, "{:?}", router.node.counters().cache);
}

#[test]
fn later_fragments_follow_their_first() {
    let config = NodeConfig { reassembly: Reassembly::Virtual, ..NodeConfig::default() };
    let mut router = Router::with(
        config,
        "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade\n}\n}",
    );
    let whole = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), &[7; 64]);
    let piece = |range: std::ops::Range<usize>, more: bool| {
        let mut bytes = whole[..34].to_vec();
        bytes[16..18].copy_from_slice(&((range.len() + 20) as u16).to_be_bytes());
        let field = (range.start as u16 / 8) | if more { 0x2000 } else { 0 };
        bytes[20..22].copy_from_slice(&field.to_be_bytes());
        fix_ipv4(&mut bytes);
        bytes.extend(&whole[34..][range]);
        bytes
    };
    assert_eq!(router.push(LAN, &piece(40..72, false)), None, "waits for the first");
    let [_, wan] = router.push_all(LAN, &[piece(0..40, true)]);
    assert_eq!(wan.len(), 2);
    for frame in &wan {
        assert_eq!(frame[26..30], [203, 0, 113, 1]);
    }
    assert_eq!(router.node.counters().held, 0);
}

#[test]
fn a_trace_tells_each_table_and_changes_nothing() {
    let mut router = Router::new(
        "table ip f { chain through { type filter hook forward priority 0; policy drop; ct state established accept
           udp dport 53 counter accept\n}\n}",
    );
    let packet = udp(LAN, ("192.0.2.10", 1), ("198.51.100.7", 53), b"x");
    let skb = netfast_buf::Skb::from_slice(&packet, router.node.pool()).unwrap();
    let trace = router.node.trace(LAN, &skb);
    assert_eq!((trace.cache, trace.out_port), (Known::Miss, Some(WAN)));
    let text: Vec<_> = trace.steps.iter().map(|step| format!("{}: {}", step.table, step.text)).collect();
    let text = text.join("\n");
    assert!(text.contains("udp dport 53 counter accept"), "{text}");
    assert!(text.contains("0.0.0.0/0"), "{text}");
    assert_eq!(router.node.connections().count(), 0);
    router.push(LAN, &packet);
    assert_eq!(router.node.trace(LAN, &skb).cache, Known::Hit);
}
