"""Writes the tables that pages have from the code: `python tools/tables.py`; a test compares them.

Drop reasons are those of the node (rust/datapath/src/reason.rs), differences from Linux those that the tests know
(tests/kernel/known.py), reasons of collation those of rust/offload/src/collate/reason.rs, settings of devices those of
rust/py/src/device/kinds.rs, with what spec.rs beside it says that they take, and the defaults of the classes of Python.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KIND = re.compile(r'name: "([\w-]+)",\s*keys: &\[([^\]]*)\],\s*needs: &\[([^\]]*)\]')
QUEUE_KEYS = re.compile(r"QUEUE_KEYS: &\[&str\] = &\[([^\]]*)\]")
TAKES = re.compile(r'((?:"\w+"[\s|]*)+)=> *\(\s*"([^"]*)"')
CLASSES = ROOT / "python/netfast/ports.py"
UNSAID = {
    "connected": "true",
    "ecn": "true",
    "persistent": "as it is; a new interface goes with the device",
    "up": "set up if it is given `addresses`, else as it is",
}
"""What settings do without a value of their own in the classes."""
QUOTED = re.compile(r'"([^"]*)"')
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


def devices() -> str:
    """Every kind of device that a configuration may name, with its settings."""
    rows = "| `kind` | Needs | May have |\n|---|---|---|\n"
    for kind, keys, needs in KIND.findall((ROOT / "rust/py/src/device/kinds.rs").read_text()):
        known, needed = QUOTED.findall(keys), QUOTED.findall(needs)
        if known:
            more = [key for key in known if key not in needed]
            rows += f"| `{kind}` | {code(needed)} | {code(more)} |\n"
    return rows


def device_settings() -> str:
    """What each setting of a device takes."""
    text = (
        (ROOT / "rust/py/src/device/spec.rs").read_text().partition("\nfn expected(")[2].partition("\n}\n")[0]
    )
    kinds = (ROOT / "rust/py/src/device/kinds.rs").read_text()
    used = {key for _, keys, _ in KIND.findall(kinds) for key in QUOTED.findall(keys)}
    used |= set(QUOTED.findall(QUEUE_KEYS.findall(kinds)[0]))
    rows: dict[tuple[str, str], list[str]] = {}
    for keys, words in TAKES.findall(text):
        for key in QUOTED.findall(keys):
            if key in used:
                rows.setdefault((words, default_of(key)), []).append(key)
    return "| Setting | Takes | Without it |\n|---|---|---|\n" + "".join(
        f"| {code(keys)} | {words} | {default} |\n"
        for (words, default), keys in sorted(rows.items(), key=lambda row: row[1])
    )


def default_of(key: str) -> str:
    """What a setting is for whoever does not give it, as the arguments of the classes have it; nothing where that
    depends on other things."""
    if key in UNSAID:
        return UNSAID[key]
    given = re.findall(rf"^ +{key}: [^=\n]+ = (.+),$", CLASSES.read_text(), re.MULTILINE)
    values = {ast.literal_eval(value) for value in given} - {None, "", ()}
    return str(values.pop()).lower().removesuffix(".0") if len(values) == 1 else ""


def code(names: list[str]) -> str:
    """Names as code, or the word for none."""
    return ", ".join(f"`{name}`" for name in names) or "nothing"


TABLES = {
    ("docs/limits.md", "reasons"): reasons,
    ("docs/router.md", "differences"): differences,
    ("docs/offloads.md", "collation reasons"): collation_reasons,
    ("docs/offloads.md", "collation ends"): collation_ends,
    ("docs/ports.md", "devices"): devices,
    ("docs/ports.md", "device settings"): device_settings,
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
