"""Finishes the stubs that `maturin generate-stubs` reads from the binary: `python tools/stubs.py IN OUT`.

pyo3 does not know types of `*args` and `**kwargs`, nor what a Python list, tuple or dict holds.
Everything else stands as it was generated.
"""

import re
import sys
from pathlib import Path

RULES = [
    (r"\*\*(unknown|fields)\)", r"**\1: object)"),
    (r"\*(_exception|parts|names)(?=[,)])", r"*\1: object"),
    (r"from types import CapsuleType", "from typing_extensions import CapsuleType"),
    (r"-> Iterator(?=[:\s])", "-> Iterator[Header]"),
    # Every name is listed: one that is not there is an error.
    (r"(?m)^def __getattr__.*$", ""),
    (r"-> tuple\[list, bool\]", "-> tuple[list[bytes], bool]"),
    (r"-> list\[dict\]", "-> list[dict[str, Any]]"),
    (r"-> list(?=[:\s])", "-> list[dict[str, Any]]"),
    (r"-> dict(?=[:\s])", "-> dict[str, Any]"),
    (r": dict(?=[,)]| \| None)", ": dict[str, Any]"),
    (r"(def segments\(self, /\) -> tuple)(?=:)", r"\1[memoryview, ...]"),
    (r": tuple(?=[,)])", ": tuple[Header, ...]"),
    (r"to: tuple \| None", "to: tuple[Any, ...] | None"),
    (r"-> tuple\[dict, ", "-> tuple[dict[str, Any], "),
    (r"-> tuple(?=[:\s])", "-> tuple[Header, ...]"),
    (
        r"(    def __getitem__\(self, index: )SupportsIndex \| slice, /\) -> Any: \.\.\.",
        r"    @overload\n\1SupportsIndex, /) -> Packet: ...\n    @overload\n\1slice, /) -> list[Packet]: ...",
    ),
    # What is built and what is found has the class that was asked for; no other keyword can be given.
    (r'\*\*unknown: "None"', "**unknown: Never"),
    (r"(def (?:replace|recompute)\(self, /.*\)) -> Any", r"\1 -> Self"),
    (r"(def (?:parse|_restore)\(cls, /, data.*\)) -> Any", r"\1 -> Self"),
    (
        r"def get\(self, /, header: type\) -> Any \| None",
        "def get(self, /, header: type[_Header]) -> _Header | None",
    ),
    # An attribute that is not listed is an error, although a hint is given at run time.
    (r"(?m)^    def __getattr__\(.*\n(?:^        .*\n|^\n(?=        ))*", ""),
]


FOUND = re.compile(r"^    def __getitem__\(self, key: Any, /\) -> Any: \.\.\.", re.MULTILINE)
BY_KEY = """\
    @overload
    def __getitem__(self, key: type[_Header], /) -> _Header: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Header: ..."""
BY_SLICE = """
    @overload
    def __getitem__(self, key: slice, /) -> HeaderStack: ..."""
TYPING = "from typing import Any, Never, Self, TypeVar, overload\n\n"
HEADER = '_Header = TypeVar("_Header", bound="Header")\n\n'

# A binary operator has its mirror image at run time, which pyo3 does not list.
DIVISION = re.compile(r"^    def __truediv__\(self, .*$", re.MULTILINE)
MIRRORED = "    def __rtruediv__(self, value: object, /) -> HeaderStack: ..."
# What is added when the module is made.
ADDED = """
DEBUG_BUILD: Final[bool]
__version__: Final[str]
"""


def items_of_batches(text: str) -> str:
    """A batch holds what its iterator gives."""
    classes = re.split(r"(?m)^(?=class )", text)
    given = {}
    for each in classes:
        name, item = re.match(r"class (\w+)", each), re.search(r"def __next__\(self, /\) -> (\w+)", each)
        if name and item:
            given[name[1]] = item[1]
    for number, each in enumerate(classes):
        iterator = re.search(r"def __iter__\(self, /\) -> (\w+)", each)
        if iterator and (item := given.get(iterator[1])):
            each = re.sub(r"(def __getitem__\(.*\) -> )Packet\b", rf"\1{item}", each)
            classes[number] = re.sub(r"(def __getitem__\(.*\) -> )list\[Packet\]", rf"\1list[{item}]", each)
    return "".join(classes)


def main(source: str, target: str) -> None:
    """Applies the rules, and adds what is made at run time."""
    text = Path(source).read_text()
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    text = DIVISION.sub(lambda found: f"{MIRRORED}\n{found[0]}", text)
    stack = text.index("class HeaderStack")
    text = FOUND.sub(
        lambda found: (
            BY_KEY
            + (BY_SLICE if found.start() < text.index("\nclass ", stack) and found.start() > stack else "")
        ),
        text,
    )
    text = items_of_batches(text)
    # Behind the imports, whatever constant comes first.
    text = re.sub(r"^(?=[A-Z_]+: Final)", TYPING + HEADER, text, count=1, flags=re.MULTILINE)
    names = re.findall(r"^(?:class|def) ((?!__)\w+)", text, re.MULTILINE)
    names += re.findall(r"^(\w+): Final", text + ADDED, re.MULTILINE)
    listed = "".join(f"    {name!r},\n" for name in sorted(names))
    Path(target).write_text(f"{text}{ADDED}\n__all__ = [\n{listed}]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
