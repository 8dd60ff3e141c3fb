//! Asking for neighbours.
use crate::node::Node;
use crate::outputs::Outputs;
use crate::own::ends;
use crate::port::{Mac, Port, PortId};
use netfast_fib::Prefix;
use netfast_neigh::{
    Arp, ArpOperation, DISCOVERY_LENGTH, Solicitation, group_mac, solicited_node, write_solicitation,
};
use netfast_time::Instant;
use std::net::{IpAddr, Ipv6Addr};

const BROADCAST: Mac = [0xff; 6];

impl Node {
    /// Asks for a neighbour's link address at a port that resolves: all who hear it, or who had it.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        port: PortId,
        address: IpAddr,
        mac: Option<Mac>,
        out: &mut Outputs,
    ) {
        if !self.resolves(port) {
            return;
        }
        let Some(own) = self.port(port) else { return };
        let own_mac = own.config.mac;
        let prompted = self.neighbours.first_waiting(port, address);
        let prompted = prompted.and_then(|packet| ends(packet.head())).map(|(source, _)| source);
        let prompted = prompted.filter(|source| own.config.addresses.iter().any(|(own, _)| own == source));
        let source = prompted.or_else(|| match address {
            IpAddr::V4(_) => on_net(own, address).or_else(|| self.source_address(address)),
            IpAddr::V6(target) => own.link_local().or_else(|| own.source_for(target)),
        });
        self.counters.discovery.solicitations_out += u64::from(source.is_some());
        match (source, address) {
            (Some(IpAddr::V4(sender)), IpAddr::V4(target)) => {
                let target_mac = [0; 6];
                let operation = ArpOperation::Request;
                let question = Arp { operation, sender_mac: own_mac, sender, target_mac, target };
                self.send_arp(now, port, mac.unwrap_or(BROADCAST), &question, out);
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(target)) => {
                self.solicit(now, port, (source, own_mac), target, mac, out);
            }
            _ => self.counters.discovery.no_source += 1,
        }
    }

    fn solicit(
        &mut self,
        now: Instant,
        port: PortId,
        own: (Ipv6Addr, Mac),
        target: Ipv6Addr,
        mac: Option<Mac>,
        out: &mut Outputs,
    ) {
        let destination = if mac.is_some() { target } else { solicited_node(target) };
        let to = mac.unwrap_or_else(|| group_mac(destination));
        let question = Solicitation { source: own.0, destination, target, mac: Some(own.1) };
        let mut into = [0; DISCOVERY_LENGTH];
        let written = write_solicitation(&question, &mut into);
        self.send_discovery(now, port, (destination, Some(to)), written, out);
    }
}

/// The address that a port has in the network of another one (Linux: `arp_announce` takes what the packet has, or this).
fn on_net(port: &Port, target: IpAddr) -> Option<IpAddr> {
    let is_v4 = |(address, _): &&(IpAddr, u8)| address.is_ipv4();
    let near = |(address, length): &&(IpAddr, u8)| {
        let network = |address| Prefix::containing(address, *length).ok();
        network(*address) == network(target)
    };
    let all = || port.config.addresses.iter().filter(is_v4);
    all().find(near).or_else(|| all().next()).map(|(address, _)| *address)
}
