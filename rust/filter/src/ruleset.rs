//! Compiled rule sets.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::compile::identity::Slots;
use crate::dynamic::{Carry, Change, DynamicSet, DynamicSpec, Dynamics, Side, Timed, TimedSet};
use crate::facts::Family;
use crate::op::{BaseChain, Chain, Rule, Set};
use crate::outcome::{BaseId, CounterId, LogId, RuleId};
use crate::state::{Bucket, Count, LimitSpec, QuotaSpec, RuleState, Usage};
use netfast_low::hash::Seed;
use netfast_nft::ast::{Hook, LogLevel, Span};
use netfast_nft::field::TableFamily;
use netfast_nft::{MAX_ALL_ELEMENTS, MAX_CHAINS, MAX_RULES};
use netfast_time::Instant;

/// Limits of a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesetLimits {
    /// Most chains of all tables.
    pub max_chains: usize,
    /// Most rules of all chains.
    pub max_rules: usize,
    /// Most elements of all sets and maps, after names with `*` became those of ports.
    pub max_elements: usize,
}

impl Default for RulesetLimits {
    /// What the language reads: 4,096 chains, 131,072 rules, 4 Mi elements.
    fn default() -> Self {
        Self { max_chains: MAX_CHAINS, max_rules: MAX_RULES, max_elements: MAX_ALL_ELEMENTS }
    }
}

/// What a rule is called, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its number.
    pub id: RuleId,
    /// Where it stands in the syntax tree: table, chain of the table, rule of the chain.
    pub path: (usize, usize, usize),
    /// Family of its table.
    pub family: TableFamily,
    /// Name of its table.
    pub table: Box<str>,
    /// Name of its chain.
    pub chain: Box<str>,
    /// Its text.
    pub text: Box<str>,
    /// Its comment.
    pub comment: Option<Box<str>>,
    /// Where it stands in the text.
    pub span: Span,
    /// Its counters, named ones included, in order.
    pub counters: SmallVec<[CounterId; 1]>,
}

/// What a log statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// The rule it belongs to.
    pub rule: RuleId,
    /// `prefix`.
    pub prefix: Option<Box<str>>,
    /// `level`.
    pub level: Option<LogLevel>,
    /// `group`.
    pub group: Option<u16>,
}

/// A named counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCounter {
    /// Family of its table.
    pub family: TableFamily,
    /// Name of its table.
    pub table: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its number.
    pub id: CounterId,
}

/// A rule set, compiled: immutable, to be shared between threads.
#[derive(Debug)]
pub struct Ruleset {
    pub(crate) chains: Vec<Chain>,
    pub(crate) chain_names: Vec<Box<str>>,
    /// By [`BaseId`]; with gaps where a base chain was before a replacement.
    pub(crate) bases: Vec<Option<BaseChain>>,
    /// By family of the packet and hook, in order of priority.
    pub(crate) hooks: [[Vec<BaseId>; 5]; 2],
    pub(crate) sets: Vec<Set>,
    /// By [`RuleId`]: chain and position.
    pub(crate) places: Vec<Option<(u32, u32)>>,
    pub(crate) infos: Vec<Option<RuleInfo>>,
    pub(crate) logs: Vec<Option<LogInfo>>,
    pub(crate) named_counters: Vec<NamedCounter>,
    pub(crate) initial_counts: Vec<Count>,
    pub(crate) limits: Vec<Option<LimitSpec>>,
    pub(crate) quotas: Vec<Option<QuotaSpec>>,
    pub(crate) dynamics: Vec<Option<DynamicSpec>>,
    pub(crate) timed: Vec<Option<Arc<[Timed]>>>,
    pub(crate) changes: Arc<[Change]>,
    /// Numbers of the ports and their names.
    pub(crate) ports: Vec<(u32, u128)>,
    pub(crate) numbers: Numbers,
}

/// Which numbers things have, by what they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub bases: Slots,
    pub rules: Slots,
    pub counters: Slots,
    pub limits: Slots,
    pub quotas: Slots,
    pub logs: Slots,
    pub dynamics: Slots,
    pub timed: Slots,
}

impl Ruleset {
    /// The base chains that a packet of the family comes to at a hook, in order. Those of all priorities and kinds: the
    /// caller chooses by [`BaseChain::priority`] and [`BaseChain::kind`].
    #[must_use]
    pub fn bases(&self, family: Family, hook: Hook) -> &[BaseId] {
        &self.hooks[family as usize][hook as usize]
    }

    /// A base chain.
    #[inline]
    #[must_use]
    pub fn base(&self, base: BaseId) -> Option<&BaseChain> {
        self.bases.get(base.0 as usize)?.as_ref()
    }

    /// What a rule is called.
    #[must_use]
    pub fn rule(&self, rule: RuleId) -> Option<&RuleInfo> {
        self.infos.get(rule.0 as usize)?.as_ref()
    }

    /// All rules, by number.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.infos.iter().flatten()
    }

    /// What a log statement says.
    #[must_use]
    pub fn log(&self, log: LogId) -> Option<&LogInfo> {
        self.logs.get(log.0 as usize)?.as_ref()
    }

    /// The named counters.
    #[must_use]
    pub fn named_counters(&self) -> &[NamedCounter] {
        &self.named_counters
    }

    /// Bytes that rules, sets and indices take, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let rules = |chain: &Chain| chain.rules.iter().map(|rule| size_of_val(&*rule.ops)).sum::<usize>();
        let chain = |chain: &Chain| {
            size_of_val(&*chain.rules) + rules(chain) + chain.index.as_ref().map_or(0, |i| i.memory_bytes())
        };
        let set = |set: &Set| size_of_val(&*set.data) + set.table.memory_bytes();
        let info = |info: &RuleInfo| size_of::<Option<RuleInfo>>() + info.text.len();
        self.chains.iter().map(chain).sum::<usize>()
            + self.sets.iter().map(set).sum::<usize>()
            + self.rules().map(info).sum::<usize>()
    }

    /// The state that the rules begin with: counters as the rules tell, full buckets.
    #[must_use]
    pub fn new_state(&self) -> RuleState {
        self.seeded_state(0)
    }

    /// The same; `seed` is that of the hashes of elements that packets bring.
    #[must_use]
    pub fn seeded_state(&self, seed: u64) -> RuleState {
        let timed = |times: &Option<Arc<[Timed]>>| TimedSet {
            expires: times.iter().flat_map(|times| times.iter()).map(|element| element.timeout).collect(),
            started: false,
        };
        let hashes = Seed::new(seed);
        RuleState {
            dynamics: Dynamics {
                sets: self
                    .dynamics
                    .iter()
                    .map(|spec| DynamicSet::new(spec.as_ref().unwrap_or(&DynamicSpec::default()), hashes))
                    .collect(),
                timed: self.timed.iter().map(timed).collect(),
                changes: self.changes.clone(),
                seed,
            },
            counters: self.initial_counts.clone(),
            hits: vec![0; self.places.len()],
            limits: self.limits.iter().map(|spec| Bucket::new(spec.unwrap_or_default())).collect(),
            quotas: self
                .quotas
                .iter()
                .map(|spec| spec.unwrap_or_default())
                .map(|spec| Usage { spec, used: spec.used })
                .collect(),
        }
    }

    /// The state after a replacement of `previous`: rules that are the same keep their counters, tokens and quotas, as
    /// do named counters. Sets keep what packets brought, and the times of elements that are declared as before; others
    /// begin at `now`.
    #[must_use]
    pub fn carry(&self, previous: &Self, state: &RuleState, now: Instant) -> RuleState {
        let mut carried = self.seeded_state(state.dynamics.seed);
        let (new, old) = (&self.numbers, &previous.numbers);
        carry(&mut carried.counters, &state.counters, new.counters.kept(&old.counters));
        carry(&mut carried.hits, &state.hits, new.rules.kept(&old.rules));
        carry(&mut carried.limits, &state.limits, new.limits.kept(&old.limits));
        carry(&mut carried.quotas, &state.quotas, new.quotas.kept(&old.quotas));
        self.carry_sets(previous, &mut carried.dynamics, &state.dynamics, now);
        carried
    }

    fn carry_sets(&self, previous: &Self, to: &mut Dynamics, from: &Dynamics, now: Instant) {
        for (new, old) in self.numbers.dynamics.kept(&previous.numbers.dynamics) {
            let (to, from) = (to.sets.get_mut(new as usize), from.sets.get(old as usize));
            if let (Some(to), Some(from), Some(new), Some(old)) =
                (to, from, self.side(new), previous.side(old))
            {
                *to = Carry { old, new, now }.set(from);
            }
        }
        let times = |rules: &Self, number: u32| rules.timed.get(number as usize).cloned().flatten();
        for (new, old) in self.numbers.timed.kept(&previous.numbers.timed) {
            let (to, from) = (to.timed.get_mut(new as usize), from.timed.get(old as usize));
            if let (Some(to), Some(from), Some(is), Some(was)) =
                (to, from, times(self, new), times(previous, old))
            {
                *to = from.carried(&was, &is, now);
            }
        }
    }

    /// A set that changes, with what changes it.
    fn side(&self, number: u32) -> Option<Side<'_>> {
        let spec = self.dynamics.get(number as usize)?.as_ref()?;
        Some(Side { spec, number, changes: &self.changes, ports: &self.ports })
    }

    /// Base chains that are not the same as in `previous`, which this one replaces: those with another fingerprint, new
    /// ones and ones that are gone.
    #[must_use]
    pub fn changed_bases(&self, previous: &Self) -> Vec<BaseId> {
        let fingerprint = |rules: &Self, base: u32| rules.base(BaseId(base)).map(|base| base.fingerprint);
        (0..self.bases.len().max(previous.bases.len()) as u32)
            .filter(|base| fingerprint(self, *base) != fingerprint(previous, *base))
            .map(BaseId)
            .collect()
    }

    #[inline]
    pub(crate) fn chain(&self, chain: u32) -> Option<&Chain> {
        self.chains.get(chain as usize)
    }

    pub(crate) fn chain_name(&self, chain: u32) -> &str {
        self.chain_names.get(chain as usize).map_or("", |name| name)
    }

    #[inline]
    pub(crate) fn set(&self, set: u32) -> Option<&Set> {
        self.sets.get(set as usize)
    }

    #[inline]
    pub(crate) fn rule_at(&self, rule: RuleId) -> Option<&Rule> {
        let (chain, position) = (*self.places.get(rule.0 as usize)?)?;
        self.chain(chain)?.rules.get(position as usize)
    }
}

/// Copies the values of things that have different numbers now.
fn carry<T: Clone>(to: &mut [T], from: &[T], kept: impl Iterator<Item = (u32, u32)>) {
    for (new, old) in kept {
        if let (Some(to), Some(from)) = (to.get_mut(new as usize), from.get(old as usize)) {
            to.clone_from(from);
        }
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Ruleset>();
};
