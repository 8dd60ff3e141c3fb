//! Keywords, named constants, and the tables of names of ports, protocols and link-layer types.
mod services;

use crate::lexer::{Proto, Word};

/// The keyword that a name is, if it is one.
pub(crate) fn keyword(name: &str) -> Option<Word> {
    Some(match name {
        "src" => Word::Src,
        "dst" => Word::Dst,
        "addr1" | "address1" => Word::Addr(1),
        "addr2" | "address2" => Word::Addr(2),
        "addr3" | "address3" => Word::Addr(3),
        "addr4" | "address4" => Word::Addr(4),
        "ra" => Word::Ra,
        "ta" => Word::Ta,
        "host" => Word::Host,
        "net" => Word::Net,
        "mask" => Word::Mask,
        "port" => Word::Port,
        "portrange" => Word::PortRange,
        "proto" => Word::Carries,
        "protochain" => Word::ProtoChain,
        "gateway" => Word::Gateway,
        "type" => Word::Type,
        "subtype" => Word::Subtype,
        "direction" | "dir" => Word::Direction,
        "less" => Word::Less,
        "greater" => Word::Greater,
        "byte" => Word::Byte,
        "broadcast" => Word::Broadcast,
        "multicast" => Word::Multicast,
        "and" => Word::And,
        "or" => Word::Or,
        "not" => Word::Not,
        "len" | "length" => Word::Len,
        "inbound" => Word::Inbound,
        "outbound" => Word::Outbound,
        "ifindex" => Word::IfIndex,
        "vlan" => Word::Vlan,
        "mpls" => Word::Mpls,
        "pppoed" => Word::PppoeD,
        "pppoes" => Word::PppoeS,
        "geneve" => Word::Geneve,
        "llc" => Word::Llc,
        "rnr" | "rulenum" => Word::RuleNumber,
        _ => {
            return protocol(name).or_else(|| FOREIGN.iter().find(|f| **f == name).map(|f| Word::Foreign(f)));
        }
    })
}

fn protocol(name: &str) -> Option<Word> {
    let (proto, text) = match name {
        "link" | "ether" | "ppp" | "slip" | "fddi" | "tr" | "wlan" => (Proto::Link, "ether"),
        "ip" => (Proto::Ip, "ip"),
        "arp" => (Proto::Arp, "arp"),
        "rarp" => (Proto::Rarp, "rarp"),
        "sctp" => (Proto::Sctp, "sctp"),
        "tcp" => (Proto::Tcp, "tcp"),
        "udp" => (Proto::Udp, "udp"),
        "icmp" => (Proto::Icmp, "icmp"),
        "igmp" => (Proto::Igmp, "igmp"),
        "igrp" => (Proto::Igrp, "igrp"),
        "pim" => (Proto::Pim, "pim"),
        "vrrp" => (Proto::Vrrp, "vrrp"),
        "carp" => (Proto::Carp, "carp"),
        "atalk" => (Proto::Atalk, "atalk"),
        "aarp" => (Proto::Aarp, "aarp"),
        "decnet" => (Proto::Decnet, "decnet"),
        "lat" => (Proto::Lat, "lat"),
        "sca" => (Proto::Sca, "sca"),
        "mopdl" => (Proto::Mopdl, "mopdl"),
        "moprc" => (Proto::Moprc, "moprc"),
        "ip6" => (Proto::Ip6, "ip6"),
        "icmp6" => (Proto::Icmp6, "icmp6"),
        "ah" => (Proto::Ah, "ah"),
        "esp" => (Proto::Esp, "esp"),
        "iso" => (Proto::Iso, "iso"),
        "esis" | "es-is" => (Proto::Esis, "esis"),
        "isis" | "is-is" => (Proto::Isis, "isis"),
        "clnp" => (Proto::Clnp, "clnp"),
        "l1" => (Proto::IsisL1, "l1"),
        "l2" => (Proto::IsisL2, "l2"),
        "iih" => (Proto::IsisIih, "iih"),
        "lsp" => (Proto::IsisLsp, "lsp"),
        "snp" => (Proto::IsisSnp, "snp"),
        "csnp" => (Proto::IsisCsnp, "csnp"),
        "psnp" => (Proto::IsisPsnp, "psnp"),
        "stp" => (Proto::Stp, "stp"),
        "ipx" => (Proto::Ipx, "ipx"),
        "netbeui" => (Proto::Netbeui, "netbeui"),
        "radio" => (Proto::Radio, "radio"),
        _ => return None,
    };
    Some(Word::Proto(proto, text))
}

/// Keywords of link types that are not supported: ATM, SS7's MTP, pf's log.
const FOREIGN: &[&str] = &[
    "lane",
    "metac",
    "bcc",
    "oam",
    "oamf4",
    "oamf4ec",
    "oamf4sc",
    "sc",
    "ilmic",
    "vpi",
    "vci",
    "connectmsg",
    "metaconnect",
    "fisu",
    "lssu",
    "lsu",
    "msu",
    "hfisu",
    "hlssu",
    "hlsu",
    "hmsu",
    "sio",
    "opc",
    "dpc",
    "sls",
    "hsio",
    "hopc",
    "hdpc",
    "hsls",
    "on",
    "ifname",
    "rset",
    "ruleset",
    "srnr",
    "subrulenum",
    "reason",
    "action",
];

/// The number that a named constant stands for.
pub(crate) fn constant(name: &str) -> Option<u32> {
    CONSTANTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

#[rustfmt::skip]
const CONSTANTS: &[(&str, u32)] = &[
    ("icmptype", 0), ("icmpcode", 1), ("icmp-echoreply", 0), ("icmp-unreach", 3), ("icmp-sourcequench", 4),
    ("icmp-redirect", 5), ("icmp-echo", 8), ("icmp-routeradvert", 9), ("icmp-routersolicit", 10),
    ("icmp-timxceed", 11), ("icmp-paramprob", 12), ("icmp-tstamp", 13), ("icmp-tstampreply", 14), ("icmp-ireq", 15),
    ("icmp-ireqreply", 16), ("icmp-maskreq", 17), ("icmp-maskreply", 18),
    ("icmp6type", 0), ("icmp6code", 1), ("icmp6-destinationunreach", 1), ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3), ("icmp6-parameterproblem", 4), ("icmp6-echo", 128), ("icmp6-echoreply", 129),
    ("icmp6-multicastlistenerquery", 130), ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerdone", 132), ("icmp6-routersolicit", 133), ("icmp6-routeradvert", 134),
    ("icmp6-neighborsolicit", 135), ("icmp6-neighboradvert", 136), ("icmp6-redirect", 137),
    ("icmp6-routerrenum", 138), ("icmp6-nodeinformationquery", 139), ("icmp6-nodeinformationresponse", 140),
    ("icmp6-ineighbordiscoverysolicit", 141), ("icmp6-ineighbordiscoveryadvert", 142),
    ("icmp6-multicastlistenerreportv2", 143), ("icmp6-homeagentdiscoveryrequest", 144),
    ("icmp6-homeagentdiscoveryreply", 145), ("icmp6-mobileprefixsolicit", 146), ("icmp6-mobileprefixadvert", 147),
    ("icmp6-certpathsolicit", 148), ("icmp6-certpathadvert", 149), ("icmp6-multicastrouteradvert", 151),
    ("icmp6-multicastroutersolicit", 152), ("icmp6-multicastrouterterm", 153),
    ("tcpflags", 13), ("tcp-fin", 1), ("tcp-syn", 2), ("tcp-rst", 4), ("tcp-push", 8), ("tcp-ack", 16),
    ("tcp-urg", 32), ("tcp-ece", 64), ("tcp-cwr", 128),
];

/// A service: its ports for TCP and for UDP, 0 where the name is not known for that protocol.
pub(crate) fn service(name: &str) -> Option<(u16, u16)> {
    let at = services::SERVICES.binary_search_by(|(known, ..)| (*known).cmp(name)).ok()?;
    let (_, tcp, udp) = services::SERVICES[at];
    Some((tcp, udp))
}

/// An IP protocol's number, as `getprotobyname` gives it.
pub(crate) fn ip_protocol(name: &str) -> Option<u32> {
    lookup(IP_PROTOCOLS, name)
}

/// An EtherType by name, or an LLC service access point.
pub(crate) fn ether_protocol(name: &str) -> Option<u32> {
    lookup(ETHER_PROTOCOLS, name)
}

/// An OSI network-layer protocol's identifier.
pub(crate) fn osi_protocol(name: &str) -> Option<u32> {
    lookup(&[("esis", 0x82), ("isis", 0x83), ("clnp", 0x81)], name)
}

/// A network of `/etc/networks`.
pub(crate) fn network(name: &str) -> Option<u32> {
    lookup(&[("loopback", 0x7f00_0000), ("link-local", 0xa9fe_0000)], name)
}

/// An 802.11 frame type: bits 2 and 3 of the frame control field.
pub(crate) fn wlan_type(name: &str) -> Option<u32> {
    lookup_any_case(&[("mgt", 0), ("management", 0), ("ctl", 4), ("control", 4), ("data", 8)], name)
}

/// An 802.11 frame subtype of a type: bits 4 to 7 of the frame control field.
pub(crate) fn wlan_subtype(kind: u32, name: &str) -> Option<u32> {
    let table = match kind {
        0 => MANAGEMENT_SUBTYPES,
        4 => CONTROL_SUBTYPES,
        8 => DATA_SUBTYPES,
        _ => return None,
    };
    lookup_any_case(table, name)
}

/// An 802.11 direction: the two bits "to DS" and "from DS".
pub(crate) fn wlan_direction(name: &str) -> Option<u32> {
    lookup_any_case(&[("nods", 0), ("tods", 1), ("fromds", 2), ("dstods", 3)], name)
}

/// What an LLC control field is compared with: mask and value.
pub(crate) fn llc_kind(name: &str) -> Option<(u32, u32)> {
    if let Some(value) = lookup_any_case(&[("rr", 0x01), ("rnr", 0x05), ("rej", 0x09)], name) {
        return Some((0x0f, value));
    }
    let unnumbered = &[
        ("ui", 0x03),
        ("ua", 0x63),
        ("disc", 0x43),
        ("dm", 0x0f),
        ("sabme", 0x6f),
        ("test", 0xe3),
        ("xid", 0xaf),
        ("frmr", 0x87),
    ];
    lookup_any_case(unnumbered, name).map(|value| (0xef, value))
}

fn lookup(table: &[(&str, u32)], name: &str) -> Option<u32> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn lookup_any_case(table: &[(&str, u32)], name: &str) -> Option<u32> {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

#[rustfmt::skip]
const ETHER_PROTOCOLS: &[(&str, u32)] = &[
    ("aarp", 0x80f3), ("arp", 0x0806), ("atalk", 0x809b), ("decnet", 0x6003), ("ip", 0x0800), ("ip6", 0x86dd),
    ("lat", 0x6004), ("loopback", 0x9000), ("mopdl", 0x6001), ("moprc", 0x6002), ("rarp", 0x8035), ("sca", 0x6007),
    ("iso", 0xfe), ("stp", 0x42), ("ipx", 0xe0), ("netbeui", 0xf0),
];

#[rustfmt::skip]
const MANAGEMENT_SUBTYPES: &[(&str, u32)] = &[
    ("assocreq", 0x00), ("assoc-req", 0x00), ("assocresp", 0x10), ("assoc-resp", 0x10), ("reassocreq", 0x20),
    ("reassoc-req", 0x20), ("reassocresp", 0x30), ("reassoc-resp", 0x30), ("probereq", 0x40), ("probe-req", 0x40),
    ("proberesp", 0x50), ("probe-resp", 0x50), ("beacon", 0x80), ("atim", 0x90), ("disassoc", 0xa0),
    ("disassociation", 0xa0), ("auth", 0xb0), ("authentication", 0xb0), ("deauth", 0xc0), ("deauthentication", 0xc0),
];

#[rustfmt::skip]
const CONTROL_SUBTYPES: &[(&str, u32)] = &[
    ("ps-poll", 0xa0), ("rts", 0xb0), ("cts", 0xc0), ("ack", 0xd0), ("cf-end", 0xe0), ("cf-end-ack", 0xf0),
];

#[rustfmt::skip]
const DATA_SUBTYPES: &[(&str, u32)] = &[
    ("data", 0x00), ("data-cf-ack", 0x10), ("data-cf-poll", 0x20), ("data-cf-ack-poll", 0x30), ("null", 0x40),
    ("cf-ack", 0x50), ("cf-poll", 0x60), ("cf-ack-poll", 0x70), ("qos-data", 0x80), ("qos-data-cf-ack", 0x90),
    ("qos-data-cf-poll", 0xa0), ("qos-data-cf-ack-poll", 0xb0), ("qos", 0xc0), ("qos-cf-poll", 0xe0),
    ("qos-cf-ack-poll", 0xf0),
];

/// Assigned internet protocol numbers, with the aliases that Debian's `/etc/protocols` has.
#[rustfmt::skip]
const IP_PROTOCOLS: &[(&str, u32)] = &[
    ("AX.25", 93), ("CPHB", 73), ("DCCP", 33), ("DDP", 37), ("EGP", 8), ("EIGRP", 88), ("ENCAP", 98),
    ("ETHERIP", 97), ("Ethernet", 143), ("FC", 133), ("GGP", 3), ("GRE", 47), ("HIP", 139), ("HMP", 20),
    ("HOPOPT", 0), ("ICMP", 1), ("IDPR-CMTP", 38), ("IDRP", 45), ("IGMP", 2), ("IGP", 9), ("IP", 0),
    ("IP-ENCAP", 4), ("IPCOMP", 108), ("IPIP", 94), ("IPSEC-AH", 51), ("IPSEC-ESP", 50), ("IPv6", 41),
    ("IPv6-Frag", 44), ("IPv6-ICMP", 58), ("IPv6-NoNxt", 59), ("IPv6-Opts", 60), ("IPv6-Route", 43),
    ("ISIS", 124), ("ISO-TP4", 29), ("L2TP", 115), ("MPLS-in-IP", 137), ("MPTCP", 262),
    ("Mobility-Header", 135), ("OSPFIGP", 89), ("PIM", 103), ("PUP", 12), ("RDP", 27), ("ROHC", 142),
    ("RSPF", 73), ("RSVP", 46), ("SCTP", 132), ("SKIP", 57), ("ST", 5), ("Shim6", 140), ("TCP", 6),
    ("UDP", 17), ("UDPLite", 136), ("VMTP", 81), ("VRRP", 112), ("WESP", 141), ("XNS-IDP", 22), ("XTP", 36),
    ("ah", 51), ("ax.25", 93), ("dccp", 33), ("ddp", 37), ("egp", 8), ("eigrp", 88), ("encap", 98),
    ("esp", 50), ("etherip", 97), ("ethernet", 143), ("fc", 133), ("ggp", 3), ("gre", 47), ("hip", 139),
    ("hmp", 20), ("hopopt", 0), ("icmp", 1), ("idpr-cmtp", 38), ("idrp", 45), ("igmp", 2), ("igp", 9),
    ("ip", 0), ("ipcomp", 108), ("ipencap", 4), ("ipip", 94), ("ipv6", 41), ("ipv6-frag", 44),
    ("ipv6-icmp", 58), ("ipv6-nonxt", 59), ("ipv6-opts", 60), ("ipv6-route", 43), ("isis", 124),
    ("iso-tp4", 29), ("l2tp", 115), ("manet", 138), ("mobility-header", 135), ("mpls-in-ip", 137),
    ("mptcp", 262), ("ospf", 89), ("pim", 103), ("pup", 12), ("rdp", 27), ("rohc", 142), ("rspf", 73),
    ("rsvp", 46), ("sctp", 132), ("shim6", 140), ("skip", 57), ("st", 5), ("tcp", 6), ("udp", 17),
    ("udplite", 136), ("vmtp", 81), ("vrrp", 112), ("wesp", 141), ("xns-idp", 22), ("xtp", 36),
];
