//! Which addresses and ports translations get: what Linux chose, the rules of RFC 4787, uniqueness.
use netfast_flow::conntrack::{
    EimConfig, EimFiltering, EimTable, Endpoint, NatError, NatRange, PortRange, Tuple, select_destination,
    select_source,
};
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::protocol as p;
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::IpAddr;

fn address(text: &str) -> [u8; 16] {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn tuple(protocol: u8, source_port: u16, destination_port: u16) -> Tuple {
    let (source, destination) = (address("192.0.2.1"), address("198.51.100.2"));
    Tuple { source, destination, source_port, destination_port, protocol }
}

fn outside() -> NatRange {
    NatRange::to_address(address("203.0.113.1"))
}

fn counting() -> impl FnMut() -> u16 {
    let mut n = 0u16;
    move || {
        n = n.wrapping_add(7919);
        n
    }
}

/// Source, destination, lowest and highest address, persistent, and what Linux 6.18 chose.
const CHOSEN_BY_LINUX: [(&str, &str, &str, &str, bool, &str); 10] = [
    ("10.0.0.141", "22.201.15.54", "10.1.0.10", "10.1.0.77", false, "10.1.0.13"),
    ("10.0.0.115", "27.55.174.51", "10.1.0.10", "10.1.0.77", false, "10.1.0.22"),
    ("10.0.0.129", "52.95.17.189", "10.1.0.10", "10.3.9.77", true, "10.2.54.218"),
    ("10.0.0.22", "17.204.219.13", "10.1.0.10", "10.3.9.77", true, "10.1.78.62"),
    (
        "2001:db8::4a3:c11f:8a88:7206",
        "2620:bd80:ae7f:6633:1b9c:6d61:a6cb:6b2e",
        "2001:db8:1::10",
        "2001:db8:1::99",
        false,
        "2001:db8:1::40",
    ),
    (
        "2001:db8::703:cd6a:e39f:836c",
        "261e:80f1:782b:faab:cd8b:7e76:e61b:38cc",
        "2001:db8:1::10",
        "2001:db8:1::99",
        false,
        "2001:db8:1::5f",
    ),
    (
        "2001:db8::26a:a6a6:1c8a:ea36",
        "2632:b9ce:6f03:e40e:237e:dd3:c870:3544",
        "2001:db8:1::10",
        "2001:db8:3:5::99",
        false,
        "2001:db8:1:46b3:2dbd:3fc3:feb0:41e6",
    ),
    (
        "2001:db8::aa0:a58c:d507:a20e",
        "263c:61a4:d339:6a24:7d0a:153d:95c0:68f4",
        "2001:db8:1::10",
        "2001:db8:3:5::99",
        false,
        "2001:db8:2:2663:b745:eceb:8a50:e690",
    ),
    (
        "2001:db8::a8d:f6e7:91d7:e19b",
        "2629:9af6:2bd9:8b5d:ef3a:4382:bd71:4075",
        "2001:db8:1::10",
        "2001:db8:1:7::99",
        true,
        "2001:db8:1:7::8a",
    ),
    (
        "2001:db8::b79:f78f:f63e:96f2",
        "2631:9cd0:a456:8104:11db:eb89:dbcf:d493",
        "2001:db8:1::10",
        "2001:db8:1:7::99",
        true,
        "2001:db8:1:2:443a:f491:443a:f491",
    ),
];

#[test]
fn addresses_are_those_that_linux_chooses() {
    for (source, destination, low, high, persistent, chosen) in CHOSEN_BY_LINUX {
        let (source, destination) = (address(source), address(destination));
        let tuple = Tuple { source, destination, ..tuple(p::UDP, 4000, 53) };
        let range =
            NatRange { addresses: Some((address(low), address(high))), persistent, ..NatRange::default() };
        let got = select_source(&tuple, &range, None, |_| false, &mut counting());
        assert_eq!(got, Ok(Tuple { source: address(chosen), ..tuple }));
    }
}

#[test]
fn rfc_4787_req_3_a_free_port_is_kept_and_one_that_is_not_stays_in_its_class() {
    for (port, class) in
        [(22, 1..=511), (511, 1..=511), (600, 600..=1023), (1023, 600..=1023), (5060, 1024..=65535)]
    {
        let tuple = tuple(p::UDP, port, 53);
        let kept = select_source(&tuple, &outside(), None, |_| false, &mut counting()).expect("free");
        assert_eq!((kept.source, kept.source_port), (address("203.0.113.1"), port));
        let mut random = counting();
        for _ in 0..50 {
            let taken = |reply: &Tuple| reply.destination_port == port;
            let other = select_source(&tuple, &outside(), None, taken, &mut random).expect("others are free");
            assert!(class.contains(&other.source_port) && other.source_port != port, "{other}");
        }
    }
}

#[test]
fn ports_of_a_range_are_tried_and_then_it_says_so() {
    let range = outside().with_ports(PortRange::new(5003, 5000));
    let one = tuple(p::TCP, 4000, 80);
    let free = |port: u16| move |reply: &Tuple| reply.destination_port != port;
    for port in 5000..=5003 {
        let got = select_source(&one, &range, None, free(port), &mut counting()).expect("one is free");
        assert_eq!(got.source_port, port);
    }
    let full = select_source(&one, &range, None, |_| true, &mut counting());
    let ports = PortRange { first: 5000, last: 5003 };
    assert_eq!(full, Err(NatError::Exhausted { tuple: one, ports, attempts: 4 }));
    let single = outside().with_ports(PortRange::new(5000, 5000));
    assert!(select_source(&one, &single, None, |_| true, &mut counting()).is_err());
    // 128, 64, 32, 16 and 8 of a great range.
    let Err(NatError::Exhausted { attempts: 248, .. }) =
        select_source(&one, &outside(), None, |_| true, &mut counting())
    else {
        panic!("more or fewer attempts");
    };
}

#[test]
fn random_ports_come_from_the_caller() {
    for range in [NatRange { random: true, ..outside() }, NatRange { fully_random: true, ..outside() }] {
        let got =
            select_source(&tuple(p::UDP, 4000, 53), &range, None, |_| false, &mut || 10_000).expect("free");
        assert_eq!(got.source_port, 1024 + 10_000);
    }
}

#[test]
fn a_source_keeps_what_it_was_given_before_while_that_makes_no_clash() {
    let previous = Some((address("203.0.113.1"), 61_000));
    let one = tuple(p::UDP, 4000, 53);
    let got = select_source(&one, &outside(), previous, |_| false, &mut counting()).expect("free");
    assert_eq!(got.source_port, 61_000);
    let taken = |reply: &Tuple| reply.destination_port == 61_000;
    let got = select_source(&one, &outside(), previous, taken, &mut counting()).expect("free");
    assert_eq!(got.source_port, 4000);
    let elsewhere = Some((address("203.0.113.9"), 61_000));
    let got = select_source(&one, &outside(), elsewhere, |_| false, &mut counting()).expect("free");
    assert_eq!(got.source_port, 4000);
}

#[test]
fn a_connection_that_is_not_translated_makes_way_for_one_that_is() {
    let one = tuple(p::TCP, 4000, 80);
    let null = NatRange::to_address(one.source);
    assert_eq!(select_source(&one, &null, None, |_| false, &mut counting()), Ok(one));
    let reply = one.reply().expect("TCP");
    let moved = select_source(&one, &null, None, |tuple| *tuple == reply, &mut counting()).expect("free");
    assert_eq!(moved.source, one.source);
    assert_ne!(moved.source_port, one.source_port);
}

#[test]
fn rfc_5508_section_3_1_the_identifier_of_an_echo_is_its_port() {
    let echo = tuple(p::ICMPV4, 77, 0x0800);
    let taken = |reply: &Tuple| reply.source_port == 77;
    let got = select_source(&echo, &outside(), None, taken, &mut || 76).expect("free");
    assert_eq!((got.source_port, got.destination_port), (76, 0x0800));
    let error = tuple(p::ICMPV4, 0, 0x0301);
    assert_eq!(
        select_source(&error, &outside(), None, |_| false, &mut counting()),
        Err(NatError::NoReply { tuple: error })
    );
}

#[test]
fn protocols_without_ports_have_their_addresses_alone() {
    let gre = tuple(p::GRE, 0, 0);
    assert!(select_source(&gre, &outside(), None, |_| false, &mut counting()).is_ok());
    let full = select_source(&gre, &outside(), None, |_| true, &mut counting());
    assert_eq!(full, Err(NatError::AddressTaken { tuple: gre }));
}

#[test]
fn a_destination_goes_where_the_rule_says() {
    let one = tuple(p::TCP, 4000, 8080);
    let inside = NatRange::to_address(address("10.0.0.5"));
    let got = select_destination(&one, &inside, |_| false, &mut counting());
    assert_eq!(got, Ok(Tuple { destination: address("10.0.0.5"), ..one }));
    // A clash is left to the source translation.
    assert_eq!(select_destination(&one, &inside, |_| true, &mut counting()), got);
    let ports = inside.with_ports(PortRange::new(80, 82));
    let taken = |reply: &Tuple| reply.source_port == 80;
    let got = select_destination(&one, &ports, |_| false, &mut counting()).expect("free");
    assert_eq!(got.destination_port, 80);
    let got = select_destination(&one, &ports, taken, &mut counting()).expect("free");
    assert_eq!(got.destination_port, 81);
    assert!(select_destination(&one, &ports, |_| true, &mut counting()).is_ok());
}

proptest! {
    #[test]
    fn replies_are_unique(
        hosts in proptest::collection::vec((0u8..4, prop::sample::select(vec![22u16, 700, 4000, 4001]), 0u8..2), 1..120),
        first in 1024u16..2000, size in 0u16..40, random: bool, seed: u16,
    ) {
        let range = NatRange { random, ..outside().with_ports(PortRange::new(first, first + size)) };
        let mut replies = HashSet::new();
        let mut next = counting();
        let mut random = || next() ^ seed;
        for (host, port, server) in hosts {
            let mut one = tuple(p::UDP, port, 53);
            (one.source[15], one.destination[15]) = (host, server);
            match select_source(&one, &range, None, |reply| replies.contains(reply), &mut random) {
                Ok(got) => {
                    prop_assert!((first..=first + size).contains(&got.source_port));
                    prop_assert!(replies.insert(got.reply().expect("UDP")));
                }
                Err(NatError::Exhausted { .. }) => {
                    let used = replies.iter().filter(|reply| reply.source[15] == server).count();
                    prop_assert_eq!(used, usize::from(size) + 1);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn addresses_stay_in_their_range(source: [u8; 16], destination: [u8; 16], one: [u8; 16], other: [u8; 16], persistent: bool) {
        let (low, high) = (one.min(other), one.max(other));
        let tuple = Tuple { source, destination, ..tuple(p::UDP, 1, 2) };
        let range = NatRange { addresses: Some((low, high)), persistent, ..NatRange::default() };
        let got = select_source(&tuple, &range, None, |_| false, &mut counting()).expect("free");
        // Linux compares word by word, so that within one prefix it stays below the first word that differs.
        prop_assert!(got.source[..4] >= low[..4] && got.source[..4] <= high[..4]);
    }

    #[test]
    fn mappings_and_their_reverse_agree(
        steps in proptest::collection::vec((0u8..4, 0u16..6, 0u8..40), 1..200),
    ) {
        let config = EimConfig { limit: 12, keep_parity: true, ..EimConfig::default() };
        let mut table = EimTable::new(config, Seed::new(1));
        let range = outside().with_ports(PortRange::new(4000, 4015));
        let (mut now, mut random) = (Instant::ZERO, counting());
        let mut held: Vec<Endpoint> = vec![];
        for (what, host, seconds) in steps {
            now += Duration::from_secs(u64::from(seconds));
            let internal = internal(host as u8 / 3, 4000 + host);
            match what {
                0 | 1 => match table.acquire(&internal, &range, |_| false, &mut random, now) {
                    Ok(external) => {
                        prop_assert_eq!(external.port & 1, internal.port & 1);
                        prop_assert_eq!(table.internal(&external, now), Some(internal));
                        held.push(internal);
                    }
                    Err(error) => {
                        let expected = matches!(error, NatError::MappingsFull { .. } | NatError::MappingExhausted { .. });
                        prop_assert!(expected, "{}", error);
                    }
                },
                2 => if let Some(at) = held.iter().position(|one| *one == internal) {
                    table.release(&held.swap_remove(at), now);
                },
                _ => { table.expire(now, 4); }
            }
            prop_assert!(table.len() <= 12);
            let mut externals = HashSet::new();
            for one in &held {
                let external = table.external(one, now);
                prop_assert!(external.is_some(), "a mapping in use is there");
                prop_assert_eq!(external.and_then(|external| table.internal(&external, now)), Some(*one));
                externals.insert(external);
            }
            prop_assert_eq!(externals.len(), held.iter().collect::<HashSet<_>>().len());
        }
    }
}

fn internal(host: u8, port: u16) -> Endpoint {
    let mut address = address("192.0.2.0");
    address[15] = host;
    Endpoint { address, port, protocol: p::UDP }
}

#[test]
fn rfc_4787_req_1_a_port_keeps_its_mapping_for_all_destinations() {
    let mut table = EimTable::new(EimConfig::default(), Seed::new(3));
    let now = Instant::from_secs(5);
    let [one, other] = [internal(1, 4000), internal(2, 4000)];
    let first = table.acquire(&one, &outside(), |_| false, &mut counting(), now).expect("free");
    assert_eq!((first.port, first.address), (4000, address("203.0.113.1")));
    assert_eq!(table.acquire(&one, &outside(), |_| false, &mut counting(), now), Ok(first));
    let second = table.acquire(&other, &outside(), |_| false, &mut counting(), now).expect("another port");
    assert_ne!(second.port, first.port);
    // REQ-9: from inside it is found by its external endpoint.
    assert_eq!(table.internal(&first, now), Some(one));
}

#[test]
fn rfc_4787_req_5_a_mapping_outlives_its_last_connection() {
    let config = EimConfig { timeout: Duration::from_secs(120), ..EimConfig::default() };
    let mut table = EimTable::new(config, Seed::new(3));
    let one = internal(1, 4000);
    let at = Instant::from_secs;
    let external = table.acquire(&one, &outside(), |_| false, &mut counting(), at(0)).expect("free");
    table.acquire(&one, &outside(), |_| false, &mut counting(), at(0)).expect("the same");
    table.release(&one, at(10));
    assert_eq!(table.external(&one, at(9999)), Some(external));
    table.release(&one, at(20));
    assert_eq!(table.external(&one, at(139)), Some(external));
    assert_eq!(table.external(&one, at(140)), None);
    assert_eq!(table.internal(&external, at(140)), None);
    assert_eq!((table.expire(at(139), 9), table.expire(at(140), 9), table.len()), (0, 1, 0));
    assert_eq!(table.counts().expired, 1);
}

#[test]
fn rfc_4787_req_8_filtering_is_a_choice() {
    for (filtering, admitted) in
        [(EimFiltering::AddressAndPortDependent, false), (EimFiltering::EndpointIndependent, true)]
    {
        let config = EimConfig { filtering, ..EimConfig::default() };
        let mut table = EimTable::new(config, Seed::new(3));
        let one = internal(1, 4000);
        let external =
            table.acquire(&one, &outside(), |_| false, &mut counting(), Instant::ZERO).expect("free");
        assert_eq!(table.admits(&external, Instant::ZERO), admitted.then_some(one));
    }
}

#[test]
fn at_the_limit_expired_mappings_go_and_others_stay() {
    let config = EimConfig { limit: 2, ..EimConfig::default() };
    let mut table = EimTable::new(config, Seed::new(3));
    let mut acquire =
        |host, now| table.acquire(&internal(host, 4000), &outside(), |_| false, &mut counting(), now);
    let late = Instant::from_secs(1000);
    acquire(1, Instant::ZERO).expect("free");
    acquire(2, Instant::ZERO).expect("free");
    assert_eq!(acquire(3, late), Err(NatError::MappingsFull { limit: 2 }));
    table.release(&internal(1, 4000), Instant::ZERO);
    table.acquire(&internal(3, 4000), &outside(), |_| false, &mut counting(), late).expect("room again");
    assert_eq!((table.counts().refused, table.counts().expired, table.counts().created), (1, 1, 3));
    let full = table.acquire(&internal(2, 1), &outside(), |_| true, &mut counting(), late);
    assert_eq!(full, Err(NatError::MappingsFull { limit: 2 }));
}

#[test]
fn what_something_else_uses_is_not_given_away() {
    let mut table = EimTable::new(EimConfig::default(), Seed::new(3));
    let full = table.acquire(&internal(1, 4000), &outside(), |_| true, &mut counting(), Instant::ZERO);
    assert_eq!(full, Err(NatError::MappingExhausted { protocol: p::UDP, port: 4000 }));
    assert_eq!((table.counts().exhausted, table.is_empty()), (1, true));
}

/// RFC 4620 4: what stands where other messages have an identifier is what is asked.
#[test]
fn the_question_of_a_node_information_query_stays() {
    let [source, destination, outside] = ["2001:db8::1", "2001:db8::2", "2001:db8:1::1"].map(address);
    let query = |kind| Tuple {
        source,
        destination,
        source_port: 2,
        destination_port: u16::from_be_bytes([kind, 0]),
        protocol: p::ICMPV6,
    };
    let random = NatRange { random: true, ..NatRange::to_address(outside) };
    for (kind, stays) in [(128, false), (139, true)] {
        for range in [random, NatRange::to_address(outside).with_ports(PortRange::new(4000, 4100))] {
            let chosen = select_source(&query(kind), &range, None, |_| false, &mut counting()).unwrap();
            assert_eq!((chosen.source, chosen.source_port == 2), (outside, stays), "{kind}");
        }
    }
}
