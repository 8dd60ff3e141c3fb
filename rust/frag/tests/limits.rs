//! Floods, hostile sources, identifications used again: what is bounded, and who is hurt.
mod support;

use netfast_buf::HEADROOM;
use netfast_frag::{DATAGRAM_BYTES, FRAGMENT_BYTES, FragmentReason as Reason, Outcome, ReassemblyConfig};
use netfast_time::{Duration, Instant};
use support::{Bench, Datagram, bytes};

#[test]
fn one_source_cannot_evict_what_others_have() {
    for v6 in [false, true] {
        let config =
            ReassemblyConfig { max_memory: 1 << 20, max_datagrams: 512, ..ReassemblyConfig::default() };
        let mut bench = Bench::new(config);
        let victims: Vec<_> =
            (0..100).map(|id| Datagram::family(v6, id, bytes(1_600, 1)).from(1 + id as u8)).collect();
        for victim in &victims {
            assert!(matches!(bench.push(&victim.fragment(0, 800)), Outcome::Held));
        }
        for id in 0..20_000 {
            let _ = bench.push(&Datagram::family(v6, id, bytes(1_600, 1)).from(200).fragment(0, 800));
            let _ = bench.push(&Datagram::family(v6, id, bytes(1_600, 1)).from(200).fragment(8, 16));
        }
        assert!(bench.reassembler.len() <= 100 + 512 / 8);
        assert!(bench.reassembler.held_memory() <= 1 << 20);
        for victim in &victims {
            let Outcome::Complete(made) = bench.push(&victim.fragment(800, 1_600)) else { panic!("lost") };
            assert_eq!(made.packet.to_vec(), victim.whole());
        }
    }
}

#[test]
fn what_comes_last_of_what_comes_at_once_stays() {
    for v6 in [false, true] {
        let config = ReassemblyConfig { max_datagrams: 3, source_share: 1, ..ReassemblyConfig::default() };
        let mut bench = Bench::new(config);
        for id in 0..3 {
            assert!(matches!(
                bench.push(&Datagram::family(!v6, id, bytes(64, 1)).fragment(0, 32)),
                Outcome::Held
            ));
        }
        let last = Datagram::family(v6, 7, bytes(64, 1));
        assert!(matches!(bench.push(&last.fragment(0, 32)), Outcome::Held));
        assert_eq!((bench.reassembler.len(), bench.counters().datagrams_dropped(Reason::Limit)), (3, 1));
        assert!(matches!(bench.push(&last.fragment(32, 64)), Outcome::Complete(_)));
    }
}

#[test]
fn floods_from_many_sources_are_bounded_and_the_oldest_go() {
    let config = ReassemblyConfig {
        max_memory: 1 << 19,
        max_datagrams: 256,
        max_tombstones: 64,
        max_pairs: 32,
        max_events: 16,
        ..ReassemblyConfig::default()
    };
    let mut bench = Bench::new(config);
    let mut highest = 0;
    for number in 0..50_000u32 {
        bench.now += Duration::from_micros(1);
        let v6 = number % 2 == 0;
        let mut flood = Datagram::family(v6, number, bytes(64, 1)).from((number % 251) as u8);
        flood.dst = (number % 13) as u8;
        flood.protocol = (number % 7) as u8 + 240;
        let _ = bench.push(&flood.fragment(8, 16));
        highest = highest.max(bench.reassembler.memory());
        assert!(bench.reassembler.len() <= 256 && bench.reassembler.held_memory() <= 1 << 19);
        assert!(bench.reassembler.tombstones() <= 64);
        // Pairs in use, and idle ones.
        assert!(bench.reassembler.pairs() <= 256 + 64 + 32 + 1);
    }
    assert!(highest < 3 << 20, "{highest} bytes");
    let counters = bench.counters();
    assert_eq!(counters.datagrams_dropped(Reason::Limit), counters.datagrams - 256);
    assert!(counters.pairs_forgotten > 0 && counters.tombstones_forgotten > 0 && counters.events_lost > 0);
    while bench.reassembler.poll_timeout(Instant::MAX, &mut bench.pool).is_some() {}
    let counters = bench.counters();
    assert_eq!((counters.held, bench.reassembler.held_memory(), bench.reassembler.tombstones()), (0, 0, 0));
    assert!(counters.is_conserved());
}

#[test]
fn memory_counts_the_blocks_that_are_kept() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    let datagram = Datagram::v4(1, bytes(4_000, 1));
    assert!(matches!(bench.push(&datagram.fragment(0, 8)), Outcome::Held));
    assert_eq!(bench.reassembler.held_memory(), DATAGRAM_BYTES + FRAGMENT_BYTES + 512);
    assert!(matches!(bench.push(&datagram.fragment(8, 1_008)), Outcome::Held));
    assert_eq!(bench.reassembler.held_memory(), DATAGRAM_BYTES + 2 * FRAGMENT_BYTES + 512 + 2_048);
}

/// Padding is cut off, and stays where it is as long as the fragment waits.
#[test]
fn memory_counts_what_was_cut_off_behind_the_fragment() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 1, bytes(64, 1));
        for padding in [0, 400, 2_000, 60_000] {
            let padded = |start: usize| {
                let mut packet = datagram.fragment(start, start + 8);
                packet.resize(packet.len() + padding, 0xee);
                packet
            };
            let block = match HEADROOM as usize + padded(0).len() {
                ..=512 => 512,
                used => used.max(2_048),
            };
            // The first, the one behind it, and one that leaves a gap.
            let mut bench = Bench::new(ReassemblyConfig { source_share: 1, ..ReassemblyConfig::default() });
            for (count, start) in [(1, 0), (2, 8), (3, 24)] {
                assert!(matches!(bench.push(&padded(start)), Outcome::Held));
                let expected = DATAGRAM_BYTES + count * (FRAGMENT_BYTES + block);
                assert_eq!(bench.reassembler.held_memory(), expected, "{padding} {start}");
            }
        }
    }
}

#[test]
fn memory_counts_what_waits_to_be_asked_for() {
    const LONG: usize = 60_000;
    let mut bench = Bench::new(ReassemblyConfig { max_dropped: 8, ..ReassemblyConfig::default() });
    let [late, unusable] = [1, 2].map(|id| Datagram::v4(id, bytes(LONG + 8, 1)));
    assert!(matches!(bench.push(&late.fragment(0, LONG)), Outcome::Held));
    bench.now += Duration::from_secs(30);
    // The first one's time is up, which is told when it is asked for.
    assert!(matches!(bench.push(&late.fragment(8, 16)), Outcome::Held));
    assert!(matches!(bench.push(&unusable.fragment(0, LONG)), Outcome::Held));
    assert!(matches!(bench.push(&unusable.claim(8, &[0; 16], true)), Outcome::Dropped(_)));
    let (both, held) = (bench.reassembler.memory(), bench.reassembler.held_memory());
    assert!((2 * LONG..3 * LONG).contains(&both) && held < LONG, "{both} {held}");
    let expired = bench.reassembler.poll_timeout(bench.now, &mut bench.pool).expect("its time is up");
    assert_eq!(expired.first.map(|first| first.len() as usize), Some(20 + LONG));
    let one = bench.reassembler.memory();
    assert!((LONG..2 * LONG).contains(&one), "{one}");
    assert!(bench.reassembler.poll_dropped().is_some() && bench.reassembler.memory() < LONG);
}

#[test]
fn padding_does_not_make_a_flood_larger_than_the_limit() {
    const PADDING: usize = 60_000;
    let config = ReassemblyConfig { max_memory: 1_000_000, ..ReassemblyConfig::default() };
    let mut bench = Bench::new(config);
    for number in 0..3_000 {
        let mut packet = Datagram::v4(number, bytes(16, 1)).from((number % 200) as u8).fragment(0, 8);
        packet.resize(packet.len() + PADDING, 0xee);
        let _ = bench.push(&packet);
        assert!(bench.counters().held as usize * PADDING <= 1_000_000, "{number}");
    }
    assert!(bench.counters().held > 0);
}

#[test]
fn a_fragment_does_not_keep_a_large_block_unless_it_may() {
    use netfast_buf::{Block, Skb};
    let datagram = Datagram::v4(1, bytes(64, 1));
    let mut bytes = datagram.fragment(0, 32);
    let len = bytes.len();
    bytes.resize(1 << 20, 0);
    for pin_large_blocks in [false, true] {
        let block = Block::from(bytes.clone());
        let config = ReassemblyConfig { pin_large_blocks, ..ReassemblyConfig::default() };
        let mut bench = Bench::new(config);
        let packet = Skb::from_block(block.clone(), 0, len).expect("in the block");
        let outcome = bench.reassembler.handle_packet(bench.now, 0, packet, &mut bench.pool);
        assert!(matches!(outcome, Outcome::Held));
        assert_eq!(block.is_unique(), !pin_large_blocks);
        let expected = if pin_large_blocks { len } else { 512 };
        assert_eq!(bench.reassembler.held_memory(), DATAGRAM_BYTES + FRAGMENT_BYTES + expected);
        assert_eq!(bench.counters().copied_bytes, if pin_large_blocks { 0 } else { len as u64 });
        let Outcome::Complete(made) = bench.push(&datagram.fragment(32, 64)) else { panic!("whole") };
        assert_eq!(made.packet.to_vec(), datagram.whole());
    }
}

#[test]
fn more_fragments_than_allowed_end_the_datagram() {
    let config = ReassemblyConfig { max_fragments: 4, ..ReassemblyConfig::default() };
    let mut bench = Bench::new(config);
    let datagram = Datagram::v4(1, bytes(80, 1));
    for at in [8, 16, 24, 32] {
        assert!(matches!(bench.push(&datagram.fragment(at, at + 8)), Outcome::Held));
    }
    let outcome = bench.push(&datagram.fragment(40, 48));
    assert!(matches!(outcome, Outcome::Dropped(dropped) if dropped.reason == Reason::TooManyFragments));
    assert_eq!(bench.counters().dropped(Reason::TooManyFragments), 5);
}

#[test]
fn fragment_smack_is_linear_in_the_fragments() {
    // 65,515 bytes in fragments of 8, every second one first, then the others, the last one missing; many times.
    let datagram = Datagram::v4(1, bytes(65_512, 1));
    let mut bench = Bench::new(ReassemblyConfig::default());
    let count = datagram.data.len() / 8;
    for parity in [1, 0] {
        for at in (parity..count - 1).step_by(2) {
            assert!(matches!(bench.push(&datagram.fragment(at * 8, at * 8 + 8)), Outcome::Held));
        }
    }
    let fragments = bench.counters().held;
    let steps = bench.reassembler.steps();
    assert!(steps <= 128 * fragments, "{steps} steps for {fragments} fragments");
    let Outcome::Complete(made) = bench.push(&datagram.fragment(count * 8 - 8, count * 8)) else {
        panic!("whole")
    };
    assert_eq!(made.packet.to_vec(), datagram.whole());
}

#[test]
fn a_fragment_that_comes_too_late_counts_once_for_the_others() {
    // More than so many fragments of a source after a datagram's last one are too many.
    let mut bench = Bench::new(ReassemblyConfig { max_disorder: 4, ..ReassemblyConfig::default() });
    let datagram = |id| Datagram::v4(id, bytes(64, 1));
    for id in 1..=5 {
        assert!(matches!(bench.push(&datagram(id).fragment(0, 32)), Outcome::Held));
    }
    // The first one's: it is given up, and begun again.
    assert!(matches!(bench.push(&datagram(1).fragment(32, 64)), Outcome::Held));
    assert_eq!(bench.counters().datagrams_dropped(Reason::Disorder), 1);
    for id in 6..=7 {
        assert!(matches!(bench.push(&datagram(id).fragment(0, 32)), Outcome::Held));
    }
    // Three came in between.
    assert!(matches!(bench.push(&datagram(5).fragment(32, 64)), Outcome::Complete(_)));
    assert!(matches!(bench.push(&datagram(1).fragment(0, 32)), Outcome::Complete(_)));
    assert_eq!(bench.counters().datagrams_dropped(Reason::Disorder), 1);
}

#[test]
fn what_comes_after_the_end_does_not_begin_a_datagram() {
    for v6 in [false, true] {
        let mut bench = Bench::new(ReassemblyConfig::default());
        let datagram = Datagram::family(v6, 1, bytes(64, 1));
        bench.complete(&datagram.fragments(32));
        let late = bench.push(&datagram.fragment(0, 32));
        assert!(matches!(late, Outcome::Dropped(dropped) if dropped.reason == Reason::Tombstone));
        bench.now += Duration::from_secs(1);
        bench.complete(&datagram.fragments(32));
        // Switched off.
        let config = ReassemblyConfig { tombstone: Duration::ZERO, ..ReassemblyConfig::default() };
        let mut bench = Bench::new(config);
        bench.complete(&datagram.fragments(32));
        bench.complete(&datagram.fragments(32));
        assert_eq!(bench.reassembler.tombstones(), 0);
    }
}

/// Datagrams of two fragments with identifications in order, `gap` apart in time; the second fragment of the first one comes
/// after `others`. Gives what becomes of it.
fn after_others(config: ReassemblyConfig, others: u32, gap: Duration) -> Outcome {
    let mut bench = Bench::new(config);
    let first = Datagram::v4(0, bytes(64, 1));
    assert!(matches!(bench.push(&first.fragment(0, 32)), Outcome::Held));
    for id in 1..=others {
        bench.now += gap;
        bench.complete(&Datagram::v4(id, bytes(64, 2)).fragments(32));
    }
    bench.push(&Datagram::v4(65_536, bytes(64, 3)).fragment(32, 64))
}

#[test]
fn rfc_4963_an_identification_that_came_round_is_another_datagram() {
    let only =
        |wrap_safe, max_disorder| ReassemblyConfig { wrap_safe, max_disorder, ..ReassemblyConfig::default() };
    let slow = Duration::from_nanos(100);
    // Without protection two datagrams are joined.
    assert!(matches!(after_others(only(false, 0), 65_535, slow), Outcome::Complete(_)));
    assert!(matches!(after_others(only(true, 0), 65_535, slow), Outcome::Held));
    assert!(matches!(after_others(only(false, 64), 65_535, slow), Outcome::Held));
    // What is within half of all is the same datagram.
    let gap = Duration::from_millis(100);
    assert!(matches!(after_others(only(true, 0), 290, gap), Outcome::Complete(_)));
}

#[test]
fn a_datagram_expires_in_half_the_time_in_which_identifications_come_round() {
    // 100,000 datagrams a second use half of the identifications in 328 ms.
    let mut bench = Bench::new(ReassemblyConfig { max_disorder: 0, ..ReassemblyConfig::default() });
    for id in 0..2_000 {
        bench.now += Duration::from_micros(10);
        bench.complete(&Datagram::v4(id, bytes(64, 1)).fragments(32));
    }
    let begun = bench.now;
    assert!(matches!(bench.push(&Datagram::v4(2_000, bytes(64, 1)).fragment(0, 32)), Outcome::Held));
    let due = bench.reassembler.next_timeout().expect("a timer");
    let lifetime = due - begun;
    assert!((Duration::from_millis(325)..Duration::from_millis(360)).contains(&lifetime), "{lifetime}");
    let expired = bench.reassembler.poll_timeout(due, &mut bench.pool).expect("due");
    assert_eq!((expired.reason, expired.first.is_some()), (Reason::Wraparound, true));
    assert!(bench.counters().is_conserved());
    // Another pair's datagrams wait as long as ever.
    bench.now = due;
    assert!(matches!(bench.push(&Datagram::v4(1, bytes(64, 1)).from(9).fragment(0, 32)), Outcome::Held));
    assert_eq!(bench.reassembler.next_timeout(), Some(bench.now + Duration::from_secs(30)));
}

#[test]
fn identifications_by_chance_do_not_shorten_the_timeout_more_than_their_number() {
    let mut bench = Bench::new(ReassemblyConfig { max_disorder: 0, ..ReassemblyConfig::default() });
    for number in 0..2_000u32 {
        bench.now += Duration::from_millis(1);
        bench.complete(&Datagram::v4(number.wrapping_mul(40_503) & 0xffff, bytes(64, 1)).fragments(32));
    }
    assert!(matches!(bench.push(&Datagram::v4(3, bytes(64, 1)).fragment(0, 32)), Outcome::Held));
    // 1,000 a second: half of all in 32 s.
    assert_eq!(bench.reassembler.next_timeout(), Some(bench.now + Duration::from_secs(30)));
}

#[test]
fn identifications_used_again_at_line_rate_join_nothing_wrong() {
    // Every third first fragment is lost, so that second ones wait for the next datagram with their identification.
    let mut bench = Bench::new(ReassemblyConfig { max_disorder: 0, ..ReassemblyConfig::default() });
    let mut whole = 0u32;
    for number in 0..300_000u32 {
        bench.now += Duration::from_nanos(1_200);
        let datagram = Datagram::v4(number & 0xffff, number.to_be_bytes().repeat(4));
        for start in [0, 8] {
            if start == 0 && number % 3 == 0 {
                continue;
            }
            if let Outcome::Complete(made) = bench.push(&datagram.fragment(start, start + 8)) {
                assert_eq!(made.packet.to_vec(), datagram.whole());
                whole += 1;
            }
        }
        while bench.reassembler.poll_timeout(bench.now, &mut bench.pool).is_some() {}
    }
    assert_eq!(whole, 200_000, "all that came whole");
}

#[test]
fn contexts_and_families_are_kept_apart() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    let datagram = Datagram::v4(1, bytes(64, 1));
    let mut push = |context, packet: &[u8]| {
        let packet = netfast_buf::Skb::from_slice(packet, &mut bench.pool).expect("short");
        bench.reassembler.handle_packet(bench.now, context, packet, &mut bench.pool)
    };
    assert!(matches!(push(1, &datagram.fragment(0, 32)), Outcome::Held));
    assert!(matches!(push(2, &datagram.fragment(32, 64)), Outcome::Held));
    let other = Datagram { protocol: 17, ..datagram.clone() };
    assert!(matches!(push(1, &other.fragment(32, 64)), Outcome::Held));
    // IPv4 addresses in an IPv6 header are others.
    let mut mapped = Datagram::v6(1, bytes(64, 1)).fragment(32, 64);
    mapped[8..40].fill(0);
    mapped[18..24].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    mapped[34..40].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
    assert!(matches!(push(1, &mapped), Outcome::Held));
    assert!(matches!(push(1, &datagram.fragment(32, 64)), Outcome::Complete(_)));
}

#[test]
fn a_clock_that_goes_back_counts_as_the_latest() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    assert!(matches!(bench.push(&Datagram::v4(1, bytes(64, 1)).fragment(0, 32)), Outcome::Held));
    bench.now = Instant::ZERO;
    assert!(matches!(bench.push(&Datagram::v4(2, bytes(64, 1)).fragment(0, 32)), Outcome::Held));
    assert_eq!(bench.counters().backward_steps, 1);
    assert_eq!(bench.reassembler.next_timeout(), Some(Instant::from_secs(31)));
}

#[test]
fn overlapping_many_pieces_again_and_again_is_linear_in_the_bytes() {
    use netfast_frag::OverlapPolicy;
    for policy in [OverlapPolicy::First, OverlapPolicy::Last, OverlapPolicy::Bsd, OverlapPolicy::Windows] {
        let config = ReassemblyConfig { overlap: policy, max_events: 0, ..ReassemblyConfig::default() };
        let mut bench = Bench::new(config);
        let shape = Datagram::v4(1, bytes(32_000, 1));
        // Every second eight bytes, then all of them, again and again, the last one missing.
        for at in (0..31_000).step_by(16) {
            let _ = bench.push(&shape.fragment(at, at + 8));
        }
        let before = bench.reassembler.steps();
        for _ in 0..100 {
            let _ = bench.push(&shape.fragment(0, 31_000));
        }
        let steps = bench.reassembler.steps() - before;
        assert!(steps <= 100 * 31_000 / 8 * 4, "{policy}: {steps} steps");
    }
}
