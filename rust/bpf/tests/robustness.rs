//! Nothing that is written or captured makes the filter panic, hang or grow.
mod common;

use common::{LINKS, Random, grammar};
use netfast_bpf::{Filter, FilterError, MAX_EXPRESSION};
use proptest::prelude::*;

fn compile(expression: &str) -> Result<Filter, FilterError> {
    Filter::compile(expression, 1)
}

/// Text made of the words and signs of the language.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "ip",
        "ip6",
        "tcp",
        "udp",
        "ether",
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "protochain",
        "src",
        "dst",
        "and",
        "or",
        "not",
        "!",
        "(",
        ")",
        "[",
        "]",
        ":",
        "/",
        "<",
        ">",
        "=",
        "!=",
        "<<",
        ">>",
        "+",
        "-",
        "*",
        "&",
        "|",
        "^",
        "%",
        "0",
        "1",
        "80",
        "4294967295",
        "0xffffffff",
        "08",
        "0x",
        "1.2.3.4",
        "10.1",
        "1.2.3.4.5",
        "::1",
        "::",
        "1:2:3:4:5:6",
        "10.0.0.0/8",
        "mask",
        "255.0.0.0",
        "vlan",
        "mpls",
        "pppoes",
        "geneve",
        "len",
        "less",
        "greater",
        "byte",
        "broadcast",
        "multicast",
        "type",
        "subtype",
        "dir",
        "mgt",
        "llc",
        "inbound",
        "ifindex",
        "radio",
        "wlan",
        "addr1",
        "$5",
        "\\tcp",
        "http",
        "ssh-http",
        "decnet",
        "icmp6",
        "tcpflags",
        "gateway",
        "lane",
        "é",
        "\u{0}",
        "\\",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_compiled_or_refused(text in ".{0,200}", link in prop::sample::select(LINKS)) {
        if let Err(error) = Filter::compile(&text, link) {
            prop_assert!(error.column().is_none_or(|column| column >= 1 && column <= text.len() + 1));
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_words_are_compiled_or_refused(text in words(), link in prop::sample::select(LINKS)) {
        if let Err(error) = Filter::compile(&text, link) {
            prop_assert!(error.column().is_none_or(|column| column >= 1 && column <= text.len() + 1));
        }
    }

    #[test]
    fn any_packet_is_decided(
        packet in prop::collection::vec(any::<u8>(), 0..200),
        seed in any::<u64>(),
        link in prop::sample::select(LINKS),
        wire in any::<u32>(),
    ) {
        let mut random = Random(seed);
        for _ in 0..4 {
            if let Ok(filter) = Filter::compile(&grammar::expression(&mut random), link) {
                let expected = common::interpret(&filter.to_bpf(), &packet, wire).unwrap_or(false);
                prop_assert_eq!(filter.matches(&packet, wire), expected);
            }
        }
    }
}

#[test]
fn nesting_has_a_limit() {
    for (open, middle, close) in
        [("(", "tcp", ")"), ("not ", "tcp", ""), ("ether[", "0", "]"), ("-", "1", " = len")]
    {
        for count in [10, 100_000 / (open.len() + close.len())] {
            let text = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
            let text = if text.len() > MAX_EXPRESSION { text[..MAX_EXPRESSION].to_owned() } else { text };
            match compile(&text) {
                Err(FilterError::TooDeep { limit, column }) => {
                    assert!(count > 10 && column > 0 && limit > 10)
                }
                other => assert!(count == 10, "{other:?}"),
            }
        }
    }
    let sum = format!("len = 1{}", " + 1".repeat(15_000));
    assert!(matches!(compile(&sum), Err(FilterError::TooDeep { .. })));
}

#[test]
fn length_has_a_limit() {
    let text = " ".repeat(MAX_EXPRESSION + 1);
    assert_eq!(
        compile(&text).err(),
        Some(FilterError::TooLong { length: MAX_EXPRESSION + 1, limit: MAX_EXPRESSION })
    );
}

#[test]
fn the_longest_chains_compile_in_bounded_time() {
    for (word, join) in [("tcp", " or "), ("host 1.2.3.4", " or "), ("port 80", " and "), ("l1", " or ")] {
        let count = MAX_EXPRESSION / (word.len() + join.len());
        let text = vec![word; count].join(join);
        match compile(&text) {
            Ok(filter) => assert!(!filter.matches(&[], 0)),
            Err(error) => assert!(matches!(error, FilterError::TooComplex { .. }), "{error}"),
        }
    }
}

#[test]
fn a_loop_in_a_packet_ends() {
    // An authentication header whose length leads back to itself: tcpdump never comes back from it.
    let filter = compile("ip protochain 6").expect("valid");
    let mut packet = vec![0u8; 100];
    packet[12] = 8;
    packet[14] = 0x45;
    packet[23] = 51;
    packet[34..].fill(51);
    assert_eq!(common::interpret(&filter.to_bpf(), &packet, 100), Some(false));
    // Length 3 gives 4 * (3 + 2) = 20 for X, where this header is.
    packet[35] = 3;
    assert_eq!(common::interpret(&filter.to_bpf(), &packet, 100), None, "a loop");
    assert!(!filter.matches(&packet, 100));
}

#[test]
fn errors_point_at_the_word() {
    let cases = [
        ("tcp prt 80", "column 5: found `prt`, expected `and`, `or` or the end of the expression"),
        (
            "port",
            "column 5: found the end of the expression, expected an address, a port, a protocol number or a name",
        ),
        (
            "host example.org",
            "column 6: unknown host `example.org`; names are not resolved here: write its address",
        ),
        ("port 70000", "column 6: port 70000 is greater than the maximum 65535"),
        ("net 10.1.2.3/8", "column 5: `10.1.2.3` has bits set beyond its mask; clear them, or use `host`"),
        ("ip and ip6", "the expression rejects all packets on this link type"),
        ("len = 09", "column 7: `09` is not a number of 32 bits (octal after 0, hexadecimal after 0x)"),
        ("tcp[0:3] = 1", "column 7: 3 bytes cannot be loaded; use 1, 2 or 4"),
        (
            "tcp and ether src 1.2.3.4",
            "column 19: `ether` does not go with an IPv4 address; write a link-layer address, or `ip`",
        ),
        ("len / 0 = 1", "column 1: division by zero"),
        ("wlan type mgt", "column 1: an 802.11 frame type or direction is not possible on link type 1"),
        (
            "wlan ra 02:00:00:00:00:01",
            "column 9: an 802.11 address (`ra`, `ta`) is not possible on link type 1",
        ),
        (
            "tcp.port == 80",
            "column 1: found `tcp.port`, expected a primitive such as `host`, `port` or `tcp`; this looks like a \
             display filter of Wireshark: capture filters say `tcp port 80` for `tcp.port == 80`, `src host A` for \
             `ip.src == A`",
        ),
        ("(tcp or udp", "column 12: found the end of the expression, expected `and`, `or` or `)`"),
    ];
    for (expression, text) in cases {
        assert_eq!(compile(expression).err().map(|e| e.to_string()).as_deref(), Some(text), "{expression}");
    }
}
