"""The first packets of flows: each walks all tables and begins a connection. Beside OVS, which does no more for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netfast._netfast import BenchNode
from netfast.bench import harness, peers
from netfast.bench.forward import cost
from netfast.bench.harness import Line, Missing

_FLOWS = 1_000_000


def _fresh(**options: bool) -> BenchNode:
    # One flow is there before, so that there is a node with everything on.
    return BenchNode(1, room=2 * _FLOWS, **options)


def run() -> Iterator[Line]:
    """Yields the cost of a flow's first packet: into new memory, into memory that flows left, with NAT, of TCP."""
    cases: dict[str, Callable[[], BenchNode]] = {
        "udp": _fresh,
        "tcp": lambda: _fresh(tcp=True),
        "udp_nat": lambda: _fresh(nat=True),
    }
    new: dict[str, list[float]] = {name: [] for name in cases}
    used: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(harness.ROUNDS):
        for name, make in cases.items():
            node = make()
            new[name].append(node.first_packets(_FLOWS))
            node.flush()
            used[name].append(node.first_packets(_FLOWS))
    try:
        theirs, reason = peers.ovs_first_packets(), None
    except Missing as missing:
        theirs, reason = [], str(missing)
    for name in cases:
        peer = "OVS conntrack" if name == "udp" else None
        yield cost(
            "newflows",
            name,
            new[name],
            peer,
            theirs if peer else (),
            unit="ns/flow",
            reason=reason if peer else None,
        )
        yield cost(
            "newflows", f"{name}_used_memory", used[name], "into new memory", new[name], unit="ns/flow"
        )
