"""A node in memory: ports, routes, rules, connection tracking and translation; packets go in and come out.

edge = Stack("edge")
edge.add_port("lan", mac="02:00:00:00:00:01", addresses=["192.0.2.1/24"])
edge.add_port("wan", mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
edge.add_route("0.0.0.0/0", via="203.0.113.254")
edge.add_neighbour("wan", "203.0.113.254", "02:00:00:00:00:99")
edge.masquerade("wan", family=4)
result = edge.push("lan", frames, now=0)
result["wan"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

from netfast._netfast import Batch, NewFlow, Node, PushResult
from netfast.closing import Closing
from netfast.errors import ConfigError
from netfast.node.arguments import mistyped, text
from netfast.node.configuration import check, read_text
from netfast.node.views import (
    Connections,
    Counters,
    Finding,
    FlowVerdict,
    RunResult,
    Trace,
    Unsupported,
    table_of,
)
from netfast.serve import Serving

__all__ = ["Batch", "NewFlow", "PushResult", "Stack", "check"]

_Hook = Callable[[list[NewFlow]], Iterable[FlowVerdict | str | None] | None]


class Stack(Serving, Closing):
    """One node: what Linux calls a network namespace, in memory.

    Ports have link addresses and addresses; routes, policies, neighbours and rules say what becomes of
    packets. Packets go in with `push` (or from captures with `run`) and come out by port. The first packet of
    a flow walks all tables, every later one, both ways, takes one lookup; a change of a table makes the flows
    that depend on it walk once more.

    It reads no clock but while it serves live ports: times are arguments, in nanoseconds on any clock of yours. With
    the same `seed` and the same packets the results are the same. Every packet is accounted for (`counters`): in +
    created = out + local + held + absorbed + dropped. Nothing grows without limit; each setting that begins with
    `max_` is one, and at it the oldest or the newest goes, which is counted.

    - `seed`: of hashes and choices; random unless given.
    - `tracking`: connections are tracked `"on"`, `"off"`, or `"auto"`: while a rule asks for them.
    - `max_connections`: at the limit one that was never answered goes; without such the new one is refused.
    - `tcp_loose`: connections may begin in their middle; `tcp_liberal`: segments outside the window pass.
    - `timeouts`: seconds that connections stay without packets, by name: `{"tcp_established": 3600, "udp": 10}`.
    - `verify_checksums`: packets with a wrong one belong to no connection.
    - `icmp_rate`, `icmp_burst`: the errors that it sends, a second and at once. `answer_echo`: it answers pings.
    - `max_neighbours`, `max_pending_neighbours`: those that are known, and those that are asked for, at ports that
      resolve. `neighbour_timeout`, `neighbour_retransmit`, `neighbour_reachable`, `neighbour_delay`,
      `neighbour_stale_timeout`: seconds. `neighbour_rate`, `neighbour_burst`: solicitations that are answered.
    - `endpoint_independent`: translations keep one outer endpoint for each inner one (RFC 4787);
      `endpoint_independent_filtering`: and let everyone in there.
    - `reassembly`: datagrams are put together and leave as they came (`"full"`), fragments follow their first
      (`"virtual"`) or go on unknown (`"off"`); `"auto"` is full while connections are tracked, as in Linux.
      What is for the node itself is always whole. `overlap` and `overlap_ipv6` are the policies of `Reassembler`.
    - `hook_policy`: what becomes of new flows when the hook for them fails, `"accept"` or `"drop"`.
    - `verify`: take both ways for each packet, the cache's and that of all tables, and note every `differences()`.

    Raises `ConfigError` for what cannot be, with `option`; `ResourceError` where a limit is reached. After either the
    node is as it was.

    Threads: each method is atomic, a lock guards the node; `run` and `serve` let other threads work meanwhile.
    `fork`: the child has its own copy, in which live ports are not served; do not fork while another thread is in a
    method. `pickle`: refused; pickle `to_toml()`.
    """

    __slots__ = ("unsupported",)

    _not_pickled = "a Stack cannot be pickled; pickle its to_toml() and read that with from_toml"

    unsupported: tuple[Unsupported, ...]
    """What `from_kernel` found that a stack does not have."""

    def __init__(
        self,
        name: str = "stack",
        *,
        seed: int | None = None,
        tracking: str | None = None,
        max_connections: int | None = None,
        tcp_loose: bool | None = None,
        tcp_liberal: bool | None = None,
        tcp_ignore_invalid_reset: bool | None = None,
        tcp_max_retransmissions: int | None = None,
        timeouts: Mapping[str, float] | None = None,
        verify_checksums: bool | None = None,
        icmp_rate: int | None = None,
        icmp_burst: int | None = None,
        answer_echo: bool | None = None,
        hop_limit: int | None = None,
        endpoint_independent: bool | None = None,
        endpoint_independent_filtering: bool | None = None,
        hook_policy: str | None = None,
        reassembly: str | None = None,
        overlap: str | None = None,
        overlap_ipv6: str | None = None,
        reassembly_timeout: float | None = None,
        reassembly_timeout_ipv6: float | None = None,
        fragment_timeout: float | None = None,
        max_programs: int | None = None,
        max_events: int | None = None,
        max_tapped: int | None = None,
        max_datagrams: int | None = None,
        max_datagram_memory: int | None = None,
        max_datagram_fragments: int | None = None,
        max_held_fragments: int | None = None,
        max_ports: int | None = None,
        max_routes: int | None = None,
        max_tables: int | None = None,
        max_neighbours: int | None = None,
        max_pending_neighbours: int | None = None,
        neighbour_timeout: float | None = None,
        neighbour_retransmit: float | None = None,
        neighbour_reachable: float | None = None,
        neighbour_delay: float | None = None,
        neighbour_stale_timeout: float | None = None,
        neighbour_rate: int | None = None,
        neighbour_burst: int | None = None,
        verify: bool = False,
    ) -> None:
        settings = {
            "seed": seed,
            "tracking": tracking,
            "max_connections": max_connections,
            "tcp_loose": tcp_loose,
            "tcp_liberal": tcp_liberal,
            "tcp_ignore_invalid_reset": tcp_ignore_invalid_reset,
            "tcp_max_retransmissions": tcp_max_retransmissions,
            "verify_checksums": verify_checksums,
            "icmp_rate": icmp_rate,
            "icmp_burst": icmp_burst,
            "answer_echo": answer_echo,
            "hop_limit": hop_limit,
            "endpoint_independent": endpoint_independent,
            "endpoint_independent_filtering": endpoint_independent_filtering,
            "hook_policy": hook_policy,
            "reassembly": reassembly,
            "overlap": overlap,
            "overlap_ipv6": overlap_ipv6,
            "reassembly_timeout": reassembly_timeout,
            "reassembly_timeout_ipv6": reassembly_timeout_ipv6,
            "fragment_timeout": fragment_timeout,
            "max_programs": max_programs,
            "max_events": max_events,
            "max_tapped": max_tapped,
            "max_datagrams": max_datagrams,
            "max_datagram_memory": max_datagram_memory,
            "max_datagram_fragments": max_datagram_fragments,
            "max_held_fragments": max_held_fragments,
            "max_ports": max_ports,
            "max_routes": max_routes,
            "max_tables": max_tables,
            "max_neighbours": max_neighbours,
            "max_pending_neighbours": max_pending_neighbours,
            "neighbour_timeout": neighbour_timeout,
            "neighbour_retransmit": neighbour_retransmit,
            "neighbour_reachable": neighbour_reachable,
            "neighbour_delay": neighbour_delay,
            "neighbour_stale_timeout": neighbour_stale_timeout,
            "neighbour_rate": neighbour_rate,
            "neighbour_burst": neighbour_burst,
        }
        if timeouts is not None and not isinstance(timeouts, Mapping):
            raise mistyped("timeouts", 'seconds by name, such as {"udp": 10}', timeouts)
        self._node = Node(text("name", name), settings, dict(timeouts or {}))
        self._node.verify = verify
        self.unsupported = ()

    @classmethod
    def _of(cls, node: Node) -> Stack:
        stack = cls.__new__(cls)
        stack._node = node
        stack.unsupported = ()
        return stack

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], *, verify: bool = False) -> Stack:
        """A stack from a file in TOML; `to_toml` writes one.

            rules_file = "edge.nft"         # or rules, a text of several lines

            [stack]                         # name, and the settings that are arguments of Stack
            name = "edge"

            [timeouts]
            udp = 10

            [[port]]                        # the arguments of add_port
            name = "lan"
            mac = "02:00:00:00:00:01"
            addresses = ["192.0.2.1/24", "2001:db8:1::1/64"]
            device = { kind = "tun", name = "nf0" }     # a live port: what serve opens, by the names of the classes

            [[route]]                       # of add_route; each of via is an address or a table of
            prefix = "::/0"                 # via, port, weight, on_link, mtu
            via = [{ via = "2001:db8:1::8", weight = 3 }, "2001:db8:1::9"]

            [[neighbour]]                   # of add_neighbour
            port = "lan"
            ip = "192.0.2.7"
            mac = "02:00:00:00:00:50"

            [[policy]]                      # of add_policy
            priority = 100
            source = "192.0.2.0/25"
            table = 100

        `rules_file` is looked for beside the file. Order does not matter: a route may lead to the gateway of one
        further below. A key that is not known is an error, and so is what is there twice or contradicts itself.

        Raises `ConfigError` with `file`, `line` and `column`, and further mistakes in `others`; `OSError`.
        """
        name = os.fspath(path)
        try:
            node = Node.from_toml(name, read_text(name))
        except ConfigError as error:
            if error.others:
                error.add_note(
                    f"{len(error.others)} more mistakes are in others; netfast check shows them all"
                )
            raise
        stack = cls._of(node)
        stack._node.verify = verify
        return stack

    @classmethod
    def from_kernel(
        cls,
        netns: str | None = None,
        *,
        name: str | None = None,
        addresses: Any = None,
        routes: Any = None,
        rules: Any = None,
        neighbours: Any = None,
        ruleset: Any = None,
    ) -> Stack:
        """A stack as this Linux system, or one of its network namespaces, is configured.

        Runs `ip -j` (of iproute2) for addresses, routes, rules and neighbours, and `nft -j list ruleset`; this is the
        only place where netfast runs other programs. With documents given (what `ip -j -d address show`, `ip -N -j
        route show table all`, `ip -N -j rule show`, `ip -j neighbour show` and `nft -j list ruleset` print, as text
        or parsed) nothing is run; `-N` is needed where routing tables have names of their own.

        What a stack does not have is left out and listed in `unsupported`. Settings of the system (sysctl) are not
        read.
        """
        # It runs programs, and is needed nowhere else.
        from netfast.node import kernel

        found = kernel.read(
            netns, addresses=addresses, routes=routes, rules=rules, neighbours=neighbours, ruleset=ruleset
        )
        stack = cls(name or netns or "kernel")
        kernel.fill(stack, found)
        stack.unsupported = tuple(found.unsupported)
        return stack

    def to_toml(self) -> str:
        """The node as a text that `from_toml` reads from a file, with all rules; connections and counters are no part
        of it, and the seed is where one was given."""
        return self._node.to_toml()

    @property
    def name(self) -> str:
        """Its name."""
        return self._node.name

    # Packets.

    def push(self, port: str, packets: Any, now: int | None = None) -> PushResult:
        """Packets come in at a port; the result holds what comes out, by port.

        `packets` is a `Batch` (the quickest), a `PacketBatch` of a capture, or a list of Ethernet frames: bytes,
        `Packet`, headers, each perhaps with its time as `(time_ns, packet)`. An `OffloadPacket` and an `OffloadBatch`
        keep their marks on the way in: super-packets, and checksums that are yet to be filled in. `OffloadBatch` of
        what left by a port shows the marks there. `now` is the time in ns; without it the latest time that the packets
        have, else that of the call before. A time that goes back counts as the latest.

        A frame never makes it fail: what is no packet is dropped and counted. `ConfigError` for a port that is not
        there.
        """
        return self._node.push(port, packets, now)

    def send(self, packet: Any, now: int | None = None) -> PushResult:
        """The node itself sends an IP packet (bytes or headers from the IP header on), through the output chains."""
        return self._node.send(packet, now)

    def poll(self, now: int) -> PushResult:
        """Lets time pass: what waited too long ends; call it at the latest at `next_timeout()`."""
        return self._node.poll(now)

    def next_timeout(self) -> int | None:
        """When something that waits ends, in ns; `None` while nothing does. A method here: of `Reassembler` and
        `Collator` it is a property.

        Connections that time out are not among it. Each `poll` looks at 4,096 of them, round and round, and each push
        at some; `ended_connection` has the time of the call that found it. Who waits for it polls once a second, say.
        """
        return self._node.next_timeout()

    def run(
        self,
        inputs: Mapping[str, str | os.PathLike[str]],
        *,
        out: str | os.PathLike[str] | None = None,
        verify: bool | None = None,
        lenient: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> RunResult:
        """Runs captures through the node, each in at its port, all together in the order of their times.

        With `out`, a folder that is made if need be, there is a capture for each port with what left by it,
        `PORT.pcapng`, and `local.pcapng` with what was for the node itself. Time is that of the packets; after
        the last of them, what still waits is left waiting. `verify` is that of the stack unless given. `progress` is
        called with packets and bytes read so far.

        Raises what `netfast.packets` raises for a capture; until then the packets before it have passed.
        """
        if not isinstance(inputs, Mapping):
            raise mistyped("inputs", 'captures by port, such as {"lan": "clients.pcapng"}', inputs)
        named = [(text("inputs", port), os.fspath(path)) for port, path in inputs.items()]
        if not named:
            raise ConfigError("inputs is empty; give a capture for a port", option="inputs")
        before = self._node.verify
        if verify is not None:
            self._node.verify = verify
        try:
            found = self._node.run(
                named, None if out is None else os.fspath(out), lenient=lenient, progress=progress
            )
        finally:
            self._node.verify = before
        return RunResult(**found)

    @overload
    def on_new_flow(self, hook: _Hook) -> _Hook: ...
    @overload
    def on_new_flow(self, hook: None) -> None: ...
    def on_new_flow(self, hook: _Hook | None) -> _Hook | None:
        """Asks a function about new flows, in batches; to be used as a decorator.

        It gets a list of `NewFlow` and returns as many verdicts: `None` or `"accept"`, `"drop"`, or a
        `FlowVerdict` with a mark or addresses of the flow's family to translate to (which needs connections:
        `tracking="on"`).
        `None` alone accepts all. When it raises or returns something else, the setting `hook_policy` says
        what becomes of the packets; that is counted, an event and a `RuntimeWarning` (whose message's
        `__cause__` is what was raised, with its traceback) tell of it, and no
        packet is lost. `KeyboardInterrupt` and `SystemExit` are raised when all packets of the call went in, by the
        policy; what came out of them is part of the next result of `push`, `send` or `poll`.
        It runs without the stack's lock, and may change the stack, but not `push` packets into it.
        `on_new_flow(None)` takes it away.
        """
        if hook is not None and not callable(hook):
            raise mistyped("hook", "a function of a list of NewFlow, or None", hook)
        self._node.set_hook(hook)
        return hook

    def trace(self, packet: Any, *, port: str) -> Trace:
        """What would become of a packet that came in at a port now, table by table; nothing changes, no hook
        is asked.

        Now is the latest time that the node was told; `poll` tells it another.
        """
        return Trace.of(self._node.trace(packet, port))

    # What there is.

    def connections(self) -> Connections:
        """The connections as they stand, one by one, as rows or columns, or in Arrow."""
        return Connections(self._node.connections())

    def delete_connection(self, id: int) -> None:
        """Ends a connection."""
        self._node.delete_connection(id)

    def flush_connections(self) -> int:
        """Ends all connections and says how many."""
        return self._node.flush_connections()

    @property
    def counters(self) -> Counters:
        """What became of all packets so far, by port and reason, and what the cache did."""
        return Counters(**self._node.counters())

    def differences(self) -> list[str]:
        """Takes the differences that `verify` found between the cache and the tables, each with its packet."""
        return self._node.differences()

    def findings(self) -> list[Finding]:
        """What is odd, though not wrong: rules that are never reached, routes that are
        never used, ports that rules name and that are not there, and the like."""
        return [Finding(**finding) for finding in self._node.findings()]

    def tap(self, port: str, path: str | os.PathLike[str] | None) -> None:
        """Captures what comes in and goes out at a port into a pcapng file; a packet that is dropped says why in its
        comment. `None` (or `close`) ends it and completes the file, which may be empty until then. A file has one
        writer: `ConfigError` for that of another tap."""
        self._node.tap(port, None if path is None else os.fspath(path))

    @property
    def verify(self) -> bool:
        """Whether each packet takes both ways."""
        return self._node.verify

    @verify.setter
    def verify(self, verify: bool) -> None:
        self._node.verify = verify

    def close(self) -> None:
        """Completes the files of taps and closes the devices of ports. The stack can be used on."""
        self._node.close()
        self._node.close_ports()

    def __repr__(self) -> str:
        ports = ", ".join(port["name"] for port in self.ports())
        return f"<netfast.Stack {self.name!r}: {ports or 'no ports'}>"

    def _repr_html_(self) -> str:
        counts = self.counters.ports
        rows = [
            (
                port["name"],
                port["mac"],
                " ".join(port["addresses"]),
                *(counts[port["name"]][key] for key in _SHOWN),
            )
            for port in self.ports()
        ]
        return table_of(("port", "mac", "addresses", "in", "out", "dropped"), rows)


_SHOWN = ("packets_in", "packets_out", "dropped")
