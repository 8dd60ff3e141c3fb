//! The reassembler: fragments in, datagrams out.
mod charge;
mod end;
mod entry;
mod in_order;
mod insert;
mod join;

pub use charge::{DATAGRAM_BYTES, FRAGMENT_BYTES, LARGE_BLOCK};

use crate::config::ReassemblyConfig;
use crate::key::FragmentKey;
use crate::outcome::{Dropped, Event, EventKind, Expired, Outcome, ReassemblyCounters};
use crate::packet::{Broken, Fragment, Read, Reader};
use crate::pairs::Pairs;
use crate::reason::FragmentReason;
use crate::slab::{Links, List, Slab};
use entry::{Bodies, Entry};
use insert::Step;
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_low::hash::Seed;
use netfast_time::{Instant, TimerConfig, TimerWheel};
use netfast_wire::router::IcmpError;
use std::collections::VecDeque;

/// Fragment headers within each other that are followed; a packet with more is dropped.
pub const MAX_NESTED: usize = 4;

/// How many packets ahead headers are asked for.
const AHEAD: usize = 4;

/// Puts datagrams together, both families.
///
/// [`handle_packet`](Self::handle_packet) takes packets; [`poll_timeout`](Self::poll_timeout) gives the datagrams whose time is
/// up, one after the other, and is due at [`next_timeout`](Self::next_timeout); then [`poll_event`](Self::poll_event) and
/// [`poll_dropped`](Self::poll_dropped) give what they have. Time is the caller's and never goes back: an earlier one counts as
/// the latest.
///
/// A reassembler belongs to one worker. All fragments of a datagram have to come to the same one: choose it by
/// addresses only.
#[derive(Debug)]
pub struct Reassembler {
    config: ReassemblyConfig,
    reader: Reader,
    seed: Seed,
    now: Instant,
    entries: Slab<Entry>,
    bodies: Bodies,
    pairs: Pairs,
    /// What one source may have.
    share_datagrams: usize,
    share_memory: usize,
    /// Fragments of a datagram that are joined as they come.
    most_in_order: u32,
    /// As the setting, but no limit is the largest one.
    max_disorder: u32,
    /// Datagrams by age: IPv4, IPv6.
    ages: [List; 2],
    tombstones: List,
    /// An entry is either in one of the ages or a tombstone.
    age_links: Links,
    source_links: Links,
    /// Datagrams that expire before the timeout.
    wheel: TimerWheel<u32>,
    memory: usize,
    counters: ReassemblyCounters,
    events: VecDeque<Event>,
    /// Events lost since the last one in the queue.
    lost: u64,
    /// Datagrams whose time was found to be up when a fragment came.
    expired: VecDeque<Expired>,
    dropped: VecDeque<(Skb, FragmentReason)>,
    /// Of the fragment that was dropped last.
    owed: Option<IcmpError>,
}

impl Reassembler {
    /// An empty one.
    pub fn new(config: ReassemblyConfig) -> Self {
        let seed = Seed::new(config.seed);
        let at_least_one = |limit: usize| limit.clamp(1, 1 << 30);
        let config = ReassemblyConfig {
            max_datagrams: at_least_one(config.max_datagrams),
            max_memory: config.max_memory.max(1),
            source_share: at_least_one(config.source_share),
            max_fragments: at_least_one(config.max_fragments),
            ..config
        };
        Self {
            reader: Reader::new(&config),
            seed,
            now: Instant::ZERO,
            entries: Slab::new(),
            bodies: Bodies::default(),
            share_datagrams: (config.max_datagrams / config.source_share).max(1),
            share_memory: config.max_memory / config.source_share,
            // Whoever wants to see dropped ones gets them as they came.
            most_in_order: if config.max_dropped > 0 {
                0
            } else {
                config.max_fragments.min(in_order::MOST) as u32
            },
            max_disorder: if config.max_disorder > 0 { config.max_disorder } else { u32::MAX },
            pairs: Pairs::new(seed.next(), config.max_pairs),
            ages: [List::EMPTY; 2],
            tombstones: List::EMPTY,
            age_links: Links::default(),
            source_links: Links::default(),
            wheel: TimerWheel::new(Instant::ZERO, TimerConfig::default()),
            memory: 0,
            counters: ReassemblyCounters::default(),
            events: VecDeque::new(),
            lost: 0,
            expired: VecDeque::new(),
            dropped: VecDeque::new(),
            owed: None,
            config,
        }
    }

    /// Takes a packet that came at `now`. `context` keeps apart what must not be mixed though addresses are the same: VRFs,
    /// VLANs, tunnels. Whatever is copied is taken from `pool` and counted there.
    #[inline]
    pub fn handle_packet(
        &mut self,
        now: Instant,
        context: u32,
        packet: Skb,
        pool: &mut PacketPool,
    ) -> Outcome {
        let (mut packet, mut outcome) = (packet, Outcome::Held);
        self.advance(now);
        self.reader.context = context;
        self.take(&mut packet, pool, &mut outcome);
        outcome
    }

    /// Takes a packet; whether it waits. What became of one that does not goes into `slot`.
    #[inline(never)]
    fn take(&mut self, packet: &mut Skb, pool: &mut PacketPool, slot: &mut Outcome) -> bool {
        self.counters.packets += 1;
        // By reference: what was read is large.
        let read = self.reader.read(packet.head(), packet.len(), packet.hot.outer.l3());
        let step = match &read {
            Read::Fragment(fragment) if !fragment.is_atomic() => self.fragment(fragment, packet, pool, slot),
            Read::Other => self.not_fragment(),
            _ => self.take_other(read, packet, pool, slot),
        };
        match step {
            Step::Held => return true,
            // The slot has all of it.
            Step::Whole(_) => {}
            step => self.tell(step, packet, slot),
        }
        false
    }

    /// Puts a packet that does not wait, and is not whole, into `slot`.
    #[inline(never)]
    fn tell(&self, step: Step, packet: &mut Skb, slot: &mut Outcome) {
        let packet = std::mem::take(packet);
        *slot = match step {
            Step::Held | Step::Whole(_) => return,
            Step::NotFragment => Outcome::NotFragment(packet),
            Step::Atomic => Outcome::Atomic(packet),
            Step::Dropped(reason) => Outcome::Dropped(Dropped { packet, reason, error: self.owed }),
        };
    }

    fn not_fragment(&mut self) -> Step {
        self.counters.not_fragments += 1;
        Step::NotFragment
    }

    #[inline(always)]
    fn fragment(
        &mut self,
        fragment: &Fragment,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        packet.trim(fragment.payload + fragment.len);
        let step = match self.join_known(fragment, packet, pool, slot) {
            Ok(step) => step,
            Err(known) => self.insert(known, fragment, packet, pool, slot),
        };
        self.look_inside(step, packet, pool, slot)
    }

    /// After a step of a fragment: what an IPv6 datagram that it made whole holds may be a fragment again.
    #[inline(always)]
    fn look_inside(
        &mut self,
        step: Step,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        let Step::Whole(bytes) = step else { return step };
        match slot {
            Outcome::Complete(whole) if !whole.key.is_ipv4() && whole.packet.hot.outer.l4().is_none() => {
                std::mem::swap(packet, &mut whole.packet);
                self.nested(packet, Some(bytes), pool, slot)
            }
            _ => self.count_whole(slot, bytes),
        }
    }

    /// Fragments that are alone, those that cannot be used, and packets whose headers are in several pieces.
    #[inline(never)]
    fn take_other(
        &mut self,
        read: Read,
        packet: &mut Skb,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        let read = match read {
            Read::Short(need) => self.read_more(packet, need, pool),
            read => read,
        };
        match read {
            Read::Fragment(fragment) if fragment.is_atomic() => self.nested(packet, None, pool, slot),
            Read::Fragment(fragment) => {
                packet.trim(fragment.payload + fragment.len);
                let step = self.insert(None, &fragment, packet, pool, slot);
                self.look_inside(step, packet, pool, slot)
            }
            Read::Broken(broken) => self.broken(broken, pool),
            Read::Other | Read::Short(_) => self.not_fragment(),
        }
    }

    /// Takes all packets of a batch, in order, and puts what became of them behind `outcomes`; nothing for those that wait.
    pub fn handle_batch(
        &mut self,
        now: Instant,
        context: u32,
        packets: &mut PacketBatch,
        pool: &mut PacketPool,
        outcomes: &mut Vec<Outcome>,
    ) {
        self.advance(now);
        self.reader.context = context;
        // The last one is where the next is made: it is large, and not moved.
        let mut end = outcomes.len();
        outcomes.resize_with(end + 1, || Outcome::Held);
        for at in 0..packets.len() {
            let packets = packets.packets_mut();
            if let Some(soon) = packets.get(at + AHEAD) {
                soon.prefetch_head(1);
            }
            if !self.take(&mut packets[at], pool, &mut outcomes[end]) {
                end += 1;
                outcomes.resize_with(end + 1, || Outcome::Held);
            }
        }
        outcomes.pop();
        packets.clear();
    }

    /// When [`poll_timeout`](Self::poll_timeout) will have something to give.
    pub fn next_timeout(&self) -> Option<Instant> {
        if !self.expired.is_empty() {
            return Some(self.now);
        }
        let heads = self.ages.iter().filter_map(|age| age.first()).map(|id| self.deadline(id));
        heads.chain(self.wheel.next_expiry()).min()
    }

    /// The next event, in order; at most [`ReassemblyConfig::max_events`] wait.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let lost = std::mem::take(&mut self.lost);
        (lost > 0).then_some(Event::Overflow { lost })
    }

    /// A fragment that waited and was dropped, and why; only where [`ReassemblyConfig::max_dropped`] keeps them.
    pub fn poll_dropped(&mut self) -> Option<(Skb, FragmentReason)> {
        self.dropped.pop_front()
    }

    /// Counters.
    pub fn counters(&self) -> ReassemblyCounters {
        ReassemblyCounters { pairs_forgotten: self.pairs.forgotten, ..self.counters }
    }

    /// Datagrams that wait.
    pub fn len(&self) -> usize {
        self.ages.iter().map(List::len).sum()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tombstones.
    pub fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    /// Pairs of source, destination and protocol that are known.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Comparisons and moved pieces for finding the places of fragments, so far: what the work of hostile fragments is
    /// measured by.
    pub fn steps(&self) -> u64 {
        self.bodies.all_steps()
    }

    /// Bytes that waiting datagrams occupy, as [`ReassemblyConfig::max_memory`] bounds them.
    pub fn held_memory(&self) -> usize {
        self.memory
    }

    /// All bytes: those of waiting datagrams, of the tables, and of what waits to be asked for.
    pub fn memory(&self) -> usize {
        let expired = self.expired.iter().filter_map(|expired| expired.first.as_ref());
        let untold = expired.chain(self.dropped.iter().map(|(packet, _)| packet));
        self.memory
            + self.entries.memory()
            + self.bodies.memory()
            + self.pairs.memory()
            + self.age_links.memory()
            + self.source_links.memory()
            + self.wheel.memory()
            + self.events.capacity() * size_of::<Event>()
            + self.expired.capacity() * size_of::<Expired>()
            + self.dropped.capacity() * size_of::<(Skb, FragmentReason)>()
            + untold.map(charge::blocks).sum::<usize>()
    }

    /// Settings, limits as they are used.
    pub fn config(&self) -> &ReassemblyConfig {
        &self.config
    }

    #[inline(always)]
    fn advance(&mut self, now: Instant) {
        if now >= self.now {
            self.now = now;
        } else {
            self.counters.backward_steps += 1;
        }
    }

    /// Reads a packet, whose headers are brought together where they are not.
    #[inline(always)]
    fn read(&self, packet: &mut Skb, pool: &mut PacketPool) -> Read {
        match self.reader.read(packet.head(), packet.len(), packet.hot.outer.l3()) {
            Read::Short(need) => self.read_more(packet, need, pool),
            read => read,
        }
    }

    #[cold]
    fn read_more(&self, packet: &mut Skb, mut need: u32, pool: &mut PacketPool) -> Read {
        loop {
            if packet.pull(need, pool).is_err() {
                return Read::Other;
            }
            match self.reader.read(packet.head(), packet.len(), packet.hot.outer.l3()) {
                // More than the first piece has and not more than the packet: each round has more.
                Read::Short(more) => need = more,
                read => return read,
            }
        }
    }

    /// An IPv6 packet that may have a fragment header yet: atomic, or a datagram just made `whole`, of so many bytes of data.
    #[inline(never)]
    fn nested(
        &mut self,
        packet: &mut Skb,
        mut whole: Option<u32>,
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        for _ in 0..=MAX_NESTED {
            match self.read(packet, pool) {
                Read::Fragment(fragment) if fragment.is_atomic() => {
                    join::remove_fragment_header(packet, &fragment, fragment.len, pool);
                }
                Read::Fragment(fragment) => {
                    *slot = Outcome::Held;
                    packet.trim(fragment.payload + fragment.len);
                    match self.insert(None, &fragment, packet, pool, slot) {
                        Step::Whole(bytes) => whole = Some(bytes),
                        step => return step,
                    }
                    if let Outcome::Complete(datagram) = slot {
                        std::mem::swap(packet, &mut datagram.packet);
                    }
                }
                Read::Broken(broken) => return self.broken(broken, pool),
                Read::Other | Read::Short(_) => {
                    if let (Outcome::Complete(datagram), Some(bytes)) = (&mut *slot, whole) {
                        std::mem::swap(packet, &mut datagram.packet);
                        return self.count_whole(slot, bytes);
                    }
                    self.counters.atomic += 1;
                    return Step::Atomic;
                }
            }
        }
        self.drop_packet(None, FragmentReason::TooDeep, None)
    }

    #[cold]
    fn broken(&mut self, broken: Broken, pool: &mut PacketPool) -> Step {
        if let Some(key) = broken.key
            && self.ends_all(&key, broken.reason)
        {
            self.end_unusable(&key, broken.reason, pool);
        }
        self.drop_packet(broken.key, broken.reason, broken.error)
    }

    /// Gives one packet back as dropped.
    #[inline(never)]
    fn drop_packet(
        &mut self,
        key: Option<FragmentKey>,
        reason: FragmentReason,
        error: Option<IcmpError>,
    ) -> Step {
        self.counters.dropped[reason as usize] += 1;
        if let Some(key) = key {
            self.event(key, EventKind::Dropped(reason), 0, 0);
        }
        self.owed = error;
        Step::Dropped(reason)
    }

    #[cold]
    fn note(&mut self, key: FragmentKey, reason: FragmentReason) {
        self.counters.noted[reason as usize] += 1;
        self.event(key, EventKind::Noted(reason), 0, 0);
    }

    fn event(&mut self, key: FragmentKey, kind: EventKind, fragments: u32, bytes: u32) {
        if self.config.max_events == 0 {
            return;
        }
        // What came after the first one lost is lost, too, so that the mark stands where the gap is.
        if self.events.len() >= self.config.max_events || self.lost > 0 {
            self.lost += 1;
            self.counters.events_lost += 1;
            return;
        }
        self.events.push_back(Event::Datagram { at: self.now, key, kind, fragments, bytes });
    }
}
