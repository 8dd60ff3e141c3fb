//! Lengths, and fields whose presence or place depends on other fields. Every function takes whatever bytes there are;
//! bytes that are missing read as zero.
mod change;

use std::ops::Range;

pub(super) use change::{counter, enable, grow, imply, part, widen};

use crate::HeaderKind;

fn byte(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or(0)
}

fn word(bytes: &[u8], index: usize) -> u16 {
    u16::from_be_bytes([byte(bytes, index), byte(bytes, index + 1)])
}

/// The whole buffer: these headers end where the packet does.
pub(super) fn all(bytes: &[u8]) -> usize {
    bytes.len()
}

// PPP, RFC 1662: address and control may be compressed away, RFC 1661: so may the first byte of the protocol.

pub(super) fn ppp_framed(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 0xff && byte(bytes, 1) == 0x03
}

pub(super) fn ppp_address(bytes: &[u8]) -> Option<Range<usize>> {
    ppp_framed(bytes).then_some(0..1)
}

pub(super) fn ppp_control(bytes: &[u8]) -> Option<Range<usize>> {
    ppp_framed(bytes).then_some(1..2)
}

pub(super) fn ppp_protocol(bytes: &[u8]) -> Option<Range<usize>> {
    let start = if ppp_framed(bytes) { 2 } else { 0 };
    let width = if byte(bytes, start) & 1 == 1 { 1 } else { 2 };
    (bytes.len() >= start + width).then(|| start..start + width)
}

pub(super) fn ppp_len(bytes: &[u8]) -> usize {
    let start = if ppp_framed(bytes) { 2 } else { 0 };
    start + if byte(bytes, start) & 1 == 1 { 1 } else { 2 }
}

// PPPoE: codes other than 0 are discovery, whose tags are part of the header.

pub(super) fn pppoe_len(bytes: &[u8]) -> usize {
    if byte(bytes, 1) == 0 { 6 } else { 6 + usize::from(word(bytes, 4)) }
}

// Radiotap.

pub(super) fn radiotap_len(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([byte(bytes, 2), byte(bytes, 3)]))
}

// IEEE 802.11-2020 section 9.2: which addresses a frame has.

const DOT11_MANAGEMENT: u8 = 0;
const DOT11_CONTROL: u8 = 1;
const DOT11_DATA: u8 = 2;
const TRIGGER: u8 = 2;
const CONTROL_EXTENSION: u8 = 6;
const BLOCK_ACK_REQUEST: u8 = 8;
const BLOCK_ACK: u8 = 9;
const PS_POLL: u8 = 10;
const RTS: u8 = 11;
const CF_END: u8 = 14;
const CF_END_ACK: u8 = 15;

fn dot11_type(bytes: &[u8]) -> u8 {
    byte(bytes, 0) >> 2 & 3
}

fn dot11_subtype(bytes: &[u8]) -> u8 {
    byte(bytes, 0) >> 4
}

fn dot11_addresses(bytes: &[u8]) -> usize {
    match dot11_type(bytes) {
        DOT11_MANAGEMENT => 3,
        DOT11_DATA if byte(bytes, 1) & 3 == 3 => 4,
        DOT11_DATA => 3,
        DOT11_CONTROL => match dot11_subtype(bytes) {
            TRIGGER..=CONTROL_EXTENSION
            | BLOCK_ACK_REQUEST
            | BLOCK_ACK
            | PS_POLL
            | RTS
            | CF_END
            | CF_END_ACK => 2,
            _ => 1,
        },
        _ => 1,
    }
}

fn dot11_sequenced(bytes: &[u8]) -> bool {
    matches!(dot11_type(bytes), DOT11_MANAGEMENT | DOT11_DATA)
}

fn dot11_has_qos(bytes: &[u8]) -> bool {
    dot11_type(bytes) == DOT11_DATA && dot11_subtype(bytes) & 8 != 0
}

fn dot11_has_ht(bytes: &[u8]) -> bool {
    let ordered = byte(bytes, 1) & 0x80 != 0;
    ordered && (dot11_type(bytes) == DOT11_MANAGEMENT || dot11_has_qos(bytes))
}

fn dot11_after_addresses(bytes: &[u8]) -> usize {
    match dot11_addresses(bytes) {
        1 => 10,
        2 => 16,
        3 => 24,
        _ => 30,
    }
}

pub(super) fn dot11_addr2(bytes: &[u8]) -> Option<Range<usize>> {
    (dot11_addresses(bytes) >= 2).then_some(10..16)
}

pub(super) fn dot11_addr3(bytes: &[u8]) -> Option<Range<usize>> {
    (dot11_addresses(bytes) >= 3).then_some(16..22)
}

pub(super) fn dot11_sequence(bytes: &[u8]) -> Option<Range<usize>> {
    dot11_sequenced(bytes).then_some(22..24)
}

pub(super) fn dot11_addr4(bytes: &[u8]) -> Option<Range<usize>> {
    (dot11_addresses(bytes) == 4).then_some(24..30)
}

pub(super) fn dot11_qos(bytes: &[u8]) -> Option<Range<usize>> {
    let start = dot11_after_addresses(bytes);
    dot11_has_qos(bytes).then_some(start..start + 2)
}

pub(super) fn dot11_ht(bytes: &[u8]) -> Option<Range<usize>> {
    let start = dot11_after_addresses(bytes) + if dot11_has_qos(bytes) { 2 } else { 0 };
    dot11_has_ht(bytes).then_some(start..start + 4)
}

/// The header's length, told by its first two bytes.
pub(crate) fn dot11_len(bytes: &[u8]) -> usize {
    dot11_after_addresses(bytes)
        + if dot11_has_qos(bytes) { 2 } else { 0 }
        + if dot11_has_ht(bytes) { 4 } else { 0 }
}

// LLC: unnumbered frames have one control byte, the others two.

pub(super) fn llc_len(bytes: &[u8]) -> usize {
    if byte(bytes, 2) & 3 == 3 { 3 } else { 4 }
}

pub(super) fn llc_control_extended(bytes: &[u8]) -> Option<Range<usize>> {
    (llc_len(bytes) == 4).then_some(3..4)
}

// ARP: address lengths stand in the header.

pub(super) fn arp_len(bytes: &[u8]) -> usize {
    8 + 2 * (usize::from(byte(bytes, 4)) + usize::from(byte(bytes, 5)))
}

pub(super) fn arp_is_ethernet_ipv4(bytes: &[u8]) -> bool {
    byte(bytes, 4) == 6 && byte(bytes, 5) == 4
}

pub(super) fn arp_is_other(bytes: &[u8]) -> bool {
    !arp_is_ethernet_ipv4(bytes)
}

// IPv4, TCP and DCCP count words; shorter than the fixed part is read as the fixed part.

pub(super) fn ipv4_len(bytes: &[u8]) -> usize {
    (usize::from(byte(bytes, 0) & 15) * 4).max(20)
}

pub(super) fn tcp_len(bytes: &[u8]) -> usize {
    (usize::from(byte(bytes, 12) >> 4) * 4).max(20)
}

// IPv6 extension headers.

pub(super) fn extension_len(bytes: &[u8]) -> usize {
    (usize::from(byte(bytes, 1)) + 1) * 8
}

pub(super) fn auth_len(bytes: &[u8]) -> usize {
    (usize::from(byte(bytes, 1)) + 2) * 4
}

const ROUTING_SOURCE: u8 = 0;
const ROUTING_MOBILE: u8 = 2;
const ROUTING_RPL: u8 = 3;
const ROUTING_SEGMENT: u8 = 4;

fn routing_type(bytes: &[u8]) -> u8 {
    byte(bytes, 2)
}

pub(super) fn routing_is_plain(bytes: &[u8]) -> bool {
    matches!(routing_type(bytes), ROUTING_SOURCE | ROUTING_MOBILE)
}

pub(super) fn routing_is_rpl(bytes: &[u8]) -> bool {
    routing_type(bytes) == ROUTING_RPL
}

pub(super) fn routing_is_segment(bytes: &[u8]) -> bool {
    routing_type(bytes) == ROUTING_SEGMENT
}

pub(super) fn routing_is_opaque(bytes: &[u8]) -> bool {
    !routing_is_plain(bytes) && !routing_is_segment(bytes)
}

/// Bytes of addresses: as many whole ones as are there, in a segment routing header as the last entry says.
fn routing_addresses_end(bytes: &[u8]) -> usize {
    let there = bytes.len().saturating_sub(8) / 16;
    let count = if routing_is_segment(bytes) { there.min(usize::from(byte(bytes, 4)) + 1) } else { there };
    8 + count * 16
}

pub(super) fn routing_addresses(bytes: &[u8]) -> Option<Range<usize>> {
    ((routing_is_plain(bytes) || routing_is_segment(bytes)) && bytes.len() >= 8)
        .then(|| 8..routing_addresses_end(bytes))
}

pub(super) fn routing_tail(bytes: &[u8]) -> usize {
    routing_addresses_end(bytes)
}

/// RPL defines the four bytes before its addresses; of an unknown type all is data.
pub(super) fn routing_data(bytes: &[u8]) -> usize {
    if routing_is_rpl(bytes) { 8 } else { 4 }
}

// Mobility header: where the options of each message start, RFC 6275 section 6.1.2 to 6.1.9.

fn mobility_layout(bytes: &[u8]) -> Option<usize> {
    match byte(bytes, 2) {
        0 => Some(8),
        1 | 2 => Some(16),
        3 | 4 | 7 => Some(24),
        5 | 6 => Some(12),
        _ => None,
    }
}

pub(super) fn mobility_fixed(bytes: &[u8]) -> usize {
    mobility_layout(bytes).unwrap_or(8)
}

pub(super) fn mobility_has_options(bytes: &[u8]) -> bool {
    mobility_layout(bytes).is_some()
}

pub(super) fn mobility_options(bytes: &[u8]) -> usize {
    mobility_layout(bytes).unwrap_or(bytes.len()).min(bytes.len())
}

pub(super) fn mobility_data(bytes: &[u8]) -> Option<Range<usize>> {
    (bytes.len() >= 6).then(|| 6..mobility_options(bytes).max(6))
}

// ICMP for IPv4, RFC 792, RFC 950, RFC 1256, RFC 4884, RFC 8335.

pub(super) fn icmp4_is_echo(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), 0 | 8 | 13..=18)
}

pub(super) fn icmp4_has_identifier(bytes: &[u8]) -> bool {
    icmp4_is_echo(bytes) || icmp4_is_extended_echo(bytes)
}

pub(super) fn icmp4_is_too_big(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 3
}

pub(super) fn icmp4_is_redirect(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 5
}

pub(super) fn icmp4_is_parameter(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 12
}

pub(super) fn icmp4_is_timestamp(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), 13 | 14)
}

pub(super) fn icmp4_is_extended_echo(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), 42 | 43)
}

pub(super) fn icmp4_is_other(bytes: &[u8]) -> bool {
    !(icmp4_is_echo(bytes) || matches!(byte(bytes, 0), 3 | 5 | 12 | 42 | 43))
}

pub(super) fn icmp4_len(bytes: &[u8]) -> usize {
    match byte(bytes, 0) {
        13 | 14 => 20,
        17 | 18 => 12,
        _ => 8,
    }
}

pub(super) fn icmp4_is_mask(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), 17 | 18)
}

// ICMP for IPv6.

const TOO_BIG: u8 = 2;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const MLD2_REPORT: u8 = 143;
/// A version 1 query is 24 bytes; longer ones are version 2 (RFC 9777 section 8.1).
const MLD1_LEN: usize = 24;

pub(super) fn icmp6_is_echo(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), ECHO_REQUEST | ECHO_REPLY)
}

pub(super) fn icmp6_is_too_big(bytes: &[u8]) -> bool {
    byte(bytes, 0) == TOO_BIG
}

pub(super) fn icmp6_is_parameter(bytes: &[u8]) -> bool {
    byte(bytes, 0) == PARAMETER_PROBLEM
}

pub(super) fn icmp6_is_router_advertisement(bytes: &[u8]) -> bool {
    byte(bytes, 0) == ROUTER_ADVERTISEMENT
}

pub(super) fn icmp6_is_neighbor_advertisement(bytes: &[u8]) -> bool {
    byte(bytes, 0) == NEIGHBOR_ADVERTISEMENT
}

pub(super) fn icmp6_is_mld(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), MLD_QUERY | MLD_REPORT | MLD_DONE)
}

pub(super) fn icmp6_is_mld2_query(bytes: &[u8]) -> bool {
    byte(bytes, 0) == MLD_QUERY && bytes.len() >= MLD1_LEN + 4
}

pub(super) fn icmp6_is_mld2_report(bytes: &[u8]) -> bool {
    byte(bytes, 0) == MLD2_REPORT
}

pub(super) fn icmp6_has_target(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT | REDIRECT)
}

pub(super) fn icmp6_is_redirect(bytes: &[u8]) -> bool {
    byte(bytes, 0) == REDIRECT
}

pub(super) fn icmp6_has_options(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), ROUTER_SOLICITATION..=REDIRECT)
}

pub(super) fn icmp6_is_other(bytes: &[u8]) -> bool {
    let typed = icmp6_is_echo(bytes)
        || icmp6_is_mld(bytes)
        || matches!(
            byte(bytes, 0),
            TOO_BIG | PARAMETER_PROBLEM | ROUTER_ADVERTISEMENT | NEIGHBOR_ADVERTISEMENT | MLD2_REPORT
        );
    !typed
}

pub(super) fn icmp6_fixed(bytes: &[u8]) -> usize {
    match byte(bytes, 0) {
        MLD_QUERY | MLD_REPORT | MLD_DONE => MLD1_LEN,
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ => 8,
    }
}

/// Discovery and listener messages are all header; what errors quote and echoes carry is payload.
pub(super) fn icmp6_len(bytes: &[u8]) -> usize {
    match byte(bytes, 0) {
        MLD_QUERY | ROUTER_SOLICITATION..=REDIRECT | MLD2_REPORT => bytes.len().max(icmp6_fixed(bytes)),
        _ => icmp6_fixed(bytes),
    }
}

// IGMP: version 3 queries are longer than 8 bytes, version 3 reports have type 0x22.

pub(super) fn igmp_is_query3(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 0x11 && bytes.len() >= 12
}

pub(super) fn igmp_is_report3(bytes: &[u8]) -> bool {
    byte(bytes, 0) == 0x22
}

pub(super) fn igmp_has_group(bytes: &[u8]) -> bool {
    byte(bytes, 0) != 0x22
}

pub(super) fn igmp_len(bytes: &[u8]) -> usize {
    if matches!(byte(bytes, 0), 0x11 | 0x22) { bytes.len().max(8) } else { 8 }
}

// GRE: RFC 2784 and RFC 2890. A routing bit (RFC 1701) adds checksum and offset, too. Version 1 (RFC 2637) has no
// checksum and always a key.

pub(super) fn gre_version(bytes: &[u8]) -> u8 {
    byte(bytes, 1) & 7
}

fn gre_offsets(bytes: &[u8]) -> [Option<usize>; 5] {
    let flags = byte(bytes, 0);
    let mut offset = 4;
    let mut next = |present: bool| {
        let start = offset;
        offset += if present { 4 } else { 0 };
        present.then_some(start)
    };
    let pptp = gre_version(bytes) == 1;
    let checksum = next(flags & 0xc0 != 0 && !pptp);
    let key = next(flags & 0x20 != 0 || pptp);
    let sequence = next(flags & 0x10 != 0);
    let acknowledgment = next(pptp && byte(bytes, 1) & 0x80 != 0);
    [checksum, key, sequence, acknowledgment, Some(offset)]
}

pub(super) fn gre_checksum(bytes: &[u8]) -> Option<Range<usize>> {
    gre_offsets(bytes)[0].map(|start| start..start + 2)
}

pub(super) fn gre_reserved1(bytes: &[u8]) -> Option<Range<usize>> {
    gre_offsets(bytes)[0].map(|start| start + 2..start + 4)
}

pub(super) fn gre_key(bytes: &[u8]) -> Option<Range<usize>> {
    gre_offsets(bytes)[1].map(|start| start..start + 4)
}

/// Version 1, RFC 2637 section 4.1: the key is the payload's length and the call's identifier.
pub(super) fn gre_payload_length(bytes: &[u8]) -> Option<Range<usize>> {
    gre_key(bytes).filter(|_| gre_is_pptp(bytes)).map(|key| key.start..key.start + 2)
}

pub(super) fn gre_call_id(bytes: &[u8]) -> Option<Range<usize>> {
    gre_key(bytes).filter(|_| gre_is_pptp(bytes)).map(|key| key.start + 2..key.end)
}

pub(super) fn gre_sequence(bytes: &[u8]) -> Option<Range<usize>> {
    gre_offsets(bytes)[2].map(|start| start..start + 4)
}

pub(super) fn gre_acknowledgment(bytes: &[u8]) -> Option<Range<usize>> {
    gre_offsets(bytes)[3].map(|start| start..start + 4)
}

pub(super) fn gre_len(bytes: &[u8]) -> usize {
    gre_offsets(bytes)[4].unwrap_or(4)
}

pub(super) fn gre_is_pptp(bytes: &[u8]) -> bool {
    gre_version(bytes) == 1
}

pub(super) fn geneve_len(bytes: &[u8]) -> usize {
    8 + usize::from(byte(bytes, 0) & 0x3f) * 4
}

// DCCP, RFC 4340 section 5.1: sequence numbers of 48 bits (X = 1) or 24 bits.

pub(super) fn dccp_is_long(bytes: &[u8]) -> bool {
    byte(bytes, 8) & 1 == 1
}

pub(super) fn dccp_sequence(bytes: &[u8]) -> Option<Range<usize>> {
    Some(if dccp_is_long(bytes) { 10..16 } else { 9..12 })
}

pub(super) fn dccp_acknowledgment(bytes: &[u8]) -> Option<Range<usize>> {
    // Request (0) and data (2) carry no acknowledgment number.
    if matches!(byte(bytes, 8) >> 1 & 15, 0 | 2) {
        return None;
    }
    Some(if dccp_is_long(bytes) { 18..24 } else { 13..16 })
}

/// Before a long acknowledgment number stand 16 reserved bits, before a short one 8.
pub(super) fn dccp_reserved3(bytes: &[u8]) -> Option<Range<usize>> {
    dccp_acknowledgment(bytes).map(|number| if dccp_is_long(bytes) { 16..18 } else { 12..number.start })
}

pub(super) fn dccp_code(bytes: &[u8]) -> Option<Range<usize>> {
    let start = dccp_fixed(bytes);
    // Request and response: service code; reset: reset code and data.
    matches!(byte(bytes, 8) >> 1 & 15, 0 | 1 | 7).then(|| start - 4..start)
}

pub(super) fn dccp_fixed(bytes: &[u8]) -> usize {
    let generic = if dccp_is_long(bytes) { 16 } else { 12 };
    let acknowledgment = match (byte(bytes, 8) >> 1 & 15, dccp_is_long(bytes)) {
        (0 | 2, _) => 0,
        (_, true) => 8,
        (_, false) => 4,
    };
    let code = if matches!(byte(bytes, 8) >> 1 & 15, 0 | 1 | 7) { 4 } else { 0 };
    generic + acknowledgment + code
}

pub(super) fn dccp_len(bytes: &[u8]) -> usize {
    (usize::from(byte(bytes, 4)) * 4).max(dccp_fixed(bytes))
}
