//! Rule sets as data: what the text and the JSON say, resolved to numbers.
//!
//! Whoever wrote the rules as text, as JSON or as objects, the result is the same tree. Every value is an unsigned
//! number in network order, at most 128 bits wide, and every comparison is against inclusive intervals of such numbers:
//! IPv4 addresses have 32 bits, Ethernet addresses 48, interface names are their 16 bytes padded with zeros, so that
//! `eth*` is an interval too. What `nft` adds silently (`tcp dport 22` also asks for the protocol) stands in the tree
//! as a match of its own that is marked `implicit`.
use std::sync::Arc;

use smallvec::SmallVec;

use crate::field::{DataType, Field, TableFamily};

/// All tables of a rule set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesetAst {
    /// Tables in the order of their declaration; family and name are unique together.
    pub tables: Vec<Table>,
    /// Names of the texts that `include` has brought in, by [`Span::file`] less 1. They are no part of what a rule set
    /// means.
    pub included: Included,
}

/// Names of included texts. All lists of them are equal.
#[derive(Debug, Clone, Default)]
pub struct Included(pub Vec<Arc<str>>);

impl PartialEq for Included {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Included {}

/// A table: a name space of chains, sets, maps and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which packets its chains see.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// Named counters.
    pub counters: Vec<CounterObject>,
    /// Named limits.
    pub limits: Vec<Object<Limit>>,
    /// Named quotas.
    pub quotas: Vec<Object<Quota>>,
    /// Flow tables.
    pub flowtables: Vec<Flowtable>,
    /// Named sets and maps; they share one name space.
    pub sets: Vec<Set>,
    /// Chains in the order of their declaration.
    pub chains: Vec<Chain>,
    /// Where it was declared first.
    pub span: Span,
}

/// A place in the text. It is no part of what a rule set means: all spans are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// Line, from 1; 0 if the rule set did not come from text.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Which text: 0 is the one that was read, others are those of [`RulesetAst::included`], from 1.
    pub file: u16,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique within its table.
    pub name: String,
    /// Where packets enter it; none for chains that are only jumped to.
    pub base: Option<Base>,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// It stands within the one rule that jumps to it (`jump { … }`), and its name was given here.
    pub anonymous: bool,
    /// Where it was declared first.
    pub span: Span,
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// `type`.
    pub kind: ChainKind,
    /// `hook`.
    pub hook: Hook,
    /// `priority`: lower ones come first.
    pub priority: i32,
    /// What becomes of packets that reach its end.
    pub policy: Policy,
}

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of a connection; may translate.
    Nat,
    /// Sees what the node sends itself; routes it again if the mark or header changed.
    Route,
}

/// A place in the way of a packet at which base chains hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// For the node itself.
    Input,
    /// On the way through.
    Forward,
    /// From the node itself.
    Output,
    /// After the routing decision, before the port.
    Postrouting,
}

/// What a base chain does at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The packet goes on to the next chain.
    Accept,
    /// The packet is dropped.
    Drop,
}

/// A rule: statements that are carried out from left to right until a match fails or a verdict is reached.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Its statements, implicit matches included.
    pub statements: Vec<Statement>,
    /// Where each statement stood; as many as statements.
    pub spans: Vec<Span>,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// The handle that the kernel gave it, if the rule came from there.
    pub handle: Option<u64>,
    /// Where it stood.
    pub span: Span,
    /// Its text as it was written; as it would be printed, if it came from JSON.
    pub text: String,
}

/// Rules are equal if they mean the same: the spelling, the place and the handle do not count.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.statements == other.statements && self.comment == other.comment
    }
}

impl Eq for Rule {}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Goes on only if the packet matches.
    Match(Match),
    /// `key vmap { … }`: the verdict of the element that holds the key; goes on if there is none.
    Vmap(Lookup),
    /// Counts the packets that get here.
    Counter(Counter),
    /// Goes on only while within (or, with `over`, beyond) the rate.
    Limit(Limit),
    /// The same with the named limit of the same table, which all that name it share.
    NamedLimit(String),
    /// Goes on only until (or, with `over`, after) so many bytes have passed.
    Quota(Quota),
    /// The same with the named quota of the same table.
    NamedQuota(String),
    /// Reports the packet.
    Log(Log),
    /// `meta mark set`.
    SetMark(MarkValue),
    /// `ct mark set`.
    SetCtMark(MarkValue),
    /// `tcp option maxseg size set`.
    SetMaxSegment(MaxSegment),
    /// `ip dscp set`, `ip ttl set`, and those of IPv6: the field and its value.
    SetField(Field, u8),
    /// Puts an element into a set, or takes it out.
    Dynamic(Dynamic),
    /// `notrack`.
    NoTrack,
    /// `flow add`: the flow may take the short way. Here every flow does, so it changes nothing.
    FlowAdd(String),
    /// `meta nftrace set`: asks for a trace, which here is told to whoever asks for it.
    NfTrace(bool),
    /// accept, drop, jump, goto, return, continue.
    Verdict(Verdict),
    /// Drops the packet and answers it.
    Reject(RejectKind),
    /// Translates addresses or ports, and accepts.
    Nat(Nat),
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What is compared.
    pub key: Key,
    /// How.
    pub operator: Operator,
    /// With what.
    pub rhs: Rhs,
    /// It follows from another match or statement of the rule and is not printed.
    pub implicit: bool,
}

/// What is looked at: one field, perhaps masked, or several fields at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The fields; more than one is a concatenation (`ip saddr . tcp dport`). Never empty.
    pub fields: SmallVec<[Field; 2]>,
    /// Bits of the field that are looked at (`tcp flags & (syn | ack)`); only with one field.
    pub mask: Option<u128>,
}

/// How key and right-hand side are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Equal to the value, within the range, or in the set.
    Equal,
    /// The contrary of `Equal`. A field that the packet has not makes both fail.
    NotEqual,
    /// Below the value.
    Less,
    /// Not above the value.
    LessOrEqual,
    /// Above the value.
    Greater,
    /// Not below the value.
    GreaterOrEqual,
    /// Has any of the value's bits: `ct state new,established`, `tcp flags syn`.
    AnyBit,
    /// Has none of the value's bits: `ct state ! new`, `tcp flags ! syn`. (`!= syn` is `NotEqual`: other than that bit alone.)
    NoBit,
}

/// What a key is compared with. Only `Equal` and `NotEqual` take anything but a `Value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhs {
    /// One number.
    Value(u128),
    /// A range, a prefix or a name with `*` at its end. One interval for each field of the key.
    Range(Element),
    /// An anonymous set.
    Anonymous(Vec<SetElement>),
    /// The named set of the same table.
    Named(String),
}

/// Inclusive interval of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// Lowest value.
    pub low: u128,
    /// Highest value; not below `low`.
    pub high: u128,
}

impl Interval {
    /// The interval that holds one value.
    #[must_use]
    pub const fn single(value: u128) -> Self {
        Self { low: value, high: value }
    }

    /// Whether it holds one value only.
    #[must_use]
    pub const fn is_single(self) -> bool {
        self.low == self.high
    }

    /// Whether the value is within.
    #[must_use]
    pub const fn contains(self, value: u128) -> bool {
        self.low <= value && value <= self.high
    }
}

/// One interval for each field of a key, in the order of the fields.
pub type Element = SmallVec<[Interval; 1]>;

/// An element of a set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetElement {
    /// What it matches.
    pub key: Element,
    /// What a map gives for it; none in sets.
    pub data: Option<Data>,
    /// `timeout`: how long it stays, in milliseconds from when the rules are loaded; none if the set decides.
    pub timeout: Option<u64>,
    /// `comment "…"`.
    pub comment: Option<Box<str>>,
}

/// What an element of a map stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// In verdict maps.
    Verdict(Verdict),
    /// In data maps: an address, a port, a mark, or an address and a port. Ranges only where NAT takes them.
    Values(Element),
}

/// A look-up in a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// What is looked up.
    pub key: Key,
    /// Where.
    pub map: MapSource,
}

/// Where a look-up finds its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapSource {
    /// An anonymous map; all its elements have data.
    Anonymous(Vec<SetElement>),
    /// The named map of the same table.
    Named(String),
}

/// A named set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name, unique among the sets and maps of its table.
    pub name: String,
    /// What its elements are made of.
    pub key: KeyType,
    /// What its elements stand for; none for sets.
    pub data: Option<DataOf>,
    /// `flags constant`.
    pub constant: bool,
    /// `flags interval`: elements may be ranges and prefixes.
    pub interval: bool,
    /// `flags dynamic`: rules put elements into it.
    pub dynamic: bool,
    /// `flags timeout`: elements may have a time after which they go.
    pub expires: bool,
    /// `timeout`: how long elements stay that say nothing else, in milliseconds.
    pub timeout: Option<u64>,
    /// `gc-interval`: how often Linux looks for elements that are over, in milliseconds. They match nothing before
    /// that, too.
    pub gc_interval: Option<u64>,
    /// `auto-merge`: overlapping elements were merged.
    pub auto_merge: bool,
    /// `size`: most elements it may have.
    pub size: Option<u32>,
    /// `comment "…"`.
    pub comment: Option<String>,
    /// Its elements: unique, intervals do not overlap (in concatenations they may).
    pub elements: Vec<SetElement>,
    /// It belongs to a `meter`, which is written in its place.
    pub meter: bool,
    /// Where it was declared first.
    pub span: Span,
}

/// The type of a set's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyType {
    /// `type ipv4_addr . inet_service`.
    Types(SmallVec<[DataType; 2]>),
    /// `typeof ip saddr . tcp dport`.
    TypeOf(SmallVec<[Field; 2]>),
}

impl KeyType {
    /// The types, however they were told.
    #[must_use]
    pub fn data_types(&self) -> SmallVec<[DataType; 2]> {
        match self {
            Self::Types(types) => types.clone(),
            Self::TypeOf(fields) => fields.iter().map(|field| field.data_type()).collect(),
        }
    }
}

/// The type of what a map gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataOf {
    /// `: verdict`.
    Verdict,
    /// `: ipv4_addr . inet_service`.
    Values {
        /// The types.
        key: KeyType,
        /// `: interval ipv4_addr`: values may be ranges.
        interval: bool,
    },
}

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
    /// A counter.
    Counter,
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
