//! Where packets take the memory for their headers from, and where copies are counted.
use std::fmt;

use crate::batch::PacketBatch;
use crate::block::{BlockMut, BlockPool, SMALL_BLOCK, SmallBlock, USUAL_BLOCK, UsualBlock};
use crate::carve::HEADER_ROOM;
use crate::rest::Rest;
use crate::segment::{Memory, Segment};
use crate::skb::{BufError, HEADROOM, MAX_SEGMENTS, Skb};
use netfast_low::moves::{forget_all, take_while};

/// What was copied, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyCounter {
    /// Bytes copied in all.
    pub bytes: u64,
    /// Operations that copied something.
    pub events: u64,
    /// Those of them that moved headers into the first segment.
    pub pulls: u64,
    /// Those of them that took a private copy of headers that others see.
    pub unshares: u64,
    /// Those of them that made a packet one piece.
    pub linearised: u64,
    /// Packets duplicated; their bytes were shared, not copied.
    pub clones: u64,
}

impl CopyCounter {
    pub(crate) fn count(&mut self, bytes: u32) {
        self.count_all(1, u64::from(bytes));
    }

    /// Counts so many operations that copied so many bytes together.
    pub(crate) fn count_all(&mut self, events: u64, bytes: u64) {
        self.bytes += bytes;
        self.events += events;
    }
}

/// Blocks of each size that wait in a [`PacketPool`] for the next packet. At the limit a recycled block is let go: one of
/// the [`BlockPool`]'s goes back there, others are freed. Sixteen batches cover what a worker has in flight.
pub const POOL_BLOCKS: usize = 4_096;

/// Lists of pieces that wait in a [`PacketPool`] for the next packet; beyond, and those with room for more than
/// [`MAX_SEGMENTS`], they are freed.
pub const POOL_LISTS: usize = 256;
/// Pieces that a list that waits has room for at most.
const LIST_PIECES: usize = MAX_SEGMENTS;

/// The memory of one worker: blocks for headers, and the count of what was copied.
///
/// What [`PacketPool::recycle`] took back is used again without a lock, an allocation or an atomic operation. A clone
/// shares the [`BlockPool`] and begins with nothing waiting.
pub struct PacketPool {
    blocks: BlockPool,
    #[expect(
        clippy::vec_box,
        reason = "a packet takes and gives back the pointer; the bytes stay where they are"
    )]
    small: Vec<Box<SmallBlock>>,
    #[expect(clippy::vec_box, reason = "likewise")]
    usual: Vec<Box<UsualBlock>>,
    /// Whether it has usual ones; otherwise what does not fit a small one is taken from `blocks`.
    has_usual: bool,
    #[expect(clippy::vec_box, reason = "a packet takes and gives back the pointer")]
    large: Vec<Box<BlockMut>>,
    /// Empty lists of packets of many pieces that were let go.
    lists: Vec<Vec<Segment>>,
    /// What was copied so far; the caller may read and reset it.
    pub copies: CopyCounter,
}

impl PacketPool {
    /// Takes memory from `blocks`; what does not fit one of them is allocated for itself.
    pub fn new(blocks: BlockPool) -> Self {
        Self {
            blocks,
            small: Vec::new(),
            usual: Vec::new(),
            has_usual: false,
            large: Vec::new(),
            lists: Vec::new(),
            copies: CopyCounter::default(),
        }
    }

    /// Ends a packet. Memory that nobody else refers to waits for the next one, at most [`POOL_BLOCKS`] of each size.
    #[inline]
    pub fn recycle(&mut self, mut packet: Skb) {
        self.empty(&mut packet);
    }

    /// Ends all packets of a list, as [`PacketPool::recycle`] does; the list keeps its capacity.
    #[inline]
    pub fn recycle_all(&mut self, packets: &mut Vec<Skb>) {
        self.empty_all(packets);
        forget_all(packets);
    }

    /// Ends all packets of a batch, as [`PacketPool::recycle`] does.
    #[inline]
    pub fn recycle_batch(&mut self, batch: &mut PacketBatch) {
        self.empty_all(batch.packets_mut());
        batch.forget();
    }

    /// Blocks that wait for the next packet, of all sizes together.
    pub fn waiting(&self) -> usize {
        self.small.len() + self.usual.len() + self.large.len()
    }

    /// A segment with a copy of `bytes`, of which there are [`copied_length`], after [`HEADROOM`]; it is counted.
    #[inline(always)]
    pub(crate) fn copy(&mut self, bytes: &[u8], length: u32) -> Segment {
        self.copies.count(length);
        if bytes.len() <= HEADER_ROOM { self.copy_short(bytes) } else { self.copy_long(bytes, length) }
    }

    /// A segment with a copy of `bytes` in small memory after [`HEADROOM`], of the first [`HEADER_ROOM`] of them; it is not
    /// counted.
    #[inline(always)]
    pub(crate) fn copy_short(&mut self, bytes: &[u8]) -> Segment {
        let length = bytes.len().min(HEADER_ROOM);
        let mut memory = self.small();
        copy_few(&mut memory.0[HEADROOM as usize..][..length], &bytes[..length]);
        Segment::small_memory(memory, HEADROOM, length as u32)
    }

    /// As [`PacketPool::copy_short`] of more bytes, all of them. What was called hands over memory in registers, and the segment
    /// is made of these: of one that is returned in memory, the halves of a word are written and the whole is read at once,
    /// which waits until all of the bytes are written.
    #[inline(always)]
    pub(crate) fn copy_long(&mut self, bytes: &[u8], length: u32) -> Segment {
        Segment::owned(self.filled(bytes), HEADROOM, length)
    }

    /// Memory with more bytes than fit a small block, behind [`HEADROOM`].
    #[inline(never)]
    fn filled(&mut self, bytes: &[u8]) -> Memory {
        let (start, end) = (HEADROOM as usize, HEADROOM as usize + bytes.len());
        let mut memory = self.take_more(end);
        memory.bytes_mut()[start..end].copy_from_slice(bytes);
        memory
    }

    /// A segment of headers that were made for it, after [`HEADROOM`]: no copy that counts.
    #[inline(always)]
    pub(crate) fn made(&mut self, headers: &[u8]) -> Segment {
        let (start, end) = (HEADROOM as usize, HEADROOM as usize + headers.len());
        let mut memory = self.take(end);
        copy_few(&mut memory.bytes_mut()[start..end], headers);
        Segment::owned(memory, HEADROOM, headers.len() as u32)
    }

    /// Memory of at least `size` bytes, whose content is unspecified.
    #[inline(always)]
    pub(crate) fn take(&mut self, size: usize) -> Memory {
        if size <= SMALL_BLOCK {
            return Memory::Small(self.small());
        }
        self.take_more(size)
    }

    /// A small block, whose content is unspecified.
    #[inline(always)]
    pub(crate) fn small(&mut self) -> Box<SmallBlock> {
        self.small.pop().unwrap_or_else(SmallBlock::fresh)
    }

    /// As [`PacketPool::take`], of more than a small block has.
    #[inline]
    fn take_more(&mut self, size: usize) -> Memory {
        if size <= USUAL_BLOCK && self.has_usual {
            return Memory::Usual(self.usual.pop().unwrap_or_else(UsualBlock::fresh));
        }
        self.take_large(size)
    }

    #[inline(never)]
    fn take_large(&mut self, size: usize) -> Memory {
        if size > self.blocks.block_size() {
            return Memory::Large(Box::new(BlockMut::unpooled(size)));
        }
        Memory::Large(self.large.pop().unwrap_or_else(|| Box::new(self.blocks.take())))
    }

    /// Takes a packet's memory. The usual kind is asked for alone: what would have to be dropped may not stay in registers.
    #[inline(always)]
    fn empty(&mut self, packet: &mut Skb) {
        match packet.first.take_if(|first| first.is_small()).and_then(Segment::into_memory) {
            Some(memory) => self.keep(memory),
            None => self.put_back(packet.first.take()),
        }
        if !packet.rest.is_empty() {
            self.put_back_all(&mut packet.rest);
        }
    }

    /// Takes the memory of packets, which have none then: they need no drop.
    fn empty_all(&mut self, mut packets: &mut [Skb]) {
        while !packets.is_empty() {
            let room = POOL_BLOCKS.saturating_sub(self.small.len());
            let count = take_while(packets, room, &mut self.small, Skb::take_small);
            packets = &mut packets[count..];
            if let Some((packet, others)) = std::mem::take(&mut packets).split_first_mut() {
                self.empty(packet);
                packets = others;
            }
        }
    }

    #[inline(never)]
    fn put_back_all(&mut self, rest: &mut Rest) {
        if let Rest::More(list) = rest {
            while let Some(segment) = list.pop() {
                self.put_back(Some(segment));
            }
            if self.lists.len() < POOL_LISTS && list.capacity() <= LIST_PIECES {
                self.lists.push(std::mem::take(list));
            }
        }
        if let Rest::One(segment) = std::mem::take(rest) {
            self.put_back(Some(segment));
        }
    }

    /// An empty list that waited for the next packet.
    #[inline(always)]
    pub(crate) fn list(&mut self) -> Option<Vec<Segment>> {
        self.lists.pop()
    }

    #[inline(never)]
    fn put_back(&mut self, segment: Option<Segment>) {
        if let Some(memory) = segment.and_then(Segment::into_memory) {
            self.keep(memory);
        }
    }

    #[inline(always)]
    fn keep(&mut self, memory: Memory) {
        match memory {
            Memory::Small(memory) if self.small.len() < POOL_BLOCKS => self.small.push(memory),
            Memory::Usual(memory) if self.has_usual && self.usual.len() < POOL_BLOCKS => {
                self.usual.push(memory)
            }
            Memory::Small(_) | Memory::Usual(_) => {}
            Memory::Large(memory) => self.keep_large(memory),
        }
    }

    fn keep_large(&mut self, memory: Box<BlockMut>) {
        if memory.bytes().len() == self.blocks.block_size() && self.large.len() < POOL_BLOCKS {
            self.large.push(memory);
        }
    }
}

/// Copies bytes of the same length, a few cache lines without a call.
#[inline(always)]
fn copy_few(into: &mut [u8], from: &[u8]) {
    match from.len() {
        32..=64 => copy_ends::<32>(into, from),
        65..=128 => copy_ends::<64>(into, from),
        _ => into.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes, which are all.
#[inline(always)]
fn copy_ends<const N: usize>(into: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        let at = from.len() - N;
        into[..N].copy_from_slice(first);
        into[at..].copy_from_slice(last);
    }
}

/// The length of bytes that are to be copied into a packet.
///
/// # Errors
/// [`BufError::TooLong`] when with [`HEADROOM`] it does not fit u32.
#[inline]
pub(crate) fn copied_length(bytes: &[u8]) -> Result<u32, BufError> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| length.checked_add(HEADROOM).is_some());
    length.ok_or(BufError::TooLong { length: 0, more: bytes.len() })
}

impl fmt::Debug for PacketPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketPool({} waiting, {:?})", self.waiting(), self.copies)
    }
}

impl Clone for PacketPool {
    fn clone(&self) -> Self {
        Self { copies: self.copies, has_usual: self.has_usual, ..Self::new(self.blocks.clone()) }
    }
}

impl Default for PacketPool {
    /// Takes blocks of 2,048 bytes for what fits these, which are found at once, and are nobody else's.
    fn default() -> Self {
        Self { has_usual: true, ..Self::new(BlockPool::new(0, 0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of four pieces.
    fn packet(pool: &mut PacketPool) -> Skb {
        let mut packet = Skb::from_slice(&[1; 64], pool).unwrap();
        for length in [1_000, 64, 1_000] {
            let mut other = Skb::from_slice(&vec![2; length], pool).unwrap();
            packet.absorb(&mut other, 0, pool).unwrap();
        }
        packet
    }

    #[test]
    fn what_a_pool_gives_nobody_does_not_wait_in_it() {
        let (mut usual, mut other) = (PacketPool::default(), PacketPool::new(BlockPool::new(4_096, 1)));
        for length in [1, 1_000] {
            let [mine, theirs] = [&mut usual, &mut other].map(|pool| Skb::from_slice(&vec![1; length], pool));
            usual.recycle(theirs.unwrap());
            other.recycle(mine.unwrap());
        }
        // Small blocks are all alike; a block of 2,048 bytes is the one's, and one of 4,096 the other's.
        assert_eq!((usual.waiting(), other.waiting()), (1, 1));
    }

    #[test]
    fn lists_of_pieces_wait_up_to_their_limit_and_are_used_again() {
        let (mut pool, count) = (PacketPool::default(), POOL_LISTS + 3);
        let mut packets: Vec<_> = (0..count).map(|_| packet(&mut pool)).collect();
        pool.recycle_all(&mut packets);
        assert_eq!((pool.small.len(), pool.usual.len()), (2 * count, 2 * count));
        assert_eq!(pool.lists.len(), POOL_LISTS);
        assert!(pool.lists.iter().all(|list| list.is_empty() && list.capacity() <= LIST_PIECES));
        let again = packet(&mut pool);
        assert_eq!((again.segments().len(), pool.lists.len()), (4, POOL_LISTS - 1));
        pool.recycle(again);
        assert_eq!(pool.lists.len(), POOL_LISTS);
    }
}
