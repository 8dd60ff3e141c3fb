"""Fragments at a `Stack`: put together where connections or the node need them whole, and as they came behind it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import netfast as nf
from netfast.errors import ConfigError
from netfast.headers import UDP, ICMPv4, IPv4, IPv6
from nodes import SECOND, edge, up

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
DATA = bytes(range(256)) * 24
MODES = ("auto", "virtual", "full", "off")


def cut(frame: bytes, size: int, ident: int = 0x1234) -> list[bytes]:
    """A frame in fragments of `size` octets of data."""
    six = frame[14] >> 4 == 6
    at = 54 if six else 34
    head, data = frame[:at], frame[at:]
    made = []
    for start in range(0, len(data), size):
        part, more = data[start : start + size], start + size < len(data)
        if six:
            length = (len(part) + 8).to_bytes(2, "big")
            place = (start | more).to_bytes(2, "big")
            header = bytes([head[20], 0]) + place + ident.to_bytes(4, "big")
            made.append(head[:18] + length + b"\x2c" + head[21:] + header + part)
        else:
            length = (len(part) + 20).to_bytes(2, "big")
            place = (start // 8 | more << 13).to_bytes(2, "big")
            bare = head[:16] + length + ident.to_bytes(2, "big") + place + head[22:24] + bytes(2) + head[26:]
            made.append(bare[:24] + checksum(bare[14:]).to_bytes(2, "big") + bare[26:] + part)
    return made


def checksum(header: bytes) -> int:
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def datagram(family: int = 4, dst: str | None = None, data: bytes = DATA) -> bytes:
    header = UDP(src_port=4000, dst_port=53)
    if family == 4:
        return up(IPv4(src="192.0.2.7", dst=dst or "198.51.100.1") / header / data)
    return up(IPv6(src="2001:db8:1::7", dst=dst or "2001:db8:5::1") / header / data)


@pytest.mark.parametrize("family", [4, 6])
def test_what_leaves_is_as_it_came(family: int) -> None:
    stack = edge(tracking="on")
    fragments = cut(datagram(family), 1000)
    shuffled = list(fragments)
    random.Random(3).shuffle(shuffled)
    out = [bytes(packet) for packet in stack.push("lan", shuffled, now=0)["wan"]]
    assert [frame[34:] for frame in out] == [frame[34:] for frame in fragments]
    assert [len(frame) for frame in out] == [len(frame) for frame in fragments]
    counters = stack.counters
    joined = len(fragments) - 1
    assert (counters.absorbed, counters.created, counters.held) == (joined, joined, 0)
    assert counters.conserved
    [connection] = stack.connections()
    assert connection.packets == 1
    assert stack.differences() == []


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_says_what_becomes_of_later_fragments(mode: str) -> None:
    stack = edge(tracking="on", reassembly=mode)
    stack.drop(state="invalid")
    fragments = cut(datagram(), 1000)
    later = stack.push("lan", fragments[1:], now=0)
    assert list(later["wan"]) == []
    held = stack.counters.held
    assert held == (0 if mode == "off" else len(fragments) - 1)
    first = stack.push("lan", fragments[:1], now=1)
    assert len(first["wan"]) == (1 if mode == "off" else len(fragments))
    assert stack.counters.conserved


@pytest.mark.parametrize("mode", MODES)
def test_what_is_for_the_node_is_whole(mode: str) -> None:
    stack = edge(reassembly=mode)
    whole = datagram(dst="192.0.2.1")
    fragments = cut(whole, 1000)
    fragments.reverse()
    [packet] = stack.push("lan", fragments, now=0).local
    assert bytes(packet)[34:] == whole[34:]


def test_a_large_ping_is_answered_in_fragments() -> None:
    stack = edge()
    ping = up(IPv4(src="192.0.2.7", dst="192.0.2.1") / ICMPv4(type=8, code=0) / DATA)
    out = [bytes(packet) for packet in stack.push("lan", cut(ping, 1480), now=0)["lan"]]
    assert b"".join(frame[34:] for frame in out)[8:] == DATA
    assert all(len(frame) <= 1514 for frame in out)


def test_time_is_up_and_the_sender_is_told_by_whom_it_was_for() -> None:
    stack = edge(tracking="on", reassembly_timeout=5)
    stack.push("lan", [cut(datagram(dst="192.0.2.1"), 1000)[0], cut(datagram(), 1000)[0]], now=0)
    assert stack.next_timeout() == 5 * SECOND
    [error] = stack.poll(5 * SECOND)["lan"]
    assert (error[ICMPv4].type, error[ICMPv4].code) == (11, 1)
    assert stack.counters.dropped_by == {"fragment_timeout": 2}


def test_a_trace_says_that_it_waits() -> None:
    stack = edge(tracking="on")
    trace = stack.trace(cut(datagram(), 1000)[1], port="lan")
    assert trace.verdict == "waits for the other fragments of its datagram"
    assert trace.steps[-1].table == "fragments"


def test_limits_have_names_and_reasons() -> None:
    stack = edge(tracking="on", max_datagrams=8, max_datagram_fragments=4)
    first = [cut(datagram(data=bytes([ident])), 8, ident)[0] for ident in range(100)]
    assert len(stack.push("lan", first, now=0)["wan"]) == 0
    assert stack.counters.held == 1
    assert stack.counters.dropped_by == {"fragment_limit": 99}
    stack.push("lan", cut(datagram(), 8), now=1)
    assert stack.counters.dropped_by["too_many_fragments"] == 5
    assert stack.counters.conserved


@pytest.mark.parametrize("family", [4, 6])
def test_padding_counts_as_long_as_it_is_kept(family: int) -> None:
    padding, limit = 20_000, 1_000_000
    stack = edge(reassembly="full", max_datagram_memory=limit)
    for ident in range(200):
        stack.push("lan", [cut(datagram(family), 1000, ident)[0] + bytes(padding)], now=ident)
    held = limit // 8 // padding
    assert 0 < stack.counters.held <= held
    assert stack.counters.dropped_by == {"fragment_limit": 200 - stack.counters.held}
    assert stack.counters.conserved


@pytest.mark.parametrize(
    ("name", "value"),
    [("reassembly", "half"), ("overlap", "mine"), ("overlap_ipv6", "bsd"), ("max_datagrams", 0)],
)
def test_settings_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        nf.Stack(**{name: value})
    assert caught.value.option == name


def test_settings_in_toml(tmp_path: Path) -> None:
    settings = {"reassembly": "full", "overlap": "linux", "max_datagrams": 77, "reassembly_timeout": 7}
    stack = edge(**settings)
    text = stack.to_toml()
    path = tmp_path / "edge.toml"
    path.write_text(text)
    assert nf.Stack.from_toml(path).to_toml() == text
    assert 'reassembly = "full"' in text
    assert "max_datagrams = 77" in text
    assert 'overlap = "linux"' in text


def test_overlap_policies() -> None:
    fragments = cut(datagram(data=bytes(3000)), 1000)
    again = fragments[1][:34] + b"x" * 1000
    for policy, passes in (("drop", 0), ("first", len(fragments)), ("last", len(fragments))):
        stack = edge(tracking="on", overlap=policy)
        out = stack.push("lan", [fragments[1], again, *fragments[:1], *fragments[2:]], now=0)["wan"]
        assert len(out) == passes
        assert any(b"xxx" in bytes(packet) for packet in out) == (policy == "last")
        assert stack.counters.conserved


def test_a_hook_is_asked_once_for_a_datagram() -> None:
    stack = edge(tracking="on")
    asked: list[nf.NewFlow] = []

    @stack.on_new_flow
    def hook(flows: list[nf.NewFlow]) -> list[str]:
        asked.extend(flows)
        return ["drop"] * len(flows)

    fragments = cut(datagram(), 1000)
    assert len(stack.push("lan", fragments[::-1], now=0)["wan"]) == 0
    assert len(asked) == 1
    assert stack.counters.dropped_by == {"hook": 1}


@needs_tshark
@pytest.mark.tshark
@pytest.mark.parametrize("family", [4, 6])
def test_tshark_puts_together_what_leaves(family: int, tmp_path: Path) -> None:
    stack = edge()
    stack.masquerade("wan")
    fragments = cut(datagram(family), 1200)
    out = stack.push("lan", fragments[::-1], now=0)["wan"]
    path = tmp_path / "out.pcapng"
    nf.write(path, [(1, bytes(packet)) for packet in out])
    command = ["tshark", "-r", path, "-T", "json", "-o", "udp.check_checksum:TRUE", "-Y", "udp"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    layers = [packet["_source"]["layers"] for packet in json.loads(done.stdout)]
    [last] = [each for each in layers if "udp" in each]
    assert last["udp"]["udp.checksum.status"] == "1"
    assert int(last["udp"]["udp.length"]) == len(DATA) + 8
    source = {4: "203.0.113.1", 6: "2001:db8:ff::1"}[family]
    assert last["ip" if family == 4 else "ipv6"][f"{'ip' if family == 4 else 'ipv6'}.src"] == source


def test_what_it_sends_is_cut() -> None:
    stack = edge()
    for family, at in ((4, slice(18, 20)), (6, slice(58, 62))):
        whole = datagram(family)
        packet = whole[14:]
        out = [bytes(each) for each in stack.send(packet, now=0)["wan"]]
        assert len(out) == 5
        assert len({frame[at] for frame in out}) == 1


def test_many_datagrams_are_the_same_whole() -> None:
    rng = random.Random(11)
    stack = edge(tracking="on")
    for turn in range(50):
        family = rng.choice((4, 6))
        whole = datagram(family, data=rng.randbytes(rng.randrange(1, 9000)))
        fragments = cut(whole, rng.randrange(1, 180) * 8, turn)
        rng.shuffle(fragments)
        out = [bytes(packet) for packet in stack.push("lan", fragments, now=turn * SECOND)["wan"]]
        # An atomic fragment stays one; two that fit one packet leave as one, as Linux has it.
        header = 8 if len(fragments) == 1 or len(out) > 1 else 0
        at = 54 + header if family == 6 else 34
        assert b"".join(frame[at:] for frame in out) == whole[54 if family == 6 else 34 :]
    assert stack.counters.conserved
    assert stack.counters.held == 0
