"""The captures in tests/data: each is described, small, and readable by someone else's program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
DAMAGED = DATA / "damaged"
BUNDLED = Path(__file__).parent.parent / "python" / "netfast" / "data"
SUFFIXES = (".pcap", ".pcapng", ".gz", ".zst")

CAPTURES = sorted(path for path in DATA.iterdir() if path.suffix in SUFFIXES)
DEMOS = sorted(path for path in BUNDLED.iterdir() if path.suffix in SUFFIXES)

# tshark 4.0 shows custom blocks as frames.
FRAMES_THAT_ARE_NONE = {"custom-blocks.pcapng": 2}

needs_tshark = [
    pytest.mark.tshark,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]


def described() -> dict[str, tuple[str, int]]:
    """Link type and number of packets of each capture, as README.md says."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (\d+) \|", (DATA / "README.md").read_text(), re.M)
    return {file: (kind, int(packets)) for file, kind, packets in rows}


def test_every_capture_has_a_line_and_every_line_a_capture() -> None:
    assert sorted(described()) == [path.name for path in CAPTURES]


def test_every_capture_is_small() -> None:
    assert [path.name for path in CAPTURES if not 0 < path.stat().st_size < 100_000] == []
    assert sum(path.stat().st_size for path in CAPTURES) < 2_500_000


def test_bundled_captures_are_small() -> None:
    assert len(DEMOS) >= 2
    assert sum(path.stat().st_size for path in DEMOS) < 250_000


@pytest.mark.parametrize("path", CAPTURES + DEMOS, ids=lambda path: path.name)
def test_no_capture_tells_of_its_machine(path: Path) -> None:
    # pcapng writers like to add the processor and the operating system.
    data = path.read_bytes()
    for word in b"Intel(R)", b"AMD ", b"Linux ":
        assert word not in data


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=needs_tshark, id=path.name) for path in CAPTURES + DEMOS]
)
def test_tshark_reads_every_packet(path: Path) -> None:
    if path.suffix == ".zst" and "with Zstandard" not in version():
        pytest.skip("this tshark reads no zstd")
    read = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.number"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    numbers = [int(line) for line in read.stdout.split()]
    assert numbers == list(range(1, len(numbers) + 1))
    if path.parent == DATA:
        assert len(numbers) == described()[path.name][1] + FRAMES_THAT_ARE_NONE.get(path.name, 0)


@pytest.mark.tshark
@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_capinfos_agrees_with_the_descriptions() -> None:
    done = subprocess.run(
        ["capinfos", "-E", "-c", "-M", *CAPTURES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = {}
    for part in done.stdout.split("File name:")[1:]:
        name = Path(part.splitlines()[0].strip()).name
        kind = re.search(r"File encapsulation: +(.*)", part)
        packets = re.search(r"Number of packets: +(\d+)", part)
        assert kind is not None, part
        assert packets is not None, part
        seen[name] = (kind[1], int(packets[1]))
    assert seen == described()


MANIFEST = json.loads((DAMAGED / "manifest.json").read_text())

# Where tshark makes something else of a broken file, and why.
TSHARK_DIFFERS = {
    "empty.pcap": "takes an empty file for a capture without packets",
    "one-byte.pcap": "guesses at the format of what is no capture, and shows the file as one packet",
    "section-cut.pcapng": "guesses at the format of what is no capture, and shows the file as one packet",
    "link-type-unknown.pcap": "refuses link types that it does not know",
    "block-length-odd.pcapng": "rounds block lengths up to multiples of four",
}


def test_damaged_captures_are_what_their_manifest_says() -> None:
    files = sorted(path.name for path in DAMAGED.iterdir() if path.name != "manifest.json")
    assert sorted(MANIFEST) == files
    assert sum(path.stat().st_size for path in DAMAGED.iterdir()) < 500_000
    for name, case in MANIFEST.items():
        assert case["outcome"] in ("error", "odd")
        assert (case["offset"] is None) == (case["outcome"] == "odd")
        if case["offset"] is not None and not name.endswith(".gz"):
            assert 0 <= case["offset"] <= (DAMAGED / name).stat().st_size


def test_damaged_captures_are_made_from_the_good_ones(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make" / "damaged.py", tmp_path], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".gz"}
    kept = {path.name: path.read_bytes() for path in DAMAGED.iterdir() if path.suffix != ".gz"}
    assert made == kept


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_tshark, id=name) for name in sorted(MANIFEST)]
)
def test_tshark_sees_the_same_damage(name: str) -> None:
    if name in TSHARK_DIFFERS:
        pytest.skip(f"tshark {TSHARK_DIFFERS[name]}")
    read = subprocess.run(
        ["tshark", "-n", "-r", DAMAGED / name, "-T", "fields", "-e", "frame.number"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(read.stdout.split()) == MANIFEST[name]["packets"]
    assert (read.returncode != 0) == (MANIFEST[name]["outcome"] == "error")


def version() -> str:
    return subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=True).stdout
