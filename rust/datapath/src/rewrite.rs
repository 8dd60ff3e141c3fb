//! Addresses, ports and checksums of a hit whose connection is translated.
use crate::fast::Look;
use netfast_flow::cache::{Leaving, OneEnd, address_change};
use netfast_wire::dissect::protocol as p;

/// Octets of the IP headers that plain packets have.
const IPV4: usize = 20;
const IPV6: usize = 40;

/// Both ends become those of `leaving`. `ip` begins with the IP header and reaches as far as the upper layer's checksum. True when a
/// port changed.
pub(crate) fn translate_head(ip: &mut [u8], look: &Look, leaving: &Leaving) -> bool {
    let (addresses, ports) = (leaving.ends.addresses(), leaving.ends.ports());
    let upper = if look.v6() {
        let Some((front, upper)) = ip.split_first_chunk_mut::<IPV6>() else { return false };
        front[8..].copy_from_slice(addresses.as_flattened());
        upper
    } else {
        let Some((front, upper)) = ip.split_first_chunk_mut::<IPV4>() else { return false };
        for (place, address) in front[12..].chunks_exact_mut(4).zip(addresses) {
            place.copy_from_slice(&address[12..]);
        }
        change(&mut front[10..12], leaving.l3_change, false);
        upper
    };
    // The shortest header of those with ports.
    let Some(front) = upper.first_chunk_mut::<4>() else { return false };
    let moved = std::mem::replace(front, ports) != ports;
    change_upper(upper, look.protocol(), leaving.l4_change);
    moved
}

/// As [`translate_head`] of TCP or UDP where one end changes.
#[inline(always)]
pub(crate) fn translate_end(ip: &mut [u8], look: &Look, end: &OneEnd<'_>) {
    match (look.v6(), look.protocol() == p::TCP) {
        (true, false) => translate_at::<IPV6, 6>(ip, end),
        (true, true) => translate_at::<IPV6, 16>(ip, end),
        (false, false) => translate_at::<IPV4, 6>(ip, end),
        (false, true) => translate_at::<IPV4, 16>(ip, end),
    }
}

/// The upper layer begins at `L4`, its checksum `SUM` bytes behind that.
#[inline(always)]
fn translate_at<const L4: usize, const SUM: usize>(ip: &mut [u8], end: &OneEnd<'_>) {
    let Some(ip) = ip.get_mut(..L4 + SUM + 2) else { return };
    let (front, upper) = ip.split_at_mut(L4);
    let size = if L4 == IPV6 { 16 } else { 4 };
    let (source, destination) = front[L4 - 2 * size..].split_at_mut(size);
    let place = if end.is_source { source } else { destination };
    // Of a mapped address the end.
    let address = &end.address[16 - size..];
    let grows = address_change(place, address);
    place.copy_from_slice(address);
    if L4 == IPV4 {
        change(&mut front[10..12], grows, false);
    }
    let (source, destination) = upper[..4].split_at_mut(2);
    let place = if end.is_source { source } else { destination };
    place.copy_from_slice(&end.port.to_le_bytes());
    change(&mut upper[SUM..SUM + 2], end.l4_change, SUM == 6);
}

#[inline(always)]
fn change_upper(upper: &mut [u8], protocol: u8, grows: u16) {
    let at = match protocol {
        p::TCP => 16,
        p::SCTP => return,
        _ => 6,
    };
    if let Some(sum) = upper.get_mut(at..at + 2) {
        change(sum, grows, !matches!(protocol, p::TCP | p::DCCP));
    }
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
