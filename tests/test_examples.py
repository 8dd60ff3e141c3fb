"""The examples run, and say what they are there to show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netfast as nf

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MOST_LINES = 80


def run(name: str, *arguments: str | Path, status: int = 0) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_home_router_shares_its_address(tmp_path: Path) -> None:
    printed = run("home_router.py", tmp_path)
    assert "every packet is accounted for" in printed
    assert "no difference" in printed
    assert "192.0.2.1:42664 is 203.0.113.9:42664 for 192.0.2.2" in printed
    rows = {
        port: [row for batch in nf.packets(tmp_path / f"out/{port}.pcapng") for row in batch.rows()]
        for port in ("lan", "wan")
    }
    sources = {row["src"] for row in rows["wan"] if row["ip_version"] == 4}
    assert sources == {"203.0.113.9"}
    # Answers came back to the host, which is more than errors of the router alone.
    assert sum(row["dst"] == "192.0.2.1" for row in rows["lan"]) > 40
    assert all("bad" not in (row["l3_checksum"], row["l4_checksum"]) for row in rows["lan"] + rows["wan"])


def test_a_hook_chooses_the_way_out() -> None:
    lines = run("policy_hook.py").splitlines()
    assert lines[0] == "fibre: 3 packets of ['192.0.2.10']"
    # Three packets of the download, and of ten flows.
    assert lines[1] == "dsl: 33 packets of ['192.0.2.11', '192.0.2.12']"
    assert lines[2] == "dropped: {'hook': 120}"
    assert lines[-1] == "differences: []"


def test_a_rule_set_is_held_against_what_was_meant(tmp_path: Path) -> None:
    lines = run("verify_ruleset.py", status=1).splitlines()
    assert "edge.nft:23:3: no packet gets here" in lines[0]
    assert [line.split(" | ")[0] for line in lines[1:-1]] == ["as meant"] * 5 + ["SURPRISE"]
    assert "'ip saddr @blocked counter drop' matches: drop" in lines[4]
    assert lines[-1] == "surprises: 1; differences between cache and tables: 0"
    wrong = tmp_path / "wrong.nft"
    wrong.write_text("table inet filter {\n\tchain forward {\n\t\ttcp dport 99999 drop\n\t}\n}\n")
    assert "wrong.nft:3:13:" in run("verify_ruleset.py", wrong, status=2)


def test_patience_makes_longer_super_packets() -> None:
    lines = run("super_packets.py").splitlines()
    assert [line.split(":")[0].strip() for line in lines[:5:2]] == ["2 µs", "20 µs", "200 µs"]
    left = [int(line.split()[4]) for line in lines[:5:2]]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1980 / 20
    assert "packets of up to 1514" in lines[-2]
    assert lines[-1] == "cut again, every byte is back: True"


def test_overlaps_are_seen_as_each_kind_of_host_sees_them() -> None:
    lines = run("overlaps.py").splitlines()
    assert lines[0] == "192.0.2.1 > 192.0.2.2, identification 1:"
    assert lines[1] == "  drop, linux: nothing"
    assert {line.split(":")[0].strip() for line in lines[2:-1]} == {"bsd, windows", "first", "last"}
    assert lines[-1] == "1 of 2 datagrams are not the same to all"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short_and_say_how_to_run_them(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert f"python examples/{path.name}" in text


def test_a_live_router_forwards_and_drops() -> None:
    lines = run("live_router.py").splitlines()
    assert "203.0.113.1:4000 > 198.51.100.1:53" in lines[0]
    lost = int(lines[1].rpartition(": ")[2].rstrip("}"))
    forwarded, dropped = int(lines[0].split()[0]), int(lines[2].rpartition(": ")[2].rstrip("}"))
    assert 0 < lost < 50
    assert forwarded + dropped + lost == 1000
