//! What was seen of a TCP connection, and where segments lead. RFC 9293 3.3.2 (states), 3.5 (opening).
use super::Way;
use super::segment::Kind;
use std::fmt;
use zerocopy::FromZeros;

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromZeros)]
#[repr(u8)]
pub enum TcpState {
    /// SYN.
    #[default]
    SynSent = 0,
    /// SYN and its SYN ACK.
    SynReceived,
    /// The acknowledgment of that.
    Established,
    /// One FIN.
    FinWait,
    /// The acknowledgment of that.
    CloseWait,
    /// FIN from both sides.
    LastAck,
    /// The acknowledgment of the last.
    TimeWait,
    /// A reset.
    Close,
    /// SYN from both sides (RFC 9293 3.5, figure 8).
    SynSent2,
}

impl TcpState {
    /// As conntrack(8) shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// One side has closed at least: the first that early drop takes, also when the connection is assured.
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close)
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    To(TcpState),
    /// A SYN after the end.
    Again,
    /// It contradicts what was seen, and may still be right.
    Pass,
    Never,
}

/// Where a segment leads by its kind alone; the window and the special cases come after.
pub(super) fn step(state: TcpState, way: Way, kind: Kind) -> Move {
    use TcpState::*;
    use Way::*;
    match (kind, way, state) {
        (Kind::Rst, ..) => Move::To(Close),
        // Opening: a SYN from each side crosses, or one is repeated.
        (Kind::Syn, Original, SynSent) => Move::To(SynSent),
        (Kind::Syn, _, SynSent | SynSent2) => Move::To(SynSent2),
        // The client may return with the same ports; behind TIME-WAIT the sides may change roles.
        (Kind::Syn, _, TimeWait) | (Kind::Syn, Original, Close) => Move::Again,
        // The client knows of another connection than the node does.
        (Kind::Syn, Original, _) => Move::Pass,
        (Kind::Syn, Reply, _) => Move::Never,
        (Kind::SynAck, Reply, SynSent | SynSent2) => Move::To(SynReceived),
        // The first to send a SYN answers with one only when they crossed.
        (Kind::SynAck, Original, SynSent2 | SynReceived) => Move::To(SynReceived),
        // Late, repeated, or the answer to a SYN that was ignored.
        (Kind::SynAck, Reply, _) => Move::Pass,
        (Kind::SynAck, Original, _) => Move::Never,
        // Half a connection is not closed with FIN by the one who opens it, nor before an answer.
        (Kind::Fin, _, SynSent | SynSent2) => Move::Never,
        (Kind::Fin, _, SynReceived | Established) => Move::To(FinWait),
        (Kind::Fin, _, FinWait | CloseWait | LastAck) => Move::To(LastAck),
        // Repeated.
        (Kind::Fin, _, TimeWait | Close) => Move::To(state),
        // The server may still hold an older connection; the client has nothing to acknowledge.
        (Kind::Ack, Reply, SynSent | SynSent2) => Move::Pass,
        (Kind::Ack, Original, SynSent | SynSent2) => Move::Never,
        (Kind::Ack, Original, SynReceived) => Move::To(Established),
        // The answer to a SYN ACK that was repeated late.
        (Kind::Ack, Reply, SynReceived) => Move::To(SynReceived),
        (Kind::Ack, _, FinWait | CloseWait) => Move::To(CloseWait),
        (Kind::Ack, _, LastAck | TimeWait) => Move::To(TimeWait),
        (Kind::Ack, _, Established | Close) => Move::To(state),
        (Kind::None, ..) => Move::Never,
    }
}
