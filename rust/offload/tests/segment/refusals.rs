//! Packets that cannot be cut are given back, as they came and with the reason.
use netfast_buf::{ChecksumState, GsoType, PacketPool, Skb};
use netfast_offload::segment::{
    Checksums, SegmentConfig, SegmentError, Segmenter, finish_checksum, leave_checksum,
};
use netfast_wire::{HeaderKind, LinkType, Verdict};

use crate::recipe::{Recipe, Tunnel};
use crate::{config, plain, super_packet};

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

#[test]
fn headers_that_cannot_be_repeated_are_named() {
    use SegmentError as E;
    let recipe = Recipe { tunnel: Tunnel::Gre { key: true, checksum: false, ethernet: false }, ..plain() };
    // The key becomes a sequence number; the version becomes PPTP's.
    assert_eq!(refuse(&recipe, |packet| poke(packet, 34, 0x10)), E::GreSequence { offset: 34 });
    assert_eq!(
        refuse(&recipe, |packet| (poke(packet, 34, 0x20), poke(packet, 35, 1)).1),
        E::Unrepeatable { header: HeaderKind::Gre, offset: 34 }
    );
    // Destination options become an authentication header of the same length.
    let recipe = Recipe { v6: true, extra: 8, ..plain() };
    assert_eq!(
        refuse(&recipe, |packet| (poke(packet, 20, 51), poke(packet, 55, 2)).1),
        E::Unrepeatable { header: HeaderKind::Auth, offset: 54 }
    );
    // A home address option (RFC 6275 6.3), a routing header with segments left, and a source route.
    let long = Recipe { v6: true, extra: 12, ..plain() };
    assert_eq!(refuse(&long, |packet| (poke(packet, 56, 0xc9), poke(packet, 57, 16)).1), E::Rerouted);
    assert_eq!(refuse(&long, |packet| (poke(packet, 20, 43), poke(packet, 57, 1)).1), E::Rerouted);
    let options = Recipe { extra: 8, ..plain() };
    let source_route = |packet: &mut Skb| {
        for (at, byte) in [131, 7, 4, 1, 2, 3, 4].into_iter().enumerate() {
            poke(packet, 34 + at, byte);
        }
    };
    assert_eq!(refuse(&options, source_route), E::Rerouted);
    // Cut at the link header: a length instead of a type.
    assert!(matches!(
        refuse(&plain(), |packet| poke(packet, 12, 0)),
        E::Unrepeatable { .. } | E::Headers { .. }
    ));
}

#[test]
fn a_jumbogram_has_no_segments() {
    // Payload length 0 and a jumbo payload option in hop-by-hop options (RFC 2675 2).
    let recipe = Recipe { v6: true, extra: 4, ..plain() };
    let jumbo = |packet: &mut Skb| {
        let length = packet.len() - 54;
        for (at, byte) in [(18, 0), (19, 0), (20, 0), (56, 0xc2), (57, 4)] {
            poke(packet, at, byte);
        }
        for (at, byte) in length.to_be_bytes().into_iter().enumerate() {
            poke(packet, 58 + at, byte);
        }
    };
    assert_eq!(
        refuse(&recipe, jumbo),
        SegmentError::Unrepeatable { header: HeaderKind::HopByHop, offset: 54 }
    );
}

#[test]
fn lengths_have_to_fit() {
    use SegmentError as E;
    let recipe = Recipe { tunnel: Tunnel::Vxlan { checksum: false }, ..plain() };
    // The outer UDP length is one less, and so is the inner IP packet's.
    let udp = |packet: &mut Skb| {
        let low = packet.head()[39];
        poke(packet, 39, low - 1);
    };
    assert!(matches!(refuse(&recipe, udp), E::Length { .. } | E::Headers { .. }));
    let inner = |packet: &mut Skb| {
        let low = packet.head()[67];
        poke(packet, 67, low - 1);
    };
    let length = refuse(&recipe, inner);
    assert!(matches!(length, E::Length { header: HeaderKind::Ipv4, offset: 64, .. }), "{length}");
    // Bytes behind the IP packet would be the last segment's payload.
    let mut pool = PacketPool::default();
    let mut packet = super_packet(&plain(), 1_000, &[], &mut pool);
    packet.append(&mut Skb::from_slice(&[0], &mut pool).expect("short"), &mut pool).expect("short");
    assert!(matches!(refused(packet, SegmentConfig::default()), E::Length { header: HeaderKind::Ipv4, .. }));
}

#[test]
fn a_segment_is_no_longer_than_an_ip_packet() {
    for (v6, fits) in [(false, 65_535 - 52), (true, 65_535 - 32)] {
        let recipe = Recipe { v6, payload: vec![1; 1_400], ..plain() };
        let mut bytes = recipe.whole();
        let length = if v6 { 18..20 } else { 16..18 };
        bytes[length].fill(0);
        bytes.extend(vec![1; 70_000]);
        let packet = |size: usize| {
            let mut packet = Skb::from_slice(&bytes, &mut PacketPool::default()).expect("short");
            packet.hot.gso_size = size as u16;
            packet.hot.gso_type = if v6 { GsoType::Tcp6 } else { GsoType::Tcp4 };
            packet
        };
        assert_eq!(crate::cut(packet(fits), SegmentConfig::default()).len(), 2);
        let error = refused(packet(fits + 1), SegmentConfig::default());
        assert!(matches!(error, SegmentError::SegmentTooLong { offset: 14, .. }), "{error}");
    }
}

#[test]
fn long_headers_are_refused_and_the_longest_are_not() {
    // Two hop-by-hop headers' worth of options: 54 + 8 × n + 32 bytes.
    let with = |bytes: usize| {
        let mut frame = Recipe { v6: true, ..plain() }.whole();
        let mut options = vec![6, (bytes / 8 - 1) as u8];
        while bytes - options.len() > 257 {
            options.extend([1, 253]);
            options.extend([0; 253]);
        }
        let left = bytes - options.len() - 2;
        options.extend([1, left as u8]);
        options.resize(bytes, 0);
        frame[20] = 60;
        let length = u16::from_be_bytes([frame[18], frame[19]]) + bytes as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frame.splice(54..54, options);
        let mut packet = Skb::from_slice(&frame, &mut PacketPool::default()).expect("short");
        (packet.hot.gso_size, packet.hot.gso_type) = (1_000, GsoType::Tcp6);
        packet
    };
    // 54 + 32 of Ethernet, IPv6 and TCP leave 298.
    assert_eq!(crate::cut(with(296), SegmentConfig::default()).len(), 4);
    let error = refused(with(304), SegmentConfig::default());
    assert_eq!(error, SegmentError::HeadersTooLong { length: 54 + 304 + 32 });
}

#[test]
fn checksums_of_what_has_none_are_refused() {
    let mut pool = PacketPool::default();
    let mut bytes = plain().whole();
    bytes[23] = 89;
    let mut packet = Skb::from_slice(&bytes, &mut pool).expect("short");
    let none = Err(SegmentError::NoChecksum { version: 4, protocol: 89 });
    assert_eq!(leave_checksum(&mut packet, LinkType::ETHERNET, &mut pool), none);
    packet.hot.checksum = ChecksumState::Partial;
    assert_eq!(finish_checksum(&mut packet, LinkType::ETHERNET, &mut pool), none);
    packet.hot.checksum = ChecksumState::Bad;
    assert_eq!(leave_checksum(&mut packet, LinkType::ETHERNET, &mut pool), Err(SegmentError::BadChecksum));
    assert_eq!(packet.to_vec(), bytes);
    packet.trim(20);
    packet.hot.checksum = ChecksumState::Partial;
    let cut = finish_checksum(&mut packet, LinkType::ETHERNET, &mut pool);
    assert!(matches!(cut, Err(SegmentError::Headers { verdict: Verdict::Malformed, .. })), "{cut:?}");
}
