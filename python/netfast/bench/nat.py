"""Hits of flows whose source is translated (masquerading, both ways), beside the same flows without."""

from __future__ import annotations

from collections.abc import Iterator

from netfast._netfast import BenchNode
from netfast.bench import harness
from netfast.bench.forward import SIZES, cost
from netfast.bench.harness import Line


def run() -> Iterator[Line]:
    """Yields the cost of a packet at 10,000 and a million flows, and the memory of a translated flow."""
    for label in ("10k", "1M"):
        for transport, tcp in (("udp", False), ("tcp", True)):
            plain, translated = BenchNode(SIZES[label], tcp=tcp), BenchNode(SIZES[label], tcp=tcp, nat=True)
            without: list[float] = []
            within: list[float] = []
            for _ in range(harness.ROUNDS):
                without.append(harness.best(plain.hits, 3))
                within.append(harness.best(translated.hits, 3))
            yield cost("nat", f"{transport}_{label}", within, "without NAT", without)
            if label == "1M":
                size = [translated.flow_bytes]
                yield cost("nat", f"{transport}_{label}_flow_bytes", size, unit="bytes/flow")
            del plain, translated
