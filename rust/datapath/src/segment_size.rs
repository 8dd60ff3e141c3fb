//! The largest segment that a TCP segment with SYN announces (RFC 9293 section 3.7.1), lowered.
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
    let length = usize::from(*packet.head().get(start + 12).ok_or(())? >> 4) * 4;
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
