//! The table of neighbours: entries, commands, what waits.
use crate::config::{Counters, NeighError, NeighbourConfig};
use crate::entry::{Entry, Key, Mac, Slot, State};
use crate::index::Index;
use crate::list::List;
use crate::pending::{Queue, Released, Unresolved};
use netfast_buf::Skb;
use netfast_low::hash::Seed;
use netfast_low::prefetch::prefetch;
use netfast_time::{Duration, Instant, TimerConfig, TimerWheel};
use std::net::IpAddr;

/// The shortest time that a setting may say: no timer fires more often.
const SHORTEST: Duration = Duration::from_millis(1);

/// Neighbours of a node's ports.
#[derive(Debug)]
pub struct Neighbours {
    pub(crate) config: NeighbourConfig,
    pub(crate) seed: Seed,
    index: Index,
    pub(crate) slots: Vec<Slot>,
    /// Slots of removed entries.
    free: Vec<u32>,
    pub(crate) timers: TimerWheel<u32>,
    /// Those that are [`State::Incomplete`].
    pub(crate) incomplete: List,
    /// Those that are [`State::Failed`].
    pub(crate) failed: List,
    /// Those that are [`State::Stale`].
    pub(crate) stale: List,
    /// Entries whose link address is known.
    pub(crate) known: usize,
    /// Those of them that are [`State::Permanent`].
    pub(crate) permanent: usize,
    /// Packets that wait.
    pub(crate) holding: usize,
    pub(crate) now: Instant,
    pub(crate) counters: Counters,
}

impl Neighbours {
    /// An empty table. The seed keeps strangers from aiming at one bucket, and neighbours from being asked at the same
    /// time by all nodes. Times below a millisecond count as that.
    pub fn new(config: NeighbourConfig, seed: u64) -> Self {
        let seed = Seed::new(seed);
        let config = NeighbourConfig {
            pending_timeout: config.pending_timeout.max(SHORTEST),
            retransmit: config.retransmit.max(SHORTEST),
            reachable: config.reachable.max(SHORTEST),
            delay: config.delay.max(SHORTEST),
            stale_timeout: config.stale_timeout.max(SHORTEST),
            ..config
        };
        let most = config.max_entries.saturating_add(config.max_pending).saturating_add(1);
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        let timers = TimerWheel::new(Instant::ZERO, TimerConfig { limit, preallocate: false });
        Self {
            config,
            seed,
            index: Index::new(),
            slots: Vec::new(),
            free: Vec::new(),
            timers,
            incomplete: List::EMPTY,
            failed: List::EMPTY,
            stale: List::EMPTY,
            known: 0,
            permanent: 0,
            holding: 0,
            now: Instant::ZERO,
            counters: Counters::default(),
        }
    }

    /// Its settings.
    pub fn config(&self) -> &NeighbourConfig {
        &self.config
    }

    /// The link address of a neighbour, and its slot.
    #[inline]
    pub fn resolve(&self, port: u32, address: IpAddr) -> Option<(Mac, u32)> {
        let at = self.find(&Key { port, address })?;
        let slot = &self.slots[at as usize];
        slot.state.is_known().then_some((slot.mac, at))
    }

    /// True when a neighbour has this link address, or one that was set: what it asks for changes nothing then.
    #[inline]
    pub fn has(&self, port: u32, address: IpAddr, mac: Mac) -> bool {
        self.find(&Key { port, address }).is_some_and(|at| {
            let slot = &self.slots[at as usize];
            slot.state == State::Permanent || (slot.state.is_known() && slot.mac == mac)
        })
    }

    /// The entry of a neighbour.
    #[inline]
    pub fn entry(&self, port: u32, address: IpAddr) -> Option<Entry> {
        let at = self.find(&Key { port, address })?;
        Some(self.slots[at as usize].entry(at))
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        self.index.find(key.hash(self.seed), |at| self.slots[at as usize].key == *key)
    }

    /// All entries, in no order: also those whose link address is not known.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        self.index.iter().map(|at| self.slots[at as usize].entry(at))
    }

    /// Entries, also those whose link address is not known.
    pub fn total(&self) -> usize {
        self.index.len()
    }

    /// Asks for the memory of a neighbour that is looked for in a moment: first with `near` false, and when that has come,
    /// with `near` true.
    #[inline]
    pub fn prefetch(&self, port: u32, address: IpAddr, near: bool) {
        let hash = Key { port, address }.hash(self.seed);
        if !near {
            self.index.prefetch(hash);
        } else if let Some(at) = self.index.find(hash, |_| true) {
            prefetch(&self.slots, at as usize);
        }
    }

    /// Neighbours whose link address is known.
    pub fn len(&self) -> usize {
        self.known
    }

    /// True when no link address is known.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Packets that wait.
    pub fn holding(&self) -> usize {
        self.holding
    }

    /// Neighbours that packets wait for, the one that is waited for longest first.
    pub fn pending(&self) -> impl Iterator<Item = Unresolved> {
        let slot = |at: u32| self.slots.get(at as usize);
        let all =
            std::iter::successors(self.incomplete.oldest().and_then(slot), move |now| slot(now.younger));
        all.map(|slot| Unresolved { port: slot.key.port, address: slot.key.address })
    }

    /// The first of the packets that wait for a neighbour: whom it is asked for.
    pub fn first_waiting(&self, port: u32, address: IpAddr) -> Option<&Skb> {
        let at = self.find(&Key { port, address })?;
        self.slots[at as usize].queue.as_ref()?.packets.front()
    }

    /// Says that somebody keeps a neighbour's link address, who has to be told of its change: [`Entry::is_kept`].
    #[inline]
    pub fn keep_mac(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.is_kept = true;
        }
    }

    /// Sets a neighbour for good, in the place of what was known of it. Gives back what waited for it, in order, and a stale
    /// neighbour that had to give way.
    ///
    /// # Errors
    /// [`NeighError`]; nothing is changed then, and what waits goes on waiting.
    pub fn set(
        &mut self,
        port: u32,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(Vec<Skb>, Option<Entry>), NeighError> {
        if !is_unicast(address) {
            return Err(NeighError::NotUnicast { address });
        }
        let key = Key { port, address };
        let found = self.find(&key);
        let is_known = found.is_some_and(|at| self.slots[at as usize].state.is_known());
        let displaced = if is_known { None } else { self.make_room(address)? };
        let at = found.unwrap_or_else(|| self.insert(key, State::Failed));
        let before = (is_known, self.slots[at as usize].mac);
        self.counters.set += u64::from(before != (true, mac));
        self.change(at, State::Permanent);
        let slot = &mut self.slots[at as usize];
        (slot.mac, slot.updated) = (mac, self.now);
        let waited = self.take_queue(at);
        self.counters.resolved += waited.len() as u64;
        Ok((waited, displaced))
    }

    /// Room for one more link address: the neighbour that is stale for longest gives way where the table is full.
    pub(crate) fn make_room(&mut self, address: IpAddr) -> Result<Option<Entry>, NeighError> {
        if self.known < self.config.max_entries {
            return Ok(None);
        }
        let Some(oldest) = self.stale.oldest() else {
            self.counters.refused += 1;
            return Err(NeighError::TableFull { address, limit: self.config.max_entries });
        };
        let entry = self.slots[oldest as usize].entry(oldest);
        self.remove_at(oldest);
        self.counters.stale_displaced += 1;
        Ok(Some(entry))
    }

    /// Forgets a neighbour; gives it when it was known. What comes for it from now on waits.
    pub fn remove(&mut self, port: u32, address: IpAddr) -> Option<Entry> {
        let at = self.find(&Key { port, address })?;
        let entry = self.slots[at as usize].entry(at);
        if entry.state == State::Incomplete {
            return None;
        }
        self.remove_at(at);
        self.counters.removed += 1;
        entry.state.is_known().then_some(entry)
    }

    /// Forgets all neighbours of a port, also those that were set; gives back what waited for them.
    pub fn remove_port(&mut self, port: u32) -> Vec<Skb> {
        self.remove_where(|slot| slot.key.port == port, |_| ())
    }

    /// Forgets those neighbours of a port that were found out, as when its link is gone; each that was known goes to `told`. Gives
    /// back what waited.
    pub fn flush(&mut self, port: u32, told: impl FnMut(Entry)) -> Vec<Skb> {
        self.remove_where(|slot| slot.key.port == port && slot.state != State::Permanent, told)
    }

    fn remove_where(&mut self, goes: impl Fn(&Slot) -> bool, mut told: impl FnMut(Entry)) -> Vec<Skb> {
        let all: Vec<u32> = self.index.iter().filter(|at| goes(&self.slots[*at as usize])).collect();
        let mut waited = Vec::new();
        for at in all {
            let entry = self.slots[at as usize].entry(at);
            if entry.state.is_known() {
                told(entry);
            }
            waited.extend(self.take_queue(at));
            self.remove_at(at);
        }
        self.counters.removed_port += waited.len() as u64;
        waited
    }

    /// Lets a packet wait until its neighbour is known. Packets that cannot wait any longer, or not at all, go to
    /// `released`. Gives the neighbour when this is the first packet that waits for it: somebody has to be asked. Without
    /// `asks` nobody asks: [`Due::Solicit`](crate::Due::Solicit) does not come, and one that failed is not remembered.
    pub fn hold(
        &mut self,
        now: Instant,
        port: u32,
        address: IpAddr,
        packet: Skb,
        asks: bool,
        mut released: impl FnMut(Skb, Released),
    ) -> Option<Unresolved> {
        let now = self.clock(now);
        let key = Key { port, address };
        let found = self.find(&key);
        if let Some(at) = found
            && self.slots[at as usize].state.is_known()
        {
            self.touch(now, at);
            released(packet, Released::Known(self.slots[at as usize].mac));
            return None;
        }
        let limits = self.config;
        if limits.queue_packets == 0
            || limits.max_pending == 0
            || u64::from(packet.len()) > limits.queue_bytes
        {
            self.counters.not_held += 1;
            released(packet, Released::QueueFull);
            return None;
        }
        self.counters.held += 1;
        let is_asked = found.is_some_and(|at| self.slots[at as usize].state == State::Incomplete);
        let at = match found {
            Some(at) => at,
            None => {
                self.forget_pending(&mut released);
                self.insert(key, State::Failed)
            }
        };
        if !is_asked {
            self.begin(at, asks);
        }
        self.holding += 1;
        let slot = &mut self.slots[at as usize];
        let (holding, counters) = (&mut self.holding, &mut self.counters);
        slot.queue.get_or_insert_default().push(packet, &limits, |packet| {
            *holding -= 1;
            counters.queue_full += 1;
            released(packet, Released::QueueFull);
        });
        (!is_asked).then_some(Unresolved { port, address })
    }

    /// Room for one more neighbour that is not known: those that did not answer give way, then the one that is waited for
    /// longest.
    fn forget_pending(&mut self, released: &mut impl FnMut(Skb, Released)) {
        while self.incomplete.len() + self.failed.len() >= self.config.max_pending {
            let Some(oldest) = self.failed.oldest().or(self.incomplete.oldest()) else { return };
            let packets = self.take_queue(oldest);
            self.counters.displaced += packets.len() as u64;
            self.counters.pending_displaced += u64::from(!packets.is_empty());
            packets.into_iter().for_each(|packet| released(packet, Released::Displaced));
            self.remove_at(oldest);
        }
    }

    /// A new entry, in no list yet but that of `state`.
    pub(crate) fn insert(&mut self, key: Key, state: State) -> u32 {
        let slot = Slot::new(key, state, self.now);
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        let (seed, slots) = (self.seed, &self.slots);
        self.index.insert(key.hash(seed), at, |at| slots[at as usize].key.hash(seed));
        self.enter(at);
        at
    }

    /// Takes an entry out, whose queue is empty or given back.
    pub(crate) fn remove_at(&mut self, at: u32) {
        self.leave(at);
        if let Some(timer) = self.slots[at as usize].timer.take() {
            self.timers.cancel(timer);
        }
        let (seed, slots) = (self.seed, &self.slots);
        let hash_of = |at: u32| slots[at as usize].key.hash(seed);
        self.index.remove(hash_of(at), at, hash_of);
        // Somebody may still say that the neighbour with this number was used.
        self.slots[at as usize].state = State::Failed;
        self.free.push(at);
    }

    pub(crate) fn take_queue(&mut self, at: u32) -> Vec<Skb> {
        let queue = self.slots[at as usize].queue.take();
        let packets: Vec<Skb> = queue.map_or_else(Vec::new, |queue: Box<Queue>| queue.packets.into());
        self.holding -= packets.len();
        packets
    }

    pub(crate) fn clock(&mut self, now: Instant) -> Instant {
        self.counters.clock_went_back += u64::from(now < self.now);
        self.now = self.now.max(now);
        self.timers.advance(self.now);
        self.now
    }
}

pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}
