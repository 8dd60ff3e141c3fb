//! Whether a first fragment has the whole chain of headers (RFC 7112).
use netfast_wire::dissect::protocol as p;

/// Extension headers in the data of a fragment that are followed; a longer chain counts as not whole.
const MAX_EXTENSIONS: usize = 16;

/// Whether `data`, which begins with a header `next`, holds all extension headers and the upper-layer header, of which the
/// fixed part is asked for; one byte where netfast does not know the protocol, as Linux has it.
pub(crate) fn is_whole(mut next: u8, mut data: &[u8]) -> bool {
    for _ in 0..MAX_EXTENSIONS {
        let len = match (next, data.get(1)) {
            (p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS | p::MOBILITY, Some(&len)) => {
                (usize::from(len) + 1) * 8
            }
            (p::AH, Some(&len)) => (usize::from(len) + 2) * 4,
            // What a nested fragment carries is looked at when that is read.
            (p::FRAGMENT, Some(_)) => return data.len() >= 8,
            (
                p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS | p::MOBILITY | p::AH | p::FRAGMENT,
                None,
            ) => {
                return false;
            }
            _ => return data.len() >= upper_layer(next),
        };
        let Some((header, behind)) = data.split_at_checked(len) else { return false };
        if next == p::MOBILITY {
            // RFC 6275 6.1: nothing follows.
            return true;
        }
        (next, data) = (header[0], behind);
    }
    false
}

/// Bytes of the fixed part of an upper-layer header.
fn upper_layer(protocol: u8) -> usize {
    match protocol {
        p::NO_NEXT_HEADER => 0,
        p::TCP | p::IPV4 => 20,
        p::UDP | p::UDPLITE | p::ICMPV6 | p::ESP => 8,
        p::SCTP | p::DCCP => 12,
        p::IPV6 => 40,
        _ => 1,
    }
}
