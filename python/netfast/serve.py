"""Serving: a `Stack` moves packets between the devices of its ports."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netfast._netfast import Server
from netfast.errors import ConfigError
from netfast.node.ruleset import Ruled
from netfast.node.views import Event

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Serving"]

# How often `until` is asked.
_ASKED = 0.05

_OnEvents = Callable[[list[Event]], object]


class Serving(Ruled):
    """What a `Stack` does with ports that have devices.

    While it serves, a loop takes packets from the devices, pushes them through the node in batches of up to
    256, and gives what comes out to the devices; time is that of the wall when the first device came, and goes
    on evenly. Everything else can be done meanwhile, from any thread: the loop takes the stack's lock for a
    turn, which is at most a batch of each port, and whoever waits for it is next. The GIL is free all the
    time, but while a hook or a callback runs.

    Where a device takes no more, packets wait in its queue. Ports that feed it and can wait (TUN, TAP, Unix
    sockets, captures) are not read meanwhile; what others bring, and what still waits when the device took
    nothing for a second, is dropped and counted (`live`). What is for the node itself and no part of it takes
    ends here.

    A device that goes (its interface was deleted, its peer has closed for good) is told as an event,
    `port_gone`, and opened again when it can be, which `port_returned` tells, or once `port_refused` where a
    privilege is missing; `port_link` tells changes of the link, `port_ended` the end of a capture.
    """

    __slots__ = ()

    def open_ports(self) -> None:
        """Opens the devices that the configuration names; `serve` does it, too. Before `drop_privileges` it is
        to be called."""
        for port in self._node.wanted_ports():
            if port not in (self.live or {"ports": {}})["ports"]:
                self._node.open_port(port)

    def close_ports(self) -> None:
        """Closes the devices of all ports, in order; what they made in the system is taken away."""
        self._node.close_ports()

    def serve(
        self,
        *,
        timeout: float | None = None,
        until: Callable[[], bool] | None = None,
        on_events: _OnEvents | None = None,
        busy_poll: float = 0.0,
        drain: float = 1.0,
    ) -> None:
        """Serves until `stop` is called, `timeout` seconds are over, or `until()`, asked every 50 ms, is true.

        Then what waits in queues may leave for up to `drain` seconds; devices stay open. In the main thread
        Ctrl-C does the same and is raised after that, and SIGTERM does it unless the program handles it by itself.

        `on_events` is called with events as they come; without it they are kept for `events()`. `busy_poll`
        are seconds for which the loop looks for packets before it sleeps, which saves some microseconds and
        costs a core; it looks less while nothing comes.
        """
        self.open_ports()
        if self.live is None and timeout is None and until is None:
            raise ConfigError(
                "no port has a device, so there is nothing to serve; give add_port a device", option="device"
            )
        server = self._node.serve(busy_poll=busy_poll, drain=drain)
        try:
            with _terminated(self.stop):
                try:
                    self._run(server, timeout, until, on_events)
                finally:
                    self.stop()
                    server.run()
        finally:
            server.finish()

    def _run(
        self,
        server: Server,
        timeout: float | None,
        until: Callable[[], bool] | None,
        on_events: _OnEvents | None,
    ) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while until is None or not until():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            if until is not None:
                left = _ASKED if left is None else min(left, _ASKED)
            what = server.run(left, events=on_events is not None)
            if on_events is not None and (found := self.events()):
                on_events(found)
            if what == "drained":
                return

    @contextlib.contextmanager
    def serving(
        self, *, on_events: _OnEvents | None = None, busy_poll: float = 0.0, drain: float = 1.0
    ) -> Iterator[Self]:
        """Serves in a thread of its own for as long as the block runs; hooks and `on_events` are called there.

        What went wrong in it is raised at the end of the block.
        """
        self.open_ports()
        server = self._node.serve(busy_poll=busy_poll, drain=drain)
        raised: list[BaseException] = []

        def work() -> None:
            try:
                self._run(server, None, None, on_events)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work, name="netfast", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            try:
                thread.join()
            finally:
                # Ctrl-C may end that wait; the thread ends by itself when it has drained.
                thread.join()
                server.finish()
        if raised:
            raise raised[0]

    async def serve_async(
        self, *, timeout: float | None = None, on_events: _OnEvents | None = None, drain: float = 1.0
    ) -> None:
        """Serves within the running event loop of asyncio, without a thread: one descriptor is watched, and
        each time that it is readable the loop has one turn. It ends as `serve` does; cancelling it drains, too.
        """
        # Who serves otherwise, or not at all, need not wait for it to be imported.
        import asyncio

        self.open_ports()
        loop = asyncio.get_running_loop()
        server = self._node.serve(drain=drain)
        done: asyncio.Future[None] = loop.create_future()

        def turn() -> None:
            if done.done():
                return
            try:
                what = server.turn()
                if on_events is not None and (found := self.events()):
                    on_events(found)
            except BaseException as error:
                done.set_exception(error)
                return
            if what == "drained":
                done.set_result(None)
            elif what == "more":
                loop.call_soon(turn)

        loop.add_reader(server.fileno(), turn)
        loop.call_soon(turn)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(done), timeout)
        finally:
            try:
                if not done.done():
                    self.stop()
                    await done
            finally:
                loop.remove_reader(server.fileno())
                server.finish()

    def stop(self) -> None:
        """Lets the loop drain and end, from any thread; `serve` returns then. Without one it does nothing."""
        self._node.stop()

    @property
    def is_serving(self) -> bool:
        """Whether a loop runs."""
        return self._node.is_serving

    @property
    def live(self) -> dict[str, Any] | None:
        """What the loop and its ports did; `None` while no port has a device.

        `turns`, `timeouts`, `wakes`, `batches` and `packets` are the loop's, `nowhere` packets for ports whose
        device was taken away, `blocks` pieces of memory that wait for the next packets, at most 8,192. `ports` has
        by name what `Device.counters` has, of all devices that the port had, its `link` (`None` while the device is
        gone), and of its queue: what waits (`queued`, `queued_bytes`), packets dropped because it was full
        (`queue_full`), because the device took nothing for too long (`stalled`), because it was gone (`away`) or at
        the end (`unsent`), how often more was to be received than fits a turn (`budget_exhausted`), and how often
        its reading paused for the queue of another port (`paused`).
        """
        found: dict[str, Any] | None = self._node.live()
        return found

    def drop_privileges(self, user: str | int, *, group: str | int | None = None) -> None:
        """Goes on as another user: this whole process, for good. Open the devices before.

        Descriptors stay open; a device that goes can be opened again only as that user may. Supplementary
        groups are those of the user. Raises `PermissionError` for whoever may not become another user, and where
        privileges are left all the same: capabilities of a program that was not started as root survive such a
        change.
        """
        import grp
        import pwd

        try:
            entry = pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
            gid = entry.pw_gid if group is None else _group(grp, group)
        except KeyError:
            raise ConfigError(
                f"user={user!r}, group={group!r}: there is no such one", option="user"
            ) from None
        if entry.pw_uid == 0:
            raise ConfigError(f"user={user!r} keeps all privileges; name another user", option="user")
        try:
            os.initgroups(entry.pw_name, gid)
            os.setresgid(gid, gid, gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        except PermissionError as error:
            remedy = "only root (CAP_SETUID, CAP_SETGID) becomes another user"
            raise PermissionError(error.errno, f"user={user!r}: {remedy}") from None
        if left := _left(entry.pw_uid):
            remedy = "start the program as root, not with capabilities of its own"
            raise PermissionError(errno.EPERM, f"user={user!r}: {left}; {remedy}")

    def events(self) -> list[Event]:
        """Takes what happened since the last call; the last one is `missed` when more happened than was kept."""
        return [Event.of(event) for event in self._node.events()]


def _group(grp: Any, group: str | int) -> int:
    return group if isinstance(group, int) else int(grp.getgrnam(group).gr_gid)


def _left(uid: int) -> str | None:
    """What a thread of this process has yet that another user than `uid` gave it."""
    for status in Path("/proc/self/task").glob("*/status"):
        # Threads may end meanwhile.
        with contextlib.suppress(OSError):
            fields = dict(line.partition(":\t")[::2] for line in status.read_text().splitlines())
            if {int(each) for each in fields["Uid"].split()} != {uid}:
                return f"a thread is another user yet ({fields['Uid']})"
            if int(fields["CapPrm"], 16):
                return f"capabilities are left ({fields['CapPrm']})"
    return None


@contextlib.contextmanager
def _terminated(stop: Callable[[], None]) -> Iterator[None]:
    """Within it SIGTERM calls `stop`, where nobody else handles it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, frame: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
