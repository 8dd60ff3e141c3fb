"""Finishes the stubs that `maturin generate-stubs` reads from the binary: `python tools/stubs.py IN OUT`.

pyo3 does not know types of `*args` and `**kwargs`, nor what a Python list, tuple or dict holds.
Everything else stands as it was generated.
"""

import re
import sys
from pathlib import Path

RULES = [
    (r"\*\*(unknown|fields)\)", r"**\1: object)"),
    (r"\*(_exception|parts)\)", r"*\1: object)"),
    (r"from types import CapsuleType", "from typing_extensions import CapsuleType"),
    (r"-> Iterator(?=[:\s])", "-> Iterator[Any]"),
    # Every name is listed: one that is not there is an error.
    (r"(?m)^def __getattr__.*$", ""),
    (r"-> list(?=[:\s])", "-> list[dict[str, Any]]"),
    (r"-> dict(?=[:\s])", "-> dict[str, Any]"),
    (r"-> tuple(?=[:\s])", "-> tuple[Header, ...]"),
]


# A binary operator has its mirror image at run time, which pyo3 does not list.
DIVISION = re.compile(r"^    def __truediv__\(self, .*$", re.MULTILINE)
MIRRORED = "    def __rtruediv__(self, value: object, /) -> HeaderStack: ..."
# What is added when the module is made.
ADDED = """
DEBUG_BUILD: Final[bool]
__version__: Final[str]
"""


def main(source: str, target: str) -> None:
    """Applies the rules, and adds what is made at run time."""
    text = Path(source).read_text()
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    text = DIVISION.sub(lambda found: f"{MIRRORED}\n{found[0]}", text)
    names = re.findall(r"^(?:class|def) ((?!__)\w+)", text, re.MULTILINE)
    names += re.findall(r"^(\w+): Final", text + ADDED, re.MULTILINE)
    listed = "".join(f"    {name!r},\n" for name in sorted(names))
    Path(target).write_text(f"{text}{ADDED}\n__all__ = [\n{listed}]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
