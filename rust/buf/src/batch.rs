//! Packets travel in batches.
use crate::pool::{PacketPool, copied_length};
use crate::skb::{BufError, Skb};

/// The most packets in a batch.
pub const BATCH_PACKETS: usize = 256;

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

impl Default for PacketBatch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
