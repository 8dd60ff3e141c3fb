"""A stack from TOML: what it reads, what it writes, and where each mistake is told."""

from __future__ import annotations

import pickle
from pathlib import Path
from textwrap import dedent

import pytest

import netfast as nf
from netfast.errors import ConfigError, ResourceError

GOOD = """\
rules = '''
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }
}
'''

[stack]
name = "edge"
tracking = "on"
max_connections = 4096
icmp_rate = 0
hook_policy = "accept"

[timeouts]
tcp_established = 3600
udp = 2.5

[[port]]
name = "lan"
mac = "02:00:00:00:00:01"
addresses = ["2001:db8:1::1/64", "192.0.2.1/24"]
mtu = 9000
rp_filter = "strict"
directed_broadcast = true

[[port]]
name = "guests"
parent = "lan"
vlan = 7
addresses = "10.7.0.1/24"

[[port]]
name = "wan"
mac = "02-00-00-00-00-02"
addresses = ["2001:db8:ff::1/64", "203.0.113.1/24"]

# The second route leads to the gateway of the first.
[[route]]
prefix = "198.51.100.0/24"
via = "10.99.0.1"
metric = 5

[[route]]
prefix = "10.99.0.0/16"
via = "203.0.113.9"

[[route]]
prefix = "::/0"
via = [{ via = "2001:db8:ff::2", weight = 3 }, "2001:db8:ff::3"]
source = "2001:db8:1::1"

[[route]]
prefix = "192.0.2.128/25"
port = "wan"
table = 100

[[route]]
prefix = "10.0.0.0/8"
kind = "unreachable"

[[neighbour]]
port = "wan"
ip = "203.0.113.9"
mac = "02:00:00:00:00:99"

[[policy]]
priority = 100
source = "192.0.2.0/24"
port = "lan"
mark = 0x10
mask = 0xff
table = 100

[[policy]]
priority = 200
dscp = 46
invert = true
kind = "prohibit"
"""


def load(tmp_path: Path, text: str) -> nf.Stack:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return nf.Stack.from_toml(path)


def mistakes(tmp_path: Path, text: str) -> list[ConfigError]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, dedent(text))
    return [caught.value, *caught.value.others]


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    stack = load(tmp_path, GOOD)
    assert stack.name == "edge"
    lan, wan, guests = stack.ports()
    assert lan == {
        "name": "lan",
        "mac": "02:00:00:00:00:01",
        "addresses": ["2001:db8:1::1/64", "192.0.2.1/24"],
        "mtu": 9000,
        "parent": None,
        "vlan": None,
        "rp_filter": "strict",
        "directed_broadcast": True,
        "features": [],
        "gro_flush_timeout": 0.0,
        "resolve": False,
        "point_to_point": False,
    }
    assert (guests["mac"], guests["mtu"], guests["parent"], guests["vlan"]) == (lan["mac"], 9000, "lan", 7)
    assert wan["mac"] == "02:00:00:00:00:02"
    routes = {(route["prefix"], route["table"]): route for route in stack.routes() if not route["connected"]}
    assert routes["198.51.100.0/24", "main"]["via"] == [("10.99.0.1", 1, None)]
    assert routes["198.51.100.0/24", "main"]["metric"] == 5
    assert routes["::/0", "main"]["via"] == [("2001:db8:ff::2", 3, None), ("2001:db8:ff::3", 1, None)]
    assert routes["192.0.2.128/25", "100"]["via"] == [(None, 1, "wan")]
    assert routes["10.0.0.0/8", "main"]["kind"] == "unreachable"
    assert all(route["unresolved"] is None for route in routes.values())
    [neighbour] = stack.neighbours()
    said = (neighbour["port"], neighbour["ip"], neighbour["mac"], neighbour["state"])
    assert said == ("wan", "203.0.113.9", "02:00:00:00:00:99", "permanent")
    policies = stack.policies()
    assert [(policy["priority"], policy["family"]) for policy in policies] == [(100, 4), (200, 4), (200, 6)]
    assert (policies[0]["mark"], policies[0]["mask"], policies[0]["port"]) == (16, 255, "lan")
    assert (policies[1]["dscp"], policies[1]["invert"], policies[1]["kind"]) == (46, True, "prohibit")
    assert 'iifname "lan" accept' in stack.rules_text()


def test_what_is_written_reads_as_the_same(tmp_path: Path) -> None:
    stack = load(tmp_path, GOOD)
    text = stack.to_toml()
    again = load(tmp_path, text)
    assert again.to_toml() == text
    for listing in ("ports", "routes", "neighbours", "policies", "rules_text"):
        assert getattr(again, listing)() == getattr(stack, listing)()
    for setting in ('tracking = "on"', "max_connections = 4096", "tcp_established = 3600", "udp = 2.5"):
        assert setting in text
    assert "seed" not in text


def test_the_least_that_is_a_node(tmp_path: Path) -> None:
    assert load(tmp_path, "").ports() == []
    stack = load(tmp_path, "rules_file = 'r.nft'\n") if (tmp_path / "r.nft").write_text("") == 0 else None
    assert stack is not None
    assert stack.rules_text() == ""


PORT = '[[port]]\nname = "lan"\nmac = "02:00:00:00:00:01"\naddresses = ["192.0.2.1/24"]\n'

# Text, line, column, and what the message says; the text begins on the line that is given.
WRONG = [
    ("[[port]\n", 1, 8, "no TOML"),
    ("a = 1\na = 2\n", 2, 1, "duplicate key"),
    ('[[port]]\nname = "lan"\nmac = "02:00:00:00:00:01"\nadresses = []\n', 4, 1, 'did you mean "addresses"?'),
    ("[[ports]]\n", 1, 3, 'did you mean "port"?'),
    ("colour = 1\n", 1, 1, "there are stack, timeouts, port"),
    ("[stack]\ntracking = 'always'\n", 2, 12, "one of auto, on, off"),
    ("[stack]\ntracking = 'onn'\n", 2, 12, 'did you mean "on"?'),
    ("[stack]\nmax_connections = 0\n", 2, 19, "from 1 to"),
    ("[stack]\nmax_connections = 'many'\n", 2, 19, "found text"),
    ("[stack]\nseed = 0x1_0000_0000_0000_0000\n", 2, 8, "from 0 to 18446744073709551615"),
    ("[stack]\nanswer_echo = 1\n", 2, 15, "expected true or false, found a whole number"),
    ("[timeouts]\nudp = -1\n", 2, 7, "seconds, above 0"),
    ("[timeouts]\nudp = nan\n", 2, 7, "seconds, above 0"),
    ("[timeouts]\nudp_steam = 1\n", 2, 1, 'did you mean "udp_stream"?'),
    ("port = 1\n", 1, 8, "expected tables"),
    ("[[port]]\nmac = '02:00:00:00:00:01'\n", 1, 1, 'has no "name"'),
    ("[[port]]\nname = 'lan'\n", 1, 1, 'has no "mac"'),
    ("[[port]]\nname = 'lan'\nmac = '02:00:00:00:00'\n", 3, 7, "a link address such as"),
    ("[[port]]\nname = 'lan'\nmac = '03:00:00:00:00:01'\n", 2, 8, "group address"),
    ("[[port]]\nname = 'a port'\nmac = '02:00:00:00:00:01'\n", 2, 8, "1 to 15 bytes"),
    (PORT + "mtu = 60\n", 5, 7, "from 68 to 65535"),
    (PORT + "vlan = 7\n", 1, 1, 'has no "parent"'),
    (PORT + "parent = 'x'\nvlan = 4095\n", 6, 8, "from 1 to 4094"),
    (PORT + "parent = 'wan'\nvlan = 7\n", 5, 10, 'there is no port "wan"'),
    (PORT.replace("192.0.2.1/24", "192.0.2.1"), 4, 14, "with its prefix length"),
    (PORT.replace("192.0.2.1/24", "192.0.2.1/33"), 4, 14, "at most 32 bits"),
    (PORT.replace("192.0.2.1/24", "224.0.0.1/24"), 2, 8, "unicast address"),
    (
        PORT.replace('["192.0.2.1/24"]', '["192.0.2.1/24", "192.0.2.1/16"]'),
        4,
        30,
        "is there already (line 4)",
    ),
    (PORT + PORT, 6, 8, 'port "lan" is there already (line 2)'),
    (PORT + "[[route]]\nvia = '192.0.2.9'\n", 5, 1, 'has no "prefix"'),
    (PORT + "[[route]]\nprefix = '0.0.0.0/0'\n", 5, 1, 'has no "via"'),
    (PORT + "[[route]]\nprefix = 'default'\nvia = '192.0.2.9'\n", 6, 10, "0.0.0.0/0 and ::/0"),
    (
        PORT + "[[route]]\nprefix = '10.0.0.1/8'\nvia = '192.0.2.9'\n",
        6,
        10,
        "host bits are set; write 10.0.0.0/8",
    ),
    (PORT + "[[route]]\nprefix = '0.0.0.0/0'\nvia = '198.51.100.1'\n", 5, 1, "is not reachable"),
    (PORT + "[[route]]\nprefix = '0.0.0.0/0'\nvia = '192.0.2.1'\n", 5, 1, "this node's own address"),
    (PORT + "[[route]]\nprefix = '0.0.0.0/0'\nport = 'lam'\n", 7, 8, 'did you mean "lan"?'),
    (
        PORT + "[[route]]\nprefix = '0.0.0.0/0'\nport = 'lan'\nkind = 'blackhole'\n",
        5,
        1,
        "contradict each other",
    ),
    (PORT + "[[route]]\nprefix = '0.0.0.0/0'\nkind = 'blackhol'\n", 7, 8, 'did you mean "blackhole"?'),
    (
        PORT + "[[route]]\nprefix = '0.0.0.0/0'\nvia = [{ via = '192.0.2.9', weight = 0 }]\n",
        7,
        38,
        "a weight",
    ),
    (
        PORT + "[[route]]\nprefix = '10.0.0.0/8'\nport = 'lan'\n" * 2,
        8,
        1,
        "route 10.0.0.0/8 table main metric 0 is there already (line 5)",
    ),
    (PORT + "[[neighbour]]\nport = 'lan'\nip = '192.0.2.9'\n", 5, 1, 'has no "mac"'),
    (
        PORT + "[[neighbour]]\nport = 'lan'\nip = '192.0.2.9'\nmac = '02:00:00:00:00:09'\n" * 2,
        11,
        6,
        'neighbour 192.0.2.9 at port "lan" is there already (line 7)',
    ),
    ("[[policy]]\ntable = 100\n", 1, 1, 'has no "priority"'),
    ("[[policy]]\npriority = 1\n", 1, 1, 'has no "table"'),
    ("[[policy]]\npriority = 1\ntable = 9\nkind = 'prohibit'\n", 1, 1, "contradict each other"),
    (
        "[[policy]]\npriority = 1\nmark = '0x10'\ntable = 9\n",
        3,
        8,
        "expected a number, such as 0x10, found text",
    ),
    ("[[policy]]\npriority = 1\nmark = 1\nmask = 'f'\ntable = 9\n", 4, 8, "expected a number, such as 0xff"),
    ("[[port]]\nnmae = 'lan'\nmac = '02:00:00:00:00:01'\n", 2, 1, 'did you mean "name"?'),
    (PORT.replace("addresses", "adress"), 4, 1, 'did you mean "addresses"?'),
    (
        PORT + "rules_file = 'edge.nft'\n",
        5,
        1,
        "rules_file is not of [[port]]; write it before the first [table]",
    ),
    (PORT + "features = 'tso bogus'\n", 5, 12, 'expected names of ethtool -k, found "bogus"'),
    (PORT + "features = ['tso', 'scatter-gatter']\n", 5, 20, 'did you mean "scatter-gather"?'),
    (PORT + "features = 'sg,tos'\n", 5, 12, 'found "tos"; did you mean "tso"?'),
    ("[[policy]]\npriority = 1\nfamily = 5\ntable = 9\n", 3, 10, "4 or 6"),
    (
        "[[policy]]\npriority = 1\nfamily = 6\nsource = '10.0.0.0/8'\ntable = 9\n",
        1,
        1,
        "does not fit an IPv6 rule",
    ),
    ("rules = 'edge.nft'\n", 1, 9, "rules_file names a file of them"),
    ("rules_file = 'missing.nft'\n", 1, 14, "missing.nft: No such file"),
    ("rules = ''\nrules_file = 'x'\n", 2, 14, "contradict each other"),
    ("rules = 'table inet f { chain c { bogus } }'\n", 1, 35, "bogus"),
    ("rules = '''\ntable inet f {\n\tchain c { bogus }\n}\n'''\n", 3, 12, "bogus"),
    ('rules = """table inet f { # \\"x\\"\n\tchain c {\\n\n bogus }}"""\n', 3, 2, "bogus"),
]


@pytest.mark.parametrize(("text", "line", "column", "says"), WRONG)
def test_mistakes_are_told_with_their_place(
    tmp_path: Path, text: str, line: int, column: int, says: str
) -> None:
    found = mistakes(tmp_path, text)
    error = found[0]
    assert says in str(error), found
    assert (error.line, error.column) == (line, column), found
    assert error.file == str(tmp_path / "node.toml")
    assert str(error).startswith(f"{error.file}:{line}:{column}: ")


@pytest.mark.parametrize("line", ["vlan = 4096\nparent = 'lan'", "vlan = 7", "parent = 'lan'"])
def test_a_sub_interface_needs_no_link_address_even_where_it_is_wrong(tmp_path: Path, line: str) -> None:
    [error] = mistakes(tmp_path, f"{PORT}[[port]]\nname = 'guests'\n{line}\n")
    assert "vlan" in str(error) or "parent" in str(error)


ODD = """\
rules = '''
table inet f {
    chain lonely { accept; }
}
'''

[[port]]
name = "lan"
mac = "02:00:00:00:00:01"
addresses = ["192.0.2.1/24", "10.0.0.0/24"]

[[port]]
name = "wan"
mac = "02:00:00:00:00:02"
addresses = ["203.0.113.1/24", "192.0.2.2/24"]

[[policy]]
priority = 5
table = 77

[[neighbour]]
port = "lan"
ip = "198.51.100.7"
mac = "02:00:00:00:00:09"

[[neighbour]]
port = "lan"
ip = "203.0.113.1"
mac = "02:00:00:00:00:09"

[[route]]
prefix = "10.9.0.0/16"
via = "203.0.113.9"
table = 78

[[policy]]
priority = 6
kind = "blackhole"

[[policy]]
priority = 7
family = 4
table = "main"
"""


def test_what_is_odd_has_its_place_too(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(ODD)
    found = nf.check(path)
    places = [(finding.line, finding.column) for finding in found]
    assert places[:4] == [(3, 11), (10, 30), (15, 32), (17, 1)]
    # Those of every node stand in no file.
    assert [finding.what.split(":")[0] for finding in found if finding.file != str(path)] == [
        "IPv4 policy 32766",
        "IPv4 policy 32767",
        "IPv6 policy 32766",
    ]
    told = {finding.line: finding.what for finding in found}
    assert "lonely" in told[3]
    assert "is that of the network itself" in told[10]
    assert "192.0.2.0/24 is at the ports lan, wan" in told[15]
    assert told[17] == "policy 5: table 77 has no routes; add some to it, or remove the policy"
    assert told[23] == 'no route leads to neighbour 198.51.100.7 at port "lan"'
    assert told[28] == (
        'neighbour 203.0.113.1 at port "lan" is the node itself; give the address of somebody else'
    )
    assert told[31] == "table 78: no rule leads to its IPv4 routes; add one that looks it up"
    assert told[40] == "IPv4 policy 7: policy 6 before it takes every packet"
    assert str(found[3]) == f"{path}:17:1: {told[17]}"
    # What is added later stands in no file.
    stack = nf.Stack.from_toml(path)
    stack.add_policy(1, table=99)
    [added] = [finding for finding in stack.findings() if "99" in finding.what]
    assert (added.file, added.line) == (None, None)


def test_all_mistakes_of_a_file_are_told_in_its_order(tmp_path: Path) -> None:
    text = """\
        [stack]
        tracing = "on"

        [[port]]
        name = "lan"
        mac = "2"

        [[neighbour]]
        port = "lan"
        ip = "x"
        mac = "y"
        """
    found = mistakes(tmp_path, text)
    assert [(error.line, error.column) for error in found] == [(2, 1), (6, 7), (10, 6), (11, 7)]
    copied = pickle.loads(pickle.dumps(found[0]))
    assert (copied.line, copied.column, str(copied)) == (found[0].line, found[0].column, str(found[0]))


def test_rules_in_a_file_of_their_own_have_its_name(tmp_path: Path) -> None:
    (tmp_path / "edge.nft").write_text("table inet f {\n  chain c {\n    nonsense\n  }\n}\n")
    [error, *_] = mistakes(tmp_path, 'rules_file = "edge.nft"\n')
    assert error.file == str(tmp_path / "edge.nft")
    assert (error.line, error.column) == (3, 5)


def test_files_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b"[stack]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        nf.Stack.from_toml(path)
    assert caught.value.line == 2
    with pytest.raises(FileNotFoundError):
        nf.Stack.from_toml(tmp_path / "none.toml")


def test_limits_are_told_as_limits(tmp_path: Path) -> None:
    text = "[stack]\nmax_ports = 1\n" + PORT + PORT.replace("lan", "wan").replace("192.0.2", "203.0.113")
    found = mistakes(tmp_path, text)
    assert "max_ports" in str(found[0])
    stack = nf.Stack(max_ports=1)
    stack.add_port("lan", mac="02:00:00:00:00:01")
    with pytest.raises(ResourceError) as caught:
        stack.add_port("wan", mac="02:00:00:00:00:02")
    assert caught.value.limit == 1


def test_nothing_but_a_hundred_mistakes_is_told(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "".join(f"key{number} = 1\n" for number in range(5_000)))
    assert len(found) == 100


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_ends(tmp_path: Path, depth: int) -> None:
    assert mistakes(tmp_path, "a = " + "[" * depth)


def test_check_tells_errors_and_warnings(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(GOOD)
    warnings = nf.check(path)
    assert {finding.severity for finding in warnings} <= {"warning"}
    path.write_text(PORT + "[[neighbour]]\nport = 'lan'\nip = '198.51.100.7'\nmac = '02:00:00:00:00:09'\n")
    [finding] = nf.check(path)
    assert "no route leads to neighbour 198.51.100.7" in finding.what
    path.write_text("[[port]]\n")
    assert [finding.severity for finding in nf.check(path)] == ["error", "error"]
    assert str(nf.check(path)[0]).count(str(path)) == 1
