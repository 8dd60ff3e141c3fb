//! A piece of a packet: some bytes of a block that is read-only, or of memory that the packet may write.
use std::fmt;

use crate::block::{Block, BlockMut, SMALL_BLOCK, SmallBlock, USUAL_BLOCK, UsualBlock};
use netfast_low::prefetch::prefetch;

/// What a segment's bytes stand in.
enum Storage {
    /// Read-only for ever: captured, mapped, shared by packets, or seen by Python.
    Pinned(Block),
    /// Only this segment refers to it, so it may be written, and it goes back to a pool whole. That nobody counts
    /// references is what keeps atomic operations off the path of a packet that is not shared.
    Small(Box<SmallBlock>),
    /// The same for what is longer.
    Usual(Box<UsualBlock>),
    /// The same for any length.
    Large(Box<BlockMut>),
}

/// Memory that nobody else refers to, of the sizes that a pool keeps.
pub(crate) enum Memory {
    Small(Box<SmallBlock>),
    Usual(Box<UsualBlock>),
    Large(Box<BlockMut>),
}

impl Memory {
    /// All of it, to be written.
    #[inline(always)]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(memory) => &mut memory.0,
            Self::Usual(memory) => &mut memory.0,
            Self::Large(memory) => memory.bytes_mut(),
        }
    }
}

/// Bytes `offset..offset + length` of a storage.
pub(crate) struct Segment {
    storage: Storage,
    offset: u32,
    length: u32,
}

const _: () = assert!(size_of::<Option<Segment>>() == 24);

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

    /// Bytes of `memory` from `offset` on, whatever they are.
    #[inline(always)]
    pub(crate) fn owned(memory: Memory, offset: u32, length: u32) -> Self {
        let storage = match memory {
            Memory::Small(memory) => Storage::Small(memory),
            Memory::Usual(memory) => Storage::Usual(memory),
            Memory::Large(memory) => Storage::Large(memory),
        };
        Self { storage, offset, length }
    }

    /// As [`Segment::owned`] of small memory.
    #[inline(always)]
    pub(crate) fn small_memory(memory: Box<SmallBlock>, offset: u32, length: u32) -> Self {
        Self { storage: Storage::Small(memory), offset, length }
    }

    /// Its memory, when that is a pool's small one.
    #[inline(always)]
    pub(crate) fn into_small(self) -> Option<Box<SmallBlock>> {
        match self.storage {
            Storage::Small(memory) => Some(memory),
            _ => None,
        }
    }

    /// Bytes of a block, which has them.
    #[inline(always)]
    pub(crate) fn shared(block: Block, offset: u32, length: u32) -> Self {
        Self { storage: Storage::Pinned(block), offset, length }
    }

    /// Its memory, when nobody else refers to it.
    #[inline(always)]
    pub(crate) fn into_memory(self) -> Option<Memory> {
        match self.storage {
            Storage::Small(memory) => Some(Memory::Small(memory)),
            Storage::Usual(memory) => Some(Memory::Usual(memory)),
            Storage::Large(memory) => Some(Memory::Large(memory)),
            Storage::Pinned(_) => None,
        }
    }

    /// True when it has a pool's small memory for itself.
    #[inline(always)]
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.storage, Storage::Small(_))
    }

    /// True when it has a pool's memory for itself, of a size that all blocks of its kind have.
    #[inline(always)]
    pub(crate) fn is_pooled(&self) -> bool {
        matches!(self.storage, Storage::Small(_) | Storage::Usual(_))
    }

    /// True when the bytes may be written.
    #[inline]
    pub(crate) fn is_owned(&self) -> bool {
        !matches!(self.storage, Storage::Pinned(_))
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    /// Bytes of the memory that the segment keeps, of which it may show a part.
    #[inline(always)]
    pub(crate) fn kept(&self) -> usize {
        match &self.storage {
            Storage::Small(_) => SMALL_BLOCK,
            Storage::Usual(_) => USUAL_BLOCK,
            Storage::Large(memory) => memory.bytes().len(),
            Storage::Pinned(block) => block.bytes().len(),
        }
    }

    /// The bytes where they stand in a pool's memory, as most do: found without a call.
    #[inline(always)]
    pub(crate) fn pooled(&self) -> Option<&[u8]> {
        let all = match &self.storage {
            Storage::Small(memory) => &memory.0[..],
            Storage::Usual(memory) => &memory.0[..],
            Storage::Pinned(_) | Storage::Large(_) => return None,
        };
        let offset = self.offset as usize;
        all.get(offset..offset + self.length as usize)
    }

    /// All of the bytes, to be written, where they stand in a pool's small memory.
    #[inline(always)]
    pub(crate) fn small_mut(&mut self) -> Option<&mut [u8]> {
        let Storage::Small(memory) = &mut self.storage else { return None };
        let offset = self.offset as usize;
        Some(&mut memory.0[offset..offset + self.length as usize])
    }

    /// The first `length` bytes, to be written; likewise.
    #[inline(always)]
    pub(crate) fn pooled_mut(&mut self, length: u32) -> Option<&mut [u8]> {
        let all = match &mut self.storage {
            Storage::Small(memory) => &mut memory.0[..],
            Storage::Usual(memory) => &mut memory.0[..],
            Storage::Pinned(_) | Storage::Large(_) => return None,
        };
        let offset = self.offset as usize;
        Some(&mut all[offset..offset + self.length.min(length) as usize])
    }

    /// Asks the cache for the first `lines` lines of the bytes.
    #[inline(always)]
    pub(crate) fn prefetch(&self, lines: usize) {
        let (bytes, start) = match &self.storage {
            Storage::Small(memory) => (&memory.0[..], self.offset as usize),
            Storage::Usual(memory) => (&memory.0[..], self.offset as usize),
            Storage::Pinned(_) | Storage::Large(_) => (self.bytes(), 0),
        };
        for line in 0..lines {
            prefetch(bytes, start + 64 * line);
        }
    }

    #[inline(never)]
    pub(crate) fn bytes(&self) -> &[u8] {
        let all = match &self.storage {
            Storage::Large(memory) => memory.bytes(),
            Storage::Pinned(block) => block.bytes(),
            Storage::Small(memory) => &memory.0,
            Storage::Usual(memory) => &memory.0,
        };
        let start = self.offset as usize;
        // An owner of foreign memory may break its promise and shrink; the packet is then shorter, not a panic.
        all.get(start..start + self.length as usize).unwrap_or_else(|| all.get(start..).unwrap_or(&[]))
    }

    /// The bytes to write, when nobody else can see them.
    #[inline(never)]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let (offset, length) = (self.offset as usize, self.length as usize);
        Some(&mut self.memory_mut()?[offset..offset + length])
    }

    /// All of the memory, when nobody else can see it.
    #[inline]
    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.storage {
            Storage::Pinned(_) => None,
            Storage::Small(memory) => Some(&mut memory.0),
            Storage::Usual(memory) => Some(&mut memory.0),
            Storage::Large(memory) => Some(memory.bytes_mut()),
        }
    }

    /// Begins `count` bytes earlier, when there is headroom that nobody else can see; they are zero then.
    #[inline]
    pub(crate) fn grow_front(&mut self, count: u32) -> bool {
        let Some(start) = self.offset.checked_sub(count) else { return false };
        let end = self.offset as usize;
        let Some(memory) = self.memory_mut() else { return false };
        memory[start as usize..end].fill(0);
        self.offset = start;
        self.length += count;
        true
    }

    /// Begins with `bytes`, when there is headroom for them that nobody else can see.
    #[inline]
    pub(crate) fn grow_front_with(&mut self, bytes: &[u8]) -> bool {
        let (end, count) = (self.offset as usize, bytes.len());
        let Some(start) = end.checked_sub(count) else { return false };
        let Some(memory) = self.memory_mut() else { return false };
        memory[start..end].copy_from_slice(bytes);
        self.offset = start as u32;
        self.length += count as u32;
        true
    }

    /// Begins `count` bytes later; at most its length.
    #[inline]
    pub(crate) fn advance(&mut self, count: u32) {
        debug_assert!(count <= self.length);
        self.offset += count;
        self.length -= count;
    }

    /// The bytes after the first `count`; at most its length. Fields that were never changed in memory are moved without a
    /// wait for it.
    #[inline(always)]
    pub(crate) fn after(self, count: u32) -> Self {
        debug_assert!(count <= self.length);
        Self { storage: self.storage, offset: self.offset + count, length: self.length - count }
    }

    /// Ends after `length` bytes; at most its length.
    pub(crate) fn truncate(&mut self, length: u32) {
        debug_assert!(length <= self.length);
        self.length = length;
    }

    /// Ends after `length` bytes, fewer than it has; gives the others, shared.
    pub(crate) fn cut(&mut self, length: u32) -> Self {
        let mut behind = self.share();
        behind.advance(length);
        self.truncate(length);
        behind
    }

    /// Bytes before the segment that could be written.
    #[inline]
    pub(crate) fn headroom(&self) -> u32 {
        if self.is_owned() { self.offset } else { 0 }
    }

    /// A block that keeps the bytes as they are, and where they stand in it. Nobody writes to them any more.
    pub(crate) fn pin(&mut self) -> (Block, usize, usize) {
        if let Storage::Pinned(block) = &self.storage {
            return (block.clone(), self.offset as usize, self.length as usize);
        }
        let block = match std::mem::replace(&mut self.storage, Storage::Large(Box::default())) {
            Storage::Pinned(block) => block,
            Storage::Small(memory) => Block::small(memory),
            Storage::Usual(memory) => Block::usual(memory),
            Storage::Large(memory) => memory.freeze(),
        };
        self.storage = Storage::Pinned(block.clone());
        (block, self.offset as usize, self.length as usize)
    }

    /// Another segment of the same bytes; both are read-only from now on.
    pub(crate) fn share(&mut self) -> Self {
        let (block, ..) = self.pin();
        Self { storage: Storage::Pinned(block), offset: self.offset, length: self.length }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_owned() { "owned" } else { "pinned" };
        write!(f, "Segment({kind}, {} bytes at {})", self.length, self.offset)
    }
}
