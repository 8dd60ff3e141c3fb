"""Benchmarks that yield one line a measurement, each beside a peer that ran in the same run.

>>> from netfast.bench import BENCHES, run
>>> sorted(BENCHES)[:3]
['build', 'collation', 'dissect']
>>> for line in run("timers"):                              # doctest: +SKIP
...     print(line["metric"], line["value"], line["ratio"])
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from netfast.errors import ConfigError

__all__ = ["BENCHES", "run"]

BENCHES: dict[str, str] = {
    "packets": "netfast.bench.packets",
    "flows": "netfast.bench.flows",
    "dissect": "netfast.bench.dissect",
    "build": "netfast.bench.build",
    "timers": "netfast.bench.timers",
    "forward": "netfast.bench.forward",
    "nat": "netfast.bench.nat",
    "rules": "netfast.bench.rules",
    "newflows": "netfast.bench.newflows",
    "scan": "netfast.bench.scan",
    "neighbours": "netfast.bench.neighbours",
    "collation": "netfast.bench.collation",
    "segmentation": "netfast.bench.segmentation",
    "reassembly": "netfast.bench.reassembly",
    "idwrap": "netfast.bench.idwrap",
    "tun": "netfast.bench.tun",
    "ports": "netfast.bench.ports",
    "transmit": "netfast.bench.transmit",
}
"""The benchmarks, in the order in which they run: their names, and the modules whose `run()` measures."""


def run(name: str) -> Iterator[dict[str, object]]:
    """Runs a benchmark and yields its lines as they are measured.

    A line has `bench`, `metric`, `value` (the median), `unit`, `min`, `max`, `n`, `peer`, `peer_value` and
    `ratio` (how many times better netfast is). Where the peer is not there, `peer`, `peer_value` and
    `ratio` are `None`, and `reason` says why.

    Raises `ConfigError` for a name that is not in `BENCHES`.
    """
    if name not in BENCHES:
        raise ConfigError(f"no benchmark {name!r}; there are {', '.join(BENCHES)}", option="name")
    lines: Iterator[dict[str, object]] = importlib.import_module(BENCHES[name]).run()
    yield from lines
