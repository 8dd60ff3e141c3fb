"""A node through the installed wheel: hits, first packets, a scan, and `Stack.push` from Python."""

import pytest

from netfast._netfast import BenchNode
from netfast.bench import forward

PACKETS = 1 << 20


@pytest.mark.parametrize("transport", ["udp", "tcp", "nat"])
def bench_hits(benchmark, transport):
    node = BenchNode(10_000, tcp=transport == "tcp", nat=transport == "nat")
    benchmark.extra_info["packets"] = PACKETS
    assert benchmark(node.hits) > 0


@pytest.mark.parametrize("flows", [1_000, 100_000])
def bench_flows(benchmark, flows):
    node = BenchNode(flows)
    benchmark.extra_info["packets"] = PACKETS
    assert benchmark(node.hits) > 0
    assert node.flow_bytes <= 320


def bench_first_packets(benchmark):
    node = BenchNode(1, room=1 << 18)
    benchmark.extra_info["packets"] = 100_000

    def emptied():
        node.flush()

    cost = benchmark.pedantic(node.first_packets, args=(100_000,), setup=emptied, rounds=5)
    assert cost > 0


def bench_scan(benchmark):
    node = BenchNode(10_000, room=12_500)
    *_, evicted = benchmark.pedantic(node.scan, args=(True, 1 << 16), rounds=3)
    assert evicted == 0


def bench_push_from_python(benchmark):
    node = forward.stack()
    work = forward.batches(BenchNode(10_000))
    now = forward.settle(node, work)
    before = node.counters.cache["hits"]

    def push():
        for port, batch in work:
            node.push(port, batch, now)

    benchmark(push)
    assert node.counters.cache["hits"] > before
