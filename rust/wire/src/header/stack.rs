//! Headers stacked on each other and a payload, emitted as one packet.
use std::net::IpAddr;

use super::chain;
use super::spec::HeaderError;
use super::value::Header;
use crate::{HeaderKind, LinkType};

/// Headers, outermost first, and the bytes behind them.
///
/// Emission fills in what is [`Value::Auto`](super::Value::Auto): lengths, the numbers that say what follows, counts and
/// checksums. What the caller set is written as it is, right or wrong, so that any packet can be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stack {
    /// Outermost first.
    pub headers: Vec<Header>,
    /// What follows the last header.
    pub payload: Vec<u8>,
    /// What stands behind the packet, such as the padding of a short Ethernet frame; that of the innermost first.
    pub trailers: Vec<Trailer>,
    /// The capture has only the first bytes of the packet, which [`rederive`](Self::rederive) has regard for.
    pub cut: bool,
}

/// Bytes behind the end of a packet by its own lengths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trailer {
    /// Index of the first header whose lengths do not count them; those before it (of a tunnel) do.
    pub uncounted: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Stack {
    /// The headers that dissection visited in `bytes`, what is behind the last as payload, and what is behind `end`,
    /// where the packet ends by its own lengths, as trailer. See [`Dissection::stack`](super::Dissection::stack) for
    /// packets in tunnels.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when a header does not lie within the bytes.
    pub fn from_visits(
        bytes: &[u8],
        visits: &[(HeaderKind, usize, usize)],
        end: usize,
    ) -> Result<Self, HeaderError> {
        let end = end.min(bytes.len());
        let mut stack = Self::default();
        let mut behind = visits.first().map_or(0, |(_, offset, _)| *offset);
        for (kind, offset, len) in extents(bytes, visits, end) {
            let header = bytes.get(offset..offset.saturating_add(len)).unwrap_or(&[]);
            stack.headers.push(Header::exact(kind, header)?);
            behind = offset + len;
        }
        stack.payload = bytes.get(behind..end).unwrap_or(&[]).to_vec();
        if end < bytes.len() {
            stack.trailers.push(Trailer { uncounted: 0, bytes: bytes[end..].to_vec() });
        }
        Ok(stack)
    }

    /// Bytes that emission writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        let headers: usize = self.headers.iter().map(Header::buffer_len).sum();
        headers
            + self.unaligned().map(|(_, pad)| pad).sum::<usize>()
            + self.payload.len()
            + self.trailer_len()
    }

    /// Authentication headers whose length is left to emission, with the bytes that they lack: over IPv6 their length is
    /// a multiple of 8 (RFC 4302 section 3.3.3.2.1).
    fn unaligned(&self) -> impl Iterator<Item = (usize, usize)> {
        let is_ip = |header: &&Header| matches!(header.kind(), HeaderKind::Ipv4 | HeaderKind::Ipv6);
        self.headers.iter().enumerate().filter_map(move |(index, header)| {
            let pad = header.buffer_len().next_multiple_of(8) - header.buffer_len();
            let open = pad != 0 && header.kind() == HeaderKind::Auth && header.is_auto(chain::AUTH_LEN);
            let over = self.headers[..index].iter().rev().filter(|_| open).find(is_ip)?;
            (over.kind() == HeaderKind::Ipv6).then_some((index, pad))
        })
    }

    /// The stack as it is emitted, when that is not as it stands: with integrity check values padded.
    fn padded(&self) -> Option<Self> {
        self.unaligned().next()?;
        let mut stack = self.clone();
        for (index, pad) in self.unaligned() {
            stack.headers[index].pad_tail(pad);
        }
        Some(stack)
    }

    /// Writes the family of a [`Null`](super::link::Null) header as this link type has it: OpenBSD's LOOP has it in
    /// network byte order, and its own number for IPv6. Other link types and headers stay as they are.
    pub fn fit(&mut self, link: LinkType) {
        let next = self.headers.get(1).map(Header::kind);
        if let Some(header) = self.headers.first_mut().filter(|_| link == LinkType::LOOP)
            && header.kind() == HeaderKind::Null
            && let Some(family) = chain::loop_family(header, next)
            && let Ok(fitted) = Header::exact(HeaderKind::Null, &family.to_be_bytes())
        {
            *header = fitted;
        }
    }

    /// Bytes of all trailers.
    #[must_use]
    pub fn trailer_len(&self) -> usize {
        self.trailers.iter().map(|trailer| trailer.bytes.len()).sum()
    }

    /// Puts another stack behind this one's headers and payload; its trailers go before this one's.
    pub fn append(&mut self, other: &Self) {
        let first = self.headers.len();
        let shifted = |trailer: &Trailer| Trailer {
            uncounted: trailer.uncounted + first,
            bytes: trailer.bytes.clone(),
        };
        self.trailers.splice(0..0, other.trailers.iter().map(shifted));
        self.headers.extend_from_slice(&other.headers);
        self.payload.extend_from_slice(&other.payload);
        self.cut |= other.cut;
    }

    /// Writes the packet; returns its length.
    ///
    /// # Errors
    /// The output is too short, a length does not fit its field, or a field that is neither set nor derivable.
    pub fn emit(&self, output: &mut [u8]) -> Result<usize, HeaderError> {
        if let Some(padded) = self.padded() {
            return padded.emit(output);
        }
        let need = self.buffer_len();
        let have = output.len();
        let output = output.get_mut(..need).ok_or(HeaderError::OutputTooShort { need, have })?;
        let mut offset = 0;
        for header in &self.headers {
            offset += header.emit(&mut output[offset..])?;
        }
        let mut write = |bytes: &[u8]| {
            output[offset..offset + bytes.len()].copy_from_slice(bytes);
            offset += bytes.len();
        };
        write(&self.payload);
        self.trailers.iter().for_each(|trailer| write(&trailer.bytes));
        chain::fill(self, output)?;
        Ok(need)
    }

    /// The packet's bytes.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn to_vec(&self) -> Result<Vec<u8>, HeaderError> {
        let mut output = vec![0; self.buffer_len()];
        self.emit(&mut output)?;
        Ok(output)
    }

    /// Leaves lengths and checksums to emission again, and of the numbers that say what follows those that netfast
    /// derives. For a captured packet that was changed.
    ///
    /// What depends on bytes that are not there is kept: of a packet that the capture cut, the lengths and checksums of
    /// what reaches beyond the cut; behind a header that says that the packet is a fragment, those of the whole.
    pub fn rederive(&mut self) {
        let mut whole = !self.cut;
        let mut parts = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            parts.push(whole);
            whole &= !chain::is_fragment(header);
        }
        let mut behind = self.payload.len();
        for index in (0..self.headers.len()).rev() {
            let follower = self.headers.get(index + 1).map(Header::kind);
            chain::rederive(&mut self.headers[index], follower, behind, parts[index]);
            behind += self.headers[index].buffer_len();
        }
    }

    /// The link type of a capture whose packets begin with the outermost header; `None` when no link type does.
    #[must_use]
    pub fn link_type(&self) -> Option<LinkType> {
        Some(match self.headers.first()?.kind() {
            HeaderKind::Ethernet => LinkType::ETHERNET,
            HeaderKind::Ipv4 | HeaderKind::Ipv6 => LinkType::RAW,
            HeaderKind::Null => LinkType::NULL,
            HeaderKind::Ppp => LinkType::PPP,
            HeaderKind::Pppoe => LinkType::PPP_ETHER,
            HeaderKind::LinuxSll => LinkType::LINUX_SLL,
            HeaderKind::LinuxSll2 => LinkType::LINUX_SLL2,
            HeaderKind::Radiotap => LinkType::IEEE802_11_RADIOTAP,
            HeaderKind::Dot11 => LinkType::IEEE802_11,
            HeaderKind::Payload => LinkType::ETHERNET,
            _ => return None,
        })
    }

    /// The outermost source and destination.
    #[must_use]
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        self.headers.iter().find_map(|header| {
            let bytes = header.as_bytes();
            match header.kind() {
                HeaderKind::Ipv4 => {
                    super::network::Ipv4::new_checked(bytes).ok().map(|ip| (ip.src().into(), ip.dst().into()))
                }
                HeaderKind::Ipv6 => {
                    super::network::Ipv6::new_checked(bytes).ok().map(|ip| (ip.src().into(), ip.dst().into()))
                }
                _ => None,
            }
        })
    }
}

/// The extent of each visited header as the tables count it, and the gaps between them as payload.
///
/// Messages that are all header (neighbour discovery, SCTP chunks) reach further than dissection had to look; bytes
/// between a tunnel's header and the packet in it that no table describes are a gap.
#[must_use]
pub fn extents(
    bytes: &[u8],
    visits: &[(HeaderKind, usize, usize)],
    end: usize,
) -> Vec<(HeaderKind, usize, usize)> {
    let mut list: Vec<(HeaderKind, usize, usize)> = Vec::with_capacity(visits.len());
    for (index, (kind, offset, len)) in visits.iter().enumerate() {
        let behind = list.last().map_or(0, |(_, offset, len)| offset + len);
        if *offset > behind && !list.is_empty() {
            list.push((HeaderKind::Payload, behind, offset - behind));
        }
        let last = index + 1 == visits.len();
        let message = matches!(
            kind,
            HeaderKind::Sctp | HeaderKind::Icmpv4 | HeaderKind::Icmpv6 | HeaderKind::Igmp | HeaderKind::Pppoe
        );
        let reach = bytes.get(*offset..end.min(bytes.len())).unwrap_or(&[]);
        match super::spec(*kind).slice(reach) {
            Ok(header) if message && last => list.push((*kind, *offset, header.len())),
            _ => list.push((*kind, *offset, *len)),
        }
    }
    list
}
