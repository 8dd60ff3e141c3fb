"""What neighbours cost: solicitations answered in batches, beside an established flow, and one looked for among many.

The peer is the kernel, which answers ARP requests at a TAP interface in a network namespace of this run (root). Its
time on the processor is measured, with a system call for each frame in it.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from netfast import ARP, Ethernet
from netfast._netfast import BenchNode
from netfast.bench import harness
from netfast.bench.harness import Line, Missing

_PACKETS = 1 << 18
_ASKED = 20_000
_SIZES = {"100": 100, "100k": 100_000}
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x1002


def run() -> Iterator[Line]:
    """Yields nanoseconds a solicitation, what flows keep beside a million a second, and nanoseconds a lookup."""
    peers: list[float] = []
    reason = None
    try:
        peers = [_kernel() for _ in range(harness.ROUNDS)]
    except Missing as missing:
        reason = str(missing)
    for label, known in _SIZES.items():
        node = BenchNode(1)
        costs = [node.neighbours(known, _PACKETS) for _ in range(harness.ROUNDS)]
        solicitation, arp, stranger, established, calm, lookup, kept = zip(*costs, strict=True)

        def cost(
            metric: str,
            values: tuple[float, ...],
            peer: str | None,
            peer_values: list[float],
            why: str | None = None,
            unit: str = "ns/packet",
            label: str = label,
        ) -> Line:
            name = f"{metric}_{label}"
            return harness.line(
                "neighbours", name, values, unit, peer, peer_values, reason=why, lower_is_better=True
            )

        yield cost("solicitation", solicitation, None, [])
        yield cost("arp", arp, "kernel", peers, reason)
        yield cost("stranger", stranger, None, [])
        yield cost("flow_beside", established, "alone", list(calm))
        yield harness.line("neighbours", f"flow_keeps_{label}", [100 * part for part in kept], "%", None)
        yield cost("lookup", lookup, None, [], unit="ns")


def _kernel() -> float:
    """Nanoseconds of processor time an ARP request, answered by the kernel through a TAP interface."""
    name = f"nfbneigh{os.getpid()}"
    if os.geteuid() != 0:
        raise Missing("needs root for a network namespace")
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"ip netns add: {error}") from error
    try:
        inside = ["ip", "netns", "exec", name, sys.executable, "-m", __name__]
        done = subprocess.run(inside, capture_output=True, text=True)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    if done.returncode:
        raise Missing(f"a TAP interface: {done.stderr.strip().rpartition(chr(10))[2]}")
    return float(done.stdout)


def _asked() -> float:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"nf0", _IFF_TAP_NO_PI))
        subprocess.run(["ip", "addr", "add", "172.16.0.1/12", "dev", "nf0"], check=True)
        subprocess.run(["ip", "link", "set", "nf0", "up"], check=True)
        ask = Ethernet(dst="ff:ff:ff:ff:ff:ff", src="06:00:00:00:00:01") / ARP(
            operation=1,
            sender_mac="06:00:00:00:00:01",
            sender_ip="172.16.0.2",
            target_mac="00:00:00:00:00:00",
            target_ip="172.16.0.1",
        )
        frame = bytes(ask)
        answered = 0
        begun = time.thread_time_ns()
        for _ in range(_ASKED):
            os.write(tap, frame)
            try:
                while answer := os.read(tap, 2_048):
                    answered += answer[12:14] == b"\x08\x06"
            except BlockingIOError:
                pass
        spent = time.thread_time_ns() - begun
        while answered < _ASKED and select.select([tap], [], [], 0.5)[0]:
            answered += os.read(tap, 2_048)[12:14] == b"\x08\x06"
        if answered < _ASKED * 9 // 10:
            raise OSError(f"{answered} of {_ASKED} requests were answered")
        return spent / _ASKED
    finally:
        os.close(tap)


if __name__ == "__main__":
    print(_asked())
