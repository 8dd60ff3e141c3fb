//! Waiting without sleeping where that pays.
use super::{LoopError, Poller, Ready};
use netfast_time::Duration;
use std::time::Instant as Clock;

/// Waits at a poller, and before it sleeps looks for up to a given time whether something comes.
///
/// That saves a thread's way to sleep and back, some 5 to 50 µs, for a core that is busy meanwhile. So it adapts: after a look that
/// found nothing it looks half as long the next time, down to not at all; when something comes soon after it slept, it looks for
/// the whole time again.
#[derive(Debug)]
pub struct Waiter {
    most: std::time::Duration,
    now: std::time::Duration,
    /// Waits that ended while it looked.
    pub found: u64,
    /// Waits in which it slept.
    pub slept: u64,
}

impl Waiter {
    /// One that looks for up to `busy`; zero: it always sleeps.
    pub fn new(busy: Duration) -> Self {
        let most = std::time::Duration::from_nanos(busy.as_nanos());
        Self { most, now: most, found: 0, slept: 0 }
    }

    /// Waits until something happens, at the longest `most`.
    ///
    /// # Errors
    /// As [`Poller::wait`].
    #[allow(clippy::disallowed_methods, reason = "the room that reads clocks")]
    pub fn wait(
        &mut self,
        poller: &Poller,
        most: Option<Duration>,
        ready: &mut Ready,
    ) -> Result<(), LoopError> {
        let start = Clock::now();
        if !self.now.is_zero() {
            while start.elapsed() < self.now {
                poller.wait(Some(Duration::ZERO), ready)?;
                if !ready.is_empty() {
                    self.found += 1;
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            self.now /= 2;
            if self.now < std::time::Duration::from_micros(1) {
                self.now = std::time::Duration::ZERO;
            }
        }
        self.slept += 1;
        poller.wait(most, ready)?;
        if !self.most.is_zero() && !ready.is_empty() && start.elapsed() < self.most {
            self.now = self.most;
        }
        Ok(())
    }
}
