//! Neighbours of the node's ports: what they ask and tell, whom the node asks, what becomes of packets that wait for them.
//!
//! Messages about neighbours are no packets of flows: they are answered before everything else where no chain could have seen
//! them, and behind the input chains otherwise. A neighbour's link address is part of programs: one that changes makes these
//! stale, and nothing else does. That packets went to it by its programs is found out once a second ([`Node::look_at_use`]).
mod arp;
mod ask;
mod commands;
mod counters;
mod discovery;

pub use counters::DiscoveryCounters;

use crate::decide::Decision;
use crate::event::Event;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, PortId};
use crate::program::End;
use crate::reason::DropReason;
use crate::route::{ADDRESS_UNREACHABLE_6, HOST_UNREACHABLE, neighbour_part};
use netfast_buf::Skb;
use netfast_filter::facts::Family;
use netfast_flow::cache::NONE;
use netfast_neigh::{Change, Due, Entry, Expired, MessageError, Released, Update, group_mac};
use netfast_nft::ast::Hook;
use netfast_time::{Duration, Instant};
use netfast_wire::dissect::{ethertype as et, protocol as p};
use std::net::IpAddr;

/// How often it is looked at which neighbours packets go to.
const LOOK: Duration = Duration::from_secs(1);
/// Messages ahead whose neighbours' memory is asked for: their places in the index, then themselves.
const FAR: usize = 11;
const NEAR: usize = 5;
/// Timers of neighbours that one call looks at.
const POLL: usize = 4_096;

/// Where a message about neighbours came in, and where it stands in its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub port: PortId,
    /// The frame was to the port alone.
    pub unicast: bool,
    /// Behind the Ethernet header and its tag.
    pub l3: usize,
}

/// What became of a message: it was for the node, or it is dropped.
pub(crate) type Taken = Result<(), DropReason>;

/// A message about neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Arp(Came),
    /// Where it ends in its frame.
    Discovery(Came, usize),
}

impl Message {
    pub fn port(&self) -> PortId {
        match self {
            Self::Arp(came) | Self::Discovery(came, _) => came.port,
        }
    }
}

impl Node {
    /// What a frame that came in by a port is, if it is a message about neighbours there and no chain could see it.
    #[inline]
    pub(crate) fn link_message(&self, wire: PortId, packet: &Skb) -> Option<Message> {
        let head = packet.head();
        let header = head.first_chunk::<14>()?;
        let mut kind = u16::from_be_bytes([header[12], header[13]]);
        let (mut port, mut l3) = (wire, 14);
        if kind == et::VLAN {
            let tag = head.get(14..18)?;
            let id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
            (kind, l3) = (u16::from_be_bytes([tag[2], tag[3]]), 18);
            if id != 0 {
                port = self.port(wire)?.vlans.iter().find(|(other, _)| *other == id)?.1;
            }
        }
        let config = &self.port(port)?.config;
        let unicast = header[..6] == config.mac;
        if !config.resolve || config.point_to_point || !(unicast || header[0] & 1 == 1) {
            return None;
        }
        let came = Came { port, unicast, l3 };
        match kind {
            et::ARP => Some(Message::Arp(came)),
            et::IPV6 => {
                let ip = head.get(l3..)?.first_chunk::<41>()?;
                let end = l3 + 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
                let is_message = ip[6] == p::ICMPV6 && matches!(ip[40], 135 | 136);
                (is_message && end <= head.len() && !self.has_chains([Hook::Prerouting, Hook::Input]))
                    .then_some(Message::Discovery(came, end))
            }
            _ => None,
        }
    }

    pub(crate) fn take_link(
        &mut self,
        now: Instant,
        message: Message,
        packet: &Skb,
        out: &mut Outputs,
    ) -> Taken {
        match message {
            Message::Arp(came) => self.take_arp(now, came, packet, out),
            Message::Discovery(came, end) => self.take_discovery(now, came, packet, (40, end), out),
        }
    }

    /// Asks for the memory of the neighbours that packets in a moment tell of: while messages of theirs come, more of them
    /// will.
    #[inline]
    pub(crate) fn foresee(&self, port: PortId, packets: &[Skb]) {
        for (ahead, near) in [(FAR, false), (NEAR, true)] {
            if let Some(address) = packets.get(ahead).and_then(|packet| sender(packet.head())) {
                self.neighbours.prefetch(port, address, near);
            }
        }
    }

    pub(crate) fn resolves(&self, port: PortId) -> bool {
        self.port(port).is_some_and(|port| port.config.resolve && !port.config.point_to_point)
    }

    /// True when IPv6 packets pass chains at one of these hooks.
    fn has_chains(&self, hooks: [Hook; 2]) -> bool {
        hooks.iter().any(|hook| !self.rules.bases(Family::Ipv6, *hook).is_empty())
    }

    /// A message ends here: as one that was for the node, or dropped.
    #[inline]
    pub(crate) fn end_message(&mut self, now: Instant, port: PortId, packet: Skb, taken: Taken) {
        match taken {
            Ok(()) => {
                self.counters.local += 1;
                self.pool.recycle(packet);
            }
            Err(reason) => self.drop_packet(now, port, packet, reason, None),
        }
    }

    fn refuse(&mut self, error: MessageError) -> Taken {
        self.counters.discovery.invalid[error as usize] += 1;
        Err(DropReason::NeighbourMessage)
    }

    /// The link address of a next hop at a port, and the neighbour's slot.
    pub(crate) fn link_address(&self, port: PortId, next: IpAddr) -> (Option<Mac>, u32) {
        if self.port(port).is_some_and(|port| port.config.point_to_point) {
            return (Some([0; 6]), NONE);
        }
        match next {
            IpAddr::V6(group) if group.is_multicast() => return (Some(group_mac(group)), NONE),
            _ if self.is_directed_broadcast(next) => return (Some([0xff; 6]), NONE),
            _ => {}
        }
        match self.neighbours.resolve(port, next) {
            Some((mac, slot)) => (Some(mac), slot),
            None => (None, NONE),
        }
    }

    /// A packet waits for the link address of its next hop.
    pub(crate) fn wait_for_neighbour(
        &mut self,
        now: Instant,
        packet: Skb,
        port: PortId,
        next: IpAddr,
        out: &mut Outputs,
    ) {
        let mut released = Vec::new();
        let asks = self.resolves(port);
        let release = |packet, why| released.push((packet, why));
        let unresolved = self.neighbours.hold(now, port, next, packet, asks, release);
        self.count_held();
        if unresolved.is_some() {
            self.events.offer(now, || Event::UnresolvedNeighbour { port, address: next });
            self.ask(now, port, next, None, out);
        }
        for (packet, why) in released {
            match why {
                Released::Known(mac) => self.emit(now, packet, port, mac, out),
                _ => self.drop_packet(now, port, packet, DropReason::NeighbourQueue, None),
            }
        }
    }

    /// A program has a neighbour's link address in it.
    pub(crate) fn keep_neighbour(&mut self, decision: &Decision) {
        if let Some(program) = &decision.program
            && let End::Output { neighbour, .. } = program.end
        {
            self.neighbours.keep_mac(neighbour);
        }
    }

    /// A neighbour told its link address by asking for something.
    #[inline]
    fn hear(&mut self, now: Instant, port: PortId, address: IpAddr, mac: Mac, out: &mut Outputs) {
        // Most are known, and still there.
        if !self.neighbours.has(port, address, mac) {
            let update = self.neighbours.handle_solicitation(now, port, address, mac);
            self.apply(now, port, address, update, out);
        }
    }

    /// What a message changed is carried out.
    fn apply(&mut self, now: Instant, port: PortId, address: IpAddr, update: Update, out: &mut Outputs) {
        let Update { change, packets, displaced } = update;
        if let Some(entry) = displaced {
            self.forget_neighbour(now, &entry);
        }
        let (mac, from) = match change {
            None => return,
            Some(Change::Found { mac }) => (mac, None),
            Some(Change::Moved { from, mac, is_kept }) => {
                if is_kept {
                    self.partitions.touch_neighbour(neighbour_part(port, address));
                }
                (mac, Some(from))
            }
        };
        self.events.offer(now, || Event::NeighbourChanged { port, address, mac, from });
        if packets.is_empty() {
            return;
        }
        self.count_held();
        for packet in packets {
            self.emit(now, packet, port, mac, out);
        }
    }

    /// A neighbour that gave way to another one.
    pub(crate) fn forget_neighbour(&mut self, now: Instant, entry: &Entry) {
        let (port, address) = (entry.port, entry.address);
        if entry.is_kept {
            self.partitions.touch_neighbour(neighbour_part(port, address));
        }
        self.events.offer(now, || Event::NeighbourDisplaced { port, address });
    }

    /// Lets time pass for neighbours: whom to ask, who did not answer, whose packets come back.
    pub(crate) fn expire_neighbours(&mut self, now: Instant, out: &mut Outputs) {
        self.look_at_use(now);
        let mut budget = POLL;
        while let Some(due) = self.neighbours.poll(now, &mut budget) {
            match due {
                Due::Solicit { port, address, mac } => self.ask(now, port, address, mac, out),
                Due::Failed(expired) => self.fail_neighbour(now, expired, out),
                Due::Removed(entry) if entry.is_kept => {
                    self.partitions.touch_neighbour(neighbour_part(entry.port, entry.address));
                }
                _ => {}
            }
        }
    }

    /// Packets whose next hop does not answer: the sender is told (RFC 1812 5.2.7.1, RFC 4861 7.2.2).
    fn fail_neighbour(&mut self, now: Instant, expired: Expired, out: &mut Outputs) {
        let Expired { port, address, mac, is_kept, packets, .. } = expired;
        if is_kept {
            self.partitions.touch_neighbour(neighbour_part(port, address));
        }
        if self.resolves(port) {
            self.events.offer(now, || Event::NeighbourFailed { port, address, mac });
        }
        self.count_held();
        let code = if address.is_ipv6() { ADDRESS_UNREACHABLE_6 } else { HOST_UNREACHABLE };
        for packet in packets {
            self.tell_unreachable(now, &packet, code, out);
            self.drop_packet(now, port, packet, DropReason::NeighbourTimeout, None);
        }
    }

    /// Stale neighbours that packets went to by the cache are used: a hit counts in its program, and programs are looked at once
    /// a second. So a hit costs nothing for it, and a neighbour is asked at most a second later than RFC 4861 7.3.3 has it.
    /// It goes on while none is stale, so that what was sent to one that was reachable is not counted later.
    fn look_at_use(&mut self, now: Instant) {
        if self.neighbours.found() == 0 || now < self.looked_at_use + LOOK {
            return;
        }
        self.looked_at_use = now;
        let neighbours = &mut self.neighbours;
        self.programs.used_neighbours(|slot| neighbours.touch(now, slot));
    }

    /// When [`Node::expire_neighbours`] has something to do.
    pub(crate) fn neighbour_timeout(&self) -> Option<Instant> {
        let look =
            (self.neighbours.stale() > 0 && self.programs.len() > 0).then(|| self.looked_at_use + LOOK);
        look.into_iter().chain(self.neighbours.next_timeout()).min()
    }
}

/// Who sent an untagged message about neighbours.
#[inline]
fn sender(head: &[u8]) -> Option<IpAddr> {
    match head.get(12..14)? {
        [0x86, 0xdd] if head.get(20) == Some(&p::ICMPV6) && matches!(head.get(54), Some(135 | 136)) => {
            Some(IpAddr::from(*head.get(22..)?.first_chunk::<16>()?))
        }
        [0x08, 0x06] => Some(IpAddr::from(*head.get(28..)?.first_chunk::<4>()?)),
        _ => None,
    }
}
