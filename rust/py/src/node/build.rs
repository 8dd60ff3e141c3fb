//! What was described becomes a node's tables.
use super::describe::{Description, HopText, NeighbourText, PolicyText, PortText, RouteText};
use super::findings::Places;
use super::mistake::{Mistake, Problems};
use super::place::{Place, Placed};
use super::read::Document;
use super::rules::{Loaded, OwnRules};
use super::run::LOCAL;
use super::state::State;
use super::value::{DeadEnd, check_unicast, refused};
use crate::headers::similar;
use crate::serve::own_mac;
use netfast_datapath::{NodeConfig, NodeError, Outputs, PortConfig};
use netfast_fib::{Family, FibError, NextHop, Prefix, Route, RouteKind, Rule, RuleAction, TableId};
use netfast_time::Instant;

impl From<DeadEnd> for RouteKind {
    fn from(dead_end: DeadEnd) -> Self {
        match dead_end {
            DeadEnd::Unreachable => Self::Unreachable,
            DeadEnd::Blackhole => Self::Blackhole,
            DeadEnd::Prohibit => Self::Prohibit,
            DeadEnd::Throw => Self::Throw,
        }
    }
}

/// What the node says to a value.
fn refusal(key: &'static str) -> impl FnOnce(NodeError) -> Mistake {
    move |source| Mistake::Node { key, source }
}

impl State {
    /// A port as the node takes it.
    pub fn port_config(&self, port: &PortText) -> Result<PortConfig, Mistake> {
        let parent = match &port.vlan {
            Some((parent, id)) => Some((self.port("parent", &parent.value)?, *id)),
            None => None,
        };
        let carrier = parent.and_then(|(parent, _)| self.node.port_configs().find(|(id, _)| *id == parent));
        let carrier = carrier.map(|(_, config)| config);
        let none = port.point_to_point.then_some([0; 6]);
        let mac = port.mac.or_else(|| carrier.map(|carrier| carrier.mac)).or(none);
        let mac = mac.or_else(|| port.device.as_ref().map(|_| own_mac()));
        let mac =
            mac.ok_or(Mistake::Missing { table: "the port", key: "mac", expected: "a link address" })?;
        Ok(PortConfig {
            addresses: port.addresses.iter().map(|address| address.value).collect(),
            mtu: port.mtu.or_else(|| carrier.map(|carrier| carrier.mtu)).unwrap_or(1_500),
            vlan: parent,
            rp_filter: port.rp_filter,
            directed_broadcast: port.directed_broadcast,
            features: port.features,
            gro_flush_timeout: port.gro_flush_timeout,
            resolve: port
                .resolve
                .or_else(|| carrier.map(|carrier| carrier.resolve))
                .unwrap_or(port.device.is_some()),
            point_to_point: port.point_to_point
                || carrier.is_some_and(|carrier| carrier.point_to_point)
                || port.device.as_ref().is_some_and(|wanted| wanted.value.spec.is_point_to_point()),
            ..PortConfig::new(port.name.value.clone(), mac)
        })
    }

    /// Adds a port.
    pub fn add_port(&mut self, port: &PortText) -> Result<(), Mistake> {
        if port.name.value == LOCAL {
            let expected = "another name; local is what run calls the packets for the node itself";
            return Err(refused("name", expected, LOCAL));
        }
        let config = self.port_config(port)?;
        let id = self.node.add_port(config).map_err(refusal("port"))?;
        if let Some(wanted) = &port.device {
            self.wanted.insert(id, wanted.value.clone());
        }
        Ok(())
    }

    fn hop(&self, hop: &HopText) -> Result<NextHop, Mistake> {
        let port = hop.port.as_ref().map(|port| self.port("port", &port.value)).transpose()?;
        Ok(NextHop { port, gateway: hop.gateway, weight: hop.weight, on_link: hop.on_link, mtu: hop.mtu })
    }

    /// A route as the node takes it.
    pub fn route(&self, route: &RouteText) -> Result<Route, Mistake> {
        let kind = match route.dead_end {
            Some(dead_end) => dead_end.into(),
            None => RouteKind::Unicast(route.hops.iter().map(|hop| self.hop(hop)).collect::<Result<_, _>>()?),
        };
        Ok(Route {
            table: route.table,
            metric: route.metric,
            preferred_source: route.source,
            ..Route::new(route.prefix, kind)
        })
    }

    /// Adds a route, or with `replace` takes it in place of one with the same key.
    pub fn add_route(&mut self, route: &RouteText, replace: bool) -> Result<(), Mistake> {
        let route = self.route(route)?;
        let added = if replace { self.node.replace_route(route) } else { self.node.add_route(route) };
        added.map_err(refusal("route"))
    }

    /// Says a neighbour's link address.
    pub fn add_neighbour(
        &mut self,
        neighbour: &NeighbourText,
        now: Instant,
        outputs: &mut Outputs,
    ) -> Result<(), Mistake> {
        let port = self.port("port", &neighbour.port.value)?;
        let NeighbourText { ip, mac, .. } = *neighbour;
        check_unicast("mac", mac)?;
        self.node.set_neighbour(now, port, ip, mac, outputs).map_err(refusal("neighbour"))
    }

    /// The rules that a policy is: one, or one for each family.
    pub fn policies(&self, policy: &PolicyText) -> Result<Vec<Rule>, Mistake> {
        let port = policy.port.as_ref().map(|port| self.port("port", &port.value)).transpose()?;
        let action = match (policy.dead_end, policy.table) {
            (Some(DeadEnd::Unreachable), _) => RuleAction::Unreachable,
            (Some(DeadEnd::Blackhole), _) => RuleAction::Blackhole,
            (Some(DeadEnd::Prohibit), _) => RuleAction::Prohibit,
            (Some(DeadEnd::Throw), _) => {
                let remedy = "a policy looks into a table, or is unreachable, blackhole or prohibit";
                return Err(Mistake::Contradiction { first: "kind", second: "throw", remedy });
            }
            (None, table) => RuleAction::Lookup(table.unwrap_or(TableId::MAIN)),
        };
        let said = policy.family.map(|family| if family == 4 { Family::V4 } else { Family::V6 });
        let prefixes = [policy.source, policy.destination];
        let families = match said.or(prefixes.iter().flatten().map(Prefix::family).next()) {
            Some(family) => vec![family],
            None => vec![Family::V4, Family::V6],
        };
        let rule = |family| Rule {
            invert: policy.invert,
            from: policy.source,
            to: policy.destination,
            in_port: port,
            mark: policy.mark,
            dscp: policy.dscp,
            suppress_prefix_length: policy.suppress_length,
            ..Rule::new(family, policy.priority, action)
        };
        Ok(families.into_iter().map(rule).collect())
    }

    /// Adds a policy; of a policy for both families both rules or none.
    pub fn add_policy(&mut self, policy: &PolicyText) -> Result<(), Mistake> {
        let rules = self.policies(policy)?;
        for (at, rule) in rules.iter().enumerate() {
            if let Err(error) = self.node.add_policy(*rule) {
                for added in &rules[..at] {
                    // It was added a moment ago.
                    let _ = self.node.remove_policy(added);
                }
                return Err(refusal("policy")(error));
            }
        }
        Ok(())
    }
}

/// Makes the node of a description; what it refuses is noted in the document.
pub fn build(description: &Description, document: &mut Document<'_>, seed: u64) -> Option<State> {
    let mut config = NodeConfig { seed, ..NodeConfig::default() };
    for (setting, value) in &description.settings {
        (setting.set)(&mut config, value.value);
    }
    let name = description.name.clone().unwrap_or_else(|| "stack".to_owned());
    let mut state = match State::new(name, config) {
        Ok(state) => state,
        Err(source) => {
            let place =
                description.settings.first().map_or(Place { line: 1, column: 1 }, |(_, value)| value.place);
            document.note(place, Mistake::Node { key: "stack", source });
            return None;
        }
    };
    state.seed_given = description.settings.iter().any(|(setting, _)| setting.name == "seed");
    // A sub-interface needs the port that carries it.
    let (carried, plain): (Vec<_>, Vec<_>) = description.ports.iter().partition(|port| port.vlan.is_some());
    for port in plain.into_iter().chain(carried) {
        note(document, port.name.place, state.add_port(port));
    }
    build_routes(description, document, &mut state);
    for neighbour in &description.neighbours {
        // Nothing has been pushed yet, so nothing waits for it.
        let added = state.add_neighbour(neighbour, Instant::ZERO, &mut Outputs::new());
        note(document, neighbour.place, added);
    }
    for policy in &description.policies {
        note(document, policy.place, state.add_policy(policy));
    }
    if let Some(rules) = &description.rules {
        let loaded = Loaded::new(rules.file.clone(), rules.text.clone(), rules.lines.clone());
        if let Err(problems) = state.load_rules(loaded, OwnRules::default()) {
            document.problems.extend(problems);
        }
    }
    state.places = Places::of(&document.file, description, &state.node);
    document.problems.is_empty().then_some(state)
}

fn note(document: &mut Document<'_>, place: Place, done: Result<(), Mistake>) {
    if let Err(mistake) = done {
        document.note(place, mistake);
    }
}

/// Gateways are reached through other routes, which may stand further below: as long as some can be added, the others
/// are tried again.
fn build_routes(description: &Description, document: &mut Document<'_>, state: &mut State) {
    let mut waiting: Vec<&RouteText> = description.routes.iter().collect();
    loop {
        let (before, mut refused) = (waiting.len(), Vec::new());
        for route in std::mem::take(&mut waiting) {
            match state.add_route(route, false) {
                Ok(()) => {}
                Err(mistake) if needs_others(&mistake) => refused.push((route, mistake)),
                Err(mistake) => document.note(route.place, mistake),
            }
        }
        if refused.len() == before {
            refused.into_iter().for_each(|(route, mistake)| document.note(route.place, mistake));
            return;
        }
        waiting = refused.into_iter().map(|(route, _)| route).collect();
    }
}

fn needs_others(mistake: &Mistake) -> bool {
    use FibError::GatewayUnreachable;
    let Mistake::Node { source, .. } = mistake else { return false };
    matches!(source, NodeError::Fib(GatewayUnreachable { .. }) | NodeError::GatewayNotOnLink { .. })
}

/// Ports that are named but not there.
pub fn find_unknown_ports(description: &Description, document: &mut Document<'_>) {
    let known: Vec<String> = description.ports.iter().map(|port| port.name.value.clone()).collect();
    let vlans =
        description.ports.iter().filter_map(|port| port.vlan.as_ref()).map(|(parent, _)| ("parent", parent));
    let hops = description.routes.iter().flat_map(|route| &route.hops);
    let hops = hops.filter_map(|hop| hop.port.as_ref());
    let neighbours = description.neighbours.iter().map(|neighbour| &neighbour.port);
    let policies = description.policies.iter().filter_map(|policy| policy.port.as_ref());
    let named = hops.chain(neighbours).chain(policies).map(|port| ("port", port));
    let mut told = std::collections::HashSet::new();
    for (key, Placed { value, place }) in vlans.chain(named) {
        if !known.contains(value) && told.insert((value.clone(), *place)) {
            document.note(*place, unknown_port(key, value, &known));
        }
    }
}

/// The name that was probably meant: a similar one, or one of the same letters in another order, which in names as short
/// as `lan` are too many mistakes for a similar one.
pub fn nearest_name<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let given = letters(name);
    known.clone().find(|other| letters(other) == given).or_else(|| {
        let near = similar(name, known.clone())?;
        known.clone().find(|other| *other == near)
    })
}

/// The mistake of naming a port that is not there.
pub fn unknown_port(key: &'static str, name: &str, known: &[String]) -> Mistake {
    let nearest = nearest_name(name, known.iter().map(String::as_str)).map(str::to_owned);
    Mistake::UnknownPort { key, name: name.to_owned(), nearest, known: known.to_vec() }
}

impl Problems {
    /// Takes over the mistakes of another text.
    pub fn extend(&mut self, others: Problems) {
        for problem in others.into_sorted() {
            self.push(problem);
        }
    }
}
