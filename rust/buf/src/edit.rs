//! How a packet is changed. What may copy takes the pool that memory comes from and counts it there.
use crate::block::Block;
use crate::pool::PacketPool;
use crate::segment::Segment;
use crate::skb::{BufError, HEADROOM, MAX_SEGMENTS, Skb};
use smallvec::SmallVec;

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
        if self.segments.first().map_or(0, Segment::len) < length {
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
        if self.segments.first().is_some_and(|first| !first.is_owned()) {
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
        if !self.segments.first_mut().is_some_and(|first| first.grow_front(length)) {
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
        match self.segments.first_mut() {
            Some(first) if first.len() > length => first.advance(length),
            _ => self.skip(length),
        }
        self.hot.length -= length;
        self.hot.popped(length);
        Ok(())
    }

    /// Cuts the packet off after `length` bytes; nothing happens when it is not longer.
    pub fn trim(&mut self, length: u32) {
        let mut left = length;
        self.segments.retain(|segment| {
            segment.truncate(segment.len().min(left));
            left -= segment.len();
            segment.len() > 0
        });
        self.hot.length = self.hot.length.min(length);
        self.hot.trimmed(self.hot.length);
    }

    /// Puts the bytes of another packet, which is empty then, after this one, without copying them unless there would
    /// be more than [`MAX_SEGMENTS`] pieces.
    ///
    /// # Errors
    /// [`BufError::TooLong`]; both packets stay as they are.
    pub fn append(&mut self, other: &mut Self, pool: &mut PacketPool) -> Result<(), BufError> {
        self.hot.length = self.longer(other.len() as usize)?;
        self.segments.extend(other.segments.drain(..));
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
        let (mut index, mut left) = (0, at);
        while let Some(segment) = self.segments.get(index).filter(|segment| segment.len() <= left) {
            left -= segment.len();
            index += 1;
        }
        let mut rest = Self { hot: self.hot, segments: SmallVec::new() };
        if left > 0 {
            let cut = &mut self.segments[index];
            let mut behind = cut.share();
            behind.advance(left);
            cut.truncate(left);
            rest.segments.push(behind);
            index += 1;
        }
        rest.segments.extend(self.segments.drain(index..));
        rest.hot.length -= at;
        rest.hot.trimmed(0);
        self.hot.length = at;
        self.hot.trimmed(at);
        Ok(rest)
    }

    /// Another packet with the same bytes, shared from now on, and the same hot line.
    pub fn duplicate(&mut self, pool: &mut PacketPool) -> Self {
        pool.copies.clones += 1;
        Self { hot: self.hot, segments: self.segments.iter_mut().map(Segment::share).collect() }
    }

    /// Makes the packet one piece, which nobody else sees, with headroom.
    pub fn linearise(&mut self, pool: &mut PacketPool) {
        if self.segments.len() > 1 {
            self.copy_head(0, self.len(), pool);
            pool.copies.linearised += 1;
        }
    }

    #[inline]
    fn limit_segments(&mut self, pool: &mut PacketPool) {
        if self.segments.len() > MAX_SEGMENTS {
            self.linearise(pool);
        }
    }

    /// Copies the first `copied` bytes into a new first segment, after [`HEADROOM`] and `pushed` zero bytes.
    fn copy_head(&mut self, pushed: u32, copied: u32, pool: &mut PacketPool) {
        let length = pushed + copied;
        let mut segment = pool.take(HEADROOM as usize + length as usize);
        let (before, bytes) = segment.place(HEADROOM, length).split_at_mut(pushed as usize);
        before.fill(0);
        self.read(0, bytes).expect("the callers checked the length");
        self.skip(copied);
        self.segments.insert(0, segment);
        if copied > 0 {
            pool.copies.count(copied);
        }
    }

    /// Takes bytes from the front of the segments; the packet has at least `length`.
    fn skip(&mut self, length: u32) {
        let (mut left, mut gone) = (length, 0);
        for segment in &mut self.segments {
            let count = segment.len().min(left);
            segment.advance(count);
            left -= count;
            if segment.len() > 0 {
                break;
            }
            gone += 1;
        }
        self.segments.drain(..gone);
    }

    /// The first bytes of a first segment that was just made writable.
    #[inline]
    fn written_head(&mut self, length: u32) -> &mut [u8] {
        let bytes = self.segments.first_mut().and_then(Segment::bytes_mut).unwrap_or(&mut []);
        &mut bytes[..length as usize]
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
