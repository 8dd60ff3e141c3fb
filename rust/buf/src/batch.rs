//! Packets travel in batches.
use crate::carve::HEADER_ROOM;
use crate::pool::{PacketPool, copied_length};
use crate::skb::{BufError, Skb};
use netfast_low::prefetch::prefetch_behind;

/// The most packets in a batch.
pub const BATCH_PACKETS: usize = 256;

/// The longest slice that [`PacketBatch::push_short_slices`] takes, in bytes.
pub const SHORT_SLICE: usize = HEADER_ROOM;

/// How far before it is read memory is asked for, in bytes. Frames of a batch mostly stand one behind the other, and
/// processors read ahead by themselves no farther than to the end of a page.
const READ_AHEAD: usize = 4_096;

/// Up to [`BATCH_PACKETS`] packets in order. It is emptied and filled again without allocating.
#[derive(Debug)]
pub struct PacketBatch {
    packets: Vec<Skb>,
}

impl PacketBatch {
    /// An empty batch with room for all packets it may hold.
    pub fn new() -> Self {
        Self { packets: Vec::with_capacity(BATCH_PACKETS) }
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// The packet itself, when the batch is full.
    #[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
    #[inline]
    pub fn push(&mut self, packet: Skb) -> Result<(), Skb> {
        if self.is_full() {
            return Err(packet);
        }
        self.packets.push(packet);
        Ok(())
    }

    /// Adds a packet with a copy of `bytes`, as [`Skb::from_slice`] makes it, and gives it to be told its port and time.
    ///
    /// It is made where it will stand. A packet that is made elsewhere and moved at once costs ten nanoseconds more:
    /// wide loads of what narrow stores have just written wait until those have left the store buffer.
    ///
    /// # Errors
    /// [`BufError::BatchFull`], [`BufError::TooLong`].
    #[inline(always)]
    pub fn push_slice(&mut self, bytes: &[u8], pool: &mut PacketPool) -> Result<&mut Skb, BufError> {
        if self.is_full() {
            return Err(BufError::BatchFull);
        }
        let length = copied_length(bytes)?;
        let at = self.packets.len();
        // `push` would make it elsewhere first, because the vector may have to grow.
        self.packets.extend(std::iter::once_with(|| Skb::from_segment(pool.copy(bytes, length))));
        Ok(&mut self.packets[at])
    }

    /// Adds packets with copies of byte slices, one for each, as many as there is room for: how many. It does what
    /// [`PacketBatch::push_slice`] does for each of them, and asks for the memory of those that come soon.
    ///
    /// # Errors
    /// [`BufError::TooLong`]: the slices before that one are in the batch.
    #[inline]
    pub fn push_slices<'a>(
        &mut self,
        slices: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        pool: &mut PacketPool,
    ) -> Result<usize, BufError> {
        let count = slices.len().min(BATCH_PACKETS.saturating_sub(self.len()));
        let (before, mut left, mut bytes) = (self.len(), slices.take(count), 0);
        let result = loop {
            // Looked for, not counted: where all slices are equally long, nothing is left of that.
            let short = left.clone().position(|slice| slice.len() > HEADER_ROOM).unwrap_or(left.len());
            bytes += self.extend_short(left.clone().take(short), pool).0;
            skip(&mut left, short);
            let long = left.clone().position(|slice| !is_long(slice)).unwrap_or(left.len());
            self.packets.extend(left.clone().take(long).map(|slice| {
                prefetch_all(slice);
                let segment = pool.copy_long(slice, slice.len() as u32);
                bytes += u64::from(segment.len());
                Skb::from_segment(segment)
            }));
            skip(&mut left, long);
            if short + long == 0 {
                break left.next().map_or(Ok(count), |slice| copied_length(slice).map(|_| count));
            }
        };
        pool.copies.count_all((self.len() - before) as u64, bytes);
        result
    }

    /// As [`PacketBatch::push_slices`], for whoever knows already that no slice is longer than [`SHORT_SLICE`]: it looks at
    /// each of them once less. `None` if one is longer, and the batch is as it was.
    #[inline]
    pub fn push_short_slices<'a>(
        &mut self,
        slices: impl ExactSizeIterator<Item = &'a [u8]>,
        pool: &mut PacketPool,
    ) -> Option<usize> {
        let begin = self.len();
        let count = slices.len().min(BATCH_PACKETS.saturating_sub(begin));
        let (bytes, longest) = self.extend_short(slices.take(count), pool);
        if longest <= SHORT_SLICE {
            pool.copies.count_all(count as u64, bytes);
            return Some(count);
        }
        self.packets.drain(begin..).for_each(|packet| pool.recycle(packet));
        None
    }

    /// Adds packets with copies of slices, of at most [`SHORT_SLICE`] bytes each: bytes that they have together, and how
    /// long the longest slice is.
    #[inline(always)]
    fn extend_short<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        pool: &mut PacketPool,
    ) -> (u64, usize) {
        let (mut bytes, mut longest) = (0, 0);
        // An iterator that is known to be as long as it says makes each packet where it will stand.
        self.packets.extend(slices.map(|slice| {
            prefetch_behind(slice, READ_AHEAD);
            let segment = pool.copy_short(slice);
            bytes += u64::from(segment.len());
            longest = slice.len().max(longest);
            Skb::from_segment(segment)
        }));
        (bytes, longest)
    }

    /// Packets in the batch.
    #[inline]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// True without packets.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// True when no more packet fits.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len() >= BATCH_PACKETS
    }

    /// The packets in order.
    #[inline]
    pub fn packets(&self) -> &[Skb] {
        &self.packets
    }

    /// The packets in order, to change them.
    #[inline]
    pub fn packets_mut(&mut self) -> &mut [Skb] {
        &mut self.packets
    }

    /// Drops all packets.
    #[inline]
    pub fn clear(&mut self) {
        self.packets.clear();
    }

    /// Lets go of packets whose memory was taken.
    #[inline]
    pub(crate) fn forget(&mut self) {
        netfast_low::moves::forget_all(&mut self.packets);
    }

    /// Puts all packets behind those in `into`, in order; the batch is empty then. Where that is empty, no packet moves.
    pub fn hand_over(&mut self, into: &mut Vec<Skb>) {
        if into.is_empty() {
            std::mem::swap(&mut self.packets, into);
            self.packets.reserve(BATCH_PACKETS);
        } else {
            into.append(&mut self.packets);
        }
    }

    /// Takes all packets out, in order.
    #[inline]
    pub fn drain(&mut self) -> std::vec::Drain<'_, Skb> {
        self.packets.drain(..)
    }
}

/// More than has room in a small block, and not more than a packet may have.
#[inline(always)]
fn is_long(slice: &[u8]) -> bool {
    slice.len() > HEADER_ROOM && copied_length(slice).is_ok()
}

/// Asks for memory that is as long as `slice`, [`READ_AHEAD`] bytes behind it.
#[inline(always)]
fn prefetch_all(slice: &[u8]) {
    for at in (0..slice.len()).step_by(64) {
        prefetch_behind(slice, READ_AHEAD + at);
    }
}

/// Lets the next `count` items go.
#[inline(always)]
fn skip(items: &mut impl Iterator, count: usize) {
    if let Some(last) = count.checked_sub(1) {
        items.nth(last);
    }
}

impl Default for PacketBatch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_become_packets_as_many_as_fit() {
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        let lengths = [64, 0, 384, 385, 5_000, 74, 1_500, 20];
        let frames: Vec<Vec<u8>> = (0..300).map(|at| vec![at as u8; lengths[at % lengths.len()]]).collect();
        let mut others = PacketBatch::new();
        let mut other_pool = PacketPool::default();
        for frame in frames.iter().take(BATCH_PACKETS) {
            others.push_slice(frame, &mut other_pool).unwrap();
        }
        let slices = frames.iter().map(Vec::as_slice);
        assert_eq!(batch.push_slices(slices.clone().take(3), &mut pool), Ok(3));
        assert_eq!(batch.push_slices(slices.clone().skip(3), &mut pool), Ok(BATCH_PACKETS - 3));
        assert_eq!(batch.push_slices(slices, &mut pool), Ok(0));
        let told = |batch: &PacketBatch| -> Vec<_> {
            batch.packets().iter().map(|packet| (packet.to_vec(), packet.headroom(), packet.hot)).collect()
        };
        assert_eq!(told(&batch), told(&others));
        assert_eq!(pool.copies, other_pool.copies);
        pool.recycle_batch(&mut batch);
        assert!(batch.is_empty());
        // Empty packets and those of 20 to 384 bytes had small memory; what fits no block is not kept.
        assert_eq!(pool.waiting(), BATCH_PACKETS - BATCH_PACKETS / lengths.len());
        assert_eq!(batch.push_slices(frames.iter().map(Vec::as_slice), &mut pool), Ok(BATCH_PACKETS));
        assert_eq!(told(&batch), told(&others));
    }

    #[test]
    fn short_slices_become_packets_unless_one_is_long() {
        let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
        let frames: Vec<Vec<u8>> = (0..SHORT_SLICE + 2).map(|at| vec![at as u8; at]).collect();
        let slices = |from: usize| frames[from..].iter().map(Vec::as_slice);
        assert_eq!(batch.push_short_slices(slices(0).take(2), &mut pool), Some(2));
        assert_eq!(batch.push_short_slices(slices(SHORT_SLICE - 5), &mut pool), None);
        assert_eq!((batch.len(), pool.waiting()), (2, 7));
        assert_eq!(batch.push_short_slices(slices(2), &mut pool), Some(BATCH_PACKETS - 2));
        assert!(batch.packets().iter().zip(&frames).all(|(packet, frame)| packet.to_vec() == *frame));
        assert_eq!(batch.push_short_slices(slices(2), &mut pool), Some(0));
    }

    #[test]
    fn a_full_batch_gives_the_packet_back_and_memory_is_reused() {
        let mut batch = PacketBatch::default();
        for number in 0..BATCH_PACKETS as u32 {
            let mut packet = Skb::new();
            packet.hot.flow = number;
            assert!(batch.push(packet).is_ok());
        }
        let mut one_more = Skb::new();
        one_more.hot.flow = 9_999;
        assert_eq!(batch.push(one_more).unwrap_err().hot.flow, 9_999);
        let capacity = batch.packets.capacity();
        assert!(batch.drain().map(|packet| packet.hot.flow).eq(0..256));
        assert_eq!((batch.is_empty(), batch.packets.capacity()), (true, capacity));
    }
}
