"""Packets between two kernels, through a netfast router on packet sockets (one end each of two veth pairs).

Beside it, on the same links: a loop in C that receives and sends frames in batches; one in Python and C that does
so frame by frame and changes of each what the least router changes, link addresses and hop limit; and the same
without changes. Packets are UDP with 64 bytes of data, more than any of them can forward, from a packet socket; what
counts is what arrives, and what a packet costs the forwarding process. The server's end drops them at once: the
processor's time that its kernel took for them would be the forwarder's, as a veth pair works. Round trips are those
of ping, beside the kernel's own forwarding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence

from netfast.bench import harness, live
from netfast.bench.harness import Line, Missing

__all__ = ["run"]

_SECONDS = 3
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
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define DATA 64

/* interface, link address of the next hop, source, destination, seconds */
int main(int count, char **words)
{
	static unsigned char frame[14 + 40 + 8 + DATA];
	static struct mmsghdr messages[BATCH];
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(words[1])};
	struct iovec piece = {frame, sizeof frame};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, room = 4 << 20, length = 8 + DATA;
	unsigned sum = length + 17, *link = (unsigned[6]){0};
	time_t end;

	sscanf(words[2], "%x:%x:%x:%x:%x:%x", link, link + 1, link + 2, link + 3, link + 4, link + 5);
	for (int at = 0; at < 6; at++)
		frame[at] = link[at];
	memcpy(frame + 6, "\x02\0\0\0\0\xb1\x86\xdd\x60", 9);
	frame[19] = frame[59] = length;
	frame[20] = 17;
	frame[21] = 64;
	inet_pton(AF_INET6, words[3], frame + 22);
	inet_pton(AF_INET6, words[4], frame + 38);
	frame[54] = 0x13;
	frame[57] = 9;
	for (int at = 22; at < (int)sizeof frame; at += 2)
		sum += frame[at] << 8 | frame[at + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	frame[60] = sum >> 8;
	frame[61] = sum;
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
		perror(words[1]);
		return 1;
	}
	for (int at = 0; at < BATCH; at++)
		messages[at].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
	for (end = time(NULL) + atoi(words[5]); time(NULL) < end;)
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

def forward(here, there, links):
    for _ in range(64):
        frame = bytearray(here.recv(2048))
        # What neighbours say to each other keeps its hop limit.
        if frame[12:14] == b"\\x86\\xdd" and frame[20] == 17 and frame[21] > 1:
            frame[0:12] = links
            frame[21] -= 1
        there.send(frame)

def copy(here, there, links):
    for _ in range(64):
        there.send(here.recv(2048))

one, other = open_end(sys.argv[1]), open_end(sys.argv[2])
to_one, to_other = (bytes.fromhex(links.replace(":", "")) for links in sys.argv[3:5])
work = forward if sys.argv[5] == "forward" else copy
poll = select.poll()
ends = {one.fileno(): (one, other, to_other), other.fileno(): (other, one, to_one)}
for number in ends:
    poll.register(number, select.POLLIN)
print("ok", flush=True)
while True:
    for number, _ in poll.poll():
        try:
            work(*ends[number])
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


_HOSTS = ("02:00:00:00:00:b1", "02:00:00:00:00:b2")
"""Of the two hosts."""

_LINKS = (_HOSTS[0] + _MACS[0], _HOSTS[1] + _MACS[1])
"""Destination and source of what leaves towards each host."""

_SINK = """\
table netdev sink {
    chain ingress {
        type filter hook ingress device "nf0" priority 0;
        udp dport 9 drop
    }
}
"""
"""What the server's end does with the packets: what its kernel would do is no part of forwarding."""


def run() -> Iterator[Line]:
    """Yields packets a second, packets per second of processor, and round trips, beside each peer."""
    python = [sys.executable, "-c", _PYTHON, "v0", "v1", *_LINKS]
    commands: dict[str, Callable[[], Sequence[str]]] = {
        "netfast": lambda: [sys.executable, "-c", _ROUTER, "v0", "v1", *_MACS, live.RULES],
        "echo loop in C": lambda: [str(live.compiled("packet_echo", _ECHO)), "v0", "v1"],
        "frame by frame in Python": lambda: [*python, "forward"],
        "frame by frame in Python, unchanged": lambda: [*python, "copy"],
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
        for name in commands:
            if name == "netfast" or (name == "kernel") != (unit == "µs"):
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
    nft = harness.need("nft", "nftables")
    with live.namespaces(3) as (client, server, middle):
        for number, space in enumerate((client, server)):
            live.sh(f"ip -n {middle} link add v{number} type veth peer name nf0 netns {space}")
            # What a loop that knows no offloads can pass on.
            for where, name in ((middle, f"v{number}"), (space, "nf0")):
                live.sh(
                    f"ip netns exec {where} ethtool -K {name} tx off gso off tso off gro off", check=False
                )
            live.sh(f"ip -n {middle} link set v{number} up")
            live.sh(f"ip -n {space} link set nf0 address {_HOSTS[number]}")
            live.sh(f"ip -n {space} link set nf0 up")
        _address(client, server, middle, routed=routed, kernel=not command)
        if not command:
            live.answers(client, _SERVER)
            times = live.pings(client, _SERVER)
            return 0.0, 0.0, times[len(times) // 2], times[len(times) * 99 // 100]
        with live.forwarder(command, middle) as pid:
            live.answers(client, _SERVER)
            times = live.pings(client, _SERVER)
            live.sh(f"ip netns exec {server} {nft} -f -", text=_SINK)
            sender = str(live.compiled("packet_sender", _SENDER))
            hop = _MACS[0] if routed else _HOSTS[1]
            used, arrived = live.cpu_seconds(pid), _arrived(server)
            live.sh(f"ip netns exec {client} {sender} nf0 {hop} {_CLIENT} {_SERVER} {_SECONDS}")
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
