"""The rules of a `Stack`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Unpack

from netfast.node.arguments import is_text, matching, mistyped, translation
from netfast.node.configuration import read_text
from netfast.node.tables import Tables
from netfast.rules import Match, Port, Rule, Table, port_text

__all__ = ["Ruled"]


class Ruled(Tables):
    """A node with rules."""

    __slots__ = ()

    def load_rules(self, rules: str | os.PathLike[str] | Table | Iterable[Table]) -> None:
        """Loads rules in place of those loaded before, all at once; an error leaves the old ones.

        `rules` is the name of a file, a text in the language of `nft` (anything with a brace or a line break),
        or tables of `netfast.rules`. Rules that were added by `accept`, `masquerade` and so on stay. Counters
        of rules that are the same go on.

        Raises `ConfigError` with `file`, `line` and `column`, further errors in `others`.
        """
        if isinstance(rules, os.PathLike) or (isinstance(rules, str) and not is_text(rules)):
            name = os.fspath(rules)
            self._node.load_rules(read_text(name), name)
        elif isinstance(rules, str):
            self._node.load_rules(rules, "<rules>")
        else:
            if not isinstance(rules, (Table, Iterable)) or isinstance(rules, (bytes, bytearray)):
                raise mistyped("rules", "a path, text or tables", rules)
            tables = [rules] if isinstance(rules, Table) else list(rules)
            for table in tables:
                if not isinstance(table, Table):
                    raise mistyped("rules", "a path, text or tables", table)
            self._node.load_rules("\n".join(map(str, tables)), "<tables>")

    def rules_text(self) -> str:
        """All rules as text that `nft -f` loads as the same rules, in the layout of `nft list ruleset`."""
        return self._node.rules_text()

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its `table`, `chain`, `text` and `line`, how many packets matched all of it (`hits`),
        and what its counter says (`packets`, `bytes`), if it has one."""
        return self._node.rules()

    def accept(self, *, hook: str = "forward", **match: Unpack[Match]) -> None:
        """Accepts packets (see `netfast.rules.Match`): a rule of the table `inet netfast`, after those there are.

        As in nft, what one chain accepts goes on to the other chains of the hook: beside a loaded chain whose
        policy is `drop` this lets nothing through, which `findings()` tells. Accept there, too, with a rule in
        that chain.
        """
        self._append("filter", hook, Rule(verdict="accept", **matching("accept", match, "hook")))

    def drop(self, *, hook: str = "forward", **match: Unpack[Match]) -> None:
        """Drops packets; see `accept`."""
        self._append("filter", hook, Rule(verdict="drop", **matching("drop", match, "hook")))

    def reject(self, *, hook: str = "forward", reply: str | None = None, **match: Unpack[Match]) -> None:
        """Drops packets and answers them, with `reply` as nft has it (`"tcp reset"`, `"icmpx type no-route"`)."""
        verdict = "reject" if reply is None else f"reject with {reply}"
        self._append("filter", hook, Rule(verdict=verdict, **matching("reject", match, "hook", "reply")))

    def masquerade(self, port: str, **match: Unpack[Match]) -> None:
        """Connections that leave by a port get its address as their source."""
        match["out_port"] = port
        rule = Rule(verdict="masquerade", **matching("masquerade", match, "port"))
        self._node.append_rule("nat", "postrouting", str(rule), None if port.endswith("*") else port)

    def snat(self, to: str, *, to_port: Port | None = None, **match: Unpack[Match]) -> None:
        """Connections get `to` (an address or a range) as their source, and a port of `to_port`."""
        self._append("nat", "postrouting", translation("snat", to, to_port, match))

    def dnat(self, to: str, *, to_port: Port | None = None, **match: Unpack[Match]) -> None:
        """Connections go to `to` (an address or a range), and there to `to_port`."""
        self._append("nat", "prerouting", translation("dnat", to, to_port, match))

    def redirect(self, to_port: Port | None = None, **match: Unpack[Match]) -> None:
        """Connections go to the node itself, there to `to_port`."""
        verdict = "redirect" if to_port is None else f"redirect to :{port_text('to_port', to_port)}"
        self._append("nat", "prerouting", Rule(verdict=verdict, **matching("redirect", match, "to_port")))

    def _append(self, kind: str, hook: str, rule: Rule) -> None:
        self._node.append_rule(kind, hook, str(rule))
