"""Packets in packets: every tunnel of the kernel, with both families inside."""

from catalogue import capture

INSIDE = "hello left 10.1.0.2 2001:db8:100::2"
SERVERS = """
serve right 7 python3 $HERE/peers.py udp-echo 7
serve right 80 python3 $HERE/peers.py tcp-sink 80
"""
TALK = f"""
{INSIDE}
peer left udp-ask 10.1.0.2 7 100
peer left udp-ask 2001:db8:100::2 7 100
peer left tcp-send 10.1.0.2 80 100
"""


def through(file: str, *devices: str, talk: str = TALK, before: str = "", outside: str = "ip or ip6") -> str:
    """A script that sends the same through one tunnel device after the other."""
    turns = "".join(f"tunnel {device}\nsleep 0.3\n{talk}\nno_tunnel\n" for device in devices)
    return f"""
pair
{SERVERS}
{before}
record left l0 {file} {outside}
{turns}
stop"""


@capture("ipip-sit.pcap", "guest", "ip tunnel, ping, peers.py, tcpdump")
def ipip_sit() -> str:
    """IPv4 in IPv4 and IPv6 in IPv4: ICMP, UDP, TCP inside."""
    ipip = through(
        "ipip-sit.pcap",
        "ipip local LEFT remote RIGHT",
        talk="hello left 10.1.0.2\npeer left udp-ask 10.1.0.2 7 100\npeer left tcp-send 10.1.0.2 80 100",
    )
    six = "tunnel sit local LEFT remote RIGHT\nhello left 2001:db8:100::2\n"
    six += "peer left udp-ask 2001:db8:100::2 7 9"
    return ipip.replace("stop", f"{six}\npeer left tcp-send 2001:db8:100::2 80 100\nstop")


@capture("ip6tnl.pcap", "guest", "ip tunnel, ping, peers.py, tcpdump")
def ip6tnl() -> str:
    """IPv4 in IPv6 and IPv6 in IPv6, without and with the tunnel encapsulation limit option."""
    return through(
        "ip6tnl.pcap",
        "ip6tnl mode any local LEFT6 remote RIGHT6 encaplimit none",
        "ip6tnl mode any local LEFT6 remote RIGHT6 encaplimit 4",
    )


@capture("ip-nested.pcap", "guest", "ip tunnel, ping, tcpdump")
def nested() -> str:
    """Tunnels in tunnels: IPv6 in IPv4 in IPv6, three times IPv4, GRE in IPv6 in IPv4, VXLAN in GRE."""
    return """
pair
second() {
    for h in left right; do
        me=1 other=2
        [ $h = right ] && me=2 other=1
        ip -n $h link add t1 type $(echo "$*" | sed "s/MY/$me/g; s/YOUR/$other/g")
        case $* in *vxlan*) ip -n $h link set t1 address 02:00:00:00:11:0$me ;; esac
        ip -n $h link set t1 up
        address $h t1 10.2.0.$me/24 2001:db8:200::$me/64
    done
    sleep 0.3
    hello left 10.2.0.2 2001:db8:200::2
    ip -n left link del t1
    ip -n right link del t1
    no_tunnel
}
record left l0 ip-nested.pcap ip or ip6
tunnel ip6tnl mode any local LEFT6 remote RIGHT6 encaplimit none
second sit local 10.1.0.MY remote 10.1.0.YOUR
tunnel ipip local LEFT remote RIGHT
second ipip local 10.1.0.MY remote 10.1.0.YOUR
tunnel sit local LEFT remote RIGHT
second ip6gre local 2001:db8:100::MY remote 2001:db8:100::YOUR
tunnel gre local LEFT remote RIGHT
second vxlan id 9 local 10.1.0.MY remote 10.1.0.YOUR dstport 4789
stop"""


@capture("gre.pcap", "guest", "ip tunnel, ping, peers.py, tcpdump")
def gre() -> str:
    """GRE over IPv4: bare, with a key, with sequence numbers, with checksums, with all of them."""
    return through(
        "gre.pcap",
        "gre local LEFT remote RIGHT",
        "gre local LEFT remote RIGHT key 7",
        "gre local LEFT remote RIGHT seq",
        "gre local LEFT remote RIGHT csum",
        "gre local LEFT remote RIGHT key 1.2.3.4 csum seq",
        talk=f"{INSIDE}\npeer left udp-ask 10.1.0.2 7 100",
    )


@capture("ip6gre.pcap", "guest", "ip tunnel, ping, peers.py, tcpdump")
def ip6gre() -> str:
    """GRE over IPv6: bare, with key, sequence and checksum, and with the encapsulation limit option."""
    return through(
        "ip6gre.pcap",
        "ip6gre local LEFT6 remote RIGHT6 encaplimit none",
        "ip6gre local LEFT6 remote RIGHT6 encaplimit none key 7 csum seq",
        "ip6gre local LEFT6 remote RIGHT6",
        talk=f"{INSIDE}\npeer left udp-ask 10.1.0.2 7 100",
    )


@capture("gretap.pcap", "guest", "ip tunnel, ping, peers.py, tcpdump")
def gretap() -> str:
    """Ethernet in GRE over both families, ERSPAN versions 1 and 2; ARP and neighbour discovery inside."""
    return through(
        "gretap.pcap",
        "gretap local LEFT remote RIGHT",
        "ip6gretap local LEFT6 remote RIGHT6 encaplimit none key 9",
        "erspan local LEFT remote RIGHT seq key 5 erspan_ver 1 erspan 3",
        "erspan local LEFT remote RIGHT seq key 5 erspan_ver 2 erspan_dir ingress erspan_hwid 7",
        talk=INSIDE,
    )


@capture("vxlan.pcap", "guest", "ip link, ping, peers.py, tcpdump")
def vxlan() -> str:
    """VXLAN over IPv4 (no UDP checksum, then one) and IPv6 (one, then none), and a group policy."""
    return through(
        "vxlan.pcap",
        "vxlan id 42 local LEFT remote RIGHT dstport 4789",
        "vxlan id 16777215 local LEFT remote RIGHT dstport 4789 udpcsum gbp",
        "vxlan id 43 local LEFT6 remote RIGHT6 dstport 4789",
        "vxlan id 44 local LEFT6 remote RIGHT6 dstport 4789 udp6zerocsumtx udp6zerocsumrx",
        talk=f"{INSIDE}\npeer left udp-ask 10.1.0.2 7 100",
    )


@capture("vxlan-gpe.pcap", "guest", "ip link, ip route encap, ping, tcpdump")
def vxlan_gpe() -> str:
    """VXLAN-GPE: both families directly in the tunnel, without Ethernet."""
    return """
pair
for h in left right; do
    me=1 other=2
    [ $h = right ] && me=2 other=1
    ip -n $h link add t0 type vxlan external gpe dstport 4790
    ip -n $h link set t0 up
    address $h t0 10.1.0.$me/32 2001:db8:100::$me/128
    ip -n $h route add 10.1.0.$other/32 encap ip id 77 dst 192.0.2.$other dev t0
    ip -n $h route add 2001:db8:100::$other/128 encap ip id 78 dst 192.0.2.$other dev t0
done
record left l0 vxlan-gpe.pcap ip or ip6
hello left 10.1.0.2 2001:db8:100::2
stop"""


@capture("vxlan-vlan.pcap", "guest", "ip link, ping, tcpdump")
def vxlan_vlan() -> str:
    """VXLAN on a VLAN, with a VLAN inside, and fragments of the outer packet."""
    return """
pair
for h in left right; do
    d=l0 me=1 other=2
    [ $h = right ] && d=r0 me=2 other=1
    ip -n $h link add link $d name v5 type vlan id 5
    ip -n $h link set v5 up
    address $h v5 10.5.0.$me/24
    ip -n $h link add t0 type vxlan id 9 local 10.5.0.$me remote 10.5.0.$other dstport 4789
    ip -n $h link set t0 address 02:00:00:00:10:0$me mtu 1500 up
    ip -n $h link add link t0 name w6 type vlan id 6
    ip -n $h link set w6 up
    address $h w6 10.6.0.$me/24 2001:db8:6::$me/64
done
settle
record left l0 vxlan-vlan.pcap
hello left 10.6.0.2 2001:db8:6::2
on left ping -q -c 1 -s 1472 10.6.0.2
stop"""


@capture("geneve.pcap", "guest", "ip link, ip route encap, ping, peers.py, tcpdump")
def geneve() -> str:
    """Geneve over both families, and with options (of 4 and 12 bytes, one critical)."""
    return through(
        "geneve.pcap",
        "geneve id 43 remote RIGHT",
        "geneve id 44 remote RIGHT6 udp6zerocsumtx udp6zerocsumrx",
        talk=f"{INSIDE}\npeer left udp-ask 10.1.0.2 7 100",
    ).replace(
        "stop",
        """
for h in left right; do
    me=1 other=2
    [ $h = right ] && me=2 other=1
    ip -n $h link add t0 type geneve external
    ip -n $h link set t0 address 02:00:00:00:10:0$me up
    address $h t0 10.1.0.$me/32 2001:db8:100::$me/128
    ip -n $h neigh add 10.1.0.$other lladdr 02:00:00:00:10:0$other dev t0
    ip -n $h neigh add 2001:db8:100::$other lladdr 02:00:00:00:10:0$other dev t0
    ip -n $h route add 10.1.0.$other/32 encap ip id 45 dst 192.0.2.$other \\
        geneve_opts 258:128:01020304 dev t0
    ip -n $h route add 2001:db8:100::$other/128 encap ip id 46 dst 192.0.2.$other \\
        geneve_opts 258:3:0102030405060708090a0b0c,65535:1:deadbeef dev t0
done
sleep 0.3
hello left 10.1.0.2 2001:db8:100::2
stop""",
    )


@capture("fou-gue.pcap", "guest", "ip fou, ip tunnel, ping, peers.py, tcpdump")
def fou_gue() -> str:
    """IP directly in UDP (FOU) and with the GUE header: IPv4, IPv6 and GRE inside, remote checksum
    offload, over both families."""
    ports = """
modprobe -a fou fou6
for h in left right; do
    for f in '' -6; do
        ip -n $h $f fou add port 5555 ipproto 4
        ip -n $h $f fou add port 5556 ipproto 41
        ip -n $h $f fou add port 5557 ipproto 47
        ip -n $h $f fou add port 6080 gue
    done
done
"""
    return through(
        "fou-gue.pcap",
        "ipip local LEFT remote RIGHT encap fou encap-sport 5555 encap-dport 5555",
        "sit local LEFT remote RIGHT encap fou encap-sport auto encap-dport 5556",
        "gre local LEFT remote RIGHT encap fou encap-sport 5557 encap-dport 5557",
        "ipip local LEFT remote RIGHT encap gue encap-sport 6080 encap-dport 6080 encap-csum",
        "sit local LEFT remote RIGHT encap gue encap-sport 6080 encap-dport 6080",
        "gre local LEFT remote RIGHT encap gue encap-sport 6080 encap-dport 6080 encap-remcsum",
        "ip6tnl mode any local LEFT6 remote RIGHT6 encaplimit none encap gue "
        "encap-sport 6080 encap-dport 6080",
        before=ports,
        talk=INSIDE,
    )


@capture("l2tp.pcap", "guest", "ip l2tp, ping, tcpdump")
def l2tp() -> str:
    """L2TPv3 with Ethernet inside: directly in IPv4 and IPv6, with a cookie, and in UDP."""
    return """
modprobe -a l2tp_eth l2tp_ip l2tp_ip6
pair
record left l0 l2tp.pcap ip or ip6
turn() { # turn TUNNEL-ARGUMENTS -- SESSION-ARGUMENTS
    for h in left right; do
        me=1 other=2
        [ $h = right ] && me=2 other=1
        set -- $(echo "$all" | sed "s/LEFT6/2001:db8:1::$me/g; s/RIGHT6/2001:db8:1::$other/g
            s/LEFT/192.0.2.$me/g; s/RIGHT/192.0.2.$other/g")
        ip -n $h l2tp add tunnel tunnel_id 10 peer_tunnel_id 10 $*
        ip -n $h l2tp add session name t0 tunnel_id 10 session_id 20 peer_session_id 20 $session
        ip -n $h link set t0 address 02:00:00:00:10:0$me up
        address $h t0 10.1.0.$me/24 2001:db8:100::$me/64
    done
    sleep 0.3
    hello left 10.1.0.2 2001:db8:100::2
    for h in left right; do ip -n $h l2tp del tunnel tunnel_id 10; done
    sleep 0.3
}
session=''
all='encap ip local LEFT remote RIGHT' turn
all='encap ip local LEFT6 remote RIGHT6' turn
session='cookie deadbeef peer_cookie deadbeef l2spec_type none'
all='encap ip local LEFT remote RIGHT' turn
session=''
all='encap udp local LEFT remote RIGHT udp_sport 1701 udp_dport 1701' turn
all='encap udp local LEFT6 remote RIGHT6 udp_sport 1701 udp_dport 1701' turn
stop"""


@capture("mpls.pcap", "guest", "ip route encap mpls, ping, tcpdump")
def mpls() -> str:
    """MPLS: one label, three, explicit null labels, both families; what a router swaps
    or takes away; MPLS in GRE."""
    return """
modprobe -a mpls_router mpls_iptunnel mpls_gso
routed
for h in left router right; do on $h sysctl -qw net.mpls.platform_labels=1000; done
on router sysctl -qw net.mpls.conf.x0.input=1 net.mpls.conf.x1.input=1
on right sysctl -qw net.mpls.conf.r0.input=1 net.mpls.conf.lo.input=1
on left sysctl -qw net.mpls.conf.l0.input=1
address right lo 10.5.0.1/32 10.5.1.1/32 10.5.2.1/32 2001:db8:5::1/128 2001:db8:5:1::1/128 2001:db8:5:2::1/128
# The router swaps 100 for 300, takes away 200; the host right takes away what it gets.
ip -n router -f mpls route add 100 as 300 via inet 198.51.100.1
ip -n router -f mpls route add 200 via inet 198.51.100.1
for label in 300 301 302; do ip -n right -f mpls route add $label dev lo; done
ip -n left route add 10.5.0.1/32 encap mpls 100 via inet 192.0.2.254
ip -n left route add 10.5.1.1/32 encap mpls 200/301 via inet 192.0.2.254
ip -n left route add 10.5.2.1/32 encap mpls 100/301/302 ttl 9 via inet 192.0.2.254
ip -n left route add 2001:db8:5::1/128 encap mpls 100 via inet6 2001:db8:1::ffff
ip -n left route add 2001:db8:5:1::1/128 encap mpls 200/301 via inet6 2001:db8:1::ffff
ip -n left route add 2001:db8:5:2::1/128 encap mpls 100/301/302 via inet6 2001:db8:1::ffff
ip -n left route add 10.5.3.0/24 encap mpls 0 via inet 192.0.2.254
ip -n left route add 2001:db8:5:3::/64 encap mpls 2 via inet6 2001:db8:1::ffff
ip -n left link add g0 type gre local 192.0.2.1 remote 192.0.2.254
ip -n left link set g0 up
address left g0 10.1.0.1/24
ip -n left route add 10.5.4.0/24 encap mpls 401/402 dev g0
record left l0 mpls.pcap
hello left 10.5.0.1 10.5.1.1 10.5.2.1 2001:db8:5::1 2001:db8:5:1::1 2001:db8:5:2::1
hello left 10.5.3.1 2001:db8:5:3::1 10.5.4.1
stop"""


@capture("srv6.pcap", "guest", "ip route encap seg6, ping, tcpdump")
def srv6() -> str:
    """SRv6 from a host: segment routing header inserted, IPv6 and IPv4 encapsulated with one
    and with several segments, and reduced."""
    return """
routed
for h in left router right; do
    on $h sysctl -qw net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.default.seg6_enabled=1
done
on router sysctl -qw net.ipv6.conf.x0.seg6_enabled=1 net.ipv6.conf.x1.seg6_enabled=1
on right sysctl -qw net.ipv6.conf.r0.seg6_enabled=1
ip -n left link set l0 mtu 1400
ip -n left route add 2001:db8:f::/64 via 2001:db8:1::ffff
ip -n router route add 2001:db8:f::2/128 via 2001:db8:2::1
ip -n router route add 2001:db8:f::1/128 encap seg6local action End dev x1
address right lo 2001:db8:f::2/128 2001:db8:a::1/128 2001:db8:b::1/128 2001:db8:c::1/128 10.7.0.1/32
ip -n right route add 2001:db8:f::6/128 encap seg6local action End.DT6 table 254 dev r0
ip -n router route add 2001:db8:f::6/128 via 2001:db8:2::1
ip -n right route add 2001:db8:f::4/128 encap seg6local action End.DX4 nh4 0.0.0.0 dev r0
ip -n router route add 2001:db8:f::4/128 via 2001:db8:2::1
S=2001:db8:f::1 next='dev l0 via 2001:db8:1::ffff'
ip -n left route add 2001:db8:a::/64 encap seg6 mode inline segs $S,2001:db8:f::2 $next
ip -n left route add 2001:db8:b::/64 encap seg6 mode encap segs $S,2001:db8:f::6 $next
ip -n left route add 2001:db8:c::/64 encap seg6 mode encap segs 2001:db8:f::6 $next
ip -n left route add 2001:db8:d::/64 encap seg6 mode encap.red segs $S,2001:db8:f::6 $next || true
ip -n left route add 10.7.0.0/24 encap seg6 mode encap segs $S,2001:db8:f::4 dev l0
record left l0 srv6.pcap ip or ip6
hello left 2001:db8:a::1 2001:db8:b::1 2001:db8:c::1 2001:db8:d::1 10.7.0.1
stop"""


@capture("mobile-ipv6.pcap", "guest", "ip xfrm (route optimisation), ping, peers.py, tcpdump")
def mobile_ipv6() -> str:
    """Mobile IPv6 route optimisation: home address option, type 2 routing header, both with fragments."""
    return """
pair
address left lo 2001:db8:108::1/128
ip -n left route add 2001:db8:100::/40 via 2001:db8:1::2
ip -n right route add 2001:db8:100::/40 via 2001:db8:1::1
home=2001:db8:108::1 care=2001:db8:1::1 peer=2001:db8:1::2
ip -n left xfrm state add src $home dst $peer proto hao mode ro coa $care
ip -n left xfrm policy add src $home dst $peer dir out tmpl src $home dst $peer proto hao mode ro
ip -n right xfrm state add src $peer dst $home proto route2 mode ro coa $care
ip -n right xfrm policy add src $peer dst $home dir out tmpl src $peer dst $home proto route2 mode ro
ip -n right xfrm state add src $home dst $peer proto hao mode in_trigger coa $care 2>/dev/null ||
    ip -n right xfrm state add src $home dst $peer proto hao mode ro coa $care
ip -n left xfrm state add src $peer dst $home proto route2 mode ro coa $care
record left l0 mobile-ipv6.pcap ip6
for size in 56 3000; do on left ping -q -c 1 -W 1 -s $size -I $home $peer || true; done
for size in 56 3000; do on right ping -q -c 1 -W 1 -s $size $home || true; done
peer right udp-tell $home 9 40
stop"""


@capture("wireguard.pcap", "guest", "wg, ping, peers.py, tcpdump")
def wireguard() -> str:
    """WireGuard over IPv4 and IPv6: handshake, data, keepalive."""
    return """
modprobe wireguard
pair
umask 077
for h in left right; do wg genkey > $scratch/$h.key; wg pubkey < $scratch/$h.key > $scratch/$h.pub; done
record left l0 wireguard.pcap ip or ip6
for f in 4 6; do
    for h in left right; do
        me=1 other=2 o=right
        [ $h = right ] && me=2 other=1 o=left
        [ $f = 4 ] && end=192.0.2.$other:51820 || end="[2001:db8:1::$other]:51820"
        ip -n $h link add t0 type wireguard
        on $h wg set t0 listen-port 51820 private-key $scratch/$h.key peer "$(cat $scratch/$o.pub)" \\
            endpoint "$end" allowed-ips 10.1.0.0/24,2001:db8:100::/64 persistent-keepalive 1
        ip -n $h link set t0 up
        address $h t0 10.1.0.$me/24 2001:db8:100::$me/64
    done
    hello left 10.1.0.2 2001:db8:100::2
    on left ping -q -c 1 -s 1000 10.1.0.2
    sleep 2
    no_tunnel
done
stop"""


@capture("ppp-cooked.pcap", "guest", "pppd on a pseudo terminal pair, ping, tcpdump -i ppp0")
def ppp_cooked() -> str:
    """A PPP link between two hosts as Linux shows it (cooked v1 from its own device): both families."""
    return (
        PPP
        + """
record left ppp0 ppp-cooked.pcap
on left ping -q -i 0.1 -c 2 10.4.0.2
on left ping -q -c 1 -s 3000 10.4.0.2
on left ping -q -i 0.1 -c 2 fe80::2%ppp0
stop"""
    )


PPP = """
modprobe -a ppp_generic ppp_async
hosts left right
mkdir -p /run/lock /run/pppd
options='nodetach noauth local nocrtscts nodeflate nobsdcomp novj noccp +ipv6 lcp-echo-interval 0 115200'
daemon() {
    h=$1
    shift
    LD_LIBRARY_PATH=/share/programs ip netns exec "$h" /share/programs/pppd "$@" $options &
}
socat pty,raw,echo=0,link=$scratch/a pty,raw,echo=0,link=$scratch/b &
sleep 1
daemon left $scratch/a 10.4.0.1:10.4.0.2 ipv6 ::1,::2
daemon right $scratch/b 10.4.0.2:10.4.0.1 ipv6 ::2,::1
for _ in $(seq 100); do
    ip -n left addr show dev ppp0 >$scratch/ppp 2>/dev/null || true
    grep -q fe80 $scratch/ppp && grep -q 10.4 $scratch/ppp && break
    sleep 0.2
done
"""


@capture("pppoe.pcap", "guest", "pppoe-server and pppd with its PPPoE plugin, ping, peers.py, tcpdump")
def pppoe() -> str:
    """PPPoE: discovery, LCP, IPCP and IPv6CP, both families in the session, fragments, termination."""
    return """
modprobe -a ppp_generic ppp_async ppp_synctty pppoe
hosts left right
link left l0 right r0
mkdir -p /run/lock /run/pppd /run/ppp
# The programs look for their files in places that the guest does not have.
mkdir -p /etc/ppp /usr/lib/pppd
cp -r /share/programs/plugins/* /usr/lib/pppd/
echo 'noauth novj noccp +ipv6 ipv6 ::1,::2 lcp-echo-interval 0 nodefaultroute' > $scratch/server
cp $scratch/server /etc/ppp/options
export LD_LIBRARY_PATH=/share/programs
record right r0 pppoe.pcap
ip netns exec right /share/programs/pppoe-server -F -I r0 -C concentrator -S service \\
    -L 10.4.0.1 -R 10.4.0.2 -O $scratch/server -q /share/programs/pppd -Q /share/programs/pppoe -N 1 &
sleep 1
: > /etc/ppp/options
ip netns exec left /share/programs/pppd nodetach plugin pppoe.so nic-l0 noauth novj noccp \\
    +ipv6 ipv6 ::2,::1 lcp-echo-interval 0 mtu 1492 mru 1492 &
client=$!
for _ in $(seq 50); do
    ip -n left addr show dev ppp0 >$scratch/ppp 2>/dev/null || true
    grep -q fe80 $scratch/ppp && grep -q 10.4 $scratch/ppp && break
    sleep 0.2
done
on left ping -q -i 0.1 -c 2 10.4.0.1
on left ping -q -c 1 -s 2000 10.4.0.1
on left ping -q -i 0.1 -c 2 fe80::1%ppp0
kill $client
sleep 1
stop"""
