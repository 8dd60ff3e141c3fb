//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/reader.rs"]
mod reader;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn the_corpus_of_the_reader_holds() {
    replay::replay("reader", reader::check);
}
