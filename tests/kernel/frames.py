"""Frames made and read with struct: some hundred thousand a minute are."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

ICMP, TCP, UDP, GRE, ESP, ICMP6, NO_NEXT, UDPLITE = 1, 6, 17, 47, 50, 58, 59, 136
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
WITH_PORTS = {TCP, UDP, UDPLITE}
# Of ICMP and of ICMPv6: the errors, which quote a packet.
ERRORS = {ICMP: {3, 4, 5, 11, 12}, ICMP6: {1, 2, 3, 4}}
# Questions and answers, which have an identifier.
ECHOES = {ICMP: {0, 8, 13, 14, 15, 16, 17, 18}, ICMP6: {128, 129}}


def packed(address: str) -> bytes:
    return ip_address(address).packed


def fold(data: bytes) -> int:
    """The Internet checksum of RFC 1071 before it is inverted."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data: bytes) -> int:
    return ~fold(data) & 0xFFFF


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    return source + destination + struct.pack(">IHBB", length, 0, 0, protocol)


# Where the checksum of an upper header stands.
AT = {ICMP: 2, ICMP6: 2, TCP: 16, UDP: 6, UDPLITE: 6}


def summed(source: bytes, destination: bytes, protocol: int, segment: bytes) -> bytes:
    """The segment with its checksum; UDP-Lite's covers all (RFC 3828)."""
    at = AT.get(protocol)
    if at is None or len(segment) < at + 2:
        return segment
    bare = segment[:at] + b"\0\0" + segment[at + 2 :]
    covered = bare if protocol == ICMP else pseudo(source, destination, protocol, len(bare)) + bare
    value = checksum(covered)
    if value == 0 and protocol in (UDP, UDPLITE):
        value = 0xFFFF
    return bare[:at] + struct.pack(">H", value) + bare[at + 2 :]


def tcp(
    sport: int, dport: int, seq: int, ack: int, flags: int, window: int, options: bytes, data: bytes
) -> bytes:
    offset = (20 + len(options)) // 4
    seq, ack = seq & 0xFFFFFFFF, ack & 0xFFFFFFFF
    return (
        struct.pack(">HHIIBBHHH", sport, dport, seq, ack, offset << 4, flags, window, 0, 0) + options + data
    )


def udp(sport: int, dport: int, data: bytes) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data


def icmp(kind: int, code: int, rest: int, data: bytes) -> bytes:
    return struct.pack(">BBHI", kind, code, 0, rest) + data


def ipv4(
    source: bytes,
    destination: bytes,
    protocol: int,
    body: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    fragment: int = 0x4000,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet; `fragment` holds flags and offset, as in the header."""
    words = 5 + len(options) // 4
    head = struct.pack(
        ">BBHHHBBH", 0x40 | words, tos, words * 4 + len(body), ident, fragment, ttl, protocol, 0
    ) + (source + destination + options)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def ipv6(
    source: bytes,
    destination: bytes,
    protocol: int,
    body: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    flow: int = 0,
) -> bytes:
    word = 6 << 28 | tos << 20 | flow
    return struct.pack(">IHBB", word, len(body), protocol, ttl) + source + destination + body


@dataclass(frozen=True)
class Header:
    """How a packet is wrapped: what scripts vary beside addresses and the segment."""

    ttl: int = 64
    tos: int = 0
    ident: int = 0
    dont_fragment: bool = True
    options: bytes = b""
    # IPv6: extension headers as (number, bytes behind the next-header octet).
    extensions: tuple[tuple[int, bytes], ...] = ()
    wrong_sum: bool = False
    no_sum: bool = False


PLAIN = Header()


def packet(source: bytes, destination: bytes, protocol: int, segment: bytes, header: Header = PLAIN) -> bytes:
    """An IP packet of the family of its addresses, its checksums right unless the header says otherwise."""
    segment = summed(source, destination, protocol, segment)
    at = AT.get(protocol)
    if at is not None and (header.wrong_sum or header.no_sum):
        # Wrong by a fixed amount: what is translated differently by two routers is as wrong in both.
        value = 0 if header.no_sum else (struct.unpack_from(">H", segment, at)[0] + 0x5555) % 0xFFFF
        segment = segment[:at] + struct.pack(">H", value) + segment[at + 2 :]
    if len(source) == 4:
        return ipv4(
            source,
            destination,
            protocol,
            segment,
            ttl=header.ttl,
            tos=header.tos,
            ident=header.ident,
            fragment=0x4000 if header.dont_fragment else 0,
            options=header.options,
        )
    for number, body in reversed(header.extensions):
        segment, protocol = bytes([protocol]) + body + segment, number
    return ipv6(source, destination, protocol, segment, ttl=header.ttl, tos=header.tos)


@dataclass(frozen=True)
class Parsed:
    """An IP packet read as far as it goes: extension headers are skipped, later fragments have no segment."""

    data: bytes
    version: int
    source: bytes
    destination: bytes
    protocol: int
    ttl: int
    # Where the upper header begins in `data`; None in a later fragment.
    upper: int | None

    @property
    def segment(self) -> bytes:
        return b"" if self.upper is None else self.data[self.upper :]

    @property
    def ports(self) -> tuple[int, int] | None:
        """Ports, or the identifier of an ICMP echo and zero."""
        segment = self.segment
        if self.protocol in WITH_PORTS and len(segment) >= 4:
            a, b = struct.unpack_from(">HH", segment)
            return a, b
        if self.protocol in ECHOES and len(segment) >= 8 and segment[0] in ECHOES[self.protocol]:
            return struct.unpack_from(">H", segment, 4)[0], 0
        return None

    @property
    def error(self) -> tuple[int, int] | None:
        """Type and code of an ICMP error."""
        segment = self.segment
        if self.protocol in ERRORS and len(segment) >= 8 and segment[0] in ERRORS[self.protocol]:
            return segment[0], segment[1]
        return None

    @property
    def quoted(self) -> Parsed | None:
        """What an ICMP error quotes."""
        return parse(self.segment[8:]) if self.error else None


def parse(data: bytes) -> Parsed | None:
    """Reads a packet from its IP header on."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        fragment = struct.unpack_from(">H", data, 6)[0]
        upper = (data[0] & 15) * 4 if fragment & 0x1FFF == 0 else None
        return Parsed(data, 4, data[12:16], data[16:20], data[9], data[8], upper)
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    protocol, at = data[6], 40
    while protocol in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION) and at + 8 <= len(data):
        if protocol == FRAGMENT:
            if struct.unpack_from(">H", data, at + 2)[0] & 0xFFF8:
                return Parsed(data, 6, data[8:24], data[24:40], data[at], data[7], None)
            protocol, at = data[at], at + 8
        else:
            protocol, at = data[at], at + 8 + data[at + 1] * 8
    return Parsed(data, 6, data[8:24], data[24:40], protocol, data[7], at)


def ethernet(destination: bytes, source: bytes, data: bytes, kind: int | None = None) -> bytes:
    """A frame; the EtherType follows from the packet's version unless it is given."""
    if kind is None:
        kind = 0x86DD if data[:1] and data[0] >> 4 == 6 else 0x0800
    return destination + source + struct.pack(">H", kind) + data


def fragments4(data: bytes, size: int) -> list[bytes]:
    """An IPv4 packet in fragments of `size` octets of payload, a multiple of eight."""
    length = (data[0] & 15) * 4
    body, out = data[length:], []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = 0x2000 if at + size < len(body) else 0
        head = data[:2] + struct.pack(">H", length + len(part)) + data[4:6]
        head += struct.pack(">H", more | at // 8) + data[8:10] + b"\0\0" + data[12:length]
        out.append(head[:10] + struct.pack(">H", checksum(head)) + head[12:] + part)
    return out


def fragments6(data: bytes, size: int, ident: int) -> list[bytes]:
    """An IPv6 packet without extension headers in fragments of `size` octets of payload, a multiple of eight."""
    body, out = data[40:], []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = int(at + size < len(body))
        header = struct.pack(">BBHI", data[6], 0, at | more, ident)
        head = data[:4] + struct.pack(">HBB", len(header) + len(part), FRAGMENT, data[7]) + data[8:40]
        out.append(head + header + part)
    return out


def reversed_ends(first: Parsed) -> tuple[bytes, bytes]:
    """Source and destination of an answer."""
    return first.destination, first.source


def describe(data: bytes) -> str:
    """A packet in a line, for reports."""
    parsed = parse(data)
    if parsed is None:
        return f"{len(data)} octets {data[:24].hex()}"
    words = [f"{ip_address(parsed.source)} > {ip_address(parsed.destination)}", f"protocol {parsed.protocol}"]
    if parsed.ports:
        words.append(f"ports {parsed.ports[0]} {parsed.ports[1]}")
    if parsed.protocol == TCP and len(parsed.segment) >= 20:
        seq, ack, _, flags, window = struct.unpack_from(">IIBBH", parsed.segment, 4)
        names = [n for bit, n in enumerate("FIN SYN RST PSH ACK URG ECE CWR".split()) if flags >> bit & 1]
        words.append(f"{','.join(names) or 'no flags'} seq {seq} ack {ack} window {window}")
    elif parsed.protocol in ERRORS and parsed.segment:
        words.append(f"type {parsed.segment[0]} code {parsed.segment[1]}")
        if parsed.quoted:
            words.append(f"({describe(parsed.quoted.data)})")
    if not sum_is_right(parsed):
        words.append("WRONG CHECKSUM")
    return ", ".join([*words, f"ttl {parsed.ttl}", f"{len(data)} octets"])


def sum_is_right(parsed: Parsed) -> bool:
    """Is the upper checksum right, or none there?"""
    segment, at = parsed.segment, AT.get(parsed.protocol)
    if at is None or len(segment) < at + 2:
        return True
    if parsed.protocol == UDP and segment[at : at + 2] == b"\0\0" and parsed.version == 4:
        return True
    covered = segment
    if parsed.protocol != ICMP:
        covered = pseudo(parsed.source, parsed.destination, parsed.protocol, len(segment)) + segment
    return checksum(covered) == 0
