//! What a node tells besides packets, in a bounded queue.
use crate::port::{Mac, PortId};
use netfast_flow::conntrack::Tuple;
use netfast_time::Instant;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

/// Why a connection is no longer in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// No packet came in time.
    Timeout,
    /// Another connection needed its place.
    Evicted,
    /// A packet opened another connection with the same addresses and ports.
    Reopened,
    /// A command.
    Deleted,
}

impl EndReason {
    /// The text in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Evicted => "evicted",
            Self::Reopened => "reopened",
            Self::Deleted => "deleted",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was entered into the table.
    NewConnection {
        /// Its number, unique for the life of the node.
        id: u64,
        /// As its originator sends.
        original: Tuple,
        /// As its replies arrive.
        reply: Tuple,
    },
    /// A connection left the table.
    EndedConnection {
        /// Its number.
        id: u64,
        /// Why.
        reason: EndReason,
        /// As its originator sent.
        original: Tuple,
        /// As its replies arrived.
        reply: Tuple,
        /// Packets each way.
        packets: [u64; 2],
        /// IP octets each way.
        bytes: [u64; 2],
        /// When its first packet came.
        created: Instant,
    },
    /// A rule with a log statement saw a packet.
    Log {
        /// What the rule puts before its line.
        prefix: Arc<str>,
        /// The rule.
        rule: Arc<str>,
        /// Addresses and ports as they were there.
        tuple: Tuple,
        /// The port that the packet came from.
        in_port: Option<PortId>,
        /// The port that it would leave by.
        out_port: Option<PortId>,
        /// IP octets.
        length: u32,
    },
    /// A next hop's link address is not known: set the neighbour, and what waits is sent.
    UnresolvedNeighbour {
        /// The port it should be at.
        port: PortId,
        /// Its address.
        address: IpAddr,
    },
    /// A neighbour was found, or has another link address. Told where a port resolves neighbours.
    NeighbourChanged {
        /// The port that it is at.
        port: PortId,
        /// Its address.
        address: IpAddr,
        /// Its link address.
        mac: Mac,
        /// The link address that it had; `None` when none was known.
        from: Option<Mac>,
    },
    /// A neighbour does not answer. Told where a port resolves neighbours.
    NeighbourFailed {
        /// The port that it should be at.
        port: PortId,
        /// Its address.
        address: IpAddr,
        /// The link address that it had; `None` when none was known.
        mac: Option<Mac>,
    },
    /// A neighbour was forgotten because the full table needed its place.
    NeighbourDisplaced {
        /// The port that it is at.
        port: PortId,
        /// Its address.
        address: IpAddr,
    },
    /// A translation found no address and port.
    NatExhausted {
        /// What was to be translated.
        tuple: Tuple,
    },
    /// The table of connections was full, and a new one was refused.
    TableFull {
        /// The connection.
        tuple: Tuple,
    },
}

impl Event {
    /// The kind, as programs and JSON name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NewConnection { .. } => "new_connection",
            Self::EndedConnection { .. } => "ended_connection",
            Self::Log { .. } => "log",
            Self::UnresolvedNeighbour { .. } => "unresolved_neighbour",
            Self::NeighbourChanged { .. } => "neighbour_changed",
            Self::NeighbourFailed { .. } => "neighbour_failed",
            Self::NeighbourDisplaced { .. } => "neighbour_displaced",
            Self::NatExhausted { .. } => "nat_exhausted",
            Self::TableFull { .. } => "table_full",
        }
    }
}

/// Events that wait to be taken; beyond the limit new ones are counted, not kept.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<(Instant, Event)>,
    limit: usize,
    missed: u64,
}

impl EventQueue {
    pub fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit, missed: 0 }
    }

    /// False when nobody would read another one, so that it need not be made.
    pub fn wants(&mut self) -> bool {
        if self.events.len() < self.limit {
            return true;
        }
        self.missed += 1;
        false
    }

    /// Adds an event, if [`EventQueue::wants`] said so.
    pub fn push(&mut self, now: Instant, event: Event) {
        self.events.push_back((now, event));
    }

    /// Adds an event where there is room.
    pub fn offer(&mut self, now: Instant, event: impl FnOnce() -> Event) {
        if self.wants() {
            self.push(now, event());
        }
    }

    /// True when [`EventQueue::take`] has something.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.missed == 0
    }

    /// All events, and how many had no room since the last time.
    pub fn take(&mut self) -> (Vec<(Instant, Event)>, u64) {
        (std::mem::take(&mut self.events).into(), std::mem::take(&mut self.missed))
    }
}
