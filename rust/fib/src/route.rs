//! Routes and their next hops.
use crate::{Family, FibError, Prefix};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// The number of a port of the node.
pub type PortId = u32;

/// The number of a routing table, as in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// Addresses of the node itself; looked into first.
    pub const LOCAL: Self = Self(255);
    /// Where routes go that name no table.
    pub const MAIN: Self = Self(254);
    /// Looked into last, for IPv4; usually empty.
    pub const DEFAULT: Self = Self(253);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LOCAL => f.write_str("local"),
            Self::MAIN => f.write_str("main"),
            Self::DEFAULT => f.write_str("default"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// A route's place in the node: means the same route until that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub(crate) NonZeroU32);

impl RouteId {
    pub(crate) fn from_index(index: usize) -> Self {
        Self(NonZeroU32::new(index as u32 + 1).expect("max_routes is below 2^32 - 1"))
    }

    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What tells a route from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The table it stands in.
    pub table: TableId,
    /// Its destinations.
    pub prefix: Prefix,
    /// Its metric; the lowest usable one of a prefix wins.
    pub metric: u32,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} metric {}", self.prefix, self.table, self.metric)
    }
}

/// One way to a destination, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The port to leave through. None: the port of the route to the gateway, found through the table (recursive).
    pub port: Option<PortId>,
    /// The router to send to. None: the destination itself is a neighbour (on-link route).
    pub gateway: Option<IpAddr>,
    /// Its part of the flows, in relation to the other hops; 1 to 65535.
    pub weight: u16,
    /// The gateway is a neighbour at the port although no route says so.
    pub on_link: bool,
    /// Path MTU in bytes, if it is known to be below the port's.
    pub mtu: Option<u32>,
}

impl NextHop {
    /// Destinations that are neighbours at a port.
    pub const fn port(port: PortId) -> Self {
        Self { port: Some(port), gateway: None, weight: 1, on_link: false, mtu: None }
    }

    /// A gateway, reached as the routes say.
    pub const fn gateway(gateway: IpAddr) -> Self {
        Self { port: None, gateway: Some(gateway), weight: 1, on_link: false, mtu: None }
    }

    /// A gateway at a port.
    pub const fn via(port: PortId, gateway: IpAddr) -> Self {
        Self { port: Some(port), gateway: Some(gateway), weight: 1, on_link: false, mtu: None }
    }

    /// The same with a weight.
    pub const fn weighted(self, weight: u16) -> Self {
        Self { weight, ..self }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if let Some(gateway) = self.gateway {
            write!(f, "via {gateway}")?;
            space = " ";
        }
        if let Some(port) = self.port {
            write!(f, "{space}port {port}")?;
        }
        if self.weight != 1 {
            write!(f, " weight {}", self.weight)?;
        }
        if self.on_link {
            f.write_str(" onlink")?;
        }
        self.mtu.map_or(Ok(()), |mtu| write!(f, " mtu {mtu}"))
    }
}

/// What becomes of packets to a route's destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Forwarded to one of the next hops.
    Unicast(Vec<NextHop>),
    /// Delivered to the node, whose address at this port it is.
    Local(PortId),
    /// The directed broadcast address of a network at this port.
    Broadcast(PortId),
    /// Dropped; the sender is told that the destination is unreachable.
    Unreachable,
    /// Dropped, silently.
    Blackhole,
    /// Dropped; the sender is told that it is administratively prohibited.
    Prohibit,
    /// This table has no answer: the next policy rule is asked.
    Throw,
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unicast(hops) => {
                for (index, hop) in hops.iter().enumerate() {
                    let before = if index == 0 { "" } else { ", " };
                    write!(f, "{before}{hop}")?;
                }
                Ok(())
            }
            Self::Local(port) => write!(f, "local port {port}"),
            Self::Broadcast(port) => write!(f, "broadcast port {port}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Blackhole => f.write_str("blackhole"),
            Self::Prohibit => f.write_str("prohibit"),
            Self::Throw => f.write_str("throw"),
        }
    }
}

/// A route, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its destinations.
    pub prefix: Prefix,
    /// The table it stands in.
    pub table: TableId,
    /// Its metric; the lowest usable one of a prefix wins.
    pub metric: u32,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The source address that the node itself uses for these destinations.
    pub preferred_source: Option<IpAddr>,
}

impl Route {
    /// A route in the main table with metric 0.
    pub const fn new(prefix: Prefix, kind: RouteKind) -> Self {
        Self { prefix, table: TableId::MAIN, metric: 0, kind, preferred_source: None }
    }

    /// What tells it from others.
    pub const fn key(&self) -> RouteKey {
        RouteKey { table: self.table, prefix: self.prefix, metric: self.metric }
    }

    /// Its next hops; none unless it is unicast.
    pub fn hops(&self) -> &[NextHop] {
        match &self.kind {
            RouteKind::Unicast(hops) => hops,
            _ => &[],
        }
    }

    /// Checks what can be seen from the route alone.
    pub(crate) fn validate(&self, max_hops: usize) -> Result<(), FibError> {
        let (key, family) = (self.key(), self.prefix.family());
        if let Some(address) = self.preferred_source.filter(|source| Family::of(*source) != family) {
            return Err(FibError::FamilyMismatch { key, address });
        }
        let RouteKind::Unicast(hops) = &self.kind else { return Ok(()) };
        if hops.is_empty() {
            return Err(FibError::NoHops { key });
        }
        if hops.len() > max_hops {
            return Err(FibError::TooManyHops { key, hops: hops.len(), limit: max_hops });
        }
        for (index, hop) in hops.iter().enumerate() {
            if hop.weight == 0 {
                return Err(FibError::ZeroWeight { key, index });
            }
            let Some(gateway) = hop.gateway else {
                if hop.port.is_none() {
                    return Err(FibError::EmptyHop { key, index });
                }
                continue;
            };
            if family == Family::V6 && gateway.is_ipv4() {
                return Err(FibError::FamilyMismatch { key, address: gateway });
            }
            let broadcast = gateway == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
            let nameless_port = hop.port.is_none() && is_link_local(gateway);
            if gateway.is_unspecified()
                || gateway.is_multicast()
                || gateway.is_loopback()
                || broadcast
                || nameless_port
            {
                return Err(FibError::BadGateway { key, gateway });
            }
            if hop.on_link && hop.port.is_none() {
                return Err(FibError::OnLinkWithoutPort { key, gateway });
            }
        }
        Ok(())
    }
}

/// IPv6 link-local addresses are neighbours at any port, and mean nothing without one (RFC 4007 section 6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} table {} metric {}", self.prefix, self.kind, self.table, self.metric)?;
        self.preferred_source.map_or(Ok(()), |source| write!(f, " src {source}"))
    }
}

/// Why a next hop, or all of a route's, cannot be used at present.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The port is down.
    #[error("port {port} is down")]
    PortDown {
        /// The port.
        port: PortId,
    },
    /// No usable unicast route leads to the gateway.
    #[error("no usable route leads to gateway {gateway}")]
    GatewayUnreachable {
        /// The gateway.
        gateway: IpAddr,
    },
    /// The gateway is no neighbour at its port.
    #[error("gateway {gateway} is not on-link at port {port}")]
    GatewayNotOnLink {
        /// The gateway.
        gateway: IpAddr,
        /// The port.
        port: PortId,
    },
    /// Gateways lead to each other.
    #[error("gateway {gateway} would be reached through itself")]
    Loop {
        /// The gateway at which the circle closes.
        gateway: IpAddr,
    },
    /// More gateways in a row than are followed.
    #[error("gateway {gateway} stands behind too many other gateways")]
    TooDeep {
        /// The gateway.
        gateway: IpAddr,
    },
    /// Multipath behind multipath, with more hops than a route may have.
    #[error("gateway {gateway} stands for too many next hops")]
    TooWide {
        /// The gateway.
        gateway: IpAddr,
    },
    /// There are as many next-hop groups as there may be.
    #[error("the limit of next-hop groups is reached")]
    GroupLimit,
}
