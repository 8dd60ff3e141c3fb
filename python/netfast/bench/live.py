"""What the benchmarks of live ports share: namespaces, forwarders in processes of their own, iperf3 and ping."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from netfast.bench import harness
from netfast.bench.harness import Missing

__all__ = ["RULES", "answers", "compiled", "cpu_seconds", "forwarder", "iperf", "namespaces", "pings", "sh"]

RULES = """\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }
}
"""
"""A small firewall, which tracks connections."""

_LIMIT = 60
_TICKS = os.sysconf("SC_CLK_TCK")


def sh(command: str, check: bool = True, text: str | None = None) -> str:
    """Runs a command, with `text` to read, and gives what it prints."""
    done = subprocess.run(
        command.split(), input=text, capture_output=True, text=True, check=False, timeout=_LIMIT
    )
    if check and done.returncode != 0:
        raise Missing(f"{command}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Network namespaces, which are gone at the end. `Missing` where they cannot be made."""
    if os.geteuid() != 0:
        raise Missing("network namespaces need root")
    harness.need("ip", "iproute2")
    made: list[str] = []
    try:
        for number in range(count):
            name = f"nfbench{os.getpid()}n{number}"
            sh(f"ip netns add {name}")
            made.append(name)
            sh(f"ip -n {name} link set lo up")
        yield made
    finally:
        for name in made:
            sh(f"ip netns delete {name}", check=False)


def compiled(name: str, source: str) -> Path:
    """A program in C, compiled here and now."""
    compiler = harness.need("gcc", "gcc")
    path = harness.scratch() / name
    text = path.with_suffix(".c")
    if not path.exists() or not text.exists() or text.read_text() != source:
        text.write_text(source)
        command = [compiler, "-O2", "-o", str(path), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT)
        if done.returncode != 0:
            raise Missing(f"{name}.c does not compile: {done.stderr.strip()[-200:]}")
    return path


@contextlib.contextmanager
def forwarder(command: Sequence[str], netns: str | None = None) -> Iterator[int]:
    """A program that forwards packets once it has said "ok"; the number of its process."""
    inside = [] if netns is None else ["ip", "netns", "exec", netns]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [*inside, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        if said != "ok":
            raise Missing(f"{Path(command[0]).name} did not start: {(said + process.stdout.read())[-300:]}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def cpu_seconds(pid: int) -> float:
    """Seconds that all threads of a process have had a processor, in the kernel and without."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def iperf(client: str, server: str, target: str, seconds: int, *more: str) -> float:
    """Bits a second that arrived, from iperf3 in one namespace to iperf3 in another."""
    program = harness.need("iperf3", "iperf3")
    listening = subprocess.Popen(
        ["ip", "netns", "exec", server, program, "-s", "-1", "--forceflush"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert listening.stdout is not None
    try:
        for text in listening.stdout:
            if "listening" in text:
                break
        command = ["ip", "netns", "exec", client, program, "-J", "-c", target, "-t", str(seconds), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT + seconds)
        try:
            end = json.loads(done.stdout)["end"]
        except (ValueError, KeyError):
            raise Missing(f"iperf3: {(done.stdout + done.stderr).strip()[-200:]}") from None
        found = end.get("sum_received") or end.get("sum")
        if found is None:
            raise Missing(f"iperf3: {done.stdout[-200:]}")
        return float(found["bits_per_second"])
    finally:
        listening.terminate()
        listening.communicate()


def answers(client: str, target: str) -> None:
    """Waits until a target answers."""
    end = time.monotonic() + 20
    command = f"ip netns exec {client} ping -n -c 1 -W 1 {target}"
    while time.monotonic() < end:
        if subprocess.run(command.split(), capture_output=True, check=False, timeout=_LIMIT).returncode == 0:
            return
    raise Missing(f"{target} does not answer through the forwarder")


def pings(client: str, target: str, count: int = 500) -> list[float]:
    """Round trips in µs, sorted."""
    harness.need("ping", "iputils-ping")
    text = sh(f"ip netns exec {client} ping -n -c {count} -i 0.002 -W 1 {target}", check=False)
    times = sorted(float(found) * 1e3 for found in re.findall(r"time=([\d.]+)", text))
    if len(times) < count // 2:
        raise Missing(f"{len(times)} of {count} pings were answered")
    return times
