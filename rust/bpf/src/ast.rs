//! The tree that the parser makes of an expression: qualifiers are already spread over the words they apply to.
use std::net::Ipv6Addr;

use crate::cfg::{Alu, Cmp};
use crate::lexer::Proto;

/// Which side of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Default,
    Src,
    Dst,
    Or,
    And,
    Addr(u8),
    Ra,
    Ta,
}

/// What kind of word follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Default,
    Host,
    Net,
    Port,
    PortRange,
    Gateway,
    Proto,
    ProtoChain,
    /// No qualifier can be inherited here.
    None,
}

/// The qualifiers of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quals {
    pub(crate) proto: Proto,
    pub(crate) proto_text: &'static str,
    pub(crate) dir: Dir,
    pub(crate) kind: Kind,
}

impl Quals {
    /// After a primitive that takes no word: nothing to inherit.
    pub(crate) const NONE: Self =
        Self { proto: Proto::Default, proto_text: "", dir: Dir::Default, kind: Kind::None };
}

/// An address, a number or a name that qualifiers apply to.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Name(String),
    Number(u32),
    /// `10.1`, unmasked.
    Dotted(String),
    /// `10.1/16`.
    Prefix(String, u32),
    /// `10.1 mask 255.255.0.0`.
    Masked(String, String),
    V6(Ipv6Addr, Option<u32>),
    Mac([u8; 6]),
    Arcnet,
}

/// An operand of a relation.
#[derive(Clone, Debug)]
pub(crate) enum Arith {
    Number(u32),
    Len,
    Load { proto: Proto, text: &'static str, index: Box<Arith>, size: u32 },
    Binary(Alu, Box<Arith>, Box<Arith>),
    Negate(Box<Arith>),
}

/// What `llc` tests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LlcTest {
    Any,
    Information,
    /// `control & mask == value`.
    Control {
        mask: u32,
        value: u32,
    },
}

/// The operator of `byte`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByteOp {
    Eq,
    Less,
    Greater,
    And,
    Or,
}

/// One test.
#[derive(Clone, Debug)]
pub(crate) enum Primitive {
    Qualified(Quals, Word),
    Protocol(Proto, &'static str),
    Relation { cmp: Cmp, negate: bool, left: Arith, right: Arith },
    Broadcast(Proto, &'static str),
    Multicast(Proto, &'static str),
    Shorter(u32),
    Longer(u32),
    Byte { offset: u32, op: ByteOp, value: u32 },
    Outbound(bool),
    IfIndex(u32),
    Vlan(Option<u32>),
    Mpls(Option<u32>),
    PppoeDiscovery,
    PppoeSession(Option<u32>),
    Geneve(Option<u32>),
    WlanFrame { mask: u32, value: u32 },
    WlanDirection(u32),
    Llc(LlcTest),
}

/// How an operand of a chain is joined to what stands before it; both have the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// A primitive and its column.
    Test(Primitive, usize),
    Not(Box<Expr>),
    Chain(Box<Expr>, Vec<(Join, Expr)>),
}
