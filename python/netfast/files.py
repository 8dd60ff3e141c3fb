"""Capture files as such: what one holds, its frames, copies, and new ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any

from netfast import _netfast
from netfast._netfast import CaptureWriter, FrameIterator, Header, HeaderStack, Packet
from netfast.capture import Path, paths_of, words_of_damage, words_of_unfiltered
from netfast.errors import ConfigError
from netfast.packet import is_scapy

__all__ = ["copy", "frame", "frames", "info", "write"]

_Progress = Callable[[int, int], object]


def info(
    path: Path,
    *,
    filter: str | None = None,
    mmap: bool = False,
    lenient: bool = False,
    write: Path | None = None,
    progress: _Progress | None = None,
) -> dict[str, Any]:
    """What one capture holds: format, interfaces, packets, bytes, times, drops, and what is damaged.

    The whole file is read. Damage does not raise here: it stands in `damage`, and where it ended the
    reading, in `error`, with `complete` false. With `filter` the counts are of the frames that it keeps;
    `file_packets` counts all, and `unfiltered` those that the filter cannot be asked about, by link type.
    With `write` the frames that the filter keeps are copied there as `copy` does it, in the same pass: `copied`
    says how many, `copies_cut` how many of them were cut, `copies_bared` how many lost their options.

    `progress` is called with the packets and bytes read so far; what it raises ends the call.

    Raises `OSError` for a file that cannot be opened, `ParseError` for one that is no capture.
    """
    report: dict[str, Any] = _netfast.info(
        os.fspath(path),
        filter=filter,
        mmap=mmap,
        lenient=lenient,
        write=None if write is None else os.fspath(write),
        progress=progress,
    )
    return report


def frame(
    path: Path | Iterable[Path], number: int, *, mmap: bool = False, lenient: bool = False
) -> dict[str, Any] | None:
    """Frame `number` (from 1) of a capture: its bytes as `data`, time, link type, interface and comments.

    `None` when the capture has fewer frames; otherwise errors are those of `netfast.packets`.
    """
    return next(iter(frames(path, [number], mmap=mmap, lenient=lenient)), None)


def frames(
    path: Path | Iterable[Path],
    numbers: Iterable[int | tuple[int, int]] = (),
    *,
    filter: str | None = None,
    mmap: bool = False,
    lenient: bool = False,
) -> FrameIterator:
    """Frames of a capture one by one, each as `frame` gives it, in the order of the capture.

    `numbers` are those of the frames (from 1), or first and last of ranges; without any, all frames come. With
    `filter` only those of them that it keeps. Errors are those of `netfast.packets`.
    """
    wanted = [(number, number) if isinstance(number, int) else number for number in numbers]
    if wrong := [pair for pair in wanted if not 1 <= pair[0] <= pair[1] < 1 << 64]:
        raise ConfigError(f"numbers: {wrong[0]} is no range of frames; they count from 1", option="numbers")
    return FrameIterator(paths_of(path), wanted, filter=filter, mmap=mmap, lenient=lenient)


def copy(
    path: Path | Iterable[Path],
    target: Path | int,
    *,
    filter: str | None = None,
    limit: int | None = None,
    mmap: bool = False,
    lenient: bool = False,
    progress: _Progress | None = None,
) -> int:
    """Copies packets to a file (or open descriptor) and says how many.

    The format is what the file's name says: `.pcap` and `.cap` mean pcap, anything else pcapng. Compressed files
    (`.gz`, `.zst`) are not written. A pcap file has one link type and neither interfaces nor options of packets: a
    packet of a second link type raises `ConfigError`, and a `UserWarning` says how many packets lost comments
    or other options.

    In pcapng times (in ns), link types, interfaces with their names, and the options of packets are kept (custom ones
    that say that they are not to be copied are not); of several captures, merged by time, the interfaces are
    numbered one after another. `filter` is a pcap-filter(7) expression, `limit` the most packets that are
    copied.

    Wireshark and tcpdump refuse a file with a packet longer than 262,144 bytes (USB and D-Bus: 128 MiB). Such
    packets are cut to that, with their length on the wire kept, and a `UserWarning` says how many.

    A warning tells of packets that were left out because the filter cannot be asked about their link type.

    Errors are those of `netfast.packets`, and `OSError` when the target takes no more. Whatever ends the
    copy, the packets that were copied until then are whole in the file.
    """
    counts = copy_counting(
        path, target, filter=filter, limit=limit, mmap=mmap, lenient=lenient, progress=progress
    )
    for words in words_of_copy(counts["packets"], counts["cut"], counts["bared"]):
        warnings.warn(words, stacklevel=2)
    if counts["unfiltered"]:
        warnings.warn(words_of_unfiltered(counts["unfiltered"]), stacklevel=2)
    for capture in counts["damage"]:
        warnings.warn(words_of_damage(capture), stacklevel=2)
    return int(counts["packets"])


def copy_counting(
    path: Path | Iterable[Path],
    target: Path | int,
    *,
    filter: str | None = None,
    limit: int | None = None,
    mmap: bool = False,
    lenient: bool = False,
    progress: _Progress | None = None,
) -> dict[str, Any]:
    """As `copy`, without a warning: how many `packets` were copied, how many of them were `cut` or lost their
    options (`bared`), how many are `unfiltered`, by link type, and the `damage` that was skipped."""
    return _netfast.copy(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        filter=filter,
        limit=limit,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
    )


def words_of_copy(copied: int, cut: int, bared: int) -> Iterator[str]:
    """What is told of packets that `copy` did not copy whole."""
    if cut:
        longest = "the longest that other programs read (262,144 bytes for most link types)"
        yield f"{cut:,} of {copied:,} packets cut to {longest}"
    if bared:
        yield f"{bared:,} of {copied:,} packets lost comments or other options, which pcap does not have; write pcapng"


def form_of(path: Path) -> str:
    """The format that a capture's name says, as copies have it."""
    ending = PurePath(os.fspath(path)).suffix.lower()
    if ending in (".gz", ".zst", ".bz2", ".xz", ".lz4"):
        name = os.fspath(path)
        raise ConfigError(
            f"{name}: captures are not written compressed; write it without {ending} and compress it then",
            option="path",
        )
    return "pcap" if ending in (".pcap", ".cap") else "pcapng"


def write(path: Path, packets: Any, *, format: str | None = None, link: int | str | None = None) -> int:
    """Writes packets to a capture file and returns how many.

    `packets` is one packet or an iterable of packets. Each is a `Packet`, a header or a stack of headers,
    bytes, a packet of scapy's, or one of these with its time as `(time_ns, packet)` or
    `(time_ns, packet, wire_len)`; a `PacketBatch` stands for its packets.

    The file is emptied first: name another than the capture that the packets are read from.

    A `Packet` keeps its time, its link type and its length on the wire, and so does scapy's. What has no
    time gets that of the packet before it (0 for the first).

    Headers say their link type: Ethernet is 1, IPv4 and IPv6 are 101 (`"RAW"`), LinuxSLL is 113 and so on.
    `link` is that of bytes, as a LINKTYPE_ number or a name (without it they are Ethernet), and takes
    precedence over what headers say.

    `format` is `"pcapng"` or `"pcap"`; without it the file's name decides: `.pcap` and `.cap` mean pcap with
    nanoseconds, anything else pcapng. Compressed files (`.gz`, `.zst`) are not written.
    A pcap file has one link type, pcapng an interface for each. The path `-` is standard output.

    Raises `OSError` when writing fails (the packets before are whole), `ConfigError` for a second link type
    in pcap, for headers without a link type and for a time that pcap cannot hold, `TypeError` for what is
    no packet.
    """
    form = format or form_of(path)
    items = [packets] if _is_one(packets) else packets
    if not isinstance(items, Iterable):
        raise TypeError(f"packets is {type(packets).__name__}: give one packet or an iterable of packets")
    writer = CaptureWriter(os.fspath(path), form, link=link)
    try:
        for item in items:
            writer.write(item)
    finally:
        count = writer.close()
    return count


def _is_one(packets: Any) -> bool:
    """Whether this is a single packet; headers and bytes can be iterated, too."""
    if isinstance(packets, tuple):
        return len(packets) in (2, 3) and isinstance(packets[0], int)
    one = (Packet, Header, HeaderStack, bytes, bytearray, memoryview, str)
    return isinstance(packets, one) or is_scapy(packets)
