//! Frames in a stream, each after its length.
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::framing::{Deframer, PREFIX, Piece};
use super::{CALLS, LOOK, SocketFile, answers, check_mtu, refused};
use crate::device::messages::{MESSAGES, Outbox};
use crate::device::outgoing::{self, LINK_HEADERS};
use crate::device::stack::debug;
use crate::device::{Device, DeviceCounters, DeviceError, DeviceReason, Link, Received};

/// Pieces in one message (`UIO_MAXIOV` of Linux).
const PIECES: usize = 1_024;

/// When a frame of which a part was written is tried again, if nobody says before that the stream takes more.
const RETRY: Duration = Duration::from_millis(1);

/// Which end of the connection this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Connects to a socket, and does so again when the connection ends: what QEMU's `server=on` and passt wait for.
    Connect(PathBuf),
    /// Waits for one connection at a time at a socket: what QEMU's `server=off` connects to. A file that a socket left
    /// there is replaced, another file never.
    Listen(PathBuf),
}

/// What a [`UnixStream`] is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixStreamConfig {
    /// The longest IP packet of a frame, in bytes: 68 to 65,535. Longer frames are dropped as too long when they are sent,
    /// as truncated when they come (by more than two VLAN tags).
    pub mtu: u32,
    /// The link address of this end, if it has one.
    pub mac: Option<[u8; 6]>,
}

impl Default for UnixStreamConfig {
    /// An MTU of 1,500 bytes, no address.
    fn default() -> Self {
        Self { mtu: 1_500, mac: None }
    }
}

/// Where connections come from.
#[derive(Debug)]
enum Source {
    Connect(PathBuf),
    Listen(net::UnixListener, Option<SocketFile>),
    /// There was one, and there will be no other.
    Given,
}

/// A link whose frames are in a stream, each after its length: 4 bytes, big-endian.
///
/// It may be opened before the peer is there, and stays when the peer goes: [`Link::up`] says how it is, and what is to be
/// sent meanwhile is dropped as [`DeviceReason::LinkDown`]. A peer that tells a length above [`super::FRAME_LIMIT`] is no
/// peer: the connection is closed, and the frame counts as [`DeviceReason::Malformed`].
pub struct UnixStream {
    name: String,
    config: UnixStreamConfig,
    source: Source,
    stream: Option<net::UnixStream>,
    next_look: Instant,
    deframer: Deframer,
    outbox: Outbox,
    /// A frame of which so many bytes were written, its length among them.
    partly: Option<(Skb, usize)>,
    retry: Instant,
    counters: DeviceCounters,
}

impl UnixStream {
    /// Opens one end; the peer need not be there.
    ///
    /// # Errors
    /// [`DeviceError::Setting`] for an MTU or path that cannot be, [`DeviceError::NotPermitted`] and
    /// [`DeviceError::Missing`] for the directory, [`DeviceError::System`].
    pub fn open(end: StreamEnd, config: UnixStreamConfig) -> Result<Self, DeviceError> {
        let (StreamEnd::Connect(path) | StreamEnd::Listen(path)) = &end;
        let name = format!("unix:{}", path.display());
        let source = match end {
            StreamEnd::Connect(path) => Source::Connect(path),
            StreamEnd::Listen(path) => {
                let answers = |path: &_| answers(connect(path).map(drop));
                let (listener, file) =
                    SocketFile::bind(&name, &path, answers, |path| net::UnixListener::bind(path))?;
                listener.set_nonblocking(true).map_err(|source| refused(&name, &path, "fcntl", source))?;
                Source::Listen(listener, Some(file))
            }
        };
        let mut device = Self::new(name, source, None, config)?;
        device.meet(Instant::ZERO)?;
        Ok(device)
    }

    /// Takes a connected stream socket: an end of `socketpair(2)` whose other end was handed to passt (`--fd`) or QEMU. When
    /// that is closed, nothing will come any more ([`Received::End`]).
    ///
    /// # Errors
    /// [`DeviceError::Setting`], [`DeviceError::System`].
    pub fn from_socket(socket: OwnedFd, config: UnixStreamConfig) -> Result<Self, DeviceError> {
        let name = "unix:socket".to_owned();
        let stream = net::UnixStream::from(socket);
        let prepared =
            rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC).map_err(io::Error::from);
        match prepared.and_then(|()| stream.set_nonblocking(true)) {
            Ok(()) => Self::new(name, Source::Given, Some(stream), config),
            Err(source) => Err(DeviceError::System { device: name, call: "fcntl", source }),
        }
    }

    fn new(
        name: String,
        source: Source,
        stream: Option<net::UnixStream>,
        config: UnixStreamConfig,
    ) -> Result<Self, DeviceError> {
        check_mtu(&name, config.mtu)?;
        Ok(Self {
            deframer: Deframer::new(config.mtu + LINK_HEADERS),
            name,
            config,
            source,
            stream,
            next_look: Instant::ZERO,
            outbox: Outbox::new(),
            partly: None,
            retry: Instant::MAX,
            counters: DeviceCounters::default(),
        })
    }

    /// Looks for the peer, where there is none now.
    fn meet(&mut self, now: Instant) -> Result<(), DeviceError> {
        if self.stream.is_some() || now < self.next_look {
            return Ok(());
        }
        let (met, path) = match &self.source {
            Source::Given => return Ok(()),
            Source::Connect(path) => {
                self.next_look = now + LOOK;
                (connect(path), path.as_path())
            }
            Source::Listen(listener, file) => {
                let accepted = listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    Ok(stream)
                });
                (accepted, file.as_ref().map_or("".as_ref(), |file| file.path.as_path()))
            }
        };
        self.counters.system_calls += 1;
        match met {
            Ok(stream) => self.stream = Some(stream),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(refused(&self.name, path, "connect", source));
            }
            // Nobody is there yet, or has left between.
            Err(_) => {}
        }
        Ok(())
    }

    /// Closes the connection of another peer while there is one: left waiting, it would keep whoever watches the listener
    /// awake.
    fn turn_away(&mut self) {
        if let Source::Listen(listener, _) = &self.source {
            self.counters.system_calls += 1;
            drop(listener.accept());
        }
    }

    /// The connection has ended. What was read or written in part is lost.
    fn part(&mut self, now: Instant, pool: &mut PacketPool) {
        self.stream = None;
        if self.deframer.is_within() {
            self.counters.drop_in(DeviceReason::Truncated);
        }
        self.deframer.clear();
        self.drop_partly(pool);
        self.next_look = if matches!(self.source, Source::Connect(_)) { now + LOOK } else { now };
    }

    fn drop_partly(&mut self, pool: &mut PacketPool) {
        self.retry = Instant::MAX;
        if let Some((packet, _)) = self.partly.take() {
            self.counters.drop_out(DeviceReason::LinkDown);
            pool.recycle(packet);
        }
    }

    /// Puts the frames that were read into the batch. False when the stream is none of frames.
    fn take(&mut self, now: Instant, batch: &mut PacketBatch, pool: &mut PacketPool) -> bool {
        while !batch.is_full() {
            let reason = match self.deframer.next() {
                Piece::Nothing => return true,
                Piece::Frame(frame) => {
                    if let Ok(packet) = batch.push_slice(frame, pool) {
                        packet.hot.timestamp = now;
                        self.counters.received += 1;
                        self.counters.received_bytes += frame.len() as u64;
                    }
                    continue;
                }
                Piece::TooLong => DeviceReason::Truncated,
                Piece::TooShort => DeviceReason::Malformed,
                Piece::Hostile(_) => {
                    self.counters.drop_in(DeviceReason::Malformed);
                    self.deframer.clear();
                    return false;
                }
            };
            self.counters.drop_in(reason);
        }
        true
    }

    /// Writes what is left of a frame, and the frames of the queue, in one call.
    fn write(&mut self, packets: &mut VecDeque<Skb>, pool: &mut PacketPool) -> io::Result<()> {
        let longest = self.config.mtu + LINK_HEADERS;
        let count = outgoing::sendable(packets, MESSAGES - 1, longest, &mut self.counters, pool);
        let Some(stream) = &self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut skip = self.partly.as_ref().map_or(0, |(_, written)| *written);
        let frames = || self.partly.iter().map(|(packet, _)| packet).chain(packets.iter().take(count));
        let mut lengths = [[0; PREFIX]; MESSAGES];
        let mut room = PIECES;
        let mut call = self.outbox.begin();
        call.message();
        for (packet, length) in frames().zip(&mut lengths) {
            let Some(left) = room.checked_sub(1 + packet.segments().len()) else { break };
            room = left;
            *length = packet.len().to_be_bytes();
            for piece in std::iter::once(&length[..]).chain(packet.segments()) {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                if skipped < piece.len() {
                    call.piece(&piece[skipped..]);
                }
            }
        }
        if room == PIECES {
            return Ok(());
        }
        self.counters.system_calls += 1;
        call.send(stream.as_fd())?;
        self.wrote(self.outbox.first_length(), packets, pool);
        Ok(())
    }

    /// So many bytes more were written.
    fn wrote(&mut self, mut bytes: usize, packets: &mut VecDeque<Skb>, pool: &mut PacketPool) {
        while bytes > 0 {
            let Some((packet, written)) = self.partly.take().or_else(|| Some((packets.pop_front()?, 0)))
            else {
                return;
            };
            let length = packet.len() as usize;
            let left = PREFIX + length - written;
            if bytes < left {
                self.partly = Some((packet, written + bytes));
                return;
            }
            bytes -= left;
            self.counters.sent += 1;
            self.counters.sent_bytes += length as u64;
            pool.recycle(packet);
        }
    }
}

/// Connects without waiting, also not for room in the listener's queue.
fn connect(path: &std::path::Path) -> io::Result<net::UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(net::UnixStream::from(socket))
}

/// True when the error says that the connection has ended.
fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::BrokenPipe | Kind::ConnectionReset | Kind::NotConnected | Kind::ConnectionAborted
    )
}

impl Device for UnixStream {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        Link {
            mac: self.config.mac,
            mtu: self.config.mtu,
            point_to_point: false,
            up: self.stream.is_some(),
            features: FeatureSet::NONE,
        }
    }

    /// The connection's descriptor, or the listener's while there is none: it changes with the connection.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match (&self.stream, &self.source) {
            (Some(stream), _) => Some(stream.as_fd()),
            (None, Source::Listen(listener, _)) => Some(listener.as_fd()),
            (None, _) => None,
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.meet(now)?;
        if now >= self.retry {
            self.transmit(now, &mut VecDeque::new(), pool)?;
        }
        let mut calls = 0..CALLS;
        loop {
            if !self.take(now, batch, pool) {
                self.part(now, pool);
            }
            if batch.is_full() || calls.next().is_none() {
                return Ok(Received::More);
            }
            let Some(stream) = &mut self.stream else {
                let is_given = matches!(self.source, Source::Given);
                return Ok(if is_given { Received::End } else { Received::Empty });
            };
            self.counters.system_calls += 1;
            match stream.read(self.deframer.room()) {
                Ok(0) => self.part(now, pool),
                Ok(count) => self.deframer.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.turn_away();
                    return Ok(Received::Empty);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if has_ended(&error) => self.part(now, pool),
                Err(source) => {
                    return Err(DeviceError::System { device: self.name.clone(), call: "read", source });
                }
            }
        }
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.meet(now)?;
        while !packets.is_empty() || self.partly.is_some() {
            if self.stream.is_none() {
                outgoing::drop_all(packets, DeviceReason::LinkDown, &mut self.counters, pool);
                return Ok(());
            }
            match self.write(packets, pool) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.counters.blocked += 1;
                    self.retry = if self.partly.is_some() { now + RETRY } else { Instant::MAX };
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the peer sent before is read yet; then the end of the stream is seen.
                Err(error) if has_ended(&error) => {
                    self.drop_partly(pool);
                    outgoing::drop_all(packets, DeviceReason::LinkDown, &mut self.counters, pool);
                }
                Err(source) => {
                    return Err(DeviceError::System { device: self.name.clone(), call: "sendmmsg", source });
                }
            }
        }
        self.retry = Instant::MAX;
        Ok(())
    }

    fn in_flight(&self) -> usize {
        usize::from(self.partly.is_some())
    }

    fn is_blocked(&self) -> bool {
        self.partly.is_some()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let look = match (&self.stream, &self.source) {
            (None, Source::Connect(_)) => self.next_look,
            _ => Instant::MAX,
        };
        Some(look.min(self.retry)).filter(|next| *next < Instant::MAX)
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.part(Instant::MAX, pool);
        self.source = Source::Given;
        Ok(())
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, "UnixStream", f)
    }
}
