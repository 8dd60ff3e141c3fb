//! Simplifies the statements of one block, given the values at its start.
use super::flow::{reads, tail_reads, writes};
use super::values::{UNKNOWN, Values};
use super::{ATOM_A, ATOM_X, ATOMS, Atom, Optimizer};
use crate::cfg::{Alu, BlockId, Cmp, Op, Stmt, Tail};
use crate::errors::FilterError;

type Result<T> = std::result::Result<T, FilterError>;

/// Errors that optimizing brings to light have no column any more; they point at the beginning.
const COLUMN: usize = 1;

impl Optimizer {
    /// Numbers a block's values and, where allowed, simplifies it.
    pub(super) fn simplify_block(&mut self, id: BlockId, simplify: bool) -> Result<()> {
        let start = self.values_at_start(id);
        let mut values = start;
        let mut stmts = std::mem::take(&mut self.blocks[id as usize].stmts);
        for stmt in &mut stmts {
            self.statement(stmt, &mut values, simplify)?;
        }
        self.values[id as usize] = values;
        let unchanged = |atom: Atom| start[atom] != UNKNOWN && start[atom] == values[atom];
        let useless = self.flow.needed_after[id as usize] == 0 && unchanged(ATOM_A) && unchanged(ATOM_X);
        let ends = matches!(self.blocks[id as usize].tail, Tail::Return(_));
        if simplify && (useless || ends) {
            if !stmts.is_empty() {
                stmts.clear();
                self.changed();
            }
        } else {
            self.peephole(id, &mut stmts);
            self.drop_dead_stores(id, &mut stmts);
        }
        self.blocks[id as usize].stmts = stmts;
        if let Tail::Branch { with_x, k, .. } = self.blocks[id as usize].tail {
            self.operands[id as usize] =
                if with_x { self.values[id as usize][ATOM_X] } else { self.numbering.constant(k) };
        }
        Ok(())
    }

    /// What all ways into the block agree on.
    fn values_at_start(&self, id: BlockId) -> Values {
        let mut ways = self.flow.predecessors[id as usize].iter();
        let Some((first, _)) = ways.next() else { return [UNKNOWN; ATOMS] };
        let mut values = self.values[*first as usize];
        for (other, _) in ways {
            for (value, other) in values.iter_mut().zip(&self.values[*other as usize]) {
                if *value != *other {
                    *value = UNKNOWN;
                }
            }
        }
        values
    }

    /// Numbers what one statement computes, and rewrites it when it can be had for less.
    fn statement(&mut self, stmt: &mut Stmt, values: &mut Values, simplify: bool) -> Result<()> {
        let Stmt { op, k } = *stmt;
        match op {
            Op::LdAbs(_) | Op::LdLen => {
                let value = self.numbering.of(op, k, 0);
                store(stmt, values, ATOM_A, value, simplify);
            }
            Op::LdInd(width) => {
                let value = match self.numbering.as_constant(values[ATOM_X]) {
                    Some(x) if simplify => {
                        *stmt = Stmt::new(Op::LdAbs(width), k.wrapping_add(x));
                        self.changed();
                        self.numbering.of(stmt.op, stmt.k, 0)
                    }
                    _ => self.numbering.of(op, k, values[ATOM_X]),
                };
                store(stmt, values, ATOM_A, value, simplify);
            }
            Op::LdImm | Op::LdxImm => {
                let value = self.numbering.constant(k);
                store(stmt, values, if op == Op::LdImm { ATOM_A } else { ATOM_X }, value, simplify);
            }
            Op::LdxMsh => {
                let value = self.numbering.of(op, k, 0);
                store(stmt, values, ATOM_X, value, simplify);
            }
            Op::LdMem | Op::LdxMem => {
                let value = values[k as usize];
                let to_a = op == Op::LdMem;
                if let Some(known) = self.numbering.as_constant(value)
                    && simplify
                {
                    *stmt = Stmt::new(if to_a { Op::LdImm } else { Op::LdxImm }, known);
                    self.changed();
                }
                store(stmt, values, if to_a { ATOM_A } else { ATOM_X }, value, simplify);
            }
            Op::St => store(stmt, values, k as Atom, values[ATOM_A], simplify),
            Op::Stx => store(stmt, values, k as Atom, values[ATOM_X], simplify),
            Op::Tax => store(stmt, values, ATOM_X, values[ATOM_A], simplify),
            Op::Txa => store(stmt, values, ATOM_A, values[ATOM_X], simplify),
            Op::Neg => match self.numbering.as_constant(values[ATOM_A]) {
                Some(a) if simplify => {
                    *stmt = Stmt::new(Op::LdImm, a.wrapping_neg());
                    values[ATOM_A] = self.numbering.constant(stmt.k);
                }
                _ => values[ATOM_A] = self.numbering.of(op, values[ATOM_A], 0),
            },
            Op::AluK(alu) => self.arithmetic_k(alu, stmt, values, simplify)?,
            Op::AluX(alu) => self.arithmetic_x(alu, stmt, values, simplify)?,
            Op::Jump | Op::Branch(..) | Op::Nop => {}
        }
        Ok(())
    }

    fn arithmetic_k(&mut self, alu: Alu, stmt: &mut Stmt, values: &mut Values, simplify: bool) -> Result<()> {
        let k = stmt.k;
        if simplify {
            if k == 0 {
                match alu {
                    Alu::Add | Alu::Lsh | Alu::Rsh | Alu::Or | Alu::Xor => {
                        stmt.op = Op::Nop;
                        return Ok(());
                    }
                    Alu::Mul | Alu::And => {
                        stmt.op = Op::LdImm;
                        values[ATOM_A] = self.numbering.constant(0);
                        return Ok(());
                    }
                    Alu::Div | Alu::Mod => return Err(FilterError::DivisionByZero { column: COLUMN }),
                    Alu::Sub => {}
                }
            }
            if let Some(a) = self.numbering.as_constant(values[ATOM_A]) {
                return self.fold(alu, a, k, stmt, values);
            }
        }
        let operand = self.numbering.constant(k);
        values[ATOM_A] = self.numbering.of(stmt.op, values[ATOM_A], operand);
        Ok(())
    }

    fn arithmetic_x(&mut self, alu: Alu, stmt: &mut Stmt, values: &mut Values, simplify: bool) -> Result<()> {
        let a = self.numbering.as_constant(values[ATOM_A]);
        if simplify {
            if let Some(x) = self.numbering.as_constant(values[ATOM_X]) {
                if let Some(a) = a {
                    return self.fold(alu, a, x, stmt, values);
                }
                if matches!(alu, Alu::Lsh | Alu::Rsh) && x > 31 {
                    return Err(FilterError::ShiftTooFar { column: COLUMN });
                }
                *stmt = Stmt::new(Op::AluK(alu), x);
                self.changed();
                values[ATOM_A] = self.numbering.of(stmt.op, values[ATOM_A], values[ATOM_X]);
                return Ok(());
            }
            if a == Some(0) {
                match alu {
                    Alu::Add | Alu::Or | Alu::Xor => {
                        stmt.op = Op::Txa;
                        store(stmt, values, ATOM_A, values[ATOM_X], simplify);
                        return Ok(());
                    }
                    Alu::Mul | Alu::Div | Alu::Mod | Alu::And | Alu::Lsh | Alu::Rsh => {
                        *stmt = Stmt::new(Op::LdImm, 0);
                        let zero = self.numbering.constant(0);
                        store(stmt, values, ATOM_A, zero, simplify);
                        return Ok(());
                    }
                    Alu::Sub => {}
                }
            }
        }
        values[ATOM_A] = self.numbering.of(stmt.op, values[ATOM_A], values[ATOM_X]);
        Ok(())
    }

    /// Both operands are constants.
    fn fold(&mut self, alu: Alu, a: u32, b: u32, stmt: &mut Stmt, values: &mut Values) -> Result<()> {
        let result = alu.apply(a, b).ok_or(FilterError::DivisionByZero { column: COLUMN })?;
        *stmt = Stmt::new(Op::LdImm, result);
        self.changed();
        values[ATOM_A] = self.numbering.constant(result);
        Ok(())
    }

    /// Combines statements that stand beside each other, and the last one with the branch.
    fn peephole(&mut self, id: BlockId, stmts: &mut [Stmt]) {
        if stmts.is_empty() {
            return;
        }
        let last = self.combine(id, stmts);
        if !self.flow.is_needed_after(id, ATOM_A) {
            self.combine_with_branch(id, &mut stmts[last]);
        }
        self.settle_branch(id);
    }

    /// Returns where the last statement is.
    fn combine(&mut self, id: BlockId, stmts: &mut [Stmt]) -> usize {
        let mut last = 0;
        let mut at = 0;
        while let Some(here) = next_op(stmts, at) {
            let Some(next) = next_op(stmts, here + 1) else { break };
            last = next;
            at = here + 1;
            // What is stored and loaded to X at once is moved there.
            if stmts[here].op == Op::St && stmts[next] == Stmt::new(Op::LdxMem, stmts[here].k) {
                stmts[next].op = Op::Tax;
                self.changed();
            }
            // A constant goes to X first.
            if stmts[here].op == Op::LdImm && stmts[next].op == Op::Tax {
                stmts[here].op = Op::LdxImm;
                stmts[next].op = Op::Txa;
                self.changed();
            }
            if stmts[here].op == Op::LdImm && !self.flow.is_needed_after(id, ATOM_X) {
                self.fold_index(stmts, here, next);
            }
        }
        last
    }

    /// A constant index behind an IPv4 header (`tcp[13]`) goes into the load's own offset.
    fn fold_index(&mut self, stmts: &mut [Stmt], constant: usize, next: usize) {
        let add = if stmts[next].op == Op::LdxMsh { next_op(stmts, next + 1) } else { Some(next) };
        let Some(add) = add.filter(|at| stmts[*at].op == Op::AluX(Alu::Add)) else { return };
        let Some(tax) = next_op(stmts, add + 1).filter(|at| stmts[*at].op == Op::Tax) else { return };
        let Some(load) = next_op(stmts, tax + 1) else { return };
        if matches!(stmts[load].op, Op::LdInd(_)) {
            stmts[load].k = stmts[load].k.wrapping_add(stmts[constant].k);
            for at in [constant, add, tax] {
                stmts[at].op = Op::Nop;
            }
            self.changed();
        }
    }

    /// A subtraction or a mask before a comparison for equality, whose result nobody else needs.
    fn combine_with_branch(&mut self, id: BlockId, last: &mut Stmt) {
        let x = self.numbering.as_constant(self.values[id as usize][ATOM_X]);
        let Tail::Branch { cmp, with_x, k, yes, no } = &mut self.blocks[id as usize].tail else { return };
        if *cmp != Cmp::Eq || *with_x {
            return;
        }
        match last.op {
            Op::AluX(Alu::Sub) => match x {
                Some(x) => *k = k.wrapping_add(x),
                None if *k == 0 => *with_x = true,
                None => return,
            },
            Op::AluK(Alu::Sub) => *k = k.wrapping_add(last.k),
            Op::AluK(Alu::And) if *k == 0 => {
                *cmp = Cmp::Set;
                *k = last.k;
                std::mem::swap(yes, no);
            }
            _ => return,
        }
        last.op = Op::Nop;
        self.changed();
    }

    /// A branch whose answer is known leads one way only.
    fn settle_branch(&mut self, id: BlockId) {
        let values = self.values[id as usize];
        let (a, x) = (self.numbering.as_constant(values[ATOM_A]), self.numbering.as_constant(values[ATOM_X]));
        let Tail::Branch { cmp, with_x, k, yes, no } = &mut self.blocks[id as usize].tail else { return };
        if *cmp == Cmp::Set && !*with_x {
            match *k {
                0 => *yes = *no,
                // Not so when A is 0, but tcpdump has it so.
                u32::MAX => *no = *yes,
                _ => {}
            }
        }
        if let Some(x) = x
            && *with_x
        {
            *with_x = false;
            *k = x;
        }
        if let Some(a) = a
            && !*with_x
        {
            let differ = yes != no;
            if cmp.holds(a, *k) {
                *no = *yes;
            } else {
                *yes = *no;
            }
            if differ {
                self.changed();
            }
        }
    }

    /// Removes writes that nothing reads.
    fn drop_dead_stores(&mut self, id: BlockId, stmts: &mut [Stmt]) {
        // The last write of each atom, as long as it was not read.
        let mut pending = [None; ATOMS];
        let mut dead = false;
        for at in 0..stmts.len() {
            let read = reads(stmts[at]);
            for (atom, write) in pending.iter_mut().enumerate() {
                if read & 1 << atom != 0 {
                    *write = None;
                }
            }
            if let Some(atom) = writes(stmts[at])
                && let Some(earlier) = pending[atom].replace(at)
            {
                let earlier: &mut Stmt = &mut stmts[earlier];
                earlier.op = Op::Nop;
                dead = true;
            }
        }
        let read = tail_reads(&self.blocks[id as usize].tail);
        for (atom, write) in pending.iter().enumerate() {
            if let Some(at) = write
                && read & 1 << atom == 0
                && !self.flow.is_needed_after(id, atom)
            {
                stmts[*at].op = Op::Nop;
                dead = true;
            }
        }
        if dead {
            self.changed();
        }
    }
}

/// Gives an atom a value. When it has that value already, the statement is not needed.
fn store(stmt: &mut Stmt, values: &mut Values, atom: Atom, value: u32, simplify: bool) {
    if simplify && value != UNKNOWN && values[atom] == value {
        stmt.op = Op::Nop;
    } else {
        values[atom] = value;
    }
}

/// The first statement from `at` on that does something.
fn next_op(stmts: &[Stmt], at: usize) -> Option<usize> {
    stmts.get(at..)?.iter().position(|s| s.op != Op::Nop).map(|found| at + found)
}
