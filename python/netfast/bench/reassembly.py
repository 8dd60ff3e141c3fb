"""Fragments put together: ordinary ones beside DPDK, tiny ones beside scapy, and those that are made to hurt.

The ordinary ones are UDP datagrams of 5,000 bytes in four fragments, half of them IPv6, from 64 hosts, two datagrams
side by side, in one of eight two fragments swapped: what the peer is given. A rate has everything in it, as the peer's
has its packet source: frames become packets (their bytes are copied), and these are let go. A cost is net of that. Both
are of the time that the core was really given, as the peer's are.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from netfast._netfast import BENCH_ATTACKS, BenchReassembler, bench_attack
from netfast.bench import harness, peers
from netfast.bench.forward import cost
from netfast.bench.harness import Line, Missing
from netfast.bench.inputs import _checksum, _sum

FRAGMENTS = 16_384
"""As many as the peer has; their bytes do not fit the second-level cache."""
_IN_CACHE = 512
_PAIRS = 64
_MACS = bytes.fromhex("020000000002020000000001")
_UDP = 17
_ATTACK = 1 << 18
_T = TypeVar("_T")


def frames(count: int = FRAGMENTS, seed: int = 815) -> list[bytes]:
    """`count` ordinary fragments, of whole datagrams if it is a multiple of eight."""
    chance = random.Random(seed)
    data = chance.randbytes(5_000)
    datagrams = {
        (pair, version): _datagram(pair, version, data) for pair in range(_PAIRS) for version in (4, 6)
    }
    ids: dict[tuple[int, int], int] = {}
    made: list[bytes] = []
    for _ in range(0, count, 8):
        group = []
        for version in (4, 6):
            pair = chance.randrange(_PAIRS)
            # They run over the end of the 16 bits.
            number = ids[pair, version] = ids.get((pair, version), 65_000 + pair) + 1
            pieces = _cut(pair, version, datagrams[pair, version], number)
            if chance.random() < 1 / 8:
                pieces[1], pieces[2] = pieces[2], pieces[1]
            group.append(pieces)
        made += [piece for both in zip(*group, strict=True) for piece in both]
    return made


def tiny(seed: int = 1) -> list[bytes]:
    """A datagram of 65,535 bytes, IP header included, in fragments of 8 bytes, shuffled."""
    datagram = _datagram(0, 4, random.Random(seed).randbytes(65_507))
    pieces = _cut(0, 4, datagram, 1, size=8)
    random.Random(seed).shuffle(pieces)
    return pieces


def _addresses(pair: int, version: int) -> bytes:
    if version == 4:
        return bytes([10, 0, 0, pair, 10, 1, 0, 1])
    return bytes.fromhex(f"20010db80000000000000000000000{pair:02x}20010db8000100000000000000000001")


def _datagram(pair: int, version: int, data: bytes) -> bytes:
    """UDP header and data."""
    header = struct.pack("!HHH", 1024 + pair, 5000, 8 + len(data))
    total = _sum(_addresses(pair, version)) + _UDP + 8 + len(data) + _sum(header + b"\0\0" + data)
    return header + struct.pack("!H", _checksum(total)) + data


def _cut(pair: int, version: int, datagram: bytes, number: int, size: int | None = None) -> list[bytes]:
    """Frames with the fragments of a datagram."""
    size = size or (1_480 if version == 4 else 1_448)
    addresses = _addresses(pair, version)
    pieces = []
    for at in range(0, len(datagram), size):
        data = datagram[at : at + size]
        more = at + size < len(datagram)
        if version == 4:
            word = at // 8 | more << 13
            start = (
                struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number & 0xFFFF, word, 64, _UDP, 0)
                + addresses
            )
            header = (
                b"\x08\x00" + start[:10] + struct.pack("!H", _checksum(_sum(start)) % 0xFFFF) + start[12:]
            )
        else:
            header = b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, 8 + len(data), 44, 64) + addresses
            header += struct.pack("!BBHI", _UDP, 0, at | more, number)
        pieces.append(_MACS + header + data)
    return pieces


def run() -> Iterator[Line]:
    """Yields rates and costs of fragments, what was copied, and for each attack its cost, memory and victims."""
    yield from _ordinary()
    yield from _tiny()
    for name in BENCH_ATTACKS:
        yield from _attack(name)


def _spent(work: Callable[[], _T]) -> tuple[int, _T]:
    """Nanoseconds of this thread on its core, and the result: the peer is told by those, too."""
    start = time.thread_time_ns()
    result = work()
    return time.thread_time_ns() - start, result


def _per_fragment(bench: BenchReassembler, count: int, *how: bool) -> float:
    """Nanoseconds a fragment: the best of some passes, each of 65,536 or little more."""
    fragments = -(-65_536 // count) * count
    return harness.best(lambda: _spent(lambda: bench.run(*how))[0] / fragments)


def _ordinary() -> Iterator[Line]:
    for count, name in ((FRAGMENTS, "ordinary"), (_IN_CACHE, "ordinary_in_cache")):
        given = frames(count)
        theirs, reason = _peer(given)
        bench = BenchReassembler(given)
        copied = bench.run()[2]
        passes: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(harness.ROUNDS):
            base = _per_fragment(bench, count, False)
            for verifies, measured in passes.items():
                spent = _per_fragment(bench, count, True, verifies)
                measured.append((spent, spent - base))
        for verifies, measured in passes.items():
            metric = f"{name}_verified" if verifies else name
            peer = "DPDK ip_reassembly"
            ours = [1e9 / spent for spent, _ in measured]
            yield harness.line("reassembly", metric, ours, "fragments/s", peer, theirs.rates, reason=reason)
            if not verifies:
                # That of a capture has no packet type, without which the example passes a packet on unread.
                yield harness.line(
                    "reassembly",
                    f"{name}_as_it_comes",
                    ours,
                    "fragments/s",
                    f"{peer} as it comes, which reads none",
                    theirs.as_it_comes,
                    reason=reason,
                )
            net = [more for _, more in measured]
            yield cost(
                "reassembly", f"{metric}_net", net, peer, theirs.net, unit="ns/fragment", reason=reason
            )
        yield cost("reassembly", f"{name}_copied", [copied], unit="bytes/byte delivered")


def _peer(given: list[bytes]) -> tuple[peers.Reassembly, str | None]:
    try:
        return peers.ip_reassembly(given), None
    except Missing as missing:
        return peers.Reassembly([], [], []), str(missing)


def _tiny() -> Iterator[Line]:
    pieces = tiny()
    bench = BenchReassembler(pieces)
    whole = bench.run()[1]
    if whole != 1:
        raise AssertionError(f"the fragments of one datagram became {whole}")
    ours, theirs, copied = [], [], 0.0
    reason = None
    for _ in range(min(3, harness.ROUNDS)):
        ours.append(_per_fragment(bench, len(pieces)) * len(pieces) / 1e6)
        copied = bench.run()[2]
        if reason is None:
            try:
                theirs.append(_scapy(pieces))
            except ImportError as error:
                reason = f"{error} (pip install 'netfast[bench]')"
    yield cost(
        "reassembly", "tiny_shuffled", ours, "scapy, in order", theirs, unit="ms/datagram", reason=reason
    )
    # The pieces of a datagram of more than 64 are made one.
    yield cost("reassembly", "tiny_shuffled_copied", [copied], unit="bytes/byte delivered")


def _scapy(pieces: list[bytes]) -> float:
    """Milliseconds of its defragmentation; it wants them in order, and making packets of the frames is not in it."""
    from scapy.layers.inet import IP, defragment
    from scapy.layers.l2 import Ether

    packets = sorted((Ether(piece) for piece in pieces), key=lambda packet: packet[IP].frag)
    start = time.perf_counter()
    made = defragment(packets)
    spent = time.perf_counter() - start
    if len(made) != 1:
        raise AssertionError(f"scapy made {len(made)} packets of the fragments of one datagram")
    return spent * 1e3


def _attack(name: str) -> Iterator[Line]:
    costs = []
    last: dict[str, float] = {}
    for _ in range(harness.ROUNDS):
        base = min(_spent(lambda: bench_attack(name, _ATTACK, reassembles=False))[0] for _ in range(3))
        spent = []
        for _ in range(3):
            took, last = _spent(lambda: bench_attack(name, _ATTACK))
            spent.append(took)
        # One of others' comes after 32.
        costs.append((min(spent) - base) / (_ATTACK * 33 / 32))
    yield cost("reassembly", f"attack_{name}", costs, unit="ns/fragment")
    limit = f"the limit of what waits is {last['limit'] / 2**20:.0f} MiB"
    for metric, value, reason in (
        ("held", last["held"], limit),
        ("memory", last["memory"], f"with all tables; {limit}"),
    ):
        yield cost("reassembly", f"attack_{name}_{metric}", [value], unit="bytes", reason=reason)
    lost = f"of {last['others']:.0f} of others"
    yield cost("reassembly", f"attack_{name}_lost", [last["others_lost"]], unit="datagrams", reason=lost)
