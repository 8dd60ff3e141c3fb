"""Flows and time: silent days, wild time stamps, clocks of all kinds, and limits that threads share."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import netfast as nf

SECOND = 10**9
DAY = 24 * 3600 * SECOND
WALL = 1_700_000_000 * SECOND
RAW = 101

Sent = tuple[int, bytes]


def udp(port: int, host: int = 1) -> bytes:
    return bytes(
        nf.IPv4(src=f"192.0.2.{host}", dst="198.51.100.1") / nf.UDP(src_port=port, dst_port=53) / b"x"
    )


def tcp(source: tuple[str, int], to: tuple[str, int], flags: str) -> bytes:
    return bytes(nf.IPv4(src=source[0], dst=to[0]) / nf.TCP(src_port=source[1], dst_port=to[1], flags=flags))


def capture(path: Path, packets: Iterable[Sent]) -> Path:
    nf.write(path, packets, link=RAW)
    return path


def table(packets: list[Sent], size: int, **options: Any) -> list[dict[str, Any]]:
    flows = nf.FlowTable(**options)
    for at in range(0, len(packets), size):
        flows.push(packets[at : at + size], link=RAW)
    rows: list[dict[str, Any]] = flows.finish().rows()
    return rows


def everywhere(tmp_path: Path, packets: list[Sent], **options: Any) -> list[tuple[Any, ...]]:
    """(source port, packets, first, last, end) of each flow: the same from a file, by threads, and in any batches."""

    def told(rows: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted(
            (r["src_port"], r["packets_fwd"] + r["packets_rev"], r["first_ns"], r["last_ns"], r["end_reason"])
            for r in rows
        )

    path = capture(tmp_path / "flows.pcapng", packets)
    results = [told(table(packets, size, **options)) for size in (1, 2, 3, len(packets))]
    for threads in (1, 2, 3):
        batches = nf.flows(path, threads=threads, **options)
        results.append(told(row for batch in batches for row in batch.rows()))
    assert all(result == results[0] for result in results), results
    return results[0]


CLIENT, SERVER = ("10.0.0.1", 4000), ("10.0.0.2", 80)


def test_a_connection_after_silent_days_is_whole(tmp_path: Path) -> None:
    late = WALL + 3 * DAY
    handshake = [tcp(CLIENT, SERVER, "S"), tcp(SERVER, CLIENT, "SA"), tcp(CLIENT, SERVER, "A")]
    packets = [(WALL + n, udp(9)) for n in range(3)]
    packets += [(late + n, data) for n, data in enumerate(handshake)]
    flows = everywhere(tmp_path, packets)
    assert flows == [(9, 3, WALL, WALL + 2, "idle"), (4000, 3, late, late + 2, "eof")]


def test_one_packet_after_silent_days_is_another_flow(tmp_path: Path) -> None:
    packets = [(WALL, udp(9)), (WALL + 3 * DAY, udp(9)), (WALL + 9 * DAY, udp(9))]
    ends = [flow[1:] for flow in everywhere(tmp_path, packets)]
    times = [WALL, WALL + 3 * DAY, WALL + 9 * DAY]
    assert ends == [(1, t, t, end) for t, end in zip(times, ["idle", "idle", "eof"], strict=True)]


def test_a_first_stamp_of_zero_does_not_cut_what_follows(tmp_path: Path) -> None:
    packets = [(0, udp(1)), *((WALL + n * SECOND, udp(9)) for n in range(4))]
    assert everywhere(tmp_path, packets) == [
        (1, 1, 0, 0, "idle"),
        (9, 4, WALL, WALL + 3 * SECOND, "eof"),
    ]


def test_a_wild_stamp_in_the_middle_changes_nothing_else(tmp_path: Path) -> None:
    packets = [(WALL + n * SECOND, udp(9)) for n in range(5)]
    wild = [*packets[:3], (WALL + 400 * DAY, udp(7)), *packets[3:]]
    assert everywhere(tmp_path, wild) == [
        (7, 1, WALL + 400 * DAY, WALL + 400 * DAY, "eof"),
        (9, 5, WALL, WALL + 4 * SECOND, "eof"),
    ]


def test_time_that_goes_back_for_good_ends_what_was_open(tmp_path: Path) -> None:
    early = [WALL + n * 3600 * SECOND for n in range(3)]
    packets = [(WALL + 4 * DAY, udp(9)), *((t, udp(9)) for t in early)]
    ends = [flow[1:] for flow in everywhere(tmp_path, packets)]
    assert sorted(ends) == sorted(
        [(1, t, t, "idle") for t in (*early[:2], WALL + 4 * DAY)] + [(1, early[2], early[2], "eof")]
    )


@pytest.mark.parametrize("start", [0, 3600 * SECOND, WALL, 2**63])
def test_flows_of_the_first_push_end_on_any_clock(start: int) -> None:
    flows = nf.FlowTable(idle=15)
    flows.push([(start, udp(port)) for port in range(1, 101)], link=RAW)
    flows.advance(start + 15 * SECOND)
    assert (len(flows.ended()), len(flows)) == (0, 100)
    flows.advance(start + 17 * SECOND)
    assert (len(flows.ended()), len(flows)) == (100, 0)


def test_the_callers_word_about_time_is_believed() -> None:
    flows = nf.FlowTable()
    flows.push([(WALL, udp(1))], link=RAW)
    flows.advance(WALL + 4 * DAY)
    flows.push([(WALL + 4 * DAY + 1, udp(2))], link=RAW)
    flows.push([(WALL + 4 * DAY + 2, udp(2))], link=RAW)
    ends = [(row["src_port"], row["packets_fwd"], row["end_reason"]) for row in flows.finish().rows()]
    assert sorted(ends) == [(1, 1, "idle"), (2, 2, "eof")]
    assert flows.counters["time_wild"] == flows.counters["time_jumps"] == 0


def test_a_finished_table_begins_anew() -> None:
    flows = nf.FlowTable(idle=10)
    flows.push([(WALL, udp(1))], link=RAW)
    assert len(flows.finish()) == 1
    flows.push([(n * 60 * SECOND, udp(1)) for n in range(3)], link=RAW)
    assert len(flows.finish()) == 3


def test_a_packet_that_waits_is_counted_when_it_is_settled() -> None:
    flows = nf.FlowTable()
    flows.push([(WALL, udp(1)), (WALL + 2 * DAY, udp(1))], link=RAW)
    assert flows.counters["packets"] == 1
    flows.advance(WALL + 2 * DAY + 1)
    assert flows.counters["packets"] == flows.counters["in_flows"] == 2


def test_threads_share_the_limit_of_flows(tmp_path: Path) -> None:
    one_pair = capture(tmp_path / "pair.pcapng", ((WALL + n, udp(n + 1)) for n in range(900)))
    for threads in (1, 2, 4):
        stream = nf.flows(one_pair, max_flows=1000, threads=threads)
        assert sum(len(batch) for batch in stream) == 900
        assert stream.counters["ended"]["eof"] == 900
        stream = nf.flows(one_pair, max_flows=100, threads=threads)
        assert sum(len(batch) for batch in stream) == 900
        assert stream.counters["ended"]["evicted"] == 800


def test_a_seed_makes_a_run_at_the_limit_repeatable(tmp_path: Path) -> None:
    path = capture(tmp_path / "many.pcapng", ((WALL + n, udp(n + 1)) for n in range(500)))

    def evicted() -> list[Any]:
        return [row for batch in nf.flows(path, max_flows=50, seed=7) for row in batch.rows()]

    assert evicted() == evicted()


def test_statistics_have_a_bound_and_are_counted_as_memory(tmp_path: Path) -> None:
    with pytest.raises(nf.ConfigError, match="first_packets is 256; it may be at most 255"):
        nf.FlowTable(stats=True, first_packets=256)
    plain, kept = (nf.FlowTable(stats=stats, first_packets=255) for stats in (False, True))
    for flows in (plain, kept):
        for port in range(1, 2001):
            flows.push([(WALL, udp(port))] * 100, link=RAW)
    # A length is four bytes, a direction one.
    assert kept.memory - plain.memory > 2000 * 100 * 5


@pytest.mark.parametrize("threads", [1, 2])
def test_a_live_input_gives_flows_as_they_end(threads: int) -> None:
    script = f"""
import netfast
for batch in netfast.flows("-", idle=5, threads={threads}):
    for row in batch.rows():
        print(row["src_port"], flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
    ) as child:
        assert child.stdin
        assert child.stdout
        lines: list[bytes] = []
        thread = threading.Thread(target=lambda: lines.extend(iter(child.stdout.readline, b"")))  # type: ignore[union-attr]
        thread.start()
        header = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, RAW)
        child.stdin.write(header)
        for port in range(1, 9):
            data = udp(port, host=port)
            seconds = 1_700_000_000 + 20 * port
            child.stdin.write(struct.pack("<4I", seconds, 0, len(data), len(data)) + data)
            child.stdin.flush()
            time.sleep(0.05)
        wait_for(lambda: len(lines) >= 6)
        early = list(lines)
        child.stdin.close()
        thread.join(30)
        assert child.wait(30) == 0
    # Idle ends are found when the next packet comes, lateness of the wheel included.
    assert len(early) >= 6, early
    assert sorted(map(int, lines)) == list(range(1, 9))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in itertools.repeat(None, 200):
        if condition():
            return
        time.sleep(0.05)


def test_a_connection_that_goes_on_is_still_closed(tmp_path: Path) -> None:
    """The conversation goes on after the active timeout: its close is still one, and its sides keep their part."""
    packets = [
        (WALL, tcp(CLIENT, SERVER, "S")),
        (WALL + 1, tcp(SERVER, CLIENT, "SA")),
        (WALL + 2, tcp(CLIENT, SERVER, "A")),
        (WALL + 20 * SECOND, tcp(CLIENT, SERVER, "FA")),
        (WALL + 40 * SECOND, tcp(SERVER, CLIENT, "A")),
        (WALL + 41 * SECOND, tcp(SERVER, CLIENT, "FA")),
    ]
    rows = table(packets, len(packets), active=30)
    assert [(r["state"], r["end_reason"]) for r in rows] == [("closing", "active"), ("closed", "fin")]
