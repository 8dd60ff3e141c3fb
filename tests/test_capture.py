"""Captures through the wheel: columns, flows, packets where they were read, and writing."""

import gc
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import netfast as nf

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
