//! The intermediate form: a graph of basic blocks, each with statements and one branch.
//!
//! Statements are those of the BPF machine (accumulator A, index X, 16 words of memory), because what a filter
//! keeps of a truncated packet depends on which bytes are loaded, and in which order.

/// Words of scratch memory of the BPF machine.
pub(crate) const MEMORY_WORDS: usize = 16;

/// The size of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    Byte,
    Half,
    Word,
}

/// Arithmetic on the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Lsh,
    Rsh,
}

impl Alu {
    /// The result, or `None` for a division by zero. Shifts of 32 and more give 0.
    pub(crate) fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Div => a.checked_div(b)?,
            Self::Mod => a.checked_rem(b)?,
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            Self::Lsh => a.checked_shl(b).unwrap_or(0),
            Self::Rsh => a.checked_shr(b).unwrap_or(0),
        })
    }
}

/// A comparison of the accumulator; all are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cmp {
    Eq,
    Gt,
    Ge,
    /// Any bit in common.
    Set,
}

impl Cmp {
    #[inline(always)]
    pub(crate) fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Eq => a == b,
            Self::Gt => a > b,
            Self::Ge => a >= b,
            Self::Set => a & b != 0,
        }
    }
}

/// What a statement does; its operand stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// A = packet[k].
    LdAbs(Width),
    /// A = packet[X + k].
    LdInd(Width),
    /// A = k.
    LdImm,
    /// A = length on the wire.
    LdLen,
    /// A = memory[k].
    LdMem,
    /// X = k.
    LdxImm,
    /// X = memory[k].
    LdxMem,
    /// X = 4 * (packet[k] & 15), an IPv4 header's length.
    LdxMsh,
    /// memory[k] = A.
    St,
    /// memory[k] = X.
    Stx,
    AluK(Alu),
    AluX(Alu),
    Neg,
    Tax,
    Txa,
    /// Jump within the block by k statements (two's complement) from the next one.
    Jump,
    /// Branch within the block on a constant k, by so many statements from the next one.
    Branch(Cmp, u8, u8),
    /// Removed by the optimizer.
    Nop,
}

/// A statement with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stmt {
    pub(crate) op: Op,
    pub(crate) k: u32,
}

impl Stmt {
    pub(crate) const fn new(op: Op, k: u32) -> Self {
        Self { op, k }
    }
}

/// An index into [`Graph::blocks`].
pub(crate) type BlockId = u32;

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tail {
    /// Compare A with a constant (or with X when `with_x`), then go to one of two blocks.
    Branch { cmp: Cmp, with_x: bool, k: u32, yes: BlockId, no: BlockId },
    /// Keep or drop the packet.
    Return(bool),
}

/// A basic block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) stmts: Vec<Stmt>,
    pub(crate) tail: Tail,
}

/// A graph without cycles: edges always lead on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) blocks: Vec<Block>,
    pub(crate) root: BlockId,
}

/// An edge whose target is not known yet: a block, and whether it is the one taken when the test holds.
type OpenEdge = (BlockId, bool);

/// A part of the graph that decides something: where it begins, and its open ends.
#[derive(Clone, Debug)]
pub(crate) struct Frag {
    head: BlockId,
    yes: Vec<OpenEdge>,
    no: Vec<OpenEdge>,
}

impl Frag {
    /// Holds when this one does not.
    pub(crate) fn not(self) -> Self {
        Self { head: self.head, yes: self.no, no: self.yes }
    }

    pub(crate) fn head(&self) -> BlockId {
        self.head
    }
}

impl Graph {
    /// A fragment of one block.
    pub(crate) fn test(&mut self, stmts: Vec<Stmt>, cmp: Cmp, k: u32) -> Frag {
        self.push(stmts, cmp, false, k)
    }

    /// A fragment of one block that compares A with X.
    pub(crate) fn test_x(&mut self, stmts: Vec<Stmt>, cmp: Cmp) -> Frag {
        self.push(stmts, cmp, true, 0)
    }

    fn push(&mut self, stmts: Vec<Stmt>, cmp: Cmp, with_x: bool, k: u32) -> Frag {
        let id = self.blocks.len() as BlockId;
        self.blocks.push(Block { stmts, tail: Tail::Branch { cmp, with_x, k, yes: id, no: id } });
        Frag { head: id, yes: vec![(id, true)], no: vec![(id, false)] }
    }

    /// `a`, and if it holds `b`.
    pub(crate) fn and(&mut self, a: Frag, mut b: Frag) -> Frag {
        self.patch(&a.yes, b.head);
        let mut no = a.no;
        no.append(&mut b.no);
        Frag { head: a.head, yes: b.yes, no }
    }

    /// `a`, and if it does not hold `b`.
    pub(crate) fn or(&mut self, a: Frag, mut b: Frag) -> Frag {
        self.patch(&a.no, b.head);
        let mut yes = a.yes;
        yes.append(&mut b.yes);
        Frag { head: a.head, yes, no: b.no }
    }

    /// Ends the graph: the fragment's open ends keep or drop the packet.
    pub(crate) fn finish(&mut self, frag: Frag) {
        let keep = self.blocks.len() as BlockId;
        self.blocks.push(Block { stmts: Vec::new(), tail: Tail::Return(true) });
        self.blocks.push(Block { stmts: Vec::new(), tail: Tail::Return(false) });
        self.patch(&frag.yes, keep);
        self.patch(&frag.no, keep + 1);
        self.root = frag.head;
    }

    fn patch(&mut self, edges: &[OpenEdge], target: BlockId) {
        for &(id, taken) in edges {
            if let Tail::Branch { yes, no, .. } = &mut self.blocks[id as usize].tail {
                *(if taken { yes } else { no }) = target;
            }
        }
    }
}
