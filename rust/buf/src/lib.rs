//! Packet memory: blocks and their pool, the scatterlist packet, batches.
#![forbid(unsafe_code)]

mod block;

pub use block::{Block, BlockMut, BlockPool};
