//! The flat program that is run for every packet.
//!
//! Blocks become instructions that load, mask and compare in one step wherever the block has that shape; what
//! remains are the plain statements of the BPF machine.
use crate::bpf::postorder;
use crate::cfg::{Alu, Cmp, Graph, MEMORY_WORDS, Op, Stmt, Tail, Width};

/// Targets that end the run; no program has so many steps.
const KEEP: u32 = u32::MAX >> 1;
const DROP: u32 = KEEP - 1;

/// One step. Targets are indices of steps, or [`KEEP`] or [`DROP`].
///
/// Aligned so that finding a step takes a shift: each step waits for the one before to say where to go.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
enum Step {
    /// Load at a fixed offset, compare for equality.
    EqByte {
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    EqHalf {
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    EqWord {
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    /// Load a half-word at a fixed offset (an EtherType, as a rule), compare it with two constants in turn.
    EqHalfOr {
        at: u32,
        k: u32,
        yes: u32,
        k2: u32,
        yes2: u32,
        no: u32,
    },
    /// Load a half-word behind an IPv4 header, whose first byte is at `ip`, and compare for equality.
    EqTransport {
        ip: u32,
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    /// Load a half-word behind X and compare for equality.
    EqIndirect {
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    /// Compare A with a constant for equality.
    EqA {
        k: u32,
        yes: u32,
        no: u32,
    },
    /// Load a half-word at a fixed offset, test for bits in common.
    SetHalf {
        at: u32,
        k: u32,
        yes: u32,
        no: u32,
    },
    /// Compare A with a constant or with X.
    Compare {
        cmp: Cmp,
        with_x: bool,
        k: u32,
        yes: u32,
        no: u32,
    },
    /// A plain statement.
    Plain(Stmt),
    /// Go elsewhere; backwards only in `protochain`, where rounds are counted.
    Go {
        to: u32,
        back: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    steps: Box<[Step]>,
    first: u32,
    /// Whether any step reads or writes the scratch memory; most programs do not.
    memory: bool,
}

impl Program {
    pub(crate) fn new(graph: &Graph) -> Self {
        let order: Vec<_> = postorder(graph).into_iter().rev().collect();
        let mut steps = Vec::new();
        let mut start = vec![0; graph.blocks.len()];
        for id in order {
            start[id as usize] = steps.len() as u32;
            let block = &graph.blocks[id as usize];
            let stmts: Vec<Stmt> = block.stmts.iter().copied().filter(|s| s.op != Op::Nop).collect();
            match block.tail {
                Tail::Return(keep) => start[id as usize] = if keep { KEEP } else { DROP },
                Tail::Branch { cmp, with_x, k, yes, no } => {
                    let rest = if with_x { None } else { fused(&stmts, cmp, k, yes, no) };
                    match rest {
                        Some((step, used)) => {
                            let step = followed(step, graph);
                            plain(&mut steps, &stmts[..stmts.len() - used]);
                            steps.push(step);
                        }
                        None => {
                            plain(&mut steps, &stmts);
                            steps.push(Step::Compare { cmp, with_x, k, yes, no });
                        }
                    }
                }
            }
        }
        // Targets were blocks so far, but for those within a block, which `plain` has made already.
        let memory = steps.iter().any(|step| {
            matches!(step, Step::Plain(Stmt { op: Op::St | Op::Stx | Op::LdMem | Op::LdxMem, .. }))
        });
        let mut program = Self { steps: steps.into_boxed_slice(), first: start[graph.root as usize], memory };
        program.resolve(&start);
        program
    }

    fn resolve(&mut self, start: &[u32]) {
        for step in &mut self.steps {
            match step {
                Step::EqByte { yes, no, .. }
                | Step::EqHalf { yes, no, .. }
                | Step::EqWord { yes, no, .. }
                | Step::EqTransport { yes, no, .. }
                | Step::EqIndirect { yes, no, .. }
                | Step::EqA { yes, no, .. }
                | Step::SetHalf { yes, no, .. }
                | Step::Compare { yes, no, .. } => {
                    for target in [yes, no] {
                        *target = match *target & INNER {
                            0 => start[*target as usize],
                            _ => *target & !INNER,
                        };
                    }
                }
                Step::EqHalfOr { yes, yes2, no, .. } => {
                    for target in [yes, yes2, no] {
                        *target = start[*target as usize];
                    }
                }
                Step::Plain(_) | Step::Go { .. } => {}
            }
        }
    }

    /// Runs the program. A load beyond the packet drops it, whatever the expression says.
    #[inline]
    pub(crate) fn run(&self, packet: &[u8], wire_len: u32) -> bool {
        if self.memory {
            self.run_with::<MEMORY_WORDS>(packet, wire_len)
        } else {
            self.run_with::<0>(packet, wire_len)
        }
    }

    #[inline(always)]
    fn run_with<const WORDS: usize>(&self, packet: &[u8], wire_len: u32) -> bool {
        let mut machine = Machine { a: 0, x: 0, memory: [0; WORDS] };
        // A chain of headers cannot be longer than the packet; only a loop in it can, where tcpdump never ends.
        let mut rounds = packet.len() + 256;
        let mut at = self.first;
        loop {
            let Some(step) = self.steps.get(at as usize) else { return at == KEEP };
            at = match *step {
                Step::EqByte { at, k, yes, no } => {
                    let Some(value) = byte(packet, at) else { return false };
                    machine.a = value;
                    if value == k { yes } else { no }
                }
                Step::EqHalf { at, k, yes, no } => {
                    let Some(value) = half(packet, at) else { return false };
                    machine.a = value;
                    if value == k { yes } else { no }
                }
                Step::EqHalfOr { at, k, yes, k2, yes2, no } => {
                    let Some(value) = half(packet, at) else { return false };
                    machine.a = value;
                    if value == k {
                        yes
                    } else if value == k2 {
                        yes2
                    } else {
                        no
                    }
                }
                Step::EqWord { at, k, yes, no } => {
                    let Some(value) = word(packet, at) else { return false };
                    machine.a = value;
                    if value == k { yes } else { no }
                }
                Step::EqTransport { ip, at, k, yes, no } => {
                    let Some(first) = byte(packet, ip) else { return false };
                    machine.x = (first & 0xf) << 2;
                    let Some(value) = at.checked_add(machine.x).and_then(|at| half(packet, at)) else {
                        return false;
                    };
                    machine.a = value;
                    if value == k { yes } else { no }
                }
                Step::EqIndirect { at, k, yes, no } => {
                    let Some(value) = at.checked_add(machine.x).and_then(|at| half(packet, at)) else {
                        return false;
                    };
                    machine.a = value;
                    if value == k { yes } else { no }
                }
                Step::EqA { k, yes, no } => {
                    if machine.a == k {
                        yes
                    } else {
                        no
                    }
                }
                Step::SetHalf { at, k, yes, no } => {
                    let Some(value) = half(packet, at) else { return false };
                    machine.a = value;
                    if value & k != 0 { yes } else { no }
                }
                Step::Compare { cmp, with_x, k, yes, no } => {
                    let other = if with_x { machine.x } else { k };
                    if cmp.holds(machine.a, other) { yes } else { no }
                }
                Step::Plain(stmt) => {
                    if machine.execute(stmt, packet, wire_len).is_none() {
                        return false;
                    }
                    at + 1
                }
                Step::Go { to, back } => {
                    if back {
                        if rounds == 0 {
                            return false;
                        }
                        rounds -= 1;
                    }
                    to
                }
            };
        }
    }
}

/// Marks a target that is a step already, not a block.
const INNER: u32 = 1 << 31;

/// Plain statements; branches among them get the steps they lead to, one step each.
fn plain(steps: &mut Vec<Step>, stmts: &[Stmt]) {
    for stmt in stmts {
        let next = steps.len() as u32 + 1;
        steps.push(match stmt.op {
            Op::Jump => {
                let to = next.wrapping_add(stmt.k);
                Step::Go { to, back: to < next }
            }
            Op::Branch(cmp, yes, no) => {
                let (yes, no) = ((next + u32::from(yes)) | INNER, (next + u32::from(no)) | INNER);
                Step::Compare { cmp, with_x: false, k: stmt.k, yes, no }
            }
            _ => Step::Plain(*stmt),
        });
    }
}

/// A step that does the last statements and the branch, and how many statements it covers. A block that jumps
/// within itself keeps one step for each statement.
fn fused(stmts: &[Stmt], cmp: Cmp, k: u32, yes: u32, no: u32) -> Option<(Step, usize)> {
    if stmts.iter().any(|s| matches!(s.op, Op::Jump | Op::Branch(..))) {
        return None;
    }
    let last = stmts.last();
    let step = match (cmp, last.map(|s| (s.op, s.k))) {
        (Cmp::Eq, Some((Op::LdAbs(width), at))) => {
            let step = match width {
                Width::Byte => Step::EqByte { at, k, yes, no },
                Width::Half => Step::EqHalf { at, k, yes, no },
                Width::Word => Step::EqWord { at, k, yes, no },
            };
            (step, 1)
        }
        (Cmp::Set, Some((Op::LdAbs(Width::Half), at))) => (Step::SetHalf { at, k, yes, no }, 1),
        (Cmp::Eq, Some((Op::LdInd(Width::Half), at))) => match stmts.len().checked_sub(2).map(|i| stmts[i]) {
            Some(Stmt { op: Op::LdxMsh, k: ip }) => (Step::EqTransport { ip, at, k, yes, no }, 2),
            _ => (Step::EqIndirect { at, k, yes, no }, 1),
        },
        (Cmp::Eq, None) => (Step::EqA { k, yes, no }, 0),
        _ => return None,
    };
    Some(step)
}

/// A comparison of the same value with another constant is done in the same step.
fn followed(step: Step, graph: &Graph) -> Step {
    let Step::EqHalf { at, k, yes, no } = step else { return step };
    let next = &graph.blocks[no as usize];
    match next.tail {
        Tail::Branch { cmp: Cmp::Eq, with_x: false, k: k2, yes: yes2, no }
            if next.stmts.iter().all(|s| s.op == Op::Nop) =>
        {
            Step::EqHalfOr { at, k, yes, k2, yes2, no }
        }
        _ => step,
    }
}

struct Machine<const WORDS: usize> {
    a: u32,
    x: u32,
    memory: [u32; WORDS],
}

impl<const WORDS: usize> Machine<WORDS> {
    /// `None` drops the packet.
    fn execute(&mut self, stmt: Stmt, packet: &[u8], wire_len: u32) -> Option<()> {
        let Stmt { op, k } = stmt;
        let word_of_memory = k as usize;
        match op {
            Op::LdAbs(width) => self.a = load(packet, k, width)?,
            Op::LdInd(width) => self.a = load(packet, self.x.checked_add(k)?, width)?,
            Op::LdImm => self.a = k,
            Op::LdLen => self.a = wire_len,
            Op::LdMem => self.a = *self.memory.get(word_of_memory)?,
            Op::LdxImm => self.x = k,
            Op::LdxMem => self.x = *self.memory.get(word_of_memory)?,
            Op::LdxMsh => self.x = (byte(packet, k)? & 0xf) << 2,
            Op::St => *self.memory.get_mut(word_of_memory)? = self.a,
            Op::Stx => *self.memory.get_mut(word_of_memory)? = self.x,
            Op::AluK(alu) => self.a = calculate(alu, self.a, k)?,
            Op::AluX(alu) => self.a = calculate(alu, self.a, self.x)?,
            Op::Neg => self.a = self.a.wrapping_neg(),
            Op::Tax => self.x = self.a,
            Op::Txa => self.a = self.x,
            Op::Jump | Op::Branch(..) | Op::Nop => {}
        }
        Some(())
    }
}

#[inline(always)]
fn calculate(alu: Alu, a: u32, b: u32) -> Option<u32> {
    alu.apply(a, b)
}

#[inline(always)]
fn load(packet: &[u8], at: u32, width: Width) -> Option<u32> {
    match width {
        Width::Byte => byte(packet, at),
        Width::Half => half(packet, at),
        Width::Word => word(packet, at),
    }
}

#[inline(always)]
fn byte(packet: &[u8], at: u32) -> Option<u32> {
    packet.get(at as usize).map(|b| u32::from(*b))
}

#[inline(always)]
fn half(packet: &[u8], at: u32) -> Option<u32> {
    let bytes = packet.get(at as usize..)?.first_chunk()?;
    Some(u32::from(u16::from_be_bytes(*bytes)))
}

#[inline(always)]
fn word(packet: &[u8], at: u32) -> Option<u32> {
    let bytes = packet.get(at as usize..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}
