//! Two ends and what is between them.
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

fn pair(packets: usize) -> (MemoryLink, MemoryLink) {
    MemoryLink::pair(MemoryOptions { packets, ..MemoryOptions::default() }).unwrap()
}

fn frames(count: usize, pool: &mut PacketPool) -> VecDeque<Skb> {
    (0..count).map(|number| Skb::from_slice(&(number as u64).to_be_bytes(), pool).unwrap()).collect()
}

/// Readable, writable.
fn state(end: &MemoryLink) -> (bool, bool) {
    let mut polled = [PollFd::from_borrowed_fd(end.descriptor().unwrap(), PollFlags::IN | PollFlags::OUT)];
    let now = Timespec::try_from(Duration::ZERO).unwrap();
    poll(&mut polled, Some(&now)).unwrap();
    let told = polled[0].revents();
    (told.contains(PollFlags::IN), told.contains(PollFlags::OUT))
}

fn numbers(batch: &mut PacketBatch) -> Vec<u64> {
    batch.drain().map(|packet| u64::from_be_bytes(packet.to_vec().try_into().unwrap())).collect()
}

#[test]
fn descriptors_say_what_can_be_done() {
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let (mut a, mut b) = pair(4);
    assert_eq!((state(&a), state(&b)), ((false, true), (false, true)));
    let mut queue = frames(3, &mut pool);
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    assert_eq!((state(&a), state(&b), queue.len()), ((false, true), (true, true), 0));
    queue = frames(3, &mut pool);
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    assert_eq!((state(&a), state(&b), queue.len()), ((false, false), (true, true), 2));
    assert_eq!(a.counters().blocked, 1);
    let now = Instant::from_secs(5);
    assert_eq!(b.receive(now, &mut batch, &mut pool).unwrap(), Received::Empty);
    assert!(batch.packets().iter().all(|packet| packet.hot.timestamp == now));
    assert_eq!(numbers(&mut batch), [0, 1, 2, 0]);
    assert_eq!((state(&a), state(&b)), ((false, true), (false, true)));
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    assert_eq!((state(&b), queue.len()), ((true, true), 0));
}

#[test]
fn half_of_a_queue_that_was_full_is_enough_to_go_on() {
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let (mut a, mut b) = pair(600);
    let mut queue = frames(700, &mut pool);
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    assert_eq!((queue.len(), state(&a).1), (100, false));
    assert_eq!(b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap(), Received::More);
    assert_eq!((state(&a).1, state(&b).0), (false, true), "344 of 600 are left");
    batch.clear();
    b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
    assert_eq!((state(&a).1, state(&b).0), (true, true), "88 of 600 are left");
}

#[test]
fn an_end_that_is_dropped_ends_the_other() {
    let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
    let (mut a, mut b) = pair(2);
    let mut queue = frames(3, &mut pool);
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    assert!(!state(&a).1 && b.link().up);
    drop(a);
    assert!(state(&b).0 && !b.link().up);
    assert_eq!(b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap(), Received::End);
    assert_eq!(numbers(&mut batch), [0, 1]);
    let mut back = frames(2, &mut pool);
    b.transmit(Instant::ZERO, &mut back, &mut pool).unwrap();
    assert_eq!(b.counters().dropped_out[DeviceReason::LinkDown as usize], 2);
}

#[test]
fn an_end_that_is_closed_lets_the_other_go_on() {
    let mut pool = PacketPool::default();
    let (mut a, mut b) = pair(2);
    let mut queue = frames(3, &mut pool);
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    b.close(&mut pool).unwrap();
    assert_eq!(b.counters().dropped_in[DeviceReason::LinkDown as usize], 2);
    assert_eq!((state(&a), b.descriptor().is_none()), ((true, true), true));
    a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
    let counters = a.counters();
    assert_eq!((counters.sent, counters.dropped_out[DeviceReason::LinkDown as usize]), (2, 1));
}

#[test]
fn two_threads_lose_nothing() {
    const COUNT: usize = 20_000;
    let (mut a, mut b) = pair(64);
    let sender = std::thread::spawn(move || {
        let mut pool = PacketPool::default();
        let mut queue = frames(COUNT, &mut pool);
        while !queue.is_empty() {
            let mut polled = [PollFd::from_borrowed_fd(a.descriptor().unwrap(), PollFlags::OUT)];
            assert_eq!(poll(&mut polled, Some(&Timespec::try_from(Duration::from_secs(20)).unwrap())), Ok(1));
            a.transmit(Instant::ZERO, &mut queue, &mut pool).unwrap();
        }
    });
    let (mut pool, mut batch, mut next) = (PacketPool::default(), PacketBatch::new(), 0);
    while next < COUNT as u64 {
        let mut polled = [PollFd::from_borrowed_fd(b.descriptor().unwrap(), PollFlags::IN)];
        assert_eq!(poll(&mut polled, Some(&Timespec::try_from(Duration::from_secs(20)).unwrap())), Ok(1));
        b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
        for number in numbers(&mut batch) {
            assert_eq!(number, next);
            next += 1;
        }
    }
    sender.join().unwrap();
    assert_eq!(b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap(), Received::End);
}

proptest! {
    /// Against a plain queue: order, limit, and what the descriptors say.
    #[test]
    fn a_queue_is_a_queue(limit in 1usize..8, steps in prop::collection::vec((any::<bool>(), 1usize..12), 1..60)) {
        let (mut pool, mut batch) = (PacketPool::default(), PacketBatch::new());
        let (mut a, mut b) = pair(limit);
        let (mut model, mut waiting, mut next) = (VecDeque::new(), VecDeque::new(), 0u64);
        for (send, count) in steps {
            if send {
                for _ in 0..count {
                    waiting.push_back(Skb::from_slice(&next.to_be_bytes(), &mut pool).unwrap());
                    next += 1;
                }
                let before = waiting.len();
                a.transmit(Instant::ZERO, &mut waiting, &mut pool).unwrap();
                let taken = (limit - model.len()).min(before);
                prop_assert_eq!(waiting.len(), before - taken);
                let first = next - before as u64;
                model.extend(first..first + taken as u64);
            } else {
                // A batch that is nearly full takes a part.
                let room = count.min(model.len().max(1));
                let fill = (0..netfast_buf::BATCH_PACKETS - room).map(|_| Skb::new());
                fill.for_each(|filler| batch.push(filler).unwrap());
                let found = b.receive(Instant::ZERO, &mut batch, &mut pool).unwrap();
                let got: Vec<_> = batch.drain().filter(|packet| !packet.is_empty()).collect();
                for packet in got {
                    let number = u64::from_be_bytes(packet.to_vec().try_into().unwrap());
                    prop_assert_eq!(Some(number), model.pop_front());
                }
                prop_assert_eq!(found == Received::Empty, model.is_empty());
            }
            prop_assert_eq!(state(&b).0, !model.is_empty());
            if model.len() <= limit / 2 {
                prop_assert!(state(&a).1, "{} of {limit}", model.len());
            }
            if model.len() == limit && !waiting.is_empty() {
                prop_assert!(!state(&a).1);
            }
        }
    }
}

#[test]
fn settings_are_checked() {
    for options in [
        MemoryOptions { packets: 0, ..MemoryOptions::default() },
        MemoryOptions { mtu: 67, ..MemoryOptions::default() },
        MemoryOptions { mtu: 65_536, ..MemoryOptions::default() },
    ] {
        assert!(matches!(MemoryLink::pair(options), Err(DeviceError::Setting { .. })));
    }
}
