"""UDP over every rung of the ladder, beside loops in C that make the same calls: bytes for a second of processor time.

Three wires, in network namespaces of their own: `wire` takes packets at once and reads none of them, as a network
card does (a veth pair whose other end drops what comes in), `veth` has a socket behind it that gets them, `lo` is
loopback. What the receiving side costs is part of what is measured: the kernel does it on the sender's account.
Datagrams of 1,200 and of 1,472 bytes, in messages of as many as fit one call, from 64 buffers in turn.

Without root there is loopback only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping

from netfast._netfast import NativeTransmitter
from netfast.bench import harness
from netfast.bench.harness import Line, Missing

_SECONDS = 0.25
_SIZES = (1200, 1472)
_LONGEST = 65_487
_PORT = 4433
_REGISTERED = "io_uring_zc_registered"
# The rungs, and the loop in C that makes the same calls.
_RUNGS: Mapping[str, str | None] = {
    "sendmsg": None,
    "sendmmsg": "sendmmsg",
    "udp_segment": "udp_segment",
    "msg_zerocopy": "msg_zerocopy",
    "io_uring": None,
    "io_uring_zc": None,
    _REGISTERED: None,
}
_ADDRESSES = {"wire": "192.0.2.2", "veth": "198.51.100.2", "lo": "127.0.0.1"}
# Messages of which the shortest is looked for that is cheaper without a copy: so many datagrams of 1,200 bytes.
_STEPS = (1, 2, 4, 8, 14, 20, 27, 34, 41, 48, 54)

_PEER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, LONGEST = 65487, MOST = 128 };

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1e-6 * (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static double wall(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void reap(int fd, long *flying, long *copied, long *spared) {
    while (*flying > 0) {
        char control[256];
        struct msghdr header = {.msg_control = control, .msg_controllen = sizeof control};
        if (recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
        struct sock_extended_err *told = (void *)CMSG_DATA(CMSG_FIRSTHDR(&header));
        long count = (unsigned)(told->ee_data - told->ee_info) + 1L;
        *flying -= count;
        *(told->ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? copied : spared) += count;
    }
}

int main(int count, char **words) {
    if (count != 6) return 2;
    int size = atoi(words[4]), one = 1, room = 8 << 20, segments = 1;
    int spares = !strcmp(words[1], "msg_zerocopy"), single = !strcmp(words[1], "sendmmsg");
    double seconds = atof(words[5]);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, words[2], &to.sin_addr) != 1 || connect(fd, (void *)&to, sizeof to)) return 3;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (spares && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one)) return 4;
    if (!single) {
        segments = LONGEST / size < MOST ? LONGEST / size : MOST;
        if (setsockopt(fd, IPPROTO_UDP, 103, &size, sizeof size)) return 5;
    }
    char *bytes = mmap(0, BATCH << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) return 6;
    madvise(bytes, BATCH << 16, MADV_HUGEPAGE);
    memset(bytes, 7, BATCH << 16);
    struct iovec entries[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (int at = 0; at < BATCH; at++) {
        entries[at] = (struct iovec){.iov_base = bytes + ((size_t)at << 16), .iov_len = (size_t)size * segments};
        messages[at].msg_hdr = (struct msghdr){.msg_iov = &entries[at], .msg_iovlen = 1};
    }
    double start = wall(), used = cpu();
    long sent = 0, flying = 0, copied = 0, spared = 0;
    while (wall() - start < seconds) {
        int taken = sendmmsg(fd, messages, BATCH, (spares ? MSG_ZEROCOPY : 0) | MSG_DONTWAIT);
        if (taken > 0) sent += taken, flying += taken;
        if (spares) reap(fd, &flying, &copied, &spared);
    }
    used = cpu() - used;
    printf("{\"datagrams\": %ld, \"cpu\": %.6f, \"copied\": %ld, \"zero_copied\": %ld}\n",
           sent * segments, used, copied, spared);
}
"""


def run() -> Iterator[Line]:
    """Yields bytes for a second of processor time, cost of a datagram, and what was copied, for each wire and rung."""
    wires, reason = list(_ADDRESSES), None
    if os.geteuid() != 0:
        wires, reason = ["lo"], "network namespaces need root"
    elif missing := [program for program in ("ip", "nft") if shutil.which(program) is None]:
        wires, reason = ["lo"], f"{', '.join(missing)} of iproute2 and nftables: not installed"
    rounds: list[dict[str, dict[str, float]]] = []
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(_namespaces()) if reason is None else None
        for _ in range(harness.ROUNDS):
            rounds.append(_round(wires, name))
        steps = None if name is None else _ask(name, ["steps"])
    for wire in _ADDRESSES:
        if wire not in wires:
            yield harness.line("transmit", f"{wire}_1200", [0.0], "Gbit/CPU-s", wire, reason=reason)
            continue
        for size in _SIZES:
            for rung, twin in _RUNGS.items():
                yield from _lines(rounds, wire, size, rung, twin)
    if steps is not None:
        yield from _thresholds(steps)


def _lines(
    rounds: list[dict[str, dict[str, float]]], wire: str, size: int, rung: str, twin: str | None
) -> Iterator[Line]:
    """A rung beside single packets in C, and beside its twin."""
    ours = [found[f"{wire} {size} {rung}"] for found in rounds if f"{wire} {size} {rung}" in found]
    metric = f"{wire}_{size}_{rung}"
    if not ours:
        yield harness.line("transmit", metric, [0.0], "Gbit/CPU-s", None, reason=f"no {rung} here")
        return
    rates = [_rate(each, size) for each in ours]
    for peer in dict.fromkeys(("sendmmsg", twin)):
        theirs = [found.get(f"{wire} {size} C {peer}") for found in rounds]
        values = [_rate(each, size) for each in theirs if each]
        if peer is not None:
            name = "sendmmsg of single packets, in C" if peer == "sendmmsg" else f"{peer}, in C"
            reason = None if values else "no C compiler (Debian package gcc)"
            yield harness.line("transmit", metric, rates, "Gbit/CPU-s", name, values, reason=reason)
    costs = [each["cpu"] * 1e9 / max(each["datagrams"], 1) for each in ours]
    yield harness.line(
        "transmit", f"{metric}_cost", costs, "ns/datagram", None, reason=None, lower_is_better=True
    )
    told = [each["copied"] + each["zero_copied"] for each in ours]
    if any(told):
        copied = [each["copied"] / max(all_told, 1) for each, all_told in zip(ours, told, strict=True)]
        yield harness.line("transmit", f"{metric}_copied", copied, "of parts", None)


def _rate(found: Mapping[str, float], size: int) -> float:
    """Gbit for a second of processor time."""
    return found["datagrams"] * size * 8e-9 / max(found["cpu"], 1e-9)


def _thresholds(steps: Mapping[str, Mapping[str, float]]) -> Iterator[Line]:
    """From how many bytes on doing without a copy is cheaper: the shortest message of which all longer are, too."""
    for rung in ("msg_zerocopy", "io_uring_zc", _REGISTERED):
        cheaper: list[int] = []
        for step in reversed(_STEPS):
            ours, copying = steps.get(f"{step} {rung}"), steps[f"{step} udp_segment"]
            if ours is None or _rate(ours, 1200) <= _rate(copying, 1200):
                break
            cheaper.append(step * 1200)
        if cheaper:
            yield harness.line("transmit", f"{rung}_pays_from", [float(cheaper[-1])], "bytes", None)
        else:
            reason = f"never cheaper than a copy up to {_STEPS[-1] * 1200:,} bytes"
            yield harness.line(
                "transmit", f"{rung}_pays_from", [float(_LONGEST)], "bytes", None, reason=reason
            )


def _round(wires: list[str], name: str | None) -> dict[str, dict[str, float]]:
    """Everything once, one after the other."""
    try:
        program = str(_peer())
    except Missing:
        program = ""
    return _ask(name, ["round", program, *wires])


def _ask(name: str | None, words: list[str]) -> dict[str, dict[str, float]]:
    """Runs a part of this module in a process of its own, in the namespace of that name."""
    within = [] if name is None else ["ip", "netns", "exec", name]
    command = [*within, sys.executable, "-m", "netfast.bench.transmit", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Missing((done.stderr.strip().splitlines() or ["it failed"])[-1][:200])
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _peer() -> str:
    """The loops in C, compiled once."""
    compiler = harness.need("cc", "gcc")
    source, program = harness.scratch() / "transmit_peer.c", harness.scratch() / "transmit_peer"
    if not program.exists() or not source.exists() or source.read_text() != _PEER:
        source.write_text(_PEER)
        command = [compiler, "-O2", "-o", str(program), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"the loops in C do not compile: {done.stderr.strip()[-200:]}")
    return str(program)


@contextlib.contextmanager
def _namespaces() -> Iterator[str]:
    """A namespace with the wires, and one that holds their other ends; both are gone afterwards."""
    near, far = f"nftransmit{os.getpid()}", f"nftransmit{os.getpid()}p"
    with contextlib.ExitStack() as stack:
        for name in (near, far):
            subprocess.run(["ip", "netns", "add", name], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        commands = [
            f"-n {near} link set lo up",
            f"-n {near} link add v0 type veth peer name v1 netns {far}",
            f"-n {near} link add w0 type veth peer name w1 netns {far}",
            f"-n {near} addr add 198.51.100.1/24 dev v0",
            f"-n {far} addr add 198.51.100.2/24 dev v1",
            f"-n {near} addr add 192.0.2.1/24 dev w0",
            *(f"-n {near} link set {name} up" for name in ("v0", "w0")),
            *(f"-n {far} link set {name} up" for name in ("v1", "w1")),
            f"-n {near} neigh add 192.0.2.2 dev w0 lladdr 02:00:00:00:00:02",
        ]
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)
        rules = 'table netdev t {\n chain c {\n  type filter hook ingress device "w1" priority 0; policy drop;\n }\n}\n'
        subprocess.run(["ip", "netns", "exec", far, "nft", "-f", "-"], input=rules, text=True, check=True)
        sink = subprocess.Popen(
            ["ip", "netns", "exec", far, sys.executable, "-m", "netfast.bench.transmit", "sink"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_end, sink)
        assert sink.stdout is not None
        sink.stdout.readline()
        yield near


def _end(process: subprocess.Popen[str]) -> None:
    """A sink ends with its standard input."""
    process.communicate(timeout=10)


def _sink(address: str) -> socket.socket:
    """A socket that gets what is sent and never reads it: the kernel delivers until it is full, and then drops."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # UDP_GRO: what was sent as one is not cut for a receiver that need not have it so.
    sink.setsockopt(socket.IPPROTO_UDP, 104, 1)
    sink.bind((address, _PORT))
    return sink


def _measure(address: str, rung: str, size: int, datagrams: int) -> dict[str, float] | None:
    """One rung for a while; nothing where it is not there."""
    length = size * datagrams
    registered = 512 if rung == _REGISTERED else 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        sock.connect((address, _PORT))
        name = rung.removesuffix("_registered")
        try:
            transmitter = NativeTransmitter(
                sock.fileno(),
                rung=name,
                zero_copy_from=1,
                adaptive=False,
                registered=registered,
                registered_size=65_536,
            )
        except (ValueError, OSError):
            return None
    segment = size if datagrams > 1 else 0
    transmitter.bench(length, segment, 64, 0.02)
    before = resource.getrusage(resource.RUSAGE_SELF)
    _, sent = transmitter.bench(length, segment, 64, _SECONDS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    counters = transmitter.statistics["rungs"][name]
    transmitter.close()
    return {
        "datagrams": sent,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "copied": counters["copied"],
        "zero_copied": counters["zero_copied"],
    }


def _all_rungs(program: str, wires: list[str]) -> dict[str, dict[str, float]]:
    """A round: each rung, and after it the loop in C that makes the same calls."""
    found: dict[str, dict[str, float]] = {}
    for wire in wires:
        address = _ADDRESSES[wire]
        for size in _SIZES:
            for rung, twin in _RUNGS.items():
                # Rungs without segmentation cut the message into single packets themselves.
                measured = _measure(address, rung, size, min(_LONGEST // size, 128))
                if measured is not None:
                    found[f"{wire} {size} {rung}"] = measured
                if twin is not None and program:
                    command = [program, twin, address, str(_PORT), str(size), str(_SECONDS)]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
                    if done.returncode == 0:
                        found[f"{wire} {size} C {twin}"] = json.loads(done.stdout)
    return found


def _all_steps() -> dict[str, dict[str, float]]:
    """Messages of several lengths, copied and not, where nothing on the way copies."""
    found: dict[str, dict[str, float]] = {}
    for step in _STEPS:
        for rung in ("udp_segment", "msg_zerocopy", "io_uring_zc", _REGISTERED):
            measured = _measure(_ADDRESSES["wire"], rung, 1200, step)
            if measured is not None:
                found[f"{step} {rung}"] = measured
    return found


def _main(words: list[str]) -> None:
    """What this module does in processes of its own."""
    match words:
        case ["sink"]:
            with _sink(_ADDRESSES["veth"]):
                print("ready", flush=True)
                sys.stdin.read()
        case ["steps"]:
            print(json.dumps(_all_steps()))
        case ["round", program, *wires]:
            with _sink(_ADDRESSES["lo"]):
                print(json.dumps(_all_rungs(program, wires)))
        case _:
            raise SystemExit("this part is run by the benchmark")


if __name__ == "__main__":
    _main(sys.argv[1:])
