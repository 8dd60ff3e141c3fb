"""IPsec: ESP and AH in both modes over both families, ESP in UDP, IPComp, key exchange."""

from catalogue import capture

KEYS = "'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128"
NULL = "enc 'cipher_null' '' auth-trunc 'hmac(sha256)' 0x000102030405060708090a0b0c0d0e0f 128"

BEGIN = """
modprobe -a ah4 ah6 esp4 esp6 ipcomp ipcomp6 xfrm_user
pair
addresses() { # addresses FAMILY: this end's and the other's address in l and r
    [ "$1" = 4 ] && { l=192.0.2.1 r=192.0.2.2; return; }
    l=2001:db8:1::1 r=2001:db8:1::2
}
inner() { [ "$1" = 4 ] && echo 10.4.0.$2 || echo 2001:db8:104::$2; }
address left lo 10.4.0.1/32 2001:db8:104::1/128
address right lo 10.4.0.2/32 2001:db8:104::2/128
for f in 4 6; do
    addresses $f
    ip -n left route add $(inner $f 2) via $r src $(inner $f 1)
    ip -n right route add $(inner $f 1) via $l src $(inner $f 2)
done
use=''
state() { # state MODE ARGUMENTS...: one association each way, on both hosts
    mode=$1
    shift
    for h in left right; do
        ip -n $h xfrm state add src $l dst $r "$@" mode $mode reqid 1
        ip -n $h xfrm state add src $r dst $l "$@" mode $mode reqid 1
    done
}
policy() { # policy FROM TO TEMPLATE...: what left sends to right is protected, and back
    from=$1 to=$2
    shift 2
    ip -n left xfrm policy add src $from dst $to dir out "$@"
    ip -n right xfrm policy add src $from dst $to dir in "$@" $use
}
back() {
    from=$1 to=$2
    shift 2
    ip -n right xfrm policy add src $from dst $to dir out "$@"
    ip -n left xfrm policy add src $from dst $to dir in "$@" $use
}
forget() { for h in left right; do ip -n $h xfrm state flush; ip -n $h xfrm policy flush; done; }
talk() { for a; do on left ping -q -c 1 -W 1 $a || true; on left ping -q -c 1 -W 1 -s 500 $a || true; done; }
"""


def both_modes(protocol: str, keys: str) -> str:
    """A turn in transport and one in tunnel mode, for each family."""
    return f"""
for f in 4 6; do
    addresses $f
    state transport proto {protocol} spi 0x1000 {keys}
    policy $l $r tmpl src $l dst $r proto {protocol} reqid 1 mode transport
    back $r $l tmpl src $r dst $l proto {protocol} reqid 1 mode transport
    talk $r
    forget
    state tunnel proto {protocol} spi 0x2000 {keys}
    policy $(inner $f 1) $(inner $f 2) tmpl src $l dst $r proto {protocol} reqid 1 mode tunnel
    back $(inner $f 2) $(inner $f 1) tmpl src $r dst $l proto {protocol} reqid 1 mode tunnel
    talk $(inner $f 2)
    forget
done
"""


@capture("esp.pcap", "guest", "ip xfrm, ping, tcpdump")
def esp() -> str:
    """ESP (AES-GCM) in transport and in tunnel mode, over IPv4 and IPv6."""
    return f"{BEGIN}\nrecord left l0 esp.pcap ip or ip6\n{both_modes('esp', 'aead ' + KEYS)}\nstop"


@capture("esp-null.pcap", "guest", "ip xfrm, ping, tcpdump")
def esp_null() -> str:
    """ESP without encryption (null cipher, SHA-256): what is inside can be read, but is not to be
    guessed at."""
    return f"{BEGIN}\nrecord left l0 esp-null.pcap ip or ip6\n{both_modes('esp', NULL)}\nstop"


@capture("ah.pcap", "guest", "ip xfrm, ping, tcpdump")
def ah() -> str:
    """AH (SHA-256) in transport and in tunnel mode, over IPv4 and IPv6, and AH around ESP."""
    key = "auth-trunc 'hmac(sha256)' 0x000102030405060708090a0b0c0d0e0f 128"
    return f"""{BEGIN}
record left l0 ah.pcap ip or ip6
{both_modes("ah", key)}
for f in 4 6; do
    addresses $f
    state transport proto ah spi 0x3000 {key}
    state transport proto esp spi 0x3001 aead {KEYS}
    policy $l $r tmpl src $l dst $r proto esp reqid 1 mode transport \\
        tmpl src $l dst $r proto ah reqid 1 mode transport
    back $r $l tmpl src $r dst $l proto esp reqid 1 mode transport \\
        tmpl src $r dst $l proto ah reqid 1 mode transport
    talk $r
    forget
done
stop"""


@capture("esp-udp.pcap", "guest", "ip xfrm, peers.py, ping, tcpdump")
def esp_udp() -> str:
    """ESP in UDP port 4500 over both families, keepalives, and a message with the non-ESP marker."""
    return f"""{BEGIN}
for h in left right; do
    ip netns exec $h python3 $HERE/peers.py esp-in-udp 0.0.0.0 &
    ip netns exec $h python3 $HERE/peers.py esp-in-udp :: &
done
sleep 1
record left l0 esp-udp.pcap ip or ip6
for f in 4 6; do
    addresses $f
    state tunnel proto esp spi 0x2000 aead {KEYS} encap espinudp 4500 4500 0.0.0.0
    policy $(inner $f 1) $(inner $f 2) tmpl src $l dst $r proto esp reqid 1 mode tunnel
    back $(inner $f 2) $(inner $f 1) tmpl src $r dst $l proto esp reqid 1 mode tunnel
    talk $(inner $f 2)
    forget
done
peer left not-esp 192.0.2.2
peer left not-esp 2001:db8:1::2
stop"""


@capture("ipcomp.pcap", "guest", "ip xfrm, ping, tcpdump")
def ipcomp() -> str:
    """IPComp (deflate) in transport mode over both families: large packets compressed, small ones as
    they are."""
    return f"""{BEGIN}
# Small packets are not compressed, and must be let in.
use='level use'
record left l0 ipcomp.pcap ip or ip6
for f in 4 6; do
    addresses $f
    state transport proto comp spi 0x1000 comp deflate
    policy $l $r tmpl src $l dst $r proto comp reqid 1 mode transport
    back $r $l tmpl src $r dst $l proto comp reqid 1 mode transport
    talk $r
    forget
done
stop"""


@capture("macsec.pcap", "guest", "ip macsec, ping, tcpdump")
def macsec() -> str:
    """MACsec: an Ethernet type that ends what can be read."""
    return """
modprobe macsec
pair
for h in left right; do
    d=l0 me=1 other=2
    [ $h = right ] && d=r0 me=2 other=1
    ip -n $h link add link $d m0 type macsec sci 020000000000000$me encrypt on
    ip -n $h macsec add m0 tx sa 0 pn 1 on key 00 0000000000000000000000000000000$me
    ip -n $h macsec add m0 rx sci 020000000000000$other on
    ip -n $h macsec add m0 rx sci 020000000000000$other sa 0 pn 1 on \\
        key 01 0000000000000000000000000000000$other
    ip -n $h link set m0 address 02:00:00:00:10:0$me up
    address $h m0 10.1.0.$me/24 2001:db8:100::$me/64
done
sleep 0.3
record left l0 macsec.pcap
hello left 10.1.0.2 2001:db8:100::2
stop"""
