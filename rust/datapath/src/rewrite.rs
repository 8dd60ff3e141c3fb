//! Addresses, ports and checksums of a hit, from the connection's other key.
use crate::fast::Look;
use netfast_flow::Direction;
use netfast_flow::cache::Found;
use netfast_flow::conntrack::Way;
use netfast_wire::dissect::protocol as p;

/// What a packet's addresses and ports become: the ends of the connection's other key, and the checksums' differences.
pub(crate) struct OtherKey {
    /// Addresses as pairs of big-endian words.
    source: ([u64; 2], u16),
    destination: ([u64; 2], u16),
    l3: u16,
    l4: u16,
}

#[inline]
pub(crate) fn other_key<T: Copy>(
    cache: &netfast_flow::cache::FlowCache<T>,
    found: &Found,
) -> Option<OtherKey> {
    let line = cache.nat(found.entry)?;
    let entry = cache.entry(found.entry);
    // What leaves is the inverse of how the other way arrives.
    let (key, direction) = match found.way {
        Way::Original => (line.reply(), line.direction()),
        Way::Reply => (entry.key(), entry.first()),
    };
    let way = found.way as usize;
    let [low, high] = key.words();
    let [low_port, high_port] = key.raw_ports();
    let (from, to) = ((low, low_port), (high, high_port));
    let (source, destination) = if direction == Direction::Up { (to, from) } else { (from, to) };
    Some(OtherKey { source, destination, l3: line.l3_change[way], l4: line.l4_change[way] })
}

/// `ip` begins with the IP header and reaches as far as the upper layer's checksum. True when a port changed.
#[inline]
pub(crate) fn translate_head(ip: &mut [u8], l4: usize, look: &Look, other: &OtherKey) -> bool {
    let words = [other.source.0, other.destination.0];
    if look.v6 {
        if let Some(addresses) = ip.get_mut(8..40) {
            for (place, word) in addresses.chunks_exact_mut(8).zip(words.as_flattened()) {
                place.copy_from_slice(&word.to_be_bytes());
            }
        }
    } else if let Some(addresses) = ip.get_mut(12..20) {
        // The low half of a mapped address's second word.
        for (place, [_, word]) in addresses.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&(word as u32).to_be_bytes());
        }
        change(&mut ip[10..12], other.l3, false);
    }
    let upper = &mut ip[l4..];
    let ([a, b], [c, d]) = (other.source.1.to_be_bytes(), other.destination.1.to_be_bytes());
    let moved = upper[..4] != [a, b, c, d];
    upper[..4].copy_from_slice(&[a, b, c, d]);
    let at = match look.protocol {
        p::TCP => 16,
        p::UDP | p::UDPLITE | p::DCCP => 6,
        _ => return moved,
    };
    if let Some(sum) = upper.get_mut(at..at + 2) {
        change(sum, other.l4, matches!(look.protocol, p::UDP | p::UDPLITE));
    }
    moved
}

/// RFC 1624: adds a difference to a checksum. Zero of UDP means that there is none (RFC 768), so it stays, and a sum
/// that becomes zero is written as its other form.
#[inline]
fn change(field: &mut [u8], grows: u16, udp: bool) {
    let old = u16::from_be_bytes([field[0], field[1]]);
    if grows == 0 || (udp && old == 0) {
        return;
    }
    let (sum, carry) = (!old).overflowing_add(grows);
    let new = !(sum + u16::from(carry));
    let new = if udp && new == 0 { 0xffff } else { new };
    field.copy_from_slice(&new.to_be_bytes());
}
