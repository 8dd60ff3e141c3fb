//! What rules can ask about a packet.
//!
//! The caller fills [`Facts`] at a hook; the rules read it. Addresses and ports are those after the translations that
//! were done so far, so they stand in fields of their own: the bytes in [`Facts::l3`] may still be the untranslated ones.

use std::fmt;

/// The family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The state of a packet's connection, with the bit that `ct state` compares (nft(8), CONNTRACK EXPRESSIONS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CtState {
    /// Not to be attributed to a connection, or seen before connections are looked up (priority below -200).
    Invalid = 1,
    /// Of a connection that has seen packets both ways.
    Established = 2,
    /// Begins a connection, or reports an error, that an existing one announced.
    Related = 4,
    /// Begins a connection.
    New = 8,
    /// Told by `notrack` not to be tracked.
    Untracked = 64,
}

impl CtState {
    /// All states, in the order of their bits.
    pub const ALL: [Self; 5] = [Self::Invalid, Self::Established, Self::Related, Self::New, Self::Untracked];

    /// The bit that `ct state` compares.
    #[inline]
    pub const fn bit(self) -> u32 {
        self as u32
    }
}

/// The direction of a packet within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CtDirection {
    /// That of the packet that began the connection.
    Original = 0,
    /// The answer's.
    Reply = 1,
}

/// The bits that `ct status` compares.
pub mod ct_status {
    /// The connection was announced by another one.
    pub const EXPECTED: u32 = 1 << 0;
    /// Packets were seen both ways.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// Never dropped early.
    pub const ASSURED: u32 = 1 << 2;
    /// Entered into the table.
    pub const CONFIRMED: u32 = 1 << 3;
    /// The source of the original direction is translated.
    pub const SNAT: u32 = 1 << 4;
    /// The destination of the original direction is translated.
    pub const DNAT: u32 = 1 << 5;
    /// Being removed.
    pub const DYING: u32 = 1 << 9;
}

/// One direction's addresses and ports, as `ct original` and `ct reply` tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtTuple {
    /// Source address, an IPv4 one mapped into IPv6 (RFC 4291 section 2.5.5.2).
    pub source: [u8; 16],
    /// Destination address, mapped likewise.
    pub destination: [u8; 16],
    /// Source port, or the ICMP identifier.
    pub source_port: u16,
    /// Destination port; for ICMP the type in the high and the code in the low byte.
    pub destination_port: u16,
    /// Upper-layer protocol number.
    pub protocol: u8,
}

/// Tells the tuples of a packet's connection when a rule asks for them.
pub trait Tuples {
    /// The tuple of a direction.
    fn tuple(&self, direction: CtDirection) -> CtTuple;
}

impl Tuples for [CtTuple; 2] {
    fn tuple(&self, direction: CtDirection) -> CtTuple {
        self[direction as usize]
    }
}

/// What rules can ask about the connection of a packet.
#[derive(Clone, Copy)]
pub struct Connection<'a> {
    /// The packet's direction.
    pub direction: CtDirection,
    /// Bits of [`ct_status`].
    pub status: u32,
    /// The connection's mark.
    pub mark: u32,
    /// What is left until it expires, in milliseconds.
    pub expiration: u32,
    /// Of TCP: its state is ESTABLISHED behind this packet (RFC 9293 section 3.3.2).
    pub established: bool,
    /// Both directions' addresses.
    pub tuples: &'a dyn Tuples,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("direction", &self.direction)
            .field("status", &format_args!("{:#x}", self.status))
            .field("mark", &self.mark)
            .field("expiration", &self.expiration)
            .field("original", &self.tuples.tuple(CtDirection::Original))
            .field("reply", &self.tuples.tuple(CtDirection::Reply))
            .finish()
    }
}

/// Whom a packet was sent to on its link, with the number that `meta pkttype` compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// This node's link address.
    #[default]
    Host = 0,
    /// The broadcast address.
    Broadcast = 1,
    /// A group's address.
    Multicast = 2,
    /// Another node's address.
    Other = 3,
}

/// What a `fib` expression looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibLookup {
    /// Family of the address.
    pub family: Family,
    /// The address to look up, an IPv4 one mapped.
    pub address: [u8; 16],
    /// The other address of the packet: the source of the look-up where policy rules want one.
    pub other: [u8; 16],
    /// The mark, if the expression names it.
    pub mark: Option<u32>,
    /// The input port, if the expression names it: only routes through it count.
    pub in_port: Option<u32>,
    /// The output port, if the expression names it.
    pub out_port: Option<u32>,
}

/// The type of an address in the routing table, with Linux's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // The names are rtnetlink's.
pub enum AddressType {
    Unspec = 0,
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Anycast = 4,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
}

/// The routing table, as `fib` expressions see it. Answers must be the same for all packets of a flow as long as the
/// routes are.
pub trait Fib {
    /// The port that a packet to the address would leave by; `None` without a route.
    fn out_port(&self, query: &FibLookup) -> Option<u32>;
    /// The type of the address.
    fn address_type(&self, query: &FibLookup) -> AddressType;
    /// The longest packet, in bytes from the IP header on, that the route to the address takes; `None` without a route.
    fn path_mtu(&self, _: &FibLookup) -> Option<u32> {
        None
    }
}

/// A routing table without routes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFib;

impl Fib for NoFib {
    fn out_port(&self, _: &FibLookup) -> Option<u32> {
        None
    }

    fn address_type(&self, _: &FibLookup) -> AddressType {
        AddressType::Unspec
    }
}

/// What rules can ask about a packet at a hook.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Family of the packet.
    pub family: Family,
    /// Source address as of now, an IPv4 one mapped into IPv6.
    pub source: [u8; 16],
    /// Destination address as of now, mapped likewise.
    pub destination: [u8; 16],
    /// Upper-layer protocol number, behind the extension headers.
    pub protocol: u8,
    /// Source and destination port of TCP, UDP, UDP-Lite, SCTP, DCCP as of now; `None` where there are none or they are
    /// not in the bytes.
    pub ports: Option<(u16, u16)>,
    /// Type and code of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// A fragment other than the first: its bytes behind the IP header are no upper-layer header.
    pub fragment: bool,
    /// Input port; none for packets of this node's own.
    pub in_port: Option<u32>,
    /// Output port, once routed.
    pub out_port: Option<u32>,
    /// State of the packet's connection.
    pub ct_state: CtState,
    /// The connection; `None` for invalid and untracked packets and before it is looked up.
    pub connection: Option<Connection<'a>>,
    /// The packet's mark; `meta mark set` changes it.
    pub mark: u32,
    /// Whether each packet of the flow has this mark here. A walk keeps it up to date; hand it from one hook's walk to
    /// the next, begin with `true`.
    pub mark_known: bool,
    /// The same for the connection's mark.
    pub ct_mark_known: bool,
    /// Whom the frame was sent to.
    pub packet_type: PacketType,
    /// The Ethernet header: destination, source, type.
    pub ethernet: Option<&'a [u8; 14]>,
    /// Bytes from the IP header on, as far as they stand in the first segment.
    pub l3: &'a [u8],
    /// Length of the packet from the IP header on, in bytes.
    pub l3_length: u32,
    /// Where the upper-layer header begins, from the IP header's start.
    pub l4_offset: u16,
    /// The largest segment that rules have made the packet announce; `None` while it is that of the bytes. A walk keeps
    /// it up to date.
    pub max_segment: Option<u16>,
    /// The DSCP that rules have given the packet; `None` while it is that of the bytes.
    pub dscp: Option<u8>,
    /// Hop limit or time to live at this hook.
    pub hop_limit_now: u8,
    /// Answers `fib` expressions.
    pub fib: &'a dyn Fib,
    /// The node sent it to itself, and it is at `prerouting` now: there `fib` finds a port for each address (nft_fib).
    pub comes_back: bool,
}

impl Facts<'_> {
    /// A packet without anything: for tests and as a base for struct update.
    pub const EMPTY: Facts<'static> = Facts {
        family: Family::Ipv4,
        source: [0; 16],
        destination: [0; 16],
        protocol: 0,
        ports: None,
        icmp: None,
        fragment: false,
        in_port: None,
        out_port: None,
        ct_state: CtState::Invalid,
        connection: None,
        mark: 0,
        mark_known: true,
        ct_mark_known: true,
        packet_type: PacketType::Host,
        ethernet: None,
        l3: &[],
        l3_length: 0,
        l4_offset: 0,
        max_segment: None,
        dscp: None,
        hop_limit_now: 0,
        fib: &NoFib,
        comes_back: false,
    };
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |bytes: [u8; 16]| std::net::Ipv6Addr::from(bytes).to_canonical();
        f.debug_struct("Facts")
            .field("source", &address(self.source))
            .field("destination", &address(self.destination))
            .field("protocol", &self.protocol)
            .field("ports", &self.ports)
            .field("icmp", &self.icmp)
            .field("fragment", &self.fragment)
            .field("in_port", &self.in_port)
            .field("out_port", &self.out_port)
            .field("ct_state", &self.ct_state)
            .field("connection", &self.connection)
            .field("mark", &self.mark)
            .field("l3_length", &self.l3_length)
            .field("l4_offset", &self.l4_offset)
            .field("hop_limit_now", &self.hop_limit_now)
            .field("l3", &self.l3)
            .finish_non_exhaustive()
    }
}
