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

/// An IP protocol's number; its name may be spelled in capitals, too.
pub(crate) fn ip_protocol(name: &str) -> Option<u32> {
    lookup(IP_PROTOCOLS, &name.to_ascii_lowercase())
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

/// Assigned internet protocol numbers by IANA's keywords (<https://www.iana.org/assignments/protocol-numbers>), and
/// `ip`, `ipencap`, `mptcp` and `ospf` as systems call them. Sorted by name, in lower case.
#[rustfmt::skip]
const IP_PROTOCOLS: &[(&str, u32)] = &[
    ("3pc", 34), ("a/n", 107), ("aggfrag", 144), ("ah", 51), ("aris", 104), ("ax.25", 93), ("bbn-rcc-mon", 10),
    ("bna", 49), ("br-sat-mon", 76), ("cbt", 7), ("cftp", 62), ("chaos", 16), ("compaq-peer", 110), ("cphb", 73),
    ("cpnx", 72), ("crtp", 126), ("crudp", 127), ("dccp", 33), ("dcn-meas", 19), ("ddp", 37), ("ddx", 116),
    ("dgp", 86), ("dsr", 48), ("egp", 8), ("eigrp", 88), ("emcon", 14), ("encap", 98), ("esp", 50), ("etherip", 97),
    ("ethernet", 143), ("fc", 133), ("fire", 125), ("ggp", 3), ("gmtp", 100), ("gre", 47), ("hip", 139), ("hmp", 20),
    ("hopopt", 0), ("i-nlsp", 52), ("iatp", 117), ("icmp", 1), ("idpr", 35), ("idpr-cmtp", 38), ("idrp", 45),
    ("ifmp", 101), ("igmp", 2), ("igp", 9), ("il", 40), ("ip", 0), ("ipcomp", 108), ("ipcv", 71), ("ipencap", 4),
    ("ipip", 94), ("iplt", 129), ("ippc", 67), ("iptm", 84), ("ipv4", 4), ("ipv6", 41), ("ipv6-frag", 44),
    ("ipv6-icmp", 58), ("ipv6-nonxt", 59), ("ipv6-opts", 60), ("ipv6-route", 43), ("ipx-in-ip", 111), ("irtp", 28),
    ("isis", 124), ("iso-ip", 80), ("iso-tp4", 29), ("kryptolan", 65), ("l2tp", 115), ("larp", 91), ("leaf-1", 25),
    ("leaf-2", 26), ("manet", 138), ("merit-inp", 32), ("mfe-nsp", 31), ("min-ipv4", 55), ("mobility-header", 135),
    ("mpls-in-ip", 137), ("mptcp", 262), ("mtp", 92), ("mux", 18), ("narp", 54), ("netblt", 30), ("nsfnet-igp", 85),
    ("nsh", 145), ("nvp-ii", 11), ("ospf", 89), ("ospfigp", 89), ("pgm", 113), ("pim", 103), ("pipe", 131),
    ("pnni", 102), ("prm", 21), ("ptp", 123), ("pup", 12), ("pvp", 75), ("qnx", 106), ("rdp", 27), ("rohc", 142),
    ("rsvp", 46), ("rsvp-e2e-ignore", 134), ("rvd", 66), ("sat-expak", 64), ("sat-mon", 69), ("scc-sp", 96),
    ("scps", 105), ("sctp", 132), ("sdrp", 42), ("secure-vmtp", 82), ("shim6", 140), ("skip", 57), ("sm", 122),
    ("smp", 121), ("snp", 109), ("sprite-rpc", 90), ("sps", 130), ("srp", 119), ("sscopmce", 128), ("st", 5),
    ("stp", 118), ("sun-nd", 77), ("tcf", 87), ("tcp", 6), ("tlsp", 56), ("tp++", 39), ("trunk-1", 23),
    ("trunk-2", 24), ("udp", 17), ("udplite", 136), ("uti", 120), ("vines", 83), ("visa", 70), ("vmtp", 81),
    ("vrrp", 112), ("wb-expak", 79), ("wb-mon", 78), ("wesp", 141), ("wsn", 74), ("xnet", 15), ("xns-idp", 22),
    ("xtp", 36),
];
