//! What can be wrong with a change.
use crate::{Family, PortId, Prefix, RouteKey, TableId};
use std::net::IpAddr;

/// Why a change was refused; nothing has changed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FibError {
    /// The text is no prefix.
    #[error("prefix {text:?}: expected ADDRESS/LENGTH, as in 192.0.2.0/24 or 2001:db8::/32")]
    PrefixText {
        /// The text, cut to 80 characters.
        text: String,
    },
    /// A prefix longer than the family's addresses.
    #[error("prefix length {length}: {family} prefixes have at most {} bits", family.bits())]
    PrefixLength {
        /// The length asked for.
        length: u32,
        /// The family.
        family: Family,
    },
    /// Bits behind the prefix are set.
    #[error("prefix {address}/{length}: host bits are set; write {prefix}, or {address}/{} for the address", prefix.family().bits())]
    HostBits {
        /// The address as given.
        address: IpAddr,
        /// The length as given.
        length: u8,
        /// The prefix that contains it.
        prefix: Prefix,
    },
    /// There is a route with this table, prefix and metric.
    #[error("route {key}: exists already; replace it, or choose another metric")]
    RouteExists {
        /// The route.
        key: RouteKey,
    },
    /// There is no route with this table, prefix and metric.
    #[error("route {key}: no such route; the key is prefix, table and metric together")]
    NoSuchRoute {
        /// The route.
        key: RouteKey,
    },
    /// A unicast route needs a next hop.
    #[error(
        "route {key}: a unicast route needs at least one next hop; for none say unreachable or blackhole"
    )]
    NoHops {
        /// The route.
        key: RouteKey,
    },
    /// A next hop of weight 0.
    #[error("route {key}: next hop {index} has weight 0; give 1 to 65535, or leave the hop out")]
    ZeroWeight {
        /// The route.
        key: RouteKey,
        /// Which of its hops, from 0.
        index: usize,
    },
    /// A next hop that is neither a port nor a gateway.
    #[error("route {key}: next hop {index} names neither port nor gateway; give at least one")]
    EmptyHop {
        /// The route.
        key: RouteKey,
        /// Which of its hops, from 0.
        index: usize,
    },
    /// Only a unicast route can take more hops.
    #[error("route {key}: it has no next hops that could be added to; replace the route")]
    NotMultipath {
        /// The route that is there.
        key: RouteKey,
    },
    /// An address that does not fit the route's family.
    #[error("route {key}: {address} does not fit an {} route (only IPv4 routes may use gateways of the other family, RFC 8950)", key.prefix.family())]
    FamilyMismatch {
        /// The route.
        key: RouteKey,
        /// Its gateway or preferred source.
        address: IpAddr,
    },
    /// A gateway that no packet can be sent to.
    #[error(
        "route {key}: gateway {gateway} is no unicast address of a neighbour; name the router's own address"
    )]
    BadGateway {
        /// The route.
        key: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
    },
    /// The gateway is an address of this node.
    #[error("route {key}: gateway {gateway} is this node's own address; name the next router's")]
    GatewayIsLocal {
        /// The route.
        key: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
    },
    /// `on_link` says that the gateway is a neighbour at a port, which has to be named.
    #[error("route {key}: gateway {gateway} is said to be on-link, but no port is named; name the port")]
    OnLinkWithoutPort {
        /// The route.
        key: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
    },
    /// No route leads to the gateway.
    #[error("route {key}: gateway {gateway} is not reachable from {}; add the on-link route to it first, or give its port with on_link", searched(key.table))]
    GatewayUnreachable {
        /// The route.
        key: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
    },
    /// The gateway is not a neighbour at the port named.
    #[error(
        "route {key}: gateway {gateway} is not on-link at port {port}; add an on-link route there, leave the port out, or set on_link"
    )]
    GatewayNotOnLink {
        /// The route.
        key: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
        /// The port named.
        port: PortId,
    },
    /// The gateway would be reached through the route itself.
    #[error(
        "route {key}: gateway {gateway} would be reached through this very route; add a more specific route to it"
    )]
    GatewayLoop {
        /// The route.
        key: RouteKey,
        /// The gateway at which the circle closes.
        gateway: IpAddr,
    },
    /// Too many gateways that lead to gateways.
    #[error(
        "route {key}: gateway {gateway} needs more than {limit} gateways to be resolved; route to a nearer one"
    )]
    GatewayDepth {
        /// The route.
        key: RouteKey,
        /// The gateway of the route's own hop.
        gateway: IpAddr,
        /// The most there may be.
        limit: u8,
    },
    /// A gateway that stands for very many next hops.
    #[error("route {key}: gateway {gateway} stands for too many next hops; route to the routers themselves")]
    GatewayWidth {
        /// The route.
        key: RouteKey,
        /// The gateway.
        gateway: IpAddr,
    },
    /// The rule is there already.
    #[error("rule {priority}: the same rule exists already; remove it, or choose another priority")]
    RuleExists {
        /// Its priority.
        priority: u32,
    },
    /// No such rule.
    #[error("rule {priority}: no such rule; all of its fields have to be the same")]
    NoSuchRule {
        /// Its priority.
        priority: u32,
    },
    /// A prefix of the other family in a rule.
    #[error("rule {priority}: prefix {prefix} does not fit an {family} rule; make a rule for each family")]
    RuleFamily {
        /// The rule's priority.
        priority: u32,
        /// The prefix.
        prefix: Prefix,
        /// The rule's family.
        family: Family,
    },
    /// A DSCP above 63.
    #[error("rule {priority}: DSCP {dscp} is above 63; a TOS byte is four times the DSCP")]
    RuleDscp {
        /// The rule's priority.
        priority: u32,
        /// The value given.
        dscp: u8,
    },
    /// No more routes.
    #[error("routes: the limit of {limit} (max_routes) is reached; raise it or remove routes")]
    TooManyRoutes {
        /// The limit.
        limit: usize,
    },
    /// No more tables.
    #[error("table {table}: the limit of {limit} tables (max_tables) is reached; raise it or empty a table")]
    TooManyTables {
        /// The table that would be new.
        table: TableId,
        /// The limit.
        limit: usize,
    },
    /// No more rules.
    #[error("rules: the limit of {limit} (max_rules) is reached; raise it or remove rules")]
    TooManyRules {
        /// The limit.
        limit: usize,
    },
    /// No more next-hop groups.
    #[error(
        "next-hop groups: the limit of {limit} (max_groups) is reached; raise it, or let routes share their hops"
    )]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// Too many hops in one route, its gateways resolved.
    #[error("route {key}: {hops} next hops are above the limit of {limit} (max_hops_per_route)")]
    TooManyHops {
        /// The route.
        key: RouteKey,
        /// How many there would be.
        hops: usize,
        /// The limit.
        limit: usize,
    },
    /// No more ports can be remembered as down.
    #[error("port {port}: the limit of {limit} ports that are down (max_ports_down) is reached")]
    TooManyPorts {
        /// The port.
        port: PortId,
        /// The limit.
        limit: usize,
    },
    /// The two slices of a batch differ in length.
    #[error("lookup: {addresses} addresses, but room for {results} results; give slices of the same length")]
    BatchLength {
        /// Addresses given.
        addresses: usize,
        /// Results there is room for.
        results: usize,
    },
}

/// The tables that a gateway is looked up in.
fn searched(table: crate::TableId) -> String {
    if table == crate::TableId::MAIN { "table main".to_owned() } else { format!("table {table} or main") }
}
