"""Neighbours of a `Stack` whose ports resolve them: what is asked, answered, shown; its bytes as tshark reads them."""

from __future__ import annotations

import ipaddress
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import netfast as nf
from netfast._netfast import BenchNode
from netfast.errors import ConfigError

LAN, WAN, HOST = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:50"
SECOND = 1_000_000_000


def edge(**settings: object) -> nf.Stack:
    stack = nf.Stack("edge", seed=1, verify=True, **settings)  # type: ignore[arg-type]
    stack.add_port("lan", mac=LAN, addresses=["192.0.2.1/24", "2001:db8:1::1/64"], resolve=True)
    stack.add_port("wan", mac=WAN, addresses=["203.0.113.1/24", "2001:db8:ff::1/64"])
    return stack


def to_host(ip: str, port: int = 1) -> bytes:
    upper = nf.UDP(src_port=7, dst_port=port) / b"x"
    v6 = ":" in ip
    header = nf.IPv6(src="2001:db8:ff::9", dst=ip) if v6 else nf.IPv4(src="203.0.113.9", dst=ip)
    return bytes(nf.Ethernet(src="02:00:00:00:00:99", dst=WAN) / (header / upper))


def arp_reply(ip: str, mac: str = HOST) -> bytes:
    arp = nf.ARP(operation=2, sender_mac=mac, sender_ip=ip, target_mac=LAN, target_ip="192.0.2.1")
    return bytes(nf.Ethernet(src=mac, dst=LAN) / arp)


def sum16(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def discovery(
    kind: int, source: str, destination: str, target: str, flags: int = 0, mac: str = HOST
) -> bytes:
    """A frame with a neighbour message that nothing of netfast has made."""
    ends = [ipaddress.IPv6Address(text).packed for text in (source, destination, target)]
    link = bytes.fromhex(mac.replace(":", ""))
    body = bytes([kind, 0, 0, 0, flags, 0, 0, 0]) + ends[2] + bytes([1 if kind == 135 else 2, 1]) + link
    pseudo = ends[0] + ends[1] + struct.pack(">II", len(body), 58)
    body = body[:2] + struct.pack(">H", sum16(pseudo + body)) + body[4:]
    to = b"\x33\x33" + ends[1][-4:] if ends[1][0] == 0xFF else bytes.fromhex(LAN.replace(":", ""))
    header = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + ends[0] + ends[1]
    return to + link + b"\x86\xdd" + header + body


def rows(stack: nf.Stack) -> list[tuple[str, str | None, str]]:
    return [(row["ip"], row["mac"], row["state"]) for row in stack.neighbours()]


def test_a_neighbour_is_asked_for_shown_and_forgotten() -> None:
    stack = edge(neighbour_reachable=10, neighbour_delay=2, neighbour_retransmit=0.5)
    [asked] = stack.push("wan", [to_host("192.0.2.7")], now=SECOND)["lan"]
    assert (asked[nf.ARP].operation, asked[nf.ARP].target_ip) == (1, "192.0.2.7")
    assert rows(stack) == [("192.0.2.7", None, "incomplete")]
    [row] = stack.neighbours()
    assert (row["waiting"], row["probes"], row["confirmed"], row["port"]) == (1, 1, None, "lan")
    assert len(stack.push("lan", [arp_reply("192.0.2.7")], now=2 * SECOND)["lan"]) == 1
    assert rows(stack) == [("192.0.2.7", HOST, "reachable")]
    stack.push("lan", [arp_reply("192.0.2.7", "02:00:00:00:00:51")], now=4 * SECOND)
    [row] = stack.neighbours()
    assert (row["mac"], row["age"], row["confirmed"], row["router"]) == ("02:00:00:00:00:51", 0.0, 0.0, False)
    told = [(event.kind, event.details.get("mac"), event.details.get("from_mac")) for event in stack.events()]
    assert told == [
        ("unresolved_neighbour", None, None),
        ("neighbour_changed", HOST, None),
        ("neighbour_changed", "02:00:00:00:00:51", HOST),
    ]
    # A neighbour that is set is what the configuration has; one that was found is not.
    stack.add_neighbour("lan", "192.0.2.8", HOST)
    assert stack.to_toml().count("[[neighbour]]") == 1
    stack.remove_neighbour("lan", "192.0.2.7")
    assert rows(stack) == [("192.0.2.8", HOST, "permanent")]
    counters = stack.counters
    told = (counters.discovery["solicitations_out"], counters.discovery["advertisements_in"])
    assert (told, counters.conserved) == ((1, 2), True)
    assert stack.flush_neighbours("lan") == 0
    assert stack.differences() == []


def test_a_neighbour_of_no_known_time_has_no_age() -> None:
    stack = edge()
    stack.add_neighbour("lan", "192.0.2.8", HOST)
    stack.push("wan", [to_host("192.0.2.7")])
    stack.push("wan", [to_host("192.0.2.9")], now=SECOND)
    stack.add_neighbour("lan", "192.0.2.10", HOST)
    stack.poll(SECOND + SECOND // 2)
    ages = {row["ip"]: row["age"] for row in stack.neighbours()}
    assert ages == {"192.0.2.7": None, "192.0.2.8": None, "192.0.2.9": 0.5, "192.0.2.10": None}


def test_a_neighbour_that_does_not_answer_fails() -> None:
    stack = edge(neighbour_timeout=1.5)
    stack.add_neighbour("wan", "2001:db8:ff::9", "02:00:00:00:00:99")
    stack.push("wan", [to_host("2001:db8:1::7")], now=SECOND)
    for step in range(1, 30):
        result = stack.poll(SECOND + step * SECOND // 10)
        if "wan" in result.keys():  # noqa: SIM118
            break
    [error] = result["wan"]
    assert (error[nf.ICMPv6].type, error[nf.ICMPv6].code, step) == (1, 3, 15)
    assert [event.kind for event in stack.events()] == ["unresolved_neighbour", "neighbour_failed"]
    assert rows(stack)[0] == ("2001:db8:1::7", None, "failed")


def test_a_description_says_what_resolves(tmp_path: Path) -> None:
    stack = edge(max_pending_neighbours=9, neighbour_rate=7)
    stack.add_port("tun0", addresses=["198.18.0.1/30"], point_to_point=True)
    stack.add_port("lan.7", parent="lan", vlan=7, addresses=["198.18.7.1/24"])
    path = tmp_path / "edge.toml"
    path.write_text(stack.to_toml())
    again = nf.Stack.from_toml(path)
    assert again.to_toml() == stack.to_toml()
    ports = {port["name"]: (port["resolve"], port["point_to_point"]) for port in again.ports()}
    assert ports == {
        "lan": (True, False),
        "wan": (False, False),
        "lan.7": (True, False),
        "tun0": (False, True),
    }
    with pytest.raises(ConfigError, match="neighbour_delay"):
        nf.Stack("x", neighbour_delay=0)
    path.write_text(path.read_text().replace("resolve = true", "resolve = 1"))
    with pytest.raises(ConfigError, match="resolve"):
        nf.Stack.from_toml(path)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark (Debian tshark) is missing")
def test_tshark_finds_nothing_wrong_with_what_is_sent(tmp_path: Path) -> None:
    stack = edge(neighbour_delay=1)
    sent: list[bytes] = []

    def push(port: str, frame: bytes, now: int) -> None:
        result = stack.push(port, [frame], now=now)
        sent.extend(bytes(packet) for name in result.keys() for packet in result[name])  # noqa: SIM118

    group, own = "ff02::1:ff00:1", "2001:db8:1::1"
    for ip in ("192.0.2.7", "2001:db8:1::7"):
        push("wan", to_host(ip), SECOND)
    push("lan", arp_reply("192.0.2.7"), SECOND)
    push("lan", discovery(136, "2001:db8:1::7", own, "2001:db8:1::7", 0x60), SECOND)
    push("lan", discovery(135, "2001:db8:1::8", group, own), SECOND)
    ask = nf.ARP(operation=1, sender_mac=HOST, sender_ip="192.0.2.9", target_ip="192.0.2.1")
    push("lan", bytes(nf.Ethernet(src=HOST, dst="ff:ff:ff:ff:ff:ff") / ask), SECOND)
    push("wan", to_host("2001:db8:1::8"), 2 * SECOND)
    for step in range(1, 100):
        result = stack.poll(2 * SECOND + step * SECOND // 10)
        sent.extend(bytes(packet) for name in result.keys() for packet in result[name])  # noqa: SIM118
    path = tmp_path / "sent.pcap"
    records = b"".join(
        struct.pack("<IIII", 1, at, len(frame), len(frame)) + frame for at, frame in enumerate(sent)
    )
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1) + records)

    def read(expression: str, *fields: str) -> list[str]:
        options = [option for field in fields for option in ("-e", field)]
        command = ["tshark", "-n", "-r", str(path), "-Y", expression, "-T", "fields", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert read("_ws.expert.severity >= 0x00400000", "frame.number", "_ws.expert.message") == []
    kinds = read("icmpv6", "icmpv6.type", "icmpv6.checksum.status", "ipv6.hlim")
    assert kinds[:2] == ["135\t1\t255", "136\t1\t255"]
    assert set(kinds[2:]) == {"135\t1\t255"}, "the one that is stale is asked"
    assert len(kinds) == 5
    assert read("arp", "arp.opcode") == ["1", "2"]
    assert len(read("udp", "frame.number")) == 3


def test_the_loops_of_the_benchmark_measure_what_they_say() -> None:
    costs = BenchNode(10).neighbours(100, 2_000)
    assert len(costs) == 7
    assert all(cost > 0 for cost in costs[:6])
