//! The node: routes, rules, connections and translations in one lookup.
//!
//! [`Node`] composes the engines below it. The first packet of a flow walks the tables ([`Node::push`] does that
//! inside), what was decided becomes one entry of the flow cache with a program, and every later packet, both ways, takes
//! one lookup. `docs/design/datapath.md` has the decisions behind it.
#![forbid(unsafe_code)]

mod chains;
mod change;
mod commit;
mod conclude;
mod config;
mod counters;
mod decide;
mod emit;
mod error;
mod event;
mod fast;
mod first;
mod fragments;
mod hit;
mod ingress;
mod inspect;
mod known;
mod link;
mod nat;
mod node;
mod offload;
mod outputs;
mod own;
mod partition;
mod port;
mod program;
mod reason;
mod reassemble;
mod rewrite;
mod route;
mod ruleset;
mod steps;
mod subject;
mod tap;
mod trace;
mod track;
mod tracking;
mod verify;

pub use config::{HookPolicy, NodeConfig, Reassembly, Tracking};
pub use counters::{CacheCounters, Counters};
pub use decide::HookVerdict;
pub use error::NodeError;
pub use event::{EndReason, Event};
pub use fast::HookVerdicts;
pub use inspect::{ConnectionInfo, NewFlow};
pub use link::DiscoveryCounters;
pub use node::Node;
pub use outputs::Outputs;
pub use port::{Mac, NO_PORT, PortConfig, PortCounts, PortId, RpFilter};
pub use reason::{DropCounts, DropReason};
pub use tap::{TapKind, Tapped};
pub use trace::{Known, Trace, TraceStep};
pub use tracking::asks_for_connection;
pub use verify::Difference;
