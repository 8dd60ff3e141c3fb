//! Declarations within tables: chains, sets, maps, counters.
use super::sets::{Gives, Shape};
use super::{Fault, Parsed, Parser};
use crate::ast::{
    Base, Chain, ChainKind, CounterObject, DataOf, Hook, KeyType, Policy, Set, SetElement, Span,
};
use crate::elements::{Merge, normalize};
use crate::error::{Problem, Thing};
use crate::lexer::Kind;
use crate::names;
use crate::nearest::nearest;

/// `nat` chains have to come behind connection tracking (`NF_IP_PRI_CONNTRACK` of Linux).
const PRIORITY_CONNTRACK: i32 = -200;

/// Named priorities; dstnat and srcnat only at their hooks.
pub(crate) const PRIORITIES: [(&str, i32); 6] =
    [("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];

const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
const TABLE_WORDS: [&str; 6] = ["chain", "set", "map", "counter", "comment", "define"];
const SET_WORDS: [&str; 8] =
    ["type", "typeof", "flags", "elements", "auto-merge", "size", "policy", "comment"];

/// Whether a hook knows the name of a priority.
pub(crate) fn priority_at(name: &str, hook: Hook) -> bool {
    match name {
        "dstnat" => hook == Hook::Prerouting,
        "srcnat" => hook == Hook::Postrouting,
        _ => true,
    }
}

impl Parser<'_> {
    pub(super) fn table_block(&mut self, table: usize, opened: u32) -> Parsed<()> {
        let scope = self.defines.len();
        let mut chains = Vec::new();
        loop {
            self.skip_separators();
            if self.eat_symbol("}") {
                break;
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
        self.close_scope(scope);
        Ok(())
    }

    fn table_item(&mut self, table: usize, chains: &mut Vec<usize>) -> Parsed<()> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("chain, set, map, counter or `}`");
        };
        match word {
            "define" => return self.define(),
            "include" => return self.unsupported(word, "put the file's text here"),
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
            "flowtable" => {
                return self.unsupported(word, "leave it out: every flow is cached");
            }
            "ct" | "limit" | "quota" | "secmark" | "synproxy" => {
                return self
                    .unsupported(word, "named objects other than counters, sets and maps are left out");
            }
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
            None => {
                let chain =
                    Chain { name: name.to_owned(), base: None, comment: None, rules: Vec::new(), span };
                self.ruleset.tables[table].chains.push(chain);
                self.ruleset.tables[table].chains.len() - 1
            }
        };
        seen.push(index);
        let opened = self.span().line;
        if self.eat_symbol("{") {
            self.chain_block(table, index, opened)?;
        }
        Ok(())
    }

    fn chain_block(&mut self, table: usize, chain: usize, opened: u32) -> Parsed<()> {
        let scope = self.defines.len();
        let before = self.faults.len();
        loop {
            self.skip_separators();
            if self.eat_symbol("}") {
                break;
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
        self.close_scope(scope);
        Ok(())
    }

    /// A statement of a chain that is `sound` so far.
    fn chain_item(&mut self, table: usize, chain: usize, sound: bool) -> Parsed<()> {
        match self.peek() {
            Kind::Word("define") => self.define(),
            Kind::Word("type") => {
                self.base(table, chain)?;
                self.end_of_statement()
            }
            Kind::Word("policy") => {
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
            Kind::Word("comment") => {
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
        let chain = &mut self.ruleset.tables[table].chains[chain];
        if let Some(known) = chain.base {
            base.policy = known.policy;
            if base != known {
                let problem = Problem::Duplicate { kind: Thing::Chain, name: chain.name.clone() };
                return Err(Fault { span, problem });
            }
        } else if !chain.rules.is_empty() {
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
        let policy = match self.peek() {
            Kind::Word("accept") => Policy::Accept,
            Kind::Word("drop") => Policy::Drop,
            _ => return self.unexpected_word("accept or drop", ["accept", "drop"]),
        };
        self.at += 1;
        Ok(policy)
    }

    fn priority(&mut self, hook: Hook) -> Parsed<i32> {
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

    /// A named counter behind its keyword.
    pub(super) fn counter_object(&mut self, table: usize, create: bool) -> Parsed<()> {
        let span = self.span();
        let name = self.name("the name of a counter")?.to_owned();
        let mut counter = CounterObject { name, packets: 0, bytes: 0, comment: None, span };
        let opened = self.span().line;
        if self.eat_symbol("{") {
            loop {
                self.skip_separators();
                match self.peek() {
                    Kind::Symbol("}") => break,
                    Kind::Word("packets") => (counter.packets, counter.bytes) = self.counts()?,
                    Kind::Word("comment") => counter.comment = self.comment()?,
                    _ => {
                        let known = &["packets", "comment"];
                        return self.unexpected_in_block(
                            "the counter",
                            opened,
                            "packets, comment or `}`",
                            known,
                        );
                    }
                }
                self.end_of_statement()?;
            }
            self.at += 1;
        } else if self.peek() == Kind::Word("packets") {
            (counter.packets, counter.bytes) = self.counts()?;
        }
        let counters = &mut self.ruleset.tables[table].counters;
        match counters.iter().find(|known| known.name == counter.name) {
            Some(_) if create => {
                let problem = Problem::Duplicate { kind: Thing::Counter, name: counter.name };
                Err(Fault { span, problem })
            }
            Some(_) => Ok(()),
            None => {
                counters.push(counter);
                Ok(())
            }
        }
    }

    /// `packets 1 bytes 40`.
    pub(super) fn counts(&mut self) -> Parsed<(u64, u64)> {
        self.expect_word("packets", "`packets`")?;
        let packets = self.u64("the count of packets")?;
        self.expect_word("bytes", "`bytes`")?;
        Ok((packets, self.u64("the count of bytes")?))
    }

    pub(super) fn existing_set(&mut self, table: usize) -> Parsed<usize> {
        let span = self.span();
        let name = self.name("the name of a set or map")?;
        let sets = &self.ruleset.tables[table].sets;
        sets.iter().position(|set| set.name == name).ok_or_else(|| {
            let known = sets.iter().map(|set| set.name.as_str());
            Fault { span, problem: Problem::undeclared(Thing::Set, name, known) }
        })
    }

    /// A set or map behind its keyword.
    pub(super) fn set(&mut self, table: usize, map: bool, create: bool) -> Parsed<()> {
        let span = self.span();
        let name = self.name("the name of a set or map")?;
        let block = self.set_block(name.to_owned(), map, span);
        if block.is_err() {
            self.failed.insert(name);
        }
        let (declared, elements) = block?;
        let kind = if map { Thing::Map } else { Thing::Set };
        let sets = &mut self.ruleset.tables[table].sets;
        let index = match sets.iter().position(|known| known.name == declared.name) {
            None => {
                sets.push(declared);
                sets.len() - 1
            }
            Some(index) => {
                let known = &sets[index];
                let same = Set { elements: Vec::new(), comment: declared.comment.clone(), ..known.clone() }
                    == declared;
                if create || !same {
                    return Err(Fault { span, problem: Problem::Duplicate { kind, name: declared.name } });
                }
                index
            }
        };
        match elements {
            None => Ok(()),
            Some(at) => {
                let back = std::mem::replace(&mut self.at, at);
                let added = self.elements_of(table, index);
                self.at = back;
                added
            }
        }
    }

    /// The set without its elements, and where those stand.
    fn set_block(&mut self, name: String, map: bool, span: Span) -> Parsed<(Set, Option<usize>)> {
        const EXPECTED: &str = "type, typeof, flags, elements, auto-merge, size, comment or `}`";
        let opened = self.span().line;
        self.expect_symbol("{", "`{` and the set's type")?;
        let what = if map { "the map" } else { "the set" };
        let mut key = None;
        let mut set = Set {
            name,
            key: KeyType::Types(smallvec::SmallVec::new()),
            data: None,
            constant: false,
            interval: false,
            auto_merge: false,
            size: None,
            comment: None,
            elements: Vec::new(),
            span,
        };
        let mut elements = None;
        loop {
            self.skip_separators();
            let Kind::Word(word) = self.peek() else {
                if self.eat_symbol("}") {
                    break;
                }
                return self.unexpected_in_block(what, opened, EXPECTED, &[]);
            };
            match word {
                "type" | "typeof" if key.is_some() => {
                    return self.fault(Problem::Twice { what: "the set's type" });
                }
                "type" | "typeof" => {
                    key = Some(self.key_type()?);
                    if map {
                        self.expect_symbol(":", "`:` and the type of what the map gives")?;
                        set.data = Some(self.data_type()?);
                    }
                }
                "flags" => self.set_flags(&mut set)?,
                "auto-merge" => {
                    self.at += 1;
                    set.auto_merge = true;
                }
                "size" => {
                    self.at += 1;
                    set.size = Some(self.u32("the size of the set")?);
                }
                "policy" => {
                    self.at += 1;
                    if !self.eat_word("memory") {
                        self.expect_word("performance", "performance or memory")?;
                    }
                }
                "comment" => set.comment = self.comment()?,
                "elements" => {
                    self.at += 1;
                    self.expect_symbol("=", "`=` and `{`")?;
                    elements = Some(self.at);
                    self.skip_elements()?;
                    // Nothing has to stand between them and what follows, as in nft.
                    continue;
                }
                "timeout" | "gc-interval" | "counter" | "limit" | "quota" => {
                    return self.unsupported(
                        word,
                        "sets hold what is written in them; they do not change by themselves",
                    );
                }
                _ => return self.unexpected_word(EXPECTED, SET_WORDS),
            }
            self.end_of_statement()?;
        }
        match key {
            Some(key) => {
                set.key = key;
                Ok((set, elements))
            }
            None => {
                let problem = Problem::Missing { what: "the set's type", remedy: "e.g. `type ipv4_addr`" };
                Err(Fault { span, problem })
            }
        }
    }

    fn skip_elements(&mut self) -> Parsed<()> {
        if self.eat_symbol("$") {
            self.at += 1;
            return Ok(());
        }
        if self.peek() != Kind::Symbol("{") {
            return self.unexpected("`{` and elements");
        }
        let opened = self.span().line;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Kind::End => return self.fault(Problem::Unclosed { what: "the elements", opened }),
                Kind::Symbol("{") => depth += 1,
                Kind::Symbol("}") => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn set_flags(&mut self, set: &mut Set) -> Parsed<()> {
        self.at += 1;
        loop {
            match self.peek() {
                Kind::Word("constant") => set.constant = true,
                Kind::Word("interval") => set.interval = true,
                Kind::Word(word @ ("timeout" | "dynamic")) => {
                    return self.unsupported(
                        word,
                        "sets hold what is written in them; they do not change by themselves",
                    );
                }
                _ => return self.unexpected_word("constant or interval", ["constant", "interval"]),
            }
            self.at += 1;
            if !self.eat_symbol(",") {
                return Ok(());
            }
        }
    }

    /// Behind `type` or `typeof`, or behind the colon of a map.
    fn key_type(&mut self) -> Parsed<KeyType> {
        let of_field = self.peek() == Kind::Word("typeof");
        self.at += 1;
        if of_field { Ok(KeyType::TypeOf(self.field_types()?)) } else { self.types() }
    }

    fn types(&mut self) -> Parsed<KeyType> {
        let mut types = smallvec::SmallVec::new();
        loop {
            let Kind::Word(word) = self.peek() else { return self.unexpected("the name of a type") };
            let Some(of) = names::data_type(word) else {
                let nearest = nearest(word, names::data_types());
                return self.fault(Problem::UnknownType { name: word.to_owned(), nearest });
            };
            self.at += 1;
            types.push(of);
            if !self.eat_symbol(".") {
                return Ok(KeyType::Types(types));
            }
        }
    }

    fn data_type(&mut self) -> Parsed<DataOf> {
        if self.eat_word("verdict") {
            return Ok(DataOf::Verdict);
        }
        let interval = self.eat_word("interval");
        // Behind `typeof` the data's type is a field, too.
        let key =
            if self.at_field() && !matches!(self.peek_at(1), Kind::Newline | Kind::Symbol(_) | Kind::End) {
                KeyType::TypeOf(self.field_types()?)
            } else {
                self.types()?
            };
        Ok(DataOf::Values { key, interval })
    }

    pub(super) fn add_elements(&mut self, table: usize) -> Parsed<()> {
        let set = self.existing_set(table)?;
        self.elements_of(table, set)
    }

    /// Reads elements and puts them into a set.
    fn elements_of(&mut self, table: usize, index: usize) -> Parsed<()> {
        let span = self.span();
        let set = &self.ruleset.tables[table].sets[index];
        let merge = if set.auto_merge { Merge::Adjacent } else { Merge::Never };
        let types = set.key.data_types();
        let shape = Shape { types: &types, gives: Gives::from(&set.data), ranges: set.interval, merge };
        let added = self.elements(&shape)?;
        let set = &mut self.ruleset.tables[table].sets[index];
        let mut elements: Vec<SetElement> = std::mem::take(&mut set.elements);
        elements.extend(added);
        set.elements = normalize(elements, merge).map_err(|problem| Fault { span, problem })?;
        if set.size.is_some_and(|size| set.elements.len() > size as usize) {
            let limit = set.size.unwrap_or(0) as usize;
            let problem = Problem::TooMany { what: "elements", limit, remedy: "raise the set's size" };
            return Err(Fault { span, problem });
        }
        Ok(())
    }
}
