"""Devices that packets come from and go to; give them to ports of a `Stack`.

with Tun("nf0", addresses=["192.0.2.2/24"]) as tun:
    edge.add_port("lan", device=tun, addresses=["192.0.2.1/24"])
    edge.serve()

Every device is a context manager: leaving it closes the device, takes away what it made in the system, and
takes it from its port, if it has one. Frames are Ethernet frames without check sequence at all of them; one
that carries bare IP packets puts a header with zero addresses before them.

Threads: each method is atomic. `fork`: parent and child share what the system has opened, so use it in one of
them. `pickle`: refused.

A device that needs a privilege raises `PermissionError`, one that needs something that is not here
`ConfigError`, and both say what would help; `netfast doctor` asks for all of them at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict, Unpack

from netfast._netfast import Device as _Native
from netfast._netfast import Features
from netfast.closing import Closing
from netfast.node.arguments import mistyped

__all__ = [
    "CaptureFile",
    "Device",
    "Faults",
    "Link",
    "MemoryLink",
    "PacketSocket",
    "QueueLimits",
    "Tap",
    "Tee",
    "Tracer",
    "Tun",
    "UdpLink",
    "UnixLink",
    "UnixStream",
]


@dataclass(frozen=True, slots=True)
class Link:
    """What a device is on its link, now: its link address, if it has one of its own, the longest IP packet,
    whether it has one other end instead of neighbours, whether anything can be sent, and what it does by itself."""

    mac: str | None
    mtu: int
    point_to_point: bool
    up: bool
    features: Features


class Device(Closing):
    """Something that frames come from and go to."""

    __slots__ = ("_native",)

    _not_pickled = "a device cannot be pickled; open another one where it is needed"

    _native: _Native

    @property
    def name(self) -> str:
        """How it is called in messages: an interface's name, a path."""
        return self._native.name

    @property
    def is_open(self) -> bool:
        """Whether it is open, by itself or at a port."""
        return self._native.is_open

    @property
    def link(self) -> Link:
        """What it is on its link, now."""
        return Link(**self._native.link())

    @property
    def counters(self) -> dict[str, Any]:
        """What went through it: `received`, `sent`, their bytes, `dropped_in` and `dropped_out` by reason,
        `system_calls` that moved packets, how often nothing more could be sent for now (`blocked`), and
        packets that were `copied` although that was to be avoided."""
        return self._native.counters()

    def receive(self) -> list[bytes]:
        """Takes frames that have arrived, at most 256, without waiting; `fileno` says when there are some. Not
        at a port."""
        return self._native.receive()[0]

    def send(self, frames: Iterable[bytes]) -> int:
        """Sends frames (bytes or headers) without waiting. Gives how many of them, from the end, did not fit and are
        to be sent again: 0 when all were taken. What the device then dropped is in `counters`. Not at a port."""
        if isinstance(frames, (str, bytes, bytearray, memoryview)):
            raise mistyped("frames", "a list of frames", frames)
        return self._native.send([bytes(frame) for frame in frames])

    def fileno(self) -> int:
        """The descriptor that is readable when frames have arrived; -1 where there is none."""
        return self._native.fileno()

    def close(self) -> None:
        """Ends it, in order. A second time does nothing."""
        self._native.close()

    def __repr__(self) -> str:
        state = "" if self.is_open else ", closed"
        return f"<netfast.{type(self).__name__} {self.name!r}{state}>"


class QueueLimits(TypedDict, total=False):
    """Limits of the queue of the port that a device is at, which every device takes as arguments.

    `queue_packets` (4,096) and `queue_bytes` (32 MiB) may wait to be sent; at an eighth of that ports that feed it
    and can wait are not read any more. What waits is dropped when the device takes nothing for `patience` (1)
    seconds.
    """

    queue_packets: int
    queue_bytes: int
    patience: float


class _KernelEnd(Device):
    """What `Tun` and `Tap` share: an interface of the kernel whose other end is here."""

    __slots__ = ()

    _kind: ClassVar[str]

    def __init__(
        self,
        name: str = "",
        *,
        netns: str | None = None,
        offloads: bool = True,
        persistent: bool | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        addresses: Iterable[str] = (),
        up: bool | None = None,
        carrier: bool = True,
        fd: int | None = None,
        queues: int | None = None,
        queue_length: int | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        if isinstance(addresses, str):
            addresses = [addresses]
        settings = {
            "name": name or None,
            "netns": netns,
            "offloads": offloads,
            "persistent": persistent,
            "mtu": mtu,
            "mac": mac,
            "addresses": list(addresses) or None,
            "up": up,
            "carrier": carrier,
            "fd": fd,
            "queues": queues,
            "queue_length": queue_length,
        }
        self._native = _Native.open(self._kind, settings | queue)


class Tun(_KernelEnd):
    """A network interface of this system's kernel that carries IP packets, and whose other end is here.

    - `name`: at most 15 bytes; the kernel chooses one where it is empty. An interface that is there and free
      is joined.
    - `netns`: the network namespace that it is in, by name or path; that of the caller unless given, which is
      never left.
    - `offloads`: super-packets and open checksums go both ways (`IFF_VNET_HDR`).
    - `persistent`: whether the interface outlives this; without a word it stays as it is, and a new one goes.
    - `mtu`, `addresses` (of the kernel's end, with prefix lengths), `up` (so when there are addresses), `carrier`.
    - `queues`: the kernel spreads flows over so many queues (`IFF_MULTI_QUEUE`), which this port serves all; other
      threads and processes may join the same interface with queues of their own. Without it there is one, which
      nobody else joins.
    - `queue_length`: packets that the kernel holds in each (`txqueuelen`, 500 of a new interface).
    - `fd`: a descriptor that somebody else opened, in place of all these; it is copied.

    Needs CAP_NET_ADMIN, unless the interface is persistent and the user's; for `netns` CAP_SYS_ADMIN.
    """

    __slots__ = ()

    _kind = "tun"


class Tap(_KernelEnd):
    """A network interface of this system's kernel that carries Ethernet frames, and whose other end is here.

    As `Tun`, with neighbours; `mac` is the link address of the kernel's end.
    """

    __slots__ = ()

    _kind = "tap"


class UnixLink(Device):
    """A link whose Ethernet frames are datagrams between two Unix sockets: needs no privileges.

    `local` is bound, frames go to `remote`, now or when somebody binds that. QEMU speaks it (`-netdev dgram`).
    `mac` is this end's link address, if it is to have a certain one.
    """

    __slots__ = ()

    def __init__(
        self,
        local: str | os.PathLike[str],
        remote: str | os.PathLike[str],
        *,
        mtu: int | None = None,
        mac: str | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {"local": os.fspath(local), "remote": os.fspath(remote), "mtu": mtu, "mac": mac}
        self._native = _Native.open("unix", settings | queue)


class UnixStream(Device):
    """A link whose Ethernet frames are in a stream between Unix sockets, each after its length in 4 bytes: needs no
    privileges. QEMU (`-netdev stream`) and passt speak it.

    It connects to `path`, again when the connection ends, or with `listen` waits there for one connection at a time.
    """

    __slots__ = ()

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        listen: bool = False,
        mtu: int | None = None,
        mac: str | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {"path": os.fspath(path), "listen": listen, "mtu": mtu, "mac": mac}
        self._native = _Native.open("unix-stream", settings | queue)


class PacketSocket(Device):
    """A network interface of this system's kernel, on whose side this stands: frames that it receives come in,
    what is sent leaves by it (`AF_PACKET`).

    The kernel still sees the frames: on an interface without addresses it answers none. `netns` is the namespace
    of the interface; `receive` is the kind of memory that the kernel writes frames to, `"slots"` (a frame is there
    at once) or `"blocks"` (`TPACKET_V3`); `promiscuous`: also frames for other link addresses, while this is open;
    `offloads`: super-packets and open checksums go both ways; `bypass`: what is sent passes the interface's queue
    by.

    Memory to receive into: `slots` (4,096) of `slot_bytes` (2,048; longer frames cost a call each), or `blocks` (32)
    of `block_bytes` (256 KiB), of which one that is not full comes after `retire` (0.001) seconds.

    `queues`: so many sockets share out what the interface receives, and this port serves them all. `fan_out` says
    how: `"hash"` (of addresses and ports, both directions alike), `"round-robin"`, `"cpu"`, `"rollover"`,
    `"random"` or `"queue"` (that of the interface). With `group`, a number, sockets of other threads and
    processes that give the same one share it, too.

    Needs CAP_NET_RAW.
    """

    __slots__ = ()

    def __init__(
        self,
        interface: str,
        *,
        netns: str | None = None,
        receive: str = "slots",
        promiscuous: bool = True,
        offloads: bool = True,
        bypass: bool = False,
        queues: int = 1,
        fan_out: str = "hash",
        group: int | None = None,
        slots: int | None = None,
        slot_bytes: int | None = None,
        blocks: int | None = None,
        block_bytes: int | None = None,
        retire: float | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {
            "interface": interface,
            "netns": netns,
            "receive": receive,
            "promiscuous": promiscuous,
            "offloads": offloads,
            "bypass": bypass,
            "queues": queues,
            "fan_out": fan_out,
            "group": group,
            "slots": slots,
            "slot_bytes": slot_bytes,
            "blocks": blocks,
            "block_bytes": block_bytes,
            "retire": retire,
        }
        self._native = _Native.open("packet", settings | queue)


class UdpLink(Device):
    """A link to one peer whose IP packets are the payload of UDP datagrams; with `ethernet` its Ethernet frames.

    `local` and `remote` are addresses with ports (`"192.0.2.1:4000"`, `"[2001:db8::1]:4000"`); port 0 of `local`
    takes a free one. `connected`: the system passes over what others send. `ecn`: packets and datagrams have each
    other's congestion marks. `offloads`: datagrams of one size go and come together. `mtu` is less where the path
    carries less. `buffer` bytes (4 MiB) may wait in the system each way, as far as it lets them.
    """

    __slots__ = ()

    def __init__(
        self,
        local: str,
        remote: str,
        *,
        netns: str | None = None,
        connected: bool | None = None,
        ethernet: bool = False,
        mtu: int | None = None,
        ecn: bool | None = None,
        offloads: bool | None = None,
        mac: str | None = None,
        buffer: int | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {
            "local": local,
            "remote": remote,
            "netns": netns,
            "connected": connected,
            "ethernet": ethernet,
            "mtu": mtu,
            "ecn": ecn,
            "offloads": offloads,
            "mac": mac,
            "buffer": buffer,
        }
        self._native = _Native.open("udp", settings | queue)


class MemoryLink(Device):
    """One of two ends that are joined in memory; `pair` makes them."""

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("MemoryLink.pair() makes the two ends of a link")

    @classmethod
    def pair(
        cls, *, names: tuple[str, str] = ("memory0", "memory1"), packets: int | None = None, mtu: int = 1500
    ) -> tuple[MemoryLink, MemoryLink]:
        """Two ends: what one sends the other receives. At most `packets` wait in a direction; then the sender
        waits."""
        one, other = cls.__new__(cls), cls.__new__(cls)
        one._native, other._native = _Native.pair(list(names), packets, mtu)
        return one, other


def _inner(device: Device) -> _Native:
    """The device that another one stands around."""
    if not isinstance(device, Device):
        raise mistyped("device", 'a device such as netfast.PacketSocket("eth0")', device)
    return device._native


class Faults(Device):
    """Faults on the wire of another device, on purpose: what befalls a packet depends on `seed`, direction and
    its number alone.

    Parts of packets, from 0 to 1: `loss`, `duplicate`, `corrupt` (a bit is flipped), `reorder` (held back
    until `reorder_gap` others have overtaken it). `delay` and its `jitter` are seconds; at most `limit`
    packets wait. `direction` is `"receive"`, `"transmit"` or `"both"`. The other device belongs to this one
    from then on.
    """

    __slots__ = ()

    def __init__(
        self,
        device: Device,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        reorder_gap: int = 1,
        corrupt: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
        limit: int = 1_000,
        direction: str = "both",
        seed: int = 0,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {
            "loss": loss,
            "duplicate": duplicate,
            "reorder": reorder,
            "reorder_gap": reorder_gap,
            "corrupt": corrupt,
            "delay": delay,
            "jitter": jitter,
            "limit": limit,
            "direction": direction,
            "seed": seed,
        }
        self._native = _Native.around("faults", settings | queue, _inner(device))


class Tee(Device):
    """Another device whose frames, both ways, are captured into a pcapng file with their directions.

    `snaplen` cuts frames there, 0 keeps all; beyond `limit_bytes` (4 GiB) frames are counted, not kept. What
    happens to the file disturbs no packet; `close` tells it. The other device belongs to this one from then on.
    """

    __slots__ = ()

    def __init__(
        self,
        device: Device,
        path: str | os.PathLike[str],
        *,
        snaplen: int = 0,
        limit_bytes: int | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {"path": os.fspath(path), "snaplen": snaplen, "limit_bytes": limit_bytes}
        self._native = _Native.around("tee", settings | queue, _inner(device))


class Tracer(Device):
    """Another device whose last `keep` frames, both ways, can be told in a line each. The other device belongs
    to this one from then on."""

    __slots__ = ()

    def __init__(self, device: Device, *, keep: int = 1_000) -> None:
        self._native = _Native.tracer(_inner(device), keep)

    def last(self) -> list[str]:
        """Takes the lines of the last frames, the oldest first."""
        return self._native.traced()


class CaptureFile(Device):
    """Capture files as a device: frames of `replay` come in, what is sent is recorded in `record` (pcapng,
    overwritten).

    `speed` is how many times as fast as the file says, 0 as fast as can be; it is replayed `loops` times, and
    then nothing comes any more, which a stack tells as the event `port_ended`.
    """

    __slots__ = ()

    def __init__(
        self,
        replay: str | os.PathLike[str] | None = None,
        *,
        record: str | os.PathLike[str] | None = None,
        speed: float = 1.0,
        loops: int = 1,
        lenient: bool = False,
        mtu: int | None = None,
        **queue: Unpack[QueueLimits],
    ) -> None:
        settings = {
            "replay": None if replay is None else os.fspath(replay),
            "record": None if record is None else os.fspath(record),
            "speed": speed,
            "loops": loops,
            "lenient": lenient,
            "mtu": mtu,
        }
        self._native = _Native.open("capture", settings | queue)
