"""A router with a firewall between two links, each of which loses a packet in a hundred.

The links are in memory here, so that it runs anywhere. With `nf.Tap("nf0", …)`, `nf.PacketSocket("eth1")` or another
device in place of an end, the same router stands on real ports.

python examples/live_router.py
"""

import netfast as nf


def main() -> None:
    client, lan = nf.MemoryLink.pair(names=("client", "lan"))
    server, wan = nf.MemoryLink.pair(names=("server", "wan"))
    edge = nf.Stack("edge", seed=1, tracking="on")
    with edge, client, server:
        edge.add_port(
            "lan",
            device=nf.Faults(lan, loss=0.01, seed=1),
            mac="02:00:00:00:00:01",
            addresses=["192.0.2.1/24"],
        )
        edge.add_port("wan", device=wan, mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
        edge.add_route("0.0.0.0/0", via="203.0.113.254")
        edge.add_neighbour("wan", "203.0.113.254", "02:00:00:00:00:99")
        edge.masquerade("wan", family=4)
        edge.drop(protocol="udp", dport=23)
        for port in (53, 23):
            packet = nf.IPv4(src="192.0.2.7", dst="198.51.100.1") / nf.UDP(src_port=4000, dst_port=port)
            frame = bytes(nf.Ethernet(src="02:00:00:00:00:50", dst="02:00:00:00:00:01") / packet)
            client.send([frame] * 500)
        edge.serve(timeout=0.2)
        frames = server.receive() + server.receive()
        print(len(frames), "packets came through, the first is", nf.dissect(frames[0]))
        print("lost on the way:", edge.live["ports"]["lan"]["dropped_in"])
        print("dropped by rules:", edge.counters.dropped_by)


if __name__ == "__main__":
    main()
