//! Several packets become one.
use crate::hot::Offsets;
use crate::pool::PacketPool;
use crate::rest::Rest;
use crate::skb::{BufError, MAX_SEGMENTS, Skb};

/// Packets that are put together without another thought: far below what u32 counts.
const USUAL: u32 = 1 << 24;

impl Skb {
    /// Puts the bytes of another packet from `from` on behind this one: [`Skb::pop`] and [`Skb::append`] in one.
    /// The other packet is empty then.
    ///
    /// # Errors
    /// [`BufError::TooShort`], [`BufError::TooLong`]; both packets have the bytes that they had.
    #[inline]
    pub fn absorb(&mut self, other: &mut Self, from: u32, pool: &mut PacketPool) -> Result<(), BufError> {
        let (have, more) = (self.hot.length, other.hot.length);
        let room = match &*self.rest {
            Rest::More(list) => list.len() + 1 < MAX_SEGMENTS,
            Rest::One(_) | Rest::None => true,
        };
        let is_usual = self.first.is_some() && room && other.rest.is_empty() && have < USUAL && more < USUAL;
        match other.first.take_if(|first| is_usual && first.len() > from) {
            Some(piece) => {
                self.hot.length = have + (piece.len() - from);
                self.rest.push_pooled(piece, from, pool);
                (other.hot.length, other.hot.header_length) = (0, 0);
                (other.hot.outer, other.hot.inner) = (Offsets::default(), Offsets::default());
                Ok(())
            }
            None => self.absorb_any(other, from, pool),
        }
    }

    /// Becomes the other packet, which is empty then: what `*self = std::mem::take(other)` does, without a copy between.
    #[inline(always)]
    pub fn become_other(&mut self, other: &mut Self) {
        self.hot = std::mem::take(&mut other.hot);
        *self.first = other.first.take();
        *self.rest = std::mem::take(&mut *other.rest);
    }

    /// Bytes of the memory that the packet keeps, when it is one piece that nobody else sees.
    #[inline(always)]
    pub fn owned_memory(&self) -> Option<usize> {
        match (&*self.first, &*self.rest) {
            (Some(first), Rest::None) if first.is_owned() => Some(first.kept()),
            _ => None,
        }
    }

    #[cold]
    fn absorb_any(&mut self, other: &mut Self, from: u32, pool: &mut PacketPool) -> Result<(), BufError> {
        if from > other.len() {
            return Err(BufError::TooShort { need: from, have: other.len() });
        }
        let more = (other.len() - from) as usize;
        let total = u32::try_from(more).ok().and_then(|more| self.len().checked_add(more));
        if total.is_none_or(|total| total.checked_add(crate::HEADROOM).is_none()) {
            return Err(BufError::TooLong { length: self.len(), more });
        }
        other.pop(from)?;
        self.append(other, pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    /// A packet of pieces with these bytes.
    fn packet(pieces: &[&[u8]], pool: &mut PacketPool) -> Skb {
        let mut packet = Skb::new();
        for piece in pieces {
            packet.append_block(Block::from(piece.to_vec()), 0, piece.len(), pool).expect("within the block");
        }
        packet
    }

    #[test]
    fn a_packet_becomes_another_one_with_its_marks() {
        let mut pool = PacketPool::default();
        let shapes: [&[&[u8]]; 4] = [&[], &[b"abc"], &[b"ab", b"cd"], &[b"a", b"bc", b"de"]];
        for mine in shapes {
            for theirs in shapes {
                let (mut one, mut other) = (packet(mine, &mut pool), packet(theirs, &mut pool));
                (one.hot.flow, other.hot.flow) = (7, 8);
                one.become_other(&mut other);
                assert_eq!((one.to_vec(), one.len() as usize), (theirs.concat(), theirs.concat().len()));
                assert_eq!((one.hot.flow, other.hot, other.to_vec()), (8, Skb::new().hot, vec![]));
            }
        }
    }

    #[test]
    fn packets_of_any_pieces_are_absorbed_from_any_byte_on() {
        let mut pool = PacketPool::default();
        for length in [1, 1_000] {
            let mut owned = Skb::from_slice(&vec![1; length], &mut pool).expect("short");
            owned.absorb(&mut packet(&[b"a"], &mut pool), 0, &mut pool).expect("short");
            assert_eq!((owned.owned_memory(), owned.len() as usize), (None, length + 1));
        }
        let shapes: [&[&[u8]]; 5] =
            [&[], &[b"abc"], &[b"ab", b"cd"], &[b"a", b"bc", b"de"], &[b"a" as &[u8]; 70]];
        for mine in shapes {
            for theirs in shapes {
                for from in 0..=theirs.concat().len() {
                    let (mut one, mut other) = (packet(mine, &mut pool), packet(theirs, &mut pool));
                    one.absorb(&mut other, from as u32, &mut pool).expect("there are so many");
                    assert_eq!(one.to_vec(), [&mine.concat(), &theirs.concat()[from..]].concat());
                    assert_eq!((one.len() as usize, other.len()), (one.to_vec().len(), 0));
                    assert!(other.to_vec().is_empty() && one.segments().len() <= MAX_SEGMENTS);
                }
                let (mut one, mut other) = (packet(mine, &mut pool), packet(theirs, &mut pool));
                let have = other.len();
                let short = BufError::TooShort { need: have + 1, have };
                assert_eq!(one.absorb(&mut other, have + 1, &mut pool), Err(short));
                assert_eq!((one.to_vec(), other.to_vec()), (mine.concat(), theirs.concat()));
                assert_eq!(one.owned_memory(), None, "others may see a block");
            }
        }
    }

    #[test]
    fn memory_that_a_packet_keeps_is_all_of_its_blocks_however_little_it_shows() {
        let own = |blocks| PacketPool::new(crate::BlockPool::new(blocks, 1));
        for (mut pool, length, kept) in [
            (PacketPool::default(), 2, 512),
            (PacketPool::default(), 385, 2_048),
            (PacketPool::default(), 9_000, crate::HEADROOM as usize + 9_000),
            (own(4_096), 385, 4_096),
        ] {
            let mut packet = Skb::from_slice(&vec![1; length], &mut pool).expect("short");
            packet.trim(100);
            assert_eq!((packet.owned_memory(), packet.memory().collect()), (Some(kept), vec![kept]));
            let other = packet.split(packet.len() / 2).expect("it has so many");
            assert_eq!((packet.owned_memory(), other.owned_memory()), (None, None), "two keep it");
            assert_eq!(packet.memory().chain(other.memory()).collect::<Vec<_>>(), [kept; 2]);
        }
        let pieces = packet(&[&[1; 10], &[2; 7]], &mut PacketPool::default());
        assert_eq!((pieces.owned_memory(), pieces.memory().collect()), (None, vec![10, 7]));
        assert_eq!((Skb::new().owned_memory(), Skb::new().memory().len()), (None, 0));
    }
}
