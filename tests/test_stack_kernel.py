"""A stack from what `ip -j` and `nft -j` say: of documents, and of a network namespace made for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import netfast as nf
from netfast.errors import ConfigError, NetfastError

ADDRESSES = [
    {"ifname": "lo", "link_type": "loopback", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
    {
        "ifname": "lan.7",
        "link": "lan",
        "link_type": "ether",
        "address": "02:00:00:00:00:01",
        "mtu": 1400,
        "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 7}},
        "addr_info": [{"family": "inet", "local": "10.7.0.1", "prefixlen": 24}, {}],
    },
    {
        "ifname": "lan",
        "link_type": "ether",
        "address": "02:00:00:00:00:01",
        "mtu": 1500,
        "addr_info": [
            {"family": "inet", "local": "192.0.2.1", "prefixlen": 24},
            {"family": "inet6", "local": "2001:db8:1::1", "prefixlen": 64},
        ],
    },
    {"ifname": "wan", "link_type": "ether", "address": "02:00:00:00:00:02", "addr_info": [], "mtu": 1500},
    {"ifname": "tun0", "link_type": "none", "mtu": 1500},
    {
        "ifname": "qinq",
        "link": "lan",
        "link_type": "ether",
        "address": "02:00:00:00:00:03",
        "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1ad", "id": 9}},
    },
]
ROUTES = [
    {"dst": "default", "gateway": "192.0.2.254", "dev": "lan", "metric": 10, "flags": []},
    {"dst": "192.0.2.0/24", "dev": "lan", "protocol": "kernel", "scope": "link", "flags": []},
    {"type": "local", "dst": "192.0.2.1", "dev": "lan", "table": "local", "flags": []},
    {"dst": "198.51.100.0/24", "dev": "wan", "scope": "link", "flags": []},
    {"dst": "203.0.113.9", "gateway": "198.51.100.7", "dev": "wan", "flags": ["onlink"], "table": 100},
    {
        "dst": "2001:db8:2::/48",
        "flags": [],
        "nexthops": [
            {"gateway": "2001:db8:1::8", "dev": "lan", "weight": 3, "flags": []},
            {"gateway": "2001:db8:1::9", "dev": "lan", "weight": 1, "flags": []},
        ],
    },
    {"dst": "10.0.0.0/8", "via": {"family": "inet6", "host": "2001:db8:1::8"}, "dev": "lan", "flags": []},
    {"type": "unreachable", "dst": "172.16.0.0/12", "flags": []},
    {"dst": "100.64.0.0/10", "dev": "tun0", "flags": []},
    {"dst": "100.0.0.0/10", "dev": "lan", "encap": "mpls", "flags": []},
    {"type": "nat", "dst": "100.0.0.1", "dev": "lan", "flags": []},
    {},
]
RULES = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 100, "src": "192.0.2.0", "srclen": 25, "iif": "lan", "fwmark": "0x10", "table": "100"},
    {"priority": 200, "not": None, "src": "all", "dst": "10.0.0.1", "tos": "0xb8", "action": "prohibit"},
    {"priority": 300, "src": "all", "uid_range": "0-99", "table": "100"},
    {"priority": 400, "src": "all", "iif": "gone", "table": "100"},
    {"priority": 32766, "src": "all", "table": "main"},
]
NEIGHBOURS = [
    {"dst": "192.0.2.254", "dev": "lan", "lladdr": "02:00:00:00:00:99", "state": ["PERMANENT"]},
    {"dst": "192.0.2.253", "dev": "lan", "state": ["FAILED"]},
    {"dst": "192.0.2.252", "dev": "tun0", "lladdr": "02:00:00:00:00:98", "state": ["REACHABLE"]},
]
RULESET = {
    "nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "filter", "handle": 1}},
        {
            "chain": {
                "family": "inet",
                "table": "filter",
                "name": "forward",
                "handle": 1,
                "type": "filter",
                "hook": "forward",
                "prio": 0,
                "policy": "drop",
            }
        },
        {
            "rule": {
                "family": "inet",
                "table": "filter",
                "chain": "forward",
                "handle": 2,
                "expr": [
                    {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lan"}},
                    {"accept": None},
                ],
            }
        },
        {
            "rule": {
                "family": "inet",
                "table": "filter",
                "chain": "forward",
                "handle": 3,
                "expr": [{"queue": {"num": 1}}],
            }
        },
    ]
}


def test_documents_become_a_stack_and_the_rest_is_listed() -> None:
    stack = nf.Stack.from_kernel(
        addresses=ADDRESSES,
        routes=json.dumps(ROUTES),
        rules=RULES,
        neighbours=json.dumps(NEIGHBOURS).encode(),
        ruleset=RULESET,
    )
    ports = {port["name"]: port for port in stack.ports()}
    assert set(ports) == {"lan", "lan.7", "wan"}
    assert ports["lan"]["addresses"] == ["192.0.2.1/24", "2001:db8:1::1/64"]
    assert (ports["lan.7"]["parent"], ports["lan.7"]["vlan"], ports["lan.7"]["mtu"]) == ("lan", 7, 1400)
    routes = {route["prefix"]: route for route in stack.routes() if not route["connected"]}
    assert set(routes) == {
        "0.0.0.0/0",
        "198.51.100.0/24",
        "203.0.113.9/32",
        "2001:db8:2::/48",
        "10.0.0.0/8",
        "172.16.0.0/12",
    }
    assert routes["0.0.0.0/0"]["via"] == [("192.0.2.254", 1, "lan")]
    assert routes["0.0.0.0/0"]["metric"] == 10
    assert (routes["203.0.113.9/32"]["on_link"], routes["203.0.113.9/32"]["table"]) == (True, "100")
    assert [hop[1] for hop in routes["2001:db8:2::/48"]["via"]] == [3, 1]
    assert routes["10.0.0.0/8"]["via"] == [("2001:db8:1::8", 1, "lan")]
    assert routes["172.16.0.0/12"]["kind"] == "unreachable"
    first, second = stack.policies()
    assert (first["source"], first["port"], first["mark"], first["table"]) == (
        "192.0.2.0/25",
        "lan",
        16,
        "100",
    )
    assert (second["destination"], second["dscp"], second["invert"], second["kind"]) == (
        "10.0.0.1/32",
        46,
        True,
        "prohibit",
    )
    neighbours = [(row["port"], row["ip"], row["mac"]) for row in stack.neighbours()]
    assert neighbours == [("lan", "192.0.2.254", "02:00:00:00:00:99")]
    assert 'iifname "lan" accept' in stack.rules_text()
    listed = "\n".join(map(str, stack.unsupported))
    for words in ("tun0", "802.1ad", "encap", "type nat", "uid_range", "iif gone", "queue", "FAILED"):
        assert words in listed, listed
    assert len(stack.unsupported) == 9


def listed(**documents: Any) -> tuple[nf.Stack, list[str]]:
    """What a system with one port becomes, and what is left out of it."""
    stack = nf.Stack.from_kernel(
        addresses=[{"ifname": "wan", "address": "02:00:00:00:00:02", "addr_info": [WAN_ADDRESS]}], **documents
    )
    return stack, [str(each) for each in stack.unsupported]


WAN_ADDRESS = {"local": "203.0.113.1", "prefixlen": 24}
VIA = {"gateway": "203.0.113.2", "dev": "wan", "flags": []}


def test_tables_that_only_their_system_knows_are_listed() -> None:
    stack, found = listed(
        routes=[
            {"dst": "10.5.0.0/16", "table": "blue", "protocol": "mine", "scope": "site", **VIA},
            {"dst": "10.6.0.0/16", "table": "default", "protocol": "mine", "scope": "site", **VIA},
            {"dst": "10.7.0.0/16", "table": 7, **VIA},
        ],
        rules=[
            {"priority": 77, "src": "10.1.0.0", "srclen": 24, "table": "blue"},
            {"priority": 78, "src": "10.1.0.0", "srclen": 24, "table": "main", "protocol": "mine"},
            {"priority": 79, "src": "all", "tos": "EF", "table": "main"},
        ],
    )
    assert sorted(
        (route["prefix"], route["table"]) for route in stack.routes() if not route["connected"]
    ) == [
        ("10.6.0.0/16", "default"),
        ("10.7.0.0/16", "7"),
    ]
    assert [policy["priority"] for policy in stack.policies()] == [78]
    remedy = "only its system knows the number of that table; give what `ip -N -j` prints"
    assert found == [
        f"IPv4 route 10.5.0.0/16 table blue: table blue: {remedy}",
        f"IPv4 rule 77: table blue: {remedy}",
        "IPv4 rule 79: tos EF: only its system knows that value; give what `ip -N -j` prints",
    ]


def test_numbers_are_read_as_names_are() -> None:
    stack, found = listed(
        routes=[
            {"dst": "203.0.113.0/24", "dev": "wan", "protocol": "2", "scope": "253"},
            {"type": "2", "dst": "203.0.113.1", "dev": "wan", "table": "255", "protocol": "2"},
            {"type": "7", "dst": "10.0.0.0/8"},
            {"type": "5", "dst": "ff00::/8", "dev": "wan", "metric": 256},
        ],
        rules=[
            {"priority": 0, "src": "all", "table": "255"},
            {"priority": 14, "src": "192.0.2.0", "srclen": 24, "action": "8"},
            {"priority": 15, "src": "all", "table": "254", "suppress_prefixlen": 0},
            {"priority": 32766, "src": "all", "table": "254"},
        ],
    )
    assert found == []
    routes = [(route["prefix"], route["kind"]) for route in stack.routes() if not route["connected"]]
    assert routes == [("10.0.0.0/8", "unreachable")]
    first, second = stack.policies()
    assert (first["priority"], first["kind"], second["suppress_length"]) == (14, "prohibit", 0)


def test_the_mtu_of_a_route_is_taken_and_what_else_it_has_is_listed() -> None:
    stack, found = listed(
        routes=[
            {
                "dst": "default",
                **VIA,
                "metrics": [{"mtu": 1400, "advmss": 1200, "ecn": None}],
                "flow": {"to": "3"},
            },
            {
                "dst": "10.1.0.0/16",
                "nexthops": [VIA | {"weight": 1, "flow": {"to": "3"}}],
                "metrics": [{"mtu": 1300}],
            },
            {"dst": "10.2.0.0/16", **VIA, "tos": "0x10"},
            {"dst": "2001:db8::/32", "from": "2001:db8::/48", "dev": "wan", "pref": "medium"},
            {"dst": "2001:db8:1::/48", "dev": "wan", "expires": 90, "pref": "high", "new-fangled": 1},
            {"dst": "10.3.0.0/16"},
        ],
        neighbours=[{"dst": "203.0.113.9", "dev": "wan", "proxy": None}],
    )
    routes = {route["prefix"]: route["mtu"] for route in stack.routes() if not route["connected"]}
    assert routes == {"0.0.0.0/0": 1400, "10.1.0.0/16": 1300, "2001:db8:1::/48": None}
    metric, taken = "the only metric is the MTU", "there are no realms; it is taken without"
    assert found == [
        "neighbour 203.0.113.9 at wan: proxy: ports answer for the addresses of the node alone",
        f"IPv4 route default table main: advmss 1200: {metric}",
        f"IPv4 route default table main: ecn: {metric}",
        f"IPv4 route default table main: realm: {taken}",
        f"IPv4 route 10.1.0.0/16 table main: realm: {taken}",
        "IPv4 route 10.2.0.0/16 table main: tos 0x10: routes ask for the destination alone",
        "IPv6 route 2001:db8::/32 table main: from 2001:db8::/48: routes ask for the destination alone",
        "IPv6 route 2001:db8:1::/48 table main: expires 90: routes stay; it is taken as one that does",
        "IPv6 route 2001:db8:1::/48 table main: pref high: there is no preference; it is taken without",
        "IPv6 route 2001:db8:1::/48 table main: new-fangled: routes have no such thing; it is taken without",
        "IPv4 route 10.3.0.0/16 table main: no port: `dev` does not say by which port packets leave",
    ]


@pytest.mark.parametrize(
    "narrower",
    [
        {"uid_start": 5, "uid_end": 6},
        {"sport_start": 5, "sport_end": 7},
        {"suppress_ifgroup": "3"},
        {"oif": "wan"},
    ],
)
def test_a_rule_that_asks_for_more_is_not_taken_as_one_that_does_not(narrower: dict[str, Any]) -> None:
    stack, found = listed(rules=[{"priority": 9, "src": "all", "table": "main", **narrower}])
    assert stack.policies() == []
    assert found == [f"IPv4 rule 9: {', '.join(sorted(narrower))}: policies do not ask for it"]


@pytest.mark.parametrize(
    ("documents", "option"),
    [
        ({"addresses": "{"}, "addresses"),
        ({"addresses": {}}, "addresses"),
        ({"addresses": [1]}, "addresses"),
        ({"addresses": [{"mtu": 1}]}, "addresses"),
        ({"addresses": [{"ifname": "x", "mtu": "much"}]}, "addresses"),
        ({"routes": [{"dev": "lan"}]}, "routes"),
        ({"rules": [{"priority": "first"}]}, "rules"),
        ({"neighbours": [{}, {"dst": "1"}]}, "neighbours"),
        ({"ruleset": "no JSON"}, "ruleset"),
        ({"netns": "x", "routes": []}, "netns"),
    ],
)
def test_documents_that_are_none(documents: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        nf.Stack.from_kernel(**documents)
    assert caught.value.option == option


def test_programs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NetfastError, match="iproute2"):
        nf.Stack.from_kernel()


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"nfs-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network namespace can be made: {made.stderr.strip()}")
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft (Debian nftables) is missing")
def test_a_namespace_becomes_a_stack(netns: str) -> None:
    commands = """\
        link add lan type veth peer name lan-far
        link add wan type veth peer name wan-far
        link set lan address 02:00:00:00:00:01
        link set wan address 02:00:00:00:00:02
        address add 192.0.2.1/24 dev lan
        address add 2001:db8:1::1/64 dev lan nodad
        address add 203.0.113.1/24 dev wan
        link set lan up
        link set lan-far up
        link set wan up
        link set wan-far up
        route add default nexthop via 203.0.113.2 weight 3 nexthop via 203.0.113.3 weight 1
        route add blackhole 10.66.0.0/16
        route add 10.0.0.0/8 via 203.0.113.2 table 100
        rule add from 192.0.2.0/24 priority 100 table 100
        route add ::/0 via 2001:db8:1::9
        neighbour add 203.0.113.2 lladdr 02:00:00:00:00:99 dev wan nud permanent
    """
    batch = "\n".join(line.strip() for line in commands.splitlines())
    subprocess.run(["ip", "-n", netns, "-batch", "-"], input=batch, text=True, check=True)
    rules = """\
        table inet filter {
            set friends { type ipv4_addr; flags interval; elements = { 192.0.2.0/25 } }
            chain forward {
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                ip saddr @friends tcp dport { 80, 443 } counter accept
            }
        }
        table ip nat {
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname "wan" masquerade
            }
        }
    """
    subprocess.run(["ip", "netns", "exec", netns, "nft", "-f", "-"], input=rules, text=True, check=True)
    stack = nf.Stack.from_kernel(netns)
    assert stack.name == netns
    assert stack.unsupported == ()
    ports = {port["name"]: port for port in stack.ports()}
    assert {"lan", "wan"} <= set(ports)
    assert "203.0.113.1/24" in ports["wan"]["addresses"]
    routes = {(route["prefix"], route["table"]): route for route in stack.routes()}
    assert sorted(hop[1] for hop in routes["0.0.0.0/0", "main"]["via"]) == [1, 3]
    assert routes["10.66.0.0/16", "main"]["kind"] == "blackhole"
    assert routes["10.0.0.0/8", "100"]["via"] == [("203.0.113.2", 1, "wan")]
    assert routes["::/0", "main"]["via"] == [("2001:db8:1::9", 1, "lan")]
    assert [policy["priority"] for policy in stack.policies()] == [100]
    neighbours = [(row["port"], row["ip"], row["mac"]) for row in stack.neighbours()]
    assert ("wan", "203.0.113.2", "02:00:00:00:00:99") in neighbours
    text = stack.rules_text()
    assert "masquerade" in text
    assert "192.0.2.0/25" in text
    # What it became loads again, here and in nft.
    check = ["ip", "netns", "exec", netns, "nft", "-c", "-f", "-"]
    subprocess.run(check, input=text, text=True, check=True)
    with pytest.raises(NetfastError, match="failed"):
        nf.Stack.from_kernel("nfs-none")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft (Debian nftables) is missing")
def test_a_namespace_whose_tables_have_names_becomes_a_stack(netns: str) -> None:
    # `ip netns exec` lays these files over those of /etc.
    own = Path("/etc/netns") / netns
    if not Path("/etc/iproute2").is_dir():
        pytest.skip("there is no /etc/iproute2 to lay names over")
    made = [folder for folder in (own.parent, own, own / "iproute2") if not folder.exists()]
    (own / "iproute2").mkdir(parents=True)
    names = own / "iproute2" / "rt_tables"
    try:
        names.write_text("200 blue\n254 main\n")
        commands = """\
            link add wan type veth peer name wan-far
            address add 203.0.113.1/24 dev wan
            link set wan up
            link set wan-far up
            route add 10.5.0.0/16 via 203.0.113.9 table 200 mtu 1400
            route add prohibit 10.6.0.0/16 table 200
            rule add from 10.1.0.0/24 lookup 200 priority 77
            neighbour add proxy 203.0.113.77 dev wan
        """
        batch = "\n".join(line.strip() for line in commands.splitlines())
        subprocess.run(["ip", "-n", netns, "-batch", "-"], input=batch, text=True, check=True)
        shown = subprocess.run(
            ["ip", "netns", "exec", netns, "ip", "rule"], capture_output=True, text=True, check=True
        )
        assert "lookup blue" in shown.stdout
        stack = nf.Stack.from_kernel(netns)
    finally:
        names.unlink()
        for folder in reversed(made):
            folder.rmdir()
    assert [(policy["priority"], policy["table"]) for policy in stack.policies()] == [(77, "200")]
    routes = {route["prefix"]: route for route in stack.routes() if route["table"] == "200"}
    assert routes["10.5.0.0/16"]["mtu"] == 1400
    assert routes["10.6.0.0/16"]["kind"] == "prohibit"
    assert [str(each.what) for each in stack.unsupported] == ["proxy"]
