"""The same packets in other dresses: link types, file formats, byte orders, compression."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

from catalogue import capture


@capture("cooked-v1.pcap", "host", "ping, curl, python3 -m http.server, tcpdump -i any -y LINUX_SLL")
def cooked_v1() -> str:
    """Linux cooked v1 from two links and the loopback, ARP, both families, TCP and a VLAN-less broadcast."""
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
    """The loopback device: Ethernet with zero addresses, both families, TCP with partial checksums, an error."""
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
    subprocess.run(["zstd", "-q", "-f", "-19", out / "dns-udp.pcap", "-o", out / "dns-udp.pcap.zst"], check=True)
