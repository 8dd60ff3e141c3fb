//! Text to rule sets.
//!
//! A recursive descent over the tokens. Rules are resolved as they are read: values to numbers, implied matches made
//! explicit. What a rule refers to is looked up when its command ends, as nft(8) does, so that a table's block may use
//! its sets and chains in any order. After an error reading goes on with the next statement.
mod commands;
mod declare_set;
mod dynamic;
mod fields;
mod limits;
mod log;
mod mark;
mod named;
mod nat;
pub(crate) mod objects;
mod reading;
mod reject;
mod rule;
mod sets;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Included, RulesetAst, Span};
use crate::error::{LanguageError, Problem, Thing};
use crate::field::TableFamily;
use crate::findings::UnusedDefine;
use crate::include::{Includes, NoIncludes, gather, spliced};
use crate::lexer::{Kind, Token};
use crate::nearest::nearest;

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 64 << 20;
/// Errors are counted up to here; then reading ends.
pub const MAX_ERRORS: usize = 50;
/// The most rules of a rule set.
pub const MAX_RULES: usize = 1 << 17;
/// The most chains of a rule set, blocks within rules counted.
pub const MAX_CHAINS: usize = 1 << 12;
/// The most other things with names: tables, sets, maps, meters, counters, limits, quotas and flow tables together.
pub const MAX_NAMED: usize = 1 << 14;
/// The most elements of a set.
pub const MAX_ELEMENTS: usize = 1 << 21;
/// The most elements of all sets and maps of a rule set.
pub const MAX_ALL_ELEMENTS: usize = 1 << 22;
/// The most elements of all sets and maps that stand in rules and have no names. A short text may have many: each use
/// of a variable brings all of its elements.
pub const MAX_RULE_ELEMENTS: usize = 1 << 20;
/// How deeply variables may use variables.
const MAX_VARIABLE_DEPTH: usize = 16;
/// How deeply parentheses may stand within each other.
const MAX_PARENTHESES: usize = 16;
/// How often variables may be used, each use within another one counted.
const MAX_EXPANSIONS: usize = 1 << 20;
/// The longest name (`NFT_NAME_MAXLEN` of Linux, without its final zero).
const MAX_NAME: usize = 255;
/// The longest comment (`NFTNL_UDATA_COMMENT_MAXLEN`).
const MAX_COMMENT: usize = 128;

/// Reads a rule set.
///
/// # Errors
///
/// Everything that is wrong, in the order of the text, at most [`MAX_ERRORS`].
pub fn parse(text: &str, file_name: &str) -> Result<RulesetAst, Vec<LanguageError>> {
    parse_including(text, file_name, &mut NoIncludes)
}

/// Reads a rule set whose `include` commands get their texts from the caller.
///
/// # Errors
///
/// As [`parse`]; also for what cannot be included.
pub fn parse_including(
    text: &str,
    file_name: &str,
    includes: &mut dyn Includes,
) -> Result<RulesetAst, Vec<LanguageError>> {
    parse_with_defines(text, file_name, includes, MAX_ERRORS).map(|(ruleset, _)| ruleset)
}

/// Reads a rule set, and tells which of its variables are not used.
///
/// # Errors
///
/// As [`parse`], at most `max_errors`.
pub(crate) fn parse_with_defines(
    text: &str,
    file_name: &str,
    includes: &mut dyn Includes,
    max_errors: usize,
) -> Result<(RulesetAst, Vec<UnusedDefine>), Vec<LanguageError>> {
    let file: Arc<str> = file_name.into();
    if text.len() > MAX_TEXT {
        let problem =
            Problem::TooMany { what: "bytes of text", limit: MAX_TEXT, remedy: "split the rule set" };
        return Err(vec![LanguageError { file, span: Span { line: 1, column: 1, file: 0 }, problem }]);
    }
    let (included, refused) = gather(text, &file, includes);
    let texts: Vec<&str> = std::iter::once(text).chain(included.iter().map(|one| &*one.text)).collect();
    let (tokens, problems) = spliced(&texts, &included);
    let mut parser = Parser::new(&texts, tokens, max_errors);
    for (span, problem) in refused.into_iter().chain(problems).take(max_errors) {
        parser.faults.push(Fault { span, problem });
    }
    parser.file();
    let unused = parser.unused;
    let names: Vec<Arc<str>> = included.iter().map(|one| one.name.clone()).collect();
    if parser.faults.is_empty() {
        parser.ruleset.included = Included(names);
        return Ok((parser.ruleset, unused));
    }
    let name_of = |span: Span| match span.file.checked_sub(1) {
        None => file.clone(),
        Some(index) => names.get(usize::from(index)).cloned().unwrap_or_default(),
    };
    let faults = told_once(parser.faults, &parser.failed);
    Err(faults
        .into_iter()
        .take(max_errors)
        .map(|fault| LanguageError { file: name_of(fault.span), span: fault.span, problem: fault.problem })
        .collect())
}

/// The errors in the order of the text, without those that follow from others: a second one at the same place, uses of
/// what could not be declared, and the end of blocks behind elements without theirs.
///
/// Something is always left: what hides an error was told before it.
fn told_once(faults: Vec<Fault>, failed: &Failed<'_>) -> Vec<Fault> {
    let follows = |number: usize, fault: &Fault| match &fault.problem {
        Problem::Undeclared { kind, name, .. } => {
            failed.get(&(names_of(*kind), name.as_str())).is_some_and(|&first| first < number)
        }
        _ => false,
    };
    let first_ones = faults.into_iter().enumerate().filter(|(number, fault)| !follows(*number, fault));
    let mut faults: Vec<Fault> = first_ones.map(|(_, fault)| fault).collect();
    // Where elements lack their brace, blocks lack one at the end.
    let open = |fault: &Fault| matches!(fault.problem, Problem::Unexpected { expected: sets::GOES_ON, .. });
    if faults.iter().any(open) {
        faults.retain(|fault| !matches!(fault.problem, Problem::Unclosed { .. }));
    }
    faults.sort_by_key(|fault| (fault.span.file, fault.span.line, fault.span.column));
    let place = |fault: &Fault| {
        let unclosed = matches!(fault.problem, Problem::Unclosed { .. });
        (fault.span.file, fault.span.line, fault.span.column, unclosed)
    };
    faults.dedup_by_key(|fault| place(fault));
    faults
}

/// Names whose declarations are wrong, with the number of the error that says so.
type Failed<'a> = HashMap<(Thing, &'a str), usize>;

/// Sets and maps share their names.
fn names_of(kind: Thing) -> Thing {
    if kind == Thing::Map { Thing::Set } else { kind }
}

/// An error on its way out of the parser.
#[derive(Debug)]
pub(crate) struct Fault {
    pub span: Span,
    pub problem: Problem,
}

use reading::Reading;

type Parsed<T> = Result<T, Fault>;

/// A variable: the tokens of its value.
struct Define<'a> {
    name: &'a str,
    from: usize,
    to: usize,
    used: bool,
    /// It was taken back, or another took its place; values that use it still do.
    hidden: bool,
    span: Span,
}

/// A rule whose references have yet to be looked up.
#[derive(Clone, Copy)]
struct Pending {
    table: usize,
    chain: usize,
    rule: usize,
}

struct Parser<'t, 'a> {
    /// By [`Span::file`].
    texts: &'t [&'a str],
    tokens: Vec<Token<'a>>,
    at: usize,
    /// Where the tokens end: those of the text, or those of the variable that is read.
    limit: usize,
    variable_depth: usize,
    parentheses: usize,
    /// The variable whose value is read.
    within: Option<usize>,
    expansions: usize,
    defines: Vec<Define<'a>>,
    /// The first of them that the block that is read has defined.
    scope: usize,
    unused: Vec<UnusedDefine>,
    ruleset: RulesetAst,
    /// By table: what waits until all is read.
    reading: Vec<Reading>,
    pending: Vec<Pending>,
    rules: usize,
    chains: usize,
    /// Other things with names.
    named: usize,
    elements: usize,
    /// Elements in the sets of rules.
    rule_elements: usize,
    faults: Vec<Fault>,
    /// Within the block of an anonymous chain.
    in_block: bool,
    failed: Failed<'a>,
    max_errors: usize,
}

impl<'t, 'a> Parser<'t, 'a> {
    fn new(texts: &'t [&'a str], tokens: Vec<Token<'a>>, max_errors: usize) -> Self {
        let limit = tokens.len() - 1;
        Self {
            texts,
            tokens,
            at: 0,
            limit,
            variable_depth: 0,
            parentheses: 0,
            within: None,
            expansions: 0,
            defines: Vec::new(),
            scope: 0,
            unused: Vec::new(),
            ruleset: RulesetAst::default(),
            reading: Vec::new(),
            pending: Vec::new(),
            rules: 0,
            chains: 0,
            named: 0,
            elements: 0,
            rule_elements: 0,
            faults: Vec::new(),
            in_block: false,
            failed: HashMap::new(),
            max_errors,
        }
    }

    fn file(&mut self) {
        loop {
            self.skip_separators();
            if self.peek() == Kind::End || self.faults.len() >= self.max_errors {
                break;
            }
            let begin = self.at;
            if let Err(fault) = self.command() {
                self.faults.push(fault);
                self.recover(begin);
                // Here nothing is open that a brace could close.
                while matches!(self.peek(), Kind::Newline | Kind::Symbol("}")) {
                    self.at += 1;
                }
            }
            self.settle_references();
        }
        self.settle_order();
        if self.faults.is_empty() {
            self.faults = crate::check::structure(&self.ruleset);
        }
        self.forget_variables();
    }

    /// Goes on behind the statement that began at `begin`.
    fn recover(&mut self, begin: usize) {
        self.at = begin;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Kind::End => return,
                Kind::Symbol("{") => depth += 1,
                Kind::Symbol("}") if depth == 0 => return,
                Kind::Symbol("}") => depth -= 1,
                Kind::Newline | Kind::Symbol(";") if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn token(&self) -> Token<'a> {
        if self.at < self.limit {
            self.tokens[self.at]
        } else {
            // The end of a variable's value looks like the end of the text.
            let last = self.tokens[self.limit.min(self.tokens.len() - 1)];
            Token { kind: Kind::End, ..last }
        }
    }

    fn peek(&self) -> Kind<'a> {
        self.token().kind
    }

    fn peek_at(&self, ahead: usize) -> Kind<'a> {
        self.tokens[..self.limit].get(self.at + ahead).map_or(Kind::End, |token| token.kind)
    }

    fn span(&self) -> Span {
        self.token().span
    }

    fn bump(&mut self) -> Token<'a> {
        let token = self.token();
        if self.at < self.limit {
            self.at += 1;
        }
        token
    }

    fn fault<T>(&self, problem: Problem) -> Parsed<T> {
        Err(Fault { span: self.span(), problem })
    }

    fn unexpected<T>(&self, expected: &'static str) -> Parsed<T> {
        self.fault(Problem::Unexpected { found: self.peek().to_string(), expected, nearest: None })
    }

    /// As [`unexpected`](Self::unexpected), where a word could be one of `known`.
    fn unexpected_word<T>(
        &self,
        expected: &'static str,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Parsed<T> {
        let nearest = match self.peek() {
            Kind::Word(word) => nearest(word, known),
            _ => None,
        };
        self.fault(Problem::Unexpected { found: self.peek().to_string(), expected, nearest })
    }

    /// The text ended, or something stands there that no such block has.
    fn unexpected_in_block<T>(
        &self,
        what: &'static str,
        opened: u32,
        expected: &'static str,
        known: &[&'static str],
    ) -> Parsed<T> {
        match self.peek() {
            Kind::End if self.variable_depth == 0 => self.fault(Problem::Unclosed { what, opened }),
            _ => self.unexpected_word(expected, known.iter().copied()),
        }
    }

    fn unknown_variable(&self, name: &str) -> Problem {
        let known = self.defines.iter().rev().filter(|define| !define.hidden);
        Problem::undeclared(Thing::Variable, name, known.map(|define| define.name))
    }

    /// Which variable a name means here. Within a value it is the one that was there when that was defined.
    fn define_of(&self, name: &str) -> Option<usize> {
        let seen = self.within.unwrap_or(self.defines.len());
        let means = |define: &Define<'_>| define.name == name && (self.within.is_some() || !define.hidden);
        self.defines.get(..seen)?.iter().rposition(means)
    }

    fn unsupported<T>(&self, what: &str, instead: &'static str) -> Parsed<T> {
        self.fault(Problem::Unsupported { what: format!("`{what}`"), instead })
    }

    /// The text from one token to another, which stands in the same file.
    fn written(&self, first: &Token<'_>, last: &Token<'_>) -> String {
        let text = self.texts.get(usize::from(first.span.file)).copied().unwrap_or_default();
        let end = if last.span.file == first.span.file { last.end } else { text.len() };
        text.get(first.start..end).unwrap_or_default().to_owned()
    }

    fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Kind::Symbol(found) if found == symbol);
        if found {
            self.at += 1;
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Kind::Word(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &'static str, expected: &'static str) -> Parsed<()> {
        if self.eat_symbol(symbol) { Ok(()) } else { self.unexpected(expected) }
    }

    fn expect_word(&mut self, word: &'static str, expected: &'static str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { self.unexpected_word(expected, [word]) }
    }

    fn skip_newlines(&mut self) {
        while self.peek() == Kind::Newline {
            self.at += 1;
        }
    }

    fn skip_separators(&mut self) {
        while matches!(self.peek(), Kind::Newline | Kind::Symbol(";")) {
            self.at += 1;
        }
    }

    /// The end of a statement. nft wants one before the `}` of a block, too.
    fn end_of_statement(&mut self) -> Parsed<()> {
        match self.peek() {
            Kind::Newline | Kind::Symbol(";") => {
                self.at += 1;
                Ok(())
            }
            Kind::End => Ok(()),
            Kind::Symbol("}") => self.unexpected("`;` or the end of the line before it"),
            _ => self.unexpected("the end of the statement"),
        }
    }

    fn number(&mut self, of: &'static str, max: u128) -> Parsed<u128> {
        match self.peek() {
            Kind::Number(value) if value > max => self.fault(Problem::TooLarge { value, of, max }),
            Kind::Number(value) => {
                self.at += 1;
                Ok(value)
            }
            _ => self.unexpected("a number"),
        }
    }

    fn u64(&mut self, of: &'static str) -> Parsed<u64> {
        let value = self.number(of, u128::from(u64::MAX))?;
        Ok(u64::try_from(value).unwrap_or(u64::MAX))
    }

    fn u32(&mut self, of: &'static str) -> Parsed<u32> {
        let value = self.number(of, u128::from(u32::MAX))?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    fn u16(&mut self, of: &'static str) -> Parsed<u16> {
        let value = self.number(of, u128::from(u16::MAX))?;
        Ok(u16::try_from(value).unwrap_or(u16::MAX))
    }

    /// The name of something that is declared or used.
    fn name(&mut self, expected: &'static str) -> Parsed<&'a str> {
        match self.peek() {
            Kind::Word(name) if is_reserved(name) => self.fault(Problem::UnknownName {
                of: "name",
                name: name.to_owned(),
                remedy: "nft keeps this word for itself: choose another name",
            }),
            Kind::Word(name) if name.len() > MAX_NAME => {
                self.fault(Problem::TooLong { what: "the name", limit: MAX_NAME })
            }
            Kind::Word(name) if name.ends_with('*') => self.unexpected(expected),
            Kind::Word(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected(expected),
        }
    }

    /// `"…"` or a word.
    fn text_value(&mut self, what: &'static str, limit: usize) -> Parsed<String> {
        let (Kind::Quoted(text) | Kind::Word(text)) = self.peek() else {
            return self.unexpected("a text in quotes");
        };
        if text.len() > limit {
            return self.fault(Problem::TooLong { what, limit });
        }
        self.at += 1;
        Ok(text.to_owned())
    }

    /// `comment "…"`, if it is there.
    fn comment(&mut self) -> Parsed<Option<String>> {
        if !self.eat_word("comment") {
            return Ok(None);
        }
        self.text_value("the comment", MAX_COMMENT).map(Some)
    }

    fn family(&mut self) -> Parsed<TableFamily> {
        let family = match self.peek() {
            Kind::Word("ip") => TableFamily::Ip,
            Kind::Word("ip6") => TableFamily::Ip6,
            Kind::Word("inet") => TableFamily::Inet,
            Kind::Word(other @ ("arp" | "bridge" | "netdev")) => {
                return self.unsupported(other, "use a table of family ip, ip6 or inet");
            }
            // Without a family nft means ip.
            _ => return Ok(TableFamily::Ip),
        };
        self.at += 1;
        Ok(family)
    }

    fn table_index(&self, family: TableFamily, name: &str) -> Option<usize> {
        self.ruleset.tables.iter().position(|table| table.family == family && table.name == name)
    }

    /// Reads something out of a variable (behind its `$`) as if its value stood here.
    fn expand<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let Kind::Word(name) = self.peek() else { return self.unexpected("the name of a variable") };
        let Some(index) = self.define_of(name) else {
            return self.fault(self.unknown_variable(name));
        };
        let define = &mut self.defines[index];
        define.used = true;
        let (from, to) = (define.from, define.to);
        self.expansions += 1;
        if self.variable_depth >= MAX_VARIABLE_DEPTH || self.expansions > MAX_EXPANSIONS {
            return self.fault(Problem::TooMany {
                what: "variables within each other",
                limit: MAX_VARIABLE_DEPTH,
                remedy: "write the value out",
            });
        }
        let (back, limit) = (self.at + 1, self.limit);
        (self.at, self.limit) = (from, to);
        self.variable_depth += 1;
        let outer = self.within.replace(index);
        let mut result = read(self);
        if result.is_ok() && self.at < self.limit {
            result = self.unexpected("the end of the variable's value");
        }
        self.variable_depth -= 1;
        self.within = outer;
        (self.at, self.limit) = (back, limit);
        result
    }

    /// Reads a block with variables of its own.
    fn in_scope<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.scope, self.defines.len());
        let result = read(self);
        self.forget_variables();
        self.scope = outer;
        result
    }

    /// Forgets the variables of the block that is read.
    fn forget_variables(&mut self) {
        for define in self.defines.drain(self.scope..) {
            if !define.used {
                self.unused.push(UnusedDefine { name: define.name.to_owned(), span: define.span });
            }
        }
    }

    /// Remembers that what should have been declared under a name is not, for the reason that is told next.
    fn failed(&mut self, kind: Thing, name: &'a str) {
        self.failed.entry((names_of(kind), name)).or_insert(self.faults.len());
    }
}

fn is_reserved(word: &str) -> bool {
    crate::reserved::RESERVED.binary_search(&word).is_ok()
}
