"""What a router on live ports puts on the wire, as tcpdump and tshark see it, and what kernels make of its errors."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfast as nf
from live_net import (
    CLIENT,
    LAN,
    TARGETS,
    Namespace,
    Opened,
    namespaces,
    packet,
    plain_tap,
    router,
    tap,
    until,
    veth,
    why_not,
)

MISSING = why_not("ping", "curl", "iperf3", "tcpdump", "tshark")
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

CHECKED = tuple(f"{protocol}.check_checksum:TRUE" for protocol in ("ip", "tcp", "udp"))


@contextlib.contextmanager
def captured(space: Namespace, path: Path) -> Iterator[None]:
    """What passes the interface of a namespace, by tcpdump."""
    command = ["tcpdump", "-i", "nf0", "-U", "--immediate-mode", "-Z", "root", "-B", "16384", "-w", str(path)]
    with subprocess.Popen(
        ["ip", "netns", "exec", space.name, *command], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert any("listening" in line for line in process.stderr)
            yield
            time.sleep(0.5)
        finally:
            process.send_signal(signal.SIGINT)


def tshark(path: Path, expression: str, *fields: str, options: tuple[str, ...] = ()) -> list[str]:
    """The packets of a capture that an expression keeps."""
    more = [word for option in options for word in ("-o", option)]
    more += [word for field in fields for word in ("-e", field)]
    # What iperf3 sends looks like a protocol now and then.
    more += [word for protocol in ("tcp", "udp") for word in ("-d", f"{protocol}.port==5201,data")]
    command = ["tshark", "-n", "-r", str(path), "-Y", expression, "-T", "fields", *more]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


@pytest.mark.parametrize("kind", [tap, plain_tap, packet])
def test_tshark_finds_nothing_wrong_with_captures_of_the_kernels(kind: Opened, tmp_path: Path) -> None:
    files = [tmp_path / "client.pcap", tmp_path / "server.pcap"]
    with (
        namespaces("a", "b", "m") as (client, server, middle),
        router(kind, client, server, middle) as stack,
        captured(client, files[0]),
        captured(server, files[1]),
        stack.serving(),
    ):
        for target in TARGETS:
            until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
            assert client.answers(target, size=3_000) == 3
            page = ("-m", "http.server", "8000", "--bind", target, "--directory", str(Path(__file__).parent))
            host = f"[{target}]" if ":" in target else target
            with server.program(sys.executable, *page):
                retried = ("--retry", "30", "--retry-connrefused", "--retry-delay", "1", "-m", "20")
                client.run("curl", "-s", *retried, f"http://{host}:8000/live_net.py")
            for way in ((), ("-u", "-b", "20M", "-l", "1200")):
                with server.program("iperf3", "-s", "-1", "--forceflush") as listening:
                    assert listening.stdout is not None
                    assert any("listening" in line for line in listening.stdout)
                    client.run("iperf3", "-n", "2M", "-c", target, *way)
        # Nobody has that, of which the router tells; and of what is too long for the way on.
        client.answers("198.51.100.77", count=1)
    whole = kind is plain_tap
    for path in files:
        # What the kernel sends with its checksum yet to be filled in would count as wrong.
        wrong = tshark(
            path,
            "_ws.expert.severity >= 0x00800000",
            "frame.number",
            "_ws.expert.message",
            options=CHECKED if whole else (),
        )
        assert wrong == [], path.name
        for expression in ("arp", "icmp", "icmpv6", "http", "tcp", "udp", "ip.flags.mf == 1", "ipv6.fraghdr"):
            assert tshark(path, expression, "frame.number"), expression
        if whole:
            assert set(tshark(path, "tcp", "tcp.checksum.status", options=CHECKED)) == {"1"}
            assert set(tshark(path, "udp and not icmp", "udp.checksum.status", options=CHECKED)) <= {"1", "2"}


def test_the_mtu_of_a_port_changes_under_traffic() -> None:
    """The router says what fits, and TCP goes on with less, then with more."""
    with (
        namespaces("a", "b", "m") as (client, server, middle),
        router(tap, client, server, middle) as stack,
        stack.serving(),
    ):
        for target in TARGETS:
            until(f"{target} answers", lambda target=target: client.answers(target, count=1) == 1)
        with server.program("iperf3", "-s", "-1", "--forceflush") as listening:
            assert listening.stdout is not None
            assert any("listening" in line for line in listening.stdout)
            with client.program("iperf3", "-t", "4", "-i", "1", "-c", TARGETS[1]) as talk:
                for mtu in (1_400, 1_300, 1_500):
                    time.sleep(1)
                    server.ip(f"link set nf0 mtu {mtu}")
                    until("it is followed", lambda mtu=mtu: stack.port("wan").mtu == mtu)
                    if mtu == 1_400:
                        told = client.run(
                            "ping", "-c", "1", "-M", "do", "-s", "1420", TARGETS[0], check=False
                        )
                        assert "mtu = 1400" in told or "mtu=1400" in told, told
                        # Of IPv6 the stream has been told it.
                        assert "mtu 1400" in client.ip(f"-6 route get {TARGETS[1]}")
                out, _ = talk.communicate(timeout=30)
        assert talk.returncode == 0, out
        seconds = [line for line in out.splitlines() if "sec" in line and "bits/sec" in line]
        assert len(seconds) >= 5
        assert not any(" 0.00 bits/sec" in line for line in seconds), out
        assert client.wrong_checksums() == server.wrong_checksums() == 0


def descriptors() -> dict[int, int]:
    """The descriptors of this process, with their flags."""
    found = {}
    for path in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
            found[int(path.name)] = int(fields["flags"], 8)
    return found


def test_descriptors_are_closed_on_exec(tmp_path: Path) -> None:
    before = descriptors()
    with (
        namespaces("a", "b", "m") as (client, server, middle),
        router(packet, client, server, middle) as stack,
    ):
        one, other = nf.MemoryLink.pair()
        stack.add_port("memory", device=one)
        stack.add_port("tap", device=nf.Tap("nf1", netns=middle.name))
        stack.add_port("unix", device=nf.UnixLink(tmp_path / "a", tmp_path / "b"))
        stack.add_port("stream", device=nf.UnixStream(tmp_path / "c", listen=True))
        stack.add_port("udp", device=nf.UdpLink("127.0.0.1:0", "127.0.0.1:9"))
        stack.add_port("capture", device=nf.CaptureFile(record=tmp_path / "d.pcapng"))
        with other, stack.serving():
            opened = {fd: flags for fd, flags in descriptors().items() if fd not in before}
    assert len(opened) >= 9
    assert [os.O_CLOEXEC & flags for flags in opened.values()] == [os.O_CLOEXEC] * len(opened)
    # Its event loop goes with the stack, which a device that was at a port of it refers to.
    del stack, one
    left = {os.readlink(f"/proc/self/fd/{fd}") for fd in set(descriptors()) - set(before)}
    assert left == set()


def test_a_closed_packet_socket_leaves_nothing_behind() -> None:
    """Also what would open it again, while somebody has the closed device yet."""
    before = descriptors()
    with namespaces("a", "m") as (space, middle):
        name = veth(space, CLIENT[:1], middle)

        def promiscuity() -> str:
            return middle.ip(f"-d link show {name}").partition("promiscuity ")[2][:1]

        alone, traced, at_port = (nf.PacketSocket(name, netns=middle.name) for _ in range(3))
        tracer = nf.Tracer(nf.Faults(traced))
        assert promiscuity() == "3"
        alone.close()
        assert promiscuity() == "2"
        tracer.close()
        assert promiscuity() == "1"
        with nf.Stack("closed") as stack:
            stack.add_port("wan", device=at_port)
            stack.remove_port("wan")
            assert promiscuity() == "0"
        del stack, at_port
    assert {os.readlink(f"/proc/self/fd/{fd}") for fd in set(descriptors()) - set(before)} == set()
    assert [device.is_open for device in (alone, traced, tracer)] == [False] * 3


def netfast(*words: str) -> list[str]:
    """The command line as a program."""
    return [sys.executable, "-c", "from netfast.cli import main; main()", *words]


def test_capture_and_replay_at_ports_of_the_kernel(tmp_path: Path) -> None:
    packets = [
        nf.IPv4(src="192.0.2.1", dst="192.0.2.2") / nf.UDP(src_port=1000 + number, dst_port=9) / b"replayed"
        for number in range(50)
    ]
    sent, came, seen = (tmp_path / name for name in ("sent.pcap", "came.pcapng", "seen.pcap"))
    with namespaces("a", "m") as (space, middle):
        port = f"packet:{veth(space, CLIENT[:1], middle)},netns={middle.name}"
        nf.write(sent, [(10**9, bytes(nf.Ethernet(dst="ff:ff:ff:ff:ff:ff") / packet)) for packet in packets])
        with captured(space, seen):
            done = subprocess.run(
                netfast("replay", str(sent), port, "--speed", "0"), capture_output=True, text=True, timeout=60
            )
        assert done.returncode == 0, done.stderr
        assert "50 frames sent" in done.stderr
        assert len(tshark(seen, "udp.dstport == 9", "udp.srcport")) == 50
        process = subprocess.Popen(
            netfast("capture", port, "-w", str(came), "-c", "20"), stderr=subprocess.PIPE, text=True
        )
        with process:
            until("it listens", came.exists)
            # Nobody answers; what comes in are questions for the neighbour.
            while process.poll() is None:
                space.answers("192.0.2.1", count=1)
        assert process.returncode == 0
    assert sum(len(batch) for batch in nf.Capture(came)) == 20
    assert tshark(came, "arp.dst.proto_ipv4 == 192.0.2.1", "frame.number")


def test_a_descriptor_that_somebody_else_opened_becomes_a_port() -> None:
    """As a supervisor hands over what only it may open."""
    # TUNSETIFF, and IFF_TUN | IFF_NO_PI | IFF_VNET_HDR: linux/if_tun.h.
    request, flags = 0x400454CA, 0x0001 | 0x1000 | 0x4000
    given = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    name = f"nfg{os.getpid()}"
    fcntl.ioctl(given, request, struct.pack("16sH22x", name.encode(), flags))
    with namespaces("a") as (space,):
        subprocess.run(["ip", "link", "set", name, "netns", space.name, "name", "nf0"], check=True)
        for address in CLIENT:
            space.ip(f"addr add {address} dev nf0" + (" nodad" if ":" in address else ""))
        space.ip("link set nf0 up")
        with nf.Stack("handed", verify=True) as stack, nf.Tun(fd=given) as tun:
            os.close(given)
            stack.add_port("lan", device=tun, addresses=LAN)
            with stack.serving():
                for address in LAN:
                    until("it answers", lambda address=address: space.answers(address.split("/")[0]) == 3)
        assert "nf0" not in space.links()
