//! Tests of tables, values and options.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::checksum::verify_l4;
use crate::{Checksum, Frame, Limits, LinkType};

#[test]
fn every_kind_has_its_own_table() {
    for kind in HeaderKind::ALL {
        assert_eq!(spec(*kind).kind, *kind);
    }
}

#[test]
fn a_new_header_parses_as_itself() {
    for kind in HeaderKind::ALL {
        let header = Header::new(*kind);
        assert!(header.buffer_len() >= spec(*kind).min_len, "{kind}");
    }
}

#[test]
fn a_version_of_gre_that_is_set_to_itself_changes_nothing() {
    // Version 1 without the bit that says that it has a key.
    let bytes = [0x40, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut header = Header::parse(HeaderKind::Gre, &bytes).unwrap();
    header.set("version", Value::Uint(1)).unwrap();
    assert_eq!(header.as_bytes(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn parse_and_emit_are_inverse(kind in 0..HeaderKind::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let kind = HeaderKind::ALL[kind];
        if let Ok(header) = Header::parse(kind, &bytes) {
            let mut output = vec![0; header.buffer_len()];
            prop_assert_eq!(header.emit(&mut output), Ok(output.len()));
            prop_assert_eq!(&output[..], &bytes[..output.len()]);
            for (index, field) in header.spec().fields.iter().enumerate() {
                let value = header.get_at(index);
                if value == Value::Absent || field.alias {
                    continue;
                }
                // Setting every field to the value it has changes nothing.
                if !matches!(value, Value::Options(_)) {
                    let mut same = header.clone();
                    same.set_at(index, value.clone()).unwrap();
                    prop_assert_eq!(same.get_at(index), value, "{} {}", kind, field.name);
                    prop_assert_eq!(same.as_bytes(), header.as_bytes(), "{} {}", kind, field.name);
                }
            }
        }
    }

    #[test]
    fn options_that_decode_encode_to_the_same_options(
        space in prop::sample::select(vec![
            OptionSpace::Ipv4, OptionSpace::Tcp, OptionSpace::Ipv6, OptionSpace::Mobility, OptionSpace::Ndp,
            OptionSpace::Srh, OptionSpace::Geneve, OptionSpace::Sctp, OptionSpace::Dccp, OptionSpace::Pppoe,
            OptionSpace::Mld, OptionSpace::Igmp, OptionSpace::Radiotap,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let list = options::decode(space, &bytes);
        if let Ok(written) = options::encode(space, &list, 0) {
            // Only padding may be added, so what was there comes back first and is written the same way again.
            let again = options::decode(space, &written);
            let code = |opt: &Opt| opt.code;
            let raw = list.iter().any(|opt| opt.code == options::RAW);
            if !raw && !list.is_empty() {
                prop_assert!(
                    again.iter().map(code).take(list.len()).eq(list.iter().map(code))
                        || matches!(space, OptionSpace::Ipv6 | OptionSpace::Mobility),
                    "{:?} {:?}", list, again
                );
            }
            if !raw {
                prop_assert_eq!(options::encode(space, &again, 0), Ok(written));
            }
        }
    }

    #[test]
    fn describing_any_bytes_stays_inside_them(
        kind in 0..HeaderKind::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..100)
    ) {
        for field in describe(HeaderKind::ALL[kind], &bytes) {
            prop_assert!(field.bit_offset + field.bit_len <= bytes.len() * 8, "{}", field.name);
        }
    }

    #[test]
    fn a_stack_from_any_frame_emits_the_same_bytes(
        link in prop::sample::select(LinkType::SUPPORTED.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let frame = Frame::whole(&bytes, link);
        let dissection = Dissection::new(&frame, &Limits::default());
        let findings = examine(&frame, &dissection);
        prop_assert!(findings.is_sorted_by_key(|finding| finding.offset));
        prop_assert_eq!(dissection.stack(&frame).unwrap().to_vec(), Ok(bytes));
    }
}

/// Headers of a stack that has to be right.
fn built(headers: Vec<Header>, payload: &[u8], link: LinkType) -> (Vec<u8>, Dissection) {
    let kinds: Vec<HeaderKind> = headers.iter().map(Header::kind).collect();
    let stack = Stack { headers, payload: payload.to_vec(), ..Stack::default() };
    let bytes = stack.to_vec().unwrap();
    let frame = Frame::whole(&bytes, link);
    let dissection = Dissection::new(&frame, &Limits::default());
    assert_eq!(dissection.headers.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), kinds, "{bytes:02x?}");
    assert_eq!(examine(&frame, &dissection), vec![], "{bytes:02x?}");
    for (layers, _) in &dissection.packets {
        assert_ne!(verify_l4(&frame, layers), Checksum::Bad);
    }
    // What was built and taken apart again is the same when everything derivable is derived again.
    let mut again = Stack::from_visits(&bytes, &dissection.headers, dissection.end).unwrap();
    assert_eq!(again.to_vec().unwrap(), bytes);
    again.rederive();
    assert_eq!(again.to_vec().unwrap(), bytes);
    (bytes, dissection)
}

fn ipv6() -> Header {
    let (src, dst): (Ipv6Addr, Ipv6Addr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    network::Ipv6::value().with("src", src).unwrap().with("dst", dst).unwrap()
}

fn ipv4() -> Header {
    let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
    network::Ipv4::value().with("src", src).unwrap().with("dst", dst).unwrap()
}

fn ethernet() -> Header {
    let mac = [2, 0, 0, 0, 0, 1];
    link::Ethernet::value().with("src", mac).unwrap().with("dst", mac).unwrap()
}

fn udp() -> Header {
    transport::Udp::value().with("src_port", 1234u16).unwrap().with("dst_port", 53u16).unwrap()
}

fn tcp() -> Header {
    let options = vec![
        Opt::new(2, OptionValue::Uint(1460)),
        Opt::new(4, OptionValue::Empty),
        Opt::new(8, OptionValue::Numbers(vec![1, 2])),
        Opt::new(3, OptionValue::Uint(7)),
    ];
    transport::Tcp::value().with("flags", 2u16).unwrap().with("options", options).unwrap()
}

#[test]
fn transports_over_both_versions() {
    let sctp = transport::Sctp::value()
        .with("chunks", vec![Opt::new(0, OptionValue::Flagged(3, vec![0; 13]))])
        .unwrap();
    let dccp = transport::Dccp::value().with("code", 5u32).unwrap();
    for upper in [udp(), tcp(), sctp, dccp, transport::UdpLite::value()] {
        let payload: &[u8] = if upper.kind() == HeaderKind::Sctp { b"" } else { b"odd" };
        built(vec![ethernet(), ipv6(), upper.clone()], payload, LinkType::ETHERNET);
        built(vec![ipv4(), upper], payload, LinkType::RAW);
    }
}

#[test]
fn link_layers_chain() {
    let vlan = || link::Vlan::value().with("vid", 7u16).unwrap();
    let mpls = || link::Mpls::value().with("label", 100u32).unwrap();
    let stacks = [
        (vec![ethernet(), vlan(), vlan(), ipv6(), udp()], LinkType::ETHERNET),
        (vec![ethernet(), mpls(), mpls(), ipv4(), udp()], LinkType::ETHERNET),
        (vec![ethernet(), link::Pppoe::value(), link::Ppp::value(), ipv6(), udp()], LinkType::ETHERNET),
        (vec![ethernet(), link::Llc::value(), link::Snap::value(), ipv4(), udp()], LinkType::ETHERNET),
        (vec![link::Null::value(), ipv6(), udp()], LinkType::NULL),
        (vec![link::LinuxSll::value(), ipv4(), udp()], LinkType::LINUX_SLL),
        (vec![link::LinuxSll2::value(), ipv6(), udp()], LinkType::LINUX_SLL2),
        (vec![link::Ppp::value(), ipv6(), udp()], LinkType::PPP),
        (
            vec![
                link::Radiotap::value(),
                link::Dot11::value(),
                link::Llc::value(),
                link::Snap::value(),
                ipv6(),
                udp(),
            ],
            LinkType::IEEE802_11_RADIOTAP,
        ),
    ];
    for (headers, link) in stacks {
        let mut headers = headers;
        if let Some(radiotap) = headers.first_mut().filter(|header| header.kind() == HeaderKind::Radiotap) {
            radiotap.set("fields", vec![Opt::new(2, OptionValue::Uint(2))]).unwrap();
        }
        built(headers, b"payload", link);
    }
}

#[test]
fn service_tags_stand_outside() {
    let vlan = || link::Vlan::value().with("vid", 7u16).unwrap();
    let (bytes, _) = built(vec![ethernet(), vlan(), vlan(), ipv6(), udp()], b"x", LinkType::ETHERNET);
    assert_eq!(&bytes[12..20], [0x88, 0xa8, 0, 7, 0x81, 0, 0, 7]);
}

#[test]
fn tunnels_chain() {
    let gre = || transport::Gre::value().with("key", 5u32).unwrap().with("checksum_present", true).unwrap();
    let plain_udp = transport::Udp::value;
    let stacks = [
        vec![ipv6(), gre(), ipv4(), udp()],
        vec![ipv4(), gre(), ethernet(), ipv6(), tcp()],
        vec![ipv6(), plain_udp(), transport::Vxlan::value(), ethernet(), ipv4(), udp()],
        vec![ipv6(), plain_udp(), transport::Geneve::value(), ethernet(), ipv4(), udp()],
        vec![ipv4(), plain_udp(), transport::Geneve::value(), ipv6(), udp()],
        vec![ipv4(), ipv6(), udp()],
        vec![ipv6(), ipv4(), tcp()],
    ];
    for headers in stacks {
        built(headers, b"inner", LinkType::RAW);
    }
}

#[test]
fn extension_headers_chain_and_pad() {
    let alert = vec![Opt::new(5, OptionValue::Uint(0))];
    let hop = network::HopByHop::value().with("options", alert).unwrap();
    let home: IpAddr = "2001:db8::99".parse().unwrap();
    let home = vec![Opt::new(options::HOME_ADDRESS, OptionValue::Address(home))];
    let destination = network::DestinationOptions::value().with("options", home).unwrap();
    let addresses: Vec<IpAddr> = vec!["2001:db8::a".parse().unwrap(), "2001:db8::b".parse().unwrap()];
    let segments =
        network::Routing::value().with("type", 4u8).unwrap().with("addresses", addresses.clone()).unwrap();
    let mobile = network::Routing::value()
        .with("type", 2u8)
        .unwrap()
        .with("addresses", addresses[..1].to_vec())
        .unwrap();
    let fragment = network::Fragment::value().with("identification", 7u32).unwrap();
    let auth = network::Auth::value().with("icv", vec![1u8; 12]).unwrap();
    let (bytes, _) =
        built(vec![ipv6(), hop, destination, segments, fragment, auth, udp()], b"x", LinkType::RAW);
    assert_eq!(bytes[40..48], [60, 0, 5, 2, 0, 0, 1, 0], "router alert, then PadN");
    // The home address option stands at 8n + 6: two bytes of header, PadN of four.
    assert_eq!(bytes[48..56], [43, 2, 1, 2, 0, 0, 0xc9, 16]);
    assert_eq!(bytes[72..76], [44, 4, 4, 1], "segment list of two, the last entry is 1");
    assert_eq!(bytes[76], 1, "last entry");
    built(vec![ipv6(), mobile, tcp()], b"", LinkType::RAW);
}

#[test]
fn control_messages_and_discovery() {
    let mac = [2, 0, 0, 0, 0, 1];
    let target: Ipv6Addr = "fe80::1".parse().unwrap();
    let hop_255 = || ipv6().with("hop_limit", 255u8).unwrap();
    let solicitation = transport::Icmpv6::value()
        .with("type", 135u8)
        .unwrap()
        .with("target", target)
        .unwrap()
        .with("options", vec![Opt::new(1, OptionValue::Mac(mac))])
        .unwrap();
    assert_eq!(solicitation.buffer_len(), 32);
    let advertisement = transport::Icmpv6::value()
        .with("type", 134u8)
        .unwrap()
        .with("options", vec![Opt::new(5, OptionValue::Numbers(vec![0, 1500]))])
        .unwrap();
    assert_eq!(advertisement.get("cur_hop_limit"), Ok(Value::Uint(64)));
    let group: IpAddr = "ff02::fb".parse().unwrap();
    let report = transport::Icmpv6::value()
        .with("type", 143u8)
        .unwrap()
        .with("records", vec![Opt::new(4, OptionValue::Record(group, vec![], vec![]))])
        .unwrap();
    for message in [solicitation, advertisement, report] {
        built(vec![hop_255(), message], b"", LinkType::RAW);
    }
    built(vec![ipv6(), transport::Icmpv6::value()], b"ping", LinkType::RAW);
    built(vec![ipv4(), transport::Icmpv4::value()], b"ping", LinkType::RAW);
    built(vec![ipv4(), transport::Igmp::value()], b"", LinkType::RAW);
    built(vec![ipv6(), network::Mobility::value()], b"", LinkType::RAW);
    built(vec![ethernet(), link::Arp::value()], b"", LinkType::ETHERNET);
}

#[test]
fn what_the_caller_sets_is_kept() {
    let mut wrong = udp();
    wrong.set("checksum", 0xdeadu16).unwrap();
    wrong.set("length", 9u16).unwrap();
    let stack = Stack { headers: vec![ipv6(), wrong], payload: vec![1, 2], ..Stack::default() };
    let bytes = stack.to_vec().unwrap();
    assert_eq!(bytes[44..48], [0, 9, 0xde, 0xad]);
    let frame = Frame::whole(&bytes, LinkType::RAW);
    let findings = examine(&frame, &Dissection::new(&frame, &Limits::default()));
    let text: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(text.iter().any(|what| what.contains("leaves 1 bytes")), "{text:?}");
    assert!(text.iter().any(|what| what.starts_with("bad checksum")), "{text:?}");
}

/// A frame taken apart to headers, all lengths and checksums done again.
fn rederived(bytes: &[u8], wire_len: usize, link: LinkType) -> Stack {
    let frame = Frame { bytes, wire_len: wire_len as u32, link };
    let mut stack = Dissection::new(&frame, &Limits::default()).stack(&frame).unwrap();
    stack.rederive();
    stack
}

#[test]
fn padding_is_kept_and_not_counted() {
    let (packet, _) = built(vec![ethernet(), ipv4(), udp()], b"x", LinkType::ETHERNET);
    let padded = [&packet[..], &[0; 17]].concat();
    let stack = rederived(&padded, 60, LinkType::ETHERNET);
    assert_eq!(stack.trailers, [Trailer { uncounted: 0, bytes: vec![0; 17] }]);
    assert_eq!(stack.to_vec(), Ok(padded.clone()));
    // Inside a tunnel the outer lengths count the padding of the inner frame.
    let mut outer = Stack {
        headers: vec![ipv6(), transport::Udp::value(), transport::Vxlan::value()],
        ..Stack::default()
    };
    outer.append(&stack);
    let tunnel = [outer.to_vec().unwrap(), vec![7; 3]].concat();
    let stack = rederived(&tunnel, tunnel.len(), LinkType::RAW);
    let of_inner = Trailer { uncounted: 3, bytes: vec![0; 17] };
    assert_eq!(stack.trailers, [of_inner, Trailer { uncounted: 0, bytes: vec![7; 3] }]);
    assert_eq!(stack.to_vec(), Ok(tunnel));
}

#[test]
fn what_depends_on_missing_bytes_is_kept() {
    let (whole, _) = built(vec![ethernet(), ipv4(), udp()], &[5; 100], LinkType::ETHERNET);
    let mut cut = rederived(&whole[..60], whole.len(), LinkType::ETHERNET);
    assert!(cut.cut);
    assert_eq!(cut.to_vec().unwrap(), whole[..60]);
    cut.headers[1].set("ttl", 9u8).unwrap();
    let written = cut.to_vec().unwrap();
    assert_eq!((&written[16..18], &written[38..42]), (&whole[16..18], &whole[38..42]));
    assert_eq!(crate::checksum::checksum(&written[14..34]), 0, "the checksum of the IPv4 header fits");
    // A length that is wrong is no cut.
    assert_ne!(rederived(&whole[..60], 60, LinkType::ETHERNET).to_vec().unwrap(), whole[..60]);
    let first = |mut bytes: Vec<u8>| {
        bytes[20] = 0x20;
        bytes[17] = 48;
        bytes[24..26].fill(0);
        let sum = crate::checksum::checksum(&bytes[14..34]).to_be_bytes();
        bytes[24..26].copy_from_slice(&sum);
        bytes.truncate(14 + 48);
        bytes
    };
    let fragment = first(whole.clone());
    assert_eq!(rederived(&fragment, fragment.len(), LinkType::ETHERNET).to_vec().unwrap(), fragment);
    let part = network::Fragment::value().with("more_fragments", true).unwrap();
    let stack = Stack { headers: vec![ipv6(), part, udp()], payload: vec![5; 96], ..Stack::default() };
    let mut fragment = stack.to_vec().unwrap();
    fragment[52..56].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(rederived(&fragment, fragment.len(), LinkType::RAW).to_vec().unwrap(), fragment);
}

#[test]
fn a_zero_sum_becomes_ones() {
    // Chosen so that the ones' complement sum is 0xffff.
    let (bytes, _) = built(vec![ipv6(), udp()], b"", LinkType::RAW);
    let sum = u16::from_be_bytes([bytes[46], bytes[47]]);
    let zeroing =
        built(vec![ipv6(), udp().with("src_port", 1234u16.wrapping_add(sum)).unwrap()], b"", LinkType::RAW);
    assert_eq!(zeroing.0[46..48], [0xff, 0xff]);
}

#[test]
fn what_cannot_be_expressed_is_an_error() {
    let too_long = Stack { headers: vec![ipv6(), udp()], payload: vec![0; 65_536], ..Stack::default() };
    assert!(matches!(
        too_long.to_vec(),
        Err(HeaderError::TooLong { field: "payload_length", value: 65_544, .. })
    ));
    let jumbo = network::HopByHop::value()
        .with("options", vec![Opt::new(options::JUMBO, OptionValue::Uint(65_552))])
        .unwrap();
    let jumbogram =
        Stack { headers: vec![ipv6(), jumbo, udp()], payload: vec![0; 65_536], ..Stack::default() };
    assert_eq!(jumbogram.to_vec().unwrap()[4..6], [0, 0]);
    let unknown = Stack { headers: vec![ethernet()], payload: vec![0; 4], ..Stack::default() };
    assert!(matches!(unknown.to_vec(), Err(HeaderError::Underdetermined { field: "ethertype", .. })));
    let unpadded = network::HopByHop::value().with("options", vec![1u8, 3, 0]).unwrap();
    assert!(matches!(unpadded_stack(unpadded), Err(HeaderError::Unpadded { unit: 8, .. })));
    assert!(matches!(
        ipv6().with("hop_limit", 256u16),
        Err(HeaderError::OutOfRange { field: "hop_limit", value: 256, max: 255, .. })
    ));
    assert!(matches!(
        transport::Icmpv6::value().with("mtu", 1280u16),
        Err(HeaderError::Absent { field: "mtu", .. })
    ));
}

fn unpadded_stack(header: Header) -> Result<Vec<u8>, HeaderError> {
    Stack { headers: vec![ipv6(), header, udp()], payload: vec![], ..Stack::default() }.to_vec()
}

#[test]
fn a_shape_change_keeps_what_both_layouts_have() {
    let key = transport::Gre::value().with("key", 5u32).unwrap().with("sequence", 9u32).unwrap();
    assert_eq!(key.buffer_len(), 12);
    let without = key.clone().with("key", Value::Auto).unwrap();
    assert_eq!((without.buffer_len(), without.get("sequence")), (8, Ok(Value::Uint(9))));
    let qos = link::Dot11::value().with("addr3", [3u8; 6]).unwrap().with("subtype", 8u8).unwrap();
    assert_eq!((qos.buffer_len(), qos.get("addr3")), (26, Ok(Value::Mac([3; 6]))));
    let four = qos.with("to_ds", true).unwrap().with("from_ds", true).unwrap();
    assert_eq!((four.buffer_len(), four.get("addr3")), (32, Ok(Value::Mac([3; 6]))));
}

#[test]
fn a_value_that_is_refused_leaves_the_header_as_it_was() {
    let mut query = transport::Igmp::value().with("type", 0x11u8).unwrap();
    let before = query.clone();
    let wrong: Vec<IpAddr> = vec![Ipv6Addr::LOCALHOST.into()];
    assert!(query.set("sources", wrong).is_err());
    assert_eq!(query, before);
}

/// Every number is refused, or is what the field says afterwards.
#[test]
fn no_number_is_cut() {
    let numbers = |field: &FieldSpec, bytes: &[u8]| {
        let max = field.max_in(bytes);
        let wide = (1..64).map(|bit| (1u64 << bit) + 9);
        wide.chain([0, 1, max, max.saturating_add(1), u64::MAX, 0xff03, 0xc121]).collect::<Vec<_>>()
    };
    for kind in HeaderKind::ALL {
        let new = Header::new(*kind);
        for (index, field) in new.spec().fields.iter().enumerate() {
            if !matches!(field.ty, FieldType::Uint | FieldType::Flag) {
                continue;
            }
            for number in numbers(field, new.as_bytes()) {
                let mut header = new.clone();
                match header.set_at(index, Value::Uint(number)) {
                    Ok(()) => assert_eq!(header.get_at(index).uint(), Some(number), "{kind}.{}", field.name),
                    Err(_) => assert_eq!(header, new, "{kind}.{} after a refusal", field.name),
                }
                let max = field.max_in(header.as_bytes());
                assert!(number <= max || header == new, "{kind}.{}", field.name);
            }
        }
    }
}

#[test]
fn numbers_too_wide_for_a_moving_field_are_out_of_range() {
    let gre = || transport::Gre::value();
    for (name, number) in [("key", (1 << 32) + 5u64), ("sequence", (1 << 40) + 7), ("checksum", 65_545)] {
        let refused = gre().with(name, number).unwrap_err();
        assert!(matches!(refused, HeaderError::OutOfRange { value, .. } if value == number), "{refused}");
    }
    let ppp = link::Ppp::value;
    assert_eq!(
        ppp().with("protocol", 0x1_0021u32),
        Err(HeaderError::OutOfRange {
            kind: HeaderKind::Ppp,
            field: "protocol",
            value: 0x1_0021,
            max: 0xffff
        })
    );
    for (name, number) in [("address", 5u64), ("control", 9), ("protocol", 0xff03), ("protocol", 0x2145)] {
        let refused = ppp().with(name, number).unwrap_err();
        assert!(matches!(refused, HeaderError::Misread { value, .. } if value == number), "{refused}");
    }
}

#[test]
fn a_short_protocol_of_ppp_makes_room_for_a_long_one() {
    let short = Header::parse(HeaderKind::Ppp, &[0x21]).unwrap();
    assert_eq!(short.clone().with("protocol", 0x57u8).unwrap().as_bytes(), [0x57]);
    assert_eq!(short.clone().with("protocol", 0xc021u16).unwrap().as_bytes(), [0xc0, 0x21]);
    let mut open = short;
    open.reset_auto();
    let stack = Stack { headers: vec![open, network::Ipv6::value()], ..Stack::default() };
    assert_eq!(stack.to_vec().unwrap()[..2], [0, 0x57]);
}

#[test]
fn gre_version_1_has_a_key_with_the_payloads_length() {
    let gre = || transport::Gre::value().with("version", 1u8).unwrap();
    let emitted = |gre: Header| {
        let stack =
            Stack { headers: vec![gre, link::Ppp::value(), network::Ipv4::value()], ..Stack::default() };
        stack.to_vec().unwrap()
    };
    // RFC 2637 section 4.1: K is always set, and the key is payload length and call identifier.
    let bytes = emitted(gre().with("call_id", 7u8).unwrap().with("sequence", 1u8).unwrap());
    assert_eq!(bytes[..12], [0x30, 0x01, 0x88, 0x0b, 0, 22, 0, 7, 0, 0, 0, 1]);
    let bytes = emitted(gre().with("key", 0x0004_0001u32).unwrap());
    assert_eq!(bytes[..8], [0x20, 0x01, 0x88, 0x0b, 0, 4, 0, 1]);
    assert!(transport::Gre::value().with("call_id", 7u8).is_err());
}

#[test]
fn ieee_802_3_lengths_are_no_ethertypes() {
    let stack = |size: usize| Stack {
        headers: vec![link::Ethernet::value(), link::Llc::value()],
        payload: vec![0; size],
        ..Stack::default()
    };
    assert_eq!(stack(1497).to_vec().unwrap()[12..14], 1500u16.to_be_bytes());
    assert!(matches!(stack(1498).to_vec(), Err(HeaderError::TooLong { value: 1501, max: 1500, .. })));
    let mut cooked = stack(1600);
    cooked.headers[0] = link::LinuxSll::value();
    assert_eq!(cooked.to_vec().unwrap()[14..16], 4u16.to_be_bytes());
}

/// Padding behind frames whose link layer says their length is no part of them.
#[test]
fn padded_frames_without_ip_keep_their_lengths() {
    let ethernet = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let frames: [&[u8]; 4] = [
        // A bridge protocol unit, PPPoE with a link control message, a tagged one, and discovery.
        &[0, 7, 0x42, 0x42, 3, 0, 0, 0, 0],
        &[0x88, 0x64, 0x11, 0, 0, 1, 0, 10, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0],
        &[0x81, 0, 0, 5, 0, 7, 0x42, 0x42, 3, 0, 0, 0, 0],
        &[0x88, 0x63, 0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0],
    ];
    for behind in frames {
        let mut bytes = [&ethernet[..], behind].concat();
        let end = bytes.len();
        bytes.resize(60, 0);
        let frame = Frame::whole(&bytes, LinkType::ETHERNET);
        let dissection = Dissection::new(&frame, &Limits::default());
        assert_eq!(dissection.end, end);
        let mut stack = dissection.stack(&frame).unwrap();
        assert_eq!(stack.trailer_len(), 60 - end);
        stack.rederive();
        assert_eq!(stack.to_vec().unwrap(), bytes);
    }
}

/// The check sequence that radiotap announces is behind the packet, whatever the packet is.
#[test]
fn check_sequences_of_802_11_are_trailers() {
    let radiotap = [0, 0, 9, 0, 2, 0, 0, 0, 0x10];
    let llc = link::Llc::value().with("dsap", 0x42u8).unwrap();
    let data = link::Dot11::value();
    let beacon = link::Dot11::value().with("type", 0u8).unwrap().with("subtype", 8u8).unwrap();
    for frame in [[data.as_bytes(), llc.as_bytes(), b"abc"].concat(), [beacon.as_bytes(), &[0; 12]].concat()]
    {
        let bytes = [&radiotap[..], &frame, b"FCSX"].concat();
        let frame = Frame::whole(&bytes, LinkType::IEEE802_11_RADIOTAP);
        let stack = Dissection::new(&frame, &Limits::default()).stack(&frame).unwrap();
        assert_eq!(stack.trailers, [Trailer { uncounted: 0, bytes: b"FCSX".to_vec() }]);
        assert_eq!(stack.to_vec().unwrap(), bytes);
    }
}

#[test]
fn authentication_headers_are_aligned_to_their_ip_version() {
    let stack = |ip: Header, icv: &[u8]| {
        let auth = network::Auth::value().with("icv", icv).unwrap();
        Stack { headers: vec![ip, auth, transport::Tcp::value()], ..Stack::default() }
    };
    for (icv, four, six) in [(0, 12, 16), (12, 24, 24), (16, 28, 32)] {
        for (ip, len) in [(network::Ipv4::value(), four), (network::Ipv6::value(), six)] {
            let start = ip.buffer_len();
            let stack = stack(ip, &vec![7; icv]);
            let bytes = stack.to_vec().unwrap();
            assert_eq!((bytes.len(), stack.buffer_len()), (start + len + 20, start + len + 20));
            assert_eq!(usize::from(bytes[start + 1]), len / 4 - 2);
        }
    }
}

#[test]
fn loopback_of_openbsd_has_the_family_in_network_order() {
    let stack = |ip| Stack { headers: vec![link::Null::value(), ip], ..Stack::default() };
    for (ip, family) in [(network::Ipv4::value(), 2), (network::Ipv6::value(), 24)] {
        let mut stack = stack(ip);
        assert_eq!(stack.to_vec().unwrap()[1..4], [0; 3]);
        stack.fit(LinkType::LOOP);
        let bytes = stack.to_vec().unwrap();
        assert_eq!(bytes[..4], [0, 0, 0, family]);
        let found = Dissection::new(&Frame::whole(&bytes, LinkType::LOOP), &Limits::default());
        assert_eq!(found.headers.len(), 2);
    }
}

fn findings(bytes: &[u8], link: LinkType) -> Vec<String> {
    let frame = Frame::whole(bytes, link);
    let dissection = Dissection::new(&frame, &Limits::default());
    examine(&frame, &dissection).into_iter().map(|finding| finding.what).collect()
}

#[test]
fn tunnels_may_leave_the_checksum_out_over_ipv6() {
    let packet = |port: u16, tunnel: &[u8]| {
        let udp = transport::Udp::value().with("src_port", 1u8).unwrap().with("dst_port", port).unwrap();
        let ip = network::Ipv6::value().with("dst", Ipv6Addr::LOCALHOST).unwrap();
        let headers = vec![ip.with("src", Ipv6Addr::LOCALHOST).unwrap(), udp.with("checksum", 0u8).unwrap()];
        let mut payload = tunnel.to_vec();
        let inner = Stack { headers: vec![network::Ipv4::value()], ..Stack::default() };
        payload.extend(inner.to_vec().unwrap());
        Stack { headers, payload, ..Stack::default() }.to_vec().unwrap()
    };
    // VXLAN-GPE with IPv4 inside: the P bit, and the next protocol where VXLAN has reserved bits.
    let gpe = [0x0c, 0, 0, 1, 0, 0, 1, 0];
    assert_eq!(findings(&packet(4790, &gpe), LinkType::RAW), [""; 0]);
    for port in [8472, 6080, 6635, 2152] {
        let found = findings(&packet(port, &[0; 8]), LinkType::RAW);
        assert!(!found.iter().any(|what| what.contains("no checksum")), "{port}: {found:?}");
    }
    let found = findings(&packet(53, &[]), LinkType::RAW);
    assert!(found.iter().any(|what| what.contains("no checksum")), "{found:?}");
    let found = findings(&packet(4789, &gpe), LinkType::RAW);
    assert!(found.iter().any(|what| what.contains("flags beside")), "{found:?}");
}

#[test]
fn an_aggregate_of_several_frames_is_told() {
    let inner = Stack {
        headers: vec![link::Llc::value(), link::Snap::value(), network::Ipv4::value()],
        ..Stack::default()
    };
    let inner = inner.to_vec().unwrap();
    let subframe = [&[2; 12], &(inner.len() as u16).to_be_bytes()[..], &inner[..], &[0, 0]].concat();
    let dot11 = link::Dot11::value().with("subtype", 8u8).unwrap().with("qos", 0x80u8).unwrap();
    let frame = |count: usize| [dot11.as_bytes(), &subframe.repeat(count)].concat();
    assert_eq!(findings(&frame(1), LinkType::IEEE802_11), [""; 0]);
    let found = findings(&frame(2), LinkType::IEEE802_11);
    assert!(found[0].starts_with("an aggregate: only its first subframe is read; 44 bytes"), "{found:?}");
}
