"""A capture to columns, each batch exported to Arrow, beside the limit study and Python's parsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from netfast.bench import harness
from netfast.bench.harness import Line, Missing
from netfast.capture import packets

# As many as the limit study, which prints the best of them.
_PASSES = 7

# Each reads `count` packets, touches addresses, ports and length, and prints packets a second.
_DPKT = """
import sys, time
import dpkt
path, count = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
done = 0
with open(path, "rb") as file:
    for _, data in dpkt.pcap.Reader(file):
        ip = dpkt.ethernet.Ethernet(data).data
        if isinstance(ip, dpkt.ip6.IP6):
            key = (ip.src, ip.dst, ip.nxt, ip.data.sport, ip.data.dport, ip.plen)
        else:
            key = (ip.src, ip.dst, ip.p, ip.data.sport, ip.data.dport, ip.len)
        done += 1
        if done == count:
            break
print(done / (time.perf_counter() - start))
"""
_SCAPY = """
import sys, time
from scapy.utils import RawPcapReader
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
path, count = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
done = 0
for data, _ in RawPcapReader(path):
    ip = Ether(data).payload
    if isinstance(ip, IPv6):
        key = (ip.src, ip.dst, ip.nh, ip.payload.sport, ip.payload.dport, ip.plen)
    else:
        key = (ip.src, ip.dst, ip.proto, ip.payload.sport, ip.payload.dport, ip.len)
    done += 1
    if done == count:
        break
print(done / (time.perf_counter() - start))
"""


def _columns(path: Path, checksums: bool) -> int:
    return sum(harness.export(packets(path, checksums=checksums)))


def run() -> Iterator[Line]:
    """Yields packets a second to columns, without and with checksums verified, a line for each peer."""
    path, count = harness.mixed_capture()
    harness.warm(path)
    try:
        floor: Path | None = harness.capture_floor()
        floor_reason = None
    except Missing as missing:
        floor, floor_reason = None, str(missing)
    metrics = {
        "columns": (False, "columns, pread"),
        "columns_checksums": (True, "columns + checksum reading, pread"),
    }
    ours: dict[str, list[float]] = {metric: [] for metric in metrics}
    limits: dict[str, list[float]] = {metric: [] for metric in metrics}
    _columns(path, True)
    for _ in range(harness.ROUNDS):
        for metric, (checksums, _name) in metrics.items():
            ours[metric].append(harness.rate(count, lambda flag=checksums: _columns(path, flag), _PASSES))  # type: ignore[misc]
        if floor is not None:
            rates = harness.floor_rates(floor, path)
            for metric, (_flag, name) in metrics.items():
                limits[metric].append(rates[name])
    for metric, values in ours.items():
        yield harness.line(
            "packets", metric, values, "packets/s", "capture_floor", limits[metric], reason=floor_reason
        )

    def peer(script: str, some: int) -> float:
        return harness.python_peer(script, [path, min(some, count)])

    singles: dict[str, Callable[[], float]] = {
        "columns": lambda: harness.rate(count, lambda: _columns(path, False)),
        "columns_checksums": lambda: harness.rate(count, lambda: _columns(path, True)),
    }
    peers: dict[str, Callable[[], float]] = {
        "dpkt": lambda: peer(_DPKT, 100_000),
        "scapy": lambda: peer(_SCAPY, 5_000),
    }
    yield from harness.beside("packets", singles, peers)
