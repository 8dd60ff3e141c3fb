//! A piece of a packet: some bytes of a block that is read-only, or of memory that the packet may write.
use crate::block::{Block, BlockMut};

/// What a segment's bytes stand in.
#[derive(Debug)]
enum Storage {
    /// Read-only for ever: captured, mapped, shared by packets, or seen by Python.
    Pinned(Block),
    /// Only this segment refers to it, so it may be written, and it goes back to a pool whole. That nobody counts
    /// references is what keeps atomic operations off the path of a packet that is not shared.
    Owned(Box<BlockMut>),
}

/// Bytes `offset..offset + length` of a storage.
#[derive(Debug)]
pub(crate) struct Segment {
    storage: Storage,
    offset: u32,
    length: u32,
}

const _: () = assert!(size_of::<Segment>() == 24);

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

    /// No bytes yet, in memory that nobody else refers to.
    pub(crate) fn owned(memory: BlockMut) -> Self {
        Self { storage: Storage::Owned(Box::new(memory)), offset: 0, length: 0 }
    }

    /// Makes it bytes `offset..offset + length` of its memory, and gives them to be written. The memory is its own and
    /// has the range.
    #[inline]
    pub(crate) fn place(&mut self, offset: u32, length: u32) -> &mut [u8] {
        (self.offset, self.length) = (offset, length);
        self.bytes_mut().unwrap_or(&mut [])
    }

    /// Bytes of the whole memory, when nobody else refers to it.
    #[inline]
    pub(crate) fn owned_size(&self) -> Option<usize> {
        match &self.storage {
            Storage::Owned(memory) => Some(memory.bytes().len()),
            Storage::Pinned(_) => None,
        }
    }

    /// True when the bytes may be written.
    #[inline]
    pub(crate) fn is_owned(&self) -> bool {
        matches!(self.storage, Storage::Owned(_))
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let all = match &self.storage {
            Storage::Pinned(block) => block.bytes(),
            Storage::Owned(memory) => memory.bytes(),
        };
        // An owner of foreign memory may break its promise and shrink; the packet is then shorter, not a panic.
        let start = (self.offset as usize).min(all.len());
        &all[start..(start + self.length as usize).min(all.len())]
    }

    /// The bytes to write, when nobody else can see them.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let (offset, length) = (self.offset as usize, self.length as usize);
        let Storage::Owned(memory) = &mut self.storage else { return None };
        Some(&mut memory.bytes_mut()[offset..offset + length])
    }

    /// Begins `count` bytes earlier, when there is headroom that nobody else can see; they are zero then.
    #[inline]
    pub(crate) fn grow_front(&mut self, count: u32) -> bool {
        let Some(start) = self.offset.checked_sub(count) else { return false };
        let Storage::Owned(memory) = &mut self.storage else { return false };
        memory.bytes_mut()[start as usize..self.offset as usize].fill(0);
        self.offset = start;
        self.length += count;
        true
    }

    /// Begins `count` bytes later; at most its length.
    #[inline]
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
            Storage::Owned(_) => self.offset,
            Storage::Pinned(_) => 0,
        }
    }

    /// A block that keeps the bytes as they are, and where they stand in it. Nobody writes to them any more.
    pub(crate) fn pin(&mut self) -> (Block, usize, usize) {
        let block = match &mut self.storage {
            Storage::Pinned(block) => block.clone(),
            Storage::Owned(memory) => {
                let block = std::mem::take(&mut **memory).freeze();
                self.storage = Storage::Pinned(block.clone());
                block
            }
        };
        (block, self.offset as usize, self.length as usize)
    }

    /// Another segment of the same bytes; both are read-only from now on.
    pub(crate) fn share(&mut self) -> Self {
        let (block, ..) = self.pin();
        Self { storage: Storage::Pinned(block), offset: self.offset, length: self.length }
    }
}
