//! Texts within texts.
use std::collections::HashMap;

use netfast_nft::{Doubt, Includes, MAX_INCLUDES, MAX_TEXT, Text, check_including, parse_including};

/// Texts by their names; of what was read, the bytes that were left for it.
#[derive(Default)]
struct Texts {
    texts: HashMap<&'static str, String>,
    left: Vec<usize>,
}

impl Texts {
    fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.texts.insert(name, text.into());
        self
    }
}

impl Includes for Texts {
    fn read(&mut self, name: &str, _: &str, left: usize) -> Result<Vec<Text>, String> {
        self.left.push(left);
        match self.texts.get(name) {
            Some(text) => Ok(vec![Text { name: name.into(), text: text.as_str().into() }]),
            None if name.contains('*') => Ok(Vec::new()),
            None => Err("there is none".to_owned()),
        }
    }
}

fn told(text: &str, texts: &mut Texts) -> Vec<String> {
    let read = parse_including(text, "main", texts);
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn texts_are_included_where_nft_includes_them() {
    let texts = || {
        Texts::default()
            .with("values", "1.1.1.1, 2.2.2.2\n")
            .with("type", "type ipv4_addr\n")
            .with("rule", "ip saddr { 1.1.1.1,\n2.2.2.2 } drop\n")
            .with("chain", "chain inner {\ninclude \"rule\"\n}\n")
            .with("counts", "packets 1 bytes 2\n")
            .with("table", "table ip x {\ninclude \"chain\"\n}\n")
            .with("block", "jump {\ninclude \"rule\"\n}\n")
    };
    let accepted = [
        "include \"table\"",
        "table ip t {\ninclude \"chain\"\n}",
        "table ip t {\nset s {\ninclude \"type\"\n}\n}",
        "add table ip t\nadd set ip t s {\ninclude \"type\"\n}",
        "table ip t {\ncounter k {\ninclude \"counts\"\n}\n}",
        "table ip t {\nchain c {\naccept; include \"rule\"\ntcp dport {\n1,\n2\n} accept\ninclude \"rule\"\n}\n}",
        "table ip t {\nchain c {\njump { accept; }\ninclude \"rule\"\n}\nset s { type ipv4_addr; elements = { 1.1.1.1 }\ninclude \"none*\"\n}\n}",
    ];
    for text in accepted {
        assert_eq!(told(text, &mut texts()), [""; 0], "{text}");
    }
    let refused = [
        ("table ip t {\nset s { type ipv4_addr\nelements = {\ninclude \"values\"\n}\n}\n}", "main:4:1"),
        ("define a = {\ninclude \"values\"\n}", "main:2:1"),
        ("table ip t {\ndefine a = {\ninclude \"values\"\n}\nchain c {\nip saddr $a\n}\n}", "main:3:1"),
        ("table ip t {\nchain c {\nip saddr {\ninclude \"values\"\n} accept\n}\n}", "main:4:1"),
        ("table ip t {\nchain c {\njump {\ninclude \"rule\"\n}\n}\n}", "main:4:1"),
        ("table ip t {\nchain c {\ninclude \"block\"\n}\n}", "block:2:1"),
    ];
    for (text, place) in refused {
        let found = told(text, &mut texts());
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert!(
            found[0].starts_with(place) && found[0].contains("include the whole statement"),
            "{}",
            found[0]
        );
    }
    nft_agrees(&texts(), &accepted, &refused.map(|(text, _)| text));
}

/// nft includes from a folder.
fn nft_agrees(texts: &Texts, accepted: &[&str], refused: &[&str]) {
    let Some(namespace) = super::nft::Namespace::new("including") else { return };
    let folder = std::env::temp_dir().join(format!("netfast-including-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in &texts.texts {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let load = |text: &str| {
        let path = folder.join("main");
        std::fs::write(&path, format!("flush ruleset\n{text}\n")).unwrap();
        namespace.nft(&["-I", folder.to_str().unwrap(), "-f", path.to_str().unwrap()], "")
    };
    let results: Vec<_> =
        accepted.iter().map(|text| (text, true)).chain(refused.iter().map(|text| (text, false))).collect();
    let wrong: Vec<_> = results
        .into_iter()
        .map(|(text, expected)| (text, expected, load(text)))
        .filter(|(_, expected, loaded)| loaded.is_ok() != *expected)
        .collect();
    let _ = std::fs::remove_dir_all(&folder);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_is_left_is_told_before_a_text_is_read() {
    let long = format!("#{}\n", "x".repeat(MAX_TEXT / 2 - 2));
    let main = "include \"long\"\ninclude \"long\"\ninclude \"never\"\n";
    let mut texts = Texts::default().with("long", long);
    let found = told(main, &mut texts);
    assert!(found[0].starts_with("main:2:1: more than 67108864 bytes of text, included"), "{found:?}");
    assert_eq!(texts.left, [MAX_TEXT - main.len(), MAX_TEXT / 2 - main.len()]);
}

#[test]
fn commands_that_bring_nothing_are_counted() {
    let mut texts = Texts::default();
    let found = told(&"include \"none*\"\n".repeat(MAX_INCLUDES + 5), &mut texts);
    assert!(found[0].starts_with("main:1025:1: more than 1024 included files"), "{found:?}");
    assert_eq!(texts.left.len(), MAX_INCLUDES + 1);
    // Errors are told up to their limit, and then nothing more is looked for.
    let mut texts = Texts::default();
    let found = told(&"include \"missing\"\n".repeat(1000), &mut texts);
    assert_eq!((found.len(), texts.left.len()), (50, 50));
}

#[test]
fn doubts_name_the_file_of_a_rule_in_another_one() {
    let chain = |rules: &str| {
        format!("table ip t {{\nchain c {{\ntype filter hook input priority 0\n{rules}}}\n}}\n")
    };
    let cases = [
        (chain("include \"rule\"\ndrop\n"), "the rule in line 2 of rule takes"),
        (chain("accept\ninclude \"rule\"\n"), "the rule in line 4 of main takes"),
        (chain("accept\ndrop\n"), "the rule in line 4 takes"),
    ];
    for (text, expected) in cases {
        let mut texts = Texts::default().with("rule", "\naccept\n");
        let (_, found) = check_including(&text, "main", &mut texts).unwrap();
        let told: Vec<String> = found
            .iter()
            .filter(|finding| matches!(finding.doubt, Doubt::Unreachable { .. }))
            .map(|finding| finding.doubt.to_string())
            .collect();
        assert_eq!(told.len(), 1, "{text}");
        assert!(told[0].contains(expected), "{}", told[0]);
    }
}
