//! Faults between two ports in memory.
use proptest::prelude::*;

use super::*;
use crate::device::memory::{MemoryLink, MemoryOptions};

fn link() -> (MemoryLink, MemoryLink) {
    MemoryLink::pair(MemoryOptions { packets: 4_096, ..MemoryOptions::default() }).unwrap()
}

/// A frame that says its number behind the link header.
fn frame(number: u64, pool: &mut PacketPool) -> Skb {
    let mut bytes = vec![0; 14];
    bytes.extend_from_slice(&number.to_be_bytes());
    Skb::from_slice(&bytes, pool).unwrap()
}

fn number(packet: &Skb) -> u64 {
    u64::from_be_bytes(packet.to_vec()[14..22].try_into().unwrap())
}

/// A device with faults on what it sends, and what arrives behind it.
struct Wire {
    device: FaultInjector<MemoryLink>,
    far: MemoryLink,
    pool: PacketPool,
    sent: u64,
}

impl Wire {
    fn new(faults: Faults, seed: u64) -> Self {
        let (near, far) = link();
        let device = FaultInjector::new(near, Faults::NONE, faults, seed).unwrap();
        Self { device, far, pool: PacketPool::default(), sent: 0 }
    }

    fn send(&mut self, now: Instant, count: u64) {
        let mut queue: VecDeque<Skb> =
            (self.sent..self.sent + count).map(|number| frame(number, &mut self.pool)).collect();
        self.sent += count;
        self.device.transmit(now, &mut queue, &mut self.pool).unwrap();
        assert!(queue.is_empty());
    }

    fn arrived(&mut self, now: Instant) -> Vec<Skb> {
        self.device.transmit(now, &mut VecDeque::new(), &mut self.pool).unwrap();
        let (mut batch, mut all) = (PacketBatch::new(), Vec::new());
        loop {
            let found = self.far.receive(now, &mut batch, &mut self.pool).unwrap();
            batch.hand_over(&mut all);
            if found != Received::More {
                return all;
            }
        }
    }

    fn numbers(&mut self, now: Instant) -> Vec<u64> {
        self.arrived(now).iter().map(number).collect()
    }

    fn counters(&self) -> FaultCounters {
        let counters = self.device.fault_counters()[1];
        let FaultCounters { packets, duplicated, cut, passed, lost, overflow, waiting, .. } = counters;
        assert_eq!(packets + duplicated + cut, passed + lost + overflow + waiting, "{counters:?}");
        counters
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const START: Instant = Instant::from_secs(100);

#[test]
fn without_faults_everything_goes_on_in_order() {
    let mut wire = Wire::new(Faults::NONE, 1);
    wire.send(START, 300);
    assert!(wire.numbers(START).into_iter().eq(0..300));
    assert_eq!((wire.counters().passed, wire.device.in_flight()), (300, 0));
    assert_eq!((wire.device.next_timeout(), wire.device.counters().sent), (None, 300));
}

#[test]
fn shares_are_met_and_the_same_seed_does_the_same() {
    let faults = Faults { loss: 0.1, duplicate: 0.05, corrupt: 0.02, ..Faults::NONE };
    let run = |seed, step: u64| {
        let mut wire = Wire::new(Faults { limit: 1, ..faults }, seed);
        for _ in 0..3_000 / step {
            wire.send(START, step);
        }
        let bytes: Vec<_> = wire.arrived(START).iter().map(Skb::to_vec).collect();
        (bytes, wire.counters())
    };
    let (bytes, counters) = run(7, 3_000);
    assert!((240..=360).contains(&counters.lost), "{counters:?}");
    assert!((90..=180).contains(&counters.duplicated), "{counters:?}");
    assert!((30..=90).contains(&counters.corrupted), "{counters:?}");
    assert_eq!(run(7, 10), (bytes.clone(), counters), "however they are batched");
    assert_ne!(run(8, 3_000).0, bytes);
}

#[test]
fn a_delay_is_told_and_kept() {
    let mut wire = Wire::new(Faults { delay: ms(30), ..Faults::NONE }, 1);
    wire.send(START, 2);
    wire.send(START + ms(1), 1);
    assert_eq!((wire.device.next_timeout(), wire.device.in_flight()), (Some(START + ms(30)), 3));
    assert_eq!(wire.numbers(START + ms(29)), [] as [u64; 0]);
    assert_eq!(wire.numbers(START + ms(30)), [0, 1]);
    assert_eq!(wire.numbers(START + ms(31)), [2]);
    assert_eq!(wire.device.next_timeout(), None);
}

#[test]
fn jitter_stays_within_its_bounds_and_reorders() {
    let mut wire = Wire::new(Faults { delay: ms(20), jitter: ms(5), ..Faults::NONE }, 3);
    wire.send(START, 500);
    assert!(wire.numbers(START + ms(14)).is_empty());
    let early = wire.numbers(START + ms(20));
    assert!((200..=300).contains(&early.len()), "{}", early.len());
    assert!(!early.is_sorted());
    assert_eq!(early.len() + wire.numbers(START + ms(25)).len(), 500);
}

#[test]
fn a_reordered_packet_is_overtaken_by_so_many_or_waits_for_a_time() {
    let mut wire = Wire::new(Faults { reorder: 0.02, reorder_gap: 3, ..Faults::NONE }, 5);
    wire.send(START, 1_000);
    let mut all = wire.numbers(START);
    let (reordered, left) = (wire.counters().reordered, wire.device.in_flight());
    assert!((8..=40).contains(&reordered), "{reordered}");
    let late = (0..all.len()).filter(|&at| all[at] < all[..at].iter().copied().max().unwrap_or(0));
    for at in late {
        let overtook = all[..at].iter().filter(|&&other| other > all[at]).count();
        assert!((3..=5).contains(&overtook), "{overtook}");
    }
    wire.device.set_faults(Faults::NONE, Faults { reorder: 1.0, ..Faults::NONE }).unwrap();
    wire.send(START, 2);
    assert_eq!(wire.device.next_timeout(), Some(START + REORDER_TIME));
    all.extend(wire.numbers(START + REORDER_TIME));
    all.sort_unstable();
    assert!(all.into_iter().eq(0..1_002), "{left}");
}

#[test]
fn damage_is_one_bit_behind_the_link_header() {
    let mut wire = Wire::new(Faults { corrupt: 1.0, ..Faults::NONE }, 9);
    wire.send(START, 200);
    let mut bits = std::collections::HashSet::new();
    for (number, packet) in wire.arrived(START).iter().enumerate() {
        let (bytes, was) = (packet.to_vec(), frame(number as u64, &mut PacketPool::default()).to_vec());
        let changed: Vec<_> = (0..22).filter(|&at| bytes[at] != was[at]).collect();
        assert!(changed.len() == 1 && changed[0] >= 14, "{changed:?}");
        let bit = bytes[changed[0]] ^ was[changed[0]];
        assert_eq!(bit.count_ones(), 1);
        bits.insert((changed[0], bit));
    }
    assert!(bits.len() > 40, "{}", bits.len());
}

#[test]
fn who_finds_as_many_as_may_wait_is_lost() {
    let mut wire = Wire::new(Faults { delay: ms(10), limit: 5, ..Faults::NONE }, 1);
    wire.send(START, 8);
    assert_eq!((wire.counters().overflow, wire.counters().waiting), (3, 5));
    assert_eq!(wire.device.counters().dropped_out[DeviceReason::Injected as usize], 3);
    assert_eq!(wire.numbers(START + ms(10)), [0, 1, 2, 3, 4]);
    wire.send(START + ms(10), 2);
    wire.device.close(&mut PacketPool::default()).unwrap();
    assert_eq!((wire.counters().overflow, wire.device.in_flight()), (5, 0));
}

#[test]
fn what_comes_meets_faults_as_well() {
    let (near, mut far) = link();
    let faults = Faults { loss: 0.5, delay: ms(5), ..Faults::NONE };
    let mut device = FaultInjector::new(near, faults, Faults::NONE, 2).unwrap();
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let mut queue: VecDeque<Skb> = (0..600).map(|number| frame(number, &mut pool)).collect();
    far.transmit(START, &mut queue, &mut pool).unwrap();
    drop(far);
    let mut found = device.receive(START, &mut batch, &mut pool).unwrap();
    for _ in 0..3 {
        assert!(batch.is_empty());
        found = device.receive(START, &mut batch, &mut pool).unwrap();
    }
    assert_eq!((found, device.next_timeout()), (Received::Empty, Some(START + ms(5))), "not yet the end");
    let mut all = Vec::new();
    for _ in 0..9 {
        found = device.receive(START + ms(5), &mut batch, &mut pool).unwrap();
        batch.hand_over(&mut all);
    }
    assert_eq!((found, device.next_timeout()), (Received::End, None));
    let counters = device.counters();
    assert_eq!(counters.received, all.len() as u64);
    assert_eq!(counters.received + counters.dropped_in[DeviceReason::Injected as usize], 600);
    assert!((250..=350).contains(&all.len()) && all.iter().map(number).is_sorted());
}

#[test]
fn a_device_that_takes_no_more_holds_up_the_sender() {
    let (near, mut far) =
        MemoryLink::pair(MemoryOptions { packets: 10, ..MemoryOptions::default() }).unwrap();
    let faults = Faults { limit: 4, ..Faults::NONE };
    let mut device = FaultInjector::new(near, Faults::NONE, faults, 2).unwrap();
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let mut queue: VecDeque<Skb> = (0..600).map(|number| frame(number, &mut pool)).collect();
    device.transmit(START, &mut queue, &mut pool).unwrap();
    assert_eq!((queue.len(), device.in_flight()), (600 - 256, 246));
    assert_eq!(device.next_timeout(), Some(START + RETRY));
    let mut all = Vec::new();
    for _ in 0..80 {
        far.receive(START, &mut batch, &mut pool).unwrap();
        all.extend(batch.drain().map(|packet| number(&packet)));
        device.transmit(START, &mut queue, &mut pool).unwrap();
    }
    assert!(all.into_iter().eq(0..600), "none of them was lost");
}

#[test]
fn who_is_asked_to_send_asks_the_device() {
    use crate::device::capture::{CaptureFile, CaptureOptions};
    let folder = crate::device::testing::Folder::new();
    let file = folder.file("a.pcapng");
    CaptureFile::open(CaptureOptions::record(&file)).unwrap().close(&mut PacketPool::default()).unwrap();
    let replay = CaptureFile::open(CaptureOptions::replay(&file)).unwrap();
    let mut device = FaultInjector::new(replay, Faults::NONE, Faults::NONE, 0).unwrap();
    assert!(device.next_timeout().unwrap() < START);
    device.transmit(START, &mut VecDeque::new(), &mut PacketPool::default()).unwrap();
    assert!(device.next_timeout().unwrap() > START, "a port whose reading pauses would be asked for ever");
}

#[test]
fn shares_beyond_their_bounds_are_refused() {
    for faults in [
        Faults { loss: 1.5, ..Faults::NONE },
        Faults { corrupt: f64::NAN, ..Faults::NONE },
        Faults { reorder: -0.1, ..Faults::NONE },
        Faults { reorder_gap: 0, ..Faults::NONE },
        Faults { limit: 0, ..Faults::NONE },
    ] {
        let refused = FaultInjector::new(link().0, faults, Faults::NONE, 0);
        assert!(matches!(refused, Err(DeviceError::Setting { .. })), "{faults:?}");
    }
}

proptest! {
    #[test]
    fn sums_hold_whatever_the_faults(
        (loss, duplicate, reorder, corrupt) in (0.0..=1.0, 0.0..=1.0, 0.0..=1.0, 0.0..=1.0),
        (delay, jitter, limit, gap) in (0u64..20, 0u64..20, 1usize..50, 1u32..5),
        bursts in prop::collection::vec((0u64..30, 0u64..10), 1..20),
        seed: u64,
    ) {
        let faults = Faults {
            loss, duplicate, reorder, corrupt, limit,
            reorder_gap: gap, delay: ms(delay), jitter: ms(jitter),
        };
        let (mut wire, mut now, mut arrived) = (Wire::new(faults, seed), START, 0);
        for (count, pause) in bursts {
            wire.send(now, count);
            now += ms(pause);
            arrived += wire.arrived(now).len() as u64;
            prop_assert!(wire.counters().waiting <= limit as u64);
            prop_assert!(wire.device.next_timeout().is_none_or(|due| due > now));
        }
        arrived += wire.arrived(now + ms(1_000)).len() as u64;
        prop_assert_eq!((wire.counters().passed, wire.counters().waiting), (arrived, 0));
    }
}
