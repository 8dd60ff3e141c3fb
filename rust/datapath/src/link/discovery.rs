//! Neighbor solicitations and advertisements (RFC 4861 7.2).
use super::{Came, Taken};
use crate::decide::{Given, Verdict};
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, PortId};
use crate::reason::DropReason;
use crate::subject::{Shape, Subject};
use crate::trace::Silent;
use netfast_buf::{ChecksumState, Skb};
use netfast_fib::Prefix;
use netfast_neigh::{
    Advertised, Advertisement, DISCOVERY_LENGTH, Discovery, MessageError, Solicitation, group_mac,
    write_advertisement,
};
use netfast_nft::ast::Hook;
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::dissect::{ethertype as et, protocol as p};
use std::net::{IpAddr, Ipv6Addr};

/// All nodes of a link (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const FRAGMENT: u8 = 44;

impl Node {
    /// Takes a message about neighbours that came to the node through its input chains; gives everything else back.
    pub(crate) fn take_delivered(
        &mut self,
        now: Instant,
        packet: Skb,
        shape: &Shape,
        in_fragments: bool,
        out: &mut Outputs,
    ) -> Option<Skb> {
        let head = packet.head();
        let kind = head.get(shape.l4 as usize).copied();
        let is_message = shape.v6 && shape.protocol == p::ICMPV6 && matches!(kind, Some(135 | 136));
        let Some(port) = shape.in_port.filter(|port| is_message && self.resolves(*port)) else {
            return Some(packet);
        };
        let (l3, l4) = (shape.l3 as usize, (shape.l4 - shape.l3) as usize);
        let end = l3 + shape.ip_len as usize;
        if head.len() < end {
            return Some(packet);
        }
        let came = Came { port, unicast: shape.link_unicast, l3 };
        let taken = if in_fragments || has_fragment_header(&head[l3..end], l4) {
            self.refuse(MessageError::Fragment)
        } else {
            self.take_discovery(now, came, &packet, (l4, end), out)
        };
        self.end_message(now, port, packet, taken);
        None
    }

    /// `at` says where the message begins from the IPv6 header, and where the packet ends in its frame.
    pub(super) fn take_discovery(
        &mut self,
        now: Instant,
        came: Came,
        packet: &Skb,
        at: (usize, usize),
        out: &mut Outputs,
    ) -> Taken {
        let (message, end) = at;
        let summed = matches!(packet.hot.checksum, ChecksumState::Good | ChecksumState::Partial);
        let bytes = packet.head().get(came.l3..end).unwrap_or_default();
        match Discovery::parse(bytes, message, summed) {
            Ok(Some(Discovery::Solicitation(said))) => self.take_solicitation(now, came.port, &said, out),
            Ok(Some(Discovery::Advertisement(said))) => self.take_advertisement(now, came.port, &said, out),
            Ok(None) => Ok(()),
            Err(error) => self.refuse(error),
        }
    }

    fn take_solicitation(
        &mut self,
        now: Instant,
        port: PortId,
        said: &Solicitation,
        out: &mut Outputs,
    ) -> Taken {
        self.counters.discovery.solicitations_in += 1;
        let Some(is_anycast) = self.is_own_target(port, said.target) else {
            return Err(DropReason::NeighbourOther);
        };
        let source = IpAddr::V6(said.source);
        if self.has_address(port, source) {
            self.counters.discovery.conflicts += 1;
            return Err(DropReason::NeighbourOther);
        }
        if let Some(mac) = said.mac {
            self.hear(now, port, source, mac, out);
        }
        if !self.answer_limit.take(now, 1) {
            return Err(DropReason::NeighbourLimit);
        }
        let Some(own) = self.port(port).map(|port| port.config.mac) else { return Ok(()) };
        // One that looks whether the address is free has none to be answered at: all are told (RFC 4861 7.2.4).
        let looks = said.source.is_unspecified();
        let answer = Advertisement {
            source: said.target,
            destination: if looks { ALL_NODES } else { said.source },
            target: said.target,
            mac: Some(own),
            router: true,
            solicited: !looks,
            overrides: !is_anycast,
        };
        let to = match said.mac {
            _ if looks => Some(group_mac(ALL_NODES)),
            Some(mac) => Some(mac),
            None => self.neighbours.resolve(port, source).map(|(mac, _)| mac),
        };
        let mut into = [0; DISCOVERY_LENGTH];
        let written = write_advertisement(&answer, &mut into);
        self.counters.discovery.advertisements_out += 1;
        self.send_discovery(now, port, (answer.destination, to), written, out);
        Ok(())
    }

    /// Whether an address is one that the node answers for at a port: `Some(true)` for the subnet-router anycast address of a
    /// network there (RFC 4291 2.6.1), whose answers may not take the place of others (RFC 4861 7.2.7).
    fn is_own_target(&self, port: PortId, target: Ipv6Addr) -> Option<bool> {
        let target = IpAddr::V6(target);
        if self.has_address(port, target) {
            return Some(false);
        }
        let anycast = |(address, length): &(IpAddr, u8)| {
            address.is_ipv6()
                && *length < 127
                && Prefix::containing(*address, *length).is_ok_and(|prefix| prefix.network() == target)
        };
        self.port(port)?.config.addresses.iter().any(anycast).then_some(true)
    }

    fn has_address(&self, port: PortId, address: IpAddr) -> bool {
        self.port(port).is_some_and(|port| port.config.addresses.iter().any(|(own, _)| *own == address))
    }

    fn take_advertisement(
        &mut self,
        now: Instant,
        port: PortId,
        said: &Advertisement,
        out: &mut Outputs,
    ) -> Taken {
        self.counters.discovery.advertisements_in += 1;
        let target = IpAddr::V6(said.target);
        if self.has_address(port, target) {
            // RFC 4862 5.4.4: another one has the address. This node keeps it, as Linux does.
            self.counters.discovery.conflicts += 1;
            return Err(DropReason::NeighbourOther);
        }
        if self.neighbours.entry(port, target).is_none() {
            return Err(DropReason::NeighbourOther);
        }
        let advertised = Advertised {
            mac: said.mac,
            solicited: said.solicited,
            overrides: said.overrides,
            is_router: Some(said.router),
        };
        let update = self.neighbours.handle_advertisement(now, port, target, &advertised);
        self.apply(now, port, target, update, out);
        Ok(())
    }

    /// A message of the node's own leaves, past the chains for what the node makes.
    pub(super) fn send_discovery(
        &mut self,
        now: Instant,
        port: PortId,
        to: (Ipv6Addr, Option<Mac>),
        message: &[u8],
        out: &mut Outputs,
    ) {
        if let (_, Some(mac)) = to
            && !self.has_chains([Hook::Output, Hook::Postrouting])
        {
            return self.send_frame(now, port, mac, et::IPV6, message, out);
        }
        self.counters.created += 1;
        let Ok(packet) = Skb::from_slice(message, &mut self.pool) else {
            return self.drop_packet(now, port, Skb::new(), DropReason::Malformed, None);
        };
        if self.has_chains([Hook::Output, Hook::Postrouting]) {
            let subject = Subject::new(&packet, LinkType::RAW, None, now);
            let before = (self.answering.replace(port), std::mem::replace(&mut self.on_link, true));
            let decision = self.decide_own(&subject, Given::default(), &mut Silent);
            (self.answering, self.on_link) = before;
            self.apply_effects(now, &decision, message.len() as u32);
            if let Verdict::Drop { reason, by } = decision.verdict {
                return self.drop_packet(now, port, packet, reason, by);
            }
        }
        match to {
            (_, Some(mac)) => self.emit(now, packet, port, mac, out),
            (next, None) => self.wait_for_neighbour(now, packet, port, next.into(), out),
        }
    }
}

/// True when a fragment header stands before the message, also one of a whole packet (RFC 6980 5).
fn has_fragment_header(packet: &[u8], message: usize) -> bool {
    let (mut next, mut at) = (packet.get(6).copied(), 40);
    while at < message {
        if next == Some(FRAGMENT) {
            return true;
        }
        next = packet.get(at).copied();
        at += packet.get(at + 1).map_or(message, |length| (usize::from(*length) + 1) * 8);
    }
    false
}
