//! A table of items with stable numbers, and lists through them.
use hashbrown::HashTable;

/// No item.
pub(crate) const NONE: u32 = u32::MAX;

/// Has the hash by which it is found.
pub(crate) trait Hashed {
    fn hash(&self) -> u64;
}

/// Items that are found by hash and named by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    index: HashTable<u32>,
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T: Hashed> Slab<T> {
    pub fn new() -> Self {
        Self { index: HashTable::new(), items: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |&id| same(&self.items[id as usize])).copied()
    }

    /// The item of a number; one that was removed is there until another one takes its number.
    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&T> {
        self.items.get(id as usize)
    }

    pub fn insert(&mut self, item: T) -> u32 {
        let hash = item.hash();
        let id = match self.free.pop() {
            Some(id) => {
                self.items[id as usize] = item;
                id
            }
            None => {
                self.items.push(item);
                self.items.len() as u32 - 1
            }
        };
        let items = &self.items;
        self.index.insert_unique(hash, id, |&id| items[id as usize].hash());
        id
    }

    pub fn remove(&mut self, id: u32) {
        let hash = self.items[id as usize].hash();
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == id) {
            entry.remove();
            self.free.push(id);
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn memory(&self) -> usize {
        self.index.allocation_size()
            + self.items.capacity() * size_of::<T>()
            + self.free.capacity() * size_of::<u32>()
    }
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
