"""Fragments of IP datagrams, put together: RFC 791 3.2, RFC 8200 4.5.

>>> import netfast as nf
>>> header = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", protocol=17, identification=7)
>>> udp = bytes(nf.UDP(src_port=53, dst_port=53, length=24)) + bytes(16)
>>> first = header.replace(more_fragments=1) / udp[:16]
>>> second = header.replace(fragment_offset=16) / udp[16:]
>>> reassembler = Reassembler()
>>> reassembler.push([second], now=0)
<netfast.Datagrams: 0 packets, 0 reassembled>
>>> [datagram] = reassembler.push([first], now=1_000_000)
>>> datagram.fragments, datagram.packet.dst_port
(2, 53)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

from netfast import _netfast
from netfast._netfast import Datagram, DatagramIterator, Datagrams, OwedError
from netfast._netfast import Reassembler as _Reassembler
from netfast.capture import Path, paths_of
from netfast.node.views import Event
from netfast.packet import Packet

__all__ = [
    "POLICIES",
    "REASONS",
    "Datagram",
    "DatagramIterator",
    "Datagrams",
    "OwedError",
    "Reassembler",
    "ReassemblySettings",
    "defrag",
]

# Who wins where fragments overlap.
POLICIES = tuple(_netfast.OVERLAP_POLICIES)
# What can be the matter with a fragment or a datagram.
REASONS = tuple(_netfast.FRAGMENT_REASONS)

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
    max_owed: int
    max_dropped: int
    seed: int | None


class Reassembler:
    """Puts fragments of IPv4 (RFC 791 3.2) and IPv6 (RFC 8200 4.5) together, without copying their data.

    `push` takes packets and gives those that go on, `poll` lets time pass, `events` tells what happened, `owed` which
    ICMP errors senders should get. Fragments belong together that have source, destination, identification and, for
    IPv4, the protocol in common, and came with one `context` and with the same VLAN tags.

    Time is an argument: ns on any clock that you own, or the times that packets have. It never goes back: an earlier
    time counts as the latest, and as one of the counters' `backward_steps`.

    - `policy`: who wins where IPv4 fragments overlap, one of `POLICIES`. `"drop"` ends the datagram for any overlap
      that is no exact duplicate, `"linux"` does what Linux does from 5.1 on; `"bsd"`, `"windows"`, `"first"` and
      `"last"` resolve overlaps, for analysis: they tell what a given host will have seen.
    - `policy_ipv6`: the same for IPv6, where only `"drop"` and `"linux"` are what RFC 5722 demands.
    - `timeout`, `timeout_ipv6`: seconds that a datagram may take from its first fragment to its last (RFC 1122 3.3.2;
      RFC 8200 4.5: 60).
    - `max_datagrams`, `max_memory` (bytes): of all that wait; beyond, the oldest datagram goes.
    - `source_share`: one source has at most one in so many of both; beyond, its own oldest goes.
    - `max_fragments`: of one datagram; beyond, it goes.
    - `max_disorder`: where so many other fragments of a source, or more, come between two of one IPv4 datagram, the
      older ones go, as with Linux's `ipfrag_max_dist`. 0 is no limit.
    - `wrap_safe`: a datagram ends before its sender's identifications can have come round, by the rate seen (RFC 4963).
    - `tombstone`: seconds for which what still comes of an ended datagram begins no new one; `max_tombstones` of them.
    - `max_pairs`: idle pairs of hosts whose identifications are remembered.
    - `verify_checksums`: that of TCP, UDP, ICMP and ICMPv6 of each reassembled datagram, which reads all its bytes.
    - `verify_headers`: fragments with a wrong IPv4 header checksum are dropped, as hosts do. Captures of senders that
      leave it to their network cards, or whose addresses were changed afterwards, have such headers throughout.
    - `min_fragment`: fragments with fewer bytes of data that are not the last are noted as excessively small.
    - `max_events`, `max_owed`, `max_dropped`: how much waits for `events`, `owed` and `dropped`; beyond, newer ones are
      lost and counted. 0 keeps none.
    - `report_completed`: a completed datagram is an event, too.
    - `seed`: of the tables' hashes, random unless given; below the limits nothing depends on it.

    Raises `ConfigError`, with the setting's name in `option`, for a value that cannot be.

    Threads: a lock guards it. `fork`: the child has its own copy. `pickle`: refused.
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
        verify_headers: bool = False,
        min_fragment: int = 64,
        max_events: int = 4_096,
        report_completed: bool = False,
        max_owed: int = 256,
        max_dropped: int = 0,
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
            "max_owed": max_owed,
            "max_dropped": max_dropped,
            "seed": seed,
        }
        self._native = _Reassembler(dict(settings))

    def push(
        self, packets: Any, now: int | None = None, *, context: int = 0, link: int | str | None = None
    ) -> Datagrams:
        """Takes packets in order and gives those that go on: whole datagrams, and packets that are no fragments.

        `packets` is a `PacketBatch` of a capture, which is not copied, or packets in any form that `netfast.write`
        takes. `now` (ns) is when they come; without it each comes at its own time, which it must have then, and a
        `Datagram` has the time of the fragment that completed it either way. `link` is the link type of bytes (Ethernet
        unless given).

        `context` keeps apart what must not be mixed though addresses are the same: ports, VRFs, tunnels.

        Time passes with the packets: datagrams whose time is over are given up, as `poll` does it.

        Headers before IP may be those of any link type but such as say how long the frame is (PPPoE, 802.3 with LLC):
        these packets go on as they are, and so does what a tunnel carries.
        """
        return self._native.push(packets, now, context=context, link=link)

    def poll(self, now: int) -> int:
        """Gives up the datagrams whose time is over at `now` (ns), and says how many.

        `2**64 - 1` ends all that wait, as at the end of a capture.
        """
        return self._native.poll(now)

    @property
    def next_timeout(self) -> int | None:
        """When `poll` will have something to do, in ns; `None` while nothing waits."""
        return self._native.next_timeout

    def events(self) -> list[Event]:
        """What happened since the last call, in order; at most `max_events` wait.

        An event's `kind` is `"completed"`, `"dropped"` (a datagram was given up, or one fragment), `"noted"` (it goes
        on) or `"overflow"` (events after those before were lost: `details["lost"]`). Its `details` are `reason` (one of
        `REASONS`), `src`, `dst`, `protocol` (of IPv4), `identification`, `context` (what `push` was given, or a number
        made of it and of the VLAN tags), and `fragments` and `bytes` of data that had come.
        """
        return [Event.of({"time_ns": 0, **row}) for row in self._native.events()]

    def owed(self) -> list[OwedError]:
        """ICMP errors that senders are owed since the last call, in order; at most `max_owed` wait."""
        return self._native.owed()

    def dropped(self) -> list[tuple[str, Packet]]:
        """Fragments dropped since the last call, each with the reason; at most `max_dropped` wait (none unless given).

        Those that waited are without what a frame has behind its IP packet.
        """
        return self._native.dropped()

    @property
    def counters(self) -> dict[str, Any]:
        """Counters.

        Every packet is in one place: `packets = not_fragments + atomic + completed + joined + held +
        sum(dropped.values())`. `completed` counts whole datagrams, `joined` the fragments that became part of another
        packet, `held` those that wait, `dropped` those dropped, by reason. Packets that have no IP header, or one that
        `push` does not look at, are not counted.

        `datagrams` began; `datagrams_dropped` were given up, by reason; `noted` counts what goes on, by reason.
        `completed_bytes` are the data of whole datagrams, `copied_bytes` what was copied: where there are more than 64
        pieces, where overlaps were resolved, and fragments of a block of more than 64 KiB, which would keep it.
        `checksum_good` and `checksum_bad` are transport checksums of whole datagrams. `events_lost`, `owed_lost` and
        `dropped_lost` found their queue full; `tombstones_forgotten` and `pairs_forgotten` their tables.
        """
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
    **settings: Unpack[ReassemblySettings],
) -> dict[str, Any]:
    """Copies a capture with its IP fragments put together, and returns counts.

    A whole datagram stands where its last fragment was, with that one's time and a comment (in pcapng) that says of
    how many fragments it was made, within what time, and whether its transport checksum is wrong. Fragments of
    datagrams that are never whole are left out, or with `keep_incomplete` written where they are given up, with their
    own times; those that still wait at the end of the capture are given up there, under `timeout`. All else is as it
    was, in order. Interfaces and VLANs are worlds of their own.

    `target`, the format, `filter` (which sees whole datagrams) and errors are those of `netfast.copy`; `settings` those
    of `Reassembler`. Time is that of the packets: a step forward beyond all timeouts counts as just beyond them.

    The result has `read`, `packets` (written), `filtered_out` (those that `filter` did not keep), `cut`, `bared`,
    `unfiltered` and `damage`, as `netfast.copy` warns of them, and `reassembly`: what the reassembler's `counters` are,
    whose `packets` are those read.
    """
    counts = _netfast.copy(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        filter=filter,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
        reassemble={**settings, "keep_incomplete": keep_incomplete},
    )
    of = counts["reassembly"]
    seen = of["not_fragments"] + of["atomic"] + of["completed"]
    if keep_incomplete:
        seen += sum(of["dropped"].values())
    counts["filtered_out"] = seen - counts["packets"] - sum(counts["unfiltered"].values())
    return counts
