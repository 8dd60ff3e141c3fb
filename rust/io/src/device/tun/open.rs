//! How a TUN or TAP interface is made or joined.
use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use netfast_offload::features::VirtioFeatures;
use netfast_offload::virtio::{ByteOrder, HeaderForm, LONG_HEADER, Peer, VirtioCodec, VirtioConfig};
use netfast_wire::LinkType;

use super::configure::Control;
use super::ioctl::{self, About, Ifreq, Setting};
use super::receive::Slots;
use super::transmit::Outgoing;
use super::{Tun, TunKind, failed};
use crate::device::namespace::inside;
use crate::device::{DeviceCounters, DeviceError, is_interface_name};

const CLONE_DEVICE: &str = "/dev/net/tun";
/// The most queues of an interface (`MAX_TAP_QUEUES`).
const QUEUES: usize = 256;
/// MTUs that Linux takes for such an interface: 65,535 bytes with the link header, and no less than IPv4 asks for.
const MTUS: std::ops::RangeInclusive<u32> = 68..=65_521;

/// The most packets that a queue is made for: the kernel has a pointer for each.
const MAX_QUEUE_LENGTH: u32 = 65_536;

/// What the kernel is asked for, until it agrees: USO is known from Linux 6.2 on.
const OFFLOADS: [VirtioFeatures; 4] = {
    use VirtioFeatures as F;
    let tso = F::GUEST_CSUM.with(F::GUEST_TSO4).with(F::GUEST_TSO6);
    let all = tso.with(F::GUEST_ECN).with(F::GUEST_USO4).with(F::GUEST_USO6);
    [all, tso.with(F::GUEST_ECN), tso, F::GUEST_CSUM]
};

/// How a TUN or TAP interface is made or joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunOptions {
    /// What it carries.
    pub kind: TunKind,
    /// Its name, at most 15 bytes; `%d` in it becomes a number. Without one the kernel names it `tunN` or `tapN`. An
    /// interface of this kind that is there already, and free, is joined.
    pub name: String,
    /// The network namespace that it is in: one of `ip netns`, or a path such as `/proc/PID/ns/net`. Without one, that of the
    /// calling thread, which is never left.
    pub namespace: Option<String>,
    /// Whether packets have virtio headers, so that super-packets and open checksums go both ways (`IFF_VNET_HDR`).
    pub offloads: bool,
    /// Whether the interface outlives its last queue (`TUNSETPERSIST`); without a word it stays as it is.
    pub persistent: Option<bool>,
    /// Its MTU in bytes, from 68 to 65,521. As the following: without a word it stays as it is, and a change needs
    /// CAP_NET_ADMIN.
    pub mtu: Option<u32>,
    /// Packets that each of its queues holds until they are read (`txqueuelen`, 500 of a new one): from 1 to 65,536.
    pub queue_length: Option<u32>,
    /// The link address of the kernel's end of a TAP interface.
    pub mac: Option<[u8; 6]>,
    /// Addresses of the kernel's end, each with the length of its prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whether it is set up.
    pub up: bool,
    /// Whether the other end is there from the beginning (else `IFF_NO_CARRIER`, from Linux 6.2 on).
    pub carrier: bool,
}

impl TunOptions {
    /// A TUN interface with virtio headers, that is not configured.
    pub fn tun(name: &str) -> Self {
        Self::new(TunKind::Tun, name)
    }

    /// A TAP interface with virtio headers, that is not configured.
    pub fn tap(name: &str) -> Self {
        Self::new(TunKind::Tap, name)
    }

    fn new(kind: TunKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            namespace: None,
            offloads: true,
            persistent: None,
            mtu: None,
            queue_length: None,
            mac: None,
            addresses: Vec::new(),
            up: false,
            carrier: true,
        }
    }

    /// Makes or joins the interface, with one queue.
    ///
    /// # Errors
    /// [`DeviceError::Setting`], [`DeviceError::NotPermitted`] (CAP_NET_ADMIN; for namespaces CAP_SYS_ADMIN),
    /// [`DeviceError::Missing`] (`/dev/net/tun`, the namespace), [`DeviceError::System`]. Nothing is left behind then.
    pub fn open(&self) -> Result<Tun, DeviceError> {
        self.check()?;
        inside(&self.name, self.namespace.as_deref(), || self.queue(&self.name, 0, true))
    }

    /// Makes or joins the interface with this many queues, from 1 to 256, over which the kernel spreads flows
    /// (`IFF_MULTI_QUEUE`).
    ///
    /// # Errors
    /// As [`TunOptions::open`].
    pub fn open_queues(&self, queues: usize) -> Result<Vec<Tun>, DeviceError> {
        self.check()?;
        if !(1..=QUEUES).contains(&queues) {
            return Err(self.setting("queues", queues.to_string(), format!("1 to {QUEUES}")));
        }
        inside(&self.name, self.namespace.as_deref(), || {
            let first = self.queue(&self.name, libc::IFF_MULTI_QUEUE, true)?;
            let (name, mut all) = (first.name.clone(), Vec::with_capacity(queues));
            all.push(first);
            for _ in 1..queues {
                all.push(self.queue(&name, libc::IFF_MULTI_QUEUE, false)?);
            }
            Ok(all)
        })
    }

    fn check(&self) -> Result<(), DeviceError> {
        if !self.name.is_empty() && !is_interface_name(&self.name) {
            let expected = "at most 15 bytes without slash, colon and space, not . or ..".to_owned();
            return Err(self.setting("name", self.name.clone(), expected));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| !MTUS.contains(mtu)) {
            return Err(self.setting("mtu", mtu.to_string(), format!("{} to {}", MTUS.start(), MTUS.end())));
        }
        if let Some(length) = self.queue_length.filter(|length| !(1..=MAX_QUEUE_LENGTH).contains(length)) {
            let expected = format!("1 to {MAX_QUEUE_LENGTH} packets");
            return Err(self.setting("queue_length", length.to_string(), expected));
        }
        if self.kind == TunKind::Tun && self.mac.is_some() {
            let expected = "no link address: a TUN interface has none".to_owned();
            return Err(self.setting("mac", "an address".to_owned(), expected));
        }
        for &(address, prefix) in &self.addresses {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            if prefix > longest {
                let expected = format!("a prefix of 0 to {longest} bits");
                return Err(self.setting("address", format!("{address}/{prefix}"), expected));
            }
        }
        Ok(())
    }

    fn setting(&self, setting: &'static str, value: String, expected: String) -> DeviceError {
        DeviceError::Setting { device: self.label(), setting, value, expected }
    }

    fn label(&self) -> String {
        if self.name.is_empty() { self.kind.name().to_owned() } else { self.name.clone() }
    }

    /// One queue of the interface in this thread's namespace; the first one is configured.
    fn queue(&self, name: &str, queues: i32, first: bool) -> Result<Tun, DeviceError> {
        let fd = self.clone_device()?;
        let mut flags = libc::IFF_NO_PI | queues;
        flags |= if self.kind == TunKind::Tun { libc::IFF_TUN } else { libc::IFF_TAP };
        flags |= if self.offloads { libc::IFF_VNET_HDR } else { 0 };
        flags |= if self.carrier { 0 } else { libc::IFF_NO_CARRIER };
        let mut interface = Ifreq::new(name);
        interface.set_flags(flags as u16);
        ioctl::about(&fd, About::SetInterface, &mut interface).map_err(|error| self.not_made(error))?;
        let name = interface.name();
        let control = Control::here(first).map_err(|error| failed(&name, "socket", error))?;
        let mut tun = if self.offloads {
            let (form, accepted) = negotiate(&fd, &name)?;
            Tun::new(name, self.kind, fd, control, Some((form, accepted)))
        } else {
            Tun::new(name, self.kind, fd, control, None)
        };
        if first {
            tun.control.configure(&tun.name, self)?;
        }
        let fd = tun.fd.as_ref().ok_or_else(|| tun.gone())?;
        if let Some(persistent) = self.persistent.filter(|_| first) {
            ioctl::set_persistent(fd, persistent)
                .map_err(|error| failed(&tun.name, "ioctl TUNSETPERSIST", error))?;
        }
        tun.control.begin(fd, &mut tun.name)?;
        // The kernel tells this a moment later (its link watch).
        tun.control.up &= self.carrier;
        Ok(tun)
    }

    fn clone_device(&self) -> Result<OwnedFd, DeviceError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let opened = options.open(CLONE_DEVICE);
        opened.map(OwnedFd::from).map_err(|source| {
            let (device, call) = (self.label(), "open /dev/net/tun");
            match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => DeviceError::Missing {
                    device,
                    missing: CLONE_DEVICE.to_owned(),
                    remedy: "load the kernel's module tun (modprobe tun); a container must be given the device",
                },
                Some(libc::EPERM | libc::EACCES) => DeviceError::NotPermitted {
                    device,
                    call,
                    remedy: "allow this user to read and write /dev/net/tun; a container must be given the device",
                },
                _ => DeviceError::System { device, call, source },
            }
        })
    }

    fn not_made(&self, source: io::Error) -> DeviceError {
        let (device, call) = (self.label(), "ioctl TUNSETIFF");
        match source.raw_os_error() {
            Some(libc::EPERM) => DeviceError::NotPermitted {
                device,
                call,
                remedy: "run with CAP_NET_ADMIN, or let root make a persistent interface for this user \
                         (ip tuntap add NAME mode tun|tap user USER vnet_hdr)",
            },
            Some(libc::EBUSY) => {
                self.setting("name", device, "an interface that no other program holds".to_owned())
            }
            Some(libc::EINVAL) => self.setting(
                "name",
                device,
                format!(
                    "no interface of another kind than {} with as many queues as it was made for",
                    self.kind.name()
                ),
            ),
            _ => DeviceError::System { device, call, source },
        }
    }
}

/// Sets the form of virtio headers, and as many offloads as the kernel knows.
fn negotiate(fd: &OwnedFd, name: &str) -> Result<(HeaderForm, VirtioFeatures), DeviceError> {
    let form = HeaderForm::Short;
    let mut length = form.bytes() as i32;
    ioctl::setting(fd, Setting::SetHeaderLength, &mut length)
        .map_err(|error| failed(name, "ioctl TUNSETVNETHDRSZ", error))?;
    ioctl::setting(fd, Setting::LittleEndian, &mut 1)
        .map_err(|error| failed(name, "ioctl TUNSETVNETLE", error))?;
    for features in OFFLOADS {
        match ioctl::set_offloads(fd, features.tun_offloads()) {
            Ok(()) => return Ok((form, features)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(failed(name, "ioctl TUNSETOFFLOAD", error)),
        }
    }
    Ok((form, VirtioFeatures::default()))
}

/// A queue that somebody else opened.
pub(super) fn adopt(fd: OwnedFd) -> Result<Tun, DeviceError> {
    let setting = |setting, value: String, expected: &str| DeviceError::Setting {
        device: "tun".to_owned(),
        setting,
        value,
        expected: expected.to_owned(),
    };
    let mut interface = Ifreq::default();
    ioctl::about(&fd, About::Interface, &mut interface).map_err(|error| {
        let expected = "a descriptor of /dev/net/tun after TUNSETIFF";
        setting("descriptor", error.to_string(), expected)
    })?;
    let (name, flags) = (interface.name(), i32::from(interface.flags()));
    if flags & libc::IFF_NO_PI == 0 {
        return Err(setting("flags", format!("{flags:#x}"), "IFF_NO_PI (0x1000)"));
    }
    let call = "fcntl O_NONBLOCK";
    let system = |error: rustix::io::Errno| failed(&name, call, error.into());
    let status = rustix::fs::fcntl_getfl(&fd).map_err(system)?;
    rustix::fs::fcntl_setfl(&fd, status | rustix::fs::OFlags::NONBLOCK).map_err(system)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(system)?;
    let kind = if flags & libc::IFF_TUN != 0 { TunKind::Tun } else { TunKind::Tap };
    let mut virtio = None;
    if flags & libc::IFF_VNET_HDR != 0 {
        let mut length = 0;
        ioctl::setting(&fd, Setting::HeaderLength, &mut length)
            .map_err(|error| failed(&name, "ioctl TUNGETVNETHDRSZ", error))?;
        let form = match usize::try_from(length) {
            Ok(length) if length == HeaderForm::Short.bytes() => HeaderForm::Short,
            Ok(LONG_HEADER) => HeaderForm::Long,
            _ => return Err(setting("virtio header", format!("{length} bytes"), "10 or 12 bytes")),
        };
        ioctl::setting(&fd, Setting::LittleEndian, &mut 1)
            .map_err(|error| failed(&name, "ioctl TUNSETVNETLE", error))?;
        virtio = Some((form, OFFLOADS[0]));
    }
    let control = Control::of(&name, &fd);
    let mut tun = Tun::new(name, kind, fd, control, virtio);
    if let Some(fd) = &tun.fd {
        tun.control.begin(fd, &mut tun.name)?;
    }
    Ok(tun)
}

impl Tun {
    pub(super) fn new(
        name: String,
        kind: TunKind,
        fd: OwnedFd,
        control: Control,
        virtio: Option<(HeaderForm, VirtioFeatures)>,
    ) -> Self {
        let link = if kind == TunKind::Tun { LinkType::RAW } else { LinkType::ETHERNET };
        let codec = virtio.map(|(form, features)| {
            VirtioCodec::new(VirtioConfig {
                link,
                form,
                order: ByteOrder::Little,
                peer: Peer::Tun,
                features,
                ..VirtioConfig::default()
            })
        });
        Self {
            name,
            kind,
            fd: Some(fd),
            control,
            offloads: virtio.map(|(_, features)| features).unwrap_or_default(),
            outgoing: Outgoing::new(link, codec.is_some()),
            codec,
            slots: Slots::new(),
            counters: DeviceCounters::default(),
        }
    }
}
