"""A Linux guest sends pings in fragments over a Unix socket; netfast puts them together and answers in fragments.

NETLAB names the program that boots a guest: `$NETLAB --name N up --link unix`, `run COMMAND...`, `status` (which prints
`dir=FOLDER`) and `down`. The guest's eth0 has 10.0.0.2/24 and 2001:db8::2/64; frames are the datagrams of
FOLDER/guest0.sock and FOLDER/stack0.sock.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf

LAB = os.environ.get("NETLAB")
MAC = "02:00:00:00:00:fe"
PEERS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("2001:db8::1", "2001:db8::2")}
MTU = 1500

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(LAB is None, reason="NETLAB names no program that boots a guest"),
]


def lab(*arguments: str) -> str:
    """What the program prints."""
    command = [str(LAB), "--name", f"nfsize{os.getpid()}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Link:
    """Our end of the guest's link; a node answers what comes, and all frames are kept."""

    def __init__(self, folder: Path, mac: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.bind(str(folder / "stack0.sock"))
        self.socket.connect(str(folder / "guest0.sock"))
        self.socket.settimeout(0.1)
        self.stack = nf.Stack("netfast", seed=1)
        self.stack.add_port("lan", mac=MAC, addresses=["10.0.0.1/24", "2001:db8::1/64"], mtu=MTU)
        for _, guest in PEERS.values():
            self.stack.add_neighbour("lan", guest, mac)
        self.came: list[bytes] = []
        self.sent: list[bytes] = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.done.is_set():
            try:
                frame = self.socket.recv(1 << 16)
            except TimeoutError:
                continue
            self.came.append(frame)
            for packet in self.stack.push("lan", [frame], now=time.monotonic_ns())["lan"]:
                self.sent.append(bytes(packet))
                self.socket.send(bytes(packet))

    def close(self) -> None:
        self.done.set()
        self.thread.join()
        self.socket.close()


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    lab("up", "--link", "unix")
    try:
        found = re.search(r"^dir=(.*)$", lab("status"), re.MULTILINE)
        assert found is not None
        for ours, _ in PEERS.values():
            lab("run", "ip", "neigh", "replace", ours, "lladdr", MAC, "dev", "eth0")
        link = Link(Path(found[1]), lab("run", "cat", "/sys/class/net/eth0/address").strip())
        try:
            yield link
        finally:
            link.close()
    finally:
        lab("down")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1472, 1473, 4000, 30_001, 65_500])
def test_pings_in_fragments(link: Link, version: int, size: int) -> None:
    if version == 6 and size == 65_500:
        size = 65_000
    came, sent = len(link.came), len(link.sent)
    ours, _ = PEERS[version]
    told = lab("run", "ping", "-c", "3", "-i", "0.2", "-W", "10", "-s", str(size), "-p", "6e66", ours)
    # It also says so where bytes of an answer are not those that it sent.
    assert " 3 received" in told, told
    assert "wrong data" not in told, told
    frames, answers = link.came[came:], link.sent[sent:]
    ip_bytes = size + (28 if version == 4 else 48)
    assert max(map(len, answers)) <= MTU + 14
    if ip_bytes > MTU:
        assert len(answers) > 3
    # The same by a reassembler alone.
    reassembler = nf.Reassembler()
    echoes = [
        datagram
        for datagram in reassembler.push(frames, now=0)
        if len(bytes(datagram)) == ip_bytes + 14 and datagram.packet.l4_checksum == "good"
    ]
    assert len(echoes) == 3
    assert reassembler.counters["completed"] == (3 if ip_bytes > MTU else 0)
