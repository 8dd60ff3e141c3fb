//! Order, time and the limits of what is held.
use crate::frames::*;
use crate::property::conserved;
use crate::run;
use netfast_buf::{Block, MAX_SEGMENTS, PacketPool, Skb};
use netfast_offload::collate::{Collator, CollatorConfig, CollatorError, End, Reason};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;

fn flow(number: u16) -> Packet {
    Packet::tcp(Ip::v4(), 1, 100).with(|packet| packet.ports.0 = number)
}

/// The source port of each packet, and the segments that it stands for.
fn told(out: &[Skb]) -> Vec<(u16, u16)> {
    let port = |packet: &Skb| u16::from_be_bytes([packet.head()[34], packet.head()[35]]);
    out.iter().map(|packet| (port(packet), packet.hot.gso_segments.max(1))).collect()
}

struct Held {
    collator: Collator,
    pool: PacketPool,
    out: Vec<Skb>,
}

impl Held {
    fn new(config: CollatorConfig) -> Self {
        let collator = Collator::new(config, 3, PacketPool::default()).expect("the settings are right");
        Self { collator, pool: PacketPool::default(), out: Vec::new() }
    }

    fn give(&mut self, millis: u64, packets: &[Packet]) {
        let frames: Vec<_> = packets.iter().map(Packet::bytes).collect();
        let mut batch = batch(skbs(&frames, &mut self.pool));
        self.collator.handle_batch(Instant::from_millis(millis), &mut batch, &mut self.out);
        conserved(&self.collator, &self.out);
    }

    fn ended(&self, end: End) -> u64 {
        self.collator.counters().ended(end)
    }
}

#[test]
fn without_holding_a_batch_ends_all_trains_the_oldest_first() {
    let mut held = Held::new(CollatorConfig::default());
    let (one, two) = (flow(1), flow(2));
    held.give(1, &[two.at(0), one.at(0), two.at(1), one.at(1)]);
    assert_eq!(told(&held.out), [(2, 2), (1, 2)]);
    held.give(2, &[two.at(2)]);
    assert_eq!(told(&held.out)[2..], [(2, 1)]);
    assert_eq!((held.ended(End::Batch), held.collator.held(), held.collator.next_timeout()), (3, 0, None));
}

#[test]
fn what_is_held_goes_on_in_the_next_batch_until_its_time_is_over() {
    let hold = Duration::from_millis(5);
    let mut held = Held::new(CollatorConfig { max_hold: hold, ..CollatorConfig::default() });
    let (one, two) = (flow(1), flow(2));
    held.give(10, &[one.at(0), one.at(1)]);
    held.give(12, &[one.at(2), two.at(0)]);
    assert_eq!((held.out.len(), held.collator.held()), (0, 2));
    assert_eq!(held.collator.next_timeout(), Some(Instant::from_millis(15)));
    held.collator.poll(Instant::from_micros(14_999), &mut held.out);
    assert!(held.out.is_empty());
    held.collator.poll(Instant::from_millis(15), &mut held.out);
    assert_eq!((told(&held.out), held.ended(End::Timeout)), (vec![(1, 3)], 1));
    assert_eq!(held.collator.next_timeout(), Some(Instant::from_millis(17)));
    // Nobody polled: the packet comes too late for its train all the same.
    held.give(17, &[two.at(1)]);
    assert_eq!(told(&held.out), [(1, 3), (2, 1)]);
    // A clock that goes back stands still.
    held.give(3, &[two.at(2)]);
    assert_eq!(held.collator.counters().clock_went_back, 1);
    assert_eq!(held.collator.next_timeout(), Some(Instant::from_millis(22)));
    held.collator.flush(&mut held.out);
    assert_eq!(told(&held.out)[2..], [(2, 2)]);
    assert_eq!((held.ended(End::Flush), held.collator.held_bytes()), (1, 0));
    // As late as time goes.
    held.give(u64::MAX, &[one.at(9)]);
    assert_eq!(held.collator.next_timeout(), Some(Instant::MAX));
}

#[test]
fn what_cannot_be_merged_goes_behind_what_is_held_of_its_flow_and_before_that_of_others() {
    let config = CollatorConfig { max_hold: Duration::from_secs(1), ..CollatorConfig::default() };
    let mut held = Held::new(config);
    let (one, two) = (flow(1), flow(2));
    held.give(1, &[two.at(0), one.at(0), one.at(1), one.at(2).sized(0), one.at(2)]);
    assert_eq!(told(&held.out), [(1, 2), (1, 1)]);
    assert_eq!((held.ended(End::Other), held.collator.held()), (1, 2));
    // So do packets with a wrong checksum, with bytes behind them, and such that end a stream.
    let ends: [fn(Packet) -> Packet; 3] = [
        |packet| packet.flags(SYN),
        |packet| packet.with(|p| p.trailer = 4),
        |packet| packet.with(|p| p.wrong = 1),
    ];
    for (count, end) in ends.into_iter().enumerate() {
        held.give(1, &[end(one.at(3))]);
        let last = held.out.len() - 1;
        assert_eq!(told(&held.out)[last - 1], (1, 1), "{count}");
        held.give(1, &[one.at(3)]);
    }
}

#[test]
fn fragments_go_behind_all_that_is_held_between_their_addresses() {
    let config = CollatorConfig { max_hold: Duration::from_secs(1), ..CollatorConfig::default() };
    let carrier = Carrier::Vxlan { vni: 1, flags: 8, zero: true };
    for tunnel in [None, Some((Ip { src: 9, ..Ip::v6() }, carrier))] {
        let mut held = Held::new(config);
        let inside = |packet: Packet| packet.with(|packet| packet.tunnel = tunnel.clone());
        let other = flow(7).with(|packet| packet.ip.src = 200);
        held.give(1, &[inside(flow(1)), inside(Packet::udp(Ip::v4(), 1, 50)), inside(other)]);
        assert_eq!(held.collator.held(), 3);
        let fragment = flow(1).with(|packet| packet.ip.fragment = 0x00ff);
        held.give(1, &[inside(fragment)]);
        assert_eq!((held.out.len(), held.collator.held()), (3, 1));
        assert_eq!(held.collator.counters().not_merged(Reason::Fragment), 1);
        // A fragment of the tunnel may be of any flow in it.
        if let Some((ip, _)) = &tunnel {
            let bytes = (44, vec![0, 0, 1, 0, 0, 0, 0, 1]);
            let outer = Packet::udp(ip.clone(), 1, 50).with(|packet| packet.ip.extensions = vec![bytes]);
            held.give(1, &[outer]);
            assert_eq!(held.collator.held(), 0);
        }
    }
}

#[test]
fn flows_above_the_limit_put_out_the_oldest_near_them() {
    let hold = Duration::from_secs(1);
    let mut held = Held::new(CollatorConfig { max_flows: 8, max_hold: hold, ..CollatorConfig::default() });
    let flows: Vec<_> = (0..9).map(flow).collect();
    held.give(1, &flows[..8]);
    assert_eq!((held.out.len(), held.collator.held()), (0, 8));
    held.give(2, &[flows[0].at(1)]);
    held.give(3, &flows[8..]);
    assert_eq!((told(&held.out), held.ended(End::Flows)), (vec![(0, 2)], 1));
    held.give(4, &[flows[0].at(2)]);
    assert_eq!(told(&held.out)[1..], [(1, 1)]);
    // A scan of any length is held by eight.
    for first in 0..200 {
        held.give(5, &(0..100).map(|number| flow(first * 100 + number)).collect::<Vec<_>>());
        assert!(held.collator.held() <= 8 && held.collator.held_bytes() < 8 * 200);
    }
    assert!(held.ended(End::Flows) > 19_900);
}

#[test]
fn bytes_above_the_limit_put_out_the_oldest() {
    let (hold, bytes) = (Duration::from_secs(1), 1_000);
    let config = CollatorConfig { max_held_bytes: bytes, max_hold: hold, ..CollatorConfig::default() };
    let mut held = Held::new(config);
    for round in 0..40 {
        held.give(1, &[flow(1).at(round), flow(2).at(round), flow(3).at(round)]);
        assert!(held.collator.held_bytes() <= bytes);
    }
    assert!(held.ended(End::Bytes) > 5);
    let mut none = Held::new(CollatorConfig { max_held_bytes: 0, ..config });
    none.give(1, &[flow(1), flow(1).at(1)]);
    assert_eq!(told(&none.out), [(1, 1), (1, 1)]);
}

#[test]
fn a_super_packet_is_no_longer_than_an_ip_packet_may_be() {
    let link = 14;
    for ip in [Ip::v4(), Ip::v6()] {
        let first = Packet::tcp(ip, 1, 1_448);
        let frames: Vec<_> = (0..100).map(|index| first.at(index).bytes()).collect();
        let merged = run(CollatorConfig::default(), &frames, |_, _| ());
        let headers = frames[0].len() - 1_448;
        let most = (65_535 + link - headers) / 1_448;
        assert_eq!(merged.out.iter().map(|packet| packet.hot.gso_segments as usize).max(), Some(most));
        assert!(merged.out.iter().all(|packet| packet.len() as usize <= 65_535 + link));
        assert_eq!(merged.counters.not_merged(Reason::Length), 2);
        let short = CollatorConfig { max_length: 3_000, ..CollatorConfig::default() };
        assert_eq!(run(short, &frames, |_, _| ()).out.len(), 50);
    }
    // To the very byte.
    let first = Packet::tcp(Ip::v4(), 1, 33_000);
    let rest = 65_535 - 52 - 33_000;
    for (payload, parts) in [(rest, 1), (rest + 1, 2)] {
        let frames = [first.bytes(), first.at(1).sized(payload).bytes()];
        assert_eq!(run(CollatorConfig::default(), &frames, |_, _| ()).out.len(), parts, "{payload}");
    }
}

#[test]
fn segments_are_limited_and_their_pieces_are_never_copied() {
    let first = Packet::udp(Ip::v4(), 1, 60);
    let frames: Vec<_> = (0..200).map(|index| first.at(index).bytes()).collect();
    let merged = run(CollatorConfig::default(), &frames, |_, _| ());
    assert_eq!(merged.out.iter().map(|packet| packet.hot.gso_segments).collect::<Vec<_>>(), [64, 64, 64, 8]);
    assert_eq!((merged.counters.ended(End::Segments), merged.copied), (3, 0));
    let four = CollatorConfig { max_segments: 4, ..CollatorConfig::default() };
    assert_eq!(run(four, &frames, |_, _| ()).out.len(), 50);

    // Captured packets have their headers copied, not more; and packets of several pieces count as such.
    for pieces in [1, 3, 40] {
        let mut pool = PacketPool::default();
        let packets = frames.iter().map(|frame| {
            let (block, mut packet, mut at) = (Block::from(frame.clone()), Skb::new(), 0);
            for piece in 0..pieces {
                let length = if piece == 0 { 44 } else { 1 };
                let length = if piece == pieces - 1 { frame.len() - at } else { length };
                packet.append_block(block.clone(), at, length, &mut pool).expect("within the block");
                at += length;
            }
            packet
        });
        let merged = crate::collate(CollatorConfig::default(), packets.collect());
        assert!(merged.out.iter().all(|packet| packet.segments().len() <= MAX_SEGMENTS));
        assert_eq!(merged.copied, merged.counters.super_packets * 42, "{pieces}");
        let per_super = merged.counters.mean_segments().unwrap_or(1.0);
        assert!(per_super <= 63.0 && (pieces > 32 || per_super > 15.0), "{pieces}: {per_super}");
        assert_eq!(crate::split(merged.out, LinkType::ETHERNET), frames);
    }
}

#[test]
fn headers_in_pieces_are_moved_together() {
    let first = Packet::tcp(Ip::v6(), 1, 100);
    let frames: Vec<_> = (0..10).map(|index| first.at(index).bytes()).collect();
    for cut in [0, 1, 13, 14, 20, 53, 54, 60, 85, 86, 90] {
        let mut pool = PacketPool::default();
        let packets = frames.iter().map(|frame| {
            let (block, mut packet) = (Block::from(frame.clone()), Skb::new());
            packet.append_block(block.clone(), 0, cut, &mut pool).expect("within the block");
            packet.append_block(block, cut, frame.len() - cut, &mut pool).expect("within the block");
            packet
        });
        let merged = crate::collate(CollatorConfig::default(), packets.collect());
        assert_eq!(merged.out.len(), 1, "{cut}");
        assert_eq!(crate::split(merged.out, LinkType::ETHERNET), frames);
    }
}

#[test]
fn settings_out_of_range_are_told_with_what_may_stand_there() {
    let wrong =
        |config| Collator::new(config, 0, PacketPool::default()).expect_err("it is wrong").to_string();
    let base = CollatorConfig::default();
    for flows in [0, 7, 100, 1 << 13] {
        let text = wrong(CollatorConfig { max_flows: flows, ..base });
        assert_eq!(text, format!("max_flows is {flows}: give a power of two from 8 to 4,096"));
    }
    for segments in [0, 1, 65] {
        let text = wrong(CollatorConfig { max_segments: segments, ..base });
        assert_eq!(text, format!("max_segments is {segments}: give 2 to 64"));
    }
    assert_eq!(
        wrong(CollatorConfig { max_length: 65_536, ..base }),
        "max_length is 65536: give 576 to 65,535 bytes"
    );
    let link = LinkType::PPP;
    assert_eq!(
        Collator::new(CollatorConfig { link, ..base }, 0, PacketPool::default()).expect_err("it is wrong"),
        CollatorError::LinkType { link }
    );
}
