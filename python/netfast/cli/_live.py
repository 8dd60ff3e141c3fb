"""A node on live ports, as a terminal shows it, and the socket at which it answers."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import socket
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netfast.cli import _words
from netfast.cli._output import uninterrupted
from netfast.cli._run import message, one_line
from netfast.errors import ConfigError

if TYPE_CHECKING:
    from netfast.node.views import Event
    from netfast.stack import Stack

__all__ = ["Control", "Screen", "ask", "control_of", "control_path", "serve_shown"]

# What a question may be long, how long it may take to come (s), and its answer to be taken: that long packets wait.
_QUESTION = 256
_PATIENCE = 5.0
_TAKEN = 0.1
# Who may wait for an answer; others wait for them.
_MOST = 8
# The socket in the folder of a node, and how many bytes its path may have (unix(7), without the last zero).
_SOCKET = "control.sock"
_PATH = 107


def control_path(name: str) -> Path:
    """Where the node of a name answers: in a folder of its own in that of this user's running programs, which nobody
    else can enter.

    Raises `ConfigError` where that is longer than the path of a socket may be.
    """
    parent = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(parent) / "netfast" if os.path.isabs(parent) else Path(f"/tmp/netfast-{_user()}")
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).lstrip(".")
    path = folder / (plain or "stack") / _SOCKET
    if (length := len(os.fsencode(path))) > _PATH:
        raise ConfigError(
            f"[stack] name={name!r}: the node's socket {path} would have {length} bytes in its path, which may have "
            f"{_PATH}; shorten the name, or set XDG_RUNTIME_DIR to a folder with a shorter one",
            option="name",
        )
    return path


def _user() -> int:
    """This user's number as it is around a user namespace, in which root and others share one /tmp; of nested ones
    only the namespace around the innermost is known."""
    uid = os.geteuid()
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            inside, outside, count = map(int, line.split())
            if inside <= uid < inside + count:
                return outside + uid - inside
    return uid


class Control:
    """A Unix socket, this user's alone, that tells what the node of a configuration knows: one question a
    connection."""

    def __init__(self, stack: Stack, config: str) -> None:
        self._stack = stack
        self._config = os.path.realpath(config)
        self._path = control_path(stack.name)
        self._peers: dict[socket.socket, float] = {}
        """Who has connected, and until when a question is waited for."""
        folder, everyone = self._path.parent, self._path.parent.parent
        everyone.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = everyone.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(f"{everyone} is not this user's alone")
        if _answers(self._path):
            raise ConfigError(f"{self._path}: a node of this name runs already; give another name in [stack]")
        # One that was killed, or has dropped its privileges, has left it.
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        folder.mkdir(mode=0o700)
        self._folder = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(os.fspath(self._path))
        finally:
            os.umask(before)
        self._socket.listen(_MOST)
        self._socket.setblocking(False)

    def give(self, user: str) -> None:
        """Lets another user take the socket away: to be called before this process becomes that user, who still
        cannot enter the folders above."""
        # Who there is not cannot be become either, which says why.
        with contextlib.suppress(KeyError):
            os.fchown(self._folder, pwd.getpwnam(user).pw_uid, -1)

    def answer(self) -> None:
        """Answers who has asked; waits for nobody to ask."""
        now = time.monotonic()
        while len(self._peers) < _MOST:
            # Nobody is there, or the system has no descriptor for more.
            try:
                peer, _ = self._socket.accept()
            except OSError:
                break
            self._peers[peer] = now + _PATIENCE
        asked = select.select(list(self._peers), [], [], 0)[0] if self._peers else []
        for peer in [peer for peer, end in self._peers.items() if peer in asked or now >= end]:
            del self._peers[peer]
            with peer, contextlib.suppress(OSError):
                if peer in asked:
                    peer.settimeout(_TAKEN)
                    question = peer.recv(_QUESTION).decode(errors="replace").strip()
                    told = {"config": self._config} | self._told(question)
                    peer.sendall(json.dumps(told).encode() + b"\n")

    def _told(self, question: str) -> dict[str, Any]:
        stack = self._stack
        if question == "neighbours":
            return {"neighbours": stack.neighbours()}
        if question == "connections":
            return {"connections": stack.connections().rows()}
        if question == "live":
            return {"live": _plain(stack.live)}
        return {"error": f"{question!r}: ask for neighbours, connections or live"}

    def close(self) -> None:
        """Takes the socket away. Who has dropped privileges leaves the empty folder to the next node."""
        for each in (self._socket, *self._peers):
            each.close()
        with contextlib.suppress(OSError):
            os.unlink(_SOCKET, dir_fd=self._folder)
        os.close(self._folder)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def control_of(stack: Stack, config: str) -> AbstractContextManager[Control | None]:
    """Where a node answers; without a place that is this user's alone it runs on, and a line says what is missing.

    Raises `ConfigError` where a node of this name runs already.
    """
    try:
        return Control(stack, config)
    except OSError as error:
        message(
            f"{one_line(error)}: the node runs, but netfast neigh cannot ask it; remove that, or set XDG_RUNTIME_DIR "
            "to a folder of this user's"
        )
        return contextlib.nullcontext()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        # One whose queue is full is there, too.
        peer.setblocking(False)
        try:
            peer.connect(os.fspath(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def ask(name: str, config: str, question: str) -> Any:
    """Asks the running node of a name and a configuration."""
    path = control_path(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(10)
        try:
            peer.connect(os.fspath(path))
        except OSError:
            raise ConfigError(
                f"no node {name!r} of this user runs (nobody answers at {path}); start it with netfast run"
            ) from None
        peer.sendall(question.encode())
        peer.shutdown(socket.SHUT_WR)
        with peer.makefile("rb") as answer:
            told = json.loads(answer.read())
    if "error" in told:
        raise ConfigError(told["error"])
    if told["config"] != os.path.realpath(config):
        raise ConfigError(
            f"{config}: the node {name!r} that runs is that of {told['config']}; ask with that file, or give each "
            "configuration a name of its own in [stack]",
            option="name",
        )
    return told[question]


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


_RATES = ("received", "received_bytes", "sent", "sent_bytes")


class Screen:
    """What goes through the ports, each second: a table on a terminal, else lines, or JSON lines."""

    def __init__(self, stack: Stack, as_json: bool, show_log: bool = False) -> None:
        self._stack = stack
        self._as_json = as_json
        self._show_log = show_log
        self.unshown = 0
        """Log lines that were not shown."""
        self._before: dict[str, dict[str, Any]] = {}
        self._time = time.monotonic()
        self._events: list[Event] = []
        self._table: Any = None
        if not as_json and sys.stdout.isatty():
            from rich.live import Live

            self._table = Live(auto_refresh=False)

    def __enter__(self) -> Screen:
        if self._table is not None:
            self._table.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._table is not None:
            self._table.stop()

    def tell(self, events: list[Event]) -> None:
        """Events that happened; those of connections are only counted."""
        for event in events:
            if event.kind in ("new_connection", "ended_connection"):
                continue
            if event.kind == "log" and not (self._show_log or self._as_json):
                self.unshown += 1
            elif self._as_json:
                self._put({"event": event.kind, "time_ns": event.time_ns, **_plain(event.details)})
            elif self._table is not None:
                self._table.console.print(_words.plain(str(event)), markup=False, highlight=False)
            else:
                self._line(_words.plain(str(event)))

    def show(self) -> None:
        """The rates since the last time."""
        now = time.monotonic()
        live = self._stack.live or {"ports": {}, "blocks": 0}
        rows = list(self._rows(live["ports"], max(now - self._time, 1e-9)))
        self._time = now
        counters = self._stack.counters
        flows = counters.flows
        if self._as_json:
            row: dict[str, Any] = {
                "ports": _plain(live["ports"]),
                "rates": {name: rates for name, rates, _ in rows},
                "connections": flows,
                "dropped": counters.dropped_by,
                "in": counters.packets_in,
                "out": counters.out,
                "local": counters.local,
                "blocks": live["blocks"],
            }
            self._put(row)
        elif self._table is not None:
            self._table.update(_table(rows, counters, flows), refresh=True)
        else:
            for name, rates, port in rows:
                self._line(f"{name}: {_rate_words(rates)}, {_drop_words(port)}")
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counters.dropped_by.items())
            self._line(f"node: {flows:,} connections, dropped {reasons or 'nothing'}")

    def _rows(
        self, ports: Mapping[str, dict[str, Any]], seconds: float
    ) -> Iterator[tuple[str, dict[str, float], dict[str, Any]]]:
        for name, port in ports.items():
            before = self._before.get(name, dict.fromkeys(_RATES, 0))
            rates = {key: round((port[key] - before[key]) / seconds, 1) for key in _RATES}
            yield name, rates, port
        self._before = {name: {key: port[key] for key in _RATES} for name, port in ports.items()}

    def _put(self, row: Mapping[str, Any]) -> None:
        self._line(json.dumps(row))

    def _line(self, text: str) -> None:
        with uninterrupted():
            click.echo(text)
            sys.stdout.flush()


def _bits(rate: float) -> str:
    rate *= 8
    for unit in ("", "k", "M", "G"):
        if rate < 1000:
            return f"{rate:.3g} {unit}bit/s"
        rate /= 1000
    return f"{rate:.3g} Tbit/s"


def _rate_words(rates: Mapping[str, float]) -> str:
    received = f"in {rates['received']:,.0f}/s {_bits(rates['received_bytes'])}"
    return f"{received}, out {rates['sent']:,.0f}/s {_bits(rates['sent_bytes'])}"


def _drop_words(port: Mapping[str, Any]) -> str:
    """What a port dropped, and why."""
    if port["link"] is None:
        return "gone"
    dropped: dict[str, int] = {}
    for reasons in (port["dropped_in"], port["dropped_out"]):
        for reason, count in reasons.items():
            dropped[reason] = dropped.get(reason, 0) + count
    for reason in ("queue_full", "stalled", "away", "unsent"):
        if port[reason]:
            dropped[reason] = port[reason]
    words = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    state = "" if port["link"]["up"] else "down, "
    return f"{state}dropped {words or 'nothing'}"


def _table(rows: list[tuple[str, dict[str, float], dict[str, Any]]], counters: Any, flows: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counters.dropped_by.items())
    table = Table(
        caption=Text(f"{flows:,} connections; dropped by the node: {reasons or 'nothing'}"),
        caption_justify="left",
    )
    for name in ("port", "device", "in/s", "in", "out/s", "out", "device and queue"):
        table.add_column(name, justify="right" if name in ("in/s", "in", "out/s", "out") else "left")
    for name, rates, port in rows:
        table.add_row(
            Text(_words.plain(name)),
            Text(_words.plain(f"{port['kind']} {port['device'] or ''}".strip())),
            f"{rates['received']:,.0f}",
            _bits(rates["received_bytes"]),
            f"{rates['sent']:,.0f}",
            _bits(rates["sent_bytes"]),
            Text(_drop_words(port)),
        )
    return table


def serve_shown(
    stack: Stack, control: Control | None, screen: Screen, seconds: float | None, interval: float = 1.0
) -> None:
    """Serves until somebody stops it or the time is over, and shows what happens; answers questions meanwhile."""
    end = None if seconds is None else time.monotonic() + seconds
    due = time.monotonic() + interval
    with screen:

        def over() -> bool:
            nonlocal due
            if control is not None:
                control.answer()
            now = time.monotonic()
            if now >= due:
                due = max(due + interval, now)
                screen.show()
            return end is not None and now >= end

        stack.serve(until=over, on_events=screen.tell)
        screen.show()
