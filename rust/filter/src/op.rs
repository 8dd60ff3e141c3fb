//! Compiled rules.

use crate::dynamic::Life;
use crate::index::Index;
use crate::outcome::{Asked, CounterId, LimitId, LogId, QuotaId, RuleId};
use crate::sets::SetTable;
use netfast_nft::ast::{ChainKind, Element, Hook, Interval, MaxSegment, NatKind, Policy, RejectKind};
use netfast_nft::field::{Field, TableFamily};

/// Stands for "no port" where ports are compared.
pub(crate) const NO_PORT: u32 = u32::MAX;

/// What a key's values hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Every packet of a flow.
    Flow,
    /// Every plain packet of a flow: the key reads what plain packets do not have.
    Plain,
    /// This packet.
    Packet,
}

impl Scope {
    pub fn of(field: Field) -> Self {
        match field {
            Field::IpSource
            | Field::IpDestination
            | Field::Ip6Source
            | Field::Ip6Destination
            | Field::IpProtocol
            | Field::SourcePort(_)
            | Field::DestinationPort(_)
            | Field::Iif
            | Field::Oif
            | Field::IifName
            | Field::OifName
            | Field::L4Proto
            | Field::NfProto
            | Field::Protocol
            | Field::Mark
            | Field::CtState
            | Field::CtDirection
            | Field::CtStatus
            | Field::CtMark
            | Field::CtTuple(..)
            | Field::SocketUser
            | Field::SocketGroup
            | Field::ControlGroup
            | Field::IifGroup
            | Field::OifGroup
            | Field::Fib(_) => Self::Flow,
            Field::IpVersion
            | Field::IpHeaderLength
            | Field::Ip6Version
            | Field::Ip6NextHeader
            | Field::ExtensionHeaderExists(_)
            | Field::FragNextHeader
            | Field::FragOffset
            | Field::FragMoreFragments
            | Field::FragId
            | Field::RtNextHeader
            | Field::RtHeaderLength
            | Field::RtType
            | Field::RtSegmentsLeft => Self::Plain,
            _ => Self::Packet,
        }
    }
}

/// One of the two marks, as a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Slot {
    Packet = 1,
    Connection = 2,
}

/// What is read from a packet.
#[derive(Clone, Debug)]
pub(crate) enum Fields {
    One { field: Field, mask: u128 },
    Many(Box<[Field]>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub fields: Fields,
    pub scope: Scope,
    /// Which marks it reads, as bits of [`Slot`].
    pub marks: u8,
}

impl Key {
    pub fn new(fields: &[Field], mask: Option<u128>) -> Self {
        let marks = fields.iter().map(|field| marks_read(*field)).fold(0, |all, one| all | one);
        let scope = fields.iter().map(|field| Scope::of(*field)).max().unwrap_or(Scope::Packet);
        let fields = match fields {
            [field] => Fields::One { field: *field, mask: mask.unwrap_or(u128::MAX) },
            _ => Fields::Many(fields.into()),
        };
        Self { fields, scope, marks }
    }

    pub fn fields(&self) -> &[Field] {
        match &self.fields {
            Fields::One { field, .. } => std::slice::from_ref(field),
            Fields::Many(fields) => fields,
        }
    }
}

fn marks_read(field: Field) -> u8 {
    match field {
        Field::Mark => Slot::Packet as u8,
        Field::CtMark => Slot::Connection as u8,
        Field::Fib(query) if query.mark => Slot::Packet as u8,
        _ => 0,
    }
}

/// What a field's look depends on that may change while the flow lives.
pub(crate) fn asks(field: Field) -> Asked {
    match field {
        Field::CtState => Asked::CT_STATE,
        Field::CtStatus => Asked::CT_STATUS,
        Field::CtMark => Asked::CT_MARK,
        Field::Mark => Asked::MARK,
        Field::Iif | Field::IifName | Field::IifGroup => Asked::IN_PORT,
        Field::Oif | Field::OifName | Field::OifGroup => Asked::OUT_PORT,
        Field::Fib(query) => {
            let mark = if query.mark { Asked::MARK } else { Asked::NONE };
            let iif = if query.iif { Asked::IN_PORT } else { Asked::NONE };
            let oif = if query.oif { Asked::OUT_PORT } else { Asked::NONE };
            Asked::FIB | mark | iif | oif
        }
        _ => Asked::NONE,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    Equal(u128),
    Within(Interval),
    AnyBit(u128),
    /// Index of a set.
    In(u32),
    Never,
}

#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub key: Key,
    pub test: Test,
    /// The contrary holds.
    pub negate: bool,
    /// It holds for no TCP segment without SYN.
    pub opening: bool,
}

/// A look-up in a map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub key: Key,
    /// Index of a set with data.
    pub set: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Continue,
    Return,
    /// To the chain of that index.
    Jump(u32),
    Goto(u32),
}

impl Verdict {
    /// Whether the walk goes on elsewhere.
    pub fn branches(self) -> bool {
        matches!(self, Self::Return | Self::Jump(_) | Self::Goto(_))
    }
}

#[derive(Clone, Debug)]
pub(crate) enum MapData {
    Verdict(Verdict),
    Values(Element),
}

#[derive(Debug)]
pub(crate) struct Set {
    pub table: SetTable,
    /// By the number of the element.
    pub data: Box<[MapData]>,
    /// Some verdict branches.
    pub branches: bool,
    pub life: Life,
}

#[derive(Clone, Debug)]
pub(crate) enum MarkValue {
    Constant(u32),
    Computed { from: Slot, and: u32, xor: u32 },
    Map(Map),
}

#[derive(Clone, Debug)]
pub(crate) enum NatValue {
    Range(Interval),
    Map(Map),
}

#[derive(Clone, Debug)]
pub(crate) struct Nat {
    pub kind: NatKind,
    pub family: TableFamily,
    pub address: Option<NatValue>,
    pub port: Option<NatValue>,
    pub random: bool,
    pub fully_random: bool,
    pub persistent: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Match(Match),
    Count(CounterId),
    Limit(LimitId, bool),
    Quota(QuotaId, bool),
    Log(LogId),
    SetMark(Slot, MarkValue),
    NoTrack,
    MaxSegment(MaxSegment),
    SetField(Field, u8),
    FlowAdd,
    /// The number of the statement, and the element.
    Change(u32, Key),
    Vmap(Map),
    Verdict(Verdict),
    Reject(RejectKind),
    Nat(Box<Nat>),
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub id: RuleId,
    /// One for each statement.
    pub ops: Box<[Op]>,
}

#[derive(Debug)]
pub(crate) struct Chain {
    pub rules: Box<[Rule]>,
    pub asked: Asked,
    pub index: Option<Index>,
}

/// A base chain: where packets enter the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// Family of its table.
    pub family: TableFamily,
    /// Name of its table.
    pub table: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What kind of chain it is.
    pub kind: ChainKind,
    /// Where it hangs.
    pub hook: Hook,
    /// Lower ones come first.
    pub priority: i32,
    /// What becomes of packets that reach its end.
    pub policy: Policy,
    /// Tells whether two base chains of the same [`BaseId`](crate::outcome::BaseId), before and after a replacement,
    /// are the same in all that can be reached from them: rules with their numbers, sets, ports.
    pub fingerprint: u64,
    pub(crate) chain: u32,
}
