//! Each rule: two packets, or the third of a train, that are merged or not, and why.
use crate::frames::*;
use crate::{run, split};
use netfast_buf::ChecksumState;
use netfast_offload::collate::{CollatorConfig, Reason};
use netfast_wire::LinkType;

/// A train of `count` packets.
fn train(first: &Packet, count: u16) -> Vec<Packet> {
    (0..count).map(|index| first.at(index)).collect()
}

fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(Packet::bytes).collect()
}

/// Collates with checksums that nobody looked at and with checksums known to be right; says the segments of what came
/// out, and how the packets that were not merged are counted.
fn outcome(config: CollatorConfig, packets: &[Packet]) -> (Vec<u16>, Vec<(Reason, u64)>) {
    let frames = bytes(packets);
    let unchecked = run(config, &frames, |_, _| ());
    let counters = unchecked.counters;
    let segments = unchecked.out.iter().map(|packet| packet.hot.gso_segments.max(1)).collect();
    assert_eq!(split(unchecked.out, config.link), frames, "split again");
    assert_eq!(unchecked.copied, 0);
    let reasons = Reason::ALL
        .iter()
        .map(|&reason| (reason, counters.not_merged(reason)))
        .filter(|(_, count)| *count > 0);
    (segments, reasons.collect())
}

fn all_shapes() -> Vec<Packet> {
    let mut shapes = Vec::new();
    for ip in [Ip::v4(), Ip::v6()] {
        for plain in [Packet::tcp(ip.clone(), 100, 301), Packet::udp(ip, 100, 301)] {
            shapes.push(plain.clone());
            shapes.push(plain.clone().with(|packet| packet.ethernet = false));
            shapes.push(plain.clone().with(|packet| packet.tags = vec![(0x8100, 0x6005)]));
            shapes.push(plain.clone().with(|packet| packet.tags = vec![(0x88a8, 7), (0x8100, 5)]));
            for outer in [Ip::v4(), Ip::v6()] {
                let carriers = [
                    Carrier::Ip,
                    Carrier::Gre { flags: 0, key: 0, sequence: 0, bridged: false },
                    Carrier::Gre { flags: 0x2000, key: 9, sequence: 0, bridged: true },
                    Carrier::Gre { flags: 0xa000, key: 9, sequence: 0, bridged: false },
                    Carrier::Gre { flags: 0x8000, key: 9, sequence: 0, bridged: true },
                    Carrier::Vxlan { vni: 9, flags: 8, zero: true },
                    Carrier::Vxlan { vni: 9, flags: 8, zero: false },
                    Carrier::Geneve { vni: 9, first: [0, 0], options: vec![], bridged: true, zero: true },
                    Carrier::Geneve { vni: 9, first: [0, 0], options: vec![], bridged: false, zero: true },
                    Carrier::Geneve {
                        vni: 9,
                        first: [0, 0x40],
                        options: vec![1, 2, 0x80, 1, 5, 6, 7, 8],
                        bridged: true,
                        zero: false,
                    },
                ];
                for carrier in carriers {
                    let tunnel = Some((Ip { id: 7, ..outer.clone() }, carrier));
                    shapes.push(plain.clone().with(|packet| packet.tunnel = tunnel));
                }
            }
        }
    }
    shapes
}

fn config_for(packet: &Packet) -> CollatorConfig {
    let link = if packet.ethernet { LinkType::ETHERNET } else { LinkType::RAW };
    CollatorConfig { link, ..CollatorConfig::default() }
}

#[test]
fn packets_of_every_shape_become_one_and_come_back() {
    for shape in all_shapes() {
        let config = config_for(&shape);
        let mut packets = train(&shape, 5);
        packets[4] = packets[4].clone().sized(100);
        let (segments, _) = outcome(config, &packets);
        assert_eq!(segments, [5], "{shape:?}");
    }
}

#[test]
fn packets_known_to_be_right_are_merged_alike_and_their_payload_is_not_read() {
    for shape in all_shapes() {
        let frames = bytes(&train(&shape, 6));
        let config = config_for(&shape);
        let merged = run(config, &frames, |_, packet| packet.hot.checksum = ChecksumState::Good);
        assert_eq!(merged.out.len(), 1, "{shape:?}");
        assert_eq!(merged.out[0].to_vec(), run(config, &frames, |_, _| ()).out[0].to_vec());
        assert_eq!(split(merged.out, config.link), frames);
    }
}

#[test]
fn a_wrong_checksum_is_found_at_each_place_of_a_train() {
    for shape in all_shapes() {
        for wrong in 0..4 {
            let mut packets = train(&shape, 4);
            packets[wrong].wrong = 0x101;
            let (segments, reasons) = outcome(config_for(&shape), &packets);
            let parts: &[u16] = match wrong {
                0 => &[1, 3],
                1 => &[1, 1, 2],
                2 => &[2, 1, 1],
                _ => &[3, 1],
            };
            assert_eq!(segments, parts, "{wrong} of {shape:?}");
            if wrong > 0 {
                assert!(reasons.contains(&(Reason::ChecksumBad, 1)), "{reasons:?}");
            }
        }
    }
}

/// What may come as the third of a train, and becomes of it: the segments of what comes out, and why the third (or the fourth)
/// was not merged.
#[track_caller]
fn third(first: &Packet, change: impl FnOnce(&mut Packet), segments: &[u16], reason: Option<Reason>) {
    let mut packets = train(first, 4);
    change(&mut packets[2]);
    let (found, reasons) = outcome(config_for(first), &packets);
    assert_eq!(found, segments);
    for other in reasons.iter().map(|(reason, _)| *reason).filter(|reason| *reason != Reason::First) {
        assert!(Some(other) == reason || other == Reason::Sequence || other == Reason::IpId, "{reasons:?}");
    }
    if let Some(reason) = reason {
        assert!(reasons.iter().any(|(found, _)| *found == reason), "{reason} is not in {reasons:?}");
    }
}

#[test]
fn tcp_headers() {
    let first = Packet::tcp(Ip::v4(), 0xffff_ff00, 200);
    third(&first, |_| (), &[4], None);
    third(&first, |third| third.tcp_mut(|tcp| tcp.ack += 1), &[2, 1, 1], Some(Reason::TcpHeader));
    third(&first, |third| third.tcp_mut(|tcp| tcp.window += 1), &[2, 1, 1], Some(Reason::TcpHeader));
    third(&first, |third| third.tcp_mut(|tcp| tcp.urgent = 1), &[2, 1, 1], Some(Reason::TcpHeader));
    third(
        &first,
        |third| third.tcp_mut(|tcp| tcp.seq = tcp.seq.wrapping_add(1)),
        &[2, 1, 1],
        Some(Reason::Sequence),
    );
    third(
        &first,
        |third| third.tcp_mut(|tcp| tcp.seq = tcp.seq.wrapping_sub(200)),
        &[2, 1, 1],
        Some(Reason::Sequence),
    );
    third(&first, |third| third.tcp_mut(|tcp| tcp.options[7] += 1), &[2, 1, 1], Some(Reason::TcpOptions));
    third(&first, |third| third.tcp_mut(|tcp| tcp.options[11] += 1), &[2, 1, 1], Some(Reason::TcpOptions));
    third(
        &first,
        |third| third.tcp_mut(|tcp| tcp.options = vec![1, 1, 1, 1]),
        &[2, 1, 1],
        Some(Reason::TcpOptions),
    );
    third(&first, |third| third.ports.0 += 1, &[2, 1, 1], None);
}

#[test]
fn tcp_flags() {
    let first = Packet::tcp(Ip::v6(), 5, 200);
    third(&first, |third| *third = third.clone().flags(PSH), &[3, 1], None);
    third(&first, |third| *third = third.clone().flags(FIN), &[3, 1], None);
    third(&first, |third| *third = third.clone().flags(FIN | PSH), &[3, 1], None);
    third(&first, |third| *third = third.clone().flags(SYN), &[2, 1, 1], Some(Reason::TcpFlags));
    third(&first, |third| *third = third.clone().flags(RST), &[2, 1, 1], Some(Reason::TcpFlags));
    third(&first, |third| *third = third.clone().flags(URG), &[2, 1, 1], Some(Reason::TcpFlags));
    third(&first, |third| *third = third.clone().flags(ECE), &[2, 1, 1], Some(Reason::TcpHeader));
    third(&first, |third| *third = third.clone().flags(CWR), &[2, 2], Some(Reason::Cwr));
    let ended = |flags| train(&first, 3).into_iter().map(|packet| packet.flags(flags)).collect::<Vec<_>>();
    let config = config_for(&first);
    assert_eq!(outcome(config, &ended(PSH)), (vec![1, 1, 1], vec![(Reason::Push, 3)]));
    assert_eq!(outcome(config, &ended(FIN)), (vec![1, 1, 1], vec![(Reason::Push, 3)]));
    assert_eq!(outcome(config, &ended(ECE)).0, [3], "an echo is in all segments");
    assert_eq!(outcome(config, &ended(CWR)), (vec![1, 1, 1], vec![(Reason::First, 1), (Reason::Cwr, 2)]));
    let mut reduced = train(&first, 3);
    reduced[0] = reduced[0].clone().flags(CWR);
    assert_eq!(outcome(config, &reduced).0, [3], "CWR may be the first one's");
}

#[test]
fn payloads() {
    for first in [Packet::tcp(Ip::v4(), 5, 200), Packet::udp(Ip::v4(), 5, 200)] {
        third(&first, |third| *third = third.clone().sized(199), &[3, 1], None);
        third(&first, |third| *third = third.clone().sized(1), &[3, 1], None);
        third(&first, |third| *third = third.clone().sized(0), &[2, 1, 1], Some(Reason::NoPayload));
    }
    let stream = Packet::tcp(Ip::v4(), 5, 200);
    let datagrams = Packet::udp(Ip::v4(), 5, 200);
    third(&stream, |third| *third = third.clone().sized(201), &[2, 1, 1], Some(Reason::Longer));
    // The fourth one is shorter than the third, and so its last.
    third(&datagrams, |third| *third = third.clone().sized(201), &[2, 2], Some(Reason::Longer));
    // A padded acknowledgment is counted as what it is.
    third(
        &stream,
        |third| {
            *third = third.clone().sized(0);
            third.trailer = 6;
        },
        &[2, 1, 1],
        Some(Reason::NoPayload),
    );
    third(&stream, |third| third.trailer = 4, &[2, 1, 1], Some(Reason::Trailer));
}

#[test]
fn ipv4_headers() {
    let first = Packet::tcp(Ip { id: 0xffff, ..Ip::v4() }, 5, 200);
    third(&first, |third| third.ip.tos = 4, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.ttl = 63, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.fragment = 0, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.fragment = 0x6000, &[2, 1, 1], Some(Reason::Fragment));
    third(&first, |third| third.ip.fragment = 0x4001, &[2, 1, 1], Some(Reason::Fragment));
    third(&first, |third| third.ip.fragment = 0xc000, &[2, 1, 1], Some(Reason::ReservedFlag));
    third(&first, |third| third.ip.options = vec![1, 1, 1, 0], &[2, 1, 1], Some(Reason::IpOptions));
    third(&first, |third| third.ip.wrong = 1, &[2, 1, 1], Some(Reason::ChecksumBad));
    third(&first, |third| third.ip.src = 9, &[2, 1, 1], None);
    third(&first, |third| third.ip.id += 2, &[2, 1, 1], Some(Reason::IpId));
    third(&first, |third| third.ip.id += 1, &[2, 2], Some(Reason::IpId));
    third(&first, |third| third.ip.id = 0, &[2, 1, 1], Some(Reason::IpId));
}

#[test]
fn identifications() {
    let first = Packet::tcp(Ip::v4(), 5, 200);
    let ids = |fragment: u16, ids: [u16; 4]| {
        let mut packets = train(&first, 4);
        for (packet, id) in packets.iter_mut().zip(ids) {
            (packet.ip.id, packet.ip.fragment) = (id, fragment);
        }
        outcome(config_for(&first), &packets).0
    };
    let dont = 0x4000;
    assert_eq!(ids(dont, [7, 8, 9, 10]), [4]);
    assert_eq!(ids(0, [7, 8, 9, 10]), [4]);
    assert_eq!(ids(dont, [0xfffe, 0xffff, 0, 1]), [4]);
    assert_eq!(ids(dont, [0, 0, 0, 0]), [4]);
    assert_eq!(ids(dont, [7, 7, 7, 7]), [4]);
    assert_eq!(ids(0, [7, 7, 7, 7]), [1, 1, 1, 1]);
    assert_eq!(ids(dont, [7, 7, 8, 9]), [2, 2]);
    assert_eq!(ids(dont, [7, 8, 8, 8]), [2, 2]);
    assert_eq!(ids(dont, [9, 8, 7, 6]), [1, 1, 1, 1]);
    assert_eq!(ids(dont, [1, 3, 5, 7]), [1, 1, 1, 1]);
}

#[test]
fn identifications_in_tunnels_are_told_apart() {
    let carrier = Carrier::Vxlan { vni: 1, flags: 8, zero: true };
    let first = Packet::tcp(Ip::v4(), 5, 200).with(|packet| packet.tunnel = Some((Ip::v4(), carrier)));
    for (outer, inner, segments) in [(1, 1, 4), (0, 1, 4), (1, 0, 4), (0, 0, 4), (2, 1, 1), (1, 2, 1)] {
        let mut packets = train(&first, 4);
        for (index, packet) in packets.iter_mut().enumerate() {
            packet.ip.id = 50 + index as u16 * inner;
            packet.tunnel.as_mut().expect("it has one").0.id = 90 + index as u16 * outer;
        }
        assert_eq!(outcome(config_for(&first), &packets).0[0], segments, "{outer} {inner}");
    }
}

#[test]
fn ipv6_headers() {
    let padding = |kind: u8| (kind, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let first = Packet::tcp(Ip { label: 77, ..Ip::v6() }, 5, 200);
    third(&first, |third| third.ip.tos = 4, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.ttl = 63, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.label = 78, &[2, 1, 1], Some(Reason::IpHeader));
    third(&first, |third| third.ip.extensions = vec![padding(0)], &[2, 1, 1], Some(Reason::LinkHeader));
    let fragment = |more: u8| vec![(44, vec![0, 0, 0, more, 0, 0, 0, 9])];
    third(&first, |third| third.ip.extensions = fragment(1), &[2, 1, 1], Some(Reason::Fragment));
    third(&first, |third| third.ip.extensions = fragment(0), &[2, 1, 1], Some(Reason::Fragment));

    let routed =
        |left: u8| (43, vec![0, 2, 4, left, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let extended =
        first.clone().with(|packet| packet.ip.extensions = vec![padding(0), padding(60), routed(0)]);
    third(&extended, |_| (), &[4], None);
    third(&extended, |third| third.ip.extensions[1].1[5] = 1, &[2, 1, 1], Some(Reason::IpHeader));
    third(&extended, |third| third.ip.extensions[2] = routed(1), &[2, 1, 1], Some(Reason::ExtensionHeader));
    let many = first.clone().with(|packet| packet.ip.extensions = vec![padding(60); 9]);
    assert_eq!(outcome(config_for(&many), &train(&many, 2)).1, [(Reason::ExtensionHeader, 2)]);
    let long = first.clone().with(|packet| packet.ip.extensions = vec![(60, vec![0; 256])]);
    let mut packets = train(&long, 2);
    packets.iter_mut().for_each(|packet| packet.ip.extensions[0].1[1] = 31);
    assert_eq!(outcome(config_for(&long), &packets).1, [(Reason::HeadersTooLong, 2)]);
    let home = first.clone().with(|packet| {
        let mut option = vec![0, 2, 1, 2, 0, 0, 0xc9, 16];
        option.extend([3; 16]);
        packet.ip.extensions = vec![(60, option)];
        packet.wrong = 7;
    });
    let frames = bytes(&train(&home, 2));
    let good = run(config_for(&home), &frames, |_, packet| packet.hot.checksum = ChecksumState::Good);
    assert_eq!(good.out.len(), 2, "a checksum of other addresses is not made anew");
}

#[test]
fn link_headers() {
    let first = Packet::tcp(Ip::v4(), 5, 200).with(|packet| packet.tags = vec![(0x8100, 0x2005)]);
    third(&first, |third| third.mac = 6, &[2, 1, 1], Some(Reason::LinkHeader));
    third(&first, |third| third.tags[0].1 = 0x4005, &[2, 1, 1], Some(Reason::LinkHeader));
    third(&first, |third| third.tags[0].1 = 0x2006, &[2, 1, 1], None);
    third(&first, |third| third.tags[0].0 = 0x88a8, &[2, 1, 1], Some(Reason::LinkHeader));
    third(&first, |third| third.tags.push((0x8100, 1)), &[2, 1, 1], None);
    third(&first, |third| third.tags.clear(), &[2, 1, 1], None);
}

#[test]
fn udp_checksums() {
    let zero = |packet: &mut Packet| packet.transport = Transport::Udp { zero: true };
    let first = Packet::udp(Ip::v4(), 5, 200);
    third(&first, |_| (), &[4], None);
    third(&first, zero, &[2, 1, 1], Some(Reason::ChecksumZero));
    third(&first.clone().with(zero), |_| (), &[4], None);
    third(
        &first.clone().with(zero),
        |third| third.transport = Transport::Udp { zero: false },
        &[2, 1, 1],
        Some(Reason::ChecksumZero),
    );
    let six = Packet::udp(Ip::v6(), 5, 200).with(zero);
    assert_eq!(outcome(config_for(&six), &train(&six, 2)).1, [(Reason::ChecksumZero, 2)]);
    // Inside of a tunnel whose own checksum covers it, and beside one without.
    for outer_zero in [false, true] {
        let carrier = Carrier::Vxlan { vni: 1, flags: 8, zero: outer_zero };
        let inside = first.clone().with(zero).with(|packet| packet.tunnel = Some((Ip::v4(), carrier)));
        third(&inside, |_| (), &[4], None);
        let frames = bytes(&train(&inside, 4));
        let good = run(config_for(&inside), &frames, |_, packet| packet.hot.checksum = ChecksumState::Good);
        assert_eq!(split(good.out, LinkType::ETHERNET), frames);
    }
}

#[test]
fn tunnels() {
    let inside = |carrier| {
        Packet::tcp(Ip::v4(), 5, 200).with(|packet| packet.tunnel = Some((Ip { id: 3, ..Ip::v4() }, carrier)))
    };
    let vxlan = inside(Carrier::Vxlan { vni: 1, flags: 8, zero: true });
    let set = |third: &mut Packet, carrier| third.tunnel.as_mut().expect("it has one").1 = carrier;
    third(&vxlan, |third| set(third, Carrier::Vxlan { vni: 2, flags: 8, zero: true }), &[2, 1, 1], None);
    third(
        &vxlan,
        |third| set(third, Carrier::Vxlan { vni: 1, flags: 9, zero: true }),
        &[2, 1, 1],
        Some(Reason::LinkHeader),
    );
    third(
        &vxlan,
        |third| set(third, Carrier::Vxlan { vni: 1, flags: 8, zero: false }),
        &[2, 1, 1],
        Some(Reason::ChecksumZero),
    );
    third(
        &vxlan,
        |third| third.tunnel.as_mut().expect("it has one").0.ttl = 9,
        &[2, 1, 1],
        Some(Reason::IpHeader),
    );
    third(&vxlan, |third| third.ip.ttl = 9, &[2, 1, 1], Some(Reason::IpHeader));
    let refused = |carrier| {
        let first = inside(carrier);
        outcome(config_for(&first), &train(&first, 2)).1
    };
    let tunnel = [(Reason::Tunnel, 2)];
    assert_eq!(refused(Carrier::Vxlan { vni: 1, flags: 0, zero: true }), tunnel);
    assert_eq!(refused(Carrier::Gre { flags: 0x1000, key: 0, sequence: 5, bridged: false }), tunnel);
    assert_eq!(refused(Carrier::Gre { flags: 0x0001, key: 0, sequence: 5, bridged: false }), tunnel);
    let geneve = |first| Carrier::Geneve { vni: 1, first, options: vec![], bridged: true, zero: true };
    assert_eq!(refused(geneve([0x40, 0])), tunnel);
    assert_eq!(refused(geneve([0, 0x80])), tunnel);
    let without = CollatorConfig { tunnels: false, ..CollatorConfig::default() };
    assert_eq!(outcome(without, &train(&vxlan, 2)).1, tunnel);
    // One in another: the frame of a tunnel becomes the payload of one more.
    let mut nested = train(&vxlan, 2);
    for packet in &mut nested {
        let whole = packet.clone().with(|packet| packet.ethernet = false).bytes();
        *packet = Packet::udp(Ip::v4(), 5, 0).with(|packet| packet.ports.1 = 4789);
        packet.payload = vec![8, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        packet.payload.extend(whole);
    }
    assert_eq!(outcome(config_for(&vxlan), &nested).1, tunnel);
}

#[test]
fn protocols_may_be_switched_off() {
    let off = CollatorConfig { tcp: false, udp: false, ..CollatorConfig::default() };
    for first in [Packet::tcp(Ip::v4(), 5, 200), Packet::udp(Ip::v4(), 5, 200)] {
        assert_eq!(outcome(off, &train(&first, 2)), (vec![1, 1], vec![(Reason::Protocol, 2)]));
    }
}

#[test]
fn a_checksum_in_its_other_form_would_not_come_back() {
    // Payload for which the checksum is zero, which as 0xffff is right, too.
    for offset in [16, 10] {
        let first = Packet::tcp(Ip::v4(), 5, 200);
        let mut packets = train(&first, 3);
        let at = if offset == 16 { 14 + 20 + 16 } else { 14 + 10 };
        if offset == 16 {
            let sum = packets[1].bytes();
            let sum = u16::from_be_bytes([sum[at], sum[at + 1]]);
            let old = u16::from_be_bytes([packets[1].payload[0], packets[1].payload[1]]);
            let new = (u32::from(old) + u32::from(sum)) % 0xffff;
            packets[1].payload[..2].copy_from_slice(&(new as u16).to_be_bytes());
        } else {
            let sum = packets[1].bytes();
            let sum = u16::from_be_bytes([sum[at], sum[at + 1]]);
            let gap = sum.wrapping_sub(u16::from(sum > 0xffff - packets[1].ip.id));
            packets.iter_mut().for_each(|packet| packet.ip.id = packet.ip.id.wrapping_add(gap));
        }
        let mut frames = bytes(&packets);
        assert_eq!(frames[1][at..at + 2], [0, 0], "the case is made as it was meant");
        assert_eq!(run(config_for(&first), &frames, |_, _| ()).out.len(), 1);
        frames[1][at..at + 2].fill(0xff);
        for state in [ChecksumState::Unchecked, ChecksumState::Good] {
            let merged = run(config_for(&first), &frames, |_, packet| packet.hot.checksum = state);
            assert_eq!(merged.counters.not_merged(Reason::ChecksumForm), 1);
            assert_eq!(split(merged.out, LinkType::ETHERNET), frames);
        }
    }
}

#[test]
fn states_of_checksums() {
    let first = Packet::tcp(Ip::v4(), 5, 200);
    let frames = bytes(&train(&first, 4));
    let bad = run(config_for(&first), &frames, |at, packet| {
        packet.hot.checksum = if at == 1 { ChecksumState::Bad } else { ChecksumState::Good };
    });
    assert_eq!(bad.out.len(), 3);
    assert_eq!(bad.counters.not_merged(Reason::ChecksumBad), 1);

    // Packets whose checksums are yet to be filled in become one that is so, too.
    let partial: Vec<_> =
        train(&first, 4).into_iter().map(|packet| packet.with(|p| p.partial = true)).collect();
    let mark = |_: usize, packet: &mut netfast_buf::Skb| packet.hot.checksum = ChecksumState::Partial;
    let merged = run(config_for(&first), &bytes(&partial), mark);
    assert_eq!((merged.out.len(), merged.out[0].hot.checksum), (1, ChecksumState::Partial));
    let whole = first.clone().sized(800).with(|packet| packet.partial = true).bytes();
    assert_eq!(merged.out[0].to_vec(), whole);
    let mixed = run(config_for(&first), &bytes(&partial), |at, packet| {
        if at != 1 {
            packet.hot.checksum = ChecksumState::Partial;
        }
    });
    assert_eq!(mixed.out.len(), 3);
    assert_eq!(mixed.counters.not_merged(Reason::ChecksumPartial), 2);
    let wrong = run(config_for(&first), &frames, mark);
    assert_eq!(wrong.out.len(), 4, "the field holds something else");
}

#[test]
fn what_is_no_ip_packet_passes() {
    let frames = vec![
        vec![],
        vec![1],
        vec![0; 13],
        vec![0; 60],
        [[2u8; 12].as_slice(), &[8, 6], &[0; 46]].concat(),
        [[2u8; 12].as_slice(), &[8, 0], &[0x45; 10]].concat(),
    ];
    let passed = run(CollatorConfig::default(), &frames, |_, _| ());
    assert_eq!(passed.counters.out, 6);
    assert_eq!(passed.counters.not_merged(Reason::NotIp), 2);
    assert_eq!(passed.counters.not_merged(Reason::Malformed), 4);
    assert_eq!(passed.out.iter().map(netfast_buf::Skb::to_vec).collect::<Vec<_>>(), frames);
    // A super-packet is not merged again, and goes in its turn.
    let first = Packet::tcp(Ip::v4(), 5, 200);
    let again = run(config_for(&first), &bytes(&train(&first, 4)), |at, packet| {
        packet.hot.gso_size = if at == 2 { 100 } else { 0 };
    });
    assert_eq!(again.out.iter().map(|packet| packet.hot.gso_segments).collect::<Vec<_>>(), [2, 0, 0]);
    assert_eq!(again.counters.not_merged(Reason::Super), 1);
}
