"""What the benchmarks have in common: lines, medians, peers that run in the same run, inputs."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, object]

ROUNDS = int(os.environ.get("NETFAST_BENCH_ROUNDS", "5"))
"""Rounds of each measurement; in a round, netfast and its peers run one after the other."""


class Missing(Exception):
    """A peer that cannot run here; the text says why and what to install."""


def line(
    bench: str,
    metric: str,
    values: Sequence[float],
    unit: str,
    peer: str | None,
    peer_values: Sequence[float] = (),
    *,
    reason: str | None = None,
    lower_is_better: bool = False,
) -> Line:
    """One benchmark line: `value` is the median, `ratio` how many times better netfast is than the peer."""
    value = statistics.median(values)
    peer_value = statistics.median(peer_values) if peer_values else None
    ratio = None
    if peer_value:
        ratio = peer_value / value if lower_is_better else value / peer_value
    result: Line = {
        "bench": bench,
        "metric": metric,
        "value": value,
        "unit": unit,
        "min": min(values),
        "max": max(values),
        "n": len(values),
        "peer": peer if peer_values else None,
        "peer_value": peer_value,
        "ratio": ratio,
    }
    if not peer_values:
        result["reason"] = f"{peer}: {reason}" if peer else reason
    return result


def rate(count: int, work: Callable[[], int], passes: int = 1) -> float:
    """Items a second: the best of `passes` passes, each of which must come to `count` items."""
    best = float("inf")
    for _ in range(passes):
        start = time.perf_counter()
        done = work()
        best = min(best, time.perf_counter() - start)
        if done != count:
            raise AssertionError(f"a pass came to {done} items, not {count}")
    return count / best


def export(batches: Iterable[Any]) -> Iterator[int]:
    """The rows of each batch, once it was exported to Arrow: columns that are made on demand are part of the work."""
    for batch in batches:
        batch.__arrow_c_array__()
        yield len(batch)


def best(measure: Callable[[], float], passes: int = 7) -> float:
    """The least of some costs: of as many passes as the limit study's, which prints the best of them."""
    return min(measure() for _ in range(passes))


def large_page_bytes() -> int:
    """Bytes of this process that stand in large pages (Linux: transparent huge pages of 2 MiB)."""
    try:
        rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(row.split()[1]) for row in rows if row.startswith("AnonHugePages:")) << 10


def typical(measure: Callable[[], float]) -> float:
    """The median of up to five passes in about two seconds."""
    start = time.perf_counter()
    values = [measure()]
    while len(values) < 5 and time.perf_counter() - start < 2:
        values.append(measure())
    return statistics.median(values)


def beside(
    bench: str, ours: Mapping[str, Callable[[], float]], peers: Mapping[str, Callable[[], float]]
) -> Iterator[Line]:
    """Yields a line for each of our metrics beside each peer, in packets a second.

    In each round every one of them, ours and theirs, does passes for two seconds, one at least and five at most, of
    which the median counts: what takes a fraction of a second has less of the others' caches in it then. (The limit
    study prints the best of some passes, so that netfast has the best of as many beside it.)
    """
    values: dict[str, list[float]] = {metric: [] for metric in ours}
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    reasons: dict[str, str] = {}
    for _ in range(min(3, ROUNDS)):
        for metric, measure in ours.items():
            values[metric].append(typical(measure))
        for name, measure in peers.items():
            if name in reasons:
                continue
            try:
                theirs[name].append(typical(measure))
            except Missing as missing:
                reasons[name] = str(missing)
    for name, peer_values in theirs.items():
        for metric in ours:
            yield line(
                bench, metric, values[metric], "packets/s", name, peer_values, reason=reasons.get(name)
            )


def need(program: str, package: str) -> str:
    """The path of a program, or `Missing` with the Debian package that has it."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed (Debian package {package})")
    return path


def python_peer(script: str, arguments: Sequence[object], timeout: float = 600) -> float:
    """Runs a script that prints one number, in a process of its own, with this interpreter."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise Missing((done.stderr.strip().splitlines() or ["it failed"])[-1][:200])
    return float(done.stdout.split()[-1])


_scratch: list[Path] = []


def scratch() -> Path:
    """The folder of `own_folder`, the same in the whole run."""
    if not _scratch:
        _scratch.append(own_folder())
    return _scratch[0]


def own_folder() -> Path:
    """A folder for inputs and compiled peers, which nobody else may write to.

    It is `$XDG_CACHE_HOME/netfast-bench` (or that of `~/.cache`), kept between runs; where it cannot be had, a new one
    in the temporary directory. What is compiled there is run: a folder that another user made is not taken.
    """
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        parent = Path(cache_home) if os.path.isabs(cache_home) else Path.home() / ".cache"
        folder = parent / "netfast-bench"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if is_ours_alone(status) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):
        pass  # No home, or one that cannot be written to.
    return Path(tempfile.mkdtemp(prefix="netfast-bench-"))


def is_ours_alone(status: os.stat_result) -> bool:
    """Whether this is a folder of this user's, and no link, that nobody else may write to."""
    is_closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_closed


def anchors() -> Path | None:
    """The folder of limit studies: `$NETFAST_ANCHORS`, else one beside the working directory."""
    named = os.environ.get("NETFAST_ANCHORS")
    for place in [named] if named else ["../shared/anchors", "shared/anchors"]:
        if place and Path(place, "capture_floor.rs").exists():
            return Path(place).resolve()
    return None


def limit_study(name: str) -> Path:
    """A limit study in Rust, compiled here and now."""
    folder = anchors()
    if folder is None:
        raise Missing(f"set NETFAST_ANCHORS to the folder that holds {name}.rs")
    compiler = need("rustc", "rustc")
    source, program = folder / f"{name}.rs", scratch() / name
    if not source.exists():
        raise Missing(f"{folder} has no {name}.rs")
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        command = [compiler, "--edition", "2024", "-O", str(source), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"{name}.rs does not compile: {done.stderr.strip()[-200:]}")
    return program


def capture_floor() -> Path:
    """The limit study of reading captures."""
    return limit_study("capture_floor")


def flow_floor(flows: int) -> float:
    """Nanoseconds a packet of the limit study of flow lookups: the best of seven passes over a million packets."""
    command = [str(limit_study("flow_floor")), str(flows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        # Its table has no room for less than four.
        raise Missing(f"it does not run with {flows} flows")
    words = done.stdout.split()
    return float(words[words.index("ns/pkt") - 1])


def floor_rates(program: Path, capture: Path) -> dict[str, float]:
    """Packets a second of every line that the limit study prints."""
    done = subprocess.run([program, capture], capture_output=True, text=True, check=True)
    rates = {}
    for text in done.stdout.splitlines():
        if text.endswith(" M/s"):
            name, value = text.removesuffix(" M/s").rsplit(None, 1)
            rates[name.strip()] = float(value) * 1e6
    return rates


def mixed_capture() -> tuple[Path, int]:
    """The input of the capture benchmarks and its number of packets.

    `mix1m.pcap` of `$ANCHOR_DIR` (or of the folder `anchors` in the temporary directory) when it is there: a
    million packets, half IPv6, 100,000 flows, IMIX sizes. Else a smaller one of the same kind is made.
    """
    from netfast.bench.inputs import make_mix

    folder = Path(os.environ.get("ANCHOR_DIR") or Path(tempfile.gettempdir()) / "anchors")
    path = folder / "mix1m.pcap"
    if path.exists():
        return path, 1_000_000
    return make_mix(scratch() / "mix.pcap")


def warm(path: Path) -> None:
    """Reads a file once, so that it is in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
