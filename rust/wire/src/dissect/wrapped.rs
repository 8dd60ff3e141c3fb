//! Headers that a capturing host writes before a frame, and that say which kind of frame it is.
use super::{Cursor, Step, Verdict, Visit, be16};
use crate::kind::HeaderKind;
use crate::layers::Layers;
use crate::link::LinkType;

impl<V: Visit> Cursor<'_, V> {
    /// Per-Packet Information: little-endian; version, flags, length, link type, and fields.
    pub(super) fn ppi(&mut self, out: &mut Layers) -> Step {
        let fixed = self.take::<8>(0)?;
        let len = usize::from(u16::from_le_bytes([fixed[2], fixed[3]]));
        if fixed[0] != 0 || len < 8 {
            return Err(self.malformed(0, 8));
        }
        let fields = &self.slice(0, len)?[8..];
        self.visit.header(HeaderKind::Payload, 0, len);
        let link = u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        if link == u32::from(LinkType::IEEE802_11.0) && ppi_has_fcs(fields) {
            self.end = self.end.saturating_sub(4);
        }
        self.wrapped(link, len, out)
    }

    /// Darwin's packet tap: little-endian, as its hosts are; length, kind of record, link type, and more.
    pub(super) fn pktap(&mut self, out: &mut Layers) -> Step {
        const RECORD_PACKET: u32 = 1;
        let fixed = self.take::<12>(0)?;
        let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let len = word(0) as usize;
        if len < 12 {
            return Err(self.malformed(0, 12));
        }
        self.slice(0, len)?;
        self.visit.header(HeaderKind::Payload, 0, len);
        match word(4) {
            RECORD_PACKET => self.wrapped(word(8), len, out),
            _ => Err(self.stop(Verdict::UnknownProtocol, len)),
        }
    }

    /// What the header says is behind it; not another such header.
    fn wrapped(&mut self, link: u32, at: usize, out: &mut Layers) -> Step {
        match u16::try_from(link) {
            Ok(link) => self.link_at(LinkType(link), at, out),
            Err(_) => Err(self.stop(Verdict::UnknownLinkType, at)),
        }
    }

    /// Linux netfilter's log: address family, version, group, and attributes, one of which is the packet.
    pub(super) fn nflog(&mut self, out: &mut Layers) -> Step {
        const ATTRIBUTE_PAYLOAD: u16 = 9;
        let fixed = self.take::<4>(0)?;
        if fixed[1] != 0 {
            return Err(self.malformed(0, 4));
        }
        let mut at = 4;
        // Each attribute has four bytes at least, so the loop ends with the packet.
        loop {
            let head = self.take::<4>(at)?;
            // In the byte order of the capturing host. No attribute has a number above 255, nor 0.
            let (len, kind) = match head[2] {
                0 => (be16(head[0], head[1]), u16::from(head[3])),
                low => (be16(head[1], head[0]), be16(head[3], low)),
            };
            let len = usize::from(len);
            if len < 4 {
                return Err(self.malformed(at, 4));
            }
            if kind == ATTRIBUTE_PAYLOAD {
                self.visit.header(HeaderKind::Payload, 0, at + 4);
                self.end = self.end.min(at + len);
                return match fixed[0] {
                    2 => self.ipv4(at + 4, out),
                    10 => self.ipv6(at + 4, out),
                    _ => Err(self.stop(Verdict::UnknownProtocol, at + 4)),
                };
            }
            at += len.next_multiple_of(4);
        }
    }

    /// The header of Prism cards, whose size is fixed, or the one of the AVS project that took its place.
    pub(super) fn prism(&mut self, at: usize, out: &mut Layers) -> Step {
        const LEN: usize = 144;
        const AVS: [u8; 3] = [0x80, 0x21, 0x10];
        if self.take::<4>(at)?[..3] == AVS {
            return self.avs(at, out);
        }
        self.slice(at, LEN)?;
        self.visit.header(HeaderKind::Payload, at, LEN);
        self.dot11(at + LEN, false, out)
    }

    /// The AVS project's header: big-endian; magic, length, and more.
    pub(super) fn avs(&mut self, at: usize, out: &mut Layers) -> Step {
        let fixed = self.take::<8>(at)?;
        let len = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]) as usize;
        if len < 8 {
            return Err(self.malformed(at, 8));
        }
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Payload, at, len);
        self.dot11(at + len, false, out)
    }
}

/// True when the fields say that the frame check sequence stands at the end: bit 0 of the flags of field 2, "802.11
/// common", behind an eight-byte timer.
fn ppi_has_fcs(mut fields: &[u8]) -> bool {
    const COMMON: u16 = 2;
    while let [a, b, c, d, rest @ ..] = fields {
        let (kind, len) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        let Some((field, behind)) = rest.split_at_checked(usize::from(len)) else { return false };
        if kind == COMMON {
            return field.get(8).is_some_and(|flags| flags & 1 != 0);
        }
        fields = behind;
    }
    false
}
