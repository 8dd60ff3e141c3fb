//! What rules can look at, and the types of values.
//!
//! Every field has a width in bits and a type, which says how its values are written.

/// The family of a table: which packets its chains see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
}

/// Types of values, as nft(8) names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// A plain number of so many bits.
    Integer(u8),
    /// `ipv4_addr`.
    Ipv4Addr,
    /// `ipv6_addr`.
    Ipv6Addr,
    /// `ether_addr`.
    EtherAddr,
    /// `ether_type`.
    EtherType,
    /// `inet_service`: a port.
    InetService,
    /// `inet_proto`: an upper-layer protocol.
    InetProto,
    /// `mark`.
    Mark,
    /// `ifname`: 16 bytes, padded with zeros.
    IfName,
    /// `iface_index`; kept as the name, like `ifname`.
    IfIndex,
    /// `icmp_type`.
    IcmpType,
    /// `icmp_code`.
    IcmpCode,
    /// `icmpv6_type`.
    Icmpv6Type,
    /// `icmpv6_code`.
    Icmpv6Code,
    /// `tcp_flag`.
    TcpFlag,
    /// `dccp_pkttype`.
    DccpType,
    /// `dscp`.
    Dscp,
    /// `ecn`.
    Ecn,
    /// `nf_proto`: 2 IPv4, 10 IPv6.
    NfProto,
    /// `pkt_type`: 0 host, 1 broadcast, 2 multicast, 3 other.
    PacketType,
    /// `ct_state`: bits 1 invalid, 2 established, 4 related, 8 new, 64 untracked.
    CtState,
    /// `ct_dir`: 0 original, 1 reply.
    CtDirection,
    /// `ct_status`: bits 1 expected, 2 seen-reply, 4 assured, 8 confirmed, 16 snat, 32 dnat, 512 dying.
    CtStatus,
    /// `fib_addrtype`: 1 unicast, 2 local, 3 broadcast, 4 anycast, 5 multicast, 6 blackhole, 7 unreachable, 8 prohibit.
    FibAddrType,
    /// `boolean`: 1 exists, 0 missing.
    Boolean,
    /// Relative time; the value is in milliseconds.
    Time,
    /// The owner of a process: a number, or `root`.
    Owner,
    /// A group of ports: a number, or `default`.
    DeviceGroup,
}

/// Transport headers with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `th`: whichever the packet has.
    Any,
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
    /// `udplite`.
    UdpLite,
    /// `sctp`.
    Sctp,
    /// `dccp`.
    Dccp,
}

/// IPv6 extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionHeader {
    /// `hbh`: hop-by-hop options.
    HopByHop,
    /// `rt`: routing.
    Routing,
    /// `frag`: fragment.
    Fragment,
    /// `dst`: destination options.
    DestinationOptions,
    /// `mh`: mobility.
    Mobility,
}

/// A part of one of the two tuples of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TuplePart {
    /// `l3proto`, 8 bits: 2 IPv4, 10 IPv6.
    L3Proto,
    /// `protocol`, 8 bits.
    Protocol,
    /// `ip saddr`, 32 bits.
    SourceIp,
    /// `ip daddr`, 32 bits.
    DestinationIp,
    /// `ip6 saddr`, 128 bits.
    SourceIp6,
    /// `ip6 daddr`, 128 bits.
    DestinationIp6,
    /// `proto-src`, 16 bits.
    SourcePort,
    /// `proto-dst`, 16 bits.
    DestinationPort,
}

/// Which way a tuple goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TupleDirection {
    /// As the first packet.
    Original,
    /// As its answer.
    Reply,
}

/// A question to the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FibQuery {
    /// Asks about the destination address (`daddr`), else about the source address (`saddr`).
    pub destination: bool,
    /// `mark`: with the packet's mark.
    pub mark: bool,
    /// `iif`: only by the port that the packet came from.
    pub iif: bool,
    /// `oif`: only by the port that the packet leaves from.
    pub oif: bool,
    /// What is asked for.
    pub result: FibResult,
}

/// What is asked of the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FibResult {
    /// `oif`: whether there is a route, 1 or 0.
    Exists,
    /// `type`: the type of the address.
    AddressType,
}

/// What a rule can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `ether saddr`.
    EtherSource,
    /// `ether daddr`.
    EtherDestination,
    /// `ether type`.
    EtherType,
    /// `ip version`, 4 bits.
    IpVersion,
    /// `ip hdrlength`, 4 bits, in units of 4 bytes.
    IpHeaderLength,
    /// `ip dscp`.
    IpDscp,
    /// `ip ecn`.
    IpEcn,
    /// `ip length`, in bytes.
    IpLength,
    /// `ip id`.
    IpId,
    /// `ip frag-off`: flags and offset, 16 bits.
    IpFragmentOffset,
    /// `ip ttl`.
    IpTtl,
    /// `ip protocol`.
    IpProtocol,
    /// `ip checksum`.
    IpChecksum,
    /// `ip saddr`.
    IpSource,
    /// `ip daddr`.
    IpDestination,
    /// `ip6 version`, 4 bits.
    Ip6Version,
    /// `ip6 dscp`.
    Ip6Dscp,
    /// `ip6 ecn`.
    Ip6Ecn,
    /// `ip6 flowlabel`, 20 bits.
    Ip6FlowLabel,
    /// `ip6 length`: of the payload, in bytes.
    Ip6Length,
    /// `ip6 nexthdr`: of the fixed header.
    Ip6NextHeader,
    /// `ip6 hoplimit`.
    Ip6HopLimit,
    /// `ip6 saddr`.
    Ip6Source,
    /// `ip6 daddr`.
    Ip6Destination,
    /// `exthdr … exists`: 1 or 0.
    ExtensionHeaderExists(ExtensionHeader),
    /// `frag nexthdr`.
    FragNextHeader,
    /// `frag frag-off`, 13 bits, in units of 8 bytes.
    FragOffset,
    /// `frag more-fragments`, 1 bit.
    FragMoreFragments,
    /// `frag id`, 32 bits.
    FragId,
    /// `rt nexthdr`.
    RtNextHeader,
    /// `rt hdrlength`, in units of 8 bytes without the first.
    RtHeaderLength,
    /// `rt type`.
    RtType,
    /// `rt seg-left`.
    RtSegmentsLeft,
    /// `sport`.
    SourcePort(Transport),
    /// `dport`.
    DestinationPort(Transport),
    /// `tcp sequence`.
    TcpSequence,
    /// `tcp ackseq`.
    TcpAcknowledgement,
    /// `tcp doff`, 4 bits, in units of 4 bytes.
    TcpDataOffset,
    /// `tcp flags`.
    TcpFlags,
    /// `tcp window`.
    TcpWindow,
    /// `tcp checksum`.
    TcpChecksum,
    /// `tcp urgptr`.
    TcpUrgentPointer,
    /// `udp length`.
    UdpLength,
    /// `udp checksum`.
    UdpChecksum,
    /// `udplite csumcov`.
    UdpLiteCoverage,
    /// `udplite checksum`.
    UdpLiteChecksum,
    /// `sctp vtag`.
    SctpVerificationTag,
    /// `sctp checksum`.
    SctpChecksum,
    /// `dccp type`, 4 bits.
    DccpType,
    /// `icmp type`.
    IcmpType,
    /// `icmp code`.
    IcmpCode,
    /// `icmp checksum`.
    IcmpChecksum,
    /// `icmp id`.
    IcmpId,
    /// `icmp sequence`.
    IcmpSequence,
    /// `icmp mtu`.
    IcmpMtu,
    /// `icmp gateway`, 32 bits.
    IcmpGateway,
    /// `icmpv6 type`.
    Icmpv6Type,
    /// `icmpv6 code`.
    Icmpv6Code,
    /// `icmpv6 checksum`.
    Icmpv6Checksum,
    /// `icmpv6 id`.
    Icmpv6Id,
    /// `icmpv6 sequence`.
    Icmpv6Sequence,
    /// `icmpv6 mtu`, 32 bits.
    Icmpv6Mtu,
    /// `icmpv6 parameter-problem`, 32 bits.
    Icmpv6Pointer,
    /// `icmpv6 max-delay`, 16 bits.
    Icmpv6MaxDelay,
    /// `meta iif`: by name.
    Iif,
    /// `meta oif`: by name.
    Oif,
    /// `meta iifname`.
    IifName,
    /// `meta oifname`.
    OifName,
    /// `meta l4proto`: behind extension headers.
    L4Proto,
    /// `meta nfproto`.
    NfProto,
    /// `meta protocol`: the EtherType.
    Protocol,
    /// `meta mark`.
    Mark,
    /// `meta length`: from the IP header on, in bytes.
    Length,
    /// `meta pkttype`.
    PacketType,
    /// `ct state`.
    CtState,
    /// `ct direction`.
    CtDirection,
    /// `ct status`.
    CtStatus,
    /// `ct mark`.
    CtMark,
    /// `ct expiration`: what is left, in milliseconds.
    CtExpiration,
    /// `ct original …`, `ct reply …`.
    CtTuple(TupleDirection, TuplePart),
    /// `fib …`.
    Fib(FibQuery),
    /// `meta skuid`: packets of a node come from no process.
    SocketUser,
    /// `meta skgid`.
    SocketGroup,
    /// `meta cgroup`.
    ControlGroup,
    /// `iifgroup`: ports of a node are in the default group.
    IifGroup,
    /// `oifgroup`.
    OifGroup,
    /// `tcp option`.
    TcpOption(TcpOption),
}

/// An option of TCP segments (RFC 9293 section 3.1), and what of it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpOption {
    /// Its kind, as IANA numbers them.
    pub kind: u8,
    /// What of it.
    pub part: OptionPart,
}

/// A part of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionPart {
    /// Whether it is there at all.
    Exists,
    /// A number.
    Bytes {
        /// Where it begins, from the option's kind on.
        at: u8,
        /// How many bytes it has, at most 8.
        length: u8,
    },
}

impl TcpOption {
    /// The size of `tcp option maxseg size`.
    pub const MAX_SEGMENT: Self = Self { kind: 2, part: OptionPart::Bytes { at: 2, length: 2 } };
}

impl DataType {
    /// How wide values are, in bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Integer(bits) => bits,
            Self::Boolean => 1,
            Self::Ecn => 2,
            Self::DccpType => 4,
            Self::Dscp => 6,
            Self::InetProto
            | Self::IcmpType
            | Self::IcmpCode
            | Self::Icmpv6Type
            | Self::Icmpv6Code
            | Self::TcpFlag
            | Self::NfProto
            | Self::PacketType
            | Self::CtDirection => 8,
            Self::EtherType | Self::InetService => 16,
            Self::Ipv4Addr
            | Self::Mark
            | Self::CtState
            | Self::CtStatus
            | Self::FibAddrType
            | Self::Time
            | Self::Owner
            | Self::DeviceGroup => 32,
            Self::EtherAddr => 48,
            Self::Ipv6Addr | Self::IfName | Self::IfIndex => 128,
        }
    }

    /// The largest value.
    #[must_use]
    pub const fn max(self) -> u128 {
        u128::MAX >> (128 - self.bits() as u32)
    }

    /// Whether values are sets of bits, so that a comparison without operator asks for any of them.
    #[must_use]
    pub const fn is_bitmask(self) -> bool {
        matches!(self, Self::TcpFlag | Self::CtState | Self::CtStatus)
    }
}

impl Field {
    /// How wide it is, in bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.data_type().bits()
    }

    /// The type of its values.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        use DataType as T;
        match self {
            Self::EtherSource | Self::EtherDestination => T::EtherAddr,
            Self::EtherType | Self::Protocol => T::EtherType,
            Self::FragMoreFragments => T::Integer(1),
            Self::IpVersion | Self::IpHeaderLength | Self::Ip6Version | Self::TcpDataOffset => T::Integer(4),
            Self::RtHeaderLength | Self::RtType | Self::RtSegmentsLeft => T::Integer(8),
            Self::FragOffset => T::Integer(13),
            Self::IpLength
            | Self::IpId
            | Self::IpFragmentOffset
            | Self::IpChecksum
            | Self::Ip6Length
            | Self::TcpWindow
            | Self::TcpChecksum
            | Self::TcpUrgentPointer
            | Self::UdpLength
            | Self::UdpChecksum
            | Self::UdpLiteCoverage
            | Self::UdpLiteChecksum
            | Self::IcmpChecksum
            | Self::IcmpId
            | Self::IcmpSequence
            | Self::IcmpMtu
            | Self::Icmpv6Checksum
            | Self::Icmpv6Id
            | Self::Icmpv6Sequence
            | Self::Icmpv6MaxDelay => T::Integer(16),
            Self::Ip6FlowLabel => T::Integer(20),
            Self::FragId
            | Self::TcpSequence
            | Self::TcpAcknowledgement
            | Self::SctpVerificationTag
            | Self::SctpChecksum
            | Self::IcmpGateway
            | Self::Icmpv6Mtu
            | Self::Icmpv6Pointer
            | Self::Length => T::Integer(32),
            Self::IpTtl | Self::Ip6HopLimit => T::Integer(8),
            Self::IpDscp | Self::Ip6Dscp => T::Dscp,
            Self::IpEcn | Self::Ip6Ecn => T::Ecn,
            Self::IpProtocol
            | Self::Ip6NextHeader
            | Self::FragNextHeader
            | Self::RtNextHeader
            | Self::L4Proto => T::InetProto,
            Self::IpSource | Self::IpDestination => T::Ipv4Addr,
            Self::Ip6Source | Self::Ip6Destination => T::Ipv6Addr,
            Self::ExtensionHeaderExists(_) => T::Boolean,
            Self::SourcePort(_) | Self::DestinationPort(_) => T::InetService,
            Self::TcpFlags => T::TcpFlag,
            Self::DccpType => T::DccpType,
            Self::IcmpType => T::IcmpType,
            Self::IcmpCode => T::IcmpCode,
            Self::Icmpv6Type => T::Icmpv6Type,
            Self::Icmpv6Code => T::Icmpv6Code,
            Self::Iif | Self::Oif => T::IfIndex,
            Self::IifName | Self::OifName => T::IfName,
            Self::SocketUser | Self::SocketGroup => T::Owner,
            Self::ControlGroup => T::Integer(32),
            Self::IifGroup | Self::OifGroup => T::DeviceGroup,
            Self::NfProto => T::NfProto,
            Self::Mark | Self::CtMark => T::Mark,
            Self::PacketType => T::PacketType,
            Self::CtState => T::CtState,
            Self::CtDirection => T::CtDirection,
            Self::CtStatus => T::CtStatus,
            Self::CtExpiration => T::Time,
            Self::TcpOption(TcpOption { part: OptionPart::Exists, .. }) => T::Boolean,
            Self::TcpOption(TcpOption { part: OptionPart::Bytes { length, .. }, .. }) => {
                T::Integer(8 * length)
            }
            Self::CtTuple(_, part) => part.data_type(),
            Self::Fib(query) => match query.result {
                FibResult::Exists => T::Boolean,
                FibResult::AddressType => T::FibAddrType,
            },
        }
    }
}

impl Field {
    /// Whether nft 1.0.6 compares it rightly within concatenations: it does not shift parts of bytes there, nor turn
    /// the bytes of lengths.
    #[must_use]
    pub const fn fits_concatenation(self) -> bool {
        self.bits().is_multiple_of(8) && !matches!(self, Self::Length)
    }

    /// Whether it is a port of whichever protocol the packet has.
    #[must_use]
    pub const fn is_any_port(self) -> bool {
        matches!(self, Self::SourcePort(Transport::Any) | Self::DestinationPort(Transport::Any))
    }
}

impl TableFamily {
    /// As it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        }
    }
}

impl TuplePart {
    /// Whether it is a port, so that the protocol has to be known.
    #[must_use]
    pub const fn is_port(self) -> bool {
        matches!(self, Self::SourcePort | Self::DestinationPort)
    }

    /// The type of its values.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::L3Proto => DataType::NfProto,
            Self::Protocol => DataType::InetProto,
            Self::SourceIp | Self::DestinationIp => DataType::Ipv4Addr,
            Self::SourceIp6 | Self::DestinationIp6 => DataType::Ipv6Addr,
            Self::SourcePort | Self::DestinationPort => DataType::InetService,
        }
    }
}

/// The number that stands for an interface name: its bytes, padded with zeros to 16, in order.
#[must_use]
pub fn interface_number(name: &str) -> u128 {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    u128::from_be_bytes(bytes)
}
