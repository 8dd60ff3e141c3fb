//! What is refused, where, and with which words.
use netfast_nft::parse;

use super::cases::file;

const INPUT: &str = "type filter hook input priority filter; policy drop;";
const DNAT: &str = "type nat hook prerouting priority dstnat;";
const SNAT: &str = "type nat hook postrouting priority srcnat;";
const OUTPUT: &str = "type filter hook output priority filter;";

/// The line on which `file` puts the rule, and the column of its first character.
const RULE_LINE: u32 = 15;
const RULE_COLUMN: u32 = 3;

/// Family, base chain, rule, characters of the rule before the error, a part of the message.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str, u32, &str)] = &[
    ("ip", INPUT, "ip saddr host.example", 9, "host names are not looked up"),
    ("ip", INPUT, "ip saddr ::1", 9, "IPv4 address"),
    ("ip", INPUT, "ip saddr 192.0.2", 9, "IPv4 address"),
    ("ip", INPUT, "ip saddr 192.0.2.300", 9, "four numbers from 0 to 255"),
    ("ip", INPUT, "ip saddr 010.0.0.1", 9, "without zeros in front"),
    ("ip", INPUT, "ip saddr 192.0.2.0/33", 19, "largest value is 32"),
    ("ip", INPUT, "ip saddr 192.0.2.9-192.0.2.1", 9, "exchange them"),
    ("ip", INPUT, "ip6 saddr ::1", 0, "ip6 excludes ip"),
    ("ip", INPUT, "meta nfproto ipv4", 5, "family inet"),
    ("inet", INPUT, "ip saddr 192.0.2.1 ip6 daddr ::1", 19, "ip6 excludes ip"),
    ("inet", INPUT, "ether type ip6 ip saddr 192.0.2.1 ether type ip6", 34, "ip6 excludes ip"),
    ("inet", INPUT, "tcp dport 22 udp dport 22", 13, "use two rules"),
    ("inet", INPUT, "tcp dport . udp dport { 1 . 2 }", 12, "use two rules"),
    ("inet", INPUT, "meta l4proto { tcp, udp } tcp dport 22", 26, "`th` has the ports"),
    ("inet", INPUT, "tcp dport 22 meta l4proto udp", 13, "excludes"),
    ("inet", INPUT, "tcp dport 65536", 10, "largest value is 65535"),
    ("inet", INPUT, "tcp dport 022", 10, "octal"),
    ("inet", INPUT, "tcp dport nosuch", 10, "unknown port `nosuch`"),
    ("inet", INPUT, "tcp dport ssh-https", 10, "unknown port"),
    ("inet", INPUT, "tcp dport -1", 10, "found `-`"),
    ("inet", INPUT, "tcp dport", 9, "the end of the line"),
    ("inet", INPUT, "tcp dport { }", 12, "found `}`"),
    ("inet", INPUT, "tcp dport { 22 23 }", 15, "`,` or `}`"),
    ("inet", INPUT, "tcp dport 22, 23", 12, "found `,`"),
    ("inet", INPUT, "tcp dport < 22-25", 12, "one number"),
    ("inet", INPUT, "tcp dport > { 5, 6 }", 12, "one number"),
    ("inet", INPUT, "tcp dport ! 5", 12, "flags"),
    ("inet", INPUT, "tcp dport vmap { 1-5 : accept, 3 : drop }", 15, "overlap"),
    ("inet", INPUT, "tcp dport vmap { 1 : accept, * : drop }", 29, "next rule"),
    ("inet", INPUT, "ip saddr . tcp dport { 192.0.2.0/24 . 5, 192.0.2.1 . 5 }", 21, "overlap"),
    ("inet", INPUT, "ip saddr . tcp dport 192.0.2.1", 21, "concatenations"),
    ("inet", INPUT, "ip saddr @nosuch", 0, "set `nosuch` is not declared"),
    ("inet", INPUT, "tcp dport @blocked", 0, "`blocked` holds ipv4_addr, inet_service is needed"),
    ("inet", INPUT, "tcp dport @backends", 0, "a set is needed"),
    ("inet", INPUT, "tcp dport vmap @backends", 0, "verdicts"),
    ("inet", INPUT, "tcp dport vmap @nosuch", 0, "map `nosuch` is not declared"),
    ("inet", INPUT, "tcp flags & syn,ack == syn", 15, "TCP flag"),
    ("inet", INPUT, "ip6 dscp & 3 == 1", 11, "cannot be masked"),
    ("inet", INPUT, "meta mark | 1 == 1", 10, "one mask"),
    ("inet", INPUT, "meta mark and 0xff or 1 == 1", 19, "one mask"),
    ("inet", INPUT, "icmp type nosuch", 10, "unknown ICMP type"),
    ("inet", INPUT, "icmp type destination-unreachable icmp id 5", 34, "ICMP type"),
    ("inet", INPUT, "ct state open", 9, "unknown connection state"),
    ("inet", INPUT, "ct original saddr 192.0.2.1", 12, "with its family"),
    ("inet", INPUT, "ct original proto-dst 80", 0, "ports need a match of the protocol"),
    ("inet", INPUT, "ct zone 5", 3, "one zone"),
    ("inet", INPUT, "iifname \"averylongname.toolong\"", 8, "15 bytes"),
    ("inet", INPUT, "iifname mark", 8, "in quotes"),
    ("inet", INPUT, "iif \"eth*\"", 4, "iifname"),
    ("inet", INPUT, "exthdr hbh { exists, missing }", 11, "exists"),
    ("inet", INPUT, "ip ttl 300", 7, "largest value is 255"),
    ("inet", INPUT, "meta cpu 0", 5, "not supported"),
    ("inet", INPUT, "skuid nobody", 6, "number of a user or group"),
    ("inet", INPUT, "tcp option nosuch exists", 11, "name or number of a TCP option"),
    ("inet", INPUT, "tcp option 5 left 4", 13, "unknown"),
    ("inet", INPUT, "tcp option timestamp tsval set 5", 0, "only the largest segment"),
    ("inet", INPUT, "tcp option maxseg size set 70000", 27, "largest value is 65535"),
    ("inet", INPUT, "tcp option maxseg size set rt mtu", 0, "at forward, output or postrouting"),
    ("inet", INPUT, "log level info group 2", 15, "excludes"),
    ("inet", INPUT, "log flags all snaplen 5", 14, "excludes"),
    ("inet", INPUT, "log prefix \"x\" level audit", 15, "excludes"),
    ("inet", INPUT, "log flags nosuch", 10, "tcp, ip, skuid, ether or all"),
    ("inet", INPUT, "jump { jump { accept; }; }", 12, "one block within a chain"),
    ("inet", INPUT, "meta nftrace set 2", 17, "largest value is 1"),
    ("inet", INPUT, "vlan id 5", 0, "VLAN's port"),
    ("inet", INPUT, "@th,0,16 5", 0, "raw bytes"),
    ("inet", INPUT, "accept counter", 7, "before it"),
    ("inet", INPUT, "drop drop", 5, "before it"),
    ("inet", INPUT, "jump nosuch", 0, "chain `nosuch` is not declared"),
    ("inet", INPUT, "jump c", 0, "base chain"),
    ("inet", INPUT, "counter name nosuch", 0, "counter `nosuch` is not declared"),
    ("inet", INPUT, "limit rate 0/second", 11, "at least 1"),
    ("inet", INPUT, "limit rate 1 mbytes/week", 11, "a shorter period"),
    ("inet", INPUT, "limit rate 5/week burst 4294967295 packets", 11, "a smaller burst"),
    ("inet", INPUT, "limit rate 5/second burst 0 packets", 26, "at least 1"),
    ("inet", INPUT, "ip dscp . ip saddr { cs1 . 192.0.2.1 }", 0, "on its own"),
    ("inet", INPUT, "meta length . ip saddr { 5 . 192.0.2.1 }", 0, "on its own"),
    ("inet", INPUT, "limit rate 5/fortnight", 13, "second, minute"),
    ("inet", INPUT, "limit rate 5/second burst 5 bytes", 28, "packets"),
    ("inet", INPUT, "limit name nosuch", 0, "limit `nosuch` is not declared"),
    ("inet", INPUT, "quota name mist", 0, "did you mean `most`?"),
    ("inet", INPUT, "flow add @ft", 0, "flow table `ft` is not declared"),
    ("inet", INPUT, "log level debug group 5", 16, "excludes"),
    ("inet", INPUT, "log prefix \"open", 11, "closing quote"),
    ("inet", INPUT, "queue", 0, "not supported"),
    ("inet", INPUT, "dup to 192.0.2.1", 0, "capture tap"),
    ("inet", INPUT, "tcp dport 22 set update ip saddr @blocked", 13, "constant or of intervals"),
    ("inet", INPUT, "add @nosuch { ip saddr }", 0, "set `nosuch` is not declared"),
    ("inet", INPUT, "add @seen { tcp dport }", 0, "ipv4_addr, inet_service is needed"),
    ("inet", INPUT, "add @seen { ip saddr timeout 0s }", 29, "cannot be 0"),
    ("inet", INPUT, "add @seen { ip saddr ct count over 3 }", 21, "limits, counters and quotas"),
    ("inet", INPUT, "update @backends { tcp dport : ip saddr }", 29, "not into maps"),
    ("inet", INPUT, "add @seen { ip saddr timeout 300 }", 29, "a time with its unit, such as `300s`"),
    ("inet", INPUT, "add @seen { ip saddr timeout $x }", 29, "nft has no variables for times"),
    ("inet", INPUT, "limit name tcp dport map { 22 : \"slow\" }", 11, "a rule for each value"),
    ("inet", INPUT, "meter m { ip saddr limit rate 1/second counter }", 6, "`add @set { … }`"),
    ("inet", INPUT, "jump { define a = 2; accept; }", 7, "before the rule"),
    ("inet", INPUT, "meter m { ip saddr }", 6, "what is metered"),
    ("inet", INPUT, "meter seen { ip saddr counter }", 6, "exists already"),
    ("inet", INPUT, "add @blocked { ip saddr }", 0, "constant or of intervals"),
    ("inet", INPUT, "ip ecn set ce", 7, "can be set"),
    ("inet", INPUT, "meta priority set 1", 5, "only marks"),
    ("inet", INPUT, "meta mark set meta mark or 1 and 2", 29, "one `&`"),
    ("inet", INPUT, "udp dport 1 reject with tcp reset", 24, "use two rules"),
    ("inet", INPUT, "ip saddr 192.0.2.1 reject with icmpv6 no-route", 31, "ip6 excludes ip"),
    ("inet", INPUT, "reject with icmpx 9", 18, "admin-prohibited"),
    ("inet", INPUT, "dnat ip to 10.0.0.1", 0, "of type nat at prerouting or output"),
    ("inet", INPUT, "é", 0, "ASCII"),
    ("inet", OUTPUT, "fib saddr . iif oif missing", 0, "at prerouting, input or forward"),
    ("inet", DNAT, "dnat to 10.0.0.1", 5, "dnat ip to"),
    ("inet", DNAT, "dnat ip to 10.0.0.1:80", 20, "ports need a match of the protocol"),
    ("inet", INPUT, "th dport 53", 0, "ports need a match of the protocol"),
    ("inet", INPUT, "ip6 saddr ::1 ct original ip saddr 192.0.2.1", 14, "ip excludes ip6"),
    ("inet", DNAT, "meta l4proto { tcp, icmp } redirect to :5353", 40, "ports need a match of the protocol"),
    ("inet", DNAT, "dnat ip to ip saddr map @exact", 0, "is needed"),
    ("inet", DNAT, "dnat ip prefix to 10.0.0.0/24", 8, "give the range"),
    ("inet", DNAT, "snat ip to 10.0.0.1", 0, "at postrouting or input"),
    ("inet", DNAT, "masquerade", 0, "at postrouting"),
    ("ip", SNAT, "snat ip6 to ::1", 5, "ip6 excludes ip"),
    ("ip", SNAT, "redirect", 0, "at prerouting or output"),
    ("ip", SNAT, "reject", 0, "at prerouting, input, forward or output"),
    ("ip", SNAT, "snat to ip saddr map { 10.0.0.0/24 : 192.0.2.1, 10.0.1.0/24 : 192.0.2.8-192.0.2.9 }", 8, "all elements a range"),
];

#[test]
fn rules_are_refused_at_their_place() {
    let mut wrong = Vec::new();
    for (family, base, rule, before, message) in REFUSED {
        match parse(&file(family, base, rule), "rules.nft") {
            Ok(_) => wrong.push(format!("{rule}: accepted")),
            Err(errors) => {
                let error = &errors[0];
                let place = (error.span.line, error.span.column);
                if place != (RULE_LINE, RULE_COLUMN + before) || !error.to_string().contains(message) {
                    wrong.push(format!(
                        "{rule}: {error}, expected column {}: {message}",
                        RULE_COLUMN + before
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whole files, the place of the first error and a part of its message.
#[rustfmt::skip]
const REFUSED_FILES: &[(&str, u32, u32, &str)] = &[
    ("table inet t\r\n", 1, 13, "line ends of Unix"),
    ("table inet t { set s { typeof exthdr frag; }; }", 1, 42, "do not work"),
    ("include \"other.nft\"", 1, 1, "put its text here"),
    ("include other.nft", 1, 9, "name of a file in quotes"),
    ("table arp t { }", 1, 7, "family ip, ip6 or inet"),
    ("table netdev t { }", 1, 7, "family ip, ip6 or inet"),
    ("table inet drop { }", 1, 12, "keeps this word"),
    ("table inet t {", 1, 15, "`}` at the end of the table"),
    ("table inet t { chain c {", 1, 25, "`}` at the end of the chain"),
    ("table inet t { flowtable f { } }", 1, 26, "flow table's hook is missing"),
    ("table inet t { chain c { }\nchain c { }; }", 2, 7, "chain `c` exists already"),
    ("create table inet t\ncreate table inet t", 2, 19, "table `t` exists already"),
    ("add chain inet t c", 1, 16, "table `t` is not declared"),
    ("delete table inet t", 1, 19, "table `t` is not declared"),
    ("delete table inet t", 1, 19, "is not declared"),
    ("undefine x", 1, 10, "variable `x` is not declared"),
    ("define x = 1\nundefine x\ntable t { chain c { tcp dport $x; }; }", 3, 32, "variable `x` is not declared"),
    ("list ruleset", 1, 1, "only declares"),
    ("table inet t\nadd rule inet t c accept", 2, 17, "chain `c` is not declared"),
    ("table inet t { chain c { type filter hook input priority 0; device eth0; } }", 1, 61, "iifname"),
    ("table inet t { chain c { type filter hook ingress priority 0; } }", 1, 43, "use `prerouting`"),
    ("table inet t { chain c { type nat hook forward priority 0; } }", 1, 40, "type nat is possible only"),
    ("table inet t { chain c { type nat hook prerouting priority -300; } }", 1, 60, "above -200"),
    ("table inet t { chain c { type route hook input priority 0; } }", 1, 42, "type route is possible only"),
    ("table inet t { chain c { type filter hook input priority srcnat; } }", 1, 58, "a number, raw"),
    ("table inet t { chain c { type filter hook input priority 0; policy reject; } }", 1, 68, "accept or drop"),
    ("table inet t { chain c { policy drop; } }", 1, 26, "only base chains"),
    ("table inet t { set s { flags interval; } }", 1, 20, "the set's type"),
    ("table inet t { set s { type ipv4_addr; timeout 300; }; }", 1, 48, "`300s` or `5m`"),
    ("table inet t { set s { type ipv4_addr; flags timeout; elements = { 1.1.1.1 timeout 300 comment \"x\" }; }; }", 1, 84, "`300s` or `5m`"),
    ("define x = 5m\ntable inet t { set s { type ipv4_addr; timeout $x; }; }", 2, 48, "no variables for times"),
    ("table inet t { set s { type ipv4_addr; timeout 213504d; }; }", 1, 48, "at most 213503 days"),
    ("table inet t { set s { type ipv4_addr; gc-interval 5m; }; }", 1, 20, "`flags timeout` is missing"),
    ("table inet t { set s { type ipv4_addr; flags dynamic,interval; }; }", 1, 20, "leave out one of the two"),
    ("table ip t { chain c {\nip saddr @m\nmeter m { ip saddr counter }\n}\n}", 2, 1, "meter `m` as a set"),
    ("table ip t { chain c {\nmeter m { ip saddr counter }\nadd @m { ip saddr }\n}\n}", 3, 1, "meter `m` as a set"),
    ("table ip t { chain c {\nmeter m { ip saddr counter }\n}\n}\nadd element ip t m { 1.1.1.1 }", 5, 18, "set `m` is not declared"),
    ("destroy chain ip t c", 1, 9, "`destroy` is not supported: only whole tables"),
    ("table inet t { set s { type nosuch; } }", 1, 29, "unknown type `nosuch`"),
    ("table inet t { set s { type ipv4_addr; timeout 5x; }; }", 1, 48, "write it as 1d2h3m4s"),
    ("table inet t { set s { type ipv4_addr; elements = { 192.0.2.1 timeout 5s }; }; }", 1, 63, "flags timeout"),
    ("table inet t { set s { type ipv4_addr; flags changing; }; }", 1, 46, "constant, interval, timeout or dynamic"),
    ("table inet t { set s { type ipv4_addr; elements = { 10.0.0.0/8 }; } }", 1, 53, "flags interval"),
    ("table inet t { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.0.0.1 }; } }", 1, 67, "auto-merge"),
    ("table inet t { set s { type ipv4_addr; elements = { 10.0.0.1 : accept }; } }", 1, 62, "not a map"),
    ("table inet t { map m { type inet_service : verdict; elements = { 1 : jump x }; }; }", 1, 20, "chain `x`"),
    ("table inet t { set s { type ipv4_addr; size 1; elements = { 10.0.0.1, 10.0.0.2 }; } }", 1, 59, "more than 1 elements"),
    ("define a = $b", 1, 12, "variable `b` is not declared"),
    ("define a = 1, 2", 1, 13, "{ a, b }"),
    ("define a = 1\ndefine a = 2", 2, 8, "variable `a` exists already"),
    ("table inet t { chain c { tcp dport $a } }", 1, 37, "variable `a` is not declared"),
    ("define a = ssh\ntable inet t { chain c { ip saddr $a } }", 1, 12, "IPv4 address"),
    ("table inet t { chain a { jump b; }\nchain b { goto a; }; }", 1, 26, "circle of jumps"),
    ("table inet t { chain c { accept } }", 1, 33, "before it"),
    ("table inet t { chain c { accept; } }", 1, 36, "before it"),
    ("table inet t { chain a { jump a; }; }", 1, 26, "circle of jumps"),
];

#[test]
fn files_are_refused_at_their_place() {
    let mut wrong = Vec::new();
    for (text, line, column, message) in REFUSED_FILES {
        match parse(text, "rules.nft") {
            Ok(_) => wrong.push(format!("{text}: accepted")),
            Err(errors) => {
                let error = &errors[0];
                if (error.span.line, error.span.column) != (*line, *column)
                    || !error.to_string().contains(message)
                {
                    wrong.push(format!("{text}: {error}, expected {line}:{column}: {message}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_names_the_file_and_reading_goes_on_behind_it() {
    let text = "table inet t {\n\tchain c {\n\t\ttcp dport 70000\n\t\taccept\n\t\tip saddr x\n\t}\n\tchain d { nosuch\n\t}\n}\n";
    let errors = parse(text, "edge.nft").unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], "edge.nft:3:13: 70000 is too large for port: the largest value is 65535");
    assert!(told[1].starts_with("edge.nft:5:12: unknown IPv4 address `x`"), "{}", told[1]);
    assert!(told[2].starts_with("edge.nft:7:12: found `nosuch`"), "{}", told[2]);
}

#[test]
fn errors_are_bounded() {
    let text = format!("table inet t {{ chain c {{\n{}}}\n}}", "tcp dport 70000\n".repeat(1000));
    assert_eq!(parse(&text, "many").unwrap_err().len(), netfast_nft::MAX_ERRORS);
}

/// A base chain and so many chains below each other.
pub fn nested(depth: usize) -> String {
    let mut text = "table inet t {\n".to_owned();
    for level in 1..depth {
        text.push_str(&format!("chain c{level} {{ jump c{}\n}}\n", level + 1));
    }
    text.push_str(&format!(
        "chain c{depth} {{ }}\nchain b {{ type filter hook input priority 0; jump c1; }}\n}}\n"
    ));
    text
}

#[test]
fn jumps_are_as_deep_as_the_kernel_takes_them() {
    assert!(parse(&nested(15), "deep").is_ok());
    let errors = parse(&nested(16), "deep").unwrap_err();
    assert!(errors[0].to_string().contains("more than 15 deep"), "{}", errors[0]);
}

#[test]
fn variables_cannot_blow_up() {
    let mut text = "define v0 = { 1, 2 }\n".to_owned();
    for level in 1..40 {
        text.push_str(&format!("define v{level} = {{ $v{0}, $v{0} }}\n", level - 1));
    }
    text.push_str("table inet t { chain c { tcp dport $v39; }; }");
    let errors = parse(&text, "bomb").unwrap_err();
    assert!(errors[0].to_string().contains("variables"), "{}", errors[0]);
}
