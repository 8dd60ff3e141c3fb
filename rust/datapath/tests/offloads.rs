//! Super-packets: merged where a port does so, cut where one takes none, whole where it does.
mod common;
use common::*;
use netfast_buf::{ChecksumState, GsoType, PacketBatch, Skb};
use netfast_datapath::{DropReason, Known, NodeConfig, NodeError, PortConfig, Tracking};
use netfast_offload::features::{FeatureError, FeatureSet};
use netfast_offload::segment::leave_checksum;
use netfast_time::Duration;
use netfast_wire::LinkType;

const CLIENT: (&str, u16) = ("192.0.2.10", 4000);
const SERVER: (&str, u16) = ("198.51.100.7", 80);
const CLIENT_6: (&str, u16) = ("2001:db8:1::10", 4000);
const SERVER_6: (&str, u16) = ("2001:db8:5::7", 80);
const NAT: &str =
    "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade\n}\n}";

fn segmentation() -> FeatureSet {
    FeatureSet::SCATTER_GATHER
        .with(FeatureSet::TX_CHECKSUM_IP_GENERIC)
        .with(FeatureSet::TCP_SEGMENTATION)
        .with(FeatureSet::TX_UDP_SEGMENTATION)
}

/// A TCP super-packet of the client's.
fn super_packet(router: &mut Router, from: (&str, u16), to: (&str, u16), size: u16, payload: usize) -> Skb {
    let frame = tcp(LAN, from, to, Segment { flags: ACK, seq: 1, ack: 1, payload });
    let mut packet = Skb::from_slice(&frame, router.node.pool()).unwrap();
    packet.hot.gso_size = size;
    packet
}

fn push(router: &mut Router, packet: Skb) -> [Vec<Skb>; 2] {
    let mut batch = PacketBatch::new();
    batch.push(packet).unwrap();
    router.node.push(router.now, LAN, &mut batch, &mut router.out);
    router.check();
    [LAN, WAN].map(|port| router.out.take_port(port))
}

#[test]
fn a_super_packet_is_measured_by_its_pieces() {
    let mut router = Router::new("");
    router.node.set_features(WAN, segmentation()).unwrap();
    for (from, to, most) in [(CLIENT, SERVER, 1_460), (CLIENT_6, SERVER_6, 1_440)] {
        for (size, passes) in [(most, true), (most + 1, false)] {
            let packet = super_packet(&mut router, from, to, size, 5_000);
            let [lan, wan] = push(&mut router, packet);
            assert_eq!((wan.len(), lan.len()), if passes { (1, 0) } else { (0, 1) });
        }
    }
    let counts = router.node.port_counts(WAN).unwrap();
    assert_eq!((counts.super_packets, counts.segments, counts.packets_out), (2, 0, 2));
}

#[test]
fn a_port_that_takes_none_gets_segments() {
    for rules in ["", NAT] {
        let mut router = Router::new(rules);
        for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
            let packet = super_packet(&mut router, from, to, 1_000, 4_500);
            let before = router.node.counters().created;
            let [lan, wan] = push(&mut router, packet);
            assert_eq!((lan.len(), wan.len()), (0, 5));
            assert_eq!(router.node.counters().created - before, 4);
            let mut seq = 1;
            for (at, segment) in wan.iter().enumerate() {
                let bytes = segment.to_vec();
                let layers = seen(&bytes);
                let l4 = layers.l4_offset as usize;
                assert_eq!(bytes[l4 + 4..l4 + 8], u32::to_be_bytes(seq));
                let payload = if at < 4 { 1_000 } else { 500 };
                assert_eq!(bytes.len(), l4 + 20 + payload);
                assert_eq!((bytes[0..6] == SERVER_MAC, segment.hot.gso_size), (true, 0));
                seq += payload as u32;
            }
        }
        let counts = router.node.port_counts(WAN).unwrap();
        assert_eq!((counts.super_packets, counts.segments, counts.packets_out), (2, 10, 10));
    }
}

/// A kernel behind a TAP interface leaves the checksum of its segments to the device.
#[test]
fn segments_without_their_checksum_are_rejected_by_a_reset() {
    for hook in ["input", "forward"] {
        let rules = format!(
            "table inet t {{ chain c {{ type filter hook {hook} priority 0; tcp dport 80 reject with tcp reset\n}}\n}}"
        );
        let mut router = Router::new(&rules);
        let own = [("192.0.2.1", 80), ("2001:db8:1::1", 80)];
        let [to, to6] = if hook == "input" { own } else { [SERVER, SERVER_6] };
        for (from, to, size) in
            [(CLIENT, to, 0), (CLIENT_6, to6, 0), (CLIENT, to, 1_000), (CLIENT_6, to6, 1_000)]
        {
            let mut packet = super_packet(&mut router, from, to, size, 1_200);
            leave_checksum(&mut packet, LinkType::ETHERNET, router.node.pool()).unwrap();
            let [lan, wan] = push(&mut router, packet);
            assert_eq!((lan.len(), wan.len()), (1, 0), "{hook}");
            let bytes = lan[0].to_vec();
            assert_eq!(dst(&bytes), (from.0.to_owned(), from.1));
            assert_ne!(bytes[seen(&bytes).l4_offset as usize + 13] & RST, 0);
        }
        let mut wrong = tcp(LAN, CLIENT, to, Segment { flags: SYN, seq: 1, ack: 0, payload: 0 });
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(router.push(LAN, &wrong), None, "its checksum is wrong");
    }
}

#[test]
fn checksums_are_left_to_ports_that_fill_them_in() {
    for (features, partial) in [(FeatureSet::NONE, false), (segmentation(), true)] {
        for rules in ["", NAT] {
            let mut router = Router::new(rules);
            router.node.set_features(WAN, features).unwrap();
            for size in [0, 1_000] {
                for _ in 0..3 {
                    router.wait(1);
                    let mut packet = super_packet(&mut router, CLIENT, SERVER, size, 1_400);
                    leave_checksum(&mut packet, LinkType::ETHERNET, router.node.pool()).unwrap();
                    assert_eq!(packet.hot.checksum, ChecksumState::Partial);
                    let [_, wan] = push(&mut router, packet);
                    assert_eq!(wan.len(), if partial || size == 0 { 1 } else { 2 });
                    for mut packet in wan {
                        assert_eq!(packet.hot.checksum == ChecksumState::Partial, partial);
                        let mut pool = netfast_buf::PacketPool::default();
                        netfast_offload::segment::finish_checksum(&mut packet, LinkType::ETHERNET, &mut pool)
                            .unwrap();
                        let layers = seen(&packet.to_vec());
                        assert!(layers.payload_len > 0);
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_is_dropped() {
    let mut router = Router::new("");
    let syn = tcp(LAN, CLIENT, SERVER, Segment { flags: SYN, seq: 1, ack: 0, payload: 3_000 });
    let ping = echo(LAN, "192.0.2.10", "198.51.100.7", true, 7);
    for (frame, size) in [(syn, 1_000), (ping, 4)] {
        let mut packet = Skb::from_slice(&frame, router.node.pool()).unwrap();
        packet.hot.gso_size = size;
        let [lan, wan] = push(&mut router, packet);
        assert!(lan.is_empty() && wan.is_empty());
    }
    let mut fragment = udp(LAN, CLIENT, SERVER, &[0; 2_000]);
    fragment[20] = 0x20;
    fix_ipv4(&mut fragment);
    let mut packet = Skb::from_slice(&fragment, router.node.pool()).unwrap();
    (packet.hot.gso_size, packet.hot.gso_type) = (1_000, GsoType::Udp);
    push(&mut router, packet);
    let dropped: Vec<_> = router.node.counters().dropped.iter().collect();
    assert_eq!(dropped, [(DropReason::Malformed, 1), (DropReason::Offload, 2)]);
}

/// Segments of a conversation, in order, with another flow between them.
fn conversation(from: (&str, u16), to: (&str, u16), count: u32) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for at in 0..count {
        let mut frame =
            tcp(LAN, from, to, Segment { flags: ACK, seq: 1 + at * 1_000, ack: 1, payload: 1_000 });
        if frame[14] >> 4 == 4 {
            frame[18..20].copy_from_slice(&(at as u16).to_be_bytes());
            fix_ipv4(&mut frame);
        }
        frames.push(frame);
        let other = (from.0, 5_000);
        frames.push(udp(LAN, other, to, &[at as u8; 100]));
    }
    frames
}

#[test]
fn what_is_merged_and_cut_again_is_what_came() {
    for rules in ["", NAT] {
        for features in
            [FeatureSet::GENERIC_RECEIVE, FeatureSet::GENERIC_RECEIVE.with(FeatureSet::RX_UDP_GRO_FORWARDING)]
        {
            let config = NodeConfig { tracking: Tracking::On, ..NodeConfig::default() };
            let mut plain = Router::with(config.clone(), rules);
            let mut merging = Router::with(config, rules);
            merging.node.set_features(LAN, features).unwrap();
            for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
                for count in [1, 2, 40, 100] {
                    let frames = conversation(from, to, count);
                    let [_, expected] = plain.push_all(LAN, &frames);
                    let [_, got] = merging.push_all(LAN, &frames);
                    // The order is that of each flow.
                    for protocol in [6, 17] {
                        let of = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
                            frames.iter().filter(|frame| seen(frame).protocol == protocol).cloned().collect()
                        };
                        assert_eq!(of(&got), of(&expected));
                    }
                    assert_eq!(got.len(), expected.len());
                }
            }
            let (lan, wan) = (merging.node.port_counts(LAN).unwrap(), merging.node.port_counts(WAN).unwrap());
            assert!(lan.merged > 200 && wan.super_packets > 0, "{lan:?} {wan:?}");
            assert_eq!(merging.node.counters().absorbed, lan.merged);
            assert_eq!((lan.packets_in, wan.packets_out), (572, 572));
            assert_eq!(wan.segments, lan.merged + wan.super_packets);
        }
    }
}

#[test]
fn what_is_merged_leaves_whole_where_a_port_takes_it() {
    let mut router = Router::new("");
    router.node.set_features(LAN, FeatureSet::GENERIC_RECEIVE).unwrap();
    router.node.set_features(WAN, segmentation()).unwrap();
    let frames: Vec<_> = conversation(CLIENT, SERVER, 10).into_iter().step_by(2).collect();
    let [_, wan] = router.push_all(LAN, &frames);
    assert_eq!((wan.len(), wan[0].len()), (1, 14 + 40 + 10_000));
    assert_eq!(seen(&wan[0]).payload_len, 10_000);
}

/// An IPv4 frame with another identification, and with "don't fragment" or without.
fn named(mut frame: Vec<u8>, identification: u16, dont_fragment: bool) -> Vec<u8> {
    frame[18..20].copy_from_slice(&identification.to_be_bytes());
    frame[20] = if dont_fragment { 0x40 } else { 0 };
    fix_ipv4(&mut frame);
    frame
}

/// TCP, UDP, and TCP through VXLAN, each frame longer than the next link's MTU: the last by the tunnel's headers alone.
fn too_long(dont_fragment: bool) -> [Vec<Vec<u8>>; 3] {
    const SIZE: usize = 1_470;
    let frames = |make: &dyn Fn(u16) -> Vec<u8>| -> Vec<Vec<u8>> {
        (7..11).map(|at| named(make(at), at, dont_fragment)).collect()
    };
    let segment = |at: u16| {
        let segment = Segment { flags: ACK, seq: u32::from(at) * SIZE as u32, ack: 1, payload: SIZE };
        tcp(LAN, CLIENT, SERVER, segment)
    };
    [
        frames(&segment),
        frames(&|at| udp(LAN, CLIENT, SERVER, &[at as u8; 1_500])),
        frames(&|at| {
            let tunnel = [&[8, 0, 0, 0, 0, 0, 5, 0], &*named(segment(at), at, true)].concat();
            udp(LAN, CLIENT, (SERVER.0, 4789), &tunnel)
        }),
    ]
}

#[test]
fn what_is_merged_and_does_not_fit_is_what_it_would_be_alone() {
    let features = FeatureSet::GENERIC_RECEIVE.with(FeatureSet::RX_UDP_GRO_FORWARDING);
    for (wan_features, tracking) in
        [(FeatureSet::NONE, Tracking::On), (segmentation(), Tracking::On), (segmentation(), Tracking::Off)]
    {
        for dont_fragment in [false, true] {
            let config = NodeConfig { tracking, ..NodeConfig::default() };
            let mut plain = Router::with(config.clone(), "");
            let mut merging = Router::with(config, "");
            merging.node.set_features(LAN, features).unwrap();
            merging.node.set_features(WAN, wan_features).unwrap();
            for frames in too_long(dont_fragment) {
                // By the tables, and by what the cache knows then.
                for _ in 0..2 {
                    let [told, expected] = plain.push_all(LAN, &frames);
                    let [told_merged, got] = merging.push_all(LAN, &frames);
                    assert_eq!(got, expected);
                    assert_eq!(got.len(), if dont_fragment { 0 } else { 2 * frames.len() });
                    assert_eq!(told_merged.is_empty(), told.is_empty());
                }
            }
            assert!(merging.node.port_counts(LAN).unwrap().merged > 0);
        }
    }
}

#[test]
fn packets_wait_for_others_as_long_as_they_may() {
    let config = PortConfig {
        addresses: vec![(ip("198.18.0.1"), 24)],
        features: FeatureSet::GENERIC_RECEIVE,
        gro_flush_timeout: Duration::from_millis(2),
        ..PortConfig::new("slow", [2, 0, 0, 0, 0, 3])
    };
    let mut router = Router::new("");
    let port = router.node.add_port(config).unwrap();
    let frames = |from: u32, to: u32| -> Vec<_> {
        let made = conversation(("198.18.0.10", 4000), SERVER, to).into_iter().step_by(2);
        made.skip(from as usize).map(|frame| [&[2, 0, 0, 0, 0, 3], &frame[6..]].concat()).collect()
    };
    let [_, wan] = router.push_all(port, &frames(0, 4));
    assert_eq!((wan.len(), router.node.counters().held, router.node.counters().absorbed), (0, 1, 3));
    router.wait(1);
    let [_, wan] = router.push_all(port, &frames(4, 6));
    assert_eq!((wan.len(), router.node.counters().held), (0, 1));
    assert_eq!(router.node.next_timeout(), Some(router.now + Duration::from_millis(1)));
    router.wait(1);
    router.node.poll(router.now, &mut router.out);
    let [_, wan] = router.taken();
    assert_eq!((wan.len(), router.node.counters().held), (6, 0));
    // Turned off, it holds nothing back; taken away, it loses what it holds, counted.
    router.push_all(port, &frames(6, 8));
    router.node.set_features(port, FeatureSet::NONE).unwrap();
    let [_, wan] = router.push_all(port, &frames(8, 9));
    assert_eq!((wan.len(), router.node.counters().held), (3, 0));
    router.node.set_features(port, FeatureSet::GENERIC_RECEIVE).unwrap();
    router.push_all(port, &frames(9, 11));
    router.node.remove_port(port).unwrap();
    router.check();
    assert_eq!((router.node.counters().held, router.node.dropped(DropReason::UnknownPort)), (0, 1));
}

#[test]
fn features_depend_on_each_other_and_are_inherited() {
    let mut router = Router::new("");
    let none = router.node.features(LAN).unwrap();
    assert!(none.is_empty());
    router.node.set_features(LAN, FeatureSet::TX_TCP_SEGMENTATION).unwrap();
    assert!(router.node.features(LAN).unwrap().is_empty(), "what it needs is off");
    router.node.set_features(LAN, segmentation()).unwrap();
    assert!(router.node.features(LAN).unwrap().has(FeatureSet::TX_TCP_SEGMENTATION));
    let vlan = PortConfig { vlan: Some((LAN, 7)), ..PortConfig::new("lan.7", LAN_MAC) };
    let vlan = router.node.add_port(vlan).unwrap();
    assert_eq!(router.node.features(vlan).unwrap(), router.node.features(LAN).unwrap());
    let refused = router.node.set_features(vlan, segmentation());
    assert!(matches!(refused, Err(NodeError::InheritedFeatures { .. })), "{refused:?}");
    let refused = router.node.set_features(LAN, FeatureSet::LARGE_RECEIVE);
    assert!(matches!(refused, Err(NodeError::Features(FeatureError::Forwarding))), "{refused:?}");
    assert!(router.node.features(LAN).unwrap().has(FeatureSet::TX_TCP_SEGMENTATION), "nothing changed");
}

#[test]
fn a_sub_interface_gets_what_its_parent_takes() {
    for (features, packets) in [(FeatureSet::NONE, 4), (segmentation(), 1)] {
        let mut router = Router::new("");
        let vlan = PortConfig {
            vlan: Some((WAN, 7)),
            addresses: vec![(ip("198.18.0.1"), 24)],
            ..PortConfig::new("wan.7", WAN_MAC)
        };
        let vlan = router.node.add_port(vlan).unwrap();
        router.node.set_neighbour(router.now, vlan, ip("198.18.0.9"), SERVER_MAC, &mut router.out).unwrap();
        router.node.set_features(WAN, features).unwrap();
        let packet = super_packet(&mut router, CLIENT, ("198.18.0.9", 80), 1_000, 4_000);
        let [_, wan] = push(&mut router, packet);
        assert_eq!((wan.len(), &wan[0].to_vec()[12..16]), (packets, &[0x81, 0, 0, 7][..]));
        for port in [vlan, WAN] {
            let counts = router.node.port_counts(port).unwrap();
            assert_eq!((counts.super_packets, counts.packets_out), (1, packets as u64));
        }
        for packet in &wan {
            seen(&packet.to_vec());
        }
    }
}

#[test]
fn super_packets_are_hits() {
    for rules in ["", NAT] {
        for features in [FeatureSet::NONE, segmentation()] {
            let mut router =
                Router::with(NodeConfig { tracking: Tracking::On, ..NodeConfig::default() }, rules);
            router.node.set_features(WAN, features).unwrap();
            let seg = |seq: u32, flags| Segment { flags, seq, ack: 1, payload: 0 };
            router.push(LAN, &tcp(LAN, CLIENT, SERVER, seg(0, SYN)));
            let back = if rules.is_empty() { CLIENT } else { ("203.0.113.1", 4000) };
            router
                .push(WAN, &tcp(WAN, SERVER, back, Segment { flags: SYN | ACK, seq: 0, ack: 1, payload: 0 }));
            router.push(LAN, &tcp(LAN, CLIENT, SERVER, seg(1, ACK)));
            let before = router.node.counters().cache;
            let mut bytes = 0;
            for turn in 0..4 {
                let payload = 4_000;
                let segment =
                    Segment { flags: ACK, seq: 1 + turn * payload, ack: 1, payload: payload as usize };
                let frame = tcp(LAN, CLIENT, SERVER, segment);
                let mut packet = Skb::from_slice(&frame, router.node.pool()).unwrap();
                packet.hot.gso_size = 1_000;
                if turn % 2 == 1 {
                    leave_checksum(&mut packet, LinkType::ETHERNET, router.node.pool()).unwrap();
                }
                let (hits, told) = (router.node.counters().cache.hits, router.node.trace(LAN, &packet).cache);
                let [_, wan] = push(&mut router, packet);
                let hits = router.node.counters().cache.hits - hits;
                assert_eq!(hits, u64::from(told == Known::Hit), "a trace says so");
                assert_eq!(wan.len(), if features.is_empty() { 4 } else { 1 });
                for mut packet in wan {
                    let mut pool = netfast_buf::PacketPool::default();
                    netfast_offload::segment::finish_checksum(&mut packet, LinkType::ETHERNET, &mut pool)
                        .unwrap();
                    bytes += seen(&packet.to_vec()).payload_len;
                }
            }
            let after = router.node.counters().cache;
            assert_eq!((bytes, after.hits - before.hits >= 3), (16_000, true), "{after:?}");
        }
    }
}

/// A flow's identifications follow one another: a super-packet uses up none beside those of its segments.
#[test]
fn segments_that_are_cut_have_the_next_identifications() {
    let mut router = Router::new("");
    router.node.set_mtu(WAN, 1_280).unwrap();
    let mut identifications = Vec::new();
    for (size, payload) in [(0, 2_000), (1_400, 2_800), (0, 2_000)] {
        let own = ("2001:db8:ff::1", 4000);
        let frame = tcp(WAN, own, SERVER_6, Segment { flags: ACK, seq: 1, ack: 1, payload });
        let mut packet = Skb::from_slice(&frame[14..], router.node.pool()).unwrap();
        packet.hot.gso_size = size;
        router.node.send(router.now, packet, &mut router.out);
        let [_, wan] = router.taken();
        assert_eq!(wan.len(), if size == 0 { 2 } else { 4 });
        let identification = |frame: &Vec<u8>| u32::from_be_bytes(*frame[58..].first_chunk().unwrap());
        identifications.extend(wan.iter().map(identification));
    }
    identifications.dedup();
    let follows = |pair: &[u32]| pair[1] == pair[0].wrapping_add(1);
    assert!(identifications.len() == 4 && identifications.windows(2).all(follows), "{identifications:x?}");
}
