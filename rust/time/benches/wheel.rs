//! Arm, cancel and re-arm at a million timers, in the order the timers were armed in and in random order, and what
//! a poll costs. Each line times a million operations: milliseconds read as nanoseconds an operation.
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netfast_time::{Duration, Instant, TimerConfig, TimerHandle, TimerWheel};

const TIMERS: u32 = 1_000_000;
const START: Instant = Instant::from_secs(1_000);

/// A sequence of numbers that is the same in each run (splitmix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn shuffled<T>(mut values: Vec<T>) -> Vec<T> {
    let mut state = 7;
    for last in (1..values.len()).rev() {
        values.swap(last, (random(&mut state) % (last as u64 + 1)) as usize);
    }
    values
}

/// Deadlines as a flow table has them: timeouts from one second to half an hour, spread evenly over the logarithm.
fn deadlines(seed: u64) -> Vec<Instant> {
    let mut state = seed;
    (0..TIMERS)
        .map(|_| {
            let nanos =
                (1_000_000_000_u64 << (random(&mut state) % 11)) | (random(&mut state) % 1_000_000_000);
            START + Duration::from_nanos(nanos)
        })
        .collect()
}

fn empty() -> TimerWheel<u32> {
    TimerWheel::new(START, TimerConfig { limit: 2 * TIMERS, preallocate: true })
}

/// A wheel with a million timers and their handles in arming order. The memory was used before, so that page faults
/// are not measured.
fn filled(deadlines: &[Instant]) -> (TimerWheel<u32>, Vec<TimerHandle>) {
    let mut wheel = empty();
    let handles = arm_all(&mut wheel, deadlines);
    (wheel, handles)
}

fn arm_all(wheel: &mut TimerWheel<u32>, deadlines: &[Instant]) -> Vec<TimerHandle> {
    deadlines
        .iter()
        .zip(0..)
        .map(|(&deadline, payload)| wheel.arm(deadline, payload).expect("below the limit"))
        .collect()
}

fn operations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(TIMERS))).sample_size(20);
    let (first, second) = (deadlines(1), deadlines(2));

    for order in ["sequential", "random"] {
        let ordered = |handles: Vec<TimerHandle>| if order == "random" { shuffled(handles) } else { handles };
        // Places were freed in this order: a table that has run for a while has them at random.
        group.bench_function(format!("arm/{order}"), |bench| {
            bench.iter_batched(
                || {
                    let (mut wheel, mut handles) = filled(&first);
                    for handle in ordered(handles.clone()).iter().rev() {
                        wheel.cancel(*handle);
                    }
                    handles.clear();
                    (wheel, handles)
                },
                |(mut wheel, mut handles)| {
                    for (payload, &deadline) in second.iter().enumerate() {
                        handles.push(wheel.arm(deadline, payload as u32).expect("below the limit"));
                    }
                    (wheel, handles)
                },
                BatchSize::PerIteration,
            );
        });

        group.bench_function(format!("cancel/{order}"), |bench| {
            bench.iter_batched(
                || {
                    let (wheel, handles) = filled(&first);
                    (wheel, ordered(handles))
                },
                |(mut wheel, handles)| {
                    for &handle in &handles {
                        black_box(wheel.cancel(handle));
                    }
                    (wheel, handles)
                },
                BatchSize::PerIteration,
            );
        });
        let (mut wheel, handles) = filled(&first);
        let handles = ordered(handles);
        group.bench_function(format!("rearm/{order}"), |bench| {
            bench.iter(|| {
                for (&handle, &deadline) in handles.iter().zip(&second) {
                    wheel.rearm(handle, deadline).expect("armed");
                }
            });
        });
        let (mut wheel, handles) = filled(&first);
        let mut handles = ordered(handles);
        group.bench_function(format!("cancel_and_arm/{order}"), |bench| {
            bench.iter(|| {
                for (handle, &deadline) in handles.iter_mut().zip(&second) {
                    let payload = wheel.cancel(*handle).expect("armed");
                    *handle = wheel.arm(deadline, payload).expect("a place is free");
                }
            });
        });
    }

    group.bench_function("expire", |bench| {
        bench.iter_batched(
            || filled(&first).0,
            |mut wheel| {
                let mut sum = 0_u64;
                let progress = wheel.poll(Instant::MAX, usize::MAX, |payload, _| sum += u64::from(payload));
                assert_eq!(progress.fired, TIMERS as usize);
                (wheel, sum)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn idle(criterion: &mut Criterion) {
    let (mut wheel, _) = filled(&deadlines(1));
    criterion.bench_function("poll/nothing_due", |bench| {
        let mut now = START;
        bench.iter(|| {
            now += Duration::from_nanos(1);
            now = if now > START + Duration::from_millis(900) { START } else { now };
            wheel.poll(now, 64, |_, _| ())
        });
    });
    criterion.bench_function("next_expiry", |bench| bench.iter(|| black_box(&wheel).next_expiry()));
}

criterion_group!(benches, operations, idle);
criterion_main!(benches);
