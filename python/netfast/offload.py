"""Packets that travel as one: receive collation, segmentation, offload features, virtio headers.

>>> import netfast as nf
>>> headers = nf.Ethernet() / nf.IPv4(src="192.0.2.1", dst="192.0.2.2", dont_fragment=1) / nf.TCP(seq=1, flags=0x10)
>>> one = nf.OffloadPacket(headers / bytes(4000), gso_type="tcp4", gso_size=1000)
>>> several = nf.segment(one)
>>> [len(packet) for packet in several]
[1054, 1054, 1054, 1054]
>>> collator = nf.Collator()
>>> [packet] = collator.push(several)
>>> packet.gso_type, packet.gso_size, packet.gso_segments
('tcp4', 1000, 4)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypedDict, Unpack

from netfast import _netfast
from netfast._netfast import (
    FeatureChange,
    Features,
    OffloadBatch,
    OffloadBatchIterator,
    OffloadPacket,
    OffloadPlan,
    PortFeatures,
    RemovedFeature,
    VirtioCodec,
    VirtioHeader,
)
from netfast.capture import Path, paths_of
from netfast.errors import ConfigError

__all__ = [
    "CollationSettings",
    "CollationStatistics",
    "Collator",
    "FeatureChange",
    "Features",
    "OffloadBatch",
    "OffloadBatchIterator",
    "OffloadPacket",
    "OffloadPlan",
    "PortFeatures",
    "RemovedFeature",
    "VirtioCodec",
    "VirtioHeader",
    "collate",
    "finish_checksums",
    "segment",
]

# How long `collate` holds a packet by the times of its capture (ns): as long as receivers wait for the next one.
HOLD = 1_000_000


class CollationSettings(TypedDict, total=False):
    """The settings of `Collator`, as `collate` takes them as well."""

    tcp: bool
    udp: bool
    tunnels: bool
    vxlan_port: int
    geneve_port: int
    max_flows: int
    max_held_bytes: int
    max_hold: int
    max_segments: int
    max_length: int


_DEFAULTS: CollationSettings = {
    "tcp": True,
    "udp": True,
    "tunnels": True,
    "vxlan_port": 4789,
    "geneve_port": 6081,
    "max_flows": 256,
    "max_held_bytes": 4 << 20,
    "max_hold": 0,
    "max_segments": 64,
    "max_length": 65_535,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CollationStatistics:
    """What a `Collator` did: `packets` came; they are those put `out`, those `merged` into another, and those `held`.

    Each packet either was merged or was not for a reason: `not_merged` counts them by name, and `ended` why held
    packets were put out. `copied_bytes` are those of headers that could not be written where they stand; payload is
    not copied.
    """

    packets: int
    bytes: int
    out: int
    merged: int
    super_packets: int
    super_segments: int
    held: int
    held_bytes: int
    copied_bytes: int
    clock_went_back: int
    not_merged: Mapping[str, int]
    ended: Mapping[str, int]

    @property
    def mean_segments(self) -> float | None:
        """How many packets a super-packet stands for on average; `None` without one."""
        return self.super_segments / self.super_packets if self.super_packets else None

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary, with `mean_segments`."""
        return asdict(self) | {"mean_segments": self.mean_segments}


class Collator:
    """Merges packets of a flow that follow one another into super-packets, and loses nothing by it.

    `push` takes packets and gives those that are not held on: super-packets, and packets that could not be merged as
    they came. Those of one flow come out in their order. `segment` makes of a super-packet the very packets that it was
    made of; what could not come back is not merged. The rules, and the names of reasons, are in the documentation's
    page on offloads.

    `link` is what packets begin with (Ethernet): the number or name of a link type. `tcp`, `udp` and `tunnels` say what
    is merged (all), `vxlan_port` (4789) and `geneve_port` (6081) where tunnels are looked for.

    A packet is held until the batch ends with which it came (each 256 packets), or up to `max_hold` ns (0): then call
    `poll` when `next_timeout` has come. Of at most `max_flows` flows (256; a power of two, from 8 to 4,096) packets
    are held, and at most `max_held_bytes` bytes (4 MiB); where there would be more, the oldest are given. A
    super-packet stands for at most `max_segments` packets (64; from 2), and its IP packet has at most `max_length`
    bytes (65,535; from 576).

    Checksums are verified before packets are merged, which reads the payload once. `trust_checksums` says that somebody
    did already, as network cards do. (Packets of an `OffloadBatch` may say so themselves.)

    Packets that a capture cut short are given as they are.

    Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.

    Raises `ConfigError` for settings that cannot be.
    """

    __slots__ = ("_native",)

    def __init__(
        self,
        *,
        link: int | str | None = None,
        trust_checksums: bool = False,
        **settings: Unpack[CollationSettings],
    ) -> None:
        native = _native_settings(settings)
        self._native = _netfast.Collator(native, link=link, trust_checksums=bool(trust_checksums))

    def push(self, packets: Any, now: int | None = None) -> OffloadBatch:
        """Takes packets, and gives those that are not held on.

        `packets` is an `OffloadBatch`, a `PacketBatch` of a capture, or an iterable of packets in any of the forms that
        `netfast.write` takes. Nothing of them is copied.

        `now` is the time in ns, which matters with `max_hold` only. Without it the packets' own times are the clock.

        Raises `ConfigError` for packets of another link type.
        """
        return self._native.push(packets, now)

    def poll(self, now: int) -> OffloadBatch:
        """Gives what was held as long as it may be; `now` in ns."""
        return self._native.poll(now)

    def flush(self) -> OffloadBatch:
        """Gives all that is held, the oldest first."""
        return self._native.flush()

    @property
    def next_timeout(self) -> int | None:
        """When `poll` has something to do, in ns; `None` while nothing is held."""
        return self._native.next_timeout

    @property
    def statistics(self) -> CollationStatistics:
        """What it did so far."""
        return CollationStatistics(**self._native.statistics)

    def __repr__(self) -> str:
        done = self.statistics
        return (
            f"<netfast.Collator: {done.packets} packets, {done.merged} merged into {done.super_packets} "
            f"super-packets, {done.held} held>"
        )


def _native_settings(given: CollationSettings) -> dict[str, int]:
    """All settings as native code takes them."""
    unknown = given.keys() - _DEFAULTS.keys()
    if unknown:
        raise TypeError(f"{min(unknown)} is no setting: give {', '.join(_DEFAULTS)}")
    widest = {"vxlan_port": 16, "geneve_port": 16, "max_segments": 16, "max_length": 32}
    native: dict[str, int] = {}
    for name, value in {**_DEFAULTS, **given}.items():
        if isinstance(_DEFAULTS.get(name), bool):
            native[name] = bool(value)
            continue
        if not isinstance(value, int):
            raise TypeError(f"{name} is {type(value).__name__}: give an int")
        most = (1 << widest.get(name, 63)) - 1
        if not 0 <= value <= most:
            raise ConfigError(f"{name}={value}: give 0 to {most:,}", option=name)
        native["max_hold_ns" if name == "max_hold" else name] = value
    return native


def segment(
    packets: Any,
    *,
    gso_size: int | None = None,
    gso_type: str | None = None,
    fixed_id: bool | None = None,
    checksums: str = "full",
    max_segments: int = 2048,
    link: int | str | None = None,
) -> OffloadBatch:
    """Cuts super-packets into the packets that they stand for, in order; other packets stay as they are.

    `packets` is what `Collator.push` takes, or one packet. `OffloadPacket` says itself how it is cut. Others are cut
    into pieces of `gso_size` bytes of payload, when that is given and they are longer: at their innermost TCP or
    UDP header, or at that of `gso_type` (`"tcp4"`, `"tcp6"`, `"udp"`). `fixed_id` says that all pieces have the
    same IPv4 identification.

    Payload is shared, not copied. Lengths, identifications, sequence numbers, flags and checksums are those of each
    packet. `checksums="partial"` leaves transport checksums to whoever sends the packets (`finish_checksums`).

    Raises `ParseError` for a packet that contradicts what is said of it or cannot be cut, `ConfigError` for sizes that
    cannot be, `ResourceError` for more than `max_segments` of one packet; their `reason` names it, `packet` is its
    index.
    """
    if gso_size is not None and not 0 <= _int("gso_size", gso_size) < 1 << 16:
        raise ConfigError(f"gso_size={gso_size}: give bytes of payload, from 1 to 65,535", option="gso_size")
    if not 0 < _int("max_segments", max_segments) < 1 << 32:
        raise ConfigError(
            f"max_segments={max_segments}: give the most packets that one may become", option="max_segments"
        )
    return _netfast.segment(
        packets,
        gso_size=gso_size,
        gso_type=gso_type,
        fixed_id=fixed_id,
        checksums=checksums,
        max_segments=max_segments,
        link=link,
    )


def _int(name: str, value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{name} is {type(value).__name__}: give an int")
    return value


def finish_checksums(packets: Any, *, link: int | str | None = None) -> OffloadBatch:
    """Fills in the transport checksums of packets whose `checksum` is `"partial"`; others stay as they are.

    Raises `ParseError` for a packet that has none; its `reason` names it, `packet` is its index.
    """
    return _netfast.finish_checksums(packets, link=link)


def collate(
    path: Path | Iterable[Path],
    target: Path | int,
    *,
    filter: str | None = None,
    trust_checksums: bool = False,
    verify: bool = False,
    mmap: bool = False,
    lenient: bool = False,
    progress: Callable[[int, int], object] | None = None,
    **settings: Unpack[CollationSettings],
) -> dict[str, Any]:
    """Writes a capture (or several, merged by time) with super-packets in place of the packets that they stand for.

    `target` is a pcapng file (or open descriptor), which is made anew. A super-packet stands where the first of its
    packets stood, with its time; its comment says how many it stands for. Everything else is as it was, in its order:
    packets with their comments, interfaces, those that the capture cut short, and those of link types without IP.
    Settings are those of `Collator`; a packet is held up to `max_hold` ns (a millisecond) by the times of the capture.

    With `verify` each super-packet is cut again and compared with the frames that it was made of.

    Returns what `CollationStatistics.to_dict` has, and `frames` that were read, `written`, `cut` short by the capture,
    of `other_links`, `verified` and `different` (`None` without `verify`), `unfiltered` and `damage` as `netfast.copy`
    knows them. Errors are those of `netfast.copy`.
    """
    native = _native_settings({"max_hold": HOLD, **settings})
    if native["max_hold_ns"] == 0:
        raise ConfigError("max_hold=0: give ns, from 1: a capture has no batches", option="max_hold")
    found = _netfast.collate(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        native,
        filter=filter,
        trust_checksums=bool(trust_checksums),
        verify=verify,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
    )
    supers = found["super_packets"]
    return {**found, "mean_segments": found["super_segments"] / supers if supers else None}
