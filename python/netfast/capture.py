"""Captures: packets as columns, flows as records, in Arrow.

Nothing here imports a DataFrame library: what `packets` and `flows` return speaks Arrow's PyCapsule
interface, which polars, pyarrow, duckdb and pandas take without a copy of the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from netfast._netfast import Capture as _Capture
from netfast._netfast import (
    CapturedBytes,
    FlowBatch,
    FlowIterator,
    FlowStream,
    FlowTable,
    PacketBatch,
    PacketColumns,
    PacketIterator,
    PacketStream,
)
from netfast.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Capture",
    "CapturedBytes",
    "FlowBatch",
    "FlowIterator",
    "FlowStream",
    "FlowTable",
    "PacketBatch",
    "PacketColumns",
    "PacketIterator",
    "PacketStream",
    "flows",
    "packets",
]

# Whether fragments are put together; a mapping says how, with the settings of `netfast.Reassembler`.
Reassemble = bool | Mapping[str, Any]

Path = str | os.PathLike[str]


def _no_path(given: object) -> TypeError:
    kind = (
        f"bytes ({len(given):,} of them)" if isinstance(given, (bytes, bytearray)) else type(given).__name__
    )
    hint = "its name, or - for standard input" if hasattr(given, "read") else "str or os.PathLike, or several"
    return TypeError(f"path is {kind}: give a path ({hint}); single packets in memory go to netfast.dissect")


def paths_of(path: Path | Iterable[Path]) -> list[str]:
    """One path or several, as a list of text."""
    if isinstance(path, (str, os.PathLike)):
        return [os.fspath(path)]
    if (
        isinstance(path, (bytes, bytearray, memoryview))
        or not isinstance(path, Iterable)
        or hasattr(path, "read")
    ):
        raise _no_path(path)
    paths = []
    for each in path:
        if not isinstance(each, (str, os.PathLike)):
            raise _no_path(each)
        paths.append(os.fspath(each))
    if paths.count("-") > 1:
        raise ConfigError("standard input (-) is named twice; it can be read once", option="path")
    return paths


def _settings(reassemble: Reassemble) -> dict[str, Any] | None:
    """The settings of reassembly; nothing where there is none."""
    if isinstance(reassemble, Mapping):
        return dict(reassemble)
    if not isinstance(reassemble, bool):
        raise TypeError(
            f"reassemble is {type(reassemble).__name__}: give True, or a mapping of netfast.Reassembler's settings"
        )
    return {} if reassemble else None


def words_of_unfiltered(unfiltered: Mapping[int, int]) -> str:
    """In words: packets that a filter could not be asked about, by link type."""
    parts = (f"{count:,} of link type {link}" for link, count in unfiltered.items())
    return f"left out packets that the filter cannot be asked about: {', '.join(parts)}"


def words_of_damage(capture: Mapping[str, Any]) -> str:
    """In words: what is damaged of a capture, one of the result's `damage`."""
    first = capture["places"][0]
    what = first["what"] if first["what"].startswith("frame ") else f"frame {first['frame']}: {first['what']}"
    places = f"{capture['count']:,} places, first " if capture["count"] > 1 else ""
    skipped = f"skipped {capture['skipped']:,} damaged bytes" if capture["skipped"] else "damaged"
    return f"{capture['path']}: {skipped} ({places}{what})"


def packets(
    path: Path | Iterable[Path],
    *,
    filter: str | None = None,
    inner: bool = False,
    checksums: bool = True,
    text_addresses: bool = False,
    mmap: bool = False,
    lenient: bool = False,
    reassemble: Reassemble = False,
) -> PacketStream:
    """The packets of a capture as columns.

    `path` is a pcap or pcapng file, plain or in gzip or zstd, a FIFO, or `-` for standard input; several
    paths are one input, merged by time. The result gives Arrow data to whoever asks
    (`polars.DataFrame(...)`, `pyarrow.table(...)`, `duckdb`), and iterates in constant memory over
    `PacketColumns` of some thousand rows.

    - `filter`: a pcap-filter(7) expression, as tcpdump takes it: `"tcp port 443 and net 2001:db8::/32"`.
      Where an input has several link types, packets of those that the expression cannot be asked about are
      left out, and counted by the result's `unfiltered`.
    - `inner`: describe the innermost IP packet of tunnels in place of the outermost.
    - `checksums`: verify them; without, the columns `l3_checksum` and `l4_checksum` are null and reading is
      faster.
    - `text_addresses`: `src` and `dst` as text in place of 16-byte binary (IPv4 mapped into IPv6).
    - `mmap`: map the file in place of reading it. **If another program shortens a mapped file, the process
      dies.**
    - `lenient`: go on after damage where the format allows it. The result's `damage` says, after a run, what was
      skipped: for each damaged capture its `path`, the `count` of places, the bytes `skipped`, and `places` (the
      first thousand) with `frame`, `offset`, `skipped` and `what`.
    - `reassemble`: put fragments together before the filter is asked, so that it sees whole datagrams: such a row
      has the time and the frame number of the fragment that came last. Fragments that never become whole are given
      as they came, where they are given up (`{"keep_incomplete": False}`: not at all). The result's `reassembly`
      has counters.

    The result's `counters` say of the latest run how many `packets` were read, how many the filter `kept`, how
    many are `unfiltered`, and how many (decompressed) `bytes` were read.

    Raises `OSError` for a file that cannot be read, `ParseError` for one that is no capture, `ConfigError`
    for a filter that does not compile. Damage in the middle raises `ParseError` with `frame` and `offset`
    after all packets before it were given (of several files: after all packets of the others, too); it then
    also stands in the result's `error`. Ctrl-C ends a wait for a pipe, and with it the reading (libraries that
    take Arrow data make an exception of their own of it).
    """
    return PacketStream(
        paths_of(path),
        filter=filter,
        inner=inner,
        checksums=checksums,
        text_addresses=text_addresses,
        mmap=mmap,
        lenient=lenient,
        reassemble=_settings(reassemble),
    )


def flows(
    path: Path | Iterable[Path],
    *,
    filter: str | None = None,
    idle: float = 120.0,
    active: float = 1800.0,
    max_flows: int = 1 << 20,
    inner: bool = False,
    stats: bool = False,
    first_packets: int = 20,
    text_addresses: bool = False,
    threads: int = 1,
    seed: int | None = None,
    mmap: bool = False,
    lenient: bool = False,
    write: Path | None = None,
    reassemble: Reassemble = False,
) -> FlowStream:
    """The two-way flows of a capture, a row each, as they end.

    A flow is keyed by VLAN, addresses, protocol and ports; `src` is who sent its first packet. Path,
    `filter`, `mmap`, `lenient`, `text_addresses` and errors are those of `packets`.

    - `idle`: seconds without a packet after which a flow ends.
    - `active`: seconds after its first packet at which the record of a flow that goes on ends.
    - `max_flows`: flows in the table; at the limit a flow long unused is evicted, which its record says.
    - `inner`: flows of the innermost packets of tunnels.
    - `stats`: add moments of packet size and inter-arrival time each way, and the lengths and directions of
      the first `first_packets` (at most 255) packets.
    - `threads`: records are the same with any number; their order is not. A pipe is read on one.
    - `seed`: of the table's hash, random unless given. Only which flow is evicted at `max_flows` depends on it.
    - `write`: also write the packets that the filter keeps to this file, as `netfast.copy` does it, in the same
      pass; the result's `copied` says how many, how many of them were cut, and how many lost their options.
    - `reassemble`: as of `packets`. A datagram of several fragments is one packet of its flow then, of the bytes that
      it has whole. Without, each fragment is one, and those behind the first are of the flow that the first one
      names: a fragment that comes before its datagram's first is of none then. What `write` copies is whole, too.
    """
    return FlowStream(
        paths_of(path),
        filter=filter,
        idle=idle,
        active=active,
        max_flows=max_flows,
        inner=inner,
        stats=stats,
        first_packets=first_packets,
        text_addresses=text_addresses,
        threads=threads,
        seed=seed,
        mmap=mmap,
        lenient=lenient,
        write=None if write is None else os.fspath(write),
        reassemble=_settings(reassemble),
    )


class Capture:
    """Reads captures packet by packet: iterates over `PacketBatch` of up to 256 packets.

    A batch's packets stand in the block of memory that they were read into. A `Packet`, or a memoryview of
    its data, keeps that block alive: keep what you need and let go of the rest. `path`, `filter`, `mmap`,
    `lenient`, `reassemble` and errors are those of `packets`. A capture is read once; open it again to read it again.

    Threads: a lock guards the reader; one iteration at a time. `fork`: open captures after it. `pickle`:
    refused.
    """

    __slots__ = ("_native",)

    def __init__(
        self,
        path: Path | Iterable[Path],
        *,
        filter: str | None = None,
        mmap: bool = False,
        lenient: bool = False,
        reassemble: Reassemble = False,
    ) -> None:
        self._native = _Capture(
            paths_of(path), filter=filter, mmap=mmap, lenient=lenient, reassemble=_settings(reassemble)
        )

    def __iter__(self) -> Capture:
        return self

    def __next__(self) -> PacketBatch:
        return next(self._native)

    @property
    def error(self) -> BaseException | None:
        """The exception that ended the reading early, or `None`."""
        return self._native.error

    @property
    def link_types(self) -> list[int]:
        """Link types (LINKTYPE_ numbers) of the interfaces met so far."""
        return self._native.link_types

    @property
    def unfiltered(self) -> dict[int, int]:
        """Packets that the filter could not be asked about, so that they were left out, by link type."""
        return self._native.unfiltered

    @property
    def damage(self) -> list[dict[str, Any]]:
        """What is damaged of each capture, as far as it was read; see `packets`."""
        return self._native.damage

    @property
    def reassembly(self) -> dict[str, Any]:
        """Counters of reassembly; zeros without."""
        return self._native.reassembly

    def progress(self) -> tuple[int, int]:
        """Packets and (decompressed) bytes read so far, those included that the filter did not keep."""
        return self._native.progress()

    def close(self) -> None:
        """Closes the files; packets that were given stay valid."""
        self._native.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._native)
