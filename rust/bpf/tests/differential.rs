//! Compares programs with those of tcpdump, and their runs with those of a plain BPF machine.
//!
//! `recorded.txt` holds, for each expression and link type, a hash of the program that tcpdump with libpcap 1.10.3
//! compiled, so that the comparison needs no tcpdump. `NETFAST_RECORD=1 cargo test -p netfast-bpf` writes it anew
//! with the tcpdump that is installed.
mod common;

use std::fmt::Write as _;

use common::{LINKS, Random, grammar, packets};
use netfast_bpf::{ByteOrder, Filter, FilterError};

/// FNV-1a.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// A program's hash, or `-` when the expression is refused.
fn mark(program: &Result<String, String>) -> String {
    program.as_ref().map_or("-".to_owned(), |text| format!("{:08x}", hash(text)))
}

fn record() {
    let mut out = String::from("link types:");
    for link in LINKS {
        let _ = write!(out, " {link}");
    }
    out.push('\n');
    for expression in common::expressions() {
        for link in LINKS {
            let program =
                common::tcpdump_program(*link, ByteOrder::Little, expression).expect("tcpdump is installed");
            let _ = write!(out, "{} ", mark(&program));
        }
        let _ = writeln!(out, "{expression}");
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded.txt"), out)
        .expect("a writable folder");
}

#[test]
fn programs_are_those_that_were_recorded() {
    if std::env::var_os("NETFAST_RECORD").is_some() {
        record();
    }
    let recorded = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded.txt"));
    let recorded = recorded.expect("tests/recorded.txt");
    let mut lines = recorded.lines();
    let links: Vec<u16> =
        lines.next().expect("a head").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(links, LINKS);
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in lines {
        let mut parts = line.splitn(links.len() + 1, ' ');
        let marks: Vec<&str> = parts.by_ref().take(links.len()).collect();
        let expression = parts.next().unwrap_or("");
        for (link, recorded) in links.iter().zip(marks) {
            let ours = common::our_program(*link, ByteOrder::Little, expression);
            compared += 1;
            if mark(&ours) != recorded {
                wrong.push(format!("link type {link}: {expression}: {recorded}, ours {ours:?}"));
            }
        }
    }
    assert!(compared > 9_000, "{compared} comparisons");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn random_programs_are_those_of_tcpdump() {
    if common::tcpdump_is_missing() || common::tcpdump_is_another_release() {
        return;
    }
    let count = std::env::var("NETFAST_RANDOM").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let seed = std::env::var("NETFAST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let (mut accepted, mut wrong) = (0, Vec::new());
    for i in 0..count {
        // Half of them on Ethernet, where most is possible.
        let link = if i % 2 == 0 { 1 } else { LINKS[random.below(LINKS.len())] };
        let order = if random.chance(20) { ByteOrder::Big } else { ByteOrder::Little };
        let expression = grammar::expression(&mut random);
        let theirs = common::tcpdump_program(link, order, &expression).expect("tcpdump is installed");
        let ours = common::our_program(link, order, &expression);
        accepted += usize::from(theirs.is_ok());
        if theirs.is_ok() != ours.is_ok() || theirs.is_ok() && theirs != ours {
            wrong.push(format!(
                "link type {link}, {order:?}: {expression}\n tcpdump {theirs:?}\n ours {ours:?}"
            ));
        }
    }
    assert!(accepted * 4 > count, "only {accepted} of {count} expressions were valid");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn runs_are_those_of_a_plain_machine() {
    let mut random = Random(7);
    let (mut runs, mut kept) = (0u64, 0u64);
    for link in LINKS {
        let packets = packets::packets(11, *link, 160);
        let mut expressions: Vec<String> = common::expressions().iter().map(|e| (*e).to_owned()).collect();
        expressions.extend((0..300).map(|_| grammar::expression(&mut random)));
        for expression in &expressions {
            let Ok(filter) = Filter::compile(expression, *link) else { continue };
            let program = filter.to_bpf();
            for (packet, wire) in &packets {
                // A program that does not end keeps nothing.
                let expected = common::interpret(&program, packet, *wire).unwrap_or(false);
                assert_eq!(
                    filter.matches(packet, *wire),
                    expected,
                    "link type {link}: {expression}\npacket {packet:02x?}\n{}",
                    common::listing(&program)
                );
                runs += 1;
                kept += u64::from(expected);
            }
        }
    }
    assert!(runs > 500_000 && kept > runs / 20, "{kept} of {runs}");
}

/// The records of a classic capture.
fn records(capture: &[u8]) -> Vec<&[u8]> {
    let mut rest = &capture[24..];
    let mut out = Vec::new();
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        let (record, after) = rest.split_at(16 + len);
        out.push(record);
        rest = after;
    }
    out
}

#[test]
fn kept_frames_are_those_that_tcpdump_keeps() {
    if common::tcpdump_is_missing() {
        return;
    }
    let expressions = [
        "tcp port 80",
        "not tcp port 80",
        "port 443 or host 1.2.3.4",
        "host 10.0.0.1 or port 53 or host 5.6.7.8",
        "ip6 and not icmp6",
        "udp or sctp",
        "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
        "ip[6:2] & 0x3fff != 0",
        "ip6 protochain 17",
        "net 10.0.0.0/8 and not portrange 20-100",
        "vlan and vlan and ip",
        "vlan or mpls or ip",
        "mpls 5 and host 1.2.3.4",
        "pppoes and ip6",
        "geneve 5 and tcp",
        "broadcast or ip multicast",
        "llc or iso or stp",
        "wlan addr2 1:2:3:4:5:6 or type mgt",
        "outbound and ip",
        "len > 70 and ether[20] & 1 = 0",
        "greater 100 or less 30",
        "",
    ];
    let (mut compared, mut kept) = (0, 0);
    for link in LINKS {
        let packets = packets::packets(23, *link, 400);
        let capture = common::capture(*link, &packets);
        let all = records(&capture);
        for expression in expressions {
            let theirs =
                common::tcpdump(&capture, &["-w", "-", "--", expression]).expect("tcpdump is installed");
            let ours = Filter::compile(expression, *link);
            let (Ok(theirs), Ok(ours)) = (&theirs, &ours) else {
                assert_eq!(theirs.is_ok(), ours.is_ok(), "link type {link}: {expression}: {theirs:?}");
                continue;
            };
            let expected: Vec<&[u8]> = records(theirs);
            let found: Vec<&[u8]> = all
                .iter()
                .zip(&packets)
                .filter(|(_, (p, wire))| ours.matches(p, *wire))
                .map(|(r, _)| *r)
                .collect();
            assert!(
                found == expected,
                "link type {link}: {expression}: {} and {}",
                found.len(),
                expected.len()
            );
            compared += 1;
            kept += found.len();
        }
    }
    assert!(compared > 150 && kept > 10_000, "{kept} frames of {compared} runs");
}

#[test]
fn byte_order_matters_for_bsd_loopback_only() {
    for expression in ["ip", "ip6", "tcp port 80 or ip6 host ::1"] {
        for link in LINKS {
            let little = common::our_program(*link, ByteOrder::Little, expression);
            let big = common::our_program(*link, ByteOrder::Big, expression);
            assert_eq!(little != big, *link == 0, "link type {link}: {expression}");
        }
    }
    let ip = Filter::compile_with("ip", 0, ByteOrder::Big).expect("valid");
    assert!(ip.matches(&[0, 0, 0, 2], 4) && !ip.matches(&[2, 0, 0, 0], 4));
}

#[test]
fn long_expressions_jump_far() {
    let hosts: Vec<String> = (0..250).map(|i| format!("host 10.0.{}.{}", i / 100, i % 100)).collect();
    let filter = Filter::compile(&hosts.join(" or "), 1).expect("valid");
    let program = filter.to_bpf();
    assert!(program.len() > 500 && program.iter().any(|i| i.code == 5), "jumps are needed");
    for (packet, wire) in packets::packets(3, 1, 400) {
        assert_eq!(Some(filter.matches(&packet, wire)), common::interpret(&program, &packet, wire));
    }
    if common::tcpdump_is_missing() || common::tcpdump_is_another_release() {
        return;
    }
    for join in [" or ", " and not "] {
        for kind in ["host 10.0.0.", "port 1", "net 10.7.3."] {
            let expression: Vec<String> = (0..120).map(|i| format!("{kind}{i}")).collect();
            let expression = expression.join(join);
            let theirs =
                common::tcpdump_program(1, ByteOrder::Little, &expression).expect("tcpdump is installed");
            let ours = common::our_program(1, ByteOrder::Little, &expression);
            assert_eq!(theirs.is_ok(), ours.is_ok());
            assert!(theirs.is_err() || theirs == ours, "{expression}");
        }
    }
}

#[test]
fn link_type_14_is_raw_ip() {
    for expression in ["ip", "tcp port 80", "host ::1"] {
        let raw = common::our_program(101, ByteOrder::Little, expression);
        assert_eq!(common::our_program(14, ByteOrder::Little, expression), raw);
    }
    assert_eq!(Filter::compile("ip", 147).err(), Some(FilterError::UnsupportedLinkType { link: 147 }));
}
