//! The timer wheel.
use thiserror::Error;

use crate::clock::{Duration, Instant};
use crate::exact::ExactHeap;
use crate::levels::{BUCKET_COUNT, Occupancy, Slot};
use crate::nodes::{Detached, Nodes, TimerHandle};

/// The list of timers that are due and were not taken yet; the lists before it are the buckets.
const DUE: u32 = BUCKET_COUNT;

/// Why a timer operation was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerError {
    /// The wheel holds as many timers as [`TimerConfig::limit`] allows.
    #[error("the timer wheel is full: {limit} timers are armed")]
    Full {
        /// The limit that was reached.
        limit: u32,
    },
    /// The memory for as many timers as [`TimerConfig::preallocate`] asks for is not to be had.
    #[error("there is no memory for {limit} timers")]
    Memory {
        /// The timers that were asked for.
        limit: u32,
    },
    /// The timer of this handle fired or was cancelled before.
    #[error("the timer has fired or was cancelled")]
    Stale,
}

/// The limits of a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerConfig {
    /// The most timers that may be armed at the same time; more than [`TimerConfig::MOST`] counts as that.
    pub limit: u32,
    /// Takes the memory for `limit` timers at once, so that no operation ever allocates; else the memory grows with
    /// the number of timers and is reused.
    pub preallocate: bool,
}

impl TimerConfig {
    /// The most timers that any wheel can hold.
    pub const MOST: u32 = Nodes::<()>::most(BUCKET_COUNT + 1);
}

impl Default for TimerConfig {
    /// Sixteen million timers, memory as needed.
    fn default() -> Self {
        Self { limit: 1 << 24, preallocate: false }
    }
}

/// A timer that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired<T> {
    /// What it was armed with.
    pub payload: T,
    /// When it was to fire; never later than the time of the poll that fired it.
    pub deadline: Instant,
    /// The handle that named it, now stale.
    pub handle: TimerHandle,
}

/// What a poll did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "when `more` is set, due timers are left"]
pub struct Progress {
    /// Timers that fired.
    pub fired: usize,
    /// The budget ended the poll: more timers are due already.
    pub more: bool,
}

/// A hierarchical, non-cascading timer wheel (after Varghese and Lauck 1987 and Gleixner 2016) with a heap beside it
/// for timers that must be exact.
///
/// - **Never early**: a timer fires in a poll whose `now` is at or after its deadline.
/// - **Bounded lateness**: a timer armed by [`arm`](Self::arm) is due less than 4/63 (6.4 %) of its delay after its
///   deadline, delays up to 63 ns exactly then; one armed by [`arm_exact`](Self::arm_exact) at its deadline. The delay
///   counts from the [`now`](Self::now) of the wheel, that is from the latest poll: poll before arming when long
///   times may have passed. A due time past [`Instant::MAX`] is `Instant::MAX`.
/// - **Any deadline** is accepted: one that has passed is due at once, `Instant::MAX` is a deadline as any other.
/// - **Cost**: arm, cancel and re-arm take constant time (O(log n) for exact timers) and do not allocate where the
///   number of timers has been as high before. A poll with nothing due is two comparisons; else it takes time for
///   each timer fired and for each bucket (at most 1984) that came due, however far the clock jumped.
/// - **Order**: timers come in the order of their due times, and those due at the same nanosecond in the order they
///   were armed (a re-arm counts as an arm). Rounding may bring a timer armed with a long delay after one with the
///   same deadline that was armed later. Where exact timers and others are due in one poll, they are merged by
///   deadline.
/// - **Re-entrancy**: [`pop_expired`](Self::pop_expired) gives one timer at a time; in between, any timer may be
///   armed, re-armed or cancelled, including those that are due: they then do not fire. The place of a fired timer is
///   free before it is given out, so a periodic timer can always be armed again.
/// - **Clock**: one that goes back is clamped to the latest time seen, and counted.
///
/// A wheel belongs to one worker; another core cancels a timer by sending its handle to that worker.
#[derive(Debug)]
pub struct TimerWheel<T> {
    now: Instant,
    /// No bucket fires before this; may be too early after a cancel, never too late.
    first_fires: Instant,
    occupancy: Occupancy,
    nodes: Nodes<T>,
    exact: ExactHeap,
    backward_steps: u64,
}

impl<T: Copy + Default> TimerWheel<T> {
    /// An empty wheel whose clock stands at `now`.
    ///
    /// # Panics
    /// When `config.preallocate` asks for more memory than there is; see [`try_new`](Self::try_new).
    pub fn new(now: Instant, config: TimerConfig) -> Self {
        Self::try_new(now, config).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An empty wheel whose clock stands at `now`.
    ///
    /// # Errors
    /// [`TimerError::Memory`] when `config.preallocate` asks for more memory than there is.
    pub fn try_new(now: Instant, config: TimerConfig) -> Result<Self, TimerError> {
        let mut nodes = Nodes::new(BUCKET_COUNT + 1, config.limit);
        let mut exact = ExactHeap::default();
        if config.preallocate {
            let limit = nodes.limit();
            nodes
                .reserve_all()
                .and_then(|()| exact.reserve(limit))
                .map_err(|_| TimerError::Memory { limit })?;
        }
        let occupancy = Occupancy::default();
        Ok(Self { now, first_fires: Instant::MAX, occupancy, nodes, exact, backward_steps: 0 })
    }

    /// Timers armed, those included that are due and were not taken yet.
    pub fn len(&self) -> usize {
        self.nodes.len() as usize
    }

    /// True when no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most timers that may be armed at the same time.
    pub fn limit(&self) -> usize {
        self.nodes.limit() as usize
    }

    /// Bytes of memory that the wheel holds, those included that wait for reuse: 28 a timer for a `u32` payload, 36
    /// for a `u64`, 24 more for an exact one, and about 50 thousand for the buckets.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.nodes.memory() + self.exact.memory()
    }

    /// Makes sure that `additional` timers can be armed, and takes the memory for them where it is not there yet. Not
    /// the heap's: exact timers may allocate still.
    ///
    /// # Errors
    /// [`TimerError::Full`] when that is beyond the limit, [`TimerError::Memory`] when there is not so much memory.
    pub fn reserve(&mut self, additional: usize) -> Result<(), TimerError> {
        if additional > self.limit() - self.len() {
            return Err(self.full());
        }
        self.nodes.reserve(additional).map_err(|_| TimerError::Memory { limit: self.nodes.limit() })
    }

    /// The latest time that the wheel was told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How often the wheel was told a time before one that it had been told already.
    pub fn backward_steps(&self) -> u64 {
        self.backward_steps
    }

    /// Arms a timer that is due at `deadline` or less than 4/63 of its delay later.
    ///
    /// # Errors
    /// [`TimerError::Full`] at the limit.
    #[inline]
    pub fn arm(&mut self, deadline: Instant, payload: T) -> Result<TimerHandle, TimerError> {
        let Some((index, handle)) = self.nodes.allocate(deadline, payload) else { return Err(self.full()) };
        self.place(index, deadline);
        Ok(handle)
    }

    /// Arms a timer that is due exactly at `deadline`, in O(log n) of the number of exact timers.
    ///
    /// # Errors
    /// [`TimerError::Full`] at the limit.
    pub fn arm_exact(&mut self, deadline: Instant, payload: T) -> Result<TimerHandle, TimerError> {
        let Some((index, handle)) = self.nodes.allocate(deadline, payload) else { return Err(self.full()) };
        // A deadline that has passed fires now, after those that were due now before it.
        self.exact.push(deadline.max(self.now), index, &mut self.nodes);
        Ok(handle)
    }

    /// Gives an armed timer a new deadline, as a cancel and an arm do in one; its handle, payload and class stay.
    ///
    /// # Errors
    /// [`TimerError::Stale`] when the timer fired or was cancelled before.
    #[inline]
    pub fn rearm(&mut self, handle: TimerHandle, deadline: Instant) -> Result<(), TimerError> {
        let index = self.nodes.resolve(handle).ok_or(TimerError::Stale)?;
        self.nodes.set_deadline(index, deadline);
        if let Some(place) = self.detach(index) {
            self.exact.change(place, deadline.max(self.now), &mut self.nodes);
        } else {
            self.place(index, deadline);
        }
        Ok(())
    }

    /// Disarms a timer and gives its payload back; `None` when it fired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, handle: TimerHandle) -> Option<T> {
        let index = self.nodes.resolve(handle)?;
        if let Some(place) = self.detach(index) {
            self.exact.remove(place, &mut self.nodes);
        }
        Some(self.nodes.release(index).0)
    }

    /// Payload and deadline of an armed timer.
    pub fn get(&self, handle: TimerHandle) -> Option<(T, Instant)> {
        let index = self.nodes.resolve(handle)?;
        Some((self.nodes.payload(index), self.nodes.deadline(index)))
    }

    /// The payload of an armed timer, to change it, as when what it names has moved.
    pub fn payload_mut(&mut self, handle: TimerHandle) -> Option<&mut T> {
        let index = self.nodes.resolve(handle)?;
        Some(self.nodes.payload_mut(index))
    }

    /// When the next timer fires, in O(levels); `None` when no timer is armed. A poll before that time fires nothing, a
    /// poll at that time fires at least one timer, so a loop that sleeps until then always makes progress. Timers that
    /// are due already give [`now`](Self::now).
    pub fn next_expiry(&self) -> Option<Instant> {
        if self.nodes.first(DUE).is_some() {
            return Some(self.now);
        }
        let bucket = self.occupancy.first(self.now).map(|slot| slot.fires);
        let exact = self.exact.first().map(|(fires, _)| fires.max(self.now));
        match (bucket, exact) {
            (Some(bucket), Some(exact)) => Some(bucket.min(exact)),
            (bucket, exact) => bucket.or(exact),
        }
    }

    /// How long a loop may sleep: the time from now to [`next_expiry`](Self::next_expiry), `None` for ever.
    /// [`Duration::as_poll_timeout`] makes it what `epoll_wait(2)` takes.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.next_expiry().map(|at| at - self.now)
    }

    /// Moves the clock to `now` and fires at most `budget` due timers, each by a call of `fire` with its payload
    /// and deadline. Nothing is lost where the budget ends: the next poll goes on.
    pub fn poll(&mut self, now: Instant, budget: usize, mut fire: impl FnMut(T, Instant)) -> Progress {
        self.advance(now);
        let mut fired = 0;
        while fired < budget {
            let Some(expired) = self.pop() else { return Progress { fired, more: false } };
            fired += 1;
            fire(expired.payload, expired.deadline);
        }
        Progress { fired, more: self.has_due() }
    }

    /// Moves the clock to `now` and takes the next timer that is due, if any. The wheel is free for any other
    /// operation between two calls. A loop over it that arms timers which are due at once must count its rounds.
    #[inline]
    pub fn pop_expired(&mut self, now: Instant) -> Option<Expired<T>> {
        self.advance(now);
        self.pop()
    }

    /// Moves the clock without firing: what comes due waits for the next poll, and delays count from `now`.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        if now < self.now {
            self.backward_steps += 1;
        } else if now < self.first_fires {
            self.now = now;
        } else {
            self.collect_due(now);
        }
    }

    /// Appends all buckets that fire up to `now` to the list of due timers, in the order they fire in.
    fn collect_due(&mut self, now: Instant) {
        let next = loop {
            match self.occupancy.first(self.now) {
                Some(slot) if slot.fires <= now => {
                    self.occupancy.clear(slot.bucket);
                    self.nodes.splice(slot.bucket, DUE);
                }
                next => break next,
            }
        };
        self.first_fires = next.map_or(Instant::MAX, |slot| slot.fires);
        self.now = now;
    }

    /// Takes the first due timer: of the list and of the heap the one with the earlier deadline.
    #[inline]
    fn pop(&mut self) -> Option<Expired<T>> {
        let listed = self.nodes.first(DUE);
        let index = match self.exact.first() {
            Some((fires, index))
                if fires <= self.now && listed.is_none_or(|l| fires < self.nodes.deadline(l)) =>
            {
                self.exact.remove(0, &mut self.nodes);
                index
            }
            _ => {
                let index = listed?;
                self.nodes.detach(index);
                index
            }
        };
        let (payload, deadline, handle) = self.nodes.release(index);
        debug_assert!(deadline <= self.now);
        Some(Expired { payload, deadline, handle })
    }

    fn has_due(&self) -> bool {
        self.nodes.first(DUE).is_some() || self.exact.first().is_some_and(|(fires, _)| fires <= self.now)
    }

    /// Puts a node that is in no list where its deadline belongs.
    #[inline]
    fn place(&mut self, index: u32, deadline: Instant) {
        if deadline <= self.now {
            return self.nodes.push_back(DUE, index);
        }
        let slot = Slot::of(self.now, deadline);
        self.occupancy.set(slot.bucket);
        self.first_fires = self.first_fires.min(slot.fires);
        self.nodes.push_back(slot.bucket, index);
    }

    /// Takes a node out of its list; gives its place when it is in the heap, where it stays.
    #[inline]
    fn detach(&mut self, index: u32) -> Option<u32> {
        match self.nodes.detach(index) {
            Detached::InHeap(place) => return Some(place),
            Detached::EmptiedList(bucket) if bucket != DUE => self.occupancy.clear(bucket),
            _ => {}
        }
        None
    }

    #[cold]
    fn full(&self) -> TimerError {
        TimerError::Full { limit: self.nodes.limit() }
    }
}
