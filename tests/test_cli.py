"""The command line, as a library (click's runner) and as a program with pipes, signals and full disks."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import netfast
from netfast._netfast import FLOW_COLUMNS, PACKET_COLUMNS, STATISTICS_COLUMNS
from netfast.bench import harness
from netfast.cli import _words, main

DATA = Path(__file__).parent / "data"
WEB = str(DATA / "web-session.pcap")
DNS = str(DATA / "dns-udp.pcap")
TWO = str(DATA / "two-interfaces.pcapng")
PROGRAM = str(Path(sysconfig.get_path("scripts")) / "netfast")

capinfos = pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos (Debian tshark) is missing")
tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark (Debian tshark) is missing")
full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=30, **options)


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def one_line(stderr: bytes | str) -> str:
    """Standard error, which must be one line that names the program."""
    text = stderr.decode() if isinstance(stderr, bytes) else stderr
    assert text.startswith("netfast: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A capture that ends in the middle of its last packet, and so has one whole packet less than DNS."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(Path(DNS).read_bytes()[:-5])
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Some hundred thousand packets, enough to be interrupted."""
    once = Path(WEB).read_bytes()
    path = tmp_path / "long.pcap"
    path.write_bytes(once[:24] + once[24:] * 500)
    return path


class TestRows:
    def test_packets_are_json_lines_with_exactly_the_fixed_columns(self) -> None:
        rows = json_lines(run("packets", WEB, "--json").stdout)
        assert len(rows) == sum(len(batch) for batch in netfast.packets(WEB))
        assert all(list(row) == list(PACKET_COLUMNS) for row in rows)
        assert PACKET_COLUMNS[:4] == ["frame", "time_ns", "caplen", "len"]

    @pytest.mark.parametrize(("options", "more"), [((), []), (("--stats",), STATISTICS_COLUMNS)])
    def test_flows_are_json_lines_with_exactly_the_fixed_columns(
        self, options: tuple[str, ...], more: list[str]
    ) -> None:
        rows = json_lines(run("flows", WEB, "--json", *options).stdout)
        assert len(rows) == sum(len(batch) for batch in netfast.flows(WEB))
        assert all(list(row) == [*FLOW_COLUMNS, *more] for row in rows)

    @pytest.mark.parametrize(("command", "columns"), [("packets", PACKET_COLUMNS), ("flows", FLOW_COLUMNS)])
    def test_through_a_pipe_rows_are_separated_by_tabs_without_colour(
        self, command: str, columns: list[str]
    ) -> None:
        lines = run(command, WEB).stdout.splitlines()
        assert lines[0].split("\t") == columns
        assert {line.count("\t") for line in lines} == {len(columns) - 1}
        assert not any("\x1b" in line for line in lines)
        assert len(lines) - 1 == len(json_lines(run(command, WEB, "--json").stdout))

    def test_rows_of_nothing_have_their_header_all_the_same(self) -> None:
        assert run("packets", WEB, "--filter", "port 1").stdout.splitlines() == ["\t".join(PACKET_COLUMNS)]
        assert run("flows", WEB, "--filter", "port 1", "--json").stdout == ""

    def test_the_filter_keeps_what_it_says(self) -> None:
        rows = json_lines(run("packets", WEB, "--json", "--filter", "udp port 53").stdout)
        assert rows
        assert all(53 in (row["src_port"], row["dst_port"]) and row["protocol"] == 17 for row in rows)

    def test_count_ends_after_so_many_packets(self) -> None:
        all_rows = run("packets", WEB).stdout.splitlines()
        assert run("packets", WEB, "-c", "3").stdout.splitlines() == all_rows[:4]

    def test_without_checksums_their_columns_are_null(self) -> None:
        rows = json_lines(run("packets", WEB, "--json", "--no-checksums").stdout)
        assert {row["l4_checksum"] for row in rows} == {None}
        assert "good" in {row["l4_checksum"] for row in json_lines(run("packets", WEB, "--json").stdout)}

    def test_inner_describes_what_stands_in_the_tunnel(self) -> None:
        tunnel = str(DATA / "ipip-sit.pcap")
        outer = [row["protocol"] for row in json_lines(run("packets", tunnel, "--json").stdout)]
        inner = [row["protocol"] for row in json_lines(run("packets", tunnel, "--json", "--inner").stdout)]
        assert len(inner) == len(outer)
        assert 6 not in outer
        assert 6 in inner

    def test_several_files_are_merged_by_time(self) -> None:
        rows = json_lines(run("packets", WEB, DNS, "--json").stdout)
        times = [row["time_ns"] for row in rows]
        assert len(rows) == sum(len(batch) for path in (WEB, DNS) for batch in netfast.packets(path))
        assert [row["frame"] for row in rows] == list(range(1, len(rows) + 1))
        assert times == sorted(times)

    @pytest.mark.parametrize("packed", [DNS + ".gz", DNS + ".zst"])
    def test_compressed_captures_give_the_same_rows(self, packed: str) -> None:
        assert run("packets", packed).stdout == run("packets", DNS).stdout


class TestOrder:
    def flows(self, *options: str) -> list[dict[str, Any]]:
        return json_lines(run("flows", WEB, "--json", *options).stdout)

    def test_top_gives_those_with_most_bytes_both_ways(self) -> None:
        expected = sorted(self.flows(), key=_words.flow_bytes, reverse=True)[:5]
        assert self.flows("--top", "5") == expected

    def test_sort_takes_any_column_and_both_directions(self) -> None:
        ascending = [row["packets_fwd"] for row in self.flows("--sort", "packets_fwd")]
        assert ascending == sorted(ascending)
        assert [row["packets_fwd"] for row in self.flows("--sort=-packets_fwd")] == ascending[::-1]
        assert [row["packets_fwd"] for row in self.flows("--sort", "packets_fwd", "--reverse")] == ascending[
            ::-1
        ]
        for column in FLOW_COLUMNS:
            assert len(self.flows("--sort", column)) == len(ascending)

    def test_top_with_sort_gives_the_largest_and_reverse_the_smallest(self) -> None:
        values = sorted(row["last_ns"] - row["first_ns"] for row in self.flows())
        top = [row["last_ns"] - row["first_ns"] for row in self.flows("--top", "3", "--sort", "duration")]
        assert top == values[::-1][:3]
        low = self.flows("--top", "3", "--sort", "duration", "--reverse")
        assert [row["last_ns"] - row["first_ns"] for row in low] == values[:3]

    def test_rows_without_a_value_come_last(self) -> None:
        everything = str(DATA / "icmp-errors.pcap")
        for sort in ("tcp_flags_fwd", "-tcp_flags_fwd"):
            rows = json_lines(run("flows", everything, WEB, "--json", f"--sort={sort}").stdout)
            known = [row["tcp_flags_fwd"] is not None for row in rows]
            assert set(known) == {True, False}, "the captures have rows of both kinds"
            assert known == sorted(known, reverse=True)

    def test_addresses_are_sorted_as_numbers(self) -> None:
        rows = self.flows("--sort", "src")
        assert [row["ip_version"] for row in rows] == sorted(row["ip_version"] for row in rows)

    def test_an_unknown_column_is_wrong_usage_and_the_known_ones_are_named(self) -> None:
        result = run("flows", WEB, "--sort", "colour")
        assert result.exit_code == 2
        assert "community_id" in result.stderr

    def test_order_holds_in_files_too(self, tmp_path: Path) -> None:
        path = tmp_path / "top.jsonl"
        assert run("flows", WEB, "--top", "4", "-o", str(path)).exit_code == 0
        assert json_lines(path.read_text()) == self.flows("--top", "4")


class TestFiles:
    @pytest.mark.parametrize("command", ["packets", "flows"])
    def test_csv_and_json_lines_hold_the_same_rows(self, command: str, tmp_path: Path) -> None:
        table, lines = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
        for path in (table, lines):
            result = run(command, WEB, "-o", str(path))
            assert (result.exit_code, result.stdout) == (0, "")
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        expected = json_lines(lines.read_text())
        assert len(rows) == len(expected)
        for row, same in zip(rows, expected, strict=True):
            assert row == {name: _cell(value) for name, value in same.items()}

    @pytest.mark.parametrize("ending", [".parquet", ".arrow"])
    @pytest.mark.parametrize("command", ["packets", "flows"])
    def test_arrow_files_hold_the_same_rows(self, command: str, ending: str, tmp_path: Path) -> None:
        polars = pytest.importorskip("polars")
        pytest.importorskip("pyarrow")
        path = tmp_path / f"rows{ending}"
        assert run(command, WEB, "-o", str(path), "--text-addresses").exit_code == 0
        read = polars.read_parquet if ending == ".parquet" else polars.read_ipc
        expected = polars.DataFrame(getattr(netfast, command)(WEB, text_addresses=True))
        assert read(path).to_dicts() == expected.to_dicts()

    @pytest.mark.parametrize("ending", [".parquet", ".arrow"])
    def test_without_pyarrow_polars_writes_them(
        self, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        polars = pytest.importorskip("polars")
        _hide(monkeypatch, "pyarrow")
        path = tmp_path / f"rows{ending}"
        assert run("flows", WEB, "--top", "3", "-o", str(path), "--text-addresses").exit_code == 0
        read = polars.read_parquet if ending == ".parquet" else polars.read_ipc
        expected = [
            row["community_id"] for row in json_lines(run("flows", WEB, "--top", "3", "--json").stdout)
        ]
        assert read(path)["community_id"].to_list() == expected

    def test_top_and_count_hold_in_arrow_files(self, tmp_path: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        top, few = tmp_path / "top.parquet", tmp_path / "few.parquet"
        assert run("flows", WEB, "--top", "4", "-o", str(top)).exit_code == 0
        expected = [
            row["community_id"] for row in json_lines(run("flows", WEB, "--top", "4", "--json").stdout)
        ]
        assert parquet.read_table(top)["community_id"].to_pylist() == expected
        assert run("packets", WEB, "-c", "7", "-o", str(few)).exit_code == 0
        table = parquet.read_table(few)
        assert table["frame"].to_pylist() == list(range(1, 8))
        assert table.schema.field("src").type == pyarrow.binary(16)

    def test_neither_pyarrow_nor_polars_names_the_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _hide(monkeypatch, "pyarrow", "polars")
        result = run("flows", WEB, "-o", str(tmp_path / "flows.parquet"))
        assert result.exit_code == 1
        assert "pip install 'netfast[arrow]'" in one_line(result.stderr)
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_ending_names_the_known_ones(self, tmp_path: Path) -> None:
        result = run("flows", WEB, "-o", str(tmp_path / "flows.xlsx"))
        assert result.exit_code == 2
        assert ".csv, .tsv, .jsonl, .parquet or .arrow" in result.stderr

    def test_a_file_that_is_read_is_never_written(self, tmp_path: Path) -> None:
        path = tmp_path / "capture.csv"
        shutil.copy(DNS, path)
        before = path.read_bytes()
        assert run("packets", str(path), "-o", str(path)).exit_code == 2
        assert run("packets", str(path), "-w", str(path)).exit_code == 2
        assert path.read_bytes() == before

    def test_a_damaged_file_gives_its_good_rows_then_the_error(self, cut: Path, tmp_path: Path) -> None:
        out = tmp_path / "rows.csv"
        result = run("packets", str(cut), "-o", str(out))
        assert result.exit_code == 1
        assert len(out.read_text().splitlines()) == 24
        parquet = pytest.importorskip("pyarrow.parquet")
        out = tmp_path / "rows.parquet"
        assert run("packets", str(cut), "-o", str(out)).exit_code == 1
        assert parquet.read_table(out).num_rows == 23


def _cell(value: object) -> str:
    """A JSON value as it stands in CSV."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Lets modules seem not to be installed."""
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name in modules else find(name, *rest))


class TestCopies:
    @capinfos
    def test_copies_are_accepted_and_keep_interfaces(self, tmp_path: Path) -> None:
        out = tmp_path / "copy.pcapng"
        assert run("packets", TWO, "-w", str(out)).stdout == ""
        told = subprocess.run(["capinfos", str(out)], capture_output=True, text=True, check=True)
        assert told.stderr == ""
        for words in ("Name = l0", "Name = t0", "Raw IP", "an Ethernet link and a tunnel"):
            assert words in told.stdout

    @tshark
    @pytest.mark.parametrize("expression", ["", "udp", "ip6 and udp"])
    def test_tshark_reads_what_it_reads_from_the_original(self, expression: str, tmp_path: Path) -> None:
        out = tmp_path / "copy.pcapng"
        run("packets", TWO, "-w", str(out), "--filter", expression)
        fields = (
            "frame.time_epoch",
            "frame.len",
            "frame.cap_len",
            "frame.interface_name",
            "ip.src",
            "ipv6.src",
        )
        options = [word for field in fields for word in ("-e", field)]
        kept = {"": "frame", "udp": "udp", "ip6 and udp": "ipv6 and udp"}[expression]
        before = _tshark(
            "-r", TWO, "-Y", f"{kept} and !icmp and !icmpv6" if kept != "frame" else kept, *options
        )
        assert _tshark("-r", str(out), "-T", "fields", *options) == before
        assert before

    def test_rows_of_a_copy_are_those_of_the_original(self, tmp_path: Path) -> None:
        out = tmp_path / "copy.pcapng"
        for path in sorted(DATA.glob("*.pcap*")):
            run("packets", str(path), "-w", str(out))
            assert run("packets", str(out)).stdout == run("packets", str(path)).stdout, path.name

    def test_comments_of_packets_and_several_sections_are_kept(self, tmp_path: Path) -> None:
        out = tmp_path / "copy.pcapng"
        for name in ("sections.pcapng", "blocks.pcapng", "custom-blocks.pcapng", "merged.pcapng"):
            path = DATA / name
            run("packets", str(path), "-w", str(out))
            for number in range(1, 6):
                before, after = (_frame(each, number) for each in (path, out))
                assert before == after, (name, number)

    def test_merged_files_keep_their_interfaces_apart(self, tmp_path: Path) -> None:
        out = tmp_path / "both.pcapng"
        run("packets", TWO, DNS, "-w", str(out))
        report = json.loads(run("info", str(out), "--json").stdout)
        assert [interface["packets"] for interface in report["interfaces"]] == [16, 12, 24]
        assert [link["name"] for link in report["link_types"]] == ["EN10MB", "RAW"]

    def test_count_and_standard_output(self) -> None:
        copied = program("packets", DNS, "-c", "5", "-w", "-").stdout
        rows = program("packets", "-", input=copied).stdout
        assert rows == program("packets", DNS, "-c", "5").stdout

    def test_damage_leaves_a_whole_copy_of_what_came_before(self, cut: Path, tmp_path: Path) -> None:
        out = tmp_path / "copy.pcapng"
        result = run("packets", str(cut), "-w", str(out))
        assert result.exit_code == 1
        assert "frame 24" in one_line(result.stderr)
        assert len(run("packets", str(out)).stdout.splitlines()) == 24

    def test_rows_and_copies_are_not_asked_for_together(self, tmp_path: Path) -> None:
        assert run("packets", DNS, "-w", str(tmp_path / "x"), "--json").exit_code == 2


def _tshark(*arguments: str) -> str:
    words = list(arguments)
    if "-T" not in words:
        words += ["-T", "fields"]
    return subprocess.run(["tshark", "-n", *words], capture_output=True, text=True, check=True).stdout


def _frame(path: Path, number: int) -> Any:
    found = json_lines(run("show", str(path), "-n", str(number), "--json").stdout)
    return [{key: row[key] for key in ("time_ns", "len", "link_type", "comments", "data")} for row in found]


class TestInfo:
    def test_it_tells_what_a_capture_holds(self) -> None:
        text = run("info", TWO).stdout
        for words in ("pcapng", "interface 0  l0, EN10MB, snaplen 200", "RAW (Raw IP): 12 packets", "28"):
            assert words in text

    @capinfos
    @pytest.mark.parametrize("name", ["two-interfaces.pcapng", "web-session.pcap", "nanoseconds.pcap"])
    def test_its_numbers_are_those_of_capinfos(self, name: str) -> None:
        report = json.loads(run("info", str(DATA / name), "--json").stdout)
        command = ["capinfos", "-T", "-m", "-r", "-c", "-d", "-u", "-a", "-e", "-S", str(DATA / name)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(",")
        _, packets, size, duration, first, last = (word.strip('"\n') for word in told[:6])
        assert (report["packets"], report["wire_bytes"]) == (int(packets), int(size))
        seconds = (report["duration_ns"] / 1e9, report["first_ns"] / 1e9, report["last_ns"] / 1e9)
        assert seconds == pytest.approx((float(duration), float(first), float(last)), abs=1e-6)

    def test_files_are_told_one_by_one_and_errors_end_none_of_the_others(self, tmp_path: Path) -> None:
        none = tmp_path / "none.pcap"
        result = run("info", "--json", str(none), DNS, WEB)
        assert result.exit_code == 1
        assert f"{none}: No such file" in one_line(result.stderr)
        assert [row["path"] for row in json_lines(result.stdout)] == [DNS, WEB]

    def test_compression_is_told(self) -> None:
        report = json.loads(run("info", DNS + ".zst", "--json").stdout)
        assert report["compression"] == ["zstd"]
        assert report["packets"] == 24

    def test_damage_is_told_with_its_place(self, cut: Path) -> None:
        result = run("info", str(cut), "--json")
        report = json.loads(result.stdout)
        assert result.exit_code == 1
        assert "frame 24" in one_line(result.stderr)
        assert (report["packets"], report["complete"], report["damage_count"]) == (23, False, 1)
        (place,) = report["damage"]
        assert place["frame"] == 24
        assert 0 < place["offset"] < cut.stat().st_size

    def test_lenient_goes_on_and_tells_every_place(self, tmp_path: Path) -> None:
        path = tmp_path / "damaged.pcapng"
        out = tmp_path / "copy.pcapng"
        run("packets", DNS, "-w", str(out))
        data = bytearray(out.read_bytes())
        at = data.index(b"\x06\x00\x00\x00", 100)
        data[at + 4 : at + 8] = b"\xff\xff\xff\x00"
        path.write_bytes(data)
        assert run("info", str(path)).exit_code == 1
        result = run("info", str(path), "--lenient", "--json")
        report = json.loads(result.stdout)
        assert (result.exit_code, report["complete"], report["damage_count"]) == (0, True, 1)
        assert report["packets"] >= 22

    def test_the_filter_counts_what_it_keeps(self) -> None:
        report = json.loads(run("info", WEB, "--json", "--filter", "udp").stdout)
        assert 0 < report["packets"] < report["file_packets"]


class TestShow:
    def test_every_field_and_what_is_wrong(self) -> None:
        text = run("show", DNS, "-n", "3").stdout
        for words in ("Frame 3, ", "Ethernet (14 bytes at 0)", "ttl", "UDP"):
            assert words in text

    def test_json_is_one_object_with_the_tree(self) -> None:
        (packet,) = json_lines(run("show", DNS, "-n", "3", "--json").stdout)
        headers = [header["header"] for header in packet["headers"]]
        assert headers[0] == "Ethernet"
        assert "UDP" in headers
        assert bytes.fromhex(packet["data"])[12:14] in (b"\x08\x00", b"\x86\xdd", b"\x08\x06")
        assert (packet["frame"], packet["verdict"]) == (3, "ok")

    def test_a_frame_that_is_not_there(self) -> None:
        result = run("show", DNS, "-n", "25")
        assert result.exit_code == 1
        assert f"{DNS}: there is no frame 25" in one_line(result.stderr)
        assert run("show", DNS).exit_code == 2


class TestDemoAndBench:
    def test_the_demo_shows_everything_within_three_seconds(self) -> None:
        begin = time.monotonic()
        done = program("demo")
        assert time.monotonic() - begin < 3
        assert done.returncode == 0
        for words in (
            "web.pcapng",
            "flows with most bytes",
            "Ethernet, then IPv6",
            "packets a second",
            "no difference",
        ):
            assert words in done.stdout.decode()

    def test_the_demo_in_json(self) -> None:
        shown = {line["show"] for line in json_lines(run("demo", "--json").stdout)}
        assert shown == {"capture", "flow", "packet", "router", "trace", "rate"}

    def test_benchmark_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = dict.fromkeys(("bench", "metric", "unit", "peer", "peer_value", "ratio"), None)
        line |= {
            "bench": "timers",
            "metric": "arm",
            "value": 2e6,
            "unit": "ops/s",
            "min": 1e6,
            "max": 3e6,
            "n": 3,
        }
        line |= {"reason": "there is no peer"}

        def lines() -> Iterator[dict[str, Any]]:
            yield line

        monkeypatch.setattr("netfast.bench.timers.run", lines)
        assert json_lines(run("bench", "timers", "--json").stdout) == [line]
        assert "there is no peer" in run("bench", "timers").stdout
        assert run("bench", "elbow").exit_code == 2

    def test_every_benchmark_can_be_imported(self) -> None:
        from importlib import import_module

        from netfast.bench import BENCHES
        from netfast.bench import run as run_bench

        captures, nodes = {"packets", "flows"}, {"forward", "nat", "rules", "newflows", "scan"}
        sizes = {"collation", "segmentation", "reassembly", "idwrap"}
        live = {"neighbours", "ports", "transmit", "tun"}
        assert set(BENCHES) == captures | nodes | sizes | live | {"dissect", "build", "timers"}
        assert all(callable(import_module(module).run) for module in BENCHES.values())
        with pytest.raises(netfast.ConfigError, match="no benchmark 'elbow'"):
            next(run_bench("elbow"))


class TestStatus:
    def test_help_and_version(self) -> None:
        assert run("--version").stdout == f"netfast, version {netfast.__version__}\n"
        for command in ("info", "packets", "flows", "show", "run", "trace", "check", "bench", "demo"):
            assert "Usage: " in run(command, "--help").stdout
        assert "Examples:" in run("flows", "--help").stdout

    def test_help_imports_neither_rich_nor_the_rest(self) -> None:
        script = (
            "import sys, netfast; assert not {'click', 'rich', 'polars', 'pyarrow'} & set(sys.modules); "
            "import netfast.cli; assert not {'rich', 'polars', 'pyarrow', 'asyncio'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30)

    def test_wrong_usage_is_status_2(self) -> None:
        assert run("packets").exit_code == 2
        assert run("packets", WEB, "--colour").exit_code == 2
        assert run("flows", WEB, "--reverse").exit_code == 2

    def test_a_filter_that_does_not_compile_is_wrong_usage(self) -> None:
        result = run("packets", WEB, "--filter", "prot 80")
        assert result.exit_code == 2
        assert "filter" in one_line(result.stderr)

    def test_a_bad_file_is_one_line_and_status_1(self, tmp_path: Path) -> None:
        text = tmp_path / "notes.pcap"
        text.write_text("this is no capture\n")
        for path, words in (
            (text, "not a capture"),
            (tmp_path / "none", "No such file"),
            (tmp_path, "directory"),
        ):
            for command in ("packets", "flows", "info"):
                result = run(command, str(path))
                assert result.exit_code == 1
                assert words in one_line(result.stderr)
                assert str(path) in result.stderr

    @pytest.mark.parametrize("command", ["packets", "flows"])
    def test_good_rows_are_out_before_the_error(self, command: str, cut: Path) -> None:
        done = program(command, str(cut))
        assert done.returncode == 1
        assert f"netfast: {cut}: frame 24: " in one_line(done.stderr)
        whole = program(command, DNS).stdout.splitlines()
        assert len(done.stdout.splitlines()) >= len(whole) - 1
        assert program(command, str(cut), "--lenient").returncode == 0

    def test_sorted_flows_before_the_damage_are_out_too(self, cut: Path) -> None:
        done = program("flows", str(cut), "--top", "3", "--json")
        assert done.returncode == 1
        assert len(done.stdout.splitlines()) == 3

    def test_whatever_is_damaged_ends_with_a_line_or_well(self) -> None:
        damaged = sorted((DATA / "damaged").glob("*.pcap*"))
        if not damaged:
            pytest.skip("tests/data/damaged is missing")
        for path in damaged:
            for command in ("packets", "flows", "info"):
                for options in ((), ("--lenient",)):
                    result = run(command, str(path), *options)
                    assert result.exit_code in (0, 1), (path.name, command)
                    if result.exit_code == 1:
                        one_line(result.stderr)
                    elif options and command != "info" and result.stderr:
                        assert "damaged" in one_line(result.stderr)
                    else:
                        assert result.stderr == ""

    @full_disk
    @pytest.mark.parametrize(
        "arguments",
        [
            ("packets", WEB),
            ("flows", WEB, "--json"),
            ("flows", WEB, "--top", "2"),
            ("packets", WEB, "-w", "-"),
            ("info", WEB),
        ],
    )
    def test_a_full_disk_is_one_line_and_status_1(self, arguments: tuple[str, ...]) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=30)
        assert done.returncode == 1
        assert "No space left on device" in one_line(done.stderr)

    def test_head_has_had_enough(self, long: Path) -> None:
        for options in ((), ("--json",), ("-w", "-")):
            process = start("packets", str(long), *options)
            assert process.stdout is not None
            process.stdout.read(100)
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(timeout=30) == 141
            process.stderr.close()


class TestPipes:
    @pytest.mark.parametrize("path", [DNS, DNS + ".gz", DNS + ".zst"])
    def test_standard_input(self, path: str) -> None:
        expected = program("packets", DNS).stdout
        assert program("packets", "-", input=Path(path).read_bytes()).stdout == expected
        with open(path, "rb") as file:
            assert program("packets", "-", stdin=file).stdout == expected

    def test_flows_come_out_of_a_pipe_as_they_end(self) -> None:
        """The pipe stays open; only time in the packets passes."""
        data = Path(WEB).read_bytes()
        process = start("flows", "-", "--json", "--idle", "0.01", stdin=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data)
        process.stdin.flush()
        assert list(json.loads(process.stdout.readline())) == list(FLOW_COLUMNS)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert rest

    def test_packets_come_out_of_a_fifo_as_they_come(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        process = start("packets", str(fifo))
        data = Path(DNS).read_bytes()
        with fifo.open("wb", buffering=0) as file:
            file.write(data[:400])
            assert process.stdout is not None
            assert process.stdout.readline().decode().split() == PACKET_COLUMNS
            assert process.stdout.readline().startswith(b"1\t")
            file.write(data[400:])
        assert len(process.stdout.read().splitlines()) == 23
        process.communicate(timeout=30)
        assert process.returncode == 0

    def test_a_pipe_that_ends_in_a_packet(self) -> None:
        done = program("packets", "-", input=Path(DNS).read_bytes()[:-5])
        assert done.returncode == 1
        assert "netfast: -: frame 24: " in one_line(done.stderr)
        assert len(done.stdout.splitlines()) == 24

    def test_damaged_gzip_gives_what_came_before(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.pcap.gz"
        path.write_bytes(gzip.compress(Path(WEB).read_bytes())[:-2000])
        done = program("packets", str(path))
        assert done.returncode == 1
        assert "frame" in one_line(done.stderr)
        assert len(done.stdout.splitlines()) > 10


class TestInterrupts:
    @pytest.mark.parametrize(
        "arguments",
        [("packets",), ("packets", "--json"), ("flows", "--idle", "0.01"), ("packets", "-o", "OUT.csv")],
    )
    def test_ctrl_c_leaves_complete_lines(
        self, arguments: tuple[str, ...], long: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "rows.csv"
        command, *options = (str(out) if word == "OUT.csv" else word for word in arguments)
        # Many times the same file is more than can be done before the signal comes.
        with (tmp_path / "stdout").open("wb") as stdout:
            process = subprocess.Popen(
                [PROGRAM, command, *[str(long)] * 8, *options], stdout=stdout, stderr=subprocess.PIPE
            )
            written = out if "-o" in options else tmp_path / "stdout"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not (written.exists() and written.stat().st_size > 5000):
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert errors == b""
        text = written.read_text()
        assert text.endswith("\n")
        if "--json" in options:
            json_lines(text)
        else:
            rows = list(csv.reader(io.StringIO(text), delimiter="," if "-o" in options else "\t"))
            assert len({len(row) for row in rows}) == 1

    @pytest.mark.parametrize(
        "arguments", [("packets", "-"), ("flows", "-"), ("info", "-"), ("packets", "-", "-w", "-")]
    )
    def test_ctrl_c_is_heard_while_a_pipe_is_silent(self, arguments: tuple[str, ...]) -> None:
        process = start(*arguments, stdin=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(Path(DNS).read_bytes())
        process.stdin.flush()
        if arguments[0] == "packets":
            process.stdout.read(10)
        else:
            # Nothing tells that it waits but that it has taken what there was.
            while any(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))):
                time.sleep(0.01)
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        _, errors = process.communicate(timeout=10)
        assert errors == b""


class TestWords:
    @pytest.mark.parametrize(
        ("flags", "letters"),
        [(2, "S"), (0x12, "SA"), (0x18, "PA"), (0, "."), (0xFFF, "FSRPAUECN+0xe00"), (None, "")],
    )
    def test_tcp_flags(self, flags: int | None, letters: str) -> None:
        assert _words.flag_letters(flags) == letters

    def test_endpoints(self) -> None:
        assert _words.endpoint("192.0.2.1", 80) == "192.0.2.1:80"
        assert _words.endpoint("2001:db8::1", 80) == "[2001:db8::1]:80"
        assert _words.endpoint("2001:db8::1", None) == "2001:db8::1"
        assert _words.endpoint(None, None) == ""

    def test_times(self) -> None:
        assert _words.iso(1_500_000_000_123_456_789) == "2017-07-14T02:40:00.123456789Z"
        assert _words.iso(2**64 - 1) == "2554-07-21T23:34:33.709551615Z"
        assert _words.duration(999) == "999 ns"
        assert _words.duration(1_500_000) == "1.500 ms"
        assert _words.duration(7_322 * 10**9) == "2:02:02 h"
        clock = _words.Clock()
        assert [clock(5 * 10**9), clock(6 * 10**9)] == ["0.000000", "1.000000"]

    def test_protocols_and_counts(self) -> None:
        assert [_words.protocol(number) for number in (6, 58, 253, None)] == ["tcp", "icmp6", "253", ""]
        assert _words.count(1, "packet") == "1 packet"
        assert _words.count(1234, "packet") == "1,234 packets"


def test_a_bar_is_shown_on_a_terminal_for_work_longer_than_a_second() -> None:
    import pty

    for seconds in (0.0, 1.5):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [PROGRAM, "packets", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(Path(DNS).read_bytes())
        process.stdin.flush()
        time.sleep(seconds)
        process.stdin.close()
        text = _drain(ours)
        assert process.wait(timeout=30) == 0
        assert ("24 packets" in text) == (seconds > 1)


def _drain(descriptor: int) -> str:
    """All that comes out of a pseudo-terminal."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


class TestTerminal:
    """With a pseudo-terminal as standard output rows are for people."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def terminal(self, *arguments: str, **options: Any) -> str:
        import pty

        ours, theirs = pty.openpty()
        process = subprocess.Popen([PROGRAM, *arguments], stdout=theirs, stderr=subprocess.PIPE, **options)
        os.close(theirs)
        text = _drain(ours)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, b"")
        return text

    def test_packets(self) -> None:
        text = self.terminal("packets", WEB, "-c", "20")
        assert "0.000000" in text
        assert "192.0.2.2:53" in text
        assert "[S]" in text
        first = json_lines(run("packets", WEB, "-c", "1", "--json").stdout)[0]["time_ns"]
        assert _words.iso(first) in self.terminal("packets", WEB, "-c", "1", "--times", "iso")

    def test_only_fragments_are_called_fragments(self) -> None:
        whole = self.terminal("packets", WEB, "--filter", "ip", "-c", "5")
        assert "fragment" not in whole
        text = self.terminal("packets", str(DATA / "fragments-ipv4.pcap"))
        rows = json_lines(run("packets", str(DATA / "fragments-ipv4.pcap"), "--json").stdout)
        fragments = [row for row in rows if row["more_fragments"] or row["fragment_offset"]]
        assert text.count("fragment 0x") == len(fragments) > 0

    def test_packets_without_ports_say_what_they_are(self) -> None:
        def lines(name: str) -> str:
            return self.terminal("packets", str(DATA / name))

        text = lines("arp-icmp.pcap")
        assert "who has 192.0.2.2, asks 192.0.2.1" in text
        assert "192.0.2.2 is at 02:00:00:00:01:02" in text
        assert "echo request, 56 bytes" in text
        assert "neighbor solicitation" in lines("icmpv6-nd.pcap")
        assert "destination unreachable, port unreachable" in lines("icmp-errors.pcap")
        text = lines("ethernet-other.pcap")
        assert "LLDP" in text
        assert "EAP over LAN (802.1X)" in text
        assert "spanning tree" in text
        assert "02:00:00:00:01:01 → 01:80:c2:00:00:0e" in text
        # What comes through a pipe, too.
        with open(DATA / "arp-icmp.pcap", "rb") as file:
            assert "echo reply" in self.terminal("packets", "-", stdin=file)

    def test_tables_have_times_when_they_are_asked_for(self) -> None:
        first = min(row["first_ns"] for row in json_lines(run("flows", WEB, "--json").stdout))
        table = self.terminal("flows", WEB, "--sort", "first_ns", "--times", "iso")
        assert _words.iso(first)[:10] in table
        assert "first" not in self.terminal("flows", WEB, "--sort", "first_ns")

    def test_the_addresses_of_ipv6_endpoints_stand_in_tables(self) -> None:
        # Their brackets would be markup.
        assert "[fe80::1]:53" in self.terminal("flows", str(link_local(self.folder)), "--top", "1")

    def test_flows(self) -> None:
        assert "→" in self.terminal("flows", WEB)
        table = self.terminal("flows", WEB, "--top", "3")
        assert "protocol" in table
        assert "─" in table


@pytest.mark.parametrize(
    "command", [["flows"], ["flows", "--threads", "2"], ["flows", "--top", "1"], ["info"]]
)
def test_flows_and_info_write_the_packets_beside_their_rows_in_one_pass(
    command: list[str], tmp_path: Path
) -> None:
    copy, target = tmp_path / "copy.pcapng", tmp_path / "beside.pcapng"
    expression = ["--filter", "udp port 53"]
    assert run("packets", WEB, *expression, "-w", str(copy)).exit_code == 0
    # cat makes it a pipe: it can be read only once.
    with subprocess.Popen(["cat", WEB], stdout=subprocess.PIPE) as cat:
        done = program(*command, "-", *expression, "--json", "-w", str(target), stdin=cat.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = json_lines(done.stdout.decode())
    assert rows
    assert target.read_bytes() == copy.read_bytes()
    for wrong in (["-w", "-"], ["-w", WEB]):
        assert run(*command, WEB, *wrong).exit_code == 2
    if command == ["info"]:
        assert rows[0]["copied"] == rows[0]["packets"]
        assert run("info", WEB, DNS, "-w", str(target)).exit_code == 2


def test_packets_that_a_filter_cannot_be_asked_about_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pcapng"
    capture = netfast.Ethernet() / netfast.IPv4(src="192.0.2.1", dst="192.0.2.2") / netfast.UDP(dst_port=9)
    usb = netfast.dissect(bytes(64), link=189)
    netfast.write(path, [capture, usb, usb])
    for command in (["packets"], ["flows"], ["info"], ["packets", "-w", str(tmp_path / "copy.pcapng")]):
        result = run(*command, str(path), "--filter", "udp port 9")
        assert result.exit_code == 0
        assert "2 of link type 189" in one_line(result.stderr)


def link_local(folder: Path) -> Path:
    path = folder / "local.pcapng"
    head = netfast.Ethernet() / netfast.IPv6(src="fe80::1", dst="fe80::2")
    netfast.write(path, [head / netfast.UDP(src_port=53, dst_port=9) / b"x"])
    return path


# An escape sequence, one of C1's, a character that turns the direction, and what would be markup.
_HOSTILE = "\x1b]0;owned\x07\x9b31m\u202e[red]\r\n"
_HARMLESS = "\\x1b]0;owned\\x07\\x9b31m\\u202e[red]\\r\\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A capture with that text wherever a pcapng file has text that is shown."""

    def option(code: int) -> bytes:
        value = _HOSTILE.encode()
        return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)

    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    path = tmp_path / "hostile.pcapng"
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + b"".join(map(option, (1, 2, 3, 4)))
    interface = struct.pack("<HHI", 1, 0, 0) + b"".join(map(option, (1, 2, 3, 12, 15)))
    packet = struct.pack("<IIIII", 0, 0, 0, 60, 60) + bytes(60) + option(1)
    path.write_bytes(block(0x0A0D0D0A, section) + block(1, interface) + block(6, packet))
    return path


@pytest.mark.parametrize("command", [["info"], ["show", "-n", "1"]])
def test_text_of_captures_cannot_control_the_terminal(command: list[str], hostile: Path) -> None:
    text = run(*command, str(hostile)).stdout
    assert _HARMLESS in text
    assert not set(text) & set("\x1b\x07\x9b\u202e\r")
    raw = json.loads(run(*command, str(hostile), "--json").stdout)
    assert _HOSTILE in (raw["comments"] if command[0] == "show" else raw["sections"][0]["comments"])


def test_names_of_files_cannot_control_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m.pcap"
    path.write_bytes(b"no capture")
    for command in ("info", "packets", "flows"):
        assert "\\x1b[31m" in one_line(run(command, str(path)).stderr)


def test_numbers_beyond_all_counts_are_wrong_usage() -> None:
    for words in (["show", DNS, "-n"], ["packets", DNS, "-w", os.devnull, "-c"]):
        result = run(*words, "9" * 23)
        assert result.exit_code == 2
        assert "is not in the range" in result.stderr


def test_an_encoding_that_lacks_characters_is_written_around(hostile: Path) -> None:
    for command in (["show", "-n", "1"], ["info"]):
        done = program(*command, str(hostile), env={**os.environ, "PYTHONIOENCODING": "latin-1"})
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\u201c" in done.stdout


DAMAGED = str(DATA / "damaged" / "record-4-gib.pcap")


@pytest.mark.parametrize(
    "command", [["packets"], ["flows"], ["flows", "--threads", "2"], ["show", "-n", "7"]]
)
def test_what_lenient_reading_skips_is_told(command: list[str], tmp_path: Path) -> None:
    result = run(*command, DAMAGED, "--lenient")
    assert result.exit_code == 0
    text = one_line(result.stderr)
    assert DAMAGED in text
    assert "skipped 91 damaged bytes" in text
    assert "frame 6" in text
    assert "byte 523" in text
    if command == ["packets"]:
        copied = run(*command, DAMAGED, DNS, "--lenient", "-w", str(tmp_path / "copy.pcapng"))
        assert "skipped 91 damaged bytes" in one_line(copied.stderr)
        assert run(*command, DNS, "--lenient").stderr == ""


def test_remedies_are_called_as_they_are_on_the_command_line() -> None:
    for command in ("info", "packets"):
        text = one_line(run(command, DAMAGED).stderr)
        assert "; --lenient skips what is damaged" in text


def test_standard_input_is_read_once() -> None:
    for command in (["packets"], ["flows"], ["info"], ["show", "-n", "1"]):
        result = run(*command, "-", "-")
        assert result.exit_code == 2
        assert "named twice" in result.stderr


def test_errors_of_the_system_are_said_in_its_words(tmp_path: Path) -> None:
    nosuch = str(tmp_path / "nosuch")
    missing = f"netfast: {nosuch}: No such file or directory\n"
    for command in (["info"], ["packets"], ["flows"], ["show", "-n", "1"]):
        assert run(*command, nosuch).stderr == missing
        assert run(*command, str(tmp_path)).stderr == f"netfast: {tmp_path}: Is a directory\n"
    for command in ("info", "packets", "flows"):
        assert f"{nosuch}/x: No such file or directory\n" in run(command, DNS, "-w", f"{nosuch}/x").stderr


class TestFormatOfCopies:
    def test_the_ending_says_it(self, tmp_path: Path) -> None:
        magics = {"x.pcap": "4d3cb2a1", "x.CAP": "4d3cb2a1", "x.pcapng": "0a0d0d0a", "x": "0a0d0d0a"}
        for command in (["packets"], ["flows"], ["info"]):
            for name, magic in magics.items():
                path = tmp_path / name
                assert run(*command, DNS, "-w", str(path)).exit_code == 0
                assert path.read_bytes()[:4].hex() == magic
                assert run("packets", str(path)).stdout == run("packets", DNS).stdout

    def test_a_copy_without_packets_is_a_capture(self, tmp_path: Path) -> None:
        path = tmp_path / "none.pcap"
        run("packets", str(DATA / "raw-ipv4.pcap"), "--filter", "port 1", "-w", str(path))
        (link,) = netfast.Capture(path).link_types
        assert link == netfast.Capture(DATA / "raw-ipv4.pcap").link_types[0]

    def test_what_pcap_does_not_have_is_told(self, tmp_path: Path) -> None:
        target = str(tmp_path / "x.pcap")
        second = run("packets", TWO, "-w", target)
        assert second.exit_code == 2
        assert "packet 5 has link type 101" in one_line(second.stderr)
        for command in ("packets", "flows", "info"):
            bared = run(command, str(DATA / "blocks.pcapng"), "-w", target)
            assert bared.exit_code == 0
            assert "19 of 54 packets lost comments or other options" in one_line(bared.stderr)

    def test_rows_and_packets_go_to_two_files(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        for command in ("packets", "flows"):
            result = run(command, DNS, "-w", str(path), "-o", str(tmp_path / "." / "x.csv"))
            assert result.exit_code == 2
            assert "cannot hold both rows and packets" in result.stderr
        assert not path.exists()

    @pytest.mark.parametrize("ending", ["gz", "zst"])
    def test_compressed_copies_are_refused(self, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"x.pcap.{ending}"
        for command in ("packets", "flows", "info"):
            result = run(command, DNS, "-w", str(path))
            assert result.exit_code == 2
            assert "not written compressed" in one_line(result.stderr)
        with pytest.raises(netfast.ConfigError, match="not written compressed"):
            netfast.write(path, b"")
        assert not path.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["packets", "-o", "x.csv", "--json"], "-o x.jsonl"),
        (["packets", "-o", "x.csv", "--times", "iso"], "--times"),
        (["packets", "--json", "--times", "iso"], "--times"),
        (["packets", "--text-addresses"], "--text-addresses"),
        (["packets", "-o", "x.csv", "--text-addresses"], "--text-addresses"),
        (["packets", "-w", "x", "--inner"], "--inner"),
        (["packets", "-w", "x", "--no-checksums"], "--no-checksums"),
        (["packets", "-o", "x.json"], ".jsonl"),
        (["flows", "-o", "x.csv", "--json"], "-o x.jsonl"),
        (["flows", "--first-packets", "3"], "--stats"),
        (["show"], "-n 3-7"),
        (["show", "-n", "7-3"], "7-3"),
        (["show", "-n", "0"], "not in the range"),
    ],
)
def test_options_that_would_do_nothing_are_wrong_usage(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words, DNS)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_demonstration_folds_no_addresses_in_a_pipe() -> None:
    rows = [json.loads(line) for line in program("demo", "--json").stdout.splitlines()]
    text = program("demo").stdout.decode()
    for flow in (row for row in rows if row["show"] == "flow"):
        assert _words.endpoint(flow["src"], flow["src_port"] if flow["protocol"] in (6, 17) else None) in text


def test_rows_are_written_with_tabs_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    run("packets", DNS, "-o", str(path))
    assert path.read_text() == run("packets", DNS).stdout


def test_show_has_several_frames_and_those_that_a_filter_keeps() -> None:
    def numbers(*words: str) -> list[int]:
        return [row["frame"] for row in json_lines(run("show", DNS, "--json", *words).stdout)]

    assert numbers("-n", "9", "-n", "3-5") == [3, 4, 5, 9]
    assert numbers("-n", "20-99") == [20, 21, 22, 23, 24]
    kept = [row["frame"] for row in json_lines(run("packets", DNS, "--json", "-f", "src port 53").stdout)]
    # Rows of packets count only what the filter keeps; frames count as the file does.
    found = numbers("-f", "src port 53")
    assert len(found) == len(kept) > 0
    assert numbers("-f", "src port 53", "-n", "1-10") == [number for number in found if number <= 10]
    assert run("show", DNS, "-n", "3-5").stdout.count("Frame ") == 3
    for words in (["-n", "99"], ["-n", "3", "-n", "99"], ["-f", "icmp"], ["-n", "90-99"]):
        result = run("show", DNS, *words)
        assert result.exit_code == 1
        assert "there is no" in one_line(result.stderr)


class TestBenchHarness:
    def test_its_folder_is_the_users_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "netfast-bench"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert harness.own_folder() == folder
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)
        other = harness.own_folder()
        assert other != folder
        assert other.stat().st_mode & 0o777 == 0o700
        other.rmdir()
        folder.rmdir()
        (tmp_path / "planted").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "planted")
        other = harness.own_folder()
        assert other != folder
        other.rmdir()

    def test_peers_and_netfast_have_as_many_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def measure(name: str) -> float:
            passes.append(name)
            return float(len(passes))

        def absent() -> float:
            raise harness.Missing("not here")

        passes: list[str] = []
        monkeypatch.setattr(harness, "ROUNDS", 3)
        peers = {"peer": lambda: measure("peer"), "absent": absent}
        lines = list(harness.beside("bench", {"metric": lambda: measure("netfast")}, peers))
        # What is over in no time is done five times, and the median counts.
        assert passes == (["netfast"] * 5 + ["peer"] * 5) * 3
        assert [(line["value"], line["n"], line["peer"], line["peer_value"]) for line in lines] == [
            (13.0, 3, "peer", 18.0),
            (13.0, 3, None, None),
        ]
        assert lines[1]["reason"] == "absent: not here"

    def test_what_is_measured_is_exported(self) -> None:
        class Batch:
            exports = 0

            def __len__(self) -> int:
                return 5

            def __arrow_c_array__(self) -> None:
                self.exports += 1

        batch = Batch()
        assert list(harness.export([batch, batch])) == [5, 5]
        assert batch.exports == 2


@pytest.mark.parametrize("name", ["collate", "defrag"])
def test_the_argument_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    for given, missing in (([WEB], "OUT"), ([], "FILE...")):
        result = CliRunner().invoke(main, [name, *given])
        assert result.exit_code == 2
        assert f"Missing argument '{missing}'" in result.stderr
    result = CliRunner().invoke(main, [name, WEB, str(tmp_path / "out.pcapng")])
    assert result.exit_code == 0, result.output


def test_collate_takes_several_captures_merged_by_time(tmp_path: Path) -> None:
    """Captures in turn: each interface's packets are merged with those of their own."""
    files = [str(tmp_path / name) for name in ("first.pcapng", "second.pcapng")]
    headers = netfast.Ethernet() / netfast.IPv4(src="192.0.2.1", dst="192.0.2.2", dont_fragment=1)
    segments = [
        (turn, headers / netfast.TCP(src_port=1, dst_port=2, seq=1000 * (turn // 2), flags="A") / bytes(1000))
        for turn in range(8)
    ]
    netfast.write(files[0], segments[::2])
    netfast.write(files[1], segments[1::2])
    target = str(tmp_path / "merged.pcapng")
    result = run("collate", *files, target, "--verify", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["frames"], told["written"], told["super_packets"], told["different"]) == (8, 2, 2, 0)
    assert [frame["time_ns"] for frame in netfast.files.frames(target)] == [0, 1]
    assert netfast.collate(files, target)["merged"] == 6
    refused = run("collate", *files, files[1])
    assert (refused.exit_code, "is read" in refused.stderr) == (2, True)
