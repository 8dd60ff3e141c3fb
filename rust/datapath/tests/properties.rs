//! Random commands and packets, and the fuzzer's corpus: the cache decides as the tables do.
#[path = "../../../fuzz/properties/datapath.rs"]
mod datapath;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

/// SplitMix64: the same bytes for the same seed, everywhere.
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// `NETFAST_SEEDS` says which other seeds are run (`FROM-TO`).
#[test]
fn random_runs_hold() {
    let seeds = std::env::var("NETFAST_SEEDS").ok();
    let range = seeds.as_deref().and_then(|text| text.split_once('-'));
    let (from, to) = range.map_or((0, 1_000), |(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
    let fails = |seed: &u64| {
        let data = random(*seed, 400 + (*seed as usize % 7) * 200);
        std::panic::catch_unwind(|| datapath::check(&data)).is_err()
    };
    let failed: Vec<_> = (from..to).filter(fails).take(10).collect();
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}

#[test]
fn the_corpus_of_the_datapath_holds() {
    replay::replay("datapath", datapath::check);
}
