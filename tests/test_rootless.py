"""Without root: an ordinary user serves a stack between two links of a Linux guest, with tracking and translation.

NETLAB names the program that boots the guest (CONTRIBUTING.md); the user gets a copy of it, and of its images.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinary import Ordinary, ordinary, why_not

LAB = os.environ.get("NETLAB")
MISSING = "NETLAB names no program that boots a guest" if LAB is None else why_not("setpriv")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]

# The router, by the Python interface alone. It says who it is, and in the end what it knows.
ROUTER = '''\
import json, sys
from pathlib import Path

import netfast as nf

RULES = """\\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }
}
"""

folder = Path(sys.argv[1])
edge = nf.Stack("edge", tracking="on", verify=True)
lan = nf.UnixLink(folder / "stack0.sock", folder / "guest0.sock")
wan = nf.UnixLink(folder / "stack1.sock", folder / "guest1.sock")
with edge, lan, wan:
    edge.add_port("lan", device=lan, addresses=["10.0.0.1/24", "2001:db8::1/64"])
    edge.add_port("wan", device=wan, addresses=["10.0.1.1/24", "2001:db8:1::1/64"])
    edge.load_rules(RULES)
    edge.masquerade("wan", family=4)
    print(json.dumps(Path("/proc/self/status").read_text()), flush=True)
    edge.serve()
    told = {
        "conserved": edge.counters.conserved,
        "differences": edge.differences(),
        "neighbours": edge.neighbours(),
        "translated": any(each.translated for each in edge.connections()),
        "live": {name: [port["received"], port["sent"]] for name, port in edge.live["ports"].items()},
    }
print(json.dumps(told))
'''

# The client is the guest itself, the server a namespace in it, so that all between them goes by the router. For
# 10.0.0.0/24 the server has no route: it answers the router, which has translated.
GUEST = """\
set -e
ip netns add far
ip link set eth1 netns far
ip -n far link set lo up
ip -n far link set eth1 up
ip -n far addr replace 10.0.1.2/24 dev eth1
ip -n far addr replace 2001:db8:1::2/64 dev eth1 nodad
ip -n far route add default via 2001:db8:1::1
ip route add 10.0.1.0/24 via 10.0.0.1
ip route add default via 2001:db8::1
ip netns exec far iperf3 -s -D
"""

OWN = ("10.0.0.1", "2001:db8::1")
SERVER = ("10.0.1.2", "2001:db8:1::2")


class Guest:
    """A guest that an ordinary user has booted."""

    def __init__(self, user: Ordinary) -> None:
        self.user = user
        cache = user.folder / "cache"
        self.environment = {"NETLAB_CACHE": str(cache)}
        self.program = user.folder / "lab"
        shutil.copy(str(LAB), self.program)
        # The images that are there, in a cache of the user's own.
        cache.mkdir()
        user.own(cache)
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netlab"
        for image in filter(Path.is_file, Path(os.environ.get("NETLAB_CACHE") or default).iterdir()):
            try:
                os.link(image, cache / image.name)
            except OSError:
                shutil.copy(image, cache / image.name)

    def lab(self, *words: str) -> str:
        """What the program prints."""
        name = ("--name", f"nf{os.getpid()}")
        return self.user.run(self.program, *name, *words, limit=300, **self.environment)

    def run(self, *words: str) -> str:
        """Runs a command in the guest."""
        return self.lab("run", *words)


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with ordinary() as user:
        guest = Guest(user)
        guest.lab("up", "--link", "unix", "--link", "unix")
        try:
            yield guest
        finally:
            guest.lab("down")


def moved(guest: Guest, target: str, *more: str) -> int:
    """Bytes that arrived at the server, or with -R at the client."""
    told = json.loads(guest.run("iperf3", "-J", "-t", "2", "-c", target, *more))
    return int(told["end"]["sum_received"]["bytes"])


def test_a_stack_between_two_links_without_privileges(guest: Guest) -> None:
    user = guest.user
    found = re.search(r"^dir=(.*)$", guest.lab("status"), re.MULTILINE)
    assert found is not None
    router = user.folder / "router.py"
    router.write_text(ROUTER)
    with user.program(*user.python, router, found[1]) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith('"Name:'), said + process.stdout.read()
        status = dict(line.partition(":\t")[::2] for line in json.loads(said).splitlines())
        assert "0" not in status["Uid"].split()
        assert {int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        guest.run("sh", "-c", GUEST)
        for address in (*OWN, *SERVER):
            # The second size is that of three fragments.
            for size in ("56", "4000"):
                told = guest.run("ping", "-c", "5", "-i", "0.2", "-W", "10", "-s", size, address)
                assert " 5 received" in told, told
        for address in SERVER:
            assert moved(guest, address) > 1_000_000
            assert moved(guest, address, "-R") > 1_000_000
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    told = json.loads(rest)
    assert (told["conserved"], told["differences"], told["translated"]) == (True, [], True)
    known = {(each["port"], each["ip"]): each["mac"] for each in told["neighbours"]}
    for ip in ("10.0.0.2", "2001:db8::2"):
        assert known["lan", ip] == "02:00:00:00:00:02"
    for ip in SERVER:
        assert known["wan", ip] == "02:00:00:00:01:02"
    assert min(count for counts in told["live"].values() for count in counts) > 1_000
    # Nothing of it is left.
    assert not list(Path(found[1]).glob("stack*.sock"))
