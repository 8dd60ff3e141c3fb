//! The corpus of the fuzzer, replayed; and other inputs, the same each time.
#[path = "../../../fuzz/properties/frag.rs"]
mod frag;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

use proptest::prelude::*;

#[test]
fn the_corpus_of_fragments_holds() {
    replay::replay("frag", frag::check);
}

proptest! {
    #[test]
    fn any_bytes_hold(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        frag::check(&data);
    }

    #[test]
    fn any_mixture_of_few_datagrams_holds(
        setup: [u8; 2],
        operations in proptest::collection::vec((any::<u8>(), 0u8..6, any::<u8>(), any::<[u8; 2]>()), 0..300),
    ) {
        let mut data = setup.to_vec();
        for (operation, number, piece, mutation) in operations {
            data.extend([operation, number * 37, piece]);
            if matches!(operation & 7, 2 | 3) {
                data.extend(mutation);
            }
        }
        frag::check(&data);
    }
}
