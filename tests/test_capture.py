"""Captures through the wheel: columns, flows, packets where they were read, and writing."""

import gc
import gzip
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import netfast as nf
import netfast.files

DATA = Path(__file__).parent / "data"
WEB = DATA / "web-session.pcap"
HTTP6 = DATA / "http-ipv6.pcap"

PACKET_COLUMNS = (
    "frame time_ns caplen len link_type vlan ip_version src dst protocol src_port dst_port tcp_flags "
    "payload_len hop_limit traffic_class flow_label fragment_offset fragment_id more_fragments "
    "l3_checksum l4_checksum verdict"
).split()
FLOW_COLUMNS = (
    "first_ns last_ns ip_version src dst protocol src_port dst_port vlan packets_fwd packets_rev "
    "bytes_fwd bytes_rev l2_bytes_fwd l2_bytes_rev tcp_flags_fwd tcp_flags_rev state end_reason community_id"
).split()


def rows(stream):
    return [row for batch in stream for row in batch.rows()]


def test_packet_columns_have_their_fixed_names():
    assert list(rows(nf.packets(WEB))[0]) == PACKET_COLUMNS
    assert list(rows(nf.flows(WEB))[0]) == FLOW_COLUMNS


def test_pyarrow_takes_packets_and_flows():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(nf.packets(WEB))
    assert table.column_names == PACKET_COLUMNS
    assert table.num_rows == len(rows(nf.packets(WEB)))
    assert table.schema.field("src").type == pyarrow.binary(16)
    flows = pyarrow.table(nf.flows(WEB))
    assert flows.column_names == FLOW_COLUMNS
    flows.validate(full=True)
    table.validate(full=True)


def test_polars_takes_packets_flows_and_single_batches():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(nf.packets(WEB, text_addresses=True))
    assert frame.columns == PACKET_COLUMNS
    assert frame["src"].to_list() == [row["src"] for row in rows(nf.packets(WEB))]
    batch = next(iter(nf.packets(WEB)))
    assert polars.DataFrame(batch).height == len(batch)
    assert polars.DataFrame(nf.flows(WEB, stats=True))["packet_lengths"].list.len().max() > 1


def test_duckdb_takes_flows():
    duckdb = pytest.importorskip("duckdb")
    pyarrow = pytest.importorskip("pyarrow")
    flows = pyarrow.table(nf.flows(WEB, text_addresses=True))  # noqa: F841 - duckdb finds it by its name
    ((count,),) = duckdb.sql("select sum(packets_fwd + packets_rev) from flows").fetchall()
    assert count == nf_counters(nf.flows(WEB))["in_flows"]


def nf_counters(stream):
    for _ in stream:
        pass
    return stream.counters


def test_a_stream_can_be_read_again():
    stream = nf.packets(WEB)
    assert rows(stream) == rows(stream)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.pcap*")), ids=lambda path: path.name)
def test_packets_are_conserved(path):
    counters = nf_counters(nf.flows(path))
    assert counters["packets"] == counters["in_flows"] + sum(counters["no_flow"].values())
    assert counters["packets"] == sum(len(batch) for batch in nf.packets(path))


def test_flows_by_threads_are_the_same():
    def known(threads):
        return sorted(map(str, rows(nf.flows(DATA / "tcp-loss-ipv6.pcap", threads=threads, stats=True))))

    assert known(1) == known(2) == known(3)


def test_a_filter_keeps_what_it_says():
    assert {row["dst_port"] for row in rows(nf.packets(WEB, filter="udp dst port 53"))} <= {53}
    with pytest.raises(nf.ConfigError, match="filter"):
        nf.packets(WEB, filter="tcp prot 80")


def test_without_checksums_their_columns_are_null():
    got = rows(nf.packets(WEB, checksums=False))
    assert all(row["l3_checksum"] is row["l4_checksum"] is None for row in got)


def test_several_captures_are_one_input_in_the_order_of_time():
    pair = [DATA / "http-ipv4.pcap", HTTP6]
    got = rows(nf.packets(pair))
    assert [row["frame"] for row in got] == list(range(1, len(got) + 1))
    times = [row["time_ns"] for row in got]
    assert times == sorted(times)
    assert len(got) == sum(len(rows(nf.packets(path))) for path in pair)


def test_column_memory_is_used_again_when_python_lets_it_go():
    script = (
        "import sys, netfast\n"
        "total = 0\n"
        "for path in sys.argv[1:] * 300:\n"
        "    for batch in netfast.packets(path):\n"
        "        total += len(batch)\n"
        "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(WEB)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[1]) < 60_000


def test_a_captured_packet_pins_the_memory_it_was_read_into():
    with nf.Capture(HTTP6) as capture:
        kept = [packet for batch in capture for packet in batch]
    gc.collect()
    expected = [bytes(packet) for batch in nf.Capture(HTTP6) for packet in batch]
    assert [bytes(packet) for packet in kept] == expected
    view = kept[0].data
    assert view.readonly
    assert view.tobytes() == expected[0]
    with pytest.raises(TypeError):
        view[0] = 1
    del kept
    gc.collect()
    assert view.tobytes() == expected[0]


def test_captured_packets_say_where_they_come_from():
    batch = next(nf.Capture(HTTP6))
    row = rows(nf.packets(HTTP6))[2]
    packet = batch[2]
    assert (packet.frame, packet.time_ns, packet.interface) == (3, row["time_ns"], 0)
    assert (packet.src, packet.dst_port, packet.len) == (row["src"], row["dst_port"], row["len"])
    assert batch[-1].frame == len(batch)
    with pytest.raises(IndexError):
        batch[len(batch)]
    assert pickle.loads(pickle.dumps(packet)) == packet


def test_a_closed_capture_says_so():
    capture = nf.Capture(WEB)
    capture.close()
    with pytest.raises(ValueError, match="closed"):
        next(capture)


@pytest.mark.parametrize("name", ["copy.pcapng", "copy.pcap"])
def test_written_packets_are_read_back(tmp_path, name):
    packets = [packet for batch in nf.Capture(HTTP6) for packet in batch]
    assert nf.write(tmp_path / name, packets) == len(packets)
    again = rows(nf.packets(tmp_path / name))
    original = rows(nf.packets(HTTP6))
    assert again == original


def test_headers_bytes_and_times_can_be_written(tmp_path):
    stack = nf.IPv6(src="2001:db8::1", dst="2001:db8::2") / nf.UDP(src_port=1, dst_port=2) / b"x"
    count = nf.write(tmp_path / "made.pcapng", [stack, (5_000_000_000, bytes(stack))], link=101)
    assert count == 2
    first, second = rows(nf.packets(tmp_path / "made.pcapng"))
    assert (first["time_ns"], second["time_ns"]) == (0, 5_000_000_000)
    assert (first["dst_port"], first["l4_checksum"], first["verdict"]) == (2, "good", "ok")


def test_a_pcap_file_has_one_link_type(tmp_path):
    ethernet = nf.dissect(bytes(64))
    raw = nf.dissect(bytes(64), link="RAW")
    with pytest.raises(nf.ConfigError, match="one link type"):
        nf.write(tmp_path / "two.pcap", [ethernet, raw])
    with pytest.raises(TypeError, match="no packet"):
        nf.write(tmp_path / "none.pcapng", [object()])


def test_a_flow_table_fed_batch_by_batch_gives_the_flows_of_the_file():
    table = nf.FlowTable(stats=True)
    for batch in nf.Capture(WEB):
        table.push(batch)
    assert len(table) > 0
    assert table.memory > 0
    fed = table.finish().rows()
    assert sorted(map(str, fed)) == sorted(map(str, rows(nf.flows(WEB, stats=True))))
    assert len(table) == 0


def test_a_flow_table_ends_flows_in_the_callers_time():
    frame = bytes(nf.Ethernet() / nf.IPv4(src="192.0.2.1", dst="192.0.2.2") / nf.UDP(src_port=1, dst_port=2))
    table = nf.FlowTable(idle=10)
    assert table.push([(0, frame), (9_000_000_000, frame, 1500)]) == 2
    table.advance(19_000_000_000)
    assert len(table.ended()) == 0
    table.advance(30_000_000_000)
    (row,) = table.ended().rows()
    assert (row["packets_fwd"], row["l2_bytes_fwd"], row["end_reason"]) == (2, len(frame) + 1500, "idle")
    with pytest.raises(nf.ConfigError):
        nf.FlowTable(idle=-1)


def test_notebooks_show_tables():
    for thing in (nf.packets(WEB), nf.flows(WEB), next(iter(nf.packets(WEB))), next(iter(nf.flows(WEB)))):
        html = thing._repr_html_()
        assert html.startswith("<table>")
        assert "src_port" in html


# A pcap file's header and one packet: enough for a reader to wait for more.
BEGIN = WEB.read_bytes()[:24] + bytes(16)

WAITS = {
    "packets": "for batch in netfast.packets('-'): pass",
    "flows": "for batch in netfast.flows('-'): pass",
    "flows on two threads": "for batch in netfast.flows('-', threads=2): pass",
    "capture": "for batch in netfast.Capture('-'): pass",
    "packets of a filter": "for batch in netfast.packets('-', filter='udp port 9'): pass",
    "text": "netfast.flows('-', threads=2).write_text('/dev/null', 'csv')",
    "copy": "netfast.files.copy('-', '/dev/null')",
    "info": "netfast.files.info('-')",
    "frame": "netfast.files.frame('-', 9)",
    "two captures": f"for batch in netfast.packets(['-', {str(WEB)!r}]): pass",
}


def interrupted(code, *, begin=b"", path=None, before=""):
    """What a program says after Ctrl-C while it waits; standard input is a pipe that stays open."""
    program = f"import netfast, netfast.files, sys\n{before}\nprint('ready', flush=True)\n{code}"
    command = [sys.executable, "-c", program, *([path] if path else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(begin)
            process.stdin.flush()
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=5)
            return process.returncode, process.stderr.read().decode()
        finally:
            process.kill()


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize(
    "begin",
    [b"", BEGIN, gzip.compress(BEGIN)[:-8]],
    ids=["nothing", "a packet", "compressed"],
)
def test_ctrl_c_ends_a_wait_for_a_pipe(code, begin):
    status, stderr = interrupted(code, begin=begin)
    assert status == -signal.SIGINT, stderr
    assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_ends_the_wait_of_libraries_that_take_arrow_data():
    pytest.importorskip("pyarrow")
    # The first table imports pandas where it is installed, which takes a while.
    before = f"import pyarrow; pyarrow.table(netfast.flows({str(WEB)!r}))"
    for threads in (1, 2):
        code = f"""
flows = netfast.flows('-', threads={threads})
try:
    pyarrow.table(flows)
except Exception as error:
    sys.exit(f"{{type(flows.error).__name__}}: {{error}}")
"""
        status, stderr = interrupted(code, begin=BEGIN, before=before)
        assert (status, "reading was interrupted" in stderr) == (1, True), stderr
        assert stderr.startswith("KeyboardInterrupt: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
@pytest.mark.skipif(sys.platform != "linux", reason="opening waits for a writer")
def test_ctrl_c_ends_the_wait_for_a_fifos_first_writer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    status, stderr = interrupted("netfast.packets(sys.argv[1])", path=str(tmp_path / "fifo"))
    assert (status, stderr.rstrip().endswith("KeyboardInterrupt")) == (-signal.SIGINT, True), stderr


def test_a_handler_of_ones_own_is_run_while_a_read_waits():
    code = """
import signal
def stop(number, frame):
    raise ValueError("stopped")
signal.signal(signal.SIGINT, stop)
for batch in netfast.packets('-'): pass
"""
    status, stderr = interrupted(code, begin=BEGIN)
    assert (status, stderr.rstrip().endswith("ValueError: stopped")) == (1, True), stderr


def test_closing_a_capture_ends_a_read_that_waits_in_another_thread():
    code = """
import threading, time
capture = netfast.Capture('-')
said = []
def read():
    try:
        for batch in capture: pass
    except BaseException as error:
        said.append(type(error).__name__)
thread = threading.Thread(target=read)
thread.start()
time.sleep(0.1)
capture.close()
thread.join(4)
print(said, thread.is_alive(), file=sys.stderr)
sys.stdin.read()
"""
    _, stderr = interrupted(code, begin=BEGIN)
    assert stderr.startswith("['KeyboardInterrupt'] False")


def pcapng(*blocks):
    """Blocks as (type, body) in little-endian order, behind a section header."""
    section = (0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out = b""
    for kind, body in (section, *blocks):
        body += bytes(-len(body) % 4)
        out += struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
    return out


def interface(link, options=b""):
    return 1, struct.pack("<HHI", link, 0, 0) + options


def captured(number, data, ticks=0, options=b""):
    head = struct.pack("<IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return 6, head + data + bytes(-len(data) % 4) + options


FRAME = bytes(nf.Ethernet() / nf.IPv4(src="192.0.2.1", dst="192.0.2.2") / nf.UDP(src_port=1, dst_port=2))


def test_packets_that_a_filter_cannot_be_asked_about_are_counted(tmp_path):
    path = tmp_path / "usb.pcapng"
    usb = captured(1, bytes(64))
    path.write_bytes(pcapng(interface(1), captured(0, FRAME), interface(189), usb, usb, captured(0, FRAME)))
    stream = nf.packets(path, filter="udp")
    assert [row["frame"] for row in rows(stream)] == [1, 4]
    assert stream.unfiltered == {189: 2}
    flows = nf.flows(path, filter="udp", threads=2)
    assert sum(row["packets_fwd"] for row in rows(flows)) == 2
    assert flows.unfiltered == {189: 2}
    capture = nf.Capture(path, filter="udp")
    assert (sum(len(batch) for batch in capture), capture.unfiltered) == (2, {189: 2})
    assert nf.files.info(path, filter="udp")["unfiltered"] == {189: 2}
    with pytest.warns(UserWarning, match="2 of link type 189"):
        assert nf.files.copy(path, tmp_path / "copy.pcapng", filter="udp") == 2
    assert nf.packets(path).unfiltered == {}
    with pytest.raises(nf.ConfigError, match="column 5"):
        nf.packets(path, filter="udp prt 1")


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize("order", ["<", ">"])
def test_bsd_loopback_is_filtered_in_the_byte_order_of_its_file(tmp_path, order):
    path = tmp_path / "loopback.pcap"
    packets = [struct.pack(order + "I", family) + FRAME[14:] for family in (2, 30, 2)]
    records = [struct.pack(order + "IIII", 1, 0, len(data), len(data)) + data for data in packets]
    header = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 0)
    path.write_bytes(header + b"".join(records))
    told = subprocess.run(["tcpdump", "-nr", path, "ip"], capture_output=True, check=True).stdout
    assert [row["frame"] for row in rows(nf.packets(path, filter="ip"))] == [1, 3]
    assert len(told.splitlines()) == 2


def take(batches):
    """The next batch; none at the end or where damage ends it."""
    try:
        return next(batches, None)
    except nf.ParseError:
        return None


def test_whole_captures_are_read_to_their_ends_beside_a_damaged_one(tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(WEB.read_bytes()[:-1])
    whole = sum(len(batch) for batch in nf.packets(HTTP6))
    before = sum(len(batch) for batch in nf.packets(WEB)) - 1
    for paths in ([cut, HTTP6], [HTTP6, cut], [HTTP6, cut, cut]):
        seen, stream = 0, nf.packets(paths)
        batches = iter(stream)
        while (batch := take(batches)) is not None:
            seen += len(batch)
        assert seen == whole + before * paths.count(cut)
        assert isinstance(stream.error, nf.ParseError)
        assert stream.error.frame == before + 1
        assert str(stream.error).count("cut.pcap: frame") == paths.count(cut)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_text_of_no_rows_is_its_header(tmp_path, form):
    target = tmp_path / "rows"
    for make, columns in ((nf.packets, PACKET_COLUMNS), (nf.flows, FLOW_COLUMNS)):
        assert make(WEB, filter="port 1").write_text(str(target), form) == 0
        separator = {"csv": ",", "tsv": "\t"}.get(form)
        assert target.read_text() == (separator.join(columns) + "\n" if separator else "")


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


@pytest.mark.parametrize(
    ("offset", "ticks", "time_ns", "odd"),
    [
        (-5, 4_000_000, 0, 1),
        (-5, 6_000_000, 10**9, 0),
        (2**40, 0, 2**63 - 1, 1),
        (0, 2**64 - 1, 2**63 - 1, 1),
        # Before the offset it is out of range, with it it is not.
        (-(2**44), 2**44 * 10**6 + 7, 7000, 0),
    ],
)
def test_times_out_of_range_are_the_nearest_and_counted(tmp_path, offset, ticks, time_ns, odd):
    path = tmp_path / "times.pcapng"
    offset = option(14, struct.pack("<q", offset)) + bytes(4)
    path.write_bytes(pcapng(interface(1, offset), captured(0, FRAME, ticks)))
    assert [row["time_ns"] for row in rows(nf.packets(path))] == [time_ns]
    assert [(row["first_ns"], row["last_ns"]) for row in rows(nf.flows(path))] == [(time_ns, time_ns)]
    (packet,) = (packet for batch in nf.Capture(path) for packet in batch)
    assert packet.time_ns == time_ns
    info = nf.files.info(path)
    assert (info["first_ns"], info["oddities"].get("time_out_of_range", 0)) == (time_ns, odd)
    target = tmp_path / "flows.jsonl"
    nf.flows(path).write_text(str(target), "jsonl")
    assert json.loads(target.read_text())["first_ns"] == time_ns


@pytest.mark.parametrize("order", ["<", ">"])
def test_options_of_packets_are_copied_but_those_that_say_no(tmp_path, order):
    def put(code, value, order=order):
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def block(kind, body):
        body += bytes(-len(body) % 4)
        size = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + size + body + size

    def numbers(order):
        return [
            (1, b"a comment"),
            (2, struct.pack(order + "I", 1)),
            (4, struct.pack(order + "Q", 5)),
            (5, struct.pack(order + "Q", 6)),
            (6, struct.pack(order + "I", 7)),
            (3, b"\x02\x11\x22\x33\x44"),
            (7, b"\x01" + struct.pack(order + "Q", 2)),
            (7, b"\x00\x09\x08"),
            (2988, struct.pack(order + "I", 32473) + b"text"),
            (2989, struct.pack(order + "I", 32473) + b"\x01\x02\x03"),
            (33000, b"local"),
        ]

    private = [(19372, struct.pack(order + "I", 32473) + b"x"), (19373, struct.pack(order + "I", 1) + b"y")]
    options = b"".join(put(*each) for each in numbers(order)[:5] + private + numbers(order)[5:]) + bytes(4)
    data = FRAME + bytes(-len(FRAME) % 4)
    head = struct.pack(order + "IIIII", 0, 0, 0, len(FRAME), len(FRAME))
    path, copy = tmp_path / "options.pcapng", tmp_path / "copy.pcapng"
    path.write_bytes(
        block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
        + block(1, struct.pack(order + "HHI", 1, 0, 0))
        + block(6, head + data + options)
    )
    assert nf.files.copy(path, copy) == 1
    written = copy.read_bytes()
    expected = b"".join(put(*each, order="<") for each in numbers("<"))
    at = written.index(data) + len(data)
    assert written[at : at + len(expected) + 4] == expected + bytes(4)
    assert len(written) == at + len(expected) + 8


def test_what_lenient_reading_skipped_is_known_of_the_result(tmp_path):
    damaged = DATA / "damaged" / "record-4-gib.pcap"
    (expected,) = nf.info(damaged, lenient=True)["damage"]
    whole = {"path": str(damaged), "count": 1, "skipped": 91, "places": [expected]}
    for stream in (
        nf.packets(damaged, lenient=True),
        nf.flows(damaged, lenient=True),
        nf.flows(damaged, lenient=True, threads=2),
        nf.Capture(damaged, lenient=True),
        nf.packets([DATA / "dns-udp.pcap", damaged], lenient=True),
        nf.files.frames(damaged, lenient=True),
    ):
        assert stream.damage == []
        for _ in stream:
            pass
        assert stream.damage == [whole]
    with pytest.warns(UserWarning, match="skipped 91 damaged bytes"):
        nf.copy(damaged, tmp_path / "copy.pcapng", lenient=True)
    strict = nf.packets(damaged)
    with pytest.raises(nf.ParseError, match="lenient=True skips"):
        list(strict)
    assert [capture["count"] for capture in strict.damage] == [1]


def test_streams_of_packets_count_what_the_filter_kept():
    path = DATA / "two-interfaces.pcapng"
    stream = nf.packets(path, filter="ether src 02:00:00:00:00:01 or ether dst ff:ff:ff:ff:ff:ff")
    assert stream.counters == {"packets": 0, "kept": 0, "unfiltered": 0, "bytes": 0}
    kept = sum(len(batch) for batch in stream)
    counters = stream.counters
    assert counters["packets"] == sum(len(batch) for batch in nf.packets(path))
    assert counters["kept"] == kept
    assert counters["unfiltered"] == sum(stream.unfiltered.values()) > 0
    assert counters["bytes"] == path.stat().st_size


def test_standard_input_cannot_be_read_twice():
    with pytest.raises(nf.ConfigError, match="named twice"):
        nf.packets(["-", "-"])


def test_files_that_are_not_there_are_told_as_python_tells_it(tmp_path):
    path = tmp_path / "nosuch"
    with pytest.raises(FileNotFoundError) as ours:
        nf.packets(path)
    with pytest.raises(FileNotFoundError) as theirs:
        path.open()
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(IsADirectoryError) as ours:
        nf.packets(tmp_path)
    assert str(ours.value) == f"[Errno 21] Is a directory: '{tmp_path}'"
    with pytest.raises(FileNotFoundError) as ours:
        nf.copy(DATA / "dns-udp.pcap", path / "x")
    assert str(ours.value) == f"[Errno 2] No such file or directory: '{path / 'x'}'"


def test_frames_come_by_their_numbers():
    path = DATA / "dns-udp.pcap"
    found = [frame["frame"] for frame in nf.files.frames(path, [7, (2, 3)])]
    assert found == [2, 3, 7]
    assert nf.files.frame(path, 99) is None
    with pytest.raises(nf.ConfigError):
        nf.files.frames(path, [0])


def test_text_has_the_format_that_the_ending_says(tmp_path):
    for make in (nf.packets, nf.flows):
        for form in ("csv", "tsv", "jsonl"):
            named, ending = tmp_path / "named", tmp_path / f"rows.{form.upper()}"
            assert make(WEB).write_text(ending) == make(WEB).write_text(named, form)
            assert named.read_text() == ending.read_text()
        for form in (None, "xml"):
            with pytest.raises(nf.ConfigError, match="csv"):
                make(WEB).write_text(named, form)
            assert named.stat().st_size


def test_what_is_read_is_not_written(tmp_path):
    path, link = tmp_path / "capture.csv", tmp_path / "link.pcap"
    path.write_bytes(WEB.read_bytes())
    link.symlink_to(path)
    tries = [
        lambda: nf.copy(path, link),
        lambda: nf.info(path, write=link),
        lambda: nf.flows(path, write=link),
        lambda: nf.flows([DATA / "dns-udp.pcap", link]).write_text(path),
        lambda: nf.packets(path).write_text(path),
    ]
    for attempt in tries:
        with pytest.raises(nf.ConfigError, match="is read, so it cannot be written") as error:
            attempt()
        assert error.value.option == "target"
        assert path.read_bytes() == WEB.read_bytes()
