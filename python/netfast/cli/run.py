"""`netfast run`: captures through a node."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click

from netfast.cli import _options, _words
from netfast.cli._output import refuse_to_overwrite, uninterrupted
from netfast.cli._run import message, tell_damage
from netfast.cli._source import Bar, call
from netfast.node.views import RunResult

__all__ = ["run"]

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
    from netfast.stack import Stack

    ports = [port for port, _ in inputs]
    for port in ports:
        if ports.count(port) > 1:
            raise click.UsageError(
                f"--in {port}=… is given twice; merge the captures with netfast packets -w"
            )
    files = [path for _, path in inputs]
    if files.count("-") > 1:
        raise click.UsageError("standard input (-) is named twice; it can be read once")
    stack = Stack.from_toml(config, verify=verify)
    if out is not None:
        written = [os.path.join(out, f"{port['name']}.pcapng") for port in stack.ports()]
        refuse_to_overwrite(files, *written, os.path.join(out, _LOCAL))
    with Bar(files) as bar:
        result = call(
            lambda progress: stack.run(dict(inputs), out=out, lenient=lenient, progress=progress), bar
        )
    with uninterrupted():
        click.echo(json.dumps(_data(result)) if as_json else _text(result))
    tell_damage(result.damage, lenient)
    if result.differences or not result.conserved:
        message(
            "the cache and the tables differ; this is a defect of netfast"
            if result.differences
            else "lost packets"
        )
        ctx.exit(1)


def _data(result: RunResult) -> dict[str, object]:
    return {**asdict(result), "conserved": result.conserved}


def _text(result: RunResult) -> str:
    lines = [result.summary(), *result.differences[:_SHOWN]]
    if (more := len(result.differences) - _SHOWN) > 0:
        lines.append(f"and {_words.count(more)} more")
    return "\n".join(_words.plain(line) for text in lines for line in text.split("\n"))
