//! What holds between the parts of a rule set: references, types, places, circles of jumps.
use crate::ast::{
    Chain, ChainKind, Counter, DataOf, Dynamic, Hook, KeyType, Lookup, MapSource, MarkValue, MaxSegment,
    NatKind, NatValue, RejectKind, Rhs, Rule, RulesetAst, Span, Statement, Table, Verdict,
};
use crate::context::Context;
use crate::error::{Problem, Thing};
use crate::field::{DataType, FibResult, Field, TableFamily};
use crate::parser::Fault;

/// Chains may be nested so deeply below a base chain (`NFT_JUMP_STACK_SIZE` of Linux).
pub const MAX_JUMPS: usize = 16;

/// Looks up what a rule refers to within its table.
pub(crate) fn references(table: &Table, rule: &Rule) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, statement) in rule.statements.iter().enumerate() {
        let span = rule.spans.get(index).copied().unwrap_or(rule.span);
        let mut report = |result: Result<(), Problem>| {
            if let Err(problem) = result {
                faults.push(Fault { span, problem });
            }
        };
        match statement {
            Statement::Match(found) => {
                if let Rhs::Named(name) = &found.rhs {
                    report(named_set(table, name, &found.key.fields));
                }
            }
            Statement::Counter(Counter::Named(name)) => {
                let known = table.counters.iter().any(|counter| counter.name == *name);
                report(known.then_some(()).ok_or_else(|| undeclared(table, Thing::Counter, name)));
            }
            Statement::NamedLimit(name) => {
                let known = || table.limits.iter().map(|limit| limit.name.as_str());
                report(known_object(Thing::Limit, name, known()));
            }
            Statement::NamedQuota(name) => {
                let known = || table.quotas.iter().map(|quota| quota.name.as_str());
                report(known_object(Thing::Quota, name, known()));
            }
            Statement::FlowAdd(name) => {
                let known = || table.flowtables.iter().map(|flowtable| flowtable.name.as_str());
                report(known_object(Thing::Flowtable, name, known()));
            }
            Statement::Dynamic(dynamic) => report(dynamic_set(table, dynamic)),
            Statement::Vmap(lookup) => report(verdict_map(table, lookup)),
            Statement::SetMark(MarkValue::Map(lookup)) | Statement::SetCtMark(MarkValue::Map(lookup)) => {
                report(data_map(table, lookup, &[DataType::Mark]).map(drop));
            }
            Statement::Nat(nat) => {
                if let Some(NatValue::Map(lookup)) = &nat.address {
                    let of =
                        if nat.family == TableFamily::Ip6 { DataType::Ipv6Addr } else { DataType::Ipv4Addr };
                    let ports = Context::after(table.family, &rule.statements[..index]).has_ports();
                    report(address_map(table, lookup, of, ports, nat.port.is_some()));
                }
                if let Some(NatValue::Map(lookup)) = &nat.port {
                    report(data_map(table, lookup, &[DataType::InetService]));
                }
            }
            Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => {
                report(chain_exists(table, chain))
            }
            _ => {}
        }
    }
    faults
}

fn known_object<'t>(
    kind: Thing,
    name: &str,
    known: impl Iterator<Item = &'t str> + Clone,
) -> Result<(), Problem> {
    if known.clone().any(|known| known == name) {
        Ok(())
    } else {
        Err(Problem::undeclared(kind, name, known))
    }
}

/// Whether a rule may change the set so.
fn dynamic_set(table: &Table, dynamic: &Dynamic) -> Result<(), Problem> {
    let name = &dynamic.set;
    if dynamic.meter {
        return Ok(());
    }
    named_set(table, name, &dynamic.key.fields)?;
    let Some(set) = table.sets.iter().find(|set| set.name == *name) else { return Ok(()) };
    let missing = |what, remedy| Err(Problem::Missing { what, remedy });
    if set.constant || set.interval {
        let what = format!("a rule that changes set `{name}`, which is constant or of intervals,");
        let instead = "declare a set with `flags dynamic` and neither of these";
        return Err(Problem::Unsupported { what, instead });
    }
    if dynamic.timeout.is_some() && !set.expires {
        return missing("`flags timeout`", "a set whose elements have a time needs it");
    }
    Ok(())
}

fn undeclared(table: &Table, kind: Thing, name: &str) -> Problem {
    let sets = |maps: bool| {
        let sets = table.sets.iter().filter(move |set| set.data.is_some() == maps);
        sets.map(|set| set.name.as_str())
    };
    match kind {
        Thing::Set => Problem::undeclared(kind, name, sets(false)),
        Thing::Map => Problem::undeclared(kind, name, sets(true)),
        Thing::Counter => {
            Problem::undeclared(kind, name, table.counters.iter().map(|counter| counter.name.as_str()))
        }
        _ => Problem::undeclared(kind, name, table.chains.iter().map(|chain| chain.name.as_str())),
    }
}

fn chain_exists(table: &Table, name: &str) -> Result<(), Problem> {
    match table.chains.iter().find(|chain| chain.name == name) {
        Some(Chain { base: None, .. }) => Ok(()),
        Some(_) => Err(Problem::Unsupported {
            what: format!("a jump to base chain `{name}`"),
            instead: "move its rules to a chain without hook and jump to that one",
        }),
        None => Err(undeclared(table, Thing::Chain, name)),
    }
}

fn list(types: &[DataType]) -> String {
    types.iter().map(DataType::to_string).collect::<Vec<_>>().join(" . ")
}

/// Ports by name have one type for nft in sets, whether an index or a name is looked at; here likewise.
fn same(declared: &[DataType], wanted: &[DataType]) -> bool {
    declared.len() == wanted.len() && declared.iter().zip(wanted).all(|(declared, wanted)| declared == wanted)
}

fn key_fits(name: &str, declared: &KeyType, fields: &[Field]) -> Result<(), Problem> {
    let declared = declared.data_types();
    let wanted: Vec<DataType> = fields.iter().map(|field| field.data_type()).collect();
    if same(&declared, &wanted) {
        return Ok(());
    }
    Err(Problem::TypeMismatch { name: name.to_owned(), holds: list(&declared), wanted: list(&wanted) })
}

fn named_set(table: &Table, name: &str, fields: &[Field]) -> Result<(), Problem> {
    let set =
        table.sets.iter().find(|set| set.name == name).ok_or_else(|| undeclared(table, Thing::Set, name))?;
    if set.meter {
        return Err(Problem::Unsupported {
            what: format!("meter `{name}` as a set"),
            instead: "declare a set with `flags dynamic`, and use `add @set { … }` in place of the meter",
        });
    }
    if set.data.is_some() {
        return Err(Problem::TypeMismatch {
            name: name.to_owned(),
            holds: "a map".to_owned(),
            wanted: "a set".to_owned(),
        });
    }
    key_fits(name, &set.key, fields)
}

fn verdict_map(table: &Table, lookup: &Lookup) -> Result<(), Problem> {
    match &lookup.map {
        MapSource::Anonymous(elements) => jumps_exist(table, elements),
        MapSource::Named(name) => {
            let set = table
                .sets
                .iter()
                .find(|set| set.name == *name)
                .ok_or_else(|| undeclared(table, Thing::Map, name))?;
            if set.data != Some(DataOf::Verdict) {
                let holds = "no verdicts".to_owned();
                return Err(Problem::TypeMismatch {
                    name: name.clone(),
                    holds,
                    wanted: "verdicts".to_owned(),
                });
            }
            key_fits(name, &set.key, &lookup.key.fields)
        }
    }
}

fn jumps_exist(table: &Table, elements: &[crate::ast::SetElement]) -> Result<(), Problem> {
    for chain in elements.iter().filter_map(|element| element.jumps_to()) {
        chain_exists(table, chain)?;
    }
    Ok(())
}

fn data_map(table: &Table, lookup: &Lookup, wanted: &[DataType]) -> Result<(), Problem> {
    let MapSource::Named(name) = &lookup.map else { return Ok(()) };
    let set =
        table.sets.iter().find(|set| set.name == *name).ok_or_else(|| undeclared(table, Thing::Map, name))?;
    key_fits(name, &set.key, &lookup.key.fields)?;
    match &set.data {
        Some(DataOf::Values { key, interval }) if same(&key.data_types(), wanted) => match interval {
            true if wanted == [DataType::Mark] => Err(Problem::Unsupported {
                what: format!("the ranges of map `{name}` as marks"),
                instead: "declare the map without `interval`",
            }),
            _ => Ok(()),
        },
        Some(DataOf::Values { key, .. }) => Err(Problem::TypeMismatch {
            name: name.clone(),
            holds: list(&key.data_types()),
            wanted: list(wanted),
        }),
        Some(DataOf::Verdict) => Err(Problem::TypeMismatch {
            name: name.clone(),
            holds: "verdicts".to_owned(),
            wanted: list(wanted),
        }),
        None => Err(Problem::TypeMismatch {
            name: name.clone(),
            holds: "no values".to_owned(),
            wanted: list(wanted),
        }),
    }
}

/// A named map of addresses, perhaps with ports.
fn address_map(
    table: &Table,
    lookup: &Lookup,
    of: DataType,
    has_ports: bool,
    has_own_port: bool,
) -> Result<(), Problem> {
    let with_port = [of, DataType::InetService];
    if !has_own_port
        && data_map(table, lookup, &with_port).is_ok()
        && matches!(lookup.map, MapSource::Named(_))
    {
        return if has_ports { Ok(()) } else { Err(Problem::NeedsTransport) };
    }
    data_map(table, lookup, &[of])
}

/// What holds for the rule set as a whole: where statements are possible, circles and depth of jumps.
pub(crate) fn structure(ruleset: &RulesetAst) -> Vec<Fault> {
    let mut faults = Vec::new();
    for table in &ruleset.tables {
        for set in &table.sets {
            if let Err(problem) = jumps_exist(table, &set.elements) {
                faults.push(Fault { span: set.span, problem });
            }
        }
        if faults.is_empty() {
            Walk::new(table, &mut faults).run();
        }
    }
    faults
}

/// Goes through the chains of a table, each once for each kind of base chain that reaches it.
struct Walk<'a> {
    table: &'a Table,
    faults: &'a mut Vec<Fault>,
    /// The chains that each chain goes to, with the place of the first jump.
    calls: Vec<Vec<(usize, Span)>>,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, faults: &'a mut Vec<Fault>) -> Self {
        let names: std::collections::HashMap<&str, usize> =
            table.chains.iter().enumerate().map(|(index, chain)| (chain.name.as_str(), index)).collect();
        let calls = table
            .chains
            .iter()
            .map(|chain| {
                let mut calls: Vec<(usize, Span)> = Vec::new();
                for rule in &chain.rules {
                    for target in rule.jump_targets(table) {
                        if let Some(&index) = names.get(target) {
                            calls.push((index, rule.span));
                        }
                    }
                }
                calls.sort_by_key(|&(index, span)| (index, span.line, span.column));
                calls.dedup_by_key(|call| call.0);
                calls
            })
            .collect();
        Self { table, faults, calls }
    }

    fn run(mut self) {
        let Some(order) = self.in_order() else { return };
        for (index, chain) in self.table.chains.iter().enumerate() {
            let Some(base) = chain.base else { continue };
            let depth = self.reach(index, &order);
            for &reached in order.iter().filter(|&&reached| depth[reached].is_some()) {
                if depth[reached].is_some_and(|depth| depth >= MAX_JUMPS) {
                    let problem = Problem::TooDeep { chain: chain.name.clone(), limit: MAX_JUMPS - 1 };
                    self.faults.push(Fault { span: self.table.chains[reached].span, problem });
                    break;
                }
                for rule in &self.table.chains[reached].rules {
                    self.places(rule, base.kind, base.hook, &chain.name);
                }
            }
        }
    }

    /// All chains, each before those that it calls; none if they call each other in a circle.
    fn in_order(&mut self) -> Option<Vec<usize>> {
        let count = self.table.chains.len();
        let mut callers = vec![0_usize; count];
        for &(to, _) in self.calls.iter().flatten() {
            callers[to] += 1;
        }
        let mut order: Vec<usize> = (0..count).filter(|&chain| callers[chain] == 0).collect();
        let mut next = 0;
        while next < order.len() {
            for &(to, _) in &self.calls[order[next]] {
                callers[to] -= 1;
                if callers[to] == 0 {
                    order.push(to);
                }
            }
            next += 1;
        }
        if order.len() == count {
            return Some(order);
        }
        // What is left is on a circle or behind one; going backwards from any of it ends on a circle.
        let left = |chain: usize| callers[chain] > 0;
        let mut chain = (0..count).find(|&chain| left(chain))?;
        let mut seen = vec![false; count];
        while !std::mem::replace(&mut seen[chain], true) {
            chain = (0..count)
                .find(|&from| left(from) && self.calls[from].iter().any(|&(to, _)| to == chain))
                .unwrap_or(chain);
        }
        let span = self.calls[chain].iter().find(|&&(to, _)| left(to)).map_or(Span::default(), |call| call.1);
        let problem = Problem::Loop { chain: self.table.chains[chain].name.clone() };
        self.faults.push(Fault { span, problem });
        None
    }

    /// How many jumps lead at most from a chain to each other one.
    fn reach(&self, from: usize, order: &[usize]) -> Vec<Option<usize>> {
        let mut depth = vec![None; self.table.chains.len()];
        depth[from] = Some(0);
        for &chain in order {
            let Some(reached) = depth[chain] else { continue };
            for &(to, _) in &self.calls[chain] {
                depth[to] = depth[to].max(Some(reached + 1));
            }
        }
        depth
    }

    fn places(&mut self, rule: &Rule, kind: ChainKind, hook: Hook, base: &str) {
        for (index, statement) in rule.statements.iter().enumerate() {
            let Some((statement, places)) = misplaced(statement, kind, hook) else { continue };
            let span = rule.spans.get(index).copied().unwrap_or(rule.span);
            let problem = Problem::WrongPlace { statement, places, chain: base.to_owned(), kind, hook };
            let fault = Fault { span, problem };
            if !self
                .faults
                .iter()
                .any(|known| known.span.line == span.line && known.span.column == span.column)
            {
                self.faults.push(fault);
            }
        }
    }
}

/// The statement's name and where it could be, if it cannot be here.
fn misplaced(statement: &Statement, kind: ChainKind, hook: Hook) -> Option<(&'static str, &'static str)> {
    let (name, places, possible) = match statement {
        Statement::Nat(nat) => {
            let (name, places, hooks): (_, _, &[Hook]) = match nat.kind {
                NatKind::Snat => {
                    ("snat", "of type nat at postrouting or input", &[Hook::Postrouting, Hook::Input])
                }
                NatKind::Dnat => {
                    ("dnat", "of type nat at prerouting or output", &[Hook::Prerouting, Hook::Output])
                }
                NatKind::Masquerade => ("masquerade", "of type nat at postrouting", &[Hook::Postrouting]),
                NatKind::Redirect => {
                    ("redirect", "of type nat at prerouting or output", &[Hook::Prerouting, Hook::Output])
                }
            };
            (name, places, kind == ChainKind::Nat && hooks.contains(&hook))
        }
        Statement::Reject(reject) => {
            let name = if *reject == RejectKind::TcpReset { "reject with tcp reset" } else { "reject" };
            (name, "at prerouting, input, forward or output", hook != Hook::Postrouting)
        }
        Statement::FlowAdd(_) => ("flow add", "at forward", hook == Hook::Forward),
        Statement::SetMaxSegment(MaxSegment::RouteMtu) => {
            let possible = matches!(hook, Hook::Forward | Hook::Output | Hook::Postrouting);
            ("rt mtu", "at forward, output or postrouting", possible)
        }
        Statement::Dynamic(dynamic) => {
            return dynamic.key.fields.iter().find_map(|field| misplaced_field(*field, hook));
        }
        Statement::Match(found) => {
            return found.key.fields.iter().find_map(|field| misplaced_field(*field, hook));
        }
        Statement::Vmap(lookup) => {
            return lookup.key.fields.iter().find_map(|field| misplaced_field(*field, hook));
        }
        _ => return None,
    };
    (!possible).then_some((name, places))
}

fn misplaced_field(field: Field, hook: Hook) -> Option<(&'static str, &'static str)> {
    let Field::Fib(query) = field else { return None };
    let (places, possible) = match query.result {
        FibResult::Exists => (
            "at prerouting, input or forward",
            matches!(hook, Hook::Prerouting | Hook::Input | Hook::Forward),
        ),
        FibResult::AddressType if query.iif => (
            "at prerouting, input or forward",
            matches!(hook, Hook::Prerouting | Hook::Input | Hook::Forward),
        ),
        FibResult::AddressType if query.oif => (
            "at forward, output or postrouting",
            matches!(hook, Hook::Forward | Hook::Output | Hook::Postrouting),
        ),
        FibResult::AddressType => return None,
    };
    (!possible).then_some(("fib", places))
}

impl crate::ast::SetElement {
    /// The chain that the element of a verdict map goes to.
    pub(crate) fn jumps_to(&self) -> Option<&str> {
        match &self.data {
            Some(crate::ast::Data::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain))) => Some(chain),
            _ => None,
        }
    }
}

impl Rule {
    /// The names of the chains that the rule may go to, through verdict maps too.
    pub(crate) fn jump_targets<'a>(&'a self, table: &'a Table) -> Vec<&'a str> {
        let mut targets = Vec::new();
        for statement in &self.statements {
            match statement {
                Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => {
                    targets.push(chain.as_str())
                }
                Statement::Vmap(lookup) => {
                    let elements = match &lookup.map {
                        MapSource::Anonymous(elements) => Some(elements),
                        MapSource::Named(name) => {
                            table.sets.iter().find(|set| set.name == *name).map(|set| &set.elements)
                        }
                    };
                    targets.extend(elements.into_iter().flatten().filter_map(|element| element.jumps_to()));
                }
                _ => {}
            }
        }
        targets
    }
}
