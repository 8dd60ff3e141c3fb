//! One direction of a wire with faults.
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use netfast_buf::{ChecksumState, GsoType, PacketPool, Skb};
use netfast_low::hash::Seed;
use netfast_offload::segment::{Segmenter, finish_checksum};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;

use super::{FaultCounters, Faults, REORDER_TIME};

/// Bytes that are left whole: what a damaged link header does says nothing of what is above it.
const LINK_HEADER: u32 = 14;

/// What chance is asked about a packet.
#[derive(Clone, Copy)]
enum Question {
    Loss,
    Duplicate,
    Reorder,
    Corrupt,
    Jitter,
    TwinJitter,
    Segment,
    Bit,
}

/// A packet that is not due yet; the earlier one is the greater.
struct Delayed {
    key: Reverse<(Instant, u64)>,
    packet: Skb,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// A packet that lets others overtake.
struct Held {
    packet: Skb,
    left: u32,
    until: Instant,
}

pub(super) struct Way {
    pub faults: Faults,
    seed: Seed,
    way: u64,
    /// Number of the next packet, and of the next one that waits.
    number: u64,
    order: u64,
    delayed: BinaryHeap<Delayed>,
    held: VecDeque<Held>,
    /// Those that are due: what was taken in one turn, with twins and pieces, and what its time has come for.
    pub ready: VecDeque<Skb>,
    segmenter: Segmenter,
    cut: Vec<Skb>,
    counters: FaultCounters,
}

impl Way {
    pub fn new(faults: Faults, seed: u64, way: u64) -> Self {
        Self {
            faults,
            seed: Seed::new(seed),
            way,
            number: 0,
            order: 0,
            delayed: BinaryHeap::new(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            segmenter: Segmenter::default(),
            cut: Vec::new(),
            counters: FaultCounters::default(),
        }
    }

    pub fn counters(&self) -> FaultCounters {
        FaultCounters { waiting: self.waiting() as u64, ..self.counters }
    }

    pub fn waiting(&self) -> usize {
        self.delayed.len() + self.held.len() + self.ready.len()
    }

    pub fn dropped(&self) -> u64 {
        self.counters.lost + self.counters.overflow
    }

    pub fn passed(&mut self, count: usize) {
        self.counters.passed += count as u64;
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        let ready = (!self.ready.is_empty()).then_some(Instant::ZERO);
        let delayed = self.delayed.peek().map(|delayed| delayed.key.0.0);
        let held = self.held.iter().map(|held| held.until).min();
        [ready, delayed, held].into_iter().flatten().min()
    }

    /// Lets a packet meet its fate.
    pub fn take(&mut self, now: Instant, mut packet: Skb, pool: &mut PacketPool) {
        let number = self.number;
        self.number += 1;
        self.counters.packets += 1;
        let faults = self.faults;
        if self.happens(faults.loss, number, Question::Loss) {
            self.counters.lost += 1;
            return pool.recycle(packet);
        }
        let twice = self.happens(faults.duplicate, number, Question::Duplicate);
        let twin = twice.then(|| packet.duplicate(pool));
        if self.happens(faults.corrupt, number, Question::Corrupt) {
            self.damage(now, number, packet, pool);
        } else if self.happens(faults.reorder, number, Question::Reorder) {
            self.hold(now, number, packet, pool);
        } else {
            self.wait(now, number, Question::Jitter, packet, pool);
        }
        if let Some(twin) = twin {
            self.counters.duplicated += 1;
            self.wait(now, number, Question::TwinJitter, twin, pool);
        }
    }

    /// Makes those ready that are due.
    pub fn release(&mut self, now: Instant) {
        while let Some(delayed) = self.delayed.peek()
            && delayed.key.0.0 <= now
        {
            let Some(delayed) = self.delayed.pop() else { break };
            self.pass(delayed.packet);
        }
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            if held.until > now {
                at += 1;
            } else if let Some(held) = self.held.remove(at) {
                self.ready.push_back(held.packet);
            }
        }
    }

    /// Drops what waits.
    pub fn clear(&mut self, pool: &mut PacketPool) {
        self.counters.overflow += self.waiting() as u64;
        self.delayed.drain().for_each(|delayed| pool.recycle(delayed.packet));
        self.held.drain(..).for_each(|held| pool.recycle(held.packet));
        self.ready.drain(..).for_each(|packet| pool.recycle(packet));
    }

    fn chance(&self, number: u64, question: Question) -> u64 {
        self.seed.hash5(&[number, self.way, question as u64, 0, 0])
    }

    fn happens(&self, share: f64, number: u64, question: Question) -> bool {
        // 53 bits, as many as the share has.
        share > 0.0 && ((self.chance(number, question) >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// True when one more may wait for its time; else it is dropped. Those that are due do not count: they are a batch at
    /// most, and the device is to take them.
    fn has_room(&mut self) -> bool {
        let room = self.delayed.len() + self.held.len() < self.faults.limit;
        self.counters.overflow += u64::from(!room);
        room
    }

    /// Lets a packet take its time.
    fn wait(&mut self, now: Instant, number: u64, jitter: Question, packet: Skb, pool: &mut PacketPool) {
        let time = self.time(number, jitter);
        if time == Duration::ZERO {
            return self.pass(packet);
        }
        if !self.has_room() {
            return pool.recycle(packet);
        }
        let key = Reverse((now + time, self.order));
        self.order += 1;
        self.delayed.push(Delayed { key, packet });
    }

    fn time(&self, number: u64, jitter: Question) -> Duration {
        let Faults { delay, jitter: most, .. } = self.faults;
        if most == Duration::ZERO {
            return delay;
        }
        let spread = u128::from(most.as_nanos()) * 2;
        let part = ((spread * u128::from(self.chance(number, jitter))) >> 64) as u64;
        let nanos = delay.as_nanos().saturating_add(part).saturating_sub(most.as_nanos());
        Duration::from_nanos(nanos)
    }

    fn hold(&mut self, now: Instant, number: u64, packet: Skb, pool: &mut PacketPool) {
        if !self.has_room() {
            return pool.recycle(packet);
        }
        self.counters.reordered += 1;
        let until = now + self.time(number, Question::Jitter) + REORDER_TIME;
        self.held.push_back(Held { packet, left: self.faults.reorder_gap, until });
    }

    /// A packet goes on, and so do those that have let enough others overtake.
    fn pass(&mut self, packet: Skb) {
        self.ready.push_back(packet);
        self.held.iter_mut().for_each(|held| held.left -= 1);
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            if held.left > 0 {
                at += 1;
            } else if let Some(held) = self.held.remove(at) {
                self.ready.push_back(held.packet);
            }
        }
    }

    /// Flips a bit of the packet, or of one of its segments.
    fn damage(&mut self, now: Instant, number: u64, packet: Skb, pool: &mut PacketPool) {
        self.counters.corrupted += 1;
        let mut cut = std::mem::take(&mut self.cut);
        match self.segmenter.segment(packet, pool, &mut cut) {
            Ok(count) => self.counters.cut += count as u64 - 1,
            Err(refused) => cut.push(refused.packet),
        }
        let which = self.chance(number, Question::Segment) as usize % cut.len();
        flip(&mut cut[which], self.chance(number, Question::Bit), pool);
        for packet in cut.drain(..) {
            self.wait(now, number, Question::Jitter, packet, pool);
        }
        self.cut = cut;
    }
}

fn flip(packet: &mut Skb, chance: u64, pool: &mut PacketPool) {
    // A checksum that is still open would be right in the end.
    let _ = finish_checksum(packet, LinkType::ETHERNET, pool);
    packet.hot.checksum = ChecksumState::Unchecked;
    (packet.hot.gso_type, packet.hot.gso_size, packet.hot.gso_segments) = (GsoType::None, 0, 0);
    let bits = u64::from(packet.len().saturating_sub(LINK_HEADER)) * 8;
    let Some(bit) = chance.checked_rem(bits) else { return };
    let at = LINK_HEADER + (bit / 8) as u32;
    // Only what stands behind that byte is a packet of its own for a moment, so that a long one is not copied.
    let Ok(mut behind) = packet.split(at) else { return };
    if let Ok(byte) = behind.head_mut(1, pool) {
        byte[0] ^= 1 << (bit % 8);
    }
    packet.append(&mut behind, pool).expect("as long as it was");
}
