"""Write README.md: one line per capture."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from catalogue import CAPTURES

HEAD = """\
# Captures

Small captures made by real programs, for tests. Each has a line here: what it holds, which
programs made it and where (`host`: the kernel of the machine; `guest`: Debian's kernel in
QEMU; `tools`: from other captures in this folder, by the tools or the function named), its
link type, and its packets as `capinfos` counts them.

`make/make.py` makes all of them again, and this file; `make/make.py FILE...` some. It says at
its top what it needs. A new run differs in time stamps, ports, sequence numbers and keys.
Addresses are private or those set aside for documentation. Nothing was captured on a network
that others use.

`damaged/` holds broken captures that `make/damaged.py` makes from `dns-udp.pcap` (run it again
when that one is made again); its `manifest.json` says what is wrong with each, how many packets
stand before the damage and where it begins. `make/demo.py` makes those that the package brings
along.

| File | Link type | Packets | Holds | Made by |
|---|---|---|---|---|
"""


def facts(file: Path) -> tuple[str, int]:
    """The link types and the number of packets of a capture."""
    text = subprocess.run(
        ["capinfos", "-E", "-c", "-M", str(file)], check=True, capture_output=True, text=True
    ).stdout
    packets = re.search(r"Number of packets:\s*(\d+)", text)
    kind = re.search(r"File encapsulation:\s*(.*)", text)
    if packets is None or kind is None:
        raise ValueError(f"capinfos says nothing of {file.name}")
    return kind.group(1), int(packets.group(1))


def write_readme(folder: Path) -> None:
    lines = []
    for file, one in sorted(CAPTURES.items()):
        path = folder / file
        if path.exists():
            kind, packets = facts(path)
            made = f"{one.programs} ({one.place.split('-')[0]})"
            lines.append(f"| `{file}` | {kind} | {packets} | {one.holds} | {made} |\n")
    (folder / "README.md").write_text(HEAD + "".join(lines))
