//! Packet memory: blocks and their pool, the scatterlist packet, batches.
//!
//! Payload bytes are not copied between a port and a port: a packet ([`Skb`]) is a list of pieces of blocks that it
//! keeps alive, headers are pushed into headroom or into a new first piece, and only the headers of a packet that is
//! changed are copied. Whatever is copied is counted in the [`PacketPool`] that the caller hands to each operation
//! that may copy.
#![forbid(unsafe_code)]

mod batch;
mod block;
mod carve;
mod edit;
mod hot;
mod join;
mod pool;
mod rest;
mod segment;
mod skb;

pub use batch::{BATCH_PACKETS, PacketBatch, SHORT_SLICE};
pub use block::{Block, BlockMut, BlockPool};
pub use carve::HEADER_ROOM;
pub use hot::{ChecksumState, Direction, GsoFlags, GsoType, HotLine, Offsets};
pub use pool::{CopyCounter, POOL_BLOCKS, POOL_LISTS, PacketPool};
pub use skb::{BufError, HEADROOM, MAX_SEGMENTS, Skb};
