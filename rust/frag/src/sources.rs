//! What each source holds.
use crate::key::FragmentKey;
use crate::slab::{Hashed, List, Slab};
use netfast_low::hash::Seed;

/// A source of pairs.
#[derive(Debug)]
pub(crate) struct Source {
    hash: u64,
    key: FragmentKey,
    /// Bytes that its datagrams occupy.
    pub memory: usize,
    /// Its datagrams, oldest first.
    pub datagrams: List,
    /// Fragments of it so far.
    pub fragments: u32,
    pairs: u32,
}

impl Hashed for Source {
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn mixed(&self) -> u32 {
        self.key.mixed()
    }
}

/// Sources of the pairs that are known; there are no more of them than pairs.
#[derive(Debug)]
pub(crate) struct Sources {
    seed: Seed,
    sources: Slab<Source>,
}

impl Sources {
    pub fn new(seed: Seed) -> Self {
        Self { seed, sources: Slab::new() }
    }

    /// The source of a pair that begins.
    pub fn begin(&mut self, key: &FragmentKey) -> u32 {
        let key = key.source_only();
        let hash = key.hash(self.seed);
        let id = match self.sources.find(hash, |source| source.key.is(&key)) {
            Some(id) => id,
            None => self.sources.insert(Source {
                hash,
                key,
                memory: 0,
                datagrams: List::EMPTY,
                fragments: 0,
                pairs: 0,
            }),
        };
        self.sources[id].pairs += 1;
        id
    }

    /// Lets a source go that has no pair any more, and so no datagram.
    pub fn end(&mut self, id: u32) {
        self.sources[id].pairs -= 1;
        if self.sources[id].pairs == 0 {
            self.sources.remove(id);
        }
    }

    pub fn memory(&self) -> usize {
        self.sources.memory()
    }
}

impl std::ops::Index<u32> for Sources {
    type Output = Source;

    #[inline(always)]
    fn index(&self, id: u32) -> &Source {
        &self.sources[id]
    }
}

impl std::ops::IndexMut<u32> for Sources {
    #[inline(always)]
    fn index_mut(&mut self, id: u32) -> &mut Source {
        &mut self.sources[id]
    }
}
