//! Why a message of ARP or neighbour discovery is not taken.
use thiserror::Error;

/// Why a message of ARP or neighbour discovery is not taken (RFC 826, RFC 4861 7.1, RFC 6980).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageError {
    /// It ends before what it has to hold.
    #[error("the message ends before its fixed fields")]
    Truncated,
    /// An ARP message for another kind of link or network than Ethernet and IPv4.
    #[error("the ARP message is not of IPv4 over Ethernet")]
    Kind,
    /// An ARP operation that is neither request nor reply.
    #[error("the ARP operation is neither request (1) nor reply (2)")]
    Operation,
    /// The sender's link address is a group's or zero.
    #[error("the sender's link address is a group or zero")]
    LinkAddress,
    /// The sender's address is one that no node has.
    #[error("the source address is multicast, broadcast or loopback")]
    Source,
    /// What is asked or told about is no node: multicast, broadcast, loopback or unspecified.
    #[error("the target is no unicast address")]
    Target,
    /// The hop limit is not 255: it came through a router.
    #[error("the hop limit is not 255: the message may come from beyond the link")]
    HopLimit,
    /// The checksum is wrong.
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// The code is not 0.
    #[error("the ICMPv6 code is not 0")]
    Code,
    /// An option of length 0, or one that goes beyond the message.
    #[error("an option has length 0 or goes beyond the message")]
    Option,
    /// It came in fragments.
    #[error("neighbour discovery must not come in fragments")]
    Fragment,
    /// A solicitation from the unspecified address that is not to a solicited-node group, or that has a source link-layer
    /// address.
    #[error("a solicitation from :: goes to a solicited-node group and tells no link address")]
    Unspecified,
    /// An advertisement to a group that says that it was solicited.
    #[error("an advertisement to a group says that it was solicited")]
    SolicitedToGroup,
}

impl MessageError {
    /// Every reason, in the order of its number.
    pub const ALL: &[Self] = &[
        Self::Truncated,
        Self::Kind,
        Self::Operation,
        Self::LinkAddress,
        Self::Source,
        Self::Target,
        Self::HopLimit,
        Self::Checksum,
        Self::Code,
        Self::Option,
        Self::Fragment,
        Self::Unspecified,
        Self::SolicitedToGroup,
    ];

    /// Its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Kind => "kind",
            Self::Operation => "operation",
            Self::LinkAddress => "link_address",
            Self::Source => "source",
            Self::Target => "target",
            Self::HopLimit => "hop_limit",
            Self::Checksum => "checksum",
            Self::Code => "code",
            Self::Option => "option",
            Self::Fragment => "fragment",
            Self::Unspecified => "unspecified",
            Self::SolicitedToGroup => "solicited_to_group",
        }
    }
}
