"""What each kind of host has seen where fragments overlap: a way past firewalls that resolve them otherwise.

    python examples/overlaps.py capture.pcap

Without a capture it makes one: a request that is harmless to some hosts and not to others.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import netfast as nf

POLICIES = ("drop", "linux", "bsd", "windows", "first", "last")
Key = tuple[str, str, int]


def attack(path: Path) -> None:
    """A UDP packet in fragments of which two claim the same bytes, and an honest one."""
    header = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", protocol=17)

    def fragment(identification: int, data: bytes, offset: int, more: bool) -> nf.HeaderStack:
        fields = {"identification": identification, "fragment_offset": offset, "more_fragments": int(more)}
        return nf.Ethernet() / header.replace(**fields) / data

    start = bytes(nf.UDP(src_port=4000, dst_port=514, length=48))
    pieces = [
        fragment(1, start + b"user=joe;shell=n", 0, True),
        fragment(1, b"one;home=/tmp/x;", 24, True),
        fragment(1, b";shell=/bin/sh;home=/;x;until=12", 16, False),
        fragment(2, start + b"user=joe;shell=n", 0, True),
        fragment(2, b"one;home=/tmp/x;until=12", 24, False),
    ]
    nf.write(path, [(number * 1_000_000, piece) for number, piece in enumerate(pieces, 1)])


def seen(path: Path, policy: str) -> dict[Key, bytes]:
    """Datagrams as a host with this policy has them."""
    whole = {}
    reassembler = nf.Reassembler(policy=policy, policy_ipv6=policy, verify_checksums=False)
    with nf.Capture(path) as capture:
        for batch in capture:
            for datagram in reassembler.push(batch):
                packet = datagram.packet
                if datagram.kind == "reassembled":
                    key = (packet.src, packet.dst, datagram.identification or 0)
                    whole[key] = bytes(packet.payload)
    return whole


def main(path: Path) -> None:
    """Datagrams that not every policy sees alike, and who sees what."""
    views: dict[Key, dict[bytes | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    found = {policy: seen(path, policy) for policy in POLICIES}
    keys = {key for each in found.values() for key in each}
    for key in sorted(keys):
        for policy in POLICIES:
            views[key][found[policy].get(key)].append(policy)
    for (src, dst, identification), view in views.items():
        if len(view) > 1:
            print(f"{src} > {dst}, identification {identification}:")
            for data, policies in view.items():
                print(f"  {', '.join(policies)}: {'nothing' if data is None else data}")
    print(
        f"{sum(len(view) > 1 for view in views.values())} of {len(views)} datagrams are not the same to all"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            attack(Path(folder) / "attack.pcap")
            main(Path(folder) / "attack.pcap")
