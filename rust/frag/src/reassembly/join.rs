//! All fragments are there: they become one packet.
use super::Reassembler;
use super::entry::{Body, State};
use super::insert::Step;
use crate::key::FragmentKey;
use crate::outcome::{EventKind, Outcome, Reassembled};
use crate::packet::{FRAGMENT_HEADER, Fragment, IPV6_HEADER};
use crate::reason::FragmentReason;
use crate::verify;
use netfast_buf::{BlockMut, ChecksumState, MAX_SEGMENTS, Offsets, PacketPool, Skb};
use netfast_wire::checksum;
use netfast_wire::dissect::protocol as p;

/// The bits of [`Fragment::ecn`]: not of a transport that knows marks, and congestion experienced.
const NOT_ECT: u8 = 1;
const CE: u8 = 1 << 3;
const DONT_FRAGMENT: u16 = 0x4000;

/// Whether some fragments are of a transport that knows congestion marks, and others are not (RFC 3168 5.3 demands that
/// no mark gets lost so; as Linux has it for each such mixture).
pub(super) fn mixed_ecn(ecn: u8) -> bool {
    ecn & NOT_ECT != 0 && ecn != NOT_ECT
}

impl Body {
    /// Pieces of the datagram as a chain: where others see the header of the first fragment, it is copied to be changed.
    fn pieces(&self, first: usize) -> usize {
        let shared = self.packets.get(first).is_some_and(|first| first.headroom() == 0);
        self.packets.len() + usize::from(shared)
    }

    /// Makes one packet of all, `into`; whether their data was copied for that.
    #[inline(never)]
    fn join_apart(&mut self, into: &mut Skb, pool: &mut PacketPool) -> bool {
        let first = self.first();
        let timestamp = self.packets.last().map(|last| last.hot.timestamp);
        let chained = !self.state.overlapped && self.pieces(first) <= MAX_SEGMENTS;
        if chained {
            self.chain(pool);
        } else {
            self.gather(pool);
        }
        *into = std::mem::take(&mut self.packets[first]);
        into.hot.timestamp = timestamp.unwrap_or_default();
        !chained
    }

    /// Puts the data of all packets in order behind the one that begins the datagram; the others are empty then.
    fn chain(&mut self, pool: &mut PacketPool) {
        let mut pieces = self.set.iter().map(|piece| piece.owner as usize);
        let Some(first) = pieces.next() else { return };
        for owner in pieces {
            let (Ok([whole, packet]), Some(place)) =
                (self.packets.get_disjoint_mut([first, owner]), self.places.get(owner))
            else {
                continue;
            };
            let joined = whole.absorb(packet, place.payload, pool);
            debug_assert!(joined.is_ok(), "65,535 bytes at most, and headers are there");
        }
    }

    /// As [`Body::chain`], the data of all copied into one block.
    #[inline(never)]
    fn gather(&mut self, pool: &mut PacketPool) {
        let total = self.set.end();
        let mut block = BlockMut::unpooled(total as usize);
        for piece in self.set.iter() {
            let owner = piece.owner as usize;
            let (Some(packet), Some(place)) = (self.packets.get(owner), self.places.get(owner)) else {
                continue;
            };
            let into = &mut block.bytes_mut()[piece.start as usize..piece.end as usize];
            let read = packet.read(place.payload + piece.start - place.start, into);
            debug_assert!(read.is_ok(), "a piece is part of its packet");
        }
        pool.copies.bytes += u64::from(total);
        pool.copies.events += 1;
        let first = self.first();
        let (Some(whole), Some(place)) = (self.packets.get_mut(first), self.places.get(first)) else {
            return;
        };
        whole.trim(place.payload);
        let joined = whole.append_block(block.freeze(), 0, total as usize, pool);
        debug_assert!(joined.is_ok(), "the block has these bytes");
    }

    /// Number of the packet whose data the datagram begins with.
    fn first(&self) -> usize {
        self.set.iter().next().map_or(0, |piece| piece.owner as usize)
    }
}

impl Reassembler {
    /// Makes a datagram of which all fragments are there in `slot`. Of those that came in order it is one packet already, but
    /// for the `last` one, whose data begins at `payload`.
    #[inline(never)]
    pub(super) fn complete(
        &mut self,
        id: u32,
        (last, payload): (&mut Skb, u32),
        pool: &mut PacketPool,
        slot: &mut Outcome,
    ) -> Step {
        let copied = pool.copies.bytes;
        let entry = &self.entries[id];
        let body_id = entry.body;
        let body = &mut self.bodies[body_id];
        let State { total, largest: largest_fragment, headers, ecn, in_order, .. } = body.state;
        let dont_fragment = body.state.largest_df > 0 && body.state.largest_df == largest_fragment;
        let whole = slot.complete(Reassembled {
            packet: Skb::new(),
            key: entry.key,
            fragments: body.count(),
            largest_fragment,
            began: entry.created,
        });
        let packet = &mut whole.packet;
        let gathered = if in_order > 0 {
            // Before anything is written to it: what is moved right after that waits until it is in memory.
            packet.become_other(&mut body.whole);
            packet.hot.timestamp = last.hot.timestamp;
            let joined = packet.absorb(last, payload, pool);
            debug_assert!(joined.is_ok(), "65,535 bytes at most, and headers are there");
            false
        } else {
            body.join_apart(packet, pool)
        };
        if whole.key.is_ipv4() {
            finish_ipv4(packet, headers, total, (ecn, dont_fragment), pool);
        } else {
            finish_ipv6(packet, headers, total, ecn, pool);
        }
        packet.hot.checksum = ChecksumState::Unchecked;
        if self.config.verify_checksum {
            packet.hot.checksum = verify::transport(packet);
            self.count_checksum(packet.hot.checksum, whole.key);
        }
        let fragments = u64::from(whole.fragments);
        self.counters.copied_bytes += pool.copies.bytes - copied;
        self.counters.held -= fragments;
        self.counters.joined += fragments - 1;
        if gathered {
            pool.recycle_all(&mut self.bodies[body_id].packets);
        }
        self.release(id, true);
        Step::Whole(total)
    }

    /// Counts and tells of a whole datagram that is given back.
    #[inline(always)]
    pub(super) fn count_whole(&mut self, slot: &Outcome, bytes: u32) -> Step {
        self.counters.completed += 1;
        self.counters.completed_bytes += u64::from(bytes);
        if self.config.report_completed
            && let Outcome::Complete(whole) = slot
        {
            self.event(whole.key, EventKind::Completed, whole.fragments, bytes);
        }
        Step::Whole(bytes)
    }

    fn count_checksum(&mut self, checksum: ChecksumState, key: FragmentKey) {
        match checksum {
            ChecksumState::Good => self.counters.checksum_good += 1,
            ChecksumState::Bad => {
                self.counters.checksum_bad += 1;
                self.note(key, FragmentReason::SuspectedMisassociation);
            }
            _ => {}
        }
    }
}

/// Where the headers of a first fragment are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers {
    pub l3: u32,
    pub previous: u32,
    pub payload: u32,
}

impl Headers {
    pub fn of(fragment: &Fragment) -> Self {
        Self { l3: fragment.l3, previous: fragment.previous, payload: fragment.payload }
    }
}

fn finish_ipv4(
    packet: &mut Skb,
    headers: Headers,
    total: u32,
    (ecn, dont_fragment): (u8, bool),
    pool: &mut PacketPool,
) {
    let Headers { l3, payload, .. } = headers;
    let Ok(head) = packet.headers_mut(payload, pool) else { return };
    let Some(header) = head[l3 as usize..].first_chunk_mut::<20>() else { return };
    let sum = word(header, 10);
    let sum = set(header, 2, (payload - l3 + total) as u16, sum);
    let mut sum = set(header, 6, if dont_fragment { DONT_FRAGMENT } else { 0 }, sum);
    if ecn & CE != 0 {
        let first = word(header, 0) | 3;
        sum = set(header, 0, first, sum);
    }
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.hot.outer = Offsets::new((l3 > 0).then_some(0), Some(l3), Some(payload));
}

fn word(header: &[u8; 20], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// Changes a field; gives the checksum after that.
fn set(header: &mut [u8; 20], at: usize, value: u16, sum: u16) -> u16 {
    let old = word(header, at);
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
    checksum::update(sum, old, value)
}

fn finish_ipv6(packet: &mut Skb, headers: Headers, total: u32, ecn: u8, pool: &mut PacketPool) {
    let l3 = headers.l3 as usize;
    if ecn & CE != 0
        && let Ok(head) = packet.headers_mut(headers.payload, pool)
    {
        head[l3 + 1] |= 0x30;
    }
    remove_header(packet, headers, total, pool);
}

/// Takes an atomic fragment's header out; `len` bytes follow it.
pub(super) fn remove_fragment_header(packet: &mut Skb, fragment: &Fragment, len: u32, pool: &mut PacketPool) {
    packet.trim(fragment.payload + len);
    remove_header(packet, Headers::of(fragment), len, pool);
}

/// Moves what is before the fragment header over it, and makes the next header before it and the length right.
fn remove_header(packet: &mut Skb, headers: Headers, total: u32, pool: &mut PacketPool) {
    let Headers { l3, previous, payload } = headers;
    let Ok(head) = packet.headers_mut(payload, pool) else { return };
    let at = (payload - FRAGMENT_HEADER) as usize;
    let next = head[at];
    head[previous as usize] = next;
    let length = (at as u32 - l3 - IPV6_HEADER + total) as u16;
    head[l3 as usize + 4..l3 as usize + 6].copy_from_slice(&length.to_be_bytes());
    head.copy_within(..at, FRAGMENT_HEADER as usize);
    let popped = packet.pop(FRAGMENT_HEADER);
    debug_assert!(popped.is_ok(), "the fragment header is there");
    let transport = !matches!(
        next,
        p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS | p::FRAGMENT | p::AH | p::NO_NEXT_HEADER
    );
    packet.hot.outer = Offsets::new((l3 > 0).then_some(0), Some(l3), transport.then_some(at as u32));
}
