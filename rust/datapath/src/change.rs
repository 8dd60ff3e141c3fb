//! What rules write into packets: the largest segment that a TCP segment with SYN announces (RFC 9293 section 3.7.1), the
//! DSCP, the hop limit.
use crate::subject::Shape;
use netfast_buf::{ChecksumState, PacketPool, Skb};
use netfast_wire::checksum::update;

/// The shortest TCP header.
const FIXED: usize = 20;
const MAX_SEGMENT: u8 = 2;
const KIND_NOP: u8 = 1;

/// Writes `size` in place of what the packet's first option of that kind says. The rules have seen the option.
pub(crate) fn lower(packet: &mut Skb, shape: &Shape, size: u16, pool: &mut PacketPool) -> Result<(), ()> {
    let start = shape.l4 as usize;
    // What was written before may have left the IP header in a piece of its own.
    let fixed = packet.head_mut((shape.l4 + FIXED as u32).min(packet.len()), pool).map_err(|_| ())?;
    let length = usize::from(*fixed.get(start + 12).ok_or(())? >> 4) * 4;
    let unfinished = packet.hot.checksum == ChecksumState::Partial && packet.hot.inner.l4().is_none();
    let end = u32::try_from(start + length).map_err(|_| ())?;
    let head = packet.head_mut(end.min(packet.len()), pool).map_err(|_| ())?;
    let header = head.get_mut(start..start + length).ok_or(())?;
    let at = position(header).ok_or(())?;
    let old = u16::from_be_bytes([header[at], header[at + 1]]);
    header[at..at + 2].copy_from_slice(&size.to_be_bytes());
    if !unfinished {
        // A sum is of words: what stands across two of them counts with its bytes exchanged.
        let word = |value: u16| if at % 2 == 0 { value } else { value.swap_bytes() };
        let sum = u16::from_be_bytes([header[16], header[17]]);
        header[16..18].copy_from_slice(&update(sum, word(old), word(size)).to_be_bytes());
    }
    Ok(())
}

/// Writes the DSCP of the IP header (RFC 2474 section 3).
pub(crate) fn set_dscp(packet: &mut Skb, shape: &Shape, value: u8, pool: &mut PacketPool) -> Result<(), ()> {
    let start = shape.l3 as usize;
    let head = packet.head_mut((shape.l3 + 20).min(packet.len()), pool).map_err(|_| ())?;
    let header = head.get_mut(start..start + 20).ok_or(())?;
    let old = u16::from_be_bytes([header[0], header[1]]);
    let (shift, mask) = if shape.v6 { (6, 0x0fc0) } else { (2, 0x00fc) };
    write(header, 0, old & !mask | u16::from(value) << shift & mask, !shape.v6);
    Ok(())
}

/// Writes the hop limit of the IP header that begins here.
pub(crate) fn set_hop_limit(header: &mut [u8], limit: u8) {
    match header.first().map(|first| first >> 4) {
        Some(4) if header.len() >= 20 => {
            let protocol = header[9];
            write(header, 8, u16::from_be_bytes([limit, protocol]), true);
        }
        Some(6) if header.len() >= 40 => header[7] = limit,
        _ => {}
    }
}

/// Writes a word of the IP header; the checksum of IPv4 changes with it.
fn write(header: &mut [u8], at: usize, word: u16, summed: bool) {
    let old = u16::from_be_bytes([header[at], header[at + 1]]);
    header[at..at + 2].copy_from_slice(&word.to_be_bytes());
    if summed {
        let sum = u16::from_be_bytes([header[10], header[11]]);
        header[10..12].copy_from_slice(&update(sum, old, word).to_be_bytes());
    }
}

/// Where the number stands.
fn position(header: &[u8]) -> Option<usize> {
    let mut at = FIXED;
    while at + 1 < header.len() {
        let size = usize::from(header[at + 1]);
        match header[at] {
            MAX_SEGMENT if size >= 4 && at + size <= header.len() => return Some(at + 2),
            MAX_SEGMENT => return None,
            kind if kind <= KIND_NOP || size == 0 => at += 1,
            _ => at += size,
        }
    }
    None
}
