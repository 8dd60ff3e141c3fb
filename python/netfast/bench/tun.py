"""TCP between two kernels, through a netfast router on two TUN interfaces: beside a loop in C that only copies.

Both with virtio headers, so that super-packets of up to 64 KiB travel whole, and without. The router has routes,
connection tracking and a rule; the loop reads from one interface and writes to the other. Goodput is what iperf3
received, and per second of processor what the forwarding process used, all its threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from netfast.bench import harness, live
from netfast.bench.harness import Line, Missing

__all__ = ["run"]

_SECONDS = 3
_SERVER = "2001:db8:2::2"

_COPY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_tun(const char *space, int headers)
{
	char path[256];
	struct ifreq request = {0};
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	int fd;

	snprintf(path, sizeof path, "/var/run/netns/%s", space);
	fd = open(path, O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		perror("setns");
		exit(1);
	}
	close(fd);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	strcpy(request.ifr_name, "nf0");
	request.ifr_flags = IFF_TUN | IFF_NO_PI | (headers ? IFF_VNET_HDR : 0);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) || (headers && ioctl(fd, TUNSETOFFLOAD, offloads))) {
		perror("tun");
		exit(1);
	}
	return fd;
}

int main(int count, char **words)
{
	static char packet[70000];
	int headers = atoi(words[3]);
	struct pollfd ends[2] = {{open_tun(words[1], headers), POLLIN, 0}, {open_tun(words[2], headers), POLLIN, 0}};

	puts("ok");
	fflush(stdout);
	for (;;) {
		poll(ends, 2, -1);
		for (int end = 0; end < 2; end++)
			for (int many = 0; many < 64; many++) {
				ssize_t length = read(ends[end].fd, packet, sizeof packet);

				if (length <= 0 || (write(ends[!end].fd, packet, length) < 0 && errno == EBADF))
					break;
			}
	}
}
"""

_ROUTER = """
import sys
import netfast as nf

client, server, headers = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
node = nf.Stack("bench", tracking="on")
with node:
    node.add_port("lan", device=nf.Tun("nf0", netns=client, offloads=headers), addresses=["2001:db8:1::1/64"])
    node.add_port("wan", device=nf.Tun("nf0", netns=server, offloads=headers), addresses=["2001:db8:2::1/64"])
    node.load_rules(sys.argv[-1])
    print("ok", flush=True)
    node.serve()
"""


def run() -> Iterator[Line]:
    """Yields goodput, and goodput per second of processor, beside the loop in C."""
    for label, headers in (("offloads", "1"), ("plain", "0")):
        figures: dict[str, list[tuple[float, float]]] = {"netfast": [], "copy loop in C": []}
        reason = None
        for _ in range(harness.ROUNDS):
            for name, command in _commands(headers).items():
                try:
                    figures[name].append(_measure(command()))
                except Missing as missing:
                    if name == "netfast":
                        raise
                    reason = str(missing)
        ours, theirs = figures["netfast"], figures["copy loop in C"]
        for at, (metric, unit) in enumerate((("goodput", "Gbit/s"), ("per_cpu", "Gbit/CPU-s"))):
            yield harness.line(
                "tun",
                f"{label}_{metric}",
                [figure[at] for figure in ours],
                unit,
                "copy loop in C",
                [figure[at] for figure in theirs],
                reason=reason,
            )


def _commands(headers: str) -> dict[str, Callable[[], Sequence[str]]]:
    return {
        "netfast": lambda: [sys.executable, "-c", _ROUTER, "{client}", "{server}", headers, live.RULES],
        "copy loop in C": lambda: [
            str(live.compiled("tun_copy_loop", _COPY)),
            "{client}",
            "{server}",
            headers,
        ],
    }


def _measure(command: Sequence[str]) -> tuple[float, float]:
    """Goodput in Gbit/s, and in Gbit per second of processor."""
    with live.namespaces(2) as (client, server):
        words = [word.format(client=client, server=server) if len(word) < 20 else word for word in command]
        with live.forwarder(words) as pid:
            for space, own, other in ((client, "1", "2"), (server, "2", "1")):
                live.sh(f"ip -n {space} link set nf0 up txqueuelen 1000")
                live.sh(f"ip -n {space} addr add 2001:db8:{own}::2/64 dev nf0 nodad")
                live.sh(f"ip -n {space} route add 2001:db8:{other}::/64 dev nf0")
            live.answers(client, _SERVER)
            before = live.cpu_seconds(pid)
            rate = live.iperf(client, server, _SERVER, _SECONDS) / 1e9
            used = max(live.cpu_seconds(pid) - before, 0.01)
            return rate, rate * _SECONDS / used
