"""One packet at a time, and the timer wheel, through the installed wheel."""

from array import array

import netfast as nf

IP = nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
FRAME = bytes(nf.Ethernet() / IP / nf.UDP(src_port=9, dst_port=53) / b"x")


def bench_dissect(benchmark):
    assert benchmark(lambda: nf.dissect(FRAME).five_tuple)[4] == 53


def bench_build(benchmark):
    def build():
        return bytes(nf.IPv6(src="2001:db8::1", dst="2001:db8::2") / nf.UDP(src_port=9, dst_port=53) / b"x")

    assert benchmark(build)[6] == 17


def bench_timers(benchmark):
    deadlines = array("Q", range(1_000_000, 101_000_000, 1000))

    def run():
        wheel = nf.TimerWheel()
        handles = wheel.arm_many(deadlines)
        return wheel.cancel_many(handles)

    assert benchmark(run) == len(deadlines)
