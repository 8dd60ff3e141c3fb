//! The unified flow cache: one entry for both ways of a connection, found by one lookup.
//!
//! The table knows keys, places, expiry and room; what programs, stamps, classes and status bits mean is its owner's.
//! A translated connection is found by a second key, that of its replies; each of the two keys then stands for one way
//! only, since a reply that was not translated is no packet of the connection.
mod entry;
mod find;
mod slab;
mod spare;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Leaving, NONE, NatLine, OneEnd, address_change};
pub use find::Hit;

use crate::conntrack::Way;
use crate::endpoints::Endpoints;
use crate::index::Index;
use crate::key::{Direction, FlowKey};
use netfast_low::hash::Seed;
use netfast_low::pages::advise_huge;
use netfast_low::zeroed::Zeroed;
use slab::Slab;
use spare::Spare;
use zerocopy::FromZeros;

/// Entries from which on large pages are asked for: 2 MB of them.
const HUGE_FROM: usize = 1 << 14;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Connections in the table; at the limit one that is not worth keeping goes, or the new one is refused.
    pub max_connections: u32,
    /// Seed of the hash, unpredictable where packets come from strangers.
    pub seed: u64,
}

impl Default for CacheConfig {
    /// 262,144, as Linux has it on a machine with memory enough.
    fn default() -> Self {
        Self { max_connections: 1 << 18, seed: 0 }
    }
}

/// What of a connection no hit reads. Two of them in a line: one that stands in two lines is waited for twice.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Cold {
    /// The next hop that each way took, remembered when tables change.
    hops: [u32; 2],
    /// Number of the connection, unique for the life of the table.
    serial: u64,
    /// When its first packet came, ns.
    pub created: u64,
    /// The connection's mark.
    pub mark: u32,
    /// Status bits, the owner's.
    pub status: u16,
}

const _: () = assert!(size_of::<Cold>() == 32);

impl Cold {
    fn new(serial: u64, created: u64) -> Self {
        Self { hops: [NONE; 2], serial, created, mark: 0, status: 0 }
    }
}

/// Why a cache was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A limit that leaves no room.
    #[error("max_connections is {0}; it must be between 1 and {max}", max = FlowCache::<()>::MOST_CONNECTIONS)]
    MaxConnections(u32),
    /// The system does not give address space for so many.
    #[error("no memory for max_connections = {0}; ask for fewer")]
    Memory(u32),
}

/// What the table did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Connections entered.
    pub inserted: u64,
    /// Connections taken out.
    pub removed: u64,
    /// Times that the hash took another seed because of long chains.
    pub reseeded: u64,
    /// Times that the index grew.
    pub grown: u64,
}

/// A place in the index: the entry, and by which of its keys it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Place of the entry.
    pub entry: u32,
    /// Which way a packet with this key and direction goes.
    pub way: Way,
}

/// What the index holds: the entry above two bits, whether it is translated and whether the key is that of its replies.
const REPLY: u32 = 1 << 0;
const TRANSLATED: u32 = 1 << 1;

#[inline(always)]
const fn entry_of(place: u32) -> u32 {
    place >> 2
}

const fn place_of(at: u32, translated: bool) -> u32 {
    at << 2 | if translated { TRANSLATED } else { 0 }
}

/// How a packet of a way leaves, when its connection is translated.
#[inline(never)]
fn leaving(nats: &Slab<NatLine>, entry: &Entry, way: Way) -> Option<Leaving> {
    entry.leaving(way).or_else(|| Some(nats.items.get(entry.line()?)?.leaving(entry, way)))
}

/// The ends of a translated connection's replies as they arrive.
#[inline(always)]
fn reply_of(nats: &Slab<NatLine>, entry: &Entry) -> Option<Endpoints> {
    match entry.reply() {
        Some(reply) => Some(reply),
        None => Some(nats.items.get(entry.line()?)?.reply),
    }
}

/// Connections, each with up to one line of `T` (the state of a tracked transport connection), and one of NAT where both ends are
/// translated, or one of another protocol than TCP and UDP.
#[derive(Debug)]
pub struct FlowCache<T> {
    config: CacheConfig,
    seed: Seed,
    index: Index,
    entries: Vec<Entry>,
    /// What is not read for each packet.
    cold: Vec<Cold>,
    free: Vec<u32>,
    /// The state of its transport connection stands where an entry does, so that both are asked for at once; without one nothing is
    /// there. There is room for all connections that may be, of zeros that the system gives: memory where it is written.
    transports: Zeroed<Line<T>>,
    nats: Slab<NatLine>,
    /// Connections that are translated, with a line or without.
    translated: usize,
    hand: u32,
    spare: Spare,
    /// Connections that must have been entered before the seed may change again.
    reseed_from: u64,
    counts: CacheCounts,
}

impl<T: Copy + FromZeros> FlowCache<T> {
    /// The most connections that a table may be told to hold.
    pub const MOST_CONNECTIONS: u32 = 1 << 28;

    /// An empty table.
    ///
    /// # Errors
    /// A limit out of range, or more than the system has room for.
    pub fn new(config: CacheConfig) -> Result<Self, CacheError> {
        if !(1..=Self::MOST_CONNECTIONS).contains(&config.max_connections) {
            return Err(CacheError::MaxConnections(config.max_connections));
        }
        let (max, no_memory) = (config.max_connections as usize, CacheError::Memory(config.max_connections));
        let (mut entries, mut cold) = (Vec::new(), Vec::new());
        // Address space, not memory: pages become real when connections do, and nothing ever moves.
        entries.try_reserve_exact(max).map_err(|_| no_memory)?;
        cold.try_reserve_exact(max).map_err(|_| no_memory)?;
        let transports = Zeroed::new(max).ok_or(no_memory)?;
        Ok(Self {
            config,
            seed: Seed::new(config.seed),
            index: Index::new(),
            entries,
            cold,
            free: Vec::new(),
            transports,
            nats: Slab::new(max),
            translated: 0,
            hand: 0,
            spare: Spare::new(),
            reseed_from: 0,
            counts: CacheCounts::default(),
        })
    }

    /// The seed under which hashes of keys are to be made; an insertion may change it.
    #[inline(always)]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// True without connections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when another connection needs another's place.
    pub fn is_full(&self) -> bool {
        self.len() >= self.config.max_connections as usize
    }

    /// The limit.
    pub fn max_connections(&self) -> u32 {
        self.config.max_connections
    }

    /// Counters.
    pub fn counts(&self) -> CacheCounts {
        self.counts
    }

    /// Bytes that entries, their lines and all indexes occupy.
    pub fn memory(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
            + self.cold.len() * size_of::<Cold>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.memory()
            + self.spare.places.memory()
            + self.transports.len() * size_of::<Line<T>>()
            + self.nats.memory()
    }

    /// How many connections are translated: those whose reply has a key of its own.
    pub fn translated(&self) -> usize {
        self.translated
    }

    /// An entry.
    #[inline(always)]
    pub fn entry(&self, at: u32) -> &Entry {
        &self.entries[at as usize]
    }

    /// An entry, to be changed.
    #[inline(always)]
    pub fn entry_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.entries[at as usize]
    }

    /// An entry and the state of its transport connection.
    #[inline(always)]
    pub fn entry_and_transport(&mut self, at: u32) -> (&mut Entry, Option<&mut T>) {
        let entry = &mut self.entries[at as usize];
        let line = self.transports.get_mut(at as usize).filter(|_| entry.has_transport());
        (entry, line.map(|line| &mut line.0))
    }

    /// The state of its transport connection.
    #[inline(always)]
    pub fn transport(&self, at: u32) -> Option<&T> {
        let has_one = self.entries[at as usize].has_transport();
        self.transports.get(at as usize).filter(|_| has_one).map(|line| &line.0)
    }

    /// How packets of a way leave, when the connection is translated.
    pub fn leaving(&self, at: u32, way: Way) -> Option<Leaving> {
        leaving(&self.nats, self.entry(at), way)
    }

    /// What of a connection no hit reads.
    #[inline(always)]
    pub fn cold(&self, at: u32) -> &Cold {
        &self.cold[at as usize]
    }

    /// The same, to be changed.
    #[inline(always)]
    pub fn cold_mut(&mut self, at: u32) -> &mut Cold {
        &mut self.cold[at as usize]
    }

    /// The next hop that each way took; [`NONE`] where there is none.
    pub fn hops(&self, at: u32) -> [u32; 2] {
        self.cold[at as usize].hops
    }

    /// The number of the connection: that of its insertion, never given again.
    pub fn serial(&self, at: u32) -> u64 {
        self.cold[at as usize].serial
    }

    /// Remembers the next hop of a way.
    pub fn set_hop(&mut self, at: u32, way: Way, hop: u32) {
        self.cold[at as usize].hops[way as usize] = hop;
    }

    /// The way of packets with this key and direction that `at` would have, and both keys: original's and replies'.
    pub fn keys(&self, at: u32) -> [(FlowKey, Direction); 2] {
        let entry = self.entry(at);
        let (key, first) = (entry.key(), entry.first());
        let reply = self.replies(at).map(|(ends, direction)| (ends.key(direction), direction));
        [(key, first), reply.unwrap_or((key, first.opposite()))]
    }

    /// Enters a connection, which may go for another one until [`FlowCache::keep`] is called; neither of its keys may be
    /// in the table. `None` when the table is full.
    ///
    /// `reply` is given for translated ones only: their replies' key and direction, and the checksum differences.
    pub fn insert(
        &mut self,
        (key, first): (FlowKey, Direction),
        reply: Option<NatLine>,
        transport: Option<T>,
        now_ns: u64,
    ) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        self.make_room();
        let ends = Endpoints::of_key(&key, first);
        let mut entry = Entry::new(ends, first, now_ns);
        let at = self.place();
        if let Some(transport) = transport {
            entry.set_transport();
            self.set_transport(at, transport);
        }
        let place = place_of(at, reply.is_some());
        if let Some(line) = reply {
            if !entry.translate(&line) {
                entry.set_line(self.nats.insert(line));
            }
            self.translated += 1;
            self.index.insert(line.reply.hash(self.seed), place | REPLY);
        }
        self.entries[at as usize] = entry;
        self.index.insert(ends.hash(self.seed), place);
        self.spare.places.add(at);
        self.counts.inserted += 1;
        self.cold[at as usize] = Cold::new(self.counts.inserted, now_ns);
        Some(at)
    }

    /// A line for [`FlowCache::insert`].
    pub fn nat_line(
        (reply, direction): (FlowKey, Direction),
        l3_change: [u16; 2],
        l4_change: [u16; 2],
    ) -> NatLine {
        NatLine::new(Endpoints::of_key(&reply, direction), direction, l3_change, l4_change)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, at: u32) {
        debug_assert!(self.is_live(at));
        let reply = self.replies(at);
        // The ends of no packet: what was a candidate a moment ago matches nothing.
        let entry = std::mem::replace(&mut self.entries[at as usize], Entry::EMPTY);
        let place = place_of(at, reply.is_some());
        self.index.remove(entry.ends.hash(self.seed), place);
        if let Some((ends, _)) = reply {
            self.index.remove(ends.hash(self.seed), place | REPLY);
            self.translated -= 1;
        }
        if let Some(line) = entry.line() {
            self.nats.remove(line as u32);
        }
        self.spare.places.take(at);
        self.free.push(at);
        self.counts.removed += 1;
    }

    /// True when the place holds a connection.
    pub fn is_live(&self, at: u32) -> bool {
        self.entries.get(at as usize).is_some_and(Entry::is_live)
    }

    /// The places of all connections, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.entries.len() as u32).filter(|&at| self.is_live(at))
    }

    /// Looks at `count` places after those it looked at last, round and round; what `over` says yes to is given to
    /// the caller, who removes it.
    pub fn sweep(&mut self, count: usize, over: impl Fn(&Entry) -> bool, found: &mut Vec<u32>) {
        let len = self.entries.len() as u32;
        let mut left = count.min(len as usize) as u32;
        while left > 0 {
            let start = if self.hand >= len { 0 } else { self.hand };
            let end = (start + left).min(len);
            for (at, entry) in (start..).zip(&self.entries[start as usize..end as usize]) {
                if over(entry) && entry.is_live() {
                    found.push(at);
                }
            }
            left -= end - start;
            self.hand = end;
        }
    }

    /// Places, live ones among them.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Of the next `sample` connections the one with the least `worth`, of those that have any.
    pub fn least(&mut self, sample: usize, worth: impl Fn(&Entry) -> Option<u64>) -> Option<u32> {
        let len = self.entries.len() as u32;
        let mut least: Option<(u64, u32)> = None;
        for _ in 0..sample.min(len as usize) {
            let at = if self.hand >= len { 0 } else { self.hand };
            self.hand = at + 1;
            if let Some(worth) = worth(&self.entries[at as usize]).filter(|_| self.is_live(at))
                && least.is_none_or(|(best, _)| worth < best)
            {
                least = Some((worth, at));
            }
        }
        least.map(|(_, at)| at)
    }

    fn place(&mut self) -> u32 {
        if let Some(at) = self.free.pop() {
            return at;
        }
        if self.entries.len() == HUGE_FROM {
            advise_huge(self.entries.spare_capacity_mut());
            advise_huge(self.cold.spare_capacity_mut());
        }
        self.entries.push(Entry::EMPTY);
        self.cold.push(Cold::new(0, 0));
        (self.entries.len() - 1) as u32
    }

    /// Writes the state of a connection's transport down at its place.
    fn set_transport(&mut self, at: u32, transport: T) {
        let at = at as usize;
        if (self.transports.len()..=at).contains(&HUGE_FROM) {
            advise_huge(&mut self.transports.all_mut()[HUGE_FROM..]);
        }
        self.transports.lengthen(at + 1);
        self.transports[at] = Line(transport);
    }

    fn make_room(&mut self) {
        let reseed = self.index.has_long_chain() && self.counts.inserted >= self.reseed_from;
        if reseed {
            self.seed = self.seed.next();
            self.counts.reseeded += 1;
            self.reseed_from = self.counts.inserted + self.len().max(1024) as u64;
        }
        if reseed || self.index.is_crowded() {
            self.counts.grown += u64::from(!reseed);
            let (seed, nats) = (self.seed, &self.nats);
            let live = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_live());
            let keys = live.flat_map(|(at, entry)| {
                let place = place_of(at as u32, entry.is_translated());
                let reply = reply_of(nats, entry).map(|reply| (reply, place | REPLY));
                std::iter::once((entry.ends, place)).chain(reply)
            });
            let keys = keys.map(|(ends, place)| (ends.hash(seed), place));
            let room = (self.entries.len() - self.free.len() + self.translated) * 2;
            self.index.rebuild(room, keys);
        }
    }
}

/// The state of a transport connection, on a line of its own: one that began in the middle of a line would end in the
/// next, which nobody asked for in time.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
struct Line<T>(T);
