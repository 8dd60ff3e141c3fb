"""`Reassembler(policy="linux")` against the host kernel: fragments in any order, twice, over each other, to a socket.

NETFAST_KERNEL_DATAGRAMS is the number of datagrams for each family.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

import netfast as nf
from kernel.netns import Namespace

DATAGRAMS = int(os.environ.get("NETFAST_KERNEL_DATAGRAMS", "1500"))
PORT = 4242
# Datagrams that are one fragment with others over it.
MTU = 9000
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
ADDRESSES = {4: ("192.0.2.2", "192.0.2.1"), 6: ("2001:db8::2", "2001:db8::1")}
MACS = ("02:00:00:00:00:02", "02:00:00:00:00:01")
LAST = b"all were sent"
# Identifications that no other test has.
NUMBERS = itertools.count(40_000)
Spans = tuple[tuple[int, int, bool], ...]


def why_not() -> str | None:
    """Why the comparison cannot be made here."""
    if shutil.which("ip") is None:
        return "ip of iproute2 is not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if release < (5, 1):
        return f"the policy is Linux's from 5.1 on; this is {os.uname().release}"
    name = f"nfr-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"no network namespaces here: {done.stderr.strip()}"
    try:
        done = subprocess.run(
            ["ip", "-n", name, "link", "add", "name", "one", "type", "veth", "peer", "name", "two"],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
    return None if done.returncode == 0 else f"no veth here: {done.stderr.strip()}"


MISSING = why_not()
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


class Host:
    """A namespace with a UDP socket for each family, and the other end of its link in another one."""

    def __init__(self, inside: Namespace, outside: Namespace) -> None:
        far = f"peer name far mtu {MTU} address {MACS[0]} netns {outside.name}"
        inside.run(*f"ip link add lan address {MACS[1]} mtu {MTU} type veth {far}".split())
        inside.sysctl_at("ipv6/conf/lan/accept_dad", 0)
        outside.sysctl_at("ipv6/conf/far/disable_ipv6", 1)
        # What is never whole stays until the end; whoever waits is not in the way of others.
        inside.sysctl(ipv4__ipfrag_high_thresh=1 << 28, ipv6__ip6frag_high_thresh=1 << 28)
        inside.run(*"ip address add 192.0.2.1/24 dev lan".split())
        inside.run(*"ip address add 2001:db8::1/64 dev lan nodad".split())
        inside.run(*"ip link set lan up".split())
        outside.run(*"ip link set far up".split())
        self.sockets = {}
        with inside.entered():
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                receiver = socket.socket(family, socket.SOCK_DGRAM)
                receiver.bind((ADDRESSES[version][1], PORT))
                receiver.settimeout(5)
                self.sockets[version] = receiver
        with outside.entered():
            self.sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sender.bind(("far", 0))

    def deliver(self, version: int, packets: list[bytes]) -> list[bytes]:
        """What the socket gets of these."""
        link = bytes(nf.Ethernet(src=MACS[0], dst=MACS[1], ethertype=ETHERTYPES[version]))
        for packet in [*packets, whole(version, LAST, 0)]:
            self.sender.send(link + packet)
        received = []
        while (data := self.sockets[version].recv(1 << 16)) != LAST:
            received.append(data)
        return received

    def close(self) -> None:
        self.sender.close()
        for receiver in self.sockets.values():
            receiver.close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    name = f"nfr-{os.getpid()}"
    with Namespace(f"{name}-in") as inside, Namespace(f"{name}-out") as outside:
        host = Host(inside, outside)
        try:
            yield host
        finally:
            host.close()


def whole(version: int, data: bytes, identification: int) -> bytes:
    """A UDP packet to the socket."""
    source, target = ADDRESSES[version]
    udp = nf.UDP(src_port=1, dst_port=PORT)
    if version == 4:
        return bytes(nf.IPv4(src=source, dst=target, identification=identification) / udp / data)
    return bytes(nf.IPv6(src=source, dst=target) / udp / data)


class Datagram:
    """A UDP datagram, of which pieces are sent."""

    def __init__(self, version: int, data: bytes, identification: int) -> None:
        self.version, self.identification = version, identification
        packet = whole(version, data, identification)
        self.data = packet[20 if version == 4 else 40 :]

    def piece(self, start: int, end: int, *, more: bool | None = None, data: bytes | None = None) -> bytes:
        """The fragment of these bytes; `data` are others in their place."""
        data = self.data[start:end] if data is None else data
        more = end < len(self.data) if more is None else more
        source, target = ADDRESSES[self.version]
        if self.version == 4:
            header = nf.IPv4(
                src=source,
                dst=target,
                protocol=17,
                identification=self.identification,
                fragment_offset=start,
                more_fragments=int(more),
            )
            return bytes(header / data)
        fragment = struct.pack(">BBHI", 17, 0, start | more, self.identification)
        return bytes(nf.IPv6(src=source, dst=target, next_header=44) / (fragment + data))


def random_pieces(datagram: Datagram, chance: random.Random) -> list[bytes]:
    """Fragments that cover a datagram, most of the time; some twice, some over others, in order or not."""
    length = len(datagram.data)
    cuts = sorted(chance.sample(range(8, length, 8), min(chance.randrange(1, 9), (length - 1) // 8)))
    spans = list(zip([0, *cuts], [*cuts, length], strict=True))
    pieces = [datagram.piece(*span) for span in spans]
    if chance.random() < 0.2:
        pieces.pop(chance.randrange(len(pieces)))
    for _ in range(chance.choice((0, 0, 1, 2))):
        kind, (start, end) = chance.random(), chance.choice(spans)
        if kind < 0.4:
            extra = datagram.piece(start, end)
        else:
            start = chance.randrange(0, length, 8)
            end = min(length, start + 8 * chance.randrange(1, 20))
            data = os.urandom(end - start) if kind > 0.8 else None
            extra = datagram.piece(start, end, data=data)
        pieces.insert(chance.randrange(len(pieces) + 1), extra)
    order = chance.random()
    if order < 0.4:
        chance.shuffle(pieces)
    elif order < 0.5:
        pieces.reverse()
    return pieces


def ours(reassembler: nf.Reassembler, packets: list[bytes], now: int) -> list[bytes]:
    """What the socket would get, were it behind the reassembler."""
    delivered = []
    for datagram in reassembler.push(packets, now=now, link="RAW"):
        packet = datagram.packet
        if packet.dst_port == PORT and packet.l4_checksum == "good":
            at = 28 if packet.ip_version == 4 else 48
            delivered.append(bytes(datagram)[at:])
    return delivered


def linux() -> nf.Reassembler:
    """As Linux: no tombstones, no timer but the one."""
    return nf.Reassembler(policy="linux", policy_ipv6="linux", tombstone=0, wrap_safe=False)


@pytest.mark.parametrize("version", [4, 6])
def test_linux_delivers_the_same(host: Host, version: int) -> None:
    chance = random.Random(version)
    reassembler, delivered, differences = linux(), 0, []
    for number in range(DATAGRAMS):
        data = number.to_bytes(4) + chance.randbytes(chance.choice((20, 200, 1000, 5000)))
        datagram = Datagram(version, data, number + 1)
        packets = random_pieces(datagram, chance)
        theirs, mine = host.deliver(version, packets), ours(reassembler, packets, number * 1_000_000)
        delivered += len(theirs)
        if theirs != mine:
            differences.append((number, [packet.hex() for packet in packets], len(theirs), len(mine)))
    assert not differences, f"{len(differences)} differ; the first: {differences[0]}"
    assert DATAGRAMS / 3 < delivered < DATAGRAMS


@pytest.mark.parametrize("version", [4, 6])
def test_every_relation_of_two_pieces(host: Host, version: int) -> None:
    """Allen's thirteen relations, the other bytes or the same, first in order or last."""
    reassembler, identification = linux(), 20_000
    spans = [(start, end) for start in range(0, 64, 8) for end in range(start + 8, 72, 8)]
    delivered = 0
    for old in ((16, 40), (0, 24), (40, 64)):
        for new in spans:
            for other in (False, True):
                for swapped in (False, True):
                    identification += 1
                    datagram = Datagram(version, bytes(range(56)), identification)
                    extra = datagram.piece(*new, data=bytes(new[1] - new[0]) if other else None)
                    rest = [(0, old[0]), (old[1], 64)]
                    others = [datagram.piece(*span) for span in rest if span[0] < span[1]]
                    pieces = [extra, datagram.piece(*old)] if swapped else [datagram.piece(*old), extra]
                    packets = [*pieces, *others]
                    theirs, mine = host.deliver(version, packets), ours(reassembler, packets, identification)
                    assert mine == theirs, (old, new, other, swapped)
                    delivered += len(theirs)
    assert delivered > 10


def delivered_by_both(host: Host, version: int, spans: Spans) -> tuple[int, int]:
    """How often the datagram comes, of which these bytes are sent, more to come or not: from us, from Linux."""
    datagram = Datagram(version, bytes(range(92)), next(NUMBERS))
    data = datagram.data + bytes(70_000)
    packets = [datagram.piece(start, end, more=more, data=data[start:end]) for start, end, more in spans]
    return len(ours(linux(), packets, 0)), len(host.deliver(version, packets))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "spans",
    [
        ((0, 20, True), (16, 100, False)),
        ((0, 48, True), (48, 100, False), (96, 104, False)),
        ((0, 48, True), (48, 104, True), (48, 100, False)),
        ((48, 100, False), (0, 48, True), (104, 112, True)),
        ((104, 112, True), (48, 100, False), (0, 48, True)),
        ((0, 8, True), (8, 100, False)),
        ((0, 100, False), (0, 48, True), (48, 100, False)),
    ],
)
def test_ends_that_differ_and_lengths_that_cannot_be(host: Host, version: int, spans: Spans) -> None:
    mine, theirs = delivered_by_both(host, version, spans)
    assert mine == theirs


@pytest.mark.parametrize(
    ("version", "spans", "delivered"),
    [
        (4, ((0, 48, True), (48, 48, True), (48, 100, False)), 0),
        (6, ((0, 48, True), (48, 48, True), (48, 100, False)), 0),
        (4, ((0, 48, True), (48, 48, False), (48, 100, False)), 0),
        (6, ((0, 48, True), (96, 96, False), (48, 100, False)), 0),
        (4, ((48, 48, True), (0, 48, True), (48, 100, False)), 1),
        (4, ((0, 48, True), (65_528, 65_540, False), (48, 100, False)), 0),
        (6, ((0, 48, True), (65_528, 65_540, False), (48, 100, False)), 1),
        (6, ((0, 48, True), (65_528, 65_544, True), (48, 100, False)), 1),
    ],
)
def test_fragments_that_cannot_be_used(host: Host, version: int, spans: Spans, delivered: int) -> None:
    """One without data ends its datagram, and of IPv4 one beyond 65,535."""
    assert delivered_by_both(host, version, spans) == (delivered, delivered)


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_that_come_late(host: Host, version: int) -> None:
    """After an end, whole or by overlap, what still comes begins anew in Linux, and so here without tombstones."""
    reassembler = linux()
    datagram = Datagram(version, bytes(range(92)), 50_000)
    one, two = datagram.piece(0, 48), datagram.piece(48, 100)
    overlap = datagram.piece(40, 56, data=b"\xff" * 16)
    for packets in ([one, two, two, one], [one, overlap, two, one], [two, overlap, overlap, one, two]):
        assert ours(reassembler, packets, 0) == host.deliver(version, packets)


def test_disorder_distance(host: Host) -> None:
    """More than 64 fragments of the source in between: Linux gives the older ones up."""
    for distance in (10, 62, 63, 64, 65, 66, 100):
        reassembler = linux()
        between = [Datagram(4, bytes(92), 60_000 + n).piece(0, 48) for n in range(distance)]
        datagram = Datagram(4, bytes([distance] * 92), 59_000 + distance)
        packets = [datagram.piece(0, 48), *between, datagram.piece(48, 100)]
        assert ours(reassembler, packets, 0) == host.deliver(4, packets), distance
