"""Sending over every rung, to sockets of this machine's kernel, and what happens when it does not go on.

What needs stuck neighbours, small limits or another MTU has network namespaces of its own; what needs a forbidden
io_uring has a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf
from netfast.transmit import Released, Sent

RUNGS = ["sendmsg", "sendmmsg", "udp_segment", "msg_zerocopy", "io_uring", "io_uring_zc"]
ZERO_COPY = ["msg_zerocopy", "io_uring_zc"]


def why_no_namespaces() -> str | None:
    """Why there are no network namespaces here."""
    if shutil.which("ip") is None:
        return "ip of iproute2: not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"nft-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return None if done.returncode == 0 else f"no network namespaces here: {done.stderr.strip()}"


NO_NAMESPACES = why_no_namespaces()
namespaces = [pytest.mark.root, pytest.mark.skipif(NO_NAMESPACES is not None, reason=str(NO_NAMESPACES))]


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest, receiver: socket.socket) -> str:
    name: str = request.param
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        reason = nf.Transmitter.rungs(sock)[name]
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return name


class TestDatagrams:
    def test_every_rung_sends_bytes_views_and_pieces(self, rung: str, receiver: socket.socket) -> None:
        payload = bytes(at % 251 for at in range(5_000))
        with nf.Transmitter.udp(*receiver.getsockname(), rung=rung, zero_copy_from=1) as transmitter:
            transmitter.send(payload, segment=1_200)
            transmitter.send(memoryview(payload)[100:1_000])
            transmitter.send([b"head", memoryview(payload)[:10], bytearray(b"tail")])
            transmitter.send((b"", b"x"))
            transmitter.drain(5)
            statistics = transmitter.statistics
        got = [receiver.recv(9_000) for _ in range(8)]
        assert [len(each) for each in got] == [1_200, 1_200, 1_200, 1_200, 200, 900, 18, 1]
        assert b"".join(got[:5]) == payload
        assert got[5:7] == [payload[100:1_000], b"head" + payload[:10] + b"tail"]
        assert (statistics.taken, statistics.sent, statistics.released) == (4, 4, 4)
        assert (statistics.copied_here, statistics.copied_here_bytes) == (1, 4), (
            "a bytearray can be written to"
        )
        assert sum(each.datagrams for each in statistics.rungs.values()) == 8
        if rung in ZERO_COPY:
            used = statistics.rungs[rung]
            assert (used.parts, used.copied + used.zero_copied) == (4, 4)

    def test_what_ends_is_told_in_two_phases(self, rung: str, receiver: socket.socket) -> None:
        with nf.Transmitter.udp(*receiver.getsockname(), rung=rung, zero_copy_from=1) as transmitter:
            assert transmitter.poll() == []
            ticket = transmitter.send(b"one")
            events: list[Sent | Released] = []
            for _ in range(100):
                events += transmitter.poll()
                if len(events) == 2:
                    break
                time.sleep(0.01)
            assert events[0] == Sent(ticket, 3)
            assert isinstance(events[1], Released)
            assert events[1].ticket == ticket
            assert events[1].copied == (rung in ZERO_COPY), "loopback copies"

    def test_unconnected_sockets_of_both_families(self, rung: str) -> None:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with (
                socket.socket(family, socket.SOCK_DGRAM) as receiver,
                socket.socket(family, socket.SOCK_DGRAM) as sock,
            ):
                receiver.bind((host, 0))
                receiver.settimeout(5)
                transmitter = nf.Transmitter(sock, rung=rung, zero_copy_from=1)
                with transmitter:
                    transmitter.send_many([b"one", b"two"], to=receiver.getsockname())
                    transmitter.flush(5)
                assert [receiver.recv(10), receiver.recv(10)] == [b"one", b"two"]

    def test_a_failure_is_its_messages_own(self, rung: str) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            nf.Transmitter(sock, rung=rung, zero_copy_from=1) as transmitter,
        ):
            transmitter.poll()
            ticket = transmitter.send(b"to nobody")
            events = transmitter.poll()
            told = next(event for event in events if isinstance(event, Sent))
            assert (told.ticket, told.size, type(told.error)) == (ticket, 0, OSError)
            assert "Destination address required" in str(told.error)
            assert transmitter.statistics.failed == 1

    def test_memory_is_held_until_it_is_released(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with near, far, nf.Transmitter(near) as transmitter:
            payload = bytes(9_000)
            before = sys.getrefcount(payload)
            tickets = [transmitter.send(payload) for _ in range(500)]
            held = sys.getrefcount(payload) - before
            assert held == transmitter.in_flight == transmitter.queued > 0
            assert transmitter.cancel(tickets[-1]) is True
            assert transmitter.cancel(tickets[0]) is False
            assert sys.getrefcount(payload) - before == held - 1
            transmitter.close()
            assert sys.getrefcount(payload) == before
            statistics = transmitter.statistics
            assert statistics.sent + statistics.cancelled == statistics.released == 500

    def test_limits_are_waited_for_and_time_out(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with near, far, nf.Transmitter(near, max_messages=4) as transmitter:
            while transmitter.try_send(bytes(9_000)) is not None:
                pass
            assert transmitter.in_flight == 4
            with pytest.raises(TimeoutError, match="no room"):
                transmitter.send(bytes(10), timeout=0.05)
            with pytest.raises(TimeoutError, match="4 messages are not sent"):
                transmitter.flush(0.01)
            with pytest.raises(TimeoutError, match="4 messages are not released"):
                transmitter.drain(0.01)

            def read() -> None:
                while len(far.recv(9_000)) > 10:
                    pass

            reader = threading.Thread(target=read)
            reader.start()
            transmitter.send(bytes(10), timeout=5)
            transmitter.flush(5)
            reader.join(5)
            assert not reader.is_alive()
            assert transmitter.statistics.full > 0


class TestStreams:
    @pytest.mark.parametrize("kind", ["unix", "tcp"])
    def test_a_slow_reader_gets_every_byte_in_order(self, rung: str, kind: str) -> None:
        if kind == "unix":
            near, far = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                near = socket.create_connection(server.getsockname())
                far, _ = server.accept()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        if (reason := nf.Transmitter.rungs(near)[rung]) is not None:
            near.close()
            far.close()
            pytest.skip(f"{rung}: {reason}")
        got = bytearray()

        def read() -> None:
            while piece := far.recv(7_001):
                got.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        messages = [bytes([number]) * (50 + 4_003 * number) for number in range(30)]
        with near, far:
            with nf.Transmitter(near, rung=rung, zero_copy_from=20_000) as transmitter:
                transmitter.send_many(messages, timeout=30)
                transmitter.drain(30)
            near.shutdown(socket.SHUT_WR)
            reader.join(30)
        assert bytes(got) == b"".join(messages)

    def test_what_a_thread_left_with_the_ring_is_sent_when_it_has_ended(self) -> None:
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        if (reason := nf.Transmitter.rungs(near)["io_uring"]) is not None:
            near.close()
            far.close()
            pytest.skip(reason)
        messages = [bytes([number]) * 20_000 for number in range(8)]
        with near, far, nf.Transmitter(near, rung="io_uring") as transmitter:
            thread = threading.Thread(target=transmitter.send_many, args=[messages])
            thread.start()
            thread.join(5)
            assert transmitter.queued > 0, (
                "the ring waits for room, and the kernel ends requests with their thread"
            )
            got, deadline = bytearray(), time.monotonic() + 10
            while len(got) < 160_000 and time.monotonic() < deadline:
                transmitter.poll()
                # Requests end some time after their thread: whoever waits looks at both descriptors.
                ready, _, _ = select.select([far, transmitter], [], [], 1)
                if far in ready:
                    got += far.recv(65_536)
            transmitter.drain(5)
            assert bytes(got) == b"".join(messages)
            assert (transmitter.statistics.sent, transmitter.statistics.failed) == (8, 0)

    def test_a_broken_stream_says_so(self) -> None:
        near, far = socket.socketpair()
        with near, nf.Transmitter(near) as transmitter:
            transmitter.poll()
            far.close()
            transmitter.send(b"lost")
            told = [event for event in transmitter.poll() if isinstance(event, Sent)]
            assert isinstance(told[0].error, BrokenPipeError)
            with pytest.raises(BrokenPipeError, match="the stream is broken"):
                transmitter.send(b"more")


class TestAsyncio:
    def test_sending_waits_for_room_without_a_thread(self) -> None:
        async def main() -> tuple[int, set[int]]:
            near, far = socket.socketpair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
            far.setblocking(False)
            loop = asyncio.get_running_loop()
            got, threads = 0, {threading.active_count()}
            with near, far, nf.Transmitter(near, max_messages=4) as transmitter:

                async def send(number: int) -> None:
                    await transmitter.send_async(bytes([number]) * 20_000, released=number % 2 == 0)

                tasks = [asyncio.create_task(send(number)) for number in range(30)]
                while got < 600_000:
                    got += len(await loop.sock_recv(far, 65_536))
                    threads.add(threading.active_count())
                await asyncio.gather(*tasks)
                await transmitter.drain_async()
                assert transmitter.statistics.sent == 30
            return got, threads

        got, threads = asyncio.run(asyncio.wait_for(main(), 30))
        assert got == 600_000
        assert len(threads) == 1, "no hidden threads"

    def test_errors_and_cancelling(self) -> None:
        async def main() -> None:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
                nf.Transmitter(sock) as transmitter,
                pytest.raises(OSError, match="Destination address required"),
            ):
                await transmitter.send_async(b"to nobody")
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            with near, far, nf.Transmitter(near) as transmitter:
                while transmitter.queued == 0:
                    transmitter.send(bytes(9_000))
                waiting = asyncio.create_task(transmitter.send_async(b"late"))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert transmitter.statistics.cancelled == 1
                closing = asyncio.create_task(transmitter.send_async(b"never"))
                await asyncio.sleep(0)
                transmitter.close()
                with pytest.raises(OSError, match="cancel"):
                    await closing

        asyncio.run(asyncio.wait_for(main(), 30))


class TestSettings:
    def test_what_cannot_be_is_named(self, receiver: socket.socket) -> None:
        address = receiver.getsockname()
        for settings, option in (
            ({"rung": "pigeon"}, "rung"),
            ({"max_messages": 0}, "max_messages"),
            ({"max_messages": 1 << 20}, "max_messages"),
            ({"max_bytes": 0}, "max_bytes"),
            ({"max_bytes": -1}, "max_bytes"),
            ({"registered": 1 << 20}, "registered"),
            ({"close_timeout": -1}, "close_timeout"),
        ):
            with pytest.raises(nf.ConfigError, match=option) as caught:
                nf.Transmitter.udp(*address, **settings)
            assert caught.value.option == option
        with pytest.raises(TypeError, match="max_bytes is str"):
            nf.Transmitter.udp(*address, max_bytes="many")
        with pytest.raises(OSError, match="SO_TYPE"), Path("/dev/null").open() as file:
            nf.Transmitter(file.fileno())
        near, far = socket.socketpair()
        with near, far, pytest.raises(nf.ConfigError, match="msg_zerocopy cannot be used here"):
            nf.Transmitter(near, rung="msg_zerocopy")

    def test_messages_that_cannot_be(self, receiver: socket.socket) -> None:
        with nf.Transmitter.udp(*receiver.getsockname()) as transmitter:
            with pytest.raises(nf.ConfigError, match="the most is 65507"):
                transmitter.send(bytes(65_508))
            with pytest.raises(nf.ConfigError, match="segment=65536"):
                transmitter.send(b"", segment=65_536)
            with pytest.raises(nf.ConfigError, match="1025 pieces"):
                transmitter.send([b""] * 1_025)
            with pytest.raises(nf.ConfigError, match="names are not looked up"):
                transmitter.send(b"", to=("localhost", 9))
            with pytest.raises(TypeError, match="bytes"):
                transmitter.send("text")  # type: ignore[arg-type]
            assert transmitter.statistics.taken == 0
        with pytest.raises(ValueError, match="closed"):
            transmitter.send(b"")
        assert repr(transmitter) == "<netfast.Transmitter: closed>"

    def test_registered_memory_takes_copies(self, receiver: socket.socket) -> None:
        with nf.Transmitter.udp(
            *receiver.getsockname(), registered=2, registered_size=100, zero_copy_from=1
        ) as transmitter:
            for size in (100, 101):
                transmitter.send(bytearray(size))
                assert receiver.recv(200) == bytes(size)
            transmitter.drain(5)

    @pytest.mark.parametrize("name", ZERO_COPY)
    def test_loopback_copies_so_zero_copy_is_left(
        self, name: str, receiver: socket.socket, caplog: pytest.LogCaptureFixture
    ) -> None:
        try:
            transmitter = nf.Transmitter.udp(*receiver.getsockname(), rung=name, zero_copy_from=1)
        except (nf.ConfigError, PermissionError) as error:
            pytest.skip(str(error))
        with transmitter, caplog.at_level(logging.INFO, "netfast.transmit"):
            for _ in range(40):
                transmitter.send(bytes(100))
                transmitter.drain(5)
            assert transmitter.rung == "udp_segment"
            [change] = transmitter.changes
            assert str(change).startswith(f"udp_segment instead of {name}: the system copied 16 messages")
            assert transmitter.statistics.rungs[name].copied == 16
        assert str(change) in caplog.text


FORBID = """
import ctypes, struct, sys
def forbid(*calls):
    # Answers EPERM to these system calls, as the profiles of containers do.
    program = struct.pack("HBBI", 0x20, 0, 0, 0)
    for number in calls:
        program += struct.pack("HBBI", 0x15, 0, 1, number) + struct.pack("HBBI", 0x06, 0, 0, 0x00050001)
    program += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    memory = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0
SETUP, ENTER, REGISTER = 425, 426, 427
import netfast as nf
address = ("127.0.0.1", int(sys.argv[1]))
"""

seccomp = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64") or platform.system() != "Linux",
    reason="the filter is written for Linux with numbers that all recent machines have",
)


def forbidden(script: str, receiver: socket.socket) -> str:
    command = [sys.executable, "-c", FORBID + script, str(receiver.getsockname()[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@seccomp
class TestForbidden:
    def test_another_rung_is_taken_and_says_why(self, receiver: socket.socket) -> None:
        script = """
forbid(SETUP, ENTER, REGISTER)
with nf.Transmitter.udp(*address) as transmitter:
    transmitter.send(b"x" * 3000, segment=1000)
    transmitter.drain(5)
    print(transmitter.rung)
    for change in transmitter.changes:
        print(change)
try:
    nf.Transmitter.udp(*address, rung="io_uring")
except PermissionError as error:
    print(error)
"""
        rung, change, error = forbidden(script, receiver).splitlines()
        assert rung == "msg_zerocopy"
        assert change.startswith("msg_zerocopy instead of io_uring_zc: io_uring_setup is forbidden here")
        assert "seccomp" in change
        assert "rung io_uring cannot be used here" in error
        assert "kernel.io_uring_disabled" in error
        assert [len(receiver.recv(2_000)) for _ in range(3)] == [1_000] * 3

    def test_a_ring_that_is_forbidden_later_is_left_in_order(self, receiver: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            if (reason := nf.Transmitter.rungs(sock)["io_uring_zc"]) is not None:
                pytest.skip(reason)
        script = """
with nf.Transmitter.udp(*address, zero_copy_from=1) as transmitter:
    for number in range(5):
        transmitter.send(bytes([number]))
    transmitter.drain(5)
    forbid(ENTER)
    for number in range(5, 10):
        transmitter.send(bytes([number]))
    transmitter.drain(5)
    print(transmitter.rung, transmitter.statistics.sent, transmitter.statistics.failed)
    print(transmitter.changes[0])
"""
        counts, change = forbidden(script, receiver).splitlines()
        assert counts == "udp_segment 10 0"
        assert change.startswith("udp_segment instead of io_uring_zc: io_uring_enter is forbidden here")
        assert [receiver.recv(10)[0] for _ in range(10)] == list(range(10))


@pytest.fixture
def wire() -> Iterator[tuple[str, str]]:
    """Two namespaces with a veth pair: 192.0.2.1 on v0 of the first, 192.0.2.2 on v1 of the second."""
    near, far = f"nft-{os.getpid()}-a", f"nft-{os.getpid()}-b"
    try:
        for name in (near, far):
            subprocess.run(["ip", "netns", "add", name], check=True)
        for command in (
            f"-n {near} link add v0 type veth peer name v1 netns {far}",
            f"-n {near} addr add 192.0.2.1/24 dev v0",
            f"-n {far} addr add 192.0.2.2/24 dev v1",
            f"-n {near} link set v0 up",
            f"-n {far} link set v1 up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def inside(name: str, script: str) -> subprocess.Popen[str]:
    """Python in a namespace."""
    command = ["ip", "netns", "exec", name, sys.executable, "-c", script]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def answer(name: str, script: str) -> str:
    process = inside(name, script)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


class TestOtherMachines:
    pytestmark = namespaces

    def test_segments_longer_than_the_mtu_are_cut_here(self, wire: tuple[str, str]) -> None:
        near, far = wire
        listening = inside(
            far,
            """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("192.0.2.2", 9000))
sock.settimeout(10)
print("ready", flush=True)
print([len(sock.recv(9000)) for _ in range(7)], flush=True)
sys.stdin.read()
""",
        )
        assert listening.stdout is not None
        listening.stdout.readline()
        out = answer(
            near,
            """
import netfast as nf
for rung in ("udp_segment", "io_uring"):
    try:
        with nf.Transmitter.udp("192.0.2.2", 9000, rung=rung) as transmitter:
            transmitter.send(bytes(7000), segment=2000)
            if rung == "udp_segment":
                transmitter.send(bytes(2400), segment=800)
            transmitter.drain(5)
            print(transmitter.statistics.unsegmented, transmitter.statistics.failed)
    except (nf.ConfigError, PermissionError):
        print("1 0")
    if rung == "udp_segment":
        assert transmitter.statistics.rungs["udp_segment"].parts == 5
""",
        )
        assert out.split() == ["1", "0", "1", "0"]
        lengths = listening.communicate(timeout=20)[0]
        assert lengths.strip() == "[2000, 2000, 2000, 1000, 800, 800, 800]"

    @pytest.mark.parametrize("name", ZERO_COPY)
    def test_memory_in_flight_at_the_end_is_waited_for_or_left(
        self, name: str, wire: tuple[str, str]
    ) -> None:
        near, far = wire
        # The other end does not answer, so that packets wait in the queue of a neighbour, uncopied.
        subprocess.run(["ip", "-n", far, "link", "set", "v1", "arp", "off"], check=True)
        out = answer(
            near,
            f"""
import sys, time
import netfast as nf
try:
    payload = bytes(range(250)) * 4
    before = sys.getrefcount(payload)
    for patience in (0.1, 20):
        transmitter = nf.Transmitter.udp("192.0.2.2", 9000, rung="{name}", zero_copy_from=1, close_timeout=patience)
        for _ in range(3):
            transmitter.send(payload)
        waiting = transmitter.in_flight, transmitter.queued
        start = time.monotonic()
        transmitter.close()
        done = transmitter.statistics
        print(*waiting, done.sent, done.leaked, sys.getrefcount(payload) - before, time.monotonic() - start < 12)
        # The neighbour is given up after three seconds, and with it what waited.
        time.sleep(3.5 if patience < 1 else 0)
except (nf.ConfigError, PermissionError) as error:
    print("skip", error)
""",
        )
        if out.startswith("skip"):
            pytest.skip(out)
        impatient, patient = out.splitlines()
        assert impatient == "3 0 3 3 3 True", "sent, not released: left for ever and counted"
        assert patient == "3 0 3 0 3 True", "released when the neighbour was given up; three are still left"

    def test_the_systems_memory_for_what_is_in_flight_runs_out(self, wire: tuple[str, str]) -> None:
        near, far = wire
        subprocess.run(["ip", "-n", far, "link", "set", "v1", "arp", "off"], check=True)
        out = answer(
            near,
            """
import pathlib
import netfast as nf
limit = pathlib.Path("/proc/sys/net/core/optmem_max")
try:
    limit.write_text("4096")
except OSError as error:
    print("skip", error)
    raise SystemExit
with nf.Transmitter.udp("192.0.2.2", 9000, rung="msg_zerocopy", zero_copy_from=1, close_timeout=20) as transmitter:
    for _ in range(9):
        transmitter.send(bytes(1000))
    waiting = transmitter.statistics
    print(waiting.sent < 9, waiting.out_of_memory > 0, transmitter.queued > 0)
    transmitter.drain(30)
    done = transmitter.statistics
    print(done.sent, done.failed, done.released, done.leaked)
""",
        )
        if out.startswith("skip"):
            pytest.skip(out)
        assert out.splitlines() == ["True True True", "9 0 9 0"]


def test_a_fork_may_not_send(receiver: socket.socket) -> None:
    for rung in ("sendmmsg", None):
        with nf.Transmitter.udp(*receiver.getsockname(), rung=rung) as transmitter:
            transmitter.send(b"before")
            transmitter.flush()
            child = os.fork()
            if child == 0:
                try:
                    transmitter.send(b"in the child")
                except nf.ConfigError as error:
                    transmitter.close()
                    transmitter.close()
                    os._exit(7 if "fork" in str(error) else 8)
                os._exit(9)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            transmitter.send(b"after")
            transmitter.flush()
        assert [receiver.recv(100) for _ in range(2)] == [b"before", b"after"]


def test_a_fork_leaves_the_event_loop_alone(receiver: socket.socket) -> None:
    """Both processes have one poller: what the child takes out of it would be gone in the parent."""

    async def main() -> None:
        settings = {"rung": "msg_zerocopy", "zero_copy_from": 1, "adaptive": False}
        with nf.Transmitter.udp(*receiver.getsockname(), **settings) as transmitter:
            await transmitter.send_async(b"before", released=True)
            child = os.fork()
            if child == 0:
                transmitter.close()
                try:
                    transmitter.queued  # noqa: B018
                except nf.ConfigError:
                    os._exit(7 if "another process" in repr(transmitter) else 8)
                os._exit(9)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            await transmitter.send_async(b"after", released=True)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [receiver.recv(100) for _ in range(2)] == [b"before", b"after"]


def test_nothing_is_left_behind(receiver: socket.socket) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    address, payload = receiver.getsockname(), bytes(60_000)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    begun = (0, 0)
    references = sys.getrefcount(payload)
    for turn in range(120):
        with nf.Transmitter.udp(*address, zero_copy_from=1, registered=4) as transmitter:
            for _ in range(20):
                transmitter.send(payload, segment=1_000)
                transmitter.send(bytearray(500))
        if turn == 20:
            gc.collect()
            begun = descriptors(), resident()
    gc.collect()
    assert descriptors() == begun[0]
    assert resident() - begun[1] < 1_000, "pages"
    assert sys.getrefcount(payload) == references
