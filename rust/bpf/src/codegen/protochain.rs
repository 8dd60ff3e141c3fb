//! `protochain`: follows extension headers and AH in a loop.
use super::ether_protocol::{ETHER_IP, ETHER_IP6};
use super::*;
use crate::ast::Quals;

const AH: u32 = 51;
const NO_NEXT: u32 = 59;

impl Generator {
    pub(super) fn proto_chain(&mut self, quals: Quals, number: u32) -> Result<Frag> {
        let register = self.register()?;
        let frag = match quals.proto {
            Proto::Default => {
                let four = self.proto_chain(Quals { proto: Proto::Ip, ..quals }, number)?;
                let six = self.proto_chain(Quals { proto: Proto::Ip6, ..quals }, number)?;
                self.graph.or(four, six)
            }
            Proto::Ip | Proto::Ip6 => {
                if self.layout.payload.variable {
                    return Err(self.wrong_link("`protochain`"));
                }
                self.jumps_inside = true;
                let v6 = quals.proto == Proto::Ip6;
                let carried = self.link_protocol(if v6 { ETHER_IP6 } else { ETHER_IP })?;
                let at = self.layout.payload.constant.wrapping_add(self.layout.network);
                let stmts = chain(v6, at, number, register);
                let test = self.graph.test(stmts, Cmp::Eq, number);
                self.graph.and(carried, test)
            }
            _ => return Err(self.not_for(quals.proto_text, "`protochain`", "use ip, ip6 or no protocol")),
        };
        self.registers.give_back(register);
        Ok(frag)
    }
}

/// A is the protocol of the header at `at` + X; each round goes one header on. AH's length is not added to X but
/// replaces it, as in tcpdump's program.
fn chain(v6: bool, at: u32, number: u32, register: u32) -> Vec<Stmt> {
    let eq = |k: u32, yes: usize, no: usize| Stmt::new(Op::Branch(Cmp::Eq, yes as u8, no as u8), k);
    let mut stmts = if v6 {
        vec![Stmt::new(Op::LdAbs(Width::Byte), at + 6), Stmt::new(Op::LdxImm, 40)]
    } else {
        vec![Stmt::new(Op::LdAbs(Width::Byte), at + 9), Stmt::new(Op::LdxMsh, at)]
    };
    let top = stmts.len();
    let extension = if v6 { 13 } else { 1 };
    // Two tests that end the loop, the extension headers, then AH.
    let ah = top + 2 + extension;
    let end = ah + 13;
    stmts.push(eq(number, end - stmts.len() - 1, 0));
    stmts.push(eq(NO_NEXT, end - stmts.len() - 1, 0));
    if v6 {
        stmts.extend([eq(0, 3, 0), eq(60, 2, 0), eq(43, 1, 0), eq(44, 0, 9)]);
        stmts.extend([
            Stmt::new(Op::LdInd(Width::Byte), at),
            Stmt::new(Op::St, register),
            Stmt::new(Op::LdInd(Width::Byte), at + 1),
            Stmt::new(Op::AluK(Alu::Add), 1),
            Stmt::new(Op::AluK(Alu::Mul), 8),
            Stmt::new(Op::AluX(Alu::Add), 0),
            Stmt::new(Op::Tax, 0),
            Stmt::new(Op::LdMem, register),
        ]);
        stmts.push(Stmt::new(Op::Jump, back_to(top, stmts.len())));
    } else {
        stmts.push(Stmt::new(Op::AluK(Alu::Add), 0));
    }
    let ah = stmts.len();
    stmts.push(eq(AH, 0, 12));
    stmts.extend([
        Stmt::new(Op::Txa, 0),
        Stmt::new(Op::LdInd(Width::Byte), at),
        Stmt::new(Op::St, register),
        Stmt::new(Op::Txa, 0),
        Stmt::new(Op::AluK(Alu::Add), 1),
        Stmt::new(Op::Tax, 0),
        Stmt::new(Op::LdInd(Width::Byte), at),
        Stmt::new(Op::AluK(Alu::Add), 2),
        Stmt::new(Op::AluK(Alu::Mul), 4),
        Stmt::new(Op::Tax, 0),
        Stmt::new(Op::LdMem, register),
    ]);
    stmts.push(Stmt::new(Op::Jump, back_to(top, stmts.len())));
    debug_assert_eq!(stmts.len(), ah + 13);
    // Where the loop ends.
    stmts.push(Stmt::new(Op::AluK(Alu::Add), 0));
    stmts
}

fn back_to(target: usize, from: usize) -> u32 {
    (target as u32).wrapping_sub(from as u32 + 1)
}
