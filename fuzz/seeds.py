#!/usr/bin/env python3
"""Seeds for the fuzzer, from the captures in tests/data: seeds.py FOLDER

Makes FOLDER/<target>/ for each target. They are many; what `cargo fuzz cmin` leaves of them and of
what the fuzzer found stands in corpus/.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
LONGEST = 3000

# The order of LinkType::SUPPORTED and of HeaderKind::ALL.
LINKS = [0, 1, 9, 50, 51, 12, 14, 101, 105, 108, 113, 127, 228, 229, 276, 104, 119, 163, 192, 239, 258]
KINDS = 34
FILTER_LINKS = [0, 1, 9, 12, 50, 51, 101, 105, 108, 113, 127, 228, 229, 276]


def write(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)


def captures() -> list[Path]:
    found = [path for path in DATA.rglob("*") if {".pcap", ".pcapng"} & set(path.suffixes)]
    return sorted(path for path in found if path.stat().st_size < 100_000)


def records(path: Path) -> tuple[int, list[bytes]]:
    """Link type and packets of a little-endian pcap file; none of another format."""
    data = path.read_bytes()
    if data[:4] != b"\xd4\xc3\xb2\xa1" or len(data) < 24:
        return 0, []
    link, packets, at = struct.unpack_from("<I", data, 20)[0], [], 24
    while at + 16 <= len(data):
        caught = struct.unpack_from("<I", data, at + 8)[0]
        packets.append(data[at + 16 : at + 16 + caught])
        at += 16 + caught
    return link, packets


def readers(folder: Path) -> None:
    for path in captures():
        data = path.read_bytes()[:LONGEST]
        for choice in range(8):
            # Lenient or not, options kept, and each kind of wrapping.
            write(folder, bytes([choice & 1 | 2 | (choice >> 1 & 3) << 2 | choice << 5 & 0xFF]) + data)


def packets(folder: Path) -> None:
    for path in captures():
        link, found = records(path)
        if link not in LINKS:
            continue
        for packet in found[:40]:
            write(folder / "dissector", bytes([LINKS.index(link), 0]) + packet[:500])
            write(folder / "builder", bytes([LINKS.index(link)]) + packet[:500])
        for setup in 0, 1, 2, 4:
            flow = b"".join(
                bytes([LINKS.index(link), 12, 100, 0]) + struct.pack("!H", len(packet[:200])) + packet[:200]
                for packet in found[:20]
            )
            write(folder / "flows", bytes([setup]) + flow[:LONGEST])


def headers(folder: Path) -> None:
    """The headers of packets alone: from wherever one may begin, as each kind."""
    for path in captures():
        _, found = records(path)
        for packet in found[:3]:
            for start in range(0, min(len(packet), 80), 2):
                write(folder, bytes([start * 7 % KINDS]) + packet[start : start + 120])


def filters(folder: Path) -> None:
    lines = (ROOT / "rust" / "bpf" / "tests" / "expressions.txt").read_text().splitlines()
    packet = records(DATA / "dns-udp.pcap")[1][0]
    for number, line in enumerate(lines):
        link = number % len(FILTER_LINKS) if number % 3 == 0 else 1
        write(folder, bytes([link]) + line.encode() + b"\0" + packet)


def timers(folder: Path) -> None:
    for seed in range(20):
        write(folder, b"".join(hashlib.sha512(bytes([seed, n])).digest() for n in range(8)))


def datapaths(folder: Path) -> None:
    for seed in range(60):
        write(folder, b"".join(hashlib.sha512(bytes([seed, n])).digest() for n in range(6 + seed % 20)))


def fragments(folder: Path) -> None:
    """Settings, then each piece of honest datagrams in an order of its own, now and then with a hostile one between."""
    for seed in range(40):
        chance = hashlib.sha512(bytes([seed])).digest()
        data = bytearray([chance[0], seed % 6])
        for at, byte in enumerate(chance[1:]):
            number, piece = at // 8, byte % 16
            data += bytes([0, number, piece])
            if byte & 0x30 == 0:
                data += bytes([2, number, piece, byte, chance[-at]])
            if byte & 0xC0 == 0:
                data += bytes([5, byte % 40, byte, 6, 7])
        write(folder, bytes(data))


def collations(folder: Path) -> None:
    for seed in range(60):
        write(folder, b"".join(hashlib.sha512(bytes([seed, n, 1])).digest() for n in range(2 + seed % 8)))


def segmentations(folder: Path) -> None:
    """Packets of captures with marks that are right for some of them."""
    for path in captures():
        link, found = records(path)
        if link != 1:
            continue
        for at, packet in enumerate(packet for packet in found[:40] if len(packet) > 100):
            for marks in 1, 2, 3, 1 | 3 << 2, 1 | 0x40, 3 | 0x40:
                choice = (at & 1) << 2 | at % 3 << 3
                write(folder, bytes([choice, marks, 50, 0, at % 3 * 40, 0]) + packet[:1_000])


def neighbours(folder: Path) -> None:
    """Messages as they are, between operations that are drawn."""
    mac = bytes.fromhex("020000000007")
    arp = (
        bytes.fromhex("00010800060400")
        + b"%c"
        + mac
        + bytes([192, 0, 2, 3])
        + bytes(6)
        + bytes([192, 0, 2, 1])
    )
    own, other = (bytes.fromhex("20010db8" + "00" * 11) + bytes([last]) for last in (1, 3))
    for seed in range(24):
        drawn = hashlib.sha512(bytes([seed])).digest()
        kind, flags = (135, 0) if seed % 2 else (136, drawn[0] & 0xE0)
        body = bytes([kind, 0, 0, 0, flags, 0, 0, 0]) + (own if seed % 2 else other)
        body += bytes([2 - seed % 2, 1]) + mac
        packet = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + other + own + body
        said = bytes([1, len(packet), 0]) + packet
        asked = b"\0" + arp % (1 + seed % 2) + bytes(2)
        holds = bytes([2, 3, 50, 2, 131, 60])
        write(folder, drawn[:2] + holds + said + drawn[2:40] + holds + asked + bytes([3, 35, 9]) + drawn[40:])


def main() -> None:
    folder = Path(sys.argv[1])
    readers(folder / "reader")
    packets(folder)
    headers(folder / "builder")
    filters(folder / "filter")
    timers(folder / "timer")
    datapaths(folder / "datapath")
    fragments(folder / "frag")
    collations(folder / "collate")
    segmentations(folder / "segment")
    neighbours(folder / "neighbours")


if __name__ == "__main__":
    main()
