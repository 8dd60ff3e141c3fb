//! What a walk through a base chain finds: a verdict, the effects that follow from it, and what remains to be done for
//! each later packet of the flow.

use std::ops::{BitOr, BitOrAssign};

use smallvec::SmallVec;

use crate::dynamic::Keys;
use netfast_nft::ast::NatKind;
use netfast_nft::field::TableFamily;

/// Most rules that a program carries out for each packet, all base chains together. With more, walking is no dearer.
pub const MAX_STEPS: usize = 8;

/// Most steps for a base chain, those that only count among them: mostly a program counts for all of its packets at once.
pub const MAX_COUNTS: usize = 64;

/// A base chain of a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseId(pub u32);

/// A rule. Keeps its number across a replacement if the rule stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A counter, named or of a rule. Keeps its number like [`RuleId`]; so do the following.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId(pub u32);

/// A limit statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(pub u32);

/// A quota statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaId(pub u32);

/// A log statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// How a rejected packet is answered, for its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectWith {
    /// A TCP segment with RST (RFC 9293 section 3.10.7.1).
    TcpReset,
    /// ICMP destination unreachable with this code (RFC 792).
    Icmp(u8),
    /// ICMPv6 destination unreachable with this code (RFC 4443 section 3.1).
    Icmpv6(u8),
}

/// A translation that a rule asks for, with look-ups in maps done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatSpec {
    /// What is translated.
    pub kind: NatKind,
    /// The family that the rule names; [`TableFamily::Inet`] is the packet's.
    pub family: TableFamily,
    /// First and last new address, IPv4 mapped into IPv6; none for masquerade, redirect, and where only ports change.
    pub addresses: Option<([u8; 16], [u8; 16])>,
    /// First and last new port.
    pub ports: Option<(u16, u16)>,
    /// The port is chosen at random.
    pub random: bool,
    /// The port is chosen at random, without a start from a hash.
    pub fully_random: bool,
    /// The same client gets the same address.
    pub persistent: bool,
}

/// What a base chain says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on to the next base chain.
    Accept,
    /// It is dropped.
    Drop,
    /// It is dropped and answered.
    Reject(RejectWith),
    /// It goes on; its connection is to be translated so.
    Nat(NatSpec),
}

/// Something that a walk would change. The walk itself changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A counter counts the packet.
    Count(CounterId),
    /// The packet came to the end of the rule.
    Hit(RuleId),
    /// The packet's price is taken from a limit.
    Take(LimitId),
    /// The packet's bytes use up a quota.
    Use(QuotaId),
    /// The packet is reported.
    Log(LogId),
    /// The packet gets a mark; the facts of the walk have it already.
    Mark(u32),
    /// The connection gets a mark; the facts of the walk have it already.
    CtMark(u32),
    /// The packet shall not be tracked.
    NoTrack,
    /// The largest segment that a TCP segment with SYN announces becomes this.
    MaxSegment(u16),
    /// The packet gets this DSCP (RFC 2474 section 3); the facts of the walk have it already.
    Dscp(u8),
    /// The packet gets this hop limit; the facts of the walk have it already.
    HopLimit(u8),
    /// A statement changes an element of a set: the number of the statement, and which of the walk's keys.
    Change(u32, u32),
}

/// The effects of the walks for one packet, in order.
pub type Effects = SmallVec<[Effect; 8]>;

/// Something to do for each packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleStep {
    /// Counts the packet.
    Count(CounterId),
    /// Counts a packet that came to the end of the rule, which is not that of the base chain.
    Hit(RuleId),
    /// Carries out the rule.
    Rule(RuleId),
}

/// Why no program can stand for a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalkReason {
    /// It would have more steps than [`MAX_STEPS`] and [`MAX_COUNTS`].
    TooManySteps,
    /// A jump, goto, return or notrack depends on the packet.
    Branch,
    /// This packet's extension headers, options or fragmentation led the walk to where plain packets do not come; the
    /// walk of a plain one may do better.
    Exotic,
}

/// What remains of a base chain for later plain packets of the same flow: same direction, same connection state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Residual {
    /// The rules of this and of all later base chains have to be walked for each packet.
    Walk(WalkReason),
    /// The steps are taken in order until one ends the chain; if none does, `end` holds.
    Steps {
        /// The steps.
        steps: SmallVec<[RuleStep; MAX_STEPS]>,
        /// What the chain says behind them.
        end: Outcome,
        /// The rule that says so; none if it is the policy. No step counts its hit: count it where `end` is reached.
        rule: Option<RuleId>,
    },
}

/// Which things that may change during a flow's life a walk depended on (all rules of the chains it came through, also
/// those that it skipped).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked(pub u8);

impl Asked {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The connection's state.
    pub const CT_STATE: Self = Self(1);
    /// The connection's status bits.
    pub const CT_STATUS: Self = Self(2);
    /// The connection's mark.
    pub const CT_MARK: Self = Self(4);
    /// The packet's mark.
    pub const MARK: Self = Self(8);
    /// The routing table.
    pub const FIB: Self = Self(16);
    /// The output port.
    pub const OUT_PORT: Self = Self(32);
    /// The input port.
    pub const IN_PORT: Self = Self(64);

    /// Whether it has any of the other's bits.
    #[inline]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Asked {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Asked {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What the walks for one packet found. [`effects`](Self::effects) and [`asked`](Self::asked) gather over the base
/// chains of all hooks; the rest is the last base chain's.
#[derive(Clone, Debug)]
pub struct Walk {
    /// What the base chain says.
    pub outcome: Outcome,
    /// The rule that says so; none if it is the policy.
    pub rule: Option<RuleId>,
    /// What follows.
    pub effects: Effects,
    /// The keys of [`Effect::Change`].
    pub keys: Keys,
    /// What remains to be done for later packets.
    pub residual: Residual,
    /// What it depended on.
    pub asked: Asked,
    /// It depended on whether the packet is a TCP segment with SYN. The residual is that of other segments.
    pub opening: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            outcome: Outcome::Accept,
            rule: None,
            effects: Effects::new(),
            keys: Keys::default(),
            residual: Residual::Steps { steps: SmallVec::new(), end: Outcome::Accept, rule: None },
            asked: Asked::NONE,
            opening: false,
        }
    }
}

impl Walk {
    /// Makes it ready for the next packet.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.keys.clear();
        self.asked = Asked::NONE;
        self.opening = false;
    }
}

/// What a step says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The next step follows.
    Continue,
    /// The base chain ends; the packet goes on to the next one.
    Accept,
    /// The packet is dropped.
    Drop,
    /// The packet is dropped and answered.
    Reject(RejectWith),
}

/// Takes the reports of log statements.
pub trait LogSink {
    /// A packet came to a log statement.
    fn log(&mut self, log: LogId);
}

/// Keeps no reports.
impl LogSink for () {
    fn log(&mut self, _: LogId) {}
}

impl LogSink for Vec<LogId> {
    fn log(&mut self, log: LogId) {
        self.push(log);
    }
}
