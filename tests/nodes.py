"""A router between a local network and the world, and packets for it."""

from __future__ import annotations

from typing import Any

import netfast as nf
from netfast.headers import UDP, Ethernet, HeaderStack, IPv4

LAN, WAN, CLIENT, UPLINK = (f"02:00:00:00:00:{last}" for last in ("01", "02", "50", "99"))
SECOND = 10**9


def edge(**settings: Any) -> nf.Stack:
    """A router between a local network and the world."""
    stack = nf.Stack("edge", **{"seed": 7, "verify": True, **settings})
    stack.add_port("lan", mac=LAN, addresses=["2001:db8:1::1/64", "192.0.2.1/24"])
    stack.add_port("wan", mac=WAN, addresses=["2001:db8:ff::1/64", "203.0.113.1/24"], mtu=1500)
    stack.add_route("::/0", via="2001:db8:ff::2")
    stack.add_route("0.0.0.0/0", via="203.0.113.254")
    for ip in ("2001:db8:ff::2", "203.0.113.254"):
        stack.add_neighbour("wan", ip, UPLINK)
    for ip in ("2001:db8:1::7", "192.0.2.7"):
        stack.add_neighbour("lan", ip, CLIENT)
    return stack


def up(packet: HeaderStack) -> bytes:
    """From the client to the router."""
    return bytes(Ethernet(src=CLIENT, dst=LAN) / packet)


def down(packet: HeaderStack) -> bytes:
    """From the world to the router."""
    return bytes(Ethernet(src=UPLINK, dst=WAN) / packet)


def query(port: int = 1000, *, ttl: int = 64, dst: str = "198.51.100.1", dst_port: int = 53) -> bytes:
    header = UDP(src_port=port, dst_port=dst_port)
    return up(IPv4(src="192.0.2.7", dst=dst, ttl=ttl) / header / b"query")
