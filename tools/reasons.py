"""Writes the table of drop reasons into a page: `python tools/reasons.py docs/limits.md`.

Names and sentences are those of the node (rust/datapath/src/reason.rs); a test compares them with the page.
"""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "rust/datapath/src/reason.rs"
REASON = re.compile(r'^    [A-Z]\w+ "(\w+)" "([^"]+)";$', re.MULTILINE)
BEGIN, END = "<!-- reasons -->\n", "<!-- /reasons -->\n"


def table() -> str:
    """Every reason with what it means."""
    found = REASON.findall(SOURCE.read_text())
    rows = "".join(f"| `{name}` | {about} |\n" for name, about in found)
    return f"| Reason | Meaning |\n|---|---|\n{rows}"


def page(text: str) -> str:
    """A page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text()))
