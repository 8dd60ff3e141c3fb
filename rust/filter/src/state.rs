//! What rules change: counters, token buckets, quotas, elements of sets. It stands beside the immutable
//! [`Ruleset`](crate::ruleset::Ruleset), which tells how large it is.

use netfast_time::Instant;

use crate::dynamic::{self, DynamicSet, Dynamics, Keys};
use crate::outcome::{CounterId, Effect, LimitId, QuotaId, RuleId};
use netfast_nft::ast;

const NANOSECONDS: u64 = 1_000_000_000;

/// Packets and bytes, the latter from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one packet.
    #[inline]
    pub(crate) fn add(&mut self, length: u32) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u64::from(length));
    }
}

/// A limit statement, in the units of its bucket: a token is a nanosecond, as Linux has it. A packet costs as many as
/// pass between two packets at the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LimitSpec {
    /// In bytes, else in packets.
    bytes: bool,
    rate: u64,
    /// The period, in nanoseconds.
    period: u64,
    /// Most tokens that the bucket holds.
    capacity: u64,
}

impl LimitSpec {
    /// For packets the bucket holds `burst` of them, for bytes a period's and `burst` more.
    pub fn new(limit: &ast::Limit) -> Self {
        let period = limit.per.seconds().saturating_mul(NANOSECONDS);
        let (rate, burst) = (limit.rate.max(1), u64::from(limit.burst));
        let bytes = limit.unit == ast::LimitUnit::Bytes;
        let capacity = if bytes {
            scale(period, u128::from(rate) + u128::from(burst), rate)
        } else {
            (period / rate).saturating_mul(burst)
        };
        Self { bytes, rate, period, capacity }
    }

    /// What a packet of so many bytes costs.
    #[inline]
    fn cost(&self, length: u32) -> u64 {
        if self.bytes {
            scale(self.period, u128::from(length), self.rate)
        } else {
            self.period / self.rate.max(1)
        }
    }
}

/// period × amount ÷ rate.
fn scale(period: u64, amount: u128, rate: u64) -> u64 {
    u64::try_from(u128::from(period).saturating_mul(amount) / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

/// A quota statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct QuotaSpec {
    pub bytes: u64,
    pub used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub spec: LimitSpec,
    tokens: u64,
    last: Instant,
}

impl Bucket {
    /// Full.
    pub fn new(spec: LimitSpec) -> Self {
        Self { spec, tokens: spec.capacity, last: Instant::ZERO }
    }

    fn at(&self, now: Instant) -> u64 {
        self.tokens.saturating_add(now.since(self.last).as_nanos()).min(self.spec.capacity)
    }

    /// Whether tokens for a packet are left, when `taken` packets like it were paid already.
    pub fn affords(&self, now: Instant, length: u32, taken: u64) -> bool {
        let cost = self.spec.cost(length);
        self.at(now) >= cost.saturating_mul(taken.saturating_add(1))
    }

    pub fn take(&mut self, now: Instant, length: u32) {
        self.tokens = self.at(now).saturating_sub(self.spec.cost(length));
        self.last = self.last.max(now);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub spec: QuotaSpec,
    pub used: u64,
}

impl Usage {
    /// Linux 6.16: a quota is exceeded by what goes beyond it. Before, what used up its last byte was, too.
    pub fn exceeded(&self, length: u32, passed: u64) -> bool {
        let more = u64::from(length).saturating_mul(passed.saturating_add(1));
        self.used.saturating_add(more) > self.spec.bytes
    }
}

/// Counters, token buckets and quotas of a rule set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleState {
    pub(crate) counters: Vec<Count>,
    /// By rule: packets whose way through a base chain ended there.
    pub(crate) hits: Vec<u64>,
    pub(crate) limits: Vec<Bucket>,
    pub(crate) quotas: Vec<Usage>,
    pub(crate) dynamics: Dynamics,
}

/// What rules change, as a packet will leave it.
#[derive(Clone, Debug)]
pub struct Foretold {
    /// All but sets that change.
    rest: RuleState,
    dynamics: dynamic::Foretold,
}

impl RuleState {
    /// Time goes on: the times of elements that sets are declared with begin, where they have not, and elements that are
    /// over make room.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        if !self.dynamics.is_empty() {
            self.dynamics.advance(now);
        }
    }

    /// Elements of all sets that rules change, and how often one found no room.
    #[must_use]
    pub fn elements(&self) -> (usize, u64) {
        let sets = &self.dynamics.sets;
        (sets.iter().map(DynamicSet::len).sum(), sets.iter().map(DynamicSet::refused).sum())
    }

    /// A counter's value; zero for one that there is not.
    #[must_use]
    pub fn counter(&self, counter: CounterId) -> Count {
        self.counters.get(counter.0 as usize).copied().unwrap_or_default()
    }

    /// How many packets came to the end of a rule: all of it matched.
    #[must_use]
    pub fn hits(&self, rule: RuleId) -> u64 {
        self.hits.get(rule.0 as usize).copied().unwrap_or_default()
    }

    /// Bytes that a quota has counted.
    #[must_use]
    pub fn used(&self, quota: QuotaId) -> u64 {
        self.quotas.get(quota.0 as usize).map_or(0, |usage| usage.used)
    }

    /// Counts a packet.
    #[inline]
    pub fn count(&mut self, counter: CounterId, length: u32) {
        if let Some(count) = self.counters.get_mut(counter.0 as usize) {
            count.add(length);
        }
    }

    /// Counts so many packets with so many bytes together.
    #[inline]
    pub fn count_many(&mut self, counter: CounterId, packets: u64, bytes: u64) {
        if let Some(count) = self.counters.get_mut(counter.0 as usize) {
            count.packets = count.packets.wrapping_add(packets);
            count.bytes = count.bytes.wrapping_add(bytes);
        }
    }

    /// Counts packets that came to the end of a rule: for the end of a
    /// [`Residual::Steps`](crate::outcome::Residual::Steps).
    #[inline]
    pub fn hit(&mut self, rule: RuleId, packets: u64) {
        if let Some(hits) = self.hits.get_mut(rule.0 as usize) {
            *hits = hits.wrapping_add(packets);
        }
    }

    /// Whether a limit statement matches, when `earlier` effects of the same packet are still to be committed.
    pub(crate) fn within(&self, limit: LimitId, earlier: &[Effect], length: u32, now: Instant) -> bool {
        let taken = earlier.iter().filter(|effect| **effect == Effect::Take(limit)).count() as u64;
        self.limits.get(limit.0 as usize).is_some_and(|bucket| bucket.affords(now, length, taken))
    }

    /// Whether a quota is exceeded with this packet, when `earlier` effects of it are still to be committed.
    pub(crate) fn exceeded(&self, quota: QuotaId, earlier: &[Effect], length: u32) -> bool {
        let passed = earlier.iter().filter(|effect| **effect == Effect::Use(quota)).count() as u64;
        self.quotas.get(quota.0 as usize).is_some_and(|usage| usage.exceeded(length, passed))
    }

    /// Carries out the effects that are the state's; logs, marks, segment sizes and `notrack` are the caller's. `length` is the
    /// packet's, from the IP header on.
    pub fn commit(&mut self, effects: &[Effect], keys: &Keys, length: u32, now: Instant) {
        for effect in effects {
            match effect {
                Effect::Change(change, key) => {
                    if let Some(key) = keys.key(*key) {
                        self.dynamics.apply(*change, key, length, now);
                    }
                }
                effect => self.apply(*effect, length, now),
            }
        }
    }

    /// What a commitment of effects will come to, for a comparison with what others make of the packet.
    #[must_use]
    pub fn foretell(&self, effects: &[Effect], keys: &Keys, length: u32, now: Instant) -> Foretold {
        let mut rest = Self {
            counters: self.counters.clone(),
            hits: self.hits.clone(),
            limits: self.limits.clone(),
            quotas: self.quotas.clone(),
            dynamics: Dynamics::default(),
        };
        for effect in effects {
            rest.apply(*effect, length, now);
        }
        Foretold { rest, dynamics: self.dynamics.foretell(effects, keys) }
    }

    /// How it differs from what was foretold, in words.
    #[must_use]
    pub fn differs(&self, foretold: &Foretold) -> Option<String> {
        let Foretold { rest, dynamics } = foretold;
        let state = (&self.counters, &self.hits, &self.limits, &self.quotas);
        let expected = (&rest.counters, &rest.hits, &rest.limits, &rest.quotas);
        if state != expected {
            return Some(format!("counters by the tables: {expected:?}; by the cache: {state:?}"));
        }
        let sets = self.dynamics.told(dynamics);
        (sets != *dynamics).then(|| format!("sets by the tables: {dynamics:?}; by the cache: {sets:?}"))
    }

    pub(crate) fn apply(&mut self, effect: Effect, length: u32, now: Instant) {
        match effect {
            Effect::Count(counter) => self.count(counter, length),
            Effect::Hit(rule) => self.hit(rule, 1),
            Effect::Take(limit) => {
                if let Some(bucket) = self.limits.get_mut(limit.0 as usize) {
                    bucket.take(now, length);
                }
            }
            Effect::Use(quota) => {
                if let Some(usage) = self.quotas.get_mut(quota.0 as usize) {
                    usage.used = usage.used.saturating_add(u64::from(length));
                }
            }
            Effect::Log(_)
            | Effect::Mark(_)
            | Effect::CtMark(_)
            | Effect::NoTrack
            | Effect::MaxSegment(_)
            | Effect::Dscp(_)
            | Effect::HopLimit(_)
            | Effect::Change(..) => {}
        }
    }
}
