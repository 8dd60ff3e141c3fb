"""Is this rule set what I meant? Loads it, checks it, and asks for packets which rule decides about them.

python examples/verify_ruleset.py [FILE.nft]
"""

import sys
from pathlib import Path

import netfast as nf

MACS = {"lan": "02:00:00:00:00:01", "wan": "02:00:00:00:00:02"}
NEIGHBOUR = "02:00:00:00:00:99"


def tcp(src: str, dst: str, port: int, flags: str = "S") -> nf.HeaderStack:
    return nf.IPv4(src=src, dst=dst) / nf.TCP(src_port=40000, dst_port=port, flags=flags)


# What should be: where a packet comes in, the packet, and whether it may pass.
EXPECTED = [
    ("lan", tcp("192.0.2.7", "203.0.113.200", 443), True),
    ("wan", tcp("203.0.113.200", "192.0.2.80", 443), True),
    ("wan", tcp("203.0.113.200", "192.0.2.80", 22), False),
    ("wan", tcp("198.51.100.200", "192.0.2.80", 443), False),
    ("wan", tcp("203.0.113.200", "192.0.2.7", 40000, "R"), False),
    # Meant to be dropped; the rule before it takes the packet.
    ("lan", tcp("192.0.2.7", "203.0.113.200", 25), False),
]


def edge(rules: Path) -> nf.Stack:
    stack = nf.Stack("edge", seed=1, verify=True)
    stack.add_port("lan", mac=MACS["lan"], addresses=["192.0.2.1/24"])
    stack.add_port("wan", mac=MACS["wan"], addresses=["203.0.113.1/24"])
    stack.add_route("0.0.0.0/0", via="203.0.113.200")
    for port, host in (("lan", "192.0.2.7"), ("lan", "192.0.2.80"), ("wan", "203.0.113.200")):
        stack.add_neighbour(port, host, NEIGHBOUR)
    stack.load_rules(rules)
    return stack


def main(rules: Path) -> int:
    try:
        stack = edge(rules)
    except nf.ConfigError as error:
        # All mistakes of the file, each with its line and column.
        print(error, *error.others, sep="\n")
        return 2
    for finding in stack.findings():
        print(f"{finding.severity}: {finding}")
    surprises = 0
    for port, packet, passes in EXPECTED:
        frame = nf.Ethernet(src=NEIGHBOUR, dst=MACS[port]) / packet
        # A trace changes nothing, so packets can be asked about in any order.
        trace = stack.trace(frame, port=port)
        rule = [step.text for step in trace.steps if step.table == "rule"][-1]
        surprise = (trace.reason is None) != passes
        surprises += surprise
        print("SURPRISE" if surprise else "as meant", "|", nf.dissect(frame), "|", rule)
        # What was traced goes through twice: the cache has to say the same as the tables.
        stack.push(port, [frame, frame])
    print(f"surprises: {surprises}; differences between cache and tables: {len(stack.differences())}")
    return 1 if surprises else 0


if __name__ == "__main__":
    here = Path(__file__).with_name("edge.nft")
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else here))
