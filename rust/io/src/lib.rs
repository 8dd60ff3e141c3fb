//! Input and output: capture files (read in pooled blocks, written), and live ports ([`device`]).
#![deny(unsafe_op_in_unsafe_fn)]

pub mod capture;
#[cfg(unix)]
pub mod device;
mod error;
#[cfg(target_os = "linux")]
pub mod event_loop;

pub use error::{BlockFault, Error, FirstBytes, Looks};
