//! `include`: other texts in place of the command.
//!
//! Nothing here reads files: whoever calls says what a name brings. Texts are gathered before the parser sees the first
//! token, and their tokens stand where the command stood, so that a file may hold whole tables, rules of a chain or
//! definitions, as with nft(8).
use std::sync::Arc;

use crate::ast::Span;
use crate::error::Problem;
use crate::lexer::{Kind, Lexer, Token};
use crate::parser::MAX_TEXT;

/// How deeply texts may include others (`MAX_INCLUDE_DEPTH` of nft).
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// How many texts may be included, each inclusion counted.
pub const MAX_INCLUDES: usize = 1024;

/// A text that is included.
#[derive(Debug, Clone)]
pub struct Text {
    /// Its name, for errors and for what it includes itself.
    pub name: Arc<str>,
    /// The text.
    pub text: String,
}

/// Says what `include "name"` brings.
pub trait Includes {
    /// The texts that a name, perhaps with wildcards, stands for in the text called `from`, in order.
    ///
    /// # Errors
    ///
    /// Why there is none, as a remedy: what to do.
    fn read(&mut self, name: &str, from: &str) -> Result<Vec<Text>, String>;
}

/// Includes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn read(&mut self, _: &str, _: &str) -> Result<Vec<Text>, String> {
        Err("files are included into files only: put its text here".to_owned())
    }
}

/// A text, and the inclusion that brought it.
pub(crate) struct Brought {
    pub name: Arc<str>,
    pub text: String,
    /// The text with the command, and which of its tokens that is.
    by: (u16, usize),
    depth: usize,
}

/// All texts that are included, each behind the one that includes it, and what could not be.
pub(crate) fn gather(
    text: &str,
    name: &Arc<str>,
    includes: &mut dyn Includes,
) -> (Vec<Brought>, Vec<(Span, Problem)>) {
    let mut brought: Vec<Brought> = Vec::new();
    let mut refused = Vec::new();
    let mut bytes = text.len();
    let mut file = 0;
    loop {
        let (depth, from, commands) = match file {
            0 => (0, name.clone(), commands(text, 0)),
            _ => {
                let Some(one) = brought.get(file - 1) else { break };
                (one.depth, one.name.clone(), commands(&one.text, file as u16))
            }
        };
        for (at, span, wanted) in commands {
            if depth >= MAX_INCLUDE_DEPTH {
                let remedy = "break the circle of files that include each other";
                let problem =
                    Problem::TooMany { what: "files within each other", limit: MAX_INCLUDE_DEPTH, remedy };
                refused.push((span, problem));
                continue;
            }
            match includes.read(&wanted, &from) {
                Err(remedy) => refused.push((span, Problem::NotIncluded { name: wanted, remedy })),
                Ok(texts) => {
                    for Text { name, text } in texts {
                        bytes = bytes.saturating_add(text.len());
                        if bytes > MAX_TEXT || brought.len() >= MAX_INCLUDES {
                            let limit = if bytes > MAX_TEXT { MAX_TEXT } else { MAX_INCLUDES };
                            let what =
                                if bytes > MAX_TEXT { "bytes of text, included" } else { "included files" };
                            let problem = Problem::TooMany { what, limit, remedy: "split the rule set" };
                            refused.push((span, problem));
                            return (brought, refused);
                        }
                        brought.push(Brought { name, text, by: (file as u16, at), depth: depth + 1 });
                    }
                }
            }
        }
        file += 1;
    }
    (brought, refused)
}

/// The commands of a text: which token each is, where it stands, and what it names.
fn commands(text: &str, file: u16) -> Vec<(usize, Span, String)> {
    if !text.contains("include") {
        return Vec::new();
    }
    let (tokens, _) = Lexer::new(text, file).run();
    let command = |at: usize| {
        let name = included(&tokens, at)?;
        Some((at, tokens[at].span, name.to_owned()))
    };
    (0..tokens.len()).filter_map(command).collect()
}

/// What the command that begins at a token includes, if there is one.
fn included<'a>(tokens: &[Token<'a>], at: usize) -> Option<&'a str> {
    let begins = match at.checked_sub(1).map(|before| tokens[before].kind) {
        None => true,
        Some(kind) => matches!(kind, Kind::Newline | Kind::Symbol(";" | "{" | "}")),
    };
    match (tokens[at].kind, tokens.get(at + 1)?.kind) {
        (Kind::Word("include"), Kind::Quoted(name)) if begins => Some(name),
        _ => None,
    }
}

/// Open inclusion: a text's tokens, and how many of them have been taken.
struct Open<'a> {
    file: u16,
    tokens: Vec<Token<'a>>,
    at: usize,
}

/// The tokens of all texts in their order, and what could not be read. `texts` are all, the first and the brought ones.
pub(crate) fn spliced<'a>(texts: &[&'a str], brought: &[Brought]) -> (Vec<Token<'a>>, Vec<(Span, Problem)>) {
    let (mut tokens, mut problems) = Lexer::new(texts[0], 0).run();
    if brought.is_empty() {
        return (tokens, problems);
    }
    let mut all = Vec::with_capacity(tokens.len());
    let mut open = vec![Open { file: 0, tokens: std::mem::take(&mut tokens), at: 0 }];
    while let Some(top) = open.last_mut() {
        let token = top.tokens[top.at];
        if token.kind == Kind::End {
            let kind = if open.len() == 1 { Kind::End } else { Kind::Newline };
            all.push(Token { kind, ..token });
            open.pop();
            continue;
        }
        if included(&top.tokens, top.at).is_none() {
            all.push(token);
            top.at += 1;
            continue;
        }
        let by = (top.file, top.at);
        top.at += 2;
        // The last one opened is read first.
        for (index, _) in brought.iter().enumerate().rev().filter(|(_, one)| one.by == by) {
            let file = index as u16 + 1;
            let (tokens, wrong) = Lexer::new(texts[index + 1], file).run();
            problems.extend(wrong);
            open.push(Open { file, tokens, at: 0 });
        }
    }
    (all, problems)
}
