//! What is accepted is loaded by nft, means there what it means here, and is printed in a form that nft takes.
//!
//! Needs root and nft 1.0.6 or newer; each test has a network namespace of its own.
use std::io::Write;
use std::process::{Command, Stdio};

use netfast_nft::ast::{ElementStatement, RulesetAst, Statement};
use netfast_nft::{parse, parse_json};

use super::cases::{ACCEPTED, ACCEPTED_FILES, canonical, file};

/// A network namespace that is removed with the value.
pub struct Namespace(String);

impl Namespace {
    /// None, with the reason printed, where there can be none.
    pub fn new(name: &str) -> Option<Self> {
        let name = format!("netfast-{name}-{}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .output()
            .is_ok_and(|output| output.status.success());
        if !made {
            println!("skipped: no network namespace can be made (needs root and iproute2)");
            return None;
        }
        let namespace = Self(name);
        if namespace.nft(&["--version"], "").is_err() {
            println!("skipped: nft is missing");
            return None;
        }
        Some(namespace)
    }

    /// What nft says; its errors if it fails.
    pub fn nft(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.0, "nft"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        drop(stdin);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A rule set with what nft may tell otherwise made alike.
fn comparable(mut ruleset: RulesetAst) -> RulesetAst {
    for table in &mut ruleset.tables {
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        for set in &mut table.sets {
            // The kernel tells the size that it chose.
            set.size = None;
            // Time goes on there; the JSON does not tell which sets rules may change.
            set.dynamic = false;
            for element in &mut set.elements {
                element.timeout = element.timeout.map(|_| 0);
            }
        }
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            for statement in &mut rule.statements {
                match statement {
                    Statement::Quota(quota) => quota.used = 0,
                    // Nor is at what the counters of elements begin.
                    Statement::Dynamic(dynamic) => {
                        for each in &mut dynamic.each {
                            if let ElementStatement::Counter { packets, bytes } = each {
                                (*packets, *bytes) = (0, 0);
                            }
                        }
                    }
                    // What follows from other statements is printed or not.
                    Statement::Match(found) => found.implicit = false,
                    _ => {}
                }
            }
        }
    }
    ruleset
}

#[test]
fn nft_loads_what_is_accepted_and_lists_the_same() {
    let Some(namespace) = Namespace::new("cases") else { return };
    let mut wrong = Vec::new();
    for (family, base, rule, _) in ACCEPTED {
        let text = file(family, base, rule);
        let ruleset = parse(&text, "rules.nft").unwrap();
        for text in [text, ruleset.to_string()] {
            if let Err(error) = namespace.nft(&["-f", "-"], &format!("flush ruleset\n{text}")) {
                wrong.push(format!("{rule}: nft: {error}\n{text}"));
                continue;
            }
            let listed = namespace.nft(&["list", "ruleset"], "").unwrap();
            match parse(&listed, "listed") {
                Err(errors) => wrong.push(format!("{rule}: its listing: {}", errors[0])),
                Ok(again) => {
                    if comparable(again.clone()) != comparable(ruleset.clone()) {
                        wrong.push(format!("{rule}: listed as {}", canonical(&again)));
                    }
                }
            }
            let json = namespace.nft(&["-j", "list", "ruleset"], "").unwrap();
            match parse_json(&json) {
                Err(error) => wrong.push(format!("{rule}: {error}")),
                Ok((again, unsupported)) => {
                    if !unsupported.is_empty() || comparable(again.clone()) != comparable(ruleset.clone()) {
                        wrong.push(format!("{rule}: in JSON {unsupported:?} {}", canonical(&again)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), 2 * ACCEPTED.len(), wrong.join("\n"));
}

#[test]
fn nft_loads_whole_files_and_their_printed_form() {
    let Some(namespace) = Namespace::new("files") else { return };
    let mut wrong = Vec::new();
    for text in ACCEPTED_FILES {
        let ruleset = parse(text, "rules.nft").unwrap();
        for text in [(*text).to_owned(), ruleset.to_string()] {
            let loaded =
                namespace.nft(&["flush", "ruleset"], "").and_then(|_| namespace.nft(&["-f", "-"], &text));
            if let Err(error) = loaded {
                wrong.push(format!("{text}\n{error}"));
                continue;
            }
            let listed = namespace.nft(&["list", "ruleset"], "").unwrap();
            match parse(&listed, "listed") {
                Err(errors) => wrong.push(format!("{text}\nlisted: {}\n{listed}", errors[0])),
                Ok(again) => {
                    if comparable(again.clone()) != comparable(ruleset.clone()) {
                        wrong.push(format!("{text}\nlisted as\n{again}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), 2 * ACCEPTED_FILES.len(), wrong.join("\n"));
}

#[test]
fn the_depth_of_jumps_is_that_of_the_kernel() {
    let Some(namespace) = Namespace::new("depth") else { return };
    for depth in [15, 16] {
        let text = super::refusals::nested(depth);
        let loaded = namespace.nft(&["-f", "-"], &format!("flush ruleset\n{text}"));
        assert_eq!(loaded.is_ok(), parse(&text, "deep").is_ok(), "{depth}: {loaded:?}");
    }
}

#[test]
fn nft_lists_random_rules_as_they_are_read() {
    let Some(namespace) = Namespace::new("random") else { return };
    let mut wrong = Vec::new();
    for seed in 1..=20_u64 {
        let text = super::properties::Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rules(20);
        let ruleset = parse(&text, "random").unwrap();
        if let Err(error) = namespace.nft(&["-f", "-"], &format!("flush ruleset\n{text}")) {
            wrong.push(error);
            continue;
        }
        let listed = namespace.nft(&["list", "ruleset"], "").unwrap();
        let again = match parse(&listed, "listed") {
            Err(errors) => {
                wrong.push(format!("{}\n{listed}", errors[0]));
                continue;
            }
            Ok(again) => comparable(again),
        };
        let ruleset = comparable(ruleset);
        let chain = |ruleset: &RulesetAst| {
            ruleset.tables[0].chains.iter().find(|chain| chain.name == "c").unwrap().clone()
        };
        for (rule, again) in chain(&ruleset).rules.iter().zip(&chain(&again).rules) {
            if rule != again {
                wrong.push(format!("{}\n   listed as {}", rule.text, again.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rule sets on the page about the language.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../../../docs/rules.md");
    page.split("```nft\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn documented_rule_sets_are_read_without_doubts() {
    assert!(!documented().is_empty());
    for text in documented() {
        let (_, findings) =
            netfast_nft::check(text, "rules.md").unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert!(findings.is_empty(), "{findings:?}");
    }
}

#[test]
fn nft_loads_documented_rule_sets() {
    let Some(namespace) = Namespace::new("docs") else { return };
    for text in documented() {
        namespace.nft(&["-f", "-"], text).unwrap();
    }
}
