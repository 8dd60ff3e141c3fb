//! SipHash-2-4 of 64-bit words (Aumasson and Bernstein, 2012): a hash that tells nothing about its key.

/// The key.
#[derive(Clone, Copy)]
pub(super) struct SipHash([u64; 2]);

/// The initial state, the ASCII text "somepseudorandomlygeneratedbytes".
const INITIAL: [u64; 4] =
    [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];

impl SipHash {
    pub fn new(key: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(key);
        Self([number as u64, (number >> 64) as u64])
    }

    /// The hash of the words' bytes, the low one first.
    pub fn words(self, words: &[u64]) -> u64 {
        let [k0, k1] = self.0;
        let [a, b, c, d] = INITIAL;
        let mut state = [a ^ k0, b ^ k1, c ^ k0, d ^ k1];
        let length = (words.len() as u64 * 8) << 56;
        for word in words.iter().copied().chain([length]) {
            state[3] ^= word;
            round(&mut state);
            round(&mut state);
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        (0..4).for_each(|_| round(&mut state));
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

/// The key stays out of logs.
impl std::fmt::Debug for SipHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SipHash(secret)")
    }
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    let mix = |x: &mut u64, y: &mut u64, turn| {
        *x = x.wrapping_add(*y);
        *y = y.rotate_left(turn) ^ *x;
    };
    mix(a, b, 13);
    *a = a.rotate_left(32);
    mix(c, d, 16);
    mix(a, d, 21);
    mix(c, b, 17);
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_reference_implementation() {
        // Key 00 01 .. 0f; messages of 0, 8 and 16 bytes 00 01 ..: vectors 0, 8 and 16.
        let hash = SipHash::new(std::array::from_fn(|at| at as u8));
        let words = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(hash.words(&[]).to_le_bytes(), [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]);
        assert_eq!(hash.words(&words[..1]).to_le_bytes(), [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]);
        assert_eq!(hash.words(&words), 0x3f2a_cc7f_57c2_9bdb);
    }
}
