//! What other timer wheels got wrong, and what their users expect: one test each.
use netfast_time::{Duration, Instant, TimerConfig, TimerError, TimerHandle, TimerWheel};
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(86_400);

fn wheel_at(now: Instant) -> TimerWheel<u32> {
    TimerWheel::new(now, TimerConfig::default())
}

fn poll(wheel: &mut TimerWheel<u32>, now: Instant) -> Vec<u32> {
    let mut fired = Vec::new();
    let progress = wheel.poll(now, usize::MAX, |payload, _| fired.push(payload));
    assert!(!progress.more);
    fired
}

/// tokio #5536, tikv #12043: an index out of range once the process had run for 2^36 ms.
#[test]
fn arming_works_after_two_to_the_36_milliseconds() {
    let mut wheel = wheel_at(Instant::ZERO);
    let late = Instant::from_nanos(u64::MAX - 1_000_000_000_000);
    let milestones =
        [1 << 36, (1 << 36) + 1, (1 << 37) - 1].map(|millis| Instant::from_millis(millis).min(late));
    for now in milestones {
        assert_eq!(poll(&mut wheel, now), []);
        for millis in [1, 63, 64, 333, 4_096, 100_000] {
            let deadline = wheel.now() + Duration::from_millis(millis);
            wheel.arm(deadline, 1).unwrap();
            assert_eq!(poll(&mut wheel, deadline - Duration::from_nanos(1)), []);
            assert_eq!(poll(&mut wheel, deadline + Duration::from_millis(millis) / 8), [1]);
        }
    }
}

/// tokio PR 8334, pgdog #1290: with a timer at the far end pending, sleeps of 333 ms were late once the process had
/// run for 2^30 ms, because the wrapped slot of the top level hid them from the search for the next expiry.
#[test]
fn a_timer_at_the_end_of_time_does_not_delay_short_ones() {
    let mut wheel = wheel_at(Instant::ZERO);
    wheel.arm(Instant::MAX, 0).unwrap();
    let mut now = Instant::from_millis((1 << 30) - 5_000);
    assert_eq!(poll(&mut wheel, now), []);
    for round in 1..100 {
        let deadline = now + Duration::from_millis(333);
        wheel.arm(deadline, round).unwrap();
        let wake = wheel.next_expiry().unwrap();
        assert!(wake >= deadline && wake - deadline < Duration::from_millis(333) / 15, "{wake}");
        assert_eq!(poll(&mut wheel, wake - Duration::from_nanos(1)), []);
        assert_eq!(poll(&mut wheel, wake), [round]);
        now = wake;
    }
    assert_eq!(wheel.next_expiry(), Some(Instant::MAX));
}

/// tokio #2667, #6634: an interval or timeout of `Duration::MAX` panicked.
#[test]
fn a_delay_of_the_longest_duration_is_a_delay_as_any_other() {
    for now in [0, 1, 1 << 36, 1 << 63, u64::MAX - 1, u64::MAX].map(Instant::from_nanos) {
        let mut wheel = wheel_at(now);
        let forever = wheel.arm(now + Duration::MAX, 1).unwrap();
        let exactly = wheel.arm_exact(now + Duration::MAX, 2).unwrap();
        wheel.rearm(forever, now + Duration::MAX).unwrap();
        wheel.rearm(exactly, now + Duration::MAX).unwrap();
        assert_eq!(wheel.next_expiry(), Some(Instant::MAX));
        let almost = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(poll(&mut wheel, almost), if now == Instant::MAX { vec![1, 2] } else { vec![] });
        poll(&mut wheel, Instant::MAX);
        assert!(wheel.is_empty());
    }
}

/// rpc-perf #180: timers longer than a wheel's round fired a round early.
#[test]
fn long_timers_never_fire_early() {
    for days in [1_u64, 12, 25, 50, 366, 36_500, 200_000] {
        let mut wheel = wheel_at(Instant::from_secs(1));
        let deadline = wheel.now() + DAY * days;
        wheel.arm(deadline, 1).unwrap();
        // A loop that wakes often, at times that fit no level.
        let step = (deadline - wheel.now()) / 10_007;
        while wheel.now() + step < deadline {
            let next = wheel.now() + step;
            assert_eq!(poll(&mut wheel, next), []);
        }
        assert_eq!(poll(&mut wheel, deadline - Duration::from_nanos(1)), []);
        assert_eq!(poll(&mut wheel, deadline + (DAY * days) / 15), [1]);
    }
}

#[test]
fn lateness_stays_below_four_sixty_thirds_of_the_delay() {
    let mut worst = 0.0_f64;
    for shift in 0..60 {
        for part in 0..1_000_u64 {
            let delay = (1_u64 << shift) + ((1_u64 << shift) as f64 * part as f64 / 1_000.0) as u64;
            let mut wheel = wheel_at(Instant::from_nanos(part * 7_919));
            let deadline = wheel.now() + Duration::from_nanos(delay);
            wheel.arm(deadline, 1).unwrap();
            let late = (wheel.next_expiry().unwrap() - deadline).as_nanos();
            assert!(delay > 63 || late == 0);
            worst = worst.max(late as f64 / delay as f64);
        }
    }
    assert!(worst < 4.0 / 63.0 && worst > 0.05, "{worst}");
}

#[test]
fn exact_timers_are_exact() {
    let mut wheel = wheel_at(Instant::from_secs(9));
    let deadlines = [5, 63, 64, 1_000_003, 3_600_000_000_001, u64::MAX / 2]
        .map(|nanos| wheel.now() + Duration::from_nanos(nanos));
    for (payload, deadline) in deadlines.into_iter().enumerate() {
        wheel.arm_exact(deadline, payload as u32).unwrap();
    }
    for (payload, deadline) in deadlines.into_iter().enumerate() {
        assert_eq!(wheel.next_expiry(), Some(deadline));
        assert_eq!(poll(&mut wheel, deadline - Duration::from_nanos(1)), []);
        assert_eq!(poll(&mut wheel, deadline), [payload as u32]);
    }
}

#[test]
fn timers_of_one_tick_fire_in_the_order_they_were_armed() {
    let mut wheel = wheel_at(Instant::from_secs(5));
    let deadline = Instant::from_secs(65);
    let handles: Vec<_> = (0..100).map(|payload| wheel.arm(deadline, payload).unwrap()).collect();
    // A re-arm counts as an arm; a cancel leaves the others in order.
    wheel.rearm(handles[10], deadline).unwrap();
    wheel.cancel(handles[20]).unwrap();
    let order: Vec<_> = (0..100).filter(|&payload| payload != 10 && payload != 20).chain([10]).collect();
    assert_eq!(poll(&mut wheel, Instant::from_secs(70)), order);

    let deadline = Instant::from_secs(100);
    let handles: Vec<_> = (0..100).map(|payload| wheel.arm_exact(deadline, payload).unwrap()).collect();
    wheel.rearm(handles[10], deadline).unwrap();
    wheel.cancel(handles[20]).unwrap();
    assert_eq!(poll(&mut wheel, deadline), order);
}

/// Timers that were armed at different times stand on different levels; where they are due at the same nanosecond,
/// the one armed first is first all the same.
#[test]
fn timers_of_one_deadline_fire_in_order_across_levels() {
    for deadline in [256, 1 << 20, 1 << 40].map(Instant::from_nanos) {
        let mut wheel = wheel_at(Instant::ZERO);
        for payload in 0..50 {
            wheel.arm(deadline, payload).unwrap();
            let halfway = wheel.now() + (deadline - wheel.now()) / 2;
            assert_eq!(poll(&mut wheel, halfway), []);
        }
        assert_eq!(poll(&mut wheel, deadline), (0..50).collect::<Vec<_>>());
    }
}

/// Several levels come due in one poll: the order is that of the due times all the same.
#[test]
fn one_poll_over_many_buckets_fires_in_order_of_due_times() {
    let mut wheel = wheel_at(Instant::ZERO);
    for payload in 0..2_000_u32 {
        wheel
            .arm(
                Instant::from_nanos(u64::from(payload).wrapping_mul(7_919_777_777) % 50_000_000_000),
                payload,
            )
            .unwrap();
    }
    let mut due = Vec::new();
    while let Some(at) = wheel.next_expiry() {
        due.extend(poll(&mut wheel, at));
    }
    let mut jumped = wheel_at(Instant::ZERO);
    for payload in 0..2_000_u32 {
        jumped
            .arm(
                Instant::from_nanos(u64::from(payload).wrapping_mul(7_919_777_777) % 50_000_000_000),
                payload,
            )
            .unwrap();
    }
    assert_eq!(poll(&mut jumped, Instant::MAX), due);
}

#[test]
fn exact_and_coarse_timers_merge_by_deadline() {
    let mut wheel = wheel_at(Instant::ZERO);
    for payload in 0..20 {
        let deadline = Instant::from_nanos(10 + u64::from(payload));
        if payload % 3 == 0 { wheel.arm_exact(deadline, payload) } else { wheel.arm(deadline, payload) }
            .unwrap();
    }
    assert_eq!(poll(&mut wheel, Instant::from_nanos(100)), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_timer_may_be_armed_again_while_timers_expire() {
    let mut wheel = TimerWheel::<u32>::new(Instant::ZERO, TimerConfig { limit: 10, preallocate: true });
    for payload in 0..10 {
        wheel.arm(Instant::from_nanos(10), payload).unwrap();
    }
    let (now, mut rounds) = (Instant::from_nanos(10), 0);
    while let Some(expired) = wheel.pop_expired(now) {
        rounds += 1;
        // The wheel was full: the place of the fired timer is free already.
        let handle = wheel.arm(now + Duration::from_nanos(5), expired.payload).unwrap();
        assert_ne!(handle, expired.handle);
        assert_eq!(wheel.rearm(expired.handle, now), Err(TimerError::Stale));
    }
    assert_eq!((rounds, wheel.len()), (10, 10));
    assert_eq!(poll(&mut wheel, Instant::from_nanos(15)), (0..10).collect::<Vec<_>>());
}

#[test]
fn due_timers_may_be_cancelled_or_moved_while_timers_expire() {
    for exact in [false, true] {
        let mut wheel = wheel_at(Instant::ZERO);
        let now = Instant::from_nanos(10);
        let handles: Vec<TimerHandle> = (0..5)
            .map(|payload| {
                if exact { wheel.arm_exact(now, payload) } else { wheel.arm(now, payload) }.unwrap()
            })
            .collect();
        assert_eq!(wheel.pop_expired(now).unwrap().payload, 0);
        assert_eq!(wheel.cancel(handles[0]), None, "it fired");
        assert_eq!(wheel.cancel(handles[2]), Some(2));
        wheel.rearm(handles[3], Instant::from_nanos(20)).unwrap();
        wheel.rearm(handles[1], now).unwrap();
        assert_eq!(poll(&mut wheel, now), [4, 1]);
        assert_eq!(wheel.next_expiry(), Some(Instant::from_nanos(20)));
        assert_eq!(poll(&mut wheel, Instant::from_nanos(20)), [3]);
    }
}

/// A callback that arms for "now" again and again is bounded by the budget, and starves nobody.
#[test]
fn arming_for_now_while_timers_expire_is_bounded_by_the_budget() {
    let mut wheel = wheel_at(Instant::ZERO);
    let now = Instant::from_nanos(10);
    for payload in 0..3 {
        wheel.arm(now, payload).unwrap();
        wheel.arm_exact(now, payload + 10).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..60 {
        let expired = wheel.pop_expired(now).unwrap();
        seen.push(expired.payload);
        if expired.payload < 10 {
            wheel.arm(now, expired.payload)
        } else {
            wheel.arm_exact(now, expired.payload)
        }
        .unwrap();
    }
    assert!((0..3).all(|payload| seen.contains(&payload)), "{seen:?}");
    assert_eq!(wheel.len(), 6);
}

#[test]
fn a_jump_of_the_clock_does_bounded_work_and_loses_nothing() {
    let mut wheel = wheel_at(Instant::ZERO);
    for payload in 0..100_000 {
        wheel.arm(Instant::from_millis(u64::from(payload)), payload).unwrap();
    }
    let resumed = Instant::from_secs(86_400 * 365 * 100);
    let mut fired = Vec::new();
    for poll in 1..=100 {
        let progress = wheel.poll(resumed, 1_000, |payload, deadline| {
            assert!(deadline <= resumed);
            fired.push(payload);
        });
        assert_eq!((progress.fired, progress.more), (1_000, poll < 100));
        assert_eq!(wheel.next_expiry(), progress.more.then_some(resumed));
    }
    fired.sort_unstable();
    assert_eq!(fired, (0..100_000).collect::<Vec<_>>());
}

/// While a backlog waits, delays still count from the clock: a short timer is not rounded as if it were long.
#[test]
fn a_backlog_does_not_make_new_timers_late() {
    let mut wheel = wheel_at(Instant::ZERO);
    for payload in 0..100 {
        wheel.arm(Instant::from_secs(1), payload).unwrap();
    }
    let now = Instant::from_secs(100_000);
    let progress = wheel.poll(now, 1, |_, _| ());
    assert!(progress.more);
    let deadline = now + Duration::from_nanos(50);
    wheel.arm(deadline, 1_000).unwrap();
    while wheel.pop_expired(now).is_some() {}
    assert_eq!(wheel.next_expiry(), Some(deadline));
}

#[test]
fn a_clock_that_goes_back_is_clamped_and_counted() {
    let mut wheel = wheel_at(Instant::from_secs(10));
    wheel.arm(Instant::from_secs(11), 1).unwrap();
    assert_eq!(poll(&mut wheel, Instant::from_secs(5)), []);
    assert_eq!((wheel.now(), wheel.backward_steps()), (Instant::from_secs(10), 1));
    assert_eq!(poll(&mut wheel, Instant::from_secs(12)), [1]);
    wheel.arm(Instant::from_secs(3), 2).unwrap();
    assert_eq!(poll(&mut wheel, Instant::from_secs(4)), [2], "what has passed is due at once");
}

#[test]
fn the_next_expiry_is_exact_after_cancels_too() {
    let mut wheel = wheel_at(Instant::ZERO);
    let soon = wheel.arm(Instant::from_nanos(40), 1).unwrap();
    let later = wheel.arm_exact(Instant::from_secs(40), 2).unwrap();
    wheel.arm_exact(Instant::from_secs(80), 3).unwrap();
    wheel.cancel(soon).unwrap();
    assert_eq!(wheel.next_expiry(), Some(Instant::from_secs(40)));
    assert_eq!(poll(&mut wheel, Instant::from_nanos(40)), []);
    wheel.cancel(later).unwrap();
    assert_eq!(wheel.next_timeout(), Some(Duration::from_secs(80) - Duration::from_nanos(40)));
}

#[test]
fn the_limit_is_an_error_and_memory_is_reused() {
    let mut wheel = TimerWheel::<u32>::new(Instant::ZERO, TimerConfig { limit: 1_000, preallocate: true });
    let memory = wheel.memory();
    assert_eq!((wheel.reserve(1_000), wheel.memory()), (Ok(()), memory));
    assert_eq!(wheel.reserve(1_001), Err(TimerError::Full { limit: 1_000 }));
    let mut handles: Vec<_> = (0..1_000).map(|i| wheel.arm(Instant::from_secs(1), i).unwrap()).collect();
    for refused in [wheel.arm(Instant::ZERO, 0), wheel.arm_exact(Instant::ZERO, 0)] {
        assert_eq!(refused, Err(TimerError::Full { limit: 1_000 }));
    }
    for round in 0..100_000_u64 {
        let place = (round.wrapping_mul(7_919) % 1_000) as usize;
        assert!(wheel.cancel(handles[place]).is_some());
        let deadline = Instant::from_nanos(round << (round % 40));
        handles[place] =
            if round % 2 == 0 { wheel.arm(deadline, 7) } else { wheel.arm_exact(deadline, 7) }.unwrap();
    }
    assert_eq!((wheel.len(), wheel.limit(), wheel.memory()), (1_000, 1_000, memory));
}

#[test]
fn a_limit_beyond_all_memory_is_an_error() {
    let config = TimerConfig { limit: u32::MAX, preallocate: true };
    match TimerWheel::<[u64; 32]>::try_new(Instant::ZERO, config) {
        Err(error) => assert_eq!(error, TimerError::Memory { limit: TimerConfig::MOST }),
        Ok(wheel) => panic!("{} bytes", wheel.memory()),
    }
    let config = TimerConfig { limit: u32::MAX, preallocate: false };
    assert_eq!(TimerWheel::<u32>::new(Instant::ZERO, config).limit(), TimerConfig::MOST as usize);
}

#[test]
fn a_stale_handle_never_touches_the_timer_that_took_its_place() {
    let mut wheel = wheel_at(Instant::ZERO);
    let mut old = wheel.arm(Instant::from_secs(1), 0).unwrap();
    wheel.cancel(old).unwrap();
    for payload in 1..1_000 {
        let handle = wheel.arm(Instant::from_secs(1), payload).unwrap();
        assert_eq!(wheel.cancel(old), None);
        assert_eq!(wheel.rearm(old, Instant::ZERO), Err(TimerError::Stale));
        assert_eq!(wheel.get(old), None);
        assert_eq!(wheel.payload_mut(old), None);
        *wheel.payload_mut(handle).unwrap() += 1;
        assert_eq!(wheel.cancel(handle), Some(payload + 1));
        old = handle;
    }
}

proptest! {
    /// Wherever the clock stands, also beside a power of two, a tickless loop fires all timers in time.
    #[test]
    fn a_tickless_loop_fires_all_in_time(
        power in 0u32..64, offset in -2_000i64..2_000,
        delays in prop::collection::vec((0u64..64, any::<u64>(), any::<bool>()), 1..40),
    ) {
        let start = Instant::from_nanos((1u64 << power).saturating_add_signed(offset));
        let mut wheel = wheel_at(start);
        let mut deadlines = Vec::new();
        for (payload, &(shift, delay, exact)) in delays.iter().enumerate() {
            let deadline = start + Duration::from_nanos(delay >> shift);
            let handle = if exact { wheel.arm_exact(deadline, payload as u32) } else { wheel.arm(deadline, payload as u32) };
            prop_assert!(handle.is_ok());
            deadlines.push((deadline, exact));
        }
        let (mut wakes, mut fired) = (0, 0);
        while let Some(wake) = wheel.next_expiry() {
            wakes += 1;
            let before = fired;
            let progress = wheel.poll(wake, usize::MAX, |payload, deadline| {
                fired += 1;
                let (expected, exact) = deadlines[payload as usize];
                assert_eq!(deadline, expected);
                let late = u128::from((wake - deadline).as_nanos());
                let delay = u128::from((deadline - start).as_nanos());
                assert!(wake >= deadline && if exact { late == 0 } else { late == 0 || late * 63 < delay * 4 });
            });
            prop_assert!(!progress.more && fired > before);
        }
        prop_assert!(fired == delays.len() && wakes <= fired);
    }
}
