//! Packets of the node's own: errors, resets, echo replies, and what its owner sends.
use crate::decide::{Answer, Answered, Given, Owed};
use crate::nat::mapped;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::NO_PORT;
use crate::reason::DropReason;
use crate::reassemble::{Pieces, context};
use crate::subject::{Shape, Subject};
use crate::trace::{Silent, show};
use crate::track::{Class, Track};
use netfast_buf::{ChecksumState, Skb};
use netfast_flow::conntrack::TcpState;
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::checksum::pseudo_checksum;
use netfast_wire::dissect::protocol as p;
use netfast_wire::router::{
    IPV6_ERROR_MAX, RESET_MAX, Sender, decrement_hop_limit, echo_reply, may_answer, write_error, write_reset,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How often the node may answer its own packets before it stops.
const MAX_DEPTH: u8 = 2;
/// Protocol number of ICMP (RFC 792).
const ICMP: u8 = 1;
/// Bytes of a packet that are copied to answer it.
const QUOTED: usize = 1_280;

impl Node {
    /// Sends a packet of the owner's: from its IP header on. It takes the way of all packets that the node makes (output and
    /// postrouting chains, connections, translations).
    pub fn send(&mut self, now: Instant, packet: Skb, out: &mut Outputs) {
        let now = self.clock(now);
        out.reserve_ports(self.ports.len());
        self.counters.created += 1;
        self.originate(now, packet, Given::default(), out);
    }

    /// Tells the sender of a packet that was dropped why. `track` is what the answer is to the packet's connection, if it has
    /// one.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        packet: &Skb,
        shape: &Shape,
        answer: Answer,
        track: Option<Track>,
        out: &mut Outputs,
    ) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        let mut copy = vec![0; (packet.len() - shape.l3).min(shape.ip_len) as usize];
        if matches!(answer.owed, Owed::Icmp(_)) {
            copy.truncate(QUOTED);
        }
        if packet.read(shape.l3, &mut copy).is_err() {
            return;
        }
        if answer.counted_down {
            decrement_hop_limit(&mut copy);
        }
        self.answering = shape.in_port;
        let made = match answer.owed {
            Owed::TcpReset => {
                // One that its sender left to a device is none yet, or was verified there.
                let verifies = !matches!(packet.hot.checksum, ChecksumState::Partial | ChecksumState::Good);
                self.reset(now, &copy, verifies, track)
            }
            Owed::Icmp(error) => self.error(now, error, &copy, shape, track),
        };
        if let Some((bytes, answers)) = made {
            self.originate_bytes(now, &bytes, Given { hook: None, answers }, out);
        }
        self.answering = None;
    }

    /// A reset in the name of the packet's destination; rules see where that is translated to.
    fn reset(
        &mut self,
        now: Instant,
        packet: &[u8],
        verifies: bool,
        track: Option<Track>,
    ) -> Option<(Vec<u8>, Option<Answered>)> {
        let mut into = [0; RESET_MAX];
        let reset = write_reset(packet, verifies, self.config.hop_limit, &mut into).ok()?.to_vec();
        if let Some(entry) = track.as_ref().and_then(|track| track.quotes) {
            self.close(now, entry);
        }
        let answered = track.map(|track| {
            let from = track.arriving();
            Answered { track, source: (from.source, Some(from.source_port)) }
        });
        Some((reset, answered))
    }

    /// A connection that the node reset is closed for both sides.
    fn close(&mut self, now: Instant, entry: u32) {
        let (entry, transport) = self.cache.entry_and_transport(entry);
        let Some(track) = transport.filter(|track| track.state() != TcpState::Close) else { return };
        track.close();
        entry.set_class(Class::Slow as u8);
        entry.expires = (now + self.config.tcp.timeouts.close).as_nanos();
    }

    fn error(
        &mut self,
        now: Instant,
        error: netfast_wire::router::IcmpError,
        packet: &[u8],
        shape: &Shape,
        track: Option<Track>,
    ) -> Option<(Vec<u8>, Option<Answered>)> {
        may_answer(error, packet, shape.link_unicast).ok()?;
        let (to, meant) = ends(packet)?;
        if self.is_directed_broadcast(meant) {
            return None;
        }
        // RFC 1812 4.3.2.8, RFC 4443 2.4 f.
        if !self.icmp_limit.take(now, 1) {
            self.counters.icmp_limited += 1;
            return None;
        }
        // Where the packet was meant to go behind translation: a destination of the node's own answers itself.
        let meant = track.as_ref().map_or(meant, |track| show(&track.arriving().source));
        let source = if self.owns(meant) { meant } else { self.error_source(to)? };
        let leaving = track.as_ref().filter(|track| track.translates_source());
        let seen = leaving.map_or(source, |track| show(&track.leaving().source));
        let identification = self.identification(seen, to);
        let sender = Sender { source: seen, hop_limit: self.config.hop_limit, identification };
        let mut into = [0; IPV6_ERROR_MAX];
        let written = write_error(error, packet, &sender, &mut into).ok()?.to_vec();
        Some((written, track.map(|track| Answered { track, source: (mapped(source), None) })))
    }

    /// Tells the sender of an IP packet whose next hop did not answer.
    pub(crate) fn tell_unreachable(&mut self, now: Instant, packet: &Skb, code: u8, out: &mut Outputs) {
        let subject = Subject::new(packet, LinkType::RAW, None, now);
        let shape = Shape { l3: 0, ..subject.shape() };
        let owed = Owed::Icmp(netfast_wire::router::IcmpError::Unreachable { code });
        self.answer(now, packet, &shape, Answer { owed, counted_down: false }, None, out);
    }

    pub(crate) fn is_directed_broadcast(&self, address: IpAddr) -> bool {
        let route =
            self.fib.lookup(netfast_fib::TableId::LOCAL, address).and_then(|route| self.fib.route(route));
        route.is_some_and(|entry| matches!(entry.route().kind, netfast_fib::RouteKind::Broadcast(_)))
    }

    /// RFC 1122 3.2.2.6, RFC 4443 4.2. As in Linux one to an IPv6 group is answered (in the name of an address of the port), one
    /// to an IPv4 group or broadcast is not.
    pub(crate) fn answer_echo(&mut self, now: Instant, packet: &Skb, shape: &Shape, out: &mut Outputs) {
        let request = if shape.v6 { 128 } else { 8 };
        if shape.icmp_type != Some(request)
            || shape.later_fragment
            || !(shape.link_unicast || shape.v6)
            || self.depth >= MAX_DEPTH
        {
            return;
        }
        let mut copy = vec![0; (packet.len() - shape.l3).min(shape.ip_len) as usize];
        if packet.read(shape.l3, &mut copy).is_err() {
            return;
        }
        let Some((asks, mut meant)) = ends(&copy) else { return };
        match meant {
            IpAddr::V6(group) if group.is_multicast() => {
                self.answering = shape.in_port;
                let source = self.error_source(asks);
                self.answering = None;
                let Some(IpAddr::V6(source)) = source.filter(|_| address_to(&mut copy, source)) else {
                    return;
                };
                meant = source.into();
            }
            _ if !shape.link_unicast || !self.owns(meant) => return,
            _ => {}
        }
        let identification = self.identification(meant, asks);
        if let Ok(reply) = echo_reply(&copy, self.config.hop_limit, identification) {
            self.answering = shape.in_port;
            self.originate_bytes(now, &reply, Given::default(), out);
            self.answering = None;
        }
    }

    /// That of an ICMP message, which may have to be fragmented.
    fn identification(&mut self, from: IpAddr, to: IpAddr) -> u16 {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.identifications.next_ipv4(from, to, ICMP),
            _ => 0,
        }
    }

    fn originate_bytes(&mut self, now: Instant, bytes: &[u8], given: Given, out: &mut Outputs) {
        self.counters.created += 1;
        match Skb::from_slice(bytes, &mut self.pool) {
            Ok(packet) => self.originate(now, packet, given, out),
            Err(_) => self.drop_packet(now, NO_PORT, Skb::new(), DropReason::Malformed, None),
        }
    }

    /// A packet of the node's own, from its IP header on, goes its way; fragments wait for their datagram where the node works
    /// on whole ones.
    fn originate(&mut self, now: Instant, mut packet: Skb, given: Given, out: &mut Outputs) {
        self.depth += 1;
        let _ = packet.pull(packet.len().min(256), &mut self.pool);
        let subject = Subject::new(&packet, LinkType::RAW, None, now);
        let wrong = subject.layers.ip_version == 0 || subject.layers.end > packet.len();
        if wrong {
            self.drop_packet(now, NO_PORT, packet, DropReason::Malformed, None);
        } else if subject.is_fragment() && self.works_on_whole() {
            let shape = Shape { l3: 0, ..subject.shape() };
            let context = context(&subject);
            if let Some(whole) = self.collect(now, packet, &shape, context, None, out) {
                self.originate_whole(now, whole.packet, whole.pieces, given, out);
            }
        } else {
            self.originate_whole(now, packet, None, given, out);
        }
        self.depth -= 1;
    }

    fn originate_whole(
        &mut self,
        now: Instant,
        mut packet: Skb,
        pieces: Option<Pieces>,
        given: Given,
        out: &mut Outputs,
    ) {
        let _ = packet.pull(packet.len().min(256), &mut self.pool);
        let subject = Subject { pieces, ..Subject::new(&packet, LinkType::RAW, None, now) };
        let decision = self.decide_own(&subject, given, &mut Silent);
        let shape = Shape { l3: 0, ..subject.shape() };
        self.commit(now, NO_PORT, packet, shape, decision, out);
    }
}

/// Gives an ICMPv6 message without extension headers another destination, if its checksum is right.
fn address_to(packet: &mut [u8], destination: Option<IpAddr>) -> bool {
    let Some(IpAddr::V6(destination)) = destination else { return false };
    let Some((header, message)) = packet.split_first_chunk_mut::<40>() else { return false };
    let sum = |header: &[u8; 40], message: &[u8]| {
        let octets = |at: usize| header[at..at + 16].first_chunk::<16>().copied().unwrap_or_default();
        pseudo_checksum(octets(8), octets(24), p::ICMPV6, message)
    };
    if header[6] != p::ICMPV6 || message.len() < 4 || sum(header, message) != 0 {
        return false;
    }
    header[24..].copy_from_slice(&destination.octets());
    message[2..4].fill(0);
    let right = sum(header, message);
    message[2..4].copy_from_slice(&right.to_be_bytes());
    true
}

/// Source and destination of a packet.
pub(crate) fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    if packet.first()? >> 4 == 4 {
        let at = |at: usize| packet.get(at..at + 4)?.first_chunk::<4>().copied();
        return Some((Ipv4Addr::from(at(12)?).into(), Ipv4Addr::from(at(16)?).into()));
    }
    let at = |at: usize| packet.get(at..at + 16)?.first_chunk::<16>().copied();
    Some((Ipv6Addr::from(at(8)?).into(), Ipv6Addr::from(at(24)?).into()))
}
