"""A port of a stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netfast._netfast import Features, Node


class StackPort:
    """A port of a stack; `Stack.port` gives it.

    Threads, `fork`, `pickle`: as the stack's.
    """

    __slots__ = ("_name", "_node")

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def mac(self) -> str:
        """Its link address; zeros where it is point-to-point."""
        return str(self._row()["mac"])

    @property
    def mtu(self) -> int:
        """The longest IP packet, in bytes; where it follows a device, that of now."""
        return int(self._row()["mtu"])

    @property
    def addresses(self) -> list[str]:
        """Its addresses with the prefix lengths of their networks."""
        return list(self._row()["addresses"])

    def _row(self) -> dict[str, Any]:
        # It says so where the port is no longer there.
        self._node.features(self._name)
        return next(port for port in self._node.ports() if port["name"] == self._name)

    @property
    def features(self) -> Features:
        """What whoever sends and receives for the port does, by the names of `ethtool -k`.

        With segmentation of a kind, and what that needs, super-packets of the kind leave whole, else cut; with
        checksums of a kind these are left to be filled in. With `generic-receive-offload` packets that come in
        are merged, UDP only with `rx-udp-gro-forwarding`. What is missing is done by software. What is set and
        lacks what it needs is not on; `large-receive-offload`, which loses, is refused. A
        sub-interface has those of its parent.
        """
        return self._node.features(self._name)

    @features.setter
    def features(self, features: Features | str | Iterable[str]) -> None:
        self._node.set_features(self._name, features)

    @property
    def counters(self) -> dict[str, Any]:
        """What went through it: see `Counters.ports`."""
        found: dict[str, Any] = self._node.counters()["ports"][self._name]
        return found

    def __repr__(self) -> str:
        return f"<netfast.StackPort {self._name!r}: {self.features or 'no offloads'}>"
