//! What follows from the shape of the graph: levels, dominators, and which atoms are still needed.
use super::{ATOM_A, ATOM_X, Atom, successors};
use crate::cfg::{Block, BlockId, Op, Stmt, Tail};

/// A set of atoms.
pub(super) type Atoms = u32;

/// Sets of one size, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    words: usize,
    bits: Vec<u64>,
}

impl Sets {
    fn full(count: usize, members: usize) -> Self {
        let words = members.div_ceil(64);
        Self { words, bits: vec![u64::MAX; words * count] }
    }

    pub(super) fn get(&self, set: usize) -> &[u64] {
        &self.bits[set * self.words..][..self.words]
    }

    pub(super) fn contains(&self, set: usize, member: usize) -> bool {
        self.get(set)[member / 64] & 1 << (member % 64) != 0
    }

    fn clear(&mut self, set: usize) {
        self.bits[set * self.words..][..self.words].fill(0);
    }

    fn insert(&mut self, set: usize, member: usize) {
        self.bits[set * self.words + member / 64] |= 1 << (member % 64);
    }

    /// Keeps in `set` what is in `other`, too.
    fn intersect(&mut self, set: usize, other: usize) {
        for i in 0..self.words {
            self.bits[set * self.words + i] &= self.bits[other * self.words + i];
        }
    }
}

/// An edge: a block, and whether the edge is taken when its test holds.
pub(super) type Edge = (BlockId, bool);

#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Blocks by their longest way to an end; the root is alone in the last level.
    pub(super) levels: Vec<Vec<BlockId>>,
    /// Edges that lead to each block.
    pub(super) predecessors: Vec<Vec<Edge>>,
    /// Blocks that are on every way to a block.
    pub(super) dominators: Sets,
    /// Edges that are on every way to an edge, and itself; "yes" edges first, then "no" edges.
    pub(super) edge_dominators: Sets,
    /// Atoms that are read after a block before they are written.
    pub(super) needed_after: Vec<Atoms>,
    needed_before: Vec<Atoms>,
}

impl Flow {
    pub(super) fn analyze(&mut self, blocks: &[Block], root: BlockId) {
        self.find_levels(blocks, root);
        self.find_dominators(blocks, root);
        self.find_edge_dominators(blocks, root);
        self.find_needed(blocks);
    }

    /// The levels alone.
    pub(super) fn analyze_levels(&mut self, blocks: &[Block], root: BlockId) {
        self.find_levels(blocks, root);
    }

    fn find_levels(&mut self, blocks: &[Block], root: BlockId) {
        let mut level: Vec<Option<usize>> = vec![None; blocks.len()];
        let mut seen = vec![false; blocks.len()];
        self.levels.clear();
        let mut stack = vec![(root, false)];
        while let Some((id, done)) = stack.pop() {
            if done {
                let own = match successors(blocks, id) {
                    Some((yes, no)) => 1 + level[yes as usize].max(level[no as usize]).unwrap_or(0),
                    None => 0,
                };
                level[id as usize] = Some(own);
                if self.levels.len() <= own {
                    self.levels.resize(own + 1, Vec::new());
                }
                self.levels[own].push(id);
                continue;
            }
            if std::mem::replace(&mut seen[id as usize], true) {
                continue;
            }
            stack.push((id, true));
            if let Some((yes, no)) = successors(blocks, id) {
                stack.push((no, false));
                stack.push((yes, false));
            }
        }
        for blocks in &mut self.levels {
            // The last one found is looked at first.
            blocks.reverse();
        }
    }

    /// Blocks from the root on, each after all that lead to it.
    fn downwards(levels: &[Vec<BlockId>]) -> impl Iterator<Item = BlockId> {
        levels.iter().rev().flatten().copied()
    }

    /// The blocks that `dominator` is on every way to, in the graph as it is now. Blocks are visited in the order of
    /// the levels found before, as for all dominators together; one costs much less than all.
    pub(super) fn dominated(&self, blocks: &[Block], root: BlockId, dominator: BlockId) -> Vec<bool> {
        let mut out = vec![true; blocks.len()];
        out[root as usize] = false;
        for id in Self::downwards(&self.levels) {
            if id == dominator {
                out[id as usize] = true;
            }
            if let Some((yes, no)) = successors(blocks, id)
                && !out[id as usize]
            {
                out[yes as usize] = false;
                out[no as usize] = false;
            }
        }
        out
    }

    fn find_dominators(&mut self, blocks: &[Block], root: BlockId) {
        let mut sets = Sets::full(blocks.len(), blocks.len());
        sets.clear(root as usize);
        for id in Self::downwards(&self.levels) {
            sets.insert(id as usize, id as usize);
            if let Some((yes, no)) = successors(blocks, id) {
                sets.intersect(yes as usize, id as usize);
                sets.intersect(no as usize, id as usize);
            }
        }
        self.dominators = sets;
    }

    fn find_edge_dominators(&mut self, blocks: &[Block], root: BlockId) {
        let count = blocks.len();
        let mut sets = Sets::full(2 * count, 2 * count);
        sets.clear(root as usize);
        sets.clear(root as usize + count);
        for id in Self::downwards(&self.levels) {
            let Some((yes, no)) = successors(blocks, id) else { continue };
            for (edge, to) in [(id as usize, yes), (id as usize + count, no)] {
                sets.insert(edge, edge);
                sets.intersect(to as usize, edge);
                sets.intersect(to as usize + count, edge);
            }
        }
        self.edge_dominators = sets;
    }

    fn find_needed(&mut self, blocks: &[Block]) {
        self.needed_after = vec![0; blocks.len()];
        self.needed_before = vec![0; blocks.len()];
        for id in self.levels.iter().flatten() {
            let id = *id as usize;
            let (used, written) = local_use(&blocks[id]);
            if let Some((yes, no)) = successors(blocks, id as BlockId) {
                self.needed_after[id] = self.needed_before[yes as usize] | self.needed_before[no as usize];
            }
            self.needed_before[id] = used | self.needed_after[id] & !written;
        }
    }

    pub(super) fn find_predecessors(&mut self, blocks: &[Block]) {
        self.predecessors = vec![Vec::new(); blocks.len()];
        for id in Self::downwards(&self.levels) {
            if let Some((yes, no)) = successors(blocks, id) {
                self.predecessors[yes as usize].push((id, true));
                self.predecessors[no as usize].push((id, false));
            }
        }
        for edges in &mut self.predecessors {
            // The last one found is looked at first.
            edges.reverse();
        }
    }

    pub(super) fn is_needed_after(&self, id: BlockId, atom: Atom) -> bool {
        self.needed_after[id as usize] & 1 << atom != 0
    }
}

/// Atoms that a block reads before it writes them, and those it writes before it reads them.
fn local_use(block: &Block) -> (Atoms, Atoms) {
    let (mut used, mut defined, mut written) = (0, 0, 0);
    let mut read = |atoms: Atoms, defined: Atoms| used |= atoms & !defined;
    for stmt in &block.stmts {
        let reads = reads(*stmt);
        read(reads, defined);
        if let Some(atom) = writes(*stmt) {
            defined |= 1 << atom;
        }
    }
    read(tail_reads(&block.tail), defined);
    written |= defined & !used;
    (used, written)
}

/// The atoms that a statement reads.
pub(super) fn reads(stmt: Stmt) -> Atoms {
    match stmt.op {
        Op::LdAbs(_) | Op::LdImm | Op::LdLen | Op::LdxImm | Op::LdxMsh | Op::Nop | Op::Jump => 0,
        Op::LdInd(_) | Op::Stx | Op::Txa => 1 << ATOM_X,
        Op::LdMem | Op::LdxMem => 1 << stmt.k,
        Op::St | Op::AluK(_) | Op::Neg | Op::Tax | Op::Branch(..) => 1 << ATOM_A,
        Op::AluX(_) => 1 << ATOM_A | 1 << ATOM_X,
    }
}

/// The atom that a statement writes.
pub(super) fn writes(stmt: Stmt) -> Option<Atom> {
    match stmt.op {
        Op::LdAbs(_)
        | Op::LdInd(_)
        | Op::LdImm
        | Op::LdLen
        | Op::LdMem
        | Op::AluK(_)
        | Op::AluX(_)
        | Op::Neg
        | Op::Txa => Some(ATOM_A),
        Op::LdxImm | Op::LdxMem | Op::LdxMsh | Op::Tax => Some(ATOM_X),
        Op::St | Op::Stx => Some(stmt.k as Atom),
        Op::Jump | Op::Branch(..) | Op::Nop => None,
    }
}

/// The atoms that a block's end reads.
pub(super) fn tail_reads(tail: &Tail) -> Atoms {
    match tail {
        Tail::Branch { with_x: false, .. } => 1 << ATOM_A,
        Tail::Branch { with_x: true, .. } => 1 << ATOM_A | 1 << ATOM_X,
        Tail::Return(_) => 0,
    }
}
