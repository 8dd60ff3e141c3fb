//! What single matches mean.

#[path = "evaluate/node.rs"]
mod node;

use netfast_filter::facts::*;
use netfast_filter::outcome::*;
use netfast_nft::ast::Hook;
use netfast_time::Instant;

use node::{Bytes, base, compile, forward, ipv4, ipv6, tcp, udp, walk};

const TUPLES: [CtTuple; 2] = [
    CtTuple {
        source: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        destination: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 9],
        source_port: 4000,
        destination_port: 2222,
        protocol: 6,
    },
    CtTuple {
        source: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2],
        destination: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        source_port: 22,
        destination_port: 4000,
        protocol: 6,
    },
];

const CONNECTION: Connection<'static> = Connection {
    direction: CtDirection::Original,
    status: ct_status::SEEN_REPLY | ct_status::CONFIRMED | ct_status::DNAT,
    mark: 7,
    expiration: 5_000,
    established: true,
    tuples: &TUPLES,
};

struct OneRoute;

impl Fib for OneRoute {
    fn out_port(&self, query: &FibLookup) -> Option<u32> {
        let ports = query.in_port.is_none_or(|port| port == 1);
        (query.address[15] == 1 && ports).then_some(1)
    }

    fn address_type(&self, query: &FibLookup) -> AddressType {
        if query.address[15] == 2 { AddressType::Local } else { AddressType::Unicast }
    }
}

fn accepts(rule: &str, facts: &Facts<'_>) -> bool {
    let rules = forward(&format!("{rule} accept"));
    walk(&rules, facts, &rules.new_state(), Instant::ZERO).outcome == Outcome::Accept
}

fn check(packet: &Bytes, protocol: u8, change: impl Fn(&mut Facts<'_>), cases: &[(&str, bool)]) {
    let mut facts = packet.facts(protocol);
    change(&mut facts);
    for (rule, expected) in cases {
        assert_eq!(accepts(rule, &facts), *expected, "{rule} on {facts:?}");
    }
}

#[test]
fn ipv4_and_tcp_matches() {
    let packet = ipv4(6, &tcp(0x12));
    check(
        &packet,
        6,
        |_| {},
        &[
            ("ip saddr 10.0.0.1", true),
            ("ip saddr != 10.0.0.1", false),
            ("ip saddr 10.0.0.0/31", true),
            ("ip daddr 10.0.0.0/31", false),
            ("ip daddr 10.0.0.2-10.0.0.9", true),
            ("ip saddr { 10.0.0.1, 192.0.2.0/24 }", true),
            ("ip saddr != { 10.0.0.1, 192.0.2.0/24 }", false),
            ("ip saddr . tcp dport { 10.0.0.1 . 22 }", true),
            ("ip saddr . tcp dport { 10.0.0.1 . 23 }", false),
            ("ip saddr . tcp dport { 10.0.0.0/24 . 20-30 }", true),
            ("ip6 saddr ::/0", false),
            ("ip6 saddr != ::1", false),
            ("tcp dport 22", true),
            ("tcp dport 20-30", true),
            ("tcp dport != 20-30", false),
            ("tcp dport < 22", false),
            ("tcp dport <= 22", true),
            ("tcp dport > 21", true),
            ("tcp dport >= 23", false),
            ("tcp sport 4000", true),
            ("udp dport 22", false),
            ("meta l4proto { tcp, udp } th dport 22", true),
            ("tcp flags syn", true),
            ("tcp flags fin", false),
            ("tcp flags == syn", false),
            ("tcp flags & (syn | ack) == (syn | ack)", true),
            ("tcp flags & (fin | syn | rst | ack) == syn", false),
            ("tcp sequence 1", true),
            ("tcp ackseq 2", true),
            ("tcp doff 5", true),
            ("tcp window 8192", true),
            ("ip ttl 63", true),
            ("ip ttl 64", false),
            ("ip length 40", true),
            ("ip id 0x1234", true),
            ("ip protocol tcp", true),
            ("ip protocol { tcp, udp }", true),
            ("ip version 4", true),
            ("ip hdrlength 5", true),
            ("ip frag-off & 0x4000 != 0", true),
            ("ip frag-off & 0x1fff != 0", false),
            ("meta l4proto tcp", true),
            ("meta nfproto ipv4", true),
            ("meta nfproto ipv6", false),
            ("meta protocol ip", true),
            ("meta length 40", true),
            ("meta length 41-100", false),
            ("meta pkttype host", true),
            ("meta mark 0", true),
            ("icmp type echo-request", false),
            ("icmp type != echo-request", false),
            ("exthdr frag exists", false),
            ("exthdr frag missing", false),
        ],
    );
}

#[test]
fn ipv6_and_udp_matches() {
    let mut packet = ipv6(17, &[], &udp());
    packet.l3[0] = 0x6b;
    packet.l3[1] = 0x8a;
    packet.l3[2] = 0xbc;
    packet.l3[3] = 0xde;
    check(
        &packet,
        17,
        |_| {},
        &[
            ("ip6 saddr 2001:db8::/32", true),
            ("ip6 daddr 2001:db8::2", true),
            ("ip6 daddr { 2001:db8::2, 2001:db8:1::/48 }", true),
            ("ip saddr 10.0.0.1", false),
            ("ip6 nexthdr udp", true),
            ("ip6 hoplimit 63", true),
            ("ip6 length 8", true),
            ("ip6 version 6", true),
            ("ip6 dscp ef", true),
            ("ip6 flowlabel 0xabcde", true),
            ("udp dport 53", true),
            ("udp length 8", true),
            ("udp checksum 0", true),
            ("exthdr hbh missing", true),
            ("exthdr hbh exists", false),
            ("frag id 1", false),
        ],
    );
}

#[test]
fn extension_headers_and_fragments() {
    let chain = [43, 0, 0, 0, 0, 0, 0, 0, 44, 0, 4, 1, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9];
    let packet = ipv6(0, &chain, &tcp(2));
    check(
        &packet,
        6,
        |_| {},
        &[
            ("exthdr hbh exists", true),
            ("exthdr rt exists", true),
            ("exthdr frag exists", true),
            ("exthdr dst exists", false),
            ("exthdr mh exists", false),
            ("ip6 nexthdr 0", true),
            ("meta l4proto tcp", true),
            ("rt type 4", true),
            ("rt seg-left 1", true),
            ("rt hdrlength 0", true),
            ("frag id 9", true),
            ("frag more-fragments 1", true),
            ("frag frag-off 0", true),
            ("frag nexthdr tcp", true),
        ],
    );
    // A later fragment has no transport header; ports are its first's.
    check(
        &packet,
        6,
        |facts| facts.fragment = true,
        &[("tcp dport 22", true), ("tcp flags syn", false), ("tcp flags != syn", false)],
    );
}

#[test]
fn icmp_matches() {
    check(
        &ipv4(1, &[3, 4, 0, 0, 0, 0, 5, 0]),
        1,
        |_| {},
        &[
            ("icmp type destination-unreachable", true),
            ("icmp type { echo-request, echo-reply }", false),
            ("icmp code 4", true),
            ("icmp mtu 1280", true),
            ("icmpv6 type packet-too-big", false),
        ],
    );
    check(
        &ipv4(1, &[8, 0, 0, 0, 0, 7, 0, 9]),
        1,
        |_| {},
        &[("icmp type echo-request", true), ("icmp id 7", true), ("icmp sequence 9", true)],
    );
    check(
        &ipv6(58, &[], &[2, 0, 0, 0, 0, 0, 5, 0]),
        58,
        |_| {},
        &[("icmpv6 type packet-too-big", true), ("icmpv6 mtu 1280", true), ("icmp type 2", false)],
    );
}

#[test]
fn ports_of_the_node_by_name() {
    let packet = ipv4(6, &tcp(2));
    check(
        &packet,
        6,
        |_| {},
        &[
            ("iifname \"lan0\"", true),
            ("iifname \"lan*\"", true),
            ("iifname != \"lan*\"", false),
            ("iifname { \"lan0\", \"lan1\" }", true),
            ("oifname \"lan*\"", false),
            ("oifname \"wan\"", true),
            ("oifname \"ppp*\"", false),
            ("oifname != \"ppp*\"", true),
            ("iif \"lan0\"", true),
            ("iifname . oifname { \"lan0\" . \"wan\" }", true),
            ("iifname vmap { \"lan1\" : drop, \"lan0\" : accept }", true),
        ],
    );
    // The node's own packets come from no port.
    check(
        &packet,
        6,
        |facts| facts.in_port = None,
        &[("iifname \"lan0\"", false), ("iifname != \"lan0\"", true)],
    );
}

#[test]
fn connection_matches() {
    let packet = ipv4(6, &tcp(0x10));
    check(
        &packet,
        6,
        |facts| {
            facts.ct_state = CtState::Established;
            facts.connection = Some(CONNECTION);
        },
        &[
            ("ct state established", true),
            ("ct state established,related", true),
            ("ct state new", false),
            ("ct state != new", true),
            ("ct state vmap { established : accept, invalid : drop }", true),
            ("ct direction original", true),
            ("ct status dnat", true),
            ("ct status snat", false),
            ("ct mark 7", true),
            ("ct mark & 6 == 2", false),
            ("ct original ip daddr 203.0.113.9", true),
            ("meta l4proto tcp ct original proto-dst 2222", true),
            ("ct reply ip saddr 10.0.0.2", true),
            ("meta l4proto tcp ct reply proto-src 22", true),
            ("ct original protocol tcp", true),
        ],
    );
    // Without a connection only the state can be asked for.
    check(
        &packet,
        6,
        |facts| facts.ct_state = CtState::Invalid,
        &[
            ("ct state invalid", true),
            ("ct mark 0", false),
            ("ct mark != 1", false),
            ("ct direction original", false),
        ],
    );
}

#[test]
fn routing_table_matches() {
    let rules = |rule: &str| {
        compile(&format!(
            "table inet t {{ chain f {{ type filter hook prerouting priority 0; policy drop; {rule} accept; }} }}"
        ))
    };
    let packet = ipv4(6, &tcp(2));
    for (rule, expected) in [
        ("fib saddr . iif oif exists", true),
        ("fib saddr . iif oif missing", false),
        ("fib daddr type local", true),
        ("fib daddr type { broadcast, multicast }", false),
        ("fib saddr type unicast", true),
    ] {
        let rules = rules(rule);
        let mut facts = Facts { fib: &OneRoute, ..packet.facts(6) };
        let mut out = Walk::default();
        let base = base(&rules, Family::Ipv4, Hook::Prerouting);
        rules.walk(base, &mut facts, &rules.new_state(), Instant::ZERO, &mut out);
        assert_eq!(out.outcome == Outcome::Accept, expected, "{rule}");
        assert!(out.asked.any(Asked::FIB), "{rule}");
    }
}

#[test]
fn short_bytes_match_nothing() {
    for length in 0..40 {
        let mut packet = ipv4(6, &tcp(2));
        let facts = packet.facts(6);
        let (source, destination) = (facts.source, facts.destination);
        packet.l3.truncate(length);
        let facts =
            Facts { l3: &packet.l3, source, destination, l3_length: 40, ..ipv4(6, &tcp(2)).facts(6).own() };
        assert_eq!(accepts("tcp flags syn", &facts), length > 33);
        assert_eq!(accepts("tcp flags != fin", &facts), length > 33);
        assert_eq!(accepts("ip id 0x1234", &facts), length >= 6);
    }
}

trait Own {
    fn own(&self) -> Facts<'static>;
}

impl Own for Facts<'_> {
    /// Without what is borrowed.
    fn own(&self) -> Facts<'static> {
        Facts {
            family: self.family,
            protocol: self.protocol,
            ports: self.ports,
            l4_offset: self.l4_offset,
            ct_state: self.ct_state,
            hop_limit_now: self.hop_limit_now,
            ..Facts::EMPTY
        }
    }
}
