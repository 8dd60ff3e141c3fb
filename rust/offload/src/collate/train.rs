//! A held packet and what was merged into it.
use super::headers::{Carrier, Headers, Layout, MAX_HEADERS, Network, be16};
use super::reason::{End, Reason};
use super::sums::{Part, Sums};
use netfast_buf::{ChecksumState, GsoFlags, GsoType, MAX_SEGMENTS, Offsets, PacketPool, Skb};
use netfast_low::sum::{self, fold};
use netfast_time::Instant;

/// Headers are compared in blocks of two words; the last one overlaps.
type Block = [u64; 2];
const BLOCK: usize = size_of::<Block>();
const BLOCKS: usize = MAX_HEADERS / BLOCK;
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

/// What is different in each packet of a train, of one IP header.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The identification of the next packet, which is `step` (0 or 1) above that of the last.
    next: u16,
    step: u16,
    /// The sum of length, identification and checksum, which is the same as long as all else is.
    rest: u16,
}

impl Track {
    fn of(head: &[u8], network: Network) -> Self {
        match header::<20>(head, network.at) {
            Some(ip) if network.version == 4 => {
                Self { next: be16(ip, 4).unwrap_or(0), step: 0, rest: rest(ip) }
            }
            _ => Self::default(),
        }
    }

    /// The second packet tells whether identifications count.
    #[cold]
    fn learn(&mut self, head: &[u8], network: Network) -> Result<(), Reason> {
        let Some(ip) = header::<20>(head, network.at).filter(|_| network.version == 4) else { return Ok(()) };
        let dont_fragment = ip[6] & 0x40 != 0;
        let first = self.next.wrapping_sub(self.step);
        self.step = match be16(ip, 4).unwrap_or(0).wrapping_sub(first) {
            1 => 1,
            0 if dont_fragment => 0,
            _ => return Err(Reason::IpId),
        };
        self.next = first.wrapping_add(self.step);
        Ok(())
    }

    /// The header of a packet of `length` bytes is the next one.
    #[inline(always)]
    fn goes_on(&self, head: &[u8], network: Network, length: u32) -> Result<(), Reason> {
        let Some(ip) = header::<20>(head, network.at) else { return Err(Reason::Malformed) };
        let rest_of_packet = length.wrapping_sub(u32::from(network.at));
        if network.version == 6 {
            let says = 40 + u32::from(u16::from_be_bytes([ip[4], ip[5]]));
            return if says == rest_of_packet { Ok(()) } else { Err(Reason::Trailer) };
        }
        if u32::from(u16::from_be_bytes([ip[2], ip[3]])) != rest_of_packet {
            return Err(Reason::Trailer);
        }
        if [ip[10], ip[11]] == [0xff, 0xff] || rest(ip) != self.rest {
            return Err(Reason::ChecksumBad);
        }
        if u16::from_be_bytes([ip[4], ip[5]]) != self.next {
            return Err(Reason::IpId);
        }
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.next = self.next.wrapping_add(self.step);
    }
}

/// `N` bytes at a place.
#[inline(always)]
fn header<const N: usize>(head: &[u8], at: u16) -> Option<&[u8; N]> {
    head.get(usize::from(at)..)?.first_chunk()
}

#[inline(always)]
fn rest(ip: &[u8; 20]) -> u16 {
    let word = |at: usize| u32::from(u16::from_ne_bytes([ip[at], ip[at + 1]]));
    let sum = word(2) + word(4) + word(10);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
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
    /// Pieces of the packet.
    pieces: u32,
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
    blocks: [Block; BLOCKS],
    masks: [Block; BLOCKS],
    last: Block,
    last_mask: Block,
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
            pieces: 0,
            count: 0,
            flags: 0,
            is_partial: false,
            layout: Layout::default(),
            outer: Track::default(),
            inner: Track::default(),
            sums: Sums::default(),
            blocks: [[0; 2]; BLOCKS],
            masks: [[0; 2]; BLOCKS],
            last: [0; 2],
            last_mask: [0; 2],
        }
    }
}

/// A packet that can be merged.
pub(super) struct Next {
    /// Bytes of payload, and their sum.
    size: u32,
    sum: u16,
    /// FIN and PSH.
    flags: u8,
    pieces: u32,
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
    /// [`Train::difference`] tells.
    Differs,
    Packet(Reason),
    /// Its transport checksum is wrong.
    Checksum,
    /// The first packet of the train has a wrong checksum: it is no longer the first of anything.
    First,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self::Packet(reason)
    }
}

impl Train {
    /// Begins with a packet that may be merged, whose first piece is `head`; the caller puts it here.
    #[inline]
    pub(super) fn begin(&mut self, packet: &Skb, head: &[u8], headers: &Headers, now: Instant) {
        let layout = headers.layout;
        if self.layout != layout {
            self.layout = layout;
            self.make_masks();
        }
        let length = usize::from(layout.payload);
        if let Some(bytes) = head.get(..length) {
            let (chunks, _) = bytes.as_chunks::<BLOCK>();
            self.blocks.iter_mut().zip(chunks).for_each(|(mine, chunk)| *mine = block(chunk));
            self.last = bytes.last_chunk().map_or([0; 2], block);
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
        self.pieces = packet.segments().len() as u32;
    }

    /// Bytes of headers.
    #[inline(always)]
    pub(super) fn headers(&self) -> u64 {
        u64::from(self.layout.payload)
    }

    /// The headers say the same in all fields that have to.
    #[inline(always)]
    fn resembles(&self, head: &[u8]) -> bool {
        let Some(bytes) = head.get(..usize::from(self.layout.payload)) else { return false };
        let Some(last) = bytes.last_chunk() else { return false };
        // Both words side by side, which the compiler makes one operation of.
        let mut differs = [0; 2];
        let mut differ = |chunk: &[u8; BLOCK], mine: &Block, mask: &Block| {
            let [a, b] = block(chunk);
            differs = [differs[0] | ((a ^ mine[0]) & mask[0]), differs[1] | ((b ^ mine[1]) & mask[1])];
        };
        differ(last, &self.last, &self.last_mask);
        let (chunks, _) = bytes.as_chunks::<BLOCK>();
        for ((chunk, mine), mask) in chunks.iter().zip(&self.blocks).zip(&self.masks) {
            differ(chunk, mine, mask);
        }
        differs[0] | differs[1] == 0
    }

    /// Looks whether a packet can be merged. `head` is its first piece.
    #[inline(always)]
    pub(super) fn look(
        &mut self,
        packet: &Skb,
        head: &[u8],
        bounds: &Bounds,
        pool: &mut PacketPool,
    ) -> Result<Next, Refused> {
        let (length, state) = (packet.len(), packet.hot.checksum);
        let is_partial = state == ChecksumState::Partial;
        if !self.resembles(head)
            || packet.hot.in_port != self.port
            || packet.hot.gso_size != 0
            || is_partial != self.is_partial
            || state == ChecksumState::Bad
        {
            return Err(Refused::Differs);
        }
        let layout = &self.layout;
        let size = length.wrapping_sub(u32::from(layout.payload));
        let (part, flags) = match layout.tcp {
            true => self.segment(head, length)?,
            false => datagram(head, layout.inner.transport, length)?,
        };
        // Also of a head that its owner let shrink.
        if size.wrapping_sub(1) >= self.size {
            return Err(if size == 0 { Reason::NoPayload } else { Reason::Longer }.into());
        }
        let pieces = packet.segments().len();
        if self.count == 1 {
            self.second(head, pieces, pool)?;
        }
        let layout = &self.layout;
        self.inner.goes_on(head, layout.inner, length)?;
        if layout.carrier != Carrier::None {
            self.tunnel_goes_on(head, length)?;
        }
        if self.packet.len() + size > self.longest(bounds) {
            return Err(Reason::Length.into());
        }
        if self.pieces as usize + pieces > MAX_SEGMENTS {
            return Err(Reason::Pieces.into());
        }
        match self.sums.payload(layout, packet, head, &part, is_partial) {
            Ok(sum) => Ok(Next { size, flags, sum, pieces: pieces as u32 }),
            Err(Reason::ChecksumBad) => Err(Refused::Checksum),
            Err(reason) => Err(reason.into()),
        }
    }

    /// Merges a packet that was looked at: it is empty then.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        packet: &mut Skb,
        next: &Next,
        bounds: &Bounds,
        pool: &mut PacketPool,
    ) -> Merged {
        let headers = u32::from(self.layout.payload);
        self.sums.add(next.sum, (self.packet.len() - headers) & 1 == 1);
        // It has its headers, and a length that was compared.
        let absorbed = self.packet.absorb(packet, headers, pool);
        debug_assert!(absorbed.is_ok());
        self.pieces += next.pieces;
        self.inner.advance();
        self.outer.advance();
        self.next = self.next.wrapping_add(next.size);
        self.flags |= next.flags;
        self.count += 1;
        if next.flags & (FIN | PSH) != 0 {
            Merged::Ends(End::Push)
        } else if next.size < self.size {
            Merged::Ends(End::Short)
        } else if self.count >= bounds.segments {
            Merged::Ends(End::Segments)
        } else {
            Merged::On
        }
    }

    /// What is a segment's own, when it is the next one; and its flags.
    #[inline(always)]
    fn segment(&self, head: &[u8], length: u32) -> Result<(Part, u8), Reason> {
        let at = self.layout.inner.transport;
        let Some(tcp) = header::<20>(head, at) else { return Err(Reason::Malformed) };
        let flags = tcp[TCP_FLAGS];
        if flags & CWR != 0 {
            return Err(Reason::Cwr);
        }
        if u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]) != self.next {
            return Err(Reason::Sequence);
        }
        let part = Part::tcp(tcp, length.wrapping_sub(u32::from(at)));
        if part.checksum == 0xffff && !self.is_partial {
            return Err(Reason::ChecksumForm);
        }
        Ok((part, flags & (FIN | PSH)))
    }

    #[inline(never)]
    fn tunnel_goes_on(&self, head: &[u8], length: u32) -> Result<(), Reason> {
        let layout = &self.layout;
        self.outer.goes_on(head, layout.outer, length)?;
        if layout.carrier == Carrier::Udp {
            datagram(head, layout.outer.transport, length)?;
        }
        Ok(())
    }

    /// How long the packet may become, link header included.
    #[inline(always)]
    fn longest(&self, bounds: &Bounds) -> u32 {
        let layout = &self.layout;
        let network = if layout.carrier == Carrier::None { layout.inner } else { layout.outer };
        bounds.length + u32::from(network.at)
    }

    /// A second packet comes: identifications are learned, the first one's headers become its own, and its checksum is
    /// looked at. If the second is not merged after all, the next one is the second.
    #[inline(never)]
    fn second(&mut self, head: &[u8], pieces: usize, pool: &mut PacketPool) -> Result<(), Refused> {
        let (layout, headers) = (self.layout, u32::from(self.layout.payload));
        if self.packet.hot.checksum == ChecksumState::Bad {
            return Err(Refused::First);
        }
        self.inner.learn(head, layout.inner)?;
        if layout.carrier != Carrier::None {
            self.outer.learn(head, layout.outer)?;
        }
        // Before they are copied, and after: then they may be one piece more.
        for _ in 0..2 {
            if self.packet.segments().len() + pieces > MAX_SEGMENTS {
                return Err(Reason::Pieces.into());
            }
            if self.packet.headers_mut(headers, pool).is_err() {
                return Err(Refused::First);
            }
        }
        self.pieces = self.packet.segments().len() as u32;
        let Some((mut sums, part)) = Sums::of(&layout, &self.packet) else { return Err(Refused::First) };
        let found = sums.payload(&layout, &self.packet, self.packet.head(), &part, self.is_partial);
        match found {
            Ok(sum) => {
                if !self.is_partial && sums.looks() {
                    self.packet.hot.checksum = ChecksumState::Good;
                }
                sums.add(sum, false);
                self.sums = sums;
                Ok(())
            }
            Err(reason) => {
                if reason == Reason::ChecksumBad {
                    self.packet.hot.checksum = ChecksumState::Bad;
                }
                Err(Refused::First)
            }
        }
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
        let fixed = |track: &Track, network: Network, flag| {
            if network.version == 4 && track.step == 0 { flag } else { GsoFlags::default() }
        };
        let (first, track) = match layout.carrier {
            Carrier::None => (layout.inner, &self.inner),
            _ => (layout.outer, &self.outer),
        };
        let l2 = (first.at > 0).then_some(0);
        hot.outer = offsets(l2, first);
        hot.inner = Offsets::default();
        hot.gso_flags = fixed(track, first, GsoFlags::FIXED_ID);
        if layout.carrier != Carrier::None {
            hot.inner = offsets(layout.inner_l2.map(u32::from), layout.inner);
            hot.gso_flags = hot.gso_flags.with(GsoFlags::TUNNEL).with(fixed(
                &self.inner,
                layout.inner,
                GsoFlags::INNER_FIXED_ID,
            ));
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
        let mine = self.packet.head();
        let mask = |at: usize| self.masks[at / BLOCK][at % BLOCK / 8].to_ne_bytes()[at % 8];
        let differs = |at: &usize| match (mine.get(*at), head.get(*at)) {
            (Some(mine), Some(byte)) => (mine ^ byte) & mask(*at) != 0,
            _ => true,
        };
        let place = (0..usize::from(layout.payload)).find(differs).unwrap_or(0);
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
        let (chunks, _) = masks.as_chunks::<BLOCK>();
        self.masks.iter_mut().zip(chunks).for_each(|(mask, chunk)| *mask = block(chunk));
        self.last_mask = masks[..length].last_chunk().map_or([0; 2], block);
    }
}

#[inline(always)]
fn block(bytes: &[u8; BLOCK]) -> Block {
    let (words, _) = bytes.as_chunks::<8>();
    [u64::from_ne_bytes(words[0]), u64::from_ne_bytes(words[1])]
}

/// What is a datagram's own, when its length is that of what is there; there is no flag in it.
#[inline(always)]
fn datagram(head: &[u8], at: u16, length: u32) -> Result<(Part, u8), Reason> {
    let Some(udp) = header::<8>(head, at) else { return Err(Reason::Malformed) };
    let part = Part::udp(udp);
    let says = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
    if u32::from(at) + says == length { Ok((part, 0)) } else { Err(Reason::Trailer) }
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
