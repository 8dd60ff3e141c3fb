//! Elements as they will be, while changes of sets are still to be carried out.

use netfast_time::Instant;
use smallvec::SmallVec;

use super::set::{DynamicSet, Item, Standing};
use super::{Dynamics, Operation};
use crate::sets::Values;

/// The elements that the walks for one packet would change: their keys, by [`Effect::Change`](crate::outcome::Effect),
/// and what will become of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Values>,
    /// Each element once.
    pub(super) touched: SmallVec<[Touched; 1]>,
    /// Each set once.
    pub(super) rooms: SmallVec<[Room; 1]>,
}

/// An element, as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    set: u32,
    /// Which of the keys.
    key: u32,
    item: Option<Item>,
}

/// How full a set will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub set: u32,
    pub taken: usize,
    /// Elements that will have found no room.
    pub refused: u64,
}

impl Keys {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.touched.clear();
        self.rooms.clear();
    }

    pub(crate) fn key(&self, number: u32) -> Option<&Values> {
        self.keys.get(number as usize)
    }

    /// An element as it will be.
    pub(super) fn element(&self, touched: &Touched) -> (u32, Values, Option<Item>) {
        (touched.set, self.key_of(touched).clone(), touched.item.clone())
    }

    fn key_of(&self, touched: &Touched) -> &Values {
        &self.keys[touched.key as usize]
    }

    fn touched(&self, set: u32, key: &Values) -> Option<usize> {
        self.touched.iter().position(|touched| touched.set == set && self.key_of(touched) == key)
    }

    /// Whether a set will hold an element; `None` when no statement was about it.
    pub(super) fn holds(&self, set: u32, key: &Values) -> Option<bool> {
        self.touched(set, key).map(|at| self.touched[at].item.is_some())
    }

    /// Takes a statement up that is to be carried out behind all others: the number of its key, and whether its rule goes
    /// on. Does what [`DynamicSet::change`] will do.
    pub(crate) fn change(
        &mut self,
        dynamics: &Dynamics,
        change: u32,
        key: Values,
        length: u32,
        now: Instant,
    ) -> (u32, bool) {
        let number = self.keys.len() as u32;
        let change = dynamics.changes.get(change as usize);
        let known = change.and_then(|change| Some((change, dynamics.sets.get(change.set as usize)?)));
        let Some((change, set)) = known else {
            self.keys.push(key);
            return (number, false);
        };
        let room = self.room(change.set, set);
        let at = self.touched(change.set, &key);
        self.keys.push(key);
        let at = at.unwrap_or_else(|| self.touch(change.set, set, room, number, now));
        let (item, room) = (&mut self.touched[at].item, &mut self.rooms[room]);
        let goes_on = match (&mut *item, change.operation) {
            (_, Operation::Delete) => {
                room.taken -= usize::from(item.take().is_some());
                true
            }
            (Some(item), _) => item.meet(change, length, now),
            (None, Operation::Look) => false,
            (None, _) if room.taken >= set.size => {
                room.refused += 1;
                false
            }
            (None, _) => {
                let (new, goes_on) = Item::begin(&self.keys[number as usize], change, length, now);
                *item = Some(new);
                room.taken += 1;
                goes_on
            }
        };
        (number, goes_on)
    }

    fn room(&mut self, number: u32, set: &DynamicSet) -> usize {
        let known = self.rooms.iter().position(|room| room.set == number);
        known.unwrap_or_else(|| {
            self.rooms.push(Room { set: number, taken: set.len(), refused: set.refused() });
            self.rooms.len() - 1
        })
    }

    fn touch(&mut self, number: u32, set: &DynamicSet, room: usize, key: u32, now: Instant) -> usize {
        let item = match set.standing(&self.keys[key as usize], now) {
            Standing::There(item) => Some(item),
            Standing::Absent => None,
            Standing::Over => {
                self.rooms[room].taken -= 1;
                None
            }
        };
        self.touched.push(Touched { set: number, key, item });
        self.touched.len() - 1
    }
}
