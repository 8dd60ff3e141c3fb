"""Small programs that send what no common tool sends: peers.py NAME ARGUMENTS.

They need no more than Python's own minimal library, as they also run in the lab's guest.
"""

import contextlib
import fcntl
import os
import select
import socket
import struct
import sys
import threading
import time

IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS = 54, 55, 57, 59
SOL_UDPLITE, UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV = 136, 10, 11
TCP_MD5SIG = 14


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp_echo(port):
    """Answer every datagram with its own content, for both families."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", int(port)))
    while True:
        data, client = server.recvfrom(65535)
        server.sendto(data, client)


def udp_ask(address, port, *sizes):
    """Send datagrams of the given sizes, and wait for each one's answer."""
    client = socket.socket(family(address), socket.SOCK_DGRAM)
    client.settimeout(2)
    client.connect((address, int(port)))
    for size in map(int, sizes):
        client.send(bytes(n & 0xFF for n in range(size)))
        client.recv(65535)


def udp_tell(address, port, *sizes):
    """Send datagrams of the given sizes, and expect no answer."""
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for size in map(int, sizes):
            client.sendto(bytes(n & 0xFF for n in range(size)), (address, int(port)))


def udp_no_checksum(address, port):
    """Send datagrams whose checksum field says that there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        client.settimeout(2)
        client.connect((address, int(port)))
        for size in 0, 1, 64, 512:
            client.send(bytes(size))
            client.recv(2048)


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def dns_serve(port):
    """Answer each question about an address with a documentation address, others with NXDOMAIN."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", int(port)))
    records = {1: socket.inet_aton("198.51.100.80"), 28: socket.inet_pton(socket.AF_INET6, "2001:db8:2::80")}
    while True:
        query, client = server.recvfrom(2048)
        (kind,) = struct.unpack_from("!H", query, len(query) - 4)
        data = records.get(kind)
        answer = b"" if data is None else struct.pack("!HHHIH", 0xC00C, kind, 1, 300, len(data)) + data
        flags = 0x8580 if data else 0x8583
        server.sendto(
            query[:2] + struct.pack("!HHHHH", flags, 1, bool(data), 0, 0) + query[12:] + answer, client
        )


def dns_ask(address, *names):
    """Ask for the A, AAAA and MX records of names, each from a port of its own."""
    for number, name in enumerate(names):
        for kind in 1, 28, 15:
            with socket.socket(family(address), socket.SOCK_DGRAM) as client:
                client.settimeout(2)
                client.connect((address, 53))
                head = struct.pack("!HHHHHH", 0x4000 + 16 * number + kind, 0x0100, 1, 0, 0, 0)
                client.send(head + dns_name(name) + struct.pack("!HH", kind, 1))
                client.recv(2048)


def tcp_sink(port, *options):
    """Take connections; read each to its end, answer, close. `md5` is for signed segments."""
    server = socket.socket(socket.AF_INET6 if "4" not in options else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    if "md5" in options:
        server.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, md5_key("192.0.2.1"))
    server.bind(("", int(port)))
    server.listen(5)
    while True:
        connection, _ = server.accept()
        with connection, contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
            connection.sendall(b"thank you\n")


def md5_key(address, key=b"netfast"):
    peer = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(address))
    return peer + struct.pack("=BBHI80s", 0, 0, len(key), 0, key)


def tcp_send(address, port, size, *options):
    """Connect, send, close. Options: md5, fastopen, urgent, reset, small (a small segment size)."""
    client = socket.socket(family(address))
    client.settimeout(20)
    if "md5" in options:
        client.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, md5_key(address))
    if "small" in options:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    data = bytes(n & 0xFF for n in range(int(size)))
    if "fastopen" in options:
        client.settimeout(None)
        client.sendto(data, 0x20000000, (address, int(port)))  # MSG_FASTOPEN
    else:
        client.connect((address, int(port)))
        client.sendall(data)
    if "urgent" in options:
        client.send(b"!", socket.MSG_OOB)
    if "reset" in options:
        time.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    client.close()


def esp_in_udp(address):
    """Have the kernel take ESP out of UDP port 4500, as a key exchange daemon does."""
    server = socket.socket(family(address), socket.SOCK_DGRAM)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.setsockopt(socket.IPPROTO_UDP, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
    server.bind((address, 4500))
    while True:
        server.recv(2048)


def not_esp(address):
    """Send what is not ESP to port 4500: a keepalive, and a message with the non-ESP marker (RFC 3948)."""
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        client.sendto(b"\xff", (address, 4500))
        client.sendto(bytes(4) + b"key exchange", (address, 4500))


def udplite(address, port):
    """UDP-Lite to oneself's other end: full coverage, header only, and header and eight bytes."""
    for coverage in 0, 8, 16:
        with socket.socket(family(address), socket.SOCK_DGRAM, 136) as client:
            client.setsockopt(SOL_UDPLITE, UDPLITE_SEND_CSCOV, coverage)
            client.settimeout(2)
            client.connect((address, int(port)))
            client.send(b"a datagram of UDP-Lite, with a checksum over some of it")
            client.recv(2048)


def udplite_echo(port):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, 136)
    server.setsockopt(SOL_UDPLITE, UDPLITE_SEND_CSCOV, 12)
    server.bind(("::", int(port)))
    while True:
        data, client = server.recvfrom(2048)
        server.sendto(data, client)


def stream_echo(port, kind):
    """Echo on a connection of SCTP or DCCP."""
    server = stream_socket(socket.AF_INET6, kind)
    server.bind(("::", int(port)))
    server.listen(5)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.send(data)


def stream_socket(of, kind):
    if kind == "sctp":
        return socket.socket(of, socket.SOCK_STREAM, 132)
    made = socket.socket(of, 6, 33)  # SOCK_DCCP
    made.setsockopt(269, 2, struct.pack("=I", socket.htonl(42)))  # DCCP_SOCKOPT_SERVICE
    return made


def stream_ask(address, port, kind, *sizes):
    with stream_socket(family(address), kind) as client:
        client.settimeout(5)
        client.connect((address, int(port)))
        for size in map(int, sizes):
            client.send(bytes(n & 0xFF for n in range(size)))
            got = 0
            while got < size:
                got += len(client.recv(65536))


def extension_headers(address, port, middle):
    """UDP with hop-by-hop and destination options, and with a segment routing header."""
    options = bytes([0x1E, 4, 1, 2, 3, 4])  # an experimental option that may be skipped (RFC 4727)
    short = bytes([0, 0]) + options
    long = bytes([0, 2]) + options + bytes([1, 14]) + bytes(14)
    target, via = (socket.inet_pton(socket.AF_INET6, a) for a in (address, middle))
    routing = struct.pack("!BBBBBBH", 0, 4, 4, 1, 1, 0, 7) + target + via
    for chosen in (
        {IPV6_HOPOPTS: short},
        {IPV6_DSTOPTS: long},
        {IPV6_HOPOPTS: long, IPV6_DSTOPTS: short},
        {IPV6_RTHDR: routing},
        {IPV6_HOPOPTS: short, IPV6_RTHDRDSTOPTS: short, IPV6_RTHDR: routing, IPV6_DSTOPTS: short},
    ):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            for option, value in chosen.items():
                client.setsockopt(socket.IPPROTO_IPV6, option, value)
            for size in 16, 2500:
                client.sendto(bytes(size), (address, int(port)))
                time.sleep(0.05)


def raw6(source, address):
    """What kernels no longer make: a type 0 routing header, an atomic fragment, no next header."""
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, address)
    middle = socket.inet_pton(socket.AF_INET6, "2001:db8:9::1")
    udp = udp6(ends, b"raw socket")
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for first, chain in (
            (43, struct.pack("!BBBBI", 17, 2, 0, 0, 0) + middle + udp),
            (44, struct.pack("!BBHI", 17, 0, 0, 0x01020304) + udp),
            (59, b""),
            (59, b"bytes after the end"),
            (60, bytes([59, 0, 1, 4, 0, 0, 0, 0])),
            (0, bytes([60, 0, 5, 2, 0, 0, 1, 0]) + bytes([17, 0, 0, 0, 0, 0, 0, 0]) + udp),
            (253, b"for experiments"),
        ):
            raw.sendto(struct.pack("!IHBB", 0x60000000, len(chain), first, 64) + ends + chain, (address, 0))


def udp6(ends, payload):
    length = 8 + len(payload)
    head = struct.pack("!HHHH", 5000, 6000, length, 0)
    total = checksum(ends + struct.pack("!II", length, 17) + head + payload)
    return head[:6] + struct.pack("!H", total or 0xFFFF) + payload


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def multicast_join(device, group, seconds):
    """Be a member of a group for a while."""
    with socket.socket(family(group), socket.SOCK_DGRAM) as member:
        index = socket.if_nametoindex(device)
        if ":" in group:
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = socket.inet_aton(group) + struct.pack("=4si", bytes(4), index)
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        time.sleep(float(seconds))


def ip_options(address, port):
    """UDP with options in the IPv4 header: record route, time stamp, router alert, security, a loose
    route."""
    here = socket.inet_aton(address)
    for options in (
        bytes([7, 11, 4]) + bytes(8) + b"\0",
        bytes([68, 12, 5, 0]) + bytes(8),
        bytes([148, 4, 0, 0]),
        bytes([1, 1, 1, 131, 7, 4]) + here + bytes(2),
        bytes([7, 39, 4]) + bytes(36) + b"\0",
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
            client.sendto(b"options", (address, int(port)))


def shuttle(left, right):
    """Carry packets between a TUN device on the host left and one on the host right, like a VPN."""
    devices = []
    for host, name in (("left", left), ("right", right)):
        device = threading.Thread(target=lambda h=host, n=name: devices.append(open_tun(h, n)))
        device.start()
        device.join()
    while True:
        ready, _, _ = select.select(devices, [], [])
        for device in ready:
            os.write(devices[1 - devices.index(device)], os.read(device, 65536))


def open_tun(host, name):
    """Open a TUN device in a host's namespace; the calling thread stays there."""
    import ctypes

    with open(f"/run/netns/{host}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # IFF_TUN | IFF_NO_PI
    return device


def gap(device):
    """Ethernet frames that carry no IP: LLC, SNAP, LLDP, EAPOL, an unknown type, wake-on-LAN."""
    mac = bytes.fromhex("020000000101")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((device, 0))
        for to, rest in (
            ("0180c2000000", "0007424203020000800000"),
            ("01000ccccccc", "000caaaa0300000c2000fe0102"),
            ("0180c200000e", "88cc0207040200000001010403056c30060200780000"),
            ("0180c2000003", "888e01010000"),
            ("ffffffffffff", "0842ffffffffffff" + "020000000102" * 16),
            ("020000000102", "88b50102030405060708"),
        ):
            frame = bytes.fromhex(to) + mac + bytes.fromhex(rest)
            raw.send(frame.ljust(60, b"\0"))


PROGRAMS = {
    name.replace("_", "-"): program
    for name, program in list(globals().items())
    if callable(program) and getattr(program, "__module__", "") == "__main__"
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
