//! Routing in a decision: where a packet goes, and whether it may.
use crate::decide::Pass;
use crate::nat::mapped;
use crate::node::Node;
use crate::port::{PortId, RpFilter};
use crate::reason::DropReason;
use crate::trace::{Tell, show};
use netfast_fib::{
    Family, GroupId, HopId, Outcome, Query, Resolution, ReversePath, ReversePathMode, TableId,
};
use netfast_filter::facts::{AddressType, Fib, FibLookup};
use netfast_flow::FlowKey;
use netfast_flow::cache::NONE;
use netfast_wire::router::IcmpError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// ICMP destination unreachable (RFC 792, RFC 1812 5.2.7.1).
pub(crate) const HOST_UNREACHABLE: u8 = 1;
const NET_UNREACHABLE: u8 = 0;
const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
/// ICMPv6 destination unreachable (RFC 4443 3.1).
const NO_ROUTE_6: u8 = 0;
const PROHIBITED_6: u8 = 1;
const BEYOND_SCOPE_6: u8 = 2;
pub(crate) const ADDRESS_UNREACHABLE_6: u8 = 3;

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Routed {
    Local,
    Forward { hop: HopId, port: PortId, next: IpAddr, mtu: u32 },
    Drop(DropReason, Option<IcmpError>),
}

/// Where a packet of the node's own goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnRoute {
    /// To the node itself.
    Local,
    Forward {
        hop: HopId,
        port: PortId,
        next: IpAddr,
        mtu: u32,
    },
}

impl OwnRoute {
    pub fn port(self) -> Option<PortId> {
        match self {
            Self::Local => None,
            Self::Forward { port, .. } => Some(port),
        }
    }
}

/// The MTU of what a node sends to itself, as of Linux's `lo`.
const LOOPBACK_MTU: u32 = 65_536;

/// The routing tables, as rules ask them.
pub(crate) struct FibView<'n> {
    pub node: &'n Node,
}

impl FibView<'_> {
    fn resolve(&self, query: &FibLookup) -> Resolution {
        let to = show(&query.address);
        let family = Family::of(to);
        let number = |address: &[u8; 16]| number(show(address));
        self.node.fib.resolve(&Query {
            family,
            destination: number(&query.address),
            source: Some(number(&query.other)),
            in_port: query.in_port,
            mark: query.mark.unwrap_or(0),
            tos: 0,
        })
    }
}

impl Fib for FibView<'_> {
    fn out_port(&self, query: &FibLookup) -> Option<u32> {
        let group = self.resolve(query).group()?;
        let hops = self.node.fib.group(group)?.hops();
        let ports = || hops.iter().filter_map(|(hop, _)| self.node.fib.hop(*hop)).map(|hop| hop.port);
        match query.in_port.or(query.out_port) {
            Some(wanted) => ports().find(|port| *port == wanted),
            None => ports().next(),
        }
    }

    fn path_mtu(&self, query: &FibLookup) -> Option<u32> {
        let resolution = self.resolve(query);
        if let Outcome::Local(_) = resolution.outcome {
            return Some(LOOPBACK_MTU);
        }
        let members = self.node.fib.group(resolution.group()?)?.hops();
        let mtu = |hop| {
            let found = self.node.fib.hop(hop)?;
            let port = self.node.port(found.port)?.config.mtu;
            Some(found.mtu.map_or(port, |mtu| mtu.min(port)))
        };
        members.iter().filter_map(|(hop, _)| mtu(*hop)).min()
    }

    fn address_type(&self, query: &FibLookup) -> AddressType {
        let address = show(&query.address);
        if address.is_multicast() {
            return AddressType::Multicast;
        }
        if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return AddressType::Broadcast;
        }
        let wanted = query.in_port.or(query.out_port);
        match self.resolve(query).outcome {
            Outcome::Local(port) if wanted.is_none_or(|wanted| wanted == port) => AddressType::Local,
            Outcome::Local(_) => AddressType::Unicast,
            Outcome::Broadcast(_) => AddressType::Broadcast,
            Outcome::Forward(_) => AddressType::Unicast,
            Outcome::Blackhole => AddressType::Blackhole,
            Outcome::Prohibit => AddressType::Prohibit,
            Outcome::Unreachable | Outcome::NoRoute => AddressType::Unreachable,
        }
    }
}

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn unreachable(code: u8) -> Option<IcmpError> {
    Some(IcmpError::Unreachable { code })
}

impl<T: Tell> Pass<'_, '_, T> {
    fn query(&self) -> Query {
        let (destination, source) = (show(&self.facts.destination), show(&self.facts.source));
        Query {
            family: if self.subject.v6() { Family::V6 } else { Family::V4 },
            destination: number(destination),
            source: Some(number(source)),
            in_port: self.subject.in_port,
            mark: self.facts.mark,
            tos: self.subject.layers.traffic_class,
        }
    }

    /// Where a packet that came in goes, by the destination that it has now.
    pub(crate) fn route(&mut self) -> Routed {
        let (source, destination) = (show(&self.facts.source), show(&self.facts.destination));
        let in_port = self.subject.in_port.unwrap_or(crate::port::NO_PORT);
        if let Err(reason) = self.martian(source, destination) {
            self.tell.tell("route", || format!("{source} to {destination}: {}", reason.about()));
            return Routed::Drop(reason, None);
        }
        let query = self.query();
        if let Some(routed) = multicast(destination) {
            // As in Linux, what is for all on the link comes from who could be there, too.
            return match self.reverse_path(&query) {
                Err(reason) if matches!(routed, Routed::Local) => Routed::Drop(reason, None),
                _ => routed,
            };
        }
        self.by_class &= query.mark == 0;
        if !self.facts.mark_known || self.node.fib.rules(query.family).iter().any(|rule| rule.dscp.is_some())
        {
            // Packets of this flow may have other marks or code points, and routes that go by them.
            self.draft.walk = true;
        }
        let resolution = self.node.fib.resolve(&query);
        self.tell.tell("route", || format!("{destination}: {}", crate::trace::route(self.node, &resolution)));
        if let Err(reason) = self.reverse_path(&query) {
            return Routed::Drop(reason, None);
        }
        let v6 = self.subject.v6();
        match resolution.outcome {
            Outcome::Local(_) => Routed::Local,
            Outcome::Broadcast(port) => {
                let sends = self.node.port(port).filter(|port| port.config.directed_broadcast);
                match sends {
                    _ if port == in_port => Routed::Local,
                    Some(out) => {
                        let hop = HopId::from_bits(NONE);
                        Routed::Forward { hop, port, next: destination, mtu: out.config.mtu }
                    }
                    None => Routed::Drop(DropReason::DirectedBroadcast, None),
                }
            }
            Outcome::Forward(group) => self.next_hop(group, destination),
            Outcome::Unreachable => Routed::Drop(
                DropReason::Unreachable,
                // As Linux has it: to who sends, such a route is none.
                unreachable(if v6 { NO_ROUTE_6 } else { HOST_UNREACHABLE }),
            ),
            Outcome::Prohibit => Routed::Drop(
                DropReason::Prohibited,
                unreachable(if v6 { PROHIBITED_6 } else { ADMINISTRATIVELY_PROHIBITED }),
            ),
            Outcome::Blackhole => Routed::Drop(DropReason::Blackhole, None),
            Outcome::NoRoute => {
                Routed::Drop(DropReason::NoRoute, unreachable(if v6 { NO_ROUTE_6 } else { NET_UNREACHABLE }))
            }
        }
    }

    /// Addresses that no packet from outside may have (RFC 1812 5.3.7, RFC 4291 2.7, RFC 8200).
    fn martian(&self, source: IpAddr, destination: IpAddr) -> Result<(), DropReason> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let broadcast = destination == Ipv4Addr::BROADCAST;
                if source.is_multicast()
                    || source.is_broadcast()
                    || source.is_loopback()
                    || source.octets()[0] >= 240
                {
                    return Err(DropReason::MartianSource);
                }
                // DHCP clients have no address yet (RFC 2131 4.1), nor have queriers and members of groups (RFC 3376 4.2.13).
                let nameless = source.is_unspecified() && (broadcast || destination.is_multicast());
                if source.octets()[0] == 0 && !nameless {
                    return Err(DropReason::MartianSource);
                }
                if destination.octets()[0] == 0 || destination.is_loopback() {
                    return Err(DropReason::MartianDestination);
                }
                if destination.octets()[0] >= 240 && !broadcast {
                    return Err(DropReason::MartianDestination);
                }
            }
            (_, IpAddr::V6(destination)) if destination.is_unspecified() || destination.is_loopback() => {
                return Err(DropReason::MartianDestination);
            }
            _ => {}
        }
        if self.subject.in_port.is_some() && source.is_ipv4() && self.node.owns(source) {
            return Err(DropReason::MartianSource);
        }
        Ok(())
    }

    fn reverse_path(&mut self, query: &Query) -> Result<(), DropReason> {
        let Some(port) = self.subject.in_port.and_then(|port| self.node.port(port)) else { return Ok(()) };
        let mode = match port.config.rp_filter {
            RpFilter::Off => return Ok(()),
            RpFilter::Strict => ReversePathMode::Strict,
            RpFilter::Loose => ReversePathMode::Loose,
        };
        let link_local =
            matches!(show(&self.facts.source), IpAddr::V6(source) if source.is_unicast_link_local());
        if link_local || show(&self.facts.source).is_unspecified() {
            return Ok(());
        }
        let found = self.node.fib.reverse_path(query, mode);
        self.tell.tell("reverse path", || match found {
            ReversePath::Pass => "the way back leads through the port".to_owned(),
            ReversePath::NoRoute => "no route leads back".to_owned(),
            ReversePath::NotUnicast => "the source is the node's own or a broadcast address".to_owned(),
            ReversePath::WrongPort => "the way back leads through another port".to_owned(),
        });
        if found.passes() { Ok(()) } else { Err(DropReason::ReversePath) }
    }

    /// The hop that the flow had, if the group still has it; else the one that its hash says.
    fn next_hop(&mut self, group: GroupId, destination: IpAddr) -> Routed {
        let Some(members) = self.node.fib.group(group) else {
            return Routed::Drop(DropReason::NoNextHop, None);
        };
        let kept = self.known_hop().filter(|hop| members.contains(*hop));
        let hop = kept.unwrap_or_else(|| members.select(self.flow_hash()));
        let Some(found) = self.node.fib.hop(hop) else { return Routed::Drop(DropReason::NoNextHop, None) };
        let Some(port) = self.node.port(found.port) else { return Routed::Drop(DropReason::NoNextHop, None) };
        let next = found.gateway.unwrap_or(destination);
        if members.hops().len() > 1 {
            let name = self.node.port_name(found.port);
            self.tell.tell("next hop", || format!("{next} at {name}, one of {}", members.hops().len()));
        }
        let mtu = found.mtu.map_or(port.config.mtu, |mtu| mtu.min(port.config.mtu));
        Routed::Forward { hop, port: found.port, next, mtu }
    }

    fn known_hop(&self) -> Option<HopId> {
        let crate::track::Change::Update(update) = &self.track.change else { return None };
        let hop = self.node.cache.hops(update.entry)[self.track.way as usize];
        (hop != NONE).then(|| HopId::from_bits(hop))
    }

    fn flow_hash(&self) -> u64 {
        self.node.flow_hash(&FlowKey::of_tuple(0, &self.track.original).0)
    }

    /// What a router asks of a packet before it forwards it.
    pub(crate) fn may_forward(&self, mtu: u32) -> Result<(), (DropReason, Option<IcmpError>)> {
        let subject = self.subject;
        if subject.packet_type != netfast_filter::facts::PacketType::Host {
            return Err((DropReason::Multicast, None));
        }
        if self.facts.hop_limit_now <= 1 {
            return Err((DropReason::HopLimit, Some(IcmpError::TimeExceeded)));
        }
        if let (IpAddr::V6(source), IpAddr::V6(destination)) =
            (show(&self.facts.source), show(&self.facts.destination))
        {
            self.may_forward_v6(source, destination)?;
        }
        if self.size() > mtu && (subject.v6() || self.dont_fragment()) {
            return Err((DropReason::TooBig, Some(IcmpError::TooBig { mtu })));
        }
        Ok(())
    }

    fn may_forward_v6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Result<(), (DropReason, Option<IcmpError>)> {
        if source.is_unspecified() || source.is_loopback() || source.is_multicast() {
            return Err((DropReason::MartianSource, None));
        }
        // RFC 4291 2.5.6; RFC 4443 3.1 code 2.
        if source.is_unicast_link_local() {
            return Err((DropReason::LinkScope, unreachable(BEYOND_SCOPE_6)));
        }
        if destination.is_unicast_link_local() {
            return Err((DropReason::LinkScope, None));
        }
        Ok(())
    }

    /// What has to fit the MTU: of a super-packet one of the packets that it stands for, of a datagram that came in fragments
    /// the largest of these.
    fn size(&self) -> u32 {
        let subject = self.subject;
        if let Some(pieces) = subject.pieces {
            return pieces.largest;
        }
        if subject.gso_size == 0 { subject.ip_len() } else { subject.segment_len }
    }

    fn dont_fragment(&self) -> bool {
        self.subject.ip().get(6).is_some_and(|flags| flags & 0x40 != 0)
    }

    /// Where a packet of the node's own goes.
    pub(crate) fn route_own(&mut self) -> Option<OwnRoute> {
        let destination = show(&self.facts.destination);
        if destination.is_loopback() {
            return Some(OwnRoute::Local);
        }
        if let IpAddr::V6(link_local) = destination
            && (link_local.is_unicast_link_local() || self.node.on_link)
        {
            // A link-local address means nothing without its port: that of the packet that is answered.
            let port = self.node.answering?;
            let mtu = self.node.port(port)?.config.mtu;
            return Some(OwnRoute::Forward { hop: HopId::from_bits(NONE), port, next: destination, mtu });
        }
        let query = Query { in_port: None, ..self.query() };
        let resolution = self.node.fib.resolve(&query);
        self.tell.tell("route", || format!("{destination}: {}", crate::trace::route(self.node, &resolution)));
        match resolution.outcome {
            Outcome::Local(_) => return Some(OwnRoute::Local),
            Outcome::Broadcast(port) => {
                let mtu = self.node.port(port)?.config.mtu;
                return Some(OwnRoute::Forward { hop: HopId::from_bits(NONE), port, next: destination, mtu });
            }
            _ => {}
        }
        match self.next_hop(resolution.group()?, destination) {
            Routed::Forward { hop, port, next, mtu } => Some(OwnRoute::Forward { hop, port, next, mtu }),
            _ => None,
        }
    }
}

/// Groups and the limited broadcast: those of the link are for the node (routing protocols, neighbour discovery), the others are
/// nobody's here.
fn multicast(destination: IpAddr) -> Option<Routed> {
    let link = match destination {
        IpAddr::V4(v4) if v4.is_broadcast() => true,
        IpAddr::V4(v4) if v4.is_multicast() => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) if v6.is_multicast() => v6.octets()[1] & 15 <= 2,
        _ => return None,
    };
    Some(if link { Routed::Local } else { Routed::Drop(DropReason::Multicast, None) })
}

impl Node {
    /// The address of the node's errors about a packet that came from there: for IPv6 one of the port that it came in by
    /// (RFC 4443 2.2), where the route does not say another one.
    pub(crate) fn error_source(&self, to: IpAddr) -> Option<IpAddr> {
        let IpAddr::V6(to6) = to else { return self.source_address(to) };
        if to6.is_unicast_link_local() {
            return self.source_address(to);
        }
        if self.owns(to) {
            return Some(to);
        }
        let preferred = self.fib.resolve(&Query::to(to)).preferred_source();
        let port = self.answering.and_then(|port| self.port(port));
        preferred.or_else(|| port?.source_for(to6)).or_else(|| self.source_address(to))
    }

    /// The address that the node's own packets to a destination have.
    pub(crate) fn source_address(&self, destination: IpAddr) -> Option<IpAddr> {
        let v6 = destination.is_ipv6();
        let link_local = matches!(destination, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let resolution = self.fib.resolve(&Query::to(destination));
        let port = match resolution.outcome {
            _ if link_local => self.answering,
            Outcome::Forward(group) => {
                let hops = self.fib.group(group)?.hops();
                hops.iter().find_map(|(hop, _)| self.fib.hop(*hop)).map(|hop| hop.port)
            }
            Outcome::Local(port) => Some(port),
            _ => None,
        };
        if let Some(preferred) = resolution.preferred_source() {
            return Some(preferred);
        }
        let of_port = port.and_then(|port| self.port(port)).and_then(|port| {
            if link_local { port.link_local().or(port.address(v6)) } else { port.global_address(v6) }
        });
        of_port.or_else(|| self.ports().find_map(|(_, port)| port.global_address(v6)))
    }

    /// True for an address of the node.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.fib.lookup(TableId::LOCAL, address).is_some_and(|route| {
            self.fib
                .route(route)
                .is_some_and(|entry| matches!(entry.route().kind, netfast_fib::RouteKind::Local(_)))
        })
    }
}

/// The part of the neighbours that a next hop belongs to.
pub(crate) fn neighbour_part(port: PortId, next: IpAddr) -> usize {
    let address = u128::from_be_bytes(mapped(next));
    let mixed =
        (address as u64 ^ (address >> 64) as u64 ^ u64::from(port) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as usize
}
