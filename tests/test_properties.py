"""Properties that hold for any input, by hypothesis, through the wheel."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import netfast
from netfast import ConfigError, FlowTable, NetfastError
from netfast.packet import dissect

SECOND = 10**9
LINKS = (0, 1, 9, 12, 50, 51, 101, 105, 108, 113, 127, 228, 229, 276, 147)
MAGICS = (0xA1B2C3D4, 0xD4C3B2A1, 0xA1B23C4D, 0xA1B2CD34, 0x1C0001AC, 0x0A0D0D0A, 0xFD2FB528, 0x00088B1F)

few = settings(max_examples=200, deadline=None)
many = settings(max_examples=600, deadline=None)


@contextmanager
def file_of(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(data)
        yield path


def pcap(packets: Iterable[tuple[int, bytes]], link: int = 1) -> bytes:
    """Times in ns, whole microseconds of which are kept."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
    for time, data in packets:
        seconds, rest = divmod(time, SECOND)
        out.append(struct.pack("<4I", seconds, rest // 1000, len(data), len(data)) + data)
    return b"".join(out)


def captures() -> st.SearchStrategy[bytes]:
    """Bytes that begin as some kind of capture does, or as none; good ones that were changed."""
    start = st.sampled_from(MAGICS).map(lambda magic: struct.pack("<I", magic))
    header = st.just(struct.pack("<HHiII", 2, 4, 0, 0, 262144)) | st.binary(max_size=16)
    any_bytes = st.builds(lambda *parts: b"".join(parts), start, header, st.binary(max_size=600))
    good = st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=80)), max_size=8)
    change = st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4))

    def changed(packets: list[tuple[int, bytes]], changes: list[tuple[int, bytes]]) -> bytes:
        data = bytearray(pcap((time % 2**61, packet) for time, packet in packets))
        for at, new in changes:
            at %= len(data)
            data[at : at + len(new)] = new
        return bytes(data)

    return st.binary(max_size=100) | any_bytes | st.builds(changed, good, st.lists(change, max_size=6))


def counted(rows: Iterable[dict[str, Any]]) -> int:
    return sum(row["packets_fwd"] + row["packets_rev"] for row in rows)


Count = Callable[[Any], int]


def total(start: Callable[[], Iterable[Any]], count: Count = len) -> tuple[int, Exception | None]:
    """The sum over a run's batches, and netfast's error that ended it."""
    done = 0
    try:
        for batch in start():
            done += count(batch)
    except NetfastError as error:
        return done, error
    return done, None


@few
@given(captures(), st.booleans())
def test_any_bytes_are_a_capture_or_a_parse_error(data: bytes, lenient: bool) -> None:
    with file_of(data) as path:
        rows, error = total(lambda: netfast.packets(path, lenient=lenient))
        streams: list[netfast.FlowStream] = []

        def flows() -> netfast.FlowStream:
            streams.append(netfast.flows(path, lenient=lenient))
            return streams[0]

        in_flows, same = total(flows, lambda batch: counted(batch.rows()))
    assert (type(same), str(same)) == (type(error), str(error))
    if not streams:
        return
    counters = streams[0].counters
    assert (counters["packets"], counters["in_flows"]) == (rows, in_flows)
    assert in_flows + sum(counters["no_flow"].values()) == rows


@many
@given(st.binary(max_size=300), st.sampled_from(LINKS))
@example(b"", 1)
def test_any_bytes_are_a_packet(data: bytes, link: int) -> None:
    packet = dissect(data, link=link)
    assert packet.explain()
    assert repr(packet)
    assert bytes(packet) == data


WORDS = "tcp port 80 and not host 1.2.3.4 or ( ) [ ] = ip6 proto \\".split()


@few
@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_a_filter_or_a_config_error(text: str) -> None:
    with file_of(pcap([(0, bytes(60))])) as path:
        try:
            count = sum(len(batch) for batch in netfast.packets(path, filter=text))
        except ConfigError:
            return
        assert count in (0, 1)


def any_packets() -> st.SearchStrategy[list[tuple[int, bytes]]]:
    times = st.integers(0, 2**64 - 1) | st.integers(0, 10 * SECOND)
    starts = st.sampled_from([b"", bytes(12) + b"\x08\x00\x45\x00", bytes(12) + b"\x86\xdd\x60\x00"])
    data = st.builds(lambda start, rest: start + rest, starts, st.binary(max_size=80))
    return st.lists(st.tuples(times, data), max_size=40)


@few
@given(any_packets(), st.integers(1, 8), st.sampled_from(LINKS[:4]), st.booleans())
def test_every_packet_is_in_one_flow_or_has_a_reason(
    packets: list[tuple[int, bytes]], limit: int, link: int, inner: bool
) -> None:
    table = FlowTable(max_flows=limit, idle=1, active=3, inner=inner)
    rows = []
    for packet in packets:
        assert table.push([packet], link=link) == 1
        assert len(table) <= limit
        rows += table.ended().rows()
    rows += table.finish().rows()
    assert len(table) == 0
    counters = table.counters
    assert counters["packets"] == len(packets)
    assert counters["in_flows"] == counted(rows)
    assert counters["in_flows"] + sum(counters["no_flow"].values()) == len(packets)
    assert counters["flows"] == sum(counters["ended"].values()) == len(rows)


@dataclass(frozen=True)
class Sent:
    """A packet of the conversations below."""

    step: int
    hosts: tuple[str, str]
    ports: tuple[int, int]
    protocol: int
    vlan: int | None
    payload: int

    def frame(self) -> bytes:
        body = struct.pack("!HHHH", *self.ports, 8 + self.payload, 0) + bytes(self.payload)
        if self.protocol == 6:
            body = struct.pack("!HHIIHHHH", *self.ports, 1, 1, 0x5010, 100, 0, 0) + bytes(self.payload)
        source, target = (ip_address(host) for host in self.hosts)
        if source.version == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, self.protocol, 0)
        else:
            head = struct.pack("!IHBB", 0x60000000, len(body), self.protocol, 64)
        kind = struct.pack("!H", 0x0800 if source.version == 4 else 0x86DD)
        tag = b"" if self.vlan is None else struct.pack("!HH", 0x8100, self.vlan)
        return bytes(12) + tag + kind + head + source.packed + target.packed + body

    @property
    def ip_octets(self) -> int:
        version = ip_address(self.hosts[0]).version
        return (20 if version == 4 else 40) + (20 if self.protocol == 6 else 8) + self.payload


HOSTS = {4: ["192.0.2.1", "192.0.2.2", "198.51.100.7"], 6: ["2001:db8::1", "2001:db8::2", "fe80::7"]}


def conversations() -> st.SearchStrategy[list[Sent]]:
    hosts = st.sampled_from([4, 6]).flatmap(
        lambda version: st.tuples(st.sampled_from(HOSTS[version]), st.sampled_from(HOSTS[version]))
    )
    packet = st.builds(
        Sent,
        step=st.integers(0, 2000).map(lambda ms: ms * 1_000_000) | st.just(0) | st.just(SECOND),
        hosts=hosts,
        ports=st.tuples(st.sampled_from([1000, 53]), st.sampled_from([53, 1000])),
        protocol=st.sampled_from([6, 17]),
        vlan=st.sampled_from([None, None, 7]),
        payload=st.integers(0, 20),
    )
    return st.lists(packet, max_size=120)


Row = tuple[Any, ...]


class Oracle:
    """Flows by the rules alone: a dictionary of what is open."""

    def __init__(self, idle: int, active: int) -> None:
        self.idle, self.active = idle, active
        self.open: dict[Any, dict[str, Any]] = {}
        self.rows: list[Row] = []

    def end(self, flow: dict[str, Any], reason: str) -> None:
        order = ("first", "last", "src", "dst", "protocol", "vlan", "packets", "bytes")
        self.rows.append((*(flow[name] for name in order), reason))

    def take(self, now: int, packet: Sent) -> None:
        ends = list(zip(packet.hosts, packet.ports, strict=True))
        key = (frozenset(ends) if ends[0] != ends[1] else ends[0], packet.protocol, packet.vlan)
        flow = self.open.get(key)
        if flow and (now - flow["last"] > self.idle or now - flow["first"] > self.active):
            self.end(flow, "idle" if now - flow["last"] > self.idle else "active")
            flow = None
        if flow is None:
            flow = {"first": now, "src": ends[0], "dst": ends[1], "packets": (0, 0), "bytes": (0, 0)}
            flow |= {"protocol": packet.protocol, "vlan": packet.vlan}
            self.open[key] = flow
        way = 0 if ends[0] == flow["src"] else 1
        flow["last"] = now
        for name, more in ("packets", 1), ("bytes", packet.ip_octets):
            sums = list(flow[name])
            sums[way] += more
            flow[name] = tuple(sums)

    def finish(self, now: int) -> list[Row]:
        for flow in self.open.values():
            self.end(flow, "idle" if now - flow["last"] > self.idle else "eof")
        return sorted(self.rows, key=repr)


def rows_of(batches: Iterable[netfast.FlowBatch]) -> list[Row]:
    rows = [
        (
            row["first_ns"],
            row["last_ns"],
            (row["src"], row["src_port"]),
            (row["dst"], row["dst_port"]),
            row["protocol"],
            row["vlan"],
            (row["packets_fwd"], row["packets_rev"]),
            (row["bytes_fwd"], row["bytes_rev"]),
            row["end_reason"],
        )
        for batch in batches
        for row in batch.rows()
    ]
    return sorted(rows, key=repr)


@few
@given(conversations(), st.integers(1, 50))
def test_flows_are_those_of_a_dictionary(sent: list[Sent], size: int) -> None:
    oracle, now, packets = Oracle(idle=SECOND, active=4 * SECOND), 1_700_000_000 * SECOND, []
    for packet in sent:
        now += packet.step
        oracle.take(now, packet)
        packets.append((now, packet.frame()))
    expected = oracle.finish(now)
    with file_of(pcap(packets)) as path:
        for threads in 1, 2:
            assert rows_of(netfast.flows(path, idle=1, active=4, threads=threads)) == expected
    table = FlowTable(idle=1, active=4)
    batches = []
    for start in range(0, len(packets), size):
        table.push(packets[start : start + size])
        batches.append(table.ended())
    batches.append(table.finish())
    assert rows_of(batches) == expected


READ = """
import netfast, resource, sys
run = {
    "packets": lambda: netfast.packets("-"),
    "flows": lambda: netfast.flows("-"),
    "threads": lambda: netfast.flows("-", threads=2),
    "lenient": lambda: netfast.packets("-", lenient=True),
}
total = sum(len(batch) for batch in run[sys.argv[1]]())
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of(what: str, head: bytes, part: bytes, times: int) -> tuple[int, int]:
    """Rows that a program makes of a capture on its standard input, and its largest resident memory in bytes."""
    with subprocess.Popen(
        [sys.executable, "-c", READ, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(head)
        for _ in range(times):
            program.stdin.write(part)
        program.stdin.close()
        rows, kilobytes = program.stdout.read().split()
    assert program.returncode == 0
    return int(rows), int(kilobytes) * 1024


@pytest.mark.parametrize("what", ["packets", "flows", "threads", "lenient"])
def test_memory_is_constant_in_the_length_of_the_input(what: str) -> None:
    frame = Sent(0, ("2001:db8::1", "2001:db8::2"), (1000, 53), 17, None, 1000).frame()
    data = pcap([(SECOND, frame)] * 1000)
    head, part = data[:24], data[24:]
    if what == "lenient":
        # Garbage between the packets, which must be searched through.
        part += b"\xa5" * 500
    length = 200 << 20
    few_rows, small = peak_of(what, head, part, (4 << 20) // len(part))
    rows, large = peak_of(what, head, part, length // len(part))
    assert rows == 1 if what in ("flows", "threads") else rows > few_rows * 40
    assert large - small < 24 << 20, f"{(large - small) >> 20} MB more for {length >> 20} MB"
