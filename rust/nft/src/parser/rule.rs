//! Rules: matches and statements.
use super::fields::is_expression;
use super::sets::Gives;
use super::{Fault, MAX_COMMENT, MAX_RULES, Parsed, Parser, Pending};
use crate::ast::{
    Counter, IcmpX, Limit, LimitUnit, Log, LogLevel, MarkSource, MarkValue, Match, Period, Quota, RejectKind,
    Rule, Span, Statement, Verdict,
};
use crate::context::{Context, TCP};
use crate::error::Problem;
use crate::field::{DataType, Field, TableFamily};
use crate::lexer::Kind;
use crate::names;
use crate::nearest::nearest;

/// What a limit in packets lets pass at once unless it says otherwise.
const DEFAULT_BURST: u32 = 5;
/// The longest prefix of a log line (`NF_LOG_PREFIXLEN` of Linux, without its final zero).
const MAX_LOG_PREFIX: usize = 127;

const EXPECTED: &str = "a match, such as `tcp dport 22`, or a statement, such as `accept`";
/// The words with which a statement of a chain may begin, but for matches.
#[rustfmt::skip]
const STATEMENTS: [&str; 18] = [
    "accept", "drop", "reject", "continue", "return", "jump", "goto", "counter", "limit", "quota", "log", "notrack",
    "snat", "dnat", "masquerade", "redirect", "type", "policy",
];
const PERIODS: [&str; 5] = ["second", "minute", "hour", "day", "week"];

/// Levels in the order of their names.
const LEVELS: [LogLevel; 8] = [
    LogLevel::Emerg,
    LogLevel::Alert,
    LogLevel::Crit,
    LogLevel::Err,
    LogLevel::Warn,
    LogLevel::Notice,
    LogLevel::Info,
    LogLevel::Debug,
];

/// A rule while it is read.
pub(super) struct Draft {
    pub statements: Vec<Statement>,
    spans: Vec<Span>,
    pub context: Context,
}

impl Draft {
    pub(super) fn new(family: TableFamily) -> Self {
        Self { statements: Vec::new(), spans: Vec::new(), context: Context::new(family) }
    }

    pub(super) fn push(&mut self, span: Span, implied: Vec<Match>, statement: Statement) {
        for found in implied {
            self.context.learn(&found);
            self.statements.push(Statement::Match(found));
            self.spans.push(span);
        }
        if let Statement::Match(found) = &statement {
            self.context.learn(found);
        }
        self.statements.push(statement);
        self.spans.push(span);
    }
}

impl Parser<'_> {
    /// A rule up to the end of its statement.
    pub(super) fn rule(&mut self, table: usize, chain: usize) -> Parsed<()> {
        let first = self.token();
        if self.rules >= MAX_RULES {
            let remedy = "use sets and maps in place of many rules";
            return self.fault(Problem::TooMany { what: "rules", limit: MAX_RULES, remedy });
        }
        let mut draft = Draft::new(self.ruleset.tables[table].family);
        let mut ended = false;
        let mut comment = None;
        loop {
            match self.peek() {
                Kind::Newline | Kind::End | Kind::Symbol(";" | "}") => break,
                Kind::Word("comment") => {
                    self.at += 1;
                    comment = Some(self.text_value("the comment", MAX_COMMENT)?);
                    break;
                }
                _ if ended => return self.fault(Problem::AfterVerdict),
                _ => self.statement(&mut draft)?,
            }
            ended = draft.statements.last().is_some_and(Statement::ends_rule);
        }
        if draft.statements.is_empty() {
            return self.unexpected(EXPECTED);
        }
        let end = self.tokens[self.at.max(1) - 1].end;
        self.end_of_statement()?;
        let rules = &mut self.ruleset.tables[table].chains[chain].rules;
        rules.push(Rule {
            statements: draft.statements,
            spans: draft.spans,
            comment,
            handle: None,
            span: first.span,
            text: self.text[first.start..end].to_owned(),
        });
        self.pending.push(Pending { table, chain, rule: rules.len() - 1 });
        self.rules += 1;
        Ok(())
    }

    fn statement(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        let Kind::Word(word) = self.peek() else {
            return match self.peek() {
                Kind::Symbol("@") => {
                    self.unsupported("@", "raw bytes of the packet are not looked at; match header fields")
                }
                _ => self.unexpected(EXPECTED),
            };
        };
        let statement = match word {
            "counter" => Statement::Counter(self.counter()?),
            "limit" => Statement::Limit(self.limit()?),
            "quota" => Statement::Quota(self.quota()?),
            "log" => Statement::Log(self.log()?),
            "notrack" => {
                self.at += 1;
                Statement::NoTrack
            }
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
                Statement::Verdict(self.verdict()?)
            }
            "reject" => return self.reject(draft),
            "snat" | "dnat" | "masquerade" | "redirect" => return self.nat(draft),
            "meta" | "mark" | "ct" if self.at_mark_assignment() => return self.assignment(draft),
            _ => {
                return match unsupported_statement(word) {
                    Some(instead) => self.unsupported(word, instead),
                    None if self.at_field() || is_expression(word) => self.matching(draft),
                    None => self.unexpected_word(EXPECTED, names::headers().chain(STATEMENTS)),
                };
            }
        };
        draft.push(span, Vec::new(), statement);
        Ok(())
    }

    fn matching(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        let mut implied = Vec::new();
        let mut context = draft.context.clone();
        let mut key = self.key(&mut context, &mut implied)?;
        match self.peek() {
            Kind::Word("vmap") => {
                self.at += 1;
                let lookup = self.lookup(key, Gives::Verdict)?;
                draft.context = context;
                draft.push(span, implied, Statement::Vmap(lookup));
                return Ok(());
            }
            Kind::Word("set") => {
                return self.unsupported(
                    "set",
                    "of a packet only the mark can be set: `meta mark set`, `ct mark set`",
                );
            }
            Kind::Word("map") => {
                return self.unsupported(
                    "map",
                    "maps stand behind `dnat to`, `snat to`, `redirect to` and `mark set`",
                );
            }
            _ => {}
        }
        let written = self.operator();
        let (operator, rhs) = self.comparison(&mut key, written)?;
        let found = Match { key, operator, rhs, implicit: false };
        context.check(&found).map_err(|problem| Fault { span, problem })?;
        draft.context = context;
        draft.push(span, implied, Statement::Match(found));
        Ok(())
    }

    fn counter(&mut self) -> Parsed<Counter> {
        self.at += 1;
        match self.peek() {
            Kind::Word("name") => {
                self.at += 1;
                if let Kind::Quoted(name) = self.peek() {
                    self.at += 1;
                    return Ok(Counter::Named(name.to_owned()));
                }
                Ok(Counter::Named(self.name("the name of a counter")?.to_owned()))
            }
            Kind::Word("packets") => {
                let (packets, bytes) = self.counts()?;
                Ok(Counter::Anonymous { packets, bytes })
            }
            _ => Ok(Counter::Anonymous { packets: 0, bytes: 0 }),
        }
    }

    fn limit(&mut self) -> Parsed<Limit> {
        self.at += 1;
        if let Kind::Word("name") = self.peek() {
            return self.unsupported("limit name", "write the rate in the rule: `limit rate 10/second`");
        }
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

    fn over(&mut self) -> bool {
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

    fn quota(&mut self) -> Parsed<Quota> {
        self.at += 1;
        if let Kind::Word("name") = self.peek() {
            return self.unsupported("quota name", "write the quota in the rule: `quota over 10 mbytes`");
        }
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

    fn log(&mut self) -> Parsed<Log> {
        self.at += 1;
        let mut log = Log::default();
        loop {
            let Kind::Word(word) = self.peek() else { return Ok(log) };
            let twice = match word {
                "prefix" => log.prefix.is_some(),
                "level" => log.level.is_some(),
                "group" => log.group.is_some(),
                "snaplen" | "queue-threshold" | "flags" => {
                    return self.unsupported(word, "events carry the packet; leave it out");
                }
                _ => return Ok(log),
            };
            if twice {
                return self.fault(Problem::Twice { what: "an option of log" });
            }
            if (word == "level" && log.group.is_some()) || (word == "group" && log.level.is_some()) {
                return self
                    .fault(Problem::Conflict { earlier: "one of level and group", later: "the other" });
            }
            self.at += 1;
            match word {
                "prefix" => log.prefix = Some(self.log_prefix()?),
                "level" => log.level = Some(self.log_level()?),
                _ => {
                    let group = self.number("the group", u16::MAX.into())?;
                    log.group = u16::try_from(group).ok();
                }
            }
        }
    }

    fn log_prefix(&mut self) -> Parsed<String> {
        let text = self.text_value("the prefix", MAX_LOG_PREFIX)?;
        if text.contains('$') {
            self.at -= 1;
            return self.unsupported("$", "variables are not looked for in texts: write the prefix out");
        }
        Ok(text)
    }

    fn log_level(&mut self) -> Parsed<LogLevel> {
        let Kind::Word(word) = self.peek() else { return self.unexpected("the name of a level") };
        match names::LOG_LEVELS.iter().position(|&name| name == word) {
            Some(index) => {
                self.at += 1;
                Ok(LEVELS[index])
            }
            None if word == "audit" => self.unsupported("level audit", "use one of the other levels"),
            None => self
                .unexpected_word("emerg, alert, crit, err, warn, notice, info or debug", names::LOG_LEVELS),
        }
    }

    fn reject(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        self.at += 1;
        let mut implied = Vec::new();
        let kind = if self.eat_word("with") {
            let at = self.span();
            let kind = self.reject_kind()?;
            let required = match kind {
                RejectKind::TcpReset => draft.context.require_upper(TCP, &mut implied),
                RejectKind::Icmp(_) => draft.context.require_network(TableFamily::Ip, &mut implied),
                RejectKind::Icmp6(_) => draft.context.require_network(TableFamily::Ip6, &mut implied),
                RejectKind::IcmpX(_) => Ok(()),
            };
            required.map_err(|problem| Fault { span: at, problem })?;
            // nft prints the protocol that a reset needs.
            implied.iter_mut().for_each(|found| found.implicit = kind != RejectKind::TcpReset);
            kind
        } else {
            match draft.context.network() {
                Some(TableFamily::Ip) => RejectKind::Icmp(3),
                Some(TableFamily::Ip6) => RejectKind::Icmp6(4),
                _ => RejectKind::IcmpX(IcmpX::PortUnreachable),
            }
        };
        // nft asks for the packets that can be answered so before all else, so that counters before do not see others.
        for found in implied.into_iter().rev() {
            draft.statements.insert(0, Statement::Match(found));
            draft.spans.insert(0, span);
        }
        draft.push(span, Vec::new(), Statement::Reject(kind));
        Ok(())
    }

    fn reject_kind(&mut self) -> Parsed<RejectKind> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("tcp reset, icmp, icmpv6 or icmpx");
        };
        self.at += 1;
        if word == "tcp" {
            self.expect_word("reset", "`reset`")?;
            return Ok(RejectKind::TcpReset);
        }
        if !matches!(word, "icmp" | "icmpv6" | "icmpx") {
            self.at -= 1;
            return self
                .unexpected_word("tcp reset, icmp, icmpv6 or icmpx", ["tcp", "icmp", "icmpv6", "icmpx"]);
        }
        self.eat_word("type");
        let span = self.span();
        if word == "icmpx" {
            let code = match self.peek() {
                Kind::Word(name) => names::find(names::ICMPX_CODES, name),
                Kind::Number(value) => u32::try_from(value).ok(),
                _ => None,
            };
            let kind = match code {
                Some(0) => IcmpX::NoRoute,
                Some(1) => IcmpX::PortUnreachable,
                Some(2) => IcmpX::HostUnreachable,
                Some(3) => IcmpX::AdminProhibited,
                _ => {
                    return self.unexpected_word(
                        "no-route, port-unreachable, host-unreachable or admin-prohibited",
                        names::ICMPX_CODES.iter().map(|&(name, _)| name),
                    );
                }
            };
            self.at += 1;
            return Ok(RejectKind::IcmpX(kind));
        }
        let of = if word == "icmp" { DataType::IcmpCode } else { DataType::Icmpv6Code };
        let code = self.value(of)?;
        if names::name_of(of, code).is_none() {
            let problem = Problem::UnknownValue { of, name: code.to_string(), nearest: None };
            return Err(Fault { span, problem });
        }
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        Ok(if word == "icmp" { RejectKind::Icmp(code) } else { RejectKind::Icmp6(code) })
    }

    fn at_mark_assignment(&self) -> bool {
        match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Kind::Word("mark"), Kind::Word("set"), _) => true,
            (Kind::Word("meta" | "ct"), Kind::Word(_), Kind::Word("set")) => true,
            (Kind::Word("ct"), Kind::Word("original" | "reply"), _) => false,
            _ => false,
        }
    }

    /// `meta mark set …`, `ct mark set …`.
    fn assignment(&mut self, draft: &mut Draft) -> Parsed<()> {
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

impl Statement {
    /// Whether nothing can follow it in its rule.
    #[must_use]
    pub fn ends_rule(&self) -> bool {
        match self {
            Self::Verdict(verdict) => *verdict != Verdict::Continue,
            Self::Reject(_) | Self::Nat(_) => true,
            _ => false,
        }
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

/// Statements of nft that the subset has not, and what to do.
fn unsupported_statement(word: &str) -> Option<&'static str> {
    Some(match word {
        "queue" => "log the packet, or decide about it with accept or drop",
        "dup" | "fwd" => "packets are not copied; use a capture tap",
        "flow" => "leave it out: every flow is cached",
        "tproxy" => "use `redirect to :port`",
        "synproxy" => "leave it out",
        "set" | "add" | "update" | "delete" => "sets do not change by themselves; use `limit` for rates",
        "meter" => "use `limit`",
        "xt" => "write it as a match or statement of nft",
        "tunnel" | "secmark" | "last" => "leave it out",
        _ => return None,
    })
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
