//! Overlaps: the pieces of one datagram or stream that have come so far, and who wins where two of them claim a byte.
//!
//! The engine knows no protocol: a piece is a range of `u32` positions and the number of its owner. It serves IP
//! fragments (positions within the datagram) and TCP segments (positions relative to the first byte expected).
//!
//! # Outcomes
//!
//! The relation is that of the new piece to a piece that is there, by Allen's thirteen relations between intervals. What is
//! there is looked at as it is **now**: a piece that lost its beginning to another one begins later, as it does in the systems
//! that the policies come from. A new piece that meets several old ones is decided against each by itself.
//!
//! | new to old | drop | linux | bsd | windows | first | last |
//! |---|---|---|---|---|---|---|
//! | before | both | both | both | both | both | both |
//! | meets | both | both | both | both | both | both |
//! | overlaps (begins before, ends inside) | conflict | conflict | new | old | old | new |
//! | starts (same begin, ends inside) | conflict | ignored | old | old | old | new |
//! | during (inside) | conflict | ignored | old | old | old | new |
//! | finishes (begins inside, same end) | conflict | ignored | old | old | old | new |
//! | equals | ignored | ignored | old | old | old | new |
//! | finished by (begins before, same end) | conflict | conflict | new | old | old | new |
//! | contains (begins before, ends after) | conflict | conflict | new | new | old | new |
//! | started by (same begin, ends after) | conflict | conflict | old | old | old | new |
//! | overlapped by (begins inside, ends after) | conflict | conflict | old | old | old | new |
//! | met by | both | both | both | both | both | both |
//! | after | both | both | both | both | both | both |
//!
//! *both*: no byte is claimed twice. *conflict*: the whole datagram ends. *ignored*: the new piece is a duplicate. *old*, *new*:
//! the bytes that both claim are that piece's; the rest of the other one stays.
//!
//! - **drop** is RFC 8200 4.5 and RFC 5722 with the exception that they allow, exact duplicates.
//! - **linux** is Linux from 5.1 on (and older stable kernels that the changes were brought to), both families: pieces that
//!   came in order at the end form a run, and what lies within one run is a duplicate even if no single piece equals it;
//!   every other overlap ends the datagram. Linux keeps no tombstone: with one, what still comes of the datagram is dropped, too,
//!   as RFC 5722 asks. In older kernels it was as *bsd*, but the new piece won where both began together.
//! - **bsd** (BSD-left): what begins first keeps its bytes, and what came first where both begin together.
//! - **windows**: what came first keeps its bytes, unless the new piece begins before it and ends after it.
//! - **first**, **last**: what came first, or last, has the bytes.
//!
//! The last four are the classes of Shankar and Paxson, "Active Mapping" (2003), as Novak, "Target-Based Fragmentation
//! Reassembly" (2005), observed them in systems. They are for analysis: they tell what a given host will have seen.
mod set;

pub use set::{Inserted, IntervalSet, Part, Piece};

use std::fmt;

/// Who wins where two pieces claim the same bytes; the [table](self) has it for each relation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverlapPolicy {
    /// An overlap that is no exact duplicate ends the datagram (RFC 8200 4.5, RFC 5722).
    #[default]
    Drop,
    /// As Linux from 5.1 on.
    Linux,
    /// What begins first wins; at the same begin, what came first.
    Bsd,
    /// What came first wins, unless the new piece begins before it and ends after it.
    Windows,
    /// What came first wins.
    First,
    /// What came last wins.
    Last,
}

impl OverlapPolicy {
    /// Every policy.
    pub const ALL: [Self; 6] = [Self::Drop, Self::Linux, Self::Bsd, Self::Windows, Self::First, Self::Last];

    /// The name in options and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Linux => "linux",
            Self::Bsd => "bsd",
            Self::Windows => "windows",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    /// The policy of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Whether overlaps end the datagram; the other policies resolve them.
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::Drop | Self::Linux)
    }

    /// Of two pieces that overlap, whether the new one has the bytes that both claim. For policies that resolve.
    const fn new_wins(self, new: (u32, u32), old: (u32, u32)) -> bool {
        match self {
            Self::Drop | Self::Linux | Self::First => false,
            Self::Bsd => new.0 < old.0,
            Self::Windows => new.0 < old.0 && new.1 > old.1,
            Self::Last => true,
        }
    }
}

impl fmt::Display for OverlapPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
