//! A table of items with stable numbers, and lists through them.

/// No item.
pub(crate) const NONE: u32 = u32::MAX;

/// Has the hash by which it is found.
pub(crate) trait Hashed {
    fn hash(&self) -> u64;

    /// The number under which it is remembered.
    fn mixed(&self) -> u32;
}

/// Items that are found by hash and named by number.
///
/// Each bucket is a list through its items. There are at least as many buckets as items, so a list has one item or two, and to
/// put one in or to take one out is a few writes: both are as frequent here as to find one.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// First item of each bucket; a power of two of them.
    buckets: Vec<u32>,
    items: Vec<T>,
    /// For each item the next one of its bucket, and the upper half of its hash.
    chain: Vec<[u32; 2]>,
    free: Vec<u32>,
    /// Numbers that items were given or found under lately.
    recent: [u32; RECENT],
}

/// Items that are found again without their hash.
const RECENT: usize = 256;
/// Buckets of an empty table.
const BUCKETS: usize = 16;

impl<T: Hashed> Slab<T> {
    pub fn new() -> Self {
        Self {
            buckets: vec![NONE; BUCKETS],
            items: Vec::new(),
            chain: Vec::new(),
            free: Vec::new(),
            recent: [NONE; RECENT],
        }
    }

    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(&T) -> bool) -> Option<u32> {
        let mut id = self.buckets[self.bucket(hash)];
        while let Some(&[next, tag]) = self.chain.get(id as usize) {
            if tag == tag_of(hash) && same(&self.items[id as usize]) {
                return Some(id);
            }
            id = next;
        }
        None
    }

    /// The item that was remembered last under such a number; the caller has to ask whether it is the one.
    #[inline(always)]
    pub fn recall(&self, mixed: u32) -> Option<(u32, &T)> {
        let id = self.recent[mixed as usize % RECENT];
        self.items.get(id as usize).map(|item| (id, item))
    }

    /// Lets [`Slab::recall`] find an item.
    #[inline(always)]
    pub fn remember(&mut self, mixed: u32, id: u32) {
        self.recent[mixed as usize % RECENT] = id;
    }

    #[inline(always)]
    pub fn insert(&mut self, item: T) -> u32 {
        let hash = item.hash();
        let bucket = self.bucket(hash);
        let link = [self.buckets[bucket], tag_of(hash)];
        let id = match self.free.pop() {
            Some(id) => {
                (self.items[id as usize], self.chain[id as usize]) = (item, link);
                id
            }
            None => self.add(item, link),
        };
        self.buckets[bucket] = id;
        if self.len() > self.buckets.len() {
            self.grow();
        }
        id
    }

    #[cold]
    fn add(&mut self, item: T, link: [u32; 2]) -> u32 {
        self.items.push(item);
        self.chain.push(link);
        self.items.len() as u32 - 1
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![NONE; 2 * old.len()];
        for mut id in old {
            while id != NONE {
                let bucket = self.bucket(self.items[id as usize].hash());
                let next = self.chain[id as usize][0];
                self.chain[id as usize][0] = self.buckets[bucket];
                (self.buckets[bucket], id) = (id, next);
            }
        }
    }

    /// Takes an item out that is in.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        let bucket = self.bucket(self.items[id as usize].hash());
        let next = self.chain[id as usize][0];
        let mut at = self.buckets[bucket];
        if at == id {
            self.buckets[bucket] = next;
        } else {
            while let Some(link) = self.chain.get_mut(at as usize) {
                if link[0] == id {
                    link[0] = next;
                    break;
                }
                at = link[0];
            }
        }
        let recent = &mut self.recent[self.items[id as usize].mixed() as usize % RECENT];
        if *recent == id {
            *recent = NONE;
        }
        self.free.push(id);
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    pub fn memory(&self) -> usize {
        self.items.capacity() * size_of::<T>()
            + self.chain.capacity() * size_of::<[u32; 2]>()
            + (self.buckets.capacity() + self.free.capacity()) * size_of::<u32>()
    }
}

/// What is compared before an item is looked at.
#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, id: u32) -> &T {
        &self.items[id as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline(always)]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.items[id as usize]
    }
}

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    #[inline]
    pub fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// What is before and after each item in the one list that it is in.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<[u32; 2]>);

impl Links {
    /// Puts an item that is in no list behind all of one.
    #[inline]
    pub fn push(&mut self, list: &mut List, id: u32) {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, [NONE; 2]);
        }
        self.0[at] = [list.last, NONE];
        match list.last {
            NONE => list.first = id,
            last => self.0[last as usize][1] = id,
        }
        list.last = id;
        list.len += 1;
    }

    /// Takes an item out of the list that it is in.
    #[inline]
    pub fn remove(&mut self, list: &mut List, id: u32) {
        let [before, after] = self.0[id as usize];
        match before {
            NONE => list.first = after,
            before => self.0[before as usize][1] = after,
        }
        match after {
            NONE => list.last = before,
            after => self.0[after as usize][0] = before,
        }
        list.len -= 1;
    }

    pub fn memory(&self) -> usize {
        self.0.capacity() * size_of::<[u32; 2]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq)]
    struct Item(u64);

    impl Hashed for Item {
        /// Many in one bucket, some of them with the same hash.
        fn hash(&self) -> u64 {
            (self.0 / 2 % 7 * 32) | ((self.0 / 3) << 32)
        }

        fn mixed(&self) -> u32 {
            self.0 as u32
        }
    }

    #[test]
    fn items_are_found_until_they_are_removed() {
        let (mut slab, mut expected) = (Slab::<Item>::new(), BTreeMap::new());
        let mut chance = 1_u64;
        for _ in 0..20_000 {
            chance = chance.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let number = chance >> 40 & 0xff;
            match expected.remove(&number) {
                Some(id) => {
                    assert_eq!(slab.find(Item(number).hash(), |item| item.0 == number), Some(id));
                    slab.remember(Item(number).mixed(), id);
                    assert_eq!(slab.recall(number as u32), Some((id, &Item(number))));
                    slab.remove(id);
                    assert_eq!(slab.recall(number as u32), None);
                }
                None => {
                    let id = slab.insert(Item(number));
                    assert_eq!(expected.insert(number, id), None);
                }
            }
            assert_eq!(slab.len(), expected.len());
            assert_eq!(
                slab.find(Item(number).hash(), |item| item.0 == number),
                expected.get(&number).copied()
            );
        }
        assert!(slab.items.len() <= 256 && slab.buckets.len() <= 256);
        for (number, id) in expected {
            assert_eq!(slab[id], Item(number));
        }
    }
}
