"""Without root: a stack that reaches the world through passt, and is reached by its own system over a TAP interface.

An ordinary user has two network namespaces, in user namespaces. In one of them passt is the world, whose routers are
the loopback interface there, with a server of pages; they answer no pings, other addresses of that system do. In the
other one the example has a router between a TAP interface and passt's socket; ping and curl go through it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinary import Ordinary, ordinary, why_no_namespaces, why_not

MISSING = why_not("ip", "unshare", "passt", "ping", "curl") or why_no_namespaces()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

EXAMPLE = Path(__file__).parent.parent / "examples/rootless.py"
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

# What goes through it.
ASK = """\
grep Uid /proc/self/status
for address in 203.0.113.7 2001:db8:7::7
do
    ping -n -c 3 -i 0.2 -W 5 $address
done
for host in 198.51.100.1 '[2001:db8:9::1]'
do
    curl -s -m 30 http://$host:8000/page | sha256sum
done
"""

IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")


@pytest.fixture
def user() -> Iterator[Ordinary]:
    """An ordinary user who has passt running."""
    with ordinary() as user:
        for name, text in (("far.sh", FAR), ("ask.sh", ASK), ("rootless.py", EXAMPLE.read_text())):
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
            # unshare heeds nothing less.
            passt.kill()


def test_ping_and_curl_through_passt(user: Ordinary) -> None:
    worlds = ("198.51.100.10/24,198.51.100.1", "2001:db8:9::10/64,2001:db8:9::1")
    command = (*IN_NAMESPACE, *user.python, "rootless.py", "passt.sock", *worlds, "sh", "ask.sh")
    with user.program(*command) as program:
        told, _ = program.communicate(timeout=200)
    assert program.returncode == 0, told
    # Root in the namespace it made alone.
    assert "Uid:\t0\t0" in told
    assert told.count(" 3 received") == 2, told
    assert told.count(hashlib.sha256(PAGE).hexdigest()) == 2, told
    found = re.search(r"(\d+) connections, (\d+) translated\nevery packet is accounted for: True", told)
    assert found is not None, told
    # Two pings and two pages.
    assert found[1] == found[2] == "4"
