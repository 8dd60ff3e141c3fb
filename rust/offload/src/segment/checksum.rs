//! Transport checksums of packets in pieces, and those that were left to whoever sends the packet.
use netfast_buf::{ChecksumState, Offsets, PacketPool, Skb};
use netfast_low::sum::{fold, sum_words};
use netfast_wire::dissect::protocol as p;
use netfast_wire::{Layers, LinkType, Present};

use super::SegmentError;
use super::shape::{Found, Wanted, with_headers};

/// Fills a [`ChecksumState::Partial`] checksum in, as a device would: what its field holds is the sum of the pseudo-header.
/// The packet is [`ChecksumState::Good`] then. A packet in another state stays as it is.
///
/// It is the checksum at the inner transport offset where the hot line has one, else that of the outermost packet. Bytes
/// behind the IP packet (the padding of a frame) do not count.
///
/// # Errors
/// [`SegmentError`] when the packet, which stays as it is, has no such header ([`SegmentError::NoChecksum`]), or is
/// a fragment.
pub fn finish_checksum(packet: &mut Skb, link: LinkType, pool: &mut PacketPool) -> Result<(), SegmentError> {
    if packet.hot.checksum != ChecksumState::Partial {
        return Ok(());
    }
    let transport = Transport::of(packet, link, packet.hot.inner, pool)?;
    let sum = sum_of(packet, transport.start, transport.end);
    transport.put(packet, complement(sum, transport.udp()), pool)?;
    packet.hot.checksum = ChecksumState::Good;
    Ok(())
}

/// Leaves the checksum to whoever sends the packet: its field gets the sum of the pseudo-header, and the packet is
/// [`ChecksumState::Partial`]. It is the same checksum as [`finish_checksum`] fills in. A UDP packet without one, and one
/// that is `Partial`, stay as they are.
///
/// # Errors
/// Those of [`finish_checksum`]; [`SegmentError::BadChecksum`] when it is wrong, since it would be right then;
/// [`SegmentError::Rerouted`].
pub fn leave_checksum(packet: &mut Skb, link: LinkType, pool: &mut PacketPool) -> Result<(), SegmentError> {
    leave_checksum_at(packet, link, packet.hot.inner, pool)
}

/// [`leave_checksum`] for the packet whose headers are where `marked` says, or else the outermost one.
pub(crate) fn leave_checksum_at(
    packet: &mut Skb,
    link: LinkType,
    marked: Offsets,
    pool: &mut PacketPool,
) -> Result<(), SegmentError> {
    match packet.hot.checksum {
        ChecksumState::Partial => return Ok(()),
        ChecksumState::Bad => return Err(SegmentError::BadChecksum),
        ChecksumState::Good | ChecksumState::Unchecked => {}
    }
    let transport = Transport::of(packet, link, marked, pool)?;
    if transport.rerouted {
        return Err(SegmentError::Rerouted);
    }
    let at = transport.start as usize + transport.field;
    if transport.udp() && packet.head()[at..at + 2] == [0, 0] {
        return Ok(());
    }
    let sum = transport.pseudo(packet.head());
    transport.put(packet, fold(sum), pool)?;
    packet.hot.checksum = ChecksumState::Partial;
    Ok(())
}

/// A TCP or UDP packet whose whole header stands in the first segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    ip: u32,
    version: u8,
    protocol: u8,
    rerouted: bool,
    /// Where its header is.
    pub(crate) start: u32,
    /// Where the checksum is in it.
    pub(crate) field: usize,
    /// The byte after it.
    end: u32,
}

impl Transport {
    /// That of the packet whose headers are where `marked` says, or else of the outermost one.
    pub(crate) fn of(
        packet: &mut Skb,
        link: LinkType,
        marked: Offsets,
        pool: &mut PacketPool,
    ) -> Result<Self, SegmentError> {
        let (wanted, mut found) = (Wanted::transport(marked), Found::default());
        with_headers(packet, pool, |packet| found.find(packet, link, &wanted))?;
        Self::new(packet.head(), &found.layers)
    }

    pub(crate) fn new(head: &[u8], layers: &Layers) -> Result<Self, SegmentError> {
        let (start, version, protocol) = (layers.l4_offset, layers.ip_version, layers.protocol);
        let (field, end) = match protocol {
            p::TCP => (16, layers.end),
            p::UDP => (6, udp_end(head, start, layers.end)),
            _ => return Err(SegmentError::NoChecksum { version, protocol }),
        };
        let rerouted = layers.present.has(Present::REROUTED);
        Ok(Self { ip: layers.l3_offset, version, protocol, rerouted, start, field, end })
    }

    fn udp(&self) -> bool {
        self.protocol == p::UDP
    }

    /// Writes the checksum, which is in the machine's byte order.
    fn put(&self, packet: &mut Skb, checksum: u16, pool: &mut PacketPool) -> Result<(), SegmentError> {
        let at = self.start as usize + self.field;
        let Ok(head) = packet.head_mut(at as u32 + 2, pool) else {
            return Err(SegmentError::NoChecksum { version: self.version, protocol: self.protocol });
        };
        head[at..].copy_from_slice(&checksum.to_ne_bytes());
        Ok(())
    }

    /// The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1).
    fn pseudo(&self, head: &[u8]) -> u64 {
        let at = self.ip as usize;
        let addresses = if self.version == 6 { at + 8..at + 40 } else { at + 12..at + 20 };
        pseudo_sum(&head[addresses], self.protocol, self.end - self.start)
    }
}

/// The sum of a pseudo-header with these addresses.
#[inline]
pub(crate) fn pseudo_sum(addresses: &[u8], protocol: u8, length: u32) -> u64 {
    sum_words(addresses) + u64::from(length.to_be()) + u64::from(u32::from(protocol).to_be())
}

/// The byte after a datagram, which may be shorter than its IP packet. Zero is the length of what is longer than it can say
/// (RFC 2675 4).
fn udp_end(head: &[u8], l4: u32, end: u32) -> u32 {
    let at = l4 as usize;
    match u32::from(u16::from_be_bytes([head[at + 4], head[at + 5]])) {
        0 => end,
        length => end.min(l4 + length),
    }
}

/// The checksum that belongs to a sum, in the machine's byte order. UDP has no checksum of zero (RFC 768).
#[inline(always)]
pub(crate) fn complement(sum: u64, udp: bool) -> u16 {
    match !fold(sum) {
        0 if udp => 0xffff,
        checksum => checksum,
    }
}

/// The sum of the bytes `from..to` of a packet, as [`sum_words`] has it for one piece.
#[inline]
pub(crate) fn sum_of(packet: &Skb, from: u32, to: u32) -> u64 {
    let (mut skip, mut left) = (from as usize, to.saturating_sub(from) as usize);
    let (mut total, mut odd) = (0, false);
    for piece in packet.segments() {
        let bytes = piece.get(skip..).unwrap_or(&[]);
        skip = skip.saturating_sub(piece.len());
        let bytes = &bytes[..bytes.len().min(left)];
        left -= bytes.len();
        let sum = sum_words(bytes);
        // A piece that begins at an odd place has its bytes in the other halves of the words (RFC 1071, 2 (B)).
        total += if odd { u64::from(fold(sum).swap_bytes()) } else { sum };
        odd ^= bytes.len() % 2 == 1;
    }
    total
}
