//! What can be wrong with the text of a rule set.
use std::sync::Arc;

use thiserror::Error;

use crate::ast::Span;

/// An error in the text of a rule set, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{}:{}: {problem}", span.line, span.column)]
pub struct LanguageError {
    /// The name of the file, as it was given.
    pub file: Arc<str>,
    /// Where.
    pub span: Span,
    /// What.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Something else was expected.
    #[error("found {found}, expected {expected}")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
    /// nft has it, this subset has not.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// As it is written.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// A value that its type does not know.
    #[error("unknown {of} `{name}`: {remedy}")]
    UnknownName {
        /// What it should be.
        of: &'static str,
        /// As it is written.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A number that its field cannot hold.
    #[error("{value} is too large for {of}: the largest value is {max}")]
    TooLarge {
        /// The number.
        value: u128,
        /// What it is for.
        of: &'static str,
        /// The largest.
        max: u128,
    },
    /// A number that has to be at least 1.
    #[error("{of} cannot be 0: give at least 1")]
    Zero {
        /// What it is for.
        of: &'static str,
    },
    /// A range whose end is below its begin.
    #[error("the range's end is below its begin: exchange them")]
    BackwardRange,
    /// Something that may be used only where its declaration is known.
    #[error("{kind} `{name}` is not declared here: declare it before, in the same table")]
    Undeclared {
        /// What it is.
        kind: Thing,
        /// Its name.
        name: String,
    },
    /// A second declaration.
    #[error("{kind} `{name}` exists already: choose another name or remove one of them")]
    Duplicate {
        /// What it is.
        kind: Thing,
        /// Its name.
        name: String,
    },
    /// Two parts of a rule, or a rule and its table, exclude each other.
    #[error("{later} excludes {earlier}: no packet has both; use two rules")]
    Conflict {
        /// What was said before.
        earlier: &'static str,
        /// What was said then.
        later: &'static str,
    },
    /// A statement behind one that ends the rule.
    #[error("nothing can follow a verdict: put this statement before it")]
    AfterVerdict,
    /// Ports where the protocol is not known to have any.
    #[error("ports need a match of the protocol before: e.g. `meta l4proto {{ tcp, udp }}` or `tcp dport …`")]
    NeedsTransport,
    /// An address where its family is not known.
    #[error(
        "in tables of family inet the address needs its family: write `{statement} ip to` or `{statement} ip6 to`"
    )]
    NeedsFamily {
        /// The statement.
        statement: &'static str,
    },
    /// Set and use do not fit together.
    #[error("`{name}` holds {holds}, {wanted} is needed")]
    TypeMismatch {
        /// The set or map.
        name: String,
        /// What it is declared with.
        holds: String,
        /// What the use asks for.
        wanted: String,
    },
    /// Elements that cannot be together in one set or map.
    #[error("elements overlap: {remedy}")]
    Overlap {
        /// What to do.
        remedy: &'static str,
    },
    /// A statement that this place in the packet's way does not have.
    #[error("{statement} is possible only in chains {places}; this one is reached from `{chain}`")]
    WrongPlace {
        /// The statement.
        statement: &'static str,
        /// Where it is possible.
        places: &'static str,
        /// The base chain from which it is reached.
        chain: String,
    },
    /// Chains that call each other.
    #[error("chain `{chain}` is reached from itself: break the circle of jumps")]
    Loop {
        /// One of them.
        chain: String,
    },
    /// Chains that call each other too deeply.
    #[error("jumps from base chain `{chain}` are nested more than {limit} deep: flatten them")]
    TooDeep {
        /// The base chain.
        chain: String,
        /// The limit.
        limit: usize,
    },
    /// More than a limit allows.
    #[error("more than {limit} {what}: {remedy}")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A name or text that is too long.
    #[error("{what} is longer than {limit} bytes: shorten it")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The same thing told twice.
    #[error("{what} is told twice: remove one of them")]
    Twice {
        /// What.
        what: &'static str,
    },
    /// A part that is missing.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Text that is no JSON, or no JSON of libnftables.
    #[error("not the JSON of `nft -j list ruleset`: {expected} expected")]
    Json {
        /// What should be there.
        expected: &'static str,
    },
}

/// Things with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Thing {
    /// `define`.
    #[error("variable")]
    Variable,
    /// `table`.
    #[error("table")]
    Table,
    /// `chain`.
    #[error("chain")]
    Chain,
    /// `set`.
    #[error("set")]
    Set,
    /// `map`.
    #[error("map")]
    Map,
    /// `counter`.
    #[error("counter")]
    Counter,
}
