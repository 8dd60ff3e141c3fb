//! The flow meter: a bounded table of two-way flows that age in packet time.
use crate::budget::FlowBudget;
use crate::clock::Seen;
use crate::entry::{EndReason, Entry};
use crate::index::Index;
use crate::key::FlowPacket;
use crate::record::FlowRecord;
use crate::statistics::FlowStatistics;
use netfast_low::hash::Seed;
use netfast_low::pages::advise_huge;
use netfast_low::prefetch::prefetch2;
use netfast_time::{Instant, TimerConfig, TimerHandle, TimerWheel};
use std::sync::Arc;

/// Packets whose memory is asked for at once.
const VECTOR: usize = 64;
/// Timers that one vector of packets may fire, so that no packet waits for a long sweep.
const EXPIRE_BUDGET: usize = 1024;
/// Entries that eviction compares: the one longest unused goes.
const EVICTION_SAMPLE: usize = 16;
/// Flows (2 MB of them) from which on large pages are asked for: a small table should not occupy one.
const HUGE_FROM: usize = 1 << 14;

/// How flows are kept; times in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowConfig {
    /// A flow ends when no packet comes for longer than this.
    pub idle_ns: u64,
    /// A flow's record ends when a packet comes later than this after its first one.
    pub active_ns: u64,
    /// What comes later than this after the last packet of a closed connection belongs to another flow.
    pub closed_ns: u64,
    /// Flows in the table; at the limit, of a few sampled ones that longest unused is evicted.
    pub max_flows: u32,
    /// Seed of the table's hash: unpredictable where the packets come from strangers. Results do not depend on it.
    pub seed: u64,
    /// Packets whose lengths and directions are kept, at most [`FlowConfig::MOST_FIRST_PACKETS`]; `None` for no
    /// statistics at all.
    pub statistics: Option<u16>,
}

impl FlowConfig {
    /// Two minutes.
    pub const IDLE_NS: u64 = 120_000_000_000;
    /// Half an hour.
    pub const ACTIVE_NS: u64 = 1_800_000_000_000;
    /// Five seconds: time for the last acknowledgement and what was still under way.
    pub const CLOSED_NS: u64 = 5_000_000_000;
    /// About a million, which is 200 MB.
    pub const MAX_FLOWS: u32 = 1 << 20;
    /// Most packets whose lengths and directions are kept, so that a flow's memory has a bound.
    pub const MOST_FIRST_PACKETS: u16 = 255;
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            idle_ns: Self::IDLE_NS,
            active_ns: Self::ACTIVE_NS,
            closed_ns: Self::CLOSED_NS,
            max_flows: Self::MAX_FLOWS,
            seed: 0,
            statistics: None,
        }
    }
}

/// Why a meter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// A limit that leaves no room.
    #[error("max_flows is {0}; it must be between 1 and {max}", max = FlowMeter::MOST_FLOWS)]
    MaxFlows(u32),
    /// More packets to be kept of each flow than its memory has a bound for.
    #[error("first_packets is {0}; it may be at most {max}", max = FlowConfig::MOST_FIRST_PACKETS)]
    FirstPackets(u16),
    /// The system does not give address space for so many.
    #[error("no memory for a table of max_flows = {0}; ask for fewer")]
    Memory(u32),
}

/// What a meter did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Packets taken; each is in exactly one flow.
    pub packets: u64,
    /// Flows begun.
    pub begun: u64,
    /// Flows ended, by the order of [`EndReason::ALL`].
    pub ended: [u64; EndReason::ALL.len()],
    /// Times the table chose another seed because of long chains.
    pub reseeded: u64,
}

/// Packets in, flow records out.
///
/// A flow's ends compare packet times with the entry's, so records never depend on when a timer fires, on the sizes
/// of batches or on the seed, as long as `max_flows` is not reached.
#[derive(Debug)]
pub struct FlowMeter {
    config: FlowConfig,
    seed: Seed,
    index: Index,
    entries: Vec<Entry>,
    timers: Vec<Option<TimerHandle>>,
    statistics: Vec<Option<Box<FlowStatistics>>>,
    free: Vec<u32>,
    /// Begins with the first packet: a deadline that is far from the wheel's time would be kept only roughly.
    wheel: Option<TimerWheel<u32>>,
    due: Vec<u32>,
    ended: Vec<FlowRecord>,
    budget: Arc<FlowBudget>,
    now_ns: u64,
    era: u16,
    hand: usize,
    drained: usize,
    /// Flows that must have begun before the seed may change again: a rebuild costs as much as they did.
    reseed_from: u64,
    counts: FlowCounts,
}

impl FlowMeter {
    /// The most flows that a table may be told to hold.
    pub const MOST_FLOWS: u32 = 1 << 28;

    /// An empty table.
    ///
    /// # Errors
    /// A limit out of range, or more than the system has room for.
    pub fn new(config: FlowConfig) -> Result<Self, FlowError> {
        Self::sharing(config, Arc::new(FlowBudget::new(config.max_flows)), 1)
    }

    /// An empty table, one of `tables` that keep one limit together.
    ///
    /// # Errors
    /// As [`FlowMeter::new`].
    pub fn sharing(config: FlowConfig, budget: Arc<FlowBudget>, tables: u32) -> Result<Self, FlowError> {
        if !(1..=Self::MOST_FLOWS).contains(&config.max_flows) {
            return Err(FlowError::MaxFlows(config.max_flows));
        }
        if let Some(kept) = config.statistics.filter(|&kept| kept > FlowConfig::MOST_FIRST_PACKETS) {
            return Err(FlowError::FirstPackets(kept));
        }
        let mut entries = Vec::new();
        // Address space, not memory: pages become real when flows do, and entries move only where one of several
        // tables has more than its share.
        entries
            .try_reserve_exact(config.max_flows.div_ceil(tables.max(1)) as usize)
            .map_err(|_| FlowError::Memory(config.max_flows))?;
        Ok(Self {
            config,
            seed: Seed::new(config.seed),
            index: Index::new(),
            entries,
            timers: Vec::new(),
            statistics: Vec::new(),
            free: Vec::new(),
            wheel: None,
            due: Vec::new(),
            ended: Vec::new(),
            budget,
            now_ns: 0,
            era: 0,
            hand: 0,
            drained: 0,
            reseed_from: 0,
            counts: FlowCounts::default(),
        })
    }

    /// The seed under which [`FlowPacket::hash`] is to be made; it may change with each push.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// True without flows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counters.
    pub fn counts(&self) -> FlowCounts {
        self.counts
    }

    /// Bytes that entries, index, timers, statistics and records to be taken occupy.
    pub fn memory(&self) -> usize {
        let kept = self.statistics.iter().flatten().map(|statistics| statistics.memory());
        let waiting = self.ended.iter().filter_map(|record| record.statistics.as_ref());
        self.entries.len() * size_of::<Entry>()
            + self.timers.capacity() * size_of::<Option<TimerHandle>>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.memory()
            + self.wheel.as_ref().map_or(0, TimerWheel::memory)
            + self.statistics.capacity() * size_of::<usize>()
            + self.ended.capacity() * size_of::<FlowRecord>()
            + kept.chain(waiting.map(|statistics| statistics.memory())).sum::<usize>()
    }

    /// Takes packets in the order of their arrival; their hashes must have been made under [`FlowMeter::seed`].
    pub fn push(&mut self, packets: &[FlowPacket]) {
        for vector in packets.chunks(VECTOR) {
            self.push_vector(vector);
        }
    }

    #[inline]
    fn push_vector(&mut self, packets: &[FlowPacket]) {
        let seed = self.seed;
        for packet in packets {
            self.index.prefetch(packet.hash);
        }
        let mut candidates = [u32::MAX; VECTOR];
        for (candidate, packet) in candidates.iter_mut().zip(packets) {
            if let Some(entry) = self.index.candidate(packet.hash) {
                *candidate = entry;
                prefetch2(&self.entries, entry as usize);
            }
        }
        for (&candidate, packet) in candidates.iter().zip(packets) {
            let hash = if self.seed == seed { packet.hash } else { packet.key.seeded_hash(self.seed) };
            self.take(packet, hash, candidate);
        }
        if let Some(last) = packets.last() {
            self.advance(last.now_ns);
        }
    }

    /// The first packet, or the first after the clock went back for good: what was seen before is over, its times
    /// cannot be compared with those that come.
    #[cold]
    fn begin_era(&mut self, seen: Seen) {
        while !self.hand_out_all(usize::MAX, |_| EndReason::Idle) {}
        self.wheel = Some(TimerWheel::new(Instant::from_nanos(seen.now_ns), self.wheel_config()));
        (self.now_ns, self.era) = (seen.now_ns, seen.era);
    }

    #[inline(always)]
    fn take(&mut self, packet: &FlowPacket, hash: u64, candidate: u32) {
        debug_assert_eq!(self.drained, 0, "no packet is pushed while the table is being emptied");
        if packet.era != self.era || self.wheel.is_none() {
            self.begin_era(Seen { now_ns: packet.now_ns, era: packet.era });
        }
        self.counts.packets += 1;
        let hit = self
            .entries
            .get(candidate as usize)
            .is_some_and(|entry| entry.key == packet.key && entry.packets != [0; 2]);
        let at = if hit {
            candidate
        } else {
            match self.index.find(hash, |at| self.entries[at as usize].key == packet.key) {
                Some(at) => at,
                None => self.begin(packet, hash),
            }
        };
        let entry = &mut self.entries[at as usize];
        let gap = packet.now_ns.saturating_sub(entry.last_now);
        let age = packet.now_ns.saturating_sub(entry.first_now);
        let over = gap > self.config.closed_ns && entry.state.is_over();
        if gap > self.config.idle_ns || age > self.config.active_ns || over || entry.is_reopened_by(packet) {
            self.begin_again(at, packet, gap);
        }
        let entry = &mut self.entries[at as usize];
        let was_over = entry.state.is_over();
        let way = entry.count(packet);
        if entry.state.is_over() && !was_over {
            self.rearm(at);
        }
        if let Some(keep) = self.config.statistics {
            let place = &mut self.statistics[at as usize];
            place.get_or_insert_default().add(packet, way, usize::from(keep));
        }
    }

    /// The flow of this key has ended, as its times say; the packet begins the next one in the same place.
    #[cold]
    fn begin_again(&mut self, at: u32, packet: &FlowPacket, gap: u64) {
        let entry = &self.entries[at as usize];
        let (reason, next) = if gap > self.config.idle_ns || entry.state.is_over() {
            (EndReason::Idle, Entry::new(packet))
        } else {
            (EndReason::Active, entry.after(packet))
        };
        self.hand_out(at, reason);
        self.entries[at as usize] = next;
        self.counts.begun += 1;
    }

    /// A closed connection leaves the table sooner than its timer says.
    #[cold]
    fn rearm(&mut self, at: u32) {
        self.disarm(at);
        self.arm(at, self.fires(at));
    }

    fn arm(&mut self, at: u32, deadline: Instant) {
        self.timers[at as usize] = self.wheel.as_mut().and_then(|wheel| wheel.arm(deadline, at).ok());
    }

    fn disarm(&mut self, at: u32) {
        if let (Some(timer), Some(wheel)) = (self.timers[at as usize].take(), &mut self.wheel) {
            wheel.cancel(timer);
        }
    }

    #[inline(never)]
    fn begin(&mut self, packet: &FlowPacket, hash: u64) -> u32 {
        let mut hash = hash;
        let reseed = self.index.has_long_chain() && self.counts.begun >= self.reseed_from;
        if reseed {
            self.seed = self.seed.next();
            self.counts.reseeded += 1;
            self.reseed_from = self.counts.begun + self.len().max(1024) as u64;
            hash = packet.key.seeded_hash(self.seed);
        }
        if reseed || self.index.is_crowded() {
            let (seed, room) = (self.seed, self.len() * 2);
            let live = self.entries.iter().enumerate().filter(|(_, entry)| entry.packets != [0; 2]);
            self.index.rebuild(room, live.map(|(at, entry)| (entry.key.seeded_hash(seed), at as u32)));
        }
        let at = self.place(packet);
        self.entries[at as usize] = Entry::new(packet);
        self.index.insert(hash, at);
        self.counts.begun += 1;
        self.arm(at, self.fires(at));
        at
    }

    /// A place for one more flow.
    fn place(&mut self, packet: &FlowPacket) -> u32 {
        if !self.budget.take() {
            if !self.is_empty() {
                self.evict();
            }
            self.budget.take_anyhow();
        }
        if let Some(at) = self.free.pop() {
            return at;
        }
        if self.entries.len() == HUGE_FROM {
            advise_huge(self.entries.spare_capacity_mut());
        }
        self.entries.push(Entry::new(packet));
        self.timers.push(None);
        if self.config.statistics.is_some() {
            self.statistics.push(None);
        }
        (self.entries.len() - 1) as u32
    }

    /// Frees the longest unused of a few entries after the hand.
    fn evict(&mut self) {
        let len = self.entries.len();
        let after = (0..len).map(|step| (self.hand + step) % len);
        let live = after.filter(|&at| self.entries[at].packets != [0; 2]).take(EVICTION_SAMPLE);
        let mut last = self.hand;
        let oldest = live.inspect(|&at| last = at).min_by_key(|&at| self.entries[at].last_now);
        self.hand = (last + 1) % len;
        if let Some(oldest) = oldest {
            self.remove(oldest as u32, EndReason::Evicted);
        }
    }

    /// When the entry, as it stands, must be looked at again.
    fn fires(&self, at: u32) -> Instant {
        let entry = &self.entries[at as usize];
        let quiet = if entry.state.is_over() { self.config.closed_ns } else { self.config.idle_ns };
        let idle = entry.last_now.saturating_add(quiet.min(self.config.idle_ns));
        let active = entry.first_now.saturating_add(self.config.active_ns);
        Instant::from_nanos(idle.min(active).saturating_add(1))
    }

    /// Takes the time of packets that went to another table that shares the input.
    pub fn observe(&mut self, seen: Seen) {
        if seen.era != self.era || self.wheel.is_none() {
            self.begin_era(seen);
        }
        self.advance(seen.now_ns);
    }

    /// Lets time pass: flows whose end has come leave the table, a bounded number at a time.
    ///
    /// Only memory and the moment of output depend on this; what the records say does not.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        self.expire(EXPIRE_BUDGET);
    }

    fn expire(&mut self, budget: usize) {
        let now = Instant::from_nanos(self.now_ns);
        let Some(wheel) = &mut self.wheel else { return };
        let mut due = std::mem::take(&mut self.due);
        let _ = wheel.poll(now, budget, |at, _| due.push(at));
        for at in due.drain(..) {
            self.timers[at as usize] = None;
            let fires = self.fires(at);
            if fires > now {
                self.arm(at, fires);
                continue;
            }
            let entry = &self.entries[at as usize];
            // By the times, as for a packet that came now: at the end of time timers fire that are not due.
            let gap = self.now_ns.saturating_sub(entry.last_now);
            let age = self.now_ns.saturating_sub(entry.first_now);
            let over = gap > self.config.closed_ns || age > self.config.active_ns;
            if gap > self.config.idle_ns || over && entry.state.is_over() {
                self.remove(at, EndReason::Idle);
            } else {
                // Past its active timeout, but whether it goes on only its next packet tells.
                let idle = entry.last_now.saturating_add(self.config.idle_ns).saturating_add(1);
                self.arm(at, Instant::from_nanos(idle));
            }
        }
        self.due = due;
    }

    fn remove(&mut self, at: u32, reason: EndReason) {
        let hash = self.entries[at as usize].key.seeded_hash(self.seed);
        self.index.remove(hash, at);
        self.disarm(at);
        self.hand_out(at, reason);
        self.budget.give(1);
        // An entry without packets is a free one.
        self.entries[at as usize].packets = [0; 2];
        self.free.push(at);
    }

    fn hand_out(&mut self, at: u32, reason: EndReason) {
        let statistics = self.statistics.get_mut(at as usize).and_then(Option::take);
        let record = FlowRecord::new(&self.entries[at as usize], reason, statistics);
        self.counts.ended[record.end_reason as usize] += 1;
        self.ended.push(record);
    }

    /// Records of flows that have ended since the last call, appended to `out`.
    pub fn take_ended(&mut self, out: &mut Vec<FlowRecord>) {
        out.append(&mut self.ended);
    }

    /// Records that wait to be taken.
    pub fn ended_len(&self) -> usize {
        self.ended.len()
    }

    /// At the end of the input, whose clock stands at `now`: ends up to `budget` flows; true when none is left, and
    /// the table is as new. No packet may be pushed in between.
    ///
    /// Flows whose idle timeout has passed by then ended with it, the others with the input.
    pub fn finish(&mut self, now: Seen, budget: usize) -> bool {
        let over = now.era != self.era;
        let now_ns = if over { now.now_ns } else { self.now_ns.max(now.now_ns) };
        let idle_ns = self.config.idle_ns;
        let idle = |entry: &Entry| over || now_ns.saturating_sub(entry.last_now) > idle_ns;
        self.hand_out_all(budget, |entry| if idle(entry) { EndReason::Idle } else { EndReason::Eof })
    }

    /// Ends up to `budget` flows; true when none is left, and the table is as new.
    fn hand_out_all(&mut self, budget: usize, reason: impl Fn(&Entry) -> EndReason) -> bool {
        let until = self.entries.len().min(self.drained.saturating_add(budget));
        for at in self.drained..until {
            let entry = &self.entries[at];
            if entry.packets != [0; 2] {
                self.hand_out(at as u32, reason(entry));
            }
        }
        self.drained = until;
        if until < self.entries.len() {
            return false;
        }
        // All at once: one by one, each would be looked up again in index and wheel.
        self.budget.give(self.len() as u32);
        self.index = Index::new();
        self.wheel = None;
        self.entries.clear();
        self.timers.clear();
        self.statistics.clear();
        self.free.clear();
        (self.drained, self.hand, self.now_ns) = (0, 0, 0);
        true
    }

    fn wheel_config(&self) -> TimerConfig {
        TimerConfig { limit: self.config.max_flows, ..TimerConfig::default() }
    }
}

#[cfg(test)]
mod tests;
