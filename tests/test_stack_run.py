"""Captures through a `Stack`: what comes out, what is counted, and packets of every kind, whole and broken."""

from __future__ import annotations

import random
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf
from netfast.errors import ConfigError, ParseError
from netfast.headers import TCP, UDP, ICMPv4, IPv4, IPv6
from nodes import LAN, SECOND, WAN, down, edge, query, up

DATA = Path(__file__).parent / "data"

tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark (Debian tshark) is missing")


@pytest.fixture
def stack() -> Iterator[nf.Stack]:
    stack = edge()
    yield stack
    assert stack.differences() == []
    assert stack.counters.conserved


def conversations(folder: Path) -> dict[str, Path]:
    """Clients and the world, interleaved in time, with everything that a router may meet."""
    start = 1_700_000_000 * SECOND
    lan: list[tuple[int, bytes]] = []
    wan: list[tuple[int, bytes]] = []
    for number in range(400):
        now = start + number * 1_000_000
        port = 1000 + number % 40
        lan.append((now, query(port)))
        answer = UDP(src_port=53, dst_port=port) / b"answer"
        wan.append((now + 300, down(IPv4(src="198.51.100.1", dst="203.0.113.1") / answer)))
        segment = TCP(src_port=port, dst_port=443, flags="S" if number < 40 else "A", seq=1, ack=1)
        lan.append((now + 500, up(IPv6(src="2001:db8:1::7", dst="2001:db8:2::1") / segment)))
    lan.append((start + 500_000_000, query(ttl=1)))
    lan.append((start + 500_000_001, query()[:40]))
    lan.append((start + 500_000_002, up(IPv4(src="192.0.2.7", dst="192.0.2.1") / ICMPv4(type=8) / b"ping")))
    paths = {"lan": folder / "lan-in.pcapng", "wan": folder / "wan-in.pcapng"}
    nf.write(paths["lan"], lan)
    nf.write(paths["wan"], wan)
    return paths


def test_captures_run_through_in_the_order_of_their_times(stack: nf.Stack, tmp_path: Path) -> None:
    stack.masquerade("wan", family=4)
    inputs = conversations(tmp_path)
    result = stack.run(inputs, out=tmp_path / "out")
    assert result.conserved
    assert result.packets_in == 1203
    assert result.ports["lan"]["packets_in"] == 803
    assert result.differences == []
    assert result.verified
    assert result.ports == stack.counters.ports
    assert result.ports["lan"]["bytes_in"] > 60 * 803
    reasons = [port["dropped_by"] for port in result.ports.values()]
    assert sum(sum(by.values()) for by in reasons) <= result.dropped
    assert reasons[0]["truncated"] + reasons[0]["hop_limit"] == 2
    assert result.dropped_by["truncated"] == 1
    assert result.dropped_by["hop_limit"] == 1
    # Each answer found the connection of its query.
    assert result.ports["lan"]["packets_out"] >= 400
    assert result.cache["hits"] > 600
    assert set(result.files) == {"lan", "wan", "local"}
    for name, path in result.files.items():
        frames = list(nf.files.frames(path))
        assert [frame["time_ns"] for frame in frames] == sorted(frame["time_ns"] for frame in frames)
        if name != "local":
            assert len(frames) == result.ports[name]["packets_out"]
    summary = result.summary()
    assert "no difference" in summary
    assert "every packet is accounted for" in summary
    again = edge()
    again.masquerade("wan", family=4)
    assert again.run(inputs).ports == result.ports


@tshark
def test_what_comes_out_is_good_for_tshark(stack: nf.Stack, tmp_path: Path) -> None:
    stack.masquerade("wan", family=4)
    result = stack.run(conversations(tmp_path), out=tmp_path / "out")
    checks = ["ip.check_checksum", "udp.check_checksum", "tcp.check_checksum"]
    options = [part for check in checks for part in ("-o", f"{check}:TRUE")]
    for name in ("lan", "wan"):
        command = ["tshark", "-r", result.files[name], *options, "--disable-protocol", "dns", "-T", "fields"]
        bad = "ip.checksum.status==Bad || udp.checksum.status==Bad || tcp.checksum.status==Bad || "
        bad += "icmp.checksum.status==Bad || _ws.malformed"
        done = subprocess.run([*command, "-e", "frame.number"], capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == result.ports[name]["packets_out"]
        done = subprocess.run(
            [*command, "-Y", bad, "-e", "frame.number"], capture_output=True, text=True, check=True
        )
        assert done.stdout == ""


def test_runs_end_with_what_is_wrong_and_keep_what_passed(stack: nf.Stack, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcapng"
    whole = conversations(tmp_path)["lan"].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ParseError):
        stack.run({"lan": path}, out=tmp_path / "out")
    assert stack.counters.packets_in > 100
    written = sum(1 for _ in nf.files.frames(tmp_path / "out" / "wan.pcapng"))
    assert written == stack.counters.ports["wan"]["packets_out"]
    lenient = edge().run({"lan": path}, lenient=True)
    assert lenient.damage[0]["count"] == 1
    with pytest.raises(ParseError, match=r"raw-ipv4\.pcap: frame 1: link type"):
        stack.run({"wan": conversations(tmp_path)["wan"], "lan": DATA / "raw-ipv4.pcap"})
    with pytest.raises(FileNotFoundError):
        stack.run({"lan": tmp_path / "none.pcap"})
    with pytest.raises(OSError, match=r"None|exists|directory"):
        stack.run({"lan": path}, out=path)


def test_a_run_asks_the_hook_and_tells_its_progress(stack: nf.Stack, tmp_path: Path) -> None:
    asked = 0

    @stack.on_new_flow
    def hook(flows: list[nf.NewFlow]) -> None:
        nonlocal asked
        asked += len(flows)

    stack.run(conversations(tmp_path))
    assert asked >= 80

    class Enough(Exception):
        pass

    def progress(packets: int, read: int) -> None:
        raise Enough

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert edge(verify=False).run(conversations(tmp_path)).conserved


# Rules that the cache settles, rules that read each packet, a translation, and what has no connection.
RULES = """\
table inet filter {
    chain early {
        type filter hook prerouting priority raw;
        udp dport 4789 notrack
    }
    chain through {
        type filter hook forward priority filter;
        ct state invalid counter drop
        ct state established counter accept
        ip6 hoplimit < 10 counter
        meta length > 1000 limit rate 100/second counter
        tcp flags & (fin | syn | rst | ack) == syn counter accept
        icmp type echo-request counter reject with icmp host-prohibited
    }
    chain leave {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
}
"""


def spoil(frame: bytes, chance: random.Random) -> bytes:
    """The frame with some bytes changed behind its link header, perhaps cut."""
    spoilt = bytearray(frame)
    for _ in range(chance.randint(1, 3)):
        if len(spoilt) > 14:
            spoilt[chance.randrange(14, min(len(spoilt), 80))] = chance.randrange(256)
    return bytes(spoilt[: chance.randint(1, len(spoilt))] if chance.random() < 0.3 else spoilt)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.pcap*")), ids=lambda path: path.name)
def test_the_cache_and_the_tables_agree_about_every_packet(path: Path) -> None:
    stack = edge(tracking="on", verify_checksums=True)
    stack.load_rules(RULES)
    chance = random.Random(path.name)
    for batch in nf.Capture(path):
        frames = []
        for packet in batch:
            if packet.link_type == 1:
                frame = bytes(packet)
                frames += [
                    (packet.time_ns, spoilt) for spoilt in (frame, *(spoil(frame, chance) for _ in "abc"))
                ]
        for port, mac in (("lan", LAN), ("wan", WAN)):
            stack.push(
                port, [(now, bytes.fromhex(mac.replace(":", "")) + frame[6:]) for now, frame in frames]
            )
    assert stack.differences() == []
    assert stack.counters.conserved


def test_files_that_are_written_are_not_read(stack: nf.Stack, tmp_path: Path) -> None:
    paths = conversations(tmp_path)
    tapped = tmp_path / "tap.pcapng"
    with stack:
        stack.tap("lan", tapped)
        (tmp_path / "link.pcapng").symlink_to(tapped)
        for again in (tapped, tmp_path / "link.pcapng", tmp_path / "." / "tap.pcapng"):
            with pytest.raises(ConfigError, match='tap at port "lan"'):
                stack.tap("wan", again)
            with pytest.raises(ConfigError, match='tap at port "lan"'):
                stack.run({"lan": again})
        with pytest.raises(ConfigError, match="taps write pcapng"):
            stack.tap("wan", tmp_path / "tap.pcap")
        assert not (tmp_path / "tap.pcap").exists()
        stack.tap("lan", None)
        stack.tap("wan", tapped)
    before = paths["lan"].read_bytes()
    (tmp_path / "out").mkdir()
    read = tmp_path / "out" / "wan.pcapng"
    read.write_bytes(before)
    with pytest.raises(ConfigError, match="folder without the inputs"):
        stack.run({"lan": read}, out=tmp_path / "out")
    assert read.read_bytes() == before


def test_what_a_hook_let_out_before_ctrl_c_is_in_the_files(tmp_path: Path) -> None:
    stack = edge(hook_policy="accept")
    stack.on_new_flow(interrupt)
    with pytest.raises(KeyboardInterrupt):
        stack.run({"lan": conversations(tmp_path)["lan"]}, out=tmp_path / "out")
    written = sum(1 for _ in nf.files.frames(tmp_path / "out" / "wan.pcapng"))
    assert written == stack.counters.ports["wan"]["packets_out"] > 0
    assert stack.counters.conserved


def interrupt(flows: list[nf.NewFlow]) -> None:
    raise KeyboardInterrupt
