"""A netfast node against the host kernel: random rules and packets, compared frame by frame.

NETFAST_KERNEL_CASES is the number of cases, each with some 45 packets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import netfast
from kernel import frames, known
from kernel.captured import captures, sends
from kernel.case import LOCAL, Case, Connection, Output
from kernel.linux import Linux, linux
from kernel.run import Report, case, compare, read, write

DATA = Path(__file__).parent / "data"
CASES = int(os.environ.get("NETFAST_KERNEL_CASES", "400"))
# Each test of a part of the cases takes some seconds, of CI's 2,000 half a minute.
PARTS = 8
# What is known to differ and seldom met: atomic fragments, short quotes, errors about forged and link-local sources …
RARE_CHANGING = (1806, 2327)
RARE = (452, 668, 718, 1750, 2242, 2721, 4075, 4115, 5019, 5778)


def why_not() -> str | None:
    """Why the comparison cannot be made here."""
    missing = [program for program in ("ip", "nft", "ethtool") if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} of iproute2, nftables and ethtool: not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"nfk-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"no network namespaces here: {done.stderr.strip()}"
    try:
        tried = [
            "ip",
            "netns",
            "exec",
            name,
            "nft",
            "add table inet t; add chain inet t c; add rule inet t c ct state new",
        ]
        done = subprocess.run(tried, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
    return None if done.returncode == 0 else f"nft cannot load rules here: {done.stderr.strip()}"


MISSING = why_not()
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


@pytest.fixture(scope="module")
def peer() -> Iterator[Linux]:
    with linux("a") as router:
        yield router


@pytest.fixture(scope="module")
def twin() -> Iterator[Linux]:
    with linux("b") as router:
        yield router


def agreed(report: Report, folder: Path) -> None:
    """Fails with what differs, and writes the case down."""
    if report.differences:
        path = folder / f"case-{report.case.seed}.json"
        write(report, path)
        told = "\n".join(map(str, report.differences[:5]))
        pytest.fail(f"{told}\nthe case, whole: {path}\n{report.case.rules}", pytrace=False)


def test_linux_agrees_with_itself(peer: Linux, twin: Linux, tmp_path: Path) -> None:
    """What chance decides is no difference, and nothing leaks from one case into the next."""
    for seed in range(40):
        agreed(compare(case(seed), peer, twin, ()), tmp_path)


class Faulty:
    """Linux with a fault."""

    name = "faulty"

    def __init__(self, router: Linux, fault: Callable[[Output], Output | None]) -> None:
        self.router, self.fault = router, fault

    def configure(self, case: Case) -> None:
        self.router.configure(case)

    def send(self, port: str, sent: list[bytes], now: int) -> list[Output]:
        outputs = [self.fault(output) for output in self.router.send(port, sent, now)]
        return [output for output in outputs if output is not None]

    def counters(self) -> dict[str, tuple[int, int]]:
        return self.router.counters()

    def connections(self) -> list[Connection]:
        return self.router.connections()


def changed(output: Output, at: int, by: int) -> Output:
    """A frame with an octet changed; packets for the router itself as they are."""
    data = output.data
    if output.port == LOCAL or len(data) <= at:
        return output
    return Output(output.port, data[:at] + bytes([data[at] ^ by]) + data[at + 1 :])


def without_errors(output: Output) -> Output | None:
    parsed = frames.parse(output.data[14:])
    return None if output.port != LOCAL and parsed is not None and parsed.error is not None else output


FAULTS: dict[str, Callable[[Output], Output | None]] = {
    "link address": lambda output: changed(output, 0, 1),
    "hop limit": lambda output: changed(output, 22 if output.data[12] == 8 else 21, 1),
    "header checksum": lambda output: changed(output, 24, 1) if output.data[12:13] == b"\x08" else output,
    "payload": lambda output: changed(output, len(output.data) - 1, 1),
    "port": lambda output: Output("lan", output.data) if output.port == "wan" else output,
    "nothing for itself": lambda output: None if output.port == LOCAL else output,
    "no errors": without_errors,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, peer: Linux, twin: Linux) -> None:
    found = (compare(case(seed), peer, Faulty(twin, FAULTS[fault]), ()) for seed in range(30))
    assert any(report.differences for report in found)


@pytest.mark.parametrize("what", ["state", "timeout", "reply_destination", "counter"])
def test_a_wrong_table_is_found(what: str, peer: Linux, twin: Linux, monkeypatch: pytest.MonkeyPatch) -> None:
    def connections() -> list[Connection]:
        wrong = {"state": "X", "timeout": 9999, "reply_destination": bytes(4)}
        return [each._replace(**{what: wrong[what]}) for each in real()]

    if what == "counter":
        counted = twin.counters
        monkeypatch.setattr(
            twin, "counters", lambda: {k: (n + 1, size) for k, (n, size) in counted().items()}
        )
    else:
        real = twin.connections
        monkeypatch.setattr(twin, "connections", connections)
    report = compare(case(1), peer, twin, ())
    assert {difference.where for difference in report.differences} == {
        "counter" if what == "counter" else "connection"
    }


def test_a_case_is_written_and_read(peer: Linux, twin: Linux, tmp_path: Path) -> None:
    report = compare(case(3), peer, twin, ())
    write(report, tmp_path / "case.json")
    again, steps = read(tmp_path / "case.json")
    assert again == report.case
    assert steps == [(step.port, step.frames) for step in report.steps]


@pytest.mark.skipif(not hasattr(netfast, "Stack"), reason="this netfast has no Stack")
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_netfast_agrees_with_linux(part: int, peer: Linux, tmp_path: Path) -> None:
    from kernel.stack import Node

    node, packets = Node(), 0
    for seed in (*range(part, CASES, PARTS), *RARE[part::PARTS]):
        report = compare(case(seed), peer, node)
        agreed(report, tmp_path)
        assert not node.faults(), f"seed {seed}"
        packets += report.packets
    print(f"{packets} packets")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_netfast_agrees_with_linux_about_sets_and_options(part: int, peer: Linux, tmp_path: Path) -> None:
    from kernel.stack import Node

    node = Node()
    for seed in (*range(part, CASES // 2, PARTS), *RARE_CHANGING[part::PARTS]):
        agreed(compare(case(seed, changing=True), peer, node), tmp_path)
        assert not node.faults(), f"seed {seed}"


def test_netfast_agrees_with_linux_about_what_others_sent(peer: Linux, tmp_path: Path) -> None:
    """Captures under the rules of cases; NETFAST_KERNEL_CAPTURES is a folder with more of them."""
    from kernel.stack import Node

    node, packets = Node(), 0
    more = os.environ.get("NETFAST_KERNEL_CAPTURES")
    for folder in (DATA, *((Path(more),) if more else ())):
        for seed, path in enumerate(captures(folder)):
            report = compare(case(seed), peer, node, sends=sends(path))
            agreed(report, tmp_path)
            assert not node.faults(), path.name
            packets += report.packets
    assert packets > 1_000


@pytest.mark.skipif(not hasattr(netfast, "Stack"), reason="this netfast has no Stack")
@pytest.mark.skipif(CASES < 400, reason="too few cases to meet every known difference")
def test_every_known_difference_is_met() -> None:
    assert not known.unused()
