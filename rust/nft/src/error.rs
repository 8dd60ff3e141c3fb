//! What can be wrong with the text of a rule set.
use std::sync::Arc;

use thiserror::Error;

use crate::ast::{ChainKind, Hook, Span};
use crate::field::DataType;
use crate::names;
use crate::nearest::nearest;

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
    #[error("found {found}, expected {expected}{}", meant(*.nearest))]
    Unexpected {
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
        /// The word that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The text ends within a block.
    #[error("found the end of the file, expected `}}` at the end of {what} (opened at line {opened})")]
    Unclosed {
        /// The block.
        what: &'static str,
        /// The line of its `{`.
        opened: u32,
    },
    /// nft has it, this subset has not.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// As it is written.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// A value that its type does not know by name.
    #[error("unknown {} `{name}`: {}", names::kind(*.of), hint(*.nearest, || names::choice(*.of, .name)))]
    UnknownValue {
        /// The type.
        of: DataType,
        /// As it is written.
        name: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A type of elements that there is not.
    #[error("unknown type `{name}`: {}", hint(*.nearest, || one_of(names::data_types())))]
    UnknownType {
        /// As it is written.
        name: String,
        /// The type that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A field that the header does not have.
    #[error("`{header}` has no field `{name}`: {}", hint(*.nearest, || one_of(names::fields(header))))]
    UnknownField {
        /// The header's keyword.
        header: String,
        /// As it is written.
        name: String,
        /// The field that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value or name that cannot be here.
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
    /// A text that `include` could not bring in.
    #[error("`{name}` cannot be included: {remedy}")]
    NotIncluded {
        /// As it is written.
        name: String,
        /// What to do.
        remedy: String,
    },
    /// Something that may be used only where its declaration is known.
    #[error("{kind} `{name}` is not declared here: {}", hint(.nearest.as_deref(), || kind.declare(name)))]
    Undeclared {
        /// What it is.
        kind: Thing,
        /// Its name.
        name: String,
        /// The declared name that was probably meant.
        nearest: Option<String>,
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
        "in tables of family inet the address needs its family: write `{statement} ip to` or `{statement} ip6 to`, or match the family before"
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
    #[error(
        "{statement} is possible only in chains {places}; this one is reached from chain `{chain}` of type {} at {}",
        kind.keyword(),
        hook.keyword()
    )]
    WrongPlace {
        /// The statement.
        statement: &'static str,
        /// Where it is possible.
        places: &'static str,
        /// The base chain from which it is reached.
        chain: String,
        /// Its type.
        kind: ChainKind,
        /// Its hook.
        hook: Hook,
    },
    /// A type of chain that does not exist at its hook.
    #[error("type {} is possible only at {places}; this chain's hook is {}", kind.keyword(), hook.keyword())]
    WrongHook {
        /// The type.
        kind: ChainKind,
        /// The hooks at which it exists.
        places: &'static str,
        /// The chain's.
        hook: Hook,
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

/// What may have been meant, behind what was expected.
fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// What may have been meant, or else what to do.
fn hint(nearest: Option<&str>, remedy: impl FnOnce() -> String) -> String {
    nearest.map_or_else(remedy, |nearest| format!("did you mean `{nearest}`?"))
}

fn one_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    format!("use one of {}", names.collect::<Vec<_>>().join(", "))
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
    /// `limit`.
    #[error("limit")]
    Limit,
    /// `quota`.
    #[error("quota")]
    Quota,
    /// `flowtable`.
    #[error("flow table")]
    Flowtable,
}

impl Problem {
    /// Something that is not among those that are declared.
    pub(crate) fn undeclared<'n>(kind: Thing, name: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        let nearest = nearest(name, known).map(str::to_owned);
        Self::Undeclared { kind, name: name.to_owned(), nearest }
    }
}

impl Thing {
    fn declare(self, name: &str) -> String {
        match self {
            Self::Variable => format!("declare it before, with `define {name} = ...`"),
            Self::Table => format!("declare it before, with `table {name} {{ }}` and its family"),
            Self::Chain
            | Self::Set
            | Self::Map
            | Self::Counter
            | Self::Limit
            | Self::Quota
            | Self::Flowtable => "declare it before, in the same table".to_owned(),
        }
    }
}
