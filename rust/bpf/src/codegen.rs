//! From the tree to the graph of tests, for one link type.
//!
//! Which byte stands where follows from the link type and from the tunnels (`vlan`, `mpls`, `pppoes`, `geneve`)
//! that the expression has named so far, in the order of its words.
use crate::ast::{Arith, Expr, Join, LlcTest, Primitive};
use crate::cfg::{Alu, Cmp, Frag, Graph, Op, Stmt, Width};
use crate::errors::FilterError;
use crate::lexer::Proto;
use layout::{Layout, Link};

mod address;
mod ether_protocol;
mod layout;
mod load;
mod port;
mod protochain;
mod protocol;
mod relation;
mod tunnel;
mod wlan;

pub use layout::ByteOrder;

/// Tests beyond which an expression is refused.
pub(crate) const MAX_BLOCKS: usize = 1 << 16;

type Result<T> = std::result::Result<T, FilterError>;

/// Compiles a tree. The flag says whether the graph may be optimized: statements that jump within a block must
/// stay as they are.
pub(crate) fn generate(expr: &Expr, link: u16, order: ByteOrder) -> Result<(Graph, bool)> {
    let mut generator = Generator::new(link, order)?;
    let frag = generator.expr(expr)?;
    generator.prepend_offsets(frag.head())?;
    generator.graph.finish(frag);
    Ok((generator.graph, !generator.jumps_inside))
}

/// Refuses a link type for which nothing can be generated.
pub(crate) fn check_link(link: u16) -> Result<()> {
    Link::new(link).map(|_| ())
}

struct Generator {
    graph: Graph,
    layout: Layout,
    order: ByteOrder,
    /// Scratch words in use.
    registers: Registers,
    jumps_inside: bool,
    /// Column of the primitive at work, for errors.
    column: usize,
}

/// The scratch words, given out in turn.
#[derive(Default)]
struct Registers {
    used: u16,
    next: u32,
}

impl Registers {
    fn take(&mut self) -> Option<u32> {
        for _ in 0..16 {
            if self.used & 1 << self.next == 0 {
                self.used |= 1 << self.next;
                return Some(self.next);
            }
            self.next = (self.next + 1) % 16;
        }
        None
    }

    fn give_back(&mut self, register: u32) {
        self.used &= !(1 << register);
    }
}

impl Generator {
    fn new(link: u16, order: ByteOrder) -> Result<Self> {
        Ok(Self {
            graph: Graph::default(),
            layout: Layout::new(Link::new(link)?),
            order,
            registers: Registers::default(),
            jumps_inside: false,
            column: 0,
        })
    }

    fn register(&mut self) -> Result<u32> {
        self.registers.take().ok_or(FilterError::OutOfRegisters { column: self.column })
    }

    fn expr(&mut self, expr: &Expr) -> Result<Frag> {
        match expr {
            Expr::Test(primitive, column) => {
                self.column = *column;
                let frag = self.primitive(primitive)?;
                if self.graph.blocks.len() > MAX_BLOCKS {
                    return Err(FilterError::TooComplex { limit: MAX_BLOCKS });
                }
                Ok(frag)
            }
            Expr::Not(inner) => Ok(self.expr(inner)?.not()),
            Expr::Chain(first, rest) => {
                let mut all = self.expr(first)?;
                for (join, operand) in rest {
                    let operand = self.expr(operand)?;
                    all = match join {
                        Join::And => self.graph.and(all, operand),
                        Join::Or => self.graph.or(all, operand),
                    };
                }
                Ok(all)
            }
        }
    }

    fn primitive(&mut self, primitive: &Primitive) -> Result<Frag> {
        match primitive {
            Primitive::Qualified(quals, word) => self.qualified(*quals, word),
            Primitive::Protocol(proto, text) => self.protocol(*proto, text),
            Primitive::Relation { cmp, negate, left, right } => self.relation(*cmp, *negate, left, right),
            Primitive::Broadcast(proto, text) => self.broadcast(*proto, text),
            Primitive::Multicast(proto, text) => self.multicast(*proto, text),
            Primitive::Shorter(len) => Ok(self.length(Cmp::Gt, *len).not()),
            Primitive::Longer(len) => Ok(self.length(Cmp::Ge, *len)),
            Primitive::Byte { offset, op, value } => self.byte(*offset, *op, *value),
            Primitive::Outbound(outbound) => self.outbound(*outbound),
            Primitive::IfIndex(index) => self.if_index(*index),
            Primitive::Vlan(id) => self.vlan(*id),
            Primitive::Mpls(label) => self.mpls(*label),
            Primitive::PppoeDiscovery => self.link_protocol(0x8863),
            Primitive::PppoeSession(id) => self.pppoe_session(*id),
            Primitive::Geneve(vni) => self.geneve(*vni),
            Primitive::WlanFrame { mask, value } => self.wlan_field(0, *mask, *value),
            Primitive::WlanDirection(value) => self.wlan_field(1, 3, *value),
            Primitive::Llc(test) => self.llc(*test),
        }
    }

    fn length(&mut self, cmp: Cmp, len: u32) -> Frag {
        self.graph.test(vec![Stmt::new(Op::LdLen, 0)], cmp, len)
    }

    /// A test that always gives the same answer, yet is a test: tcpdump's program has it, too.
    fn constant(&mut self, holds: bool) -> Frag {
        self.graph.test(vec![Stmt::new(Op::LdImm, u32::from(!holds))], Cmp::Eq, 0)
    }

    fn wrong_link(&self, what: &'static str) -> FilterError {
        FilterError::LinkType { column: self.column, what, link: self.layout.link.number() }
    }

    /// Complains when a number does not fit its field.
    fn in_range(&self, what: &'static str, value: u32, max: u32) -> Result<()> {
        if value <= max {
            return Ok(());
        }
        Err(FilterError::OutOfRange { column: self.column, what, value, max })
    }
}
