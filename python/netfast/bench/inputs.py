"""Makes the input of the capture benchmarks where the large one is not there."""

from __future__ import annotations

import random
import struct
from array import array
from pathlib import Path

PACKETS = 200_000
FLOWS = 20_000
_SIZES = (60, 590, 1514)
_MACS = bytes.fromhex("020000000002020000000001")


def _sum(data: bytes) -> int:
    words = array("H", data + b"\0" * (len(data) % 2))
    words.byteswap()
    return sum(words)


def _checksum(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total) or 0xFFFF


def _frame(flow: tuple[int, bool, bytes, bytes, int, int], back: bool, size: int, payload: bytes) -> bytes:
    version, is_tcp, a, b, a_port, b_port = flow
    src, dst, sport, dport = (b, a, b_port, a_port) if back else (a, b, a_port, b_port)
    header = 20 if version == 4 else 40
    length = max(size - 14 - header, 20 if is_tcp else 8)
    body = length - (20 if is_tcp else 8)
    if is_tcp:
        transport = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, 0x10, 0xFFFF, 0, 0) + payload[:body]
    else:
        transport = struct.pack("!HHHH", sport, dport, length, 0) + payload[:body]
    total = _sum(src + dst) + (6 if is_tcp else 17) + length + _sum(transport)
    at = 16 if is_tcp else 6
    transport = transport[:at] + struct.pack("!H", _checksum(total)) + transport[at + 2 :]
    protocol = 6 if is_tcp else 17
    if version == 4:
        start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, protocol, 0) + src + dst
        ip = start[:10] + struct.pack("!H", _checksum(_sum(start)) % 0xFFFF) + start[12:]
        return _MACS + b"\x08\x00" + ip + transport
    return _MACS + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, length, protocol, 64) + src + dst + transport


def make_mix(path: Path) -> tuple[Path, int]:
    """Writes 200,000 packets of 20,000 two-way flows, half IPv6, 70 % TCP, in IMIX sizes."""
    if path.exists():
        return path, PACKETS
    chance = random.Random(20040720)
    payload = chance.randbytes(1500)
    flows = []
    for number in range(FLOWS):
        version = 4 if number % 2 else 6
        host, server = chance.randrange(4000), chance.randrange(400)
        if version == 4:
            a, b = struct.pack("!BBH", 10, 0, host), struct.pack("!BBH", 10, 1, server)
        else:
            a = bytes.fromhex("20010db800000000") + struct.pack("!Q", host)
            b = bytes.fromhex("20010db800010000") + struct.pack("!Q", server)
        ports = chance.randrange(1024, 65536), chance.choice((443, 80, 53, 8443))
        flows.append((version, chance.random() < 0.7, a, b, *ports))
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for number in range(PACKETS):
        flow = flows[number] if number < FLOWS else flows[int(FLOWS * chance.random() ** 3)]
        size = chance.choices(_SIZES, (7, 4, 1))[0]
        frame = _frame(flow, number >= FLOWS and chance.random() < 0.4, size, payload)
        time = number * 100
        parts.append(
            struct.pack("<IIII", 1_700_000_000 + time // 1_000_000, time % 1_000_000, len(frame), len(frame))
        )
        parts.append(frame)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(b"".join(parts))
    temporary.replace(path)
    return path, PACKETS
