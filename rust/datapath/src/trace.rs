//! A decision in words: which table said what.
use crate::node::Node;
use crate::port::{Mac, PortId};
use crate::reason::DropReason;
use crate::track::Track;
use netfast_fib::{Group, Outcome as Routed, Resolution};
use netfast_filter::outcome::{Outcome, RuleId};
use netfast_filter::{BaseChain, Ruleset, Tracer};
use netfast_flow::conntrack::{Tuple, Way};
use netfast_nft::ast::Policy;
use netfast_nft::field::TableFamily;
use std::net::{IpAddr, Ipv6Addr};

/// One table's part in a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// The table: `port`, `cache`, `conntrack`, `rule`, `nat`, `route`, `neighbour`, `verdict` …
    pub table: &'static str,
    /// What it said.
    pub text: String,
}

/// How the cache knew a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A program for it is there and right: one lookup decides.
    Hit,
    /// There is one, but a table that it depends on has changed since.
    Stale,
    /// Its connection is there, and no program for this way.
    Entry,
    /// Neither.
    Miss,
    /// The cache does not take such packets.
    Uncached,
}

impl Known {
    /// The text in traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Entry => "entry",
            Self::Miss => "miss",
            Self::Uncached => "uncached",
        }
    }
}

/// A packet's way through a node, in words.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Each table's part, in order.
    pub steps: Vec<TraceStep>,
    /// How the cache knew it.
    pub cache: Known,
    /// What became of it.
    pub verdict: String,
    /// Why it was dropped.
    pub reason: Option<DropReason>,
    /// The port that it leaves by.
    pub out_port: Option<PortId>,
}

/// Hears what tables say. The one that does not listen costs nothing.
pub(crate) trait Tell: Tracer {
    /// `text` is only made where somebody listens.
    fn tell(&mut self, table: &'static str, text: impl FnOnce() -> String);
}

/// Does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silent;

impl Tracer for Silent {
    const ACTIVE: bool = false;
}

impl Tell for Silent {
    #[inline(always)]
    fn tell(&mut self, _: &'static str, _: impl FnOnce() -> String) {}
}

/// Writes down.
#[derive(Debug, Default)]
pub(crate) struct Scribe {
    pub steps: Vec<TraceStep>,
    chain: String,
}

impl Scribe {
    /// The trace of a packet whose way ends before the cache is asked.
    pub fn end(self, verdict: String, reason: Option<DropReason>) -> Trace {
        Trace { steps: self.steps, cache: Known::Uncached, verdict, reason, out_port: None }
    }

    fn rule(&mut self, rule: RuleId, rules: &Ruleset, what: &str) {
        let text = rules.rule(rule).map_or("", |rule| &*rule.text);
        let text = format!("{}: '{text}' {what}", self.chain);
        self.steps.push(TraceStep { table: "rule", text });
    }
}

impl Tracer for Scribe {
    fn base(&mut self, chain: &BaseChain) {
        self.chain = format!("{} {}", chain.table, chain.name);
    }

    fn chain(&mut self, name: &str) {
        self.steps.push(TraceStep { table: "rule", text: format!("{}: on to chain {name}", self.chain) });
    }

    fn rule_failed(&mut self, rule: RuleId, _: usize, rules: &Ruleset) {
        self.rule(rule, rules, "does not match");
    }

    fn rule_passed(&mut self, rule: RuleId, rules: &Ruleset) {
        self.rule(rule, rules, "matches");
    }

    fn rule_ended(&mut self, rule: RuleId, outcome: &Outcome, rules: &Ruleset) {
        let what = match outcome {
            Outcome::Accept => "matches: accept",
            Outcome::Drop => "matches: drop",
            Outcome::Reject(_) => "matches: reject",
            Outcome::Nat(_) => "matches: translate",
        };
        self.rule(rule, rules, what);
    }

    fn policy(&mut self, chain: &BaseChain) {
        let policy = if chain.policy == Policy::Accept { "accept" } else { "drop" };
        self.steps.push(TraceStep { table: "rule", text: format!("{}: policy {policy}", self.chain) });
    }
}

impl Tell for Scribe {
    fn tell(&mut self, table: &'static str, text: impl FnOnce() -> String) {
        self.steps.push(TraceStep { table, text: text() });
    }
}

/// Family, table and name of a chain.
pub(crate) fn chain_name(chain: &BaseChain) -> String {
    let family = match chain.family {
        TableFamily::Inet => "inet",
        TableFamily::Ip => "ip",
        TableFamily::Ip6 => "ip6",
    };
    format!("{family} {} {}", chain.table, chain.name)
}

/// What the routes say, with the names of ports and the next hops themselves.
pub(crate) fn route(node: &Node, resolution: &Resolution) -> String {
    let before = resolution.decided_by();
    match resolution.outcome {
        Routed::Forward(group) => {
            let hops = node.fib.group(group).map(Group::hops).unwrap_or_default().iter();
            let hops = hops.filter_map(|(hop, weight)| Some((node.fib.hop(*hop)?, *weight)));
            let hops: Vec<_> = hops
                .map(|(hop, weight)| {
                    let name = node.port_name(hop.port);
                    let hop = match hop.gateway {
                        Some(gateway) => format!("via {gateway} at {name}"),
                        None => format!("to neighbours at {name}"),
                    };
                    if weight == 1 { hop } else { format!("{hop} weight {weight}") }
                })
                .collect();
            format!("{before}{}", hops.join(", "))
        }
        Routed::Local(port) if node.port_name(port).is_empty() => format!("{before}local"),
        Routed::Local(port) => format!("{before}local, an address of {}", node.port_name(port)),
        Routed::Broadcast(port) => format!("{before}broadcast at {}", node.port_name(port)),
        _ => resolution.to_string(),
    }
}

pub(crate) fn show(address: &[u8; 16]) -> IpAddr {
    Ipv6Addr::from(*address).to_canonical()
}

/// Address and port of one end.
pub(crate) fn endpoint(tuple: &Tuple, source: bool) -> String {
    let (address, port) = if source {
        (&tuple.source, tuple.source_port)
    } else {
        (&tuple.destination, tuple.destination_port)
    };
    if tuple.has_ports() { format!("{} port {port}", show(address)) } else { show(address).to_string() }
}

pub(crate) fn connection(track: &Track) -> String {
    let state = track.state.name();
    if !track.has_connection() {
        return format!("{state}: {}", track.why);
    }
    format!(
        "{state}, {} direction of {} / {}",
        if track.way == Way::Original { "original" } else { "reply" },
        track.original,
        track.reply
    )
}

pub(crate) fn neighbour(node: &Node, port: PortId, next: IpAddr, mac: Option<Mac>) -> String {
    let name = node.port_name(port);
    match mac {
        Some(mac) => {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            format!("{next} at {name} is {mac}")
        }
        None => format!("{next} at {name} is not known: packets wait"),
    }
}
