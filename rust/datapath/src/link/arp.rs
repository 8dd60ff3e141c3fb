//! ARP, as Linux does it with `arp_ignore`, `arp_announce` and `arp_accept` at 0.
use super::{Came, Taken};
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, PortId};
use crate::program::{ETHERNET_MAX, ethernet_of};
use crate::reason::DropReason;
use netfast_buf::Skb;
use netfast_neigh::{ARP_LENGTH, Advertised, Arp, ArpOperation, DISCOVERY_LENGTH};
use netfast_time::Instant;
use netfast_wire::dissect::ethertype as et;
use std::net::IpAddr;

impl Node {
    pub(super) fn take_arp(&mut self, now: Instant, came: Came, packet: &Skb, out: &mut Outputs) -> Taken {
        let said = match Arp::parse(packet.head().get(came.l3..).unwrap_or_default()) {
            Ok(said) => said,
            Err(error) => return self.refuse(error),
        };
        let is_request = said.operation == ArpOperation::Request;
        let counters = &mut self.counters.discovery;
        *(if is_request { &mut counters.solicitations_in } else { &mut counters.advertisements_in }) += 1;
        let (sender, target) = (IpAddr::V4(said.sender), IpAddr::V4(said.target));
        if !said.sender.is_unspecified() && self.owns(sender) {
            self.counters.discovery.conflicts += 1;
            return Err(DropReason::NeighbourOther);
        }
        if is_request && self.owns_at(came.port, target) {
            return self.answer_arp(now, came, &said, out);
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
        if known || came.unicast { Ok(()) } else { Err(DropReason::NeighbourOther) }
    }

    /// True for an address of the node, most of which are those of the port that is asked (Linux: `arp_ignore` 0).
    fn owns_at(&self, port: PortId, address: IpAddr) -> bool {
        let own = |(own, _): &(IpAddr, u8)| *own == address;
        self.port(port).is_some_and(|port| port.config.addresses.iter().any(own)) || self.owns(address)
    }

    /// Who asks will be talked to in a moment (RFC 826). Who looks whether the address is free has none (RFC 5227 2.1.1).
    fn answer_arp(&mut self, now: Instant, came: Came, asked: &Arp, out: &mut Outputs) -> Taken {
        if !asked.is_probe() {
            self.hear(now, came.port, asked.sender.into(), asked.sender_mac, out);
        }
        if !self.answer_limit.take(now, 1) {
            return Err(DropReason::NeighbourLimit);
        }
        let Some(own) = self.port(came.port).map(|port| port.config.mac) else { return Ok(()) };
        self.counters.discovery.advertisements_out += 1;
        let reply = Arp {
            operation: ArpOperation::Reply,
            sender_mac: own,
            sender: asked.target,
            target_mac: asked.sender_mac,
            target: asked.sender,
        };
        self.send_arp(now, came.port, asked.sender_mac, &reply, out);
        Ok(())
    }

    pub(super) fn send_arp(&mut self, now: Instant, port: PortId, to: Mac, message: &Arp, out: &mut Outputs) {
        let mut body = [0; ARP_LENGTH];
        message.write(&mut body);
        self.send_frame(now, port, to, et::ARP, &body, out);
    }

    /// A message of the node's own, at most as long as one of discovery, leaves by a port as it is.
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        port: PortId,
        to: Mac,
        kind: u16,
        message: &[u8],
        out: &mut Outputs,
    ) {
        let Some(leaving) = self.port(port) else { return };
        let (length, header) = ethernet_of(leaving.config.mac, to, leaving.tag, kind);
        let (wire, length) = (leaving.wire, usize::from(length));
        let mut frame = [0; ETHERNET_MAX + DISCOVERY_LENGTH];
        let end = (length + message.len()).min(frame.len());
        frame[..ETHERNET_MAX].copy_from_slice(&header);
        frame[length..end].copy_from_slice(&message[..end - length]);
        self.counters.created += 1;
        match Skb::from_slice(&frame[..end], &mut self.pool) {
            Ok(packet) => self.sent(now, packet, port, wire, out),
            Err(_) => self.drop_packet(now, port, Skb::new(), DropReason::Malformed, None),
        }
    }
}
