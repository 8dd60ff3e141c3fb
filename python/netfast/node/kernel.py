"""What `ip -j` and `nft -j` say of a Linux system, as arguments of a `Stack`'s methods.

Nothing is guessed: what a stack does not have is listed, with the reason.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netfast.errors import ConfigError, NetfastError
from netfast.node.views import Unsupported

if TYPE_CHECKING:
    from netfast.stack import Stack

__all__ = ["Kernel", "fill", "read"]

_TABLES = {"local": 255, "main": 254, "default": 253}
_KINDS = ("unicast", "unreachable", "blackhole", "prohibit", "throw")
# Of types (rtnetlink(7)), which `ip -N` prints as numbers.
_TYPES = {
    "1": "unicast",
    "2": "local",
    "3": "broadcast",
    "4": "anycast",
    "5": "multicast",
    "6": "blackhole",
    "7": "unreachable",
    "8": "prohibit",
    "9": "throw",
}
_BY_KERNEL = ("kernel", "2")
# What `ip` says of a route and is either taken, or has no part in where packets go: who entered it, say.
_ROUTE_KEYS = set(
    "type dst gateway via dev table protocol scope prefsrc metric flags family nexthops nhid metrics flow pref "
    "expires weight".split()
)
# The same of a rule. What else there is may narrow it: without that it would be another rule.
_RULE_KEYS = set(
    "priority src srclen dst dstlen iif iif_detached fwmark fwmask tos not table action family protocol "
    "suppress_prefixlen suppress_prefixlength flow_to flow_from".split()
)
# Rules that every system has.
_DEFAULT_RULES = {(0, 255), (32766, 254), (32767, 253)}
_PLAIN_KEYS = {"priority", "src", "table", "family", "protocol"}
_USABLE = {"PERMANENT", "REACHABLE", "STALE", "DELAY", "PROBE", "NOARP"}
_LOOPBACK = "loopback"
_NFPROTO = {"inet": 4, "inet6": 6}


@dataclass(slots=True)
class Kernel:
    """The arguments of a stack's methods, and what has none."""

    ports: list[dict[str, Any]] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    ruleset: str | None = None
    unsupported: list[Unsupported] = field(default_factory=list)

    def refuse(self, what: str, where: str, why: str) -> None:
        """Lists something."""
        self.unsupported.append(Unsupported(what, where, why))


def fill(stack: Stack, found: Kernel) -> None:
    """Adds what was found to a stack; what that refuses is listed."""
    steps: list[tuple[str, list[dict[str, Any]], Callable[..., object]]] = [
        ("port", found.ports, stack.add_port),
        ("route", found.routes, stack.add_route),
        ("neighbour", found.neighbours, stack.add_neighbour),
        ("policy", found.policies, stack.add_policy),
    ]
    for kind, entries, add in steps:
        for entry in entries:
            try:
                add(**entry)
            except ConfigError as error:
                label = next(str(entry[key]) for key in ("prefix", "ip", "name", "priority") if key in entry)
                found.refuse(kind, f"{kind} {label}", str(error))
    if found.ruleset is not None:
        for what, where in stack._node.load_json(found.ruleset):
            found.refuse(what, where, "not in the language of rules")


def read(
    netns: str | None,
    *,
    addresses: Any = None,
    routes: Any = None,
    rules: Any = None,
    neighbours: Any = None,
    ruleset: Any = None,
) -> Kernel:
    """Reads a network namespace through `ip` and `nft`, or what they have said before.

    With any of the documents given no program is run, and those that are not given count as empty.
    """
    given = (addresses, routes, rules, neighbours, ruleset)
    if all(document is None for document in given):
        addresses = _run(netns, "ip", "-j", "-d", "address", "show")
        routes = [*_both(netns, "route", "show", "table", "all")]
        rules = [*_both(netns, "rule", "show")]
        neighbours = _run(netns, "ip", "-j", "neighbour", "show")
        neighbours += _run(netns, "ip", "-j", "neighbour", "show", "proxy")
        ruleset = _run(netns, "nft", "-j", "list", "ruleset")
    elif netns is not None:
        raise ConfigError("netns is given, and documents too: they would not be read from it", option="netns")
    kernel = Kernel()
    names = _ports(kernel, _document("addresses", addresses))
    _neighbours(kernel, _document("neighbours", neighbours), names)
    _routes(kernel, _document("routes", routes), names)
    _policies(kernel, _document("rules", rules), names)
    if ruleset is not None:
        kernel.ruleset = ruleset if isinstance(ruleset, str) else json.dumps(ruleset)
    return kernel


def _run(netns: str | None, program: str, *arguments: str) -> Any:
    """What a program says in JSON; `ip netns exec` takes it to another namespace."""
    command = [program, *arguments] if netns is None else ["ip", "netns", "exec", netns, program, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise NetfastError(
            f"{command[0]} is not installed: it is in Debian's package {_PACKAGES[program]}"
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NetfastError(f"{' '.join(command)} failed: {said[0] if said else done.returncode}")
    return json.loads(done.stdout or b"[]")


_PACKAGES = {"ip": "iproute2", "nft": "nftables"}


def _both(netns: str | None, *arguments: str) -> Iterator[Any]:
    """The entries of both families, each with its own; tables by number, for what they are called is the system's."""
    for family in (4, 6):
        for entry in _run(netns, "ip", f"-{family}", "-N", "-j", *arguments):
            yield {**entry, "family": family} if isinstance(entry, dict) else entry


def _document(option: str, given: Any) -> list[dict[str, Any]]:
    """A list of objects, as these programs print them."""
    if given is None:
        return []
    if isinstance(given, (str, bytes)):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"{option} is no JSON: {error.msg}", option=option, line=error.lineno, column=error.colno
            ) from None
    if not isinstance(given, list):
        raise ConfigError(f"{option}: expected a list, as `ip -j` prints it", option=option)
    # `ip` prints empty objects for what it does not show.
    entries = [entry for entry in given if entry != {}]
    if given and not entries:
        raise ConfigError(
            f"{option}: none of its {len(given)} objects says anything; give what `ip -j` prints, unfiltered",
            option=option,
        )
    for entry in entries:
        if not isinstance(entry, dict):
            raise ConfigError(f"{option}: expected objects, found {type(entry).__name__}", option=option)
    return entries


def _each(
    kernel: Kernel,
    option: str,
    entries: Iterable[Mapping[str, Any]],
    take: Callable[[Mapping[str, Any]], None],
) -> None:
    """Takes entries one by one; one that is not what `ip` prints names its document and itself."""
    for number, entry in enumerate(entries):
        try:
            take(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(
                f"{option}[{number}] is not what `ip -j` prints: {what}", option=option
            ) from None


def _ports(kernel: Kernel, entries: list[dict[str, Any]]) -> set[str]:
    names: set[str] = set()
    macs: dict[str, str] = {}

    def take(entry: Mapping[str, Any]) -> None:
        name, kind = entry["ifname"], entry.get("link_type", "ether")
        if kind == _LOOPBACK:
            return
        if kind != "ether":
            kernel.refuse(f"link type {kind}", f"port {name}", "ports are Ethernet")
            return
        port: dict[str, Any] = {"name": name, "mac": entry.get("address"), "mtu": int(entry.get("mtu", 1500))}
        info = entry.get("linkinfo") or {}
        if info.get("info_kind") == "vlan":
            data = info["info_data"]
            if data.get("protocol", "802.1Q") != "802.1Q":
                kernel.refuse(f"VLAN protocol {data['protocol']}", f"port {name}", "tags are 802.1Q")
                return
            port |= {"parent": entry["link"], "vlan": int(data["id"])}
        elif info.get("info_kind") in ("bridge", "bond", "team", "vrf"):
            kernel.refuse(str(info["info_kind"]), f"port {name}", "it is taken as a plain port")
        addresses = []
        for address in entry.get("addr_info", ()):
            # Empty objects again.
            if address:
                addresses.append(f"{address['local']}/{address['prefixlen']}")
        port["addresses"] = addresses
        flags = entry.get("flags", ("UP",))
        if "UP" not in flags or "NO-CARRIER" in flags:
            kernel.refuse("a link that is down", f"port {name}", "ports are up; it is taken as one that is")
        # A port with IPv6 addresses has at least the MTU of IPv6; Linux has none there.
        kernel.ports.append(port)
        names.add(name)
        macs[name] = port["mac"]

    _each(kernel, "addresses", entries, take)
    # A sub-interface comes after what carries it.
    kernel.ports.sort(key=lambda port: "parent" in port)
    for port in [port for port in kernel.ports if port.get("parent", port["name"]) not in names]:
        kernel.refuse(
            f"parent {port['parent']}", f"port {port['name']}", "it is not there, or no Ethernet port"
        )
        kernel.ports.remove(port)
        names.discard(port["name"])
    return names


def _table(given: Any) -> int | None:
    """The number of a table; none where only its system knows what is called so."""
    if given in _TABLES:
        return _TABLES[given]
    return int(given) if isinstance(given, int) or str(given).isdecimal() else None


def _table_name(table: int) -> str:
    return next((name for name, number in _TABLES.items() if number == table), str(table))


def _destination(given: str, family: int) -> str:
    if given == "default":
        return "0.0.0.0/0" if family == 4 else "::/0"
    return given if "/" in given else f"{given}/{32 if family == 4 else 128}"


def _family(entry: Mapping[str, Any], *addresses: Any) -> int:
    """The family that was asked for, or that of the addresses."""
    if "family" in entry:
        return int(entry["family"])
    return 6 if any(isinstance(address, str) and ":" in address for address in addresses) else 4


def _gateway(entry: Mapping[str, Any]) -> str | None:
    gateway = entry.get("gateway")
    # RFC 8950: the next hop of an IPv4 route has an IPv6 address.
    return gateway if gateway is not None else (entry.get("via") or {}).get("host")


def _routes(kernel: Kernel, entries: list[dict[str, Any]], names: set[str]) -> None:
    def take(entry: Mapping[str, Any]) -> None:
        destination, named = entry["dst"], entry.get("table", "main")
        table, kind = _table(named), str(entry.get("type", "unicast"))
        kind = _TYPES.get(kind, kind)
        hops = entry.get("nexthops") or [entry]
        family = _family(entry, destination, _gateway(hops[0]))
        where = f"IPv{family} route {destination} table {named if table is None else _table_name(table)}"
        # The node makes these from its addresses.
        if (
            table == _TABLES["local"]
            or str(entry.get("protocol")) in _BY_KERNEL
            or kind in ("local", "broadcast", "anycast", "multicast")
        ):
            return
        if table is None:
            kernel.refuse(f"table {named}", where, _UNKNOWN_TABLE)
            return
        if (refusal := _no_route(entry, kind, hops, names)) is not None:
            kernel.refuse(refusal[0], where, refusal[1])
            return
        route: dict[str, Any] = {
            "prefix": _destination(destination, family),
            "metric": int(entry.get("metric", 0)),
            "table": table,
            "source": entry.get("prefsrc"),
            "mtu": _metrics(kernel, entry, hops, where),
        }
        if kind != "unicast":
            kernel.routes.append(route | {"kind": kind})
            return
        if any("linkdown" in hop.get("flags", ()) or "dead" in hop.get("flags", ()) for hop in hops):
            kernel.refuse("a next hop that is down", where, "ports are up; it is taken as usable")
        route["via"] = [(_gateway(hop), int(hop.get("weight", 1)), hop["dev"]) for hop in hops]
        route["on_link"] = any("onlink" in hop.get("flags", ()) for hop in hops)
        kernel.routes.append(route)

    _each(kernel, "routes", entries, take)
    # Gateways are reached through routes to neighbours, which therefore come first.
    kernel.routes.sort(key=lambda route: any(hop[0] is not None for hop in route.get("via", ())))


_UNKNOWN_TABLE = "only its system knows the number of that table; give what `ip -N -j` prints"


def _no_route(
    entry: Mapping[str, Any], kind: str, hops: list[Mapping[str, Any]], names: set[str]
) -> tuple[str, str] | None:
    """What a route has that a stack's routes do not, and why it is left out for that."""
    if kind not in _KINDS:
        return f"type {kind}", "routes are unicast, unreachable, blackhole, prohibit or throw"
    if "encap" in entry or any("encap" in hop for hop in hops):
        return "encap", "routes do not encapsulate"
    for key in ("tos", "from"):
        if key in entry:
            return f"{key} {entry[key]}", "routes ask for the destination alone"
    if kind != "unicast":
        return None
    ports = [hop.get("dev") for hop in hops]
    if None in ports:
        return "no port", "`dev` does not say by which port packets leave"
    if missing := sorted({str(port) for port in ports} - names):
        return f"port {', '.join(missing)}", "it is not there, or no Ethernet port"
    return None


def _metrics(
    kernel: Kernel, entry: Mapping[str, Any], hops: list[Mapping[str, Any]], where: str
) -> int | None:
    """The MTU of a route; what else it says that its stack will not do is listed."""
    given: dict[str, Any] = {}
    for metrics in entry.get("metrics", ()):
        given |= metrics
    mtu = given.pop("mtu", None)
    for key, value in given.items():
        kernel.refuse(f"{key} {'' if value is None else value}".rstrip(), where, "the only metric is the MTU")
    if any("flow" in hop for hop in (entry, *hops)):
        kernel.refuse("realm", where, "there are no realms; it is taken without")
    if "expires" in entry:
        kernel.refuse(f"expires {entry['expires']}", where, "routes stay; it is taken as one that does")
    if entry.get("pref", "medium") != "medium":
        kernel.refuse(f"pref {entry['pref']}", where, "there is no preference; it is taken without")
    for key in sorted(set(entry) - _ROUTE_KEYS):
        kernel.refuse(key, where, "routes have no such thing; it is taken without")
    return None if mtu is None else int(mtu)


def _neighbours(kernel: Kernel, entries: list[dict[str, Any]], names: set[str]) -> None:
    def take(entry: Mapping[str, Any]) -> None:
        states = set(entry.get("state", ()))
        # NOARP is multicast and the like.
        if entry["dev"] not in names or "NOARP" in states:
            return
        if "proxy" in entry:
            where = f"neighbour {entry['dst']} at {entry['dev']}"
            kernel.refuse("proxy", where, "ports answer for the addresses of the node alone")
            return
        if "lladdr" not in entry or not states & _USABLE:
            state = " ".join(sorted(states)) or "unresolved"
            kernel.refuse(
                f"state {state}",
                f"neighbour {entry['dst']} at {entry['dev']}",
                "no link address of it is known",
            )
            return
        kernel.neighbours.append({"port": entry["dev"], "ip": entry["dst"], "mac": entry["lladdr"]})

    _each(kernel, "neighbours", entries, take)


def _policies(kernel: Kernel, entries: list[dict[str, Any]], names: set[str]) -> None:
    def take(entry: Mapping[str, Any]) -> None:
        policy: dict[str, Any] = {"priority": int(entry["priority"]), "invert": "not" in entry}
        table = _table(entry["table"]) if "table" in entry else None
        family = _family(entry, entry.get("src"), entry.get("dst"))
        where = f"IPv{family} rule {policy['priority']}"
        plain = entry.get("src", "all") == "all" and not set(entry) - _PLAIN_KEYS
        if plain and (policy["priority"], table) in _DEFAULT_RULES:
            return
        if (refusal := _no_policy(entry, table, names)) is not None:
            kernel.refuse(refusal[0], where, refusal[1])
            return
        for ours, theirs in (("source", "src"), ("destination", "dst")):
            if entry.get(theirs, "all") != "all":
                address = entry[theirs]
                length = entry.get(f"{theirs}len", 128 if ":" in address else 32)
                policy[ours] = f"{address}/{length}"
        policy["port"] = entry.get("iif")
        if "fwmark" in entry:
            policy["mark"] = int(entry["fwmark"], 0)
            policy["mask"] = int(entry.get("fwmask", "0xffffffff"), 0)
        if "tos" in entry:
            policy["dscp"] = int(str(entry["tos"]), 16) >> 2
        length = entry.get("suppress_prefixlen", entry.get("suppress_prefixlength"))
        policy["suppress_length"] = None if length is None else int(length)
        if table is None:
            policy["kind"] = _action(entry)
        policy |= {"table": table, "family": family}
        if {"flow_to", "flow_from"} & set(entry):
            kernel.refuse("realm", where, "there are no realms; it is taken without")
        kernel.policies.append(policy)

    _each(kernel, "rules", entries, take)


def _action(entry: Mapping[str, Any]) -> str:
    action = str(entry.get("action", "none"))
    return _TYPES.get(action, action)


def _no_policy(entry: Mapping[str, Any], table: int | None, names: set[str]) -> tuple[str, str] | None:
    """What a rule has that a stack's policies do not, and why it is left out for that."""
    if narrowed := sorted(set(entry) - _RULE_KEYS):
        return ", ".join(narrowed), "policies do not ask for it"
    if (port := entry.get("iif")) is not None and port not in names:
        return f"iif {port}", "there is no such port"
    if (tos := entry.get("tos")) is not None and re.fullmatch("0x[0-9a-f]+", str(tos)) is None:
        return f"tos {tos}", "only its system knows that value; give what `ip -N -j` prints"
    if table is None and "table" in entry:
        return f"table {entry['table']}", _UNKNOWN_TABLE
    if table is None and (action := _action(entry)) not in ("unreachable", "blackhole", "prohibit"):
        return f"action {action}", "policies look into a table or end the search"
    return None
