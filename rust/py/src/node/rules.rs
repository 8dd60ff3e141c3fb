//! The rules of a node: those that were loaded, and those that short forms have added to them.
use super::include::{Again, Files, Included};
use super::mistake::{Mistake, Problem, Problems};
use super::place::Place;
use super::state::State;
use netfast_nft::ast::Span;
use netfast_nft::{Doubt, Finding, LanguageError, check_including, parse_including};
use std::sync::Arc;

/// Rules that were loaded, as text.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Where they come from.
    pub file: String,
    text: String,
    /// Lines of the text.
    count: usize,
    /// Of rules within another text: where each of their lines begins there.
    lines: Vec<Place>,
    /// What they include; none until they are read.
    included: Option<Included>,
    /// The files of that, by [`Span::file`] less 1.
    names: Vec<Arc<str>>,
}

impl Loaded {
    pub fn new(file: String, text: String, lines: Vec<Place>) -> Self {
        let count = text.lines().count();
        Self { file, text, count, lines, ..Self::default() }
    }

    /// The file and the place in it of something in the rules.
    pub fn locate(&self, span: Span) -> (Option<String>, Option<Place>) {
        if let Some(index) = span.file.checked_sub(1) {
            let name = self.names.get(usize::from(index)).map(|name| name.to_string());
            return (name, Some(Place { line: span.line, column: span.column }));
        }
        let place = self.place(span);
        (place.map(|_| self.file.clone()), place)
    }

    /// A place in the rules as a place in their own file; what a short form has added is in none.
    fn place(&self, span: Span) -> Option<Place> {
        let place = Place { line: span.line, column: span.column };
        let line = span.line.checked_sub(1)? as usize;
        if line >= self.count {
            return None;
        }
        if self.lines.is_empty() {
            return Some(place);
        }
        let Some(start) = self.lines.get(line).copied() else { return self.lines.last().copied() };
        Some(Place { column: start.column + span.column.saturating_sub(1), ..start })
    }
}

impl Loaded {
    /// What is probably not meant in the rules, with its place.
    pub fn findings(&self) -> Vec<(Span, String)> {
        // The text was read when it was loaded.
        let Some(included) = &self.included else { return Vec::new() };
        let again = &mut Again(included);
        let Ok((_, findings)) = check_including(&self.text, &self.file, again) else { return Vec::new() };
        let told = |finding: &Finding| match &finding.doubt {
            Doubt::Unreachable { by, file } => {
                let line = self.locate(*by).1.map_or(by.line, |place| place.line);
                Doubt::Unreachable { by: Span { line, ..*by }, file: file.clone() }.to_string()
            }
            doubt => doubt.to_string(),
        };
        findings.iter().map(|finding| (finding.span, told(finding))).collect()
    }
}

/// The table, of family `inet`, that short forms write to.
pub const OWN_TABLE: &str = "netfast";

/// The kinds of chains that short forms have.
const KINDS: &[(&str, &str, &str)] = &[
    ("filter", "prerouting", "filter"),
    ("filter", "input", "filter"),
    ("filter", "forward", "filter"),
    ("filter", "output", "filter"),
    ("filter", "postrouting", "filter"),
    ("nat", "prerouting", "dstnat"),
    ("nat", "input", "100"),
    ("nat", "output", "-100"),
    ("nat", "postrouting", "srcnat"),
];

/// Rules of short forms: each is a line in a chain of the table `inet netfast`.
#[derive(Clone, Debug, Default)]
pub struct OwnRules {
    /// Index into `KINDS`, and the rule.
    rules: Vec<(usize, String)>,
}

impl OwnRules {
    /// The same with one rule more; `None` for a chain that cannot be.
    pub fn with(&self, kind: &str, hook: &str, rule: &str) -> Option<Self> {
        let chain = KINDS.iter().position(|(known, at, _)| *known == kind && *at == hook)?;
        let mut rules = self.rules.clone();
        rules.push((chain, rule.to_owned()));
        Some(Self { rules })
    }

    /// The hooks that short forms of this kind may name.
    pub fn hooks(kind: &str) -> Vec<&'static str> {
        KINDS.iter().filter(|(known, ..)| *known == kind).map(|(_, hook, _)| *hook).collect()
    }

    /// The table in the language of nft; nothing without rules. A table of this name that was loaded goes on here.
    fn text(&self) -> String {
        let mut text = String::new();
        for (number, (kind, hook, priority)) in KINDS.iter().enumerate() {
            let rules: Vec<_> = self.rules.iter().filter(|(chain, _)| *chain == number).collect();
            if rules.is_empty() {
                continue;
            }
            let name = if *kind == "nat" { format!("nat_{hook}") } else { (*hook).to_owned() };
            text.push_str(&format!("\tchain {name} {{\n"));
            text.push_str(&format!("\t\ttype {kind} hook {hook} priority {priority}; policy accept;\n"));
            rules.iter().for_each(|(_, rule)| text.push_str(&format!("\t\t{rule}\n")));
            text.push_str("\t}\n");
        }
        if text.is_empty() { text } else { format!("table inet {OWN_TABLE} {{\n{text}}}\n") }
    }
}

impl State {
    /// Takes rules in place of those there are; an error leaves those. Files are read only for rules that have not been
    /// loaded before.
    pub fn load_rules(&mut self, mut loaded: Loaded, own: OwnRules) -> Result<(), Problems> {
        let mut text = loaded.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&own.text());
        let mut files = Files::default();
        let read = match &loaded.included {
            None => parse_including(&text, &loaded.file, &mut files),
            Some(included) => parse_including(&text, &loaded.file, &mut Again(included)),
        };
        let ast = read.map_err(|errors| problems(&loaded, errors))?;
        loaded.names = ast.included.0.clone();
        loaded.included.get_or_insert(files.read);
        self.node.set_rules(ast).map_err(|source| {
            let mistake = Mistake::Node { key: "rules", source };
            let place = loaded.lines.first().copied();
            Problems::of(Problem {
                file: Some(loaded.file.clone()).filter(|file| !file.is_empty()),
                place,
                mistake,
            })
        })?;
        (self.loaded, self.own) = (loaded, own);
        Ok(())
    }
}

fn problems(loaded: &Loaded, errors: Vec<LanguageError>) -> Problems {
    let mut problems = Problems::default();
    for error in errors {
        let (file, place) = match error.span.file {
            0 => loaded.locate(error.span),
            _ => (
                Some(error.file.to_string()),
                Some(Place { line: error.span.line, column: error.span.column }),
            ),
        };
        problems.push(Problem { file, place, mistake: Mistake::Rules(error.problem) });
    }
    problems
}
