//! Commands: ports, addresses, routes, neighbours, policies, rules.
use super::describe::{HopText, NeighbourText, PolicyText, PortText, RouteText};
use super::mistake::Mistake;
use super::packets::PushResult;
use super::place::{Place, Placed};
use super::rules::{Loaded, OwnRules};
use super::value::{self, DEAD_ENDS, RP_FILTER};
use super::{Node, raise, raise_node, raise_rules};
use crate::errors::option_error;
use crate::offload::features::{Features, features_of};
use netfast_fib::{Family, RouteKey};
use netfast_time::Duration;
use pyo3::prelude::*;

/// The place of what is no text.
const NOWHERE: Place = Place { line: 0, column: 0 };

fn placed<T>(value: T) -> Placed<T> {
    Placed { value, place: NOWHERE }
}

/// A number that an argument takes from a range.
fn within<T: TryFrom<u64>>(
    key: &'static str,
    expected: &'static str,
    range: std::ops::RangeInclusive<u64>,
    given: i64,
) -> Result<T, Mistake> {
    let number = u64::try_from(given).ok().filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let expected = format!("{expected}, from {} to {}", range.start(), range.end());
        Mistake::Value { key, expected, found: given.to_string(), nearest: None }
    })
}

fn maybe<T: TryFrom<u64>>(
    key: &'static str,
    expected: &'static str,
    range: std::ops::RangeInclusive<u64>,
    given: Option<i64>,
) -> Result<Option<T>, Mistake> {
    given.map(|given| within(key, expected, range, given)).transpose()
}

const MOST: u64 = u32::MAX as u64;

#[pymethods]
impl Node {
    #[pyo3(signature = (name, *, mac=None, addresses, mtu=None, parent=None, vlan=None, rp_filter="off", directed_broadcast=false, features=None, gro_flush_timeout=0.0, resolve=None, point_to_point=false))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn add_port(
        &self,
        py: Python<'_>,
        name: String,
        mac: Option<&str>,
        addresses: Vec<String>,
        mtu: Option<i64>,
        parent: Option<String>,
        vlan: Option<i64>,
        rp_filter: &str,
        directed_broadcast: bool,
        features: Option<&Bound<'_, PyAny>>,
        gro_flush_timeout: f64,
        resolve: Option<bool>,
        point_to_point: bool,
    ) -> PyResult<()> {
        let features = features.map(features_of).transpose()?.unwrap_or_default();
        if !(0.0..=3_600.0).contains(&gro_flush_timeout) {
            let text = format!("gro_flush_timeout={gro_flush_timeout}: give seconds, from 0 to 3600");
            return Err(option_error(py, "gro_flush_timeout", &text));
        }
        let read = || -> Result<PortText, Mistake> {
            let missing = |key, expected| Mistake::Missing { table: "the port", key, expected };
            let id = maybe("vlan", "a VLAN identifier", 1..=4_094, vlan)?;
            let vlan = match (parent, id) {
                (Some(parent), Some(id)) => Some((placed(parent), id)),
                (None, None) => None,
                (Some(_), None) => return Err(missing("vlan", "the identifier of the VLAN at its parent")),
                (None, Some(_)) => return Err(missing("parent", "the port that carries the VLAN")),
            };
            let interface = |text: &String| value::interface("addresses", text).map(placed);
            Ok(PortText {
                name: placed(name),
                mac: mac.map(|mac| value::mac("mac", mac)).transpose()?,
                addresses: addresses.iter().map(interface).collect::<Result<_, _>>()?,
                mtu: maybe("mtu", "a number of bytes", 68..=65_535, mtu)?,
                vlan,
                rp_filter: value::choice("rp_filter", RP_FILTER, rp_filter)?,
                directed_broadcast,
                features,
                gro_flush_timeout: Duration::from_nanos((gro_flush_timeout * 1e9) as u64),
                device: None,
                resolve,
                point_to_point,
            })
        };
        let port = read().map_err(|mistake| raise(py, mistake))?;
        self.lock(py).add_port(&port).map_err(|mistake| raise(py, mistake))
    }

    fn remove_port(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let mut state = self.lock(py);
        let port = state.port("name", name).map_err(|mistake| raise(py, mistake))?;
        state.taps.remove(port).map_err(|(path, error)| crate::gate::raise_io(py, &path, &error))?;
        state.node.remove_port(port).map_err(|error| raise_node(py, "name", error))?;
        state.wanted.remove(&port);
        let Some(mut device) = state.detach(port) else { return Ok(()) };
        device.close(state.node.pool()).map_err(|error| crate::device::device_error(py, &error))
    }

    /// What is on at a port.
    fn features(&self, py: Python<'_>, port: &str) -> PyResult<Features> {
        let state = self.lock(py);
        let port = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let features = state.node.features(port).map_err(|error| raise_node(py, "port", error))?;
        Ok(Features::of(features))
    }

    fn set_features(&self, py: Python<'_>, port: &str, features: &Bound<'_, PyAny>) -> PyResult<()> {
        let features = features_of(features)?;
        let mut state = self.lock(py);
        let port = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        state.node.set_features(port, features).map_err(|error| raise_node(py, "features", error))
    }

    fn add_address(&self, py: Python<'_>, port: &str, address: &str) -> PyResult<()> {
        let mut state = self.lock(py);
        let port = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let read = value::interface("address", address).map_err(|mistake| raise(py, mistake));
        let (address, length) = read?;
        state.node.add_address(port, address, length).map_err(|error| raise_node(py, "address", error))
    }

    fn remove_address(&self, py: Python<'_>, port: &str, address: &str) -> PyResult<()> {
        let mut state = self.lock(py);
        let port = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        let alone = address.split('/').next().unwrap_or_default();
        let address = value::address("address", alone).map_err(|mistake| raise(py, mistake))?;
        state.node.remove_address(port, address).map_err(|error| raise_node(py, "address", error))
    }

    #[pyo3(signature = (prefix, via, *, port=None, kind="unicast", metric=0, table="main", source=None, on_link=false, mtu=None, replace=false))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn add_route(
        &self,
        py: Python<'_>,
        prefix: &str,
        via: Vec<(Option<String>, i64, Option<String>)>,
        port: Option<String>,
        kind: &str,
        metric: i64,
        table: &str,
        source: Option<&str>,
        on_link: bool,
        mtu: Option<i64>,
        replace: bool,
    ) -> PyResult<()> {
        let read = || -> Result<RouteText, Mistake> {
            let dead_end = value::choice("kind", DEAD_ENDS, kind)?;
            let mtu = maybe("mtu", "a number of bytes", 68..=65_535, mtu)?;
            let common = HopText { gateway: None, port: port.map(placed), weight: 1, on_link, mtu };
            let hop = |(gateway, weight, port): &(Option<String>, i64, Option<String>)| {
                Ok(HopText {
                    gateway: gateway.as_deref().map(|text| value::address("via", text)).transpose()?,
                    port: port.clone().map(placed).or_else(|| common.port.clone()),
                    weight: within("via", "a weight", 1..=65_535, *weight)?,
                    ..common.clone()
                })
            };
            let mut hops = via.iter().map(hop).collect::<Result<Vec<_>, Mistake>>()?;
            if hops.is_empty() && common.port.is_some() {
                hops.push(common);
            }
            match (hops.is_empty(), dead_end.is_some()) {
                (true, false) => {
                    let expected = "a gateway, or port for neighbours, or kind";
                    return Err(Mistake::Missing { table: "the route", key: "via", expected });
                }
                (false, true) => {
                    let remedy = "a route of this kind has no next hops";
                    return Err(Mistake::Contradiction { first: "kind", second: "via or port", remedy });
                }
                _ => {}
            }
            Ok(RouteText {
                place: NOWHERE,
                prefix: value::prefix("prefix", prefix)?,
                hops,
                dead_end,
                metric: within("metric", "a metric", 0..=MOST, metric)?,
                table: value::table("table", table)?,
                source: source.map(|text| value::address("source", text)).transpose()?,
            })
        };
        let route = read().map_err(|mistake| raise(py, mistake))?;
        self.lock(py).add_route(&route, replace).map_err(|mistake| raise(py, mistake))
    }

    #[pyo3(signature = (prefix, *, metric=0, table="main"))]
    fn remove_route(&self, py: Python<'_>, prefix: &str, metric: i64, table: &str) -> PyResult<()> {
        let read = || -> Result<RouteKey, Mistake> {
            let table = value::table("table", table)?;
            let metric = within("metric", "a metric", 0..=MOST, metric)?;
            Ok(RouteKey { table, prefix: value::prefix("prefix", prefix)?, metric })
        };
        let key = read().map_err(|mistake| raise(py, mistake))?;
        self.lock(py).node.remove_route(&key).map(drop).map_err(|error| raise_node(py, "prefix", error))
    }

    #[pyo3(signature = (port, ip, mac, now=None))]
    fn add_neighbour(
        &self,
        py: Python<'_>,
        port: String,
        ip: &str,
        mac: &str,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PushResult> {
        let read = || -> Result<NeighbourText, Mistake> {
            let (ip, mac) = (value::address("ip", ip)?, value::mac("mac", mac)?);
            Ok(NeighbourText { place: NOWHERE, port: placed(port), ip, mac })
        };
        let neighbour = read().map_err(|mistake| raise(py, mistake))?;
        let now = value::maybe_time(now)?;
        let mut state = self.lock(py);
        let (now, mut outputs) = (state.now(now), state.outputs());
        let added = state.add_neighbour(&neighbour, now, &mut outputs);
        let result = self.finish(py, state, outputs);
        added.map_err(|mistake| raise(py, mistake))?;
        result
    }

    fn remove_neighbour(&self, py: Python<'_>, port: &str, ip: &str) -> PyResult<()> {
        let address = value::address("ip", ip).map_err(|mistake| raise(py, mistake))?;
        let mut state = self.lock(py);
        let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        match state.node.remove_neighbour(number, address) {
            true => Ok(()),
            false => Err(option_error(py, "ip", &format!("port {port} has no neighbour {address}"))),
        }
    }

    fn flush_neighbours(&self, py: Python<'_>, port: &str) -> PyResult<usize> {
        let mut state = self.lock(py);
        let number = state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        state.node.flush_neighbours(number).map_err(|error| raise_node(py, "port", error))
    }

    #[pyo3(signature = (priority, *, table=None, kind=None, source=None, destination=None, port=None, mark=None, mask=4294967295, dscp=None, family=None, invert=false, suppress_length=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn add_policy(
        &self,
        py: Python<'_>,
        priority: i64,
        table: Option<&str>,
        kind: Option<&str>,
        source: Option<&str>,
        destination: Option<&str>,
        port: Option<String>,
        mark: Option<i64>,
        mask: i64,
        dscp: Option<i64>,
        family: Option<i64>,
        invert: bool,
        suppress_length: Option<i64>,
    ) -> PyResult<()> {
        let read = || -> Result<PolicyText, Mistake> {
            let dead_end = match kind {
                Some(kind) => value::choice("kind", &DEAD_ENDS[1..], kind)?,
                None => None,
            };
            let table = table.map(|text| value::table("table", text)).transpose()?;
            if table.is_none() && dead_end.is_none() {
                let expected =
                    "table=, where to look, or kind=\"unreachable\", \"blackhole\" or \"prohibit\"";
                return Err(Mistake::Missing { table: "the policy", key: "table", expected });
            }
            if table.is_some() && dead_end.is_some() {
                let remedy = "a policy looks into a table or ends the search; give one of them";
                return Err(Mistake::Contradiction { first: "kind", second: "table", remedy });
            }
            if let Some(family) = family.filter(|family| !matches!(family, 4 | 6)) {
                return Err(value::refused("family", "4 or 6", &family.to_string()));
            }
            let mask: u32 = within("mask", "a mask", 0..=MOST, mask)?;
            let mark: Option<u32> = maybe("mark", "a mark", 0..=MOST, mark)?;
            Ok(PolicyText {
                place: NOWHERE,
                priority: within("priority", "a priority", 0..=MOST, priority)?,
                family: family.and_then(|family| u8::try_from(family).ok()),
                source: source.map(|text| value::prefix("source", text)).transpose()?,
                destination: destination.map(|text| value::prefix("destination", text)).transpose()?,
                port: port.map(placed),
                mark: mark.map(|mark| (mark, mask)),
                dscp: maybe("dscp", "a DSCP", 0..=63, dscp)?,
                invert,
                table,
                dead_end,
                suppress_length: maybe("suppress_length", "a prefix length", 0..=128, suppress_length)?,
            })
        };
        let policy = read().map_err(|mistake| raise(py, mistake))?;
        self.lock(py).add_policy(&policy).map_err(|mistake| raise(py, mistake))
    }

    #[pyo3(signature = (priority, family=None))]
    fn remove_policy(&self, py: Python<'_>, priority: u32, family: Option<u8>) -> PyResult<usize> {
        let mut state = self.lock(py);
        let asked = |each: &Family| match family {
            Some(family) => (family == 4) == (*each == Family::V4),
            None => true,
        };
        let families = [Family::V4, Family::V6].into_iter().filter(asked);
        let rules = families.flat_map(|family| state.node.fib().rules(family).to_vec());
        let rules: Vec<_> = rules.filter(|rule| rule.priority == priority).collect();
        for rule in &rules {
            state.node.remove_policy(rule).map_err(|error| raise_node(py, "priority", error))?;
        }
        Ok(rules.len())
    }

    fn load_rules(&self, py: Python<'_>, text: String, file: String) -> PyResult<()> {
        let mut guard = self.lock(py);
        let state = &mut *guard;
        let own = state.own.clone();
        let loaded = Loaded::new(file, text, Vec::new());
        py.detach(|| state.load_rules(loaded, own)).map_err(|problems| raise_rules(py, problems))
    }

    /// Rules as `nft -j list ruleset` prints them; what is not in the language, and where, is left out and told.
    fn load_json(&self, py: Python<'_>, text: &str) -> PyResult<Vec<(String, String)>> {
        let (ast, unsupported) = netfast_nft::parse_json(text)
            .map_err(|error| option_error(py, "ruleset", &format!("ruleset: {error}")))?;
        self.load_rules(py, ast.to_string(), "<kernel>".to_owned())?;
        Ok(unsupported.iter().map(|each| (each.what.to_string(), each.place.to_string())).collect())
    }

    /// Adds a rule to the table of short forms; `port` is one that must be there.
    #[pyo3(signature = (kind, hook, rule, port=None))]
    fn append_rule(
        &self,
        py: Python<'_>,
        kind: &str,
        hook: &str,
        rule: &str,
        port: Option<&str>,
    ) -> PyResult<()> {
        let mut guard = self.lock(py);
        let state = &mut *guard;
        if let Some(port) = port {
            state.port("port", port).map_err(|mistake| raise(py, mistake))?;
        }
        let Some(own) = state.own.with(kind, hook, rule) else {
            let hooks = OwnRules::hooks(kind).join(", ");
            return Err(option_error(py, "hook", &format!("hook={hook:?}: there are {hooks}")));
        };
        let loaded = state.loaded.clone();
        py.detach(|| state.load_rules(loaded, own)).map_err(|problems| raise_rules(py, problems))
    }

    /// All rules in the language of nft.
    fn rules_text(&self, py: Python<'_>) -> String {
        self.lock(py).node.source().to_string()
    }
}
