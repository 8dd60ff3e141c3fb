//! The forwarding information base of one node: routing tables, policy rules, next-hop groups.
//!
//! [`Fib::resolve`] answers what becomes of a packet, with everything that led there. Changes come in through
//! [`Fib::add_route`], [`Fib::add_rule`], [`Fib::set_port`] and their like; each is checked as a whole before anything
//! changes, raises [`Fib::generation`] and queues what it touched for [`Fib::take_changes`].
//!
//! Semantics are those of Linux: tables by number, rules by priority, the lowest metric of a prefix wins. RFC 8950
//! (IPv4 through IPv6 gateways) is included; multicast routes are not.
#![forbid(unsafe_code)]

mod arrays;
mod change;
mod error;
mod fib;
mod findings;
mod group;
mod prefix;
mod resolve;
mod route;
mod rule;
mod table;
mod trie;
mod via;

pub use change::Change;
pub use error::FibError;
pub use fib::{Fib, FibConfig, FibCounts, FibMemory};
pub use findings::Finding;
pub use group::{Group, GroupId, Hop, HopId};
pub use prefix::{Family, Prefix};
pub use resolve::{Matched, Outcome, Query, Resolution, ReversePath, ReversePathMode};
pub use route::{NextHop, PortId, Route, RouteId, RouteKey, RouteKind, TableId, Unresolved};

pub use rule::{Rule, RuleAction};
pub use table::RouteEntry;
