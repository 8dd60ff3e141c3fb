//! Why a command was refused; the node is as it was before.
use crate::port::PortId;
use netfast_fib::{FibError, RouteKey};
use netfast_filter::CompileError;
use netfast_flow::cache::CacheError;
use netfast_neigh::NeighError;
use netfast_offload::collate::CollatorError;
use netfast_offload::features::FeatureError;
use std::net::IpAddr;
use thiserror::Error;

/// Why a command was refused.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum NodeError {
    /// No port has this number.
    #[error("there is no port {0}; add it first")]
    NoPort(PortId),
    /// The name is taken.
    #[error("a port is called {0:?} already; names are unique in a node")]
    DuplicatePort(String),
    /// The name is no name.
    #[error("port name {0:?} cannot be: 1 to 15 bytes without white space, '/' and ':'")]
    PortName(String),
    /// There are as many ports as there may be.
    #[error("the node has max_ports = {0} ports already; raise the limit")]
    TooManyPorts(usize),
    /// The link address is a group's.
    #[error("link address {} of port {name:?} is a group address or zero; give a unicast one", show_mac(mac))]
    GroupMac {
        /// The port.
        name: String,
        /// The address.
        mac: [u8; 6],
    },
    /// The MTU is out of range.
    #[error("mtu {mtu} of port {name:?} is out of range; it must be {least} to 65535")]
    Mtu {
        /// The port.
        name: String,
        /// The MTU.
        mtu: u32,
        /// The least: 1,280 with an IPv6 address, else 68.
        least: u32,
    },
    /// The VLAN identifier is out of range.
    #[error("VLAN {id} of port {name:?} is out of range; it must be 1 to 4094")]
    Vlan {
        /// The port.
        name: String,
        /// The identifier.
        id: u16,
    },
    /// The VLAN is another port's.
    #[error("VLAN {id} of that port is {other:?} already")]
    DuplicateVlan {
        /// The identifier.
        id: u16,
        /// The port that has it.
        other: String,
    },
    /// A sub-interface of a sub-interface.
    #[error("port {0:?} is a VLAN sub-interface itself; stacked tags are not supported: give its parent")]
    NestedVlan(String),
    /// The port has sub-interfaces.
    #[error("port {0:?} has VLAN sub-interfaces; remove them first")]
    HasSubInterfaces(String),
    /// The address is no unicast address of an interface.
    #[error(
        "address {address}/{length} cannot be a port's: give a unicast address and a prefix length of at most {most}"
    )]
    Address {
        /// The address.
        address: IpAddr,
        /// Its prefix length.
        length: u8,
        /// The longest.
        most: u8,
    },
    /// The address is the node's already.
    #[error("address {address} is port {port:?}'s already; an address is given once")]
    DuplicateAddress {
        /// The address.
        address: IpAddr,
        /// The port that has it.
        port: String,
    },
    /// The address is not the port's.
    #[error("address {address} is not port {port:?}'s")]
    NoAddress {
        /// The address.
        address: IpAddr,
        /// The port.
        port: String,
    },
    /// A setting of the node that cannot be.
    #[error("{setting} = {value} cannot be: {remedy}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        remedy: &'static str,
    },
    /// No connection has this number.
    #[error("there is no connection {0}")]
    NoConnection(u64),
    /// A VLAN sub-interface has the offload features of its parent.
    #[error("port {name:?} has the features of its parent: change those of {parent:?}")]
    InheritedFeatures {
        /// The sub-interface.
        name: String,
        /// Its parent.
        parent: String,
    },
    /// Offload features that a port cannot have.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// From the collation of packets that come in.
    #[error(transparent)]
    Collator(#[from] CollatorError),
    /// A route's gateway is no neighbour at the port that the route names.
    #[error(
        "route {route}: gateway {gateway} is not on-link at port {port:?}; add an on-link route there, leave the port out, or set on_link"
    )]
    GatewayNotOnLink {
        /// The route.
        route: RouteKey,
        /// Its gateway.
        gateway: IpAddr,
        /// The port.
        port: String,
    },
    /// From the routing tables.
    #[error(transparent)]
    Fib(#[from] FibError),
    /// From the neighbour table.
    #[error(transparent)]
    Neighbour(#[from] NeighError),
    /// From the rules.
    #[error(transparent)]
    Rules(#[from] CompileError),
    /// From the table of connections.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

fn show_mac(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
