//! Marks of packets out of headers, and headers out of marks.
use netfast_buf::{ChecksumState, GsoFlags, GsoType, Offsets, PacketPool, Skb};
use netfast_wire::{InnerKind, LinkType};

use super::{ByteOrder, HeaderForm, LONG_HEADER, VirtioError, VirtioHeader, VirtioRefused};
use crate::features::VirtioFeatures;
use crate::segment::SegmentConfig;
use crate::segment::checksum::{Transport, complement, leave_checksum_at, sum_of};
use crate::segment::shape::{Found, Shape, Wanted, with_headers};

/// What a TCP packet says with CWR (RFC 3168 6.1.2), and where.
const CWR: u8 = 0x80;
const TCP_FLAGS: usize = 13;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// A kernel behind TUN or TAP.
    #[default]
    Tun,
    /// A device; we are its driver.
    Device,
    /// A driver; we are its device.
    Driver,
}

/// How a [`VirtioCodec`] works.
#[derive(Clone, Copy, Debug)]
pub struct VirtioConfig {
    /// What packets begin with: [`LinkType::ETHERNET`], or [`LinkType::RAW`] for TUN.
    pub link: LinkType,
    /// Which fields headers have.
    pub form: HeaderForm,
    /// Their byte order.
    pub order: ByteOrder,
    /// Who is at the other end.
    pub peer: Peer,
    /// What was negotiated. Of a TUN device, `GUEST_` are the offloads of what is read from it, and what is
    /// written to it needs none.
    pub features: VirtioFeatures,
    /// The most segments that a super-packet may stand for.
    pub segments: u32,
}

impl Default for VirtioConfig {
    fn default() -> Self {
        Self {
            link: LinkType::ETHERNET,
            form: HeaderForm::default(),
            order: ByteOrder::default(),
            peer: Peer::default(),
            features: VirtioFeatures::OFFLOADS,
            segments: SegmentConfig::default().segments,
        }
    }
}

/// What a [`VirtioCodec`] did. Each packet counts in `received`, `sent` or `refused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioCounters {
    /// Packets taken.
    pub received: u64,
    /// Packets that got a header.
    pub sent: u64,
    /// Super-packets among those taken.
    pub received_super: u64,
    /// Super-packets among those sent.
    pub sent_super: u64,
    /// Checksums of neither TCP nor UDP that were filled in when the packet was taken.
    pub filled: u64,
    /// Super-packets whose `hdr_len` was not that of their headers; nobody used it.
    pub wrong_hdr_len: u64,
    /// Packets that were given back, by [`VirtioError::index`].
    pub refused: [u64; VirtioError::NAMES.len()],
}

/// Reads and writes the headers of one port. It keeps nothing between two calls but its counters.
#[derive(Clone, Debug, Default)]
pub struct VirtioCodec {
    config: VirtioConfig,
    counters: VirtioCounters,
}

impl VirtioCodec {
    /// A codec that works as `config` says.
    pub fn new(config: VirtioConfig) -> Self {
        Self { config, counters: VirtioCounters::default() }
    }

    /// How it works.
    pub fn config(&self) -> &VirtioConfig {
        &self.config
    }

    /// What it did so far.
    pub fn counters(&self) -> &VirtioCounters {
        &self.counters
    }

    /// Takes the header off a packet that begins with it, and marks the packet as it says.
    ///
    /// # Errors
    /// [`VirtioRefused`], with the packet as it came.
    #[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
    pub fn receive(&mut self, mut packet: Skb, pool: &mut PacketPool) -> Result<Skb, VirtioRefused> {
        let (before, length) = (packet.hot, self.config.form.bytes());
        let mut bytes = [0; LONG_HEADER];
        let bytes = &mut bytes[..length];
        if packet.read(0, bytes).is_err() {
            let have = packet.len() as usize;
            return Err(self.refuse(packet, VirtioError::TooShort { need: length, have }));
        }
        let header = VirtioHeader::parse(bytes, self.config.form, self.config.order);
        packet.pop(length as u32).expect("the header was just read");
        match header.and_then(|header| self.config.mark(&header, &mut packet, pool, &mut self.counters)) {
            Ok(()) => {
                self.counters.received += 1;
                Ok(packet)
            }
            Err(error) => {
                packet.push(length as u32, pool).expect("as long as it was").copy_from_slice(bytes);
                packet.hot = before;
                Err(self.refuse(packet, error))
            }
        }
    }

    /// Marks a packet as a header says that came apart from it.
    ///
    /// # Errors
    /// [`VirtioError`]; the packet is as it was.
    pub fn mark(
        &mut self,
        header: &VirtioHeader,
        packet: &mut Skb,
        pool: &mut PacketPool,
    ) -> Result<(), VirtioError> {
        let before = packet.hot;
        let marked = self.config.mark(header, packet, pool, &mut self.counters);
        match marked {
            Ok(()) => self.counters.received += 1,
            Err(error) => {
                packet.hot = before;
                self.counters.refused[error.index()] += 1;
            }
        }
        marked
    }

    /// Puts a header before a packet that says what its marks do. A super-packet's checksum is left to the peer, which the
    /// header cannot say otherwise ([`crate::segment::leave_checksum`]).
    ///
    /// # Errors
    /// [`VirtioRefused`], with the packet as it came, when the peer does not take such a packet: it is to be cut, or its
    /// checksum to be filled in, before.
    #[expect(clippy::result_large_err, reason = "a packet that was refused must not be lost")]
    pub fn send(&mut self, mut packet: Skb, pool: &mut PacketPool) -> Result<Skb, VirtioRefused> {
        let header = match self.config.header(&mut packet, pool) {
            Ok(header) => header,
            Err(error) => return Err(self.refuse(packet, error)),
        };
        let mut bytes = [0; LONG_HEADER];
        let (form, order) = (self.config.form, self.config.order);
        let length = header.emit(&mut bytes, form, order).expect("no form is longer");
        let Ok(place) = packet.push(length as u32, pool) else {
            return Err(self.refuse(packet, VirtioError::TooShort { need: length, have: 0 }));
        };
        place.copy_from_slice(&bytes[..length]);
        self.counters.sent += 1;
        self.counters.sent_super += u64::from(header.gso_type != VirtioHeader::GSO_NONE);
        Ok(packet)
    }

    fn refuse(&mut self, packet: Skb, error: VirtioError) -> VirtioRefused {
        self.counters.refused[error.index()] += 1;
        VirtioRefused { packet, error }
    }
}

/// Which way a packet goes, for the names of feature bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From a driver to its device.
    Host,
    /// From a device to its driver.
    Guest,
    /// To TUN, which takes everything.
    Any,
}

impl VirtioConfig {
    fn mark(
        &self,
        header: &VirtioHeader,
        packet: &mut Skb,
        pool: &mut PacketPool,
        counters: &mut VirtioCounters,
    ) -> Result<(), VirtioError> {
        if self.peer == Peer::Device && self.form == HeaderForm::Long && header.num_buffers == 0 {
            return Err(VirtioError::NoBuffers);
        }
        let kind = kind(header)?;
        let way = if self.peer == Peer::Driver { Way::Host } else { Way::Guest };
        if header.has(VirtioHeader::NEEDS_CSUM) {
            self.negotiated(way, VirtioFeatures::CSUM, VirtioFeatures::GUEST_CSUM)?;
        }
        packet.hot.gso_flags = GsoFlags::default();
        (packet.hot.gso_type, packet.hot.gso_size, packet.hot.gso_segments) = (kind, 0, 0);
        (packet.hot.outer, packet.hot.inner) = Default::default();
        if kind != GsoType::None {
            return self.mark_super(header, way, packet, pool, counters);
        }
        if header.has(VirtioHeader::NEEDS_CSUM) {
            return self.mark_partial(header, packet, pool, counters);
        }
        packet.hot.checksum = ChecksumState::Unchecked;
        if self.vouched(header) && self.is_plain(packet, pool) {
            packet.hot.checksum = ChecksumState::Good;
        }
        Ok(())
    }

    fn mark_super(
        &self,
        header: &VirtioHeader,
        way: Way,
        packet: &mut Skb,
        pool: &mut PacketPool,
        counters: &mut VirtioCounters,
    ) -> Result<(), VirtioError> {
        let partial = header.has(VirtioHeader::NEEDS_CSUM);
        packet.hot.gso_size = header.gso_size;
        packet.hot.checksum = if partial { ChecksumState::Partial } else { ChecksumState::Unchecked };
        let shape = Shape::read(packet, &self.segments(), pool)?;
        self.takes(way, packet.hot.gso_type, shape.version, header.gso_type & VirtioHeader::GSO_ECN != 0)?;
        let payload = packet.len() - shape.headers;
        if u32::from(header.gso_size) > payload {
            return Err(VirtioError::SizeBeyondPayload { gso_size: header.gso_size, payload });
        }
        let (start, offset) = (header.csum_start, header.csum_offset);
        let (transport, expected) = (shape.l4 as u32, shape.checksum_field());
        if partial && !self.counts_merged(header) && (u32::from(start), offset) != (transport, expected) {
            return Err(VirtioError::ChecksumElsewhere { start, offset, transport, expected });
        }
        counters.wrong_hdr_len += u64::from(u32::from(header.hdr_len) != shape.headers);
        counters.received_super += 1;
        packet.set_header_length(shape.headers, pool).expect("all headers were read");
        let hot = &mut packet.hot;
        (hot.outer, hot.inner) = (shape.marks.outer, shape.marks.inner);
        hot.gso_segments = u16::try_from(payload.div_ceil(shape.size)).unwrap_or(u16::MAX);
        if shape.marks.inner.l4().is_some() {
            hot.gso_flags = GsoFlags::TUNNEL;
        } else if !partial && self.vouched(header) {
            hot.checksum = ChecksumState::Good;
        }
        Ok(())
    }

    /// One packet whose checksum is to be filled in. That of TCP or UDP can wait; whose it is otherwise, the hot line cannot
    /// say.
    fn mark_partial(
        &self,
        header: &VirtioHeader,
        packet: &mut Skb,
        pool: &mut PacketPool,
        counters: &mut VirtioCounters,
    ) -> Result<(), VirtioError> {
        let (start, offset, length) = (header.csum_start, header.csum_offset, packet.len());
        let counted = self.counts_merged(header);
        let field = u32::from(start) + u32::from(offset);
        if !counted && field + 2 > length {
            return Err(VirtioError::ChecksumBeyondPacket { start, offset, length });
        }
        let at = Offsets::new(None, None, (!counted).then_some(u32::from(start)));
        let wanted = Wanted::transport(at);
        let found = with_headers(packet, pool, |packet| {
            let mut found = Found::default();
            found.find(packet, self.link, &wanted)?;
            Ok((Transport::new(packet.head(), &found.layers)?, found.offsets(self.link)))
        });
        match found {
            Ok((transport, offsets)) if counted || transport.field == usize::from(offset) => {
                (packet.hot.outer, packet.hot.inner) = offsets;
                packet.hot.checksum = ChecksumState::Partial;
            }
            // It counted segments, and is no TCP: nothing says where the checksum is.
            Err(error) if counted => return Err(error.into()),
            _ => {
                let checksum = complement(sum_of(packet, u32::from(start), length), true);
                let Ok(head) = packet.head_mut(field + 2, pool) else {
                    return Err(VirtioError::ChecksumBeyondPacket { start, offset, length });
                };
                head[field as usize..].copy_from_slice(&checksum.to_ne_bytes());
                packet.hot.checksum = ChecksumState::Unchecked;
                counters.filled += 1;
            }
        }
        Ok(())
    }

    /// The header of a packet that is to be sent, which may get a partial checksum.
    fn header(&self, packet: &mut Skb, pool: &mut PacketPool) -> Result<VirtioHeader, VirtioError> {
        let way = match self.peer {
            Peer::Device => Way::Host,
            Peer::Driver => Way::Guest,
            Peer::Tun => Way::Any,
        };
        let mut header =
            VirtioHeader { num_buffers: u16::from(self.peer == Peer::Driver), ..VirtioHeader::default() };
        let kind = packet.hot.gso_type;
        if kind != GsoType::None || packet.hot.gso_size != 0 {
            let shape = Shape::read(packet, &self.segments(), pool)?;
            if shape.marks.inner.l4().is_some() {
                return Err(VirtioError::Tunnel { kind });
            }
            if shape.checksums.is_none() {
                return Err(VirtioError::ZeroChecksum);
            }
            if packet.len() - shape.headers > shape.size {
                let ecn = kind != GsoType::Udp && packet.head()[shape.l4 + TCP_FLAGS] & CWR != 0;
                self.takes(way, kind, shape.version, ecn)?;
                header.gso_type = gso_type(kind) | if ecn { VirtioHeader::GSO_ECN } else { 0 };
                header.gso_size = packet.hot.gso_size;
                header.hdr_len = shape.headers as u16;
            }
            self.negotiated(way, VirtioFeatures::CSUM, VirtioFeatures::GUEST_CSUM)?;
            leave_checksum_at(packet, self.link, Offsets::default(), pool)?;
            packet.hot.inner = Offsets::default();
        }
        match packet.hot.checksum {
            ChecksumState::Partial => {
                self.negotiated(way, VirtioFeatures::CSUM, VirtioFeatures::GUEST_CSUM)?;
                let transport = Transport::of(packet, self.link, packet.hot.inner, pool)?;
                let (start, offset) = (transport.start, transport.field as u16);
                let Ok(start) = u16::try_from(start) else {
                    return Err(VirtioError::ChecksumBeyondPacket {
                        start: u16::MAX,
                        offset,
                        length: packet.len(),
                    });
                };
                header.flags = VirtioHeader::NEEDS_CSUM;
                (header.csum_start, header.csum_offset) = (start, offset);
            }
            ChecksumState::Good if way == Way::Guest && self.features.has(VirtioFeatures::GUEST_CSUM) => {
                header.flags = VirtioHeader::DATA_VALID;
            }
            _ => {}
        }
        Ok(header)
    }

    fn segments(&self) -> SegmentConfig {
        SegmentConfig { link: self.link, segments: self.segments, ..SegmentConfig::default() }
    }

    /// A driver must not set the flag (5.1.6.2.1).
    fn vouched(&self, header: &VirtioHeader) -> bool {
        self.peer != Peer::Driver && header.has(VirtioHeader::DATA_VALID)
    }

    /// Likewise.
    fn counts_merged(&self, header: &VirtioHeader) -> bool {
        self.peer != Peer::Driver && header.has(VirtioHeader::RSC_INFO)
    }

    /// One checksum is all that it has: no tunnel, no fragment.
    fn is_plain(&self, packet: &mut Skb, pool: &mut PacketPool) -> bool {
        let (wanted, mut found) = (Wanted::transport(Offsets::default()), Found::default());
        let looked = with_headers(packet, pool, |packet| found.find(packet, self.link, &wanted));
        looked.is_ok() && found.layers.inner.kind == InnerKind::None
    }

    /// That super-packets of this kind were agreed upon.
    fn takes(&self, way: Way, kind: GsoType, version: u8, ecn: bool) -> Result<(), VirtioError> {
        use VirtioFeatures as F;
        match (kind, version) {
            (GsoType::Tcp4, _) => self.negotiated(way, F::HOST_TSO4, F::GUEST_TSO4)?,
            (GsoType::Tcp6, _) => self.negotiated(way, F::HOST_TSO6, F::GUEST_TSO6)?,
            (_, 4) => self.negotiated(way, F::HOST_USO, F::GUEST_USO4)?,
            _ => self.negotiated(way, F::HOST_USO, F::GUEST_USO6)?,
        }
        if ecn { self.negotiated(way, F::HOST_ECN, F::GUEST_ECN) } else { Ok(()) }
    }

    fn negotiated(&self, way: Way, host: VirtioFeatures, guest: VirtioFeatures) -> Result<(), VirtioError> {
        let needed = match way {
            Way::Host => host,
            Way::Guest => guest,
            Way::Any => return Ok(()),
        };
        match needed.name() {
            Some(feature) if !self.features.has(needed) => Err(VirtioError::NotNegotiated { feature }),
            _ => Ok(()),
        }
    }
}

/// How the packet is to be cut, by what the header says alone.
fn kind(header: &VirtioHeader) -> Result<GsoType, VirtioError> {
    let gso_type = header.gso_type;
    let ecn = gso_type & VirtioHeader::GSO_ECN != 0;
    let kind = match gso_type & !VirtioHeader::GSO_ECN {
        VirtioHeader::GSO_TCPV4 => GsoType::Tcp4,
        VirtioHeader::GSO_TCPV6 => GsoType::Tcp6,
        VirtioHeader::GSO_NONE | VirtioHeader::GSO_UDP_L4 | VirtioHeader::GSO_UDP if ecn => {
            return Err(VirtioError::EcnWithoutTcp { gso_type });
        }
        VirtioHeader::GSO_NONE => return Ok(GsoType::None),
        VirtioHeader::GSO_UDP_L4 => GsoType::Udp,
        VirtioHeader::GSO_UDP => return Err(VirtioError::UdpFragmentation),
        _ => return Err(VirtioError::UnknownType { gso_type }),
    };
    if header.gso_size == 0 {
        return Err(VirtioError::NoSize { gso_type });
    }
    Ok(kind)
}

const fn gso_type(kind: GsoType) -> u8 {
    match kind {
        GsoType::None => VirtioHeader::GSO_NONE,
        GsoType::Tcp4 => VirtioHeader::GSO_TCPV4,
        GsoType::Tcp6 => VirtioHeader::GSO_TCPV6,
        GsoType::Udp => VirtioHeader::GSO_UDP_L4,
    }
}
