//! What sets hold behind changes that are still to be carried out, to compare.

use super::Dynamics;
use super::keys::Keys;
use super::set::{DynamicSet, Item};
use crate::outcome::Effect;
use crate::sets::Values;

/// The elements that statements are about, as they will be, and how full each set will be. Of all other elements it tells
/// that no statement was carried out for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foretold {
    sets: Vec<Standing>,
    elements: Vec<(u32, Values, Option<Item>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    taken: usize,
    refused: u64,
    trail: u64,
}

impl Standing {
    fn of(set: &DynamicSet) -> Self {
        Self { taken: set.len(), refused: set.refused(), trail: set.trail }
    }
}

impl Dynamics {
    /// What some effects will come to.
    pub fn foretell(&self, effects: &[Effect], keys: &Keys) -> Foretold {
        let mut sets: Vec<Standing> = self.sets.iter().map(Standing::of).collect();
        for room in &keys.rooms {
            if let Some(standing) = sets.get_mut(room.set as usize) {
                (standing.taken, standing.refused) = (room.taken, room.refused);
            }
        }
        for effect in effects {
            let Effect::Change(change, key) = effect else { continue };
            let number = self.changes.get(*change as usize).map_or(usize::MAX, |change| change.set as usize);
            let (standing, set) = (sets.get_mut(number), self.sets.get(number));
            if let (Some(standing), Some(set), Some(key)) = (standing, set, keys.key(*key)) {
                standing.trail = standing.trail.wrapping_add(set.hash(key));
            }
        }
        let element = |touched| keys.element(touched);
        Foretold { sets, elements: keys.touched.iter().map(element).collect() }
    }

    /// What became of the same.
    pub fn told(&self, foretold: &Foretold) -> Foretold {
        let found = |(set, key, _): &(u32, Values, Option<Item>)| {
            let item = self.sets.get(*set as usize).and_then(|set| set.item(key));
            (*set, key.clone(), item.cloned())
        };
        Foretold {
            sets: self.sets.iter().map(Standing::of).collect(),
            elements: foretold.elements.iter().map(found).collect(),
        }
    }
}
