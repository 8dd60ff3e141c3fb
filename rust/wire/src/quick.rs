//! Quick dissection of the packets that most packets are: IPv4 without options or IPv6 without extension headers, not
//! a fragment, then a protocol with ports, all lengths and the IPv4 header checksum right.
//!
//! What it says is what [`crate::dissect()`] says; of any other packet it says nothing, and the caller dissects it.
use crate::dissect::{ethertype as et, protocol as p};
use netfast_low::sum;

const ETHERNET: usize = 14;
const TAG: usize = 4;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// What every upper layer with ports has at least.
const UPPER: usize = 8;
/// The low word of an IPv4-mapped address (RFC 4291 2.5.5.2) of 0.0.0.0.
const MAPPED: u64 = 0xffff_0000_0000;
/// More fragments, and the fragment offset (RFC 791 3.1).
const FRAGMENT: u16 = 0x3fff;

/// A plain packet. Offsets count from the first of the bytes that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quick {
    /// Source address as two big-endian words; IPv4 mapped into IPv6.
    pub src: [u64; 2],
    /// Destination address, likewise.
    pub dst: [u64; 2],
    /// Octets of the IP packet by its own length, header included.
    pub ip_len: u32,
    /// IP header.
    pub l3_offset: u16,
    /// Transport header.
    pub l4_offset: u16,
    /// Octets of the transport header, options included.
    pub l4_len: u16,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// VLAN identifier of the tag, when there is one.
    pub vlan: Option<u16>,
    /// TCP flags, all twelve bits; 0 for other protocols.
    pub tcp_flags: u16,
    /// 4 or 6.
    pub ip_version: u8,
    /// TCP, UDP, UDP-Lite, SCTP or DCCP.
    pub protocol: u8,
    /// Hop limit or time to live.
    pub hop_limit: u8,
}

const _: () = assert!(size_of::<Quick>() == 56);

/// A plain packet in an Ethernet II frame with no tag or one 802.1Q tag; trailing padding is allowed. `None`: dissect it.
#[inline]
pub fn quick(frame: &[u8]) -> Option<Quick> {
    quick_within(frame, frame.len() as u32)
}

/// As [`quick`], where only the beginning of a frame of `length` bytes stands in `head`: all of its headers do.
#[inline(always)]
pub fn quick_within(head: &[u8], length: u32) -> Option<Quick> {
    let [.., a, b] = *head.first_chunk::<ETHERNET>()?;
    match u16::from_be_bytes([a, b]) {
        et::IPV4 => quick4_within(head, length),
        et::IPV6 => quick6_within(head, length),
        et::VLAN => tagged(head).filter(|quick| quick.is_within(length)),
        _ => None,
    }
}

/// As [`quick_within`] of a frame without a tag whose type says IPv4. A caller that goes on with each family apart keeps
/// all of what is found in registers.
#[inline(always)]
pub fn quick4_within(head: &[u8], length: u32) -> Option<Quick> {
    ipv4(head, ETHERNET, None).filter(|quick| quick.is_within(length))
}

/// As [`quick_within`] of a frame without a tag whose type says IPv6.
#[inline(always)]
pub fn quick6_within(head: &[u8], length: u32) -> Option<Quick> {
    ipv6(head, ETHERNET, None).filter(|quick| quick.is_within(length))
}

impl Quick {
    #[inline(always)]
    fn is_within(&self, length: u32) -> bool {
        u32::from(self.l3_offset) + self.ip_len <= length
    }
}

/// A plain packet that begins with its IP header. `None`: dissect it.
#[inline]
pub fn quick_ip(packet: &[u8]) -> Option<Quick> {
    let quick = match packet.first()? >> 4 {
        4 => ipv4(packet, 0, None),
        6 => ipv6(packet, 0, None),
        _ => None,
    };
    quick.filter(|quick| quick.ip_len as usize <= packet.len())
}

#[inline(never)]
fn tagged(frame: &[u8]) -> Option<Quick> {
    let header = frame.first_chunk::<{ ETHERNET + TAG }>()?;
    let vlan = Some(u16::from_be_bytes([header[14], header[15]]) & 0x0fff);
    match u16::from_be_bytes([header[16], header[17]]) {
        et::IPV4 => ipv4(frame, ETHERNET + TAG, vlan),
        et::IPV6 => ipv6(frame, ETHERNET + TAG, vlan),
        _ => None,
    }
}

#[inline(always)]
fn ipv4(bytes: &[u8], at: usize, vlan: Option<u16>) -> Option<Quick> {
    let packet = bytes.get(at..)?;
    let header = packet.first_chunk::<{ IPV4 + UPPER }>()?;
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let sum: u64 = [0, 4, 8, 12, 16].into_iter().map(|at| u64::from(word(at))).sum();
    let [_, _, a, b, _, _, c, d, hop_limit, protocol, ..] = *header;
    let ip_len = u16::from_be_bytes([a, b]);
    let fragment = u16::from_be_bytes([c, d]) & FRAGMENT;
    if header[0] != 0x45 || fragment != 0 || sum::fold(sum) != 0xffff {
        return None;
    }
    let upper = Upper::read(protocol, packet.get(IPV4..)?, ip_len.checked_sub(IPV4 as u16)?)?;
    let address = |at: usize| [0, MAPPED | u64::from(u32::from_be(word(at)))];
    Some(Quick {
        src: address(12),
        dst: address(16),
        ip_len: u32::from(ip_len),
        l3_offset: at as u16,
        l4_offset: (at + IPV4) as u16,
        l4_len: upper.length,
        src_port: upper.src_port,
        dst_port: upper.dst_port,
        vlan,
        tcp_flags: upper.tcp_flags,
        ip_version: 4,
        protocol,
        hop_limit,
    })
}

#[inline(always)]
fn ipv6(bytes: &[u8], at: usize, vlan: Option<u16>) -> Option<Quick> {
    let packet = bytes.get(at..)?;
    let header = packet.first_chunk::<{ IPV6 + UPPER }>()?;
    let [first, _, _, _, a, b, protocol, hop_limit, ..] = *header;
    // A payload length of zero has room for no transport header, so jumbograms end here, too.
    let payload = u16::from_be_bytes([a, b]);
    if first >> 4 != 6 {
        return None;
    }
    let upper = Upper::read(protocol, packet.get(IPV6..)?, payload)?;
    let word = |at: usize| {
        let bytes = &header[at..at + 8];
        u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    };
    Some(Quick {
        src: [word(8), word(16)],
        dst: [word(24), word(32)],
        ip_len: IPV6 as u32 + u32::from(payload),
        l3_offset: at as u16,
        l4_offset: (at + IPV6) as u16,
        l4_len: upper.length,
        src_port: upper.src_port,
        dst_port: upper.dst_port,
        vlan,
        tcp_flags: upper.tcp_flags,
        ip_version: 6,
        protocol,
        hop_limit,
    })
}

struct Upper {
    src_port: u16,
    dst_port: u16,
    tcp_flags: u16,
    length: u16,
}

impl Upper {
    /// `bytes` are those from the upper-layer header on, as far as they are there; `payload` counts those that the IP packet
    /// has by its length: a header that is longer is wrong, or cut.
    #[inline(always)]
    fn read(protocol: u8, bytes: &[u8], payload: u16) -> Option<Self> {
        let header = bytes.first_chunk::<UPPER>()?;
        let [a, b, c, d, ..] = *header;
        let (src_port, dst_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let mut upper = Self { src_port, dst_port, tcp_flags: 0, length: UPPER as u16 };
        if protocol == p::UDP {
            let length = u16::from_be_bytes([header[4], header[5]]);
            return if length < 8 || length > payload { None } else { Some(upper) };
        }
        upper.length = if protocol == p::TCP {
            let header = bytes.first_chunk::<20>()?;
            upper.tcp_flags = u16::from_be_bytes([header[12], header[13]]) & 0x0fff;
            Some(u16::from(header[12] >> 4) << 2).filter(|&length| length >= 20)?
        } else {
            other_length(protocol, header)?
        };
        (upper.length <= payload && usize::from(upper.length) <= bytes.len()).then_some(upper)
    }
}

/// How long the header of one of the rarer protocols is.
#[cold]
fn other_length(protocol: u8, header: &[u8; UPPER]) -> Option<u16> {
    match protocol {
        p::UDPLITE => Some(8),
        p::SCTP => Some(12),
        p::DCCP => Some(u16::from(header[4]) << 2).filter(|&length| length >= 12),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
