"""Headers: built, stacked and emitted as scapy and tshark would have them, and parsed back."""

from __future__ import annotations

import copy
import importlib.util
import ipaddress
import pickle
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netfast.headers as nf
from netfast import dissect
from netfast.errors import FieldError, LocalProtocolError, ParseError
from netfast.headers import (
    AH,
    ARP,
    DCCP,
    ESP,
    GRE,
    IGMP,
    LLC,
    MPLS,
    PPP,
    SCTP,
    SNAP,
    TCP,
    UDP,
    VLAN,
    VXLAN,
    DestinationOptions,
    Dot11,
    Ethernet,
    Fragment,
    Geneve,
    Header,
    HeaderStack,
    HopByHop,
    ICMPv4,
    ICMPv6,
    IPv4,
    IPv6,
    LinuxSLL,
    LinuxSLL2,
    Mobility,
    Null,
    PPPoE,
    RadioTap,
    Raw,
    Routing,
    UDPLite,
)

CLASSES = [getattr(nf, name) for name in nf.__all__ if name not in ("Header", "HeaderStack")]
ETHERNET, RAW, NULL, SLL, SLL2, RADIO, PPP_LINK = 1, 101, 0, 113, 276, 127, 9


def ether() -> Ethernet:
    return Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def ip4(**fields: object) -> IPv4:
    return IPv4(**{"src": "192.0.2.1", "dst": "198.51.100.2", **fields})


def ip6(**fields: object) -> IPv6:
    return IPv6(**{"src": "2001:db8::1", "dst": "2001:db8::2", **fields})


def udp() -> UDP:
    return UDP(src_port=1234, dst_port=4321)


TCP_OPTIONS = [
    ("mss", 1460),
    ("sack_permitted", None),
    ("timestamps", (1, 2)),
    ("nop", None),
    ("window_scale", 7),
]
SEGMENTS = ["2001:db8::a", "2001:db8::b"]

# name -> (link type, stack): each is a packet that a receiver accepts.
STACKS = {
    "udp4": (ETHERNET, ether() / ip4() / udp() / b"odd"),
    "udp6": (ETHERNET, ether() / ip6() / udp() / b"odd"),
    "tcp4": (RAW, ip4() / TCP(src_port=1, dst_port=2, flags="S", options=TCP_OPTIONS)),
    "tcp6": (RAW, ip6() / TCP(src_port=1, dst_port=2, flags="PA", ack=1) / b"hello"),
    "udplite": (RAW, ip6() / UDPLite(src_port=1, dst_port=2) / b"abc"),
    "udplite-partial": (RAW, ip6() / UDPLite(src_port=1, dst_port=2, coverage=10) / b"abcdef"),
    "sctp": (
        RAW,
        ip6() / SCTP(src_port=1, dst_port=2, verification_tag=3, chunks=[("cookie_ack", (0, b""))]),
    ),
    "dccp": (RAW, ip6() / DCCP(src_port=1, dst_port=2, type=0, code=5)),
    "vlan": (ETHERNET, ether() / VLAN(vid=5, priority=3) / ip6() / udp() / b"x"),
    "qinq": (ETHERNET, ether() / VLAN(vid=5) / VLAN(vid=6) / ip4() / udp() / b"x"),
    "mpls": (ETHERNET, ether() / MPLS(label=100) / MPLS(label=200) / ip4() / udp() / b"x"),
    "pppoe": (ETHERNET, ether() / PPPoE(session_id=7) / PPP() / ip6() / udp() / b"x"),
    "snap": (ETHERNET, ether() / LLC() / SNAP() / ip4() / udp() / b"x"),
    "arp": (
        ETHERNET,
        ether() / ARP(sender_ip="192.0.2.1", target_ip="192.0.2.2", sender_mac="02:00:00:00:00:01"),
    ),
    "null": (NULL, Null() / ip6() / udp() / b"x"),
    "sll": (SLL, LinuxSLL(address=b"\2\0\0\0\0\1\0\0") / ip6() / udp() / b"x"),
    "sll2": (SLL2, LinuxSLL2(interface_index=2) / ip4() / udp() / b"x"),
    "ppp": (PPP_LINK, PPP(address=0xFF, control=3) / ip4() / udp() / b"x"),
    "radiotap": (
        RADIO,
        RadioTap(
            fields=[
                ("tsft", 5),
                ("flags", 0),
                ("rate", 12),
                ("channel", (2412, 0xA0)),
                ("dbm_antenna_signal", -40),
            ]
        )
        / Dot11(type=2, subtype=8, to_ds=True, addr1="02:00:00:00:00:01", addr2="02:00:00:00:00:02")
        / LLC()
        / SNAP()
        / ip6()
        / udp()
        / b"x",
    ),
    "options4": (RAW, ip4(options=[("router_alert", 0)]) / udp() / b"x"),
    "hop-by-hop": (RAW, ip6() / HopByHop(options=[("router_alert", 0)]) / udp() / b"x"),
    "home-address": (
        RAW,
        ip6() / DestinationOptions(options=[("home_address", "2001:db8::99")]) / udp() / b"x",
    ),
    "segments": (RAW, ip6() / Routing(type=4, addresses=SEGMENTS) / udp() / b"x"),
    "route2": (RAW, ip6() / Routing(type=2, addresses=SEGMENTS[:1]) / udp() / b"x"),
    "fragment": (RAW, ip6() / Fragment(identification=7) / udp() / b"x"),
    "auth": (RAW, ip6() / AH(spi=1, sequence=1, icv=b"\1" * 12) / udp() / b"x"),
    "esp": (RAW, ip6() / ESP(spi=1, sequence=1) / bytes(range(32))),
    "mobility": (RAW, ip6() / Mobility(type=5, data=b"\0\1\0\0\0\2")),
    "icmp4": (RAW, ip4() / ICMPv4(type=8, identifier=1, sequence=2) / b"ping"),
    "too-big4": (RAW, ip4() / ICMPv4(type=3, code=4, mtu=1400) / bytes(ip4() / udp() / b"x")),
    "icmp6": (RAW, ip6() / ICMPv6(type=128, identifier=1, sequence=2) / b"ping"),
    "too-big6": (RAW, ip6() / ICMPv6(type=2, mtu=1280) / bytes(ip6() / udp() / b"x")),
    "solicitation": (
        RAW,
        ip6(hop_limit=255)
        / ICMPv6(
            type=135, target="2001:db8::2", options=[("source_link_layer_address", "02:00:00:00:00:01")]
        ),
    ),
    "advertisement": (
        RAW,
        ip6(src="fe80::1", dst="ff02::1", hop_limit=255)
        / ICMPv6(
            type=134, options=[("mtu", (0, 1500)), ("prefix_information", ("2001:db8::/64", 0xC0, 9, 8))]
        ),
    ),
    "mld2": (
        RAW,
        ip6(src="fe80::1", dst="ff02::16", hop_limit=1)
        / HopByHop(options=[("router_alert", 0)])
        / ICMPv6(type=143, records=[("change_to_exclude", ("ff02::fb", []))]),
    ),
    "igmp3": (
        RAW,
        ip4(dst="224.0.0.22", ttl=1, options=[("router_alert", 0)])
        / IGMP(type=0x22, records=[("mode_is_include", ("239.0.0.1", ["192.0.2.9"]))]),
    ),
    "gre": (RAW, ip6() / GRE(key=5, sequence=6, checksum_present=True) / ip4() / udp() / b"x"),
    "gretap": (RAW, ip4() / GRE() / ether() / ip6() / udp() / b"x"),
    "vxlan": (RAW, ip6() / UDP(src_port=50000) / VXLAN(vni=77) / ether() / ip4() / udp() / b"x"),
    "geneve": (
        RAW,
        ip6()
        / UDP(src_port=50000)
        / Geneve(vni=77, options=[(0x010203, b"abcd")])
        / ether()
        / ip4()
        / udp()
        / b"x",
    ),
    "source-route": (RAW, ip4(options=[("loose_source_route", ["192.0.2.9"])]) / udp() / b"x"),
    "record-route": (RAW, ip4(options=[("record_route", ["0.0.0.0"] * 3)]) / udp() / b"x"),
    "name-servers": (
        RAW,
        ip6(src="fe80::1", dst="ff02::1", hop_limit=255)
        / ICMPv6(type=134, options=[("mtu", 1500), ("rdnss", (600, ["2001:db8::53", "2001:db8::54"]))]),
    ),
    "option-forms": (
        RAW,
        ip6() / TCP(src_port=1, dst_port=2, flags="S", options=["nop", "sack_permitted", ("mss", 1440)]),
    ),
    "ip-in-ip": (RAW, ip4() / ip6() / ip4() / udp() / b"x"),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_built_packet_is_dissected_without_complaint(name: str) -> None:
    link, stack = STACKS[name]
    packet = dissect(bytes(stack), link=link)
    assert packet.verdict == "ok"
    assert packet.wrong == []
    assert [type(header) for header in packet.headers] == [type(header) for header in stack]
    again = packet.to_stack()
    assert bytes(again) == bytes(stack)
    assert bytes(again.recompute()) == bytes(stack)


@pytest.mark.parametrize("name", STACKS)
def test_repr_pickle_and_copy_give_equal_values(name: str) -> None:
    stack = STACKS[name][1]
    for value in (stack, dissect(bytes(stack), link=STACKS[name][0]).to_stack()):
        assert eval(repr(value), vars(nf)) == value
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.copy(value) == value
        assert hash(copy.deepcopy(value)) == hash(value)


def pcap(link: int, packets: list[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
        for data in packets:
            file.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    return path


CHECKED = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum", "udplite.check_checksum"]


@pytest.mark.tshark
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("link", sorted({link for link, _ in STACKS.values()}))
def test_tshark_has_no_complaint(link: int, tmp_path: Path) -> None:
    names = [name for name in STACKS if STACKS[name][0] == link]
    path = pcap(link, [bytes(STACKS[name][1]) for name in names], tmp_path / "built.pcap")
    preferences = [word for name in CHECKED for word in ("-o", f"{name}:TRUE")]
    fields = ["frame.number", "_ws.expert.severity", "_ws.expert.message", "frame.protocols", "_ws.malformed"]
    columns = [word for field in fields for word in ("-e", field)]
    command = [
        "tshark",
        "-r",
        str(path),
        "-n",
        *preferences,
        "-o",
        "sctp.checksum:TRUE",
        "-T",
        "fields",
        *columns,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(rows) == len(names)
    for name, (_, severities, messages, protocols, malformed) in zip(names, rows, strict=True):
        # Warnings are 0x600000, errors 0x800000; notes and chats are about meaning.
        worst = max((int(severity) for severity in severities.split(",") if severity), default=0)
        assert worst < 0x600000, (name, messages, protocols)
        assert not malformed, (name, protocols)
        # tshark got down to the payload, if there is one that it does not read itself.
        reached = protocols.rsplit(":", 1)[-1] in ("data", "icmp", "icmpv6", "esp", "udp", "tcp")
        assert reached or not STACKS[name][1].payload, (name, protocols)


def scapy_pairs() -> list[tuple[str, object, object]]:
    """Packets built with both; scapy's come with every field that netfast chooses for itself."""
    import scapy.layers.all  # noqa: F401
    from scapy.contrib.geneve import GENEVE
    from scapy.contrib.mpls import MPLS as ScapyMPLS
    from scapy.layers import dot11, inet, inet6, l2, ppp, sctp, vxlan
    from scapy.layers.inet6 import IPv6 as S6

    try:
        from scapy.layers.igmp import IGMP as ScapyIGMP
    except ImportError:  # scapy before 2.7
        from scapy.contrib.igmp import IGMP as ScapyIGMP

    s4 = inet.IP(src="192.0.2.1", dst="198.51.100.2", id=0)
    s6 = S6(src="2001:db8::1", dst="2001:db8::2")
    eth = l2.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    u = inet.UDP(sport=1234, dport=4321)
    x = b"x"
    tcp_options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("WScale", 7)]
    segments = inet6.IPv6ExtHdrSegmentRouting(addresses=SEGMENTS)
    return [
        ("udp4", STACKS["udp4"][1], eth / s4 / u / b"odd"),
        ("udp6", STACKS["udp6"][1], eth / s6 / u / b"odd"),
        (
            "tcp4",
            STACKS["tcp4"][1],
            s4 / inet.TCP(sport=1, dport=2, flags="S", window=65535, options=tcp_options),
        ),
        (
            "tcp6",
            STACKS["tcp6"][1],
            s6 / inet.TCP(sport=1, dport=2, flags="PA", ack=1, window=65535) / b"hello",
        ),
        ("vlan", STACKS["vlan"][1], eth / l2.Dot1Q(vlan=5, prio=3) / s6 / u / x),
        ("qinq", STACKS["qinq"][1], eth / l2.Dot1AD(vlan=5) / l2.Dot1Q(vlan=6) / s4 / u / x),
        (
            "mpls",
            STACKS["mpls"][1],
            eth / ScapyMPLS(label=100, ttl=64, s=0) / ScapyMPLS(label=200, ttl=64, s=1) / s4 / u / x,
        ),
        ("pppoe", STACKS["pppoe"][1], eth / ppp.PPPoE(sessionid=7) / ppp.PPP() / s6 / u / x),
        (
            "arp",
            STACKS["arp"][1],
            eth
            / l2.ARP(
                psrc="192.0.2.1", pdst="192.0.2.2", hwsrc="02:00:00:00:00:01", hwdst="00:00:00:00:00:00"
            ),
        ),
        (
            "hop-by-hop",
            STACKS["hop-by-hop"][1],
            s6 / inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()]) / u / x,
        ),
        (
            "home-address",
            STACKS["home-address"][1],
            s6 / inet6.IPv6ExtHdrDestOpt(options=[inet6.HAO(hoa="2001:db8::99")]) / u / x,
        ),
        ("segments", STACKS["segments"][1], s6 / segments / u / x),
        ("fragment", STACKS["fragment"][1], s6 / inet6.IPv6ExtHdrFragment(id=7) / u / x),
        ("icmp4", STACKS["icmp4"][1], s4 / inet.ICMP(id=1, seq=2) / b"ping"),
        ("icmp6", STACKS["icmp6"][1], s6 / inet6.ICMPv6EchoRequest(id=1, seq=2, data=b"ping")),
        (
            "solicitation",
            STACKS["solicitation"][1],
            S6(src="2001:db8::1", dst="2001:db8::2", hlim=255)
            / inet6.ICMPv6ND_NS(tgt="2001:db8::2")
            / inet6.ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"),
        ),
        (
            "advertisement",
            STACKS["advertisement"][1],
            S6(src="fe80::1", dst="ff02::1", hlim=255)
            / inet6.ICMPv6ND_RA(chlim=64, routerlifetime=1800, prf=0)
            / inet6.ICMPv6NDOptMTU(mtu=1500)
            / inet6.ICMPv6NDOptPrefixInfo(
                prefix="2001:db8::", prefixlen=64, L=1, A=1, validlifetime=9, preferredlifetime=8
            ),
        ),
        (
            "mld2",
            STACKS["mld2"][1],
            S6(src="fe80::1", dst="ff02::16", hlim=1)
            / inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()])
            / inet6.ICMPv6MLReport2(records=[inet6.ICMPv6MLDMultAddrRec(rtype=4, dst="ff02::fb")]),
        ),
        (
            "gre",
            STACKS["gre"][1],
            s6
            / l2.GRE(key_present=1, key=5, seqnum_present=1, sequence_number=6, chksum_present=1)
            / s4
            / u
            / x,
        ),
        ("gretap", STACKS["gretap"][1], s4 / l2.GRE(proto=0x6558) / eth / s6 / u / x),
        (
            "vxlan",
            STACKS["vxlan"][1],
            s6 / inet.UDP(sport=50000, dport=4789) / vxlan.VXLAN(vni=77, flags=8) / eth / s4 / u / x,
        ),
        (
            "geneve",
            ip6() / UDP(src_port=50000) / Geneve(vni=77) / ether() / ip4() / udp() / b"x",
            s6 / inet.UDP(sport=50000, dport=6081) / GENEVE(vni=77, proto=0x6558) / eth / s4 / u / x,
        ),
        (
            "sctp",
            STACKS["sctp"][1],
            s6 / sctp.SCTP(sport=1, dport=2, tag=3) / sctp.SCTPChunkCookieAck(),
        ),
        ("ip-in-ip", STACKS["ip-in-ip"][1], s4 / s6 / s4 / u / x),
        ("igmp2", IGMP(type=0x16, group="239.0.0.1"), ScapyIGMP(type=0x16, mrcode=0, gaddr="239.0.0.1")),
        (
            "dot11",
            Dot11(
                type=0,
                subtype=8,
                addr1="ff:ff:ff:ff:ff:ff",
                addr2="02:00:00:00:00:01",
                sequence=5,
                fragment=1,
            )
            / b"",
            dot11.Dot11(type=0, subtype=8, addr1="ff:ff:ff:ff:ff:ff", addr2="02:00:00:00:00:01", SC=0x51),
        ),
    ]


def test_scapy_builds_the_same_bytes() -> None:
    pytest.importorskip("scapy")
    for name, ours, theirs in scapy_pairs():
        assert bytes(ours).hex() == bytes(theirs).hex(), name


def test_scapy_reads_the_values_that_were_built() -> None:
    pytest.importorskip("scapy")
    from scapy.layers.inet import TCP as ScapyTCP
    from scapy.layers.inet6 import IPv6 as ScapyIPv6

    flags, options = "SA", [("mss", 1440), ("sack", (1, 2, 3, 4))]
    built = ip6(traffic_class=0x2E, flow_label=0x12345, hop_limit=9) / TCP(
        src_port=80,
        dst_port=99,
        seq=2**32 - 1,
        ack=5,
        flags=flags,
        window=7,
        urgent_pointer=3,
        options=options,
    )
    theirs = ScapyIPv6(bytes(built))
    assert (theirs.tc, theirs.fl, theirs.hlim, theirs.plen) == (0x2E, 0x12345, 9, len(bytes(built)) - 40)
    tcp = theirs[ScapyTCP]
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack, str(tcp.flags)) == (80, 99, 2**32 - 1, 5, "SA")
    assert (tcp.window, tcp.urgptr, tcp.options[:2]) == (7, 3, [("MSS", 1440), ("SAck", (1, 2, 3, 4))])


def test_addresses_are_taken_in_every_form_and_given_as_canonical_text() -> None:
    address = ipaddress.IPv6Address("2001:db8::1")
    for form in ("2001:DB8:0:0::1", int(address), address.packed, address):
        assert IPv6(src=form).src == "2001:db8::1"
    old = ipaddress.IPv4Address("192.0.2.1")
    for form in ("192.0.2.1", int(old), old.packed, old):
        assert IPv4(src=form).src == "192.0.2.1"
    for form in ("2:0:0:0:0:1", "02-00-00-00-00-01", 0x020000000001, b"\2\0\0\0\0\1"):
        assert Ethernet(src=form).src == "02:00:00:00:00:01"


def test_what_is_given_is_kept_even_when_it_is_wrong() -> None:
    data = bytes(ip6(payload_length=1, next_header=99) / UDP(length=3, checksum=0xDEAD) / b"x")
    assert data[4:7] == b"\0\1\x63"
    assert data[44:48] == b"\0\3\xde\xad"


def test_a_field_that_is_filled_in_reads_as_none() -> None:
    header = UDP(src_port=1)
    assert (header.length, header.checksum, header.dst_port) == (None, None, 0)
    assert header.replace(length=9).length == 9
    assert header.replace(length=9).replace(length=None) == header


def test_errors_say_header_field_and_range() -> None:
    with pytest.raises(FieldError, match=r"UDP\.src_port is 65536; allowed are 0 to 65535") as caught:
        UDP(src_port=65536)
    assert isinstance(caught.value, LocalProtocolError)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.header, caught.value.field) == ("UDP", "src_port")
    with pytest.raises(FieldError, match="allowed are 0 to 65535"):
        UDP(src_port=-1)
    with pytest.raises(
        TypeError, match=r"no field .*did you mean src_port.*src_port, dst_port, length, checksum"
    ):
        UDP(sport=1)
    with pytest.raises(TypeError, match="no field"):
        UDP().replace(sport=1)
    with pytest.raises(FieldError, match=r"Fragment\.fragment_offset is 17; .*multiples of 8"):
        Fragment(fragment_offset=17)
    with pytest.raises(FieldError, match=r"Ethernet\.dst takes a hardware address .*, not '02:00'"):
        Ethernet(dst="02:00")
    with pytest.raises(FieldError, match="payload_length would be 65544; 65535 is the most"):
        bytes(ip6() / udp() / bytes(65536))
    with pytest.raises(FieldError, match="counts units of 8"):
        bytes(ip6() / HopByHop(options=b"\1") / udp())
    with pytest.raises(FieldError, match="cannot be derived"):
        bytes(ether() / b"what is this?")
    with pytest.raises(TypeError, match="encode"):
        IPv6() / "text"
    with pytest.raises(TypeError, match="payload"):
        IPv6() / b"payload" / UDP()
    with pytest.raises(AttributeError):
        IPv6().hop_limit = 3
    with pytest.raises(TypeError):
        Header()
    with pytest.raises(ParseError) as short:
        IPv6.parse(b"\x60")
    assert (short.value.layer, short.value.need, short.value.have) == ("IPv6", 40, 1)


def test_fields_that_depend_on_type_and_flags_come_and_go() -> None:
    gre = GRE(key=5)
    assert (gre.key_present, gre.key, gre.sequence, len(gre)) == (True, 5, None, 8)
    assert gre.replace(key=None) == GRE()
    with pytest.raises(FieldError, match="type"):
        ICMPv6(type=128, mtu=1280)
    assert ICMPv6(type=2, mtu=1280).replace(type=128).mtu is None
    assert len(Dot11(type=1, subtype=13)) == 10


def test_stacks_are_values_too() -> None:
    stack = ether() / ip6() / udp() / b"x"
    assert UDP in stack
    assert TCP not in stack
    assert stack[IPv6].dst == "2001:db8::2"
    assert stack[-1] == udp()
    assert stack[0] == ether()
    assert stack.replace(IPv6, hop_limit=3)[IPv6].hop_limit == 3
    assert stack[IPv6].hop_limit == 64
    assert HeaderStack(*stack, b"x") == stack == ether() / (ip6() / udp()) / bytearray(b"x")
    assert len(stack) == len(bytes(stack))
    assert stack.payload == b"x"
    assert list(stack) == list(stack.headers)
    assert stack[1:] == ip6() / udp() / b"x"
    assert stack[:-1] == HeaderStack(ether(), ip6())
    assert stack[3:] == HeaderStack(b"x")
    with pytest.raises(TypeError, match="slice"):
        stack[::2]
    assert stack._repr_html_() == dissect(stack)._repr_html_()
    assert HeaderStack(udp())._repr_html_() is None
    assert TCP(flags="SA").text("flags") == "18 (SYN, ACK)"
    assert ICMPv6(type=135).text("type") == "135 (neighbor solicitation)"
    with pytest.raises(KeyError, match="TCP"):
        stack[TCP]
    with pytest.raises(IndexError):
        stack[3]


def test_jumbograms_and_the_zero_checksum() -> None:
    jumbo = ip6() / HopByHop(options=[("jumbo", 65544 + 8)]) / UDP() / bytes(65536)
    assert bytes(jumbo)[4:6] == b"\0\0"
    base = int.from_bytes(bytes(ip6() / UDP(src_port=1))[46:48], "big")
    assert bytes(ip6() / UDP(src_port=1 + base))[46:48] == b"\xff\xff"
    assert bytes(ip6() / UDP(src_port=1, checksum=0))[46:48] == b"\0\0"


def test_a_jumbo_length_is_filled_in() -> None:
    """RFC 2675: sections 2 and 3 for the option and the IPv6 length, section 4 for that of UDP."""
    stack = ip6() / HopByHop(options=["jumbo"]) / udp() / bytes(70000)
    data = bytes(stack)
    assert (data[4:6], data[42:48], data[52:54]) == (b"\0\0", b"\xc2\4" + (70016).to_bytes(4, "big"), b"\0\0")
    packet = dissect(stack)
    assert (packet.wrong, packet.l4_checksum) == ([], "good")
    assert stack[HopByHop].options == [("jumbo", None)]
    assert eval(repr(stack[HopByHop]), vars(nf)) == pickle.loads(pickle.dumps(stack))[HopByHop] == stack[1]
    captured = packet.to_stack()
    assert captured[HopByHop].options == [("jumbo", 70016)]
    assert bytes(captured) == bytes(captured.recompute()) == data
    longer = bytes(captured.with_payload(bytes(80000)).recompute())
    assert dissect(longer, link=RAW).wrong == []
    with pytest.raises(FieldError, match=r"HopByHop\.options .*more than 65535 bytes.*leave it away"):
        bytes(captured.with_payload(b"").recompute())
    assert bytes(ip6() / HopByHop(options=[("jumbo", 7)]) / udp())[44:48] == b"\0\0\0\7", "given is given"


TCP_FORMS = [
    ({"mss": 1460}, [("mss", 1460)]),
    (["nop", ("nop",), ("mss", b"\5\xb4")], [("nop", None), ("nop", None), ("mss", 1460), ("end", None)]),
    (["sack_permitted"], [("sack_permitted", None), ("end", None)]),
    ([("sack", (1, 2))], [("sack", (1, 2)), ("end", None)]),
    ([("fast_open", None)], [("fast_open", b""), ("end", None)]),
    ([(2, 1460)], [("mss", 1460)]),
    ([(2, b"abc")], [(2, b"abc"), ("end", None)]),
]


@pytest.mark.parametrize(("given_form", "read"), TCP_FORMS)
def test_options_are_taken_in_these_forms(given_form: object, read: object) -> None:
    header = TCP(options=given_form)
    assert TCP.parse(bytes(header)).options == read
    assert header.replace(options=header.options) == header
    assert eval(repr(header), vars(nf)) == header


TCP_MISTAKES = [
    (["mss"], r"mss given without a value; it takes a number up to 65535; \(2, b'...'\) takes any bytes"),
    ([("mss", None)], "mss is None; it takes a number"),
    ([("window_scale", None)], "window_scale is None; it takes a number up to 255"),
    ([("mss", b"abc")], "mss is b'abc'; it takes"),
    ([("mss", 70000)], "mss is 70000"),
    ([("mss", "1460")], "mss is '1460'"),
    ([("sack", (1, 2, 3))], "sack is .*pairs of numbers"),
    ([("timestamps", 5)], r"timestamps is 5; it takes \(value, echo_reply\), numbers of 4 bytes"),
    ([("sack_permitted", 3)], "it carries nothing: give None"),
    ([("msss", 3)], 'no option "msss"; did you mean "mss"'),
    ([(1, 2, 3)], "is no option"),
    ([(300, b"")], "larger than its field"),
]


@pytest.mark.parametrize(("options", "match"), TCP_MISTAKES)
def test_options_of_another_form_are_refused(options: object, match: str) -> None:
    with pytest.raises(FieldError, match=r"TCP\.options: .*" + match) as caught:
        TCP(options=options)
    assert (caught.value.header, caught.value.field) == ("TCP", "options")


def test_values_of_options_have_the_form_of_their_kind() -> None:
    router = ip6(hop_limit=255)
    servers = ("rdnss", (600, ["2001:db8::53"]))
    for given_options, read in (
        ([("mtu", 1500)], [("mtu", (0, 1500))]),
        ([("rdnss", (600, "2001:db8::53"))], [servers]),
        ([servers], [servers]),
    ):
        packet = dissect(router / ICMPv6(type=134, options=given_options))
        assert (packet[ICMPv6].options, packet.wrong) == (read, [])
    route = dissect(ip4(options=[("loose_source_route", ["192.0.2.9"])]) / udp() / b"x")
    assert route[IPv4].options[0] == ("loose_source_route", (4, ["192.0.2.9"]))
    assert (route.l4_checksum, route.wrong) == ("good", []), "RFC 791 section 3.1: the last address counts"
    for header_class, field, wrong in (
        (ICMPv6, "options", [("rdnss", 600)]),
        (ICMPv6, "options", [("prefix_information", 5)]),
        (ICMPv6, "options", [("source_link_layer_address", "x")]),
        (ICMPv6, "records", [("change_to_exclude", "x")]),
        (IPv4, "options", [("loose_source_route", ["::1"])]),
        (HopByHop, "options", [("home_address", "192.0.2.1")]),
        (SCTP, "chunks", [("data", 5)]),
        (Geneve, "options", [(5, b"abc")]),
        (RadioTap, "fields", [("tsft", None)]),
    ):
        kind = {"type": 143 if field == "records" else 134} if header_class is ICMPv6 else {}
        with pytest.raises(FieldError, match=rf"{header_class.__name__}\.{field}"):
            header_class(**kind, **{field: wrong})
    assert HopByHop(options={"router_alert": 0}) == HopByHop(options=[("router_alert", 0)])


def test_the_page_of_options_is_that_of_the_tables() -> None:
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location("options", root / "tools/options.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert (root / "docs/options.md").read_text() == tool.page(), "run tools/options.py docs/options.md"
    assert TCP.forms()["options"]["timestamps"] == "(value, echo_reply), numbers of 4 bytes"
    assert "forms()" in str(TCP.options.__doc__)
    assert UDP.forms() == {}


def test_fields_that_contradict_each_other_are_refused() -> None:
    for build, match in (
        (lambda: IPv4(ttl=3, hop_limit=4), "IPv4.ttl=3 and hop_limit=4 contradict"),
        (lambda: IPv4().replace(ttl=3, hop_limit=4), "IPv4.ttl=3 and hop_limit=4"),
        (lambda: IPv6(traffic_class=0x0F, dscp=1), "IPv6.traffic_class=15 and dscp=1"),
        (lambda: GRE(key=5, key_present=False), "GRE.key_present=False and key=5"),
    ):
        with pytest.raises(FieldError, match=match):
            build()
    assert IPv4(ttl=3, hop_limit=3).ttl == 3
    assert IPv6(traffic_class=7, dscp=1, ecn=3).traffic_class == 7


def test_names_that_are_not_there_are_answered_with_those_that_are() -> None:
    packet = dissect(ip4() / TCP())
    for value, name, hint in (
        (packet, "sport", "did you mean src_port?"),
        (packet, "ttl", "did you mean hop_limit?"),
        (packet, "id", r"did you mean packet\[IPv4\].identification?"),
        (packet, "window", r"did you mean packet\[TCP\].window?"),
        (packet[TCP], "sport", "did you mean src_port?"),
        (packet[TCP], "windwo", "did you mean window?"),
        (packet[IPv4], "checksum", "did you mean header_checksum?"),
    ):
        with pytest.raises(
            AttributeError, match=f'no (field|attribute) "{name}"; {hint}'.replace("?", r"\?")
        ):
            getattr(value, name)
    for value in (packet, packet[TCP]):
        assert not hasattr(value, "_repr_png_")
        assert not hasattr(value, "nothing_like_it")
    with pytest.raises(TypeError, match=r'IPv6 has no field "hoplimit"; did you mean hop_limit\?'):
        IPv6(hoplimit=3)


SCAPY_NAMES = [
    (IPv4, "chksum", "header_checksum"),
    (IPv4, "len", "total_length"),
    (IPv4, "flags", "dont_fragment and more_fragments"),
    (IPv4, "proto", "protocol"),
    (IPv4, "id", "identification"),
    (IPv4, "frag", "fragment_offset"),
    (Raw, "load", "data"),
    (Ethernet, "type", "ethertype"),
    (VLAN, "prio", "priority"),
    (VLAN, "vlan", "vid"),
    (ARP, "op", "operation"),
    (ARP, "psrc", "sender_ip"),
    (ICMPv4, "id", "identifier"),
    (ICMPv4, "seq", "sequence"),
    (ICMPv6, "tgt", "target"),
    (Fragment, "m", "more_fragments"),
    (Fragment, "nh", "next_header"),
    (IPv6, "hlim", "hop_limit"),
    (IPv6, "plen", "payload_length"),
    (TCP, "dataofs", "data_offset"),
    (TCP, "urgptr", "urgent_pointer"),
    (UDP, "len", "length"),
    (UDP, "chksum", "checksum"),
    (SCTP, "tag", "verification_tag"),
]


@pytest.mark.parametrize(("header_class", "theirs", "ours"), SCAPY_NAMES)
def test_scapys_names_are_answered_with_ours(header_class: type, theirs: str, ours: str) -> None:
    with pytest.raises(TypeError, match=rf'no field "{theirs}"; did you mean {ours}\?'):
        header_class(**{theirs: 1})


@given(st.sampled_from(CLASSES), st.binary(max_size=200))
def test_any_bytes_parse_to_what_they_are_or_not_at_all(header_class: type, data: bytes) -> None:
    try:
        header = header_class.parse(data)
    except ParseError as error:
        needed = error.need
        header = None
    if header is None:
        assert needed is not None
        assert needed > len(data)
        return
    assert header.raw() == data[: len(header)]
    assert eval(repr(header), vars(nf)) == header
    assert pickle.loads(pickle.dumps(header)) == header
    assert isinstance(header.to_dict(), dict)
    assert header.replace() == header


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1), st.integers(0, 65535), st.binary(max_size=300))
def test_udp_over_ipv6_agrees_with_scapy(src: int, dst: int, port: int, payload: bytes) -> None:
    pytest.importorskip("scapy")
    from scapy.layers.inet import UDP as ScapyUDP
    from scapy.layers.inet6 import IPv6 as ScapyIPv6

    ours = IPv6(src=src, dst=dst) / UDP(src_port=port, dst_port=9) / payload
    text = {name: str(ipaddress.IPv6Address(value)) for name, value in (("src", src), ("dst", dst))}
    theirs = ScapyIPv6(**text) / ScapyUDP(sport=port, dport=9) / payload
    assert bytes(ours) == bytes(theirs)


def test_raw_is_bytes_in_between() -> None:
    assert bytes(ip6(next_header=253) / Raw(data=b"abc") / b"def")[40:] == b"abcdef"


def test_numbers_are_refused_where_a_moving_field_has_no_room() -> None:
    for make, most in (
        (lambda: GRE(key=2**32 + 5), 2**32 - 1),
        (lambda: GRE(checksum=65_545), 65_535),
        (lambda: DCCP(sequence=2**48 + 3), 2**48 - 1),
        (lambda: DCCP(extended=False, sequence=2**24 + 3), 2**24 - 1),
        (lambda: LLC(control=0, control_extended=300), 255),
        (lambda: PPP(protocol=0x10021), 65_535),
    ):
        with pytest.raises(FieldError, match=f"allowed are 0 to {most}"):
            make()
    with pytest.raises(FieldError, match="cannot be 65283: it would be read as another header"):
        PPP(protocol=0xFF03)


def test_gre_version_1_fills_in_its_key() -> None:
    gre = GRE(version=1, call_id=7, sequence=1)
    assert (gre.key_present, gre.call_id, gre.payload_length) == (True, 7, None)
    assert "call_id=7" in repr(gre)
    assert eval(repr(gre)) == gre
    packet = dissect(ip4() / gre / PPP() / ip4() / udp() / b"x")
    found = packet[GRE]
    assert (found.payload_length, found.call_id, found.key) == (2 + 20 + 8 + 1, 7, 31 << 16 | 7)
    assert packet.inner is not None
    given = GRE(version=1, key=0x0004_0001)
    assert (given.payload_length, given.call_id, eval(repr(given))) == (4, 1, given)
    with pytest.raises(FieldError, match="contradict"):
        GRE(version=1, key=5, call_id=6)


def test_ah_over_ipv6_is_padded() -> None:
    for ip, length in ((ip6(), 16), (ip4(), 12)):
        stack = ip / AH(spi=1, sequence=2) / udp()
        assert len(bytes(stack)) == len(stack) == len(ip) + length + 8
        assert dissect(stack, link="RAW").wrong == []


def test_signs_are_no_digits_of_a_hardware_address() -> None:
    with pytest.raises(FieldError, match="hardware address"):
        Ethernet(src="+a:+b:cc:dd:ee:ff")


def test_long_option_data_is_not_repeated_in_errors() -> None:
    with pytest.raises(FieldError, match="30 is 300 bytes long") as caught:
        HopByHop(options=[(0x1E, b"x" * 300)])
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("size", [46, 1497])
def test_lengths_of_ieee_802_3(size: int) -> None:
    frame = dissect(bytes(Ethernet() / LLC(dsap=0x42, ssap=0x42) / bytes(size)) + b"pad")
    assert frame[Ethernet].ethertype == size + 3
    assert bytes(frame.to_stack().recompute()) == bytes(frame)
    assert frame.to_stack().trailer == b"pad"
    with pytest.raises(FieldError, match="at most 1500 bytes behind its length"):
        bytes(Ethernet() / LLC() / bytes(1498))
