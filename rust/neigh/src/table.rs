//! The table of neighbours.
use crate::pending::{Expired, Pending, Released, Unresolved};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use netfast_buf::Skb;
use netfast_low::hash::Seed;
use netfast_time::{Duration, Instant};
use std::net::IpAddr;
use thiserror::Error;

/// A link (Ethernet) address.
pub type Mac = [u8; 6];

/// Limits of a table of neighbours. What happens at each says [the crate](crate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourConfig {
    /// Entries (65,536).
    pub max_entries: usize,
    /// Packets that wait for one neighbour (101, as Linux's `unres_qlen` has it).
    pub queue_packets: usize,
    /// Bytes of packets that wait for one neighbour (212,992, as Linux's `unres_qlen_bytes` has it).
    pub queue_bytes: u64,
    /// Neighbours that packets wait for (256).
    pub max_pending: usize,
    /// How long after the first packet a neighbour is waited for (3 s: three solicitations, RFC 4861 10).
    pub pending_timeout: Duration,
}

impl Default for NeighbourConfig {
    fn default() -> Self {
        Self {
            max_entries: 65_536,
            queue_packets: 101,
            queue_bytes: 212_992,
            max_pending: 256,
            pending_timeout: Duration::from_secs(3),
        }
    }
}

/// Why a table of neighbours was not changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeighError {
    /// The table has as many entries as it may.
    #[error("{address} is one neighbour too many for {limit}: remove others, or raise max_entries")]
    TableFull {
        /// The neighbour that was refused.
        address: IpAddr,
        /// [`NeighbourConfig::max_entries`].
        limit: usize,
    },
    /// A group or the unspecified address is nobody's.
    #[error("the address {address} is not unicast: a neighbour is one node")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
}

/// What happened to a table, since it was made. Always: `held` is `resolved`, `queue_full`, `displaced` and `expired` and
/// what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries set that were new or changed.
    pub set: u64,
    /// Entries removed.
    pub removed: u64,
    /// Entries refused: [`NeighError::TableFull`].
    pub refused: u64,
    /// Packets taken to wait.
    pub held: u64,
    /// Packets given back because their neighbour was set.
    pub resolved: u64,
    /// Packets given back as [`Released::QueueFull`] after they waited.
    pub queue_full: u64,
    /// Packets given back as [`Released::QueueFull`] at once, because they alone are above a limit.
    pub not_held: u64,
    /// Packets given back as [`Released::Displaced`].
    pub displaced: u64,
    /// Packets given back by [`Neighbours::poll_expired`].
    pub expired: u64,
    /// Times that the clock went back; it counts as standing still.
    pub clock_went_back: u64,
}

/// A neighbour at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) port: u32,
    pub(crate) address: IpAddr,
}

impl Key {
    pub(crate) fn hash(&self, seed: Seed) -> u64 {
        let (wide, version) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 4),
            IpAddr::V6(address) => (address.to_bits(), 6),
        };
        seed.hash5(&[(wide >> 64) as u64, wide as u64, u64::from(self.port), version, 0])
    }
}

/// One entry, as [`Neighbours::iter`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The port that the neighbour is at.
    pub port: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its link address.
    pub mac: Mac,
    /// Its place: below the highest number of entries that there were at once. A place is used again when its entry was
    /// removed.
    pub slot: u32,
}

impl Entry {
    fn key(&self) -> Key {
        Key { port: self.port, address: self.address }
    }
}

/// Neighbours of a node's ports.
#[derive(Debug)]
pub struct Neighbours {
    config: NeighbourConfig,
    seed: Seed,
    entries: HashTable<Entry>,
    /// Slots of removed entries.
    free: Vec<u32>,
    /// Of each slot ever used, the generation of its last change.
    changed_at: Vec<u64>,
    /// Slots that changed since [`Neighbours::changes`] was asked; each once, so no more than there are slots.
    changes: Vec<u32>,
    is_listed: Vec<bool>,
    generation: u64,
    pending: Pending,
    now: Instant,
    counters: Counters,
}

impl Neighbours {
    /// An empty table. The seed keeps strangers from aiming at one bucket.
    pub fn new(config: NeighbourConfig, seed: u64) -> Self {
        let seed = Seed::new(seed);
        Self {
            config,
            seed,
            entries: HashTable::new(),
            free: Vec::new(),
            changed_at: Vec::new(),
            changes: Vec::new(),
            is_listed: Vec::new(),
            generation: 0,
            pending: Pending::new(seed.next()),
            now: Instant::ZERO,
            counters: Counters::default(),
        }
    }

    /// The link address of a neighbour.
    #[inline]
    pub fn resolve(&self, port: u32, address: IpAddr) -> Option<Mac> {
        self.entry(port, address).map(|entry| entry.mac)
    }

    /// The entry of a neighbour.
    #[inline]
    pub fn entry(&self, port: u32, address: IpAddr) -> Option<Entry> {
        let key = Key { port, address };
        self.entries.find(key.hash(self.seed), |entry| entry.key() == key).copied()
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.entries.iter().copied()
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Raised by each change of an entry.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation that a slot changed in last; 0 for one that was never used.
    pub fn slot_generation(&self, slot: u32) -> u64 {
        self.changed_at.get(slot as usize).copied().unwrap_or(0)
    }

    /// Takes the slots that changed since this was asked last, each once.
    pub fn changes(&mut self) -> impl ExactSizeIterator<Item = u32> {
        for &slot in &self.changes {
            self.is_listed[slot as usize] = false;
        }
        self.changes.drain(..)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Packets that wait.
    pub fn holding(&self) -> usize {
        self.pending.packets()
    }

    /// Neighbours that packets wait for, the one that is waited for longest first.
    pub fn pending(&self) -> impl Iterator<Item = Unresolved> {
        self.pending.keys()
    }

    /// Sets a neighbour, in the place of what was known of it. Gives back what waited for it, in order.
    ///
    /// # Errors
    /// [`NeighError`]; nothing is changed then, and what waits goes on waiting.
    pub fn set(&mut self, port: u32, address: IpAddr, mac: Mac) -> Result<Vec<Skb>, NeighError> {
        if !is_unicast(address) {
            return Err(NeighError::NotUnicast { address });
        }
        let (key, seed, full) = (Key { port, address }, self.seed, self.len() >= self.config.max_entries);
        let hash = key.hash(seed);
        match self.entries.entry(hash, |entry| entry.key() == key, |entry| entry.key().hash(seed)) {
            Slot::Occupied(mut known) => {
                let entry = known.get_mut();
                if entry.mac != mac {
                    entry.mac = mac;
                    let slot = entry.slot;
                    self.changed(slot);
                    self.counters.set += 1;
                }
            }
            Slot::Vacant(_) if full => {
                self.counters.refused += 1;
                return Err(NeighError::TableFull { address, limit: self.config.max_entries });
            }
            Slot::Vacant(vacant) => {
                let slot = self.free.pop().unwrap_or(self.changed_at.len() as u32);
                vacant.insert(Entry { port, address, mac, slot });
                if slot as usize == self.changed_at.len() {
                    self.changed_at.push(0);
                    self.is_listed.push(false);
                }
                self.changed(slot);
                self.counters.set += 1;
            }
        }
        let waited = self.pending.take(key);
        self.counters.resolved += waited.len() as u64;
        Ok(waited)
    }

    /// Forgets a neighbour; true when it was known. What comes for it from now on waits.
    pub fn remove(&mut self, port: u32, address: IpAddr) -> bool {
        let key = Key { port, address };
        let Ok(found) = self.entries.find_entry(key.hash(self.seed), |entry| entry.key() == key) else {
            return false;
        };
        let (entry, _) = found.remove();
        self.free.push(entry.slot);
        self.changed(entry.slot);
        self.counters.removed += 1;
        true
    }

    /// Lets a packet wait until its neighbour is set. Packets that cannot wait any longer, or not at all, go to
    /// `released`. Gives the neighbour when this is the first packet that waits for it: somebody has to be asked.
    pub fn hold(
        &mut self,
        now: Instant,
        port: u32,
        address: IpAddr,
        packet: Skb,
        mut released: impl FnMut(Skb, Released),
    ) -> Option<Unresolved> {
        let now = self.clock(now);
        if let Some(mac) = self.resolve(port, address) {
            released(packet, Released::Known(mac));
            return None;
        }
        let limits = &self.config;
        if limits.queue_packets == 0
            || limits.max_pending == 0
            || u64::from(packet.len()) > limits.queue_bytes
        {
            self.counters.not_held += 1;
            released(packet, Released::QueueFull);
            return None;
        }
        self.counters.held += 1;
        let counters = &mut self.counters;
        self.pending.hold(now, Key { port, address }, packet, limits, |packet, why| {
            match why {
                Released::Displaced => counters.displaced += 1,
                _ => counters.queue_full += 1,
            }
            released(packet, why);
        })
    }

    /// One neighbour that was not set in time, with what waited for it; ask until there is none.
    pub fn poll_expired(&mut self, now: Instant) -> Option<Expired> {
        let now = self.clock(now);
        let expired = self.pending.expired(now, self.config.pending_timeout)?;
        self.counters.expired += expired.packets.len() as u64;
        Some(expired)
    }

    /// When [`Neighbours::poll_expired`] has something to give, if nothing changes.
    pub fn next_timeout(&self) -> Option<Instant> {
        Some(self.pending.oldest()? + self.config.pending_timeout)
    }

    fn changed(&mut self, slot: u32) {
        self.generation += 1;
        self.changed_at[slot as usize] = self.generation;
        if !std::mem::replace(&mut self.is_listed[slot as usize], true) {
            self.changes.push(slot);
        }
    }

    fn clock(&mut self, now: Instant) -> Instant {
        self.counters.clock_went_back += u64::from(now < self.now);
        self.now = self.now.max(now);
        self.now
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}
