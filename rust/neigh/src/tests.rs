use super::*;
use netfast_buf::{PacketPool, Skb};
use netfast_time::{Duration, Instant};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::IpAddr;

const MAC: Mac = [2, 0, 0, 0, 0, 1];

fn address(last: u8) -> IpAddr {
    match last % 2 {
        0 => [192, 0, 2, last].into(),
        _ => std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(last)).into(),
    }
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

fn table(config: NeighbourConfig) -> Neighbours {
    Neighbours::new(config, 7)
}

fn refused(packet: Skb, why: Released) {
    panic!("{} was released: {why:?}", packet.hot.flow);
}

#[test]
fn what_waits_is_given_back_in_order_and_the_neighbour_is_asked_for_once() {
    let mut table = table(NeighbourConfig::default());
    let unresolved = Unresolved { port: 1, address: address(9) };
    assert_eq!(table.hold(at(1), 1, address(9), packet(1, 60), refused), Some(unresolved));
    assert_eq!(table.hold(at(1), 1, address(9), packet(2, 60), refused), None);
    assert!(table.hold(at(1), 2, address(9), packet(3, 60), refused).is_some(), "another port");
    assert_eq!((table.holding(), table.pending().count()), (3, 2));
    let waited = table.set(1, address(9), MAC).unwrap();
    assert_eq!(waited.iter().map(|packet| packet.hot.flow).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((table.resolve(1, address(9)), table.resolve(2, address(9))), (Some(MAC), None));
    let mut known = None;
    assert_eq!(table.hold(at(2), 1, address(9), packet(4, 60), |_, why| known = Some(why)), None);
    assert_eq!(known, Some(Released::Known(MAC)));
    assert!(table.remove(1, address(9)) && !table.remove(1, address(9)));
    assert!(table.hold(at(2), 1, address(9), packet(5, 60), refused).is_some(), "asked for anew");
}

#[test]
fn at_each_limit_the_oldest_gives_way() {
    let config =
        NeighbourConfig { queue_packets: 3, queue_bytes: 200, max_pending: 2, ..NeighbourConfig::default() };
    let mut table = table(config);
    let mut hold = |number, length, neighbour| {
        let mut out = Vec::new();
        table
            .hold(at(1), 0, address(neighbour), packet(number, length), |p, why| out.push((p.hot.flow, why)));
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
    assert_eq!(table.holding(), 2);
}

#[test]
fn a_neighbour_that_is_not_set_in_time_gives_its_packets_back() {
    let mut table = table(NeighbourConfig::default());
    assert_eq!(table.next_timeout(), None);
    table.hold(at(10), 0, address(1), packet(1, 60), refused);
    table.hold(at(11), 0, address(2), packet(2, 60), refused);
    // Later packets do not make it longer, nor does a clock that goes back.
    table.hold(at(12), 0, address(1), packet(3, 60), refused);
    table.hold(at(5), 0, address(3), packet(4, 60), refused);
    assert_eq!((table.counters().clock_went_back, table.next_timeout()), (1, Some(at(13))));
    assert!(table.poll_expired(at(13) - Duration::from_nanos(1)).is_none());
    let expired = table.poll_expired(at(13)).unwrap();
    assert_eq!((expired.address, expired.packets.len()), (address(1), 2));
    assert!(table.poll_expired(at(13)).is_none());
    let left: Vec<_> = std::iter::from_fn(|| table.poll_expired(at(15))).map(|e| e.address).collect();
    assert_eq!((left, table.holding()), (vec![address(2), address(3)], 0));
}

#[test]
fn a_full_table_refuses_new_entries_and_stays_as_it_is() {
    let mut table = table(NeighbourConfig { max_entries: 1, ..NeighbourConfig::default() });
    table.set(0, address(1), MAC).unwrap();
    table.hold(at(1), 0, address(2), packet(1, 60), refused);
    let full = NeighError::TableFull { address: address(2), limit: 1 };
    assert_eq!(table.set(0, address(2), MAC).unwrap_err(), full);
    assert_eq!((table.len(), table.holding(), table.counters().refused), (1, 1, 1));
    assert!(table.set(0, address(1), [4; 6]).is_ok(), "a known one may change");
    for group in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"] {
        let address: IpAddr = group.parse().unwrap();
        assert_eq!(table.set(0, address, MAC).unwrap_err(), NeighError::NotUnicast { address });
    }
}

#[test]
fn changes_name_each_slot_once_and_generations_tell_them_apart() {
    let mut table = table(NeighbourConfig::default());
    table.set(0, address(1), MAC).unwrap();
    table.set(0, address(2), MAC).unwrap();
    let [one, two] = [1, 2].map(|last| table.entry(0, address(last)).unwrap().slot);
    assert_eq!(table.changes().collect::<Vec<_>>(), [one, two]);
    let before = table.generation();
    table.set(0, address(1), MAC).unwrap();
    assert_eq!((table.generation(), table.changes().len()), (before, 0), "nothing changed");
    table.set(0, address(1), [4; 6]).unwrap();
    table.remove(0, address(1));
    assert_eq!(table.changes().collect::<Vec<_>>(), [one]);
    assert!(table.slot_generation(one) > before && table.slot_generation(two) <= before);
    table.set(0, address(3), MAC).unwrap();
    assert_eq!(table.entry(0, address(3)).unwrap().slot, one, "a free slot is used again");
    assert_eq!((table.changes().collect::<Vec<_>>(), table.slot_generation(99)), (vec![one], 0));
}

type Key = (u32, IpAddr);

/// What the table should hold, written the obvious way.
#[derive(Default)]
struct Model {
    entries: HashMap<Key, Mac>,
    /// Neighbours in the order in which they were first waited for.
    waiting: Vec<(Key, Instant, Packets)>,
}

/// Number and length of each.
type Packets = Vec<(u32, usize)>;

const LIMITS: NeighbourConfig = NeighbourConfig {
    max_entries: 6,
    queue_packets: 3,
    queue_bytes: 300,
    max_pending: 4,
    pending_timeout: Duration::from_secs(3),
};

impl Model {
    fn hold(&mut self, now: Instant, key: Key, number: u32, length: usize) -> Vec<(u32, Released)> {
        if let Some(&mac) = self.entries.get(&key) {
            return vec![(number, Released::Known(mac))];
        }
        if length as u64 > LIMITS.queue_bytes {
            return vec![(number, Released::QueueFull)];
        }
        let mut out = Vec::new();
        if !self.waiting.iter().any(|(waited, ..)| *waited == key) {
            if self.waiting.len() == LIMITS.max_pending {
                let (.., packets) = self.waiting.remove(0);
                out.extend(packets.iter().map(|&(number, _)| (number, Released::Displaced)));
            }
            self.waiting.push((key, now, Vec::new()));
        }
        let (.., packets) = self.waiting.iter_mut().find(|(waited, ..)| *waited == key).unwrap();
        packets.push((number, length));
        while packets.len() > LIMITS.queue_packets
            || packets.iter().map(|p| p.1 as u64).sum::<u64>() > LIMITS.queue_bytes
        {
            out.push((packets.remove(0).0, Released::QueueFull));
        }
        out
    }

    fn take(&mut self, key: Key) -> Vec<u32> {
        let found = self.waiting.iter().position(|(waited, ..)| *waited == key);
        found.map_or_else(Vec::new, |at| self.waiting.remove(at).2.iter().map(|p| p.0).collect())
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Hold(usize),
    Set(u8),
    Remove,
    Pass(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (0..330usize).prop_map(Operation::Hold),
        1 => any::<u8>().prop_map(Operation::Set),
        1 => Just(Operation::Remove),
        2 => (0..2_000u64).prop_map(Operation::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_table_agrees_with_the_model_and_no_packet_is_lost(
        operations in prop::collection::vec((0..2u32, 0..10u8, operation()), 1..150),
    ) {
        let (mut table, mut model, mut now) = (table(LIMITS), Model::default(), at(1));
        let (mut made, mut back) = (0u32, 0usize);
        for (port, last, operation) in operations {
            let key = (port, address(last));
            match operation {
                Operation::Hold(length) => {
                    made += 1;
                    let mut out = Vec::new();
                    let asked = model.waiting.iter().any(|(waited, ..)| *waited == key);
                    let new = table.hold(now, port, key.1, packet(made, length), |p, why| out.push((p.hot.flow, why)));
                    let expected = model.hold(now, key, made, length);
                    let waits = model.waiting.iter().any(|(waited, ..)| *waited == key);
                    prop_assert_eq!(new.is_some(), waits && !asked);
                    back += out.len();
                    prop_assert_eq!(out, expected);
                }
                Operation::Set(mac) => {
                    let result = table.set(port, key.1, [mac; 6]);
                    if model.entries.len() < LIMITS.max_entries || model.entries.contains_key(&key) {
                        model.entries.insert(key, [mac; 6]);
                        let out: Vec<_> = result.unwrap().iter().map(|p| p.hot.flow).collect();
                        back += out.len();
                        prop_assert_eq!(out, model.take(key));
                    } else {
                        prop_assert!(result.is_err());
                    }
                }
                Operation::Remove => prop_assert_eq!(table.remove(port, key.1), model.entries.remove(&key).is_some()),
                Operation::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    while let Some(expired) = table.poll_expired(now) {
                        let key = (expired.port, expired.address);
                        prop_assert_eq!(key, model.waiting[0].0);
                        prop_assert!(model.waiting[0].1 + LIMITS.pending_timeout <= now);
                        let out: Vec<_> = expired.packets.iter().map(|p| p.hot.flow).collect();
                        back += out.len();
                        prop_assert_eq!(out, model.take(key));
                    }
                    prop_assert!(model.waiting.iter().all(|(_, since, _)| *since + LIMITS.pending_timeout > now));
                }
            }
            prop_assert_eq!(made as usize, back + table.holding());
            let entries: HashMap<_, _> = table.iter().map(|e| ((e.port, e.address), e.mac)).collect();
            prop_assert_eq!(&entries, &model.entries);
            prop_assert!(entries.iter().all(|(key, mac)| table.resolve(key.0, key.1) == Some(*mac)));
        }
        let counters = table.counters();
        let released = counters.resolved + counters.queue_full + counters.displaced + counters.expired;
        prop_assert_eq!(counters.held, released + table.holding() as u64);
    }
}
