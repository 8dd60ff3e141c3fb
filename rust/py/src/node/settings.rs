//! Settings of a node by their names: in TOML, as arguments in Python, and where they are told.
use super::mistake::Mistake;
use super::place::Placed;
use super::read::{Document, Value};
use super::value;
use crate::errors::option_error;
use netfast_datapath::{HookPolicy, NodeConfig, Reassembly, Tracking};
use netfast_frag::OverlapPolicy;
use netfast_time::Duration;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};
use std::ops::RangeInclusive;

/// What a setting takes. Inside, every value is a number.
pub enum Kind {
    /// A whole number: what it is, and its range.
    Number(&'static str, RangeInclusive<u64>),
    /// Seconds; inside nanoseconds.
    Seconds,
    /// Yes or no; inside 1 or 0.
    Boolean,
    /// One of some words; inside its place among them.
    Choice(&'static [(&'static str, u64)]),
}

/// A setting.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Writes it into a configuration.
    pub set: fn(&mut NodeConfig, u64),
    /// Reads it from one.
    pub value: fn(&NodeConfig) -> u64,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const TRACKING: [Tracking; 3] = [Tracking::Auto, Tracking::On, Tracking::Off];
const REASSEMBLY: [Reassembly; 4] =
    [Reassembly::Auto, Reassembly::Virtual, Reassembly::Full, Reassembly::Off];
/// In the order of [`OverlapPolicy::ALL`]; of IPv6 the first two, for RFC 8200 4.5 has no others.
const OVERLAPS: &[(&str, u64)] =
    &[("drop", 0), ("linux", 1), ("bsd", 2), ("windows", 3), ("first", 4), ("last", 5)];
const HOOK_POLICY: [HookPolicy; 2] = [HookPolicy::Accept, HookPolicy::Drop];

/// The place of a value in its list.
fn index_of<T: PartialEq>(list: &[T], value: &T) -> u64 {
    list.iter().position(|known| known == value).unwrap_or(0) as u64
}

macro_rules! settings {
    (@kind count $about:literal $range:expr) => { Kind::Number($about, $range) };
    (@kind seconds) => { Kind::Seconds };
    (@kind boolean) => { Kind::Boolean };
    (@kind choice $words:expr, $list:expr) => { Kind::Choice($words) };
    (@set count $field:expr, $value:expr, $($rest:tt)*) => { $field = $value as _ };
    (@set seconds $field:expr, $value:expr,) => { $field = Duration::from_nanos($value) };
    (@set boolean $field:expr, $value:expr,) => { $field = $value != 0 };
    (@set choice $field:expr, $value:expr, $words:expr, $list:expr) => { $field = $list[$value as usize] };
    (@value count $field:expr, $($rest:tt)*) => { $field as u64 };
    (@value seconds $field:expr,) => { $field.as_nanos() };
    (@value boolean $field:expr,) => { u64::from($field) };
    (@value choice $field:expr, $words:expr, $list:expr) => { index_of(&$list, &$field) };
    ($(#[$doc:meta])* $keys:ident [$($more:literal),*] $table:ident {
        $($name:literal $($field:ident).+ : $kind:ident ($($rest:tt)*);)+
    }) => {
        $(#[$doc])*
        pub static $table: &[Setting] = &[$(Setting {
            name: $name,
            kind: settings!(@kind $kind $($rest)*),
            set: |config, value| settings!(@set $kind config.$($field).+, value, $($rest)*),
            value: |config| settings!(@value $kind config.$($field).+, $($rest)*),
        }),+];
        /// The names of these settings, and what else may stand with them.
        pub static $keys: &[&str] = &[$($more,)* $($name),+];
    };
}

const MOST: u64 = u32::MAX as u64;

settings! {
    /// Settings of `[stack]`, which are arguments of `Stack`.
    STACK_KEYS ["name"] SETTINGS {
        "seed" seed: count("a number" 0..=u64::MAX);
        "max_connections" max_connections: count("a number of connections" 1..=1 << 28);
        "max_programs" max_programs: count("a number of programs" 1..=1 << 24);
        "tracking" tracking: choice(&[("auto", 0), ("on", 1), ("off", 2)], TRACKING);
        "tcp_loose" tcp.loose: boolean();
        "tcp_liberal" tcp.liberal: boolean();
        "tcp_ignore_invalid_reset" tcp.ignore_invalid_reset: boolean();
        "tcp_max_retransmissions" tcp.max_retransmissions: count("a number of segments" 0..=255);
        "verify_checksums" verify_checksums: boolean();
        "icmp_rate" icmp_rate: count("errors a second" 0..=MOST);
        "icmp_burst" icmp_burst: count("a number of errors" 1..=MOST);
        "answer_echo" answer_echo: boolean();
        "neighbour_rate" neighbour_rate: count("answers a second" 0..=MOST);
        "neighbour_burst" neighbour_burst: count("a number of answers" 1..=MOST);
        "hop_limit" hop_limit: count("a hop limit" 1..=255);
        "endpoint_independent" endpoint_independent: boolean();
        "endpoint_independent_filtering" endpoint_independent_filtering: boolean();
        "hook_policy" hook_policy: choice(&[("accept", 0), ("drop", 1)], HOOK_POLICY);
        "max_events" max_events: count("a number of events" 0..=1 << 24);
        "max_tapped" max_tapped: count("a number of packets" 1..=1 << 24);
        "reassembly" reassembly: choice(&[("auto", 0), ("virtual", 1), ("full", 2), ("off", 3)], REASSEMBLY);
        "overlap" fragments.overlap: choice(OVERLAPS, OverlapPolicy::ALL);
        "overlap_ipv6" fragments.overlap_ipv6: choice(&[("drop", 0), ("linux", 1)], OverlapPolicy::ALL);
        "reassembly_timeout" fragments.timeout_ipv4: seconds();
        "reassembly_timeout_ipv6" fragments.timeout_ipv6: seconds();
        "max_datagrams" fragments.max_datagrams: count("a number of datagrams" 1..=1 << 24);
        "max_datagram_memory" fragments.max_memory: count("a number of bytes" 4_096..=1 << 40);
        "max_datagram_fragments" fragments.max_fragments: count("a number of fragments" 2..=8_192);
        "max_held_fragments" max_held_fragments: count("a number of fragments" 0..=1 << 20);
        "fragment_timeout" fragment_timeout: seconds();
        "max_ports" max_ports: count("a number of ports" 1..=1 << 20);
        "max_routes" fib.max_routes: count("a number of routes" 1..=1 << 28);
        "max_tables" fib.max_tables: count("a number of tables" 1..=1 << 20);
        "max_neighbours" neighbours.max_entries: count("a number of neighbours" 1..=1 << 24);
        "max_pending_neighbours" neighbours.max_pending: count("a number of neighbours" 1..=1 << 20);
        "neighbour_timeout" neighbours.pending_timeout: seconds();
        "neighbour_retransmit" neighbours.retransmit: seconds();
        "neighbour_reachable" neighbours.reachable: seconds();
        "neighbour_delay" neighbours.delay: seconds();
        "neighbour_stale_timeout" neighbours.stale_timeout: seconds();
    }
}

settings! {
    /// Settings of `[timeouts]`, which `Stack` takes as a mapping: how long a connection stays without packets, by its
    /// protocol and state.
    TIMEOUT_KEYS [] TIMEOUTS {
        "tcp_syn_sent" tcp.timeouts.syn_sent: seconds();
        "tcp_syn_received" tcp.timeouts.syn_received: seconds();
        "tcp_established" tcp.timeouts.established: seconds();
        "tcp_fin_wait" tcp.timeouts.fin_wait: seconds();
        "tcp_close_wait" tcp.timeouts.close_wait: seconds();
        "tcp_last_ack" tcp.timeouts.last_ack: seconds();
        "tcp_time_wait" tcp.timeouts.time_wait: seconds();
        "tcp_close" tcp.timeouts.close: seconds();
        "tcp_retransmission" tcp.timeouts.retransmission: seconds();
        "tcp_unacknowledged" tcp.timeouts.unacknowledged: seconds();
        "udp" timeouts.udp: seconds();
        "udp_stream" timeouts.udp_stream: seconds();
        "udplite" timeouts.udplite: seconds();
        "udplite_stream" timeouts.udplite_stream: seconds();
        "icmp" timeouts.icmp: seconds();
        "icmpv6" timeouts.icmpv6: seconds();
        "gre" timeouts.gre: seconds();
        "gre_stream" timeouts.gre_stream: seconds();
        "generic" timeouts.generic: seconds();
    }
}

/// A setting's value in TOML.
pub fn read_setting(
    document: &mut Document<'_>,
    setting: &'static Setting,
    value: Value<'_>,
) -> Option<Placed<u64>> {
    let place = document.place(value.span());
    match &setting.kind {
        Kind::Number(about, range) => document.number(setting.name, about, range.clone(), value),
        Kind::Seconds => document.seconds(setting.name, value),
        Kind::Boolean => {
            document.boolean(setting.name, value).map(|value| Placed { value: u64::from(value), place })
        }
        Kind::Choice(words) => {
            let parse = |text: &str| value::choice(setting.name, words, text);
            document.parsed(setting.name, "a word", value, parse)
        }
    }
}

/// A setting's value as an argument.
fn extract(setting: &'static Setting, object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let (py, name) = (object.py(), setting.name);
    let given = || object.repr().map(|text| text.to_string()).unwrap_or_default();
    let refused = |takes: &str| option_error(py, name, &format!("{name}={}: give {takes}", given()));
    let is_boolean = object.is_instance_of::<PyBool>();
    match &setting.kind {
        Kind::Number(about, range) => {
            let takes = format!("{about}, from {} to {}", range.start(), range.end());
            let number = object.extract::<u64>().ok().filter(|number| range.contains(number) && !is_boolean);
            number.ok_or_else(|| refused(&takes))
        }
        Kind::Seconds => {
            let seconds = object.extract::<f64>().ok().filter(|_| !is_boolean);
            let seconds = seconds.ok_or_else(|| {
                PyTypeError::new_err(format!("{name} is seconds (int or float), not {}", given()))
            })?;
            if !(seconds.is_finite() && seconds > 0.0) {
                return Err(refused("seconds, above 0"));
            }
            // The conversion saturates.
            Ok((seconds * 1e9) as u64)
        }
        Kind::Boolean => object.extract::<bool>().map(u64::from).map_err(|_| refused("True or False")),
        Kind::Choice(words) => {
            let text = object.extract::<String>().map_err(|_| refused("a word"))?;
            value::choice(name, words, &text)
                .map_err(|mistake: Mistake| option_error(py, name, &mistake.to_string()))
        }
    }
}

/// Arguments that are settings, written into a configuration; those that are `None` keep their defaults.
pub fn apply(
    config: &mut NodeConfig,
    settings: &'static [Setting],
    given: &Bound<'_, PyDict>,
) -> PyResult<()> {
    for (key, value) in given.iter() {
        let name: String = key.extract()?;
        let Some(setting) = settings.iter().find(|setting| setting.name == name) else {
            let names = settings.iter().map(|setting| setting.name);
            let hint = match crate::headers::similar(&name, names.clone()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
            };
            return Err(option_error(given.py(), &name, &format!("no setting is called {name:?}; {hint}")));
        };
        if !value.is_none() {
            (setting.set)(config, extract(setting, &value)?);
        }
    }
    Ok(())
}

/// A setting as TOML writes it.
pub fn toml_text(setting: &Setting, value: u64) -> String {
    match &setting.kind {
        Kind::Number(..) => value.to_string(),
        Kind::Seconds => format!("{}", value as f64 / 1e9),
        Kind::Boolean => (value != 0).to_string(),
        Kind::Choice(words) => format!("{:?}", value::word(words, value)),
    }
}
