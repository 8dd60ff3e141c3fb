"""Neighbours of a router between kernels that go stale, move, vanish and return, while packets go to them."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

import netfast as nf
from live_net import (
    SERVER,
    TARGETS,
    Namespace,
    Opened,
    namespaces,
    packet,
    plain_tap,
    router,
    routes,
    until,
    why_not,
)

MISSING = why_not("ping")
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

# So short that all of it happens within seconds.
QUICK = {
    "neighbour_reachable": 0.4,
    "neighbour_delay": 0.2,
    "neighbour_retransmit": 0.2,
    "neighbour_timeout": 0.6,
}
MOVED = "02:00:00:00:77:01"


@contextlib.contextmanager
def pings(client: Namespace) -> Iterator[dict[str, str]]:
    """Twenty pings a second to each target for as long as the block runs; what was said, at its end."""
    told: dict[str, str] = {}
    processes = {
        target: subprocess.Popen(
            ["ip", "netns", "exec", client.name, "ping", "-n", "-O", "-i", "0.05", target],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for target in TARGETS
    }
    try:
        yield told
        for target, process in processes.items():
            process.send_signal(signal.SIGINT)
            told[target] = process.communicate(timeout=10)[0]
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def lost(told: str) -> int:
    """Pings without an answer; the last one may be on its way."""
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", told).groups()  # type: ignore[union-attr]
    assert int(sent) > 20
    return int(sent) - int(received) - 1


def of_server(stack: nf.Stack) -> dict[str, dict[str, object]]:
    """What the router knows of the server, by address."""
    return {each["ip"]: each for each in stack.neighbours() if each["ip"] in TARGETS}


def failed(events: list[nf.Event]) -> set[object]:
    """Which addresses of the server did not answer."""
    return {event.details["ip"] for event in events if event.kind == "neighbour_failed"} & set(TARGETS)


@pytest.mark.parametrize("kind", [plain_tap, packet])
def test_neighbours_under_traffic(kind: Opened) -> None:
    events: list[nf.Event] = []
    with (
        namespaces("a", "b", "m") as (client, server, middle),
        router(kind, client, server, middle, **QUICK) as stack,
        stack.serving(on_events=events.extend),
    ):
        for target in TARGETS:
            until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
        first = {ip: each["mac"] for ip, each in of_server(stack).items()}
        assert set(first) == set(TARGETS)

        with pings(client) as told:
            seen = {target: set[object]() for target in TARGETS}
            end = time.monotonic() + 4
            while time.monotonic() < end:
                for ip, each in of_server(stack).items():
                    seen[ip].add(each["state"])
                time.sleep(0.005)
        for target in TARGETS:
            assert {"reachable", "stale", "delay"} <= seen[target], seen
            assert lost(told[target]) <= 0, "nothing is lost on the way through the states"

        with pings(client):
            server.ip(f"link set nf0 address {MOVED}")
            until("it is found again", lambda: {each["mac"] for each in of_server(stack).values()} == {MOVED})
            for target in TARGETS:
                until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)

        def moves() -> dict[str, str | None]:
            told = (event.details for event in events if event.kind == "neighbour_changed")
            return {each["ip"]: each["from_mac"] for each in told if each["mac"] == MOVED}

        until("it is told", lambda: set(moves()) == set(TARGETS))
        # Who moved was known, or had failed meanwhile.
        assert all(moves()[target] in (first[target], None) for target in TARGETS), moves()

        with pings(client) as told:
            gone = len(events)
            server.ip("addr flush dev nf0")
            # It is asked for anew with the next ping, so that it does not stay failed.
            until("it failed", lambda: failed(events[gone:]) == set(TARGETS))
            until("its senders are told", lambda: client.answers(TARGETS[0], count=1) == 0)
            time.sleep(1)
            for address in SERVER:
                server.ip(f"addr add {address} dev nf0" + (" nodad" if ":" in address else ""))
            routes(client, server)
            for target in TARGETS:
                until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
        # Translated packets come back as errors of the address that they were given, as in Linux.
        assert re.search(r"From 198\.51\.100\.1 icmp_seq=\d+ Destination Host Unreachable", told[TARGETS[0]])
        assert re.search(r"From 2001:db8:2::1 icmp_seq=\d+ .*Address unreachable", told[TARGETS[1]])
        for target in TARGETS:
            assert re.search(r"bytes from.*\n(?:.*\n)?\n---", told[target]), (
                "the pings that went on are answered again"
            )
        assert client.wrong_checksums() == server.wrong_checksums() == 0
