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
    let header = head.first_chunk::<ETHERNET>()?;
    let quick = match u16::from_be_bytes([header[12], header[13]]) {
        et::IPV4 => ipv4(head, ETHERNET, None),
        et::IPV6 => ipv6(head, ETHERNET, None),
        et::VLAN => tagged(head),
        _ => None,
    };
    quick.filter(|quick| u32::from(quick.l3_offset) + quick.ip_len <= length)
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
    let header = packet.first_chunk::<IPV4>()?;
    let [_, _, a, b, _, _, c, d, hop_limit, protocol, ..] = *header;
    let ip_len = usize::from(u16::from_be_bytes([a, b]));
    let fragment = u16::from_be_bytes([c, d]) & FRAGMENT;
    if header[0] != 0x45 || fragment != 0 || sum::fold(sum::sum_words(header)) != 0xffff {
        return None;
    }
    let upper =
        Upper::read(protocol, packet.get(IPV4..ip_len.min(packet.len()))?, ip_len.checked_sub(IPV4)?)?;
    let address = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        [0, MAPPED | u64::from(u32::from_be_bytes(bytes))]
    };
    Some(Quick {
        src: address(12),
        dst: address(16),
        ip_len: ip_len as u32,
        l3_offset: at as u16,
        l4_offset: (at + IPV4) as u16,
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
    let header = packet.first_chunk::<IPV6>()?;
    let [first, _, _, _, a, b, protocol, hop_limit, ..] = *header;
    // A payload length of zero has room for no transport header, so jumbograms end here, too.
    let ip_len = IPV6 + usize::from(u16::from_be_bytes([a, b]));
    if first >> 4 != 6 {
        return None;
    }
    let upper = Upper::read(protocol, packet.get(IPV6..ip_len.min(packet.len()))?, ip_len - IPV6)?;
    let word = |at: usize| {
        let bytes = &header[at..at + 8];
        u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    };
    Some(Quick {
        src: [word(8), word(16)],
        dst: [word(24), word(32)],
        ip_len: ip_len as u32,
        l3_offset: at as u16,
        l4_offset: (at + IPV6) as u16,
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
}

impl Upper {
    /// `packet` is what is there of the payload of the IP packet, which has `whole` bytes: a length in it that says more is
    /// wrong.
    #[inline(always)]
    fn read(protocol: u8, packet: &[u8], whole: usize) -> Option<Self> {
        let header = packet.first_chunk::<8>()?;
        let mut tcp_flags = 0;
        let len = match protocol {
            p::UDP => {
                let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
                (8..=whole).contains(&len).then_some(8)?
            }
            p::TCP => {
                let header = packet.first_chunk::<20>()?;
                tcp_flags = u16::from_be_bytes([header[12], header[13]]) & 0x0fff;
                usize::from(header[12] >> 4).checked_mul(4).filter(|&len| len >= 20)?
            }
            p::UDPLITE => 8,
            p::SCTP => 12,
            p::DCCP => usize::from(header[4]).checked_mul(4).filter(|&len| len >= 12)?,
            _ => return None,
        };
        if len > packet.len() {
            return None;
        }
        let [a, b, c, d, ..] = *header;
        Some(Self { src_port: u16::from_be_bytes([a, b]), dst_port: u16::from_be_bytes([c, d]), tcp_flags })
    }
}

#[cfg(test)]
mod tests;
