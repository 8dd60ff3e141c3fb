//! What a node owes senders, what it does not, and errors of others about translated flows.
mod common;
use common::*;
use netfast_datapath::{DropReason, NodeConfig, PortConfig, RpFilter, TapKind};
use netfast_fib::{NextHop, Route, RouteKind};

const NAT: &str =
    "table ip n { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }
    table ip6 n { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }";

/// Client, server, the node's outer address.
const BOTH: [(&str, &str, &str); 2] =
    [("192.0.2.10", "198.51.100.7", "203.0.113.1"), ("2001:db8:1::10", "2001:db8:5::7", "2001:db8:ff::1")];

fn v6(address: &str) -> bool {
    ip(address).is_ipv6()
}

/// An error about a frame, from a router on its way.
fn error(port: u32, from: &str, to: &str, about: &[u8], [v4_kind, v6_kind]: [[u8; 2]; 2]) -> Vec<u8> {
    let [kind, code] = if v6(from) { v6_kind } else { v4_kind };
    let mut upper = vec![kind, code, 0, 0, 0, 0, 0, 0];
    upper.extend(&about[14..]);
    frame(port, from, to, if v6(from) { 58 } else { 1 }, upper, Some(2))
}

/// Source and destination of the packet that an error quotes.
fn quoted(frame: &[u8], v6: bool) -> (Vec<u8>, Vec<u8>) {
    if v6 {
        (frame[14 + 48 + 8..][..16].to_vec(), frame[14 + 48 + 24..][..16].to_vec())
    } else {
        (frame[14 + 28 + 12..][..4].to_vec(), frame[14 + 28 + 16..][..4].to_vec())
    }
}

fn bytes(address: &str) -> Vec<u8> {
    match ip(address) {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

const EXCEEDED: [[u8; 2]; 2] = [[11, 0], [3, 0]];
const NO_PORT: [[u8; 2]; 2] = [[3, 3], [1, 4]];

#[test]
fn errors_about_translated_flows_are_translated_both_ways() {
    for (client, server, outer) in BOTH {
        let mut router = Router::new(NAT);
        let router_address = if v6(client) { "2001:db8:9::9" } else { "198.18.5.5" };
        let (_, sent) = router.push(LAN, &udp(LAN, (client, 4000), (server, 53), b"question")).unwrap();
        let (port, got) =
            router.push(WAN, &error(WAN, router_address, outer, &sent, EXCEEDED)).expect("related");
        assert_eq!((port, src(&got).0, dst(&got).0), (LAN, router_address.to_owned(), client.to_owned()));
        assert_eq!(quoted(&got, v6(client)), (bytes(client), bytes(server)));
        // The client has nobody at its port any more.
        let (_, answer) = router.push(WAN, &udp(WAN, (server, 53), (outer, 4000), b"answer")).unwrap();
        let (port, got) = router.push(LAN, &error(LAN, client, server, &answer, NO_PORT)).expect("related");
        assert_eq!((port, src(&got).0, dst(&got).0), (WAN, outer.to_owned(), server.to_owned()));
        assert_eq!(quoted(&got, v6(client)), (bytes(server), bytes(outer)));
    }
}

#[test]
fn its_own_errors_quote_what_the_sender_sent() {
    for (client, server, outer) in BOTH {
        let mut router = Router::new(NAT);
        router.push(LAN, &udp(LAN, (client, 4000), (server, 53), b"question")).unwrap();
        let mut answer = udp(WAN, (server, 53), (outer, 4000), b"answer");
        answer[if v6(client) { 21 } else { 22 }] = 1;
        if !v6(client) {
            fix_ipv4(&mut answer);
        }
        let (port, got) = router.push(WAN, &answer).expect("an error");
        assert_eq!((port, dst(&got).0), (WAN, server.to_owned()));
        assert_eq!(quoted(&got, v6(client)), (bytes(server), bytes(outer)), "and not the inner address");
    }
}

#[test]
fn a_reject_behind_a_translation_quotes_what_came() {
    let mut router = Router::new(
        "table ip n { chain pre { type nat hook prerouting priority dstnat; udp dport 8080 dnat to 192.0.2.10:80; }; }
         table ip f { chain through { type filter hook forward priority filter; ip daddr 192.0.2.10 reject; }; }",
    );
    let (port, got) =
        router.push(WAN, &udp(WAN, ("198.51.100.7", 5), ("203.0.113.1", 8080), b"x")).expect("an error");
    assert_eq!((port, seen(&got).icmp_type, seen(&got).icmp_code), (WAN, 3, 3));
    assert_eq!(quoted(&got, false), (bytes("198.51.100.7"), bytes("203.0.113.1")));
    assert_eq!(router.node.connections().count(), 0);
}

#[test]
fn a_reset_answers_what_is_rejected_so() {
    let mut router = Router::new(
        "table inet f { chain through { type filter hook forward priority filter; tcp dport 22 reject with tcp reset; }; }",
    );
    for (client, server, _) in BOTH {
        let syn = tcp(LAN, (client, 4000), (server, 22), Segment { flags: SYN, seq: 7, ack: 0, payload: 0 });
        let (port, got) = router.push(LAN, &syn).expect("a reset");
        let layers = seen(&got);
        assert_eq!((port, src(&got), dst(&got)), (LAN, (server.to_owned(), 22), (client.to_owned(), 4000)));
        assert_eq!(layers.tcp_flags & 0x14, RST as u16 | ACK as u16);
    }
}

#[test]
fn a_limit_that_rejects_answers_cached_flows_too() {
    let mut router = Router::new(
        "table ip f { chain through { type filter hook forward priority filter; limit rate over 2/second burst 2 packets reject; }; }",
    );
    let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    let ports: Vec<_> = (0..4).map(|_| router.push(LAN, &packet).map(|(port, _)| port)).collect();
    assert_eq!(ports, [Some(WAN), Some(WAN), Some(LAN), Some(LAN)]);
}

#[test]
fn errors_are_bounded_and_never_answered() {
    let config = NodeConfig { icmp_rate: 1, icmp_burst: 3, ..NodeConfig::default() };
    let mut router = Router::with(config, "");
    let mut packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
    packet[22] = 1;
    fix_ipv4(&mut packet);
    let [lan, _] = router.push_all(LAN, &vec![packet.clone(); 10]);
    assert_eq!((lan.len(), router.node.counters().icmp_limited), (3, 7));
    router.wait(10_000);
    let mut about = error(LAN, "192.0.2.10", "198.51.100.7", &packet, NO_PORT);
    about[22] = 1;
    fix_ipv4(&mut about);
    assert_eq!(router.push(LAN, &about), None, "an error about an error");
}

/// A router with a third port.
fn three(change: impl Fn(&mut PortConfig)) -> (Router, u32) {
    let mut router = Router::new("");
    let mut port = PortConfig::new("dmz", [2, 0, 0, 0, 0, 3]);
    port.addresses = vec![(ip("172.16.0.1"), 24), (ip("2001:db8:3::1"), 64)];
    change(&mut port);
    let dmz = router.node.add_port(port).unwrap();
    (router, dmz)
}

fn to(port_mac: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[5] = port_mac;
    frame
}

#[test]
fn directed_broadcasts_are_sent_where_the_port_says_so() {
    for on in [false, true] {
        let (mut router, dmz) = three(|port| port.directed_broadcast = on);
        let packet = udp(LAN, ("192.0.2.10", 4000), ("172.16.0.255", 9), b"wake");
        for round in 0..2 {
            router.push(LAN, &packet);
            let sent = router.out.take_port(dmz);
            assert_eq!(sent.len(), usize::from(on));
            assert!(sent.iter().all(|packet| packet.head()[..6] == [255; 6]));
            assert_eq!(router.node.dropped(DropReason::DirectedBroadcast), if on { 0 } else { round + 1 });
        }
        assert_eq!(router.out.take_local().len(), 0);
    }
}

#[test]
fn the_way_back_is_asked_for_as_the_port_says() {
    for (mode, wrong_port, nowhere) in
        [(RpFilter::Off, true, true), (RpFilter::Loose, true, false), (RpFilter::Strict, false, false)]
    {
        let (mut router, dmz) = three(|port| port.rp_filter = mode);
        for (server, client, dead, near) in [
            ("198.51.100.7", "192.0.2.10", "10.66.0.1", "172.16.0.9"),
            ("2001:db8:5::7", "2001:db8:1::10", "2001:db8:66::1", "2001:db8:3::9"),
        ] {
            let prefix = format!("{dead}/{}", if v6(dead) { 128 } else { 32 });
            router.node.add_route(Route::new(prefix.parse().unwrap(), RouteKind::Unreachable)).unwrap();
            for (from, passes) in [(near, true), (server, wrong_port), (dead, nowhere)] {
                let packet = to(3, udp(WAN, (from, 53), (client, 4000), b"x"));
                for _ in 0..2 {
                    let got = router.push(dmz, &packet).is_some();
                    assert_eq!(got, passes, "{mode:?} {from}");
                }
                // What is for all on the link is not for those who cannot be there.
                let group = if v6(from) { "ff02::5" } else { "255.255.255.255" };
                router.push(dmz, &to(3, udp(WAN, (from, 53), (group, 67), b"x")));
                assert_eq!(router.out.take_local().len(), usize::from(passes), "{mode:?} {from}");
            }
        }
    }
}

#[test]
fn who_has_no_address_yet_speaks_to_all_and_to_groups() {
    let mut router = three(|port| port.rp_filter = RpFilter::Strict).0;
    for (to, local) in [("255.255.255.255", 1), ("224.0.0.22", 1), ("198.51.100.7", 0)] {
        assert_eq!(router.push(LAN, &udp(LAN, ("0.0.0.0", 68), (to, 67), b"x")), None);
        assert_eq!(router.out.take_local().len(), local, "{to}");
    }
    assert_eq!(router.node.dropped(DropReason::MartianSource), 1);
}

#[test]
fn link_local_packets_stay_on_their_link() {
    let mut router = Router::new("");
    let neighbour = "fe80::10";
    router.node.add_address(LAN, ip("fe80::1"), 64).unwrap();
    router.node.set_neighbour(router.now, LAN, ip(neighbour), CLIENT_MAC, &mut router.out).unwrap();
    // RFC 4443 3.1, code 2: beyond the scope of the source address.
    let (port, got) = router.push(LAN, &udp(LAN, (neighbour, 1), ("2001:db8:5::7", 2), b"x")).expect("told");
    assert_eq!((port, seen(&got).icmp_type, seen(&got).icmp_code), (LAN, 1, 2));
    assert_eq!(dst(&got).0, neighbour);
    assert_eq!(router.push(LAN, &udp(LAN, ("2001:db8:1::10", 1), ("fe80::99", 2), b"x")), None);
    assert_eq!(router.node.dropped(DropReason::LinkScope), 2);
    let (_, reply) = router.push(LAN, &echo(LAN, neighbour, "fe80::1", true, 5)).expect("an answer");
    assert_eq!((src(&reply).0.as_str(), dst(&reply).0.as_str()), ("fe80::1", neighbour));
}

#[test]
fn groups_of_the_link_are_the_nodes_and_others_nobodys() {
    let mut router = Router::new("");
    for (client, group, local) in [
        ("192.0.2.10", "224.0.0.5", true),
        ("192.0.2.10", "239.1.1.1", false),
        ("192.0.2.10", "255.255.255.255", true),
        ("2001:db8:1::10", "ff02::5", true),
        ("2001:db8:1::10", "ff05::5", false),
    ] {
        let mut packet = udp(LAN, (client, 1), (group, 2), b"x");
        packet[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 5]);
        assert_eq!(router.push(LAN, &packet), None);
        assert_eq!(router.out.take_local().len(), usize::from(local), "{group}");
    }
    assert_eq!(router.node.dropped(DropReason::Multicast), 2);
}

#[test]
fn routes_that_lead_nowhere_say_so_in_their_way() {
    let mut router = Router::new("");
    for (kind, answer) in [
        // RFC 4443 3.1 knows no code for a route of this type; Linux says that there is none.
        (RouteKind::Unreachable, Some([(3, 1), (1, 0)])),
        (RouteKind::Prohibit, Some([(3, 13), (1, 1)])),
        (RouteKind::Blackhole, None),
        (RouteKind::Unicast(vec![NextHop::port(LAN)]), None),
    ] {
        for (at, (client, server, _)) in BOTH.into_iter().enumerate() {
            let prefix = format!("{server}/{}", if v6(server) { 128 } else { 32 });
            router.node.replace_route(Route::new(prefix.parse().unwrap(), kind.clone())).ok();
            let _ = router.node.add_route(Route::new(prefix.parse().unwrap(), kind.clone()));
            let got = router.push(LAN, &udp(LAN, (client, 1), (server, 2), b"x"));
            let got = got.map(|(_, frame)| (seen(&frame).icmp_type, seen(&frame).icmp_code));
            assert_eq!(got, answer.map(|kinds| kinds[at]), "{kind:?}");
        }
    }
}

#[test]
fn frames_of_a_sub_interface_count_there_and_on_the_wire() {
    let (mut router, dmz) = three(|port| port.vlan = Some((LAN, 7)));
    let mut packet = udp(LAN, ("172.16.0.9", 1), ("198.51.100.7", 2), b"x");
    packet[5] = 3;
    packet.splice(12..12, [0x81, 0, 0, 7]);
    assert_eq!(router.push(LAN, &packet).map(|(port, _)| port), Some(WAN));
    let counts = |port| {
        (router.node.port_counts(port).unwrap().packets_in, router.node.port_counts(port).unwrap().bytes_in)
    };
    assert_eq!(counts(dmz), (1, packet.len() as u64));
    assert_eq!(counts(LAN), counts(dmz));
    packet[15] = 8;
    router.push(LAN, &packet);
    assert_eq!(router.node.dropped(DropReason::UnknownVlan), 1);
}

/// Linux quotes what its rules have left of a packet, the hop limit among it; whoever watches the port sees the packet itself.
#[test]
fn a_reject_quotes_what_rules_have_left_and_changes_nothing() {
    for (rules, hop_limit, tos) in [
        ("chain f { type filter hook forward priority 0; ip ttl set 255 ip dscp set ef reject; }", 255, 0xb8),
        ("chain f { type filter hook forward priority 0; ip ttl set 9 reject; }", 9, 0),
        ("chain f { type filter hook forward priority 0; reject; }", 63, 0),
        (
            "chain p { type filter hook prerouting priority 0; ip ttl set 255; }
             chain f { type filter hook forward priority 0; reject; }",
            254,
            0,
        ),
    ] {
        let mut router = Router::new(&format!("table ip f {{\n{rules}\n}}"));
        router.node.tap(LAN, true).unwrap();
        let packet = udp(LAN, ("192.0.2.10", 4000), ("198.51.100.7", 53), b"x");
        let (port, got) = router.push(LAN, &packet).expect("an error");
        assert_eq!((port, seen(&got).icmp_type), (LAN, 3));
        let quoted = &got[14 + 28..];
        assert_eq!((quoted[8], quoted[1]), (hop_limit, tos), "{rules}");
        assert_eq!(netfast_wire::checksum::checksum(&quoted[..20]), 0, "{rules}");
        let (tapped, _) = router.node.take_taps();
        let dropped = tapped.iter().find(|packet| matches!(packet.kind, TapKind::Dropped(..))).unwrap();
        assert_eq!(dropped.bytes, packet, "{rules}");
    }
}

/// What several rules write is all in what is quoted.
#[test]
fn a_reject_quotes_field_and_option_that_rules_have_written() {
    let mut router = Router::new(
        "table ip f {
            chain f { type filter hook forward priority 0; ip dscp set ef tcp option maxseg size set 1000 reject; }
        }",
    );
    let mut syn = [4_000_u16.to_be_bytes(), 80_u16.to_be_bytes()].concat();
    syn.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]);
    let packet = frame(LAN, "192.0.2.10", "198.51.100.7", 6, syn, Some(16));
    let (port, got) = router.push(LAN, &packet).expect("an error");
    assert_eq!((port, seen(&got).icmp_type), (LAN, 3));
    let quoted = &got[14 + 28..];
    assert_eq!((quoted[1], &quoted[40..44]), (0xb8, &[2, 4, 0x03, 0xe8][..]));
}
