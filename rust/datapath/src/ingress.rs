//! What comes in: the port, the frame, the IP header, fragments; then the decision.
use crate::config::Reassembly;
use crate::decide::{Answer, Given, HookVerdict, Owed};
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::PortId;
use crate::reason::DropReason;
use crate::reassemble::{Whole, context};
use crate::subject::Subject;
use crate::trace::Silent;
use netfast_buf::Skb;
use netfast_filter::facts::PacketType;
use netfast_flow::fragment_key;
use netfast_time::Instant;
use netfast_wire::dissect::{dissect, ethertype as et, source_route};
use netfast_wire::router::{IcmpError, parameter4, parameter6};
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, Present, Verdict, checksum};

/// Bytes of headers that are asked for at once: Ethernet, a tag, IPv6 with some extension headers, TCP with options.
const HEADERS: u32 = 256;

/// What a frame is to a port.
#[derive(Debug)]
pub(crate) enum Arrival<'a> {
    /// An IP packet whose header is right.
    Packet(Subject<'a>),
    /// Not IP, and for the node: ARP.
    Local(PortId),
    Drop {
        port: PortId,
        reason: DropReason,
        answer: Option<(Subject<'a>, Answer)>,
    },
}

impl Node {
    /// One packet, by the tables.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        wire: PortId,
        mut packet: Skb,
        hook: Option<HookVerdict>,
        out: &mut Outputs,
    ) {
        self.gather_headers(&mut packet);
        self.count_sub_interface(wire, &packet);
        match self.link_message(wire, &packet) {
            Some(message) => {
                let taken = self.take_link(now, message, &packet, out);
                self.end_message(now, message.port(), packet, taken);
            }
            None => self.take_in(now, wire, packet, hook, out),
        }
    }

    /// All headers stand in the first segment; a packet with more of them is told by its verdict.
    pub(crate) fn gather_headers(&mut self, packet: &mut Skb) {
        if packet.head().len() < packet.len().min(HEADERS) as usize {
            let _ = packet.pull(packet.len().min(HEADERS), &mut self.pool);
        }
        if packet.head().len() < packet.len() as usize && !fits_head(packet) {
            let _ = packet.pull(packet.len(), &mut self.pool);
        }
    }

    /// A packet that was counted: it goes on, or waits for fragments of its datagram.
    #[inline(never)]
    fn take_in(
        &mut self,
        now: Instant,
        wire: PortId,
        packet: Skb,
        hook: Option<HookVerdict>,
        out: &mut Outputs,
    ) {
        if let Arrival::Packet(subject) = self.arrive(&packet, wire, now)
            && subject.is_fragment()
            && (subject.gso_size != 0 || self.wants_whole(&subject))
        {
            if subject.gso_size != 0 {
                // What stands for several datagrams is no part of one.
                let port = subject.in_port.unwrap_or(wire);
                self.drop_packet(now, port, packet, DropReason::Malformed, None);
                return;
            }
            let (shape, context) = (subject.shape(), context(&subject));
            let Some(whole) = self.collect(now, packet, &shape, context, hook, out) else { return };
            self.take_whole(now, whole, out);
        } else {
            self.go_on_in(now, wire, Whole { packet, pieces: None, hook }, out);
        }
    }

    /// A datagram goes on as if it had come by the port that its first fragment came by.
    fn take_whole(&mut self, now: Instant, mut whole: Whole, out: &mut Outputs) {
        let wire = self.port(whole.packet.hot.in_port).map_or(whole.packet.hot.in_port, |port| port.wire);
        self.gather_headers(&mut whole.packet);
        if let Some(whole) = self.whole_by_cache(now, whole, out) {
            self.go_on_in(now, wire, whole, out);
        }
    }

    fn go_on_in(&mut self, now: Instant, wire: PortId, whole: Whole, out: &mut Outputs) {
        let Whole { mut packet, pieces, hook } = whole;
        let follows = self.tracks && self.config.reassembly == Reassembly::Virtual;
        match self.arrive(&packet, wire, now) {
            Arrival::Packet(mut subject) => {
                subject.pieces = pieces;
                let key = (follows && subject.is_fragment()).then(|| fragment_key(&subject.layers));
                if let Some(key) = key {
                    if !subject.is_later_fragment() {
                        if let Some(tuple) = subject.tuple {
                            self.fragments.first(key, tuple, now);
                        }
                    } else if let Some(tuple) = self.fragments.later(key, now) {
                        subject.tuple = Some(tuple);
                    } else {
                        self.hold_fragment(now, key, wire, packet);
                        return;
                    }
                }
                let releases = key.filter(|_| !subject.is_later_fragment() && subject.tuple.is_some());
                let decision = self.decide(&subject, Given { hook, answers: None }, &mut Silent);
                self.learn(&subject, &decision);
                self.keep_neighbour(&decision);
                let shape = subject.shape();
                self.commit(now, wire, packet, shape, decision, out);
                for (port, packet) in releases.map(|key| self.fragments.release(&key)).unwrap_or_default() {
                    self.take_in(now, port, packet, None, out);
                }
                self.count_held();
            }
            Arrival::Local(port) => {
                packet.hot.in_port = port;
                self.counters.local += 1;
                out.deliver(packet);
            }
            Arrival::Drop { port, reason, answer } => {
                if let Some((subject, answer)) = answer {
                    let shape = subject.shape();
                    self.answer(now, &packet, &shape, answer, None, out);
                }
                self.drop_packet(now, port, packet, reason, None);
            }
        }
    }

    /// What came in by a sub-interface counts there, too.
    fn count_sub_interface(&mut self, wire: PortId, packet: &Skb) {
        let Some([0x81, 0x00, high, low]) = packet.head().get(12..16) else { return };
        let id = u16::from_be_bytes([*high, *low]) & 0x0fff;
        let vlans = self.port(wire).map_or(&[][..], |port| &port.vlans);
        let Some((_, logical)) = vlans.iter().find(|(other, _)| *other == id).copied() else { return };
        if let Some(Some(port)) = self.ports.get_mut(logical as usize) {
            port.counts.packets_in += 1;
            port.counts.bytes_in += u64::from(packet.len());
        }
    }

    /// The port, the frame and the IP header of a packet.
    pub(crate) fn arrive<'a>(&self, packet: &'a Skb, wire: PortId, now: Instant) -> Arrival<'a> {
        let fail = |port, reason| Arrival::Drop { port, reason, answer: None };
        let Some(port) = self.port(wire) else { return fail(wire, DropReason::UnknownPort) };
        let Some(header) = packet.head().first_chunk::<14>() else {
            return fail(wire, DropReason::Malformed);
        };
        let mut kind = u16::from_be_bytes([header[12], header[13]]);
        let mut logical = wire;
        if kind == et::VLAN {
            let Some(tag) = packet.head().get(14..18) else { return fail(wire, DropReason::Malformed) };
            let id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
            kind = u16::from_be_bytes([tag[2], tag[3]]);
            // Identifier 0 is a priority alone (IEEE 802.1Q, 9.6).
            if id != 0 {
                match port.vlans.iter().find(|(other, _)| *other == id) {
                    Some((_, sub)) => logical = *sub,
                    None => return fail(wire, DropReason::UnknownVlan),
                }
            }
        }
        let own = self.port(logical).map_or(port.config.mac, |port| port.config.mac);
        let packet_type = match header[..6] {
            [255, 255, 255, 255, 255, 255] => PacketType::Broadcast,
            [first, ..] if first & 1 == 1 => PacketType::Multicast,
            ref to if *to == own => PacketType::Host,
            _ => return fail(logical, DropReason::OtherHost),
        };
        match kind {
            et::IPV4 | et::IPV6 => {}
            et::ARP => return Arrival::Local(logical),
            _ => return fail(logical, DropReason::UnknownProtocol),
        }
        let mut subject = Subject::new(packet, LinkType::ETHERNET, Some(logical), now);
        subject.packet_type = packet_type;
        match self.check_header(&subject, packet.len()) {
            Ok(()) => {}
            Err((reason, error)) => {
                let answer =
                    error.map(|error| (subject, Answer { owed: Owed::Icmp(error), counted_down: false }));
                return Arrival::Drop { port: logical, reason, answer };
            }
        }
        if self.config.verify_checksums && self.tracks {
            subject.bad_checksum = is_bad(&subject.layers, packet);
        }
        Arrival::Packet(subject)
    }

    /// RFC 1812 5.2.2, RFC 8200 3 and 4.2.
    fn check_header(
        &self,
        subject: &Subject<'_>,
        length: u32,
    ) -> Result<(), (DropReason, Option<IcmpError>)> {
        let layers = &subject.layers;
        let fail = |reason| Err((reason, None));
        if layers.ip_version == 0 {
            return fail(DropReason::Malformed);
        }
        if layers.end > length {
            return fail(DropReason::Truncated);
        }
        if matches!(layers.verdict, Verdict::TooManyHeaders | Verdict::TooDeep) {
            return fail(DropReason::TooManyHeaders);
        }
        if subject.v6() { check_v6(subject) } else { check_v4(subject) }
    }

    /// A later fragment waits for its first.
    fn hold_fragment(&mut self, now: Instant, key: [u64; 5], wire: PortId, packet: Skb) {
        let surplus = self.fragments.hold(key, wire, packet, now);
        self.count_held();
        if let Some((port, packet)) = surplus {
            self.drop_packet(now, port, packet, DropReason::FragmentQueue, None);
        }
    }
}

/// True when the first segment tells all that there is to tell: few packets have more headers than that, or are errors
/// whose quote goes on.
fn fits_head(packet: &Skb) -> bool {
    let mut layers = Layers::default();
    let frame = Frame { bytes: packet.head(), wire_len: packet.len(), link: LinkType::ETHERNET };
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    matches!(layers.verdict, Verdict::Ok | Verdict::NonFirstFragment) && !layers.present.has(Present::ICMP)
}

/// IPv4: the checksum, a length.
fn check_v4(subject: &Subject<'_>) -> Result<(), (DropReason, Option<IcmpError>)> {
    let frame = Frame { bytes: subject.head, wire_len: u32::MAX, link: LinkType::ETHERNET };
    if checksum::verify_l3(&frame, &subject.layers) == Checksum::Bad {
        return Err((DropReason::HeaderChecksum, None));
    }
    let ip = subject.ip();
    let length = ip.first().map_or(0, |first| usize::from(first & 15) * 4);
    if ip.get(20..length).is_none() {
        return Err((DropReason::Malformed, None));
    }
    // Captures of segments that were not cut yet have no total length; on a link each packet has one.
    if subject.gso_size == 0 && ip[2..4] == [0, 0] {
        return Err((DropReason::Malformed, None));
    }
    Ok(())
}

/// Options of IPv4 whose lengths fit, no source route. They are looked at behind routing, as Linux does.
pub(crate) fn check_options(subject: &Subject<'_>) -> Result<(), (DropReason, Option<IcmpError>)> {
    let options = &subject.ip()[20..subject.l4().clamp(20, subject.ip().len().max(20))];
    if let Some(pointer) = bad_option(options) {
        let error = IcmpError::ParameterProblem { code: parameter4::POINTER, pointer: 20 + pointer as u32 };
        return Err((DropReason::Malformed, Some(error)));
    }
    if source_route(options).is_some() {
        return Err((DropReason::SourceRoute, None));
    }
    Ok(())
}

/// The first octet of an option whose length cannot be.
fn bad_option(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match kind {
            0 => return None,
            1 => at += 1,
            _ => match options.get(at + 1) {
                Some(&length) if length >= 2 && at + usize::from(length) <= options.len() => {
                    at += usize::from(length)
                }
                _ => return Some(at),
            },
        }
    }
    None
}

/// IPv6: addresses that no packet on a link has, and hop-by-hop options that nobody knows.
fn check_v6(subject: &Subject<'_>) -> Result<(), (DropReason, Option<IcmpError>)> {
    use std::net::Ipv6Addr;
    let (source, destination) = (Ipv6Addr::from(subject.layers.src), Ipv6Addr::from(subject.layers.dst));
    // RFC 4291 2.5.3, 2.7; mapped addresses are IPv4's (RFC 4942 2.2).
    if source.is_multicast() || source.is_loopback() || source.to_ipv4_mapped().is_some() {
        return Err((DropReason::MartianSource, None));
    }
    let scope = destination.octets()[1] & 15;
    if destination.is_loopback()
        || destination.to_ipv4_mapped().is_some()
        || (destination.is_multicast() && scope <= 1)
    {
        return Err((DropReason::MartianDestination, None));
    }
    let ip = subject.ip();
    if ip.get(6) == Some(&0) { hop_by_hop(ip, destination.is_multicast()) } else { Ok(()) }
}

/// RFC 8200 4.2: what is done with an option that is not known, its two highest bits say.
fn hop_by_hop(ip: &[u8], to_group: bool) -> Result<(), (DropReason, Option<IcmpError>)> {
    const PADDING: [u8; 2] = [0, 1];
    const ROUTER_ALERT: u8 = 5;
    const JUMBO: u8 = 0xc2;
    let Some(header) = ip.get(40..).filter(|header| header.len() >= 8) else { return Ok(()) };
    let end = (usize::from(header[1]) + 1) * 8;
    let mut at = 2;
    while at < end {
        let Some(&kind) = header.get(at) else { return Ok(()) };
        if kind == PADDING[0] {
            at += 1;
            continue;
        }
        let Some(&length) = header.get(at + 1) else { return Ok(()) };
        let behind = at + 2 + usize::from(length);
        if behind > end {
            return Err((DropReason::Malformed, None));
        }
        if kind != PADDING[1] && kind != ROUTER_ALERT && kind != JUMBO {
            let pointer = 40 + at as u32;
            let error = IcmpError::ParameterProblem { code: parameter6::UNKNOWN_OPTION, pointer };
            match kind >> 6 {
                0 => {}
                1 => return Err((DropReason::UnknownOption, None)),
                2 => return Err((DropReason::UnknownOption, Some(error))),
                _ => return Err((DropReason::UnknownOption, (!to_group).then_some(error))),
            }
        }
        at = behind;
    }
    Ok(())
}

/// Connections ask for the checksums of all protocols but GRE, which has one for its ends alone (RFC 2784 2.3).
fn verifies(protocol: u8) -> bool {
    protocol != netfast_wire::dissect::protocol::GRE
}

/// True when an upper-layer checksum that can be verified is wrong.
pub(crate) fn is_bad(layers: &Layers, packet: &Skb) -> bool {
    if packet.hot.checksum == netfast_buf::ChecksumState::Good
        || packet.hot.checksum == netfast_buf::ChecksumState::Partial
    {
        return false;
    }
    let whole;
    let bytes = if packet.head().len() as u32 == packet.len() {
        packet.head()
    } else {
        whole = packet.to_vec();
        &whole
    };
    let frame = Frame { bytes, wire_len: packet.len(), link: LinkType::ETHERNET };
    layers.present.has(Present::PROTOCOL)
        && verifies(layers.protocol)
        && checksum::verify_l4(&frame, layers) == Checksum::Bad
}
