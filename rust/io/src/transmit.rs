//! Sending without waiting: messages go to a socket over the best rung of a ladder that works, and their memory comes
//! back when the system does not read it any more.
//!
//! # The ladder
//! [`Rung`] names the ways, from one `sendmsg(2)` a datagram to io_uring with zero-copy. What works is found out when a
//! [`Transmitter`] is made; what turns out not to work later is left for the rung below, and [`Transmitter::changes`] says
//! why. A rung can be forced.
//!
//! # Two phases
//! A message is *sent* when the system has taken it all, and *released* when the system does not read its memory any more.
//! Between the two the payload belongs to the transmitter, so that nobody can write to it:
//!
//! ```compile_fail,E0382
//! # use netfast_io::transmit::{Message, Transmitter, TransmitConfig};
//! # use netfast_time::Instant;
//! # let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
//! # socket.connect("127.0.0.1:9").unwrap();
//! let mut transmitter = Transmitter::new(socket.into(), TransmitConfig::default()).unwrap();
//! let mut payload = vec![0_u8; 1200];
//! transmitter.submit(Message::new(payload)).unwrap();
//! payload[0] = 1; // The system may be reading it: the payload comes back with the completion.
//! ```
//!
//! ```
//! use netfast_io::transmit::{Completion, Message, TransmitConfig, Transmitter};
//! use netfast_time::{Duration, Instant};
//!
//! # let receiver = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! socket.connect(receiver.local_addr()?)?;
//! let mut transmitter = Transmitter::new(socket.into(), TransmitConfig::default())?;
//! transmitter.submit(Message::new(vec![7; 3600]).segment(1200)).expect("there is room");
//! let mut payload = None;
//! for millis in 0..1000 {
//!     transmitter.drive(Instant::from_millis(millis))?;
//!     match transmitter.next_completion() {
//!         Some(Completion::Released { payload: back, .. } | Completion::Done { payload: back, .. }) => {
//!             payload = Some(back);
//!             break;
//!         }
//!         _ => transmitter.wait(Duration::from_millis(1))?,
//!     }
//! }
//! let mut payload = payload.expect("it was released");
//! payload[0] = 1; // Nobody reads it any more.
//! assert_eq!(transmitter.counters().sent, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Order, limits, ends
//! Messages reach the socket in the order in which they were taken, whatever their rungs: a short one that is copied does
//! not overtake a long one that is not. Nobody waits for a release before the next message is sent. The number of messages
//! and bytes that are in flight is limited; at the limit [`Transmitter::submit`] gives the message back.
//!
//! [`Transmitter::close`] waits for what the system still reads, for a bounded time. What is not released then is kept for
//! ever and counted ([`LeakCounter`]): freed, the memory would be sent with what others write there.
mod arena;
mod calls;
mod counters;
mod error;
mod message;
mod outstanding;
mod plan;
mod probe;
mod ring;
mod rung;
mod settle;
mod slab;
#[cfg(test)]
mod tests;

pub use arena::{Arena, ArenaBuffer};
pub use counters::{LeakCounter, RungCounters, TransmitCounters};
pub use error::TransmitError;
pub use message::{Cancelled, Completion, Failure, Message, Payload, Refused, Release, Ticket};
pub use probe::{SocketKind, rungs};
pub use rung::{Change, Reason, Rung};

use netfast_time::{Duration, Instant};
use outstanding::Outstanding;
use plan::{Scratch, Shape};
use ring::Ring;
use rustix::event::epoll;
use settle::Runs;
use slab::Slab;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Datagrams in one system call, or in one chain of the ring, at most.
pub const BATCH: usize = 64;

/// Messages that are in flight, at most.
pub const MESSAGES: usize = 65_536;

/// Pieces of one message, or of one part of a stream, at most (`UIO_MAXIOV`).
pub const MAX_PIECES: usize = 1_024;

/// Changes of the rung that are kept; later ones are counted only.
pub const CHANGES_KEPT: usize = 64;

/// From how many bytes on a part is sent without a copy unless told otherwise. Measured (`netfast bench transmit`): below
/// it, looking up the pages and the notification cost more than the copy.
pub const ZERO_COPY_FROM: usize = 32 << 10;

/// How a transmitter sends, and its limits.
#[derive(Clone, Debug)]
pub struct TransmitConfig {
    /// The rung to use; `None`: the best that works.
    pub rung: Option<Rung>,
    /// Parts of at least so many bytes are not copied on a rung of zero-copy.
    pub zero_copy_from: usize,
    /// Leave zero-copy when the system copies in spite of it, and try it again now and then.
    pub is_adaptive: bool,
    /// Messages that may be here at the same time, not yet released: 1 to [`MESSAGES`].
    pub messages: usize,
    /// Their bytes. One message is taken whatever its length when nothing else is here.
    pub bytes: usize,
    /// How long [`Transmitter::close`] waits for the system.
    pub close_wait: Duration,
    /// Memory to register with the ring.
    pub arena: Option<Arena>,
}

impl Default for TransmitConfig {
    fn default() -> Self {
        Self {
            rung: None,
            zero_copy_from: ZERO_COPY_FROM,
            is_adaptive: true,
            messages: 1_024,
            bytes: 64 << 20,
            close_wait: Duration::from_secs(1),
            arena: None,
        }
    }
}

impl TransmitConfig {
    fn check(&self) -> Result<(), TransmitError> {
        if !(1..=MESSAGES).contains(&self.messages) {
            let value = self.messages as u64;
            return Err(TransmitError::Setting { setting: "messages", value, expected: "1 to 65,536" });
        }
        if self.bytes == 0 {
            return Err(TransmitError::Setting { setting: "bytes", value: 0, expected: "1 or more" });
        }
        Ok(())
    }
}

/// What messages wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    /// That the socket can take more.
    Writable,
    /// That memory of earlier messages is released.
    Release,
}

/// Sends messages over one socket. See the [module](self).
///
/// Nothing happens by itself: [`Transmitter::drive`] sends what was taken and looks for notifications. It is to be called
/// after [`Transmitter::submit`] (once for a batch) and when [`Transmitter::descriptor`] is readable; then
/// [`Transmitter::next_completion`] until there is none.
pub struct Transmitter<P: Payload> {
    socket: OwnedFd,
    epoll: OwnedFd,
    /// What the socket is registered for with `epoll`; `None`: not at all.
    watched: Option<epoll::EventFlags>,
    kind: SocketKind,
    config: TransmitConfig,
    shape: Shape,
    slab: Slab<P>,
    /// Messages of which not all was taken by the system, in order.
    queue: VecDeque<u32>,
    blocked: Option<Blocked>,
    /// What broke the stream.
    broken: Option<i32>,
    done: VecDeque<Completion<P>>,
    scratch: Scratch,
    /// Parts that went with `MSG_ZEROCOPY`.
    outstanding: Outstanding,
    /// There is one, too, after its rung was left, until all its notifications came.
    ring: Option<Ring>,
    changes: Vec<Change>,
    runs: Runs,
    counters: TransmitCounters,
    leaks: LeakCounter,
    is_closed: bool,
}

/// What became of a transmitter that was closed.
#[derive(Debug)]
pub struct Closed<P> {
    /// The completions that nobody had taken.
    pub completions: VecDeque<Completion<P>>,
    /// What it did in all.
    pub counters: TransmitCounters,
}

impl<P: Payload> Transmitter<P> {
    /// One for a socket: UDP, TCP or Unix, connected or not, blocking or not. Its options stay as they are, except that
    /// the rung of `MSG_ZEROCOPY` sets `SO_ZEROCOPY`.
    ///
    /// # Errors
    /// [`TransmitError::Setting`], [`TransmitError::Unavailable`] when a rung is forced that is not there,
    /// [`TransmitError::System`] when this is no socket or there are no descriptors.
    pub fn new(socket: OwnedFd, config: TransmitConfig) -> Result<Self, TransmitError> {
        config.check()?;
        let kind = SocketKind::of(socket.as_fd())?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(TransmitError::system("epoll_create"))?;
        let found = probe::choose(socket.as_fd(), kind, &config)?;
        if let Some(ring) = &found.ring {
            let readable = epoll::EventFlags::IN;
            epoll::add(&epoll, ring.as_fd(), epoll::EventData::new_u64(1), readable)
                .map_err(TransmitError::system("epoll_ctl"))?;
        }
        Ok(Self {
            shape: Shape::new(found.rung, kind, &config),
            slab: Slab::new(config.messages),
            socket,
            epoll,
            watched: None,
            kind,
            config,
            queue: VecDeque::new(),
            blocked: None,
            broken: None,
            done: VecDeque::new(),
            scratch: Scratch::default(),
            outstanding: Outstanding::default(),
            ring: found.ring,
            changes: found.changes,
            runs: Runs::default(),
            counters: TransmitCounters::default(),
            leaks: LeakCounter::default(),
            is_closed: false,
        })
    }

    /// Takes a message to be sent by the next [`Transmitter::drive`].
    ///
    /// # Errors
    /// The message comes back, with the reason: a limit is reached, a datagram is too long or in too many pieces, the
    /// stream is broken.
    pub fn submit(&mut self, message: Message<P>) -> Result<Ticket, Refused<P>> {
        let (total, pieces) = message
            .payload
            .pieces()
            .fold((0_usize, 0), |(total, pieces), piece| (total.saturating_add(piece.len()), pieces + 1));
        if let Err(error) = self.admit(total, pieces, message.segment) {
            return Err(Refused { message, error });
        }
        match self.slab.insert(message, total) {
            Ok(slot) => {
                self.counters.taken += 1;
                self.queue.push_back(slot);
                Ok(self.slab.ticket(slot))
            }
            Err(message) => Err(Refused { message, error: self.full("messages", self.config.messages) }),
        }
    }

    fn admit(&mut self, total: usize, pieces: usize, segment: u16) -> Result<(), TransmitError> {
        if let Some(errno) = self.broken {
            return Err(TransmitError::Broken { errno });
        }
        if !self.kind.is_stream && pieces > MAX_PIECES {
            return Err(TransmitError::TooManyPieces { pieces, limit: MAX_PIECES });
        }
        let length = if segment == 0 { total } else { total.min(usize::from(segment)) };
        if let Some(limit) = self.kind.longest.filter(|&limit| length > limit) {
            return Err(TransmitError::TooLong { length, limit });
        }
        if self.slab.len() > 0 && self.slab.bytes().saturating_add(total) > self.config.bytes {
            return Err(self.full("bytes", self.config.bytes));
        }
        // Each message here comes to two completions at most; what nobody takes is not added to for ever.
        if self.done.len() + 2 * self.slab.len() >= 4 * self.slab.capacity() {
            return Err(self.full("messages", self.config.messages));
        }
        Ok(())
    }

    fn full(&mut self, setting: &'static str, limit: usize) -> TransmitError {
        self.counters.full += 1;
        TransmitError::Full { setting, limit }
    }

    /// Looks for notifications, and hands over what the system takes now. `now` is for the times of notifications only.
    ///
    /// # Errors
    /// [`TransmitError::System`] when it cannot be watched for; what concerns a message is said in its completion.
    pub fn drive(&mut self, now: Instant) -> Result<(), TransmitError> {
        self.reap(now);
        if self.blocked == Some(Blocked::Writable) {
            self.blocked = None;
        }
        self.push(now);
        self.watch()
    }

    /// The next thing that came to an end.
    pub fn next_completion(&mut self) -> Option<Completion<P>> {
        self.done.pop_front()
    }

    /// Takes a message back, or what was not sent of its datagrams. A message that the system has goes its way.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancelled {
        let Some(slot) = self.slab.find(ticket) else { return Cancelled::TooLate };
        let state = self.slab.state_mut(slot);
        if state.is_sent || (self.kind.is_stream && state.sent > 0) {
            return Cancelled::TooLate;
        }
        state.is_cancelled = true;
        if let Some(ring) = self.ring.as_mut().filter(|ring| ring.is_sending(slot)) {
            ring.cancel();
            return Cancelled::Asked;
        }
        self.queue.retain(|&queued| queued != slot);
        self.end(slot, Instant::ZERO, Some(libc::ECANCELED));
        Cancelled::Now
    }

    /// What is readable when [`Transmitter::drive`] has something to do: an epoll(7) descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits until [`Transmitter::drive`] has something to do, or for so long.
    ///
    /// # Errors
    /// [`TransmitError::System`]; a signal is no error.
    pub fn wait(&self, timeout: Duration) -> Result<(), TransmitError> {
        let mut polled = [rustix::event::PollFd::new(&self.epoll, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: (timeout.as_nanos() % 1_000_000_000) as i64,
        };
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(TransmitError::system("poll")(errno)),
        }
    }

    /// Messages that the system has not taken to their end.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Messages that are not released.
    pub fn in_flight(&self) -> usize {
        self.slab.len()
    }

    /// Their bytes.
    pub fn in_flight_bytes(&self) -> usize {
        self.slab.bytes()
    }

    /// The rung that long messages take now. (While zero-copy is left because the system copies, the one below.)
    pub fn rung(&self) -> Rung {
        self.shape.rung()
    }

    /// Why it is not the best rung: what was found out before the first message and since, at most [`CHANGES_KEPT`].
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What it did.
    pub fn counters(&self) -> &TransmitCounters {
        &self.counters
    }

    /// What it will have left to the system for ever, also when it is gone.
    pub fn leaks(&self) -> LeakCounter {
        self.leaks.clone()
    }

    /// Ends it: what was not handed over is cancelled, what the system still reads is waited for, up to
    /// [`TransmitConfig::close_wait`]. Dropping does the same.
    pub fn close(mut self) -> Closed<P> {
        self.shut();
        Closed { completions: std::mem::take(&mut self.done), counters: self.counters.clone() }
    }

    #[allow(clippy::disallowed_methods, reason = "a wait is in real time")]
    fn shut(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let start = std::time::Instant::now();
        let is_sending = |ring: &Option<Ring>, slot| ring.as_ref().is_some_and(|ring| ring.is_sending(slot));
        for slot in std::mem::take(&mut self.queue) {
            if is_sending(&self.ring, slot) {
                self.slab.state_mut(slot).is_cancelled = true;
                self.queue.push_back(slot);
            } else {
                self.end(slot, Instant::ZERO, Some(libc::ECANCELED));
            }
        }
        if let Some(ring) = &mut self.ring {
            ring.cancel();
        }
        loop {
            let before = self.slab.len();
            self.reap(Instant::ZERO);
            self.drop_cancelled(Instant::ZERO);
            let spent = Duration::from_nanos(start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX));
            if self.slab.len() == 0 || spent >= self.config.close_wait {
                break;
            }
            let left = Duration::from_nanos(self.config.close_wait.as_nanos() - spent.as_nanos());
            // Where it cannot be watched for, or a broken stream is ready for ever, it is asked for every millisecond.
            if self.watch().and_then(|()| self.wait(left)).is_err() || self.slab.len() == before {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        self.counters.leaked = self.slab.len() as u64;
        self.leaks.add(self.counters.leaked, self.slab.bytes() as u64);
    }
}

impl<P: Payload> Drop for Transmitter<P> {
    fn drop(&mut self) {
        self.shut();
    }
}

impl<P: Payload> std::fmt::Debug for Transmitter<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transmitter({}, {} queued, {} in flight)", self.rung(), self.queued(), self.in_flight())
    }
}
