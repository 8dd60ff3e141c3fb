//! What collation made one is cut into the very frames, in whatever pieces and tunnels.
use netfast_buf::{ChecksumState, PacketBatch, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig};
use netfast_offload::segment::{Checksums, Segmenter, finish_checksum};
use netfast_time::Instant;
use proptest::prelude::*;

use crate::recipe::Recipe;
use crate::{config, link};

proptest! {
    #[test]
    fn merged_then_cut_is_the_same(
        recipes in proptest::collection::vec((Recipe::any(0..9_000), 100..1_500usize), 1..4),
        good: bool,
        partial: bool,
    ) {
        // One flow after the other, since they may have the same addresses.
        let mut pool = PacketPool::default();
        for (recipe, size) in recipes {
            let collating = CollatorConfig { link: link(&recipe), ..CollatorConfig::default() };
            let mut collator = Collator::new(collating, 1, PacketPool::default()).expect("right settings");
            let frames = recipe.train(size);
            let mut batch = PacketBatch::new();
            for frame in &frames {
                let packet = batch.push_slice(frame, &mut pool).expect("fewer than 256");
                packet.hot.checksum = if good { ChecksumState::Good } else { ChecksumState::Unchecked };
            }
            let mut merged = vec![];
            collator.handle_batch(Instant::ZERO, &mut batch, &mut merged);
            collator.flush(&mut merged);
            let checksums = if partial { Checksums::Partial } else { Checksums::Full };
            let mut segmenter = Segmenter::new(config(&recipe, checksums));
            let mut out: Vec<Skb> = vec![];
            for packet in merged {
                segmenter.segment(packet, &mut pool, &mut out).expect("what was merged can be cut");
            }
            for segment in &mut out {
                finish_checksum(segment, link(&recipe), &mut pool).expect("as it was made");
            }
            prop_assert!(out.iter().map(Skb::to_vec).eq(frames));
            let merged = collator.counters().merged;
            prop_assert_eq!(segmenter.counters().segments - segmenter.counters().super_packets, merged);
        }
    }
}
