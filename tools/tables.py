"""Writes the tables that pages have from the code: `python tools/tables.py`; a test compares them.

Drop reasons are those of the node (rust/datapath/src/reason.rs), differences from Linux those that the tests know
(tests/kernel/known.py).
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REASON = re.compile(r'^    [A-Z]\w+ "(\w+)" "([^"]+)";$', re.MULTILINE)


def reasons() -> str:
    """Every reason for a drop, with what it means."""
    found = REASON.findall((ROOT / "rust/datapath/src/reason.rs").read_text())
    return "| Reason | Meaning |\n|---|---|\n" + "".join(f"| `{name}` | {about} |\n" for name, about in found)


def differences() -> str:
    """Every difference that is meant, with its reason."""
    sys.path.append(str(ROOT / "tests"))
    from kernel.known import KNOWN

    rows = "".join(f"| {each.name} | {each.reason} |\n" for each in KNOWN)
    return f"| Difference | Reason |\n|---|---|\n{rows}"


TABLES = {("docs/limits.md", "reasons"): reasons, ("docs/router.md", "differences"): differences}
"""The page and the name of each table, and what makes it."""


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    made = {}
    for (name, table), make in TABLES.items():
        begin, end = f"<!-- {table} -->\n", f"<!-- /{table} -->\n"
        before, _, rest = (ROOT / name).read_text().partition(begin)
        made[ROOT / name] = f"{before}{begin}{make()}{end}{rest.partition(end)[2]}"
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
