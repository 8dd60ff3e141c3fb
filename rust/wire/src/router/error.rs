//! ICMP and ICMPv6 errors: which packets they may answer, and how they are written.
use super::NoAnswer;
use super::ip::{Ip, Ipv4Header, write_ipv6};
use crate::checksum::{checksum, pseudo_checksum};
use crate::dissect::protocol as p;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of the longest ICMPv4 error (RFC 1812 4.3.2.3).
pub const IPV4_ERROR_MAX: usize = 576;
/// Bytes of the longest ICMPv6 error: the minimum MTU (RFC 4443 2.4 c).
pub const IPV6_ERROR_MAX: usize = 1_280;

/// Codes of ICMPv4 destination unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1). Code 4 is
/// [`IcmpError::TooBig`].
pub mod unreachable4 {
    #![allow(missing_docs)]
    pub const NETWORK: u8 = 0;
    pub const HOST: u8 = 1;
    pub const PROTOCOL: u8 = 2;
    pub const PORT: u8 = 3;
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    pub const NETWORK_UNKNOWN: u8 = 6;
    pub const HOST_UNKNOWN: u8 = 7;
    pub const HOST_ISOLATED: u8 = 8;
    pub const NETWORK_PROHIBITED: u8 = 9;
    pub const HOST_PROHIBITED: u8 = 10;
    pub const NETWORK_FOR_TOS: u8 = 11;
    pub const HOST_FOR_TOS: u8 = 12;
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
    pub const PRECEDENCE_VIOLATION: u8 = 14;
    pub const PRECEDENCE_CUTOFF: u8 = 15;
}

/// Codes of ICMPv6 destination unreachable (RFC 4443 3.1, RFC 6550, RFC 8883).
pub mod unreachable6 {
    #![allow(missing_docs)]
    pub const NO_ROUTE: u8 = 0;
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
    pub const BEYOND_SCOPE: u8 = 2;
    pub const ADDRESS: u8 = 3;
    pub const PORT: u8 = 4;
    pub const POLICY: u8 = 5;
    pub const REJECT_ROUTE: u8 = 6;
    pub const SOURCE_ROUTING_HEADER: u8 = 7;
    pub const HEADERS_TOO_LONG: u8 = 8;
}

/// Codes of ICMPv4 parameter problem (RFC 792, RFC 1122 3.2.2.5).
pub mod parameter4 {
    #![allow(missing_docs)]
    pub const POINTER: u8 = 0;
    pub const MISSING_OPTION: u8 = 1;
    pub const BAD_LENGTH: u8 = 2;
}

/// Codes of ICMPv6 parameter problem (RFC 4443 3.4, RFC 7112 5).
pub mod parameter6 {
    #![allow(missing_docs)]
    pub const ERRONEOUS_FIELD: u8 = 0;
    pub const UNKNOWN_NEXT_HEADER: u8 = 1;
    pub const UNKNOWN_OPTION: u8 = 2;
    pub const INCOMPLETE_CHAIN: u8 = 3;
}

/// What the sender of a packet is told. Codes are those of the packet's IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IcmpError {
    /// The hop limit was used up in transit.
    TimeExceeded,
    /// The other fragments did not come in time.
    ReassemblyTimeExceeded,
    /// It cannot be delivered.
    Unreachable {
        /// [`unreachable4`] or [`unreachable6`].
        code: u8,
    },
    /// It does not fit the next link: fragmentation needed, packet too big.
    TooBig {
        /// Bytes of the longest IP packet that fits; IPv4 tells at most 65,535 (RFC 1191 4).
        mtu: u32,
    },
    /// A field cannot be used.
    ParameterProblem {
        /// [`parameter4`] or [`parameter6`].
        code: u8,
        /// The octet of the packet where the problem is; IPv4 tells at most 255.
        pointer: u32,
    },
}

impl IcmpError {
    /// Type, code and the four bytes behind the checksum.
    fn fields(self, version: u8) -> (u8, u8, u32) {
        match (self, version) {
            (Self::TimeExceeded, 4) => (11, 0, 0),
            (Self::TimeExceeded, _) => (3, 0, 0),
            (Self::ReassemblyTimeExceeded, 4) => (11, 1, 0),
            (Self::ReassemblyTimeExceeded, _) => (3, 1, 0),
            (Self::Unreachable { code }, 4) => (3, code, 0),
            (Self::Unreachable { code }, _) => (1, code, 0),
            (Self::TooBig { mtu }, 4) => (3, 4, mtu.min(0xffff)),
            (Self::TooBig { mtu }, _) => (2, 0, mtu),
            (Self::ParameterProblem { code, pointer }, 4) => (12, code, pointer.min(0xff) << 24),
            (Self::ParameterProblem { code, pointer }, _) => (4, code, pointer),
        }
    }

    /// RFC 4443 2.4 e.3: path MTU discovery works for multicast, and so do options that ask for an answer.
    fn answers_groups(self, version: u8) -> bool {
        version == 6
            && match self {
                Self::TooBig { .. } => true,
                Self::ParameterProblem { code, .. } => code == parameter6::UNKNOWN_OPTION,
                _ => false,
            }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The router's address, of the packet's IP version.
    pub source: IpAddr,
    /// Hop limit of the answer.
    pub hop_limit: u8,
    /// Identification of the answer when it is IPv4.
    pub identification: u16,
}

/// True for the types of ICMP errors, by IP version: RFC 792, RFC 1122 3.2.2; RFC 4443 2.1, where all types below 128
/// are errors.
pub fn is_error(ip_version: u8, icmp_type: u8) -> bool {
    match ip_version {
        4 => matches!(icmp_type, 3 | 4 | 5 | 11 | 12),
        _ => icmp_type < 128,
    }
}

/// Whether a packet, which begins with its IP header, may be answered by an error. `link_unicast` is false for a frame
/// that came as a link-layer multicast or broadcast; directed broadcasts are the caller's to know.
///
/// # Errors
/// Why it must not: RFC 1812 4.3.2.7, RFC 4443 2.4 e.
pub fn may_answer(error: IcmpError, packet: &[u8], link_unicast: bool) -> Result<(), NoAnswer> {
    let ip = Ip::read(packet).ok_or(NoAnswer::NotIp)?;
    // RFC 8200 4.5 asks for parameter problems about the fragment that has one, whichever it is.
    let own_problem = ip.version == 6 && matches!(error, IcmpError::ParameterProblem { .. });
    if ip.later_fragment && !own_problem {
        return Err(NoAnswer::Fragment);
    }
    if !ip.source_is_unicast() {
        return Err(NoAnswer::SourceNotUnicast);
    }
    let groups = error.answers_groups(ip.version);
    if !groups && !ip.destination_is_unicast() {
        return Err(NoAnswer::DestinationNotUnicast);
    }
    if !groups && !link_unicast {
        return Err(NoAnswer::LinkNotUnicast);
    }
    let icmp = if ip.version == 4 { p::ICMPV4 } else { p::ICMPV6 };
    if ip.later_fragment || ip.protocol.ok_or(NoAnswer::Incomplete)? != icmp {
        return Ok(());
    }
    match (ip.version, *ip.payload(packet).first().ok_or(NoAnswer::Incomplete)?) {
        (6, 137) => Err(NoAnswer::IsRedirect),
        // As Linux has it: of other types nobody says that they are none.
        (4, kind) if !matches!(kind, 0 | 8 | 13..=18) => Err(NoAnswer::IsError),
        (version, kind) if is_error(version, kind) => Err(NoAnswer::IsError),
        _ => Ok(()),
    }
}

/// True when the checksum of TCP, UDP, ICMP or ICMPv6 in a packet, which begins with its IP header and is whole, is wrong for
/// all that follows the IP headers, whatever a length field of UDP says. False for fragments and other protocols, and for
/// UDP without a checksum. True, too, for an IPv6 packet of which nothing follows the headers, as Linux has it.
pub fn is_damaged(packet: &[u8]) -> bool {
    const UDP_CHECKSUM: usize = 6;
    let Some(ip) = Ip::read(packet).filter(|ip| !ip.fragment) else { return false };
    let upper = ip.payload(packet);
    if ip.version == 6 && upper.is_empty() {
        return true;
    }
    match ip.protocol {
        Some(p::ICMPV4) if ip.version == 4 => checksum(upper) != 0,
        Some(p::UDP) if upper.get(UDP_CHECKSUM..UDP_CHECKSUM + 2) == Some(&[0, 0]) => false,
        Some(protocol @ (p::TCP | p::UDP | p::ICMPV6)) => {
            pseudo_checksum(ip.src, ip.dst, protocol, upper) != 0
        }
        _ => false,
    }
}

/// Writes the error about `packet`, which begins with its IP header, and gives the IP packet that was written. As much
/// is quoted as there is and fits ([`IPV4_ERROR_MAX`], [`IPV6_ERROR_MAX`]); what follows the packet's own length is
/// padding and is not.
///
/// IPv4: precedence "internetwork control" and the packet's TOS bits (RFC 1812 4.3.2.5), as Linux has it; no options. IPv6:
/// traffic class and flow label 0.
///
/// # Errors
/// [`NoAnswer::NotIp`], [`NoAnswer::OtherFamily`]. Whether it may be sent says [`may_answer`].
pub fn write_error<'a>(
    error: IcmpError,
    packet: &[u8],
    sender: &Sender,
    into: &'a mut [u8; IPV6_ERROR_MAX],
) -> Result<&'a [u8], NoAnswer> {
    const INTERNETWORK_CONTROL: u8 = 0xc0;
    const TOS: u8 = 0x1e;
    let ip = Ip::read(packet).ok_or(NoAnswer::NotIp)?;
    let (header, most) = if ip.version == 4 { (20, IPV4_ERROR_MAX) } else { (40, IPV6_ERROR_MAX) };
    let quoted = packet.len().min(ip.len).min(most - header - 8);
    let len = header + 8 + quoted;
    let (kind, code, rest) = error.fields(ip.version);
    let icmp = &mut into[header..len];
    icmp[..4].copy_from_slice(&[kind, code, 0, 0]);
    icmp[4..8].copy_from_slice(&rest.to_be_bytes());
    icmp[8..].copy_from_slice(&packet[..quoted]);
    match (sender.source, ip.version) {
        (IpAddr::V4(src), 4) => {
            let sum = checksum(icmp);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            let header = Ipv4Header {
                traffic_class: ip.traffic_class & TOS | INTERNETWORK_CONTROL,
                identification: sender.identification,
                dont_fragment: false,
                hop_limit: sender.hop_limit,
                protocol: p::ICMPV4,
                src,
                dst: v4(ip.src),
            };
            header.write(&mut into[..len]);
        }
        (IpAddr::V6(src), 6) => {
            let sum = pseudo_checksum(src.octets(), ip.src, p::ICMPV6, icmp);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            write_ipv6(&mut into[..len], 0, p::ICMPV6, sender.hop_limit, src, ip.src.into());
        }
        _ => return Err(NoAnswer::OtherFamily),
    }
    Ok(&into[..len])
}

/// The last four bytes of a mapped address.
pub(super) fn v4(mapped: [u8; 16]) -> Ipv4Addr {
    Ipv4Addr::new(mapped[12], mapped[13], mapped[14], mapped[15])
}
