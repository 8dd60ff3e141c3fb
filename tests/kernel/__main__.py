"""Plays cases by their seeds: `PYTHONPATH=tests python -m kernel 17 42-99`. `--self` is Linux against itself."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from kernel.case import Router
from kernel.linux import linux
from kernel.run import case, compare, write


@contextlib.contextmanager
def other(itself: bool) -> Iterator[Router]:
    """What Linux is compared with."""
    if itself:
        with linux("b") as again:
            yield again
    else:
        from kernel.stack import Node

        yield Node()


def main() -> None:
    parser = argparse.ArgumentParser(prog="kernel", description=__doc__)
    parser.add_argument("seeds", nargs="+", help="a seed, or FIRST-LAST")
    parser.add_argument("--self", action="store_true", dest="itself", help="Linux against itself")
    parser.add_argument("--rules", action="store_true", help="print the rules of cases that differ")
    parser.add_argument("--write", type=Path, help="a folder for cases that differ")
    arguments = parser.parse_args()
    packets = differ = cases = 0
    with linux("a") as peer, other(arguments.itself) as router:
        for text in arguments.seeds:
            first, _, last = text.partition("-")
            for seed in range(int(first), int(last or first) + 1):
                report = compare(case(seed), peer, router)
                cases, packets = cases + 1, packets + report.packets
                if not report.differences:
                    continue
                differ += 1
                print(*report.differences, sep="\n")
                if arguments.rules:
                    print(report.case)
                    print(report.case.rules)
                if arguments.write:
                    arguments.write.mkdir(exist_ok=True)
                    write(report, arguments.write / f"{seed}.json")
    print(f"{cases} cases, {packets} packets, {differ} cases differ")


if __name__ == "__main__":
    main()
