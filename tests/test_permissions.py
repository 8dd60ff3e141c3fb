"""What needs a privilege is refused with the remedy, and `netfast doctor` knows it before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from netfast._netfast import probe
from netfast.cli import main
from ordinary import LIMIT, ordinary, why_not

MISSING = why_not()
MAPPED = ["unshare", "--user", f"--map-user={os.geteuid() + 1}"]

NEEDS = {"tun": "CAP_NET_ADMIN", "tap": "CAP_NET_ADMIN", "packet": "CAP_NET_RAW"}

OPEN = """\
import json
import netfast as nf
from netfast._netfast import probe

told = {}
devices = {"tun": lambda: nf.Tun("nfnone"), "tap": lambda: nf.Tap("nfnone"), "packet": lambda: nf.PacketSocket("lo")}
for name, device in devices.items():
    try:
        device()
    except PermissionError as error:
        told[name] = str(error)
with nf.UnixLink("a", "b") as one, nf.UdpLink("127.0.0.1:0", "127.0.0.1:9") as other:
    print(json.dumps([told, {row["name"]: row["lack"] for row in probe()}]))
"""


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_an_ordinary_user_is_told_what_each_device_needs() -> None:
    with ordinary() as user:
        told, lacks = json.loads(user.run(*user.python, "-c", OPEN))
    assert set(told) == set(NEEDS)
    for name, need in NEEDS.items():
        assert need in told[name]
        # What helps, not only what is wrong.
        assert re.search("root|setcap|sudo|user namespace|persistent", told[name]), told[name]
        assert need in lacks[name]
    assert lacks["unix"] is None
    assert lacks["udp"] is None


def test_doctor_tells_each_device_and_way_to_send() -> None:
    rows = probe()
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == (0 if all(row["works"] for row in rows) else 1)
    for row in rows:
        mark = "works" if row["works"] else "lacks"
        assert re.search(rf"^{mark} +{row['name']} ", done.output, re.MULTILINE), done.output
        if row["lack"] is not None:
            assert row["lack"].split("\n")[0] in done.output
    lines = CliRunner().invoke(main, ["doctor", "--json"]).output.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [row["name"] for row in rows]


def test_a_node_in_a_user_namespace_answers_where_its_user_asks() -> None:
    code = "from netfast.cli._live import control_path; print(control_path('edge'))"
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    try:
        told = subprocess.run(
            [*MAPPED, sys.executable, "-c", f"import os; print(os.geteuid()); {code}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no user namespaces here: {error}")
    # There the user has another number, by which it would meet somebody else's folder.
    assert told == [str(os.geteuid() + 1), f"/tmp/netfast-{os.geteuid()}/edge/control.sock"]
