"""Where netfast is meant to differ from Linux: each difference with its reason, as narrow as it can be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from kernel import frames
from kernel.case import LOCAL, OWN
from kernel.compare import Difference


@dataclass(frozen=True)
class Known:
    """A difference that is meant. `ends` says that what follows in the case cannot be compared any more."""

    name: str
    reason: str
    holds: Callable[[Difference], bool]
    ends: bool = False


OWN_ADDRESSES = {ip_address(address) for address in OWN}
LINK_GROUPS, THIS_NETWORK = ip_network("224.0.0.0/24"), ip_network("0.0.0.0/8")
UNSPECIFIED = ip_network("::/128")
CLASS_E, MAPPED, LINK_LOCAL = ip_network("240.0.0.0/4"), ip_network("::ffff:0:0/96"), ip_network("fe80::/10")


def ends(difference: Difference) -> list[tuple[object, object]]:
    """Source and destination of what was sent."""
    frames_sent = difference.send.frames if difference.send is not None else []
    sent = [frames.parse(frame[14:]) for frame in frames_sent]
    return [(ip_address(each.source), ip_address(each.destination)) for each in sent if each is not None]


def only_linux(difference: Difference) -> bool:
    """Something came out of Linux, nothing out of the other."""
    return difference.where == "packet" and bool(difference.linux_out) and not difference.other_out


def from_own(difference: Difference) -> bool:
    return only_linux(difference) and any(
        isinstance(source, IPv6Address) and source in OWN_ADDRESSES for source, _ in ends(difference)
    )


def within(difference: Difference, *networks: object) -> bool:
    return only_linux(difference) and any(
        address in network  # type: ignore[operator]
        for pair in ends(difference)
        for address in pair
        for network in networks
    )


def only_other(difference: Difference) -> bool:
    """Something came out of the other, nothing out of Linux."""
    return difference.where == "packet" and bool(difference.other_out) and not difference.linux_out


def is_link_group(address: object) -> bool:
    if isinstance(address, IPv4Address):
        return address in LINK_GROUPS
    return isinstance(address, IPv6Address) and address.packed[0] == 0xFF and address.packed[1] & 15 <= 2


def for_link_group(difference: Difference) -> bool:
    delivered = only_other(difference) and all(output.port == LOCAL for output in difference.other_out)
    return delivered and any(is_link_group(destination) for _, destination in ends(difference))


def rejects_unknown(difference: Difference) -> bool:
    """An error about a protocol whose checksum, if it has one, nobody knows."""
    sent = (
        [frames.parse(frame[14:]) for frame in difference.send.frames] if difference.send is not None else []
    )
    unknown = any(each is not None and each.protocol in (frames.NO_NEXT, 89, 200) for each in sent)
    made = [frames.parse(data[14:]) for port, data in difference.other_out if port != LOCAL]
    return only_other(difference) and unknown and all(each is not None and each.error for each in made)


def quotes_fragment(difference: Difference) -> bool:
    """The same error, about a fragment or about the whole datagram."""
    if difference.where != "packet" or difference.send is None or not difference.send.fragments:
        return False
    outputs = [*difference.linux_out, *difference.other_out]
    read = [frames.parse(data[14:]) for port, data in outputs if port != LOCAL]
    return bool(read) and all(each is not None and each.error for each in read)


def other_way_back(difference: Difference) -> bool:
    """An IPv6 packet that netfast's reverse path filter may have dropped."""
    six = any(isinstance(source, IPv6Address) for source, _ in ends(difference))
    return only_linux(difference) and difference.case.reverse_path != 0 and six


def judged_by_fragment(difference: Difference) -> bool:
    """A datagram in fragments and rules that may say something else of each."""
    sent = difference.send is not None and difference.send.fragments
    return bool(sent) and any(
        word in difference.case.rules for word in ("ct state", "ct status", "limit", "quota", "length")
    )


KNOWN: tuple[Known, ...] = (
    Known(
        "fragments are counted one by one",
        "Linux puts datagrams together before its chains see them; netfast judges each fragment by its first.",
        lambda d: d.case.fragments and d.where == "counter",
    ),
    Known(
        "connections of incomplete datagrams",
        "Linux sees no datagram before it is whole; netfast begins a connection with its first fragment.",
        lambda d: d.case.fragments and d.where == "connection" and d.linux is None,
    ),
    Known(
        "record route",
        "Linux writes its address into the option (RFC 791 3.1); netfast leaves options as they are.",
        lambda d: d.field == "options" and str(d.other).startswith("0707"),
    ),
    Known(
        "fragments are judged one by one",
        "The first fragment is a connection's first packet, the second one is not, and each has a length of its own.",
        judged_by_fragment,
        ends=True,
    ),
    Known(
        "reverse path filter of IPv6",
        "Linux has rp_filter for IPv4 only; netfast's is for both families.",
        other_way_back,
        ends=True,
    ),
    Known(
        "IPv6 packets from the router's own addresses",
        "Linux looks for martians in IPv4 only. An address of its own can come from nobody else: netfast drops both.",
        from_own,
        ends=True,
    ),
    Known(
        "class E",
        "240.0.0.0/4 is reserved (RFC 1112 4); Linux forwards it since 2019, netfast does not.",
        lambda d: within(d, CLASS_E),
        ends=True,
    ),
    Known(
        "this network",
        "0.0.0.0/8 is neither a destination nor a host's source (RFC 1122 3.2.1.3); Linux forwards it.",
        lambda d: within(d, THIS_NETWORK),
        ends=True,
    ),
    Known(
        "unspecified address of IPv6 as a destination",
        "No packet is for it (RFC 4291 2.5.2); Linux takes the default route.",
        lambda d: within(d, UNSPECIFIED),
        ends=True,
    ),
    Known(
        "groups of the link",
        "Linux takes what its programs have joined; netfast hands all packets for groups of the link to its owner.",
        for_link_group,
        ends=True,
    ),
    Known(
        "rejects of unknown protocols",
        "Linux answers no packet whose checksum is wrong, and takes what it does not know for having one like TCP's.",
        rejects_unknown,
        ends=True,
    ),
    Known(
        "errors about fragments",
        "Linux quotes the datagram that it put together, netfast the fragment that came.",
        quotes_fragment,
        ends=True,
    ),
    Known(
        "IPv4-mapped addresses on the wire",
        "They are for programming interfaces only (RFC 4291 2.5.5.2); Linux forwards packets that have them.",
        lambda d: within(d, MAPPED),
        ends=True,
    ),
    Known(
        "errors about link-local destinations",
        "A router does not forward them (RFC 4291 2.5.6); Linux says that it has no route, netfast says nothing.",
        lambda d: within(d, LINK_LOCAL),
        ends=True,
    ),
)
SEEN: Counter[str] = Counter()


def reason(difference: Difference, known: Iterable[Known] = KNOWN) -> Known | None:
    """The entry that a difference falls under; it is counted as used."""
    for each in known:
        if each.holds(difference):
            SEEN[each.name] += 1
            return each
    return None


def unused(known: Iterable[Known] = KNOWN) -> list[str]:
    """Entries that no difference fell under."""
    return [each.name for each in known if not SEEN[each.name]]
