//! Headers as views and as values, from one table.
//!
//! - A view ([`network::Ipv6`] and its like) borrows checked bytes; its accessors cannot fail.
//! - A [`Header`] owns its bytes and knows which fields were left to emission.
//! - A [`Stack`] of headers and a payload is emitted as one packet: lengths, chaining, padding and checksums are
//!   filled in wherever the caller did not set them.
//! - [`describe`] lists every field of a header with its place and its meaning; [`examine`] says what is wrong with a
//!   packet.
//!
//! What a header consists of is said once, in the three tables: names, places, defaults and explanations of the views,
//! of the values, of the trees and of the Python classes come from there.
mod bits;
mod chain;
mod describe;
mod examine;
mod layout;
mod malformed;
pub mod names;
mod option_data;
mod option_tables;
pub mod options;
mod quote;
mod radiotap;
mod spec;
mod stack;
mod tables;
mod tables_link;
mod tables_network;
mod tables_transport;
#[cfg(test)]
mod tests;
mod value;

pub use bits::{bits, read_number};
pub use chain::{ethertype, protocol};
pub(crate) use layout::dot11_len;

pub use describe::{Described, describe, mac_text, option_text, value_text};
pub use examine::{Dissection, Finding, examine};
pub use options::{Opt, OptionSpace, OptionValue};
pub use quote::{Quote, quote};
pub use spec::{FieldSpec, FieldType, HeaderError, HeaderSpec, Position, Value, ValueName, field_index};
pub use stack::{Stack, Trailer, extents};
pub use tables::{link, network, transport};
pub use value::{Header, read};

use crate::HeaderKind;

/// The table of a kind of header.
#[must_use]
pub fn spec(kind: HeaderKind) -> &'static HeaderSpec {
    let payload = || tables::transport::lookup(HeaderKind::Payload);
    tables::link::lookup(kind)
        .or_else(|| tables::network::lookup(kind))
        .or_else(|| tables::transport::lookup(kind))
        .or_else(payload)
        .expect("the payload has a table")
}
