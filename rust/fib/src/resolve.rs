//! What becomes of a packet, and why.
use crate::{Family, Fib, GroupId, PortId, Prefix, RouteEntry, RouteId, RouteKind, RuleAction, TableId};
use smallvec::SmallVec;
use std::fmt;
use std::net::IpAddr;

/// Packets that are walked through the rules in step.
const VECTOR: usize = 64;

/// Positions of packets in a vector.
type Indexes = SmallVec<[usize; VECTOR]>;

/// What rules and routes ask about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The family of its addresses.
    pub family: Family,
    /// Destination; of IPv4 in the low 32 bits.
    pub destination: u128,
    /// Source, if there is one yet.
    pub source: Option<u128>,
    /// The port it came in through; none for packets of the node itself.
    pub in_port: Option<PortId>,
    /// Its mark.
    pub mark: u32,
    /// The TOS or traffic class byte, with its two ECN bits.
    pub tos: u8,
}

impl Query {
    /// A query for a destination alone.
    pub const fn to(destination: IpAddr) -> Self {
        let family = Family::of(destination);
        let destination = crate::prefix::number(destination);
        Self { family, destination, source: None, in_port: None, mark: 0, tos: 0 }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Goes to a hop of the group.
    Forward(GroupId),
    /// The node's own, at this port.
    Local(PortId),
    /// To all nodes of the network at this port.
    Broadcast(PortId),
    /// Dropped by a route or rule; the sender is told.
    Unreachable,
    /// Dropped by a route or rule.
    Blackhole,
    /// Dropped by a route or rule; the sender is told.
    Prohibit,
    /// No rule led to a route.
    NoRoute,
}

impl Outcome {
    /// What a rule says that looks into no table.
    fn of_rule(action: RuleAction) -> Self {
        match action {
            RuleAction::Unreachable => Self::Unreachable,
            RuleAction::Blackhole => Self::Blackhole,
            RuleAction::Prohibit => Self::Prohibit,
            RuleAction::Lookup(_) => Self::NoRoute,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(group) => write!(f, "forward to next-hop group {group}"),
            Self::Local(port) => write!(f, "local, port {port}"),
            Self::Broadcast(port) => write!(f, "broadcast, port {port}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Blackhole => f.write_str("blackhole"),
            Self::Prohibit => f.write_str("prohibit"),
            Self::NoRoute => f.write_str("no route"),
        }
    }
}

/// The route that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its place; [`Fib::route`] has all of it.
    pub route: RouteId,
    /// Its table.
    pub table: TableId,
    /// Its prefix.
    pub prefix: Prefix,
    /// Its metric.
    pub metric: u32,
    /// The source address for the node's own packets.
    pub preferred_source: Option<IpAddr>,
}

/// What becomes of a packet, and what led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The rule that decided: its index in [`Fib::rules`] of the family.
    pub rule: Option<usize>,
    /// That rule's priority.
    pub priority: Option<u32>,
    /// The route that decided; none when a rule did, or nothing.
    pub matched: Option<Matched>,
}

impl Resolution {
    const NO_ROUTE: Self = Self { outcome: Outcome::NoRoute, rule: None, priority: None, matched: None };

    /// The group, if the packet is forwarded.
    pub fn group(&self) -> Option<GroupId> {
        match self.outcome {
            Outcome::Forward(group) => Some(group),
            _ => None,
        }
    }

    /// The rule and the route that decided, in words that end with a colon and a space; nothing where none did.
    pub fn decided_by(&self) -> String {
        let Some(priority) = self.priority else { return String::new() };
        let matched = self.matched.map_or_else(String::new, |matched| {
            format!(", table {}, {} metric {}", matched.table, matched.prefix, matched.metric)
        });
        format!("rule {priority}{matched}: ")
    }

    /// The source address for the node's own packets, if the route names one.
    pub fn preferred_source(&self) -> Option<IpAddr> {
        self.matched?.preferred_source
    }
}

impl fmt::Display for Resolution {
    /// `rule 32766, table main, 192.0.2.0/24 metric 0: forward to next-hop group 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.decided_by(), self.outcome)
    }
}

/// How strictly a source address has to fit the port that a packet came in through (RFC 3704).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePathMode {
    /// The best route back has a next hop at that port (section 2.2; `rp_filter=1`).
    Strict,
    /// There is any unicast route back, a default route included (section 2.4; `rp_filter=2`).
    Loose,
}

/// What the route back to a source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// The source fits.
    Pass,
    /// No route leads back, or one that drops.
    NoRoute,
    /// The source is an address of this node, or a broadcast address.
    NotUnicast,
    /// The best route back leaves through other ports.
    WrongPort,
}

impl ReversePath {
    /// True when the source fits.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Pass)
    }
}

impl Fib {
    /// What becomes of a packet: the first rule that matches and whose table has a route for it decides.
    pub fn resolve(&self, query: &Query) -> Resolution {
        for (index, rule) in self.rules(query.family).iter().enumerate() {
            if !rule.matches(query) {
                continue;
            }
            let (outcome, matched) = match rule.action {
                RuleAction::Lookup(table) => {
                    let id =
                        self.table(table).and_then(|table| table.lookup(query.family, query.destination));
                    match id.and_then(|id| self.answer(table, id, rule.suppress_prefix_length)) {
                        Some((outcome, matched)) => (outcome, Some(matched)),
                        None => continue,
                    }
                }
                action => (Outcome::of_rule(action), None),
            };
            return Resolution { outcome, rule: Some(index), priority: Some(rule.priority), matched };
        }
        Resolution::NO_ROUTE
    }

    /// The outcome of [`Fib::resolve`] alone.
    pub fn outcome(&self, query: &Query) -> Outcome {
        for rule in self.rules(query.family) {
            if !rule.matches(query) {
                continue;
            }
            let RuleAction::Lookup(table) = rule.action else { return Outcome::of_rule(rule.action) };
            let id = self.table(table).and_then(|table| table.lookup(query.family, query.destination));
            let entry = id.and_then(|id| self.route(id));
            if let Some(outcome) = entry.and_then(|entry| entry.outcome(rule.suppress_prefix_length)) {
                return outcome;
            }
        }
        Outcome::NoRoute
    }

    /// True when a rule asks for a packet's code point.
    pub fn asks_code_points(&self) -> bool {
        let asks = |family| self.rules(family).iter().any(|rule| rule.dscp.is_some());
        asks(Family::V4) || asks(Family::V6)
    }

    /// Whether a packet with this source may come in through its port (RFC 3704). The query is the packet's own.
    ///
    /// As in Linux, the mark does not count and rules on the incoming port do not match on the way back.
    pub fn reverse_path(&self, query: &Query, mode: ReversePathMode) -> ReversePath {
        let Some(source) = query.source else { return ReversePath::NoRoute };
        let back =
            Query { destination: source, source: Some(query.destination), in_port: None, mark: 0, ..*query };
        match self.resolve(&back).outcome {
            Outcome::Forward(group) => {
                if mode == ReversePathMode::Loose
                    || query.in_port.is_some_and(|port| self.leaves_through(group, port))
                {
                    ReversePath::Pass
                } else {
                    ReversePath::WrongPort
                }
            }
            Outcome::Local(_) | Outcome::Broadcast(_) => ReversePath::NotUnicast,
            Outcome::Unreachable | Outcome::Blackhole | Outcome::Prohibit | Outcome::NoRoute => {
                ReversePath::NoRoute
            }
        }
    }

    fn leaves_through(&self, group: GroupId, port: PortId) -> bool {
        let hops = self.group(group).map_or(&[][..], |group| group.hops());
        hops.iter().any(|(hop, _)| self.hop(*hop).is_some_and(|hop| hop.port == port))
    }

    /// [`Fib::resolve`] of many packets in step, so that their cache misses overlap; appends one for each, in order.
    pub fn resolve_batch(&self, queries: &[Query], resolutions: &mut Vec<Resolution>) {
        for queries in queries.chunks(VECTOR) {
            let first = resolutions.len();
            resolutions.extend(queries.iter().map(|_| Resolution::NO_ROUTE));
            for family in [Family::V4, Family::V6] {
                self.resolve_vector(family, queries, &mut resolutions[first..]);
            }
        }
    }

    fn resolve_vector(&self, family: Family, queries: &[Query], resolutions: &mut [Resolution]) {
        let mut waiting: Indexes =
            (0..queries.len()).filter(|index| queries[*index].family == family).collect();
        for (index, rule) in self.rules(family).iter().enumerate() {
            if waiting.is_empty() {
                return;
            }
            let (asked, mut left): (Indexes, Indexes) =
                waiting.into_iter().partition(|packet| rule.matches(&queries[*packet]));
            let decided = |outcome, matched| Resolution {
                outcome,
                rule: Some(index),
                priority: Some(rule.priority),
                matched,
            };
            let table = match rule.action {
                RuleAction::Lookup(table) => table,
                action => {
                    for packet in asked {
                        resolutions[packet] = decided(Outcome::of_rule(action), None);
                    }
                    waiting = left;
                    continue;
                }
            };
            let mut found = [None; VECTOR];
            if let Some(table) = self.table(table) {
                let addresses: SmallVec<[u128; VECTOR]> =
                    asked.iter().map(|packet| queries[*packet].destination).collect();
                table.lookup_batch(family, &addresses, &mut found[..asked.len()]);
            }
            found.iter().flatten().for_each(|id| self.prefetch_route(*id));
            for (packet, id) in asked.into_iter().zip(found) {
                match id.and_then(|id| self.answer(table, id, rule.suppress_prefix_length)) {
                    Some((outcome, matched)) => resolutions[packet] = decided(outcome, Some(matched)),
                    None => left.push(packet),
                }
            }
            waiting = left;
        }
    }

    /// What a route that was found in a table says; none when the next rule is to be asked.
    fn answer(&self, table: TableId, id: RouteId, suppress: Option<u8>) -> Option<(Outcome, Matched)> {
        let entry = self.route(id)?;
        let (route, outcome) = (entry.route(), entry.outcome(suppress)?);
        let matched = Matched {
            route: id,
            table,
            prefix: route.prefix,
            metric: route.metric,
            preferred_source: route.preferred_source,
        };
        Some((outcome, matched))
    }
}

impl RouteEntry {
    /// What the route says, where a rule does not take routes with prefixes of `suppress` bits or less; none when the next
    /// rule is to be asked.
    #[inline]
    fn outcome(&self, suppress: Option<u8>) -> Option<Outcome> {
        let route = self.route();
        // As in Linux, what drops is not suppressed.
        let drops = matches!(route.kind, RouteKind::Unreachable | RouteKind::Blackhole | RouteKind::Prohibit);
        if !drops && suppress.is_some_and(|length| route.prefix.length() <= length) {
            return None;
        }
        Some(match route.kind {
            RouteKind::Unicast(_) => Outcome::Forward(self.group()?),
            RouteKind::Local(port) => Outcome::Local(port),
            RouteKind::Broadcast(port) => Outcome::Broadcast(port),
            RouteKind::Unreachable => Outcome::Unreachable,
            RouteKind::Blackhole => Outcome::Blackhole,
            RouteKind::Prohibit => Outcome::Prohibit,
            RouteKind::Throw => return None,
        })
    }
}

#[cfg(test)]
mod tests;
