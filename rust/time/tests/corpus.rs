//! The corpus of the fuzzer, replayed.
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/timer.rs"]
mod timer;

#[test]
fn the_corpus_of_the_timer_holds() {
    replay::replay("timer", timer::check);
}
