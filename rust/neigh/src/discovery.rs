//! Neighbor solicitations and advertisements (RFC 4861 4.3, 4.4).
use crate::entry::Mac;
use crate::message::MessageError;
use netfast_low::sum::{fold, sum_words};
use netfast_wire::dissect::protocol as p;
use std::net::Ipv6Addr;

/// Bytes of a solicitation or advertisement with one link address, from the IPv6 header on.
pub const DISCOVERY_LENGTH: usize = 40 + 24 + 8;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// What comes from the link itself (RFC 4861 3.1).
const HOPS: u8 = 255;

/// A question for a link address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified while it looks whether the address is free (RFC 4862 5.4.2).
    pub source: Ipv6Addr,
    /// The target itself, or its solicited-node group.
    pub destination: Ipv6Addr,
    /// Whom it asks for.
    pub target: Ipv6Addr,
    /// Its own link address.
    pub mac: Option<Mac>,
}

/// An answer, or news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who tells.
    pub source: Ipv6Addr,
    /// Whom it tells, or a group.
    pub destination: Ipv6Addr,
    /// Whom it tells of.
    pub target: Ipv6Addr,
    /// The target's link address.
    pub mac: Option<Mac>,
    /// From a router.
    pub router: bool,
    /// An answer.
    pub solicited: bool,
    /// It may take the place of another link address.
    pub overrides: bool,
}

/// A message about neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// A question.
    Solicitation(Solicitation),
    /// An answer.
    Advertisement(Advertisement),
}

impl Discovery {
    /// Reads and checks a message. `packet` is the IPv6 packet to its end, without what the link padded, `message` where its
    /// ICMPv6 header begins. `summed` says that the checksum was verified. `None` for other types.
    ///
    /// # Errors
    /// [`MessageError`]; that it came in fragments only who put it together knows.
    #[inline]
    pub fn parse(packet: &[u8], message: usize, summed: bool) -> Result<Option<Self>, MessageError> {
        let header = packet.first_chunk::<40>().ok_or(MessageError::Truncated)?;
        let body = packet.get(message..).ok_or(MessageError::Truncated)?;
        let kind = *body.first().ok_or(MessageError::Truncated)?;
        if !matches!(kind, SOLICITATION | ADVERTISEMENT) {
            return Ok(None);
        }
        let address = |bytes: &[u8], at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[at..at + 16]);
            octets
        };
        let (source, destination) = (address(header, 8), address(header, 24));
        if header[7] != HOPS {
            return Err(MessageError::HopLimit);
        }
        let fixed = body.first_chunk::<24>().ok_or(MessageError::Truncated)?;
        if !summed && checksum_of(packet, message) != 0 {
            return Err(MessageError::Checksum);
        }
        if fixed[1] != 0 {
            return Err(MessageError::Code);
        }
        let target = Ipv6Addr::from(address(fixed, 8));
        if target.is_multicast() || target.is_unspecified() || target.is_loopback() {
            return Err(MessageError::Target);
        }
        let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
        if source.is_multicast() || source.is_loopback() {
            return Err(MessageError::Source);
        }
        let wanted = if kind == SOLICITATION { SOURCE_LINK } else { TARGET_LINK };
        let mac = link_address(&body[24..], wanted)?;
        if mac.is_some_and(|mac| mac[0] & 1 == 1 || mac == [0; 6]) {
            return Err(MessageError::LinkAddress);
        }
        if kind == SOLICITATION {
            if source.is_unspecified() && (mac.is_some() || !is_solicited_node(&destination)) {
                return Err(MessageError::Unspecified);
            }
            return Ok(Some(Self::Solicitation(Solicitation { source, destination, target, mac })));
        }
        if source.is_unspecified() {
            return Err(MessageError::Source);
        }
        let solicited = fixed[4] & SOLICITED != 0;
        if solicited && destination.is_multicast() {
            return Err(MessageError::SolicitedToGroup);
        }
        Ok(Some(Self::Advertisement(Advertisement {
            source,
            destination,
            target,
            mac,
            router: fixed[4] & ROUTER != 0,
            solicited,
            overrides: fixed[4] & OVERRIDE != 0,
        })))
    }
}

/// The first link address among options of a kind; other options are passed over (RFC 4861 4.6), all have to fit.
fn link_address(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, MessageError> {
    let mut found = None;
    while !options.is_empty() {
        let length = options.get(1).map_or(0, |length| usize::from(*length) * 8);
        if length == 0 || length > options.len() {
            return Err(MessageError::Option);
        }
        if options[0] == wanted && length == 8 && found.is_none() {
            found = options[2..8].first_chunk::<6>().copied();
        }
        options = &options[length..];
    }
    Ok(found)
}

/// Writes a solicitation with all headers, and its source link-layer address where one is given; gives what was written.
pub fn write_solicitation<'a>(said: &Solicitation, into: &'a mut [u8; DISCOVERY_LENGTH]) -> &'a [u8] {
    let option = said.mac.map(|mac| (SOURCE_LINK, mac));
    write(SOLICITATION, 0, said.source, said.destination, said.target, option, into)
}

/// Writes an advertisement with all headers, and its target link-layer address where one is given; gives what was written.
pub fn write_advertisement<'a>(said: &Advertisement, into: &'a mut [u8; DISCOVERY_LENGTH]) -> &'a [u8] {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(said.router, ROUTER) | flag(said.solicited, SOLICITED) | flag(said.overrides, OVERRIDE);
    let option = said.mac.map(|mac| (TARGET_LINK, mac));
    write(ADVERTISEMENT, flags, said.source, said.destination, said.target, option, into)
}

#[inline]
fn write(
    kind: u8,
    flags: u8,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    option: Option<(u8, Mac)>,
    into: &mut [u8; DISCOVERY_LENGTH],
) -> &[u8] {
    let length = 24 + if option.is_some() { 8 } else { 0 };
    into[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, length as u8, p::ICMPV6, HOPS]);
    into[8..24].copy_from_slice(&source.octets());
    into[24..40].copy_from_slice(&destination.octets());
    into[40..48].copy_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
    into[48..64].copy_from_slice(&target.octets());
    if let Some((kind, mac)) = option {
        into[64..66].copy_from_slice(&[kind, 1]);
        into[66..].copy_from_slice(&mac);
    }
    let sum = checksum_of(&into[..40 + length], 40);
    into[42..44].copy_from_slice(&sum.to_be_bytes());
    &into[..40 + length]
}

/// The checksum (RFC 4443 2.3) over the addresses, of which the last is the packet's where no extension header says otherwise,
/// the message's length and its protocol: 0 where it is right.
#[inline]
fn checksum_of(packet: &[u8], message: usize) -> u16 {
    let (addresses, body) = (&packet[8..40], packet.get(message..).unwrap_or_default());
    // Where no extension header is between them, which is the rule, they are in a row.
    let bytes = if message == 40 { sum_words(&packet[8..]) } else { sum_words(addresses) + sum_words(body) };
    let rest = u64::from((body.len() as u32).to_be()) + u64::from(u32::from(p::ICMPV6).to_be());
    !u16::from_be(fold(bytes + rest))
}

/// The group of all nodes whose addresses end like this one (RFC 4291 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_bits(
        0xff02_0000_0000_0000_0000_0001_ff00_0000 | (a as u128) << 16 | (b as u128) << 8 | c as u128,
    )
}

fn is_solicited_node(address: &Ipv6Addr) -> bool {
    address.to_bits() >> 24 == 0xff02_0000_0000_0000_0000_0001_ff00_0000 >> 24
}

/// The Ethernet address of an IPv6 group (RFC 2464 7).
pub const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}
