"""A router on live ports between two kernels: ping, curl and iperf3 through every kind of port, both families."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf
from live_net import (
    CLIENT,
    LAN,
    LIMIT,
    RULES,
    SERVER,
    TARGETS,
    WAN,
    Namespace,
    Opened,
    joined,
    namespaces,
    packet,
    plain_tap,
    router,
    routes,
    tap,
    until,
    veth,
    why_not,
)

MISSING = why_not("ping", "curl", "iperf3")
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def tun(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.Tun("nf0", netns=space.name, addresses=addresses)


def packet_blocks(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.PacketSocket(veth(space, addresses, middle), netns=middle.name, receive="blocks")


def tap_of_queues(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.Tap("nf0", netns=space.name, addresses=addresses, queues=4, queue_length=1000)


def packet_group(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.PacketSocket(veth(space, addresses, middle), netns=middle.name, queues=3, fan_out="hash")


def faulty_tap(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return nf.Faults(tap(space, addresses, middle), delay=0.002, reorder=0.01, seed=5)


def _beyond(space: Namespace, addresses: tuple[str, ...], near: nf.Device, far: nf.Device) -> nf.Device:
    """A device whose other end is carried to a TAP interface, as a hypervisor would."""
    # It cuts nothing, so the interface takes no super-packets.
    tap = nf.Tap("nf0", netns=space.name, addresses=addresses, offloads=False, mtu=far.link.mtu)
    joined(space, tap, far)
    return near


def _sockets(space: Namespace) -> tuple[str, str]:
    folder = space.ends.enter_context(tempfile.TemporaryDirectory(prefix="nfl"))
    return f"{folder}/a", f"{folder}/b"


def unix(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    one, other = _sockets(space)
    return _beyond(space, addresses, nf.UnixLink(one, other), nf.UnixLink(other, one))


def unix_stream(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    path, _ = _sockets(space)
    return _beyond(space, addresses, nf.UnixStream(path, listen=True), nf.UnixStream(path))


def memory(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    return _beyond(space, addresses, *nf.MemoryLink.pair())


def _udp_ends(space: Namespace) -> tuple[str, str]:
    number = 47_400 + 2 * (space.name[-1] == "b")
    return f"127.0.0.1:{number}", f"127.0.0.1:{number + 1}"


def udp_ethernet(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    one, other = _udp_ends(space)
    ends = [nf.UdpLink(*pair, ethernet=True, netns=middle.name) for pair in ((one, other), (other, one))]
    return _beyond(space, addresses, *ends)


def udp(space: Namespace, addresses: tuple[str, ...], middle: Namespace) -> nf.Device:
    one, other = _udp_ends(space)
    near, far = (nf.UdpLink(*pair, netns=middle.name) for pair in ((one, other), (other, one)))
    tun = nf.Tun("nf0", netns=space.name, addresses=addresses, offloads=False, mtu=far.link.mtu)
    joined(space, tun, far)
    return near


KINDS: dict[str, Opened] = {
    "tun": tun,
    "tap": tap,
    "tap without offloads": plain_tap,
    "packet socket": packet,
    "packet socket, blocks": packet_blocks,
    "tap of four queues": tap_of_queues,
    "packet sockets that share out": packet_group,
    "tap with faults": faulty_tap,
    "unix datagrams": unix,
    "unix stream": unix_stream,
    "memory": memory,
    "udp": udp,
    "udp with ethernet": udp_ethernet,
}
# Their interfaces go with the device; those of the others with the namespace.
LEAVE = (tun, tap, plain_tap, tap_of_queues, faulty_tap)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Opened:
    return KINDS[request.param]


@pytest.fixture
def spaces() -> Iterator[list[Namespace]]:
    with namespaces("a", "b", "m") as made:
        yield made


def transfer(client: Namespace, server: Namespace, target: str, *more: str) -> dict[str, float]:
    """What iperf3 moved in two seconds."""
    with server.program("iperf3", "-s", "-1", "--forceflush") as listening:
        assert listening.stdout is not None
        for line in listening.stdout:
            if "listening" in line:
                break
        text = client.run("iperf3", "-J", "-t", "2", "-c", target, *more)
    end = json.loads(text)["end"]
    found = end.get("sum_received", end.get("sum"))
    return {"rate": found["bits_per_second"], "bytes": found["bytes"]}


def test_ping_curl_and_iperf3_go_through(kind: Opened, spaces: list[Namespace]) -> None:
    client, server, middle = spaces
    with router(kind, client, server, middle) as stack, stack.serving():
        for target in TARGETS:
            until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
            assert client.answers(target) == 3
            # Larger than the MTU: fragments.
            assert client.answers(target, size=3_000) == 3
            page = ("-m", "http.server", "8000", "--bind", target, "--directory", str(Path(__file__).parent))
            url = (
                f"http://[{target}]:8000/live_net.py"
                if ":" in target
                else f"http://{target}:8000/live_net.py"
            )
            with server.program(sys.executable, *page):
                fetch = (
                    "curl",
                    "-s",
                    "--retry",
                    "30",
                    "--retry-connrefused",
                    "--retry-delay",
                    "1",
                    "-m",
                    "20",
                    url,
                )
                assert client.run(*fetch) == (Path(__file__).parent / "live_net.py").read_text()
            assert transfer(client, server, target)["bytes"] > 100_000
            assert transfer(client, server, target, "-R")["bytes"] > 100_000
        # Behind the translation nobody gets in.
        assert server.answers("192.0.2.2", count=1) == 0
        assert server.answers("2001:db8:1::2", count=1) == 0
        assert {":" in each.src for each in stack.connections() if each.translated} == {False, True}
        for address in ("192.0.2.1", "2001:db8:1::1"):
            assert client.answers(address, count=1) == 1
        # Whatever the router has translated and cut, the kernels found right.
        assert client.wrong_checksums() == server.wrong_checksums() == 0
    for space in (client, server):
        assert kind not in LEAVE or "nf0" not in space.links()


@pytest.mark.parametrize("kind", [tap, packet])
def test_kernels_take_the_resets_of_rules(kind: Opened, spaces: list[Namespace], tmp_path: Path) -> None:
    """Their segments come without a checksum: they leave it to the device."""
    client, server, middle = spaces
    rules = "".join(
        f"chain {hook} {{\ntype filter hook {hook} priority 0\ntcp dport 22 reject with tcp reset\n}}\n"
        for hook in ("input", "forward")
    )
    (tmp_path / "rules.nft").write_text(f"table inet t {{\n{rules}}}\n")
    with router(kind, client, server, middle) as stack, stack.serving():
        stack.load_rules(tmp_path / "rules.nft")
        for target in (*TARGETS, "192.0.2.1", "2001:db8:1::1"):
            until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
            url = f"http://[{target}]:22/" if ":" in target else f"http://{target}:22/"
            # 7 is a connection refused, 28 one without an answer.
            with pytest.raises(AssertionError, match=r"curl: \(7\)"):
                client.run("curl", "-sS", "-m", "5", url)


CONFIG = """\
[stack]
name = "{name}"
tracking = "on"

[[port]]
name = "lan"
addresses = ["192.0.2.1/24", "2001:db8:1::1/64"]
device = {{ kind = "tap", name = "nf0", netns = "{client}", addresses = ["192.0.2.2/24", "2001:db8:1::2/64"] }}

[[port]]
name = "wan"
addresses = ["198.51.100.1/24", "2001:db8:2::1/64"]
device = {{ kind = "tap", name = "nf0", netns = "{server}", addresses = ["198.51.100.2/24", "2001:db8:2::2/64"] }}
"""


@contextlib.contextmanager
def netfast_run(
    spaces: list[Namespace], folder: Path, *more: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`netfast run` between the namespaces, until it ends by itself or is killed at the end of the block."""
    client, server, _ = spaces
    path = folder / "edge.toml"
    path.write_text(CONFIG.format(name=f"live-{os.getpid()}", client=client.name, server=server.name))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    command = [sys.executable, "-c", "from netfast.cli import main; main()", "run", str(path), *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        until("the ports are there", lambda: "nf0" in client.links() and "nf0" in server.links())
        routes(client, server)
        until("packets go through", lambda: client.answers("198.51.100.2", count=1) == 1)
        yield process, environment
    finally:
        process.kill()
        process.communicate()


def neighbours(folder: Path, environment: dict[str, str]) -> str:
    """What `netfast neigh` says of the node that `netfast_run` runs."""
    program = "from netfast.cli import main; main()"
    command = [sys.executable, "-c", program, "neigh", str(folder / "edge.toml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=LIMIT)
    return done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(
    spaces: list[Namespace], tmp_path: Path, number: signal.Signals
) -> None:
    client, server, _ = spaces
    with netfast_run(spaces, tmp_path, "--json") as (process, environment):
        assert client.answers("2001:db8:2::2") == 3
        assert "192.0.2.2 dev lan lladdr" in neighbours(tmp_path, environment)
        time.sleep(1.1)
        process.send_signal(number)
        out, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == (0 if number == signal.SIGTERM else 130)
    assert "nf0" not in client.links() | server.links()
    assert list((tmp_path / "netfast").iterdir()) == []
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert any(row["ports"]["lan"]["received"] > 3 for row in rows if "ports" in row)


def test_killed_and_started_again(spaces: list[Namespace], tmp_path: Path) -> None:
    client, server, _ = spaces
    for _ in range(2):
        with netfast_run(spaces, tmp_path) as (process, _environment):
            assert client.answers("2001:db8:2::2") == 3
            process.kill()
            process.communicate(timeout=LIMIT)
            until("the interfaces are gone", lambda: "nf0" not in client.links() | server.links())


def test_a_port_that_disappears_returns(spaces: list[Namespace]) -> None:
    client, server, middle = spaces
    told: list[nf.Event] = []
    with router(tap, client, server, middle) as stack, stack.serving(on_events=told.extend):
        until("it answers", lambda: client.answers("198.51.100.2", count=1) == 1)
        server.ip("link delete nf0")
        until("it is told", lambda: any(event.kind == "port_gone" for event in told))
        until("it is back", lambda: any(event.kind == "port_returned" for event in told))
        routes(client, server)
        until("it answers again", lambda: client.answers("198.51.100.2", count=1) == 1)
        # Its MTU is followed, too.
        server.ip("link set nf0 mtu 1400")
        until("the MTU", lambda: next(p["mtu"] for p in stack.ports() if p["name"] == "wan") == 1400)
        server.ip("link set nf0 down")
        until("it is down", lambda: any(e.kind == "port_link" and not e.details["up"] for e in told))
        server.ip("link set nf0 up")


def test_privileges_can_be_dropped(spaces: list[Namespace], tmp_path: Path) -> None:
    client, server, _ = spaces
    tmp_path.chmod(0o755)
    with netfast_run(spaces, tmp_path, "--user", "nobody") as (process, environment):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "Uid:\t0" not in status
        assert "CapEff:\t0000000000000000" in status
        assert client.answers("2001:db8:2::2") == 3
        # Who has started it asks it still.
        assert "192.0.2.2 dev lan lladdr" in neighbours(tmp_path, environment)
        process.terminate()
        process.communicate(timeout=LIMIT)
    assert "nf0" not in client.links() | server.links()
    # The socket is gone; its folder waits for the next node, who is root again.
    assert [path.name for path in (tmp_path / "netfast").rglob("*")] == [f"live-{os.getpid()}"]
    with netfast_run(spaces, tmp_path):
        assert client.answers("2001:db8:2::2") == 3


SERVED = """\
import json, sys
import netfast as nf

def tell(events):
    for event in events:
        print(json.dumps({"kind": event.kind, **event.details}), flush=True)

stack = nf.Stack("dropped")
with stack:
    stack.add_port("lan", device=nf.Tap("nf0", netns=sys.argv[1], addresses=["192.0.2.2/24"]))
    stack.add_port("wan", device=nf.Faults(nf.PacketSocket("nf1", netns=sys.argv[2])))
    stack.drop_privileges("nobody")
    print("{}", flush=True)
    stack.serve(on_events=tell)
"""


def test_what_goes_after_privileges_were_dropped_comes_back_or_says_why(spaces: list[Namespace]) -> None:
    client, _, middle = spaces

    def add() -> None:
        middle.ip("link add nf1 type veth peer name nf2")
        middle.ip("link set nf1 up")
        middle.ip("link set nf2 up")

    add()
    command = [sys.executable, "-c", SERVED, client.name, middle.name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = (json.loads(line) for line in process.stdout)
            assert next(lines) == {}

            def told(kind: str, port: str) -> dict[str, str]:
                return next(line for line in lines if line.get("kind") == kind and line["port"] == port)

            # The socket was kept, and is bound again without privileges, as often as that takes.
            for _ in range(2):
                middle.ip("link delete nf1")
                told("port_gone", "wan")
                add()
                told("port_returned", "wan")
            client.ip("link delete nf0")
            told("port_gone", "lan")
            refused = told("port_refused", "lan")
            assert "not permitted" in refused["error"]
            assert "as root" in refused["error"] or "CAP_NET_ADMIN" in refused["error"]
            process.terminate()
            assert not [line for line in lines if line.get("kind") == "port_refused"]
        finally:
            process.kill()


def test_two_workers_have_a_queue_of_an_interface_each(spaces: list[Namespace]) -> None:
    client, _, _ = spaces
    addresses = ["192.0.2.2/24", *(f"192.0.2.{number}/24" for number in range(10, 30))]
    stacks = [nf.Stack(f"worker{number}") for number in range(2)]
    with contextlib.ExitStack() as opened:
        for number, stack in enumerate(stacks):
            opened.enter_context(stack)
            tun = nf.Tun("nf0", netns=client.name, addresses=() if number else addresses, queues=1)
            stack.add_port("lan", device=tun, addresses=["192.0.2.1/24"])
            opened.enter_context(stack.serving())
        until("it answers", lambda: client.answers("192.0.2.1", count=1) == 1)
        for address in addresses:
            source = address.partition("/")[0]
            client.run("ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", "-I", source, "192.0.2.1")
        received = [stack.live["ports"]["lan"]["received"] for stack in stacks if stack.live]
        assert sum(received) >= 2 * len(addresses)
        assert all(count > 0 for count in received), received


def test_two_routers_share_their_interfaces_by_groups(spaces: list[Namespace]) -> None:
    client, server, middle = spaces
    names = {"lan": veth(client, CLIENT, middle), "wan": veth(server, SERVER, middle)}
    routes(client, server)
    sources = [f"192.0.2.{number}" for number in range(10, 30)]
    for source in sources:
        client.ip(f"addr add {source}/24 dev nf0")
    macs = {space.name: json.loads(space.ip("-j link show nf0"))[0]["address"] for space in (client, server)}
    stacks = [nf.Stack(f"worker{number}", tracking="on") for number in range(2)]
    with contextlib.ExitStack() as opened:
        for stack in stacks:
            opened.enter_context(stack)
            for port, group, addresses in (("lan", 6, LAN), ("wan", 7, WAN)):
                eth = nf.PacketSocket(names[port], netns=middle.name, group=group)
                stack.add_port(port, device=eth, addresses=addresses)
            for host in ("192.0.2.2", *sources):
                stack.add_neighbour("lan", host, macs[client.name])
            stack.add_neighbour("wan", "198.51.100.2", macs[server.name])
            stack.load_rules(RULES)
        for stack in stacks:
            opened.enter_context(stack.serving())
        until("it answers", lambda: client.answers("198.51.100.2", count=1) == 1)
        for source in sources:
            # Answers pass the rules of the one that saw the question.
            client.run("ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", "-I", source, "198.51.100.2")
        passed = [stack.live["ports"]["wan"]["sent"] for stack in stacks if stack.live]
        assert sum(passed) >= 2 * len(sources)
        assert all(count > 1 for count in passed), passed


def test_a_configuration_names_queues_and_groups(spaces: list[Namespace], tmp_path: Path) -> None:
    client, server, middle = spaces
    name = veth(server, SERVER, middle)
    path = tmp_path / "queues.toml"
    path.write_text(f"""
[[port]]
name = "lan"
addresses = ["{LAN[0]}", "{LAN[1]}"]

[port.device]
kind = "tap"
name = "nf0"
netns = "{client.name}"
addresses = ["{CLIENT[0]}", "{CLIENT[1]}"]
queues = 2
queue_length = 700
queue_packets = 8192
patience = 0.5

[[port]]
name = "wan"
addresses = ["{WAN[0]}", "{WAN[1]}"]

[port.device]
kind = "packet"
interface = "{name}"
netns = "{middle.name}"
queues = 2
fan_out = "cpu"
group = 9
slots = 1024
""")
    stack = nf.Stack.from_toml(path)
    with stack, stack.serving():
        assert "qlen 700" in client.ip("link show nf0")
        assert "multi_queue" in client.ip("-d link show nf0")
        routes(client, server)
        for target in TARGETS:
            until("it answers", lambda target=target: client.answers(target, count=1) == 1)
        path.write_text(stack.to_toml())
        again = nf.Stack.from_toml(path)
        assert [port["device"] for port in again.ports()] == ["tap", "packet"]


def test_dropped_privileges_do_not_come_back() -> None:
    program = (
        "import os, threading, netfast as nf\n"
        "stay = threading.Event()\n"
        "threading.Thread(target=stay.wait, daemon=True).start()\n"
        "try:\n"
        "    nf.Stack().drop_privileges('root')\n"
        "except nf.ConfigError as error:\n"
        "    assert error.option == 'user'\n"
        "nf.Stack().drop_privileges('nobody')\n"
        "assert 0 not in os.getgroups() and os.getresgid()[0] != 0\n"
        "for regain in (os.setuid, os.setgid, os.seteuid):\n"
        "    try:\n"
        "        regain(0)\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise SystemExit('root again')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)


def test_capabilities_that_stay_are_told() -> None:
    # As a program with capabilities of its own: another user that may set users.
    program = (
        "import netfast as nf\n"
        "try:\n"
        "    nf.Stack().drop_privileges('nobody')\n"
        "except PermissionError as error:\n"
        "    assert 'start the program as root' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('told nothing')\n"
    )
    caps = "+setuid,+setgid,+net_admin"
    command = ["setpriv", "--reuid", "1", "--inh-caps", caps, "--ambient-caps", caps]
    subprocess.run([*command, sys.executable, "-c", program], check=True, timeout=LIMIT)
