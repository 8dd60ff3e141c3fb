//! Relations between arithmetic expressions.
use super::{MAX_DEPTH, Parser, Result};
use crate::ast::{Arith, Primitive};
use crate::cfg::{Alu, Cmp};
use crate::errors::FilterError;
use crate::lexer::{Tok, Word};

/// How many operators one side of a relation may have.
const MAX_OPERATORS: usize = 256;

/// Binds tighter than every binary operator.
const UNARY_RANK: u8 = 6;

impl Parser<'_> {
    /// A relation, if one stands here: `None` (and nothing consumed) otherwise. An error beyond the left side is
    /// final, because nothing but a relation has an operator there.
    pub(super) fn try_relation(&mut self) -> Option<Result<Primitive>> {
        let start = self.at;
        let possible = match self.peek() {
            Tok::Number(_) | Tok::Symbol(b'(' | b'-') | Tok::Word(Word::Len) => true,
            Tok::Word(Word::Proto(..)) => self.peek_after(1) == &Tok::Symbol(b'['),
            _ => false,
        };
        if !possible {
            return None;
        }
        let mut operators = 0;
        let certain = !matches!(self.peek(), Tok::Number(_) | Tok::Symbol(b'('));
        let left = match self.arith(0, &mut operators) {
            Ok(left) => left,
            Err(error) if certain => return Some(Err(error)),
            Err(error @ FilterError::LoadSize { .. }) => return Some(Err(error)),
            Err(_) => {
                self.at = start;
                return None;
            }
        };
        let Some((cmp, negate)) = self.comparison() else {
            if certain {
                return Some(Err(self.unexpected("a comparison such as `=` or `>`")));
            }
            self.at = start;
            return None;
        };
        self.advance();
        let mut operators = 0;
        Some(self.arith(0, &mut operators).map(|right| Primitive::Relation { cmp, negate, left, right }))
    }

    fn comparison(&self) -> Option<(Cmp, bool)> {
        Some(match self.peek() {
            Tok::Symbol(b'=') | Tok::Symbol2([b'=', b'=']) => (Cmp::Eq, false),
            Tok::Symbol2([b'!', b'=']) => (Cmp::Eq, true),
            Tok::Symbol(b'>') => (Cmp::Gt, false),
            Tok::Symbol2([b'>', b'=']) => (Cmp::Ge, false),
            Tok::Symbol(b'<') => (Cmp::Ge, true),
            Tok::Symbol2([b'<', b'=']) => (Cmp::Gt, true),
            _ => return None,
        })
    }

    /// The operator at the current token and its rank. `^` and `%` have none in tcpdump's grammar: they take
    /// all that follows as their right side, whatever stands before them.
    fn operator(&self) -> Option<(Alu, Option<u8>)> {
        Some(match self.peek() {
            Tok::Symbol(b'|') => (Alu::Or, Some(1)),
            Tok::Symbol(b'&') => (Alu::And, Some(2)),
            Tok::Symbol2([b'<', b'<']) => (Alu::Lsh, Some(3)),
            Tok::Symbol2([b'>', b'>']) => (Alu::Rsh, Some(3)),
            Tok::Symbol(b'+') => (Alu::Add, Some(4)),
            Tok::Symbol(b'-') => (Alu::Sub, Some(4)),
            Tok::Symbol(b'*') => (Alu::Mul, Some(5)),
            Tok::Symbol(b'/') => (Alu::Div, Some(5)),
            Tok::Symbol(b'^') => (Alu::Xor, None),
            Tok::Symbol(b'%') => (Alu::Mod, None),
            _ => return None,
        })
    }

    /// An operand and the operators after it that bind tighter than `rank`.
    fn arith(&mut self, rank: u8, operators: &mut usize) -> Result<Arith> {
        let mut left = self.operand(operators)?;
        while let Some((alu, found)) = self.operator() {
            if found.is_some_and(|found| found <= rank) {
                break;
            }
            *operators += 1;
            if *operators > MAX_OPERATORS {
                return Err(FilterError::TooDeep { column: self.column(), limit: MAX_OPERATORS });
            }
            self.advance();
            let right = self.nested(|p| p.arith(found.unwrap_or(0), operators))?;
            left = Arith::Binary(alu, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operand(&mut self, operators: &mut usize) -> Result<Arith> {
        match *self.peek() {
            Tok::Number(value) => {
                self.advance();
                Ok(Arith::Number(value))
            }
            Tok::Word(Word::Len) => {
                self.advance();
                Ok(Arith::Len)
            }
            Tok::Symbol(b'-') => {
                self.advance();
                let inner = self.nested(|p| p.arith(UNARY_RANK, operators))?;
                Ok(Arith::Negate(Box::new(inner)))
            }
            Tok::Symbol(b'(') => {
                self.advance();
                let inner = self.nested(|p| p.arith(0, operators))?;
                self.expect_symbol(b')', "an operator or `)`")?;
                Ok(inner)
            }
            Tok::Word(Word::Proto(proto, text)) => {
                self.advance();
                self.expect_symbol(b'[', "`[`")?;
                let index = Box::new(self.nested(|p| p.arith(0, operators))?);
                let mut size = 1;
                if self.accept(&Tok::Symbol(b':')) {
                    let column = self.column();
                    size = self.number("1, 2 or 4")?;
                    if !matches!(size, 1 | 2 | 4) {
                        return Err(FilterError::LoadSize { column, size });
                    }
                }
                self.expect_symbol(b']', "an operator, `:` or `]`")?;
                Ok(Arith::Load { proto, text, index, size })
            }
            _ => Err(self.unexpected("a number, `len` or a load such as `ip[0]`")),
        }
    }
}

const _: () = assert!(MAX_DEPTH <= MAX_OPERATORS);
