//! Who goes when the table is full, found without a search.
//!
//! A bit for each place says whether its connection may go; a bit above says which words of bits are not zero, and so on,
//! so that the next such place is found in a few steps however far it is. Places are drawn round and round, two at a
//! time, and the one of the two that would end sooner goes. They are drawn two departures ahead: by then the
//! memory that they are in has come.
use super::{Entry, FlowCache, NONE};
use netfast_low::prefetch::{prefetch, prefetch2};
use zerocopy::FromZeros;

/// Levels of bits: enough for 2^30 places.
const LEVELS: usize = 5;
const WORD_BITS: usize = u64::BITS as usize;

/// A set of places.
#[derive(Clone, Debug, Default)]
pub(super) struct Places([Vec<u64>; LEVELS]);

impl Places {
    pub fn add(&mut self, place: u32) {
        let mut at = place as usize;
        for words in &mut self.0 {
            let (word, bit) = (at / WORD_BITS, 1 << (at % WORD_BITS));
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            let before = words[word];
            words[word] |= bit;
            if before != 0 {
                return;
            }
            at = word;
        }
    }

    pub fn take(&mut self, place: u32) {
        let mut at = place as usize;
        for words in &mut self.0 {
            let Some(word) = words.get_mut(at / WORD_BITS) else { return };
            *word &= !(1 << (at % WORD_BITS));
            if *word != 0 {
                return;
            }
            at /= WORD_BITS;
        }
    }

    #[inline]
    pub fn has(&self, place: u32) -> bool {
        let at = place as usize;
        self.0[0].get(at / WORD_BITS).is_some_and(|word| word >> (at % WORD_BITS) & 1 != 0)
    }

    /// The first one that is not before `place`.
    pub fn next(&self, place: u32) -> Option<u32> {
        let (mut at, mut level) = (place as usize, 0);
        loop {
            let rest = self.0.get(level)?.get(at / WORD_BITS)? >> (at % WORD_BITS);
            if rest != 0 {
                at += rest.trailing_zeros() as usize;
                break;
            }
            at = at / WORD_BITS + 1;
            level += 1;
        }
        for words in self.0[..level].iter().rev() {
            at = at * WORD_BITS + words[at].trailing_zeros() as usize;
        }
        Some(at as u32)
    }

    pub fn memory(&self) -> usize {
        self.0.iter().map(|words| words.capacity() * size_of::<u64>()).sum()
    }
}

/// Connections that may go, and those that are drawn to go next.
#[derive(Clone, Debug)]
pub(super) struct Spare {
    pub places: Places,
    /// The place to draw from.
    hand: u32,
    drawn: [u32; 2],
    next: u32,
}

impl Spare {
    pub fn new() -> Self {
        Self { places: Places::default(), hand: 0, drawn: [NONE; 2], next: NONE }
    }

    fn draw(&mut self) -> u32 {
        let place = self.places.next(self.hand).or_else(|| self.places.next(0));
        self.hand = place.map_or(0, |place| place + 1);
        place.unwrap_or(NONE)
    }
}

impl<T: Copy + FromZeros> FlowCache<T> {
    /// A connection is worth keeping from now on: none goes for another one that is.
    pub fn keep(&mut self, at: u32) {
        self.spare.places.take(at);
    }

    /// A connection that may go for another one, since nobody said that it is worth keeping; `None` when there is none.
    pub fn spare(&mut self) -> Option<u32> {
        // What is drawn now is chosen one departure later and goes after two.
        for _ in 0..3 {
            let [first, second] = self.spare.drawn;
            self.spare.drawn = [self.spare.draw(), self.spare.draw()];
            for place in self.spare.drawn {
                prefetch2(&self.entries, place as usize);
                prefetch(&self.cold, place as usize);
            }
            let next = self.sooner(first, second);
            if let Some(entry) = self.entries.get(next as usize) {
                self.index.prefetch(entry.ends.hash(self.seed));
                prefetch(&self.transports, next as usize);
            }
            let chosen = std::mem::replace(&mut self.spare.next, next);
            if self.spare.places.has(chosen) {
                return Some(chosen);
            }
        }
        None
    }

    /// Of two places the one whose connection would end sooner, of those that may go.
    fn sooner(&self, first: u32, second: u32) -> u32 {
        let expires = |at: u32| self.entries.get(at as usize).map_or(u64::MAX, |entry: &Entry| entry.expires);
        match [first, second].map(|at| self.spare.places.has(at)) {
            [true, true] if expires(second) < expires(first) => second,
            [true, _] => first,
            [false, true] => second,
            [false, false] => NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn places_are_a_set(
            changes in prop::collection::vec((prop_oneof![0u32..200, 0u32..300_000], any::<bool>()), 1..200),
            asked in prop::collection::vec(0u32..310_000, 1..20),
        ) {
            let (mut places, mut model) = (Places::default(), BTreeSet::new());
            for (place, adds) in changes {
                if adds {
                    places.add(place);
                    model.insert(place);
                } else {
                    places.take(place);
                    model.remove(&place);
                }
                prop_assert_eq!(places.has(place), adds);
                for from in asked.iter().copied().chain([0, place, place + 1]) {
                    prop_assert_eq!(places.next(from), model.range(from..).next().copied());
                }
            }
        }
    }
}
