"""The captures in tests/data: each is described, small, and readable by someone else's program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
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


@pytest.mark.parametrize("path", [pytest.param(path, marks=needs_tshark, id=path.name) for path in CAPTURES])
def test_capinfos_agrees_with_the_description(path: Path) -> None:
    if shutil.which("capinfos") is None:
        pytest.skip("capinfos is not installed")
    done = subprocess.run(["capinfos", "-E", "-c", "-M", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kind, packets = described()[path.name]
    assert re.search(rf"File encapsulation: +{re.escape(kind)}$", done.stdout, re.M)
    assert re.search(rf"Number of packets: +{packets}$", done.stdout, re.M)


def version() -> str:
    return subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=True).stdout
