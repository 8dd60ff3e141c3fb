//! ARP, as Linux does it with `arp_ignore`, `arp_announce` and `arp_accept` at 0.
use super::Came;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, PortId};
use crate::program::ethernet_of;
use crate::reason::DropReason;
use netfast_buf::Skb;
use netfast_neigh::{ARP_LENGTH, Advertised, Arp, ArpOperation};
use netfast_time::Instant;
use netfast_wire::dissect::ethertype as et;
use std::net::IpAddr;

impl Node {
    pub(super) fn take_arp(&mut self, now: Instant, came: Came, packet: Skb, out: &mut Outputs) {
        let said = match Arp::parse(packet.head().get(came.l3..).unwrap_or_default()) {
            Ok(said) => said,
            Err(error) => return self.refuse(now, came.port, packet, error),
        };
        let is_request = said.operation == ArpOperation::Request;
        let counters = &mut self.counters.discovery;
        *(if is_request { &mut counters.solicitations_in } else { &mut counters.advertisements_in }) += 1;
        let (sender, target) = (IpAddr::V4(said.sender), IpAddr::V4(said.target));
        if !said.sender.is_unspecified() && self.owns(sender) {
            self.counters.discovery.conflicts += 1;
            return self.drop_packet(now, came.port, packet, DropReason::NeighbourOther, None);
        }
        if is_request && self.owns_at(came.port, target) {
            return self.answer_arp(now, came, &said, packet, out);
        }
        // All others tell only of those who are known already.
        let known = self.neighbours.entry(came.port, sender).is_some();
        if known {
            let advertised = Advertised {
                mac: Some(said.sender_mac),
                solicited: !is_request && came.unicast,
                overrides: true,
                is_router: None,
            };
            let update = if said.is_announcement() {
                self.neighbours.handle_advertisement(now, came.port, sender, &advertised)
            } else {
                self.neighbours.handle_arp(now, came.port, sender, &advertised)
            };
            self.apply(now, came.port, sender, update, out);
        }
        if known || came.unicast {
            self.absorb(packet);
        } else {
            self.drop_packet(now, came.port, packet, DropReason::NeighbourOther, None);
        }
    }

    /// True for an address of the node, most of which are those of the port that is asked (Linux: `arp_ignore` 0).
    fn owns_at(&self, port: PortId, address: IpAddr) -> bool {
        let own = |(own, _): &(IpAddr, u8)| *own == address;
        self.port(port).is_some_and(|port| port.config.addresses.iter().any(own)) || self.owns(address)
    }

    /// Who asks will be talked to in a moment (RFC 826). Who looks whether the address is free has none (RFC 5227 2.1.1).
    fn answer_arp(&mut self, now: Instant, came: Came, asked: &Arp, packet: Skb, out: &mut Outputs) {
        if !asked.is_probe() {
            let sender = IpAddr::V4(asked.sender);
            let update = self.neighbours.handle_solicitation(now, came.port, sender, asked.sender_mac);
            self.apply(now, came.port, sender, update, out);
        }
        if !self.answer_limit.take(now, 1) {
            return self.drop_packet(now, came.port, packet, DropReason::NeighbourLimit, None);
        }
        self.absorb(packet);
        let Some(own) = self.port(came.port).map(|port| port.config.mac) else { return };
        self.counters.discovery.advertisements_out += 1;
        let reply = Arp {
            operation: ArpOperation::Reply,
            sender_mac: own,
            sender: asked.target,
            target_mac: asked.sender_mac,
            target: asked.sender,
        };
        self.send_arp(now, came.port, asked.sender_mac, &reply, out);
    }

    pub(super) fn send_arp(&mut self, now: Instant, port: PortId, to: Mac, message: &Arp, out: &mut Outputs) {
        let Some(leaving) = self.port(port) else { return };
        let (length, header) = ethernet_of(leaving.config.mac, to, leaving.tag, et::ARP);
        let (wire, length) = (leaving.wire, usize::from(length));
        let mut frame = [0; 18 + ARP_LENGTH];
        frame[..length].copy_from_slice(&header[..length]);
        if let Some(body) = frame[length..].first_chunk_mut::<ARP_LENGTH>() {
            message.write(body);
        }
        self.counters.created += 1;
        match Skb::from_slice(&frame[..length + ARP_LENGTH], &mut self.pool) {
            Ok(packet) => self.sent(now, packet, port, wire, out),
            Err(_) => self.drop_packet(now, port, Skb::new(), DropReason::Malformed, None),
        }
    }
}
