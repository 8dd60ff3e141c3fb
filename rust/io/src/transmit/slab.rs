//! Where messages stay, unmoved, until the system has let go of them.
use crate::transmit::message::{Failure, Message, Payload, Ticket};
use netfast_time::Instant;
use socket2::SockAddr;
use std::mem::ManuallyDrop;

/// A control message of udp(7): `UDP_SEGMENT` and the size.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Control {
    header: libc::cmsghdr,
    segment: u16,
    /// Up to the alignment of the next one.
    padding: [u8; 6],
}

/// Its length as `msg_controllen` counts.
pub(super) const CONTROL_SPACE: usize = {
    let word = size_of::<usize>();
    size_of::<libc::cmsghdr>() + size_of::<u16>().next_multiple_of(word)
};

const _: () = assert!(size_of::<Control>() >= CONTROL_SPACE);

impl Control {
    fn new(segment: u16) -> Self {
        let length = size_of::<libc::cmsghdr>() + size_of::<u16>();
        // The type of the field differs between C libraries.
        let header =
            libc::cmsghdr { cmsg_len: length as _, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
        Self { header, segment, padding: [0; 6] }
    }
}

/// What is known of a message besides its bytes. Address and control message are read by the system while it sends.
pub(super) struct State {
    pub(super) address: Option<SockAddr>,
    pub(super) control: Control,
    /// Bytes of a datagram; 0 for one datagram or a stream.
    pub(super) segment: u16,
    pub(super) total: usize,
    /// Bytes that the system has taken.
    pub(super) sent: usize,
    /// When it took the last of them.
    pub(super) handed: Instant,
    /// Notifications to come before the memory is free.
    pub(super) awaited: u32,
    pub(super) zero_copied: u32,
    pub(super) copied: u32,
    /// The first phase is over.
    pub(super) is_sent: bool,
    /// Nothing more of it is to be handed over.
    pub(super) is_cancelled: bool,
    /// The system refused zero-copy for it.
    pub(super) must_copy: bool,
    /// The system refused to segment it.
    pub(super) must_cut: bool,
}

impl State {
    fn vacant() -> Self {
        Self {
            address: None,
            control: Control::new(0),
            segment: 0,
            total: 0,
            sent: 0,
            handed: Instant::ZERO,
            awaited: 0,
            zero_copied: 0,
            copied: 0,
            is_sent: false,
            is_cancelled: false,
            must_copy: false,
            must_cut: false,
        }
    }

    /// What is told of one that ended early.
    pub(super) fn failure(&self, errno: i32) -> Failure {
        Failure { errno, sent: self.sent }
    }
}

struct Place<P> {
    /// Borrowed by the system as long as it is there: it is neither moved nor changed before it is taken out.
    payload: Option<P>,
    state: State,
    generation: u32,
}

/// A fixed number of places. Its memory is never given back while the system may read it.
pub(super) struct Slab<P> {
    places: ManuallyDrop<Box<[Place<P>]>>,
    free: Vec<u32>,
    bytes: usize,
}

impl<P: Payload> Slab<P> {
    pub(super) fn new(capacity: usize) -> Self {
        let vacant = |_| Place { payload: None, state: State::vacant(), generation: 0 };
        Self {
            places: ManuallyDrop::new((0..capacity).map(vacant).collect()),
            free: (0..capacity as u32).rev().collect(),
            bytes: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Messages in it.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a message of `total` bytes, or gives it back when there is no place.
    pub(super) fn insert(&mut self, message: Message<P>, total: usize) -> Result<u32, Message<P>> {
        let Some(slot) = self.free.pop() else { return Err(message) };
        let place = &mut self.places[slot as usize];
        let Message { payload, to, segment } = message;
        place.generation = place.generation.wrapping_add(1);
        place.payload = Some(payload);
        let address = to.map(SockAddr::from);
        place.state = State { address, control: Control::new(segment), segment, total, ..State::vacant() };
        self.bytes += total;
        Ok(slot)
    }

    /// Gives a payload back that the system does not read.
    pub(super) fn remove(&mut self, slot: u32) -> Option<P> {
        let place = &mut self.places[slot as usize];
        let payload = place.payload.take()?;
        self.bytes -= place.state.total;
        self.free.push(slot);
        Some(payload)
    }

    pub(super) fn ticket(&self, slot: u32) -> Ticket {
        Ticket::new(slot, self.places[slot as usize].generation)
    }

    /// The place of a message that is still here.
    pub(super) fn find(&self, ticket: Ticket) -> Option<u32> {
        let slot = ticket.slot();
        let place = self.places.get(slot as usize)?;
        (place.payload.is_some() && self.ticket(slot) == ticket).then_some(slot)
    }

    pub(super) fn state(&self, slot: u32) -> &State {
        &self.places[slot as usize].state
    }

    pub(super) fn state_mut(&mut self, slot: u32) -> &mut State {
        &mut self.places[slot as usize].state
    }

    /// Appends bytes `offset..offset + length` of a message as the system takes them, at most `limit` entries, and
    /// says how many bytes they are.
    pub(super) fn describe(
        &self,
        slot: u32,
        offset: usize,
        length: usize,
        limit: usize,
        into: &mut Vec<libc::iovec>,
    ) -> usize {
        let Some(payload) = &self.places[slot as usize].payload else { return 0 };
        let (mut skip, mut left, end) = (offset, length, into.len() + limit);
        for piece in payload.pieces() {
            let piece = piece.get(skip..).unwrap_or_else(|| {
                skip -= piece.len();
                &[]
            });
            if piece.is_empty() {
                continue;
            }
            if left == 0 || into.len() == end {
                break;
            }
            skip = 0;
            let count = piece.len().min(left);
            left -= count;
            into.push(libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: count });
        }
        length - left
    }
}

impl<P> Drop for Slab<P> {
    /// What the system may still read stays where it is, for ever: [`super::Transmitter::close`] has waited and counted.
    fn drop(&mut self) {
        if self.free.len() == self.places.len() {
            // SAFETY: `places` is not used again, and no message is in it, so that the system reads none of it.
            unsafe { ManuallyDrop::drop(&mut self.places) };
        }
    }
}
