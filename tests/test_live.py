"""A stack on live ports that need no privileges: memory links, Unix sockets, captures."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import netfast as nf
from netfast.cli import main
from netfast.cli._live import Control, ask, control_path
from netfast.headers import UDP, Ethernet, IPv4
from nodes import CLIENT, LAN, UPLINK, WAN, query

DATA = Path(__file__).parent / "data"
LIMIT = 10.0
PROGRAM = str(Path(sysconfig.get_path("scripts")) / "netfast")


def wait_for(what: Callable[[], bool], seconds: float = LIMIT) -> None:
    """Until it is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


def received(device: nf.Device, count: int) -> list[bytes]:
    """So many frames of a device."""
    frames: list[bytes] = []

    def enough() -> bool:
        frames.extend(device.receive())
        return len(frames) >= count

    wait_for(enough)
    return frames


class Router:
    """A router whose ports are one end each of links in memory; the other ends are the test's."""

    def __init__(self, **settings: Any) -> None:
        self.stack = nf.Stack("live", **{"seed": 7, "verify": True, "tracking": "on", **settings})
        self.client, lan = nf.MemoryLink.pair(names=("client", "lan"))
        self.server, wan = nf.MemoryLink.pair(names=("server", "wan"))
        self.stack.add_port("lan", device=lan, mac=LAN, addresses=["192.0.2.1/24"])
        self.stack.add_port("wan", device=wan, mac=WAN, addresses=["203.0.113.1/24"])
        self.stack.add_route("0.0.0.0/0", via="203.0.113.254")
        self.stack.add_neighbour("wan", "203.0.113.254", UPLINK)
        self.stack.add_neighbour("lan", "192.0.2.7", CLIENT)


@pytest.fixture
def router() -> Iterator[Router]:
    made = Router()
    with made.stack, made.client, made.server:
        yield made
        assert made.stack.counters.conserved
        assert made.stack.differences() == []


def test_packets_go_through_while_it_serves(router: Router) -> None:
    with router.stack.serving() as stack:
        assert stack.is_serving
        assert router.client.send([query(1000 + number) for number in range(600)]) == 0
        frames = received(router.server, 600)
        assert [frame[34:36] for frame in frames] == [(1000 + n).to_bytes(2, "big") for n in range(600)]
        assert frames[0][:12] == bytes.fromhex("020000000099020000000002")
        live = stack.live
    assert not router.stack.is_serving
    assert live is not None
    assert (live["ports"]["lan"]["received"], live["ports"]["wan"]["sent"]) == (600, 600)
    assert live["ports"]["wan"]["queue_full"] == 0


def test_packets_for_ports_without_a_device_are_counted(router: Router) -> None:
    near, far = nf.MemoryLink.pair()
    with near, far, router.stack.serving() as stack:
        stack.add_port("gone", device=near, addresses=["10.9.0.1/24"])
        stack.add_neighbour("gone", "10.9.0.2", UPLINK)
        stack.add_route("198.51.100.0/24", via="10.9.0.2")
        near.close()
        router.client.send([query(1000 + number) for number in range(20)])
        wait_for(lambda: stack.live is not None and stack.live["nowhere"] == 20)


def test_time_goes_on_with_the_wall(router: Router) -> None:
    before = time.time_ns()
    with router.stack.serving():
        router.client.send([query()])
        received(router.server, 1)
    (connection,) = router.stack.connections()
    assert before - 10**6 <= connection.created_ns <= time.time_ns() + 10**6


def test_stop_timeout_and_until(router: Router) -> None:
    start = time.monotonic()
    router.stack.serve(timeout=0.05)
    assert 0.04 < time.monotonic() - start < LIMIT
    asked: list[int] = []
    router.stack.serve(until=lambda: asked.append(1) is None and len(asked) > 3)
    assert len(asked) == 4
    threading.Timer(0.05, router.stack.stop).start()
    router.stack.serve(timeout=LIMIT)
    assert time.monotonic() - start < LIMIT
    router.stack.stop()
    router.stack.serve(timeout=0.01)


def test_one_server_at_a_time(router: Router) -> None:
    with router.stack.serving(), pytest.raises(nf.ConfigError, match="is being served"):
        router.stack.serve(timeout=0.1)
    for option in ("busy_poll", "drain"):
        with pytest.raises(nf.ConfigError, match=option):
            router.stack.serve(**{option: -1.0})


def test_calls_come_between_while_packets_flow(router: Router) -> None:
    """However busy the loop is, whoever wants the stack gets it soon."""
    router.stack.on_new_flow(lambda flows: None)
    batch = [query(number) for number in range(1024, 1280)]
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            router.client.send(batch)
            router.server.receive()

    thread = threading.Thread(target=flood)
    with router.stack.serving():
        thread.start()
        took = []
        try:
            for number in range(50):
                start = time.monotonic()
                router.stack.add_route(f"198.18.{number}.0/24", via="203.0.113.254")
                router.stack.neighbours()
                took.append(time.monotonic() - start)
            wait_for(lambda: router.stack.counters.packets_in > 256)
        finally:
            over.set()
            thread.join()
    assert sorted(took)[len(took) // 2] < 0.5


def test_hooks_are_asked_and_may_use_the_stack(router: Router) -> None:
    seen: list[int | None] = []

    @router.stack.on_new_flow
    def hook(flows: list[nf.NewFlow]) -> list[str | None]:
        seen.extend(flow.src_port for flow in flows)
        router.stack.add_route("198.18.0.0/15", via="203.0.113.254", replace=True)
        return ["drop" if flow.src_port == 1001 else None for flow in flows]

    with router.stack.serving():
        router.client.send([query(1000), query(1001), query(1002)])
        assert len(received(router.server, 2)) == 2
    assert sorted(filter(None, seen)) == [1000, 1001, 1002]


def test_a_hook_that_exits_ends_the_block_and_no_packet_is_lost() -> None:
    router = Router(hook_policy="accept")

    @router.stack.on_new_flow
    def hook(flows: list[nf.NewFlow]) -> None:
        raise SystemExit(3)

    def serve() -> None:
        with router.stack.serving():
            router.client.send([query()])
            assert len(received(router.server, 1)) == 1
            wait_for(lambda: router.stack.counters.hook_failed == 1)

    with pytest.raises(SystemExit):
        serve()


def test_events_come_to_a_function(router: Router) -> None:
    told: list[nf.Event] = []
    with router.stack.serving(on_events=told.extend):
        router.client.send([query()])
        wait_for(lambda: any(event.kind == "new_connection" for event in told))
    assert router.stack.events() == []


def test_a_packet_of_its_own_leaves_by_the_device(router: Router) -> None:
    result = router.stack.send(IPv4(src="203.0.113.1", dst="198.51.100.1") / UDP(dst_port=9) / b"own")
    assert len(result["wan"]) == 0
    (frame,) = received(router.server, 1)
    assert frame.endswith(b"own")


def test_asyncio_serves_without_a_thread(router: Router) -> None:
    async def talk() -> int:
        serving = asyncio.create_task(router.stack.serve_async())
        threads = threading.active_count()
        router.client.send([query(number) for number in range(1000, 1300)])
        frames: list[bytes] = []
        for _ in range(1000):
            await asyncio.sleep(0.002)
            frames += router.server.receive()
            if len(frames) == 300:
                break
        assert threading.active_count() == threads
        router.stack.stop()
        await serving
        await router.stack.serve_async(timeout=0.02)
        canceled = asyncio.create_task(router.stack.serve_async())
        await asyncio.sleep(0.02)
        canceled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await canceled
        assert not router.stack.is_serving
        return len(frames)

    assert asyncio.run(talk()) == 300


def test_ports_come_and_go_while_it_serves(router: Router) -> None:
    with router.stack.serving() as stack:
        far, near = nf.MemoryLink.pair(names=("far", "near"), mtu=1400)
        stack.add_port("dmz", device=near, addresses=["198.51.100.254/24"])
        port = next(port for port in stack.ports() if port["name"] == "dmz")
        assert (port["mtu"], port["mac"][1] in "26ae", port["device"]) == (1400, True, "memory")
        stack.add_neighbour("dmz", "198.51.100.1", "02:00:00:00:00:77")
        router.client.send([query()])
        assert len(received(far, 1)) == 1
        dmz = stack.port("dmz")
        assert (dmz.mac, dmz.mtu, dmz.addresses) == (port["mac"], 1400, ["198.51.100.254/24"])
        stack.remove_port("dmz")
        assert not near.is_open
        with pytest.raises(nf.ConfigError, match='no port "dmz"'):
            dmz.mac  # noqa: B018
        router.client.send([query(2000)])
        received(router.server, 1)
        # Of a device that is closed its port is left.
        router.server.close()
        wait_for(lambda: bool(stack.live))


def test_a_device_is_at_one_port() -> None:
    stack = nf.Stack("one")
    one, other = nf.MemoryLink.pair()
    with stack, other:
        stack.add_port("a", device=one)
        with pytest.raises(nf.ConfigError, match="at a port already") as told:
            stack.add_port("b", device=one)
        assert told.value.option == "device"
        assert [port["name"] for port in stack.ports()] == ["a"]
        with pytest.raises(nf.ConfigError, match="belongs to a port"):
            one.receive()
        one.close()
        assert stack.live is not None
        assert stack.live["ports"] == {}
        one.close()
        with pytest.raises(nf.ConfigError, match="closed"):
            one.counters  # noqa: B018
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(other)


def test_a_device_that_was_closed_takes_nobody_elses_away() -> None:
    stack = nf.Stack("one")
    (first, _), (second, _) = nf.MemoryLink.pair(), nf.MemoryLink.pair()
    with stack:
        stack.add_port("a", device=first)
        stack.remove_port("a")
        stack.add_port("b", device=second)
        # The second port may have the number of the first.
        assert not first.is_open
        first.close()
        assert second.is_open
        assert stack.live is not None
        assert list(stack.live["ports"]) == ["b"]


def test_limits_of_a_queue(tmp_path: Path) -> None:
    """Nobody reads at the other end: what is more than may wait is dropped, and soon the rest."""
    (client, lan), stack = nf.MemoryLink.pair(), nf.Stack("small", seed=1)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "peer"))
    with stack, client, listening:
        stack.add_port("lan", device=lan, mac="02:00:00:00:00:01", addresses=["192.0.2.1/24"])
        wan = nf.UnixLink(tmp_path / "own", tmp_path / "peer", queue_packets=8, patience=0.05)
        stack.add_port("wan", device=wan, mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
        stack.add_route("0.0.0.0/0", via="203.0.113.254")
        stack.add_neighbour("wan", "203.0.113.254", "02:00:00:00:00:99")
        with stack.serving():
            end = time.monotonic() + LIMIT
            while True:
                client.send([query(number) for number in range(2000, 2100)])
                assert stack.live is not None
                found = stack.live["ports"]["wan"]
                assert found["queued"] <= 8
                if found["stalled"] >= 8:
                    break
                assert time.monotonic() < end, found
                time.sleep(0.01)
    with pytest.raises(nf.ConfigError, match="patience"):
        nf.UnixLink(tmp_path / "a", tmp_path / "b", patience=0.0)
    with pytest.raises(nf.ConfigError, match="queue_packet"):
        nf.UnixLink(tmp_path / "a", tmp_path / "b", queue_packet=1)  # type: ignore[call-arg]


def test_who_is_stopped_does_not_drain_twice(tmp_path: Path) -> None:
    (client, lan), stack = nf.MemoryLink.pair(), nf.Stack("slow", seed=1)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "peer"))
    with stack, client, listening:
        stack.add_port("lan", device=lan, mac="02:00:00:00:00:01", addresses=["192.0.2.1/24"])
        wan = nf.UnixLink(tmp_path / "own", tmp_path / "peer", patience=60.0)
        stack.add_port("wan", device=wan, mac="02:00:00:00:00:02", addresses=["203.0.113.1/24"])
        stack.add_route("0.0.0.0/0", via="203.0.113.254")
        stack.add_neighbour("wan", "203.0.113.254", "02:00:00:00:00:99")

        def blocked() -> bool:
            client.send([query(number) for number in range(2000, 2100)])
            assert stack.live is not None
            return bool(stack.live["ports"]["wan"]["queued"])

        stack.serve(timeout=LIMIT, until=blocked, drain=0.0)
        assert blocked()
        threading.Timer(0.1, stack.stop).start()
        start = time.monotonic()
        stack.serve(timeout=LIMIT, drain=0.8)
        assert 0.8 <= time.monotonic() - start < 1.6


def test_what_waits_leaves_before_the_end(router: Router) -> None:
    """The other end takes 1,024 packets; what comes then waits, and so does its sender."""
    over, taken = threading.Event(), list[bytes]()

    def read() -> None:
        while not over.wait(0.01):
            taken.extend(router.server.receive())

    reader = threading.Thread(target=read)
    with router.stack.serving(drain=LIMIT) as stack:
        frames = [query(number) for number in range(1024, 1280)]

        def waits() -> bool:
            router.client.send(frames)
            return stack.live is not None and stack.live["ports"]["wan"]["queued"] >= 512

        wait_for(waits)
        reader.start()
    over.set()
    reader.join()
    while more := router.server.receive():
        taken.extend(more)
    assert stack.live is not None
    ports = stack.live["ports"]
    assert ports["wan"]["queued"] == ports["wan"]["queue_full"] == ports["wan"]["stalled"] == 0
    assert ports["lan"]["paused"] > 0
    assert len(taken) == ports["wan"]["sent"] == ports["lan"]["received"]


def test_sigterm_and_interrupt_drain() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        made = Router()
        with made.stack, made.client, made.server:
            timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
            timer.start()
            start = time.monotonic()
            if number == signal.SIGINT:
                with pytest.raises(KeyboardInterrupt):
                    made.stack.serve(timeout=LIMIT)
            else:
                made.stack.serve(timeout=LIMIT)
            assert time.monotonic() - start < LIMIT / 2
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert not made.stack.is_serving


def test_a_fork_may_not_serve(router: Router) -> None:
    child = os.fork()
    if child == 0:
        try:
            router.stack.serve(timeout=0.1)
        except nf.ConfigError as error:
            os._exit(7 if "fork" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def frames_of(count: int) -> list[tuple[int, bytes]]:
    return [(10**9 + number * 10**6, query(1000 + number)) for number in range(count)]


def test_a_capture_comes_in_and_what_leaves_is_recorded(tmp_path: Path) -> None:
    source, out = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    nf.write(source, frames_of(50))
    made = nf.Stack("capture", tracking="off")
    with made:
        made.add_port("lan", device=nf.CaptureFile(source, speed=0), mac=LAN, addresses=["192.0.2.1/24"])
        made.add_port("wan", device=nf.CaptureFile(record=out), mac=WAN, addresses=["203.0.113.1/24"])
        made.add_route("0.0.0.0/0", via="203.0.113.254")
        made.add_neighbour("wan", "203.0.113.254", UPLINK)
        ended: list[nf.Event] = []
        made.serve(
            timeout=LIMIT, on_events=ended.extend, until=lambda: any(e.kind == "port_ended" for e in ended)
        )
        assert made.live is not None
        assert made.live["ports"]["lan"]["ended"]
    assert sum(len(batch) for batch in nf.Capture(out)) == 50


def test_two_stacks_over_udp() -> None:
    """A packet goes through one router, a UDP link and another router, as between two machines."""
    ends = []
    for one, other in ((47_311, 47_312), (47_312, 47_311)):
        ends.append(nf.UdpLink(f"127.0.0.1:{one}", f"127.0.0.1:{other}"))
    near, far = Router(tracking="off"), nf.Stack("far", seed=8)
    server, wan = nf.MemoryLink.pair()
    with near.stack, near.client, near.server, far, server, ends[0], ends[1]:
        near.stack.add_port("udp", device=ends[0], addresses=["198.18.0.1/30"])
        near.stack.add_route("198.51.100.0/24", via="198.18.0.2")
        far.add_port("udp", device=ends[1], addresses=["198.18.0.2/30"])
        far.add_port("wan", device=wan, addresses=["198.51.100.254/24"])
        far.add_neighbour("wan", "198.51.100.1", UPLINK)
        assert [port["point_to_point"] for port in far.ports()] == [True, False]
        with near.stack.serving(), far.serving():
            near.client.send([query(1000 + number) for number in range(20)])
            frames = received(server, 20)
        assert [nf.dissect(frame).hop_limit for frame in frames] == [62] * 20


def test_faults_tees_and_tracers(tmp_path: Path) -> None:
    one, other = nf.MemoryLink.pair()
    tee = tmp_path / "tee.pcapng"
    with nf.Tracer(nf.Tee(nf.Faults(one, loss=0.5, seed=3, direction="transmit"), tee), keep=5) as device:
        assert device.send([query(number) for number in range(1000, 1200)]) == 0
        passed = len(other.receive())
        assert 60 < passed < 140
        lines = device.last()
        assert len(lines) == 5
        assert "192.0.2.7:1199 > 198.51.100.1:53" in lines[-1]
        assert device.last() == []
        assert device.counters["dropped_out"] == {"injected": 200 - passed}
    assert sum(len(batch) for batch in nf.Capture(tee)) == 200
    with pytest.raises(nf.ConfigError, match="loss"):
        nf.Faults(other, loss=1.5)
    assert other.is_open
    other.close()


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(nf.ConfigError, match="mtu") as told:
        nf.UnixLink(tmp_path / "a", tmp_path / "b", mtu=10)
    assert told.value.option == "mtu"
    with pytest.raises(TypeError, match="mtu"):
        nf.UnixLink(tmp_path / "a", tmp_path / "b", mtu="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pair"):
        nf.MemoryLink()
    with pytest.raises(nf.ConfigError, match="record"):
        nf.CaptureFile()
    for missing in (tmp_path / "missing.pcap", tmp_path / "no" / "tee.pcapng"):
        one, other = nf.MemoryLink.pair()
        with one, other, pytest.raises(FileNotFoundError) as lost:
            nf.CaptureFile(missing) if missing.suffix == ".pcap" else nf.Tee(one, missing)
        assert lost.value.filename == str(missing)
    damaged = tmp_path / "damaged.pcap"
    nf.write(damaged, frames_of(2))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with nf.CaptureFile(damaged, speed=0) as replay, pytest.raises(nf.ParseError, match=str(damaged)):
        replay.receive()
    with pytest.raises(nf.ConfigError, match="fan_out"):
        nf.PacketSocket("lo", fan_out="evenly")
    with pytest.raises(nf.ConfigError, match="blocks"):
        nf.PacketSocket("lo", blocks=4)


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_a_file_that_is_replayed_is_not_overwritten(
    tmp_path: Path, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in.pcapng"
    nf.write(source, frames_of(20))
    before = source.read_bytes()
    written = source if link == "same" else tmp_path / "other.pcapng"
    if link == "symbolic":
        written.symlink_to(source)
    elif link == "hard":
        written.hardlink_to(source)
    refused = f"{written} is read, so it cannot be written"
    with nf.CaptureFile(source) as device:
        with pytest.raises(nf.ConfigError, match=refused) as told:
            nf.Tee(nf.Tracer(device), written)
        assert told.value.option == "path"
    with pytest.raises(nf.ConfigError, match=refused) as told:
        nf.CaptureFile(source, record=written)
    assert told.value.option == "record"
    with nf.Stack("tapped") as stack:
        stack.add_port("lan", device=nf.CaptureFile(source), mac=LAN, addresses=["192.0.2.1/24"])
        with pytest.raises(nf.ConfigError, match=refused):
            stack.tap("lan", written)
    config = tmp_path / "edge.toml"
    replay = f'{{ kind = "capture", replay = "{source}" }}'
    head = '[[port]]\nname = "{}"\nmac = "02:00:00:00:00:01"\ndevice = '
    tee = f'{{ kind = "tee", path = "{written}", device = {replay} }}'
    record = f'{{ kind = "faults", device = {{ kind = "capture", record = "{written}" }} }}'
    for devices, place in ((tee,), "4:10"), ((replay, record), "8:10"), ((record, replay), "4:10"):
        lines = (head.format(f"p{number}") + each for number, each in enumerate(devices))
        config.write_text("\n".join(lines) + "\n")
        done = CliRunner().invoke(main, ["check", str(config)])
        assert done.exit_code == 2, done.output
        assert f"{config}:{place}: " in done.output
        assert refused in done.output
    config.write_text(head.format("lan") + replay + "\n")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "lan.pcapng").symlink_to(source)
    other = tmp_path / "clients.pcapng"
    nf.write(other, frames_of(1))
    for command in (
        ["capture", f"capture:{source},speed=0", "-w", str(written)],
        ["replay", str(source), f"capture:record={written}", "--speed", "0"],
        ["run", str(config), "--tap", f"lan={written}", "--for", "0.1"],
        ["run", str(config), "--in", f"lan={other}", "--out", str(out)],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2, (command, done.output)
        assert "is read, so it cannot be written" in done.output, (command, done.output)
    assert source.read_bytes() == before


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_a_file_has_one_writer(tmp_path: Path, link: str) -> None:
    source, written, other = (tmp_path / name for name in ("in.pcapng", "out.pcapng", "other.pcapng"))
    nf.write(source, frames_of(20))
    if link == "symbolic":
        other.symlink_to(written)
    elif link == "hard":
        written.write_bytes(b"kept")
        other.hardlink_to(written)
    else:
        other = written
    done = CliRunner().invoke(
        main, ["capture", f"capture:{source},record={other},speed=0", "-w", str(written)]
    )
    assert done.exit_code == 2, done.output
    assert f"{written} would be written twice: give two names to record= and -w" in done.output
    assert not written.exists() or written.read_bytes() == b"kept"


CONFIG = """\
[stack]
name = "live-{pid}"

[[port]]
name = "lan"
mac = "02:00:00:00:00:01"
addresses = ["192.0.2.1/24"]
device = {{ kind = "unix", local = "{dir}/lan.sock", remote = "{dir}/client.sock" }}

[[port]]
name = "wan"
addresses = ["203.0.113.1/24"]
device = {{ kind = "faults", delay = 0.001, device = {{ kind = "capture", record = "{dir}/wan.pcapng" }} }}

[[route]]
prefix = "0.0.0.0/0"
via = "203.0.113.254"

[[neighbour]]
port = "wan"
ip = "203.0.113.254"
mac = "02:00:00:00:00:99"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(dir=tmp_path, pid=os.getpid()))
    return path


def test_a_configuration_names_devices(config: Path, tmp_path: Path) -> None:
    stack = nf.Stack.from_toml(config)
    assert [port["device"] for port in stack.ports()] == ["unix", "faults"]
    assert not (tmp_path / "lan.sock").exists()
    text = stack.to_toml()
    again = tmp_path / "again.toml"
    again.write_text(text)
    assert nf.Stack.from_toml(again).to_toml() == text
    with stack:
        stack.open_ports()
        assert (tmp_path / "lan.sock").exists()
        assert stack.live is not None
        assert set(stack.live["ports"]) == {"lan", "wan"}
    assert not (tmp_path / "lan.sock").exists()


@pytest.mark.parametrize(
    ("device", "message", "place"),
    [
        ('{ kind = "tum" }', 'did you mean "tun"', (4, 10)),
        ('{ name = "nf0" }', 'no "kind"', (4, 10)),
        ('{ kind = "tun", nam = "x" }', 'did you mean "name"', (4, 32)),
        ('{ kind = "tun", mtu = "x" }', "mtu: expected a number of bytes", (4, 32)),
        ('{ kind = "tun", mtu = 5 }', "from 68 to 65535", (4, 32)),
        ('{ kind = "tap", name = "nf-of-the-longest" }', "at most 15 bytes", (4, 33)),
        ('{ kind = "packet", interface = "a/b" }', "without slash", (4, 41)),
        ('{ kind = "memory" }', "tun, tap, unix, unix-stream, packet, udp, faults, tee, capture", (4, 10)),
        ('"tun"', "a table such as", (4, 10)),
        ('{ kind = "faults", loss = 0.1 }', 'no "device"', (4, 10)),
        ('{ kind = "faults", device = { kind = "unix", local = "a" } }', 'no "remote"', (4, 38)),
    ],
)
def test_mistakes_in_devices_have_a_place(
    tmp_path: Path, device: str, message: str, place: tuple[int, int]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f'[[port]]\nname = "a"\nmac = "02:00:00:00:00:01"\ndevice = {device}\n')
    with pytest.raises(nf.ConfigError) as told:
        nf.Stack.from_toml(path)
    assert message in str(told.value)
    assert (told.value.line, told.value.column) == place


@pytest.mark.parametrize(
    "name", [".", "..", "a/b", "a:b", "a b", "a\tb", "a\vb", "\u00e0", "sixteen-letters!"]
)
def test_names_that_linux_refuses_are_refused(name: str) -> None:
    with pytest.raises(nf.ConfigError, match="at most 15 bytes without slash, colon and space"):
        nf.PacketSocket(name)


@pytest.mark.parametrize("name", [".x", "...", "a\u00e9", "fifteen-letters"])
def test_names_that_linux_takes_are_taken(name: str) -> None:
    # There is no such interface, or it may not be opened.
    with pytest.raises((nf.ConfigError, PermissionError)) as told:
        nf.PacketSocket(name)
    assert "15 bytes" not in str(told.value)


@pytest.mark.parametrize(
    ("devices", "what"),
    [
        (('{ kind = "tun", name = "nf0" }', '{ kind = "tap", name = "nf0" }'), "interface nf0"),
        (('{ kind = "tap", fd = 5 }', '{ kind = "tun", fd = 5 }'), "descriptor 5"),
        (
            (
                '{ kind = "packet", interface = "eth0", netns = "blue" }',
                '{ kind = "faults", device = { kind = "packet", interface = "eth0", netns = "blue" } }',
            ),
            "interface eth0 of blue",
        ),
        (
            (
                '{ kind = "unix", local = "/run/./a", remote = "/run/b" }',
                '{ kind = "unix-stream", path = "/run/a", listen = true }',
            ),
            "socket /run/a",
        ),
        (
            (
                '{ kind = "udp", local = "127.0.0.1:4000", remote = "127.0.0.1:4001" }',
                '{ kind = "udp", local = "127.0.0.1:4000", remote = "127.0.0.1:4002" }',
            ),
            "address 127.0.0.1:4000",
        ),
        (
            (
                '{ kind = "capture", record = "/tmp/out.pcapng" }',
                '{ kind = "tee", path = "/tmp/out.pcapng", device = { kind = "tun" } }',
            ),
            "file /tmp/out.pcapng",
        ),
    ],
)
def test_one_device_at_two_ports_is_refused(tmp_path: Path, devices: tuple[str, str], what: str) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(
        "".join(f'[[port]]\nname = "{n}"\ndevice = {d}\n' for n, d in zip("ab", devices, strict=True))
    )
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 2
    told = f"twice.toml:6:10: device: {what} is there already (line 3); a device is at one port"
    assert told in done.output, done.output


def test_a_link_in_memory_is_not_in_the_text_of_a_node(tmp_path: Path) -> None:
    one, other = nf.MemoryLink.pair()
    with nf.Stack("text") as stack, other:
        stack.add_port("lan", device=nf.Tracer(one), mac=LAN, addresses=["192.0.2.1/24"])
        text = stack.to_toml()
    path = tmp_path / "text.toml"
    path.write_text(text)
    assert [port.get("device") for port in nf.Stack.from_toml(path).ports()] == [None]


def test_devices_that_only_look_alike_are_two(tmp_path: Path) -> None:
    devices = [
        '{ kind = "tun", name = "nf0" }',
        '{ kind = "tun", name = "nf0", netns = "blue" }',
        '{ kind = "tun" }',
        '{ kind = "tun" }',
        '{ kind = "udp", local = "127.0.0.1:0", remote = "127.0.0.1:4001" }',
        '{ kind = "udp", local = "127.0.0.1:0", remote = "127.0.0.1:4002" }',
        '{ kind = "unix-stream", path = "a.sock" }',
        '{ kind = "unix-stream", path = "a.sock", listen = true }',
        '{ kind = "capture", replay = "a.pcap" }',
        '{ kind = "capture", replay = "a.pcap" }',
    ]
    path = tmp_path / "alike.toml"
    path.write_text("".join(f'[[port]]\nname = "p{n}"\ndevice = {d}\n' for n, d in enumerate(devices)))
    assert [finding for finding in nf.check(path) if finding.severity == "error"] == []


def test_files_of_devices_are_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    nf.write(folder / "in.pcap", frames_of(20))
    path = folder / "edge.toml"
    path.write_text(
        '[[port]]\nname = "lan"\nmac = "02:00:00:00:00:01"\naddresses = ["192.0.2.1/24"]\n'
        'device = { kind = "tee", path = "tee.pcapng", device = { kind = "capture", replay = "in.pcap", speed = 0 } }\n'
        '[[port]]\nname = "wan"\naddresses = ["203.0.113.1/24"]\n'
        'device = { kind = "capture", record = "out.pcapng" }\n'
        '[[route]]\nprefix = "0.0.0.0/0"\nvia = "203.0.113.254"\n'
        '[[neighbour]]\nport = "wan"\nip = "203.0.113.254"\nmac = "02:00:00:00:00:99"\n'
    )
    monkeypatch.chdir(tmp_path)
    stack = nf.Stack.from_toml("conf/edge.toml")
    with stack:
        ended: list[nf.Event] = []
        stack.serve(
            timeout=LIMIT, on_events=ended.extend, until=lambda: any(e.kind == "port_ended" for e in ended)
        )
    for name in ("tee.pcapng", "out.pcapng"):
        assert sum(len(batch) for batch in nf.Capture(folder / name)) == 20
    # Wherever its text goes, it says the same files.
    assert f'"{folder}/in.pcap"' in stack.to_toml()
    assert list(tmp_path.iterdir()) == [folder]


def test_netfast_run_serves_and_answers(config: Path, tmp_path: Path) -> None:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.bind(str(tmp_path / "client.sock"))

    def talk() -> None:
        wait_for((tmp_path / "lan.sock").exists)
        frame = bytes(
            Ethernet(src=CLIENT, dst=LAN)
            / IPv4(src="192.0.2.7", dst="198.51.100.1")
            / UDP(src_port=1, dst_port=2)
            / b"hello"
        )
        client.sendto(frame, str(tmp_path / "lan.sock"))

    thread = threading.Thread(target=talk)
    thread.start()
    done = CliRunner().invoke(main, ["run", str(config), "--for", "1.2", "--json"])
    thread.join()
    client.close()
    assert done.exit_code == 0, done.output
    assert '"received": 1,' in done.output
    assert sum(len(batch) for batch in nf.Capture(tmp_path / "wan.pcapng")) == 1
    assert list((tmp_path / "netfast").iterdir()) == []


LOGGED = """\
rules = '''
table inet filter {
    chain forward {
        type filter hook forward priority filter;
        udp dport 2 counter log prefix "seen " accept
    }
}
'''
"""


@pytest.mark.parametrize("options", [[], ["--log"], ["--rules"], ["--rules", "--json"]])
def test_netfast_run_tells_live_rules_and_their_log(config: Path, tmp_path: Path, options: list[str]) -> None:
    config.write_text(LOGGED + config.read_text())
    frame = bytes(
        Ethernet(src=CLIENT, dst=LAN)
        / IPv4(src="192.0.2.7", dst="198.51.100.1")
        / UDP(src_port=1, dst_port=2)
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(tmp_path / "client.sock"))

        def talk() -> None:
            wait_for((tmp_path / "lan.sock").exists)
            for _ in range(3):
                client.sendto(frame, str(tmp_path / "lan.sock"))

        thread = threading.Thread(target=talk)
        thread.start()
        done = CliRunner().invoke(main, ["run", str(config), "--for", "0.6", *options])
        thread.join()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    if "--json" in options:
        assert sum('"event": "log"' in line for line in lines) == 3
        assert json.loads(lines[-1])["rules"][0]["hits"] == 3
        return
    assert sum("prefix=seen " in line for line in lines) == (3 if "--log" in options else 0)
    assert ("log: 3 lines, which --log shows" in lines) == ("--log" not in options)
    told = '  3  inet filter forward line 5: udp dport 2 counter log prefix "seen " accept'
    assert (told in lines) == ("--rules" in options), done.stdout


def test_questions_to_a_node_that_runs(config: Path, tmp_path: Path) -> None:
    stack = nf.Stack.from_toml(config)
    with stack, Control(stack, str(config)) as control:
        path = control_path(stack.name)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                control.answer()
                time.sleep(0.005)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert ask(stack.name, str(config), "neighbours")[0]["ip"] == "203.0.113.254"
            assert ask(stack.name, str(config), "connections") == []
            with pytest.raises(nf.ConfigError, match="ask for neighbours"):
                ask(stack.name, str(config), "nothing")
            with pytest.raises(nf.ConfigError, match="runs already"):
                Control(stack, str(config))
            done = CliRunner().invoke(main, ["neigh", str(config)])
            assert "203.0.113.254 dev wan lladdr 02:00:00:00:00:99" in done.output
            # A node of the same name is another one where its configuration is.
            other = tmp_path / "other.toml"
            other.write_text(config.read_text())
            done = CliRunner().invoke(main, ["neigh", str(other)])
            assert done.exit_code == 2
            assert f"the node {stack.name!r} that runs is that of {config}" in done.output
            # By another way it is the same.
            link = tmp_path / "link.toml"
            link.symlink_to(config)
            assert CliRunner().invoke(main, ["neigh", str(link), "--json"]).exit_code == 0
        finally:
            over.set()
            thread.join()
    done = CliRunner().invoke(main, ["neigh", str(config)])
    assert done.exit_code == 2
    assert "netfast run" in done.output


def test_a_node_runs_without_a_place_to_answer_at(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "netfast"
    folder.mkdir()
    folder.chmod(0o777)
    done = CliRunner().invoke(main, ["run", str(config), "--for", "0.1", "--json"])
    assert done.exit_code == 0, done.output
    assert f"{folder} is not this user's alone: the node runs, but netfast neigh cannot ask it" in done.stderr
    assert "set XDG_RUNTIME_DIR" in done.stderr
    assert '"received": 0,' in done.stdout
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.write_text("no folder")
    done = CliRunner().invoke(main, ["run", str(config), "--for", "0.1", "--json"])
    assert done.exit_code == 0, done.output
    assert "netfast neigh cannot ask it" in done.stderr


def test_a_name_too_long_for_a_socket_is_told(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("live-", "n" * 200))
    for command in (["run", str(config), "--for", "0.1"], ["neigh", str(config)]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2
        assert "[stack] name='nnn" in done.output
        assert "shorten the name" in done.output
    assert not (tmp_path / "netfast").exists()


def test_run_without_devices_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    path.write_text('[[port]]\nname = "a"\nmac = "02:00:00:00:00:01"\n')
    done = CliRunner().invoke(main, ["run", str(path)])
    assert done.exit_code == 2
    assert "no port has a device" in done.output


def test_what_the_stack_sends_is_at_the_time_of_the_devices() -> None:
    end, wan = nf.MemoryLink.pair()
    stack = nf.Stack("sender", seed=1)
    stack.add_port("wan", device=wan, mac=WAN, addresses=["203.0.113.1/24"])
    stack.send(nf.IPv4(src="203.0.113.1", dst="203.0.113.9") / nf.UDP(src_port=1, dst_port=2))
    times = [event.time_ns for event in stack.events() if event.kind == "unresolved_neighbour"]
    assert len(times) == 1
    assert abs(times[0] - time.time_ns()) < 60e9
    with stack:
        stack.serve(timeout=0.05)
    assert stack.counters.dropped == 0
    assert any(frame[12:14] == b"\x08\x06" for frame in end.receive())


def test_mistakes_with_devices_say_what_is_expected() -> None:
    stack = nf.Stack("wrong", seed=1)
    with pytest.raises(TypeError, match=r"device: expected a device such as netfast\.PacketSocket"):
        stack.add_port("lan", device="eth0")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="device: expected a device"):
        nf.Faults(None)  # type: ignore[arg-type]
    with pytest.raises(nf.ConfigError, match="nothing to serve"):
        stack.serve()
    one, _other = nf.MemoryLink.pair()
    with pytest.raises(TypeError, match="frames: expected a list of frames"):
        one.send(b"frame")  # type: ignore[arg-type]
    with pytest.raises(nf.ConfigError, match="port=99999"):
        nf.Transmitter.udp("127.0.0.1", 99_999)


def test_who_connects_and_says_nothing_holds_nobody_up(config: Path, tmp_path: Path) -> None:
    stack = nf.Stack.from_toml(config)
    with stack, Control(stack, str(config)) as control:
        silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(4)]
        for peer in silent:
            peer.connect(str(control_path(stack.name)))
        start = time.monotonic()
        for _ in range(10):
            control.answer()
        assert time.monotonic() - start < 1.0
        silent[1].sendall(b"neighbours")
        wait_for(lambda: control.answer() or bool(select.select([silent[1]], [], [], 0)[0]))
        assert b"203.0.113.254" in silent[1].recv(4096)
        for peer in silent:
            peer.close()


def test_a_capture_that_is_terminated_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    with nf.UnixLink(str(tmp_path / "a.sock"), str(tmp_path / "b.sock")) as link:
        port = f"unix:local={tmp_path}/b.sock,remote={tmp_path}/a.sock"
        command = [PROGRAM, "capture", port, "-w", str(out)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for((tmp_path / "b.sock").exists, 60)
                left = [frame for _, frame in frames_of(30)]

                def sent() -> bool:
                    nonlocal left
                    if missed := link.send(left):
                        left = left[-missed:]
                    return not missed

                wait_for(sent)
                time.sleep(0.5)
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=60)
            finally:
                process.kill()
    assert process.returncode == 0, said
    assert "30 frames" in said
    assert sum(len(batch) for batch in nf.Capture(out)) == 30


def test_capture_and_replay(tmp_path: Path) -> None:
    source, out = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    nf.write(source, frames_of(100))
    done = CliRunner().invoke(main, ["capture", f"capture:{source},speed=0", "-w", str(out), "-c", "60"])
    assert done.exit_code == 0, done.output
    assert sum(len(batch) for batch in nf.Capture(out)) == 60
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(str(tmp_path / "peer.sock"))
    port = f"unix:local={tmp_path}/own.sock,remote={tmp_path}/peer.sock"
    got: list[bytes] = []

    def read() -> None:
        peer.settimeout(LIMIT)
        while len(got) < 100:
            got.append(peer.recv(2048))

    thread = threading.Thread(target=read)
    thread.start()
    start = time.monotonic()
    done = CliRunner().invoke(main, ["replay", str(source), port])
    thread.join()
    peer.close()
    assert done.exit_code == 0, done.output
    assert "100 frames sent" in done.output
    assert got == [frame for _, frame in frames_of(100)]
    # A packet each millisecond.
    assert time.monotonic() - start > 0.09


@pytest.mark.parametrize(
    ("name", "sent", "lost"),
    [
        ("big-tcp.pcap", 0, ", not sent: 136 cut by their capture"),
        ("wifi-wpa2.pcap", 0, ", not sent: 93 neither Ethernet frames nor IP packets"),
        # As many as tshark shows with `ip or ipv6`.
        ("wifi-open.pcap", 47, ", not sent: 65 neither Ethernet frames nor IP packets"),
        ("dns-udp.pcap", 24, ""),
    ],
)
def test_replay_tells_what_it_cannot_send(tmp_path: Path, name: str, sent: int, lost: str) -> None:
    out = tmp_path / "out.pcapng"
    done = CliRunner().invoke(main, ["replay", str(DATA / name), f"capture:record={out}", "--speed", "0"])
    assert f"{sent} frames sent{lost}\n" in done.output
    assert done.exit_code == (0 if sent else 1)
    assert sum(len(batch) for batch in nf.Capture(out)) == sent


@pytest.mark.parametrize(
    "command", [["capture", "pakket:lo", "-w", "x"], ["replay", str(DATA / "dns-udp.pcap"), "memory:lo"]]
)
def test_a_port_of_an_unknown_kind_is_told_the_kinds(command: list[str]) -> None:
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    for words in ("unknown kind", "tun, tap, packet, unix-stream, capture, unix, udp"):
        assert words in " ".join(done.output.split()), done.output
