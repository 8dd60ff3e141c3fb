//! Headers on the wire: one-pass dissection, header views and values, checksums.
#![forbid(unsafe_code)]

pub mod kind;
pub mod link;

pub use kind::HeaderKind;
pub use link::LinkType;
