//! The timers themselves: a slab of nodes, and circular lists through it.
//!
//! The heads of the lists are the first nodes of the same slab, so that linking and unlinking need no case
//! distinction. A node is 24 bytes for a `u32` payload and 32 for a `u64`.
use std::collections::TryReserveError;
use std::num::NonZeroU64;

use crate::clock::Instant;

/// Names one armed timer. It goes stale when that timer fires or is cancelled; a stale handle is refused, not
/// mistaken for the timer that reuses its place, until that place was reused 2^31 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerHandle(NonZeroU64);

impl TimerHandle {
    fn new(index: u32, generation: u32) -> Self {
        debug_assert!(generation & ARMED != 0);
        // The armed bit makes it non-zero; saying it with `|` costs nothing where `expect` costs a branch.
        Self(NonZeroU64::MIN | (u64::from(index) << 32 | u64::from(generation)))
    }

    /// The handle as a number, to keep where a handle cannot stand; never zero.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The handle that [`TimerHandle::to_bits`] gave; `None` for numbers that it never gives. Any other number is
    /// safe to use: one that names no armed timer is stale.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(valid) if bits & ARMED as u64 != 0 => Some(Self(valid)),
            _ => None,
        }
    }

    fn index(self) -> u32 {
        (self.to_bits() >> 32) as u32
    }

    fn generation(self) -> u32 {
        self.to_bits() as u32
    }
}

/// The lowest bit of a generation: set while the node is armed. Heads and free nodes have it clear.
const ARMED: u32 = 1;
/// Stands in `next` of a node that is in the heap of exact timers; its `prev` is then the place in the heap.
const IN_HEAP: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node<T> {
    deadline: Instant,
    next: u32,
    prev: u32,
    generation: u32,
    payload: T,
}

/// Where an armed node is, as [`Nodes::detach`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// It was in a list that has more nodes.
    FromList,
    /// It was the last one of this list.
    EmptiedList(u32),
    /// It is in the heap, still, at this place.
    InHeap(u32),
}

#[derive(Debug)]
pub(crate) struct Nodes<T> {
    nodes: Vec<Node<T>>,
    /// Places to use again, the latest on top. A stack of its own and not a list through the nodes: popping from a
    /// list waits for each node to come from memory before the next one is known.
    free: Vec<u32>,
    heads: u32,
    limit: u32,
    live: u32,
}

impl<T> Nodes<T> {
    /// The most nodes beside `heads` lists: indices are u32, and one is [`IN_HEAP`].
    pub(crate) const fn most(heads: u32) -> u32 {
        IN_HEAP - heads
    }
}

impl<T: Copy + Default> Nodes<T> {
    /// `heads` empty lists, and room for at most `limit` nodes.
    pub(crate) fn new(heads: u32, limit: u32) -> Self {
        let head = |head| Node {
            deadline: Instant::ZERO,
            next: head,
            prev: head,
            generation: 0,
            payload: T::default(),
        };
        let nodes = (0..heads).map(head).collect();
        Self { nodes, free: Vec::new(), heads, limit: limit.min(Self::most(heads)), live: 0 }
    }

    /// Takes the memory for as many nodes as the limit allows.
    pub(crate) fn reserve_all(&mut self) -> Result<(), TryReserveError> {
        let all = self.heads as usize + self.limit as usize;
        self.nodes.try_reserve_exact(all - self.nodes.len())?;
        self.free.try_reserve_exact(self.limit as usize)
    }

    /// Takes memory for `additional` nodes beyond those that are armed, free ones counted.
    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        self.nodes.try_reserve(additional.saturating_sub(self.free.len()))?;
        self.free.try_reserve(self.nodes.capacity() - self.heads as usize - self.free.len())
    }

    pub(crate) fn len(&self) -> u32 {
        self.live
    }

    pub(crate) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<T>>() + self.free.capacity() * size_of::<u32>()
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// An armed node that is in no list yet; `None` at the limit.
    #[inline]
    pub(crate) fn allocate(&mut self, deadline: Instant, payload: T) -> Option<(u32, TimerHandle)> {
        let Some(index) = self.free.pop() else { return self.grow(deadline, payload) };
        let node = &mut self.nodes[index as usize];
        node.deadline = deadline;
        node.payload = payload;
        node.generation = node.generation.wrapping_add(1);
        self.live += 1;
        Some((index, TimerHandle::new(index, node.generation)))
    }

    fn grow(&mut self, deadline: Instant, payload: T) -> Option<(u32, TimerHandle)> {
        if self.live >= self.limit {
            return None;
        }
        let index = self.nodes.len() as u32;
        if self.nodes.len() == self.nodes.capacity() {
            self.nodes.reserve(1);
            // So that releasing a node never allocates.
            self.free.reserve(self.nodes.capacity() - self.heads as usize);
        }
        self.nodes.push(Node { deadline, next: index, prev: index, generation: ARMED, payload });
        self.live += 1;
        Some((index, TimerHandle::new(index, ARMED)))
    }

    /// Makes every handle of the node stale and its place free. It must be in no list and not in the heap.
    #[inline]
    pub(crate) fn release(&mut self, index: u32) -> (T, Instant, TimerHandle) {
        let node = &mut self.nodes[index as usize];
        let handle = TimerHandle::new(index, node.generation);
        node.generation = node.generation.wrapping_add(1);
        self.free.push(index);
        self.live -= 1;
        (node.payload, node.deadline, handle)
    }

    /// The node that a handle names, unless the handle is stale.
    #[inline]
    pub(crate) fn resolve(&self, handle: TimerHandle) -> Option<u32> {
        let index = handle.index();
        let node = self.nodes.get(index as usize)?;
        (node.generation == handle.generation()).then_some(index)
    }

    #[inline]
    pub(crate) fn deadline(&self, index: u32) -> Instant {
        self.nodes[index as usize].deadline
    }

    #[inline]
    pub(crate) fn set_deadline(&mut self, index: u32, deadline: Instant) {
        self.nodes[index as usize].deadline = deadline;
    }

    pub(crate) fn payload_mut(&mut self, index: u32) -> &mut T {
        &mut self.nodes[index as usize].payload
    }

    pub(crate) fn payload(&self, index: u32) -> T {
        self.nodes[index as usize].payload
    }

    /// Puts a node that is in no list at the end of list `head`.
    #[inline]
    pub(crate) fn push_back(&mut self, head: u32, index: u32) {
        debug_assert!(head < self.heads && index >= self.heads);
        let last = std::mem::replace(&mut self.nodes[head as usize].prev, index);
        self.nodes[last as usize].next = index;
        let node = &mut self.nodes[index as usize];
        node.prev = last;
        node.next = head;
    }

    /// Takes a node out of its list; a node in the heap is only recognised.
    #[inline]
    pub(crate) fn detach(&mut self, index: u32) -> Detached {
        let Node { next, prev, .. } = self.nodes[index as usize];
        if next == IN_HEAP {
            return Detached::InHeap(prev);
        }
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        // Neighbours are the same node only when that is the head, with nothing else in its list.
        if next == prev { Detached::EmptiedList(next) } else { Detached::FromList }
    }

    #[inline]
    pub(crate) fn first(&self, head: u32) -> Option<u32> {
        let first = self.nodes[head as usize].next;
        (first != head).then_some(first)
    }

    /// Moves all nodes of list `from` to the end of list `to`, in order, in constant time.
    pub(crate) fn splice(&mut self, from: u32, to: u32) {
        let Some(first) = self.first(from) else { return };
        let last = self.nodes[from as usize].prev;
        self.nodes[from as usize].next = from;
        self.nodes[from as usize].prev = from;
        let end = std::mem::replace(&mut self.nodes[to as usize].prev, last);
        self.nodes[end as usize].next = first;
        self.nodes[first as usize].prev = end;
        self.nodes[last as usize].next = to;
    }

    /// Notes that a node is in the heap, at `place`.
    #[inline]
    pub(crate) fn mark_in_heap(&mut self, index: u32, place: u32) {
        let node = &mut self.nodes[index as usize];
        node.next = IN_HEAP;
        node.prev = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_small() {
        assert_eq!(size_of::<Node<u32>>(), 24);
        assert_eq!(size_of::<Node<u64>>(), 32);
        assert_eq!(size_of::<Option<TimerHandle>>(), 8);
    }

    #[test]
    fn forged_handles_are_refused() {
        let mut nodes = Nodes::<u32>::new(4, 10);
        let (index, handle) = nodes.allocate(Instant::ZERO, 5).unwrap();
        assert_eq!(nodes.resolve(handle), Some(index));
        assert_eq!(TimerHandle::from_bits(handle.to_bits()), Some(handle));
        assert_eq!(TimerHandle::from_bits(0), None);
        assert_eq!(TimerHandle::from_bits(handle.to_bits() & !1), None);
        for bits in [1, 3, 1 << 32 | 1, u64::MAX, handle.to_bits() + 2, handle.to_bits() + (1 << 32)] {
            let forged = TimerHandle::from_bits(bits).unwrap();
            assert_eq!(nodes.resolve(forged), None, "{bits:#x}");
        }
        nodes.release(index);
        assert_eq!(nodes.resolve(handle), None);
    }

    #[test]
    fn splice_keeps_order_and_both_lists_work_on() {
        let mut nodes = Nodes::<u32>::new(2, 10);
        for (head, payload) in [(0, 1), (0, 2), (1, 3), (1, 4)] {
            let (index, _) = nodes.allocate(Instant::ZERO, payload).unwrap();
            nodes.push_back(head, index);
        }
        nodes.splice(0, 1);
        nodes.splice(0, 1);
        assert_eq!(nodes.first(0), None);
        let mut order = Vec::new();
        while let Some(index) = nodes.first(1) {
            let detached = nodes.detach(index);
            order.push(nodes.release(index).0);
            assert_eq!(detached == Detached::EmptiedList(1), order.len() == 4);
        }
        assert_eq!(order, [3, 4, 1, 2]);
    }
}
