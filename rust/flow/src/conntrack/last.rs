//! What is remembered of the last segment of a TCP connection.
use super::Way;
use zerocopy::FromZeros;

/// What is remembered of a segment. It stands in two words, so that two comparisons tell a repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub(super) struct Last {
    /// Sequence number and, in the lower half, acknowledgment number: as they stand in the header.
    pub numbers: u64,
    /// The sequence number behind it, its window unscaled in sixteen bits, and its way.
    pub rest: u64,
}

impl Last {
    #[inline(always)]
    pub const fn new(numbers: u64, end: u32, window: u16, way: Way) -> Self {
        Self { numbers, rest: (end as u64) << 32 | (window as u64) << 16 | way as u64 }
    }

    pub const fn acknowledgment(self) -> u32 {
        self.numbers as u32
    }

    pub const fn end(self) -> u32 {
        (self.rest >> 32) as u32
    }

    #[inline(always)]
    pub const fn window(self) -> u16 {
        (self.rest >> 16) as u16
    }

    /// True when its sender is the one who sends that way.
    pub const fn went(self, way: Way) -> bool {
        self.rest as u16 == way as u16
    }

    pub const fn set_way(&mut self, way: Way) {
        self.rest = self.rest >> 16 << 16 | way as u64;
    }
}

/// Both numbers of a header.
#[inline(always)]
pub(super) const fn numbers(sequence: u32, acknowledgment: u32) -> u64 {
    (sequence as u64) << 32 | acknowledgment as u64
}
