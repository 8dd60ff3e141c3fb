# The world of a capture: hosts (network namespaces) joined by links (veth pairs).
#
# Sourced by a recipe, which runs in a mount, process and network namespace of its own, so
# that all it makes is gone when it ends. OUT is the folder for captures, HERE this folder.
# Addresses are those set aside for documentation, link addresses are locally administered.
set -eu
mount -t tmpfs none /run
mkdir -p /run/netns
scratch=$(mktemp -d /run/recipe.XXXXXX)
links=0 recorder='' recorders=''

# on HOST COMMAND...: run a command on a host.
on() { ip netns exec "$@"; }

# hosts NAME...: make hosts that send nothing of their own accord but MLD reports.
hosts() {
    for host; do
        ip netns add "$host"
        on "$host" sysctl -qw net.ipv6.conf.default.accept_dad=0 \
            net.ipv6.conf.default.router_solicitations=0 net.ipv4.ping_group_range='0 9' \
            net.ipv6.conf.default.mldv2_unsolicited_report_interval=10 \
            net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
        ip -n "$host" link set lo up
    done
}

# link HOST DEVICE HOST DEVICE: join two hosts. Checksums are complete on such a link and
# frames not longer than the MTU, unless the variable offload is set.
link() {
    links=$((links + 1))
    ip -n "$1" link add "$2" type veth peer name "$4" netns "$3"
    ip -n "$1" link set "$2" address "02:00:00:00:0$links:01" up
    ip -n "$3" link set "$4" address "02:00:00:00:0$links:02" up
    [ -n "${offload:-}" ] && return
    on "$1" ethtool -K "$2" tx off gro off >/dev/null
    on "$3" ethtool -K "$4" tx off gro off >/dev/null
}

# address HOST DEVICE ADDRESS...: give addresses.
address() {
    h=$1 d=$2
    shift 2
    for a; do
        case $a in *:*) ip -n "$h" addr add "$a" dev "$d" nodad ;; *) ip -n "$h" addr add "$a" dev "$d" ;; esac
    done
}

# pair: the hosts left and right on one link.
pair() {
    hosts left right
    link left l0 right r0
    address left l0 192.0.2.1/24 2001:db8:1::1/64
    address right r0 192.0.2.2/24 2001:db8:1::2/64
    settle
}

# routed: the hosts left and right with a router between.
routed() {
    hosts left router right
    link left l0 router x0
    link router x1 right r0
    address left l0 192.0.2.1/24 2001:db8:1::1/64
    address router x0 192.0.2.254/24 2001:db8:1::ffff/64
    address router x1 198.51.100.254/24 2001:db8:2::ffff/64
    address right r0 198.51.100.1/24 2001:db8:2::1/64
    on router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
    ip -n left route add default via 192.0.2.254
    ip -n left route add default via 2001:db8:1::ffff
    ip -n right route add default via 198.51.100.254
    ip -n right route add default via 2001:db8:2::ffff
    settle
}

# settle: let the first MLD reports pass.
settle() { sleep 0.5; }

# record HOST DEVICE FILE TCPDUMP-ARGUMENTS: begin a capture.
record() {
    h=$1 d=$2 f=$3
    shift 3
    ip netns exec "$h" tcpdump -Z root --immediate-mode -U -n -i "$d" -w "$OUT/$f" "$@" 2>"$scratch/$f.log" &
    recorder=$!
    recorders="$recorders $recorder"
    for _ in $(seq 100); do
        grep -q 'listening on' "$scratch/$f.log" && return
        sleep 0.05
    done
    cat "$scratch/$f.log" >&2
    return 1
}

# stop: end all captures.
stop() {
    sleep 0.5
    for r in $recorders; do
        kill -TERM "$r"
        wait "$r" || true
    done
    recorders=''
}

# serve HOST PORT COMMAND...: start a server, and wait until it listens.
serve() {
    h=$1 p=$2
    shift 2
    ip netns exec "$h" "$@" >"$scratch/server.$p.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        grep -qiE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$p") " /proc/"$server"/net/tcp /proc/"$server"/net/tcp6 \
            /proc/"$server"/net/udp /proc/"$server"/net/udp6 && return
        sleep 0.05
    done
    cat "$scratch/server.$p.log" >&2
    return 1
}

# peer HOST NAME ARGUMENTS: run one of the small programs of peers.py.
peer() {
    h=$1
    shift
    on "$h" python3 "$HERE/peers.py" "$@"
}

# hello HOST ADDRESS...: one echo request to each address. An answer is not needed.
hello() {
    h=$1
    shift
    for a; do on "$h" ping -q -n -c 1 -W 0.3 "$a" >/dev/null || true; done
}

# tunnel KIND ARGUMENTS: the device t0 on left and right, with the addresses 10.1.0.{1,2} and
# 2001:db8:100::{1,2}. In the arguments LEFT/RIGHT are this and the other end's IPv4
# address, LEFT6/RIGHT6 the IPv6 ones.
tunnel() {
    for h in left right; do
        me=1 other=2
        [ $h = right ] && me=2 other=1
        arguments=$(echo "$*" | sed "s/LEFT6/2001:db8:1::$me/g; s/RIGHT6/2001:db8:1::$other/g
            s/LEFT/192.0.2.$me/g; s/RIGHT/192.0.2.$other/g; s/MY/$me/g; s/YOUR/$other/g")
        ip -n $h link add t0 type $arguments
        case $arguments in
            gretap*|ip6gretap*|erspan*|ip6erspan*|vxlan*|geneve*) ip -n $h link set t0 address 02:00:00:00:10:0$me ;;
        esac
    done
    for h in left right; do
        [ $h = left ] && me=1 || me=2
        ip -n $h link set t0 up
        ip -n $h addr add 10.1.0.$me/24 dev t0
        ip -n $h addr add 2001:db8:100::$me/64 dev t0 nodad 2>/dev/null || true
    done
}

# no_tunnel: take it away again.
no_tunnel() {
    ip -n left link del t0
    ip -n right link del t0
}
