"""Capture files as such: what one holds, one of its frames, copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from netfast import _netfast
from netfast.capture import Path, paths_of

__all__ = ["copy", "frame", "info"]

_Progress = Callable[[int, int], object]


def info(
    path: Path,
    *,
    filter: str | None = None,
    mmap: bool = False,
    lenient: bool = False,
    progress: _Progress | None = None,
) -> dict[str, Any]:
    """What one capture holds: format, interfaces, packets, bytes, times, drops, and what is damaged.

    The whole file is read. Damage does not raise here: it stands in `damage`, and where it ended the
    reading, in `error`, with `complete` false. With `filter` the counts are of the frames that it keeps;
    `file_packets` counts all. `progress` is called with the packets and bytes read so far; what it raises
    ends the call.

    Raises `OSError` for a file that cannot be opened, `ParseError` for one that is no capture.
    """
    report: dict[str, Any] = _netfast.info(
        os.fspath(path), filter=filter, mmap=mmap, lenient=lenient, progress=progress
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

    Times (in ns), link types, interfaces with their names, and comments and flags of packets are kept; of
    several captures, merged by time, the interfaces are numbered one after another. `filter` is a
    pcap-filter(7) expression, `limit` the most packets that are copied.

    Errors are those of `netfast.packets`, and `OSError` when the target takes no more. Whatever ends the
    copy, the packets that were copied until then are whole in the file.
    """
    return _netfast.copy(
        paths_of(path),
        target if isinstance(target, int) else os.fspath(target),
        filter=filter,
        limit=limit,
        mmap=mmap,
        lenient=lenient,
        progress=progress,
    )
