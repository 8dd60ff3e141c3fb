//! The packet that an ICMP error quotes, as far as it was sent back: RFC 792, RFC 4443 section 3, RFC 4884.
use super::chain::protocol;
use super::examine::Dissection;
use crate::dissect::Frame;
use crate::layers::{Limits, Verdict};
use crate::{HeaderKind, LinkType};

/// Longer than any packet that is quoted: the quote has its first bytes only, and says how long it was.
const QUOTED_WIRE_LEN: u32 = 1 << 20;

/// What an ICMP error quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Where it begins in the frame, in bytes.
    pub offset: usize,
    /// Bytes of it that are there.
    pub len: usize,
    /// Its headers, with offsets from its beginning. The last one may be cut.
    pub dissection: Dissection,
}

/// The quote of a packet whose innermost header is an ICMP error; `None` for others and when nothing of it can be read.
#[must_use]
pub fn quote(frame: &Frame<'_>, found: &Dissection) -> Option<Quote> {
    let (kind, offset, len) = *found.headers.last()?;
    let header = frame.bytes.get(offset..offset.checked_add(len)?)?;
    let start = found.payload_offset();
    let rest = frame.bytes.get(start..found.end)?;
    // RFC 4884 section 3: the quote's length in words of four or eight bytes, when extensions follow.
    let said = match (kind, *header.first()?) {
        (HeaderKind::Icmpv4, 3 | 11 | 12) => usize::from(*header.get(5)?) * 4,
        (HeaderKind::Icmpv4, 4 | 5) | (HeaderKind::Icmpv6, 2 | 4) => 0,
        (HeaderKind::Icmpv6, 1 | 3) => usize::from(*header.get(4)?) * 8,
        _ => return None,
    };
    let bytes = rest.get(..said).filter(|_| said != 0).unwrap_or(rest);
    let cut = Frame { bytes, wire_len: QUOTED_WIRE_LEN, link: LinkType::RAW };
    let mut dissection = Dissection::new(&cut, &Limits::default());
    let (layers, _) = dissection.packets.last()?;
    let behind = dissection.payload_offset();
    let upper = HeaderKind::ALL.iter().find(|kind| protocol(**kind) == Some(layers.protocol));
    // What is there of a header that the sender of the error cut.
    if let (Verdict::Truncated, Some(upper)) = (layers.verdict, upper)
        && layers.l4_offset as usize == behind
        && behind < dissection.end
    {
        dissection.headers.push((*upper, behind, dissection.end - behind));
    }
    (!dissection.headers.is_empty()).then_some(Quote { offset: start, len: bytes.len(), dissection })
}
