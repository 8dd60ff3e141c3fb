//! IEEE 802.11, and what capturing hosts write before it.
use super::{Cursor, Step, Verdict, Visit, be16};
use crate::header::dot11_len;
use crate::kind::HeaderKind;
use crate::layers::Layers;

/// Most bytes that fragments of an 802.11 frame carry together (IEEE 802.11-2020 9.2.4.7).
const LARGEST_MSDU: usize = 2304;

impl<V: Visit> Cursor<'_, V> {
    /// Radiotap: little-endian, its own length, and flags that say how the 802.11 frame was stored.
    pub(super) fn radiotap(&mut self, at: usize, out: &mut Layers) -> Step {
        let fixed = self.take::<8>(at)?;
        let len = usize::from(u16::from_le_bytes([fixed[2], fixed[3]]));
        if fixed[0] != 0 || len < 8 {
            return Err(self.malformed(at, 8));
        }
        let header = self.slice(at, len)?;
        self.visit.header(HeaderKind::Radiotap, at, len);
        let flags = radiotap_flags(header);
        if flags & RADIOTAP_FCS != 0 {
            // The frame check sequence stands at the end.
            self.end = self.end.saturating_sub(4);
        }
        self.dot11(at + len, flags & 0x20 != 0, out)
    }

    /// IEEE 802.11: only data frames carry packets.
    pub(super) fn dot11(&mut self, at: usize, padded: bool, out: &mut Layers) -> Step {
        let control = self.take::<2>(at)?;
        let (kind, subtype) = (control[0] >> 2 & 3, control[0] >> 4);
        if control[0] & 3 != 0 {
            // Protocol version 1 has other headers (IEEE 802.11-2020 9.8), and there is no other.
            return Err(self.stop(Verdict::UnknownProtocol, at));
        }
        if kind == 3 {
            return Err(self.stop(Verdict::UnknownProtocol, at));
        }
        let len = dot11_len(control);
        let qos = kind == 2 && subtype & 8 != 0;
        let qos_at = at + if control[1] & 3 == 3 { 30 } else { 24 };
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Dot11, at, len);
        if kind != 2 || subtype & 4 != 0 {
            // Management, control, and data frames without data.
            return Ok(());
        }
        let mut next = at + len;
        if padded {
            next = at + len.next_multiple_of(4);
        }
        if control[1] & 0x40 != 0 {
            return Err(self.stop(Verdict::Encrypted, next));
        }
        self.dot11_fragment(at, next)?;
        if qos && self.take::<2>(qos_at)?[0] & 0x80 != 0 {
            // An aggregate (A-MSDU): its first subframe, 14 bytes of addresses and length.
            let sub = self.take::<14>(next)?;
            self.end = self.end.min(next + 14 + usize::from(be16(sub[12], sub[13])));
            next += 14;
        }
        self.llc(next, out)
    }

    /// IEEE 802.11 10.4: only the first fragment of a frame begins with LLC, and its packet ends in another frame.
    fn dot11_fragment(&mut self, at: usize, body: usize) -> Step {
        let header = self.take::<24>(at)?;
        if header[22] & 0x0f != 0 {
            return Err(self.stop(Verdict::NonFirstFragment, body));
        }
        if header[1] & 0x04 != 0 {
            // What is missing was not captured here, as far as it belongs to the largest frame that there can be.
            self.end = self.end.max(body + LARGEST_MSDU);
            self.wire = self.wire.max(self.end);
        }
        Ok(())
    }
}

/// The flag of a radiotap header that says that a frame check sequence stands at the frame's end.
pub const RADIOTAP_FCS: u8 = 0x10;

/// The flags field of a radiotap header that is all there; 0 without one.
fn radiotap_flags(header: &[u8]) -> u8 {
    radiotap_flags_at(header).and_then(|at| header.get(at)).copied().unwrap_or(0)
}

/// Where the flags field of a radiotap header is; `None` when the header has none.
///
/// Fields stand in the order of the present bits with natural alignment; flags come second, after an eight-byte
/// timer, and follow the extended present words.
pub fn radiotap_flags_at(header: &[u8]) -> Option<usize> {
    let word = |at: usize| {
        header
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let present = word(4);
    let mut at = 8;
    let mut more = present;
    while more & 1 << 31 != 0 && at < header.len() {
        more = word(at);
        at += 4;
    }
    if present & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    (present & 2 != 0 && at < header.len()).then_some(at)
}
