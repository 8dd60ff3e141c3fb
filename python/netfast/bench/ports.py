"""Packets between two kernels, through a netfast router on packet sockets (one end each of two veth pairs).

Beside it, on the same links: a loop in C that receives and sends frames in batches, and one in Python and C that does
so frame by frame. Packets are UDP with 64 bytes of data, as many as a sender in C can send; what counts is what
arrives, and what a packet costs the forwarding process. Round trips are those of ping, beside the kernel's own
forwarding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence

from netfast.bench import harness, live
from netfast.bench.harness import Line, Missing

__all__ = ["run"]

_SECONDS = 3
_DATA = 64
_CLIENT, _SERVER = "2001:db8:1::2", "2001:db8:2::2"
_MACS = ("02:00:00:00:00:a1", "02:00:00:00:00:a2")
"""Of the forwarder's two ends."""

_ECHO = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 64

static int open_end(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, room = 4 << 20;

	address.sll_ifindex = all.mr_ifindex = if_nametoindex(name);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
		perror(name);
		exit(1);
	}
	return fd;
}

int main(int count, char **words)
{
	static unsigned char frames[BATCH][2048];
	static struct mmsghdr messages[BATCH];
	static struct iovec pieces[BATCH];
	struct pollfd ends[2] = {{open_end(words[1]), POLLIN, 0}, {open_end(words[2]), POLLIN, 0}};

	puts("ok");
	fflush(stdout);
	for (;;) {
		poll(ends, 2, -1);
		for (int end = 0; end < 2; end++) {
			for (int at = 0; at < BATCH; at++) {
				pieces[at] = (struct iovec){frames[at], sizeof frames[at]};
				messages[at].msg_hdr = (struct msghdr){.msg_iov = &pieces[at], .msg_iovlen = 1};
			}
			int got = recvmmsg(ends[end].fd, messages, BATCH, MSG_DONTWAIT, NULL);

			for (int at = 0; at < got; at++)
				pieces[at].iov_len = messages[at].msg_len;
			for (int sent = 0; sent < got;) {
				int more = sendmmsg(ends[!end].fd, messages + sent, got - sent, 0);

				sent += more < 1 ? 1 : more;
			}
		}
	}
}
"""

_SENDER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

int main(int count, char **words)
{
	static char data[2048];
	struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	struct iovec piece = {data, atoi(words[3])};
	static struct mmsghdr messages[BATCH];
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	time_t end = time(NULL) + atoi(words[2]);

	inet_pton(AF_INET6, words[1], &peer.sin6_addr);
	for (int at = 0; at < BATCH; at++)
		messages[at].msg_hdr = (struct msghdr){&peer, sizeof peer, &piece, 1, NULL, 0, 0};
	while (time(NULL) < end)
		sendmmsg(fd, messages, BATCH, 0);
	return 0;
}
"""

_PYTHON = """
import select, socket, sys

def open_end(name):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.setsockopt(263, 23, 1)
    end.bind((name, 0))
    end.setblocking(False)
    return end

one, other = open_end(sys.argv[1]), open_end(sys.argv[2])
poll = select.poll()
ends = {one.fileno(): (one, other), other.fileno(): (other, one)}
for number in ends:
    poll.register(number, select.POLLIN)
print("ok", flush=True)
while True:
    for number, _ in poll.poll():
        here, there = ends[number]
        try:
            for _ in range(64):
                there.send(here.recv(2048))
        except OSError:
            pass
"""

_ROUTER = """
import sys
import netfast as nf

node = nf.Stack("bench", tracking="on")
with node:
    for port, name, mac, network in zip(("lan", "wan"), sys.argv[1:3], sys.argv[3:5], "12"):
        device = nf.PacketSocket(name, offloads=False)
        node.add_port(port, device=device, mac=mac, addresses=[f"2001:db8:{network}::1/64"])
    node.load_rules(sys.argv[-1])
    print("ok", flush=True)
    node.serve()
"""


def run() -> Iterator[Line]:
    """Yields packets a second, packets per second of processor, and round trips, beside each peer."""
    commands: dict[str, Callable[[], Sequence[str]]] = {
        "netfast": lambda: [sys.executable, "-c", _ROUTER, "v0", "v1", *_MACS, live.RULES],
        "echo loop in C": lambda: [str(live.compiled("packet_echo", _ECHO)), "v0", "v1"],
        "frame by frame in Python": lambda: [sys.executable, "-c", _PYTHON, "v0", "v1"],
        "kernel": lambda: [],
    }
    figures: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in commands}
    reasons: dict[str, str] = {}
    for _ in range(harness.ROUNDS):
        for name, command in commands.items():
            try:
                figures[name].append(_measure(command(), routed=name in ("netfast", "kernel")))
            except Missing as missing:
                if name == "netfast":
                    raise
                reasons[name] = str(missing)
    ours = figures["netfast"]
    metrics = (("packets", "packets/s"), ("per_cpu", "packets/CPU-s"), ("ping_p50", "µs"), ("ping_p99", "µs"))
    for at, (metric, unit) in enumerate(metrics):
        for name in ("echo loop in C", "frame by frame in Python", "kernel"):
            if (name == "kernel") != (unit == "µs"):
                continue
            yield harness.line(
                "ports",
                metric,
                [figure[at] for figure in ours],
                unit,
                name,
                [figure[at] for figure in figures[name]],
                reason=reasons.get(name),
                lower_is_better=unit == "µs",
            )


def _measure(command: Sequence[str], *, routed: bool) -> tuple[float, float, float, float]:
    """Packets a second and per second of processor, the median and the 99th percentile of round trips."""
    with live.namespaces(3) as (client, server, middle):
        for number, space in enumerate((client, server)):
            live.sh(f"ip -n {middle} link add v{number} type veth peer name nf0 netns {space}")
            # What a loop that knows no offloads can pass on.
            for where, name in ((middle, f"v{number}"), (space, "nf0")):
                live.sh(
                    f"ip netns exec {where} ethtool -K {name} tx off gso off tso off gro off", check=False
                )
            live.sh(f"ip -n {middle} link set v{number} up")
            live.sh(f"ip -n {space} link set nf0 up")
        _address(client, server, middle, routed=routed, kernel=not command)
        if not command:
            live.answers(client, _SERVER)
            times = live.pings(client, _SERVER)
            return 0.0, 0.0, times[len(times) // 2], times[len(times) * 99 // 100]
        with live.forwarder(command, middle) as pid:
            live.answers(client, _SERVER)
            times = live.pings(client, _SERVER)
            sender = str(live.compiled("udp_sender", _SENDER))
            command = f"ip netns exec {client} {sender} {_SERVER} {_SECONDS} {_DATA}"
            used, arrived = live.cpu_seconds(pid), _arrived(server)
            live.sh(command)
            used, arrived = max(live.cpu_seconds(pid) - used, 0.01), _arrived(server) - arrived
            rate = arrived / _SECONDS
            return rate, arrived / used, times[len(times) // 2], times[len(times) * 99 // 100]


def _arrived(space: str) -> int:
    """Packets that the interface in a namespace has received."""
    (link,) = json.loads(live.sh(f"ip -n {space} -j -s link show nf0"))
    return int(link["stats64"]["rx"]["packets"])


def _address(client: str, server: str, middle: str, *, routed: bool, kernel: bool) -> None:
    """Addresses and routes: through a router, or as neighbours through what copies frames."""
    for number, (space, own, gateway) in enumerate(
        ((client, _CLIENT, "2001:db8:1::1"), (server, _SERVER, "2001:db8:2::1"))
    ):
        live.sh(f"ip -n {space} addr add {own}/64 dev nf0 nodad")
        if routed:
            live.sh(f"ip -n {space} -6 route add default via {gateway}")
        else:
            live.sh(f"ip -n {space} -6 route add default dev nf0")
        if kernel:
            live.sh(f"ip -n {middle} addr add {gateway}/64 dev v{number} nodad")
    if kernel:
        live.sh(f"ip netns exec {middle} sysctl -qw net.ipv6.conf.all.forwarding=1")
