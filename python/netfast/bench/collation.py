"""Full segments of TCP merged sixteen to one, beside DPDK's software receive collation.

64 flows, sixteen segments of one flow after the other, frames of 1,514 bytes: what the peer is given. A cost is net of
its base, the same loop without collation: frames become packets (their bytes are copied), and these are let go.
"""

from __future__ import annotations

from collections.abc import Iterator

import netfast as nf
from netfast._netfast import BenchCollator
from netfast.bench import harness, peers
from netfast.bench.forward import cost
from netfast.bench.harness import Line, Missing

_UNIT = "ns/segment"
_FLOWS, _RUN, _PAYLOAD = 64, 16, 1_460


def frames(v6: bool = False, udp: bool = False) -> list[bytes]:
    """A run of segments of each flow."""
    made = []
    size = _PAYLOAD - (20 if v6 else 0)
    for flow in range(_FLOWS):
        for turn in range(_RUN):
            network: nf.Header = nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
            if not v6:
                network = nf.IPv4(src="192.0.2.1", dst="192.0.2.2", identification=turn, dont_fragment=1)
            transport: nf.Header = nf.UDP(src_port=1024 + flow, dst_port=5001)
            if not udp:
                seq = turn * size + 1
                transport = nf.TCP(src_port=1024 + flow, dst_port=5001, seq=seq, ack=1, flags=0x10)
            payload = bytes((turn + at) % 251 for at in range(size))
            made.append(bytes(nf.Ethernet() / network / transport / payload))
    return made


def run() -> Iterator[Line]:
    """Yields costs of a segment: checksums known to be right and to be verified, IPv6, UDP; and what was copied."""
    peer, reason = _peer()
    known = frames()
    for metric, bench in (
        ("known_good", BenchCollator(known)),
        ("verified", BenchCollator(known, trust_checksums=False)),
        ("known_good_ipv6", BenchCollator(frames(v6=True))),
        ("known_good_udp", BenchCollator(frames(udp=True))),
    ):
        costs, merged, copied = _net(bench)
        if merged != _RUN:
            raise AssertionError(f"{metric}: {merged} segments became one packet, not {_RUN}")
        if metric in ("known_good", "verified"):
            yield cost("collation", metric, costs, "dpdk_gro", peer, unit=_UNIT, reason=reason)
        else:
            yield cost("collation", metric, costs, unit=_UNIT, reason="rte_gro of its kind is not measured")
        if metric == "known_good":
            yield harness.line("collation", "segments_per_packet", [merged], "segments", None)
        if metric in ("known_good", "verified"):
            # Of headers: payload stands where it stood.
            yield cost("collation", f"{metric}_copied", [copied], unit="bytes/byte delivered")


def _net(bench: BenchCollator) -> tuple[list[float], float, float]:
    """Costs of a segment without those of the loop, a round each; segments merged, bytes copied for each byte."""
    costs = []
    merged = copied = 0.0
    bench.run()
    for _ in range(harness.ROUNDS):
        base = harness.best(lambda: bench.run(False)[0], 5)
        with_it = []
        for _ in range(5):
            spent, merged, copied = bench.run()
            with_it.append(spent)
        costs.append(min(with_it) - base)
    return costs, merged, copied


def _peer() -> tuple[list[float], str | None]:
    try:
        return peers.dpdk_gro(), None
    except Missing as missing:
        return [], str(missing)
