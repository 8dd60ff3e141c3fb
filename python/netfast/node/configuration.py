"""Configurations as texts: what they say, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

from netfast._netfast import Node
from netfast.errors import ConfigError
from netfast.node.views import Finding

__all__ = ["check", "is_ruleset", "read_text"]

# Commands of nft(8), one of which stands first in its files.
_COMMANDS = frozenset(
    "add create define delete destroy flush include insert list redefine rename replace reset table undefine".split()
)


def check(path: str | os.PathLike[str]) -> list[Finding]:
    """What is wrong or odd in a configuration: errors and warnings, with line and column, in its order.

    A file that ends in `.nft`, or begins as one, is rules alone: nothing is known of the ports that they name.

    Raises `OSError` when the file cannot be read.
    """
    name = os.fspath(path)
    try:
        text = read_text(name)
        if is_ruleset(name, text):
            node = Node(name, {}, {})
            node.load_rules(text, name)
        else:
            node = Node.from_toml(name, text)
    except ConfigError as error:
        found = [
            Finding("error", each.file, each.line, each.column, str(each)) for each in (error, *error.others)
        ]
        return sorted(found, key=lambda each: (each.file or "", each.line or 0, each.column or 0))
    return [Finding(**finding) for finding in node.findings()]


def read_text(name: str) -> str:
    """A configuration's text."""
    try:
        return Path(name).read_bytes().decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode()) + 1
        text = f"{name}:{line}:{column}: byte {error.start} is no UTF-8; save the file as UTF-8"
        raise ConfigError(text, file=name, line=line, column=column) from None


def is_ruleset(name: str, text: str) -> bool:
    """Rules alone, in the language of nft, not a configuration in TOML."""
    lines = (line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    words = next(lines, [])
    begins = len(words) > 1 and words[0] in _COMMANDS and words[1][0] != "="
    return name.endswith(".nft") or begins
