"""Linux cuts super-packets as we do, merges packets where we do, and takes what we merged: TAP with virtio headers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netfast as nf
from kernel.netns import Namespace

# linux/if_tun.h and linux/if_packet.h.
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NAPI, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x10, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 1, 2, 4, 8
SOL_PACKET, PACKET_VNET_HDR = 263, 15
ETH_P_ALL = 3

ACK, PSH, FIN, CWR, ECE = 0x10, 0x08, 0x01, 0x80, 0x40
TIMESTAMPS = [("timestamps", (7, 9))]


def why_not() -> str | None:
    """Why Linux cannot be asked here."""
    missing = [program for program in ("ip", "ethtool") if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} of iproute2 and ethtool: not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "no TUN devices here: /dev/net/tun is missing"
    try:
        with Namespace(f"nfo-{os.getpid()}-try") as namespace:
            os.close(tap(namespace, "tap0"))
            namespace.run("ip", "link", "add", "br0", "type", "bridge")
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return f"no TAP devices in network namespaces here: {error}"
    return None


def tap(namespace: Namespace, name: str, flags: int = 0, offloads: int = 0) -> int:
    """A TAP device whose frames have virtio headers; it ends with its descriptor."""
    with namespace.entered():
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags |= IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(descriptor, TUNSETOFFLOAD, offloads)
    namespace.run("ip", "link", "set", name, "up")
    return descriptor


MISSING = why_not()
pytestmark = [pytest.mark.root, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


def codec() -> nf.VirtioCodec:
    return nf.VirtioCodec(form="short", order="native", peer="tun")


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with Namespace(f"nfo-{os.getpid()}") as quiet:
        # No packets of its own.
        quiet.sysctl_at("ipv6/conf/all/disable_ipv6", 1)
        quiet.sysctl_at("ipv6/conf/default/disable_ipv6", 1)
        yield quiet


def tcp(v6: bool = False, *, length: int, flags: int = ACK, options: Any = None, **changes: Any) -> bytes:
    network: Any = nf.IPv6(src="2001:db8::1", dst="2001:db8::2")
    if not v6:
        network = nf.IPv4(
            src="192.0.2.1", dst="192.0.2.2", identification=changes.pop("identification", 7), dont_fragment=1
        )
    transport = nf.TCP(src_port=5, dst_port=6, seq=changes.pop("seq", 100), ack=9, flags=flags, window=99)
    if options:
        transport = transport.replace(options=options)
    payload = bytes(at * 13 % 251 for at in range(length))
    return bytes(
        nf.Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network / transport / payload
    )


def udp(v6: bool = False, *, length: int) -> bytes:
    network: Any = (
        nf.IPv6(src="2001:db8::1", dst="2001:db8::2") if v6 else nf.IPv4(src="192.0.2.1", dst="192.0.2.2")
    )
    payload = bytes(at * 13 % 251 for at in range(length))
    ethernet = nf.Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return bytes(ethernet / network / nf.UDP(src_port=5, dst_port=6) / payload)


def receive(reader: socket.socket, least: int, wait: float = 1.0) -> list[bytes]:
    """What comes, until nothing comes any more."""
    frames: list[bytes] = []
    reader.settimeout(wait)
    with contextlib.suppress(TimeoutError):
        while True:
            frames.append(reader.recv(1 << 17))
            reader.settimeout(wait if len(frames) < least else 0.05)
    return frames


SUPERS = {
    "tcp over IPv4": ("tcp4", 1000, tcp(length=5000)),
    "the last one is short": ("tcp4", 1448, tcp(length=4000, options=TIMESTAMPS, flags=ACK | PSH)),
    "identifications wrap": ("tcp4", 536, tcp(length=5000, identification=65_533, flags=ACK | FIN | PSH)),
    "sequence numbers wrap": ("tcp4", 700, tcp(length=3000, seq=(1 << 32) - 1000)),
    "CWR": ("tcp4", 1000, tcp(length=3000, flags=ACK | CWR | ECE | PSH)),
    "tcp over IPv6": ("tcp6", 1000, tcp(True, length=5001, flags=ACK | PSH)),
    "CWR over IPv6": ("tcp6", 1220, tcp(True, length=60_000, flags=ACK | CWR, options=TIMESTAMPS)),
    "udp over IPv4": ("udp", 1200, udp(length=12_000)),
    "a short datagram": ("udp", 1200, udp(length=5001)),
    "udp over IPv6": ("udp", 900, udp(True, length=5001)),
}


def test_linux_cuts_as_we_do(namespace: Namespace) -> None:
    """A super-packet goes into a TAP device, over a bridge, and out by a device that takes none."""
    for command in (
        "link add br0 type bridge forward_delay 0",
        "link add out type veth peer name end",
        "link set out master br0",
        "link set out up",
        "link set end up",
        "link set br0 up",
    ):
        namespace.run("ip", *command.split())
    for name in ("out", "end"):
        namespace.run("ethtool", "-K", name, *"tx off tso off gso off gro off sg off".split())
    descriptor = tap(namespace, "in")
    try:
        namespace.run("ip", "link", "set", "in", "master", "br0")
        with namespace.entered():
            reader = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        with reader:
            reader.bind(("end", 0))
            wait_for_bridge(descriptor, reader)
            for what, (kind, size, frame) in SUPERS.items():
                packet = nf.OffloadPacket(frame, gso_type=kind, gso_size=size)
                ours = [bytes(each) for each in nf.segment(packet)]
                [sent] = codec().send(packet)
                try:
                    os.writev(descriptor, sent.segments)
                except OSError as error:
                    # Linux takes UDP super-packets from 6.2 on.
                    if kind == "udp" and error.errno == errno.EINVAL:
                        continue
                    raise
                # Bridges have packets of their own.
                theirs = [each for each in receive(reader, len(ours)) if each[:6] == frame[:6]]
                assert theirs == ours, what
    finally:
        os.close(descriptor)


def wait_for_bridge(descriptor: int, reader: socket.socket) -> None:
    """Until it forwards, and what it forwarded is read."""
    for _ in range(50):
        os.write(descriptor, bytes(10) + bytes.fromhex("020000000002 020000000001 88b5") + bytes(50))
        if receive(reader, 0, 0.1):
            return
    raise AssertionError("the bridge forwards nothing")


def train(count: int = 6, size: int = 1000, v6: bool = False, **changes: Any) -> list[bytes]:
    return [
        tcp(v6, length=size, seq=100 + size * turn, **({} if v6 else {"identification": turn}), **changes)
        for turn in range(count)
    ]


def changed(at: int, v6: bool = False, **changes: Any) -> list[bytes]:
    """A train of which one packet is another."""
    frames = train(v6=v6)
    fields: dict[str, Any] = {
        "length": 1000,
        "seq": 100 + 1000 * at,
        **({} if v6 else {"identification": at}),
    }
    frames[at] = tcp(v6, **(fields | changes))
    return frames


def edited(at: int, offset: int, value: int) -> list[bytes]:
    """A train with an octet of one IPv4 header changed, and its checksum with it."""
    frames = train()
    header = bytearray(frames[at][14:34])
    header[offset] = value
    header[10:12] = b"\0\0"
    total = sum(struct.unpack("!10H", header))
    header[10:12] = struct.pack("!H", 0xFFFF - (total % 0xFFFF or 0xFFFF))
    frames[at] = frames[at][:14] + bytes(header) + frames[at][34:]
    return frames


MERGED = {
    "a train": train(),
    "a train over IPv6": train(v6=True),
    "with timestamps": train(options=TIMESTAMPS),
    "a short one ends it": changed(2, length=10, flags=ACK),
    "a longer one begins anew": changed(2, length=1001),
    "PSH ends it": changed(2, flags=ACK | PSH),
    "PSH in the first": changed(0, flags=ACK | PSH),
    "FIN": changed(3, flags=ACK | FIN),
    "FIN over IPv6": changed(3, v6=True, flags=ACK | FIN),
    "SYN": changed(2, flags=ACK | 2),
    "RST": changed(2, flags=ACK | 4),
    "URG": changed(2, flags=ACK | 0x20),
    "ECE differs": changed(2, flags=ACK | ECE),
    "CWR": changed(2, flags=ACK | CWR),
    "CWR over IPv6": changed(2, v6=True, flags=ACK | CWR),
    "no payload": changed(2, length=0),
    "a hole": changed(2, seq=9),
    "other options": changed(2, options=TIMESTAMPS),
    "identification": changed(2, identification=900),
    "hop limit": edited(2, 8, 63),
    "type of service": edited(2, 1, 4),
    "may be fragmented": edited(2, 6, 0),
    "a fragment": edited(2, 6, 0x20),
}


# Where Linux does otherwise: it lets no packet begin with CWR, and lets a fragment pass what it holds of its flow,
# which changes their order.
KNOWN = {"CWR": [2, 1, 3], "CWR over IPv6": [2, 1, 3], "a fragment": [1, 2, 3]}


def test_linux_merges_where_we_do(namespace: Namespace) -> None:
    """Linux's GRO at a TAP device gives the same groups of packets as a `Collator`, in the same order."""
    descriptor = tap(namespace, "in", IFF_NAPI)
    try:
        # What it holds waits for the next packet, and not for the end of each call.
        settings = "echo 20000000 > gro_flush_timeout; echo 100 > napi_defer_hard_irqs"
        held = ["ip", "netns", "exec", namespace.name, "sh", "-c", f"cd /sys/class/net/in && ({settings})"]
        done = subprocess.run(held, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this kernel holds no packets between calls: {done.stderr.strip()}")
        with namespace.entered():
            reader = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        with reader:
            reader.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            reader.bind(("in", 0))
            different = {}
            for what, frames in MERGED.items():
                ours = groups(nf.Collator().push(frames))
                wanted = KNOWN.get(what, [len(group) for group in ours])
                # A tick of its clock flushes what it holds: of some tries one is without.
                for _ in range(20):
                    for frame in frames:
                        os.write(descriptor, bytes(10) + frame)
                    theirs = groups(codec().receive(receive(reader, 1)))
                    assert sorted(itertools.chain(*theirs)) == sorted(frames), what
                    if [len(group) for group in theirs] == wanted:
                        break
                else:
                    different[what] = [len(group) for group in theirs], wanted
                assert what in KNOWN or what in different or theirs == ours, what
            assert different == {}
    finally:
        os.close(descriptor)


def groups(packets: nf.OffloadBatch) -> list[list[bytes]]:
    """The packets that each packet stands for."""
    return [[bytes(each) for each in nf.segment(packet)] for packet in packets]


Step = Callable[[nf.OffloadBatch], Any]


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("how", ["as they are", "cut", "cut and merged", "partial"])
def test_linux_talks_to_itself_through_us(how: str, v6: bool) -> None:
    """Two kernels whose super-packets we pass on: cut, merged again, with their checksums left to the other."""
    collator = nf.Collator()
    step: Step = {
        "as they are": lambda packets: packets,
        "cut": nf.segment,
        "cut and merged": lambda packets: collator.push(nf.segment(packets)),
        "partial": lambda packets: nf.segment(packets, checksums="partial"),
    }[how]
    sent = os.urandom(1 << 20) * 3
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(Namespace(f"nfo-{os.getpid()}-{side}")) for side in "ab"]
        offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
        taps = [tap(side, "tap0", offloads=offloads) for side in sides]
        for descriptor in taps:
            stack.callback(os.close, descriptor)
        for number, side in enumerate(sides):
            configure(side, number, v6)
        relay = Relay(taps, step)
        stack.callback(relay.end)
        got = transfer(sides, v6, sent)
        relay.end()
    assert relay.error is None
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
    assert relay.codec.counters["refused"] == {}
    # Linux sent super-packets, and what we sent was what was asked for.
    assert relay.codec.counters["received_super"] > 10
    sends_super = relay.codec.counters["sent_super"] > 10
    assert sends_super == (how in ("as they are", "cut and merged"))


def configure(side: Namespace, number: int, v6: bool) -> None:
    mac, other = (f"02:00:00:00:00:0{each + 1}" for each in (number, 1 - number))
    address, peer = (f"fd00::{each + 1}" if v6 else f"10.0.0.{each + 1}" for each in (number, 1 - number))
    side.run("ip", "link", "set", "tap0", "address", mac)
    side.run(
        "ip", "address", "add", f"{address}/{64 if v6 else 24}", "dev", "tap0", *(["nodad"] if v6 else [])
    )
    side.run("ip", "neigh", "replace", peer, "lladdr", other, "dev", "tap0", "nud", "permanent")


class Relay:
    """Passes on what comes out of either device, in a thread."""

    def __init__(self, taps: list[int], step: Step) -> None:
        self.taps, self.step, self.codec = taps, step, codec()
        self.error: Exception | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def end(self) -> None:
        self.ended.set()
        self.thread.join()

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                ready, _, _ = select.select(self.taps, [], [], 0.05)
                for source in ready:
                    self.pass_on(source, self.taps[1 - self.taps.index(source)])
        except Exception as error:
            self.error = error

    def pass_on(self, source: int, target: int) -> None:
        came = []
        with contextlib.suppress(BlockingIOError):
            while len(came) < 64:
                came.append(os.read(source, 1 << 17))
        for packet in self.codec.send(self.step(self.codec.receive(came))):
            os.writev(target, packet.segments)


def transfer(sides: list[Namespace], v6: bool, data: bytes) -> bytes:
    """Sends data from one side to the other by TCP, and says what came."""
    family, address = (socket.AF_INET6, "fd00::2") if v6 else (socket.AF_INET, "10.0.0.2")
    with sides[1].entered():
        listener = socket.socket(family, socket.SOCK_STREAM)
    with sides[0].entered():
        client = socket.socket(family, socket.SOCK_STREAM)
    with listener, client:
        listener.bind((address, 7))
        listener.listen(1)
        listener.settimeout(20)
        client.settimeout(20)
        client.connect((address, 7))
        server, _ = listener.accept()
        with server:
            server.settimeout(20)
            sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            sender.start()
            got = bytearray()
            while piece := server.recv(1 << 20):
                got += piece
            sender.join()
            time.sleep(0.1)
            return bytes(got)
