//! Makes the graph of tests smaller, and with that decides what a filter keeps of truncated packets.
//!
//! The method is that of McCanne and Jacobson's BPF paper (1993): values are numbered through the graph; a test
//! whose answer follows from a test on every way to it is skipped; a test of the same value is pulled up along a
//! chain of alternatives; loads and stores without use go away. Since a load beyond the packet drops it, leaving out
//! a load or changing the order of two is visible: `ether[1500] & 0 = 0` keeps short frames, because nothing is
//! loaded. So the rules, the order in which they are tried and even their slips follow libpcap 1.10's optimizer,
//! rule by rule.
use crate::cfg::{Block, BlockId, Graph, MEMORY_WORDS, Tail};
use crate::errors::FilterError;
use flow::Flow;
use values::{Numbering, Values};

mod branches;
mod flow;
mod merge;
mod statements;
mod values;

/// Blocks beyond which a graph is left as it is: the time grows with the cube of their number (a second at this one,
/// about 330 hosts).
const MAX_BLOCKS: usize = 4_000;

/// Rounds in a row that may do nothing but move branches, before it is called a cycle.
const MAX_BRANCH_ROUNDS: u32 = 100;

/// Rounds altogether; each one shortens something, so that this is never met in practice.
const MAX_ROUNDS: u32 = 20_000;

/// What a statement reads or writes: a word of memory, A, or X.
type Atom = usize;
const ATOM_A: Atom = MEMORY_WORDS;
const ATOM_X: Atom = MEMORY_WORDS + 1;
const ATOMS: usize = MEMORY_WORDS + 2;

/// Optimizes in place.
pub(crate) fn optimize(graph: &mut Graph) -> Result<(), FilterError> {
    if graph.blocks.len() > MAX_BLOCKS {
        return Ok(());
    }
    let mut optimizer = Optimizer::new(graph);
    optimizer.rounds(false)?;
    optimizer.rounds(true)?;
    optimizer.merge_equal();
    optimizer.skip_useless_root();
    graph.root = optimizer.root;
    graph.blocks = optimizer.blocks;
    Ok(())
}

/// A graph with what is known of it.
struct Optimizer {
    blocks: Vec<Block>,
    root: BlockId,
    flow: Flow,
    numbering: Numbering,
    /// Values of the atoms at each block's end.
    values: Vec<Values>,
    /// The value that each block compares A with.
    operands: Vec<u32>,
    /// Something was changed in this round.
    changed: bool,
    /// Something other than a branch was changed in this round.
    changed_code: bool,
}

impl Optimizer {
    /// Takes the reachable blocks, numbered in the order of a walk that looks at "yes" first.
    fn new(graph: &Graph) -> Self {
        let mut number: Vec<Option<BlockId>> = vec![None; graph.blocks.len()];
        let mut order = Vec::new();
        let mut stack = vec![graph.root];
        while let Some(id) = stack.pop() {
            if number[id as usize].is_some() {
                continue;
            }
            number[id as usize] = Some(order.len() as BlockId);
            order.push(id);
            if let Tail::Branch { yes, no, .. } = graph.blocks[id as usize].tail {
                stack.push(no);
                stack.push(yes);
            }
        }
        let renumbered = |id: BlockId| number[id as usize].unwrap_or(0);
        let blocks: Vec<Block> = order
            .iter()
            .map(|id| {
                let Block { stmts, tail } = graph.blocks[*id as usize].clone();
                let tail = match tail {
                    Tail::Branch { cmp, with_x, k, yes, no } => {
                        Tail::Branch { cmp, with_x, k, yes: renumbered(yes), no: renumbered(no) }
                    }
                    end => end,
                };
                Block { stmts, tail }
            })
            .collect();
        let count = blocks.len();
        Self {
            blocks,
            root: 0,
            flow: Flow::default(),
            numbering: Numbering::default(),
            values: vec![[0; ATOMS]; count],
            operands: vec![0; count],
            changed: false,
            changed_code: false,
        }
    }

    /// Repeats until nothing changes: first branches are moved and statements only looked at, then statements are
    /// simplified.
    fn rounds(&mut self, simplify: bool) -> Result<(), FilterError> {
        let mut branch_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.changed = false;
            self.changed_code = false;
            self.flow.analyze(&self.blocks, self.root);
            self.round(simplify)?;
            if !self.changed {
                break;
            }
            branch_rounds = if self.changed_code { 0 } else { branch_rounds + 1 };
            if branch_rounds >= MAX_BRANCH_ROUNDS {
                break;
            }
        }
        Ok(())
    }

    fn round(&mut self, simplify: bool) -> Result<(), FilterError> {
        self.numbering.clear();
        self.flow.find_predecessors(&self.blocks);
        for level in (0..self.flow.levels.len()).rev() {
            for i in 0..self.flow.levels[level].len() {
                let id = self.flow.levels[level][i];
                self.simplify_block(id, simplify)?;
            }
        }
        if simplify {
            return Ok(());
        }
        self.move_branches();
        self.flow.find_predecessors(&self.blocks);
        self.pull_up();
        Ok(())
    }

    fn changed(&mut self) {
        self.changed = true;
        self.changed_code = true;
    }

    fn successors(&self, id: BlockId) -> Option<(BlockId, BlockId)> {
        successors(&self.blocks, id)
    }

    fn set_successor(&mut self, id: BlockId, taken: bool, to: BlockId) {
        if let Tail::Branch { yes, no, .. } = &mut self.blocks[id as usize].tail {
            *(if taken { yes } else { no }) = to;
        }
    }
}

fn successors(blocks: &[Block], id: BlockId) -> Option<(BlockId, BlockId)> {
    match blocks[id as usize].tail {
        Tail::Branch { yes, no, .. } => Some((yes, no)),
        Tail::Return(_) => None,
    }
}
