//! A keyed hash for tables whose keys an attacker may choose: multiply and fold, the way of wyhash and foldhash.
//!
//! Not cryptographic: it keeps an outsider who does not know the seed from aiming at one bucket, which an unkeyed
//! hash (a CRC, say) does not.

/// The secret of a table. Two tables with the same seed place the same keys alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u64; 3]);

impl Seed {
    /// Spreads a caller's number over the whole secret (SplitMix64).
    pub const fn new(seed: u64) -> Self {
        let mut words = [0; 3];
        let mut state = seed;
        let mut i = 0;
        while i < words.len() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            words[i] = word ^ (word >> 31);
            i += 1;
        }
        Self(words)
    }

    /// Another secret, told by this one: for tables that must place their keys anew.
    pub const fn next(self) -> Self {
        Self::new(self.0[0] ^ self.0[2].rotate_left(32))
    }

    /// The hash of a key of five words.
    #[inline(always)]
    pub const fn hash5(self, key: &[u64; 5]) -> u64 {
        let [a, b, c] = self.0;
        let low = fold(key[0] ^ a, key[1] ^ b);
        let high = fold(key[2] ^ c, key[3] ^ a.rotate_left(32));
        fold(low ^ high ^ b.rotate_left(17), key[4] ^ c.rotate_left(32))
    }

    /// The hash of two ends, each of an address of two words and a port, and what they have in common: the same
    /// whichever end is named first.
    #[inline(always)]
    pub const fn hash_ends(self, ends: [([u64; 2], u16); 2], common: u64) -> u64 {
        let [([a, b], port), ([c, d], other)] = ends;
        let sum = self.hash_end([a, b], port).wrapping_add(self.hash_end([c, d], other));
        let [a, b, c] = self.0;
        fold(sum ^ b.rotate_left(17), common ^ c.rotate_left(32) ^ a)
    }

    /// The port is spread over its word by a secret: what differs in both words does not so in a way that can be foreseen.
    #[inline(always)]
    const fn hash_end(self, address: [u64; 2], port: u16) -> u64 {
        let [a, b, c] = self.0;
        fold((address[0] ^ a).wrapping_add((c | 1).wrapping_mul(port as u64)), address[1] ^ b)
    }
}

/// Both halves of the product, folded.
#[inline(always)]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_key_and_the_seed_counts() {
        let (seed, key) = (Seed::new(1), [1u64, 2, 3, 4, 5]);
        let hash = seed.hash5(&key);
        let mut changed = 0;
        for bit in 0..320 {
            let mut other = key;
            other[bit / 64] ^= 1 << (bit % 64);
            changed += (seed.hash5(&other) ^ hash).count_ones();
        }
        assert!((28 * 320..36 * 320).contains(&changed), "{changed}");
        assert_ne!(Seed::new(2).hash5(&key), hash);
        assert_ne!(seed.next().hash5(&key), hash);
    }

    #[test]
    fn ends_have_one_hash_both_ways_and_every_bit_of_them_counts() {
        let (seed, ends, common) = (Seed::new(1), [([1u64, 2], 3u16), ([4, 5], 6)], 7u64);
        let hash = seed.hash_ends(ends, common);
        let [one, other] = ends;
        assert_eq!(seed.hash_ends([other, one], common), hash);
        assert_ne!(
            seed.hash_ends([(one.0, other.1), (other.0, one.1)], common),
            hash,
            "ports belong to their ends"
        );
        assert_ne!(Seed::new(2).hash_ends(ends, common), hash);
        let mut changed = 0;
        for bit in 0..352 {
            let (mut ends, mut common) = (ends, common);
            match bit {
                0..256 => ends[bit / 128].0[bit / 64 % 2] ^= 1 << (bit % 64),
                256..288 => ends[bit / 16 % 2].1 ^= 1 << (bit % 16),
                _ => common ^= 1 << (bit % 64),
            }
            changed += (seed.hash_ends(ends, common) ^ hash).count_ones();
        }
        assert!((28 * 352..36 * 352).contains(&changed), "{changed}");
    }
}
