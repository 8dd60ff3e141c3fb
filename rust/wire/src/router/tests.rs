use super::*;
use crate::checksum::{checksum, pseudo_checksum, verify_l3, verify_l4};
use crate::dissect::protocol as p;
use crate::layers::{Checksum, Layers, Limits, Verdict};
use crate::{Frame, LinkType, dissect};
use proptest::prelude::*;

const SRC4: [u8; 4] = [192, 0, 2, 1];
const DST4: [u8; 4] = [198, 51, 100, 7];

fn v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    address[15] = last;
    address
}

fn ipv4(src: [u8; 4], dst: [u8; 4], protocol: u8, upper: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + upper.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0x2a, high, low, 0, 9, 0, 0, 64, protocol, 0, 0];
    packet.extend([src, dst].concat());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(upper);
    packet
}

fn ipv6(src: [u8; 16], dst: [u8; 16], next: u8, upper: &[u8]) -> Vec<u8> {
    let [high, low] = (upper.len() as u16).to_be_bytes();
    let mut packet = vec![0x62, 0xa0, 0, 1, high, low, next, 64];
    packet.extend([src, dst].concat());
    packet.extend(upper);
    packet
}

fn udp(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x39, 0, 53];
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.resize(8 + payload, 0);
    bytes
}

fn sender(ip_version: u8) -> Sender {
    let source = if ip_version == 4 { [10, 0, 0, 1].into() } else { v6(0xff).into() };
    Sender { source, hop_limit: 64, identification: 0x1234 }
}

/// Dissects a packet that was written, and finds it whole and its checksums right.
fn right(packet: &[u8]) -> Layers {
    let (frame, mut layers) = (Frame::whole(packet, LinkType::RAW), Layers::default());
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    assert_eq!((layers.verdict, layers.ip_len() as usize), (Verdict::Ok, packet.len()));
    assert!(matches!(verify_l3(&frame, &layers), Checksum::Good | Checksum::None));
    assert_eq!(verify_l4(&frame, &layers), Checksum::Good);
    layers
}

fn error(kind: IcmpError, packet: &[u8]) -> Vec<u8> {
    let mut into = [0; IPV6_ERROR_MAX];
    write_error(kind, packet, &sender(packet[0] >> 4), &mut into).unwrap().to_vec()
}

const KINDS: [IcmpError; 5] = [
    IcmpError::TimeExceeded,
    IcmpError::ReassemblyTimeExceeded,
    IcmpError::Unreachable { code: 3 },
    IcmpError::TooBig { mtu: 1_400 },
    IcmpError::ParameterProblem { code: 0, pointer: 9 },
];

#[test]
fn rfc_792_and_rfc_4443_fields_of_each_error() {
    let four = ipv4(SRC4, DST4, p::UDP, &udp(4));
    let expected = [
        [11, 0, 0, 0, 0, 0],
        [11, 1, 0, 0, 0, 0],
        [3, 3, 0, 0, 0, 0],
        [3, 4, 0, 0, 5, 120],
        [12, 0, 9, 0, 0, 0],
    ];
    for (kind, [icmp_type, code, rest @ ..]) in KINDS.into_iter().zip(expected) {
        let answer = error(kind, &four);
        let layers = right(&answer);
        assert_eq!((layers.icmp_type, layers.icmp_code, &answer[24..28]), (icmp_type, code, &rest[..]));
        assert_eq!((layers.src_ip(), layers.dst_ip()), (Some([10, 0, 0, 1].into()), Some(SRC4.into())));
        assert_eq!((layers.traffic_class, layers.fragment_id, layers.hop_limit), (0xca, 0x1234, 64));
        assert_eq!(answer[28..], four);
    }
    let six = ipv6(v6(1), v6(2), p::UDP, &udp(4));
    let expected = [
        [3, 0, 0, 0, 0, 0],
        [3, 1, 0, 0, 0, 0],
        [1, 3, 0, 0, 0, 0],
        [2, 0, 0, 0, 5, 120],
        [4, 0, 0, 0, 0, 9],
    ];
    for (kind, [icmp_type, code, rest @ ..]) in KINDS.into_iter().zip(expected) {
        let answer = error(kind, &six);
        let layers = right(&answer);
        assert_eq!((layers.icmp_type, layers.icmp_code, &answer[44..48]), (icmp_type, code, &rest[..]));
        assert_eq!((layers.src, layers.dst, layers.traffic_class), (v6(0xff), v6(1), 0));
        assert_eq!(answer[48..], six);
    }
}

#[test]
fn rfc_1812_section_4_3_2_3_and_rfc_4443_section_2_4_c_as_much_as_fits() {
    let padded = [ipv4(SRC4, DST4, p::UDP, &udp(4)), vec![0x55; 14]].concat();
    assert_eq!(error(KINDS[0], &padded).len(), 28 + 32, "padding is not quoted");
    for length in [500, 519, 520, 521, 1_400] {
        let answer = error(KINDS[0], &ipv4(SRC4, DST4, p::UDP, &udp(length)));
        assert_eq!(answer.len(), (28 + 28 + length).min(576));
        right(&answer);
        let answer = error(KINDS[0], &ipv6(v6(1), v6(2), p::UDP, &udp(length)));
        assert_eq!(answer.len(), (48 + 48 + length).min(1_280));
        right(&answer);
    }
    let six = ipv6(v6(1), v6(2), p::UDP, &udp(4));
    let mut into = [0; IPV6_ERROR_MAX];
    assert_eq!(write_error(KINDS[0], &six, &sender(4), &mut into), Err(NoAnswer::OtherFamily));
    assert_eq!(write_error(KINDS[0], &six[..39], &sender(6), &mut into), Err(NoAnswer::NotIp));
}

#[test]
fn rfc_1812_section_4_3_2_7_what_is_not_answered() {
    let kind = IcmpError::TimeExceeded;
    let with = |src, dst, protocol, upper: &[u8]| may_answer(kind, &ipv4(src, dst, protocol, upper), true);
    assert_eq!(with(SRC4, DST4, p::UDP, &udp(0)), Ok(()));
    assert_eq!(with(SRC4, DST4, p::ICMPV4, &[8, 0]), Ok(()));
    for icmp_type in [3, 4, 5, 11, 12, 19, 42, 255] {
        assert_eq!(with(SRC4, DST4, p::ICMPV4, &[icmp_type]), Err(NoAnswer::IsError));
    }
    assert_eq!(with(SRC4, DST4, p::ICMPV4, &[]), Err(NoAnswer::Incomplete));
    for dst in [[224, 0, 0, 1], [239, 1, 1, 1], [255; 4], [240, 0, 0, 1]] {
        assert_eq!(with(SRC4, dst, p::UDP, &udp(0)), Err(NoAnswer::DestinationNotUnicast));
    }
    for src in [[0; 4], [0, 0, 0, 9], [127, 0, 0, 1], [224, 0, 0, 1], [250, 0, 0, 1], [255; 4]] {
        assert_eq!(with(src, DST4, p::UDP, &udp(0)), Err(NoAnswer::SourceNotUnicast));
    }
    let mut packet = ipv4(SRC4, DST4, p::UDP, &udp(0));
    assert_eq!(may_answer(kind, &packet, false), Err(NoAnswer::LinkNotUnicast));
    packet[6..8].copy_from_slice(&[0x20, 0]);
    assert_eq!(may_answer(kind, &packet, true), Ok(()), "a first fragment");
    packet[6..8].copy_from_slice(&[0, 1]);
    assert_eq!(may_answer(kind, &packet, true), Err(NoAnswer::Fragment));
    assert_eq!(may_answer(kind, &packet[..19], true), Err(NoAnswer::NotIp));
}

#[test]
fn what_was_damaged_on_its_way_is_told_from_what_has_no_checksum() {
    let mut upper = udp(4);
    assert!(!is_damaged(&ipv4(SRC4, DST4, p::UDP, &upper)), "no checksum");
    upper[7] = 1;
    assert!(is_damaged(&ipv4(SRC4, DST4, p::UDP, &upper)));
    let sum = crate::checksum::checksum(&[8, 0, 0, 0, 0, 1, 0, 2]).to_be_bytes();
    let echo = [8, 0, sum[0], sum[1], 0, 1, 0, 2];
    assert!(!is_damaged(&ipv4(SRC4, DST4, p::ICMPV4, &echo)));
    assert!(is_damaged(&ipv4(SRC4, DST4, p::ICMPV4, &[8, 0, 0, 0, 0, 1, 0, 2])));
    assert!(is_damaged(&ipv6(v6(1), v6(2), p::TCP, &[0; 20])));
    assert!(is_damaged(&ipv6(v6(1), v6(2), 50, &[])), "nothing there");
    assert!(!is_damaged(&ipv6(v6(1), v6(2), 50, &[0; 8])));
}

#[test]
fn rfc_4443_section_2_4_e_what_is_not_answered() {
    let kind = IcmpError::TimeExceeded;
    let with = |src, dst, next, upper: &[u8]| may_answer(kind, &ipv6(src, dst, next, upper), true);
    assert_eq!(with(v6(1), v6(2), p::UDP, &udp(0)), Ok(()));
    assert_eq!(with(v6(1), v6(2), p::ICMPV6, &[128]), Ok(()));
    assert_eq!(with(v6(1), v6(2), p::ICMPV6, &[137]), Err(NoAnswer::IsRedirect));
    assert_eq!(with(v6(1), v6(2), p::ICMPV6, &[1]), Err(NoAnswer::IsError));
    // Behind an extension header, too; and a chain that is cut could hide one.
    assert_eq!(with(v6(1), v6(2), p::HOP_BY_HOP, &[58, 0, 1, 4, 0, 0, 0, 0, 3]), Err(NoAnswer::IsError));
    assert_eq!(with(v6(1), v6(2), p::HOP_BY_HOP, &[58, 0, 1, 4]), Err(NoAnswer::Incomplete));
    assert_eq!(with(v6(1), v6(2), p::FRAGMENT, &[17, 0, 0, 8, 0, 0, 0, 9]), Err(NoAnswer::Fragment));
    // RFC 8200 4.5: fragments whose own lengths cannot be, the data of an ICMPv6 message among them.
    let length = IcmpError::ParameterProblem { code: 0, pointer: 4 };
    for next in [17, 58] {
        let later = ipv6(v6(1), v6(2), p::FRAGMENT, &[next, 0, 0, 8, 0, 0, 0, 9, 1]);
        assert_eq!(may_answer(length, &later, true), Ok(()));
    }
    let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(40);
    assert_eq!(with(v6(1), v6(2), 60, &endless), Err(NoAnswer::Incomplete));
    let mut loopback = [0; 16];
    loopback[15] = 1;
    for src in [[0; 16], loopback, [0xff; 16]] {
        assert_eq!(with(src, v6(2), p::UDP, &udp(0)), Err(NoAnswer::SourceNotUnicast));
    }
    let group = ipv6(v6(1), [0xff; 16], p::UDP, &udp(0));
    assert_eq!(may_answer(kind, &group, false), Err(NoAnswer::DestinationNotUnicast));
    let answered = [IcmpError::TooBig { mtu: 1_280 }, IcmpError::ParameterProblem { code: 2, pointer: 42 }];
    for kind in answered {
        assert_eq!(may_answer(kind, &group, false), Ok(()));
    }
    let problem = IcmpError::ParameterProblem { code: 1, pointer: 6 };
    assert_eq!(may_answer(problem, &group, true), Err(NoAnswer::DestinationNotUnicast));
    assert_eq!(may_answer(kind, &ipv6(v6(1), v6(2), p::UDP, &udp(0)), false), Err(NoAnswer::LinkNotUnicast));
}

fn segment(version: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        vec![0x30, 0x39, 0, 80, 0xff, 0xff, 0xff, 0xf0, 1, 2, 3, 4, 0x50, flags, 1, 0, 0, 0, 0, 0];
    bytes.extend(payload);
    let mapped = |address: [u8; 4]| std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
    let (src, dst) = if version == 4 { (mapped(SRC4), mapped(DST4)) } else { (v6(1), v6(2)) };
    let sum = pseudo_checksum(src, dst, p::TCP, &bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    if version == 4 { ipv4(SRC4, DST4, p::TCP, &bytes) } else { ipv6(v6(1), v6(2), p::TCP, &bytes) }
}

#[test]
fn rfc_9293_section_3_10_7_1_sequence_and_acknowledgment_of_a_reset() {
    let mut into = [0; RESET_MAX];
    for version in [4, 6] {
        // ACK: the reset has the acknowledged number. No ACK: it acknowledges data, SYN and FIN.
        let cases: [(u8, &[u8], u32, u32, u8); 4] = [
            (0x10, b"data", 0x0102_0304, 0, 0x04),
            (0x02, b"", 0, 0xffff_fff1, 0x14),
            (0x03, &[7; 20], 0, 6, 0x14),
            (0x00, b"", 0, 0xffff_fff0, 0x14),
        ];
        for (flags, payload, sequence, acknowledged, expected) in cases {
            let reset = write_reset(&segment(version, flags, payload), true, 61, &mut into).unwrap();
            let layers = right(reset);
            let tcp = &reset[layers.l4_offset as usize..];
            assert_eq!(tcp[4..8], sequence.to_be_bytes());
            assert_eq!(tcp[8..12], acknowledged.to_be_bytes());
            assert_eq!((layers.src_port, layers.dst_port, layers.hop_limit), (80, 12345, 61));
            assert_eq!((layers.tcp_flags, layers.payload_len), (u16::from(expected), 0));
        }
        let mut refuse = |packet: &[u8]| write_reset(packet, true, 64, &mut into).unwrap_err();
        assert_eq!(refuse(&segment(version, 0x14, b"")), NoAnswer::IsReset);
        let mut bad = segment(version, 0x10, b"x");
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(refuse(&bad), NoAnswer::BadChecksum);
        bad.pop();
        assert_eq!(refuse(&bad), NoAnswer::Incomplete);
    }
    assert_eq!(
        write_reset(&ipv4(SRC4, DST4, p::UDP, &udp(0)), true, 64, &mut into),
        Err(NoAnswer::OtherProtocol)
    );
}

#[test]
fn an_echo_request_is_answered_with_its_data() {
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 2, 9, 9, 9];
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let reply = echo_reply(&ipv4(SRC4, DST4, p::ICMPV4, &message), 64, 5).unwrap();
    let layers = right(&reply);
    assert_eq!((layers.icmp_type, layers.icmp_id, layers.traffic_class), (0, 1, 0x2a));
    assert_eq!((layers.src_ip(), layers.dst_ip()), (Some(DST4.into()), Some(SRC4.into())));
    assert_eq!(reply[28..], message[8..]);
    let mut message = vec![128, 0, 0, 0, 0, 1, 0, 2, 9, 9, 9];
    let sum = pseudo_checksum(v6(1), v6(2), p::ICMPV6, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let request = ipv6(v6(1), v6(2), p::ICMPV6, &message);
    let layers = right(&echo_reply(&request, 64, 0).unwrap());
    assert_eq!((layers.icmp_type, layers.src, layers.dst), (129, v6(2), v6(1)));
    message[10] ^= 1;
    let refused = |packet: &[u8]| echo_reply(packet, 64, 0).unwrap_err();
    assert_eq!(refused(&ipv6(v6(1), v6(2), p::ICMPV6, &message)), NoAnswer::BadChecksum);
    assert_eq!(refused(&ipv6(v6(1), v6(2), p::ICMPV6, &[129; 8])), NoAnswer::OtherProtocol);
    assert_eq!(refused(&ipv6(v6(1), [0xff; 16], p::ICMPV6, &message)), NoAnswer::DestinationNotUnicast);
    assert_eq!(refused(&request[..50]), NoAnswer::Incomplete);
}

#[test]
fn what_an_error_quotes_is_found_in_it() {
    let quotes = [
        (ipv4(SRC4, DST4, p::UDP, &udp(600)), 28, 48, false),
        (ipv4(SRC4, DST4, p::UDP, &udp(6)), 28, 48, true),
        (ipv6(v6(1), v6(2), p::UDP, &udp(6)), 48, 88, true),
        (ipv6(v6(1), v6(2), 0, &[&[17, 0, 1, 4, 0, 0, 0, 0], &udp(2_000)[..]].concat()), 48, 96, false),
    ];
    for (packet, offset, l4_offset, complete) in quotes {
        let answer = error(KINDS[2], &packet);
        let found = quoted(&answer).unwrap();
        assert_eq!((found.offset, found.l4_offset, found.complete), (offset, l4_offset, complete));
        assert_eq!((found.protocol, found.ports, found.icmp), (Some(p::UDP), Some((12345, 53)), None));
        assert_eq!((found.ip_version, found.end), (packet[0] >> 4, answer.len()));
    }
    let answer = error(KINDS[0], &ipv4(SRC4, DST4, p::ICMPV4, &[8, 0, 0, 0, 0x12, 0x34, 0, 1]));
    let found = quoted(&answer).unwrap();
    assert_eq!((found.icmp, found.ports), (Some((8, 0, 0x1234)), None));
    assert_eq!(found.src, [0, 0xffff_c000_0201]);
    assert_eq!(quoted(&answer[..47]), None, "the quoted IP header is cut");
    assert_eq!(quoted(&answer[..52]).unwrap().icmp, None);
    assert_eq!(quoted(&ipv4(SRC4, DST4, p::UDP, &udp(60))), None);
    let mut later = ipv4(SRC4, DST4, p::UDP, &udp(60));
    later[7] = 1;
    assert_eq!(quoted(&error(KINDS[0], &later)).unwrap().ports, None);
}

#[test]
fn rfc_4884_section_3_a_length_bounds_the_quote_unless_it_cannot_be() {
    let packet = ipv4(SRC4, DST4, p::UDP, &udp(200));
    let mut answer = error(KINDS[0], &packet);
    let end = answer.len();
    for (words, expected) in [(0, end), (32, 28 + 128), (57, end), (255, end)] {
        answer[25] = words;
        assert_eq!(quoted(&answer).unwrap().end, expected);
    }
}

proptest! {
    #[test]
    fn a_decrement_keeps_the_checksum_right(identification: u16, hop_limit: u8, class: u8) {
        let mut packet = ipv4(SRC4, DST4, p::UDP, &udp(0));
        packet[1] = class;
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        (packet[8], packet[10], packet[11]) = (hop_limit, 0, 0);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        let before = packet.clone();
        let done = decrement_hop_limit(&mut packet);
        prop_assert_eq!(done, hop_limit > 1);
        prop_assert_eq!(checksum(&packet[..20]), 0);
        prop_assert_eq!(packet[8], hop_limit - u8::from(done));
        prop_assert!(done || packet == before);
        let mut six = ipv6(v6(1), v6(2), p::UDP, &[]);
        six[7] = hop_limit;
        prop_assert_eq!(decrement_hop_limit(&mut six), hop_limit > 1);
        prop_assert_eq!(six[7], hop_limit - u8::from(done));
        prop_assert!(!decrement_hop_limit(&mut six[..39]));
    }

    /// Headers that say anything: nothing panics, and what is written can be read.
    #[test]
    fn any_bytes_are_survived(v4: bool, upper in prop::collection::vec(any::<u8>(), 0..120), changes in prop::collection::vec((0..48usize, any::<u8>()), 0..4)) {
        let mut packet = if v4 { ipv4(SRC4, DST4, 1, &upper) } else { ipv6(v6(1), v6(2), 0, &upper) };
        for (at, value) in changes {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        let mut into = [0; IPV6_ERROR_MAX];
        for kind in KINDS {
            let _ = may_answer(kind, &packet, true);
            if let Ok(answer) = write_error(kind, &packet, &sender(packet[0] >> 4), &mut into) {
                let found = quoted(answer);
                prop_assert!(found.is_some_and(|found| found.end <= answer.len() && found.offset < found.end));
                right(answer);
            }
        }
        let _ = quoted(&packet);
        let _ = echo_reply(&packet, 64, 0);
        let _ = write_reset(&packet, true, 64, &mut [0; RESET_MAX]);
        let _ = decrement_hop_limit(&mut packet);
    }
}
