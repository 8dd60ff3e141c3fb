//! The way out: fragments, neighbours, ports; and the end of packets that do not get so far.
use crate::node::Node;
use crate::outputs::Outputs;
use crate::own::ends;
use crate::port::{Mac, PortId};
use crate::program::{By, ethernet};
use crate::reason::DropReason;
use crate::subject::Shape;
use crate::tap::TapKind;
use netfast_buf::{BufError, ChecksumState, Skb};
use netfast_frag::{Cut, fragment};
use netfast_offload::segment::{SegmentConfig, Segmenter, finish_checksum};
use netfast_time::Instant;
use netfast_wire::LinkType;
use netfast_wire::checksum::checksum;
use std::net::IpAddr;
use std::sync::Arc;

/// Which way a packet leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    pub port: PortId,
    pub next: IpAddr,
    /// The link address of `next`, where it is known.
    pub mac: Option<Mac>,
    /// The slot of `next`, or [`NONE`].
    pub neighbour: u32,
}

impl Node {
    /// How a packet that is too long, or that came in fragments, is cut. `translated` says whether its addresses are not those
    /// that its identification was chosen for.
    pub(crate) fn cutting(&mut self, packet: &Skb, shape: &Shape, mtu: u32, translated: bool) -> Cut {
        let size = shape.pieces.map_or(mtu, |pieces| pieces.largest.min(mtu));
        let identification = match (shape.pieces, ends(packet.head())) {
            (Some(pieces), _) if !translated => pieces.identification,
            // Each of its segments takes one.
            _ if packet.hot.gso_size != 0 => 0,
            (_, Some((IpAddr::V6(from), IpAddr::V6(to)))) => self.identifications.next_ipv6(from, to),
            _ => 0,
        };
        // A router cuts no IPv6 packet, and none that says so, that came in as one.
        let own = shape.in_port.is_none() && shape.v6;
        Cut { mtu: size, identification, ignore_df: shape.pieces.is_some() || own }
    }

    /// An IP packet that is longer than the MTU, or that came in fragments: IPv4 without DF goes in fragments (RFC 791 3.2, RFC
    /// 1812 5.2.6), and so does what came so. What comes in and may not be fragmented was answered before; what the node
    /// itself made ends here, unless it is of IPv6.
    pub(crate) fn leave_in_fragments(
        &mut self,
        now: Instant,
        mut packet: Skb,
        cut: Cut,
        way: Leaving,
        out: &mut Outputs,
    ) {
        if packet.hot.gso_size != 0 {
            self.segments_leave_in_fragments(now, packet, cut, way, out);
            return;
        }
        if packet.hot.checksum == ChecksumState::Partial
            && finish_checksum(&mut packet, LinkType::RAW, &mut self.pool).is_err()
        {
            self.drop_packet(now, way.port, packet, DropReason::Offload, None);
            return;
        }
        match packet.head() {
            [first, _, _, _, _, _, flags, ..] if first >> 4 == 4 && (cut.ignore_df || flags & 0x40 == 0) => {
                self.leave_in_fragments_v4(now, packet, cut.mtu, way, out);
            }
            [first, ..] if first >> 4 == 6 && cut.ignore_df => {
                self.leave_in_fragments_v6(now, packet, cut, way, out);
            }
            _ => self.drop_packet(now, way.port, packet, DropReason::TooBig, None),
        }
    }

    /// A super-packet is cut into the packets that it stands for, and these into fragments, as if each had come alone.
    fn segments_leave_in_fragments(
        &mut self,
        now: Instant,
        packet: Skb,
        cut: Cut,
        way: Leaving,
        out: &mut Outputs,
    ) {
        let mut segments = Vec::new();
        let mut segmenter = Segmenter::new(SegmentConfig { link: LinkType::RAW, ..SegmentConfig::default() });
        if let Err(refused) = segmenter.segment(packet, &mut self.pool, &mut segments) {
            self.drop_packet(now, way.port, refused.packet, DropReason::Offload, None);
            return;
        }
        let wire = self.port(way.port).map_or(way.port, |port| port.wire);
        self.count_super(way.port, wire, segments.len() as u64);
        self.counters.created += segments.len() as u64 - 1;
        for segment in segments {
            let identification = match ends(segment.head()) {
                Some((IpAddr::V6(from), IpAddr::V6(to))) => self.identifications.next_ipv6(from, to),
                _ => cut.identification,
            };
            self.leave_in_fragments(now, segment, Cut { identification, ..cut }, way, out);
        }
    }

    fn leave_in_fragments_v4(
        &mut self,
        now: Instant,
        mut packet: Skb,
        mtu: u32,
        way: Leaving,
        out: &mut Outputs,
    ) {
        self.name_fragments(&mut packet, mtu);
        let mut rest = Some(packet);
        while let Some(mut piece) = rest.take() {
            match self.cut(&mut piece, mtu) {
                Ok(behind) => {
                    rest = behind;
                    self.counters.created += u64::from(rest.is_some());
                    self.leave(now, piece, way, out);
                }
                Err(_) => self.drop_packet(now, way.port, piece, DropReason::Malformed, None),
            }
        }
    }

    /// A packet of the owner's that is to be cut and has no identification yet gets one.
    fn name_fragments(&mut self, packet: &mut Skb, mtu: u32) {
        let head = packet.head();
        let Some((IpAddr::V4(from), IpAddr::V4(to))) = ends(head) else { return };
        if packet.len() <= mtu || head[4..6] != [0, 0] || head[6] & 0x1f != 0 || head[7] != 0 {
            return;
        }
        let length = u32::from(head[0] & 15) * 4;
        let identification = self.identifications.next_ipv4(from, to, head[9]);
        if let Ok(header) = packet.head_mut(length, &mut self.pool) {
            header[4..6].copy_from_slice(&identification.to_be_bytes());
            let field = u16::from_be_bytes([header[6], header[7]]);
            let total = u16::from_be_bytes([header[2], header[3]]);
            write_fragment(header, field, total);
        }
    }

    fn leave_in_fragments_v6(
        &mut self,
        now: Instant,
        mut packet: Skb,
        cut: Cut,
        way: Leaving,
        out: &mut Outputs,
    ) {
        let mut fragments = Vec::new();
        match fragment(&mut packet, 0, &cut, &mut self.pool, &mut fragments) {
            Ok(count) => {
                self.counters.created += count as u64 - 1;
                for fragment in fragments {
                    self.leave(now, fragment, way, out);
                }
            }
            Err(_) => self.drop_packet(now, way.port, packet, DropReason::TooBig, None),
        }
    }

    /// Cuts an IPv4 packet to the MTU; gives what is behind the cut, with a header of its own, if anything is. Payload
    /// is shared, not copied.
    fn cut(&mut self, packet: &mut Skb, mtu: u32) -> Result<Option<Skb>, BufError> {
        let length = packet.head().first().map_or(0, |first| u32::from(first & 15) * 4);
        packet.set_header_length(length, &mut self.pool)?;
        if packet.len() <= mtu {
            return Ok(None);
        }
        // The smallest MTU is 68: a header of 60 bytes and 8 of data.
        let step = (mtu.saturating_sub(length) & !7).max(8);
        let mut header = [0; 60];
        let header = &mut header[..length as usize];
        packet.read(0, header)?;
        let mut behind = packet.split(length + step)?;
        behind.push(length, &mut self.pool)?;
        let field = u16::from_be_bytes([header[6], header[7]]);
        let head = packet.head_mut(length, &mut self.pool)?;
        write_fragment(head, field | MORE_FRAGMENTS, (length + step) as u16);
        write_later_options(&mut header[20..]);
        write_fragment(header, field + (step / 8) as u16, behind.len() as u16);
        behind.head_mut(length, &mut self.pool)?.copy_from_slice(header);
        behind.set_header_length(length, &mut self.pool)?;
        Ok(Some(behind))
    }

    /// An IP packet leaves for a neighbour, or waits for its link address.
    pub(crate) fn leave(&mut self, now: Instant, packet: Skb, way: Leaving, out: &mut Outputs) {
        let Leaving { port, next, mac, neighbour } = way;
        match mac {
            Some(mac) => {
                self.neighbours.touch(now, neighbour);
                self.emit(now, packet, port, mac, out);
            }
            None => self.wait_for_neighbour(now, packet, port, next, out),
        }
    }

    /// Packets that wait are counted where they wait.
    pub(crate) fn count_held(&mut self) {
        let fragments = self.fragments.len() as u64 + self.datagrams.held;
        let fragments = fragments + self.collation.held;
        self.counters.held = self.neighbours.holding() as u64 + fragments;
    }

    /// An IP packet leaves by a port.
    pub(crate) fn emit(&mut self, now: Instant, mut packet: Skb, port: PortId, mac: Mac, out: &mut Outputs) {
        let Some(leaving) = self.port(port) else {
            self.drop_packet(now, port, packet, DropReason::NoNextHop, None);
            return;
        };
        let v6 = packet.head().first().is_some_and(|first| first >> 4 == 6);
        let (length, header) = ethernet(leaving.config.mac, mac, leaving.tag, v6);
        let wire = leaving.wire;
        match packet.push(u32::from(length), &mut self.pool) {
            Ok(head) => head.copy_from_slice(&header[..usize::from(length)]),
            Err(_) => {
                self.drop_packet(now, port, packet, DropReason::TooBig, None);
                return;
            }
        }
        self.send_out(now, packet, port, wire, out);
    }

    /// A frame goes out.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        mut packet: Skb,
        port: PortId,
        wire: PortId,
        out: &mut Outputs,
    ) {
        self.counters.out += 1;
        let bytes = u64::from(packet.len());
        for counted in [port, wire].iter().take(1 + usize::from(port != wire)) {
            if let Some(Some(port)) = self.ports.get_mut(*counted as usize) {
                port.counts.packets_out += 1;
                port.counts.bytes_out += bytes;
            }
        }
        packet.hot.timestamp = now;
        if self.taps.any() {
            self.taps.record(now, port, TapKind::Out, &packet);
            if wire != port {
                self.taps.record(now, wire, TapKind::Out, &packet);
            }
        }
        out.send(wire, packet);
    }

    /// For the node itself.
    pub(crate) fn deliver(&mut self, now: Instant, packet: Skb, shape: &Shape, out: &mut Outputs) {
        if !shape.fragment {
            self.hand_over(now, packet, shape, shape.pieces.is_some(), out);
        } else if let Some((whole, shape)) = self.collect_for_the_node(now, packet, shape, out) {
            self.hand_over(now, whole, &shape, true, out);
        }
    }

    fn hand_over(&mut self, now: Instant, packet: Skb, shape: &Shape, in_fragments: bool, out: &mut Outputs) {
        let Some(mut packet) = self.take_delivered(now, packet, shape, in_fragments, out) else { return };
        self.counters.local += 1;
        if self.config.answer_echo {
            self.answer_echo(now, &packet, shape, out);
        }
        packet.hot.in_port = shape.in_port.unwrap_or(crate::port::NO_PORT);
        packet.hot.timestamp = now;
        out.deliver(packet);
    }

    /// The end of a packet.
    pub(crate) fn drop_packet(
        &mut self,
        now: Instant,
        port: PortId,
        packet: Skb,
        reason: DropReason,
        by: Option<By>,
    ) {
        self.counters.dropped.add(reason);
        if let Some(Some(port)) = self.ports.get_mut(port as usize) {
            port.counts.dropped.add(reason);
        }
        if self.taps.any() {
            let text = by.and_then(|by| self.dropper(by)).map(Arc::from);
            self.taps.record(now, port, TapKind::Dropped(reason, text), &packet);
        }
        self.pool.recycle(packet);
    }
}

const MORE_FRAGMENTS: u16 = 0x2000;

/// Length, fragment field and checksum of an IPv4 header.
fn write_fragment(header: &mut [u8], field: u16, length: u16) {
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[6..8].copy_from_slice(&field.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Options without the copied flag stand in the first fragment alone (RFC 791 3.1); later ones have padding there, so
/// that all headers are of one length.
fn write_later_options(options: &mut [u8]) {
    const END: u8 = 0;
    const PADDING: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while at < options.len() && options[at] != END {
        let kind = options[at];
        let length = match options.get(at + 1) {
            _ if kind == PADDING => 1,
            Some(length) => usize::from(*length).max(2),
            None => 1,
        };
        let end = (at + length).min(options.len());
        if kind & COPIED == 0 {
            options[at..end].fill(PADDING);
        }
        at = end;
    }
}
