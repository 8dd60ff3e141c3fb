//! Live ports: something that frames come from and go to.
//!
//! Every [`Device`] speaks Ethernet frames without check sequence, whatever its wire carries: one that carries bare IP
//! packets (TUN, a UDP socket) says so with [`Link::point_to_point`], puts a link header with zero addresses in front of
//! what comes in and takes it off what goes out. So the packet path above has one kind of frame.
//!
//! # Who owns a packet
//! [`Device::receive`] gives packets away. [`Device::transmit`] takes packets from the front of the queue; what it leaves
//! there could not go now (the wire is full) and is offered again when [`Device::descriptor`] is writable. A packet that it
//! took is counted once: as sent, or as dropped under a [`DeviceReason`]. Its memory may be in use for longer (zero-copy):
//! then the device keeps it and gives it back to the pool in [`Device::reap`].
//!
//! # Devices stack
//! A device may hold another one (a tee, a tracer, a fault injector) and passes on what it does not change.
// First, as the others use its macro.
#[macro_use]
mod stack;

pub mod capture;
pub mod fault;
pub mod memory;
#[cfg(target_os = "linux")]
mod messages;
mod name;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(target_os = "linux")]
mod outgoing;
#[cfg(target_os = "linux")]
pub mod packet_socket;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
pub mod queues;
pub mod tee;
#[cfg(test)]
mod testing;
pub mod tracer;
#[cfg(target_os = "linux")]
pub mod tun;
#[cfg(target_os = "linux")]
pub mod udp;
#[cfg(target_os = "linux")]
pub mod unix;

pub use name::is_interface_name;

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_offload::features::FeatureSet;
use netfast_time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;
use thiserror::Error;

/// What a device is on its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its link address, if it has one of its own.
    pub mac: Option<[u8; 6]>,
    /// The longest IP packet that it carries, in bytes; of a super-packet its segments are measured.
    pub mtu: u32,
    /// True when there are no neighbours to resolve: what is sent arrives at the one other end.
    pub point_to_point: bool,
    /// False while nothing can be sent or received: the peer is away, the interface is down.
    pub up: bool,
    /// What the device does so that the sender need not (checksums, segmentation), and what it delivers merged.
    pub features: FeatureSet,
}

/// Why a device dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DeviceReason {
    /// It came in longer than a buffer, and the rest of it is gone.
    Truncated,
    /// Its offload header (virtio) is not to be trusted.
    OffloadHeader,
    /// It is no frame: too short for its link header, or not IP where only IP travels.
    Malformed,
    /// It is longer than the wire carries.
    TooLong,
    /// The other end is away or the interface is down.
    LinkDown,
    /// The system refused it for good.
    Refused,
    /// A fault injector lost it, as it was told to.
    Injected,
    /// The system's queue ran over before we read it; only the number is known.
    Overrun,
}

impl DeviceReason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::Truncated,
        Self::OffloadHeader,
        Self::Malformed,
        Self::TooLong,
        Self::LinkDown,
        Self::Refused,
        Self::Injected,
        Self::Overrun,
    ];

    /// Its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::OffloadHeader => "offload_header",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::LinkDown => "link_down",
            Self::Refused => "refused",
            Self::Injected => "injected",
            Self::Overrun => "overrun",
        }
    }
}

impl fmt::Display for DeviceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went through a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Packets received and given away.
    pub received: u64,
    /// Their bytes, link headers included.
    pub received_bytes: u64,
    /// Packets taken to be sent and handed to the system.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets dropped on the way in, by reason ([`DeviceReason`] as index).
    pub dropped_in: [u64; DeviceReason::ALL.len()],
    /// Packets dropped on the way out.
    pub dropped_out: [u64; DeviceReason::ALL.len()],
    /// Calls of the system that moved packets.
    pub system_calls: u64,
    /// Times that nothing more could be sent for now, and packets stayed in their queue.
    pub blocked: u64,
    /// Packets whose bytes were copied into the kernel after all where zero-copy was asked for.
    pub copied: u64,
}

impl DeviceCounters {
    /// Counts a packet that was dropped on the way in.
    pub fn drop_in(&mut self, reason: DeviceReason) {
        self.dropped_in[reason as usize] += 1;
    }

    /// Adds what another device, or another queue, counted.
    pub fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.received, more.received),
            (&mut self.received_bytes, more.received_bytes),
            (&mut self.sent, more.sent),
            (&mut self.sent_bytes, more.sent_bytes),
            (&mut self.system_calls, more.system_calls),
            (&mut self.blocked, more.blocked),
            (&mut self.copied, more.copied),
        ];
        pairs.into_iter().for_each(|(into, value)| *into += value);
        let dropped = self.dropped_in.iter_mut().zip(more.dropped_in);
        let dropped = dropped.chain(self.dropped_out.iter_mut().zip(more.dropped_out));
        dropped.for_each(|(into, value)| *into += value);
    }

    /// Counts a packet that was dropped on the way out.
    pub fn drop_out(&mut self, reason: DeviceReason) {
        self.dropped_out[reason as usize] += 1;
    }
}

/// Why a device cannot be opened or does not go on. What concerns one packet is counted, not raised.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The system does not let us.
    #[error("{device}: {call} is not permitted: {remedy}")]
    NotPermitted {
        /// The device.
        device: String,
        /// What was asked of the system, such as `ioctl TUNSETIFF`.
        call: &'static str,
        /// What would help.
        remedy: &'static str,
    },
    /// Something that it needs is not here.
    #[error("{device}: {missing} is missing: {remedy}")]
    Missing {
        /// The device.
        device: String,
        /// What is not here: a file, an interface, a module of the kernel.
        missing: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A setting that the device cannot have.
    #[error("{device}: {setting} = {value}: expected {expected}")]
    Setting {
        /// The device.
        device: String,
        /// The setting.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is taken.
        expected: String,
    },
    /// The device is gone (its interface was deleted, its peer closed for good); it may be opened again later.
    #[error("{device} is gone: open it again when it is back")]
    Gone {
        /// The device.
        device: String,
    },
    /// Another answer of the system.
    #[error("{device}: {call}: {source}")]
    System {
        /// The device.
        device: String,
        /// What was asked of the system.
        call: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// A capture file that is read or written as a port.
    #[error("{path}: {source}")]
    File {
        /// The file, as it was named.
        path: String,
        /// What is wrong with it.
        source: crate::Error,
    },
}

/// Opens a device again, from what was kept for that: [`Device::keeper`].
pub type Keeper = Box<dyn Fn() -> Result<Box<dyn Device>, DeviceError> + Send + Sync>;

/// What a call of [`Device::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// There may be more: ask again, also when nothing was given.
    More,
    /// Nothing more for now: wait for [`Device::descriptor`] or [`Device::next_timeout`].
    Empty,
    /// Nothing will come any more: a capture is at its end, the peer has closed.
    End,
}

/// Something that frames come from and go to; one queue of it.
pub trait Device: Send {
    /// How it is called in messages and listings.
    fn name(&self) -> &str;

    /// What it is on its link, now: the MTU may change, the peer may be away.
    fn link(&self) -> Link;

    /// What is readable when there is something to receive and writable when something can be sent. `None` when there is
    /// no such thing: then it is asked again at [`Device::next_timeout`]. It may change with any call that receives or
    /// sends, when a connection takes the place of a listener or of an older one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// What is writable when something can be sent, where that is not [`Device::descriptor`]. It is watched only while
    /// something waits.
    fn sender(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes what has arrived, until the batch is full or nothing is left. Each packet has `hot.timestamp` set: `now`, or
    /// the time at which it was received where the system or the file says that.
    ///
    /// # Errors
    /// [`DeviceError`] when the device does not go on; packets that were put into the batch before are valid.
    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError>;

    /// Sends packets from the front of the queue, in order. Those that stay could not go now.
    ///
    /// # Errors
    /// [`DeviceError`] when the device does not go on; packets that were not taken stay in the queue.
    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError>;

    /// Gives memory back that the system does not use any more. Called once in each turn of the loop.
    ///
    /// # Errors
    /// [`DeviceError`] when the device does not go on.
    fn reap(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        let _ = pool;
        Ok(())
    }

    /// Packets that were taken and are not yet sent or not yet released: what waits for a delay, what the system still reads.
    fn in_flight(&self) -> usize {
        0
    }

    /// True while something that it took waits for [`Device::descriptor`] to be writable: then [`Device::transmit`] is to be
    /// called, also without packets.
    fn is_blocked(&self) -> bool {
        false
    }

    /// What is readable when [`Device::reap`] has something to do, if that is not [`Device::descriptor`].
    fn completions(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// When it wants to be asked again although no descriptor said so: the next packet of a replay, the end of a delay. Then
    /// [`Device::transmit`] is called, also without packets, and [`Device::receive`], unless the caller reads nothing for
    /// now. A device that was asked names a later time than that of the question.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// What went through it so far.
    fn counters(&self) -> DeviceCounters;

    /// What opens it again when it is gone, without a privilege that was needed the first time. `None`: it is to be opened as
    /// it was then.
    fn keeper(&self) -> Option<Keeper> {
        None
    }

    /// Ends it in order: what is in flight is awaited or taken back, files are completed, what it made in the system is
    /// taken away. Dropping a device does the same, without the error.
    ///
    /// # Errors
    /// [`DeviceError`] when something could not be completed.
    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        let _ = pool;
        Ok(())
    }
}

impl<D: Device + ?Sized> Device for Box<D> {
    forward!(self => (**self); name link descriptor sender receive transmit reap in_flight is_blocked completions next_timeout counters keeper close);
}

#[cfg(test)]
mod tests {
    use super::DeviceReason;

    #[test]
    fn reasons_are_numbered_in_order() {
        for (place, reason) in DeviceReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "{reason}");
        }
    }
}
