//! What protocols other than TCP mean to a connection: timeouts, status, which messages begin, answer or
//! report.
//!
//! RFC 792, 950 (ICMP), 4443, 4620, 4861, 2710, 3810 (ICMPv6), 4787 REQ-5 (UDP timeouts).
use super::Way;
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::protocol as p;
use std::fmt;

/// How long a connection without packets stays, by protocol. TCP's are in [`super::TcpConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// UDP, no answer yet, or answered within the first two seconds only.
    pub udp: Duration,
    /// UDP, answered and older than two seconds.
    pub udp_stream: Duration,
    /// UDP-Lite, no answer yet.
    pub udplite: Duration,
    /// UDP-Lite, answered.
    pub udplite_stream: Duration,
    /// ICMP.
    pub icmp: Duration,
    /// ICMPv6.
    pub icmpv6: Duration,
    /// Protocols that are not named here.
    pub generic: Duration,
    /// GRE, no answer yet.
    pub gre: Duration,
    /// GRE, answered.
    pub gre_stream: Duration,
    /// SCTP.
    pub sctp: SctpTimeouts,
    /// DCCP.
    pub dccp: DccpTimeouts,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            udp: Duration::from_secs(30),
            udp_stream: Duration::from_secs(120),
            udplite: Duration::from_secs(30),
            udplite_stream: Duration::from_secs(120),
            icmp: Duration::from_secs(30),
            icmpv6: Duration::from_secs(30),
            generic: Duration::from_secs(600),
            gre: Duration::from_secs(30),
            gre_stream: Duration::from_secs(180),
            sctp: SctpTimeouts::default(),
            dccp: DccpTimeouts::default(),
        }
    }
}

/// How long a TCP connection without packets stays, by its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// A SYN was seen, or one from each side.
    pub syn_sent: Duration,
    /// A SYN was answered.
    pub syn_received: Duration,
    /// Both sides have acknowledged.
    pub established: Duration,
    /// One side has closed.
    pub fin_wait: Duration,
    /// That was acknowledged.
    pub close_wait: Duration,
    /// Both sides have closed.
    pub last_ack: Duration,
    /// That was acknowledged, too.
    pub time_wait: Duration,
    /// Reset.
    pub close: Duration,
    /// At most this, after [`super::TcpConfig::max_retransmissions`] or while a window is closed.
    pub retransmission: Duration,
    /// At most this while data waits for its acknowledgment, and for a connection picked up without an
    /// answer.
    pub unacknowledged: Duration,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self {
            syn_sent: Duration::from_secs(120),
            syn_received: Duration::from_secs(60),
            established: Duration::from_secs(5 * 86_400),
            fin_wait: Duration::from_secs(120),
            close_wait: Duration::from_secs(60),
            last_ack: Duration::from_secs(30),
            time_wait: Duration::from_secs(120),
            close: Duration::from_secs(10),
            retransmission: Duration::from_secs(300),
            unacknowledged: Duration::from_secs(300),
        }
    }
}

/// SCTP: an association ages by whether there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpTimeouts {
    /// No answer yet: time for INIT ACK or a heartbeat's.
    pub unreplied: Duration,
    /// Answered: a heartbeat interval and the retransmissions of a path (RFC 9260, 16).
    pub established: Duration,
}

impl Default for SctpTimeouts {
    fn default() -> Self {
        Self { unreplied: Duration::from_secs(30), established: Duration::from_secs(210) }
    }
}

/// DCCP: a connection ages by whether there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DccpTimeouts {
    /// No answer yet: twice the maximum segment lifetime (RFC 4340, 3.4).
    pub unreplied: Duration,
    /// Answered.
    pub open: Duration,
}

impl Default for DccpTimeouts {
    fn default() -> Self {
        Self { unreplied: Duration::from_secs(240), open: Duration::from_secs(12 * 3_600) }
    }
}

/// What a connection has gone through: bits with the numbers of Linux's `ip_conntrack_status`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// There was a packet in the reply direction.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Worth keeping: early drop spares it.
    pub const ASSURED: Self = Self(1 << 2);
    /// In the table: its first packet has left the node.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// Its source is translated.
    pub const SNAT: Self = Self(1 << 4);
    /// Its destination is translated.
    pub const DNAT: Self = Self(1 << 5);
    /// Source translation was decided, perhaps to change nothing.
    pub const SNAT_DONE: Self = Self(1 << 7);
    /// Destination translation was decided, perhaps to change nothing.
    pub const DNAT_DONE: Self = Self(1 << 8);
    /// On its way out of the table: packets do not find it any more.
    pub const DYING: Self = Self(1 << 9);

    /// True when all bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, too.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::SEEN_REPLY, "SEEN_REPLY"),
            (Self::ASSURED, "ASSURED"),
            (Self::CONFIRMED, "CONFIRMED"),
            (Self::SNAT, "SNAT"),
            (Self::DNAT, "DNAT"),
            (Self::SNAT_DONE, "SNAT_DONE"),
            (Self::DNAT_DONE, "DNAT_DONE"),
            (Self::DYING, "DYING"),
        ];
        f.debug_set().entries(names.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name)).finish()
    }
}

/// What a packet is to the connections, as rules ask for it (`ct state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// It belongs to no connection, or goes nowhere.
    Invalid,
    /// Its connection goes on, and has been answered.
    Established,
    /// It belongs to another connection: an ICMP error.
    Related,
    /// It begins a connection, or repeats what was not answered yet.
    New,
    /// It was to be left alone: `notrack`, neighbour discovery.
    Untracked,
}

impl State {
    /// That of a packet of a connection in the table or of a new one: an answer is always
    /// [`State::Established`], what goes in the original direction only after one. `seen_reply` is what was
    /// known before this packet.
    pub const fn of(way: Way, seen_reply: bool) -> Self {
        match way {
            Way::Reply => Self::Established,
            Way::Original if seen_reply => Self::Established,
            Way::Original => Self::New,
        }
    }

    /// As nft(8) names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Established => "established",
            Self::Related => "related",
            Self::New => "new",
            Self::Untracked => "untracked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an ICMP message is to the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpRole {
    /// Asks: begins a connection, or repeats its question.
    Query,
    /// Answers: goes in the reply direction of a connection that is there; without one it is invalid.
    Answer,
    /// Reports about the packet that it quotes: related to that packet's connection, or invalid.
    Error,
    /// Never tracked: neighbour discovery and multicast listener discovery are the link's own affair.
    Untracked,
    /// Nothing that connections know: invalid.
    Unknown,
}

/// Pairs of question and answer. RFC 792 (echo, timestamp, information), RFC 950 (address mask).
const ICMPV4_PAIRS: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
/// RFC 4443 (echo), RFC 4620 (node information).
const ICMPV6_PAIRS: [(u8, u8); 2] = [(128, 129), (139, 140)];

const fn pairs(protocol: u8) -> &'static [(u8, u8)] {
    match protocol {
        p::ICMPV4 => &ICMPV4_PAIRS,
        p::ICMPV6 => &ICMPV6_PAIRS,
        _ => &[],
    }
}

/// The type that answers `kind`, if that is a question.
pub(super) fn icmp_answer(protocol: u8, kind: u8) -> Option<u8> {
    pairs(protocol).iter().find(|pair| pair.0 == kind).map(|pair| pair.1)
}

/// The type that asks for `kind`, if that is an answer.
pub(super) fn icmp_question(protocol: u8, kind: u8) -> Option<u8> {
    pairs(protocol).iter().find(|pair| pair.1 == kind).map(|pair| pair.0)
}

/// What a message of ICMP (protocol 1) or ICMPv6 (58) with this type is to the connections.
pub fn icmp_role(protocol: u8, kind: u8) -> IcmpRole {
    if icmp_answer(protocol, kind).is_some() {
        return IcmpRole::Query;
    }
    if icmp_question(protocol, kind).is_some() {
        return IcmpRole::Answer;
    }
    match (protocol, kind) {
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        (p::ICMPV4, 3 | 4 | 5 | 11 | 12) => IcmpRole::Error,
        // RFC 4443 2.1: the high bit of the type tells errors from the rest.
        (p::ICMPV6, 0..=127) => IcmpRole::Error,
        // A redirect quotes the packet that caused it (RFC 4861 4.5).
        (p::ICMPV6, 137) => IcmpRole::Error,
        // MLD query, report, done; router and neighbour solicitations and advertisements; MLDv2 report;
        // multicast router advertisement and solicitation (RFC 4286).
        (p::ICMPV6, 130..=136 | 143 | 151 | 152) => IcmpRole::Untracked,
        _ => IcmpRole::Unknown,
    }
}

/// Where the packet begins that an ICMP error quotes, counted from the ICMP header. `message` is the ICMP
/// message, as far as it was captured. `None` for messages that quote nothing, and for redirects without a
/// redirected header or with a code other than 0.
pub fn quote_offset(protocol: u8, message: &[u8]) -> Option<usize> {
    const HEADER: usize = 8;
    const REDIRECT: u8 = 137;
    const REDIRECT_HEADER: usize = 40;
    const TARGET_LINK_ADDRESS: u8 = 2;
    const REDIRECTED_HEADER: u8 = 4;
    let kind = *message.first()?;
    if icmp_role(protocol, kind) != IcmpRole::Error {
        return None;
    }
    if (protocol, kind) != (p::ICMPV6, REDIRECT) {
        return (message.len() > HEADER).then_some(HEADER);
    }
    if message[1..].first() != Some(&0) {
        return None;
    }
    let mut at = REDIRECT_HEADER;
    if message.get(at) == Some(&TARGET_LINK_ADDRESS) {
        let length = usize::from(*message.get(at + 1)?) * 8;
        if length == 0 {
            return None;
        }
        at += length;
    }
    let is_quote = message.get(at) == Some(&REDIRECTED_HEADER) && *message.get(at + 1)? != 0;
    (is_quote && message.len() > at + HEADER).then_some(at + HEADER)
}

/// What a packet did to a connection that knows no states but its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// It stays this long from now.
    pub timeout: Duration,
    /// It is assured from now on; true only when it was not.
    pub assured: bool,
}

/// What a UDP connection remembers: since when it counts as a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpTrack {
    stream: Instant,
}

impl UdpTrack {
    /// A question and its answer are over by then; what goes on is a stream.
    pub const STREAM_AFTER: Duration = Duration::from_secs(2);

    /// A connection that begins now.
    pub fn begin(now: Instant) -> Self {
        Self { stream: now + Self::STREAM_AFTER }
    }

    /// A packet, in either direction. `status` is what it was before the packet.
    pub fn next(self, status: Status, now: Instant, timeouts: &Timeouts) -> Tracked {
        let stream = status.has(Status::SEEN_REPLY) && now > self.stream;
        Tracked {
            timeout: if stream { timeouts.udp_stream } else { timeouts.udp },
            assured: stream && !status.has(Status::ASSURED),
        }
    }
}

/// Protocols whose connections are assured by the first packet behind an answer: [`track_answered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// UDP-Lite (RFC 3828).
    UdpLite,
    /// GRE (RFC 2784).
    Gre,
    /// SCTP (RFC 9260).
    Sctp,
    /// DCCP (RFC 4340).
    Dccp,
    /// ICMP; never assured, and an answer does not lengthen it.
    Icmp,
    /// ICMPv6; likewise.
    Icmpv6,
    /// Everything else; likewise.
    Generic,
}

impl Answered {
    /// The rule for a protocol; `None` for TCP and UDP, which have their own.
    pub const fn of(protocol: u8) -> Option<Self> {
        match protocol {
            p::TCP | p::UDP => None,
            p::UDPLITE => Some(Self::UdpLite),
            p::GRE => Some(Self::Gre),
            p::SCTP => Some(Self::Sctp),
            p::DCCP => Some(Self::Dccp),
            p::ICMPV4 => Some(Self::Icmp),
            p::ICMPV6 => Some(Self::Icmpv6),
            _ => Some(Self::Generic),
        }
    }

    const fn timeouts(self, timeouts: &Timeouts) -> (Duration, Duration) {
        match self {
            Self::UdpLite => (timeouts.udplite, timeouts.udplite_stream),
            Self::Gre => (timeouts.gre, timeouts.gre_stream),
            Self::Sctp => (timeouts.sctp.unreplied, timeouts.sctp.established),
            Self::Dccp => (timeouts.dccp.unreplied, timeouts.dccp.open),
            Self::Icmp => (timeouts.icmp, timeouts.icmp),
            Self::Icmpv6 => (timeouts.icmpv6, timeouts.icmpv6),
            Self::Generic => (timeouts.generic, timeouts.generic),
        }
    }
}

/// A packet of a connection that is not TCP or UDP. `status` is what it was before the packet.
pub fn track_answered(rule: Answered, status: Status, timeouts: &Timeouts) -> Tracked {
    let seen_reply = status.has(Status::SEEN_REPLY);
    let (unreplied, replied) = rule.timeouts(timeouts);
    let may = !matches!(rule, Answered::Icmp | Answered::Icmpv6 | Answered::Generic);
    Tracked {
        timeout: if seen_reply { replied } else { unreplied },
        assured: may && seen_reply && !status.has(Status::ASSURED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPLIED: Status = Status::SEEN_REPLY;
    const ASSURED: Status = Status::SEEN_REPLY.with(Status::ASSURED);

    #[test]
    fn a_udp_stream_is_answered_and_goes_on_after_two_seconds() {
        let timeouts = Timeouts::default();
        let start = Instant::from_secs(10);
        let track = UdpTrack::begin(start);
        let next = |status, milliseconds| {
            let tracked = track.next(status, start + Duration::from_millis(milliseconds), &timeouts);
            (tracked.timeout.as_secs(), tracked.assured)
        };
        assert_eq!(next(Status::default(), 0), (30, false));
        assert_eq!(next(Status::default(), 90_000), (30, false));
        assert_eq!(next(REPLIED, 2_000), (30, false));
        assert_eq!(next(REPLIED, 2_001), (120, true));
        assert_eq!(next(ASSURED, 9_000), (120, false));
    }

    #[test]
    fn others_are_assured_by_what_follows_an_answer_or_never() {
        let timeouts = Timeouts::default();
        let next = |protocol, status| {
            let rule = Answered::of(protocol).expect("neither TCP nor UDP");
            let tracked = track_answered(rule, status, &timeouts);
            (tracked.timeout.as_secs(), tracked.assured)
        };
        let cases = [(p::UDPLITE, 30, 120), (p::GRE, 30, 180), (p::SCTP, 30, 210), (p::DCCP, 240, 43_200)];
        for (protocol, unreplied, replied) in cases {
            assert_eq!(next(protocol, Status::default()), (unreplied, false));
            assert_eq!(next(protocol, REPLIED), (replied, true));
            assert_eq!(next(protocol, ASSURED), (replied, false));
        }
        for (protocol, timeout) in [(p::ICMPV4, 30), (p::ICMPV6, 30), (p::ESP, 600)] {
            assert_eq!(next(protocol, Status::default()), (timeout, false));
            assert_eq!(next(protocol, REPLIED), (timeout, false));
        }
        assert_eq!((Answered::of(p::TCP), Answered::of(p::UDP)), (None, None));
    }

    #[test]
    fn a_packet_is_established_when_there_was_an_answer_or_it_is_one() {
        assert_eq!(State::of(Way::Original, false), State::New);
        assert_eq!(State::of(Way::Original, true), State::Established);
        assert_eq!(State::of(Way::Reply, false), State::Established);
        assert_eq!(State::Untracked.to_string(), "untracked");
    }

    #[test]
    fn status_is_shown_by_name() {
        assert_eq!(format!("{ASSURED:?}"), r#"{"SEEN_REPLY", "ASSURED"}"#);
        assert!(ASSURED.without(REPLIED).has(Status::ASSURED) && !ASSURED.without(REPLIED).has(REPLIED));
    }

    /// Each type was sent through Linux 6.18, too.
    #[test]
    fn rfc_792_and_rfc_4443_types_have_their_roles() {
        let of = |protocol, role| {
            (0..=255u8).filter(|&kind| icmp_role(protocol, kind) == role).collect::<Vec<_>>()
        };
        assert_eq!(of(p::ICMPV4, IcmpRole::Query), [8, 13, 15, 17]);
        assert_eq!(of(p::ICMPV4, IcmpRole::Answer), [0, 14, 16, 18]);
        assert_eq!(of(p::ICMPV4, IcmpRole::Error), [3, 4, 5, 11, 12]);
        assert_eq!(of(p::ICMPV4, IcmpRole::Untracked), []);
        assert_eq!(of(p::ICMPV6, IcmpRole::Query), [128, 139]);
        assert_eq!(of(p::ICMPV6, IcmpRole::Answer), [129, 140]);
        assert_eq!(of(p::ICMPV6, IcmpRole::Error), (0..128).chain([137]).collect::<Vec<_>>());
        assert_eq!(of(p::ICMPV6, IcmpRole::Untracked), [130, 131, 132, 133, 134, 135, 136, 143, 151, 152]);
    }

    #[test]
    fn rfc_4861_section_4_5_a_redirect_quotes_behind_its_options() {
        assert_eq!(quote_offset(p::ICMPV4, &[3, 1, 0, 0, 0, 0, 0, 0, 0x45]), Some(8));
        assert_eq!(quote_offset(p::ICMPV4, &[8, 0, 0, 0, 0, 0, 0, 0, 0x45]), None);
        assert_eq!(quote_offset(p::ICMPV6, &[2, 0, 0, 0, 0, 0, 0, 0]), None);
        let mut redirect = vec![0; 40];
        redirect[0] = 137;
        redirect.extend([2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(quote_offset(p::ICMPV6, &redirect), None);
        redirect.extend([4, 6, 0, 0, 0, 0, 0, 0, 0x60]);
        assert_eq!(quote_offset(p::ICMPV6, &redirect), Some(56));
        redirect[1] = 1;
        assert_eq!(quote_offset(p::ICMPV6, &redirect), None);
        redirect[1] = 0;
        redirect[41] = 0;
        assert_eq!(quote_offset(p::ICMPV6, &redirect), None);
    }

    proptest! {
        #[test]
        fn a_quote_begins_within_its_message(
            v6: bool, redirect: bool, mut message in proptest::collection::vec(prop_oneof![0..9u8, any::<u8>()], 0..80),
        ) {
            if let (Some(kind), true) = (message.first_mut(), redirect) {
                *kind = 137;
            }
            if let Some(at) = quote_offset(if v6 { p::ICMPV6 } else { p::ICMPV4 }, &message) {
                prop_assert!((8..message.len()).contains(&at));
            }
        }
    }
}
