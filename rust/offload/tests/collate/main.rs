//! Receive collation: each rule, the order, the limits, and that splitting gives back the very frames.
mod frames;
mod rules;

use netfast_buf::{ChecksumState, GsoType, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig, CollatorCounters};
use netfast_offload::segment::{SegmentConfig, Segmenter};
use netfast_time::Instant;
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, checksum, dissect, dissect_innermost};

pub(crate) struct Run {
    out: Vec<Skb>,
    counters: CollatorCounters,
    copied: u64,
}

/// All frames in batches, then nothing is held.
pub(crate) fn run(config: CollatorConfig, frames: &[Vec<u8>], mark: impl Fn(usize, &mut Skb)) -> Run {
    let mut pool = PacketPool::default();
    let mut packets = frames::skbs(frames, &mut pool);
    packets.iter_mut().enumerate().for_each(|(at, packet)| mark(at, packet));
    collate(config, packets)
}

pub(crate) fn collate(config: CollatorConfig, packets: Vec<Skb>) -> Run {
    let mut collator = Collator::new(config, 7, PacketPool::default()).expect("the settings are right");
    let mut out = Vec::new();
    let mut packets = packets.into_iter().peekable();
    while packets.peek().is_some() {
        let mut batch = frames::batch(packets.by_ref().take(256).collect());
        collator.handle_batch(Instant::ZERO, &mut batch, &mut out);
        assert!(batch.is_empty());
        conserved(&collator, &out);
    }
    collator.flush(&mut out);
    conserved(&collator, &out);
    assert_eq!((collator.held(), collator.held_bytes()), (0, 0));
    Run { counters: *collator.counters(), copied: collator.pool().copies.bytes, out }
}

/// What came is what went, what was merged, and what is held.
pub(crate) fn conserved(collator: &Collator, out: &[Skb]) {
    let counters = collator.counters();
    let reasons: u64 = counters.not_merged.iter().sum();
    let ended: u64 = counters.ended.iter().sum();
    assert_eq!(counters.packets, counters.merged + reasons);
    assert_eq!(counters.packets, counters.merged + counters.out + collator.held() as u64);
    assert_eq!(counters.out, out.len() as u64);
    assert!(ended <= counters.out);
    let stand_for: u64 = out.iter().map(|packet| u64::from(packet.hot.gso_segments)).sum();
    assert_eq!(counters.super_segments, stand_for);
}

/// The frames that packets stand for; each super-packet is looked at, too.
pub(crate) fn split(out: Vec<Skb>, link: LinkType) -> Vec<Vec<u8>> {
    let mut pool = PacketPool::default();
    let mut segmenter = Segmenter::new(SegmentConfig { link, ..SegmentConfig::default() });
    let mut split = Vec::new();
    for packet in out {
        if packet.hot.gso_size != 0 {
            is_right(&packet, link);
        }
        let is_partial = packet.hot.checksum == ChecksumState::Partial;
        assert!(packet.hot.gso_size == 0 || !is_partial, "such packets have their own test");
        segmenter.segment(packet, &mut pool, &mut split).map_err(|refused| refused.error).expect("it is cut");
    }
    split.iter().map(Skb::to_vec).collect()
}

/// A super-packet is a packet like others: lengths and checksums are those of the whole.
fn is_right(packet: &Skb, link: LinkType) {
    assert_ne!(packet.hot.gso_type, GsoType::None);
    assert!(packet.hot.gso_segments > 1 && packet.header_length() > 0);
    assert!(packet.segments().len() <= 64);
    let bytes = packet.to_vec();
    let frame = Frame::whole(&bytes, link);
    let (mut outer, mut inner) = (Layers::default(), Layers::default());
    dissect(&frame, &Limits::default(), &mut outer, &mut ());
    dissect_innermost(&frame, &Limits::default(), &mut inner, &mut ());
    for layers in [&outer, &inner] {
        assert_eq!(layers.end as usize, bytes.len(), "{layers:?}");
        let good = [Checksum::Good, Checksum::Absent, Checksum::None];
        assert!(good.contains(&checksum::verify_l3(&frame, layers)), "{layers:?}");
        assert!(good.contains(&checksum::verify_l4(&frame, layers)), "{layers:?}");
    }
    let says = if packet.hot.inner.l4().is_some() { packet.hot.inner } else { packet.hot.outer };
    assert_eq!((says.l3(), says.l4()), (Some(inner.l3_offset), Some(inner.l4_offset)));
    assert_eq!(packet.hot.outer.l3(), Some(outer.l3_offset));
    assert_eq!(packet.header_length(), inner.end - inner.payload_len);
}
