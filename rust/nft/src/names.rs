//! Names of values, as nft(8) knows them, and the words that it keeps for itself.
//!
//! Ports and protocols have the names of IANA's registries. nft takes them from the host's files, so the tables here hold
//! those that Debian and other systems agree on; for anything else the number has to be written.
use crate::field::{DataType, ExtensionHeader, Field, Transport};

/// Names and values. Where a value has several names, the first is printed.
type Names = &'static [(&'static str, u32)];

#[rustfmt::skip]
const ICMP_TYPES: Names = &[
    ("echo-reply", 0), ("destination-unreachable", 3), ("source-quench", 4), ("redirect", 5), ("echo-request", 8),
    ("router-advertisement", 9), ("router-solicitation", 10), ("time-exceeded", 11), ("parameter-problem", 12),
    ("timestamp-request", 13), ("timestamp-reply", 14), ("info-request", 15), ("info-reply", 16),
    ("address-mask-request", 17), ("address-mask-reply", 18),
];
#[rustfmt::skip]
const ICMP_CODES: Names = &[
    ("net-unreachable", 0), ("host-unreachable", 1), ("prot-unreachable", 2), ("port-unreachable", 3),
    ("frag-needed", 4), ("net-prohibited", 9), ("host-prohibited", 10), ("admin-prohibited", 13),
];
#[rustfmt::skip]
const ICMPV6_TYPES: Names = &[
    ("destination-unreachable", 1), ("packet-too-big", 2), ("time-exceeded", 3), ("parameter-problem", 4),
    ("echo-request", 128), ("echo-reply", 129), ("mld-listener-query", 130), ("mld-listener-report", 131),
    ("mld-listener-done", 132), ("mld-listener-reduction", 132), ("nd-router-solicit", 133), ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135), ("nd-neighbor-advert", 136), ("nd-redirect", 137), ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141), ("ind-neighbor-advert", 142), ("mld2-listener-report", 143),
];
#[rustfmt::skip]
const ICMPV6_CODES: Names = &[
    ("no-route", 0), ("admin-prohibited", 1), ("addr-unreachable", 3), ("port-unreachable", 4), ("policy-fail", 5),
    ("reject-route", 6),
];
/// Codes of `reject with icmpx`.
pub(crate) const ICMPX_CODES: Names =
    &[("no-route", 0), ("port-unreachable", 1), ("host-unreachable", 2), ("admin-prohibited", 3)];
#[rustfmt::skip]
const TCP_FLAGS: Names = &[
    ("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128),
];
#[rustfmt::skip]
const DCCP_TYPES: Names = &[
    ("request", 0), ("response", 1), ("data", 2), ("ack", 3), ("dataack", 4), ("closereq", 5), ("close", 6),
    ("reset", 7), ("sync", 8), ("syncack", 9),
];
#[rustfmt::skip]
const DSCP: Names = &[
    ("cs0", 0), ("cs1", 8), ("cs2", 16), ("cs3", 24), ("cs4", 32), ("cs5", 40), ("cs6", 48), ("cs7", 56), ("df", 0),
    ("be", 0), ("lephb", 1), ("af11", 10), ("af12", 12), ("af13", 14), ("af21", 18), ("af22", 20), ("af23", 22),
    ("af31", 26), ("af32", 28), ("af33", 30), ("af41", 34), ("af42", 36), ("af43", 38), ("va", 44), ("ef", 46),
];
const ECN: Names = &[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)];
const ETHER_TYPES: Names = &[
    ("ip", 0x800),
    ("arp", 0x806),
    ("ip6", 0x86dd),
    ("8021q", 0x8100),
    ("8021ad", 0x88a8),
    ("vlan", 0x8100),
];
const NF_PROTO: Names = &[("ipv4", 2), ("ipv6", 10)];
const PACKET_TYPES: Names = &[("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)];
const CT_STATES: Names = &[("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];
const CT_DIRECTIONS: Names = &[("original", 0), ("reply", 1)];
#[rustfmt::skip]
const CT_STATUS: Names = &[
    ("expected", 1), ("seen-reply", 2), ("assured", 4), ("confirmed", 8), ("snat", 16), ("dnat", 32), ("dying", 512),
];
#[rustfmt::skip]
const FIB_ADDRESS_TYPES: Names = &[
    ("unspec", 0), ("unicast", 1), ("local", 2), ("broadcast", 3), ("anycast", 4), ("multicast", 5), ("blackhole", 6),
    ("unreachable", 7), ("prohibit", 8),
];
const BOOLEANS: Names = &[("exists", 1), ("missing", 0)];
/// Levels of `log`, in the order of [`crate::ast::LogLevel`].
pub(crate) const LOG_LEVELS: [&str; 9] =
    ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];

/// Options of TCP that have names.
pub(crate) const TCP_OPTIONS: &[(&str, u8)] = &[
    ("eol", 0),
    ("nop", 1),
    ("maxseg", 2),
    ("window", 3),
    ("sack-perm", 4),
    ("sack", 5),
    ("timestamp", 8),
    ("md5sig", 19),
    ("mptcp", 30),
    ("fastopen", 34),
];

/// Parts of them: kind, name, where it begins, bytes. All but the first two have the first one, too.
pub(crate) const TCP_OPTION_PARTS: &[(u8, &str, u8, u8)] = &[
    (2, "size", 2, 2),
    (3, "count", 2, 1),
    (5, "left", 2, 4),
    (5, "right", 6, 4),
    (8, "tsval", 2, 4),
    (8, "tsecr", 6, 4),
];

/// IANA's protocol numbers.
#[rustfmt::skip]
const PROTOCOLS: Names = &[
    ("ip", 0), ("icmp", 1), ("igmp", 2), ("ggp", 3), ("ipencap", 4), ("st", 5), ("tcp", 6), ("egp", 8), ("igp", 9),
    ("pup", 12), ("udp", 17), ("hmp", 20), ("xns-idp", 22), ("rdp", 27), ("iso-tp4", 29), ("dccp", 33), ("xtp", 36),
    ("ddp", 37), ("idpr-cmtp", 38), ("ipv6", 41), ("ipv6-route", 43), ("ipv6-frag", 44), ("idrp", 45), ("rsvp", 46),
    ("gre", 47), ("esp", 50), ("ah", 51), ("skip", 57), ("ipv6-icmp", 58), ("icmpv6", 58), ("ipv6-nonxt", 59),
    ("ipv6-opts", 60), ("rspf", 73), ("vmtp", 81), ("eigrp", 88), ("ospf", 89), ("ax.25", 93), ("ipip", 94),
    ("etherip", 97), ("encap", 98), ("pim", 103), ("ipcomp", 108), ("comp", 108), ("vrrp", 112), ("l2tp", 115),
    ("isis", 124), ("sctp", 132), ("fc", 133), ("mobility-header", 135), ("udplite", 136), ("mpls-in-ip", 137),
    ("manet", 138), ("hip", 139), ("shim6", 140), ("wesp", 141), ("rohc", 142), ("ethernet", 143),
];

/// Ports that IANA's registry and the usual `/etc/services` name alike.
#[rustfmt::skip]
const SERVICES: Names = &[
    ("echo", 7), ("discard", 9), ("daytime", 13), ("chargen", 19), ("ftp-data", 20), ("ftp", 21), ("ssh", 22),
    ("telnet", 23), ("smtp", 25), ("time", 37), ("whois", 43), ("tacacs", 49), ("domain", 53), ("bootps", 67),
    ("bootpc", 68), ("tftp", 69), ("gopher", 70), ("finger", 79), ("http", 80), ("kerberos", 88), ("pop3", 110),
    ("sunrpc", 111), ("auth", 113), ("nntp", 119), ("ntp", 123), ("netbios-ns", 137), ("netbios-dgm", 138),
    ("netbios-ssn", 139), ("imap2", 143), ("snmp", 161), ("snmp-trap", 162), ("bgp", 179), ("irc", 194), ("ldap", 389),
    ("https", 443), ("microsoft-ds", 445), ("kpasswd", 464), ("submissions", 465), ("isakmp", 500), ("syslog", 514),
    ("printer", 515), ("submission", 587), ("ipp", 631), ("ldaps", 636), ("domain-s", 853), ("rsync", 873),
    ("ftps-data", 989), ("ftps", 990), ("telnets", 992), ("imaps", 993), ("pop3s", 995), ("socks", 1080),
    ("openvpn", 1194), ("ms-sql-s", 1433), ("l2f", 1701), ("radius", 1812), ("radius-acct", 1813), ("nfs", 2049),
    ("mysql", 3306), ("ms-wbt-server", 3389), ("svn", 3690), ("epmd", 4369), ("ipsec-nat-t", 4500), ("sip", 5060),
    ("sip-tls", 5061), ("xmpp-client", 5222), ("xmpp-server", 5269), ("postgresql", 5432), ("amqp", 5672),
    ("amqps", 5671), ("x11", 6000), ("redis", 6379), ("http-alt", 8080), ("git", 9418),
];

fn table(of: DataType) -> Names {
    match of {
        DataType::IcmpType => ICMP_TYPES,
        DataType::IcmpCode => ICMP_CODES,
        DataType::Icmpv6Type => ICMPV6_TYPES,
        DataType::Icmpv6Code => ICMPV6_CODES,
        DataType::TcpFlag => TCP_FLAGS,
        DataType::DccpType => DCCP_TYPES,
        DataType::Dscp => DSCP,
        DataType::Ecn => ECN,
        DataType::EtherType => ETHER_TYPES,
        DataType::NfProto => NF_PROTO,
        DataType::PacketType => PACKET_TYPES,
        DataType::CtState => CT_STATES,
        DataType::CtDirection => CT_DIRECTIONS,
        DataType::CtStatus => CT_STATUS,
        DataType::FibAddrType => FIB_ADDRESS_TYPES,
        DataType::Boolean => BOOLEANS,
        DataType::Owner => &[("root", 0)],
        DataType::DeviceGroup => &[("default", 0)],
        DataType::InetProto => PROTOCOLS,
        DataType::InetService => SERVICES,
        _ => &[],
    }
}

/// The value that a name stands for.
#[must_use]
pub fn value_of(of: DataType, name: &str) -> Option<u128> {
    find(table(of), name).map(u128::from)
}

/// The name under which nft prints a value; ports have none there.
#[must_use]
pub fn name_of(of: DataType, value: u128) -> Option<&'static str> {
    match of {
        DataType::InetService => None,
        _ => table(of).iter().find(|&&(_, known)| u128::from(known) == value).map(|&(name, _)| name),
    }
}

/// All names of a type's values.
pub(crate) fn values(of: DataType) -> impl Iterator<Item = &'static str> {
    table(of).iter().map(|&(name, _)| name)
}

/// What can be written for a value of the type.
pub(crate) fn choice(of: DataType, given: &str) -> String {
    let all = || values(of).collect::<Vec<_>>().join(", ");
    match of {
        DataType::InetService => "write its number, or IANA's name of a common service".to_owned(),
        DataType::InetProto => "write its number, or IANA's name of a common protocol".to_owned(),
        _ if table(of).is_empty() => "write its number".to_owned(),
        // Where a number was given, only those that have names can be.
        _ if given.bytes().all(|byte| byte.is_ascii_digit()) => format!("use one of {}", all()),
        _ => format!("write its number, or one of {}", all()),
    }
}

/// What a value of the type is called in errors.
pub(crate) fn kind(of: DataType) -> &'static str {
    match of {
        DataType::Integer(_) => "number",
        DataType::Ipv4Addr => "IPv4 address",
        DataType::Ipv6Addr => "IPv6 address",
        DataType::EtherAddr => "Ethernet address",
        DataType::EtherType => "EtherType",
        DataType::InetService => "port",
        DataType::InetProto => "protocol",
        DataType::Mark => "mark",
        DataType::IfName | DataType::IfIndex => "name of a port",
        DataType::IcmpType => "ICMP type",
        DataType::IcmpCode => "ICMP code",
        DataType::Icmpv6Type => "ICMPv6 type",
        DataType::Icmpv6Code => "ICMPv6 code",
        DataType::TcpFlag => "TCP flag",
        DataType::DccpType => "DCCP packet type",
        DataType::Dscp => "DSCP",
        DataType::Ecn => "ECN code",
        DataType::NfProto => "family (ipv4, ipv6)",
        DataType::PacketType => "packet type",
        DataType::CtState => "connection state",
        DataType::CtDirection => "direction (original, reply)",
        DataType::CtStatus => "connection status",
        DataType::FibAddrType => "address type",
        DataType::Boolean => "`exists` or `missing`",
        DataType::Time => "time",
        DataType::Owner => "number of a user or group",
        DataType::DeviceGroup => "group of ports",
    }
}

pub(crate) fn find(names: Names, name: &str) -> Option<u32> {
    names.iter().find(|&&(known, _)| known == name).map(|&(_, value)| value)
}

/// Names of types in declarations of sets.
#[rustfmt::skip]
const DATA_TYPES: &[(&str, DataType)] = &[
    ("ipv4_addr", DataType::Ipv4Addr), ("ipv6_addr", DataType::Ipv6Addr), ("ether_addr", DataType::EtherAddr),
    ("ether_type", DataType::EtherType), ("inet_service", DataType::InetService), ("inet_proto", DataType::InetProto),
    ("mark", DataType::Mark), ("ifname", DataType::IfName), ("iface_index", DataType::IfIndex),
    ("icmp_type", DataType::IcmpType), ("icmp_code", DataType::IcmpCode), ("icmpv6_type", DataType::Icmpv6Type),
    ("icmpv6_code", DataType::Icmpv6Code), ("tcp_flag", DataType::TcpFlag), ("dccp_pkttype", DataType::DccpType),
    ("dscp", DataType::Dscp), ("ecn", DataType::Ecn), ("nf_proto", DataType::NfProto),
    ("pkt_type", DataType::PacketType), ("ct_state", DataType::CtState), ("ct_dir", DataType::CtDirection),
    ("ct_status", DataType::CtStatus), ("fib_addrtype", DataType::FibAddrType), ("boolean", DataType::Boolean),
];

pub(crate) fn data_type(name: &str) -> Option<DataType> {
    DATA_TYPES.iter().find(|&&(known, _)| known == name).map(|&(_, of)| of)
}

pub(crate) fn data_types() -> impl Iterator<Item = &'static str> {
    DATA_TYPES.iter().map(|&(name, _)| name)
}

impl std::fmt::Display for DataType {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match DATA_TYPES.iter().find(|(_, of)| of == self) {
            Some((name, _)) => out.write_str(name),
            None if *self == Self::Time => out.write_str("time"),
            None => write!(out, "integer of {} bits", self.bits()),
        }
    }
}

/// Fields of headers: the header's keyword, the field's, the field.
#[rustfmt::skip]
const HEADER_FIELDS: &[(&str, &str, Field)] = &[
    ("ether", "saddr", Field::EtherSource), ("ether", "daddr", Field::EtherDestination),
    ("ether", "type", Field::EtherType),
    ("ip", "saddr", Field::IpSource), ("ip", "daddr", Field::IpDestination), ("ip", "protocol", Field::IpProtocol),
    ("ip", "version", Field::IpVersion), ("ip", "hdrlength", Field::IpHeaderLength), ("ip", "dscp", Field::IpDscp),
    ("ip", "ecn", Field::IpEcn), ("ip", "length", Field::IpLength), ("ip", "id", Field::IpId),
    ("ip", "frag-off", Field::IpFragmentOffset), ("ip", "ttl", Field::IpTtl), ("ip", "checksum", Field::IpChecksum),
    ("ip6", "saddr", Field::Ip6Source), ("ip6", "daddr", Field::Ip6Destination),
    ("ip6", "version", Field::Ip6Version), ("ip6", "dscp", Field::Ip6Dscp), ("ip6", "ecn", Field::Ip6Ecn),
    ("ip6", "flowlabel", Field::Ip6FlowLabel), ("ip6", "length", Field::Ip6Length),
    ("ip6", "nexthdr", Field::Ip6NextHeader), ("ip6", "hoplimit", Field::Ip6HopLimit),
    ("exthdr", "hbh", Field::ExtensionHeaderExists(ExtensionHeader::HopByHop)),
    ("exthdr", "rt", Field::ExtensionHeaderExists(ExtensionHeader::Routing)),
    ("exthdr", "frag", Field::ExtensionHeaderExists(ExtensionHeader::Fragment)),
    ("exthdr", "dst", Field::ExtensionHeaderExists(ExtensionHeader::DestinationOptions)),
    ("exthdr", "mh", Field::ExtensionHeaderExists(ExtensionHeader::Mobility)),
    ("frag", "nexthdr", Field::FragNextHeader), ("frag", "frag-off", Field::FragOffset),
    ("frag", "more-fragments", Field::FragMoreFragments), ("frag", "id", Field::FragId),
    ("rt", "nexthdr", Field::RtNextHeader), ("rt", "hdrlength", Field::RtHeaderLength), ("rt", "type", Field::RtType),
    ("rt", "seg-left", Field::RtSegmentsLeft),
    ("th", "sport", Field::SourcePort(Transport::Any)), ("th", "dport", Field::DestinationPort(Transport::Any)),
    ("tcp", "sport", Field::SourcePort(Transport::Tcp)), ("tcp", "dport", Field::DestinationPort(Transport::Tcp)),
    ("tcp", "sequence", Field::TcpSequence), ("tcp", "ackseq", Field::TcpAcknowledgement),
    ("tcp", "doff", Field::TcpDataOffset), ("tcp", "flags", Field::TcpFlags), ("tcp", "window", Field::TcpWindow),
    ("tcp", "checksum", Field::TcpChecksum), ("tcp", "urgptr", Field::TcpUrgentPointer),
    ("udp", "sport", Field::SourcePort(Transport::Udp)), ("udp", "dport", Field::DestinationPort(Transport::Udp)),
    ("udp", "length", Field::UdpLength), ("udp", "checksum", Field::UdpChecksum),
    ("udplite", "sport", Field::SourcePort(Transport::UdpLite)),
    ("udplite", "dport", Field::DestinationPort(Transport::UdpLite)),
    ("udplite", "csumcov", Field::UdpLiteCoverage), ("udplite", "checksum", Field::UdpLiteChecksum),
    ("sctp", "sport", Field::SourcePort(Transport::Sctp)), ("sctp", "dport", Field::DestinationPort(Transport::Sctp)),
    ("sctp", "vtag", Field::SctpVerificationTag), ("sctp", "checksum", Field::SctpChecksum),
    ("dccp", "sport", Field::SourcePort(Transport::Dccp)), ("dccp", "dport", Field::DestinationPort(Transport::Dccp)),
    ("dccp", "type", Field::DccpType),
    ("icmp", "type", Field::IcmpType), ("icmp", "code", Field::IcmpCode), ("icmp", "checksum", Field::IcmpChecksum),
    ("icmp", "id", Field::IcmpId), ("icmp", "sequence", Field::IcmpSequence), ("icmp", "mtu", Field::IcmpMtu),
    ("icmp", "gateway", Field::IcmpGateway),
    ("icmpv6", "type", Field::Icmpv6Type), ("icmpv6", "code", Field::Icmpv6Code),
    ("icmpv6", "checksum", Field::Icmpv6Checksum), ("icmpv6", "id", Field::Icmpv6Id),
    ("icmpv6", "sequence", Field::Icmpv6Sequence), ("icmpv6", "mtu", Field::Icmpv6Mtu),
    ("icmpv6", "parameter-problem", Field::Icmpv6Pointer), ("icmpv6", "max-delay", Field::Icmpv6MaxDelay),
    ("meta", "iif", Field::Iif), ("meta", "oif", Field::Oif), ("meta", "iifname", Field::IifName),
    ("meta", "oifname", Field::OifName), ("meta", "l4proto", Field::L4Proto), ("meta", "nfproto", Field::NfProto),
    ("meta", "protocol", Field::Protocol), ("meta", "mark", Field::Mark), ("meta", "length", Field::Length),
    ("meta", "pkttype", Field::PacketType), ("meta", "skuid", Field::SocketUser), ("meta", "skgid", Field::SocketGroup),
    ("meta", "cgroup", Field::ControlGroup), ("meta", "iifgroup", Field::IifGroup), ("meta", "oifgroup", Field::OifGroup),
    ("ct", "state", Field::CtState), ("ct", "direction", Field::CtDirection), ("ct", "status", Field::CtStatus),
    ("ct", "mark", Field::CtMark), ("ct", "expiration", Field::CtExpiration),
];

/// Fields of `meta` that need not have the word in front.
pub(crate) const BARE_META: [&str; 11] = [
    "iif", "oif", "iifname", "oifname", "mark", "pkttype", "skuid", "skgid", "cgroup", "iifgroup", "oifgroup",
];

/// The field of a header.
pub(crate) fn header_field(header: &str, name: &str) -> Option<Field> {
    HEADER_FIELDS.iter().find(|&&(of, known, _)| of == header && known == name).map(|&(.., field)| field)
}

/// The names of a header's fields.
pub(crate) fn fields(header: &str) -> impl Iterator<Item = &'static str> {
    HEADER_FIELDS.iter().filter(move |&&(of, ..)| of == header).map(|&(_, name, _)| name)
}

/// The words with which a field may begin.
pub(crate) fn headers() -> impl Iterator<Item = &'static str> {
    HEADER_FIELDS.iter().map(|&(header, ..)| header).chain(BARE_META).chain(["fib"])
}

/// Whether any header has this keyword.
pub(crate) fn is_header(header: &str) -> bool {
    HEADER_FIELDS.iter().any(|&(of, ..)| of == header)
}

/// How a field of a header is written.
pub(crate) fn header_field_name(field: Field) -> Option<(&'static str, &'static str)> {
    HEADER_FIELDS.iter().find(|&&(.., known)| known == field).map(|&(header, name, _)| (header, name))
}
