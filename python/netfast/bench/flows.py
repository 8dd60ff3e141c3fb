"""A capture to flow records, each batch exported to Arrow, beside the limit study and other flow meters."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from netfast.bench import harness
from netfast.bench.harness import Line, Missing
from netfast.capture import flows

# As many as the limit study, which prints the best of them.
_PASSES = 7

_NFSTREAM = """
import sys, time
from nfstream import NFStreamer
if __name__ == "__main__":
    start = time.perf_counter()
    options = {"n_dissections": 0, "statistical_analysis": False, "n_meters": 1, "performance_report": 0}
    packets = sum(flow.bidirectional_packets for flow in NFStreamer(source=sys.argv[1], **options))
    print(packets / (time.perf_counter() - start))
"""

# What somebody would write in an afternoon: map the file, take the 5-tuple, one open-addressing table.
_NAIVE_C = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

struct flow { uint8_t key[40]; uint64_t packets, bytes, first, last; };
#define SLOTS (1u << 18)

static uint64_t mix(const uint8_t *key) {
    uint64_t hash = 1469598103934665603ull;
    for (int i = 0; i < 5; i++) {
        uint64_t word;
        memcpy(&word, key + 8 * i, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

int main(int argc, char **argv) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int file = open(argv[1], O_RDONLY);
    struct stat status;
    if (argc < 2 || file < 0 || fstat(file, &status)) return 1;
    size_t size = status.st_size;
    const uint8_t *data = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    struct flow *table = calloc(SLOTS, sizeof *table);
    uint64_t packets = 0, flows = 0;
    for (size_t at = 24; at + 16 <= size;) {
        uint32_t record[4];
        memcpy(record, data + at, 16);
        const uint8_t *frame = data + at + 16;
        at += 16 + record[2];
        packets++;
        uint8_t key[40] = {0}, swapped[40] = {0};
        int v4 = frame[12] == 8, width = v4 ? 4 : 16;
        const uint8_t *addresses = frame + (v4 ? 26 : 22), *ports = frame + (v4 ? 34 : 54);
        uint16_t length;
        memcpy(&length, frame + (v4 ? 16 : 18), 2);
        memcpy(key, addresses, width);
        memcpy(key + 16, addresses + width, width);
        memcpy(key + 32, ports, 4);
        key[36] = v4 ? frame[23] : frame[20];
        if (memcmp(key, key + 16, 16) > 0) {
            memcpy(swapped, key + 16, 16);
            memcpy(swapped + 16, key, 16);
            memcpy(swapped + 32, key + 34, 2);
            memcpy(swapped + 34, key + 32, 2);
            swapped[36] = key[36];
            memcpy(key, swapped, 40);
        }
        uint32_t slot = mix(key) & (SLOTS - 1);
        while (table[slot].packets && memcmp(table[slot].key, key, 40)) slot = (slot + 1) & (SLOTS - 1);
        struct flow *flow = &table[slot];
        uint64_t now = record[0] * 1000000ull + record[1];
        if (!flow->packets) {
            memcpy(flow->key, key, 40);
            flow->first = now;
            flows++;
        }
        flow->packets++;
        flow->bytes += __builtin_bswap16(length) + (v4 ? 0 : 40);
        flow->last = now;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) * 1e-9;
    fprintf(stderr, "%llu flows\n", (unsigned long long)flows);
    printf("%f\n", packets / seconds);
    return 0;
}
"""


def _read(path: Path, threads: int) -> int:
    stream = flows(path, threads=threads)
    for _rows in harness.export(stream):
        pass
    return int(stream.counters["packets"])


def _naive_c(path: Path) -> float:
    compiler = harness.need("cc", "gcc")
    program = harness.scratch() / "naive_flows"
    source = program.with_suffix(".c")
    if not program.exists() or not source.exists() or source.read_text() != _NAIVE_C:
        source.write_text(_NAIVE_C)
        subprocess.run(
            [compiler, "-O2", "-march=native", "-o", program, source], check=True, capture_output=True
        )
    done = subprocess.run([program, path], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _softflowd(path: Path, count: int) -> float:
    program = harness.need("softflowd", "softflowd")
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-r", str(path), "-v", "9", "-m", "200000", "-n", "127.0.0.1:19995"]
        command += ["-p", f"{folder}/pid", "-c", "none", "-d"]
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, timeout=300)
        return count / (time.perf_counter() - start)


def run() -> Iterator[Line]:
    """Yields packets a second to flow records on one thread and on two, a line for each peer."""
    path, count = harness.mixed_capture()
    harness.warm(path)
    try:
        floor: Path | None = harness.capture_floor()
        floor_reason = None
    except Missing as missing:
        floor, floor_reason = None, str(missing)
    one: list[float] = []
    two: list[float] = []
    limit: list[float] = []
    _read(path, 1)
    for _ in range(harness.ROUNDS):
        one.append(harness.rate(count, lambda: _read(path, 1), _PASSES))
        two.append(harness.rate(count, lambda: _read(path, 2), _PASSES))
        if floor is not None:
            limit.append(harness.floor_rates(floor, path)["flows, pread"])
    yield harness.line("flows", "flows", one, "packets/s", "capture_floor", limit, reason=floor_reason)
    yield harness.line("flows", "flows_two_threads", two, "packets/s", "netfast on one thread", one)
    peers: dict[str, Callable[[], float]] = {
        "nfstream": lambda: harness.python_peer(_NFSTREAM, [path]),
        "softflowd": lambda: _softflowd(path, count),
        "naive C": lambda: _naive_c(path),
    }
    singles = {"flows": lambda: harness.rate(count, lambda: _read(path, 1))}
    yield from harness.beside("flows", singles, peers)
