"""Fragments of IP datagrams, put together: RFC 791, RFC 8200 4.5.

reassembler = Reassembler()
for batch in netfast.Capture("capture.pcapng"):
    for datagram in reassembler.push(batch):
        print(datagram.fragments, datagram.packet)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from netfast import _netfast
from netfast._netfast import Datagram, DatagramIterator, Datagrams
from netfast._netfast import Reassembler as _Reassembler
from netfast.capture import Path, paths_of
from netfast.node.views import Event

__all__ = [
    "POLICIES",
    "Datagram",
    "DatagramIterator",
    "Datagrams",
    "Reassembler",
    "ReassemblySettings",
    "defrag",
]

# Who wins where fragments overlap.
POLICIES = tuple(_netfast.OVERLAP_POLICIES)

_Progress = Callable[[int, int], object]


class ReassemblySettings(TypedDict, total=False):
    """What `Reassembler` takes, and whoever reassembles captures."""

    policy: str
    policy_ipv6: str
    timeout: float
    timeout_ipv6: float
    max_datagrams: int
    max_memory: int
    source_share: int
    max_fragments: int
    max_disorder: int
    wrap_safe: bool
    tombstone: float
    max_tombstones: int
    max_pairs: int
    verify_checksums: bool
    verify_headers: bool
    min_fragment: int
    max_events: int
    report_completed: bool
    max_dropped: int
    seed: int | None


class Reassembler:
    """Puts fragments of IPv4 and IPv6 together, without copying their data.

    `push` takes packets and gives those that go on, `poll` lets time pass, `events` tells what happened. Time is an
    argument: ns on any clock that you own, or the times that packets have. It never goes back: an earlier time counts
    as the latest, and as one of the counters' `backward_steps`.
    """

    __slots__ = ("_native",)

    def __init__(
        self,
        *,
        policy: str = "drop",
        policy_ipv6: str = "drop",
        timeout: float = 30.0,
        timeout_ipv6: float = 60.0,
        max_datagrams: int = 16_384,
        max_memory: int = 1 << 26,
        source_share: int = 8,
        max_fragments: int = 8_192,
        max_disorder: int = 64,
        wrap_safe: bool = True,
        tombstone: float = 1.0,
        max_tombstones: int = 8_192,
        max_pairs: int = 4_096,
        verify_checksums: bool = True,
        verify_headers: bool = True,
        min_fragment: int = 64,
        max_events: int = 4_096,
        report_completed: bool = False,
        seed: int | None = None,
    ) -> None:
        settings: ReassemblySettings = {
            "policy": policy,
            "policy_ipv6": policy_ipv6,
            "timeout": timeout,
            "timeout_ipv6": timeout_ipv6,
            "max_datagrams": max_datagrams,
            "max_memory": max_memory,
            "source_share": source_share,
            "max_fragments": max_fragments,
            "max_disorder": max_disorder,
            "wrap_safe": wrap_safe,
            "tombstone": tombstone,
            "max_tombstones": max_tombstones,
            "max_pairs": max_pairs,
            "verify_checksums": verify_checksums,
            "verify_headers": verify_headers,
            "min_fragment": min_fragment,
            "max_events": max_events,
            "report_completed": report_completed,
            "seed": seed,
        }
        self._native = _Reassembler(settings)

    def push(
        self, packets: Any, now: int | None = None, *, context: int = 0, link: int | str | None = None
    ) -> Datagrams:
        """Takes packets in order and gives those that go on: whole datagrams and packets that are no fragments."""
        return self._native.push(packets, now, context=context, link=link)

    def poll(self, now: int) -> int:
        """Gives up the datagrams whose time is over at `now` (ns), and says how many."""
        return self._native.poll(now)

    @property
    def next_timeout(self) -> int | None:
        """When `poll` will have something to do, in ns; `None` while nothing waits."""
        return self._native.next_timeout

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        return [Event.of({"time_ns": 0, **row}) for row in self._native.events()]

    @property
    def counters(self) -> dict[str, Any]:
        """Counters: packets by what became of them, datagrams and fragments by reason."""
        return self._native.counters

    @property
    def memory(self) -> int:
        """Bytes that waiting datagrams and the tables occupy."""
        return self._native.memory

    def __len__(self) -> int:
        """Datagrams that wait."""
        return len(self._native)

    def __repr__(self) -> str:
        return f"<netfast.Reassembler: {len(self)} datagrams wait>"


def defrag(
    path: Path | Iterable[Path],
    target: Path | int,
    *,
    filter: str | None = None,
    keep_incomplete: bool = False,
    mmap: bool = False,
    lenient: bool = False,
    progress: _Progress | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Copies a capture with its fragments put together, and returns counts."""
    return _netfast.copy(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        filter=filter,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
        reassemble={**settings, "keep_incomplete": keep_incomplete},
    )
