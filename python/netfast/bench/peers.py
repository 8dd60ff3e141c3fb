"""Forwarders of other people, run by the scripts beside the limit studies, on inputs of the same kind.

They need root, and packages of the system (the scripts name them). What they do stays in processes, folders and network
namespaces of their own. What cannot run raises `Missing` with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from netfast._netfast import BenchNode
from netfast.bench import harness
from netfast.bench.harness import Missing
from netfast.files import write

_FLOWS = 10_000
_FRAME = 64
_LOOPED = 16_384

# One figure of a script that has many.
_L3FWD = """
import dpdk_forward as peer
measure = peer.measure
peer.measure = lambda name, *a, **k: measure(name, *a, **k) if name == "l3fwd_lpm_min6" else None
peer.do_l3fwd()
"""
_OVS = """
import ovs_userspace as peer
from _common import emit
# "conntrack_min6" also names the loop of 256 packets.
peer.emit = lambda name, *a, **k: emit(name, *a, **k) if name.endswith("conntrack_min6") else None
peer.run(["conntrack_min6"])
"""
# net_pcap gives packets no type, and the example passes on what has none without a look: it has to ask the frame.
_REASSEMBLY = """
import glob, os, shutil, sys
import dpdk_forward as peer

def example(name):
    original(name)
    work = os.path.join(sys.argv[2], name)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(glob.glob(f"{peer.SRC}/dpdk-*/examples/{name}")[0], work)
    text = open(work + "/main.c").read()
    for version in ("4", "6"):
        asks = f"RTE_ETH_IS_IPV{version}_HDR(m->packet_type)"
        if asks not in text:
            raise RuntimeError("main.c of ip_reassembly asks for packets in another way")
        text = text.replace(asks, f"eth_hdr->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV{version})")
    open(work + "/main.c", "w").write(text)
    peer.sh(f"cd {work} && rm -rf build && make shared")
    return f"{work}/build/{name}"

peer.small = lambda path, count: sys.argv[1]
original, measure, testpmd = peer.example, peer.measure, peer.testpmd
peer.measure = lambda name, *a, **k: measure(name + "_as_it_comes", *a, **k)
peer.testpmd = lambda *a, **k: None
peer.do_reass()
peer.example, peer.measure, peer.testpmd = example, measure, testpmd
peer.do_reass()
"""
# A file of distinct flows is read once through a rule with conntrack; cycles of the iterations that had packets count.
_OVS_FIRST = r"""
import os, re, shutil, subprocess, sys, time
import ovs_userspace as o
from _common import *

def pmd(pid):
    text = o.appctl(pid, "dpif-netdev/pmd-stats-show").split("main thread")[0]
    packets = re.search(r"packets received: (\d+)", text)
    cycles = re.search(r"avg processing cycles per packet: ([\d.]+)", text)
    return int(packets[1]) if packets else 0, float(cycles[1]) if cycles else 0.0

def once(source, count, rules):
    shutil.rmtree(o.D, ignore_errors=True); os.makedirs(o.D)
    sh(["ovsdb-tool", "create", f"{o.D}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"])
    quiet = dict(env=o.ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    programs = [subprocess.Popen(["ovsdb-server", f"{o.D}/conf.db", f"--remote=punix:{o.D}/db.sock"], **quiet)]
    try:
        time.sleep(1)
        o.vs("--no-wait", "init")
        o.vs("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
             "other_config:dpdk-socket-mem=1024",
             f"other_config:pmd-cpu-mask={1 << CPU:#x}", f"other_config:dpdk-lcore-mask={1 << CPU_OTHER:#x}",
             f"other_config:dpdk-extra=--no-pci --file-prefix=anchovs --huge-dir={os.environ['ANCHOR_HUGE']}")
        switch = [o.VSW, f"unix:{o.D}/db.sock", f"--log-file={o.D}/vsw.log", f"--unixctl={o.D}/vsw.ctl"]
        switch = subprocess.Popen(switch, **quiet)
        programs.append(switch)
        for _ in range(50):
            time.sleep(0.3)
            if switch.poll() is not None:
                raise RuntimeError(open(o.D + "/vsw.log").read()[-400:])
            if os.path.exists(f"{o.D}/vsw.ctl"):
                break
        o.vs("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "protocols=OpenFlow13")
        o.ofc("del-flows", f"unix:{o.D}/br0.mgmt")
        open(o.D + "/flows.txt", "w").write("\n".join(rules) + "\n")
        o.ofc("add-flows", f"unix:{o.D}/br0.mgmt", o.D + "/flows.txt")
        o.vs("add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dpdk", "ofport_request=2",
             f"options:dpdk-devargs=net_null0,no-rx=1")
        o.vs("add-port", "br0", "p0", "--", "set", "Interface", "p0", "type=dpdk", "ofport_request=1",
             f"options:dpdk-devargs=net_pcap0,rx_pcap={source}")
        before = -1
        for _ in range(120):
            packets, cycles = pmd(switch.pid)
            if packets >= count or (packets and packets == before):
                break
            before = packets
            time.sleep(0.5)
        if packets < count * 0.99:
            raise RuntimeError(f"{packets} of {count} packets were read")
        entries = o.appctl(switch.pid, "dpctl/ct-stats-show", "netdev@ovs-netdev")
        total = re.search(r"Conntrack entries?:?\s*(\d+)|Total: (\d+)", entries)
        return cycles, int(next(filter(None, total.groups()))) if total else 0
    finally:
        for program in reversed(programs):
            program.terminate()
            try:
                program.wait(8)
            except subprocess.TimeoutExpired:
                program.kill(); program.wait()

def hertz():
    # What cycles are counted in: the time stamp counter.
    found = re.search(r"tsc: Detected ([\d.]+) MHz", sh("dmesg", check=False))
    return float((found or re.search(r"cpu MHz\s*: ([\d.]+)", open("/proc/cpuinfo").read()))[1]) * 1e6

try:
    source, count = sys.argv[1], int(sys.argv[2])
    track = ["table=0,priority=10,ipv6,ct_state=-trk,actions=ct(table=1)",
             "table=1,priority=10,ipv6,ct_state=+trk+new,actions=ct(commit),output:2",
             "table=1,priority=5,actions=output:2"]
    plain = ["priority=1,in_port=1,actions=output:2"]
    with_ct, entries = once(source, count, track)
    without, _ = once(source, count, plain)
    if entries < count * 0.99:
        raise RuntimeError(f"{entries} of {count} connections were tracked")
    cost = 1e9 * (with_ct - without) / hertz()
    emit("ovs_first", "first packets", cost, "ns/packet", cycles=with_ct, source_cycles=without)
except Exception as e:
    skip("ovs_first", e)
"""


def _inputs() -> Path:
    """The folder with the peers' inputs: `$ANCHOR_DIR` when they are there, else one where they are made."""
    named = Path(os.environ.get("ANCHOR_DIR") or Path(tempfile.gettempdir()) / "anchors")
    if (named / "min6_1m.pcap").exists() and (named / "mix1m.pcap").exists():
        return named
    folder = harness.scratch() / "anchors"
    folder.mkdir(exist_ok=True)
    if not (folder / "min6_1m.pcap").exists():
        _write(folder / "min6_1m.pcap", BenchNode(_FLOWS).frames(False, 2 * _LOOPED))
    if not (folder / "mix1m.pcap").exists():
        shutil.copy(harness.mixed_capture()[0], folder / "mix1m.pcap")
    if (named / "src").is_dir() and not (folder / "src").exists():
        (folder / "src").symlink_to(named / "src")
    return folder


def _write(path: Path, frames: bytes) -> None:
    temporary = path.with_suffix(".part.pcap")
    write(temporary, [frames[at : at + _FRAME] for at in range(0, len(frames), _FRAME)])
    temporary.replace(path)


def _python() -> str:
    """The system's interpreter where there is one: the scripts' libraries are packages of the system."""
    return next((path for path in ("/usr/bin/python3",) if os.access(path, os.X_OK)), sys.executable)


def _figures(command: list[str], timeout: float = 600) -> list[dict[str, Any]]:
    """What a script of the folder of limit studies prints, a figure a line."""
    folder = harness.anchors()
    if folder is None:
        raise Missing("set NETFAST_ANCHORS to the folder that holds kernel_forward.py and its like")
    if os.geteuid() != 0:
        raise Missing("it needs root")
    rounds = os.environ.get("ANCHOR_RUNS") or str(min(3, harness.ROUNDS))
    environment = os.environ | {
        "ANCHOR_DIR": str(_inputs()),
        "ANCHOR_RUNS": rounds,
        "PYTHONPATH": str(folder),
    }
    environment.pop("PYTHONHOME", None)
    done = subprocess.run(
        [_python(), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    rows = [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]
    # Some say something of the machine beside their figures.
    figures = [row for row in rows if "metric" in row]
    for figure in figures:
        if figure["metric"] == "skipped":
            raise Missing(" ".join(str(figure["why"]).split())[-200:])
    if not figures:
        raise Missing((done.stderr.strip().splitlines() or ["it printed nothing"])[-1][:200])
    return figures


def _need_huge_pages() -> None:
    place = os.environ.get("ANCHOR_HUGE")
    if not place or not os.path.ismount(place):
        raise Missing("set ANCHOR_HUGE to a mounted hugetlbfs with 2 GiB of free pages")


def _spread(figure: dict[str, Any]) -> list[float]:
    """Median and extremes, as costs in ns, of a rate."""
    scale = 1e3 if figure["unit"] == "Mpps" else 1e9
    return [scale / figure[name] for name in ("min", "value", "max")]


# What a peer came to is asked for by several benchmarks, and measured once; the signature of what `functools.cache`
# gives is one that stubs do not know.
_measured: dict[str, list[float]] = {}


def _once(measure: Callable[[], list[float]]) -> list[float]:
    if measure.__name__ not in _measured:
        _measured[measure.__name__] = measure()
    return _measured[measure.__name__]


def ovs_conntrack() -> list[float]:
    """ns a packet of Open vSwitch's userspace datapath, one rule with connection tracking, 10,000 flows."""
    return _once(_ovs_conntrack)


def _ovs_conntrack() -> list[float]:
    harness.need("ovs-vsctl", "openvswitch-switch-dpdk")
    _need_huge_pages()
    figures = _figures(["-c", _OVS])
    return _spread(figures[0])


def ovs_first_packets() -> list[float]:
    """ns of a flow's first packet through that rule, without what reading the file costs."""
    return _once(_ovs_first_packets)


def _ovs_first_packets() -> list[float]:
    harness.need("ovs-vsctl", "openvswitch-switch-dpdk")
    _need_huge_pages()
    count = 500_000
    path = harness.scratch() / "first.pcap"
    if not path.exists():
        _write(path, BenchNode(1).first_frames(count))
    return [float(_figures(["-c", _OVS_FIRST, str(path), str(count)])[0]["value"])]


def l3fwd() -> list[float]:
    """ns a packet of DPDK's l3fwd with longest-prefix match, per CPU second of its core."""
    return _once(_l3fwd)


def _l3fwd() -> list[float]:
    harness.need("dpdk-testpmd", "dpdk")
    harness.need("pkg-config", "pkg-config")
    figures = _figures(["-c", _L3FWD])
    return _spread(next(figure for figure in figures if figure["metric"] == "rx rate per core"))


def dpdk_gro() -> list[float]:
    """ns a segment of DPDK's receive collation, sixteen to one, without what making and freeing packets costs."""
    return _once(_dpdk_gro)


def _dpdk_gro() -> list[float]:
    harness.need("pkg-config", "pkg-config")
    harness.need("gcc", "gcc")
    figures = _figures(["dpdk_gro.py"])
    for figure in figures:
        if "burst128" in figure["anchor"] and figure["metric"].startswith("net of"):
            if figure["value"] <= 0:
                raise Missing("its base took longer than the work: the machine is too busy")
            return [float(figure["value"])]
    raise Missing("dpdk_gro.py has no figure for bursts of 128")


class Reassembly(NamedTuple):
    """Of DPDK's ip_reassembly: fragments a second with its packet source, ns a fragment without what that costs, and
    fragments a second of the example as it comes, which looks into none of them."""

    rates: list[float]
    net: list[float]
    as_it_comes: list[float]


def ip_reassembly(frames: Sequence[bytes]) -> Reassembly:
    """Frames with fragments, again and again.

    Its transmit side has no route, so that whole datagrams are let go; it verifies no transport checksum.
    """
    harness.need("dpdk-testpmd", "dpdk")
    harness.need("pkg-config", "pkg-config")
    harness.need("gcc", "gcc")
    path = harness.scratch() / "fragments.pcap"
    write(path, frames)
    figures = {
        figure["anchor"].removeprefix("dpdk_forward."): figure
        for figure in _figures(["-c", _REASSEMBLY, str(path), str(harness.scratch())])
    }
    try:
        theirs, source = figures["ip_reassembly_frag"], figures["testpmd_pcap_frag_io"]
        plain = figures["ip_reassembly_frag_as_it_comes"]
    except KeyError as missing:
        raise Missing(f"dpdk_forward.py has no figure {missing}") from None
    rates, as_it_comes = (
        [figure[name] * 1e6 for name in ("min", "value", "max")] for figure in (theirs, plain)
    )
    return Reassembly(rates, [1e9 / rate - 1e3 / source["value"] for rate in reversed(rates)], as_it_comes)


def kernel() -> list[float]:
    """ns a packet of Linux with connection tracking and 100 rules, 10,000 flows, without what sending costs."""
    return _once(_kernel)


def _kernel() -> list[float]:
    harness.need("nft", "nftables")
    figures = _figures(["kernel_forward.py"])
    for figure in figures:
        if "ipv6_conntrack_nft100" in figure["anchor"] and figure["metric"].startswith("net of"):
            return [float(figure["value"])]
    raise Missing("kernel_forward.py has no figure for conntrack with 100 rules")
