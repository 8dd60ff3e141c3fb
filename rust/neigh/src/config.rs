//! Settings, errors and counters of a table of neighbours.
use netfast_time::Duration;
use std::net::IpAddr;
use thiserror::Error;

/// Settings and limits of a table of neighbours. What happens at each limit says [the crate](crate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourConfig {
    /// Neighbours whose link address is known (65,536), those that were set and those that were found out.
    pub max_entries: usize,
    /// Packets that wait for one neighbour (101, as Linux's `unres_qlen` has it).
    pub queue_packets: usize,
    /// Bytes of packets that wait for one neighbour (212,992, as Linux's `unres_qlen_bytes` has it).
    pub queue_bytes: u64,
    /// Neighbours whose link address is not known (256): those that packets wait for, and those that did not answer.
    pub max_pending: usize,
    /// How long after the first packet a neighbour is waited for (3 s: three solicitations, RFC 4861 10).
    pub pending_timeout: Duration,
    /// Solicitations to all, a [`retransmit`](Self::retransmit) apart, while a neighbour is waited for (3:
    /// MAX_MULTICAST_SOLICIT of RFC 4861 10, Linux's `mcast_solicit`).
    pub multicast_probes: u8,
    /// Solicitations to a neighbour alone before it counts as gone (3: MAX_UNICAST_SOLICIT, `ucast_solicit`).
    pub unicast_probes: u8,
    /// Between two solicitations (1 s: RetransTimer, `retrans_time_ms`).
    pub retransmit: Duration,
    /// How long a neighbour counts as reachable after it was confirmed: on average, between half of it and one and a half
    /// times it, chosen anew each two hours (30 s: BaseReachableTime, `base_reachable_time_ms`).
    pub reachable: Duration,
    /// How long a stale neighbour that packets are sent to may be confirmed by others before it is asked (5 s:
    /// DELAY_FIRST_PROBE_TIME, `delay_first_probe_time`).
    pub delay: Duration,
    /// How long a stale neighbour that no packets are sent to is remembered, and one that failed (60 s: Linux's
    /// `gc_stale_time`).
    pub stale_timeout: Duration,
    /// As long as no more neighbours are known, stale ones stay (128: Linux's `gc_thresh1`).
    pub keep: usize,
    /// For how long an ARP message of another link address changes nothing after the last one did (1 s: Linux's
    /// `locktime`). RFC 4861 knows no such time.
    pub lock: Duration,
}

impl Default for NeighbourConfig {
    fn default() -> Self {
        Self {
            max_entries: 65_536,
            queue_packets: 101,
            queue_bytes: 212_992,
            max_pending: 256,
            pending_timeout: Duration::from_secs(3),
            multicast_probes: 3,
            unicast_probes: 3,
            retransmit: Duration::from_secs(1),
            reachable: Duration::from_secs(30),
            delay: Duration::from_secs(5),
            stale_timeout: Duration::from_secs(60),
            keep: 128,
            lock: Duration::from_secs(1),
        }
    }
}

/// Why a table of neighbours was not changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeighError {
    /// The table has as many entries as it may.
    #[error("{address} is one neighbour too many for {limit}: remove others, or raise max_entries")]
    TableFull {
        /// The neighbour that was refused.
        address: IpAddr,
        /// [`NeighbourConfig::max_entries`].
        limit: usize,
    },
    /// A group or the unspecified address is nobody's.
    #[error("the address {address} is not unicast: a neighbour is one node")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
}

/// What happened to a table, since it was made. Always: `held` is `resolved`, `queue_full`, `displaced`, `expired`,
/// `removed_port` and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Link addresses that came to be known or changed.
    pub set: u64,
    /// Entries removed by commands.
    pub removed: u64,
    /// Entries refused: [`NeighError::TableFull`], or a neighbour that told of itself and found no room.
    pub refused: u64,
    /// Packets taken to wait.
    pub held: u64,
    /// Packets given back because their neighbour was set or answered.
    pub resolved: u64,
    /// Packets given back as [`Released::QueueFull`](crate::Released::QueueFull) after they waited.
    pub queue_full: u64,
    /// Packets given back as [`Released::QueueFull`](crate::Released::QueueFull) at once, because they alone are above a limit.
    pub not_held: u64,
    /// Packets given back as [`Released::Displaced`](crate::Released::Displaced).
    pub displaced: u64,
    /// Packets given back because their neighbour did not answer.
    pub expired: u64,
    /// Packets given back by [`Neighbours::remove_port`](crate::Neighbours::remove_port) and
    /// [`Neighbours::flush`](crate::Neighbours::flush).
    pub removed_port: u64,
    /// Neighbours that were asked for by all and did not answer, or that did not answer any more.
    pub failed: u64,
    /// Stale neighbours that gave way to others in a full table.
    pub stale_displaced: u64,
    /// Stale neighbours that nobody used for [`NeighbourConfig::stale_timeout`].
    pub stale_removed: u64,
    /// Neighbours waited for that gave way to others.
    pub pending_displaced: u64,
    /// ARP messages of another link address within [`NeighbourConfig::lock`].
    pub locked: u64,
    /// Solicitations asked for, to all and to one.
    pub solicited: u64,
    /// Times that the clock went back; it counts as standing still.
    pub clock_went_back: u64,
}
