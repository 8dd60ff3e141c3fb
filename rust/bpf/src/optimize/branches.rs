//! Moves branches: past tests whose answer is known, and tests of one value next to each other.
use super::flow::Edge;
use super::{ATOM_A, ATOMS, Optimizer};
use crate::cfg::{BlockId, Cmp, Tail};

/// Which way a chain of alternatives goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chain {
    /// Tests joined by "or": all lead to one block when they hold.
    Or,
    /// Tests joined by "and": all lead to one block when they do not.
    And,
}

impl Optimizer {
    pub(super) fn move_branches(&mut self) {
        for level in 1..self.flow.levels.len() {
            for i in 0..self.flow.levels[level].len() {
                let id = self.flow.levels[level][i];
                self.move_edge(id, true);
                self.move_edge(id, false);
            }
        }
    }

    fn target(&self, id: BlockId, taken: bool) -> Option<BlockId> {
        self.successors(id).map(|(yes, no)| if taken { yes } else { no })
    }

    /// Leads an edge past tests that cannot go but one way for whoever comes along it.
    fn move_edge(&mut self, id: BlockId, taken: bool) {
        let Some(mut to) = self.target(id, taken) else { return };
        let Some((yes, no)) = self.successors(to) else { return };
        if yes == no && !self.conflict(id, yes) {
            self.changed();
            self.set_successor(id, taken, yes);
            to = yes;
            if self.successors(to).is_none() {
                return;
            }
        }
        let count = self.blocks.len();
        let edge = if taken { id as usize } else { id as usize + count };
        'again: loop {
            for word in 0..self.flow.edge_dominators.get(edge).len() {
                let mut bits = self.flow.edge_dominators.get(edge)[word];
                while bits != 0 {
                    let dominator = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if dominator >= 2 * count {
                        break;
                    }
                    let (above, above_taken) = if dominator < count {
                        (dominator as BlockId, true)
                    } else {
                        ((dominator - count) as BlockId, false)
                    };
                    let Some(target) = self.known_way(to, above, above_taken) else { continue };
                    if self.conflict(id, target) {
                        continue;
                    }
                    self.changed = true;
                    self.set_successor(id, taken, target);
                    to = target;
                    if self.successors(to).is_some() {
                        continue 'again;
                    }
                    return;
                }
            }
            return;
        }
    }

    /// Where the test of `id` leads, when the test of `above` had the answer `answer`.
    fn known_way(&self, id: BlockId, above: BlockId, answer: bool) -> Option<BlockId> {
        let Tail::Branch { cmp, with_x, yes, no, .. } = self.blocks[id as usize].tail else { return None };
        let Tail::Branch { cmp: cmp_above, with_x: with_x_above, .. } = self.blocks[above as usize].tail
        else {
            return None;
        };
        if (cmp, with_x) != (cmp_above, with_x_above) {
            return None;
        }
        if self.values[id as usize][ATOM_A] != self.values[above as usize][ATOM_A] {
            return None;
        }
        if self.operands[id as usize] == self.operands[above as usize] {
            return Some(if answer { yes } else { no });
        }
        // Equal to one constant, so not to another.
        (answer && cmp == Cmp::Eq && !with_x).then_some(no)
    }

    /// Whether what is needed after `to` differs between the ends of `from` and `to`.
    fn conflict(&self, from: BlockId, to: BlockId) -> bool {
        let needed = self.flow.needed_after[to as usize];
        (0..ATOMS).any(|atom| {
            needed & 1 << atom != 0 && self.values[from as usize][atom] != self.values[to as usize][atom]
        })
    }

    pub(super) fn pull_up(&mut self) {
        // Dominators are those of the round's beginning until something is pulled up.
        let mut stale = true;
        for level in 1..self.flow.levels.len() {
            for i in 0..self.flow.levels[level].len() {
                let id = self.flow.levels[level][i];
                stale &= !self.pull_up_chain(id, Chain::Or, stale);
                stale &= !self.pull_up_chain(id, Chain::And, stale);
            }
        }
    }

    /// Behind blocks that load one value into A, brings the next test of that value in a chain to the chain's
    /// beginning (or behind the tests of it that are there already). Says whether there was one.
    fn pull_up_chain(&mut self, id: BlockId, chain: Chain, stale: bool) -> bool {
        let edges = &self.flow.predecessors[id as usize];
        let Some(&(first, _)) = edges.first() else { return false };
        let value = self.values[first as usize][ATOM_A];
        if edges.iter().any(|(from, _)| self.values[*from as usize][ATOM_A] != value) {
            return false;
        }
        let Some(places) = self.find_in_chain(id, first, value, chain, stale) else { return false };
        let Places { on, different, at_top, other, same, pulled } = places;
        let Some(behind) = self.target(pulled, on) else { return false };
        self.set_successor(same.0, same.1, behind);
        self.set_successor(pulled, on, other);
        if at_top {
            for (from, _) in self.flow.predecessors[id as usize].clone() {
                let taken = self.target(from, true) == Some(id);
                self.set_successor(from, taken, pulled);
            }
        } else {
            self.set_successor(different.0, different.1, pulled);
        }
        self.changed = true;
        true
    }

    fn find_in_chain(
        &self,
        id: BlockId,
        first: BlockId,
        value: u32,
        chain: Chain,
        stale: bool,
    ) -> Option<Places> {
        // How the chain goes on, and how it is left.
        let on = chain == Chain::And;
        let exit = self.target(id, !on)?;
        let mut dominated = None;
        let mut in_chain = |at: BlockId| {
            if self.target(at, !on) != Some(exit) {
                return false;
            }
            if stale {
                return self.flow.dominators.contains(at as usize, id as usize);
            }
            dominated.get_or_insert_with(|| self.flow.dominated(&self.blocks, self.root, id))[at as usize]
        };

        // The edge before the first test of another value.
        let mut different = (first, self.target(first, true) == Some(id));
        let mut at_top = true;
        let other = loop {
            let at = self.target(different.0, different.1)?;
            if !in_chain(at) {
                return None;
            }
            if self.values[at as usize][ATOM_A] != value {
                break at;
            }
            different = (at, on);
            at_top = false;
        };
        // The edge before the next test of the value.
        let mut same = (other, on);
        let pulled = loop {
            let at = self.target(same.0, same.1)?;
            if !in_chain(at) {
                return None;
            }
            if self.values[at as usize][ATOM_A] == value {
                break at;
            }
            same = (at, on);
        };
        Some(Places { on, different, at_top, other, same, pulled })
    }
}

/// What is moved where.
struct Places {
    /// The answer with which the chain goes on.
    on: bool,
    /// The edge to the first test of another value.
    different: Edge,
    /// Whether that edge comes from outside of the chain.
    at_top: bool,
    /// The first test of another value.
    other: BlockId,
    /// The edge to the next test of the value.
    same: Edge,
    /// That test.
    pulled: BlockId,
}
