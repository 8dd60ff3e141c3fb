"""Captures through the installed wheel: `make bench`, or `pytest benches --benchmark-only`."""

import pytest

import netfast as nf


@pytest.mark.parametrize("checksums", [False, True], ids=["plain", "checksums"])
def bench_columns(benchmark, capture, checksums):
    path, count = capture
    result = benchmark(lambda: sum(len(batch) for batch in nf.packets(path, checksums=checksums)))
    benchmark.extra_info["packets"] = count
    assert result == count


@pytest.mark.parametrize("threads", [1, 2])
def bench_flows(benchmark, capture, threads):
    path, count = capture

    def read():
        stream = nf.flows(path, threads=threads)
        for _ in stream:
            pass
        return stream.counters["packets"]

    benchmark.extra_info["packets"] = count
    assert benchmark(read) == count


def bench_capture_batches(benchmark, capture):
    path, count = capture
    assert benchmark(lambda: sum(len(batch) for batch in nf.Capture(path))) == count


def bench_filter(benchmark, capture):
    path, _ = capture
    kept = benchmark(lambda: sum(len(batch) for batch in nf.packets(path, filter="tcp port 443")))
    assert kept > 0
