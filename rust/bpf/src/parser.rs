//! Expressions: chains of terms, with qualifiers that a bare word after `and` or `or` inherits.
use crate::ast::{ByteOp, Dir, Expr, Join, Kind, LlcTest, Primitive, Quals, Word as Id};
use crate::errors::FilterError;
use crate::lexer::{self, Proto, Tok, Token, Word};
use crate::names;

mod arith;

/// How deep parentheses, brackets and negations may nest.
pub(crate) const MAX_DEPTH: usize = 128;

type Result<T> = std::result::Result<T, FilterError>;

/// The tree of an expression; `None` for a blank one, which keeps every packet.
pub(crate) fn parse(text: &str) -> Result<Option<Expr>> {
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    if parser.peek() == &Tok::End {
        return Ok(None);
    }
    let (expr, _) = parser.expression(Quals::NONE)?;
    match parser.peek() {
        Tok::End => Ok(Some(expr)),
        _ => Err(parser.unexpected("`and`, `or` or the end of the expression")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Tok {
        &self.tokens[self.at].tok
    }

    fn peek_after(&self, more: usize) -> &Tok {
        &self.tokens[(self.at + more).min(self.tokens.len() - 1)].tok
    }

    fn column(&self) -> usize {
        self.tokens[self.at].column()
    }

    fn advance(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn accept(&mut self, tok: &Tok) -> bool {
        let found = self.peek() == tok;
        if found {
            self.advance();
        }
        found
    }

    fn accept_word(&mut self, word: Word) -> bool {
        self.accept(&Tok::Word(word))
    }

    fn expect_symbol(&mut self, symbol: u8, expected: &'static str) -> Result<()> {
        if self.accept(&Tok::Symbol(symbol)) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> FilterError {
        let token = &self.tokens[self.at];
        let found = match token.tok {
            Tok::End => "the end of the expression".to_owned(),
            _ => format!("`{}`", &self.text[token.start..token.end]),
        };
        FilterError::Syntax { column: token.column(), found, expected }
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(FilterError::TooDeep { column: self.column(), limit: MAX_DEPTH });
        }
        self.depth += 1;
        let out = parse(self);
        self.depth -= 1;
        out
    }

    /// Terms joined by `and` and `or`, which have the same rank. A bare word takes the qualifiers of what stands
    /// before it; those that the last operand leaves are returned.
    fn expression(&mut self, before: Quals) -> Result<(Expr, Quals)> {
        let (first, mut quals) = self.term(before)?;
        let mut rest = Vec::new();
        loop {
            let join = match self.peek() {
                Tok::Word(Word::And) => Join::And,
                Tok::Word(Word::Or) => Join::Or,
                _ => break,
            };
            self.advance();
            let operand = if self.at_bare_word() {
                self.id(quals)?
            } else {
                let (operand, after) = self.term(quals)?;
                quals = after;
                operand
            };
            rest.push((join, operand));
        }
        Ok((if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) }, quals))
    }

    /// Whether a word without qualifiers of its own comes next, perhaps behind `not` and parentheses.
    fn at_bare_word(&mut self) -> bool {
        let start = self.at;
        let mut bare = false;
        loop {
            match self.peek() {
                Tok::Word(Word::Not) | Tok::Symbol(b'(') => {
                    if self.try_relation().is_some() {
                        break;
                    }
                    self.advance();
                }
                Tok::Number(_) => {
                    bare = self.try_relation().is_none();
                    break;
                }
                Tok::Name(_) | Tok::Dotted(_) | Tok::V6(_) | Tok::Mac(_) | Tok::Arcnet => {
                    bare = true;
                    break;
                }
                _ => break,
            }
        }
        self.at = start;
        bare
    }

    /// `not` and one word, or words in parentheses.
    fn id(&mut self, quals: Quals) -> Result<Expr> {
        match self.peek() {
            Tok::Word(Word::Not) => {
                self.advance();
                let inner = self.nested(|p| p.id(quals))?;
                Ok(Expr::Not(Box::new(inner)))
            }
            Tok::Symbol(b'(') => {
                self.advance();
                let inner = self.nested(|p| p.ids(quals))?;
                self.expect_symbol(b')', "`)`")?;
                Ok(inner)
            }
            _ => {
                let column = self.column();
                let word = self.word()?;
                Ok(Expr::Test(Primitive::Qualified(quals, word), column))
            }
        }
    }

    /// Words joined by `and` and `or`. The first of them cannot be a list in parentheses again: tcpdump's grammar
    /// has no place for it.
    fn ids(&mut self, quals: Quals) -> Result<Expr> {
        let column = self.column();
        let first = match self.peek() {
            Tok::Symbol(b'(') => {
                let number = self.enclosed_number("an address, a port, a protocol number or a name")?;
                Expr::Test(Primitive::Qualified(quals, Id::Number(number)), column)
            }
            _ => self.id(quals)?,
        };
        let mut rest = Vec::new();
        loop {
            let join = match self.peek() {
                Tok::Word(Word::And) => Join::And,
                Tok::Word(Word::Or) => Join::Or,
                _ => break,
            };
            self.advance();
            rest.push((join, self.id(quals)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
    }

    fn word(&mut self) -> Result<Id> {
        let word = match self.peek().clone() {
            Tok::Name(name) => Id::Name(name),
            Tok::Number(value) => Id::Number(value),
            Tok::Mac(bytes) => Id::Mac(bytes),
            Tok::Arcnet => Id::Arcnet,
            Tok::V6(address) => {
                self.advance();
                let prefix = self.prefix()?;
                return Ok(Id::V6(address, prefix));
            }
            Tok::Dotted(text) => {
                self.advance();
                if let Some(prefix) = self.prefix()? {
                    return Ok(Id::Prefix(text, prefix));
                }
                if self.accept_word(Word::Mask) {
                    let Tok::Dotted(mask) = self.peek().clone() else {
                        return Err(self.unexpected("a mask such as 255.255.0.0"));
                    };
                    self.advance();
                    return Ok(Id::Masked(text, mask));
                }
                return Ok(Id::Dotted(text));
            }
            _ => return Err(self.unexpected("an address, a port, a protocol number or a name")),
        };
        self.advance();
        Ok(word)
    }

    fn prefix(&mut self) -> Result<Option<u32>> {
        if !self.accept(&Tok::Symbol(b'/')) {
            return Ok(None);
        }
        self.number("a prefix length").map(Some)
    }

    fn number(&mut self, expected: &'static str) -> Result<u32> {
        match *self.peek() {
            Tok::Number(value) => {
                self.advance();
                Ok(value)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A number, perhaps in parentheses.
    fn enclosed_number(&mut self, expected: &'static str) -> Result<u32> {
        if self.accept(&Tok::Symbol(b'(')) {
            let value = self.nested(|p| p.enclosed_number(expected))?;
            self.expect_symbol(b')', "`)`")?;
            return Ok(value);
        }
        self.number(expected)
    }

    /// A number where one may stand but need not.
    fn optional_number(&mut self) -> Result<Option<u32>> {
        match self.peek() {
            Tok::Number(_) | Tok::Symbol(b'(') => self.enclosed_number("a number").map(Some),
            _ => Ok(None),
        }
    }

    /// One primitive, an expression in parentheses, or the negation of a term.
    fn term(&mut self, before: Quals) -> Result<(Expr, Quals)> {
        if self.accept_word(Word::Not) {
            let (inner, quals) = self.nested(|p| p.term(before))?;
            return Ok((Expr::Not(Box::new(inner)), quals));
        }
        let column = self.column();
        if let Some(relation) = self.try_relation() {
            return Ok((Expr::Test(relation?, column), Quals::NONE));
        }
        if self.accept(&Tok::Symbol(b'(')) {
            let (inner, _) = self.nested(|p| p.expression(before))?;
            self.expect_symbol(b')', "`and`, `or` or `)`")?;
            return Ok((inner, before));
        }
        let Tok::Word(word) = *self.peek() else {
            return Err(self.unexpected("a primitive such as `host`, `port` or `tcp`"));
        };
        match word {
            Word::Proto(proto, text) => {
                self.advance();
                self.after_protocol(proto, text, column)
            }
            Word::Foreign(primitive) => Err(FilterError::NotSupported {
                column,
                primitive,
                remedy: "it tests a link type that is not supported (ATM, SS7 or a pf log)",
            }),
            _ => match self.other(word)? {
                Some(primitive) => Ok((Expr::Test(primitive, column), Quals::NONE)),
                None => self.qualified(Proto::Default, "", column),
            },
        }
    }

    /// What may follow a protocol's name: qualifiers, `broadcast`, a frame type, or nothing.
    fn after_protocol(&mut self, proto: Proto, text: &'static str, column: usize) -> Result<(Expr, Quals)> {
        let primitive = match *self.peek() {
            Tok::Word(Word::Broadcast) => {
                self.advance();
                Primitive::Broadcast(proto, text)
            }
            Tok::Word(Word::Multicast) => {
                self.advance();
                Primitive::Multicast(proto, text)
            }
            Tok::Word(word @ (Word::Type | Word::Subtype | Word::Direction)) => self.wlan(word)?,
            Tok::Word(
                Word::Src
                | Word::Dst
                | Word::Addr(_)
                | Word::Ra
                | Word::Ta
                | Word::Host
                | Word::Net
                | Word::Port
                | Word::PortRange
                | Word::Gateway
                | Word::Carries
                | Word::ProtoChain,
            ) => return self.qualified(proto, text, column),
            _ => Primitive::Protocol(proto, text),
        };
        Ok((Expr::Test(primitive, column), Quals::NONE))
    }

    /// Direction and kind, then the words that they apply to.
    fn qualified(&mut self, proto: Proto, proto_text: &'static str, column: usize) -> Result<(Expr, Quals)> {
        let dir = self.direction();
        let kind = match *self.peek() {
            Tok::Word(Word::Host) => Kind::Host,
            Tok::Word(Word::Net) => Kind::Net,
            Tok::Word(Word::Port) => Kind::Port,
            Tok::Word(Word::PortRange) => Kind::PortRange,
            Tok::Word(Word::Gateway) if dir.is_none() => Kind::Gateway,
            Tok::Word(Word::Carries) if dir.is_none() => Kind::Proto,
            Tok::Word(Word::ProtoChain) if dir.is_none() => Kind::ProtoChain,
            _ if dir.is_some() => Kind::Default,
            _ => return Err(self.unexpected("a primitive such as `host`, `port` or `tcp`")),
        };
        if kind == Kind::Gateway {
            return Err(FilterError::NotSupported {
                column,
                primitive: "gateway",
                remedy: "it needs a name in both /etc/hosts and /etc/ethers; write \
                         `ether host MAC and not host ADDRESS`",
            });
        }
        if kind != Kind::Default {
            self.advance();
        }
        let quals = Quals { proto, proto_text, dir: dir.unwrap_or(Dir::Default), kind };
        Ok((self.nested(|p| p.id(quals))?, quals))
    }

    fn direction(&mut self) -> Option<Dir> {
        let dir = match *self.peek() {
            Tok::Word(Word::Src) => Dir::Src,
            Tok::Word(Word::Dst) => Dir::Dst,
            Tok::Word(Word::Addr(n)) => Dir::Addr(n),
            Tok::Word(Word::Ra) => Dir::Ra,
            Tok::Word(Word::Ta) => Dir::Ta,
            _ => return None,
        };
        self.advance();
        let other = match dir {
            Dir::Src => Word::Dst,
            Dir::Dst => Word::Src,
            _ => return Some(dir),
        };
        if self.peek_after(1) != &Tok::Word(other) {
            return Some(dir);
        }
        let both = match *self.peek() {
            Tok::Word(Word::And) => Dir::And,
            Tok::Word(Word::Or) => Dir::Or,
            _ => return Some(dir),
        };
        self.advance();
        self.advance();
        Some(both)
    }

    /// Primitives that take no qualified word; `None` when it is none of them.
    fn other(&mut self, word: Word) -> Result<Option<Primitive>> {
        if matches!(word, Word::Type | Word::Subtype | Word::Direction) {
            return self.wlan(word).map(Some);
        }
        let start = self.at;
        self.advance();
        Ok(Some(match word {
            Word::Broadcast => Primitive::Broadcast(Proto::Default, ""),
            Word::Multicast => Primitive::Multicast(Proto::Default, ""),
            Word::Less => Primitive::Shorter(self.number("a length")?),
            Word::Greater => Primitive::Longer(self.number("a length")?),
            Word::Byte => self.byte()?,
            Word::Inbound => Primitive::Outbound(false),
            Word::Outbound => Primitive::Outbound(true),
            Word::IfIndex => Primitive::IfIndex(self.number("an interface index")?),
            Word::Vlan => Primitive::Vlan(self.optional_number()?),
            Word::Mpls => Primitive::Mpls(self.optional_number()?),
            Word::PppoeD => Primitive::PppoeDiscovery,
            Word::PppoeS => Primitive::PppoeSession(self.optional_number()?),
            Word::Geneve => Primitive::Geneve(self.optional_number()?),
            Word::Llc => Primitive::Llc(self.llc()?),
            Word::RuleNumber => {
                return Err(FilterError::NotSupported {
                    column: self.tokens[start].column(),
                    primitive: "rulenum",
                    remedy: "it tests a link type that is not supported (a pf log)",
                });
            }
            _ => {
                self.at = start;
                return Ok(None);
            }
        }))
    }

    fn byte(&mut self) -> Result<Primitive> {
        let offset = self.number("a byte offset")?;
        let op = match self.peek() {
            Tok::Symbol(b'=') | Tok::Symbol2([b'=', b'=']) => ByteOp::Eq,
            Tok::Symbol(b'<') => ByteOp::Less,
            Tok::Symbol(b'>') => ByteOp::Greater,
            Tok::Symbol(b'&') => ByteOp::And,
            Tok::Symbol(b'|') => ByteOp::Or,
            _ => return Err(self.unexpected("`=`, `<`, `>`, `&` or `|`")),
        };
        self.advance();
        Ok(Primitive::Byte { offset, op, value: self.number("a number")? })
    }

    fn llc(&mut self) -> Result<LlcTest> {
        let name = match self.peek() {
            Tok::Name(name) => name.clone(),
            Tok::Word(Word::RuleNumber) => "rnr".to_owned(),
            _ => return Ok(LlcTest::Any),
        };
        let test = match name.to_ascii_lowercase().as_str() {
            "i" => LlcTest::Information,
            "s" => LlcTest::Control { mask: 0x03, value: 0x01 },
            "u" => LlcTest::Control { mask: 0x03, value: 0x03 },
            _ => match names::llc_kind(&name) {
                Some((mask, value)) => LlcTest::Control { mask, value },
                None => {
                    let remedy = "use i, s, u, rr, rnr, rej, ui, ua, disc, dm, sabme, test, xid or frmr";
                    return Err(self.unknown(name, "LLC frame type", remedy));
                }
            },
        };
        self.advance();
        Ok(test)
    }

    fn unknown(&self, name: String, kind: &'static str, remedy: &'static str) -> FilterError {
        FilterError::UnknownName { column: self.column(), name, kind, remedy }
    }

    /// `type`, `type … subtype`, `subtype` and `dir` of 802.11 frames.
    fn wlan(&mut self, word: Word) -> Result<Primitive> {
        self.advance();
        match word {
            Word::Direction => {
                let value = self.named_number(
                    "802.11 direction",
                    "use nods, tods, fromds or dstods",
                    names::wlan_direction,
                )?;
                Ok(Primitive::WlanDirection(value))
            }
            Word::Subtype => {
                let remedy = "give the type, too: `type mgt subtype beacon`";
                let Tok::Name(name) = self.peek().clone() else {
                    return Err(self.unexpected("the name of an 802.11 subtype"));
                };
                let found =
                    [0, 4, 8].into_iter().find_map(|kind| Some(kind | names::wlan_subtype(kind, &name)?));
                let value = found.ok_or_else(|| self.unknown(name, "802.11 subtype", remedy))?;
                self.advance();
                Ok(Primitive::WlanFrame { mask: 0xfc, value })
            }
            _ => {
                let kind = self.named_number("802.11 type", "use mgt, ctl or data", names::wlan_type)?;
                self.check_bits("802.11 type", kind, 0x0c)?;
                if !self.accept_word(Word::Subtype) {
                    return Ok(Primitive::WlanFrame { mask: 0x0c, value: kind });
                }
                let remedy = "see the list of subtypes in pcap-filter(7)";
                let subtype =
                    self.named_number("802.11 subtype", remedy, |name| names::wlan_subtype(kind, name))?;
                self.check_bits("802.11 subtype", subtype, 0xf0)?;
                Ok(Primitive::WlanFrame { mask: 0xfc, value: kind | subtype })
            }
        }
    }

    fn named_number(
        &mut self,
        kind: &'static str,
        remedy: &'static str,
        lookup: impl FnOnce(&str) -> Option<u32>,
    ) -> Result<u32> {
        let value = match self.peek() {
            Tok::Number(value) => *value,
            Tok::Name(name) => match lookup(name) {
                Some(value) => value,
                None => return Err(self.unknown(name.clone(), kind, remedy)),
            },
            _ => return Err(self.unexpected("a number or a name")),
        };
        self.advance();
        Ok(value)
    }

    /// Complains about the number before the current token when it has bits outside a field.
    fn check_bits(&self, what: &'static str, value: u32, field: u32) -> Result<()> {
        if value & !field == 0 {
            return Ok(());
        }
        let column = self.tokens[self.at.saturating_sub(1)].column();
        Err(FilterError::OutOfRange { column, what, value, max: field })
    }
}
