//! `flow add`: its rule goes on for packets that Linux would offload, from the tables and from the cache alike.
mod common;
use common::*;

/// Which of them the rule behind `flow add` accepts; all others are dropped, but for what begins connections.
const RULES: &str = "table inet f {
    flowtable ft { hook ingress priority 0; devices = { lan, wan }; }
    chain forward { type filter hook forward priority 0; policy drop;
        ct state new jump fresh
        flow add @ft accept
        tcp flags & (syn | ack) == syn | ack accept
    }
    chain fresh { tcp dport 80 accept; udp dport { 53, 54 } flow add @ft; udp dport 53 accept; icmp type echo-request accept; }
}";

const CLIENT: (&str, u16) = ("192.0.2.10", 4000);

fn segment(from_client: bool, flags: u8, seq: u32, ack: u32, payload: usize) -> (u16, Vec<u8>) {
    let segment = Segment { flags, seq, ack, payload };
    let server = ("198.51.100.7", 80);
    match from_client {
        true => (LAN as u16, tcp(LAN, CLIENT, server, segment)),
        false => (WAN as u16, tcp(WAN, server, CLIENT, segment)),
    }
}

#[test]
fn tcp_goes_on_while_it_is_established() {
    let mut router = Router::new(RULES);
    let mut passes = |(port, frame): (u16, Vec<u8>)| router.push(port.into(), &frame).is_some();
    assert!(passes(segment(true, SYN, 100, 0, 0)));
    assert!(passes(segment(false, SYN | ACK, 900, 101, 0)));
    // The third segment makes it established, which the rules see already.
    assert!(passes(segment(true, ACK, 101, 901, 0)));
    for _ in 0..4 {
        assert!(passes(segment(true, ACK, 101, 901, 10)));
        assert!(passes(segment(false, ACK, 901, 111, 10)));
    }
    assert!(!passes(segment(true, ACK | FIN, 111, 911, 0)));
    // The end was seen, though the rules dropped it.
    assert!(!passes(segment(false, ACK, 911, 112, 10)));
    assert!(!passes(segment(true, ACK | RST, 112, 921, 0)));
}

#[test]
fn udp_goes_on_behind_its_first_packet() {
    let mut router = Router::new(RULES);
    let server = ("198.51.100.7", 53);
    let there = udp(LAN, CLIENT, server, b"x");
    let back = udp(WAN, server, CLIENT, b"x");
    for frame in [&there, &there, &there] {
        assert!(router.push(LAN, frame).is_some());
    }
    for _ in 0..3 {
        assert!(router.push(WAN, &back).is_some());
        assert!(router.push(LAN, &there).is_some());
    }
    // What is dropped is entered nowhere, so that no packet of it is behind the first.
    let other = udp(LAN, CLIENT, ("198.51.100.7", 54), b"x");
    for _ in 0..3 {
        assert_eq!(router.push(LAN, &other), None);
    }
}

#[test]
fn other_protocols_do_not_go_on() {
    let mut router = Router::new(RULES);
    assert!(router.push(LAN, &echo(LAN, CLIENT.0, "198.51.100.7", true, 7)).is_some());
    for _ in 0..3 {
        assert_eq!(router.push(WAN, &echo(WAN, "198.51.100.7", CLIENT.0, false, 7)), None);
    }
}

#[test]
fn connections_are_tracked_for_it() {
    let mut router = Router::new(
        "table inet f {
            flowtable ft { hook ingress priority 0; devices = { lan, wan }; }
            chain forward { type filter hook forward priority 0; flow add @ft counter drop; }
        }",
    );
    let frame = udp(LAN, CLIENT, ("198.51.100.7", 53), b"x");
    assert!(router.push(LAN, &frame).is_some(), "it begins a connection");
    for _ in 0..3 {
        assert_eq!(router.push(LAN, &frame), None);
    }
}
