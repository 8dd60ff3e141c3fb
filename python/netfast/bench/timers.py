"""The timer wheel at a million timers, beside `heapq` doing the same work in the same run.

The peer does what `asyncio` does, which is the best that is known to do with a heap: entries are lists, a
cancelled one is marked and skipped when it comes to the top, and when half of the entries are marked, those
are filtered out and the rest made a heap again. A timer is moved by marking its entry and pushing another.
"""

from __future__ import annotations

import gc
import heapq
import random
import statistics
import time
from array import array
from collections.abc import Callable, Iterator
from typing import TypeVar

from netfast.timer import TimerWheel

_T = TypeVar("_T")

_SECOND = 1_000_000_000
_PAYLOAD = 1
_CANCELLED = -1
_Times = dict[str, tuple[list[float], list[float]]]


def run(timers: int = 1_000_000, runs: int = 3) -> Iterator[dict[str, object]]:
    """Yields a benchmark line for each operation with `timers` pending, each the median of `runs` runs.

    All timers are armed and moved, half of them cancelled and a tenth fired, handles in random order.
    """
    chance = random.Random(1)
    deadlines = array("Q", (chance.randrange(_SECOND, 3_600 * _SECOND) for _ in range(timers)))
    moved = array("Q", (chance.randrange(_SECOND, 3_600 * _SECOND) for _ in range(timers)))
    order = array("Q", chance.sample(range(timers), timers))
    times: _Times = {"arm": ([], []), "rearm": ([], []), "cancel": ([], []), "expire": ([], [])}
    collecting = gc.isenabled()
    gc.disable()  # The peer makes a million containers; walking them again and again would only slow it down.
    try:
        for number in range(runs + 1):
            # The first run of each only takes memory from the system.
            into: _Times = times if number else {metric: ([], []) for metric in times}
            _wheel(into, deadlines, moved, order)
            _heap(into, deadlines, moved, order)
    finally:
        if collecting:
            gc.enable()
    for metric, (ours, theirs) in times.items():
        yield _line(metric, ours, theirs)


def _line(metric: str, ours: list[float], theirs: list[float]) -> dict[str, object]:
    value, peer = statistics.median(ours), statistics.median(theirs)
    return {
        "bench": "timers",
        "metric": metric,
        "value": value,
        "unit": "ops/s",
        "min": min(ours),
        "max": max(ours),
        "n": len(ours),
        "peer": "heapq",
        "peer_value": peer,
        "ratio": value / peer,
    }


def _wheel(times: _Times, deadlines: array[int], moved: array[int], order: array[int]) -> None:
    count = len(deadlines)
    payloads = array("Q", range(count))
    wheel = TimerWheel()
    handles = _timed(times["arm"][0], count, lambda: wheel.arm_many(deadlines, payloads))
    shuffled = array("Q", (handles[place] for place in order))
    moves = _timed(times["rearm"][0], count, lambda: wheel.rearm_many(shuffled, moved))
    half = shuffled[: count // 2]
    cancelled = _timed(times["cancel"][0], len(half), lambda: wheel.cancel_many(half))
    fired = _timed(times["expire"][0], count // 10, lambda: wheel.expire(2**64 - 1, count // 10))
    if (moves, cancelled, len(fired)) != (count, len(half), count // 10):
        raise AssertionError("the wheel lost a timer")


def _heap(times: _Times, deadlines: array[int], moved: array[int], order: array[int]) -> None:
    heap: list[list[int]] = []
    entries: list[list[int]] = []
    push, pop = heapq.heappush, heapq.heappop

    def arm() -> None:
        for payload, deadline in enumerate(deadlines):
            entry = [deadline, payload]
            entries.append(entry)
            push(heap, entry)

    def clean() -> None:
        heap[:] = [entry for entry in heap if entry[_PAYLOAD] != _CANCELLED]
        heapq.heapify(heap)

    def rearm() -> None:
        for payload, deadline in zip(order, moved, strict=True):
            entries[payload][_PAYLOAD] = _CANCELLED
            entries[payload] = entry = [deadline, payload]
            push(heap, entry)
        clean()

    def cancel() -> None:
        for payload in half:
            entries[payload][_PAYLOAD] = _CANCELLED
        clean()

    def expire() -> list[int]:
        fired: list[int] = []
        while len(fired) < count // 10:
            payload = pop(heap)[_PAYLOAD]
            if payload != _CANCELLED:
                fired.append(payload)
        return fired

    count = len(deadlines)
    half = order[: count // 2]
    _timed(times["arm"][1], count, arm)
    _timed(times["rearm"][1], count, rearm)
    _timed(times["cancel"][1], len(half), cancel)
    _timed(times["expire"][1], count // 10, expire)


def _timed(into: list[float], operations: int, work: Callable[[], _T]) -> _T:
    start = time.perf_counter()
    result = work()
    into.append(operations / (time.perf_counter() - start))
    return result
