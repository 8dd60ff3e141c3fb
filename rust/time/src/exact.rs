//! The heap of exact timers: four children a node, and each timer knows its place so that it can be cancelled.
use std::collections::TryReserveError;

use crate::clock::Instant;
use crate::nodes::Nodes;

/// Four children lie in one or two cache lines, and the tree is half as deep as a binary one.
const CHILDREN: usize = 4;

/// Orders by time, then by when it was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    fires: Instant,
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    index: u32,
}

#[derive(Debug, Default)]
pub(crate) struct ExactHeap {
    entries: Vec<Entry>,
    sequence: u64,
}

impl ExactHeap {
    pub(crate) fn reserve(&mut self, timers: u32) -> Result<(), TryReserveError> {
        self.entries.try_reserve_exact(timers as usize)
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<(Instant, u32)> {
        self.entries.first().map(|entry| (entry.key.fires, entry.index))
    }

    /// Adds a node that is in no list.
    pub(crate) fn push<T: Copy + Default>(&mut self, fires: Instant, index: u32, nodes: &mut Nodes<T>) {
        let key = self.next_key(fires);
        self.entries.push(Entry { key, index });
        self.sift_up(self.entries.len() - 1, nodes);
    }

    /// Gives the node at `place` a new time; it counts as armed now.
    pub(crate) fn change<T: Copy + Default>(&mut self, place: u32, fires: Instant, nodes: &mut Nodes<T>) {
        self.entries[place as usize].key = self.next_key(fires);
        self.settle(place as usize, nodes);
    }

    /// Takes the node at `place` out.
    pub(crate) fn remove<T: Copy + Default>(&mut self, place: u32, nodes: &mut Nodes<T>) {
        self.entries.swap_remove(place as usize);
        if (place as usize) < self.entries.len() {
            self.settle(place as usize, nodes);
        }
    }

    fn next_key(&mut self, fires: Instant) -> Key {
        // At one arm a nanosecond this lasts 584 years.
        self.sequence += 1;
        Key { fires, sequence: self.sequence }
    }

    fn settle<T: Copy + Default>(&mut self, place: usize, nodes: &mut Nodes<T>) {
        let place = self.sift_up(place, nodes);
        self.sift_down(place, nodes);
    }

    fn sift_up<T: Copy + Default>(&mut self, mut place: usize, nodes: &mut Nodes<T>) -> usize {
        let moving = self.entries[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.entries[parent].key <= moving.key {
                break;
            }
            self.put(place, self.entries[parent], nodes);
            place = parent;
        }
        self.put(place, moving, nodes);
        place
    }

    fn sift_down<T: Copy + Default>(&mut self, mut place: usize, nodes: &mut Nodes<T>) {
        let moving = self.entries[place];
        loop {
            let first = place * CHILDREN + 1;
            let children = first.min(self.entries.len())..(first + CHILDREN).min(self.entries.len());
            let Some(least) = children.min_by_key(|&child| self.entries[child].key) else { break };
            if self.entries[least].key >= moving.key {
                break;
            }
            self.put(place, self.entries[least], nodes);
            place = least;
        }
        self.put(place, moving, nodes);
    }

    #[inline]
    fn put<T: Copy + Default>(&mut self, place: usize, entry: Entry, nodes: &mut Nodes<T>) {
        self.entries[place] = entry;
        nodes.mark_in_heap(entry.index, place as u32);
    }
}
