//! Which memory a table of connections takes, as the system counts it. One test, since all of a process count together.
#![cfg(target_os = "linux")]
use netfast_flow::FlowKey;
use netfast_flow::cache::{CacheConfig, FlowCache};

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn memory_comes_with_connections() {
    const MOST: u32 = 1 << 20;
    /// A large page at the front of each table, and as many for what the test itself needs: a quarter of the lines.
    const LITTLE: u64 = 6 * 2_048;
    // Also where others have been before: memory that comes again has to be cleared.
    let before = resident();
    for _ in 0..4 {
        let cache = FlowCache::<[u64; 8]>::new(CacheConfig { max_connections: MOST / 4, seed: 1 }).unwrap();
        let after = resident();
        assert!(after - before < LITTLE, "an empty table after others: {} KiB", after - before);
        drop(cache);
    }
    let before = resident();
    let mut cache = FlowCache::<[u64; 8]>::new(CacheConfig { max_connections: MOST, seed: 1 }).unwrap();
    let after = resident();
    assert!(after - before < LITTLE, "an empty table: {} KiB", after - before);
    let key = |number: u32| FlowKey::in_context(0, false, 17, ([0, 1], 1), ([0, u64::from(number)], 2));
    // No power of two, so that the index does not grow with the last one.
    let count = MOST * 3 / 4;
    for number in 0..count {
        cache.insert(key(number), None, None, 0).unwrap();
    }
    let (before, grown) = (resident(), cache.counts().grown);
    let at = cache.insert(key(count), None, Some([1; 8]), 0).unwrap();
    let after = resident();
    assert_eq!((cache.transport(at), cache.counts().grown), (Some(&[1; 8]), grown));
    assert!(after - before < LITTLE, "the first line behind {count} connections: {} KiB", after - before);
}
