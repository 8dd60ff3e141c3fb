"""Linux as the router: a namespace with ports, forwarding, nft and conntrack."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

from kernel.case import HOSTS, LOCAL, PORTS, Case, Connection, Output, Port, Route
from kernel.netns import Namespace, Netfilter

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
LOG_GROUP = 7
WAIT_SECONDS = 5.0
# What is for the router itself is handed out and dropped behind everything else, also behind the confirmation of its
# connection: Linux puts what has the same priority before what stands there already, so the first chain has to be
# there before anything asks for connection tracking. What Linux says by itself to its links is dropped before any
# chain of a case counts it. The second table has packets tracked whatever a case's rules ask for.
LAST = f"""table inet harness_last {{
    chain delivered {{
        type filter hook input priority 2147483647; policy drop;
        log group {LOG_GROUP} snaplen 65535 queue-threshold 1
    }}
    chain silent {{
        type filter hook output priority -2147483648; policy accept;
        icmpv6 type {{ mld-listener-report, mld2-listener-report, nd-neighbor-solicit, nd-redirect }} drop
    }}
}}
"""
TRACKED = """table inet harness_tracked {
    chain tracked { type filter hook prerouting priority 400; ct state new counter; }
}
"""
OURS = {"harness_last", "harness_tracked"}
# Seconds that connections stay, by kind, in Linux's own settings with their defaults.
TIMEOUTS = {
    "udp": ("udp_timeout", 30),
    "udp_stream": ("udp_timeout_stream", 120),
    "icmp": ("icmp_timeout", 30),
    "icmpv6": ("icmpv6_timeout", 30),
    "generic": ("generic_timeout", 600),
    "tcp_syn_sent": ("tcp_timeout_syn_sent", 120),
    "tcp_syn_received": ("tcp_timeout_syn_recv", 60),
    "tcp_established": ("tcp_timeout_established", 432_000),
    "tcp_close": ("tcp_timeout_close", 10),
    "tcp_time_wait": ("tcp_timeout_time_wait", 120),
}
QUIET_V4 = {"send_redirects": 0, "accept_redirects": 0, "log_martians": 0, "rp_filter": 0}
QUIET_V6 = {
    "accept_dad": 0,
    "dad_transmits": 0,
    "accept_ra": 0,
    "addr_gen_mode": 1,
    "router_solicitations": 0,
    "accept_redirects": 0,
    "forwarding": 1,
}


class Linux:
    """A router made of two namespaces: its own, and one with the other ends of its ports."""

    name = "linux"

    def __init__(self, router: Namespace, outside: Namespace) -> None:
        self.router, self.outside = router, outside
        self.routes: tuple[Route, ...] = ()
        # Are timeouts other than Linux has them by itself?
        self.short = False
        self.numbers = itertools.count(1)
        self.sockets: dict[str, socket.socket] = {}
        self.set_up_ports()
        self.set_up_sysctls()
        self.conntrack = Netfilter(router)
        self.delivered = Netfilter(router)
        self.delivered.listen(LOG_GROUP)
        router.run("nft", "-f", "-", text=LAST)
        router.run("nft", "-f", "-", text=TRACKED)
        self.open_sockets()

    def set_up_ports(self) -> None:
        """Makes the ports, their addresses and the neighbours behind them."""
        ip = []
        for port in PORTS:
            self.router.run(
                *f"ip link add {port.name} address {text(port.mac)} mtu {port.mtu} type veth".split(),
                *f"peer name {port.name} address {text(port.peer)} netns {self.outside.name}".split(),
            )
            for family in ("ipv4", "ipv6"):
                quiet = QUIET_V4 if family == "ipv4" else QUIET_V6
                for name, value in quiet.items():
                    self.router.sysctl_at(f"{family}/conf/{port.name}/{name}", value)
            self.outside.sysctl_at(f"ipv6/conf/{port.name}/disable_ipv6", 1)
            for namespace in (self.router, self.outside):
                off = "rx off tx off sg off tso off gso off gro off".split()
                namespace.run("ethtool", "-K", port.name, *off)
                namespace.run("ip", "link", "set", port.name, "up")
            self.outside.run("ip", "link", "set", port.name, "arp", "off")
            ip += commands_of(port)
        self.router.run("ip", "link", "set", "lo", "up")
        self.router.run("ip", "-batch", "-", text="\n".join(ip))

    def set_up_sysctls(self) -> None:
        """Forwarding on; nothing that is sent by a clock or held back by a rate."""
        for name, value in QUIET_V4.items():
            self.router.sysctl_at(f"ipv4/conf/all/{name}", value)
        self.router.sysctl(
            ipv4__ip_forward=1,
            ipv6__conf__all__forwarding=1,
            # Not icmp_ratelimit: zero would empty the bucket that errors of routes (ip_error) share with it.
            ipv4__icmp_ratemask=0,
            ipv4__icmp_msgs_per_sec=1_000_000,
            ipv4__icmp_msgs_burst=1_000_000,
            ipv6__icmp__ratelimit=0,
            # Flow labels of its own packets are zero, not random.
            ipv6__auto_flowlabels=0,
            netfilter__nf_conntrack_log_invalid=0,
            # Incomplete datagrams are not reported while a later case runs, and leave room for those of later cases.
            ipv4__ipfrag_time=86400,
            ipv4__ipfrag_high_thresh=1 << 26,
            ipv6__ip6frag_time=86400,
            ipv6__ip6frag_high_thresh=1 << 26,
            netfilter__nf_conntrack_frag6_timeout=86400,
            netfilter__nf_conntrack_frag6_high_thresh=1 << 26,
        )

    def open_sockets(self) -> None:
        """One socket for each port to send, one for all that comes out, in order."""
        with self.outside.entered():
            for port in PORTS:
                sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sender.bind((port.name, 0))
                self.sockets[port.name] = sender
            self.receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.receiver.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.receiver.settimeout(WAIT_SECONDS)

    def close(self) -> None:
        for each in (*self.sockets.values(), self.receiver, self.conntrack, self.delivered):
            each.close()

    def configure(self, case: Case) -> None:
        self.router.run("nft", "-f", "-", text="".join(self.deletions()) + case.rules)
        self.conntrack.forget_connections()
        if case.routes != self.routes:
            lines = [command("del", route) for route in self.routes]
            lines += [command("add", route) for route in case.routes]
            self.router.run("ip", "-batch", "-", text="\n".join(lines))
            self.routes = case.routes
        for port in PORTS:
            self.router.sysctl_at(f"ipv4/conf/{port.name}/rp_filter", case.reverse_path)
        self.router.sysctl(
            netfilter__nf_conntrack_tcp_loose=int(case.tcp_loose),
            netfilter__nf_conntrack_tcp_be_liberal=int(case.tcp_liberal),
            netfilter__nf_conntrack_checksum=int(case.checksum),
        )
        said = dict(case.timeouts)
        if said or self.short:
            times = {name: said.get(kind, default) for kind, (name, default) in TIMEOUTS.items()}
            self.router.sysctl(**{f"netfilter__nf_conntrack_{name}": value for name, value in times.items()})
        self.short = bool(said)
        self.answers()

    def deletions(self) -> Iterator[str]:
        """Commands that delete the last case's tables."""
        listed = json.loads(self.router.run("nft", "-j", "list", "tables").stdout)
        for entry in listed["nftables"]:
            table = entry.get("table")
            if table is not None and table["name"] not in OURS:
                yield f"delete table {table['family']} {table['name']}\n"

    def send(self, port: str, frames: list[bytes], now: int) -> list[Output]:
        del now  # Linux has a clock of its own.
        sender = self.sockets[port]
        for frame in frames:
            sender.send(frame)
        return self.answers()

    def answers(self) -> list[Output]:
        """What came out before the answer to a question that went in behind everything else.

        The question is ARP's, which no rule of the subset sees: it asks for the router's address, from a link address
        that is used once. One thread on one CPU sends all, so what was sent before has been through.
        """
        asker = b"\x02\xee" + struct.pack(">I", next(self.numbers))
        address = ip_address("10.1.0.1").packed
        question = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + asker + bytes(4) + bytes(6) + address
        self.sockets["lan"].send(b"\xff" * 6 + asker + b"\x08\x06" + question)
        out = []
        while True:
            frame, where = self.receiver.recvfrom(65536)
            kind = frame[12:14]
            if kind == b"\x08\x06":
                if frame[:6] == asker:
                    break
            elif kind in (b"\x08\x00", b"\x86\xdd"):
                out.append(Output(where[0], frame))
        out += [Output(LOCAL, packet) for packet in self.delivered.logged()]
        return out

    def counters(self) -> dict[str, tuple[int, int]]:
        listed = json.loads(self.router.run("nft", "-j", "list", "ruleset").stdout)
        out = {}
        for entry in listed["nftables"]:
            rule = entry.get("rule")
            if rule is None or "comment" not in rule:
                continue
            for statement in rule["expr"]:
                if isinstance(counter := statement.get("counter"), dict):
                    out[rule["comment"]] = (counter["packets"], counter["bytes"])
        return out

    def connections(self) -> list[Connection]:
        return [connection(line) for line in self.router.read("nf_conntrack").splitlines()]


def text(mac: bytes) -> str:
    return mac.hex(":")


def commands_of(port: Port) -> Iterator[str]:
    """Addresses and neighbours of a port, for `ip -batch`."""
    for address in port.addresses:
        yield f"address add {address} dev {port.name}" + (" nodad" if ":" in address else " broadcast +")
    for host in HOSTS[port.name]:
        yield f"neighbour add {host} lladdr {text(port.peer)} dev {port.name} nud permanent"


def command(verb: str, route: Route) -> str:
    """A line for `ip -batch`."""
    words = ["route", verb, route.kind, route.prefix]
    if route.via is not None:
        words.append(f"via {route.via}")
    if route.metric is not None:
        words.append(f"metric {route.metric}")
    return " ".join(words)


def connection(line: str) -> Connection:
    """A line of /proc/net/nf_conntrack."""
    words = line.split()
    protocol, timeout = int(words[3]), int(words[4])
    flags = {word.strip("[]") for word in words if word.startswith("[")}
    pairs = [word.split("=", 1) for word in words if "=" in word]
    # Behind the addresses as the originator has them stand those of replies; GRE has something of its own before both.
    begin, again = (at for at, (name, _) in enumerate(pairs) if name == "src")
    first, second = dict(pairs[begin:again]), dict(pairs[again:])
    state = words[5] if "=" not in words[5] and not words[5].startswith("[") else ""

    def ports(side: dict[str, str]) -> tuple[int, int]:
        if "id" in side:
            return int(side["id"]), 0
        return int(side.get("sport", 0)), int(side.get("dport", 0))

    return Connection(
        protocol,
        ip_address(first["src"]).packed,
        ip_address(first["dst"]).packed,
        ports(first),
        ip_address(second["src"]).packed,
        ip_address(second["dst"]).packed,
        ports(second),
        state,
        "UNREPLIED" not in flags,
        "ASSURED" in flags,
        int(second.get("mark", 0)),
        timeout,
    )


@contextlib.contextmanager
def linux(label: str = "") -> Iterator[Linux]:
    """A router that is gone behind the block. The calling thread stays on one CPU meanwhile."""
    affinity = os.sched_getaffinity(0)
    prefix = f"nfk-{os.getpid()}{label}"
    os.sched_setaffinity(0, {max(affinity)})
    try:
        with Namespace(f"{prefix}-router") as router, Namespace(f"{prefix}-outside") as outside:
            made = Linux(router, outside)
            try:
                yield made
            finally:
                made.close()
    finally:
        os.sched_setaffinity(0, affinity)
