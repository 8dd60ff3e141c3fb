//! What a TCP segment does to its connection, and why.
use super::protocol::TcpTimeouts;
use super::segment::TcpFlags;
use super::tcp::TcpTrack;
use super::tcp_state::TcpState;
use netfast_time::Duration;

/// Which timeout counts from a segment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpTimeout {
    /// That of a state.
    State(TcpState),
    /// [`TcpTimeouts::retransmission`].
    Retransmission,
    /// [`TcpTimeouts::unacknowledged`].
    Unacknowledged,
}

impl TcpTimeout {
    /// How long it is.
    pub const fn duration(self, timeouts: &TcpTimeouts) -> Duration {
        match self {
            Self::State(TcpState::SynSent | TcpState::SynSent2) => timeouts.syn_sent,
            Self::State(TcpState::SynReceived) => timeouts.syn_received,
            Self::State(TcpState::Established) => timeouts.established,
            Self::State(TcpState::FinWait) => timeouts.fin_wait,
            Self::State(TcpState::CloseWait) => timeouts.close_wait,
            Self::State(TcpState::LastAck) => timeouts.last_ack,
            Self::State(TcpState::TimeWait) => timeouts.time_wait,
            Self::State(TcpState::Close) => timeouts.close,
            Self::Retransmission => timeouts.retransmission,
            Self::Unacknowledged => timeouts.unacknowledged,
        }
    }
}

/// Why a segment is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The header is not whole.
    #[error("the TCP header needs {need} bytes, {have} are there")]
    Short {
        /// Bytes of the header.
        need: u32,
        /// Bytes there.
        have: u32,
    },
    /// The data offset points into the fixed header or behind the packet.
    #[error(
        "TCP data offset {words} (32-bit words) does not lie between 5 and the {length} bytes of the segment"
    )]
    DataOffset {
        /// The field, 32-bit words.
        words: u8,
        /// Bytes of header and payload.
        length: u32,
    },
    /// No TCP sends these flags together.
    #[error("TCP flags {:#04x} are not sent together", .0.0)]
    Flags(TcpFlags),
    /// Nothing begins with such a segment.
    #[error("a TCP segment with flags {:#04x} begins no connection", .0.0)]
    NotFirst(TcpFlags),
    /// It cannot follow what was seen.
    #[error("a TCP segment with flags {:#04x} cannot come in state {state}", .flags.0)]
    State {
        /// Flags.
        flags: TcpFlags,
        /// State before.
        state: TcpState,
    },
    /// A reset from before what was acknowledged.
    #[error("reset with sequence number {sequence}, below {acknowledged} that was acknowledged")]
    Reset {
        /// Its sequence number.
        sequence: u32,
        /// The highest acknowledgment from its receiver.
        acknowledged: u32,
    },
    /// Beyond the receiver's window.
    #[error("sequence number {sequence} is not below {limit}, the end of the receiver's window")]
    SequenceOver {
        /// Its sequence number.
        sequence: u32,
        /// The first that is too high.
        limit: u32,
    },
    /// It acknowledges what was not sent.
    #[error("acknowledgment {acknowledgment} is not below {limit}: that was not sent yet")]
    AcknowledgmentOver {
        /// Its acknowledgment or highest SACK edge.
        acknowledgment: u32,
        /// The first that is too high.
        limit: u32,
    },
}

/// Why a segment passes without changing the connection's state or lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// It does not fit the state: the ends may know better.
    OutOfSync {
        /// State before and after.
        state: TcpState,
    },
    /// A challenge acknowledgment (RFC 5961 4) that must not be taken for that of a FIN.
    ChallengeAck,
    /// More bytes than the window allows.
    OverWindow {
        /// How many, plus one.
        bytes: u32,
    },
    /// A repetition of data acknowledged long ago.
    SequenceUnder {
        /// The number behind the segment.
        end: u32,
        /// The last that is too low.
        limit: u32,
    },
    /// An acknowledgment that was overtaken long ago.
    AcknowledgmentUnder {
        /// Its acknowledgment or highest SACK edge.
        acknowledgment: u32,
        /// The last that is too low.
        limit: u32,
    },
}

/// A connection that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// What is known of it.
    pub track: TcpTrack,
    /// It stays so long from now.
    pub timeout: TcpTimeout,
}

/// What a segment does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOutcome {
    /// It belongs there.
    Ok {
        /// The connection from now on.
        track: TcpTrack,
        /// It stays so long from now; `None` leaves its expiry as it was (a SYN repeated without an answer).
        timeout: Option<TcpTimeout>,
        /// It is assured from now on; true only when it was not.
        assured: bool,
        /// It is over with this segment, which passes: a reset before any answer.
        over: bool,
    },
    /// It passes; state and expiry stay as they were.
    Ignored {
        /// The connection from now on: it remembers the segment.
        track: TcpTrack,
        /// Why.
        reason: Ignored,
    },
    /// It is invalid: no segment of this connection, or of none.
    Invalid {
        /// The connection from now on.
        track: TcpTrack,
        /// Why.
        reason: Invalid,
        /// Where this is set, and more than [`TcpTrack::SHORTEN_ABOVE`] is left to the connection, so much is
        /// left from now on, if that is less: both sides want to close and the node does not follow.
        shorten: Option<TcpTimeout>,
    },
    /// The connection is over, the segment begins another one: remove it and look the segment up again.
    Reopen,
}
