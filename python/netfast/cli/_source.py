"""Batches for a command, read in a thread: Ctrl-C is heard and progress seen while a read waits."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, Full, Queue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "Batch", "Canceled", "batches", "call", "is_pipe"]

_T = TypeVar("_T")

# A result is looked for this often (s), and the bar drawn as often.
_TICK = 0.1
# Work shorter than this (s) needs no bar.
_LONG = 1.0
# What a native call is given to notice that nobody waits for it (s).
_FAREWELL = 0.5


class Batch(Protocol):
    """What streams of packets and of flows yield."""

    def __len__(self) -> int: ...
    def rows(self) -> list[Any]: ...
    def text(self, form: str) -> str: ...


class _Batches(Protocol):
    def __iter__(self) -> Iterator[Any]: ...
    def progress(self) -> tuple[int, int]: ...


class Canceled(Exception):
    """Raised into native code whose caller has gone."""


class Bar:
    """A progress bar on standard error: only on a terminal, and only once work takes longer than a second."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._wanted = sys.stderr.isatty()
        self._total = _total_bytes(paths) if self._wanted else None
        self._begin = time.monotonic()
        self._next = self._begin + _LONG
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away, for good."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._wanted = False

    def show(self, packets: int, file_bytes: int) -> None:
        """Says how far the work is."""
        if not self._wanted or (now := time.monotonic()) < self._next:
            return
        self._next = now + _TICK
        text = f"{packets:,} packets, {packets / (now - self._begin):,.0f}/s"
        if self._bar is None:
            self._start(text)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=file_bytes, description=text)

    def _start(self, description: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        text = TextColumn("{task.description}")
        columns = [text, BarColumn(), TimeRemainingColumn()] if self._total is not None else [text]
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(description, total=self._total)
        self._bar.start()


def is_pipe(path: str) -> bool:
    """True for what is read as it comes: standard input from a pipe, a FIFO, a device."""
    try:
        status = os.fstat(0) if path == "-" else os.stat(path)
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode)


def _total_bytes(paths: Sequence[str]) -> int | None:
    """Bytes of all files; unknown when one of them is a pipe or compressed."""
    if any(map(is_pipe, paths)):
        return None
    total = 0
    for path in paths:
        try:
            descriptor = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY)
            try:
                total += os.fstat(descriptor).st_size
                first = os.pread(descriptor, 4, 0)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        if first.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            return None
    return total


class _Pump(Generic[_T]):
    """Runs an iterator in a thread of its own."""

    def __init__(self, items: Iterable[_T]) -> None:
        self._items = items
        self._queue: Queue[tuple[_T | None, BaseException | None]] = Queue(maxsize=4)
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
        except BaseException as error:
            self._put(None, error)
        else:
            self._put(None, None)

    def _put(self, item: _T | None, error: BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put((item, error), timeout=_TICK)
            except Full:
                continue
            return True
        return False

    def get(self) -> tuple[_T | None, BaseException | None]:
        """The next item; raises `Empty` when none comes for a while."""
        return self._queue.get(timeout=_TICK)

    def stop(self) -> None:
        self._stop.set()


def batches(stream: Iterable[Any], prepare: Callable[[Any], _T], bar: Bar) -> Iterator[_T]:
    """The stream's batches as `prepare` makes them, which runs beside the caller's work."""
    iterator: _Batches = iter(stream)  # type: ignore[assignment]
    pump = _Pump(map(prepare, iterator))
    try:
        while True:
            try:
                item, error = pump.get()
            except Empty:
                bar.show(*iterator.progress())
                continue
            if error is not None:
                raise error
            if item is None:
                return
            bar.show(*iterator.progress())
            yield item
    finally:
        pump.stop()


def call(work: Callable[[Callable[[int, int], None]], _T], bar: Bar) -> _T:
    """Runs a native call that reports its progress; Ctrl-C ends it at its next report, or leaves it."""
    gone = threading.Event()
    last = (0, 0)

    def report(packets: int, file_bytes: int) -> None:
        nonlocal last
        if gone.is_set():
            raise Canceled
        last = (packets, file_bytes)

    done: Queue[tuple[_T | None, BaseException | None]] = Queue()

    def run() -> None:
        try:
            done.put((work(report), None))
        except BaseException as error:
            done.put((None, error))

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while True:
            try:
                result, error = done.get(timeout=_TICK)
            except Empty:
                bar.show(*last)
                continue
            if error is not None:
                raise error
            return result  # type: ignore[return-value]
    except KeyboardInterrupt:
        gone.set()
        worker.join(_FAREWELL)
        raise
