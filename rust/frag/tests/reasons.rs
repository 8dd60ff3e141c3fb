//! Every reason, and what the sender is owed.
mod support;

use netfast_buf::{PacketPool, Skb};
use netfast_frag::{
    Event, EventKind, FragmentReason as Reason, Outcome, OverlapPolicy, Reassembler, ReassemblyConfig,
};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use netfast_wire::router::{IcmpError, parameter4, parameter6};
use support::{Bench, Datagram, bytes, ethernet};

fn dropped(outcome: Outcome) -> (Reason, Option<IcmpError>) {
    match outcome {
        Outcome::Dropped(dropped) => (dropped.reason, dropped.error),
        outcome => panic!("{outcome:?}"),
    }
}

fn problem(v6: bool, v4_pointer: u32, v6_pointer: u32) -> Option<IcmpError> {
    let (code, pointer) =
        if v6 { (parameter6::ERRONEOUS_FIELD, v6_pointer) } else { (parameter4::POINTER, v4_pointer) };
    Some(IcmpError::ParameterProblem { code, pointer })
}

#[test]
fn lengths_that_cannot_be() {
    for v6 in [false, true] {
        let mut bench = Bench::new(ReassemblyConfig::default());
        let shape = Datagram::family(v6, 1, Vec::new());
        // RFC 8200 4.5: the octets of the payload length and of the fragment offset.
        assert_eq!(
            dropped(bench.push(&shape.claim(0, &[0; 31], true))),
            (Reason::BadLength, problem(v6, 2, 4))
        );
        let long = shape.claim(65_528, &[0; 8], true);
        assert_eq!(dropped(bench.push(&long)), (Reason::ExcessivelyLarge, problem(v6, 6, 42)));
        assert_eq!(dropped(bench.push(&shape.claim(8, &[], true))).0, Reason::ZeroLength);
        let mut cut = shape.claim(8, &[0; 16], true);
        cut.pop();
        assert_eq!(dropped(bench.push(&cut)).0, Reason::Truncated);
        assert!(bench.reassembler.is_empty());
    }
}

/// Where two begin a datagram, the headers of either may be the ones that it has in the end.
#[test]
fn the_longest_datagram_counts_the_longer_headers() {
    let policies = [OverlapPolicy::First, OverlapPolicy::Last, OverlapPolicy::Bsd, OverlapPolicy::Windows];
    for (policy, v6) in policies.into_iter().flat_map(|policy| [(policy, false), (policy, true)]) {
        let config = ReassemblyConfig { overlap: policy, overlap_ipv6: policy, ..Default::default() };
        let mut bench = Bench::new(config);
        let short = Datagram::family(v6, 1, Vec::new());
        let mut options = if v6 { vec![0; 16] } else { vec![1; 40] };
        options[..4].copy_from_slice(if v6 { &[0, 1, 1, 12] } else { &[1; 4] });
        let long = Datagram { options, ..short.clone() };
        assert!(matches!(bench.push(&long.claim(0, &[7; 8], true)), Outcome::Held));
        let most = vec![7; if v6 { 65_520 } else { 65_496 }];
        assert_eq!(dropped(bench.push(&short.claim(0, &most, true))).0, Reason::ExcessivelyLarge, "{policy}");
        assert_eq!(bench.reassembler.len(), 1);
    }
}

/// As Linux has it, and nobody else: a fragment that cannot be used takes its datagram with it.
#[test]
fn unusable_fragments_end_their_datagram_under_one_policy() {
    for v6 in [false, true] {
        for policy in [OverlapPolicy::Drop, OverlapPolicy::Linux] {
            let shape = Datagram::family(v6, 1, Vec::new());
            let cases = [
                (shape.claim(48, &[], true), Reason::ZeroLength, true),
                (shape.claim(65_528, &[0; 16], false), Reason::ExcessivelyLarge, !v6),
            ];
            for (unusable, reason, ends) in cases {
                let config = ReassemblyConfig { overlap: policy, overlap_ipv6: policy, ..Default::default() };
                let mut bench = Bench::new(config);
                assert!(matches!(bench.push(&shape.claim(0, &[0; 48], true)), Outcome::Held));
                assert_eq!(dropped(bench.push(&unusable)).0, reason);
                let ended = ends && policy == OverlapPolicy::Linux;
                assert_eq!(bench.reassembler.is_empty(), ended, "{v6} {policy:?} {reason:?}");
                let counters = bench.reassembler.counters();
                assert_eq!(counters.dropped[reason as usize], 1 + u64::from(ended));
                assert!(counters.is_conserved());
            }
        }
    }
}

#[test]
fn the_longest_datagram_is_whole_and_one_byte_more_is_not() {
    for v6 in [false, true] {
        let most = if v6 { 65_535 } else { 65_515 };
        let datagram = Datagram::family(v6, 1, bytes(most, 1));
        let made = Bench::new(ReassemblyConfig::default()).complete(&datagram.fragments(8_000));
        assert_eq!(made.packet.to_vec(), datagram.whole());
    }
    // The header of the first fragment counts, which may be longer than those of others.
    let mut options = Datagram::v4(1, bytes(65_515, 1));
    options.options = vec![1; 4];
    let mut bench = Bench::new(ReassemblyConfig::default());
    assert!(matches!(bench.push(&options.fragment(0, 8_000)), Outcome::Held));
    options.options.clear();
    assert_eq!(dropped(bench.push(&options.fragment(64_000, 65_515))).0, Reason::ExcessivelyLarge);
    assert!(bench.reassembler.is_empty());
}

#[test]
fn two_ends_or_data_behind_the_end_end_the_datagram() {
    for v6 in [false, true] {
        let shape = Datagram::family(v6, 1, Vec::new());
        for (first, second) in [
            (shape.claim(32, &[0; 8], false), shape.claim(40, &[0; 8], false)),
            (shape.claim(32, &[0; 8], false), shape.claim(24, &[0; 8], false)),
            (shape.claim(32, &[0; 8], false), shape.claim(40, &[0; 8], true)),
            (shape.claim(32, &[0; 8], true), shape.claim(16, &[0; 8], false)),
        ] {
            let mut bench = Bench::new(ReassemblyConfig::default());
            assert!(matches!(bench.push(&first), Outcome::Held));
            assert_eq!(dropped(bench.push(&second)).0, Reason::SizeInconsistency);
            assert!(bench.reassembler.is_empty());
            // Policies that resolve overlaps go on without it.
            let first_wins = ReassemblyConfig {
                overlap: OverlapPolicy::First,
                overlap_ipv6: OverlapPolicy::First,
                ..ReassemblyConfig::default()
            };
            let mut bench = Bench::new(first_wins);
            assert!(matches!(bench.push(&first), Outcome::Held));
            assert_eq!(dropped(bench.push(&second)).0, Reason::SizeInconsistency);
            assert_eq!(bench.reassembler.len(), 1);
        }
    }
}

#[test]
fn what_is_worth_knowing_is_noted_and_goes_on() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    let df = Datagram { df: true, ..Datagram::v4(1, bytes(16, 1)) };
    let made = bench.complete(&df.fragments(8));
    assert_eq!(made.packet.to_vec(), df.whole(), "all say it, and so does the whole");
    let mut v6 = Datagram::v6(2, bytes(16, 1));
    let first = v6.fragment(0, 8);
    v6.protocol = 254;
    let made = bench.complete(&[v6.fragment(8, 16), first]);
    v6.protocol = 253;
    assert_eq!(
        made.packet.to_vec(),
        v6.whole(),
        "RFC 8200 4.5: the next header of the first fragment counts"
    );
    let noted = |reason| bench.counters().noted(reason);
    assert_eq!(noted(Reason::WithDf), 2);
    assert_eq!(noted(Reason::ExcessivelySmall), 2);
    assert_eq!(noted(Reason::ProtocolInconsistency), 1);
}

#[test]
fn rfc_7112_the_first_fragment_has_the_whole_chain() {
    let incomplete = IcmpError::ParameterProblem { code: parameter6::INCOMPLETE_CHAIN, pointer: 0 };
    for (protocol, data, whole) in [
        (6, bytes(16, 1), false),
        (6, bytes(24, 1), true),
        (17, bytes(8, 1), true),
        (58, bytes(8, 1), true),
        // Destination options of 16 bytes, then UDP.
        (60, [vec![17, 1], vec![1, 12], vec![0; 12]].concat(), false),
        (60, [vec![17, 1], vec![1, 12], vec![0; 20]].concat(), true),
        (0, vec![17, 255, 0, 0, 0, 0, 0, 0], false),
    ] {
        let mut bench = Bench::new(ReassemblyConfig::default());
        let shape = Datagram { protocol, ..Datagram::v6(1, Vec::new()) };
        match bench.push(&shape.claim(0, &data, true)) {
            Outcome::Held => assert!(whole, "{protocol} {data:?}"),
            outcome => {
                assert_eq!(dropped(outcome), (Reason::HeaderChainIncomplete, Some(incomplete)));
                assert!(!whole, "{protocol} {data:?}");
            }
        }
    }
}

#[test]
fn rfc_3168_congestion_marks_are_not_lost() {
    const NOT_ECT: u8 = 0;
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    for v6 in [false, true] {
        for first in [NOT_ECT, ECT_1, ECT_0, CE] {
            for second in [NOT_ECT, ECT_1, ECT_0, CE] {
                let datagram = |tos| Datagram { tos: 0xb8 | tos, ..Datagram::family(v6, 1, bytes(16, 1)) };
                let mut bench = Bench::new(ReassemblyConfig::default());
                assert!(matches!(bench.push(&datagram(first).fragment(0, 8)), Outcome::Held));
                let outcome = bench.push(&datagram(second).fragment(8, 16));
                if (first == NOT_ECT) != (second == NOT_ECT) {
                    assert_eq!(dropped(outcome).0, Reason::BadEcn);
                    continue;
                }
                let Outcome::Complete(made) = outcome else { panic!("whole") };
                let ecn = if second == CE { CE } else { first };
                assert_eq!(made.packet.to_vec(), datagram(ecn).whole());
            }
        }
    }
}

#[test]
fn header_checksums_are_verified_where_asked_for() {
    let mut broken = Datagram::v4(1, bytes(16, 1)).fragment(0, 8);
    broken[8] ^= 1;
    let mut bench = Bench::new(ReassemblyConfig { verify_header: true, ..ReassemblyConfig::default() });
    assert_eq!(dropped(bench.push(&broken)).0, Reason::BadChecksum);
    let mut bench = Bench::new(ReassemblyConfig::default());
    assert!(matches!(bench.push(&broken), Outcome::Held));
}

#[test]
fn rfc_2675_jumbograms_have_no_fragments() {
    let jumbogram = [0, 0, 0xc2, 4, 0, 1, 0, 0];
    let padded = [0, 1, 0, 1, 2, 0, 0, 0xc2, 4, 0, 1, 0, 0, 1, 1, 0];
    let problem = |pointer| Some(IcmpError::ParameterProblem { code: parameter6::ERRONEOUS_FIELD, pointer });
    // Without the option a length of zero leaves no room for a fragment header.
    for (options, reason, owed) in [
        (&jumbogram[..], Reason::Jumbogram, problem(48)),
        (&padded, Reason::Jumbogram, problem(56)),
        (&[], Reason::Truncated, None),
        (&[0, 0, 1, 4, 0xc2, 4, 0, 1], Reason::Truncated, None),
        (&[0, 0, 0xc2, 3, 0, 1, 0, 0], Reason::Truncated, None),
        (&[0, 0, 1, 255, 0xc2, 4, 0, 1], Reason::Truncated, None),
        (&[0, 0, 0, 0, 0, 0, 0xc2, 4], Reason::Truncated, None),
    ] {
        let shape = Datagram { options: options.to_vec(), ..Datagram::v6(1, bytes(16, 1)) };
        let mut packet = shape.fragment(0, 8);
        packet[4..6].fill(0);
        let mut bench = Bench::new(ReassemblyConfig::default());
        assert_eq!(dropped(bench.push(&packet)), (reason, owed), "{options:?}");
        // Behind a link header, where one is looked for.
        let mut reassembler = Reassembler::new(ReassemblyConfig::default());
        let frame = Skb::from_slice(&ethernet(&packet), &mut bench.pool).expect("short");
        let outcome = reassembler.handle_packet(Instant::ZERO, 0, frame, &mut bench.pool);
        assert_eq!(dropped(outcome), (reason, owed), "{options:?}");
    }
}

/// An IPv6 fragment whose data is itself a fragment header and data.
fn nested(depth: usize, id: u32, data: &[u8]) -> Datagram {
    let mut inner = data.to_vec();
    for level in 1..depth {
        let next = if level == 1 { 253 } else { 44 };
        inner = [vec![next, 0, 0, 0, 0, 0, 0, 9], inner].concat();
    }
    Datagram { protocol: if depth > 1 { 44 } else { 253 }, ..Datagram::v6(id, inner) }
}

#[test]
fn fragment_headers_within_each_other_are_followed_so_far() {
    let data = bytes(48, 1);
    for depth in 1..=6 {
        let mut bench = Bench::new(ReassemblyConfig::default());
        let atomic = nested(depth, 1, &data);
        let outcome = bench.push(&atomic.claim(0, &atomic.data, false));
        if depth > netfast_frag::MAX_NESTED {
            assert_eq!(dropped(outcome).0, Reason::TooDeep);
        } else {
            let Outcome::Atomic(alone) = outcome else { panic!("{outcome:?}") };
            assert_eq!(alone.to_vec(), Datagram::v6(1, data.clone()).whole());
        }
    }
    // A datagram of two fragments that is the first fragment of another one: told and counted is what is given back.
    let mut bench =
        Bench::new(ReassemblyConfig { report_completed: true, min_fragment: 0, ..Default::default() });
    let inner = |offset: u16, more: u16, data: &[u8]| {
        let field = (offset | more).to_be_bytes();
        Datagram {
            protocol: 44,
            ..Datagram::v6(7, [&[253, 0, field[0], field[1], 0, 0, 0, 9], data].concat())
        }
    };
    let (first, last) = (inner(0, 1, &data[..24]), inner(24, 0, &data[24..]));
    assert!(matches!(bench.push(&first.fragment(0, 16)), Outcome::Held));
    assert!(matches!(bench.push(&first.fragment(16, 32)), Outcome::Held));
    let counters = bench.counters();
    assert_eq!((counters.completed, counters.joined, counters.held), (0, 1, 1));
    assert_eq!((counters.completed_bytes, bench.reassembler.poll_event()), (0, None));
    let last = Datagram { id: 8, ..last };
    assert!(matches!(bench.push(&last.fragment(0, 16)), Outcome::Held));
    let Outcome::Complete(made) = bench.push(&last.fragment(16, 32)) else { panic!("whole") };
    assert_eq!(made.packet.to_vec(), Datagram::v6(9, data).whole());
    let counters = bench.counters();
    assert_eq!((counters.completed, counters.joined, counters.held), (1, 3, 0));
    assert_eq!(counters.completed_bytes, 48);
    let Some(Event::Datagram { key, kind, fragments, bytes, .. }) = bench.reassembler.poll_event() else {
        panic!("an event")
    };
    assert_eq!((key.identification(), kind, fragments, bytes), (9, EventKind::Completed, 2, 48));
    assert_eq!(bench.reassembler.poll_event(), None);
    // One that holds what cannot be used.
    let broken = Datagram { id: 10, ..inner(8, 1, &[]) };
    assert!(matches!(bench.push(&broken.claim(0, &broken.data[..8], true)), Outcome::Held));
    let end = bench.push(&broken.claim(8, &[7; 3], false));
    assert_eq!(dropped(end).0, Reason::BadLength);
    assert_eq!((bench.counters().completed, bench.counters().completed_bytes), (1, 48));
    assert!(matches!(
        bench.reassembler.poll_event(),
        Some(Event::Datagram { kind: EventKind::Dropped(Reason::BadLength), .. })
    ));
    assert_eq!(bench.reassembler.poll_event(), None);
}

#[test]
fn headers_may_stand_in_any_pieces() {
    for v6 in [false, true] {
        let mut datagram = Datagram { protocol: 17, ..Datagram::family(v6, 1, bytes(64, 1)) };
        datagram.options = if v6 { vec![0, 0, 1, 4, 0, 0, 0, 0] } else { vec![1; 8] };
        let mut pool = PacketPool::default();
        let mut reassembler = Reassembler::new(ReassemblyConfig::default());
        let mut last = None;
        for fragment in datagram.fragments(32) {
            let frame = ethernet(&fragment);
            let mut packet = Skb::new();
            for byte in frame.chunks(3) {
                packet
                    .append(&mut Skb::from_slice(byte, &mut pool).expect("short"), &mut pool)
                    .expect("short");
            }
            last = reassembler.handle_packet(Instant::ZERO, 0, packet, &mut pool).into_packet();
        }
        assert_eq!(last.expect("whole").to_vec(), ethernet(&datagram.whole()));
        // Behind any number of bytes, the packet being the end of it.
        for link in [LinkType::ETHERNET, LinkType::RAW] {
            let config = ReassemblyConfig { link, ..ReassemblyConfig::default() };
            let mut reassembler = Reassembler::new(config);
            let frame = ethernet(&datagram.fragments(32)[0]);
            for len in 0..frame.len() {
                let packet = Skb::from_slice(&frame[..len], &mut pool).expect("short");
                let outcome = reassembler.handle_packet(Instant::ZERO, 0, packet, &mut pool);
                assert!(!matches!(outcome, Outcome::Held | Outcome::Complete(_)), "{len}: {outcome:?}");
            }
        }
    }
}

#[test]
fn events_are_bounded_and_say_what_was_lost() {
    let config = ReassemblyConfig { max_events: 2, report_completed: true, ..ReassemblyConfig::default() };
    let mut bench = Bench::new(config);
    for id in 0..5 {
        bench.complete(&Datagram::v4(id, bytes(200, 1)).fragments(104));
    }
    for id in 0..2 {
        let Some(Event::Datagram { at, key, kind, fragments, bytes }) = bench.reassembler.poll_event() else {
            panic!("an event")
        };
        assert_eq!((at, key.identification(), kind), (bench.now, id, EventKind::Completed));
        assert_eq!((fragments, bytes), (2, 200));
    }
    assert_eq!(bench.reassembler.poll_event(), Some(Event::Overflow { lost: 3 }));
    assert_eq!(bench.reassembler.poll_event(), None);
    assert_eq!(bench.counters().events_lost, 3);
}

#[test]
fn dropped_fragments_are_given_back_where_they_are_kept() {
    let config = ReassemblyConfig { max_dropped: 2, ..ReassemblyConfig::default() };
    let mut bench = Bench::new(config);
    let datagram = Datagram::v4(1, bytes(64, 1));
    for at in [8, 16, 24] {
        assert!(matches!(bench.push(&datagram.fragment(at, at + 8)), Outcome::Held));
    }
    assert!(bench.reassembler.poll_timeout(Instant::MAX, &mut bench.pool).is_some());
    for at in [8, 16] {
        let (packet, reason) = bench.reassembler.poll_dropped().expect("kept");
        assert_eq!((packet.to_vec(), reason), (datagram.fragment(at, at + 8), Reason::Timeout));
    }
    assert!(bench.reassembler.poll_dropped().is_none());
    assert_eq!(bench.counters().dropped_lost, 1);
    assert!(bench.counters().is_conserved());
}

#[test]
fn a_datagram_that_waits_too_long_owes_an_error_about_its_first_fragment() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 1, bytes(64, 1));
        let timeout = Duration::from_secs(if v6 { 60 } else { 30 });
        for start in [0, 8] {
            let mut bench = Bench::new(ReassemblyConfig::default());
            // As far ahead as a clock can be, less the timeout.
            bench.now = Instant::from_secs(500 * 365 * 86_400);
            assert!(matches!(bench.push(&datagram.fragment(start, start + 8)), Outcome::Held));
            let due = bench.now + timeout;
            assert_eq!(bench.reassembler.next_timeout(), Some(due));
            let early = due - Duration::from_nanos(1);
            assert!(bench.reassembler.poll_timeout(early, &mut bench.pool).is_none());
            let expired = bench.reassembler.poll_timeout(due, &mut bench.pool).expect("due");
            assert_eq!(
                (expired.reason, expired.fragments, expired.key.identification()),
                (Reason::Timeout, 1, 1)
            );
            let first = expired.first.map(|packet| packet.to_vec());
            assert_eq!(first, (start == 0).then(|| datagram.fragment(0, 8)));
            assert!(bench.reassembler.poll_timeout(due, &mut bench.pool).is_none());
            assert_eq!((bench.reassembler.next_timeout(), bench.reassembler.held_memory()), (None, 0));
            assert!(bench.counters().is_conserved());
            // After that the identification is free.
            bench.now = due;
            assert_eq!(bench.complete(&datagram.fragments(32)).packet.to_vec(), datagram.whole());
        }
    }
}

#[test]
fn a_fragment_that_comes_after_the_timeout_begins_anew_and_the_error_is_owed_yet() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    let datagram = Datagram::v4(1, bytes(64, 1));
    assert!(matches!(bench.push(&datagram.fragment(0, 32)), Outcome::Held));
    bench.now += Duration::from_secs(30);
    assert!(matches!(bench.push(&datagram.fragment(32, 64)), Outcome::Held));
    assert_eq!(bench.reassembler.next_timeout(), Some(bench.now));
    let expired = bench.reassembler.poll_timeout(bench.now, &mut bench.pool).expect("told");
    assert_eq!(expired.first.map(|packet| packet.to_vec()), Some(datagram.fragment(0, 32)));
    assert!(bench.reassembler.poll_timeout(bench.now, &mut bench.pool).is_none());
    assert_eq!(bench.reassembler.len(), 1);
    assert!(bench.counters().is_conserved());
}

#[test]
fn linux_cuts_odd_fragments_of_ipv4() {
    let config = ReassemblyConfig { overlap: OverlapPolicy::Linux, ..ReassemblyConfig::default() };
    let datagram = Datagram::v4(1, bytes(64, 1));
    let odd = datagram.claim(0, &datagram.data[..37], true);
    let made = Bench::new(config).complete(&[odd, datagram.fragment(32, 64)]);
    assert_eq!(made.packet.to_vec(), datagram.whole());
}
