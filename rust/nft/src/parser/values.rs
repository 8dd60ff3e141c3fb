//! The right side of a match: values, ranges, prefixes, masks.
use smallvec::smallvec;

use super::{Fault, MAX_PARENTHESES, Parsed, Parser};
use crate::ast::{Element, Interval, Key, Operator, Rhs};
use crate::error::Problem;
use crate::field::{DataType, interface_number};
use crate::lexer::Kind;
use crate::names;
use crate::nearest::nearest;

/// The longest time of an element, in milliseconds: what Linux can count in nanoseconds.
const MAX_ELEMENT_TIME: u128 = (u64::MAX / 1_000_000) as u128 - 1;
/// The longest name of a port (`IFNAMSIZ` of Linux, without its final zero).
const MAX_INTERFACE_NAME: usize = 15;

/// An operator as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Implied,
    Given(Operator),
}

impl Parser<'_, '_> {
    pub(super) fn operator(&mut self) -> Written {
        let operator = match self.peek() {
            Kind::Symbol("==") | Kind::Word("eq") => Operator::Equal,
            Kind::Symbol("!=") | Kind::Word("ne") => Operator::NotEqual,
            Kind::Symbol("<") | Kind::Word("lt") => Operator::Less,
            Kind::Symbol("<=") | Kind::Word("le") => Operator::LessOrEqual,
            Kind::Symbol(">") | Kind::Word("gt") => Operator::Greater,
            Kind::Symbol(">=") | Kind::Word("ge") => Operator::GreaterOrEqual,
            Kind::Symbol("!") => Operator::NoBit,
            _ => return Written::Implied,
        };
        self.at += 1;
        Written::Given(operator)
    }

    /// What stands behind the key and its operator. May give the key a mask (`tcp flags syn / syn,ack`).
    pub(super) fn comparison(&mut self, key: &mut Key, written: Written) -> Parsed<(Operator, Rhs)> {
        if self.peek() == Kind::Symbol("$") {
            self.at += 1;
            return self.expand(|parser| parser.comparison(key, written));
        }
        let span = self.span();
        let types: smallvec::SmallVec<[DataType; 2]> =
            key.fields.iter().map(|field| field.data_type()).collect();
        let rhs = match self.peek() {
            Kind::Symbol("@") => {
                self.at += 1;
                Rhs::Named(self.name("the name of a set")?.to_owned())
            }
            Kind::Symbol("{") => {
                let mut elements = self.anonymous_set(&types)?;
                match &elements[..] {
                    // nft takes a set of one for the value itself, but not in concatenations.
                    [only] if types.len() == 1 => {
                        let range = only.key[0];
                        if range.is_single() { Rhs::Value(range.low) } else { Rhs::Range(only.key.clone()) }
                    }
                    _ => Rhs::Anonymous(std::mem::take(&mut elements)),
                }
            }
            _ if types.len() == 1 => self.single(key, types[0])?,
            _ => return self.unexpected("a set: concatenations are compared with `{ a . b }` or `@set`"),
        };
        let operator = resolve(key, written, &rhs, types[0]).map_err(|problem| Fault { span, problem })?;
        // `flags & syn != 0` is `flags syn`, and so nft prints it.
        if let (Some(mask), Rhs::Value(0), true) = (key.mask, &rhs, types[0].is_bitmask()) {
            key.mask = None;
            let operator = if operator == Operator::Equal { Operator::NoBit } else { Operator::AnyBit };
            return Ok((operator, Rhs::Value(mask)));
        }
        Ok((operator, rhs))
    }

    fn single(&mut self, key: &mut Key, of: DataType) -> Parsed<Rhs> {
        if !of.is_bitmask() {
            let range = self.interval(of)?;
            return Ok(if range.is_single() { Rhs::Value(range.low) } else { Rhs::Range(smallvec![range]) });
        }
        let mut value = self.bit_list(of)?;
        if self.eat_symbol("/") {
            if of != DataType::TcpFlag || key.mask.is_some() {
                return self.unexpected("`field & mask == value`");
            }
            key.mask = Some(self.bit_list(of)?);
        }
        value &= of.max();
        Ok(Rhs::Value(value))
    }

    fn bit_list(&mut self, of: DataType) -> Parsed<u128> {
        let mut value = self.value(of)?;
        while self.eat_symbol(",") {
            value |= self.value(of)?;
        }
        Ok(value)
    }

    /// The mask behind `&`.
    pub(super) fn mask(&mut self, of: DataType) -> Parsed<u128> {
        if self.eat_symbol("(") {
            return self.parenthesized(of);
        }
        self.primary(of)
    }

    /// A value, a range, a prefix or a name with `*`.
    pub(super) fn interval(&mut self, of: DataType) -> Parsed<Interval> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.interval(of));
        }
        if matches!(of, DataType::IfName | DataType::IfIndex) {
            return self.interface(of);
        }
        let span = self.span();
        let low = self.value(of)?;
        if matches!(of, DataType::Ipv4Addr | DataType::Ipv6Addr | DataType::Mark) && self.eat_symbol("/") {
            let length = self.number("the length of a prefix", u128::from(of.bits()))?;
            let length = u32::try_from(length).unwrap_or(0);
            let host = host_bits(of, length);
            return Ok(Interval { low: low & !host, high: low | host });
        }
        if of.is_bitmask() || of == DataType::Boolean || !self.eat_symbol("-") {
            return Ok(Interval::single(low));
        }
        let high = self.value(of)?;
        if low > high {
            return Err(Fault { span, problem: Problem::BackwardRange });
        }
        Ok(Interval { low, high })
    }

    /// One value; of types made of bits also several, joined by `|`.
    pub(super) fn value(&mut self, of: DataType) -> Parsed<u128> {
        if !of.is_bitmask() {
            return self.primary(of);
        }
        if self.eat_symbol("(") {
            return self.parenthesized(of);
        }
        let mut value = self.primary(of)?;
        while self.eat_symbol("|") {
            value |= self.primary(of)?;
        }
        Ok(value)
    }

    /// A value and the `)` behind it.
    fn parenthesized(&mut self, of: DataType) -> Parsed<u128> {
        if self.parentheses >= MAX_PARENTHESES {
            return self.fault(Problem::TooMany {
                what: "parentheses within each other",
                limit: MAX_PARENTHESES,
                remedy: "one pair is enough",
            });
        }
        self.parentheses += 1;
        let value = self.value(of);
        self.parentheses -= 1;
        let value = value?;
        self.expect_symbol(")", "`)`")?;
        Ok(value)
    }

    fn primary(&mut self, of: DataType) -> Parsed<u128> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.value(of));
        }
        let value = match (self.peek(), of) {
            (Kind::Ipv4(address), DataType::Ipv4Addr) => u128::from(address),
            (Kind::Ipv6(address), DataType::Ipv6Addr) => address,
            (Kind::Ether(address), DataType::EtherAddr) => u128::from(address),
            (_, DataType::Ipv4Addr) => {
                return self.bad_value("IPv4 address", "write it as 192.0.2.1; host names are not looked up");
            }
            (_, DataType::Ipv6Addr) => {
                return self
                    .bad_value("IPv6 address", "write it as 2001:db8::1; host names are not looked up");
            }
            (_, DataType::EtherAddr) => {
                return self.bad_value("Ethernet address", "write it as 02:00:00:00:00:01");
            }
            (Kind::Number(_), DataType::Time) => return self.time(),
            (Kind::Number(value), _) if value > of.max() => {
                return self.fault(Problem::TooLarge { value, of: names::kind(of), max: of.max() });
            }
            (Kind::Number(value), _) => value,
            (Kind::Word(name) | Kind::Quoted(name), _) => match names::value_of(of, name) {
                Some(value) => value,
                None => {
                    let nearest = nearest(name, names::values(of));
                    return self.fault(Problem::UnknownValue { of, name: name.to_owned(), nearest });
                }
            },
            _ => return self.unexpected(names::kind(of)),
        };
        self.at += 1;
        Ok(value)
    }

    fn bad_value(&self, of: &'static str, remedy: &'static str) -> Parsed<u128> {
        match self.peek() {
            Kind::Word(name) | Kind::Quoted(name) => {
                self.fault(Problem::UnknownName { of, name: name.to_owned(), remedy })
            }
            _ => self.unexpected(of),
        }
    }

    fn interface(&mut self, of: DataType) -> Parsed<Interval> {
        let name = match self.peek() {
            Kind::Word(name) if super::is_reserved(name) => {
                return self.fault(Problem::UnknownName {
                    of: "port",
                    name: name.to_owned(),
                    remedy: "nft keeps this word for itself: put it in quotes",
                });
            }
            Kind::Word(name) | Kind::Quoted(name) => name,
            _ => return self.unexpected("the name of a port, in quotes"),
        };
        let (stem, wildcard) = match name.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        if stem.len() > MAX_INTERFACE_NAME {
            return self.fault(Problem::TooLong { what: "the name of the port", limit: MAX_INTERFACE_NAME });
        }
        if stem.is_empty()
            || stem.contains(['*', '\\', '/'])
            || stem.bytes().any(|byte| !byte.is_ascii_graphic())
        {
            return self.unexpected("a port's name; `*` only at its end");
        }
        if wildcard && of == DataType::IfIndex {
            return self.unsupported(name, "`iif` and `oif` take whole names; use `iifname` or `oifname`");
        }
        self.at += 1;
        let low = interface_number(stem);
        let high = if wildcard { low | u128::MAX >> (8 * stem.len()) } else { low };
        Ok(Interval { low, high })
    }

    /// A time of a set's elements, in milliseconds; not 0.
    pub(super) fn duration(&mut self) -> Parsed<u64> {
        let span = self.span();
        match self.peek() {
            Kind::Symbol("$") => {
                return self.unsupported("$", "nft has no variables for times: write the time, such as `5m`");
            }
            Kind::Number(_) if !self.unit_follows() => {
                return self.unexpected("a time with its unit, such as `300s` or `5m`");
            }
            _ => {}
        }
        match self.time_within(MAX_ELEMENT_TIME, "write it as 1d2h3m4s or 500ms, at most 213503 days")? {
            0 => Err(Fault { span, problem: Problem::Zero { of: "the time" } }),
            time => Ok(u64::try_from(time).unwrap_or(u64::MAX)),
        }
    }

    /// `5s`, `1h30m`, `500ms`; a plain number is seconds.
    fn time(&mut self) -> Parsed<u128> {
        self.time_within(DataType::Time.max(), "write it as 1d2h3m4s or 500ms, at most 49 days")
    }

    /// Whether a word stands behind a number without a gap.
    fn unit_follows(&self) -> bool {
        let number = self.token();
        let next = self.tokens[..self.limit].get(self.at + 1);
        next.is_some_and(|next| matches!(next.kind, Kind::Word(_)) && next.start == number.end)
    }

    fn time_within(&mut self, max: u128, remedy: &'static str) -> Parsed<u128> {
        let unit_follows = self.unit_follows();
        let first = self.bump();
        let mut last = first;
        if unit_follows {
            last = self.bump();
        }
        let written = self.written(&first, &last);
        match milliseconds(&written) {
            Some(value) if value <= max => Ok(value),
            _ => Err(Fault {
                span: first.span,
                problem: Problem::UnknownName { of: "time", name: written, remedy },
            }),
        }
    }

    /// Whether the variable whose name stands here (behind `$`) holds a set.
    pub(super) fn variable_is_set(&self) -> bool {
        let Kind::Word(name) = self.peek() else { return false };
        self.define_of(name)
            .is_some_and(|index| self.tokens[self.defines[index].from].kind == Kind::Symbol("{"))
    }

    /// The parts of a concatenation, one for each type.
    pub(super) fn parts(&mut self, types: &[DataType]) -> Parsed<Element> {
        let mut element = Element::new();
        for (index, &of) in types.iter().enumerate() {
            if index > 0 {
                self.expect_symbol(".", "` . ` and the next part of the concatenation")?;
            }
            element.push(self.interval(of)?);
        }
        Ok(element)
    }
}

fn host_bits(of: DataType, length: u32) -> u128 {
    let width = u32::from(of.bits());
    if length >= width { 0 } else { of.max() >> length }
}

/// What an operator that was or was not written means, if it can be used.
fn resolve(key: &Key, written: Written, rhs: &Rhs, of: DataType) -> Result<Operator, Problem> {
    let plain = matches!(rhs, Rhs::Value(_)) && key.fields.len() == 1;
    let operator = match written {
        Written::Implied if of.is_bitmask() && plain && key.mask.is_none() => return Ok(Operator::AnyBit),
        Written::Implied => return Ok(Operator::Equal),
        Written::Given(operator) => operator,
    };
    let possible = match operator {
        Operator::Equal | Operator::NotEqual => true,
        Operator::NoBit | Operator::AnyBit => of.is_bitmask() && plain && key.mask.is_none(),
        _ => {
            plain
                && !of.is_bitmask()
                && !matches!(of, DataType::Boolean | DataType::IfName | DataType::IfIndex)
        }
    };
    if possible {
        return Ok(operator);
    }
    Err(Problem::Unexpected {
        found: "an operator that this comparison does not have".to_owned(),
        expected: "`==` or `!=` (the others take one number, `!` takes flags)",
        nearest: None,
    })
}

fn milliseconds(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total = 0_u128;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u128 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, length) = match rest {
            "" => (1000, 0),
            _ if rest.starts_with("ms") => (1, 2),
            _ if rest.starts_with('s') => (1000, 1),
            _ if rest.starts_with('m') => (60_000, 1),
            _ if rest.starts_with('h') => (3_600_000, 1),
            _ if rest.starts_with('d') => (86_400_000, 1),
            _ => return None,
        };
        rest = &rest[length..];
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    Some(total)
}
