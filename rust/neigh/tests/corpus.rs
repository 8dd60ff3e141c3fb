//! The corpus of the fuzzer, replayed; and random bytes.
#[path = "../../../fuzz/properties/neighbours.rs"]
mod neighbours;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

use proptest::prelude::*;

#[test]
fn the_corpus_of_neighbours_holds() {
    replay::replay("neighbours", neighbours::check);
}

proptest! {
    #[test]
    fn random_runs_hold(data in prop::collection::vec(any::<u8>(), 0..800)) {
        neighbours::check(&data);
    }
}
