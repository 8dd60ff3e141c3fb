"""The columns that netfast should give for a frame, told from tshark's fields alone."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from typing import Any

from .tshark import Dissected

Row = dict[str, Any]

COLUMNS = (
    "frame time_ns caplen len vlan ip_version src dst protocol src_port dst_port tcp_flags payload_len "
    "hop_limit traffic_class flow_label fragment_offset fragment_id more_fragments l3_checksum l4_checksum"
).split()

# Link types by tshark's own numbering of encapsulations (raw IP has several link types there).
ENCAPSULATIONS = {
    0: 15, 1: 1, 9: 4, 12: 7, 14: 7, 50: 4, 51: 139, 101: 7, 104: 28, 105: 20, 108: 174, 113: 25, 119: 21, 127: 23,
    163: 24, 192: 97, 228: 129, 229: 130, 239: 141, 258: 171, 276: 210,
}  # fmt: skip

EXTENSIONS = {0: "ipv6.hopopts", 43: "ipv6.routing", 60: "ipv6.dstopts", 44: "ipv6.fraghdr", 51: "ah"}
# Protocol number -> (layer's name, fields' prefix, length of the header when no field says it)
PORTED = {
    6: ("tcp", "tcp", 0),
    17: ("udp", "udp", 8),
    136: ("udplite", "udp", 8),
    132: ("sctp", "sctp", 12),
    33: ("dccp", "dccp", 0),
}
CHECKED = {
    1: ("icmp", "icmp"),
    58: ("icmpv6", "icmpv6"),
    2: ("igmp", "igmp"),
    47: ("gre", "gre"),
    **{number: (layer, prefix) for number, (layer, prefix, _) in PORTED.items()},
}
# Layers behind which a packet is quoted, not carried.
QUOTING = {"icmp", "icmpv6"}
# Layers that share the fields of another.
SHARED = {"udplite": "udp"}


class OneOf(tuple[Any, ...]):
    """Values that all agree with what tshark shows, where its fields do not tell which it is."""

    __slots__ = ()


def agrees(ours: Any, theirs: Any) -> bool:
    return ours in theirs if isinstance(theirs, OneOf) else bool(ours == theirs)


class Reader:
    """A frame's layers with the values of each."""

    def __init__(self, frame: Dissected) -> None:
        self.frame = frame
        self.layers = first_of_aggregate(frame.layers)

    def value(self, place: int, name: str) -> str | None:
        """The field of the layer that stands at `place`."""
        layer = SHARED.get(self.layers[place], self.layers[place])
        nth = sum(SHARED.get(each, each) == layer for each in self.layers[:place])
        values = self.frame.fields.get(name, [])
        return values[nth] if nth < len(values) else None

    def number(self, place: int, name: str) -> int | None:
        value = self.value(place, name)
        return None if value is None else {"True": 1, "False": 0}.get(value) or int(value, 0)

    def gre_checksum(self, place: int) -> str | None:
        """The verdict on a GRE checksum; only headers that say that they have one have a verdict."""
        flag = self.number(place, "gre.flags.checksum")
        if not flag:
            return None if flag is None else "3"
        nth = self.layers[:place].count("gre")
        flags = [value in ("1", "True") for value in self.frame.fields["gre.flags.checksum"][:nth]]
        values = self.frame.fields.get("gre.checksum.status", [])
        return values[sum(flags)] if sum(flags) < len(values) else None

    def is_at(self, place: int, name: str) -> bool:
        return place < len(self.layers) and self.layers[place] == name

    def is_told(self, place: int) -> bool:
        """True for an IP header that tshark shows all of."""
        names = ("ip.len", "ip.dst") if self.layers[place] == "ip" else ("ipv6.plen", "ipv6.dst")
        return all(self.value(place, name) is not None for name in names)

    def is_fragmented(self, place: int) -> bool:
        """True for a packet that says that more fragments follow."""
        if self.layers[place] == "ip":
            return self.number(place, "ip.flags.mf") == 1
        for at in range(place + 1, len(self.layers)):
            if self.layers[at] == "ipv6.fraghdr":
                return self.number(at, "ipv6.fraghdr.more") == 1
            if self.layers[at] not in EXTENSIONS.values():
                break
        return False

    def packets(self) -> list[int]:
        """Where the packets' IP layers stand, without quoted ones."""
        places = []
        for place, layer in enumerate(self.layers):
            if layer in QUOTING:
                break
            if layer in ("ip", "ipv6"):
                places.append(place)
                if self.is_fragmented(place):
                    # What is inside is not looked into before all of it is there.
                    break
        return places


def first_of_aggregate(layers: list[str]) -> list[str]:
    """Of an aggregate of 802.11 the layers of its first packet, which is the one that netfast describes."""
    if "wlan" not in layers:
        return layers
    beginnings = [
        place
        for place in range(1, len(layers))
        if layers[place] == "llc" and layers[place - 1] not in ("eth", "ethertype", "vlan", "ieee8021ad")
    ]
    return layers[: beginnings[1]] if len(beginnings) > 1 else layers


def is_aggregate(frame: Dissected) -> bool:
    """True for an 802.11 aggregate of several packets."""
    return len(first_of_aggregate(frame.layers)) < len(frame.layers)


def depth(frame: Dissected) -> int:
    """How many packets are nested in the frame."""
    reader = Reader(frame)
    return sum(reader.is_told(place) for place in reader.packets())


def expected(frame: Dissected, nth: int = 0) -> Row:
    """The row of the nth packet of the nest: 0 is the outermost, -1 the innermost."""
    reader = Reader(frame)
    row: Row = dict.fromkeys(COLUMNS)
    row["frame"] = int(frame.first("frame.number"))
    # Simple packet blocks of pcapng have no time stamp.
    time = frame.first("frame.time_epoch")
    row["time_ns"] = int(Decimal(time) * 10**9) if time else None
    row["caplen"] = int(frame.first("frame.cap_len"))
    row["len"] = int(frame.first("frame.len"))
    places = [place for place in reader.packets() if reader.is_told(place)]
    place = places[nth] if places else len(reader.layers)
    begin = max((each for each in places if each < place), default=0)
    for at in range(begin, place):
        if reader.layers[at] == "ieee8021ad":
            # Two service tags are one layer there, with fields of its own; which layer has which is not told.
            found = [reader.number(at, f"ieee8021ad.{name}") for name in ("id", "svid")]
            told = [each for each in found if each is not None]
            if not told:
                fields = reader.frame.fields
                told = [int(each) for name in ("id", "svid") for each in fields.get(f"ieee8021ad.{name}", [])]
            row["vlan"] = OneOf(told) if told else None
            break
        if reader.layers[at] == "vlan":
            row["vlan"] = reader.number(at, "vlan.id")
            break
    if places:
        (ipv4 if reader.layers[place] == "ip" else ipv6)(reader, place, row)
    return row


def mapped(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def ipv4(reader: Reader, at: int, row: Row) -> None:
    src, dst = reader.value(at, "ip.src"), reader.value(at, "ip.dst")
    length, header = reader.number(at, "ip.len"), reader.number(at, "ip.hdr_len")
    if src is None or dst is None or length is None or header is None:
        return
    row.update(ip_version=4, src=mapped(src), dst=mapped(dst))
    if routes := reader.frame.fields.get("ip.cur_rt"):
        # tshark's destination is the end of a source route, and the header's is a field of its own; of nested packets
        # it is not told which has which.
        row["dst"] = OneOf(mapped(each) for each in (*routes, dst))
        if reader.frame.layers.count("ip") == 1:
            row["dst"] = mapped(routes[0])
    row["hop_limit"] = reader.number(at, "ip.ttl")
    row["traffic_class"] = reader.number(at, "ip.dsfield")
    row["fragment_id"] = reader.number(at, "ip.id")
    # In units of eight octets, in tshark 4.0.
    row["fragment_offset"] = offset = (reader.number(at, "ip.frag_offset") or 0) * 8
    row["more_fragments"] = reader.number(at, "ip.flags.mf") == 1
    row["l3_checksum"] = status(reader.value(at, "ip.checksum.status"), fragment=False)
    protocol, rest = reader.number(at, "ip.proto"), length - header
    place = at + 1
    while protocol == 51 and not offset:
        if not reader.is_at(place, "ah"):
            return
        protocol, words = reader.number(place, "ah.next_header"), reader.number(place, "ah.length")
        if protocol is None or words is None:
            return
        rest -= (words + 2) * 4
        place += 1
    transport(reader, place, row, protocol, rest)
    after_extensions(reader, at, place, row)


def ipv6(reader: Reader, at: int, row: Row) -> None:
    src, dst = reader.value(at, "ipv6.src"), reader.value(at, "ipv6.dst")
    rest, protocol = reader.number(at, "ipv6.plen"), reader.number(at, "ipv6.nxt")
    if src is None or dst is None or rest is None:
        return
    row.update(ip_version=6, src=mapped(src), dst=mapped(dst))
    row["hop_limit"] = reader.number(at, "ipv6.hlim")
    row["traffic_class"] = reader.number(at, "ipv6.tclass")
    row["flow_label"] = reader.number(at, "ipv6.flow")
    if rest == 0 and reader.value(at, "ipv6.opt.jumbo") is not None:
        rest = reader.number(at, "ipv6.opt.jumbo") or 0
    place = at + 1
    while protocol in EXTENSIONS:
        layer = EXTENSIONS[protocol]
        if not reader.is_at(place, layer):
            return
        if layer == "ah":
            protocol, words = reader.number(place, "ah.next_header"), reader.number(place, "ah.length")
            rest -= ((words or 0) + 2) * 4
        elif layer == "ipv6.fraghdr":
            protocol = reader.number(place, "ipv6.fraghdr.nxt")
            offset = reader.number(place, "ipv6.fraghdr.offset")
            row["fragment_offset"] = None if offset is None else offset * 8
            row["fragment_id"] = reader.number(place, "ipv6.fraghdr.ident")
            more = reader.number(place, "ipv6.fraghdr.more")
            row["more_fragments"] = None if more is None else more == 1
            rest -= 8
            if offset:
                break
            if offset is None:
                return
        else:
            protocol, units = reader.number(place, f"{layer}.nxt"), reader.number(place, f"{layer}.len")
            rest -= ((units or 0) + 1) * 8
        place += 1
    transport(reader, place, row, protocol, rest)
    after_extensions(reader, at, place, row)


def after_extensions(reader: Reader, at: int, place: int, row: Row) -> None:
    """tshark says the next header of an extension header that is not all there, too; netfast does not."""
    if place > at + 1 and place == len(reader.layers):
        for name in ("protocol", "payload_len", "l4_checksum"):
            row[name] = (
                OneOf((None, *row[name])) if isinstance(row[name], OneOf) else OneOf((None, row[name]))
            )


def transport(reader: Reader, at: int, row: Row, protocol: int | None, rest: int) -> None:
    row["protocol"] = protocol
    if protocol is None:
        return
    fragment = bool(row["fragment_offset"] or row["more_fragments"])
    checked = CHECKED.get(protocol)
    if protocol == 58 and row["ip_version"] == 4:
        checked = None
    if row["fragment_offset"]:
        row["payload_len"] = rest
        row["l4_checksum"] = "unchecked:fragment" if checked or protocol == 135 else None
        return
    if checked:
        layer, prefix = checked
        there = reader.is_at(at, layer)
        found = None
        if there:
            found = (
                reader.gre_checksum(at) if layer == "gre" else reader.value(at, f"{prefix}.checksum.status")
            )
        row["l4_checksum"] = status(found, fragment)
        if fragment:
            row["l4_checksum"] = "unchecked:fragment"
        elif found is None:
            # Not shown, because the packet or the capture ends before it.
            row["l4_checksum"] = OneOf((None, "unchecked:truncated", "absent")[: 3 if protocol == 47 else 2])
    header: int | None = 0
    if protocol in PORTED:
        layer, prefix, header = PORTED[protocol]
        if not reader.is_at(at, layer):
            return
        row["src_port"] = reader.number(at, f"{prefix}.srcport")
        row["dst_port"] = reader.number(at, f"{prefix}.dstport")
        if row["dst_port"] is None:
            row["src_port"] = None
            return
        if protocol == 6:
            row["tcp_flags"] = reader.number(at, "tcp.flags")
            header = reader.number(at, "tcp.hdr_len")
            header = None if header is None or header < 20 else header
        elif protocol == 33:
            words = reader.number(at, "dccp.data_offset")
            header = None if words is None or words < 3 else words * 4
    elif protocol in (1, 58):
        layer = CHECKED[protocol][0]
        header = 8 if reader.is_at(at, layer) else None
    if header is not None:
        row["payload_len"] = rest - header if rest >= header else None
        if protocol in (1, 58) and reader.value(at, f"{CHECKED[protocol][0]}.code") is None:
            # tshark shows a header of fewer than eight bytes as bytes, so there may be four or none.
            row["payload_len"] = OneOf((None, row["payload_len"]))


def status(value: str | None, fragment: bool) -> str | None:
    """tshark's verdict on a checksum in netfast's words."""
    unchecked = "unchecked:fragment" if fragment else "unchecked:truncated"
    # 4 is "illegal": UDP over IPv6 without a checksum, which RFC 6935 allows to tunnels.
    return {None: None, "0": "bad", "1": "good", "2": unchecked, "3": "absent", "4": "absent"}[value]
