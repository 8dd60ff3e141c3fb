"""Where netfast and tshark 4.0 differ on purpose, each with the reason. Anything else is a bug in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .model import Row, depth, is_aggregate
from .tshark import Dissected


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of one frame in which the two differ."""

    column: str
    ours: Any
    theirs: Any
    # All of netfast's columns.
    row: Row
    frame: Dissected
    data: bytes = b""

    def says(self, text: str) -> bool:
        """True when tshark remarks on the frame with this text."""
        remarks = self.frame.fields.get("_ws.expert.message", []) + self.frame.fields.get("_ws.malformed", [])
        return any(text in each for each in remarks)

    @property
    def payload_length(self) -> bytes:
        return payload_length(self.row, self.data)

    def between(self, outer: str, inner: str) -> bool:
        """True when one layer stands directly in the other."""
        return (outer, inner) in zip(self.frame.layers, self.frame.layers[1:], strict=False)

    @property
    def checksum(self) -> bool:
        return self.column == "l4_checksum"

    @property
    def is_hidden(self) -> bool:
        """True when tshark shows fewer IPv4 headers than it found."""
        return len(self.frame.fields.get("ip.dst", [])) < self.frame.layers.count("ip")

    @property
    def last(self) -> str:
        """The last layer that tshark found."""
        return self.frame.layers[-1]


def payload_length(row: Row, data: bytes) -> bytes:
    """The IPv6 header's length, which stands before the source; tshark may show another."""
    at = data.find(row["src"])
    return data[at - 4 : at - 2] if at >= 4 else b""


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that is meant."""

    reason: str
    applies: Callable[[Difference], bool]


KNOWN = [
    Known(
        "tshark does not verify the checksum of Mobility headers",
        lambda d: d.checksum and d.row["protocol"] == 135 and d.theirs is None,
    ),
    Known(
        "of a packet whose IP length exceeds the frame, tshark verifies the bytes that are there as if it were"
        " shorter; netfast says that bytes under the checksum are missing",
        lambda d: (
            d.checksum
            and d.row["verdict"] == "malformed"
            and (d.ours == "unchecked:truncated" or d.says("length exceeds"))
        ),
    ),
    Known(
        "tshark does not verify a UDP-Lite checksum whose coverage is illegal; RFC 3828 3.1 has it dropped",
        lambda d: d.checksum and d.ours == "bad" and d.says("Bad checksum coverage"),
    ),
    Known(
        "tshark takes an IPv6 payload length of zero for that of a packet not yet segmented, whatever follows;"
        " netfast only before TCP",
        lambda d: d.row["ip_version"] == 6 and d.row["protocol"] != 6 and d.payload_length == b"\0\0",
    ),
    Known(
        "tshark verifies the checksum of a packet of which an 802.11 frame holds the first fragment only",
        lambda d: (
            d.checksum and "wlan" in d.frame.layers and (d.ours, d.theirs) == ("unchecked:truncated", "bad")
        ),
    ),
    Known(
        "tshark reads an IPv6 header where the link layer says IPv4, if it begins with a 6",
        lambda d: d.row["ip_version"] is None and d.row["verdict"] == "malformed" and d.between("ip", "ipv6"),
    ),
    Known(
        "tshark reads packets in PPPoE session frames with a code other than 0, which RFC 2516 5 forbids",
        lambda d: d.row["verdict"] == "unknown_protocol" and d.between("pppoes", "ppp"),
    ),
    Known(
        "behind a routing header of a type that it does not know, tshark verifies with the destination at"
        " hand; netfast says that it cannot",
        lambda d: d.checksum and "ipv6.routing" in d.frame.layers and d.ours == "unchecked:truncated",
    ),
    Known(
        "tshark's fields do not tell in which packet of an 802.11 aggregate the packet in a tunnel is",
        lambda d: depth(d.frame) > 1 and is_aggregate(d.frame),
    ),
    Known(
        "tshark shows nothing of a service tag that the capture cut in half",
        lambda d: d.column == "vlan" and d.last == "ieee8021ad" and d.theirs is None,
    ),
    Known(
        "of a first fragment, tshark does not follow the extension headers behind the Fragment header",
        lambda d: d.says("Unreassembled fragment") and "ipv6.fraghdr" in d.frame.layers[-2:-1],
    ),
    Known(
        "tshark looks at two of the four bytes of an address family",
        lambda d: d.frame.layers[0] == "null" and d.row["verdict"] == "unknown_protocol",
    ),
    Known(
        "tshark shows an ICMP header of fewer than eight bytes as bytes, and does not verify its checksum",
        lambda d: d.checksum and d.row["verdict"] == "malformed" and d.row["protocol"] in (1, 58),
    ),
    Known(
        "tshark 4.0 does not know GUE",
        lambda d: d.between("udp", "data") and "6080" in d.frame.fields["udp.dstport"],
    ),
    Known(
        "tshark does not verify a UDP checksum when the UDP length is wrong; to netfast such a datagram is bad, as"
        " it is to a receiver",
        lambda d: d.checksum and d.row["protocol"] == 17 and d.says("Bad length value"),
    ),
    Known(
        "tshark shows neither flags nor checksum of a TCP header whose length is wrong",
        lambda d: d.column in ("tcp_flags", "l4_checksum") and d.says("Bogus TCP header length"),
    ),
    Known(
        "tshark shows no IPv4 header whose options are not all there; netfast shows its fixed part",
        lambda d: d.last == "ip" and d.is_hidden,
    ),
    Known(
        "tshark counts the payload behind an IPv4 header whose options are not all there; netfast does not",
        lambda d: d.last == "ip" and d.column == "payload_len" and d.ours is None,
    ),
    Known(
        "tshark verifies no UDP-Lite checksum of a packet that the capture cut, though what it covers is there",
        lambda d: d.checksum and d.row["protocol"] == 136 and d.theirs == "unchecked:truncated",
    ),
    Known(
        "tshark shows no ports of an SCTP header that is not all there",
        lambda d: (
            d.last == "sctp" and d.column in ("src_port", "dst_port", "payload_len") and d.theirs is None
        ),
    ),
    Known(
        "tshark gives up at an option that is wrong; netfast goes on behind the options, as the lengths of"
        " extension headers do not depend on them",
        lambda d: any(
            d.says(f"Malformed Packet: IPv6 {each}") for each in ("Destination", "Hop-by-Hop", "Routing")
        ),
    ),
    Known(
        "tshark reads capture headers of versions that do not exist",
        lambda d: (
            bool({"radiotap", "ppi", "nflog"} & set(d.frame.layers))
            and d.row["verdict"] == "malformed"
            and d.ours is None
        ),
    ),
    Known(
        "tshark reads an authentication header that is shorter than its own fixed part",
        lambda d: d.row["verdict"] == "malformed" and "0" in d.frame.fields.get("ah.length", []),
    ),
    Known(
        "tshark gives up at bits of a GRE version 1 header that are to be zero, and at versions of ERSPAN that do not"
        " exist; netfast goes by the other bits",
        lambda d: d.last == "erspan" or (d.last == "gre" and d.says("Malformed Packet")),
    ),
    Known(
        "tshark shows no packet of a netfilter log record that the capture cut, or that has bytes behind its"
        " attributes; netfast shows what is there",
        lambda d: d.frame.layers in (["nflog"], ["nflog", "data"]),
    ),
    Known(
        "tshark takes the order bit of an 802.11 data frame for an HT control field only when the capture tells that"
        " the frame is of 802.11n or later",
        lambda d: d.frame.first("wlan.fc.order") in ("1", "True") and d.row["verdict"] == "unknown_protocol",
    ),
    Known(
        "tshark reads nothing behind a Prism header whose kind or length is not the usual one; all have 144 bytes",
        lambda d: d.frame.layers[:2] == ["prism", "wlan"],
    ),
    Known(
        "labels do not say what they carry; tshark takes more for Ethernet than what has an EtherType that is known",
        lambda d: "pwethnocw" in d.frame.layers,
    ),
    Known(
        "where an 802.11 body should begin, tshark overlooks two bytes before LLC",
        lambda d: (
            d.between("wlan", "llc")
            and d.row["verdict"] == "unknown_protocol"
            and b"\0\0\xaa\xaa\x03" in d.data
        ),
    ),
    Known(
        "tshark reads no packet behind fields of Per-Packet Information whose lengths are wrong",
        lambda d: d.frame.layers[0] == "ppi" and d.says("Invalid length"),
    ),
    Known(
        "tshark guesses that an 802.11 frame whose body begins with its own addresses holds an Ethernet frame",
        lambda d: d.between("wlan", "eth"),
    ),
    Known(
        "tshark takes any byte behind ff for PPP's control field; RFC 1662 3.1 knows only 03",
        lambda d: d.frame.layers[0] == "ppp" and d.row["verdict"] == "unknown_protocol" and d.ours is None,
    ),
    Known(
        "tshark does not take an 802.3 length for one behind a service tag",
        lambda d: d.frame.layers[-3:] == ["ieee8021ad", "ethertype", "data"],
    ),
    Known(
        "tshark verifies the checksum of an IGMP message only when it can read all of the message",
        lambda d: d.checksum and d.row["protocol"] == 2 and d.says("Malformed Packet: IGMP"),
    ),
    Known(
        "tshark does not verify the checksum of IGMP messages of types that it does not know",
        lambda d: (
            d.checksum and d.row["protocol"] == 2 and d.frame.fields.get("igmp.checksum.status") is None
        ),
    ),
    Known(
        "tshark takes 16 bytes from a home address option whose length is not 16",
        lambda d: d.checksum and d.says("Home Address: Invalid length"),
    ),
    Known(
        "of a TCP header that the capture cut behind its flags, tshark shows none of them",
        lambda d: d.column in ("tcp_flags", "payload_len") and d.last == "tcp" and d.theirs is None,
    ),
]


def reason(difference: Difference) -> str | None:
    """Why this difference is meant; None when it is not."""
    for known in KNOWN:
        if known.applies(difference):
            return known.reason
    return None
