"""A super-packet of TCP cut into full segments: checksums left to whoever sends them, and filled in."""

from __future__ import annotations

from collections.abc import Iterator

import netfast as nf
from netfast._netfast import BenchSegmenter
from netfast.bench import harness
from netfast.bench.forward import cost
from netfast.bench.harness import Line

_UNIT = "ns/segment"
_PAYLOAD = 1_448


def super_packet(segments: int, v6: bool = False) -> nf.OffloadPacket:
    """One with timestamps, as a host's stack makes it."""
    network: nf.Header = nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
    if not v6:
        network = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", dont_fragment=1)
    transport = nf.TCP(src_port=1024, dst_port=5001, flags=0x18, options=[("timestamps", (1, 2))])
    payload = bytes(at % 251 for at in range(segments * _PAYLOAD))
    kind = "tcp6" if v6 else "tcp4"
    frame = bytes(nf.Ethernet() / network / transport / payload)
    return nf.OffloadPacket(frame, gso_type=kind, gso_size=_PAYLOAD)


def run() -> Iterator[Line]:
    """Yields the cost of a segment, for 16 and 44 of them, and what was copied of a delivered byte."""
    for family, v6 in (("ipv4", False), ("ipv6", True)):
        for segments in (16, 44):
            bench = BenchSegmenter(super_packet(segments, v6))
            partial: list[float] = []
            full: list[float] = []
            copied = 0.0
            for _ in range(harness.ROUNDS):
                partial.append(harness.best(lambda bench=bench: bench.run("partial")[0], 5))  # type: ignore[misc]
                full.append(harness.best(lambda bench=bench: bench.run("full")[0], 5))  # type: ignore[misc]
                copied = bench.run("partial")[2]
            name = f"{family}_{segments}"
            yield cost("segmentation", f"{name}_partial", partial, "checksums filled in", full, unit=_UNIT)
            yield cost("segmentation", f"{name}_full", full, unit=_UNIT)
            if segments == 16:
                yield cost("segmentation", f"{name}_copied", [copied], unit="bytes/byte delivered")
