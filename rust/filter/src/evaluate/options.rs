//! Options of TCP segments (RFC 9293 section 3.1), as nft_exthdr of Linux reads them.

use crate::facts::{Facts, Family, FibLookup};
use netfast_nft::field::{OptionPart, TcpOption};

use super::read::{TCP, bytes, number};

/// The shortest TCP header.
const FIXED: usize = 20;
const KIND_NOP: u8 = 1;
const SYN: u128 = 2;
/// What a segment may have where nothing else is known (RFC 9293 section 3.7.1).
const DEFAULT_SEGMENT: u16 = 536;

/// What a `tcp option` expression reads. It says of packets that are no TCP segment that they have no option.
pub(super) fn option(facts: &Facts<'_>, option: TcpOption) -> Option<u128> {
    let found = find(facts, option.kind);
    match option.part {
        OptionPart::Exists => Some(found.is_some().into()),
        OptionPart::Bytes { .. } if option == TcpOption::MAX_SEGMENT && found.is_some() => {
            facts.max_segment.map(u128::from).or_else(|| part(found, option.part))
        }
        of => part(found, of),
    }
}

fn part(option: Option<&[u8]>, part: OptionPart) -> Option<u128> {
    let OptionPart::Bytes { at, length } = part else { return None };
    let at = usize::from(at);
    Some(number(option?.get(at..at + usize::from(length))?))
}

/// The bytes of the first option of a kind.
fn find<'f>(facts: &Facts<'f>, kind: u8) -> Option<&'f [u8]> {
    if facts.protocol != TCP || facts.fragment {
        return None;
    }
    let start = usize::from(facts.l4_offset);
    let length = usize::from(*facts.l3.get(start + 12)? >> 4) * 4;
    let header = facts.l3.get(start..start + length)?;
    if start + length > facts.l3_length as usize {
        return None;
    }
    let mut at = FIXED;
    while at + 1 < length {
        let of = header[at];
        let size = if of <= KIND_NOP || header[at + 1] == 0 { 1 } else { usize::from(header[at + 1]) };
        if of == kind {
            return header.get(at..at + size);
        }
        at += size;
    }
    None
}

/// The largest segment that a segment with SYN announces, as rules have changed it so far.
pub(super) fn announced(facts: &Facts<'_>) -> Option<u16> {
    let flags = bytes(facts, usize::from(facts.l4_offset) + 13, 1)?;
    let size = option(facts, TcpOption::MAX_SEGMENT).filter(|_| flags & SYN != 0)?;
    u16::try_from(size).ok()
}

/// The largest segment that fits the routes to both ends.
pub(super) fn fitting(facts: &Facts<'_>) -> u16 {
    let route = |address, other, mark| {
        let (in_port, out_port) = (None, None);
        facts.fib.path_mtu(&FibLookup { family: facts.family, address, other, mark, in_port, out_port })
    };
    let there = route(facts.destination, facts.source, Some(facts.mark));
    let back = route(facts.source, [0; 16], None);
    let headers = if facts.family == Family::Ipv4 { 40 } else { 60 };
    let mtu = there.into_iter().chain(back).min().unwrap_or(0);
    match u16::try_from(mtu) {
        Ok(mtu) if mtu > headers => mtu - headers,
        _ => DEFAULT_SEGMENT,
    }
}
