//! Where slots are found by the hashes of their keys: places in a row, so that the memory of one can be asked for beforehand.
use crate::entry::NONE;
use netfast_low::prefetch::prefetch;

/// Places of a new index.
const FIRST: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The upper half of the hash.
    tag: u32,
    /// [`NONE`] where nothing is.
    slot: u32,
}

const EMPTY: Place = Place { tag: 0, slot: NONE };

/// A table with open addressing, at most half full.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<Place>,
    used: usize,
}

impl Index {
    pub fn new() -> Self {
        Self { places: vec![EMPTY; FIRST], used: 0 }
    }

    pub fn len(&self) -> usize {
        self.used
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.places.iter().filter(|place| place.slot != NONE).map(|place| place.slot)
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// Asks for the memory that [`Index::find`] looks at first.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.places, self.home(hash));
    }

    /// The slot with this hash for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = (hash >> 32) as u32;
        let mut at = self.home(hash);
        // It is at most half full.
        loop {
            let place = self.places[at];
            if place.slot == NONE {
                return None;
            }
            if place.tag == tag && is_it(place.slot) {
                return Some(place.slot);
            }
            at = self.next(at);
        }
    }

    /// Takes a slot in that is not there yet; `hash_of` gives the hashes of those that are.
    pub fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 2 > self.places.len() {
            let old = std::mem::take(&mut self.places);
            self.places = vec![EMPTY; old.len() * 2];
            for place in old.into_iter().filter(|place| place.slot != NONE) {
                self.put(hash_of(place.slot), place.slot);
            }
        }
        self.put(hash, slot);
        self.used += 1;
    }

    fn put(&mut self, hash: u64, slot: u32) {
        let mut at = self.home(hash);
        while self.places[at].slot != NONE {
            at = self.next(at);
        }
        self.places[at] = Place { tag: (hash >> 32) as u32, slot };
    }

    /// Takes a slot out; those behind it move up, so that none is left behind a gap.
    pub fn remove(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let mut gap = self.home(hash);
        while self.places[gap].slot != slot {
            if self.places[gap].slot == NONE {
                return;
            }
            gap = self.next(gap);
        }
        self.used -= 1;
        let mut at = gap;
        loop {
            at = self.next(at);
            let place = self.places[at];
            if place.slot == NONE {
                break;
            }
            // It may move to the gap if that is not before its home.
            let home = self.home(hash_of(place.slot));
            let size = self.places.len();
            if (at + size - home) % size >= (at + size - gap) % size {
                self.places[gap] = place;
                gap = at;
            }
        }
        self.places[gap] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Few homes, so that places collide.
    fn hash(slot: u32) -> u64 {
        u64::from(slot % 7) | u64::from(slot % 3) << 32
    }

    proptest! {
        #[test]
        fn what_was_taken_in_is_found(operations in prop::collection::vec((any::<bool>(), 0..40u32), 1..200)) {
            let (mut index, mut model) = (Index::new(), HashMap::new());
            for (inserts, slot) in operations {
                if inserts {
                    if model.insert(slot, ()).is_none() {
                        index.insert(hash(slot), slot, hash);
                    }
                } else if model.remove(&slot).is_some() {
                    index.remove(hash(slot), slot, hash);
                }
                for slot in 0..40 {
                    let found = index.find(hash(slot), |other| other == slot).is_some();
                    prop_assert_eq!(found, model.contains_key(&slot));
                }
                prop_assert_eq!((index.len(), index.iter().count()), (model.len(), model.len()));
            }
        }
    }
}
