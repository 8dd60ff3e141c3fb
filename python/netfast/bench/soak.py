"""iperf3 for minutes through `netfast run` over a wire that loses packets: whether anything grows.

    python -m netfast.bench.soak --minutes 10

As root; it makes two network namespaces, which are gone at the end. The router stands between two TAP interfaces, with
connection tracking, translation and `faults` around one of them. A row each 30 seconds tells what iperf3 moved, what
was lost on purpose and sent again, and what the router's process has: memory, descriptors, threads, idle blocks of its
pool, packets that wait in queues. Status is 1 where one of these grew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from netfast.bench import harness, live
from netfast.bench.harness import Missing

__all__ = ["Row", "growth", "main", "soak"]

_CONFIG = """\
rules = '''
table inet filter {{
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }}
}}
table ip nat {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan" masquerade
    }}
}}
'''

[stack]
name = "soak-{client}"
tracking = "on"
seed = 1

[[port]]
name = "lan"
addresses = ["192.0.2.1/24", "2001:db8:1::1/64"]

[port.device]
kind = "faults"
loss = {loss}
duplicate = {duplicate}
reorder = {reorder}
seed = 1
device = {{ kind = "tap", name = "nf0", netns = "{client}", addresses = ["192.0.2.2/24", "2001:db8:1::2/64"] }}

[[port]]
name = "wan"
addresses = ["198.51.100.1/24", "2001:db8:2::1/64"]
device = {{ kind = "tap", name = "nf0", netns = "{server}", addresses = ["198.51.100.2/24", "2001:db8:2::2/64"] }}
"""
_TARGETS = ("198.51.100.2", "2001:db8:2::2")
# What a process may need more than after the warm-up before it counts as growth: pages of queues at their fullest.
_SLACK_KIB = 4_096


@dataclass(frozen=True, slots=True)
class Row:
    """What there was at one moment; bytes and packets since the beginning."""

    seconds: float
    received_bytes: int
    """What the router's ports received."""
    lost: int
    """Packets that were lost on purpose."""
    retransmits: int
    """Segments that the kernels at both ends sent again."""
    resident_kib: int
    """Memory that the process has, pages of files included (VmRSS)."""
    memory_kib: int
    """Memory that is the process's alone (RssAnon)."""
    descriptors: int
    threads: int
    blocks: int
    """Blocks of the pool that wait for packets."""
    queued: int
    """Packets in the queues of ports."""
    connections: int


class _Router:
    """`netfast run --json`, and the last that it said."""

    def __init__(self, config: Path) -> None:
        program = "from netfast.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "run", str(config), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.last: dict[str, Any] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            row = json.loads(text)
            if "ports" in row:
                self.last = row

    def ready(self) -> None:
        """Waits until it serves."""
        end = time.monotonic() + 30
        while self.last is None:
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise Missing(f"netfast run did not start: {self.process.communicate()[1][-300:]}")
            time.sleep(0.05)

    def row(self, start: float, spaces: Sequence[str]) -> Row:
        """What there is now, and what the kernels in some namespaces have sent again."""
        last, folder = self.last, Path(f"/proc/{self.process.pid}")
        assert last is not None
        status = dict(line.partition(":")[::2] for line in (folder / "status").read_text().splitlines())
        ports = last["ports"].values()
        injected = (port[way].get("injected", 0) for port in ports for way in ("dropped_in", "dropped_out"))
        return Row(
            seconds=round(time.monotonic() - start, 1),
            received_bytes=sum(port["received_bytes"] for port in ports),
            lost=sum(injected),
            retransmits=sum(map(_sent_again, spaces)),
            resident_kib=int(status["VmRSS"].split()[0]),
            memory_kib=int(status["RssAnon"].split()[0]),
            descriptors=len(list((folder / "fd").iterdir())),
            threads=int(status["Threads"]),
            blocks=last["blocks"],
            queued=sum(port["queued"] for port in ports),
            connections=last["connections"],
        )

    def end(self) -> str:
        """Ends it in order; what it complained about."""
        self.process.terminate()
        self._reader.join(30)
        assert self.process.stderr is not None
        told = self.process.stderr.read()
        if self.process.wait(30) != 0:
            raise Missing(f"netfast run ended with {self.process.returncode}: {told[-300:]}")
        return told

    def close(self) -> None:
        """Ends it if it still runs, and closes its pipes."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextlib.contextmanager
def _iperf(client: str, server: str, seconds: int) -> Iterator[list[subprocess.Popen[str]]]:
    """A stream for each family, one up and one down, for so long."""
    program = harness.need("iperf3", "iperf3")
    inside, made = ("ip", "netns", "exec"), []
    try:
        for number, target in enumerate(_TARGETS):
            port = str(5201 + number)
            listening = subprocess.Popen(
                [*inside, server, program, "-s", "-1", "-p", port, "--forceflush"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            made.append(listening)
            assert listening.stdout is not None
            next((text for text in listening.stdout if "listening" in text), None)
            way = ["-R"] if number else []
            talk = ["-J", "-c", target, "-p", port, "-t", str(seconds), *way]
            made.append(
                subprocess.Popen([*inside, client, program, *talk], stdout=subprocess.PIPE, text=True)
            )
        yield made[1::2]
    finally:
        for process in made:
            process.terminate()
            process.communicate()


def soak(
    seconds: int,
    every: float,
    *,
    loss: float = 0.001,
    duplicate: float = 0.000_5,
    reorder: float = 0.001,
) -> Iterator[Row | dict[str, dict[str, int]]]:
    """Yields rows, one each `every` seconds, and in the end what iperf3 says by target: `bytes` and `retransmits`.

    Raises `Missing` where it cannot run, or where the router or iperf3 fails.
    """
    with live.namespaces(2) as (client, server), tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "soak.toml"
        faults = {"loss": loss, "duplicate": duplicate, "reorder": reorder}
        config.write_text(_CONFIG.format(client=client, server=server, **faults))
        router = _Router(config)
        try:
            router.ready()
            for space, way in ((client, "1"), (server, "2")):
                v4 = "192.0.2.1" if space == client else "198.51.100.1"
                live.sh(f"ip -n {space} route add default via {v4}")
                live.sh(f"ip -n {space} -6 route add default via 2001:db8:{way}::1 dev nf0")
            for target in _TARGETS:
                live.answers(client, target)
            start = time.monotonic()
            with _iperf(client, server, seconds) as talks:
                for number in range(1, int(seconds / every) + 1):
                    time.sleep(max(0.0, start + number * every - time.monotonic()))
                    yield router.row(start, (client, server))
                told = [talk.communicate(timeout=60)[0] for talk in talks]
            router.end()
        finally:
            router.close()
        yield {target: _end(text) for target, text in zip(_TARGETS, told, strict=True)}


def _sent_again(space: str) -> int:
    """TCP segments that the kernel of a namespace has sent again."""
    rows = [line.split() for line in live.sh(f"ip netns exec {space} cat /proc/net/snmp").splitlines()]
    names, values = (row for row in rows if row[0] == "Tcp:")
    return int(dict(zip(names, values, strict=True))["RetransSegs"])


def _end(text: str) -> dict[str, int]:
    """What iperf3 moved, and sent again."""
    try:
        end = json.loads(text)["end"]
        return {"bytes": end["sum_received"]["bytes"], "retransmits": end["sum_sent"]["retransmits"]}
    except (ValueError, KeyError):
        raise Missing(f"iperf3: {text[-300:]}") from None


def growth(rows: Sequence[Row]) -> list[str]:
    """What grew after the first fifth of the time, by words; nothing in a program that leaks nothing."""
    settled, rest = rows[len(rows) // 5], rows[len(rows) // 5 + 1 :]
    found = []
    for name, slack in (("memory_kib", _SLACK_KIB), ("descriptors", 0), ("threads", 0)):
        before, after = getattr(settled, name), max(getattr(row, name) for row in rest)
        if after > before + slack:
            found.append(f"{name}: {before:,} after {settled.seconds:.0f} s, then {after:,}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints rows as a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m netfast.bench.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--loss", type=float, default=0.001, metavar="PART", help="of packets, each way")
    given = parser.parse_args(arguments)
    if given.minutes * 60 < 2 * given.every:
        parser.error(
            "--minutes and --every: growth takes two rows at least; give more minutes, or fewer seconds"
        )
    names = [field.name for field in fields(Row)]
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    rows: list[Row] = []
    try:
        for each in soak(round(given.minutes * 60), given.every, loss=given.loss):
            if isinstance(each, Row):
                rows.append(each)
                print("|", " | ".join(f"{value:,}" for value in astuple(each)), "|", flush=True)
                continue
            for target, end in each.items():
                print(f"\n{target}: {end['bytes']:,} bytes, {end['retransmits']:,} segments sent again")
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    grown = growth(rows)
    print("\n" + ("; ".join(grown) or "nothing grew"))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
