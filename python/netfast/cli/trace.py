"""`netfast trace`: what becomes of one packet, table by table."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted
from netfast.cli.run import config_argument, configured
from netfast.errors import NetfastError

__all__ = ["trace"]


@click.command()
@config_argument
@click.argument("file", metavar="FILE")
@click.option(
    "--port", "-p", required=True, metavar="PORT", help="The port that the packets of FILE come in at."
)
@click.option(
    "--number", "-n", type=_options.COUNT, required=True, metavar="FRAME", help="The frame, from 1."
)
@click.option("--alone", is_flag=True, help="As the first packet of all: those before it do not pass.")
@_options.json_option
def trace(config: str, file: str, port: str, number: int, alone: bool, as_json: bool) -> None:
    """What becomes of one packet in the node that CONFIG describes: each table's decision, with rule or route.

    The packets of FILE before it pass first, so that connections and the cache are as they would be; the trace
    says whether the cache knew the packet.

    \b
    Examples:
      netfast trace edge.toml --port lan clients.pcapng -n 7
      netfast trace edge.toml -p lan clients.pcapng -n 7 --json
    """
    from netfast.capture import Capture

    stack = configured(config)
    if port not in (known := [each["name"] for each in stack.ports()]):
        raise click.UsageError(f"--port {port}: there are {', '.join(known) or 'no ports'}")
    left = number
    with Capture(file) as capture:
        for batch in capture:
            if left <= len(batch):
                if not alone and left > 1:
                    stack.push(port, batch[: left - 1])
                frame = batch[left - 1]
                # Time passes until then: connections end, buckets fill.
                if not alone and frame.time_ns is not None:
                    stack.poll(frame.time_ns)
                found = stack.trace(frame, port=port)
                break
            if not alone:
                stack.push(port, batch)
            left -= len(batch)
        else:
            raise NetfastError(f"{file}: there is no frame {number}")
    with uninterrupted():
        if as_json:
            click.echo(json.dumps({"frame": number, "port": port, **asdict(found)}))
        else:
            click.echo("\n".join(map(_words.plain, str(found).split("\n"))))
