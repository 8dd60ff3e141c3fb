//! Keys as the fast path makes them.
use crate::key::{Direction, FlowKey};

/// As [`FlowKey`] has it.
const V6: u64 = 1 << 53;

impl FlowKey {
    /// The key of a packet outside of any context, and which way it goes: as [`FlowKey::in_context`] gives them, without a
    /// branch. Which end is the lower one is chance, so that a processor guesses every second one wrong.
    #[inline(always)]
    pub fn of_packet(
        v6: bool,
        protocol: u8,
        (src, src_port): ([u64; 2], u16),
        (dst, dst_port): ([u64; 2], u16),
    ) -> (Self, Direction) {
        let wide = |[high, low]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        let (high, low) = (src[0] ^ dst[0], src[1] ^ dst[1]);
        let down = (wide(src) > wide(dst)) | ((high | low == 0) & (src_port > dst_port));
        let mask = u64::from(down).wrapping_neg();
        let (high, low) = (high & mask, low & mask);
        let ports = u32::from(src_port) | u32::from(dst_port) << 16;
        let ports = ports.rotate_left(16 * u32::from(down));
        let version = if v6 { V6 } else { 0 };
        let rest = version | u64::from(protocol) << 32 | u64::from(ports);
        let words = [src[0] ^ high, src[1] ^ low, dst[0] ^ high, dst[1] ^ low, rest];
        (Self(words), if down { Direction::Down } else { Direction::Up })
    }

    /// Addresses (two big-endian words each) and what stands in place of ports of a packet with this key that goes in a
    /// direction, its source first. No branch, either.
    #[inline(always)]
    pub fn ends(&self, direction: Direction) -> ([[u64; 2]; 2], [u16; 2]) {
        let down = direction == Direction::Down;
        let (from, to) = (2 * usize::from(down), 2 * usize::from(!down));
        let ports = (self.0[4] as u32).rotate_left(16 * u32::from(down));
        let source = [self.0[from], self.0[from + 1]];
        let destination = [self.0[to], self.0[to + 1]];
        ([source, destination], [ports as u16, (ports >> 16) as u16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few values, so that ends are equal in all of their parts or in some.
        #[test]
        fn keys_are_those_of_a_context(
            v6: bool,
            protocol: u8,
            words in proptest::array::uniform4(prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]),
            ports in proptest::array::uniform2(prop_oneof![0..3u16, any::<u16>()]),
        ) {
            let source = ([words[0], words[1]], ports[0]);
            let destination = ([words[2], words[3]], ports[1]);
            let expected = FlowKey::in_context(0, v6, protocol, source, destination);
            let (key, direction) = FlowKey::of_packet(v6, protocol, source, destination);
            prop_assert_eq!((key, direction), expected);
            prop_assert_eq!(key.ends(direction), ([source.0, destination.0], [source.1, destination.1]));
        }
    }
}
