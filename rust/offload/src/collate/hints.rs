//! Where the train of a packet may stand, told by ports and an address without reading the headers.
//!
//! Packets that follow one another mostly have their headers at the same places. What is found there is a guess: the train
//! compares all of the headers, so a wrong one costs time and nothing else.

/// Hints are few enough to stay in the first-level cache.
const HINTS: usize = 1_024;

#[derive(Debug)]
pub(super) struct Hints {
    /// Where the ports stood in the packet that began the last train, less the four bytes of address before them.
    at: usize,
    places: Box<[u16; HINTS]>,
}

impl Default for Hints {
    fn default() -> Self {
        Self { at: 0, places: Box::new([0; HINTS]) }
    }
}

impl Hints {
    /// Where the train of a packet may stand.
    #[inline(always)]
    pub(super) fn place(&self, head: &[u8]) -> usize {
        usize::from(self.places[self.index(head)])
    }

    /// A train begins at a place, with the ports of its packet at `transport`.
    #[inline(always)]
    pub(super) fn set(&mut self, head: &[u8], transport: u16, place: usize) {
        self.at = usize::from(transport).saturating_sub(4);
        self.places[self.index(head)] = place as u16;
    }

    #[inline(always)]
    fn index(&self, head: &[u8]) -> usize {
        let word = head.get(self.at..).and_then(|bytes| bytes.first_chunk());
        let word = word.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }
}
