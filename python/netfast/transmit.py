"""Sending without waiting: messages to a socket over the best way that works, with their memory held until it is free.

>>> import socket
>>> import netfast as nf
>>> receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
>>> receiver.bind(("127.0.0.1", 0))
>>> with nf.Transmitter.udp(*receiver.getsockname()) as transmitter:
...     ticket = transmitter.send(bytes(3000), segment=1200)
...     transmitter.flush()
>>> [len(receiver.recv(9000)) for _ in range(3)]
[1200, 1200, 600]
>>> receiver.close()
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netfast._netfast import NativeTransmitter
from netfast.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

__all__ = ["Released", "RungChange", "RungStatistics", "Sent", "TransmitStatistics", "Transmitter"]

_log = logging.getLogger(__name__)

Buffer = bytes | bytearray | memoryview
Address = tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was taken by the system: `size` bytes of it. `error` says why not all, as `OSError`."""

    ticket: int
    size: int
    error: OSError | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The memory of a message is free: nobody reads it any more.

    `zero_copied` of its parts went without a copy, `copied` were copied by the system although they were to go
    without; `waited` is the time in ns from hand-over to the notification. All three are 0 for a message that was
    copied at once.
    """

    ticket: int
    zero_copied: int = 0
    copied: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class RungChange:
    """Another rung was taken, and why: before the first message, or later."""

    before: str
    after: str
    reason: str

    def __str__(self) -> str:
        return f"{self.after} instead of {self.before}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RungStatistics:
    """What went over one rung: `parts`, each of one or more `datagrams`, in so many system `calls`.

    Of parts that were to go without a copy, `zero_copied` did, and `copied` were copied after all. Their notifications
    took `notification_ns` in sum, `longest_notification_ns` at most.
    """

    parts: int
    datagrams: int
    bytes: int
    calls: int
    zero_copied: int
    copied: int
    notification_ns: int
    longest_notification_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitStatistics:
    """What a `Transmitter` did: of messages `taken`, those `sent`, `failed` or `cancelled`; the rest are queued.

    `released` have their memory back. `full`: a limit was reached. `blocked`: the socket took no more for now.
    `out_of_memory`: the system's memory for what is in flight was used up. `short`: parts of a stream of which the
    system took the beginning. `unsegmented`: messages that were cut here because the system would not.
    `zero_copy_refused`: parts that were copied because the system refused to do without. `leaked`: messages whose
    memory was left to the system for ever. `changes` of the rung. `copied_here`: pieces that were copied when they were
    given, because others may write to them. `rungs` by name.
    """

    taken: int
    sent: int
    failed: int
    cancelled: int
    released: int
    full: int
    blocked: int
    out_of_memory: int
    short: int
    unsegmented: int
    zero_copy_refused: int
    leaked: int
    changes: int
    copied_here: int
    copied_here_bytes: int
    rungs: Mapping[str, RungStatistics]

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries."""
        return asdict(self)


class Transmitter:
    """Sends messages over a UDP, TCP or Unix socket without waiting for them.

    `sock` is a socket, or its descriptor; a copy of the descriptor is used, so that the socket can be closed. It may be
    connected or not, blocking or not.

    `rung` names the way to send: `sendmsg`, `sendmmsg`, `udp_segment`, `msg_zerocopy`, `io_uring` or `io_uring_zc`.
    Without it, the best that works is taken, and what turns out not to work is left for another; `changes` says why,
    and the log `netfast.transmit` too. Parts of at least `zero_copy_from` bytes are not copied where the rung can do
    without (`adaptive`: not while the system copies in spite of it, as on loopback).

    `bytes`, and memoryviews of them, are not copied: they are held until their message is released. Anything else could
    be written to meanwhile and is copied. `registered` is a number of slots of `registered_size` bytes of memory that
    io_uring knows beforehand, which copies go to.

    At most `max_messages` messages and `max_bytes` bytes are in flight. Messages are sent in the order in which they
    were given. `close`, or the end of a `with` block, waits up to `close_timeout` seconds for memory that the system
    still reads; what is not free then is never freed, and counted as `leaked`.

    In asyncio use `send_async` and `drain_async`; otherwise `send`, and `flush` or `poll` now and then.

    Threads: each method is atomic. `fork`: the child is refused with a `ConfigError`; closing it there does nothing.
    `pickle`: refused.

    Raises `ConfigError` for settings that cannot be and for a rung that is not there, `PermissionError` for one that is
    forbidden.
    """

    __slots__ = ("_changes_told", "_events", "_loop", "_native", "_room", "_statistics", "_waiting")

    def __init__(
        self,
        sock: socket.socket | int,
        *,
        rung: str | None = None,
        zero_copy_from: int | None = None,
        adaptive: bool = True,
        max_messages: int = 1024,
        max_bytes: int = 64 << 20,
        registered: int = 0,
        registered_size: int = 65_536,
        close_timeout: float = 1.0,
    ) -> None:
        if not 0 <= close_timeout < 1e9:
            raise ConfigError(
                f"close_timeout={close_timeout}: give seconds, 0 or more", option="close_timeout"
            )
        numbers = {
            "max_messages": max_messages,
            "max_bytes": max_bytes,
            "registered": registered,
            "registered_size": registered_size,
            "zero_copy_from": 0 if zero_copy_from is None else zero_copy_from,
        }
        for name, value in numbers.items():
            if not isinstance(value, int):
                raise TypeError(f"{name} is {type(value).__name__}: give an int")
            if not 0 <= value < 1 << 63:
                raise ConfigError(f"{name}={value}: give 0 or more", option=name)
        self._native = NativeTransmitter(
            sock if isinstance(sock, int) else sock.fileno(),
            rung=rung,
            zero_copy_from=zero_copy_from,
            adaptive=adaptive,
            max_messages=max_messages,
            max_bytes=max_bytes,
            close_timeout_ns=int(close_timeout * 1e9),
            registered=registered,
            registered_size=registered_size,
        )
        self._events: list[Sent | Released] | None = None
        self._statistics: dict[str, Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Who waits for a message: its future, and whether for its release; and who waits for room.
        self._waiting: dict[int, tuple[asyncio.Future[None], bool]] = {}
        self._room: list[asyncio.Future[None]] = []
        self._changes_told = 0
        if self._native.change_count:
            self._tell_changes()

    @classmethod
    def udp(
        cls, host: str, port: int, *, source: tuple[str, int] | None = None, **settings: Any
    ) -> Transmitter:
        """One over a UDP socket of its own, connected with `host` and `port`; `source` is the address to send from."""
        if not 0 < port < 1 << 16:
            raise ConfigError(f"port={port}: give a number from 1 to 65,535", option="port")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as sock:
            if source is not None:
                sock.bind(source)
            sock.connect(address)
            return cls(sock, **settings)

    @staticmethod
    def rungs(sock: socket.socket | int) -> dict[str, str | None]:
        """Each rung, the lowest first, and why it does not work with this socket; `None`: it does."""
        return dict(NativeTransmitter.rungs(sock if isinstance(sock, int) else sock.fileno()))

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        *,
        to: Address | None = None,
        segment: int = 0,
        timeout: float | None = None,
    ) -> int:
        """Sends a message, and gives its ticket. It waits only while a limit of what is in flight is reached.

        `data` is one buffer, or a list or tuple of buffers that are one message. With `segment` it goes as datagrams of
        that many bytes, of which the last may be shorter. `to` is an address in numbers, for sockets that are not
        connected.

        Raises `TimeoutError` after `timeout` seconds without room, `ConfigError` for a datagram that is too long,
        `OSError` when a stream is broken. What happens to the message later is told by `poll`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (ticket := self._submit(data, to, segment)) is None:
            self._wait(deadline, "no room for another message")
            self._drive()
        self._drive()
        return ticket

    def send_many(
        self,
        messages: Iterable[Buffer | Sequence[Buffer]],
        *,
        to: Address | None = None,
        segment: int = 0,
        timeout: float | None = None,
    ) -> list[int]:
        """Sends messages together, which is quicker than one at a time, and gives their tickets; else as `send`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        tickets: list[int] = []
        for message in messages:
            while (ticket := self._submit(message, to, segment)) is None:
                self._drive()
                if (ticket := self._submit(message, to, segment)) is not None:
                    break
                self._wait(deadline, f"no room after {len(tickets)} messages")
            tickets.append(ticket)
        self._drive()
        return tickets

    def try_send(
        self, data: Buffer | Sequence[Buffer], *, to: Address | None = None, segment: int = 0
    ) -> int | None:
        """As `send`, but gives `None` when there is no room."""
        ticket = self._submit(data, to, segment)
        self._drive()
        return ticket

    def poll(self) -> list[Sent | Released]:
        """Sends what can be sent now, and gives what ended since the last call; the first call begins the account."""
        if self._events is None:
            self._events = []
        self._drive()
        events, self._events = self._events, []
        return events

    def flush(self, timeout: float | None = None) -> None:
        """Waits until the system has taken all messages. Raises `TimeoutError` after `timeout` seconds."""
        self._drive()
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._native.queued:
            self._wait(deadline, f"{self._native.queued} messages are not sent")
            self._drive()

    def drain(self, timeout: float | None = None) -> None:
        """Waits until all messages are released. Raises `TimeoutError` after `timeout` seconds."""
        self._drive()
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._native.in_flight:
            self._wait(deadline, f"{self._native.in_flight} messages are not released")
            self._drive()

    async def send_async(
        self,
        data: Buffer | Sequence[Buffer],
        *,
        to: Address | None = None,
        segment: int = 0,
        released: bool = False,
    ) -> None:
        """Sends a message and comes back when the system has taken it, or with `released` when its memory is free.

        Raises `OSError` when it was not sent; otherwise as `send`. Cancelling the task takes the message back when it
        has not been sent.
        """
        # Who sends otherwise, or not at all, need not wait for it to be imported.
        import asyncio

        loop = self._attach()
        while (ticket := self._submit(data, to, segment)) is None:
            self._drive()
            if (ticket := self._submit(data, to, segment)) is not None:
                break
            # The reader of the event loop drives on, and wakes whoever is listed here.
            room = loop.create_future()
            self._room.append(room)
            await room
        done = loop.create_future()
        self._waiting[ticket] = (done, released)
        self._drive()
        try:
            await done
        except asyncio.CancelledError:
            self._waiting.pop(ticket, None)
            if self._statistics is None:
                self._native.cancel(ticket)
                self._drive()
            raise

    async def drain_async(self) -> None:
        """Waits until all messages are released."""
        loop = self._attach()
        self._drive()
        while self._native.in_flight:
            room = loop.create_future()
            self._room.append(room)
            await room

    def cancel(self, ticket: int) -> bool | None:
        """Takes a message back: true when it will not be sent, false when it has been, `None`: `poll` will say so."""
        answer = {"now": True, "asked": None, "too late": False}[self._native.cancel(ticket)]
        self._drive()
        return answer

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has something to do, for `select` and event loops."""
        return self._native.fileno()

    @property
    def rung(self) -> str:
        """The rung that long messages take now."""
        return self._native.rung

    @property
    def changes(self) -> list[RungChange]:
        """Why it is not the best rung: what was found out before the first message and since."""
        return [RungChange(*each) for each in self._native.changes]

    @property
    def queued(self) -> int:
        """Messages that the system has not taken to their end."""
        return self._native.queued

    @property
    def in_flight(self) -> int:
        """Messages that are not released."""
        return self._native.in_flight

    @property
    def statistics(self) -> TransmitStatistics:
        """What it did so far; also when it is closed."""
        found = self._native.statistics if self._statistics is None else self._statistics
        rungs = {name: RungStatistics(**each) for name, each in found["rungs"].items()}
        return TransmitStatistics(**{**found, "rungs": rungs})

    def close(self) -> None:
        """Cancels what was not sent, and waits for what the system still reads, up to `close_timeout`."""
        if not self._native.is_ours:
            # The event loop watches for the parent: what is taken out of it here is gone there, too.
            return
        if self._loop is not None:
            self._loop.remove_reader(self._native.fileno())
            self._loop = None
        closed = self._native.close()
        if closed is not None:
            self._statistics, ended = closed
            self._take(ended)
            if leaked := self._statistics["leaked"]:
                _log.warning("%d messages were left to the system: it had not let go of them", leaked)
        for done, _ in self._waiting.values():
            if not done.done():
                done.set_exception(OSError(errno.ECANCELED, os.strerror(errno.ECANCELED)))
        self._waiting.clear()
        self._wake()

    def __enter__(self) -> Transmitter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._statistics is not None:
            return "<netfast.Transmitter: closed>"
        if not self._native.is_ours:
            return "<netfast.Transmitter: of another process>"
        return f"<netfast.Transmitter: {self.rung}, {self.queued} queued, {self.in_flight} in flight>"

    def _submit(self, data: Buffer | Sequence[Buffer], to: Address | None, segment: int) -> int | None:
        if not isinstance(segment, int):
            raise TypeError(f"segment is {type(segment).__name__}: give an int")
        if not 0 <= segment < 1 << 16:
            raise ConfigError(f"segment={segment}: give bytes of a datagram, 0 to 65,535", option="segment")
        return self._native.submit(data, to, segment)

    def _drive(self) -> None:
        collect = self._events is not None or bool(self._waiting)
        ended = self._native.drive(collect)
        if ended:
            self._take(ended)
        if self._room:
            self._wake()
        if self._native.change_count != self._changes_told:
            self._tell_changes()

    def _take(self, ended: list[tuple[int, bool, bool, int, int, int, int, int]]) -> None:
        for ticket, sent, released, size, number, zero_copied, copied, waited in ended:
            error = OSError(number, os.strerror(number)) if number else None
            if self._events is not None:
                if sent:
                    self._events.append(Sent(ticket, size, error))
                if released:
                    self._events.append(Released(ticket, zero_copied, copied, waited))
            waiting = self._waiting.get(ticket)
            if waiting is None or not (released or error or not waiting[1]):
                continue
            done, _ = self._waiting.pop(ticket)
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    def _wake(self) -> None:
        room, self._room = self._room, []
        for future in room:
            if not future.done():
                future.set_result(None)

    def _wait(self, deadline: float | None, what: str) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"{what} in time")
        waiter = select.poll()
        waiter.register(self._native.fileno(), select.POLLIN)
        waiter.poll(None if left is None else max(1, int(left * 1000)))

    def _attach(self) -> asyncio.AbstractEventLoop:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("the transmitter is used by another event loop")
            loop.add_reader(self._native.fileno(), self._drive)
            self._loop = loop
        return loop

    def _tell_changes(self) -> None:
        changes = self._native.changes
        for before, after, reason in changes[self._changes_told :]:
            _log.info("%s instead of %s: %s", after, before, reason)
        self._changes_told = len(changes)
