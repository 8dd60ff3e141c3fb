//! Headers of virtio 1.2 and 1.3, section 5.1.6, and of TUN: vectors, hostile values, and the way there and back.
#[path = "segment/recipe.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod recipe;

use netfast_buf::{ChecksumState, GsoFlags, GsoType, PacketPool, Skb};
use netfast_offload::features::VirtioFeatures;
use netfast_offload::segment::{SegmentConfig, SegmentError, Segmenter, finish_checksum};
use netfast_offload::virtio::{
    ByteOrder, HeaderForm, Peer, VirtioCodec, VirtioConfig, VirtioError, VirtioHeader,
};
use netfast_wire::LinkType;
use proptest::prelude::*;
use recipe::{Recipe, Tunnel};

fn plain() -> Recipe {
    Recipe {
        ethernet: true,
        tags: 0,
        tunnel: Tunnel::None,
        outer_v6: false,
        outer_id: 0,
        outer_fixed: false,
        v6: false,
        id: 9,
        fixed: false,
        extra: 0,
        tcp: true,
        options: 0,
        flags: 0x018,
        sequence: 1,
        checksum: true,
        payload: (0..3_000u32).map(|at| at as u8).collect(),
    }
}

/// 5.1.6.2: "a 14 byte ethernet header and 20 byte IP header followed by the TCP header": csum_start is 34, csum_offset 16.
const SUPER: VirtioHeader = VirtioHeader {
    flags: VirtioHeader::NEEDS_CSUM,
    gso_type: VirtioHeader::GSO_TCPV4,
    hdr_len: 54,
    gso_size: 1_448,
    csum_start: 34,
    csum_offset: 16,
    num_buffers: 1,
};

fn codec(peer: Peer) -> VirtioCodec {
    VirtioCodec::new(VirtioConfig { peer, ..VirtioConfig::default() })
}

fn packet(recipe: &Recipe) -> Skb {
    Skb::from_slice(&recipe.whole(), &mut PacketPool::default()).expect("short")
}

/// The packet behind the header.
fn framed(header: &VirtioHeader, bytes: &[u8], form: HeaderForm, order: ByteOrder) -> Skb {
    let mut all = vec![0; form.bytes()];
    header.emit(&mut all, form, order).expect("long enough");
    all.extend(bytes);
    Skb::from_slice(&all, &mut PacketPool::default()).expect("short")
}

#[test]
fn fields_stand_where_the_specification_has_them() {
    let header = VirtioHeader {
        flags: 1,
        gso_type: 0x81,
        hdr_len: 0x0102,
        gso_size: 0x0304,
        csum_start: 0x0506,
        csum_offset: 0x0708,
        num_buffers: 0x090a,
    };
    let little = [1, 0x81, 2, 1, 4, 3, 6, 5, 8, 7, 0x0a, 9];
    let big = [1, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a];
    let native = if cfg!(target_endian = "big") { big } else { little };
    for (order, expected) in [(ByteOrder::Little, little), (ByteOrder::Big, big), (ByteOrder::Native, native)]
    {
        let mut bytes = [0xff; 12];
        assert_eq!(header.emit(&mut bytes, HeaderForm::Long, order), Ok(12));
        assert_eq!(bytes, expected);
        assert_eq!(VirtioHeader::parse(&bytes, HeaderForm::Long, order), Ok(header));
        let short = VirtioHeader { num_buffers: 0, ..header };
        assert_eq!(VirtioHeader::parse(&bytes, HeaderForm::Short, order), Ok(short));
        let mut bytes = [0xff; 12];
        assert_eq!(header.emit(&mut bytes, HeaderForm::Short, order), Ok(10));
        assert_eq!((&bytes[..10], &bytes[10..]), (&expected[..10], &[0xff; 2][..]));
    }
    let short = VirtioError::TooShort { need: 12, have: 11 };
    assert_eq!(VirtioHeader::parse(&[0; 11], HeaderForm::Long, ByteOrder::Big), Err(short));
    assert_eq!(header.emit(&mut [0; 11], HeaderForm::Long, ByteOrder::Big), Err(short));
}

#[test]
fn a_super_packet_gets_its_marks() {
    let (recipe, mut pool) = (plain(), PacketPool::default());
    let mut codec = codec(Peer::Device);
    let framed = framed(&SUPER, &recipe.whole(), HeaderForm::Long, ByteOrder::Little);
    let packet = codec.receive(framed, &mut pool).expect("right");
    assert_eq!(packet.to_vec(), recipe.whole());
    let hot = packet.hot;
    assert_eq!((hot.gso_type, hot.gso_size, hot.gso_segments), (GsoType::Tcp4, 1_448, 3));
    assert_eq!((hot.checksum, hot.gso_flags), (ChecksumState::Partial, GsoFlags::default()));
    assert_eq!((hot.outer.l2(), hot.outer.l3(), hot.outer.l4()), (Some(0), Some(14), Some(34)));
    assert_eq!((hot.inner.l4(), packet.header_length()), (None, 54));
    let counters = codec.counters();
    assert_eq!((counters.received, counters.received_super, counters.wrong_hdr_len), (1, 1, 0));
}

#[test]
fn a_wrong_header_length_is_counted_and_not_used() {
    for hdr_len in [0, 1, 53, 55, u16::MAX] {
        let mut codec = codec(Peer::Driver);
        let mut packet = packet(&plain());
        codec
            .mark(&VirtioHeader { hdr_len, ..SUPER }, &mut packet, &mut PacketPool::default())
            .expect("a hint");
        assert_eq!((packet.header_length(), codec.counters().wrong_hdr_len), (54, 1));
    }
}

fn refused(peer: Peer, header: VirtioHeader, recipe: &Recipe) -> VirtioError {
    let mut codec = codec(peer);
    let before = framed(&header, &recipe.whole(), HeaderForm::Long, ByteOrder::Little);
    let (bytes, hot) = (before.to_vec(), before.hot);
    let refused = codec.receive(before, &mut PacketPool::default()).expect_err("hostile");
    assert_eq!((refused.packet.to_vec(), refused.packet.hot), (bytes, hot), "nothing is lost");
    assert_eq!(codec.counters().refused[refused.error.index()], 1);
    assert_eq!((codec.counters().received, refused.error.to_string().is_empty()), (0, false));
    refused.error
}

#[test]
fn hostile_values_are_refused_with_their_reason() {
    use VirtioError as E;
    let recipe = plain();
    let refuse = |header| refused(Peer::Device, header, &recipe);
    assert_eq!(refuse(VirtioHeader { num_buffers: 0, ..SUPER }), E::NoBuffers);
    assert_eq!(refuse(VirtioHeader { gso_size: 0, ..SUPER }), E::NoSize { gso_type: 1 });
    assert_eq!(
        refuse(VirtioHeader { gso_size: 3_001, ..SUPER }),
        E::SizeBeyondPayload { gso_size: 3_001, payload: 3_000 }
    );
    for gso_type in [2, 6, 7, 0x20, 0x41, 0x82, 0xff] {
        assert_eq!(refuse(VirtioHeader { gso_type, ..SUPER }), E::UnknownType { gso_type });
    }
    assert_eq!(refuse(VirtioHeader { gso_type: 3, ..SUPER }), E::UdpFragmentation);
    for gso_type in [0x80, 0x83, 0x85] {
        assert_eq!(refuse(VirtioHeader { gso_type, ..SUPER }), E::EcnWithoutTcp { gso_type });
    }
    for (gso_type, kind) in [(4, GsoType::Tcp6), (5, GsoType::Udp)] {
        let contradicts = SegmentError::Contradicts { kind, version: 4, protocol: 6 };
        assert_eq!(refuse(VirtioHeader { gso_type, ..SUPER }), E::Packet(contradicts));
    }
    for (csum_start, csum_offset) in [(33, 16), (34, 6), (0, 0), (u16::MAX, u16::MAX), (14, 16)] {
        let elsewhere =
            E::ChecksumElsewhere { start: csum_start, offset: csum_offset, transport: 34, expected: 16 };
        assert_eq!(refuse(VirtioHeader { csum_start, csum_offset, ..SUPER }), elsewhere);
    }
    let single = VirtioHeader { gso_type: 0, gso_size: 0, ..SUPER };
    for (start, offset) in [(34, 3_019), (3_053, 0), (3_054, 0), (u16::MAX, u16::MAX)] {
        let beyond = E::ChecksumBeyondPacket { start, offset, length: 3_054 };
        assert_eq!(refuse(VirtioHeader { csum_start: start, csum_offset: offset, ..single }), beyond);
    }
    assert_eq!(
        refuse(VirtioHeader { gso_size: 1, ..SUPER }),
        E::Packet(SegmentError::TooManySegments { segments: 3_000, limit: 2_048 })
    );
    let syn = Recipe { flags: 0x012, ..plain() };
    assert_eq!(refused(Peer::Tun, SUPER, &syn), E::Packet(SegmentError::TcpFlags { flags: 0x012 }));
    let mut codec = codec(Peer::Tun);
    let short = Skb::from_slice(&[0; 11], &mut PacketPool::default()).expect("short");
    let refused = codec.receive(short, &mut PacketPool::default()).expect_err("no header");
    assert_eq!(refused.error, E::TooShort { need: 12, have: 11 });
    assert_eq!(refused.packet.to_vec(), [0; 11]);
}

#[test]
fn what_was_not_negotiated_is_refused() {
    let all = VirtioFeatures::OFFLOADS;
    let udp = Recipe { tcp: false, ..plain() };
    let udp_header = VirtioHeader { gso_type: 5, csum_offset: 6, ..SUPER };
    let ecn = VirtioHeader { gso_type: 0x81, ..SUPER };
    let single = VirtioHeader { gso_type: 0, ..SUPER };
    for (recipe, header, host, guest) in [
        (plain(), SUPER, VirtioFeatures::HOST_TSO4, VirtioFeatures::GUEST_TSO4),
        (plain(), ecn, VirtioFeatures::HOST_ECN, VirtioFeatures::GUEST_ECN),
        (udp, udp_header, VirtioFeatures::HOST_USO, VirtioFeatures::GUEST_USO4),
        (plain(), single, VirtioFeatures::CSUM, VirtioFeatures::GUEST_CSUM),
    ] {
        for (peer, needed) in [(Peer::Driver, host), (Peer::Device, guest), (Peer::Tun, guest)] {
            let config = VirtioConfig { peer, features: all.without(needed), ..VirtioConfig::default() };
            let (mut pool, mut packet) = (PacketPool::default(), packet(&recipe));
            let feature = needed.name().expect("one bit");
            let refused = VirtioCodec::new(config).mark(&header, &mut packet, &mut pool);
            assert_eq!(refused, Err(VirtioError::NotNegotiated { feature }));
            let config = VirtioConfig { features: all, ..config };
            VirtioCodec::new(config).mark(&header, &mut packet, &mut pool).expect("negotiated");
        }
    }
}

#[test]
fn flags_mean_what_the_peer_may_say() {
    let state = |peer, header: VirtioHeader, recipe: &Recipe| {
        let mut packet = packet(recipe);
        codec(peer).mark(&header, &mut packet, &mut PacketPool::default()).expect("right");
        packet.hot.checksum
    };
    let single = VirtioHeader { flags: 0, gso_type: 0, ..SUPER };
    let valid = VirtioHeader { flags: VirtioHeader::DATA_VALID, ..single };
    let tunnel = Recipe { tunnel: Tunnel::Vxlan { checksum: true }, ..plain() };
    assert_eq!(state(Peer::Device, single, &plain()), ChecksumState::Unchecked);
    assert_eq!(state(Peer::Device, valid, &plain()), ChecksumState::Good);
    assert_eq!(state(Peer::Tun, valid, &plain()), ChecksumState::Good);
    // A driver must not set it, and it vouches for one level only.
    assert_eq!(state(Peer::Driver, valid, &plain()), ChecksumState::Unchecked);
    assert_eq!(state(Peer::Device, valid, &tunnel), ChecksumState::Unchecked);
    // Unknown flags are ignored.
    assert_eq!(state(Peer::Device, VirtioHeader { flags: 0xfa, ..single }, &plain()), ChecksumState::Good);
    // With RSC_INFO a device counts segments in the fields; a driver's flag means nothing.
    let counted = VirtioHeader { flags: 5, csum_start: 3, csum_offset: 1, ..SUPER };
    assert_eq!(state(Peer::Device, counted, &plain()), ChecksumState::Partial);
    let counted_single = VirtioHeader { gso_type: 0, ..counted };
    assert_eq!(state(Peer::Device, counted_single, &plain()), ChecksumState::Partial);
    assert!(matches!(refused(Peer::Driver, counted, &plain()), VirtioError::ChecksumElsewhere { .. }));
    // Without NEEDS_CSUM.
    assert_eq!(state(Peer::Tun, VirtioHeader { flags: 0, ..SUPER }, &plain()), ChecksumState::Unchecked);
    assert_eq!(state(Peer::Tun, VirtioHeader { flags: 2, ..SUPER }, &plain()), ChecksumState::Good);
}

#[test]
fn a_checksum_of_another_protocol_is_filled_in_at_once() {
    // ICMP echo request: its checksum stands 2 bytes into it and covers it alone.
    let mut bytes = Recipe { payload: vec![], ..plain() }.whole()[..34].to_vec();
    bytes[16..18].copy_from_slice(&29u16.to_be_bytes());
    bytes[23] = 1;
    bytes.extend([8, 0, 0, 0, 0, 7, 0, 1, 0xab]);
    let header = VirtioHeader { gso_type: 0, csum_offset: 2, ..SUPER };
    let mut codec = codec(Peer::Driver);
    let framed = framed(&header, &bytes, HeaderForm::Long, ByteOrder::Little);
    let packet = codec.receive(framed, &mut PacketPool::default()).expect("in range");
    assert_eq!(netfast_wire::checksum::checksum(&packet.to_vec()[34..]), 0);
    assert_eq!((packet.hot.checksum, codec.counters().filled), (ChecksumState::Unchecked, 1));
}

#[test]
fn the_checksum_of_a_packet_in_a_tunnel_may_be_meant() {
    let recipe = Recipe { tunnel: Tunnel::Vxlan { checksum: false }, ..plain() };
    let inner = 14 + 20 + 8 + 8 + 14 + 20;
    let header = VirtioHeader { gso_type: 0, csum_start: inner, ..SUPER };
    let mut packet = packet(&recipe);
    codec(Peer::Driver).mark(&header, &mut packet, &mut PacketPool::default()).expect("right");
    assert_eq!((packet.hot.checksum, packet.hot.inner.l4()), (ChecksumState::Partial, Some(inner.into())));
}

#[test]
fn what_a_header_cannot_say_is_not_sent() {
    let mut pool = PacketPool::default();
    let send = |recipe: &Recipe, change: &dyn Fn(&mut Skb), pool: &mut PacketPool| {
        let mut packet = packet(recipe);
        packet.hot.gso_size = 1_000;
        packet.hot.gso_type = if recipe.tcp { GsoType::Tcp4 } else { GsoType::Udp };
        change(&mut packet);
        let hot = packet.hot;
        let refused = codec(Peer::Tun).send(packet, pool).expect_err("cannot be said");
        assert_eq!((refused.packet.to_vec(), refused.packet.hot), (recipe.whole(), hot));
        refused.error
    };
    let tunnel = Recipe { tunnel: Tunnel::Ip, ..plain() };
    let marked = |packet: &mut Skb| packet.hot.gso_flags = GsoFlags::TUNNEL;
    assert_eq!(send(&tunnel, &marked, &mut pool), VirtioError::Tunnel { kind: GsoType::Tcp4 });
    let zero = Recipe { tcp: false, checksum: false, ..plain() };
    assert_eq!(send(&zero, &|_| {}, &mut pool), VirtioError::ZeroChecksum);
    assert!(matches!(send(&plain(), &|packet| packet.hot.gso_size = 0, &mut pool), VirtioError::Packet(_)));
}

proptest! {
    #[test]
    fn super_packets_come_back_and_are_cut_into_what_they_stand_for(
        recipe in Recipe::any(2..6_000),
        size in 1..1_500u16,
        peers in prop_oneof![
            Just((Peer::Tun, Peer::Tun)),
            Just((Peer::Driver, Peer::Device)),
            Just((Peer::Device, Peer::Driver)),
        ],
        short: bool,
    ) {
        let recipe = Recipe { tunnel: Tunnel::None, checksum: true, outer_fixed: false, ..recipe };
        let size = size.max((recipe.payload.len() / 500) as u16 + 1).min(recipe.payload.len() as u16 - 1).max(1);
        let link = if recipe.ethernet { LinkType::ETHERNET } else { LinkType::RAW };
        let form = if short { HeaderForm::Short } else { HeaderForm::Long };
        let config = VirtioConfig { link, form, peer: peers.0, ..VirtioConfig::default() };
        let (mut there, mut back) =
            (VirtioCodec::new(config), VirtioCodec::new(VirtioConfig { peer: peers.1, ..config }));
        let mut pool = PacketPool::default();
        let mut packet = packet(&recipe);
        packet.hot.gso_size = size;
        packet.hot.gso_type = match (recipe.tcp, recipe.v6) {
            (false, _) => GsoType::Udp,
            (true, false) => GsoType::Tcp4,
            (true, true) => GsoType::Tcp6,
        };
        packet.hot.checksum = ChecksumState::Good;
        let sent = there.send(packet, &mut pool).expect("it can be said");
        let mut taken = back.receive(sent, &mut pool).expect("right");
        prop_assert_eq!((taken.hot.gso_size, taken.hot.checksum), (size, ChecksumState::Partial));
        prop_assert_eq!((back.counters().wrong_hdr_len, there.counters().sent_super), (0, 1));
        let expected = recipe.train(usize::from(size));
        prop_assert_eq!(usize::from(taken.hot.gso_segments), expected.len());
        // What is partial is the very checksum.
        let mut whole = taken.duplicate(&mut pool);
        finish_checksum(&mut whole, link, &mut pool).expect("as it was made");
        prop_assert_eq!(whole.to_vec(), recipe.whole());
        taken.hot.timestamp = netfast_time::Instant::from_nanos(7);
        let mut out = vec![];
        Segmenter::new(SegmentConfig { link, ..SegmentConfig::default() })
            .segment(taken, &mut pool, &mut out)
            .expect("right");
        prop_assert!(out.iter().map(Skb::to_vec).eq(expected));
    }

    #[test]
    fn any_header_before_any_bytes_is_taken_or_given_back(
        header: [u8; 12],
        recipe in Recipe::any(0..300),
        cut in 0..400usize,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        long: bool,
    ) {
        let mut bytes = header.to_vec();
        bytes.extend(recipe.whole());
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let form = if long { HeaderForm::Long } else { HeaderForm::Short };
        let mut pool = PacketPool::default();
        for peer in [Peer::Tun, Peer::Device, Peer::Driver] {
            let mut codec = VirtioCodec::new(VirtioConfig { form, peer, ..VirtioConfig::default() });
            let packet = Skb::from_slice(&bytes, &mut pool).expect("short");
            match codec.receive(packet, &mut pool) {
                Ok(packet) => prop_assert_eq!(packet.len() as usize, bytes.len() - form.bytes()),
                Err(refused) => prop_assert_eq!(refused.packet.to_vec(), bytes.clone()),
            }
        }
    }
}
