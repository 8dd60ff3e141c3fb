//! The ECN field of a packet in a tunnel (RFC 3168, RFC 6040).

use netfast_wire::checksum::update;

/// Congestion was experienced.
const CE: u8 = 3;

/// The two bits of an IP packet; none of what is no IP packet.
pub(super) fn of_packet(packet: &[u8]) -> u8 {
    match packet {
        [first, tos, ..] if first >> 4 == 4 => tos & 3,
        // The traffic class stands across the first two bytes.
        [first, second, ..] if first >> 4 == 6 => second >> 4 & 3,
        _ => 0,
    }
}

/// What becomes of the packet's field when the datagram around it came with another (RFC 6040 4.2); `None` when the packet
/// has to be dropped, since its sender would not understand that there is congestion.
pub(super) const fn after(inner: u8, outer: u8) -> Option<u8> {
    match (inner & 3, outer & 3) {
        (0, CE) => None,
        (0, _) => Some(0),
        (_, CE) | (CE, _) => Some(CE),
        // ECT(1) outside of ECT(0).
        (2, 1) => Some(1),
        (inner, _) => Some(inner),
    }
}

/// Writes the two bits, and what they change in the checksum of an IPv4 header. Short packets stay as they are.
pub(super) fn write(packet: &mut [u8], ecn: u8) {
    match packet {
        [first, tos, rest @ ..] if *first >> 4 == 4 => {
            let (old, new) = (*tos, *tos & !3 | ecn & 3);
            *tos = new;
            if let Some([high, low]) = rest.get_mut(8..10) {
                let checksum = u16::from_be_bytes([*high, *low]);
                [*high, *low] = update(checksum, old.into(), new.into()).to_be_bytes();
            }
        }
        [first, second, ..] if *first >> 4 == 6 => *second = *second & !0x30 | (ecn & 3) << 4,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_rfc_6040() {
        // Rows: Not-ECT, ECT(1), ECT(0), CE inside; columns the same outside.
        let table = [
            [Some(0), Some(0), Some(0), None],
            [Some(1), Some(1), Some(1), Some(3)],
            [Some(2), Some(1), Some(2), Some(3)],
            [Some(3), Some(3), Some(3), Some(3)],
        ];
        for (inner, row) in table.into_iter().enumerate() {
            for (outer, expected) in row.into_iter().enumerate() {
                assert_eq!(after(inner as u8, outer as u8), expected, "{inner} in {outer}");
            }
        }
    }

    fn sum(header: &[u8]) -> u32 {
        let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        (sum & 0xffff) + (sum >> 16)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_checksums_stay_right(mut header in prop::collection::vec(any::<u8>(), 20), ecn in 0_u8..4) {
            header[0] = 0x45;
            header[10..12].fill(0);
            let checksum = !(sum(&header) as u16);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            let before = header.clone();
            write(&mut header, ecn);
            prop_assert_eq!(of_packet(&header), ecn);
            prop_assert_eq!(sum(&header), 0xffff);
            prop_assert_eq!(header[1] >> 2, before[1] >> 2);
            header[0] = 0x65;
            write(&mut header, ecn);
            prop_assert_eq!(of_packet(&header), ecn);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..24), ecn in any::<u8>()) {
            write(&mut bytes, ecn);
            prop_assert!(of_packet(&bytes) < 4);
        }
    }
}
