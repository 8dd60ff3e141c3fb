//! What works here and what does not, and what would help: ports, their offloads, and ways to send.
//!
//! Each thing is tried, for that is the only answer that holds: capabilities, devices, modules, seccomp filters and the age
//! of the kernel come together. Interfaces are made in a network namespace of their own where that is permitted, and for a
//! moment in that of the caller where not. Nothing is left behind.
use std::fmt;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use netfast_offload::features::VirtioFeatures;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use thiserror::Error;

use super::DeviceError;
use super::packet_socket::{PacketReceive, PacketSocket, PacketSocketConfig};
use super::tun::{Tun, TunKind, TunOptions};
use super::udp::switch_on;

macro_rules! probes {
    ($($probe:ident $name:literal $purpose:literal;)+) => {
        /// Something that may work here or not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Probe {
            $(#[doc = concat!($purpose, ".")] $probe,)+
        }

        impl Probe {
            /// All of them, in the order in which they are told.
            pub const ALL: &[Self] = &[$(Self::$probe),+];

            /// Its name in listings.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$probe => $name,)+
                }
            }

            /// What it is good for.
            pub const fn purpose(self) -> &'static str {
                match self {
                    $(Self::$probe => $purpose,)+
                }
            }
        }
    };
}

probes! {
    Namespace "namespace" "Ports in network namespaces by name";
    Tun "tun" "TUN interfaces: IP packets of this machine's kernel";
    Tap "tap" "TAP interfaces: Ethernet frames of this machine's kernel";
    TunQueues "tun_queues" "Several queues of a TUN or TAP interface";
    TunChecksum "tun_checksum" "Packets of TUN and TAP whose checksum is left open";
    TunTcp "tun_tso" "TCP super-packets through TUN and TAP";
    TunUdp "tun_uso" "UDP super-packets through TUN and TAP";
    Packet "packet" "Packet sockets: interfaces of the kernel as ports";
    PacketBlocks "packet_blocks" "Their ring of blocks (TPACKET_V3)";
    PacketOffloads "packet_offloads" "Super-packets and open checksums through packet sockets";
    PacketBypass "packet_qdisc_bypass" "Packet sockets that send past the queueing discipline";
    PacketFanOut "packet_fan_out" "Several packet sockets that share an interface";
    Unix "unix" "Unix sockets as ports: virtual machines, passt";
    Udp "udp" "UDP sockets as ports";
    UdpSegment "udp_segment" "UDP datagrams that are sent together (UDP_SEGMENT)";
    UdpGro "udp_gro" "UDP datagrams that come together (UDP_GRO)";
    ZeroCopy "zero_copy" "Sending without a copy (SO_ZEROCOPY)";
    IoUring "io_uring" "io_uring";
    IoUringZeroCopy "io_uring_zero_copy" "Sending without a copy by io_uring (SENDMSG_ZC)";
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something does not work here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Lack {
    /// The system does not let us.
    #[error("{call} is not permitted: {remedy}")]
    NotPermitted {
        /// What was asked of the system.
        call: &'static str,
        /// What would help.
        remedy: &'static str,
    },
    /// Something that it needs is not here.
    #[error("{missing} is missing: {remedy}")]
    Missing {
        /// What is not here.
        missing: String,
        /// What would help.
        remedy: &'static str,
    },
    /// The kernel does not know it.
    #[error("this kernel does not know it: Linux {since} does")]
    Kernel {
        /// The first version that does.
        since: &'static str,
    },
    /// It is a part of something that does not work.
    #[error("it needs {needed}, which does not work here")]
    Needs {
        /// What it is a part of.
        needed: Probe,
    },
    /// Another answer of the system.
    #[error("{call}: {source}")]
    System {
        /// What was asked of the system.
        call: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl From<DeviceError> for Lack {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NotPermitted { call, remedy, .. } => Self::NotPermitted { call, remedy },
            DeviceError::Missing { missing, remedy, .. } => Self::Missing { missing, remedy },
            DeviceError::System { call, source, .. } => Self::System { call, source },
            other => Self::System { call: "open", source: io::Error::other(other.to_string()) },
        }
    }
}

/// What was found out.
#[derive(Debug)]
pub struct Finding {
    /// About what.
    pub probe: Probe,
    /// That it works, or why not.
    pub answer: Result<(), Lack>,
}

/// Tries everything, in the order of [`Probe::ALL`]. It takes some tenths of a second: interfaces and sockets are let go slowly.
pub fn probe() -> Vec<Finding> {
    let mut found = std::thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(found) => found,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    sockets(&mut found);
    io_uring(&mut found);
    found
}

/// Adds what was found out.
fn tell(found: &mut Vec<Finding>, probe: Probe, answer: Result<(), Lack>) {
    found.push(Finding { probe, answer });
}

/// Adds that something works or not, whatever it gave.
fn tell_of<T>(found: &mut Vec<Finding>, probe: Probe, tried: Result<T, impl Into<Lack>>) -> Option<T> {
    match tried {
        Ok(value) => {
            tell(found, probe, Ok(()));
            Some(value)
        }
        Err(error) => {
            tell(found, probe, Err(error.into()));
            None
        }
    }
}

/// What is tried on a thread that may leave its network namespace.
fn inside() -> Vec<Finding> {
    let mut found = Vec::new();
    // SAFETY: only the network namespace of this thread changes, which ends with the work; descriptors stay shared.
    let left = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    let left = left.map_err(|error| match error {
        rustix::io::Errno::PERM => Lack::NotPermitted {
            call: "unshare CLONE_NEWNET",
            remedy: "network namespaces need CAP_SYS_ADMIN: run as root, or inside of the namespace (`ip netns exec`)",
        },
        error => Lack::System { call: "unshare CLONE_NEWNET", source: error.into() },
    });
    tell_of(&mut found, Probe::Namespace, left);
    tuns(&mut found);
    packets(&mut found);
    found
}

fn tuns(found: &mut Vec<Finding>) {
    let options = |kind| TunOptions { kind, ..TunOptions::tun("nfprobe%d") };
    let tun = tell_of(found, Probe::Tun, options(TunKind::Tun).open());
    tell_of(found, Probe::Tap, options(TunKind::Tap).open());
    let needs_tun = || Lack::Needs { needed: Probe::Tun };
    let queues = tun.is_some().then(|| options(TunKind::Tun).open_queues(2).map(drop));
    tell(found, Probe::TunQueues, queues.map_or(Err(needs_tun()), |tried| tried.map_err(Lack::from)));
    for (probe, needed, since) in [
        (Probe::TunChecksum, VirtioFeatures::GUEST_CSUM, "2.6.27"),
        (Probe::TunTcp, VirtioFeatures::GUEST_TSO4.with(VirtioFeatures::GUEST_TSO6), "2.6.27"),
        (Probe::TunUdp, VirtioFeatures::GUEST_USO4.with(VirtioFeatures::GUEST_USO6), "6.2"),
    ] {
        let answer = match tun.as_ref().map(Tun::offloads) {
            Some(offloads) if offloads.has(needed) => Ok(()),
            Some(_) => Err(Lack::Kernel { since }),
            None => Err(needs_tun()),
        };
        tell(found, probe, answer);
    }
}

fn packets(found: &mut Vec<Finding>) {
    // The least that a ring may be: this is not to cost memory.
    let receive = PacketReceive::Slots { slot: 2_048, slots: 32 };
    let config = PacketSocketConfig { receive, promiscuous: false, ..PacketSocketConfig::new("lo") };
    let packet = tell_of(found, Probe::Packet, PacketSocket::open(config.clone()));
    let blocks = PacketReceive::Blocks { block: 1 << 17, blocks: 2, retire: 1 };
    let mut part = |probe, works: &dyn Fn() -> Result<(), Lack>| {
        let needs = Lack::Needs { needed: Probe::Packet };
        tell(found, probe, if packet.is_some() { works() } else { Err(needs) });
    };
    let open = |config| PacketSocket::open(config).map(drop).map_err(Lack::from);
    part(Probe::PacketBlocks, &|| open(PacketSocketConfig { receive: blocks, ..config.clone() }));
    part(Probe::PacketOffloads, &|| {
        let has = packet.as_ref().is_some_and(|packet| packet.offloads().is_some());
        if has { Ok(()) } else { Err(Lack::Kernel { since: "4.6" }) }
    });
    part(Probe::PacketBypass, &|| open(PacketSocketConfig { qdisc_bypass: true, ..config.clone() }));
    part(Probe::PacketFanOut, &|| Ok(PacketSocket::open_queues(&config, 2).map(drop)?));
}

/// What needs no privileges, if nothing is forbidden.
fn sockets(found: &mut Vec<Finding>) {
    let system = |call| move |source| Lack::System { call, source };
    tell_of(found, Probe::Unix, UnixDatagram::pair().map_err(system("socketpair")));
    let bound = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"));
    let udp = tell_of(found, Probe::Udp, bound.map_err(system("bind")));
    for (probe, level, option, since) in [
        (Probe::UdpSegment, libc::SOL_UDP, libc::UDP_SEGMENT, "4.18"),
        (Probe::UdpGro, libc::SOL_UDP, libc::UDP_GRO, "5.0"),
        (Probe::ZeroCopy, libc::SOL_SOCKET, libc::SO_ZEROCOPY, "5.0"),
    ] {
        let answer = match udp.as_ref().map(|socket| switch_on(socket.as_fd(), level, option)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error))
                if matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP)) =>
            {
                Err(Lack::Kernel { since })
            }
            Some(Err(source)) => Err(Lack::System { call: "setsockopt", source }),
            None => Err(Lack::Needs { needed: Probe::Udp }),
        };
        tell(found, probe, answer);
    }
}

fn io_uring(found: &mut Vec<Finding>) {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let ring = io_uring::IoUring::new(2).map_err(|error| forbidden(error, disabled.trim()));
    let ring = tell_of(found, Probe::IoUring, ring);
    let answer = ring.map_or(Err(Lack::Needs { needed: Probe::IoUring }), |ring| {
        let mut known = io_uring::Probe::new();
        let source = ring.submitter().register_probe(&mut known);
        source.map_err(|source| Lack::System { call: "io_uring_register", source })?;
        let has = known.is_supported(io_uring::opcode::SendMsgZc::CODE);
        if has { Ok(()) } else { Err(Lack::Kernel { since: "6.1" }) }
    });
    tell(found, Probe::IoUringZeroCopy, answer);
}

/// Why there is no ring, by what the system answers and what `kernel.io_uring_disabled` is.
fn forbidden(error: io::Error, disabled: &str) -> Lack {
    let call = "io_uring_setup";
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM | libc::EACCES), "2") => Lack::NotPermitted {
            call,
            remedy: "it is switched off on this machine: `sysctl kernel.io_uring_disabled=0`",
        },
        (Some(libc::EPERM | libc::EACCES), "1") => Lack::NotPermitted {
            call,
            remedy: "this machine lets only CAP_SYS_ADMIN and a group use it: join the group of `sysctl kernel.io_uring_group`, or `sysctl kernel.io_uring_disabled=0`",
        },
        // Filters answer with either.
        (Some(libc::EPERM | libc::EACCES), _) => Lack::NotPermitted {
            call,
            remedy: "a seccomp filter forbids it, as those of containers do: allow io_uring_setup, io_uring_enter and io_uring_register there",
        },
        (Some(libc::ENOSYS), "0" | "1" | "2") => Lack::NotPermitted {
            call,
            remedy: "a seccomp filter hides it, as those of containers do: allow io_uring_setup, io_uring_enter and io_uring_register there",
        },
        (Some(libc::ENOSYS), _) => Lack::Kernel { since: "5.1 with CONFIG_IO_URING" },
        (Some(libc::ENOMEM), _) => Lack::NotPermitted {
            call,
            remedy: "locked memory is limited: raise `ulimit -l`, or use Linux 5.12 or later",
        },
        _ => Lack::System { call, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_ring_names_who_forbids_it() {
        let told = |errno, disabled| forbidden(io::Error::from_raw_os_error(errno), disabled).to_string();
        for (errno, disabled, word) in [
            (libc::EPERM, "2", "io_uring_disabled=0"),
            (libc::EPERM, "1", "io_uring_group"),
            (libc::EPERM, "0", "seccomp"),
            (libc::EACCES, "", "seccomp"),
            (libc::ENOSYS, "0", "seccomp"),
            (libc::ENOSYS, "", "CONFIG_IO_URING"),
            (libc::ENOMEM, "0", "ulimit -l"),
            (libc::EINVAL, "0", "io_uring_setup"),
        ] {
            assert!(told(errno, disabled).contains(word), "{errno} {disabled}: {}", told(errno, disabled));
        }
    }
}
