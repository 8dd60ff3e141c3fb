"""Where netfast is meant to differ from Linux: each difference with its reason, as narrow as it can be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kernel.compare import Difference


@dataclass(frozen=True)
class Known:
    """A difference that is meant. `ends` says that what follows in the case cannot be compared any more."""

    name: str
    reason: str
    holds: Callable[[Difference], bool]
    ends: bool = False


KNOWN: tuple[Known, ...] = (
    Known(
        "fragments are counted one by one",
        "Linux puts datagrams together before its chains see them; netfast judges each fragment by its first.",
        lambda d: d.case.fragments and d.where == "counter",
    ),
)
SEEN: Counter[str] = Counter()


def reason(difference: Difference, known: Iterable[Known] = KNOWN) -> Known | None:
    """The entry that a difference falls under; it is counted as used."""
    for each in known:
        if each.holds(difference):
            SEEN[each.name] += 1
            return each
    return None


def unused(known: Iterable[Known] = KNOWN) -> list[str]:
    """Entries that no difference fell under."""
    return [each.name for each in known if not SEEN[each.name]]
