//! How a packet is changed. What may copy takes the pool that memory comes from and counts it there.
use crate::block::Block;
use crate::pool::PacketPool;
use crate::rest::Rest;
use crate::segment::Segment;
use crate::skb::{BufError, HEADROOM, MAX_SEGMENTS, Skb};

impl Skb {
    /// Says that the first `length` bytes are headers, and moves them into the first segment where they are not.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline]
    pub fn set_header_length(&mut self, length: u32, pool: &mut PacketPool) -> Result<(), BufError> {
        self.pull(length, pool)?;
        self.hot.header_length = length;
        Ok(())
    }

    /// Makes the first `length` bytes stand in the first segment.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline]
    pub fn pull(&mut self, length: u32, pool: &mut PacketPool) -> Result<(), BufError> {
        self.need(length)?;
        if self.first_length() < length {
            self.copy_head(0, length, pool);
            pool.copies.pulls += 1;
        }
        Ok(())
    }

    /// Says that the first `length` bytes are headers, and gives them to be written: [`Skb::set_header_length`] and
    /// [`Skb::head_mut`] in one.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline(always)]
    pub fn headers_mut(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        if self.first_length() < length || !self.first.as_ref().is_some_and(Segment::is_pooled) {
            return self.make_headers(length, pool);
        }
        self.hot.header_length = length;
        Ok(self.first.as_mut().and_then(|first| first.pooled_mut(length)).unwrap_or(&mut []))
    }

    /// As [`Skb::headers_mut`], but gives all of the first segment.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline(always)]
    pub fn own_head(&mut self, headers: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        // Most packets have small memory, which is found without a call.
        if self.first.as_ref().is_none_or(|first| !first.is_small() || first.len() < headers) {
            return self.make_own_head(headers, pool);
        }
        self.hot.header_length = headers;
        Ok(self.first.as_mut().and_then(Segment::small_mut).unwrap_or(&mut []))
    }

    #[inline(never)]
    fn make_own_head(&mut self, headers: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        if self.first.as_ref().is_some_and(|first| first.is_pooled() && first.len() >= headers) {
            self.hot.header_length = headers;
            return Ok(self.first.as_mut().and_then(|first| first.pooled_mut(u32::MAX)).unwrap_or(&mut []));
        }
        self.set_header_length(headers, pool)?;
        self.head_mut(headers, pool)?;
        Ok(self.first.as_mut().and_then(Segment::bytes_mut).unwrap_or(&mut []))
    }

    #[inline(never)]
    fn make_headers(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        self.set_header_length(length, pool)?;
        self.head_mut(length, pool)
    }

    /// The first `length` bytes, to be written. Where others see them, the headers are copied first.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline]
    pub fn head_mut(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        self.pull(length, pool)?;
        if self.first.as_ref().is_some_and(|first| !first.is_owned()) {
            self.unshare(length, pool);
        }
        Ok(self.written_head(length))
    }

    #[cold]
    fn unshare(&mut self, length: u32, pool: &mut PacketPool) {
        if length > 0 {
            self.copy_head(0, length.max(self.hot.header_length), pool);
            pool.copies.unshares += 1;
        }
    }

    /// Puts `length` zero bytes before the packet and gives them to be written: into headroom, or into a new first
    /// segment, which the headers (not the payload) are copied to as well.
    ///
    /// # Errors
    /// [`BufError::TooLong`].
    #[inline]
    pub fn push(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        let total = self.longer(length as usize)?;
        if length == 0 {
            return Ok(&mut []);
        }
        if !self.first.as_mut().is_some_and(|first| first.grow_front(length)) {
            self.copy_head(length, self.hot.header_length, pool);
        }
        self.hot.length = total;
        self.hot.pushed(length);
        self.limit_segments(pool);
        Ok(self.written_head(length))
    }

    /// Takes the first `length` bytes away.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline]
    pub fn pop(&mut self, length: u32) -> Result<(), BufError> {
        self.need(length)?;
        match &mut *self.first {
            Some(first) if first.len() > length => first.advance(length),
            _ => self.skip(length),
        }
        self.hot.length -= length;
        self.hot.popped(length);
        Ok(())
    }

    /// Cuts the packet off after `length` bytes; nothing happens when it is not longer.
    #[inline]
    pub fn trim(&mut self, length: u32) {
        if length < self.len() {
            self.cut(length);
        }
    }

    /// Cuts the packet, which is longer, off after `length` bytes.
    fn cut(&mut self, length: u32) {
        if length == 0 {
            *self.first = None;
        }
        if let Some(first) = &mut *self.first {
            first.truncate(first.len().min(length));
        }
        let left = length - self.first_length();
        self.rest.truncate(left);
        self.hot.length = length;
        self.hot.trimmed(length);
    }

    /// Puts the bytes of another packet, which is empty then, after this one, without copying them unless there would
    /// be more than [`MAX_SEGMENTS`] pieces.
    ///
    /// # Errors
    /// [`BufError::TooLong`]; both packets stay as they are.
    pub fn append(&mut self, other: &mut Self, pool: &mut PacketPool) -> Result<(), BufError> {
        self.hot.length = self.longer(other.len() as usize)?;
        if other.is_empty() {
            return Ok(());
        }
        let first = other.first.take();
        if self.first.is_none() {
            *self.first = first;
        } else {
            self.rest.append(first.map_or(Rest::None, Rest::One));
        }
        self.rest.append(std::mem::take(&mut *other.rest));
        other.trim(0);
        self.limit_segments(pool);
        Ok(())
    }

    /// Puts bytes of a block after the packet, without copying them unless there would be more than [`MAX_SEGMENTS`]
    /// pieces.
    ///
    /// # Errors
    /// [`BufError::OutOfBlock`], [`BufError::TooLong`].
    pub fn append_block(
        &mut self,
        block: Block,
        offset: usize,
        length: usize,
        pool: &mut PacketPool,
    ) -> Result<(), BufError> {
        self.append(&mut Self::from_block(block, offset, length)?, pool)
    }

    /// Cuts the packet in two at `at`; the second part is given back. Both share the segment that is cut. The second
    /// part has no headers yet, but the port, flow, direction and time of the first.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    pub fn split(&mut self, at: u32) -> Result<Self, BufError> {
        self.need(at)?;
        let mut rest = Self::linear(None, self.hot);
        if at == 0 {
            (*rest.first, *rest.rest) = (self.first.take(), std::mem::take(&mut *self.rest));
        } else if let Some(first) = self.first.as_mut().filter(|first| at < first.len()) {
            (*rest.first, *rest.rest) = (Some(first.cut(at)), std::mem::take(&mut *self.rest));
        } else {
            let (whole, left) = self.rest.within(at - self.first_length());
            *rest.rest = self.rest.split_off(whole);
            *rest.first = rest.rest.advance(0);
            if let Some(first) = rest.first.as_mut().filter(|_| left > 0) {
                let behind = first.cut(left);
                self.rest.insert(whole, std::mem::replace(first, behind));
            }
        }
        rest.hot.length -= at;
        rest.hot.trimmed(0);
        self.hot.length = at;
        self.hot.trimmed(at);
        Ok(rest)
    }

    /// Another packet with the same bytes, shared from now on, and the same hot line.
    pub fn duplicate(&mut self, pool: &mut PacketPool) -> Self {
        pool.copies.clones += 1;
        let mut twin = Self::linear(self.first.as_mut().map(Segment::share), self.hot);
        *twin.rest = self.rest.map(Segment::share);
        twin
    }

    /// Makes the packet one piece, which nobody else sees, with headroom.
    pub fn linearise(&mut self, pool: &mut PacketPool) {
        if !self.rest.is_empty() {
            self.copy_head(0, self.len(), pool);
            pool.copies.linearised += 1;
        }
    }

    #[inline]
    fn limit_segments(&mut self, pool: &mut PacketPool) {
        if self.rest.len() >= MAX_SEGMENTS {
            self.linearise(pool);
        }
    }

    /// Copies the first `copied` bytes into a new first segment, after [`HEADROOM`] and `pushed` zero bytes.
    fn copy_head(&mut self, pushed: u32, copied: u32, pool: &mut PacketPool) {
        let length = pushed + copied;
        let (start, end) = (HEADROOM as usize, HEADROOM as usize + length as usize);
        let mut memory = pool.take(end);
        let (before, bytes) = memory.bytes_mut()[start..end].split_at_mut(pushed as usize);
        before.fill(0);
        self.read(0, bytes).expect("the callers checked the length");
        self.skip(copied);
        let behind = self.first.replace(Segment::owned(memory, HEADROOM, length));
        if let Some(behind) = behind.filter(|behind| behind.len() > 0) {
            self.rest.insert(0, behind);
        }
        if copied > 0 {
            pool.copies.count(copied);
        }
    }

    /// Takes bytes from the front of the segments; the packet has at least `length`.
    fn skip(&mut self, length: u32) {
        let count = self.first_length().min(length);
        if let Some(first) = &mut *self.first {
            first.advance(count);
        }
        if self.first_length() == 0 {
            let (whole, left) = self.rest.within(length - count);
            *self.first = self.rest.advance(whole);
            if let Some(first) = &mut *self.first {
                first.advance(left);
            }
        }
    }

    /// The first bytes of a first segment that was just made writable.
    #[inline]
    fn written_head(&mut self, length: u32) -> &mut [u8] {
        &mut self.first.as_mut().and_then(Segment::bytes_mut).unwrap_or(&mut [])[..length as usize]
    }

    #[inline]
    fn need(&self, length: u32) -> Result<(), BufError> {
        if length <= self.len() { Ok(()) } else { Err(BufError::TooShort { need: length, have: self.len() }) }
    }

    /// The length after `more` bytes were added; leaves room for the headroom of a copy.
    #[inline]
    fn longer(&self, more: usize) -> Result<u32, BufError> {
        let total = u32::try_from(more).ok().and_then(|more| self.len().checked_add(more));
        total
            .filter(|total| total.checked_add(HEADROOM).is_some())
            .ok_or(BufError::TooLong { length: self.len(), more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_writes_its_own_head_and_no_other() {
        let mut pool = PacketPool::default();
        for length in [40, 2_000] {
            let mut packet = Skb::from_slice(&vec![7; length], &mut pool).unwrap();
            let (need, have) = (length as u32 + 1, length as u32);
            assert_eq!(packet.own_head(need, &mut pool), Err(BufError::TooShort { need, have }));
            assert_eq!(packet.header_length(), 0);
            let head = packet.own_head(20, &mut pool).unwrap();
            assert_eq!(head.len(), length);
            head[0] = 9;
            let other = packet.duplicate(&mut pool);
            packet.own_head(20, &mut pool).unwrap()[0] = 5;
            assert_eq!((packet.header_length(), packet.head()[0], other.head()[0]), (20, 5, 9));
            assert_eq!((packet.to_vec()[1..].to_vec(), packet.len()), (vec![7; length - 1], have));
        }
        assert_eq!(Skb::new().own_head(0, &mut pool), Ok(&mut [][..]));
        let block = Block::from(vec![7; 40]);
        let mut packet = Skb::from_block(block.clone(), 0, 40).unwrap();
        packet.own_head(20, &mut pool).unwrap()[0] = 9;
        assert_eq!((packet.head()[0], block.bytes()[0], packet.len()), (9, 7, 40));
    }
}
