//! The sum under the Internet checksum, in the byte order of the machine.

/// Adds `bytes` up as 16-bit words of the machine's byte order (an odd last byte is the first of a padded pair).
///
/// The result is not folded; sums of pieces may be added when every piece but the last has an even length. The
/// ones' complement sum does not care for byte order (RFC 1071, 2 (B)), so the caller folds first and swaps last.
#[inline]
pub fn sum_words(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 64 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just asked and has AVX2.
        return unsafe { sum_words_avx2(bytes) };
    }
    sum_words_portable(bytes)
}

/// Folds a sum into 16 bits, still in the machine's byte order.
#[inline]
pub const fn fold(sum: u64) -> u16 {
    // Each half added to the other one, the carry included, is what the upper half of such a sum holds.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

#[inline(always)]
fn sum_words_portable(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 8];
    let mut chunks = bytes.chunks_exact(32);
    for chunk in &mut chunks {
        // 32-bit words in 64-bit lanes: no lane overflows below 2^34 bytes.
        for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(4)) {
            *lane += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
    }
    let mut total: u64 = lanes.iter().sum();
    let mut words = chunks.remainder().chunks_exact(4);
    for word in &mut words {
        total += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut tail = [0u8; 4];
    let rest = words.remainder();
    tail[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(tail))
}

/// The same code, compiled for wider vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_words_avx2(bytes: &[u8]) -> u64 {
    sum_words_portable(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(bytes: &[u8]) -> u16 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    proptest! {
        #[test]
        fn both_twins_agree_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(fold(sum_words(&bytes)), oracle(&bytes));
            prop_assert_eq!(fold(sum_words_portable(&bytes)), oracle(&bytes));
        }

        #[test]
        fn folding_keeps_the_value_modulo_65535(sum: u64) {
            let folded = fold(sum);
            prop_assert_eq!(u64::from(folded) % 65_535, sum % 65_535);
            prop_assert_eq!(folded == 0, sum == 0);
        }
    }
}
