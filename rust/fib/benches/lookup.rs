//! Time of a longest-prefix match, by number of routes, and of changes.
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use netfast_fib::{Family, Fib, NextHop, Prefix, Query, Route, RouteKey, RouteKind, TableId};
use std::hint::black_box;

const LOOKUPS: usize = 1 << 16;
const VECTOR: usize = 64;

/// Numbers that no cache foresees (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 29)
    }
}

/// Lengths about as in the Internet's tables: mostly /24 and /22, mostly /48, /32 and /44.
fn length(family: Family, number: u64) -> u8 {
    match (family, number % 10) {
        (Family::V4, 0..6) => 24,
        (Family::V4, 6..8) => 22,
        (Family::V4, _) => 16 + (number / 10 % 8) as u8,
        (Family::V6, 0..5) => 48,
        (Family::V6, 5..7) => 32,
        (Family::V6, 7..8) => 44,
        (Family::V6, _) => 29 + (number / 10 % 20) as u8,
    }
}

fn address(family: Family, numbers: &mut Numbers) -> u128 {
    match family {
        Family::V4 => u128::from(numbers.next() as u32),
        // 2000::/3, of which some thousand blocks of /16 and /20 are in use.
        Family::V6 => {
            let block = u128::from(0x2000 + (numbers.next() % 64) * 16 + numbers.next() % 2);
            block << 112 | u128::from(numbers.next()) << 48
        }
    }
}

fn routes(family: Family, count: usize) -> Vec<Route> {
    let mut numbers = Numbers(1);
    let route = |_| {
        let length = length(family, numbers.next());
        let prefix =
            Prefix::containing(family.address(address(family, &mut numbers)), length).expect("it is short");
        let hop = NextHop::port((numbers.next() % 200) as u32);
        Route::new(prefix, RouteKind::Unicast(vec![hop]))
    };
    (0..count).map(route).collect()
}

fn filled(routes: &[Route]) -> Fib {
    let mut fib = Fib::new(1);
    for route in routes {
        fib.replace_route(route.clone()).expect("the limits are wide");
    }
    fib
}

/// Destinations inside of random routes, in random order.
fn destinations(routes: &[Route], distinct: usize) -> Vec<u128> {
    let mut numbers = Numbers(2);
    let one = |_| {
        let prefix = routes[numbers.next() as usize % routes.len()].prefix;
        let host = prefix.last() ^ prefix.address();
        prefix.address() | (u128::from(numbers.next()) << 64 | u128::from(numbers.next())) & host
    };
    let some: Vec<_> = (0..distinct).map(one).collect();
    (0..LOOKUPS).map(|_| some[numbers.next() as usize % distinct]).collect()
}

fn lookups(c: &mut Criterion) {
    for family in [Family::V4, Family::V6] {
        for count in [1_000, 100_000] {
            let routes = routes(family, count);
            let fib = filled(&routes);
            let memory = fib.memory();
            println!(
                "{family}, {} routes: {} bytes a prefix, {} with all",
                fib.len(),
                memory.lookup / fib.len(),
                memory.total() / fib.len()
            );
            let mut group = c.benchmark_group(format!("{family}, {count} routes"));
            group.throughput(Throughput::Elements(LOOKUPS as u64));
            for (name, distinct) in [("random", LOOKUPS), ("repeated", 64)] {
                let addresses = destinations(&routes, distinct);
                group.bench_function(BenchmarkId::new("single", name), |b| {
                    b.iter(|| {
                        let found =
                            |address: &&u128| fib.lookup(TableId::MAIN, family.address(**address)).is_some();
                        black_box(&addresses).iter().filter(found).count()
                    });
                });
                let short: Vec<_> = addresses.iter().map(|address| *address as u32).collect();
                let mut found = [None; VECTOR];
                group.bench_function(BenchmarkId::new("batch", name), |b| {
                    b.iter(|| match family {
                        Family::V4 => short.chunks(VECTOR).for_each(|vector| {
                            fib.lookup4(TableId::MAIN, vector, &mut found).expect("same length");
                            black_box(&found);
                        }),
                        Family::V6 => addresses.chunks(VECTOR).for_each(|vector| {
                            fib.lookup6(TableId::MAIN, vector, &mut found).expect("same length");
                            black_box(&found);
                        }),
                    });
                });
                let query =
                    |address: &u128| Query { family, destination: *address, ..Query::to(family.address(0)) };
                let queries: Vec<_> = addresses.iter().map(query).collect();
                group.bench_function(BenchmarkId::new("resolve", name), |b| {
                    b.iter(|| queries.iter().filter(|query| fib.resolve(query).group().is_some()).count());
                });
                let mut resolutions = Vec::with_capacity(VECTOR);
                group.bench_function(BenchmarkId::new("resolve batch", name), |b| {
                    b.iter(|| {
                        for vector in queries.chunks(VECTOR) {
                            resolutions.clear();
                            fib.resolve_batch(vector, &mut resolutions);
                            black_box(&resolutions);
                        }
                    });
                });
            }
            group.finish();
        }
    }
}

fn changes(c: &mut Criterion) {
    for family in [Family::V4, Family::V6] {
        let routes = routes(family, 100_000);
        let fib = filled(&routes);
        let mut keys: Vec<RouteKey> = routes.iter().map(Route::key).collect();
        keys.sort_unstable();
        keys.dedup();
        let some: Vec<_> = keys.iter().step_by(keys.len() / 1000).copied().collect();
        let mut group = c.benchmark_group(format!("changes, {family}"));
        group.throughput(Throughput::Elements(2 * some.len() as u64));
        group.bench_function("remove and add", |b| {
            let mut fib = fib.clone();
            b.iter(|| {
                let removed: Vec<_> =
                    some.iter().map(|key| fib.remove_route(key).expect("it is there")).collect();
                for route in removed {
                    fib.add_route(route).expect("it was there");
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, lookups, changes);
criterion_main!(benches);
