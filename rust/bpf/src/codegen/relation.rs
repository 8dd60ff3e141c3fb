//! Relations: both sides are computed into scratch words, then compared.
use super::ether_protocol::ETHER_IP6;
use super::load::From;
use super::*;

/// A computed operand: statements that leave it in a scratch word, and what must hold for its loads to make
/// sense.
struct Value {
    stmts: Vec<Stmt>,
    register: u32,
    check: Option<Frag>,
}

impl Generator {
    pub(super) fn relation(&mut self, cmp: Cmp, negate: bool, left: &Arith, right: &Arith) -> Result<Frag> {
        let left = self.value(left)?;
        let right = self.value(right)?;
        let mut stmts = left.stmts;
        stmts.extend(right.stmts);
        stmts.push(Stmt::new(Op::LdxMem, right.register));
        stmts.push(Stmt::new(Op::LdMem, left.register));
        let mut test = if cmp == Cmp::Eq {
            stmts.push(Stmt::new(Op::AluX(Alu::Sub), 0));
            self.graph.test(stmts, Cmp::Eq, 0)
        } else {
            self.graph.test_x(stmts, cmp)
        };
        if negate {
            test = test.not();
        }
        self.registers.give_back(left.register);
        self.registers.give_back(right.register);
        Ok(match self.both(left.check, right.check) {
            Some(check) => self.graph.and(check, test),
            None => test,
        })
    }

    fn both(&mut self, a: Option<Frag>, b: Option<Frag>) -> Option<Frag> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.graph.and(a, b)),
            (a, b) => a.or(b),
        }
    }

    fn value(&mut self, arith: &Arith) -> Result<Value> {
        match arith {
            Arith::Number(value) => self.stored(Stmt::new(Op::LdImm, *value)),
            Arith::Len => self.stored(Stmt::new(Op::LdLen, 0)),
            Arith::Negate(inner) => {
                let mut value = self.value(inner)?;
                value.stmts.extend([
                    Stmt::new(Op::LdMem, value.register),
                    Stmt::new(Op::Neg, 0),
                    Stmt::new(Op::St, value.register),
                ]);
                Ok(value)
            }
            Arith::Binary(alu, left, right) => self.binary(*alu, left, right),
            Arith::Load { proto, text, index, size } => {
                let width = match size {
                    1 => Width::Byte,
                    2 => Width::Half,
                    _ => Width::Word,
                };
                let index = self.value(index)?;
                self.indexed(*proto, text, index, width)
            }
        }
    }

    fn stored(&mut self, load: Stmt) -> Result<Value> {
        let register = self.register()?;
        Ok(Value { stmts: vec![load, Stmt::new(Op::St, register)], register, check: None })
    }

    /// The right side's check is dropped, as in tcpdump's programs: `1 + tcp[0] = 5` does not ask for TCP.
    fn binary(&mut self, alu: Alu, left: &Arith, right: &Arith) -> Result<Value> {
        let left = self.value(left)?;
        let right = self.value(right)?;
        // The divisor is looked at where its computation begins, so that `len / ether[0]` is refused, too.
        if let Some(Stmt { op: Op::LdImm, k }) = right.stmts.first() {
            match alu {
                Alu::Div | Alu::Mod if *k == 0 => {
                    return Err(FilterError::DivisionByZero { column: self.column });
                }
                Alu::Lsh | Alu::Rsh if *k > 31 => {
                    return Err(FilterError::ShiftTooFar { column: self.column });
                }
                _ => {}
            }
        }
        let mut stmts = left.stmts;
        stmts.extend(right.stmts);
        stmts.extend([
            Stmt::new(Op::LdxMem, right.register),
            Stmt::new(Op::LdMem, left.register),
            Stmt::new(Op::AluX(alu), 0),
        ]);
        self.registers.give_back(left.register);
        self.registers.give_back(right.register);
        let register = self.register()?;
        stmts.push(Stmt::new(Op::St, register));
        Ok(Value { stmts, register, check: left.check })
    }

    fn indexed(&mut self, proto: Proto, text: &'static str, index: Value, width: Width) -> Result<Value> {
        let register = self.register()?;
        let Value { mut stmts, register: at, check } = index;
        let network = self.layout.payload.constant.wrapping_add(self.layout.network);
        let (base, k, own) = match proto {
            Proto::Radio => {
                if self.layout.link != Link::WlanRadio {
                    return Err(self.wrong_link("`radio`"));
                }
                (Vec::new(), 0, check)
            }
            Proto::Link => {
                let base = self.load_variable(|l| &mut l.link_header)?;
                (base.into_iter().collect(), self.layout.link_header.constant, check)
            }
            Proto::Ip
            | Proto::Ip6
            | Proto::Arp
            | Proto::Rarp
            | Proto::Atalk
            | Proto::Decnet
            | Proto::Lat
            | Proto::Sca
            | Proto::Mopdl
            | Proto::Moprc => {
                let base = self.load_variable(|l| &mut l.payload)?;
                let carried = self.protocol(proto, text)?;
                (base.into_iter().collect(), network, self.both(check, Some(carried)))
            }
            Proto::Tcp
            | Proto::Udp
            | Proto::Sctp
            | Proto::Icmp
            | Proto::Igmp
            | Proto::Igrp
            | Proto::Pim
            | Proto::Vrrp
            | Proto::Carp => {
                let base = self.load_ipv4_length()?;
                let carried = self.protocol(proto, text)?;
                let first = self.first_fragment()?;
                let carried = self.graph.and(carried, first);
                let own = self.both(check, Some(carried));
                let ip = self.protocol(Proto::Ip, "ip")?;
                (base, network, self.both(Some(ip), own))
            }
            Proto::Icmp6 => {
                let ip6 = self.link_protocol(ETHER_IP6)?;
                let own = self.both(check, Some(ip6));
                let next = self.equal(From::Network, 6, Width::Byte, 58)?;
                let own = self.both(own, Some(next));
                let base = self.load_variable(|l| &mut l.payload)?;
                (base.into_iter().collect(), network.wrapping_add(40), own)
            }
            _ => {
                return Err(self.not_for(
                    text,
                    "an index",
                    "use ether, ip, ip6, arp, rarp, tcp, udp, sctp, icmp, icmp6, igmp, pim or the like",
                ));
            }
        };
        if base.is_empty() {
            stmts.push(Stmt::new(Op::LdxMem, at));
        } else {
            stmts.extend(base);
            stmts.extend([Stmt::new(Op::LdMem, at), Stmt::new(Op::AluX(Alu::Add), 0), Stmt::new(Op::Tax, 0)]);
        }
        stmts.extend([Stmt::new(Op::LdInd(width), k), Stmt::new(Op::St, register)]);
        self.registers.give_back(at);
        Ok(Value { stmts, register, check: own })
    }
}
