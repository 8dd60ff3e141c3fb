"""netfast against tshark: every column of every bundled capture and of many made and damaged packets."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import netfast
from differential.known import KNOWN, Difference, payload_length, reason
from differential.model import COLUMNS, ENCAPSULATIONS, OneOf, Row, agrees, depth, expected
from differential.packets import Packet, packets, write_pcapng
from differential.tshark import Dissected, Tshark

DATA = Path(__file__).parent / "data"
BUNDLED = Path(__file__).parent.parent / "python" / "netfast" / "data"
# tshark shows custom blocks as frames; the rest of that file is like the others.
WITHOUT = {"custom-blocks.pcapng"}
# mergecap 4.0 mixes up the interfaces of several sections, and rounds times in units of 2^-20 s twice.
ALONE = {"sections.pcapng", "blocks.pcapng"}
CAPTURES = sorted(
    (
        path
        for folder in (DATA, BUNDLED)
        for path in folder.iterdir()
        if path.suffix in (".pcap", ".pcapng", ".gz", ".zst") and path.name not in WITHOUT
    ),
    key=lambda path: (path.name in ALONE, path),
)
# Enough for every kind of header behind every other, for every accident, and for every reason in known.py.
SEEDS, PACKETS = (3, 4, 6, 7, 8, 9), 20_000


def why_not() -> str | None:
    """Why the comparison cannot be made here."""
    if shutil.which("tshark") is None or shutil.which("mergecap") is None:
        return "tshark is not installed"
    done = subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=False)
    if not re.search(r"^TShark \(Wireshark\) 4\.0\.", done.stdout, re.M):
        return "what is known of tshark's ways is known of 4.0, Debian 12's"
    return None


MISSING = why_not()
pytestmark = [pytest.mark.tshark, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


@pytest.fixture(scope="module")
def tshark(tmp_path_factory: pytest.TempPathFactory) -> Tshark:
    return Tshark(tmp_path_factory.mktemp("wireshark"))


@pytest.fixture(scope="module")
def captured(tshark: Tshark, tmp_path_factory: pytest.TempPathFactory) -> list[Dissected]:
    """All bundled captures, one behind the other, as tshark reads them: it takes long to start."""
    merged = tmp_path_factory.mktemp("merged") / "all.pcapng"
    alone = [path for path in CAPTURES if path.name in ALONE]
    together = [path for path in CAPTURES if path.name not in ALONE]
    subprocess.run(["mergecap", "-a", "-F", "pcapng", "-w", merged, *together], check=True)
    return [frame for path in (merged, *alone) for frame in tshark.read(path)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Packet]]:
    path = tmp_path_factory.mktemp("made") / "made.pcapng"
    frames = [frame for seed in SEEDS for frame in packets(seed, PACKETS)]
    write_pcapng(path, frames)
    return path, frames


def rows(path: Path, *, inner: bool = False) -> list[Row]:
    return pa.table(netfast.packets(path, inner=inner)).to_pylist()


def differences(
    ours: Iterable[Row], theirs: list[Dissected], inner: bool, data: list[bytes] | None = None
) -> Iterator[Difference]:
    before = 0
    for row, frame, octets in zip(ours, theirs, data or [b""] * len(theirs), strict=True):
        wanted = expected(frame, -1 if inner else 0)
        # What has no time has that of the packet before it.
        before = wanted["time_ns"] = before if wanted["time_ns"] is None else wanted["time_ns"]
        for column in COLUMNS:
            # Captures are read one behind the other.
            if (data or column != "frame") and not agrees(row[column], wanted[column]):
                yield Difference(column, row[column], wanted[column], row, frame, octets)


def unexplained(found: Iterable[Difference], names: dict[int, str]) -> str:
    """Those differences that nobody knows, a line each."""
    lines = []
    for index, difference in enumerate(each for each in found if reason(each) is None):
        if index == 40:
            lines.append("and more")
            break
        layers = ":".join(difference.frame.layers)
        lines.append(
            f"{names[id(difference.frame)]}: {difference.column} is {difference.ours!r}, by tshark "
            f"{difference.theirs!r} ({difference.row['verdict']}; {layers}) {difference.data.hex()}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("inner", [False, True], ids=["outermost", "innermost"])
def test_bundled_captures(captured: list[Dissected], inner: bool) -> None:
    ours, names = [], []
    for path in CAPTURES:
        found = rows(path, inner=inner)
        ours += found
        names += [f"{path.name} frame {row['frame']}" for row in found]
    assert len(ours) == len(captured) > 3_000
    by_frame = dict(zip(map(id, captured), names, strict=True))
    assert unexplained(differences(ours, captured, inner), by_frame) == ""


@pytest.fixture(scope="module")
def read(made: tuple[Path, list[Packet]], tshark: Tshark) -> list[Dissected]:
    return list(tshark.read(made[0]))


@pytest.mark.parametrize("inner", [False, True], ids=["outermost", "innermost"])
def test_made_packets(made: tuple[Path, list[Packet]], read: list[Dissected], inner: bool) -> None:
    path, frames = made
    names = [f"frame {number} (link type {frame.link})" for number, frame in enumerate(frames, 1)]
    found = list(differences(rows(path, inner=inner), read, inner, [frame.data for frame in frames]))
    if inner:
        # Damage in the middle of a nest may end it earlier: then the row is that of another of its packets.
        ours = {each.row["frame"] for each in found if is_another(each)}
        assert not any(frames[number - 1].whole for number in ours)
        assert len(ours) < len(frames) / 200
        found = [each for each in found if each.row["frame"] not in ours]
    assert unexplained(found, dict(zip(map(id, read), names, strict=True))) == ""


def is_another(difference: Difference) -> bool:
    """True when the row is that of a packet around the innermost one."""
    row, frame = difference.row, difference.frame
    outer = (expected(frame, nth) for nth in range(depth(frame) - 1))
    return any(
        all(agrees(row[name], each[name]) for name in ("src", "dst", "protocol", "hop_limit"))
        for each in outer
    )


def test_every_known_difference_is_still_there(
    made: tuple[Path, list[Packet]], read: list[Dissected], captured: list[Dissected]
) -> None:
    """A reason that explains nothing any more is taken off the list."""
    path, frames = made
    data = [frame.data for frame in frames]
    bundled = [row for path in CAPTURES for row in rows(path)]
    used = Counter(reason(each) for each in differences(bundled, captured, False))
    for inner in (False, True):
        used.update(reason(each) for each in differences(rows(path, inner=inner), read, inner, data))
    assert sorted(each.reason for each in KNOWN if each.reason not in used) == []


def test_link_types(made: tuple[Path, list[Packet]], read: list[Dissected]) -> None:
    pairs = Counter(
        (row["link_type"], int(frame.first("frame.encap_type")))
        for row, frame in zip(rows(made[0]), read, strict=True)
    )
    assert dict(pairs.keys()) == ENCAPSULATIONS


def test_packets_that_were_made_right_are_right(made: tuple[Path, list[Packet]]) -> None:
    """What the maker of the packets knows, where tshark does not look (Mobility, packets in tunnels)."""
    path, frames = made
    right = [frame.whole for frame in frames]
    assert sum(right) > len(frames) / 4
    allowed = {"ok", "non_first_fragment", "unknown_protocol", "encrypted"}
    for inner in (False, True):
        wrong = [
            (row["frame"], row["verdict"], row["l3_checksum"], row["l4_checksum"])
            for row, whole in zip(rows(path, inner=inner), right, strict=True)
            # A first fragment may end within its transport header.
            if whole
            and row["l4_checksum"] != "unchecked:fragment"
            and (row["verdict"] not in allowed or "bad" in (row["l3_checksum"], row["l4_checksum"]))
        ]
        assert wrong == []


# Capture headers that name a link type, or have fields of their own that tshark gives up at.
WRAPPED = {"radiotap", "ppi", "pktap", "nflog"}


def implausible(row: Row, frame: Dissected, data: bytes) -> bool:
    """True for a verdict that cannot be, by what tshark says."""
    ip = frame.layers.count("ip") + frame.layers.count("ipv6")
    match row["verdict"]:
        case "ok":
            # tshark does not read LLC behind a service tag, nor behind all kinds of cooked headers; nor radiotap
            # behind those that have an EtherType, too.
            llc = frame.layers[-3:] == ["ieee8021ad", "ethertype", "data"]
            llc |= frame.layers in (["sll", "data"], ["sll", "ethertype", "data"])
            return row["ip_version"] is None and not {"arp", "wlan", "pppoed"} & set(frame.layers) and not llc
        case "truncated":
            return bool(row["caplen"] >= row["len"])
        case "non_first_fragment":
            return row["ip_version"] is not None and not row["fragment_offset"]
        case "malformed":
            # Something is odd to tshark, too, or it found no packet; it does not mind the lengths in aggregates.
            return (
                ip > 0
                # Lengths of these that go beyond the packet are no remark to it either.
                and not {"wlan", "mipv6", "dccp"} & set(frame.layers)
                # Nor are a payload length of zero, and IPv6 where the link layer says IPv4.
                and not (row["ip_version"] == 6 and payload_length(row, data) == b"\0\0")
                and ("ip", "ipv6") not in zip(frame.layers, frame.layers[1:], strict=False)
                and not {"_ws.malformed", "_ws.expert.message"} & set(frame.fields)
            )
        case "encrypted":
            return frame.first("wlan.fc.protected") not in ("1", "True")
        case "unknown_protocol":
            # Versions and routing of GRE that nobody uses are not followed.
            return row["ip_version"] is not None and row["protocol"] != 47
        case "unknown_link_type":
            return frame.layers[0] not in WRAPPED
        case _:
            return True


def test_verdicts(made: tuple[Path, list[Packet]], read: list[Dissected], captured: list[Dissected]) -> None:
    bundled = [row for path in CAPTURES for row in rows(path)]
    frames = [frame.data for frame in made[1]]
    for ours, theirs, data in (
        (bundled, captured, [b""] * len(bundled)),
        (rows(made[0]), read, frames),
    ):
        wrong = [
            (row["frame"], row["verdict"], ":".join(frame.layers), frame.fields.get("_ws.expert.message"))
            for row, frame, octets in zip(ours, theirs, data, strict=True)
            if implausible(row, frame, octets) and frame.layers[0] not in WRAPPED
        ]
        assert wrong == []


PORTS = {6, 17, 33, 132, 136}
# tshark gives others no Community ID, or one without the ports that they have.
IDENTIFIED = {1, 6, 17, 58, 132}


def frames_of_each(captured: list[Dissected]) -> Iterator[tuple[Path, list[Dissected]]]:
    start = 0
    for path in CAPTURES:
        count = len(rows(path))
        yield path, captured[start : start + count]
        start += count


def test_flow_sums(captured: list[Dissected]) -> None:
    """Packets, IP octets and frame octets of each conversation, summed up from tshark's fields."""
    wrong, conversations = [], 0
    for path, frames in frames_of_each(captured):
        wanted: Counter[tuple[object, ...]] = Counter()
        first: dict[tuple[object, ...], tuple[int, int, int]] = {}
        for frame in frames:
            row = expected(frame)
            if isinstance(row["vlan"], OneOf):
                row["vlan"] = row["vlan"][-1]
            upper = row["protocol"], row["src_port"], row["dst_port"]
            datagram = (row["ip_version"], row["vlan"], row["src"], row["dst"], row["fragment_id"])
            if row["fragment_offset"]:
                # IPv4 tells datagrams of different protocols apart, but no two here have the same number.
                upper = first.get(datagram, (None, None, None))
            elif row["more_fragments"]:
                first[datagram] = upper
            protocol = upper[0]
            if protocol not in PORTS or None in upper:
                continue
            if row["ip_version"] == 4:
                length = int(frame.first("ip.len"))
            else:
                length = 40 + int(frame.first("ipv6.opt.jumbo") or frame.first("ipv6.plen"))
            one, other = (row["src"], upper[1]), (row["dst"], upper[2])
            key = (row["vlan"], protocol, min(one, other), max(one, other), one < other)
            wanted[*key, "packets"] += 1
            wanted[*key, "octets"] += length
            wanted[*key, "frames"] += row["len"]
        found: Counter[tuple[object, ...]] = Counter()
        for flow in pa.table(netfast.flows(path)).to_pylist():
            if flow["protocol"] not in PORTS:
                continue
            one, other = (flow["src"], flow["src_port"]), (flow["dst"], flow["dst_port"])
            for way, up in (("fwd", one < other), ("rev", not one < other)):
                key = (flow["vlan"], flow["protocol"], min(one, other), max(one, other), up)
                found[*key, "packets"] += flow[f"packets_{way}"]
                found[*key, "octets"] += flow[f"bytes_{way}"]
                found[*key, "frames"] += flow[f"l2_bytes_{way}"]
        conversations += len(wanted) // 3
        wrong += [
            (path.name, key, found[key], wanted[key]) for key in found | wanted if found[key] != wanted[key]
        ]
    assert wrong == []
    assert conversations > 300


def test_community_ids(captured: list[Dissected]) -> None:
    """Packets by Community ID; in tunnels tshark gives that of the innermost packet, so without tunnels."""
    wrong, compared = [], 0
    for path, frames in frames_of_each(captured):
        expectations = [expected(frame) for frame in frames]
        plain = all(
            frame.layers.count("ip") + frame.layers.count("ipv6") <= 1
            and not row["fragment_offset"]
            and not row["more_fragments"]
            for frame, row in zip(frames, expectations, strict=True)
        )
        if not plain:
            continue
        compared += 1
        theirs = Counter(
            frame.first("communityid")
            for frame, row in zip(frames, expectations, strict=True)
            if row["protocol"] in IDENTIFIED
        )
        ours: Counter[str] = Counter()
        for flow in pa.table(netfast.flows(path)).to_pylist():
            if flow["protocol"] in IDENTIFIED:
                ours[flow["community_id"]] += flow["packets_fwd"] + flow["packets_rev"]
        if ours != theirs:
            wrong.append((path.name, ours - theirs, theirs - ours))
    assert wrong == []
    assert compared > 30
