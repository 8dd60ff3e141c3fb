//! The kinds of devices: their settings, and how each is opened.
use super::spec::DeviceSpec;
use crate::node::value;
use netfast_io::device::capture::{CaptureFile, CaptureOptions, Pace};
use netfast_io::device::fault::{FaultInjector, Faults};
use netfast_io::device::packet_socket::{FanOut, PacketReceive, PacketSocket, PacketSocketConfig};
use netfast_io::device::queues::Queues;
use netfast_io::device::tee::{Tee, TeeOptions};
use netfast_io::device::tun::{TunKind, TunOptions};
use netfast_io::device::udp::{UdpConfig, UdpLink, UdpPayload};
use netfast_io::device::unix::{StreamEnd, UnixDatagram, UnixDatagramConfig, UnixStream, UnixStreamConfig};
use netfast_io::device::{Device, DeviceError};
use netfast_time::Duration;

/// A kind of device.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Settings that it takes.
    pub keys: &'static [&'static str],
    /// Those of them without which it cannot be.
    pub needs: &'static [&'static str],
    /// Whether what comes in waits in the system while nobody reads it, and whoever sends it waits or slows down.
    pub can_wait: bool,
    /// Whether another one of the same settings is the same device.
    pub can_reopen: bool,
    /// How one comes to be.
    pub open: Open,
}

/// How a device comes to be.
#[derive(Debug)]
pub enum Open {
    /// By itself.
    Alone(fn(&DeviceSpec) -> Opened),
    /// Around another device.
    Around(fn(&DeviceSpec, Box<dyn Device>) -> Opened),
}

/// A device, or why there is none.
pub type Opened = Result<Box<dyn Device>, DeviceError>;

/// Settings of every kind, of the queue of the port that the device is at.
pub static QUEUE_KEYS: &[&str] = &["queue_packets", "queue_bytes", "patience"];

/// An end of a link whose other end is in the program: made as a pair, so no text names it.
pub static MEMORY: Kind = Kind {
    name: "memory",
    keys: &[],
    needs: &[],
    can_wait: true,
    can_reopen: false,
    open: Open::Alone(|spec| {
        Err(refused(spec, "kind", "memory", "a kind that has no other end in the program"))
    }),
};

/// Every kind that a text can name.
pub static KINDS: &[Kind] = &[
    Kind {
        name: "tun",
        keys: &[
            "name",
            "netns",
            "offloads",
            "persistent",
            "mtu",
            "addresses",
            "up",
            "carrier",
            "fd",
            "queues",
            "queue_length",
        ],
        needs: &[],
        can_wait: true,
        can_reopen: true,
        open: Open::Alone(|spec| tun(TunKind::Tun, spec)),
    },
    Kind {
        name: "tap",
        keys: &[
            "name",
            "netns",
            "offloads",
            "persistent",
            "mtu",
            "mac",
            "addresses",
            "up",
            "carrier",
            "fd",
            "queues",
            "queue_length",
        ],
        needs: &[],
        can_wait: true,
        can_reopen: true,
        open: Open::Alone(|spec| tun(TunKind::Tap, spec)),
    },
    Kind {
        name: "unix",
        keys: &["local", "remote", "mtu", "mac"],
        needs: &["local", "remote"],
        can_wait: true,
        can_reopen: true,
        open: Open::Alone(unix_datagram),
    },
    Kind {
        name: "unix-stream",
        keys: &["path", "listen", "mtu", "mac"],
        needs: &["path"],
        can_wait: true,
        can_reopen: true,
        open: Open::Alone(unix_stream),
    },
    Kind {
        name: "packet",
        keys: &[
            "interface",
            "netns",
            "receive",
            "promiscuous",
            "offloads",
            "bypass",
            "queues",
            "fan_out",
            "group",
            "slots",
            "slot_bytes",
            "blocks",
            "block_bytes",
            "retire",
        ],
        needs: &["interface"],
        can_wait: false,
        can_reopen: true,
        open: Open::Alone(packet),
    },
    Kind {
        name: "udp",
        keys: &[
            "local",
            "remote",
            "netns",
            "connected",
            "ethernet",
            "mtu",
            "ecn",
            "offloads",
            "mac",
            "buffer",
        ],
        needs: &["local", "remote"],
        can_wait: false,
        can_reopen: true,
        open: Open::Alone(udp),
    },
    Kind {
        name: "faults",
        keys: &[
            "device",
            "direction",
            "loss",
            "duplicate",
            "reorder",
            "reorder_gap",
            "corrupt",
            "delay",
            "jitter",
            "limit",
            "seed",
        ],
        needs: &["device"],
        can_wait: true,
        can_reopen: true,
        open: Open::Around(faults),
    },
    Kind {
        name: "tee",
        keys: &["device", "path", "snaplen", "limit_bytes"],
        needs: &["device", "path"],
        can_wait: true,
        // The file would be emptied.
        can_reopen: false,
        open: Open::Around(tee),
    },
    Kind {
        name: "capture",
        keys: &["replay", "record", "speed", "loops", "lenient", "mtu"],
        needs: &[],
        can_wait: true,
        can_reopen: false,
        open: Open::Alone(capture),
    },
];

fn mac(spec: &DeviceSpec) -> Result<Option<[u8; 6]>, DeviceError> {
    let Some(text) = spec.given_text("mac") else { return Ok(None) };
    value::mac("mac", text)
        .map(Some)
        .map_err(|_| refused(spec, "mac", text, "a link address such as 02:00:00:00:00:01"))
}

fn refused(spec: &DeviceSpec, setting: &'static str, value: &str, expected: &str) -> DeviceError {
    let device = spec.given_text("name").unwrap_or(spec.kind().name).to_owned();
    DeviceError::Setting { device, setting, value: value.to_owned(), expected: expected.to_owned() }
}

fn tun(kind: TunKind, spec: &DeviceSpec) -> Opened {
    if let Some(fd) = spec.number::<i32>("fd") {
        return super::handed::tun(spec, fd);
    }
    let name = spec.text("name");
    let mut options = if kind == TunKind::Tun { TunOptions::tun(name) } else { TunOptions::tap(name) };
    options.namespace = spec.given_text("netns").map(str::to_owned);
    options.offloads = spec.flag("offloads").unwrap_or(true);
    options.persistent = spec.flag("persistent");
    options.mtu = spec.number("mtu");
    options.mac = mac(spec)?;
    for text in spec.texts("addresses") {
        let address = value::interface("addresses", text).map_err(|_| {
            refused(spec, "addresses", text, "an address with its prefix length, such as 192.0.2.1/24")
        })?;
        options.addresses.push(address);
    }
    // Whoever gives it addresses wants to use it.
    options.up = spec.flag("up").unwrap_or(!options.addresses.is_empty());
    options.carrier = spec.flag("carrier").unwrap_or(true);
    options.queue_length = spec.number("queue_length");
    let Some(queues) = spec.number::<u32>("queues") else { return Ok(Box::new(options.open()?)) };
    let queues = options.open_queues(queues as usize)?;
    let name = queues.first().map_or(String::new(), |queue| queue.name().to_owned());
    Ok(Box::new(Queues::new(&name, queues)?))
}

fn unix_datagram(spec: &DeviceSpec) -> Opened {
    let mut config = UnixDatagramConfig::new(spec.text("local"), spec.text("remote"));
    config.mtu = spec.number("mtu").unwrap_or(config.mtu);
    config.mac = mac(spec)?;
    Ok(Box::new(UnixDatagram::open(config)?))
}

fn unix_stream(spec: &DeviceSpec) -> Opened {
    let path = spec.text("path").into();
    let end = match spec.flag("listen").unwrap_or(false) {
        true => StreamEnd::Listen(path),
        false => StreamEnd::Connect(path),
    };
    let default = UnixStreamConfig::default();
    let config = UnixStreamConfig { mtu: spec.number("mtu").unwrap_or(default.mtu), mac: mac(spec)? };
    Ok(Box::new(UnixStream::open(end, config)?))
}

fn packet(spec: &DeviceSpec) -> Opened {
    let mut config = PacketSocketConfig::new(spec.text("interface"));
    config.namespace = spec.given_text("netns").map(str::to_owned);
    config.promiscuous = spec.flag("promiscuous").unwrap_or(config.promiscuous);
    config.offloads = spec.flag("offloads").unwrap_or(config.offloads);
    config.qdisc_bypass = spec.flag("bypass").unwrap_or(config.qdisc_bypass);
    config.receive = receive(spec)?;
    config.group = spec.number("group");
    if let Some(name) = spec.given_text("fan_out") {
        let found = FAN_OUTS.iter().find(|(known, _)| *known == name);
        let names = || FAN_OUTS.map(|(known, _)| known).join(", ");
        config.fan_out = found.ok_or_else(|| refused(spec, "fan_out", name, &names()))?.1;
    }
    let Some(queues) = spec.number("queues").filter(|queues| *queues != 1) else {
        return Ok(Box::new(PacketSocket::open(config)?));
    };
    Ok(Box::new(Queues::new(&config.interface, PacketSocket::open_queues(&config, queues)?)?))
}

const FAN_OUTS: [(&str, FanOut); 6] = [
    ("hash", FanOut::Hash),
    ("round-robin", FanOut::RoundRobin),
    ("cpu", FanOut::Cpu),
    ("rollover", FanOut::Rollover),
    ("random", FanOut::Random),
    ("queue", FanOut::Queue),
];

/// The memory that packets are received into, and how much of it.
fn receive(spec: &DeviceSpec) -> Result<PacketReceive, DeviceError> {
    let number = |key| spec.number::<u32>(key);
    let (of_slots, of_blocks) = (["slots", "slot_bytes"], ["blocks", "block_bytes", "retire"]);
    let given = spec.given_text("receive").unwrap_or("slots");
    let (found, others) = match (given, PacketReceive::SLOTS, PacketReceive::BLOCKS) {
        ("slots", PacketReceive::Slots { slot, slots }, _) => {
            let slot = number("slot_bytes").unwrap_or(slot);
            (PacketReceive::Slots { slot, slots: number("slots").unwrap_or(slots) }, &of_blocks[..])
        }
        ("blocks", _, PacketReceive::Blocks { block, blocks, retire }) => {
            let retire = spec.real("retire").map_or(retire, |seconds| (seconds * 1e3).round() as u32);
            let (block, blocks) =
                (number("block_bytes").unwrap_or(block), number("blocks").unwrap_or(blocks));
            (PacketReceive::Blocks { block, blocks, retire }, &of_slots[..])
        }
        (other, ..) => return Err(refused(spec, "receive", other, "slots or blocks")),
    };
    match others.iter().find(|key| spec.settings().iter().any(|(known, _)| known == *key)) {
        Some(key) => {
            let other = if given == "slots" { "blocks" } else { "slots" };
            Err(refused(spec, key, "a value", &format!("none, unless receive is {other:?}")))
        }
        None => Ok(found),
    }
}

fn faults(spec: &DeviceSpec, inner: Box<dyn Device>) -> Opened {
    let seconds = |key| Duration::from_nanos((spec.real(key).unwrap_or(0.0) * 1e9) as u64);
    let share = |key| spec.real(key).unwrap_or(0.0);
    let faults = Faults {
        loss: share("loss"),
        duplicate: share("duplicate"),
        reorder: share("reorder"),
        reorder_gap: spec.number("reorder_gap").unwrap_or(Faults::NONE.reorder_gap),
        corrupt: share("corrupt"),
        delay: seconds("delay"),
        jitter: seconds("jitter"),
        limit: spec.number::<u32>("limit").map_or(Faults::NONE.limit, |limit| limit as usize),
    };
    let (receive, transmit) = match spec.given_text("direction").unwrap_or("both") {
        "both" => (faults, faults),
        "receive" => (faults, Faults::NONE),
        "transmit" => (Faults::NONE, faults),
        other => return Err(refused(spec, "direction", other, "both, receive or transmit")),
    };
    let seed = spec.number("seed").unwrap_or(0);
    Ok(Box::new(FaultInjector::new(inner, receive, transmit, seed)?))
}

fn tee(spec: &DeviceSpec, inner: Box<dyn Device>) -> Opened {
    let mut options = TeeOptions::new(spec.text("path"));
    options.snaplen = spec.number("snaplen").unwrap_or(options.snaplen);
    options.limit = spec.number("limit_bytes").unwrap_or(options.limit);
    Ok(Box::new(Tee::new(inner, &options)?))
}

fn capture(spec: &DeviceSpec) -> Opened {
    let speed = spec.real("speed").unwrap_or(1.0);
    let pace = match speed {
        0.0 => Pace::Full,
        1.0 => Pace::Original,
        times => Pace::Scaled(times),
    };
    let default = CaptureOptions::default();
    let options = CaptureOptions {
        replay: spec.given_text("replay").map(Into::into),
        record: spec.given_text("record").map(Into::into),
        pace,
        times: spec.number("loops").unwrap_or(default.times),
        lenient: spec.flag("lenient").unwrap_or(default.lenient),
        mtu: spec.number("mtu").unwrap_or(default.mtu),
    };
    if options.replay.is_none() && options.record.is_none() {
        return Err(refused(spec, "replay", "", "a file to replay, or record, one to write"));
    }
    Ok(Box::new(CaptureFile::open(options)?))
}

fn udp(spec: &DeviceSpec) -> Opened {
    let end = |setting: &'static str| {
        let text = spec.text(setting);
        let expected = "an address with a port, such as 192.0.2.1:4000 or [2001:db8::1]:4000";
        text.parse().map_err(|_| refused(spec, setting, text, expected))
    };
    let mut config = UdpConfig::new(end("local")?, end("remote")?);
    config.namespace = spec.given_text("netns").map(str::to_owned);
    config.connected = spec.flag("connected").unwrap_or(config.connected);
    if spec.flag("ethernet").unwrap_or(false) {
        config.payload = UdpPayload::Ethernet;
    }
    config.mtu = spec.number("mtu").unwrap_or(config.mtu);
    config.ecn = spec.flag("ecn").unwrap_or(config.ecn);
    config.offloads = spec.flag("offloads").unwrap_or(config.offloads);
    config.buffer = spec.number("buffer").unwrap_or(config.buffer);
    config.mac = mac(spec)?;
    Ok(Box::new(UdpLink::open(config)?))
}
