//! What setting a field does to the bytes around it: flags, room, counts.
use super::{HeaderKind, MLD_QUERY, MLD1_LEN, byte, gre_is_pptp, ppp_protocol, routing_is_segment};

/// Sets or clears the flag that says an optional field is there. False when the field has no such flag.
pub(in crate::header) fn enable(kind: HeaderKind, field: &str, bytes: &mut [u8], on: bool) -> bool {
    let (index, bit) = match (kind, field) {
        (HeaderKind::Gre, "checksum" | "reserved1") => (0, 0x80),
        (HeaderKind::Gre, "key") => (0, 0x20),
        (HeaderKind::Gre, "sequence") => (0, 0x10),
        (HeaderKind::Gre, "acknowledgment") if gre_is_pptp(bytes) => (1, 0x80),
        _ => return false,
    };
    if let Some(byte) = bytes.get_mut(index) {
        if on {
            *byte |= bit;
        } else {
            *byte &= !bit;
        }
    }
    true
}

/// Makes room for a field whose presence is told by the header's length alone. False when the field is not such a one.
pub(in crate::header) fn grow(kind: HeaderKind, field: &str, bytes: &mut Vec<u8>) -> bool {
    let query3 = matches!(
        field,
        "reserved_query" | "suppress" | "robustness" | "query_interval" | "source_count" | "sources"
    );
    match kind {
        HeaderKind::Icmpv6 if query3 && byte(bytes, 0) == MLD_QUERY => bytes.resize(MLD1_LEN + 4, 0),
        HeaderKind::Igmp if query3 && byte(bytes, 0) == 0x11 => bytes.resize(12, 0),
        HeaderKind::Ppp if matches!(field, "address" | "control") => {
            bytes.splice(0..0, [0xff, 0x03]);
        }
        _ => return false,
    }
    true
}

/// Makes room for a number in a field whose width is its own matter: the protocol number of PPP has one byte only where
/// it is odd and below 256 (RFC 1661 section 2).
pub(in crate::header) fn widen(kind: HeaderKind, field: &str, bytes: &mut Vec<u8>, number: u64) {
    let Some(place) = ppp_protocol(bytes).filter(|_| kind == HeaderKind::Ppp && field == "protocol") else {
        return;
    };
    if place.len() == 1 && (number > 0xff || number & 1 == 0) {
        bytes[place.start] = 0;
        bytes.insert(place.start, 0);
    }
}

/// Sets what a value makes necessary: version 1 of GRE always has a key, and says so (RFC 2637 section 4.1).
pub(in crate::header) fn imply(kind: HeaderKind, field: &str, bytes: &mut [u8]) {
    if kind == HeaderKind::Gre && field == "version" && gre_is_pptp(bytes) {
        bytes[0] |= 0x20;
    }
}

/// The part of this field that emission fills in unless the field is given.
pub(in crate::header) fn part(kind: HeaderKind, field: &str, bytes: &[u8]) -> Option<&'static str> {
    (kind == HeaderKind::Gre && field == "key" && gre_is_pptp(bytes)).then_some("payload_length")
}

/// The byte of a header that counts the variable field just written, and the count, as long as `auto` says that nobody
/// set it. A segment list cannot be told from the TLVs behind it without.
pub(in crate::header) fn counter(
    kind: HeaderKind,
    field: &str,
    bytes: &[u8],
    written: usize,
    auto: impl Fn(&str) -> bool,
) -> Option<(usize, u8)> {
    let segments = kind == HeaderKind::Routing && field == "addresses" && routing_is_segment(bytes);
    let last = u8::try_from((written / 16).saturating_sub(1)).unwrap_or(u8::MAX);
    (segments && bytes.len() > 4 && auto("last_entry")).then_some((4, last))
}
