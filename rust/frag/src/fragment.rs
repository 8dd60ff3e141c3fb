//! Cutting a packet into fragments.
use crate::chain;
use crate::error::FragmentError;
use crate::outcome::Reassembled;
use crate::packet::{FRAGMENT_HEADER, IPV6_HEADER};
use netfast_buf::{ChecksumState, Offsets, PacketPool, Skb};
use netfast_wire::checksum::checksum;
use netfast_wire::dissect::protocol as p;
use smallvec::SmallVec;

/// IPv6 extension headers that stay before the fragment header; more than any packet has.
const MAX_EXTENSIONS: usize = 16;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// How a packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the longest IP packet that may come out, header included.
    pub mtu: u32,
    /// Identification of IPv6 fragments; IPv4 has it in its header.
    pub identification: u32,
    /// Whether an IPv4 packet is cut though it says "don't fragment"; its fragments say so, too.
    pub ignore_df: bool,
}

/// What is the same for the fragments of a packet.
struct Plan {
    v6: bool,
    l3: u32,
    /// Where the data begins in the whole packet.
    data_at: u32,
    /// Headers of the first fragment and of the others, link header included.
    first: Header,
    later: Header,
    /// IPv6: what follows the fragment header.
    next: u8,
    identification: u32,
    /// IPv4: the packet may be a fragment itself.
    offset: u32,
    flags: u16,
    last_flags: u16,
}

type Header = SmallVec<[u8; 128]>;

/// Cuts the IP packet that begins at `l3`, and puts its fragments, each with the link header, behind `into`. `packet` is empty
/// then; one that fits is moved as it is. Gives how many came out. Data is shared, not copied.
///
/// IPv4 (RFC 791 3.2): options go to later fragments by their copied flag. IPv6 (RFC 8200 4.5): hop-by-hop options and a
/// routing header, with destination options before that, are in each fragment.
///
/// # Errors
/// [`FragmentError`]; the packet stays as it is, but for padding, which goes.
pub fn fragment(
    packet: &mut Skb,
    l3: u32,
    cut: &Cut,
    pool: &mut PacketPool,
    into: &mut Vec<Skb>,
) -> Result<usize, FragmentError> {
    let length = ip_length(packet, l3, pool)?;
    packet.trim(l3 + length);
    if length <= cut.mtu {
        into.push(std::mem::take(packet));
        return Ok(1);
    }
    if packet.hot.checksum == ChecksumState::Partial {
        return Err(FragmentError::PartialChecksum);
    }
    let plan = Plan::new(packet, l3, length, cut, pool)?;
    let [first, later] = plan.sizes(cut.mtu)?;
    if plan.v6 {
        plan.check_chain(packet, first, pool)?;
    }
    packet.pop(plan.data_at)?;
    let (mut data, mut at, mut count) = (std::mem::take(packet), 0, 0);
    loop {
        let size = if at == 0 { first } else { later };
        let rest = if data.len() > size { Some(data.split(size)?) } else { None };
        let sent = data.len();
        into.push(plan.dress(data, at, rest.is_some(), pool)?);
        (at, count) = (at + sent, count + 1);
        match rest {
            Some(rest) => data = rest,
            None => return Ok(count),
        }
    }
}

/// Cuts a reassembled datagram into fragments as large as those it was made of, or to `mtu` if that is less. Made by a usual
/// sender, in order and not overlapping, they are the same again byte for byte.
///
/// # Errors
/// [`FragmentError`]; [`FragmentError::DontFragment`] when fragments that no router may cut, those of IPv6 and those with
/// "don't fragment", were larger than `mtu`.
pub fn refragment(
    datagram: &mut Reassembled,
    mtu: u32,
    pool: &mut PacketPool,
    into: &mut Vec<Skb>,
) -> Result<usize, FragmentError> {
    let (packet, largest) = (&mut datagram.packet, datagram.largest_fragment);
    let l3 = packet.hot.outer.l3().unwrap_or(0);
    let fixed = packet.head().get(l3 as usize..).unwrap_or_default();
    let whole = !datagram.key.is_ipv4() || fixed.get(6).is_some_and(|flags| flags & 0x40 != 0);
    if whole && largest > mtu {
        return Err(FragmentError::DontFragment { length: largest, mtu });
    }
    let cut = Cut { mtu: largest.min(mtu), identification: datagram.key.identification(), ignore_df: true };
    fragment(packet, l3, &cut, pool, into)
}

/// Bytes of the IP packet at `l3`, all of which are there.
fn ip_length(packet: &mut Skb, l3: u32, pool: &mut PacketPool) -> Result<u32, FragmentError> {
    let not_ip = FragmentError::NotIp { offset: l3 };
    let fixed = l3.saturating_add(IPV6_HEADER).min(packet.len());
    packet.pull(fixed, pool)?;
    let header = packet.head().get(l3 as usize..).ok_or(not_ip)?;
    let word = |at: usize| Some(u32::from(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?])));
    let (least, length) = match header.first().map(|first| first >> 4) {
        Some(4) => (u32::from(header[0] & 15) * 4, word(2)),
        Some(6) => (IPV6_HEADER + 1, word(4).map(|length| length + IPV6_HEADER)),
        _ => return Err(not_ip),
    };
    let length = length.filter(|&length| length >= least.max(20) && length <= packet.len() - l3);
    length.ok_or(not_ip)
}

impl Plan {
    fn new(
        packet: &mut Skb,
        l3: u32,
        length: u32,
        cut: &Cut,
        pool: &mut PacketPool,
    ) -> Result<Self, FragmentError> {
        if packet.head()[l3 as usize] >> 4 == 6 {
            return Self::ipv6(packet, l3, cut, pool);
        }
        let data_at = l3 + u32::from(packet.head()[l3 as usize] & 15) * 4;
        packet.pull(data_at, pool)?;
        let first = Header::from_slice(&packet.head()[..data_at as usize]);
        let header = &first[l3 as usize..];
        let field = u16::from_be_bytes([header[6], header[7]]);
        if field & DONT_FRAGMENT != 0 && !cut.ignore_df {
            return Err(FragmentError::DontFragment { length, mtu: cut.mtu });
        }
        let mut later = Header::from_slice(&first[..l3 as usize + 20]);
        copied_options(&header[20..], &mut later);
        let words = (later.len() - l3 as usize) / 4;
        later[l3 as usize] = 0x40 | words as u8;
        Ok(Self {
            v6: false,
            l3,
            data_at,
            first,
            later,
            next: 0,
            identification: 0,
            offset: u32::from(field & 0x1fff) * 8,
            flags: field & DONT_FRAGMENT | MORE_FRAGMENTS,
            last_flags: field & (DONT_FRAGMENT | MORE_FRAGMENTS),
        })
    }

    fn ipv6(packet: &mut Skb, l3: u32, cut: &Cut, pool: &mut PacketPool) -> Result<Self, FragmentError> {
        let (previous, data_at, next) = unfragmentable(packet, l3, pool)?;
        let mut first = Header::from_slice(&packet.head()[..data_at as usize]);
        first[previous] = p::FRAGMENT;
        Ok(Self {
            v6: true,
            l3,
            data_at,
            later: first.clone(),
            first,
            next,
            identification: cut.identification,
            offset: 0,
            flags: 1,
            last_flags: 0,
        })
    }

    /// Bytes of data in the first fragment and in others, multiples of eight.
    fn sizes(&self, mtu: u32) -> Result<[u32; 2], FragmentError> {
        let mut sizes = [0; 2];
        for (size, header) in sizes.iter_mut().zip([&self.first, &self.later]) {
            let headers = header.len() as u32 - self.l3 + if self.v6 { FRAGMENT_HEADER } else { 0 };
            *size = mtu.saturating_sub(headers) & !7;
            if *size == 0 {
                return Err(FragmentError::MtuTooSmall { mtu, need: headers + 8 });
            }
        }
        Ok(sizes)
    }

    fn check_chain(&self, packet: &mut Skb, room: u32, pool: &mut PacketPool) -> Result<(), FragmentError> {
        let end = (self.data_at + room).min(packet.len());
        let whole = |packet: &Skb| {
            let data = packet.head().get(self.data_at as usize..).unwrap_or_default();
            chain::is_whole(self.next, &data[..data.len().min(room as usize)])
        };
        if !whole(packet) {
            packet.pull(end, pool)?;
            if !whole(packet) {
                return Err(FragmentError::HeaderChain { room });
            }
        }
        Ok(())
    }

    /// Puts the headers before the data that begins at `at`.
    fn dress(&self, mut data: Skb, at: u32, more: bool, pool: &mut PacketPool) -> Result<Skb, FragmentError> {
        let (l3, len) = (self.l3 as usize, data.len());
        let header = if at == 0 { &self.first } else { &self.later };
        let extra = if self.v6 { FRAGMENT_HEADER as usize } else { 0 };
        let total = header.len() + extra;
        let into = data.push(total as u32, pool)?;
        into[..header.len()].copy_from_slice(header);
        let flags = if more { self.flags } else { self.last_flags };
        let offset = self.offset + at;
        if self.v6 {
            let length = (header.len() + extra - l3) as u32 - IPV6_HEADER + len;
            into[l3 + 4..l3 + 6].copy_from_slice(&(length as u16).to_be_bytes());
            let fragment = &mut into[header.len()..];
            (fragment[0], fragment[1]) = (self.next, 0);
            fragment[2..4].copy_from_slice(&(offset as u16 | flags).to_be_bytes());
            fragment[4..8].copy_from_slice(&self.identification.to_be_bytes());
        } else {
            let ip = &mut into[l3..];
            let length = (ip.len() as u32 + len) as u16;
            ip[2..4].copy_from_slice(&length.to_be_bytes());
            ip[6..8].copy_from_slice(&((offset / 8) as u16 | flags).to_be_bytes());
            ip[10..12].fill(0);
            let sum = checksum(ip).to_be_bytes();
            ip[10..12].copy_from_slice(&sum);
        }
        data.set_header_length(total as u32, pool)?;
        data.hot.checksum = ChecksumState::Unchecked;
        data.hot.outer = Offsets::new((l3 > 0).then_some(0), Some(self.l3), Some(total as u32));
        Ok(data)
    }
}

/// The options that each fragment has (RFC 791 3.1, the copied flag), padded with zeros to whole words. A malformed one
/// ends them.
fn copied_options(mut options: &[u8], into: &mut Header) {
    const COPIED: u8 = 0x80;
    // The link header may have any length.
    let before = into.len();
    while let [kind, rest @ ..] = options {
        let len = match (*kind, rest.first()) {
            (0, _) => break,
            (1, _) => 1,
            (_, Some(&len)) if (2..=options.len()).contains(&usize::from(len)) => usize::from(len),
            _ => break,
        };
        let (option, behind) = options.split_at(len);
        if kind & COPIED != 0 {
            into.extend_from_slice(option);
        }
        options = behind;
    }
    let odd = (into.len() - before) % 4;
    into.extend(std::iter::repeat_n(0, if odd == 0 { 0 } else { 4 - odd }));
}

/// Where the header that stays last in each fragment says what follows, where the data behind it begins, and what that is.
fn unfragmentable(
    packet: &mut Skb,
    l3: u32,
    pool: &mut PacketPool,
) -> Result<(usize, u32, u8), FragmentError> {
    let (mut previous, mut at) = (l3 as usize + 6, l3 + IPV6_HEADER);
    let mut next = packet.head()[previous];
    let mut found = (previous, at, next);
    for _ in 0..MAX_EXTENSIONS {
        if next == p::FRAGMENT {
            return Err(FragmentError::AlreadyFragment { offset: at });
        }
        if !matches!(next, p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS) {
            break;
        }
        packet.pull((at + 8).min(packet.len()), pool)?;
        let Some(&[after, words]) = packet.head().get(at as usize..).and_then(|rest| rest.first_chunk::<2>())
        else {
            break;
        };
        let len = (u32::from(words) + 1) * 8;
        if at + len > packet.len() {
            break;
        }
        packet.pull(at + len, pool)?;
        (previous, at) = (at as usize, at + len);
        // Destination options stay only before a routing header.
        let stays = next != p::DESTINATION_OPTIONS;
        next = after;
        if stays {
            found = (previous, at, next);
        }
    }
    Ok(found)
}
