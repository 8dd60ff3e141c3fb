//! Which bucket a deadline goes to, and which bucket fires next.
//!
//! Level `n` has 64 buckets of 4^n nanoseconds each: a ring over the absolute time, so a bucket's number is
//! `(instant >> 2n) mod 64`. A deadline is rounded up to the end of a bucket of the lowest level whose ring reaches
//! that far; nothing moves from level to level afterwards. 31 levels reach over all of u64.
use crate::clock::Instant;

/// Buckets in a level: one bit each of a u64.
const BUCKETS: u32 = 64;
/// Bits by which a bucket is wider than one of the level below. Gleixner's kernel wheel takes 3, which makes a timer
/// up to 8/63 of its delay late; 2 halves that for 50 % more levels, of which only those in use are looked at.
const SHIFT: u32 = 2;
/// The farthest deadline that fits a ring wherever `now` stands in its bucket, in buckets: one bucket is lost to
/// rounding up, one to the bucket that `now` is in.
const REACH: u64 = BUCKETS as u64 - 2;
/// Enough for `u64::MAX >> (SHIFT * (LEVELS - 1)) <= REACH`.
const LEVELS: usize = 31;

/// Buckets in all levels together.
pub(crate) const BUCKET_COUNT: u32 = LEVELS as u32 * BUCKETS;

const _: () = assert!(u64::MAX >> (SHIFT as usize * (LEVELS - 1)) <= REACH);
const _: () = assert!(u64::MAX >> (SHIFT as usize * (LEVELS - 2)) > REACH);
const _: () = assert!(LEVELS <= u32::BITS as usize && BUCKETS == u64::BITS);

/// A bucket and the moment when all its timers are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) bucket: u32,
    pub(crate) fires: Instant,
}

impl Slot {
    /// The bucket for a deadline that lies after `now`.
    #[inline]
    pub(crate) fn of(now: Instant, deadline: Instant) -> Self {
        debug_assert!(deadline > now);
        // Everything is computed for the last nanosecond before the deadline, so that rounding up cannot overflow.
        let last = deadline.as_nanos() - 1;
        let delay = last - now.as_nanos();
        let level = level_of(delay);
        let shift = SHIFT * level;
        let slot = (last >> shift) + 1;
        debug_assert!(slot - (now.as_nanos() >> shift) <= u64::from(BUCKETS));
        Self { bucket: level * BUCKETS + (slot as u32 & (BUCKETS - 1)), fires: start_of(slot, shift) }
    }
}

/// The lowest level where `delay >> (SHIFT * level) <= REACH`.
#[inline]
fn level_of(delay: u64) -> u32 {
    let bits = u64::BITS - (delay | (BUCKETS as u64 - 1)).leading_zeros();
    let level = (bits - BUCKETS.trailing_zeros()).div_ceil(SHIFT);
    level + u32::from(delay >> (SHIFT * level) > REACH)
}

/// When the slot begins. The slot after the last nanosecond of u64 begins at that nanosecond, instead of never.
#[inline]
fn start_of(slot: u64, shift: u32) -> Instant {
    Instant::from_nanos(if slot > u64::MAX >> shift { u64::MAX } else { slot << shift })
}

/// Which buckets hold timers.
#[derive(Debug, Default)]
pub(crate) struct Occupancy {
    /// One bit for each level that has an occupied bucket.
    levels: u32,
    buckets: [u64; LEVELS],
}

impl Occupancy {
    #[inline]
    pub(crate) fn set(&mut self, bucket: u32) {
        let level = bucket / BUCKETS;
        self.buckets[level as usize] |= 1 << (bucket % BUCKETS);
        self.levels |= 1 << level;
    }

    #[inline]
    pub(crate) fn clear(&mut self, bucket: u32) {
        let level = bucket / BUCKETS;
        let buckets = &mut self.buckets[level as usize];
        *buckets &= !(1 << (bucket % BUCKETS));
        if *buckets == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The occupied bucket that fires first, where all that fire up to `now` were emptied. Of several that fire at
    /// the same time it is the one of the highest level: of two timers with one deadline, the one armed earlier is
    /// never on the lower level, and so they come in the order they were armed in.
    pub(crate) fn first(&self, now: Instant) -> Option<Slot> {
        let mut best: Option<Slot> = None;
        let mut levels = self.levels;
        while levels != 0 {
            let level = levels.trailing_zeros();
            levels &= levels - 1;
            let shift = SHIFT * level;
            let next = (now.as_nanos() >> shift) + 1;
            let ahead =
                self.buckets[level as usize].rotate_right(next as u32 & (BUCKETS - 1)).trailing_zeros();
            // The sum stays below 2^64 on each level: on level 0, occupied buckets end at `u64::MAX`.
            let slot = next + u64::from(ahead);
            let fires = start_of(slot, shift);
            if best.is_none_or(|best| fires <= best.fires) {
                best = Some(Slot { bucket: level * BUCKETS + (slot as u32 & (BUCKETS - 1)), fires });
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_begin_where_the_ring_below_ends() {
        assert_eq!((level_of(0), level_of(62), level_of(63)), (0, 0, 1));
        for level in 0..LEVELS as u32 - 1 {
            let first_above = (REACH + 1) << (SHIFT * level);
            assert_eq!((level_of(first_above - 1), level_of(first_above)), (level, level + 1));
        }
        assert_eq!(level_of(u64::MAX), LEVELS as u32 - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_slot_fires_after_the_deadline_by_less_than_four_sixty_thirds(
            now in any::<u64>(), delay in any::<u64>(), small in 0u32..64, back in 0u32..64,
        ) {
            let now = Instant::from_nanos(now >> back);
            let deadline = now + crate::Duration::from_nanos((delay >> small).max(1));
            prop_assume!(deadline > now);
            let slot = Slot::of(now, deadline);
            prop_assert!(slot.fires >= deadline);
            let (late, delay) = (u128::from((slot.fires - deadline).as_nanos()), u128::from((deadline - now).as_nanos()));
            prop_assert!(63 * late < 4 * delay, "{delay} ns fire {late} ns late");
            let mut occupancy = Occupancy::default();
            occupancy.set(slot.bucket);
            prop_assert_eq!(occupancy.first(now), Some(slot));
            let just_before = Instant::from_nanos(slot.fires.as_nanos() - 1);
            prop_assert_eq!(occupancy.first(just_before.max(now)), Some(slot));
            occupancy.clear(slot.bucket);
            prop_assert_eq!(occupancy.first(now), None);
        }
    }
}
