//! Datagrams are put together where rules and connections need whole ones and where they are for the node, and leave as they
//! came.
mod common;
use common::*;
use netfast_buf::{PacketBatch, Skb};
use netfast_datapath::{DropReason, HookVerdict, HookVerdicts, NodeConfig, Reassembly, Tracking};

const CLIENT: (&str, u16) = ("192.0.2.10", 4000);
const SERVER: (&str, u16) = ("198.51.100.7", 53);
const CLIENT_6: (&str, u16) = ("2001:db8:1::10", 4000);
const SERVER_6: (&str, u16) = ("2001:db8:5::7", 53);
const NAT: &str =
    "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan masquerade\n}\n}";
const TRACKS: &str = "table inet f { chain through { type filter hook forward priority 0; policy drop;
    ct state new,established udp length 1008-60000 counter accept\n}\n}";

fn tracking() -> NodeConfig {
    NodeConfig { tracking: Tracking::On, ..NodeConfig::default() }
}

/// A frame in fragments of `size` octets of data.
fn cut(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let v6 = frame[14] >> 4 == 6;
    let at = if v6 { 54 } else { 34 };
    let chunks: Vec<_> = frame[at..].chunks(size).collect();
    let piece = |(number, data): (usize, &&[u8])| {
        let (mut bytes, more) = (frame[..at].to_vec(), number + 1 < chunks.len());
        let place = (number * size) as u16;
        if v6 {
            bytes[18..20].copy_from_slice(&(data.len() as u16 + 8).to_be_bytes());
            let next = std::mem::replace(&mut bytes[20], 44);
            bytes.extend([next, 0]);
            bytes.extend((place | u16::from(more)).to_be_bytes());
            bytes.extend(0x1234_5678u32.to_be_bytes());
        } else {
            bytes[16..18].copy_from_slice(&(data.len() as u16 + 20).to_be_bytes());
            bytes[20..22].copy_from_slice(&((place / 8) | (u16::from(more) << 13)).to_be_bytes());
            fix_ipv4(&mut bytes);
        }
        bytes.extend(*data);
        bytes
    };
    chunks.iter().enumerate().map(piece).collect()
}

/// A frame as the router forwards it from `lan` to `wan`.
fn forwarded(frame: &[u8]) -> Vec<u8> {
    let mut bytes = [&SERVER_MAC[..], &WAN_MAC, &frame[12..]].concat();
    if bytes[14] >> 4 == 6 {
        bytes[21] -= 1;
    } else {
        bytes[22] -= 1;
        fix_ipv4(&mut bytes);
    }
    bytes
}

fn data(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7) as u8).collect()
}

#[test]
fn fragments_leave_as_they_came() {
    let mut router = Router::new(TRACKS);
    for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
        for size in [8, 400, 1_000, 1_448] {
            let payload = if size == 8 { 1_000 } else { 5_003 };
            let fragments = cut(&udp(LAN, from, to, &data(payload)), size);
            let expected: Vec<_> = fragments.iter().map(|fragment| forwarded(fragment)).collect();
            let (mut backwards, mut odd_first) = (fragments.clone(), Vec::new());
            backwards.reverse();
            for at in [1, 0] {
                odd_first.extend(fragments.iter().skip(at).step_by(2).cloned());
            }
            for order in [&fragments, &backwards, &odd_first] {
                let mut before = router.node.counters().clone();
                let [lan, wan] = router.push_all(LAN, order);
                assert!(lan.is_empty());
                assert_eq!(wan, expected, "{size}");
                let after = router.node.counters();
                let joined = fragments.len() as u64 - 1;
                before.absorbed += joined;
                before.created += joined;
                assert_eq!((after.absorbed, after.created, after.held), (before.absorbed, before.created, 0));
                let packets: Vec<_> = router.node.connections().map(|one| one.packets).collect();
                assert_eq!(packets, [[1, 0]], "a datagram counts once");
                // The same identification comes again.
                router.wait(70_000);
                router.node.poll(router.now, &mut router.out);
            }
        }
    }
}

/// As the tables have it, which alone decide where there is no room for programs.
#[test]
fn later_datagrams_of_a_connection_need_no_tables() {
    for rules in ["", TRACKS, NAT] {
        let mut router = Router::with(tracking(), rules);
        let mut tables = Router::with(NodeConfig { max_programs: 0, ..tracking() }, rules);
        router.node.set_verify(false);
        tables.node.set_verify(false);
        for turn in 0..3 {
            for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
                let fragments = cut(&udp(LAN, from, to, &data(3_000 + turn * 8)), 1_400);
                let sent = router.push_all(LAN, &fragments);
                assert_eq!(sent, tables.push_all(LAN, &fragments), "{turn} {from:?}");
                assert_eq!(sent[1].len(), fragments.len());
            }
            if rules == NAT {
                let answers = cut(&udp(WAN, SERVER, ("203.0.113.1", 4000), &data(2_000)), 1_400);
                let sent = router.push_all(WAN, &answers);
                assert_eq!(sent, tables.push_all(WAN, &answers));
                assert_eq!(sent[0].len(), answers.len());
            }
            for one in [&mut router, &mut tables] {
                one.wait(3_000);
                one.node.poll(one.now, &mut one.out);
            }
        }
        let (counters, walked) = (router.node.counters(), tables.node.counters());
        // Of rules that read lengths the tables have each datagram.
        assert!(rules == TRACKS || counters.cache.hits >= 2, "{rules}: {:?}", counters.cache);
        assert_eq!(walked.cache.hits, 0);
        let sums = |counters: &netfast_datapath::Counters| {
            (counters.out, counters.created, counters.absorbed, counters.held, counters.conserved())
        };
        assert_eq!(sums(counters), sums(walked));
        let packets = |router: &Router| router.node.connections().map(|one| one.packets).collect::<Vec<_>>();
        assert_eq!(packets(&router), packets(&tables));
    }
}

#[test]
fn translated_datagrams_too() {
    let mut router = Router::new(NAT);
    let fragments = cut(&udp(LAN, CLIENT, SERVER, &data(3_000)), 1_480);
    let [_, wan] = router.push_all(LAN, &[&fragments[1..], &fragments[..1]].concat());
    assert_eq!(wan.iter().map(Vec::len).collect::<Vec<_>>(), [1_514, 1_514, 14 + 20 + 48]);
    for frame in &wan {
        assert_eq!(frame[26..30], [203, 0, 113, 1]);
    }
    let answers = cut(&udp(WAN, SERVER, ("203.0.113.1", 4000), &data(2_000)), 1_480);
    let [lan, _] = router.push_all(WAN, &answers);
    assert_eq!(lan.len(), 2);
    let whole = udp(WAN, SERVER, CLIENT, &data(2_000));
    assert_eq!(lan[0][38..].len() + lan[1][34..].len(), whole[38..].len());
    assert_eq!(lan[0][40..42], whole[40..42], "the checksum is that of the whole datagram");
}

#[test]
fn a_smaller_mtu_cuts_what_may_be_cut() {
    let mut router = Router::with(tracking(), "");
    router.node.set_mtu(WAN, 1_280).unwrap();
    let fragments = cut(&udp(LAN, CLIENT, SERVER, &data(3_000)), 1_480);
    let [lan, wan] = router.push_all(LAN, &fragments);
    assert!(lan.is_empty());
    assert_eq!(wan.iter().map(|frame| frame.len() - 34).collect::<Vec<_>>(), [1_256, 1_256, 496]);
    // Only the sender cuts these, and is told: IPv6, and those that say so.
    let six = cut(&udp(LAN, CLIENT_6, SERVER_6, &data(3_000)), 1_400);
    let [lan, wan] = router.push_all(LAN, &six);
    assert!(wan.is_empty());
    assert_eq!((seen(&lan[0]).icmp_type, &lan[0][58..62]), (2, &1_280u32.to_be_bytes()[..]));
    let mut whole = cut(&udp(LAN, ("192.0.2.10", 9), SERVER, &data(3_000)), 1_480);
    for fragment in &mut whole {
        fragment[20] |= 0x40;
        fragment[18] = 0x77;
        fix_ipv4(fragment);
    }
    let [lan, wan] = router.push_all(LAN, &whole);
    assert!(wan.is_empty());
    assert_eq!((seen(&lan[0]).icmp_type, seen(&lan[0]).icmp_code), (3, 4));
    assert_eq!(router.node.dropped(DropReason::TooBig), 2);
}

#[test]
fn what_is_for_the_node_is_whole() {
    for reassembly in [Reassembly::Auto, Reassembly::Full, Reassembly::Virtual, Reassembly::Off] {
        let config = NodeConfig { reassembly, answer_echo: false, ..NodeConfig::default() };
        let mut router = Router::with(config, "");
        for (from, to) in [(CLIENT, ("192.0.2.1", 53)), (CLIENT_6, ("2001:db8:ff::1", 53))] {
            let whole = udp(LAN, from, to, &data(4_000));
            let mut fragments = cut(&whole, 1_000);
            fragments.reverse();
            router.push_all(LAN, &fragments);
            let local = router.out.take_local();
            assert_eq!(local.len(), 1, "{reassembly:?}");
            let (mut got, mut sent) = (local[0].to_vec(), whole.clone());
            if got[14] >> 4 == 4 {
                // "Don't fragment" is what fragments cannot have said.
                sent[20] = 0;
                fix_ipv4(&mut got);
                fix_ipv4(&mut sent);
            }
            assert_eq!(got, sent, "{reassembly:?}");
        }
    }
}

#[test]
fn a_translated_destination_is_the_node() {
    let nat = "table ip nat { chain pre { type nat hook prerouting priority dstnat; udp dport 53 redirect to :5353\n}\n}";
    for reassembly in [Reassembly::Auto, Reassembly::Virtual] {
        let mut router = Router::with(NodeConfig { reassembly, ..NodeConfig::default() }, nat);
        let mut fragments = cut(&udp(LAN, CLIENT, SERVER, &data(2_000)), 1_000);
        fragments.swap(0, 1);
        router.push_all(LAN, &fragments);
        let local = router.out.take_local();
        assert_eq!(local.len(), 1);
        let bytes = local[0].to_vec();
        assert_eq!((bytes.len(), dst(&bytes)), (42 + 2_000, ("192.0.2.1".to_owned(), 5353)));
        assert_eq!((local[0].hot.in_port, router.node.counters().absorbed), (LAN, 2));
        router.check();
    }
}

#[test]
fn large_pings_are_answered_in_fragments() {
    let mut router = Router::new("");
    for (from, to) in [("192.0.2.10", "192.0.2.1"), ("2001:db8:1::10", "2001:db8:1::1")] {
        let mut upper = echo(LAN, from, to, true, 7)[if from.contains(':') { 54 } else { 34 }..].to_vec();
        upper.extend(data(4_000));
        let protocol = if from.contains(':') { 58 } else { 1 };
        let [lan, _] =
            router.push_all(LAN, &cut(&frame(LAN, from, to, protocol, upper.clone(), Some(2)), 1_448));
        assert_eq!(lan.len(), 3, "{from}");
        let at = if protocol == 58 { 62 } else { 34 };
        let answer: Vec<u8> = lan.iter().flat_map(|frame| frame[at..].to_vec()).collect();
        assert_eq!((answer[0], &answer[4..]), (if protocol == 58 { 129 } else { 0 }, &upper[4..]));
        assert!(lan.iter().all(|frame| frame.len() <= 1_514));
    }
}

#[test]
fn the_sender_of_what_was_for_the_node_is_told_that_it_was_not_whole() {
    let mut router = Router::with(tracking(), "");
    let to_node = cut(&udp(LAN, CLIENT, ("192.0.2.1", 53), &data(2_000)), 1_000);
    let onward = cut(&udp(LAN, CLIENT, SERVER, &data(2_000)), 1_000);
    let six = cut(&udp(LAN, CLIENT_6, ("2001:db8:1::1", 53), &data(2_000)), 1_000);
    router.push_all(LAN, &[to_node[0].clone(), onward[0].clone(), six[0].clone()]);
    assert_eq!(router.node.counters().held, 3);
    assert_eq!(router.node.next_timeout(), Some(router.now + netfast_time::Duration::from_secs(30)));
    router.wait(30_000);
    router.node.poll(router.now, &mut router.out);
    let [lan, wan] = router.taken();
    assert!(wan.is_empty());
    assert_eq!(lan.len(), 1, "the router is not who puts together what it forwards");
    assert_eq!((seen(&lan[0]).icmp_type, seen(&lan[0]).icmp_code), (11, 1));
    router.wait(30_000);
    router.node.poll(router.now, &mut router.out);
    let [lan, _] = router.taken();
    assert_eq!((seen(&lan[0]).icmp_type, seen(&lan[0]).icmp_code), (3, 1));
    assert_eq!((router.node.dropped(DropReason::FragmentTimeout), router.node.counters().held), (3, 0));
}

#[test]
fn fragments_that_cannot_be_used_are_dropped_with_their_reason() {
    let mut router = Router::with(tracking(), "");
    let fragments = cut(&udp(LAN, CLIENT, SERVER, &data(3_000)), 1_000);
    let mut overlaps = fragments[1].clone();
    overlaps[21] -= 1;
    fix_ipv4(&mut overlaps);
    let [lan, wan] = router.push_all(LAN, &[fragments[0].clone(), overlaps, fragments[1].clone()]);
    assert!(lan.is_empty() && wan.is_empty());
    let dropped: Vec<_> = router.node.counters().dropped.iter().collect();
    let expected = [(DropReason::FragmentInconsistency, 2), (DropReason::FragmentTombstone, 1)];
    assert_eq!(dropped, expected);
    let counts = router.node.port_counts(LAN).unwrap();
    assert_eq!(counts.dropped.total(), 3, "they count where they came in");
}

#[test]
fn a_flood_stays_in_its_bounds() {
    let mut config = tracking();
    (config.fragments.max_datagrams, config.fragments.source_share) = (16, 4);
    let mut router = Router::with(config, "");
    let first = cut(&udp(LAN, CLIENT, SERVER, &data(1_000)), 504).remove(0);
    let frame = |id: u16, host: u8| {
        let mut frame = first.clone();
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame[29] = host;
        fix_ipv4(&mut frame);
        frame
    };
    let others: Vec<_> = (0..4).map(|host| frame(1, 100 + host)).collect();
    router.push_all(LAN, &others);
    let flood: Vec<_> = (0..200).map(|id| frame(id, 10)).collect();
    router.push_all(LAN, &flood);
    assert_eq!(router.node.counters().held, 8, "the share of one source, and the others");
    assert_eq!(router.node.dropped(DropReason::FragmentLimit), 196);
}

#[test]
fn a_hook_is_asked_about_the_first_fragment() {
    let mut router = Router::with(tracking(), "");
    let whole = tcp(LAN, CLIENT, ("198.51.100.7", 80), Segment { flags: SYN, seq: 1, ack: 0, payload: 100 });
    for (size, drop) in [(8, true), (24, true), (8, false)] {
        let fragments = cut(&whole, size);
        let mut batch = PacketBatch::new();
        for fragment in fragments.iter().rev() {
            batch.push(Skb::from_slice(fragment, router.node.pool()).unwrap()).unwrap();
        }
        let flows = router.node.new_flows(LAN, batch.packets());
        assert_eq!(flows.len(), 1);
        assert_eq!((flows[0].packet, flows[0].tuple.destination_port), (fragments.len() - 1, 80));
        let mut said = vec![None; fragments.len()];
        said[flows[0].packet] = Some(HookVerdict { drop, mark: Some(5), ..HookVerdict::default() });
        let verdicts = HookVerdicts { by_packet: &said };
        let before = router.node.dropped(DropReason::Hook);
        router.node.push_with(router.now, LAN, &mut batch, verdicts, &mut router.out);
        let [_, wan] = router.taken();
        assert_eq!(wan.len(), if drop { 0 } else { fragments.len() });
        assert_eq!(router.node.dropped(DropReason::Hook) - before, u64::from(drop));
        router.wait(70_000);
        router.node.poll(router.now, &mut router.out);
    }
    assert_eq!(router.node.connections().map(|connection| connection.mark).collect::<Vec<_>>(), [5]);
}

#[test]
fn what_the_node_sends_is_cut_with_identifications_of_its_own() {
    let mut router = Router::new("");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        for (from, to) in [(("203.0.113.1", 1), SERVER), (("2001:db8:ff::1", 1), SERVER_6)] {
            let mut packet = udp(WAN, from, to, &data(2_000))[14..].to_vec();
            if packet[0] >> 4 == 4 {
                packet[4..8].fill(0);
                packet[10..12].fill(0);
                let sum = netfast_wire::checksum::checksum(&packet[..20]);
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            let packet = Skb::from_slice(&packet, router.node.pool()).unwrap();
            router.node.send(router.now, packet, &mut router.out);
            let [_, wan] = router.taken();
            assert_eq!(wan.len(), 2);
            let at = if wan[0][14] >> 4 == 6 { 58..62 } else { 18..20 };
            assert_eq!(wan[0][at.clone()], wan[1][at.clone()]);
            assert!(seen.insert(wan[0][at].to_vec()), "an identification of its own");
        }
    }
}

#[test]
fn a_trace_says_that_a_fragment_waits() {
    let mut router = Router::with(tracking(), "");
    let fragments = cut(&udp(LAN, CLIENT, SERVER, &data(2_000)), 1_000);
    let packet = Skb::from_slice(&fragments[1], router.node.pool()).unwrap();
    let trace = router.node.trace(LAN, &packet);
    assert_eq!(trace.verdict, "waits for the other fragments of its datagram");
    assert_eq!(router.node.counters().held, 0);
}

#[test]
fn without_reassembly_fragments_go_on_one_by_one() {
    let config = NodeConfig { reassembly: Reassembly::Off, ..tracking() };
    let drop_invalid =
        "table ip f { chain through { type filter hook forward priority 0; ct state invalid drop\n}\n}";
    for (rules, pass) in [("", 3), (drop_invalid, 1)] {
        let mut router = Router::with(config.clone(), rules);
        let [_, wan] = router.push_all(LAN, &cut(&udp(LAN, CLIENT, SERVER, &data(2_000)), 1_000));
        assert_eq!((wan.len(), router.node.counters().held), (pass, 0));
    }
}
