"""The list of captures: each is a function that says how to make one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Capture:
    """One capture: where it is made, by which programs, and what it holds (the docstring)."""

    file: str
    place: str
    programs: str
    holds: str
    make: Callable


CAPTURES: dict[str, Capture] = {}


def capture(file: str, place: str, programs: str) -> Callable[[Callable], Callable]:
    """Enter a function in the catalogue.

    `place` is `host` or `guest` for a function that returns a shell script (see world.sh),
    `guest-bare` for one that is to run in the guest's own network namespace, and `tools` for
    one that makes the file from other captures in the folder that it is given.
    """

    def enter(make: Callable) -> Callable:
        if file in CAPTURES:
            raise ValueError(f"{file} is made twice")
        holds = " ".join((make.__doc__ or "").split())
        CAPTURES[file] = Capture(file, place, programs, holds, make)
        return make

    return enter
