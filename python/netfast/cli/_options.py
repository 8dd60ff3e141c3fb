"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, TypeVar

import click
from click.core import ParameterSource

__all__ = [
    "COUNT",
    "FORMATS",
    "files",
    "filter_option",
    "is_given",
    "json_option",
    "output_option",
    "reading",
    "reassemble_option",
    "reassembly_options",
    "refuse",
    "refuse_unused",
    "times_option",
    "write_option",
]

# What a native count holds.
COUNT = click.IntRange(1, (1 << 64) - 1)

# What -w writes.
FORMATS = ".pcap and .cap mean pcap, anything else pcapng."

_F = TypeVar("_F", bound=Callable[..., Any])


def files(function: _F, *, required: bool = True) -> _F:
    """FILE…: captures."""
    argument = click.argument("files", metavar="FILE...", nargs=-1, required=required, callback=_one_stdin)
    return argument(function)


def _one_stdin(context: click.Context, parameter: click.Parameter, paths: tuple[str, ...]) -> tuple[str, ...]:
    if paths.count("-") > 1:
        raise click.UsageError("standard input (-) is named twice; it can be read once")
    return paths


def is_given(option: str) -> bool:
    """Whether this option stands on the command line."""
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE


def refuse(options: Iterable[str], why: str) -> None:
    """Options that were given, but would do nothing, are wrong usage."""
    for parameter in click.get_current_context().command.params:
        if parameter.name in options and is_given(parameter.name):
            raise click.UsageError(f"{max(parameter.opts, key=len)} {why}")


def refuse_unused(output: str | None, as_json: bool, write: str | None = None) -> None:
    """What belongs to another form of output than the one that was asked for is wrong usage."""
    if write is not None:
        refuse(("inner", "no_checksums"), "is about rows, and -w writes packets in place of them")
        refuse(("reassemble",), "is about rows, and -w writes packets in place of them; see netfast defrag")
    if output is not None and as_json:
        raise click.UsageError(
            f"--json writes to standard output and -o to a file: give one, or -o {_jsonl(output)}"
        )
    if output is not None or as_json or write is not None:
        refuse(("times",), "says how times are shown on a terminal, and nothing is shown there")
    if output is None or PurePath(output).suffix.lower() not in (".parquet", ".arrow"):
        refuse(("text_addresses",), "is for -o FILE.parquet and -o FILE.arrow; other forms have text anyway")


def _jsonl(output: str) -> str:
    return str(PurePath(output).with_suffix(".jsonl"))


def filter_option(function: _F) -> _F:
    """--filter."""
    text = "Only frames that this pcap-filter(7) expression keeps, as tcpdump takes it."
    return click.option("--filter", "-f", "expression", metavar="EXPR", help=text)(function)


def json_option(function: _F) -> _F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="JSON lines.")(function)


def output_option(function: _F) -> _F:
    """-o and what belongs to it."""
    text = "Write to this file; its ending says the format: .csv, .tsv, .jsonl, .parquet or .arrow."
    addresses = "Addresses as text in .parquet and .arrow, in place of 16-byte binary."
    function = click.option("--text-addresses", is_flag=True, help=addresses)(function)
    return click.option("--output", "-o", metavar="OUT", help=text)(function)


def write_option(function: _F) -> _F:
    """-w, for commands whose rows go elsewhere."""
    text = f"Also write the packets to this file, in the same pass; {FORMATS}"
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


def reassembly_options(function: _F) -> _F:
    """What concerns fragments; the names are those of `netfast.Reassembler`."""
    from netfast.reassembly import POLICIES

    seconds = click.FloatRange(0)
    policy = click.Choice(POLICIES)
    for option in reversed(
        (
            click.option(
                "--policy",
                type=policy,
                default="drop",
                show_default=True,
                help="Who wins where IPv4 fragments overlap.",
            ),
            click.option(
                "--policy-ipv6", type=policy, default="drop", show_default=True, help="... and those of IPv6."
            ),
            click.option(
                "--timeout",
                type=seconds,
                default=30.0,
                show_default=True,
                help="Seconds an IPv4 datagram may take.",
            ),
            click.option(
                "--timeout-ipv6", type=seconds, default=60.0, show_default=True, help="... and one of IPv6."
            ),
            click.option(
                "--max-disorder",
                type=click.IntRange(0, 1 << 30),
                default=64,
                show_default=True,
                help="Other fragments of a source between two of an IPv4 datagram; 0: any number.",
            ),
            click.option(
                "--verify-headers",
                is_flag=True,
                help="Leave out fragments with a wrong IPv4 header checksum, as hosts do.",
            ),
        )
    ):
        function = option(function)
    return function


def reassemble_option(function: _F) -> _F:
    """--reassemble."""
    text = "Put fragments together first: the filter and the rows see whole datagrams."
    return click.option("--reassemble", is_flag=True, help=text)(function)
