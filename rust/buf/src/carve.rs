//! A packet is cut into packets that have headers of their own.
use std::mem::ManuallyDrop;

use crate::block::SMALL_BLOCK;
use crate::hot::{HotLine, Offsets};
use crate::pool::PacketPool;
use crate::rest::Rest;
use crate::segment::{Memory, Segment};
use crate::skb::{BufError, HEADROOM, Skb};

/// Bytes of headers that have room in a small block of a [`PacketPool`], behind [`HEADROOM`].
pub const HEADER_ROOM: usize = SMALL_BLOCK - HEADROOM as usize;

impl Skb {
    /// Cuts the packet off at `at`. What stood behind that replaces `into`, behind `headers`, which are written for it and
    /// are its [`Skb::header_length`]: [`Skb::split`] and [`Skb::push`] in one. It has the marks of this packet, and no
    /// offsets.
    ///
    /// Nothing is allocated where the bytes are one piece, or a part of one. Cut from its end to its beginning, a packet of
    /// many pieces costs the same for each.
    ///
    /// # Errors
    /// [`BufError::TooShort`], [`BufError::TooLong`]; both packets stay as they are.
    #[inline]
    pub fn cut_off(
        &mut self,
        at: u32,
        headers: &[u8],
        pool: &mut PacketPool,
        into: &mut Self,
    ) -> Result<(), BufError> {
        let have = self.len();
        let Some(behind) = have.checked_sub(at) else { return Err(BufError::TooShort { need: at, have }) };
        if headers.len() > (u32::MAX - HEADROOM - behind.min(u32::MAX - HEADROOM)) as usize {
            return Err(BufError::TooLong { length: behind, more: headers.len() });
        }
        let Some(mut payload) = self.take_behind(at, behind) else {
            let mut packet = self.split(at)?;
            packet.push(headers.len() as u32, pool)?.copy_from_slice(headers);
            packet.hot.header_length = headers.len() as u32;
            *into = packet;
            return Ok(());
        };
        let mut header = None;
        if !payload.grow_front_with(headers) {
            header = Some(pool.made(headers));
        }
        if into.first.is_some() {
            *into = Self::new();
        }
        into.hot = self.hot;
        (into.hot.length, into.hot.header_length) = (behind + headers.len() as u32, headers.len() as u32);
        (into.hot.outer, into.hot.inner) = (Offsets::default(), Offsets::default());
        match header {
            None => *into.first = Some(payload),
            Some(header) => (*into.first, *into.rest) = (Some(header), Rest::One(payload)),
        }
        self.hot.length = at;
        self.hot.trimmed(at);
        Ok(())
    }

    /// Deals what stands behind the first `headers` bytes out, `size` bytes to a packet, and puts the packets behind what is
    /// in `out`: first this one, which keeps the first `size` bytes, then those that are made for the others. These have the
    /// marks `marks` and `headers` bytes before their share; `write` is told the number of each, from 1, and writes them
    /// from the first byte of the memory on that it is given.
    ///
    /// # Errors
    /// The packet as it was, where these bytes are not one piece or there are none, and where there are no headers or more than
    /// [`HEADER_ROOM`]: [`Skb::cut_off`] takes any.
    #[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
    pub fn deal(
        mut self,
        (headers, size): (u32, u32),
        marks: &HotLine,
        pool: &mut PacketPool,
        out: &mut Vec<Self>,
        mut write: impl FnMut(u32, &mut [u8; HEADER_ROOM]),
    ) -> Result<(), Self> {
        let payload = self.len().saturating_sub(headers);
        if payload == 0 || size == 0 || !(1..=HEADER_ROOM).contains(&(headers as usize)) {
            return Err(self);
        }
        if payload <= size {
            out.push(self);
            return Ok(());
        }
        let first_length = self.first_length();
        let (block, start) = match (&mut *self.rest, &mut *self.first) {
            (Rest::None, Some(first)) => {
                let (block, offset, _) = first.pin();
                (block, offset as u32 + headers)
            }
            (Rest::One(share), _) if first_length == headers => {
                let (block, offset, _) = share.pin();
                (block, offset as u32)
            }
            _ => return Err(self),
        };
        let count = payload.div_ceil(size);
        self.trim(headers + size);
        out.push(self);
        let hot = HotLine { header_length: headers, ..*marks };
        // The list grows once, and each packet is made where it stays.
        out.extend((1..count).map(|index| {
            let share = size.min(payload - index * size);
            let mut memory = pool.small();
            if let Some(head) = memory.0[HEADROOM as usize..].first_chunk_mut() {
                write(index, head);
            }
            let first = Segment::owned(Memory::Small(memory), HEADROOM, headers);
            let share = Segment::shared(block.clone(), start + index * size, share);
            Self {
                hot: HotLine { length: headers + share.len(), ..hot },
                first: ManuallyDrop::new(Some(first)),
                rest: ManuallyDrop::new(Rest::One(share)),
            }
        }));
        Ok(())
    }

    /// The last `behind` bytes, when they are one piece or a part of one, and something stays before them.
    #[inline]
    fn take_behind(&mut self, at: u32, behind: u32) -> Option<Segment> {
        if at == 0 || behind == 0 {
            return None;
        }
        match &mut *self.rest {
            Rest::None => Some(self.first.as_mut()?.cut(at)),
            rest => rest.take_last(behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    /// Pieces of these lengths, now of memory that may be written, now of memory that may not.
    fn packet(pieces: &[usize], pool: &mut PacketPool) -> Skb {
        let (mut packet, mut byte) = (Skb::new(), 0u8);
        for (index, &length) in pieces.iter().enumerate() {
            let bytes: Vec<u8> = (0..length).map(|at| byte.wrapping_add(at as u8)).collect();
            byte = byte.wrapping_add(length as u8);
            let mut piece = match index % 2 {
                0 => Skb::from_slice(&bytes, pool).expect("short"),
                _ => Skb::from_block(Block::from(bytes), 0, length).expect("its own length"),
            };
            packet.append(&mut piece, pool).expect("short");
        }
        packet
    }

    #[test]
    fn what_is_cut_off_stands_behind_its_headers() {
        let mut pool = PacketPool::default();
        for pieces in [&[][..], &[9], &[4, 5], &[5, 4], &[3, 3, 3], &[1, 2, 3, 4, 5], &[600, 600]] {
            for headers in [&[][..], &[0xaa; 7], &[0xbb; 500]] {
                let bytes = packet(pieces, &mut pool).to_vec();
                for at in 0..=bytes.len() {
                    let (mut front, mut behind) = (packet(pieces, &mut pool), packet(&[3, 3], &mut pool));
                    front.hot.flow = 7;
                    front.hot.outer = Offsets::new(Some(0), Some(2), Some(u32::MAX));
                    front.cut_off(at as u32, headers, &mut pool, &mut behind).expect("short");
                    assert_eq!(front.to_vec(), bytes[..at]);
                    assert_eq!(behind.to_vec(), [headers, &bytes[at..]].concat());
                    assert_eq!(
                        (front.len() as usize, behind.len() as usize),
                        (at, headers.len() + bytes.len() - at)
                    );
                    assert_eq!((behind.header_length() as usize, behind.hot.flow), (headers.len(), 7));
                    assert_eq!(
                        (behind.hot.outer, behind.head().len() >= headers.len()),
                        (Offsets::default(), true)
                    );
                    pool.recycle(front);
                    pool.recycle(behind);
                }
                let (mut front, mut behind) = (packet(pieces, &mut pool), packet(&[3], &mut pool));
                let have = bytes.len() as u32;
                let short = Err(BufError::TooShort { need: have + 1, have });
                assert_eq!(front.cut_off(have + 1, headers, &mut pool, &mut behind), short);
                assert_eq!((front.to_vec(), behind.to_vec()), (bytes, vec![0, 1, 2]));
            }
        }
    }

    #[test]
    fn what_is_dealt_out_is_the_payload_in_order() {
        let mut pool = PacketPool::default();
        let marks = HotLine { flow: 7, ..HotLine::default() };
        // Headers and payload in one piece that may be written, and in two; a payload in two pieces is not dealt out.
        for (pieces, headers, dealt) in [
            (&[30][..], 7, true),
            (&[7, 23], 7, true),
            (&[30], 0, false),
            (&[7, 11, 12], 7, false),
            (&[9, 21], 7, false),
        ] {
            for size in 1..=24 {
                let (one, mut out) = (packet(pieces, &mut pool), vec![Skb::new()]);
                let bytes = one.to_vec();
                let write = |index: u32, head: &mut [u8; HEADER_ROOM]| head[..headers].fill(index as u8);
                let refused = one.deal((headers as u32, size), &marks, &mut pool, &mut out, write);
                if let Err(packet) = refused {
                    assert_eq!((packet.to_vec(), out.len(), dealt), (bytes, 1, false));
                    continue;
                }
                let payload = &bytes[headers..];
                assert_eq!(out.len() - 1, payload.len().div_ceil(size as usize));
                assert!(dealt || out.len() == 2);
                assert_eq!(out[1].to_vec()[..headers], bytes[..headers]);
                for (index, (packet, share)) in out[1..].iter().zip(payload.chunks(size as usize)).enumerate()
                {
                    let bytes = packet.to_vec();
                    assert_eq!((bytes.len(), &bytes[headers..]), (packet.len() as usize, share));
                    if index > 0 {
                        assert_eq!(bytes[..headers], [index as u8].repeat(headers));
                        assert_eq!((packet.hot.flow, packet.header_length()), (7, headers as u32));
                    }
                }
            }
        }
        let long = packet(&[600, 600], &mut pool);
        assert!(long.deal((600, 10), &marks, &mut pool, &mut Vec::new(), |_, _| ()).is_err());
        assert!(Skb::new().deal((0, 1), &marks, &mut pool, &mut Vec::new(), |_, _| ()).is_err());
    }
}
