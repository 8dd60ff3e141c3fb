"""Capture files as such: what one holds, one of its frames, copies, and new ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from netfast import _netfast
from netfast._netfast import CaptureWriter, Header, HeaderStack, Packet
from netfast.capture import Path, paths_of, words_of_unfiltered
from netfast.packet import is_scapy

__all__ = ["copy", "frame", "info", "write"]

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
    says how many, `copies_cut` how many of them were cut.

    `progress` is called with the packets and bytes read so far; what it raises
    ends the call.

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
    found: dict[str, Any] | None = _netfast.read_frame(paths_of(path), number, mmap=mmap, lenient=lenient)
    return found


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
    """Copies packets to a pcapng file (or open descriptor) and says how many.

    Times (in ns), link types, interfaces with their names, and the options of packets are kept (custom ones
    that say that they are not to be copied are not); of several captures, merged by time, the interfaces are
    numbered one after another. `filter` is a pcap-filter(7) expression, `limit` the most packets that are
    copied.

    Wireshark and tcpdump refuse a file with a packet longer than 262,144 bytes (USB and D-Bus: 128 MiB). Such
    packets are cut to that, with their length on the wire kept, and a `UserWarning` says how many.

    A warning tells of packets that were left out because the filter cannot be asked about their link type.

    Errors are those of `netfast.packets`, and `OSError` when the target takes no more. Whatever ends the
    copy, the packets that were copied until then are whole in the file.
    """
    copied, cut, unfiltered = copy_counting(
        path, target, filter=filter, limit=limit, mmap=mmap, lenient=lenient, progress=progress
    )
    if cut:
        warnings.warn(words_of_cuts(copied, cut), stacklevel=2)
    if unfiltered:
        warnings.warn(words_of_unfiltered(unfiltered), stacklevel=2)
    return copied


def copy_counting(
    path: Path | Iterable[Path],
    target: Path | int,
    *,
    filter: str | None = None,
    limit: int | None = None,
    mmap: bool = False,
    lenient: bool = False,
    progress: _Progress | None = None,
) -> tuple[int, int, dict[int, int]]:
    """As `copy`, without a warning: how many packets were copied, how many of them were cut, and how
    many the filter could not be asked about, by link type."""
    return _netfast.copy(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        filter=filter,
        limit=limit,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
    )


def words_of_cuts(copied: int, cut: int) -> str:
    """What is told of packets that `copy` cut."""
    longest = "the longest that other programs read (262,144 bytes for most link types)"
    return f"{cut:,} of {copied:,} packets cut to {longest}"


def write(path: Path, packets: Any, *, format: str | None = None, link: int | str | None = None) -> int:
    """Writes packets to a capture file and returns how many.

    `packets` is one packet or an iterable of packets. Each is a `Packet`, a header or a stack of headers,
    bytes, a packet of scapy's, or one of these with its time as `(time_ns, packet)` or
    `(time_ns, packet, wire_len)`; a `PacketBatch` stands for its packets.

    A `Packet` keeps its time, its link type and its length on the wire, and so does scapy's. What has no
    time gets that of the packet before it (0 for the first).

    Headers say their link type: Ethernet is 1, IPv4 and IPv6 are 101 (`"RAW"`), LinuxSLL is 113 and so on.
    `link` is that of bytes, as a LINKTYPE_ number or a name (without it they are Ethernet), and takes
    precedence over what headers say.

    `format` is `"pcapng"` or `"pcap"`; without it the file's name decides: `.pcap` means pcap with
    nanoseconds, anything else pcapng. A pcap file has one link type, pcapng an interface for each.

    Raises `OSError` when writing fails (the packets before are whole), `ConfigError` for a second link type
    in pcap, for headers without a link type and for a time that pcap cannot hold, `TypeError` for what is
    no packet.
    """
    form = format or ("pcap" if os.fspath(path).endswith(".pcap") else "pcapng")
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
