//! The table: queues, limits, states.
mod messages;
mod model;
mod states;

use super::*;
use netfast_buf::{PacketPool, Skb};
use netfast_time::{Duration, Instant};
use std::net::{IpAddr, Ipv6Addr};

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const OTHER: Mac = [2, 0, 0, 0, 0, 2];

fn address(last: u8) -> IpAddr {
    match last % 2 {
        0 => [192, 0, 2, last].into(),
        _ => v6(u128::from(last)),
    }
}

fn v6(last: u128) -> IpAddr {
    Ipv6Addr::from(0x2001_0db8_u128 << 96 | last).into()
}

/// A packet that is told by its flow number.
fn packet(number: u32, length: usize) -> Skb {
    let mut packet = Skb::from_slice(&vec![0; length], &mut PacketPool::default()).unwrap();
    packet.hot.flow = number;
    packet
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn table(config: NeighbourConfig) -> Neighbours {
    Neighbours::new(config, 7)
}

fn refused(packet: Skb, why: Released) {
    panic!("{} was released: {why:?}", packet.hot.flow);
}

fn numbers(packets: &[Skb]) -> Vec<u32> {
    packets.iter().map(|packet| packet.hot.flow).collect()
}

/// All that time brings.
fn due(table: &mut Neighbours, now: Instant) -> Vec<Due> {
    let mut budget = usize::MAX;
    std::iter::from_fn(|| table.poll(now, &mut budget)).collect()
}

/// Those that failed, with their packets.
fn failed(table: &mut Neighbours, now: Instant) -> Vec<(IpAddr, Vec<u32>)> {
    let failed = |due| match due {
        Due::Failed(expired) => Some((expired.address, numbers(&expired.packets))),
        _ => None,
    };
    due(table, now).into_iter().filter_map(failed).collect()
}

#[test]
fn what_waits_is_given_back_in_order_and_the_neighbour_is_asked_for_once() {
    let mut table = table(NeighbourConfig::default());
    let unresolved = Unresolved { port: 1, address: address(9) };
    assert_eq!(table.hold(at(1), 1, address(9), packet(1, 60), true, refused), Some(unresolved));
    assert_eq!(table.hold(at(1), 1, address(9), packet(2, 60), true, refused), None);
    assert!(table.hold(at(1), 2, address(9), packet(3, 60), true, refused).is_some(), "another port");
    assert_eq!((table.holding(), table.pending().count()), (3, 2));
    assert_eq!(table.first_waiting(1, address(9)).unwrap().hot.flow, 1);
    let (waited, _) = table.set(1, address(9), MAC).unwrap();
    assert_eq!(numbers(&waited), [1, 2]);
    assert_eq!(table.resolve(1, address(9)).unwrap().0, MAC);
    assert_eq!(table.resolve(2, address(9)), None);
    let mut known = None;
    assert_eq!(table.hold(at(2), 1, address(9), packet(4, 60), true, |_, why| known = Some(why)), None);
    assert_eq!(known, Some(Released::Known(MAC)));
    assert!(table.remove(1, address(9)).is_some() && table.remove(1, address(9)).is_none());
    assert!(table.hold(at(2), 1, address(9), packet(5, 60), true, refused).is_some(), "asked for anew");
}

#[test]
fn at_each_limit_of_queues_the_oldest_gives_way() {
    let config =
        NeighbourConfig { queue_packets: 3, queue_bytes: 200, max_pending: 2, ..NeighbourConfig::default() };
    let mut table = table(config);
    let mut hold = |number, length, neighbour| {
        let mut out = Vec::new();
        table.hold(at(1), 0, address(neighbour), packet(number, length), true, |p, why| {
            out.push((p.hot.flow, why))
        });
        out
    };
    assert_eq!(hold(0, 201, 1), [(0, Released::QueueFull)], "longer than all that may wait");
    for number in 1..=3 {
        assert_eq!(hold(number, 50, 1), []);
    }
    assert_eq!(hold(4, 50, 1), [(1, Released::QueueFull)]);
    assert_eq!(hold(5, 150, 1), [(2, Released::QueueFull), (3, Released::QueueFull)]);
    assert_eq!(hold(6, 50, 2), []);
    assert_eq!(hold(7, 50, 3), [(4, Released::Displaced), (5, Released::Displaced)]);
    let counters = table.counters();
    assert_eq!((counters.not_held, counters.queue_full, counters.displaced, counters.held), (1, 3, 2, 7));
    assert_eq!((table.holding(), counters.pending_displaced), (2, 1));
}

#[test]
fn a_neighbour_that_does_not_answer_in_time_gives_its_packets_back() {
    let mut table = table(NeighbourConfig::default());
    assert_eq!(table.next_timeout(), None);
    table.hold(at(10), 0, address(1), packet(1, 60), true, refused);
    table.hold(at(11), 0, address(2), packet(2, 60), true, refused);
    // Later packets do not make it longer, nor does a clock that goes back.
    table.hold(at(12), 0, address(1), packet(3, 60), true, refused);
    table.hold(at(5), 0, address(3), packet(4, 60), true, refused);
    assert_eq!(table.counters().clock_went_back, 1);
    assert_eq!(failed(&mut table, at(13) - Duration::from_nanos(1)), []);
    assert_eq!(table.next_timeout(), Some(at(13)));
    assert_eq!(failed(&mut table, at(13)), [(address(1), vec![1, 3])]);
    assert_eq!(failed(&mut table, at(15)), [(address(2), vec![2]), (address(3), vec![4])]);
    assert_eq!((table.holding(), table.counters().failed), (0, 3));
    assert_eq!(table.entry(0, address(1)).unwrap().state, State::Failed);
}

#[test]
fn a_full_table_of_set_neighbours_refuses_new_ones_and_stays_as_it_is() {
    let mut table = table(NeighbourConfig { max_entries: 1, ..NeighbourConfig::default() });
    table.set(0, address(1), MAC).unwrap();
    table.hold(at(1), 0, address(2), packet(1, 60), true, refused);
    let full = NeighError::TableFull { address: address(2), limit: 1 };
    assert_eq!(table.set(0, address(2), MAC).unwrap_err(), full);
    assert_eq!((table.len(), table.holding(), table.counters().refused), (1, 1, 1));
    assert!(table.handle_solicitation(at(1), 0, address(2), MAC).change.is_none());
    assert_eq!((table.holding(), table.counters().refused), (1, 2));
    assert!(table.set(0, address(1), [4; 6]).is_ok(), "a known one may change");
    for group in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"] {
        let address: IpAddr = group.parse().unwrap();
        assert_eq!(table.set(0, address, MAC).unwrap_err(), NeighError::NotUnicast { address });
        assert!(table.handle_solicitation(at(1), 0, address, MAC).change.is_none());
    }
}

#[test]
fn a_port_that_goes_takes_its_neighbours_along() {
    let mut table = table(NeighbourConfig::default());
    table.set(0, address(1), MAC).unwrap();
    table.set(1, address(1), MAC).unwrap();
    table.hold(at(1), 0, address(2), packet(1, 60), true, refused);
    table.hold(at(1), 1, address(2), packet(2, 60), true, refused);
    assert_eq!(numbers(&table.remove_port(0)), [1]);
    assert_eq!((table.len(), table.holding(), table.total()), (1, 1, 2));
    assert_eq!(failed(&mut table, at(4)), [(address(2), vec![2])]);
}

/// Of a scan from one side the others notice nothing: neither those that are asked for, nor those that ask.
#[test]
fn a_scan_displaces_neither_reachable_nor_set_neighbours() {
    let config = NeighbourConfig { max_entries: 100, max_pending: 16, ..NeighbourConfig::default() };
    let mut table = table(config);
    for last in 0..10 {
        table.set(0, v6(last), MAC).unwrap();
    }
    let answer = Advertised { mac: Some(MAC), solicited: true, overrides: true, is_router: Some(false) };
    for last in 10..50 {
        table.hold(at(1), 0, v6(last), packet(last as u32, 60), true, refused);
        assert!(table.handle_advertisement(at(1), 0, v6(last), &answer).change.is_some());
    }
    for last in 0..10_000 {
        let mut gone = Vec::new();
        table.hold(at(2), 0, v6(1_000 + last), packet(0, 60), true, |_, why| gone.push(why));
        assert_eq!(gone, if last < 16 { vec![] } else { vec![Released::Displaced] });
        let update = table.handle_solicitation(at(2), 0, v6(100_000 + last), OTHER);
        assert_eq!(
            update.displaced.map(|entry| entry.address),
            (last >= 50).then(|| v6(100_000 + last - 50))
        );
    }
    assert!((0..50).all(|last| table.resolve(0, v6(last)).is_some()), "nobody lost a place");
    assert_eq!((table.len(), table.total(), table.holding()), (100, 116, 16));
    let counters = table.counters();
    assert_eq!((counters.stale_displaced, counters.pending_displaced), (9_950, 9_984));
    assert_eq!(failed(&mut table, at(5)).len(), 16);
    // Of those that did not answer new ones take the places.
    for last in 0..16 {
        table.hold(at(5), 0, v6(5_000 + last), packet(0, 60), true, refused);
    }
    assert_eq!((table.total(), table.counters().pending_displaced), (116, 9_984));
}

#[test]
fn a_hundred_thousand_neighbours_are_found_go_stale_and_are_forgotten() {
    const COUNT: u128 = 100_000;
    let config = NeighbourConfig { max_entries: 100_000, ..NeighbourConfig::default() };
    let mut table = table(config);
    let answer = Advertised { mac: Some(MAC), solicited: true, overrides: true, is_router: Some(false) };
    for last in 0..COUNT {
        table.hold(at(1), 0, v6(last), packet(0, 60), true, refused);
        table.handle_advertisement(at(1), 0, v6(last), &answer);
    }
    assert_eq!(table.len() as u128, COUNT);
    assert!((0..COUNT).all(|last| table.resolve(0, v6(last)).is_some_and(|(mac, _)| mac == MAC)));
    // A budget is all that a call takes, and what is left is due at once.
    let mut budget = 1_000;
    assert!(table.poll(at(60), &mut budget).is_none());
    assert_eq!((budget, table.stale(), table.next_timeout()), (0, 1_000, Some(at(60))));
    assert!(due(&mut table, at(60)).is_empty());
    assert_eq!(table.stale() as u128, COUNT);
    let removed = due(&mut table, at(200));
    assert!(removed.iter().all(|due| matches!(due, Due::Removed(_))));
    assert_eq!((removed.len(), table.len()), (100_000 - 128, 128), "a few stay");
    assert_eq!(table.counters().stale_removed, 100_000 - 128);
}
