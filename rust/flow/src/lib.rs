//! Flows: two-way keys, the bucketed table, TCP state, ageing in packet time, flow records.
//!
//! The order of work on a [`FlowMeter`]: [`FlowMeter::push`] a vector of packets, then drain
//! [`FlowMeter::take_ended`]; at the end of the input [`FlowMeter::finish`], then drain again.
#![forbid(unsafe_code)]

mod budget;
pub mod cache;
mod clock;
mod community;
pub mod conntrack;
mod endpoints;
mod entry;
mod index;
mod key;
mod meter;
mod record;
mod statistics;

pub use budget::FlowBudget;
pub use clock::{ClockCounts, Observed, PacketClock, Seen};
pub use community::{CommunityId, community_id};
pub use endpoints::Endpoints;
pub use entry::{EndReason, FlowState};
pub use key::{Direction, FlowKey, FlowPacket, NoFlow, Upper, fragment_key};
pub use meter::{FlowConfig, FlowCounts, FlowError, FlowMeter};
pub use record::{Endpoint, FlowRecord};
pub use statistics::{FlowStatistics, Moments};
