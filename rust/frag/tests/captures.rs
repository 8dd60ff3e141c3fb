//! Fragments that real hosts made (`tests/data`): each datagram is made whole, and its checksum is right.
mod support;

use netfast_buf::{PacketPool, Skb};
use netfast_frag::{FragmentReason, Outcome, Reassembler, ReassemblyConfig, refragment};
use netfast_time::Instant;
use netfast_wire::LinkType;
use support::Datagram;

/// Link type and packets of a little-endian pcap file.
fn capture(name: &str) -> (LinkType, Vec<Vec<u8>>) {
    let path = format!("{}/../../tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let data = std::fs::read(path).expect("a capture of the repository");
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
    let (mut packets, mut at) = (Vec::new(), 24);
    while at < data.len() {
        let len = word(at + 8) as usize;
        packets.push(data[at + 16..at + 16 + len].to_vec());
        at += 16 + len;
    }
    (LinkType(word(20) as u16), packets)
}

#[test]
fn captured_fragments_make_datagrams_with_right_checksums() {
    for (name, fragments) in [
        ("fragments-ipv4.pcap", true),
        ("fragments-ipv6.pcap", true),
        ("fragments-reordered.pcap", true),
        ("dns-udp.pcap", false),
    ] {
        let (link, packets) = capture(name);
        let mut pool = PacketPool::default();
        let mut reassembler = Reassembler::new(ReassemblyConfig { link, ..ReassemblyConfig::default() });
        let mut whole = 0;
        for packet in &packets {
            let packet = Skb::from_slice(packet, &mut pool).expect("short");
            if let Outcome::Complete(mut made) =
                reassembler.handle_packet(Instant::ZERO, 0, packet, &mut pool)
            {
                whole += 1;
                let mut again = Vec::new();
                let count = refragment(&mut made, 65_535, &mut pool, &mut again).expect("cut as it was");
                assert_eq!(count as u32, made.fragments);
                // Each is one of those that were captured, but for padding.
                for fragment in again.iter().map(Skb::to_vec) {
                    assert!(packets.iter().any(|packet| packet.starts_with(&fragment)), "{name}");
                }
            }
        }
        let counters = reassembler.counters();
        assert_eq!((counters.held, counters.checksum_bad), (0, 0), "{name}");
        assert_eq!((counters.completed, counters.checksum_good), (whole, whole), "{name}");
        assert_eq!(whole > 0, fragments, "{name}");
    }
}

#[test]
fn checksums_of_other_protocols_and_of_odd_pieces() {
    use netfast_wire::checksum::{checksum, pseudo_checksum};
    let (v4, v6) = (Datagram::v4(1, Vec::new()), Datagram::v6(1, Vec::new()));
    let address = |v6: bool, host: u8| {
        let mut packet = if v6 { [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { [0; 16] };
        if !v6 {
            packet[10..15].copy_from_slice(&[0xff, 0xff, 10, 0, 0]);
        }
        packet[15] = host;
        packet
    };
    // Protocol, whether IPv6, offset of the checksum, whether there is a pseudo-header.
    for (protocol, is_v6, at, pseudo) in [
        (6, false, 16, true),
        (6, true, 16, true),
        (1, false, 2, false),
        (58, true, 2, true),
        (33, false, 6, true),
        (253, true, 0, false),
    ] {
        for options in [false, true] {
            let shape = if is_v6 { &v6 } else { &v4 };
            let mut datagram = Datagram { protocol, data: support::bytes(333, 5), ..shape.clone() };
            datagram.data[4..8].copy_from_slice(&[8, 0, 0, 0]);
            if options {
                datagram.options = if is_v6 { vec![0, 0, 1, 4, 0, 0, 0, 0] } else { vec![1; 4] };
            }
            if at > 0 {
                datagram.data[at..at + 2].fill(0);
                let sum = if pseudo {
                    pseudo_checksum(address(is_v6, 1), address(is_v6, 2), protocol, &datagram.data)
                } else {
                    checksum(&datagram.data)
                };
                datagram.data[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            }
            for wrong in [false, true] {
                datagram.data[300] ^= u8::from(wrong);
                let mut pool = PacketPool::default();
                let config = ReassemblyConfig { link: LinkType::RAW, ..ReassemblyConfig::default() };
                let mut reassembler = Reassembler::new(config);
                for fragment in datagram.fragments(80) {
                    // Pieces of an odd length.
                    let mut packet = Skb::new();
                    for piece in fragment.chunks(61) {
                        let mut piece = Skb::from_slice(piece, &mut pool).expect("short");
                        packet.append(&mut piece, &mut pool).expect("short");
                    }
                    let _ = reassembler.handle_packet(Instant::ZERO, 0, packet, &mut pool);
                }
                let counters = reassembler.counters();
                let known = u64::from(at > 0);
                let expected = if wrong { (0, known) } else { (known, 0) };
                assert_eq!(counters.completed, 1);
                assert_eq!(
                    (counters.checksum_good, counters.checksum_bad),
                    expected,
                    "{protocol} {is_v6} {options}"
                );
                assert_eq!(counters.noted(FragmentReason::SuspectedMisassociation), expected.1);
            }
        }
    }
}
