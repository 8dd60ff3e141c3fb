"""What others sent, for both routers: packets of captures, their hosts moved to where the router has some."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import netfast
from kernel import frames
from kernel.case import HOSTS, PORT, WORLD, Output, of_family
from kernel.ends import Send, to_router

ETHERNET, DCCP = 1, 33
# Frames of one capture; those that come later are mostly like them.
MOST = 150


class Recorded:
    """A play whose lines are written, whatever comes out."""

    def __init__(self, sends: list[Send]) -> None:
        self.sends = iter(sends)

    def next(self) -> Send | None:
        return next(self.sends, None)

    def heard(self, outputs: list[Output]) -> None:
        """Nobody listens."""


def sends(path: Path) -> list[Send]:
    """The IP packets of a capture, one by one. Fragments are left out: they have cases of their own."""
    found = []
    with netfast.Capture(path) as capture:
        for batch in capture:
            for packet in batch:
                moved = move(bytes(packet)) if packet.link_type == ETHERNET else None
                if moved is not None and len(moved[1]) <= PORT[moved[0]].mtu:
                    port, data = moved
                    found.append(Send(port, [to_router(port, data)], f"{path.name} frame {packet.frame}"))
                if len(found) == MOST:
                    return found
    return found


def move(frame: bytes) -> tuple[str, bytes] | None:
    """The port where the packet of a frame comes in, and the packet with addresses that are known there.

    The lower address is a host of the LAN, the other one is out in the world: so both ways of a flow belong together.
    Checksums change by what addresses do: what was right stays right, what was wrong stays wrong.
    """
    data = bytearray(frame[14:])
    if frame[12:14] == b"\x08\x00" and len(data) >= 20 and data[0] >> 4 == 4:
        version, size, at = 4, 4, 12
        protocol, place = data[9], (data[0] & 15) * 4
        if struct.unpack_from(">H", data, 6)[0] & 0x3FFF:
            return None
    elif frame[12:14] == b"\x86\xdd" and len(data) >= 40 and data[0] >> 4 == 6:
        version, size, at = 6, 16, 8
        protocol, place = behind_options(data)
        if protocol in (frames.FRAGMENT, frames.ROUTING):
            return None
    else:
        return None
    if protocol == DCCP:
        # Not all versions of Linux know its ports.
        return None
    ends = bytes(data[at : at + size]), bytes(data[at + size : at + 2 * size])
    if not all(is_host(end) for end in ends):
        # Groups that nobody joined, and addresses that no packet has: cases have them.
        return None
    low, high = sorted(ends)
    near, far = of_family(version, HOSTS["lan"]), of_family(version, WORLD)
    there = {
        low: frames.packed(near[sum(low) % len(near)]),
        high: frames.packed(far[sum(high) % len(far)]),
    }
    change = sum(words(there[end]) - words(end) for end in ends)
    data[at : at + 2 * size] = there[ends[0]] + there[ends[1]]
    if version == 4:
        adjust(data, 10, change)
    if protocol in frames.AT and protocol != frames.ICMP and (version, protocol) != (4, frames.ICMP6):
        adjust(data, place + frames.AT[protocol], change, protocol == frames.UDP)
    return ("lan" if ends[0] == low else "wan"), bytes(data)


def behind_options(data: bytes | bytearray) -> tuple[int, int]:
    """The protocol behind the options of IPv6, and where it begins; routing and fragment headers end the way."""
    protocol, place = data[6], 40
    while protocol in (frames.HOP_BY_HOP, frames.DESTINATION) and len(data) >= place + 8:
        protocol, place = data[place], place + 8 + 8 * data[place + 1]
    return protocol, place


def is_host(address: bytes) -> bool:
    """Is it an address that a host beyond the link may have?"""
    if len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127
    return address[0] != 0 and address[:2] < b"\xfe\x80"


def words(data: bytes) -> int:
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def adjust(data: bytearray, at: int, change: int, zero_is_none: bool = False) -> None:
    """The checksum at a place after a change of what it covers (RFC 1624), where there is one."""
    if len(data) < at + 2:
        return
    (old,) = struct.unpack_from(">H", data, at)
    if zero_is_none and old == 0:
        return
    new = ~((~old & 0xFFFF) + change) % 0xFFFF
    struct.pack_into(">H", data, at, new or (0xFFFF if zero_is_none else 0))


def captures(folder: Path) -> Iterator[Path]:
    """Those of a folder that have packets for the routers."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".pcap", ".pcapng"):
            yield path
