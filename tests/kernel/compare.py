"""What two routers did with the same packets, held against each other field by field."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from kernel import frames
from kernel.case import FIRST_OF_POOL, LOCAL, Case, Connection, Output
from kernel.ends import Send

Fields = dict[str, Any]
# Seconds by which the time that a connection has left may differ: Linux counts while the other is asked.
SLACK = 3
# Ports that rules give as a range, and the classes that Linux keeps ports in without one (RFC 4787 has them, too).
RANGES = {"4100-4103": range(4100, 4104), "2000-2100": range(2000, 2101)}
CLASSES = (range(1, 512), range(512, 1024), range(1024, 65536))


@dataclass
class Difference:
    """One thing in which the routers differ. `where` is packet, connection or counter."""

    case: Case
    where: str
    field: str
    linux: Any
    other: Any
    send: Send | None = None
    linux_out: list[Output] = field(default_factory=list)
    other_out: list[Output] = field(default_factory=list)
    # All that was sent in the case, for what is compared at its end.
    sent: list[Send] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"seed {self.case.seed}: {self.where}: {self.field}: linux {self.linux!r}, other {self.other!r}"
        ]
        if self.send is not None:
            lines.append(f"  {self.send.what}, into {self.send.port}:")
            lines += [f"    {frames.describe(frame[14:])}" for frame in self.send.frames]
            for name, outputs in (("linux", self.linux_out), ("other", self.other_out)):
                lines.append(f"  out of {name}:" + (" nothing" if not outputs else ""))
                lines += [f"    {port}: {frames.describe(ip_part(port, data))}" for port, data in outputs]
        return "\n".join(lines)


def ip_part(port: str, data: bytes) -> bytes:
    return data if port == LOCAL else data[14:]


# A choice is made among the ports that are free towards a partner: protocol, address and port.
Partner = tuple[int, str, int]


class Names:
    """Which of one router's chosen ports is which of the other's: one to one towards a partner, for a case."""

    def __init__(self, rules: str) -> None:
        self.ranges = [ports for text, ports in RANGES.items() if text in rules] + list(CLASSES)
        self.there: dict[tuple[Partner, int], int] = {}
        self.back: dict[tuple[Partner, int], int] = {}
        self.pairs: set[tuple[int, int, int]] = set()

    def same(self, protocol: int, linux: int, other: int) -> bool:
        """Are both the same port, or names of the same one?"""
        return linux == other or (protocol, linux, other) in self.pairs

    def chosen(self, partner: Partner, linux: int, other: int) -> bool:
        """Both routers chose a port: it is the same from now on, if the choice can be the same."""
        # Identifiers of ICMP have no classes.
        allowed = next((ports for ports in self.ranges if linux in ports), range(65536))
        if partner[0] not in frames.ECHOES and other not in allowed:
            return False
        self.pairs.add((partner[0], linux, other))
        return (
            self.there.setdefault((partner, linux), other) == other
            and self.back.setdefault((partner, other), linux) == linux
        )


def pooled(address: bytes) -> str:
    """An address as text; those of a pool are one."""
    return str(ip_address(FIRST_OF_POOL.get(address, address)))


def off(stored: int, data: bytes) -> int:
    """By how much a checksum is wrong: what incremental updates keep."""
    return (stored + frames.fold(data)) % 0xFFFF


def upper_fields(parsed: frames.Parsed) -> Fields:
    """The upper header; the checksum as its error."""
    segment, protocol = parsed.segment, parsed.protocol
    out: Fields = {"protocol": protocol}
    if parsed.upper is None:
        return out | {"payload": parsed.data.hex()}
    at = frames.AT.get(protocol)
    if at is not None and len(segment) >= at + 2:
        stored = struct.unpack_from(">H", segment, at)[0]
        bare = segment[:at] + b"\0\0" + segment[at + 2 :]
        covered = bare
        if protocol != frames.ICMP:
            length = struct.unpack_from(">H", segment, 4)[0] if protocol == frames.UDP else len(bare)
            covered = frames.pseudo(parsed.source, parsed.destination, protocol, length) + bare
        out["checksum"] = "none" if protocol == frames.UDP and stored == 0 else off(stored, covered)
        segment = bare
    if parsed.ports is not None:
        if protocol in frames.ECHOES:
            out["sport"] = parsed.ports[0]
            segment = segment[:4] + b"\0\0" + segment[6:]
        else:
            out["sport"], out["dport"] = parsed.ports
            segment = bytes(4) + segment[4:]
    if parsed.error is not None and parsed.quoted is not None:
        out["error"] = parsed.error
        # The error of the checksum over a quote is not kept when the quote is translated back.
        out["checksum"] = out["checksum"] if out["checksum"] == 0 else "wrong"
        out["rest"] = segment[4:8].hex()
        return out | {f"quoted {name}": value for name, value in packet_fields(segment[8:]).items()}
    return out | {"payload": segment.hex()}


def packet_fields(data: bytes) -> Fields:
    """An IP packet."""
    parsed = frames.parse(data)
    if parsed is None:
        return {"octets": data.hex()}
    out: Fields = {
        "source": pooled(parsed.source),
        "destination": pooled(parsed.destination),
        "ttl": parsed.ttl,
    }
    out["length"] = len(data)
    if parsed.version == 4:
        tos, length, ident, fragment = struct.unpack_from(">xBHHH", data)
        out |= {"tos": tos, "length field": length, "identification": ident, "fragment": fragment}
        size = max(data[0] & 15, 5) * 4
        out |= {"options": data[20:size].hex(), "header checksum": off(0, data[:size])}
    else:
        out |= {"flow": data[:4].hex(), "length field": data[4:6].hex(), "next header": data[6]}
        out["extensions"] = data[40 : parsed.upper or 40].hex()
    return out | upper_fields(parsed)


def fields(output: Output) -> Fields:
    """A frame, or a packet for the router itself."""
    if output.port == LOCAL:
        return {"port": LOCAL} | packet_fields(output.data)
    ends = {
        "to": output.data[:6].hex(":"),
        "from": output.data[6:12].hex(":"),
        "type": output.data[12:14].hex(),
    }
    return {"port": output.port} | ends | packet_fields(output.data[14:])


def is_noise(output: Output) -> bool:
    """What a host says by itself to its link: listener reports and redirects of IPv6."""
    parsed = frames.parse(ip_part(*output))
    if parsed is None or parsed.version != 6 or output.port == LOCAL:
        return False
    redirect = parsed.protocol == frames.ICMP6 and parsed.segment[:1] == b"\x89" and parsed.ttl == 255
    return redirect or parsed.destination.startswith(b"\xff\x02")


def made_error(send: Send, output: Output) -> bool:
    """Is this an error that the router made itself, not one that it forwards?"""
    parsed = frames.parse(ip_part(*output))
    if parsed is None or parsed.error is None:
        return False
    sent = [frames.parse(frame[14:]) for frame in send.frames]
    return not any(each is not None and each.error is not None for each in sent)


class Comparison:
    """One case's: holds what is known of the ports that both routers chose."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.names = Names(case.rules)
        self.sent: list[Send] = []

    def step(
        self, linux_send: Send, other_send: Send, linux: list[Output], other: list[Output]
    ) -> Iterator[Difference]:
        """What came out in answer to the same step."""
        self.sent.append(linux_send)
        one = sorted((o for o in linux if not is_noise(o)), key=lambda o: o.port)
        two = sorted((o for o in other if not is_noise(o)), key=lambda o: o.port)
        if linux_send.fragments:
            one, two = reassembled(one), reassembled(two)
        ports = [o.port for o in one], [o.port for o in two]
        if ports[0] != ports[1]:
            yield self.difference("ports", *ports, linux_send, one, two)
            return
        for a, b in zip(one, two, strict=True):
            if a.data == b.data:
                continue
            made = made_error(linux_send, a)
            for name, x, y in self.unequal(fields(a), fields(b), linux_send, other_send, made):
                yield self.difference(name, x, y, linux_send, one, two)

    def difference(
        self, name: str, linux: Any, other: Any, send: Send, one: list[Output], two: list[Output]
    ) -> Difference:
        return Difference(self.case, "packet", name, linux, other, send, one, two)

    def unequal(
        self, a: Fields, b: Fields, linux_send: Send, other_send: Send, made: bool
    ) -> Iterator[tuple[str, Any, Any]]:
        """Fields that differ, but for what each router may choose."""
        for name in a | b:
            x, y = a.get(name), b.get(name)
            if x == y or (made and name == "identification"):
                # The identification of a packet that a router makes is its own.
                continue
            if name.endswith(("sport", "dport")) and isinstance(x, int) and isinstance(y, int):
                protocol = a["quoted protocol" if name.startswith("quoted") else "protocol"]
                if self.names.same(protocol, x, y):
                    continue
                chose = name == "sport" and changed(linux_send, x) and changed(other_send, y)
                if chose and self.names.chosen((protocol, a["destination"], a.get("dport", 0)), x, y):
                    continue
            yield name, x, y

    def connections(self, linux: list[Connection], other: list[Connection]) -> Iterator[Difference]:
        """The connection tables at the end of a case."""
        one, two = {key(c): c for c in linux}, {key(c): c for c in other}
        for name in [name for name in one if name not in two]:
            # The same but for ports that the routers chose.
            for again in two:
                if again not in one and self.same_key(name, again):
                    one[again] = one.pop(name)
                    break
        for name in one | two:
            a, b = one.get(name), two.get(name)
            words = " ".join(map(str, name))
            if a is None or b is None:
                there = a and "there", b and "there"
                yield Difference(self.case, "connection", words, *there, sent=self.sent)
                continue
            for what in ("state", "replied", "assured", "mark"):
                x, y = getattr(a, what), getattr(b, what)
                if x != y:
                    yield Difference(self.case, "connection", f"{what} of {words}", x, y, sent=self.sent)
            if abs(a.timeout - b.timeout) > SLACK:
                yield Difference(
                    self.case, "connection", f"timeout of {words} {a.state}", a.timeout, b.timeout
                )

    def same_key(self, linux: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        """Do two names of connections differ only in ports that the routers chose?"""
        return all(x == y or self.names.same(linux[0], x, y) for x, y in zip(linux, other, strict=True))

    def counters(
        self, linux: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]
    ) -> Iterator[Difference]:
        """What rules counted."""
        for rule in linux | other:
            a, b = linux.get(rule), other.get(rule)
            if a != b:
                yield Difference(self.case, "counter", rule, a, b, sent=self.sent)


def key(c: Connection) -> tuple[Any, ...]:
    """What a connection is called in both tables."""
    there = (pooled(c.source), pooled(c.destination), *c.ports)
    return c.protocol, *there, pooled(c.reply_source), pooled(c.reply_destination), *c.reply_ports


def changed(send: Send, port: int) -> bool:
    """Did the router change the source port of what was sent?"""
    sent = [frames.parse(frame[14:]) for frame in send.frames]
    return any(parsed is not None and parsed.ports is not None and parsed.ports[0] != port for parsed in sent)


def reassembled(outputs: list[Output]) -> list[Output]:
    """Whole datagrams in place of their fragments; what is incomplete is left out."""
    out: list[Output] = []
    parts: dict[tuple[object, ...], list[tuple[int, bool, bytes, Output]]] = {}
    for output in outputs:
        found = fragment(ip_part(*output))
        if found is None:
            out.append(output)
        else:
            key, at, more, body = found
            parts.setdefault((output.port, *key), []).append((at, more, body, output))
    for (port, *_), pieces in parts.items():
        pieces.sort(key=lambda piece: piece[0])
        body, complete = b"", False
        for at, more, piece, _ in pieces:
            if at == len(body):
                body, complete = body + piece, not more
        if complete:
            out.append(Output(str(port), whole(pieces[0][3], body)))
    return sorted(out, key=lambda o: o.port)


def fragment(data: bytes) -> tuple[tuple[object, ...], int, bool, bytes] | None:
    """What names a fragment's datagram, its place, whether more follow, and its payload."""
    if data[:1] and data[0] >> 4 == 4:
        ident, place = struct.unpack_from(">HH", data, 4)
        if place & 0x3FFF:
            length = (data[0] & 15) * 4
            return (data[12:20], ident), (place & 0x1FFF) * 8, bool(place & 0x2000), data[length:]
    elif len(data) >= 48 and data[6] == frames.FRAGMENT:
        place, ident = struct.unpack_from(">HI", data, 42)
        return (data[8:40], ident), place & 0xFFF8, bool(place & 1), data[48:]
    return None


def whole(first: Output, body: bytes) -> bytes:
    """The datagram that the first fragment began."""
    head, data = first.data[: len(first.data) - len(ip_part(*first))], ip_part(*first)
    if data[0] >> 4 == 6:
        return head + data[:4] + struct.pack(">HB", len(body), data[40]) + data[7:40] + body
    length = (data[0] & 15) * 4
    bare = data[:2] + struct.pack(">H", length + len(body)) + data[4:6] + b"\0\0" + data[8:10] + b"\0\0"
    bare += data[12:length]
    return head + bare[:10] + struct.pack(">H", frames.checksum(bare)) + bare[12:] + body
