//! Where packets take the memory for their headers from, and where copies are counted.
use crate::batch::PacketBatch;
use crate::block::{BlockMut, BlockPool, SMALL_BLOCK};
use crate::segment::{Segment, Size};
use crate::skb::Skb;

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
        self.bytes += u64::from(bytes);
        self.events += 1;
    }
}

/// Blocks of each size that wait in a [`PacketPool`] for the next packet. At the limit a recycled block is let go: a
/// small one is freed, one of the [`BlockPool`]'s goes back there. Sixteen batches cover what a worker has in flight.
pub const POOL_BLOCKS: usize = 4_096;

/// The memory of one worker: blocks for headers, and the count of what was copied.
///
/// What [`PacketPool::recycle`] took back is used again without a lock, an allocation or an atomic operation. A clone
/// shares the [`BlockPool`] and begins with nothing waiting.
#[derive(Debug)]
pub struct PacketPool {
    blocks: BlockPool,
    small: Vec<Segment>,
    large: Vec<Segment>,
    /// What was copied so far; the caller may read and reset it.
    pub copies: CopyCounter,
}

impl PacketPool {
    /// Takes memory from `blocks`; what does not fit one of them is allocated for itself.
    pub fn new(blocks: BlockPool) -> Self {
        Self { blocks, small: Vec::new(), large: Vec::new(), copies: CopyCounter::default() }
    }

    /// Ends a packet. Memory that nobody else refers to waits for the next one, at most [`POOL_BLOCKS`] of each size.
    #[inline]
    pub fn recycle(&mut self, mut packet: Skb) {
        self.empty(&mut packet);
    }

    /// Ends all packets of a batch, as [`PacketPool::recycle`] does.
    pub fn recycle_batch(&mut self, batch: &mut PacketBatch) {
        batch.packets_mut().iter_mut().for_each(|packet| self.empty(packet));
        batch.clear();
    }

    /// Blocks that wait for the next packet, of both sizes together.
    pub fn waiting(&self) -> usize {
        self.small.len() + self.large.len()
    }

    /// An empty segment with memory of at least `size` bytes, whose content is unspecified.
    #[inline]
    pub(crate) fn take(&mut self, size: usize) -> Segment {
        let waiting = if size <= SMALL_BLOCK { &mut self.small } else { &mut self.large };
        match waiting.len().checked_sub(1) {
            Some(last) if size <= SMALL_BLOCK.max(self.blocks.block_size()) => waiting.swap_remove(last),
            _ => self.take_new(size),
        }
    }

    #[cold]
    fn take_new(&self, size: usize) -> Segment {
        if size <= SMALL_BLOCK {
            Segment::small()
        } else if size <= self.blocks.block_size() {
            Segment::large(self.blocks.take())
        } else {
            Segment::large(BlockMut::unpooled(size))
        }
    }

    #[inline]
    fn empty(&mut self, packet: &mut Skb) {
        while let Some(segment) = packet.segments.pop() {
            self.put_back(segment);
        }
    }

    #[inline]
    fn put_back(&mut self, segment: Segment) {
        let list = match segment.owned_size() {
            Some(Size::Small) => &mut self.small,
            Some(Size::Large(size)) if size == self.blocks.block_size() => &mut self.large,
            _ => return,
        };
        if list.len() < POOL_BLOCKS {
            list.push(segment);
        }
    }
}

impl Clone for PacketPool {
    fn clone(&self) -> Self {
        Self { copies: self.copies, ..Self::new(self.blocks.clone()) }
    }
}

impl Default for PacketPool {
    /// Blocks of 2,048 bytes, of which 256 are kept for reuse.
    fn default() -> Self {
        Self::new(BlockPool::new(2_048, 256))
    }
}
