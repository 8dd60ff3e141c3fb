//! Blocks: the memory that captured packets stand in, shared and read-only once filled.
use std::fmt;
use std::sync::{Arc, Mutex};

/// Read-only bytes that packets refer to and keep alive ("pin").
///
/// A block never moves and is never written again while a clone of it exists; that is what makes it sound to hand
/// its memory to Python. It comes from a [`BlockPool`] (and goes back there with its last clone) or from any other
/// owner of bytes: a mapped file, a Python `bytes` object, a `Vec`.
#[derive(Clone)]
pub struct Block(Arc<Owner>);

/// Who owns a block's bytes. Behind a thin pointer, so that a segment is 24 bytes.
enum Owner {
    Memory(BlockMut),
    Small(Box<SmallBlock>),
    Usual(Box<UsualBlock>),
    Foreign(Box<dyn AsRef<[u8]> + Send + Sync>),
}

/// Bytes of a small block: [`crate::HEADROOM`] and a packet of 384 bytes. Most packets are small, and small blocks close
/// to each other make better use of caches and translation buffers.
pub(crate) const SMALL_BLOCK: usize = 512;

/// Bytes of a usual block: [`crate::HEADROOM`] and the longest frame of Ethernet, with room for what goes before and behind.
pub(crate) const USUAL_BLOCK: usize = 2_048;

/// Memory of a block whose size is one of those above. It begins with a cache line, so that a packet of 64 bytes is in
/// one, and has no second pointer between, whose line is mostly not in the cache.
#[repr(align(64))]
pub(crate) struct FixedBlock<const SIZE: usize>(pub(crate) [u8; SIZE]);

pub(crate) type SmallBlock = FixedBlock<SMALL_BLOCK>;
pub(crate) type UsualBlock = FixedBlock<USUAL_BLOCK>;

impl<const SIZE: usize> FixedBlock<SIZE> {
    #[cold]
    pub(crate) fn fresh() -> Box<Self> {
        Box::new(Self([0; SIZE]))
    }
}

impl Block {
    /// A block over memory that somebody else owns; the owner is dropped with the last clone.
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Owner::Foreign(Box::new(owner))))
    }

    pub(crate) fn small(memory: Box<SmallBlock>) -> Self {
        Self(Arc::new(Owner::Small(memory)))
    }

    pub(crate) fn usual(memory: Box<UsualBlock>) -> Self {
        Self(Arc::new(Owner::Usual(memory)))
    }

    /// The bytes. A dynamic call for other owners than pools: take the slice once per batch, not once per packet.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &*self.0 {
            Owner::Memory(memory) => memory.bytes(),
            Owner::Small(memory) => &memory.0,
            Owner::Usual(memory) => &memory.0,
            Owner::Foreign(owner) => (**owner).as_ref(),
        }
    }

    /// True when this is the only handle, so that nobody else can see the bytes.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// True when both are handles of the same memory.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.bytes().len())
    }
}

impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_owner(bytes)
    }
}

/// Reuses the memory of blocks that nobody refers to any more.
///
/// At most `keep` blocks wait for reuse (the limit is on idle memory; a caller that pins blocks pays for them
/// itself). Clones share one pool; it may be used from several threads.
#[derive(Clone, Debug)]
pub struct BlockPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    keep: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl BlockPool {
    /// A pool of blocks of `size` bytes that keeps at most `keep` idle ones.
    pub fn new(size: usize, keep: usize) -> Self {
        Self { shared: Arc::new(Shared { size, keep, idle: Mutex::new(Vec::with_capacity(keep)) }) }
    }

    /// Bytes in a block of this pool.
    pub fn block_size(&self) -> usize {
        self.shared.size
    }

    /// Memory to fill: an idle block's if there is one, else fresh and zeroed. Its content is unspecified.
    pub fn take(&self) -> BlockMut {
        let idle = self.shared.lock().pop();
        BlockMut { bytes: idle.unwrap_or_else(|| vec![0; self.shared.size]), pool: Some(self.shared.clone()) }
    }

    /// Blocks that wait for reuse.
    pub fn idle(&self) -> usize {
        self.shared.lock().len()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A panic while the lock was held cannot leave a half-changed list: push and pop are the only changes.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A block that is being filled: writable, seen by nobody else. The default one has no bytes.
#[derive(Debug, Default)]
pub struct BlockMut {
    bytes: Vec<u8>,
    pool: Option<Arc<Shared>>,
}

impl BlockMut {
    /// Memory outside any pool, for what does not fit a pool's block.
    pub fn unpooled(size: usize) -> Self {
        Self { bytes: vec![0; size], pool: None }
    }

    /// The memory to fill.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The memory, to read back.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the writing.
    pub fn freeze(self) -> Block {
        Block(Arc::new(Owner::Memory(self)))
    }
}

impl Drop for BlockMut {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let mut idle = pool.lock();
        if idle.len() < pool.keep {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_returns_to_the_pool_only_with_the_last_clone() {
        let pool = BlockPool::new(64, 2);
        let mut filling = pool.take();
        filling.bytes_mut()[0] = 7;
        let block = filling.freeze();
        let pinned = block.clone();
        drop(block);
        assert_eq!((pool.idle(), pinned.bytes()[0]), (0, 7));
        drop(pinned);
        assert_eq!(pool.idle(), 1);
    }

    #[test]
    fn idle_memory_is_bounded() {
        let pool = BlockPool::new(64, 2);
        let blocks: Vec<_> = (0..5).map(|_| pool.take().freeze()).collect();
        drop(blocks);
        assert_eq!(pool.idle(), 2);
    }
}
