//! Fragments that come in order are joined at once, which nobody can tell from what comes out: a reassembler that may do so and
//! one that has each fragment alone, as whoever wants to see dropped ones, do the same with the same packets.
mod support;

use netfast_buf::{Block, HotLine, PacketPool, Skb};
use netfast_frag::{
    Event, Expired, FragmentKey, FragmentReason, Outcome, OverlapPolicy, Reassembler, ReassemblyConfig,
};
use netfast_time::{Duration, Instant};
use netfast_wire::LinkType;
use proptest::prelude::*;
use support::{Datagram, bytes, ethernet};

const SEGMENT: usize = 16;

/// What came of a packet, without the packet's identity.
#[derive(Debug, PartialEq)]
enum Told {
    Held,
    Passed(Seen),
    Whole(Seen, FragmentKey, u32, u32, Instant),
    Dropped(Seen, FragmentReason),
}

#[derive(Debug, PartialEq)]
struct Seen {
    pieces: Vec<Vec<u8>>,
    hot: HotLine,
}

impl Seen {
    fn of(packet: &Skb) -> Self {
        Self { pieces: packet.segments().map(<[u8]>::to_vec).collect(), hot: packet.hot }
    }
}

fn told(outcome: Outcome) -> Told {
    match outcome {
        Outcome::Held => Told::Held,
        Outcome::NotFragment(packet) | Outcome::Atomic(packet) => Told::Passed(Seen::of(&packet)),
        Outcome::Complete(made) => {
            Told::Whole(Seen::of(&made.packet), made.key, made.fragments, made.largest_fragment, made.began)
        }
        Outcome::Dropped(dropped) => Told::Dropped(Seen::of(&dropped.packet), dropped.reason),
    }
}

struct Twins {
    both: [Reassembler; 2],
    pool: PacketPool,
    now: Instant,
}

impl Twins {
    fn new(config: &ReassemblyConfig) -> Self {
        let both = [0, 1 << 20]
            .map(|max_dropped| Reassembler::new(ReassemblyConfig { max_dropped, ..config.clone() }));
        Self { both, pool: PacketPool::default(), now: Instant::from_secs(1) }
    }

    fn push(&mut self, frame: &[u8], shape: u8, stamp: u64) -> Told {
        let now = self.now;
        let pool = &mut self.pool;
        let [one, other] = self.both.each_mut().map(|reassembler| {
            let mut packet = shaped(frame, shape, pool);
            packet.hot.timestamp = Instant::from_nanos(stamp);
            packet.hot.in_port = shape.into();
            told(reassembler.handle_packet(now, 0, packet, pool))
        });
        assert_eq!(one, other);
        self.check();
        one
    }

    fn check(&mut self) {
        let [one, other] = &mut self.both;
        assert_eq!(one.counters(), other.counters());
        assert!(one.counters().is_conserved());
        let figures = |reassembler: &Reassembler| {
            let tables = (reassembler.len(), reassembler.tombstones(), reassembler.pairs());
            (tables, reassembler.held_memory(), reassembler.steps(), reassembler.next_timeout())
        };
        assert_eq!(figures(one), figures(other));
        loop {
            let events: [Option<Event>; 2] = [one.poll_event(), other.poll_event()];
            assert_eq!(events[0], events[1]);
            if events[0].is_none() {
                return;
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        loop {
            let pool = &mut self.pool;
            let [one, other] =
                self.both.each_mut().map(|reassembler| reassembler.poll_timeout(now, pool).map(seen));
            assert_eq!(one, other);
            self.check();
            if one.is_none() {
                return;
            }
        }
    }
}

fn seen(expired: Expired) -> (FragmentKey, FragmentReason, u32, Option<Seen>) {
    (expired.key, expired.reason, expired.fragments, expired.first.as_ref().map(Seen::of))
}

/// A packet that has its bytes for itself, refers to a block, to a large one, or stands in pieces.
fn shaped(frame: &[u8], shape: u8, pool: &mut PacketPool) -> Skb {
    match shape {
        0..=4 => Skb::from_slice(frame, pool).expect("short"),
        5 => Skb::from_block(Block::from(frame.to_vec()), 0, frame.len()).expect("in the block"),
        6 => {
            let mut block = frame.to_vec();
            block.resize(1 << 17, 0xee);
            Skb::from_block(Block::from(block), 0, frame.len()).expect("in the block")
        }
        _ => {
            let mut packet = Skb::new();
            for piece in frame.chunks(31) {
                packet.append_block(Block::from(piece.to_vec()), 0, piece.len(), pool).expect("short");
            }
            packet
        }
    }
}

/// Something that happens: a fragment in which little is unusual, or time that passes.
#[derive(Clone, Debug)]
struct Step {
    datagram: u8,
    /// Mostly the piece after the last one of that datagram.
    piece: Option<u8>,
    size: u8,
    odd: u8,
    shape: u8,
    wait: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let piece = prop_oneof![12 => Just(None), 2 => (0u8..8).prop_map(Some)];
    let size = prop_oneof![12 => Just(1u8), 1 => 0u8..4];
    let odd = prop_oneof![20 => Just(0u8), 3 => any::<u8>()];
    (0u8..6, piece, size, odd, 0u8..8, any::<u8>()).prop_map(|(datagram, piece, size, odd, shape, wait)| {
        Step { datagram, piece, size, odd, shape, wait }
    })
}

fn config() -> impl Strategy<Value = ReassemblyConfig> {
    let policy = (0..OverlapPolicy::ALL.len()).prop_map(|at| OverlapPolicy::ALL[at]);
    let limits = (prop_oneof![Just(3usize), Just(8_192)], prop_oneof![Just(4_096usize), Just(1 << 26)]);
    let others = (0u32..4, any::<[bool; 5]>(), 1usize..4);
    (policy, limits, others).prop_map(
        |(policy, (max_fragments, max_memory), (max_disorder, flags, share))| ReassemblyConfig {
            link: LinkType::ETHERNET,
            overlap: policy,
            overlap_ipv6: policy,
            max_fragments,
            max_memory,
            max_disorder,
            source_share: share,
            wrap_safe: flags[0],
            tombstone: Duration::from_micros(if flags[1] { 50 } else { 0 }),
            report_completed: flags[2],
            pin_large_blocks: flags[3],
            min_fragment: if flags[4] { 64 } else { 0 },
            max_datagrams: 4,
            timeout_ipv4: Duration::from_millis(1),
            timeout_ipv6: Duration::from_millis(2),
            ..ReassemblyConfig::default()
        },
    )
}

/// The datagram of a number, which has eight pieces, the last one short; others take its identification later.
fn datagram(step: &Step) -> Datagram {
    let number = step.datagram;
    let mut made =
        Datagram::family(number % 2 == 1, 7 + u32::from(number / 4), bytes(7 * SEGMENT + 5, number));
    made.src = 1 + number / 2 % 2;
    made.tos = if number == 4 { 2 } else { 0 };
    match step.odd {
        1..=60 => made.tos ^= step.odd & 3,
        61..=90 => made.df = true,
        91..=120 => made.protocol ^= 1,
        121..=150 => made.data.truncate(40),
        _ => {}
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn nobody_can_tell_that_fragments_were_joined(
        config in config(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut twins = Twins::new(&config);
        let mut next = [0_u8; 6];
        for (number, step) in steps.iter().enumerate() {
            let made = datagram(step);
            let at = step.piece.unwrap_or(next[usize::from(step.datagram)] % 8);
            next[usize::from(step.datagram)] = at + 1;
            let start = (usize::from(at) * SEGMENT).min(made.data.len());
            let mut end = (start + SEGMENT * usize::from(step.size)).min(made.data.len());
            if step.odd > 240 {
                end = end.saturating_sub(3).max(start);
            }
            let more = if step.odd > 225 { end == made.data.len() } else { end < made.data.len() };
            let mut frame = ethernet(&made.claim(start, &made.data[start..end], more));
            frame.resize(frame.len() + usize::from(step.odd & 7), 0xee);
            twins.push(&frame, step.shape, 1_000 + number as u64);
            twins.now += Duration::from_micros(if step.wait > 250 { 900 } else { u64::from(step.wait & 3) });
            if step.wait % 16 == 9 {
                let now = twins.now;
                twins.expire(now);
            }
        }
        twins.expire(Instant::MAX);
        assert!(twins.both.iter().all(|one| one.is_empty() && one.held_memory() == 0));
    }
}

#[test]
fn what_came_in_order_is_as_it_came_when_its_time_is_up() {
    for v6 in [false, true] {
        let datagram = Datagram::family(v6, 7, bytes(4_000, 1));
        let mut twins = Twins::new(&ReassemblyConfig::default());
        for fragment in &datagram.fragments(1_000)[..3] {
            assert_eq!(twins.push(&ethernet(fragment), 0, 5), Told::Held);
        }
        let first = ethernet(&datagram.fragments(1_000)[0]);
        let [expired, _] = twins.both.each_mut().map(|reassembler| {
            reassembler.poll_timeout(Instant::MAX, &mut twins.pool).map(seen).expect("its time is up")
        });
        assert_eq!((expired.2, expired.3.map(|first| first.pieces)), (3, Some(vec![first])));
        let counters = twins.both[0].counters();
        assert_eq!((counters.dropped(FragmentReason::Timeout), counters.held), (3, 0));
        assert!(counters.is_conserved());
    }
}

#[test]
fn what_came_in_order_keeps_its_marks_and_ends_when_identifications_come_round() {
    for v6 in [false, true] {
        let mut twins = Twins::new(&ReassemblyConfig { max_disorder: 0, ..ReassemblyConfig::default() });
        let mut marked = Datagram::family(v6, 7, bytes(96, 1));
        marked.tos = 2;
        let [first, _, last] = [0, 32, 64].map(|at| ethernet(&marked.fragment(at, at + 32)));
        marked.tos = 3;
        let congested = ethernet(&marked.fragment(32, 64));
        assert_eq!((twins.push(&first, 0, 1), twins.push(&congested, 0, 2)), (Told::Held, Told::Held));
        let Told::Whole(whole, ..) = twins.push(&last, 0, 3) else { panic!("whole") };
        assert_eq!(whole.pieces.concat(), ethernet(&marked.whole()));
        if v6 {
            continue;
        }
        let old = Datagram::v4(100, bytes(64, 1));
        assert_eq!(twins.push(&ethernet(&old.fragment(0, 32)), 0, 4), Told::Held);
        for number in 1..=16 {
            let other = Datagram::v4(100 + number * 2_048, bytes(64, 1));
            assert_eq!(twins.push(&ethernet(&other.fragment(0, 32)), 0, 5), Told::Held);
        }
        assert_eq!(twins.push(&ethernet(&old.fragment(32, 64)), 0, 6), Told::Held);
        assert_eq!(twins.both[0].counters().dropped(FragmentReason::Wraparound), 1);
    }
}
