"""A netfast node as the router."""

from __future__ import annotations

import re
from ipaddress import ip_address

import netfast
from kernel.case import HOSTS, LOCAL, PORTS, Case, Connection, Output
from kernel.run import START

REVERSE_PATH = ("off", "strict", "loose")
ETHERNET = 14
RAW = 101
UNLIMITED = 1_000_000_000


class Node:
    """A router that takes both ways for each packet, the cache's and that of the tables."""

    name = "netfast"

    def __init__(self) -> None:
        self.runs = 0
        self.stack = netfast.Stack()
        self.now = START

    def configure(self, case: Case) -> None:
        # Choices are others each time, as Linux's are.
        self.runs += 1
        self.now = START
        self.stack = stack = netfast.Stack(
            seed=case.seed << 16 | self.runs & 0xFFFF,
            tracking="on",
            tcp_loose=case.tcp_loose,
            tcp_liberal=case.tcp_liberal,
            verify_checksums=case.checksum,
            icmp_rate=UNLIMITED,
            icmp_burst=UNLIMITED,
            answer_echo=False,
            timeouts=dict(case.timeouts),
            verify=True,
        )
        for port in PORTS:
            stack.add_port(
                port.name,
                mac=port.mac.hex(":"),
                addresses=port.addresses,
                mtu=port.mtu,
                rp_filter=REVERSE_PATH[case.reverse_path],
            )
            for host in HOSTS[port.name]:
                stack.add_neighbour(port.name, host, port.peer.hex(":"))
        for route in case.routes:
            stack.add_route(route.prefix, route.via, kind=route.kind, metric=route.metric or 0)
        stack.load_rules(case.rules)

    def send(self, port: str, frames: list[bytes], now: int) -> list[Output]:
        self.now = now
        result = self.stack.push(port, frames, now)
        out = [
            Output(name, bytes(packet)) for name, batch in result.items() if name != LOCAL for packet in batch
        ]
        out += [Output(LOCAL, ip_part(packet)) for packet in result.local]
        return out

    def faults(self) -> list[str]:
        """Differences between the cache and the tables, and packets that nothing accounts for."""
        found = self.stack.differences()
        if not self.stack.counters.conserved:
            found.append(f"packets are missing: {self.stack.counters}")
        return found

    def counters(self) -> dict[str, tuple[int, int]]:
        out = {}
        for rule in self.stack.rules():
            comment = re.search(r'comment "(r\d+)"', rule["text"])
            if comment and re.search(r"\bcounter\b", rule["text"]):
                out[comment[1]] = rule["packets"], rule["bytes"]
        return out

    def connections(self) -> list[Connection]:
        return [connection(each, self.now) for each in self.stack.connections()]


def ip_part(packet: netfast.Packet) -> bytes:
    """A packet from its IP header on; what the node sends to itself has no other."""
    return bytes(packet) if packet.link_type == RAW else bytes(packet)[ETHERNET:]


def connection(c: netfast.Connection, now: int) -> Connection:
    """A connection as the comparison has it."""

    def ports(source: int | None, destination: int | None, identifier: int | None) -> tuple[int, int]:
        return identifier or source or 0, destination or 0

    return Connection(
        c.protocol,
        ip_address(c.src).packed,
        ip_address(c.dst).packed,
        ports(c.src_port, c.dst_port, c.icmp_id),
        ip_address(c.reply_src).packed,
        ip_address(c.reply_dst).packed,
        ports(c.reply_src_port, c.reply_dst_port, c.reply_icmp_id),
        (c.state or "").upper(),
        "seen_reply" in c.status,
        "assured" in c.status,
        c.mark,
        (c.expires_ns - now) // 1_000_000_000,
    )
