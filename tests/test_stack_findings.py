"""What a `Stack` says of odd configurations, of failing hooks, of wrong arguments, and why packets are dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import netfast as nf
from netfast.errors import ConfigError
from netfast.headers import UDP, IPv4
from nodes import LAN, SECOND, WAN, edge, query, up

DROPS = "table inet filter {{ chain {hook} {{ type filter hook {hook} priority 0; policy drop; }}\n}}"


def texts(stack: nf.Stack) -> list[str]:
    return [finding.what for finding in stack.findings()]


def bare() -> nf.Stack:
    stack = nf.Stack("bare")
    stack.add_port("lan", mac=LAN)
    stack.add_port("wan", mac=WAN)
    return stack


def test_an_accept_beside_a_policy_that_drops_is_odd(tmp_path: Path) -> None:
    stack = edge()
    stack.load_rules(DROPS.format(hook="forward"))
    stack.drop(protocol="tcp", dport=25)
    assert texts(stack) == []
    stack.accept(protocol="udp", dport=53)
    told = (
        "what chain inet netfast forward accepts, the policy of chain inet filter forward still drops: "
        "accept it there, too"
    )
    assert texts(stack) == [told]
    assert stack.push("lan", [query()], now=SECOND).keys() == []
    # From a file, too.
    path = tmp_path / "edge.toml"
    path.write_text(stack.to_toml())
    assert told in [finding.what for finding in nf.stack.check(path)]
    # At another hook nothing is odd.
    stack.load_rules(DROPS.format(hook="input"))
    assert texts(stack) == []


def test_one_network_at_two_ports_is_odd() -> None:
    stack = bare()
    stack.add_address("lan", "203.0.113.9/24")
    stack.add_address("lan", "203.0.113.10/24")
    stack.add_address("lan", "fe80::1/64")
    stack.add_address("wan", "fe80::2/64")
    assert texts(stack) == []
    stack.add_address("wan", "203.0.113.1/24")
    [told] = [text for text in texts(stack) if text.startswith("overlapping connected networks")]
    assert "203.0.113.0/24 is at the ports lan, wan" in told
    assert "port=" in told


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("192.0.2.0/24", "is that of the network itself"),
        ("192.0.2.255/24", "is the broadcast address of the network"),
        ("192.0.2.3/30", "is the broadcast address of the network"),
        ("192.0.2.0/31", None),
        ("192.0.2.1/31", None),
        ("192.0.2.0/32", None),
        ("192.0.2.1/24", None),
        ("2001:db8::/64", None),
    ],
)
def test_an_address_that_is_no_hosts_is_odd(address: str, what: str | None) -> None:
    stack = bare()
    stack.add_address("lan", address)
    expected = [] if what is None else [f'address {address} of port "lan" {what}; give it one of a host']
    assert texts(stack) == expected


def test_a_policy_that_looks_into_an_empty_table_is_odd() -> None:
    stack = edge()
    stack.add_policy(100, table=77)
    assert texts(stack) == ["policy 100: table 77 has no routes; add some to it, or remove the policy"]
    stack.add_route("10.0.0.0/8", via="192.0.2.9", table=77)
    assert not [text for text in texts(stack) if "has no routes" in text]


def test_messages_have_the_names_of_ports(tmp_path: Path) -> None:
    stack = edge()
    with pytest.raises(ConfigError, match=r'gateway 198\.18\.0\.1 is not on-link at port "wan"') as caught:
        stack.add_route("10.0.0.0/8", via="198.18.0.1", port="wan")
    assert str(caught.value).startswith("route 10.0.0.0/8 ")
    path = tmp_path / "edge.toml"
    path.write_text(
        edge().to_toml() + '\n[[route]]\nprefix = "10.0.0.0/8"\nvia = "198.18.0.1"\nport = "wan"\n'
    )
    [finding] = [each for each in nf.stack.check(path) if each.severity == "error"]
    assert "route 10.0.0.0/8 " in finding.what
    assert "route: route" not in finding.what
    assert 'at port "wan"' in finding.what


def test_traces_name_next_hops_ports_and_the_chain_whose_policy_dropped() -> None:
    stack = edge()
    steps = {step.table: step.text for step in stack.trace(query(), port="lan").steps}
    assert steps["route"].endswith("0.0.0.0/0 metric 0: via 203.0.113.254 at wan")
    stack.add_neighbour("wan", "203.0.113.253", "02:00:00:00:00:98")
    stack.add_route("198.51.100.0/24", via=[("203.0.113.254", 3), "203.0.113.253"])
    text = next(step.text for step in stack.trace(query(), port="lan").steps if step.table == "route")
    assert "via 203.0.113.254 at wan weight 3" in text
    assert "via 203.0.113.253 at wan" in text
    local = query(dst="192.0.2.1")
    text = next(step.text for step in stack.trace(local, port="lan").steps if step.table == "route")
    assert text.endswith("local, an address of lan")
    stack.load_rules(DROPS.format(hook="forward"))
    trace = stack.trace(query(), port="lan")
    assert trace.verdict == "dropped by the policy of inet filter forward"
    assert (
        next(step.text for step in trace.steps if step.table == "cache") == "it belongs to no connection yet"
    )
    assert stack.push("lan", [query()], now=SECOND).keys() == []
    assert stack.counters.dropped_by == {"policy": 1}
    stack.load_rules("")
    stack.drop(protocol="udp", dport=53)
    assert stack.trace(query(), port="lan").verdict == "dropped by rule 'udp dport 53 drop'"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda stack: stack.masquerade("wan", familly=4),
            r"Stack.masquerade\(\).*'familly'; did you mean 'family'",
        ),
        (
            lambda stack: stack.accept(prot="tcp"),
            r"Stack.accept\(\).*did you mean 'protocol'|Stack.accept\(\).*takes",
        ),
        (
            lambda stack: stack.drop(zzz=1),
            r"Stack.drop\(\) takes no argument 'zzz'; it takes hook, in_port, .*mark",
        ),
        (lambda stack: stack.reject(replay="tcp reset"), r"Stack.reject\(\).*did you mean 'reply'"),
        (lambda stack: stack.snat("203.0.113.5", dports=5), r"Stack.snat\(\).*did you mean 'dport'"),
        (lambda stack: stack.dnat("192.0.2.7", toport=5), r"Stack.dnat\(\).*did you mean 'to_port'"),
        (lambda stack: stack.redirect(8080, dpor=80), r"Stack.redirect\(\).*did you mean 'dport'"),
        (
            lambda stack: stack.push("lan", [], now=1.5),
            r"^now: expected a whole number of nanoseconds, not float$",
        ),
        (
            lambda stack: stack.add_port("x", mac=LAN, rp_filter=True),
            '^rp_filter: expected "strict", "loose" or "off", not bool$',
        ),
    ],
)
def test_wrong_arguments_name_what_is_right(call: Any, words: str) -> None:
    stack = edge()
    before = stack.rules_text()
    with pytest.raises(TypeError, match=words):
        call(stack)
    assert stack.rules_text() == before


def test_a_boolean_in_toml_is_shown_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(f'[[port]]\nname = "lan"\nmac = "{LAN}"\nrp_filter = true\n')
    [finding] = nf.stack.check(path)
    assert "rp_filter: expected off, strict or loose, found true" in finding.what


def test_a_seed_that_was_given_is_written(tmp_path: Path) -> None:
    assert "seed" not in nf.Stack().to_toml()
    stack = nf.Stack(seed=0)
    assert "seed = 0\n" in stack.to_toml()
    path = tmp_path / "seed.toml"
    path.write_text(nf.Stack(seed=42).to_toml())
    again = nf.Stack.from_toml(path).to_toml()
    assert again == path.read_text()
    assert again.count("seed = 42\n") == 1


def test_a_tap_names_the_chain_whose_policy_dropped(tmp_path: Path) -> None:
    stack = edge()
    rules = DROPS.format(hook="forward").replace("policy drop;", "policy drop; meta length < 100 accept;")
    stack.load_rules(rules)
    path = tmp_path / "lan.pcapng"
    stack.tap("lan", path)
    long = up(IPv4(src="192.0.2.7", dst="198.51.100.1") / UDP(src_port=1000, dst_port=53) / bytes(100))
    # The first one of a flow walks all tables, a later one the steps that are left of them.
    other = up(IPv4(src="192.0.2.7", dst="198.51.100.2") / UDP(src_port=1000, dst_port=53) / bytes(100))
    stack.push("lan", [query(), query(), long, other], now=SECOND)
    stack.close()
    assert stack.counters.cache["hits"] == 2
    assert stack.counters.dropped_by == {"policy": 2}
    assert stack.differences() == []
    assert path.read_bytes().count(b"dropped: policy: inet filter forward") == 2


# Hooks.


@pytest.mark.parametrize("policy", ["accept", "drop"])
@pytest.mark.parametrize("name", ["source", "destination"])
def test_an_address_of_the_wrong_family_is_a_failure_of_the_hook(policy: str, name: str) -> None:
    stack = edge(tracking="on", hook_policy=policy)
    stack.on_new_flow(lambda flows: [nf.FlowVerdict(**{name: "2001:db8::1"}) for _ in flows])  # type: ignore[arg-type]
    with pytest.warns(RuntimeWarning, match=f"{name}=2001:db8::1 for an IPv4 flow: give an IPv4 address"):
        stack.push("lan", [query()], now=SECOND)
    counters = stack.counters
    assert counters.hook_failed == 1
    assert counters.dropped_by == ({} if policy == "accept" else {"hook": 1})
    assert counters.conserved
    assert "hook_failed" in [event.kind for event in stack.events()]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"source": "foo"}, "source"),
        ({"destination": "192.0.2.1/24"}, "destination"),
        ({"destination": ""}, "destination"),
        ({"source": "fe80::1%eth0"}, "source"),
        ({"source_port": 5}, "source_port"),
        ({"source": "192.0.2.1", "destination_port": 5}, "destination_port"),
    ],
)
def test_a_verdict_that_can_be_of_no_flow_is_refused(arguments: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        nf.FlowVerdict(**arguments)
    assert caught.value.option == option


def test_a_verdict_that_can_be_is_taken() -> None:
    assert nf.FlowVerdict(source="2001:db8::1", source_port=5).source_port == 5
    assert nf.FlowVerdict(destination="::ffff:192.0.2.1").destination == "::ffff:192.0.2.1"


def test_the_warning_of_a_hook_says_where_it_failed() -> None:
    stack = edge()

    def hook(flows: list[nf.NewFlow]) -> None:
        raise LookupError("nobody is at home")

    stack.on_new_flow(hook)
    with pytest.warns(
        RuntimeWarning, match=r"LookupError: nobody is at home \(.*test_stack_findings.py, line \d+\)"
    ) as told:
        stack.push("lan", [query()], now=SECOND)
    [warning] = [each for each in told if issubclass(each.category, RuntimeWarning)]
    assert warning.filename == __file__
    assert isinstance(warning.message, RuntimeWarning)
    cause = warning.message.__cause__
    assert isinstance(cause, LookupError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_name == "hook"


# From the system.


def test_what_the_system_has_not_working_is_listed() -> None:
    addresses = [
        {"ifname": "lan", "address": LAN, "flags": ["BROADCAST", "UP", "LOWER_UP"], "addr_info": []},
        {"ifname": "off", "address": WAN, "flags": ["BROADCAST"], "addr_info": []},
        {"ifname": "out", "address": WAN, "flags": ["UP", "NO-CARRIER"], "addr_info": []},
    ]
    neighbours = [
        {"dst": "192.0.2.8", "dev": "lan", "state": ["FAILED"]},
        {"dst": "192.0.2.9", "dev": "lan", "lladdr": "02:00:00:00:00:09", "state": ["REACHABLE"]},
        {"dst": "224.0.0.1", "dev": "lan", "lladdr": "01:00:5e:00:00:01", "state": ["NOARP"]},
    ]
    stack = nf.Stack.from_kernel(addresses=addresses, neighbours=neighbours)
    assert [str(each) for each in stack.unsupported] == [
        "port off: a link that is down: ports are up; it is taken as one that is",
        "port out: a link that is down: ports are up; it is taken as one that is",
        "neighbour 192.0.2.8 at lan: state FAILED: no link address of it is known",
    ]
    assert [entry["ip"] for entry in stack.neighbours()] == ["192.0.2.9"]


def test_documents_that_say_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="addresses: none of its 2 objects says anything") as caught:
        nf.Stack.from_kernel(addresses=[{}, {}])
    assert caught.value.option == "addresses"
    assert nf.Stack.from_kernel(addresses=[]).ports() == []
