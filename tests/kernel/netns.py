"""Network namespaces, their commands and their netlink messages, from one thread of this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK = 1, 4
# Subsystems and messages of linux/netfilter/nfnetlink*.h.
CT_DELETE = (1 << 8) | 2
LOG_PACKET, LOG_CONFIG = (4 << 8) | 0, (4 << 8) | 1
LOG_PAYLOAD = 9
LOG_COPY_PACKET, LOG_BIND = 2, 1

libc = ctypes.CDLL(None, use_errno=True)


def enter(fd: int) -> None:
    """Takes the calling thread into a network namespace (setns(2); Python has it from 3.12)."""
    if libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


class Namespace:
    """A network namespace that ends with its `with` block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = -1

    def __enter__(self) -> Namespace:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What stands in the block happens in the namespace: sockets, processes, /proc/sys/net."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(self.fd)
            try:
                yield
            finally:
                enter(home)
        finally:
            os.close(home)

    def run(self, *command: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command in the namespace, with `text` on its standard input."""
        with self.entered():
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n{text}")
        return done

    def sysctl(self, **values: int) -> None:
        """Sets values below net.; two underscores stand for the dot."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys/net", *name.split("__")).write_text(str(value))

    def sysctl_at(self, path: str, value: int) -> None:
        """Sets one value, where the path has names of ports."""
        with self.entered():
            Path("/proc/sys/net", path).write_text(str(value))

    def read(self, path: str) -> str:
        """A file of /proc/net as the namespace has it."""
        with self.entered():
            return Path("/proc/thread-self/net", path).read_text()


def attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


class Netfilter:
    """A nfnetlink socket in a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))

    def close(self) -> None:
        self.socket.close()

    def request(self, kind: int, family: int = 0, resource: int = 0, attributes: bytes = b"") -> None:
        """Sends a request and waits for its acknowledgement."""
        body = struct.pack("=BBH", family, 0, socket.htons(resource)) + attributes
        flags = NLM_F_REQUEST | NLM_F_ACK
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = self.socket.recv(65536)
        (code,) = struct.unpack_from("=i", answer, 16)
        if code != 0:
            raise OSError(-code, f"nfnetlink message {kind:#x}: {os.strerror(-code)}")

    def forget_connections(self) -> None:
        """What `conntrack -F` does."""
        self.request(CT_DELETE)

    def listen(self, group: int) -> None:
        """Has the packets of `log group N` sent here whole and at once."""
        self.request(LOG_CONFIG, resource=group, attributes=attribute(1, struct.pack("=B", LOG_BIND)))
        mode = struct.pack(">IBB", 0xFFFF, LOG_COPY_PACKET, 0)
        self.request(LOG_CONFIG, resource=group, attributes=attribute(2, mode))
        self.request(LOG_CONFIG, resource=group, attributes=attribute(5, struct.pack(">I", 1)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setblocking(False)

    def logged(self) -> Iterator[bytes]:
        """The packets, from the IP header on, that were logged since the last call."""
        while True:
            try:
                data = self.socket.recv(1 << 18)
            except BlockingIOError:
                return
            at = 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == LOG_PACKET:
                    yield from payloads(data[at + 20 : at + length])
                at += (length + 3) & ~3


def payloads(attributes: bytes) -> Iterator[bytes]:
    """The payload attributes of a log message."""
    at = 0
    while at + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, at)
        if kind & 0x3FFF == LOG_PAYLOAD:
            yield attributes[at + 4 : at + length]
        at += (max(length, 4) + 3) & ~3
