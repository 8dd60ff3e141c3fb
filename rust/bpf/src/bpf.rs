//! Classic BPF instructions: for a socket filter, and for comparing programs with other compilers'.
use crate::cfg::{Alu, BlockId, Cmp, Graph, Op, Stmt, Tail, Width};

/// One classic BPF instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when the test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

impl Instruction {
    const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }
}

/// What a program returns to keep a packet: the greatest snap length.
pub(crate) const KEEP: u32 = 262_144;

const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
const WITH_X: u16 = 0x08;
const NEG: u16 = 0x80;
const TXA: u16 = 0x80;

fn width(width: Width) -> u16 {
    match width {
        Width::Word => 0x00,
        Width::Half => 0x08,
        Width::Byte => 0x10,
    }
}

fn alu(alu: Alu) -> u16 {
    match alu {
        Alu::Add => 0x00,
        Alu::Sub => 0x10,
        Alu::Mul => 0x20,
        Alu::Div => 0x30,
        Alu::Or => 0x40,
        Alu::And => 0x50,
        Alu::Lsh => 0x60,
        Alu::Rsh => 0x70,
        Alu::Mod => 0x90,
        Alu::Xor => 0xa0,
    }
}

fn compare(cmp: Cmp) -> u16 {
    JMP | match cmp {
        Cmp::Eq => 0x10,
        Cmp::Gt => 0x20,
        Cmp::Ge => 0x30,
        Cmp::Set => 0x40,
    }
}

fn statement(stmt: Stmt) -> Instruction {
    let code = match stmt.op {
        Op::LdAbs(w) => LD | ABS | width(w),
        Op::LdInd(w) => LD | IND | width(w),
        Op::LdImm => LD,
        Op::LdLen => LD | LEN,
        Op::LdMem => LD | MEM,
        Op::LdxImm => LDX,
        Op::LdxMem => LDX | MEM,
        Op::LdxMsh => LDX | MSH | width(Width::Byte),
        Op::St => ST,
        Op::Stx => STX,
        Op::AluK(op) => ALU | alu(op),
        Op::AluX(op) => ALU | alu(op) | WITH_X,
        Op::Neg => ALU | NEG,
        Op::Tax => MISC,
        Op::Txa => MISC | TXA,
        Op::Jump => JMP,
        Op::Branch(cmp, jt, jf) => return Instruction { code: compare(cmp), jt, jf, k: stmt.k },
        // Never emitted.
        Op::Nop => ALU,
    };
    Instruction::new(code, stmt.k)
}

/// Lays a graph out as instructions. Blocks are placed from the end; a branch over more than 255 instructions
/// goes by way of a jump.
pub(crate) fn emit(graph: &Graph) -> Vec<Instruction> {
    // Built backwards; a block's position counts from the end.
    let mut reversed: Vec<Instruction> = Vec::new();
    let mut position: Vec<Option<usize>> = vec![None; graph.blocks.len()];
    for id in postorder(graph) {
        let block = &graph.blocks[id as usize];
        match block.tail {
            Tail::Return(keep) => reversed.push(Instruction::new(RET, if keep { KEEP } else { 0 })),
            Tail::Branch { cmp, with_x, k, yes, no } => {
                let here = reversed.len();
                let distance = |to: BlockId| here - position[to as usize].unwrap_or(0);
                let (to_yes, to_no) = (distance(yes), distance(no));
                let (mut far_yes, mut far_no) = (to_yes > 255, to_no > 255);
                let jumps = usize::from(far_yes) + usize::from(far_no);
                far_yes |= to_yes + jumps > 255;
                far_no |= to_no + usize::from(far_no) + usize::from(far_yes) > 255;
                far_yes |= to_yes + usize::from(far_no) + usize::from(far_yes) > 255;
                let jumps = usize::from(far_yes) + usize::from(far_no);
                // In forward order the jump for "yes" comes first.
                if far_no {
                    reversed.push(Instruction::new(JMP, to_no as u32));
                }
                if far_yes {
                    reversed.push(Instruction::new(JMP, (to_yes + usize::from(far_no)) as u32));
                }
                let jt = if far_yes { 0 } else { to_yes + jumps };
                let jf = if far_no { usize::from(far_yes) } else { to_no + jumps };
                let code = compare(cmp) | if with_x { WITH_X } else { 0 };
                reversed.push(Instruction { code, jt: jt as u8, jf: jf as u8, k });
            }
        }
        let statements = block.stmts.iter().filter(|s| s.op != Op::Nop);
        reversed.extend(statements.rev().map(|s| statement(*s)));
        position[id as usize] = Some(reversed.len());
    }
    reversed.reverse();
    reversed
}

/// Reachable blocks, each after both of its successors, the one for "no" first.
pub(crate) fn postorder(graph: &Graph) -> Vec<BlockId> {
    let mut seen = vec![false; graph.blocks.len()];
    let mut out = Vec::new();
    let mut stack = vec![(graph.root, false)];
    while let Some((id, done)) = stack.pop() {
        if done {
            out.push(id);
            continue;
        }
        if std::mem::replace(&mut seen[id as usize], true) {
            continue;
        }
        stack.push((id, true));
        if let Tail::Branch { yes, no, .. } = graph.blocks[id as usize].tail {
            stack.push((yes, false));
            stack.push((no, false));
        }
    }
    out
}
