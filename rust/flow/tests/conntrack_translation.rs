//! Translations written into packets: checksums stay right, the way back restores every byte.
use netfast_flow::conntrack::{NatError, Translation, Tuple, Way};
use netfast_wire::checksum::{checksum, pseudo_checksum, verify_l3, verify_l4};
use netfast_wire::dissect::protocol as p;
use netfast_wire::dissect::{Frame, dissect};
use netfast_wire::{Checksum, Layers, Limits, LinkType};
use proptest::prelude::*;
use std::net::IpAddr;

fn address(text: &str) -> [u8; 16] {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Where the checksum stands, and what the header looks like.
fn upper(protocol: u8, tuple: &Tuple, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut packet = vec![];
    packet.extend(tuple.source_port.to_be_bytes());
    packet.extend(tuple.destination_port.to_be_bytes());
    let at = match protocol {
        p::TCP => {
            packet.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 1, 0, 0, 0, 0]);
            16
        }
        p::UDP => {
            packet.extend((8 + payload.len() as u16).to_be_bytes());
            packet.extend([0, 0]);
            6
        }
        p::UDPLITE => {
            packet.extend([0, 0, 0, 0]);
            6
        }
        p::DCCP => {
            packet.extend([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            6
        }
        p::SCTP => {
            packet.extend([0; 8]);
            8
        }
        _ => {
            packet.clear();
            packet.extend(tuple.destination_port.to_be_bytes());
            packet.extend([0, 0]);
            packet.extend(tuple.source_port.to_be_bytes());
            packet.extend([0, 1]);
            2
        }
    };
    packet.extend(payload);
    (packet, at)
}

/// A packet of a tuple with good checksums; IPv4 with `options` words.
fn packet(tuple: &Tuple, payload: &[u8], options: u8) -> (Vec<u8>, usize) {
    let (mut body, at) = upper(tuple.protocol, tuple, payload);
    let sum = match tuple.protocol {
        p::ICMPV4 => checksum(&body),
        _ => pseudo_checksum(tuple.source, tuple.destination, tuple.protocol, &body),
    };
    if tuple.protocol == p::SCTP {
        let crc = netfast_low::crc32c::crc32c(&body);
        body[8..12].copy_from_slice(&crc.to_le_bytes());
    } else {
        let sum = if sum == 0 && matches!(tuple.protocol, p::UDP | p::UDPLITE) { 0xffff } else { sum };
        body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let header = header(tuple, body.len(), options);
    let offset = header.len();
    ([header, body].concat(), offset)
}

fn header(tuple: &Tuple, length: usize, options: u8) -> Vec<u8> {
    if tuple.ip_version() == 6 {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((length as u16).to_be_bytes());
        header.extend([tuple.protocol, 64]);
        header.extend(tuple.source);
        header.extend(tuple.destination);
        return header;
    }
    let words = 5 + options;
    let total = length as u16 + u16::from(words) * 4;
    let mut header = vec![0x40 | words, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 9, 0, 0, 64, tuple.protocol, 0, 0]);
    header.extend(&tuple.source[12..]);
    header.extend(&tuple.destination[12..]);
    header.resize(usize::from(words) * 4, 1);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn read(packet: &[u8]) -> (Layers, Checksum, Checksum) {
    let mut layers = Layers::default();
    let frame = Frame::whole(packet, LinkType::RAW);
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    (layers, verify_l3(&frame, &layers), verify_l4(&frame, &layers))
}

#[derive(Clone, Debug)]
struct Case {
    original: Tuple,
    translated: Tuple,
    payload: Vec<u8>,
    options: u8,
}

impl Case {
    fn translation(&self) -> Translation {
        Translation::new(&self.original, &self.translated.reply().expect("a query"))
            .expect("one protocol and version")
    }
}

const PROTOCOLS: [u8; 7] = [p::TCP, p::UDP, p::UDPLITE, p::DCCP, p::SCTP, p::ICMPV4, p::ICMPV6];

fn any_case() -> impl Strategy<Value = Case> {
    let addresses = proptest::array::uniform4(any::<[u8; 16]>());
    let ports = proptest::array::uniform4(any::<u16>());
    let payload = proptest::collection::vec(any::<u8>(), 0..40);
    (0..PROTOCOLS.len(), any::<bool>(), addresses, ports, payload, 0..3u8, 0..4u8).prop_map(
        |(protocol, v6, addresses, ports, payload, options, what)| {
            let protocol = PROTOCOLS[protocol];
            let v6 = v6 && protocol != p::ICMPV4 || protocol == p::ICMPV6;
            let [a, b, c, d] = addresses.map(|mut address| {
                let head: &[u8] = if v6 { &[0x20, 1] } else { &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] };
                address[..head.len()].copy_from_slice(head);
                address
            });
            let echo = match protocol {
                p::ICMPV4 => Some(0x0800),
                p::ICMPV6 => Some(0x8000),
                _ => None,
            };
            let original = Tuple {
                source: a,
                destination: b,
                source_port: ports[0],
                destination_port: echo.unwrap_or(ports[1]),
                protocol,
            };
            // Source, destination, both or the ports alone.
            let translated = Tuple {
                source: if what & 1 == 0 { c } else { a },
                destination: if what & 2 == 0 { d } else { b },
                source_port: ports[2],
                destination_port: echo.unwrap_or(ports[3]),
                protocol,
            };
            Case { original, translated, payload, options }
        },
    )
}

proptest! {
    #[test]
    fn rfc_1624_checksums_stay_right_and_the_way_back_restores(case in any_case()) {
        let translation = case.translation();
        let inverse = Translation::new(&case.translated, &case.original.reply().expect("a query")).expect("likewise");
        let (before, offset) = packet(&case.original, &case.payload, case.options);
        let mut there = before.clone();
        let applied = translation.apply(Way::Original, &mut there, offset, true).expect("whole");
        let (layers, l3, l4) = read(&there);
        prop_assert_eq!(Tuple::of(&layers), Some(case.translated));
        prop_assert!(matches!(l3, Checksum::Good | Checksum::None));
        if !applied.needs_crc32c {
            prop_assert_eq!(l4, Checksum::Good);
        }
        // What was not translated is what a fresh packet has.
        let (fresh, _) = packet(&case.translated, &case.payload, case.options);
        let hole = if case.original.protocol == p::SCTP { offset + 8..offset + 12 } else { 0..0 };
        let differs = (0..fresh.len()).find(|at| !hole.contains(at) && fresh[*at] != there[*at]);
        prop_assert_eq!(differs, None);
        inverse.apply(Way::Original, &mut there, offset, true).expect("whole").needs_crc32c.then_some(());
        prop_assert_eq!(&there, &before);
        // The answer finds back.
        let (mut back, offset) = packet(&case.translated.reply().expect("a query"), &case.payload, case.options);
        translation.apply(Way::Reply, &mut back, offset, true).expect("whole").needs_crc32c.then_some(());
        prop_assert_eq!(Tuple::of(&read(&back).0), case.original.reply());
    }

    #[test]
    fn rfc_5508_section_4_2_errors_quote_what_their_receiver_sent(case in any_case(), shown in 0usize..60, router: bool) {
        // The packet went out translated; the error comes back to the translated source.
        let translation = case.translation();
        let (sent, offset) = packet(&case.original, &case.payload, case.options);
        let (out, _) = packet(&case.translated, &case.payload, case.options);
        let shown = (offset + 8 + shown).min(out.len());
        let v6 = case.original.ip_version() == 6;
        let far = if router { address(if v6 { "2001:db8::7" } else { "198.51.100.7" }) } else { case.translated.destination };
        let (protocol, kind) = if v6 { (p::ICMPV6, 0x0104) } else { (p::ICMPV4, 0x0303) };
        let outer = Tuple { source: far, destination: case.translated.source, source_port: 0, destination_port: kind, protocol };
        let (mut error, l4) = packet(&outer, &out[..shown], 0);
        error[l4 + 6..l4 + 8].fill(0);
        error[l4 + 2..l4 + 4].fill(0);
        let sum = if v6 { pseudo_checksum(outer.source, outer.destination, protocol, &error[l4..]) } else { checksum(&error[l4..]) };
        error[l4 + 2..l4 + 4].copy_from_slice(&sum.to_be_bytes());
        let quote = l4 + 8;
        translation.apply_error(Way::Reply, &mut error, l4, quote, quote + offset).expect("whole");
        let (layers, l3, sum) = read(&error);
        prop_assert_eq!(layers.dst, case.original.source);
        let (sent_to, became) = (&case.original, &case.translated);
        let same_port = sent_to.is_icmp() || sent_to.destination_port == became.destination_port;
        if sent_to.destination == became.destination && same_port {
            prop_assert_eq!(layers.src, far, "nothing hides a router on the way");
        }
        prop_assert!(matches!(l3, Checksum::Good | Checksum::None));
        prop_assert_eq!(sum, Checksum::Good);
        let hole = match case.original.protocol {
            p::SCTP => offset + 8..offset + 12,
            // Half a checksum is left as it is.
            p::TCP if shown == offset + 17 => offset + 16..offset + 17,
            _ => 0..0,
        };
        let differs = (0..shown).find(|at| !hole.contains(at) && error[quote + at] != sent[*at]);
        prop_assert_eq!(differs, None);
    }

    #[test]
    fn no_bytes_and_offsets_panic_and_what_is_refused_is_left_alone(
        case in any_case(), mut bytes in proptest::collection::vec(any::<u8>(), 0..90), version: bool,
        offsets in proptest::array::uniform3(prop_oneof![0usize..100, any::<usize>()]), reply: bool, first: bool,
    ) {
        let translation = case.translation();
        if let (Some(byte), true) = (bytes.first_mut(), version) {
            *byte = if case.original.ip_version() == 6 { 0x60 } else { 0x45 };
        }
        let way = if reply { Way::Reply } else { Way::Original };
        let before = bytes.clone();
        if translation.apply(way, &mut bytes, offsets[0], first).is_err() {
            prop_assert_eq!(&bytes, &before);
        }
        let before = bytes.clone();
        if translation.apply_error(way, &mut bytes, offsets[0], offsets[1], offsets[2]).is_err() {
            prop_assert_eq!(&bytes, &before);
        }
    }
}

fn udp(text: [&str; 2], ports: [u16; 2]) -> Tuple {
    Tuple {
        source: address(text[0]),
        destination: address(text[1]),
        source_port: ports[0],
        destination_port: ports[1],
        protocol: p::UDP,
    }
}

fn masqueraded() -> (Tuple, Translation) {
    let original = udp(["192.0.2.1", "198.51.100.2"], [4000, 53]);
    let out = udp(["203.0.113.1", "198.51.100.2"], [61_000, 53]);
    (original, Translation::new(&original, &out.reply().expect("UDP")).expect("alike"))
}

#[test]
fn rfc_768_an_absent_checksum_stays_absent() {
    let (original, translation) = masqueraded();
    let (mut packet, offset) = packet(&original, b"question", 0);
    packet[offset + 6..offset + 8].fill(0);
    assert!(!translation.apply(Way::Original, &mut packet, offset, true).expect("whole").needs_crc32c);
    assert_eq!(read(&packet).2, Checksum::Absent);
}

#[test]
fn rfc_768_a_sum_of_zero_is_written_as_all_ones() {
    let (original, translation) = masqueraded();
    let mut seen = 0;
    for payload in 0..=u16::MAX {
        let (mut packet, offset) = packet(&original, &payload.to_be_bytes(), 0);
        let _ = translation.apply(Way::Original, &mut packet, offset, true).expect("whole");
        assert_ne!(packet[offset + 6..offset + 8], [0, 0]);
        seen += usize::from(packet[offset + 6..offset + 8] == [0xff, 0xff]);
    }
    assert_eq!(seen, 1);
}

#[test]
fn rfc_3022_section_4_1_a_later_fragment_has_addresses_only() {
    let (original, translation) = masqueraded();
    let (mut packet, offset) = packet(&original, b"these are no ports", 0);
    let body = packet[offset..].to_vec();
    let _ = translation.apply(Way::Original, &mut packet, offset, false).expect("whole");
    assert_eq!(&packet[12..16], [203, 0, 113, 1]);
    assert_eq!((&packet[offset..], read(&packet).1), (&body[..], Checksum::Good));
}

#[test]
fn rfc_9260_appendix_a_the_caller_is_told_of_a_crc_when_ports_change() {
    let original = Tuple { protocol: p::SCTP, ..udp(["192.0.2.1", "198.51.100.2"], [4000, 53]) };
    for (port, needs_crc32c) in [(4000, false), (4001, true)] {
        let out = Tuple { source: address("203.0.113.1"), source_port: port, ..original };
        let translation = Translation::new(&original, &out.reply().expect("SCTP")).expect("alike");
        let (mut packet, offset) = packet(&original, &[], 0);
        let applied = translation.apply(Way::Original, &mut packet, offset, true).expect("whole");
        assert_eq!(applied.needs_crc32c, needs_crc32c);
        assert_eq!(read(&packet).2 == Checksum::Good, !needs_crc32c);
    }
}

#[test]
fn what_cannot_be_translated_says_why() {
    let (original, translation) = masqueraded();
    let (mut packet, offset) = packet(&original, b"", 0);
    assert_eq!(
        translation.apply(Way::Original, &mut packet[..27], offset, true),
        Err(NatError::Short { need: 28, have: 27 })
    );
    packet[0] = 0x65;
    assert_eq!(
        translation.apply(Way::Original, &mut packet, offset, true),
        Err(NatError::Version { version: 6, expected: 4 })
    );
    let other = Tuple { protocol: p::TCP, ..original };
    assert_eq!(Translation::new(&original, &other), Err(NatError::Mismatch { original }));
    let same = Translation::new(&original, &original.reply().expect("UDP")).expect("alike");
    assert!(same.is_identity() && !translation.is_identity());
}
