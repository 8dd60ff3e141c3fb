"""One packet at a time from Python: build it from header values and emit it, beside scapy and dpkt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from netfast.bench import harness
from netfast.bench.harness import Line
from netfast.headers import UDP, IPv6

_PACKETS = 20_000
_SCAPY_PACKETS = 1_000
_PAYLOAD = b"x" * 20
_SRC, _DST = "2001:db8::1", "2001:db8::2"


def _netfast(count: int) -> bytes:
    data = b""
    for port in range(count):
        data = bytes(IPv6(src=_SRC, dst=_DST) / UDP(src_port=port, dst_port=53) / _PAYLOAD)
    return data


def _scapy() -> Callable[[int], bytes]:
    from scapy.layers.inet import UDP as ScapyUDP
    from scapy.layers.inet6 import IPv6 as ScapyIPv6

    def work(count: int) -> bytes:
        data = b""
        for port in range(count):
            data = bytes(ScapyIPv6(src=_SRC, dst=_DST) / ScapyUDP(sport=port, dport=53) / _PAYLOAD)
        return data

    return work


def _dpkt() -> Callable[[int], bytes]:
    import socket

    import dpkt

    src, dst = (socket.inet_pton(socket.AF_INET6, text) for text in (_SRC, _DST))

    def work(count: int) -> bytes:
        data = b""
        for port in range(count):
            udp = dpkt.udp.UDP(sport=port, dport=53, ulen=28, data=_PAYLOAD)
            data = bytes(dpkt.ip6.IP6(src=src, dst=dst, nxt=17, hlim=64, plen=28, data=udp))
        return data

    return work


def _measure(work: Callable[[int], bytes], count: int) -> tuple[float, bytes]:
    start = time.perf_counter()
    data = work(count)
    return count / (time.perf_counter() - start), data


def run() -> Iterator[Line]:
    """Yields packets a second, a line for each peer; scapy's last packet must equal netfast's."""
    works: dict[str, tuple[Callable[[int], bytes], int]] = {}
    reasons: dict[str, str] = {}
    for name, make, count in (("scapy", _scapy, _SCAPY_PACKETS), ("dpkt", _dpkt, _PACKETS)):
        try:
            works[name] = (make(), count)
        except ImportError as error:
            reasons[name] = f"{error} (pip install 'netfast[bench]')"
    ours: list[float] = []
    theirs: dict[str, list[float]] = {"scapy": [], "dpkt": []}
    for number in range(harness.ROUNDS + 1):
        value, _ = _measure(_netfast, _PACKETS)
        if number:
            ours.append(value)
        for name, (work, count) in works.items():
            value, data = _measure(work, count)
            if name == "scapy" and data != _netfast(count):
                raise AssertionError("scapy builds other bytes than netfast")
            if number:
                theirs[name].append(value)
    for name, values in theirs.items():
        yield harness.line("build", "ipv6_udp", ours, "packets/s", name, values, reason=reasons.get(name))
