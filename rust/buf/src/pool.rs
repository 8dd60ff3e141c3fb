//! Where packets take the memory for their headers from, and where copies are counted.
use crate::block::{BlockMut, BlockPool};

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

/// The memory of one worker: blocks for headers, and the count of what was copied.
#[derive(Clone, Debug)]
pub struct PacketPool {
    blocks: BlockPool,
    /// What was copied so far; the caller may read and reset it.
    pub copies: CopyCounter,
}

impl PacketPool {
    /// Takes memory from `blocks`; what does not fit one of them is allocated for itself.
    pub fn new(blocks: BlockPool) -> Self {
        Self { blocks, copies: CopyCounter::default() }
    }

    /// Memory of at least `size` bytes; its content is unspecified.
    pub(crate) fn take(&self, size: usize) -> BlockMut {
        if size <= self.blocks.block_size() { self.blocks.take() } else { BlockMut::unpooled(size) }
    }
}

impl Default for PacketPool {
    /// Blocks of 2,048 bytes, of which 256 are kept for reuse.
    fn default() -> Self {
        Self::new(BlockPool::new(2_048, 256))
    }
}
