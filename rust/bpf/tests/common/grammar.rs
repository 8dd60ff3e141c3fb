//! Random expressions, most of them valid.
use super::Random;

const HOSTS: &[&str] = &["1.2.3.4", "10.0.0.1", "10.1", "192.168.1", "::1", "2001:db8::1", "fe80::1", "7"];
const NETS: &[&str] = &[
    "10",
    "10.1",
    "10.1.0.0/16",
    "192.168.0.0/16",
    "2001:db8::/32",
    "fe80::/10",
    "172.16.0.0 mask 255.240.0.0",
    "::/0",
    "0/0",
    "1.2.3.4/24",
];
const PORTS: &[&str] = &["80", "443", "53", "discard", "domain", "who", "domain", "65535", "0"];
const RANGES: &[&str] = &["1-100", "80-443", "discard-kerberos", "5000-4000"];
const NUMBERS: &[&str] = &["6", "17", "44", "58", "1"];
const MACS: &[&str] = &["1:2:3:4:5:6", "ff:ff:ff:ff:ff:ff", "00-11-22-33-44-55"];
const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "2",
    "4",
    "5",
    "6",
    "8",
    "13",
    "17",
    "20",
    "80",
    "0x800",
    "0x86dd",
    "255",
    "65535",
    "0xffffffff",
    "010",
    "tcp-syn",
    "icmp-echo",
];
const LOADS: &[&str] = &["ip", "ip6", "tcp", "udp", "icmp", "icmp6", "ether", "arp", "sctp", "link"];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "&", "|", "^", "<<", ">>", "%"];
const COMPARISONS: &[&str] = &["=", "==", "!=", "<", ">", "<=", ">="];
const PROTOCOLS: &[&str] =
    &["ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp", "rarp", "sctp", "igmp", "iso", "stp"];
const OTHERS: &[&str] = &[
    "vlan",
    "vlan 5",
    "mpls",
    "mpls 7",
    "pppoes",
    "pppoes 3",
    "pppoed",
    "ip multicast",
    "ip broadcast",
    "broadcast",
    "multicast",
    "ip6 multicast",
    "less 60",
    "greater 60",
    "llc",
    "llc ui",
    "inbound",
    "outbound",
    "ifindex 2",
    "type mgt",
    "type data subtype qos-data",
    "dir tods",
    "wlan addr2 1:2:3:4:5:6",
    "ip protochain 6",
    "ip6 protochain 17",
    "geneve",
    "geneve 5",
    "byte 3 = 4",
    "byte 12 > 7",
    "byte 13 & 1",
    "radio[2]=8",
    "wlan[0]=8",
    "clnp",
    "isis",
    "ipx",
    "atalk",
    "netbeui",
    "l1",
    "csnp",
    "decnet host 1.2",
];

/// Qualifiers, and the words that may stand behind them.
fn qualified(random: &mut Random) -> (String, &'static [&'static str]) {
    let dir = random.pick(&["", "", "", "src", "dst", "src or dst", "src and dst"]);
    let (proto, kind, words) = match random.below(10) {
        0..=2 => (random.pick(&["", "", "ip", "ip6", "arp", "tcp"]), "host", HOSTS),
        3 => (random.pick(&["", "ip", "ip6", "arp"]), "net", NETS),
        4..=6 => (random.pick(&["", "tcp", "udp", "sctp", "ip"]), "port", PORTS),
        7 => (random.pick(&["", "tcp", "udp"]), "portrange", RANGES),
        8 => return (random.pick(&["ip proto", "ip6 proto", "proto"]).to_owned(), NUMBERS),
        _ => ("ether", if dir.is_empty() { "host" } else { "" }, MACS),
    };
    (format!("{proto} {dir} {kind}"), words)
}

fn arithmetic(random: &mut Random, depth: usize) -> String {
    match random.below(if depth > 2 { 4 } else { 12 }) {
        0..=2 => random.pick(CONSTANTS).to_owned(),
        3 => "len".to_owned(),
        4..=7 => {
            let index = arithmetic(random, depth + 2);
            format!("{}[{index}{}]", random.pick(LOADS), random.pick(&["", "", ":1", ":2", ":4"]))
        }
        8 => format!("-{}", arithmetic(random, depth + 1)),
        kind => {
            let (left, right) = (arithmetic(random, depth + 1), arithmetic(random, depth + 1));
            let operator = random.pick(OPERATORS);
            if kind == 9 {
                format!("{left} {operator} {right}")
            } else {
                format!("({left} {operator} {right})")
            }
        }
    }
}

fn primitive(random: &mut Random) -> String {
    match random.below(20) {
        0..=8 => {
            let (qualifiers, words) = qualified(random);
            format!("{qualifiers} {}", random.pick(words))
        }
        9..=11 => random.pick(PROTOCOLS).to_owned(),
        12..=16 => {
            let (left, right) = (arithmetic(random, 0), arithmetic(random, 0));
            format!("{left} {} {right}", random.pick(COMPARISONS))
        }
        _ => random.pick(OTHERS).to_owned(),
    }
}

fn nested(random: &mut Random, depth: usize) -> String {
    match random.below(if depth > 4 { 7 } else { 20 }) {
        0..=6 => primitive(random),
        7 | 8 => {
            let (qualifiers, words) = qualified(random);
            let (a, b) = (random.pick(words), random.pick(words));
            format!("{qualifiers} {a} {} {}{b}", random.pick(&["or", "and"]), random.pick(&["", "not "]))
        }
        9 => {
            let (qualifiers, words) = qualified(random);
            let (a, b) = (random.pick(words), random.pick(words));
            format!("{qualifiers} ({a} {} {b})", random.pick(&["or", "and"]))
        }
        10 | 11 => format!("{} {}", random.pick(&["not", "!"]), nested(random, depth + 1)),
        12..=14 => format!("({})", nested(random, depth + 1)),
        _ => {
            let (a, b) = (nested(random, depth + 1), nested(random, depth + 1));
            format!("{a} {} {b}", random.pick(&["and", "or", "&&", "||", "or"]))
        }
    }
}

/// An expression; one in thirty has a word too many or too few.
pub fn expression(random: &mut Random) -> String {
    let text = nested(random, 0);
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if random.chance(3) {
        let at = random.below(words.len());
        if random.chance(50) {
            words.remove(at);
        } else {
            words.insert(at, random.pick(&["(", ")", "or", "[", "]", "5", "tcp", "host", "-", "not"]));
        }
    }
    words.join(" ")
}
