"""`netfast doctor`: which devices work here, and what the others need."""

from __future__ import annotations

import json

import click

from netfast._netfast import probe
from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted

__all__ = ["doctor"]


@click.command()
@_options.json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Which devices and ways to send work for this user here, and what each of the others needs.

    Each is tried; nothing is left behind. Status is 0 when all of them work, 1 otherwise.

    \b
    Examples:
      netfast doctor
      netfast doctor --json
    """
    rows = probe()
    with uninterrupted():
        for row in rows:
            if as_json:
                click.echo(json.dumps(row))
                continue
            mark = click.style("works", fg="green") if row["works"] else click.style("lacks", fg="yellow")
            click.echo(f"{mark}  {row['name']:20} {row['purpose']}")
            if row["lack"] is not None:
                click.echo(_words.plain(f"       {row['lack']}"))
    if not all(row["works"] for row in rows):
        ctx.exit(1)
