//! What can be the matter with a fragment or a datagram; the vocabulary is Zeek's where it has a word.
use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// Why a fragment or a datagram was dropped, or what was noted about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum FragmentReason {
            $($(#[$doc])* $variant,)+
        }

        impl FragmentReason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in tables and events.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

reasons! {
    /// Fragments of one datagram overlap with the same bytes (RFC 5722).
    Overlap = "overlap";
    /// Fragments of one datagram overlap with different bytes.
    Inconsistency = "inconsistency";
    /// Two different ends, or data beyond the end.
    SizeInconsistency = "size_inconsistency";
    /// The fragment says "don't fragment". Noted; Linux sends such ones where the path MTU may not change.
    WithDf = "with_df";
    /// A fragment that is not the last is smaller than [`crate::ReassemblyConfig::min_fragment`]. Noted.
    ExcessivelySmall = "excessively_small";
    /// The datagram would be longer than 65,535 bytes (RFC 8200 4.5).
    ExcessivelyLarge = "excessively_large";
    /// IPv6 fragments of one datagram say different next headers. Noted; the first fragment's counts (RFC 8200 4.5).
    ProtocolInconsistency = "protocol_inconsistency";
    /// The others did not come in time.
    Timeout = "timeout";
    /// The identification may have come round before the others came (RFC 4963).
    Wraparound = "wraparound";
    /// More fragments of the source came in between than [`crate::ReassemblyConfig::max_disorder`].
    Disorder = "disorder";
    /// Oldest of the table or of its source when a limit on memory or datagrams was reached, or no room at all.
    Limit = "limit";
    /// The datagram has more fragments than [`crate::ReassemblyConfig::max_fragments`].
    TooManyFragments = "too_many_fragments";
    /// Its datagram was completed or given up a moment ago.
    Tombstone = "tombstone";
    /// The very fragment was there already; in policies that resolve overlaps, nothing of it is used.
    Duplicate = "duplicate";
    /// Not the last fragment, and its length is no multiple of 8 (RFC 791 3.2, RFC 8200 4.5).
    BadLength = "bad_length";
    /// A fragment without data.
    ZeroLength = "zero_length";
    /// The IP header says more than there is, or less than itself.
    Truncated = "truncated";
    /// The IPv4 header checksum is wrong (RFC 1122 3.2.1.2).
    BadChecksum = "bad_checksum";
    /// A first fragment without the whole chain of headers (RFC 7112).
    HeaderChainIncomplete = "header_chain_incomplete";
    /// A fragment header in a jumbogram (RFC 2675 3).
    Jumbogram = "jumbogram";
    /// Fragment headers nested deeper than [`crate::MAX_NESTED`].
    TooDeep = "too_deep";
    /// Congestion was marked on some fragments while others are not of a transport that knows marks (RFC 3168 5.3).
    BadEcn = "bad_ecn";
    /// The transport checksum of a reassembled datagram is wrong: it may be made of two (RFC 4963). Noted; it is
    /// delivered and marked [`netfast_buf::ChecksumState::Bad`].
    SuspectedMisassociation = "suspected_misassociation";
}

/// How many reasons there are.
pub(crate) const REASONS: usize = FragmentReason::ALL.len();

impl fmt::Display for FragmentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
