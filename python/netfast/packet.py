"""One packet: dissected, explained, shown, changed and sent again.

packet = dissect(data)
packet.src, packet.dst_port, packet[IPv6].flow_label
print(packet.explain())
bytes(packet.to_stack().replace(IPv6, hop_limit=3).recompute())
"""

from __future__ import annotations

from typing import Any

from netfast._netfast import Packet, dissect

__all__ = ["Packet", "dissect"]

_RAW = 101
_RAW_NUMBERS = (12, 14, _RAW, 228, 229)


def _to_scapy(packet: Packet) -> Any:
    """The packet as a scapy packet of the class that scapy has for the link type."""
    import scapy.layers.all  # noqa: F401
    from scapy.config import conf
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Raw

    data = bytes(packet)
    if packet.link_type in _RAW_NUMBERS:
        return (IPv6 if data[:1] and data[0] >> 4 == 6 else IP)(data)
    known = conf.l2types.num2layer
    return known.get(packet.link_type, Raw)(data)


def _from_scapy(packet: Any) -> Packet:
    """A scapy packet, built by scapy and dissected here."""
    from scapy.config import conf
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if isinstance(packet, IP | IPv6):
        return dissect(bytes(packet), link=_RAW)
    for layer in type(packet).__mro__:
        if (number := conf.l2types.layer2num.get(layer)) is not None:
            return dissect(bytes(packet), link=number)
    raise TypeError(
        f"{type(packet).__name__} is not a link layer that scapy knows a number for; start with Ether or IP"
    )
