//! Declarations within tables: chains and counters.
use super::commands::OTHER_OBJECTS;
use super::{Fault, Parsed, Parser};
use crate::ast::{Base, Chain, ChainKind, Hook, Policy, Span};
use crate::error::{Problem, Thing};
use crate::lexer::Kind;

/// `nat` chains have to come behind connection tracking (`NF_IP_PRI_CONNTRACK` of Linux).
const PRIORITY_CONNTRACK: i32 = -200;

/// Named priorities; dstnat and srcnat only at their hooks.
pub(crate) const PRIORITIES: [(&str, i32); 6] =
    [("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];

const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
const TABLE_WORDS: [&str; 9] =
    ["chain", "set", "map", "counter", "limit", "quota", "flowtable", "comment", "define"];

/// Whether a hook knows the name of a priority.
pub(crate) fn priority_at(name: &str, hook: Hook) -> bool {
    match name {
        "dstnat" => hook == Hook::Prerouting,
        "srcnat" => hook == Hook::Postrouting,
        _ => true,
    }
}

impl Parser<'_, '_> {
    pub(super) fn table_block(&mut self, table: usize, opened: u32) -> Parsed<()> {
        self.in_scope(|parser| parser.table_items(table, opened))
    }

    fn table_items(&mut self, table: usize, opened: u32) -> Parsed<()> {
        let mut chains = Vec::new();
        loop {
            self.skip_separators();
            if self.eat_symbol("}") {
                return Ok(());
            }
            if self.peek() == Kind::End {
                return self.fault(Problem::Unclosed { what: "the table", opened });
            }
            let begin = self.at;
            if let Err(fault) = self.table_item(table, &mut chains) {
                self.faults.push(fault);
                if self.faults.len() >= self.max_errors {
                    self.at = self.limit;
                    return Ok(());
                }
                self.recover(begin);
            }
        }
    }

    fn table_item(&mut self, table: usize, chains: &mut Vec<usize>) -> Parsed<()> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("chain, set, map, counter or `}`");
        };
        match word {
            "define" => return self.define(),
            "redefine" | "undefine" => return self.define_again(word == "redefine"),
            "include" => return self.not_included(),
            "comment" => {
                let comment = self.comment()?;
                self.ruleset.tables[table].comment = comment;
            }
            "chain" => {
                self.at += 1;
                self.chain(table, false, chains)?;
            }
            "set" | "map" => {
                self.at += 1;
                self.set(table, word == "map", false)?;
            }
            "counter" => {
                self.at += 1;
                self.counter_object(table, false)?;
            }
            "flags" => return self.unsupported(word, "a table is active as soon as the rule set is loaded"),
            "limit" => {
                self.at += 1;
                self.limit_object(table, false)?;
            }
            "quota" => {
                self.at += 1;
                self.quota_object(table, false)?;
            }
            "flowtable" => {
                self.at += 1;
                self.flowtable(table, false)?;
            }
            "ct" | "secmark" | "synproxy" => return self.unsupported(word, OTHER_OBJECTS),
            _ => return self.unexpected_word("chain, set, map, counter or `}`", TABLE_WORDS),
        }
        self.end_of_statement()
    }

    /// A chain behind its keyword: name and block. Those of the table's block so far are `seen`.
    pub(super) fn chain(&mut self, table: usize, create: bool, seen: &mut Vec<usize>) -> Parsed<()> {
        let span = self.span();
        let name = self.name("the name of a chain")?;
        let known = self.ruleset.tables[table].chains.iter().position(|chain| chain.name == name);
        let twice = known.is_some_and(|index| create || seen.contains(&index));
        if twice {
            let problem = Problem::Duplicate { kind: Thing::Chain, name: name.to_owned() };
            self.faults.push(Fault { span, problem });
        }
        let index = match known.filter(|_| !twice) {
            Some(index) => index,
            // Of a second chain of the name the errors are told as of any other.
            None => self.new_chain(table, name.to_owned(), false, span)?,
        };
        seen.push(index);
        let opened = self.span().line;
        if self.eat_symbol("{") {
            self.chain_block(table, index, opened)?;
        }
        Ok(())
    }

    /// The block behind `jump` or `goto`: a chain of its own, whose name this gives.
    pub(super) fn anonymous_chain(&mut self, table: usize) -> Parsed<String> {
        let span = self.span();
        if self.in_block {
            return self.unsupported("{", "nft has one block within a chain: declare a chain and jump to it");
        }
        self.at += 1;
        let chains = &self.ruleset.tables[table].chains;
        let blocks = &mut self.reading[table].blocks;
        let name = loop {
            let name = format!("__chain{blocks}");
            *blocks += 1;
            if chains.iter().all(|chain| chain.name != name) {
                break name;
            }
        };
        let index = self.new_chain(table, name.clone(), true, span)?;
        self.in_block = true;
        let read = self.chain_block(table, index, span.line);
        self.in_block = false;
        read.map(|()| name)
    }

    fn new_chain(&mut self, table: usize, name: String, anonymous: bool, span: Span) -> Parsed<usize> {
        self.count_chain(span)?;
        let chains = &mut self.ruleset.tables[table].chains;
        chains.push(Chain { name, base: None, comment: None, rules: Vec::new(), anonymous, span });
        Ok(chains.len() - 1)
    }

    fn chain_block(&mut self, table: usize, chain: usize, opened: u32) -> Parsed<()> {
        self.in_scope(|parser| parser.chain_items(table, chain, opened))
    }

    fn chain_items(&mut self, table: usize, chain: usize, opened: u32) -> Parsed<()> {
        let before = self.faults.len();
        loop {
            self.skip_separators();
            if self.eat_symbol("}") {
                return Ok(());
            }
            if self.peek() == Kind::End {
                return self.fault(Problem::Unclosed { what: "the chain", opened });
            }
            let begin = self.at;
            let sound = self.faults.len() == before;
            if let Err(fault) = self.chain_item(table, chain, sound) {
                self.faults.push(fault);
                if self.faults.len() >= self.max_errors {
                    self.at = self.limit;
                    return Ok(());
                }
                self.recover(begin);
            }
        }
    }

    /// A statement of a chain that is `sound` so far.
    fn chain_item(&mut self, table: usize, chain: usize, sound: bool) -> Parsed<()> {
        match self.peek() {
            Kind::Word(word @ ("define" | "redefine" | "undefine" | "include")) if self.in_block => {
                self.unsupported(word, "blocks within rules hold rules only: write it before the rule")
            }
            Kind::Word("define") => self.define(),
            Kind::Word(word @ ("redefine" | "undefine")) => self.define_again(word == "redefine"),
            Kind::Word("include") => self.not_included(),
            Kind::Word("type") if !self.in_block => {
                self.base(table, chain)?;
                self.end_of_statement()
            }
            Kind::Word("policy") if !self.in_block => {
                let span = self.span();
                let policy = self.policy()?;
                match &mut self.ruleset.tables[table].chains[chain].base {
                    Some(base) => base.policy = policy,
                    // Its type may be what could not be read.
                    None if !sound => {}
                    None => {
                        let problem = Problem::Missing {
                            what: "the chain's type and hook",
                            remedy: "only base chains have a policy",
                        };
                        return Err(Fault { span, problem });
                    }
                }
                self.end_of_statement()
            }
            Kind::Word("comment") if !self.in_block => {
                let comment = self.comment()?;
                self.ruleset.tables[table].chains[chain].comment = comment;
                self.end_of_statement()
            }
            Kind::Word(word @ ("device" | "devices")) => {
                self.unsupported(word, "match the port: `iifname \"name\"`")
            }
            _ => self.rule(table, chain),
        }
    }

    /// `type filter hook input priority filter; policy drop`.
    fn base(&mut self, table: usize, chain: usize) -> Parsed<()> {
        let span = self.span();
        self.at += 1;
        let kind = match self.peek() {
            Kind::Word("filter") => ChainKind::Filter,
            Kind::Word("nat") => ChainKind::Nat,
            Kind::Word("route") => ChainKind::Route,
            _ => return self.unexpected_word("filter, nat or route", ["filter", "nat", "route"]),
        };
        self.at += 1;
        self.expect_word("hook", "`hook`")?;
        let at_hook = self.span();
        let hook = match self.peek() {
            Kind::Word("prerouting") => Hook::Prerouting,
            Kind::Word("input") => Hook::Input,
            Kind::Word("forward") => Hook::Forward,
            Kind::Word("output") => Hook::Output,
            Kind::Word("postrouting") => Hook::Postrouting,
            Kind::Word(word @ ("ingress" | "egress")) => {
                return self.unsupported(word, "use `prerouting` or `postrouting`");
            }
            _ => {
                return self.unexpected_word("prerouting, input, forward, output or postrouting", HOOKS);
            }
        };
        self.at += 1;
        if let Kind::Word(word @ ("device" | "devices")) = self.peek() {
            return self.unsupported(word, "match the port: `iifname \"name\"`");
        }
        let places = match (kind, hook) {
            (ChainKind::Nat, Hook::Forward) => Some("prerouting, input, output or postrouting"),
            (ChainKind::Route, hook) if hook != Hook::Output => Some("output"),
            _ => None,
        };
        if let Some(places) = places {
            return Err(Fault { span: at_hook, problem: Problem::WrongHook { kind, places, hook } });
        }
        self.expect_word("priority", "`priority`")?;
        let at_priority = self.span();
        let priority = self.priority(hook)?;
        if kind == ChainKind::Nat && priority <= PRIORITY_CONNTRACK {
            let problem = Problem::Unsupported {
                what: format!("priority {priority} in a chain of type nat"),
                instead: "it has to be above -200, behind connection tracking",
            };
            return Err(Fault { span: at_priority, problem });
        }
        let mut policy = None;
        if self.peek() == Kind::Symbol(";") && self.peek_at(1) == Kind::Word("policy") {
            self.at += 1;
        }
        if self.peek() == Kind::Word("policy") {
            policy = Some(self.policy()?);
        }
        self.set_base(table, chain, Base { kind, hook, priority, policy: Policy::Accept }, policy, span)
    }

    fn set_base(
        &mut self,
        table: usize,
        chain: usize,
        mut base: Base,
        policy: Option<Policy>,
        span: Span,
    ) -> Parsed<()> {
        let inserted = self.reading[table].inserted.contains_key(&chain);
        let chain = &mut self.ruleset.tables[table].chains[chain];
        if let Some(known) = chain.base {
            base.policy = known.policy;
            if base != known {
                let problem = Problem::Duplicate { kind: Thing::Chain, name: chain.name.clone() };
                return Err(Fault { span, problem });
            }
        } else if inserted || !chain.rules.is_empty() {
            let problem = Problem::Missing {
                what: "the chain's type before its rules",
                remedy: "put it at the chain's head",
            };
            return Err(Fault { span, problem });
        }
        base.policy = policy.unwrap_or(base.policy);
        chain.base = Some(base);
        Ok(())
    }

    fn policy(&mut self) -> Parsed<Policy> {
        self.at += 1;
        if self.eat_symbol("$") {
            return self.expand(Self::policy_name);
        }
        self.policy_name()
    }

    fn policy_name(&mut self) -> Parsed<Policy> {
        let policy = match self.peek() {
            // A variable holds it in quotes.
            Kind::Word("accept") | Kind::Quoted("accept") => Policy::Accept,
            Kind::Word("drop") | Kind::Quoted("drop") => Policy::Drop,
            _ => return self.unexpected_word("accept or drop", ["accept", "drop"]),
        };
        self.at += 1;
        Ok(policy)
    }

    pub(super) fn priority(&mut self, hook: Hook) -> Parsed<i32> {
        if self.eat_symbol("$") {
            return self.expand(|parser| parser.priority(hook));
        }
        let mut priority = 0_i64;
        let named = match self.peek() {
            Kind::Word(word) => {
                let known = PRIORITIES.iter().find(|&&(name, _)| name == word && priority_at(name, hook));
                let Some(&(_, value)) = known else {
                    let names = PRIORITIES.iter().filter(|(name, _)| priority_at(name, hook));
                    return self.unexpected_word(
                        "a number, raw, mangle, filter, security, dstnat (prerouting) or srcnat (postrouting)",
                        names.map(|&(name, _)| name),
                    );
                };
                self.at += 1;
                priority = i64::from(value);
                true
            }
            _ => false,
        };
        let span = self.span();
        let sign = match self.peek() {
            Kind::Symbol("-") => -1,
            Kind::Symbol("+") if named => 1,
            _ if named => return Ok(priority as i32),
            _ => 0,
        };
        if sign != 0 {
            self.at += 1;
        }
        let number = i64::from(self.u32("the priority")?);
        priority += if sign < 0 { -number } else { number };
        i32::try_from(priority).map_err(|_| Fault {
            span,
            problem: Problem::TooLarge {
                value: number.unsigned_abs().into(),
                of: "the priority",
                max: 0x7fff_ffff,
            },
        })
    }

    /// `packets 1 bytes 40`.
    pub(super) fn counts(&mut self) -> Parsed<(u64, u64)> {
        self.expect_word("packets", "`packets`")?;
        let packets = self.u64("the count of packets")?;
        self.expect_word("bytes", "`bytes`")?;
        Ok((packets, self.u64("the count of bytes")?))
    }
}
