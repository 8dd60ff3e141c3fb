//! Connection tracking, the pure part: what a packet means to a connection, and which addresses and ports its
//! translation gets. The table, its index, expiry and limits belong to the caller.
//!
//! The behaviour is that of Linux's nf_conntrack and nf_nat (6.1 to 6.18). Time, random numbers and what the
//! table holds are arguments. The differences from Linux:
//!
//! - [`TcpTrack`] remembers itself that there was an answer and that the connection is assured; Linux keeps
//!   both in the connection's status. An answer that only an ICMP error gave does not count in either.
//! - Retransmissions are counted to 255 and stay there; Linux's counter begins again at 0.
//! - When no port is free, [`NatError::Exhausted`] says so at once; Linux goes on with a port in use and
//!   drops the packet when the connection is entered into its table. Of a range that does not divide 65,536
//!   Linux may leave out ports and try others twice.
//! - A TCP checksum that an ICMP error quotes is translated whenever it is there; Linux wants the whole
//!   header.
//! - GRE is told apart by addresses alone, also version 1; Linux's PPTP helper is not here. No helper adjusts
//!   sequence numbers.
//! - SCTP and DCCP age by whether there was an answer, not by their own states.
//! - Checksums are not verified here: a packet with a bad one is the caller's to refuse, as Linux does in
//!   prerouting.
//! - A source port may be looked for with the same parity (RFC 4787, REQ-4), and mappings may be independent
//!   of the endpoint; Linux has neither, but lets a source endpoint keep its mapping where that is free.

mod eim;
mod last;
mod nat;
mod outcome;
mod protocol;
mod segment;
mod tcp;
mod tcp_state;
mod translation;
mod tuple;
mod window;

pub use eim::{EimConfig, EimCounts, EimFiltering, EimTable, Endpoint};
pub use nat::{NatError, NatRange, PortRange, RandomPorts, select_destination, select_source};
pub use outcome::{Begin, Ignored, Invalid, TcpOutcome, TcpTimeout};
pub use protocol::{
    Answered, DccpTimeouts, IcmpRole, SctpTimeouts, State, Status, TcpTimeouts, Timeouts, Tracked, UdpTrack,
    icmp_role, quote_offset, track_answered,
};
pub use segment::{TcpFlags, TcpSegment};
pub use tcp::{TcpConfig, TcpStays, TcpTrack};
pub use tcp_state::TcpState;
pub use translation::{Applied, Rewrite, Translation};
pub use tuple::Tuple;

/// Which way a packet of a connection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Way {
    /// As its first packet went.
    #[default]
    Original = 0,
    /// Against it.
    Reply = 1,
}

impl Way {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Original, Self::Reply];

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}
