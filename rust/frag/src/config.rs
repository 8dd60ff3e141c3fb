//! Settings of reassembly, and their limits.
use crate::overlap::OverlapPolicy;
use netfast_time::Duration;
use netfast_wire::LinkType;

/// How fragments are reassembled. Limits of 0 count as 1 unless the field says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassemblyConfig {
    /// What a packet begins with whose [`netfast_buf::HotLine::outer`] does not say where its network header is:
    /// [`LinkType::ETHERNET`] (up to [`crate::MAX_TAGS`] VLAN tags are skipped), anything else is IP.
    pub link: LinkType,
    /// Seed of the tables' hashes; a secret.
    pub seed: u64,
    /// Who wins where IPv4 fragments overlap.
    pub overlap: OverlapPolicy,
    /// The same for IPv6. RFC 8200 4.5 allows [`OverlapPolicy::Drop`] and [`OverlapPolicy::Linux`] only; the others are for
    /// analysis.
    pub overlap_ipv6: OverlapPolicy,
    /// How long an IPv4 datagram waits for its fragments: 30 s, as Linux has it (RFC 791 3.2 says 15 s at least, RFC 1122
    /// 3.3.2 60 to 120 s).
    pub timeout_ipv4: Duration,
    /// How long an IPv6 datagram waits: 60 s (RFC 8200 4.5).
    pub timeout_ipv6: Duration,
    /// Most datagrams that wait at a time. At the limit the oldest goes.
    pub max_datagrams: usize,
    /// Most bytes that waiting datagrams may occupy: the blocks that their fragments keep, not only their bytes, and
    /// [`crate::DATAGRAM_BYTES`] and [`crate::FRAGMENT_BYTES`]. At the limit the oldest goes.
    pub max_memory: usize,
    /// A source may hold at most one in so many of [`ReassemblyConfig::max_datagrams`] and
    /// [`ReassemblyConfig::max_memory`]; beyond, its own oldest goes. 1 lets it have all.
    pub source_share: usize,
    /// Most fragments of one datagram; with one more all are dropped. 8,192 lets every legal datagram pass.
    pub max_fragments: usize,
    /// Where so many other fragments of a source come between two of one IPv4 datagram, or more, the older ones are given up,
    /// as with Linux's `ipfrag_max_dist`; 0 is no limit.
    pub max_disorder: u32,
    /// Whether datagrams expire before the sender's identification can have come round (RFC 4963), by what is seen of the
    /// identifications of each source, destination and protocol.
    pub wrap_safe: bool,
    /// How long after its end a datagram's identification is refused, at most; never longer than it takes to come round.
    /// Zero: not at all.
    pub tombstone: Duration,
    /// Most tombstones; at the limit the oldest goes. 0 is none.
    pub max_tombstones: usize,
    /// Most pairs of source, destination and protocol whose identifications are remembered while no datagram of theirs
    /// waits; at the limit the one longest idle goes.
    pub max_pairs: usize,
    /// Whether the transport checksum of reassembled datagrams is verified. It reads all bytes.
    pub verify_checksum: bool,
    /// Whether fragments with a wrong IPv4 header checksum are dropped, as hosts do. Captures of senders that leave it to
    /// their network cards, or whose addresses were changed afterwards, have such headers throughout.
    pub verify_header: bool,
    /// Fragments that are not the last and have fewer bytes of data are noted as excessively small: 64, as in Zeek.
    pub min_fragment: u32,
    /// Whether a fragment in a block of more than [`crate::LARGE_BLOCK`] bytes keeps it (a mapped file, a capture that is in
    /// memory anyway) and counts by its length; otherwise it is copied.
    pub pin_large_blocks: bool,
    /// Most events that wait for [`crate::Reassembler::poll_event`]; more are lost and counted. 0 is none.
    pub max_events: usize,
    /// Whether a completed datagram is an event.
    pub report_completed: bool,
    /// Most dropped fragments that wait for [`crate::Reassembler::poll_dropped`]; more are recycled. 0 is none.
    pub max_dropped: usize,
}

impl Default for ReassemblyConfig {
    fn default() -> Self {
        Self {
            link: LinkType::ETHERNET,
            seed: 0,
            overlap: OverlapPolicy::Drop,
            overlap_ipv6: OverlapPolicy::Drop,
            timeout_ipv4: Duration::from_secs(30),
            timeout_ipv6: Duration::from_secs(60),
            max_datagrams: 1 << 14,
            max_memory: 1 << 26,
            source_share: 8,
            max_fragments: 8_192,
            max_disorder: 64,
            wrap_safe: true,
            tombstone: Duration::from_secs(1),
            max_tombstones: 1 << 13,
            max_pairs: 1 << 12,
            verify_checksum: true,
            verify_header: false,
            min_fragment: 64,
            pin_large_blocks: false,
            max_events: 1 << 12,
            report_completed: false,
            max_dropped: 0,
        }
    }
}
