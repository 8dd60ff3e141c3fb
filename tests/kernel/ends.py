"""Who sends and who gets: the two ends of a flow, and what a script yields."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kernel import frames
from kernel.case import LOCAL, PORT, Output
from kernel.frames import PLAIN, Header, Parsed


class Send(NamedTuple):
    """Frames for a port. `what` says in words why they are sent."""

    port: str
    frames: list[bytes]
    what: str
    # Fragments of one datagram: what becomes of them is compared as a whole.
    fragments: bool = False
    # Seconds that pass before.
    pause: float = 0


Script = Generator[Send, list[Output], None]


@dataclass(frozen=True)
class End:
    """A host behind a port, its address and port, and those that it takes for its partner's."""

    port: str
    me: bytes
    other: bytes
    protocol: int
    sport: int = 0
    dport: int = 0

    def send(self, segment: bytes, what: str, header: Header = PLAIN, protocol: int | None = None) -> Send:
        data = frames.packet(
            self.me, self.other, self.protocol if protocol is None else protocol, segment, header
        )
        return self.raw(data, what)

    def raw(self, data: bytes, what: str) -> Send:
        return Send(self.port, [to_router(self.port, data)], what)

    def mirrored(self, port: str) -> End:
        """The partner as this one sees it."""
        return replace(self, port=port, me=self.other, other=self.me, sport=self.dport, dport=self.sport)


def to_router(port: str, data: bytes) -> bytes:
    return frames.ethernet(PORT[port].mac, PORT[port].peer, data)


def forwarded(outputs: list[Output], protocol: int) -> tuple[str, Parsed] | None:
    """The first packet of a protocol that came out of a port and is no error."""
    for port, data in outputs:
        parsed = frames.parse(data[14:]) if port != LOCAL else None
        if parsed is not None and parsed.protocol == protocol and parsed.error is None:
            return port, parsed
    return None


def far_end(outputs: list[Output], near: End) -> End | None:
    """Who got what `near` sent, as addresses and ports say there."""
    found = forwarded(outputs, near.protocol)
    if found is None:
        return None
    port, parsed = found
    sport, dport = parsed.ports or (0, 0)
    if near.protocol in frames.ECHOES:
        sport, dport = 0, sport
    return End(port, parsed.destination, parsed.source, near.protocol, dport, sport)


def some_header(rng: random.Random) -> Header:
    """Mostly plain; now and then a short life, a DSCP, an identification, a wrong checksum."""
    header = Header(
        ttl=rng.choice((64, 128, 255, 2)), tos=rng.choice((0, 0, 0x28, 0xB8, 3)), ident=rng.randrange(65536)
    )
    chance = rng.random()
    if chance < 0.03:
        return replace(header, ttl=1)
    if chance < 0.05:
        return replace(header, wrong_sum=True)
    if chance < 0.15:
        return replace(header, dont_fragment=False)
    return header
