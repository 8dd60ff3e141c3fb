"""Without root: a stack that reaches the world through passt, and is reached by its own system over a TAP interface.

An ordinary user has two network namespaces, in user namespaces. In "far" passt is the world, whose gateway is the
loopback interface there, with a server of pages. In "near" a router stands between a TAP interface and passt's socket;
ping and curl go through it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator

import pytest

from ordinary import Ordinary, ordinary, why_no_namespaces, why_not

MISSING = why_not("ip", "unshare", "passt", "ping", "curl") or why_no_namespaces()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

GATEWAYS = ("198.51.100.1", "2001:db8:9::1")
# Addresses of the system that passt runs on; its gateways answer no pings themselves.
BEYOND = ("203.0.113.7", "2001:db8:7::7")
PAGE = os.urandom(4 << 20)

FAR = """\
set -e
ip link set lo up
ip addr add 203.0.113.7/32 dev lo
ip addr add 2001:db8:7::7/128 dev lo nodad
ip link add v0 type veth peer name v1
ip addr add 198.51.100.10/24 dev v0
ip addr add 2001:db8:9::10/64 dev v0 nodad
ip link set v0 up
ip link set v1 up
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:9::1
echo "0 0" > /proc/sys/net/ipv4/ping_group_range
for address in 127.0.0.1 ::1
do
    $PYTHON -m http.server 8000 --bind $address --directory . > /dev/null 2>&1 &
done
exec unshare --user --map-user=1000 --map-group=1000 passt -f -e -s passt.sock
"""

NEAR = """\
import hashlib, json, subprocess
from pathlib import Path

import netfast as nf


def told(*command):
    done = subprocess.run(command, capture_output=True, timeout=60)
    return done.returncode, done.stdout


edge = nf.Stack("edge", tracking="on", verify=True)
lan = nf.Tap("nf0", addresses=["192.0.2.2/24", "2001:db8:1::2/64"])
wan = nf.UnixStream("passt.sock")
found = {"status": Path("/proc/self/status").read_text(), "pings": {}, "pages": {}}
with edge, lan, wan:
    edge.add_port("lan", device=lan, addresses=["192.0.2.1/24", "2001:db8:1::1/64"])
    edge.add_port("wan", device=wan, addresses=["198.51.100.10/24", "2001:db8:9::10/64"])
    edge.add_route("0.0.0.0/0", via="198.51.100.1")
    edge.add_route("::/0", via="2001:db8:9::1")
    edge.masquerade("wan", family=4)
    edge.masquerade("wan", family=6)
    told("ip", "route", "add", "default", "via", "192.0.2.1")
    told("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    with edge.serving():
        for address in ("203.0.113.7", "2001:db8:7::7"):
            found["pings"][address] = told("ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", address)[1].decode()
        for gateway in ("198.51.100.1", "2001:db8:9::1"):
            host = f"[{gateway}]" if ":" in gateway else gateway
            status, page = told("curl", "-s", "-m", "30", f"http://{host}:8000/page")
            found["pages"][gateway] = [status, hashlib.sha256(page).hexdigest()]
    found["neighbours"] = {each["ip"]: each["state"] for each in edge.neighbours() if each["port"] == "wan"}
    found["translated"] = sum(each.translated for each in edge.connections())
    found["conserved"], found["differences"] = edge.counters.conserved, edge.differences()
print(json.dumps(found))
"""

IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")


@pytest.fixture
def user() -> Iterator[Ordinary]:
    """An ordinary user who has passt running."""
    with ordinary() as user:
        for name, text in (("far.sh", FAR), ("near.py", NEAR)):
            (user.folder / name).write_text(text)
        (user.folder / "page").write_bytes(PAGE)
        # What runs there ends with it.
        space = (*IN_NAMESPACE, "--pid", "--fork", "--kill-child")
        with user.program(*space, "sh", "far.sh", PYTHON=user.python[0]) as passt:
            end = time.monotonic() + 30
            while not (user.folder / "passt.sock").exists():
                assert passt.poll() is None, passt.communicate()[0]
                assert time.monotonic() < end
                time.sleep(0.05)
            yield user


def test_ping_and_curl_through_passt(user: Ordinary) -> None:
    found = json.loads(user.run(*IN_NAMESPACE, *user.python, "near.py", limit=200))
    # Root in the namespace it made, and nobody outside.
    assert "Uid:\t0\t0" in found["status"]
    for address in BEYOND:
        assert " 3 received" in found["pings"][address], found["pings"][address]
    for gateway in GATEWAYS:
        assert found["pages"][gateway] == [0, hashlib.sha256(PAGE).hexdigest()]
        assert gateway in found["neighbours"]
    assert found["translated"] >= 4
    assert (found["conserved"], found["differences"]) == (True, [])
