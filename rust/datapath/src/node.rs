//! The node: its tables, and the commands that change them.
use crate::config::{HookPolicy, NodeConfig};
use crate::counters::Counters;
use crate::error::NodeError;
use crate::event::{Event, EventQueue};
use crate::fragments::Fragments;
use crate::known::Known;
use crate::offload::{Collation, Segmenters};
use crate::partition::Partitions;
use crate::port::{Mac, NO_PORT, Port, PortConfig, PortId};
use crate::program::Programs;
use crate::reassemble::Datagrams;
use crate::tap::Taps;
use crate::track::Class;
use crate::verify::Verify;
use netfast_buf::PacketPool;
use netfast_fib::{Fib, NextHop, Prefix, Route, RouteKey, RouteKind, Rule, TableId};
use netfast_filter::state::RuleState;
use netfast_filter::{Ruleset, RulesetLimits};
use netfast_flow::cache::{CacheConfig, FlowCache};
use netfast_flow::conntrack::{EimConfig, EimFiltering, EimTable, TcpStays, TcpTrack};
use netfast_frag::IdGenerator;
use netfast_low::hash::Seed;
use netfast_neigh::Neighbours;
use netfast_nft::ast::RulesetAst;
use netfast_time::{Instant, TokenBucket};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A network node: ports, addresses, routes, rules, connections.
///
/// The order of work: [`Node::push`] packets of a port (or [`Node::send`] packets of its own), take what came out from
/// the [`Outputs`], [`Node::take_events`]; [`Node::poll`] lets time pass where no packet does. Commands may come
/// between any two of these; packets that follow see all of a command or nothing.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) ports: Vec<Option<Port>>,
    pub(crate) fib: Fib,
    pub(crate) neighbours: Neighbours,
    pub(crate) source: Arc<RulesetAst>,
    pub(crate) rules: Ruleset,
    pub(crate) rule_state: RuleState,
    pub(crate) cache: FlowCache<TcpTrack>,
    pub(crate) mappings: EimTable,
    pub(crate) programs: Programs,
    pub(crate) partitions: Partitions,
    pub(crate) known: Known,
    pub(crate) fragments: Fragments,
    pub(crate) datagrams: Datagrams,
    pub(crate) collation: Collation,
    pub(crate) segmenters: Segmenters,
    /// Identifications of what the node itself sends.
    pub(crate) identifications: IdGenerator,
    pub(crate) icmp_limit: TokenBucket,
    /// Answers to solicitations.
    pub(crate) answer_limit: TokenBucket,
    /// When it was looked at last which neighbours are used.
    pub(crate) looked_at_use: Instant,
    pub(crate) pool: PacketPool,
    pub(crate) counters: Counters,
    pub(crate) events: EventQueue,
    pub(crate) taps: Taps,
    pub(crate) verify: Option<Verify>,
    /// The latest time that was told.
    pub(crate) now: Instant,
    /// Connections are tracked.
    pub(crate) tracks: bool,
    /// Connections may be translated.
    pub(crate) translates: bool,
    /// Rules ask for the tuples of connections.
    pub(crate) asks_tuples: bool,
    /// The port of the packet that the node answers just now: link-local addresses are meant there.
    pub(crate) answering: Option<PortId>,
    /// What it sends just now stays on the link of that port, whatever routes say.
    pub(crate) on_link: bool,
    /// How deep the node is in answering itself.
    pub(crate) depth: u8,
    /// How long connections of each class stay, ns.
    pub(crate) timeouts: [u64; Class::ALL.len()],
    pub(crate) tcp_stays: TcpStays,
    /// Packets since the last sweep.
    pub(crate) phase: usize,
    /// Memory of the first phases.
    pub(crate) looks: Vec<crate::fast::Look>,
    /// Memory of the sweep.
    pub(crate) swept: Vec<u32>,
}

impl Node {
    /// A node without ports.
    ///
    /// # Errors
    /// [`NodeError`]: a limit that leaves no room, or more than the system has room for.
    pub fn new(config: NodeConfig) -> Result<Self, NodeError> {
        let cache =
            FlowCache::new(CacheConfig { max_connections: config.max_connections, seed: config.seed })?;
        if config.max_ports == 0 || config.max_ports > 1 << 20 {
            let value = config.max_ports as u64;
            return Err(NodeError::Setting { setting: "max_ports", value, remedy: "give 1 to 1,048,576" });
        }
        let filtering = if config.endpoint_independent_filtering {
            EimFiltering::EndpointIndependent
        } else {
            EimFiltering::AddressAndPortDependent
        };
        let mappings = EimConfig { filtering, ..EimConfig::default() };
        let rules = Ruleset::compile(&RulesetAst::default(), &[], &RulesetLimits::default())?;
        let rule_state = rules.seeded_state(config.seed ^ 0x72_75_6c_65);
        let mut node = Self {
            ports: Vec::new(),
            fib: Fib::with_config(config.fib),
            neighbours: Neighbours::new(config.neighbours, config.seed),
            source: Arc::default(),
            rules,
            rule_state,
            cache,
            mappings: EimTable::new(mappings, Seed::new(config.seed ^ 0x65_69_6d)),
            programs: Programs::new(config.seed, config.max_programs),
            partitions: Partitions::new(),
            known: Known::new(config.seed),
            fragments: Fragments::new(&config),
            datagrams: Datagrams::new(&config),
            collation: Collation::default(),
            segmenters: Segmenters::new(),
            identifications: IdGenerator::new(identification_key(config.seed), IdGenerator::COUNTERS),
            icmp_limit: TokenBucket::new(config.icmp_rate, config.icmp_burst, Instant::ZERO),
            answer_limit: TokenBucket::new(config.neighbour_rate, config.neighbour_burst, Instant::ZERO),
            looked_at_use: Instant::ZERO,
            pool: PacketPool::default(),
            counters: Counters::default(),
            events: EventQueue::new(config.max_events),
            taps: Taps::new(config.max_tapped),
            verify: None,
            now: Instant::ZERO,
            tracks: false,
            translates: false,
            asks_tuples: false,
            answering: None,
            on_link: false,
            depth: 0,
            timeouts: Self::class_timeouts(&config),
            tcp_stays: TcpStays::new(&config.tcp),
            phase: 0,
            looks: Vec::new(),
            swept: Vec::new(),
            config,
        };
        node.set_tracking();
        node.classify();
        Ok(node)
    }

    /// Its settings.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The memory that its packets come from; make packets for it from here.
    pub fn pool(&mut self) -> &mut PacketPool {
        &mut self.pool
    }

    /// The latest time that it was told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Takes the time: it never goes back (what comes from before counts as now, and is counted).
    pub(crate) fn clock(&mut self, now: Instant) -> Instant {
        if now < self.now {
            self.counters.time_backwards += 1;
        }
        if now > self.now {
            self.rule_state.advance(now);
        }
        self.now = self.now.max(now);
        self.now
    }

    /// Adds a port, with the routes that its addresses bring.
    ///
    /// # Errors
    /// [`NodeError`]; nothing was changed.
    pub fn add_port(&mut self, config: PortConfig) -> Result<PortId, NodeError> {
        self.check_port(&config)?;
        let id = self.ports.len() as PortId;
        self.fib.set_port(id, true)?;
        let (tag, wire) = match config.vlan {
            Some((parent, tag)) => (Some(tag), parent),
            None => (None, id),
        };
        let addresses = config.addresses.clone();
        if let Some((parent, tag)) = config.vlan
            && let Some(Some(parent)) = self.ports.get_mut(parent as usize)
        {
            parent.vlans.push((tag, id));
        }
        let mac = if config.point_to_point { [0; 6] } else { config.mac };
        let config = PortConfig { addresses: Vec::new(), mac, ..config };
        let features = config.features.fixed().0;
        self.ports.push(Some(Port {
            config,
            features,
            vlans: Vec::new(),
            tag,
            wire,
            counts: Default::default(),
        }));
        for (address, length) in addresses {
            if let Err(error) = self.add_address(id, address, length) {
                self.take_port_away(id);
                self.ports.pop();
                return Err(error);
            }
        }
        self.recompile()?;
        self.set_collation(id)?;
        self.partitions.touch_node();
        Ok(id)
    }

    fn check_port(&self, config: &PortConfig) -> Result<(), NodeError> {
        let name = || config.name.clone();
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == ':' || c == '"';
        if config.name.is_empty() || config.name.len() > 15 || config.name.contains(bad) {
            return Err(NodeError::PortName(name()));
        }
        if self.port_id(&config.name).is_some() {
            return Err(NodeError::DuplicatePort(name()));
        }
        if self.ports.len() >= self.config.max_ports {
            return Err(NodeError::TooManyPorts(self.config.max_ports));
        }
        let group = config.mac[0] & 1 == 1 || config.mac == [0; 6];
        if !config.point_to_point && group {
            return Err(NodeError::GroupMac { name: name(), mac: config.mac });
        }
        // RFC 791 3.2 and RFC 8200 5.
        let least = if config.addresses.iter().any(|(address, _)| address.is_ipv6()) { 1_280 } else { 68 };
        if !(least..=65_535).contains(&config.mtu) {
            return Err(NodeError::Mtu { name: name(), mtu: config.mtu, least });
        }
        self.check_features(config)?;
        let Some((parent, id)) = config.vlan else { return Ok(()) };
        let parent_port = self.port(parent).ok_or(NodeError::NoPort(parent))?;
        if !(1..=4_094).contains(&id) {
            return Err(NodeError::Vlan { name: name(), id });
        }
        if parent_port.tag.is_some() {
            return Err(NodeError::NestedVlan(self.port_name(parent).to_owned()));
        }
        match parent_port.vlans.iter().find(|(other, _)| *other == id) {
            Some((_, other)) => {
                Err(NodeError::DuplicateVlan { id, other: self.port_name(*other).to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Removes a port with its addresses, their routes and its neighbours, and drops what waits for one of those; other
    /// routes through it stay, unresolved.
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::HasSubInterfaces`].
    pub fn remove_port(&mut self, id: PortId) -> Result<PortConfig, NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        if !port.vlans.is_empty() {
            return Err(NodeError::HasSubInterfaces(port.config.name.clone()));
        }
        let config = port.config.clone();
        for (address, _) in &config.addresses {
            self.remove_address(id, *address)?;
        }
        self.drop_neighbours(id);
        self.drop_collation(id);
        self.take_port_away(id);
        self.ports[id as usize] = None;
        self.recompile()?;
        self.partitions.touch_node();
        Ok(config)
    }

    fn take_port_away(&mut self, id: PortId) {
        let vlan = self.port(id).and_then(|port| port.config.vlan);
        if let Some((parent, _)) = vlan
            && let Some(Some(parent)) = self.ports.get_mut(parent as usize)
        {
            parent.vlans.retain(|(_, other)| *other != id);
        }
        let addresses = self.port(id).map(|port| port.config.addresses.clone()).unwrap_or_default();
        for (address, _) in addresses {
            let _ = self.remove_address(id, address);
        }
        // It is up: taking it down cannot fail.
        let _ = self.fib.set_port(id, false);
        self.take_route_changes();
    }

    /// Changes the longest packet that leaves by a port.
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::Mtu`].
    pub fn set_mtu(&mut self, id: PortId, mtu: u32) -> Result<(), NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        let least =
            if port.config.addresses.iter().any(|(address, _)| address.is_ipv6()) { 1_280 } else { 68 };
        if !(least..=65_535).contains(&mtu) {
            return Err(NodeError::Mtu { name: port.config.name.clone(), mtu, least });
        }
        if let Some(Some(port)) = self.ports.get_mut(id as usize) {
            port.config.mtu = mtu;
        }
        self.partitions.touch_node();
        Ok(())
    }

    /// Changes the link address of a port, and of those sub-interfaces that have the same.
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::GroupMac`].
    pub fn set_mac(&mut self, id: PortId, mac: Mac) -> Result<(), NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        if mac[0] & 1 == 1 || mac == [0; 6] {
            return Err(NodeError::GroupMac { name: port.config.name.clone(), mac });
        }
        let before = port.config.mac;
        let upper: Vec<_> = port.vlans.iter().map(|(_, upper)| *upper).chain([id]).collect();
        for at in upper {
            if let Some(Some(port)) = self.ports.get_mut(at as usize)
                && port.config.mac == before
            {
                port.config.mac = mac;
            }
        }
        self.partitions.touch_node();
        Ok(())
    }

    /// Gives a port an address: the node answers to it, and its network is connected.
    ///
    /// # Errors
    /// [`NodeError`]; nothing was changed.
    pub fn add_address(&mut self, id: PortId, address: IpAddr, length: u8) -> Result<(), NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        let most = if address.is_ipv6() { 128 } else { 32 };
        let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        if length > most || address.is_multicast() || address.is_unspecified() || broadcast {
            return Err(NodeError::Address { address, length, most });
        }
        if address.is_ipv6() && port.config.mtu < 1_280 {
            return Err(NodeError::Mtu {
                name: port.config.name.clone(),
                mtu: port.config.mtu,
                least: 1_280,
            });
        }
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let holder = self.ports().find(|(other, port)| {
            port.config.addresses.iter().any(|(own, _)| *own == address) && (!link_local || *other == id)
        });
        if let Some((_, holder)) = holder {
            return Err(NodeError::DuplicateAddress { address, port: holder.config.name.clone() });
        }
        let routes = connected(id, address, length)?;
        for (done, route) in routes.iter().enumerate() {
            // Several ports may share a network, and a link-local address: the first one's route stays.
            let shared = self.fib.find(&route.key()).is_some();
            let added = if shared { Ok(()) } else { self.fib.add_route(route.clone()).map(|_| ()) };
            if let Err(error) = added {
                for route in &routes[..done] {
                    let _ = self.fib.remove_route(&route.key());
                }
                self.take_route_changes();
                return Err(error.into());
            }
        }
        if let Some(Some(port)) = self.ports.get_mut(id as usize) {
            port.config.addresses.push((address, length));
        }
        self.take_route_changes();
        self.partitions.touch_node();
        Ok(())
    }

    /// Takes an address from a port, with the routes that it brought.
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::NoAddress`].
    pub fn remove_address(&mut self, id: PortId, address: IpAddr) -> Result<(), NodeError> {
        let port = self.port(id).ok_or(NodeError::NoPort(id))?;
        let name = port.config.name.clone();
        let own = port.config.addresses.iter().find(|(own, _)| *own == address).copied();
        let (_, length) = own.ok_or(NodeError::NoAddress { address, port: name })?;
        if let Some(Some(port)) = self.ports.get_mut(id as usize) {
            port.config.addresses.retain(|(own, _)| *own != address);
        }
        for route in connected(id, address, length)? {
            let still = self.ports().any(|(port, held)| {
                let mut brought = held
                    .config
                    .addresses
                    .iter()
                    .filter_map(|(own, length)| connected(port, *own, *length).ok());
                brought.any(|routes| routes.iter().any(|other| other.key() == route.key()))
            });
            if !still {
                let _ = self.fib.remove_route(&route.key());
            }
        }
        self.take_route_changes();
        self.partitions.touch_node();
        Ok(())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`NodeError::Fib`]; nothing was changed.
    pub fn add_route(&mut self, route: Route) -> Result<(), NodeError> {
        self.fib.add_route(route).map_err(|error| self.named(error))?;
        self.take_route_changes();
        Ok(())
    }

    /// Adds a route in place of one with the same table, prefix and metric.
    ///
    /// # Errors
    /// [`NodeError::Fib`]; nothing was changed.
    pub fn replace_route(&mut self, route: Route) -> Result<(), NodeError> {
        self.fib.replace_route(route).map_err(|error| self.named(error))?;
        self.take_route_changes();
        Ok(())
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`NodeError::Fib`].
    pub fn remove_route(&mut self, key: &RouteKey) -> Result<Route, NodeError> {
        let route = self.fib.remove_route(key)?;
        self.take_route_changes();
        Ok(route)
    }

    /// Adds a policy rule (`ip rule`).
    ///
    /// # Errors
    /// [`NodeError::Fib`]; nothing was changed.
    pub fn add_policy(&mut self, rule: Rule) -> Result<(), NodeError> {
        self.fib.add_rule(rule)?;
        self.take_route_changes();
        Ok(())
    }

    /// Removes a policy rule.
    ///
    /// # Errors
    /// [`NodeError::Fib`].
    pub fn remove_policy(&mut self, rule: &Rule) -> Result<(), NodeError> {
        self.fib.remove_rule(rule)?;
        self.take_route_changes();
        Ok(())
    }

    /// Its routing tables.
    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    fn take_route_changes(&mut self) {
        let changes = self.fib.take_changes();
        if !changes.is_empty() {
            self.partitions.touch_routes(changes);
        }
    }

    /// Whether new flows are dropped when the hook for them fails.
    pub fn hook_policy(&self) -> HookPolicy {
        self.config.hook_policy
    }

    /// A port.
    pub(crate) fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(id as usize)?.as_ref()
    }

    /// All ports.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.ports.iter().enumerate().filter_map(|(id, port)| Some((id as PortId, port.as_ref()?)))
    }

    /// What the ports are, by number.
    pub fn port_configs(&self) -> impl Iterator<Item = (PortId, &PortConfig)> {
        self.ports().map(|(id, port)| (id, &port.config))
    }

    /// The number of a port.
    pub fn port_id(&self, name: &str) -> Option<PortId> {
        self.ports().find(|(_, port)| port.config.name == name).map(|(id, _)| id)
    }

    /// The name of a port; empty for one that there is not.
    pub fn port_name(&self, id: PortId) -> &str {
        if id == NO_PORT {
            return "";
        }
        self.port(id).map_or("", |port| &port.config.name)
    }

    /// Events since the last time, with their times, and how many were missed because nobody took the ones before.
    pub fn take_events(&mut self) -> (Vec<(Instant, Event)>, u64) {
        self.events.take()
    }

    /// True when [`Node::take_events`] has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Records what goes through a port, what is dropped with its reason.
    ///
    /// # Errors
    /// [`NodeError::NoPort`].
    pub fn tap(&mut self, port: PortId, on: bool) -> Result<(), NodeError> {
        self.port(port).ok_or(NodeError::NoPort(port))?;
        self.taps.set(port, on);
        Ok(())
    }

    /// What taps recorded since the last time, and how many packets they missed.
    pub fn take_taps(&mut self) -> (Vec<crate::tap::Tapped>, u64) {
        self.taps.take()
    }
}

/// The key of identifications, from the node's seed.
fn identification_key(seed: u64) -> [u8; 16] {
    let seed = Seed::new(seed ^ 0x69_64_65_6e_74);
    let mut key = [0; 16];
    for (number, half) in key.chunks_exact_mut(8).enumerate() {
        half.copy_from_slice(&seed.hash5(&[number as u64, 0, 0, 0, 0]).to_le_bytes());
    }
    key
}

/// The routes that an address brings.
fn connected(port: PortId, address: IpAddr, length: u8) -> Result<Vec<Route>, NodeError> {
    let local = |address, kind| Route { table: TableId::LOCAL, ..Route::new(Prefix::host(address), kind) };
    let mut routes = vec![local(address, RouteKind::Local(port))];
    let network = Prefix::containing(address, length)?;
    let host = if address.is_ipv6() { 128 } else { 32 };
    if length < host {
        let kind = RouteKind::Unicast(vec![NextHop::port(port)]);
        let preferred_source = address.is_ipv4().then_some(address);
        routes.push(Route { preferred_source, ..Route::new(network, kind) });
    }
    // RFC 4291 2.6.1: the subnet-router anycast address; links between two routers have none (RFC 6164).
    if address.is_ipv6() && length < 127 && network.network() != address {
        routes.push(local(network.network(), RouteKind::Local(port)));
    }
    // RFC 919: the last address of a network; one of two addresses has none (RFC 3021).
    if let IpAddr::V4(_) = address
        && length < 31
    {
        let last = IpAddr::V4(Ipv4Addr::from(network.last() as u32));
        routes.push(local(last, RouteKind::Broadcast(port)));
    }
    Ok(routes)
}
