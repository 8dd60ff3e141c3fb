"""Packets out of the ordinary, each made alone: what a router drops, answers or has to read carefully."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from kernel import frames
from kernel.case import PORT, PORTS
from kernel.frames import Header, packed

Make = Callable[[random.Random, str, bytes, bytes], bytes]


def datagram(rng: random.Random, source: bytes, destination: bytes, header: Header = Header()) -> bytes:  # noqa: B008
    segment = frames.udp(rng.randrange(1, 65536), rng.choice((53, 123, 8080)), rng.randbytes(12))
    return frames.packet(source, destination, frames.UDP, segment, header)


def framed(port: str, data: bytes, destination: bytes | None = None, kind: int | None = None) -> bytes:
    return frames.ethernet(destination or PORT[port].mac, PORT[port].peer, data, kind)


def resummed(data: bytes) -> bytes:
    """An IPv4 packet with its header checksum right again."""
    length = max(data[0] & 15, 5) * 4
    bare = data[:10] + b"\0\0" + data[12:]
    return data[:10] + struct.pack(">H", frames.checksum(bare[:length])) + data[12:]


def from_address(four: tuple[str, ...], six: tuple[str, ...]) -> Make:
    """A datagram whose source is one that no sender may have, or that is odd."""

    def make(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
        odd = packed(rng.choice(four if len(source) == 4 else six))
        return framed(port, datagram(rng, odd, destination))

    return make


def to_address(four: tuple[str, ...], six: tuple[str, ...]) -> Make:
    """A datagram to an address that nobody forwards to, or that is odd."""

    def make(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
        odd = packed(rng.choice(four if len(source) == 4 else six))
        return framed(port, datagram(rng, source, odd))

    return make


def from_itself(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    own = [packed(a.split("/")[0]) for p in PORTS for a in p.addresses]
    return framed(port, datagram(rng, rng.choice([a for a in own if len(a) == len(source)]), destination))


def from_elsewhere(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    """A source that is behind another port: what reverse path filters are for."""
    four, six = (
        ("10.1.0.10", "10.3.0.11", "198.51.100.9"),
        ("2001:db8:1::10", "2001:db8:3::11", "2001:db8:5::9"),
    )
    return from_address(four, six)(rng, port, source, destination)


def no_life(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    return framed(port, datagram(rng, source, destination, Header(ttl=rng.choice((0, 1)))))


def wrong_header_sum(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    data = datagram(rng, source, destination)
    if len(source) == 4:
        data = data[:10] + bytes([data[10] ^ 1]) + data[11:]
    return framed(port, data)


def wrong_version(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    data = datagram(rng, source, destination)
    kind = 0x0800 if len(source) == 4 else 0x86DD
    changed = bytes([rng.choice((0x00, 0x50, 0xF0)) | data[0] & 15]) + data[1:]
    return framed(port, resummed(changed) if kind == 0x0800 else changed, kind=kind)


def header_too_short(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    data = datagram(rng, source, destination)
    if len(source) == 4:
        data = resummed(bytes([0x40 | rng.randrange(5)]) + data[1:])
    return framed(port, data)


def length_wrong(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    """The length field says more than there is, or less than a header."""
    data = datagram(rng, source, destination)
    if len(source) == 4:
        data = data[:2] + struct.pack(">H", rng.choice((0, 19, len(data) + 1, 65535))) + data[4:]
        return framed(port, resummed(data))
    return framed(port, data[:4] + struct.pack(">H", rng.choice((len(data) - 39, 65535))) + data[6:])


def padded(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    return framed(port, datagram(rng, source, destination) + bytes(rng.randrange(1, 30)))


def truncated(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    data = datagram(rng, source, destination)
    return framed(port, data[: rng.randrange(1, len(data))], kind=0x0800 if len(source) == 4 else 0x86DD)


def other_station(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    mac = rng.choice((bytes.fromhex("020000000999"), b"\xff" * 6, bytes.fromhex("01005e000001")))
    return framed(port, datagram(rng, source, destination), destination=mac)


OPTIONS = (
    ("no-operation", b"\x01\x01\x01\x00"),
    ("router alert", b"\x94\x04\x00\x00"),
    ("unknown option", b"\x5e\x04\x00\x00"),
    ("option of length zero", b"\x07\x00\x00\x00"),
    ("option beyond the header", b"\x07\x27\x04\x00"),
    ("loose source route", b"\x83\x07\x04\xc6\x33\x64\x07\x00"),
    ("strict source route", b"\x89\x07\x04\xc6\x33\x64\x07\x00"),
    ("record route", b"\x07\x07\x04\x00\x00\x00\x00\x00"),
)


def with_options(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    if len(source) == 16:
        return with_extensions(rng, port, source, destination)
    options = rng.choice(OPTIONS)[1]
    return framed(port, datagram(rng, source, destination, Header(options=options)))


# Number and what stands behind the octet that names the next header.
EXTENSIONS = (
    (frames.HOP_BY_HOP, b"\x00\x01\x04\x00\x00\x00\x00"),
    (frames.HOP_BY_HOP, b"\x00\x05\x02\x00\x00\x01\x00"),
    (frames.HOP_BY_HOP, b"\x00\x3e\x04\x00\x00\x00\x00"),
    (frames.HOP_BY_HOP, b"\x00\x7e\x04\x00\x00\x00\x00"),
    (frames.HOP_BY_HOP, b"\x00\xbe\x04\x00\x00\x00\x00"),
    (frames.HOP_BY_HOP, b"\x00\xfe\x04\x00\x00\x00\x00"),
    (frames.DESTINATION, b"\x00\x01\x04\x00\x00\x00\x00"),
    (frames.DESTINATION, b"\x00\xbe\x04\x00\x00\x00\x00"),
    (frames.ROUTING, b"\x00\x00\x00\x00\x00\x00\x00"),
    (frames.ROUTING, b"\x02\x04\x00\x00\x00\x00\x00" + bytes(16)),
    (frames.FRAGMENT, b"\x00\x00\x00\x00\x00\x00\x07"),
)


def with_extensions(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    if len(source) == 4:
        return with_options(rng, port, source, destination)
    chosen = tuple(rng.choice(EXTENSIONS) for _ in range(rng.choice((1, 1, 2))))
    return framed(port, datagram(rng, source, destination, Header(extensions=chosen)))


def short_upper(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    """A transport header that ends too early, or that says so."""
    number = rng.choice((frames.TCP, frames.UDP, frames.ICMP if len(source) == 4 else frames.ICMP6))
    return framed(port, frames.packet(source, destination, number, rng.randbytes(rng.randrange(8))))


def udp_length(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    body = struct.pack(">HHHH", 1000, 53, rng.choice((0, 7, 500)), 0) + b"12345678"
    return framed(port, frames.packet(source, destination, frames.UDP, body))


def lone_icmp(rng: random.Random, port: str, source: bytes, destination: bytes) -> bytes:
    """Types that are no echo, among them answers nobody asked for and errors about nothing."""
    four = len(source) == 4
    kind = rng.choice((0, 3, 5, 9, 11, 13, 14, 40) if four else (1, 2, 3, 129, 130, 131, 139, 200))
    body = frames.icmp(
        kind, rng.choice((0, 0, 1, 20)), rng.randrange(1 << 32), rng.randbytes(rng.choice((0, 28, 48)))
    )
    return framed(port, frames.packet(source, destination, frames.ICMP if four else frames.ICMP6, body))


ODD: tuple[tuple[str, Make], ...] = (
    (
        "source that cannot be",
        from_address(
            ("0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"), ("::", "::1", "ff02::5", "ff0e::5")
        ),
    ),
    (
        "source of a class or scope of its own",
        from_address(("240.0.0.1", "0.1.2.3", "169.254.7.7"), ("fe80::7", "fd00::7", "::ffff:192.0.2.1")),
    ),
    (
        "destination that cannot be",
        to_address(("0.0.0.0", "127.0.0.1", "240.0.0.1", "0.1.2.3"), ("::", "::1", "::ffff:192.0.2.1")),
    ),
    (
        "destination for many",
        to_address(
            ("224.0.0.5", "239.1.2.3", "255.255.255.255", "10.3.0.255"),
            ("ff02::1:5", "ff05::5", "ff0e::5", "2001:db8:3::"),
        ),
    ),
    ("destination of link scope", to_address(("169.254.9.9",), ("fe80::9",))),
    ("source is the router's own", from_itself),
    ("source of another port", from_elsewhere),
    ("hop limit used up", no_life),
    ("wrong header checksum", wrong_header_sum),
    ("wrong version", wrong_version),
    ("header length too short", header_too_short),
    ("length field wrong", length_wrong),
    ("padding behind the packet", padded),
    ("cut off", truncated),
    ("for another station", other_station),
    ("IPv4 options", with_options),
    ("IPv6 extension headers", with_extensions),
    ("transport header too short", short_upper),
    ("UDP length wrong", udp_length),
    ("ICMP of other types", lone_icmp),
)
