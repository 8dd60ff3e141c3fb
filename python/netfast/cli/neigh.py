"""`netfast neigh`: the neighbours of a node that runs."""

from __future__ import annotations

import json

import click

from netfast.cli import _options, _words
from netfast.cli._live import ask
from netfast.cli._output import uninterrupted
from netfast.cli.run import config_argument, configured

__all__ = ["neigh"]


@click.command()
@config_argument
@_options.json_option
def neigh(config: str, as_json: bool) -> None:
    """The neighbours that a running `netfast run CONFIG` knows, as it knows them now.

    Only the user who runs the node can ask: it answers at a Unix socket in $XDG_RUNTIME_DIR/netfast, or without that
    variable in /tmp/netfast-UID, which is named after the stack.

    \b
    Examples:
      netfast neigh edge.toml
      netfast neigh edge.toml --json
    """
    name = configured(config).name
    with uninterrupted():
        for row in ask(name, config, "neighbours"):
            if as_json:
                click.echo(json.dumps(row))
            else:
                click.echo(_words.plain(_line(row)))


def _line(row: dict[str, object]) -> str:
    """As `ip neighbour` has it."""
    text = f"{row['ip']} dev {row['port']}"
    if row.get("mac") is not None:
        text += f" lladdr {row['mac']}"
    if row.get("state") is not None:
        text += f" {str(row['state']).upper()}"
    return text
