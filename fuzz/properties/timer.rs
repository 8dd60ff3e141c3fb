//! Any operations on a timer wheel agree with a list that is searched from end to end.
//!
//! Each operation is two bytes and, where it needs one, a time: a byte shifted by another.
use netfast_time::{Instant, TimerConfig, TimerHandle, TimerWheel};

const LIMIT: u32 = 100;

struct Armed {
    handle: TimerHandle,
    payload: u32,
    deadline: u64,
    /// When it must have fired at the latest.
    latest: u64,
    exact: bool,
}

struct Run {
    wheel: TimerWheel<u32>,
    armed: Vec<Armed>,
    stale: Option<TimerHandle>,
    now: u64,
    payloads: u32,
}

/// The promise of `TimerWheel::arm`: late by less than 4/63 of the delay.
fn latest(now: u64, deadline: u64, exact: bool) -> u64 {
    let delay = deadline.saturating_sub(now);
    let slack = if exact { 0 } else { (u128::from(delay) * 4).div_ceil(63).saturating_sub(1) as u64 };
    deadline.max(now).saturating_add(slack)
}

pub fn check(data: &[u8]) {
    let [start, data @ ..] = data else { return };
    let now = u64::from(*start).rotate_right(8) | u64::from(*start);
    let config = TimerConfig { limit: LIMIT, preallocate: start & 1 != 0 };
    let wheel = TimerWheel::new(Instant::from_nanos(now), config);
    let mut run = Run { wheel, armed: Vec::new(), stale: None, now, payloads: 0 };
    for operation in data.chunks_exact(4) {
        run.step([operation[0], operation[1], operation[2], operation[3]]);
    }
    while !run.armed.is_empty() {
        run.poll(u64::MAX, 7);
    }
    assert_eq!((run.wheel.len(), run.wheel.next_expiry()), (0, None));
}

impl Run {
    fn step(&mut self, [kind, which, value, shift]: [u8; 4]) {
        let ticks = u64::from(value) << (shift & 63);
        let time = match shift >> 6 {
            0 | 1 => self.now.saturating_add(ticks),
            2 => self.now.saturating_sub(ticks),
            _ => ticks,
        };
        match kind % 8 {
            0 | 1 => self.arm(time, false),
            2 => self.arm(time, true),
            3 => self.cancel(which),
            4 => self.rearm(which, time),
            5 => self.poll(time, usize::from(which)),
            6 => self.poll(self.wheel.next_expiry().map_or(self.now, Instant::as_nanos), usize::MAX),
            _ => self.advance(time),
        }
        assert_eq!(self.wheel.len(), self.armed.len());
        assert_eq!(self.wheel.now().as_nanos(), self.now);
        if let Some(stale) = self.stale {
            assert_eq!(self.wheel.get(stale), None);
        }
    }

    fn arm(&mut self, deadline: u64, exact: bool) {
        let (at, payload) = (Instant::from_nanos(deadline), self.payloads);
        let armed = if exact { self.wheel.arm_exact(at, payload) } else { self.wheel.arm(at, payload) };
        let Ok(handle) = armed else {
            assert_eq!(self.armed.len(), LIMIT as usize, "refused below the limit");
            return;
        };
        self.payloads += 1;
        self.armed.push(Armed {
            handle,
            payload,
            deadline,
            latest: latest(self.now, deadline, exact),
            exact,
        });
    }

    fn pick(&self, which: u8) -> Option<usize> {
        (!self.armed.is_empty()).then(|| usize::from(which) % self.armed.len())
    }

    fn cancel(&mut self, which: u8) {
        let Some(at) = self.pick(which) else { return };
        let armed = self.armed.swap_remove(at);
        assert_eq!(self.wheel.get(armed.handle), Some((armed.payload, Instant::from_nanos(armed.deadline))));
        assert_eq!(self.wheel.cancel(armed.handle), Some(armed.payload));
        assert_eq!(self.wheel.cancel(armed.handle), None);
        assert!(self.wheel.rearm(armed.handle, Instant::MAX).is_err());
        self.stale = Some(armed.handle);
    }

    fn rearm(&mut self, which: u8, deadline: u64) {
        let Some(at) = self.pick(which) else { return };
        let armed = &mut self.armed[at];
        self.wheel.rearm(armed.handle, Instant::from_nanos(deadline)).expect("armed");
        armed.deadline = deadline;
        armed.latest = latest(self.now, deadline, armed.exact);
    }

    fn advance(&mut self, to: u64) {
        self.wheel.advance(Instant::from_nanos(to));
        self.now = self.now.max(to);
    }

    /// Polls and checks all that was promised.
    fn poll(&mut self, to: u64, budget: usize) {
        let expected = self.wheel.next_expiry().map(Instant::as_nanos);
        assert_eq!(expected.is_none(), self.armed.is_empty());
        if let (Some(expected), Some(latest)) = (expected, self.armed.iter().map(|armed| armed.latest).min())
        {
            assert!(expected <= latest.max(self.now), "next_expiry {expected} is after {latest}");
        }
        self.now = self.now.max(to);
        let mut fired = Vec::new();
        let take = |payload, deadline: Instant| fired.push((payload, deadline.as_nanos()));
        let progress = self.wheel.poll(Instant::from_nanos(to), budget, take);
        assert_eq!(progress.fired, fired.len());
        assert!(fired.len() == budget || !progress.more);
        let due = expected.is_some_and(|expected| expected <= self.now);
        assert_eq!(
            due && budget > 0,
            !fired.is_empty(),
            "something fires at next_expiry, and nothing before"
        );
        for (payload, deadline) in fired {
            let at = self.armed.iter().position(|armed| armed.payload == payload).expect("armed");
            let armed = self.armed.swap_remove(at);
            assert_eq!(deadline, armed.deadline);
            assert!(deadline <= self.now, "fired {} ns early", deadline - self.now);
            self.stale = Some(armed.handle);
        }
        if !progress.more {
            let late = self.armed.iter().find(|armed| armed.latest <= self.now);
            assert!(
                late.is_none(),
                "a timer had to fire at {:?}, it is {}",
                late.map(|l| l.latest),
                self.now
            );
        }
    }
}
