"""The same packets in other dresses: link types, file formats, byte orders, compression."""

from __future__ import annotations

import gzip
import struct
import subprocess
import tempfile
from pathlib import Path

from catalogue import capture
from pcaps import (
    CUSTOM,
    OLD_PACKET,
    SIMPLE,
    STATISTICS,
    Record,
    block,
    clean,
    enhanced,
    interface,
    options,
    read_pcap,
    section,
    write_pcap,
)


@capture("cooked-v1.pcap", "host", "ping, curl, python3 -m http.server, tcpdump -i any -y LINUX_SLL")
def cooked_v1() -> str:
    """Linux cooked v1 from two links and the loopback, ARP, both families, TCP and a VLAN-less
    broadcast."""
    return cooked("cooked-v1.pcap", "LINUX_SLL")


@capture("cooked-v2.pcap", "host", "ping, curl, python3 -m http.server, tcpdump -i any -y LINUX_SLL2")
def cooked_v2() -> str:
    """Linux cooked v2 from two links and the loopback, ARP, both families, TCP and a broadcast."""
    return cooked("cooked-v2.pcap", "LINUX_SLL2")


def cooked(file: str, kind: str) -> str:
    return f"""
routed
mkdir $scratch/web
echo hello > $scratch/web/page.html
serve right 80 python3 -m http.server --bind :: --directory $scratch/web 80
ip -n router neigh flush all
record router any {file} -y {kind}
hello left 198.51.100.1 2001:db8:2::1 192.0.2.254
on router ping -q -c 1 127.0.0.1
on left curl -s -o /dev/null http://198.51.100.1/page.html
on left curl -s -o /dev/null "http://[2001:db8:2::1]/page.html"
peer left udp-tell 192.0.2.255 9 20
stop"""


@capture("loopback.pcap", "host", "ping, curl, python3 -m http.server, tcpdump")
def loopback() -> str:
    """The loopback device: Ethernet with zero addresses, both families, TCP with partial checksums, an
    error."""
    return """
hosts left
serve left 80 python3 -m http.server --bind :: --directory $scratch 80
record left lo loopback.pcap
hello left 127.0.0.1 ::1
on left curl -s -o /dev/null http://127.0.0.1/
on left curl -s -o /dev/null "http://[::1]/"
peer left udp-tell 127.0.0.1 9 20
stop"""


@capture("raw-tun.pcap", "host", "a TUN pair (peers.py shuttle), ping, curl, python3 -m http.server, tcpdump")
def raw_tun() -> str:
    """Raw IP from a TUN device: both families, ICMP, TCP, UDP, fragments."""
    return """
hosts left right
python3 $HERE/peers.py shuttle t0 t1 &
sleep 1
ip -n left link set t0 up mtu 1280
ip -n right link set t1 up mtu 1280
address left t0 10.9.0.1/24 2001:db8:9::1/64
address right t1 10.9.0.2/24 2001:db8:9::2/64
settle
mkdir $scratch/web
echo hello > $scratch/web/page.html
serve right 80 python3 -m http.server --bind :: --directory $scratch/web 80
record left t0 raw-tun.pcap
hello left 10.9.0.2 2001:db8:9::2
on left ping -q -c 1 -s 3000 10.9.0.2
on left ping -q -c 1 -s 3000 2001:db8:9::2
on left curl -s -o /dev/null http://10.9.0.2/page.html
on left curl -s -o /dev/null "http://[2001:db8:9::2]/page.html"
peer left udp-tell 10.9.0.2 9 20
stop"""


@capture("snaplen-60.pcap", "host", "curl, python3 -m http.server, ping, tcpdump -s 60")
def snaplen() -> str:
    """Packets cut to 60 bytes: within TCP options, within an IPv6 transport header, fragments."""
    return """
pair
mkdir $scratch/web
echo hello > $scratch/web/page.html
serve right 80 python3 -m http.server --bind :: --directory $scratch/web 80
record left l0 snaplen-60.pcap -s 60
on left curl -s -o /dev/null http://192.0.2.2/page.html
on left curl -s -o /dev/null "http://[2001:db8:1::2]/page.html"
on left ping -q -c 1 -s 3000 192.0.2.2
on left ping -q -c 1 -s 3000 2001:db8:1::2
stop"""


@capture("nanoseconds.pcap", "host", "ping, peers.py, tcpdump --nano")
def nanoseconds() -> str:
    """A pcap file with time stamps in nanoseconds."""
    return """
pair
serve right 7 python3 $HERE/peers.py udp-echo 7
record left l0 nanoseconds.pcap --nano
hello left 192.0.2.2 2001:db8:1::2
peer left udp-ask 192.0.2.2 7 10 100
stop"""


@capture("dns-udp.pcap.gz", "tools", "dns-udp.pcap, gzip (Python's)")
def gzipped(out: Path) -> None:
    """Compressed with gzip."""
    (out / "dns-udp.pcap.gz").write_bytes(gzip.compress((out / "dns-udp.pcap").read_bytes(), mtime=0))


@capture("dns-udp.pcap.zst", "tools", "dns-udp.pcap, zstd")
def zstandard(out: Path) -> None:
    """Compressed with zstd."""
    subprocess.run(
        ["zstd", "-q", "-f", "-19", out / "dns-udp.pcap", "-o", out / "dns-udp.pcap.zst"], check=True
    )


def ip_only(out: Path, file: str, version: int | None = None) -> list[Record]:
    """The IP packets of an Ethernet capture, without their Ethernet headers."""
    _, records = read_pcap(out / file)
    types = {b"\x08\x00": 4, b"\x86\xdd": 6}
    return [
        (time, length - 14, data[14:])
        for time, length, data in records
        if data[12:14] in types and version in (None, types[data[12:14]])
    ]


def is6(data: bytes) -> bool:
    return data[0] >> 4 == 6


@capture("null-loopback.pcap", "tools", "web-session.pcap, formats.py")
def null_loopback(out: Path) -> None:
    """BSD loopback headers in host byte order (little-endian), IPv6 as 30, 24 and 28 by turns."""
    families = (30, 24, 28)
    records = [
        (time, length + 4, (families[n % 3] if is6(data) else 2).to_bytes(4, "little") + data)
        for n, (time, length, data) in enumerate(ip_only(out, "web-session.pcap")[:60])
    ]
    write_pcap(out / "null-loopback.pcap", 0, records)


@capture("null-big-endian.pcap", "tools", "web-session.pcap, formats.py")
def null_big(out: Path) -> None:
    """A big-endian file with BSD loopback headers in its byte order."""
    records = [
        (time, length + 4, (30 if is6(data) else 2).to_bytes(4, "big") + data)
        for time, length, data in ip_only(out, "web-session.pcap")[:30]
    ]
    write_pcap(out / "null-big-endian.pcap", 0, records, order=">")


@capture("loop.pcap", "tools", "web-session.pcap, formats.py")
def loop(out: Path) -> None:
    """OpenBSD loopback headers (network byte order, IPv6 is 24)."""
    records = [
        (time, length + 4, (24 if is6(data) else 2).to_bytes(4, "big") + data)
        for time, length, data in ip_only(out, "web-session.pcap")[:60]
    ]
    write_pcap(out / "loop.pcap", 108, records)


@capture("raw-ipv4.pcap", "tools", "fragments-ipv4.pcap, formats.py")
def raw_ipv4(out: Path) -> None:
    """The link type that says IPv4."""
    write_pcap(out / "raw-ipv4.pcap", 228, ip_only(out, "fragments-ipv4.pcap", 4)[:20])


@capture("raw-ipv6.pcap", "tools", "ipv6-extensions.pcap, formats.py")
def raw_ipv6(out: Path) -> None:
    """The link type that says IPv6."""
    write_pcap(out / "raw-ipv6.pcap", 229, ip_only(out, "ipv6-extensions.pcap", 6))


@capture("ppp.pcap", "tools", "ppp-cooked.pcap, formats.py")
def ppp(out: Path) -> None:
    """The packets of a PPP link behind PPP headers: with address and control, without, and with a short
    protocol number, by turns."""
    _, records = read_pcap(out / "ppp-cooked.pcap")
    dressed = []
    for n, (time, length, data) in enumerate(records):
        packet = data[16:]
        protocol = 0x57 if is6(packet) else 0x21
        head = (b"\xff\x03" + protocol.to_bytes(2, "big"), protocol.to_bytes(2, "big"), bytes([protocol]))[
            n % 3
        ]
        dressed.append((time, length - 16 + len(head), head + packet))
    write_pcap(out / "ppp.pcap", 9, dressed)


@capture("wifi-no-radiotap.pcap", "tools", "wifi-open.pcap, formats.py")
def wifi_plain(out: Path) -> None:
    """802.11 frames without radiotap headers."""
    _, records = read_pcap(out / "wifi-open.pcap")
    bare = []
    for time, length, data in records:
        head = int.from_bytes(data[2:4], "little")
        bare.append((time, length - head, data[head:]))
    write_pcap(out / "wifi-no-radiotap.pcap", 105, bare)


@capture("big-endian.pcap", "tools", "http-ipv6.pcap, formats.py")
def big_endian(out: Path) -> None:
    """A big-endian pcap file."""
    kind, records = read_pcap(out / "http-ipv6.pcap")
    write_pcap(out / "big-endian.pcap", kind, records[:40], order=">")


@capture("big-endian-nanoseconds.pcap", "tools", "nanoseconds.pcap, formats.py")
def big_endian_nano(out: Path) -> None:
    """A big-endian pcap file with time stamps in nanoseconds."""
    kind, records = read_pcap(out / "nanoseconds.pcap")
    write_pcap(out / "big-endian-nanoseconds.pcap", kind, records, order=">", nano=True)


@capture("modified.pcap", "tools", "dns-udp.pcap, editcap -F modpcap")
def modified(out: Path) -> None:
    """The modified pcap format with longer record headers."""
    subprocess.run(["editcap", "-F", "modpcap", out / "dns-udp.pcap", out / "modified.pcap"], check=True)


@capture("two-interfaces.pcapng", "host", "dumpcap -i l0 -i t0, ping, peers.py, pcaps.py clean")
def two_interfaces() -> str:
    """Two interfaces of different link types (Ethernet and raw IP) in one file, with interface
    statistics and a comment on the section."""
    return """
hosts left right
link left l0 right r0
python3 $HERE/peers.py shuttle t0 t1 &
sleep 1
ip -n left link set t0 up
ip -n right link set t1 up
address left l0 192.0.2.1/24 2001:db8:1::1/64
address right r0 192.0.2.2/24 2001:db8:1::2/64
address left t0 10.9.0.1/24 2001:db8:9::1/64
address right t1 10.9.0.2/24 2001:db8:9::2/64
settle
serve right 53 python3 $HERE/peers.py dns-serve 53
ip netns exec left dumpcap -q -i l0 -s 200 -i t0 -w $scratch/raw.pcapng \\
    --capture-comment 'an Ethernet link and a tunnel' 2>/dev/null &
recorders=$!
sleep 2
hello left 192.0.2.2 10.9.0.2 2001:db8:1::2 2001:db8:9::2
on left ping -q -c 1 -s 600 192.0.2.2
on left ping -q -c 1 -s 600 10.9.0.2
peer left dns-ask 10.9.0.2 www.example.com
peer left dns-ask 2001:db8:1::2 www.example.com
sleep 1
stop
python3 $HERE/pcaps.py clean $scratch/raw.pcapng $OUT/two-interfaces.pcapng"""


@capture("names.pcapng", "tools", "dns-udp.pcap, tshark -W n, editcap -a, pcaps.py clean")
def names(out: Path) -> None:
    """Name resolution block and comments on packets."""
    with tempfile.TemporaryDirectory() as folder:
        hosts, named, noted = (Path(folder, name) for name in ("hosts", "named", "noted"))
        hosts.write_text("192.0.2.2 server.example.com\n2001:db8:1::2 server.example.com\n")
        source = out / "dns-udp.pcap"
        subprocess.run(
            ["tshark", "-q", "-r", source, "-H", hosts, "-N", "d", "-W", "n", "-F", "pcapng", "-w", named],
            check=True,
            capture_output=True,
        )
        notes = ["-a", "1:the first question", "-a", "2:its answer, with an umlaut: \u00fc"]
        subprocess.run(["editcap", *notes, named, noted], check=True)
        (out / "names.pcapng").write_bytes(clean(noted.read_bytes()))


@capture(
    "merged.pcapng",
    "tools",
    "http-ipv4.pcap, raw-tun.pcap, cooked-v2.pcap, wifi-open.pcap, mergecap, pcaps.py clean",
)
def merged(out: Path) -> None:
    """Four files of four link types merged by time."""
    files = [out / name for name in ("http-ipv4.pcap", "raw-tun.pcap", "cooked-v2.pcap", "wifi-open.pcap")]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "merged")
        subprocess.run(["mergecap", "-w", made, *files], check=True)
        (out / "merged.pcapng").write_bytes(clean(made.read_bytes()))


@capture("blocks.pcapng", "tools", "http-ipv6.pcap, pcaps.py")
def every_block(out: Path) -> None:
    """Interfaces with units of 1 s, 1 ms, 2^-20 s and 1 ns and a time offset, simple packets and packets
    of the old kind, flags, drop counts, several comments, an unknown block, an interface in
    the middle of the file."""
    kind, records = read_pcap(out / "http-ipv6.pcap")
    made = [section((4, b"pcaps.py"), (1, b"made by hand"))]
    units = ((bytes([0]), 1), (bytes([3]), 10**3), (bytes([0x80 | 20]), 2**20), (bytes([9]), 10**9))
    for name, (code, _) in zip((b"s", b"ms", b"binary", b"ns"), units, strict=True):
        made.append(interface(kind, (2, name), (9, code), snap=96 if name == b"s" else 0))
    for n, (time, length, data) in enumerate(records[:40]):
        number = n % 4
        caught = data[:96] if number == 0 else data
        marks = [(2, struct.pack("<I", 1 + n % 2))] if n % 3 == 0 else []
        if n % 5 == 0:
            marks += [(1, b"one comment"), (1, b"and another"), (4, struct.pack("<Q", n))]
        made.append(enhanced(number, time * units[number][1] // 10**9, caught, length, *marks))
        if n == 10:
            made.append(interface(kind, (9, bytes([6])), (14, struct.pack("<q", 3600)), (1, b"an hour late")))
        if n > 10 and n % 7 == 0:
            stamp = (time - 3600 * 10**9) // 1000
            made.append(enhanced(4, stamp, data, length))
        if n == 20:
            made.append(block(0x0BADF00D, b"a block that nobody knows"))
        if n % 9 == 0:
            made.append(block(SIMPLE, struct.pack("<I", length) + data[:96]))
            old = struct.pack("<HHIIII", 3, 7, time >> 32, time & 0xFFFFFFFF, len(data), length)
            made.append(block(OLD_PACKET, old + data))
    made.append(block(STATISTICS, struct.pack("<III", 0, 0, 0) + options((4, struct.pack("<Q", 44)))))
    (out / "blocks.pcapng").write_bytes(b"".join(made))


@capture("sections.pcapng", "tools", "udp-sizes.pcap, arp-icmp.pcap, pcaps.py")
def sections(out: Path) -> None:
    """Three sections: little-endian, big-endian with units of 1 ns, little-endian again with another
    link type."""
    made = []
    for order, file, kind, unit in (
        ("<", "udp-sizes.pcap", 1, 6),
        (">", "arp-icmp.pcap", 1, 9),
        ("<", "", 101, 6),
    ):
        records = read_pcap(out / file)[1][:12] if file else ip_only(out, "udp-sizes.pcap")[:12]
        made.append(section((4, b"pcaps.py"), order=order))
        made.append(interface(kind, (9, bytes([unit])), snap=65535, order=order))
        made += [
            enhanced(0, time // 10 ** (9 - unit), data, length, order=order) for time, length, data in records
        ]
    (out / "sections.pcapng").write_bytes(b"".join(made))


@capture("two-interfaces.pcapng.gz", "tools", "two-interfaces.pcapng, gzip (Python's)")
def gzipped_next(out: Path) -> None:
    """pcapng compressed with gzip, in two members."""
    data = (out / "two-interfaces.pcapng").read_bytes()
    parts = gzip.compress(data[:1000], mtime=0) + gzip.compress(data[1000:], mtime=0)
    (out / "two-interfaces.pcapng.gz").write_bytes(parts)


@capture("custom-blocks.pcapng", "tools", "udp-sizes.pcap, pcaps.py")
def custom_blocks(out: Path) -> None:
    """Custom blocks between packets, of both kinds (to be copied or not)."""
    kind, records = read_pcap(out / "udp-sizes.pcap")
    made = [section((4, b"pcaps.py")), interface(kind)]
    for n, (time, length, data) in enumerate(records[:6]):
        made.append(enhanced(0, time // 1000, data, length))
        if n in (1, 3):
            made.append(block(CUSTOM | (n == 3) << 30, struct.pack("<I", 32473) + b"anything"))
    (out / "custom-blocks.pcapng").write_bytes(b"".join(made))
