//! Fragments of IP datagrams: reassembly, identification, fragmentation.
#![forbid(unsafe_code)]

mod chain;
mod config;
mod key;
mod outcome;
pub mod overlap;
mod packet;
mod pairs;
mod reason;
mod reassembly;
mod slab;
mod sources;
mod table;
mod verify;

pub use config::ReassemblyConfig;
pub use key::FragmentKey;
pub use outcome::{Dropped, Event, EventKind, Expired, Outcome, Reassembled, ReassemblyCounters};
pub use overlap::OverlapPolicy;
pub use packet::MAX_TAGS;
pub use reason::FragmentReason;
pub use reassembly::{DATAGRAM_BYTES, FRAGMENT_BYTES, LARGE_BLOCK, MAX_NESTED, Reassembler};
pub use table::{FragmentConfig, FragmentCounts, FragmentTable};
