//! The index of the flow table: buckets of one cache line, found by hash, that say where an entry stands.
use netfast_low::pages::advise_huge;
use netfast_low::prefetch::prefetch_within;
use netfast_low::tags::Tags;

/// Tags that are compared at once, and those that are not, which are there so that few entries find no room.
const FIRST: usize = 8;
const MORE: usize = 2;
/// Entries of a bucket.
const SLOTS: usize = FIRST + MORE;
/// Mean entries per bucket above which the index grows: one in three hundred then finds its bucket full.
const MEAN_FILL: usize = 5;
/// Buckets that a lookup may visit before the table asks for another seed.
const LONG_CHAIN: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: Tags,
    more: [u16; MORE],
    /// Entries that passed this bucket because it was full. At 65,535 the count sticks: lookups then always go on, which is
    /// slow and right.
    passed: u16,
    entries: [u32; SLOTS],
}

impl Bucket {
    /// The slots with this tag, the lowest first.
    #[inline(always)]
    fn slots(&self, tag: u16) -> impl Iterator<Item = usize> {
        let more = self.more;
        self.tags
            .matches(tag)
            .chain((0..MORE).filter(move |&slot| more[slot] == tag).map(|slot| FIRST + slot))
    }

    fn set(&mut self, slot: usize, tag: u16) {
        match slot.checked_sub(FIRST) {
            None => self.tags.0[slot] = tag,
            Some(slot) => self.more[slot] = tag,
        }
    }
}

/// Maps a hash to candidate entries; the caller compares keys.
///
/// An entry that finds its bucket full goes to the next one and is counted in each bucket that it passed, so that a
/// lookup goes on only where something did pass.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    len: usize,
    longest: usize,
}

impl Index {
    pub fn new() -> Self {
        Self { buckets: vec![Bucket::default(); 64], len: 0, longest: 0 }
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> usize {
        (hash >> 20) as usize & (self.buckets.len() - 1)
    }

    /// A tag is never 0: that is an empty slot.
    #[inline(always)]
    fn tag(hash: u64) -> u16 {
        hash as u16 | 1
    }

    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch_within(&self.buckets, self.bucket(hash));
    }

    /// The first candidate in the home bucket: almost always the right one.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        let bucket = &self.buckets[self.bucket(hash)];
        bucket.slots(Self::tag(hash)).next().map(|slot| bucket.entries[slot])
    }

    /// The entry of this hash for which `same` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.bucket(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            let mut entries = bucket.slots(Self::tag(hash)).map(|slot| bucket.entries[slot]);
            if let Some(entry) = entries.find(|&entry| same(entry)) {
                return Some(entry);
            }
            if bucket.passed == 0 {
                return None;
            }
            at = (at + 1) & (self.buckets.len() - 1);
        }
        None
    }

    /// Adds an entry that is not in the index.
    pub fn insert(&mut self, hash: u64, entry: u32) {
        let mut at = self.bucket(hash);
        let mut visited = 1;
        loop {
            let mask = self.buckets.len() - 1;
            let bucket = &mut self.buckets[at];
            let free = bucket.slots(0).next();
            if let Some(slot) = free {
                bucket.set(slot, Self::tag(hash));
                bucket.entries[slot] = entry;
                self.len += 1;
                self.longest = self.longest.max(visited);
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
            visited += 1;
            at = (at + 1) & mask;
        }
    }

    /// Removes an entry; false when it was not there.
    pub fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let mask = self.buckets.len() - 1;
        let home = self.bucket(hash);
        let mut at = home;
        for _ in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            let found = bucket.slots(Self::tag(hash)).find(|&slot| bucket.entries[slot] == entry);
            if let Some(slot) = found {
                bucket.set(slot, 0);
                self.len -= 1;
                while at != home {
                    at = at.wrapping_sub(1) & mask;
                    let count = &mut self.buckets[at].passed;
                    if *count != u16::MAX {
                        *count -= 1;
                    }
                }
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    /// True when the next insertion should be preceded by [`Index::rebuild`] at twice the size.
    pub fn is_crowded(&self) -> bool {
        self.len >= self.buckets.len() * MEAN_FILL
    }

    /// True when chains are longer than chance makes them: somebody aims at a bucket.
    pub fn has_long_chain(&self) -> bool {
        self.longest > LONG_CHAIN
    }

    /// Places all entries anew, with room for `room` of them.
    pub fn rebuild(&mut self, room: usize, entries: impl Iterator<Item = (u64, u32)>) {
        let buckets = room.div_ceil(MEAN_FILL).next_power_of_two().max(64);
        let mut empty = Vec::with_capacity(buckets);
        advise_huge(empty.spare_capacity_mut());
        empty.resize(buckets, Bucket::default());
        *self = Self { buckets: empty, len: 0, longest: 0 };
        for (hash, entry) in entries {
            self.insert(hash, entry);
        }
    }

    /// Bytes that the index occupies.
    pub fn memory(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Few hashes, so that buckets overflow into each other all the time.
        #[test]
        fn behaves_like_a_map(operations in proptest::collection::vec((0u64..6, 0u32..80, any::<bool>()), 0..600)) {
            let mut index = Index::new();
            let mut oracle: HashMap<u32, u64> = HashMap::new();
            for (hash, entry, add) in operations {
                // Two of the hashes share a tag, all share few buckets.
                let hash = hash << 20 | (hash & 1) << 1;
                if add && !oracle.contains_key(&entry) {
                    index.insert(hash, entry);
                    oracle.insert(entry, hash);
                } else if !add {
                    let expected = oracle.get(&entry) == Some(&hash);
                    let same = |e: u32| e == entry && oracle.get(&e) == Some(&hash);
                    prop_assert_eq!(index.find(hash, same).is_some(), expected);
                    if expected {
                        prop_assert!(index.remove(hash, entry));
                        oracle.remove(&entry);
                    }
                }
                for (&entry, &hash) in &oracle {
                    prop_assert_eq!(index.find(hash, |e| e == entry), Some(entry));
                }
            }
            for (&entry, &hash) in &oracle {
                prop_assert!(index.remove(hash, entry));
            }
            prop_assert_eq!(index.len, 0);
            let is_empty = |bucket: &Bucket| bucket.slots(0).count() == SLOTS && bucket.passed == 0;
            prop_assert!(index.buckets.iter().all(is_empty));
        }
    }

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }
}
