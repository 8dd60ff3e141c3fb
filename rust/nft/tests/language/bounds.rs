//! Texts that would take too much: each ends with an error that names its limit.
use netfast_nft::parse;

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
