//! Where the IP packet of a frame begins, for those who put its fragments together.
use netfast_frag::MAX_TAGS;
use netfast_wire::dissect::{RADIOTAP_FCS, ethertype as et, radiotap_flags_at};
use netfast_wire::{Frame, HeaderKind, Layers, Limits, LinkType, Visit, dissect};

/// Where a frame's IP packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkPlace {
    /// Its first byte.
    pub offset: u32,
    /// Identifiers of the VLAN tags before it, 12 bits each, the outermost first; of more than [`MAX_TAGS`] there are none.
    pub vlans: u64,
    /// How many tags there are.
    pub tags: u8,
    /// Where a PPPoE header before it says how many bytes follow that header's six (RFC 2516 4): two bytes.
    pub length_at: Option<u32>,
}

impl NetworkPlace {
    /// Makes the lengths before the IP packet right, given the first bytes of a frame that is `len` bytes long now.
    pub fn set_lengths(&self, head: &mut [u8], len: u32) {
        let field = self.length_at.and_then(|at| head.get_mut(at as usize..)?.first_chunk_mut());
        if let (Some(field), Some(at)) = (field, self.length_at) {
            *field = u16::try_from(len.saturating_sub(at + 2)).unwrap_or(u16::MAX).to_be_bytes();
        }
    }
}

/// Where the outermost IP packet of a frame begins. `None` where there is none, and where a header before it says how long
/// the frame is (802.3, netfilter's log): what is reassembled behind such a header would make it wrong.
pub fn network_place(link: LinkType, bytes: &[u8]) -> Option<NetworkPlace> {
    match link {
        LinkType::ETHERNET => ethernet(bytes),
        LinkType::RAW | LinkType::RAW_BSD_12 | LinkType::RAW_BSD_14 | LinkType::IPV4 | LinkType::IPV6 => {
            Some(NetworkPlace::default())
        }
        LinkType::NFLOG => None,
        _ => dissected(link, bytes),
    }
}

/// Of radiotap's flags, the one that says that the check sequence is wrong, of a frame that may have none.
const RADIOTAP_BAD_FCS: u8 = 0x40;

/// What was held as a fragment is without what stood behind its IP packet: a frame must not say any more that it ends with a
/// check sequence, nor that this is wrong.
pub(crate) fn forget_check_sequence(link: LinkType, frame: &mut [u8]) {
    if link != LinkType::IEEE802_11_RADIOTAP {
        return;
    }
    let length = frame.get(2..4).map_or(0, |field| usize::from(u16::from_le_bytes([field[0], field[1]])));
    let flags = frame.get(..length).and_then(radiotap_flags_at);
    if let Some(flags) = flags.and_then(|at| frame.get_mut(at)) {
        *flags &= !(RADIOTAP_FCS | RADIOTAP_BAD_FCS);
    }
}

/// The headers of IP in an 802.3 frame: a length, LLC and SNAP (RFC 1042).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snap {
    /// Where the length is, behind addresses and tags.
    length_at: usize,
}

impl Snap {
    /// Bytes from the length on to the EtherType.
    const LENGTH: usize = 8;

    /// Where the IP packet of such a frame is.
    pub fn of(frame: &[u8]) -> Option<(NetworkPlace, Self)> {
        let (mut at, mut place) = (12, NetworkPlace::default());
        loop {
            match frame.get(at..)?.first_chunk::<10>()? {
                [high, low, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]
                | [high, low, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd]
                    if u16::from_be_bytes([*high, *low]) <= 1_500 =>
                {
                    place.offset = (at + Self::LENGTH + 2) as u32;
                    return Some((place, Self { length_at: at }));
                }
                [high, low, tag @ ..] if usize::from(place.tags) < MAX_TAGS => {
                    if !matches!(u16::from_be_bytes([*high, *low]), et::VLAN | et::QINQ | et::QINQ_OLD) {
                        return None;
                    }
                    place.vlans = place.vlans << 12 | u64::from(u16::from_be_bytes([tag[0], tag[1]]) & 0xfff);
                    place.tags += 1;
                    at += 4;
                }
                _ => return None,
            }
        }
    }

    /// Makes an Ethernet II frame of it, which says the same and no length.
    pub fn remove(self, frame: &mut Vec<u8>) {
        frame.drain(self.length_at..self.length_at + Self::LENGTH);
    }
}

/// Whether the IP packet at the beginning of `packet` may be a fragment; false for what is none for sure.
#[inline]
pub fn may_be_fragment(packet: &[u8]) -> bool {
    match packet {
        [first, _, _, _, _, _, high, low, ..] if first >> 4 == 4 => (high & 0x3f) | low != 0,
        // Hop-by-hop options, routing, fragment, authentication and destination options: a fragment header may follow.
        [first, _, _, _, _, _, next, ..] if first >> 4 == 6 => matches!(next, 0 | 43 | 44 | 51 | 60),
        _ => false,
    }
}

#[inline]
fn ethernet(frame: &[u8]) -> Option<NetworkPlace> {
    let mut place = NetworkPlace { offset: 12, ..NetworkPlace::default() };
    loop {
        let kind = frame.get(place.offset as usize..)?.first_chunk::<4>()?;
        place.offset += 2;
        match u16::from_be_bytes([kind[0], kind[1]]) {
            et::IPV4 | et::IPV6 => return Some(place),
            et::VLAN | et::QINQ | et::QINQ_OLD if usize::from(place.tags) < MAX_TAGS => {
                let identifier = u16::from_be_bytes([kind[2], kind[3]]) & 0xfff;
                place.vlans = place.vlans << 12 | u64::from(identifier);
                place.tags += 1;
                place.offset += 2;
            }
            et::PPPOE | et::MPLS | et::MPLS_UPSTREAM => {
                let NetworkPlace { vlans, tags, .. } = place;
                return Some(NetworkPlace { vlans, tags, ..dissected(LinkType::ETHERNET, frame)? });
            }
            _ => return None,
        }
    }
}

/// The first IP header, and the PPPoE header before it.
#[derive(Default)]
struct FirstIp {
    found: Option<usize>,
    pppoe: Option<usize>,
}

impl Visit for FirstIp {
    fn header(&mut self, kind: HeaderKind, offset: usize, _: usize) {
        let place = match kind {
            _ if self.found.is_some() => return,
            HeaderKind::Ipv4 | HeaderKind::Ipv6 => &mut self.found,
            HeaderKind::Pppoe => &mut self.pppoe,
            _ => return,
        };
        *place = Some(offset);
    }
}

fn dissected(link: LinkType, bytes: &[u8]) -> Option<NetworkPlace> {
    let mut first = FirstIp::default();
    dissect(&Frame::whole(bytes, link), &Limits::default(), &mut Layers::default(), &mut first);
    let offset = u32::try_from(first.found?).ok()?;
    let length_at = first.pppoe.and_then(|pppoe| u32::try_from(pppoe + 4).ok());
    Some(NetworkPlace { offset, length_at, ..NetworkPlace::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_its_check_sequence_says_nothing_of_it() {
        // With a timestamp before the flags, and without flags.
        let whole = [0, 0, 17, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xff];
        let none = [0, 0, 16, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for link in [LinkType::IEEE802_11_RADIOTAP, LinkType::ETHERNET] {
            let (mut frame, mut other) = (whole, none);
            forget_check_sequence(link, &mut frame);
            forget_check_sequence(link, &mut other);
            let flags = if link == LinkType::ETHERNET { 0xff } else { 0xaf };
            assert_eq!((frame[16], &frame[..16], other), (flags, &whole[..16], none));
        }
    }
}
