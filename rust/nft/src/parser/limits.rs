//! Rates and quotas.
use super::{Fault, Parsed, Parser};
use crate::ast::{Limit, LimitUnit, Period, Quota, Span, Statement};
use crate::error::Problem;
use crate::lexer::Kind;
use crate::nearest::nearest;

/// What a limit in packets lets pass at once unless it says otherwise.
const DEFAULT_BURST: u32 = 5;

const PERIODS: [&str; 5] = ["second", "minute", "hour", "day", "week"];

impl Parser<'_, '_> {
    /// `limit rate …` or `limit name …`.
    pub(super) fn limit(&mut self) -> Parsed<Statement> {
        self.at += 1;
        if self.eat_word("name") {
            return self.object_name("the name of a limit").map(Statement::NamedLimit);
        }
        self.rate().map(Statement::Limit)
    }

    /// A name, perhaps in quotes.
    pub(super) fn object_name(&mut self, expected: &'static str) -> Parsed<String> {
        if self.at_field() {
            return self.unsupported(
                "name … map",
                "write a rule for each value, with its name: `tcp dport 22 limit name \"ssh\"`",
            );
        }
        if let Kind::Quoted(name) = self.peek() {
            self.at += 1;
            return Ok(name.to_owned());
        }
        Ok(self.name(expected)?.to_owned())
    }

    /// A rate from its keyword on.
    pub(super) fn rate(&mut self) -> Parsed<Limit> {
        self.expect_word("rate", "`rate`")?;
        let over = self.over();
        let span = self.span();
        let number = self.u64("the rate")?;
        let (unit, factor, per) = if self.eat_symbol("/") {
            let Kind::Word(word) = self.peek() else {
                return self.unexpected("second, minute, hour, day or week");
            };
            (LimitUnit::Packets, 1, word)
        } else {
            let Kind::Word(word) = self.peek() else {
                return self.unexpected("`/second` or `kbytes/second`");
            };
            let Some((unit, per)) = word.split_once('/') else {
                return self.unexpected("`/second` or `kbytes/second`");
            };
            let Some(factor) = bytes_factor(unit) else { return self.unexpected("bytes, kbytes or mbytes") };
            (LimitUnit::Bytes, factor, per)
        };
        let Some(per) = period(per) else {
            let found = format!("`{per}`");
            let expected = "second, minute, hour, day or week";
            return self.fault(Problem::Unexpected { found, expected, nearest: nearest(per, PERIODS) });
        };
        self.at += 1;
        let rate = self.scaled(number, factor, "the rate", span)?;
        if rate == 0 {
            return Err(Fault { span, problem: Problem::Zero { of: "the rate" } });
        }
        let burst = self.burst(unit)?;
        let limit = Limit { over, rate, unit, per, burst };
        if limit.tokens().is_none() {
            let problem = Problem::Unsupported {
                what: "a limit of so much over so long a time".to_owned(),
                instead: "the kernel cannot count it: give a shorter period or a smaller burst",
            };
            return Err(Fault { span, problem });
        }
        Ok(limit)
    }

    fn burst(&mut self, unit: LimitUnit) -> Parsed<u32> {
        if !self.eat_word("burst") {
            return Ok(if unit == LimitUnit::Packets { DEFAULT_BURST } else { 0 });
        }
        let span = self.span();
        let number = self.u32("the burst")?;
        if number == 0 && unit == LimitUnit::Packets {
            // The kernel would take it for the default.
            return Err(Fault { span, problem: Problem::Zero { of: "the burst" } });
        }
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("packets, bytes, kbytes or mbytes");
        };
        let factor = match unit {
            LimitUnit::Packets => (word == "packets").then_some(1),
            LimitUnit::Bytes => bytes_factor(word),
        };
        let Some(factor) = factor else {
            return self.unexpected("the unit of the rate: packets, or bytes, kbytes, mbytes");
        };
        self.at += 1;
        let bytes = self.scaled(number.into(), factor, "the burst", span)?;
        u32::try_from(bytes).map_err(|_| Fault {
            span,
            problem: Problem::TooLarge { value: bytes.into(), of: "the burst", max: u32::MAX.into() },
        })
    }

    pub(super) fn over(&mut self) -> bool {
        let over = self.eat_word("over");
        if !over {
            self.eat_word("until");
        }
        over
    }

    fn scaled(&self, number: u64, factor: u64, of: &'static str, span: Span) -> Parsed<u64> {
        number.checked_mul(factor).ok_or(Fault {
            span,
            problem: Problem::TooLarge { value: number.into(), of, max: (u64::MAX / factor).into() },
        })
    }

    /// `quota 10 mbytes` or `quota name …`.
    pub(super) fn quota(&mut self) -> Parsed<Statement> {
        self.at += 1;
        if self.eat_word("name") {
            return self.object_name("the name of a quota").map(Statement::NamedQuota);
        }
        self.amount().map(Statement::Quota)
    }

    /// A quota behind its keyword.
    pub(super) fn amount(&mut self) -> Parsed<Quota> {
        let over = self.over();
        let bytes = self.bytes("the quota")?;
        let used = if self.eat_word("used") { self.bytes("the used part")? } else { 0 };
        Ok(Quota { over, bytes, used })
    }

    fn bytes(&mut self, of: &'static str) -> Parsed<u64> {
        let span = self.span();
        let number = self.u64(of)?;
        let Kind::Word(word) = self.peek() else { return self.unexpected("bytes, kbytes or mbytes") };
        let Some(factor) = bytes_factor(word) else { return self.unexpected("bytes, kbytes or mbytes") };
        self.at += 1;
        self.scaled(number, factor, of, span)
    }
}

impl Limit {
    /// What the bucket holds, in nanoseconds: of packets the burst's, of bytes also a period's rate. None if it is more
    /// than 64 bits, which the kernel refuses.
    fn tokens(&self) -> Option<u64> {
        let nanoseconds = self.per.seconds().checked_mul(1_000_000_000)?;
        let burst = u64::from(self.burst);
        let all = self.rate.checked_add(burst)?;
        match self.unit {
            LimitUnit::Packets => (nanoseconds / self.rate).checked_mul(burst),
            LimitUnit::Bytes => nanoseconds.checked_mul(all),
        }
    }
}

fn bytes_factor(unit: &str) -> Option<u64> {
    Some(match unit {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        _ => return None,
    })
}

fn period(name: &str) -> Option<Period> {
    Some(match name {
        "second" => Period::Second,
        "minute" => Period::Minute,
        "hour" => Period::Hour,
        "day" => Period::Day,
        "week" => Period::Week,
        _ => return None,
    })
}
