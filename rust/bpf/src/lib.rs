#![forbid(unsafe_code)]
//! Packet filters: the expressions of pcap-filter(7), as people know them from tcpdump.
//!
//! A filter keeps the frames that `tcpdump -r FILE EXPRESSION` keeps, truncated and damaged ones included: an
//! expression is compiled to the same classic BPF program (as libpcap 1.10.3 compiles it; see [`Filter::to_bpf`]), and
//! that program is run by a flat evaluator that does not allocate.
//!
//! ```
//! use netfast_bpf::Filter;
//!
//! let filter = Filter::compile("tcp port 443 or icmp6", 1)?; // 1 is Ethernet
//! let arp = [0xff; 60];
//! assert!(!filter.matches(&arp, 60));
//!
//! let error = Filter::compile("tcp prt 80", 1).unwrap_err();
//! assert_eq!(error.column(), Some(5));
//! # Ok::<(), netfast_bpf::FilterError>(())
//! ```
//!
//! # Link types
//! Ethernet (1), raw IP (101, also 12 and 14, 228, 229), BSD loopback (0, 108), Linux cooked (113, 276), PPP (9, 50),
//! PPPoE (51), 802.11 (105) and 802.11 with radiotap (127). A capture with several link types needs a filter for each.
//!
//! # Primitives
//! | primitive | what it tests |
//! |---|---|
//! | `[ip\|ip6\|arp\|rarp] [dir] host A`, `[dir] net N`, `net N/len`, `net N mask M` | IPv4 and IPv6 addresses, also those within ARP and RARP |
//! | `[tcp\|udp\|sctp] [dir] port P`, `portrange P-P` | ports, as numbers or well-known names; not in later fragments |
//! | `ether [dir] host MAC`, `ether [dir] MAC`; `wlan ra`, `ta`, `addr1` to `addr4` | link-layer addresses |
//! | `ip\|ip6\|ether\|iso\|isis proto P`, `proto P` | the protocol carried; names that are keywords are written `\tcp` |
//! | `ip\|ip6 protochain P`, `protochain P` | the same, following extension headers |
//! | `ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim ah esp vrrp carp` | the protocol |
//! | `atalk aarp decnet lat sca moprc mopdl iso clnp esis isis l1 l2 iih lsp snp csnp psnp stp ipx netbeui` | the protocol |
//! | `decnet [dir] host AREA.NODE` | DECnet addresses |
//! | `[ether\|ip] broadcast`, `[ether\|ip\|ip6] multicast` | destinations |
//! | `vlan [id]`, `mpls [label]`, `pppoed`, `pppoes [id]`, `geneve [vni]` | tunnels; what follows in the text (even behind `or`) tests the inner packet |
//! | `llc [type]`, `type T [subtype S]`, `subtype S`, `dir D` | LLC and 802.11 frames |
//! | `inbound`, `outbound`, `ifindex N` | what Linux cooked captures record |
//! | `less N`, `greater N`, `byte N op V` | lengths and bytes |
//! | `expr op expr` with `proto[expr:size]`, `len`, `+ - * / % & \| ^ << >>` | arithmetic; named constants such as `tcpflags`, `tcp-syn`, `icmp6-echo` |
//! | `and && or \|\| not ! ( )` | `and` and `or` have the same rank; a bare word inherits qualifiers (`port 80 or 443`) |
//!
//! `dir` is `src`, `dst`, `src or dst`, `src and dst`.
//!
//! # Quirks that are kept
//! * A load beyond the captured bytes drops the packet, also under `not`.
//! * `ip6 proto` and `tcp` look behind a fragment header that comes first, and behind no other extension header.
//! * `host 10.1` is 10.1.0.0/16; `ip broadcast` knows 0.0.0.0 and 255.255.255.255 only, because a capture has no netmask.
//! * `1 + tcp[0] = 5` does not ask for TCP, since the check of a right operand is lost; `^` and `%` take all that
//!   follows as their right operand; `x & 0xffffffff != 0` always holds.
//!
//! # Known differences
//! * Names of hosts and networks are not looked up, except `localhost` (127.0.0.1; `ip6 host localhost` is ::1) and the
//!   networks `loopback` and `link-local`. `gateway` and `ether host NAME` need such names, so they are refused.
//! * Names of ports and protocols are those of IANA's registries, whatever the machine's `/etc/services` has.
//! * Loops in a packet's headers end `protochain` with "not kept"; tcpdump hangs on them.
//! * The words of ATM, SS7 and pf logs (`vpi`, `lane`, `sio`, `opc`, `ifname`, `rnr`, …) are refused, as tcpdump refuses
//!   them on the link types above.
//! * Expressions of more than 64 KiB, of more than 65,536 tests, or nested deeper than 128 are refused. Beyond 4,000
//!   tests (some 330 hosts) tests keep the order of the text, which may decide differently on truncated packets,
//!   and an expression that no packet can match is not refused.
//! * Link type 14 is raw IP here; tcpdump on Linux does not read it.
//! * Scratch memory begins as zeros; where tcpdump's program reads it unset (802.11 with `geneve` or `pppoes`), what
//!   tcpdump keeps is by chance.
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
