//! Bit matrices: rows of flags become columns of bits.

/// Transposes an 8x8 bit matrix: byte `i` bit `j` of the result is byte `j` bit `i` of `rows`.
///
/// Warren, Hacker's Delight, 7-3.
#[inline]
pub const fn transpose8(rows: u64) -> u64 {
    let mut x = rows;
    let mut t = (x ^ (x >> 7)) & 0x00aa_00aa_00aa_00aa;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000_cccc_0000_cccc;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x0000_0000_f0f0_f0f0;
    x ^ t ^ (t << 28)
}

#[cfg(test)]
mod tests {
    use super::transpose8;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_bit_goes_to_its_mirrored_place(rows: u64) {
            let columns = transpose8(rows).to_le_bytes();
            for (i, row) in rows.to_le_bytes().iter().enumerate() {
                for (j, column) in columns.iter().enumerate() {
                    prop_assert_eq!(row >> j & 1, column >> i & 1);
                }
            }
        }
    }
}
