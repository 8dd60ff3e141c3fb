#!/usr/bin/env python3
"""Make the captures again: make.py [--out FOLDER] [--only host|guest|tools] [FILE...]

Needs root, network namespaces, and the Debian packages iproute2, ethtool, tcpdump, iperf3,
iputils-ping, curl, ppp, pppoe, zstd, tshark and wireshark-common. What the host's kernel may lack is
made in a Linux guest: NETLAB names the program that boots one (`$NETLAB --name N up`, `run`,
`status`, `down`; `status` prints `share=FOLDER`, which is /share in the guest). Without NETLAB
those captures are left as they are. At the end README.md is written anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import formats
import plain
import secure
import tcp
import tunnels
import wireless
from catalogue import CAPTURES, Capture
from readme import write_readme

HERE = Path(__file__).resolve().parent
RECIPES = (plain, tcp, tunnels, secure, wireless, formats)
NAME = "captures"


def script(one: Capture, here: str, out: str) -> str:
    return f"HERE={here} OUT={out}\n. $HERE/world.sh\n{one.make()}\n"


def isolated(file: str, network: bool = True) -> list[str]:
    """A command that runs a script where all that it makes is gone when it ends."""
    own = ["--net"] if network else []
    return ["unshare", *own, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", file]


def on_host(captures: list[Capture], out: Path) -> list[str]:
    """Make captures with the host's kernel. Returns the files that failed."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for one in captures:
            file = Path(folder, "recipe.sh")
            file.write_text(script(one, str(HERE), folder))
            made = Path(folder, one.file)
            if run(one, isolated(str(file))) and made.exists():
                shutil.copyfile(made, out / one.file)
            else:
                failed.append(one.file)
    return failed


def in_guest(captures: list[Capture], out: Path) -> list[str]:
    """Make captures in a guest. Returns the files that failed."""
    lab = [os.environ["NETLAB"], "--name", NAME]
    subprocess.run([*lab, "up", "--link", "unix"], check=True)
    try:
        status = subprocess.run([*lab, "status"], check=True, capture_output=True, text=True).stdout
        share = Path(dict(line.split("=", 1) for line in status.splitlines())["share"])
        shutil.copytree(HERE, share / "make", ignore=shutil.ignore_patterns("__pycache__"))
        share_programs(share / "programs")
        (share / "out").mkdir()
        failed = []
        for one in captures:
            (share / "recipe.sh").write_text(script(one, "/share/make", "/share/out"))
            made = share / "out" / one.file
            if run(one, [*lab, "run", *isolated("/share/recipe.sh", one.place == "guest")]) and made.exists():
                shutil.copyfile(made, out / one.file)
            else:
                failed.append(one.file)
        return failed
    finally:
        subprocess.run([*lab, "down"], check=True)


def share_programs(folder: Path) -> None:
    """Give the guest the PPP programs of the host, with their libraries."""
    folder.mkdir()
    for program in filter(None, map(shutil.which, ("pppd", "pppoe", "pppoe-server"))):
        shutil.copy(program, folder)
        libraries = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for word in libraries.split():
            if word.startswith("/"):
                shutil.copy(word, folder)
    plugins = Path("/usr/lib/pppd")
    if plugins.exists():
        shutil.copytree(plugins, folder / "plugins")


def run(one: Capture, command: list[str]) -> bool:
    print(one.file, flush=True)
    try:
        done = subprocess.run(command, timeout=180, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        print(f"  {one.file}: no end after 180 s", file=sys.stderr)
        return False
    if done.returncode:
        print(f"  {one.file}: status {done.returncode}\n{done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode == 0


def with_tools(captures: list[Capture], out: Path) -> list[str]:
    """Make captures from others. Returns the files that failed."""
    failed = []
    for one in captures:
        print(one.file, flush=True)
        try:
            one.make(out)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            print(f"  {one.file}: {error}", file=sys.stderr)
            failed.append(one.file)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE.parent, help="where to put the captures")
    parser.add_argument("--only", choices=["host", "guest", "tools"], help="only those of one place")
    parser.add_argument("files", nargs="*", help="which captures (default: all)")
    options = parser.parse_args()
    unknown = set(options.files) - set(CAPTURES)
    if unknown:
        parser.error(f"no such capture: {', '.join(sorted(unknown))}")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in CAPTURES.values() if not options.files or one.file in options.files]
    failed = []
    for place, maker in ("host", on_host), ("guest", in_guest), ("tools", with_tools):
        chosen = [one for one in wanted if one.place.split("-")[0] == place and options.only in (None, place)]
        if place == "guest" and chosen and "NETLAB" not in os.environ:
            print(f"NETLAB is not set: {len(chosen)} captures are left as they are", file=sys.stderr)
        elif chosen:
            failed += maker(chosen, out)
    write_readme(out)
    if failed:
        sys.exit(f"not made: {', '.join(failed)}")


if __name__ == "__main__":
    main()
