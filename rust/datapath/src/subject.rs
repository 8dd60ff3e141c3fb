//! A packet as the slow path looks at it: dissected once, with what its datagram's first fragment told.
use crate::offload::segment_len;
use crate::port::PortId;
use crate::reassemble::Pieces;
use netfast_buf::Skb;
use netfast_filter::facts::{Family, PacketType};
use netfast_flow::conntrack::Tuple;
use netfast_time::Instant;
use netfast_wire::dissect::dissect;
use netfast_wire::{Frame, Layers, Limits, LinkType, Present, Verdict};

/// One packet, before anything was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Bytes of the first segment; all headers stand in it.
    pub head: &'a [u8],
    /// Where the IP header begins in it.
    pub l3: usize,
    pub layers: Layers,
    /// The port that it came from: the sub-interface, if it came tagged. `None` for packets of the node's own.
    pub in_port: Option<PortId>,
    pub packet_type: PacketType,
    pub now: Instant,
    /// Payload bytes of each packet that a super-packet stands for; 0 for others.
    pub gso_size: u16,
    /// IP octets of the longest of them; 0 for others.
    pub segment_len: u32,
    /// Addresses, protocol and ports as they came; those of a later fragment are its first's. `None` where there are
    /// none to be told.
    pub tuple: Option<Tuple>,
    /// A checksum was verified and is wrong.
    pub bad_checksum: bool,
    /// The fragments that a datagram came in.
    pub pieces: Option<Pieces>,
}

impl<'a> Subject<'a> {
    /// Dissects a packet that begins with a header of type `link`.
    pub fn new(packet: &'a Skb, link: LinkType, in_port: Option<PortId>, now: Instant) -> Self {
        let frame = Frame { bytes: packet.head(), wire_len: packet.len(), link };
        let mut layers = Layers::default();
        dissect(&frame, &Limits::default(), &mut layers, &mut ());
        Self {
            head: packet.head(),
            l3: layers.l3_offset as usize,
            layers,
            in_port,
            packet_type: PacketType::Host,
            now,
            gso_size: packet.hot.gso_size,
            segment_len: match packet.hot.gso_size {
                0 => 0,
                _ => segment_len(packet, layers.l3_offset, layers.l4_offset, layers.protocol),
            },
            tuple: Tuple::of(&layers),
            bad_checksum: false,
            pieces: None,
        }
    }

    pub fn v6(&self) -> bool {
        self.layers.ip_version == 6
    }

    pub fn family(&self) -> Family {
        if self.v6() { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// Bytes from the IP header on, as far as they stand in the first segment.
    pub fn ip(&self) -> &'a [u8] {
        self.head.get(self.l3..).unwrap_or_default()
    }

    /// Bytes from the upper-layer header on; none of a later fragment.
    pub fn upper(&self) -> &'a [u8] {
        if self.is_later_fragment() {
            &[]
        } else {
            self.head.get(self.layers.l4_offset as usize..).unwrap_or_default()
        }
    }

    /// IP octets.
    pub fn ip_len(&self) -> u32 {
        self.layers.ip_len()
    }

    pub fn is_later_fragment(&self) -> bool {
        self.layers.verdict == Verdict::NonFirstFragment
    }

    pub fn is_fragment(&self) -> bool {
        self.layers.is_fragment()
    }

    /// Upper-layer protocol behind all extension headers.
    pub fn protocol(&self) -> u8 {
        self.tuple.map_or(self.layers.protocol, |tuple| tuple.protocol)
    }

    /// The ports of an upper-layer header that is cut behind them: no connection knows them, rules see them.
    pub fn cut_ports(&self) -> Option<(u16, u16)> {
        let known = self.tuple.is_some() || !self.layers.present.has(Present::PROTOCOL);
        let tuple = Tuple { protocol: self.layers.protocol, ..Tuple::default() };
        let there = self.layers.end.saturating_sub(self.layers.l4_offset) >= 4;
        let [a, b, c, d] = *self.upper().first_chunk::<4>()?;
        (!known && tuple.has_ports() && there && self.ip_len() > 0)
            .then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Addresses and ports as far as a first fragment tells them, though its upper-layer header may be cut behind the ports.
    pub fn first_tuple(&self) -> Option<Tuple> {
        let cut = || {
            let (source_port, destination_port) = self.cut_ports().filter(|_| self.is_fragment())?;
            Some(Tuple { source_port, destination_port, ..crate::track::addresses(self) })
        };
        self.tuple.or_else(cut)
    }

    /// Where the upper-layer header begins, from the IP header's start.
    pub fn l4(&self) -> usize {
        (self.layers.l4_offset as usize).saturating_sub(self.l3)
    }

    /// True when nothing but the plainest headers stands before the ports: what the cache may take.
    pub fn is_plain(&self) -> bool {
        let l4 = if self.v6() { 40 } else { 20 };
        self.layers.verdict == Verdict::Ok
            && self.layers.present.has(Present::PORTS)
            && !self.is_fragment()
            && self.l4() == l4
    }
}

/// What is left of a [`Subject`] once the packet may be changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub l3: u32,
    /// Upper-layer header, from the first byte.
    pub l4: u32,
    pub ip_len: u32,
    pub v6: bool,
    /// Upper-layer protocol.
    pub protocol: u8,
    pub fragment: bool,
    pub later_fragment: bool,
    /// The fragments that a datagram came in.
    pub pieces: Option<Pieces>,
    /// IP octets of the longest packet that a super-packet stands for; 0 for others.
    pub segment_len: u32,
    pub in_port: Option<PortId>,
    pub link_unicast: bool,
    pub icmp_type: Option<u8>,
}

impl Subject<'_> {
    pub fn shape(&self) -> Shape {
        Shape {
            l3: self.l3 as u32,
            l4: self.layers.l4_offset.max(self.layers.l3_offset),
            ip_len: self.ip_len(),
            v6: self.v6(),
            protocol: self.layers.protocol,
            fragment: self.is_fragment(),
            later_fragment: self.is_later_fragment(),
            pieces: self.pieces,
            segment_len: self.segment_len,
            in_port: self.in_port,
            link_unicast: self.packet_type == PacketType::Host,
            icmp_type: self.tuple.filter(Tuple::is_icmp).map(|tuple| tuple.icmp().0),
        }
    }
}
