"""`netfast.Stack`: packets in and out, what is listed, counted and traced, hooks, and everything that is refused."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import netfast as nf
from netfast.errors import ConfigError, ResourceError
from netfast.headers import TCP, UDP, VLAN, Ethernet, ICMPv4, IPv4, IPv6
from netfast.rules import Chain, Rule, Set, Table
from nodes import CLIENT, LAN, SECOND, UPLINK, WAN, down, edge, query, up

FILTER = """\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related counter accept
        iifname "lan" udp dport 53 counter accept comment "names"
        iifname "lan" tcp dport { 80, 443 } counter accept
    }
}
"""


@pytest.fixture
def stack() -> Iterator[nf.Stack]:
    stack = edge()
    yield stack
    assert stack.differences() == []
    assert stack.counters.conserved


def only(batch: Iterable[nf.Packet]) -> nf.Packet:
    [packet] = batch
    return packet


def test_ten_lines_route_a_packet(stack: nf.Stack) -> None:
    result = stack.push("lan", [query()], now=SECOND)
    packet = only(result["wan"])
    assert (packet.src, packet.dst, packet.hop_limit) == ("192.0.2.7", "198.51.100.1", 63)
    assert (packet[Ethernet].src, packet[Ethernet].dst) == (WAN, UPLINK)
    assert (packet.l3_checksum, packet.l4_checksum, packet.time_ns) == ("good", "good", SECOND)
    assert list(result) == result.keys() == ["wan"]
    assert len(result) == 1
    assert not result["lan"]
    assert not result.local
    assert repr(result) == "<netfast.PushResult wan: 1>"
    six = up(IPv6(src="2001:db8:1::7", dst="2001:db8:2::1", hop_limit=9) / UDP(src_port=1, dst_port=2) / b"x")
    assert only(stack.push("lan", [six])["wan"]).hop_limit == 8


def test_masquerade_goes_both_ways_through_one_entry(stack: nf.Stack) -> None:
    stack.masquerade("wan", family=4)
    there = only(stack.push("lan", [query()], now=1)["wan"])
    assert there.five_tuple == ("203.0.113.1", "198.51.100.1", 17, 1000, 53)
    answer = down(IPv4(src="198.51.100.1", dst="203.0.113.1") / UDP(src_port=53, dst_port=1000) / b"answer")
    back = only(stack.push("wan", [answer], now=2)["lan"])
    assert back.five_tuple == ("198.51.100.1", "192.0.2.7", 17, 53, 1000)
    assert back.l4_checksum == "good"
    connection = stack.connections()[0]
    assert connection.translated
    assert (connection.src, connection.reply_dst) == ("192.0.2.7", "203.0.113.1")
    assert (connection.packets, connection.reply_packets) == (1, 1)
    assert {"seen_reply", "snat"} <= set(connection.status)
    before = stack.counters.cache["hits"]
    stack.push("lan", [query()] * 3, now=3)
    assert stack.counters.cache["hits"] >= before + 2


@pytest.mark.parametrize(
    "kind", ["list", "generator", "batch", "packets", "timed", "one", "headers", "capture"]
)
def test_packets_come_in_every_form(stack: nf.Stack, tmp_path: Path, kind: str) -> None:
    frames = [query(port) for port in range(300)]
    if kind == "capture":
        nf.write(tmp_path / "in.pcapng", [(number, frame) for number, frame in enumerate(frames, 1)])
    given: Any = {
        "list": lambda: frames,
        "generator": lambda: (frame for frame in frames),
        "batch": lambda: nf.Batch(frames),
        "packets": lambda: [nf.dissect(frame) for frame in frames],
        "timed": lambda: [(number, frame) for number, frame in enumerate(frames, 1)],
        "one": lambda: frames[0],
        "headers": lambda: nf.dissect(frames[0]).to_stack(),
        "capture": lambda: next(iter(nf.Capture(tmp_path / "in.pcapng"))),
    }[kind]()
    expected = {"one": 1, "headers": 1, "capture": 256}.get(kind, 300)
    assert len(stack.push("lan", given)["wan"]) == expected
    assert stack.counters.packets_in == expected


def test_times_are_those_of_the_packets_unless_one_is_given(stack: nf.Stack) -> None:
    timed = [(5, query(1)), (9, query(2)), (9, query(3))]
    assert [packet.time_ns for packet in stack.push("lan", timed)["wan"]] == [5, 9, 9]
    assert [packet.time_ns for packet in stack.push("lan", timed, now=20)["wan"]] == [20, 20, 20]
    assert [packet.time_ns for packet in stack.push("lan", [query()])["wan"]] == [20]
    assert [packet.time_ns for packet in stack.push("lan", [query()], now=3)["wan"]] == [20]
    assert stack.counters.time_backwards == 1


def test_batches_are_sequences_and_outlive_everything(stack: nf.Stack) -> None:
    batch = stack.push("lan", [query(port) for port in range(5)], now=1)["wan"]
    assert [packet.src_port for packet in batch] == [0, 1, 2, 3, 4]
    assert (batch[-1].src_port, len(batch[1:3])) == (4, 2)
    with pytest.raises(IndexError):
        batch[5]
    again = stack.push("lan", [], now=1)
    assert len(again) == 0
    chained = edge()
    assert chained.push("lan", batch).keys() == []
    assert "<table" in batch._repr_html_()
    frames = list(map(bytes, batch))
    del stack
    gc.collect()
    assert list(map(bytes, batch)) == frames


def test_every_frame_is_accounted_for_and_none_makes_it_fail(stack: nf.Stack) -> None:
    whole = query()
    for length in range(len(whole)):
        stack.push("lan", [whole[:length], bytes(length), b"\xff" * length], now=1)
    counters = stack.counters
    assert counters.conserved
    assert counters.packets_in == 3 * len(whole)
    assert counters.out == 0
    assert {"malformed", "truncated", "other_host"} & set(counters.dropped_by)
    assert sum(counters.dropped_by.values()) == counters.dropped
    assert "malformed" in str(counters)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (query(dst="127.0.0.1"), "martian_destination"),
        (query(dst="224.1.2.3"), "multicast"),
        (query(dst="10.9.9.9"), "unreachable"),
        (query(dst="10.8.8.8"), "blackhole"),
        (query(ttl=1), "hop_limit"),
        (bytes(Ethernet(src=CLIENT, dst=UPLINK) / IPv4(src="192.0.2.7", dst="1.1.1.1") / b""), "other_host"),
        (
            bytes(Ethernet(src=CLIENT, dst=LAN) / VLAN(vid=9) / IPv4(src="192.0.2.7", dst="1.1.1.1")),
            "unknown_vlan",
        ),
        (up(IPv4(src="255.255.255.255", dst="198.51.100.1") / UDP()), "martian_source"),
        (up(IPv4(src="192.0.2.7", dst="198.51.100.1", header_checksum=1) / UDP()), "header_checksum"),
    ],
)
def test_drops_have_their_reason(stack: nf.Stack, frame: bytes, reason: str) -> None:
    stack.add_route("10.9.0.0/16", kind="unreachable")
    stack.add_route("10.8.0.0/16", kind="blackhole")
    stack.push("lan", [frame], now=1)
    assert stack.counters.dropped_by == {reason: 1}
    assert stack.counters.ports["lan"]["dropped_by"] == {reason: 1}
    trace = stack.trace(frame, port="lan")
    assert trace.reason == reason
    assert reason in trace.verdict


def test_vlan_sub_interfaces_tag_and_untag(stack: nf.Stack) -> None:
    stack.add_port("guests", parent="lan", vlan=7, addresses=["10.7.0.1/24"])
    stack.add_neighbour("guests", "10.7.0.9", CLIENT)
    out = only(stack.push("lan", [query(dst="10.7.0.9")], now=1)["lan"])
    assert out.vlan == 7
    tagged = bytes(
        Ethernet(src=CLIENT, dst=LAN) / VLAN(vid=7) / IPv4(src="10.7.0.9", dst="192.0.2.7") / UDP() / b"x"
    )
    assert only(stack.push("lan", [tagged], now=2)["lan"]).vlan is None
    assert stack.counters.ports["guests"]["packets_out"] == 1
    with pytest.raises(ConfigError, match="sub-interfaces"):
        stack.remove_port("lan")
    stack.remove_port("guests")
    assert [port["name"] for port in stack.ports()] == ["lan", "wan"]


def test_what_waits_for_a_neighbour_comes_out_when_it_is_told(stack: nf.Stack) -> None:
    stack.remove_neighbour("wan", "203.0.113.254")
    assert len(stack.push("lan", [query(port) for port in range(3)], now=SECOND)) == 0
    assert stack.counters.held == 3
    assert "unresolved_neighbour" in [event.kind for event in stack.events()]
    result = stack.add_neighbour("wan", "203.0.113.254", UPLINK, now=2 * SECOND)
    assert [packet.src_port for packet in result["wan"]] == [0, 1, 2]
    assert stack.counters.held == 0
    stack.remove_neighbour("wan", "203.0.113.254")
    stack.push("lan", [query()], now=3 * SECOND)
    timeout = stack.next_timeout()
    assert timeout is not None
    assert timeout > 3 * SECOND
    stack.poll(timeout + 1)
    assert stack.counters.dropped_by["neighbour_timeout"] == 1
    assert stack.next_timeout() is None


def test_the_node_answers_pings_and_sends_packets(stack: nf.Stack) -> None:
    ping = up(IPv4(src="192.0.2.7", dst="192.0.2.1") / ICMPv4(type=8) / b"ping")
    result = stack.push("lan", [ping], now=1)
    reply = only(result["lan"])
    assert (reply.src, reply.dst, reply[ICMPv4].type) == ("192.0.2.1", "192.0.2.7", 0)
    assert len(result.local) == 1
    sent = stack.send(IPv4(src="192.0.2.1", dst="192.0.2.7") / UDP(src_port=1, dst_port=2) / b"x", now=2)
    assert only(sent["lan"])[Ethernet].dst == CLIENT
    assert stack.counters.created == 2


def test_what_the_node_sends_to_itself_has_no_link_header(stack: nf.Stack) -> None:
    sent = stack.send(IPv4(src="192.0.2.1", dst="203.0.113.1") / UDP(src_port=1, dst_port=2) / b"x", now=1)
    packet = only(sent.local)
    assert (packet.link_type, packet.dst, packet.verdict) == (101, "203.0.113.1", "ok")
    with pytest.raises(ConfigError, match="link type"):
        stack.push("lan", sent.local)


@pytest.mark.parametrize("tracking", ["on", "off"])
def test_senders_are_told_what_a_router_owes_them(tracking: str) -> None:
    stack = edge(tracking=tracking, icmp_rate=1, icmp_burst=3)
    stack.load_rules(FILTER.replace("policy drop;", "policy accept; udp dport 9 reject"))
    frames = [query(ttl=1), query(dst_port=9), query(dst="192.0.2.99", ttl=1), query(ttl=1)]
    result = stack.push("lan", frames, now=SECOND)
    told = list(result["lan"])
    assert [(packet.dst, packet[ICMPv4].type, packet[ICMPv4].code) for packet in told] == [
        ("192.0.2.7", 11, 0),
        ("192.0.2.7", 3, 3),
        ("192.0.2.7", 11, 0),
    ]
    assert all(packet.l4_checksum == "good" for packet in told)
    assert stack.counters.icmp_limited == 1
    assert stack.counters.dropped_by == {"hop_limit": 3, "reject": 1}
    assert stack.counters.conserved


# Rules.


def test_rules_come_from_text_files_and_objects(stack: nf.Stack, tmp_path: Path) -> None:
    stack.load_rules(FILTER)
    stack.push("lan", [query(), query(dst_port=54)], now=1)
    assert stack.counters.dropped_by == {"policy": 1}
    [names] = [rule for rule in stack.rules() if rule["comment"] == "names"]
    assert (names["chain"], names["line"], names["hits"], names["packets"]) == ("forward", 5, 1, 1)
    assert names["bytes"] == len(query()) - 14
    path = tmp_path / "edge.nft"
    path.write_text(FILTER.replace("54", "55"))
    printed = stack.rules_text()
    stack.load_rules(path)
    stack.load_rules(str(path))
    assert stack.rules_text() == printed
    # Counters of rules that are the same went on.
    assert [rule["packets"] for rule in stack.rules() if rule["comment"] == "names"] == [1]
    stack.load_rules(
        Table(
            "inet",
            "filter",
            Chain(
                "forward", Rule(source="@friends", family=4, verdict="accept"), hook="forward", policy="drop"
            ),
            Set("friends", "ipv4_addr", ["192.0.2.0/25", "10.0.0.1"]),
        )
    )
    assert len(stack.push("lan", [query()], now=2)["wan"]) == 1
    assert "@friends accept" in stack.rules_text()


def test_an_error_in_rules_leaves_the_old_ones(stack: nf.Stack) -> None:
    stack.load_rules(FILTER)
    before = stack.rules_text()
    with pytest.raises(ConfigError) as caught:
        stack.load_rules("table inet x {\n  chain c {\n    tcp dport 99999 accept\n    bogus\n  }\n}\n")
    assert (caught.value.file, caught.value.line) == ("<rules>", 3)
    assert [error.line for error in caught.value.others] == [4]
    assert stack.rules_text() == before
    with pytest.raises(ConfigError):
        stack.accept(protocol="tcp", dport=70_000)
    with pytest.raises(ConfigError):
        stack.accept(hook="sideways")
    assert stack.rules_text() == before
    with pytest.raises(FileNotFoundError):
        stack.load_rules("no-such-file.nft")
    with pytest.raises(TypeError):
        stack.load_rules([1])  # type: ignore[list-item]


def test_short_forms_are_printed_as_nft(stack: nf.Stack) -> None:
    stack.load_rules(FILTER)
    stack.accept(in_port="lan", protocol="udp", dport=["5000-5010", 9])
    stack.drop(source=["10.0.0.0/8", "172.16.0.0/12"], hook="input")
    stack.reject(destination="2001:db8::/32", reply="icmpv6 type admin-prohibited")
    stack.masquerade("wan", family=4)
    stack.snat("203.0.113.5", source="192.0.2.9", out_port="wan", protocol="udp", dport=53)
    stack.dnat("192.0.2.7", to_port=8080, in_port="wan", protocol="tcp", dport=80)
    stack.dnat("2001:db8:1::7", to_port=8080, in_port="wan", protocol="tcp", dport=80)
    stack.redirect(5353, protocol="udp", dport=53, in_port="lan")
    text = stack.rules_text()
    for line in [
        'iifname "lan" udp dport { 9, 5000-5010 } accept',
        "ip saddr { 10.0.0.0/8, 172.16.0.0/12 } drop",
        "ip6 daddr 2001:db8::/32 reject with icmpv6 admin-prohibited",
        'oifname "wan" meta nfproto ipv4 masquerade',
        'oifname "wan" ip saddr 192.0.2.9 udp dport 53 snat ip to 203.0.113.5',
        "dnat ip to 192.0.2.7:8080",
        "dnat ip6 to [2001:db8:1::7]:8080",
        "redirect to :5353",
    ]:
        assert line in text, text
    # What is printed loads, and short forms go on from there.
    again = edge()
    again.load_rules(text)
    assert again.rules_text() == text
    again.drop(in_port="wan")
    assert again.rules_text().count("table inet netfast") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"in_port": 'la"n'}, "in_port"),
        ({"source": "somewhere"}, "source"),
        ({"source": ["10.0.0.1", "2001:db8::1"]}, "source"),
        ({"source": "@set"}, "source"),
        ({"source": []}, "source"),
        ({"family": 5}, "family"),
        ({"protocol": "icmp", "dport": 1}, "dport"),
        ({"dport": -1}, "dport"),
        ({"dport": "1-2-3"}, "dport"),
        ({"state": "fresh"}, "state"),
        ({"mark": 1 << 32}, "mark"),
        ({"verdict": "accept\ndrop"}, "verdict"),
        ({"verdict": "accept # really"}, "verdict"),
        ({"comment": 'a "quote"'}, "comment"),
        ({}, "verdict"),
    ],
)
def test_rules_that_cannot_be_are_refused(arguments: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rule(**arguments)
    assert caught.value.option == option


# Traces, events, hooks.


def test_a_trace_tells_each_table_and_whether_the_cache_knew(stack: nf.Stack) -> None:
    stack.load_rules(FILTER)
    stack.masquerade("wan", family=4)
    frame = query()
    first = stack.trace(frame, port="lan")
    assert (first.cache, first.out_port, first.reason) == ("miss", "wan", None)
    text = str(first)
    for words in ("0.0.0.0/0", 'iifname "lan" udp dport 53', "masquerade", "203.0.113.254 at wan"):
        assert words in text
    assert stack.counters.packets_in == 0
    stack.push("lan", [frame, frame], now=1)
    assert stack.trace(frame, port="lan").cache == "hit"
    stack.add_route("198.51.100.0/24", via="203.0.113.254")
    assert stack.trace(frame, port="lan").cache in ("stale", "hit")
    assert "<table" in first._repr_html_()
    assert pickle.loads(pickle.dumps(first)) == first


def test_events_are_bounded_and_say_what_is_missing() -> None:
    stack = edge(max_events=2, tracking="on")
    stack.push("lan", [query(port) for port in range(5)], now=7)
    events = stack.events()
    assert [event.kind for event in events] == ["new_connection", "new_connection", "missed"]
    assert events[-1].details == {"count": 3}
    assert (events[0].time_ns, events[0].details["src"]) == (7, "192.0.2.7")
    assert stack.events() == []
    assert stack.flush_connections() == 5
    assert {event.kind for event in stack.events()} == {"ended_connection", "missed"}


def test_log_statements_become_events(stack: nf.Stack) -> None:
    stack.load_rules(
        'table inet f { chain c { type filter hook forward priority 0; log prefix "seen: " accept; }\n}'
    )
    stack.push("lan", [query()], now=1)
    [event] = [event for event in stack.events() if event.kind == "log"]
    assert event.details["prefix"] == "seen: "
    assert (event.details["in_port"], event.details["out_port"]) == ("lan", "wan")
    assert "seen: " in str(event)


def test_a_hook_decides_about_new_flows() -> None:
    stack = edge(tracking="on")
    asked: list[list[nf.NewFlow]] = []

    @stack.on_new_flow
    def hook(flows: list[nf.NewFlow]) -> list[nf.FlowVerdict | str | None]:
        asked.append(flows)
        # It may look at the stack.
        assert stack.counters.conserved
        answers: dict[int | None, nf.FlowVerdict | str | None] = {
            1: "drop",
            2: None,
            3: nf.FlowVerdict(mark=9),
            4: nf.FlowVerdict(destination="198.51.100.99", destination_port=5353),
            5: nf.FlowVerdict(source="203.0.113.77"),
        }
        return [answers[flow.src_port] for flow in flows]

    # Two packets of each: a verdict is about the flow.
    frames = [query(port) for port in range(1, 6) for _ in range(2)]
    out = stack.push("lan", frames, now=1)["wan"]
    assert [flow.src_port for flow in asked[0]] == [1, 2, 3, 4, 5]
    first = asked[0][0]
    assert (first.src, first.dst, first.protocol, first.dst_port, first.port, first.index) == (
        "192.0.2.7",
        "198.51.100.1",
        17,
        53,
        "lan",
        0,
    )
    assert "192.0.2.7:1 > 198.51.100.1:53" in repr(first)
    assert stack.counters.dropped_by == {"hook": 2}
    assert [packet.dst for packet in out] == ["198.51.100.1"] * 4 + ["198.51.100.99"] * 2 + [
        "198.51.100.1"
    ] * 2
    assert [packet.src for packet in out][-2:] == ["203.0.113.77"] * 2
    assert all(packet.l4_checksum == "good" for packet in out)
    assert {each.src_port: each.mark for each in stack.connections()}[3] == 9
    known = len(asked)
    stack.push("lan", [query(2)], now=2)
    assert sum(map(len, asked[known:])) == 0
    stack.on_new_flow(None)
    assert len(stack.push("lan", [query(1)], now=3)["wan"]) == 1
    assert stack.differences() == []
    assert stack.counters.conserved


# Nothing is translated without connections, and this stack has no rule that asks for them.
UNTRACKED = [nf.FlowVerdict(source="203.0.113.5")] * 2


@pytest.mark.parametrize("policy", ["accept", "drop"])
@pytest.mark.parametrize(
    "answer",
    [
        ValueError("no"),
        ["accept"],
        [1, 2],
        "accept",
        7,
        ["acept", "drop"],
        [nf.FlowVerdict(source="2001:db8::9")] * 2,
        UNTRACKED,
    ],
)
def test_a_hook_that_fails_loses_no_packet(policy: str, answer: Any) -> None:
    stack = edge(hook_policy=policy)

    def hook(flows: list[nf.NewFlow]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    stack.on_new_flow(hook)
    with pytest.warns(RuntimeWarning, match="the hook for new flows failed"):
        result = stack.push("lan", [query(1), query(2)], now=1)
    assert len(result) == (2 if policy == "accept" else 0)
    counters = stack.counters
    assert counters.conserved
    assert counters.hook_failed == 2
    assert counters.dropped_by == ({} if policy == "accept" else {"hook": 2})
    assert [event.details for event in stack.events() if event.kind == "hook_failed"] == [{"flows": 2}]


def test_a_tap_captures_what_goes_through_a_port(stack: nf.Stack, tmp_path: Path) -> None:
    stack.load_rules(FILTER)
    with stack:
        stack.tap("lan", tmp_path / "lan.pcapng")
        stack.tap("wan", tmp_path / "wan.pcapng")
        stack.push("lan", [query(), query(dst_port=54)], now=SECOND)
    lan = list(nf.files.frames(tmp_path / "lan.pcapng"))
    wan = list(nf.files.frames(tmp_path / "wan.pcapng"))
    assert [frame["data"] for frame in lan if not frame["comments"]] == [query(), query(dst_port=54)]
    [dropped] = [frame for frame in lan if frame["comments"]]
    assert "policy" in dropped["comments"][0]
    assert len(wan) == 1
    assert wan[0]["time_ns"] == SECOND
    stack.push("lan", [query()], now=2 * SECOND)
    assert len(list(nf.files.frames(tmp_path / "lan.pcapng"))) == len(lan)
    with pytest.raises(FileNotFoundError):
        stack.tap("lan", tmp_path / "none" / "lan.pcapng")


# Arguments that cannot be.


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"max_connections": 0}, "max_connections"),
        ({"max_connections": 1 << 40}, "max_connections"),
        ({"seed": -1}, "seed"),
        ({"tracking": "sometimes"}, "tracking"),
        ({"hook_policy": "ask"}, "hook_policy"),
        ({"fragment_timeout": 0}, "fragment_timeout"),
        ({"timeouts": {"tcp_establishd": 1}}, "tcp_establishd"),
        ({"timeouts": {"udp": -1}}, "udp"),
        ({"answer_echo": "yes"}, "answer_echo"),
    ],
)
def test_settings_that_cannot_be(arguments: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        nf.Stack(**arguments)
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("method", "arguments", "option"),
    [
        ("add_port", {"name": "lan", "mac": LAN}, None),
        ("add_port", {"name": "x" * 16, "mac": LAN}, None),
        ("add_port", {"name": "dmz"}, "mac"),
        ("add_port", {"name": "dmz", "mac": "1"}, "mac"),
        ("add_port", {"name": "dmz", "mac": "ff:ff:ff:ff:ff:ff"}, None),
        ("add_port", {"name": "dmz", "mac": LAN, "addresses": ["192.0.2.1/24"]}, None),
        ("add_port", {"name": "dmz", "mac": LAN, "mtu": 10}, "mtu"),
        ("add_port", {"name": "dmz", "mac": LAN, "vlan": 3}, "parent"),
        ("add_port", {"name": "dmz", "parent": "lna", "vlan": 3}, "parent"),
        ("add_port", {"name": "dmz", "mac": LAN, "rp_filter": "lose"}, "rp_filter"),
        ("remove_port", {"name": "dmz"}, "name"),
        ("add_address", {"port": "lan", "address": "192.0.2.9"}, "address"),
        ("remove_address", {"port": "lan", "address": "192.0.2.9/24"}, "address"),
        ("add_route", {"prefix": "0.0.0.0/0", "via": "203.0.113.254"}, "route"),
        ("add_route", {"prefix": "10.0.0.0/8", "via": "198.51.100.1", "port": "wan"}, "route"),
        ("add_route", {"prefix": "10.0.0.0/8"}, "via"),
        ("add_route", {"prefix": "10.0.0.0/8", "via": []}, "via"),
        ("add_route", {"prefix": "10.0.0.0/8", "via": [("203.0.113.254", 0)]}, "via"),
        ("add_route", {"prefix": "10.0.0.0/8", "via": "x"}, "via"),
        ("add_route", {"prefix": "10.0.0.0/8", "kind": "blackhole", "port": "lan"}, None),
        ("add_route", {"prefix": "10.0.0.1/8", "port": "lan"}, "prefix"),
        ("add_route", {"prefix": "10.0.0.0/8", "port": "lan", "metric": -1}, "metric"),
        ("add_route", {"prefix": "10.0.0.0/8", "port": "lan", "table": "mine"}, "table"),
        ("remove_route", {"prefix": "10.0.0.0/8"}, "prefix"),
        ("add_neighbour", {"port": "lan", "ip": "192.0.2.300", "mac": LAN}, "ip"),
        ("add_neighbour", {"port": "lan", "ip": "224.0.0.1", "mac": LAN}, "neighbour"),
        ("remove_neighbour", {"port": "lan", "ip": "192.0.2.77"}, "ip"),
        ("add_policy", {"priority": 1}, None),
        ("add_policy", {"priority": -1, "table": 1}, "priority"),
        ("add_policy", {"priority": 1, "kind": "throw"}, None),
        ("push", {"port": "dmz", "packets": []}, "port"),
        ("push", {"port": "lan", "packets": [IPv4() / UDP()]}, "packets"),
        ("trace", {"packet": b"", "port": "dmz"}, "port"),
        ("tap", {"port": "dmz", "path": None}, "port"),
        ("delete_connection", {"id": 99}, "id"),
        ("run", {"inputs": {}}, "inputs"),
        ("run", {"inputs": {"dmz": "x.pcap"}}, "inputs"),
    ],
)
def test_arguments_that_cannot_be_leave_the_node_as_it_was(
    stack: nf.Stack, method: str, arguments: dict[str, Any], option: str | None
) -> None:
    before = stack.to_toml()
    with pytest.raises(ConfigError) as caught:
        getattr(stack, method)(**arguments)
    if option is not None:
        assert caught.value.option == option
    assert stack.to_toml() == before


@pytest.mark.parametrize("packets", [None, 7, "text", [None], [("now", b"")], object()])
def test_what_is_no_packet_is_a_type_error(stack: nf.Stack, packets: Any) -> None:
    with pytest.raises(TypeError):
        stack.push("lan", packets)
    assert stack.counters.packets_in == 0


def test_an_iterable_that_raises_pushes_nothing(stack: nf.Stack) -> None:
    def frames() -> Iterator[bytes]:
        yield query()
        raise LookupError("gone")

    with pytest.raises(LookupError):
        stack.push("lan", frames())
    assert stack.counters.packets_in == 0


def test_limits_raise_resource_errors() -> None:
    stack = edge(max_routes=20)
    prefixes = [f"10.{number}.0.0/16" for number in range(100)]
    with pytest.raises(ResourceError) as caught:
        [stack.add_route(prefix, via="203.0.113.254") for prefix in prefixes]
    assert caught.value.limit == 20
    few = edge(max_neighbours=4)
    with pytest.raises(ResourceError) as caught:
        few.add_neighbour("lan", "192.0.2.8", CLIENT)
    assert caught.value.limit == 4
    stack.add_policy(10, table=100, source="10.0.0.0/8")
    assert stack.remove_policy(10) == 1
    assert stack.remove_policy(10) == 0


def test_a_translation_without_ports_left_drops_and_tells() -> None:
    stack = edge()
    stack.snat("203.0.113.5", to_port="5000-5003", out_port="wan", protocol="udp")
    out = stack.push("lan", [query(port) for port in range(1, 20)], now=1)["wan"]
    assert sorted(packet.src_port or 0 for packet in out) == [5000, 5001, 5002, 5003]
    assert stack.counters.dropped_by == {"nat_exhausted": 15}
    told = [event for event in stack.events() if event.kind == "nat_exhausted"]
    assert len(told) == 15
    assert told[0].details["dst"] == "198.51.100.1"
    assert stack.differences() == []


def test_a_flood_of_new_connections_leaves_those_that_were_answered() -> None:
    stack = edge(tracking="on", max_connections=64, max_events=10_000)
    answered = query(1)
    stack.push("lan", [answered], now=SECOND)
    answer = down(IPv4(src="198.51.100.1", dst="192.0.2.7") / UDP(src_port=53, dst_port=1) / b"answer")
    stack.push("wan", [answer], now=SECOND)
    # A stream, once it is older than two seconds.
    stack.push("lan", [answered], now=4 * SECOND)
    stack.push("wan", [answer], now=4 * SECOND)
    assert "assured" in stack.connections()[0].status
    stack.push("lan", [query(port) for port in range(2, 3_000)], now=5 * SECOND)
    assert len(stack.connections()) <= 64
    assert 1 in {connection.src_port for connection in stack.connections()}
    counters = stack.counters
    assert counters.early_dropped + counters.dropped_by.get("table_full", 0) >= 2_900
    assert counters.conserved
    assert stack.differences() == []


def test_connections_are_objects_rows_columns_and_arrow() -> None:
    polars = pytest.importorskip("polars")
    stack = edge(tracking="on")
    ping = up(IPv4(src="192.0.2.7", dst="198.51.100.1") / ICMPv4(type=8) / b"ping")
    segment = up(IPv6(src="2001:db8:1::7", dst="2001:db8:2::1") / TCP(src_port=5, dst_port=80, flags="S"))
    stack.push("lan", [query(1), query(2), ping, segment], now=SECOND)
    connections = stack.connections()
    assert len(connections) == 4
    assert [each.protocol for each in connections] == [17, 17, 1, 6]
    assert connections[-1].state == "SYN_SENT"
    assert [each.src_port for each in connections[:3]] == [1, 2, None]
    assert connections.columns()["dst"] == [row["dst"] for row in connections.rows()]
    assert "198.51.100.1" in connections._repr_html_()
    frame = polars.DataFrame(connections)
    assert frame.columns == list(nf.Connection.__dataclass_fields__)
    assert frame["src_port"].to_list() == [1, 2, None, 5]
    assert frame["state"].to_list() == [None, None, None, "SYN_SENT"]
    assert polars.DataFrame(edge().connections()).columns == frame.columns
    with pytest.raises(IndexError):
        connections[4]
    assert stack.flush_connections() == 4
    assert len(connections) == 4
    assert len(stack.connections()) == 0


def test_a_stack_says_what_it_is_and_is_not_pickled(stack: nf.Stack) -> None:
    assert repr(stack) == "<netfast.Stack 'edge': lan, wan>"
    assert "<td>lan</td>" in stack._repr_html_()
    with pytest.raises(TypeError, match="to_toml"):
        pickle.dumps(stack)
    assert "balance" in str(stack.counters) or stack.counters.conserved


def test_threads_share_a_stack() -> None:
    stack = edge(verify=False, tracking="on")
    frames = nf.Batch([query(port) for port in range(64)])
    errors: list[BaseException] = []

    def work(now: int) -> None:
        try:
            for _ in range(50):
                assert len(stack.push("lan", frames, now=now)["wan"]) == 64
                stack.accept(in_port=f"port{now}") if now == 1 else stack.counters.conserved
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert stack.counters.packets_in == 4 * 50 * 64
    assert stack.counters.conserved


@pytest.mark.parametrize("policy", ["accept", "drop"])
@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_the_policy_holds_when_a_hook_is_interrupted(policy: str, raised: type[BaseException]) -> None:
    stack = edge(hook_policy=policy)

    def hook(flows: list[nf.NewFlow]) -> None:
        raise raised

    stack.on_new_flow(hook)
    with pytest.raises(raised):
        stack.push("lan", [query(1), query(2)], now=1)
    counters = stack.counters
    assert counters.conserved
    assert (counters.packets_in, counters.hook_failed) == (2, 2)
    assert counters.dropped_by == ({} if policy == "accept" else {"hook": 2})
    assert counters.ports["wan"]["packets_out"] == (2 if policy == "accept" else 0)
    stack.on_new_flow(None)
    # What came out when nobody could take it comes with what the next call gives.
    came_out = stack.push("lan", [query(3)], now=2)["wan"]
    assert len(came_out) == (3 if policy == "accept" else 1)
    assert "wan" not in stack.poll(3)


def test_no_packet_of_a_call_is_lost_when_a_hook_is_interrupted() -> None:
    stack, asked = edge(hook_policy="accept"), []

    def hook(flows: list[nf.NewFlow]) -> None:
        asked.append(len(flows))
        if len(asked) == 2:
            raise KeyboardInterrupt

    stack.on_new_flow(hook)
    with pytest.raises(KeyboardInterrupt):
        stack.push("lan", [query(number) for number in range(1, 1001)], now=1)
    # Three batches more came behind the one that it was raised for; nobody is asked about them.
    assert asked == [256, 256]
    assert (stack.counters.packets_in, stack.counters.hook_failed) == (1000, 744)
    assert len(stack.poll(1)["wan"]) == 1000
    assert stack.counters.conserved


def test_a_hook_cannot_let_packets_into_its_own_stack() -> None:
    stack, other, said = edge(), edge(), []

    def hook(flows: list[nf.NewFlow]) -> None:
        other.push("lan", [query(9)], now=1)
        with pytest.raises(nf.ConfigError, match="cannot let packets into its own stack") as caught:
            stack.push("lan", [query(2)], now=1)
        said.append(caught.value.option)

    stack.on_new_flow(hook)
    assert len(stack.push("lan", [query(1)], now=1)["wan"]) == 1
    assert (said, other.counters.packets_in) == (["packets"], 1)


def test_names_of_ports_that_are_not_there_are_told(stack: nf.Stack) -> None:
    stack.load_rules(
        """\
table inet filter {
    set inside {
        type ifname
        elements = { "lan", "lann" }
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname @inside accept
        iifname "lna" accept
        oif eth7 accept
        iifname { "lan", "wam*" } accept
    }
}
"""
    )
    stack.accept(in_port="wna")
    told = {finding.line: finding.what for finding in stack.findings() if "port" in finding.what}
    assert told == {
        2: 'set `inside`: there is no port "lann"; did you mean "lan"?',
        9: 'rule `iifname "lna" accept`: there is no port "lna"; did you mean "lan"?',
        10: 'rule `oif eth7 accept`: there is no port "eth7"; there are lan, wan',
        11: 'rule `iifname { "lan", "wam*" } accept`: there is no port "wam*"; did you mean "wan"?',
        None: 'rule `iifname "wna" accept`: there is no port "wna"; did you mean "wan"?',
    }
    with pytest.raises(ConfigError, match='no port "wna"; did you mean "wan"'):
        stack.masquerade("wna", family=4)
    stack.masquerade("wa*", family=4)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda stack: stack.add_port("local", mac=LAN), "local is what run calls"),
        (lambda stack: stack.dnat("192.0.2.5:80", dport=80, protocol="tcp"), "to_port=80"),
        (lambda stack: stack.dnat("[2001:db8::5]:80", dport=80, protocol="tcp"), "to_port=80"),
        (lambda stack: stack.add_policy(100), "needs table=, where to look, or kind="),
        (lambda stack: stack.add_neighbour("lan", "192.0.2.9", "ff:ff:ff:ff:ff:ff"), "one station"),
        (lambda stack: stack.send(query()), "send takes an IP packet"),
        (lambda stack: stack.push("lan", [], now=-1), "now=-1"),
        (lambda stack: stack.poll(1 << 64), "now="),
        (lambda stack: Rule(verdict="acept"), "accept, drop, reject"),
        (lambda stack: Chain("c", hook="forwards"), "prerouting, input, forward, output, postrouting"),
        (lambda stack: Chain("c", hook="forward", policy="deny"), "accept, drop"),
        (lambda stack: Table("inet6", "t"), "inet, ip, ip6"),
        (lambda stack: nf.FlowVerdict(mark=1 << 32), "mark="),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(stack: nf.Stack, call: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call(stack)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda stack: stack.add_port("p", mac=LAN, mtu="1500"), "mtu"),
        (lambda stack: stack.add_port("p", mac=LAN, rp_filter=True), "rp_filter"),
        (lambda stack: stack.add_port(5, mac=LAN), "name"),
        (lambda stack: stack.add_port("p", mac=b""), "mac"),
        (lambda stack: stack.add_route("::/0", port="lan", metric="1"), "metric"),
        (lambda stack: stack.push("lan", [], now=1.5), "now"),
        (lambda stack: stack.poll(None), "now"),
        (lambda stack: stack.run(["lan"]), "inputs"),
        (lambda stack: stack.load_rules(b""), "rules"),
        (lambda stack: stack.on_new_flow(5), "hook"),
        (lambda stack: nf.Stack(timeouts=[1]), "timeouts"),
        (lambda stack: nf.FlowVerdict(mark="x"), "mark"),
    ],
)
def test_wrong_types_name_the_argument(stack: nf.Stack, call: Any, option: str) -> None:
    with pytest.raises(TypeError, match=rf"^{option}: expected .*, not "):
        call(stack)


def test_every_rule_tells_how_many_packets_matched_it() -> None:
    stack = edge()
    stack.load_rules(
        """\
table inet t {
    set seen { type ipv4_addr; flags dynamic; }
    chain forward {
        type filter hook forward priority filter; policy drop;
        counter
        log prefix "x"
        meta mark set 5
        udp dport 54 counter
        add @seen { ip saddr }
        limit rate 1/second burst 2 packets
        jump {
            counter
            udp dport 53 return
        }
        meta mark 5 accept
    }
}
"""
    )
    assert len(stack.push("lan", [query(1)] * 3, now=1)["wan"]) == 3
    hits = [(rule["text"], rule["hits"]) for rule in stack.rules() if rule["chain"] == "forward"]
    assert hits == [
        ("counter", 3),
        ('log prefix "x"', 3),
        ("meta mark set 5", 3),
        ("udp dport 54 counter", 0),
        ("add @seen { ip saddr }", 3),
        ("limit rate 1/second burst 2 packets", 2),
        ("jump { counter; udp dport 53 return }", 3),
        ("meta mark 5 accept", 3),
    ]
    assert [rule["hits"] for rule in stack.rules() if rule["chain"] != "forward"] == [3, 3]
    assert stack.counters.conserved


def test_rules_that_need_connections_are_told_where_none_are_tracked() -> None:
    stack = edge(tracking="off")
    stack.load_rules(
        """\
table inet t {
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state untracked accept
        ct state established accept
    }
    chain after {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan" masquerade
    }
}
"""
    )
    told = {finding.line: finding.what for finding in stack.findings() if "tracking" in finding.what}
    assert told == {
        5: 'rule `ct state established accept`: tracking is "off", so that no packet has a connection; '
        'set it to "auto" or "on"',
        9: 'rule `oifname "wan" masquerade`: tracking is "off", so that nothing is translated; '
        'set it to "auto" or "on"',
    }


def test_a_masquerade_by_a_port_without_an_address_is_told() -> None:
    stack = nf.Stack("edge")
    stack.add_port("lan", mac="02:00:00:00:00:01", addresses=["192.0.2.1/24", "2001:db8:1::1/64"])
    stack.add_port("wan", mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
    stack.masquerade("wan")
    [told] = [finding.what for finding in stack.findings() if "masquerade" in finding.what]
    assert 'port "wan" has no IPv6 address' in told
    assert "family=4" in told
    stack = nf.Stack("edge")
    stack.add_port("lan", mac="02:00:00:00:00:01", addresses=["192.0.2.1/24", "2001:db8:1::1/64"])
    stack.add_port("wan", mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
    stack.masquerade("wan", family=4)
    assert not [finding.what for finding in stack.findings() if "masquerade" in finding.what]


def test_a_result_is_asked_as_a_dictionary_is() -> None:
    result = edge().push("lan", [query(1), query(2)], now=1)
    assert result.keys() == ["wan"]
    assert "wan" in result
    assert "lan" not in result
    assert [len(batch) for batch in result.values()] == [2]
    assert len(result.get("wan")) == 2
    assert (result.get("lan"), result.get("nosuch", 5)) == (None, 5)


def test_names_not_numbers_of_ports_are_told() -> None:
    stack = nf.Stack("edge")
    stack.add_port("lan", mac="02:00:00:00:00:01", addresses=["192.0.2.1/24"])
    stack.add_port("wan", mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
    stack.add_port("dmz", parent="lan", vlan=5)
    with pytest.raises(nf.ConfigError, match='port "dmz" is a VLAN sub-interface itself'):
        stack.add_port("inner", parent="dmz", vlan=6)
    stack.add_route("0.0.0.0/0", via=["203.0.113.2", "203.0.113.3"])
    hops = [step.text for step in stack.trace(query(1), port="lan").steps if step.table == "next hop"]
    assert len(hops) == 1
    assert hops[0].endswith(" at wan, one of 2")


@pytest.mark.parametrize("number", [-1, 2**70])
def test_numbers_that_no_connection_can_have_are_refused(number: int) -> None:
    with pytest.raises(nf.ConfigError, match=r"id=.*the number of a connection"):
        edge().delete_connection(number)
