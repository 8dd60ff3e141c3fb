//! Headers on the wire: one-pass dissection, header views and values, checksums.
#![forbid(unsafe_code)]

pub mod link;

pub use link::LinkType;
