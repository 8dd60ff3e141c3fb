//! Rule sets: a subset of nft(8), compiled and evaluated.
//!
//! [`ast`] is what a rule set says; it comes from text or from libnftables JSON and can be printed again.
#![forbid(unsafe_code)]

pub mod ast;
mod check;
mod context;
mod elements;
mod error;
pub mod field;
mod findings;
mod json;
mod lexer;
pub mod names;
mod nearest;
mod parser;
mod print;
mod reserved;

pub use error::{LanguageError, Problem, Thing};
pub use findings::{Doubt, Finding, check, findings};
pub use json::{Unsupported, parse_json};
pub use parser::{MAX_ELEMENTS, MAX_ERRORS, MAX_RULES, MAX_TEXT, parse};

mod classes;
mod compile;
mod evaluate;
pub mod facts;
mod index;
mod op;
pub mod outcome;
mod ruleset;
mod sets;
pub mod state;

pub use classes::Classes;
pub use compile::{CompileError, MAX_JUMPS};
pub use evaluate::{NoTracer, Tracer};
pub use op::BaseChain;
pub use ruleset::{LogInfo, NamedCounter, RuleInfo, Ruleset, RulesetLimits};
