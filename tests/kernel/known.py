"""Where netfast is meant to differ from Linux: each difference with its reason, as narrow as it can be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kernel import frames
from kernel.case import LOCAL, OWN, PORTS, Case
from kernel.compare import Difference, ip_part
from kernel.ends import Send

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Known:
    """A difference that is meant. `ends` says that what follows in the case cannot be compared any more."""

    name: str
    reason: str
    holds: Callable[[Difference], bool]
    ends: bool = False


# `rp_filter` of Linux (RFC 3704 2.4).
LOOSE = 2
OWN_ADDRESSES = {ip_address(address) for address in OWN}
UNKNOWN = (frames.NO_NEXT, 89, 200)
LINK_GROUPS, THIS_NETWORK = ip_network("224.0.0.0/24"), ip_network("0.0.0.0/8")
UNSPECIFIED = ip_network("::/128")
NETWORKS = [ip_network(address, strict=False) for port in PORTS for address in port.addresses]
BROADCASTS = {network.broadcast_address for network in NETWORKS if network.version == 4}
CLASS_E, MAPPED, LINK_LOCAL = ip_network("240.0.0.0/4"), ip_network("::ffff:0:0/96"), ip_network("fe80::/10")


def ends(difference: Difference) -> list[tuple[object, object]]:
    """Source and destination of what was sent."""
    frames_sent = difference.send.frames if difference.send is not None else []
    sent = [frames.parse(frame[14:]) for frame in frames_sent]
    return [(ip_address(each.source), ip_address(each.destination)) for each in sent if each is not None]


def only_linux(difference: Difference) -> bool:
    """Something came out of Linux, nothing out of the other."""
    return difference.where == "packet" and bool(difference.linux_out) and not difference.other_out


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
    unknown = any(each is not None and each.protocol in UNKNOWN for each in sent)
    made = [frames.parse(data[14:]) for port, data in difference.other_out if port != LOCAL]
    return only_other(difference) and unknown and all(each is not None and each.error for each in made)


def other_way_back(difference: Difference) -> bool:
    """An IPv6 packet that netfast's reverse path filter may have dropped."""
    six = any(isinstance(source, IPv6Address) for source, _ in ends(difference))
    return only_linux(difference) and difference.case.reverse_path != 0 and six


def addresses(frame: bytes) -> tuple[Address, Address] | None:
    """Source and destination of a frame."""
    parsed = frames.parse(frame[14:])
    return None if parsed is None else (ip_address(parsed.source), ip_address(parsed.destination))


def dropped_before(case: Case, send: Send, frame: bytes) -> bool:
    """Does netfast drop a packet before the chains that Linux takes it to, by an entry of this list?"""
    ends = addresses(frame)
    if ends is None:
        return False
    source, destination = ends
    martian = any(end in network for end in ends for network in (THIS_NETWORK, CLASS_E, MAPPED))
    nowhere = destination in UNSPECIFIED or destination in LINK_LOCAL or destination in BROADCASTS
    way_back = case.reverse_path != 0 and source.version == 6 and not leads_back(case, source, send.port)
    return martian or nowhere or way_back


def leads_back(case: Case, source: Address, port: str) -> bool:
    """Does the route to a source lead through a port, or anywhere in loose mode? Own addresses are behind none."""
    if source in OWN_ADDRESSES:
        return False
    near = [(ip_network(a, strict=False), each.name) for each in PORTS for a in each.addresses]
    routes: list[tuple[Network, str | None]] = list(near)
    for route in case.routes:
        via = None if route.via is None else ip_address(route.via)
        routes.append(
            (ip_network(route.prefix), next((name for net, name in near if via and via in net), None))
        )
    fitting = [(network.prefixlen, name) for network, name in routes if source in network]
    best = max(fitting, key=lambda found: found[0], default=(0, None))[1]
    return best == port or (case.reverse_path == LOOSE and best is not None)


def counted_in_vain(difference: Difference) -> bool:
    """Rules of Linux counted, or marked, no more than what netfast dropped before them, errors about it included."""
    lengths = [
        len(frame) - 14
        for send in difference.sent
        for frame in send.frames
        if dropped_before(difference.case, send, frame)
    ]
    if lengths and difference.where == "connection":
        return difference.field.startswith("mark of ")
    if not lengths or difference.where != "counter" or None in (difference.linux, difference.other):
        return False
    if "limit rate" in difference.case.rules or "quota" in difference.case.rules:
        # They use up what later packets would have had.
        return abs(difference.linux[0] - difference.other[0]) <= 8 * len(lengths)
    return counts_more(difference, lengths)


def counted_without_ports(difference: Difference) -> bool:
    """One counted no more than packets that end within their ports: rules behind one that reads a port see fewer."""
    sent = [send for send in difference.sent if send.what == "transport header too short"]
    lengths = [len(frame) - 14 for send in sent for frame in send.frames]
    return counts_more(difference, lengths) or counts_more(swapped(difference), lengths)


def swapped(difference: Difference) -> Difference:
    return replace(difference, linux=difference.other, other=difference.linux)


def counted_here(difference: Difference, applies: Callable[[frames.Parsed], bool]) -> bool:
    """Did netfast count more, by no more than packets that something applies to, or errors about them?"""
    sent = [frames.parse(frame[14:]) for send in difference.sent for frame in send.frames]
    lengths = [len(each.data) for each in sent if each is not None and applies(each)]
    if "limit rate" in difference.case.rules and lengths and difference.where == "counter":
        # They use up what later packets would have had.
        return abs(difference.linux[0] - difference.other[0]) <= 8 * len(lengths)
    return counts_more(swapped(difference), lengths)


def to_itself(difference: Difference) -> bool:
    """An error of netfast about a packet with one of its own addresses, which chains of Linux dropped by its port."""
    made = [frames.parse(data) for port, data in difference.other_out if port == LOCAL]
    own = bool(made) and all(
        each is not None and each.error and each.source == each.destination for each in made
    )
    return only_other(difference) and own and len(made) == len(difference.other_out)


def asks_for_information(difference: Difference) -> bool:
    """A connection that a node information query began (RFC 4620), where translations choose at random."""
    sent = [frames.parse(frame[14:]) for send in difference.sent for frame in send.frames]
    asks = any(
        each is not None and each.protocol == frames.ICMP6 and each.segment[:1] == b"\x8b" for each in sent
    )
    return difference.where == "connection" and difference.field.startswith("58 ") and asks


def about_own(difference: Difference) -> bool:
    """An error of Linux about what it made itself: it went to nobody who sent anything."""
    sent = {source for source, _ in ends(difference)}
    made = [frames.parse(data[14:]) for port, data in difference.linux_out if port != LOCAL]
    quotes = [each.quoted for each in made if each is not None]
    return (
        only_linux(difference)
        and bool(quotes)
        and all(quote is not None and ip_address(quote.source) not in sent for quote in quotes)
    )


def counts_more(difference: Difference, lengths: list[int]) -> bool:
    """Are the packets and octets that Linux counted more those of some packets of such lengths?"""
    if difference.where != "counter" or not lengths or None in (difference.linux, difference.other):
        return False
    packets, octets = (a - b for a, b in zip(difference.linux, difference.other, strict=True))
    # What IPv6 puts before the packet that an error quotes.
    error = 48
    most = packets * (max(lengths) + error)
    # A chain may be jumped to several times.
    return 0 < packets <= 8 * len(lengths) and packets * min(lengths) <= octets <= most


def pads_much(difference: Difference) -> bool:
    """More than seven octets of padding in hop-by-hop options."""
    sent = difference.send.frames if difference.send else []
    headers = [frame[54:] for frame in sent if frame[12:14] == b"\x86\xdd" and frame[20:21] == b"\0"]
    for header in (header for header in headers if len(header) > 1):
        options, at = header[2 : 8 * (header[1] + 1)], 0
        while at + 1 < len(options):
            kind, length = options[at], options[at + 1] + 2
            if kind == 1 and length > 7:
                return only_other(difference)
            at += length if kind else 1
    return False


def is_atomic(frame: bytes) -> bool:
    """An IPv6 packet that is the only fragment of its datagram."""
    data = frame[14:]
    if len(data) < 48 or data[0] >> 4 != 6:
        return False
    protocol, at = data[6], 40
    while protocol in (frames.HOP_BY_HOP, frames.ROUTING, frames.DESTINATION) and at + 8 <= len(data):
        protocol, at = data[at], at + 8 + data[at + 1] * 8
    return protocol == frames.FRAGMENT and int.from_bytes(data[at + 2 : at + 4]) & 0xFFF9 == 0


def loses_fragment_header(difference: Difference) -> bool:
    field = difference.field.removeprefix("quoted ")
    named = field in ("length", "length field", "next header", "extensions")
    return named and difference.send is not None and any(map(is_atomic, difference.send.frames))


def counted_without_fragment_header(difference: Difference) -> bool:
    """Eight octets less for each atomic fragment."""
    if difference.where != "counter" or None in (difference.linux, difference.other):
        return False
    atomic = sum(is_atomic(frame) for send in difference.sent for frame in send.frames)
    packets, octets = (b - a for a, b in zip(difference.linux, difference.other, strict=True))
    return packets == 0 and octets in range(8, 8 * atomic + 1, 8)


def records_route(difference: Difference) -> bool:
    """The option itself, and the header checksum that Linux leaves as it is in what it hands to its programs.

    Errors of Linux have the option of what they are about (RFC 1812 4.3.2.6), which the first thing that differs tells.
    """
    if difference.field in ("length", "length field", "options") and difference.other_out:
        sent = [frame[14:] for frame in difference.send.frames] if difference.send else []
        made = [frames.parse(ip_part(*output)) for output in difference.other_out]
        if all(each is not None and each.error for each in made):
            return any(data[0] >> 4 == 4 and data[0] & 15 > 5 and data[20] == 7 for data in sent)
    if difference.field.endswith("options"):
        return str(difference.other).startswith("0707")
    local = [output.data for output in difference.other_out if output.port == LOCAL]
    if difference.field == "quoted header checksum":
        quotes = [frames.parse(ip_part(*output)) for output in difference.linux_out]
        return any(each and each.quoted and each.quoted.data[20:22] == b"\x07\x07" for each in quotes)
    return difference.field == "header checksum" and any(data[20:22] == b"\x07\x07" for data in local)


def within_source_route(difference: Difference) -> bool:
    """Counters of a case in which packets had IPv4's options for source routes."""
    sent = [frame[14:] for send in difference.sent for frame in send.frames]
    routed = [data for data in sent if data[:1] and data[0] >> 4 == 4 and data[0] & 15 > 5]
    routed = [data for data in routed if data[20] in (131, 137) or data[21] in (131, 137)]
    if difference.where != "counter" or None in (difference.linux, difference.other):
        return False
    return 0 < abs(difference.linux[0] - difference.other[0]) <= len(routed)


def is_unknown_gre(frame: bytes) -> bool:
    parsed = frames.parse(frame[14:])
    header = parsed.segment if parsed is not None and parsed.protocol == frames.GRE else None
    return header is not None and (len(header) < 8 or header[1] & 7 > 1)


def only_translated(difference: Difference, frames_sent: Iterable[bytes]) -> bool:
    """Netfast let some of these packets pass, and rules count them, that Linux did not."""
    count = sum(1 for _ in frames_sent)
    if difference.where != "counter" or None in (difference.linux, difference.other):
        return only_other(difference) and count > 0
    return 0 < difference.other[0] - difference.linux[0] <= 8 * count


def of_unknown_gre(difference: Difference) -> bool:
    sent = [difference.send] if difference.send is not None else difference.sent
    return only_translated(difference, (f for send in sent for f in send.frames if is_unknown_gre(f)))


def with_short_quote(difference: Difference) -> bool:
    sent = [difference.send] if difference.send is not None else difference.sent
    short = [send for send in sent if send.what == "error with a short quote"]
    return only_translated(difference, (frame for send in short for frame in send.frames))


KNOWN: tuple[Known, ...] = (
    Known(
        "record route",
        "Linux writes its address into the option (RFC 791 3.1), also in errors; netfast leaves options as they are.",
        records_route,
    ),
    Known(
        "reverse path filter of IPv6",
        "Linux has rp_filter for IPv4 only; netfast's is for both families.",
        other_way_back,
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
        "padding of hop-by-hop options",
        "Linux drops packets with over seven octets of it at once (RFC 4942 2.1.9.5); netfast leaves them alone.",
        pads_much,
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
        "counters of groups of the link",
        "Chains of Linux do not see what none of its programs joined.",
        lambda d: counted_here(d, lambda each: is_link_group(ip_address(each.destination))),
    ),
    Known(
        "counters of errors to link-local sources",
        "Every port of netfast has the link-local network; those of Linux have none here, and errors no way.",
        lambda d: counted_here(d, lambda each: ip_address(each.source) in LINK_LOCAL),
    ),
    Known(
        "counters of rejects of unknown protocols",
        "Chains of Linux do not see the errors that it does not send.",
        lambda d: counted_here(d, lambda each: each.protocol in UNKNOWN),
    ),
    Known(
        "errors about its own packets",
        "A reset that an output chain of Linux rejects is answered to who it seems to be from; netfast drops it.",
        about_own,
        ends=True,
    ),
    Known(
        "packets to itself",
        "What Linux sends to itself goes by its port lo, which rules may ask for; here it goes by none.",
        to_itself,
        ends=True,
    ),
    Known(
        "node information queries",
        "Connection tracking of Linux takes the question for an identifier, and chooses another that it never writes.",
        asks_for_information,
    ),
    Known(
        "rejects of unknown protocols",
        "Linux answers no packet whose checksum is wrong, and takes what it does not know for having one like TCP's.",
        rejects_unknown,
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
    Known(
        "directed broadcasts",
        "RFC 2644 says not to take them from other networks; Linux hands them to its programs.",
        lambda d: only_linux(d) and any(destination in BROADCASTS for _, destination in ends(d)),
        ends=True,
    ),
    Known(
        "counters of packets that are dropped before",
        "What the entries for martians, groups and reverse paths drop at once goes through the first chains of Linux.",
        counted_in_vain,
    ),
    Known(
        "counters of headers that end within their ports",
        "Linux reads a source port that is there without the destination port; netfast has both ports or none.",
        counted_without_ports,
    ),
    Known(
        "counters of source routes",
        "The checksum covers the last destination (RFC 1071, RFC 8200 8.1); Linux takes that of the header.",
        within_source_route,
    ),
    Known(
        "atomic fragments",
        "Connection tracking of Linux takes their fragment header away; a router is not to (RFC 8200 4.5).",
        loses_fragment_header,
        ends=True,
    ),
    Known(
        "counters of atomic fragments",
        "Rules of Linux count them without their fragment header.",
        counted_without_fragment_header,
    ),
    Known(
        "translated errors with a short quote",
        "Linux drops those that quote less than eight octets of UDP; netfast translates the ports that are there.",
        with_short_quote,
        ends=True,
    ),
    Known(
        "translated GRE of unknown versions",
        "Linux drops it, and what is shorter than eight octets, when it is translated; netfast translates addresses.",
        of_unknown_gre,
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
