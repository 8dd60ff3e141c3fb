//! The elements of a set that rules change.

use hashbrown::HashTable;
use netfast_low::hash::Seed;
use netfast_time::Instant;
use smallvec::SmallVec;

use super::{ALWAYS, Change, DynamicSpec, Each, Operation, after};
use crate::sets::Values;

/// Elements that are looked at, whether they are over, each time that time goes on.
const SWEEP: usize = 16;
/// Nanoseconds in which all elements of a full set are looked at, as often as Linux collects.
const ROUND: u64 = 1_000_000_000;
/// The most that are looked at for that at a time.
const MAX_ROUND: u64 = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub key: Values,
    /// Nanoseconds; [`ALWAYS`] for one that stays.
    pub expires: u64,
    pub each: SmallVec<[Each; 1]>,
}

impl Item {
    /// One that a packet puts in, and whether the rule goes on behind it.
    pub fn begin(key: &Values, change: &Change, length: u32, now: Instant) -> (Self, bool) {
        let (key, expires) = (key.clone(), after(now, change.timeout));
        let mut item = Self { key, expires, each: change.each.clone() };
        let goes_on = item.ask(length, now);
        (item, goes_on)
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.expires <= now.as_nanos()
    }

    fn ask(&mut self, length: u32, now: Instant) -> bool {
        self.each.iter_mut().all(|each| each.run(length, now))
    }

    /// A packet comes to it by a statement that puts it in: whether the rule goes on.
    pub fn meet(&mut self, change: &Change, length: u32, now: Instant) -> bool {
        if change.operation == Operation::Update && self.expires != ALWAYS {
            self.expires = after(now, change.timeout);
        }
        self.ask(length, now)
    }
}

/// How an element stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    /// Its time is over; it still takes room.
    Over,
    There(Item),
}

/// The elements of a set that rules change.
#[derive(Clone, Debug)]
pub(crate) struct DynamicSet {
    pub(super) size: usize,
    pub(super) items: Vec<Item>,
    index: HashTable<u32>,
    pub(super) seed: Seed,
    /// How many elements have a time.
    timed: usize,
    /// Where the next look for elements that are over begins.
    hand: usize,
    /// When the last look was.
    looked: Instant,
    /// Elements that have come or found no room since then.
    came: usize,
    /// Elements that found no room.
    pub(super) refused: u64,
    /// Sum of the hashes of all keys that statements were carried out for: tells which, whatever came of it.
    pub(super) trail: u64,
    /// The times of the elements that it was declared with have begun.
    pub(super) started: bool,
}

/// Equal are those with the same elements.
impl PartialEq for DynamicSet {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items && self.refused == other.refused
    }
}

impl Eq for DynamicSet {}

impl DynamicSet {
    /// With the elements that it is declared with; their times have not begun.
    pub fn new(spec: &DynamicSpec, seed: Seed) -> Self {
        let items = spec.initial.iter().map(|(key, timeout)| Item {
            key: key.clone(),
            expires: *timeout,
            each: SmallVec::new(),
        });
        Self::of(spec.size, seed, items)
    }

    fn of(size: usize, seed: Seed, items: impl Iterator<Item = Item>) -> Self {
        let mut set = Self {
            size,
            items: Vec::new(),
            index: HashTable::new(),
            seed,
            timed: 0,
            hand: 0,
            looked: Instant::ZERO,
            came: 0,
            refused: 0,
            trail: 0,
            started: false,
        };
        for item in items {
            set.insert(set.hash(&item.key), item);
        }
        set
    }

    /// The times of the elements that it was declared with begin now.
    pub(super) fn start(&mut self, now: Instant) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for item in &mut self.items {
            item.expires = after(now, item.expires);
        }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Keys come from packets, so their hash is keyed.
    pub(super) fn hash(&self, key: &Values) -> u64 {
        hash_of(self.seed, key)
    }

    fn position(&self, hash: u64, key: &Values) -> Option<usize> {
        let found = self.index.find(hash, |&at| self.items[at as usize].key == *key)?;
        Some(*found as usize)
    }

    pub fn contains(&self, key: &Values, now: Instant) -> bool {
        let at = self.position(self.hash(key), key);
        at.is_some_and(|at| !self.started || !self.items[at].is_over(now))
    }

    /// How an element stands for a statement that is carried out now.
    pub(super) fn standing(&self, key: &Values, now: Instant) -> Standing {
        let Some(at) = self.position(self.hash(key), key) else { return Standing::Absent };
        let mut item = self.items[at].clone();
        if !self.started {
            item.expires = after(now, item.expires);
        }
        if item.is_over(now) { Standing::Over } else { Standing::There(item) }
    }

    pub(super) fn item(&self, key: &Values) -> Option<&Item> {
        self.position(self.hash(key), key).map(|at| &self.items[at])
    }

    /// The same with other elements, whose times have begun.
    pub(super) fn with(&self, size: usize, items: impl IntoIterator<Item = Item>) -> Self {
        let set = Self::of(size, self.seed, items.into_iter());
        Self { refused: self.refused, looked: self.looked, trail: self.trail, started: true, ..set }
    }

    fn insert(&mut self, hash: u64, item: Item) {
        let at = self.items.len() as u32;
        self.timed += usize::from(item.expires != ALWAYS);
        self.items.push(item);
        let (items, seed) = (&self.items, self.seed);
        self.index.insert_unique(hash, at, |&at| hash_of(seed, &items[at as usize].key));
    }

    fn remove(&mut self, at: usize) {
        let hash = self.hash(&self.items[at].key);
        if let Ok(entry) = self.index.find_entry(hash, |&found| found as usize == at) {
            entry.remove();
        }
        let last = self.items.len() - 1;
        if at != last {
            let hash = self.hash(&self.items[last].key);
            if let Some(found) = self.index.find_mut(hash, |&found| found as usize == last) {
                *found = at as u32;
            }
        }
        let removed = self.items.swap_remove(at);
        self.timed -= usize::from(removed.expires != ALWAYS);
    }

    /// Takes out some elements that are over: more than have come since the last time, and of a full set so many that all
    /// are looked at within a second.
    pub fn sweep(&mut self, now: Instant) {
        self.start(now);
        let passed = now.since(std::mem::replace(&mut self.looked, now)).as_nanos().min(ROUND);
        let mut count = SWEEP + 2 * std::mem::take(&mut self.came);
        if self.timed == 0 {
            return;
        }
        if self.items.len() >= self.size {
            count += (self.items.len() as u64 * passed / ROUND).min(MAX_ROUND) as usize;
        }
        for _ in 0..count.min(self.items.len()) {
            if self.hand >= self.items.len() {
                self.hand = 0;
            }
            match self.items.get(self.hand).is_some_and(|item| item.is_over(now)) {
                true => self.remove(self.hand),
                false => self.hand += 1,
            }
        }
    }

    /// Carries a statement out; whether its rule goes on.
    pub fn change(&mut self, change: &Change, key: &Values, length: u32, now: Instant) -> bool {
        self.start(now);
        let hash = self.hash(key);
        self.trail = self.trail.wrapping_add(hash);
        if let Some(at) = self.position(hash, key) {
            if change.operation == Operation::Delete || self.items[at].is_over(now) {
                self.remove(at);
            } else {
                return self.items[at].meet(change, length, now);
            }
        }
        match change.operation {
            Operation::Delete => return true,
            Operation::Look => return false,
            Operation::Add | Operation::Update => self.came += 1,
        }
        if self.items.len() >= self.size {
            self.refused += 1;
            return false;
        }
        let (item, goes_on) = Item::begin(key, change, length, now);
        self.insert(hash, item);
        goes_on
    }
}

fn hash_of(seed: Seed, key: &Values) -> u64 {
    key.iter()
        .fold(key.len() as u64, |state, part| seed.hash5(&[state, *part as u64, (*part >> 64) as u64, 0, 0]))
}
