//! Words that nft(8) 1.0.6 keeps for itself: found by trying them as names, one by one.

/// Sorted.
#[rustfmt::skip]
pub(crate) const RESERVED: &[&str] = &[
    "accept", "add", "ah", "all", "and", "arp", "auto-merge", "bridge", "bytes", "cgroup", "chain", "comment",
    "comp", "constant", "continue", "counter", "cpu", "create", "ct", "day", "dccp", "define", "delete",
    "describe", "device", "devices", "dnat", "drop", "dst", "dup", "dynamic", "ecn", "element", "elements",
    "eq", "esp", "ether", "exists", "expires", "export", "exthdr", "fib", "flags", "flow", "flowtable", "flush",
    "frag", "fwd", "gc-interval", "ge", "get", "goto", "gt", "handle", "hbh", "hook", "hour", "ibriport",
    "ibrname", "icmp", "icmpv6", "igmp", "iif", "iifgroup", "iifname", "iiftype", "import", "include", "index",
    "inet", "insert", "interval", "ip", "ip6", "ipsec", "jhash", "jump", "le", "limit", "list", "ll", "log",
    "lshift", "lt", "map", "mark", "masquerade", "meta", "meter", "mh", "missing", "monitor", "name", "ne",
    "netdev", "nftrace", "nh", "not", "notrack", "numgen", "obriport", "obrname", "offload", "oif", "oifgroup",
    "oifname", "oiftype", "or", "osf", "packets", "pkttype", "policy", "position", "priority", "queue", "quota",
    "random", "redefine", "redirect", "reject", "rename", "replace", "reset", "return", "rshift", "rt",
    "rtclassid", "rule", "ruleset", "sctp", "secmark", "set", "size", "skgid", "skuid", "snat", "socket", "srh",
    "symhash", "synproxy", "table", "tcp", "th", "time", "timeout", "tproxy", "type", "typeof", "udp",
    "udplite", "undefine", "update", "vlan", "vmap", "xor", "xt",
];
