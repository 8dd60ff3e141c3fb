//! Interfaces of the kernel as ports, by packet sockets (`AF_PACKET`, packet(7)).
//!
//! A [`PacketSocket`] receives what an Ethernet interface receives, beside the kernel, and sends by it. It needs
//! `CAP_NET_RAW`. Where the interface has offloads the frames are as the kernel has them: super-packets, and packets whose
//! checksum is to be filled in, each with a virtio header (`PACKET_VNET_HDR`).
//!
//! # Receiving
//! There is no call of the system a packet: the kernel puts them into a ring, from which they are copied, since a ring stops
//! at what somebody holds in it. In one of slots ([`PacketReceive::Slots`]) each packet is there at once, and what is longer
//! than a slot takes a call. In one of blocks ([`PacketReceive::Blocks`]) packets of any length stand close to each other,
//! but a block that is not full is given to us only when its time is over, a millisecond or more.
//!
//! # Sending
//! Many packets go in one call (`sendmmsg(2)`; a ring to send from was not faster), by a socket of its own: who waits for one
//! that receives is looked for each time that a packet sent by it is freed, which costs a tenth of its way. Super-packets that the kernel does not cut
//! are cut here, and count as what they were cut into. What a queueing discipline or a driver had no room for is dropped as
//! refused, since nothing says when there is room.
//!
//! # The interface
//! may be down, come back, change its MTU, link address or name: [`Link`] follows within [`CHECK`]. When it is deleted, calls
//! end with [`DeviceError::Gone`]; another one of the same name takes another socket.
mod blocks;
mod open;
mod receive;
mod slots;
mod system;
mod transmit;

use netfast_buf::{BlockPool, PacketBatch, PacketPool, Skb};
use netfast_offload::features::{FeatureSet, Side, VirtioFeatures};
use netfast_offload::segment::Segmenter;
use netfast_offload::virtio::{VirtioCodec, VirtioCounters};
use netfast_time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::messages::Outbox;
use super::stack::debug;
use super::{Device, DeviceCounters, DeviceError, DeviceReason, Keeper, Link, Received};
use receive::Source;
use system::Interface;

/// How often the state of the interface and the number of overruns are read.
pub const CHECK: Duration = Duration::from_millis(250);

/// How packets are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketReceive {
    /// Into a ring of slots (`TPACKET_V2`). What is longer than a slot waits in the socket's queue, 8 MiB at most; above the
    /// system's limit (`net.core.rmem_max`) that needs `CAP_NET_ADMIN`.
    Slots {
        /// Bytes of a slot, of which a frame has all but 100: a power of two from 2,048 to 65,536.
        slot: u32,
        /// Slots: a multiple of 32 where they have 2,048 bytes.
        slots: u32,
    },
    /// Into a ring of blocks (`TPACKET_V3`).
    Blocks {
        /// Bytes of a block: a multiple of 4,096; with offloads more than the 64 KiB of a super-packet.
        block: u32,
        /// Blocks: 2 to 4,096.
        blocks: u32,
        /// Milliseconds after which a block is given to us though it is not full: 1 to 1,000.
        retire: u32,
    },
}

impl PacketReceive {
    /// Slots of 8 MiB.
    pub const SLOTS: Self = Self::Slots { slot: 2_048, slots: 4_096 };
    /// Blocks of 8 MiB.
    pub const BLOCKS: Self = Self::Blocks { block: 256 * 1_024, blocks: 32, retire: 1 };
}

/// How a group of sockets shares out what an interface receives (`PACKET_FANOUT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FanOut {
    /// By a hash of addresses and ports: a flow stays with one socket, both directions of it, too.
    #[default]
    Hash,
    /// In turn.
    RoundRobin,
    /// By the processor that received.
    Cpu,
    /// The first socket whose queue has room.
    Rollover,
    /// At random.
    Random,
    /// By the interface's receive queue.
    Queue,
}

/// What a [`PacketSocket`] is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSocketConfig {
    /// The interface's name; it has to be an Ethernet.
    pub interface: String,
    /// The network namespace that it is in: one of `ip netns`, or a path. `None` is the caller's.
    pub namespace: Option<String>,
    /// How packets are received.
    pub receive: PacketReceive,
    /// Whether the interface is to receive what is for other link addresses, too, as long as the socket is open. A router
    /// with a link address of its own, and a bridge, need it.
    pub promiscuous: bool,
    /// Whether super-packets and unfinished checksums go through as they are. Without, the interface's own have to be
    /// switched off (`ethtool -K IF tx off gro off`), or frames come that are too long or have wrong checksums.
    pub offloads: bool,
    /// Whether what is sent goes to the driver without the interface's queueing discipline (`PACKET_QDISC_BYPASS`): faster, but
    /// nothing waits there, and `tcpdump` does not see it.
    pub qdisc_bypass: bool,
    /// How a group of sockets shares out what the interface receives, where there is one.
    pub fan_out: FanOut,
    /// The number of the group that the socket joins, in this network namespace: sockets of other threads and other processes
    /// may be in it, if they share out alike. `None`: [`PacketSocket::open_queues`] takes a number that is free, and
    /// [`PacketSocket::open`] joins none.
    pub group: Option<u16>,
}

impl PacketSocketConfig {
    /// The interface with a name in this namespace, received into slots, promiscuous, with offloads.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            namespace: None,
            receive: PacketReceive::SLOTS,
            promiscuous: true,
            offloads: true,
            qdisc_bypass: false,
            fan_out: FanOut::Hash,
            group: None,
        }
    }
}

/// An interface of the kernel as a port; one of the queues of it when there are several ([`PacketSocket::open_queues`]).
pub struct PacketSocket {
    name: String,
    config: PacketSocketConfig,
    socket: OwnedFd,
    /// What packets are sent by.
    sender: OwnedFd,
    is_grouped: bool,
    interface: Interface,
    next_check: Instant,
    source: Source,
    /// Where long frames of the ring are copied to.
    large: BlockPool,
    codec: Option<VirtioCodec>,
    /// What the kernel takes from us; less when it refused some.
    features: VirtioFeatures,
    segmenter: Segmenter,
    outbox: Outbox,
    counters: DeviceCounters,
}

impl PacketSocket {
    /// The interface's name now; [`Device::name`] stays.
    pub fn interface(&self) -> &str {
        &self.interface.name
    }

    /// What was done with headers of offloads; `None` without.
    pub fn offloads(&self) -> Option<&VirtioCounters> {
        self.codec.as_ref().map(VirtioCodec::counters)
    }

    /// Reads the interface's state and what was dropped, when it is time to.
    fn check(&mut self, now: Instant) -> Result<(), DeviceError> {
        if now < self.next_check {
            return Ok(());
        }
        self.next_check = now + CHECK;
        self.look()
    }

    /// Reads the interface's state and what was dropped.
    ///
    /// # Errors
    /// [`DeviceError::Gone`] while there is no such interface.
    fn look(&mut self) -> Result<(), DeviceError> {
        self.count_overruns();
        match Interface::read(self.socket.as_fd(), self.interface.index) {
            Ok(interface) => {
                self.interface = interface;
                Ok(())
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => {
                Err(self.gone())
            }
            Err(source) => Err(self.failed("ioctl", source)),
        }
    }

    fn count_overruns(&mut self) {
        // What cannot be read now is read the next time: the number stays.
        let overruns = system::overruns(self.socket.as_fd()).unwrap_or(0);
        self.counters.dropped_in[DeviceReason::Overrun as usize] += overruns;
    }

    /// What opens the device again once its interface has another number: this socket itself, for which no privilege is needed.
    /// A socket that is in a group cannot be bound again (`EINVAL`), so it has no such thing.
    fn keeper(&self) -> Option<Keeper> {
        let config = self.config.clone();
        if self.is_grouped {
            return None;
        }
        let kept = [self.socket.try_clone().ok()?, self.sender.try_clone().ok()?];
        Some(Box::new(move || {
            let again = |kept: &OwnedFd| {
                let told =
                    |source| DeviceError::System { device: config.interface.clone(), call: "dup", source };
                kept.try_clone().map_err(told)
            };
            Ok(Box::new(Self::open_again([again(&kept[0])?, again(&kept[1])?], &config)?))
        }))
    }

    fn gone(&mut self) -> DeviceError {
        self.interface.up = false;
        DeviceError::Gone { device: self.name.clone() }
    }

    fn failed(&self, call: &'static str, source: std::io::Error) -> DeviceError {
        DeviceError::System { device: self.name.clone(), call, source }
    }
}

impl Device for PacketSocket {
    fn name(&self) -> &str {
        &self.name
    }

    fn link(&self) -> Link {
        let features = match self.codec {
            Some(_) => self.features.of_port(Side::Driver),
            None => FeatureSet::NONE,
        };
        Link {
            mac: Some(self.interface.mac),
            mtu: self.interface.mtu,
            point_to_point: false,
            up: self.interface.up,
            features: features.with(FeatureSet::SCATTER_GATHER),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn sender(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sender.as_fd())
    }

    fn receive(
        &mut self,
        now: Instant,
        batch: &mut PacketBatch,
        pool: &mut PacketPool,
    ) -> Result<Received, DeviceError> {
        self.check(now)?;
        self.take(now, batch, pool)
    }

    fn transmit(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Skb>,
        pool: &mut PacketPool,
    ) -> Result<(), DeviceError> {
        self.check(now)?;
        self.send(packets, pool)
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next_check)
    }

    fn counters(&self) -> DeviceCounters {
        self.counters.clone()
    }

    fn keeper(&self) -> Option<Keeper> {
        self.keeper()
    }

    fn close(&mut self, _pool: &mut PacketPool) -> Result<(), DeviceError> {
        self.count_overruns();
        Ok(())
    }
}

impl fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self, "PacketSocket", f)
    }
}
