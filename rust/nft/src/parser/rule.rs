//! Rules: matches and statements.
use super::fields::is_expression;
use super::sets::Gives;
use super::{Fault, MAX_COMMENT, MAX_RULES, Parsed, Parser, Pending};
use crate::ast::{Counter, Key, Match, MaxSegment, Rule, Span, Statement, Verdict};
use crate::context::Context;
use crate::error::Problem;
use crate::field::{DataType, Field, TableFamily, TcpOption};
use crate::lexer::Kind;
use crate::names;

const EXPECTED: &str = "a match, such as `tcp dport 22`, or a statement, such as `accept`";
/// The words with which a statement of a chain may begin, but for matches.
#[rustfmt::skip]
const STATEMENTS: [&str; 23] = [
    "accept", "drop", "reject", "continue", "return", "jump", "goto", "counter", "limit", "quota", "log", "notrack",
    "snat", "dnat", "masquerade", "redirect", "type", "policy", "add", "update", "delete", "meter", "flow",
];

/// A rule while it is read.
pub(super) struct Draft {
    pub statements: Vec<Statement>,
    pub spans: Vec<Span>,
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

impl Parser<'_, '_> {
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
                _ => self.statement(&mut draft, table)?,
            }
            ended = draft.statements.last().is_some_and(Statement::ends_rule);
        }
        if draft.statements.is_empty() {
            return self.unexpected(EXPECTED);
        }
        let last = self.tokens[self.at.max(1) - 1];
        self.end_of_statement()?;
        let text = self.written(&first, &last);
        let rules = &mut self.ruleset.tables[table].chains[chain].rules;
        rules.push(Rule {
            statements: draft.statements,
            spans: draft.spans,
            comment,
            handle: None,
            span: first.span,
            text,
        });
        self.pending.push(Pending { table, chain, rule: rules.len() - 1 });
        self.rules += 1;
        Ok(())
    }

    fn statement(&mut self, draft: &mut Draft, table: usize) -> Parsed<()> {
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
            "limit" => self.limit()?,
            "quota" => self.quota()?,
            "log" => Statement::Log(self.log()?),
            "notrack" => {
                self.at += 1;
                Statement::NoTrack
            }
            "jump" | "goto" if self.peek_at(1) == Kind::Symbol("{") => {
                self.at += 1;
                let name = self.anonymous_chain(table)?;
                Statement::Verdict(if word == "jump" { Verdict::Jump(name) } else { Verdict::Goto(name) })
            }
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
                Statement::Verdict(self.verdict()?)
            }
            "flow" => {
                self.at += 1;
                if !self.eat_word("offload") {
                    self.expect_word("add", "`add`")?;
                }
                self.expect_symbol("@", "`@` and the name of a flow table")?;
                Statement::FlowAdd(self.name("the name of a flow table")?.to_owned())
            }
            "meta" if self.peek_at(1) == Kind::Word("nftrace") && self.peek_at(2) == Kind::Word("set") => {
                self.at += 3;
                Statement::NfTrace(self.number("nftrace", 1)? == 1)
            }
            "tcp" if self.peek_at(1) == Kind::Word("option") && self.at_option_assignment() => {
                self.set_max_segment()?
            }
            "add" | "update" | "delete" | "set" | "meter" => return self.dynamic(draft, table),
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
                let statement = self.set_field(&key)?;
                draft.context = context;
                draft.push(span, implied, statement);
                return Ok(());
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

    /// `set VALUE` behind a field of the header.
    fn set_field(&mut self, key: &Key) -> Parsed<Statement> {
        let ([field @ (Field::IpDscp | Field::Ip6Dscp | Field::IpTtl | Field::Ip6HopLimit)], None) =
            (&key.fields[..], key.mask)
        else {
            let instead = "of a packet marks, `ip dscp`, `ip ttl`, `ip6 dscp` and `ip6 hoplimit` can be set";
            return self.unsupported("set", instead);
        };
        self.at += 1;
        let value = self.value(field.data_type())?;
        Ok(Statement::SetField(*field, u8::try_from(value).unwrap_or(u8::MAX)))
    }

    /// Whether `set` stands behind the option that begins here.
    fn at_option_assignment(&self) -> bool {
        [3, 4].iter().any(|&ahead| self.peek_at(ahead) == Kind::Word("set"))
    }

    /// `tcp option maxseg size set …`.
    fn set_max_segment(&mut self) -> Parsed<Statement> {
        let span = self.span();
        self.at += 1;
        if self.tcp_option()? != TcpOption::MAX_SEGMENT {
            let problem = Problem::Unsupported {
                what: "a change of this option".to_owned(),
                instead: "of a segment's options only the largest segment can be set: `maxseg size`",
            };
            return Err(Fault { span, problem });
        }
        self.expect_word("set", "`set`")?;
        if self.eat_word("rt") {
            self.expect_word("mtu", "`mtu`")?;
            return Ok(Statement::SetMaxSegment(MaxSegment::RouteMtu));
        }
        let size = self.value(DataType::Integer(16))?;
        Ok(Statement::SetMaxSegment(MaxSegment::Constant(u16::try_from(size).unwrap_or(u16::MAX))))
    }

    fn counter(&mut self) -> Parsed<Counter> {
        self.at += 1;
        match self.peek() {
            Kind::Word("name") => {
                self.at += 1;
                Ok(Counter::Named(self.object_name("the name of a counter")?))
            }
            Kind::Word("packets") => {
                let (packets, bytes) = self.counts()?;
                Ok(Counter::Anonymous { packets, bytes })
            }
            _ => Ok(Counter::Anonymous { packets: 0, bytes: 0 }),
        }
    }

    fn at_mark_assignment(&self) -> bool {
        match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Kind::Word("mark"), Kind::Word("set"), _) => true,
            (Kind::Word("meta" | "ct"), Kind::Word(_), Kind::Word("set")) => true,
            (Kind::Word("ct"), Kind::Word("original" | "reply"), _) => false,
            _ => false,
        }
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

/// Statements of nft that the subset has not, and what to do.
fn unsupported_statement(word: &str) -> Option<&'static str> {
    Some(match word {
        "queue" => "log the packet, or decide about it with accept or drop",
        "dup" | "fwd" => "packets are not copied; use a capture tap",
        "tproxy" => "use `redirect to :port`",
        "synproxy" => "leave it out",
        "xt" => "write it as a match or statement of nft",
        "tunnel" | "secmark" | "last" => "leave it out",
        _ => return None,
    })
}
