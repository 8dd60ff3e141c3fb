//! Why packets are dropped: a dense enum with a counter each; text only where it is shown.
use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $about:literal;)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason as programs, JSON and captures name it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// One sentence for people.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)+
                }
            }
        }
    };
}

reasons! {
    /// The port does not exist.
    UnknownPort "unknown_port" "The port does not exist.";
    /// The frame was sent to another node's link address.
    OtherHost "other_host" "The frame was sent to another link address than the port's.";
    /// The port has no sub-interface for the frame's VLAN.
    UnknownVlan "unknown_vlan" "The port has no sub-interface for the frame's VLAN.";
    /// Neither IP nor ARP.
    UnknownProtocol "unknown_protocol" "The frame holds neither IP nor ARP.";
    /// A header that says what cannot be.
    Malformed "malformed" "A header says what cannot be, or the packet ends within one.";
    /// The capture cut the packet within its headers.
    Truncated "truncated" "The capture cut the packet: bytes of it are missing.";
    /// The checksum of the IPv4 header is wrong (RFC 1812 5.2.2).
    HeaderChecksum "header_checksum" "The checksum of the IPv4 header is wrong.";
    /// More extension headers or tags than the limits.
    TooManyHeaders "too_many_headers" "More tags or extension headers than the limits allow.";
    /// An IPv4 source route (RFC 7126 4.3, 4.4).
    SourceRoute "source_route" "IPv4 source routes are not followed.";
    /// A hop-by-hop option that nobody knows, and that says so is to be dropped (RFC 8200 4.2).
    UnknownOption "unknown_option" "An IPv6 hop-by-hop option is not known, and says that the packet is to be dropped then.";
    /// A source address that no packet from outside may have (RFC 1812 5.3.7, RFC 4291 2.7).
    MartianSource "martian_source" "The source address cannot be: multicast, loopback, unspecified, or this node's own.";
    /// A destination address that is not forwarded (RFC 1812 5.3.7).
    MartianDestination "martian_destination" "The destination address cannot be reached from outside: loopback, unspecified, or reserved.";
    /// The way back to the source does not lead through the port (RFC 3704).
    ReversePath "reverse_path" "The way back to the source does not lead through the port that the packet came from.";
    /// No route to the destination.
    NoRoute "no_route" "No route leads to the destination.";
    /// A route of type unreachable.
    Unreachable "unreachable" "The route's type is unreachable.";
    /// A route of type prohibit.
    Prohibited "prohibited" "The route's type is prohibit.";
    /// A route of type blackhole.
    Blackhole "blackhole" "The route's type is blackhole.";
    /// The route's next hops are all unresolved or their ports gone.
    NoNextHop "no_next_hop" "The route has no next hop whose port is there.";
    /// The hop limit was used up.
    HopLimit "hop_limit" "The hop limit (time to live) was used up.";
    /// Longer than the next port's MTU and not to be fragmented.
    TooBig "too_big" "The packet is longer than the MTU of the port that it would leave by.";
    /// A broadcast to a connected network (RFC 2644), which is off.
    DirectedBroadcast "directed_broadcast" "Directed broadcasts are not forwarded.";
    /// A multicast or limited broadcast that nobody routes.
    Multicast "multicast" "Multicast and limited broadcast packets are not forwarded.";
    /// An address of link-local scope is not forwarded (RFC 4291 2.5.6).
    LinkScope "link_scope" "Packets from or to link-local addresses are not forwarded.";
    /// A drop of a rule.
    Rule "rule" "A rule said drop.";
    /// A reject of a rule.
    Reject "reject" "A rule said reject.";
    /// The policy of a base chain.
    Policy "policy" "The policy of a base chain is drop.";
    /// The new-flow hook, or its failure policy.
    Hook "hook" "The hook for new flows, or the policy for its failure, said drop.";
    /// The table of connections is full of connections that are worth more.
    TableFull "table_full" "The table of connections is full.";
    /// A rule translates to a port's address, and the port has none of the packet's family.
    NoAddress "no_address" "The port that a rule translates to has no address of the packet's family.";
    /// No address and port is left for a translation.
    NatExhausted "nat_exhausted" "No address and port is left to translate to.";
    /// A fragment came before its first, and too many wait already.
    FragmentQueue "fragment_queue" "Too many fragments wait for the first of their datagram.";
    /// The first fragment, or one of those that are put together, did not come in time.
    FragmentTimeout "fragment_timeout" "Fragments of the datagram that it waited for did not come in time.";
    /// Fragments of one datagram overlap (RFC 5722).
    FragmentOverlap "fragment_overlap" "Fragments of one datagram overlap.";
    /// Fragments of one datagram overlap and say different things.
    FragmentInconsistency "fragment_inconsistency" "Fragments of one datagram overlap with different bytes.";
    /// Fragments of one datagram have different ends.
    FragmentSizeInconsistency "fragment_size_inconsistency" "Fragments of one datagram have different ends, or go beyond its end.";
    /// The datagram would be longer than 65,535 bytes (RFC 791 3.2, RFC 8200 4.5).
    FragmentExcessivelyLarge "fragment_excessively_large" "The datagram would be longer than 65,535 bytes.";
    /// The identification may have come round before all fragments came (RFC 4963).
    FragmentWraparound "fragment_wraparound" "The identification may have come round before the other fragments came.";
    /// Too many fragments of the source came in between.
    FragmentDisorder "fragment_disorder" "Too many fragments of the source came between two of the datagram.";
    /// The oldest of those that wait, at a limit of datagrams or memory, or no room for it at all.
    FragmentLimit "fragment_limit" "Too many datagrams, or too many bytes of them, wait for fragments.";
    /// More fragments of one datagram than the limit.
    TooManyFragments "too_many_fragments" "The datagram has more fragments than the limit allows.";
    /// The datagram ended a moment ago.
    FragmentTombstone "fragment_tombstone" "The fragment's datagram was whole or given up a moment ago.";
    /// The fragment was there already.
    FragmentDuplicate "fragment_duplicate" "The very fragment was there already.";
    /// Not the last fragment, and no multiple of eight bytes (RFC 791 3.2, RFC 8200 4.5).
    FragmentBadLength "fragment_bad_length" "The fragment is not the last, and its length is no multiple of eight.";
    /// A fragment without data.
    FragmentZeroLength "fragment_zero_length" "The fragment holds no data.";
    /// A first fragment without the whole chain of headers (RFC 7112).
    FragmentHeaderChain "fragment_header_chain" "The first fragment does not hold all headers.";
    /// A fragment header in a jumbogram (RFC 2675 3).
    FragmentJumbogram "fragment_jumbogram" "A jumbogram has a fragment header.";
    /// Congestion marks that cannot be joined (RFC 3168 5.3).
    FragmentBadEcn "fragment_bad_ecn" "Some fragments have congestion marks, others are of a transport that knows none.";
    /// The checksum of a whole datagram is wrong (RFC 4963).
    FragmentMisassociation "fragment_misassociation" "The datagram may be made of fragments of two.";
    /// A super-packet that cannot be cut, or a checksum that cannot be filled in.
    Offload "offload" "The super-packet cannot be cut, or its checksum cannot be filled in.";
    /// Too many packets wait for the next hop's link address.
    NeighbourQueue "neighbour_queue" "Too many packets wait for the link address of the next hop.";
    /// The link address of the next hop was not told in time.
    NeighbourTimeout "neighbour_timeout" "The link address of the next hop was not told in time.";
    /// A message of ARP or neighbour discovery that no node may take (RFC 826, RFC 4861 7.1, RFC 6980).
    NeighbourMessage "neighbour_message" "The message of ARP or neighbour discovery is not valid.";
    /// It asks for, or tells of, an address that this node has no interest in.
    NeighbourOther "neighbour_other" "The message about a neighbour concerns neither this node nor one that it knows.";
    /// More solicitations than are answered.
    NeighbourLimit "neighbour_limit" "More solicitations came than the node answers.";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Packets dropped, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounts([u64; DropReason::COUNT]);

impl Default for DropCounts {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl DropCounts {
    pub(crate) fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Packets dropped for one reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Packets dropped for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Reasons that occurred, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .zip(self.0)
            .map(|(&reason, count)| (reason, count))
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_list_and_names_differ() {
        assert!(DropReason::ALL.iter().enumerate().all(|(number, &reason)| reason as usize == number));
        let names: std::collections::HashSet<_> =
            DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
    }
}
