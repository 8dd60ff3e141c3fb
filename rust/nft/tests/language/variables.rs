//! Variables: where they are known, and what is told of those that cannot be read.
use netfast_nft::parse;

/// The errors of a text, each with its place.
fn told(text: &str) -> Vec<String> {
    parse(text, "v").unwrap_err().iter().map(ToString::to_string).collect()
}

/// The rules of a text, as they are printed.
fn rules(text: &str) -> Vec<String> {
    let ruleset = parse(text, "v").unwrap_or_else(|errors| panic!("{text}\n{}", errors[0]));
    let printed = ruleset.to_string();
    printed.lines().filter(|line| line.contains("dport")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_error_is_told_for_every_text_that_is_refused() {
    // What is declared wrong hides the errors of those who use it, but never its own.
    let cases = [
        ("define a = $a", vec!["v:1:12: variable `a` is not declared here"]),
        ("redefine a = $a", vec!["v:1:14: variable `a` is not declared here"]),
        (
            "define a = $b\ndefine b = $a\ntable ip t {\nchain c {\ntcp dport $a\n}\n}",
            vec!["v:1:12: variable `b` is not declared here"],
        ),
        // One name, two kinds of things.
        (
            "define s = ,\ntable ip t {\nchain c {\nip saddr @s\n}\n}",
            vec!["v:1:12: found `,`", "v:4:1: set `s` is not declared here"],
        ),
        (
            "table ip t {\nlimit s { }\nchain c {\nlimit name s\nip saddr @s\n}\n}",
            vec!["v:2:7: the limit is missing", "v:5:1: set `s` is not declared here"],
        ),
    ];
    for (text, expected) in cases {
        let found = told(text);
        let alike = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected));
        assert!(alike, "{text}\n{found:?}");
    }
}

#[test]
fn a_variable_is_redefined_with_what_it_was() {
    let text = "define a = 22\nredefine a = { $a, 23 }\ntable ip t {\nchain c {\ntcp dport $a\n}\n}\n";
    assert_eq!(rules(text), ["tcp dport { 22, 23 }"]);
}

#[test]
fn variables_from_around_a_block_come_back_behind_it() {
    let text = "define a = 22
table ip t {
redefine a = 23
redefine a = { $a, 24 }
chain b {
redefine a = 25
tcp dport $a
undefine a
tcp dport $a
}
chain c {
tcp dport $a
undefine a
tcp dport $a
}
undefine a
chain d {
tcp dport $a
}
}
table ip u {
undefine a
chain c {
tcp dport $a
}
}
";
    let listed = [
        "tcp dport 25",
        "tcp dport { 23, 24 }",
        "tcp dport { 23, 24 }",
        "tcp dport { 23, 24 }",
        "tcp dport 22",
        "tcp dport 22",
    ];
    assert_eq!(rules(text), listed);
    let Some(namespace) = super::nft::Namespace::new("variables") else { return };
    namespace.nft(&["-f", "-"], text).unwrap();
    let listing = namespace.nft(&["list", "ruleset"], "").unwrap();
    assert_eq!(rules(&listing), listed);
}
