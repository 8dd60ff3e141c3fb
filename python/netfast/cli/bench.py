"""`netfast bench`: measurements beside peers that run in the same run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from netfast.bench import BENCHES, run
from netfast.cli import _options
from netfast.cli._output import uninterrupted

__all__ = ["bench"]

_COLUMNS = ("bench", "metric", "value", "unit", "min", "max", "n", "peer", "peer_value", "ratio")


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, type=click.Choice(list(BENCHES)))
@_options.json_option
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE",
    help="Write the experiment of idwrap as a page, too (pip install 'netfast[report]').",
)
def bench(names: tuple[str, ...], as_json: bool, html: str | None) -> None:
    """Measure netfast beside its peers on this machine.

    A line tells the median of some rounds, and how many times better it is than the peer in the same
    rounds. A peer that is not installed is said to be missing. Without NAME everything runs, which takes
    minutes.

    \b
    Examples:
      netfast bench timers
      netfast bench packets flows --json
      netfast bench idwrap --html idwrap.html
    """
    if html is not None and names and "idwrap" not in names:
        raise click.UsageError("--html writes the experiment of idwrap: name it")
    lines: Iterator[dict[str, Any]] = (line for name in names or BENCHES for line in run(name))
    if html is not None:
        lines = _page(html, lines)
    if as_json:
        for line in lines:
            with uninterrupted():
                click.echo(json.dumps(line))
                sys.stdout.flush()
        return
    if not sys.stdout.isatty():
        click.echo("\t".join((*_COLUMNS, "reason")))
        for line in lines:
            with uninterrupted():
                click.echo("\t".join(_plain(line.get(name)) for name in (*_COLUMNS, "reason")))
                sys.stdout.flush()
        return
    if names and set(names) == {"idwrap"}:
        _experiment(lines)
    else:
        _table(lines)


def _page(path: str, lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines, of which those of the experiment become a page in the end."""
    # What is missing is told before a minute was spent.
    from netfast.bench import report

    report.need_plotly()
    kept = []
    for line in lines:
        kept.append(line)
        yield line
    with open(path, "w", encoding="utf-8") as file:
        file.write(report.page(kept))


def _experiment(lines: Iterator[dict[str, Any]]) -> None:
    """The table of `idwrap`: what happened beside what arithmetic says."""
    from rich.box import SIMPLE_HEAD
    from rich.live import Live
    from rich.table import Table

    from netfast.bench import idwrap

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(idwrap.CELLS):
        table.add_column(name, justify="left" if at in (0, 2, 3) else "right")
    with Live(table, refresh_per_second=4, vertical_overflow="visible"):
        for line in lines:
            table.add_row(*idwrap.cells(line), style="green" if line["protected"] else None)


def _plain(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(lines: Iterator[dict[str, Any]]) -> None:
    """The table grows as measurements come."""
    from rich.box import SIMPLE_HEAD
    from rich.live import Live
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("bench", "metric"):
        table.add_column(name, no_wrap=True)
    for name in ("median", "range"):
        table.add_column(name, justify="right")
    table.add_column("unit", no_wrap=True)
    table.add_column("peer")
    for name in ("its median", "times better"):
        table.add_column(name, justify="right")
    with Live(table, refresh_per_second=4, vertical_overflow="visible"):
        for line in lines:
            if line["peer"] is None:
                peer, theirs, ratio = f"[dim]{escape(str(line.get('reason') or 'none'))}[/]", "", ""
            else:
                peer, theirs = str(line["peer"]), _number(line["peer_value"])
                ratio = f"[bold]{line['ratio']:.2f}[/]" if line["ratio"] is not None else ""
            span = f"{_number(line['min'])} - {_number(line['max'])}"
            table.add_row(
                line["bench"], line["metric"], _number(line["value"]), span, line["unit"], peer, theirs, ratio
            )


def _number(value: float) -> str:
    for power, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= power:
            return f"{value / power:.2f}{prefix}"
    return f"{value:.3g}"
