"""Packets of a case: scripts that send, look at what the router put out, and answer that.

A script is a generator: it yields what is to be sent and is resumed with what came out. Two runs of a script with the
same seed do the same as long as the routers do, whatever ports and addresses these translate to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from kernel import frames
from kernel.case import BEHIND, CLIENTS, HOSTS, OWN, PORTS, REFUSED, SERVICES, WORLD, Case, Output, of_family
from kernel.ends import End, Script, Send, far_end, some_header, to_router
from kernel.errors import error_about
from kernel.frames import Header, packed
from kernel.odd import ODD
from kernel.tcp import conversation


def pair(rng: random.Random) -> tuple[str, bytes, bytes]:
    """A port, a source that may be behind it, and a destination that is elsewhere."""
    version = rng.choice((4, 6))
    port = rng.choices(("lan", "wan", "dmz"), (5, 3, 2))[0]
    sources = of_family(version, HOSTS[port])[:2]
    if port == "wan" and rng.random() < 0.5:
        sources = of_family(version, WORLD)
    elif port == "lan" and rng.random() < 0.15:
        sources = of_family(version, BEHIND)[1:]
    elsewhere: list[str] = []
    for name, hosts in HOSTS.items():
        if name != port:
            elsewhere += of_family(version, hosts)[:2]
    if port != "wan":
        elsewhere += of_family(version, WORLD) * 2
    if port != "dmz":
        elsewhere += of_family(version, BEHIND)[:1]
    if rng.random() < 0.2:
        elsewhere = of_family(version, OWN)
    return port, packed(rng.choice(sources)), packed(rng.choice(elsewhere))


def end(rng: random.Random, protocol: int) -> End:
    port, source, destination = pair(rng)
    sport = rng.choice(CLIENTS) if rng.random() < 0.4 else rng.randrange(1, 65536)
    dport = rng.choice(SERVICES) if rng.random() < 0.9 else rng.randrange(1, 65536)
    if protocol == frames.ICMP and len(source) == 16:
        protocol = frames.ICMP6
    return End(port, source, destination, protocol, sport, dport)


def udp(rng: random.Random) -> Script:
    """Datagrams both ways, too long ones, errors about them."""
    near = end(rng, frames.UDP)
    far: End | None = None
    for _ in range(rng.randrange(2, 9)):
        back = rng.random() < 0.45
        me = (far or near.mirrored(far_port(rng, near))) if back else near
        header = some_header(rng)
        if len(near.me) == 4 and rng.random() < 0.05:
            header = replace(header, no_sum=True)
        size = rng.choice(
            (0, 1, 18, 100, 512, 1300, 1372, 1373, 1400) if me.port != "wan" else (0, 7, 512, 1352)
        )
        data = frames.udp(me.sport, me.dport, rng.randbytes(size))
        outputs = yield me.send(data, "datagram back" if back else "datagram", header)
        if not back and far is None:
            far = far_end(outputs, near)
        elif (not back and rng.random() < 0.2) or (back and rng.random() < 0.2):
            yield from error_about(rng, outputs, near.protocol)


def far_port(rng: random.Random, near: End) -> str:
    """Where an unasked answer comes from: mostly where routes lead."""
    if rng.random() < 0.1:
        return rng.choice([port.name for port in PORTS])
    for name, hosts in HOSTS.items():
        if near.other in map(packed, hosts):
            return name
    return "wan" if near.port != "wan" else "lan"


def echo(rng: random.Random) -> Script:
    """Echoes and other questions by ICMP, answered or not."""
    near = end(rng, frames.ICMP)
    version4 = near.protocol == frames.ICMP
    ask, answer = (8, 0) if version4 else (128, 129)
    if version4 and rng.random() < 0.15:
        ask, answer = rng.choice(((13, 14), (17, 18), (15, 16), (9, 10), (42, 43)))
    elif rng.random() < 0.1:
        ask, answer = answer, ask
    far: End | None = None
    for count in range(rng.randrange(1, 5)):
        rest = near.sport << 16 | count
        outputs = yield near.send(frames.icmp(ask, 0, rest, rng.randbytes(24)), "question", some_header(rng))
        far = far or far_end(outputs, near)
        chance = rng.random()
        if chance < 0.15:
            yield from error_about(rng, outputs, near.protocol)
        elif chance < 0.8:
            me = far or near.mirrored(far_port(rng, near))
            ident = (me.dport if far and ask in (8, 128) else near.sport) ^ (rng.random() < 0.1)
            rest = ident << 16 | count
            outputs = yield me.send(
                frames.icmp(answer, 0, rest, rng.randbytes(24)), "answer", some_header(rng)
            )
            if rng.random() < 0.1:
                yield from error_about(rng, outputs, near.protocol)


def other(rng: random.Random) -> Script:
    """Protocols that have no ports: GRE, ESP, OSPF's number, one that nobody has, next header 59."""
    near = end(rng, rng.choice((frames.GRE, frames.ESP, 89, 200, frames.NO_NEXT)))
    far: End | None = None
    for _ in range(rng.randrange(1, 5)):
        me = far if far is not None and rng.random() < 0.5 else near
        outputs = yield me.send(
            rng.randbytes(rng.choice((0, 8, 40))), "protocol without ports", some_header(rng)
        )
        far = far or (far_end(outputs, near) if me is near else None)


def refused(rng: random.Random) -> Script:
    """Packets to where no route leads. Linux lets five errors a source through at once, so each has its own."""
    version = rng.choice((4, 6))
    high, low = rng.randrange(4, 250), rng.randrange(1, 250)
    source = packed(f"10.10.{high}.{low}" if version == 4 else f"2001:db8:10::{high}:{low}")
    destination = packed(rng.choice(of_family(version, REFUSED)))
    sport, dport = rng.choice(CLIENTS), rng.choice(SERVICES)
    for _ in range(rng.randrange(1, 4)):
        if rng.random() < 0.5:
            segment = frames.tcp(sport, dport, rng.randrange(1 << 32), 0, frames.SYN, 1000, b"", b"")
            yield End("lan", source, destination, frames.TCP).send(
                segment, "to a refused route", some_header(rng)
            )
        else:
            segment = frames.udp(sport, dport, rng.randbytes(rng.choice((0, 30, 900))))
            yield End("lan", source, destination, frames.UDP).send(
                segment, "to a refused route", some_header(rng)
            )


def to_itself(rng: random.Random) -> Script:
    """Packets for the router."""
    near = end(rng, rng.choice((frames.UDP, frames.TCP, frames.ICMP)))
    version = 4 if len(near.me) == 4 else 6
    near = replace(near, other=packed(rng.choice(of_family(version, OWN))))
    for count in range(rng.randrange(1, 4)):
        if near.protocol == frames.UDP:
            segment = frames.udp(near.sport, near.dport, rng.randbytes(20))
        elif near.protocol == frames.TCP:
            segment = frames.tcp(near.sport, near.dport, 1000, 0, frames.SYN, 1000, b"", b"")
        else:
            segment = frames.icmp(8 if version == 4 else 128, 0, near.sport << 16 | count, b"ping")
        yield near.send(segment, "to the router itself", some_header(rng))


def fragmented(rng: random.Random) -> Script:
    """A long datagram in fragments, some of them missing, late or twice."""
    near = end(rng, rng.choice((frames.UDP, frames.UDP, frames.ICMP)))
    body = rng.randbytes(rng.choice((600, 1000, 1800)))
    if near.protocol == frames.UDP:
        segment = frames.udp(near.sport, near.dport, body)
    else:
        segment = frames.icmp(8 if near.protocol == frames.ICMP else 128, 0, near.sport << 16, body)
    header = Header(ident=rng.randrange(1, 65536), dont_fragment=False)
    data = frames.packet(near.me, near.other, near.protocol, segment, header)
    size = rng.choice((256, 504, 1000))
    if len(near.me) == 4:
        parts = frames.fragments4(data, size)
    else:
        parts = frames.fragments6(data, size, rng.randrange(1 << 32))
    chance, what = rng.random(), "fragments in order"
    if chance < 0.15:
        del parts[rng.randrange(len(parts))]
        what = "fragments with a gap"
    elif chance < 0.35:
        rng.shuffle(parts)
        what = "fragments out of order"
    yield Send(near.port, [to_router(near.port, part) for part in parts], what, fragments=True)


def odd(rng: random.Random) -> Script:
    """Single packets that a router has to look at twice."""
    for _ in range(rng.randrange(1, 4)):
        port, source, destination = pair(rng)
        what, make = rng.choice(ODD)
        yield Send(port, [make(rng, port, source, destination)], what)


def tcp(rng: random.Random) -> Script:
    """A conversation by TCP."""
    yield from conversation(rng, end(rng, frames.TCP))


# UDP-Lite is not among them: Linux takes its checksum for UDP's and tracks none whose checksum is right. Nor are SCTP
# and DCCP, whose handshakes would need scripts of their own.
SCRIPTS: tuple[tuple[Callable[[random.Random], Script], int], ...] = (
    (tcp, 9),
    (udp, 6),
    (echo, 3),
    (other, 1),
    (refused, 1),
    (to_itself, 1),
    (odd, 2),
)
# In cases of their own: what a rule counts is a fragment for one router and a datagram for another.
FRAGMENTS = ((fragmented, 4), (udp, 1))
# Seconds: longer than the shortest timeout of a connection, and than a flow has to last to be a stream (2 s).
PAUSE = 2.2


class Play:
    """The packets of a case, in turn from several scripts."""

    def __init__(self, case: Case, attempt: int = 0) -> None:
        self.rng = random.Random(f"{case.seed} turns")
        makers, weights = zip(*(FRAGMENTS if case.fragments else SCRIPTS), strict=True)
        choice = random.Random(f"{case.seed} scripts")
        self.scripts: list[Script] = []
        for number, make in enumerate(choice.choices(makers, weights, k=case.flows)):
            # Other sources each time: Linux counts what it tells a source.
            seed = f"{case.seed} {number} {attempt}" if make is refused else f"{case.seed} {number}"
            self.scripts.append(make(random.Random(seed)))
        self.pending = [next(script, None) for script in self.scripts]
        self.chosen = 0
        self.pauses = case.pauses

    def next(self) -> Send | None:
        """What to send now; None at the end."""
        alive = [number for number, send in enumerate(self.pending) if send is not None]
        if not alive:
            return None
        self.chosen = self.rng.choice(alive)
        send = self.pending[self.chosen]
        if send is not None and self.pauses and self.rng.random() < 0.1:
            self.pauses -= 1
            send = send._replace(pause=PAUSE)
        return send

    def heard(self, outputs: list[Output]) -> None:
        """What came out in answer to the last one."""
        try:
            self.pending[self.chosen] = self.scripts[self.chosen].send(outputs)
        except StopIteration:
            self.pending[self.chosen] = None
