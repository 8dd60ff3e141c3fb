"""IPv4 and IPv6 without tunnels: what hosts say on an Ethernet."""

from catalogue import capture


@capture("arp-icmp.pcap", "host", "ping, tcpdump")
def arp_icmp() -> str:
    """ARP, ICMP echo with 56, 0, 1 and 1400 bytes, and an address that nobody has."""
    return """
pair
record left l0 arp-icmp.pcap ip or arp
on left ping -q -c 2 -i 0.1 192.0.2.2
for size in 0 1 1400; do on left ping -q -c 1 -s $size 192.0.2.2; done
hello left 192.0.2.77
sleep 1
stop"""


@capture("icmpv6-nd.pcap", "host", "ping, the kernel, tcpdump")
def icmpv6_nd() -> str:
    """Duplicate address detection, router solicitation, neighbour discovery (answered and not), MLDv2
    and MLDv1 with hop-by-hop router alert, ICMPv6 echo with 56, 0, 1 and 1400 bytes."""
    return """
hosts left right
link left l0 right r0
ip -n left link set l0 addrgenmode none
sleep 0.5
record right r0 icmpv6-nd.pcap ip6
on left sysctl -qw net.ipv6.conf.l0.accept_dad=1 net.ipv6.conf.l0.router_solicitations=1 \\
    net.ipv6.conf.l0.router_solicitation_delay=0
ip -n left link set l0 down
ip -n left link set l0 addrgenmode eui64 up
ip -n left addr add 2001:db8:1::1/64 dev l0
address right r0 2001:db8:1::2/64
sleep 3
on left ping -q -c 2 -i 0.1 2001:db8:1::2
for size in 0 1 1400; do on left ping -q -c 1 -s $size 2001:db8:1::2; done
on left ping -q -c 1 ff02::1%l0
hello left 2001:db8:1::77
on left sysctl -qw net.ipv6.conf.l0.force_mld_version=1
peer left multicast-join l0 ff05::1234 1
sleep 1
stop"""


@capture("dns-udp.pcap", "host", "peers.py, tcpdump")
def dns_udp() -> str:
    """Questions for names and their answers over UDP, IPv4 and IPv6."""
    return """
pair
serve right 53 python3 $HERE/peers.py dns-serve 53
record left l0 dns-udp.pcap udp
peer left dns-ask 192.0.2.2 www.example.com mail.example.org
peer left dns-ask 2001:db8:1::2 www.example.net a.rather.long.name.below.several.labels.example
stop"""


@capture("udp-sizes.pcap", "host", "peers.py, tcpdump")
def udp_sizes() -> str:
    """UDP echo of 0, 1, 17, 18, 19, 46 and 1400 bytes over both families, and a port that is closed."""
    return """
pair
serve right 7 python3 $HERE/peers.py udp-echo 7
record left l0 udp-sizes.pcap
for a in 192.0.2.2 2001:db8:1::2; do
    peer left udp-ask $a 7 0 1 17 18 19 46 1400
    peer left udp-tell $a 9 40
done
stop"""


@capture("udp-zero-checksum.pcap", "host", "peers.py, tcpdump")
def udp_zero_checksum() -> str:
    """UDP over IPv4 without a checksum, answered with one."""
    return """
pair
serve right 7 python3 $HERE/peers.py udp-echo 7
record left l0 udp-zero-checksum.pcap udp
peer left udp-no-checksum 192.0.2.2 7
stop"""


@capture("udplite.pcap", "host", "peers.py, tcpdump")
def udplite() -> str:
    """UDP-Lite with checksums over all, over the header only, and over parts; both families."""
    return """
pair
ip netns exec right python3 $HERE/peers.py udplite-echo 7 &
sleep 0.5
record left l0 udplite.pcap
peer left udplite 192.0.2.2 7
peer left udplite 2001:db8:1::2 7
stop"""


@capture("multicast-broadcast.pcap", "host", "peers.py, ping, tcpdump")
def multicast_broadcast() -> str:
    """IGMPv3 and IGMPv2 reports and leave, MLD, UDP to groups and to the broadcast addresses."""
    return """
pair
ip -n left route add 224.0.0.0/4 dev l0
record right r0 multicast-broadcast.pcap
peer right multicast-join r0 239.1.2.3 1 &
peer right multicast-join r0 ff05::1:3 1
on right sysctl -qw net.ipv4.conf.r0.force_igmp_version=2
peer right multicast-join r0 239.1.2.4 1
for a in 239.1.2.3 192.0.2.255 255.255.255.255; do
    ip -n left route replace 255.255.255.255 dev l0
    peer left udp-tell $a 6000 20 200
done
ip -n left -6 route add ff05::/16 dev l0 table local
peer left udp-tell ff05::1:3 6000 20 200
on left ping -q -n -b -c 1 -W 1 192.0.2.255 || true
stop"""


@capture("ethernet-other.pcap", "host", "peers.py (gap), tcpdump")
def ethernet_other() -> str:
    """Frames without IP: LLC (spanning tree), SNAP, LLDP, EAPOL, wake-on-LAN, an experimental type."""
    return """
pair
record right r0 ethernet-other.pcap
peer left gap l0
stop"""


@capture("ipv4-options.pcap", "host", "ping, peers.py, tcpdump")
def ipv4_options() -> str:
    """IPv4 options: record route (short and of the full 40 bytes), time stamp, router alert, loose
    source route; also in what a router passes on."""
    return """
routed
on router sysctl -qw net.ipv4.conf.all.accept_source_route=1
serve right 9 python3 $HERE/peers.py udp-echo 9
record right r0 ipv4-options.pcap ip
on left ping -q -c 1 -R 198.51.100.1
on left ping -q -c 1 -T tsandaddr 198.51.100.1
peer left ip-options 198.51.100.1 9
stop"""


@capture("fragments-ipv4.pcap", "host", "ping, peers.py, tcpdump")
def fragments_ipv4() -> str:
    """IPv4 fragments in order: ICMP and UDP of 1473 to 9000 bytes."""
    return """
pair
serve right 7 python3 $HERE/peers.py udp-echo 7
record left l0 fragments-ipv4.pcap ip
for size in 1473 4000 9000; do on left ping -q -c 1 -s $size 192.0.2.2; done
peer left udp-ask 192.0.2.2 7 1473 3000 2953
stop"""


@capture("fragments-ipv6.pcap", "host", "ping, peers.py, tcpdump")
def fragments_ipv6() -> str:
    """IPv6 fragments in order: ICMPv6 and UDP of 1453 to 9000 bytes, also at an MTU of 1280."""
    return """
pair
serve right 7 python3 $HERE/peers.py udp-echo 7
record left l0 fragments-ipv6.pcap ip6
for size in 1453 4000 9000; do on left ping -q -c 1 -s $size 2001:db8:1::2; done
ip -n left link set l0 mtu 1280
ip -n right link set r0 mtu 1280
peer left udp-ask 2001:db8:1::2 7 1400 3000
stop"""


@capture("fragments-reordered.pcap", "guest", "ping, netem, tcpdump")
def fragments_reordered() -> str:
    """Fragments of both families that arrive out of order, some last first, some lost, some twice."""
    return """
pair
on left tc qdisc add dev l0 root netem delay 20ms 15ms loss 3% duplicate 3%
record right r0 fragments-reordered.pcap ip or ip6
for size in 5000 5000 5000; do
    on left ping -q -c 1 -W 1 -s $size 192.0.2.2 || true
    on left ping -q -c 1 -W 1 -s $size 2001:db8:1::2 || true
done
stop"""


@capture("icmp-errors.pcap", "host", "ping, peers.py, nft, tcpdump")
def icmp_errors() -> str:
    """ICMP errors with the packets they quote: port, host and protocol unreachable, prohibited, time
    exceeded, fragmentation needed."""
    return """
routed
ip -n router route add unreachable 203.0.113.0/25
ip -n router route add prohibit 203.0.113.128/25
ip -n router link set x1 mtu 1000
record left l0 icmp-errors.pcap ip
peer left udp-tell 198.51.100.1 9 10 600
# Errors about routes are limited to one a second.
for a in 203.0.113.1 203.0.113.129 198.51.100.77; do
    sleep 1
    on left ping -q -n -c 2 -W 4 $a || true
done
on left ping -q -n -c 1 -W 1 -t 1 198.51.100.1 || true
on left ping -q -n -c 1 -W 1 -M do -s 1400 198.51.100.1 || true
on right nft 'add table ip f; add chain ip f in { type filter hook input priority 0; };
    add rule ip f in meta l4proto udp reject with icmp type prot-unreachable'
peer left udp-tell 198.51.100.1 10 10
stop"""


@capture("icmpv6-errors.pcap", "host", "ping, peers.py, nft, tcpdump")
def icmpv6_errors() -> str:
    """ICMPv6 errors with the packets they quote: port, address, route and policy unreachable,
    prohibited, time exceeded, packet too big, parameter problem."""
    return """
routed
ip -n router route add unreachable 2001:db8:3::/64
ip -n router route add prohibit 2001:db8:4::/64
ip -n router link set x1 mtu 1300
record left l0 icmpv6-errors.pcap ip6
peer left udp-tell 2001:db8:2::1 9 10 600
for a in 2001:db8:2::77 2001:db8:3::1 2001:db8:4::1; do on left ping -q -n -c 1 -W 4 $a || true; done
on left ping -q -n -c 1 -W 1 -t 1 2001:db8:2::1 || true
on left ping -q -n -c 1 -W 1 -M do -s 1400 2001:db8:2::1 || true
peer left raw6 2001:db8:1::1 2001:db8:2::1
stop"""


@capture("ipv6-extensions.pcap", "host", "peers.py, tcpdump")
def ipv6_extensions() -> str:
    """IPv6 extension headers by the kernel's socket options: hop-by-hop and destination options, segment
    routing headers, and fragments behind each of them."""
    return """
pair
serve right 9 python3 $HERE/peers.py udp-echo 9
on right sysctl -qw net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.r0.seg6_enabled=1 || true
record left l0 ipv6-extensions.pcap ip6
peer left extension-headers 2001:db8:1::2 9 2001:db8:1::2
stop"""


@capture("ipv6-raw.pcap", "host", "peers.py (raw6), tcpdump")
def ipv6_raw() -> str:
    """What kernels no longer send, through a raw socket: type 0 routing header, atomic fragment, no next
    header (with and without bytes after it), an experimental protocol, options with padding only."""
    return """
pair
record left l0 ipv6-raw.pcap ip6
peer left raw6 2001:db8:1::1 2001:db8:1::2
stop"""


@capture("vlan.pcap", "guest", "ip link, ping, iperf3, tcpdump")
def vlan() -> str:
    """802.1Q tags with several priorities, the priority tag 0, ARP, both families, UDP and TCP."""
    return """
pair
for h in left right; do
    d=l0 n=1
    [ $h = right ] && d=r0 n=2
    for id in 0 5 4094; do
        ip -n $h link add link $d name v$id type vlan id $id egress-qos-map 0:$((id % 8)) 
        ip -n $h link set v$id up
    done
    address $h v5 10.5.0.$n/24 2001:db8:5::$n/64
    address $h v4094 10.94.0.$n/24 2001:db8:94::$n/64
    address $h v0 10.0.0.$n/24
done
settle
record left l0 vlan.pcap
hello left 192.0.2.2 10.5.0.2 2001:db8:5::2 10.94.0.2 2001:db8:94::2 10.0.0.2
serve right 7 python3 $HERE/peers.py udp-echo 7
peer left udp-ask 10.5.0.2 7 100 2000
serve right 80 python3 $HERE/peers.py tcp-sink 80
peer left tcp-send 2001:db8:94::2 80 500
stop"""


@capture("qinq.pcap", "guest", "ip link, ping, tcpdump")
def qinq() -> str:
    """Two tags (802.1ad outside) and three, and 802.1Q in 802.1Q; both families, fragments."""
    return """
pair
for h in left right; do
    d=l0 n=1
    [ $h = right ] && d=r0 n=2
    ip -n $h link add link $d name s100 type vlan proto 802.1ad id 100
    ip -n $h link add link s100 name c7 type vlan id 7 egress-qos-map 0:3
    ip -n $h link add link c7 name d8 type vlan id 8
    ip -n $h link add link $d name q20 type vlan id 20
    ip -n $h link add link q20 name q21 type vlan id 21
    for i in s100 c7 d8 q20 q21; do ip -n $h link set $i up; done
    address $h c7 10.7.0.$n/24 2001:db8:7::$n/64
    address $h d8 10.8.0.$n/24 2001:db8:8::$n/64
    address $h q21 10.21.0.$n/24 2001:db8:21::$n/64
done
settle
record left l0 qinq.pcap
hello left 10.7.0.2 2001:db8:7::2 10.8.0.2 2001:db8:8::2 10.21.0.2 2001:db8:21::2
on left ping -q -c 1 -s 3000 10.7.0.2
on left ping -q -c 1 -s 3000 2001:db8:7::2
serve right 7 python3 $HERE/peers.py udp-echo 7
peer left udp-ask 10.7.0.2 7 1 1000
stop"""


@capture("sctp.pcap", "guest", "peers.py, tcpdump")
def sctp() -> str:
    """SCTP associations over both families: set-up, data in several chunks, shutdown; and a refused one."""
    return """
modprobe sctp
pair
ip netns exec right python3 $HERE/peers.py stream-echo 7000 sctp &
sleep 1
record left l0 sctp.pcap ip or ip6
peer left stream-ask 192.0.2.2 7000 sctp 10 3000
peer left stream-ask 2001:db8:1::2 7000 sctp 100
peer left stream-ask 192.0.2.2 7001 sctp 10 || true
stop"""


@capture("dccp.pcap", "guest", "peers.py, tcpdump")
def dccp() -> str:
    """DCCP connections over both families: set-up, data, close."""
    return """
modprobe -a dccp dccp_ipv4 dccp_ipv6
pair
ip netns exec right python3 $HERE/peers.py stream-echo 7000 dccp &
sleep 1
record left l0 dccp.pcap ip or ip6
peer left stream-ask 192.0.2.2 7000 dccp 10 500
peer left stream-ask 2001:db8:1::2 7000 dccp 100
stop"""


@capture("dhcp.pcap", "guest", "busybox udhcpc and udhcpd, tcpdump")
def dhcp() -> str:
    """A host without an address gets one: DHCP from 0.0.0.0 to the broadcast address, and the release."""
    return """
hosts left right
link left l0 right r0
address right r0 192.0.2.2/24
cat > $scratch/udhcpd.conf <<END
start 192.0.2.10
end 192.0.2.20
interface r0
lease_file $scratch/leases
option router 192.0.2.2
option lease 600
END
touch $scratch/leases
record left l0 dhcp.pcap ip or arp
ip netns exec right busybox udhcpd -f $scratch/udhcpd.conf &
sleep 0.5
on left busybox udhcpc -i l0 -q -n -R -x hostname:client -s /bin/true -t 5
stop"""
