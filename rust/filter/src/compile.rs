//! From the syntax tree to what is walked.

pub(crate) mod claims;
pub(crate) mod identity;
mod rules;
mod text;

use crate::facts::Family;
use crate::op::{BaseChain, Chain, NO_PORT, Op};
use crate::outcome::BaseId;
use crate::ruleset::{Numbers, Ruleset, RulesetLimits};
use netfast_nft::ast::RulesetAst;
use netfast_nft::field::{TableFamily, interface_number};

use identity::{Slots, hash_of};
use rules::{Compiler, Draft};

/// Most chains below one another.
pub const MAX_JUMPS: usize = 16;

/// Why a rule set cannot be compiled. Those that came from text have been checked for most of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Too many of something.
    #[error("the rule set has {count} {what}; at most {limit} are allowed: raise `{name}` in the limits")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
        /// The limit's name.
        name: &'static str,
    },
    /// A rule names something that its table has not.
    #[error("line {line}: table {table} has no {what} named {name}: declare it")]
    Undefined {
        /// What is missing.
        what: &'static str,
        /// Its name.
        name: Box<str>,
        /// Name of the table.
        table: Box<str>,
        /// Line of the rule, 0 if it did not come from text.
        line: u32,
    },
    /// Jumps lead back to where they came from.
    #[error("chain {chain} of table {table} leads back to itself: a jump or goto in it has to go")]
    Loop {
        /// Name of the chain.
        chain: Box<str>,
        /// Name of the table.
        table: Box<str>,
    },
    /// Jumps lead too deep.
    #[error(
        "jumps from chain {chain} of table {table} lead through more than {MAX_JUMPS} chains: join some of them"
    )]
    TooDeep {
        /// Name of the chain.
        chain: Box<str>,
        /// Name of the table.
        table: Box<str>,
    },
    /// A match, set or map does not fit together.
    #[error("line {line}: {what} in table {table}: {remedy}")]
    Mismatch {
        /// What does not fit.
        what: &'static str,
        /// Name of the table.
        table: Box<str>,
        /// Line of the rule, 0 if it did not come from text.
        line: u32,
        /// What to do.
        remedy: &'static str,
    },
}

impl Ruleset {
    /// Compiles a rule set. `ports` are the ports that there are, with their names: names in rules that are none of
    /// them match nothing, so compile anew when ports come or go.
    ///
    /// # Errors
    /// [`CompileError`], if it is beyond the limits or refers to what it does not have.
    pub fn compile(
        ast: &RulesetAst,
        ports: &[(u32, &str)],
        limits: &RulesetLimits,
    ) -> Result<Self, CompileError> {
        compile(ast, ports, limits, &Numbers::default())
    }

    /// Compiles a rule set that takes this one's place: what is the same keeps its number, so that programs made from
    /// base chains that did not change stay good. Numbers that became free are given anew: programs from changed base
    /// chains are void. See [`changed_bases`](Self::changed_bases) and [`carry`](Self::carry).
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn replacement(
        &self,
        ast: &RulesetAst,
        ports: &[(u32, &str)],
        limits: &RulesetLimits,
    ) -> Result<Self, CompileError> {
        compile(ast, ports, limits, &self.numbers)
    }
}

fn compile(
    ast: &RulesetAst,
    ports: &[(u32, &str)],
    limits: &RulesetLimits,
    previous: &Numbers,
) -> Result<Ruleset, CompileError> {
    check_limits(ast, limits)?;
    let mut names: Vec<(u32, u128)> = ports.iter().map(|(id, name)| (*id, interface_number(name))).collect();
    names.push((NO_PORT, 0));
    let mut compiler = Compiler::new(ast, names, limits.max_elements);
    for (table, tree) in ast.tables.iter().enumerate() {
        for chain in &tree.chains {
            compiler.chain(table, chain)?;
        }
    }
    let mut numbers = compiler.assign(previous);
    let fingerprints = fingerprints(ast, &compiler, hash_of(&ports))?;
    let (base_numbers, bases, hooks) = bases(ast, &previous.bases, &fingerprints);
    numbers.bases = base_numbers;
    let no_track =
        |chain: &Draft| chain.rules.iter().flat_map(|rule| &rule.ops).any(|op| matches!(op, Op::NoTrack));
    let no_track = compiler.chains.iter().any(no_track);
    let mut places = vec![None; numbers.rules.len()];
    for (chain, draft) in compiler.chains.iter().enumerate() {
        for (position, rule) in draft.rules.iter().enumerate() {
            places[rule.id.0 as usize] = Some((chain as u32, position as u32));
        }
    }
    let chain = |draft: Draft| Chain {
        index: claims::index(&draft.rules, &compiler.set_intervals, no_track),
        asked: draft.asked,
        rules: draft.rules.into(),
    };
    Ok(Ruleset {
        chain_names: compiler.chains.iter().map(|chain| chain.name.as_str().into()).collect(),
        chains: std::mem::take(&mut compiler.chains).into_iter().map(chain).collect(),
        bases,
        hooks,
        places,
        infos: by_number(compiler.infos.things, &compiler.infos.numbers, numbers.rules.len()),
        logs: by_number(compiler.logs.things, &compiler.logs.numbers, numbers.logs.len()),
        named_counters: compiler.named_counters,
        initial_counts: by_number(
            compiler.counters.things,
            &compiler.counters.numbers,
            numbers.counters.len(),
        )
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect(),
        limits: by_number(compiler.limits.things, &compiler.limits.numbers, numbers.limits.len()),
        quotas: by_number(compiler.quotas.things, &compiler.quotas.numbers, numbers.quotas.len()),
        dynamics: by_number(compiler.dynamics.things, &compiler.dynamics.numbers, numbers.dynamics.len()),
        timed: by_number(compiler.timed.things, &compiler.timed.numbers, numbers.timed.len()),
        changes: compiler.changes.into(),
        ports: compiler.ports,
        sets: compiler.sets,
        numbers,
    })
}

fn check_limits(ast: &RulesetAst, limits: &RulesetLimits) -> Result<(), CompileError> {
    let chains = ast.tables.iter().map(|table| table.chains.len()).sum();
    let rules = ast.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
    let check = |what, count, limit, name| match count > limit {
        true => Err(CompileError::TooMany { what, count, limit, name }),
        false => Ok(()),
    };
    check("chains", chains, limits.max_chains, "max_chains")?;
    check("rules", rules, limits.max_rules, "max_rules")
}

/// Puts things where their numbers say.
fn by_number<T: Clone>(things: Vec<T>, numbers: &[u32], length: usize) -> Vec<Option<T>> {
    let mut places = vec![None; length];
    for (thing, number) in things.into_iter().zip(numbers) {
        places[*number as usize] = Some(thing);
    }
    places
}

/// The fingerprint of each chain with all that can be reached from it, by its number.
fn fingerprints(ast: &RulesetAst, compiler: &Compiler<'_>, ports: u64) -> Result<Vec<u64>, CompileError> {
    let mut found = vec![None; compiler.chains.len()];
    let mut path = Vec::new();
    for chain in 0..found.len() {
        fingerprint(ast, compiler, ports, chain, &mut path, &mut found)?;
    }
    Ok(found.into_iter().flatten().map(|(hash, _)| hash).collect())
}

/// The fingerprint of a chain and through how many chains jumps from it lead.
fn fingerprint(
    ast: &RulesetAst,
    compiler: &Compiler<'_>,
    ports: u64,
    chain: usize,
    path: &mut Vec<usize>,
    found: &mut [Option<(u64, usize)>],
) -> Result<(u64, usize), CompileError> {
    if let Some(known) = found[chain] {
        return Ok(known);
    }
    let draft = &compiler.chains[chain];
    let names = || (draft.name.as_str().into(), ast.tables[draft.table].name.as_str().into());
    if path.contains(&chain) {
        let (chain, table) = names();
        return Err(CompileError::Loop { chain, table });
    }
    path.push(chain);
    if path.len() > MAX_JUMPS + 1 {
        let (chain, table) = names();
        return Err(CompileError::TooDeep { chain, table });
    }
    let mut depth = 0;
    let mut parts = draft.hashes.clone();
    for call in &draft.calls {
        let (hash, below) = fingerprint(ast, compiler, ports, *call as usize, path, found)?;
        parts.push(hash);
        depth = depth.max(below + 1);
    }
    path.pop();
    if depth > MAX_JUMPS {
        let (chain, table) = names();
        return Err(CompileError::TooDeep { chain, table });
    }
    parts.extend(draft.sets.iter().map(|set| compiler.set_hashes[*set as usize]));
    parts.extend(draft.reads_ports.then_some(ports));
    let result = (hash_of(&parts), depth);
    found[chain] = Some(result);
    Ok(result)
}

type Bases = (Slots, Vec<Option<BaseChain>>, [[Vec<BaseId>; 5]; 2]);

/// The base chains by number, and by family and hook in order of priority.
fn bases(ast: &RulesetAst, previous: &Slots, fingerprints: &[u64]) -> Bases {
    let chains = ast.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    let found: Vec<_> = chains
        .zip(0u32..)
        .filter_map(|((table, chain), number)| Some((table, chain, number, chain.base?)))
        .collect();
    let identities: Vec<u64> =
        found.iter().map(|(table, chain, ..)| hash_of(&(table.family, &table.name, &chain.name))).collect();
    let (slots, numbers) = Slots::assign(previous, &identities);
    let mut hooks: [[Vec<BaseId>; 5]; 2] = Default::default();
    let mut in_order: Vec<usize> = (0..found.len()).collect();
    in_order.sort_by_key(|position| found[*position].3.priority);
    for position in in_order {
        let (table, _, _, base) = found[position];
        for (family, hooks) in [Family::Ipv4, Family::Ipv6].into_iter().zip(&mut hooks) {
            if sees(table.family, family) {
                hooks[base.hook as usize].push(BaseId(numbers[position]));
            }
        }
    }
    let bases = found
        .iter()
        .map(|(table, chain, number, base)| BaseChain {
            family: table.family,
            table: table.name.as_str().into(),
            name: chain.name.as_str().into(),
            kind: base.kind,
            hook: base.hook,
            priority: base.priority,
            policy: base.policy,
            fingerprint: hash_of(&(
                base.kind,
                base.hook,
                base.priority,
                base.policy,
                fingerprints[*number as usize],
            )),
            chain: *number,
        })
        .collect();
    let length = slots.len();
    (slots, by_number(bases, &numbers, length), hooks)
}

fn sees(table: TableFamily, packet: Family) -> bool {
    match table {
        TableFamily::Ip => packet == Family::Ipv4,
        TableFamily::Ip6 => packet == Family::Ipv6,
        TableFamily::Inet => true,
    }
}
