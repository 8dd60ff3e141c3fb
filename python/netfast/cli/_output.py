"""Where rows go: text through a pipe, files by their endings."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import PurePath
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Protocol

import click

from netfast.cli._source import Batch
from netfast.errors import NetfastError

__all__ = [
    "LineSink",
    "Sink",
    "TextSink",
    "ending_of",
    "open_file",
    "refuse_to_overwrite",
    "standard_output",
    "uninterrupted",
]

_TEXT = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}
_ARROW = (".parquet", ".arrow")
_ENDINGS = (*_TEXT, *_ARROW)


def ending_of(path: str) -> str:
    """The ending of an output file; anything else is wrong usage."""
    ending = PurePath(path).suffix.lower()
    if ending not in _ENDINGS:
        known = ", ".join(_ENDINGS[:-1]) + f" or {_ENDINGS[-1]}"
        lines = "; JSON is written as lines: .jsonl" if ending == ".json" else ""
        raise click.UsageError(f"-o {path}: the ending says the format, and must be {known}{lines}")
    if ending in _ARROW and not any(map(importlib.util.find_spec, ("pyarrow", "polars"))):
        raise NetfastError(
            f"{path}: {ending} files are written through pyarrow or polars, and neither is installed: "
            "pip install 'netfast[arrow]'"
        )
    return ending


def refuse_to_overwrite(files: Sequence[str], *outputs: str | None) -> None:
    """Writing to a file empties it first: never one that is still to be read."""
    files_made = [
        output for output in outputs if output and (not os.path.exists(output) or os.path.isfile(output))
    ]
    named = [os.path.realpath(output) for output in files_made]
    if len(set(named)) < len(named):
        raise click.UsageError(f"{files_made[0]} cannot hold both rows and packets; give two names")
    for output in filter(None, outputs):
        for path in files:
            with contextlib.suppress(OSError):
                if os.path.samefile(path, output) and os.path.isfile(output):
                    raise click.UsageError(f"{output} is read, so it cannot be written")


class uninterrupted:
    """Within it Ctrl-C waits, so that no line stays half written; a second one does not wait."""

    def __enter__(self) -> None:
        self._asked = False
        try:
            self._before: Any = signal.signal(signal.SIGINT, self._note)
        except ValueError:
            # Only the main thread has signals to hold back.
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._asked and kind is None:
            raise KeyboardInterrupt


class Sink(Protocol):
    """Takes batches in order."""

    def prepare(self, batch: Batch) -> Any:
        """What `write` takes; may run in another thread."""

    def write(self, prepared: Any, limit: int | None) -> int:
        """Writes at most `limit` rows and says how many."""

    def split(self, prepared: Any) -> Sequence[Any]:
        """Its rows one by one, for sorting."""

    def join(self, rows: Sequence[Any]) -> Any:
        """The opposite of `split`, for rows of many batches."""

    def close(self) -> None:
        """Completes the file."""


def standard_output() -> BinaryIO:
    """Standard output, for bytes."""
    return sys.stdout.buffer


class TextSink:
    """Rows as text, written batch by batch in whole lines."""

    def __init__(self, target: BinaryIO, form: str, columns: tuple[str, ...], close: bool = False) -> None:
        self._target = target
        self._form = form
        self._close = close
        self._has_header = form != "jsonl"
        if self._has_header:
            self._put(("," if form == "csv" else "\t").join(columns).encode() + b"\n")

    def _put(self, text: bytes) -> None:
        with uninterrupted():
            self._target.write(text)
            self._target.flush()

    def prepare(self, batch: Batch) -> tuple[bytes, int]:
        text = batch.text(self._form).encode()
        if self._has_header:
            text = text[text.index(b"\n") + 1 :]
        return text, len(batch)

    def write(self, prepared: tuple[bytes, int], limit: int | None) -> int:
        text, rows = prepared
        if limit is not None and rows > limit:
            text = b"".join(text.splitlines(keepends=True)[:limit])
            rows = limit
        self._put(text)
        return rows

    def split(self, prepared: tuple[bytes, int]) -> list[bytes]:
        return prepared[0].splitlines(keepends=True)

    def join(self, rows: Sequence[bytes]) -> tuple[bytes, int]:
        return b"".join(rows), len(rows)

    def close(self) -> None:
        if self._close:
            self._target.close()


def open_text(path: str, form: str, columns: tuple[str, ...]) -> TextSink:
    """A text file, made anew."""
    return TextSink(open(path, "wb"), form, columns, close=True)


class ArrowSink:
    """A Parquet or Arrow IPC file, through pyarrow batch by batch or through polars at once."""

    def __init__(self, path: str, ending: str, schema: Any) -> None:
        self._path = path
        self._ending = ending
        self._writer: Any = None
        self._frames: list[Any] | None = None
        self._schema = schema
        # Batches that wait for their order.
        self._kept: list[Any] = []
        self._kept_rows = 0
        if importlib.util.find_spec("pyarrow") is None:
            self._frames = []
            # A file that cannot be made is told before the work, not after it.
            open(path, "wb").close()
            return
        import pyarrow

        fields = pyarrow.schema(schema)
        if ending == ".parquet":
            import pyarrow.parquet

            self._writer = pyarrow.parquet.ParquetWriter(path, fields)
        else:
            self._writer = pyarrow.ipc.new_file(path, fields)

    def prepare(self, batch: Batch) -> Any:
        if self._frames is not None:
            import polars

            return polars.DataFrame(batch)
        import pyarrow

        return pyarrow.record_batch(batch)

    def write(self, prepared: Any, limit: int | None) -> int:
        if limit is not None and len(prepared) > limit:
            prepared = prepared[:limit]
        if self._frames is not None:
            self._frames.append(prepared)
        else:
            with uninterrupted():
                self._writer.write(prepared)
        return len(prepared)

    def split(self, prepared: Any) -> range:
        first = self._kept_rows
        self._kept.append(prepared)
        self._kept_rows += len(prepared)
        return range(first, self._kept_rows)

    def join(self, rows: Sequence[int]) -> Any:
        kept = self._kept
        if self._frames is not None:
            import polars

            return polars.concat(kept)[list(rows)] if kept else polars.DataFrame(self._schema)
        import pyarrow

        table = pyarrow.Table.from_batches(kept, schema=pyarrow.schema(self._schema))
        return table.take(pyarrow.array(rows, pyarrow.uint64()))

    def close(self) -> None:
        if self._frames is None:
            self._writer.close()
            return
        import polars

        frame = polars.concat(self._frames) if self._frames else polars.DataFrame(self._schema)
        if self._ending == ".parquet":
            frame.write_parquet(self._path)
        else:
            frame.write_ipc(self._path)


def open_file(path: str, columns: tuple[str, ...], schema: Any) -> Sink:
    """A file in the format that its ending names; `schema` is whatever gives Arrow's schema."""
    ending = ending_of(path)
    if ending in _TEXT:
        return open_text(path, _TEXT[ending], columns)
    return ArrowSink(path, ending, schema)


class LineSink:
    """Rows as lines for people, made by a function of a row."""

    def __init__(self, line: Callable[[dict[str, Any]], str], header: str) -> None:
        self._line = line
        click.echo(click.style(header, bold=True))

    def prepare(self, batch: Any) -> list[dict[str, Any]]:
        return list(batch.rows())

    def write(self, prepared: list[dict[str, Any]], limit: int | None) -> int:
        rows = prepared[:limit]
        with uninterrupted():
            for row in rows:
                click.echo(self._line(row))
            sys.stdout.flush()
        return len(rows)

    def split(self, prepared: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return prepared

    def join(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return list(rows)

    def close(self) -> None:
        sys.stdout.flush()
