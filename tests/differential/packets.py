"""Seeded packets of everything that netfast dissects, built from nothing but struct, and then damaged.

A packet is right when it is made (lengths, checksums, chaining), apart from those that are wrong on purpose.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LINKS = {
    "null": 0,
    "ethernet": 1,
    "ppp": 9,
    "raw12": 12,
    "raw14": 14,
    "ppp_hdlc": 50,
    "ppp_ether": 51,
    "raw": 101,
    "chdlc": 104,
    "dot11": 105,
    "loop": 108,
    "sll": 113,
    "prism": 119,
    "radiotap": 127,
    "avs": 163,
    "ppi": 192,
    "ipv4": 228,
    "ipv6": 229,
    "nflog": 239,
    "pktap": 258,
    "sll2": 276,
}

TCP, UDP, DCCP, SCTP, UDPLITE = 6, 17, 33, 132, 136


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame to be written: what was captured of it, and how long it was."""

    link: int
    data: bytes
    length: int
    # Nothing was done to it: lengths and checksums are right.
    whole: bool = False


def ones_complement(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data: bytes) -> int:
    """RFC 9260 appendix A, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Maker:
    """Makes packets by the dice of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        # What the pseudo-header of the packet at hand holds besides protocol and length.
        self.pseudo = b""
        # A checksum of the frame at hand is wrong.
        self.spoiled = False

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def octets(self, least: int, most: int) -> bytes:
        return self.rng.randbytes(self.rng.randint(least, most))

    def address(self, version: int) -> bytes:
        if version == 4:
            nets = ("10.1.0.0", "192.0.2.0", "198.51.100.0")
            return bytes([*ipaddress.ip_address(self.rng.choice(nets)).packed[:3], self.rng.randint(1, 254)])
        prefix = self.rng.choice(("2001:db8::", "fe80::", "2001:db8:1::"))
        return ipaddress.ip_address(prefix).packed[:12] + self.rng.randbytes(4)

    def port(self) -> int:
        # Neither tunnels nor what is registered for a protocol that tshark would look for.
        return self.rng.choice((9, 40000, 50123, self.rng.randint(33000, 60000)))

    def sealed(self, data: bytes, at: int, protocol: int | None = None, coverage: int | None = None) -> bytes:
        """Fills in the checksum at `at`, one in fifteen wrong; with a protocol, over a pseudo-header too."""
        covered = data if coverage is None else data[:coverage]
        pseudo = b""
        if protocol is not None:
            pseudo = self.pseudo + struct.pack("!II", len(data), protocol)
        value = ones_complement(pseudo + covered)
        if value == 0 and protocol in (UDP, UDPLITE):
            value = 0xFFFF
        if self.chance(1 / 15):
            value ^= 1 << self.rng.randrange(16)
            self.spoiled = True
        return data[:at] + struct.pack("!H", value) + data[at + 2 :]

    # Upper layers; each gives (protocol number, bytes).

    def tcp(self, version: int) -> tuple[int, bytes]:
        options = self.rng.choice(
            (
                b"",
                b"\x02\x04\x05\xb4",
                b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + self.rng.randbytes(8) + b"\x01\x03\x03\x07",
                b"\x01\x01\x08\x0a" + self.rng.randbytes(8),
                b"\x01\x01\x05\x0a" + self.rng.randbytes(8),
                b"\x01" * 40,
            )
        )
        offset = (20 + len(options)) // 4
        flags = self.rng.choice((0x002, 0x012, 0x010, 0x018, 0x011, 0x004, 0x0C2, self.rng.randrange(0x1000)))
        header = struct.pack(
            "!HHIIHHHH",
            self.port(),
            self.port(),
            self.rng.getrandbits(32),
            self.rng.getrandbits(32),
            offset << 12 | flags,
            self.rng.getrandbits(16),
            0,
            0,
        )
        return TCP, self.sealed(header + options + self.octets(0, 40), 16, TCP)

    def datagram(self, port: int, payload: bytes, version: int) -> bytes:
        data = struct.pack("!HHHH", self.port(), port, 8 + len(payload), 0) + payload
        return data if self.chance(0.1) else self.sealed(data, 6, UDP)

    def udp(self, version: int) -> tuple[int, bytes]:
        return UDP, self.datagram(self.port(), self.octets(0, 60), version)

    def udplite(self, version: int) -> tuple[int, bytes]:
        payload = self.octets(0, 40)
        coverage = self.rng.choice((0, 8, 8 + len(payload), self.rng.randint(8, 8 + len(payload))))
        data = struct.pack("!HHHH", self.port(), self.port(), coverage, 0) + payload
        return UDPLITE, self.sealed(data, 6, UDPLITE, coverage or None)

    def sctp(self, version: int) -> tuple[int, bytes]:
        chunk = self.octets(0, 20)
        padded = chunk + bytes(-len(chunk) % 4)
        chunks = b"\x00\x03" + struct.pack("!HIHHI", 16 + len(chunk), 1, 0, 0, 0) + padded
        header = struct.pack("!HHII", self.port(), self.port(), self.rng.getrandbits(32), 0)
        value = crc32c(header + chunks)
        if self.chance(1 / 15):
            value ^= 1
            self.spoiled = True
        return SCTP, header[:8] + struct.pack("<I", value) + chunks

    def dccp(self, version: int) -> tuple[int, bytes]:
        payload = self.octets(0, 24)
        kind, extended = self.rng.choice(((0, 1), (1, 1), (2, 1), (2, 0), (3, 1), (4, 1), (4, 0), (7, 1)))
        sequence = self.rng.randbytes(7) if extended else self.rng.randbytes(3)
        rest = {0: b"\0\0\0\1", 1: bytes(2) + self.rng.randbytes(6) + bytes(4), 7: bytes(12)}.get(kind, b"")
        if kind in (3, 4):
            rest = bytes(2) + self.rng.randbytes(6) if extended else b"\0" + self.rng.randbytes(3)
        head = bytes([kind << 1 | extended]) + sequence + rest
        words = (8 + len(head)) // 4
        coverage = self.rng.choice((0, 1, 1, min(15, 1 + len(payload) // 4)))
        header = struct.pack("!HHBBH", self.port(), self.port(), words, coverage, 0) + head
        covered = None if coverage == 0 else words * 4 + (coverage - 1) * 4
        return DCCP, self.sealed(header + payload, 6, DCCP, covered)

    def icmp(self, version: int) -> tuple[int, bytes]:
        if version == 4:
            kind, code = self.rng.choice(((8, 0), (0, 0), (3, 1), (3, 3), (11, 0), (5, 1), (13, 0)))
        else:
            kind, code = self.rng.choice(((128, 0), (129, 0), (1, 4), (2, 0), (3, 0), (4, 1)))
        rest = self.rng.randbytes(4)
        if kind in (3, 11, 5, 1, 2, 4) and (version == 6 or kind != 8):
            saved = self.pseudo
            body = self.ip(version, depth=9)[: self.rng.choice((28, 48, 68, 200))]
            self.pseudo = saved
            rest = bytes(4)
        elif kind == 13:
            body = self.rng.randbytes(12)
        else:
            body = self.octets(0, 56)
        data = struct.pack("!BBH", kind, code, 0) + rest + body
        if version == 4:
            return 1, self.sealed(data, 2)
        return 58, self.sealed(data, 2, 58)

    def neighbour(self, version: int) -> tuple[int, bytes]:
        if version == 4:
            kind = self.rng.choice((0x16, 0x17, 0x12))
            return 2, self.sealed(struct.pack("!BBH", kind, 0, 0) + self.address(4), 2)
        kind = self.rng.choice((135, 136))
        data = struct.pack("!BBHI", kind, 0, 0, 0) + self.address(6) + b"\x01\x01" + self.rng.randbytes(6)
        return 58, self.sealed(data, 2, 58)

    def mobility(self, version: int) -> tuple[int, bytes]:
        if version == 4:
            return self.udp(4)
        kind, body = self.rng.choice(((0, 2), (1, 10), (2, 10), (5, 6), (6, 6)))
        rest = bytes(body) + bytes(-(6 + body) % 8)
        if len(rest) > body and len(rest) - body > 1:
            rest = bytes(body) + bytes([1, len(rest) - body - 2]) + bytes(len(rest) - body - 2)
        return 135, self.sealed(
            struct.pack("!BBBBH", 59, (6 + len(rest)) // 8 - 1, kind, 0, 0) + rest, 4, 135
        )

    def esp(self, version: int) -> tuple[int, bytes]:
        return 50, struct.pack("!II", self.rng.getrandbits(32) | 256, 1) + self.octets(16, 60)

    def opaque(self, version: int) -> tuple[int, bytes]:
        return self.rng.choice((253, 254, 200)), self.octets(0, 30)

    # Tunnels.

    def gre(self, version: int, depth: int) -> tuple[int, bytes]:
        kind = self.rng.choice(("ip", "ip", "ip", "eth", "mpls", "erspan1", "erspan2", "erspan3", "pptp"))
        if kind == "pptp":
            payload = b"\xff\x03" + self.ppp_body(depth)
            sequence = self.chance(0.7)
            acknowledge = self.chance(0.5)
            header = bytes([0x20 | 0x10 * sequence, 0x01 | 0x80 * acknowledge]) + b"\x88\x0b"
            header += struct.pack("!HH", len(payload), self.rng.getrandbits(16))
            return 47, header + self.rng.randbytes(4 * (sequence + acknowledge)) + payload
        if self.chance(0.05):
            # IS-IS, and a keepalive.
            return 47, b"\0\0" + self.rng.choice((b"\0\xfe", b"\0\0")) + self.octets(8, 30)
        flags, payload = 0, b""
        if kind == "ip":
            inner = self.rng.choice((4, 6))
            protocol, payload = {4: 0x0800, 6: 0x86DD}[inner], self.ip(inner, depth)
        elif kind == "eth":
            protocol, payload = 0x6558, self.ethernet(depth)
        elif kind == "mpls":
            protocol, payload = 0x8847, self.mpls(depth)
        elif kind == "erspan1":
            return 47, b"\0\0\x88\xbe" + self.ethernet(depth)
        elif kind == "erspan2":
            protocol, flags = 0x88BE, 0x10
            payload = struct.pack("!II", 0x10010000 | self.rng.getrandbits(10), 5) + self.ethernet(depth)
        else:
            protocol, flags = 0x22EB, 0x10
            platform = self.chance(0.3)
            payload = struct.pack("!II", 0x20010000 | self.rng.getrandbits(10), 5)
            payload += struct.pack("!HH", 1, int(platform)) + bytes(8 * platform) + self.ethernet(depth)
        flags |= self.rng.choice((0, 0x20, 0x30, 0xB0, 0x80, 0x90)) if kind in ("ip", "eth", "mpls") else 0
        header = struct.pack("!BBH", flags, 0, protocol)
        if flags & 0x80:
            header += bytes(4)
        header += self.rng.randbytes(4 * (bool(flags & 0x20) + bool(flags & 0x10)))
        return 47, self.sealed(header + payload, 4) if flags & 0x80 else header + payload

    def tunnel(self, version: int, depth: int) -> tuple[int, bytes]:
        saved = self.pseudo
        kind = self.rng.choice(
            ("ipip", "ipip", "gre", "gre", "vxlan", "gpe", "geneve", "gue", "mpls", "ether", "next")
        )
        inner = self.rng.choice((4, 6))
        if kind == "ipip":
            return {4: 4, 6: 41}[inner], self.ip(inner, depth)
        if kind == "gre":
            return self.gre(version, depth)
        if kind == "next":
            return 143, self.ethernet(depth)
        if kind == "ether":
            return 97, b"\x30\0" + self.ethernet(depth)
        if kind == "vxlan":
            port, payload = 4789, b"\x08\0\0\0" + self.rng.randbytes(3) + b"\0" + self.ethernet(depth)
        elif kind == "gpe":
            number, payload = self.rng.choice(
                ((1, self.ip(4, depth)), (2, self.ip(6, depth)), (3, self.ethernet(depth)))
            )
            port, payload = 4790, bytes([0x0C, 0, 0, number]) + self.rng.randbytes(3) + b"\0" + payload
        elif kind == "geneve":
            options = b"".join(
                struct.pack("!HBB", 0x0102, 0x80, words) + self.rng.randbytes(words * 4)
                for words in [self.rng.randint(0, 3) for _ in range(self.rng.randint(0, 2))]
            )
            number, payload = self.rng.choice(
                ((0x6558, self.ethernet(depth)), (0x0800, self.ip(4, depth)), (0x86DD, self.ip(6, depth)))
            )
            header = struct.pack("!BBH", len(options) // 4, 0, number) + self.rng.randbytes(3) + b"\0"
            port, payload = 6081, header + options + payload
        elif kind == "gue":
            number = {4: 4, 6: 41}[inner]
            port, payload = 6080, struct.pack("!BBH", 0, number, 0) + self.ip(inner, depth)
            if self.chance(0.3):
                payload = payload[4:]
        else:
            port, payload = 6635, self.mpls(depth)
        self.pseudo = saved
        return UDP, self.datagram(port, payload, version)

    # Network layer.

    def upper(self, version: int, depth: int) -> tuple[int, bytes]:
        saved = self.pseudo
        if depth < 3 and self.chance(0.3):
            made = self.tunnel(version, depth + 1)
        else:
            kinds: tuple[Callable[[int], tuple[int, bytes]], ...] = (
                self.tcp, self.tcp, self.udp, self.udp, self.udplite, self.sctp, self.dccp, self.icmp,
                self.icmp, self.neighbour, self.mobility, self.esp, self.opaque,
            )  # fmt: skip
            if depth >= 9:
                kinds = (self.tcp, self.udp)
            made = self.rng.choice(kinds)(version)
        self.pseudo = saved
        return made

    def authentication(self, after: int) -> bytes:
        value = self.rng.choice((12, 16, 20))
        return struct.pack("!BBHII", after, (12 + value) // 4 - 2, 0, 0x1234, 7) + self.rng.randbytes(value)

    def ip(self, version: int, depth: int = 0) -> bytes:
        return self.ipv4(depth) if version == 4 else self.ipv6(depth)

    def ipv4(self, depth: int) -> bytes:
        src, dst = self.address(4), self.address(4)
        options, final = self.route() if self.chance(0.04) else (b"", dst)
        self.pseudo = src + (final or dst)
        protocol, payload = self.upper(4, depth)
        if self.chance(0.05):
            payload = self.authentication(protocol) + payload
            protocol = 51
        if not options and self.chance(0.12):
            options = self.rng.choice(
                (
                    b"\x94\x04\0\0",
                    b"\x07\x0b\x04" + bytes(8) + b"\0",
                    b"\x44\x0c\x05\x00" + bytes(8),
                    b"\x01" * 40,
                )
            )
        fragment = 0x4000 if self.chance(0.5) else 0
        if self.chance(0.08):
            fragment = self.rng.choice((0x2000, 0x2000 | self.rng.randint(1, 180), self.rng.randint(1, 180)))
            payload = payload[: len(payload) & ~7] if fragment & 0x2000 else payload
        header = struct.pack(
            "!BBHHHBBH",
            0x40 | 5 + len(options) // 4,
            self.rng.choice((0, 0, 0xB8, self.rng.randrange(256))),
            20 + len(options) + len(payload),
            self.rng.getrandbits(16),
            fragment,
            self.rng.choice((64, 1, 255, 128)),
            protocol,
            0,
        )
        return self.sealed(header + src + dst + options, 10) + payload

    def route(self) -> tuple[bytes, bytes | None]:
        """A source route, and where it ends when it is not used up."""
        addresses = [self.address(4) for _ in range(self.rng.randint(1, 8))]
        pointer = 4 + 4 * self.rng.randint(0, len(addresses))
        option = bytes([self.rng.choice((131, 137)), 3 + 4 * len(addresses), pointer]) + b"".join(addresses)
        option = self.rng.choice((b"\x01" + option, option + b"\0"))
        return option, addresses[-1] if pointer < 4 + 4 * len(addresses) else None

    def extension(self, kind: int, after: int, final: list[bytes]) -> bytes:
        """One extension header; `final` is the pseudo-header's source and destination, which it may change."""
        if kind == 44:
            return struct.pack("!BBHI", after, 0, self.rng.choice((0, 1)), self.rng.getrandbits(32))
        if kind == 51:
            return self.authentication(after)
        if kind == 43:
            sort = self.rng.choice((0, 2, 4, 4))
            left = self.rng.choice((0, 1))
            count = 1 if sort == 2 else self.rng.randint(1, 3)
            segments = [self.address(6) for _ in range(count)]
            last = struct.pack("!BBH", count - 1, 0, 0) if sort == 4 else bytes(4)
            if left:
                final[1] = segments[0] if sort == 4 else segments[-1]
            return struct.pack("!BBBB", after, 2 * count, sort, left) + last + b"".join(segments)
        body = self.rng.choice(
            (b"\x01\x04" + bytes(4), b"\x05\x02\0\0\x01\0", b"\x1e\x04" + self.rng.randbytes(4))
        )
        if kind == 60 and self.chance(0.25):
            home = self.address(6)
            final[0] = home
            body = b"\x01\x02\0\0\xc9\x10" + home
        body += self.rng.choice((b"", b"\x01\x06" + bytes(6)))
        return struct.pack("!BB", after, (2 + len(body)) // 8 - 1) + body

    def ipv6(self, depth: int) -> bytes:
        src, dst = self.address(6), self.address(6)
        kinds: list[int] = []
        if self.chance(0.35):
            kinds = [self.rng.choice((60, 43, 44, 51, 60, 43)) for _ in range(self.rng.randint(1, 4))]
            if kinds.count(44) > 1:
                kinds = [kind for kind in kinds if kind != 44]
            # Two routing headers would leave open whose last address counts.
            while kinds.count(43) > 1:
                kinds.remove(43)
        if self.chance(0.1):
            kinds.insert(0, 0)
        final = [src, dst]
        # Built from the front, because addresses change on the way; the next header is patched in afterwards.
        headers = [bytearray(self.extension(kind, 59, final)) for kind in kinds]
        self.pseudo = final[0] + final[1]
        protocol, payload = self.upper(6, depth)
        for header, after in zip(headers, [*kinds, protocol][1:], strict=True):
            header[0] = after
        first = kinds[0] if kinds else protocol
        if 44 in kinds and self.chance(0.5):
            place = kinds.index(44)
            headers[place][2:4] = struct.pack("!H", self.rng.randint(1, 180) << 3 | self.rng.choice((0, 1)))
            if self.chance(0.5):
                headers = headers[: place + 1]
        rest = b"".join(map(bytes, headers)) + payload
        word = (
            0x60000000
            | self.rng.choice((0, 0xB8, self.rng.randrange(256))) << 20
            | self.rng.choice((0, self.rng.getrandbits(20)))
        )
        return struct.pack("!IHBB", word, len(rest), first, self.rng.choice((64, 1, 255))) + src + dst + rest

    # Link layer.

    def arp(self) -> bytes:
        head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, self.rng.choice((1, 2)))
        return head + self.rng.randbytes(6) + self.address(4) + self.rng.randbytes(6) + self.address(4)

    def mpls(self, depth: int) -> bytes:
        labels = [self.rng.randint(16, 1 << 19) << 12 | 64 for _ in range(self.rng.randint(1, 3))]
        labels[-1] |= 0x100
        stack = b"".join(struct.pack("!I", each) for each in labels)
        if self.chance(0.15):
            # An Ethernet pseudo-wire with its control word.
            return stack + struct.pack("!I", self.rng.choice((0, 7))) + self.ethernet(depth + 1, mpls=False)
        return stack + self.ip(self.rng.choice((4, 6)), depth)

    def ppp_body(self, depth: int) -> bytes:
        kind = self.rng.choice((4, 4, 6, 6, 0, 1))
        if kind == 0:
            return b"\xc0\x21\x09\x01\x00\x08" + self.rng.randbytes(4)
        if kind == 1:
            return b"\x02\x81" + self.mpls(depth)
        return {4: b"\0\x21", 6: b"\0\x57"}[kind] + self.ip(kind, depth)

    def pppoe(self, depth: int) -> bytes:
        body = self.ppp_body(depth)
        return struct.pack("!BBHH", 0x11, 0, self.rng.getrandbits(16) or 1, len(body)) + body

    def discovery(self) -> bytes:
        tags = b"\x01\x01\0\0\x01\x03" + struct.pack("!H", 4) + self.rng.randbytes(4)
        return struct.pack("!BBHH", 0x11, self.rng.choice((9, 7, 0x19, 0x65)), 0, len(tags)) + tags

    def chdlc(self, depth: int) -> bytes:
        head = self.rng.choice((b"\x0f\0", b"\x8f\0"))
        if self.chance(0.1):
            return head + b"\x80\x35" + struct.pack("!IIIHH", 2, 1, 2, 0xFFFF, 0)
        kind, body = self.rng.choice(((4, b"\x08\0"), (6, b"\x86\xdd"), (0, b"\x88\x47")))
        return head + body + (self.ip(kind, depth) if kind else self.mpls(depth))

    def snap(self, depth: int) -> bytes:
        kind = self.rng.choice((4, 6, 6, 0, 1))
        if kind == 1:
            return b"\x42\x42\x03" + bytes(35)
        head = b"\xaa\xaa\x03\0\0\0"
        if kind == 0:
            return head + b"\x08\x06" + self.arp()
        return head + {4: b"\x08\x00", 6: b"\x86\xdd"}[kind] + self.ip(kind, depth)

    def typed(self, depth: int) -> tuple[int, bytes]:
        """An EtherType and what it says."""
        roll = self.rng.random()
        if roll < 0.72:
            kind = self.rng.choice((4, 6))
            return {4: 0x0800, 6: 0x86DD}[kind], self.ip(kind, depth)
        if roll < 0.77:
            return 0x0806, self.arp()
        if roll < 0.84:
            kind, body = self.typed(depth)
            return self.rng.choice((0x8100, 0x88A8)), struct.pack(
                "!HH", self.rng.getrandbits(16), kind
            ) + body
        if roll < 0.89:
            return 0x8847, self.mpls(depth)
        if roll < 0.92:
            return 0x8864, self.pppoe(depth)
        if roll < 0.93:
            return 0x8863, self.discovery()
        if roll < 0.96:
            body = self.snap(depth)
            return (len(body), body) if len(body) < 1500 else (0x0806, self.arp())
        return 0x88B5, self.octets(0, 40)

    def ethernet(self, depth: int = 0, *, mpls: bool = True) -> bytes:
        kind, body = self.typed(depth) if mpls else (0x86DD, self.ip(6, depth))
        frame = (
            b"\x02" + self.rng.randbytes(5) + b"\x02" + self.rng.randbytes(5) + struct.pack("!H", kind) + body
        )
        return frame.ljust(60, b"\0") if depth == 0 and self.chance(0.2) else frame

    def dot11(self) -> bytes:
        roll = self.rng.random()
        addresses = b"".join(b"\x02" + self.rng.randbytes(5) for _ in range(4))
        if roll < 0.03:
            return b"\xd4\0\0\0" + addresses[:6]
        if roll < 0.06:
            # Trigger, beamforming report poll, NDP announcement, block acknowledgement, power save, ready to send.
            kind, rest = self.rng.choice(((2, 10), (4, 1), (5, 3), (9, 12), (10, 0), (11, 0)))
            return bytes([kind << 4 | 4, 0, 0, 0]) + addresses[:12] + bytes(rest)
        if roll < 0.12:
            return b"\x80\0\0\0" + addresses[:18] + b"\0\0" + bytes(8) + b"\x64\0\x01\0" + b"\0\x04test"
        qos = self.chance(0.6)
        direction = self.rng.choice((1, 2, 2, 3, 0))
        subtype = 8 if qos else 0
        if roll < 0.17:
            subtype |= 4
        protected = roll > 0.94
        aggregate = qos and not protected and not subtype & 4 and self.chance(0.15)
        header = bytes([subtype << 4 | 8, direction | 0x40 * protected]) + b"\0\0" + addresses[:18]
        header += struct.pack("<H", self.rng.randrange(4096) << 4)
        if direction == 3:
            header += addresses[18:]
        if qos:
            header += bytes([0x80 if aggregate else 0, 0])
        if subtype & 4:
            return header
        if protected:
            return header + bytes([1, 0, 0, 0x20, 0, 0, 0, 0]) + self.octets(20, 60)
        if aggregate:
            body = b""
            for last in (False, True):
                inner = self.snap(0)
                one = addresses[:12] + struct.pack("!H", len(inner)) + inner
                body += one if last else one + bytes(-len(one) % 4)
            return header + body
        return header + self.snap(0)

    def radiotap(self) -> bytes:
        flags = self.rng.choice((None, 0, 0x10))
        timer = self.chance(0.3)
        extended = self.chance(0.2)
        present = timer | (flags is not None) << 1 | extended << 31
        header = struct.pack("<I", present) + (struct.pack("<I", 0) if extended else b"")
        if timer:
            header += bytes(-(4 + len(header)) % 8) + bytes(8)
        if flags is not None:
            header += bytes([flags])
        frame = self.dot11()
        if flags == 0x10:
            frame += bytes(4)
        return struct.pack("<BBH", 0, 0, 4 + len(header)) + header + frame

    def cooked(self, version: int) -> bytes:
        kind, body = self.typed(0)
        if kind < 0x600:
            kind = 4
        hardware = self.rng.choice((1, 772, 65534))
        if self.chance(0.05):
            # CAN, raw 802.3, nothing in particular.
            kind, hardware = self.rng.choice(((12, 280), (13, 280), (1, 1), (0, 1)))
            body = bytes(48)
        elif self.chance(0.05):
            kind, hardware, body = 4, 803, self.radiotap()
        address = self.rng.randbytes(6) + b"\0\0"
        if version == 1:
            return (
                struct.pack("!HHH", self.rng.randrange(5), hardware, 6)
                + address
                + struct.pack("!H", kind)
                + body
            )
        return struct.pack("!HHIHBB", kind, 0, 3, hardware, 0, 6) + address + body

    def log(self, version: int) -> bytes:
        """What the kernel's log says of a packet, in the byte order of the file."""
        packet = self.ip(version)
        data = struct.pack("!BBH", {4: 2, 6: 10}[version], 0, 5)
        for kind, value in ((1, bytes(4)), (5, bytes(4)), (10, b"eth0\0"), (9, packet)):
            data += struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        return data

    def per_packet(self) -> bytes:
        """Per-Packet Information, before what kind of frame it says."""
        if self.chance(0.3):
            return struct.pack("<BBHI", 0, 0, 8, 1) + self.ethernet()
        fcs = self.chance(0.5)
        common = struct.pack("<HHQHHHHBBbb", 2, 20, 0, int(fcs), 2, 2412, 0, 0, 0, -40, -90)
        other = struct.pack("<HH", 30002, 4) + bytes(4) if self.chance(0.3) else b""
        header = struct.pack("<BBHI", 0, 0, 8 + len(other) + len(common), 105) + other + common
        return header + self.dot11() + bytes(4 * fcs)

    def tapped(self) -> bytes:
        """Darwin's packet tap, before what kind of frame it says."""
        link, frame = self.rng.choice(((1, self.ethernet()), (12, self.ip(4)), (0, self.frame("null"))))
        header = struct.pack("<III24sIIII", 108, 1, link, b"en0", 1, 2, 0, 0)
        return header.ljust(108, b"\0") + frame

    def frame(self, link: str) -> bytes:
        version = self.rng.choice((4, 6))
        if link in ("ppp", "ppp_hdlc") and self.chance(0.2):
            link = "chdlc"
        match link:
            case "ethernet":
                return self.ethernet()
            case "null":
                family = {4: 2, 6: self.rng.choice((24, 28, 30))}[version]
                return struct.pack(self.rng.choice("<>") + "I", family) + self.ip(version)
            case "loop":
                return struct.pack("!I", {4: 2, 6: 24}[version]) + self.ip(version)
            case "ppp":
                return self.rng.choice((b"", b"\xff\x03")) + self.ppp_body(0)
            case "ppp_hdlc":
                return b"\xff\x03" + self.ppp_body(0)
            case "ppp_ether":
                return self.pppoe(0)
            case "sll" | "sll2":
                return self.cooked(1 if link == "sll" else 2)
            case "dot11":
                return self.dot11()
            case "chdlc":
                return self.chdlc(0)
            case "prism":
                head = struct.pack("<II16s", 0x44, 144, b"wlan0").ljust(144, b"\0")
                return head + self.dot11()
            case "avs":
                return struct.pack("!II", 0x80211001, 64).ljust(64, b"\0") + self.dot11()
            case "ppi":
                return self.per_packet()
            case "nflog":
                return self.log(version)
            case "pktap":
                return self.tapped()
            case "radiotap":
                return self.radiotap()
            case "ipv4" | "ipv6":
                return self.ip(int(link[3]))
            case _:
                return self.ip(version)

    # Damage.

    def damaged(self, data: bytes) -> tuple[bytes, int]:
        """The bytes that are left after an accident, and the length on the wire."""
        roll = self.rng.random()
        mutable = bytearray(data)
        if roll < 0.35:
            for _ in range(self.rng.choice((1, 1, 1, 2, 4))):
                mutable[self.rng.randrange(min(len(mutable), 120))] ^= 1 << self.rng.randrange(8)
        elif roll < 0.5:
            at = self.rng.randrange(min(len(mutable), 90))
            mutable[at] = self.rng.choice((0, 1, 0x7F, 0x80, 0xFF, self.rng.randrange(256)))
        elif roll < 0.6:
            mutable += self.octets(1, 30)
        elif roll < 0.7:
            del mutable[self.rng.randrange(len(mutable)) :]
        else:
            return data[: self.rng.randrange(min(len(data), 160)) + 1], len(data)
        return bytes(mutable) or b"\0", len(mutable) or 1


# Of a hundred frames, so many are of each link type.
SHARES = {
    "ethernet": 35, "radiotap": 8, "dot11": 6, "null": 4, "loop": 2, "ppp": 4, "ppp_hdlc": 3, "ppp_ether": 3,
    "raw": 8, "raw12": 1, "raw14": 1, "sll": 6, "sll2": 6, "ipv4": 3, "ipv6": 3, "chdlc": 2, "prism": 1, "avs": 1,
    "ppi": 1, "nflog": 1, "pktap": 1,
}  # fmt: skip


def packets(seed: int, count: int) -> Iterator[Packet]:
    """`count` frames, half of them damaged."""
    maker = Maker(seed)
    links, weights = list(SHARES), list(SHARES.values())
    for number in range(count):
        link = maker.rng.choices(links, weights)[0]
        maker.spoiled = False
        data = maker.frame(link)
        length = len(data)
        whole = number % 2 == 0
        if not whole:
            data, length = maker.damaged(data)
        yield Packet(LINKS[link], data, max(length, len(data)), whole and not maker.spoiled)


def write_pcapng(path: Path, frames: list[Packet], start_ns: int = 1_700_000_000_123_456_789) -> None:
    """One file with an interface for each link type, time stamps in ns."""
    links = sorted({frame.link for frame in frames})
    with path.open("wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for link in links:
            file.write(block(1, struct.pack("<HHI", link, 0, 0) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)))
        for number, frame in enumerate(frames):
            time = start_ns + number * 1_000_003
            head = struct.pack(
                "<IIIII",
                links.index(frame.link),
                time >> 32,
                time & 0xFFFFFFFF,
                len(frame.data),
                frame.length,
            )
            file.write(block(6, head + frame.data + bytes(-len(frame.data) % 4)))


def block(kind: int, body: bytes) -> bytes:
    """A pcapng block."""
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
