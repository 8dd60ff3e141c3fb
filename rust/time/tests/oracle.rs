//! The wheel against an obvious oracle: ordered maps, over ten million random operations and a thousand years.
use std::collections::{BTreeMap, BTreeSet};

use netfast_time::{Duration, Instant, TimerConfig, TimerHandle, TimerWheel};

const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
/// 584 years fit u64 nanoseconds; a thousand are two eras of five hundred, in each from its beginning to its end.
const ERA_YEARS: u64 = 500;
const OPERATIONS: u32 = 10_000_000;
const MOST_TIMERS: usize = 20_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// As likely to have 5 bits as 50.
    fn of_any_size(&mut self) -> u64 {
        self.next() >> self.below(64)
    }
}

#[derive(Clone, Copy)]
struct Armed {
    handle: TimerHandle,
    deadline: u64,
    /// When it must have fired at the latest.
    latest: u64,
    exact: bool,
}

/// What is armed, by payload and by time.
#[derive(Default)]
struct Oracle {
    armed: Vec<Option<Armed>>,
    live: Vec<u32>,
    place: Vec<usize>,
    free: Vec<u32>,
    by_deadline: BTreeSet<(u64, u32)>,
    by_latest: BTreeSet<(u64, u32)>,
}

/// The promise of `TimerWheel::arm`: late by less than 4/63 of the delay.
fn latest(now: u64, deadline: u64, exact: bool) -> u64 {
    let delay = deadline.saturating_sub(now);
    let slack = if exact { 0 } else { (u128::from(delay) * 4).div_ceil(63).saturating_sub(1) as u64 };
    deadline.max(now).saturating_add(slack)
}

impl Oracle {
    fn new_payload(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.armed.push(None);
            self.place.push(0);
            self.armed.len() as u32 - 1
        })
    }

    fn insert(&mut self, payload: u32, armed: Armed) {
        self.armed[payload as usize] = Some(armed);
        self.place[payload as usize] = self.live.len();
        self.live.push(payload);
        self.by_deadline.insert((armed.deadline, payload));
        self.by_latest.insert((armed.latest, payload));
    }

    fn remove(&mut self, payload: u32) -> Armed {
        let armed = self.armed[payload as usize].take().expect("fires only what is armed");
        let place = self.place[payload as usize];
        self.live.swap_remove(place);
        if let Some(&moved) = self.live.get(place) {
            self.place[moved as usize] = place;
        }
        self.free.push(payload);
        assert!(self.by_deadline.remove(&(armed.deadline, payload)));
        assert!(self.by_latest.remove(&(armed.latest, payload)));
        armed
    }

    fn pick(&self, random: &mut Random) -> Option<u32> {
        (!self.live.is_empty()).then(|| self.live[random.below(self.live.len() as u64) as usize])
    }
}

struct Run {
    wheel: TimerWheel<u32>,
    oracle: Oracle,
    random: Random,
    now: u64,
    stale: Vec<TimerHandle>,
    fired: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let wheel =
            TimerWheel::new(Instant::ZERO, TimerConfig { limit: MOST_TIMERS as u32, preallocate: false });
        Self { wheel, oracle: Oracle::default(), random: Random(seed), now: 0, stale: Vec::new(), fired: 0 }
    }

    fn deadline(&mut self) -> u64 {
        match self.random.below(64) {
            0 => self.now.saturating_sub(self.random.of_any_size()),
            1 => u64::MAX,
            2 => self.now,
            // Most timers are within what is simulated, so that they do fire.
            3..20 => self.now.saturating_add(self.random.of_any_size()),
            _ => self.now.saturating_add(self.random.of_any_size() >> 14),
        }
    }

    fn arm(&mut self) {
        let (deadline, exact) = (self.deadline(), self.random.below(8) == 0);
        let payload = self.oracle.new_payload();
        let at = Instant::from_nanos(deadline);
        let armed = if exact { self.wheel.arm_exact(at, payload) } else { self.wheel.arm(at, payload) };
        match armed {
            Ok(handle) => {
                let latest = latest(self.now, deadline, exact);
                self.oracle.insert(payload, Armed { handle, deadline, latest, exact });
            }
            Err(_) => {
                assert_eq!(self.wheel.len(), MOST_TIMERS);
                self.oracle.free.push(payload);
            }
        }
    }

    fn cancel(&mut self) {
        let Some(payload) = self.oracle.pick(&mut self.random) else { return };
        let armed = self.oracle.remove(payload);
        assert_eq!(self.wheel.get(armed.handle), Some((payload, Instant::from_nanos(armed.deadline))));
        assert_eq!(self.wheel.cancel(armed.handle), Some(payload));
        assert_eq!(self.wheel.cancel(armed.handle), None);
        if self.stale.len() < 100 {
            self.stale.push(armed.handle);
        }
    }

    fn rearm(&mut self) {
        let Some(payload) = self.oracle.pick(&mut self.random) else { return };
        let armed = self.oracle.remove(payload);
        let deadline = self.deadline();
        self.wheel.rearm(armed.handle, Instant::from_nanos(deadline)).expect("armed");
        assert_eq!(self.oracle.free.pop(), Some(payload));
        let latest = latest(self.now, deadline, armed.exact);
        self.oracle.insert(payload, Armed { deadline, latest, ..armed });
    }

    /// Polls, with a budget that is sometimes too small, and checks all that was promised.
    fn poll(&mut self, to: u64) {
        let expected = self.wheel.next_expiry().map(Instant::as_nanos);
        let first_latest = self.oracle.by_latest.first().map(|&(latest, _)| latest);
        let first_deadline = self.oracle.by_deadline.first().map(|&(deadline, _)| deadline);
        if let (Some(expected), Some(latest), Some(deadline)) = (expected, first_latest, first_deadline) {
            assert!(expected <= latest.max(self.now), "next_expiry {expected} is after {latest}");
            assert!(expected >= deadline, "next_expiry {expected} is before the first deadline {deadline}");
        }
        assert_eq!(expected.is_none(), self.oracle.live.is_empty());
        self.now = self.now.max(to);
        let budget = if self.random.below(4) == 0 { self.random.below(20) as usize } else { usize::MAX };
        let mut fired = Vec::new();
        let at = Instant::from_nanos(to);
        let progress = self.wheel.poll(at, budget, |payload, deadline| fired.push((payload, deadline)));
        assert_eq!(progress.fired, fired.len());
        assert!(fired.len() == budget || !progress.more);
        let due = expected.is_some_and(|expected| expected <= self.now);
        assert_eq!(
            due && budget > 0,
            !fired.is_empty(),
            "a poll fires something at next_expiry and not before"
        );
        for (payload, deadline) in fired {
            let armed = self.oracle.remove(payload);
            assert_eq!(deadline.as_nanos(), armed.deadline);
            assert!(armed.deadline <= self.now, "fired {} ns early", armed.deadline - self.now);
            assert_eq!(self.wheel.get(armed.handle), None);
            self.fired += 1;
        }
        if !progress.more
            && let Some(&(latest, payload)) = self.oracle.by_latest.first()
        {
            assert!(latest > self.now, "timer {payload} had to fire at {latest}, it is {}", self.now);
        }
        assert_eq!(self.wheel.len(), self.oracle.live.len());
        assert_eq!(self.wheel.now().as_nanos(), self.now);
    }

    fn step(&mut self, end: u64) {
        match self.random.below(100) {
            0..45 => self.arm(),
            45..60 => self.cancel(),
            60..90 => self.rearm(),
            // To exactly when something fires, or the nanosecond before, as a tickless loop would.
            90..94 => {
                let next = self.wheel.next_expiry().map_or(self.now, Instant::as_nanos);
                let early = self.random.below(2);
                self.poll(next.saturating_sub(early).min(end));
            }
            94..99 => {
                let step = self.random.of_any_size() >> 20;
                self.poll(self.now.saturating_add(step).min(end));
            }
            _ => {
                let back = self.random.of_any_size();
                self.poll(self.now.saturating_sub(back));
            }
        }
    }
}

#[test]
fn ten_million_operations_over_a_thousand_years_agree_with_an_ordered_map() {
    let mut fired = 0;
    for era in 0..2 {
        let mut run = Run::new(era + 1);
        let operations = OPERATIONS / 2;
        for operation in 0..operations {
            // The clock follows the operations, so that all the years are passed through.
            if operation % 1_000 == 999 {
                let years = ERA_YEARS * u64::from(operation) / u64::from(operations);
                let hour = run.random.below(YEAR / 10_000);
                run.poll(years * YEAR + hour);
            }
            run.step(ERA_YEARS * YEAR);
        }
        for handle in std::mem::take(&mut run.stale) {
            assert_eq!(run.wheel.get(handle), None);
        }
        run.poll(ERA_YEARS * YEAR);
        assert!(run.now >= ERA_YEARS * YEAR);
        while !run.wheel.is_empty() {
            run.poll(u64::MAX);
        }
        fired += run.fired;
    }
    assert!(fired > 1_000_000, "only {fired} timers fired");
}

/// Timers of many sizes around each boundary where some counter of some other wheel wraps: that many nanoseconds, and
/// that many milliseconds. Timers from long before the boundary are pending.
#[test]
fn no_boundary_of_the_clock_matters() {
    for power in [10, 20, 30, 31, 32, 36, 42, 48, 53, 62, 63, 64] {
        for unit in [1, 1_000_000_u128] {
            let Ok(boundary) = u64::try_from(((unit << power) - 1).min(u128::from(u64::MAX))) else {
                continue;
            };
            for before in [1_u64, 5, 63, 64, 1_000, 1 << 20, 1 << 29, 1 << 40] {
                let mut run = Run::new(u64::from(power as u32) ^ before);
                for _ in 0..100 {
                    run.arm();
                }
                let begin = boundary.saturating_sub(before);
                let end = begin.saturating_add(before.saturating_mul(4));
                run.poll(begin);
                for _ in 0..100 {
                    run.arm();
                    run.rearm();
                }
                for _ in 0..300 {
                    run.step(end);
                }
                run.poll(end);
            }
        }
    }
}

/// Equal due times come in arming order; the oracle is a stable sort.
#[test]
fn timers_of_one_deadline_and_one_arming_time_come_in_order() {
    let mut random = Random(3);
    for _ in 0..200 {
        let now = random.of_any_size();
        let mut wheel = TimerWheel::new(Instant::from_nanos(now), TimerConfig::default());
        let choices: Vec<_> = (0..5).map(|_| now.saturating_add(random.of_any_size())).collect();
        let mut order: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for payload in 0..100 {
            let deadline = choices[random.below(5) as usize];
            let handle = wheel.arm(Instant::from_nanos(choices[0]), payload).unwrap();
            wheel.rearm(handle, Instant::from_nanos(deadline)).unwrap();
            order.entry(deadline).or_default().push(payload);
        }
        let mut seen: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        let progress = wheel.poll(Instant::MAX, 100, |payload, deadline| {
            seen.entry(deadline.as_nanos()).or_default().push(payload);
        });
        assert_eq!((progress.fired, seen), (100, order));
        assert_eq!(wheel.next_timeout(), None::<Duration>);
    }
}
