//! TCP tracking: scripts of segments with virtual time, and what Linux said of random ones.
//!
//! A script has one segment or step of time a line: way, flags, sequence number, then `ack= len= win= ws=
//! sack=`, and behind `|` what `ct state` is, the connection's state, the seconds left to it, and whether it
//! is assured. Sequence numbers count from their side's initial one, which lies 100 before the wrap.
use netfast_flow::conntrack::{
    Ignored, Invalid, State, TcpConfig, TcpFlags, TcpOutcome, TcpSegment, TcpTrack, Way,
};
use netfast_time::{Duration, Instant};
use proptest::prelude::*;

const INITIAL: [u32; 2] = [u32::MAX - 99, u32::MAX - 99];

/// One connection in a table, from either side.
struct Node {
    config: TcpConfig,
    now: Instant,
    entry: Option<(TcpTrack, usize, Instant)>,
}

impl Node {
    fn new(config: TcpConfig) -> Self {
        Self { config, now: Instant::from_secs(1), entry: None }
    }

    fn lives_for(&self, timeout: netfast_flow::conntrack::TcpTimeout) -> Instant {
        self.now + timeout.duration(&self.config.timeouts)
    }

    fn segment(&mut self, side: usize, segment: &TcpSegment) -> State {
        if self.entry.is_some_and(|(_, _, expires)| expires <= self.now) {
            self.entry = None;
        }
        let Some((track, origin, expires)) = self.entry else {
            let Ok(begin) = TcpTrack::begin(segment, &self.config) else { return State::Invalid };
            self.entry = Some((begin.track, side, self.lives_for(begin.timeout)));
            return State::New;
        };
        let way = if side == origin { Way::Original } else { Way::Reply };
        let state = State::of(way, track.seen_reply());
        match track.next(way, segment, &self.config) {
            TcpOutcome::Ok { over: true, .. } => self.entry = None,
            TcpOutcome::Ok { track, timeout, .. } => {
                let expires = timeout.map_or(expires, |timeout| self.lives_for(timeout));
                self.entry = Some((track, origin, expires));
            }
            TcpOutcome::Ignored { track, .. } => self.entry = Some((track, origin, expires)),
            TcpOutcome::Invalid { track, shorten, .. } => {
                let long = expires.since(self.now) >= TcpTrack::SHORTEN_ABOVE;
                let least = shorten.filter(|_| long).map_or(expires, |timeout| self.lives_for(timeout));
                self.entry = Some((track, origin, expires.min(least)));
                return State::Invalid;
            }
            TcpOutcome::Reopen => {
                self.entry = None;
                return self.segment(side, segment);
            }
        }
        state
    }

    fn shown(&self) -> String {
        let Some((track, _, expires)) = self.entry else { return "-".into() };
        let assured = if track.assured() { " assured" } else { "" };
        format!("{} {}{assured}", track.state(), expires.since(self.now).as_secs())
    }

    fn run(&mut self, script: &str) {
        for (number, line) in script.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
            if let Some(seconds) = line.strip_prefix('+') {
                self.now += Duration::from_secs(seconds.trim().parse().expect("seconds"));
                continue;
            }
            let (what, expected) = line.split_once('|').expect("a segment and what is expected of it");
            let (side, segment) = parse(what);
            let state = self.segment(side, &segment);
            let got = format!("{state} {}", self.shown());
            assert_eq!(got, expected.trim(), "line {number}: {line}");
        }
    }
}

fn run(script: &str) {
    Node::new(TcpConfig::default()).run(script);
}

fn parse(text: &str) -> (usize, TcpSegment) {
    let mut words = text.split_whitespace();
    let side = usize::from(words.next() == Some("<"));
    let letters = words.next().expect("flags");
    let bit = |c| 1 << "FSRPAU".find(c).expect("a flag");
    let flags = letters.chars().fold(0, |flags, c| flags | bit(c));
    let relative = |base: u32, text: &str| base.wrapping_add(text.parse::<i64>().expect("a number") as u32);
    let mut segment = TcpSegment { flags: TcpFlags(flags), window: 8192, ..TcpSegment::default() };
    segment.sequence = relative(INITIAL[side], words.next().expect("a sequence number"));
    for word in words {
        let (name, value) = word.split_once('=').expect("name=value");
        match name {
            "ack" => segment.acknowledgment = relative(INITIAL[1 - side], value),
            "rawack" => segment.acknowledgment = value.parse().expect("a number"),
            "raw" => segment.sequence = value.parse().expect("a number"),
            "len" => segment.payload = value.parse().expect("a length"),
            "win" => segment.window = value.parse().expect("a window"),
            "ws" => (segment.scale, segment.has_options) = (Some(value.parse().expect("a shift")), true),
            "permit" => (segment.sack_permitted, segment.has_options) = (true, true),
            "sack" => segment.sack = relative(INITIAL[1 - side], value),
            other => panic!("no {other}"),
        }
    }
    if segment.sack == 0 {
        segment.sack = segment.acknowledgment;
    }
    (side, segment)
}

const OPEN: &str = "
    > S 0 ws=7 permit=1             | new SYN_SENT 120
    < SA 0 ack=1 ws=7 permit=1      | established SYN_RECV 60
    > A 1 ack=1 win=64              | established ESTABLISHED 432000 assured
";

fn after_opening(script: &str) {
    run(&(OPEN.to_owned() + script));
}

#[test]
fn rfc_9293_section_3_5_three_way_handshake_and_data_across_the_wrap() {
    after_opening(
        "> PA 1 ack=1 len=500 win=64  | established ESTABLISHED 300 assured
         < A 1 ack=501 win=64         | established ESTABLISHED 432000 assured",
    );
}

#[test]
fn rfc_9293_section_3_5_simultaneous_open() {
    run("> S 0                        | new SYN_SENT 120
         < S 0                        | established SYN_SENT2 120
         > SA 0 ack=1                 | established SYN_RECV 60
         < SA 0 ack=1                 | established SYN_RECV 60
         < A 1 ack=1                  | established ESTABLISHED 432000 assured");
}

#[test]
fn rfc_9293_section_3_6_close_from_both_sides() {
    after_opening(
        "> FA 1 ack=1 win=64          | established FIN_WAIT 120 assured
         < A 1 ack=2 win=64           | established CLOSE_WAIT 60 assured
         < FA 1 ack=2 win=64          | established LAST_ACK 30 assured
         > A 2 ack=2 win=64           | established TIME_WAIT 120 assured
         < FA 1 ack=2 win=64          | established TIME_WAIT 120 assured",
    );
}

#[test]
fn rfc_9293_section_3_10_7_1_a_reset_answers_a_syn() {
    run("> S 0                        | new SYN_SENT 120
         < RA 0 raw=0 ack=1           | established -
         > S 9                        | new SYN_SENT 120");
}

#[test]
fn rfc_9293_section_3_4_3_a_syn_repeated_does_not_hold_the_entry_for_ever() {
    run("> S 0                        | new SYN_SENT 120
         + 100
         > S 0                        | new SYN_SENT 20
         + 19
         > S 1000                     | new SYN_SENT 1
         + 1
         < SA 0 ack=1001              | invalid -");
}

#[test]
fn rfc_1122_section_4_2_2_13_a_syn_reopens_from_time_wait() {
    after_opening(
        "< FA 1 ack=1 win=64          | established FIN_WAIT 120 assured
         > FA 1 ack=2 win=64          | established LAST_ACK 30 assured
         < A 2 ack=2 win=64           | established TIME_WAIT 120 assured
         > S 70000                    | new SYN_SENT 120
         < SA 0 ack=70001             | established SYN_RECV 60",
    );
}

#[test]
fn rfc_1122_section_4_2_2_13_after_a_reset_only_who_sent_it_reopens() {
    after_opening(
        "< R 1                        | established CLOSE 10 assured
         > S 70000                    | established CLOSE 10 assured
         < SA 70000 ack=70001         | established SYN_RECV 60 assured",
    );
    after_opening(
        "> R 1                        | established CLOSE 10 assured
         > S 70000                    | new SYN_SENT 120",
    );
}

#[test]
fn rfc_5961_section_3_resets_are_exact_or_challenged() {
    after_opening(
        "> PA 1 ack=1 len=100 win=64  | established ESTABLISHED 300 assured
         < A 1 ack=101 win=64         | established ESTABLISHED 432000 assured
         > R 0                        | invalid ESTABLISHED 432000 assured
         < R 500                      | established ESTABLISHED 10 assured",
    );
    after_opening("< R 1                 | established CLOSE 10 assured");
    // It follows the data that was just sent.
    after_opening(
        "> A 1 ack=1 len=100 win=64   | established ESTABLISHED 300 assured
         < A 1 ack=101 win=64         | established ESTABLISHED 432000 assured
         > A 101 ack=1 len=19 win=64  | established ESTABLISHED 300 assured
         > R 120                      | established CLOSE 10 assured",
    );
}

#[test]
fn rfc_5961_section_4_a_challenge_in_last_ack_acknowledges_no_fin() {
    let closing = "
        > FA 1 ack=1 win=64           | established FIN_WAIT 120 assured
        < FA 1 ack=2 win=64           | established LAST_ACK 30 assured
    ";
    after_opening(
        &(closing.to_owned()
            + "> S 90000                 | established LAST_ACK 30 assured
               < A 2 ack=2 win=64        | established LAST_ACK 30 assured
               < A 2 ack=2 win=64        | established TIME_WAIT 120 assured"),
    );
    after_opening(&(closing.to_owned() + "< A 2 ack=2 win=64 | established TIME_WAIT 120 assured"));
}

#[test]
fn rfc_9293_section_3_5_1_a_half_open_connection_is_found_and_reset() {
    run("> S 0                        | new SYN_SENT 120
         < A 5000 ack=7000            | established SYN_SENT 120
         > R 7000                     | established CLOSE 10
         > S 0                        | new SYN_SENT 120");
}

#[test]
fn rfc_9293_section_3_5_when_both_ends_agree_the_node_follows() {
    after_opening(
        "> S 50000 ws=3               | established ESTABLISHED 432000 assured
         < SA 70000 ack=50001 ws=4    | established SYN_RECV 60 assured
         > A 50001 ack=70001          | established ESTABLISHED 432000 assured
         > A 50001 ack=70001 len=99   | established ESTABLISHED 300 assured
         > A 1 ack=1 win=64           | established ESTABLISHED 300 assured
         < A 1 ack=70001 win=64       | invalid ESTABLISHED 300 assured",
    );
}

#[test]
fn rfc_793_section_3_1_flags_that_nobody_sends_together() {
    for flags in 0..=255u8 {
        let valid = TcpFlags(flags).valid();
        let control = flags & 0x37;
        assert_eq!(
            valid,
            [0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30].contains(&control),
            "{flags:#x}"
        );
    }
}

#[test]
fn what_begins_no_connection() {
    for first in ["SA 0 ack=1", "FA 0 ack=1", "R 0", "RA 0 ack=1"] {
        run(&format!("> {first} | invalid -"));
    }
    let mut strict = Node::new(TcpConfig { loose: false, ..TcpConfig::default() });
    strict.run("> A 0 ack=1 | invalid -");
}

#[test]
fn a_connection_picked_up_is_assured_by_its_answer_and_has_no_windows_to_break() {
    run("> A 5000 ack=1 win=10        | new ESTABLISHED 300
         < A 1 ack=5000 win=10        | established ESTABLISHED 300
         > A 5000 ack=1 win=10        | established ESTABLISHED 432000 assured
         < A 900000 ack=5000 win=10   | established ESTABLISHED 432000 assured");
}

#[test]
fn what_lies_outside_the_window() {
    let far = "
        > A 9000000 ack=1 win=64      | invalid ESTABLISHED 432000 assured
        > A 1 ack=500 win=64          | invalid ESTABLISHED 432000 assured
        > A 1 ack=1 win=64 sack=500   | invalid ESTABLISHED 432000 assured
        > A -99999999 ack=1 win=64    | established ESTABLISHED 432000 assured
        > A 1 ack=-99999999 win=64    | established ESTABLISHED 432000 assured
    ";
    after_opening(far);
    let mut liberal = Node::new(TcpConfig { liberal: true, ..TcpConfig::default() });
    liberal.run(&(OPEN.to_owned() + &far.replace("invalid", "established")));
}

#[test]
fn data_beyond_the_window_passes_and_may_then_be_acknowledged() {
    let config = TcpConfig::default();
    let mut node = Node::new(config);
    node.run(
        "> S 0                        | new SYN_SENT 120
         < SA 0 ack=1 win=1000        | established SYN_RECV 60
         > A 1 ack=1                  | established ESTABLISHED 432000 assured
         > A 1 ack=1 len=900          | established ESTABLISHED 300 assured",
    );
    let (side, over) = parse("> A 1002 ack=1 len=200");
    let (track, ..) = node.entry.expect("a connection");
    let TcpOutcome::Ignored { reason: Ignored::OverWindow { bytes: 202 }, .. } =
        track.next(Way::Original, &over, &config)
    else {
        panic!("{:?}", track.next(Way::Original, &over, &config));
    };
    node.segment(side, &over);
    node.run("< A 1 ack=1202 | established ESTABLISHED 432000 assured");
}

#[test]
fn repeated_acknowledgments_and_closed_windows_shorten_the_timeout() {
    after_opening(
        "> A 1 ack=1 win=64           | established ESTABLISHED 432000 assured
         > A 1 ack=1 win=64           | established ESTABLISHED 432000 assured
         > A 1 ack=1 win=64           | established ESTABLISHED 300 assured
         < A 1 ack=1 win=64           | established ESTABLISHED 432000 assured
         < A 1 ack=1 win=0            | established ESTABLISHED 300 assured",
    );
}

#[test]
fn a_connection_closed_outside_its_window_by_both_sides_does_not_stay_for_days() {
    after_opening(
        "> FA 9000000 ack=1 win=64    | invalid ESTABLISHED 432000 assured
         < FA 9000000 ack=1 win=64    | invalid ESTABLISHED 300 assured
         + 250
         > FA 9000000 ack=1 win=64    | invalid ESTABLISHED 50 assured",
    );
}

#[test]
fn connections_age_by_the_callers_time() {
    after_opening(
        "+ 431999
         > A 1 ack=1 win=64           | established ESTABLISHED 432000 assured
         + 432000
         < A 1 ack=1 win=64           | new ESTABLISHED 300",
    );
}

#[test]
fn malformed_headers_say_why() {
    let mut header = [0u8; 20];
    assert_eq!(TcpSegment::parse(&header[..19], 19), Err(Invalid::Short { need: 20, have: 19 }));
    (header[12], header[13]) = (0x40, TcpFlags::ACK);
    assert_eq!(TcpSegment::parse(&header, 20), Err(Invalid::DataOffset { words: 4, length: 20 }));
    header[12] = 0x60;
    assert_eq!(TcpSegment::parse(&header, 20), Err(Invalid::DataOffset { words: 6, length: 20 }));
    assert_eq!(TcpSegment::parse(&header, 24), Err(Invalid::Short { need: 24, have: 20 }));
    (header[12], header[13]) = (0x50, TcpFlags::SYN | TcpFlags::FIN);
    assert_eq!(TcpSegment::parse(&header, 20), Err(Invalid::Flags(TcpFlags(3))));
}

#[test]
fn rfc_2018_section_3_the_highest_edge_counts_and_rfc_7323_section_2_3_the_shift_is_at_most_14() {
    let mut packet = vec![0; 20];
    packet[8..12].copy_from_slice(&1000u32.to_be_bytes());
    packet[13] = TcpFlags::ACK;
    packet.extend([3, 3, 77, 1, 4, 2, 1, 1, 5, 18]);
    for edge in [2000u32, 2500, 1500, 1600] {
        packet.extend(edge.to_be_bytes());
    }
    packet.extend([0, 0]);
    packet[12] = ((packet.len() / 4) << 4) as u8;
    let segment = TcpSegment::parse(&packet, packet.len() as u32 + 7).expect("good");
    assert_eq!(
        (segment.sack, segment.scale, segment.sack_permitted, segment.payload),
        (2500, Some(14), true, 7)
    );
    // Behind a malformed option nothing is read.
    packet[21] = 200;
    let segment = TcpSegment::parse(&packet, packet.len() as u32).expect("good");
    assert_eq!((segment.sack, segment.scale, segment.sack_permitted), (1000, None, false));
}

/// What Linux 6.18 said of random segments, in its default configuration: recorded with nft and conntrack in
/// a network namespace.
#[test]
fn linux_says_the_same() {
    let recorded = include_str!("conntrack_linux.txt");
    let mut node = Node::new(TcpConfig::default());
    let (mut flow, mut compared) = ("", 0);
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] != flow {
            (flow, node) = (words[0], Node::new(TcpConfig::default()));
        }
        let hex = |at: usize| u8::from_str_radix(&words[2][at..at + 2], 16).expect("hexadecimal");
        let mut header = vec![0; 4];
        header.extend((0..words[2].len()).step_by(2).map(hex));
        header.splice(16..16, [0; 4]);
        let side = usize::from(words[1] == "<");
        let state = match TcpSegment::parse(&header, words[3].parse().expect("a length")) {
            Ok(segment) => node.segment(side, &segment),
            Err(_) => State::Invalid,
        };
        assert_eq!(state.name(), words[4], "{line}");
        let Some((track, origin, expires)) = node.entry else {
            assert_eq!(words[5], "-", "{line}");
            continue;
        };
        // All were sent within seconds; the node's clock stands still.
        let left: u64 = words[6].parse().expect("seconds");
        assert!((left..left + 9).contains(&expires.since(node.now).as_secs()), "{line}: {expires:?}");
        let seen = (track.state().name(), [">", "<"][origin], track.seen_reply(), track.assured());
        let there = |word: &str| words[8..].contains(&word);
        assert_eq!(seen, (words[5], words[7], there("replied"), there("assured")), "{line}");
        compared += 1;
    }
    assert!(compared > 800, "{compared}");
}

fn any_segment() -> impl Strategy<Value = TcpSegment> {
    let near = prop_oneof![4 => 0..4u32, 2 => 0..3000u32, 1 => any::<u32>()];
    let flags = prop::sample::select(vec![0x10u8, 0x10, 0x18, 0x02, 0x12, 0x11, 0x04, 0x14]);
    let payload = prop::sample::select(vec![0u32, 0, 1, 100, 900]);
    let options = (prop::option::of(0..15u8), any::<bool>(), 0..500u32);
    (near.clone(), near, prop::sample::select(vec![0u16, 100, 8192, 65535]), flags, payload, options)
        .prop_map(|(sequence, acknowledgment, window, flags, payload, (scale, sack_permitted, over))| {
            TcpSegment {
                sequence,
                acknowledgment,
                sack: if over < 50 { acknowledgment.wrapping_add(over) } else { acknowledgment },
                payload,
                window,
                flags: TcpFlags(flags),
                scale,
                sack_permitted,
                has_options: scale.is_some() || sack_permitted,
            }
        })
}

proptest! {
    #[test]
    fn any_bytes_are_a_segment_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..80), length: u32) {
        if let Ok(segment) = TcpSegment::parse(&bytes, length) {
            prop_assert!(segment.flags.valid());
        }
    }

    #[test]
    fn any_segments_in_any_order_are_tracked(
        segments in proptest::collection::vec((any::<bool>(), any_segment()), 0..60),
        loose: bool, liberal: bool, ignore_invalid_reset: bool,
    ) {
        let mut node = Node::new(TcpConfig { loose, liberal, ignore_invalid_reset, ..TcpConfig::default() });
        for (side, segment) in &segments {
            node.segment(usize::from(*side), segment);
        }
    }
}
