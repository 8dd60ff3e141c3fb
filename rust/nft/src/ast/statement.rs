//! What statements and the objects that they name consist of.
use super::{Interval, Key, Lookup, Span};
use crate::field::TableFamily;

/// A named counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterObject {
    /// Its name, unique among the table's counters.
    pub name: String,
    /// Packets it begins with.
    pub packets: u64,
    /// Bytes it begins with.
    pub bytes: u64,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// Where it was declared.
    pub span: Span,
}

/// A named limit or quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T> {
    /// Its name, unique among the table's of this kind.
    pub name: String,
    /// What it is.
    pub value: T,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// Where it was declared.
    pub span: Span,
}

/// A flow table: which ports have the short way. Here all have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flowtable {
    /// Its name, unique among the table's flow tables.
    pub name: String,
    /// `hook ingress priority`.
    pub priority: i32,
    /// `devices`.
    pub devices: Vec<String>,
    /// `flags offload`.
    pub offload: bool,
    /// `counter`.
    pub counter: bool,
    /// Where it was declared.
    pub span: Span,
}

/// What a TCP segment's maximum segment size is lowered to (RFC 9293 section 3.7.1); it is never raised. Segments
/// without SYN have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaxSegment {
    /// That many bytes.
    Constant(u16),
    /// `rt mtu`: what fits the MTU of the routes to both ends.
    RouteMtu,
}

/// A statement that changes a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dynamic {
    /// What it does.
    pub operation: SetOperation,
    /// The named set of the same table.
    pub set: String,
    /// The element.
    pub key: Key,
    /// How long the element stays, in milliseconds; none if the set decides.
    pub timeout: Option<u64>,
    /// What each element has of its own: the rule goes on only as far as these do.
    pub each: Vec<ElementStatement>,
    /// `meter`: the set is written with the statement.
    pub meter: bool,
}

/// What a statement does to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOperation {
    /// Adds the element if it is not there; the rule ends if there is no room.
    Add,
    /// Likewise, and the element's time begins anew.
    Update,
    /// Takes the element out.
    Delete,
}

/// A statement that each element of a set has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementStatement {
    /// A counter, which begins for each element at these values.
    Counter {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// A limit.
    Limit(Limit),
    /// A quota.
    Quota(Quota),
}

/// A counter in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counter {
    /// The rule's own, with the values it begins with.
    Anonymous {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// The named counter of the same table.
    Named(String),
}

/// A rate limit, as a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `over`: matches what exceeds the rate.
    pub over: bool,
    /// Packets or bytes in each period; not 0.
    pub rate: u64,
    /// What is counted.
    pub unit: LimitUnit,
    /// The period.
    pub per: Period,
    /// Packets or bytes that may come at once: in packets 5 unless told, in bytes 0 unless told.
    pub burst: u32,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitUnit {
    /// Packets.
    Packets,
    /// Bytes of the packet from the IP header on.
    Bytes,
}

/// The period of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
    /// 604,800 s.
    Week,
}

impl Period {
    /// How long it is, in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }
}

/// A quota of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// `over`: matches once the quota is used up; otherwise matches until then.
    pub over: bool,
    /// The quota, in bytes.
    pub bytes: u64,
    /// Bytes already used at the start.
    pub used: u64,
}

/// A log statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// `prefix "…"`, at most 127 bytes.
    pub prefix: Option<String>,
    /// `level`; with neither level nor group it is `warn`.
    pub level: Option<LogLevel>,
    /// `group`.
    pub group: Option<u16>,
    /// `snaplen`: bytes of the packet that Linux hands to the group.
    pub snaplen: Option<u32>,
    /// `queue-threshold`: packets that Linux hands to the group at once.
    pub queue_threshold: Option<u16>,
    /// `flags`: what else Linux writes into a line. Events carry all of it.
    pub flags: LogFlags,
}

/// Flags of log statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct LogFlags(pub u8);

impl LogFlags {
    /// `tcp sequence`.
    pub const TCP_SEQUENCE: Self = Self(1);
    /// `tcp options`.
    pub const TCP_OPTIONS: Self = Self(2);
    /// `ip options`.
    pub const IP_OPTIONS: Self = Self(4);
    /// `skuid`.
    pub const SKUID: Self = Self(8);
    /// `ether`.
    pub const ETHER: Self = Self(0x20);
    /// `all`.
    pub const ALL: Self = Self(0x2f);

    /// Whether it has all of the other's.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Levels of syslog (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0.
    Emerg,
    /// 1.
    Alert,
    /// 2.
    Crit,
    /// 3.
    Err,
    /// 4.
    Warn,
    /// 5.
    Notice,
    /// 6.
    Info,
    /// 7.
    Debug,
    /// To the audit log, as Linux has one; alone.
    Audit,
}

/// What a mark is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkValue {
    /// A number.
    Constant(u32),
    /// `(from & and) ^ xor`; all of `a and b`, `a or b`, `a xor b` have this form.
    Computed {
        /// The mark it is made from.
        from: MarkSource,
        /// Bits that are kept.
        and: u32,
        /// Bits that are then turned.
        xor: u32,
    },
    /// What a map gives; if it gives nothing the rule ends.
    Map(Lookup),
}

/// Where a mark is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkSource {
    /// `meta mark`.
    Packet,
    /// `ct mark`; the rule ends if the packet has no connection.
    Connection,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Ends the base chain; later chains of the hook still see the packet.
    Accept,
    /// Ends everything.
    Drop,
    /// Goes on with the next rule.
    Continue,
    /// Goes back to behind the last jump; at the base chain's level its policy holds.
    Return,
    /// Goes to the chain and comes back.
    Jump(String),
    /// Goes to the chain; its end is the end of the one it was called from.
    Goto(String),
}

/// How a rejected packet is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectKind {
    /// `tcp reset`.
    TcpReset,
    /// `icmp`: destination unreachable with this code (RFC 792).
    Icmp(u8),
    /// `icmpv6`: destination unreachable with this code (RFC 4443 section 3.1).
    Icmp6(u8),
    /// `icmpx`: whichever the packet's family has.
    IcmpX(IcmpX),
}

/// Reasons for a rejection that both families have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IcmpX {
    /// ICMP 3/0, ICMPv6 1/0.
    NoRoute,
    /// ICMP 3/3, ICMPv6 1/4. What `reject` alone means.
    PortUnreachable,
    /// ICMP 3/1, ICMPv6 1/3.
    HostUnreachable,
    /// ICMP 3/13, ICMPv6 1/1.
    AdminProhibited,
}

/// A translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nat {
    /// What is translated.
    pub kind: NatKind,
    /// Which packets: always `Ip` or `Ip6` for snat and dnat with an address; `Inet` is both. A packet of the other
    /// family goes on with the next rule.
    pub family: TableFamily,
    /// The new address; none for masquerade and redirect, and where only ports are translated. A map whose data are
    /// concatenations gives the port, too.
    pub address: Option<NatValue>,
    /// The new port.
    pub port: Option<NatValue>,
    /// `random`: the port is chosen at random.
    pub random: bool,
    /// `fully-random`.
    pub fully_random: bool,
    /// `persistent`: the same client gets the same address.
    pub persistent: bool,
}

/// Kinds of translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Source.
    Snat,
    /// Destination.
    Dnat,
    /// Source, to the address of the port the packet leaves from.
    Masquerade,
    /// Destination, to the node itself.
    Redirect,
}

/// An address or a port to translate to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatValue {
    /// One, or any of a range.
    Range(Interval),
    /// What a map gives; if it gives nothing the rule ends.
    Map(Lookup),
}
