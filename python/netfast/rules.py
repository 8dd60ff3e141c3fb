"""Rules as Python objects, which are text in the language of nft(8) when they are printed.

>>> from netfast.rules import Chain, Rule, Table
>>> print(Rule(protocol="tcp", dport=[22, 443], in_port="lan", verdict="accept"))
iifname "lan" tcp dport { 22, 443 } accept
>>> table = Table(
...     "inet",
...     "filter",
...     Chain(
...         "forward",
...         Rule(state=["established", "related"], verdict="accept"),
...         Rule(source="2001:db8:1::/64", verdict="accept"),
...         hook="forward",
...         policy="drop",
...     ),
... )

`Stack.load_rules` takes tables, text and files alike. What these objects have no argument for is written as in
nft: `Rule("ip6 hoplimit < 5", verdict="drop")`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

from netfast.errors import ConfigError

__all__ = ["Address", "Chain", "Match", "Port", "Rule", "Set", "Table"]

Address = str | ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network
Port = int | str

_WITH_PORTS = ("tcp", "udp", "udplite", "sctp", "dccp")
_VERDICTS = (
    *("accept", "drop", "reject", "continue", "return", "jump", "goto"),
    *("snat", "dnat", "masquerade", "redirect"),
)
_TYPES = ("filter", "nat", "route")
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_POLICIES = ("accept", "drop")
_FAMILIES = ("inet", "ip", "ip6")
_STATES = ("new", "established", "related", "invalid", "untracked")


class Match(TypedDict, total=False):
    """What a rule asks of a packet; all of it has to hold.

    `in_port`, `out_port` are names of ports, `eth*` for all that begin so. `source` and `destination` are
    addresses, prefixes, ranges (`"192.0.2.1-192.0.2.9"`), several of one family, or the name of a set
    (`"@blocked"`, with `family`). `protocol` is a name (`"tcp"`, `"icmpv6"`) or number, `sport` and `dport` are
    ports, ranges (`"1024-65535"`), several, or a set. `state` is that of the connection, `mark` the packet's.
    `family` is 4 or 6.
    """

    in_port: str | None
    out_port: str | None
    family: int | None
    source: Address | Iterable[Address] | None
    destination: Address | Iterable[Address] | None
    protocol: str | int | None
    sport: Port | Iterable[Port] | None
    dport: Port | Iterable[Port] | None
    state: str | Iterable[str] | None
    mark: int | None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Rule:
    """One rule: what it asks of a packet (see `Match`), then what it does.

    `statements` are written as they are, behind the matches. `counter` counts the packets that get there, `limit` is
    a rate such as `"10/second burst 5 packets"`, `log` the text before a line in the events, `set_mark` a number.
    `verdict` is `accept`, `drop`, `reject`, `jump NAME` and so on, or a translation such as `snat ip to 203.0.113.5`.

    Immutable, so free to share between threads; `pickle` works.
    """

    text: str

    def __init__(
        self,
        *statements: str,
        in_port: str | None = None,
        out_port: str | None = None,
        family: int | None = None,
        source: Address | Iterable[Address] | None = None,
        destination: Address | Iterable[Address] | None = None,
        protocol: str | int | None = None,
        sport: Port | Iterable[Port] | None = None,
        dport: Port | Iterable[Port] | None = None,
        state: str | Iterable[str] | None = None,
        mark: int | None = None,
        limit: str | None = None,
        counter: bool = False,
        log: str | None = None,
        set_mark: int | None = None,
        verdict: str | None = None,
        comment: str | None = None,
    ) -> None:
        parts = [] if in_port is None else [f"iifname {quoted('in_port', in_port)}"]
        parts += [] if out_port is None else [f"oifname {quoted('out_port', out_port)}"]
        parts += _addresses(family, source, destination)
        parts += _transport(protocol, sport, dport)
        if state is not None:
            parts.append(f"ct state {_states(state)}")
        if mark is not None:
            parts.append(f"meta mark {_number('mark', mark, 0xFFFF_FFFF):#010x}")
        parts += [_plain("statements", statement) for statement in statements]
        if limit is not None:
            parts.append(f"limit rate {_plain('limit', limit)}")
        if counter:
            parts.append("counter")
        if log is not None:
            parts.append(f"log prefix {quoted('log', log)}")
        if set_mark is not None:
            parts.append(f"meta mark set {_number('set_mark', set_mark, 0xFFFF_FFFF):#010x}")
        if verdict is not None:
            parts.append(_verdict(verdict))
        if comment is not None:
            parts.append(f"comment {quoted('comment', comment)}")
        if not parts:
            raise ConfigError("the rule is empty; give it a verdict at least", option="verdict")
        object.__setattr__(self, "text", " ".join(parts))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Rule({self.text!r})"


@dataclass(frozen=True, slots=True, init=False)
class Chain:
    """A chain of rules.

    With `hook` (`prerouting`, `input`, `forward`, `output` or `postrouting`) packets enter it there, in the order of
    `priority` (a number or a name such as `"raw"`), and `policy` says what becomes of those that reach its end.
    Without, it is only jumped to. `type` is `filter`, `nat` or `route`.
    """

    name: str
    rules: tuple[Rule | str, ...]
    type: str
    hook: str | None
    priority: int | str | None
    policy: str | None

    def __init__(
        self,
        name: str,
        *rules: Rule | str,
        type: str = "filter",
        hook: str | None = None,
        priority: int | str | None = None,
        policy: str | None = None,
    ) -> None:
        _one_of("type", type, _TYPES)
        if hook is not None:
            _one_of("hook", hook, _HOOKS)
        if policy is not None:
            _one_of("policy", policy, _POLICIES)
        for key, value in {
            "name": name,
            "rules": rules,
            "type": type,
            "hook": hook,
            "priority": priority,
            "policy": policy,
        }.items():
            object.__setattr__(self, key, value)

    def __str__(self) -> str:
        lines = []
        if self.hook is not None:
            priority = self.priority if self.priority is not None else _priority(self.type, self.hook)
            base = f"type {_name('type', self.type)} hook {_name('hook', self.hook)}"
            policy = _name("policy", self.policy or "accept")
            lines.append(f"{base} priority {_plain('priority', str(priority))}; policy {policy};")
        lines += [str(rule) for rule in self.rules]
        return _block(f"chain {_name('name', self.name)}", lines)


@dataclass(frozen=True, slots=True, init=False)
class Set:
    """A named set of addresses, ports and the like; `type` is nft's (`ipv4_addr`, `inet_service`, `ifname` …).

    Rules name it `@NAME`. Elements may be ranges and prefixes.
    """

    name: str
    type: str
    elements: tuple[str, ...]

    def __init__(self, name: str, type: str, elements: Iterable[Address | int]) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "elements", tuple(map(str, elements)))

    def __str__(self) -> str:
        lines = [f"type {_plain('type', self.type)};"]
        if any("/" in element or "-" in element for element in self.elements):
            lines.append("flags interval;")
        if self.elements:
            elements = ", ".join(_plain("elements", element) for element in self.elements)
            lines.append(f"elements = {{ {elements} }}")
        return _block(f"set {_name('name', self.name)}", lines)


@dataclass(frozen=True, slots=True, init=False)
class Table:
    """A table: its family (`inet`, `ip` or `ip6`), its name, its chains and sets."""

    family: str
    name: str
    items: tuple[Chain | Set, ...]

    def __init__(self, family: str, name: str, *items: Chain | Set) -> None:
        object.__setattr__(self, "family", _one_of("family", family, _FAMILIES))
        object.__setattr__(self, "name", name)
        # Rules name sets, which therefore come first.
        ordered = sorted(items, key=lambda item: not isinstance(item, Set))
        object.__setattr__(self, "items", tuple(ordered))

    def __str__(self) -> str:
        lines = [line for item in self.items for line in str(item).splitlines()]
        return _block(f"table {_name('family', self.family)} {_name('name', self.name)}", lines)


def _block(head: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{head} {{", *(f"\t{line}" for line in lines), "}"])


def _priority(kind: str, hook: str) -> str:
    """What chains of a type and hook usually have."""
    if kind == "nat":
        return "dstnat" if hook in ("prerouting", "output") else "srcnat"
    return "mangle" if kind == "route" else "filter"


def quoted(option: str, text: str) -> str:
    """Text in quotes, as nft takes it: there is no way to write a quote within."""
    if not isinstance(text, str):
        raise TypeError(f"{option} is text, not {type(text).__name__}")
    if any(character in '"\n\r\0' for character in text):
        raise ConfigError(
            f"{option}={text!r}: quotes and line breaks cannot be written in nft", option=option
        )
    return f'"{text}"'


def _plain(option: str, text: str) -> str:
    """A piece of a rule as it was given; it must not end the rule."""
    if not isinstance(text, str):
        raise TypeError(f"{option} is text, not {type(text).__name__}")
    if not text.strip() or any(character in "\n\r\0#" for character in text):
        raise ConfigError(f"{option}={text!r}: give one line of nft, without comments", option=option)
    return text.strip()


def _one_of(option: str, word: str, known: tuple[str, ...]) -> str:
    if not isinstance(word, str):
        raise TypeError(f"{option} is text, not {type(word).__name__}")
    if word not in known:
        raise ConfigError(f"{option}={word!r}: there are {', '.join(known)}", option=option)
    return word


def _verdict(text: str) -> str:
    """What a rule does at its end; what comes before it are statements."""
    plain = _plain("verdict", text)
    if plain.split()[0] not in _VERDICTS:
        remedy = f"it begins with one of {', '.join(_VERDICTS)}; other statements are positional arguments"
        raise ConfigError(f"verdict={text!r}: {remedy}", option="verdict")
    return plain


def _name(option: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{option} is text, not {type(text).__name__}")
    if not text or not all(character.isalnum() or character in "_-./" for character in text):
        raise ConfigError(f"{option}={text!r}: give a name of letters, digits, _ - . /", option=option)
    return text


def _number(option: str, number: int, most: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{option} is a number, not {type(number).__name__}")
    if not 0 <= number <= most:
        raise ConfigError(f"{option}={number}: give a number from 0 to {most}", option=option)
    return number


def _several(option: str, given: Any, one: Any) -> str:
    """One value, or several as an anonymous set."""
    if isinstance(given, Iterable) and not isinstance(
        given, (str, bytes, ipaddress.IPv4Network, ipaddress.IPv6Network)
    ):
        values = [one(option, value) for value in given]
        if not values:
            raise ConfigError(f"{option} is empty; leave it out or give a value", option=option)
        return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"
    return str(one(option, given))


def _version(option: str, value: Address) -> int | None:
    """The family of an address, prefix or range; of a set's name nobody knows it."""
    text = str(value)
    if text.startswith("@"):
        return None
    first = text.split("-")[0].split("/")[0].strip()
    try:
        return ipaddress.ip_address(first).version
    except ValueError:
        remedy = "give an address, a prefix, a range or @SET"
        raise ConfigError(f"{option}={text!r}: {remedy}", option=option) from None


def _addresses(family: int | None, source: Any, destination: Any) -> list[str]:
    if family not in (None, 4, 6):
        raise ConfigError(f"family={family!r}: give 4 or 6", option="family")
    parts = []
    for option, key, given in (("source", "saddr", source), ("destination", "daddr", destination)):
        if given is None:
            continue
        single = isinstance(given, Address)
        versions = {_version(option, value) for value in ([given] if single else given)} - {None}
        versions |= {family} - {None}
        if len(versions) != 1:
            why = "of both families; make a rule for each" if versions else "a set: give its family, too"
            raise ConfigError(f"{option} is {why}", option=option)
        header = "ip" if versions == {4} else "ip6"
        parts.append(f"{header} {key} {_several(option, given, lambda _, value: str(value))}")
    if family is not None and not parts:
        parts.append(f"meta nfproto {'ipv4' if family == 4 else 'ipv6'}")
    return parts


def port_text(option: str, port: Port) -> str:
    """A port, a range of ports or a set's name."""
    if isinstance(port, int):
        return str(_number(option, port, 65_535))
    text = _plain(option, port)
    ends = text.split("-")
    if text.startswith("@") or (
        len(ends) <= 2 and all(end.isdecimal() and int(end) <= 65_535 for end in ends)
    ):
        return text
    if len(ends) == 1 and text.isalnum():
        return text
    raise ConfigError(f"{option}={text!r}: give a port, a range such as 1024-65535, or @SET", option=option)


def _transport(protocol: str | int | None, sport: Any, dport: Any) -> list[str]:
    name = None if protocol is None else _name("protocol", str(protocol))
    parts = []
    for option, given in (("sport", sport), ("dport", dport)):
        if given is not None:
            if name is not None and name not in _WITH_PORTS:
                raise ConfigError(f"{option} is given, but {name} has no ports", option=option)
            parts.append(f"{name or 'th'} {option} {_several(option, given, port_text)}")
    if parts and name is None:
        parts.insert(0, "meta l4proto { tcp, udp }")
    if not parts and name is not None:
        parts.append(f"meta l4proto {name}")
    return parts


def _states(state: str | Iterable[str]) -> str:
    states = [state] if isinstance(state, str) else list(state)
    names = [name.strip() for given in states for name in given.split(",")]
    for name in names:
        if name not in _STATES:
            raise ConfigError(f"state={name!r}: there are {', '.join(_STATES)}", option="state")
    return ",".join(names)
