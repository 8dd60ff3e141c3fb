//! A held packet and what was merged into it.
use super::headers::{Carrier, Headers, Layout, MAX_HEADERS, Network, be16};
use super::reason::{End, Reason};
use super::sums::Sums;
use netfast_buf::{ChecksumState, GsoFlags, GsoType, MAX_SEGMENTS, Offsets, PacketPool, Skb};
use netfast_low::sum::{self, fold};
use netfast_time::Instant;

const WORDS: usize = MAX_HEADERS / 8;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Where TCP's flags and its checksum stand.
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;

/// How long a merged packet may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub length: u32,
    pub segments: u16,
}

/// How the identifications of an IPv4 header go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ids {
    /// There is one packet.
    #[default]
    Unknown,
    Fixed,
    Counting,
}

/// What is different in each packet of a train, of one IP header.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The last identification.
    id: u16,
    ids: Ids,
    /// The sum of length, identification and checksum, which is the same as long as all else is.
    rest: u16,
}

impl Track {
    fn of(head: &[u8], network: Network) -> Self {
        let at = usize::from(network.at);
        if network.version != 4 {
            return Self::default();
        }
        Self { id: be16(head, at + 4).unwrap_or(0), ids: Ids::Unknown, rest: rest(head, at) }
    }

    /// What it becomes with the header of a packet of `length` bytes.
    #[inline(always)]
    fn next(self, head: &[u8], network: Network, length: u32) -> Result<Self, Reason> {
        let at = usize::from(network.at);
        let Some(header) = head.get(at..).and_then(|bytes| bytes.first_chunk::<20>()) else {
            return Err(Reason::Malformed);
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if network.version == 6 {
            let whole = u32::from(network.at) + 40 + u32::from(word(4));
            return if whole == length { Ok(self) } else { Err(Reason::Trailer) };
        }
        if u32::from(network.at) + u32::from(word(2)) != length {
            return Err(Reason::Trailer);
        }
        if word(10) == 0xffff || rest(head, at) != self.rest {
            return Err(Reason::ChecksumBad);
        }
        let id = word(4);
        let counts = id == self.id.wrapping_add(1);
        let stays = id == self.id && header[6] & 0x40 != 0;
        let ids = match self.ids {
            Ids::Unknown | Ids::Counting if counts => Ids::Counting,
            Ids::Unknown | Ids::Fixed if stays => Ids::Fixed,
            _ => return Err(Reason::IpId),
        };
        Ok(Self { id, ids, rest: self.rest })
    }
}

#[inline(always)]
fn rest(head: &[u8], at: usize) -> u16 {
    let word = |at: usize| be16(head, at).map_or(0, u64::from);
    fold(word(at + 2) + word(at + 4) + word(at + 10))
}

/// A packet that is held. Its memory is kept when it goes, for the next one.
#[derive(Debug)]
pub(super) struct Train {
    /// [`Headers::flow`].
    pub flow: u64,
    pub packet: Skb,
    pub started: Instant,
    /// Counts the trains of a table.
    pub order: u64,
    /// The next older and newer one held, in the table.
    pub older: u32,
    pub newer: u32,
    port: u32,
    /// The sequence number that goes on.
    next: u32,
    /// Payload of the first packet.
    size: u32,
    /// Packets in it; 0 when there is no train.
    pub count: u16,
    /// The flags of the segments that came after the first.
    flags: u8,
    is_partial: bool,
    layout: Layout,
    outer: Track,
    inner: Track,
    sums: Sums,
    /// The headers of the first packet, and a one for each bit that is the same in all.
    words: [u64; WORDS],
    masks: [u64; WORDS],
    last: u64,
    last_mask: u64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            flow: 0,
            packet: Skb::new(),
            started: Instant::ZERO,
            order: 0,
            older: 0,
            newer: 0,
            port: 0,
            next: 0,
            size: 0,
            count: 0,
            flags: 0,
            is_partial: false,
            layout: Layout::default(),
            outer: Track::default(),
            inner: Track::default(),
            sums: Sums::default(),
            words: [0; WORDS],
            masks: [0; WORDS],
            last: 0,
            last_mask: 0,
        }
    }
}

/// What merging a packet led to.
pub(super) enum Merged {
    /// Others may follow.
    On,
    /// Nothing may follow it.
    Ends(End),
}

/// Why a packet was not merged.
pub(super) enum Refused {
    Packet(Reason),
    /// The first packet of the train has a wrong checksum: it is no longer the first of anything.
    First,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Packet(reason)
    }
}

/// Why a packet that has no reason yet cannot be the first of several.
pub(super) fn cannot_begin(head: &[u8], layout: &Layout) -> Option<Reason> {
    let flags = head.get(usize::from(layout.inner.transport) + TCP_FLAGS)?;
    (layout.tcp && flags & (FIN | PSH) != 0).then_some(Reason::Push)
}

impl Train {
    /// Begins with a packet that may be merged, which is taken.
    #[inline]
    pub(super) fn begin(&mut self, packet: &mut Skb, headers: &Headers, now: Instant) {
        let layout = headers.layout;
        if self.layout != layout {
            self.layout = layout;
            self.make_masks();
        }
        let head = packet.head();
        let length = usize::from(layout.payload);
        if let Some(bytes) = head.get(..length) {
            let (chunks, _) = bytes.as_chunks::<8>();
            self.words.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
            self.last = bytes.last_chunk().map_or(0, |chunk| u64::from_ne_bytes(*chunk));
        }
        self.size = packet.len() - length as u32;
        self.next = sequence(head, &layout).wrapping_add(self.size);
        self.inner = Track::of(head, layout.inner);
        if layout.carrier != Carrier::None {
            self.outer = Track::of(head, layout.outer);
        }
        self.flow = headers.flow.unwrap_or(0);
        self.port = packet.hot.in_port;
        self.is_partial = packet.hot.checksum == ChecksumState::Partial;
        (self.count, self.flags, self.started) = (1, 0, now);
        self.packet = std::mem::take(packet);
    }

    /// Bytes of headers.
    #[inline(always)]
    pub(super) fn headers(&self) -> u64 {
        u64::from(self.layout.payload)
    }

    /// The headers say the same in all fields that have to.
    #[inline(always)]
    pub(super) fn resembles(&self, packet: &Skb, head: &[u8]) -> bool {
        let Some(bytes) = head.get(..usize::from(self.layout.payload)) else { return false };
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut differs = match bytes.last_chunk() {
            Some(chunk) => (u64::from_ne_bytes(*chunk) ^ self.last) & self.last_mask,
            None => return false,
        };
        for ((chunk, word), mask) in chunks.iter().zip(&self.words).zip(&self.masks) {
            differs |= (u64::from_ne_bytes(*chunk) ^ word) & mask;
        }
        let hot = &packet.hot;
        let is_partial = hot.checksum == ChecksumState::Partial;
        differs == 0
            && hot.in_port == self.port
            && hot.gso_size == 0
            && is_partial == self.is_partial
            && hot.checksum != ChecksumState::Bad
    }

    /// Merges a packet that [resembles](Self::resembles) the first: it is empty then.
    #[inline]
    pub(super) fn merge(
        &mut self,
        packet: &mut Skb,
        bounds: &Bounds,
        pool: &mut PacketPool,
    ) -> Result<Merged, Refused> {
        let (length, headers) = (packet.len(), u32::from(self.layout.payload));
        let size = length.saturating_sub(headers);
        let head = packet.head();
        let layout = &self.layout;
        if size == 0 {
            return Err(Reason::NoPayload.into());
        }
        let inner = self.inner.next(head, layout.inner, length)?;
        let outer = match layout.carrier {
            Carrier::None => self.outer,
            _ => self.outer.next(head, layout.outer, length)?,
        };
        let at = usize::from(layout.inner.transport);
        let flags = if layout.tcp { self.goes_on(head, at)? } else { datagram(head, at, length)? };
        if layout.carrier == Carrier::Udp {
            datagram(head, usize::from(layout.outer.transport), length)?;
        }
        if size > self.size {
            return Err(Reason::Longer.into());
        }
        let outermost = if layout.carrier == Carrier::None { layout.inner.at } else { layout.outer.at };
        if self.packet.len() + size - u32::from(outermost) > bounds.length {
            return Err(Reason::Length.into());
        }
        if self.count == 1 {
            self.second(packet, pool)?;
        } else if self.packet.segments().len() + packet.segments().len() > MAX_SEGMENTS {
            return Err(Reason::Pieces.into());
        }
        self.sums.admit(&self.layout, packet, (self.packet.len() - headers) & 1 == 1, self.is_partial)?;
        if packet.pop(headers).is_err() || self.packet.append(packet, pool).is_err() {
            return Err(Reason::Malformed.into());
        }
        (self.inner, self.outer) = (inner, outer);
        self.next = self.next.wrapping_add(size);
        self.flags |= flags;
        self.count += 1;
        Ok(if self.flags & (FIN | PSH) != 0 {
            Merged::Ends(End::Push)
        } else if size < self.size {
            Merged::Ends(End::Short)
        } else if self.count >= bounds.segments {
            Merged::Ends(End::Segments)
        } else {
            Merged::On
        })
    }

    /// The flags of a segment that is the next one.
    #[inline(always)]
    fn goes_on(&self, head: &[u8], at: usize) -> Result<u8, Reason> {
        let Some(header) = head.get(at..).and_then(|bytes| bytes.first_chunk::<20>()) else {
            return Err(Reason::Malformed);
        };
        let flags = header[TCP_FLAGS];
        if flags & CWR != 0 {
            return Err(Reason::Cwr);
        }
        if u32::from_be_bytes([header[4], header[5], header[6], header[7]]) != self.next {
            return Err(Reason::Sequence);
        }
        if header[TCP_CHECKSUM..TCP_CHECKSUM + 2] == [0xff, 0xff] && !self.is_partial {
            return Err(Reason::ChecksumForm);
        }
        Ok(flags & (FIN | PSH))
    }

    /// A second packet comes: the first one's headers become its own, and its checksum is looked at.
    #[inline(never)]
    fn second(&mut self, packet: &Skb, pool: &mut PacketPool) -> Result<(), Refused> {
        let headers = u32::from(self.layout.payload);
        self.sums = Sums::of(&self.layout, &self.packet);
        if self.sums.admit(&self.layout, &mut self.packet, false, self.is_partial).is_err() {
            return Err(Refused::First);
        }
        if self.packet.headers_mut(headers, pool).is_err() {
            return Err(Refused::First);
        }
        if self.packet.segments().len() + packet.segments().len() > MAX_SEGMENTS {
            return Err(Reason::Pieces.into());
        }
        Ok(())
    }

    /// The packet, with headers that say what it became.
    #[inline]
    pub(super) fn finish(&mut self, pool: &mut PacketPool) -> Skb {
        let mut packet = std::mem::take(&mut self.packet);
        if self.count > 1 {
            self.write(&mut packet, pool);
        }
        self.count = 0;
        packet
    }

    fn write(&mut self, packet: &mut Skb, pool: &mut PacketPool) {
        let (length, layout) = (packet.len(), self.layout);
        let Ok(head) = packet.headers_mut(u32::from(layout.payload), pool) else { return };
        write_length(head, layout.inner, length);
        if layout.carrier != Carrier::None {
            write_length(head, layout.outer, length);
        }
        let at = usize::from(layout.inner.transport);
        if layout.tcp {
            head[at + TCP_FLAGS] |= self.flags;
        } else {
            put(head, at + 4, (length - at as u32) as u16);
        }
        if layout.carrier == Carrier::Udp {
            let at = usize::from(layout.outer.transport);
            put(head, at + 4, (length - at as u32) as u16);
        }
        self.sums.write(&layout, head, length, self.is_partial);
        let hot = &mut packet.hot;
        hot.gso_size = self.size as u16;
        hot.gso_segments = self.count;
        hot.gso_type = match (layout.tcp, layout.inner.version) {
            (false, _) => GsoType::Udp,
            (true, 4) => GsoType::Tcp4,
            (true, _) => GsoType::Tcp6,
        };
        hot.checksum = if self.is_partial { ChecksumState::Partial } else { ChecksumState::Good };
        self.mark(packet);
    }

    fn mark(&self, packet: &mut Skb) {
        let (layout, hot) = (&self.layout, &mut packet.hot);
        let offsets = |l2, network: Network| {
            Offsets::new(l2, Some(u32::from(network.at)), Some(u32::from(network.transport)))
        };
        let fixed = |track: &Track, flag| if track.ids == Ids::Fixed { flag } else { GsoFlags::default() };
        let (first, track) = match layout.carrier {
            Carrier::None => (layout.inner, &self.inner),
            _ => (layout.outer, &self.outer),
        };
        let l2 = (first.at > 0).then_some(0);
        hot.outer = offsets(l2, first);
        hot.inner = Offsets::default();
        hot.gso_flags = fixed(track, GsoFlags::FIXED_ID);
        if layout.carrier != Carrier::None {
            hot.inner = offsets(layout.inner_l2.map(u32::from), layout.inner);
            hot.gso_flags =
                hot.gso_flags.with(GsoFlags::TUNNEL).with(fixed(&self.inner, GsoFlags::INNER_FIXED_ID));
        }
    }

    /// Why a packet of its flow does not resemble it: by the first bit that differs.
    #[cold]
    pub(super) fn difference(&self, packet: &Skb, headers: &Headers) -> Reason {
        let (layout, head) = (&self.layout, packet.head());
        if (packet.hot.checksum == ChecksumState::Partial) != self.is_partial {
            return Reason::ChecksumPartial;
        }
        let at = usize::from(layout.inner.transport);
        if *layout != headers.layout {
            let shorter = Layout { payload: layout.payload, ..headers.layout };
            return if shorter == *layout { Reason::TcpOptions } else { Reason::LinkHeader };
        }
        let bytes = |words: &[u64; WORDS]| -> [[u8; 8]; WORDS] { words.map(u64::to_ne_bytes) };
        let (mine, masks) = (bytes(&self.words), bytes(&self.masks));
        let length = usize::from(layout.payload);
        let whole = length / 8 * 8;
        let first =
            (0..whole).find(|&at| (mine.as_flattened()[at] ^ head[at]) & masks.as_flattened()[at] != 0);
        // Then it is in the last word, which is TCP's: UDP's is not compared.
        let place = first.unwrap_or(length - 1);
        let within =
            |network: Network| (usize::from(network.at)..usize::from(network.transport)).contains(&place);
        if place >= at + 20 {
            Reason::TcpOptions
        } else if place >= at {
            Reason::TcpHeader
        } else if within(layout.inner) || layout.carrier != Carrier::None && within(layout.outer) {
            Reason::IpHeader
        } else {
            Reason::LinkHeader
        }
    }

    /// Which bits are the same in each packet of a train depends only on where the headers are.
    fn make_masks(&mut self) {
        let layout = &self.layout;
        let length = usize::from(layout.payload);
        let mut masks = [0xff_u8; MAX_HEADERS];
        let mut open = |at: usize, count: usize| masks[at..at + count].fill(0);
        let mut network = |network: Network| {
            let at = usize::from(network.at);
            if network.version == 4 {
                open(at + 2, 4);
                open(at + 10, 2);
            } else {
                open(at + 4, 2);
            }
        };
        network(layout.inner);
        let outer = usize::from(layout.outer.transport);
        match layout.carrier {
            Carrier::None => {}
            carrier => {
                network(layout.outer);
                match carrier {
                    Carrier::Udp => open(outer + 4, 4),
                    Carrier::Gre { checksum: true } => open(outer + 4, 2),
                    _ => {}
                }
            }
        }
        let at = usize::from(layout.inner.transport);
        if layout.tcp {
            open(at + 4, 4);
            open(at + TCP_CHECKSUM, 2);
            masks[at + TCP_FLAGS] = !(CWR | PSH | FIN);
        } else {
            open(at + 4, 4);
        }
        let (chunks, _) = masks.as_chunks::<8>();
        self.masks.iter_mut().zip(chunks).for_each(|(mask, chunk)| *mask = u64::from_ne_bytes(*chunk));
        self.last_mask = masks[..length].last_chunk().map_or(0, |chunk| u64::from_ne_bytes(*chunk));
    }
}

/// The length of a UDP datagram is that of what is there; there is no flag in it.
#[inline(always)]
fn datagram(head: &[u8], at: usize, length: u32) -> Result<u8, Reason> {
    match be16(head, at + 4) {
        Some(says) if at as u32 + u32::from(says) == length => Ok(0),
        _ => Err(Reason::Trailer),
    }
}

#[inline(always)]
fn sequence(head: &[u8], layout: &Layout) -> u32 {
    let bytes = head.get(usize::from(layout.inner.transport) + 4..).and_then(|bytes| bytes.first_chunk());
    bytes.filter(|_| layout.tcp).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[inline(always)]
fn put(head: &mut [u8], at: usize, value: u16) {
    if let Some(field) = head.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The length of an IP packet that ends with the whole, and the checksum of its header.
fn write_length(head: &mut [u8], network: Network, length: u32) {
    let at = usize::from(network.at);
    let length = length - u32::from(network.at);
    if network.version == 6 {
        put(head, at + 4, (length - 40) as u16);
        return;
    }
    put(head, at + 2, length as u16);
    put(head, at + 10, 0);
    let checksum = head.get(at..at + 20).map_or(0, |header| !fold(sum::sum_words(header)));
    put(head, at + 10, u16::from_be(checksum));
}
