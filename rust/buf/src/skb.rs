//! The scatterlist packet: what it is and how it is read. [`crate::edit`] changes it.
use smallvec::{SmallVec, smallvec};
use thiserror::Error;

use crate::block::Block;
use crate::hot::HotLine;
use crate::pool::PacketPool;
use crate::segment::Segment;

/// Bytes kept free before the headers of a packet that netfast makes or copies: an outer Ethernet, IPv6, UDP and
/// tunnel header, or a few labels, go there without another copy.
pub const HEADROOM: u32 = 128;

/// A packet of more pieces is made one; `writev(2)` and the drivers take no more in one go without copying either.
pub const MAX_SEGMENTS: usize = 64;

/// Segments that need no allocation of their own: headers and payload. With two of them a packet is two cache lines,
/// and moving it from batch to batch costs less than with four.
const INLINE: usize = 2;

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
    /// None is empty but the first one of an empty packet, whose headroom may be used yet.
    pub(crate) segments: SmallVec<[Segment; INLINE]>,
}

impl Skb {
    /// A packet of no bytes, for headers to be pushed and segments to be appended.
    #[inline]
    pub fn new() -> Self {
        Self { hot: HotLine::default(), segments: SmallVec::new() }
    }

    /// A packet that refers to bytes of a block and keeps the block alive.
    ///
    /// # Errors
    /// [`BufError::OutOfBlock`].
    pub fn from_block(block: Block, offset: usize, length: usize) -> Result<Self, BufError> {
        let have = block.bytes().len();
        let segment =
            Segment::pinned(block, offset, length).ok_or(BufError::OutOfBlock { offset, length, have })?;
        let hot = HotLine { length: segment.len(), ..HotLine::default() };
        Ok(Self { hot, segments: if length > 0 { smallvec![segment] } else { SmallVec::new() } })
    }

    /// A packet with a copy of `bytes` and [`HEADROOM`] before it.
    ///
    /// # Errors
    /// [`BufError::TooLong`].
    #[inline(always)]
    pub fn from_slice(bytes: &[u8], pool: &mut PacketPool) -> Result<Self, BufError> {
        let (length, end) = lengths(bytes)?;
        let mut segment = pool.take(end);
        segment.place(HEADROOM, length).copy_from_slice(bytes);
        pool.copies.count(length);
        Ok(Self { hot: HotLine { length, ..HotLine::default() }, segments: smallvec![segment] })
    }

    /// Gives a new packet its bytes where it stands.
    #[inline(always)]
    pub(crate) fn fill(&mut self, bytes: &[u8], pool: &mut PacketPool) -> Result<(), BufError> {
        let (length, end) = lengths(bytes)?;
        self.segments.push(pool.take(end));
        // Told its range in its place, too: see `PacketBatch::push_slice`.
        self.segments[0].place(HEADROOM, length).copy_from_slice(bytes);
        pool.copies.count(length);
        self.hot.length = length;
        Ok(())
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
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.segments.first().map_or(&[], Segment::bytes)
    }

    /// The segments' bytes in order, as `writev(2)` takes them.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.segments.iter().map(Segment::bytes)
    }

    /// Bytes that can be pushed without a new segment.
    pub fn headroom(&self) -> u32 {
        self.segments.first().map_or(0, Segment::headroom)
    }

    /// For each segment, in order, a block that keeps its bytes as they are, with offset and length: what a read-only
    /// view of the packet holds on to. A later change of these headers copies them first.
    pub fn pin(&mut self) -> impl ExactSizeIterator<Item = (Block, usize, usize)> {
        self.segments.iter_mut().map(Segment::pin)
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
        self.segments().flatten().copied().collect()
    }
}

/// Bytes of a packet made of a slice, and of the memory that it needs.
#[inline(always)]
fn lengths(bytes: &[u8]) -> Result<(u32, usize), BufError> {
    let too_long = BufError::TooLong { length: 0, more: bytes.len() };
    let length = u32::try_from(bytes.len()).map_err(|_| too_long)?;
    let end = length.checked_add(HEADROOM).ok_or(too_long)?;
    Ok((length, end as usize))
}

impl Default for Skb {
    fn default() -> Self {
        Self::new()
    }
}
