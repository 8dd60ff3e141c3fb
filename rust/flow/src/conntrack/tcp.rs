//! The state of a TCP connection as a node in the middle sees it. RFC 9293 3.3.2 (states), 3.5 (opening), RFC
//! 5961 (challenge acknowledgments), RFC 1122 4.2.2.13 (reopening from TIME-WAIT).
//!
//! Both ends move on before the node knows: what it forwards may be lost. So a state here says what was seen,
//! in either direction, and a segment that contradicts it without being impossible passes and is remembered
//! ([`TcpOutcome::Ignored`]): the answer to it tells who was right.
use super::Way;
use super::last::{Last, numbers};
use super::outcome::{Begin, Ignored, Invalid, TcpOutcome, TcpTimeout};
use super::protocol::TcpTimeouts;
use super::segment::{Kind, TcpFlags, TcpSegment, before};
use super::tcp_state::{Move, TcpState, step};
use super::window::{Figures, Misfit, Side, Sides};
use netfast_time::Duration;
use zerocopy::FromZeros;

/// How strictly TCP is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// A connection may begin with an acknowledgment: one that was there before the node was.
    pub loose: bool,
    /// Segments outside the window pass.
    pub liberal: bool,
    /// A reset whose sequence number is below what was acknowledged counts as well.
    pub ignore_invalid_reset: bool,
    /// After so many repetitions of one acknowledgment the shorter timeout counts.
    pub max_retransmissions: u8,
    /// Timeouts by state.
    pub timeouts: TcpTimeouts,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            loose: true,
            liberal: false,
            ignore_invalid_reset: false,
            max_retransmissions: 3,
            timeouts: TcpTimeouts::default(),
        }
    }
}

/// How long an established connection stays behind an acknowledgment, by what is found out without a branch: made once of a
/// [`TcpConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStays {
    by: [Duration; 8],
    /// Those of a segment that is no repetition.
    first: [Duration; 4],
    max_retransmissions: u8,
}

impl TcpStays {
    /// Bits of the place in the table: data waits for its acknowledgment, the window is closed, one acknowledgment came often
    /// enough.
    const UNACKNOWLEDGED: usize = 1 << 0;
    const CLOSED: usize = 1 << 1;
    const REPEATED: usize = 1 << 2;

    /// Those of a configuration.
    pub fn new(config: &TcpConfig) -> Self {
        let by = std::array::from_fn(|at| {
            let is = |bit: usize| at & bit != 0;
            let mut track = TcpTrack {
                state: TcpState::Established,
                marks: SEEN_REPLY,
                last_kind: Kind::Ack,
                last: Last::new(0, 0, u16::from(!is(Self::CLOSED)), Way::Original),
                retransmissions: if is(Self::REPEATED) { u8::MAX } else { 0 },
                ..TcpTrack::default()
            };
            track.sides[0].flags = if is(Self::UNACKNOWLEDGED) { Side::UNACKNOWLEDGED } else { 0 };
            track.timeout(config).duration(&config.timeouts)
        });
        let repeated = if config.max_retransmissions == 0 { Self::REPEATED } else { 0 };
        let first = std::array::from_fn(|at| by[at | repeated]);
        Self { by, first, max_retransmissions: config.max_retransmissions }
    }
}

/// What the node knows of a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct TcpTrack {
    sides: [Side; 2],
    /// The last segment that was taken or ignored.
    last: Last,
    /// Options of a SYN that was ignored: shift count and flags of its side.
    last_scale: u8,
    last_flags: u8,
    last_kind: Kind,
    state: TcpState,
    retransmissions: u8,
    marks: u8,
}

const _: () = assert!(size_of::<TcpTrack>() <= 64);

/// There was a packet in the reply direction.
const SEEN_REPLY: u8 = 1 << 0;
/// Both sides have taken part.
const ASSURED: u8 = 1 << 1;
/// SYN came from both sides.
const SIMULTANEOUS: u8 = 1 << 2;
/// A SYN was let through in LAST-ACK: the acknowledgment that follows may be a challenge.
const CHALLENGE: u8 = 1 << 3;

/// It is established and assured, and both sides have offered a window and acknowledged something: what follows is mostly for
/// [`TcpTrack::follow`].
const SETTLED: u8 = 1 << 4;

/// Whether a segment has to fit the window, and where it leads then.
enum Check {
    Window(TcpState),
    Skip(TcpState),
    Invalid(Invalid),
}

impl TcpTrack {
    /// Less than this left to a connection is not shortened: [`TcpOutcome::Invalid`].
    pub const SHORTEN_ABOVE: Duration = Duration::from_secs(120);

    /// The first segment of a connection. A SYN begins it; with [`TcpConfig::loose`] an acknowledgment does,
    /// too, whose windows are then not held against it.
    ///
    /// # Errors
    /// [`Invalid::NotFirst`].
    pub fn begin(segment: &TcpSegment, config: &TcpConfig) -> Result<Begin, Invalid> {
        let kind = segment.kind();
        let mut track = Self::default();
        let [original, reply] = &mut track.sides;
        let state = match kind {
            Kind::Syn => {
                original.synchronise(segment);
                TcpState::SynSent
            }
            Kind::Ack if config.loose => {
                original.pick_up(segment);
                // Whether windows are scaled is not known, nor SACK.
                original.flags = Side::SACK | Side::LIBERAL;
                reply.flags = original.flags;
                TcpState::Established
            }
            _ => return Err(Invalid::NotFirst(segment.flags)),
        };
        // No state was before: neither a repeated SYN nor a reset that answers one can be meant.
        let misfit = track.fit(Way::Original, segment, TcpState::Established, config);
        debug_assert!(misfit.is_none(), "nothing is known yet that it could contradict");
        (track.last_kind, track.state) = (kind, state);
        track.last.set_way(Way::Original);
        Ok(Begin { track, timeout: track.timeout(config) })
    }

    /// The next segment.
    #[must_use]
    pub fn next(&self, way: Way, segment: &TcpSegment, config: &TcpConfig) -> TcpOutcome {
        let (kind, old) = (segment.kind(), self.state);
        let new = match step(old, way, kind) {
            Move::Never => {
                let reason = Invalid::State { flags: segment.flags, state: old };
                return TcpOutcome::Invalid { track: *self, reason, shorten: None };
            }
            Move::Again if self.may_reopen(way) => return TcpOutcome::Reopen,
            Move::Again | Move::Pass => return self.out_of_sync(way, segment, config),
            Move::To(new) => new,
        };
        let mut track = *self;
        match new {
            TcpState::TimeWait if old == TcpState::LastAck && self.is_challenge(way, kind) => {
                track.marks &= !CHALLENGE;
                return track.ignored(way, Ignored::ChallengeAck);
            }
            TcpState::SynSent2 => track.marks |= SIMULTANEOUS,
            _ => {}
        }
        let check = match new {
            TcpState::Close if kind == Kind::Rst => self.reset(way, segment, config),
            TcpState::SynReceived if way == Way::Reply && kind == Kind::Ack && self.is(SIMULTANEOUS) => {
                Check::Window(TcpState::Established)
            }
            _ => Check::Window(new),
        };
        track.enter(way, segment, old, check, config)
    }

    /// The way of most segments: an acknowledgment, with or without data, in an established connection,
    /// inside the window. Updates in place and returns true exactly when [`TcpTrack::next`] gives
    /// [`TcpOutcome::Ok`] by the window, with this track and [`TcpTrack::timeout`]; else nothing is changed
    /// and [`TcpTrack::next`] has to be asked.
    ///
    /// `header` is the segment's without its options, `payload` bytes of data. There must be no SACK blocks:
    /// [`TcpSegment::may_hold_sack`].
    #[inline(always)]
    pub fn quick(&mut self, way: Way, header: &[u8; 20], payload: u32) -> bool {
        self.advance(way, header, payload).is_some()
    }

    /// As [`TcpTrack::quick`]; gives the length of [`TcpTrack::timeout`].
    #[inline(always)]
    pub fn follow(
        &mut self,
        way: Way,
        header: &[u8; 20],
        payload: u32,
        stays: &TcpStays,
    ) -> Option<Duration> {
        let unacknowledged = self.advance(way, header, payload)?;
        Some(self.stays(stays, unacknowledged))
    }

    /// What [`TcpTrack::quick`] does; gives whether data waits for an acknowledgment.
    #[inline(always)]
    fn advance(&mut self, way: Way, header: &[u8; 20], payload: u32) -> Option<bool> {
        if !self.is(SETTLED) || TcpFlags(header[13]).control() != TcpFlags::ACK {
            return None;
        }
        let [_, _, _, _, a, b, c, d, e, f, g, h, _, _, i, j, ..] = *header;
        let (numbers, window) = (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u16::from_be_bytes([i, j]));
        let (sequence, acknowledgment) = ((numbers >> 32) as u32, numbers as u32);
        // Which side sends is chance: addresses are chosen, no branch is.
        let [original, reply] = &mut self.sides;
        let (from, to) = if way == Way::Reply { (reply, original) } else { (original, reply) };
        let (mut sender, mut receiver) = (*from, *to);
        let mut sides = Sides { sender: &mut sender, receiver: &mut receiver };
        let figures = Figures {
            sequence,
            end: sequence.wrapping_add(payload),
            acknowledgment,
            sack: acknowledgment,
            window: u32::from(window) << sides.sender.scale,
            acknowledges: true,
        };
        if !sides.fits_known(&figures) {
            return None;
        }
        sides.advance_known(&figures);
        *from = sender;
        (to.max_window, to.max_end, to.flags) = (receiver.max_window, receiver.max_end, receiver.flags);
        self.remember(Last::new(numbers, figures.end, window, way));
        self.last_kind = Kind::Ack;
        Some((sender.flags | receiver.flags) & Side::UNACKNOWLEDGED != 0)
    }

    #[inline(always)]
    fn stays(&self, stays: &TcpStays, unacknowledged: bool) -> Duration {
        let at = usize::from(unacknowledged) * TcpStays::UNACKNOWLEDGED
            + usize::from(self.last.window() == 0) * TcpStays::CLOSED;
        if self.retransmissions == 0 { stays.first[at] } else { self.stays_repeating(stays, at) }
    }

    #[cold]
    #[inline(never)]
    fn stays_repeating(&self, stays: &TcpStays, at: usize) -> Duration {
        let repeated = self.retransmissions >= stays.max_retransmissions;
        stays.by[at + usize::from(repeated) * TcpStays::REPEATED]
    }

    /// Which timeout counts behind the last segment that was taken.
    pub fn timeout(&self, config: &TcpConfig) -> TcpTimeout {
        let timeouts = &config.timeouts;
        let normal = TcpTimeout::State(self.state);
        let length = normal.duration(timeouts);
        let unacknowledged = (self.sides[0].flags | self.sides[1].flags) & Side::UNACKNOWLEDGED != 0;
        let timeout =
            if self.retransmissions >= config.max_retransmissions && length > timeouts.retransmission {
                TcpTimeout::Retransmission
            } else if self.last_kind == Kind::Rst {
                TcpTimeout::State(TcpState::Close)
            } else if unacknowledged && length > timeouts.unacknowledged {
                TcpTimeout::Unacknowledged
            } else if self.last.window() == 0 && length > timeouts.retransmission {
                TcpTimeout::Retransmission
            } else {
                normal
            };
        let picked_up = !self.is(SEEN_REPLY) && self.state == TcpState::Established;
        if picked_up && timeout.duration(timeouts) > timeouts.unacknowledged {
            return TcpTimeout::Unacknowledged;
        }
        timeout
    }

    /// Its state.
    #[inline(always)]
    pub const fn state(&self) -> TcpState {
        self.state
    }

    /// True when there was an answer.
    #[inline(always)]
    pub const fn seen_reply(&self) -> bool {
        self.is(SEEN_REPLY)
    }

    /// True when both sides have taken part in it since it was established.
    #[inline(always)]
    pub const fn assured(&self) -> bool {
        self.is(ASSURED)
    }

    #[inline(always)]
    const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// The node itself reset the connection in the name of one side.
    pub const fn close(&mut self) {
        self.state = TcpState::Close;
        self.marks &= !SETTLED;
    }

    /// RFC 1122 4.2.2.13: a connection that was closed, or reset by the one who now sends SYN, may be opened
    /// again.
    fn may_reopen(&self, way: Way) -> bool {
        let closed = (self.sides[0].flags | self.sides[1].flags) & Side::CLOSED_FIRST != 0;
        closed || self.last.went(way) && self.last_kind == Kind::Rst
    }

    /// RFC 5961 4: the answer to a SYN in LAST-ACK acknowledges no FIN.
    fn is_challenge(&self, way: Way, kind: Kind) -> bool {
        kind == Kind::Ack && !self.last.went(way) && self.last_kind == Kind::Syn && self.is(CHALLENGE)
    }

    fn ignored(mut self, way: Way, reason: Ignored) -> TcpOutcome {
        self.marks |= if way == Way::Reply { SEEN_REPLY } else { 0 };
        TcpOutcome::Ignored { track: self, reason }
    }

    /// A segment that contradicts what was seen: it passes and is remembered. When a SYN ACK answers a SYN
    /// remembered so, the ends agree, and the node follows them.
    fn out_of_sync(&self, way: Way, segment: &TcpSegment, config: &TcpConfig) -> TcpOutcome {
        let mut track = *self;
        let kind = segment.kind();
        let answers =
            self.last_kind == Kind::Syn && !self.last.went(way) && segment.acknowledgment == self.last.end();
        if kind == Kind::SynAck && answers {
            track.marks &= !(CHALLENGE | SETTLED);
            let sides = Sides::of(&mut track.sides, way);
            *sides.receiver = Side {
                end: self.last.end(),
                max_end: self.last.end(),
                max_window: u32::from(self.last.window()).max(1),
                max_ack: 0,
                scale: self.last_scale,
                flags: self.last_flags,
            };
            *sides.sender = Side { flags: sides.sender.flags & Side::LIBERAL, ..Side::default() };
            return track.enter(
                way,
                segment,
                TcpState::SynSent,
                Check::Window(TcpState::SynReceived),
                config,
            );
        }
        track.last_kind = kind;
        let acknowledges = self.state == TcpState::SynSent && kind == Kind::Ack && way == Way::Reply;
        let acknowledgment = if acknowledges { segment.acknowledgment } else { self.last.acknowledgment() };
        let numbers = numbers(segment.sequence, acknowledgment);
        track.last = Last::new(numbers, segment.end(), segment.window, way);
        if kind == Kind::Syn && way == Way::Original {
            let mut options = Side::default();
            options.read_options(segment);
            (track.last_scale, track.last_flags) = (options.scale, options.flags);
            track.marks &= !(CHALLENGE | SIMULTANEOUS);
            track.marks |= if self.state == TcpState::LastAck { CHALLENGE } else { 0 };
        }
        track.ignored(way, Ignored::OutOfSync { state: self.state })
    }

    /// What a reset has to fulfil: RFC 5961 3, as far as the node knows what the receiver expects.
    fn reset(&self, way: Way, segment: &TcpSegment, config: &TcpConfig) -> Check {
        const CLOSE: TcpState = TcpState::Close;
        if self.state.is_closing() {
            // The ports may be in use again: what is known may be that of another connection.
            return Check::Skip(CLOSE);
        }
        let settled = self.state == TcpState::Established && self.is(ASSURED);
        let peer = &self.sides[way.opposite() as usize];
        let mut new = CLOSE;
        if peer.has(Side::MAX_ACK) && self.last_kind != Kind::Syn {
            let (sequence, acknowledged) = (segment.sequence, peer.max_ack);
            if sequence == 0 && !settled {
                // Most likely the answer to a SYN that was ignored.
                return Check::Window(CLOSE);
            }
            if before(sequence, acknowledged) && !config.ignore_invalid_reset {
                return Check::Invalid(Invalid::Reset { sequence, acknowledged });
            }
            if !settled || sequence == acknowledged {
                return Check::Window(CLOSE);
            }
            if self.last_kind == Kind::Ack && self.last.went(way) && sequence == self.last.end() {
                // It follows the data that was just sent.
                return Check::Window(CLOSE);
            }
            // The receiver may challenge it; until it is known, the connection stays.
            new = self.state;
        }
        let answered_syn = self.is(SEEN_REPLY) && self.last_kind == Kind::Syn && !self.last.went(way);
        let answered_ack = !self.is(ASSURED) && self.last_kind == Kind::Ack;
        if (answered_syn || answered_ack) && segment.acknowledgment == self.last.end() {
            // The answer to a segment that was ignored: the node holds half a connection.
            return Check::Skip(new);
        }
        let answers_challenge = self.state == TcpState::SynSent
            && self.last_kind == Kind::Ack
            && self.last.went(Way::Reply)
            && segment.sequence == self.last.acknowledgment();
        if answers_challenge {
            // RFC 9293 3.5.1: the server held an old connection, and its acknowledgment was let through.
            return Check::Skip(new);
        }
        Check::Window(new)
    }

    fn enter(
        mut self,
        way: Way,
        segment: &TcpSegment,
        old: TcpState,
        check: Check,
        config: &TcpConfig,
    ) -> TcpOutcome {
        let new = match check {
            Check::Invalid(reason) => return TcpOutcome::Invalid { track: self, reason, shorten: None },
            Check::Skip(new) => new,
            Check::Window(new) => match self.fit(way, segment, self.state, config) {
                None => new,
                Some(Misfit::Ignored(reason)) => return self.ignored(way, reason),
                Some(Misfit::Invalid(reason)) => return self.refuse(way, segment.kind(), reason),
            },
        };
        let kind = segment.kind();
        (self.last_kind, self.state) = (kind, new);
        self.last.set_way(way);
        if old != new && new == TcpState::FinWait {
            self.sides[way as usize].flags |= Side::CLOSED_FIRST;
        }
        let mut timeout = Some(self.timeout(config));
        let mut assured = false;
        let mut over = false;
        if !self.is(SEEN_REPLY) {
            over = kind == Kind::Rst;
            if kind == Kind::Syn && old == TcpState::SynSent {
                // Or whoever repeats it could hold the entry, and its translation, for ever.
                timeout = None;
            }
        } else if matches!(old, TcpState::SynReceived | TcpState::Established) && new == TcpState::Established
        {
            assured = !self.is(ASSURED);
            self.marks |= ASSURED;
        }
        self.marks |= if way == Way::Reply { SEEN_REPLY } else { 0 };
        self.settle();
        TcpOutcome::Ok { track: self, timeout, assured, over }
    }

    /// Finds out whether it is settled.
    fn settle(&mut self) {
        let known = |side: &Side| side.max_window != 0 && side.has(Side::MAX_ACK);
        let settled = self.state == TcpState::Established && self.is(ASSURED) && self.sides.iter().all(known);
        self.marks = self.marks & !SETTLED | if settled { SETTLED } else { 0 };
    }

    /// Holds a segment against the window and takes up what it tells. `state` is the one before it.
    fn fit(&mut self, way: Way, segment: &TcpSegment, state: TcpState, config: &TcpConfig) -> Option<Misfit> {
        let mut sides = Sides::of(&mut self.sides, way);
        let sack = if sides.receiver.has(Side::SACK) { segment.sack } else { segment.acknowledgment };
        if sides.learn(way, segment, sack, state) {
            return None;
        }
        let figures = sides.figures(segment, sack, state);
        if let Some(misfit) = sides.misfit(&figures) {
            let liberal = config.liberal || sides.sender.has(Side::LIBERAL);
            return if liberal { None } else { Some(misfit) };
        }
        sides.advance(&figures);
        if segment.kind() == Kind::Ack {
            let numbers = numbers(figures.sequence, figures.acknowledgment);
            self.remember(Last::new(numbers, figures.end, segment.window, way));
        }
        None
    }

    /// Counts repetitions of one acknowledgment.
    #[inline(always)]
    fn remember(&mut self, segment: Last) {
        // Who sent before is chance, whether all else is the same as well mostly not.
        let other = (self.last.numbers ^ segment.numbers) | (self.last.rest ^ segment.rest);
        self.retransmissions = if other == 0 { self.one_more() } else { 0 };
        self.last = segment;
    }

    #[cold]
    const fn one_more(&self) -> u8 {
        self.retransmissions.saturating_add(1)
    }

    /// A segment outside the window. When both sides send FIN or reset there, the node has lost track, and
    /// the connection is not to stay for days.
    fn refuse(mut self, way: Way, kind: Kind, reason: Invalid) -> TcpOutcome {
        let mut shorten = None;
        if self.is(ASSURED) && matches!(kind, Kind::Rst | Kind::Fin) {
            if !self.last.went(way) && matches!(self.last_kind, Kind::Rst | Kind::Fin) {
                shorten = Some(TcpTimeout::Unacknowledged);
            } else {
                self.last_kind = kind;
                self.last.set_way(way);
            }
        }
        TcpOutcome::Invalid { track: self, reason, shorten }
    }
}
