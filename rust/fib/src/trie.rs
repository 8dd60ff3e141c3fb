//! Longest-prefix match: a tree bitmap (Eatherton, Dittia, Varghese, 2004) behind a directly indexed root.
//!
//! A node stands for six bits of the address. It holds the prefixes that end within its first five bits (a bit each, in
//! heap order) and its children (a bit each); both lead by counting into compact arrays, so that a change touches one
//! node and nothing is expanded. A run of bits in which nothing branches is skipped, up to four nodes at once.
//!
//! The root is an array over the first bits. It is small for small tables; [`Trie::build`] makes it anew.
use crate::arrays::Arrays;
use netfast_low::prefetch::prefetch;
use std::collections::BTreeMap;

/// No value, and no node.
pub(crate) const NONE: u32 = u32::MAX;

/// Bits that one node stands for.
const STRIDE: u8 = 6;
/// Strides that a node can skip, and the bits of those.
const MAX_SKIP: u8 = 4;
const SKIP_BITS: u8 = MAX_SKIP * STRIDE;
/// Bits of the root of small and of large tables: whole strides apart, so that both have the same nodes.
const SMALL_ROOT: u8 = 4;
const LARGE_ROOT: u8 = 16;
/// Prefixes from which on the large root's 600 KiB are worth it.
const LARGE_TABLE: usize = 1024;
/// Look-ups that are walked in step.
const LANES: usize = 32;

/// For each six bits, the prefixes that contain them: one of each length from 0 to 5, in heap order.
const ANCESTORS: [u64; 64] = {
    let mut masks = [0; 64];
    let mut chunk = 0;
    while chunk < 64 {
        let mut length = 0;
        while length < STRIDE {
            masks[chunk] |= 1 << ((1 << length) + (chunk >> (STRIDE - length)));
            length += 1;
        }
        chunk += 1;
    }
    masks
};

/// An address, as the bits that a trie walks.
pub(crate) trait Key: Copy {
    /// Bits of an address.
    const BITS: u8;
    /// The first `bits` bits; at least one.
    fn top(self, bits: u8) -> usize;
    /// 64 bits from `depth` on, zeros behind the end: all that a node asks for.
    fn window(self, depth: u8) -> u64;
    /// [`SKIP_BITS`] bits from `depth` on.
    #[inline(always)]
    fn bits_at(self, depth: u8) -> u32 {
        (self.window(depth) >> (64 - SKIP_BITS)) as u32
    }
    /// [`STRIDE`] bits from `depth` on.
    #[inline(always)]
    fn chunk(self, depth: u8) -> usize {
        (self.window(depth) >> (64 - STRIDE)) as usize
    }
}

impl Key for u32 {
    const BITS: u8 = 32;

    #[inline(always)]
    fn top(self, bits: u8) -> usize {
        (self >> (32 - bits)) as usize
    }

    #[inline(always)]
    fn window(self, depth: u8) -> u64 {
        u64::from(self) << 32 << depth
    }
}

impl Key for u128 {
    const BITS: u8 = 128;

    #[inline(always)]
    fn top(self, bits: u8) -> usize {
        (self >> (128 - bits)) as usize
    }

    #[inline(always)]
    fn window(self, depth: u8) -> u64 {
        ((self << depth) >> 64) as u64
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
struct Node {
    /// Bit `2^length + bits` for each prefix that ends here.
    prefixes: u64,
    /// A bit for each child.
    children: u64,
    child_base: u32,
    result_base: u32,
    /// The bits skipped before this node's own, from the top of [`SKIP_BITS`].
    path: u32,
    /// How many strides are skipped.
    skip: u32,
}

impl Node {
    fn skipping(path: u32, skip: u8) -> Self {
        Self { path: path & skip_mask(skip), skip: u32::from(skip), ..Self::default() }
    }

    #[inline(always)]
    fn skipped_bits(&self) -> u8 {
        self.skip as u8 * STRIDE
    }

    /// How many of the skipped strides a key has in common.
    fn common_strides(&self, bits: u32) -> u8 {
        let different = (bits ^ self.path) & skip_mask(self.skip as u8);
        let equal_bits = (different.leading_zeros() as u8).saturating_sub(32 - SKIP_BITS);
        (equal_bits / STRIDE).min(self.skip as u8)
    }

    /// The node's own six bits of a key, of which `window` is what begins at the node; `None` when the key has other bits
    /// than those skipped.
    #[inline(always)]
    fn own_bits(&self, window: u64) -> Option<usize> {
        let skipped = self.skipped_bits();
        let different = ((window >> (64 - SKIP_BITS)) as u32 ^ self.path) >> (SKIP_BITS - skipped);
        (different == 0).then(|| (window << skipped >> (64 - STRIDE)) as usize)
    }

    /// Prefixes that contain `chunk`.
    #[inline(always)]
    fn containing(&self, chunk: usize) -> u64 {
        self.prefixes & ANCESTORS[chunk & 63]
    }

    #[inline(always)]
    fn child(&self, chunk: usize) -> Option<usize> {
        let bit = 1u64 << chunk;
        (self.children & bit != 0).then(|| self.child_base as usize + rank(self.children, bit))
    }

    /// Where the result of the longest of the prefixes stands that [`Node::containing`] gave, at least one.
    #[inline(always)]
    fn longest(&self, containing: u64) -> u32 {
        let bit = 1u64 << (63 - containing.leading_zeros());
        self.result_base + rank(self.prefixes, bit) as u32
    }
}

/// Set bits below `bit`.
#[inline(always)]
fn rank(bits: u64, bit: u64) -> usize {
    (bits & (bit - 1)).count_ones() as usize
}

/// The first `skip` strides of [`SKIP_BITS`].
#[inline(always)]
fn skip_mask(skip: u8) -> u32 {
    let all = (1u32 << SKIP_BITS) - 1;
    all & !(all >> (skip * STRIDE))
}

/// The bit of a prefix in its node: `length` bits of `chunk`.
fn heap_bit(chunk: usize, length: u8) -> u64 {
    1 << ((1 << length) + (chunk >> (STRIDE - length)))
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The longest prefix shorter than the root's bits.
    value: u32,
    node: u32,
}

/// Values by prefix, found by address.
#[derive(Clone, Debug)]
pub(crate) struct Trie<K> {
    root_bits: u8,
    slots: Vec<Slot>,
    /// For each slot the length of the prefix of its value plus one, or 0.
    lengths: Vec<u8>,
    /// Prefixes shorter than the root's bits, by length and first slot.
    short: BTreeMap<(u8, usize), u32>,
    nodes: Arrays<Node>,
    results: Arrays<u32>,
    len: usize,
    key: std::marker::PhantomData<K>,
}

impl<K: Key> Trie<K> {
    pub(crate) fn new() -> Self {
        Self::with_root(SMALL_ROOT)
    }

    /// A trie of these prefixes, with a root that fits their number.
    pub(crate) fn build(prefixes: impl Iterator<Item = (K, u8, u32)>, count: usize) -> Self {
        let mut trie = Self::with_root(if count >= LARGE_TABLE { LARGE_ROOT } else { SMALL_ROOT });
        prefixes.for_each(|(key, length, value)| trie.insert(key, length, value));
        trie
    }

    /// True when the trie grew or shrank so much that another root would be better.
    pub(crate) fn outgrown(&self) -> bool {
        match self.root_bits {
            SMALL_ROOT => self.len >= LARGE_TABLE,
            _ => self.len < LARGE_TABLE / 4,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it occupies.
    pub(crate) fn memory(&self) -> usize {
        let short = self.short.len() * size_of::<((u8, usize), u32)>();
        self.slots.capacity() * (size_of::<Slot>() + 1) + short + self.nodes.memory() + self.results.memory()
    }

    fn with_root(root_bits: u8) -> Self {
        Self {
            root_bits,
            slots: vec![Slot { value: NONE, node: NONE }; 1 << root_bits],
            lengths: vec![0; 1 << root_bits],
            short: BTreeMap::new(),
            nodes: Arrays::new(),
            results: Arrays::new(),
            len: 0,
            key: std::marker::PhantomData,
        }
    }

    /// The value of the longest prefix that contains the address, or [`NONE`].
    #[inline]
    pub(crate) fn lookup(&self, key: K) -> u32 {
        let slot = self.slots[key.top(self.root_bits)];
        let (mut next, mut depth) = (slot.node as usize, self.root_bits);
        // Which of the results it is, is counted for the last one alone.
        let mut longest = None;
        while let Some(node) = self.nodes.items().get(next) {
            let Some(chunk) = node.own_bits(key.window(depth)) else { break };
            let containing = node.containing(chunk);
            if containing != 0 {
                longest = Some((node, containing));
            }
            let Some(child) = node.child(chunk) else { break };
            (next, depth) = (child, depth + node.skipped_bits() + STRIDE);
        }
        longest
            .map_or(slot.value, |(node, containing)| self.results.items()[node.longest(containing) as usize])
    }

    /// [`Trie::lookup`] of many addresses in step, so that their cache misses overlap.
    pub(crate) fn lookup_batch(&self, keys: &[K], values: &mut [u32]) {
        for (keys, values) in keys.chunks(LANES).zip(values.chunks_mut(LANES)) {
            self.lookup_lanes(keys, values);
        }
    }

    fn lookup_lanes(&self, keys: &[K], values: &mut [u32]) {
        let mut lanes = [Lane { best: NONE, node: NONE, depth: 0 }; LANES];
        let mut walking = [0u8; LANES];
        let mut count = 0;
        keys.iter().for_each(|key| prefetch(&self.slots, key.top(self.root_bits)));
        for (index, ((key, value), lane)) in keys.iter().zip(values.iter_mut()).zip(&mut lanes).enumerate() {
            let slot = self.slots[key.top(self.root_bits)];
            *value = slot.value;
            *lane = Lane { best: NONE, node: slot.node, depth: self.root_bits };
            prefetch(self.nodes.items(), slot.node as usize);
            walking[count] = index as u8;
            count += usize::from(slot.node != NONE);
        }
        while count > 0 {
            let mut still = 0;
            for position in 0..count {
                let index = walking[position];
                let lane = &mut lanes[usize::from(index)];
                self.step(keys[usize::from(index)], lane);
                let next = if lane.node == NONE { lane.best } else { NONE };
                prefetch(self.nodes.items(), lane.node as usize);
                prefetch(self.results.items(), next as usize);
                walking[still] = index;
                still += usize::from(lane.node != NONE);
            }
            count = still;
        }
        for (value, lane) in values.iter_mut().zip(&lanes) {
            *value = self.value(lane, *value);
        }
    }

    /// One node further.
    #[inline(always)]
    fn step(&self, key: K, lane: &mut Lane) {
        let node = &self.nodes.items()[lane.node as usize];
        let Some(chunk) = node.own_bits(key.window(lane.depth)) else {
            lane.node = NONE;
            return;
        };
        let containing = node.containing(chunk);
        lane.best = if containing != 0 { node.longest(containing) } else { lane.best };
        lane.node = node.child(chunk).map_or(NONE, |child| child as u32);
        lane.depth += node.skipped_bits() + STRIDE;
    }

    #[inline(always)]
    fn value(&self, lane: &Lane, short: u32) -> u32 {
        if lane.best == NONE { short } else { self.results.items()[lane.best as usize] }
    }

    /// Gives a prefix a value, another than before if it had one.
    pub(crate) fn insert(&mut self, key: K, length: u8, value: u32) {
        debug_assert!(length <= K::BITS);
        if length < self.root_bits {
            let first = self.first_slot(key, length);
            self.len += usize::from(self.short.insert((length, first), value).is_none());
            self.fill(first, length, value);
            return;
        }
        let slot = key.top(self.root_bits);
        let mut depth = self.root_bits;
        if self.slots[slot].node == NONE {
            let root = Node::skipping(key.bits_at(depth), skip_towards(depth, length));
            self.slots[slot].node = self.nodes.insert(0, 0, 0, root);
        }
        let mut at = self.slots[slot].node as usize;
        loop {
            let node = self.nodes.items()[at];
            let strides = (length - depth) / STRIDE;
            let shared = node.common_strides(key.bits_at(depth)).min(strides);
            if u32::from(shared) < node.skip {
                self.split(at, shared);
                continue;
            }
            depth += node.skipped_bits();
            let chunk = key.chunk(depth);
            if length - depth < STRIDE {
                self.set(at, heap_bit(chunk, length - depth), value);
                return;
            }
            depth += STRIDE;
            at = node.child(chunk).unwrap_or_else(|| {
                let child = Node::skipping(key.bits_at(depth), skip_towards(depth, length));
                self.add_child(at, chunk, child)
            });
        }
    }

    /// Takes a prefix out; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, key: K, length: u8) {
        if length < self.root_bits {
            let first = self.first_slot(key, length);
            if self.short.remove(&(length, first)).is_some() {
                self.len -= 1;
                self.refill(first, length);
            }
            return;
        }
        let slot = key.top(self.root_bits);
        let mut parents: Vec<(usize, usize)> = Vec::new();
        let (mut node_index, mut depth) = (self.slots[slot].node, self.root_bits);
        while node_index != NONE {
            let at = node_index as usize;
            let node = self.nodes.items()[at];
            let too_long = node.skipped_bits() > length - depth;
            if too_long || node.common_strides(key.bits_at(depth)) != node.skip as u8 {
                return;
            }
            depth += node.skipped_bits();
            let chunk = key.chunk(depth);
            if length - depth < STRIDE {
                if self.unset(at, heap_bit(chunk, length - depth)) {
                    self.prune(slot, at, &parents);
                }
                return;
            }
            parents.push((at, chunk));
            depth += STRIDE;
            node_index = node.child(chunk).map_or(NONE, |child| child as u32);
        }
    }

    fn first_slot(&self, key: K, length: u8) -> usize {
        let shift = self.root_bits - length;
        key.top(self.root_bits) >> shift << shift
    }

    /// Writes a short prefix into its slots that have no longer one.
    fn fill(&mut self, first: usize, length: u8, value: u32) {
        for slot in first..first + (1 << (self.root_bits - length)) {
            if self.lengths[slot] <= length + 1 {
                self.lengths[slot] = length + 1;
                self.slots[slot].value = value;
            }
        }
    }

    /// Gives the slots of a short prefix that is gone to the next shorter one.
    fn refill(&mut self, first: usize, length: u8) {
        let shorter = (0..length).rev().find_map(|length| {
            let shift = self.root_bits - length;
            self.short.get(&(length, first >> shift << shift)).map(|value| (length + 1, *value))
        });
        let (shorter, value) = shorter.unwrap_or((0, NONE));
        for slot in first..first + (1 << (self.root_bits - length)) {
            if self.lengths[slot] == length + 1 {
                self.lengths[slot] = shorter;
                self.slots[slot].value = value;
            }
        }
    }

    fn set(&mut self, at: usize, bit: u64, value: u32) {
        let node = &mut self.nodes.items_mut()[at];
        let index = rank(node.prefixes, bit);
        if node.prefixes & bit != 0 {
            self.results.items_mut()[node.result_base as usize + index] = value;
            return;
        }
        let count = node.prefixes.count_ones() as usize;
        node.result_base = self.results.insert(node.result_base, count, index, value);
        node.prefixes |= bit;
        self.len += 1;
    }

    /// True when the prefix was there.
    fn unset(&mut self, at: usize, bit: u64) -> bool {
        let node = &mut self.nodes.items_mut()[at];
        if node.prefixes & bit == 0 {
            return false;
        }
        let count = node.prefixes.count_ones() as usize;
        node.result_base = self.results.remove(node.result_base, count, rank(node.prefixes, bit));
        node.prefixes &= !bit;
        self.len -= 1;
        true
    }

    /// Where the new child stands; children of `at` may have moved.
    fn add_child(&mut self, at: usize, chunk: usize, child: Node) -> usize {
        let node = self.nodes.items()[at];
        let (count, index) = (node.children.count_ones() as usize, rank(node.children, 1 << chunk));
        let base = self.nodes.insert(node.child_base, count, index, child);
        let node = &mut self.nodes.items_mut()[at];
        node.child_base = base;
        node.children |= 1 << chunk;
        base as usize + index
    }

    fn remove_child(&mut self, at: usize, chunk: usize) {
        let node = self.nodes.items()[at];
        let (count, index) = (node.children.count_ones() as usize, rank(node.children, 1 << chunk));
        let base = self.nodes.remove(node.child_base, count, index);
        let node = &mut self.nodes.items_mut()[at];
        node.child_base = base;
        node.children &= !(1 << chunk);
    }

    /// Makes a node of the first `shared` skipped strides, and what is behind them its child.
    fn split(&mut self, at: usize, shared: u8) {
        let lower = self.nodes.items()[at];
        let chunk = (lower.path << (shared * STRIDE) >> (SKIP_BITS - STRIDE)) as usize & 63;
        let rest = lower.skip as u8 - shared - 1;
        let path = (lower.path << ((shared + 1) * STRIDE)) & skip_mask(rest);
        self.nodes.items_mut()[at] = Node::skipping(lower.path, shared);
        self.add_child(at, chunk, Node { path, skip: u32::from(rest), ..lower });
    }

    /// Removes nodes that became empty, and joins one that became a mere step with its child.
    fn prune(&mut self, slot: usize, mut at: usize, parents: &[(usize, usize)]) {
        for &(parent, chunk) in parents.iter().rev() {
            let node = self.nodes.items()[at];
            if node.prefixes != 0 || node.children != 0 {
                break;
            }
            self.remove_child(parent, chunk);
            at = parent;
        }
        let node = self.nodes.items()[at];
        if node.prefixes == 0 && node.children == 0 {
            self.nodes.release(self.slots[slot].node, 1);
            self.slots[slot].node = NONE;
        } else if node.prefixes == 0 && node.children.count_ones() == 1 {
            self.join(at);
        }
    }

    fn join(&mut self, at: usize) {
        let node = self.nodes.items()[at];
        let child = self.nodes.items()[node.child_base as usize];
        let skip = node.skip + 1 + child.skip;
        if skip > u32::from(MAX_SKIP) {
            return;
        }
        let own = node.skip as u8 + 1;
        let chunk = node.children.trailing_zeros() << (SKIP_BITS - own * STRIDE);
        let path = node.path | chunk | child.path >> (own * STRIDE);
        self.nodes.items_mut()[at] = Node { path, skip, ..child };
        self.nodes.release(node.child_base, 1);
    }
}

/// The state of one walk.
#[derive(Clone, Copy)]
struct Lane {
    /// Where the best result so far stands.
    best: u32,
    node: u32,
    depth: u8,
}

/// Strides that a new node at `depth` on the way to a prefix skips.
fn skip_towards(depth: u8, length: u8) -> u8 {
    ((length - depth) / STRIDE).min(MAX_SKIP)
}

#[cfg(test)]
mod tests;
