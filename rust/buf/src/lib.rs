#![forbid(unsafe_code)]
//! Scatterlist packets, block pool, batches.
