//! A node as TOML says it, every value with its place.
//!
//! Names are those of the arguments in Python, and `docs/` tells them; [`super::build`] makes the node.
use super::build::find_unknown_ports;
use super::mistake::Mistake;
use super::place::{Place, Placed, lines_of_string};
use super::read::{Document, Table, Value};
use super::settings::{SETTINGS, STACK_KEYS, Setting, TIMEOUT_KEYS, TIMEOUTS, read_setting};
use super::value::{self, DEAD_ENDS, DeadEnd, RP_FILTER, refused};
use crate::serve::Wanted;
use netfast_datapath::{Mac, RpFilter};
use netfast_fib::{Prefix, TableId};
use netfast_offload::features::FeatureSet;
use netfast_time::Duration;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

const TOP_KEYS: &[&str] =
    &["stack", "timeouts", "port", "route", "neighbour", "policy", "rules", "rules_file"];
const PORT_KEYS: &[&str] = &[
    "name",
    "mac",
    "addresses",
    "mtu",
    "parent",
    "vlan",
    "rp_filter",
    "directed_broadcast",
    "features",
    "gro_flush_timeout",
    "device",
    "resolve",
    "point_to_point",
];
const ROUTE_KEYS: &[&str] = &["prefix", "via", "port", "metric", "table", "kind", "source", "on_link", "mtu"];
const HOP_KEYS: &[&str] = &["via", "port", "weight", "on_link", "mtu"];
const NEIGHBOUR_KEYS: &[&str] = &["port", "ip", "mac"];
const POLICY_KEYS: &[&str] = &[
    "priority",
    "family",
    "source",
    "destination",
    "port",
    "mark",
    "mask",
    "dscp",
    "invert",
    "table",
    "kind",
    "suppress_length",
];

const PORT_NAME: &str = "the name of a port";

/// A node as it was described.
#[derive(Debug, Default)]
pub struct Description {
    /// `stack.name`.
    pub name: Option<String>,
    /// Settings that were given.
    pub settings: Vec<(&'static Setting, Placed<u64>)>,
    /// `[[port]]`.
    pub ports: Vec<PortText>,
    /// `[[route]]`.
    pub routes: Vec<RouteText>,
    /// `[[neighbour]]`.
    pub neighbours: Vec<NeighbourText>,
    /// `[[policy]]`.
    pub policies: Vec<PolicyText>,
    /// `rules` or `rules_file`.
    pub rules: Option<RulesText>,
}

/// A port.
#[derive(Clone, Debug)]
pub struct PortText {
    pub name: Placed<String>,
    /// A sub-interface without one has its parent's.
    pub mac: Option<Mac>,
    pub addresses: Vec<Placed<(IpAddr, u8)>>,
    pub mtu: Option<u32>,
    pub vlan: Option<(Placed<String>, u16)>,
    pub rp_filter: RpFilter,
    pub directed_broadcast: bool,
    pub features: FeatureSet,
    pub gro_flush_timeout: Duration,
    pub device: Option<Placed<Wanted>>,
    /// Without, as that of its parent; a port on a wire does.
    pub resolve: Option<bool>,
    pub point_to_point: bool,
}

/// A route.
#[derive(Clone, Debug)]
pub struct RouteText {
    pub place: Place,
    pub prefix: Prefix,
    pub hops: Vec<HopText>,
    pub dead_end: Option<DeadEnd>,
    pub metric: u32,
    pub table: TableId,
    pub source: Option<IpAddr>,
}

/// A next hop.
#[derive(Clone, Debug)]
pub struct HopText {
    pub gateway: Option<IpAddr>,
    pub port: Option<Placed<String>>,
    pub weight: u16,
    pub on_link: bool,
    pub mtu: Option<u32>,
}

/// A neighbour.
#[derive(Clone, Debug)]
pub struct NeighbourText {
    pub place: Place,
    pub port: Placed<String>,
    pub ip: IpAddr,
    pub mac: Mac,
}

/// A policy rule, as `ip rule` has them.
#[derive(Clone, Debug)]
pub struct PolicyText {
    pub place: Place,
    pub priority: u32,
    /// 4 or 6; without it that of the prefixes, or both.
    pub family: Option<u8>,
    pub source: Option<Prefix>,
    pub destination: Option<Prefix>,
    pub port: Option<Placed<String>>,
    pub mark: Option<(u32, u32)>,
    pub dscp: Option<u8>,
    pub invert: bool,
    pub table: Option<TableId>,
    pub dead_end: Option<DeadEnd>,
    pub suppress_length: Option<u8>,
}

/// Rules and where they stand.
#[derive(Clone, Debug)]
pub struct RulesText {
    pub file: String,
    pub text: String,
    /// Of rules within another text: where each of their lines begins there.
    pub lines: Vec<Place>,
}

impl Description {
    /// Reads a document; mistakes are noted in it.
    pub fn read<'t>(file: &str, text: &'t str, folder: &Path) -> (Self, Document<'t>) {
        let (mut document, table) = Document::parse(file, text);
        let start = Place { line: 1, column: 1 };
        let mut top = document.table("the file", start, table, TOP_KEYS);
        let mut node = Self::default();
        node.read_settings(&mut document, &mut top);
        for table in document.tables(&mut top, "port", "[[port]]", PORT_KEYS) {
            node.ports.extend(document.port(table));
        }
        for table in document.tables(&mut top, "route", "[[route]]", ROUTE_KEYS) {
            node.routes.extend(document.route(table));
        }
        for table in document.tables(&mut top, "neighbour", "[[neighbour]]", NEIGHBOUR_KEYS) {
            node.neighbours.extend(document.neighbour(table));
        }
        for table in document.tables(&mut top, "policy", "[[policy]]", POLICY_KEYS) {
            node.policies.extend(document.policy(table));
        }
        node.rules = document.rules(&mut top, folder);
        node.find_duplicates(&mut document);
        find_unknown_ports(&node, &mut document);
        (node, document)
    }

    fn read_settings<'t>(&mut self, document: &mut Document<'t>, top: &mut Table<'t>) {
        for mut table in document.tables(top, "stack", "[stack]", STACK_KEYS) {
            if let Some(name) = table.take("name") {
                self.name = document.text("name", "the name of the stack", name).map(|name| name.value);
            }
            self.read_some(document, &mut table, SETTINGS);
        }
        for mut table in document.tables(top, "timeouts", "[timeouts]", TIMEOUT_KEYS) {
            self.read_some(document, &mut table, TIMEOUTS);
        }
    }

    fn read_some(
        &mut self,
        document: &mut Document<'_>,
        table: &mut Table<'_>,
        settings: &'static [Setting],
    ) {
        for setting in settings {
            let value = table.take(setting.name).and_then(|value| read_setting(document, setting, value));
            self.settings.extend(value.map(|value| (setting, value)));
        }
    }

    fn find_duplicates(&self, document: &mut Document<'_>) {
        let (mut names, mut addresses, mut vlans) = (Seen::default(), Seen::default(), Seen::default());
        let mut claimed = Seen::default();
        for port in &self.ports {
            let name = &port.name.value;
            names.check(
                document,
                name,
                port.name.place,
                "name",
                format!("port {name:?}"),
                "names are unique",
            );
            for Placed { value: (address, _), place } in &port.addresses {
                let text = format!("address {address}");
                addresses.check(
                    document,
                    address,
                    *place,
                    "addresses",
                    text,
                    "an address belongs to one port",
                );
            }
            if let Some(Placed { value, place }) = &port.device {
                for claim in value.spec.claims() {
                    let text = claim.to_string();
                    claimed.check(document, &claim, *place, "device", text, "a device is at one port");
                }
                let readers = self.ports.iter().filter_map(|port| port.device.as_ref());
                if let Some(path) = readers.into_iter().find_map(|it| value.spec.overwrites(&it.value.spec)) {
                    let path = path.to_owned();
                    document.note(*place, Mistake::Overwritten { key: "device", path });
                }
            }
            if let Some((parent, id)) = &port.vlan {
                let key = (parent.value.clone(), *id);
                let text = format!("VLAN {id} of port {:?}", parent.value);
                vlans.check(document, &key, parent.place, "vlan", text, "a VLAN is one sub-interface");
            }
        }
        let mut neighbours = Seen::default();
        for NeighbourText { place, port, ip, .. } in &self.neighbours {
            let text = format!("neighbour {ip} at port {:?}", port.value);
            let remedy = "a neighbour has one link address";
            neighbours.check(document, &(port.value.clone(), *ip), *place, "ip", text, remedy);
        }
        let mut routes = Seen::default();
        for RouteText { place, prefix, table, metric, .. } in &self.routes {
            let text = format!("route {prefix} table {table} metric {metric}");
            let remedy = "give another metric, or several next hops in via";
            routes.check(document, &(*prefix, *table, *metric), *place, "prefix", text, remedy);
        }
    }
}

/// What was there already, and where.
struct Seen<K>(HashMap<K, Place>);

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Seen<K> {
    fn check(
        &mut self,
        document: &mut Document<'_>,
        key: &K,
        place: Place,
        option: &'static str,
        value: String,
        remedy: &'static str,
    ) {
        if let Some(first) = self.0.insert(key.clone(), place) {
            self.0.insert(key.clone(), first);
            document.note(place, Mistake::Duplicate { key: option, value, first: Some(first), remedy });
        }
    }
}

impl<'t> Document<'t> {
    fn missing(&mut self, table: &Table<'_>, key: &'static str, expected: &'static str) {
        self.note(table.place, Mistake::Missing { table: table.name, key, expected });
    }

    fn name_of_port(&mut self, table: &mut Table<'t>, key: &'static str) -> Option<Placed<String>> {
        let value = table.take(key)?;
        self.text(key, PORT_NAME, value)
    }

    fn small<T: TryFrom<u64>>(
        &mut self,
        table: &mut Table<'t>,
        key: &'static str,
        expected: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<T> {
        let value = table.take(key)?;
        let number = self.number(key, expected, range, value)?;
        T::try_from(number.value).ok()
    }

    fn flag(&mut self, table: &mut Table<'t>, key: &'static str) -> bool {
        table.take(key).and_then(|value| self.boolean(key, value)).unwrap_or(false)
    }

    fn mtu(&mut self, table: &mut Table<'t>) -> Option<u32> {
        self.small(table, "mtu", "a number of bytes", 68..=65_535)
    }

    fn ip(&mut self, table: &mut Table<'t>, key: &'static str) -> Option<Placed<IpAddr>> {
        let value = table.take(key)?;
        self.parsed(key, "an address", value, |text| value::address(key, text))
    }

    fn prefix(&mut self, table: &mut Table<'t>, key: &'static str) -> Option<Placed<Prefix>> {
        let value = table.take(key)?;
        self.parsed(key, "a prefix", value, |text| value::prefix(key, text))
    }

    fn link_address(&mut self, table: &mut Table<'t>) -> Option<Mac> {
        let value = table.take("mac")?;
        Some(self.parsed("mac", "a link address", value, |text| value::mac("mac", text))?.value)
    }

    fn table_id(&mut self, table: &mut Table<'t>) -> Option<TableId> {
        const EXPECTED: &str = "a table's number or name";
        let value = table.take("table")?;
        match value.get_ref() {
            DeValue::Integer(_) => {
                let number = self.number("table", EXPECTED, 1..=u64::from(u32::MAX), value)?;
                u32::try_from(number.value).ok().map(TableId)
            }
            _ => Some(self.parsed("table", EXPECTED, value, |text| value::table("table", text))?.value),
        }
    }

    fn dead_end(&mut self, table: &mut Table<'t>) -> Option<DeadEnd> {
        let value = table.take("kind")?;
        self.parsed("kind", "a kind of route", value, |text| value::choice("kind", DEAD_ENDS, text))?.value
    }

    fn port(&mut self, mut table: Table<'t>) -> Option<PortText> {
        let (had_name, had_mac) = (table.has("name"), table.has("mac"));
        let is_carried = table.has("parent") || table.has("vlan");
        let takes = (!had_mac, !table.has("mtu"), !table.has("features"));
        let device = table.take("device");
        let had_device = device.is_some();
        let (name, mac) = (self.name_of_port(&mut table, "name"), self.link_address(&mut table));
        let addresses = table.take("addresses").map(|value| self.list(value)).unwrap_or_default();
        let mut interfaces = Vec::new();
        for value in addresses {
            let parse = |text: &str| value::interface("addresses", text);
            interfaces.extend(self.parsed("addresses", "an address with its prefix length", value, parse));
        }
        let vlan = self.vlan(&mut table);
        let rp_filter = table.take("rp_filter").and_then(|value| {
            let parse = |text: &str| value::choice("rp_filter", RP_FILTER, text);
            self.parsed("rp_filter", "off, strict or loose", value, parse)
        });
        let mut features = FeatureSet::NONE;
        for value in table.take("features").map(|value| self.list(value)).unwrap_or_default() {
            let found = self
                .parsed("features", "names of ethtool -k", value, |text| value::features("features", text));
            features = features.with(found.map_or(FeatureSet::NONE, |found| found.value));
        }
        let hold = table.take("gro_flush_timeout").and_then(|value| self.seconds("gro_flush_timeout", value));
        let port = PortText {
            mac,
            features,
            gro_flush_timeout: hold.map_or(Duration::ZERO, |hold| Duration::from_nanos(hold.value)),
            addresses: interfaces,
            mtu: self.mtu(&mut table),
            rp_filter: rp_filter.map_or(RpFilter::Off, |mode| mode.value),
            directed_broadcast: self.flag(&mut table, "directed_broadcast"),
            resolve: table.take("resolve").and_then(|value| self.boolean("resolve", value)),
            point_to_point: self.flag(&mut table, "point_to_point"),
            name: name.unwrap_or(Placed { value: String::new(), place: table.place }),
            vlan,
            device: device.and_then(|value| {
                let place = self.place(value.span());
                let (takes_mac, takes_mtu, takes_features) = takes;
                let wanted = Wanted { spec: self.device(value)?, takes_mac, takes_mtu, takes_features };
                Some(Placed { value: wanted, place })
            }),
        };
        if had_device && port.vlan.is_some() {
            let remedy = "packets of a sub-interface travel on the device of its parent";
            self.note(table.place, Mistake::Contradiction { first: "device", second: "vlan", remedy });
        }
        if !had_name {
            self.missing(&table, "name", PORT_NAME);
        }
        if !had_mac && !had_device && !is_carried && !port.point_to_point {
            self.missing(&table, "mac", "the port's link address");
        }
        Some(port)
    }

    fn vlan(&mut self, table: &mut Table<'t>) -> Option<(Placed<String>, u16)> {
        let (has_parent, has_id) = (table.has("parent"), table.has("vlan"));
        let parent = self.name_of_port(table, "parent");
        let id = self.small(table, "vlan", "a VLAN identifier", 1..=4_094);
        match (has_parent, has_id) {
            (true, false) => self.missing(table, "vlan", "the identifier of the VLAN at its parent"),
            (false, true) => self.missing(table, "parent", "the name of the port that carries the VLAN"),
            _ => {}
        }
        parent.zip(id)
    }

    fn route(&mut self, mut table: Table<'t>) -> Option<RouteText> {
        let had_prefix = table.has("prefix");
        let prefix = self.prefix(&mut table, "prefix");
        let via = table.take("via");
        let port = self.name_of_port(&mut table, "port");
        let (on_link, mtu) = (self.flag(&mut table, "on_link"), self.mtu(&mut table));
        let (given, had_kind) = (via.is_some() || port.is_some(), table.has("kind"));
        let dead_end = self.dead_end(&mut table);
        let common = HopText { gateway: None, port, weight: 1, on_link, mtu };
        let hops = match via {
            Some(via) => self.hops(via, &common),
            None if common.port.is_some() => vec![common],
            None => Vec::new(),
        };
        let route = RouteText {
            place: table.place,
            hops,
            dead_end,
            metric: self.small(&mut table, "metric", "a metric", 0..=u64::from(u32::MAX)).unwrap_or(0),
            table: self.table_id(&mut table).unwrap_or(TableId::MAIN),
            source: self.ip(&mut table, "source").map(|source| source.value),
            prefix: match (prefix, had_prefix) {
                (Some(prefix), _) => prefix.value,
                (None, true) => return None,
                (None, false) => {
                    self.missing(&table, "prefix", "the destinations, such as ::/0");
                    return None;
                }
            },
        };
        match (given, dead_end.is_some()) {
            (false, false) if !had_kind => {
                self.missing(&table, "via", "a gateway, or port for neighbours, or kind");
            }
            (true, true) => {
                let remedy = "a route of this kind has no next hops";
                self.note(
                    table.place,
                    Mistake::Contradiction { first: "kind", second: "via or port", remedy },
                );
            }
            _ => {}
        }
        Some(route)
    }

    fn hops(&mut self, via: Value<'t>, common: &HopText) -> Vec<HopText> {
        let mut hops = Vec::new();
        for value in self.list(via) {
            let span = value.span();
            let place = self.place(span.clone());
            let hop = match value.into_inner() {
                DeValue::Table(table) => {
                    let table = self.table("a next hop", place, table, HOP_KEYS);
                    self.hop(table, common)
                }
                other => {
                    let value = toml::Spanned::new(span, other);
                    let gateway = self.parsed("via", "a gateway, or a list of them", value, |text| {
                        value::address("via", text)
                    });
                    gateway.map(|gateway| HopText { gateway: Some(gateway.value), ..common.clone() })
                }
            };
            hops.extend(hop);
        }
        hops
    }

    fn hop(&mut self, mut table: Table<'t>, common: &HopText) -> Option<HopText> {
        let had_gateway = table.has("via");
        let gateway = self.ip(&mut table, "via");
        let hop = HopText {
            gateway: gateway.map(|gateway| gateway.value),
            port: self.name_of_port(&mut table, "port").or_else(|| common.port.clone()),
            weight: self.small(&mut table, "weight", "a weight", 1..=65_535).unwrap_or(1),
            on_link: self.flag(&mut table, "on_link") || common.on_link,
            mtu: self.mtu(&mut table).or(common.mtu),
        };
        if !had_gateway && hop.port.is_none() {
            self.missing(&table, "via", "a gateway, or port for neighbours");
            return None;
        }
        (had_gateway == hop.gateway.is_some()).then_some(hop)
    }

    fn neighbour(&mut self, mut table: Table<'t>) -> Option<NeighbourText> {
        for (key, expected) in [("port", PORT_NAME), ("ip", "its address"), ("mac", "its link address")] {
            if !table.has(key) {
                self.missing(&table, key, expected);
            }
        }
        let port = self.name_of_port(&mut table, "port");
        let (ip, mac) = (self.ip(&mut table, "ip"), self.link_address(&mut table));
        let ip = ip?;
        Some(NeighbourText { place: ip.place, port: port?, ip: ip.value, mac: mac? })
    }

    fn policy(&mut self, mut table: Table<'t>) -> Option<PolicyText> {
        let most = u64::from(u32::MAX);
        if !table.has("priority") {
            self.missing(&table, "priority", "a number; the rules of lower numbers are asked first");
        }
        let priority = self.small(&mut table, "priority", "a priority", 0..=most);
        let mark = self.small(&mut table, "mark", "a number, such as 0x10", 0..=most);
        let mask = self.small(&mut table, "mask", "a number, such as 0xff", 0..=most).unwrap_or(u32::MAX);
        let policy = PolicyText {
            place: table.place,
            family: self.family(&mut table),
            source: self.prefix(&mut table, "source").map(|prefix| prefix.value),
            destination: self.prefix(&mut table, "destination").map(|prefix| prefix.value),
            port: self.name_of_port(&mut table, "port"),
            mark: mark.map(|mark| (mark, mask)),
            dscp: self.small(&mut table, "dscp", "a DSCP", 0..=63),
            invert: self.flag(&mut table, "invert"),
            table: self.table_id(&mut table),
            dead_end: self.dead_end(&mut table),
            suppress_length: self.small(&mut table, "suppress_length", "a prefix length", 0..=128),
            priority: priority?,
        };
        match (policy.table, policy.dead_end) {
            (None, None) => self.missing(&table, "table", "the table to look into, or kind"),
            (Some(_), Some(_)) => {
                let remedy = "a policy looks into a table or ends the search";
                self.note(table.place, Mistake::Contradiction { first: "kind", second: "table", remedy });
            }
            _ => {}
        }
        Some(policy)
    }

    fn family(&mut self, table: &mut Table<'t>) -> Option<u8> {
        let value = table.take("family")?;
        let number = self.number("family", "4 or 6", 4..=6, value)?;
        if number.value == 5 {
            let mistake = Mistake::Value {
                key: "family",
                expected: "4 or 6".to_owned(),
                found: "5".to_owned(),
                nearest: None,
            };
            self.note(number.place, mistake);
        }
        u8::try_from(number.value).ok().filter(|family| *family != 5)
    }

    fn rules(&mut self, top: &mut Table<'t>, folder: &Path) -> Option<RulesText> {
        let (inline, file) = (top.take("rules"), top.take("rules_file"));
        if let (Some(_), Some(file)) = (&inline, &file) {
            let remedy = "leave one of them out; a file can be put into rules as it is";
            let place = self.place(file.span());
            self.note(place, Mistake::Contradiction { first: "rules", second: "rules_file", remedy });
        }
        if let Some(value) = inline {
            let span = value.span();
            let raw = self.source.slice(span.clone());
            let text = self.text("rules", "rules as nft has them", value)?;
            // A table alone has spaces in it.
            if !text.value.is_empty() && !text.value.contains(char::is_whitespace) {
                let expected = "rules as nft has them (rules_file names a file of them)";
                self.note(text.place, refused("rules", expected, &text.value));
                return None;
            }
            let text = text.value;
            let lines = lines_of_string(&self.source, raw, span.start);
            return Some(RulesText { file: self.file.clone(), text, lines });
        }
        let name = self.text("rules_file", "the name of a file", file?)?;
        let path: PathBuf = folder.join(&name.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(RulesText { file: path.display().to_string(), text, lines: Vec::new() }),
            Err(source) => {
                self.note(name.place, Mistake::RulesFile { path, source });
                None
            }
        }
    }
}
