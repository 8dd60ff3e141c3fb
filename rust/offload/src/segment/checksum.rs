//! Transport checksums of packets in pieces, and those that were left to whoever sends the packet.
use netfast_buf::{ChecksumState, PacketPool, Skb};
use netfast_low::sum::{fold, sum_words};
use netfast_wire::LinkType;
use netfast_wire::dissect::protocol as p;

use super::SegmentError;
use super::shape::{Wanted, find, with_headers};

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
    let wanted = Wanted::transport(packet.hot.inner.l4());
    let layers = with_headers(packet, pool, |packet| find(packet, link, &wanted))?.layers;
    let l4 = layers.l4_offset;
    let (field, needed, end) = match layers.protocol {
        p::TCP => (16, 20, layers.end),
        p::UDP => (6, 8, udp_end(packet.head(), l4, layers.end)),
        protocol => return Err(SegmentError::NoChecksum { version: layers.ip_version, protocol }),
    };
    let checksum = complement(sum_of(packet, l4, end), layers.protocol == p::UDP);
    let head = packet
        .head_mut(l4 + needed, pool)
        .map_err(|_| SegmentError::NoChecksum { version: layers.ip_version, protocol: layers.protocol })?;
    let at = l4 as usize + field;
    head[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
    packet.hot.checksum = ChecksumState::Good;
    Ok(())
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
pub(super) fn complement(sum: u64, udp: bool) -> u16 {
    match !fold(sum) {
        0 if udp => 0xffff,
        checksum => checksum,
    }
}

/// The sum of the bytes `from..to` of a packet, as [`sum_words`] has it for one piece.
#[inline]
pub(super) fn sum_of(packet: &Skb, from: u32, to: u32) -> u64 {
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
