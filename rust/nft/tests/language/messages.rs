//! What a mistake is told with: all that is told of a file, word for word.
use netfast_nft::parse;

/// All errors of a file, each with its place.
fn told(text: &str) -> Vec<String> {
    let errors = parse(text, "f").expect_err(text);
    errors.iter().map(|error| error.to_string().split_off(2)).collect()
}

/// A base chain, whose rules begin in line 3.
fn chain(rules: &str) -> String {
    format!("table inet t {{\nchain c {{ type filter hook input priority 0;\n{rules}\n}}\n}}\n")
}

#[test]
fn surplus_braces_are_told_once() {
    const COMMAND: &str = "found `}`, expected a command: table, add, create, flush, delete, define, include";
    assert_eq!(told("table inet t {\n}\n}\n"), [format!("3:1: {COMMAND}")]);
    assert_eq!(told("}"), [format!("1:1: {COMMAND}")]);
    // Reading goes on behind them.
    let text = "table inet t {\n} }\n}\n}\ntable inet u {\nnosuch\n}\n}}";
    assert_eq!(
        told(text),
        [
            format!("2:3: {COMMAND}"),
            "6:1: found `nosuch`, expected chain, set, map, counter or `}`".to_owned(),
            format!("8:1: {COMMAND}"),
        ]
    );
}

#[test]
fn open_blocks_are_told_with_the_end_and_where_they_begin() {
    #[rustfmt::skip]
    let cases = [
        ("table inet t {\n\tchain c {\n\t}\n", "3:3", "the table", 1),
        ("table inet t {\n\tchain c {\n\t\tcounter\n\n# end\n", "5:6", "the chain", 2),
        ("table inet t {\n\tset s {\n\ttype mark\n", "3:11", "the set", 2),
        ("table inet t {\n\tmap s {\n\ttype mark : verdict\n", "3:21", "the map", 2),
        ("table inet t {\n\tset s {\n\ttype mark; elements = { 1,\n", "3:28", "the elements", 3),
        ("table inet t {\n\tcounter s {\n", "2:13", "the counter", 2),
        ("define a = {\n1, ", "2:4", "the variable's value", 1),
    ];
    for (text, place, what, opened) in cases {
        let end = format!(
            "found the end of the file, expected `}}` at the end of {what} (opened at line {opened})"
        );
        assert_eq!(told(text), [format!("{place}: {end}")], "{text}");
    }
    // Elements without their brace take that of their chain; that is not told as well.
    assert_eq!(told(&chain("tcp dport { 22, 23 accept")), ["3:20: found `accept`, expected `,` or `}`"]);
}

#[test]
fn blocks_of_counters_and_limits_say_what_does_not_belong_there() {
    #[rustfmt::skip]
    let cases = [
        ("counter c { packets 1 bytes 2; packets 3 bytes 4 }", "1:47: the counter is told twice: remove one of them"),
        ("counter c { packets 1 bytes 2; packet 3 }", "1:47: found `packet`, expected packets, comment or `}`; did you mean `packets`?"),
        ("limit l { rate 1/second; rate 2/second }", "1:41: the limit is told twice: remove one of them"),
        ("limit l { rate 1/second; rates 2/second }", "1:41: found `rates`, expected `rate`; did you mean `rate`?"),
        ("quota q { over 1 bytes; comment \"x\"; until 1 bytes }", "1:53: the quota is told twice: remove one of them"),
    ];
    for (text, message) in cases {
        assert_eq!(told(&format!("table inet t {{ {text}; }}")), [message], "{text}");
    }
}

#[test]
fn places_of_chains_are_told_by_their_hooks() {
    assert_eq!(
        told("table inet t {\nchain postrouting { type nat hook forward priority 0; policy accept; }\n}"),
        [
            "2:35: type nat is possible only at prerouting, input, output or postrouting; this chain's hook is forward"
        ]
    );
    assert_eq!(
        told("table inet t {\nchain output { type route hook input priority 0; }\n}"),
        ["2:32: type route is possible only at output; this chain's hook is input"]
    );
    assert_eq!(
        told(&chain("masquerade")),
        [
            "3:1: masquerade is possible only in chains of type nat at postrouting; this one is reached from chain `c` of type filter at input"
        ]
    );
}

#[test]
fn names_that_are_not_declared_have_neighbours() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("define pub4 = 192.0.2.4\ndefine pub6 = 192.0.2.6\ntable ip t {\nchain c { ip saddr $pub5\n}\n}",
            &["4:21: variable `pub5` is not declared here: did you mean `pub6`?"]),
        ("table ip t {\nchain c { ip saddr $pub5\n}\n}",
            &["2:21: variable `pub5` is not declared here: declare it before, with `define pub5 = ...`"]),
        ("define a = { $lan }",
            &["1:14: variable `lan` is not declared here: declare it before, with `define lan = ...`"]),
        ("table ip lan { }\nadd chain ip lam c",
            &["2:14: table `lam` is not declared here: did you mean `lan`?"]),
        ("add chain ip6 lan c",
            &["1:15: table `lan` is not declared here: declare it before, with `table lan { }` and its family"]),
        ("table ip t { chain input { }\n}\nadd rule ip t inptu accept",
            &["3:15: chain `inptu` is not declared here: did you mean `input`?"]),
        ("table ip t {\nset blocked { type ipv4_addr; }\nmap bloked2 { type ipv4_addr : verdict; }\ncounter hits { }\nchain forward {\n\
          ip saddr @bloked drop\nip saddr vmap @blocked2\ncounter name hist\njump foward\njump x\n}\n}",
            &["6:1: set `bloked` is not declared here: did you mean `blocked`?",
              "7:1: map `blocked2` is not declared here: did you mean `bloked2`?",
              "8:1: counter `hist` is not declared here: did you mean `hits`?",
              "9:1: chain `foward` is not declared here: did you mean `forward`?",
              "10:1: chain `x` is not declared here: declare it before, in the same table"]),
        ("table ip t {\nset blocked { type ipv4_addr; }\n}\nadd element ip t bloked { 192.0.2.1 }",
            &["4:18: set `bloked` is not declared here: did you mean `blocked`?"]),
    ];
    for (text, expected) in cases {
        assert_eq!(told(text), *expected, "{text}");
    }
}

/// Rules, the column of their only error, and what is told of it.
#[rustfmt::skip]
const MISSPELT: &[(&str, u32, &str)] = &[
    ("oifnam lan accept", 1, "found `oifnam`, expected a match, such as `tcp dport 22`, or a statement, such as `accept`; did you mean `oifname`?"),
    ("tcp dport 22 acecpt", 14, "found `acecpt`, expected a match, such as `tcp dport 22`, or a statement, such as `accept`; did you mean `accept`?"),
    ("zzzzzz", 1, "found `zzzzzz`, expected a match, such as `tcp dport 22`, or a statement, such as `accept`"),
    ("ip saddr . tpc dport { 192.0.2.1 . 22 }", 12, "found `tpc`, expected a field, such as `ip saddr`, `tcp dport`, `meta mark`, `ct state`; did you mean `tcp`?"),
    ("ct state establshed accept", 10, "unknown connection state `establshed`: did you mean `established`?"),
    ("ct state open", 10, "unknown connection state `open`: write its number, or one of invalid, established, related, new, untracked"),
    ("ct sate new", 4, "found `sate`, expected state, direction, status, mark, expiration, original, reply, l3proto or protocol; did you mean `state`?"),
    ("tcp dport htp", 11, "unknown port `htp`: did you mean `http`?"),
    ("tcp dport { http, htpts }", 19, "unknown port `htpts`: did you mean `https`?"),
    ("tcp dport nosuchservice", 11, "unknown port `nosuchservice`: write its number, or IANA's name of a common service"),
    ("ip protocol tpc", 13, "unknown protocol `tpc`: did you mean `tcp`?"),
    ("ip protocol nosuch", 13, "unknown protocol `nosuch`: write its number, or IANA's name of a common protocol"),
    ("ip sadr 192.0.2.1", 4, "`ip` has no field `sadr`: did you mean `saddr`?"),
    ("udp nosuch 1", 5, "`udp` has no field `nosuch`: use one of sport, dport, length, checksum"),
    ("meta iifnam lan", 6, "`meta` has no field `iifnam`: did you mean `iifname`?"),
    ("meta cpu 5", 6, "`meta cpu` is not supported: match ports by name, protocols, marks or the length instead"),
    ("limit rate 5/secnd", 14, "found `secnd`, expected second, minute, hour, day or week; did you mean `second`?"),
    ("limit rate 5 kbytes/minut", 14, "found `minut`, expected second, minute, hour, day or week; did you mean `minute`?"),
    ("log level dbug", 11, "found `dbug`, expected emerg, alert, crit, err, warn, notice, info or debug; did you mean `debug`?"),
    ("reject wth tcp reset", 8, "nothing can follow a verdict: put this statement before it"),
    ("reject with icmpx no-rout", 19, "found `no-rout`, expected no-route, port-unreachable, host-unreachable or admin-prohibited; did you mean `no-route`?"),
    ("reject with icmpv6 77", 20, "unknown ICMPv6 code `77`: use one of no-route, admin-prohibited, addr-unreachable, port-unreachable, policy-fail, reject-route"),
    ("tcp dport vmap { 22 : acept }", 23, "found `acept`, expected accept, drop, continue, return, jump or goto; did you mean `accept`?"),
    ("fib saddr . iff oif missing", 13, "found `iff`, expected saddr or daddr, then perhaps `. iif`, `. oif` or `. mark`; did you mean `iif`?"),
    // What could not be read is not missed as well.
    ("ip saddr 192.0.2.800:80 accept", 10, "unknown IPv4 address `192.0.2.800`: write four numbers from 0 to 255 without zeros in front"),
    ("log prefix \"open", 12, "the closing quote is missing: put `\"` at the end of the text"),
    ("accept comment \"open", 16, "the closing quote is missing: put `\"` at the end of the text"),
    ("tcp dport 022", 11, "the octal number 022 is not supported: write it in decimal without zeros in front, or in hexadecimal"),
    ("ip saddr дом accept", 10, "found character 'д', expected ASCII text of the rule language (other characters only within quotes and comments)"),
];

#[test]
fn misspelt_words_are_told_once_with_what_was_meant() {
    for (rule, column, message) in MISSPELT {
        assert_eq!(told(&chain(rule)), [format!("3:{column}: {message}")], "{rule}");
    }
}

#[test]
fn misspelt_declarations_are_told_once_with_what_was_meant() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("tabel inet t { }",
            &["1:1: found `tabel`, expected a command: table, add, create, flush, delete, define, include; did you mean `table`?"]),
        ("table inet t {\nchian c { }\n}",
            &["2:1: found `chian`, expected chain, set, map, counter or `}`; did you mean `chain`?"]),
        ("table inet t {\nchain a { type filter hook foward priority 0; policy drop; }\n}",
            &["2:28: found `foward`, expected prerouting, input, forward, output or postrouting; did you mean `forward`?"]),
        ("table inet t {\nchain a { tpye filter hook forward priority 0; policy drop; }\n}",
            &["2:11: found `tpye`, expected a match, such as `tcp dport 22`, or a statement, such as `accept`; did you mean `type`?"]),
        ("table inet t {\nchain a { type filtr hook forward priority 0; policy dorp; }\n}",
            &["2:16: found `filtr`, expected filter, nat or route; did you mean `filter`?",
              "2:54: found `dorp`, expected accept or drop; did you mean `drop`?"]),
        ("table inet t {\nchain a { type filter hok forward priority 0; }\n}",
            &["2:23: found `hok`, expected `hook`; did you mean `hook`?"]),
        ("table inet t {\nchain a { type filter hook forward priority flter; }\n}",
            &["2:45: found `flter`, expected a number, raw, mangle, filter, security, dstnat (prerouting) or srcnat (postrouting); did you mean `filter`?"]),
        ("table inet t {\nset s { tpye mark; }\n}",
            &["2:9: found `tpye`, expected type, typeof, flags, elements, auto-merge, size, timeout, gc-interval, comment or `}`; did you mean `type`?"]),
        ("table inet t {\nset s { type mark; flags intreval; }\n}",
            &["2:26: found `intreval`, expected constant, interval, timeout or dynamic; did you mean `interval`?"]),
        // Uses of what could not be declared are not told as well.
        ("table inet t {\nset s { type ipv4_adr; }\nchain c { ip saddr @s accept\n}\n}",
            &["2:14: unknown type `ipv4_adr`: did you mean `ipv4_addr`?"]),
        ("define lan = $x\ntable ip t {\nchain c { ip saddr $lan accept\n}\n}",
            &["1:14: variable `x` is not declared here: declare it before, with `define x = ...`"]),
        ("table inet t {\nchain c { accept\n}\nchain c { type filter hook output priority 0;\nzzzzzz\n}\n}",
            &["4:7: chain `c` exists already: choose another name or remove one of them",
              "5:1: found `zzzzzz`, expected a match, such as `tcp dport 22`, or a statement, such as `accept`"]),
        ("table inet t {\nchain c { type filter hook input priority 0; accept\n}\nchain c { type filter hook output priority 0;\n}\n}",
            &["4:7: chain `c` exists already: choose another name or remove one of them"]),
    ];
    for (text, expected) in cases {
        assert_eq!(told(text), *expected, "{text}");
    }
}

#[test]
fn undeclared_names_are_bounded() {
    let text = format!("table inet t {{ chain c {{\n{}}}\n}}", "jump x\n".repeat(1000));
    assert_eq!(told(&text).len(), netfast_nft::MAX_ERRORS);
}
