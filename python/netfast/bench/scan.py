"""A scan of random addresses and ports beside established flows, one packet each: what both cost, and who is evicted.

From the inside each packet of the scan passes the rules and begins a connection, so that the table is soon full; from
the outside the policy drops it.
"""

from __future__ import annotations

from collections.abc import Iterator

from netfast._netfast import BenchNode
from netfast.bench import harness
from netfast.bench.forward import SIZES, UNIT, cost
from netfast.bench.harness import Line

_PACKETS = 1 << 18


def run() -> Iterator[Line]:
    """Yields the cost of a packet of the scan and of an established flow, and the number of flows evicted."""
    for label in ("10k", "1M"):
        for side, from_clients in (("inside", True), ("outside", False)):
            flows = SIZES[label]
            node = BenchNode(flows, room=flows + flows // 4)
            scans = [node.scan(from_clients, _PACKETS) for _ in range(harness.ROUNDS)]
            scan, established, calm, pair = ([run[at] for run in scans] for at in range(4))
            yield cost("scan", f"{side}_{label}", scan, unit=UNIT)
            yield cost("scan", f"{side}_{label}_established", established, "without a scan", calm)
            yield cost("scan", f"{side}_{label}_pair", pair, unit="ns/pair")
            evicted = [float(scans[-1][4])]
            yield harness.line(
                "scan", f"{side}_{label}_evicted", evicted, "flows", None, lower_is_better=True
            )
