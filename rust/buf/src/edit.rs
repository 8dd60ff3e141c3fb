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
        if self.first.len() < length {
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
    #[inline]
    pub fn headers_mut(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        if !self.first.is_owned() || self.first.len() < length {
            self.make_headers(length, pool)?;
        }
        self.hot.header_length = length;
        Ok(self.written_head(length))
    }

    #[cold]
    fn make_headers(&mut self, length: u32, pool: &mut PacketPool) -> Result<(), BufError> {
        self.set_header_length(length, pool)?;
        self.head_mut(length, pool).map(|_| ())
    }

    /// The first `length` bytes, to be written. Where others see them, the headers are copied first.
    ///
    /// # Errors
    /// [`BufError::TooShort`].
    #[inline]
    pub fn head_mut(&mut self, length: u32, pool: &mut PacketPool) -> Result<&mut [u8], BufError> {
        self.pull(length, pool)?;
        if !self.first.is_owned() {
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
        if !self.first.grow_front(length) {
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
        if self.first.len() > length {
            self.first.advance(length);
        } else {
            self.skip(length);
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
            *self.first = Segment::default();
        }
        let first = &mut *self.first;
        first.truncate(first.len().min(length));
        self.rest.truncate(length - self.first.len());
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
        let first = std::mem::take(&mut *other.first);
        if self.first.is_none() {
            *self.first = first;
        } else {
            self.rest.append(Rest::One(first));
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
        let mut rest = Self::linear(Segment::default(), self.hot);
        if at == 0 {
            (*rest.first, *rest.rest) = (std::mem::take(&mut *self.first), std::mem::take(&mut *self.rest));
        } else if at < self.first.len() {
            (*rest.first, *rest.rest) = (self.first.cut(at), std::mem::take(&mut *self.rest));
        } else {
            let (whole, left) = self.rest.within(at - self.first.len());
            *rest.rest = self.rest.split_off(whole);
            *rest.first = rest.rest.advance(0).unwrap_or_default();
            if left > 0 {
                let behind = rest.first.cut(left);
                self.rest.insert(whole, std::mem::replace(&mut *rest.first, behind));
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
        let first = if self.first.is_none() { Segment::default() } else { self.first.share() };
        let mut twin = Self::linear(first, self.hot);
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
        let behind = std::mem::replace(&mut *self.first, Segment::owned(memory, HEADROOM, length));
        if behind.len() > 0 {
            self.rest.insert(0, behind);
        }
        if copied > 0 {
            pool.copies.count(copied);
        }
    }

    /// Takes bytes from the front of the segments; the packet has at least `length`.
    fn skip(&mut self, length: u32) {
        let count = self.first.len().min(length);
        self.first.advance(count);
        if self.first.len() == 0 {
            let (whole, left) = self.rest.within(length - count);
            *self.first = self.rest.advance(whole).unwrap_or_default();
            self.first.advance(left);
        }
    }

    /// The first bytes of a first segment that was just made writable.
    #[inline]
    fn written_head(&mut self, length: u32) -> &mut [u8] {
        &mut self.first.bytes_mut().unwrap_or(&mut [])[..length as usize]
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
