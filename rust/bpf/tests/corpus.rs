//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/filter.rs"]
mod filter;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn the_corpus_of_the_filter_holds() {
    replay::replay("filter", filter::check);
}
