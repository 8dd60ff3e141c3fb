//! What sets that change keep when the rule set is replaced.

use std::collections::HashMap;

use netfast_time::Instant;
use smallvec::SmallVec;

use super::set::{DynamicSet, Item};
use super::{Change, DynamicSpec, Each, Operation, Timed, TimedSet, after};
use crate::sets::Values;

/// One side of a replacement: the set as it is declared, and the statements that change it.
pub(crate) struct Side<'s> {
    pub spec: &'s DynamicSpec,
    pub number: u32,
    pub changes: &'s [Change],
    /// Numbers of the ports and their names.
    pub ports: &'s [(u32, u128)],
}

impl<'s> Side<'s> {
    /// The statements that put elements in.
    fn puts_in(&self) -> impl Iterator<Item = &'s Change> + Clone {
        let number = self.number;
        self.changes.iter().filter(move |change| {
            change.set == number && matches!(change.operation, Operation::Add | Operation::Update)
        })
    }

    fn declared(&self) -> HashMap<&'s Values, u64> {
        self.spec.initial.iter().map(|(key, timeout)| (key, *timeout)).collect()
    }

    fn name(&self, port: u128) -> Option<u128> {
        self.ports.iter().find(|(number, _)| u128::from(*number) == port).map(|(_, name)| *name)
    }
}

/// From which set to which one elements go.
pub(crate) struct Carry<'s> {
    pub old: Side<'s>,
    pub new: Side<'s>,
    pub now: Instant,
}

impl Carry<'_> {
    /// The set as it is from now on: what packets brought stays, what is declared as before goes on, what is declared
    /// otherwise begins now, what is declared no longer goes.
    pub fn set(&self, from: &DynamicSet) -> DynamicSet {
        if !from.started {
            return DynamicSet::new(self.new.spec, from.seed);
        }
        let (was, is) = (self.old.declared(), self.new.declared());
        let mut there: HashMap<&Values, &Item> = from
            .items
            .iter()
            .filter(|item| !item.is_over(self.now) && !self.is_gone(&item.key))
            .map(|item| (&item.key, item))
            .collect();
        let mut items = Vec::new();
        for (key, timeout) in &self.new.spec.initial {
            let known = there.remove(key);
            if was.get(key) == Some(timeout) && !self.is_gone(key) {
                items.extend(known.map(|item| self.renewed(item, true)));
                continue;
            }
            let each = known.map(|item| self.renewed(item, true).each).unwrap_or_default();
            items.push(Item { key: key.clone(), expires: after(self.now, *timeout), each });
        }
        let learned = from.items.iter().filter(|item| {
            there.contains_key(&item.key) && !was.contains_key(&item.key) && !is.contains_key(&item.key)
        });
        let room = self.new.spec.size.saturating_sub(items.len());
        items.extend(learned.take(room).map(|item| self.renewed(item, false)));
        from.with(self.new.spec.size, items)
    }

    /// Its port is none any more, or another one has its number.
    fn is_gone(&self, key: &Values) -> bool {
        let mut fields = key.iter().zip(&self.new.spec.ports);
        fields.any(|(value, is_port)| *is_port && self.old.name(*value) != self.new.name(*value))
    }

    /// An element with what the statements give it now: what none of them gives any more is replaced.
    fn renewed(&self, item: &Item, declared: bool) -> Item {
        let mut item = item.clone();
        let is_like = |change: &Change| is_like(&change.each, &item.each);
        if (declared && item.each.is_empty()) || self.new.puts_in().any(is_like) {
            return item;
        }
        let is_new = |change: &&Change| !self.old.puts_in().any(|old| is_like_each(old, change));
        let mut statements = self.new.puts_in();
        if let Some(change) = statements.clone().find(is_new).or_else(|| statements.next()) {
            item.each.clone_from(&change.each);
        }
        item
    }
}

fn is_like_each(one: &Change, other: &Change) -> bool {
    is_like(&one.each, &other.each)
}

fn is_like(one: &SmallVec<[Each; 1]>, other: &SmallVec<[Each; 1]>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

impl TimedSet {
    /// With the times of elements that are declared as before; those of others begin now.
    pub fn carried(&self, was: &[Timed], is: &[Timed], now: Instant) -> Self {
        if !self.started {
            return Self { expires: is.iter().map(|element| element.timeout).collect(), started: false };
        }
        let known: HashMap<(u64, u64), u64> = was
            .iter()
            .zip(self.expires.iter())
            .map(|(element, expires)| ((element.element, element.timeout), *expires))
            .collect();
        let expires = is.iter().map(|element| {
            let known = known.get(&(element.element, element.timeout)).copied();
            known.unwrap_or_else(|| after(now, element.timeout))
        });
        Self { expires: expires.collect(), started: true }
    }
}
