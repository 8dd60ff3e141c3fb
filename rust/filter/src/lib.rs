#![forbid(unsafe_code)]
//! Packet filters: pcap-filter(7) expressions.
mod ast;
mod bpf;
mod cfg;
mod codegen;
mod errors;
mod lexer;
mod names;
mod optimize;
mod parser;
mod program;

pub use bpf::Instruction;
pub use codegen::ByteOrder;
pub use errors::FilterError;

use cfg::{Block, Graph, Tail};
use program::Program;

/// The longest expression that is compiled, in bytes.
pub const MAX_EXPRESSION: usize = 1 << 16;

/// A compiled expression for one link type.
#[derive(Clone, Debug)]
pub struct Filter {
    graph: Graph,
    program: Program,
}

impl Filter {
    /// Compiles an expression for a link type (its LINKTYPE_ number).
    ///
    /// # Errors
    /// See [`FilterError`]; most of them name the column.
    pub fn compile(expression: &str, link: u16) -> Result<Self, FilterError> {
        Self::compile_with(expression, link, ByteOrder::Little)
    }

    /// Compiles for a capture of a known byte order, which matters for BSD loopback only.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn compile_with(expression: &str, link: u16, order: ByteOrder) -> Result<Self, FilterError> {
        let graph = Self::graph(expression, link, order)?;
        Ok(Self { program: Program::new(&graph), graph })
    }

    fn graph(expression: &str, link: u16, order: ByteOrder) -> Result<Graph, FilterError> {
        if expression.len() > MAX_EXPRESSION {
            return Err(FilterError::TooLong { length: expression.len(), limit: MAX_EXPRESSION });
        }
        codegen::check_link(link)?;
        let Some(tree) = parser::parse(expression)? else {
            let keep = Block { stmts: Vec::new(), tail: Tail::Return(true) };
            return Ok(Graph { blocks: vec![keep], root: 0 });
        };
        let (mut graph, optimizable) = codegen::generate(&tree, link, order)?;
        if optimizable {
            optimize::optimize(&mut graph)?;
            if graph.blocks[graph.root as usize].tail == Tail::Return(false) {
                return Err(FilterError::RejectsAll);
            }
        }
        Ok(graph)
    }

    /// Whether the packet is kept. `packet` is what was captured, from the link-layer header; `wire_len` its length
    /// on the wire.
    #[inline]
    pub fn matches(&self, packet: &[u8], wire_len: u32) -> bool {
        self.program.run(packet, wire_len)
    }

    /// The filter as classic BPF, which a socket takes (`SO_ATTACH_FILTER`).
    pub fn to_bpf(&self) -> Vec<Instruction> {
        bpf::emit(&self.graph)
    }
}
