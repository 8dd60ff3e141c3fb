"""A program whose packets reach the world through a router and passt, without root.

    passt --foreground --socket passt.sock &
    unshare --user --map-root-user --net \\
        python examples/rootless.py passt.sock 192.0.2.9/24,192.0.2.254 curl http://192.0.2.254:8000/

passt tells the address and the router when it starts; give both, joined by a comma, for IPv6 once more. In the user
namespace an ordinary user may make a TAP interface: that is the way from the program to the router.
"""

import subprocess
import sys

import netfast as nf

INSIDE = {4: ("10.0.0.2/24", "10.0.0.1/24"), 6: ("fd00:6e66::2/64", "fd00:6e66::1/64")}


def main(socket: str, *words: str) -> int:
    worlds = [word for word in words[:2] if "/" in word.partition(",")[0] and "," in word]
    edge = nf.Stack("rootless", tracking="on")
    inside = [INSIDE[6 if ":" in world else 4] for world in worlds]
    lan = nf.Tap("nf0", addresses=[host for host, _ in inside])
    wan = nf.UnixStream(socket)
    with edge, lan, wan:
        edge.add_port("lan", device=lan, addresses=[router for _, router in inside])
        edge.add_port("wan", device=wan, addresses=[world.partition(",")[0] for world in worlds])
        for world, (_, router) in zip(worlds, inside, strict=True):
            family = 6 if ":" in world else 4
            edge.add_route("::/0" if family == 6 else "0.0.0.0/0", via=world.partition(",")[2])
            edge.masquerade("wan", family=family)
            via = router.partition("/")[0]
            subprocess.run(
                ["ip", f"-{family}", "route", "add", "default", "via", via, "dev", "nf0"], check=True
            )
        with edge.serving():
            status = subprocess.run(words[len(worlds) :], check=False).returncode
        connections = edge.connections()
        translated = sum(connection.translated for connection in connections)
        print(f"{len(connections)} connections, {translated} translated", file=sys.stderr)
        print("every packet is accounted for:", edge.counters.conserved, file=sys.stderr)
    return status


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
