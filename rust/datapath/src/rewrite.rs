//! Addresses, ports and checksums of a hit, from the connection's other key.
use crate::fast::Look;
use netfast_flow::cache::{Entry, NatLine};
use netfast_flow::conntrack::Way;
use netfast_wire::dissect::protocol as p;

/// What a packet's addresses and ports become: the ends of the connection's other key, and the checksums' differences.
pub(crate) struct OtherKey {
    /// Source and destination address as pairs of big-endian words.
    addresses: [[u64; 2]; 2],
    /// Source port in the high half, destination port in the low one.
    ports: u32,
    l3: u16,
    l4: u16,
}

impl OtherKey {
    /// What leaves is the inverse of how the other way arrives.
    #[inline(always)]
    pub fn of(line: &NatLine, entry: &Entry, way: Way) -> Self {
        let (key, direction) = match way {
            Way::Original => (line.reply(), line.direction()),
            Way::Reply => (entry.key(), entry.first()),
        };
        let ([to, from], [to_port, from_port]) = key.ends(direction);
        let ports = u32::from(from_port) << 16 | u32::from(to_port);
        let way = way as usize;
        Self { addresses: [from, to], ports, l3: line.l3_change[way], l4: line.l4_change[way] }
    }
}

/// `ip` begins with the IP header and reaches as far as the upper layer's checksum. True when a port changed.
#[inline(always)]
pub(crate) fn translate_head(ip: &mut [u8], look: &Look, other: &OtherKey) -> bool {
    let words = other.addresses;
    if look.v6() {
        let Some((front, upper)) = ip.split_first_chunk_mut::<40>() else { return false };
        for (place, word) in front[8..].chunks_exact_mut(8).zip(words.as_flattened()) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        return translate_upper(upper, look.protocol(), other);
    }
    let Some((front, upper)) = ip.split_first_chunk_mut::<20>() else { return false };
    // The low half of a mapped address's second word.
    for (place, [_, word]) in front[12..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&(word as u32).to_be_bytes());
    }
    change(&mut front[10..12], other.l3, false);
    translate_upper(upper, look.protocol(), other)
}

#[inline(always)]
fn translate_upper(upper: &mut [u8], protocol: u8, other: &OtherKey) -> bool {
    // The shortest header of those with ports.
    let Some(front) = upper.first_chunk_mut::<8>() else { return false };
    let [a, b, c, d, ..] = *front;
    let moved = u32::from_be_bytes([a, b, c, d]) != other.ports;
    front[..4].copy_from_slice(&other.ports.to_be_bytes());
    if protocol == p::TCP {
        if let Some(sum) = upper.get_mut(16..18) {
            change(sum, other.l4, false);
        }
    } else if protocol != p::SCTP {
        change(&mut front[6..], other.l4, protocol != p::DCCP);
    }
    moved
}

/// RFC 1624: adds a difference to a checksum. Zero of UDP means that there is none (RFC 768), so it stays, and a sum
/// that becomes zero is written as its other form.
#[inline(always)]
fn change(field: &mut [u8], grows: u16, udp: bool) {
    let old = u16::from_be_bytes([field[0], field[1]]);
    if udp && old == 0 {
        return;
    }
    let (sum, carry) = (!old).overflowing_add(grows);
    let new = !(sum + u16::from(carry));
    let new = if udp && new == 0 { 0xffff } else { new };
    field.copy_from_slice(&new.to_be_bytes());
}
