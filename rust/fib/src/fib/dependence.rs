//! What a change of a route or port brings about: admission, groups, and everything that depends on it.
use super::Fib;
use crate::group::{GroupLimit, Shares};
use crate::table::Table;
use crate::via::{MAX_DEPTH, Resolver, ViaId, ViaKey, blend};
use crate::{Change, FibError, Prefix, Route, RouteEntry, RouteId, RouteKey, RouteKind, TableId, Unresolved};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// How often a way is followed anew within one change; one that leads elsewhere each time leads to itself.
const MAX_ROUNDS: u8 = 16;

impl Fib {
    /// Everything that can forbid a route, before anything changes.
    pub(super) fn admit(&self, route: &Route, replaced: Option<RouteId>) -> Result<(), FibError> {
        let key = route.key();
        route.validate(self.config.max_hops_per_route)?;
        if replaced.is_none() && self.routes.len() >= self.config.max_routes {
            return Err(FibError::TooManyRoutes { limit: self.config.max_routes });
        }
        if !self.tables.contains_key(&route.table) && self.tables.len() >= self.config.max_tables {
            return Err(FibError::TooManyTables { table: route.table, limit: self.config.max_tables });
        }
        let resolver = self.resolver(Some(route));
        let mut parts = Vec::with_capacity(route.hops().len());
        for hop in route.hops() {
            self.admit_gateway(&key, hop.gateway)?;
            let Some(via) = ViaKey::new(route.table, hop) else { continue };
            match resolver.follow(&via) {
                Ok(end) => parts.push((hop.weight, end.shares)),
                Err(reason) => refusal(key, reason).map_or(Ok(()), Err)?,
            }
        }
        if let Some(gateway) = resolver.circle() {
            return Err(FibError::GatewayLoop { key, gateway });
        }
        let shares = blend(&parts);
        if shares.len() > self.config.max_hops_per_route {
            return Err(FibError::TooManyHops {
                key,
                hops: shares.len(),
                limit: self.config.max_hops_per_route,
            });
        }
        let previous = replaced.and_then(|id| self.route(id)?.group());
        if !shares.is_empty() && !self.groups.has_room(&shares, previous) {
            return Err(FibError::TooManyGroups { limit: self.config.max_groups });
        }
        Ok(())
    }

    /// Own and broadcast addresses are no gateways.
    fn admit_gateway(&self, key: &RouteKey, gateway: Option<IpAddr>) -> Result<(), FibError> {
        let Some(gateway) = gateway else { return Ok(()) };
        let local = self.lookup(TableId::LOCAL, gateway).and_then(|id| self.route(id));
        match local.map(|entry| &entry.route.kind) {
            Some(RouteKind::Local(_)) => Err(FibError::GatewayIsLocal { key: *key, gateway }),
            Some(RouteKind::Broadcast(_)) => Err(FibError::BadGateway { key: *key, gateway }),
            _ => Ok(()),
        }
    }

    /// Puts an admitted route into its table.
    pub(super) fn insert(&mut self, route: Route) -> RouteId {
        let key = route.key();
        let entry = RouteEntry { route, vias: SmallVec::new(), group: None, unresolved: None };
        let id = self.routes.insert(entry);
        self.tables.entry(key.table).or_insert_with(Table::new).insert(&key, id, &self.routes);
        self.install(id);
        id
    }

    /// Joins the ways of an admitted route and lets addresses find it.
    pub(super) fn install(&mut self, id: RouteId) {
        self.changed();
        let Some(entry) = self.routes.entry(id) else { return };
        let key = entry.route.key();
        let ways: SmallVec<[ViaKey; 1]> =
            entry.route.hops().iter().filter_map(|hop| ViaKey::new(key.table, hop)).collect();
        let mut vias = SmallVec::with_capacity(ways.len());
        for way in ways {
            let known = self.vias.outcome_of(&way).cloned();
            let outcome = known.unwrap_or_else(|| self.resolver(None).follow(&way));
            vias.push(self.vias.join(way, id, outcome));
        }
        if let Some(entry) = self.routes.entry_mut(id) {
            entry.vias = vias;
        }
        self.settle(id);
        self.choose(key.table, &key.prefix, true);
        self.spread(VecDeque::new(), VecDeque::from([key.prefix]));
    }

    pub(super) fn leave_vias(&mut self, id: RouteId) {
        let vias = self.routes.entry_mut(id).map(|entry| std::mem::take(&mut entry.vias)).unwrap_or_default();
        // Two hops may take one way: leaving twice is no harm.
        vias.iter().for_each(|via| self.vias.leave(*via, id));
    }

    /// Lets addresses find the best route of a prefix; true when answers changed.
    pub(super) fn choose(&mut self, table: TableId, prefix: &Prefix, certainly: bool) -> bool {
        let other = self.tables.get_mut(&table).is_some_and(|table| table.choose(prefix, &self.routes));
        if other || certainly {
            self.note(Change::Route { table, prefix: *prefix });
        }
        other || certainly
    }

    /// Gives a route the group of its hops as they are now; true when it has another than before.
    pub(super) fn settle(&mut self, id: RouteId) -> bool {
        let Some(entry) = self.routes.entry(id) else { return false };
        let previous = entry.group;
        let (shares, mut unresolved) = self.shares(entry);
        let group = match shares.map(|shares| self.groups.acquire(&shares, previous)) {
            Some(Ok(group)) => Some(group),
            Some(Err(GroupLimit)) => {
                self.counts.group_limit += 1;
                unresolved = Some(Unresolved::GroupLimit);
                None
            }
            None => None,
        };
        if let Some(previous) = previous {
            self.groups.release(previous);
        }
        if let Some(entry) = self.routes.entry_mut(id) {
            entry.group = group;
            entry.unresolved = unresolved;
        }
        group != previous
    }

    /// The usable hops of a route, and why others are not.
    fn shares(&self, entry: &RouteEntry) -> (Option<Shares>, Option<Unresolved>) {
        let mut parts: SmallVec<[(u16, Shares); 1]> = SmallVec::new();
        let mut unresolved = None;
        for (hop, via) in entry.route.hops().iter().zip(&entry.vias) {
            match self.vias.outcome(*via) {
                Some(Ok(end)) => parts.push((hop.weight, end.shares.clone())),
                Some(Err(reason)) => unresolved = unresolved.or(Some(*reason)),
                None => {}
            }
        }
        if parts.is_empty() {
            return (None, unresolved);
        }
        let shares = blend(&parts);
        match entry.route.hops().iter().find_map(|hop| hop.gateway) {
            Some(gateway) if shares.len() > self.config.max_hops_per_route => {
                (None, Some(Unresolved::TooWide { gateway }))
            }
            _ => (Some(shares), unresolved),
        }
    }

    /// Follows anew the given ways and those that lead through the given prefixes, until nothing changes any more.
    pub(super) fn spread(&mut self, mut ways: VecDeque<ViaId>, mut prefixes: VecDeque<Prefix>) {
        let mut rounds: BTreeMap<ViaId, u8> = BTreeMap::new();
        loop {
            let Some(via) = ways.pop_front() else {
                let Some(prefix) = prefixes.pop_front() else { return };
                ways.extend(self.vias.inside(&prefix));
                continue;
            };
            let Some(key) = self.vias.key(via) else { continue };
            let mut outcome = self.resolver(None).follow(&key);
            let round = rounds.entry(via).or_default();
            if let (true, Some(gateway)) = (*round >= MAX_ROUNDS, key.gateway()) {
                outcome = Err(Unresolved::Loop { gateway });
            }
            let routes = self.vias.lead(via, outcome);
            if routes.is_empty() {
                continue;
            }
            *round += 1;
            self.counts.loops_cut += u64::from(*round > MAX_ROUNDS);
            for id in routes {
                let regrouped = self.settle(id);
                let Some(RouteKey { table, prefix, .. }) = self.route(id).map(|entry| entry.route.key())
                else {
                    continue;
                };
                let is_best = self.tables.get(&table).and_then(|table| table.best(&prefix)) == Some(id);
                if regrouped {
                    self.choose(table, &prefix, is_best);
                }
                // Also with the same group: gateways behind it may be farther off now.
                prefixes.push_back(prefix);
            }
        }
    }

    pub(super) fn resolver<'a>(&'a self, adding: Option<&'a Route>) -> Resolver<'a> {
        Resolver { tables: &self.tables, routes: &self.routes, vias: &self.vias, down: &self.down, adding }
    }
}

/// Why a route with such a hop is refused; none when it only has to wait.
fn refusal(key: RouteKey, reason: Unresolved) -> Option<FibError> {
    Some(match reason {
        Unresolved::GatewayUnreachable { gateway } => FibError::GatewayUnreachable { key, gateway },
        Unresolved::GatewayNotOnLink { gateway, port } => FibError::GatewayNotOnLink { key, gateway, port },
        Unresolved::Loop { gateway } => FibError::GatewayLoop { key, gateway },
        Unresolved::TooDeep { gateway } => FibError::GatewayDepth { key, gateway, limit: MAX_DEPTH },
        Unresolved::TooWide { gateway } => FibError::GatewayWidth { key, gateway },
        Unresolved::PortDown { .. } | Unresolved::GroupLimit => return None,
    })
}
