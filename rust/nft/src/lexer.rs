//! Text to tokens.
//!
//! Tokens follow nft(8): a word may contain `.`, `-` and `/` and end with `*`, numbers are decimal or hexadecimal,
//! addresses are tokens of their own, line ends separate statements unless a backslash stands before them.
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ast::Span;
use crate::error::Problem;

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub kind: Kind<'a>,
    pub span: Span,
    /// Bytes of the text that it takes.
    pub start: usize,
    pub end: usize,
}

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Number(u128),
    Ipv4(u32),
    Ipv6(u128),
    Ether(u64),
    Symbol(&'static str),
    /// What could not be read, which has been told.
    Invalid,
    Newline,
    End,
}

const SYMBOLS: [&str; 27] = [
    "==", "!=", "<=", ">=", "<<", ">>", "{", "}", "(", ")", "[", "]", ",", ":", ";", "=", "!", "<", ">", "&",
    "|", "^", "$", "@", ".", "-", "/",
];
const SYMBOLS_REST: [&str; 2] = ["*", "+"];

/// The longest text of an IPv6 address (RFC 4291 section 2.2).
const MAX_IPV6_TEXT: usize = 45;

pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Column of the byte at `column_at`; counted on from there, so that long lines take linear time.
    column: u32,
    column_at: usize,
    file: u16,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, file: u16) -> Self {
        Self { text, at: 0, line: 1, column: 1, column_at: 0, file }
    }

    /// All tokens, the last of which is `End`, and what could not be read.
    pub(crate) fn run(mut self) -> (Vec<Token<'a>>, Vec<(Span, Problem)>) {
        let mut tokens = Vec::with_capacity(self.text.len() / 5 + 1);
        let mut problems = Vec::new();
        loop {
            self.skip_blanks();
            let (start, span) = (self.at, self.span());
            match self.kind() {
                Ok(Kind::End) => {
                    // Behind the last line there is none that an editor could show.
                    let last: Option<&Token<'_>> = tokens.last();
                    let span =
                        last.filter(|token| token.kind == Kind::Newline).map_or(span, |token| token.span);
                    tokens.push(Token { kind: Kind::End, span, start, end: self.at });
                    return (tokens, problems);
                }
                Ok(kind) => tokens.push(Token { kind, span, start, end: self.at }),
                Err(problem) => {
                    tokens.push(Token { kind: Kind::Invalid, span, start, end: self.at });
                    problems.push((span, problem));
                }
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn span(&mut self) -> Span {
        let passed = self.text[self.column_at..self.at].chars().count();
        self.column = self.column.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.column_at = self.at;
        Span { line: self.line, column: self.column, file: self.file }
    }

    fn newline(&mut self) {
        self.line = self.line.saturating_add(1);
        self.column = 1;
        self.column_at = self.at;
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t']) {
                self.at += 1;
            } else if rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("\\\n") {
                self.at += 2;
                self.newline();
            } else {
                return;
            }
        }
    }

    fn kind(&mut self) -> Result<Kind<'a>, Problem> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Kind::End) };
        if first == '\n' {
            self.at += 1;
            self.newline();
            return Ok(Kind::Newline);
        }
        if first == '"' {
            return self.quoted();
        }
        if (first.is_ascii_hexdigit() || first == ':')
            && let Some(kind) = self.address()?
        {
            return Ok(kind);
        }
        // The two EtherTypes whose names begin with a digit.
        let word = run(rest, |byte| byte.is_ascii_alphanumeric());
        if matches!(&rest[..word], "8021q" | "8021ad") {
            self.at += word;
            return Ok(Kind::Word(&rest[..word]));
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(self.word());
        }
        if let Some(symbol) = SYMBOLS.iter().chain(&SYMBOLS_REST).find(|&&symbol| rest.starts_with(symbol)) {
            self.at += symbol.len();
            return Ok(Kind::Symbol(symbol));
        }
        // Words of other scripts are told once.
        self.at += rest.find(|next: char| next.is_ascii()).unwrap_or(rest.len()).max(1);
        if first == '\r' {
            let instead = "save the file with the line ends of Unix; nft does not take others";
            return Err(Problem::Unsupported { what: "a carriage return".to_owned(), instead });
        }
        Err(Problem::Unexpected {
            found: format!("character {first:?}"),
            expected: "ASCII text of the rule language (other characters only within quotes and comments)",
            nearest: None,
        })
    }

    fn quoted(&mut self) -> Result<Kind<'a>, Problem> {
        let inner = &self.rest()[1..];
        match inner.find(['"', '\n']) {
            Some(end) if inner.as_bytes()[end] == b'"' => {
                self.at += end + 2;
                Ok(Kind::Quoted(&inner[..end]))
            }
            end => {
                self.at += 1 + end.unwrap_or(inner.len());
                Err(Problem::Missing { what: "the closing quote", remedy: "put `\"` at the end of the text" })
            }
        }
    }

    fn word(&mut self) -> Kind<'a> {
        let rest = self.rest();
        let mut length = run(rest, |byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        if rest[length..].starts_with('*') {
            length += 1;
        }
        self.at += length;
        Kind::Word(&rest[..length])
    }

    fn number(&mut self) -> Result<Kind<'a>, Problem> {
        let rest = self.rest();
        let (digits, radix, length) = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            Some(digits) => {
                let length = run(digits, |byte| byte.is_ascii_hexdigit());
                (&digits[..length], 16, length + 2)
            }
            None => {
                let length = run(rest, |byte| byte.is_ascii_digit());
                (&rest[..length], 10, length)
            }
        };
        self.at += length;
        if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
            return Err(Problem::Unsupported {
                what: format!("the octal number {digits}"),
                instead: "write it in decimal without zeros in front, or in hexadecimal",
            });
        }
        u128::from_str_radix(digits, radix).map(Kind::Number).map_err(|_| Problem::Unexpected {
            found: format!("`{}`", &rest[..length]),
            expected: "a number of at most 128 bits",
            nearest: None,
        })
    }

    /// The address that begins here, if there is one.
    fn address(&mut self) -> Result<Option<Kind<'a>>, Problem> {
        let rest = self.rest();
        let dotted = run(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        if rest[..dotted].split('.').count() == 4 && rest[..dotted].split('.').all(|part| !part.is_empty()) {
            let address = rest[..dotted].parse::<Ipv4Addr>().map_err(|_| Problem::UnknownName {
                of: "IPv4 address",
                name: rest[..dotted].to_owned(),
                remedy: "write four numbers from 0 to 255 without zeros in front",
            });
            self.at += dotted;
            return address.map(|address| Some(Kind::Ipv4(address.to_bits())));
        }
        let length = run(rest, |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
        let text = &rest[..length.min(MAX_IPV6_TEXT)];
        if text.bytes().filter(|&byte| byte == b':').count() < 2 {
            return Ok(None);
        }
        // `::1:80` is an address as a whole; of `1:2:3:4:5:6:7:8:` the last colon is not part of it.
        for end in [text.len(), text.len() - 1] {
            if let Some(ether) = ether_address(&text[..end]) {
                self.at += end;
                return Ok(Some(Kind::Ether(ether)));
            }
            if let Ok(address) = text[..end].parse::<Ipv6Addr>() {
                self.at += end;
                return Ok(Some(Kind::Ipv6(address.to_bits())));
            }
        }
        Ok(None)
    }
}

/// How many of the first bytes are of a kind. Only used with kinds of ASCII.
fn run(text: &str, of_kind: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !of_kind(byte)).unwrap_or(text.len())
}

fn ether_address(text: &str) -> Option<u64> {
    let mut value = 0;
    let mut groups = 0;
    for group in text.split(':') {
        if group.is_empty() || group.len() > 2 {
            return None;
        }
        value = value << 8 | u64::from_str_radix(group, 16).ok()?;
        groups += 1;
        if groups > 6 {
            return None;
        }
    }
    (groups == 6).then_some(value)
}

impl std::fmt::Display for Kind<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) => write!(out, "`{text}`"),
            Self::Quoted(text) => write!(out, "\"{text}\""),
            Self::Number(number) => write!(out, "{number}"),
            Self::Ipv4(address) => write!(out, "{}", Ipv4Addr::from_bits(*address)),
            Self::Ipv6(address) => write!(out, "{}", Ipv6Addr::from_bits(*address)),
            Self::Ether(_) => out.write_str("an Ethernet address"),
            Self::Symbol(symbol) => write!(out, "`{symbol}`"),
            Self::Invalid => out.write_str("what cannot be read"),
            Self::Newline => out.write_str("the end of the line"),
            Self::End => out.write_str("the end of the file"),
        }
    }
}
