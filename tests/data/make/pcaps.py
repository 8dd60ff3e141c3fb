"""Read and write pcap and pcapng, as little of it as the makers of captures need.

As a program: pcaps.py clean IN OUT takes from a pcapng file what tells of the machine.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

Record = tuple[int, int, bytes]  # time in ns, length on the wire, bytes

SECTION, INTERFACE, SIMPLE, NAMES, STATISTICS, ENHANCED = 0x0A0D0D0A, 1, 3, 4, 5, 6
OLD_PACKET, CUSTOM = 2, 0x00000BAD
MAGIC = 0x1A2B3C4D


def read_pcap(path: Path) -> tuple[int, list[Record]]:
    """The link type and the records of a little-endian pcap file."""
    data = path.read_bytes()
    magic, kind = struct.unpack_from("<I16xI", data)
    unit = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[magic]
    records, at = [], 24
    while at < len(data):
        seconds, part, caught, length = struct.unpack_from("<4I", data, at)
        records.append((seconds * 10**9 + part * unit, length, data[at + 16 : at + 16 + caught]))
        at += 16 + caught
    return kind, records


def write_pcap(
    path: Path,
    kind: int,
    records: Iterable[Record],
    *,
    order: str = "<",
    nano: bool = False,
    snap: int = 262144,
) -> None:
    """Write a pcap file; `order` is < for little-endian, > for big-endian."""
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap, kind)]
    for time, length, data in records:
        part = time % 10**9 // (1 if nano else 1000)
        out.append(struct.pack(order + "4I", time // 10**9, part, len(data), length) + data)
    path.write_bytes(b"".join(out))


def options(*pairs: tuple[int, bytes], order: str = "<") -> bytes:
    """Options of a pcapng block, with the end of options; nothing for none."""
    if not pairs:
        return b""
    coded = b"".join(struct.pack(order + "HH", code, len(value)) + padded(value) for code, value in pairs)
    return coded + bytes(4)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body = padded(body)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def section(*pairs: tuple[int, bytes], order: str = "<") -> bytes:
    return block(SECTION, struct.pack(order + "IHHq", MAGIC, 1, 0, -1) + options(*pairs, order=order), order)


def interface(kind: int, *pairs: tuple[int, bytes], snap: int = 0, order: str = "<") -> bytes:
    return block(INTERFACE, struct.pack(order + "HHI", kind, 0, snap) + options(*pairs, order=order), order)


def enhanced(
    number: int, units: int, data: bytes, length: int, *pairs: tuple[int, bytes], order: str = "<"
) -> bytes:
    """A packet; `units` is its time in the units of its interface."""
    head = struct.pack(order + "5I", number, units >> 32, units & 0xFFFFFFFF, len(data), length)
    return block(ENHANCED, head + padded(data) + options(*pairs, order=order), order)


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and body of each block of a little-endian pcapng file."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, data[at + 8 : at + length - 4]
        at += length


def without(body: bytes, start: int, codes: set[int]) -> bytes:
    """A block's body without the options of these codes."""
    kept, at = [], start
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        if code not in codes:
            kept.append((code, body[at + 4 : at + 4 + length]))
        at += 4 + length + -length % 4
    return body[:start] + options(*kept)


def clean(data: bytes) -> bytes:
    """Take hardware and operating system out of section headers and interfaces."""
    out = []
    for kind, body in blocks(data):
        if kind == SECTION:
            body = without(body, 16, {2, 3})
        elif kind == INTERFACE:
            body = without(body, 8, {12, 15})
        out.append(block(kind, body))
    return b"".join(out)


if __name__ == "__main__":
    if sys.argv[1] != "clean":
        sys.exit(__doc__)
    Path(sys.argv[3]).write_bytes(clean(Path(sys.argv[2]).read_bytes()))
