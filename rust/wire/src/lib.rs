//! Headers on the wire: one-pass dissection, header views and values, checksums.
#![forbid(unsafe_code)]

pub mod checksum;
pub mod dissect;
pub mod header;
pub mod kind;
mod layers;
pub mod link;
pub mod quick;
pub mod router;

pub use dissect::{Frame, Visit, dissect, dissect_inner, dissect_innermost};
pub use kind::HeaderKind;
pub use layers::{Checksum, Inner, InnerKind, Layers, Limits, Present, Verdict, address};
pub use link::LinkType;
pub use quick::{Quick, quick, quick_ip};
