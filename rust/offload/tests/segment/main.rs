//! What segmentation makes of super-packets is what a sender would have made of the same payload.
mod recipe;

use netfast_buf::{Block, ChecksumState, GsoFlags, GsoType, PacketPool, Skb};
use netfast_offload::segment::{Checksums, SegmentConfig, SegmentError, Segmenter, finish_checksum};
use netfast_wire::LinkType;
use proptest::prelude::*;
use recipe::{Recipe, Tunnel};

fn link(recipe: &Recipe) -> LinkType {
    if recipe.ethernet { LinkType::ETHERNET } else { LinkType::RAW }
}

fn config(recipe: &Recipe, checksums: Checksums) -> SegmentConfig {
    SegmentConfig { link: link(recipe), checksums, ..SegmentConfig::default() }
}

/// The super-packet in pieces of these lengths, over and over; in one when there are none.
fn super_packet(recipe: &Recipe, size: u16, pieces: &[u16], pool: &mut PacketPool) -> Skb {
    let bytes = recipe.whole();
    let mut packet = Skb::new();
    let (mut at, mut lengths) = (0, pieces.iter().cycle());
    while at < bytes.len() {
        let end = bytes.len().min(at + lengths.next().map_or(bytes.len(), |&length| usize::from(length)));
        // Now of memory that may be written, now of memory that may not.
        let mut piece = if at % 2 == 0 {
            Skb::from_slice(&bytes[at..end], pool).expect("short")
        } else {
            Skb::from_block(Block::from(bytes[at..end].to_vec()), 0, end - at).expect("its own length")
        };
        packet.append(&mut piece, pool).expect("short");
        at = end;
    }
    mark(&mut packet, recipe, size);
    packet
}

fn mark(packet: &mut Skb, recipe: &Recipe, size: u16) {
    packet.hot.gso_size = size;
    packet.hot.gso_type = match (recipe.tcp, recipe.v6) {
        (false, _) => GsoType::Udp,
        (true, false) => GsoType::Tcp4,
        (true, true) => GsoType::Tcp6,
    };
    let mut flags = GsoFlags::default();
    for (on, flag) in [
        (recipe.outer_fixed, GsoFlags::FIXED_ID),
        (recipe.fixed, GsoFlags::INNER_FIXED_ID),
        (recipe.tunnelled(), GsoFlags::TUNNEL),
    ] {
        flags = if on { flags.with(flag) } else { flags };
    }
    packet.hot.gso_flags = flags;
    packet.hot.checksum = ChecksumState::Good;
}

proptest! {
    #[test]
    fn segments_are_what_a_sender_makes(
        recipe in Recipe::any(0..6_000),
        size in 1..1_500u16,
        pieces in proptest::collection::vec(1..3_000u16, 0..5),
    ) {
        let size = size.max((recipe.payload.len() / 500) as u16 + 1);
        let mut pool = PacketPool::default();
        let expected = recipe.train(usize::from(size));
        for checksums in [Checksums::Full, Checksums::Partial] {
            let packet = super_packet(&recipe, size, &pieces, &mut pool);
            let mut segmenter = Segmenter::new(config(&recipe, checksums));
            let mut out = vec![];
            let count = segmenter.segment(packet, &mut pool, &mut out).expect("a right one");
            prop_assert_eq!(count, out.len());
            let zero = !recipe.tcp && !recipe.checksum;
            for (segment, expected) in out.iter_mut().zip(&expected) {
                if checksums == Checksums::Partial && !zero {
                    prop_assert_eq!(segment.hot.checksum, ChecksumState::Partial);
                    finish_checksum(segment, link(&recipe), &mut pool).expect("as it was made");
                }
                prop_assert_eq!(segment.hot.checksum, ChecksumState::Good);
                prop_assert_eq!(&segment.to_vec(), expected);
                prop_assert_eq!((segment.hot.gso_size, segment.hot.gso_type), (0, GsoType::None));
                let l4 = if recipe.tunnelled() { segment.hot.inner.l4() } else { segment.hot.outer.l4() };
                let ports = l4.expect("known") as usize;
                prop_assert_eq!(&segment.head()[ports..ports + 2], &[0x9c, 0x40]);
            }
            prop_assert_eq!(out.len(), expected.len());
            let counters = segmenter.counters();
            prop_assert_eq!(counters.segments, expected.len() as u64);
            prop_assert_eq!(counters.payload_bytes, recipe.payload.len() as u64);
        }
    }
}

fn plain() -> Recipe {
    Recipe {
        ethernet: true,
        tags: 0,
        tunnel: Tunnel::None,
        outer_v6: false,
        outer_id: 0,
        outer_fixed: false,
        v6: false,
        id: 65_534,
        fixed: false,
        extra: 0,
        tcp: true,
        options: 12,
        flags: 0x099,
        sequence: u32::MAX - 100,
        checksum: true,
        payload: (0..4_000u32).map(|at| at as u8).collect(),
    }
}

#[test]
fn payload_is_shared_and_not_copied() {
    let (recipe, mut pool) = (plain(), PacketPool::default());
    let packet = super_packet(&recipe, 1_000, &[], &mut pool);
    let (before, at) = (pool.copies.bytes, packet.head()[66..].as_ptr());
    let mut out = vec![];
    Segmenter::default().segment(packet, &mut pool, &mut out).expect("a right one");
    assert!(pool.copies.bytes - before <= 66, "only the first segment's headers are copied");
    for (index, segment) in out.iter().enumerate() {
        let payload = segment.segments().nth(1).expect("behind the headers").as_ptr();
        assert_eq!(payload as usize - at as usize, index * 1_000);
    }
}

fn refused(packet: Skb, config: SegmentConfig) -> SegmentError {
    let (bytes, hot) = (packet.to_vec(), packet.hot);
    let (mut pool, mut out) = (PacketPool::default(), vec![]);
    let mut segmenter = Segmenter::new(config);
    let refused = segmenter.segment(packet, &mut pool, &mut out).expect_err("cannot be cut");
    assert!(out.is_empty());
    assert_eq!((refused.packet.to_vec(), refused.packet.hot), (bytes, hot), "nothing is lost");
    assert_eq!(segmenter.counters().refused[refused.error.index()], 1);
    assert!(!refused.to_string().is_empty());
    refused.error
}

/// A super-packet of the recipe, changed, and refused with this reason.
fn refuse(recipe: &Recipe, change: impl Fn(&mut Skb)) -> SegmentError {
    let mut pool = PacketPool::default();
    let mut packet = super_packet(recipe, 1_000, &[], &mut pool);
    change(&mut packet);
    refused(packet, config(recipe, Checksums::Full))
}

fn poke(packet: &mut Skb, at: usize, value: u8) {
    let mut pool = PacketPool::default();
    let length = packet.len();
    packet.head_mut(length, &mut pool).expect("all of it")[at] = value;
}

#[test]
fn what_cannot_be_cut_is_given_back_with_the_reason() {
    use SegmentError as E;
    let recipe = plain();
    assert_eq!(refuse(&recipe, |packet| packet.hot.gso_size = 0), E::NoSize { kind: GsoType::Tcp4 });
    assert_eq!(refuse(&recipe, |packet| packet.hot.gso_type = GsoType::None), E::NoType { size: 1_000 });
    assert_eq!(
        refuse(&recipe, |packet| packet.hot.gso_type = GsoType::Tcp6),
        E::Contradicts { kind: GsoType::Tcp6, version: 4, protocol: 6 }
    );
    assert_eq!(
        refuse(&recipe, |packet| packet.hot.gso_type = GsoType::Udp),
        E::Contradicts { kind: GsoType::Udp, version: 4, protocol: 6 }
    );
    assert_eq!(refuse(&recipe, |packet| packet.hot.checksum = ChecksumState::Bad), E::BadChecksum);
    // More fragments.
    assert_eq!(refuse(&recipe, |packet| poke(packet, 20, 0x20)), E::Fragment);
    for flag in [0x02, 0x04, 0x20] {
        let flags = 0x10 | flag;
        assert_eq!(
            refuse(&recipe, |packet| poke(packet, 47, flags)),
            E::TcpFlags { flags: u16::from(flags) }
        );
    }
    assert!(matches!(refuse(&recipe, |packet| poke(packet, 14, 0x4f)), E::Headers { .. }));
    assert!(matches!(refuse(&recipe, |packet| poke(packet, 46, 0x40)), E::Headers { .. }));
    assert!(matches!(refuse(&recipe, |packet| packet.trim(60)), E::Headers { .. }));
    assert!(matches!(refuse(&recipe, |packet| poke(packet, 17, 0)), E::Length { .. }));
    assert_eq!(
        refuse(&recipe, |packet| packet.hot.gso_size = 1),
        E::TooManySegments { segments: 4_000, limit: 2_048 }
    );
}
