//! How messages are cut into the parts that a call takes, and how the system is told of them.
use crate::transmit::message::Payload;
use crate::transmit::slab::{CONTROL_SPACE, Control, Slab, State};
use crate::transmit::{BATCH, MAX_PIECES, Rung, SocketKind, TransmitConfig, Transmitter};
use std::ptr;

/// Segments of one part: as many as Linux takes since 6.9. Older ones take [`FEWER_SEGMENTS`], which is found out.
const MOST_SEGMENTS: u16 = 128;
pub(super) const FEWER_SEGMENTS: u16 = 64;

/// Bytes of one part that is segmented: what UDP carries over IPv4 and IPv6 in a packet of 65,535 bytes.
const LONGEST_PART: usize = 65_487;

/// Bytes of a part of a stream: what a call says it took fits an i32.
const LONGEST_STREAM_PART: usize = 1 << 30;

/// Long parts that are copied between two that try zero-copy again.
const TRIAL_AFTER: u32 = 4_096;

/// What one message header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) slot: u32,
    pub(super) length: usize,
    pub(super) segments: u16,
    pub(super) zero_copy: bool,
    /// The way that it goes.
    pub(super) rung: Rung,
    /// Its entries among those of the plan.
    entry: usize,
    entries: usize,
}

/// Parts that go to the system together, with what describes them to it. Memory that is used again and again.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) parts: Vec<Part>,
    entries: Vec<libc::iovec>,
    pub(super) headers: Vec<libc::mmsghdr>,
}

// SAFETY: its pointers are read by system calls only while `Transmitter::push` runs, which wrote them then.
unsafe impl Send for Scratch {}
// SAFETY: nothing is reached through a shared reference.
unsafe impl Sync for Scratch {}

/// What parts look like on this socket and rung.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    rung: Rung,
    is_stream: bool,
    /// The system cuts datagrams.
    pub(super) segments: bool,
    pub(super) max_segments: u16,
    zero_copy_from: usize,
    /// False while the system copies all the same.
    is_zero_copy_on: bool,
    /// Parts since it was switched off, or since the last one that tried.
    since_trial: u32,
}

impl Shape {
    pub(super) fn new(rung: Rung, kind: SocketKind, config: &TransmitConfig) -> Self {
        Self {
            rung,
            is_stream: kind.is_stream,
            segments: rung.segments() && kind.segments,
            max_segments: MOST_SEGMENTS,
            zero_copy_from: config.zero_copy_from,
            is_zero_copy_on: true,
            since_trial: 0,
        }
    }

    /// The rung that long parts take.
    pub(super) fn rung(&self) -> Rung {
        if self.is_zero_copy_on { self.rung } else { self.copying() }
    }

    /// The rung that short parts take.
    pub(super) fn copying(&self) -> Rung {
        self.rung.copying(self.segments)
    }

    /// The rung that zero-copy would have, if it were on.
    pub(super) fn base(&self) -> Rung {
        self.rung
    }

    /// Takes another rung for good.
    pub(super) fn take(&mut self, rung: Rung) {
        self.rung = rung;
        self.segments &= rung.segments();
    }

    /// Switches zero-copy off or on.
    pub(super) fn switch(&mut self, on: bool) {
        self.is_zero_copy_on = on;
        self.since_trial = 0;
    }

    /// Cuts the next part: its length and how many datagrams it is.
    fn cut(&self, state: &State, offset: usize) -> (usize, u16) {
        let left = state.total - offset;
        let segment = usize::from(state.segment);
        if self.is_stream {
            return (left.min(LONGEST_STREAM_PART), 1);
        }
        if segment == 0 || state.total <= segment {
            return (left, 1);
        }
        if !self.segments || state.must_cut {
            return (left.min(segment), 1);
        }
        let most = (LONGEST_PART / segment).clamp(1, usize::from(self.max_segments));
        let length = left.min(most * segment);
        (length, length.div_ceil(segment) as u16)
    }

    /// Decides whether a part goes without a copy.
    fn spares(&mut self, state: &State, length: usize) -> bool {
        let may = self.rung.is_zero_copy() && !state.must_copy && length > 0 && length >= self.zero_copy_from;
        if !may || self.is_zero_copy_on {
            return may;
        }
        self.since_trial += 1;
        let tries = self.since_trial >= TRIAL_AFTER;
        if tries {
            self.since_trial = 0;
        }
        tries
    }
}

impl<P: Payload> Transmitter<P> {
    /// Cuts what is at the front of the queue into parts and describes them. False when there is nothing to send.
    ///
    /// Parts that go together are all with or all without zero-copy. Of a stream the ring gets one part at a time: the next
    /// one could overtake the rest of a short one.
    pub(super) fn plan(&mut self) -> bool {
        let Self { scratch, shape, slab, queue, kind, .. } = self;
        let most = if shape.base() == Rung::Sendmsg { 1 } else { BATCH };
        scratch.parts.clear();
        scratch.entries.clear();
        'messages: for &slot in queue.iter() {
            let state = slab.state(slot);
            let mut offset = state.sent;
            loop {
                let (length, segments) = shape.cut(state, offset);
                let zero_copy = shape.spares(state, length);
                let first = scratch.parts.first().map_or(zero_copy, |part| part.zero_copy);
                if zero_copy != first {
                    break 'messages;
                }
                let entry = scratch.entries.len();
                let length = slab.describe(slot, offset, length, MAX_PIECES, &mut scratch.entries);
                let entries = scratch.entries.len() - entry;
                let rung = if zero_copy { shape.base() } else { shape.copying() };
                let part = Part { slot, length, segments, zero_copy, rung, entry, entries };
                scratch.parts.push(part);
                offset += length;
                let is_alone = kind.is_stream && rung.is_ring();
                if scratch.parts.len() == most || is_alone {
                    break 'messages;
                }
                // A payload that has become shorter than it was ends here, too.
                if offset >= state.total || length == 0 {
                    break;
                }
            }
        }
        scratch.point(slab);
        !scratch.parts.is_empty()
    }
}

impl Scratch {
    /// Writes the headers, now that nothing moves any more.
    fn point<P: Payload>(&mut self, slab: &Slab<P>) {
        self.headers.clear();
        for part in &self.parts {
            let state = slab.state(part.slot);
            // SAFETY: all fields of `mmsghdr` are integers or pointers, for which zero is a value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            let message = &mut header.msg_hdr;
            if let Some(address) = &state.address {
                message.msg_name = address.as_ptr().cast_mut().cast();
                message.msg_namelen = address.len();
            }
            message.msg_iov = self.entries[part.entry..].as_ptr().cast_mut();
            // The types of these fields differ between C libraries.
            message.msg_iovlen = part.entries as _;
            if part.segments > 1 {
                message.msg_control = ptr::from_ref::<Control>(&state.control).cast_mut().cast();
                message.msg_controllen = CONTROL_SPACE as _;
            }
            self.headers.push(header);
        }
    }

    /// True when all of a part lies in registered memory.
    pub(super) fn is_registered(&self, part: &Part, arena: &super::Arena) -> bool {
        let entries = &self.entries[part.entry..part.entry + part.entries];
        !entries.is_empty() && entries.iter().all(|entry| arena.holds(entry))
    }
}
