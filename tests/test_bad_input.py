"""Bad input: what stands before the damage is delivered, then a typed error says where it is."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import netfast
from netfast import ConfigError, ParseError
from netfast.files import copy, info

DATA = Path(__file__).parent / "data"
DAMAGED = DATA / "damaged"
MANIFEST: dict[str, dict[str, object]] = json.loads((DAMAGED / "manifest.json").read_text())
# One more than fits a batch of columns, so that there is a batch before the damage.
MANY = 20_000

PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
FRAME = bytes.fromhex(
    "020000000001020000000002080045000020000100004011f96cc0000201c000020204d200350 00c0000deadbeef".replace(
        " ", ""
    )
)


def record(data: bytes, *, seconds: int = 0, caplen: int | None = None, length: int | None = None) -> bytes:
    caplen = len(data) if caplen is None else caplen
    return struct.pack("<4I", seconds, 0, caplen, caplen if length is None else length) + data


def capture(count: int) -> bytes:
    return PCAP + b"".join(record(FRAME, seconds=number) for number in range(count))


Ended = tuple[int, Exception | None]


def drain(batches: Iterable[Any], count: Callable[[Any], int] = len) -> Ended:
    """How many packets come, and what ends them."""
    total = 0
    try:
        for batch in batches:
            total += count(batch)
    except (netfast.NetfastError, pa.ArrowException, OSError) as error:
        return total, error
    return total, None


def read(path: Path | str, **options: bool) -> Ended:
    """As `drain`, of a file that may not even open."""
    try:
        stream = netfast.packets(path, **options)
    except (netfast.NetfastError, OSError) as error:
        return 0, error
    return drain(stream)


def packets_of_flows(batch: netfast.FlowBatch) -> int:
    return sum(row["packets_fwd"] + row["packets_rev"] for row in batch.rows())


def broken(kind: str) -> list[str]:
    return [name for name, case in MANIFEST.items() if case["outcome"] == kind]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", broken("error"))
def test_what_stands_before_the_damage_comes_first(name: str, mmap: bool) -> None:
    case = MANIFEST[name]
    count, error = read(DAMAGED / name, mmap=mmap)
    assert count == case["packets"]
    assert isinstance(error, ParseError)
    assert error.offset == case["offset"]
    assert name in str(error)
    if "not a capture" not in str(error):
        assert error.frame == count + 1
        assert f"frame {error.frame}" in str(error)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", [name for name in broken("error") if MANIFEST[name]["packets"]])
def test_flows_of_what_stands_before_the_damage_come_first(name: str, threads: int) -> None:
    stream = netfast.flows(DAMAGED / name, threads=threads)
    in_flows, error = drain(stream, packets_of_flows)
    assert isinstance(error, ParseError)
    assert error.offset == MANIFEST[name]["offset"]
    counters = stream.counters
    assert counters["packets"] == MANIFEST[name]["packets"]
    assert counters["in_flows"] == in_flows
    assert in_flows + sum(counters["no_flow"].values()) == counters["packets"]


@pytest.mark.parametrize("name", broken("odd"))
def test_what_is_odd_is_read_to_its_end(name: str) -> None:
    assert read(DAMAGED / name) == (MANIFEST[name]["packets"], None)
    assert read(DAMAGED / name, lenient=True) == (MANIFEST[name]["packets"], None)
    assert drain(netfast.flows(DAMAGED / name))[1] is None


@pytest.mark.parametrize("name", broken("error"))
def test_lenient_goes_on_where_the_format_allows(name: str) -> None:
    count, error = read(DAMAGED / name, lenient=True)
    data = (DAMAGED / name).read_bytes()
    if MANIFEST[name]["offset"] == 0 and name != "section-cut.pcapng":
        assert isinstance(error, ParseError), "nothing can be made of it"
        return
    assert error is None
    # Good packets follow the damage in these, and one may be lost with it.
    follows = {"record-4-gib.pcap": 23, "record-300-mb.pcap": 23, "record-past-end.pcap": 23}
    # Nothing tells what the packets behind a damaged section header are.
    follows |= dict.fromkeys(["section-magic.pcapng", "section-version.pcapng"], MANIFEST[name]["packets"])
    if name in follows:
        assert count == follows[name]
    elif data[:4] == b"\x0a\x0d\x0d\x0a" and "cut" not in name and name != "no-interface.pcapng":
        assert count == MANIFEST[name]["packets"] + 3
    else:
        assert count == MANIFEST[name]["packets"]


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A capture of many packets that ends within its last record."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(capture(MANY)[:-7])
    return path


def test_the_error_of_an_arrow_stream_names_frame_and_offset(cut: Path) -> None:
    offset = len(PCAP) + (MANY - 1) * len(record(FRAME))
    stream = netfast.packets(cut)
    assert stream.error is None
    rows, error = drain(pa.RecordBatchReader.from_stream(stream), lambda batch: batch.num_rows)
    assert rows == MANY - 1
    for part in "cut.pcap", f"frame {MANY}", f"byte {offset}":
        assert part in str(error)
    assert isinstance(stream.error, ParseError)
    assert (stream.error.frame, stream.error.offset) == (MANY, offset)


@pytest.mark.parametrize("make", [netfast.packets, netfast.flows])
@pytest.mark.parametrize("take", [pl.DataFrame, pa.table])
def test_whoever_takes_the_stream_is_told(cut: Path, make: Callable, take: Callable) -> None:
    stream = make(cut)
    offset = len(PCAP) + (MANY - 1) * len(record(FRAME))
    with pytest.raises(Exception, match=f"frame {MANY}.*byte {offset}"):
        take(stream)
    assert isinstance(stream.error, ParseError)
    assert (stream.error.frame, stream.error.offset) == (MANY, offset)
    # A second run begins anew.
    assert isinstance(drain(stream)[1], ParseError)


def test_a_stream_without_damage_has_no_error(tmp_path: Path) -> None:
    path = tmp_path / "good.pcap"
    path.write_bytes(capture(10))
    stream = netfast.packets(path)
    assert pl.DataFrame(stream).height == 10
    assert stream.error is None


@pytest.mark.parametrize("at", [0, 7, 23, 24, 30, 40, 60])
def test_a_pipe_that_ends_in_the_middle(tmp_path: Path, at: int) -> None:
    """At any place of header, record header and packet."""
    whole = capture(3)
    cut_at = at if at < 24 else len(whole) - len(record(FRAME)) + at - 24
    with fed(tmp_path, whole[:cut_at]) as fifo:
        count, error = read(fifo)
    if at < 24:
        assert count == 0
        assert isinstance(error, ParseError)
        assert error.offset == 0
    elif at == 24:
        assert (count, error) == (2, None)
    else:
        assert count == 2
        assert isinstance(error, ParseError)
        assert (error.frame, error.offset) == (3, 24 + 2 * len(record(FRAME)))


class fed:
    """A FIFO into which a thread writes."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.path = folder / "fifo"
        os.mkfifo(self.path)
        self.thread = threading.Thread(target=self.write, args=(data,))

    def write(self, data: bytes) -> None:
        # The reader may have seen enough.
        with contextlib.suppress(BrokenPipeError):
            self.path.write_bytes(data)

    def __enter__(self) -> Path:
        self.thread.start()
        return self.path

    def __exit__(self, *_: object) -> None:
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()


def test_what_a_pipe_has_delivered_is_seen_before_it_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    seen, more = threading.Event(), []

    def write() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            pipe.write(capture(5))
            more.append(seen.wait(timeout=10))
            pipe.write(record(FRAME)[:20])

    thread = threading.Thread(target=write)
    thread.start()
    batches = iter(netfast.packets(fifo))
    assert len(next(batches)) == 5
    seen.set()
    with pytest.raises(ParseError) as caught:
        next(batches)
    thread.join(timeout=10)
    assert more == [True]
    assert caught.value.frame == 6


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 29])
def test_no_memory_is_taken_for_a_length_that_lies(tmp_path: Path, length: int) -> None:
    path = tmp_path / "huge.pcap"
    path.write_bytes(capture(3) + record(b"", caplen=length))
    program = (
        "import netfast, resource, sys\n"
        "limit = 1 << 30\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n"
        "    for batch in netfast.packets(sys.argv[1]): print(len(batch))\n"
        "except netfast.ParseError as error: print(error.frame, error.offset)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["3", "4", str(len(capture(3)))]


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shrinks.pcap"
    data = capture(MANY)
    path.write_bytes(data)
    batches = iter(netfast.packets(path))
    first = len(next(batches))
    os.truncate(path, len(data) // 2)
    rest, error = drain(batches)
    count = first + rest
    assert 0 < count < MANY
    assert isinstance(error, ParseError)
    assert "cut while it was read" in str(error)
    assert (error.frame, error.offset) == (count + 1, 24 + count * len(record(FRAME)))


def test_a_file_that_vanishes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vanishes.pcap"
    path.write_bytes(capture(MANY))
    batches = iter(netfast.packets(path))
    count = len(next(batches))
    path.unlink()
    assert count + sum(map(len, batches)) == MANY
    with pytest.raises(FileNotFoundError, match="vanishes"):
        netfast.packets(path)


def test_a_file_that_vanishes_before_the_second_run(tmp_path: Path) -> None:
    path = tmp_path / "vanishes.pcap"
    path.write_bytes(capture(3))
    stream = netfast.packets(path)
    assert sum(map(len, stream)) == 3
    path.unlink()
    with pytest.raises(FileNotFoundError):
        iter(stream)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.pcap"
    path.write_bytes(capture(3))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PermissionError, match=r"secret\.pcap"):
        netfast.packets(path)


def test_a_folder_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        netfast.packets(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        netfast.flows([DATA / "vlan.pcap", tmp_path / "none.pcap"])
    assert "none.pcap" in str(caught.value)


@pytest.mark.parametrize("paths", [[], ()])
def test_no_file_at_all(paths: list[str]) -> None:
    with pytest.raises(ConfigError):
        netfast.packets(paths)


def test_damage_in_one_of_several_files_names_it(tmp_path: Path, cut: Path) -> None:
    good = tmp_path / "good.pcap"
    good.write_bytes(capture(5))
    count, error = drain(netfast.packets([good, cut]))
    assert count == 5 + MANY - 1
    assert isinstance(error, ParseError)
    assert error.frame == MANY
    assert "cut.pcap" in str(error)


def test_captured_bytes_beyond_the_length_on_the_wire(tmp_path: Path) -> None:
    path = tmp_path / "more.pcap"
    path.write_bytes(PCAP + record(FRAME, length=10))
    (row,) = next(iter(netfast.packets(path))).rows()
    assert (row["caplen"], row["len"], row["verdict"]) == (len(FRAME), 10, "ok")


@pytest.mark.parametrize("seconds", [0, 1, 2**31, 2**32 - 1])
def test_far_times_are_kept_and_move_no_clock(tmp_path: Path, seconds: int) -> None:
    now = 1_700_000_000
    path = tmp_path / "times.pcap"
    around = [record(FRAME, seconds=now + number) for number in range(10)]
    path.write_bytes(PCAP + b"".join([*around[:5], record(FRAME, seconds=seconds), *around[5:]]))
    times = [row["time_ns"] for batch in netfast.packets(path) for row in batch.rows()]
    assert times[5] == seconds * 10**9
    # One conversation, whatever one time stamp says.
    stream = netfast.flows(path)
    rows = [row for batch in stream for row in batch.rows()]
    assert [row["packets_fwd"] for row in rows] == [11]
    counters = stream.counters
    assert counters["time_wild"] + counters["time_backward"] == 1


def test_times_that_no_column_holds_become_the_last_that_one_does() -> None:
    times = [row["time_ns"] for batch in netfast.packets(DAMAGED / "time-far.pcapng") for row in batch.rows()]
    assert max(times) == 2**63 - 1


def test_an_endless_chain_has_an_end_and_a_name() -> None:
    verdicts = {
        "extensions-endless.pcap": "too_many_headers",
        "hop-by-hop-many.pcap": "too_many_headers",
        "fragments-nested.pcap": "too_many_headers",
        "vlan-endless.pcap": "too_many_headers",
        "mpls-endless.pcap": "too_many_headers",
    }
    for name, verdict in verdicts.items():
        found = {row["verdict"] for batch in netfast.packets(DAMAGED / name) for row in batch.rows()}
        assert found == {verdict}, name
    # Two thousand options in one header are few headers.
    behind = [
        row["protocol"] for batch in netfast.packets(DAMAGED / "options-pad1.pcap") for row in batch.rows()
    ]
    assert behind == [17, 17]
    inner = netfast.packets(DAMAGED / "ipip-endless.pcap", inner=True)
    assert all(row["ip_version"] == 4 for batch in inner for row in batch.rows())


def test_an_unknown_link_type_is_said_and_counted() -> None:
    path = DAMAGED / "link-type-unknown.pcap"
    rows = [row for batch in netfast.packets(path) for row in batch.rows()]
    assert {(row["verdict"], row["link_type"]) for row in rows} == {("unknown_link_type", 0x0FFF)}
    stream = netfast.flows(path)
    assert [len(batch) for batch in stream] == []
    assert stream.counters["no_flow"]["unknown_link_type"] == len(rows)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
@pytest.mark.parametrize("form", ["csv", "jsonl", "tsv"])
@pytest.mark.parametrize("make", [netfast.packets, netfast.flows])
def test_a_full_disk(make: Callable, form: str) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        make(DATA / "tcp-ecn.pcap").write_text("/dev/full", form)
    assert caught.value.errno == 28


def test_rows_before_the_damage_are_written(tmp_path: Path, cut: Path) -> None:
    target = tmp_path / "rows.csv"
    with pytest.raises(ParseError):
        netfast.packets(cut).write_text(str(target), "csv")
    lines = target.read_text().splitlines()
    assert len(lines) == MANY
    assert lines[-1].startswith(f"{MANY - 1},")


def test_damage_in_a_compressed_file_loses_nothing_before_it(tmp_path: Path) -> None:
    packed = gzip.compress(capture(MANY), mtime=0)
    half = len(packed) // 2
    packed = packed[:half] + b"\xff" * 64 + packed[half + 64 :]
    path = tmp_path / "damaged.pcap.gz"
    path.write_bytes(packed)
    count, error = read(path)
    assert isinstance(error, ParseError)
    # What zlib makes of it, one byte after another; behind the damage stands what never was.
    inflate, plain = zlib.decompressobj(wbits=31), b""
    with contextlib.suppress(zlib.error):
        for byte in packed:
            plain += inflate.decompress(bytes([byte]))
    pairs = zip(plain, capture(MANY), strict=False)
    good = next((at for at, (is_, was) in enumerate(pairs) if is_ != was), len(plain))
    assert count >= (good - len(PCAP)) // len(record(FRAME)) > 0
    assert error.frame == count + 1
    assert error.offset is not None


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(minor: int = 0) -> bytes:
    return block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, minor, -1))


def interface(link: int = 1, options: bytes = b"") -> bytes:
    return block(1, struct.pack("<HHI", link, 0, 0) + options)


def packet(ticks: int, *, number: int = 0, data: bytes = FRAME, options: bytes = b"") -> bytes:
    head = struct.pack("<5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options)


def simple(data: bytes = FRAME) -> bytes:
    return block(3, struct.pack("<I", len(data)) + data)


NOW = 1_700_000_000
ONE = section() + interface() + packet(NOW * 10**6)
NANOSECONDS = option(9, b"\x09")


def accepts(program: str, path: Path) -> bool | None:
    """Whether a program of others reads the file to its end; None when it is not installed."""
    found = shutil.which(program)
    if found is None:
        return None
    arguments = {"capinfos": ["-c"], "gzip": ["-t"], "tshark": ["-n", "-r"]}[program]
    return subprocess.run([found, *arguments, path], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "header",
    [section(minor=1), section().replace(b"\x4d\x3c", b"\0\0")],
    ids=["version", "magic"],
)
def test_no_interface_outlives_a_damaged_section_header(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "sections.pcapng"
    path.write_bytes(ONE + header + interface(101, NANOSECONDS) + packet(NOW * 10**9, data=FRAME[14:]))
    assert accepts("tshark", path) is not True
    count, error = read(path)
    assert (count, getattr(error, "offset", None)) == (1, len(ONE))
    rows = [row for batch in netfast.packets(path, lenient=True) for row in batch.rows()]
    assert [(row["link_type"], row["time_ns"], row["dst_port"]) for row in rows] == [
        (1, NOW * 10**9, 53),
        (101, NOW * 10**9, 53),
    ]
    path.write_bytes(ONE + header + packet(NOW * 10**6))
    assert read(path, lenient=True) == (1, None)
    assert info(path, lenient=True)["damage_count"] == 2


def test_a_damaged_interface_description_shifts_no_number(tmp_path: Path) -> None:
    path = tmp_path / "interfaces.pcapng"
    damaged = interface()[:-4] + struct.pack("<I", 99)
    raw = packet(NOW * 10**9, number=1, data=FRAME[14:])
    path.write_bytes(section() + damaged + interface(101, NANOSECONDS) + packet(NOW * 10**6) + raw)
    rows = [row for batch in netfast.packets(path, lenient=True) for row in batch.rows()]
    assert [(row["link_type"], row["time_ns"]) for row in rows] == [(101, NOW * 10**9)]


def test_an_option_that_lies_about_its_length(tmp_path: Path) -> None:
    path = tmp_path / "options.pcapng"
    lying = struct.pack("<HH", 2, 400) + b"eth0"
    path.write_bytes(section() + interface(options=lying + NANOSECONDS) + packet(NOW * 10**9))
    assert accepts("capinfos", path) is not True
    count, error = read(path)
    assert (count, getattr(error, "frame", 0), getattr(error, "offset", 0)) == (0, 1, len(section()))
    assert "option length 400" in str(error)
    # What packets do not depend on is told, and no more.
    path.write_bytes(ONE + block(4, struct.pack("<HH", 1, 200) + bytes(4)) + packet(NOW, options=lying))
    assert read(path) == (2, None)
    assert info(path)["oddities"] == {"options_cut": 2}


def test_packets_without_a_time(tmp_path: Path) -> None:
    path = tmp_path / "simple.pcapng"
    path.write_bytes(section() + interface() + simple() + ONE + simple() + packet((NOW + 2) * 10**6))
    times = [row["time_ns"] for batch in netfast.packets(path) for row in batch.rows()]
    assert times == [0, NOW * 10**9, NOW * 10**9, (NOW + 2) * 10**9]
    report = info(path)
    assert (report["first_ns"], report["duration_ns"]) == (NOW * 10**9, 2 * 10**9)
    assert (report["in_time_order"], report["oddities"]) == (True, {"without_time": 2})
    path.write_bytes(section() + interface() + simple())
    assert info(path)["first_ns"] is None


def test_drops_that_packets_tell_of(tmp_path: Path) -> None:
    path = tmp_path / "drops.pcapng"
    dropped = [option(4, struct.pack("<Q", count)) for count in (17, 3)]
    path.write_bytes(ONE + b"".join(packet(NOW * 10**6, options=each) for each in dropped))
    report = info(path)
    assert (report["dropped"], report["interfaces"][0]["packet_drops"]) == (20, 20)


def test_statistics_of_an_interface_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "statistics.pcapng"
    path.write_bytes(ONE + block(5, struct.pack("<3I", 7, 0, 0)) + packet(NOW * 10**6))
    assert accepts("tshark", path) is not False
    assert read(path) == (2, None)
    assert info(path)["oddities"] == {"unknown_interface_statistics": 1}


def test_more_sections_than_interfaces_have_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sections.pcapng"
    path.write_bytes(ONE * 66_000)
    assert read(path) == (66_000, None)
    report = info(path)
    assert report["oddities"]["shared_interfaces"] == 66_000 - 65_536
    assert sum(each["packets"] for each in report["interfaces"]) == 66_000


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (bytes(3), None),
        (bytes(512), None),
        (b"gar", "trailing garbage"),
        (bytes(9) + b"garbage", "trailing garbage"),
    ],
)
def test_what_follows_a_gzip_file(tmp_path: Path, tail: bytes, words: str | None) -> None:
    path = tmp_path / "padded.pcap.gz"
    path.write_bytes(gzip.compress(capture(3), mtime=0) + tail)
    assert accepts("gzip", path) in (words is None, None)
    count, error = read(path)
    assert (count, error is None) == (3, words is None)
    assert words is None or words in str(error)
    assert read(path, lenient=True) == (3, None)


def test_packets_that_no_other_program_reads_are_cut(tmp_path: Path) -> None:
    path, out = tmp_path / "huge.pcap", tmp_path / "copy.pcapng"
    path.write_bytes(PCAP + record(FRAME) + record(FRAME.ljust(262_145, b"z")) + record(FRAME.ljust(262_144)))
    assert accepts("capinfos", path) is not True
    with pytest.warns(UserWarning, match="1 of 3 packets cut"):
        assert copy(path, out) == 3
    assert accepts("capinfos", out) is not False
    rows = [row for batch in netfast.packets(out) for row in batch.rows()]
    assert [(row["caplen"], row["len"]) for row in rows[1:]] == [(262_144, 262_145), (262_144, 262_144)]


def test_advice_is_given_where_it_helps(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pcap"
    path.write_bytes(capture(1) + record(b"", caplen=2**32 - 1))
    assert "lenient=True skips what is damaged" in str(read(path)[1])
    assert "lenient" not in info(path, lenient=True)["damage"][0]["what"]
    path.write_bytes(PCAP[:20])
    assert "whole" not in str(read(path)[1])
