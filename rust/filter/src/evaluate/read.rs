//! Reads fields from a packet. A field that is not there, or not in the bytes, is `None`: the match fails whichever way
//! it compares, as in nft(8).

use super::options::option;
use crate::facts::{CtDirection, Facts, Family, FibLookup};
use crate::op::{Fields, Key, NO_PORT};
use crate::sets::Values;
use netfast_nft::field::{ExtensionHeader, FibQuery, FibResult, Field, TupleDirection, TuplePart};

/// Most IPv6 extension headers that are walked through (RFC 8504 section 5.3 lets a node limit them).
pub(crate) const MAX_EXTENSION_HEADERS: usize = 16;

pub(super) const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const IPV6_FIXED: usize = 40;

/// The values of a key. With `plain` the packet is taken for one without options, extension headers and fragmentation.
#[inline]
pub(super) fn values(key: &Key, facts: &Facts<'_>, plain: bool) -> Option<Values> {
    match &key.fields {
        Fields::One { field, mask } => Some(Values::from_slice(&[read(*field, facts, plain)? & mask])),
        Fields::Many(fields) => fields.iter().map(|field| read(*field, facts, plain)).collect(),
    }
}

#[inline]
pub(crate) fn read(field: Field, facts: &Facts<'_>, plain: bool) -> Option<u128> {
    match field {
        Field::IpSource => ipv4(facts, facts.source),
        Field::IpDestination => ipv4(facts, facts.destination),
        Field::Ip6Source => ipv6(facts, facts.source),
        Field::Ip6Destination => ipv6(facts, facts.destination),
        Field::SourcePort(_) => Some(facts.ports?.0.into()),
        Field::DestinationPort(_) => Some(facts.ports?.1.into()),
        Field::L4Proto => Some(facts.protocol.into()),
        Field::NfProto => Some(nf_proto(facts.family)),
        Field::Protocol => Some(if facts.family == Family::Ipv4 { 0x0800 } else { 0x86dd }),
        Field::Iif | Field::IifName => Some(facts.in_port.unwrap_or(NO_PORT).into()),
        Field::Oif | Field::OifName => Some(facts.out_port.unwrap_or(NO_PORT).into()),
        Field::Mark => Some(facts.mark.into()),
        Field::Length => Some(facts.l3_length.into()),
        Field::PacketType => Some(facts.packet_type as u128),
        Field::CtState => Some(facts.ct_state.bit().into()),
        Field::CtDirection => Some(facts.connection?.direction as u128),
        Field::CtStatus => Some(facts.connection?.status.into()),
        Field::CtMark => Some(facts.connection?.mark.into()),
        Field::CtExpiration => Some(facts.connection?.expiration.into()),
        Field::CtTuple(direction, part) => tuple(facts, direction, part),
        Field::Fib(query) => fib(facts, query),
        Field::TcpOption(of) => option(facts, of),
        Field::SocketUser | Field::SocketGroup | Field::ControlGroup => None,
        Field::IifGroup => facts.in_port.map(|_| 0),
        Field::OifGroup => facts.out_port.map(|_| 0),
        _ => in_header(field, facts, plain),
    }
}

fn nf_proto(family: Family) -> u128 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

#[inline]
fn ipv4(facts: &Facts<'_>, address: [u8; 16]) -> Option<u128> {
    (facts.family == Family::Ipv4).then_some(u128::from_be_bytes(address) & 0xffff_ffff)
}

#[inline]
fn ipv6(facts: &Facts<'_>, address: [u8; 16]) -> Option<u128> {
    (facts.family == Family::Ipv6).then_some(u128::from_be_bytes(address))
}

fn tuple(facts: &Facts<'_>, direction: TupleDirection, part: TuplePart) -> Option<u128> {
    let connection = facts.connection?;
    let tuple = connection.tuples.tuple(match direction {
        TupleDirection::Original => CtDirection::Original,
        TupleDirection::Reply => CtDirection::Reply,
    });
    match part {
        TuplePart::L3Proto => Some(nf_proto(facts.family)),
        TuplePart::Protocol => Some(tuple.protocol.into()),
        TuplePart::SourceIp => ipv4(facts, tuple.source),
        TuplePart::DestinationIp => ipv4(facts, tuple.destination),
        TuplePart::SourceIp6 => ipv6(facts, tuple.source),
        TuplePart::DestinationIp6 => ipv6(facts, tuple.destination),
        TuplePart::SourcePort => Some(tuple.source_port.into()),
        TuplePart::DestinationPort => Some(tuple.destination_port.into()),
    }
}

fn fib(facts: &Facts<'_>, query: FibQuery) -> Option<u128> {
    let (address, other) =
        if query.destination { (facts.destination, facts.source) } else { (facts.source, facts.destination) };
    let lookup = FibLookup {
        family: facts.family,
        address,
        other,
        mark: query.mark.then_some(facts.mark),
        in_port: facts.in_port.filter(|_| query.iif),
        out_port: facts.out_port.filter(|_| query.oif),
    };
    Some(match query.result {
        FibResult::Exists => (facts.comes_back || facts.fib.out_port(&lookup).is_some()).into(),
        FibResult::AddressType => facts.fib.address_type(&lookup) as u128,
    })
}

/// What stands in the bytes.
#[inline]
fn in_header(field: Field, facts: &Facts<'_>, plain: bool) -> Option<u128> {
    let ip = |offset, length| (facts.family == Family::Ipv4).then(|| bytes(facts, offset, length)).flatten();
    let ip6 = |offset, length| (facts.family == Family::Ipv6).then(|| bytes(facts, offset, length)).flatten();
    let frag = |offset, length| extension_field(facts, ExtensionHeader::Fragment, offset, length, plain);
    let rt = |offset, length| extension_field(facts, ExtensionHeader::Routing, offset, length, plain);
    match field {
        Field::EtherDestination => ethernet(facts, 0, 6),
        Field::EtherSource => ethernet(facts, 6, 6),
        Field::EtherType => ethernet(facts, 12, 2),
        Field::IpVersion if plain => ipv4(facts, [0; 16]).map(|_| 4),
        Field::IpHeaderLength if plain => ipv4(facts, [0; 16]).map(|_| 5),
        Field::IpVersion => Some(ip(0, 1)? >> 4),
        Field::IpHeaderLength => Some(ip(0, 1)? & 0xf),
        Field::IpDscp => Some(facts.dscp.map_or(ip(1, 1)? >> 2, u128::from)),
        Field::IpEcn => Some(ip(1, 1)? & 3),
        Field::IpLength => ip(2, 2),
        Field::IpId => ip(4, 2),
        Field::IpFragmentOffset => ip(6, 2),
        Field::IpTtl => ipv4(facts, [0; 16]).map(|_| facts.hop_limit_now.into()),
        Field::IpProtocol => ipv4(facts, [0; 16]).map(|_| facts.protocol.into()),
        Field::IpChecksum => ip(10, 2),
        Field::Ip6Version if plain => ipv6(facts, [0; 16]).map(|_| 6),
        Field::Ip6Version => Some(ip6(0, 1)? >> 4),
        Field::Ip6Dscp => Some(facts.dscp.map_or((ip6(0, 2)? >> 6) & 0x3f, u128::from)),
        Field::Ip6Ecn => Some((ip6(1, 1)? >> 4) & 3),
        Field::Ip6FlowLabel => Some(ip6(1, 3)? & 0xf_ffff),
        Field::Ip6Length => ip6(4, 2),
        Field::Ip6NextHeader if plain => ipv6(facts, [0; 16]).map(|_| facts.protocol.into()),
        Field::Ip6NextHeader => ip6(6, 1),
        Field::Ip6HopLimit => ipv6(facts, [0; 16]).map(|_| facts.hop_limit_now.into()),
        Field::ExtensionHeaderExists(kind) => {
            ipv6(facts, [0; 16]).map(|_| (!plain && extension(facts, kind).is_some()).into())
        }
        Field::FragNextHeader => frag(0, 1),
        Field::FragOffset => Some(frag(2, 2)? >> 3),
        Field::FragMoreFragments => Some(frag(2, 2)? & 1),
        Field::FragId => frag(4, 4),
        Field::RtNextHeader => rt(0, 1),
        Field::RtHeaderLength => rt(1, 1),
        Field::RtType => rt(2, 1),
        Field::RtSegmentsLeft => rt(3, 1),
        _ => in_transport(field, facts),
    }
}

/// What stands in the upper-layer header.
#[inline]
fn in_transport(field: Field, facts: &Facts<'_>) -> Option<u128> {
    let at = |offset, length| {
        (!facts.fragment).then(|| bytes(facts, usize::from(facts.l4_offset) + offset, length)).flatten()
    };
    let icmp = |protocol| facts.icmp.filter(|_| facts.protocol == protocol);
    match field {
        Field::TcpSequence => at(4, 4),
        Field::TcpAcknowledgement => at(8, 4),
        Field::TcpDataOffset => Some(at(12, 1)? >> 4),
        Field::TcpFlags => at(13, 1),
        Field::TcpWindow => at(14, 2),
        Field::TcpChecksum => at(16, 2),
        Field::TcpUrgentPointer => at(18, 2),
        Field::UdpLength | Field::UdpLiteCoverage => at(4, 2),
        Field::UdpChecksum | Field::UdpLiteChecksum => at(6, 2),
        Field::SctpVerificationTag => at(4, 4),
        Field::SctpChecksum => at(8, 4),
        Field::DccpType => Some((at(8, 1)? >> 1) & 0xf),
        Field::IcmpType => Some(icmp(ICMP)?.0.into()),
        Field::IcmpCode => Some(icmp(ICMP)?.1.into()),
        Field::Icmpv6Type => Some(icmp(ICMPV6)?.0.into()),
        Field::Icmpv6Code => Some(icmp(ICMPV6)?.1.into()),
        Field::IcmpChecksum | Field::Icmpv6Checksum => at(2, 2),
        Field::IcmpId | Field::Icmpv6Id | Field::Icmpv6MaxDelay => at(4, 2),
        Field::IcmpSequence | Field::IcmpMtu | Field::Icmpv6Sequence => at(6, 2),
        Field::IcmpGateway | Field::Icmpv6Mtu | Field::Icmpv6Pointer => at(4, 4),
        _ => None,
    }
}

#[inline]
pub(super) fn number(bytes: &[u8]) -> u128 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
        _ => bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)),
    }
}

fn ethernet(facts: &Facts<'_>, offset: usize, length: usize) -> Option<u128> {
    Some(number(facts.ethernet?.get(offset..offset + length)?))
}

/// Bytes of the packet; padding behind its end is not.
#[inline]
pub(super) fn bytes(facts: &Facts<'_>, offset: usize, length: usize) -> Option<u128> {
    let end = offset.checked_add(length)?;
    (end <= facts.l3_length as usize).then_some(())?;
    Some(number(facts.l3.get(offset..end)?))
}

fn extension_field(
    facts: &Facts<'_>,
    kind: ExtensionHeader,
    offset: usize,
    length: usize,
    plain: bool,
) -> Option<u128> {
    if plain {
        return None;
    }
    bytes(facts, extension(facts, kind)? + offset, length)
}

/// Where the first extension header of a kind begins.
fn extension(facts: &Facts<'_>, kind: ExtensionHeader) -> Option<usize> {
    const AUTHENTICATION: u128 = 51;
    let wanted = match kind {
        ExtensionHeader::HopByHop => 0,
        ExtensionHeader::Routing => 43,
        ExtensionHeader::Fragment => 44,
        ExtensionHeader::DestinationOptions => 60,
        ExtensionHeader::Mobility => 135,
    };
    (facts.family == Family::Ipv6).then_some(())?;
    let (mut next, mut at) = (bytes(facts, 6, 1)?, IPV6_FIXED);
    for _ in 0..MAX_EXTENSION_HEADERS {
        if next == wanted {
            return bytes(facts, at, 2).map(|_| at);
        }
        let length = match next {
            0 | 43 | 60 => (bytes(facts, at + 1, 1)? + 1) * 8,
            44 if bytes(facts, at + 2, 2)? >> 3 != 0 => return None,
            44 => 8,
            AUTHENTICATION => (bytes(facts, at + 1, 1)? + 2) * 4,
            _ => return None,
        };
        next = bytes(facts, at, 1)?;
        at += length as usize;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::{Connection, CtTuple};
    use netfast_nft::field::Transport;

    const TUPLES: [CtTuple; 2] = [CtTuple {
        source: [0xff; 16],
        destination: [0xff; 16],
        source_port: u16::MAX,
        destination_port: u16::MAX,
        protocol: u8::MAX,
    }; 2];

    fn fields() -> Vec<Field> {
        use Field as F;
        let extensions = [
            ExtensionHeader::HopByHop,
            ExtensionHeader::Routing,
            ExtensionHeader::Fragment,
            ExtensionHeader::DestinationOptions,
            ExtensionHeader::Mobility,
        ];
        let parts = [
            TuplePart::L3Proto,
            TuplePart::Protocol,
            TuplePart::SourceIp,
            TuplePart::DestinationIp,
            TuplePart::SourceIp6,
            TuplePart::DestinationIp6,
            TuplePart::SourcePort,
            TuplePart::DestinationPort,
        ];
        let fib = FibQuery { destination: true, mark: true, iif: true, oif: true, result: FibResult::Exists };
        #[rustfmt::skip]
        let mut fields = vec![
            F::EtherSource, F::EtherDestination, F::EtherType, F::IpVersion, F::IpHeaderLength, F::IpDscp, F::IpEcn,
            F::IpLength, F::IpId, F::IpFragmentOffset, F::IpTtl, F::IpProtocol, F::IpChecksum, F::IpSource,
            F::IpDestination, F::Ip6Version, F::Ip6Dscp, F::Ip6Ecn, F::Ip6FlowLabel, F::Ip6Length, F::Ip6NextHeader,
            F::Ip6HopLimit, F::Ip6Source, F::Ip6Destination, F::FragNextHeader, F::FragOffset,
            F::FragMoreFragments, F::FragId, F::RtNextHeader, F::RtHeaderLength, F::RtType, F::RtSegmentsLeft,
            F::SourcePort(Transport::Any), F::DestinationPort(Transport::Tcp), F::TcpSequence,
            F::TcpAcknowledgement, F::TcpDataOffset, F::TcpFlags, F::TcpWindow, F::TcpChecksum, F::TcpUrgentPointer,
            F::UdpLength, F::UdpChecksum, F::UdpLiteCoverage, F::UdpLiteChecksum, F::SctpVerificationTag,
            F::SctpChecksum, F::DccpType, F::IcmpType, F::IcmpCode, F::IcmpChecksum, F::IcmpId, F::IcmpSequence,
            F::IcmpMtu, F::IcmpGateway, F::Icmpv6Type, F::Icmpv6Code, F::Icmpv6Checksum, F::Icmpv6Id,
            F::Icmpv6Sequence, F::Icmpv6Mtu, F::Icmpv6Pointer, F::Icmpv6MaxDelay, F::L4Proto, F::NfProto,
            F::Protocol, F::Mark, F::Length, F::PacketType, F::CtState, F::CtDirection, F::CtStatus, F::CtMark,
            F::CtExpiration, F::Iif, F::Oif, F::IifName, F::OifName, F::Fib(fib),
            F::Fib(FibQuery { result: FibResult::AddressType, ..fib }),
        ];
        fields.extend(extensions.map(F::ExtensionHeaderExists));
        for direction in [TupleDirection::Original, TupleDirection::Reply] {
            fields.extend(parts.map(|part| F::CtTuple(direction, part)));
        }
        fields
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_the_width_of_the_field(
            mut l3 in prop::collection::vec(any::<u8>(), 0..120),
            next in prop::sample::select(vec![0u8, 6, 43, 44, 51, 60, 135]),
            ipv6 in any::<bool>(),
            fragment in any::<bool>(),
            protocol in prop::sample::select(vec![1u8, 6, 17, 58]),
            (l3_length, l4_offset) in (any::<u32>(), prop_oneof![0u16..140, any::<u16>()]),
            known in any::<bool>(),
        ) {
            if let Some(byte) = l3.get_mut(6) {
                *byte = next;
            }
            let connection = Connection {
                direction: CtDirection::Reply,
                status: u32::MAX,
                mark: u32::MAX,
                expiration: u32::MAX,
                established: true,
                tuples: &TUPLES,
            };
            let facts = Facts {
                family: if ipv6 { Family::Ipv6 } else { Family::Ipv4 },
                source: [0xff; 16],
                destination: [0xff; 16],
                protocol,
                ports: known.then_some((u16::MAX, u16::MAX)),
                icmp: known.then_some((u8::MAX, u8::MAX)),
                fragment,
                connection: known.then_some(connection),
                ethernet: known.then_some(&[0xff; 14]),
                l3: &l3,
                l3_length,
                l4_offset,
                ..Facts::EMPTY
            };
            for field in fields() {
                for plain in [false, true] {
                    if let Some(value) = read(field, &facts, plain) {
                        prop_assert!(value <= field.data_type().max(), "{field:?} is {value:#x}");
                    }
                }
            }
        }
    }
}
