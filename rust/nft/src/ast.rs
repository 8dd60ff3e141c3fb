//! Rule sets as data: what the text and the JSON say, resolved to numbers.
//!
//! Whoever wrote the rules as text, as JSON or as objects, the result is the same tree. Every value is an unsigned
//! number in network order, at most 128 bits wide, and every comparison is against inclusive intervals of such numbers:
//! IPv4 addresses have 32 bits, Ethernet addresses 48, interface names are their 16 bytes padded with zeros, so that
//! `eth*` is an interval too. What `nft` adds silently (`tcp dport 22` also asks for the protocol) stands in the tree
//! as a match of its own that is marked `implicit`.
mod statement;

use std::sync::Arc;

use smallvec::SmallVec;

pub use statement::*;

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
