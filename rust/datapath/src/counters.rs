//! What a node did, in numbers whose sums agree.
use crate::link::DiscoveryCounters;
use crate::reason::DropCounts;

/// What a node did so far.
///
/// Always: `packets_in + created = out + local + held + absorbed + dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in by ports.
    pub packets_in: u64,
    /// Packets that the node made: errors, resets, answers, what its owner sent.
    pub created: u64,
    /// Packets that left by ports.
    pub out: u64,
    /// Packets for the node itself.
    pub local: u64,
    /// Packets that wait now: for a neighbour, or for the first fragment of their datagram.
    pub held: u64,
    /// Packets that became part of others.
    pub absorbed: u64,
    /// Packets dropped, by reason.
    pub dropped: DropCounts,
    /// Errors that were not sent because of `icmp_rate`.
    pub icmp_limited: u64,
    /// Times that were before a time told earlier: they counted as that.
    pub time_backwards: u64,
    /// The cache's part.
    pub cache: CacheCounters,
    /// Connections that the full table let go.
    pub early_dropped: u64,
    /// Messages about neighbours.
    pub discovery: DiscoveryCounters,
}

/// How packets were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// By one lookup.
    pub hits: u64,
    /// Without a walk through the rules: they begin flows of a class that is known.
    pub known: u64,
    /// By the tables, because no connection or no program was there.
    pub misses: u64,
    /// By the tables, because they are no packets for the cache: fragments, options, errors, unsettled TCP …
    pub uncached: u64,
    /// By the tables, because what they read is in each packet.
    pub walked: u64,
    /// By one lookup, after the stamp of the program was renewed: what changed did not concern it.
    pub refreshed: u64,
    /// Programs decided anew because something that they depend on changed, by the tables or by what is known of their
    /// class ...
    pub revalidated: u64,
    /// ... and came out different.
    pub changed: u64,
    /// Programs that had no room.
    pub refused: u64,
}

impl Counters {
    /// True when the sums agree.
    pub fn conserved(&self) -> bool {
        self.packets_in + self.created
            == self.out + self.local + self.held + self.absorbed + self.dropped.total()
    }
}
