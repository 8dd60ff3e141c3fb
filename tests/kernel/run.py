"""Cases made from seeds, played to Linux and to another router in step, and written down when they differ."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kernel.captured import Recorded
from kernel.case import DEFAULT_ROUTES, ROUTES, Case, Output, Route, Router
from kernel.compare import Comparison, Difference
from kernel.ends import Send
from kernel.known import KNOWN, Known, reason
from kernel.rules import Rules
from kernel.traffic import Play

START = 1_000_000_000_000
STEP = 1_000_000
TRIES = 8
# Where no choice was seen: one of Linux's may have come before the first packet that is compared.
TRIES_WITHOUT_CHOICE = 3
# One case in so many has pauses, half of those connections that end meanwhile.
EVERY = 80
SHORT = tuple(
    (kind, 1) for kind in ("udp", "icmp", "icmpv6", "generic", "tcp_syn_sent", "tcp_close", "tcp_time_wait")
)


@dataclass
class Step:
    """What was sent to Linux, and what came out of both."""

    port: str
    frames: list[bytes]
    what: str
    linux: list[Output]
    other: list[Output]


@dataclass
class Report:
    """What became of a case."""

    case: Case
    steps: list[Step] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    # Did the routers choose ports that are not the same?
    chose: bool = False

    @property
    def packets(self) -> int:
        return sum(len(step.frames) for step in self.steps)


def case(seed: int, *, changing: bool = False) -> Case:
    """The case of a seed; with rules that fill sets, change segments and the like, if they are `changing`."""
    rng = random.Random(f"{seed} case")
    slow = seed % EVERY == EVERY - 1
    return Case(
        seed,
        Rules(random.Random(f"{seed} rules"), changing=changing).text(),
        # IPv4's default is always there: Linux tells a source a few times only that no route leads on.
        routes=DEFAULT_ROUTES[: 2 if rng.random() < 0.9 else 1] + ROUTES,
        reverse_path=rng.choice((0, 0, 0, 0, 1, 2)),
        tcp_loose=rng.random() < 0.8,
        tcp_liberal=rng.random() < 0.2,
        checksum=rng.random() < 0.8,
        fragments=rng.random() < 0.08 and not slow,
        pauses=2 if slow else 0,
        timeouts=SHORT if slow and rng.random() < 0.5 else (),
    )


def compare(
    case: Case, linux: Router, other: Router, known: Iterable[Known] = KNOWN, sends: list[Send] | None = None
) -> Report:
    """Plays a case to both, and again where they differ: ports are chosen by chance, and other rules may match them.
    `sends` is what they get instead of the packets of the case.

    Only where a choice was seen do packets that depend on it change with the attempt. Else they are the same, so that a
    fault is there each time: only what Linux does differently from one time to the next goes away.
    """
    first = play(case, linux, other, known, sends=sends)
    report, tries = first, 1
    while report.differences and tries < (TRIES if report.chose else TRIES_WITHOUT_CHOICE):
        attempt = tries if report.chose else 0
        report, tries = play(case, linux, other, known, attempt, sends), tries + 1
    return first if report.differences else report


def play(
    case: Case,
    linux: Router,
    other: Router,
    known: Iterable[Known] = KNOWN,
    attempt: int = 0,
    sends: list[Send] | None = None,
) -> Report:
    """Plays a case to both; stops at the first difference that is not known, or that makes the rest meaningless."""
    report, comparison = Report(case), Comparison(case)
    linux.configure(case)
    other.configure(case)
    one, two = (Play(case, attempt) if sends is None else Recorded(sends) for _ in range(2))
    now = START

    def judge(differences: Iterable[Difference]) -> bool:
        """Whether the case goes on."""
        goes_on = True
        for difference in differences:
            why = reason(difference, known)
            if why is None:
                report.differences.append(difference)
                goes_on = False
            else:
                report.known.append(why)
                goes_on = goes_on and not why.ends
        return goes_on

    while (send := one.next()) is not None:
        same = two.next()
        if same is None or (same.port, same.what) != (send.port, send.what):
            report.differences.append(
                Difference(case, "packet", "script", send.what, same and same.what, send)
            )
            return report
        if send.pause:
            time.sleep(send.pause)
        now += STEP + int(send.pause * 1e9)
        outputs = linux.send(send.port, send.frames, now)
        others = other.send(same.port, same.frames, now)
        differences = list(comparison.step(send, same, outputs, others))
        report.chose = bool(comparison.names.pairs)
        report.steps.append(Step(send.port, send.frames, send.what, outputs, others))
        if not judge(differences):
            return report
        one.heard(outputs)
        two.heard(others)
    judge(comparison.connections(linux.connections(), other.connections()))
    judge(comparison.counters(linux.counters(), other.counters()))
    return report


def write(report: Report, path: Path) -> None:
    """A case that stands alone: configuration, each frame that was sent, what came out, and the differences."""
    text = {
        "case": asdict(report.case),
        "differences": [str(difference) for difference in report.differences],
        "steps": [
            {
                "what": step.what,
                "port": step.port,
                "frames": [frame.hex() for frame in step.frames],
                "linux": [[port, data.hex()] for port, data in step.linux],
                "other": [[port, data.hex()] for port, data in step.other],
            }
            for step in report.steps
        ],
    }
    path.write_text(json.dumps(text, indent=1))


def read(path: Path) -> tuple[Case, list[tuple[str, list[bytes]]]]:
    """A case that was written, with the frames that were sent."""
    text = json.loads(path.read_text())
    told = text["case"]
    told["routes"] = tuple(Route(*route) for route in told["routes"])
    told["timeouts"] = tuple((kind, seconds) for kind, seconds in told["timeouts"])
    made = Case(**told)
    return made, [
        (step["port"], [bytes.fromhex(frame) for frame in step["frames"]]) for step in text["steps"]
    ]
