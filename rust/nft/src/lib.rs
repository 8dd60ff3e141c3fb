//! The language of rule sets: a subset of nft(8).
//!
//! [`ast`] is what a rule set says; it comes from text ([`parse`]) or from libnftables JSON ([`parse_json`]) and can be
//! printed again. [`findings()`] are doubts about it. What compiles and evaluates it knows nothing of text.
#![forbid(unsafe_code)]

pub mod ast;
mod check;
mod context;
mod elements;
mod error;
pub mod field;
mod findings;
mod include;
mod json;
mod lexer;
pub mod names;
mod nearest;
mod parser;
mod print;
mod reserved;

pub use error::{LanguageError, Problem, Thing};
pub use findings::{Doubt, Finding, check, check_including, findings};
pub use include::{Includes, MAX_INCLUDE_DEPTH, MAX_INCLUDES, NoIncludes, Text};
pub use json::{Unsupported, parse_json};
pub use parser::{
    MAX_ALL_ELEMENTS, MAX_CHAINS, MAX_ELEMENTS, MAX_ERRORS, MAX_NAMED, MAX_RULE_ELEMENTS, MAX_RULES,
    MAX_TEXT, parse, parse_including,
};
