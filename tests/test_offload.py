"""Super-packets from Python: nothing is lost when packets are merged and cut again, and nothing hostile is believed."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netfast as nf
from netfast.files import copy_counting
from netfast.offload import collate

DATA = Path(__file__).parent / "data"
CAPTURES = sorted(path for path in DATA.iterdir() if path.suffix in (".pcap", ".pcapng"))
PSH, ACK = 0x08, 0x10
# Link types that hold IP packets where collators look.
COLLATED = (0, 1, 12, 14, 101, 108, 113, 228, 229, 276)

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")


def segment(
    flow: int = 1,
    turn: int = 0,
    *,
    size: int = 1000,
    length: int | None = None,
    v6: bool = False,
    flags: int = ACK,
    udp: bool = False,
    **changes: Any,
) -> bytes:
    """Packet `turn` of a flow whose packets carry `size` bytes each, this one `length`."""
    payload = bytes((turn * 7 + at) % 251 for at in range(size if length is None else length))
    transport: Any = nf.UDP(src_port=1000 + flow, dst_port=443)
    if not udp:
        transport = nf.TCP(src_port=1000 + flow, dst_port=443, seq=turn * size + 1, ack=9, flags=flags)
    network: Any = nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
    if not v6:
        network = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", identification=turn, dont_fragment=1)
    network = network.replace(**{name: value for name, value in changes.items() if name in network.to_dict()})
    transport = transport.replace(
        **{name: value for name, value in changes.items() if name in transport.to_dict()}
    )
    return bytes(nf.Ethernet() / network / transport / payload)


def frames_of(batch: nf.OffloadBatch) -> list[bytes]:
    return [bytes(packet) for packet in batch]


def by_flow(frames: list[bytes], link: int) -> dict[Any, list[bytes]]:
    """The frames of each flow in order: of those with the same addresses and ports, inside of tunnels, too."""
    flows = defaultdict(list)
    for frame in frames:
        packet: nf.Packet | None = nf.dissect(frame, link=link)
        key = []
        while packet is not None:
            key.append(packet.five_tuple)
            packet = packet.inner
        flows[tuple(key)].append(frame)
    return flows


def batches(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Whole packets of a capture, in runs of one link type."""
    for batch in nf.Capture(path, lenient=True):
        run: list[Any] = []
        for packet in batch:
            if packet.caplen < packet.len:
                continue
            if run and run[0].link_type != packet.link_type:
                yield run[0].link_type, run
                run = []
            run.append(packet)
        if run:
            yield run[0].link_type, run


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_every_capture_comes_back(path: Path) -> None:
    """Merged and cut again, the frames of each flow are the very same, in the same order."""
    for link, packets in batches(path):
        if link not in COLLATED:
            with pytest.raises(nf.ConfigError, match="is not collated"):
                nf.Collator(link=link)
            continue
        collator = nf.Collator(link=link)
        merged = collator.push(packets)
        statistics = collator.statistics
        assert statistics.packets == len(packets)
        assert statistics.packets == statistics.out + statistics.merged + statistics.held
        assert statistics.packets == statistics.merged + sum(statistics.not_merged.values())
        assert len(merged) == statistics.out
        came = [bytes(packet) for packet in packets]
        back = frames_of(nf.segment(merged))
        assert sorted(back) == sorted(came)
        assert by_flow(back, link) == by_flow(came, link)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_every_capture_is_collated_and_verified(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "merged.pcapng"
    told = collate(path, target, verify=True, lenient=True)
    assert told["different"] == 0
    assert told["verified"] == told["frames"]
    written = [packet for batch in nf.Capture(target) for packet in batch]
    assert len(written) == told["written"] == told["frames"] - told["merged"]
    came = [packet for batch in nf.Capture(path, lenient=True) for packet in batch]
    # What was not merged is as it was, and where it was.
    times = [packet.time_ns for packet in came]
    assert len(came) == told["frames"]
    if told["merged"] == 0:
        assert written == came
        assert [packet.time_ns for packet in written] == times
    assert nf.info(target)["error"] is None


def test_a_train_becomes_one() -> None:
    for options in ({}, {"v6": True}, {"udp": True}, {"udp": True, "v6": True}):
        came = [segment(turn=turn, **options) for turn in range(16)]
        collator = nf.Collator()
        [packet] = collator.push(came)
        kind = "udp" if "udp" in options else "tcp6" if "v6" in options else "tcp4"
        assert (packet.gso_type, packet.gso_size, packet.gso_segments) == (kind, 1000, 16)
        assert packet.checksum == "good"
        assert collator.statistics.mean_segments == 16
        assert collator.statistics.super_packets == 1
        assert collator.statistics.not_merged == {"first": 1}
        # The payload stands where it was: only headers were copied.
        assert collator.statistics.copied_bytes < 100
        assert len(packet.segments) == 17
        assert b"".join(packet.segments) == bytes(packet)
        whole = packet.packet
        assert (whole.l3_checksum or "good", whole.l4_checksum) == ("good", "good")
        assert whole.wrong == []
        assert frames_of(nf.segment(packet)) == came


# What differs in the second of two packets, and what it is called when it keeps them apart.
APART = [
    ({"ttl": 63}, "ip_header"),
    ({"dscp": 10}, "ip_header"),
    ({"dont_fragment": 0}, "ip_header"),
    ({"identification": 7}, "ip_id"),
    ({"ack": 10}, "tcp_header"),
    ({"window": 10}, "tcp_header"),
    ({"seq": 5}, "sequence"),
    ({"flags": ACK | 0x20}, "tcp_flags"),
    ({"flags": ACK | 0x02}, "tcp_flags"),
    ({"flags": ACK | 0x04}, "tcp_flags"),
    ({"flags": ACK | 0x80}, "cwr"),
    ({"length": 1001}, "longer"),
    ({"length": 0}, "no_payload"),
    ({"checksum": 1}, "checksum_bad"),
    ({"more_fragments": 1}, "fragment"),
]


@pytest.mark.parametrize(("changes", "reason"), APART, ids=lambda value: str(value))
def test_what_keeps_packets_apart_has_a_name(changes: dict[str, Any], reason: str) -> None:
    came = [segment(turn=0), segment(turn=1, **changes)]
    collator = nf.Collator()
    assert frames_of(collator.push(came)) == came
    assert collator.statistics.not_merged == {"first": 1, reason: 1}
    assert collator.statistics.merged == 0


def test_a_sender_that_leaves_its_checksums_to_a_card_is_told_so() -> None:
    collator = nf.Collator()
    frames = [segment(1, turn)[:-1] + b"!" for turn in range(4)]
    assert [bytes(each) for each in collator.push(frames)] == frames
    # The last one has nothing behind it.
    assert collator.statistics.not_merged == {"checksum_bad": 3, "first": 1}


def test_a_short_or_pushed_packet_ends_a_train() -> None:
    for last in ({"length": 10}, {"flags": ACK | PSH}, {"flags": ACK | 0x01}):
        came = [segment(turn=0), segment(turn=1, **last), segment(turn=2)]
        collator = nf.Collator()
        merged = list(collator.push(came))
        assert [packet.gso_segments for packet in merged] == [2, 1]
        assert frames_of(nf.segment(merged)) == came


def test_packets_are_held_from_call_to_call() -> None:
    collator = nf.Collator(max_hold=1000)
    assert len(collator.push([segment(turn=0)], now=100)) == 0
    assert collator.next_timeout == 1100
    assert (collator.statistics.held, collator.statistics.held_bytes) == (1, 1054)
    assert len(collator.push([segment(turn=1)], now=500)) == 0
    assert len(collator.poll(1099)) == 0
    [packet] = collator.poll(1100)
    assert packet.gso_segments == 2
    assert collator.next_timeout is None
    assert collator.statistics.ended == {"timeout": 1}
    collator.push([segment(turn=3)], now=2000)
    assert [len(packet) for packet in collator.flush()] == [1054]
    # Without `now` the times of the packets count.
    collator.push([(5000, segment(turn=4))])
    [before, behind] = [*collator.push([(9000, segment(turn=5))]), *collator.flush()]
    assert (before.time_ns, behind.time_ns) == (5000, 9000)


def test_marks_go_from_batch_to_batch() -> None:
    merged = nf.Collator().push([segment(turn=turn) for turn in range(4)])
    again = nf.OffloadBatch(merged)
    assert [packet.gso_segments for packet in again] == [4]
    assert [packet.gso_segments for packet in nf.OffloadBatch([*merged, segment(turn=9)])] == [4, 1]
    collator = nf.Collator()
    assert frames_of(collator.push(merged)) == frames_of(merged)
    assert collator.statistics.not_merged == {"super": 1}
    assert again[-1].gso_size == 1000
    assert len(again[:]) == 1
    with pytest.raises(IndexError, match="the batch has 1 packets"):
        again[1]


def test_trusted_checksums_are_not_read() -> None:
    wrong = [segment(turn=turn, checksum=1) for turn in range(3)]
    assert len(nf.Collator().push(wrong)) == 3
    assert len(nf.Collator(trust_checksums=True).push(wrong)) == 1


def test_bytes_are_cut_by_size() -> None:
    whole = segment(turn=0, length=2500)
    cut = list(nf.segment(whole, gso_size=1000))
    assert [len(packet) - 54 for packet in cut] == [1000, 1000, 500]
    assert [packet.packet[nf.TCP].seq for packet in cut] == [1, 1001, 2001]
    assert [packet.packet[nf.IPv4].identification for packet in cut] == [0, 1, 2]
    assert all(packet.packet.wrong == [] and packet.checksum == "good" for packet in cut)
    fixed = nf.segment(whole, gso_size=1000, fixed_id=True)
    assert [packet.packet[nf.IPv4].identification for packet in fixed] == [0, 0, 0]
    # What is not longer stays as it is, and what carries neither as well.
    assert frames_of(nf.segment([whole], gso_size=2500)) == [whole]
    arp = bytes(nf.Ethernet() / nf.ARP())
    assert frames_of(nf.segment([arp])) == [arp]


def test_the_inside_of_a_tunnel_is_cut() -> None:
    inner = (
        nf.IPv4(src="10.0.0.1", dst="10.0.0.2", identification=5)
        / nf.UDP(src_port=1, dst_port=2)
        / bytes(2000)
    )
    outer = nf.Ethernet() / nf.IPv6(src="2001:db8::1", dst="2001:db8::2") / nf.UDP(dst_port=4789)
    frame = bytes(outer / nf.VXLAN(vni=7) / nf.Ethernet() / inner)
    cut = list(nf.segment(frame, gso_size=1000))
    assert len(cut) == 2
    for number, packet in enumerate(cut):
        inside = packet.packet.inner
        assert inside is not None
        assert packet.packet.wrong == []
        assert packet.packet.l4_checksum == "good"
        assert inside.l4_checksum == "good"
        assert inside[nf.IPv4].identification == 5 + number
        assert inside.payload_len == 1000


def test_partial_checksums_are_finished() -> None:
    whole = segment(turn=0, length=2500)
    partial = nf.segment(whole, gso_size=1000, checksums="partial")
    assert [packet.checksum for packet in partial] == ["partial"] * 3
    assert all(packet.packet.l4_checksum == "bad" for packet in partial)
    finished = nf.finish_checksums(partial)
    assert frames_of(finished) == frames_of(nf.segment(whole, gso_size=1000))


@pytest.mark.parametrize(
    ("packet", "arguments", "error", "reason"),
    [
        ("tcp", {"gso_type": "tcp4"}, nf.ConfigError, "no_size"),
        ("tcp", {"gso_size": 5}, nf.ConfigError, "no_type"),
        ("tcp", {"gso_type": "tcp6", "gso_size": 5}, nf.ParseError, "contradicts"),
        ("tcp", {"gso_type": "tcp4", "gso_size": 1}, nf.ResourceError, "too_many_segments"),
        ("syn", {"gso_type": "tcp4", "gso_size": 100}, nf.ParseError, "tcp_flags"),
        ("short", {"gso_type": "tcp4", "gso_size": 100}, nf.ParseError, "headers"),
        ("fragment", {"gso_type": "tcp4", "gso_size": 100}, nf.ParseError, "fragment"),
    ],
)
def test_what_cannot_be_cut_says_why(
    packet: str, arguments: dict[str, Any], error: type[Exception], reason: str
) -> None:
    data = {
        "tcp": segment(length=3000),
        "syn": segment(length=300, flags=2),
        "short": segment(length=300)[:50],
        "fragment": segment(length=300, more_fragments=1),
    }[packet]
    with pytest.raises(error) as caught:
        nf.segment([segment(), nf.OffloadPacket(data, **arguments)])
    assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert caught.value.packet == 1  # type: ignore[attr-defined]
    assert str(caught.value).startswith("packet 1: ")


def test_arguments_are_refused_by_name() -> None:
    for arguments, option in [
        ({"max_flows": 9}, "max_flows"),
        ({"max_segments": 65}, "max_segments"),
        ({"max_length": 65_536}, "max_length"),
        ({"max_hold": -1}, "max_hold"),
        ({"vxlan_port": 65_536}, "vxlan_port"),
        ({"link": 147}, "link"),
        ({"link": "ATM"}, "link"),
    ]:
        with pytest.raises(nf.ConfigError) as caught:
            nf.Collator(**arguments)  # type: ignore[arg-type]
        assert caught.value.option == option
    with pytest.raises(nf.ConfigError, match="begins with RAW"):
        nf.OffloadBatch([segment(), nf.IPv4() / nf.UDP()])
    with pytest.raises(nf.ConfigError, match="this collator takes EN10MB"):
        nf.Collator().push([nf.IPv4() / nf.UDP()])
    with pytest.raises(nf.ConfigError, match="give one of tcp4, tcp6, udp"):
        nf.OffloadPacket(b"", gso_type="sctp")
    with pytest.raises(nf.ConfigError, match="give one of full, partial"):
        nf.segment([], checksums="none")
    with pytest.raises(nf.ConfigError, match="gso_size=65536"):
        nf.segment([], gso_size=65_536)
    with pytest.raises(TypeError, match="max_flows is str"):
        nf.Collator(max_flows="8")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        nf.Collator().push(7)
    with pytest.raises(nf.ConfigError, match="gso_size=-1: give bytes of payload"):
        nf.OffloadPacket(b"", gso_size=-1)
    with pytest.raises(nf.FieldError, match=r"VirtioHeader.gso_size=65536: give 0 to 65535") as caught:
        nf.VirtioHeader(gso_size=65_536)
    assert (caught.value.header, caught.value.field) == ("VirtioHeader", "gso_size")
    with pytest.raises(TypeError, match="flags is str"):
        nf.VirtioHeader(flags="1")  # type: ignore[arg-type]
    with pytest.raises(nf.ConfigError, match="features=-1"):
        nf.VirtioCodec(features=-1)
    with pytest.raises(nf.ConfigError, match="now="):
        nf.Collator().push([], now=-1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_traffic_comes_back(data: st.DataObject) -> None:
    """Packets of several flows, some of them changed, some cut, some of any bytes."""
    turns: dict[tuple[int, bool, bool], int] = defaultdict(int)
    came = []
    for _ in range(data.draw(st.integers(1, 40))):
        key = data.draw(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()))
        flow, v6, udp = key
        changes = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "length": st.integers(0, 300),
                    "flags": st.sampled_from((ACK, ACK | PSH, ACK | 0x80, 0x11, 0x14, 2)),
                    "ttl": st.sampled_from((63, 64)),
                    "identification": st.integers(0, 3),
                    "dont_fragment": st.integers(0, 1),
                    "ack": st.integers(8, 10),
                    "checksum": st.sampled_from((0, 1, 0xFFFF)),
                    "hop_limit": st.sampled_from((63, 64)),
                },
            )
            if data.draw(st.integers(0, 3)) == 0
            else st.just({})
        )
        frame = segment(flow, turns[key], size=200, v6=v6, udp=udp, **changes)
        turns[key] += 1
        match data.draw(st.integers(0, 30)):
            case 0:
                frame = frame[: data.draw(st.integers(0, len(frame)))]
            case 1:
                frame += data.draw(st.binary(max_size=8))
            case 2:
                at = data.draw(st.integers(0, len(frame) - 1))
                frame = frame[:at] + data.draw(st.binary(min_size=1, max_size=1)) + frame[at + 1 :]
        came.append(frame)
    collator = nf.Collator(max_hold=data.draw(st.sampled_from((0, 10))), max_flows=8)
    merged = [*collator.push(came, now=1), *collator.flush()]
    back = frames_of(nf.segment(merged))
    assert sorted(back) == sorted(came)
    assert by_flow(back, 1) == by_flow(came, 1)
    statistics = collator.statistics
    assert statistics.held == 0
    assert statistics.packets == len(came) == statistics.out + statistics.merged


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(("tcp4", "tcp6", "udp")),
    st.integers(0, 300),
    st.sampled_from(("full", "partial")),
)
def test_any_bytes_are_cut_or_refused(data: bytes, kind: str, size: int, checksums: str) -> None:
    packet = nf.OffloadPacket(data, gso_type=kind, gso_size=size)
    refused = None
    try:
        nf.segment(packet, checksums=checksums)
    except nf.NetfastError as error:
        refused = str(error)
    assert refused is None or refused.startswith("packet 0: ")


def virtio(**fields: int) -> nf.VirtioHeader:
    return nf.VirtioHeader(**fields)


def test_a_virtio_header_is_bytes_and_back() -> None:
    header = virtio(
        flags=1, gso_type=1, hdr_len=54, gso_size=1448, csum_start=34, csum_offset=16, num_buffers=1
    )
    data = bytes.fromhex("01 01 3600 a805 2200 1000 0100")
    assert header.to_bytes() == data
    assert nf.VirtioHeader.parse(data + b"more") == header
    assert header.to_bytes(form="short", order="big") == bytes.fromhex("01 01 0036 05a8 0022 0010")
    native = header.to_bytes(form="short", order="native")
    assert native == header.to_bytes(form="short", order=sys.byteorder)
    with pytest.raises(nf.ParseError, match="has 12 bytes, there are 11") as caught:
        nf.VirtioHeader.parse(data[:11])
    assert (caught.value.layer, caught.value.need, caught.value.have) == ("VirtioHeader", 12, 11)


def test_a_super_packet_goes_through_a_virtio_header() -> None:
    came = [segment(turn=turn) for turn in range(5)]
    codec = nf.VirtioCodec(form="short")
    [sent] = codec.send(nf.Collator().push(came))
    header = nf.VirtioHeader.parse(bytes(sent), form="short")
    assert header == virtio(flags=1, gso_type=1, hdr_len=54, gso_size=1000, csum_start=34, csum_offset=16)
    [packet] = codec.receive([bytes(sent)])
    assert (packet.gso_type, packet.gso_size, packet.gso_segments, packet.checksum) == (
        "tcp4",
        1000,
        5,
        "partial",
    )
    assert frames_of(nf.segment(packet)) == came
    assert codec.counters["sent_super"] == codec.counters["received_super"] == 1


HOSTILE = [
    (virtio(gso_type=9), "unknown_type", 1),
    (virtio(gso_type=3, gso_size=100), "udp_fragmentation", 1),
    (virtio(gso_type=0x85, gso_size=100), "ecn_without_tcp", 1),
    (virtio(gso_type=0x80), "ecn_without_tcp", 1),
    (virtio(flags=1, gso_type=1, csum_start=34, csum_offset=16), "no_size", 4),
    (virtio(flags=1, gso_type=1, gso_size=2501, csum_start=34, csum_offset=16), "size_beyond_payload", 4),
    (virtio(flags=1, csum_start=65_535, csum_offset=65_535), "checksum_beyond_packet", 6),
    (virtio(flags=1, csum_start=2553), "checksum_beyond_packet", 6),
    (virtio(flags=1, gso_type=1, gso_size=100, csum_start=14, csum_offset=10), "checksum_elsewhere", 6),
    (virtio(flags=1, gso_type=4, gso_size=100, csum_start=34, csum_offset=16), "packet", None),
    (virtio(flags=1, gso_type=5, gso_size=100, csum_start=34, csum_offset=6), "packet", None),
]


@pytest.mark.parametrize(("header", "reason", "offset"), HOSTILE, ids=lambda value: str(value))
def test_hostile_virtio_headers_are_refused(header: nf.VirtioHeader, reason: str, offset: int | None) -> None:
    codec, good = nf.VirtioCodec(), segment(length=2500)
    bad = header.to_bytes() + good
    with pytest.raises(nf.ParseError) as caught:
        codec.receive([virtio(num_buffers=1).to_bytes() + good, bad])
    assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert caught.value.packet == 1  # type: ignore[attr-defined]
    assert caught.value.offset == offset
    assert codec.counters["refused"] == {reason: 1}
    assert len(codec.receive([bad, bad], drop=True)) == 0
    assert codec.counters["refused"] == {reason: 3}


def test_what_was_not_negotiated_is_refused() -> None:
    frame = virtio(flags=1, gso_type=1, gso_size=100, csum_start=34, csum_offset=16).to_bytes() + segment()
    with pytest.raises(nf.ConfigError, match="VIRTIO_NET_F_GUEST_TSO4 was not negotiated"):
        nf.VirtioCodec(features=1 << 1).receive([frame])
    with pytest.raises(nf.ParseError, match="num_buffers is 0"):
        nf.VirtioCodec(peer="device").receive([frame])


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=120), st.sampled_from(("short", "long")), st.sampled_from(("tun", "device", "driver"))
)
def test_any_bytes_behind_a_virtio_header(data: bytes, form: str, peer: str) -> None:
    codec = nf.VirtioCodec(form=form, peer=peer)
    came = [data, data[:12] + segment(length=300)]
    assert len(codec.receive(came, drop=True)) + sum(codec.counters["refused"].values()) == 2


def test_features_are_fixed_with_reasons() -> None:
    wanted = nf.Features("tx-tcp-segmentation", "tx-udp-segmentation, rx-gro-hw")
    fixed, removed = wanted.fixed()
    assert not fixed
    assert {each.feature for each in removed} == set(wanted)
    assert str(removed[0]) == "tx-tcp-segmentation needs scatter-gather"
    assert removed[0].because == "needs scatter-gather"
    enough = wanted | "scatter-gather tx-checksum-ip-generic rx-checksum"
    assert enough.fixed() == (enough, [])
    assert "tso" not in enough
    assert "tx-tcp-segmentation" in enough
    assert enough - wanted == nf.Features("scatter-gather", "tx-checksum-ip-generic", "rx-checksum")
    assert enough & wanted == wanted
    assert "scatter-gather" | wanted == wanted | "scatter-gather"
    assert "rx-gro-hw rx-fcs" & enough == nf.Features("rx-gro-hw")
    assert "rx-gro-hw rx-fcs" - enough == nf.Features("rx-fcs")
    assert nf.Features(str(enough)) == enough
    assert eval(repr(enough), {"Features": nf.Features}) == enough
    with pytest.raises(nf.ConfigError, match='there is no feature "warp-drive"'):
        nf.Features("warp-drive")
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(TypeError):
        _ = enough | looped


def test_features_of_a_port_follow_their_needs() -> None:
    port = nf.PortFeatures(nf.Features.all(), tagged="scatter-gather tx-checksum-ip-generic")
    assert "tx-tcp-segmentation" in port.active
    change = port.turn_off("scatter-gather")
    assert "tx-tcp-segmentation" in change.turned_off
    assert "tx-tcp-segmentation needs scatter-gather" in map(str, change.waiting)
    assert "tx-tcp-segmentation" in port.turn_on("scatter-gather").turned_on
    assert "tx-tcp-segmentation" not in port.inherited("vlan")
    port.set_forwarding(True)
    with pytest.raises(nf.ConfigError, match="large-receive-offload is refused at a port that forwards"):
        port.turn_on("large-receive-offload")
    with pytest.raises(nf.ConfigError, match="the port cannot do"):
        nf.PortFeatures("scatter-gather").turn_on("tx-tcp-segmentation")
    whole = nf.Collator().push([segment(turn=turn) for turn in range(3)])[0]
    assert nf.PortFeatures("").plan(whole) == nf.PortFeatures(nf.Features()).plan(whole)
    plan = nf.PortFeatures(nf.Features()).plan(whole)
    assert (plan.segment, plan.checksum, plan.linearise) == (True, True, True)
    plan = nf.PortFeatures("tx-tcp-segmentation scatter-gather tx-checksum-ip-generic").plan(whole)
    assert not plan.segment
    # What is made by hand is the same, with tags and in tunnels, too.
    able = "scatter-gather tx-checksum-ip-generic tso tx-udp_tnl-segmentation tx-udp_tnl-csum-segmentation"
    untagged = nf.PortFeatures(able, tagged="", encapsulated="")
    tagging = nf.PortFeatures(able, tagged=able, encapsulated=able)
    inside = bytes(whole)
    tagged = inside[:12] + bytes([0x81, 0, 0, 5]) + inside[12:]
    tunnel = nf.Ethernet() / nf.IPv4(src="192.0.2.1", dst="192.0.2.2") / nf.UDP(src_port=9, dst_port=4789)
    tunnelled = bytes(tunnel / (bytes([8, 0, 0, 0, 0, 0, 5, 0]) + inside))
    for frame, cut in ((inside, False), (tagged, True), (tunnelled, True)):
        packet = nf.OffloadPacket(frame, gso_type="tcp4", gso_size=1000)
        assert (packet.gso_segments, packet.tunnel) == (3, frame is tunnelled)
        assert (untagged.plan(packet).segment, tagging.plan(packet).segment) == (cut, False)
    assert nf.Features.from_virtio(1 | 1 << 11, "driver") == nf.Features(
        "tx-checksum-ip-generic", "scatter-gather", "tx-tcp-segmentation"
    )
    assert nf.Features("tx-checksum-ip-generic tx-tcp-segmentation").to_virtio("driver") == 1 | 1 << 11


# The command line.


def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'netfast'; from netfast.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def trains(tmp_path: Path) -> Path:
    """Two flows in turn, whose packets are a millisecond apart after each sixteen."""
    path = tmp_path / "trains.pcapng"
    packets = []
    for turn in range(64):
        for flow in (1, 2):
            time = turn * 1_000 + turn // 16 * 5_000_000 + flow
            packets.append((time, segment(flow, turn, v6=flow == 2)))
    nf.write(path, packets)
    return path


def test_netfast_collate_tells_what_became_of_packets(trains: Path, tmp_path: Path) -> None:
    target = tmp_path / "merged.pcapng"
    text = run("collate", trains, target, "--verify").stdout
    assert "frames         128 in, 8 out" in text
    assert "super-packets  8, 16.0 packets each" in text
    assert "verified       128 frames came back, 0 different" in text
    told = json.loads(run("collate", trains, target, "--json").stdout)
    assert (told["frames"], told["written"], told["mean_segments"]) == (128, 8, 16.0)
    assert told["verified"] is None
    assert told["ended"]["timeout"] > 0
    [first, *_] = nf.files.frames(target)
    assert first["comments"] == ["16 segments of 1000 bytes, from frame 1"]
    assert [packet.time_ns for batch in nf.Capture(target) for packet in batch] == sorted(
        turn * 1_000 + turn // 16 * 5_000_000 + flow for turn in range(0, 64, 16) for flow in (1, 2)
    )
    none = json.loads(run("collate", trains, target, "--json", "--no-tcp").stdout)
    assert none["not_merged"] == {"protocol": 128}
    few = json.loads(run("collate", trains, target, "--json", "--max-segments", "4").stdout)
    assert few["mean_segments"] == 4.0
    alone = json.loads(run("collate", trains, target, "--json", "--hold", "0.5").stdout)
    assert alone["merged"] == 0


def test_netfast_collate_writes_to_a_pipe(trains: Path) -> None:
    code = "import sys; sys.argv[0] = 'netfast'; from netfast.cli import main; main()"
    command = [sys.executable, "-c", code, "collate", str(trains), "-"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert done.stdout.startswith(b"\x0a\x0d\x0d\x0a")
    assert b"128 in, 8 out" in done.stderr


def test_netfast_collate_refuses_what_it_cannot_do(trains: Path, tmp_path: Path) -> None:
    before = trains.read_bytes()
    assert "is read, so it cannot be written" in run("collate", trains, trains, status=2).stderr
    assert trains.read_bytes() == before
    target = tmp_path / "merged.pcap"
    assert "end the name with .pcapng" in run("collate", trains, target, status=2).stderr
    assert not target.exists()
    assert "--max-segments" in run("collate", trains, "x.pcapng", "--max-segments", "65", status=2).stderr
    assert "No such file" in run("collate", tmp_path / "none.pcap", tmp_path / "x.pcapng", status=1).stderr
    assert "No space left" in run("collate", trains, "/dev/full", status=1).stderr


def test_what_stands_before_damage_is_collated(trains: Path, tmp_path: Path) -> None:
    damaged, target = tmp_path / "damaged.pcapng", tmp_path / "merged.pcapng"
    damaged.write_bytes(trains.read_bytes()[:-500])
    done = run("collate", damaged, target, status=1)
    assert "damaged.pcapng" in done.stderr
    written = [packet for batch in nf.Capture(target) for packet in batch]
    frames = nf.segment(
        [
            nf.OffloadPacket(packet, gso_type="tcp4" if packet.ip_version == 4 else "tcp6", gso_size=1000)
            for packet in written
            if packet.len > 1100
        ]
    )
    assert len(frames) + sum(packet.len < 1100 for packet in written) == 127


DAMAGED = sorted(
    path for path in (DATA / "damaged").iterdir() if path.suffix in (".pcap", ".pcapng", ".gz", ".zst")
)


@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: path.name)
@pytest.mark.parametrize("lenient", [False, True])
def test_damage_is_told_as_by_a_copy(path: Path, lenient: bool, tmp_path: Path) -> None:
    """The same error, after the same packets; whatever was read is in the file."""
    ends = []
    alone = partial(collate, tcp=False, udp=False)
    for name, work in (("copy", copy_counting), ("collate", alone)):
        target = tmp_path / f"{name}.pcapng"
        error = None
        try:
            work(path, target, lenient=lenient)
        except nf.NetfastError as caught:
            error = type(caught), str(caught)
        packets = (
            [bytes(packet) for batch in nf.Capture(target) for packet in batch] if target.exists() else None
        )
        ends.append((error, packets))
    assert ends[0] == ends[1]
    if ends[0][0] is None:
        told = collate(path, tmp_path / "merged.pcapng", lenient=lenient, verify=True)
        assert (told["verified"], told["different"]) == (told["frames"], 0)


def test_captures_come_by_pipes_and_compressed(trains: Path, tmp_path: Path) -> None:
    packed, target = tmp_path / "trains.pcapng.gz", tmp_path / "merged.pcapng"
    packed.write_bytes(gzip.compress(trains.read_bytes()))
    assert collate(packed, target, verify=True)["written"] == 8
    code = "import sys; sys.argv[0] = 'netfast'; from netfast.cli import main; main()"
    command = [sys.executable, "-c", code, "collate", "-", str(target), "--json"]
    done = subprocess.run(command, input=trains.read_bytes(), capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout)["written"] == 8


def test_cut_packets_and_many_waiting_keep_their_order(tmp_path: Path) -> None:
    path, target = tmp_path / "many.pcapng", tmp_path / "merged.pcapng"
    # Times stand still, so that nothing that is held is ever due.
    packets: list[Any] = [(1, segment(0, 0))]
    packets += [(1, segment(1, 0, flags=2, length=0))] * 20_000
    whole = segment(0, 1)
    packets += [(1, whole[:200], len(whole)), (1, segment(0, 2))]
    nf.write(path, packets)
    told = collate(path, target, verify=True)
    assert (told["frames"], told["written"], told["cut"], told["different"]) == (20_003, 20_003, 1, 0)
    written = [packet for batch in nf.Capture(target) for packet in batch]
    assert [(packet.len, packet.caplen) for packet in written[-2:]] == [(1054, 200), (1054, 1054)]
    assert bytes(written[0]) == packets[0][1]


def test_comments_and_interfaces_stay(tmp_path: Path) -> None:
    target = tmp_path / "merged.pcapng"
    for name in ("two-interfaces.pcapng", "blocks.pcapng", "names.pcapng"):
        collate(DATA / name, target)
        before, after = nf.info(DATA / name), nf.info(target)
        names = [[each["name"] for each in report["interfaces"]] for report in (before, after)]
        assert names[0] == names[1]
        comments = [
            [
                comment
                for frame in nf.files.frames(path)
                for comment in frame["comments"]
                if "segments of" not in comment
            ]
            for path in (DATA / name, target)
        ]
        assert comments[0] == comments[1]


@needs_tshark
@pytest.mark.tshark
@pytest.mark.parametrize(
    "name",
    [
        "http-ipv4.pcap",
        "http-ipv6.pcap",
        "vxlan.pcap",
        "geneve.pcap",
        "gre.pcap",
        "qinq.pcap",
        "tcp-options.pcap",
    ],
)
def test_tshark_finds_nothing_new_in_super_packets(name: str, tmp_path: Path) -> None:
    merged = tmp_path / "merged.pcapng"
    told = collate(DATA / name, merged, verify=True)
    assert told["different"] == 0
    assert experts(merged) - experts(DATA / name) == set()


@needs_tshark
@pytest.mark.tshark
def test_tshark_reads_super_packets_and_their_segments(trains: Path, tmp_path: Path) -> None:
    merged, cut = tmp_path / "merged.pcapng", tmp_path / "cut.pcapng"
    collate(trains, merged)
    assert experts(merged) == set()
    packets = [packet for batch in nf.Capture(merged) for packet in batch]
    nf.write(cut, [(1, bytes(packet)) for packet in nf.segment(packets, gso_size=500)])
    assert experts(cut) == set()


def experts(path: Path) -> set[str]:
    """What tshark warns of, checksums verified."""
    options = [
        option for protocol in ("ip", "tcp", "udp") for option in ("-o", f"{protocol}.check_checksum:TRUE")
    ]
    # Whole conversations only: what began before looks like loss.
    command = ["tshark", "-r", str(path), *options, "-Y", "_ws.expert.severity >= 0x600000"]
    fields = ["-T", "fields", "-e", "_ws.expert.message"]
    done = subprocess.run([*command, *fields], capture_output=True, text=True, check=True)
    return {message for row in done.stdout.splitlines() for message in row.split(",")}


@pytest.mark.parametrize(
    ("payload", "size", "count"), [(4000, 1000, 4), (4001, 1000, 5), (10, 1000, 1), (0, 9, 1)]
)
def test_a_packet_made_by_hand_says_how_many_it_stands_for(payload: int, size: int, count: int) -> None:
    headers = nf.Ethernet() / nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
    for kind, header in (("tcp6", nf.TCP(flags=0x10)), ("udp", nf.UDP())):
        packet = nf.OffloadPacket(headers / header / bytes(payload), gso_type=kind, gso_size=size)
        assert packet.gso_segments == len(nf.segment(packet)) == count
    assert nf.OffloadPacket(headers / nf.UDP() / bytes(9)).gso_segments == 1
    wrong = nf.OffloadPacket(headers / nf.UDP() / bytes(900), gso_type="tcp4", gso_size=100)
    assert wrong.gso_segments == 1
