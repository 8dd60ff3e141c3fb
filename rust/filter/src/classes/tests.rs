use super::*;
use crate::RulesetLimits;
use netfast_nft::parse;

const V4: u128 = 0xffff_0000_0000;

fn rules(rules: &str) -> Ruleset {
    let text = format!(
        "table inet t {{\nset s {{\ntype ipv4_addr . inet_service\nflags interval\nelements = {{ 10.0.0.0/8 . 22, 10.1.0.0/16 . 80-90 }}\n}}\n\
         chain c {{\ntype filter hook forward priority 0\n{rules}\n}}\n}}\n"
    );
    let ast = parse(&text, "test").unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    Ruleset::compile(&ast, &[(1, "lan")], &RulesetLimits::default()).unwrap()
}

fn v4(text: &str) -> u128 {
    V4 | u128::from(u32::from(text.parse::<std::net::Ipv4Addr>().unwrap()))
}

#[test]
fn without_addresses_in_rules_there_is_one_class() {
    let classes = rules("ct state established accept\niifname lan meta l4proto tcp drop").classes().unwrap();
    let one = classes.of(v4("10.0.0.1"), v4("192.0.2.7"), (1, 2));
    assert_eq!(one, classes.of(u128::MAX, 0, (9, 65_535)));
}

#[test]
fn what_the_same_matches_hold_for_is_one_class_wherever_it_lies() {
    let classes =
        rules("ip saddr { 10.0.0.0/24, 10.9.0.0/24 } accept\nip saddr 10.0.1.0/24 drop").classes().unwrap();
    let class = |source: &str| classes.of(v4(source), 0, (0, 0))[0];
    assert_eq!(class("10.0.0.0"), class("10.9.0.255"));
    assert_eq!(class("10.0.2.0"), class("10.8.255.255"));
    assert_eq!(class("10.0.0.255"), class("10.0.0.1"));
    assert_ne!(class("10.0.0.255"), class("10.0.1.0"));
    assert_ne!(class("10.0.1.255"), class("10.0.2.0"));
    assert_eq!(class("0.0.0.0"), class("255.255.255.255"));
    assert_eq!(class("0.0.0.0"), classes.of(0x2001_0db8 << 96, 0, (0, 0))[0]);
}

#[test]
fn elements_of_concatenations_are_told_apart() {
    let classes = rules("ip saddr . tcp dport @s accept").classes().unwrap();
    let of = |source: &str, port| {
        let [source, _, _, port] = classes.of(v4(source), 0, (0, port));
        (source, port)
    };
    assert_eq!(of("10.0.0.1", 22), of("10.255.0.1", 22));
    assert_ne!(of("10.0.0.1", 22).0, of("10.1.0.1", 22).0);
    assert_ne!(of("10.0.0.1", 22).1, of("10.0.0.1", 80).1);
    assert_eq!(of("10.0.0.1", 90), of("10.0.0.1", 85));
    assert_ne!(of("10.0.0.1", 91).1, of("10.0.0.1", 85).1);
}

#[test]
fn overlapping_ranges_of_several_rules_are_told_apart() {
    let text = "udp dport 10-20 drop\nudp dport 15-30 drop\nudp dport 10-30 accept\nudp sport != 7 drop";
    let classes = rules(text).classes().unwrap();
    let port = |port| classes.of(0, 0, (0, port))[3];
    assert_eq!([port(9), port(31)], [port(0), port(65_535)]);
    assert_eq!([port(10), port(20), port(30)], [port(14), port(15), port(21)]);
    assert!(port(10) != port(15) && port(15) != port(21) && port(10) != port(21));
    let source = |port| classes.of(0, 0, (port, 0))[2];
    assert!(source(6) == source(8) && source(6) != source(7));
}

#[test]
fn what_classes_do_not_tell_has_none() {
    for text in [
        "ct original ip saddr 10.0.0.1 accept",
        "fib saddr . iif oif missing drop",
        "ip saddr & 0.0.0.255 == 0.0.0.7 accept",
    ] {
        assert!(rules(text).classes().is_none(), "{text}");
    }
    // What is each packet's own, is.
    assert!(rules("ip ttl 1 drop\nip length 100-200 drop\nct mark 5 accept\nip saddr . ip length { 10.0.0.1 . 60 } drop").classes().is_some());
}

#[test]
fn a_rule_set_with_too_many_values_has_none() {
    let mut cuts = Cuts::default();
    for value in 0..=MAX_CUTS as u128 {
        cuts.cut(Axis::Source, Field::Ip6Source, &Interval::single(value * 2));
    }
    assert!(cuts.lines.iter().any(|cuts| cuts.len() > MAX_CUTS));
    let elements: Vec<String> =
        (0..200_000u32).map(|n| std::net::Ipv4Addr::from(n * 2).to_string()).collect();
    let one = rules(&format!("ip saddr {{ {} }} drop", elements.join(", ")));
    assert!(one.classes().is_none());
    let few = rules(&format!("ip saddr {{ {} }} drop", elements[..1_000].join(", ")));
    assert!(few.classes().unwrap().memory_bytes() < 100_000);
}
