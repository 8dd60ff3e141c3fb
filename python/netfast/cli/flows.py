"""`netfast flows`: one row a flow."""

from __future__ import annotations

import heapq
import itertools
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import click

from netfast._netfast import FLOW_COLUMNS, STATISTICS_COLUMNS
from netfast.capture import FlowStream
from netfast.capture import flows as read_flows
from netfast.cli import _options, _words
from netfast.cli._output import (
    LineSink,
    Sink,
    TextSink,
    ending_of,
    open_file,
    refuse_to_overwrite,
    standard_output,
)
from netfast.cli._run import message, tell_damage, tell_reassembly, tell_unfiltered
from netfast.cli._source import Bar, Batch, batches
from netfast.cli._tables import TableSink, flow_cells
from netfast.errors import NetfastError
from netfast.files import words_of_copy

__all__ = ["flows"]

# Columns that only sorting knows.
_SUMS: dict[str, Callable[[dict[str, Any]], int]] = {
    "bytes": _words.flow_bytes,
    "packets": lambda row: row["packets_fwd"] + row["packets_rev"],
    "l2_bytes": lambda row: row["l2_bytes_fwd"] + row["l2_bytes_rev"],
    "duration": lambda row: row["last_ns"] - row["first_ns"],
}


@click.command()
@_options.files
@_options.output_option
@_options.filter_option
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help="The N flows with most bytes (or most of --sort)."
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by any column, or by bytes, packets, l2_bytes (both ways) or duration: smallest first, "
    "with --top or as -COLUMN largest first. Needs memory for all flows, with --top for N.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--idle", type=float, default=120, show_default=True, help="Seconds of silence that end a flow."
)
@click.option(
    "--active", type=float, default=1800, show_default=True, help="Seconds after which a record ends."
)
@click.option("--inner", is_flag=True, help="Flows of the innermost packets of tunnels.")
@click.option(
    "--stats", is_flag=True, help="Add statistics of sizes and inter-arrival times, and first packets."
)
@click.option(
    "--first-packets", type=click.IntRange(0, 255), default=20, show_default=True, help="... so many."
)
@click.option(
    "--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads that meter."
)
@click.option(
    "--max-flows",
    type=click.IntRange(1, 1 << 28),
    default=1 << 20,
    show_default=True,
    help="Flows at a time.",
)
@_options.reassemble_option
@_options.write_option
@_options.times_option
@_options.json_option
@_options.reading
def flows(
    files: tuple[str, ...],
    output: str | None,
    text_addresses: bool,
    expression: str | None,
    top: int | None,
    sort: str | None,
    reverse: bool,
    times: str,
    as_json: bool,
    **options: Any,
) -> None:
    """One row a flow, both directions in one; through a pipe as flows end.

    \b
    Examples:
      netfast flows capture.pcap --top 10
      netfast flows capture.pcap --sort duration --reverse
      tcpdump -w - | netfast flows - --idle 15 --json
      netfast flows capture.pcap --stats -o flows.parquet
      netfast flows nfs.pcap --reassemble --top 10
    """
    write = options["write"]
    _options.check_write(write)
    refuse_to_overwrite(files, output, write)
    _options.refuse_unused(output, as_json)
    if not options["stats"]:
        _options.refuse(
            ("first_packets",), "is what --stats has of a flow's first packets; give --stats, too"
        )
    if output is not None:
        ending_of(output)
    order = _Order(top, sort, reverse, options["stats"])
    stream = read_flows(files, filter=expression, text_addresses=text_addresses, **options)
    sink = _sink(stream, output, as_json, times, options["stats"], order)
    try:
        with Bar(files) as bar, closing(sink):
            if order.key is None:
                for prepared in batches(stream, sink.prepare, bar):
                    sink.write(prepared, None)
            else:
                _sorted(stream, sink, bar, order)
    finally:
        tell_unfiltered(stream.unfiltered)
        tell_damage(stream.damage, options["lenient"])
        if options["reassemble"]:
            tell_reassembly(stream.reassembly)
        for words in words_of_copy(*stream.copied):
            message(f"{write}: {words}")


class _Order:
    """How flows are sorted: `key` of a row (None: not at all), and whether the largest come first."""

    def __init__(self, top: int | None, sort: str | None, reverse: bool, stats: bool) -> None:
        self.top = top
        self.key: Callable[[dict[str, Any]], Any] | None = None
        if sort is None and top is None:
            if reverse:
                raise click.UsageError("--reverse turns --sort or --top round; give one of them")
            return
        descending = sort is None or top is not None or sort.startswith("-")
        name = "bytes" if sort is None else sort.removeprefix("-")
        known = [*FLOW_COLUMNS, *_SUMS, *(STATISTICS_COLUMNS if stats else ())]
        if name not in known:
            raise click.UsageError(f"--sort {sort}: there is no such column; there are {', '.join(known)}")
        self.descending = descending != reverse
        self.key = _key(name, self.descending)

    def sort(self, keyed: Iterable[tuple[Any, Any]]) -> list[Any]:
        """The rows of `(key, row)` in order, only the first `top`; equal ones keep their order."""

        def by(item: tuple[Any, Any]) -> Any:
            return item[0]

        if self.top is None:
            ordered = sorted(keyed, key=by, reverse=self.descending)
        elif self.descending:
            ordered = heapq.nlargest(self.top, keyed, key=by)
        else:
            ordered = heapq.nsmallest(self.top, keyed, key=by)
        return [row for _, row in ordered]


def _key(name: str, descending: bool) -> Callable[[dict[str, Any]], Any]:
    """What a row is sorted by; rows without a value come last."""
    last = (0,) if descending else (2,)
    sums = _SUMS.get(name)

    def key(row: dict[str, Any]) -> Any:
        value: Any = sums(row) if sums is not None else row[name]
        if value is None:
            return last
        if name in ("src", "dst"):
            family = socket.AF_INET6 if ":" in value else socket.AF_INET
            return (1, row["ip_version"], socket.inet_pton(family, value))
        return (1, value)

    return key


def _sorted(stream: FlowStream, sink: Sink, bar: Bar, order: _Order) -> None:
    """Writes the flows in order, those before damage too."""
    failed: list[BaseException] = []

    def prepare(batch: Batch) -> list[tuple[Any, Any]]:
        assert order.key is not None
        keys = map(order.key, batch.rows())
        return list(zip(keys, sink.split(sink.prepare(batch)), strict=True))

    def keyed() -> Iterator[tuple[Any, Any]]:
        try:
            yield from itertools.chain.from_iterable(batches(stream, prepare, bar))
        except (NetfastError, OSError) as error:
            failed.append(error)

    rows = order.sort(keyed())
    bar.close()
    sink.write(sink.join(rows), None)
    if failed:
        raise failed[0]


def _sink(
    stream: FlowStream, output: str | None, as_json: bool, times: str, stats: bool, order: _Order
) -> Sink:
    columns = (*FLOW_COLUMNS, *(STATISTICS_COLUMNS if stats else ()))
    if output is not None:
        return open_file(output, columns, stream)
    if as_json:
        return TextSink(standard_output(), "jsonl", columns)
    if not sys.stdout.isatty():
        return TextSink(standard_output(), "tsv", columns)
    if order.key is not None:
        return TableSink(_words.Clock(times == "relative") if _options.is_given("times") else None)
    return LineSink(_Line(times), _Line.HEADER)


class _Line:
    """A flow as a line for people."""

    HEADER = (
        f"{'first':>14} {'duration':>11} {'protocol':9} {'source':>24}   {'destination':24} "
        f"{'packets':>13} {'bytes':>19}  end"
    )

    def __init__(self, times: str) -> None:
        self._clock = _words.Clock(times == "relative")

    def __call__(self, row: dict[str, Any]) -> str:
        protocol, source, target, packets, octets, span, end, _, flags = flow_cells(row)
        head = f"{self._clock(row['first_ns']):>14} {span:>11} {protocol:9} {source:>24} → {target:24} "
        return f"{head}{packets:>13} {octets:>19}  {end} {flags}".rstrip()
