//! The forwarding information base: commands and getters.
mod dependence;

use crate::change::Changes;
use crate::group::Groups;
use crate::table::{Alternatives, Routes, Table};
use crate::via::Vias;
use crate::{
    Change, Family, FibError, Group, GroupId, Hop, HopId, NextHop, PortId, Route, RouteEntry, RouteId,
    RouteKey, RouteKind, Rule, TableId,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// How large the tables may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibConfig {
    /// Seed of the hash that spreads flows over the hops of groups: different in each node, or flows that one node
    /// put together will stay together in the next.
    pub seed: u64,
    /// Routes of all tables; more are refused.
    pub max_routes: usize,
    /// Tables that have routes; more are refused.
    pub max_tables: usize,
    /// Policy rules of both families, the default ones included; more are refused.
    pub max_rules: usize,
    /// Next-hop groups. Routes that would need more are refused; when a change of ports or gateways needs more, flows
    /// of an existing group may move, or the route becomes unresolved; both are counted.
    pub max_groups: usize,
    /// Next hops of one route, as configured and with its gateways resolved; more are refused.
    pub max_hops_per_route: usize,
    /// Ports that are remembered as down; more are refused.
    pub max_ports_down: usize,
    /// Changes kept for [`Fib::take_changes`]; more become [`Change::Everything`].
    pub max_changes: usize,
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            max_routes: 1 << 21,
            max_tables: 256,
            max_rules: 1024,
            max_groups: 1 << 12,
            max_hops_per_route: 256,
            max_ports_down: 1 << 16,
            max_changes: 1024,
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibCounts {
    /// Changes that were made.
    pub changes: u64,
    /// Changes that were refused.
    pub refused: u64,
    /// Times that routes lost their group because `max_groups` was reached.
    pub group_limit: u64,
    /// Times that a way to a gateway was cut because it led to itself.
    pub loops_cut: u64,
    /// Times that the queue of changes overflowed.
    pub changes_overflowed: u64,
}

/// Bytes occupied, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibMemory {
    /// What look-ups walk.
    pub lookup: usize,
    /// Routes as configured, in order.
    pub routes: usize,
    /// Groups, hops and ways to gateways.
    pub groups: usize,
}

impl FibMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.lookup + self.routes + self.groups
    }
}

/// The forwarding information base of one node.
#[derive(Clone, Debug)]
pub struct Fib {
    config: FibConfig,
    tables: BTreeMap<TableId, Table>,
    routes: Routes,
    vias: Vias,
    groups: Groups,
    /// By priority.
    rules4: Vec<Rule>,
    rules6: Vec<Rule>,
    down: BTreeSet<PortId>,
    changes: Changes,
    generation: u64,
    counts: FibCounts,
}

impl Fib {
    /// No routes, the default rules, the default limits.
    pub fn new(seed: u64) -> Self {
        Self::with_config(FibConfig { seed, ..FibConfig::default() })
    }

    /// No routes, the default rules. Limits below what these need, and above what ids can number, are adapted.
    pub fn with_config(config: FibConfig) -> Self {
        let config = FibConfig { max_routes: config.max_routes.min(u32::MAX as usize - 2), ..config };
        Self {
            config,
            tables: BTreeMap::new(),
            routes: Routes::default(),
            vias: Vias::default(),
            groups: Groups::new(config.seed, config.max_groups),
            rules4: Rule::defaults(Family::V4),
            rules6: Rule::defaults(Family::V6),
            down: BTreeSet::new(),
            changes: Changes::new(config.max_changes),
            generation: 0,
            counts: FibCounts::default(),
        }
    }

    /// The limits.
    pub fn config(&self) -> &FibConfig {
        &self.config
    }

    /// What happened so far.
    pub fn counts(&self) -> FibCounts {
        self.counts
    }

    /// Raised by every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Changes since the last call, the oldest first.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes.take()
    }

    /// Bytes occupied.
    pub fn memory(&self) -> FibMemory {
        FibMemory {
            lookup: self.tables.values().map(Table::lookup_memory).sum(),
            routes: self.routes.memory() + self.tables.values().map(Table::order_memory).sum::<usize>(),
            groups: self.groups.memory() + self.vias.memory(),
        }
    }

    /// Number of routes, of all tables.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// True when there is no route.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All routes, by table, family, prefix and metric.
    pub fn routes(&self) -> impl Iterator<Item = (RouteId, &RouteEntry)> {
        let alternatives = self.tables.values().flat_map(Table::prefixes);
        let ids = alternatives.flat_map(|(_, Alternatives { routes, .. })| routes);
        ids.filter_map(|id| Some((*id, self.routes.entry(*id)?)))
    }

    /// A route by its place.
    #[inline]
    pub fn route(&self, id: RouteId) -> Option<&RouteEntry> {
        self.routes.entry(id)
    }

    #[inline]
    pub(crate) fn prefetch_route(&self, id: RouteId) {
        self.routes.prefetch(id);
    }

    /// A route by table, prefix and metric.
    pub fn find(&self, key: &RouteKey) -> Option<RouteId> {
        self.tables.get(&key.table)?.find(key, &self.routes)
    }

    /// Tables that have routes.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.keys().copied()
    }

    pub(crate) fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id)
    }

    /// The rules of a family, in the order in which they are asked.
    #[inline]
    pub fn rules(&self, family: Family) -> &[Rule] {
        match family {
            Family::V4 => &self.rules4,
            Family::V6 => &self.rules6,
        }
    }

    /// A group; none when no route uses it any more.
    #[inline]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.group(id)
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.ids()
    }

    /// A hop; none when it has not been used for a long time.
    #[inline]
    pub fn hop(&self, id: HopId) -> Option<&Hop> {
        self.groups.hop(id)
    }

    /// The hop of a group for a flow with this hash; none when the group is gone.
    #[inline]
    pub fn select(&self, group: GroupId, hash: u64) -> Option<HopId> {
        Some(self.group(group)?.select(hash))
    }

    /// True unless [`Fib::set_port`] said otherwise.
    pub fn is_up(&self, port: PortId) -> bool {
        !self.down.contains(&port)
    }

    /// The longest prefixes of one table, without rules.
    ///
    /// # Errors
    /// [`FibError::BatchLength`].
    pub fn lookup4(
        &self,
        table: TableId,
        addresses: &[u32],
        routes: &mut [Option<RouteId>],
    ) -> Result<(), FibError> {
        same_length(addresses.len(), routes.len())?;
        match self.tables.get(&table) {
            Some(table) => table.lookup4(addresses, routes),
            None => routes.fill(None),
        }
        Ok(())
    }

    /// The longest prefixes of one table, without rules.
    ///
    /// # Errors
    /// [`FibError::BatchLength`].
    pub fn lookup6(
        &self,
        table: TableId,
        addresses: &[u128],
        routes: &mut [Option<RouteId>],
    ) -> Result<(), FibError> {
        same_length(addresses.len(), routes.len())?;
        match self.tables.get(&table) {
            Some(table) => table.lookup6(addresses, routes),
            None => routes.fill(None),
        }
        Ok(())
    }

    /// The longest prefix of one table that contains the address, without rules.
    pub fn lookup(&self, table: TableId, address: IpAddr) -> Option<RouteId> {
        self.tables.get(&table)?.lookup(Family::of(address), crate::prefix::number(address))
    }

    /// Adds a route.
    ///
    /// Its gateways have to be reachable now; only a port that is down makes it wait.
    ///
    /// # Errors
    /// [`FibError::RouteExists`], an error of the route, or of a limit. Nothing changes then.
    pub fn add_route(&mut self, route: Route) -> Result<RouteId, FibError> {
        let key = route.key();
        let checked = match self.find(&key) {
            Some(_) => Err(FibError::RouteExists { key }),
            None => self.admit(&route, None),
        };
        self.counted(checked)?;
        Ok(self.insert(route))
    }

    /// Adds a route, or puts it in the place of the one with the same table, prefix and metric.
    ///
    /// Flows of next hops that both have keep theirs.
    ///
    /// # Errors
    /// As [`Fib::add_route`].
    pub fn replace_route(&mut self, route: Route) -> Result<RouteId, FibError> {
        let Some(id) = self.find(&route.key()) else { return self.add_route(route) };
        let checked = self.admit(&route, Some(id));
        self.counted(checked)?;
        self.leave_vias(id);
        if let Some(entry) = self.routes.entry_mut(id) {
            entry.route = route;
        }
        self.install(id);
        Ok(id)
    }

    /// Adds a route, or its next hops to those of the route with the same table, prefix and metric (multipath).
    ///
    /// # Errors
    /// As [`Fib::add_route`]; [`FibError::NotMultipath`] when either has no next hops, [`FibError::RouteExists`] when all
    /// of the hops are there already.
    pub fn append_route(&mut self, route: Route) -> Result<RouteId, FibError> {
        let key = route.key();
        let Some(entry) = self.find(&key).and_then(|id| self.route(id)) else { return self.add_route(route) };
        let mut whole = entry.route.clone();
        let joined = match (&mut whole.kind, route.kind) {
            (RouteKind::Unicast(hops), RouteKind::Unicast(more)) => {
                let same = |a: &NextHop, b: &NextHop| a.port == b.port && a.gateway == b.gateway;
                let before = hops.len();
                for hop in more {
                    // One above the limit is enough for the route to be refused.
                    if hops.len() <= self.config.max_hops_per_route
                        && !hops.iter().any(|other| same(other, &hop))
                    {
                        hops.push(hop);
                    }
                }
                if hops.len() > before { Ok(()) } else { Err(FibError::RouteExists { key }) }
            }
            _ => Err(FibError::NotMultipath { key }),
        };
        self.counted(joined)?;
        self.replace_route(whole)
    }

    /// Removes a route; routes whose gateways it led to become unresolved, unless others lead there.
    ///
    /// # Errors
    /// [`FibError::NoSuchRoute`].
    pub fn remove_route(&mut self, key: &RouteKey) -> Result<Route, FibError> {
        let found = self.find(key).ok_or(FibError::NoSuchRoute { key: *key });
        let id = self.counted(found)?;
        self.leave_vias(id);
        if let Some(table) = self.tables.get_mut(&key.table) {
            table.remove(&key.prefix, id);
        }
        let entry = self.routes.remove(id).expect("it was found");
        self.changed();
        self.choose(key.table, &key.prefix, false);
        self.tables.retain(|table, routes| *table != key.table || !routes.is_empty());
        if let Some(group) = entry.group {
            self.groups.release(group);
        }
        self.spread(VecDeque::new(), VecDeque::from([key.prefix]));
        Ok(entry.route)
    }

    /// Says whether a port can be used; all can until they are said to be down.
    ///
    /// Routes through a port that is down wait, and so do those whose gateways they led to. The node's own addresses at
    /// it stay. True when that is another state than before.
    ///
    /// # Errors
    /// [`FibError::TooManyPorts`].
    pub fn set_port(&mut self, port: PortId, up: bool) -> Result<bool, FibError> {
        if up == self.is_up(port) {
            return Ok(false);
        }
        let limit = self.config.max_ports_down;
        if !up && self.down.len() >= limit {
            return self.counted(Err(FibError::TooManyPorts { port, limit }));
        }
        if up {
            self.down.remove(&port);
        } else {
            self.down.insert(port);
        }
        self.changed();
        self.spread(self.vias.at_port(port).into(), VecDeque::new());
        Ok(true)
    }

    /// Adds a policy rule, behind those of the same priority.
    ///
    /// # Errors
    /// [`FibError::RuleExists`], an error of the rule, or of the limit. Nothing changes then.
    pub fn add_rule(&mut self, rule: Rule) -> Result<(), FibError> {
        let (count, limit) = (self.rules4.len() + self.rules6.len(), self.config.max_rules);
        let checked = rule.validate().and_then(|()| match count {
            _ if self.rules(rule.family).contains(&rule) => {
                Err(FibError::RuleExists { priority: rule.priority })
            }
            _ if count >= limit => Err(FibError::TooManyRules { limit }),
            _ => Ok(()),
        });
        self.counted(checked)?;
        let rules = self.rules_mut(rule.family);
        rules.insert(rules.partition_point(|other| other.priority <= rule.priority), rule);
        self.rules_changed();
        Ok(())
    }

    /// Removes the rule that is the same in all fields; also a default one.
    ///
    /// # Errors
    /// [`FibError::NoSuchRule`].
    pub fn remove_rule(&mut self, rule: &Rule) -> Result<(), FibError> {
        let rules = self.rules_mut(rule.family);
        match rules.iter().position(|other| other == rule) {
            Some(index) => {
                rules.remove(index);
                self.rules_changed();
                Ok(())
            }
            None => self.counted(Err(FibError::NoSuchRule { priority: rule.priority })),
        }
    }

    fn rules_mut(&mut self, family: Family) -> &mut Vec<Rule> {
        match family {
            Family::V4 => &mut self.rules4,
            Family::V6 => &mut self.rules6,
        }
    }

    fn rules_changed(&mut self) {
        self.changed();
        self.note(Change::Rules);
    }

    fn changed(&mut self) {
        self.generation += 1;
        self.counts.changes += 1;
    }

    fn note(&mut self, change: Change) {
        self.counts.changes_overflowed += u64::from(self.changes.push(change));
    }

    fn counted<T>(&mut self, result: Result<T, FibError>) -> Result<T, FibError> {
        self.counts.refused += u64::from(result.is_err());
        result
    }
}

fn same_length(addresses: usize, results: usize) -> Result<(), FibError> {
    if addresses == results { Ok(()) } else { Err(FibError::BatchLength { addresses, results }) }
}

#[cfg(test)]
mod tests;
