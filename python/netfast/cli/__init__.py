"""The command line: `netfast COMMAND …`.

What a command needs is imported when it runs, so that `netfast --help` answers at once.
"""

from __future__ import annotations

import click

from netfast import __version__
from netfast.cli._run import Commands
from netfast.cli.bench import bench
from netfast.cli.capture import capture
from netfast.cli.check import check
from netfast.cli.collate import collate
from netfast.cli.defrag import defrag
from netfast.cli.demo import demo
from netfast.cli.doctor import doctor
from netfast.cli.flows import flows
from netfast.cli.info import info
from netfast.cli.neigh import neigh
from netfast.cli.packets import packets
from netfast.cli.replay import replay
from netfast.cli.run import run
from netfast.cli.show import show
from netfast.cli.trace import trace

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netfast")
def main() -> None:
    """Captures at the speed of C: packets as rows, flows as records, and nodes that they pass through.

    FILE is a pcap or pcapng file, plain or compressed by gzip or zstd, a FIFO, or - for standard input.
    Several files are one input, merged by time.

    \b
    Examples:
      netfast info capture.pcapng
      netfast packets capture.pcap --filter 'tcp port 443' -c 20
      netfast flows monday.pcap tuesday.pcap.gz --top 10
      tcpdump -w - | netfast flows - --json
      netfast flows capture.pcap -o flows.parquet
      netfast run router.toml --in lan=capture.pcapng --out out/
      netfast run router.toml

    On a terminal results are shown for people; through a pipe they are columns separated by tabs, and with
    --json one object a line. Status is 0, 1 for a bad file (all rows before the damage are out), 2 for wrong
    usage, 130 after Ctrl-C.
    """


for _command in (
    info,
    packets,
    flows,
    collate,
    defrag,
    show,
    run,
    neigh,
    capture,
    replay,
    doctor,
    trace,
    check,
    bench,
    demo,
):
    main.add_command(_command)
