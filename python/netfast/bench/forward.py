"""Packets through a node on which everything is on, decided by one lookup: beside the limit study and other forwarders.

Connection tracking, 100 rules, routes, a group of four next hops of different weights, link addresses, hop limit. The
smallest frames of IPv6 with UDP (64 bytes) and TCP (74 bytes), both ways, of flows in random order. A frame becomes a
packet inside of what is timed, but where a metric says otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from netfast._netfast import BenchNode, BenchReplay
from netfast.bench import harness, peers
from netfast.bench.harness import Line, Missing
from netfast.capture import Capture
from netfast.stack import Batch, Stack

UNIT = "ns/packet"
SIZES = {"1": 1, "1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000, "4M": 4_000_000}
"""Two-way flows, by the names that metrics have for them."""
_FRAME = 64
# What one batch of each direction goes through again and again when Python pushes.
_LOOPED = 16_384


def cost(
    bench: str,
    metric: str,
    values: Sequence[float],
    peer: str | None = None,
    peer_values: Sequence[float] = (),
    *,
    unit: str = UNIT,
    reason: str | None = None,
) -> Line:
    """A line of a cost: less is better."""
    return harness.line(bench, metric, values, unit, peer, peer_values, reason=reason, lower_is_better=True)


def run() -> Iterator[Line]:
    """Yields costs of a packet, for each number of flows and each way of asking, a line for each peer."""
    ten_thousand: list[float] = []
    for label, flows in SIZES.items():
        large = harness.large_page_bytes()
        node = BenchNode(flows)
        large = harness.large_page_bytes() - large
        yield from _beside_floor(f"udp_{label}", node, flows, ten_thousand if label == "10k" else [])
        if flows >= 1_000_000:
            yield cost("forward", f"udp_{label}_flow_bytes", [node.flow_bytes], unit="bytes/flow")
            part = min(large / node.cache_bytes, 1.0)
            page = 2 << 20 if part > 0.5 else os.sysconf("SC_PAGE_SIZE")
            yield harness.line("forward", f"udp_{label}_page_bytes", [float(page)], "bytes", None)
            yield harness.line("forward", f"udp_{label}_in_large_pages", [part], "of the cache", None)
        del node
    yield from _others(ten_thousand)
    for label in ("10k", "1M"):
        yield from _beside_floor(f"tcp_{label}", BenchNode(SIZES[label], tcp=True), SIZES[label], [])
    yield from _variants()
    yield from _python()
    yield from _capture()


def _beside_floor(metric: str, node: BenchNode, flows: int, values: list[float]) -> Iterator[Line]:
    """Both the best of seven passes in each round."""
    limits: list[float] = []
    reason = None
    for _ in range(harness.ROUNDS):
        values.append(harness.best(node.hits))
        try:
            limits.append(harness.flow_floor(flows))
        except Missing as missing:
            reason = str(missing)
    yield cost("forward", metric, values, "flow_floor", limits, reason=reason)


def _others(values: Sequence[float]) -> Iterator[Line]:
    """The same 10,000 flows through other people's forwarders, which run one after the other now."""
    for name, measure in (
        ("OVS conntrack", peers.ovs_conntrack),
        ("DPDK l3fwd LPM", peers.l3fwd),
        ("Linux, nft and conntrack", peers.kernel),
    ):
        try:
            yield cost("forward", "udp_10k", values, name, measure())
        except Missing as missing:
            yield cost("forward", "udp_10k", values, name, reason=str(missing))


def _variants() -> Iterator[Line]:
    """Packets in pieces, batches, destinations: each beside the usual case in the same rounds."""
    for label in ("10k", "1M"):
        node = BenchNode(SIZES[label])
        one, two = _rounds(lambda node=node: node.pieces(False), lambda node=node: node.pieces(True))
        yield cost("forward", f"two_pieces_{label}", two, "of one piece", one)
        if label == "10k":
            for size in (1, 32):
                usual, small = _rounds(node.hits, lambda node=node, size=size: node.hits(batch=size))
                yield cost("forward", f"batch_{size}", small, "batches of 256", usual)
        else:
            for destinations in ("1", "1k", "100k"):
                few = BenchNode(SIZES[label], destinations=SIZES[destinations])
                usual, fewer = _rounds(node.hits, few.hits)
                yield cost("forward", f"destinations_{destinations}", fewer, "a server for each flow", usual)


def _rounds(one: object, other: object) -> tuple[list[float], list[float]]:
    """Both in turns, the best of three passes in each round."""
    values: tuple[list[float], list[float]] = ([], [])
    for _ in range(harness.ROUNDS):
        for into, measure in zip(values, (one, other), strict=True):
            into.append(harness.best(measure, 3))  # type: ignore[arg-type]
    return values


def stack(rules: int = 100) -> Stack:
    """A `Stack` that is what `BenchNode` is."""
    node = Stack("bench", seed=1, tracking="on", max_connections=1 << 16, tcp_liberal=True, tcp_loose=True)
    node.add_port("lan", mac="02:00:00:00:00:01", addresses=["2001:db8:fe::1/64"])
    node.add_port("wan", mac="02:00:00:00:00:02", addresses=["2001:db8:ff::1/64"])
    node.add_neighbour("lan", "2001:db8:fe::2", "02:00:00:00:01:01")
    for weight in range(2, 6):
        node.add_neighbour("wan", f"2001:db8:ff::{weight}", f"02:00:00:00:02:0{weight}")
    node.add_route("2001:db8::/48", "2001:db8:fe::2", port="lan")
    node.add_route(
        "2001:db8:1::/48", [(f"2001:db8:ff::{weight}", weight) for weight in range(2, 6)], port="wan"
    )
    node.load_rules(BenchNode.rules(rules))
    return node


def batches(node: BenchNode) -> list[tuple[str, Batch]]:
    """The frames that `node` goes through in a loop, as batches of both ports by turns."""
    sides = []
    for port, replies in (("lan", False), ("wan", True)):
        data = node.frames(replies, _LOOPED)
        frames = [data[at : at + _FRAME] for at in range(0, len(data), _FRAME)]
        sides.append([(port, Batch(frames[at : at + 256])) for at in range(0, len(frames), 256)])
    return [batch for pair in zip(*sides, strict=True) for batch in pair]


def settle(node: Stack, work: Sequence[tuple[str, Batch]]) -> int:
    """Every flow goes both ways, and once more three seconds later; the time then."""
    now = 10_000_000_000
    for _ in range(2):
        for port, batch in work:
            node.push(port, batch, now)
        now += 3_000_000_000
    return now


def _python() -> Iterator[Line]:
    """`Stack.push` of batches of 256 from Python, and the same frames pushed by a loop in Rust."""
    alone, pushed = BenchNode(SIZES["10k"]), stack()
    work = batches(alone)
    now = settle(pushed, work)
    packets = 2 * _LOOPED
    rounds = 32

    def hits() -> int:
        return int(pushed.counters.cache["hits"])

    def python() -> float:
        nonlocal now
        now += 1_000_000
        before, push = hits(), pushed.push
        start = time.perf_counter_ns()
        for _ in range(rounds):
            for port, batch in work:
                push(port, batch, now)
        nanos = time.perf_counter_ns() - start
        if hits() - before != rounds * packets:
            raise AssertionError(f"{hits() - before} of {rounds * packets} packets were hits")
        return nanos / (rounds * packets)

    rust, from_python = _rounds(lambda: alone.hits(frames=_LOOPED), python)
    yield cost("forward", "push_from_python", from_python, "the loop in Rust", rust)


def _capture() -> Iterator[Line]:
    """The mixed capture as it comes, each time through a new node: first packets of flows and all."""
    path, _count = harness.mixed_capture()
    replay = BenchReplay()
    for batch in Capture(path):
        replay.add(batch)
    runs = [replay.run() for _ in range(harness.ROUNDS)]
    yield cost("forward", "mix", [nanos for nanos, _ in runs])
    yield harness.line("forward", "mix_hits", [part for _, part in runs], "of packets", None)
