#!/usr/bin/env python3
"""Make broken captures from the good ones: damaged.py [FOLDER]

Besides the files it writes manifest.json: for each file what is wrong with it, how many packets
stand before the damage, the byte offset where the damage begins (null for none), and what a
reader is to make of it:

- `error`: the packets before the damage are delivered, then an error;
- `odd`: the file can be read to its end, all `packets` are delivered, and what is strange about
  them (`odd` says what) must not do harm.

The offset is that of the first byte of the smallest unit of the format that cannot be what it
should: the file header, a record (with its header), a block.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from pcaps import block, enhanced, interface, read_pcap, section

CAPTURES = Path(__file__).resolve().parent.parent
GOOD = CAPTURES / "dns-udp.pcap"
RECORD = 16
KEEP = 5  # packets before the damage, where there are any

Case = tuple[str, bytes, int, int | None, str, str]
CASES: list[Callable[[], list[Case]]] = []


def cases(make: Callable[[], list[Case]]) -> Callable[[], list[Case]]:
    CASES.append(make)
    return make


def good() -> bytes:
    return GOOD.read_bytes()


def start_of(number: int) -> int:
    """The offset of a record of the good file, counted from 0."""
    data, at = good(), 24
    for _ in range(number):
        at += RECORD + struct.unpack_from("<I", data, at + 8)[0]
    return at


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@cases
def not_captures() -> list[Case]:
    total = len(read_pcap(GOOD)[1])
    text = b"This is not a capture, but a text that is long enough to hold a file header.\n" * 4
    return [
        ("not-a-capture.pcap", text, 0, 0, "error", "a text file"),
        ("empty.pcap", b"", 0, 0, "error", "a file without a byte"),
        ("one-byte.pcap", good()[:1], 0, 0, "error", "the first byte of a pcap file"),
        ("header-cut.pcap", good()[:17], 0, 0, "error", "the file ends within the pcap file header"),
        ("header-only.pcap", good()[:24], 0, None, "odd", "a pcap file header and no packet"),
        ("version-99.pcap", changed(good(), 4, struct.pack("<HH", 99, 0)), total, None, "odd",
         "version 99.0, which tshark reads and tcpdump does not"),
    ]  # fmt: skip


@cases
def cut_records() -> list[Case]:
    at = start_of(KEEP)
    return [
        ("record-header-cut.pcap", good()[: at + 9], KEEP, at, "error", "ends within a record header"),
        ("record-cut.pcap", good()[: at + RECORD + 20], KEEP, at, "error", "ends within a packet"),
        ("record-no-data.pcap", good()[: at + RECORD], KEEP, at, "error", "ends right after a record header"),
    ]


@cases
def lying_lengths() -> list[Case]:
    at = start_of(KEEP)
    caught, length = struct.unpack_from("<II", good(), at + 8)
    huge = changed(good(), at + 8, struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF))
    over = changed(good(), at + 8, struct.pack("<II", 300_000_000, 300_000_000))
    zero = good()[:at] + struct.pack("<4I", *struct.unpack_from("<II", good(), at), 0, 60) + good()[at:]
    longer = changed(good(), at + 12, struct.pack("<I", caught - 10))
    none = changed(good(), at + 12, struct.pack("<I", 0))
    total = len(read_pcap(GOOD)[1])
    return [
        ("record-4-gib.pcap", huge, KEEP, at, "error", "a record says that it is 4 GiB long"),
        ("record-300-mb.pcap", over, KEEP, at, "error", "a record says that it is 300 MB long"),
        ("record-past-end.pcap", changed(good(), at + 8, struct.pack("<I", 60_000)), KEEP, at, "error",
         "a record says that it is longer than the rest of the file"),
        ("record-empty.pcap", zero, total + 1, None, "odd", "a record of no bytes, of a packet of 60"),
        ("caught-more.pcap", longer, total, None, "odd", f"caught {caught}, but {length - 10} on the wire"),
        ("length-zero.pcap", none, total, None, "odd", f"caught {caught}, but 0 on the wire"),
    ]  # fmt: skip


@cases
def strange_headers() -> list[Case]:
    total = len(read_pcap(GOOD)[1])
    at = start_of(KEEP)
    stamp = {
        "future": struct.pack("<II", 0xFFFFFFFF, 999_999),
        "past": bytes(8),
        "fraction": struct.pack("<II", 1_700_000_000, 0xFFFFFFFF),
    }
    return [
        ("link-type-unknown.pcap", changed(good(), 20, struct.pack("<I", 0x0FFF)), total, None, "odd",
         "a link type that nobody has"),
        ("snap-length-zero.pcap", changed(good(), 16, bytes(4)), total, None, "odd", "a snap length of 0"),
        ("time-2106.pcap", changed(good(), at, stamp["future"]), total, None, "odd",
         "one time stamp at the end of 32 bits"),
        ("time-1970.pcap", changed(good(), at, stamp["past"]), total, None, "odd", "one time stamp of 0"),
        ("time-fraction.pcap", changed(good(), at, stamp["fraction"]), total, None, "odd",
         "a time stamp with 4294 seconds of microseconds"),
    ]  # fmt: skip


def packet_blocks(count: int) -> list[bytes]:
    return [enhanced(0, time // 1000, data, length) for time, length, data in read_pcap(GOOD)[1][:count]]


def with_block(bad: bytes, before: int = KEEP) -> tuple[bytes, int]:
    """A pcapng file in which a bad block follows some packets, and good packets follow it."""
    head = section() + interface(1) + b"".join(packet_blocks(before))
    return head + bad + b"".join(packet_blocks(3)), len(head)


@cases
def bad_blocks() -> list[Case]:
    packet = packet_blocks(1)[0]
    size = len(packet)
    kinds = {
        "block-trailer.pcapng": (changed(packet, size - 4, struct.pack("<I", size + 4)),
                                 "the two lengths of a block differ"),
        "block-length-odd.pcapng": (changed(packet, 4, struct.pack("<I", size - 3)),
                                    "a block length that is no multiple of four"),
        "block-length-short.pcapng": (changed(packet, 4, struct.pack("<I", 8)),
                                      "a block length below the smallest"),
        "block-length-zero.pcapng": (changed(packet, 4, bytes(4)), "a block length of 0"),
        "block-4-gib.pcapng": (changed(packet, 4, struct.pack("<I", 0xFFFFFFFC)), "a block of 4 GiB"),
        "interface-absurd.pcapng": (changed(packet, 8, struct.pack("<I", 0x7FFFFFFF)),
                                    "a packet of interface 2147483647"),
        "interface-missing.pcapng": (changed(packet, 8, struct.pack("<I", 1)),
                                     "a packet of an interface that is not described"),
        "packet-past-block.pcapng": (changed(packet, 20, struct.pack("<I", size)),
                                     "a packet longer than its block"),
        "packet-block-small.pcapng": (block(6, bytes(8)), "a packet block too short for its fields"),
        "section-magic.pcapng": (block(0x0A0D0D0A, b"\x01\x02\x03\x04" + bytes(12)),
                                 "a section header with a wrong byte order magic"),
        "section-version.pcapng": (changed(section(), 12, struct.pack("<H", 9)),
                                   "a section of major version 9"),
    }  # fmt: skip
    made: list[Case] = []
    for name, (bad, what) in kinds.items():
        data, at = with_block(bad)
        made.append((name, data, KEEP, at, "error", what))
    return made


@cases
def cut_blocks() -> list[Case]:
    data, at = with_block(packet_blocks(1)[0])
    start = section() + interface(1)
    lone = section() + packet_blocks(1)[0]
    return [
        ("block-header-cut.pcapng", data[: at + 6], KEEP, at, "error", "ends within a block header"),
        ("block-cut.pcapng", data[: at + 40], KEEP, at, "error", "ends within a packet block"),
        ("section-cut.pcapng", data[:20], 0, 0, "error", "ends within the section header"),
        ("section-only.pcapng", section(), 0, None, "odd", "a section header and nothing else"),
        ("no-packets.pcapng", start, 0, None, "odd", "a section and an interface, no packet"),
        ("no-interface.pcapng", lone, 0, len(section()), "error", "a packet without any interface"),
    ]


@cases
def strange_blocks() -> list[Case]:
    made: list[Case] = []
    unknown, _ = with_block(block(0x0BADC0DE, bytes(32)) + block(0x80000001, b"local"))
    made.append(("blocks-unknown.pcapng", unknown, KEEP + 3, None, "odd", "blocks of unknown types"))
    empty, _ = with_block(enhanced(0, 0, b"", 0))
    made.append(("packet-empty.pcapng", empty, KEEP + 4, None, "odd", "a packet of no bytes, at time 0"))
    future, _ = with_block(enhanced(0, 2**64 - 1, b"\0" * 60, 60))
    made.append(("time-far.pcapng", future, KEEP + 4, None, "odd", "a time stamp of 584,942 years"))
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 2, 9999) + b"name"
    options, at = with_block(block(1, body))
    what = "an option longer than its block, on an interface that no packet uses"
    made.append(("option-past-block.pcapng", options, KEEP, at, "error", what))
    for name, unit in ("unit-absurd", 0xFF), ("unit-fine", 18), ("unit-tiny", 127):
        data = section() + interface(1, (9, bytes([unit]))) + b"".join(packet_blocks(KEEP))
        made.append((f"{name}.pcapng", data, KEEP, None, "odd", f"a time resolution byte of {unit:#04x}"))
    many = section() + interface(0x0FFF) * 3000 + b"".join(packet_blocks(KEEP))
    what = "3000 interfaces of an unknown link type"
    made.append(("interfaces-3000.pcapng", many, KEEP, None, "odd", what))
    return made


@cases
def strange_packets() -> list[Case]:
    made: list[Case] = []
    ethernet = bytes.fromhex("02000000010202000000010186dd")
    ends = bytes.fromhex("20010db800010000000000000000000120010db8000100000000000000000002")

    def one(name: str, frame: bytes, what: str) -> None:
        path = Path(name)
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        record = struct.pack("<4I", 1_700_000_000, 0, len(frame), len(frame)) + frame
        made.append((path.name, head + record * 2, 2, None, "odd", what))

    def ipv6(first: int, chain: bytes) -> bytes:
        return ethernet + struct.pack("!IHBB", 0x60000000, len(chain), first, 64) + ends + chain

    options = bytes([60, 0, 1, 4, 0, 0, 0, 0])
    one("extensions-endless.pcap", ipv6(60, options * 8000), "8000 destination option headers, and no end")
    hops = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    one("hop-by-hop-many.pcap", ipv6(0, hops * 180), "180 hop-by-hop headers")
    pads = bytes([17, 255]) + bytes(2046)
    one("options-pad1.pcap", ipv6(60, pads + bytes(8)), "2046 options of one byte")
    one("fragments-nested.pcap", ipv6(44, bytes([44, 0, 0, 1, 0, 0, 0, 1]) * 150), "150 fragment headers")
    outer = b"".join(
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 * (60 - n), n, 0, 64, 4, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
        for n in range(60)
    )
    one("ipip-endless.pcap", ethernet[:12] + b"\x08\0" + outer, "60 IPv4 headers in each other")
    one("vlan-endless.pcap", ethernet[:12] + b"\x81\0\0\5" * 300 + b"\x08\0", "300 VLAN tags")
    labels = b"\0\x06\x40\x40" * 300
    one("mpls-endless.pcap", ethernet[:12] + b"\x88\x47" + labels, "300 MPLS labels, none the last")
    return made


@cases
def broken_compression() -> list[Case]:
    packed = gzip.compress(good(), mtime=0)
    at = start_of(KEEP)
    plain = "(the offset is that in the uncompressed file)"
    stored = gzip.compress(good()[: at + 30], mtime=0)
    return [
        ("gzip-of-cut.pcap.gz", stored, KEEP, at, "error", f"ends within a packet {plain}"),
        ("gzip-not.pcap.gz", packed[:10] + b"\xff" * 40, 0, 0, "error", "a gzip header and no gzip stream"),
    ]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CAPTURES / "damaged"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {}
    for make in CASES:
        for name, data, packets, offset, outcome, what in make():
            (folder / name).write_bytes(data)
            manifest[name] = {"what": what, "outcome": outcome, "packets": packets, "offset": offset}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
