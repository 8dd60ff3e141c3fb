//! A routing table: all its routes in order, and the best of each prefix where addresses find it.
use crate::trie::{NONE, Trie};
use crate::{Family, GroupId, Prefix, Route, RouteId, RouteKey, RouteKind, Unresolved, via::ViaId};
use netfast_low::prefetch::prefetch2;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A route and what became of it.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    pub(crate) route: Route,
    /// The ways to its next hops, one for each.
    pub(crate) vias: SmallVec<[ViaId; 1]>,
    pub(crate) group: Option<GroupId>,
    pub(crate) unresolved: Option<Unresolved>,
}

impl RouteEntry {
    /// The route as configured.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The group of its usable next hops; none when there are none, or when the route is not unicast.
    pub fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// Why one of its next hops cannot be used; the first reason of several.
    pub fn unresolved(&self) -> Option<Unresolved> {
        self.unresolved
    }

    /// False for a unicast route none of whose next hops can be used: it is kept, but not looked up.
    pub fn is_usable(&self) -> bool {
        self.group.is_some() || !matches!(self.route.kind, RouteKind::Unicast(_))
    }
}

/// All routes of all tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    slots: Vec<Option<RouteEntry>>,
    free: Vec<RouteId>,
}

impl Routes {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn entry(&self, id: RouteId) -> Option<&RouteEntry> {
        self.slots.get(id.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn prefetch(&self, id: RouteId) {
        prefetch2(&self.slots, id.index());
    }

    pub(crate) fn entry_mut(&mut self, id: RouteId) -> Option<&mut RouteEntry> {
        self.slots.get_mut(id.index())?.as_mut()
    }

    pub(crate) fn insert(&mut self, entry: RouteEntry) -> RouteId {
        if let Some(id) = self.free.pop() {
            self.slots[id.index()] = Some(entry);
            return id;
        }
        self.slots.push(Some(entry));
        RouteId::from_index(self.slots.len() - 1)
    }

    pub(crate) fn remove(&mut self, id: RouteId) -> Option<RouteEntry> {
        let entry = self.slots.get_mut(id.index())?.take()?;
        self.free.push(id);
        Some(entry)
    }

    pub(crate) fn memory(&self) -> usize {
        let hops = self.slots.iter().flatten().map(|entry| match &entry.route.kind {
            RouteKind::Unicast(hops) => hops.capacity() * size_of::<crate::NextHop>(),
            _ => 0,
        });
        self.slots.capacity() * size_of::<Option<RouteEntry>>() + hops.sum::<usize>()
    }
}

/// The routes of one prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives {
    /// By metric, the lowest first.
    pub(crate) routes: SmallVec<[RouteId; 2]>,
    /// The first usable one: what addresses find.
    pub(crate) best: Option<RouteId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    prefixes: BTreeMap<Prefix, Alternatives>,
    v4: Trie<u32>,
    v6: Trie<u128>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { prefixes: BTreeMap::new(), v4: Trie::new(), v6: Trie::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    pub(crate) fn prefixes(&self) -> impl Iterator<Item = (&Prefix, &Alternatives)> {
        self.prefixes.iter()
    }

    pub(crate) fn alternatives(&self, prefix: &Prefix) -> &[RouteId] {
        self.prefixes.get(prefix).map_or(&[], |alternatives| &alternatives.routes)
    }

    pub(crate) fn best(&self, prefix: &Prefix) -> Option<RouteId> {
        self.prefixes.get(prefix)?.best
    }

    pub(crate) fn find(&self, key: &RouteKey, routes: &Routes) -> Option<RouteId> {
        let metric = |id: &RouteId| routes.entry(*id).map(|entry| entry.route.metric);
        self.alternatives(&key.prefix).iter().copied().find(|id| metric(id) == Some(key.metric))
    }

    /// Puts a route among those of its prefix.
    pub(crate) fn insert(&mut self, key: &RouteKey, id: RouteId, routes: &Routes) {
        let alternatives = self.prefixes.entry(key.prefix).or_default();
        let metric = |id: &RouteId| routes.entry(*id).map_or(u32::MAX, |entry| entry.route.metric);
        let at = alternatives.routes.partition_point(|other| metric(other) <= key.metric);
        alternatives.routes.insert(at, id);
    }

    /// Takes a route out; what addresses find is to be chosen anew.
    pub(crate) fn remove(&mut self, prefix: &Prefix, id: RouteId) {
        if let Some(alternatives) = self.prefixes.get_mut(prefix) {
            alternatives.routes.retain(|other| *other != id);
        }
    }

    /// Lets addresses find the first usable route of a prefix; true when that is another than before.
    pub(crate) fn choose(&mut self, prefix: &Prefix, routes: &Routes) -> bool {
        let Some(alternatives) = self.prefixes.get_mut(prefix) else { return false };
        let usable = |id: &RouteId| routes.entry(*id).is_some_and(RouteEntry::is_usable);
        let best = alternatives.routes.iter().copied().find(usable);
        let changed = best != alternatives.best;
        alternatives.best = best;
        if alternatives.routes.is_empty() {
            self.prefixes.remove(prefix);
        }
        if changed {
            self.publish(prefix, best);
        }
        changed
    }

    /// The route that an address finds.
    #[inline]
    pub(crate) fn lookup(&self, family: Family, number: u128) -> Option<RouteId> {
        to_route(match family {
            Family::V4 => self.v4.lookup(number as u32),
            Family::V6 => self.v6.lookup(number),
        })
    }

    pub(crate) fn lookup4(&self, addresses: &[u32], routes: &mut [Option<RouteId>]) {
        lookup_batch(&self.v4, addresses, routes);
    }

    pub(crate) fn lookup6(&self, addresses: &[u128], routes: &mut [Option<RouteId>]) {
        lookup_batch(&self.v6, addresses, routes);
    }

    /// [`Table::lookup`] of up to 64 addresses in step.
    pub(crate) fn lookup_batch(&self, family: Family, addresses: &[u128], routes: &mut [Option<RouteId>]) {
        match family {
            Family::V6 => self.lookup6(addresses, routes),
            Family::V4 => {
                let short: SmallVec<[u32; 64]> = addresses.iter().map(|address| *address as u32).collect();
                self.lookup4(&short, routes);
            }
        }
    }

    /// Bytes of the structures that look-ups walk.
    pub(crate) fn lookup_memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }

    /// Bytes of the ordered routes beside them, about.
    pub(crate) fn order_memory(&self) -> usize {
        // B-tree nodes are two thirds full, on the average.
        self.prefixes.len() * size_of::<(Prefix, Alternatives)>() * 3 / 2
    }

    fn publish(&mut self, prefix: &Prefix, best: Option<RouteId>) {
        let length = prefix.length();
        let (v4, v6) = (prefix.address() as u32, prefix.address());
        let outgrown = match (prefix.family(), best.map(|id| id.index() as u32)) {
            (Family::V4, Some(value)) => {
                self.v4.insert(v4, length, value);
                self.v4.outgrown()
            }
            (Family::V6, Some(value)) => {
                self.v6.insert(v6, length, value);
                self.v6.outgrown()
            }
            (Family::V4, None) => {
                self.v4.remove(v4, length);
                self.v4.outgrown()
            }
            (Family::V6, None) => {
                self.v6.remove(v6, length);
                self.v6.outgrown()
            }
        };
        if outgrown {
            self.rebuild(prefix.family());
        }
    }

    fn rebuild(&mut self, family: Family) {
        let of_family = self.prefixes.iter().filter(|(prefix, _)| prefix.family() == family);
        let values = of_family.filter_map(|(prefix, alternatives)| {
            Some((prefix.address(), prefix.length(), alternatives.best?.index() as u32))
        });
        match family {
            Family::V4 => {
                let values = values.map(|(address, length, value)| (address as u32, length, value));
                self.v4 = Trie::build(values, self.v4.len());
            }
            Family::V6 => self.v6 = Trie::build(values, self.v6.len()),
        }
    }
}

fn to_route(value: u32) -> Option<RouteId> {
    (value != NONE).then(|| RouteId::from_index(value as usize))
}

fn lookup_batch<K: crate::trie::Key>(trie: &Trie<K>, addresses: &[K], routes: &mut [Option<RouteId>]) {
    let mut values = [NONE; 64];
    for (addresses, routes) in addresses.chunks(values.len()).zip(routes.chunks_mut(values.len())) {
        let values = &mut values[..addresses.len()];
        trie.lookup_batch(addresses, values);
        routes.iter_mut().zip(values.iter()).for_each(|(route, value)| *route = to_route(*value));
    }
}
