//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/builder.rs"]
mod builder;
#[path = "../../../fuzz/properties/dissector.rs"]
mod dissector;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn the_corpus_of_the_dissector_holds() {
    replay::replay("dissector", dissector::check);
}

#[test]
fn the_corpus_of_the_builder_holds() {
    replay::replay("builder", builder::check);
}
