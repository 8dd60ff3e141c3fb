//! Datagrams come out as they were cut.
mod support;

use netfast_buf::{Block, ChecksumState, MAX_SEGMENTS, PacketPool, Skb};
use netfast_frag::{FragmentReason, Outcome, Reassembler, ReassemblyConfig};
use netfast_time::Instant;
use netfast_wire::LinkType;
use support::{Bench, Datagram, bytes, ethernet};

#[test]
fn fragments_in_any_order_make_the_datagram_again() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 7, bytes(100, 0));
        let fragments = datagram.fragments(40);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut bench = Bench::new(ReassemblyConfig::default());
            let made = bench.complete(&order.map(|at| fragments[at].clone()));
            assert_eq!(made.packet.to_vec(), datagram.whole());
            assert_eq!((made.fragments, made.key.identification()), (3, 7));
            assert_eq!(made.largest_fragment as usize, fragments[0].len());
            let counters = bench.counters();
            assert_eq!((counters.completed, counters.joined, counters.held), (1, 2, 0));
            assert_eq!((bench.reassembler.len(), bench.reassembler.held_memory()), (0, 0));
        }
    }
}

#[test]
fn link_headers_stay_and_padding_goes() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 7, bytes(20, 0));
        let mut reassembler = Reassembler::new(ReassemblyConfig::default());
        let mut pool = PacketPool::default();
        let tagged = |packet: &[u8], number: u8| {
            let mut frame = ethernet(packet);
            frame.splice(12..12, [0x81, 0, 0, 5]);
            frame[5] = number;
            frame.resize(frame.len() + 9, 0xee);
            frame
        };
        let [first, last] = [datagram.fragment(0, 16), datagram.fragment(16, 20)];
        let mut frame = |packet: &[u8], number, pool: &mut PacketPool| {
            let packet = Skb::from_slice(&tagged(packet, number), pool).expect("short");
            reassembler.handle_packet(Instant::ZERO, 0, packet, pool)
        };
        assert!(matches!(frame(&last, 2, &mut pool), Outcome::Held));
        let Outcome::Complete(made) = frame(&first, 1, &mut pool) else { panic!("whole") };
        let mut expected = tagged(&datagram.whole(), 1);
        expected.truncate(expected.len() - 9);
        assert_eq!(made.packet.to_vec(), expected);
        assert_eq!(made.packet.hot.outer.l3(), Some(18));
    }
}

#[test]
fn what_is_no_fragment_passes() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    for packet in
        [Datagram::v4(1, bytes(9, 0)).whole(), Datagram::v6(1, bytes(9, 0)).whole(), vec![], vec![0x60; 39]]
    {
        let Outcome::NotFragment(same) = bench.push(&packet) else { panic!("no fragment") };
        assert_eq!(same.to_vec(), packet);
    }
}

#[test]
fn rfc_6946_atomic_fragments_are_alone() {
    let mut bench = Bench::new(ReassemblyConfig::default());
    let waiting = Datagram::v6(9, bytes(64, 0));
    assert!(matches!(bench.push(&waiting.fragment(0, 32)), Outcome::Held));
    let mut atomic = Datagram::v6(9, bytes(33, 1));
    let Outcome::Atomic(alone) = bench.push(&atomic.claim(0, &atomic.data, false)) else { panic!("atomic") };
    assert_eq!(alone.to_vec(), atomic.whole());
    // With extension headers before and after.
    atomic.options = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let Outcome::Atomic(alone) = bench.push(&atomic.claim(0, &atomic.data, false)) else { panic!("atomic") };
    assert_eq!(alone.to_vec(), atomic.whole());
    let Outcome::Complete(made) = bench.push(&waiting.fragment(32, 64)) else { panic!("untouched") };
    assert_eq!(made.packet.to_vec(), waiting.whole());
}

#[test]
fn nothing_is_copied_up_to_64_pieces() {
    let block = |packet: Vec<u8>| {
        let length = packet.len();
        Skb::from_block(Block::from(packet), 0, length).expect("in the block")
    };
    // The header of a first fragment that others see is one piece more: it is written to.
    for (fragments, copied) in [(63, 20), (64, 20 + 64 * 256)] {
        let datagram = Datagram::v4(7, bytes(fragments * 256, 3));
        let mut pool = PacketPool::default();
        let config = ReassemblyConfig { link: LinkType::RAW, ..ReassemblyConfig::default() };
        let mut reassembler = Reassembler::new(config);
        let mut last = None;
        for packet in datagram.fragments(256) {
            last = reassembler.handle_packet(Instant::ZERO, 0, block(packet), &mut pool).into_packet();
        }
        let made = last.expect("whole");
        assert!(made.segments().len() <= MAX_SEGMENTS);
        assert_eq!(made.to_vec(), datagram.whole());
        assert_eq!(reassembler.counters().copied_bytes, copied as u64);
    }
    for (fragments, copied) in [(64, 0), (65, 65 * 256)] {
        let datagram = Datagram::v4(7, bytes(fragments * 256, 3));
        let mut bench = Bench::new(ReassemblyConfig::default());
        let made = bench.complete(&datagram.fragments(256));
        assert_eq!(made.packet.to_vec(), datagram.whole());
        assert_eq!(bench.counters().copied_bytes, copied as u64);
    }
}

#[test]
fn a_wrong_checksum_is_suspected_misassociation() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 7, Vec::new()).udp(&bytes(1_001, 0));
        let mut bench = Bench::new(ReassemblyConfig::default());
        let made = bench.complete(&datagram.fragments(200));
        assert_eq!(made.packet.hot.checksum, ChecksumState::Good);
        let other = Datagram::family(v6, 8, Vec::new()).udp(&bytes(1_001, 1));
        let mut mixed = Datagram { id: 8, ..datagram.clone() }.fragments(200);
        mixed[2] = other.fragments(200)[2].clone();
        let made = bench.complete(&mixed);
        assert_eq!(made.packet.hot.checksum, ChecksumState::Bad);
        let counters = bench.counters();
        assert_eq!((counters.checksum_good, counters.checksum_bad), (1, 1));
        assert_eq!(counters.noted(FragmentReason::SuspectedMisassociation), 1);
    }
}
