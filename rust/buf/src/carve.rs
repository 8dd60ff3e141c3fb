//! A packet is cut into packets that have headers of their own.
use crate::hot::Offsets;
use crate::pool::PacketPool;
use crate::rest::Rest;
use crate::segment::Segment;
use crate::skb::{BufError, HEADROOM, Skb};

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
}
