//! A capture becomes columns, and flow records: threads, pools of column memory, Arrow, rows of text.
#![forbid(unsafe_code)]

mod arrow;
mod columns;
mod copy;
mod error;
mod flow_columns;
mod flows;
mod info;
mod input;
mod place;
mod reassembly;
mod rows;
mod schema;
mod select;
mod threads;
mod tunnel;

pub use arrow::{AddressForm, flow_batch, packet_batch};
pub use columns::{ColumnPool, Columns, PacketReader, ReadOptions, SharedColumns};
pub use copy::{Copied, Copier, CopyFormat};
pub use error::Error;
pub use flow_columns::FlowColumns;
pub use flows::{FlowCounters, FlowFeeder, FlowOptions, FlowReader, Step};
pub use info::{CaptureInfo, DamageInfo, InterfaceInfo, LinkInfo, Scan, SectionInfo};
pub use input::{Damaged, Damages, Gauge, Input, InputOptions};
pub use place::{NetworkPlace, may_be_fragment, network_place};
pub use reassembly::{ReassembleOptions, ReassemblyGauge};
pub use rows::{FlowRow, PacketRow, TextFormat, TextWriter, json_flows};
pub use schema::{FLOW_COLUMNS, PACKET_COLUMNS, STATISTICS_COLUMNS, flow_schema, packet_schema};
pub use select::Unfiltered;
