//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/flows.rs"]
mod flows;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn the_corpus_of_the_flow_table_holds() {
    replay::replay("flows", flows::check);
}
