//! A token bucket: how much may pass at once, and how much in the long run.
use crate::{Duration, Instant};

/// Tokens times nanoseconds in a second: the bucket counts in parts of a token that make a rate per second exact.
const PARTS: u64 = 1_000_000_000;

/// Lets `rate` tokens a second pass, and up to `burst` at once after a rest. Rounding loses nothing, at any rate.
///
/// ```
/// use netfast_time::{Duration, Instant, TokenBucket};
///
/// let start = Instant::from_secs(1);
/// let mut errors = TokenBucket::new(10, 2, start);
/// assert!(errors.take(start, 1) && errors.take(start, 1) && !errors.take(start, 1));
/// assert!(errors.take(start + Duration::from_millis(100), 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    rate: u64,
    capacity: u64,
    credit: u64,
    last: Instant,
}

impl TokenBucket {
    /// A full bucket. A burst of more than about eighteen thousand million tokens counts as that many. With rate 0
    /// nothing comes after the first burst.
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        let capacity = burst.saturating_mul(PARTS);
        Self { rate, capacity, credit: capacity, last: now }
    }

    /// Takes `tokens` out, all or none; false when there are not so many. A time before the last one counts as that.
    #[inline]
    pub fn take(&mut self, now: Instant, tokens: u64) -> bool {
        self.credit = self.credit_at(now);
        self.last = self.last.max(now);
        match tokens.checked_mul(PARTS).and_then(|parts| self.credit.checked_sub(parts)) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }

    /// Whole tokens that could be taken.
    #[inline]
    pub fn available(&self, now: Instant) -> u64 {
        self.credit_at(now) / PARTS
    }

    /// When `tokens` can be taken if nobody takes any before; `None` for more than ever fit and for rate 0.
    pub fn ready_at(&self, now: Instant, tokens: u64) -> Option<Instant> {
        let parts = tokens.checked_mul(PARTS).filter(|&parts| parts <= self.capacity)?;
        match parts.saturating_sub(self.credit_at(now)) {
            0 => Some(now.max(self.last)),
            missing => {
                let nanos = missing.checked_div(self.rate)?;
                let up = u64::from(!missing.is_multiple_of(self.rate));
                now.max(self.last).checked_add(Duration::from_nanos(nanos + up))
            }
        }
    }

    #[inline]
    fn credit_at(&self, now: Instant) -> u64 {
        let come = now.since(self.last).as_nanos().saturating_mul(self.rate);
        self.credit.saturating_add(come).min(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn extremes_saturate() {
        let mut bucket = TokenBucket::new(u64::MAX, u64::MAX, Instant::ZERO);
        assert!(!bucket.take(Instant::ZERO, u64::MAX) && bucket.take(Instant::ZERO, 1 << 34));
        assert_eq!(bucket.available(Instant::MAX), u64::MAX / PARTS);
        let mut never = TokenBucket::new(0, 1, Instant::MAX);
        assert!(never.take(Instant::ZERO, 1) && !never.take(Instant::MAX, 1));
        assert_eq!((never.ready_at(Instant::MAX, 1), never.ready_at(Instant::ZERO, 2)), (None, None));
        assert!(!TokenBucket::new(1, 0, Instant::ZERO).take(Instant::MAX, 1));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_and_never_less(
            rate in 1u64..5_000,
            burst in 1u64..50,
            steps in prop::collection::vec((-1_000_000i64..5_000_000, 1u64..4), 1..200),
        ) {
            let start = Instant::from_secs(1_000);
            let (mut now, mut latest) = (start, start);
            let mut bucket = TokenBucket::new(rate, burst, start);
            // The same with exact arithmetic, in parts.
            let mut credit = u128::from(burst * PARTS);
            for (step, tokens) in steps {
                now = Instant::from_nanos(now.as_nanos().saturating_add_signed(step));
                credit += u128::from(now.since(latest).as_nanos() * rate);
                credit = credit.min(u128::from(burst * PARTS));
                latest = latest.max(now);
                let fits = u128::from(tokens * PARTS) <= credit;
                prop_assert_eq!(bucket.available(now), (credit / u128::from(PARTS)) as u64);
                if let Some(ready) = bucket.ready_at(now, tokens) {
                    prop_assert!(bucket.available(ready) >= tokens);
                    prop_assert!(fits == (ready == latest));
                } else {
                    prop_assert!(tokens > burst);
                }
                prop_assert_eq!(bucket.take(now, tokens), fits);
                credit -= if fits { u128::from(tokens * PARTS) } else { 0 };
            }
        }
    }
}
