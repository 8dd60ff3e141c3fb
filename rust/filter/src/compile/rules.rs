//! Chains, rules and sets, one after the other.

mod sets;
mod statements;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::dynamic::{Change, DynamicSpec, Life, Timed};
use crate::op::{Fields, Key, Map, MapData, Match, Op, Rule, Scope, Set, Test, Verdict, asks};
use crate::outcome::{Asked, CounterId, LimitId, LogId, QuotaId, RuleId};
use crate::ruleset::{LogInfo, NamedCounter, Numbers, RuleInfo};
use crate::state::{Count, LimitSpec, QuotaSpec};
use netfast_nft::ast::{
    self, Element, Interval, MapSource, Operator, Rhs, RulesetAst, SetElement, Statement,
};
use netfast_nft::field::{DataType, Field};

use super::CompileError;
use super::claims::SetIntervals;
use super::identity::{Occurrences, Slots, hash_of, hash_of_debug, rule_identity};
use super::text::one_line;

/// The flag of segments that begin a connection (RFC 9293 section 3.1).
const SYN: u128 = 2;

/// A chain that is being compiled, and what it refers to.
#[derive(Debug)]
pub(super) struct Draft {
    pub table: usize,
    pub name: String,
    pub rules: Vec<Rule>,
    pub asked: Asked,
    /// Of its rules, with their numbers.
    pub hashes: Vec<u64>,
    pub calls: Vec<u32>,
    pub sets: Vec<u32>,
    pub reads_ports: bool,
}

/// Things that get numbers once all are known.
#[derive(Debug)]
pub(super) struct Things<T> {
    pub things: Vec<T>,
    identities: Vec<u64>,
    pub numbers: Vec<u32>,
}

impl<T> Things<T> {
    fn new() -> Self {
        Self { things: Vec::new(), identities: Vec::new(), numbers: Vec::new() }
    }

    /// Where it stands until then.
    fn add(&mut self, identity: u64, thing: T) -> u32 {
        self.identities.push(identity);
        self.things.push(thing);
        self.things.len() as u32 - 1
    }

    fn assign(&mut self, previous: &Slots) -> Slots {
        let (slots, numbers) = Slots::assign(previous, &self.identities);
        self.numbers = numbers;
        slots
    }

    fn number(&self, position: u32) -> u32 {
        self.numbers[position as usize]
    }
}

pub(super) struct Compiler<'a> {
    ast: &'a RulesetAst,
    /// Numbers and names of the ports, as [`netfast_nft::field::interface_number`] has them.
    pub ports: Vec<(u32, u128)>,
    elements_left: usize,
    max_elements: usize,
    chain_numbers: HashMap<(usize, &'a str), u32>,
    set_trees: HashMap<(usize, &'a str), &'a ast::Set>,
    set_numbers: HashMap<(usize, &'a str), u32>,
    counter_numbers: HashMap<(usize, &'a str), u32>,
    /// Named limits and quotas, and whether what is over matches.
    limit_numbers: HashMap<(usize, &'a str), (u32, bool)>,
    quota_numbers: HashMap<(usize, &'a str), (u32, bool)>,
    /// Sets that rules change, and whether their elements have something of their own.
    changed: HashMap<(usize, &'a str), bool>,
    occurrences: Occurrences,
    pub chains: Vec<Draft>,
    pub sets: Vec<Set>,
    pub set_intervals: Vec<SetIntervals>,
    pub set_hashes: Vec<u64>,
    pub infos: Things<RuleInfo>,
    pub counters: Things<Count>,
    pub limits: Things<LimitSpec>,
    pub quotas: Things<QuotaSpec>,
    pub logs: Things<LogInfo>,
    pub named_counters: Vec<NamedCounter>,
    pub dynamics: Things<DynamicSpec>,
    pub timed: Things<Arc<[Timed]>>,
    pub changes: Vec<Change>,
}

/// Where the compiler is.
struct Place {
    table: usize,
    line: u32,
    /// Identity of the rule.
    rule: u64,
    /// Position among all rules.
    position: u32,
    statement: usize,
}

impl Place {
    /// The identity of a statement.
    fn identity(&self) -> u64 {
        hash_of(&(self.rule, self.statement))
    }
}

impl<'a> Compiler<'a> {
    pub fn new(ast: &'a RulesetAst, ports: Vec<(u32, u128)>, max_elements: usize) -> Self {
        let tables = || ast.tables.iter().enumerate();
        let chains = tables()
            .flat_map(|(number, table)| table.chains.iter().map(move |chain| (number, chain.name.as_str())));
        let sets = tables()
            .flat_map(|(number, table)| table.sets.iter().map(move |set| ((number, set.name.as_str()), set)));
        let mut compiler = Self {
            ast,
            ports,
            elements_left: max_elements,
            max_elements,
            chain_numbers: chains.zip(0..).collect(),
            set_trees: sets.collect(),
            set_numbers: HashMap::new(),
            counter_numbers: HashMap::new(),
            limit_numbers: HashMap::new(),
            quota_numbers: HashMap::new(),
            changed: changed_sets(ast),
            occurrences: Occurrences::default(),
            chains: Vec::new(),
            sets: Vec::new(),
            set_intervals: Vec::new(),
            set_hashes: Vec::new(),
            infos: Things::new(),
            counters: Things::new(),
            limits: Things::new(),
            quotas: Things::new(),
            logs: Things::new(),
            named_counters: Vec::new(),
            dynamics: Things::new(),
            timed: Things::new(),
            changes: Vec::new(),
        };
        for (number, table) in tables() {
            for counter in &table.counters {
                compiler.named_counter(number, table, counter);
            }
            for limit in &table.limits {
                let identity = hash_of_debug(&("limit", table.family, &table.name, &limit.name, limit.value));
                let position = compiler.limits.add(identity, LimitSpec::new(&limit.value));
                compiler.limit_numbers.insert((number, &limit.name), (position, limit.value.over));
            }
            for quota in &table.quotas {
                let identity = hash_of_debug(&("quota", table.family, &table.name, &quota.name, quota.value));
                let spec = QuotaSpec { bytes: quota.value.bytes, used: quota.value.used };
                let position = compiler.quotas.add(identity, spec);
                compiler.quota_numbers.insert((number, &quota.name), (position, quota.value.over));
            }
        }
        compiler
    }

    fn named_counter(&mut self, number: usize, table: &ast::Table, counter: &'a ast::CounterObject) {
        let identity = hash_of(&("counter", table.family, &table.name, &counter.name));
        let position = self.counters.add(identity, Count { packets: counter.packets, bytes: counter.bytes });
        self.counter_numbers.insert((number, &counter.name), position);
        self.named_counters.push(NamedCounter {
            family: table.family,
            table: table.name.as_str().into(),
            name: counter.name.as_str().into(),
            id: CounterId(position),
        });
    }

    pub fn chain(&mut self, table: usize, chain: &'a ast::Chain) -> Result<(), CompileError> {
        self.chains.push(Draft {
            table,
            name: chain.name.clone(),
            rules: Vec::with_capacity(chain.rules.len()),
            asked: Asked::NONE,
            hashes: Vec::with_capacity(chain.rules.len()),
            calls: Vec::new(),
            sets: Vec::new(),
            reads_ports: false,
        });
        let tree = &self.ast.tables[table];
        for (number, rule) in chain.rules.iter().enumerate() {
            let said = hash_of(&(tree.family, &tree.name, &chain.name, rule_identity(rule)));
            let identity = self.occurrences.unique(said);
            let position = self.infos.things.len() as u32;
            let mut place = Place { table, line: rule.span.line, rule: identity, position, statement: 0 };
            let mut ops = Vec::with_capacity(rule.statements.len());
            for statement in &rule.statements {
                ops.push(self.statement(&place, statement)?);
                place.statement += 1;
            }
            let counted = |op: &Op| if let Op::Count(counter) = op { Some(*counter) } else { None };
            self.infos.add(
                identity,
                RuleInfo {
                    id: RuleId(position),
                    path: (table, self.chains.len() - 1 - self.first_chain(table), number),
                    family: tree.family,
                    table: tree.name.as_str().into(),
                    chain: chain.name.as_str().into(),
                    text: one_line(&rule.text).as_ref().into(),
                    comment: rule.comment.as_deref().map(Into::into),
                    span: rule.span,
                    counters: ops.iter().filter_map(counted).collect(),
                },
            );
            let draft = self.draft();
            draft.hashes.push(said);
            draft.rules.push(Rule { id: RuleId(position), ops: ops.into() });
        }
        Ok(())
    }

    fn first_chain(&self, table: usize) -> usize {
        self.ast.tables[..table].iter().map(|table| table.chains.len()).sum()
    }

    /// The chain that is being compiled.
    fn draft(&mut self) -> &mut Draft {
        let last = self.chains.len() - 1;
        &mut self.chains[last]
    }

    /// Gives everything its number.
    pub fn assign(&mut self, previous: &Numbers) -> Numbers {
        let numbers = Numbers {
            bases: Slots::default(),
            rules: self.infos.assign(&previous.rules),
            counters: self.counters.assign(&previous.counters),
            limits: self.limits.assign(&previous.limits),
            quotas: self.quotas.assign(&previous.quotas),
            logs: self.logs.assign(&previous.logs),
            dynamics: self.dynamics.assign(&previous.dynamics),
            timed: self.timed.assign(&previous.timed),
        };
        for set in &mut self.sets {
            set.life = match set.life {
                Life::Fixed => Life::Fixed,
                Life::Timed(position) => Life::Timed(self.timed.number(position)),
                Life::Dynamic(position) => Life::Dynamic(self.dynamics.number(position)),
            };
        }
        for change in &mut self.changes {
            change.set = self.dynamics.number(change.set);
        }
        for draft in &mut self.chains {
            for (rule, hash) in draft.rules.iter_mut().zip(&mut draft.hashes) {
                rule.id.0 = self.infos.number(rule.id.0);
                let mut parts = vec![*hash, rule.id.0.into()];
                for op in &mut rule.ops {
                    let number = match op {
                        Op::Count(CounterId(id)) => Some((id, &self.counters.numbers)),
                        Op::Limit(LimitId(id), _) => Some((id, &self.limits.numbers)),
                        Op::Quota(QuotaId(id), _) => Some((id, &self.quotas.numbers)),
                        Op::Log(LogId(id)) => Some((id, &self.logs.numbers)),
                        _ => None,
                    };
                    if let Some((id, numbers)) = number {
                        *id = numbers[*id as usize];
                        parts.push(u64::from(*id));
                    }
                }
                *hash = hash_of(&parts);
            }
        }
        for info in &mut self.infos.things {
            info.id.0 = self.infos.numbers[info.id.0 as usize];
            for counter in &mut info.counters {
                counter.0 = self.counters.numbers[counter.0 as usize];
            }
        }
        for log in &mut self.logs.things {
            log.rule.0 = self.infos.numbers[log.rule.0 as usize];
        }
        for counter in &mut self.named_counters {
            counter.id.0 = self.counters.numbers[counter.id.0 as usize];
        }
        numbers
    }

    fn undefined(&self, what: &'static str, name: &str, place: &Place) -> CompileError {
        let table = self.ast.tables[place.table].name.as_str().into();
        CompileError::Undefined { what, name: name.into(), table, line: place.line }
    }

    fn mismatch(&self, what: &'static str, remedy: &'static str, place: &Place) -> CompileError {
        let table = self.ast.tables[place.table].name.as_str().into();
        CompileError::Mismatch { what, table, line: place.line, remedy }
    }

    /// Compiles what is read, and notes what it depends on.
    fn key(&mut self, fields: &[Field], mask: Option<u128>) -> Key {
        let draft = self.draft();
        for field in fields {
            draft.asked |= asks(*field);
            draft.reads_ports |= is_port(field.data_type());
        }
        Key::new(fields, mask)
    }

    fn condition(&mut self, place: &Place, found: &'a ast::Match) -> Result<Match, CompileError> {
        let mut key = self.key(&found.key.fields, found.key.mask);
        let negate = matches!(found.operator, Operator::NotEqual | Operator::NoBit);
        if let (Fields::One { field, .. }, Rhs::Value(_) | Rhs::Range(_)) = (&key.fields, &found.rhs)
            && is_port(field.data_type())
        {
            return Ok(Match { key, test: self.port_test(found), negate: false, opening: false });
        }
        let fields = found.key.fields.len();
        let test = match &found.rhs {
            Rhs::Value(value) => value_test(found.operator, *value),
            Rhs::Range(element) if fields == 1 => element.first().map_or(Test::Never, |i| Test::Within(*i)),
            Rhs::Range(element) => {
                let elements =
                    [SetElement { key: element.clone(), data: None, timeout: None, comment: None }];
                let types: Vec<_> = found.key.fields.iter().map(|field| field.data_type()).collect();
                Test::In(self.set(place, &elements, &types)?)
            }
            Rhs::Anonymous(elements) => {
                let types: Vec<_> = found.key.fields.iter().map(|field| field.data_type()).collect();
                Test::In(self.set(place, elements, &types)?)
            }
            Rhs::Named(name) => Test::In(self.named_set(place, name, fields)?),
        };
        if fields > 1 && !matches!(test, Test::In(_)) {
            return Err(self.mismatch(
                "a concatenation is compared with one value",
                "give as many values as it has fields",
                place,
            ));
        }
        let ordered = matches!(
            found.operator,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
        );
        let masks = matches!(found.operator, Operator::AnyBit | Operator::NoBit);
        if (ordered || masks) && !matches!(found.rhs, Rhs::Value(_)) {
            return Err(self.mismatch(
                "an operator other than == and != is used with a set or range",
                "use == or !=",
                place,
            ));
        }
        self.settle_scope(&mut key, &test);
        let opening = needs_syn(found);
        Ok(Match { key, test, negate, opening })
    }

    /// What a set that changes holds is found out for each packet.
    fn settle_scope(&self, key: &mut Key, test: &Test) {
        if let Test::In(set) = test
            && self.sets.get(*set as usize).is_some_and(|set| set.life != Life::Fixed)
        {
            key.scope = Scope::Packet;
        }
    }

    /// A comparison with a port's name, as the numbers of the ports for which it holds.
    fn port_test(&mut self, found: &ast::Match) -> Test {
        let holds = |name: u128| match &found.rhs {
            Rhs::Range(element) => {
                element.first().is_some_and(|i| i.contains(name)) != (found.operator == Operator::NotEqual)
            }
            Rhs::Value(value) => match found.operator {
                Operator::Equal => name == *value,
                Operator::NotEqual => name != *value,
                Operator::Less => name < *value,
                Operator::LessOrEqual => name <= *value,
                Operator::Greater => name > *value,
                Operator::GreaterOrEqual => name >= *value,
                Operator::AnyBit => name & value != 0,
                Operator::NoBit => name & value == 0,
            },
            Rhs::Anonymous(_) | Rhs::Named(_) => false,
        };
        let numbers: Vec<u128> =
            self.ports.iter().filter(|(_, name)| holds(*name)).map(|(id, _)| u128::from(*id)).collect();
        match numbers[..] {
            [] => Test::Never,
            [number] => Test::Equal(number),
            _ => {
                let elements = numbers.iter().map(|number| single(*number)).collect();
                Test::In(self.push_set(1, elements, Vec::new(), 0))
            }
        }
    }

    fn map(&mut self, place: &Place, lookup: &'a ast::Lookup) -> Result<Map, CompileError> {
        let mut key = self.key(&lookup.key.fields, lookup.key.mask);
        let fields = lookup.key.fields.len();
        let set = match &lookup.map {
            MapSource::Anonymous(elements) => {
                let types: Vec<_> = lookup.key.fields.iter().map(|field| field.data_type()).collect();
                self.set(place, elements, &types)?
            }
            MapSource::Named(name) => self.named_set(place, name, fields)?,
        };
        self.settle_scope(&mut key, &Test::In(set));
        Ok(Map { key, set })
    }
}

/// The named sets that some rule of their table changes, and whether elements get something of their own.
fn changed_sets(ast: &RulesetAst) -> HashMap<(usize, &str), bool> {
    let mut changed = HashMap::new();
    for (number, table) in ast.tables.iter().enumerate() {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        for statement in rules.flat_map(|rule| &rule.statements) {
            if let Statement::Dynamic(dynamic) = statement {
                *changed.entry((number, dynamic.set.as_str())).or_insert(false) |= !dynamic.each.is_empty();
            }
        }
    }
    changed
}

/// Whether a match holds for no TCP segment without SYN.
fn needs_syn(found: &ast::Match) -> bool {
    let ([Field::TcpFlags], mask) = (&found.key.fields[..], found.key.mask.unwrap_or(u128::MAX)) else {
        return false;
    };
    let has_syn = |value: u128| value & mask & SYN != 0;
    match (found.operator, &found.rhs) {
        (Operator::Equal, Rhs::Value(value)) => has_syn(*value),
        (Operator::AnyBit, Rhs::Value(value)) => value & mask == SYN,
        (Operator::Equal, Rhs::Anonymous(elements)) => elements
            .iter()
            .all(|element| element.key.iter().all(|range| range.is_single() && has_syn(range.low))),
        _ => false,
    }
}

fn single(value: u128) -> Element {
    SmallVec::from_slice(&[Interval::single(value)])
}

fn is_port(data_type: DataType) -> bool {
    matches!(data_type, DataType::IfName | DataType::IfIndex)
}

/// The chain that an element of a verdict map leads to.
fn target(data: &MapData) -> Option<u32> {
    match data {
        MapData::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(*chain),
        _ => None,
    }
}

fn value_test(operator: Operator, value: u128) -> Test {
    let within = |low, high| Test::Within(Interval { low, high });
    match operator {
        Operator::Equal | Operator::NotEqual => Test::Equal(value),
        Operator::AnyBit | Operator::NoBit => Test::AnyBit(value),
        Operator::Less => value.checked_sub(1).map_or(Test::Never, |high| within(0, high)),
        Operator::LessOrEqual => within(0, value),
        Operator::Greater => value.checked_add(1).map_or(Test::Never, |low| within(low, u128::MAX)),
        Operator::GreaterOrEqual => within(value, u128::MAX),
    }
}
