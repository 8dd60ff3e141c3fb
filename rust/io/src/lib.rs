//! Files: capture reading in pooled blocks, capture writing.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod capture;
mod error;

pub use error::{BlockFault, Error, FirstBytes, Looks};
