"""802.11 with radiotap headers, from two simulated radios (mac80211_hwsim)."""

from catalogue import capture

# The radios stand in the network namespace of the guest itself, not in the recipe's own.
RADIOS = """
modprobe -r mac80211_hwsim
modprobe mac80211_hwsim radios=2
ip netns add station
phy=$(ls /sys/class/ieee80211 | head -1)
for p in $(ls /sys/class/ieee80211); do phy1=$p; done
ap=$(ls /sys/class/ieee80211/$phy/device/net | head -1)
sta=$(ls /sys/class/ieee80211/$phy1/device/net | head -1)
iw phy $phy1 set netns name station
ip link set hwsim0 up
listen() { # listen FILE ARGUMENTS: capture the air
    f=$1
    shift
    tcpdump -Z root --immediate-mode -U -n -i hwsim0 -w $OUT/$f "$@" 2>$scratch/air.log &
    recorders=$!
    for _ in $(seq 100); do grep -q 'listening on' $scratch/air.log && return; sleep 0.05; done
}
join() { # join: wait until the station is connected, and give addresses
    hostapd -B -P $scratch/ap.pid $scratch/ap.conf
    ip netns exec station wpa_supplicant -B -P $scratch/station.pid -i $sta -c $scratch/station.conf
    ip addr add 10.6.0.1/24 dev $ap
    ip addr add 2001:db8:6::1/64 dev $ap nodad
    ip -n station addr add 10.6.0.2/24 dev $sta
    ip -n station addr add 2001:db8:6::2/64 dev $sta nodad
    for _ in $(seq 100); do
        on station wpa_cli -p $scratch/wpa -i $sta status | grep -q wpa_state=COMPLETED && break
        sleep 0.2
    done
}
leave() {
    on station wpa_cli -p $scratch/wpa -i $sta disconnect
    sleep 0.5
    kill $(cat $scratch/station.pid) $(cat $scratch/ap.pid)
}
"""


def network(settings: str, credentials: str, hidden: str = "") -> str:
    return f"""
cat > $scratch/ap.conf <<END
interface=$ap
ssid=testnet
hw_mode=g
channel=6
beacon_int=500
{settings}
END
cat > $scratch/station.conf <<END
ctrl_interface=$scratch/wpa
network={{
    ssid="testnet"
    scan_freq=2437
    {credentials}
    {hidden}
}}
END
"""


@capture("wifi-open.pcap", "guest-bare", "hostapd, wpa_supplicant, ping, peers.py, tcpdump")
def wifi_open() -> str:
    """An open network: beacons, probe, authentication, association, QoS and plain data in the clear
    (ARP, IPv4, IPv6, UDP, TCP), null data, acknowledgements, deauthentication."""
    return f"""{RADIOS}
{network("wmm_enabled=1", "key_mgmt=NONE")}
listen wifi-open.pcap
join
ping -q -c 2 -i 0.1 10.6.0.2
on station ping -q -c 2 -i 0.1 2001:db8:6::1
ip netns exec station python3 $HERE/peers.py udp-echo 7 &
ip netns exec station python3 $HERE/peers.py tcp-sink 80 &
sleep 0.5
python3 $HERE/peers.py udp-ask 10.6.0.2 7 10 3000
python3 $HERE/peers.py tcp-send 2001:db8:6::2 80 300
leave
stop"""


@capture("wifi-legacy.pcap", "guest-bare", "hostapd, wpa_supplicant, ping, tcpdump")
def wifi_legacy() -> str:
    """An open network of 802.11b: data frames without QoS, fragments of frames, power save."""
    return f"""{RADIOS}
{network("hw_mode=b", "key_mgmt=NONE").replace("hw_mode=g" + chr(10), "")}
iw phy $phy set frag 400 || true
listen wifi-legacy.pcap
join
ping -q -c 2 -i 0.1 -s 700 10.6.0.2
on station iw dev $sta set power_save on || true
on station ping -q -c 2 -i 0.3 2001:db8:6::1
leave
stop"""


@capture("wifi-wpa2.pcap", "guest-bare", "hostapd, wpa_supplicant, ping, tcpdump")
def wifi_wpa2() -> str:
    """A WPA2 network (passphrase netfast-secret): the four-way handshake, data under CCMP, a change of
    the group key, disassociation."""
    settings = (
        "wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=netfast-secret\nwpa_group_rekey=3"
    )
    return f"""{RADIOS}
{network(settings, 'psk="netfast-secret"')}
listen wifi-wpa2.pcap
join
ping -q -c 2 -i 0.1 10.6.0.2
on station ping -q -c 2 -i 0.1 2001:db8:6::1
sleep 3
leave
stop"""
