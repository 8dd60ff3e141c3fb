"""What a case is: a node's configuration, what is sent, and what a router says of it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple, Protocol

# Where packets go that are for the router itself; they have no Ethernet header.
LOCAL = "local"


@dataclass(frozen=True)
class Port:
    """A port of the router: its link address, the link address of what is behind it, its addresses with prefix."""

    name: str
    mac: bytes
    peer: bytes
    addresses: tuple[str, ...]
    mtu: int = 1500


class Route(NamedTuple):
    """`kind` is unicast, unreachable, blackhole or prohibit; only the first has a gateway."""

    prefix: str
    kind: str = "unicast"
    via: str | None = None
    metric: int | None = None


PORTS = (
    Port(
        "lan",
        bytes.fromhex("020000000001"),
        bytes.fromhex("020000000101"),
        ("10.1.0.1/24", "2001:db8:1::1/64"),
    ),
    Port(
        "wan",
        bytes.fromhex("020000000002"),
        bytes.fromhex("020000000102"),
        ("203.0.113.1/24", "2001:db8:ff::1/64"),
        1400,
    ),
    Port(
        "dmz",
        bytes.fromhex("020000000003"),
        bytes.fromhex("020000000103"),
        ("10.3.0.1/24", "2001:db8:3::1/64"),
    ),
)
PORT = {port.name: port for port in PORTS}

# Hosts that are there. Addresses of translation pools are among them: what is sent to one that is not bound is
# forwarded like any other.
HOSTS: dict[str, tuple[str, ...]] = {
    "lan": ("10.1.0.10", "10.1.0.11", "2001:db8:1::10", "2001:db8:1::11"),
    "wan": (
        "203.0.113.2",
        "203.0.113.10",
        *(f"203.0.113.{host}" for host in range(20, 24)),
        "203.0.113.30",
        "2001:db8:ff::2",
        "2001:db8:ff::10",
        *(f"2001:db8:ff::{host}" for host in range(20, 24)),
        "2001:db8:ff::30",
    ),
    "dmz": (
        "10.3.0.10",
        "10.3.0.11",
        "10.3.0.20",
        "10.3.0.21",
        *(f"2001:db8:3::{h}" for h in (10, 11, 20, 21)),
    ),
}
# Addresses that a range of a rule chooses from: which one is taken depends on a secret of the router.
POOLS: tuple[tuple[str, ...], ...] = (
    tuple(f"203.0.113.{host}" for host in range(20, 24)),
    tuple(f"2001:db8:ff::{host}" for host in range(20, 24)),
    ("10.3.0.20", "10.3.0.21"),
    ("2001:db8:3::20", "2001:db8:3::21"),
)
FIRST_OF_POOL = {ip_address(a).packed: ip_address(pool[0]).packed for pool in POOLS for a in pool}

DEFAULT_ROUTES = (Route("0.0.0.0/0", via="203.0.113.2"), Route("::/0", via="2001:db8:ff::2"))
ROUTES = (
    Route("10.10.0.0/16", via="10.1.0.10"),
    Route("10.20.0.0/16", via="10.3.0.10"),
    Route("10.66.0.0/24", "unreachable"),
    Route("10.67.0.0/24", "blackhole"),
    Route("10.68.0.0/24", "prohibit"),
    Route("10.20.66.0/24", "unreachable"),
    Route("2001:db8:10::/48", via="2001:db8:1::10"),
    Route("2001:db8:20::/48", via="2001:db8:3::10"),
    Route("2001:db8:66::/48", "unreachable"),
    Route("2001:db8:67::/48", "blackhole"),
    Route("2001:db8:68::/48", "prohibit"),
)


# Ports that rules and packets share, so that they meet.
SERVICES = (22, 53, 80, 123, 443, 5353, 8080, 8443)
CLIENTS = (500, 1000, 4000, 4001, 33333)
# Destinations beyond neighbours: the rest of the world, networks behind hosts, networks that routes refuse.
WORLD = ("198.51.100.7", "198.51.100.8", "2001:db8:5::7", "2001:db8:5::8")
BEHIND = ("10.20.1.1", "10.10.3.3", "2001:db8:20::1", "2001:db8:10::1")
REFUSED = (
    "10.66.0.9",
    "10.67.0.9",
    "10.68.0.9",
    "10.20.66.9",
    "2001:db8:66::9",
    "2001:db8:67::9",
    "2001:db8:68::9",
)
OWN = tuple(address.split("/")[0] for port in PORTS for address in port.addresses)


def of_family(version: int, addresses: tuple[str, ...]) -> list[str]:
    return [address for address in addresses if (":" in address) == (version == 6)]


@dataclass
class Case:
    """All that both routers are told. `seed` makes it and its packets again."""

    seed: int
    rules: str
    routes: tuple[Route, ...] = DEFAULT_ROUTES + ROUTES
    # As in net.ipv4.conf.*.rp_filter: 0 off, 1 strict, 2 loose. Linux has it for IPv4 only.
    reverse_path: int = 0
    tcp_loose: bool = True
    tcp_liberal: bool = False
    # Does a wrong checksum make a packet INVALID?
    checksum: bool = True
    # How many scripts of packets, and whether these are about fragments.
    flows: int = 8
    fragments: bool = False
    # How often some seconds pass, and for how many seconds connections stay without packets, by kind.
    pauses: int = 0
    timeouts: tuple[tuple[str, int], ...] = ()


class Output(NamedTuple):
    """A frame that came out of a port, or a packet (from its IP header on) for the router itself."""

    port: str
    data: bytes


class Connection(NamedTuple):
    """An entry of the connection table. Addresses are packed; for ICMP the ports are identifier and zero."""

    protocol: int
    source: bytes
    destination: bytes
    ports: tuple[int, int]
    reply_source: bytes
    reply_destination: bytes
    reply_ports: tuple[int, int]
    # TCP's, as conntrack names them; empty for others.
    state: str
    replied: bool
    assured: bool
    mark: int
    # Seconds until it ends.
    timeout: int


class Router(Protocol):
    """A router under test."""

    name: str

    def configure(self, case: Case) -> None:
        """Begins a case: no connections, counters at zero."""

    def send(self, port: str, frames: list[bytes], now: int) -> list[Output]:
        """Takes frames that arrive at a port and gives all that comes out in answer; `now` in nanoseconds."""

    def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes that rules counted, by the rule's comment."""

    def connections(self) -> list[Connection]:
        """The connection table."""
