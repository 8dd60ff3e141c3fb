//! What a node has, as rows for Python.
use super::connections::ConnectionTable;
use super::state::State;
use super::value::{RP_FILTER, mac_text, word};
use super::{Node, raise_node};
use crate::errors::number_of;
use netfast_datapath::{DiscoveryCounters, DropCounts, PortCounts, PortId};
use netfast_fib::{Family, NextHop, Route, RouteEntry, RouteKind, Rule, RuleAction, TableId};
use netfast_neigh::State as NeighbourState;
use netfast_nft::field::TableFamily;
use netfast_time::Instant;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::net::IpAddr;

/// Routes and policies that a node has by itself: from its addresses, and Linux's three rules.
pub fn is_configured(state: &State, route: &Route) -> bool {
    if route.table == TableId::LOCAL {
        return false;
    }
    let [NextHop { port: Some(port), gateway: None, weight: 1, on_link: false, mtu: None }] = route.hops()
    else {
        return true;
    };
    let connected = |(id, config): (PortId, &netfast_datapath::PortConfig)| {
        let network = |(address, length): &(IpAddr, u8)| {
            netfast_fib::Prefix::containing(*address, *length).is_ok_and(|network| network == route.prefix)
        };
        id == *port && config.addresses.iter().any(network)
    };
    route.metric != 0 || route.table != TableId::MAIN || !state.node.port_configs().any(connected)
}

/// The rules that were added to those of every node.
pub fn configured_policies(state: &State) -> Vec<Rule> {
    let all = [Family::V4, Family::V6].into_iter().flat_map(|family| state.node.fib().rules(family));
    let own = |rule: &&Rule| {
        let RuleAction::Lookup(table) = rule.action else { return true };
        let default = [(0, TableId::LOCAL), (32_766, TableId::MAIN), (32_767, TableId::DEFAULT)];
        !default.contains(&(rule.priority, table))
            || **rule != Rule::new(rule.family, rule.priority, rule.action)
    };
    all.filter(own).copied().collect()
}

/// A kind of route that has no next hops.
pub fn kind_text(kind: &RouteKind) -> &'static str {
    match kind {
        RouteKind::Unicast(_) => "unicast",
        RouteKind::Local(_) => "local",
        RouteKind::Broadcast(_) => "broadcast",
        RouteKind::Unreachable => "unreachable",
        RouteKind::Blackhole => "blackhole",
        RouteKind::Prohibit => "prohibit",
        RouteKind::Throw => "throw",
    }
}

/// What a policy says: its table, or the kind of its end.
pub fn action_text(action: RuleAction) -> (Option<String>, Option<&'static str>) {
    match action {
        RuleAction::Lookup(table) => (Some(table.to_string()), None),
        RuleAction::Unreachable => (None, Some("unreachable")),
        RuleAction::Blackhole => (None, Some("blackhole")),
        RuleAction::Prohibit => (None, Some("prohibit")),
    }
}

/// Drops by reason since `before`.
pub fn drops<'py>(py: Python<'py>, now: &DropCounts, before: &DropCounts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (reason, count) in now.iter() {
        let count = count - before.of(reason);
        if count > 0 {
            dict.set_item(reason.name(), count)?;
        }
    }
    Ok(dict)
}

/// What a port did since `before`.
pub fn port_row<'py>(py: Python<'py>, now: &PortCounts, before: &PortCounts) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("packets_in", now.packets_in - before.packets_in)?;
    row.set_item("bytes_in", now.bytes_in - before.bytes_in)?;
    row.set_item("packets_out", now.packets_out - before.packets_out)?;
    row.set_item("bytes_out", now.bytes_out - before.bytes_out)?;
    row.set_item("dropped", now.dropped.total() - before.dropped.total())?;
    row.set_item("dropped_by", drops(py, &now.dropped, &before.dropped)?)?;
    row.set_item("merged", now.merged - before.merged)?;
    row.set_item("super_packets", now.super_packets - before.super_packets)?;
    row.set_item("segments", now.segments - before.segments)?;
    Ok(row)
}

fn route_row<'py>(py: Python<'py>, state: &State, entry: &RouteEntry) -> PyResult<Bound<'py, PyDict>> {
    let route = entry.route();
    let hops = route.hops().iter().map(|hop| {
        let port = hop.port.map(|port| state.node.port_name(port).to_owned());
        (hop.gateway.map(|gateway| gateway.to_string()), hop.weight, port)
    });
    let row = PyDict::new(py);
    row.set_item("prefix", route.prefix.to_string())?;
    row.set_item("via", hops.collect::<Vec<_>>())?;
    row.set_item("kind", kind_text(&route.kind))?;
    row.set_item("metric", route.metric)?;
    row.set_item("table", route.table.to_string())?;
    row.set_item("source", route.preferred_source.map(|source| source.to_string()))?;
    row.set_item("on_link", route.hops().iter().any(|hop| hop.on_link))?;
    row.set_item("mtu", route.hops().iter().find_map(|hop| hop.mtu))?;
    row.set_item("connected", !is_configured(state, route))?;
    row.set_item("unresolved", entry.unresolved().map(|reason| state.node.unresolved(&reason)))?;
    Ok(row)
}

fn policy_row<'py>(py: Python<'py>, state: &State, rule: &Rule) -> PyResult<Bound<'py, PyDict>> {
    let (table, kind) = action_text(rule.action);
    let row = PyDict::new(py);
    row.set_item("priority", rule.priority)?;
    row.set_item("family", if rule.family == Family::V4 { 4 } else { 6 })?;
    row.set_item("table", table)?;
    row.set_item("kind", kind)?;
    row.set_item("source", rule.from.map(|prefix| prefix.to_string()))?;
    row.set_item("destination", rule.to.map(|prefix| prefix.to_string()))?;
    row.set_item("port", rule.in_port.map(|port| state.node.port_name(port).to_owned()))?;
    row.set_item("mark", rule.mark.map(|(mark, _)| mark))?;
    row.set_item("mask", rule.mark.map(|(_, mask)| mask))?;
    row.set_item("dscp", rule.dscp)?;
    row.set_item("invert", rule.invert)?;
    row.set_item("suppress_length", rule.suppress_prefix_length)?;
    Ok(row)
}

pub fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

pub fn family_text(family: TableFamily) -> &'static str {
    match family {
        TableFamily::Inet => "inet",
        TableFamily::Ip => "ip",
        TableFamily::Ip6 => "ip6",
    }
}

/// Messages about neighbours, counted.
fn discovery<'py>(py: Python<'py>, counters: &DiscoveryCounters) -> PyResult<Bound<'py, PyDict>> {
    let (row, invalid) = (PyDict::new(py), PyDict::new(py));
    row.set_item("solicitations_in", counters.solicitations_in)?;
    row.set_item("advertisements_in", counters.advertisements_in)?;
    row.set_item("solicitations_out", counters.solicitations_out)?;
    row.set_item("advertisements_out", counters.advertisements_out)?;
    row.set_item("no_source", counters.no_source)?;
    row.set_item("conflicts", counters.conflicts)?;
    for (error, count) in counters.invalid() {
        invalid.set_item(error.name(), count)?;
    }
    row.set_item("invalid", invalid)?;
    Ok(row)
}

#[pymethods]
impl Node {
    fn ports<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (state, list) = (self.lock(py), PyList::empty(py));
        for (id, port) in state.node.port_configs() {
            let addresses = port.addresses.iter().map(|(address, length)| format!("{address}/{length}"));
            let row = PyDict::new(py);
            row.set_item("name", &port.name)?;
            row.set_item("mac", mac_text(port.mac))?;
            row.set_item("addresses", addresses.collect::<Vec<_>>())?;
            row.set_item("mtu", port.mtu)?;
            row.set_item("parent", port.vlan.map(|(parent, _)| state.node.port_name(parent).to_owned()))?;
            row.set_item("vlan", port.vlan.map(|(_, id)| id))?;
            row.set_item("rp_filter", word(RP_FILTER, port.rp_filter))?;
            row.set_item("directed_broadcast", port.directed_broadcast)?;
            row.set_item("resolve", port.resolve)?;
            row.set_item("point_to_point", port.point_to_point)?;
            let features: Vec<_> = port.features.iter().map(|feature| feature.name()).collect();
            row.set_item("features", features)?;
            row.set_item("gro_flush_timeout", port.gro_flush_timeout.as_nanos() as f64 / 1e9)?;
            if let Some(spec) = state.device_of(id) {
                row.set_item("device", spec.kind().name)?;
            }
            list.append(row)?;
        }
        Ok(list)
    }

    fn routes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (state, list) = (self.lock(py), PyList::empty(py));
        for (_, entry) in state.node.fib().routes() {
            if entry.route().table != TableId::LOCAL {
                list.append(route_row(py, &state, entry)?)?;
            }
        }
        Ok(list)
    }

    fn policies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (state, list) = (self.lock(py), PyList::empty(py));
        for rule in configured_policies(&state) {
            list.append(policy_row(py, &state, &rule)?)?;
        }
        Ok(list)
    }

    fn neighbours<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (state, list) = (self.lock(py), PyList::empty(py));
        let mut all: Vec<_> = state.node.neighbours().iter().collect();
        all.sort_unstable_by_key(|entry| (entry.port, entry.address));
        let now = state.node.now();
        // What was entered before anybody told a time has no age.
        let age = |since: Instant| (since > Instant::ZERO).then(|| now.since(since).as_secs_f64());
        for entry in all {
            let row = PyDict::new(py);
            row.set_item("port", state.node.port_name(entry.port))?;
            row.set_item("ip", entry.address.to_string())?;
            row.set_item("mac", entry.mac.map(mac_text))?;
            row.set_item("state", entry.state.name())?;
            row.set_item("router", entry.is_router)?;
            let age_of_state = age(entry.since).filter(|_| entry.state != NeighbourState::Permanent);
            row.set_item("age", age_of_state)?;
            row.set_item("confirmed", age(entry.confirmed))?;
            row.set_item("probes", entry.probes)?;
            row.set_item("waiting", entry.waiting)?;
            list.append(row)?;
        }
        Ok(list)
    }

    fn rules<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (mut state, list) = (self.lock(py), PyList::empty(py));
        let counts = state.node.rule_state().clone();
        for rule in state.node.rules().rules() {
            let counted = rule.counters.iter().map(|counter| counts.counter(*counter)).next();
            let row = PyDict::new(py);
            row.set_item("table", format!("{} {}", family_text(rule.family), rule.table))?;
            row.set_item("chain", &*rule.chain)?;
            row.set_item("text", &*rule.text)?;
            row.set_item("comment", rule.comment.as_deref())?;
            row.set_item("line", state.loaded.locate(rule.span).1.map(|place| place.line))?;
            row.set_item("hits", counts.hits(rule.id))?;
            row.set_item("packets", counted.map(|count| count.packets))?;
            row.set_item("bytes", counted.map(|count| count.bytes))?;
            list.append(row)?;
        }
        Ok(list)
    }

    fn connections(&self, py: Python<'_>) -> ConnectionTable {
        let state = self.lock(py);
        ConnectionTable::new(state.node.now(), state.node.connections().collect())
    }

    #[pyo3(signature = (id: "int"))]
    fn delete_connection(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = connection_of)] id: u64,
    ) -> PyResult<()> {
        self.lock(py).node.delete_connection(id).map_err(|error| raise_node(py, "id", error))
    }

    fn flush_connections(&self, py: Python<'_>) -> usize {
        self.lock(py).node.flush_connections()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py);
        let counters = state.node.counters();
        let ports = PyDict::new(py);
        for (port, counts) in state.port_counts() {
            let row = port_row(py, &counts, &PortCounts::default())?;
            ports.set_item(state.node.port_name(port), row)?;
        }
        let dict = PyDict::new(py);
        dict.set_item("packets_in", counters.packets_in)?;
        dict.set_item("created", counters.created)?;
        dict.set_item("out", counters.out)?;
        dict.set_item("local", counters.local)?;
        dict.set_item("held", counters.held)?;
        dict.set_item("absorbed", counters.absorbed)?;
        dict.set_item("dropped", counters.dropped.total())?;
        dict.set_item("dropped_by", drops(py, &counters.dropped, &DropCounts::default())?)?;
        dict.set_item("ports", ports)?;
        dict.set_item("cache", super::work::cache_row(py, &counters.cache)?)?;
        dict.set_item("time_backwards", counters.time_backwards)?;
        dict.set_item("icmp_limited", counters.icmp_limited)?;
        dict.set_item("early_dropped", counters.early_dropped)?;
        dict.set_item("flows", state.node.entries())?;
        dict.set_item("hook_failed", state.hook_failed)?;
        dict.set_item("discovery", discovery(py, &counters.discovery)?)?;
        Ok(dict)
    }

    /// What is odd in the configuration: dictionaries of `severity`, `file`, `line`, `column` and `what`.
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for found in self.lock(py).findings() {
            let row = PyDict::new(py);
            row.set_item("severity", "warning")?;
            row.set_item("file", found.file)?;
            row.set_item("line", found.place.map(|place| place.line))?;
            row.set_item("column", found.place.map(|place| place.column))?;
            row.set_item("what", found.what)?;
            list.append(row)?;
        }
        Ok(list)
    }
}

fn connection_of(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    number_of(object, "id", "the number of a connection, as connections() tells it")
}

impl State {
    /// Neighbours that were set: port, address, link address; in order.
    pub fn set_neighbours(&self) -> Vec<(PortId, IpAddr, netfast_datapath::Mac)> {
        let entries = self.node.neighbours().iter().filter(|entry| entry.state == NeighbourState::Permanent);
        let mut all: Vec<_> =
            entries.filter_map(|entry| Some((entry.port, entry.address, entry.mac?))).collect();
        all.sort_unstable();
        all
    }

    /// What went through each port.
    pub fn port_counts(&self) -> Vec<(PortId, PortCounts)> {
        let ports = self.node.port_configs().map(|(port, _)| port);
        ports.filter_map(|port| Some((port, self.node.port_counts(port).ok()?.clone()))).collect()
    }
}
