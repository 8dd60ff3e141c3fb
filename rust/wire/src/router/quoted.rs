//! The packet that an ICMP error quotes, as connection tracking and translation need it: RFC 792, RFC 4443 3,
//! RFC 4884.
use super::ip::Ip;
use super::is_error;
use crate::dissect::protocol as p;

/// A quoted packet. Offsets count from the IP header of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The quoted IP header.
    pub offset: usize,
    /// The quoted upper-layer header; may be at or beyond `end`.
    pub l4_offset: usize,
    /// The byte after what is there of the quoted packet.
    pub end: usize,
    /// 4 or 6; that of the error.
    pub ip_version: u8,
    /// Source address as two big-endian words; IPv4 mapped into IPv6.
    pub src: [u64; 2],
    /// Destination address, likewise.
    pub dst: [u64; 2],
    /// Upper-layer protocol; `None` when the quoted extension headers are cut before it or too many.
    pub protocol: Option<u8>,
    /// Source and destination port of TCP, UDP, UDP-Lite, SCTP and DCCP, when they are there.
    pub ports: Option<(u16, u16)>,
    /// Type, code and identifier of a quoted ICMP message, when they are there.
    pub icmp: Option<(u8, u8, u16)>,
    /// All of the quoted packet is there, by its own length.
    pub complete: bool,
}

/// What an ICMP error quotes; `error` begins with its IP header. `None` for other packets, fragments, and when not
/// even the fixed IP header of the quoted packet is there. Checksums are not looked at.
pub fn quoted(error: &[u8]) -> Option<Quoted> {
    let outer = Ip::read(error)?;
    let icmp = if outer.version == 4 { p::ICMPV4 } else { p::ICMPV6 };
    if outer.fragment || outer.protocol != Some(icmp) {
        return None;
    }
    let message = outer.payload(error);
    let header = message.first_chunk::<8>()?;
    if !is_error(outer.version, header[0]) {
        return None;
    }
    // RFC 4884 3: words of four or eight bytes, when extensions follow. A length that cannot be is none, because
    // implementations older than that wrote what they liked there.
    let said = match (outer.version, header[0]) {
        (4, 3 | 11 | 12) => usize::from(header[5]) * 4,
        (6, 1 | 3) => usize::from(header[4]) * 8,
        _ => 0,
    };
    let rest = &message[8..];
    let quote = rest.get(..said).filter(|_| said != 0).unwrap_or(rest);
    let inner = Ip::read(quote).filter(|inner| inner.version == outer.version)?;
    let offset = outer.upper + 8;
    let upper = if inner.later_fragment { &[] } else { inner.payload(quote) };
    let ports = match (inner.protocol, upper.first_chunk::<4>()) {
        (Some(p::TCP | p::UDP | p::UDPLITE | p::SCTP | p::DCCP), Some([a, b, c, d])) => {
            Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
        }
        _ => None,
    };
    let icmp = match (inner.protocol == Some(icmp), upper.first_chunk::<8>()) {
        (true, Some(header)) => Some((header[0], header[1], u16::from_be_bytes([header[4], header[5]]))),
        _ => None,
    };
    Some(Quoted {
        offset,
        l4_offset: offset + inner.upper,
        end: offset + quote.len().min(inner.len),
        ip_version: inner.version,
        src: words(inner.src),
        dst: words(inner.dst),
        protocol: inner.protocol,
        ports,
        icmp,
        complete: inner.len <= quote.len(),
    })
}

fn words(address: [u8; 16]) -> [u64; 2] {
    let wide = u128::from_be_bytes(address);
    [(wide >> 64) as u64, wide as u64]
}
