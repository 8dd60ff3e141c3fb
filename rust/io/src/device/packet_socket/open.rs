//! How a packet socket is opened.
use netfast_buf::BlockPool;
use netfast_offload::features::VirtioFeatures;
use netfast_offload::segment::Segmenter;
use netfast_offload::virtio::{ByteOrder, HeaderForm, Peer, VirtioCodec, VirtioConfig};
use netfast_time::Instant;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use socket2::{SockFilter, SockRef};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::blocks::Blocks;
use super::receive::Source;
use super::slots::{PIECE, Slots};
use super::system::{self, Interface, Switch};
use super::{FanOut, PacketReceive, PacketSocket, PacketSocketConfig};
use crate::device::messages::Outbox;
use crate::device::namespace;
use crate::device::{DeviceCounters, DeviceError};

/// The longest IP packet that a super-packet is, and some headers: what a block of the ring has to hold.
const LONGEST: u32 = 65_536 + 512;

/// Bytes of frames longer than a slot that may wait.
const LONG_FRAMES: usize = 8 << 20;

/// Bytes of blocks that long frames are copied to, and how many idle ones are kept: those of two turns.
const LARGE_BLOCK: usize = 16_384;
const IDLE: usize = 16;

/// Sockets that may share an interface (the kernel's limit is 256, and none serves so many).
const MAX_QUEUES: u16 = 256;

impl PacketSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`DeviceError::NotPermitted`] without `CAP_NET_RAW` (or `CAP_SYS_ADMIN`, to enter a namespace),
    /// [`DeviceError::Missing`] when there is no such interface, [`DeviceError::Setting`], [`DeviceError::System`].
    pub fn open(config: PacketSocketConfig) -> Result<Self, DeviceError> {
        check(&config)?;
        let is_grouped = config.group.is_some();
        let mut socket = Self::open_in(&config, is_grouped)?;
        if let Some(group) = config.group {
            socket.join(kind_of(config.fan_out) | u32::from(group))?;
            socket.let_in()?;
        }
        Ok(socket)
    }

    /// Opens several sockets that share out what the interface receives; what is sent may go by any of them.
    ///
    /// # Errors
    /// As [`PacketSocket::open`].
    pub fn open_queues(config: &PacketSocketConfig, queues: u16) -> Result<Vec<Self>, DeviceError> {
        check(config)?;
        let name = &config.interface;
        if !(1..=MAX_QUEUES).contains(&queues) {
            return Err(setting(name, "queues", queues, format!("1 to {MAX_QUEUES}")));
        }
        let mut sockets: Vec<Self> = Vec::with_capacity(queues.into());
        for number in 0..queues {
            let mut socket = Self::open_in(config, true)?;
            let group = match (config.group, sockets.first()) {
                (Some(group), _) => kind_of(config.fan_out) | u32::from(group),
                (None, None) => kind_of(config.fan_out) | libc::PACKET_FANOUT_FLAG_UNIQUEID << 16,
                // The number is that of the first; who joins does not ask for one of its own.
                (None, Some(first)) => {
                    let group = system::fan_out(first.socket.as_fd())
                        .map_err(|source| refused(name, "getsockopt PACKET_FANOUT", source))?;
                    group & !(libc::PACKET_FANOUT_FLAG_UNIQUEID << 16)
                }
            };
            socket.join(group)?;
            socket.name = format!("{name}.{number}");
            sockets.push(socket);
        }
        sockets.iter().try_for_each(Self::let_in)?;
        Ok(sockets)
    }

    /// Opens a socket in the namespace. With `is_shut` it takes nothing before [`PacketSocket::let_in`]: what comes before it
    /// has joined its group would come to others, too.
    fn open_in(config: &PacketSocketConfig, is_shut: bool) -> Result<Self, DeviceError> {
        let name = &config.interface;
        namespace::inside(name, config.namespace.as_deref(), || {
            let failed = |call| move |source| refused(name, call, source);
            let socket = system::socket().map_err(failed("socket AF_PACKET"))?;
            if is_shut {
                let shut = SockRef::from(&socket).attach_filter(&[ending(0)]);
                shut.map_err(failed("setsockopt SO_ATTACH_FILTER"))?;
            }
            if let PacketReceive::Slots { .. } = config.receive {
                // Without the privilege for more there is room for a few super-packets.
                set_socket_recv_buffer_size_force(&socket, LONG_FRAMES)
                    .or_else(|_| set_socket_recv_buffer_size(&socket, LONG_FRAMES))
                    .map_err(|errno| refused(name, "setsockopt SO_RCVBUF", errno.into()))?;
            }
            let sender = system::socket().map_err(failed("socket AF_PACKET"))?;
            Self::open_on([socket, sender], config)
        })
    }

    /// Joins a group, whose number and kind are those of `PACKET_FANOUT`.
    fn join(&mut self, group: u32) -> Result<(), DeviceError> {
        self.is_grouped = true;
        let joined = system::set(self.socket.as_fd(), Switch::FanOut, group as libc::c_int);
        joined.map_err(|source| match source.raw_os_error() {
            Some(libc::EINVAL | libc::EALREADY) => setting(
                &self.name,
                "group",
                group & 0xffff,
                "a group whose sockets stand at this interface and share out alike".to_owned(),
            ),
            Some(libc::ENOSPC) => setting(
                &self.name,
                "group",
                group & 0xffff,
                format!("one of fewer than {MAX_QUEUES} sockets"),
            ),
            _ => refused(&self.name, "setsockopt PACKET_FANOUT", source),
        })
    }

    /// Takes what comes from now on; not what leaves, which a system that does not know [`IGNORE_OUTGOING`] gives to a group.
    fn let_in(&self) -> Result<(), DeviceError> {
        let kind = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
        let load = SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, kind);
        let outgoing = libc::PACKET_OUTGOING.into();
        let leaves = SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, outgoing);
        let opened = SockRef::from(&self.socket).attach_filter(&[load, leaves, ending(0), ending(u32::MAX)]);
        opened.map_err(|source| refused(&self.name, "setsockopt SO_ATTACH_FILTER", source))
    }

    /// Uses a socket that stood at an interface which is gone: with one of the same name, for which no privilege is needed.
    pub(super) fn open_again(
        sockets: [OwnedFd; 2],
        config: &PacketSocketConfig,
    ) -> Result<Self, DeviceError> {
        let name = config.interface.as_str();
        // An error that waits is of the one that is gone.
        let errors = sockets.iter().try_for_each(|socket| system::take_error(socket.as_fd()).map(drop));
        let freed = errors.and_then(|()| system::free_ring(sockets[0].as_fd()));
        freed.map_err(|source| refused(name, "setsockopt PACKET_RX_RING", source))?;
        Self::open_on(sockets, config)
    }

    /// Has the first of two sockets receive from the interface, and the second one send by it.
    fn open_on([socket, sender]: [OwnedFd; 2], config: &PacketSocketConfig) -> Result<Self, DeviceError> {
        let name = config.interface.as_str();
        let failed = |call| move |source| refused(name, call, source);
        let fd = socket.as_fd();
        let index = Interface::index_of(fd, name).map_err(failed("ioctl SIOCGIFINDEX"))?;
        let interface = Interface::read(fd, index).map_err(failed("ioctl SIOCGIFFLAGS"))?;
        if !matches!(interface.kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
            let expected = "an interface that carries Ethernet frames (ARPHRD_ETHER)".to_owned();
            return Err(setting(name, "interface", format!("type {}", interface.kind), expected));
        }
        let has_offloads =
            config.offloads && set_offloads(fd).map_err(failed("setsockopt PACKET_VNET_HDR"))?;
        let header = if has_offloads { HeaderForm::Short.bytes() } else { 0 };
        system::set(fd, Switch::IgnoreOutgoing, 1).map_err(failed("setsockopt PACKET_IGNORE_OUTGOING"))?;
        if has_offloads {
            system::set(sender.as_fd(), Switch::VnetHeader, 1)
                .map_err(failed("setsockopt PACKET_VNET_HDR"))?;
        }
        if config.qdisc_bypass {
            system::set(sender.as_fd(), Switch::QdiscBypass, 1)
                .map_err(failed("setsockopt PACKET_QDISC_BYPASS"))?;
        }
        let source = open_source(fd, config, header).map_err(failed("setsockopt PACKET_RX_RING"))?;
        system::bind(fd, index, libc::ETH_P_ALL).map_err(failed("bind"))?;
        // No protocol: it receives nothing.
        system::bind(sender.as_fd(), index, 0).map_err(failed("bind"))?;
        if config.promiscuous {
            system::set_promiscuous(fd, index).map_err(failed("setsockopt PACKET_ADD_MEMBERSHIP"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            socket,
            sender,
            is_grouped: false,
            interface,
            next_check: Instant::ZERO,
            source,
            large: BlockPool::new(LARGE_BLOCK, IDLE),
            codec: has_offloads.then(codec),
            features: VirtioFeatures::OFFLOADS,
            segmenter: Segmenter::default(),
            outbox: Outbox::new(),
            counters: DeviceCounters::default(),
        })
    }
}

/// Refuses settings before anything is opened.
fn check(config: &PacketSocketConfig) -> Result<(), DeviceError> {
    let name = &config.interface;
    if !(1..libc::IFNAMSIZ).contains(&name.len()) {
        return Err(setting(name, "interface", format!("{name:?}"), "a name of 1 to 15 bytes".to_owned()));
    }
    let (block, blocks, retire) = match config.receive {
        PacketReceive::Blocks { block, blocks, retire } => (block, blocks, retire),
        PacketReceive::Slots { slot, slots } => return check_slots(name, slot, slots),
    };
    let least = if config.offloads { LONGEST.next_multiple_of(4_096) } else { 4_096 };
    if block < least || !block.is_multiple_of(4_096) || block > 1 << 24 {
        return Err(setting(name, "block", block, format!("a multiple of 4096 from {least} to {}", 1 << 24)));
    }
    if !(2..=4_096).contains(&blocks) || u64::from(block) * u64::from(blocks) >= 1 << 31 {
        return Err(setting(name, "blocks", blocks, "2 to 4096, together less than 2 GiB".to_owned()));
    }
    if !(1..=1_000).contains(&retire) {
        return Err(setting(name, "retire", retire, "1 to 1000 milliseconds".to_owned()));
    }
    Ok(())
}

fn check_slots(name: &str, slot: u32, slots: u32) -> Result<(), DeviceError> {
    if !slot.is_power_of_two() || !(2_048..=PIECE).contains(&slot) {
        return Err(setting(name, "slot", slot, format!("a power of two from 2048 to {PIECE}")));
    }
    let whole = PIECE / slot;
    if slots == 0 || !slots.is_multiple_of(whole) || u64::from(slot) * u64::from(slots) >= 1 << 31 {
        return Err(setting(
            name,
            "slots",
            slots,
            format!("a multiple of {whole}, together less than 2 GiB"),
        ));
    }
    Ok(())
}

/// Asks for headers of offloads; false with a kernel that knows none.
fn set_offloads(socket: BorrowedFd<'_>) -> io::Result<bool> {
    match system::set(socket, Switch::VnetHeader, 1) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EINVAL)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn codec() -> VirtioCodec {
    VirtioCodec::new(VirtioConfig {
        form: HeaderForm::Short,
        order: ByteOrder::Native,
        peer: Peer::Tun,
        ..VirtioConfig::default()
    })
}

fn open_source(socket: BorrowedFd<'_>, config: &PacketSocketConfig, header: usize) -> io::Result<Source> {
    match config.receive {
        PacketReceive::Blocks { block, blocks, retire } => {
            system::set(socket, Switch::Version, libc::tpacket_versions::TPACKET_V3 as libc::c_int)?;
            Blocks::new(socket, block, blocks, retire, header).map(Source::Blocks)
        }
        PacketReceive::Slots { slot, slots } => {
            system::set(socket, Switch::Version, libc::tpacket_versions::TPACKET_V2 as libc::c_int)?;
            system::set(socket, Switch::CopyThreshold, 1)?;
            Slots::new(socket, slot, slots, header).map(|slots| Source::slots(slots, header))
        }
    }
}

/// The end of a filter: takes at most so many bytes.
fn ending(bytes: u32) -> SockFilter {
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, bytes)
}

/// `PACKET_FANOUT_FLAG_IGNORE_OUTGOING`: of what the members of a group want (`PACKET_IGNORE_OUTGOING`) a group knows nothing.
const IGNORE_OUTGOING: u32 = 0x4000;

/// The kind of a group and its flags.
fn kind_of(fan_out: FanOut) -> u32 {
    let kind = match fan_out {
        FanOut::Hash => libc::PACKET_FANOUT_HASH,
        FanOut::RoundRobin => libc::PACKET_FANOUT_LB,
        FanOut::Cpu => libc::PACKET_FANOUT_CPU,
        FanOut::Rollover => libc::PACKET_FANOUT_ROLLOVER,
        FanOut::Random => libc::PACKET_FANOUT_RND,
        FanOut::Queue => libc::PACKET_FANOUT_QM,
    };
    (kind | IGNORE_OUTGOING) << 16
}

fn setting(device: &str, setting: &'static str, value: impl ToString, expected: String) -> DeviceError {
    DeviceError::Setting { device: device.to_owned(), setting, value: value.to_string(), expected }
}

fn refused(device: &str, call: &'static str, source: io::Error) -> DeviceError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => DeviceError::NotPermitted {
            device,
            call,
            remedy: "packet sockets need CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` the program",
        },
        Some(libc::ENODEV | libc::ENXIO) => DeviceError::Missing {
            missing: format!("the interface {device}"),
            device,
            remedy: "see `ip link` for those that there are in this network namespace",
        },
        Some(libc::EAFNOSUPPORT) => DeviceError::Missing {
            device,
            missing: "the module af_packet".to_owned(),
            remedy: "load it (`modprobe af_packet`), or use a kernel with CONFIG_PACKET",
        },
        _ => DeviceError::System { device, call, source },
    }
}
