//! Sets that change: elements that rules put in, and elements with a time.
//!
//! As in Linux (nft_dynset): an element that is not there and finds no room ends the rule; nothing is put out for it.
//! What an element has of its own (a limit, a counter, a quota) begins with it, and is asked each time.

mod carry;
mod foretold;
mod keys;
mod set;

use std::sync::Arc;

use netfast_nft::ast;
use netfast_time::Instant;
use smallvec::SmallVec;

use crate::sets::Values;
use crate::state::{Bucket, Count, LimitSpec, QuotaSpec, Usage};

pub(crate) use carry::{Carry, Side};
pub(crate) use foretold::Foretold;
pub use keys::Keys;
pub(crate) use set::DynamicSet;

/// The time of an element that stays.
pub(crate) const ALWAYS: u64 = u64::MAX;
const MILLISECOND: u64 = 1_000_000;

/// A set that rules change, as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DynamicSpec {
    pub size: usize,
    /// Elements, each once, and their times.
    pub initial: Vec<(Values, u64)>,
    /// Which fields are numbers of ports.
    pub ports: SmallVec<[bool; 2]>,
}

/// An element with a time, of a set that no rule changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    /// The hash of what it holds.
    pub element: u64,
    /// Nanoseconds; [`ALWAYS`] for one that stays.
    pub timeout: u64,
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
            ast::ElementStatement::Counter { packets, bytes } => {
                Self::Count(Count { packets: *packets, bytes: *bytes })
            }
            ast::ElementStatement::Limit(limit) => {
                Self::Limit(Bucket::new(LimitSpec::new(limit)), limit.over)
            }
            ast::ElementStatement::Quota(quota) => {
                let spec = QuotaSpec { bytes: quota.bytes, used: quota.used };
                Self::Quota(Usage { spec, used: spec.used }, quota.over)
            }
        }
    }

    /// Whether both are asked in the same way, whatever came of it so far.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(_), Self::Count(_)) => true,
            (Self::Limit(bucket, over), Self::Limit(other, others)) => {
                (bucket.spec, over) == (other.spec, others)
            }
            (Self::Quota(usage, over), Self::Quota(other, others)) => {
                (usage.spec, over) == (other.spec, others)
            }
            _ => false,
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

fn after(now: Instant, timeout: u64) -> u64 {
    if timeout == ALWAYS { ALWAYS } else { now.as_nanos().saturating_add(timeout).min(ALWAYS - 1) }
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

    fn contains(&self, number: u32, key: &Values, live: &Live<'_>) -> bool {
        let pending = live.pending.and_then(|pending| pending.holds(number, key));
        let held = || self.sets.get(number as usize).is_some_and(|set| set.contains(key, live.now));
        pending.unwrap_or_else(held)
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
    pub pending: Option<&'s Keys>,
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
