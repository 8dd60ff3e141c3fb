"""Numbers in words: protocols, TCP flags, times, sizes, as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "Clock",
    "count",
    "duration",
    "endpoint",
    "flag_letters",
    "fragments",
    "iso",
    "plain",
    "protocol",
    "size",
]

# IANA's protocol numbers, as far as people have names for them.
_PROTOCOLS = {
    0: "hopopt",
    1: "icmp",
    2: "igmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    43: "routing",
    44: "fragment",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    59: "none",
    60: "dstopts",
    88: "eigrp",
    89: "ospf",
    94: "ipip",
    97: "etherip",
    103: "pim",
    108: "ipcomp",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    135: "mobility",
    136: "udplite",
    137: "mpls",
    139: "hip",
    140: "shim6",
    143: "ethernet",
}

# In the order of their bits; N is the accurate-ECN bit that once was the nonce sum (RFC 3540).
_FLAGS = "FSRPAUECN"


def protocol(number: int | None) -> str:
    """The name of an upper-layer protocol, or its number."""
    if number is None:
        return ""
    return _PROTOCOLS.get(number, str(number))


def fragments(reason: str) -> str:
    """Why fragments are of no whole datagram; with the capture the waiting ends, too."""
    return "timeout or end of capture" if reason == "timeout" else reason.replace("_", " ")


def flag_letters(flags: int | None) -> str:
    """TCP flags as letters, SYN and ACK as `SA`; reserved bits as a number."""
    if flags is None:
        return ""
    known = "".join(letter for bit, letter in enumerate(_FLAGS) if flags >> bit & 1)
    reserved = flags >> len(_FLAGS)
    return known + (f"+{reserved << len(_FLAGS):#x}" if reserved else "") or "."


def endpoint(address: str | None, port: int | None) -> str:
    """An address with its port, the address of IPv6 in brackets then."""
    if address is None:
        return ""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def iso(time_ns: int) -> str:
    """A time in ISO 8601, UTC, with all nine digits."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        # Not `fromtimestamp`: it is limited by the platform's clock.
        day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds}.{rest:09} s"
    return f"{day:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


class Clock:
    """Times as they are shown: seconds since the first that was asked for, or ISO."""

    def __init__(self, relative: bool = True) -> None:
        self.relative = relative
        self._first: int | None = None

    def __call__(self, time_ns: int) -> str:
        if not self.relative:
            return iso(time_ns)
        if self._first is None:
            self._first = time_ns
        return f"{(time_ns - self._first) / 1e9:.6f}"


def duration(nanoseconds: int) -> str:
    """A span of time with the unit that suits it."""
    if nanoseconds >= 3600 * 10**9:
        hours, rest = divmod(nanoseconds // 10**9, 3600)
        return f"{hours}:{rest // 60:02}:{rest % 60:02} h"
    for unit, name in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")):
        if nanoseconds >= unit:
            return f"{nanoseconds / unit:.3f} {name}"
    return f"{nanoseconds} ns"


# Characters that turn the direction of text: a name could be read as another one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Controls, lone surrogates, and the separators of lines and paragraphs.
_CONTROLS = frozenset(("Cc", "Cs", "Zl", "Zp"))


def plain(text: str) -> str:
    """Text of strangers as it may be shown: what would control the terminal is escaped, as Python writes it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character in _BIDI or unicodedata.category(character) in _CONTROLS:
        return character.encode("unicode_escape").decode()
    return character


def size(number: float) -> str:
    """Bytes with a binary prefix."""
    if number < 1024:
        return f"{number:.0f} B"
    for prefix in "KMGT":
        number /= 1024
        if number < 1024 or prefix == "T":
            return f"{number:.1f} {prefix}iB"
    raise AssertionError("the last prefix takes any number")


def count(number: float, of: str = "") -> str:
    """A number with commas; with `of`, in the plural where that is due."""
    text = f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"
    if not of:
        return text
    return f"{text} {of}" if number == 1 else f"{text} {of}s"


def flow_bytes(row: Mapping[str, Any]) -> int:
    """IP octets of a flow, both ways."""
    return int(row["bytes_fwd"]) + int(row["bytes_rev"])
