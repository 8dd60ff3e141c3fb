//! A node as TOML, as `describe` reads it.
use super::devices::device_text;
use super::list::{action_text, configured_policies, is_configured, kind_text};
use super::settings::{SETTINGS, Setting, TIMEOUTS, toml_text};
use super::state::State;
use super::value::{RP_FILTER, mac_text, word};
use netfast_datapath::{NodeConfig, RpFilter};
use netfast_fib::{Family, NextHop, Route, Rule, TableId};
use netfast_time::Duration;
use std::fmt::Write;

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// Lines of `key = value`.
struct Lines(String);

impl Lines {
    fn head(&mut self, head: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(head);
        self.0.push('\n');
    }

    fn put(&mut self, key: &str, value: impl std::fmt::Display) {
        // A String takes all that is written.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl AsRef<str>) {
        self.put(key, quoted(value.as_ref()));
    }

    fn table(&mut self, table: TableId) {
        match table {
            TableId::MAIN => {}
            TableId::LOCAL | TableId::DEFAULT => self.text("table", table.to_string()),
            TableId(number) => self.put("table", number),
        }
    }
}

/// The node: its settings, tables and rules.
pub fn toml(state: &mut State) -> String {
    let mut lines = Lines(String::new());
    let rules = state.node.source().to_string();
    if !rules.trim().is_empty() {
        let rules = rules.trim_start_matches('\n');
        // A literal string takes everything as it is, but three quotes, which a comment may hold.
        match rules.contains("'''") {
            false => lines.put("rules", format!("'''\n{rules}'''")),
            true => lines.text("rules", rules),
        }
    }
    lines.head("[stack]");
    lines.text("name", &state.name);
    let config = state.node.config();
    if state.seed_given {
        lines.put("seed", config.seed);
    }
    write_settings(&mut lines, config, SETTINGS);
    let mut timeouts = Lines(String::new());
    write_settings(&mut timeouts, config, TIMEOUTS);
    if !timeouts.0.is_empty() {
        lines.head("[timeouts]");
        lines.0.push_str(&timeouts.0);
    }
    write_ports(&mut lines, state);
    for (_, entry) in state.node.fib().routes().filter(|(_, entry)| is_configured(state, entry.route())) {
        write_route(&mut lines, state, entry.route());
    }
    for (port, ip, mac) in state.set_neighbours() {
        lines.head("[[neighbour]]");
        lines.text("port", state.node.port_name(port));
        lines.text("ip", ip.to_string());
        lines.text("mac", mac_text(mac));
    }
    for rule in configured_policies(state) {
        write_policy(&mut lines, state, &rule);
    }
    lines.0
}

/// Settings that differ from their defaults.
fn write_settings(lines: &mut Lines, config: &NodeConfig, settings: &[Setting]) {
    let defaults = NodeConfig::default();
    for setting in settings {
        let value = (setting.value)(config);
        // A seed that was drawn is secret, and drawn anew; another is written already.
        if value != (setting.value)(&defaults) && setting.name != "seed" {
            lines.put(setting.name, toml_text(setting, value));
        }
    }
}

fn write_ports(lines: &mut Lines, state: &State) {
    for (id, port) in state.node.port_configs() {
        lines.head("[[port]]");
        lines.text("name", &port.name);
        if !port.point_to_point {
            lines.text("mac", mac_text(port.mac));
        }
        let addresses: Vec<_> =
            port.addresses.iter().map(|(ip, length)| format!("\"{ip}/{length}\"")).collect();
        if !addresses.is_empty() {
            lines.put("addresses", format!("[{}]", addresses.join(", ")));
        }
        lines.put("mtu", port.mtu);
        if let Some((parent, id)) = port.vlan {
            lines.text("parent", state.node.port_name(parent));
            lines.put("vlan", id);
        }
        if let Some(spec) = state.device_of(id).filter(|spec| spec.is_text()) {
            lines.put("device", device_text(spec, quoted));
        }
        if port.rp_filter != RpFilter::Off {
            lines.text("rp_filter", word(RP_FILTER, port.rp_filter));
        }
        if port.directed_broadcast {
            lines.put("directed_broadcast", true);
        }
        if !port.features.is_empty() {
            let names: Vec<_> = port.features.iter().map(|feature| format!("\"{feature}\"")).collect();
            lines.put("features", format!("[{}]", names.join(", ")));
        }
        if port.gro_flush_timeout > Duration::ZERO {
            lines.put("gro_flush_timeout", port.gro_flush_timeout.as_nanos() as f64 / 1e9);
        }
        if port.resolve {
            lines.put("resolve", true);
        }
        if port.point_to_point {
            lines.put("point_to_point", true);
        }
    }
}

fn write_route(lines: &mut Lines, state: &State, route: &Route) {
    lines.head("[[route]]");
    lines.text("prefix", route.prefix.to_string());
    match route.hops() {
        [] => lines.text("kind", kind_text(&route.kind)),
        [hop] if hop.weight == 1 => write_hop(lines, state, hop),
        hops => {
            let hops: Vec<_> = hops.iter().map(|hop| hop_text(state, hop)).collect();
            lines.put("via", format!("[{}]", hops.join(", ")));
        }
    }
    if route.metric != 0 {
        lines.put("metric", route.metric);
    }
    lines.table(route.table);
    if let Some(source) = route.preferred_source {
        lines.text("source", source.to_string());
    }
}

/// The only next hop of a route.
fn write_hop(lines: &mut Lines, state: &State, hop: &NextHop) {
    if let Some(gateway) = hop.gateway {
        lines.text("via", gateway.to_string());
    }
    if let Some(port) = hop.port {
        lines.text("port", state.node.port_name(port));
    }
    if hop.on_link {
        lines.put("on_link", true);
    }
    if let Some(mtu) = hop.mtu {
        lines.put("mtu", mtu);
    }
}

/// One of several next hops: its gateway alone where that says everything.
fn hop_text(state: &State, hop: &NextHop) -> String {
    let mut parts = Vec::new();
    if let Some(gateway) = hop.gateway {
        if *hop == NextHop::gateway(gateway) {
            return format!("\"{gateway}\"");
        }
        parts.push(format!("via = \"{gateway}\""));
    }
    if let Some(port) = hop.port {
        parts.push(format!("port = {}", quoted(state.node.port_name(port))));
    }
    if hop.weight != 1 {
        parts.push(format!("weight = {}", hop.weight));
    }
    if hop.on_link {
        parts.push("on_link = true".to_owned());
    }
    parts.extend(hop.mtu.map(|mtu| format!("mtu = {mtu}")));
    format!("{{ {} }}", parts.join(", "))
}

fn write_policy(lines: &mut Lines, state: &State, rule: &Rule) {
    lines.head("[[policy]]");
    lines.put("priority", rule.priority);
    lines.put("family", if rule.family == Family::V4 { 4 } else { 6 });
    for (key, prefix) in [("source", rule.from), ("destination", rule.to)] {
        if let Some(prefix) = prefix {
            lines.text(key, prefix.to_string());
        }
    }
    if let Some(port) = rule.in_port {
        lines.text("port", state.node.port_name(port));
    }
    if let Some((mark, mask)) = rule.mark {
        lines.put("mark", format_args!("{mark:#x}"));
        lines.put("mask", format_args!("{mask:#x}"));
    }
    if let Some(dscp) = rule.dscp {
        lines.put("dscp", dscp);
    }
    if rule.invert {
        lines.put("invert", true);
    }
    match action_text(rule.action) {
        (Some(table), _) => match table.parse::<u32>() {
            Ok(number) => lines.put("table", number),
            Err(_) => lines.text("table", table),
        },
        (None, kind) => lines.text("kind", kind.unwrap_or_default()),
    }
    if let Some(length) = rule.suppress_prefix_length {
        lines.put("suppress_length", length);
    }
}
