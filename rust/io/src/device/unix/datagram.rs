//! Frames as datagrams.
use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use super::{CALLS, LOOK, SocketFile, check_mtu, datagram_answers, refused};
use crate::device::messages::{Extras, Inbox, MESSAGES, Outbox};
use crate::device::outgoing::{self, ETHERNET_HEADER, LINK_HEADERS};
use crate::device::stack::debug;
use crate::device::{Device, DeviceCounters, DeviceError, DeviceReason, Link, Received};

/// How often the socket is connected to the peer's path anew. A peer that was restarted may lose what it sends
/// for so long, since the system lets only the old one send to us.
const CHECK: Duration = Duration::from_millis(250);

/// What a [`UnixDatagram`] is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixDatagramConfig {
    /// Where its socket is bound. A file that a socket left there is replaced, another file never.
    pub local: PathBuf,
    /// Where the peer's socket is, now or later.
    pub remote: PathBuf,
    /// The longest IP packet of a frame, in bytes: 68 to 65,535. Longer frames are dropped as too long when they are sent,
    /// as truncated when they come (by more than two VLAN tags).
    pub mtu: u32,
    /// The link address of this end, if it has one.
    pub mac: Option<[u8; 6]>,
}

impl UnixDatagramConfig {
    /// A link between the sockets at two paths, with an MTU of 1,500 bytes.
    pub fn new(local: impl Into<PathBuf>, remote: impl Into<PathBuf>) -> Self {
        Self { local: local.into(), remote: remote.into(), mtu: 1_500, mac: None }
    }
}

/// A link whose frames are the datagrams of a Unix socket.
///
/// It may be opened before the peer is there, and stays when the peer goes: [`Link::up`] says how it is, and what is to be
/// sent meanwhile is dropped as [`DeviceReason::LinkDown`]. While the peer is there the socket is connected to it, so that
/// nobody else can send.
pub struct UnixDatagram {
    name: String,
    config: UnixDatagramConfig,
    socket: net::UnixDatagram,
    file: Option<SocketFile>,
    /// The socket is connected to the peer.
    is_up: bool,
    next_look: Instant,
    inbox: Box<Inbox>,
    outbox: Outbox,
    counters: DeviceCounters,
}

impl UnixDatagram {
    /// Binds the socket; the peer need not be there.
    ///
    /// # Errors
    /// [`DeviceError::Setting`] for an MTU or path that cannot be, [`DeviceError::NotPermitted`] and
    /// [`DeviceError::Missing`] for the directory, [`DeviceError::System`].
    pub fn open(config: UnixDatagramConfig) -> Result<Self, DeviceError> {
        let name = format!("unix:{}", config.local.display());
        check_mtu(&name, config.mtu)?;
        let (socket, file) =
            SocketFile::bind(&name, &config.local, datagram_answers, |path| net::UnixDatagram::bind(path))?;
        socket.set_nonblocking(true).map_err(|source| refused(&name, &config.local, "fcntl", source))?;
        let slot = (config.mtu + LINK_HEADERS) as usize;
        let mut device = Self {
            name,
            config,
            socket,
            file: Some(file),
            is_up: false,
            next_look: Instant::ZERO,
            inbox: Box::new(Inbox::new(slot, MESSAGES, Extras::default())),
            outbox: Outbox::new(),
            counters: DeviceCounters::default(),
        };
        device.connect()?;
        Ok(device)
    }

    /// Where the socket is bound.
    pub fn local(&self) -> &Path {
        &self.config.local
    }

    /// Connects to the peer, if it is there. Where the socket is connected to it already, nothing changes.
    fn connect(&mut self) -> Result<(), DeviceError> {
        self.counters.system_calls += 1;
        self.is_up = match self.socket.connect(&self.config.remote) {
            Ok(()) => true,
            // Of a file that may not be written to. EPERM says that the peer is connected to somebody else, which may pass.
            Err(source) if source.raw_os_error() == Some(libc::EACCES) => {
                return Err(refused(&self.name, &self.config.remote, "connect", source));
            }
            Err(_) => false,
        };
        Ok(())
    }

    /// Looks whether the peer is there, and still the same one, when it is time to.
    fn look(&mut self, now: Instant) -> Result<(), DeviceError> {
        if now >= self.next_look {
            self.connect()?;
            self.next_look = now + if self.is_up { CHECK } else { LOOK };
        }
        Ok(())
    }

    /// Gives the messages that were received on.
    fn take(&mut self, count: usize, now: Instant, batch: &mut PacketBatch, pool: &mut PacketPool) {
        for message in (0..count).map(|index| self.inbox.message(index)) {
            if message.truncated {
                self.counters.drop_in(DeviceReason::Truncated);
            } else if message.bytes.len() < ETHERNET_HEADER as usize {
                self.counters.drop_in(DeviceReason::Malformed);
            } else if let Ok(packet) = batch.push_slice(message.bytes, pool) {
                packet.hot.timestamp = now;
                self.counters.received += 1;
                self.counters.received_bytes += message.bytes.len() as u64;
            }
        }
    }

    /// What the answer to the packet at the front means: true when it is worth another try at once.
    fn failed(
        &mut self,
        error: io::Error,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<bool, DeviceError> {
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(true),
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                self.counters.blocked += 1;
                Ok(false)
            }
            Some(libc::EMSGSIZE) => {
                outgoing::drop_front(packets, DeviceReason::TooLong, &mut self.counters, pool);
                Ok(true)
            }
            Some(
                libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::ENOTCONN
                | libc::EPIPE
                | libc::ENOENT
                | libc::EPERM,
            ) => {
                self.is_up = false;
                Ok(true)
            }
            _ => Err(DeviceError::System { device: self.name.clone(), call: "sendmmsg", source: error }),
        }
    }
}

impl Device for UnixDatagram {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        Link {
            mac: self.config.mac,
            mtu: self.config.mtu,
            point_to_point: false,
            up: self.is_up,
            features: FeatureSet::NONE,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.look(now)?;
        let mut calls = 0..CALLS;
        while !batch.is_full() && calls.next().is_some() {
            let wanted = (netfast_buf::BATCH_PACKETS - batch.len()).min(MESSAGES);
            self.counters.system_calls += 1;
            let count = match self.inbox.receive(self.socket.as_fd(), wanted) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Empty),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The peer was connected to somebody else, or has ended; what it sent before was taken.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::ECONNREFUSED)) => {
                    self.is_up = false;
                    self.next_look = now;
                    return Ok(Received::More);
                }
                Err(source) => {
                    return Err(DeviceError::System { device: self.name.clone(), call: "recvmmsg", source });
                }
            };
            self.take(count, now, batch, pool);
            if count < wanted {
                return Ok(Received::Empty);
            }
        }
        Ok(Received::More)
    }

    fn transmit(
        &mut self,
        _now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        let longest = self.config.mtu + LINK_HEADERS;
        let mut looked = false;
        while !packets.is_empty() {
            if !self.is_up {
                if !std::mem::replace(&mut looked, true) {
                    self.connect()?;
                }
                if !self.is_up {
                    outgoing::drop_all(packets, DeviceReason::LinkDown, &mut self.counters, pool);
                    return Ok(());
                }
            }
            let count = outgoing::sendable(packets, MESSAGES, longest, &mut self.counters, pool);
            if count == 0 {
                continue;
            }
            let mut call = self.outbox.begin();
            for packet in packets.iter().take(count) {
                call.message();
                call.packet(packet);
            }
            self.counters.system_calls += 1;
            match call.send(self.socket.as_fd()) {
                Ok(count) => outgoing::sent(packets, count, &mut self.counters, pool),
                Err(error) => {
                    if !self.failed(error, packets, pool)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next_look)
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, _pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.file = None;
        Ok(())
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, "UnixDatagram", f)
    }
}
