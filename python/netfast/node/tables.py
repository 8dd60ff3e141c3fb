"""What a `Stack` is made of: ports and their addresses, routes, policies, neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from netfast._netfast import Features, Node, PushResult
from netfast.node.arguments import Gateway, gateways, maybe_text, maybe_whole, mistyped, text, whole
from netfast.node.ports import StackPort
from netfast.ports import Device
from netfast.rules import Address

__all__ = ["Tables"]


class Tables:
    """A node with its ports, routes, policies and neighbours."""

    __slots__ = ("_node",)

    _node: Node

    def add_port(
        self,
        name: str,
        *,
        mac: str | None = None,
        addresses: Iterable[str] = (),
        mtu: int | None = None,
        parent: str | None = None,
        vlan: int | None = None,
        rp_filter: str = "off",
        directed_broadcast: bool = False,
        features: Features | str | Iterable[str] | None = None,
        gro_flush_timeout: float = 0.0,
        resolve: bool | None = None,
        point_to_point: bool | None = None,
        device: Device | None = None,
        reopen: bool = True,
    ) -> None:
        """Adds an Ethernet port, or with `parent` and `vlan` a VLAN sub-interface of one.

        `addresses` stand with the prefix lengths of their networks (`"192.0.2.1/24"`), to which it is
        connected. `mtu` is the longest IP packet (1500; that of its parent). A sub-interface has the link
        address of its parent unless it has its own; its packets come in and go out, tagged, at its parent.
        `rp_filter` asks for the way back to a packet's source: `"strict"`, `"loose"` or `"off"`. `features`
        are its offloads (see `port`); `gro_flush_timeout` is how many seconds packets may wait for others to be
        merged with, 0 until the push ends.

        With `resolve` the port asks for neighbours and answers for the node's addresses (ARP, RFC 4861); a
        sub-interface does what its parent does, others do not: their neighbours are those of `add_neighbour`.
        One that is `point_to_point` has one other end, no neighbours and no link address.

        With a `device` the port is live: `serve` moves its packets, and it resolves unless told otherwise.
        What is not given of `mac`, `mtu`, `features` and `point_to_point` is the device's (a link address is
        made up where it has none), and the MTU follows that of the device. The port keeps the device until that
        is closed or `remove_port` closes it; when it goes by itself it is opened again with `reopen`. Ports may
        come and go while the stack is served.
        """
        if device is not None and not isinstance(device, Device):
            raise mistyped("device", 'a device such as netfast.PacketSocket("eth0")', device)
        found = None if device is None else self._node.settings_of(device._native)
        if found is not None:
            mac = found["mac"] if mac is None else mac
            features = found["features"] if features is None else features
            resolve = True if resolve is None else resolve
            point_to_point = found["point_to_point"] if point_to_point is None else point_to_point
        if isinstance(addresses, str):
            addresses = [addresses]
        if not isinstance(addresses, Iterable) or isinstance(addresses, bytes):
            raise mistyped("addresses", 'a list such as ["192.0.2.1/24"]', addresses)
        self._node.add_port(
            text("name", name),
            mac=maybe_text("mac", mac),
            addresses=list(map(str, addresses)),
            mtu=maybe_whole("mtu", mtu if mtu is not None or found is None else found["mtu"]),
            parent=maybe_text("parent", parent),
            vlan=maybe_whole("vlan", vlan),
            rp_filter=_rp_filter(rp_filter),
            directed_broadcast=directed_broadcast,
            features=() if features is None else features,
            gro_flush_timeout=gro_flush_timeout,
            resolve=resolve,
            point_to_point=bool(point_to_point),
        )
        if device is None:
            return
        try:
            self._node.attach(name, device._native, reopen=reopen, follows_mtu=mtu is None)
        except BaseException:
            self._node.remove_port(name)
            raise

    def port(self, name: str) -> StackPort:
        """A port: what it is doing by itself, to read and change, and what went through it."""
        self._node.features(text("name", name))
        return StackPort(self._node, name)

    def remove_port(self, name: str) -> None:
        """Removes a port with its addresses and neighbours; routes through it stay, unresolved. Its device is
        closed."""
        self._node.remove_port(name)

    def add_address(self, port: str, address: str) -> None:
        """Adds an address with its prefix length to a port, and the route to its network."""
        self._node.add_address(port, str(address))

    def remove_address(self, port: str, address: str) -> None:
        """Removes an address and the route to its network."""
        self._node.remove_address(port, str(address))

    def add_route(
        self,
        prefix: Address,
        via: str | Sequence[Gateway] | None = None,
        *,
        port: str | None = None,
        kind: str = "unicast",
        metric: int = 0,
        table: int | str = "main",
        source: str | None = None,
        on_link: bool = False,
        mtu: int | None = None,
        replace: bool = False,
    ) -> None:
        """Adds a route: to a gateway, to neighbours at a `port`, or to nowhere.

        `via` is one gateway, or several among which flows are spread: addresses, `(address, weight)` or
        `(address, weight, port)`. Which port a gateway is at follows from the routes unless `port` says it;
        with `on_link` it is a neighbour there though no route says so. `kind` is `"unicast"`, or
        `"unreachable"`, `"blackhole"`, `"prohibit"` or `"throw"` without gateway. `source` is the address of
        the node's own packets. `replace` takes the place of a route with the same prefix, table and metric.
        """
        self._node.add_route(
            str(prefix),
            gateways(via),
            port=maybe_text("port", port),
            kind=text("kind", kind),
            metric=whole("metric", metric),
            table=str(table),
            source=None if source is None else str(source),
            on_link=on_link,
            mtu=maybe_whole("mtu", mtu),
            replace=replace,
        )

    def remove_route(self, prefix: Address, *, metric: int = 0, table: int | str = "main") -> None:
        """Removes a route."""
        self._node.remove_route(str(prefix), metric=whole("metric", metric), table=str(table))

    def add_neighbour(self, port: str, ip: str, mac: str, *, now: int | None = None) -> PushResult:
        """Says a neighbour's link address, in place of one said before; packets that waited for it come out."""
        return self._node.add_neighbour(text("port", port), str(ip), text("mac", mac), now)

    def remove_neighbour(self, port: str, ip: str) -> None:
        """Forgets a neighbour."""
        self._node.remove_neighbour(port, str(ip))

    def flush_neighbours(self, port: str) -> int:
        """Forgets the neighbours of a port that it found out itself, as when its link was gone; how many were known.

        Those of `add_neighbour` stay; packets that waited are dropped.
        """
        return self._node.flush_neighbours(text("port", port))

    def add_policy(
        self,
        priority: int,
        *,
        table: int | str | None = None,
        kind: str | None = None,
        source: Address | None = None,
        destination: Address | None = None,
        port: str | None = None,
        mark: int | None = None,
        mask: int = 0xFFFF_FFFF,
        dscp: int | None = None,
        family: int | None = None,
        invert: bool = False,
        suppress_length: int | None = None,
    ) -> None:
        """Adds a policy rule, as `ip rule` has them: for which packets which `table` is looked into.

        In place of a table, `kind` ends the search: `"unreachable"`, `"blackhole"` or `"prohibit"`. `port` is
        where packets came in. `family` is that of the prefixes; without these, and unless given, the rule is
        for both families.
        """
        self._node.add_policy(
            whole("priority", priority),
            table=None if table is None else str(table),
            kind=maybe_text("kind", kind),
            source=None if source is None else str(source),
            destination=None if destination is None else str(destination),
            port=maybe_text("port", port),
            mark=maybe_whole("mark", mark),
            mask=whole("mask", mask),
            dscp=maybe_whole("dscp", dscp),
            family=maybe_whole("family", family),
            invert=invert,
            suppress_length=maybe_whole("suppress_length", suppress_length),
        )

    def remove_policy(self, priority: int, *, family: int | None = None) -> int:
        """Removes the policies of a priority and says how many."""
        return self._node.remove_policy(priority, family)

    def ports(self) -> list[dict[str, Any]]:
        """The ports, with the arguments of `add_port`."""
        return self._node.ports()

    def routes(self) -> list[dict[str, Any]]:
        """The routes, with the arguments of `add_route`, and `unresolved` where none of the next hops can be used."""
        return self._node.routes()

    def policies(self) -> list[dict[str, Any]]:
        """The policy rules, with the arguments of `add_policy`."""
        return self._node.policies()

    def neighbours(self) -> list[dict[str, Any]]:
        """The neighbours: `port`, `ip`, `mac` (None while it is not known), `state`, `router`, and more.

        `state` is `"permanent"` for those of `add_neighbour`, else as `ip neighbour` has it: `"incomplete"`,
        `"reachable"`, `"stale"`, `"delay"`, `"probe"` or `"failed"`. `age` is how many seconds it is in that
        state (None for `"permanent"`, and for what was entered before the node was told a time), `confirmed` how
        long ago it was known to be there (None for never), `probes` how many solicitations it has not answered,
        `waiting` how many packets wait for it.
        """
        return self._node.neighbours()


def _rp_filter(given: str) -> str:
    if not isinstance(given, str):
        raise mistyped("rp_filter", '"strict", "loose" or "off"', given)
    return given
