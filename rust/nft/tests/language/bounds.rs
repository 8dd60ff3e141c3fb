//! Texts that would take too much: each ends with an error that names its limit.
use netfast_nft::ast::RulesetAst;
use netfast_nft::{MAX_CHAINS, MAX_NAMED, MAX_RULE_ELEMENTS, MAX_RULES, parse};

/// The first error of a text.
fn refused(text: &str) -> String {
    parse(text, "b").unwrap_err()[0].to_string()
}

#[test]
fn parentheses_are_nested_sixteen_deep_at_most() {
    let text = |depth: usize, (before, after): (&str, &str)| {
        let value = format!("{}syn{}", "(".repeat(depth), ")".repeat(depth));
        format!("table inet t {{\nchain c {{\n{before} {value}{after}\n}}\n}}\n")
    };
    for around in [("tcp flags", ""), ("tcp flags syn,ack /", ""), ("tcp flags &", " == syn")] {
        assert!(parse(&text(16, around), "b").is_ok(), "{around:?}");
        for depth in [17, 600_000] {
            let told = refused(&text(depth, around));
            assert!(told.contains("more than 16 parentheses within each other"), "{told}");
        }
    }
}

fn accepted(text: &str) -> RulesetAst {
    parse(text, "b").unwrap_or_else(|errors| panic!("{}", errors[0]))
}

#[test]
fn rules_and_chains_are_counted_where_they_stand() {
    let rules = |count: usize| format!("table ip t {{\nchain c {{\n{}}}\n}}\n", "counter\n".repeat(count));
    assert!(parse(&rules(MAX_RULES), "b").is_ok());
    let told = refused(&rules(MAX_RULES + 1));
    assert!(told.starts_with("b:131075:1: more than 131072 rules: use sets and maps"), "{told}");

    let blocks =
        |count: usize| format!("table ip t {{\nchain c {{\n{}}}\n}}\n", "jump { accept; }\n".repeat(count));
    let last = accepted(&blocks(MAX_CHAINS - 1)).tables[0].chains.pop().unwrap();
    assert_eq!(last.name, format!("__chain{}", MAX_CHAINS - 2));
    let told = refused(&blocks(MAX_CHAINS));
    assert!(told.starts_with("b:4098:6: more than 4096 chains, blocks in rules among them"), "{told}");
}

#[test]
fn what_is_removed_counts_no_more() {
    let full = format!("table ip t {{\nchain c {{\n{}}}\n}}\n", "counter\n".repeat(MAX_RULES - 1));
    let rule = "add rule ip t c counter\n";
    assert!(refused(&format!("{full}{rule}{rule}")).contains("131072 rules"));
    let inserted = format!("{full}insert rule ip t c counter\n");
    for removal in
        ["flush ruleset", "flush ruleset ip", "flush chain ip t c", "flush table ip t", "delete table ip t"]
    {
        let ruleset = accepted(&format!("{inserted}{removal}\n{full}{rule}"));
        assert_eq!(ruleset.tables[0].chains[0].rules.len(), MAX_RULES, "{removal}");
    }
    assert!(refused(&format!("{inserted}flush ruleset ip6\n{rule}")).contains("131072 rules"));
    let tables: String =
        (0..=MAX_NAMED).map(|at| format!("add table ip t{at}\ndelete table ip t{at}\n")).collect();
    assert_eq!(accepted(&tables).tables.len(), 0);
}

#[test]
fn things_with_names_are_counted() {
    let kinds = [
        "counter n# { }",
        "limit n# { rate 1/second; }",
        "quota n# { 1 bytes; }",
        "set n# { type mark; }",
        "map n# { type mark : mark; }",
        "flowtable n# { hook ingress priority 0; }",
        "chain c { meter n# { ip saddr counter }; }",
    ];
    for kind in kinds {
        let text = |count: usize| {
            let lines: String = (0..count)
                .map(|at| format!("table ip t {{\n{}\n}}\n", kind.replace('#', &at.to_string())))
                .collect();
            lines
        };
        if kind == kinds[0] {
            // The table counts, too.
            accepted(&text(MAX_NAMED - 1));
        }
        assert!(refused(&text(MAX_NAMED)).contains("more than 16384 tables, sets, maps"), "{kind}");
    }
}

#[test]
fn variables_bring_a_bounded_number_of_elements() {
    let uses = |count: usize| {
        let values: Vec<String> = (0..65_536).step_by(2).map(|port| port.to_string()).collect();
        let rules = "tcp dport $ports accept\n".repeat(count);
        format!("define ports = {{ {} }}\ntable ip t {{\nchain c {{\n{rules}}}\n}}\n", values.join(", "))
    };
    let most = MAX_RULE_ELEMENTS / 32_768;
    accepted(&uses(most));
    let told = refused(&uses(most + 1));
    assert!(told.contains("more than 1048576 elements in the sets of rules"), "{told}");
    assert!(told.contains("declare a set"), "{told}");

    let devices: Vec<String> = (0..257).map(|at| format!("p{at}")).collect();
    let flowtable = |devices: &[String]| {
        let devices = devices.join(", ");
        format!("table ip t {{\nflowtable f {{\nhook ingress priority 0\ndevices = {{ {devices} }}\n}}\n}}\n")
    };
    accepted(&flowtable(&devices[..256]));
    assert!(refused(&flowtable(&devices)).contains("more than 256 ports of a flow table"));
}

#[test]
fn sets_without_room_have_no_limit() {
    let text = "table ip t {
set s { type ipv4_addr; size 0; elements = { 1.1.1.1, 1.1.1.2 }; }
set d { type ipv4_addr; size 0; flags dynamic; }
chain c {
add @d { ip saddr }
meter m size 0 { ip saddr counter }
}
}
";
    let ruleset = accepted(text);
    let sizes: Vec<_> = ruleset.tables[0].sets.iter().map(|set| (set.name.as_str(), set.size)).collect();
    assert_eq!(sizes, [("s", None), ("d", Some(65_535)), ("m", Some(65_535))]);
    let Some(namespace) = super::nft::Namespace::new("room") else { return };
    namespace.nft(&["-f", "-"], text).unwrap();
    let listed = namespace.nft(&["list", "ruleset"], "").unwrap();
    assert_eq!(listed.matches("size").count(), 2, "{listed}");
    assert_eq!(listed.matches("size 65535").count(), 2, "{listed}");
}

#[test]
fn a_set_that_rules_fill_has_room_for_what_it_declares() {
    let elements: Vec<String> =
        (0..70_000).map(|at| format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255)).collect();
    let text = |flags: &str| {
        let elements = elements.join(", ");
        format!(
            "table ip t {{\nset s {{ type ipv4_addr; {flags} elements = {{ {elements} }}; }}\nchain c {{\nadd @s {{ ip saddr }}\n}}\n}}\n"
        )
    };
    for flags in ["", "flags dynamic;"] {
        let ruleset = accepted(&text(flags));
        assert_eq!(ruleset.tables[0].sets[0].size, Some(70_000));
        assert_eq!(accepted(&ruleset.to_string()), ruleset);
    }
    assert!(refused(&text("size 65535;")).contains("more than 65535 elements"));
}

/// How often what takes `base` takes, at four times the size: the smallest of three.
#[expect(clippy::disallowed_methods, reason = "how long reading takes is what is asked")]
fn growth(text: impl Fn(usize) -> String, base: usize) -> f64 {
    let seconds = |count: usize| {
        let text = text(count);
        let begin = std::time::Instant::now();
        accepted(&text);
        begin.elapsed().as_secs_f64()
    };
    (0..3).map(|_| seconds(4 * base) / seconds(base)).fold(f64::INFINITY, f64::min)
}

#[test]
fn commands_one_by_one_take_time_in_proportion() {
    let insert = |count: usize| {
        let mut text = "table ip t {\nchain c { }\n}\n".to_owned();
        for number in 0..count {
            text.push_str(&format!("insert rule ip t c counter packets {number} bytes 0\n"));
            // Other commands in between change nothing.
            text.push_str("add chain ip t c\n");
        }
        text
    };
    let add = |count: usize| {
        let mut text = "table ip t {\nset x { type ipv4_addr; }\nset y { type mark; }\n}\n".to_owned();
        for at in 0..count {
            text.push_str(&format!(
                "add element ip t x {{ 10.{}.{}.{} }}\n",
                at >> 16,
                at >> 8 & 255,
                at & 255
            ));
            text.push_str(&format!("add element ip t y {{ {at} }}\n"));
        }
        text
    };
    // Four times as much in the fourfold time, not in the sixteenfold.
    assert!(growth(insert, 10_000) < 10.0);
    assert!(growth(add, 10_000) < 10.0);
}

#[test]
fn inserted_rules_stand_in_front_the_last_one_first() {
    let mut text = "table ip t {\nchain c { }\nchain d { }\n}\n".to_owned();
    for number in 1..=3 {
        text.push_str(&format!("add rule ip t c counter packets {number} bytes 0\n"));
        text.push_str(&format!("insert rule ip t c counter packets {number}0 bytes 0\n"));
        text.push_str(&format!("insert rule ip t d counter packets {number}00 bytes 0\n"));
    }
    let ruleset = accepted(&text);
    let of = |chain: usize| -> Vec<&str> {
        ruleset.tables[0].chains[chain]
            .rules
            .iter()
            .map(|rule| rule.text.trim_start_matches("counter packets ").trim_end_matches(" bytes 0"))
            .collect()
    };
    assert_eq!(of(0), ["30", "20", "10", "1", "2", "3"]);
    assert_eq!(of(1), ["300", "200", "100"]);
    // A rule that was inserted is a rule before the chain's type.
    let late = "table ip t {\nchain c { }\n}\ninsert rule ip t c accept\ntable ip t {\nchain c { type filter hook input priority 0; }\n}\n";
    assert!(refused(late).contains("the chain's type before its rules"));
}

#[test]
fn what_is_wrong_with_elements_is_told_where_it_was_added() {
    let cases = [
        (
            "add element ip t s { 4.4.4.4 }\nadd element ip t s { 2.2.2.0/24 }\nadd element ip t s { 5.5.5.5 }\n",
            "b:5:20: elements overlap",
        ),
        (
            "add element ip t s { 3.3.3.3 }\nadd element ip t s { 4.4.4.4 }\nadd element ip t s { 5.5.5.5 }\n",
            "b:6:20: more than 4 elements",
        ),
        // What is added twice is one.
        (
            "add element ip t s { 3.3.3.3 }\nadd element ip t s { 3.3.3.3 }\nadd element ip t s { 4.4.4.4 }\n",
            "",
        ),
        (
            "add element ip t s { 3.3.3.3 }\nflush set ip t s\nadd element ip t s { 1.1.1.0/24, 2.2.2.0/24 }\n",
            "",
        ),
    ];
    for (commands, expected) in cases {
        let set = "set s { type ipv4_addr; flags interval; size 4; elements = { 1.1.1.1, 2.2.2.2 }; }";
        let text = format!("table ip t {{\n{set}\n}}\n{commands}");
        let told = parse(&text, "b").err().map(|errors| errors[0].to_string()).unwrap_or_default();
        assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{commands}\n{told}");
    }
}

#[test]
fn of_an_element_told_twice_the_time_is_that_of_linux() {
    let text = "table ip t {
set s { type ipv4_addr; flags timeout; elements = { 10.0.0.0 timeout 1m, 10.0.0.0 timeout 1h }; }
set r { type ipv4_addr; flags timeout; elements = { 10.0.0.0 timeout 1h, 10.0.0.0 }; }
set u { type ipv4_addr; flags timeout,interval; elements = { 10.0.0.0 timeout 1m, 10.0.0.0 timeout 1h }; }
}
";
    let times = |ruleset: &RulesetAst| -> Vec<_> {
        let mut times: Vec<_> =
            ruleset.tables[0].sets.iter().map(|set| (set.name.clone(), set.elements[0].timeout)).collect();
        times.sort();
        times
    };
    let ours = times(&accepted(text));
    let named = |name: &str, time| (name.to_owned(), time);
    assert_eq!(ours, [named("r", None), named("s", Some(3_600_000)), named("u", Some(60_000))]);
}

#[test]
fn long_times_and_what_is_taken_out_are_as_nft_has_them() {
    let text = "table ip t {
set s { type ipv4_addr; flags dynamic,timeout; timeout 5000d; }
chain c {
delete @s { ip saddr counter limit rate 1/second }
}
}
";
    let ruleset = accepted(text);
    assert_eq!(ruleset.tables[0].sets[0].timeout, Some(5000 * 86_400_000));
    assert!(ruleset.to_string().contains("delete @s { ip saddr }"));
    let Some(namespace) = super::nft::Namespace::new("times") else { return };
    for text in [text.to_owned(), ruleset.to_string()] {
        namespace.nft(&["-f", "-"], &format!("flush ruleset\n{text}")).unwrap();
    }
}
