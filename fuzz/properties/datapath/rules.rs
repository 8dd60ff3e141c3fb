//! Rule sets made of bytes: each rule by itself is one that the language accepts.
use super::Bytes;

const MATCHES: &[&str] = &[
    "",
    "",
    "",
    "ip saddr 192.0.2.10",
    "ip saddr 192.0.2.0/24",
    "ip daddr 198.51.100.0/24",
    "ip daddr { 198.51.100.7, 192.0.2.10 }",
    "ip saddr @blocked",
    "ip6 saddr 2001:db8:1::10",
    "ip6 daddr 2001:db8:5::/48",
    "tcp dport { 22, 80, 443 }",
    "tcp dport 80-443",
    "tcp sport 4000-4001",
    "udp dport 53",
    "udp dport @ports",
    "udp sport 4000",
    "sctp dport 80",
    "meta l4proto { tcp, udp } th dport { 53, 80 }",
    "meta l4proto udp",
    "ct state new",
    "ct state established,related",
    "ct state established",
    "ct state invalid",
    "ct state untracked",
    "ct state related",
    "ct direction reply",
    "ct direction original",
    "ct status dnat",
    "ct status snat",
    "ct status assured",
    "ct status seen-reply",
    "ct status confirmed",
    "ct mark 1",
    "ct mark 0",
    "ct mark & 0x3 == 0x2",
    "ct expiration < 20s",
    "ct original ip saddr 192.0.2.10",
    "ct reply ip daddr 203.0.113.1",
    "ct original proto-dst 53",
    "meta mark 1",
    "meta mark 0-1",
    "meta mark != 2",
    "iifname \"lan\"",
    "iifname \"wan\"",
    "oifname \"wan\"",
    "oifname { \"lan\", \"dmz\" }",
    "ip length > 100",
    "meta length 60-200",
    "ip dscp ef",
    "ip6 dscp cs1",
    "ip ttl < 5",
    "ip6 hoplimit 2",
    "tcp flags syn",
    "tcp flags & (fin | syn | rst | ack) == syn",
    "tcp window > 1000",
    "icmp type echo-request",
    "icmpv6 type { echo-request, time-exceeded }",
    "icmp type { destination-unreachable, time-exceeded }",
    "ip frag-off & 0x1fff != 0",
    "exthdr frag exists",
    "exthdr hbh exists",
    "ip hdrlength > 5",
    "fib saddr . iif oif missing",
    "fib daddr type local",
    "fib saddr oif exists",
    "meta pkttype host",
    "meta pkttype { broadcast, multicast }",
    "limit rate 4/second burst 3 packets",
    "limit rate over 3/second burst 2 packets",
    "limit rate over 2 kbytes/second burst 300 bytes",
    "quota over 1500 bytes",
    "quota 900 bytes",
];

const STATEMENTS: &[&str] = &[
    "",
    "",
    "",
    "counter",
    "counter",
    "counter name hits",
    "meta mark set 1",
    "meta mark set 2",
    "meta mark set meta mark | 0x1",
    "meta mark set ct mark",
    "ct mark set 1",
    "ct mark set 2",
    "ct mark set meta mark",
    "meta mark set udp dport map { 53 : 1, 80 : 2 }",
    "log prefix \"seen \"",
];

const VERDICTS: &[&str] = &[
    "",
    "",
    "",
    "accept",
    "accept",
    "accept",
    "drop",
    "drop",
    "reject",
    "reject with tcp reset",
    "reject with icmpx admin-prohibited",
    "jump one",
    "jump two",
    "goto two",
    "return",
    "tcp dport vmap { 22 : drop, 80 : jump two, 443 : accept }",
    "meta length vmap { 20-60 : accept, 61-100 : jump two }",
    "ct state vmap { established : accept, new : jump two }",
];

const TRANSLATIONS: &[&str] = &[
    "masquerade",
    "oifname \"wan\" masquerade",
    "oifname \"wan\" masquerade",
    "meta l4proto { tcp, udp } masquerade to :2000-2002",
    "oifname \"wan\" masquerade fully-random",
    "snat ip to 203.0.113.77",
    "snat ip to 203.0.113.70-203.0.113.72 persistent",
    "oifname \"wan\" snat ip6 to 2001:db8:ff::77",
    "meta l4proto udp snat ip to 203.0.113.77:3000-3001",
    "ip saddr 192.0.2.11 snat ip to 192.0.2.11",
    "ip daddr 203.0.113.1 dnat ip to 192.0.2.10",
    "tcp dport 8080 dnat ip to 192.0.2.10:80",
    "udp dport 53 dnat ip to 192.0.2.10-192.0.2.12",
    "udp dport 53 dnat ip6 to [2001:db8:1::10]:5353",
    "ip6 daddr 2001:db8:ff::1 dnat ip6 to 2001:db8:1::11",
    "udp dport 80 redirect to :53",
    "tcp dport 22 redirect",
    "dnat ip to tcp dport map { 80 : 192.0.2.10, 443 : 192.0.2.11 }",
    "ip daddr 203.0.113.77 dnat ip to 192.0.2.12",
    "ip daddr 198.51.100.9 drop",
    "ip daddr 198.51.100.8 accept",
];

const BASES: &[(&str, &[&str])] = &[
    ("filter", &["raw", "-150", "-100", "0", "-250"]),
    ("filter", &["-150", "0", "100", "150"]),
    ("filter", &["0", "10", "-5"]),
    ("filter", &["-300", "-150", "0"]),
    ("filter", &["0", "50", "150"]),
    ("nat", &["dstnat"]),
    ("nat", &["srcnat", "srcnat"]),
    ("nat", &["100"]),
    ("nat", &["-100"]),
];
const HOOKS: [&str; 9] = [
    "prerouting",
    "input",
    "forward",
    "output",
    "postrouting",
    "prerouting",
    "postrouting",
    "input",
    "output",
];

/// The text around chains.
fn file(chains: &str) -> String {
    format!(
        "table inet t {{
            counter hits {{ }}
            set blocked {{ type ipv4_addr; flags interval; elements = {{ 192.0.2.12, 198.51.100.8/31 }}; }}
            set ports {{ type inet_service; flags interval; elements = {{ 53, 4000-4100 }}; }}
            {chains}
        }}"
    )
}

/// True when a rule may stand in a chain.
fn fits(head: &str, rule: &str) -> bool {
    let text = file(&format!("chain two {{ }}\nchain one {{ }}\nchain c {{ {head}\n{rule}\n}}"));
    netfast_nft::parse(&text, "rule").is_ok()
}

fn rule(bytes: &mut Bytes<'_>, translates: bool) -> String {
    if translates {
        let first = if bytes.one_in(3) { bytes.of(MATCHES) } else { "" };
        let counter = if bytes.one_in(4) { "counter" } else { "" };
        return format!("{first} {counter} {}", bytes.of(TRANSLATIONS));
    }
    let mut parts = vec![bytes.of(MATCHES)];
    if bytes.one_in(3) {
        parts.push(bytes.of(MATCHES));
    }
    parts.push(bytes.of(STATEMENTS));
    if bytes.one_in(4) {
        parts.push(bytes.of(STATEMENTS));
    }
    if bytes.one_in(12) {
        parts.push("notrack");
    }
    parts.push(bytes.of(VERDICTS));
    parts.join(" ")
}

/// A rule set.
pub fn ruleset(bytes: &mut Bytes<'_>) -> String {
    let mut chains = String::new();
    for name in ["two", "one"] {
        let count = bytes.below(3);
        let rules: Vec<_> = (0..count).map(|_| rule(bytes, false)).collect();
        let deeper = |rule: &String| name == "two" && (rule.contains("one") || rule.contains("two"));
        let text: String = rules
            .iter()
            .filter(|rule| !deeper(rule) && !rule.contains("jump one") && fits("", rule))
            .map(|rule| format!("{rule}\n"))
            .collect();
        chains += &format!("chain {name} {{ {text} }}\n");
    }
    for number in 0..bytes.below(6) {
        let at = bytes.below(BASES.len());
        let (kind, priorities) = BASES[at];
        let policy = if bytes.one_in(8) && kind != "nat" { "drop" } else { "accept" };
        let head =
            format!("type {kind} hook {} priority {}; policy {policy};", HOOKS[at], bytes.of(priorities));
        let count = bytes.below(7);
        let rules: Vec<_> = (0..count).map(|_| rule(bytes, kind == "nat")).collect();
        let text: String =
            rules.iter().filter(|rule| fits(&head, rule)).map(|rule| format!("{rule}\n")).collect();
        chains += &format!("chain b{number} {{ {head}\n{text} }}\n");
    }
    file(&chains)
}
