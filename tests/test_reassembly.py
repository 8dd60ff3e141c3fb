"""Fragments put together: beside tshark, from any cut in any order, and what hostile ones come to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netfast as nf
from netfast.files import frames
from netfast.reassembly import POLICIES, REASONS

DATA = Path(__file__).parent / "data"
# Fragments that are not within a tunnel.
CAPTURES = (
    "fragments-ipv4.pcap",
    "fragments-ipv6.pcap",
    "fragments-reordered.pcap",
    "ipv6-extensions.pcap",
    "ppp-cooked.pcap",
    "ppp.pcap",
    "pppoe.pcap",
    "qinq.pcap",
    "raw-ipv4.pcap",
    "raw-ipv6.pcap",
    "raw-tun.pcap",
    "vlan.pcap",
    "wifi-no-radiotap.pcap",
    "wifi-open.pcap",
    "merged.pcapng",
)
SECOND = 1_000_000_000

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def tshark_fields(path: Path, *fields: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    command = ["tshark", "-r", str(path), *options, "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def ipv4(data: bytes, **fields: int) -> bytes:
    """A packet of protocol 253 unless `fields` say otherwise."""
    values = {"protocol": 253, "identification": 7, **fields}
    return bytes(nf.IPv4(src="192.0.2.1", dst="192.0.2.2", **values) / data)


def ipv6(data: bytes, offset: int, more: bool, *, identification: int = 7, next_header: int = 253) -> bytes:
    """A fragment; `offset` in bytes."""
    header = struct.pack(">BBHI", next_header, 0, offset | more, identification)
    return bytes(nf.IPv6(src="2001:db8::1", dst="2001:db8::2", next_header=44) / (header + data))


def cut(version: int, data: bytes, cuts: list[int], identification: int = 7) -> list[bytes]:
    """Fragments of a datagram, cut at multiples of eight."""
    ends = sorted({place * 8 for place in cuts if 0 < place * 8 < len(data)} | {len(data)})
    pieces = []
    for start, end in zip([0, *ends], ends, strict=False):
        more, part = end < len(data), data[start:end]
        if version == 4:
            pieces.append(
                ipv4(part, fragment_offset=start, more_fragments=int(more), identification=identification)
            )
        else:
            pieces.append(ipv6(part, start, more, identification=identification))
    return pieces


def conserved(counters: dict[str, object]) -> bool:
    names = ("not_fragments", "atomic", "completed", "joined", "held")
    return counters["packets"] == sum(counters[name] for name in names) + sum(counters["dropped"].values())  # type: ignore


def data_of(datagram: nf.Datagram) -> bytes:
    return bytes(datagram)[20 if bytes(datagram)[0] >> 4 == 4 else 40 :]


class TestTshark:
    @needs_tshark
    @pytest.mark.tshark
    @pytest.mark.parametrize("name", CAPTURES)
    def test_datagrams_are_byte_for_byte_those_of_tshark(self, name: str) -> None:
        options = ("-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE")
        rows = tshark_fields(
            DATA / name, "frame.number", "ip.reassembled.data", "ipv6.reassembled.data", options=options
        )
        theirs = {
            int(number): bytes.fromhex((four or six).split(",")[0])
            for number, four, six in rows
            if four or six
        }
        ours = {}
        with nf.Capture(DATA / name) as capture:
            reassembler = nf.Reassembler(max_disorder=0)
            for batch in capture:
                for packet in batch:
                    for datagram in reassembler.push([packet]):
                        if datagram.kind == "reassembled":
                            ours[packet.frame] = bytes(datagram)
        assert ours.keys() == theirs.keys()
        for frame, data in theirs.items():
            # A PPP or 802.11 frame may have a trailer, a datagram has none.
            assert ours[frame].endswith(data)

    @needs_tshark
    @pytest.mark.tshark
    @pytest.mark.parametrize("name", CAPTURES)
    def test_what_defrag_writes_has_nothing_that_tshark_minds(self, name: str, tmp_path: Path) -> None:
        out = tmp_path / "whole.pcapng"
        counts = nf.defrag(DATA / name, out)
        options = (
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
            "-o",
            "tcp.check_checksum:TRUE",
        )
        rows = tshark_fields(
            out,
            "frame.comment",
            "_ws.expert.message",
            "ip.checksum.status",
            "udp.checksum.status",
            options=options,
        )
        whole = [row for row in rows if row[0].startswith("reassembled from ")]
        assert len(whole) == counts["reassembly"]["completed"] > 0
        for comment, expert, *checksums in whole:
            # The comment itself is an expert item.
            assert expert in ("", comment)
            assert not {"0", "Bad"} & set(",".join(checksums).split(","))
        assert len(rows) == counts["packets"]


class TestScapy:
    @pytest.mark.parametrize("size", [1473, 3000, 9000, 40_000])
    def test_fragments_of_scapy_are_the_packet_again(self, size: int) -> None:
        inet = pytest.importorskip("scapy.layers.inet")
        inet6 = pytest.importorskip("scapy.layers.inet6")
        data = os.urandom(size)
        udp = inet.UDP(sport=1000, dport=2000) / data
        four = inet.IP(src="192.0.2.1", dst="192.0.2.2", id=7) / udp
        six = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2") / inet6.IPv6ExtHdrFragment(id=9) / udp
        reassembler = nf.Reassembler(max_disorder=0)
        fragments = [bytes(each) for each in inet.fragment(four, fragsize=1480)]
        fragments += [bytes(each) for each in inet6.fragment6(six, 1280)]
        random.Random(size).shuffle(fragments)
        whole = {each.packet.ip_version: each for each in reassembler.push(fragments, now=0, link="RAW")}
        assert bytes(whole[4]) == bytes(four)
        plain = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2") / udp
        assert bytes(whole[6]) == bytes(plain)
        assert {each.checksum for each in whole.values()} == {"good"}
        assert (whole[4].identification, whole[6].identification) == (7, 9)


class TestReassembler:
    @given(
        version=st.sampled_from((4, 6)),
        data=st.binary(min_size=17, max_size=3000),
        cuts=st.lists(st.integers(1, 400), min_size=1, max_size=200),
        chance=st.randoms(use_true_random=False),
    )
    def test_any_cut_in_any_order_with_duplicates_is_the_original(
        self, version: int, data: bytes, cuts: list[int], chance: object
    ) -> None:
        pieces = cut(version, data, [1, *cuts])
        pieces += [piece for piece in pieces if chance.random() < 0.3]  # type: ignore[attr-defined]
        chance.shuffle(pieces)  # type: ignore[attr-defined]
        reassembler = nf.Reassembler(min_fragment=0, max_disorder=0)
        whole = [each for piece in pieces for each in reassembler.push([piece], now=SECOND, link="RAW")]
        assert [data_of(each) for each in whole] == [data]
        assert b"".join(map(bytes, whole[0].segments)) == bytes(whole[0])
        counters = reassembler.counters
        assert conserved(counters)
        assert set(counters["dropped"]) <= {"duplicate", "tombstone"}

    def test_packets_come_in_every_form_and_go_out_in_order(self) -> None:
        one, two = cut(4, bytes(range(200)), [10])
        frame = bytes(nf.Ethernet(ethertype=0x800))
        arp = bytes.fromhex("ffffffffffff0200000000010806") + bytes(28)
        reassembler = nf.Reassembler()
        out = reassembler.push([(1, frame + one), nf.dissect(arp, time_ns=2), (3, frame + two)])
        assert [each.kind for each in out] == ["unfragmented", "reassembled"]
        assert [each.time_ns for each in out] == [2, 3]
        assert [each.link_type for each in out] == [1, 1]
        assert [each.fragments for each in out] == [0, 2]
        assert bytes(out[0]) == arp
        assert out[1].packet.time_ns == 3
        assert out[1].largest_fragment == len(two)
        assert data_of_frame(out[1]) == bytes(range(200))
        assert len(out) == 2
        assert [len(each) for each in out[:]] == [len(arp), 14 + 20 + 200]
        assert bytes(out[-1]) == bytes(out[1])
        with pytest.raises(IndexError, match="there are 2 packets"):
            out[2]

    def test_a_capture_is_not_copied(self) -> None:
        with nf.Capture(DATA / "http-ipv4.pcap") as capture:
            batch = next(iter(capture))
            out = nf.Reassembler().push(batch)
        assert [bytes(each) for each in out] == [bytes(each) for each in batch]
        assert all(len(each.segments) == 1 and each.segments[0].readonly for each in out)

    def test_segments_stay_when_all_else_is_gone(self) -> None:
        pieces = cut(4, os.urandom(2000), [100, 200])
        reassembler = nf.Reassembler()
        [whole] = reassembler.push(pieces, now=0, link="RAW")
        segments, expected = whole.segments, bytes(whole)
        del whole, reassembler
        assert len(segments) > 1
        assert b"".join(segments) == expected

    def test_what_is_written_is_what_came_out(self, tmp_path: Path) -> None:
        [whole] = nf.Reassembler().push(cut(6, bytes(4000), [100, 200]), now=5, link="RAW")
        assert nf.write(tmp_path / "out.pcapng", [whole]) == 1
        with nf.Capture(tmp_path / "out.pcapng") as capture:
            [[packet]] = list(capture)
        assert (bytes(packet), packet.time_ns, packet.link_type) == (bytes(whole), 5, 101)

    def test_an_atomic_fragment_goes_on_alone(self) -> None:
        [whole] = nf.Reassembler().push([ipv6(b"x" * 20, 0, False)], now=0, link="RAW")
        assert (whole.kind, whole.fragments) == ("atomic", 1)
        assert whole.packet.protocol == 253
        assert len(whole) == 60

    def test_time_is_the_callers_and_errors_are_owed_for_first_fragments_alone(self) -> None:
        reassembler = nf.Reassembler(timeout=30)
        first, _, last = cut(4, bytes(400), [20, 40])
        assert not reassembler.push([first], now=SECOND, link="RAW")
        assert reassembler.next_timeout == 31 * SECOND
        assert reassembler.poll(31 * SECOND - 1) == 0
        assert reassembler.poll(31 * SECOND) == 1
        [owed] = reassembler.owed()
        assert (owed.type, owed.code, owed.pointer, owed.reason) == (11, 1, None, "timeout")
        message = owed.message("198.51.100.1")
        assert (message.src, message.dst, message[nf.ICMPv4].type, message[nf.ICMPv4].code) == (
            "198.51.100.1",
            "192.0.2.1",
            11,
            1,
        )
        assert first[:28] in bytes(message)
        assert not message.wrong
        [event] = reassembler.events()
        assert (event.kind, event.details["reason"], event.time_ns) == ("dropped", "timeout", 31 * SECOND)
        assert (event.details["src"], event.details["identification"]) == ("192.0.2.1", 7)
        assert not reassembler.push([last], now=40 * SECOND, link="RAW")
        assert reassembler.poll(2**64 - 1) == 1
        assert reassembler.owed() == []
        assert len(reassembler) == 0

    def test_icmpv6_parameter_problems_are_owed(self) -> None:
        reassembler = nf.Reassembler()
        reassembler.push([ipv6(bytes(13), 0, True)], now=0, link="RAW")
        [owed] = reassembler.owed()
        assert (owed.type, owed.code, owed.pointer, owed.reason) == (4, 0, 4, "bad_length")
        message = owed.message("2001:db8::9", hop_limit=255)
        assert (message.dst, message.hop_limit) == ("2001:db8::1", 255)
        with pytest.raises(nf.ConfigError, match="IP version") as refused:
            owed.message("192.0.2.9")
        assert refused.value.option == "source"

    def test_problems_of_later_ipv6_fragments_are_owed(self) -> None:
        # RFC 8200 4.5: a length that is no multiple of 8, and a datagram that would be too long.
        for offset, length, reason, pointer in (
            (8, 17, "bad_length", 4),
            (65_400, 400, "excessively_large", 42),
        ):
            more = reason == "bad_length"
            header = nf.Fragment(
                next_header=17, fragment_offset=offset, more_fragments=int(more), identification=9
            )
            packet = bytes(
                nf.IPv6(src="2001:db8::1", dst="2001:db8::2", next_header=44) / header / bytes(length)
            )
            reassembler = nf.Reassembler()
            reassembler.push([packet], now=0, link="RAW")
            [owed] = reassembler.owed()
            assert (owed.type, owed.code, owed.pointer, owed.reason) == (4, 0, pointer, reason)
            assert bytes(owed.message("2001:db8::2"))[48:] == packet
        # Of IPv4 only first fragments are answered (RFC 1122 3.2.2).
        later = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", protocol=17, fragment_offset=8, more_fragments=1)
        reassembler = nf.Reassembler()
        reassembler.push([bytes(later / bytes(17))], now=0, link="RAW")
        assert (reassembler.counters["dropped"], reassembler.owed()) == ({"bad_length": 1}, [])

    @pytest.mark.parametrize(("between", "whole"), [(3, 1), (4, 0)])
    def test_disorder_counts_what_comes_between(self, between: int, whole: int) -> None:
        header = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", protocol=253)
        first, last = header.replace(more_fragments=1), header.replace(fragment_offset=8)
        others = [bytes(first.replace(identification=1 + at) / bytes(8)) for at in range(between)]
        came = [bytes(first / bytes(8)), *others, bytes(last / bytes(8))]
        assert len(nf.Reassembler(max_disorder=4).push(came, now=0, link="RAW")) == whole

    def test_nothing_is_owed_to_groups(self) -> None:
        multicast = bytes(
            nf.IPv4(src="192.0.2.1", dst="224.0.0.5", protocol=253, more_fragments=1) / bytes(64)
        )
        reassembler = nf.Reassembler()
        reassembler.push([multicast], now=0, link="RAW")
        assert reassembler.poll(2**64 - 1) == 1
        assert reassembler.owed() == []

    def test_contexts_and_vlans_are_worlds_of_their_own(self) -> None:
        one, two = cut(4, bytes(200), [10])
        reassembler = nf.Reassembler()
        assert not reassembler.push([one], now=0, link="RAW", context=1)
        assert not reassembler.push([two], now=0, link="RAW", context=2)
        assert len(reassembler.push([two], now=0, link="RAW", context=1)) == 1

        def tagged(tag: int, packet: bytes) -> bytes:
            return bytes.fromhex("0200000000010200000000028100") + struct.pack(">HH", tag, 0x800) + packet

        reassembler = nf.Reassembler()
        assert not reassembler.push([tagged(1, one), tagged(2, two)], now=0)
        [whole] = reassembler.push([tagged(0x6001, two)], now=0)
        assert whole.packet.vlan == 1

    def test_dropped_fragments_are_given_back(self) -> None:
        one, two = cut(4, bytes(200), [10])
        overlapping = ipv4(b"\xff" * 64, fragment_offset=40, more_fragments=1)
        reassembler = nf.Reassembler(max_dropped=10)
        reassembler.push([one, overlapping, two], now=0, link="RAW")
        dropped = reassembler.dropped()
        assert {bytes(packet) for _, packet in dropped} == {one, overlapping, two}
        assert {reason for reason, _ in dropped} <= set(REASONS)
        assert conserved(reassembler.counters)
        assert reassembler.dropped() == []

    @pytest.mark.parametrize(
        ("policy", "expected"), [("first", 0), ("last", 255), ("bsd", 0), ("windows", 0)]
    )
    @pytest.mark.parametrize("version", [4, 6])
    def test_policies_resolve_overlaps(self, version: int, policy: str, expected: int) -> None:
        def piece(data: bytes, offset: int, more: bool) -> bytes:
            if version == 6:
                return ipv6(data, offset, more)
            return ipv4(data, fragment_offset=offset, more_fragments=int(more))

        pieces = [piece(bytes(64), 0, True), piece(b"\xff" * 64, 32, True), piece(b"\x01" * 8, 96, False)]
        reassembler = nf.Reassembler(policy=policy, policy_ipv6=policy)
        [whole] = reassembler.push(pieces, now=0, link="RAW")
        assert data_of(whole)[32:64] == bytes([expected]) * 32
        for strict in ("drop", "linux"):
            assert not nf.Reassembler(policy=strict, policy_ipv6=strict).push(pieces, now=0, link="RAW")

    def test_pppoe_lengths_are_made_right(self) -> None:
        one, two = cut(4, bytes(200), [10])

        def session(packet: bytes) -> bytes:
            link = bytes.fromhex("020000000001020000000002886411000001") + struct.pack(
                ">HH", len(packet) + 2, 0x21
            )
            return link + packet

        [whole] = nf.Reassembler().push([session(one), session(two)], now=0)
        assert bytes(whole)[:22] == session(bytes(220))[:22]
        assert not whole.packet.wrong

    def test_floods_leave_memory_bounded_and_others_alone(self) -> None:
        reassembler = nf.Reassembler(max_memory=1 << 20, max_dropped=0)
        one, two = cut(4, bytes(2000), [100])
        reassembler.push([one], now=0, link="RAW")
        flood = [
            bytes(
                nf.IPv4(src="203.0.113.1", dst="192.0.2.2", identification=n, more_fragments=1, protocol=253)
                / bytes(512)
            )
            for n in range(20_000)
        ]
        reassembler.push(flood, now=1, link="RAW")
        assert reassembler.memory < 8 << 20
        counters = reassembler.counters
        assert counters["dropped"]["limit"] > 15_000
        assert conserved(counters)
        assert len(reassembler.push([two], now=2, link="RAW")) == 1

    def test_the_longest_datagram_in_smallest_fragments_is_quick(self) -> None:
        data = os.urandom(65_000)
        pieces = cut(4, data, list(range(1, 8_125)))
        pieces = pieces[::2] + pieces[1::2][::-1]
        reassembler = nf.Reassembler(max_disorder=0)
        begin = time.perf_counter()
        [whole] = reassembler.push(pieces, now=0, link="RAW")
        assert time.perf_counter() - begin < 1
        assert data_of(whole) == data
        assert whole.fragments == 8_125

    def test_fragments_of_two_datagrams_are_suspected(self) -> None:
        def datagram(fill: int) -> list[bytes]:
            packet = bytes(
                nf.IPv4(src="192.0.2.1", dst="192.0.2.2", identification=9)
                / nf.UDP(src_port=1, dst_port=2)
                / (bytes([fill]) * 1000)
            )
            return cut_packet(packet, 512)

        (one, _), (_, other) = datagram(1), datagram(2)
        reassembler = nf.Reassembler()
        [whole] = reassembler.push([one, other], now=0, link="RAW")
        assert whole.checksum == "bad"
        [event] = reassembler.events()
        assert (event.kind, event.details["reason"]) == ("noted", "suspected_misassociation")
        [right] = nf.Reassembler().push(datagram(1), now=0, link="RAW")
        assert right.checksum == "good"
        [unread] = nf.Reassembler(verify_checksums=False).push([one, other], now=0, link="RAW")
        assert unread.checksum is None


def data_of_frame(datagram: nf.Datagram) -> bytes:
    return bytes(datagram)[34:]


def cut_packet(packet: bytes, at: int) -> list[bytes]:
    """An IPv4 packet without options as two fragments."""
    data = packet[20:]
    fields = {"identification": int.from_bytes(packet[4:6]), "protocol": packet[9]}
    return [ipv4(data[:at], more_fragments=1, **fields), ipv4(data[at:], fragment_offset=at, **fields)]


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "option", "words"),
        [
            ({"policy": "solaris"}, "policy", "give one of drop, linux, bsd, windows, first, last"),
            ({"policy_ipv6": "bsd-right"}, "policy_ipv6", "there is no such policy"),
            ({"timeout": -1.0}, "timeout", "give seconds from 0 up"),
            ({"timeout_ipv6": float("nan")}, "timeout_ipv6", "give seconds from 0 up"),
            ({"max_datagrams": 0}, "max_datagrams", "from 1 to"),
            ({"max_memory": -1}, "max_memory", "from 1 to"),
            ({"max_fragments": 2**63}, "max_fragments", "from 1 to"),
            ({"max_disorder": -5}, "max_disorder", "from 0 to"),
            ({"source_share": 0}, "source_share", "from 1 to"),
            ({"seed": -1}, "seed", "from 0 to"),
        ],
    )
    def test_settings_that_cannot_be_are_named(
        self, settings: dict[str, object], option: str, words: str
    ) -> None:
        for refuse in (
            lambda: nf.Reassembler(**settings),  # type: ignore[arg-type]
            lambda: nf.flows(DATA / "vlan.pcap", reassemble=settings),
            lambda: nf.packets(DATA / "vlan.pcap", reassemble=settings),
            lambda: nf.Capture(DATA / "vlan.pcap", reassemble=settings),
        ):
            with pytest.raises(nf.ConfigError, match=words) as refused:
                refuse()
            assert refused.value.option == option

    @pytest.mark.parametrize(
        "settings",
        [
            {"policy": 1},
            {"timeout": "30"},
            {"wrap_safe": 1},
            {"max_memory": 1.5},
            {"verify_checksums": "yes"},
        ],
    )
    def test_settings_of_the_wrong_type_are_type_errors(self, settings: dict[str, object]) -> None:
        [name] = settings
        with pytest.raises(TypeError, match=name):
            nf.Reassembler(**settings)  # type: ignore[arg-type]

    def test_unknown_settings_and_what_is_no_setting(self) -> None:
        with pytest.raises(nf.ConfigError, match='has no setting "polcy"'):
            nf.packets(DATA / "vlan.pcap", reassemble={"polcy": "drop"})
        with pytest.raises(TypeError, match="reassemble is str"):
            nf.packets(DATA / "vlan.pcap", reassemble="yes")  # type: ignore[arg-type]

    def test_a_packet_needs_a_time(self) -> None:
        with pytest.raises(TypeError, match="packet 0 has no time: give now="):
            nf.Reassembler().push([b"x"])
        with pytest.raises(nf.ConfigError, match="now=-1"):
            nf.Reassembler().push([b"x"], now=-1)
        with pytest.raises(TypeError, match="packets cannot be int"):
            nf.Reassembler().push(5, now=0)
        with pytest.raises(nf.ConfigError, match="context=-1"):
            nf.Reassembler().push([b"x"], now=0, context=-1)

    @given(packets=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=120)), max_size=30))
    def test_bytes_of_any_kind_at_any_time(self, packets: list[tuple[int, bytes]]) -> None:
        reassembler = nf.Reassembler()
        for link in ("EN10MB", "RAW", "LINUX_SLL2", "PPP", "IEEE802_11"):
            for _ in reassembler.push(packets, link=link):
                pass
        reassembler.poll(2**64 - 1)
        assert len(reassembler) == 0
        assert conserved(reassembler.counters)

    @given(chance=st.randoms(use_true_random=False), policy=st.sampled_from(POLICIES))
    def test_changed_fragments(self, chance: object, policy: str) -> None:
        pieces = cut(4, bytes(600), [10, 20, 30]) + cut(6, bytes(600), [10, 20, 30])
        for _ in range(3):
            at = chance.randrange(len(pieces))  # type: ignore[attr-defined]
            piece = bytearray(pieces[at])
            piece[chance.randrange(len(piece))] ^= 1 << chance.randrange(8)  # type: ignore[attr-defined]
            pieces.append(bytes(piece))
        chance.shuffle(pieces)  # type: ignore[attr-defined]
        reassembler = nf.Reassembler(policy=policy, policy_ipv6=policy, verify_headers=False)
        reassembler.push(pieces, now=0, link="RAW")
        reassembler.poll(2**64 - 1)
        assert conserved(reassembler.counters)
        assert {event.details.get("reason") for event in reassembler.events()} <= {*REASONS, None}


def test_header_checksums_count_where_asked_for() -> None:
    """Captures of a sender with checksum offload, or whose addresses were changed: all of them are wrong."""
    pieces = [piece[:10] + b"\xab\xcd" + piece[12:] for piece in cut(4, bytes(range(200)), [10])]
    (whole,) = nf.Reassembler().push(pieces, now=0, link="RAW")
    assert data_of(whole) == bytes(range(200))
    verifying = nf.Reassembler(verify_headers=True)
    assert not list(verifying.push(pieces, now=0, link="RAW"))
    assert verifying.counters["dropped"] == {"bad_checksum": 2}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A datagram in three fragments, between them other packets; one that is never whole."""
    path = tmp_path / "mixed.pcap"
    one, two, three = cut(4, bytes(range(250)) * 2, [20, 40])
    alone = cut(4, bytes(200), [10], identification=99)[0]
    other = bytes(nf.IPv4(src="192.0.2.9", dst="192.0.2.2") / nf.UDP(src_port=1, dst_port=2) / b"other")
    packets = [one, alone, other, three, other, two, other]
    nf.write(path, [(number * 1_000_000, packet) for number, packet in enumerate(packets, 1)], link="RAW")
    return path


class TestCaptures:
    def test_defrag_keeps_order_and_says_what_it_made(self, mixed: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.pcapng"
        counts = nf.defrag(mixed, out)
        assert (counts["read"], counts["packets"]) == (7, 4)
        assert counts["reassembly"]["dropped"] == {"timeout": 1}
        written = list(frames(out))
        assert [frame["time_ns"] for frame in written] == [3_000_000, 5_000_000, 6_000_000, 7_000_000]
        assert [frame["comments"] for frame in written][:2] == [[], []]
        assert written[2]["comments"][0].startswith("reassembled from 3 fragments")
        assert bytes(written[2]["data"])[20:] == bytes(range(250)) * 2

    def test_what_is_never_whole_can_be_kept(self, mixed: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.pcapng"
        counts = nf.defrag(mixed, out, keep_incomplete=True)
        assert (counts["packets"], counts["filtered_out"]) == (5, 0)
        assert conserved(counts["reassembly"])
        assert counts["reassembly"]["packets"] == counts["read"]
        written = list(frames(out))
        assert written[-1]["time_ns"] == 2_000_000
        assert bytes(written[-1]["data"])[20:] == bytes(80)

    def test_filters_see_whole_datagrams(self, tmp_path: Path) -> None:
        out = tmp_path / "out.pcapng"
        counts = nf.defrag(DATA / "fragments-ipv4.pcap", out, filter="udp port 7")
        assert counts["packets"] == 6
        rows = [
            row
            for batch in nf.packets(DATA / "fragments-ipv4.pcap", filter="udp", reassemble=True)
            for row in batch.rows()
        ]
        assert {row["more_fragments"] for row in rows} == {False}
        assert {row["l4_checksum"] for row in rows} == {"good"}

    def test_a_capture_without_fragments_is_copied_as_it_is(self, tmp_path: Path) -> None:
        nf.copy(DATA / "two-interfaces.pcapng", tmp_path / "copied.pcapng")
        counts = nf.defrag(DATA / "two-interfaces.pcapng", tmp_path / "whole.pcapng")
        assert (tmp_path / "whole.pcapng").read_bytes() == (tmp_path / "copied.pcapng").read_bytes()
        assert counts["reassembly"]["completed"] == 0

    def test_one_wild_time_ends_only_what_waits(self, tmp_path: Path) -> None:
        one = cut(4, bytes(200), [10])[0]
        others = cut(4, bytes(200), [10], identification=8)
        path = tmp_path / "wild.pcap"
        filler = bytes(nf.IPv4(src="192.0.2.9", dst="192.0.2.2", protocol=253))
        nf.write(
            path,
            [
                (SECOND, one),
                (4_000_000_000 * SECOND, filler),
                (2 * SECOND, others[0]),
                (3 * SECOND, others[1]),
            ],
            link="RAW",
        )
        counts = nf.defrag(path, tmp_path / "out.pcapng")
        assert counts["reassembly"]["completed"] == 1
        assert counts["reassembly"]["dropped"] == {"timeout": 1}

    @pytest.mark.parametrize("threads", [1, 3])
    def test_flows_see_datagrams(self, threads: int) -> None:
        path = DATA / "fragments-ipv4.pcap"

        def flows(reassemble: bool) -> dict[tuple[object, ...], list[int]]:
            found: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
            stream = nf.flows(path, reassemble=reassemble, threads=threads)
            for batch in stream:
                for row in batch.rows():
                    key = (row["src"], row["dst"], row["protocol"], row["src_port"], row["dst_port"])
                    found[key][0] += row["packets_fwd"] + row["packets_rev"]
            assert stream.reassembly["completed"] == (12 if reassemble else 0)
            return found

        apart, whole = flows(False), flows(True)
        assert apart.keys() == whole.keys()
        assert sum(packets for packets, _ in apart.values()) == 40
        assert sum(packets for packets, _ in whole.values()) == 12

    def test_frames_are_those_that_completed_datagrams(self) -> None:
        with nf.Capture(DATA / "fragments-ipv4.pcap", reassemble=True) as capture:
            numbers = [packet.frame for batch in capture for packet in batch]
            assert capture.reassembly["completed"] == 12
        assert numbers[:2] == [2, 4]

    def test_fragments_of_two_interfaces_are_kept_apart(self, tmp_path: Path) -> None:
        one, two = cut(4, bytes(200), [10])
        ethernet = bytes(nf.Ethernet(ethertype=0x800))
        path = tmp_path / "two.pcapng"
        nf.write(path, [(1, nf.dissect(one, link="RAW")), (2, ethernet + two)])
        assert nf.defrag(path, tmp_path / "out.pcapng")["reassembly"]["completed"] == 0

    def test_damage_is_told_after_what_was_whole(self, mixed: Path, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.pcap"
        damaged.write_bytes(mixed.read_bytes()[:-3])
        out = tmp_path / "out.pcapng"
        with pytest.raises(nf.ParseError):
            nf.defrag(damaged, out, keep_incomplete=True)
        assert len(list(frames(out))) == 4

    def test_a_capture_is_not_written_over_itself(self, mixed: Path) -> None:
        before = mixed.read_bytes()
        with pytest.raises(nf.ConfigError):
            nf.defrag(mixed, mixed)
        assert mixed.read_bytes() == before


def command(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-c",
        "from netfast.cli import main; main(prog_name='netfast')",
        *map(str, arguments),
    ]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore


class TestCommand:
    def test_statistics_for_people_and_as_json(self, mixed: Path, tmp_path: Path) -> None:
        done = command("defrag", mixed, tmp_path / "out.pcapng")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].split() == ["packets", "7", "read,", "4", "written"]
        # It is shorter than any timeout.
        assert "not used     1 fragment: timeout or end of capture 1" in lines
        done = command("defrag", mixed, tmp_path / "out.pcapng", "--json")
        told = json.loads(done.stdout)
        assert (told["read"], told["written"], told["completed"], told["dropped"]) == (
            7,
            4,
            1,
            {"timeout": 1},
        )
        # Each packet is in one place.
        assert (told["fragments"], told["not_fragments"], told["filtered_out"]) == (4, 3, 0)
        assert told["read"] == told["fragments"] + told["not_fragments"] + told["atomic"] + told["held"]
        done = command("defrag", mixed, tmp_path / "out.pcapng", "--filter", "udp")
        assert done.stdout.splitlines()[0].split() == [
            "packets",
            "7",
            "read,",
            "3",
            "written,",
            "1",
            "filtered",
            "out",
        ]

    def test_pipes(self, mixed: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.pcapng"
        with mixed.open("rb") as source, out.open("wb") as target:
            line = [
                sys.executable,
                "-c",
                "from netfast.cli import main; main(prog_name='netfast')",
                "defrag",
                "-",
                "-",
            ]
            done = subprocess.run(
                line, stdin=source, stdout=target, stderr=subprocess.PIPE, text=True, check=True
            )
        assert "7 read, 4 written" in done.stderr
        assert len(list(frames(out))) == 4

    def test_a_full_disk_is_one_line(self, mixed: Path) -> None:
        done = command("defrag", mixed, "/dev/full")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--policy", "solaris"), "solaris"),
            (("--timeout", "-1"), "-1"),
            (("--max-disorder", "x"), "x"),
        ],
    )
    def test_wrong_usage(self, mixed: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
        done = command("defrag", mixed, tmp_path / "out.pcapng", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr

    def test_no_file_and_the_same_file(self, mixed: Path, tmp_path: Path) -> None:
        done = command("defrag", tmp_path / "none.pcap", tmp_path / "out.pcapng")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        done = command("defrag", mixed, mixed)
        assert (done.returncode, "is read, so it cannot be written" in done.stderr) == (2, True)

    def test_ctrl_c_ends_a_wait(self, tmp_path: Path) -> None:
        line = [sys.executable, "-c", "from netfast.cli import main; main(prog_name='netfast')"]
        line += ["defrag", "-", str(tmp_path / "out.pcapng")]
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write((DATA / "fragments-ipv4.pcap").read_bytes())
        process.stdin.flush()
        wait_for(tmp_path / "out.pcapng")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors
        assert b"Traceback" not in errors
        assert len(list(frames(tmp_path / "out.pcapng"))) == 12

    def test_flows_and_packets_tell_of_what_is_not_whole(self, mixed: Path) -> None:
        done = command("flows", mixed, "--reassemble", "--json")
        assert done.returncode == 0
        assert "fragments that are of no whole datagram: 1 timeout or end of capture" in done.stderr
        done = command("packets", mixed, "--reassemble", "--json")
        assert len(done.stdout.splitlines()) == 5
        done = command("packets", mixed, "--reassemble", "-w", "x.pcap")
        assert (done.returncode, "netfast defrag" in done.stderr) == (2, True)


def wait_for(path: Path) -> None:
    """Until a file has all datagrams that it will have."""
    for _ in range(200):
        if path.exists() and path.stat().st_size > 40_000:
            return
        time.sleep(0.05)
    pytest.fail(f"{path} stays short")


def test_the_documentation_has_every_reason_and_policy() -> None:
    text = (Path(__file__).parent.parent / "docs" / "fragments.md").read_text()
    assert [name for name in (*REASONS, *POLICIES) if f"`{name}`" not in text] == []


def tunnelled() -> list[bytes]:
    """A datagram in three fragments through each of some tunnels, fragments of all turn by turn."""
    udp = bytes(nf.UDP(src_port=7000, dst_port=7001, length=3008)) + bytes(range(250)) * 12

    def inner(number: int, at: int) -> bytes:
        # tshark does not keep tunnels apart.
        header = nf.IPv4(src="10.1.0.1", dst="10.1.0.2", protocol=17, identification=9 + number)
        last = at == 2000
        data = udp[at:] if last else udp[at : at + 1000]
        return bytes(header.replace(fragment_offset=at, more_fragments=int(not last)) / data)

    six = {"src": "2001:db8::1", "dst": "2001:db8::2"}
    four = {"src": "192.0.2.1", "dst": "192.0.2.2"}
    ethernet = bytes(nf.Ethernet(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b", ethertype=0x0800))
    vxlan = bytes([8, 0, 0, 0, 0, 0, 7, 0]) + ethernet
    tunnels = [
        lambda data: nf.IPv4(**four, protocol=4) / data,
        lambda data: nf.IPv6(**six, next_header=4) / data,
        lambda data: nf.IPv4(**four, protocol=47) / (bytes([0, 0, 8, 0]) + data),
        lambda data: nf.IPv4(**four) / nf.UDP(src_port=40_000, dst_port=4789) / (vxlan + data),
        lambda data: nf.IPv6(**six) / nf.UDP(src_port=40_000, dst_port=4789) / (vxlan + data),
    ]
    return [
        bytes(nf.Ethernet() / tunnel(inner(number, at)))
        for at in (0, 1000, 2000)
        for number, tunnel in enumerate(tunnels)
    ]


def radiotap(packet: bytes) -> bytes:
    """A Wi-Fi frame that ends with a check sequence, a wrong one, as its header says."""
    header = bytes([0, 0, 9, 0, 2, 0, 0, 0, 0x50])
    wifi = bytes([8, 1, 0, 0]) + bytes([2, 0, 0, 0, 0, 1]) * 3 + bytes(2)
    return header + wifi + bytes([0xAA, 0xAA, 3, 0, 0, 0, 8, 0]) + packet + b"\x01\x02\x03\x04"


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
@pytest.mark.tshark
@pytest.mark.parametrize("keep", [False, True])
def test_frames_without_a_check_sequence_do_not_say_that_they_have_one(keep: bool, tmp_path: Path) -> None:
    source, target = tmp_path / "wifi.pcap", tmp_path / "whole.pcapng"
    udp = bytes(nf.UDP(src_port=7000, dst_port=7001, length=1008)) + bytes(range(250)) * 4
    header = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", protocol=17, identification=9)
    pieces = [header.replace(more_fragments=1) / udp[:800], header.replace(fragment_offset=800) / udp[800:]]
    came = [(1 + at, radiotap(bytes(piece))) for at, piece in enumerate(pieces)]
    nf.write(source, came[: 1 if keep else 2], link=127)
    nf.defrag(source, target, keep_incomplete=keep)
    command = ["tshark", "-r", str(target), "-T", "fields", "-e", "frame.len", "-e", "ip.len"]
    command += ["-e", "_ws.expert.message", "-e", "radiotap.flags.fcs", "-e", "radiotap.flags.badfcs"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # tshark tells of the comment as well.
    [line] = done.stdout.splitlines()
    length, ip_length, messages, *says = line.split("\t")
    assert (length, ip_length) == (("861", "820") if keep else ("1069", "1028"))
    assert "exceeds" not in messages
    assert says in (["0", "0"], ["False", "False"])


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
@pytest.mark.tshark
def test_tshark_sees_the_same_in_tunnels(tmp_path: Path) -> None:
    source, target = tmp_path / "tunnels.pcap", tmp_path / "whole.pcap"
    nf.write(source, [(1 + at, frame) for at, frame in enumerate(tunnelled())])
    counts = nf.defrag(source, target)
    assert (counts["read"], counts["packets"], counts["reassembly"]["completed"]) == (15, 5, 5)

    def seen(path: Path, *options: str) -> list[list[str]]:
        fields = ("udp.payload", "ip.checksum.status", "udp.checksum.status", "_ws.malformed")
        command = ["tshark", "-r", str(path), "-T", "fields", "-Y", "udp.port == 7001", *options]
        for name in fields:
            command += ["-e", name]
        for name in ("ip.check_checksum", "udp.check_checksum"):
            command += ["-o", f"{name}:TRUE"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    theirs, whole = seen(source), seen(target, "-o", "ip.defragment:FALSE")
    # The innermost: that of VXLAN around it stands before it.
    assert [line[0].split(",")[-1] for line in whole] == [line[0].split(",")[-1] for line in theirs]
    assert len(whole) == 5
    for _, ip, udp, malformed in whole:
        # 1 is good.
        assert set(ip.split(",")) == {"1"}
        # The innermost one has none.
        assert udp.split(",") in (["3"], ["1", "3"])
        assert malformed == ""
    flows = nf.flows(source, inner=True, reassemble=True)
    rows = [row for batch in flows for row in batch.rows()]
    assert [row["packets_fwd"] for row in rows] == [5]
