//! Packets are cut as senders cut them, and cut again as they were.
mod support;

use netfast_buf::{Block, ChecksumState, PacketPool, Skb};
use netfast_frag::{Cut, FragmentError, ReassemblyConfig, fragment, refragment};
use proptest::prelude::*;
use support::{Bench, Datagram, bytes, ethernet};

fn cut(packet: &[u8], l3: u32, cut: Cut) -> Result<Vec<Vec<u8>>, FragmentError> {
    let (mut pool, mut into) = (PacketPool::default(), Vec::new());
    let mut packet = Skb::from_slice(packet, &mut pool).expect("short");
    let copied = pool.copies.bytes;
    let count = fragment(&mut packet, l3, &cut, &mut pool, &mut into)?;
    assert_eq!(pool.copies.bytes, copied, "no byte of data is copied");
    assert_eq!((count, packet.is_empty()), (into.len(), true));
    Ok(into.iter().map(Skb::to_vec).collect())
}

fn to(mtu: u32) -> Cut {
    Cut { mtu, identification: 7, ignore_df: false }
}

#[test]
fn fragments_are_those_of_a_plain_sender() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 7, bytes(3_000, 1));
        let header = if v6 { 48 } else { 20 };
        assert_eq!(cut(&datagram.whole(), 0, to(1_200 + header)).expect("cut"), datagram.fragments(1_200));
        // What does not fill eight bytes is left.
        assert_eq!(cut(&datagram.whole(), 0, to(1_207 + header)).expect("cut"), datagram.fragments(1_200));
        let frames: Vec<_> = datagram.fragments(1_200).iter().map(|packet| ethernet(packet)).collect();
        let mut padded = ethernet(&datagram.whole());
        padded.extend([0xee; 10]);
        assert_eq!(cut(&padded, 14, to(1_200 + header)).expect("cut"), frames);
        assert_eq!(cut(&datagram.whole(), 0, to(9_000)).expect("fits"), [datagram.whole()]);
    }
}

#[test]
fn rfc_791_options_are_copied_by_their_flag() {
    let mut datagram = Datagram::v4(7, bytes(64, 1));
    // Record route (not copied), router alert (copied), no operation, end.
    datagram.options = vec![7, 7, 4, 0, 0, 0, 0, 0x94, 4, 0, 0, 1, 0, 0, 0, 0];
    let first = datagram.fragment(0, 32);
    let later = Datagram { options: vec![0x94, 4, 0, 0], ..datagram.clone() };
    let made = cut(&datagram.whole(), 0, to(36 + 32)).expect("cut");
    // A shorter header leaves more room for data.
    assert_eq!(made, [first, later.fragment(32, 64)]);
    let short = cut(&datagram.whole(), 0, to(36 + 24)).expect("cut");
    assert_eq!(short, [datagram.fragment(0, 24), later.fragment(24, 56), later.fragment(56, 64)]);
}

#[test]
fn rfc_8200_hop_by_hop_options_are_in_each_fragment_and_others_are_data() {
    let mut datagram = Datagram::v6(7, bytes(64, 1));
    datagram.options = vec![0, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(cut(&datagram.whole(), 0, to(56 + 32)).expect("cut"), datagram.fragments(32));
    // Destination options without a routing header are data.
    let mut options = Datagram { protocol: 60, options: vec![], ..datagram.clone() };
    options.data = [vec![253, 0, 1, 4, 0, 0, 0, 0], bytes(56, 2)].concat();
    assert_eq!(cut(&options.whole(), 0, to(48 + 32)).expect("cut"), options.fragments(32));
}

#[test]
fn a_fragment_may_be_cut_again_in_ipv4_only() {
    let datagram = Datagram::v4(7, bytes(200, 1));
    let made = cut(&datagram.fragment(80, 160), 0, to(60)).expect("cut");
    assert_eq!(made, [datagram.fragment(80, 120), datagram.fragment(120, 160)]);
    let last = cut(&datagram.fragment(160, 200), 0, to(44)).expect("cut");
    assert_eq!(last, [datagram.fragment(160, 184), datagram.fragment(184, 200)]);
    let fragment = Datagram::v6(7, bytes(200, 1)).fragment(80, 160);
    assert_eq!(cut(&fragment, 0, to(100)), Err(FragmentError::AlreadyFragment { offset: 40 }));
}

#[test]
fn what_is_refused_stays_as_it_is() {
    let mut pool = PacketPool::default();
    let mut refuse = |packet: &[u8], l3, cut: Cut, partial: bool| {
        let mut skb = Skb::from_slice(packet, &mut pool).expect("short");
        if partial {
            skb.hot.checksum = ChecksumState::Partial;
        }
        let mut into = Vec::new();
        let error = fragment(&mut skb, l3, &cut, &mut pool, &mut into).expect_err("refused");
        assert_eq!((skb.to_vec(), into.len()), (packet.to_vec(), 0));
        error
    };
    let (v4, v6) = (Datagram::v4(7, bytes(100, 1)), Datagram::v6(7, bytes(100, 1)));
    let df = Datagram { df: true, ..v4.clone() };
    assert_eq!(refuse(&df.whole(), 0, to(100), false), FragmentError::DontFragment { length: 120, mtu: 100 });
    assert_eq!(refuse(&v4.whole(), 0, to(27), false), FragmentError::MtuTooSmall { mtu: 27, need: 28 });
    assert_eq!(refuse(&v6.whole(), 0, to(55), false), FragmentError::MtuTooSmall { mtu: 55, need: 56 });
    assert_eq!(refuse(&v4.whole(), 0, to(60), true), FragmentError::PartialChecksum);
    assert_eq!(refuse(&v4.whole(), 1, to(60), false), FragmentError::NotIp { offset: 1 });
    assert_eq!(refuse(&v4.whole()[..100], 0, to(60), false), FragmentError::NotIp { offset: 0 });
    assert_eq!(refuse(&[0x45], u32::MAX, to(60), false), FragmentError::NotIp { offset: u32::MAX });
    let tcp = Datagram { protocol: 6, ..v6 };
    assert_eq!(refuse(&tcp.whole(), 0, to(64), false), FragmentError::HeaderChain { room: 16 });
    assert_eq!(cut(&df.whole(), 0, Cut { ignore_df: true, ..to(100) }), Ok(df.fragments(80)));
}

#[test]
fn refragmenting_gives_the_equal_fragments() {
    for v6 in [false, true] {
        for (df, options) in [(false, false), (true, false), (false, true)] {
            let mut datagram = Datagram { df, ..Datagram::family(v6, 7, bytes(5_003, 1)) };
            if options {
                datagram.options = if v6 { vec![0, 0, 1, 4, 0, 0, 0, 0] } else { vec![0x94, 4, 0, 0] };
            }
            for size in [8, 1_000, 1_480, 4_096] {
                let fragments = datagram.fragments(size);
                let mut bench = Bench::new(ReassemblyConfig::default());
                let mut made = bench.complete(&fragments);
                let mut into = Vec::new();
                refragment(&mut made, 9_000, &mut bench.pool, &mut into).expect("cut");
                assert_eq!(into.iter().map(Skb::to_vec).collect::<Vec<_>>(), fragments);
            }
        }
        let datagram = Datagram { df: true, ..Datagram::family(v6, 7, bytes(5_003, 1)) };
        let mut bench = Bench::new(ReassemblyConfig::default());
        let mut made = bench.complete(&datagram.fragments(1_480));
        let length = made.largest_fragment;
        let error = refragment(&mut made, 1_400, &mut bench.pool, &mut Vec::new());
        assert_eq!(error, Err(FragmentError::DontFragment { length, mtu: 1_400 }));
    }
}

proptest! {
    #[test]
    fn any_cut_of_any_pieces_comes_together_again(
        v6: bool,
        len in 1usize..9_000,
        mtu in 88u32..2_000,
        pieces in proptest::collection::vec(1usize..4_000, 0..6),
        order: u64,
    ) {
        let datagram = Datagram::family(v6, 7, bytes(len, 1));
        let whole = datagram.whole();
        let mut pool = PacketPool::default();
        // The packet in pieces, each in a block of its own.
        let (mut packet, mut at) = (Skb::new(), 0);
        for piece in pieces.into_iter().chain([whole.len()]) {
            let end = (at + piece).min(whole.len());
            packet.append_block(Block::from(whole[at..end].to_vec()), 0, end - at, &mut pool).expect("short");
            at = end;
        }
        let mut fragments = Vec::new();
        let count = fragment(&mut packet, 0, &to(mtu), &mut pool, &mut fragments).expect("cut");
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= mtu));
        let mut packets: Vec<_> = fragments.iter().map(Skb::to_vec).collect();
        if count > 1 {
            for at in (1..packets.len()).rev() {
                packets.swap(at, (order as usize).wrapping_mul(at) % (at + 1));
            }
            let made = Bench::new(ReassemblyConfig::default()).complete(&packets);
            prop_assert_eq!(made.packet.to_vec(), whole);
        }
    }
}
