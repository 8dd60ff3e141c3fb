//! Slots in the order in which they came into a state, so that the oldest is at hand.
use crate::entry::{NONE, Slot};

/// A list through the slots themselves; a slot is in one at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    oldest: u32,
    youngest: u32,
    length: usize,
}

impl List {
    pub const EMPTY: Self = Self { oldest: NONE, youngest: NONE, length: 0 };

    pub fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn push(&mut self, slots: &mut [Slot], at: u32) {
        let slot = &mut slots[at as usize];
        (slot.older, slot.younger) = (self.youngest, NONE);
        match self.youngest {
            NONE => self.oldest = at,
            youngest => slots[youngest as usize].younger = at,
        }
        self.youngest = at;
        self.length += 1;
    }

    pub fn remove(&mut self, slots: &mut [Slot], at: u32) {
        let Slot { older, younger, .. } = slots[at as usize];
        match older {
            NONE => self.oldest = younger,
            older => slots[older as usize].younger = younger,
        }
        match younger {
            NONE => self.youngest = older,
            younger => slots[younger as usize].older = older,
        }
        self.length -= 1;
    }
}
