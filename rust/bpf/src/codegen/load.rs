//! Loads and comparisons relative to a header.
use super::layout::Offset;
use super::*;
use crate::ast::ByteOp;

/// What an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The link-layer header.
    LinkHeader,
    /// The type field of the link-layer header.
    LinkType,
    /// The LLC header, where the link-layer header is followed by one.
    Llc,
    /// The last MPLS label.
    LastLabel,
    /// The network layer.
    Network,
    /// The network layer of a protocol that has an LLC header but no SNAP one.
    NetworkNoSnap,
    /// The transport header behind an IPv4 header.
    Transport4,
    /// The transport header behind an IPv6 header without extension headers.
    Transport6,
}

impl Generator {
    /// Loads a scratch word with an offset's variable part into X, if there is one.
    pub(super) fn load_variable(&mut self, pick: fn(&mut Layout) -> &mut Offset) -> Result<Option<Stmt>> {
        let offset = *pick(&mut self.layout);
        if !offset.variable {
            return Ok(None);
        }
        let register = match offset.register {
            Some(register) => register,
            None => {
                let register = self.register()?;
                pick(&mut self.layout).register = Some(register);
                register
            }
        };
        Ok(Some(Stmt::new(Op::LdxMem, register)))
    }

    fn load_at(
        &mut self,
        pick: fn(&mut Layout) -> &mut Offset,
        offset: u32,
        width: Width,
    ) -> Result<Vec<Stmt>> {
        let k = pick(&mut self.layout).constant.wrapping_add(offset);
        Ok(match self.load_variable(pick)? {
            Some(variable) => vec![variable, Stmt::new(Op::LdInd(width), k)],
            None => vec![Stmt::new(Op::LdAbs(width), k)],
        })
    }

    /// Loads into A.
    pub(super) fn load(&mut self, from: From, offset: u32, width: Width) -> Result<Vec<Stmt>> {
        let network = self.layout.network;
        match from {
            From::LinkHeader => self.load_at(|l| &mut l.link_header, offset, width),
            From::LinkType => self.load_at(|l| &mut l.link_type, offset, width),
            From::Llc => self.load_at(|l| &mut l.payload, offset, width),
            From::LastLabel => {
                self.load_at(|l| &mut l.payload, network.wrapping_sub(4).wrapping_add(offset), width)
            }
            From::Network => self.load_at(|l| &mut l.payload, network.wrapping_add(offset), width),
            From::NetworkNoSnap => {
                let offset = self.layout.network_no_snap.wrapping_add(offset);
                self.load_at(|l| &mut l.payload, offset, width)
            }
            From::Transport4 => {
                let mut stmts = self.load_ipv4_length()?;
                let k = self.layout.payload.constant.wrapping_add(network).wrapping_add(offset);
                stmts.push(Stmt::new(Op::LdInd(width), k));
                Ok(stmts)
            }
            From::Transport6 => {
                self.load_at(|l| &mut l.payload, network.wrapping_add(40).wrapping_add(offset), width)
            }
        }
    }

    /// Loads the IPv4 header's length, plus the variable part of where it stands, into X.
    pub(super) fn load_ipv4_length(&mut self) -> Result<Vec<Stmt>> {
        let k = self.layout.payload.constant.wrapping_add(self.layout.network);
        Ok(match self.load_variable(|l| &mut l.payload)? {
            None => vec![Stmt::new(Op::LdxMsh, k)],
            Some(variable) => vec![
                variable,
                Stmt::new(Op::LdInd(Width::Byte), k),
                Stmt::new(Op::AluK(Alu::And), 0xf),
                Stmt::new(Op::AluK(Alu::Lsh), 2),
                Stmt::new(Op::AluX(Alu::Add), 0),
                Stmt::new(Op::Tax, 0),
            ],
        })
    }

    pub(super) fn compare(
        &mut self,
        from: From,
        offset: u32,
        width: Width,
        cmp: Cmp,
        k: u32,
    ) -> Result<Frag> {
        let stmts = self.load(from, offset, width)?;
        Ok(self.graph.test(stmts, cmp, k))
    }

    pub(super) fn equal(&mut self, from: From, offset: u32, width: Width, k: u32) -> Result<Frag> {
        self.compare(from, offset, width, Cmp::Eq, k)
    }

    /// `load & mask == k`.
    pub(super) fn masked(
        &mut self,
        from: From,
        offset: u32,
        width: Width,
        k: u32,
        mask: u32,
    ) -> Result<Frag> {
        let mut stmts = self.load(from, offset, width)?;
        if mask != u32::MAX {
            stmts.push(Stmt::new(Op::AluK(Alu::And), mask));
        }
        Ok(self.graph.test(stmts, Cmp::Eq, k))
    }

    /// Compares a run of bytes, from its end in words, then what is left in halves and bytes.
    pub(super) fn bytes(&mut self, from: From, offset: u32, bytes: &[u8]) -> Result<Frag> {
        let mut end = bytes.len();
        let mut all: Option<Frag> = None;
        while end > 0 {
            let (size, width) = match end {
                4.. => (4, Width::Word),
                2.. => (2, Width::Half),
                _ => (1, Width::Byte),
            };
            end -= size;
            let k = bytes[end..end + size].iter().fold(0, |k, b| k << 8 | u32::from(*b));
            let test = self.equal(from, offset.wrapping_add(end as u32), width, k)?;
            all = Some(match all {
                Some(all) => self.graph.and(all, test),
                None => test,
            });
        }
        match all {
            Some(all) => Ok(all),
            None => Ok(self.constant(true)),
        }
    }

    /// `byte`; with `&` and `|` tcpdump's program does not load the byte, so A is what the test before left there.
    pub(super) fn byte(&mut self, offset: u32, op: ByteOp, value: u32) -> Result<Frag> {
        let cmp = match op {
            ByteOp::Eq => Cmp::Eq,
            ByteOp::Greater => Cmp::Gt,
            ByteOp::Less => {
                return Ok(self.compare(From::LinkHeader, offset, Width::Byte, Cmp::Ge, value)?.not());
            }
            ByteOp::And | ByteOp::Or => {
                let alu = if matches!(op, ByteOp::And) { Alu::And } else { Alu::Or };
                return Ok(self.graph.test(vec![Stmt::new(Op::AluK(alu), value)], Cmp::Eq, 0).not());
            }
        };
        self.compare(From::LinkHeader, offset, Width::Byte, cmp, value)
    }
}
