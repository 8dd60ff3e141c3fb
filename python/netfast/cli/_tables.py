"""Tables for people, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netfast.cli import _words
from netfast.cli._source import Batch

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["TableSink", "flow_cells", "flow_table"]


# A table has its last columns only on a terminal that is this wide.
_WIDE = 130


def flow_table(
    rows: Iterable[dict[str, Any]], width: int, clock: Callable[[int], str] | None = None
) -> Table:
    """Flows, each in one line where the width allows it; with a clock, their first times."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    if clock is not None:
        table.add_column("first", justify="right", no_wrap=True)
    table.add_column("protocol", no_wrap=True)
    for name in ("source", "destination"):
        table.add_column(name, overflow="fold")
    for name in ("packets", "bytes", "duration"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("end", no_wrap=True)
    if width >= _WIDE:
        for name in ("state", "flags"):
            table.add_column(name, no_wrap=True)
    for row in rows:
        # Not as markup: the brackets of an IPv6 endpoint would be a tag.
        cells = ([clock(row["first_ns"])] if clock is not None else []) + flow_cells(row)
        table.add_row(*map(Text, cells[: len(table.columns)]))
    return table


def flow_cells(row: dict[str, Any]) -> list[str]:
    """What the columns of `flow_table` show of a flow."""
    icmp = row["protocol"] in (1, 58)
    protocol = _words.protocol(row["protocol"])
    if icmp and row["dst_port"] is not None:
        protocol += " {}/{}".format(*divmod(row["dst_port"], 256))
    if row["vlan"] is not None:
        protocol += f" vlan {row['vlan']}"
    flags = ""
    if row["tcp_flags_fwd"] is not None:
        ways = (row["tcp_flags_fwd"], row["tcp_flags_rev"])
        flags = "/".join(_words.flag_letters(way) for way in ways)
    return [
        protocol,
        _words.endpoint(row["src"], None if icmp else row["src_port"]),
        _words.endpoint(row["dst"], None if icmp else row["dst_port"]),
        f"{row['packets_fwd']:,}/{row['packets_rev']:,}",
        f"{row['bytes_fwd']:,}/{row['bytes_rev']:,}",
        _words.duration(row["last_ns"] - row["first_ns"]),
        row["end_reason"],
        row["state"].replace("_", " "),
        flags,
    ]


class TableSink:
    """All rows as one table when they are complete; with a clock it has times."""

    def __init__(self, clock: _words.Clock | None) -> None:
        self._clock = clock

    def prepare(self, batch: Batch) -> list[dict[str, Any]]:
        return batch.rows()

    def write(self, prepared: list[dict[str, Any]], limit: int | None) -> int:
        from rich.console import Console

        rows = prepared[:limit]
        console = Console()
        # Seconds count from the first of all, which need not be the first in the table.
        if rows and self._clock is not None and self._clock.relative:
            self._clock(min(row["first_ns"] for row in rows))
        console.print(flow_table(rows, console.width, self._clock))
        return len(rows)

    def split(self, prepared: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return prepared

    def join(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return list(rows)

    def close(self) -> None:
        """A table ends with its last row."""
