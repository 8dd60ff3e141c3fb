//! Rule sets, compiled and evaluated. What one says is [`netfast_nft::ast`].
#![forbid(unsafe_code)]

mod classes;
mod compile;
pub mod dynamic;
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
