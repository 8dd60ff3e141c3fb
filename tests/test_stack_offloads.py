"""Offload features of the ports of a `Stack`: what is merged, what is cut, and what is counted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import netfast as nf
from netfast.errors import ConfigError
from netfast.headers import TCP, IPv4, IPv6
from nodes import SECOND, edge, up

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
SEGMENTATION = "scatter-gather tx-checksum-ip-generic tso tx-udp-segmentation"


def segments(count: int, family: int = 4, port: int = 4000, size: int = 1000) -> list[bytes]:
    """Segments of one flow in a row."""
    frames = []
    for turn in range(count):
        header = TCP(src_port=port, dst_port=80, seq=1 + turn * size, ack=1, flags=0x10, window=500)
        data = bytes([turn % 256]) * size
        if family == 4:
            ip = IPv4(src="192.0.2.7", dst="198.51.100.1", identification=turn, dont_fragment=1)
            frames.append(up(ip / header / data))
        else:
            frames.append(up(IPv6(src="2001:db8:1::7", dst="2001:db8:5::1") / header / data))
    return frames


@pytest.mark.parametrize("translates", [False, True])
def test_what_is_merged_and_cut_again_is_what_came(translates: bool) -> None:
    plain, merging = edge(), edge()
    merging.port("lan").features = "generic-receive-offload"
    for stack in (plain, merging):
        if translates:
            stack.masquerade("wan")
    for family in (4, 6):
        for turn in range(3):
            frames = segments(70, family)
            expected = list(map(bytes, plain.push("lan", frames, now=turn * SECOND)["wan"]))
            assert list(map(bytes, merging.push("lan", frames, now=turn * SECOND)["wan"])) == expected
    counts = merging.port("lan").counters
    assert counts["merged"] > 400
    assert counts["packets_in"] == merging.port("wan").counters["packets_out"] == 420
    out = merging.port("wan").counters
    assert out["segments"] - out["super_packets"] == counts["merged"]
    assert merging.counters.conserved
    assert merging.differences() == []


def test_a_port_that_takes_super_packets_gets_them() -> None:
    stack = edge()
    stack.port("lan").features = ["generic-receive-offload"]
    stack.port("wan").features = nf.Features(SEGMENTATION)
    [packet] = stack.push("lan", segments(10), now=0)["wan"]
    assert len(bytes(packet)) == 14 + 40 + 10_000
    counts = stack.port("wan").counters
    assert (counts["super_packets"], counts["segments"], counts["packets_out"]) == (1, 0, 1)


def test_marks_go_in_and_come_out() -> None:
    """A super-packet stays one from node to node, and is the same as its segments."""
    expected = list(map(bytes, edge().push("lan", segments(10), now=0)["wan"]))
    [packet] = nf.Collator().push(segments(10))
    assert (packet.gso_segments, packet.checksum) == (10, "good")
    given = (
        nf.OffloadBatch([packet]),
        [packet],
        packet,
        [(7, packet)],
        nf.Batch([packet]),
        nf.Batch(nf.OffloadBatch([packet])),
    )
    for form in given:
        taking, cutting = edge(), edge()
        taking.port("wan").features = nf.Features(SEGMENTATION)
        [sent] = nf.OffloadBatch(taking.push("lan", form, now=0)["wan"])
        assert (sent.gso_type, sent.gso_size, sent.gso_segments) == ("tcp4", 1000, 10)
        assert list(map(bytes, nf.segment(sent))) == expected
        assert list(map(bytes, cutting.push("lan", form, now=0)["wan"])) == expected
        assert cutting.counters.conserved
        assert taking.port("wan").counters["super_packets"] == 1
    taking = edge()
    taking.port("wan").features = nf.Features(SEGMENTATION)
    result = taking.push("lan", [*segments(3, port=9), packet], now=0)
    marks = [each.gso_segments for each in nf.OffloadBatch(result["wan"])]
    assert marks == [1, 1, 1, 10]
    # What came out of one node goes into another as it is.
    other = nf.Stack("other", seed=1)
    other.add_port("in", mac="02:00:00:00:00:99", addresses=["203.0.113.254/24"])
    other.add_port("out", mac="02:00:00:00:00:98", addresses=["198.51.100.254/24"], features=SEGMENTATION)
    other.add_neighbour("out", "198.51.100.1", "02:00:00:00:00:97")
    out = nf.OffloadBatch(other.push("in", result["wan"], now=1)["out"])
    assert [each.gso_segments for each in out] == marks


def test_a_partial_checksum_is_filled_in_where_the_port_does_not() -> None:
    frames = segments(4)
    partial = nf.segment(nf.Collator().push(frames)[0], checksums="partial")
    assert [each.checksum for each in partial] == ["partial"] * 4
    expected = list(map(bytes, edge().push("lan", frames, now=0)["wan"]))
    assert list(map(bytes, edge().push("lan", partial, now=0)["wan"])) == expected


def test_marks_that_contradict_are_dropped() -> None:
    stack = edge()
    udp = nf.OffloadPacket(segments(2)[0], gso_type="udp", gso_size=100)
    assert udp.gso_segments == 1
    assert len(stack.push("lan", udp, now=0)) == 0
    assert stack.counters.dropped_by == {"offload": 1}
    raw = nf.OffloadPacket(segments(1)[0][14:], link="RAW")
    with pytest.raises(ConfigError, match="Ethernet"):
        stack.push("lan", [raw], now=0)


def test_features_are_read_and_changed() -> None:
    stack = edge()
    port = stack.port("wan")
    assert port.name == "wan"
    assert len(port.features) == 0
    port.features = "tso"
    assert len(port.features) == 0, "what it needs is off"
    port.features = SEGMENTATION
    assert "tx-tcp-segmentation" in port.features
    stack.add_port("wan.7", parent="wan", vlan=7)
    assert stack.port("wan.7").features == port.features
    with pytest.raises(ConfigError, match="parent") as caught:
        stack.port("wan.7").features = "gro"
    assert caught.value.option == "features"
    with pytest.raises(ConfigError, match="large-receive-offload"):
        port.features = "lro"
    with pytest.raises(ConfigError, match="no feature"):
        port.features = "warp"
    with pytest.raises(TypeError):
        port.features = 7  # type: ignore[assignment]
    assert "tx-tcp-segmentation" in port.features
    assert "wan" in repr(port)
    with pytest.raises(ConfigError, match="did you mean"):
        stack.port("wam")


def test_features_in_toml(tmp_path: Path) -> None:
    stack = nf.Stack("edge")
    stack.add_port(
        "lan", mac="02:00:00:00:00:01", features=["gro", "scatter-gather"], gro_flush_timeout=0.002
    )
    text = stack.to_toml()
    assert 'features = ["scatter-gather", "generic-receive-offload"]' in text
    path = tmp_path / "edge.toml"
    path.write_text(text)
    again = nf.Stack.from_toml(path)
    assert again.to_toml() == text
    assert again.ports()[0]["features"] == ["scatter-gather", "generic-receive-offload"]
    assert again.ports()[0]["gro_flush_timeout"] == 0.002
    path.write_text(text.replace('"scatter-gather"', '"scater-gather"'))
    with pytest.raises(ConfigError, match="scatter-gather"):
        nf.Stack.from_toml(path)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_wait_that_cannot_be(seconds: float) -> None:
    with pytest.raises(ConfigError) as caught:
        nf.Stack().add_port("lan", mac="02:00:00:00:00:01", gro_flush_timeout=seconds)
    assert caught.value.option == "gro_flush_timeout"


def test_packets_wait_for_others() -> None:
    stack = nf.Stack("edge", verify=True)
    stack.add_port(
        "lan", mac="02:00:00:00:00:01", addresses=["192.0.2.1/24"], features="gro", gro_flush_timeout=0.001
    )
    stack.add_port("wan", mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
    stack.add_route("0.0.0.0/0", via="203.0.113.254")
    stack.add_neighbour("wan", "203.0.113.254", "02:00:00:00:00:99")
    frames = segments(6)
    assert len(stack.push("lan", frames[:3], now=0)["wan"]) == 0
    assert len(stack.push("lan", frames[3:], now=500_000)["wan"]) == 0
    assert (stack.counters.held, stack.next_timeout()) == (1, 1_000_000)
    assert len(stack.poll(1_000_000)["wan"]) == 6
    assert stack.counters.conserved


@needs_tshark
@pytest.mark.tshark
def test_tshark_finds_nothing_wrong_in_what_was_cut(tmp_path: Path) -> None:
    stack = edge()
    stack.masquerade("wan")
    stack.port("lan").features = "gro"
    out = [
        bytes(packet) for family in (4, 6) for packet in stack.push("lan", segments(50, family), now=0)["wan"]
    ]
    assert stack.port("wan").counters["super_packets"] > 0
    path = tmp_path / "out.pcapng"
    nf.write(path, [(1, frame) for frame in out])
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = ["-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status", "-e", "tcp.len"]
    done = subprocess.run(
        ["tshark", "-r", path, *checks, *fields], capture_output=True, text=True, check=True
    )
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(told) == 100
    assert all(tcp == "1" and ip in ("1", "") and length == "1000" for tcp, ip, length in told)
