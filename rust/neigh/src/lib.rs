//! Neighbours: which link address a next hop has, and bounded queues of packets that wait for one to be told.
//!
//! Entries are static: whoever owns the table sets them. It knows no clock, sends nothing and resolves nothing by itself:
//! [`Neighbours::hold`] says which neighbour is asked for, [`Neighbours::set`] gives back what waited for it, and
//! [`Neighbours::poll_expired`] what waited too long.
//!
//! | Limit of [`NeighbourConfig`] | What happens there | Counter |
//! |---|---|---|
//! | `max_entries` | a new entry is refused, the table stays as it is | [`Counters::refused`] |
//! | `queue_packets`, `queue_bytes` | the packets that wait longest for that neighbour give way | [`Counters::queue_full`] |
//! | `max_pending` | the neighbour that is waited for longest gives way, with its packets | [`Counters::displaced`] |
//! | `pending_timeout` | the neighbour's packets are given back | [`Counters::expired`] |
//!
//! No packet is lost: each that was held is given back, with the reason, or counted by [`Neighbours::holding`].
#![forbid(unsafe_code)]

mod pending;
mod table;

pub use pending::{Expired, Released, Unresolved};
pub use table::{Counters, Entry, Mac, NeighError, NeighbourConfig, Neighbours};

#[cfg(test)]
mod tests;
