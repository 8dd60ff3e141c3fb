"""The timer wheel at a million timers, beside `heapq` doing the same work in the same run.

The peer does what the documentation of `heapq` recommends: entries are lists, a cancelled one is marked and
skipped when it comes to the top, a moved one is marked and pushed again.
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
_Times = dict[str, tuple[list[float], list[float]]]


def run(timers: int = 1_000_000, runs: int = 5) -> Iterator[dict[str, object]]:
    """Yields a benchmark line for each operation with `timers` pending, each the median of `runs` runs."""
    chance = random.Random(1)
    deadlines = array("Q", (chance.randrange(_SECOND, 3_600 * _SECOND) for _ in range(timers)))
    moved = array("Q", (chance.randrange(_SECOND, 3_600 * _SECOND) for _ in range(timers)))
    order = array("Q", chance.sample(range(timers), timers))
    times: _Times = {"arm": ([], []), "rearm": ([], []), "cancel": ([], []), "expire": ([], [])}
    collecting = gc.isenabled()
    gc.disable()  # The peer makes a million containers; walking them again and again would only slow it down.
    try:
        for _ in range(runs):
            _wheel(times, deadlines, moved, order)
            _heap(times, deadlines, moved, order)
    finally:
        if collecting:
            gc.enable()
    for metric, (ours, theirs) in times.items():
        yield _line(metric, timers, ours, theirs)


def _line(metric: str, timers: int, ours: list[float], theirs: list[float]) -> dict[str, object]:
    rates = [timers / seconds for seconds in ours]
    value, peer = statistics.median(rates), statistics.median(timers / seconds for seconds in theirs)
    return {
        "bench": "timers",
        "metric": metric,
        "value": value,
        "unit": "ops/s",
        "min": min(rates),
        "max": max(rates),
        "n": len(rates),
        "peer": "heapq",
        "peer_value": peer,
        "ratio": value / peer,
    }


def _wheel(times: _Times, deadlines: array[int], moved: array[int], order: array[int]) -> None:
    payloads = array("Q", range(len(deadlines)))
    wheel = TimerWheel()
    handles = _timed(times["arm"][0], lambda: wheel.arm_many(deadlines, payloads))
    shuffled = array("Q", (handles[place] for place in order))
    _timed(times["rearm"][0], lambda: wheel.rearm_many(shuffled, moved))
    expired = _timed(times["expire"][0], lambda: wheel.expire(2**64 - 1))
    assert len(expired) == len(deadlines)
    wheel = TimerWheel()
    handles = wheel.arm_many(deadlines, payloads)
    shuffled = array("Q", (handles[place] for place in order))
    cancelled = _timed(times["cancel"][0], lambda: wheel.cancel_many(shuffled))
    assert cancelled == len(deadlines)


def _heap(times: _Times, deadlines: array[int], moved: array[int], order: array[int]) -> None:
    heap: list[list[int | None]] = []
    entries: list[list[int | None]] = []
    push, pop = heapq.heappush, heapq.heappop

    def arm() -> None:
        for payload, deadline in enumerate(deadlines):
            entry: list[int | None] = [deadline, payload]
            entries.append(entry)
            push(heap, entry)

    def rearm() -> None:
        for payload, deadline in zip(order, moved, strict=True):
            entries[payload][_PAYLOAD] = -1
            entries[payload] = entry = [deadline, payload]
            push(heap, entry)

    def cancel() -> None:
        for payload in order:
            entries[payload][_PAYLOAD] = -1

    def expire() -> list[int | None]:
        fired = []
        while heap:
            payload = pop(heap)[_PAYLOAD]
            if payload != -1:
                fired.append(payload)
        return fired

    _timed(times["arm"][1], arm)
    _timed(times["rearm"][1], rearm)
    fired = _timed(times["expire"][1], expire)
    assert len(fired) == len(deadlines)
    heap.clear()
    entries.clear()
    arm()
    # Marking is only half of a cancel: the entries still have to be popped, and are counted where they are.
    _timed(times["cancel"][1], lambda: (cancel(), expire()))


def _timed(into: list[float], work: Callable[[], _T]) -> _T:
    start = time.perf_counter()
    result = work()
    into.append(time.perf_counter() - start)
    return result
