"""A program of yours decides about new flows: it drops, marks, and the marks choose the way out.

python examples/policy_hook.py
"""

from collections import Counter

import netfast as nf

LAN, NEIGHBOUR = "02:00:00:00:00:01", "02:00:00:00:00:99"
FAST, CHEAP = 1, 2

# The hook is asked once for a flow, and its mark is the connection's. This gives it to each packet before routing.
MARKS = """
table inet marks {
	chain prerouting {
		type filter hook prerouting priority mangle;
		meta mark set ct mark
	}
}
"""


def router() -> nf.Stack:
    edge = nf.Stack("edge", seed=1, tracking="on", hook_policy="drop", verify=True)
    edge.add_port("lan", mac=LAN, addresses=["192.0.2.1/24"])
    for number, name in ((FAST, "fibre"), (CHEAP, "dsl")):
        gateway = f"10.0.{number}.2"
        edge.add_port(name, mac=f"02:00:00:00:01:{number:02}", addresses=[f"10.0.{number}.1/30"])
        edge.add_neighbour(name, gateway, NEIGHBOUR)
        # One table for each way out, and a policy that leads marked packets to it.
        edge.add_route("0.0.0.0/0", via=gateway, port=name, table=100 + number)
        edge.add_policy(1000 + number, mark=number, table=100 + number, family=4)
    edge.load_rules(MARKS)
    return edge


class Policy:
    """Each host may begin so many flows; calls take the fast way, all else the cheap one."""

    def __init__(self, flows_per_host: int) -> None:
        self.left = Counter()
        self.most = flows_per_host

    def __call__(self, flows: list[nf.NewFlow]) -> list[nf.FlowVerdict | str]:
        # All new flows of a batch at once: one call costs little, however many there are.
        return [self.verdict(flow) for flow in flows]

    def verdict(self, flow: nf.NewFlow) -> nf.FlowVerdict | str:
        self.left[flow.src] += 1
        if self.left[flow.src] > self.most:
            return "drop"
        return nf.FlowVerdict(mark=FAST if flow.dst_port == 5060 else CHEAP)


def frames() -> list[nf.HeaderStack]:
    """Three hosts: a caller, one who downloads, and one who opens far too many flows."""
    flows = [("192.0.2.10", 5060, 1), ("192.0.2.11", 443, 1), ("192.0.2.12", 80, 50)]
    return [
        nf.Ethernet(dst=LAN) / nf.IPv4(src=src, dst="198.51.100.1") / nf.UDP(src_port=4000 + n, dst_port=port)
        for src, port, count in flows
        for n in range(count)
        for _ in range(3)
    ]


def main() -> None:
    edge = router()
    edge.on_new_flow(Policy(flows_per_host=10))
    result = edge.push("lan", frames(), now=0)
    for port, batch in result.items():
        print(f"{port}: {len(batch)} packets of {sorted({packet.src for packet in batch})}")
    print("dropped:", edge.counters.dropped_by)
    print("by the cache:", edge.counters.cache["hits"], "of", edge.counters.packets_in)
    print("differences:", edge.differences())


if __name__ == "__main__":
    main()
