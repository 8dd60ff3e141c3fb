//! The window of TCP tracking: the quick way against the long one, and correct exchanges over a bad network.
use netfast_flow::conntrack::{
    Ignored, TcpConfig, TcpFlags, TcpOutcome, TcpSegment, TcpState, TcpStays, TcpTimeouts, TcpTrack, Way,
};
use netfast_time::Duration;
use proptest::prelude::*;

proptest! {
    /// Offsets are relative to what the sides have reached, so that most segments are near the window's
    /// edges.
    #[test]
    fn the_quick_way_agrees_with_the_long_one(
        isn: [u32; 2], scales in proptest::option::of([0..15u8, 0..15u8]),
        seconds in proptest::array::uniform3(1..10u64), max_retransmissions in 0..4u8,
        steps in proptest::collection::vec((any::<bool>(), -3000..3000i32, -3000..3000i32, 0..1500u32, any::<u16>(), any::<u8>()), 1..80),
    ) {
        let [established, unacknowledged, retransmission] = seconds.map(Duration::from_secs);
        let timeouts = TcpTimeouts { established, unacknowledged, retransmission, ..TcpTimeouts::default() };
        let config = TcpConfig { timeouts, max_retransmissions, ..TcpConfig::default() };
        let mut track = opened(isn, scales, &config);
        let mut next = isn.map(|isn| isn.wrapping_add(1));
        for (reply, ahead, behind, payload, window, bits) in steps {
            let (way, side) = if reply { (Way::Reply, 1) } else { (Way::Original, 0) };
            let still = |offset: i32, bit: u8| if bits & bit == 0 { 0 } else { offset as u32 };
            let flags = if bits & 0xf0 == 0xf0 { bits } else { TcpFlags::ACK | bits & TcpFlags::PSH };
            let segment = TcpSegment {
                sequence: next[side].wrapping_add(still(ahead, 1)),
                acknowledgment: next[1 - side].wrapping_add(still(behind, 2)),
                sack: next[1 - side].wrapping_add(still(behind, 2)),
                payload,
                window,
                flags: TcpFlags(flags),
                ..TcpSegment::default()
            };
            let mut quick = track;
            let took = quick.quick(way, &header(&segment), payload);
            let mut followed = track;
            let stays = followed.follow(way, &header(&segment), payload, &TcpStays::new(&config));
            prop_assert_eq!((stays.is_some(), followed), (took, quick));
            let plain = flags & !(TcpFlags::PSH | TcpFlags::ECE | TcpFlags::CWR) == TcpFlags::ACK;
            match track.next(way, &segment, &config) {
                TcpOutcome::Ok { track: long, timeout, assured, over } if plain => {
                    prop_assert!(took && !assured && !over);
                    prop_assert_eq!(quick, long);
                    prop_assert_eq!(timeout, Some(quick.timeout(&config)));
                    prop_assert_eq!(stays, Some(quick.timeout(&config).duration(&timeouts)));
                    track = long;
                    next[side] = segment.end();
                }
                TcpOutcome::Ok { .. } => prop_assert!(!took && quick == track),
                TcpOutcome::Ignored { track: long, .. } => {
                    prop_assert!(!took && quick == track);
                    track = long;
                }
                _ => prop_assert!(!took && quick == track),
            }
        }
    }

    #[test]
    fn every_segment_of_a_correct_exchange_is_in_the_window(
        isn: [u32; 2], scales in proptest::option::of([0..15u8, 0..15u8]), sack: bool,
        events in proptest::collection::vec(any::<(u8, u8)>(), 0..600),
    ) {
        let mut exchange = Exchange::new(isn, scales, sack);
        for (what, which) in events {
            exchange.event(what, usize::from(which));
        }
        prop_assert!(exchange.refused.is_none(), "{:?}", exchange.refused);
        prop_assert_eq!(exchange.track.state(), TcpState::Established);
    }
}

/// The ends have another connection than the node knew of, and the segment that says so is refused: what the node held is no
/// settled connection's any more.
#[test]
fn what_follows_a_refused_answer_goes_the_long_way() {
    let config = TcpConfig::default();
    let mut track = opened([100, 900], None, &config);
    let [syn, answer, _] = opening([50_000, 90_000], None, true);
    let TcpOutcome::Ignored { track: remembered, .. } = track.next(Way::Original, &syn, &config) else {
        panic!("a SYN that contradicts what was seen")
    };
    track = remembered;
    let beyond = TcpSegment { sack: answer.acknowledgment + 1_000, ..answer };
    let TcpOutcome::Invalid { track: refused, .. } = track.next(Way::Reply, &beyond, &config) else {
        panic!("it acknowledges what was not sent")
    };
    track = refused;
    for (way, sequence, acknowledgment) in
        [(Way::Reply, 90_001, 50_001), (Way::Original, 50_001, 90_001), (Way::Reply, 90_001, 50_001)]
    {
        let flags = TcpFlags(TcpFlags::ACK);
        let sack = acknowledgment;
        let segment =
            TcpSegment { sequence, acknowledgment, sack, window: 500, flags, ..TcpSegment::default() };
        let mut quick = track;
        let took = quick.quick(way, &header(&segment), 0);
        let TcpOutcome::Ok { track: long, .. } = track.next(way, &segment, &config) else {
            panic!("{way:?} is in the window")
        };
        assert!(!took || quick == long, "{way:?}: {quick:?} {long:?}");
        track = long;
    }
}

/// The segment's header without options.
fn header(segment: &TcpSegment) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&segment.sequence.to_be_bytes());
    header[8..12].copy_from_slice(&segment.acknowledgment.to_be_bytes());
    (header[12], header[13]) = (0x50, segment.flags.0);
    header[14..16].copy_from_slice(&segment.window.to_be_bytes());
    header
}

fn opening(isn: [u32; 2], scales: Option<[u8; 2]>, sack_permitted: bool) -> [TcpSegment; 3] {
    let open = |side: usize, flags| TcpSegment {
        sequence: isn[side],
        window: 65535,
        flags: TcpFlags(flags),
        scale: scales.map(|scales| scales[side]),
        sack_permitted,
        has_options: true,
        ..TcpSegment::default()
    };
    let acknowledge =
        |segment: TcpSegment, acknowledgment| TcpSegment { acknowledgment, sack: acknowledgment, ..segment };
    let [syn, syn_ack] = [open(0, TcpFlags::SYN), open(1, TcpFlags::SYN | TcpFlags::ACK)];
    let ack = TcpSegment { sequence: isn[0].wrapping_add(1), ..open(0, TcpFlags::ACK) };
    let ack = TcpSegment { scale: None, sack_permitted: false, has_options: false, window: 64, ..ack };
    [syn, acknowledge(syn_ack, isn[0].wrapping_add(1)), acknowledge(ack, isn[1].wrapping_add(1))]
}

fn opened_with(isn: [u32; 2], scales: Option<[u8; 2]>, sack: bool, config: &TcpConfig) -> TcpTrack {
    let [syn, syn_ack, ack] = opening(isn, scales, sack);
    let mut track = TcpTrack::begin(&syn, config).expect("a SYN").track;
    for (way, segment) in [(Way::Reply, syn_ack), (Way::Original, ack)] {
        let TcpOutcome::Ok { track: next, .. } = track.next(way, &segment, config) else {
            panic!("{segment:?}")
        };
        track = next;
    }
    assert!(track.assured());
    track
}

fn opened(isn: [u32; 2], scales: Option<[u8; 2]>, config: &TcpConfig) -> TcpTrack {
    opened_with(isn, scales, true, config)
}

const CHUNK: u32 = 1000;

/// A TCP that sends and takes chunks of one size and reads all it gets at once.
#[derive(Clone, Debug, Default)]
struct Host {
    isn: u32,
    /// Chunks sent, acknowledged by the peer, taken in order.
    sent: u32,
    acknowledged: u32,
    taken: u32,
    /// Chunks taken out of order.
    early: std::collections::BTreeSet<u32>,
    /// Chunks that the peer's window allows in all.
    allowed: u32,
    scale: u8,
    window: u16,
}

impl Host {
    fn sequence(&self, chunk: u32) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(chunk * CHUNK)
    }

    fn window_bytes(&self) -> u32 {
        u32::from(self.window) << self.scale
    }
}

/// Two hosts, the node between them, and a network that loses and reorders on both sides of it.
struct Exchange {
    hosts: [Host; 2],
    before: [Vec<TcpSegment>; 2],
    behind: [Vec<TcpSegment>; 2],
    track: TcpTrack,
    config: TcpConfig,
    sack: bool,
    refused: Option<(Way, TcpSegment, TcpOutcome)>,
}

impl Exchange {
    fn new(isn: [u32; 2], scales: Option<[u8; 2]>, sack: bool) -> Self {
        let config = TcpConfig::default();
        let track = opened_with(isn, scales, sack, &config);
        let host = |side: usize| {
            let scale = scales.map_or(0, |scales| scales[side]);
            // About 32 kB, whatever the scale.
            let window = (32_768u32 >> scale).max(1) as u16;
            Host { isn: isn[side], scale, window, allowed: 64 / (CHUNK / 1000), ..Host::default() }
        };
        let mut hosts = [host(0), host(1)];
        // Until the first segment tells more, what stood in the handshake counts.
        hosts[0].allowed = 65_535 / CHUNK;
        hosts[1].allowed = (64 << hosts[0].scale) / CHUNK;
        Self {
            hosts,
            before: Default::default(),
            behind: Default::default(),
            track,
            config,
            sack,
            refused: None,
        }
    }

    fn event(&mut self, what: u8, which: usize) {
        let side = usize::from(what & 1);
        match what >> 1 & 7 {
            0 | 1 => self.send(side, None),
            2 => self.send(side, Some(which as u32)),
            3 | 4 => self.pass(side, which),
            5 | 6 => self.deliver(side, which),
            _ => self.acknowledge(side),
        }
    }

    fn send(&mut self, side: usize, again: Option<u32>) {
        let host = &mut self.hosts[side];
        let waiting = host.sent - host.acknowledged;
        let chunk = match again {
            Some(which) if waiting > 0 => host.acknowledged + which % waiting,
            None if host.sent < host.allowed => {
                host.sent += 1;
                host.sent - 1
            }
            _ => return,
        };
        self.emit(side, chunk, CHUNK);
    }

    fn acknowledge(&mut self, side: usize) {
        self.emit(side, self.hosts[side].sent, 0);
    }

    fn emit(&mut self, side: usize, chunk: u32, payload: u32) {
        let (host, peer) = (&self.hosts[side], &self.hosts[1 - side]);
        let acknowledgment = peer.sequence(host.taken);
        let edge = host.early.last().filter(|_| self.sack).map(|last| peer.sequence(last + 1));
        self.before[side].push(TcpSegment {
            sequence: host.sequence(chunk),
            acknowledgment,
            sack: edge.unwrap_or(acknowledgment),
            payload,
            window: host.window,
            flags: TcpFlags(TcpFlags::ACK),
            has_options: edge.is_some(),
            ..TcpSegment::default()
        });
    }

    /// Through the node; every eighth segment is lost behind it.
    fn pass(&mut self, side: usize, which: usize) {
        let queue = &mut self.before[side];
        if queue.is_empty() {
            return;
        }
        let segment = queue.remove(which % queue.len().min(8));
        let way = Way::ALL[side];
        match self.track.next(way, &segment, &self.config) {
            TcpOutcome::Ok { track, .. } => self.track = track,
            // Overtaken by more than a window: it passes.
            TcpOutcome::Ignored { track, reason: Ignored::SequenceUnder { .. } } => self.track = track,
            TcpOutcome::Ignored { track, reason: Ignored::AcknowledgmentUnder { .. } } => self.track = track,
            other => self.refused = self.refused.or(Some((way, segment, other))),
        }
        if which % 8 != 7 {
            self.behind[side].push(segment);
        }
    }

    fn deliver(&mut self, side: usize, which: usize) {
        let queue = &mut self.behind[side];
        if queue.is_empty() {
            return;
        }
        let segment = queue.remove(which % queue.len().min(8));
        let from = self.hosts[side].clone();
        let host = &mut self.hosts[1 - side];
        let acknowledged = segment.acknowledgment.wrapping_sub(host.sequence(0)) / CHUNK;
        host.acknowledged = host.acknowledged.max(acknowledged);
        host.allowed = host.allowed.max(acknowledged + from.window_bytes() / CHUNK);
        if segment.payload > 0 {
            host.early.insert(segment.sequence.wrapping_sub(from.sequence(0)) / CHUNK);
            host.early.retain(|&chunk| chunk >= host.taken);
            while host.early.remove(&host.taken) {
                host.taken += 1;
            }
            self.acknowledge(1 - side);
        }
    }
}
