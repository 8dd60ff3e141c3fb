//! IPv4 with options, IPv6 with its whole extension chain, AH in both.
use super::{Cursor, Step, Verdict, Visit, be16};
use crate::kind::HeaderKind;
use crate::layers::{Layers, Present};

/// IP protocol numbers that dissection follows (IANA protocol-numbers).
pub mod protocol {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMPV4: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const ETHERIP: u8 = 97;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const UDPLITE: u8 = 136;
    pub const MPLS: u8 = 137;
    pub const ETHERNET: u8 = 143;
}
use protocol as p;

/// IPv4 option types (RFC 791 3.1) that change how a packet is read.
const OPTION_END: u8 = 0;
const OPTION_NO_OPERATION: u8 = 1;
const OPTION_LOOSE_ROUTE: u8 = 131;
const OPTION_STRICT_ROUTE: u8 = 137;
/// IPv6 option types that change how a packet is read.
const OPTION_JUMBO: u8 = 0xc2;
const OPTION_HOME_ADDRESS: u8 = 0xc9;
/// The mapped prefix of RFC 4291 2.5.5.2.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

#[inline(always)]
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..12].copy_from_slice(&MAPPED);
    bytes[12..].copy_from_slice(&address);
    bytes
}

impl<V: Visit> Cursor<'_, V> {
    /// IP of the version that its first nibble says.
    pub(super) fn ip(&mut self, at: usize, out: &mut Layers) -> Step {
        match self.take::<1>(at)?[0] >> 4 {
            4 => self.ipv4(at, out),
            6 => self.ipv6(at, out),
            _ => Err(self.malformed(at, 1)),
        }
    }

    /// RFC 791 3.1.
    #[inline(always)]
    pub(super) fn ipv4(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<20>(at)?;
        let header_len = usize::from(header[0] & 15) * 4;
        let total = usize::from(be16(header[2], header[3]));
        // A total length of zero is what a host's capture shows of a segment larger than 65,535 bytes.
        let end = if total == 0 { self.end } else { at + total };
        if header[0] >> 4 != 4 || header_len < 20 || end < at + header_len {
            return Err(self.malformed(at, 20.max(header_len)));
        }
        let fragment = be16(header[6], header[7]);
        out.ip_version = 4;
        out.src = mapped([header[12], header[13], header[14], header[15]]);
        out.dst = mapped([header[16], header[17], header[18], header[19]]);
        out.hop_limit = header[8];
        out.traffic_class = header[1];
        out.l3_offset = at as u32;
        out.end = end as u32;
        out.fragment_id = u32::from(be16(header[4], header[5]));
        out.fragment_offset = (fragment & 0x1fff) << 3;
        // Bit 13 of the field is bit 8 of the set: more fragments.
        out.present.0 |= Present::IP | Present::FRAGMENT | (fragment & 0x2000) >> 5;
        self.end = self.end.min(end);
        let mut protocol = header[9];
        out.ip_protocol = protocol;
        let mut next = at + header_len;
        if protocol != p::AH {
            out.protocol = protocol;
            out.present.0 |= Present::PROTOCOL;
        }
        if header_len > 20 {
            let options = &self.slice(at, header_len)?[20..];
            out.present.0 |= if source_route(options).is_some() { Present::REROUTED } else { 0 };
        }
        self.visit.header(HeaderKind::Ipv4, at, header_len);
        if out.fragment_offset != 0 {
            out.protocol = protocol;
            out.present.0 |= Present::PROTOCOL;
            return self.non_first_fragment(next, out);
        }
        if protocol == p::AH {
            (protocol, next) = self.authentication_headers(next)?;
            out.protocol = protocol;
            out.present.0 |= Present::PROTOCOL;
        }
        self.transport(protocol, next, out)
    }

    /// AH after IPv4 (RFC 4302 2); one may stand behind the other, in bounds.
    fn authentication_headers(&mut self, mut at: usize) -> Result<(u8, usize), super::Stop> {
        for _ in 0..self.limits.extension_headers {
            let (next, len) = self.authentication(at)?;
            at += len;
            if next != p::AH {
                return Ok((next, at));
            }
        }
        Err(self.stop(Verdict::TooManyHeaders, at))
    }

    fn authentication(&mut self, at: usize) -> Result<(u8, usize), super::Stop> {
        let header = self.take::<2>(at)?;
        let len = (usize::from(header[1]) + 2) * 4;
        if len < 12 {
            return Err(self.malformed(at, 12));
        }
        self.slice(at, len)?;
        self.visit.header(HeaderKind::Auth, at, len);
        Ok((header[0], len))
    }

    /// RFC 8200 3.
    #[inline(always)]
    pub(super) fn ipv6(&mut self, at: usize, out: &mut Layers) -> Step {
        let header = self.take::<40>(at)?;
        let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        if first >> 28 != 6 {
            return Err(self.malformed(at, 40));
        }
        let payload = usize::from(be16(header[4], header[5]));
        let next = header[6];
        out.ip_version = 6;
        out.src.copy_from_slice(&header[8..24]);
        out.dst.copy_from_slice(&header[24..40]);
        out.hop_limit = header[7];
        out.traffic_class = (first >> 20) as u8;
        out.flow_label = first & 0x000f_ffff;
        out.l3_offset = at as u32;
        // Without a length (a host's capture of a segment larger than 65,535 bytes) the frame's counts.
        let end = if payload == 0 && next == p::TCP { self.end } else { at + 40 + payload };
        out.end = end as u32;
        out.present.0 |= Present::IP | Present::FLOW_LABEL;
        self.visit.header(HeaderKind::Ipv6, at, 40);
        if payload == 0 && next == p::HOP_BY_HOP {
            self.jumbo(at, out)?;
        } else {
            self.end = self.end.min(end);
        }
        match next {
            p::TCP | p::UDP | p::ICMPV6 => {
                out.protocol = next;
                out.present.0 |= Present::PROTOCOL;
                self.transport(next, at + 40, out)
            }
            _ => self.extensions(next, at + 40, out),
        }
    }

    /// The length of a jumbogram (RFC 2675 2) stands in its hop-by-hop options.
    #[cold]
    fn jumbo(&mut self, at: usize, out: &mut Layers) -> Step {
        let fixed = self.take::<2>(at + 40)?;
        let options = self.slice(at + 40, (usize::from(fixed[1]) + 1) * 8)?;
        if let Some(&[a, b, c, d]) = find_option(&options[2..], OPTION_JUMBO) {
            let end = (at + 40).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
            out.end = u32::try_from(end).unwrap_or(u32::MAX);
            self.end = self.end.min(end);
            return Ok(());
        }
        // No jumbo option: the length is zero, and the hop-by-hop header is already beyond it.
        self.end = self.end.min(at + 40);
        Err(self.malformed(at + 40, 8))
    }

    /// RFC 8200 4: walks to the upper layer.
    fn extensions(&mut self, mut next: u8, mut at: usize, out: &mut Layers) -> Step {
        for _ in 0..=self.limits.extension_headers {
            let len = match next {
                p::HOP_BY_HOP | p::DESTINATION_OPTIONS | p::ROUTING => {
                    let fixed = self.take::<4>(at)?;
                    let len = (usize::from(fixed[1]) + 1) * 8;
                    let bytes = self.slice(at, len)?;
                    let kind = match next {
                        p::HOP_BY_HOP => HeaderKind::HopByHop,
                        p::ROUTING => HeaderKind::Routing,
                        _ => HeaderKind::DestinationOptions,
                    };
                    self.visit.header(kind, at, len);
                    let rerouted = match next {
                        p::ROUTING => fixed[3] != 0,
                        p::DESTINATION_OPTIONS => find_option(&bytes[2..], OPTION_HOME_ADDRESS).is_some(),
                        _ => false,
                    };
                    out.present.0 |= if rerouted { Present::REROUTED } else { 0 };
                    next = fixed[0];
                    len
                }
                p::FRAGMENT => {
                    let header = self.take::<8>(at)?;
                    self.visit.header(HeaderKind::Fragment, at, 8);
                    let field = be16(header[2], header[3]);
                    out.fragment_offset = field & 0xfff8;
                    out.fragment_id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                    out.present.0 |= Present::FRAGMENT | (field & 1) << 8;
                    next = header[0];
                    if out.fragment_offset != 0 {
                        out.protocol = next;
                        out.present.0 |= Present::PROTOCOL;
                        return self.non_first_fragment(at + 8, out);
                    }
                    8
                }
                p::AH => {
                    let (after, len) = self.authentication(at)?;
                    next = after;
                    len
                }
                _ => {
                    out.protocol = next;
                    out.present.0 |= Present::PROTOCOL;
                    return self.transport(next, at, out);
                }
            };
            at += len;
        }
        Err(self.stop(Verdict::TooManyHeaders, at))
    }

    fn non_first_fragment(&mut self, at: usize, out: &mut Layers) -> Step {
        out.l4_offset = at as u32;
        out.payload_len = out.end.saturating_sub(at as u32);
        out.present.0 |= Present::PAYLOAD;
        Err(self.stop(Verdict::NonFirstFragment, at))
    }
}

/// The data of the first option of type `wanted` in an options area (RFC 8200 4.2).
///
/// Bounded by the area, which is at most 2,046 bytes; malformed options end the search.
pub(crate) fn find_option(mut area: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [kind, rest @ ..] = area {
        if *kind == 0 {
            area = rest;
            continue;
        }
        let (&len, rest) = rest.split_first()?;
        let (data, after) = rest.split_at_checked(usize::from(len))?;
        if *kind == wanted {
            return Some(data);
        }
        area = after;
    }
    None
}

/// The last address of a loose or strict source route that is not used up (RFC 791 3.1): where the packet goes in the
/// end, and the destination in the pseudo-header. `options` is what stands behind the fixed 20 bytes of the header.
///
/// `None` without such an option; the first one counts. A pointer that points at no address makes none.
#[must_use]
#[inline(never)]
pub fn source_route(mut options: &[u8]) -> Option<[u8; 4]> {
    while let [kind, rest @ ..] = options {
        match *kind {
            OPTION_END => return None,
            OPTION_NO_OPERATION => options = rest,
            kind => {
                let len = usize::from(*rest.first()?);
                let (option, behind) = options.split_at_checked(len.max(2))?;
                if matches!(kind, OPTION_LOOSE_ROUTE | OPTION_STRICT_ROUTE) {
                    // The pointer counts from the option's first byte, which is number 1.
                    let next = usize::from(*option.get(2)?);
                    let points = next >= 4 && next.is_multiple_of(4) && next + 3 <= len;
                    let (addresses, _) = option[3..].as_chunks::<4>();
                    return addresses.last().filter(|_| points).copied();
                }
                options = behind;
            }
        }
    }
    None
}

/// Source and destination of the pseudo-header (RFC 791 3.1, RFC 8200 8.1, RFC 6275 6.3 and 6.4): a home address
/// option replaces the source, a source route or routing header that is not used up the destination.
///
/// `None` when a routing header's last address cannot be told.
pub(crate) fn final_addresses(bytes: &[u8], layers: &Layers) -> Option<([u8; 16], [u8; 16])> {
    let (mut src, mut dst) = (layers.src, layers.dst);
    let mut at = layers.l3_offset as usize;
    if layers.ip_version == 4 {
        let len = usize::from(bytes.get(at)? & 15) * 4;
        let last = source_route(bytes.get(at + 20..at + len)?)?;
        return Some((src, mapped(last)));
    }
    let mut next = *bytes.get(at + 6)?;
    at += 40;
    while at < layers.l4_offset as usize {
        let fixed = bytes.get(at..)?.first_chunk::<8>()?;
        let len = match next {
            p::FRAGMENT => 8,
            p::AH => (usize::from(fixed[1]) + 2) * 4,
            _ => (usize::from(fixed[1]) + 1) * 8,
        };
        let header = bytes.get(at..at + len)?;
        match next {
            p::DESTINATION_OPTIONS => {
                if let Some(home) = find_option(&header[2..], OPTION_HOME_ADDRESS) {
                    src = home.try_into().ok()?;
                }
            }
            p::ROUTING if fixed[3] != 0 => dst = final_destination(header, layers.dst)?,
            _ => {}
        }
        next = fixed[0];
        at += len;
    }
    Some((src, dst))
}

pub(crate) fn final_destination(routing: &[u8], dst: [u8; 16]) -> Option<[u8; 16]> {
    match routing[2] {
        // Types 0 (RFC 5095) and 2 (RFC 6275 6.4): a plain list whose last address is the destination.
        0 | 2 => routing.get(8..).and_then(|list| list.last_chunk::<16>()).copied(),
        // Segment routing (RFC 8754 2): the list stands in reverse.
        4 => routing.get(8..).and_then(|list| list.first_chunk::<16>()).copied(),
        // RPL source routing (RFC 6554 3): the last address lacks the prefix that it shares with the destination.
        3 => {
            let shared = usize::from(routing[4] & 15);
            let padding = usize::from(routing[5] >> 4);
            let tail = routing.get(8..routing.len().checked_sub(padding)?)?;
            let mut last = dst;
            last[shared..].copy_from_slice(tail.get(tail.len().checked_sub(16 - shared)?..)?);
            Some(last)
        }
        _ => None,
    }
}
