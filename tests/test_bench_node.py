"""The loops behind `netfast bench forward` and its like: they measure what they say, or fail."""

from __future__ import annotations

from pathlib import Path

import pytest

import netfast
from netfast._netfast import BenchNode, BenchReplay
from netfast.bench import forward
from netfast.bench.inputs import make_mix


@pytest.mark.parametrize(("tcp", "nat"), [(False, False), (True, False), (False, True), (True, True)])
def test_every_packet_of_established_flows_is_a_hit(tcp: bool, nat: bool) -> None:
    node = BenchNode(300, tcp=tcp, nat=nat)
    assert node.hits() > 0
    assert node.hits(batch=7, frames=1_000) > 0
    assert node.pieces(True) > 0
    assert node.cache_bytes > 0


def test_first_packets_find_room_or_say_so() -> None:
    node = BenchNode(1, room=2_000)
    assert node.first_packets(1_000) > 0
    node.flush()
    assert node.first_packets(2_000) > 0
    assert len(node.first_frames(3)) == 3 * 64


@pytest.mark.parametrize("from_clients", [True, False])
def test_a_scan_evicts_nobody(from_clients: bool) -> None:
    node = BenchNode(1_000, room=1_250)
    *costs, evicted = node.scan(from_clients, 5_000)
    assert all(cost > 0 for cost in costs)
    assert evicted == 0


def test_a_change_of_the_rules_decides_each_flow_anew() -> None:
    node = BenchNode(2_000, rules=10)
    swap, after, calm = node.revalidate()
    assert swap > 0
    assert after > calm
    assert node.hits() > 0


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(netfast.ConfigError, match="flows = 0 is out of range") as caught:
        BenchNode(0)
    assert caught.value.option == "flows"
    node = BenchNode(1)
    with pytest.raises(netfast.ConfigError, match="batch = 257"):
        node.hits(batch=257)


def test_a_stack_from_python_is_the_same_node() -> None:
    alone = BenchNode(50)
    stack = forward.stack()
    work = forward.batches(alone)
    now = forward.settle(stack, work)
    before = stack.counters.cache["hits"]
    for port, batch in work:
        stack.push(port, batch, now)
    assert stack.counters.cache["hits"] - before == sum(len(batch) for _, batch in work)
    assert [
        len(stack.push(port, batch, now)["wan" if port == "lan" else "lan"]) for port, batch in work[:2]
    ] == [
        256,
        256,
    ]


def test_captures_go_through_a_node(tmp_path: Path) -> None:
    path, count = make_mix(tmp_path / "mix.pcap")
    replay = BenchReplay()
    for batch in netfast.Capture(path):
        replay.add(batch)
    nanos, hits = replay.run(rules=5)
    assert count > 0
    assert nanos > 0
    assert 0 < hits < 1
    with pytest.raises(AssertionError, match="0 of 0 packets were taken"):
        BenchReplay().run()
