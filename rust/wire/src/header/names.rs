//! Names of well-known values, for trees and explanations. Ports have none: they say nothing about what is spoken.

macro_rules! names {
    ($($(#[$meta:meta])* $name:ident { $($($value:literal)|+ => $text:literal,)* })*) => {$(
        $(#[$meta])*
        #[must_use]
        pub fn $name(value: u64, _: &[u8]) -> Option<&'static str> {
            Some(match value {
                $($($value)|+ => $text,)*
                _ => return None,
            })
        }
    )*};
}

names! {
    /// EtherTypes, as IEEE and IANA number them.
    ethertype {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x6558 => "Ethernet (transparent bridging)",
        0x8035 => "RARP",
        0x8100 => "VLAN tag (802.1Q)",
        0x86dd => "IPv6",
        0x8808 => "flow control",
        0x8809 => "slow protocols",
        0x880b => "PPP",
        0x8847 => "MPLS",
        0x8848 => "MPLS with upstream-assigned label",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE session",
        0x888e => "EAP over LAN (802.1X)",
        0x88a8 => "service VLAN tag (802.1ad)",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x8902 => "CFM",
        0x8915 => "RoCE",
        0x9100 => "VLAN tag (before 802.1ad)",
    }

    /// MPLS labels that RFC 3032 section 2.1 and later ones reserve.
    mpls_label {
        0 => "IPv4 explicit null",
        1 => "router alert",
        2 => "IPv6 explicit null",
        3 => "implicit null",
        7 => "entropy label indicator",
        13 => "generic associated channel",
        14 => "OAM alert",
        15 => "extension",
    }

    /// PPPoE codes, RFC 2516 section 5.
    pppoe_code {
        0x00 => "session",
        0x07 => "PADO (offer)",
        0x09 => "PADI (initiation)",
        0x19 => "PADR (request)",
        0x65 => "PADS (confirmation)",
        0xa7 => "PADT (terminate)",
    }

    /// PPP protocols.
    ppp_protocol {
        0x0021 => "IPv4",
        0x0057 => "IPv6",
        0x0281 => "MPLS",
        0x8021 => "IPCP",
        0x8057 => "IPV6CP",
        0x80fd => "CCP",
        0xc021 => "LCP",
        0xc023 => "PAP",
        0xc025 => "link quality report",
        0xc223 => "CHAP",
        0xc227 => "EAP",
    }

    /// Address families of BSD systems; IPv6 has another number in each.
    bsd_family {
        2 => "IPv4",
        7 => "OSI",
        10 => "IPv6 (Linux)",
        23 => "IPX",
        24 => "IPv6 (NetBSD, OpenBSD)",
        28 => "IPv6 (FreeBSD)",
        30 => "IPv6 (macOS)",
    }

    /// Where a cooked packet went.
    sll_packet_type {
        0 => "to us",
        1 => "broadcast",
        2 => "multicast",
        3 => "to another host",
        4 => "from us",
    }

    /// Linux ARPHRD and IANA's ARP hardware types.
    arphrd {
        1 => "Ethernet",
        6 => "IEEE 802",
        512 => "PPP",
        768 => "IPv4 tunnel",
        769 => "IPv6 tunnel",
        772 => "loopback",
        776 => "IPv6-in-IPv4 tunnel",
        778 => "GRE",
        801 => "IEEE 802.11",
        803 => "IEEE 802.11 with radiotap",
        823 => "GRE over IPv6",
        824 => "netlink",
        65534 => "none",
    }

    /// 802.11 frame types.
    dot11_type {
        0 => "management",
        1 => "control",
        2 => "data",
        3 => "extension",
    }

    /// Service access points of IEEE 802.2.
    sap {
        0x00 => "null",
        0x06 => "IP",
        0x42 => "spanning tree",
        0xaa => "SNAP",
        0xe0 => "IPX",
        0xf0 => "NetBIOS",
        0xfe => "OSI",
        0xff => "global",
    }

    /// ARP operations.
    arp_operation {
        1 => "request",
        2 => "reply",
        3 => "reverse request",
        4 => "reverse reply",
        8 => "inverse request",
        9 => "inverse reply",
    }

    /// IP protocol numbers and IPv6 next headers.
    protocol {
        0 => "hop-by-hop options",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPv4",
        6 => "TCP",
        8 => "EGP",
        17 => "UDP",
        33 => "DCCP",
        41 => "IPv6",
        43 => "routing header",
        44 => "fragment header",
        46 => "RSVP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "ICMPv6",
        59 => "no next header",
        60 => "destination options",
        88 => "EIGRP",
        89 => "OSPF",
        94 => "IPIP",
        97 => "EtherIP",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        135 => "mobility header",
        136 => "UDP-Lite",
        137 => "MPLS",
        139 => "HIP",
        140 => "Shim6",
        143 => "Ethernet",
    }

    /// Differentiated services code points.
    dscp {
        0 => "CS0, best effort",
        1 => "LE",
        8 => "CS1",
        10 => "AF11",
        12 => "AF12",
        14 => "AF13",
        16 => "CS2",
        18 => "AF21",
        20 => "AF22",
        22 => "AF23",
        24 => "CS3",
        26 => "AF31",
        28 => "AF32",
        30 => "AF33",
        32 => "CS4",
        34 => "AF41",
        36 => "AF42",
        38 => "AF43",
        40 => "CS5",
        44 => "voice admit",
        46 => "EF",
        48 => "CS6",
        56 => "CS7",
    }

    /// ECN code points, RFC 3168 section 5.
    ecn {
        0 => "not ECN-capable",
        1 => "ECT(1)",
        2 => "ECT(0)",
        3 => "congestion experienced",
    }

    /// IPv6 routing types.
    routing_type {
        0 => "source route (deprecated by RFC 5095)",
        1 => "Nimrod",
        2 => "mobile IPv6",
        3 => "RPL source route",
        4 => "segment routing",
        5 => "CRH-16",
        6 => "CRH-32",
    }

    /// Messages of the mobility header.
    mobility_type {
        0 => "binding refresh request",
        1 => "home test init",
        2 => "care-of test init",
        3 => "home test",
        4 => "care-of test",
        5 => "binding update",
        6 => "binding acknowledgement",
        7 => "binding error",
        8 => "fast binding update",
        9 => "fast binding acknowledgement",
        11 => "experimental",
        12 => "home agent switch",
        13 => "heartbeat",
        14 => "handover initiate",
        15 => "handover acknowledge",
        16 => "binding revocation",
    }

    /// DCCP packet types, RFC 4340 section 5.1.
    dccp_type {
        0 => "request",
        1 => "response",
        2 => "data",
        3 => "acknowledgment",
        4 => "data and acknowledgment",
        5 => "close request",
        6 => "close",
        7 => "reset",
        8 => "sync",
        9 => "sync acknowledgment",
    }

    /// ICMP messages.
    icmp4_type {
        0 => "echo reply",
        3 => "destination unreachable",
        4 => "source quench",
        5 => "redirect",
        8 => "echo request",
        9 => "router advertisement",
        10 => "router solicitation",
        11 => "time exceeded",
        12 => "parameter problem",
        13 => "timestamp request",
        14 => "timestamp reply",
        15 => "information request",
        16 => "information reply",
        17 => "address mask request",
        18 => "address mask reply",
        30 => "traceroute",
        40 => "photuris",
        42 => "extended echo request",
        43 => "extended echo reply",
    }

    /// ICMPv6 messages.
    icmp6_type {
        1 => "destination unreachable",
        2 => "packet too big",
        3 => "time exceeded",
        4 => "parameter problem",
        128 => "echo request",
        129 => "echo reply",
        130 => "multicast listener query",
        131 => "multicast listener report",
        132 => "multicast listener done",
        133 => "router solicitation",
        134 => "router advertisement",
        135 => "neighbor solicitation",
        136 => "neighbor advertisement",
        137 => "redirect",
        138 => "router renumbering",
        141 => "inverse neighbor discovery solicitation",
        142 => "inverse neighbor discovery advertisement",
        143 => "multicast listener report, version 2",
        144 => "home agent address discovery request",
        145 => "home agent address discovery reply",
        146 => "mobile prefix solicitation",
        147 => "mobile prefix advertisement",
        148 => "certification path solicitation",
        149 => "certification path advertisement",
        151 => "multicast router advertisement",
        152 => "multicast router solicitation",
        153 => "multicast router termination",
        155 => "RPL control",
        157 => "duplicate address request",
        158 => "duplicate address confirmation",
        160 => "extended echo request",
        161 => "extended echo reply",
    }

    /// IGMP messages.
    igmp_type {
        0x11 => "membership query",
        0x12 => "membership report, version 1",
        0x13 => "DVMRP",
        0x14 => "PIM version 1",
        0x16 => "membership report, version 2",
        0x17 => "leave group",
        0x22 => "membership report, version 3",
        0x30 => "multicast router advertisement",
        0x31 => "multicast router solicitation",
        0x32 => "multicast router termination",
    }
}

/// The ECN half of a traffic class; the DSCP is in the number.
#[must_use]
pub fn traffic_class(value: u64, bytes: &[u8]) -> Option<&'static str> {
    if value & 3 != 0 { ecn(value & 3, bytes) } else { dscp(value >> 2, bytes) }
}

/// 802.11 subtypes, which mean something else in each type.
#[must_use]
pub fn dot11_subtype(value: u64, bytes: &[u8]) -> Option<&'static str> {
    Some(match (bytes.first().copied().unwrap_or(0) >> 2 & 3, value) {
        (0, 0) => "association request",
        (0, 1) => "association response",
        (0, 2) => "reassociation request",
        (0, 3) => "reassociation response",
        (0, 4) => "probe request",
        (0, 5) => "probe response",
        (0, 8) => "beacon",
        (0, 9) => "ATIM",
        (0, 10) => "disassociation",
        (0, 11) => "authentication",
        (0, 12) => "deauthentication",
        (0, 13) => "action",
        (0, 14) => "action without acknowledgment",
        (1, 5) => "VHT NDP announcement",
        (1, 7) => "control wrapper",
        (1, 8) => "block acknowledgment request",
        (1, 9) => "block acknowledgment",
        (1, 10) => "PS-Poll",
        (1, 11) => "RTS",
        (1, 12) => "CTS",
        (1, 13) => "ACK",
        (1, 14) => "CF-End",
        (2, 0) => "data",
        (2, 4) => "null",
        (2, 8) => "QoS data",
        (2, 12) => "QoS null",
        _ => return None,
    })
}

/// ICMP codes by message.
#[must_use]
pub fn icmp4_code(value: u64, bytes: &[u8]) -> Option<&'static str> {
    Some(match (bytes.first()?, value) {
        (3, 0) => "network unreachable",
        (3, 1) => "host unreachable",
        (3, 2) => "protocol unreachable",
        (3, 3) => "port unreachable",
        (3, 4) => "fragmentation needed",
        (3, 5) => "source route failed",
        (3, 6) => "network unknown",
        (3, 7) => "host unknown",
        (3, 9) => "network prohibited",
        (3, 10) => "host prohibited",
        (3, 13) => "administratively prohibited",
        (3, 14) => "host precedence violation",
        (3, 15) => "precedence cutoff",
        (5, 0) => "for the network",
        (5, 1) => "for the host",
        (5, 2) => "for type of service and network",
        (5, 3) => "for type of service and host",
        (11, 0) => "time to live exceeded",
        (11, 1) => "reassembly time exceeded",
        (12, 0) => "pointer indicates the error",
        (12, 1) => "missing a required option",
        (12, 2) => "bad length",
        _ => return None,
    })
}

/// ICMPv6 codes by message.
#[must_use]
pub fn icmp6_code(value: u64, bytes: &[u8]) -> Option<&'static str> {
    Some(match (bytes.first()?, value) {
        (1, 0) => "no route",
        (1, 1) => "administratively prohibited",
        (1, 2) => "beyond scope of source",
        (1, 3) => "address unreachable",
        (1, 4) => "port unreachable",
        (1, 5) => "source address failed policy",
        (1, 6) => "reject route",
        (1, 7) => "error in source routing header",
        (1, 8) => "headers too long",
        (3, 0) => "hop limit exceeded",
        (3, 1) => "reassembly time exceeded",
        (4, 0) => "erroneous header field",
        (4, 1) => "unrecognized next header",
        (4, 2) => "unrecognized option",
        (4, 3) => "first fragment has incomplete header chain",
        (4, 4) => "segment routing upper-layer header error",
        (4, 5) => "unrecognized next header at intermediate node",
        (4, 6) => "extension header too big",
        (4, 7) => "extension header chain too long",
        (4, 8) => "too many extension headers",
        (4, 9) => "too many options in an extension header",
        (4, 10) => "option too big",
        _ => return None,
    })
}

/// The flag letters of TCP, lowest bit first: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE.
pub const TCP_FLAG_NAMES: [&str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

/// The usual combinations of TCP flags; [`tcp_flag_list`] names every one.
#[must_use]
pub fn tcp_flags(value: u64, _: &[u8]) -> Option<&'static str> {
    Some(match value {
        0x001 => "FIN",
        0x002 => "SYN",
        0x004 => "RST",
        0x010 => "ACK",
        0x011 => "FIN, ACK",
        0x012 => "SYN, ACK",
        0x014 => "RST, ACK",
        0x018 => "PSH, ACK",
        0x019 => "FIN, PSH, ACK",
        0x0c2 => "SYN, ECE, CWR",
        0x052 => "SYN, ACK, ECE",
        _ => return None,
    })
}

/// The names of the flags that are set, reserved ones by number.
#[must_use]
pub fn tcp_flag_list(value: u64) -> String {
    let mut names: Vec<String> = Vec::new();
    for bit in 0..12 {
        if value >> bit & 1 == 1 {
            names.push(
                TCP_FLAG_NAMES.get(bit).map_or_else(|| format!("reserved {bit}"), |name| (*name).into()),
            );
        }
    }
    names.join(", ")
}
