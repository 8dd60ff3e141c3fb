//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/segment.rs"]
mod segment;

#[test]
fn the_corpus_of_segmentation_holds() {
    replay::replay("segment", segment::check);
}
