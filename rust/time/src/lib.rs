//! 64-bit clock types and the timer wheel.
//!
//! **Time is an argument.** [`Instant`] and [`Duration`] are u64 nanoseconds on a clock that the caller owns; nothing
//! in this crate reads one. A live loop passes the monotonic clock, a capture passes packet times, a simulation
//! passes its virtual time, so each run can be repeated and each timer tested a thousand years ahead. All arithmetic
//! saturates: `Instant::MAX` (about 584 years after `Instant::ZERO`) is "never", not a panic and not a wrap.
//!
//! [`TimerWheel`] holds up to four thousand million timers with any u64 deadline. [`TimerWheel::arm`],
//! [`TimerWheel::cancel`] and [`TimerWheel::rearm`] take constant time; see there for the guarantees.
//!
//! ```
//! use netfast_time::{Duration, Instant, TimerConfig, TimerWheel};
//!
//! let start = Instant::from_secs(100);
//! let mut wheel = TimerWheel::<u32>::new(start, TimerConfig::default());
//! let idle = wheel.arm(start + Duration::from_secs(120), 7)?;
//! wheel.rearm(idle, start + Duration::from_secs(180))?;
//! wheel.arm_exact(start + Duration::from_millis(1), 8)?;
//!
//! let mut fired = Vec::new();
//! let progress = wheel.poll(start + Duration::from_secs(1), 64, |payload, deadline| fired.push((payload, deadline)));
//! assert_eq!(fired, [(8, start + Duration::from_millis(1))]);
//! assert!(!progress.more);
//! assert_eq!(wheel.cancel(idle), Some(7));
//! # Ok::<(), netfast_time::TimerError>(())
//! ```
#![forbid(unsafe_code)]

mod bucket;
mod clock;
mod exact;
mod levels;
mod nodes;
mod wheel;

pub use bucket::TokenBucket;
pub use clock::{Duration, Instant};
pub use nodes::TimerHandle;
pub use wheel::{Expired, Progress, TimerConfig, TimerError, TimerWheel};
