//! CRC-32C (Castagnoli), the checksum of SCTP (RFC 9260, appendix A) and iSCSI.

const POLYNOMIAL: u32 = 0x82f6_3b78;

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// Continues a CRC over more bytes; begin with `!0`, and invert the end.
#[inline]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor was just asked and has SSE 4.2.
        return unsafe { update_sse42(crc, bytes) };
    }
    update_portable(crc, bytes)
}

/// The CRC of `bytes` in one piece.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !update(!0, bytes)
}

fn update_portable(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn update_sse42(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};
    let mut words = bytes.chunks_exact(8);
    let mut wide = u64::from(crc);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        wide = _mm_crc32_u64(wide, u64::from_le_bytes(eight));
    }
    words.remainder().iter().fold(wide as u32, |crc, &byte| _mm_crc32_u8(crc, byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_published_vectors() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn both_twins_agree(bytes in proptest::collection::vec(any::<u8>(), 0..300), crc: u32) {
            prop_assert_eq!(update(crc, &bytes), update_portable(crc, &bytes));
        }
    }
}
