"""Every snippet of the documentation runs: Python blocks, what they print, and `netfast` commands.

The blocks of a page run in their order, in one namespace and in one folder, which holds captures under the
names that the pages use. A block that an `output` block follows must print just that.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib.util
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import netfast as nf

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA = ROOT / "tests/data"
BUNDLED = ROOT / "python/netfast/data"

CAPTURES = {
    "capture.pcapng": BUNDLED / "web.pcapng",
    "tunnels.pcapng": BUNDLED / "tunnels.pcapng",
    "monday.pcap": DATA / "http-ipv6.pcap",
    "tuesday.pcap.gz": DATA / "dns-udp.pcap.gz",
    "fragments.pcap": DATA / "fragments-ipv4.pcap",
    "damaged.pcap": DATA / "damaged/record-cut.pcap",
    "router.toml": BUNDLED / "router.toml",
}
"""What the pages call the captures, and the router, that their snippets read."""

SENDERS = {"clients.pcapng": "02:00:00:00:01:01", "servers.pcapng": "02:00:00:00:01:02"}
"""The two sides of the bundled capture, between which that router stands."""

EXTRAS = {"polars", "pyarrow", "duckdb", "pandas", "numpy", "scapy", "dpkt", "nfstream"}
"""Packages that netfast does not need; a block that imports a missing one is skipped."""

FENCE = re.compile(r"^```(python|console|output)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)$", re.MULTILINE)


@dataclass
class Block:
    """A fenced block: where it stands, what it holds, and what it is to print."""

    page: Path
    line: int
    kind: str
    text: str
    output: str | None = None


@dataclass
class Session:
    """A page being run: its folder, its names, and how many of its Python blocks have run."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    done: int = 0


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order; output is attached to the block before it."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1] == "output":
            assert blocks, f"{page}:{line}: output of what?"
            blocks[-1].output = match[2]
        else:
            blocks.append(Block(page, line, match[1], match[2]))
    return blocks


BLOCKS = {page: blocks_of(page) for page in PAGES}


def cases(kind: str) -> list[Any]:
    """A test for each block of a kind, named after its place."""
    return [
        pytest.param(block, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in BLOCKS[page]
        if block.kind == kind
    ]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Session]:
    """A folder with captures, and a namespace, for each page."""
    made = {}
    for page in PAGES:
        folder = tmp_path_factory.mktemp(page.stem)
        for name, source in CAPTURES.items():
            shutil.copyfile(source, folder / name)
        for name, mac in SENDERS.items():
            nf.copy(BUNDLED / "web.pcapng", folder / name, filter=f"ether src {mac}")
        made[page] = Session(folder)
    return made


def missing_extra(block: Block) -> str | None:
    """A package that the block imports and that is not installed."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [node.module or ""]
        else:
            continue
        for package in (name.partition(".")[0] for name in named):
            if package in EXTRAS and importlib.util.find_spec(package) is None:
                return package
    return None


def execute(block: Block, session: Session) -> str:
    """Runs one Python block and returns what it printed."""
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    printed = io.StringIO()
    with contextlib.chdir(session.folder), contextlib.redirect_stdout(printed):
        exec(code, session.names)
    return printed.getvalue()


@pytest.mark.parametrize("block", cases("python"))
@pytest.mark.filterwarnings("default")
def test_python_block(block: Block, sessions: dict[Path, Session]) -> None:
    session = sessions[block.page]
    blocks = [each for each in BLOCKS[block.page] if each.kind == "python"]
    index = blocks.index(block)
    # What stands before it on the page, when this test runs alone.
    for earlier in blocks[session.done : index]:
        if missing_extra(earlier) is None:
            execute(earlier, session)
    session.done = index + 1
    if (package := missing_extra(block)) is not None:
        pytest.skip(f"{package} is not installed")
    printed = execute(block, session)
    if block.output is not None:
        checker = doctest.OutputChecker()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert checker.check_output(block.output, printed, flags), f"it printed:\n{printed}"


@pytest.mark.parametrize("block", cases("console"))
def test_commands(block: Block, sessions: dict[Path, Session]) -> None:
    commands = COMMAND.findall(block.text)
    assert commands, "a console block without a command"
    folder = sessions[block.page].folder
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for command in commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"


RULES = re.compile(r"^```nft\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rules_load(page: Path) -> None:
    for text in RULES.findall(page.read_text(encoding="utf-8")):
        stack = nf.Stack()
        for port in ("lan", "wan"):
            stack.add_port(port, mac="02:00:00:00:00:01")
        stack.load_rules(text)
        assert "chain" in stack.rules_text()


def test_pages_have_snippets() -> None:
    counts = {page.name: len(blocks) for page, blocks in BLOCKS.items()}
    assert counts["README.md"] > 0
    assert sum(counts.values()) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fences_are_known(page: Path) -> None:
    """A misspelt language would leave a snippet untested."""
    known = {
        "python",
        "console",
        "output",
        "sh",
        "text",
        "toml",
        "rust",
        "json",
        "nft",
        "{toctree}",
        "{eval-rst}",
    }
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if not inside:
                assert line[3:].strip() in known, f"{page.name}:{number}: {line}"
            inside = not inside
    assert not inside, f"{page.name}: a fence is not closed"


def test_tables_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "tools/tables.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path, text in tool.pages().items():
        assert path.read_text() == text, "run tools/tables.py"
    assert tool.reasons().count("\n| `") > 30
    assert tool.differences().count("\n") > 5


def test_proofs_that_are_named_are_there() -> None:
    named = re.findall(r"`([\w./]+)::(\w+)`", (ROOT / "docs/design/live.md").read_text())
    assert len(named) > 40
    for path, name in named:
        assert re.search(rf"\b(def|fn) {name}\(", (ROOT / path).read_text()), f"{path}::{name}"


# `| `name` | default | …`, and names of several in one row.
SETTING = re.compile(r"^\| (`[a-z_0-9`, ]+)(?: \(a setting\))? \| ([a-z0-9, ]+) \|", re.MULTILINE)


def documented() -> dict[str, Any]:
    """Settings and timeouts with the defaults that the page tells."""
    words = {"true": True, "false": False}
    found: dict[str, Any] = {}
    for names, defaults in SETTING.findall((ROOT / "docs/limits.md").read_text()):
        for name, default in zip(re.findall(r"[a-z_0-9]+", names), defaults.split(", "), strict=True):
            found[name] = int(default) if default.isdecimal() else words.get(default, default)
    return found


def test_every_setting_is_told_with_its_default() -> None:
    told = documented()
    assert told.pop("seed") == "random"
    settings = {
        name
        for name, parameter in inspect.signature(nf.Stack).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("seed", "timeouts", "verify")
    }
    assert settings <= set(told)
    timeouts = {name: told.pop(name) for name in set(told) - settings}
    # What is as it is by default is not written; a name that is no timeout is refused.
    text = nf.Stack("x", timeouts=timeouts, **told).to_toml()
    assert text.split() == ["[stack]", "name", "=", '"x"']
    with pytest.raises(nf.ConfigError) as caught:
        nf.Stack("x", timeouts={"none": 1})
    assert set(re.findall(r"[a-z_0-9]+", str(caught.value).partition("there are")[2])) == set(timeouts)
