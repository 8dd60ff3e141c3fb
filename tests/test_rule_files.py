"""Rule files that include others, fill sets and change segments, through `Stack` and the command line."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

import netfast as nf
from netfast.cli import main

LAN, WAN, CLIENT, NEXT = (f"02:00:00:00:00:{at:02x}" for at in (1, 2, 9, 99))
SECOND = 1_000_000_000
BASE = "table inet t { chain c { type filter hook forward priority 0; policy drop;"


def edge(rules: str | Path, *, verify: bool = True) -> nf.Stack:
    stack = nf.Stack("edge", verify=verify)
    stack.add_port("lan", mac=LAN, addresses=["192.0.2.1/24"])
    stack.add_port("wan", mac=WAN, addresses=["203.0.113.1/24"], mtu=1400)
    stack.add_neighbour("wan", "203.0.113.9", NEXT)
    stack.add_neighbour("lan", "192.0.2.9", CLIENT)
    stack.load_rules(rules)
    return stack


def udp(source: str = "192.0.2.9", sport: int = 1000, dport: int = 53) -> bytes:
    ether = nf.Ethernet(dst=LAN, src=CLIENT)
    return bytes(ether / nf.IPv4(src=source, dst="203.0.113.9") / nf.UDP(src_port=sport, dst_port=dport))


def passes(stack: nf.Stack, frame: bytes, now: float) -> bool:
    return len(stack.push("lan", [frame], now=int(now * 1e9))["wan"]) == 1


def test_files_are_included_from_beside(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "main.nft").write_text(
        'include "names.nft"\ntable inet t {\n\tinclude "sets/*.nft"\n\tchain c {\n'
        "\t\ttype filter hook forward priority 0; policy drop;\n"
        '\t\tinclude "./rules.nft"\n\t}\n}\ninclude "none/*.nft"\n'
    )
    (tmp_path / "names.nft").write_text("define client = 192.0.2.9")
    (tmp_path / "sets" / "one.nft").write_text("set one { type ipv4_addr; elements = { $client } ; }\n")
    (tmp_path / "sets" / "two.nft").write_text("set two { type inet_service; elements = { 53 } ; }")
    (tmp_path / "sets" / ".hidden.nft").write_text("nonsense")
    (tmp_path / "rules.nft").write_text("ip saddr @one udp dport @two accept # the only one\n")
    stack = edge(tmp_path / "main.nft")
    assert passes(stack, udp(), 1.0)
    assert not passes(stack, udp(dport=54), 1.1)
    assert "include" not in stack.rules_text()
    assert "ip saddr @one udp dport @two accept" in stack.rules_text()
    assert [rule["text"] for rule in stack.rules()] == ["ip saddr @one udp dport @two accept"]


def test_mistakes_are_told_with_the_file_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "main.nft").write_text('include "a.nft"\ninclude "missing.nft"\ninclude "main.nft"\n')
    (tmp_path / "a.nft").write_text("table inet t {\n\tchain c {\n\t\ttcp dport 99999\n\t}\n}\n")
    result = CliRunner().invoke(main, ["check", str(tmp_path / "main.nft")])
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert f"{tmp_path}/a.nft:3:13: 99999 is too large" in text
    assert f"{tmp_path}/main.nft:2:1: `missing.nft` cannot be included: there is no file" in text
    assert "more than 16 files within each other" in text


def test_doubts_about_included_files_name_them(tmp_path: Path) -> None:
    (tmp_path / "main.nft").write_text('include "a.nft"\n')
    (tmp_path / "a.nft").write_text("\ntable inet t {\n\tchain lonely { accept; }\n}\n")
    stack = edge(tmp_path / "main.nft")
    # What was read then is meant, not what stands there now.
    (tmp_path / "a.nft").unlink()
    told = [(found.file, found.line) for found in stack.findings() if "lonely" in found.what]
    assert told == [(str(tmp_path / "a.nft"), 3)]


def test_a_doubt_names_the_other_file(tmp_path: Path) -> None:
    (tmp_path / "main.nft").write_text(f'{BASE}\ninclude "all.nft"\ndrop\n}}\n}}\n')
    (tmp_path / "all.nft").write_text("\n\naccept\n")
    told = [found.what for found in edge(tmp_path / "main.nft").findings() if "no packet" in found.what]
    assert told == [
        f"no packet gets here: the rule in line 3 of {tmp_path}/all.nft takes all that this one could"
    ]


def test_short_forms_do_not_read_files_again(tmp_path: Path) -> None:
    (tmp_path / "main.nft").write_text('include "rules.nft"\n')
    (tmp_path / "rules.nft").write_text(f"{BASE} udp dport 53 accept\n}}\n}}\n")
    stack = edge(tmp_path / "main.nft")
    (tmp_path / "rules.nft").write_text("nonsense")
    stack.accept(protocol="icmp")
    (tmp_path / "rules.nft").unlink()
    stack.masquerade("wan")
    assert passes(stack, udp(), 1.0)
    # Who loads the rules anew has the files as they are then.
    with pytest.raises(nf.ConfigError, match=r"there is no file .*rules\.nft"):
        stack.load_rules(tmp_path / "main.nft")
    assert passes(stack, udp(), 2.0)


@pytest.mark.timeout(60)
def test_only_regular_files_are_included(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    # The kernel says that its length is 0.
    (tmp_path / "status").symlink_to("/proc/self/status")
    with (tmp_path / "long").open("wb") as file:
        file.truncate((64 << 20) + 1)
    for name, expected in {
        "pipe": "no regular file",
        "zero": "no regular file",
        ".": "no regular file",
        "status": "status:1:1: found `Name`",
        "long": "longer than 67108864 bytes",
    }.items():
        (tmp_path / "main.nft").write_text(f'include "{name}"\n')
        with pytest.raises(nf.ConfigError, match=expected):
            edge(tmp_path / "main.nft")


def test_wildcards_stop_at_the_longest_text(tmp_path: Path) -> None:
    for number in range(1000):
        with (tmp_path / f"{number:04}.nft").open("wb") as file:
            file.truncate(33 << 20)
    (tmp_path / "main.conf").write_text('include "*.nft"\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(nf.ConfigError, match=r"0001\.nft: with it the rules are longer than 67108864 bytes"):
        edge(tmp_path / "main.conf")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10


def test_two_wildcards_are_one(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep.nft").write_text("table ip deep { }\n")
    (tmp_path / "a" / "near.nft").write_text("table ip near { }\n")
    for pattern in ("**/*.nft", "**/n**.nft"):
        (tmp_path / "main.conf").write_text(f'include "{pattern}"\n')
        text = edge(tmp_path / "main.conf").rules_text()
        assert ("near" in text, "deep" in text) == (True, False)


def syn(size: int, *, odd: bool = False, flags: int = 2, sport: int = 1000) -> bytes:
    options = b"\1" * odd + b"\x02\x04" + struct.pack(">H", size) + b"\1" * (3 if odd else 0)
    tcp = struct.pack(">HHIIBBHHH", sport, 80, 7, 0, (20 + len(options)) // 4 << 4, flags, 1000, 0, 0)
    ether = nf.Ethernet(dst=LAN, src=CLIENT)
    head = bytes(
        ether / nf.IPv4(src="192.0.2.9", dst="203.0.113.9", protocol=6, total_length=20 + len(tcp + options))
    )
    frame = bytearray(head + tcp + options)
    words = frame[26:34] + struct.pack(">HH", 6, len(tcp + options)) + frame[34:]
    total = sum(struct.unpack(f">{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    frame[50:52] = struct.pack(">H", ~total & 0xFFFF)
    return bytes(frame)


def announced(frame: bytes) -> int:
    """The segment size of a frame whose checksums are right."""
    packet = nf.dissect(frame)
    assert (packet.l3_checksum, packet.l4_checksum) == ("good", "good")
    at = frame.index(b"\x02\x04", 54)
    return int(struct.unpack(">H", frame[at + 2 : at + 4])[0])


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("tcp flags syn tcp option maxseg size set rt mtu", 1460, 1360),
        ("tcp option maxseg size set rt mtu", 1200, 1200),
        ('oifname "wan" tcp option maxseg size set 1000', 1460, 1000),
        (
            "tcp flags syn / syn,rst tcp option maxseg size 1300-1500 tcp option maxseg size set 900",
            1460,
            900,
        ),
        (
            "tcp flags syn / syn,rst tcp option maxseg size 1300-1500 tcp option maxseg size set 900",
            1299,
            1299,
        ),
    ],
)
def test_segment_sizes_are_lowered(rule: str, before: int, after: int, odd: bool) -> None:
    stack = edge(f"{BASE}\n{rule}\naccept\n}}\n}}\n")
    # Each flow's first packet, whether or not its class is known.
    for sport in range(1000, 1004):
        out = list(stack.push("lan", [syn(before, odd=odd, sport=sport)], now=(sport - 999) * SECOND)["wan"])
        assert [announced(bytes(frame)) for frame in out] == [after]
    assert stack.differences() == []


def test_a_full_set_puts_nothing_out() -> None:
    rules = (
        "table inet t {\nset seen { type ipv4_addr; flags dynamic,timeout; timeout 10s; size 2;\n}\n"
        "chain c { type filter hook forward priority 0; policy drop;\nadd @seen { ip saddr } accept\n}\n}\n"
    )
    stack = edge(rules)
    sources = [f"192.0.2.{host}" for host in (9, 10, 11)]
    assert [passes(stack, udp(source), 1.0) for source in sources] == [True, True, False]
    # The first flows are cached, and their elements stay what they were.
    assert [passes(stack, udp(source), 5.0) for source in sources] == [True, True, False]
    # Elements that are over make room.
    assert [passes(stack, udp(source), 12.0) for source in reversed(sources)] == [True, True, False]
    assert stack.differences() == []


def test_a_limit_of_each_element() -> None:
    rules = (
        "table inet t {\nchain c { type filter hook forward priority 0; policy drop;\n"
        "udp dport 53 meter names { ip saddr timeout 1m limit rate 1/second burst 2 packets } accept\n}\n}\n"
    )
    stack = edge(rules)
    assert [passes(stack, udp(), 1.0) for _ in range(4)] == [True, True, False, False]
    assert [passes(stack, udp("192.0.2.10"), 1.0) for _ in range(3)] == [True, True, False]
    assert [passes(stack, udp(), 2.5) for _ in range(2)] == [True, False]
    assert (
        "meter names size 65535 { ip saddr timeout 1m limit rate 1/second burst 2 packets }"
        in stack.rules_text()
    )


def test_elements_of_the_file_end() -> None:
    rules = (
        "table inet t {\nset guests { type ipv4_addr; flags interval,timeout;\n"
        "elements = { 192.0.2.8/31 timeout 10s, 192.0.2.20 }\n}\n"
        "chain c { type filter hook forward priority 0; policy drop;\nip saddr @guests accept\n}\n}\n"
    )
    stack = edge(rules)
    # Times begin with the first packet, whatever the clock says.
    assert passes(stack, udp(), 1e9)
    assert passes(stack, udp("192.0.2.20"), 1e9)
    assert passes(stack, udp(), 1e9 + 9)
    assert not passes(stack, udp(), 1e9 + 11)
    assert passes(stack, udp("192.0.2.20"), 1e9 + 11)


def test_a_set_keeps_its_elements_when_the_rules_around_it_change() -> None:
    text = (
        "table inet t {\nset seen { type ipv4_addr; flags dynamic; size 1;\n}\n"
        "chain c { type filter hook forward priority 0; policy drop;\nadd @seen { ip saddr } accept\n%s\n}\n}\n"
    )
    stack = edge(text % "")
    assert passes(stack, udp(), 1.0)
    stack.load_rules(text % "counter")
    assert passes(stack, udp(), 2.0)
    assert not passes(stack, udp("192.0.2.10"), 2.0)
