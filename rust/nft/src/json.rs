//! The JSON of libnftables (`nft -j list ruleset`) to rule sets.
//!
//! The JSON is the text of nft(8) in another dress, so it is undressed: each object becomes a line of the rule language,
//! and the one parser reads it. What has no such line, or one that is refused, is reported and left out.
mod expression;
mod statement;

use serde_json::Value;

use crate::ast::RulesetAst;
use crate::error::{LanguageError, Problem};
use crate::include::NoIncludes;
use crate::parser::{MAX_TEXT, parse_with_defines};

/// Something in the JSON that a rule set here cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What it is: an object's kind or a part of it.
    pub what: String,
    /// Where: family, table, chain or set, handle.
    pub place: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}

/// Why an object has no line.
type Told = Result<String, String>;

/// Reads what `nft -j list ruleset` prints.
///
/// What cannot be expressed is listed and left out: whether the rest is of use is the caller's decision.
///
/// # Errors
///
/// Text that is not JSON, or not of this kind.
pub fn parse_json(text: &str) -> Result<(RulesetAst, Vec<Unsupported>), LanguageError> {
    let malformed = |expected, error: Option<&serde_json::Error>| LanguageError {
        file: "json".into(),
        span: crate::ast::Span {
            line: error.map_or(1, |error| u32::try_from(error.line()).unwrap_or(u32::MAX)),
            column: error.map_or(1, |error| u32::try_from(error.column()).unwrap_or(u32::MAX)),
            file: 0,
        },
        problem: Problem::Json { expected },
    };
    if text.len() > MAX_TEXT {
        return Err(malformed("a shorter text", None));
    }
    let json: Value = serde_json::from_str(text).map_err(|error| malformed("JSON", Some(&error)))?;
    let objects = json
        .get("nftables")
        .and_then(Value::as_array)
        .ok_or_else(|| malformed("an object `nftables` that is a list", None))?;
    Ok(Reader::default().read(objects))
}

/// A declaration or rule as a line of text.
struct Line {
    text: String,
    place: String,
    /// The rule's handle and the place of its chain, for rules.
    rule: Option<u64>,
}

#[derive(Default)]
struct Reader {
    unsupported: Vec<Unsupported>,
    /// Lines of one kind after the other: what is referred to comes first.
    tables: Vec<Line>,
    objects: Vec<Line>,
    chains: Vec<Line>,
    sets: Vec<Line>,
    rules: Vec<Line>,
}

impl Reader {
    fn read(mut self, objects: &[Value]) -> (RulesetAst, Vec<Unsupported>) {
        for object in objects {
            let Some((kind, body)) = object.as_object().and_then(|object| object.iter().next()) else {
                continue;
            };
            self.object(kind, body);
        }
        let mut lines: Vec<Line> = Vec::new();
        for part in [self.tables, self.objects, self.chains, self.sets, self.rules] {
            lines.extend(part);
        }
        self.unsupported.extend(drop_refused(&mut lines));
        let mut ruleset = read_lines(&lines).unwrap_or_default();
        name_rules(&mut ruleset, &lines);
        (ruleset, self.unsupported)
    }

    fn object(&mut self, kind: &str, body: &Value) {
        let place = place(kind, body);
        let told = match kind {
            "metainfo" => return,
            "table" => statement::table(body),
            "chain" => statement::chain(body),
            "set" | "map" => statement::set(kind, body),
            "counter" => statement::counter_object(body),
            "limit" => statement::limit_object(body),
            "quota" => statement::quota_object(body),
            "rule" => statement::rule(body),
            _ => Err(format!("objects of kind {kind}")),
        };
        match told {
            Err(what) => self.unsupported.push(Unsupported { what, place }),
            Ok(text) => {
                let rule = (kind == "rule").then(|| body.get("handle").and_then(Value::as_u64).unwrap_or(0));
                let lines = match kind {
                    "table" => &mut self.tables,
                    "chain" => &mut self.chains,
                    "rule" => &mut self.rules,
                    "counter" | "limit" | "quota" => &mut self.objects,
                    _ => &mut self.sets,
                };
                lines.push(Line { text, place, rule });
            }
        }
    }
}

fn read_lines(lines: &[Line]) -> Result<RulesetAst, Vec<LanguageError>> {
    let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    parse_with_defines(&text, "json", &mut NoIncludes, lines.len() + 1).map(|(ruleset, _)| ruleset)
}

/// Takes out the lines that the parser refuses, until it takes the rest.
fn drop_refused(lines: &mut Vec<Line>) -> Vec<Unsupported> {
    let mut refused = Vec::new();
    // Each round takes out at least one line; what hangs on it falls in the next.
    while let Err(errors) = read_lines(lines) {
        let mut bad: Vec<(usize, String)> = errors
            .into_iter()
            .map(|error| ((error.span.line as usize).saturating_sub(1), error.problem.to_string()))
            .filter(|(line, _)| *line < lines.len())
            .collect();
        bad.dedup_by_key(|bad| bad.0);
        if bad.is_empty() {
            lines.clear();
            break;
        }
        for (line, what) in bad.into_iter().rev() {
            let line = lines.remove(line);
            refused.push(Unsupported { what, place: line.place });
        }
    }
    refused
}

/// Gives the rules their handles, and the text that they would be printed as.
fn name_rules(ruleset: &mut RulesetAst, lines: &[Line]) {
    for table in &mut ruleset.tables {
        let family = table.family;
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            let line = (rule.span.line as usize).checked_sub(1).and_then(|line| lines.get(line));
            rule.handle = line.and_then(|line| line.rule);
            let text = rule.display(family).to_string();
            rule.text = text;
            rule.span = crate::ast::Span::default();
            rule.spans.fill(crate::ast::Span::default());
        }
    }
}

/// Where an object stands.
fn place(kind: &str, body: &Value) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut place = format!("{kind} {}", text("family"));
    for key in ["table", "chain", "name"] {
        if !text(key).is_empty() {
            place.push(' ');
            place.push_str(text(key));
        }
    }
    if let Some(handle) = body.get("handle").and_then(Value::as_u64) {
        place.push_str(&format!(" (handle {handle})"));
    }
    place
}
