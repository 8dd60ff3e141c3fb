"""Arguments of a stack's methods: what they may be, and what is said where they are not."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Sequence

from netfast.errors import ConfigError
from netfast.rules import Match, Port, Rule, port_text

Gateway = str | tuple[str | None, int] | tuple[str | None, int, str | None]

# An endpoint where an address belongs.
WITH_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9.]+)):(?P<port>[0-9-]+)")


def mistyped(option: str, expected: str, given: object) -> TypeError:
    return TypeError(f"{option}: expected {expected}, not {type(given).__name__}")


def text(option: str, given: str) -> str:
    if not isinstance(given, str):
        raise mistyped(option, "text", given)
    return given


def maybe_text(option: str, given: str | None) -> str | None:
    return None if given is None else text(option, given)


def _index(option: str, expected: str, given: object) -> int:
    """A number as an int; one of numpy too. A check against the protocol
    `SupportsIndex` would take as long as hundreds of packets."""
    if type(given) is int:
        return given
    if isinstance(given, bool):
        raise mistyped(option, expected, given)
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise mistyped(option, expected, given) from None


def whole(option: str, given: int | None) -> int:
    """A whole number that a native one of 64 bits holds; narrower ranges are the node's matter."""
    number = _index(option, "a whole number", given)
    if not -(1 << 63) <= number < 1 << 63:
        raise ConfigError(f"{option}={number}: give a number of at most 63 bits", option=option)
    return number


def maybe_whole(option: str, given: int | None) -> int | None:
    return None if given is None else whole(option, given)


def is_text(rules: str) -> bool:
    """Rules themselves, not the name of a file."""
    return "{" in rules or "\n" in rules or not rules.strip()


def gateways(via: str | Sequence[Gateway] | None) -> list[tuple[str | None, int, str | None]]:
    """Next hops as (gateway, weight, port)."""
    if via is None:
        return []
    if isinstance(via, str) or not isinstance(via, Iterable):
        return [(str(via), 1, None)]
    hops = []
    for hop in via:
        if isinstance(hop, tuple):
            if not 2 <= len(hop) <= 3:
                raise ConfigError(
                    f"via: {hop!r}: give (gateway, weight) or (gateway, weight, port)", option="via"
                )
            gateway, weight, port = (*hop, None)[:3]
        else:
            gateway, weight, port = hop, 1, None
        hops.append((None if gateway is None else str(gateway), weight, port))
    if not hops:
        raise ConfigError("via is empty; for a route without next hops say kind", option="via")
    return hops


def matching(method: str, match: Match, *more: str) -> Match:
    """The match of a short form; `more` are its other arguments."""
    # A TypedDict is a dict: what is in it was not checked.
    for name in match:
        if name not in Match.__annotations__:
            known = [*more, *Match.__annotations__]
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise TypeError(f"Stack.{method}() takes no argument {name!r}; {hint}")
    return match


def translation(kind: str, to: str, to_port: Port | None, match: Match) -> Rule:
    """A rule that translates, in a table of both families."""
    text = str(to)
    if (found := WITH_PORT.fullmatch(text)) is not None:
        address, port = found["six"] or found["four"], found["port"]
        remedy = f"give the address alone ({address!r}), and its port as to_port={port}"
        raise ConfigError(f"to={text!r}: {remedy}", option="to")
    version = 6 if ":" in text else 4
    target = text
    if to_port is not None:
        port = port_text("to_port", to_port)
        target = f"[{text}]:{port}" if version == 6 else f"{text}:{port}"
    match = {"family": version, **matching(kind, match, "to", "to_port")}
    return Rule(verdict=f"{kind} {'ip' if version == 4 else 'ip6'} to {target}", **match)
