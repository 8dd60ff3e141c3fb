"""Network namespaces for tests of live ports, and programs in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netfast as nf
from netfast._netfast import Patch

LIMIT = 30


def why_not(*programs: str) -> str | None:
    """Why tests with namespaces cannot run here."""
    missing = [program for program in ("ip", *programs) if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)}: not installed"
    if os.geteuid() != 0:
        return "network namespaces and devices need root"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is not here (module tun)"
    name = f"nfl{os.getpid()}try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"no network namespaces here: {done.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=False)
    return None


@contextlib.contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends a program with the block, whatever it says to that."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Namespace:
    """One network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends = contextlib.ExitStack()
        """What ends before it does."""

    def ip(self, command: str) -> str:
        """Runs `ip` in it."""
        return subprocess.run(
            ["ip", "-n", self.name, *command.split()],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        ).stdout

    def run(self, *command: str, check: bool = True, limit: float = LIMIT) -> str:
        """Runs a program in it and gives what it prints."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def program(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a program in it until the end of the block."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with ending(process):
            yield process

    def answers(self, address: str, *, count: int = 3, size: int = 56) -> int:
        """Answers to pings."""
        text = self.run(
            "ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", "-s", str(size), address, check=False
        )
        found = re.search(r"(\d+) received", text)
        return int(found[1]) if found else 0

    def wrong_checksums(self) -> int:
        """Packets that its kernel dropped because a checksum was wrong, of both families."""
        rows = [line.split() for line in self.run("cat", "/proc/net/snmp").splitlines()]
        found = [zip(names, values, strict=True) for names, values in zip(rows[::2], rows[1::2], strict=True)]
        found.append(line.split() for line in self.run("cat", "/proc/net/snmp6").splitlines())  # type: ignore[arg-type]
        counts = [int(value) for row in found for name, value in row if name.endswith("InCsumErrors")]
        assert len(counts) >= 4
        return sum(counts)

    def links(self) -> set[str]:
        """The names of its interfaces."""
        return {line.split()[1].split("@")[0].rstrip(":") for line in self.ip("-o link show").splitlines()}


@contextlib.contextmanager
def namespaces(*labels: str) -> Iterator[list[Namespace]]:
    """Namespaces with names of their own, which are gone at the end."""
    made: list[Namespace] = []
    try:
        for label in labels:
            space = Namespace(f"nfl{os.getpid()}{label}")
            subprocess.run(["ip", "netns", "add", space.name], check=True, timeout=LIMIT)
            made.append(space)
            space.ip("link set lo up")
        yield made
    finally:
        for space in made:
            space.ends.close()
            subprocess.run(["ip", "netns", "delete", space.name], check=False, timeout=LIMIT)


def joined(space: Namespace, one: nf.Device, other: nf.Device) -> None:
    """Moves frames between two devices for as long as a namespace is there."""
    patch, over = Patch(one._native, other._native), threading.Event()

    def work() -> None:
        while not over.is_set():
            patch.run(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    space.ends.callback(patch.close)
    space.ends.callback(thread.join)
    space.ends.callback(over.set)


def until(what: str, holds: object, seconds: float = LIMIT) -> None:
    """Waits until a function says yes."""
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


CLIENT = ("192.0.2.2/24", "2001:db8:1::2/64")
SERVER = ("198.51.100.2/24", "2001:db8:2::2/64")
LAN = ("192.0.2.1/24", "2001:db8:1::1/64")
WAN = ("198.51.100.1/24", "2001:db8:2::1/64")
TARGETS = ("198.51.100.2", "2001:db8:2::2")

RULES = """\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }
}
"""

Opened = Callable[[Namespace, tuple[str, ...], Namespace], nf.Device]


def tap(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.Tap("nf0", netns=space.name, addresses=addresses)


def plain_tap(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.Tap("nf0", netns=space.name, addresses=addresses, offloads=False)


def veth(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> str:
    name = f"v{space.name[-1]}"
    subprocess.run(
        f"ip -n {middle.name} link add {name} type veth peer name nf0 netns {space.name}".split(), check=True
    )
    middle.ip(f"link set {name} up")
    for address in addresses:
        space.ip(f"addr add {address} dev nf0" + (" nodad" if ":" in address else ""))
    space.ip("link set nf0 up")
    return name


def packet(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.PacketSocket(veth(space, addresses, middle), netns=middle.name)


def routes(client: Namespace, server: Namespace) -> None:
    """Each of them has the router as its gateway."""
    for space, gateways in ((client, LAN), (server, WAN)):
        for gateway in gateways:
            family = "-6" if ":" in gateway else "-4"
            space.ip(f"{family} route replace default via {gateway.partition('/')[0]} dev nf0")


@contextlib.contextmanager
def router(
    kind: Opened, client: Namespace, server: Namespace, middle: Namespace, **settings: Any
) -> Iterator[nf.Stack]:
    """A router with connection tracking and translation between two namespaces; it checks its own books."""
    stack = nf.Stack("live", tracking="on", verify=True, **settings)
    with stack:
        stack.add_port("lan", device=kind(client, CLIENT, middle), addresses=LAN)
        stack.add_port("wan", device=kind(server, SERVER, middle), addresses=WAN)
        stack.masquerade("wan", family=4)
        stack.masquerade("wan", family=6)
        stack.load_rules(RULES)
        routes(client, server)
        yield stack
        assert stack.counters.conserved
        assert stack.differences() == []
