//! What is odd in a configuration, and where it says so.
use super::describe::Description;
use super::list::{family_text, is_link_local};
use super::place::Place;
use super::rules::OWN_TABLE;
use super::state::State;
use netfast_datapath::{Node, PortId};
use netfast_fib::{Family, Finding, Prefix, RouteKey, TableId};
use netfast_filter::facts::Family as Addresses;
use netfast_nft::ast::{Hook, Policy};
use netfast_nft::field::TableFamily;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

/// Something odd, and where it stands, as far as that is known.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: Option<String>,
    /// The place in it.
    pub place: Option<Place>,
    /// What is odd.
    pub what: String,
}

/// Where a configuration says what its node has. What was added to the node later is in no place.
#[derive(Debug, Default)]
pub struct Places {
    file: String,
    addresses: HashMap<(PortId, IpAddr), Place>,
    routes: HashMap<RouteKey, Place>,
    neighbours: HashMap<(PortId, IpAddr), Place>,
    policies: HashMap<u32, Place>,
}

impl Places {
    /// Those of a description whose node has been made.
    pub fn of(file: &str, description: &Description, node: &Node) -> Self {
        let mut places = Self { file: file.to_owned(), ..Self::default() };
        for port in &description.ports {
            let Some(id) = node.port_id(&port.name.value) else { continue };
            places
                .addresses
                .extend(port.addresses.iter().map(|address| ((id, address.value.0), address.place)));
        }
        for route in &description.routes {
            let key = RouteKey { table: route.table, prefix: route.prefix, metric: route.metric };
            places.routes.insert(key, route.place);
        }
        for neighbour in &description.neighbours {
            let Some(id) = node.port_id(&neighbour.port.value) else { continue };
            places.neighbours.insert((id, neighbour.ip), neighbour.place);
        }
        for policy in &description.policies {
            places.policies.entry(policy.priority).or_insert(policy.place);
        }
        places
    }

    /// The first route of a family in a table.
    fn table(&self, table: TableId, family: Family) -> Option<Place> {
        let within =
            self.routes.iter().filter(|(key, _)| key.table == table && key.prefix.family() == family);
        within.map(|(_, place)| *place).min()
    }
}

/// What is odd, with its place in the configuration.
type Odd = (Option<Place>, String);

impl State {
    /// What is odd: what stands in the configuration in its order, then what stands in other files, then what stands in
    /// none.
    pub fn findings(&self) -> Vec<Found> {
        let of_rules = self.loaded.findings().into_iter().chain(self.unknown_names()).chain(self.odd_rules());
        let of_rules = of_rules.map(|(span, what)| {
            let (file, place) = self.loaded.locate(span);
            (span.file, Found { file, place, what })
        });
        let odd = [self.odd_accepts(), self.odd_addresses(), self.shared_networks()];
        let odd = odd.into_iter().chain([self.odd_routes(), self.odd_neighbours()]).flatten();
        let odd = odd
            .map(|(place, what)| (0, Found { file: place.map(|_| self.places.file.clone()), place, what }));
        let mut all: Vec<_> = of_rules.chain(odd).collect();
        all.sort_by_key(|(number, found)| {
            let elsewhere = found.file.as_ref().is_some_and(|file| *file != self.places.file);
            (found.place.is_none(), elsewhere, *number, found.place)
        });
        all.into_iter().map(|(_, found)| found).collect()
    }

    /// Accepts of short forms that let nothing through, because another chain of the hook drops by its policy.
    fn odd_accepts(&self) -> Vec<Odd> {
        let rules = self.node.rules();
        let accepts = |chain: &str| {
            rules.rules().any(|rule| {
                &*rule.table == OWN_TABLE && &*rule.chain == chain && rule.text.ends_with("accept")
            })
        };
        let mut odd = BTreeSet::new();
        let families = [Addresses::Ipv4, Addresses::Ipv6].into_iter();
        for (family, hook) in families.flat_map(|family| HOOKS.map(|hook| (family, hook))) {
            let bases: Vec<_> =
                rules.bases(family, hook).iter().filter_map(|base| rules.base(*base)).collect();
            let own = bases.iter().filter(|base| {
                base.family == TableFamily::Inet && &*base.table == OWN_TABLE && accepts(&base.name)
            });
            for own in own {
                for other in bases.iter().filter(|other| other.policy == Policy::Drop) {
                    if (&other.table, &other.name) == (&own.table, &own.name) {
                        continue;
                    }
                    let other = format!("{} {} {}", family_text(other.family), other.table, other.name);
                    odd.insert(format!(
                        "what chain inet {OWN_TABLE} {} accepts, the policy of chain {other} still drops: accept it there, too",
                        own.name
                    ));
                }
            }
        }
        odd.into_iter().map(|what| (None, what)).collect()
    }

    /// Addresses of ports that are the network's own, or its broadcast address.
    fn odd_addresses(&self) -> Vec<Odd> {
        let mut odd = Vec::new();
        for (id, port) in self.node.port_configs() {
            for (address, length) in &port.addresses {
                let IpAddr::V4(v4) = address else { continue };
                let hosts = u32::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
                let what = match u32::from(*v4) & hosts {
                    _ if *length >= 31 => continue,
                    0 => "is that of the network itself",
                    bits if bits == hosts => "is the broadcast address of the network",
                    _ => continue,
                };
                let what = format!(
                    "address {address}/{length} of port {:?} {what}; give it one of a host",
                    port.name
                );
                odd.push((self.places.addresses.get(&(id, *address)).copied(), what));
            }
        }
        odd
    }

    /// Networks that several ports are connected to: one of them alone is used.
    fn shared_networks(&self) -> Vec<Odd> {
        let mut networks: BTreeMap<Prefix, Vec<(&str, Option<Place>)>> = BTreeMap::new();
        for (id, port) in self.node.port_configs() {
            let mut connected = BTreeMap::new();
            for (address, length) in port.addresses.iter().filter(|(address, _)| !is_link_local(*address)) {
                if let Ok(prefix) = Prefix::containing(*address, *length) {
                    connected
                        .entry(prefix)
                        .or_insert_with(|| self.places.addresses.get(&(id, *address)).copied());
                }
            }
            for (prefix, place) in connected {
                networks.entry(prefix).or_default().push((&port.name, place));
            }
        }
        let shared = networks.into_iter().filter(|(_, ports)| ports.len() > 1);
        shared
            .map(|(prefix, ports)| {
                let names: Vec<_> = ports.iter().map(|(name, _)| *name).collect();
                let what = format!(
                    "overlapping connected networks: {prefix} is at the ports {}, and the first is used; give each its own network, or routes with port= to what the others reach",
                    names.join(", ")
                );
                (ports.last().and_then(|(_, place)| *place), what)
            })
            .collect()
    }

    /// What the routing tables find, by the names that a configuration has for it.
    fn odd_routes(&self) -> Vec<Odd> {
        let fib = self.node.fib();
        let priority = |family, index: usize| fib.rules(family).get(index).map_or(0, |rule| rule.priority);
        let policy = |priority| self.places.policies.get(&priority).copied();
        let told = fib.findings().into_iter().zip(self.node.odd_routes());
        told.map(|(finding, told)| match finding {
            Finding::Shadowed { route, .. }
            | Finding::Redundant { route, .. }
            | Finding::Unresolved { route, .. } => (self.places.routes.get(&route).copied(), told),
            Finding::UnusedTable { table, family } => (self.places.table(table, family), told),
            Finding::EmptyTable { priority, table } => {
                let remedy = "add some to it, or remove the policy";
                (policy(priority), format!("policy {priority}: table {table} has no routes; {remedy}"))
            }
            Finding::UnreachableRule { family, rule, by } => {
                let (late, early) = (priority(family, rule), priority(family, by));
                let what = format!("{family} policy {late}: policy {early} before it takes every packet");
                (policy(late), what)
            }
        })
        .collect()
    }

    /// Neighbours that no route leads to at their port, and those that the node is itself.
    fn odd_neighbours(&self) -> Vec<Odd> {
        let leads = |port: PortId, ip: IpAddr| {
            let entries = self.node.fib().routes();
            entries
                .flat_map(|(_, entry)| entry.route().hops().iter().map(|hop| (entry.route().prefix, hop)))
                .any(|(prefix, hop)| match hop.gateway {
                    Some(gateway) => gateway == ip && hop.port.is_none_or(|at| at == port),
                    None => hop.port == Some(port) && prefix.contains_address(ip),
                })
        };
        let own: BTreeSet<IpAddr> = self
            .node
            .port_configs()
            .flat_map(|(_, port)| port.addresses.iter().map(|(address, _)| *address))
            .collect();
        let odd = |(port, ip): (PortId, IpAddr)| {
            let name = self.node.port_name(port);
            let what = if own.contains(&ip) {
                format!(
                    "neighbour {ip} at port {name:?} is the node itself; give the address of somebody else"
                )
            } else if !is_link_local(ip) && !leads(port, ip) {
                format!("no route leads to neighbour {ip} at port {name:?}")
            } else {
                return None;
            };
            Some((self.places.neighbours.get(&(port, ip)).copied(), what))
        };
        self.set_neighbours().into_iter().filter_map(|(port, ip, _)| odd((port, ip))).collect()
    }
}
