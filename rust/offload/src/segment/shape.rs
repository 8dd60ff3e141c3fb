//! What a super-packet's headers are, and whether they can be repeated.
use netfast_buf::{ChecksumState, GsoFlags, GsoType, HotLine, Offsets, PacketPool, Skb};
use netfast_wire::dissect::protocol as p;
use netfast_wire::{
    Frame, HeaderKind, Inner, InnerKind, Layers, Limits, LinkType, Present, Verdict, Visit, dissect,
    dissect_inner,
};

use super::{Checksums, MAX_HEADERS, SegmentConfig, SegmentError};

/// The most headers with lengths or checksums: two for each packet that dissection follows into another.
pub(crate) const MAX_FIXES: usize = 16;
/// A longer IP packet has no length in its header: that of a host's own super-packet is zero then.
const LONGEST_IP: u32 = 65_535;
const IPV6_HEADER: u32 = 40;
/// What cannot stand in more than one segment: SYN, RST, URG (RFC 9293 3.1).
const UNSHARED_FLAGS: u16 = 0x026;

/// A header of which something is different in each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fix {
    pub(crate) at: u16,
    pub(crate) kind: FixKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FixKind {
    /// Its identification counts, if so it says.
    Ipv4 {
        counts: bool,
    },
    Ipv6,
    /// A tunnel's, with a checksum or without.
    Udp {
        checksum: bool,
    },
    /// Likewise.
    Gre {
        checksum: bool,
    },
}

/// The transport whose payload is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// A super-packet that can be cut: all that is needed is there and right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes before the payload.
    pub(crate) headers: u32,
    /// Payload bytes of each segment but the last.
    pub(crate) size: u32,
    pub(crate) transport: Transport,
    /// Where its header is; the last of the fixes is the IP header before it.
    pub(crate) l4: usize,
    /// Of the IP packet around it, 4 or 6.
    pub(crate) version: u8,
    /// Its checksum is there, and by whom it is computed.
    pub(crate) checksums: Option<Checksums>,
    /// What is known of each segment.
    pub(crate) marks: HotLine,
    fixes: [Fix; MAX_FIXES],
    count: usize,
}

impl Shape {
    /// Looks at a packet, whose headers may be moved into its first segment.
    pub(crate) fn read(
        packet: &mut Skb,
        config: &SegmentConfig,
        pool: &mut PacketPool,
    ) -> Result<Self, SegmentError> {
        let hot = packet.hot;
        match (hot.gso_type, hot.gso_size) {
            (GsoType::None, size) => return Err(SegmentError::NoType { size }),
            (kind, 0) => return Err(SegmentError::NoSize { kind }),
            _ if hot.checksum == ChecksumState::Bad => return Err(SegmentError::BadChecksum),
            _ => {}
        }
        let (wanted, mut found) = (Wanted::super_packet(&hot), Found::default());
        with_headers(packet, pool, |packet| found.find(packet, config.link, &wanted))?;
        // TCP's header has a length that dissection saw; its payload begins behind it.
        let headers = found.layers.end - found.layers.payload_len;
        if headers as usize > MAX_HEADERS {
            return Err(SegmentError::HeadersTooLong { length: headers });
        }
        let whole = packet.len();
        if packet.head().len() < headers as usize {
            packet.pull(headers, pool).map_err(|_| cut_off(headers))?;
        }
        found.shape(packet.head(), &hot, config, whole)
    }

    /// The headers with lengths or checksums, the outermost first.
    pub(crate) fn fixes(&self) -> &[Fix] {
        &self.fixes[..self.count]
    }

    /// Where the checksum is in the transport header.
    pub(crate) fn checksum_field(&self) -> u16 {
        match self.transport {
            Transport::Tcp => 16,
            Transport::Udp => 6,
        }
    }

    /// Says of a segment what is known of it.
    #[inline(always)]
    pub(crate) fn mark(&self, segment: &mut Skb) {
        segment.hot.mark(&self.marks);
    }
}

fn cut_off(need: u32) -> SegmentError {
    SegmentError::Headers { verdict: Verdict::Truncated, offset: 0, need }
}

/// Looks at the headers. Where that fails and the first segment may not have all of them, more bytes are moved there, and
/// they are looked at once more: a tunnel's header that is cut looks like payload.
pub(crate) fn with_headers<T>(
    packet: &mut Skb,
    pool: &mut PacketPool,
    mut look: impl FnMut(&Skb) -> Result<T, SegmentError>,
) -> Result<T, SegmentError> {
    let found = look(packet);
    let most = packet.len().min(MAX_HEADERS as u32);
    if found.is_ok() || packet.head().len() >= most as usize {
        return found;
    }
    packet.pull(most, pool).map_err(|_| cut_off(most))?;
    look(packet)
}

/// Which of the packets within each other is looked for.
pub(crate) struct Wanted {
    /// 6 or 17, or either.
    protocol: Option<u8>,
    /// Where its headers are, as far as somebody said so.
    marked: Offsets,
    /// The first one does not count.
    inside: bool,
    /// None when it is not to be cut, and may have headers that cannot be repeated.
    kind: GsoType,
}

impl Wanted {
    fn super_packet(hot: &HotLine) -> Self {
        let inside = hot.gso_flags.has(GsoFlags::TUNNEL);
        let protocol = if hot.gso_type == GsoType::Udp { p::UDP } else { p::TCP };
        let marked = if inside { hot.inner } else { Offsets::default() };
        Self { protocol: Some(protocol), marked, inside, kind: hot.gso_type }
    }

    /// The packet whose headers are where `marked` says, or else the outermost one.
    pub(crate) fn transport(marked: Offsets) -> Self {
        Self { protocol: None, marked, inside: false, kind: GsoType::None }
    }

    fn is(&self, layers: &Layers) -> bool {
        (layers.depth > 0 || !self.inside)
            && layers.ip_version != 0
            && self.marked.l4().is_none_or(|l4| l4 == layers.l4_offset)
            && self.protocol.is_none_or(|protocol| protocol == layers.protocol)
    }

    /// What is in a UDP tunnel whose port dissection does not know: who marked the packet knew more.
    fn carried(&self, layers: &Layers) -> Inner {
        match (layers.inner.kind, self.marked.l3()) {
            (InnerKind::None, Some(offset))
                if layers.protocol == p::UDP && offset >= layers.l4_offset + 8 =>
            {
                Inner { kind: InnerKind::Ip, offset, end: layers.end }
            }
            _ => layers.inner,
        }
    }
}

/// The packet that was looked for.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) layers: Layers,
    /// Where the outermost IP header is, and the one behind it.
    outermost: (u32, u32),
    pub(crate) headers: Headers,
}

impl Found {
    /// Goes from the outermost packet inwards to the one that is wanted. In place, since it is long for being moved.
    pub(crate) fn find(&mut self, packet: &Skb, link: LinkType, wanted: &Wanted) -> Result<(), SegmentError> {
        let frame = Frame { bytes: packet.head(), wire_len: packet.len(), link };
        let limits = Limits::default();
        *self = Self::default();
        let Self { layers, outermost, headers } = self;
        dissect(&frame, &limits, layers, headers);
        *outermost = (layers.l3_offset, layers.l4_offset);
        let cut = wanted.kind != GsoType::None;
        loop {
            if layers.is_fragment() {
                return Err(SegmentError::Fragment);
            }
            if let Some(error) = headers.refused.filter(|_| cut) {
                return Err(error);
            }
            if layers.verdict != Verdict::Ok {
                let (verdict, offset, need) = (layers.verdict, layers.stop_offset, layers.stop_need);
                return Err(SegmentError::Headers { verdict, offset, need });
            }
            if cut && layers.present.has(Present::REROUTED) {
                return Err(SegmentError::Rerouted);
            }
            if cut && layers.ip_version != 0 && layers.end != packet.len() {
                let header = if layers.ip_version == 4 { HeaderKind::Ipv4 } else { HeaderKind::Ipv6 };
                let (offset, has) = (layers.l3_offset, packet.len() - layers.l3_offset);
                return Err(SegmentError::Length { header, offset, says: layers.ip_len(), has });
            }
            if wanted.is(layers) {
                headers.ethernet = headers.ethernet.or(wanted.marked.l2());
                return Ok(());
            }
            let (version, protocol) = (layers.ip_version, layers.protocol);
            layers.inner = wanted.carried(layers);
            if !dissect_inner(&frame, &limits, layers, headers) {
                return Err(SegmentError::Contradicts { kind: wanted.kind, version, protocol });
            }
        }
    }

    #[inline(always)]
    fn shape(
        &self,
        head: &[u8],
        hot: &HotLine,
        config: &SegmentConfig,
        whole: u32,
    ) -> Result<Shape, SegmentError> {
        let layers = &self.layers;
        let transport = match (hot.gso_type, layers.ip_version) {
            (GsoType::Tcp4, 4) | (GsoType::Tcp6, 6) => Transport::Tcp,
            (GsoType::Udp, _) => Transport::Udp,
            (kind, version) => {
                return Err(SegmentError::Contradicts { kind, version, protocol: layers.protocol });
            }
        };
        if layers.tcp_flags & UNSHARED_FLAGS != 0 {
            return Err(SegmentError::TcpFlags { flags: layers.tcp_flags });
        }
        let headers = layers.end - layers.payload_len;
        let l4 = layers.l4_offset as usize;
        let absent = transport == Transport::Udp
            && hot.checksum != ChecksumState::Partial
            && head[l4 + 6..l4 + 8] == [0, 0];
        let state = match config.checksums {
            _ if absent => hot.checksum,
            Checksums::Full => ChecksumState::Good,
            Checksums::Partial => ChecksumState::Partial,
        };
        let (outer, inner) = self.offsets(config.link);
        let mut marks = *hot;
        (marks.outer, marks.inner, marks.checksum) = (outer, inner, state);
        (marks.gso_size, marks.gso_segments, marks.gso_type) = (0, 0, GsoType::None);
        marks.gso_flags = GsoFlags::default();
        let mut shape = Shape {
            headers,
            size: u32::from(hot.gso_size),
            transport,
            l4,
            version: layers.ip_version,
            checksums: (!absent).then_some(config.checksums),
            marks,
            fixes: [Fix { at: 0, kind: FixKind::Ipv6 }; MAX_FIXES],
            count: 0,
        };
        shape.fix(head, &self.headers, hot, whole)?;
        shape.limits(config, whole)?;
        Ok(shape)
    }

    /// Where the headers of the outermost packet are, and of the one that is cut where that is another.
    pub(crate) fn offsets(&self, link: LinkType) -> (Offsets, Offsets) {
        let (l3, l4) = self.outermost;
        let l2 = (l3 > 0 || link == LinkType::ETHERNET).then_some(0);
        let outer = Offsets::new(l2, Some(l3), Some(l4));
        if self.layers.depth == 0 {
            return (outer, Offsets::default());
        }
        let (l3, l4) = (self.layers.l3_offset, self.layers.l4_offset);
        (outer, Offsets::new(self.headers.ethernet, Some(l3), Some(l4)))
    }
}

impl Shape {
    /// Takes the headers up to the transport's, and holds their lengths against the packet's.
    fn fix(&mut self, head: &[u8], seen: &Headers, hot: &HotLine, whole: u32) -> Result<(), SegmentError> {
        let (mut first, tunnels) = (true, &seen.list[..seen.count]);
        for &(header, offset) in tunnels {
            let at = usize::from(offset);
            let kind = match header {
                HeaderKind::Ipv4 => {
                    let fixed = if first { GsoFlags::FIXED_ID } else { GsoFlags::INNER_FIXED_ID };
                    FixKind::Ipv4 { counts: !hot.gso_flags.has(fixed) }
                }
                // The length of a jumbogram (RFC 2675 2) stands in an option, which its segments must not have.
                HeaderKind::Ipv6 if head[at + 4..at + 6] == [0, 0] && head[at + 6] == p::HOP_BY_HOP => {
                    let (header, offset) = (HeaderKind::HopByHop, u32::from(offset) + IPV6_HEADER);
                    return Err(SegmentError::Unrepeatable { header, offset });
                }
                HeaderKind::Ipv6 => FixKind::Ipv6,
                HeaderKind::Udp => {
                    udp_length(head, at, whole)?;
                    FixKind::Udp { checksum: head[at + 6..at + 8] != [0, 0] }
                }
                _ => gre(head, at)?,
            };
            first &= !matches!(header, HeaderKind::Ipv4 | HeaderKind::Ipv6);
            if at == self.l4 {
                break;
            }
            let Some(fix) = self.fixes.get_mut(self.count) else {
                return Err(SegmentError::HeadersTooLong { length: self.headers });
            };
            *fix = Fix { at: offset, kind };
            self.count += 1;
        }
        Ok(())
    }

    /// How many segments there are, and whether their lengths fit the headers.
    fn limits(&self, config: &SegmentConfig, whole: u32) -> Result<(), SegmentError> {
        let payload = whole - self.headers;
        let segments = payload.div_ceil(self.size).max(1);
        if segments > config.segments {
            return Err(SegmentError::TooManySegments { segments, limit: config.segments });
        }
        let size = self.size.min(payload);
        for fix in self.fixes() {
            let (header, before) = match fix.kind {
                FixKind::Ipv4 { .. } => (HeaderKind::Ipv4, 0),
                FixKind::Ipv6 => (HeaderKind::Ipv6, IPV6_HEADER),
                FixKind::Udp { .. } | FixKind::Gre { .. } => continue,
            };
            let offset = u32::from(fix.at);
            if self.headers + size - offset - before > LONGEST_IP {
                return Err(SegmentError::SegmentTooLong { size, header, offset });
            }
        }
        Ok(())
    }
}

/// RFC 768: header and payload. Zero is the length of more than it can say.
fn udp_length(head: &[u8], at: usize, whole: u32) -> Result<(), SegmentError> {
    let says = u32::from(u16::from_be_bytes([head[at + 4], head[at + 5]]));
    let has = whole - at as u32;
    if says == has || (says == 0 && has > LONGEST_IP) {
        return Ok(());
    }
    Err(SegmentError::Length { header: HeaderKind::Udp, offset: at as u32, says, has })
}

/// RFC 2784, RFC 2890. Version 1 (RFC 2637 4.1) has a length and numbers of its own.
fn gre(head: &[u8], at: usize) -> Result<FixKind, SegmentError> {
    let offset = at as u32;
    if head[at + 1] & 7 != 0 {
        return Err(SegmentError::Unrepeatable { header: HeaderKind::Gre, offset });
    }
    if head[at] & 0x10 != 0 {
        return Err(SegmentError::GreSequence { offset });
    }
    Ok(FixKind::Gre { checksum: head[at] & 0x80 != 0 })
}

/// The headers in which something changes, as dissection goes along.
pub(crate) struct Headers {
    list: [(HeaderKind, u16); MAX_FIXES + 1],
    count: usize,
    /// The Ethernet header before the IP header that was seen last, if it has one.
    ethernet: Option<u32>,
    /// That of the next.
    coming: Option<u32>,
    refused: Option<SegmentError>,
}

impl Default for Headers {
    fn default() -> Self {
        let list = [(HeaderKind::Payload, 0); MAX_FIXES + 1];
        Self { list, count: 0, ethernet: None, coming: None, refused: None }
    }
}

impl Visit for Headers {
    fn header(&mut self, kind: HeaderKind, offset: usize, _: usize) {
        use HeaderKind as H;
        if matches!(kind, H::Ipv4 | H::Ipv6) {
            self.ethernet = self.coming.take();
        }
        match kind {
            H::Ipv4 | H::Ipv6 | H::Udp | H::Gre => match self.list.get_mut(self.count) {
                Some(entry) => {
                    *entry = (kind, u16::try_from(offset).unwrap_or(u16::MAX));
                    self.count += 1;
                }
                None => self.refuse(SegmentError::HeadersTooLong { length: offset as u32 }),
            },
            H::Ethernet => self.coming = Some(offset as u32),
            // The same in each segment.
            H::Vlan | H::Mpls | H::Null | H::LinuxSll | H::LinuxSll2 => {}
            H::HopByHop | H::DestinationOptions | H::Routing | H::Tcp | H::Vxlan | H::Geneve => {}
            H::Fragment => self.refuse(SegmentError::Fragment),
            header => self.refuse(SegmentError::Unrepeatable { header, offset: offset as u32 }),
        }
    }
}

impl Headers {
    #[cold]
    fn refuse(&mut self, error: SegmentError) {
        self.refused.get_or_insert(error);
    }
}
