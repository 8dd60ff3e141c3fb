use super::*;
use crate::checksum::{verify_l3, verify_l4};
use crate::layers::{Checksum, Present};
use proptest::prelude::*;

fn read(bytes: &[u8], wire_len: u32, link: LinkType) -> (Layers, Vec<(HeaderKind, usize, usize)>) {
    let (mut layers, mut headers) = (Layers::default(), vec![]);
    dissect(&Frame { bytes, wire_len, link }, &Limits::default(), &mut layers, &mut headers);
    (layers, headers)
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20; 16]);
    packet.extend([0x30; 16]);
    packet.extend(payload);
    packet
}

#[test]
fn udp_in_ipv6_behind_two_tags() {
    let udp = [0, 53, 0x30, 0x39, 0, 10, 0, 0, 1, 2];
    let mut frame = vec![2; 12];
    frame.extend([0x88, 0xa8, 0, 5, 0x81, 0, 0x20, 7, 0x86, 0xdd]);
    frame.extend(ipv6(17, &udp));
    let (layers, headers) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
    assert_eq!((layers.vlan, layers.src_port, layers.dst_port, layers.payload_len), (5, 53, 12345, 2));
    assert_eq!((layers.verdict, layers.l4_offset), (Verdict::Ok, 62));
    let kinds: Vec<_> = headers.iter().map(|h| h.0).collect();
    assert_eq!(
        kinds,
        [HeaderKind::Ethernet, HeaderKind::Vlan, HeaderKind::Vlan, HeaderKind::Ipv6, HeaderKind::Udp]
    );
}

#[test]
fn the_same_short_packet_is_truncated_when_cut_and_malformed_when_not() {
    let packet = ipv6(6, &[0; 20]);
    let cut = &packet[..50];
    let (layers, _) = read(cut, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.verdict, layers.stop_offset, layers.stop_need), (Verdict::Truncated, 40, 20));
    assert!(layers.present.has(Present::PORTS) && !layers.present.has(Present::TCP_FLAGS));
    let (layers, _) = read(cut, cut.len() as u32, LinkType::RAW);
    assert_eq!(layers.verdict, Verdict::Malformed);
}

#[test]
fn rfc_8504_section_5_3_an_endless_chain_ends_with_its_own_verdict() {
    let mut chain = [60u8, 0, 1, 4, 0, 0, 0, 0].repeat(100);
    chain[793] = 0;
    let packet = ipv6(60, &chain);
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::IPV6);
    assert_eq!(layers.verdict, Verdict::TooManyHeaders);
    assert!(layers.present.has(Present::IP) && !layers.present.has(Present::PROTOCOL));
}

#[test]
fn rfc_2675_a_jumbogram_has_its_length_in_the_option() {
    let mut packet = ipv6(0, &[]);
    packet.extend([17, 0, 0xc2, 4, 0, 1, 0x11, 0x70]);
    packet.extend([0, 1, 0, 2, 0, 0, 0, 0]);
    packet.resize(40 + 70_000, 0);
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.verdict, layers.ip_len(), layers.payload_len), (Verdict::Ok, 70_040, 70_000 - 16));
}

#[test]
fn rfc_8200_section_4_5_fragments() {
    let mut first = vec![17, 0, 0, 1, 0, 0, 0, 9];
    first.extend([0, 53, 0, 54, 0x10, 0, 0, 1]);
    let (layers, _) = read(&ipv6(44, &first), 56, LinkType::RAW);
    assert_eq!((layers.verdict, layers.src_port, layers.fragment_id), (Verdict::Ok, 53, 9));
    assert!(layers.is_fragment() && layers.present.has(Present::MORE_FRAGMENTS));
    let later = [17, 0, 0x05, 0xa0, 0, 0, 0, 9, 1, 2, 3];
    let (layers, _) = read(&ipv6(44, &later), 51, LinkType::RAW);
    assert_eq!((layers.verdict, layers.fragment_offset), (Verdict::NonFirstFragment, 1440));
    assert_eq!((layers.protocol, layers.payload_len), (17, 3));
    assert!(!layers.present.has(Present::PORTS));
}

#[test]
fn rfc_6275_section_6_3_a_home_address_is_the_source_under_the_checksum() {
    let home = [7u8; 16];
    let mut udp = vec![0, 1, 0, 2, 0, 9, 0, 0, 5];
    let sum = crate::checksum::pseudo_checksum(home, [0x30; 16], 17, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut chain = vec![17, 2, 1, 2, 0, 0, 0xc9, 16];
    chain.extend(home);
    chain.extend(udp);
    let packet = ipv6(60, &chain);
    let frame = Frame::whole(&packet, LinkType::RAW);
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.src, layers.verdict), ([0x20; 16], Verdict::Ok));
    assert_eq!((verify_l3(&frame, &layers), verify_l4(&frame, &layers)), (Checksum::None, Checksum::Good));
}

#[test]
fn ip_in_gre_in_ip_is_found_inside() {
    let inner = ipv6(59, &[]);
    let mut packet = ipv6(47, &[&[0x20, 0, 0x86, 0xdd, 0, 0, 0, 1], &inner[..]].concat());
    packet[8] = 0x99;
    let frame = Frame::whole(&packet, LinkType::RAW);
    let mut layers = Layers::default();
    dissect_innermost(&frame, &Limits::default(), &mut layers, &mut ());
    assert_eq!((layers.depth, layers.src[0], layers.l3_offset, layers.protocol), (1, 0x20, 48, 59));
}

#[test]
fn what_is_in_a_udp_tunnel_ends_with_the_datagram() {
    let inner = ipv6(59, &[1, 2, 3, 4]);
    let mut udp = vec![0xc0, 0, 0x17, 0xc1, 0, 8 + 8 + 44, 0, 0, 0, 0, 0x86, 0xdd, 0, 0, 1, 0];
    udp.extend(&inner);
    for (surplus, verdict) in [(0, Verdict::Ok), (4, Verdict::Malformed)] {
        udp[5] = 60 - surplus;
        let packet = ipv6(17, &udp);
        let frame = Frame::whole(&packet, LinkType::RAW);
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        assert_eq!((layers.verdict, layers.payload_len), (Verdict::Ok, 52));
        assert!(dissect_inner(&frame, &Limits::default(), &mut layers, &mut ()));
        assert_eq!((layers.verdict, layers.payload_len), (verdict, 4));
    }
}

#[test]
fn nesting_is_bounded() {
    let mut packet = ipv6(59, &[]);
    for _ in 0..20 {
        packet = ipv6(41, &packet);
    }
    let frame = Frame::whole(&packet, LinkType::RAW);
    let mut layers = Layers::default();
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    let mut levels = 1;
    while dissect_inner(&frame, &Limits::default(), &mut layers, &mut ()) {
        levels += 1;
    }
    assert_eq!((levels, layers.verdict), (9, Verdict::TooDeep));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn no_bytes_panic_and_no_header_lies_outside(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        link in proptest::sample::select(LinkType::SUPPORTED),
        extra in 0u32..100,
        start in proptest::sample::select(vec![&[][..], &[0x45, 0, 0, 40], &[0x60, 0, 0, 0], &[0, 2, 0, 1]]),
    ) {
        let at = if link == LinkType::ETHERNET { 14 } else { 0 };
        for (i, byte) in start.iter().enumerate() {
            if let Some(place) = bytes.get_mut(at + i) { *place = *byte; }
        }
        if link == LinkType::ETHERNET && bytes.len() > 14 && !start.is_empty() {
            bytes[12..14].copy_from_slice(if start[0] == 0x45 { &[8, 0] } else { &[0x86, 0xdd] });
        }
        let frame = Frame { bytes: &bytes, wire_len: bytes.len() as u32 + extra, link };
        let (mut layers, mut headers) = (Layers::default(), vec![]);
        dissect(&frame, &Limits::default(), &mut layers, &mut headers);
        loop {
            for &(_, offset, len) in &headers {
                prop_assert!(offset + len <= bytes.len());
            }
            let _ = (verify_l3(&frame, &layers), verify_l4(&frame, &layers));
            if !dissect_inner(&frame, &Limits::default(), &mut layers, &mut headers) { break }
        }
    }
}

/// An Ethernet-less 802.11 data frame from a station, with a sequence control field and LLC/SNAP before `packet`.
fn dot11(control: u8, sequence: u8, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x08, control, 0, 0];
    frame.extend([2; 18]);
    frame.extend([sequence, 0, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd]);
    frame.extend(packet);
    frame
}

#[test]
fn of_an_802_11_frame_in_fragments_only_the_first_has_headers() {
    let packet = ipv6(17, &[0, 53, 0x30, 0x39, 0, 10, 0, 0, 1, 2]);
    let later = dot11(0x01, 0x11, &packet);
    let (layers, _) = read(&later, later.len() as u32, LinkType::IEEE802_11);
    assert_eq!((layers.verdict, layers.ip_version), (Verdict::NonFirstFragment, 0));
    // The first fragment's packet goes on in the next frame: neither its length nor its checksum is wrong.
    let first = dot11(0x05, 0x10, &packet[..48]);
    let frame = Frame::whole(&first, LinkType::IEEE802_11);
    let (layers, _) = read(&first, first.len() as u32, LinkType::IEEE802_11);
    assert_eq!((layers.verdict, layers.payload_len, layers.dst_port), (Verdict::Ok, 2, 12345));
    let mut summed = first.clone();
    summed[32 + 46] = 1;
    let summed = Frame::whole(&summed, LinkType::IEEE802_11);
    assert_eq!(verify_l4(&frame, &layers), Checksum::Absent);
    assert_eq!(verify_l4(&summed, &layers), Checksum::UncheckedTruncated);
}

#[test]
fn a_length_beyond_the_frame_is_malformed_though_every_header_is_there() {
    let mut packet = ipv6(17, &[0, 53, 0x30, 0x39, 0, 10, 1, 0, 1, 2]);
    packet[5] += 1;
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.verdict, layers.stop_offset, layers.stop_need), (Verdict::Malformed, 0, 51));
    assert_eq!((layers.dst_port, layers.payload_len), (12345, 3));
    // The same bytes, cut by the capture, are in order.
    let (layers, _) = read(&packet, packet.len() as u32 + 1, LinkType::RAW);
    assert_eq!(layers.verdict, Verdict::Ok);
}

#[test]
fn what_the_capture_left_of_a_header_is_told() {
    let tagged = [&[2; 12][..], &[0x81, 0, 0x20, 7]].concat();
    let (layers, _) = read(&tagged, 60, LinkType::ETHERNET);
    assert_eq!((layers.vlan, layers.verdict), (7, Verdict::Truncated));
    let packet = ipv6(58, &[128, 0, 0, 0, 0, 7, 0, 1, 9]);
    let (layers, _) = read(&packet[..42], packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.icmp_type, layers.payload_len, layers.verdict), (128, 1, Verdict::Truncated));
    for (protocol, header, payload) in [(17, 8, 22), (136, 8, 22), (132, 12, 18), (33, 16, 14)] {
        let packet = ipv6(protocol, &[&[0, 1, 0, 2, 4][..], &[0; 25]].concat());
        let (layers, _) = read(&packet[..45], packet.len() as u32, LinkType::RAW);
        assert_eq!((layers.dst_port, layers.payload_len), (2, payload), "{protocol}");
        assert_eq!((layers.verdict, layers.stop_offset), (Verdict::Truncated, 40), "{protocol} {header}");
        assert!(layers.present.has(Present::PORTS | Present::PAYLOAD));
    }
}

#[test]
fn a_packet_that_ends_before_its_checksum_has_none() {
    for (protocol, len) in [(6, 17), (17, 6), (58, 2), (132, 8), (33, 7), (135, 3)] {
        let packet = ipv6(protocol, &vec![0; len]);
        let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
        let frame = Frame::whole(&packet, LinkType::RAW);
        assert_eq!(verify_l4(&frame, &layers), Checksum::None, "{protocol}");
        assert_eq!(layers.present.has(Present::PAYLOAD), protocol == 135, "{protocol}");
    }
}

#[test]
fn rfc_3828_a_checksum_over_the_captured_beginning_is_verified() {
    let mut packet = ipv6(136, &[0, 1, 0, 2, 0, 8, 0, 0, 9, 9, 9, 9]);
    // Addresses, the length 12, the protocol 136, and the eight bytes that are covered.
    let sum: u32 = 8 * (0x2020 + 0x3030) + 12 + 136 + 1 + 2 + 8;
    packet[46..48].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    for (captured, verdict) in
        [(52, Checksum::Good), (48, Checksum::Good), (47, Checksum::UncheckedTruncated)]
    {
        let frame = Frame { bytes: &packet[..captured], wire_len: 52, link: LinkType::RAW };
        let (layers, _) = read(frame.bytes, 52, LinkType::RAW);
        assert_eq!(verify_l4(&frame, &layers), verdict, "{captured}");
    }
    packet[47] ^= 1;
    let frame = Frame { bytes: &packet[..50], wire_len: 52, link: LinkType::RAW };
    let (layers, _) = read(frame.bytes, 52, LinkType::RAW);
    assert_eq!(verify_l4(&frame, &layers), Checksum::Bad);
}

#[test]
fn ieee_802_2_only_unnumbered_information_carries_packets() {
    let packet = ipv6(59, &[]);
    for (control, version) in [(0x03, 6), (0x13, 0), (0x0b, 0), (0x43, 0), (0xe3, 0)] {
        let mut frame = vec![2; 12];
        frame.extend([0, 48, 0xaa, 0xaa, control, 0, 0, 0, 0x86, 0xdd]);
        frame.extend(&packet);
        let (layers, _) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
        assert_eq!(layers.ip_version, version, "{control:#x}");
        // Neither a group of stations nor a response is a service access point of SNAP.
        for at in [14, 15] {
            frame[at] ^= 1;
            let (layers, _) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
            assert_eq!(layers.ip_version, 0);
            frame[at] ^= 1;
        }
    }
}

#[test]
fn the_address_family_says_which_ip_it_is() {
    let packet = [&[0, 0, 0, 24][..], &[0x45; 60]].concat();
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::LOOP);
    assert_eq!((layers.verdict, layers.ip_version), (Verdict::Malformed, 0));
}

#[test]
fn an_802_11_frame_of_another_version_is_not_read() {
    let mut frame = dot11(0x01, 0x10, &ipv6(59, &[]));
    assert_eq!(read(&frame, frame.len() as u32, LinkType::IEEE802_11).0.ip_version, 6);
    frame[0] |= 1;
    assert_eq!(read(&frame, frame.len() as u32, LinkType::IEEE802_11).0.verdict, Verdict::UnknownProtocol);
}

#[test]
fn rfc_2675_section_4_a_udp_length_of_zero_is_the_packets_over_ipv6_only() {
    let packet = ipv6(17, &[0, 1, 0, 2, 0, 0, 1, 1, 9]);
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.verdict, layers.payload_len), (Verdict::Ok, 1));
    let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    packet.extend([0, 1, 0, 2, 0, 0, 1, 1, 9]);
    let frame = Frame::whole(&packet, LinkType::RAW);
    let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
    assert_eq!((layers.verdict, layers.stop_offset), (Verdict::Malformed, 24));
    assert_eq!(verify_l4(&frame, &layers), Checksum::Bad);
}

#[test]
fn the_protocol_says_which_ip_is_inside() {
    let inner = ipv6(59, &[]);
    for (protocol, version) in [(41, 6), (4, 0)] {
        let packet = ipv6(protocol, &inner);
        let frame = Frame::whole(&packet, LinkType::RAW);
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        assert!(dissect_inner(&frame, &Limits::default(), &mut layers, &mut ()));
        assert_eq!(layers.ip_version, version, "{protocol}");
    }
}

#[test]
fn nothing_is_said_of_a_checksum_behind_a_cut_ip_header() {
    // Options up to byte 24 are announced, and 22 bytes captured; the zeros at the front are no UDP header.
    let mut packet = vec![0; 14];
    packet[12] = 8;
    packet.extend([0x46, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1]);
    let frame = Frame { bytes: &packet, wire_len: 54, link: LinkType::ETHERNET };
    let (layers, _) = read(&packet, 54, LinkType::ETHERNET);
    assert_eq!((layers.verdict, layers.protocol), (Verdict::Truncated, 17));
    assert_eq!(verify_l4(&frame, &layers), Checksum::UncheckedTruncated);
}

/// What is inside the GRE header `gre`, whose payload is `inner`.
fn inside(gre: &[u8], inner: &[u8]) -> Layers {
    let packet = ipv6(47, &[gre, inner].concat());
    let frame = Frame::whole(&packet, LinkType::RAW);
    let mut layers = Layers::default();
    dissect_innermost(&frame, &Limits::default(), &mut layers, &mut ());
    layers
}

#[test]
fn erspan_type_iii_says_what_it_mirrors() {
    let mut gre = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 0, 0, 0, 0, 5, 0, 1, 0x08, 0];
    assert_eq!(inside(&gre, &ipv6(59, &[])).depth, 1);
    gre[18] = 0x04;
    assert_eq!(inside(&gre, &ipv6(59, &[])).depth, 0);
}

#[test]
fn rfc_2637_section_4_1_version_1_has_a_key() {
    let ppp = [&[0xff, 3, 0, 0x57][..], &ipv6(59, &[])].concat();
    let mut gre = vec![0x20, 1, 0x88, 0x0b, 0, 48, 0, 1];
    assert_eq!(inside(&gre, &ppp).depth, 1);
    gre[0] = 0;
    assert_eq!(inside(&gre, &ppp).depth, 0);
}

/// An IPv4 packet with options and a UDP datagram whose checksum is right for `destination`.
fn routed(options: &[u8], destination: [u8; 4]) -> Vec<u8> {
    let mapped = |address: [u8; 4]| std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
    let mut udp = vec![0, 1, 0, 2, 0, 9, 0, 0, 5];
    let sum = crate::checksum::pseudo_checksum(mapped([10, 0, 0, 1]), mapped(destination), 17, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0, 0, (header_len + udp.len()) as u8];
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(options);
    packet.extend(udp);
    packet
}

#[test]
fn rfc_791_section_3_1_the_end_of_a_source_route_is_the_destination_under_the_checksum() {
    let (header, last) = ([10, 0, 0, 2], [10, 0, 0, 9]);
    let cases: [(&[u8], [u8; 4]); 9] = [
        (&[131, 11, 4, 10, 0, 0, 8, 10, 0, 0, 9, 0], last),
        (&[1, 137, 11, 8, 10, 0, 0, 8, 10, 0, 0, 9], last),
        (&[148, 4, 0, 0, 131, 7, 4, 10, 0, 0, 9, 0], last),
        // Used up.
        (&[131, 11, 12, 10, 0, 0, 8, 10, 0, 0, 9, 0], header),
        // Behind the end of the options.
        (&[0, 131, 7, 4, 10, 0, 0, 9], header),
        // Pointers into the option's head and into the middle of an address.
        (&[131, 7, 3, 10, 0, 0, 9, 0], header),
        (&[131, 11, 6, 10, 0, 0, 8, 10, 0, 0, 9, 0], header),
        // An option without room for an address, and one that is longer than the header.
        (&[131, 3, 4, 0], header),
        (&[131, 9, 4, 10, 0, 0, 9, 0], header),
    ];
    for (options, destination) in cases {
        let packet = routed(options, destination);
        let (layers, _) = read(&packet, packet.len() as u32, LinkType::RAW);
        assert_eq!((layers.verdict, layers.dst[15]), (Verdict::Ok, 2), "{options:?}");
        let frame = Frame::whole(&packet, LinkType::RAW);
        assert_eq!(verify_l4(&frame, &layers), Checksum::Good, "{options:?}");
    }
}

#[test]
fn rfc_8986_section_10_1_protocol_143_carries_ethernet() {
    let packet = ipv6(143, &[&[2; 12][..], &[0x86, 0xdd], &ipv6(59, &[])].concat());
    let frame = Frame::whole(&packet, LinkType::RAW);
    let mut layers = Layers::default();
    dissect_innermost(&frame, &Limits::default(), &mut layers, &mut ());
    assert_eq!((layers.depth, layers.l3_offset, layers.protocol), (1, 54, 59));
}

#[test]
fn ethernet_in_ethernet_without_end_is_too_many_headers() {
    // 0x6558 says that an Ethernet frame follows; so may MPLS labels.
    let bridged = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x65, 0x58].repeat(18_000);
    let labels = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x88, 0x47, 0, 1, 1, 64].repeat(14_000);
    for frame in [bridged, labels] {
        let (layers, _) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
        assert_eq!(layers.verdict, Verdict::TooManyHeaders);
    }
}

/// An Ethernet frame whose type or length is `field`, around `body`.
fn ethernet(field: u16, body: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &field.to_be_bytes(), body].concat()
}

#[test]
fn rfc_1547_section_4_3_1_cisco_hdlc() {
    let packet = ipv6(59, &[]);
    for link in [LinkType::C_HDLC, LinkType::PPP_HDLC, LinkType::PPP] {
        for address in [0x0f, 0x8f] {
            let frame = [&[address, 0, 0x86, 0xdd][..], &packet].concat();
            let (layers, headers) = read(&frame, frame.len() as u32, link);
            assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 4), "{link}");
            assert_eq!(headers[0], (HeaderKind::Payload, 0, 4));
        }
    }
    // Its keepalive has the number of RARP and is none; a number too small for an EtherType is no length.
    for number in [[0x80, 0x35], [0, 48]] {
        let frame = [&[0x8f, 0][..], &number, &[0xaa; 48]].concat();
        let (layers, headers) = read(&frame, frame.len() as u32, LinkType::C_HDLC);
        assert_eq!((layers.verdict, layers.stop_offset), (Verdict::UnknownProtocol, 4));
        assert_eq!(headers.len(), 1);
    }
}

#[test]
fn a_length_stands_only_in_ethernet_and_behind_tags() {
    let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd][..], &ipv6(59, &[])].concat();
    let tagged = [&[0, 1, 0, llc.len() as u8][..], &llc].concat();
    for frame in [ethernet(llc.len() as u16, &llc), ethernet(0x8100, &tagged)] {
        let (layers, _) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
        assert_eq!((layers.verdict, layers.ip_version), (Verdict::Ok, 6));
    }
    // CAN, raw 802.3 and nothing at all in cooked captures; 4 is LLC.
    for (protocol, verdict) in [(0x0c, false), (0x0d, false), (1, false), (0, false), (48, false), (4, true)]
    {
        let cooked = [&[0; 2][..], &[0, 1, 0, 6], &[0; 8], &[0, protocol], &llc].concat();
        let (layers, headers) = read(&cooked, cooked.len() as u32, LinkType::LINUX_SLL);
        assert_eq!(layers.verdict == Verdict::Ok, verdict, "{protocol}");
        assert!(verdict || (layers.verdict == Verdict::UnknownProtocol && headers.len() == 1), "{protocol}");
    }
    // OSI (IS-IS) and keepalives in GRE, and a small number in Geneve.
    for protocol in [0xfe, 0, 48] {
        let packet = ipv6(47, &[&[0, 0, 0, protocol][..], &llc].concat());
        let frame = Frame::whole(&packet, LinkType::RAW);
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        assert!(dissect_inner(&frame, &Limits::default(), &mut layers, &mut ()));
        assert_eq!((layers.verdict, layers.stop_offset), (Verdict::UnknownProtocol, 44), "{protocol}");
    }
}

#[test]
fn a_cooked_header_before_radiotap_has_no_ethertype() {
    let frame = [&[0, 0, 3, 35, 0, 0][..], &[0; 8], &[0, 4], &[0, 0, 8, 0, 0, 0, 0, 0]].concat();
    let frame = [&frame[..], &dot11(0x01, 0x10, &ipv6(59, &[]))].concat();
    let (layers, headers) = read(&frame, frame.len() as u32, LinkType::LINUX_SLL);
    assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 16 + 8 + 32));
    assert_eq!(headers[1], (HeaderKind::Radiotap, 16, 8));
}

#[test]
fn ieee_802_11_section_9_3_1_control_frames_have_one_address_or_two() {
    let two = [2, 3, 4, 5, 6, 8, 9, 10, 11, 14, 15];
    for subtype in 0..16 {
        let frame = [subtype << 4 | 4; 16];
        let len = if two.contains(&subtype) { 16 } else { 10 };
        let (layers, headers) = read(&frame, 16, LinkType::IEEE802_11);
        assert_eq!((layers.verdict, headers), (Verdict::Ok, vec![(HeaderKind::Dot11, 0, len)]), "{subtype}");
        let (layers, _) = read(&frame[..len - 1], len as u32 - 1, LinkType::IEEE802_11);
        assert_eq!((layers.verdict, layers.stop_need), (Verdict::Malformed, len as u32));
        // Dissection and the table count alike.
        assert_eq!(crate::header::spec(HeaderKind::Dot11).slice(&frame).unwrap().len(), len, "{subtype}");
    }
}

#[test]
fn rfc_2516_section_5_discovery_is_all_header() {
    let frame = ethernet(0x8863, &[0x11, 9, 0, 0, 0, 8, 1, 1, 0, 0, 1, 3, 0, 0, 0xee, 0xee]);
    let (layers, headers) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
    assert_eq!((layers.verdict, headers[1]), (Verdict::Ok, (HeaderKind::Pppoe, 14, 14)));
    let (layers, headers) = read(&frame[..26], frame.len() as u32, LinkType::ETHERNET);
    assert_eq!((layers.verdict, layers.stop_need, headers.len()), (Verdict::Truncated, 14, 1));
}

#[test]
fn rfc_4448_a_pseudo_wire_with_and_without_a_control_word() {
    let inner = |first: [u8; 3]| [&first[..], &[2; 9], &[0x86, 0xdd], &ipv6(59, &[])].concat();
    // RFC 4448 4.6: reserved bits are ignored.
    let words: [&[u8]; 4] = [&[], &[0; 4], &[0, 0, 0, 9], &[1, 0, 0, 9]];
    for first in [[0, 0, 0x5e], [2, 0, 0]] {
        for word in words {
            let frame = ethernet(0x8847, &[&[0, 1, 0x41, 64][..], word, &inner(first)].concat());
            let (layers, _) = read(&frame, frame.len() as u32, LinkType::ETHERNET);
            assert_eq!((layers.verdict, layers.ip_version), (Verdict::Ok, 6), "{first:?} {word:?}");
            assert_eq!(layers.l3_offset as usize, 32 + word.len());
        }
    }
}

#[test]
fn capture_headers_say_what_is_behind_them() {
    let wifi = dot11(0x01, 0x10, &ipv6(59, &[]));
    // PPI with an "802.11 common" field whose flags say that a check sequence stands at the end.
    let mut ppi = vec![0, 0, 32, 0, 105, 0, 0, 0, 2, 0, 20, 0];
    ppi.extend([[0; 8], [1, 0, 0, 0, 0, 0, 0, 0]].concat());
    ppi.extend([0; 4]);
    let ppi = [&ppi[..], &wifi, &[0xee; 4]].concat();
    let (layers, _) = read(&ppi, ppi.len() as u32, LinkType::PPI);
    assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 64));
    // What is not captured is not missing from the check sequence.
    let (layers, _) = read(&ppi[..100], ppi.len() as u32, LinkType::PPI);
    assert_eq!(layers.verdict, Verdict::Truncated);

    let mut pktap = vec![108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    pktap.resize(108, 0);
    let frame = [&pktap[..], &ethernet(0x86dd, &ipv6(59, &[]))].concat();
    let (layers, _) = read(&frame, frame.len() as u32, LinkType::PKTAP);
    assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 122));

    let prism = [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &wifi].concat();
    let (layers, _) = read(&prism, prism.len() as u32, LinkType::PRISM);
    assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 144 + 32));
    let avs = [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56], &wifi].concat();
    for link in [LinkType::PRISM, LinkType::IEEE802_11_AVS] {
        assert_eq!(read(&avs, avs.len() as u32, link).0.l3_offset, 96);
    }
}

#[test]
fn capture_headers_do_not_nest_and_cannot_lie_about_their_length() {
    let nested = [0, 0, 8, 0, 192, 0, 0, 0].repeat(4);
    let (layers, headers) = read(&nested, 32, LinkType::PPI);
    assert_eq!((layers.verdict, layers.stop_offset, headers.len()), (Verdict::UnknownLinkType, 8, 1));
    let far = [0, 0, 8, 0, 1, 0, 1, 0, 0, 0];
    assert_eq!(read(&far, 10, LinkType::PPI).0.verdict, Verdict::UnknownLinkType);
    for (link, bytes) in [
        (LinkType::PPI, [0, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        (LinkType::PPI, [0, 0, 13, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        (LinkType::PKTAP, [11, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]),
        (LinkType::PKTAP, [0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 1, 0, 0, 0]),
        (LinkType::NFLOG, [2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0]),
        (LinkType::NFLOG, [2, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0]),
        (LinkType::NFLOG, [2, 1, 0, 0, 8, 0, 9, 0, 0x60, 0, 0, 0]),
        (LinkType::PRISM, [0x80, 0x21, 0x10, 1, 0, 0, 0, 7, 0, 0, 0, 0]),
        (LinkType::IEEE802_11_AVS, [0x80, 0x21, 0x10, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    ] {
        assert_eq!(read(&bytes, 12, link).0.verdict, Verdict::Malformed, "{link} {bytes:?}");
    }
}

#[test]
fn the_log_of_netfilter_has_its_packet_in_an_attribute_of_either_byte_order() {
    let packet = ipv6(59, &[]);
    let attribute = |kind: u8, data: &[u8], little: bool| {
        let len = 4 + data.len() as u8;
        let head = if little { [len, 0, kind, 0] } else { [0, len, 0, kind] };
        let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
        [&head[..], data, &padding].concat()
    };
    for little in [true, false] {
        let before = [attribute(1, &[0x86, 0xdd, 1, 0], little), attribute(10, b"eth0:", little)].concat();
        let frame = [&[10, 0, 0, 5][..], &before, &attribute(9, &packet, little)].concat();
        let (layers, headers) = read(&frame, frame.len() as u32, LinkType::NFLOG);
        assert_eq!((layers.verdict, layers.l3_offset), (Verdict::Ok, 28));
        assert_eq!(headers[0], (HeaderKind::Payload, 0, 28));
    }
}
