"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "COUNT",
    "files",
    "filter_option",
    "json_option",
    "output_option",
    "reading",
    "times_option",
    "write_option",
]

# What a native count holds.
COUNT = click.IntRange(1, (1 << 64) - 1)

_F = TypeVar("_F", bound=Callable[..., Any])


def files(function: _F) -> _F:
    """FILE…: captures."""
    return click.argument("files", metavar="FILE...", nargs=-1, required=True)(function)


def filter_option(function: _F) -> _F:
    """--filter."""
    text = "Only frames that this pcap-filter(7) expression keeps, as tcpdump takes it."
    return click.option("--filter", "-f", "expression", metavar="EXPR", help=text)(function)


def json_option(function: _F) -> _F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="JSON lines.")(function)


def output_option(function: _F) -> _F:
    """-o and what belongs to it."""
    text = "Write to this file; its ending says the format: .csv, .jsonl, .parquet or .arrow."
    addresses = "Addresses as text in .parquet and .arrow, in place of 16-byte binary."
    function = click.option("--text-addresses", is_flag=True, help=addresses)(function)
    return click.option("--output", "-o", metavar="OUT", help=text)(function)


def write_option(function: _F) -> _F:
    """-w, for commands whose rows go elsewhere."""
    text = "Also write the packets to this file as pcapng, in the same pass."
    return click.option("--write", "-w", metavar="FILE", help=text)(function)


def check_write(write: str | None) -> None:
    """Standard output is taken: wrong usage."""
    if write == "-":
        raise click.UsageError(
            "-w -: standard output has the rows; netfast packets -w - writes packets there"
        )


def times_option(function: _F) -> _F:
    """--times."""
    text = "How times are shown on a terminal: seconds since the first, or date and time (UTC)."
    choice = click.Choice(["relative", "iso"])
    return click.option("--times", type=choice, default="relative", show_default=True, help=text)(function)


def reading(function: _F) -> _F:
    """--lenient and --mmap."""
    lenient = "Go on after damage where the format allows it."
    mmap = "Map the files; if another program shortens one meanwhile, netfast is killed."
    function = click.option("--mmap", is_flag=True, help=mmap)(function)
    return click.option("--lenient", is_flag=True, help=lenient)(function)
