//! `include`: other texts in place of the command.
//!
//! Nothing here reads files: whoever calls says what a name brings. Texts are gathered before the parser sees the first
//! token, and their tokens stand where the command stood, so that a file may hold whole tables, rules of a chain or
//! definitions, as with nft(8).
use std::sync::Arc;

use crate::ast::Span;
use crate::error::Problem;
use crate::lexer::{Kind, Lexer, Token};
use crate::parser::{MAX_ERRORS, MAX_TEXT};

/// How deeply texts may include others (`MAX_INCLUDE_DEPTH` of nft).
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// How many texts may be included, each inclusion counted, and those that bring nothing.
pub const MAX_INCLUDES: usize = 1024;

/// A text that is included.
#[derive(Debug, Clone)]
pub struct Text {
    /// Its name, for errors and for what it includes itself.
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

/// Says what `include "name"` brings.
pub trait Includes {
    /// The texts that a name, perhaps with wildcards, stands for in the text called `from`, in order. Of more than `left`
    /// bytes in all nothing is used, so that no more need be read.
    ///
    /// # Errors
    ///
    /// Why there is none, as a remedy: what to do.
    fn read(&mut self, name: &str, from: &str, left: usize) -> Result<Vec<Text>, String>;
}

/// Includes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn read(&mut self, _: &str, _: &str, _: usize) -> Result<Vec<Text>, String> {
        Err("files are included into files only: put its text here".to_owned())
    }
}

/// A text, and the inclusion that brought it.
pub(crate) struct Brought {
    pub name: Arc<str>,
    pub text: Arc<str>,
    /// The text with the command, and which of its tokens that is.
    by: (u16, usize),
    depth: usize,
    /// What the command stands in.
    inside: Block,
}

/// What stands between braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// No braces at all.
    File,
    Table,
    Chain,
    /// A set, a counter and the like.
    Object,
    /// Elements, the value of a variable, a block within a rule: there nft includes nothing.
    Values,
}

impl Block {
    /// What braces behind the beginning of a statement hold.
    fn opened(self, statement: &[Token<'_>]) -> Self {
        let word = |at: usize| match statement.get(at).map(|token| token.kind) {
            Some(Kind::Word(word)) => word,
            _ => "",
        };
        let kind = match (self, word(0)) {
            (Self::File, "add" | "create") => word(1),
            (Self::File | Self::Table, kind) => kind,
            _ => "",
        };
        match kind {
            "table" if self == Self::File => Self::Table,
            "chain" => Self::Chain,
            "set" | "map" | "counter" | "limit" | "quota" | "flowtable" => Self::Object,
            _ => Self::Values,
        }
    }
}

/// An `include` in a text.
struct Command<'a> {
    /// Which token it is.
    at: usize,
    span: Span,
    name: &'a str,
    inside: Block,
}

/// All texts that are included, each behind the one that includes it, and what could not be.
pub(crate) fn gather(
    text: &str,
    name: &Arc<str>,
    includes: &mut dyn Includes,
) -> (Vec<Brought>, Vec<(Span, Problem)>) {
    let mut gathered = Gathered { brought: Vec::new(), refused: Vec::new(), bytes: text.len(), empty: 0 };
    let mut more = gathered.carry_out(text, (0, name.clone(), 0, Block::File), includes);
    let mut file = 0;
    while let Some(one) = gathered.brought.get(file).filter(|_| more) {
        file += 1;
        let (text, of) = (one.text.clone(), (file as u16, one.name.clone(), one.depth, one.inside));
        more = gathered.carry_out(&text, of, includes);
    }
    (gathered.brought, gathered.refused)
}

struct Gathered {
    brought: Vec<Brought>,
    refused: Vec<(Span, Problem)>,
    bytes: usize,
    /// Commands that brought nothing.
    empty: usize,
}

impl Gathered {
    /// Carries out the commands of a text: of this number, called so, so deep in others, within this. False if no more
    /// can be.
    fn carry_out(
        &mut self,
        text: &str,
        (file, name, depth, inside): (u16, Arc<str>, usize, Block),
        includes: &mut dyn Includes,
    ) -> bool {
        if !text.contains("include") {
            return true;
        }
        let (tokens, _) = Lexer::new(text, file).run();
        for command in commands(&tokens, inside) {
            if self.refused.len() >= MAX_ERRORS {
                return false;
            }
            let by = (file, command.at);
            let (span, wanted) = (command.span, command.name.to_owned());
            if command.inside == Block::Values {
                let remedy = "nft includes nothing within elements, variables and blocks of rules: include the whole statement";
                self.refused.push((span, Problem::NotIncluded { name: wanted, remedy: remedy.to_owned() }));
                continue;
            }
            if depth >= MAX_INCLUDE_DEPTH {
                let remedy = "break the circle of files that include each other";
                self.too_many(span, "files within each other", MAX_INCLUDE_DEPTH, remedy);
                continue;
            }
            match includes.read(&wanted, &name, MAX_TEXT.saturating_sub(self.bytes)) {
                Err(remedy) => self.refused.push((span, Problem::NotIncluded { name: wanted, remedy })),
                Ok(texts) => {
                    self.empty += usize::from(texts.is_empty());
                    let texts = texts.into_iter();
                    let brought = texts.map(|Text { name, text }| Brought {
                        name,
                        text,
                        by,
                        depth: depth + 1,
                        inside: command.inside,
                    });
                    if !self.take(span, brought) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Takes in what a command has brought; false if that is too much.
    fn take(&mut self, span: Span, brought: impl Iterator<Item = Brought>) -> bool {
        const SPLIT: &str = "split the rule set";
        for one in brought {
            self.bytes = self.bytes.saturating_add(one.text.len());
            if self.bytes > MAX_TEXT {
                self.too_many(span, "bytes of text, included", MAX_TEXT, SPLIT);
                return false;
            }
            self.brought.push(one);
            if self.brought.len() + self.empty > MAX_INCLUDES {
                self.brought.pop();
                self.too_many(span, "included files", MAX_INCLUDES, SPLIT);
                return false;
            }
        }
        if self.empty > MAX_INCLUDES {
            self.too_many(span, "included files", MAX_INCLUDES, SPLIT);
            return false;
        }
        true
    }

    fn too_many(&mut self, span: Span, what: &'static str, limit: usize, remedy: &'static str) {
        self.refused.push((span, Problem::TooMany { what, limit, remedy }));
    }
}

/// The commands of a text that stands within something.
fn commands<'a>(tokens: &[Token<'a>], inside: Block) -> Vec<Command<'a>> {
    let mut found = Vec::new();
    let mut blocks = vec![inside];
    // Where the statement begins.
    let mut begin = 0;
    for (at, token) in tokens.iter().enumerate() {
        let around = blocks.last().copied().unwrap_or(inside);
        match token.kind {
            Kind::Symbol("{") => blocks.push(around.opened(&tokens[begin..at])),
            // What a text closes more than it opens, the parser tells.
            Kind::Symbol("}") if blocks.len() > 1 => drop(blocks.pop()),
            Kind::Symbol("}" | ";") | Kind::Newline => {}
            Kind::Word("include") if begin == at => {
                if let Some(Kind::Quoted(name)) = tokens.get(at + 1).map(|next| next.kind) {
                    found.push(Command { at, span: token.span, name, inside: around });
                }
                continue;
            }
            _ => continue,
        }
        begin = at + 1;
    }
    found
}

/// Open inclusion: a text's tokens, how many of them have been taken, and its commands that are to come, the next last.
struct Open<'a> {
    file: u16,
    tokens: Vec<Token<'a>>,
    at: usize,
    commands: Vec<usize>,
}

impl<'a> Open<'a> {
    /// Begins a text, and says what cannot be read of it.
    fn new(text: &'a str, file: u16, inside: Block) -> (Self, Vec<(Span, Problem)>) {
        let (tokens, problems) = Lexer::new(text, file).run();
        let commands = commands(&tokens, inside).into_iter().rev();
        let commands = commands.filter(|command| command.inside != Block::Values).map(|command| command.at);
        (Self { file, commands: commands.collect(), tokens, at: 0 }, problems)
    }
}

/// The tokens of all texts in their order, and what could not be read. `texts` are all, the first and the brought ones.
pub(crate) fn spliced<'a>(texts: &[&'a str], brought: &[Brought]) -> (Vec<Token<'a>>, Vec<(Span, Problem)>) {
    let (first, mut problems) = Open::new(texts[0], 0, Block::File);
    if first.commands.is_empty() {
        return (first.tokens, problems);
    }
    let mut all = Vec::with_capacity(first.tokens.len());
    let mut open = vec![first];
    while let Some(top) = open.last_mut() {
        let token = top.tokens[top.at];
        if token.kind == Kind::End {
            let kind = if open.len() == 1 { Kind::End } else { Kind::Newline };
            all.push(Token { kind, ..token });
            open.pop();
            continue;
        }
        if top.commands.last() != Some(&top.at) {
            all.push(token);
            top.at += 1;
            continue;
        }
        let by = (top.file, top.at);
        top.commands.pop();
        top.at += 2;
        // The last one opened is read first.
        for (index, one) in brought.iter().enumerate().rev().filter(|(_, one)| one.by == by) {
            let (text, wrong) = Open::new(texts[index + 1], index as u16 + 1, one.inside);
            problems.extend(wrong);
            open.push(text);
        }
    }
    (all, problems)
}
