//! Rule sets: a subset of nft(8), compiled and evaluated.
//!
//! [`ast`] is what a rule set says; it comes from text or from libnftables JSON and can be printed again.
#![forbid(unsafe_code)]

pub mod ast;
pub mod field;

pub mod facts;
pub mod outcome;
pub mod state;
