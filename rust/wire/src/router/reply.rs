//! Answers that take the place of a host's: the reset that refuses a TCP segment, and the reply to an echo request.
use super::NoAnswer;
use super::error::v4;
use super::ip::{Ip, Ipv4Header, write_ipv6};
use crate::checksum::{checksum, pseudo_checksum};
use crate::dissect::protocol as p;

/// Bytes of the longest reset: IPv6 and TCP without options.
pub const RESET_MAX: usize = 60;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Writes the reset that refuses a TCP segment, in the name of its destination, and gives the IP packet that was
/// written: RFC 9293 3.10.7.1. `packet` is the whole IP packet; `verifies` says whether its checksum is looked at, which a
/// packet that never was on a wire need not have.
///
/// # Errors
/// [`NoAnswer`]: a reset, a fragment, a wrong checksum, an address that is not unicast, and what is no segment.
pub fn write_reset<'a>(
    packet: &[u8],
    verifies: bool,
    hop_limit: u8,
    into: &'a mut [u8; RESET_MAX],
) -> Result<&'a [u8], NoAnswer> {
    let (ip, segment) = whole(packet, p::TCP)?;
    let header = segment.first_chunk::<20>().ok_or(NoAnswer::Incomplete)?;
    let offset = usize::from(header[12] >> 4) * 4;
    let data = segment.len().checked_sub(offset).filter(|_| offset >= 20).ok_or(NoAnswer::Incomplete)?;
    if header[13] & RST != 0 {
        return Err(NoAnswer::IsReset);
    }
    if verifies && pseudo_checksum(ip.src, ip.dst, p::TCP, segment) != 0 {
        return Err(NoAnswer::BadChecksum);
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (sequence, acknowledged, flags) = if header[13] & ACK != 0 {
        (number(8), 0, RST)
    } else {
        let counted = u32::from(header[13] & SYN != 0) + u32::from(header[13] & FIN != 0);
        (0, number(4).wrapping_add(data as u32).wrapping_add(counted), RST | ACK)
    };
    let at = if ip.version == 4 { 20 } else { 40 };
    let reset = &mut into[at..at + 20];
    reset[..2].copy_from_slice(&header[2..4]);
    reset[2..4].copy_from_slice(&header[..2]);
    reset[4..8].copy_from_slice(&sequence.to_be_bytes());
    reset[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    reset[12..].copy_from_slice(&[0x50, flags, 0, 0, 0, 0, 0, 0]);
    let sum = pseudo_checksum(ip.dst, ip.src, p::TCP, reset);
    reset[16..18].copy_from_slice(&sum.to_be_bytes());
    let written = &mut into[..at + 20];
    // It cannot be fragmented, so it needs no identification (RFC 6864 4.1).
    back(
        &ip,
        written,
        Back { class: 0, identification: 0, dont_fragment: true, hop_limit, protocol: p::TCP },
    );
    Ok(written)
}

/// The reply to an echo request (RFC 792, RFC 4443 4.2), in the name of its destination; `packet` is the whole IP
/// packet. It has the request's traffic class (RFC 1812 4.3.2.5) and none of its options or extension headers.
///
/// # Errors
/// [`NoAnswer`]: another type, a fragment, a wrong checksum, an address that is not unicast.
pub fn echo_reply(packet: &[u8], hop_limit: u8, identification: u16) -> Result<Vec<u8>, NoAnswer> {
    let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let (protocol, request, reply, at) = if v6 { (p::ICMPV6, 128, 129, 40) } else { (p::ICMPV4, 8, 0, 20) };
    let (ip, message) = whole(packet, protocol)?;
    let sum = |src, dst, bytes: &[u8]| {
        if v6 { pseudo_checksum(src, dst, protocol, bytes) } else { checksum(bytes) }
    };
    let header = message.first_chunk::<8>().ok_or(NoAnswer::Incomplete)?;
    if header[..2] != [request, 0] {
        return Err(NoAnswer::OtherProtocol);
    }
    if sum(ip.src, ip.dst, message) != 0 {
        return Err(NoAnswer::BadChecksum);
    }
    let mut written = vec![0; at + message.len()];
    let answer = &mut written[at..];
    answer.copy_from_slice(message);
    answer[..4].copy_from_slice(&[reply, 0, 0, 0]);
    let sum = sum(ip.dst, ip.src, answer);
    answer[2..4].copy_from_slice(&sum.to_be_bytes());
    let class = ip.traffic_class;
    back(&ip, &mut written, Back { class, identification, dont_fragment: false, hop_limit, protocol });
    Ok(written)
}

/// The upper layer of a packet that is all there and was sent by one node to another.
fn whole(packet: &[u8], protocol: u8) -> Result<(Ip, &[u8]), NoAnswer> {
    let ip = Ip::read(packet).ok_or(NoAnswer::NotIp)?;
    if ip.fragment {
        return Err(NoAnswer::Fragment);
    }
    if !ip.source_is_unicast() {
        return Err(NoAnswer::SourceNotUnicast);
    }
    if !ip.destination_is_unicast() {
        return Err(NoAnswer::DestinationNotUnicast);
    }
    if ip.protocol.ok_or(NoAnswer::Incomplete)? != protocol {
        return Err(NoAnswer::OtherProtocol);
    }
    match packet.get(ip.upper..ip.len) {
        Some(upper) => Ok((ip, upper)),
        None => Err(NoAnswer::Incomplete),
    }
}

/// What the answer's IP header does not take from the packet's addresses.
struct Back {
    class: u8,
    identification: u16,
    dont_fragment: bool,
    hop_limit: u8,
    protocol: u8,
}

fn back(ip: &Ip, written: &mut [u8], back: Back) {
    let Back { class, identification, dont_fragment, hop_limit, protocol } = back;
    if ip.version == 4 {
        let (src, dst) = (v4(ip.dst), v4(ip.src));
        let header =
            Ipv4Header { traffic_class: class, identification, dont_fragment, hop_limit, protocol, src, dst };
        header.write(written);
    } else {
        write_ipv6(written, class, protocol, hop_limit, ip.dst.into(), ip.src.into());
    }
}
