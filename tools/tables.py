"""Writes the tables that pages have from the code: `python tools/tables.py`; a test compares them.

Drop reasons are those of the node (rust/datapath/src/reason.rs), differences from Linux those that the tests know
(tests/kernel/known.py), reasons of collation those of rust/offload/src/collate/reason.rs.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REASON = re.compile(r'^ +[A-Z]\w+ "(\w+)" "([^"]+)";$', re.MULTILINE)


def reasons() -> str:
    """Every reason for a drop, with what it means."""
    return reason_rows((ROOT / "rust/datapath/src/reason.rs").read_text())


def reason_rows(text: str) -> str:
    """The reasons that a piece of Rust lists."""
    found = REASON.findall(text)
    return "| Reason | Meaning |\n|---|---|\n" + "".join(f"| `{name}` | {about} |\n" for name, about in found)


def collation_reasons() -> str:
    """Every reason why a packet was not merged."""
    return reason_rows(collation("Reason"))


def collation_ends() -> str:
    """Every reason why a held packet was put out."""
    return reason_rows(collation("End"))


def collation(enum: str) -> str:
    """What Rust lists of an enum."""
    text = (ROOT / "rust/offload/src/collate/reason.rs").read_text()
    return text.partition(f"    {enum} {{\n")[2].partition("}\n")[0]


def differences() -> str:
    """Every difference that is meant, with its reason."""
    sys.path.append(str(ROOT / "tests"))
    from kernel.known import KNOWN

    rows = "".join(f"| {each.name} | {each.reason} |\n" for each in KNOWN)
    return f"| Difference | Reason |\n|---|---|\n{rows}"


TABLES = {
    ("docs/limits.md", "reasons"): reasons,
    ("docs/router.md", "differences"): differences,
    ("docs/offloads.md", "collation reasons"): collation_reasons,
    ("docs/offloads.md", "collation ends"): collation_ends,
}
"""The page and the name of each table, and what makes it."""


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    made: dict[Path, str] = {}
    for (name, table), make in TABLES.items():
        begin, end = f"<!-- {table} -->\n", f"<!-- /{table} -->\n"
        path = ROOT / name
        before, _, rest = made.get(path, path.read_text()).partition(begin)
        made[path] = f"{before}{begin}{make()}{end}{rest.partition(end)[2]}"
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
