#!/usr/bin/env python3
"""Make the captures that the package brings along, from those in this folder's parent: demo.py [FOLDER]

Each is one pcapng file. The captures follow one another at a second's distance, so that all
of it looks like one busy minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pcaps import enhanced, interface, read_pcap, section

CAPTURES = Path(__file__).resolve().parent.parent
PACKAGE = CAPTURES.parent.parent / "python" / "netfast" / "data"

DEMOS = {
    "web.pcapng": (
        "names, web pages, pings and errors over IPv4 and IPv6, and a transfer that loses packets",
        "web-session.pcap icmpv6-nd.pcap icmp-errors.pcap icmpv6-errors.pcap "
        "tcp-loss-ipv6.pcap udp-sizes.pcap",
    ),
    "tunnels.pcapng": (
        "both families in every kind of tunnel",
        "ipip-sit.pcap ip6tnl.pcap gre.pcap vxlan.pcap geneve.pcap fou-gue.pcap mpls.pcap srv6.pcap esp.pcap "
        "ah.pcap wireguard.pcap l2tp.pcap raw-tun.pcap",
    ),
}
SECOND = 10**9
START = 1_760_000_000 * SECOND


def demo(files: list[str], about: str) -> bytes:
    blocks = [section((1, about.encode()), (4, b"tests/data/make/demo.py"))]
    numbers: dict[int, int] = {}
    now = START
    for file in files:
        kind, records = read_pcap(CAPTURES / file)
        if kind not in numbers:
            numbers[kind] = len(numbers)
            name = {1: b"eth0", 101: b"tun0"}[kind]
            blocks.append(interface(kind, (2, name), (9, bytes([9])), snap=262144))
        first = records[0][0]
        blocks += [
            enhanced(numbers[kind], now + time - first, data, length) for time, length, data in records
        ]
        now += max(time for time, _, _ in records) - first + SECOND
    return b"".join(blocks)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["Captures for `netfast demo`, made by `tests/data/make/demo.py` from those in `tests/data`.\n\n"]
    for name, (about, files) in DEMOS.items():
        (folder / name).write_bytes(demo(files.split(), about))
        lines.append(f"- `{name}`: {about}\n")
    (folder / "README.md").write_text("".join(lines))


if __name__ == "__main__":
    main()
