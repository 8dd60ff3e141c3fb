//! A piece of a packet: some bytes of a block that is read-only, or of memory that the packet may write.
use std::sync::Arc;

use crate::block::{Block, BlockMut};

/// What a segment's bytes stand in.
#[derive(Clone, Debug)]
enum Storage {
    /// Read-only for ever: captured, mapped, or seen by Python.
    Pinned(Block),
    /// Taken from a pool; writable while only one segment refers to it.
    Pooled(Arc<BlockMut>),
}

/// Bytes `offset..offset + length` of a storage. `Clone` shares it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    storage: Storage,
    offset: u32,
    length: u32,
}

const _: () = assert!(size_of::<Segment>() == 24);

/// Lets a pooled segment be handed out as a block: it is not written while that block lives, because the count of
/// its owners is above one then.
struct Shared(Arc<BlockMut>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Segment {
    /// `None` when the block has no such range, or it is beyond u32.
    pub(crate) fn pinned(block: Block, offset: usize, length: usize) -> Option<Self> {
        let end = offset.checked_add(length)?;
        if end > block.bytes().len() {
            return None;
        }
        u32::try_from(end).ok()?;
        Some(Self { storage: Storage::Pinned(block), offset: offset as u32, length: length as u32 })
    }

    /// The range must lie in the memory.
    pub(crate) fn pooled(memory: BlockMut, offset: u32, length: u32) -> Self {
        debug_assert!(offset as usize + length as usize <= memory.bytes().len());
        Self { storage: Storage::Pooled(Arc::new(memory)), offset, length }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let all = match &self.storage {
            Storage::Pinned(block) => block.bytes(),
            Storage::Pooled(memory) => memory.bytes(),
        };
        // An owner of foreign memory may break its promise and shrink; the packet is then shorter, not a panic.
        let start = (self.offset as usize).min(all.len());
        &all[start..(start + self.length as usize).min(all.len())]
    }

    /// The bytes to write, when nobody else can see them.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let (offset, length) = (self.offset as usize, self.length as usize);
        let Storage::Pooled(memory) = &mut self.storage else { return None };
        Some(&mut Arc::get_mut(memory)?.bytes_mut()[offset..offset + length])
    }

    /// Begins `count` bytes earlier, when there is headroom that nobody else can see; they are zero then.
    pub(crate) fn grow_front(&mut self, count: u32) -> bool {
        let Some(start) = self.offset.checked_sub(count) else { return false };
        let Storage::Pooled(memory) = &mut self.storage else { return false };
        let Some(memory) = Arc::get_mut(memory) else { return false };
        memory.bytes_mut()[start as usize..self.offset as usize].fill(0);
        self.offset = start;
        self.length += count;
        true
    }

    /// Begins `count` bytes later; at most its length.
    pub(crate) fn advance(&mut self, count: u32) {
        debug_assert!(count <= self.length);
        self.offset += count;
        self.length -= count;
    }

    /// Ends after `length` bytes; at most its length.
    pub(crate) fn truncate(&mut self, length: u32) {
        debug_assert!(length <= self.length);
        self.length = length;
    }

    /// Bytes before the segment that could be written.
    pub(crate) fn headroom(&self) -> u32 {
        match &self.storage {
            Storage::Pooled(memory) if Arc::strong_count(memory) == 1 => self.offset,
            _ => 0,
        }
    }

    /// A block that keeps the bytes as they are, and where they stand in it.
    pub(crate) fn pin(&self) -> (Block, usize, usize) {
        let block = match &self.storage {
            Storage::Pinned(block) => block.clone(),
            Storage::Pooled(memory) => Block::from_owner(Shared(memory.clone())),
        };
        (block, self.offset as usize, self.length as usize)
    }
}
