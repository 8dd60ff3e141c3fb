"""`netfast demo`: what netfast does, on captures that it brings along."""

from __future__ import annotations

import heapq
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netfast.capture import flows, packets
from netfast.cli import _options, _words
from netfast.files import copy, frame, info

if TYPE_CHECKING:
    from netfast.node.views import RunResult, Trace
    from netfast.stack import Stack

__all__ = ["demo"]

_CAPTURES = ("web.pcapng", "tunnels.pcapng")
# The packet that is explained: the first with destination options, which tunnels put after the IPv6 header.
_EXPLAINED, _OPTIONS_NEXT = "tunnels.pcapng", "ip6[6] = 60"
_TOP = 5
# The router, and who sends what comes in at its ports.
_ROUTER = "router.toml"
_SENDERS = {"lan": "02:00:00:00:01:01", "wan": "02:00:00:00:01:02"}
# The packet whose way through it is told: the first that asks a web server for a connection.
_TRACED = "tcp dst port 80 and tcp[tcpflags] = tcp-syn"
# Columns of text that goes through a pipe.
_PIPE = 140
_FACTS = ("format", "packets", "captured", "first", "duration", "link types", "damage")
# Packets in the file that the rate is measured on.
_PACKETS = 400_000


@click.command()
@_options.json_option
def demo(as_json: bool) -> None:
    """What the bundled captures hold, their top flows, one packet explained, a router, and the rate it ran at."""
    with resources.as_file(resources.files("netfast") / "data") as data:
        if as_json:
            for line in _lines(data):
                click.echo(json.dumps(line))
            return
        _show(data)


def _lines(data: Path) -> Iterator[dict[str, Any]]:
    for path in (data / name for name in _CAPTURES):
        yield {"show": "capture", **info(path)}
        for row in _top(path):
            yield {"show": "flow", "capture": path.name, **row}
    number, packet = _packet(data / _EXPLAINED, _OPTIONS_NEXT)
    yield {"show": "packet", "capture": _EXPLAINED, "frame": number, "explanation": packet.explain()}
    stack, result, trace = _routed(data)
    yield {"show": "router", **asdict(result), "conserved": result.conserved, "rules": stack.rules()}
    yield {"show": "trace", **asdict(trace)}
    for rate in _rates(data / _CAPTURES[0]):
        yield {"show": "rate", **rate}


def _packet(path: Path, which: str) -> tuple[int, Any]:
    from netfast.packet import dissect

    first = next(iter(packets(path, filter=which))).rows()[0]
    found = frame(path, first["frame"])
    assert found is not None
    return found["frame"], dissect(found["data"], link=found["link_type"], wire_len=found["len"])


def _show(data: Path) -> None:
    from rich.console import Console
    from rich.rule import Rule

    from netfast.cli._tables import flow_table
    from netfast.cli.info import facts

    # A pipe has no width: no line is folded there.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE)
    for path in (data / name for name in _CAPTURES):
        console.print(Rule(path.name, align="left"))
        for name, value in facts(info(path)):
            if name in _FACTS:
                console.print(f"{name:11} {value}", markup=False, highlight=False)
        console.print()
        console.print(f"The {_TOP} flows with most bytes:")
        console.print(flow_table(_top(path), console.width))
    number, packet = _packet(data / _EXPLAINED, _OPTIONS_NEXT)
    console.print(Rule(f"frame {number} of {_EXPLAINED}", align="left"))
    console.print(packet.explain(), markup=False, highlight=False)
    console.print()
    console.print(Rule(f"{_CAPTURES[0]} through the router of {_ROUTER}", align="left"))
    stack, result, trace = _routed(data)
    console.print(result.summary(), markup=False, highlight=False)
    console.print()
    for rule in stack.rules():
        counted = f"{rule['packets']:6,} packets {rule['bytes']:8,} bytes"
        console.print(f"{counted}  {rule['text']}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(str(trace), markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(Rule("rate", align="left"))
    for line in _rates(data / _CAPTURES[0]):
        console.print(f"{line['what']}: [bold]{line['rate'] / 1e6:.1f} million packets a second[/]")


def _routed(data: Path) -> tuple[Stack, RunResult, Trace]:
    """The clients' and the servers' packets through a router that stands between them; the last one in words."""
    from netfast.stack import Stack

    stack = Stack.from_toml(data / _ROUTER, verify=True)
    with tempfile.TemporaryDirectory() as folder:
        inputs = {port: str(Path(folder, f"{port}.pcapng")) for port in _SENDERS}
        for port, mac in _SENDERS.items():
            copy(data / _CAPTURES[0], inputs[port], filter=f"ether src {mac}")
        result = stack.run(inputs, out=Path(folder, "out"))
        # Only for this run: nobody finds the files later.
        result.files.clear()
    _, asked = _packet(data / _CAPTURES[0], _TRACED)
    return stack, result, stack.trace(asked, port="lan")


def _top(path: Path) -> list[dict[str, Any]]:
    rows = (row for batch in flows(path) for row in batch.rows())
    return heapq.nlargest(_TOP, rows, key=_words.flow_bytes)


def _rates(path: Path) -> Iterator[dict[str, Any]]:
    """Reads a capture of some size: the bundled one many times (sections of pcapng may follow each other)."""
    once = path.read_bytes()
    number = sum(len(batch) for batch in packets(path))
    times = -(-_PACKETS // number)
    with tempfile.NamedTemporaryFile(suffix=".pcapng") as file:
        for _ in range(times):
            file.write(once)
        file.flush()
        total = number * times
        work: dict[str, Callable[[], int]] = {
            "packets to columns, checksums verified": lambda: sum(len(batch) for batch in packets(file.name)),
            "packets to flows": lambda: sum(len(batch) for batch in flows(file.name)),
        }
        for what, run in work.items():
            begin = time.perf_counter()
            run()
            seconds = time.perf_counter() - begin
            yield {"what": what, "packets": total, "seconds": seconds, "rate": total / seconds}
