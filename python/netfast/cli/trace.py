"""`netfast trace`: what becomes of one packet, table by table."""

from __future__ import annotations

import contextlib
import heapq
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted
from netfast.cli._run import message
from netfast.cli.run import INPUT, by_port, config_argument, configured, without_quotes
from netfast.errors import NetfastError

if TYPE_CHECKING:
    from netfast.capture import Capture, PacketBatch
    from netfast.packet import Packet
    from netfast.stack import Stack

__all__ = ["trace"]

# Rules that ask for what went the other way before.
_STATEFUL = re.compile(r"\b(ct|masquerade|snat|dnat|redirect)\b")


@click.command()
@config_argument
@click.argument("file", metavar="[FILE]", required=False)
@click.option(
    "--port",
    "-p",
    metavar="PORT",
    help="The port that FILE comes in at; of several captures that in which -n counts.",
)
@click.option(
    "--in",
    "inputs",
    type=INPUT,
    multiple=True,
    metavar="PORT=FILE",
    help="A capture that comes in at a port, as of netfast run; may be given more than once.",
)
@click.option(
    "--number",
    "-n",
    type=_options.COUNT,
    required=True,
    metavar="FRAME",
    help="The frame, from 1, of the capture that comes in at PORT.",
)
@click.option("--alone", is_flag=True, help="As the first packet of all: those before it do not pass.")
@_options.json_option
def trace(
    config: str,
    file: str | None,
    port: str | None,
    inputs: tuple[tuple[str, str], ...],
    number: int,
    alone: bool,
    as_json: bool,
) -> None:
    """What becomes of one packet in the node that CONFIG describes: each table's decision, with rule or route.

    The packets before it pass first, those of all captures in the order of their times as in netfast run, so that
    connections and the cache are as they would be; the trace says whether the cache knew the packet. Where rules ask
    about connections, give the captures of both sides.

    \b
    Examples:
      netfast trace edge.toml --in lan=clients.pcapng --in wan=servers.pcapng --port lan -n 60
      netfast trace edge.toml --port lan clients.pcapng -n 7
      netfast trace edge.toml -p lan clients.pcapng -n 7 --alone --json
    """
    captures, port = _captures(
        file, port, by_port("--in", inputs, "merge the captures with netfast packets -w")
    )
    if alone and len(captures) > 1:
        raise click.UsageError("--alone: no other packets pass; give the capture of the frame only")
    stack = configured(config)
    known = [each["name"] for each in stack.ports()]
    for each in captures:
        if each not in known:
            raise click.UsageError(f"--port {each}: there are {', '.join(known) or 'no ports'}")
    frame = _frame(stack, captures, port, number, alone)
    if frame is None:
        raise NetfastError(f"{captures[port]}: there is no frame {number}")
    # Time passes until then: connections end, buckets fill.
    if not alone and frame.time_ns is not None:
        stack.poll(frame.time_ns)
    found = stack.trace(frame, port=port)
    with uninterrupted():
        if as_json:
            click.echo(json.dumps({"frame": number, "port": port, **asdict(found)}))
        else:
            click.echo("\n".join(map(_words.plain, str(found).split("\n"))))
    if not alone:
        _tell_missing(stack, captures)


def _captures(file: str | None, port: str | None, named: dict[str, str]) -> tuple[dict[str, str], str]:
    """The captures by port, and the port whose capture has the frame."""
    if file is not None:
        if port is None:
            raise click.UsageError("--port is missing: the port that FILE comes in at")
        if port in named:
            raise click.UsageError(f"--in {port}=… and FILE both come in at {port}; give one")
        named = {port: file, **named}
    elif not named:
        raise click.UsageError("no capture: give --in PORT=FILE, or FILE and --port")
    elif port is None:
        if len(named) > 1:
            raise click.UsageError(f"--port is missing: -n counts in the capture of {' or '.join(named)}")
        (port,) = named
    elif port not in named:
        raise click.UsageError(f"--port {port}: no capture comes in there; --in has {', '.join(named)}")
    if list(named.values()).count("-") > 1:
        raise click.UsageError("standard input (-) is named twice; it can be read once")
    return named, port


def _frame(stack: Stack, captures: Mapping[str, str], port: str, number: int, alone: bool) -> Packet | None:
    """The frame; those before it have passed, unless it is `alone`."""
    from netfast.capture import Capture

    ports = list(captures)
    with contextlib.ExitStack() as opened:
        streams = [
            _packets(opened.enter_context(Capture(captures[each])), index) for index, each in enumerate(ports)
        ]
        seen, run, first, end = 0, None, 0, 0

        def pass_run(end: int) -> None:
            if run is not None and end > first and not alone:
                stack.push(ports[run[0]], run[1][first:end])

        # Those of one batch that follow one another go in together.
        for _, index, batch, place in heapq.merge(*streams):
            if run is None or batch is not run[1]:
                pass_run(end)
                run, first = (index, batch), place
            if ports[index] == port:
                seen += 1
                if seen == number:
                    pass_run(place)
                    return batch[place]
            end = place + 1
    return None


def _packets(capture: Capture, index: int) -> Iterator[tuple[int, int, PacketBatch, int]]:
    """Each packet's time, the capture's index, by which `run` too settles who is first at one time, batch and place."""
    time = 0
    for batch in capture:
        for place, packet in enumerate(batch):
            if packet.time_ns is not None:
                time = packet.time_ns
            yield time, index, batch, place


def _tell_missing(stack: Stack, captures: Mapping[str, str]) -> None:
    """One line about ports without captures, where rules ask for what came in there."""
    # What comes in at a sub-interface comes in at the port that carries it.
    ports = [each["name"] for each in stack.ports() if each["parent"] is None]
    missing = [port for port in ports if port not in captures]
    if missing and any(_STATEFUL.search(without_quotes(rule["text"])) for rule in stack.rules()):
        message(
            f"no packets of {', '.join(missing)} have passed, and rules ask about connections: without replies these "
            f"may be invalid; give --in {missing[0]}=FILE"
        )
