//! Ways to next hops: how a port or a gateway, as configured, leads to ports and neighbours.
//!
//! A gateway without a port is looked up in the table of its route, then in the main table, and so on up to
//! [`MAX_DEPTH`] gateways. A default route leads to gateways only if it is on-link itself: else every gateway would always
//! be reachable, and a port that is down would send its traffic to the default gateway. Routes with the same way share it; when routes to its gateway change it is followed anew.
use crate::group::{Hop, Shares, greatest_common_divisor, normalize};
use crate::prefix::number;
use crate::route::is_link_local;
use crate::table::{Routes, Table};
use crate::{Family, NextHop, PortId, Prefix, Route, RouteId, RouteKind, TableId, Unresolved};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Gateways in a row that are followed.
pub(crate) const MAX_DEPTH: u8 = 4;
/// Hops that one way may lead to: multipath behind multipath would multiply without end.
const MAX_WIDTH: usize = 1024;
/// The finest division of shares that stays exact: beyond it they are rounded.
const FINEST: u128 = 1 << 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ViaId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Destinations at the port are neighbours.
    Port(PortId),
    /// A neighbour at the port.
    Neighbour { port: PortId, gateway: IpAddr, on_link: bool },
    /// Wherever the routes say.
    Recursive(IpAddr),
}

/// A next hop without its weight, in the table that its gateway is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ViaKey {
    table: TableId,
    way: Way,
    mtu: Option<u32>,
}

impl ViaKey {
    /// None for a hop with neither port nor gateway.
    pub(crate) fn new(table: TableId, hop: &NextHop) -> Option<Self> {
        let way = match (hop.port, hop.gateway) {
            (Some(port), None) => Way::Port(port),
            (Some(port), Some(gateway)) => Way::Neighbour { port, gateway, on_link: hop.on_link },
            (None, Some(gateway)) => Way::Recursive(gateway),
            (None, None) => return None,
        };
        Some(Self { table, way, mtu: hop.mtu })
    }

    fn port(&self) -> Option<PortId> {
        match self.way {
            Way::Port(port) | Way::Neighbour { port, .. } => Some(port),
            Way::Recursive(_) => None,
        }
    }

    /// The gateway, if there is one.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        match self.way {
            Way::Recursive(gateway) | Way::Neighbour { gateway, .. } => Some(gateway),
            Way::Port(_) => None,
        }
    }

    /// The gateway, if routes decide whether it can be used.
    fn sought_gateway(&self) -> Option<IpAddr> {
        match self.way {
            Way::Recursive(gateway) => Some(gateway),
            Way::Neighbour { gateway, on_link: false, .. } if !is_link_local(gateway) => Some(gateway),
            _ => None,
        }
    }
}

/// Where a way leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) shares: Shares,
    /// Gateways that had to be looked up one behind the other.
    depth: u8,
}

pub(crate) type Outcome = Result<End, Unresolved>;

#[derive(Clone, Debug)]
struct Via {
    key: ViaKey,
    routes: BTreeSet<RouteId>,
    outcome: Outcome,
}

/// All ways that routes take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vias {
    slots: Vec<Option<Via>>,
    free: Vec<ViaId>,
    ids: BTreeMap<ViaKey, ViaId>,
    gateways: BTreeSet<(Family, u128, ViaId)>,
}

impl Vias {
    fn via(&self, id: ViaId) -> Option<&Via> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn key(&self, id: ViaId) -> Option<ViaKey> {
        self.via(id).map(|via| via.key)
    }

    pub(crate) fn outcome(&self, id: ViaId) -> Option<&Outcome> {
        self.via(id).map(|via| &via.outcome)
    }

    /// Where a way leads, if some route takes it already.
    pub(crate) fn outcome_of(&self, key: &ViaKey) -> Option<&Outcome> {
        self.outcome(*self.ids.get(key)?)
    }

    /// A route takes a way; `outcome` tells where a new one leads.
    pub(crate) fn join(&mut self, key: ViaKey, route: RouteId, outcome: Outcome) -> ViaId {
        if let Some(id) = self.ids.get(&key) {
            if let Some(via) = self.slots[id.0 as usize].as_mut() {
                via.routes.insert(route);
            }
            return *id;
        }
        let via = Via { key, routes: BTreeSet::from([route]), outcome };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ViaId(self.slots.len() as u32 - 1)
        });
        self.slots[id.0 as usize] = Some(via);
        self.ids.insert(key, id);
        if let Some(gateway) = key.sought_gateway() {
            self.gateways.insert((Family::of(gateway), number(gateway), id));
        }
        id
    }

    /// A route no longer takes a way; one that none takes is forgotten.
    pub(crate) fn leave(&mut self, id: ViaId, route: RouteId) {
        let Some(via) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        via.routes.remove(&route);
        if !via.routes.is_empty() {
            return;
        }
        let key = via.key;
        self.slots[id.0 as usize] = None;
        self.free.push(id);
        self.ids.remove(&key);
        if let Some(gateway) = key.sought_gateway() {
            self.gateways.remove(&(Family::of(gateway), number(gateway), id));
        }
    }

    /// Ways whose gateway is in the prefix.
    pub(crate) fn inside(&self, prefix: &Prefix) -> Vec<ViaId> {
        let first = (prefix.family(), prefix.address(), ViaId(0));
        let last = (prefix.family(), prefix.last(), ViaId(u32::MAX));
        self.gateways.range(first..=last).map(|(_, _, id)| *id).collect()
    }

    /// Ways through a port.
    pub(crate) fn at_port(&self, port: PortId) -> Vec<ViaId> {
        self.ids.iter().filter(|(key, _)| key.port() == Some(port)).map(|(_, id)| *id).collect()
    }

    /// Writes down where a way leads; the routes that take it if that is elsewhere than before.
    pub(crate) fn lead(&mut self, id: ViaId, outcome: Outcome) -> Vec<RouteId> {
        let Some(via) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return Vec::new() };
        if via.outcome == outcome {
            return Vec::new();
        }
        via.outcome = outcome;
        via.routes.iter().copied().collect()
    }

    /// Bytes, about.
    pub(crate) fn memory(&self) -> usize {
        let routes: usize = self.slots.iter().flatten().map(|via| via.routes.len()).sum();
        let each = size_of::<Via>() + size_of::<(ViaKey, ViaId)>() + size_of::<(Family, u128, ViaId)>();
        self.slots.len() * each + routes * size_of::<RouteId>() * 3 / 2
    }
}

/// Follows ways through the tables as they are.
///
/// Each way is followed to the next route only, and on by what is written down of that route's ways: when that changes,
/// the ways that lead through the route are to be followed anew.
pub(crate) struct Resolver<'a> {
    pub(crate) tables: &'a BTreeMap<TableId, Table>,
    pub(crate) routes: &'a Routes,
    pub(crate) vias: &'a Vias,
    pub(crate) down: &'a BTreeSet<PortId>,
    /// A route that is thought to be there, too.
    pub(crate) adding: Option<&'a Route>,
}

impl<'a> Resolver<'a> {
    /// Where a way leads.
    pub(crate) fn follow(&self, key: &ViaKey) -> Outcome {
        if let Some(port) = key.port().filter(|port| self.down.contains(port)) {
            return Err(Unresolved::PortDown { port });
        }
        let hop = |port, gateway| End { shares: vec![(Hop { port, gateway, mtu: key.mtu }, 1)], depth: 0 };
        match key.way {
            Way::Port(port) => Ok(hop(port, None)),
            Way::Neighbour { port, gateway, .. } => {
                if key.sought_gateway().is_some() && !self.is_on_link(key.table, gateway, port) {
                    return Err(Unresolved::GatewayNotOnLink { gateway, port });
                }
                Ok(hop(port, Some(gateway)))
            }
            Way::Recursive(gateway) => self.follow_gateway(key, gateway),
        }
    }

    fn follow_gateway(&self, key: &ViaKey, gateway: IpAddr) -> Outcome {
        let mut error = Unresolved::GatewayUnreachable { gateway };
        // A route that is not there yet leads nowhere; one that leads to its own gateway never will.
        let Some((route, Some(vias))) = self.best(key.table, gateway) else { return Err(error) };
        let mut parts = Vec::with_capacity(vias.len());
        let (mut depth, mut width) = (0, 0);
        for (hop, via) in usable_for_gateways(route).zip(vias) {
            let (Some(hop), Some(outcome)) = (hop, self.vias.outcome(*via)) else { continue };
            match outcome {
                Ok(end) if end.depth < MAX_DEPTH => {
                    depth = depth.max(end.depth + 1);
                    width += end.shares.len();
                    parts.push((hop.weight, end.shares.clone()));
                }
                Ok(_) => error = Unresolved::TooDeep { gateway },
                Err(reason) => error = *reason,
            }
        }
        if parts.is_empty() {
            return Err(error);
        }
        if width > MAX_WIDTH {
            return Err(Unresolved::TooWide { gateway });
        }
        let at_gateway = |hop: Hop| {
            let mtu = [hop.mtu, key.mtu].into_iter().flatten().min();
            Hop { gateway: hop.gateway.or(Some(gateway)), mtu, ..hop }
        };
        let shares = blend(&parts).into_iter().map(|(hop, weight)| (at_gateway(hop), weight.into()));
        Ok(End { shares: normalize(shares.collect()), depth })
    }

    /// The gateway, of those that the added route leads to one behind the other, that it would itself lead to.
    pub(crate) fn circle(&self) -> Option<IpAddr> {
        let route = self.adding?;
        let ways = |route: &'a Route| {
            usable_for_gateways(route).flatten().filter_map(|hop| ViaKey::new(route.table, hop))
        };
        let mut waiting: Vec<ViaKey> = ways(route).collect();
        let mut seen: BTreeSet<ViaKey> = waiting.iter().copied().collect();
        while let Some(key) = waiting.pop() {
            let Way::Recursive(gateway) = key.way else { continue };
            let Some((found, _)) = self.best(key.table, gateway) else { continue };
            if std::ptr::eq(found, route) {
                return Some(gateway);
            }
            waiting.extend(ways(found).filter(|next| seen.insert(*next)));
        }
        None
    }

    /// The route that an address finds in the table, or else in the main table, and its ways if it has any yet.
    fn best(&self, table: TableId, address: IpAddr) -> Option<(&'a Route, Option<&'a [ViaId]>)> {
        // A default route through gateways leads to none, so the table that has only that has no answer.
        let answers = |route: &Route| match route.kind {
            RouteKind::Throw => false,
            RouteKind::Unicast(_) => {
                route.table == TableId::MAIN || usable_for_gateways(route).flatten().next().is_some()
            }
            _ => true,
        };
        let found = [table, TableId::MAIN].into_iter().filter_map(|table| self.best_in(table, address));
        found.into_iter().find(|(route, _)| answers(route))
    }

    fn best_in(&self, table: TableId, address: IpAddr) -> Option<(&'a Route, Option<&'a [ViaId]>)> {
        let id = self.tables.get(&table).and_then(|table| table.lookup(Family::of(address), number(address)));
        let found =
            id.and_then(|id| self.routes.entry(id)).map(|entry| (&entry.route, Some(&entry.vias[..])));
        let rank = |route: &Route| (route.prefix.length(), Reverse(route.metric));
        let adding =
            self.adding.filter(|route| route.table == table && route.prefix.contains_address(address));
        match (adding, found) {
            (Some(adding), Some((route, _))) if rank(adding) < rank(route) => found,
            (Some(adding), _) => Some((adding, None)),
            (None, found) => found,
        }
    }

    /// True when any route, not only the best, says that the address is a neighbour at the port.
    fn is_on_link(&self, table: TableId, address: IpAddr, port: PortId) -> bool {
        let says_so = |route: &RouteId| {
            let hops = self.routes.entry(*route).map_or(&[][..], |entry| entry.route.hops());
            hops.iter().any(|hop| hop.port == Some(port) && hop.gateway.is_none())
        };
        [table, TableId::MAIN].into_iter().filter_map(|table| self.tables.get(&table)).any(|table| {
            let covering = std::iter::successors(Some(Prefix::host(address)), Prefix::parent);
            covering.into_iter().any(|prefix| table.alternatives(&prefix).iter().any(says_so))
        })
    }
}

/// The next hops of a route, without those through which no gateway is reached.
fn usable_for_gateways(route: &Route) -> impl Iterator<Item = Option<&NextHop>> {
    let default = route.prefix.length() == 0;
    route.hops().iter().map(move |hop| (!default || hop.gateway.is_none()).then_some(hop))
}

/// The shares of several next hops by their weights: weights multiply, and a hop that stands for many still gets no
/// more than its own part.
pub(crate) fn blend(parts: &[(u16, Shares)]) -> Shares {
    let sum = |shares: &Shares| shares.iter().map(|(_, weight)| u128::from(*weight)).sum::<u128>().max(1);
    let common = parts.iter().try_fold(1u128, |common, (_, shares)| {
        let sum = sum(shares);
        let multiple = common / greatest_common_divisor(common, sum) * sum;
        (multiple <= FINEST).then_some(multiple)
    });
    let common = common.unwrap_or(FINEST);
    let all = parts.iter().flat_map(|(weight, shares)| {
        let sum = sum(shares);
        shares
            .iter()
            .map(move |(hop, share)| (*hop, (u128::from(*weight) * u128::from(*share) * common / sum).max(1)))
    });
    normalize(all.collect())
}
