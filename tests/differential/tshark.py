"""Runs tshark once over a file and gives, for each frame, its layers and every occurrence of each field.

tshark is a viewer: it reassembles, guesses at protocols and follows conversations. All of that is switched off
here, so that what is left is its reading of each frame by itself.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What netfast dissects; all other protocols are disabled, so that payload stays payload.
PROTOCOLS = frozenset(
    """
    frame data eth ethertype vlan ieee8021ad mpls pwmcw pwethheuristic pwethcw pwethnocw pppoes pppoed pppoe ppp chdlc
    null loop sll raw raw_ip radiotap prism wlancap ppi pcap_pktdata nflog pktap
    wlan wlan_radio wlan_aggregate llc arp ip ipv6 ipv6.hopopts ipv6.dstopts ipv6.routing ipv6.fraghdr ipv6.shim6
    ah esp tcp udp udplite sctp dccp icmp icmpv6 igmp mipv6 gre erspan etherip vxlan geneve gue communityid
    """.split()
)

OPTIONS = {
    "ip.defragment": "FALSE",
    "ip.check_checksum": "TRUE",
    "ip.tso_support": "TRUE",
    "ip.use_geoip": "FALSE",
    "ipv6.defragment": "FALSE",
    "ipv6.use_geoip": "FALSE",
    "ipv6.tso_support": "TRUE",
    "tcp.desegment_tcp_streams": "FALSE",
    "tcp.analyze_sequence_numbers": "FALSE",
    "tcp.calculate_timestamps": "FALSE",
    "tcp.check_checksum": "TRUE",
    "udp.check_checksum": "TRUE",
    "udplite.check_checksum": "TRUE",
    "udplite.ignore_checksum_coverage": "FALSE",
    "dccp.check_checksum": "TRUE",
    "sctp.checksum": "crc-32c",
    "sctp.reassembly": "FALSE",
    "sctp.tsn_analysis": "FALSE",
    "sctp.ulp_dissection": "FALSE",
    "wlan.defragment": "FALSE",
    "wlan.enable_decryption": "FALSE",
    "wlan.ignore_wep": "No",
    "eth.fcs": "Never",
    "eth.trailer_length": "0",
    "nameres.mac_name": "FALSE",
}

FIELDS = """
frame.number frame.time_epoch frame.cap_len frame.len frame.encap_type frame.protocols vlan.id
ieee8021ad.id ieee8021ad.svid ieee8021ad.cvid wlan.fc.protected wlan.fc.order
ip.version ip.src ip.dst ip.cur_rt ip.proto ip.len ip.hdr_len ip.ttl ip.dsfield ip.id ip.flags.mf ip.frag_offset
ip.checksum.status
ipv6.version ipv6.src ipv6.dst ipv6.nxt ipv6.plen ipv6.hlim ipv6.tclass ipv6.flow
ipv6.hopopts.nxt ipv6.hopopts.len ipv6.dstopts.nxt ipv6.dstopts.len ipv6.routing.nxt ipv6.routing.len
ipv6.fraghdr.nxt ipv6.fraghdr.offset ipv6.fraghdr.more ipv6.fraghdr.ident ipv6.opt.jumbo
ah.next_header ah.length
tcp.srcport tcp.dstport tcp.flags tcp.hdr_len tcp.checksum.status
udp.srcport udp.dstport udp.length udp.checksum udp.checksum.status
sctp.srcport sctp.dstport sctp.checksum.status
dccp.srcport dccp.dstport dccp.data_offset dccp.checksum.status
icmp.type icmp.code icmp.checksum.status icmpv6.type icmpv6.code icmpv6.checksum.status
igmp.type igmp.checksum.status gre.flags.checksum gre.checksum.status mip6.hlen
communityid _ws.malformed _ws.expert.message
""".split()


@dataclass(slots=True)
class Dissected:
    """One frame as tshark reads it."""

    layers: list[str]
    fields: dict[str, list[str]] = field(repr=False)

    def first(self, name: str) -> str:
        """The first occurrence; empty without one."""
        values = self.fields.get(name)
        return values[0] if values else ""


class Tshark:
    """tshark with a configuration of its own, in a directory that the caller gives."""

    def __init__(self, directory: Path) -> None:
        self.environment = {**os.environ, "WIRESHARK_CONFIG_DIR": str(directory), "LC_ALL": "C.UTF-8"}
        listed = subprocess.run(
            ["tshark", "-G", "protocols"], capture_output=True, text=True, check=True, env=self.environment
        )
        names = {line.split("\t")[2] for line in listed.stdout.splitlines() if line.count("\t") >= 2}
        (directory / "disabled_protos").write_text("".join(f"{name}\n" for name in sorted(names - PROTOCOLS)))
        (directory / "enabled_protos").write_text("communityid\n")
        (directory / "heuristic_protos").write_text("")

    def read(self, path: Path) -> Iterator[Dissected]:
        """Every frame of a capture, in order."""
        command = [
            "tshark",
            "-n",
            "-r",
            str(path),
            "-T",
            "fields",
            "-E",
            "occurrence=a",
            "-E",
            "aggregator=\x1f",
        ]
        for name, value in OPTIONS.items():
            command += ["-o", f"{name}:{value}"]
        for name in FIELDS:
            command += ["-e", name]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                values = line.decode("utf-8", "replace").rstrip("\n").split("\t")
                fields = {
                    name: value.split("\x1f")
                    for name, value in zip(FIELDS, values, strict=True)
                    if value != ""
                }
                yield Dissected(fields.get("frame.protocols", [""])[0].split(":"), fields)
            errors = process.stderr.read().decode("utf-8", "replace")
            complaints = [each for each in errors.splitlines() if each and 'as user "root"' not in each]
            if process.wait() != 0:
                raise RuntimeError(f"tshark ended with {process.returncode}: {complaints}")
