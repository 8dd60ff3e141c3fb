//! What depends on neighbours: lengths, the numbers that say what follows, counts, checksums.
use super::bits::{read_number, write_number};
use super::layout;
use super::link::{Dot11, Ethernet, LinuxSll, LinuxSll2, Mpls, Null, Ppp, Pppoe, Radiotap, Snap, Vlan};
use super::network::{Auth, DestinationOptions, Fragment, HopByHop, Ipv4, Ipv6, Mobility, Routing};
use super::options;
use super::spec::{FieldType, HeaderError, Value, field_index};
use super::stack::{Stack, Trailer};
use super::transport::{Dccp, Geneve, Gre, Icmpv4, Icmpv6, Igmp, Sctp, Tcp, Udp, UdpLite};
use super::value::{Header, read};
use crate::HeaderKind;
use crate::checksum::{checksum, pseudo_checksum};
use crate::dissect::{ethertype as et, protocol as p};

/// UDP ports of tunnels.
const PORT_VXLAN: u64 = 4789;
const PORT_GENEVE: u64 = 6081;
/// BSD's number for IPv4, and macOS's for IPv6 (the one tcpdump writes on the most common such system).
const AF_INET: u64 = 2;
const AF_INET6: u64 = 30;
const AF_INET6_OPENBSD: u32 = 24;
/// PPP protocol numbers.
const PPP_IPV4: u64 = 0x0021;
const PPP_IPV6: u64 = 0x0057;
const PPP_MPLS: u64 = 0x0281;
/// Bytes that an IEEE 802.3 frame has behind its length.
const MAX_8023: u64 = 1500;
/// Linux's number for 802.2 frames (LINUX_SLL_P_802_2).
const SLL_LLC: u64 = 4;
/// EtherType of PPPoE discovery.
const PPPOE_DISCOVERY: u16 = 0x8863;
/// IP protocol of Ethernet frames (RFC 8986 section 4.9).
const PROTOCOL_ETHERNET: u8 = 143;

macro_rules! at {
    ($header:ident.$field:literal) => {
        const { field_index($header::FIELDS, $field) }
    };
}

/// Where the authentication header's length stands in its table.
pub(super) const AUTH_LEN: usize = field_index(Auth::FIELDS, "payload_len");

/// The address family of a loopback header on OpenBSD: the one it has, or that of what follows.
pub(super) fn loop_family(header: &Header, next: Option<HeaderKind>) -> Option<u32> {
    let field = at!(Null."family");
    match next {
        _ if !header.is_auto(field) => {
            u32::try_from(read_number(header.as_bytes(), &Null::FIELDS[field])).ok()
        }
        Some(HeaderKind::Ipv4) => Some(AF_INET as u32),
        Some(HeaderKind::Ipv6) => Some(AF_INET6_OPENBSD),
        _ => None,
    }
}

/// Emission in progress.
struct Filling<'a> {
    headers: &'a [Header],
    trailers: &'a [Trailer],
    output: &'a mut [u8],
}

/// Fills in everything that is automatic in a packet that was written one part behind the other.
pub(super) fn fill(stack: &Stack, output: &mut [u8]) -> Result<(), HeaderError> {
    let headers = &stack.headers[..];
    let mut filling = Filling { headers, trailers: &stack.trailers, output };
    let mut start = 0;
    for (index, header) in headers.iter().enumerate() {
        filling.lengths(index, start)?;
        filling.follower(index, start)?;
        start += header.buffer_len();
    }
    // Inner checksums first: outer ones cover them.
    for (index, header) in headers.iter().enumerate().rev() {
        start -= header.buffer_len();
        filling.checksums(index, start);
    }
    Ok(())
}

impl Filling<'_> {
    /// Where the packet of the header at `index` ends: before the trailers that it does not count.
    fn end(&self, index: usize) -> usize {
        let uncounted = self.trailers.iter().filter(|trailer| trailer.uncounted <= index);
        self.output.len() - uncounted.map(|trailer| trailer.bytes.len()).sum::<usize>()
    }

    /// Writes an automatic field.
    fn put(&mut self, index: usize, start: usize, field: usize, value: usize, remedy: Remedy) -> Filled {
        let header = &self.headers[index];
        if !header.is_auto(field) {
            return Ok(());
        }
        let spec = &header.spec().fields[field];
        let max = usize::try_from(spec.max_in(header.as_bytes())).unwrap_or(usize::MAX);
        if value > max {
            let (kind, field) = (header.kind(), spec.name);
            return Err(HeaderError::TooLong { kind, field, value, max, remedy });
        }
        write_number(&mut self.output[start..start + header.buffer_len()], spec, value as u64);
        Ok(())
    }

    /// Own length in units, as `words` of it less `less`.
    fn units(&mut self, index: usize, start: usize, field: usize, unit: usize, less: usize) -> Filled {
        let header = &self.headers[index];
        let len = header.buffer_len();
        if header.is_auto(field) && (!len.is_multiple_of(unit) || len / unit < less) {
            let field = header.spec().fields[field].name;
            return Err(HeaderError::Unpadded { kind: header.kind(), field, len, unit });
        }
        self.put(index, start, field, (len / unit).saturating_sub(less), "give fewer or shorter options")
    }

    fn lengths(&mut self, index: usize, start: usize) -> Filled {
        let header = &self.headers[index];
        let own = header.buffer_len();
        let rest = self.end(index) - start - own;
        match header.kind() {
            HeaderKind::Pppoe => {
                let tags = own - 6;
                self.put(index, start, at!(Pppoe."length"), rest + tags, "shorten the payload")
            }
            HeaderKind::Radiotap => self.put(index, start, at!(Radiotap."length"), own, "give fewer fields"),
            HeaderKind::Ipv4 => {
                self.units(index, start, at!(Ipv4."ihl"), 4, 0)?;
                let remedy = "an IPv4 packet has at most 65535 bytes: shorten the payload or fragment it";
                self.put(index, start, at!(Ipv4."total_length"), own + rest, remedy)
            }
            HeaderKind::Ipv6 => self.payload_length(index, start, rest),
            HeaderKind::HopByHop => {
                self.jumbo_length(index, start, own + rest)?;
                self.units(index, start, at!(HopByHop."hdr_ext_len"), 8, 1)
            }
            HeaderKind::DestinationOptions => {
                self.units(index, start, at!(DestinationOptions."hdr_ext_len"), 8, 1)
            }
            HeaderKind::Routing => {
                self.units(index, start, at!(Routing."hdr_ext_len"), 8, 1)?;
                let bytes = header.as_bytes();
                let addresses = layout::routing_addresses(bytes).map_or(0, |range| range.len() / 16);
                let left = addresses - usize::from(layout::routing_is_segment(bytes) && addresses > 0);
                self.put(index, start, at!(Routing."segments_left"), left, "give fewer addresses")
            }
            HeaderKind::Auth => self.units(index, start, at!(Auth."payload_len"), 4, 2),
            HeaderKind::Mobility => self.units(index, start, at!(Mobility."header_len"), 8, 1),
            HeaderKind::Tcp => self.units(index, start, at!(Tcp."data_offset"), 4, 0),
            HeaderKind::Dccp => self.units(index, start, at!(Dccp."data_offset"), 4, 0),
            HeaderKind::Udp => {
                // RFC 2675 section 4: 0 in a jumbogram.
                let len = if own + rest > 0xffff && self.in_jumbogram(index) { 0 } else { own + rest };
                let remedy =
                    "a datagram has at most 65535 bytes: shorten the payload, or send a jumbogram over IPv6";
                self.put(index, start, at!(Udp."length"), len, remedy)
            }
            HeaderKind::UdpLite => {
                let len = if own + rest > 0xffff { 0 } else { own + rest };
                self.put(index, start, at!(UdpLite."coverage"), len, "")
            }
            HeaderKind::Gre if layout::gre_is_pptp(header.as_bytes()) => {
                self.put(index, start, at!(Gre."payload_length"), rest, "shorten the payload")
            }
            HeaderKind::Geneve => {
                self.put(index, start, at!(Geneve."opt_len"), (own - 8) / 4, "give fewer or shorter options")
            }
            HeaderKind::Icmpv6 => {
                self.count(index, start, at!(Icmpv6."record_count"), at!(Icmpv6."records"))?;
                self.count(index, start, at!(Icmpv6."source_count"), at!(Icmpv6."sources"))
            }
            HeaderKind::Igmp => {
                self.count(index, start, at!(Igmp."record_count"), at!(Igmp."records"))?;
                self.count(index, start, at!(Igmp."source_count"), at!(Igmp."sources"))
            }
            _ => Ok(()),
        }
    }

    /// How many items a list has that a field counts.
    fn count(&mut self, index: usize, start: usize, field: usize, list: usize) -> Filled {
        let header = &self.headers[index];
        let count = match read(header.as_bytes(), &header.spec().fields[list]) {
            Value::Options(list) => list.len(),
            Value::Addresses(list) => list.len(),
            _ => return Ok(()),
        };
        self.put(index, start, field, count, "give fewer of them")
    }

    /// RFC 8200 section 3; 0 when a jumbo payload option says the length (RFC 2675 section 3).
    fn payload_length(&mut self, index: usize, start: usize, rest: usize) -> Filled {
        let len = if rest > 0xffff && self.has_jumbo_option(index) { 0 } else { rest };
        let remedy = "an IPv6 payload has at most 65535 bytes: shorten it, fragment it, or put a HopByHop header \
                      with a jumbo option behind";
        self.put(index, start, at!(Ipv6."payload_length"), len, remedy)
    }

    /// RFC 2675 section 3: all that is behind the IPv6 header, the hop-by-hop options included.
    fn jumbo_length(&mut self, index: usize, start: usize, len: usize) -> Filled {
        let header = &self.headers[index];
        let Some(place) = header.jumbo_place().filter(|_| header.is_jumbo_auto()) else { return Ok(()) };
        let (kind, field) = (header.kind(), HopByHop::FIELDS[at!(HopByHop."options")].name);
        if len <= 0xffff {
            let remedy = "a jumbo option is for more than 65535 bytes behind the IPv6 header: leave it away";
            return Err(HeaderError::Underdetermined { kind, field, remedy });
        }
        let remedy = "a jumbogram has at most 4294967295 bytes behind the IPv6 header";
        let too_long = |_| HeaderError::TooLong { kind, field, value: len, max: u32::MAX as usize, remedy };
        let len = u32::try_from(len).map_err(too_long)?;
        self.output[start + place.start..start + place.end].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// True when a jumbo payload option follows the IPv6 header at `index`.
    fn has_jumbo_option(&self, index: usize) -> bool {
        let Some(header) = self.headers.get(index + 1).filter(|next| next.kind() == HeaderKind::HopByHop)
        else {
            return false;
        };
        let area = header.as_bytes().get(2..).unwrap_or(&[]);
        crate::dissect::find_option(area, options::JUMBO as u8).is_some()
    }

    fn in_jumbogram(&self, index: usize) -> bool {
        (0..index)
            .rev()
            .find(|at| self.headers[*at].kind() == HeaderKind::Ipv6)
            .is_some_and(|ip| self.has_jumbo_option(ip))
    }

    fn follower(&mut self, index: usize, start: usize) -> Filled {
        let header = &self.headers[index];
        let Some((field, space)) = next_field(header.kind()) else { return Ok(()) };
        if header.kind() == HeaderKind::Mpls {
            let last = self.headers.get(index + 1).map(Header::kind) != Some(HeaderKind::Mpls);
            return self.put(index, start, field, usize::from(last), "");
        }
        if !header.is_auto(field) {
            return Ok(());
        }
        let rest = self.end(index) - start - header.buffer_len();
        let number = self.number(space, index, rest);
        let spec = &header.spec().fields[field];
        match number {
            // A larger number would be an EtherType.
            Some(value) if value > MAX_8023 && self.counts(index) => Err(HeaderError::TooLong {
                kind: header.kind(),
                field: spec.name,
                value: value as usize,
                max: MAX_8023 as usize,
                remedy: "an IEEE 802.3 frame has at most 1500 bytes behind its length: shorten the payload",
            }),
            Some(number) => self.put(index, start, field, number as usize, ""),
            None if rest == 0 || spec.soft => Ok(()),
            None => Err(HeaderError::Underdetermined {
                kind: header.kind(),
                field: spec.name,
                remedy: "set it, or put a header behind that has a number there",
            }),
        }
    }

    /// True when the header at `index` has a length where others have an EtherType (IEEE 802.3).
    fn counts(&self, index: usize) -> bool {
        let tagged = matches!(self.headers[index].kind(), HeaderKind::Ethernet | HeaderKind::Vlan);
        tagged && self.headers.get(index + 1).map(Header::kind) == Some(HeaderKind::Llc)
    }

    /// The number of what follows the header at `index`.
    fn number(&self, space: Numbers, index: usize, rest: usize) -> Option<u64> {
        let next = self.headers.get(index + 1);
        let kind = next.map(Header::kind);
        match space {
            Numbers::EtherType => match kind? {
                HeaderKind::Vlan => {
                    // IEEE 802.1ad: the outer of two tags is a service tag.
                    let below = self.headers.get(index + 2).map(Header::kind);
                    let outermost = self.headers[index].kind() != HeaderKind::Vlan;
                    let service = outermost && below == Some(HeaderKind::Vlan);
                    Some(u64::from(if service { et::QINQ } else { et::VLAN }))
                }
                HeaderKind::Llc if self.counts(index) => Some(rest as u64),
                HeaderKind::Llc => match self.headers[index].kind() {
                    HeaderKind::LinuxSll | HeaderKind::LinuxSll2 => Some(SLL_LLC),
                    _ => None,
                },
                HeaderKind::Pppoe if next.is_some_and(|next| next.as_bytes()[1] != 0) => {
                    Some(PPPOE_DISCOVERY.into())
                }
                kind => ethertype(kind).map(u64::from),
            },
            Numbers::Protocol => match kind {
                None if rest == 0 => Some(p::NO_NEXT_HEADER.into()),
                kind => protocol(kind?).map(u64::from),
            },
            Numbers::Ppp => Some(match kind? {
                HeaderKind::Ipv4 => PPP_IPV4,
                HeaderKind::Ipv6 => PPP_IPV6,
                HeaderKind::Mpls => PPP_MPLS,
                _ => return None,
            }),
            Numbers::Family => Some(match kind? {
                HeaderKind::Ipv4 => AF_INET,
                HeaderKind::Ipv6 => AF_INET6,
                _ => return None,
            }),
            Numbers::Port => Some(match kind? {
                HeaderKind::Vxlan => PORT_VXLAN,
                HeaderKind::Geneve => PORT_GENEVE,
                _ => return None,
            }),
            Numbers::Bottom => None,
        }
    }

    fn checksums(&mut self, index: usize, start: usize) {
        let header = &self.headers[index];
        let (own, end) = (header.buffer_len(), self.end(index));
        let (field, pseudo) = match header.kind() {
            HeaderKind::Ipv4 => {
                if header.is_auto(at!(Ipv4."header_checksum")) {
                    let sum = checksum(&self.output[start..start + own]);
                    self.write(index, start, at!(Ipv4."header_checksum"), sum.into());
                }
                return;
            }
            HeaderKind::Sctp => {
                if header.is_auto(at!(Sctp."checksum")) {
                    // RFC 9260 appendix A: least significant byte first.
                    let sum = netfast_low::crc32c::crc32c(&self.output[start..end]).swap_bytes();
                    self.write(index, start, at!(Sctp."checksum"), sum.into());
                }
                return;
            }
            HeaderKind::Icmpv4 => (at!(Icmpv4."checksum"), None),
            HeaderKind::Igmp => (at!(Igmp."checksum"), None),
            HeaderKind::Gre => (at!(Gre."checksum"), None),
            HeaderKind::Tcp => (at!(Tcp."checksum"), Some(p::TCP)),
            HeaderKind::Udp => (at!(Udp."checksum"), Some(p::UDP)),
            HeaderKind::UdpLite => (at!(UdpLite."checksum"), Some(p::UDPLITE)),
            HeaderKind::Dccp => (at!(Dccp."checksum"), Some(p::DCCP)),
            HeaderKind::Icmpv6 => (at!(Icmpv6."checksum"), Some(p::ICMPV6)),
            HeaderKind::Mobility => (at!(Mobility."checksum"), Some(p::MOBILITY)),
            _ => return,
        };
        if !header.is_auto(field) || header.spec().fields[field].locate(header.as_bytes()).is_none() {
            return;
        }
        let sum = match pseudo {
            None => checksum(&self.output[start..end]),
            Some(protocol) => {
                let Some((src, dst)) = self.pseudo_addresses(index, start) else { return };
                let packet = &self.output[start..end];
                let covered = covered(header.kind(), &packet[..own], packet.len());
                match pseudo_sum(src, dst, protocol, packet, covered) {
                    // RFC 768 and RFC 3828: zero would mean that there is no checksum.
                    0 if matches!(protocol, p::UDP | p::UDPLITE) => 0xffff,
                    sum => sum,
                }
            }
        };
        self.write(index, start, field, sum.into());
    }

    fn write(&mut self, index: usize, start: usize, field: usize, value: u64) {
        let header = &self.headers[index];
        let spec = &header.spec().fields[field];
        write_number(&mut self.output[start..start + header.buffer_len()], spec, value);
    }

    /// The addresses of the pseudo-header, RFC 8200 section 8.1 (RFC 791 section 3.1 for source routes): past a routing header the final destination, with a
    /// home address option that address (RFC 6275 section 11.3.1). `None` outside IP.
    fn pseudo_addresses(&self, index: usize, mut start: usize) -> Option<([u8; 16], [u8; 16])> {
        let (mut home, mut routing) = (None, None);
        for header in self.headers[..index].iter().rev() {
            let len = header.buffer_len();
            start -= len;
            let bytes = &self.output[start..start + len];
            match header.kind() {
                HeaderKind::Ipv4 => {
                    let mapped = |octets: [u8; 4]| std::net::Ipv4Addr::from(octets).to_ipv6_mapped().octets();
                    let address = |at: usize| bytes[at..at + 4].try_into().unwrap_or_default();
                    let dst = crate::dissect::source_route(&bytes[20..]).unwrap_or_else(|| address(16));
                    return Some((mapped(address(12)), mapped(dst)));
                }
                HeaderKind::Ipv6 => {
                    let address = |at: usize| bytes[at..at + 16].try_into().unwrap_or_default();
                    let (src, dst): ([u8; 16], [u8; 16]) = (address(8), address(24));
                    let dst = routing.and_then(|routing| final_destination(routing, dst)).unwrap_or(dst);
                    return Some((home.unwrap_or(src), dst));
                }
                HeaderKind::DestinationOptions => {
                    let found = crate::dissect::find_option(&bytes[2..], options::HOME_ADDRESS as u8);
                    home = home.or(found.and_then(|address| address.try_into().ok()));
                }
                HeaderKind::Routing => routing = routing.or((bytes[3] != 0).then_some(bytes)),
                HeaderKind::HopByHop | HeaderKind::Fragment | HeaderKind::Auth => {}
                _ => return None,
            }
        }
        None
    }
}

type Filled = Result<(), HeaderError>;
type Remedy = &'static str;

fn final_destination(routing: &[u8], dst: [u8; 16]) -> Option<[u8; 16]> {
    if routing.len() < 8 { None } else { crate::dissect::final_destination(routing, dst) }
}

/// Bytes under the checksum of a transport packet: fewer than all only with partial coverage.
fn covered(kind: HeaderKind, header: &[u8], len: usize) -> usize {
    match kind {
        HeaderKind::UdpLite => {
            let coverage = read_number(header, &UdpLite::FIELDS[at!(UdpLite."coverage")]) as usize;
            if coverage < 8 { len } else { coverage.min(len) }
        }
        HeaderKind::Dccp => {
            let coverage = read_number(header, &Dccp::FIELDS[at!(Dccp."checksum_coverage")]) as usize;
            if coverage == 0 { len } else { (header.len() + (coverage - 1) * 4).min(len) }
        }
        _ => len,
    }
}

/// The pseudo-header counts the whole packet, the sum only what is covered.
fn pseudo_sum(src: [u8; 16], dst: [u8; 16], protocol: u8, packet: &[u8], covered: usize) -> u16 {
    if covered == packet.len() {
        return pseudo_checksum(src, dst, protocol, packet);
    }
    let partial = pseudo_checksum(src, dst, protocol, &packet[..covered]);
    let (low, high) = (packet.len() as u32, covered as u32);
    let sum = crate::checksum::update(partial, (high >> 16) as u16, (low >> 16) as u16);
    crate::checksum::update(sum, high as u16, low as u16)
}

/// What kind of number says which header follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    EtherType,
    Protocol,
    Ppp,
    Family,
    Port,
    Bottom,
}

/// The field that says which header follows, and in which numbering.
pub(super) fn next_field(kind: HeaderKind) -> Option<(usize, Numbers)> {
    Some(match kind {
        HeaderKind::Ethernet => (at!(Ethernet."ethertype"), Numbers::EtherType),
        HeaderKind::Vlan => (at!(Vlan."ethertype"), Numbers::EtherType),
        HeaderKind::Snap => (at!(Snap."protocol"), Numbers::EtherType),
        HeaderKind::LinuxSll => (at!(LinuxSll."protocol"), Numbers::EtherType),
        HeaderKind::LinuxSll2 => (at!(LinuxSll2."protocol"), Numbers::EtherType),
        HeaderKind::Gre => (at!(Gre."protocol"), Numbers::EtherType),
        HeaderKind::Geneve => (at!(Geneve."protocol"), Numbers::EtherType),
        HeaderKind::Mpls => (at!(Mpls."bottom_of_stack"), Numbers::Bottom),
        HeaderKind::Ppp => (at!(Ppp."protocol"), Numbers::Ppp),
        HeaderKind::Null => (at!(Null."family"), Numbers::Family),
        HeaderKind::Ipv4 => (at!(Ipv4."protocol"), Numbers::Protocol),
        HeaderKind::Ipv6 => (at!(Ipv6."next_header"), Numbers::Protocol),
        HeaderKind::HopByHop => (at!(HopByHop."next_header"), Numbers::Protocol),
        HeaderKind::DestinationOptions => (at!(DestinationOptions."next_header"), Numbers::Protocol),
        HeaderKind::Routing => (at!(Routing."next_header"), Numbers::Protocol),
        HeaderKind::Fragment => (at!(Fragment."next_header"), Numbers::Protocol),
        HeaderKind::Auth => (at!(Auth."next_header"), Numbers::Protocol),
        HeaderKind::Mobility => (at!(Mobility."payload_proto"), Numbers::Protocol),
        HeaderKind::Udp => (at!(Udp."dst_port"), Numbers::Port),
        _ => return None,
    })
}

/// The EtherType of a header.
#[must_use]
pub fn ethertype(kind: HeaderKind) -> Option<u16> {
    Some(match kind {
        HeaderKind::Ipv4 => et::IPV4,
        HeaderKind::Ipv6 => et::IPV6,
        HeaderKind::Arp => et::ARP,
        HeaderKind::Vlan => et::VLAN,
        HeaderKind::Mpls => et::MPLS,
        HeaderKind::Pppoe => et::PPPOE,
        HeaderKind::Ethernet => et::BRIDGED,
        HeaderKind::Ppp => et::PPP,
        _ => return None,
    })
}

/// The IP protocol or IPv6 next header number of a header.
#[must_use]
pub fn protocol(kind: HeaderKind) -> Option<u8> {
    Some(match kind {
        HeaderKind::HopByHop => p::HOP_BY_HOP,
        HeaderKind::Icmpv4 => p::ICMPV4,
        HeaderKind::Igmp => p::IGMP,
        HeaderKind::Ipv4 => p::IPV4,
        HeaderKind::Tcp => p::TCP,
        HeaderKind::Udp => p::UDP,
        HeaderKind::Dccp => p::DCCP,
        HeaderKind::Ipv6 => p::IPV6,
        HeaderKind::Routing => p::ROUTING,
        HeaderKind::Fragment => p::FRAGMENT,
        HeaderKind::Gre => p::GRE,
        HeaderKind::Esp => p::ESP,
        HeaderKind::Auth => p::AH,
        HeaderKind::Icmpv6 => p::ICMPV6,
        HeaderKind::DestinationOptions => p::DESTINATION_OPTIONS,
        HeaderKind::Sctp => p::SCTP,
        HeaderKind::Mobility => p::MOBILITY,
        HeaderKind::UdpLite => p::UDPLITE,
        HeaderKind::Mpls => p::MPLS,
        HeaderKind::Ethernet => PROTOCOL_ETHERNET,
        _ => return None,
    })
}

/// True when the header says that what follows is a part of a datagram or frame.
pub(super) fn is_fragment(header: &Header) -> bool {
    let bytes = header.as_bytes();
    match header.kind() {
        HeaderKind::Ipv4 => {
            Ipv4::new_checked(bytes).is_ok_and(|ip| ip.more_fragments() || ip.fragment_offset() != 0)
        }
        HeaderKind::Fragment => Fragment::new_checked(bytes)
            .is_ok_and(|part| part.more_fragments() || part.fragment_offset() != 0),
        HeaderKind::Dot11 => {
            let number = |frame: Dot11<'_>| frame.fragment().unwrap_or(0);
            Dot11::new_checked(bytes).is_ok_and(|frame| frame.more_fragments() || number(frame) != 0)
        }
        _ => false,
    }
}

/// True for a field that follows from the header alone: it can be filled in although bytes behind it are missing.
fn is_own(kind: HeaderKind, field: &str) -> bool {
    matches!(field, "ihl" | "data_offset" | "hdr_ext_len" | "header_len" | "opt_len" | "header_checksum")
        || matches!((kind, field), (HeaderKind::Radiotap, "length") | (HeaderKind::Auth, "payload_len"))
}

/// Makes a parsed header's lengths and checksums automatic again, and what says which header follows when the follower
/// has a number there and the header says another. What the sender chose is kept: a partial coverage, the segments left
/// of a route, a UDP checksum that was left out. So is what depends on bytes that are missing, when the packet is not
/// `whole`.
pub(super) fn rederive(header: &mut Header, follower: Option<HeaderKind>, behind: usize, whole: bool) {
    let kind = header.kind();
    let bytes = header.as_bytes();
    let next = next_field(kind);
    let derives = next.is_some_and(|(field, space)| {
        let number = read_number(bytes, &header.spec().fields[field]);
        match (space, follower) {
            // An IEEE 802.3 frame has its length there.
            (Numbers::EtherType, Some(HeaderKind::Llc)) => {
                let counts = matches!(kind, HeaderKind::Ethernet | HeaderKind::Vlan);
                counts && whole && behind as u64 <= MAX_8023
            }
            (Numbers::EtherType, Some(follower)) => {
                ethertype(follower).is_some() && !leads_to(number, follower)
            }
            (Numbers::Protocol, Some(follower)) => protocol(follower).is_some(),
            (Numbers::Bottom, _) => true,
            _ => false,
        }
    });
    let unchecked = kind == HeaderKind::Udp && Udp::new_checked(bytes).is_ok_and(|udp| udp.checksum() == 0);
    let covers = |lite: UdpLite<'_>| usize::from(lite.coverage()) <= behind + 8;
    let partial = kind == HeaderKind::UdpLite && UdpLite::new_checked(bytes).is_ok_and(covers);
    if whole && kind == HeaderKind::HopByHop {
        header.reset_jumbo();
    }
    for (index, field) in header.spec().fields.iter().enumerate() {
        let keeps = match field.name {
            _ if next.is_some_and(|(next, _)| next == index) => !derives,
            name if !whole && !is_own(kind, name) => true,
            "checksum" => unchecked,
            "coverage" => partial,
            "segments_left" => true,
            _ => field.soft,
        };
        if field.auto && !keeps && field.ty == FieldType::Uint && field.locate(header.as_bytes()).is_some() {
            // An automatic field of a parsed header is a number, and numbers can always be left to emission.
            let _ = header.set_at(index, Value::Auto);
        }
    }
}

/// True when an EtherType is one of several that say that this header follows.
fn leads_to(number: u64, follower: HeaderKind) -> bool {
    let number = u16::try_from(number).unwrap_or(0);
    match follower {
        HeaderKind::Vlan => matches!(number, et::VLAN | et::QINQ | et::QINQ_OLD),
        HeaderKind::Mpls => matches!(number, et::MPLS | et::MPLS_UPSTREAM),
        _ => false,
    }
}
