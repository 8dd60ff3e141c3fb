//! What the comparison with Linux found: each stands here, so that it is found without a kernel, too.
mod common;
use common::*;
use netfast_datapath::{DropReason, NodeConfig};
use netfast_flow::conntrack::TcpState;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const CLIENT: (&str, u16) = ("192.0.2.10", 4_000);
const SERVER: (&str, u16) = ("198.51.100.7", 80);

fn segment(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { flags, seq, ack, payload: 0 }
}

/// A TCP connection through the node, established.
fn shake_hands(router: &mut Router) {
    assert!(router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(SYN, 100, 0))).is_some());
    assert!(router.push(WAN, &tcp(WAN, SERVER, CLIENT, segment(SYN | ACK, 500, 101))).is_some());
    assert!(router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(ACK, 101, 501))).is_some());
}

#[test]
fn an_error_seems_to_come_from_where_the_packet_was_sent() {
    let mut router = Router::new(
        "table ip t {
            chain pre { type nat hook prerouting priority dstnat; ip daddr 198.51.100.7 dnat to 203.0.113.2; }
            chain forward { type filter hook forward priority filter; reject with icmp type host-unreachable; }
            chain out { type filter hook output priority filter; ct state != related drop; ct direction original drop; }
        }",
    );
    let (port, error) = router.push(LAN, &udp(LAN, CLIENT, SERVER, b"x")).expect("an error");
    assert_eq!((port, src(&error).0.as_str(), dst(&error).0.as_str()), (LAN, SERVER.0, CLIENT.0));
    assert_eq!(error[14 + 28 + 16..][..4], [198, 51, 100, 7], "the packet as it was sent");
}

#[test]
fn rules_mark_the_connection_that_an_error_is_about() {
    let mut router = Router::new(
        "table ip t {
            chain forward { type filter hook forward priority filter; ip ttl 9 reject; }
            chain out { type filter hook output priority filter; ct mark set 7; }
        }",
    );
    assert!(router.push(LAN, &udp(LAN, CLIENT, SERVER, b"x")).is_some());
    let mut refused = udp(LAN, CLIENT, SERVER, b"x");
    refused[22] = 10;
    fix_ipv4(&mut refused);
    assert_eq!(router.push(LAN, &refused).map(|(port, _)| port), Some(LAN));
    assert_eq!(router.node.connections().next().expect("is there").mark, 7);
}

#[test]
fn a_connection_that_a_rule_resets_is_closed() {
    let mut router = Router::new(
        "table ip t { chain forward { type filter hook forward priority filter; ct state established ip ttl 9 reject with tcp reset; }; }",
    );
    shake_hands(&mut router);
    let mut refused = tcp(LAN, CLIENT, SERVER, Segment { payload: 4, ..segment(ACK, 101, 501) });
    refused[22] = 10;
    fix_ipv4(&mut refused);
    let (port, reset) = router.push(LAN, &refused).expect("a reset");
    assert_eq!((port, src(&reset), reset[14 + 33] & 4), (LAN, (SERVER.0.into(), SERVER.1), 4));
    let connection = router.node.connections().next().expect("is there");
    assert_eq!(connection.tcp, Some(TcpState::Close));
}

#[test]
fn a_connection_that_is_opened_again_keeps_its_port() {
    let mut router = Router::new(
        "table ip t { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }",
    );
    let outer = ("203.0.113.1", CLIENT.1);
    let first = router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(SYN, 100, 0))).expect("out");
    assert_eq!(src(&first.1), (outer.0.into(), outer.1));
    router.push(WAN, &tcp(WAN, SERVER, outer, segment(SYN | ACK, 500, 101)));
    router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(ACK | 1, 101, 501)));
    router.push(WAN, &tcp(WAN, SERVER, outer, segment(ACK | 1, 501, 102)));
    router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(ACK, 102, 502)));
    let again = router.push(LAN, &tcp(LAN, CLIENT, SERVER, segment(SYN, 90_000, 0))).expect("out again");
    assert_eq!(src(&again.1), (outer.0.into(), outer.1));
}

#[test]
fn rules_answer_nothing_that_was_damaged() {
    let rules = "table inet t { chain forward { type filter hook forward priority filter; reject; }; }";
    for checks in [true, false] {
        let mut router =
            Router::with(NodeConfig { verify_checksums: checks, ..NodeConfig::default() }, rules);
        let mut packet = udp(LAN, CLIENT, SERVER, b"data");
        assert!(router.push(LAN, &packet).is_some());
        *packet.last_mut().expect("data") ^= 1;
        assert_eq!(router.push(LAN, &packet), None);
    }
}

#[test]
fn ipv6_errors_come_from_the_port_that_the_packet_came_in_by() {
    let mut router =
        Router::new("table ip6 t { chain forward { type filter hook forward priority filter; reject; }; }");
    // The route back leads out by the other port.
    let packet = udp(LAN, ("2001:db8:7::7", 1), ("2001:db8:5::7", 2), b"x");
    let (port, error) = router.push(LAN, &packet).expect("an error");
    assert_eq!((port, src(&error).0), (WAN, "2001:db8:1::1".to_owned()));
}

#[test]
fn rfc_4291_section_2_6_1_the_subnet_router_is_the_node() {
    let mut router = Router::new("");
    let packet = udp(WAN, ("2001:db8:5::7", 1), ("2001:db8:1::", 2), b"x");
    assert_eq!(router.push(WAN, &packet), None);
    assert_eq!(router.out.take_local().len(), 1);
}

#[test]
fn what_the_node_sends_to_itself_comes_in_by_the_input_chains() {
    let mut router =
        Router::new("table ip t { chain in { type filter hook input priority filter; udp dport 9 drop; }; }");
    for (destination, delivered) in [(8, 1), (9, 0)] {
        let packet = udp(LAN, ("203.0.113.1", 1), ("192.0.2.1", destination), b"x");
        let packet = netfast_buf::Skb::from_slice(&packet[14..], router.node.pool()).unwrap();
        router.node.send(router.now, packet, &mut router.out);
        router.check();
        assert_eq!(router.out.take_local().len(), delivered);
    }
}

#[test]
fn headers_that_cannot_be_are_of_no_connection() {
    let mut router = Router::new(
        "table inet t { chain forward { type filter hook forward priority filter; ct state invalid drop; }; }",
    );
    let (from, to) = (CLIENT.0, SERVER.0);
    let cut = frame(LAN, from, to, 17, vec![0, 1, 0, 2, 0, 7, 0], None);
    let long = frame(LAN, from, to, 17, vec![0, 1, 0, 2, 0, 99, 0, 0], None);
    let gre = frame(LAN, from, to, 47, vec![0x20, 1, 8, 0, 0, 0, 0, 1], None);
    let nothing = frame(LAN, "2001:db8:1::10", "2001:db8:5::7", 59, vec![0; 8], None);
    for packet in [cut, long, gre, nothing] {
        assert_eq!(router.push(LAN, &packet), None, "{packet:02x?}");
    }
    assert_eq!(router.node.dropped(DropReason::Rule), 4);
}
