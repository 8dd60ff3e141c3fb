//! Neighbours: which link address a next hop has, how sure that is, and bounded queues of packets that wait for one.
//!
//! [`Neighbours`] is the table of RFC 4861 7.3 for IPv6 and for IPv4, whose ARP (RFC 826) it treats as Linux does. It knows no
//! clock and sends nothing: `handle_*` takes what neighbours said, [`Neighbours::hold`] packets for those that are not known,
//! [`Neighbours::poll`] says whom to ask and who did not answer. [`Arp`] and [`Discovery`] are the messages, checked as RFC
//! 4861 7.1 and Linux want them.
//!
//! Neighbours that were [set](Neighbours::set) stay as they are whatever others say.
//!
//! | Limit of [`NeighbourConfig`] | What happens there | Counter |
//! |---|---|---|
//! | `max_entries` | the neighbour that is stale for longest gives way; where all are reachable, in use or set, the new one is refused | [`Counters::stale_displaced`], [`Counters::refused`] |
//! | `queue_packets`, `queue_bytes` | the packets that wait longest for that neighbour give way | [`Counters::queue_full`] |
//! | `max_pending` | neighbours that did not answer are forgotten, then the one that is waited for longest, with its packets | [`Counters::displaced`] |
//! | `pending_timeout` | the neighbour has failed, its packets are given back | [`Counters::expired`] |
//! | `stale_timeout` | above `keep` known neighbours a stale one is forgotten | [`Counters::stale_removed`] |
//!
//! So a scan of addresses takes 256 places that are not those of known neighbours, and one from many addresses those of
//! neighbours that nobody talks to.
//!
//! No packet is lost: each that was held is given back, with the reason, or counted by [`Neighbours::holding`].
#![forbid(unsafe_code)]

mod arp;
mod config;
mod discovery;
mod entry;
mod index;
mod list;
mod machine;
mod message;
mod pending;
mod table;

pub use arp::{ARP_LENGTH, Arp, ArpOperation};
pub use config::{Counters, NeighError, NeighbourConfig};
pub use discovery::{
    Advertisement, DISCOVERY_LENGTH, Discovery, Solicitation, group_mac, solicited_node, write_advertisement,
    write_solicitation,
};
pub use entry::{Entry, Mac, State};
pub use machine::{Advertised, Change, Due, Update};
pub use message::MessageError;
pub use pending::{Expired, Released, Unresolved};
pub use table::Neighbours;

#[cfg(test)]
mod tests;
