"""A home router: hosts share one public address, what they begin may pass, nothing else comes in.

python examples/home_router.py [FOLDER]    # captures are written there; a temporary folder unless given
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import netfast as nf

HOST, PUBLIC = "192.0.2.1", "203.0.113.9"
CLIENT_MAC, SERVER_MAC = "02:00:00:00:01:01", "02:00:00:00:01:02"

FIREWALL = """
table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related counter accept comment "answers"
		ct state invalid counter drop comment "belongs to nothing"
		iifname "lan" oifname "wan" counter accept comment "from inside"
		counter comment "the rest"
	}
}
"""


def router() -> nf.Stack:
    """Both sides of the capture are in one network, so hosts are named one by one."""
    # Verify takes both ways for each packet, the cache's and that of all tables, and notes what differs.
    home = nf.Stack("home", seed=1, verify=True)
    home.add_port("lan", mac=SERVER_MAC, addresses=["192.0.2.250/32", "2001:db8:1::250/128"])
    home.add_port("wan", mac=CLIENT_MAC, addresses=[f"{PUBLIC}/32", "2001:db8:1::251/128"])
    for host in (HOST, "2001:db8:1::1"):
        home.add_route(f"{host}/{128 if ':' in host else 32}", port="lan")
        home.add_neighbour("lan", host, CLIENT_MAC)
    for prefix, gateway in (("0.0.0.0/0", "192.0.2.2"), ("::/0", "2001:db8:1::2")):
        home.add_route(prefix, via=gateway, port="wan", on_link=True)
        home.add_neighbour("wan", gateway, SERVER_MAC)
    home.load_rules(FIREWALL)
    # IPv6 has addresses enough.
    home.masquerade("wan", family=4)
    return home


def sides(folder: Path) -> dict[str, Path]:
    """The bundled capture's two sides. Its servers saw the host's own address; behind this router they see another."""
    lan, wan = [], []
    with nf.Capture(files("netfast") / "data/web.pcapng") as capture:
        for packet in (packet for batch in capture for packet in batch):
            if packet[nf.Ethernet].src == CLIENT_MAC:
                lan.append(packet)
            elif packet.dst == HOST:
                wan.append((packet.time_ns, packet.to_stack().replace(nf.IPv4, dst=PUBLIC).recompute()))
            else:
                wan.append(packet)
    paths = {"lan": folder / "lan-in.pcapng", "wan": folder / "wan-in.pcapng"}
    nf.write(paths["lan"], lan)
    nf.write(paths["wan"], wan)
    return paths


def main(folder: Path) -> None:
    home = router()
    result = home.run(sides(folder), out=folder / "out")
    print(result.summary())
    print()
    for rule in home.rules():
        print(f"{rule['hits']:4} packets  {rule['chain']}: {rule['text']}")
    print()
    for each in [each for each in home.connections() if each.translated][:5]:
        print(f"{each.src}:{each.src_port} is {each.reply_dst}:{each.reply_dst_port} for {each.dst}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
