"""`netfast run`, `trace` and `check`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import netfast as nf
from netfast.cli import main
from netfast.errors import ConfigError
from netfast.headers import UDP, Ethernet, IPv4

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "netfast")
SECOND = 10**9
PACKETS = 50

CONFIG = """\
rules_file = "edge.nft"

[stack]
tracking = "on"

[[port]]
name = "lan"
mac = "02:00:00:00:00:01"
addresses = ["192.0.2.1/24"]

[[port]]
name = "wan"
mac = "02:00:00:00:00:02"
addresses = ["203.0.113.1/24"]

[[route]]
prefix = "0.0.0.0/0"
via = "203.0.113.254"

[[neighbour]]
port = "wan"
ip = "203.0.113.254"
mac = "02:00:00:00:00:99"

[[neighbour]]
port = "lan"
ip = "192.0.2.7"
mac = "02:00:00:00:00:50"
"""
RULES = """\
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" udp dport 53 counter accept
    }
}
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
}
"""


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, its rules, and a capture of each side."""
    (tmp_path / "edge.toml").write_text(CONFIG)
    (tmp_path / "edge.nft").write_text(RULES)
    up = Ethernet(src="02:00:00:00:00:50", dst="02:00:00:00:00:01")
    down = Ethernet(src="02:00:00:00:00:99", dst="02:00:00:00:00:02")
    lan, wan = [], []
    for number in range(PACKETS):
        now = 1_700_000_000 * SECOND + number * 1_000_000
        port = 1000 + number % 5
        query = IPv4(src="192.0.2.7", dst="198.51.100.1") / UDP(src_port=port, dst_port=53) / b"query"
        answer = IPv4(src="198.51.100.1", dst="203.0.113.1") / UDP(src_port=53, dst_port=port) / b"answer"
        lan.append((now, up / query))
        wan.append((now + 1, down / answer))
    lan.append((now + 2, up / IPv4(src="192.0.2.7", dst="198.51.100.1") / UDP(src_port=1, dst_port=54)))
    nf.write(tmp_path / "lan.pcapng", lan)
    nf.write(tmp_path / "wan.pcapng", wan)
    return tmp_path


def test_run_merges_inputs_and_writes_a_capture_for_each_port(folder: Path) -> None:
    inputs = ["--in", f"lan={folder / 'lan.pcapng'}", "--in", f"wan={folder / 'wan.pcapng'}"]
    out = folder / "out"
    result = run("run", folder / "edge.toml", *inputs, "--out", out, "--verify", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["conserved"]
    assert told["verified"]
    assert (told["packets_in"], told["out"], told["dropped_by"]) == (
        2 * PACKETS + 1,
        2 * PACKETS,
        {"policy": 1},
    )
    # Of each flow three packets walked the tables: one each way, and one after the answer made it established.
    assert told["cache"]["hits"] == 2 * PACKETS - 15
    # Every answer came after its query, through the translation.
    assert nf.info(out / "lan.pcapng")["packets"] == PACKETS
    assert {row["dst"] for batch in nf.packets(out / "lan.pcapng") for row in batch.rows()} == {"192.0.2.7"}
    assert {row["src"] for batch in nf.packets(out / "wan.pcapng") for row in batch.rows()} == {"203.0.113.1"}
    shown = run("run", folder / "edge.toml", *inputs)
    assert shown.exit_code == 0
    assert "every packet is accounted for" in shown.stdout
    assert f"{2 * PACKETS + 1} packets in" in shown.stdout
    # The same packets, the same results.
    again = json.loads(run("run", folder / "edge.toml", *inputs, "--json").stdout)
    assert again["ports"] == told["ports"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["run", "edge.toml"], 2, "--in"),
        (["run", "edge.toml", "--in", "lan"], 2, "PORT=FILE"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--in", "lan=wan.pcapng"], 2, "given twice"),
        (["run", "edge.toml", "--in", "dmz=lan.pcapng"], 2, "there is no port"),
        (["run", "edge.toml", "--in", "lan=none.pcapng"], 1, "none.pcapng: No such file"),
        (["run", "none.toml", "--in", "lan=lan.pcapng"], 1, "none.toml: No such file"),
        (["run", "-", "--in", "lan=lan.pcapng"], 2, "CONFIG is a file"),
        (["run", "edge.toml", "--in", "lan=edge.toml"], 1, "edge.toml"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--out", "edge.nft"], 1, "edge.nft"),
        (["trace", "edge.toml", "-p", "lan", "lan.pcapng", "-n", "99"], 1, "there is no frame 99"),
        (["trace", "edge.toml", "-p", "lan", "lan.pcapng", "-n", "0"], 2, "0"),
        (["trace", "edge.toml", "-p", "dmz", "lan.pcapng", "-n", "1"], 2, "there are lan, wan"),
        (["trace", "edge.toml", "lan.pcapng", "-n", "1"], 2, "--port is missing"),
        (["trace", "edge.toml", "-n", "1"], 2, "no capture"),
        (["trace", "edge.toml", "--in", "lan=lan.pcapng", "-p", "wan", "-n", "1"], 2, "--in has lan"),
        (["trace", "edge.toml", "--in", "lan=lan.pcapng", "-p", "lan", "x", "-n", "1"], 2, "give one"),
        (["trace", "edge.toml", "--in", "lan=-", "--in", "wan=-", "-p", "lan", "-n", "1"], 2, "named twice"),
        (
            ["trace", "edge.toml", "--in", "lan=lan.pcapng", "--in", "wan=wan.pcapng", "-n", "1"],
            2,
            "-n counts in the capture of lan or wan",
        ),
        (["trace", "edge.nft", "-p", "lan", "lan.pcapng", "-n", "1"], 2, 'rules_file = "edge.nft"'),
        (["run", "edge.nft", "--in", "lan=lan.pcapng"], 2, "edge.nft: this is a file of rules"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--tap", "dmz=tap.pcapng"], 2, "there is no port"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--tap", "lan=lan.pcapng"], 2, "cannot be written"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--tap", "lan=edge.nft"], 2, "cannot be written"),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--tap", "lan=edge.toml"], 2, "cannot be written"),
        (
            ["run", "edge.toml", "--in", "lan=lan.pcapng", "--tap", "wan=out/lan.pcapng", "--out", "out"],
            2,
            "written twice",
        ),
        (["run", "edge.toml", "--in", "lan=lan.pcapng", "--rules", "--json"], 2, "--rules adds nothing"),
        (["run", "edge.toml", "--log", "--json"], 2, "--log adds nothing"),
        (["check", "none.toml"], 1, "none.toml: No such file"),
    ],
)
def test_what_cannot_be_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, says: str
) -> None:
    monkeypatch.chdir(folder)
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_run_never_writes_over_what_it_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "lan.pcapng").read_bytes()
    result = run("run", "edge.toml", "--in", "lan=lan.pcapng", "--out", ".")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert (folder / "lan.pcapng").read_bytes() == before


def test_trace_tells_the_tables_and_whether_the_cache_knew(folder: Path) -> None:
    arguments = ["trace", folder / "edge.toml", "--port", "lan", folder / "lan.pcapng"]
    first = json.loads(run(*arguments, "-n", "1", "--json").stdout)
    assert (first["cache"], first["out_port"], first["frame"]) == ("miss", "wan", 1)
    later = json.loads(run(*arguments, "-n", "30", "--json").stdout)
    assert later["cache"] == "hit"
    alone = json.loads(run(*arguments, "-n", "30", "--alone", "--json").stdout)
    assert alone["cache"] == "miss"
    text = run(*arguments, "-n", "1").stdout
    for words in ("udp dport 53 counter accept", "masquerade", "0.0.0.0/0", "203.0.113.254", "verdict"):
        assert words in text
    dropped = run(*arguments, "-n", str(PACKETS + 1)).stdout
    assert "dropped" in dropped
    assert "policy" in dropped


def test_trace_passes_what_came_in_at_other_ports(folder: Path) -> None:
    config, lan, wan = (folder / name for name in ("edge.toml", "lan.pcapng", "wan.pcapng"))
    both = ["--in", f"lan={lan}", "--in", f"wan={wan}"]
    # The answer to the last query: without that the node has no connection for it.
    whole = run("trace", config, *both, "-p", "wan", "-n", PACKETS, "--json")
    assert (json.loads(whole.stdout)["out_port"], whole.stderr) == ("lan", "")
    alone = run("trace", config, "-p", "wan", wan, "-n", PACKETS, "--json")
    assert json.loads(alone.stdout)["out_port"] is None
    assert "no packets of lan have passed" in alone.stderr
    assert "--in lan=FILE" in alone.stderr
    # FILE and --in together say the same, and one --in needs no --port.
    mixed = run("trace", config, "--in", f"lan={lan}", "-p", "wan", wan, "-n", PACKETS, "--json")
    assert mixed.stdout == whole.stdout
    single = run("trace", config, "--in", f"lan={lan}", "-n", 30, "--json").stdout
    assert single == run("trace", config, "-p", "lan", lan, "-n", 30, "--json").stdout
    # What comes later has not passed: the query after it, at the same port, is a miss.
    first = json.loads(run("trace", config, *both, "-p", "lan", "-n", 1, "--json").stdout)
    assert first["cache"] == "miss"
    refused = run("trace", config, *both, "-p", "lan", "-n", 1, "--alone")
    assert (refused.exit_code, "--alone" in refused.stderr) == (2, True)


def test_trace_has_the_order_of_run(folder: Path) -> None:
    """Packets of one time pass in the order of the options, as in `run`: a query before its answer, or behind it."""
    query, answer = (next(iter(nf.Capture(folder / f"{port}.pcapng")))[0] for port in ("lan", "wan"))
    for port, packet in (("lan", query), ("wan", answer)):
        nf.write(folder / f"{port}.pcapng", [(SECOND, bytes(packet))])
    for first, second, out in (("lan", "wan", "lan"), ("wan", "lan", None)):
        named = [f"--in={port}={folder / f'{port}.pcapng'}" for port in (first, second)]
        traced = json.loads(run("trace", folder / "edge.toml", *named, "-p", "wan", "-n", 1, "--json").stdout)
        ran = json.loads(run("run", folder / "edge.toml", *named, "--json").stdout)
        assert traced["out_port"] == out
        assert ran["ports"]["lan"]["packets_out"] == (out == "lan")


def test_rules_without_connections_need_no_other_side(folder: Path) -> None:
    (folder / "edge.nft").write_text(
        'table inet filter { chain forward { type filter hook forward priority 0; accept comment "no ct state"; }; }'
    )
    result = run("trace", folder / "edge.toml", "-p", "lan", folder / "lan.pcapng", "-n", 2)
    assert (result.exit_code, result.stderr) == (0, "")


def test_run_says_which_rules_dropped_and_what_they_logged(folder: Path) -> None:
    (folder / "edge.nft").write_text(
        RULES.replace("counter accept", 'log prefix "drop " counter accept').replace(
            "ct state established",
            "udp dport 54 drop\n        tcp dport vmap { 22 : drop }\n        ct state established",
        )
    )
    arguments = ["run", folder / "edge.toml", "--in", f"lan={folder / 'lan.pcapng'}"]
    text = run(*arguments).stdout
    dropped = text[text.index("dropped by rules:") :].splitlines()
    assert dropped[1] == "  1  inet filter forward line 4: udp dport 54 drop"
    # Neither a map that drops some packets nor the prefix of a line that says so is a rule that drops.
    assert dropped[2] == f"log: {PACKETS} lines, which --log shows"
    text = run(*arguments, "--rules", "--log").stdout
    assert f'  {PACKETS}  inet filter forward line 7: iifname "lan" udp dport 53 log prefix' in text
    assert "   0  inet filter forward line 6: ct state established,related accept" in text
    assert text.count("prefix=drop ") == PACKETS


def test_run_taps_ports(folder: Path) -> None:
    tap = folder / "tap.pcapng"
    result = run(
        "run", folder / "edge.toml", "--in", f"lan={folder / 'lan.pcapng'}", "--tap", f"lan={tap}", "--json"
    )
    told = json.loads(result.stdout)
    assert told["taps"] == {"lan": str(tap)}
    comments = [comment for frame in nf.files.frames(tap) for comment in frame["comments"]]
    assert len(comments) == told["ports"]["lan"]["dropped"] == 1
    assert comments[0].startswith("dropped: policy")


def test_counts_of_ports_have_bytes_and_reasons(folder: Path) -> None:
    inputs = ["--in", f"lan={folder / 'lan.pcapng'}", "--in", f"wan={folder / 'wan.pcapng'}"]
    told = json.loads(run("run", folder / "edge.toml", *inputs, "--json").stdout)
    lan = told["ports"]["lan"]
    assert lan["dropped_by"] == {"policy": 1}
    assert (lan["packets_in"], lan["packets_out"], lan["dropped"]) == (PACKETS + 1, PACKETS, 1)
    assert lan["bytes_in"] == sum(frame["len"] for frame in nf.files.frames(folder / "lan.pcapng"))


def test_check_tells_errors_and_warnings_with_their_places(folder: Path) -> None:
    config = folder / "edge.toml"
    fine = run("check", config)
    assert fine.exit_code == 0
    assert fine.stdout.endswith("0 errors, 0 warnings\n")
    (folder / "edge.nft").write_text(
        "table inet filter {\n"
        "  set unused { type ipv4_addr; }\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter\n"
        "    udp dport 53 accept\n"
        "    drop\n"
        "    tcp dport 22 accept\n"
        "  }\n"
        "}\n"
    )
    with config.open("a") as file:
        file.write('[[route]]\nprefix = "198.51.100.0/24"\nvia = "203.0.113.254"\n')
    odd = run("check", config, "--json")
    assert odd.exit_code == 0
    found = [json.loads(line) for line in odd.stdout.splitlines()]
    assert {finding["severity"] for finding in found} == {"warning"}
    places = {(finding["line"], finding["file"]) for finding in found}
    assert (2, str(folder / "edge.nft")) in places
    assert (7, str(folder / "edge.nft")) in places
    assert any("198.51.100.0/24" in finding["what"] for finding in found)
    config.write_text("[[port]]\nname = 'lan'\nmca = '02:00:00:00:00:01'\n")
    wrong = run("check", config)
    assert wrong.exit_code == 2
    assert f"error: {config}:3:1: unknown key" in wrong.stdout
    assert wrong.stdout.endswith("2 errors, 0 warnings\n")


def test_a_configuration_that_is_wrong_is_told_on_one_line(folder: Path) -> None:
    config = folder / "edge.toml"
    config.write_text(CONFIG.replace("203.0.113.254", "198.51.100.254", 1))
    result = run("run", config, "--in", f"lan={folder / 'lan.pcapng'}")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"{config}:16:1: " in result.stderr
    assert "is not reachable" in result.stderr


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="the program is not installed beside this Python")
def test_as_a_program(folder: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "check", folder / "edge.toml"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout.split()[1:3]) == (0, ["0", "errors,"])


def test_run_says_for_whom_packets_wait_and_what_rules_saw(folder: Path) -> None:
    config = folder / "edge.toml"
    config.write_text(CONFIG.replace('ip = "203.0.113.254"', 'ip = "203.0.113.9"'))
    (folder / "edge.nft").write_text(RULES.replace("udp dport 53", 'udp dport 53 log prefix "dns "'))
    arguments = ["run", config, "--in", f"lan={folder / 'lan.pcapng'}"]
    assert "  203.0.113.254 at wan" in run(*arguments).stdout
    told = json.loads(run(*arguments, "--json").stdout)
    assert told["unresolved"] == [{"port": "wan", "ip": "203.0.113.254"}]
    assert told["missed_events"] == 0
    assert {event["prefix"] for event in told["log"]} == {"dns "}
    [counted] = [rule for rule in told["rules"] if "dport 53" in rule["text"]]
    assert counted["packets"] == len(told["log"]) == PACKETS


def test_a_wrong_link_type_is_a_bad_file(folder: Path) -> None:
    raw = Path(__file__).parent / "data" / "raw-ipv4.pcap"
    inputs = ["--in", f"wan={folder / 'wan.pcapng'}", "--in", f"lan={raw}"]
    result = run("run", folder / "edge.toml", *inputs)
    assert result.exit_code == 1
    assert f"{raw}: frame 1: link type" in result.stderr


def test_the_cause_is_told_first(folder: Path) -> None:
    config = folder / "edge.toml"
    config.write_text(CONFIG.replace('name = "lan"', 'nmae = "lan"'))
    for command in (["run", config, "--in", "lan=x"], ["trace", config, "x", "-p", "lan", "-n", "1"]):
        result = run(*command)
        assert result.exit_code == 2
        assert 'unknown key "nmae"' in result.stderr
        assert f"more, see netfast check {config})" in result.stderr
    with pytest.raises(ConfigError, match="nmae") as caught:
        nf.Stack.from_toml(config)
    assert "netfast check" in caught.value.__notes__[0]
    lines = [finding.line for finding in nf.check(config)]
    assert lines == sorted(lines, key=lambda line: line or 0)


def test_rules_alone_are_checked(folder: Path) -> None:
    rules = folder / "home.nft"
    rules.write_text(RULES)
    result = run("check", rules)
    assert result.exit_code == 0, result.output
    other = folder / "home"
    other.write_text("#!/usr/sbin/nft -f\nflush ruleset\n" + RULES.replace("policy drop", "policy dorp"))
    result = run("check", other)
    assert result.exit_code == 2
    assert f"{other}:5:" in result.stdout


@pytest.mark.parametrize(
    "beginning",
    [
        'include "names.nft"',
        "destroy table inet t",
        "delete table inet t",
        "create table inet t",
        "insert rule inet t c accept",
        "redefine lan = eth0",
        "list ruleset",
    ],
)
def test_what_begins_with_a_command_of_nft_is_rules(folder: Path, beginning: str) -> None:
    rules = folder / "home"
    (folder / "names.nft").write_text("define lan = lan\n")
    rules.write_text(f"{beginning}\n")
    assert "no TOML" not in run("check", rules).output
    assert "this is a file of rules" in run("run", rules, "--in", "lan=lan.pcapng").stderr


def test_text_that_is_no_utf8_has_one_place(folder: Path) -> None:
    config = folder / "edge.toml"
    config.write_bytes(b"# \xe9\n")
    assert run("check", config).stdout.startswith(f"error: {config}:1:3: byte 2 is no UTF-8")
