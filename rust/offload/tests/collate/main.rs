//! Receive collation: each rule, the order, the limits, and that splitting gives back the very frames.
mod captures;
mod limits;
#[path = "../../../../fuzz/properties/collate.rs"]
mod property;
#[path = "../../../../fuzz/properties/replay.rs"]
mod replay;
mod rules;

use netfast_buf::{PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig, CollatorCounters};
use netfast_time::Instant;
use property::frames::{self, batch, skbs};
use property::{conserved, split};
use proptest::prelude::*;

pub(crate) struct Run {
    out: Vec<Skb>,
    counters: CollatorCounters,
    copied: u64,
}

/// All frames in batches, then nothing is held.
pub(crate) fn run(config: CollatorConfig, frames: &[Vec<u8>], mark: impl Fn(usize, &mut Skb)) -> Run {
    let mut pool = PacketPool::default();
    let mut packets = skbs(frames, &mut pool);
    packets.iter_mut().enumerate().for_each(|(at, packet)| mark(at, packet));
    collate(config, packets)
}

pub(crate) fn collate(config: CollatorConfig, packets: Vec<Skb>) -> Run {
    let mut collator = Collator::new(config, 7, PacketPool::default()).expect("the settings are right");
    let mut out = Vec::new();
    let mut packets = packets.into_iter().peekable();
    while packets.peek().is_some() {
        let mut batch = batch(packets.by_ref().take(256).collect());
        collator.handle_batch(Instant::ZERO, &mut batch, &mut out);
        assert!(batch.is_empty());
        conserved(&collator, &out);
    }
    collator.flush(&mut out);
    conserved(&collator, &out);
    assert_eq!((collator.held(), collator.held_bytes()), (0, 0));
    Run { counters: *collator.counters(), copied: collator.pool().copies.bytes, out }
}

proptest! {
    #[test]
    fn frames_of_any_kind_come_back(data in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        property::check(&data);
    }
}

#[test]
fn the_corpus_comes_back() {
    replay::replay("collate", property::check);
}
