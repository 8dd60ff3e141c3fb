//! One bucket of a hash table: eight 16-bit tags that are compared at once.

/// Tags of a bucket's eight slots; 0 is an empty slot, so a stored tag is never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Tags(pub [u16; 8]);

impl Tags {
    /// A bit per slot whose tag equals `tag`.
    #[inline(always)]
    pub fn matches(&self, tag: u16) -> SlotMask {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{
                __m128i, _mm_cmpeq_epi16, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
                _mm_setzero_si128,
            };
            // SAFETY: SSE2 is part of x86-64; the load is 16 bytes from a 16-byte aligned array of 16 bytes.
            let mask = unsafe {
                let tags = _mm_load_si128(self.0.as_ptr().cast::<__m128i>());
                let equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag as i16));
                _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()))
            };
            SlotMask(mask as u8)
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.matches_portable(tag)
    }

    /// The reference that the fast one is tested against, and what other machines run.
    #[cfg_attr(target_arch = "x86_64", allow(dead_code))]
    #[inline(always)]
    fn matches_portable(&self, tag: u16) -> SlotMask {
        SlotMask(self.0.iter().enumerate().fold(0, |mask, (slot, &t)| mask | u8::from(t == tag) << slot))
    }

    /// A bit per empty slot.
    #[inline(always)]
    pub fn empty(&self) -> SlotMask {
        self.matches(0)
    }
}

/// Slots of a bucket, as an iterator from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotMask(u8);

impl SlotMask {
    /// True when no slot is in it.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest slot.
    #[inline(always)]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize & 7)
    }
}

impl Iterator for SlotMask {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let slot = self.first()?;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_twins_agree(tags in proptest::array::uniform8(0u16..4), tag in 0u16..4) {
            let tags = Tags(tags);
            prop_assert_eq!(tags.matches(tag), tags.matches_portable(tag));
            let slots: Vec<_> = tags.matches(tag).collect();
            let expected: Vec<_> = (0..8).filter(|&slot| tags.0[slot] == tag).collect();
            prop_assert_eq!(slots, expected);
        }
    }
}
