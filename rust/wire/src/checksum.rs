//! Checksums: the Internet checksum (RFC 1071), its incremental update (RFC 1624), verdicts over dissected packets.
use crate::dissect::{Frame, final_addresses, protocol as p};
use crate::layers::{Checksum, Layers, Present};
use netfast_low::{crc32c, sum};

/// The Internet checksum of `bytes`: what a header that holds zero in its checksum field must be given.
pub fn checksum(bytes: &[u8]) -> u16 {
    !u16::from_be(sum::fold(sum::sum_words(bytes)))
}

/// The Internet checksum over a pseudo-header (RFC 8200 8.1; RFC 9293 3.1) and an upper-layer packet whose checksum
/// field is zero.
///
/// IPv4 addresses may be given mapped: `0xffff` and zeros add nothing in ones' complement, once for each address.
pub fn pseudo_checksum(src: [u8; 16], dst: [u8; 16], protocol: u8, packet: &[u8]) -> u16 {
    !u16::from_be(sum::fold(pseudo_sum(src, dst, protocol, packet.len() as u32) + sum::sum_words(packet)))
}

/// RFC 1624, equation 3: the checksum after a 16-bit field of the packet changed from `old` to `new`.
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = (!checksum as u32) + (!old as u32) + new as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[inline(always)]
fn pseudo_sum(src: [u8; 16], dst: [u8; 16], protocol: u8, len: u32) -> u64 {
    let words = |bytes: [u8; 16]| {
        let wide = u128::from_ne_bytes(bytes);
        let halves = [wide as u64, (wide >> 64) as u64];
        halves.iter().map(|half| (half & 0xffff_ffff) + (half >> 32)).sum::<u64>()
    };
    words(src) + words(dst) + u64::from(len.to_be()) + u64::from(u32::from(protocol).to_be())
}

/// The verdict on the IPv4 header checksum of a dissected packet.
#[inline]
pub fn verify_l3(frame: &Frame<'_>, layers: &Layers) -> Checksum {
    if layers.ip_version != 4 {
        return Checksum::None;
    }
    let at = layers.l3_offset as usize;
    let Some(rest) = frame.bytes.get(at..) else { return Checksum::UncheckedTruncated };
    let sum = match (rest.first(), rest.first_chunk::<20>()) {
        // Without options the length is known when the program is compiled.
        (Some(0x45), Some(header)) => sum::sum_words(header),
        (Some(first), _) => match rest.get(..usize::from(first & 15) * 4) {
            Some(header) => sum::sum_words(header),
            None => return Checksum::UncheckedTruncated,
        },
        _ => return Checksum::UncheckedTruncated,
    };
    good(sum)
}

#[inline(always)]
fn good(sum: u64) -> Checksum {
    if sum::fold(sum) == 0xffff { Checksum::Good } else { Checksum::Bad }
}

/// The verdict on the upper-layer checksum of a dissected packet.
#[inline]
pub fn verify_l4(frame: &Frame<'_>, layers: &Layers) -> Checksum {
    if !layers.present.has(Present::PROTOCOL) || !has_checksum(layers) {
        return Checksum::None;
    }
    if layers.is_fragment() {
        return Checksum::UncheckedFragment;
    }
    let (start, end) = (layers.l4_offset as usize, layers.end as usize);
    let Some(packet) = frame.bytes.get(start..end) else {
        return cut(frame, layers);
    };
    match layers.protocol {
        p::TCP if packet.len() >= 18 => pseudo(frame, layers, packet, packet.len()),
        p::UDP if packet.len() >= 8 => udp(frame, layers, packet),
        _ => other(frame, layers, packet),
    }
}

fn has_checksum(layers: &Layers) -> bool {
    match layers.protocol {
        p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP | p::IGMP | p::GRE | p::ICMPV4 => true,
        p::ICMPV6 | p::MOBILITY => layers.ip_version == 6,
        _ => false,
    }
}

/// Of a cut packet an absent checksum can still be told, and one that covers only what was captured.
#[cold]
fn cut(frame: &Frame<'_>, layers: &Layers) -> Checksum {
    if layers.l4_offset == 0 {
        // The IP header itself was cut, behind the protocol.
        return Checksum::UncheckedTruncated;
    }
    let header = frame.bytes.get(layers.l4_offset as usize..).unwrap_or_default();
    match (layers.protocol, header) {
        (p::UDP, [_, _, _, _, _, _, 0, 0, ..]) => Checksum::Absent,
        (p::GRE, [flags, ..]) if flags & 0x80 == 0 => Checksum::Absent,
        (p::UDPLITE | p::DCCP, [_, _, _, _, _, _, _, _, ..]) => {
            partly(frame, layers, header, layers.end.saturating_sub(layers.l4_offset) as usize)
        }
        _ => Checksum::UncheckedTruncated,
    }
}

#[inline(always)]
fn pseudo(frame: &Frame<'_>, layers: &Layers, covered: &[u8], len: usize) -> Checksum {
    let (src, dst) = if layers.present.has(Present::REROUTED) {
        match final_addresses(frame.bytes, layers) {
            Some(addresses) => addresses,
            None => return Checksum::UncheckedTruncated,
        }
    } else {
        (layers.src, layers.dst)
    };
    good(pseudo_sum(src, dst, layers.protocol, len as u32) + sum::sum_words(covered))
}

/// RFC 768: zero means none; RFC 6935 allows that to IPv6 tunnels, too. The UDP length bounds what is covered;
/// zero over IPv6 is the packet's (RFC 2675 4).
#[inline(always)]
fn udp(frame: &Frame<'_>, layers: &Layers, packet: &[u8]) -> Checksum {
    if packet[6] == 0 && packet[7] == 0 {
        return Checksum::Absent;
    }
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let len = if len == 0 && layers.ip_version == 6 { packet.len() } else { len };
    match packet.get(..len) {
        Some(covered) if len >= 8 => pseudo(frame, layers, covered, len),
        _ => Checksum::Bad,
    }
}

fn other(frame: &Frame<'_>, layers: &Layers, packet: &[u8]) -> Checksum {
    match layers.protocol {
        p::ICMPV6 | p::MOBILITY if packet.len() >= 4 => pseudo(frame, layers, packet, packet.len()),
        p::ICMPV4 | p::IGMP if packet.len() >= 4 => good(sum::sum_words(packet)),
        p::UDPLITE if packet.len() >= 8 => partly(frame, layers, packet, packet.len()),
        p::DCCP if packet.len() >= 8 => partly(frame, layers, packet, packet.len()),
        p::SCTP if packet.len() >= 12 => {
            let crc = crc32c::update(!0, &packet[..8]);
            let crc = crc32c::update(crc32c::update(crc, &[0; 4]), &packet[12..]);
            let stored = u32::from_le_bytes([packet[8], packet[9], packet[10], packet[11]]);
            if stored == !crc { Checksum::Good } else { Checksum::Bad }
        }
        p::GRE if packet.len() >= 4 => {
            if packet[0] & 0x80 == 0 {
                Checksum::Absent
            } else {
                good(sum::sum_words(packet))
            }
        }
        // The packet ends before its checksum.
        _ => Checksum::None,
    }
}

/// UDP-Lite and DCCP, which may cover only the beginning of a packet of `len` bytes; `captured` is at least 8 of them.
fn partly(frame: &Frame<'_>, layers: &Layers, captured: &[u8], len: usize) -> Checksum {
    let coverage = if layers.protocol == p::UDPLITE {
        // RFC 3828 3.1: coverage 0 is all; less than the header, or more than the packet, is illegal.
        match usize::from(u16::from_be_bytes([captured[4], captured[5]])) {
            0 => len,
            coverage if (8..=len).contains(&coverage) => coverage,
            _ => return Checksum::Bad,
        }
    } else {
        // RFC 4340 9.2: coverage 0 is all, else the header and (coverage - 1) words of data.
        match usize::from(captured[5] & 15) {
            0 => len,
            words => (usize::from(captured[4]) * 4 + (words - 1) * 4).min(len),
        }
    };
    match captured.get(..coverage) {
        Some(covered) => pseudo(frame, layers, covered, len),
        None => Checksum::UncheckedTruncated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_1071_section_3_example() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn rfc_1624_section_4_example() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_recomputation(mut bytes in proptest::collection::vec(any::<u8>(), 4..64), new: u16, at: u8) {
            let at = usize::from(at) % (bytes.len() / 2) * 2;
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let before = checksum(&bytes);
            bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let after = update(before, old, new);
            // 0 and 0xffff are the same number in ones' complement.
            prop_assert_eq!(u32::from(after) % 0xffff, u32::from(checksum(&bytes)) % 0xffff);
        }

        #[test]
        fn mapped_addresses_sum_like_plain_ones(a: [u8; 4], b: [u8; 4], packet in proptest::collection::vec(any::<u8>(), 8..64)) {
            let mut flat = vec![];
            flat.extend(a);
            flat.extend(b);
            flat.extend([0, 17]);
            flat.extend((packet.len() as u16).to_be_bytes());
            flat.extend(&packet);
            let map = |v: [u8; 4]| std::net::Ipv4Addr::from(v).to_ipv6_mapped().octets();
            prop_assert_eq!(pseudo_checksum(map(a), map(b), 17, &packet), checksum(&flat));
        }
    }
}
