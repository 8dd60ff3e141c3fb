//! What can be wrong with an expression, and where.
use thiserror::Error;

/// Why an expression was not compiled.
///
/// Columns count bytes from 1, so that the text under the column can be pointed at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The words do not make an expression.
    #[error("column {column}: found {found}, expected {expected}{}", display_syntax(.found))]
    Syntax {
        /// Where the word stands.
        column: usize,
        /// The word, quoted, or "the end of the expression".
        found: String,
        /// What could have stood there.
        expected: &'static str,
    },
    /// A word begins like a number or an address, but is none.
    #[error("column {column}: `{found}` is not {expected}")]
    Malformed {
        /// Where the word stands.
        column: usize,
        /// The word.
        found: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A name that no built-in table knows.
    #[error("column {column}: unknown {kind} `{name}`; {remedy}")]
    UnknownName {
        /// Where the name stands.
        column: usize,
        /// The name.
        name: String,
        /// What it was looked up as.
        kind: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A number that does not fit its field.
    #[error("column {column}: {what} {value} is greater than the maximum {max}")]
    OutOfRange {
        /// Where the primitive stands.
        column: usize,
        /// The field.
        what: &'static str,
        /// The number that was found.
        value: u32,
        /// The greatest that fits.
        max: u32,
    },
    /// A network has bits set outside its mask.
    #[error("column {column}: `{network}` has bits set beyond its mask; clear them, or use `host`")]
    HostBits {
        /// Where the network stands.
        column: usize,
        /// The network as it was written.
        network: String,
    },
    /// Qualifiers that do not go with each other or with what they qualify.
    #[error("column {column}: `{qualifier}` does not go with {subject}; {remedy}")]
    Qualifier {
        /// Where the qualified word stands.
        column: usize,
        /// The qualifier.
        qualifier: &'static str,
        /// What it was applied to.
        subject: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// The primitive means nothing on this link type.
    #[error("column {column}: {what} is not possible on link type {link}")]
    LinkType {
        /// Where the primitive stands.
        column: usize,
        /// The primitive.
        what: &'static str,
        /// The link type's LINKTYPE_ number at that point of the expression (PPP inside PPPoE, for example).
        link: u16,
    },
    /// Filters are not compiled for this link type.
    #[error("filters are not supported on link type {link}")]
    UnsupportedLinkType {
        /// The LINKTYPE_ number.
        link: u16,
    },
    /// A primitive of pcap-filter(7) that is not built in.
    #[error("column {column}: `{primitive}` is not supported; {remedy}")]
    NotSupported {
        /// Where the primitive stands.
        column: usize,
        /// Its keyword.
        primitive: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A constant divisor is zero.
    #[error("column {column}: division by zero")]
    DivisionByZero {
        /// Where the relation stands.
        column: usize,
    },
    /// A constant shift is beyond 31 bits.
    #[error("column {column}: shift by more than 31 bits")]
    ShiftTooFar {
        /// Where the relation stands.
        column: usize,
    },
    /// A load is not of 1, 2 or 4 bytes.
    #[error("column {column}: {size} bytes cannot be loaded; use 1, 2 or 4")]
    LoadSize {
        /// Where the load stands.
        column: usize,
        /// The size that was asked for.
        size: u32,
    },
    /// An arithmetic expression needs more than the 16 words of scratch memory.
    #[error("column {column}: too many intermediate values; split the expression")]
    OutOfRegisters {
        /// Where the relation stands.
        column: usize,
    },
    /// Too many parentheses, brackets, negations or operators within each other.
    #[error("column {column}: nested deeper than {limit}")]
    TooDeep {
        /// Where the limit was passed.
        column: usize,
        /// The limit.
        limit: usize,
    },
    /// The text is too long.
    #[error("the expression has {length} bytes, more than {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The program would have too many tests.
    #[error("the expression needs more than {limit} tests; split it")]
    TooComplex {
        /// The limit.
        limit: usize,
    },
    /// No packet can match; tcpdump says "expression rejects all packets".
    #[error("the expression rejects all packets on this link type")]
    RejectsAll,
}

/// A hint for those who wrote what Wireshark's display filters take.
fn display_syntax(found: &str) -> &'static str {
    const HINT: &str = "; this looks like a display filter of Wireshark: capture filters say `tcp port 80` for \
                        `tcp.port == 80`, `src host A` for `ip.src == A`";
    let word = found.trim_matches('`');
    let named = word.split_once('.').is_some_and(|(name, field)| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && field.starts_with(|c: char| c.is_ascii_lowercase())
    });
    if named || matches!(word, "==" | "eq" | "ne" | "contains" | "matches") { HINT } else { "" }
}

impl FilterError {
    /// True when the expression may be fine on another link type.
    pub fn is_of_link_type(&self) -> bool {
        matches!(self, Self::LinkType { .. } | Self::UnsupportedLinkType { .. } | Self::RejectsAll)
    }

    /// The column (bytes from 1) that the error points at, when it points at one.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Syntax { column, .. }
            | Self::Malformed { column, .. }
            | Self::UnknownName { column, .. }
            | Self::OutOfRange { column, .. }
            | Self::HostBits { column, .. }
            | Self::Qualifier { column, .. }
            | Self::LinkType { column, .. }
            | Self::NotSupported { column, .. }
            | Self::DivisionByZero { column }
            | Self::ShiftTooFar { column }
            | Self::LoadSize { column, .. }
            | Self::OutOfRegisters { column }
            | Self::TooDeep { column, .. } => Some(*column),
            Self::UnsupportedLinkType { .. }
            | Self::TooLong { .. }
            | Self::TooComplex { .. }
            | Self::RejectsAll => None,
        }
    }
}
