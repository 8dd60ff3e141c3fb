//! Ways to next hops: how a port or a gateway, as configured, leads to ports and neighbours.
//!
//! A gateway without a port is looked up in the table of its route, then in the main table, and so on up to
//! [`MAX_DEPTH`] gateways. Routes with the same way share it; when routes to its gateway change it is followed anew.
use crate::group::{Hop, Shares, greatest_common_divisor, normalize};
use crate::prefix::number;
use crate::route::is_link_local;
use crate::table::{Routes, Table};
use crate::{Family, NextHop, PortId, Prefix, Route, RouteId, RouteKind, TableId, Unresolved};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Gateways in a row that are followed.
pub(crate) const MAX_DEPTH: u8 = 4;
/// Next hops that are looked at for one way, so that multipath behind multipath cannot take forever.
const MAX_STEPS: u32 = 4096;
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

#[derive(Clone, Debug)]
struct Via {
    key: ViaKey,
    routes: BTreeSet<RouteId>,
    outcome: Result<Shares, Unresolved>,
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

    pub(crate) fn outcome(&self, id: ViaId) -> Option<&Result<Shares, Unresolved>> {
        self.via(id).map(|via| &via.outcome)
    }

    /// The way of a route's hop; `follow` tells where a new one leads.
    pub(crate) fn join(
        &mut self,
        key: ViaKey,
        route: RouteId,
        follow: impl FnOnce() -> Result<Shares, Unresolved>,
    ) -> ViaId {
        if let Some(id) = self.ids.get(&key) {
            if let Some(via) = self.slots[id.0 as usize].as_mut() {
                via.routes.insert(route);
            }
            return *id;
        }
        let via = Via { key, routes: BTreeSet::from([route]), outcome: follow() };
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
    pub(crate) fn lead(&mut self, id: ViaId, outcome: Result<Shares, Unresolved>) -> Vec<RouteId> {
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
pub(crate) struct Resolver<'a> {
    tables: &'a BTreeMap<TableId, Table>,
    routes: &'a Routes,
    down: &'a BTreeSet<PortId>,
    /// A route that is thought to be there, too: whatever would be followed through it ends in a circle.
    adding: Option<&'a Route>,
    steps: Cell<u32>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        tables: &'a BTreeMap<TableId, Table>,
        routes: &'a Routes,
        down: &'a BTreeSet<PortId>,
        adding: Option<&'a Route>,
    ) -> Self {
        Self { tables, routes, down, adding, steps: Cell::new(0) }
    }

    /// Where a way leads.
    pub(crate) fn follow(&self, key: &ViaKey) -> Result<Shares, Unresolved> {
        self.steps.set(0);
        self.follow_at(key, 0)
    }

    fn follow_at(&self, key: &ViaKey, depth: u8) -> Result<Shares, Unresolved> {
        if let Some(port) = key.port().filter(|port| self.down.contains(port)) {
            return Err(Unresolved::PortDown { port });
        }
        match key.way {
            Way::Port(port) => Ok(vec![(Hop { port, gateway: None, mtu: key.mtu }, 1)]),
            Way::Neighbour { port, gateway, .. } => {
                if key.sought_gateway().is_some() && !self.is_on_link(key.table, gateway, port) {
                    return Err(Unresolved::GatewayNotOnLink { gateway, port });
                }
                Ok(vec![(Hop { port, gateway: Some(gateway), mtu: key.mtu }, 1)])
            }
            Way::Recursive(gateway) => self.follow_gateway(key, gateway, depth),
        }
    }

    fn follow_gateway(&self, key: &ViaKey, gateway: IpAddr, depth: u8) -> Result<Shares, Unresolved> {
        if depth >= MAX_DEPTH {
            return Err(Unresolved::TooDeep { gateway });
        }
        let found = self.best(key.table, gateway).ok_or(Unresolved::GatewayUnreachable { gateway })?;
        if self.adding.is_some_and(|route| std::ptr::eq(route, found)) {
            let first = depth == 0;
            return Err(if first {
                Unresolved::GatewayUnreachable { gateway }
            } else {
                Unresolved::Loop { gateway }
            });
        }
        let RouteKind::Unicast(hops) = &found.kind else {
            return Err(Unresolved::GatewayUnreachable { gateway });
        };
        let mut parts = Vec::with_capacity(hops.len());
        let mut error = Unresolved::GatewayUnreachable { gateway };
        for hop in hops {
            self.steps.set(self.steps.get() + 1);
            if self.steps.get() > MAX_STEPS {
                return Err(Unresolved::TooDeep { gateway });
            }
            let Some(next) = ViaKey::new(found.table, hop) else { continue };
            match self.follow_at(&next, depth + 1) {
                Ok(shares) => parts.push((hop.weight, shares)),
                Err(Unresolved::Loop { gateway }) => return Err(Unresolved::Loop { gateway }),
                Err(reason) => error = reason,
            }
        }
        if parts.is_empty() {
            return Err(error);
        }
        let at_gateway = |hop: Hop| {
            let mtu = [hop.mtu, key.mtu].into_iter().flatten().min();
            Hop { gateway: hop.gateway.or(Some(gateway)), mtu, ..hop }
        };
        let shares = blend(&parts);
        Ok(normalize(shares.into_iter().map(|(hop, weight)| (at_gateway(hop), weight.into())).collect()))
    }

    /// The route that an address finds in the table, or else in the main table.
    fn best(&self, table: TableId, address: IpAddr) -> Option<&'a Route> {
        let tables = [table, TableId::MAIN];
        tables
            .into_iter()
            .filter_map(|table| self.best_in(table, address))
            .find(|route| route.kind != RouteKind::Throw)
    }

    fn best_in(&self, table: TableId, address: IpAddr) -> Option<&'a Route> {
        let id = self.tables.get(&table).and_then(|table| table.lookup(Family::of(address), number(address)));
        let found = id.and_then(|id| self.routes.entry(id)).map(|entry| &entry.route);
        let rank = |route: &Route| (route.prefix.length(), Reverse(route.metric));
        let adding =
            self.adding.filter(|route| route.table == table && route.prefix.contains_address(address));
        match (adding, found) {
            (Some(adding), Some(found)) => Some(if rank(adding) >= rank(found) { adding } else { found }),
            (adding, found) => adding.or(found),
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
