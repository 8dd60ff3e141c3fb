"""Readers that are slow, or never read, behind Unix sockets; and what a terminal shows of a node that runs."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf
from nodes import CLIENT, LAN

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "netfast")
SLOW, BRISK = "203.0.113.7", "198.51.100.7"
LIMIT = 60.0


def frame(destination: str, number: int) -> bytes:
    """A datagram from the client, with its number."""
    packet = nf.IPv4(src="192.0.2.7", dst=destination) / nf.UDP(src_port=4000, dst_port=53)
    return bytes(nf.Ethernet(src=CLIENT, dst=LAN) / packet / number.to_bytes(4, "big"))


def numbers(frames: list[bytes]) -> list[int]:
    """The numbers that arrived."""
    return [int.from_bytes(each[-4:], "big") for each in frames]


class Router:
    """A client and two servers behind Unix sockets, which the kernel's limit of some datagrams holds up."""

    def __init__(self, folder: Path) -> None:
        self.peers = {
            name: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for name in ("lan", "slow", "brisk")
        }
        self.stack = nf.Stack("waiting", seed=1, verify=True)
        addresses = {"lan": "192.0.2.1/24", "slow": "203.0.113.1/24", "brisk": "198.51.100.1/24"}
        for name, peer in self.peers.items():
            peer.bind(str(folder / f"{name}-peer"))
            peer.settimeout(LIMIT)
            device = nf.UnixLink(folder / name, folder / f"{name}-peer")
            mac = LAN if name == "lan" else None
            self.stack.add_port(name, device=device, mac=mac, addresses=[addresses[name]])
            peer.connect(str(folder / name))
        self.stack.add_neighbour("slow", SLOW, "02:00:00:00:00:71")
        self.stack.add_neighbour("brisk", BRISK, "02:00:00:00:00:72")

    def read(self, name: str, count: int, pause: float) -> list[bytes]:
        """Reads so many frames, now and then."""
        found = []
        while len(found) < count:
            found.append(self.peers[name].recv(2048))
            if len(found) % 50 == 0:
                time.sleep(pause)
        return found

    def count(self, name: str) -> dict[str, int]:
        assert self.stack.live is not None
        port: dict[str, int] = self.stack.live["ports"][name]
        return port


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    made = Router(tmp_path)
    with made.stack:
        yield made
        assert made.stack.counters.conserved
        assert made.stack.differences() == []
    for peer in made.peers.values():
        peer.close()


def test_a_slow_reader_holds_up_its_sender_and_loses_nothing(router: Router) -> None:
    total = 6_000
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(router.read("slow", total, 0.01)))
    with router.stack.serving():
        reader.start()
        for number in range(total):
            # Blocks while the router does not read.
            router.peers["lan"].send(frame(SLOW, number))
        reader.join()
        assert numbers(found) == list(range(total))
        lan, slow = router.count("lan"), router.count("slow")
        assert (lan["received"], slow["sent"]) == (total, total)
        assert (slow["queue_full"], slow["stalled"], slow["queued"]) == (0, 0, 0)
        assert lan["paused"] > 0


def test_who_never_reads_holds_others_up_for_a_second_alone(router: Router) -> None:
    total = 4_000
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(router.read("brisk", total, 0.0)))
    with router.stack.serving(drain=0.1):
        reader.start()
        start = time.monotonic()
        for number in range(total):
            router.peers["lan"].send(frame(SLOW, number))
            router.peers["lan"].send(frame(BRISK, number))
        reader.join()
        took = time.monotonic() - start
        assert numbers(found) == list(range(total))
        assert took < 20
        lan, slow, brisk = map(router.count, ("lan", "slow", "brisk"))
        assert (lan["received"], brisk["sent"]) == (2 * total, total)
        assert slow["stalled"] > 0
        # Each of them is sent, dropped for a reason, or still waits.
        assert slow["sent"] + slow["stalled"] + slow["queue_full"] + slow["queued"] == total
        # Who reads again has new ones.
        while True:
            router.peers["slow"].settimeout(0.3)
            try:
                router.peers["slow"].recv(2048)
            except TimeoutError:
                break
        router.peers["lan"].send(frame(SLOW, 77))
        router.peers["slow"].settimeout(LIMIT)
        assert numbers([router.peers["slow"].recv(2048)]) == [77]


def test_a_terminal_shows_rates_drops_and_connections(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        '[stack]\nname = "shown"\ntracking = "on"\n[[port]]\nname = "lan"\naddresses = ["192.0.2.1/24"]\n'
        f'device = {{ kind = "unix", local = "{tmp_path}/a", remote = "{tmp_path}/b" }}\n'
    )
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "TERM": "xterm",
        "COLUMNS": "120",
        "LINES": "40",
    }
    process = subprocess.Popen(
        [PROGRAM, "run", str(config)], stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    shown = ""
    try:
        end = time.monotonic() + LIMIT
        while "lan" not in shown or "connections" not in shown:
            assert time.monotonic() < end, shown
            shown += os.read(ours, 1 << 16).decode(errors="replace")
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            try:
                shown += os.read(ours, 1 << 16).decode(errors="replace")
            except OSError:
                # The other end is closed.
                break
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    for word in ("port", "device", "in/s", "out/s", "unix", "0 connections; dropped by the node: nothing"):
        assert word in shown, shown
