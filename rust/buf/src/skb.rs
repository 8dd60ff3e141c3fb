//! The scatterlist packet: what it is and how it is read. [`crate::edit`] changes it.
use std::mem::ManuallyDrop;

use thiserror::Error;

use crate::block::{Block, SmallBlock};
use crate::hot::HotLine;
use crate::pool::{PacketPool, copied_length};
use crate::rest::Rest;
use crate::segment::Segment;

/// Bytes kept free before the headers of a packet that netfast makes or copies: an outer Ethernet, IPv6, UDP and
/// tunnel header, or a few labels, go there without another copy.
pub const HEADROOM: u32 = 128;

/// A packet of more pieces is made one; `writev(2)` and the drivers take no more in one go without copying either.
pub const MAX_SEGMENTS: usize = 64;

const _: () = assert!(size_of::<Skb>() == 128);

/// Why a packet operation was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BufError {
    /// A block has no such range, or it does not fit u32.
    #[error("bytes {offset} to {offset}+{length} are not in a block of {have}")]
    OutOfBlock {
        /// First byte of the range.
        offset: usize,
        /// Its length.
        length: usize,
        /// Length of the block.
        have: usize,
    },
    /// The packet has fewer bytes.
    #[error("{need} bytes are needed, the packet has {have}")]
    TooShort {
        /// Bytes that were asked for.
        need: u32,
        /// Bytes that the packet has.
        have: u32,
    },
    /// The packet would be longer than u32 counts.
    #[error("a packet of {length} bytes cannot become {more} longer")]
    TooLong {
        /// Bytes that it has.
        length: u32,
        /// Bytes that were to be added.
        more: usize,
    },
    /// A batch holds as many packets as it may.
    #[error("the batch holds {} packets: start another one", crate::BATCH_PACKETS)]
    BatchFull,
}

/// A packet: a hot line that every stage reads, and a list of segments whose bytes, one after the other, are the packet.
///
/// The first segment holds all headers ([`Skb::header_length`]); two segments need no allocation. Segments share
/// their blocks: [`Skb::duplicate`], [`Skb::split`] and fragments copy nothing. What was shared or pinned is read-only
/// from then on: it is copied before it is written, and only the headers are.
///
/// It is not `Clone`: a duplicate is a packet more, which somebody has to account for.
#[derive(Debug)]
pub struct Skb {
    /// What every stage reads and writes.
    pub hot: HotLine,
    /// Where the headers are. Without bytes only when the packet has none; its headroom may be used yet.
    pub(crate) first: ManuallyDrop<Option<Segment>>,
    /// The segments after it, each with bytes; none where there is no first.
    pub(crate) rest: ManuallyDrop<Rest>,
}

impl Skb {
    /// A packet of no bytes, for headers to be pushed and segments to be appended.
    #[inline]
    pub fn new() -> Self {
        Self::linear(None, HotLine::default())
    }

    /// A packet that refers to bytes of a block and keeps the block alive.
    ///
    /// # Errors
    /// [`BufError::OutOfBlock`].
    pub fn from_block(block: Block, offset: usize, length: usize) -> Result<Self, BufError> {
        let have = block.bytes().len();
        let segment =
            Segment::pinned(block, offset, length).ok_or(BufError::OutOfBlock { offset, length, have })?;
        Ok(if length > 0 { Self::from_segment(segment) } else { Self::new() })
    }

    /// A packet with a copy of `bytes` and [`HEADROOM`] before it.
    ///
    /// # Errors
    /// [`BufError::TooLong`].
    #[inline]
    pub fn from_slice(bytes: &[u8], pool: &mut PacketPool) -> Result<Self, BufError> {
        let length = copied_length(bytes)?;
        Ok(Self::from_segment(pool.copy(bytes, length)))
    }

    /// A packet of one segment.
    #[inline(always)]
    pub(crate) fn from_segment(first: Segment) -> Self {
        let hot = HotLine { length: first.len(), ..HotLine::default() };
        Self::linear(Some(first), hot)
    }

    #[inline(always)]
    pub(crate) fn linear(first: Option<Segment>, hot: HotLine) -> Self {
        Self { hot, first: ManuallyDrop::new(first), rest: ManuallyDrop::new(Rest::None) }
    }

    /// Takes its memory, if all of it is a pool's small one, and leaves an empty packet.
    #[inline(always)]
    pub(crate) fn take_small(&mut self) -> Option<Box<SmallBlock>> {
        if !self.rest.is_none() {
            return None;
        }
        self.first.take_if(|first| first.is_small()).and_then(Segment::into_small)
    }

    /// Bytes in the packet.
    #[inline]
    pub fn len(&self) -> u32 {
        self.hot.length
    }

    /// True when the packet has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.hot.length == 0
    }

    /// Bytes of headers, which the first segment holds; what is copied when a shared header is changed.
    #[inline]
    pub fn header_length(&self) -> u32 {
        self.hot.header_length
    }

    /// The bytes of the first segment, in which all headers stand.
    #[inline(always)]
    pub fn head(&self) -> &[u8] {
        match &*self.first {
            Some(first) => first.pooled().unwrap_or_else(|| first.bytes()),
            None => &[],
        }
    }

    /// Asks the cache for the first `lines` lines of 64 bytes of the packet, for whoever reads its headers soon.
    #[inline(always)]
    pub fn prefetch_head(&self, lines: usize) {
        if let Some(first) = &*self.first {
            first.prefetch(lines);
        }
    }

    /// The segments' bytes in order, as `writev(2)` takes them.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let first = self.first.as_ref();
        (0..self.count())
            .map(move |at| first.filter(|_| at == 0).unwrap_or_else(|| &self.rest[at - 1]).bytes())
    }

    /// For each segment, in order, the bytes of the block that it keeps: as many as [`Skb::segments`] shows of it, or more.
    pub fn memory(&self) -> impl ExactSizeIterator<Item = usize> {
        let first = self.first.as_ref();
        (0..self.count())
            .map(move |at| first.filter(|_| at == 0).unwrap_or_else(|| &self.rest[at - 1]).kept())
    }

    /// Bytes that can be pushed without a new segment.
    pub fn headroom(&self) -> u32 {
        self.first.as_ref().map_or(0, Segment::headroom)
    }

    /// For each segment, in order, a block that keeps its bytes as they are, with offset and length: what a read-only
    /// view of the packet holds on to. A later change of these headers copies them first.
    pub fn pin(&mut self) -> impl ExactSizeIterator<Item = (Block, usize, usize)> {
        (0..self.count()).map(|at| match &mut *self.first {
            Some(first) if at == 0 => first.pin(),
            _ => self.rest[at - 1].pin(),
        })
    }

    /// Bytes in the first segment.
    #[inline]
    pub(crate) fn first_length(&self) -> u32 {
        self.first.as_ref().map_or(0, Segment::len)
    }

    /// How many segments there are.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Copies bytes from `offset` on into `into`, as many as it holds, and counts nothing: the caller pays.
    ///
    /// # Errors
    /// [`BufError::TooShort`] when the packet has not so many.
    pub fn read(&self, offset: u32, into: &mut [u8]) -> Result<(), BufError> {
        let end =
            u32::try_from(into.len()).ok().and_then(|length| offset.checked_add(length)).unwrap_or(u32::MAX);
        if end > self.len() {
            return Err(BufError::TooShort { need: end, have: self.len() });
        }
        let (mut skip, mut filled) = (offset as usize, 0);
        for segment in self.segments() {
            let piece = segment.get(skip..).unwrap_or(&[]);
            skip = skip.saturating_sub(segment.len());
            let count = piece.len().min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
        }
        // Only where an owner of foreign memory let it shrink; never what the caller's memory held before.
        into[filled..].fill(0);
        Ok(())
    }

    /// All bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len() as usize);
        self.segments().for_each(|segment| bytes.extend_from_slice(segment));
        bytes
    }
}

/// A packet whose memory was taken, as most were that end, is let go by one comparison: what the compiler makes for the
/// fields is a call for each.
impl Drop for Skb {
    #[inline]
    fn drop(&mut self) {
        if self.first.is_some() {
            self.release();
        }
    }
}

impl Skb {
    #[inline(never)]
    fn release(&mut self) {
        drop(std::mem::take(&mut *self.first));
        drop(std::mem::take(&mut *self.rest));
    }
}

impl Default for Skb {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}
