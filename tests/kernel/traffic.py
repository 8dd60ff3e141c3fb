"""Packets of a case: scripts that send, look at what the router put out, and answer that.

A script is a generator: it yields what is to be sent and is resumed with what came out. Two runs of a script with the
same seed do the same as long as the routers do, whatever ports and addresses these translate to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from kernel import frames
from kernel.case import HOSTS, PORTS, Case, Output
from kernel.ends import End, Script, Send, far_end, forwarded, to_router
from kernel.frames import Header, packed
from kernel.odd import ODD
from kernel.tcp import conversation

# Ports that rules and packets share, so that they meet.
SERVICES = (22, 53, 80, 123, 443, 5353, 8080, 8443)
CLIENTS = (500, 1000, 4000, 4001, 33333)
# Destinations beyond neighbours: the rest of the world, networks behind hosts, networks that routes refuse.
WORLD = ("198.51.100.7", "198.51.100.8", "2001:db8:5::7", "2001:db8:5::8")
BEHIND = ("10.20.1.1", "10.10.3.3", "2001:db8:20::1", "2001:db8:10::1")
REFUSED = (
    "10.66.0.9",
    "10.67.0.9",
    "10.68.0.9",
    "10.20.66.9",
    "2001:db8:66::9",
    "2001:db8:67::9",
    "2001:db8:68::9",
)
OWN = tuple(address.split("/")[0] for port in PORTS for address in port.addresses)


def of_family(version: int, addresses: tuple[str, ...]) -> list[str]:
    return [address for address in addresses if (":" in address) == (version == 6)]


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


def udp(rng: random.Random) -> Script:
    """Datagrams both ways, too long ones, errors about them."""
    near = end(rng, rng.choices((frames.UDP, frames.UDPLITE), (9, 1))[0])
    far: End | None = None
    for _ in range(rng.randrange(2, 9)):
        back = rng.random() < 0.45
        me = (far or near.mirrored(far_port(rng, near))) if back else near
        header = some_header(rng)
        if near.protocol == frames.UDP and len(near.me) == 4 and rng.random() < 0.05:
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
    """Protocols that have no ports here: ESP, OSPF's number, one that nobody has, next header 59."""
    near = end(rng, rng.choice((frames.ESP, 89, 200, frames.NO_NEXT)))
    far: End | None = None
    for _ in range(rng.randrange(1, 5)):
        me = far if far is not None and rng.random() < 0.5 else near
        outputs = yield me.send(
            rng.randbytes(rng.choice((0, 8, 40))), "protocol without ports", some_header(rng)
        )
        far = far or (far_end(outputs, near) if me is near else None)


def error_about(rng: random.Random, outputs: list[Output], protocol: int) -> Script:
    """An ICMP error from where a packet came out, about that packet, or about one like it that never was."""
    found = forwarded(outputs, protocol)
    if found is None:
        return
    port, about = found
    four = about.version == 4
    kind, code, rest = rng.choice(
        ((3, 1, 0), (3, 3, 0), (3, 4, 1200), (11, 0, 0), (12, 0, 20 << 24), (3, 13, 0), (4, 0, 0))
        if four
        else ((1, 0, 0), (1, 4, 0), (2, 0, 1280), (3, 0, 0), (4, 0, 6), (1, 1, 0))
    )
    quote = about.data[: rng.choice((28, 48, 68, 576) if four else (48, 68, 1232))]
    what = "error about it"
    chance = rng.random()
    if chance < 0.1:
        # Another destination port, or another sequence number of an echo: no router chooses these.
        at = (about.upper or 0) + (6 if protocol in frames.ECHOES else 2)
        if at < len(quote):
            quote = quote[:at] + bytes([quote[at] ^ 0x11]) + quote[at + 1 :]
        what = "error about another"
    elif chance < 0.15:
        quote = quote[: rng.randrange(30)]
        what = "error with a short quote"
    elif chance < 0.2:
        quote = b""
        what = "error without a quote"
    hosts = [about.destination] * 3 + [packed(a) for a in of_family(about.version, HOSTS[port])]
    if port == "wan":
        hosts += [packed(a) for a in of_family(about.version, WORLD)]
    number = frames.ICMP if four else frames.ICMP6
    me = End(port, rng.choice(hosts), about.source, number)
    header = replace(some_header(rng), tos=0xC0)
    yield me.send(frames.icmp(kind, code, rest, quote), what, header)


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


class Play:
    """The packets of a case, in turn from several scripts."""

    def __init__(self, case: Case) -> None:
        self.rng = random.Random(f"{case.seed} turns")
        makers, weights = zip(*(FRAGMENTS if case.fragments else SCRIPTS), strict=True)
        choice = random.Random(f"{case.seed} scripts")
        self.scripts = [
            make(random.Random(f"{case.seed} {number}"))
            for number, make in enumerate(choice.choices(makers, weights, k=case.flows))
        ]
        self.pending = [next(script, None) for script in self.scripts]
        self.chosen = 0

    def next(self) -> Send | None:
        """What to send now; None at the end."""
        alive = [number for number, send in enumerate(self.pending) if send is not None]
        if not alive:
            return None
        self.chosen = self.rng.choice(alive)
        return self.pending[self.chosen]

    def heard(self, outputs: list[Output]) -> None:
        """What came out in answer to the last one."""
        try:
            self.pending[self.chosen] = self.scripts[self.chosen].send(outputs)
        except StopIteration:
            self.pending[self.chosen] = None
