//! The table that lets the later fragments of a datagram find the flow of its first: virtual reassembly.
use hashbrown::HashTable;
use netfast_low::hash::Seed;
use std::collections::VecDeque;

/// How first fragments are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentConfig {
    /// How long after a first fragment the others are still its own, in ns (RFC 8200 4.5 gives them 60 s).
    pub timeout_ns: u64,
    /// First fragments remembered; at the limit the oldest is forgotten, and counted.
    pub limit: usize,
    /// Seed of the table's hash.
    pub seed: u64,
}

impl Default for FragmentConfig {
    fn default() -> Self {
        Self { timeout_ns: 60_000_000_000, limit: 1 << 16, seed: 0 }
    }
}

/// What the table did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// First fragments seen.
    pub first: u64,
    /// Later fragments that found theirs.
    pub matched: u64,
    /// Later fragments that did not.
    pub unmatched: u64,
    /// First fragments forgotten before their time because the table was full.
    pub forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct First<T> {
    key: [u64; 5],
    since_ns: u64,
    serial: u64,
    value: T,
}

/// Remembers, for a datagram's key, what its first fragment told.
///
/// The key says what fragments of one datagram have in common (addresses, identification, for IPv4 the protocol); the
/// caller makes it. An identification that comes again replaces the older datagram.
#[derive(Debug)]
pub struct FragmentTable<T> {
    config: FragmentConfig,
    seed: Seed,
    table: HashTable<First<T>>,
    /// Keys in the order in which they came, with their serial: a key that came again has a newer one.
    order: VecDeque<([u64; 5], u64, u64)>,
    serial: u64,
    counts: FragmentCounts,
}

impl<T: Copy> FragmentTable<T> {
    /// An empty table; a limit of 0 counts as 1.
    pub fn new(config: FragmentConfig) -> Self {
        Self {
            config: FragmentConfig { limit: config.limit.max(1), ..config },
            seed: Seed::new(config.seed),
            table: HashTable::new(),
            order: VecDeque::new(),
            serial: 0,
            counts: FragmentCounts::default(),
        }
    }

    /// Remembers a first fragment seen at `now_ns`.
    pub fn first(&mut self, key: [u64; 5], value: T, now_ns: u64) {
        self.counts.first += 1;
        self.expire(now_ns);
        self.serial += 1;
        let seed = self.seed;
        let first = First { key, since_ns: now_ns, serial: self.serial, value };
        match self.table.find_mut(seed.hash5(&key), |other| other.key == key) {
            Some(other) => *other = first,
            None => {
                self.table.insert_unique(seed.hash5(&key), first, |other| seed.hash5(&other.key));
            }
        }
        self.order.push_back((key, now_ns, self.serial));
        // The order holds replaced keys, too, so it is what the limit bounds.
        while self.order.len() > self.config.limit {
            self.counts.forgotten += u64::from(self.forget_oldest());
        }
    }

    /// What the first fragment of a later one's datagram told, if it was seen in time.
    pub fn later(&mut self, key: [u64; 5], now_ns: u64) -> Option<T> {
        let found = self.table.find(self.seed.hash5(&key), |first| first.key == key);
        let found = found.filter(|first| now_ns.saturating_sub(first.since_ns) <= self.config.timeout_ns);
        match found {
            Some(first) => {
                self.counts.matched += 1;
                Some(first.value)
            }
            None => {
                self.counts.unmatched += 1;
                None
            }
        }
    }

    /// Datagrams remembered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Forgets all; the counters stay.
    pub fn clear(&mut self) {
        self.table.clear();
        self.order.clear();
    }

    /// Bytes that the table occupies.
    pub fn memory(&self) -> usize {
        self.table.allocation_size() + self.order.capacity() * size_of::<([u64; 5], u64, u64)>()
    }

    /// Counters.
    pub fn counts(&self) -> FragmentCounts {
        self.counts
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some(&(_, since_ns, _)) = self.order.front() {
            if now_ns.saturating_sub(since_ns) <= self.config.timeout_ns {
                break;
            }
            self.forget_oldest();
        }
    }

    /// True when the oldest was still remembered.
    fn forget_oldest(&mut self) -> bool {
        let Some((key, _, serial)) = self.order.pop_front() else { return false };
        let found =
            self.table.find_entry(self.seed.hash5(&key), |first| first.key == key && first.serial == serial);
        found.map(|entry| entry.remove()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u64) -> [u64; 5] {
        [1, 2, 3, 4, id]
    }

    #[test]
    fn later_fragments_find_their_first_until_the_timeout() {
        let mut table = FragmentTable::new(FragmentConfig { timeout_ns: 10, ..Default::default() });
        table.first(key(1), 'a', 100);
        assert_eq!((table.later(key(1), 110), table.later(key(2), 110)), (Some('a'), None));
        assert_eq!(table.later(key(1), 111), None);
        table.first(key(2), 'b', 200);
        assert_eq!(table.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn an_identification_used_again_is_the_newer_datagram() {
        let mut table = FragmentTable::new(FragmentConfig { timeout_ns: 10, ..Default::default() });
        table.first(key(1), 'a', 100);
        table.first(key(1), 'b', 105);
        table.first(key(3), 'c', 112);
        assert_eq!(table.later(key(1), 112), Some('b'), "the older one's end does not end it");
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let mut table = FragmentTable::new(FragmentConfig { limit: 8, ..Default::default() });
        for id in 0..100 {
            table.first(key(id), id, 0);
            table.first(key(id), id, 0);
        }
        assert!(table.len() <= 8 && table.order.len() <= 8);
        assert_eq!(table.later(key(99), 0), Some(99));
        assert_eq!(table.counts().forgotten, 100 - table.len() as u64);
    }
}
