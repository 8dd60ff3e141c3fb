//! Neighbours at ports that resolve them: asked, answered, moved, gone.
mod common;

use common::*;
use netfast_buf::{PacketBatch, Skb};
use netfast_datapath::{DropReason, Event, Mac, Node, NodeConfig, PortConfig};
use netfast_neigh::*;
use netfast_time::Duration;
use netfast_wire::checksum::pseudo_checksum;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HOST: Mac = [2, 0, 0, 0, 0, 0x50];
const MOVED: Mac = [2, 0, 0, 0, 0, 0x51];
const HOST_6: &str = "2001:db8:1::50";
const HOST_4: &str = "192.0.2.50";
const OWN_6: &str = "2001:db8:1::1";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// The router of the other tests, whose port `lan` resolves.
fn router(config: NodeConfig, rules_text: &str) -> Router {
    let mut router = Router::with(config, rules_text);
    let config = router.node.port_configs().find(|(id, _)| *id == LAN).unwrap().1.clone();
    // A port's number is that of its place: both are made anew.
    let wan = router.node.port_configs().find(|(id, _)| *id == WAN).unwrap().1.clone();
    let mut node = Node::new(router.node.config().clone()).unwrap();
    node.add_port(PortConfig { resolve: true, ..config }).unwrap();
    node.add_port(wan).unwrap();
    for (prefix, via) in [("0.0.0.0/0", "203.0.113.2"), ("::/0", "2001:db8:ff::2")] {
        let hop = netfast_fib::NextHop::gateway(ip(via));
        let kind = netfast_fib::RouteKind::Unicast(vec![hop]);
        node.add_route(netfast_fib::Route::new(prefix.parse().unwrap(), kind)).unwrap();
        node.set_neighbour(router.now, WAN, ip(via), SERVER_MAC, &mut router.out).unwrap();
    }
    node.set_rules(rules(rules_text)).unwrap();
    node.set_verify(true);
    router.node = node;
    router
}

fn plain() -> Router {
    router(NodeConfig::default(), "")
}

fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..], payload].concat()
}

fn solicitation(source: &str, target: &str, mac: Option<Mac>) -> Vec<u8> {
    let (target, destination) = (v6(target), solicited_node(v6(target)));
    let said = Solicitation { source: v6(source), destination, target, mac };
    let mut into = [0; DISCOVERY_LENGTH];
    let packet = write_solicitation(&said, &mut into);
    ethernet(group_mac(destination), mac.unwrap_or(HOST), 0x86dd, packet)
}

fn advertisement(mac: Mac, solicited: bool, overrides: bool) -> Vec<u8> {
    let (source, destination) = (v6(HOST_6), v6(OWN_6));
    let said = Advertisement {
        source,
        destination,
        target: source,
        mac: Some(mac),
        router: false,
        solicited,
        overrides,
    };
    ethernet(LAN_MAC, mac, 0x86dd, write_advertisement(&said, &mut [0; DISCOVERY_LENGTH]))
}

fn arp(to: Mac, said: &Arp) -> Vec<u8> {
    let mut body = [0; ARP_LENGTH];
    said.write(&mut body);
    ethernet(to, said.sender_mac, 0x0806, &body)
}

fn request(sender: &str, target: &str) -> Arp {
    let (sender, target) = (v4(sender), v4(target));
    Arp { operation: ArpOperation::Request, sender_mac: HOST, sender, target_mac: [0; 6], target }
}

fn reply(mac: Mac) -> Arp {
    let (sender, target) = (v4(HOST_4), v4("192.0.2.1"));
    Arp { operation: ArpOperation::Reply, sender_mac: mac, sender, target_mac: LAN_MAC, target }
}

/// What a frame says of neighbours; its addresses, and what it says.
fn discovery(frame: &[u8]) -> (Mac, Mac, Discovery) {
    assert_eq!(frame[12..14], [0x86, 0xdd], "{frame:02x?}");
    let (to, from) = (*frame.first_chunk().unwrap(), *frame[6..].first_chunk().unwrap());
    (to, from, Discovery::parse(&frame[14..], 40, false).unwrap().unwrap())
}

fn state(router: &Router, address: &str) -> Option<State> {
    router.node.neighbours().entry(LAN, ip(address)).map(|entry| entry.state)
}

/// Lets time pass in steps, as a loop does; what left by `lan`.
fn pass(router: &mut Router, milliseconds: u64) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    for _ in 0..milliseconds.div_ceil(100) {
        router.wait(100);
        router.node.poll(router.now, &mut router.out);
        left.extend(router.taken()[0].clone());
    }
    left
}

fn to_host(number: u16) -> Vec<u8> {
    udp(WAN, ("2001:db8:99::7", 7), (HOST_6, number), b"x")
}

fn events(router: &mut Router) -> Vec<Event> {
    router.node.take_events().0.into_iter().map(|(_, event)| event).collect()
}

/// A router that knows the host, a flow to which is in the cache.
fn with_flow() -> Router {
    let mut config = NodeConfig::default();
    config.neighbours.reachable = Duration::from_secs(10);
    let mut router = router(config, "");
    router.push_all(WAN, &[to_host(9)]);
    let [lan, _] = router.push_all(LAN, &[advertisement(HOST, true, true)]);
    assert_eq!(lan.len(), 1);
    for _ in 0..3 {
        assert_eq!(router.push(WAN, &to_host(9)).unwrap().1[..6], HOST);
    }
    assert_eq!(state(&router, HOST_6), Some(State::Reachable));
    router
}

#[test]
fn a_neighbour_is_asked_for_and_gets_what_waited() {
    let mut router = plain();
    let [lan, _] = router.push_all(WAN, &[to_host(1), to_host(2)]);
    assert_eq!(lan.len(), 1, "asked once");
    let (to, from, said) = discovery(&lan[0]);
    let destination = solicited_node(v6(HOST_6));
    let wanted = Solicitation { source: v6(OWN_6), destination, target: v6(HOST_6), mac: Some(LAN_MAC) };
    assert_eq!((to, from, said), (group_mac(destination), LAN_MAC, Discovery::Solicitation(wanted)));
    assert_eq!(pass(&mut router, 2_500).len(), 2, "and twice again");
    let [lan, _] = router.push_all(LAN, &[advertisement(HOST, true, true)]);
    assert_eq!(lan.iter().map(|frame| dst(frame).1).collect::<Vec<_>>(), [1, 2]);
    assert!(lan.iter().all(|frame| frame[..6] == HOST && frame[6..12] == LAN_MAC));
    assert_eq!(router.push(WAN, &to_host(3)).unwrap().1[..6], HOST);
    let events = events(&mut router);
    let (port, address) = (LAN, ip(HOST_6));
    let changed = Event::NeighbourChanged { port, address, mac: HOST, from: None };
    assert_eq!(events, [Event::UnresolvedNeighbour { port, address }, changed]);
    let counters = router.node.counters();
    assert_eq!((counters.held, counters.discovery.solicitations_out, counters.local), (0, 3, 1));
}

#[test]
fn an_arp_reply_does_the_same() {
    let mut router = plain();
    let packet = |number| udp(WAN, ("198.51.100.7", 7), (HOST_4, number), b"x");
    let [lan, _] = router.push_all(WAN, &[packet(1)]);
    let wanted = Arp { sender_mac: LAN_MAC, ..request("192.0.2.1", HOST_4) };
    assert_eq!(lan, [arp([0xff; 6], &wanted)]);
    let [lan, _] = router.push_all(LAN, &[arp(LAN_MAC, &reply(HOST))]);
    assert_eq!(lan.len(), 1);
    assert_eq!(router.push(WAN, &packet(2)).unwrap().1[..6], HOST);
    assert_eq!(state(&router, HOST_4), Some(State::Reachable));
    // An announcement moves it at once, and makes the flow stale.
    let told = Arp { sender_mac: MOVED, ..request(HOST_4, HOST_4) };
    router.push_all(LAN, &[arp([0xff; 6], &told)]);
    assert_eq!(router.push(WAN, &packet(2)).unwrap().1[..6], MOVED);
    assert_eq!(state(&router, HOST_4), Some(State::Delay), "it is used");
    // Of somebody who is not known an announcement changes nothing (Linux: arp_accept 0).
    let stranger = Arp { sender_mac: MOVED, ..request("192.0.2.77", "192.0.2.77") };
    router.push_all(LAN, &[arp([0xff; 6], &stranger)]);
    assert_eq!((state(&router, "192.0.2.77"), router.node.dropped(DropReason::NeighbourOther)), (None, 1));
}

#[test]
fn solicitations_of_own_addresses_are_answered() {
    let mut router = plain();
    let answer = |destination: &str, overrides, solicited, target: &str| {
        let mac = Some(LAN_MAC);
        let (source, destination, target) = (v6(target), v6(destination), v6(target));
        Discovery::Advertisement(Advertisement {
            source,
            destination,
            target,
            mac,
            router: true,
            solicited,
            overrides,
        })
    };
    let [lan, _] = router.push_all(LAN, &[solicitation(HOST_6, OWN_6, Some(HOST))]);
    assert_eq!(discovery(&lan[0]), (HOST, LAN_MAC, answer(HOST_6, true, true, OWN_6)));
    assert_eq!(state(&router, HOST_6), Some(State::Stale), "who asks is remembered");
    // Who looks whether the address is free: all are told that it is not.
    let [lan, _] = router.push_all(LAN, &[solicitation("::", OWN_6, None)]);
    assert_eq!(
        discovery(&lan[0]),
        (group_mac(v6("ff02::1")), LAN_MAC, answer("ff02::1", true, false, OWN_6))
    );
    // The anycast address of the network's routers, for which there may be others.
    let [lan, _] = router.push_all(LAN, &[solicitation(HOST_6, "2001:db8:1::", Some(HOST))]);
    assert_eq!(discovery(&lan[0]).2, answer(HOST_6, false, true, "2001:db8:1::"));
    // One that does not tell its link address and is not known is asked first.
    let [lan, _] = router.push_all(LAN, &[solicitation("2001:db8:1::60", OWN_6, None)]);
    let (_, _, said) = discovery(&lan[0]);
    assert!(matches!(said, Discovery::Solicitation(said) if said.target == v6("2001:db8:1::60")));
    assert_eq!(router.node.counters().held, 1);
    // Those of others are nobody's here: of hosts, and of the other port.
    for target in [HOST_6, "2001:db8:ff::1"] {
        let [lan, _] = router.push_all(LAN, &[solicitation("2001:db8:1::70", target, Some(HOST))]);
        assert_eq!((lan.len(), state(&router, "2001:db8:1::70")), (0, None));
    }
    let [lan, _] = router.push_all(LAN, &[arp([0xff; 6], &request(HOST_4, "192.0.2.1"))]);
    let told = Arp { sender_mac: LAN_MAC, target_mac: HOST, target: v4(HOST_4), ..reply(LAN_MAC) };
    assert_eq!(lan, [arp(HOST, &Arp { sender: v4("192.0.2.1"), ..told })]);
    assert_eq!(state(&router, HOST_4), Some(State::Stale));
    // Linux answers for all its addresses at each port, and those who look whether one is free.
    let [lan, _] = router.push_all(LAN, &[arp([0xff; 6], &request("192.0.2.60", "203.0.113.1"))]);
    assert_eq!(lan.len(), 1);
    let [lan, _] = router.push_all(LAN, &[arp([0xff; 6], &request("0.0.0.0", "192.0.2.1"))]);
    assert_eq!(lan, [arp(HOST, &Arp { sender: v4("192.0.2.1"), target: v4("0.0.0.0"), ..told })]);
    let [lan, _] = router.push_all(LAN, &[arp([0xff; 6], &request("192.0.2.61", "192.0.2.99"))]);
    assert_eq!((lan.len(), state(&router, "192.0.2.61")), (0, None));
    let counters = &router.node.counters().discovery;
    assert_eq!((counters.solicitations_in, counters.advertisements_out), (10, 7));
}

#[test]
fn what_is_not_valid_is_dropped_and_counted() {
    let mut router = plain();
    let good = solicitation(HOST_6, OWN_6, Some(HOST));
    let change = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        let octets = |at: usize| *frame[at..].first_chunk::<16>().unwrap();
        let (source, destination) = (octets(22), octets(38));
        frame[56..58].fill(0);
        let sum = pseudo_checksum(source, destination, 58, &frame[54..]);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let mut wrong_sum = good.clone();
    wrong_sum[57] ^= 1;
    let mut cases = vec![
        (change(21, 64), MessageError::HopLimit),
        (wrong_sum, MessageError::Checksum),
        (change(55, 1), MessageError::Code),
        (change(62, 0xff), MessageError::Target),
        (change(79, 0), MessageError::Option),
        (change(80, 1), MessageError::LinkAddress),
        (arp([0xff; 6], &request("127.0.0.1", "192.0.2.1")), MessageError::Source),
        (ethernet([0xff; 6], HOST, 0x0806, &[0; 20]), MessageError::Truncated),
    ];
    // A whole packet with a fragment header, and one in two fragments (RFC 6980).
    let mut atomic = good[..54].to_vec();
    atomic[20] = 44;
    atomic[18..20].copy_from_slice(&40u16.to_be_bytes());
    let fragment = |offset: u16, data: &[u8]| {
        let mut frame = atomic.clone();
        frame[18..20].copy_from_slice(&(data.len() as u16 + 8).to_be_bytes());
        frame.extend([58, 0]);
        frame.extend(offset.to_be_bytes());
        frame.extend([0, 0, 0, 7]);
        frame.extend(data);
        frame
    };
    cases.push((fragment(0, &good[54..]), MessageError::Fragment));
    for (frame, error) in &cases {
        let [lan, _] = router.push_all(LAN, std::slice::from_ref(frame));
        assert_eq!(lan.len(), 0, "{error}");
        assert_eq!(router.node.counters().discovery.invalid[*error as usize], 1, "{error}");
    }
    router.push_all(LAN, &[fragment(1, &good[54..70]), fragment(16, &good[70..])]);
    assert_eq!(router.node.counters().discovery.invalid[MessageError::Fragment as usize], 2);
    assert_eq!(router.node.dropped(DropReason::NeighbourMessage), cases.len() as u64 + 1);
    assert_eq!(
        router.node.neighbours().iter().filter(|entry| entry.port == LAN).count(),
        0,
        "nothing is learned"
    );
    let [lan, _] = router.push_all(LAN, &[good]);
    assert_eq!(lan.len(), 1);
}

#[test]
fn others_that_claim_own_addresses_are_not_believed() {
    let mut router = plain();
    let own = v6(OWN_6);
    let said = Advertisement {
        source: own,
        destination: v6("ff02::1"),
        target: own,
        mac: Some(HOST),
        router: false,
        solicited: false,
        overrides: true,
    };
    let packet = write_advertisement(&said, &mut [0; DISCOVERY_LENGTH]).to_vec();
    let claims = [
        ethernet(group_mac(v6("ff02::1")), HOST, 0x86dd, &packet),
        solicitation(OWN_6, OWN_6, Some(HOST)),
        arp([0xff; 6], &request("192.0.2.1", "192.0.2.1")),
        arp(LAN_MAC, &Arp { sender: v4("203.0.113.1"), ..reply(HOST) }),
    ];
    assert_eq!(router.push_all(LAN, &claims)[0].len(), 0);
    assert_eq!(router.node.counters().discovery.conflicts, 4);
    assert_eq!(router.node.neighbours().iter().filter(|entry| entry.port == LAN).count(), 0);
}

/// A neighbour that moves makes its own flows stale; its state alone makes none.
#[test]
fn a_flow_follows_its_neighbour_to_another_link_address() {
    let mut router = with_flow();
    let other = udp(LAN, (HOST_6, 9), ("2001:db8:99::7", 7), b"x");
    router.push_all(LAN, &[other.clone(), other.clone()]);
    let before = router.node.counters().cache;
    router.push_all(LAN, &[advertisement(HOST, false, false), solicitation(HOST_6, OWN_6, Some(HOST))]);
    pass(&mut router, 16_500);
    assert_ne!(state(&router, HOST_6), Some(State::Reachable));
    router.push_all(WAN, &[to_host(9)]);
    let after = router.node.counters().cache;
    assert_eq!(
        (after.refreshed, after.revalidated),
        (before.refreshed, before.revalidated),
        "states are nothing"
    );
    router.push_all(LAN, &[advertisement(MOVED, false, true)]);
    assert_eq!(router.push(WAN, &to_host(9)).unwrap().1[..6], MOVED);
    assert_eq!(router.push(LAN, &other).unwrap().1[..6], SERVER_MAC);
    let after = router.node.counters().cache;
    assert_eq!((after.revalidated, after.changed), (before.revalidated + 1, before.changed + 1));
    assert_eq!(after.refreshed, before.refreshed + 1, "the other way is looked at and stays");
    let moved = Event::NeighbourChanged { port: LAN, address: ip(HOST_6), mac: MOVED, from: Some(HOST) };
    assert!(events(&mut router).contains(&moved));
}

/// Packets of a flow in the cache make a stale neighbour be asked; while nobody uses it nobody asks.
#[test]
fn a_stale_neighbour_that_the_cache_uses_is_asked() {
    let mut router = with_flow();
    assert_eq!(pass(&mut router, 16_500).len(), 0);
    assert_eq!(state(&router, HOST_6), Some(State::Stale));
    assert_eq!(pass(&mut router, 5_000).len(), 0, "nobody uses it");
    let hits = router.node.counters().cache.hits;
    assert!(router.push(WAN, &to_host(9)).is_some());
    assert_eq!(router.node.counters().cache.hits, hits + 1);
    let asked = pass(&mut router, 1_100);
    assert_eq!((asked.len(), state(&router, HOST_6)), (0, Some(State::Delay)));
    let asked = pass(&mut router, 5_500);
    assert_eq!((asked.len(), state(&router, HOST_6)), (1, Some(State::Probe)));
    let (to, _, said) = discovery(&asked[0]);
    let question =
        Solicitation { source: v6(OWN_6), destination: v6(HOST_6), target: v6(HOST_6), mac: Some(LAN_MAC) };
    assert_eq!((to, said), (HOST, Discovery::Solicitation(question)), "it alone");
    router.push_all(LAN, &[advertisement(HOST, true, false)]);
    assert_eq!(state(&router, HOST_6), Some(State::Reachable));
    // What an upper layer knows is as good.
    pass(&mut router, 16_500);
    assert_eq!(state(&router, HOST_6), Some(State::Stale));
    router.node.confirm_neighbour(router.now, LAN, ip(HOST_6));
    assert_eq!(state(&router, HOST_6), Some(State::Reachable));
}

#[test]
fn a_neighbour_that_is_gone_is_asked_for_anew_and_senders_are_told() {
    for (host, sender, error) in [(HOST_6, "2001:db8:99::7", (1, 3)), (HOST_4, "198.51.100.7", (3, 1))] {
        let mut router = plain();
        let packet = udp(WAN, (sender, 7), (host, 9), b"x");
        router.push_all(WAN, std::slice::from_ref(&packet));
        let found = if host == HOST_6 { advertisement(HOST, true, true) } else { arp(LAN_MAC, &reply(HOST)) };
        assert_eq!(router.push_all(LAN, std::slice::from_ref(&found))[0].len(), 1);
        router.push_all(WAN, &[packet.clone(), packet.clone()]);
        let mut asked = 0;
        for _ in 0..80 {
            router.push_all(WAN, std::slice::from_ref(&packet));
            asked += pass(&mut router, 1_000).len();
        }
        assert!(asked >= 8, "as one that is known, then as one that is not: {asked}");
        assert!(matches!(state(&router, host), Some(State::Incomplete | State::Failed)));
        // All that waited is answered in the end.
        pass(&mut router, 4_000);
        let [_, told] = router.push_all(WAN, std::slice::from_ref(&packet));
        assert!(told.is_empty());
        let mut told = Vec::new();
        for _ in 0..40 {
            router.wait(100);
            router.node.poll(router.now, &mut router.out);
            told.extend(router.taken()[1].clone());
        }
        assert_eq!(told.len(), 1);
        let at = if host == HOST_6 { 54 } else { 34 };
        assert_eq!((told[0][at], told[0][at + 1]), error);
        assert_eq!(dst(&told[0]).0, sender);
        assert_eq!(router.node.counters().held, 0);
        let failed = Event::NeighbourFailed { port: LAN, address: ip(host), mac: Some(HOST) };
        assert!(events(&mut router).contains(&failed));
        // It returns under traffic.
        router.push_all(WAN, std::slice::from_ref(&packet));
        assert_eq!(router.push_all(LAN, &[found])[0].len(), 1);
        assert_eq!(router.push(WAN, &packet).unwrap().1[..6], HOST);
    }
}

#[test]
fn rules_see_messages_about_neighbours_as_in_linux() {
    const DROPS: &str = "table inet f { chain i { type filter hook input priority 0; policy drop;\n }\n }";
    const TAKES: &str = "table inet f { chain i { type filter hook input priority 0; policy drop;
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter accept
 }
 }";
    const KEEPS: &str = "table inet f { chain o { type filter hook output priority 0; policy drop;\n }\n }";
    let question = solicitation(HOST_6, OWN_6, Some(HOST));
    let asks = arp([0xff; 6], &request(HOST_4, "192.0.2.1"));
    let mut dropping = router(NodeConfig::default(), DROPS);
    assert_eq!(dropping.push_all(LAN, &[question.clone(), asks.clone()])[0].len(), 1, "ARP is not IP");
    assert_eq!((dropping.node.dropped(DropReason::Policy), state(&dropping, HOST_6)), (1, None));
    let mut taking = router(NodeConfig::default(), TAKES);
    let [lan, _] = taking.push_all(LAN, std::slice::from_ref(&question));
    assert!(matches!(discovery(&lan[0]).2, Discovery::Advertisement(said) if said.solicited));
    let rule = taking.node.rules().rules().next().unwrap().id;
    assert_eq!(taking.node.rule_state().hits(rule), 1);
    let [lan, _] = taking.push_all(WAN, &[to_host(1)]);
    assert_eq!(lan.len(), 1, "it is known by now");
    let mut keeping = router(NodeConfig::default(), KEEPS);
    assert_eq!(keeping.push_all(LAN, &[question])[0].len(), 0);
    keeping.push_all(WAN, &[udp(WAN, ("2001:db8:99::7", 7), ("2001:db8:1::51", 1), b"x")]);
    assert_eq!(keeping.node.dropped(DropReason::Policy), 2, "the answer and the question");
    assert_eq!(keeping.push_all(LAN, &[asks])[0].len(), 1);
}

#[test]
fn a_sub_interface_asks_and_answers_with_its_tag() {
    let mut router = plain();
    let mut config = PortConfig::new("lan.7", LAN_MAC);
    config.addresses = vec![(ip("198.18.7.1"), 24), (ip("2001:db8:7::1"), 64)];
    (config.vlan, config.resolve) = (Some((LAN, 7)), true);
    let port = router.node.add_port(config).unwrap();
    let tag = |frame: Vec<u8>| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    let asks = tag(arp([0xff; 6], &request("198.18.7.9", "198.18.7.1")));
    let [lan, _] =
        router.push_all(LAN, &[asks, tag(solicitation("2001:db8:7::9", "2001:db8:7::1", Some(HOST)))]);
    assert_eq!(lan.len(), 2);
    assert!(lan.iter().all(|frame| frame[..6] == HOST && frame[12..16] == [0x81, 0, 0, 7]));
    assert_eq!(router.node.neighbours().entry(port, ip("198.18.7.9")).unwrap().mac, Some(HOST));
    let [lan, _] = router.push_all(WAN, &[udp(WAN, ("198.51.100.7", 7), ("198.18.7.10", 1), b"x")]);
    assert_eq!((&lan[0][12..18], lan[0].len()), (&[0x81, 0, 0, 7, 8, 6][..], 46));
    // A tag that nobody has is still nobody's.
    let stranger = [&asks_of(8)[..]].concat();
    router.push_all(LAN, &[stranger]);
    assert_eq!(router.node.dropped(DropReason::UnknownVlan), 1);
}

fn asks_of(id: u8) -> Vec<u8> {
    let frame = arp([0xff; 6], &request("198.18.7.9", "198.18.7.1"));
    [&frame[..12], &[0x81, 0, 0, id], &frame[12..]].concat()
}

#[test]
fn a_port_with_one_other_end_has_no_neighbours() {
    let mut router = plain();
    let mut config = PortConfig::new("tun0", [0; 6]);
    config.addresses = vec![(ip("198.18.0.1"), 30), (ip("2001:db8:8::1"), 64)];
    config.point_to_point = true;
    let tun = router.node.add_port(config).unwrap();
    for (from, to) in [("198.51.100.7", "198.18.0.2"), ("2001:db8:99::7", "2001:db8:8::2")] {
        for _ in 0..3 {
            router.push_all(WAN, &[udp(WAN, (from, 7), (to, 1), b"x")]);
            let left = router.out.take_port(tun);
            assert_eq!((left.len(), &left[0].head()[..12]), (1, &[0; 12][..]));
        }
        let mut back = udp(LAN, (to, 1), (from, 7), b"x");
        back[..12].fill(0);
        let mut batch = PacketBatch::new();
        batch.push(Skb::from_slice(&back, router.node.pool()).unwrap()).unwrap();
        router.node.push(router.now, tun, &mut batch, &mut router.out);
        assert_eq!(router.taken()[1].len(), 1);
    }
    assert_eq!(router.node.counters().discovery.solicitations_out, 0);
}

#[test]
fn ports_that_do_not_resolve_hand_messages_over_as_before() {
    let mut router = Router::new("");
    router.push_all(
        LAN,
        &[solicitation(HOST_6, OWN_6, Some(HOST)), arp([0xff; 6], &request(HOST_4, "192.0.2.1"))],
    );
    assert_eq!((router.out.take_local().len(), router.node.counters().discovery.solicitations_in), (2, 0));
}

#[test]
fn a_link_that_is_gone_takes_what_was_found_there() {
    let mut router = with_flow();
    router.node.set_neighbour(router.now, LAN, ip("192.0.2.9"), HOST, &mut router.out).unwrap();
    router.push_all(WAN, &[udp(WAN, ("2001:db8:99::7", 7), ("2001:db8:1::51", 1), b"x")]);
    assert_eq!(router.node.flush_neighbours(LAN).unwrap(), 1);
    assert_eq!(router.node.dropped(DropReason::NoNextHop), 1);
    let left: Vec<_> = router.node.neighbours().iter().filter(|entry| entry.port == LAN).collect();
    assert!(left.len() == 1 && left[0].state == State::Permanent, "{left:?}");
    let asked = router.push(WAN, &to_host(9)).unwrap().1;
    assert!(
        matches!(discovery(&asked).2, Discovery::Solicitation(_)),
        "a flow does not go where nobody may be"
    );
    assert!(router.node.flush_neighbours(77).is_err());
}

#[test]
fn answers_are_limited() {
    let config = NodeConfig { neighbour_rate: 10, neighbour_burst: 5, ..NodeConfig::default() };
    let mut router = router(config, "");
    let frames: Vec<_> = (0..20).map(|_| solicitation(HOST_6, OWN_6, Some(HOST))).collect();
    assert_eq!(router.push_all(LAN, &frames)[0].len(), 5);
    assert_eq!(router.node.dropped(DropReason::NeighbourLimit), 15);
    router.wait(200);
    assert_eq!(router.push_all(LAN, &frames)[0].len(), 2);
}

/// A scan of a network, and a flood of made-up neighbours, beside a flow.
#[test]
fn scans_leave_flows_and_neighbours_alone() {
    let mut config = NodeConfig::default();
    (config.neighbours.max_entries, config.neighbours.max_pending) = (1_000, 64);
    config.icmp_rate = 0;
    let mut router = router(config, "");
    router.push_all(WAN, &[to_host(9)]);
    router.push_all(LAN, &[advertisement(HOST, true, true)]);
    router.push_all(WAN, &[to_host(9)]);
    router.node.set_verify(false);
    let before = router.node.counters().cache;
    for round in 0..200u32 {
        let scan = (0..50u32).map(|at| {
            let to = format!("2001:db8:1::{:x}:{:x}", round + 1, at);
            udp(WAN, ("2001:db8:99::7", 7), (&to, 1), b"x")
        });
        router.push_all(WAN, &scan.collect::<Vec<_>>());
        let flood = (0..50u32).map(|at| {
            let from = format!("2001:db8:1:0:1::{:x}:{:x}", round + 1, at);
            solicitation(&from, OWN_6, Some([6, 0, 0, round as u8, at as u8, 1]))
        });
        router.push_all(LAN, &flood.collect::<Vec<_>>());
        assert_eq!(router.push(WAN, &to_host(9)).unwrap().1[..6], HOST);
        router.wait(10);
        router.node.poll(router.now, &mut router.out);
        router.taken();
        let neighbours = router.node.neighbours();
        assert!(neighbours.len() <= 1_000 && neighbours.total() <= 1_064);
        assert!(router.node.counters().held <= 64 * 101);
    }
    let after = router.node.counters().cache;
    assert_eq!((after.refreshed, after.revalidated), (before.refreshed, before.revalidated));
    assert_eq!(state(&router, HOST_6), Some(State::Reachable));
    let counters = router.node.neighbours().counters();
    assert!(counters.stale_displaced > 8_000 && counters.displaced > 9_000, "{counters:?}");
}

#[test]
fn echo_to_a_group_or_from_a_link_local_address_is_answered() {
    let mut router = plain();
    router.node.add_address(LAN, ip("fe80::1"), 64).unwrap();
    let mut check = |from: &str, to: &str, source: &str| {
        let mut frame = echo(LAN, from, to, true, 7);
        if let IpAddr::V6(group) = ip(to)
            && group.is_multicast()
        {
            frame[..6].copy_from_slice(&group_mac(group));
        }
        router.push_all(LAN, &[solicitation(from, OWN_6, Some(HOST))]);
        let answer = router.push(LAN, &frame).unwrap().1;
        assert_eq!((src(&answer).0.as_str(), dst(&answer).0.as_str(), answer[54]), (source, from, 129));
        assert_eq!((&answer[..6], answer[21]), (&HOST[..], 64));
    };
    check(HOST_6, OWN_6, OWN_6);
    check("fe80::50", "fe80::1", "fe80::1");
    check("fe80::50", OWN_6, OWN_6);
    check("fe80::50", "ff02::1", "fe80::1");
    check(HOST_6, "ff02::1", OWN_6);
    check(HOST_6, "ff02::2", OWN_6);
    // RFC 1122 3.2.2.6 leaves it open; Linux does not (icmp_echo_ignore_broadcasts).
    router.push_all(LAN, &[arp([0xff; 6], &request("192.0.2.50", "192.0.2.1"))]);
    for to in ["192.0.2.255", "224.0.0.1"] {
        let mut frame = echo(LAN, HOST_4, to, true, 7);
        frame[..6].copy_from_slice(&[0xff; 6]);
        assert_eq!(router.push(LAN, &frame), None);
    }
}

proptest! {
    /// Whatever comes, it is accounted for, and the tables stay within their limits.
    #[test]
    fn damaged_messages_are_accounted_for(
        changes in prop::collection::vec((0..4usize, prop::collection::vec((0..90usize, any::<u8>()), 0..4), 0..100usize), 1..40),
        wait in 0..10_000u64,
    ) {
        let mut config = NodeConfig::default();
        (config.neighbours.max_entries, config.neighbours.max_pending) = (8, 4);
        let mut router = router(config, "");
        for (kind, bytes, length) in changes {
            let mut frame = match kind {
                0 => solicitation(HOST_6, OWN_6, Some(HOST)),
                1 => advertisement(HOST, true, true),
                2 => arp([0xff; 6], &request(HOST_4, "192.0.2.1")),
                _ => to_host(3),
            };
            for (at, byte) in bytes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            if length > 60 {
                frame.truncate(length);
            }
            router.push_all(if kind == 3 { WAN } else { LAN }, &[frame]);
            router.now += Duration::from_millis(wait);
            router.node.poll(router.now, &mut router.out);
            router.taken();
            prop_assert!(router.node.neighbours().len() <= 8 + 4);
        }
    }
}
