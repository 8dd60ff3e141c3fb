"""One packet: its values, its tree, what is said about it, and the way to scapy and back."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netfast as nf
from netfast import Packet, dissect
from netfast.errors import ConfigError
from netfast.headers import (
    GRE,
    TCP,
    UDP,
    VLAN,
    VXLAN,
    Dot11,
    Ethernet,
    Fragment,
    HeaderStack,
    ICMPv4,
    ICMPv6,
    IPv4,
    IPv6,
    Null,
)

DATA = Path(__file__).parent / "data"
ETHER = Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP = IPv6(src="2001:db8::1", dst="2001:db8::2", flow_label=0xABCDE, traffic_class=0x2E)
FRAME = bytes(ETHER / VLAN(vid=7) / IP / TCP(src_port=1234, dst_port=80, flags="PA", ack=1) / b"hello")


def test_values_are_those_of_the_packet_columns() -> None:
    packet = dissect(FRAME)
    assert packet.five_tuple == ("2001:db8::1", "2001:db8::2", 6, 1234, 80)
    assert (packet.src, packet.dst, packet.protocol, packet.src_port, packet.dst_port) == packet.five_tuple
    assert (packet.caplen, packet.len, packet.link_type, packet.vlan) == (len(FRAME), len(FRAME), 1, 7)
    assert (packet.ip_version, packet.hop_limit, packet.traffic_class, packet.flow_label) == (
        6,
        64,
        0x2E,
        0xABCDE,
    )
    assert (packet.tcp_flags, packet.payload_len, packet.verdict) == (0x18, 5, "ok")
    assert (packet.l3_checksum, packet.l4_checksum) == (None, "good")
    assert (packet.fragment_offset, packet.fragment_id, packet.more_fragments) == (None, None, None)
    assert bytes(packet.payload) == b"hello"
    assert packet.payload.readonly


def test_values_that_a_packet_has_not_are_none() -> None:
    packet = dissect(b"\0" * 3)
    names = [
        "vlan",
        "ip_version",
        "src",
        "dst",
        "protocol",
        "src_port",
        "dst_port",
        "tcp_flags",
        "payload_len",
        "hop_limit",
    ]
    assert all(getattr(packet, name) is None for name in names)
    assert packet.verdict == "malformed"
    assert packet.headers == ()
    assert len(packet.wrong) == 1


def test_headers_are_found_by_class_and_index() -> None:
    packet = dissect(FRAME)
    assert [type(header) for header in packet.headers] == [Ethernet, VLAN, IPv6, TCP]
    assert packet[IPv6].flow_label == 0xABCDE
    assert packet[-1].dst_port == 80
    assert packet[0].ethertype == 0x8100
    assert IPv6 in packet
    assert UDP not in packet
    assert packet.get(UDP) is None
    with pytest.raises(KeyError, match="UDP"):
        packet[UDP]
    with pytest.raises(TypeError):
        packet["IPv6"]
    with pytest.raises(TypeError, match="header class"):
        packet[int]


def test_bytes_are_kept_and_what_may_change_is_copied() -> None:
    assert dissect(FRAME).data.obj is FRAME
    mutable = bytearray(FRAME)
    packet = dissect(mutable)
    mutable[:] = bytes(len(mutable))
    assert bytes(packet) == FRAME
    assert dissect(memoryview(FRAME)) == packet


def test_link_types_by_number_and_name() -> None:
    assert dissect(FRAME[18:], link="raw") == dissect(FRAME[18:], link=101)
    assert dissect(FRAME, link="ethernet") == dissect(FRAME)
    with pytest.raises(ConfigError, match="LINUX_SLL"):
        dissect(FRAME, link="token ring")
    with pytest.raises(TypeError, match="fromhex"):
        dissect("6000")


def test_a_cut_packet_says_so() -> None:
    packet = dissect(FRAME[:70], wire_len=len(FRAME))
    assert packet.verdict == "truncated"
    assert packet.len == len(FRAME)
    assert packet.src == "2001:db8::1"
    assert any("capture ends" in what for _, _, what in packet.wrong)


def test_explain_names_what_is_wrong() -> None:
    assert "Nothing is wrong" in dissect(FRAME).explain()
    broken = bytearray(FRAME)
    broken[-1] ^= 1
    text = dissect(broken).explain()
    assert "bad checksum" in text
    assert "byte 74" in text
    header = bytes(IPv4(src="192.0.2.1", dst="192.0.2.2", header_checksum=1) / UDP() / b"x")
    assert any(
        "0x0001 stands there, 0xf6cc is right" in what for _, _, what in dissect(header, link="RAW").wrong
    )
    short = bytes(IP / UDP(length=9) / b"abc")
    assert any("leaves 2 bytes" in what for _, _, what in dissect(short, link="RAW").wrong)
    reserved = bytes(IP / Fragment(reserved=1) / UDP() / b"x")
    assert ("Fragment", 41, "reserved: reserved bits are 1, not zero") in dissect(reserved, link="RAW").wrong
    far = bytes(IP / ICMPv6(type=135, target="fe80::1"))
    assert any("hop limit other than 255" in what for _, _, what in dissect(far, link="RAW").wrong)


OLD = IPv4(src="192.0.2.1", dst="192.0.2.2")


def patched(stack: nf.HeaderStack, at: int, value: int) -> bytes:
    data = bytearray(bytes(stack))
    data[at] = value
    return bytes(data)


WRONG_LENGTHS = [
    (patched(OLD / TCP(), 0, 0x43), ("IPv4", 0, "header length 12 bytes, which must be at least 20")),
    (patched(OLD / TCP(), 0, 0x55), ("IPv4", 0, "IP version 5, not 4 or 6")),
    (patched(OLD / TCP(), 32, 0x30), ("TCP", 20, "header length 12 bytes, which must be at least 20")),
    (patched(OLD / TCP(), 32, 0xF0), ("TCP", 20, "header length 60 bytes, and 20 are there")),
    (bytes(OLD / TCP())[:30], ("TCP", 20, "20 bytes are needed here, and 10 are there")),
    (
        bytes(OLD.replace(total_length=500) / UDP() / b"hello"),
        ("IPv4", 0, "the length of the IP packet is 500 bytes, and the frame has 33"),
    ),
    (
        bytes(OLD / UDP(length=100) / b"hello"),
        ("UDP", 24, "length 100, and the IP packet has 13 bytes for it"),
    ),
    (bytes(OLD / UDP(length=3) / b"hello"), ("UDP", 24, "length 3, which must be at least 8")),
    (
        bytes(OLD.replace(total_length=10) / UDP()),
        ("IPv4", 0, "total length 10, which is less than the header's 20 bytes"),
    ),
    (b"", ("IPv4", 0, "1 bytes are needed here, and 0 are there")),
]


@pytest.mark.parametrize(("data", "finding"), WRONG_LENGTHS, ids=lambda value: str(value)[:60])
def test_a_wrong_length_is_told_by_what_the_header_says(data: bytes, finding: tuple[str, int, str]) -> None:
    packet = dissect(data, link="RAW")
    assert packet.verdict == "malformed"
    assert packet.wrong == [finding], "and nothing else, as what follows from it"


def test_another_ip_version_than_announced() -> None:
    packet = dissect(bytes(Ethernet(ethertype=0x0800) / nf.Raw(data=bytes(IP))))
    assert ("IPv4", 14, "IP version 6, where IPv4 is announced") in packet.wrong
    assert repr(dissect(b"")) == "<Packet without a header, malformed>"


def test_explain_tells_what_matters_of_each_header() -> None:
    asks = nf.ARP(sender_ip="192.0.2.1", sender_mac="02:00:00:00:00:01", target_ip="192.0.2.2")
    hops = nf.HopByHop(options=[("router_alert", 0)])
    route = nf.Routing(type=4, segments_left=1, addresses=["2001:db8::a", "2001:db8::b"])
    for packet, sentence in (
        (ETHER / asks, "192.0.2.1, at 02:00:00:00:00:01, asks who has 192.0.2.2."),
        (ETHER / asks.replace(operation=2), "192.0.2.1 is at 02:00:00:00:00:01, which 192.0.2.2 is told."),
        (IP / hops / UDP(), "HopByHop options: router_alert 0."),
        (IP / route / UDP(), "Routing type 4 (segment routing), 1 segment left of 2001:db8::a, 2001:db8::b."),
        (IP.replace(hop_limit=255) / ICMPv6(type=135, target="fe80::1"), "It is about fe80::1."),
        (IP / TCP(options=[("mss", 1440), "nop"]), "TCP options: mss 1440."),
        (OLD / nf.ICMPv4(type=8), "It says echo request."),
    ):
        assert sentence in dissect(packet).explain().splitlines()


def test_the_tree_holds_every_byte() -> None:
    inner = ETHER / IPv4(src="192.0.2.1", dst="192.0.2.2") / UDP(src_port=1, dst_port=2) / b"abc"
    packet = dissect(bytes(IP / UDP() / VXLAN(vni=5) / inner), link="RAW")
    tree = packet.tree()
    assert [part["header"] for part in tree] == ["IPv6", "UDP", "VXLAN", "Ethernet", "IPv4", "UDP", "Payload"]
    assert sum(part["length"] for part in tree) == len(packet)
    for part in tree:
        bits = sum(field["bits"] for field in part["fields"])
        assert bits == part["length"] * 8, part["header"]
        for field in part["fields"]:
            start, end = field["offset"] // 8, -(-(field["offset"] + field["bits"]) // 8)
            assert bytes.fromhex(field["bytes"]) == bytes(packet)[start:end]
    text = packet.show()
    assert all(part["header"] in text for part in tree)
    assert "192.0.2.1" in text
    html = packet._repr_html_()
    assert html.count("<details>") == html.count("</details>") == len(tree)
    assert repr(packet).startswith(
        "<Packet IPv6/UDP/VXLAN/Ethernet/IPv4/UDP [2001:db8::1]:0 > [2001:db8::2]:4789"
    )


def test_a_captured_packet_is_changed_and_sent_again() -> None:
    packet = dissect(FRAME)
    assert bytes(packet.to_stack()) == FRAME
    changed = packet.to_stack().replace(TCP, dst_port=443).with_payload(b"longer payload").recompute()
    again = dissect(bytes(changed))
    assert again.dst_port == 443
    assert again.l4_checksum == "good"
    assert again.wrong == []
    assert again.payload_len == len(b"longer payload")


def test_values_pickle_copy_and_compare() -> None:
    packet = dissect(FRAME[:70], wire_len=len(FRAME))
    for other in (pickle.loads(pickle.dumps(packet)), copy.deepcopy(packet)):
        assert other == packet
        assert hash(other) == hash(packet)
        assert other.len == len(FRAME)
    assert packet != dissect(FRAME[:70])
    first = next(found for found in captured(DATA / "two-interfaces.pcapng") if found.interface)
    for other in (pickle.loads(pickle.dumps(first)), copy.copy(first), copy.deepcopy(first)):
        assert (other.time_ns, other.frame, other.interface) == (first.time_ns, first.frame, 1)
        assert other == first
    assert dissect(bytes(first), link=first.link_type) == first, "time, frame and interface do not count"


def test_scapy_there_and_back() -> None:
    pytest.importorskip("scapy")
    from scapy.layers.inet import TCP as ScapyTCP
    from scapy.layers.inet6 import IPv6 as ScapyIPv6

    theirs = dissect(FRAME).to_scapy()
    assert theirs[ScapyTCP].dport == 80
    assert bytes(theirs) == FRAME
    assert Packet.from_scapy(theirs) == dissect(FRAME)
    raw = Packet.from_scapy(ScapyIPv6(dst="2001:db8::9") / ScapyTCP())
    assert raw.link_type == 101
    assert raw.dst == "2001:db8::9"
    assert raw.l4_checksum == "good"
    assert isinstance(dissect(FRAME[18:], link="RAW").to_scapy(), ScapyIPv6)


def test_scapy_keeps_time_and_length_on_the_wire(tmp_path: Path) -> None:
    pytest.importorskip("scapy")
    from scapy.layers.inet import IP as ScapyIP
    from scapy.layers.inet import UDP as ScapyUDP
    from scapy.layers.l2 import Ether
    from scapy.utils import rdpcap, wrpcap

    with nf.Capture(DATA / "snaplen-60.pcap") as capture:
        packet = next(iter(capture))[0]
    theirs = packet.to_scapy()
    assert (int(theirs.time * 10**9), theirs.wirelen) == (packet.time_ns, packet.len)
    wrpcap(str(tmp_path / "theirs.pcap"), [theirs], nano=True)
    again = Packet.from_scapy(rdpcap(str(tmp_path / "theirs.pcap"))[0])
    assert (again.time_ns, again.len, again) == (packet.time_ns, packet.len, packet)
    built = Ether() / ScapyIP() / ScapyUDP()
    built.time = 1.5
    for packets in (built, [built], [ScapyIP(bytes(built)[14:])]):
        assert nf.write(tmp_path / "ours.pcapng", packets) == 1
    nf.write(tmp_path / "ours.pcapng", [built])
    with nf.Capture(tmp_path / "ours.pcapng") as capture:
        assert next(iter(capture))[0].time_ns == 1_500_000_000


def captured(path: Path) -> list[Packet]:
    with nf.Capture(path) as capture:
        return [packet for batch in capture for packet in batch]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_one_packet_is_one_packet(form: str, tmp_path: Path) -> None:
    stack = ETHER / IP / UDP(src_port=1, dst_port=2) / b"hello"
    path = tmp_path / f"one.{form}"
    for one in (stack, bytes(stack), bytearray(bytes(stack)), dissect(stack), (7, stack), (7, stack, 100)):
        assert nf.write(path, one) == 1
        (packet,) = captured(path)
        assert bytes(packet) == bytes(stack)
        if isinstance(one, tuple):
            assert (packet.time_ns, packet.len) == (7, (*one, len(packet))[2])
    assert nf.write(path, ETHER) == 1
    for none in ("text", ["text"], 3, [3], None, [(1.5, stack)], [(1, 2, 3, 4)]):
        with pytest.raises(TypeError):
            nf.write(path, none)


def test_headers_and_packets_say_their_link_type(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pcapng"
    inner = IP / UDP() / b"x"
    stacks = [inner, ETHER / inner, nf.LinuxSLL() / inner, nf.LinuxSLL2() / inner, nf.Null() / inner]
    stacks += [nf.PPP(address=255, control=3) / inner, nf.RadioTap() / Dot11(type=1, subtype=13), Dot11()]
    assert nf.write(path, [*stacks, dissect(bytes(inner), link="RAW"), bytes(ETHER / inner)]) == 10
    assert [packet.link_type for packet in captured(path)] == [101, 1, 113, 276, 0, 9, 127, 105, 101, 1]
    nf.write(path, [bytes(inner), inner], link="IPV6")
    assert [packet.link_type for packet in captured(path)] == [229, 229]
    with pytest.raises(ConfigError, match=r"began with RAW.*is EN10MB; write pcapng"):
        nf.write(tmp_path / "mixed.pcap", [inner, ETHER / inner])
    with pytest.raises(ConfigError, match="no link type begins with UDP: put Ethernet"):
        nf.write(path, [UDP()])
    with pytest.raises(ConfigError, match="link 'token ring' is unknown"):
        nf.write(path, [inner], link="token ring")


def test_what_a_capture_cannot_hold_is_the_callers_mistake(tmp_path: Path) -> None:
    for time_ns, match in ((-1, "time_ns=-1"), (2**64, "2\\*\\*64"), (5_000_000_000 * 10**9, "pcapng holds")):
        with pytest.raises(ConfigError, match=match):
            nf.write(tmp_path / "far.pcap", [(time_ns, FRAME)])
    with pytest.raises(ConfigError, match="wire_len=-1"):
        nf.write(tmp_path / "far.pcap", [(1, FRAME, -1)])


def test_a_flow_table_takes_what_write_takes() -> None:
    packets = captured(DATA / "dns-udp.pcap")
    inner = bytes(IP / UDP(src_port=1, dst_port=2) / b"x")
    table = nf.FlowTable()
    assert table.push(packets) == len(packets)
    assert table.push([(1, packets[0]), (1, packets[0].data), (1, dissect(FRAME))]) == 3
    assert table.counters["in_flows"] == len(packets) + 3
    table.finish()
    for item, link in (
        (IP / UDP(src_port=1, dst_port=2) / b"x", None),
        (inner, "RAW"),
        (memoryview(inner), 101),
    ):
        assert table.push([(1, item)], link=link) == 1
    assert table.push([(1, inner, 3)], link="raw") == 1
    (flow,) = table.finish().rows()
    assert (flow["packets_fwd"], flow["l2_bytes_fwd"]) == (4, 4 * len(inner))
    for wrong in (packets[0], FRAME, (1, FRAME), [FRAME], [3], 3, None, [(1.5, FRAME)], [(1, "x")], "x"):
        with pytest.raises(TypeError, match=r"time_ns|fromhex"):
            table.push(wrong)
    with pytest.raises(ConfigError, match="time_ns=-1"):
        table.push([(1, FRAME), (-1, FRAME)])
    assert len(table) == 0


def test_dissect_takes_headers_and_times() -> None:
    packet = dissect(IP / UDP() / b"x", time_ns=5)
    assert (packet.link_type, packet.time_ns, packet.src) == (101, 5, "2001:db8::1")
    assert dissect(packet) == packet
    with pytest.raises(ConfigError, match="UDP"):
        dissect(UDP())


def test_threads_may_share_a_packet() -> None:
    packet = dissect(FRAME)
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(packet.show())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


@given(st.sampled_from([0, 1, 9, 50, 51, 101, 105, 108, 113, 127, 228, 276, 9999]), st.binary(max_size=300))
def test_no_bytes_make_it_fail(link: int, data: bytes) -> None:
    packet = dissect(data, link=link)
    assert packet.explain()
    assert repr(packet)
    assert isinstance(packet.show(), str)
    assert packet._repr_html_()
    assert bytes(packet.to_stack()) == data
    assert sum(part["length"] for part in packet.tree()) <= len(data)
    for header in packet.headers:
        assert repr(header)


def packets(path: Path) -> list[tuple[int, bytes, int]]:
    """Records of a little-endian microsecond pcap, for tests only."""
    data = path.read_bytes()
    if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        return []
    link, offset, found = struct.unpack_from("<I", data, 20)[0] & 0xFFFF, 24, []
    while offset + 16 <= len(data):
        caplen, length = struct.unpack_from("<II", data, offset + 8)
        found.append((link, data[offset + 16 : offset + 16 + caplen], length))
        offset += 16 + caplen
    return found


@pytest.mark.parametrize("path", sorted(DATA.glob("*.pcap")), ids=lambda path: path.stem)
def test_bundled_captures_rebuild_to_themselves(path: Path) -> None:
    for link, data, length in packets(path)[:300]:
        packet = dissect(data, link=link, wire_len=length)
        stack = packet.to_stack()
        assert bytes(stack) == data
        assert len(data) < length or not stack.cut
        assert eval(repr(stack), vars(nf)) == stack
        assert pickle.loads(pickle.dumps(stack)) == stack
        if packet.wrong == [] and packet.verdict == "ok":
            assert bytes(stack.recompute()) == data, packet.explain()
        assert packet.show()


@pytest.mark.tshark
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("name", ["fragments-ipv4", "fragments-ipv6", "snaplen-60", "fragments-reordered"])
def test_tshark_sees_only_the_hop_limit_changed(name: str, tmp_path: Path) -> None:
    """Over fragments and cut packets: lengths and checksums of the whole are kept."""

    def seen(path: Path) -> list[str]:
        fields = [
            "ip.len",
            "ipv6.plen",
            "udp.length",
            "udp.checksum.status",
            "tcp.checksum.status",
            "frame.len",
        ]
        fields += [
            "ip.checksum.status",
            "icmp.checksum.status",
            "icmpv6.checksum.status",
            "_ws.expert.message",
        ]
        command = ["tshark", "-r", str(path), "-n", "-T", "fields"]
        for word in ("ip", "udp", "tcp"):
            command += ["-o", f"{word}.check_checksum:TRUE"]
        command += [word for field in fields for word in ("-e", field)]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()

    def changed() -> Iterator[tuple[int | None, nf.HeaderStack, int]]:
        for packet in captured(DATA / f"{name}.pcap"):
            stack = packet.to_stack()
            if IPv4 in stack:
                stack = stack.replace(IPv4, ttl=9)
            elif IPv6 in stack:
                stack = stack.replace(IPv6, hop_limit=9)
            yield packet.time_ns, stack.recompute(), packet.len

    nf.write(tmp_path / "changed.pcap", changed())
    assert seen(tmp_path / "changed.pcap") == seen(DATA / f"{name}.pcap")


def test_padding_is_kept_shown_and_dropped() -> None:
    frame = bytes(ETHER / IPv4(src="192.0.2.1", dst="192.0.2.2") / TCP(src_port=1, dst_port=2, flags="A"))
    stack = dissect(frame + bytes(6)).to_stack()
    assert (bytes(stack), stack.trailer, stack.payload) == (frame + bytes(6), bytes(6), b"")
    changed = dissect(bytes(stack.replace(IPv4, ttl=3).recompute()))
    assert (len(changed), changed[IPv4].total_length, changed.wrong) == (60, 40, [])
    assert bytes(stack.with_trailer(b"")) == frame
    assert bytes((stack / b"data").recompute())[-10:] == b"data" + bytes(6)
    assert stack.with_payload(b"data").trailer == b""
    assert eval(repr(stack), vars(nf)) == copy.deepcopy(stack) == stack
    assert (
        nf.HeaderStack(ETHER, trailer=[(0, b"x")])
        == nf.HeaderStack(ETHER, trailer=b"x")
        != nf.HeaderStack(ETHER)
    )
    with pytest.raises(TypeError, match="a trailer is bytes"):
        stack.with_trailer(3)


def test_a_cut_packet_keeps_the_lengths_of_the_whole() -> None:
    cut = dissect(FRAME[:78], wire_len=len(FRAME))
    stack = cut.to_stack()
    assert stack.cut
    assert bytes(stack.replace(IPv6, hop_limit=3).recompute())[25:] == b"\3" + FRAME[26:78]
    assert not stack.with_payload(b"other").cut
    assert dissect(bytes(stack.with_payload(b"other").recompute())).wrong == []
    assert not dissect(FRAME[:78]).to_stack().cut, "nobody says that it is cut"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_fifo_may_be_read_by_a_thread_of_the_same_process(form: str, tmp_path: Path) -> None:
    fifo = tmp_path / f"fifo.{form}"
    os.mkfifo(fifo)
    read: list[int] = []
    reader = threading.Thread(target=lambda: read.append(len(fifo.read_bytes())), daemon=True)
    reader.start()
    assert nf.write(fifo, [(1, bytes(1000))] * 500) == 500
    reader.join(10)
    assert read[0] > 500_000


def test_a_dash_is_standard_output(tmp_path: Path) -> None:
    program = "import netfast as nf; nf.write('-', [(7, bytes(60))], format='pcap')"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "told.pcap").write_bytes(told.stdout)
    assert [packet.time_ns for batch in nf.Capture(tmp_path / "told.pcap") for packet in batch] == [7]


def test_errors_name_the_argument(tmp_path: Path) -> None:
    for option, number in (("wire_len", -1), ("time_ns", -1), ("link", 70_000), ("link", -1)):
        with pytest.raises(ConfigError, match=str(number)) as caught:
            dissect(b"", **{option: number})
        assert caught.value.option == option
    for option in ("max_flows", "first_packets", "idle"):
        with pytest.raises(ConfigError, match=f"{option}=-1") as caught:
            nf.FlowTable(**{option: -1})
        assert caught.value.option == option
    with pytest.raises(ConfigError, match="threads=-1: give a number from 1 to 64"):
        nf.flows(DATA / "ah.pcap", threads=-1)
    with pytest.raises(TypeError, match="max_flows='9'"):
        nf.FlowTable(max_flows="9")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="wire_len='9'"):
        dissect(b"", wire_len="9")  # type: ignore[arg-type]
    for name, options in (("format", {"format": "erf"}), ("link", {"link": "token ring"})):
        with pytest.raises(ConfigError) as caught:
            nf.write(tmp_path / "x", [b""], **options)  # type: ignore[arg-type]
        assert caught.value.option == name


def test_loop_has_the_family_in_network_order(tmp_path: Path) -> None:
    stack = Null() / IP / UDP(src_port=1, dst_port=2)
    for packet in (dissect(stack, link="LOOP"), nf_round(tmp_path / "loop.pcap", stack, "LOOP")):
        assert bytes(packet)[:4] == b"\0\0\0\x18"
        assert [type(header) for header in packet] == [Null, IPv6, UDP]
        assert bytes(packet.to_stack().recompute()) == bytes(packet)
    assert bytes(stack)[:4] == b"\x1e\0\0\0"


def nf_round(path: Path, packet: object, link: str) -> Packet:
    """The packet as it is read after it was written."""
    nf.write(path, packet, link=link)
    return next(nf.Capture(path))[0]


QUOTED = IPv4(src="192.0.2.1", dst="198.51.100.1") / UDP(src_port=4000, dst_port=53) / b"question"
ERRORS = {
    "udp": (bytes(QUOTED), ["IPv4", "UDP", "Payload"]),
    "cut-udp": (bytes(QUOTED)[:28], ["IPv4", "UDP"]),
    "cut-tcp": (
        bytes(IPv4(src="192.0.2.1", dst="198.51.100.1") / TCP(src_port=4000, dst_port=80))[:28],
        ["IPv4", "TCP"],
    ),
}


@pytest.mark.parametrize(("quoted", "names"), ERRORS.values(), ids=ERRORS)
def test_what_an_icmp_error_quotes_is_a_part_of_the_tree(quoted: bytes, names: list[str]) -> None:
    error = IPv4(src="198.51.100.1", dst="192.0.2.1") / ICMPv4(type=3, code=3)
    packet = dissect(ETHER / error / quoted)
    tree = packet.tree()
    assert [part["header"] for part in tree if "quoted" not in part] == ["Ethernet", "IPv4", "ICMPv4"]
    parts = [part for part in tree if part.get("quoted")]
    assert [part["header"] for part in parts] == names
    assert sum(part["length"] for part in tree) == len(packet)
    fields = {field["name"]: field["value"] for part in parts for field in part["fields"]}
    assert (fields["src"], fields["src_port"]) == ("192.0.2.1", 4000)
    assert "Quoted IPv4 (20 bytes at 42)" in packet.show()
    assert "Quoted IPv4" in packet._repr_html_()
    assert f"It quotes {len(quoted)} bytes of a packet: IPv4, then {names[1]}." in packet.explain()
    # The columns and the headers are those of the error.
    assert (packet.src, packet.src_port, len(packet.headers)) == ("198.51.100.1", None, 3)
    assert bytes(packet.payload) == quoted


def test_extensions_of_an_icmp_error_are_no_part_of_its_quote() -> None:
    quoted = bytes(IP / UDP(src_port=4000, dst_port=53) / bytes(80))[:128]
    error = IPv6(src="2001:db8::9", dst="2001:db8::1") / ICMPv6(type=3)
    data = bytearray(bytes(error / quoted / b"\x20\0\xff\xff"))
    data[40 + 4] = 16
    tree = dissect(bytes(data), link="RAW").tree()
    names = [(part["header"], part.get("quoted", False)) for part in tree]
    assert names[2:] == [("IPv6", True), ("UDP", True), ("Payload", True), ("Payload", False)]
    assert bytes.fromhex(tree[-1]["fields"][0]["bytes"]) == b"\x20\0\xff\xff"


def test_the_payload_begins_behind_the_headers() -> None:
    solicitation = IPv6(src="fe80::1", dst="ff02::1:ff00:2", hop_limit=255) / ICMPv6(
        type=135, target="fe80::2"
    )
    packet = dissect(solicitation)
    assert bytes(packet.payload) == b""
    assert "0 bytes of payload" in packet.explain()
    assert repr(packet).endswith(", 0 bytes>")
    tunnel = dissect(IP / GRE(key=5) / IPv4(src="192.0.2.1", dst="192.0.2.2") / UDP() / b"x")
    assert len(tunnel.payload) == 20 + 8 + 1
    assert "29 bytes of payload" in tunnel.explain()
    assert tunnel.inner is not None
    assert bytes(tunnel.inner) == bytes(tunnel.payload)


def test_inner_is_what_a_tunnel_carries() -> None:
    frame = (
        ETHER / VLAN(vid=3) / IPv4(src="192.0.2.1", dst="192.0.2.2") / UDP(src_port=1, dst_port=2) / b"abc"
    )
    packet = dissect(IP / UDP(src_port=9) / VXLAN(vni=5) / frame, time_ns=7)
    inner = packet.inner
    assert inner is not None
    assert (inner.link_type, inner.vlan, inner.src, inner.dst_port, inner.time_ns) == (
        1,
        3,
        "192.0.2.1",
        2,
        7,
    )
    assert bytes(inner) == bytes(frame)
    assert inner.inner is None
    twice = dissect(IP / IP / packet.to_stack()).inner
    assert twice is not None
    assert twice.inner == packet


def test_len_counts_bytes_and_iteration_gives_headers() -> None:
    packet = dissect(FRAME)
    stack = packet.to_stack()
    assert len(packet) == len(stack) == len(FRAME)
    assert [*packet] == [*stack] == list(packet.headers) == list(stack.headers)
    for holder in (packet, stack):
        with pytest.raises(TypeError, match="give a header class, such as IPv6, or an index, not TCP"):
            TCP() in holder  # type: ignore[operator]  # noqa: B015
        with pytest.raises(TypeError, match="not str"):
            holder["TCP"]  # type: ignore[call-overload]


def test_what_is_no_path_is_named() -> None:
    for wrong, name in ((b"a.pcap", "bytes"), (3, "int"), (None, "NoneType"), (BytesIO(), "BytesIO")):
        for read in (nf.packets, nf.flows, nf.Capture):
            with pytest.raises(TypeError, match=f"path is {name}.*give a path"):
                read(wrong)  # type: ignore[operator]
    with pytest.raises(TypeError, match="path is int"):
        nf.packets([3])  # type: ignore[list-item]


def test_slices_of_a_batch_are_lists(tmp_path: Path) -> None:
    nf.write(tmp_path / "ten.pcap", [(time_ns, FRAME) for time_ns in range(10)])
    batch = next(nf.Capture(tmp_path / "ten.pcap"))
    times = range(10)
    assert [packet.time_ns for packet in batch] == [*times]
    for part in (slice(2, 5), slice(None, None, -3), slice(-2, None), slice(8, 99), slice(5, 2)):
        assert [packet.time_ns for packet in batch[part]] == [*times[part]]
    assert (batch[-1].frame, len(batch)) == (10, 10)
    with pytest.raises(IndexError, match="10 packets"):
        batch[10]
    assert batch._repr_html_().count("<tr>") == 11
    packets = iter(batch)
    assert sum(1 for _ in packets) == 10
    assert next(packets, None) is None
    assert nf.write(tmp_path / "some.pcap", batch[2:4]) == 2


def test_stacks_go_to_scapy_and_back() -> None:
    pytest.importorskip("scapy")
    stack = ETHER / IP / UDP(src_port=1, dst_port=2) / b"abc"
    theirs = stack.to_scapy()
    assert bytes(theirs) == bytes(stack)
    again = HeaderStack.from_scapy(theirs)
    assert [type(header) for header in again] == [Ethernet, IPv6, UDP]
    assert bytes(again) == bytes(stack)
