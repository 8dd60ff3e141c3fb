//! TUN and TAP: a network interface of this machine's kernel, whose other end is a file (linux/if_tun.h,
//! Documentation/networking/tuntap.rst).
//!
//! TUN carries bare IP packets and is point-to-point; TAP carries Ethernet frames. With virtio headers packets of up to
//! 64 KiB go both ways, their checksums left open: the kernel cuts none of what it sends, and cuts itself what it is sent.
//!
//! # Memory
//! `readv(2)` puts the first [`HEAD`] bytes of a packet into small memory of its own, which the node above may write, and
//! the rest into blocks: one of [`BLOCK`] bytes, then of [`LARGE_BLOCK`]. Blocks that a packet does not reach wait for the
//! next one. So a short packet pins 512 bytes, a full frame another 2 KiB, and 64 KiB nobody but who needs it; nothing is
//! copied but by the kernel.
//!
//! # Overruns
//! The kernel keeps as many packets as the interface's queue is long (500, unless `txqueuelen` says otherwise) until they are
//! read, and drops those that come then. They are [`DeviceReason::Overrun`] at the first queue of an interface.
//!
//! # Fallbacks
//! A kernel that does not know an offload is asked for less ([`Tun::offloads`] says what came out). Some kernels refuse
//! super-packets that are written, with EINVAL: such a packet is cut here, and after [`GSO_REFUSALS`] in a row its kind is not
//! tried again ([`TunCounters`]).
//!
//! ```no_run
//! use netfast_buf::{PacketBatch, PacketPool};
//! use netfast_io::device::{Device, tun::TunOptions};
//! # use netfast_time::Instant;
//! # let now = Instant::ZERO;
//!
//! let options = TunOptions { addresses: vec![("10.9.0.1".parse()?, 24)], up: true, ..TunOptions::tun("nf0") };
//! let mut tun = options.open()?;
//! let (mut batch, mut pool) = (PacketBatch::new(), PacketPool::default());
//! tun.receive(now, &mut batch, &mut pool)?;
//! tun.transmit(now, &mut batch.drain().collect(), &mut pool)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod configure;
mod ioctl;
mod open;
mod receive;
mod transmit;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{collections::VecDeque, fmt};

use netfast_buf::{PacketBatch, PacketPool, Skb};
use netfast_offload::features::{FeatureSet, VirtioFeatures};
use netfast_offload::segment::SegmentCounters;
use netfast_offload::virtio::{VirtioCodec, VirtioCounters};
use netfast_time::{Duration, Instant};

use super::stack::debug;
use super::{Device, DeviceCounters, DeviceError, DeviceReason, Link, Received};
use configure::Control;
pub(super) use receive::Slots;
use transmit::Outgoing;

pub use open::TunOptions;
pub use receive::{BLOCK, HEAD, LARGE_BLOCK, READ_BYTES};
pub use transmit::GSO_REFUSALS;

/// How long what is known of an interface (its MTU, whether it is up) is believed.
pub const LINK_REFRESH: Duration = Duration::from_millis(500);

/// What a link header has that TUN does not carry.
const ETHERNET: u32 = 14;

/// What the interface carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunKind {
    /// IP packets (`IFF_TUN`).
    #[default]
    Tun,
    /// Ethernet frames (`IFF_TAP`).
    Tap,
}

impl TunKind {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::Tap => "tap",
        }
    }
}

/// What a [`Tun`] did besides [`DeviceCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunCounters {
    /// Its virtio headers; each packet of [`DeviceReason::OffloadHeader`](super::DeviceReason) has its reason here.
    pub virtio: VirtioCounters,
    /// Super-packets that were cut here, because the kernel takes none such.
    pub segmented: SegmentCounters,
    /// Super-packets that the kernel refused, and that were cut then.
    pub gso_refused: u64,
}

/// One queue of a TUN or TAP interface.
///
/// It may be sent to another thread. The interface goes away with its last queue, unless it is persistent.
pub struct Tun {
    name: String,
    kind: TunKind,
    /// None when it was closed.
    fd: Option<OwnedFd>,
    control: Control,
    offloads: VirtioFeatures,
    /// None without virtio headers.
    codec: Option<VirtioCodec>,
    slots: Slots,
    outgoing: Outgoing,
    counters: DeviceCounters,
}

impl Tun {
    /// Takes a descriptor that somebody else opened (`TUNSETIFF` done, and without packet information headers), and which
    /// is made non-blocking. Offloads stay as they were set; of an interface in a namespace that may not be entered only
    /// that is known.
    ///
    /// # Errors
    /// [`DeviceError::Setting`] when it is no such descriptor; [`DeviceError::System`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, DeviceError> {
        open::adopt(fd)
    }

    /// What the interface carries.
    pub fn kind(&self) -> TunKind {
        self.kind
    }

    /// The offloads of what is read (`GUEST_` bits) that the kernel agreed to; none without virtio headers. Of a
    /// descriptor that was handed over they are not known: everything that netfast can do is taken.
    pub fn offloads(&self) -> VirtioFeatures {
        self.offloads
    }

    /// What it did besides [`Device::counters`].
    pub fn tun_counters(&self) -> TunCounters {
        TunCounters {
            virtio: self.codec.as_ref().map(|codec| *codec.counters()).unwrap_or_default(),
            segmented: self.outgoing.segmented(),
            gso_refused: self.outgoing.gso_refused,
        }
    }

    /// Says whether the interface has a carrier (`TUNSETCARRIER`): without, the kernel sends nothing there.
    ///
    /// # Errors
    /// [`DeviceError::System`], [`DeviceError::Gone`].
    pub fn set_carrier(&mut self, carrier: bool) -> Result<(), DeviceError> {
        let mut value = i32::from(carrier);
        let done = ioctl::setting(self.fd()?, ioctl::Setting::Carrier, &mut value);
        done.map_err(|source| self.failed("ioctl TUNSETCARRIER", source))?;
        self.control.forget();
        Ok(())
    }

    fn fd(&self) -> Result<&OwnedFd, DeviceError> {
        self.fd.as_ref().ok_or_else(|| self.gone())
    }

    fn gone(&self) -> DeviceError {
        DeviceError::Gone { device: self.name.clone() }
    }

    fn failed(&self, call: &'static str, source: std::io::Error) -> DeviceError {
        failed(&self.name, call, source)
    }

    /// Looks at the interface again, when that is due.
    fn refresh(&mut self, now: Instant) -> Result<(), DeviceError> {
        let Some(fd) = self.fd.as_ref() else { return Err(self.gone()) };
        if now < self.control.due {
            return Ok(());
        }
        self.control.due = now + LINK_REFRESH;
        let overruns = self.control.refresh(fd, &mut self.name)?;
        self.counters.dropped_in[DeviceReason::Overrun as usize] += overruns;
        Ok(())
    }

    fn features(&self) -> FeatureSet {
        self.outgoing.features(self.codec.is_some(), self.offloads)
    }
}

/// What an answer of the system means: EBADFD is that of a queue whose interface was deleted.
fn failed(device: &str, call: &'static str, source: std::io::Error) -> DeviceError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::EBADFD) => DeviceError::Gone { device },
        _ => DeviceError::System { device, call, source },
    }
}

impl Device for Tun {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        Link {
            // A TAP interface's address is the kernel's at the other end.
            mac: None,
            mtu: self.control.mtu,
            point_to_point: self.kind == TunKind::Tun,
            up: self.control.up && self.fd.is_some(),
            features: self.features(),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.refresh(now)?;
        self.read(now, batch, pool)
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.refresh(now)?;
        self.write_pending(pool)?;
        while self.outgoing.is_empty()
            && let Some(packet) = packets.pop_front()
        {
            self.prepare(packet, pool);
            self.write_pending(pool)?;
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        usize::from(!self.outgoing.is_empty())
    }

    fn is_blocked(&self) -> bool {
        self.in_flight() > 0
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.fd.as_ref().map(|_| self.control.due)
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn close(&mut self, pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.abandon(pool);
        self.fd = None;
        self.control = Control::default();
        Ok(())
    }
}

impl fmt::Debug for Tun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, "Tun", f)
    }
}

#[cfg(test)]
mod tests;
