"""One packet: dissected, explained, shown, changed and sent again.

packet = dissect(data)
packet.src, packet.dst_port, packet[IPv6].flow_label
print(packet.explain())
bytes(packet.to_stack().replace(IPv6, hop_limit=3).recompute())
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

from netfast._netfast import Packet, dissect

__all__ = ["Packet", "dissect"]

_NANOSECONDS = 10**9
_RAW = 101
_RAW_NUMBERS = (12, 14, _RAW, 228, 229)


def is_scapy(packet: object) -> bool:
    """Whether this is a packet of scapy's, which is imported only where there is one."""
    scapy = sys.modules.get("scapy.packet")
    return scapy is not None and isinstance(packet, scapy.Packet)


def _to_scapy(packet: Packet) -> Any:
    """The packet as a scapy packet of the class that scapy has for the link type, with its time."""
    import scapy.layers.all  # noqa: F401
    from scapy.config import conf
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Raw
    from scapy.utils import EDecimal

    data = bytes(packet)
    if packet.link_type in _RAW_NUMBERS:
        theirs = (IPv6 if data[:1] and data[0] >> 4 == 6 else IP)(data)
    else:
        theirs = conf.l2types.num2layer.get(packet.link_type, Raw)(data)
    if packet.time_ns is not None:
        theirs.time = EDecimal(packet.time_ns) / _NANOSECONDS
        theirs.wirelen = packet.len
    elif packet.len > packet.caplen:
        theirs.wirelen = packet.len
    return theirs


def _from_scapy(packet: Any) -> Packet:
    """A scapy packet, built by scapy and dissected here."""
    if not is_scapy(packet):
        raise TypeError(f"{type(packet).__name__} is no packet of scapy's; dissect() takes bytes and headers")
    link = _link_of_scapy(packet)
    time = round(Decimal(str(packet.time)) * _NANOSECONDS)
    data = bytes(packet)
    wire_len = packet.wirelen if packet.wirelen and packet.wirelen > len(data) else None
    return dissect(data, link=link, wire_len=wire_len, time_ns=time if time >= 0 else None)


def _of_scapy(packet: object) -> Packet | None:
    """The packet, if it is one of scapy's."""
    return _from_scapy(packet) if is_scapy(packet) else None


def _link_of_scapy(packet: Any) -> int:
    from scapy.config import conf
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if isinstance(packet, IP | IPv6):
        return _RAW
    for layer in type(packet).__mro__:
        if (number := conf.l2types.layer2num.get(layer)) is not None:
            return int(number)
    raise TypeError(
        f"{type(packet).__name__} is not a link layer that scapy knows a number for; start with Ether or IP"
    )
