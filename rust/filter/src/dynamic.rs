//! Sets that change: elements that rules put in, and elements with a time.
//!
//! As in Linux (nft_dynset): an element that is not there and finds no room ends the rule; nothing is put out for it.
//! What an element has of its own (a limit, a counter, a quota) begins with it, and is asked each time.

use std::sync::Arc;

use hashbrown::HashTable;
use netfast_low::hash::Seed;
use netfast_nft::ast;
use netfast_time::Instant;
use smallvec::SmallVec;

use crate::outcome::Effect;
use crate::sets::Values;
use crate::state::{Bucket, Count, LimitSpec, QuotaSpec, Usage};

/// The time of an element that stays.
pub(crate) const ALWAYS: u64 = u64::MAX;
const MILLISECOND: u64 = 1_000_000;
/// Elements that are looked at, whether they are over, each time that time goes on.
const SWEEP: usize = 16;

/// The keys of elements that the walks for one packet would change, by [`Effect::Change`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub(crate) Vec<Values>);

impl Keys {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// A set that rules change, as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DynamicSpec {
    pub size: usize,
    /// Elements and their times.
    pub initial: Vec<(Values, u64)>,
}

/// A statement that changes a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which of the dynamic sets.
    pub set: u32,
    pub operation: Operation,
    /// Nanoseconds; [`ALWAYS`] for an element that stays.
    pub timeout: u64,
    /// What elements get of their own that this statement puts in.
    pub each: SmallVec<[Each; 1]>,
}

/// What a statement does to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Update,
    Delete,
    /// It asks for the element, and what that has of its own is asked, too (nft_lookup).
    Look,
}

impl From<ast::SetOperation> for Operation {
    fn from(operation: ast::SetOperation) -> Self {
        match operation {
            ast::SetOperation::Add => Self::Add,
            ast::SetOperation::Update => Self::Update,
            ast::SetOperation::Delete => Self::Delete,
        }
    }
}

/// Something that an element has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    Count(Count),
    Limit(Bucket, bool),
    Quota(Usage, bool),
}

impl Each {
    pub fn new(statement: &ast::ElementStatement) -> Self {
        match statement {
            ast::ElementStatement::Counter => Self::Count(Count::default()),
            ast::ElementStatement::Limit(limit) => {
                Self::Limit(Bucket::new(LimitSpec::new(limit)), limit.over)
            }
            ast::ElementStatement::Quota(quota) => {
                let spec = QuotaSpec { bytes: quota.bytes, used: quota.used };
                Self::Quota(Usage { spec, used: spec.used }, quota.over)
            }
        }
    }

    /// Whether the rule goes on behind it.
    fn run(&mut self, length: u32, now: Instant) -> bool {
        match self {
            Self::Count(count) => {
                count.add(length);
                true
            }
            Self::Limit(bucket, over) => {
                let within = bucket.affords(now, length, 0);
                if within {
                    bucket.take(now, length);
                }
                within != *over
            }
            Self::Quota(usage, over) => {
                let exceeded = usage.exceeded(length, 0);
                usage.used = usage.used.saturating_add(u64::from(length));
                exceeded == *over
            }
        }
    }
}

/// Times of sets and elements, from milliseconds to nanoseconds.
pub(crate) fn timeout(milliseconds: Option<u64>) -> u64 {
    milliseconds.map_or(ALWAYS, |time| time.saturating_mul(MILLISECOND))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    key: Values,
    /// Nanoseconds; [`ALWAYS`] for one that stays.
    expires: u64,
    each: SmallVec<[Each; 1]>,
}

impl Item {
    fn new(key: &Values, change: &Change, now: Instant) -> Self {
        Self { key: key.clone(), expires: after(now, change.timeout), each: change.each.clone() }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.expires <= now.as_nanos()
    }

    /// A packet comes to it by a statement that puts it in: whether the rule goes on.
    fn meet(&mut self, change: &Change, length: u32, now: Instant) -> bool {
        if change.operation == Operation::Update && self.expires != ALWAYS {
            self.expires = after(now, change.timeout);
        }
        self.each.iter_mut().all(|each| each.run(length, now))
    }
}

fn after(now: Instant, timeout: u64) -> u64 {
    if timeout == ALWAYS { ALWAYS } else { now.as_nanos().saturating_add(timeout).min(ALWAYS - 1) }
}

/// The elements of a set that rules change.
#[derive(Clone, Debug)]
pub(crate) struct DynamicSet {
    size: usize,
    items: Vec<Item>,
    index: HashTable<u32>,
    seed: Seed,
    /// Where the next look for elements that are over begins.
    hand: usize,
    /// Elements that have come since the last look.
    came: usize,
    /// Elements that found no room.
    pub refused: u64,
    /// The times of the elements that it was declared with have begun.
    started: bool,
}

/// Equal are those with the same elements.
impl PartialEq for DynamicSet {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items && self.refused == other.refused
    }
}

impl Eq for DynamicSet {}

impl DynamicSet {
    /// With the elements that it is declared with; their times have not begun.
    pub fn new(spec: &DynamicSpec, seed: u64) -> Self {
        let mut set = Self {
            size: spec.size,
            items: Vec::new(),
            index: HashTable::new(),
            seed: Seed::new(seed),
            hand: 0,
            came: 0,
            refused: 0,
            started: false,
        };
        for (key, timeout) in &spec.initial {
            set.insert(Item { key: key.clone(), expires: *timeout, each: SmallVec::new() });
        }
        set
    }

    /// The times of the elements that it was declared with begin now.
    fn start(&mut self, now: Instant) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for item in &mut self.items {
            item.expires = after(now, item.expires);
        }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    fn hash(&self, key: &Values) -> u64 {
        hash_of(self.seed, key)
    }

    fn position(&self, key: &Values) -> Option<usize> {
        let found = self.index.find(self.hash(key), |&at| self.items[at as usize].key == *key)?;
        Some(*found as usize)
    }

    pub fn contains(&self, key: &Values, now: Instant) -> bool {
        self.position(key).is_some_and(|at| !self.started || !self.items[at].is_over(now))
    }

    fn insert(&mut self, item: Item) {
        let hash = self.hash(&item.key);
        let at = self.items.len() as u32;
        self.items.push(item);
        let (items, seed) = (&self.items, self.seed);
        self.index.insert_unique(hash, at, |&at| hash_of(seed, &items[at as usize].key));
    }

    fn remove(&mut self, at: usize) {
        let hash = self.hash(&self.items[at].key);
        if let Ok(entry) = self.index.find_entry(hash, |&found| found as usize == at) {
            entry.remove();
        }
        let last = self.items.len() - 1;
        if at != last {
            let hash = self.hash(&self.items[last].key);
            if let Some(found) = self.index.find_mut(hash, |&found| found as usize == last) {
                *found = at as u32;
            }
        }
        self.items.swap_remove(at);
    }

    /// Takes out some elements that are over: more than have come since the last time.
    pub fn sweep(&mut self, now: Instant) {
        self.start(now);
        let count = (SWEEP + 2 * std::mem::take(&mut self.came)).min(self.items.len());
        for _ in 0..count {
            if self.hand >= self.items.len() {
                self.hand = 0;
            }
            match self.items.get(self.hand).is_some_and(|item| item.is_over(now)) {
                true => self.remove(self.hand),
                false => self.hand += 1,
            }
        }
    }

    /// Carries a statement out; whether its rule goes on.
    pub fn change(&mut self, change: &Change, key: &Values, length: u32, now: Instant) -> bool {
        self.start(now);
        if let Some(at) = self.position(key) {
            if change.operation == Operation::Delete || self.items[at].is_over(now) {
                self.remove(at);
            } else {
                return self.items[at].meet(change, length, now);
            }
        }
        match change.operation {
            Operation::Delete => return true,
            Operation::Look => return false,
            Operation::Add | Operation::Update => {}
        }
        if self.items.len() >= self.size {
            self.refused += 1;
            return false;
        }
        let mut item = Item::new(key, change, now);
        let goes_on = item.each.iter_mut().all(|each| each.run(length, now));
        self.came += 1;
        self.insert(item);
        goes_on
    }

    /// What statements of one packet about an element would come to, which are still to be carried out: whether the
    /// element is there then, and whether the last one's rule goes on. `taken` are other elements that it would put in.
    fn foresee<'c>(
        &self,
        changes: impl Iterator<Item = &'c Change>,
        key: &Values,
        length: u32,
        now: Instant,
        taken: usize,
    ) -> (bool, bool) {
        let known = self.position(key).map(|at| &self.items[at]);
        // One that is over makes room for itself.
        let room = known.is_some() || self.items.len() + taken < self.size;
        let mut item = known.filter(|item| !self.started || !item.is_over(now)).cloned();
        let mut goes_on = true;
        for change in changes {
            goes_on = match (&mut item, change.operation) {
                (_, Operation::Delete) => {
                    item = None;
                    true
                }
                (Some(item), _) => item.meet(change, length, now),
                (None, Operation::Look) => false,
                (None, _) if !room => false,
                (None, _) => {
                    let new = item.insert(Item::new(key, change, now));
                    new.each.iter_mut().all(|each| each.run(length, now))
                }
            };
        }
        (item.is_some(), goes_on)
    }
}

/// Keys come from packets, so their hash is keyed.
fn hash_of(seed: Seed, key: &Values) -> u64 {
    key.iter()
        .fold(key.len() as u64, |state, part| seed.hash5(&[state, *part as u64, (*part >> 64) as u64, 0, 0]))
}

/// What sets that change hold: those that rules change, and the times of declared elements of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dynamics {
    pub sets: Vec<DynamicSet>,
    pub timed: Vec<TimedSet>,
    pub changes: Arc<[Change]>,
    pub seed: u64,
}

/// When the elements of a set go, nanoseconds, by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimedSet {
    pub expires: Arc<[u64]>,
    /// They have begun: until then these are the times from then on.
    pub started: bool,
}

impl Dynamics {
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.timed.is_empty()
    }

    /// Time goes on: elements that are over go, a few at a time. Until then they match nothing, and keep their room.
    pub fn advance(&mut self, now: Instant) {
        self.sets.iter_mut().for_each(|set| set.sweep(now));
        for set in self.timed.iter_mut().filter(|set| !set.started) {
            set.expires = set.expires.iter().map(|time| after(now, *time)).collect();
            set.started = true;
        }
    }

    pub fn apply(&mut self, change: u32, key: &Values, length: u32, now: Instant) -> bool {
        let changes = self.changes.clone();
        let Some(change) = changes.get(change as usize) else { return false };
        let Some(set) = self.sets.get_mut(change.set as usize) else { return false };
        set.change(change, key, length, now)
    }

    /// The changes among some effects that are about an element of a set.
    fn about<'s>(
        &'s self,
        effects: &'s [Effect],
        keys: &'s [Values],
        set: u32,
        key: &'s Values,
    ) -> impl Iterator<Item = &'s Change> + 's {
        effects.iter().filter_map(move |effect| match effect {
            Effect::Change(change, at) => self
                .changes
                .get(*change as usize)
                .filter(|change| change.set == set && keys.get(*at as usize) == Some(key)),
            _ => None,
        })
    }

    /// Whether the rule of a statement would go on behind it.
    pub fn would(&self, change: u32, key: &Values, length: u32, live: &Live<'_>) -> bool {
        let Some(change) = self.changes.get(change as usize) else { return false };
        let Some(set) = self.sets.get(change.set as usize) else { return false };
        let changes = self.about(live.effects, live.keys, change.set, key).chain([change]);
        set.foresee(changes, key, length, live.now, self.taken(change.set, set, key, live)).1
    }

    /// How many other elements the walks for the packet would put into a set before this one.
    fn taken(&self, number: u32, set: &DynamicSet, key: &Values, live: &Live<'_>) -> usize {
        let mut new: SmallVec<[&Values; 2]> = SmallVec::new();
        for effect in live.effects {
            let Effect::Change(change, at) = effect else { continue };
            let puts_in = |change: &Change| {
                change.set == number && matches!(change.operation, Operation::Add | Operation::Update)
            };
            if !self.changes.get(*change as usize).is_some_and(puts_in) {
                continue;
            }
            match live.keys.get(*at as usize) {
                Some(other) if other == key => break,
                Some(other) if !new.contains(&other) && set.position(other).is_none() => new.push(other),
                _ => {}
            }
        }
        new.len()
    }

    fn contains(&self, number: u32, key: &Values, live: &Live<'_>) -> bool {
        let Some(set) = self.sets.get(number as usize) else { return false };
        let mut changes = self.about(live.effects, live.keys, number, key).peekable();
        if changes.peek().is_none() {
            return set.contains(key, live.now);
        }
        set.foresee(changes, key, 0, live.now, self.taken(number, set, key, live)).0
    }

    fn is_there(&self, timed: u32, number: u32, now: Instant) -> bool {
        let Some(set) = self.timed.get(timed as usize) else { return true };
        !set.started || set.expires.get(number as usize).is_none_or(|expires| *expires > now.as_nanos())
    }
}

/// What look-ups in sets that change depend on.
#[derive(Clone, Copy)]
pub(crate) struct Live<'s> {
    pub dynamics: &'s Dynamics,
    pub now: Instant,
    /// What the walks for this packet would change.
    pub effects: &'s [Effect],
    pub keys: &'s [Values],
}

/// Whether a set changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does not.
    #[default]
    Fixed,
    /// Elements go after their time: which list of times.
    Timed(u32),
    /// Rules change it: which of the dynamic sets.
    Dynamic(u32),
}

impl Life {
    /// Whether a set that holds an element of this number, if it is declared with it, holds it now.
    pub fn holds(self, number: Option<u32>, key: impl FnOnce() -> Values, live: &Live<'_>) -> bool {
        match self {
            Self::Fixed => number.is_some(),
            Self::Timed(timed) => {
                number.is_some_and(|number| live.dynamics.is_there(timed, number, live.now))
            }
            Self::Dynamic(set) => live.dynamics.contains(set, &key(), live),
        }
    }
}
