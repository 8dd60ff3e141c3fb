//! What segmentation makes of super-packets is what a sender would have made of the same payload.
mod recipe;
mod refusals;
mod trains;

use netfast_buf::{Block, ChecksumState, GsoFlags, GsoType, Offsets, PacketPool, Skb};
use netfast_offload::segment::{Checksums, SegmentConfig, Segmenter, finish_checksum, leave_checksum};
use netfast_wire::LinkType;
use proptest::prelude::*;
use recipe::{Recipe, Tunnel};

pub(crate) fn link(recipe: &Recipe) -> LinkType {
    if recipe.ethernet { LinkType::ETHERNET } else { LinkType::RAW }
}

pub(crate) fn config(recipe: &Recipe, checksums: Checksums) -> SegmentConfig {
    SegmentConfig { link: link(recipe), checksums, ..SegmentConfig::default() }
}

/// The super-packet in pieces of these lengths, over and over; in one when there are none.
pub(crate) fn super_packet(recipe: &Recipe, size: u16, pieces: &[u16], pool: &mut PacketPool) -> Skb {
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

pub(crate) fn plain() -> Recipe {
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

/// All of the segments, as bytes.
pub(crate) fn cut(packet: Skb, config: SegmentConfig) -> Vec<Vec<u8>> {
    let mut out = vec![];
    Segmenter::new(config).segment(packet, &mut PacketPool::default(), &mut out).expect("a right one");
    out.iter().map(Skb::to_vec).collect()
}

#[test]
fn a_packet_that_stands_for_itself_is_handed_on() {
    let mut pool = PacketPool::default();
    let mut segmenter = Segmenter::default();
    let mut out = vec![Skb::new()];
    let packet = Skb::from_slice(&[1, 2, 3], &mut pool).expect("short");
    assert_eq!(segmenter.segment(packet, &mut pool, &mut out).expect("it is no super-packet"), 1);
    assert_eq!((out.len(), out[1].to_vec()), (2, vec![1, 2, 3]));
    assert_eq!((segmenter.counters().passed, segmenter.counters().super_packets), (1, 0));
}

#[test]
fn marks_of_the_super_packet_are_those_of_its_segments() {
    let (recipe, mut pool) = (plain(), PacketPool::default());
    let mut packet = super_packet(&recipe, 1_000, &[], &mut pool);
    (packet.hot.in_port, packet.hot.flow) = (3, 7);
    packet.hot.timestamp = netfast_time::Instant::from_nanos(9);
    let mut out = vec![];
    Segmenter::default().segment(packet, &mut pool, &mut out).expect("a right one");
    for segment in &out {
        let hot = &segment.hot;
        assert_eq!((hot.in_port, hot.flow, hot.timestamp.as_nanos()), (3, 7, 9));
        assert_eq!((hot.outer.l2(), hot.outer.l3(), hot.outer.l4()), (Some(0), Some(14), Some(34)));
        assert_eq!((segment.header_length(), hot.gso_segments, hot.gso_flags), (66, 0, GsoFlags::default()));
    }
}

#[test]
fn memory_is_used_again() {
    let (recipe, mut pool, mut out) = (plain(), PacketPool::default(), vec![]);
    let mut segmenter = Segmenter::default();
    for round in 0..3 {
        let block = Block::from(recipe.whole());
        let length = recipe.whole().len();
        let mut packet = Skb::from_block(block, 0, length).expect("its own length");
        (packet.hot.gso_size, packet.hot.gso_type) = (500, GsoType::Tcp4);
        segmenter.segment(packet, &mut pool, &mut out).expect("a right one");
        // Headers of all segments come from the pool, and go back there.
        assert_eq!((out.len(), pool.waiting()), (8, 0), "round {round}");
        pool.recycle_all(&mut out);
        assert_eq!(pool.waiting(), 8);
    }
}

#[test]
fn a_tunnel_at_another_port_is_found_by_the_marks() {
    for checksum in [false, true] {
        let recipe = Recipe { tunnel: Tunnel::Vxlan { checksum }, ..plain() };
        let mut pool = PacketPool::default();
        let mut packet = super_packet(&recipe, 1_000, &[], &mut pool);
        // Port 4789 becomes 4788, which is nobody's.
        let at = 14 + 20 + 3;
        packet.head_mut(60, &mut pool).expect("all of it")[at] -= 1;
        packet.hot.outer = Offsets::new(Some(0), Some(14), Some(34));
        packet.hot.inner = Offsets::new(Some(50), Some(64), Some(84));
        let segments = cut(packet, config(&recipe, Checksums::Full));
        let mut expected = recipe.train(1_000);
        for bytes in &mut expected {
            bytes[at] -= 1;
            if checksum {
                let sum = u16::from_be_bytes([bytes[40], bytes[41]]);
                let sum = netfast_wire::checksum::update(sum, 4_789, 4_788);
                bytes[40..42].copy_from_slice(&sum.to_be_bytes());
            }
        }
        assert_eq!(segments, expected);
    }
}

#[test]
fn tcp_in_a_tunnel_is_found_without_marks() {
    let recipe = Recipe { tunnel: Tunnel::Ip, ..plain() };
    let mut packet = super_packet(&recipe, 1_000, &[], &mut PacketPool::default());
    packet.hot.gso_flags = GsoFlags::default();
    assert_eq!(cut(packet, config(&recipe, Checksums::Full)), recipe.train(1_000));
}

/// Whoever sends VXLAN from user space cuts its datagrams, and not what is in them.
#[test]
fn datagrams_of_a_tunnel_are_cut_where_nobody_marked_a_tunnel() {
    let inner = Recipe { tunnel: Tunnel::Vxlan { checksum: true }, payload: vec![7; 100], ..plain() };
    let frame = inner.whole();
    let datagrams: Vec<u8> = (0..3).flat_map(|_| frame[42..].to_vec()).collect();
    let recipe = Recipe { tcp: false, payload: datagrams, ..plain() };
    let mut packet = super_packet(&recipe, (frame.len() - 42) as u16, &[], &mut PacketPool::default());
    packet.head_mut(42, &mut PacketPool::default()).expect("all of it")[36..38]
        .copy_from_slice(&4_789u16.to_be_bytes());
    let segments = cut(packet, config(&recipe, Checksums::Full));
    assert_eq!(segments.len(), 3);
    assert!(segments.iter().all(|segment| segment[42..] == frame[42..]));
}

/// A host's own super-packet may be longer than an IP packet: its length is zero then.
#[test]
fn super_packets_beyond_64_kib_are_cut() {
    for v6 in [false, true] {
        let payload: Vec<u8> = (0..200_000u32).map(|at| (at / 7) as u8).collect();
        let recipe = Recipe { v6, payload: payload.clone(), ..plain() };
        let small = Recipe { payload: payload[..1_400].to_vec(), ..recipe.clone() };
        let mut bytes = small.whole();
        let length = if v6 { 18..20 } else { 16..18 };
        bytes[length].fill(0);
        bytes.extend(&payload[1_400..]);
        let mut packet = Skb::from_slice(&bytes, &mut PacketPool::default()).expect("short");
        packet.hot.gso_size = 1_400;
        packet.hot.gso_type = if v6 { GsoType::Tcp6 } else { GsoType::Tcp4 };
        assert_eq!(cut(packet, config(&recipe, Checksums::Full)), recipe.train(1_400));
    }
}

#[test]
fn checksums_are_left_and_filled_in() {
    for tcp in [false, true] {
        for tunnel in [Tunnel::None, Tunnel::Vxlan { checksum: true }] {
            let recipe = Recipe { tcp, tunnel, ..plain() };
            let (mut pool, link) = (PacketPool::default(), link(&recipe));
            let mut padded = recipe.whole();
            padded.extend([0xff; 5]);
            let mut packet = Skb::from_slice(&padded, &mut pool).expect("short");
            packet.hot.inner = Offsets::new(None, None, recipe.tunnelled().then_some(84));
            finish_checksum(&mut packet, link, &mut pool).expect("nothing to do");
            assert_eq!(packet.hot.checksum, ChecksumState::Unchecked);
            leave_checksum(&mut packet, link, &mut pool).expect("TCP or UDP");
            assert_eq!(packet.hot.checksum, ChecksumState::Partial);
            assert_ne!(packet.to_vec(), padded);
            leave_checksum(&mut packet, link, &mut pool).expect("nothing to do");
            finish_checksum(&mut packet, link, &mut pool).expect("as it was left");
            assert_eq!((packet.to_vec(), packet.hot.checksum), (padded, ChecksumState::Good));
        }
    }
}

/// A checksum that comes out as zero is sent as its complement in UDP, and as it is in TCP (RFC 768, RFC 9293 3.1).
#[test]
fn a_checksum_of_zero_is_told_from_none() {
    for tcp in [false, true] {
        let mut recipe = Recipe { tcp, payload: vec![0; 2_000], ..plain() };
        let field = if tcp { 50 } else { 40 };
        // What is missing to a sum of 0xffff in the first segment goes into its last word.
        let first = recipe.train(1_000).swap_remove(0);
        let sum = u16::from_be_bytes([first[field], first[field + 1]]);
        recipe.payload[998..1_000].copy_from_slice(&sum.to_be_bytes());
        let expected = recipe.train(1_000);
        assert_eq!(expected[0][field..field + 2], if tcp { [0, 0] } else { [0xff, 0xff] });
        let packet = super_packet(&recipe, 1_000, &[], &mut PacketPool::default());
        assert_eq!(cut(packet, config(&recipe, Checksums::Full)), expected);
    }
}
