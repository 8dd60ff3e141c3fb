//! What is sent, and what is said of it.
use crate::transmit::TransmitError;
use netfast_buf::{Block, Skb};
use netfast_time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who owns the bytes of a message.
///
/// A transmitter keeps the payload where it was put, unmoved, until the system does not read it any more: what
/// [`Payload::pieces`] borrows counts as borrowed for as long.
pub trait Payload: Send + 'static {
    /// The bytes, piece after piece; the same each time.
    fn pieces(&self) -> impl Iterator<Item = &[u8]>;
}

macro_rules! one_piece {
    ($($kind:ty),*) => {
        $(impl Payload for $kind {
            fn pieces(&self) -> impl Iterator<Item = &[u8]> {
                std::iter::once(self.as_ref())
            }
        })*
    };
}

one_piece!(Vec<u8>, Box<[u8]>, Arc<[u8]>, &'static [u8]);

impl Payload for Block {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.bytes())
    }
}

/// A packet as it stands, from its first byte on: what carries the packet's link header off is the caller's.
impl Payload for Skb {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.segments()
    }
}

/// Headers and payload, or any other pieces: one message.
impl<P: Payload> Payload for Box<[P]> {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().flat_map(Payload::pieces)
    }
}

/// A payload and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<P> {
    /// The bytes.
    pub payload: P,
    /// Where to; `None` is the peer that the socket is connected with.
    pub to: Option<SocketAddr>,
    /// Bytes of each datagram that the payload is cut into (the last may be shorter); 0: one datagram. Streams know no
    /// datagrams and pass over it.
    pub segment: u16,
}

impl<P> Message<P> {
    /// One datagram for the connected peer, or bytes of a stream.
    pub fn new(payload: P) -> Self {
        Self { payload, to: None, segment: 0 }
    }

    /// The same to another address.
    pub fn to(self, to: SocketAddr) -> Self {
        Self { to: Some(to), ..self }
    }

    /// The same as datagrams of `segment` bytes.
    pub fn segment(self, segment: u16) -> Self {
        Self { segment, ..self }
    }
}

/// Names a message that was taken. Tickets are not used again for 2^32 messages in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    pub(super) fn new(slot: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(slot))
    }

    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }

    /// As a number.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From [`Ticket::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Why a message was not sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The system's answer, as errno(3) numbers it; `ECANCELED` for what was cancelled here.
    pub errno: i32,
    /// Bytes that it had taken before.
    pub sent: usize,
}

/// What the release of a message tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Parts of it that went without a copy.
    pub zero_copied: u32,
    /// Parts that the system copied after all.
    pub copied: u32,
    /// From the last hand-over to the notification.
    pub waited: Duration,
}

/// A message comes to its end in two phases: sent, which is when the system has taken it, and released, which is when
/// the system does not read its memory any more and its owner has it back.
#[derive(Debug)]
pub enum Completion<P> {
    /// First phase: bytes taken, or why not all. The memory is still in use.
    Sent {
        /// The message.
        ticket: Ticket,
        /// Bytes taken.
        outcome: Result<usize, Failure>,
    },
    /// Second phase, after [`Completion::Sent`].
    Released {
        /// The message.
        ticket: Ticket,
        /// Its payload.
        payload: P,
        /// How it went.
        release: Release,
    },
    /// Both at once: it was copied by the call, or was not handed over at all.
    Done {
        /// The message.
        ticket: Ticket,
        /// Bytes taken.
        outcome: Result<usize, Failure>,
        /// Its payload.
        payload: P,
    },
}

impl<P> Completion<P> {
    /// The message that it is about.
    pub fn ticket(&self) -> Ticket {
        match self {
            Self::Sent { ticket, .. } | Self::Released { ticket, .. } | Self::Done { ticket, .. } => *ticket,
        }
    }
}

/// A message that was not taken, and why.
#[derive(Debug)]
pub struct Refused<P> {
    /// The message, as it was given.
    pub message: Message<P>,
    /// Why. [`TransmitError::Full`] passes by itself.
    pub error: TransmitError,
}

/// What [`super::Transmitter::cancel`] could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing of it, or no more of it, is sent; its completion is there.
    Now,
    /// The system was asked to leave it; its completion will say what came of it.
    Asked,
    /// It has been sent, or a stream has taken its beginning.
    TooLate,
}
