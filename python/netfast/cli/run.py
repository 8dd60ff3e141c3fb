"""`netfast run`: captures through a node."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from netfast.cli import _options, _words
from netfast.cli._output import refuse_to_overwrite, uninterrupted
from netfast.cli._run import message, tell_damage
from netfast.cli._source import Bar, call
from netfast.errors import ConfigError
from netfast.node.views import Event, RunResult

if TYPE_CHECKING:
    from netfast.stack import Stack

__all__ = ["configured", "run"]

# Differences and missed ends that are shown; --json has them all.
_SHOWN = 10
# Files that a run writes besides one for each port.
_LOCAL = "local.pcapng"


class _Input(click.ParamType):  # type: ignore[type-arg]
    """A port and the capture that comes in there."""

    name = "input"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        port, equals, path = str(value).partition("=")
        if not (port and equals and path):
            self.fail(f"{value}: give PORT=FILE, such as lan=clients.pcapng", parameter, context)
        return port, path


def no_standard_input(context: click.Context, parameter: click.Parameter, path: str) -> str:
    """A configuration is a file: rules_file is looked for beside it."""
    if path == "-":
        raise click.UsageError("CONFIG is a file; standard input cannot be one")
    return path


def configured(config: str, verify: bool = False) -> Stack:
    """The node of a configuration; of several mistakes the first is told, and where the others are shown."""
    from netfast.stack import Stack

    try:
        return Stack.from_toml(config, verify=verify)
    except ConfigError as error:
        if not error.others:
            raise
        more = f"{len(error.others)} more, see netfast check {config}"
        raise ConfigError(f"{error} ({more})") from None


config_argument = click.argument("config", metavar="CONFIG", callback=no_standard_input)


@click.command()
@config_argument
@click.option(
    "--in",
    "inputs",
    type=_Input(),
    multiple=True,
    required=True,
    metavar="PORT=FILE",
    help="A capture that comes in at a port; may be given more than once.",
)
@click.option(
    "--out",
    metavar="DIR",
    help=f"Write what leaves by each port to DIR/PORT.pcapng, and what is for the node itself to DIR/{_LOCAL}.",
)
@click.option(
    "--verify", is_flag=True, help="Decide every packet twice and tell each difference; status 1 then."
)
@_options.json_option
@click.option("--lenient", is_flag=True, help="Go on after damage where the format allows it.")
@click.pass_context
def run(
    ctx: click.Context,
    config: str,
    inputs: tuple[tuple[str, str], ...],
    out: str | None,
    verify: bool,
    as_json: bool,
    lenient: bool,
) -> None:
    """Captures through the node that CONFIG describes, in the order of their times.

    \b
    Examples:
      netfast run edge.toml --in lan=clients.pcapng --out out/
      netfast run edge.toml --in lan=a.pcap --in wan=b.pcap --verify --json
    """
    ports = [port for port, _ in inputs]
    for port in ports:
        if ports.count(port) > 1:
            raise click.UsageError(
                f"--in {port}=… is given twice; merge the captures with netfast packets -w"
            )
    files = [path for _, path in inputs]
    if files.count("-") > 1:
        raise click.UsageError("standard input (-) is named twice; it can be read once")
    stack = configured(config, verify)
    if out is not None:
        written = [os.path.join(out, f"{port['name']}.pcapng") for port in stack.ports()]
        refuse_to_overwrite(files, *written, os.path.join(out, _LOCAL))
    with Bar(files) as bar:
        result = call(
            lambda progress: stack.run(dict(inputs), out=out, lenient=lenient, progress=progress), bar
        )
    with uninterrupted():
        events = stack.events()
        click.echo(json.dumps(_data(result, stack, events)) if as_json else _text(result, events))
    tell_damage(result.damage, lenient)
    if result.differences or not result.conserved:
        message(
            "the cache and the tables differ; this is a defect of netfast"
            if result.differences
            else "lost packets"
        )
        ctx.exit(1)


def _data(result: RunResult, stack: Stack, events: list[Event]) -> dict[str, object]:
    logged = [{"time_ns": event.time_ns, **event.details} for event in events if event.kind == "log"]
    return {
        **asdict(result),
        "conserved": result.conserved,
        "unresolved": [{"port": port, "ip": ip} for port, ip in _unresolved(events)],
        "rules": stack.rules(),
        "log": logged,
        "missed_events": sum(event.details["count"] for event in events if event.kind == "missed"),
    }


def _unresolved(events: list[Event]) -> list[tuple[str, str]]:
    """The neighbours, by port, whose link addresses are not known; packets for them wait."""
    asked = [event.details for event in events if event.kind == "unresolved_neighbour"]
    return list(dict.fromkeys((details["port"], details["ip"]) for details in asked))


def _text(result: RunResult, events: list[Event]) -> str:
    lines = [result.summary()]
    unresolved = _unresolved(events)
    if unresolved:
        lines.append("unresolved neighbours; packets for them wait until the configuration says their mac:")
        lines += [f"  {ip} at {port}" for port, ip in unresolved[:_SHOWN]]
    if (more := len(unresolved) - _SHOWN) > 0:
        lines.append(f"and {_words.count(more)} more")
    lines += result.differences[:_SHOWN]
    if (more := len(result.differences) - _SHOWN) > 0:
        lines.append(f"and {_words.count(more)} more")
    return "\n".join(_words.plain(line) for text in lines for line in text.split("\n"))
