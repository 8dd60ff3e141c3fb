"""Identifications that come round: how many datagrams are delivered corrupted, with protections off and on.

RFC 4963 in virtual time. A sender of 10 Mb/s to 100 Gb/s sends UDP datagrams of 1,500 bytes in two fragments, with
identifications one after the other; a network loses fragments, one by one or in bursts; a reassembler puts together
what comes. Off: it waits for 30 s (60 s with IPv6), whatever comes meanwhile. On: as netfast does by default. All bytes
are made and compared, and the UDP checksum is that of the bytes, so that of datagrams joined of two as many are
delivered as it lets pass.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from netfast._netfast import bench_wrap
from netfast.bench import harness
from netfast.bench.harness import Line

RATES = (10e6, 30e6, 100e6, 1e9, 10e9, 100e9)
"""Bits of datagrams a second. From 26.2 Mb/s on 65,536 of them take less than 30 s."""
RATES_IPV6 = (1e9, 100e9, 1e12)
"""From 859 Gb/s on 2^32 of them take less than 60 s."""
BITS = 1_500 * 8
PASSES = 1 / 65_535
"""How often the wrong half passes: two halves by chance have the same sum in ones' complement, of 65,535 there are."""
# What the 16 bits of IPv4 and the 32 of IPv6 come to, and how long fragments wait.
_IDENTIFICATIONS = {4: 1 << 16, 6: 1 << 32}
_TIMEOUT = {4: 30.0, 6: 60.0}
# Datagrams of IPv6 that take part. With protections the receiver counts up to 2,048 identifications at once as used up
# one after the other; without, they do not know of each other.
_STRIDE_IPV6 = {True: 1 << 11, False: 1 << 13}
_OFF: dict[str, Any] = {"wrap_safe": False, "max_disorder": 0, "tombstone_ns": 0}


@dataclass(frozen=True)
class Loss:
    """Part of all fragments that is lost; with `burst` so many one after the other, on average."""

    name: str
    part: float
    burst: float | None
    rounds: int
    """How often the identifications of IPv4 come round."""

    def pairs(self) -> tuple[float, float, float]:
        """How likely both fragments of a datagram come, the first alone (as likely as the second), and none."""
        after_bad = self.part if self.burst is None else 1 - 1 / self.burst
        none = self.part * after_bad
        one = self.part - none
        return 1 - none - 2 * one, one, none


LOSSES = (
    Loss("0.1%", 0.001, None, 32),
    Loss("1%", 0.01, None, 32),
    Loss("1%_bursts", 0.01, 10, 32),
)


@dataclass(frozen=True)
class Run:
    """One sender, network and receiver."""

    version: int
    rate: float
    loss: Loss
    protected: bool

    @property
    def metric(self) -> str:
        return (
            f"ipv{self.version}_{rate_name(self.rate)}_{self.loss.name}_{'on' if self.protected else 'off'}"
        )

    @property
    def wrap(self) -> float:
        """Seconds until an identification comes again."""
        return _IDENTIFICATIONS[self.version] * BITS / self.rate

    @property
    def round(self) -> int:
        """Datagrams that take part until an identification comes again."""
        return _IDENTIFICATIONS[self.version] // self.stride

    @property
    def stride(self) -> int:
        """One in so many datagrams of the sender takes part."""
        return 1 if self.version == 4 else _STRIDE_IPV6[self.protected]

    @property
    def rounds(self) -> int:
        return self.loss.rounds if self.version == 4 else 2

    @property
    def waits(self) -> int:
        """How many times the same identification comes while a fragment waits."""
        return math.ceil(_TIMEOUT[self.version] / self.wrap) - 1

    def expected_per_million(self) -> float:
        """Datagrams delivered corrupted without protections, of a million sent."""
        return expected(self.loss, self.rounds, self.waits)[0] * PASSES * 1e6

    def measure(self) -> dict[str, int]:
        return bench_wrap(
            int(self.rate),
            self.loss.part,
            burst=self.loss.burst,
            datagrams=self.round * self.rounds,
            stride=self.stride,
            ipv6=self.version == 6,
            seed=zlib.crc32(self.metric.encode()),
            **({} if self.protected else _OFF),
        )


def expected(loss: Loss, rounds: int, waits: int) -> tuple[float, float]:
    """The parts of the datagrams sent that are joined of two, and that are delivered as sent, without protections.

    An identification is in one of three states: nothing waits, a first fragment does, or a second one. Each time that
    it comes round, both fragments of the new datagram come, one, or none:

    - Both, to a second one that waits: the new first is joined to it, and the new second waits for the next round.
    - Both, to a first one: the new first overlaps it, which ends it, and the new second waits.
    - One that is missing is joined; one like that which waits ends it. With none, it waits on, `waits` rounds at most.
    """
    both, one, none = loss.pairs()
    # What both fragments of so many datagrams were lost after is too rare to count.
    waits = min(waits, 64)
    free, first, second = 1.0, [0.0] * waits, [0.0] * waits
    wrong = right = 0.0
    if waits == 0:
        return 0.0, both
    for _ in range(rounds):
        firsts, seconds = sum(first), sum(second)
        wrong += seconds * (both + one) + firsts * one
        right += free * both
        new_second = free * one + (firsts + seconds) * both
        new_first = free * one
        first = [new_first, *(part * none for part in first[:-1])]
        second = [new_second, *(part * none for part in second[:-1])]
        free = 1 - sum(first) - sum(second)
    return wrong / rounds, right / rounds


def interval(count: int, tail: float = 0.025) -> tuple[float, float]:
    """The means of a Poisson distribution between which `count` is likely: 95 %, the exact one of Garwood."""

    def below(mean: float, most: int) -> float:
        return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(most + 1))

    def solve(most: int, part: float) -> float:
        low, high = 1e-9, 10.0 + 2 * count + 10 * math.sqrt(count + 1)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle, most) > part else (low, middle)
        return high

    return (solve(count - 1, 1 - tail) if count else 0.0), solve(count, tail)


def runs() -> list[Run]:
    """All of them, in the order in which they are told."""
    four = [Run(4, rate, loss, on) for loss in LOSSES for rate in RATES for on in (False, True)]
    return four + [Run(6, rate, LOSSES[1], on) for rate in RATES_IPV6 for on in (False, True)]


def run(chosen: Sequence[Run] | None = None) -> Iterator[Line]:
    """Yields datagrams delivered corrupted, a million sent, for each sender, network and receiver; then the sums.

    `min` and `max` are the 95 % interval of `value`, `peer_value` is what the arithmetic says without protections. More
    keys tell what the run was, and all that was counted.
    """
    chosen = runs() if chosen is None else chosen
    done = []
    with ThreadPoolExecutor(max_workers=min(len(os.sched_getaffinity(0)), 8)) as pool:
        for one, tally in zip(chosen, pool.map(Run.measure, chosen), strict=True):
            done.append(_line(one, tally))
            yield done[-1]
    for protected in (False, True):
        yield from _sum([line for line in done if line["protected"] is protected], protected)


def _line(one: Run, tally: dict[str, int]) -> Line:
    sent = one.round * one.rounds
    wrong, right = expected(one.loss, one.rounds, one.waits)
    counted = {name: tally[name] for name in ("delivered", "caught", "lost", "incomplete")}
    return _corrupted(
        one.metric,
        sent,
        tally["corrupted"],
        sent * wrong * PASSES,
        ipv6=one.version == 6,
        rate=one.rate,
        loss=one.loss.part,
        burst=one.loss.burst,
        network=one.loss.name,
        protected=one.protected,
        wrap_s=one.wrap,
        virtual_s=tally["virtual_ns"] / 1e9,
        memory=tally["memory"],
        expected_wrong=sent * wrong,
        expected_delivered=sent * right,
        **counted,
    )


def _sum(lines: Sequence[dict[str, Any]], protected: bool) -> Iterator[Line]:
    if not lines:
        return
    total = {
        name: sum(line[name] for line in lines)
        for name in (
            "sent",
            "delivered",
            "corrupted",
            "caught",
            "lost",
            "incomplete",
            "expected_wrong",
            "virtual_s",
        )
    }
    wrong = total["corrupted"] + total["caught"]
    sent = total.pop("sent")
    # Of the datagrams that were joined wrongly, as many as were: what is in question here is the checksum.
    yield _corrupted(
        f"all_{'on' if protected else 'off'}",
        sent,
        total.pop("corrupted"),
        wrong * PASSES,
        protected=protected,
        **total,
    )


def _corrupted(metric: str, sent: int, corrupted: int, by_formula: float, **more: object) -> Line:
    million = 1e6 / sent
    value = harness.line(
        "idwrap", metric, [corrupted * million], "corrupted/M sent", "arithmetic, off", [by_formula * million]
    )
    low, high = interval(corrupted)
    value |= {"min": low * million, "max": high * million, "n": 1, "ratio": None}
    return value | {"sent": sent, "corrupted": corrupted, "expected_corrupted": by_formula} | more


CELLS = (
    "sender",
    "comes round in",
    "lost",
    "protections",
    "sent",
    "delivered right",
    "joined wrongly",
    "by arithmetic",
    "corrupted",
    "of a million",
    "95 % interval",
    "by arithmetic, off",
)
"""What `cells` are."""


def cells(line: dict[str, Any]) -> list[str]:
    """A line of a run for people."""
    if "rate" not in line:
        first = ["all", "", ""]
    else:
        first = [
            f"IPv{6 if line['ipv6'] else 4} {rate_name(line['rate'])}b/s",
            f"{line['wrap_s']:.3g} s",
            line["network"].replace("_", ", "),
        ]
    wrong = line["corrupted"] + line["caught"]
    return [
        *first,
        "on" if line["protected"] else "off",
        f"{line['sent']:,}",
        f"{line['delivered']:,}",
        f"{wrong:,}",
        f"{line['expected_wrong']:,.0f}" if not line["protected"] else "",
        f"{line['corrupted']:,}",
        f"{line['value']:.3g}",
        f"{line['min']:.3g} - {line['max']:.3g}",
        f"{line['peer_value']:.3g}",
    ]


def limit(version: int) -> float:
    """Bits a second from which on identifications come round while fragments wait: 26.2 Mb/s, 859 Gb/s."""
    return _IDENTIFICATIONS[version] * BITS / _TIMEOUT[version]


def rate_name(rate: float) -> str:
    """`10M`, `1G`, `1T`."""
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if rate >= power:
            return f"{rate / power:.3g}{prefix}"
    return f"{rate:g}"
