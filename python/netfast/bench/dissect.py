"""One packet at a time from Python: dissect it and read its 5-tuple, beside dpkt and scapy doing the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from netfast.bench import harness
from netfast.bench.harness import Line
from netfast.packet import dissect

_PACKETS = 20_000
_SCAPY_PACKETS = 2_000


def _frames(count: int) -> list[bytes]:
    """The first frames of the mixed capture: read here, because nothing else is measured."""
    path, _ = harness.mixed_capture()
    data = path.open("rb").read(2000 * count)
    frames: list[bytes] = []
    at = 24
    while len(frames) < count:
        length = int.from_bytes(data[at + 8 : at + 12], "little")
        frames.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return frames


def _netfast(frames: list[bytes]) -> None:
    for data in frames:
        packet = dissect(data)
        _ = packet.src, packet.dst, packet.protocol, packet.src_port, packet.dst_port


def _dpkt() -> Callable[[list[bytes]], None]:
    import dpkt

    def work(frames: list[bytes]) -> None:
        for data in frames:
            ip = dpkt.ethernet.Ethernet(data).data
            protocol = ip.nxt if isinstance(ip, dpkt.ip6.IP6) else ip.p
            _ = ip.src, ip.dst, protocol, ip.data.sport, ip.data.dport

    return work


def _scapy() -> Callable[[list[bytes]], None]:
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    def work(frames: list[bytes]) -> None:
        for data in frames:
            ip = Ether(data).payload
            protocol = ip.nh if isinstance(ip, IPv6) else ip.proto
            _ = ip.src, ip.dst, protocol, ip.payload.sport, ip.payload.dport

    return work


def measure(work: Callable[[list[bytes]], None], frames: list[bytes]) -> float:
    """Packets a second of one pass."""
    start = time.perf_counter()
    work(frames)
    return len(frames) / (time.perf_counter() - start)


def run() -> Iterator[Line]:
    """Yields packets a second, a line for each peer."""
    frames = _frames(_PACKETS)
    ours: list[float] = []
    peers: dict[str, tuple[list[float], str | None]] = {}
    makers = {"dpkt": (_dpkt, frames), "scapy": (_scapy, frames[:_SCAPY_PACKETS])}
    works = {}
    for name, (make, _some) in makers.items():
        try:
            works[name] = make()
            peers[name] = ([], None)
        except ImportError as error:
            peers[name] = ([], f"{error} (pip install 'netfast[bench]')")
    for number in range(harness.ROUNDS + 1):
        value = measure(_netfast, frames)
        if number:
            ours.append(value)
        for name, work in works.items():
            value = measure(work, makers[name][1])
            if number:
                peers[name][0].append(value)
    for name, (values, reason) in peers.items():
        yield harness.line("dissect", "five_tuple", ours, "packets/s", name, values, reason=reason)
