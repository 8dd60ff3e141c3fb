"""ICMP errors about what a router put out."""

from __future__ import annotations

import random
from dataclasses import replace

from kernel import frames
from kernel.case import HOSTS, WORLD, Output, of_family
from kernel.ends import End, Script, forwarded, some_header
from kernel.frames import packed


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
        # Nothing that a router may have chosen, nor a checksum that depends on it.
        quote = with_other_ports(quote, about.upper or 0, protocol)
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


def with_other_ports(quote: bytes, upper: int, protocol: int) -> bytes:
    """The quoted packet with other ports, or another identifier, and no checksum."""
    segment = bytearray(quote[upper:])
    at = 4 if protocol in frames.ECHOES else 0
    segment[at : at + 4] = b"\x11\x11\x22\x22"[: len(segment[at : at + 4])]
    at = frames.AT[protocol] if protocol in frames.AT else len(segment)
    segment[at : at + 2] = bytes(len(segment[at : at + 2]))
    return quote[:upper] + segment
