//! The transport checksum of a datagram that is a list of pieces.
use netfast_buf::{ChecksumState, Skb};
use netfast_low::sum;
use netfast_wire::dissect::protocol as p;
use netfast_wire::{Checksum, Frame, Layers, Limits, LinkType, Verdict, checksum, dissect};

/// Verifies the checksum of a whole datagram whose headers are where its hot line says.
pub(crate) fn transport(packet: &Skb) -> ChecksumState {
    quick(packet).unwrap_or_else(|| dissected(packet))
}

/// Without IPv4 options and IPv6 extension headers, whose addresses may not be those of the pseudo-header.
fn quick(packet: &Skb) -> Option<ChecksumState> {
    let l3 = packet.hot.outer.l3()?;
    let head = packet.head().get(l3 as usize..)?;
    let (at, protocol, mut total, len) = match head.first()? {
        0x45 => {
            let header = head.first_chunk::<20>()?;
            (20, header[9], sum::sum_words(&header[12..20]), packet.len() - l3 - 20)
        }
        first if first >> 4 == 6 => {
            let header = head.first_chunk::<40>()?;
            (40, header[6], sum::sum_words(&header[8..40]), packet.len() - l3 - 40)
        }
        _ => return None,
    };
    let mut covered = len;
    match protocol {
        p::TCP if len >= 18 => {}
        p::UDP if len >= 8 => {
            let mut header = [0; 8];
            packet.read(l3 + at, &mut header).ok()?;
            if header[6..] == [0, 0] {
                return Some(ChecksumState::Unchecked);
            }
            covered = u32::from(u16::from_be_bytes([header[4], header[5]]));
            if !(8..=len).contains(&covered) {
                return None;
            }
        }
        p::ICMPV4 if at == 20 && len >= 4 => total = 0,
        p::ICMPV6 if at == 40 && len >= 4 => {}
        _ => return None,
    }
    if protocol != p::ICMPV4 {
        total += u64::from(covered.to_be()) + u64::from(u32::from(protocol).to_be());
    }
    let good = sum::fold(total + sum_of(packet, l3 + at, covered)) == 0xffff;
    Some(if good { ChecksumState::Good } else { ChecksumState::Bad })
}

/// Sum of `length` bytes from `from` on; a piece that begins at an odd place counts with its bytes swapped.
fn sum_of(packet: &Skb, from: u32, length: u32) -> u64 {
    let (mut skip, mut left, mut odd, mut total) = (from as usize, length as usize, false, 0);
    for segment in packet.segments() {
        let piece = segment.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(segment.len());
        let piece = &piece[..piece.len().min(left)];
        let words = sum::sum_words(piece);
        total += if odd { u64::from(sum::fold(words).swap_bytes()) } else { words };
        odd ^= piece.len() % 2 == 1;
        left -= piece.len();
    }
    total
}

/// Everything else, by dissection: of the first piece, and only where the checksum is of more than that of a copy.
#[inline(never)]
fn dissected(packet: &Skb) -> ChecksumState {
    let Some(l3) = packet.hot.outer.l3() else { return ChecksumState::Unchecked };
    let verdict = match verdict(packet.head(), packet.len(), l3) {
        Some(Checksum::UncheckedTruncated) | None => verdict(&packet.to_vec(), packet.len(), l3),
        verdict => verdict,
    };
    match verdict {
        Some(Checksum::Good) => ChecksumState::Good,
        Some(Checksum::Bad) => ChecksumState::Bad,
        _ => ChecksumState::Unchecked,
    }
}

/// What the first bytes of a packet of `len` tell; `None` where they end within its headers.
fn verdict(bytes: &[u8], len: u32, l3: u32) -> Option<Checksum> {
    let bytes = bytes.get(l3 as usize..).unwrap_or_default();
    let frame = Frame { bytes, wire_len: len - l3, link: LinkType::RAW };
    let mut layers = Layers::default();
    dissect(&frame, &Limits::default(), &mut layers, &mut ());
    (layers.verdict != Verdict::Truncated).then(|| checksum::verify_l4(&frame, &layers))
}
