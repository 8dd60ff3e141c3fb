//! What marks are set to.
use super::rule::Draft;
use super::sets::Gives;
use super::{Parsed, Parser};
use crate::ast::{MarkSource, MarkValue, Match, Statement};
use crate::context::Context;
use crate::field::{DataType, Field};
use crate::lexer::Kind;

impl Parser<'_, '_> {
    /// `meta mark set …`, `ct mark set …`.
    pub(super) fn assignment(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        let of_connection = self.peek() == Kind::Word("ct");
        if !self.eat_word("mark") {
            self.at += 1;
            if !self.eat_word("mark") {
                return self.unsupported("set", "only marks can be set: `meta mark set`, `ct mark set`");
            }
        }
        self.at += 1;
        let mut implied = Vec::new();
        let mut context = draft.context.clone();
        let value = self.mark_value(&mut context, &mut implied)?;
        draft.context = context;
        let statement = if of_connection { Statement::SetCtMark(value) } else { Statement::SetMark(value) };
        draft.push(span, implied, statement);
        Ok(())
    }

    fn mark_value(&mut self, context: &mut Context, implied: &mut Vec<Match>) -> Parsed<MarkValue> {
        let begin = self.at;
        let parenthesis = self.eat_symbol("(");
        let from = match (self.peek(), self.peek_at(1)) {
            (Kind::Word("mark"), _) => Some((MarkSource::Packet, 1)),
            (Kind::Word("meta"), Kind::Word("mark")) => Some((MarkSource::Packet, 2)),
            (Kind::Word("ct"), Kind::Word("mark")) => Some((MarkSource::Connection, 2)),
            _ => None,
        };
        if let Some((from, length)) = from
            && self.peek_at(length) != Kind::Word("map")
            && self.peek_at(length) != Kind::Symbol(".")
        {
            self.at += length;
            return self.computed_mark(from, parenthesis);
        }
        self.at = begin;
        if !self.at_field() {
            let value = self.value(DataType::Mark)?;
            return Ok(MarkValue::Constant(u32::try_from(value).unwrap_or(u32::MAX)));
        }
        let key = self.key(context, implied)?;
        self.expect_word("map", "`map` and a map of marks")?;
        let gives = Gives::Values { types: smallvec::smallvec![DataType::Mark], ranges: false };
        Ok(MarkValue::Map(self.lookup(key, gives)?))
    }

    fn computed_mark(&mut self, from: MarkSource, parenthesis: bool) -> Parsed<MarkValue> {
        let (mut and, mut xor) = (u32::MAX, 0);
        if self.eat_symbol("&") || self.eat_word("and") {
            and = self.mark_number()?;
        }
        if parenthesis {
            self.expect_symbol(")", "`)`")?;
        }
        if self.eat_symbol("|") || self.eat_word("or") {
            xor = self.mark_number()?;
            and &= !xor;
        } else if self.eat_symbol("^") || self.eat_word("xor") {
            xor = self.mark_number()?;
        }
        match self.peek() {
            Kind::Symbol(symbol @ ("&" | "|" | "^" | "<<" | ">>")) => {
                self.unsupported(symbol, "marks are made by one `&` and then one `|` or `^`")
            }
            Kind::Word(word @ ("and" | "or" | "xor" | "lshift" | "rshift")) => {
                self.unsupported(word, "marks are made by one `&` and then one `|` or `^`")
            }
            _ => Ok(MarkValue::Computed { from, and, xor }),
        }
    }

    fn mark_number(&mut self) -> Parsed<u32> {
        let value = self.value(DataType::Mark)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }
}

/// The field of a mark.
impl From<MarkSource> for Field {
    fn from(from: MarkSource) -> Self {
        match from {
            MarkSource::Packet => Self::Mark,
            MarkSource::Connection => Self::CtMark,
        }
    }
}
