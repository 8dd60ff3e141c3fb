"""TCP: connections that work, that lose packets, that are reset, that the sender's card would cut."""

from catalogue import capture

WEB = """
mkdir $scratch/web
head -c 3000 /dev/zero | tr '\\\\0' 'x' > $scratch/web/page.html
serve right 80 python3 -m http.server --bind :: --directory $scratch/web 80
"""


@capture("http-ipv4.pcap", "host", "curl, python3 -m http.server, tcpdump")
def http_ipv4() -> str:
    """HTTP over TCP and IPv4: two fetches and one of a page that is not there, each with handshake and
    FIN."""
    return f"""
pair
{WEB}
record left l0 http-ipv4.pcap tcp
for page in page.html page.html missing.html; do on left curl -s -o /dev/null http://192.0.2.2/$page; done
stop"""


@capture("http-ipv6.pcap", "host", "curl, python3 -m http.server, tcpdump")
def http_ipv6() -> str:
    """HTTP over TCP and IPv6: two fetches, one of a page that is not there, and two on one connection."""
    return f"""
pair
{WEB}
record left l0 http-ipv6.pcap tcp
u='http://[2001:db8:1::2]'
for page in page.html page.html missing.html; do on left curl -s -o /dev/null $u/$page; done
on left curl -s -o /dev/null $u/page.html -o /dev/null $u/page.html
stop"""


@capture("web-session.pcap", "host", "curl, python3 -m http.server, peers.py, ping, tcpdump")
def web_session() -> str:
    """What a browser's host does: ARP and neighbour discovery, names over UDP, pages over TCP and both
    families, a ping, a refused connection; many short flows."""
    return f"""
pair
{WEB}
serve right 53 python3 $HERE/peers.py dns-serve 53
ip -n left neigh flush dev l0
ip -n right neigh flush dev r0
record left l0 web-session.pcap
for round in 1 2 3; do
    peer left dns-ask 192.0.2.2 www.example.com
    on left curl -s -o /dev/null http://192.0.2.2/page.html
    peer left dns-ask 2001:db8:1::2 www.example.net
    on left curl -s -o /dev/null "http://[2001:db8:1::2]/page.html"
done
on left ping -q -i 0.1 -c 2 192.0.2.2
on left ping -q -i 0.1 -c 2 2001:db8:1::2
on left curl -s http://192.0.2.2:81/ || true
stop"""


@capture("tcp-refused.pcap", "host", "peers.py, tcpdump")
def tcp_refused() -> str:
    """Connections to a closed port, and ones that the client resets with data under way; both families."""
    return """
pair
serve right 80 python3 $HERE/peers.py tcp-sink 80
record left l0 tcp-refused.pcap tcp
for a in 192.0.2.2 2001:db8:1::2; do
    peer left tcp-send $a 81 10 2>/dev/null || true
    peer left tcp-send $a 80 3000 reset
done
stop"""


@capture("tcp-options.pcap", "host", "peers.py, tcpdump")
def tcp_options() -> str:
    """TCP options and flags: fast open (cookie asked for, then used with data in the SYN), a small
    segment size, no time stamps, urgent data."""
    return """
pair
on left sysctl -qw net.ipv4.tcp_fastopen=3
on right sysctl -qw net.ipv4.tcp_fastopen=3
serve right 80 python3 $HERE/peers.py tcp-sink 80
record left l0 tcp-options.pcap tcp
for n in 1 2; do peer left tcp-send 192.0.2.2 80 300 fastopen; done
peer left tcp-send 2001:db8:1::2 80 3000 small
peer left tcp-send 192.0.2.2 80 100 urgent
on left sysctl -qw net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0
peer left tcp-send 192.0.2.2 80 2000
stop"""


@capture("tcp-md5.pcap", "guest", "peers.py, tcpdump")
def tcp_md5() -> str:
    """A connection whose segments are signed (TCP MD5, as routers do)."""
    return """
pair
serve right 179 python3 $HERE/peers.py tcp-sink 179 4 md5
record left l0 tcp-md5.pcap tcp
peer left tcp-send 192.0.2.2 179 2000 md5
stop"""


@capture("tcp-partial-checksums.pcap", "host", "iperf3, tcpdump")
def tcp_partial_checksums() -> str:
    """Captured on the sender: TCP super-packets of many segments and UDP, with checksums that the card
    would have filled in, so they are wrong; both families."""
    return """
offload=1
pair
serve right 5201 iperf3 -s
record left l0 tcp-partial-checksums.pcap -s 192
on left iperf3 -c 192.0.2.2 -n 300K >/dev/null
on left iperf3 -c 2001:db8:1::2 -n 300K >/dev/null
on left iperf3 -c 192.0.2.2 -u -n 10K -l 1000 >/dev/null
stop"""


@capture("tcp-super-packets.pcap", "host", "peers.py, tcpdump")
def tcp_super_packets() -> str:
    """Whole TCP packets of up to 30 kB, longer than the MTU of their link, with partial checksums."""
    return """
offload=1
pair
serve right 80 python3 $HERE/peers.py tcp-sink 80
record left l0 tcp-super-packets.pcap tcp
peer left tcp-send 192.0.2.2 80 12000
peer left tcp-send 2001:db8:1::2 80 30000
stop"""


@capture("big-tcp.pcap", "guest", "iperf3, tcpdump")
def big_tcp() -> str:
    """Super-packets of over 64 KiB, cut to 160 bytes: IPv6 with a jumbo payload option and a length of
    zero."""
    return """
offload=1
pair
for h in left right; do
    d=l0
    [ $h = right ] && d=r0
    ip -n $h link set $d gso_max_size 190000 gro_max_size 190000
done
serve right 5201 iperf3 -s
record left l0 big-tcp.pcap -s 160 ip6 and greater 20000
on left iperf3 -c 2001:db8:1::2 -n 8M >/dev/null
stop"""


def lossy(file: str, qdisc: str, address: str, size: int, before: str = "") -> str:
    return f"""
pair
{before}
ip -n left link set l0 mtu 1280
ip -n right link set r0 mtu 1280
serve right 80 python3 $HERE/peers.py tcp-sink 80
record right r0 {file} tcp
on left tc qdisc add dev l0 root netem {qdisc}
on right tc qdisc add dev r0 root netem delay 5ms
peer left tcp-send {address} 80 {size} small
stop"""


@capture("tcp-loss-ipv4.pcap", "guest", "peers.py, netem, tcpdump")
def tcp_loss_ipv4() -> str:
    """A transfer that loses one packet in ten: retransmissions, duplicate acknowledgements, SACK blocks."""
    return lossy("tcp-loss-ipv4.pcap", "delay 10ms loss 10%", "192.0.2.2", 24000)


@capture("tcp-loss-ipv6.pcap", "guest", "peers.py, netem, tcpdump")
def tcp_loss_ipv6() -> str:
    """A transfer over IPv6 whose packets are lost, reordered and doubled, seen on the receiving side."""
    return lossy("tcp-loss-ipv6.pcap", "delay 10ms 4ms loss 5% duplicate 5%", "2001:db8:1::2", 24000)


@capture("tcp-ecn.pcap", "guest", "peers.py, netem, tcpdump")
def tcp_ecn() -> str:
    """ECN: negotiated by ECE and CWR in the SYN, packets marked congestion experienced, echoed,
    answered."""
    return lossy(
        "tcp-ecn.pcap",
        "delay 5ms loss 15% ecn",
        "192.0.2.2",
        20000,
        "for h in left right; do on $h sysctl -qw net.ipv4.tcp_ecn=1 net.ipv4.tcp_ecn_fallback=0; done",
    )
