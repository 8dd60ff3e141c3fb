"""What the number of rules costs a hit, and what a change of the rules costs each flow."""

from __future__ import annotations

from collections.abc import Iterator

from netfast._netfast import BenchNode
from netfast.bench import harness
from netfast.bench.forward import SIZES, cost
from netfast.bench.harness import Line

_COUNTS = (1, 100, 10_000)
_FIRST = 20_000


def run() -> Iterator[Line]:
    """Yields costs with 1, 100 and 10,000 rules, and those of a new rule set at a million flows."""
    nodes = {count: BenchNode(SIZES["10k"], rules=count, room=1 << 20) for count in _COUNTS}
    hits: dict[int, list[float]] = {count: [] for count in _COUNTS}
    firsts: dict[int, list[float]] = {count: [] for count in _COUNTS}
    for _ in range(harness.ROUNDS):
        for count, node in nodes.items():
            hits[count].append(harness.best(node.hits, 3))
    for _ in range(harness.ROUNDS):
        for count, node in nodes.items():
            firsts[count].append(node.first_packets(_FIRST))
    for count in _COUNTS[1:]:
        yield cost("rules", f"hits_{count}", hits[count], "1 rule", hits[1])
    for count in _COUNTS[1:]:
        yield cost("rules", f"first_{count}", firsts[count], "1 rule", firsts[1], unit="ns/flow")
    del nodes
    swaps: dict[str, list[float]] = {}
    afters: list[float] = []
    calms: list[float] = []
    for label in ("10k", "1M"):
        node = BenchNode(SIZES[label])
        changes = [node.revalidate() for _ in range(harness.ROUNDS)]
        swaps[label] = [swap for swap, _, _ in changes]
        afters, calms = [after for _, after, _ in changes], [calm for _, _, calm in changes]
    yield cost("rules", "swap_1M", swaps["1M"], "at 10k flows", swaps["10k"], unit="ns")
    yield cost("rules", "revalidate_1M", afters, "without a change", calms, unit="ns/flow")
