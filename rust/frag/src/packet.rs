//! What one packet says about its place in a datagram.
use crate::config::ReassemblyConfig;
use crate::key::FragmentKey;
use crate::overlap::OverlapPolicy;
use crate::reason::FragmentReason;
use netfast_low::sum;
use netfast_wire::LinkType;
use netfast_wire::dissect::{ethertype as et, protocol as p};
use netfast_wire::router::{IcmpError, parameter4, parameter6};

/// VLAN tags that are skipped before the IP header; a frame with more is no fragment.
pub const MAX_TAGS: usize = 4;
/// Bytes of the longest link header.
const LINK_HEADERS: usize = 14 + 4 * MAX_TAGS;
/// IPv6 extension headers before the fragment header.
const MAX_EXTENSIONS: usize = 16;
/// The longest datagram: IPv4 with its header, IPv6 without (RFC 791 3.1, RFC 8200 4.5).
pub(crate) const LONGEST: u32 = 65_535;
pub(crate) const IPV6_HEADER: u32 = 40;
pub(crate) const FRAGMENT_HEADER: u32 = 8;
/// What follows the addresses of a frame: IPv4 without options, and IPv6.
const ETHERNET_IPV4: u32 = 0x08_0045;
const ETHERNET_IPV6: u32 = 0x8_6dd6;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A fragment. Offsets count from the packet's first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub key: FragmentKey,
    /// IP header.
    pub l3: u32,
    /// IPv6: the byte that says "fragment header".
    pub previous: u32,
    /// Data of the fragment.
    pub payload: u32,
    /// Place of the data in the datagram.
    pub start: u32,
    pub len: u32,
    pub more: bool,
    pub dont_fragment: bool,
    /// IPv6: what the fragment header says that follows.
    pub next: u8,
    /// One bit for each value of the two ECN bits.
    pub ecn: u8,
}

impl Fragment {
    /// Bytes of the IP packet.
    pub fn ip_len(&self) -> u32 {
        self.payload - self.l3 + self.len
    }

    /// Bytes of headers that count for the longest datagram.
    pub fn counted_header(&self) -> u32 {
        let headers = self.payload - self.l3;
        if self.key.is_ipv4() { headers } else { headers - IPV6_HEADER - FRAGMENT_HEADER }
    }

    /// IPv6: no other fragment belongs to it (RFC 6946).
    pub fn is_atomic(&self) -> bool {
        !self.key.is_ipv4() && self.start == 0 && !self.more
    }
}

/// A fragment that cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken {
    pub key: Option<FragmentKey>,
    pub reason: FragmentReason,
    pub error: Option<IcmpError>,
}

/// What a packet is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// No fragment, or nothing that can be read as IP.
    Other,
    /// The headers go on behind what is there: so many bytes are needed.
    Short(u32),
    Broken(Broken),
    Fragment(Fragment),
}

/// How packets are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub ethernet: bool,
    pub verify_header: bool,
    /// As Linux has it, IPv4 fragments that are not the last and whose length is no multiple of 8 are cut to one.
    pub cut_odd: bool,
    pub context: u32,
}

impl Reader {
    pub fn new(config: &ReassemblyConfig) -> Self {
        Self {
            ethernet: config.link == LinkType::ETHERNET,
            verify_header: config.verify_header,
            cut_odd: config.overlap == OverlapPolicy::Linux,
            context: 0,
        }
    }

    /// `head` is the beginning of a packet of `length` bytes, whose IP header is at `l3` where that is known.
    #[inline(always)]
    pub fn read(&self, head: &[u8], length: u32, l3: Option<u32>) -> Read {
        // What most frames are: no tag, no options, no other extension header.
        if self.ethernet
            && l3.is_none_or(|l3| l3 == 14)
            && let Some(frame) = head.first_chunk::<34>()
        {
            let kind = u32::from_be_bytes([frame[12], frame[13], frame[14], frame[15]]);
            if kind >> 8 == ETHERNET_IPV4
                && let Some(header) = frame.last_chunk::<20>()
            {
                return self.ipv4(header, header, 14, length);
            }
            if kind >> 12 == ETHERNET_IPV6
                && frame[20] == p::FRAGMENT
                && let Some(frame) = head.first_chunk::<62>()
                && let (Some(header), Some(fixed)) = (frame[14..].first_chunk(), frame.last_chunk())
            {
                return self.fragment_header((header, &[]), fixed, (14, 6, 40), length);
            }
        }
        self.read_any(head, length, l3)
    }

    #[inline(never)]
    fn read_any(&self, head: &[u8], length: u32, l3: Option<u32>) -> Read {
        let l3 = match l3 {
            Some(l3) => l3 as usize,
            None if self.ethernet => match network_header(head) {
                Some(l3) => l3,
                None if head.len() < LINK_HEADERS => return short(0, head.len() + 1, length),
                None => return Read::Other,
            },
            None => 0,
        };
        let Some(packet) = head.get(l3..) else { return short(l3, 1, length) };
        match packet.first().map(|first| first >> 4) {
            Some(4) => {
                let Some(header) = packet.first_chunk::<20>() else { return short(l3, 20, length) };
                let header_len = usize::from(header[0] & 15) * 4;
                match packet.get(..header_len) {
                    Some(whole) => self.ipv4(header, whole, l3, length),
                    None if !is_fragment(header) => Read::Other,
                    None if l3 + header_len <= length as usize => Read::Short((l3 + header_len) as u32),
                    None => self.ipv4(header, &[], l3, length),
                }
            }
            Some(6) => self.ipv6(packet, l3, length),
            Some(_) => Read::Other,
            None => short(l3, 1, length),
        }
    }

    /// `whole` is the header with its options; empty when they are not there.
    #[inline(always)]
    fn ipv4(&self, header: &[u8; 20], whole: &[u8], l3: usize, length: u32) -> Read {
        if !is_fragment(header) {
            return Read::Other;
        }
        let flags = word(header, 6);
        let header_len = whole.len();
        let total = u32::from(word(header, 2));
        let key = FragmentKey::of_ipv4(self.context, part(header, 12), header[9], word(header, 4));
        let broken = |reason, error| Read::Broken(Broken { key: Some(key), reason, error });
        if header_len < 20 || (total as usize) < header_len || total > length.saturating_sub(l3 as u32) {
            return broken(FragmentReason::Truncated, None);
        }
        // Without options the length is known when the program is compiled.
        let sum = if header_len == 20 { sum_of_20(header) } else { sum::sum_words(whole) };
        if self.verify_header && sum::fold(sum) != 0xffff {
            return broken(FragmentReason::BadChecksum, None);
        }
        let (start, mut len) = (u32::from(flags & OFFSET) * 8, total - header_len as u32);
        let more = flags & MORE_FRAGMENTS != 0;
        if more && !len.is_multiple_of(8) {
            if !self.cut_odd {
                return broken(FragmentReason::BadLength, Some(problem4(2)));
            }
            len &= !7;
        }
        if len == 0 {
            return broken(FragmentReason::ZeroLength, None);
        }
        if header_len as u32 + start + len > LONGEST {
            return broken(FragmentReason::ExcessivelyLarge, Some(problem4(6)));
        }
        Read::Fragment(Fragment {
            key,
            l3: l3 as u32,
            previous: 0,
            payload: (l3 + header_len) as u32,
            start,
            len,
            more,
            dont_fragment: flags & DONT_FRAGMENT != 0,
            next: header[9],
            ecn: 1 << (header[1] & 3),
        })
    }

    #[inline(always)]
    fn ipv6(&self, packet: &[u8], l3: usize, length: u32) -> Read {
        let Some(header) = packet.first_chunk::<40>() else { return short(l3, 40, length) };
        let (mut previous, mut at, mut next) = (6, 40, header[6]);
        for _ in 0..=MAX_EXTENSIONS {
            if !matches!(next, p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS | p::AH | p::FRAGMENT) {
                return Read::Other;
            }
            let Some(fixed) = packet.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
                return short(l3, at + 8, length);
            };
            if next == p::FRAGMENT {
                let extensions = packet.get(40..at).unwrap_or_default();
                return self.fragment_header((header, extensions), fixed, (l3, previous, at), length);
            }
            let words = usize::from(fixed[1]);
            let len = if next == p::AH { (words + 2) * 4 } else { (words + 1) * 8 };
            (previous, next) = (at, fixed[0]);
            at += len;
        }
        Read::Other
    }

    /// The fragment header at `at`, behind `extensions`.
    #[inline(always)]
    fn fragment_header(
        &self,
        (header, extensions): (&[u8; 40], &[u8]),
        fixed: &[u8; 8],
        (l3, previous, at): (usize, usize, usize),
        length: u32,
    ) -> Read {
        let id = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let addresses = [8, 16, 24, 32].map(|at| u64::from_ne_bytes(part(header, at)));
        let key = FragmentKey::of_ipv6(self.context, addresses, id);
        let broken = |reason, error| Read::Broken(Broken { key: Some(key), reason, error });
        let payload_len = u32::from(word(header, 4));
        if payload_len == 0 && header[6] == p::HOP_BY_HOP && has_jumbo_payload(extensions) {
            return broken(FragmentReason::Jumbogram, Some(problem6(at as u32)));
        }
        let (payload, end) = (at as u32 + FRAGMENT_HEADER, IPV6_HEADER + payload_len);
        if end < payload || l3 as u32 + end > length {
            return broken(FragmentReason::Truncated, None);
        }
        let (field, len) = (u16::from_be_bytes([fixed[2], fixed[3]]), end - payload);
        let (start, more) = (u32::from(field & 0xfff8), field & 1 != 0);
        if more && !len.is_multiple_of(8) {
            return broken(FragmentReason::BadLength, Some(problem6(4)));
        }
        if len == 0 && (start != 0 || more) {
            return broken(FragmentReason::ZeroLength, None);
        }
        if at as u32 - IPV6_HEADER + start + len > LONGEST {
            return broken(FragmentReason::ExcessivelyLarge, Some(problem6(at as u32 + 2)));
        }
        Read::Fragment(Fragment {
            key,
            l3: l3 as u32,
            previous: (l3 + previous) as u32,
            payload: l3 as u32 + payload,
            start,
            len,
            more,
            dont_fragment: false,
            next: fixed[0],
            ecn: 1 << (header[1] >> 4 & 3),
        })
    }
}

/// RFC 1122 3.2.2.5: the octet of an IPv4 header that cannot be.
pub(crate) fn problem4(pointer: u32) -> IcmpError {
    IcmpError::ParameterProblem { code: parameter4::POINTER, pointer }
}

/// RFC 8200 4.5: the octet of an IPv6 packet that cannot be.
pub(crate) fn problem6(pointer: u32) -> IcmpError {
    IcmpError::ParameterProblem { code: parameter6::ERRONEOUS_FIELD, pointer }
}

/// Whether the hop-by-hop options that `header` begins with say the length of the packet (RFC 2675 2).
#[cold]
fn has_jumbo_payload(header: &[u8]) -> bool {
    const PAD_1: u8 = 0;
    const JUMBO_PAYLOAD: [u8; 2] = [0xc2, 4];
    let len = header.get(1).map_or(0, |&words| (usize::from(words) + 1) * 8);
    let mut options = header.get(2..len).unwrap_or_default();
    while let [kind, behind @ ..] = options {
        let skipped = match behind.first() {
            _ if *kind == PAD_1 => 1,
            _ if options.starts_with(&JUMBO_PAYLOAD) => return options.len() >= 6,
            Some(&len) => usize::from(len) + 2,
            None => return false,
        };
        options = options.get(skipped..).unwrap_or_default();
    }
    false
}

/// Where the IP header begins in an Ethernet II frame.
#[inline(always)]
fn network_header(frame: &[u8]) -> Option<usize> {
    let mut at = 12;
    for _ in 0..=MAX_TAGS {
        let kind = frame.get(at..)?.first_chunk::<2>()?;
        at += 2;
        match u16::from_be_bytes(*kind) {
            et::IPV4 | et::IPV6 => return Some(at),
            et::VLAN | et::QINQ | et::QINQ_OLD => at += 2,
            _ => return None,
        }
    }
    None
}

/// More bytes help only where there are more.
#[cold]
fn short(l3: usize, need: usize, length: u32) -> Read {
    match u32::try_from(l3 + need) {
        Ok(need) if need <= length => Read::Short(need),
        _ => Read::Other,
    }
}

/// The sum of the words, as [`sum::sum_words`] gives it up to folding.
#[inline(always)]
fn sum_of_20(header: &[u8; 20]) -> u64 {
    let word = |at: usize| {
        u64::from(u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
    };
    word(0) + word(4) + word(8) + word(12) + word(16)
}

#[inline(always)]
fn is_fragment(header: &[u8; 20]) -> bool {
    word(header, 6) & (MORE_FRAGMENTS | OFFSET) != 0
}

#[inline(always)]
fn word(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// Eight bytes of a header.
#[inline(always)]
fn part(header: &[u8], at: usize) -> [u8; 8] {
    [0, 1, 2, 3, 4, 5, 6, 7].map(|offset| header[at + offset])
}
