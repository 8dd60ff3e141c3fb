//! Input and output: capture files (read in pooled blocks, written), live ports ([`device`]),
//! and sending that does not wait (`transmit`).
#![deny(unsafe_op_in_unsafe_fn)]

pub mod capture;
#[cfg(unix)]
pub mod device;
mod error;
#[cfg(target_os = "linux")]
pub mod event_loop;
#[cfg(target_os = "linux")]
pub mod transmit;

pub use error::{BlockFault, Error, FirstBytes, Looks};
