//! Ports of a node: link address, addresses, VLAN sub-interfaces, counters.
use crate::reason::DropCounts;
use netfast_offload::features::FeatureSet;
use netfast_time::Duration;
use std::net::{IpAddr, Ipv6Addr};

/// Number of a port in its node.
pub type PortId = u32;

/// No port.
pub const NO_PORT: PortId = u32::MAX;

/// A link (Ethernet) address.
pub type Mac = [u8; 6];

/// What the way back to a source address must be (RFC 3704; Linux: `rp_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpFilter {
    /// Not asked.
    #[default]
    Off,
    /// The best route back leads through the port that the packet came from.
    Strict,
    /// Some route leads back.
    Loose,
}

/// What a port is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Its name, as rules say it: at most 15 bytes, no white space, no `/` (Linux: IFNAMSIZ).
    pub name: String,
    /// Its link address; unicast.
    pub mac: Mac,
    /// Its addresses, with the prefix lengths of the networks that they are connected to.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The longest IP packet that leaves by it, in bytes; at least 68 (RFC 791), for IPv6 1,280 (RFC 8200 5).
    pub mtu: u32,
    /// The port and identifier of a VLAN sub-interface (IEEE 802.1Q).
    pub vlan: Option<(PortId, u16)>,
    /// What the way back to sources must be.
    pub rp_filter: RpFilter,
    /// Whether broadcasts to its networks are sent out by it (RFC 2644 says no).
    pub directed_broadcast: bool,
    /// What whoever sends for it does: with segmentation of a kind on, and what that needs, super-packets of the kind leave as
    /// they are; else they are cut. Checksums likewise. With `generic-receive-offload` packets that come in are merged, UDP
    /// only with `rx-udp-gro-forwarding`. A VLAN sub-interface has those of its parent and none of its own.
    pub features: FeatureSet,
    /// How long packets that come in may wait for others that they are merged with; zero: until the push ends. (Linux:
    /// `gro_flush_timeout`.)
    pub gro_flush_timeout: Duration,
    /// Neighbours at it are asked for, and solicitations for the node's addresses answered (ARP, RFC 4861). Without, they are
    /// what [`Node::set_neighbour`](crate::Node::set_neighbour) says, and messages about neighbours are handed over as all
    /// that is for the node.
    pub resolve: bool,
    /// It has one other end, which gets all that leaves by it: no neighbours, and zeros for link addresses.
    pub point_to_point: bool,
}

impl PortConfig {
    /// An MTU of 1,500 bytes, no addresses, no VLAN, no reverse path filter, no offloads.
    pub fn new(name: impl Into<String>, mac: Mac) -> Self {
        Self {
            name: name.into(),
            mac,
            addresses: Vec::new(),
            mtu: 1_500,
            vlan: None,
            rp_filter: RpFilter::Off,
            directed_broadcast: false,
            features: FeatureSet::NONE,
            gro_flush_timeout: Duration::ZERO,
            resolve: false,
            point_to_point: false,
        }
    }
}

/// What went through a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Packets that came in.
    pub packets_in: u64,
    /// Their bytes, link headers included.
    pub bytes_in: u64,
    /// Packets that went out.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets that came in and were dropped.
    pub dropped: DropCounts,
    /// Packets that came in and were merged into others before them.
    pub merged: u64,
    /// Super-packets that left, whole or cut.
    pub super_packets: u64,
    /// Packets that those that were cut became.
    pub segments: u64,
}

/// A port as it stands.
#[derive(Debug)]
pub(crate) struct Port {
    pub config: PortConfig,
    /// Its features whose needs are met.
    pub features: FeatureSet,
    /// Sub-interfaces by VLAN identifier.
    pub vlans: Vec<(u16, PortId)>,
    /// What stands before the IP header in frames that leave by it, addresses missing.
    pub tag: Option<u16>,
    /// The port whose wire its frames travel on: itself, or what it is a sub-interface of.
    pub wire: PortId,
    pub counts: PortCounts,
}

impl Port {
    /// The first address of a family, which the node uses as its own where it has to choose.
    pub fn address(&self, v6: bool) -> Option<IpAddr> {
        self.config.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv6() == v6)
    }

    /// The global address that has the most leading bits of a destination, not counted beyond its network (RFC 6724 5,
    /// rule 8).
    pub fn source_for(&self, destination: Ipv6Addr) -> Option<IpAddr> {
        let mut best = None;
        for (address, length) in &self.config.addresses {
            let IpAddr::V6(address) = *address else { continue };
            if address.is_unicast_link_local() || address.is_loopback() {
                continue;
            }
            let common = (u128::from(address) ^ u128::from(destination)).leading_zeros();
            let common = common.min(u32::from(*length));
            if best.is_none_or(|(most, _)| common > most) {
                best = Some((common, IpAddr::V6(address)));
            }
        }
        best.map(|(_, address)| address)
    }

    /// The first link-local address of IPv6 (RFC 4291 2.5.6).
    pub fn link_local(&self) -> Option<IpAddr> {
        let is_link_local =
            |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        self.config.addresses.iter().map(|(address, _)| *address).find(is_link_local)
    }

    /// The first address of a family that reaches beyond the link.
    pub fn global_address(&self, v6: bool) -> Option<IpAddr> {
        let global = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
            IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
        };
        let mut all = self.config.addresses.iter().map(|(address, _)| *address);
        all.find(|address| address.is_ipv6() == v6 && global(address))
    }
}
