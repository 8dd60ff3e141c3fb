//! Value numbers: equal numbers are equal values, whatever path computed them. 0 is not known.
use std::collections::HashMap;

use super::ATOMS;
use crate::cfg::Op;

/// A value number for each atom.
pub(super) type Values = [u32; ATOMS];

/// The value of which nothing is known.
pub(super) const UNKNOWN: u32 = 0;

/// Gives numbers to operations on numbered values.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    known: HashMap<(Op, u32, u32), u32>,
    constants: HashMap<u32, u32>,
}

impl Numbering {
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.constants.clear();
    }

    /// The result of an operation on two values (or on immediate numbers, as the operation has it).
    pub(super) fn of(&mut self, op: Op, a: u32, b: u32) -> u32 {
        let next = self.known.len() as u32 + 1;
        *self.known.entry((op, a, b)).or_insert(next)
    }

    /// A constant.
    pub(super) fn constant(&mut self, k: u32) -> u32 {
        let value = self.of(Op::LdImm, k, 0);
        self.constants.insert(value, k);
        value
    }

    /// The constant that a value is, if it is one.
    pub(super) fn as_constant(&self, value: u32) -> Option<u32> {
        self.constants.get(&value).copied()
    }
}
