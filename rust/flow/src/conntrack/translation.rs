//! Writing a translation into packets: addresses, ports, and the checksums that cover them, by difference
//! (RFC 1624).
use super::Way;
use super::nat::NatError;
use super::tuple::Tuple;
use netfast_low::sum;
use netfast_wire::dissect::protocol as p;

/// What packets of one direction become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Source address, IPv4 mapped.
    pub source: [u8; 16],
    /// Destination address, IPv4 mapped.
    pub destination: [u8; 16],
    /// Source port or ICMP identifier.
    pub source_port: u16,
    /// Destination port; without meaning for ICMP.
    pub destination_port: u16,
    /// What the sum under the IPv4 header checksum grows by, in ones' complement; 0 for IPv6.
    pub l3_change: u16,
    /// What the sum under the upper layer's checksum grows by: ports, and addresses where a pseudo-header
    /// covers them.
    pub l4_change: u16,
    /// The source address or port changes.
    pub changes_source: bool,
    /// The destination address or port changes.
    pub changes_destination: bool,
    /// A port or identifier changes.
    pub changes_ports: bool,
}

/// The difference between a connection's tuples, ready to be written into the packets of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    ways: [Rewrite; 2],
    protocol: u8,
    is_v6: bool,
}

/// What is left to do behind a translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Applied {
    /// A port of SCTP changed: its CRC-32c (RFC 9260, appendix A) covers the whole packet and has to be
    /// computed anew.
    pub needs_crc32c: bool,
}

/// Where a protocol's header has what a translation changes.
#[derive(Clone, Copy)]
struct Places {
    /// Two ports, or one identifier.
    ports: Option<usize>,
    identifier: Option<usize>,
    checksum: Option<usize>,
    /// Zero means that there is no checksum, so a sum of zero is written as 0xffff.
    zero_is_none: bool,
}

impl Places {
    const fn of(protocol: u8) -> Self {
        let none = Self { ports: None, identifier: None, checksum: None, zero_is_none: false };
        match protocol {
            p::TCP => Self { ports: Some(0), checksum: Some(16), ..none },
            p::UDP | p::UDPLITE => Self { ports: Some(0), checksum: Some(6), zero_is_none: true, ..none },
            p::DCCP => Self { ports: Some(0), checksum: Some(6), ..none },
            p::SCTP => Self { ports: Some(0), ..none },
            p::ICMPV4 | p::ICMPV6 => Self { identifier: Some(4), checksum: Some(2), ..none },
            _ => none,
        }
    }

    /// Bytes of the upper layer's header that have to be there.
    const fn need(self) -> usize {
        match (self.checksum, self.ports, self.identifier) {
            (Some(checksum), Some(_), _) => checksum + 2,
            (_, _, Some(identifier)) => identifier + 2,
            (None, Some(ports), _) => ports + 4,
            _ => 0,
        }
    }
}

impl Translation {
    /// That of a connection: `original` is how its first packet came, `reply` how the answer to it comes back
    /// ([`Tuple::reply`] of what [`super::select_source`] gave).
    ///
    /// # Errors
    /// [`NatError::Mismatch`], [`NatError::NoReply`].
    pub fn new(original: &Tuple, reply: &Tuple) -> Result<Self, NatError> {
        let answered = |tuple: &Tuple| tuple.reply().ok_or(NatError::NoReply { tuple: *tuple });
        let same = original.protocol == reply.protocol && original.ip_version() == reply.ip_version();
        if !same {
            return Err(NatError::Mismatch { original: *original });
        }
        let ways = [rewrite(original, &answered(reply)?), rewrite(reply, &answered(original)?)];
        Ok(Self { ways, protocol: original.protocol, is_v6: original.ip_version() == 6 })
    }

    /// What packets of a direction become.
    pub const fn rewrite(&self, way: Way) -> &Rewrite {
        &self.ways[way as usize]
    }

    /// True when nothing changes.
    pub const fn is_identity(&self) -> bool {
        let rewrite = &self.ways[0];
        !rewrite.changes_source && !rewrite.changes_destination && !rewrite.changes_ports
    }

    /// Translates a packet in place. `packet` begins with the IP header and reaches behind the fields that
    /// change, `l4_offset` counts from there. Of a fragment that is not the first (`first_fragment` false)
    /// only the addresses are translated. A UDP checksum of zero stays so.
    ///
    /// # Errors
    /// [`NatError::Short`], [`NatError::Version`]; nothing was changed.
    pub fn apply(
        &self,
        way: Way,
        packet: &mut [u8],
        l4_offset: usize,
        first_fragment: bool,
    ) -> Result<Applied, NatError> {
        let rewrite = self.rewrite(way);
        let places = Places::of(self.protocol);
        let need = if first_fragment { l4_offset.saturating_add(places.need()) } else { 0 };
        self.check(packet, need)?;
        self.write_addresses(packet, &rewrite.source, &rewrite.destination);
        self.fix_header(packet, rewrite.l3_change);
        if !first_fragment {
            return Ok(Applied::default());
        }
        let upper = packet.get_mut(l4_offset..).unwrap_or_default();
        write_ports(upper, places, rewrite.source_port, rewrite.destination_port);
        fix_checksum(upper, places, rewrite.l4_change);
        Ok(Applied { needs_crc32c: self.protocol == p::SCTP && rewrite.changes_ports })
    }

    /// Translates an ICMP error about this connection in place, with the packet that it quotes. `way` is the
    /// error's direction: against that of the packet quoted. `packet` begins with the error's IP header and
    /// holds all of the error, `l4_offset` counts to its ICMP header, `quote_offset` to the quoted IP header,
    /// `quote_l4_offset` to the header behind that. Ports and checksums that the quote does not reach are
    /// left out.
    ///
    /// A router's own address stays, unless this direction's source is translated (as in Linux: what is
    /// behind a translated destination is hidden).
    ///
    /// # Errors
    /// [`NatError::Short`], [`NatError::Version`]; nothing was changed.
    pub fn apply_error(
        &self,
        way: Way,
        packet: &mut [u8],
        l4_offset: usize,
        quote_offset: usize,
        quote_l4_offset: usize,
    ) -> Result<(), NatError> {
        const ICMP_CHECKSUM: usize = 2;
        self.check(packet, l4_offset.saturating_add(8).max(quote_offset))?;
        let have = packet.len();
        let quote = packet.get_mut(quote_offset..).unwrap_or_default();
        self.check(quote, 0).map_err(|error| match error {
            NatError::Short { need, .. } => NatError::Short { need: need + quote_offset, have },
            other => other,
        })?;
        let header_end = quote_offset.min(l4_offset);
        let rewrite = *self.rewrite(way);
        let before = (sum_of(&packet[..header_end]), sum_of(&packet[quote_offset..]));
        let quote_l4 = quote_l4_offset.saturating_sub(quote_offset);
        self.apply_quote(&rewrite, &mut packet[quote_offset..], quote_l4);
        let (source, destination) = self.addresses(packet);
        let source = if rewrite.changes_source { rewrite.source } else { source };
        let destination = if rewrite.changes_destination { rewrite.destination } else { destination };
        self.write_addresses(packet, &source, &destination);
        let header_change = difference(before.0, sum_of(&packet[..header_end]));
        self.fix_header(packet, header_change);
        // The ICMPv6 checksum covers the addresses, too (RFC 4443 2.3).
        let quote_change = difference(before.1, sum_of(&packet[quote_offset..]));
        let change = if self.is_v6 { add(header_change, quote_change) } else { quote_change };
        fix_at(packet, l4_offset + ICMP_CHECKSUM, change, false);
        Ok(())
    }

    /// What was sent, before it was translated: source and destination change places with those of the
    /// answer.
    fn apply_quote(&self, rewrite: &Rewrite, quote: &mut [u8], l4_offset: usize) {
        let mut places = Places::of(self.protocol);
        self.write_addresses(quote, &rewrite.destination, &rewrite.source);
        self.fix_header(quote, rewrite.l3_change);
        let upper = quote.get_mut(l4_offset..).unwrap_or_default();
        let reaches = |at: &usize, bytes: usize| upper.len() >= at + bytes;
        places.ports = places.ports.filter(|at| reaches(at, 4));
        places.identifier = places.identifier.filter(|at| reaches(at, 2));
        places.checksum = places.checksum.filter(|at| reaches(at, 2));
        let (source, destination) = (rewrite.destination_port, rewrite.source_port);
        let source = if places.identifier.is_some() { rewrite.source_port } else { source };
        write_ports(upper, places, source, destination);
        fix_checksum(upper, places, rewrite.l4_change);
    }

    fn check(&self, packet: &[u8], need: usize) -> Result<(), NatError> {
        let (expected, header) = if self.is_v6 { (6, 40) } else { (4, 20) };
        let (need, have) = (need.max(header), packet.len());
        if have < need {
            return Err(NatError::Short { need, have });
        }
        let version = packet[0] >> 4;
        if version == expected { Ok(()) } else { Err(NatError::Version { version, expected }) }
    }

    fn addresses(&self, packet: &[u8]) -> ([u8; 16], [u8; 16]) {
        let mut ends = [[0; 16]; 2];
        let (start, len) = self.layout();
        for (i, end) in ends.iter_mut().enumerate() {
            end[16 - len..].copy_from_slice(&packet[start + i * len..][..len]);
        }
        (ends[0], ends[1])
    }

    fn write_addresses(&self, packet: &mut [u8], source: &[u8; 16], destination: &[u8; 16]) {
        let (start, len) = self.layout();
        packet[start..start + len].copy_from_slice(&source[16 - len..]);
        packet[start + len..start + 2 * len].copy_from_slice(&destination[16 - len..]);
    }

    /// Where the addresses begin and how long each is.
    const fn layout(&self) -> (usize, usize) {
        if self.is_v6 { (8, 16) } else { (12, 4) }
    }

    fn fix_header(&self, packet: &mut [u8], change: u16) {
        if !self.is_v6 {
            fix_at(packet, 10, change, false);
        }
    }
}

fn rewrite(from: &Tuple, to: &Tuple) -> Rewrite {
    let mut l3 = 0;
    let mut l4 = 0;
    for (old, new) in [(&from.source, &to.source), (&from.destination, &to.destination)] {
        l3 = add(l3, difference(sum_of(old), sum_of(new)));
    }
    let pseudo_header = from.protocol != p::ICMPV4;
    if pseudo_header {
        l4 = l3;
    }
    let ports: &[(u16, u16)] = if from.is_icmp() {
        &[(from.source_port, to.source_port)]
    } else {
        &[(from.source_port, to.source_port), (from.destination_port, to.destination_port)]
    };
    for &(old, new) in ports {
        l4 = add(l4, difference(old, new));
    }
    let changed = |&(old, new): &(u16, u16)| old != new;
    // An identifier is the asker's in both directions: it says nothing about a router's own address.
    let end_changed = |at: usize| !from.is_icmp() && ports.get(at).is_some_and(changed);
    Rewrite {
        source: to.source,
        destination: to.destination,
        source_port: to.source_port,
        destination_port: to.destination_port,
        l3_change: if from.ip_version() == 4 { l3 } else { 0 },
        l4_change: l4,
        changes_source: from.source != to.source || end_changed(0),
        changes_destination: from.destination != to.destination || end_changed(1),
        changes_ports: ports.iter().any(changed),
    }
}

fn write_ports(upper: &mut [u8], places: Places, source: u16, destination: u16) {
    if let Some(at) = places.ports {
        upper[at..at + 2].copy_from_slice(&source.to_be_bytes());
        upper[at + 2..at + 4].copy_from_slice(&destination.to_be_bytes());
    }
    if let Some(at) = places.identifier {
        upper[at..at + 2].copy_from_slice(&source.to_be_bytes());
    }
}

fn fix_checksum(upper: &mut [u8], places: Places, change: u16) {
    if let Some(at) = places.checksum {
        fix_at(upper, at, change, places.zero_is_none);
    }
}

/// RFC 1624, equation 3.
fn fix_at(bytes: &mut [u8], at: usize, change: u16, zero_is_none: bool) {
    let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    if zero_is_none && old == 0 || change == 0 {
        return;
    }
    let new = !add(!old, change);
    let new = if zero_is_none && new == 0 { 0xffff } else { new };
    bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
}

/// The ones' complement sum of two sums.
const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// What a sum grows by when a part of it goes from `old` to `new`; 0 when it does not.
const fn difference(old: u16, new: u16) -> u16 {
    if old == new { 0 } else { add(!old, new) }
}

fn sum_of(bytes: &[u8]) -> u16 {
    u16::from_be(sum::fold(sum::sum_words(bytes)))
}
