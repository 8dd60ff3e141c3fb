"""`netfast capture`: what comes in at a port, into a file."""

from __future__ import annotations

import click

from netfast._netfast import Patch
from netfast.cli import _options, _words
from netfast.cli._device import PORT_HELP, open_device, terminated
from netfast.cli._run import message
from netfast.ports import CaptureFile

__all__ = ["capture"]


@click.command(epilog=PORT_HELP)
@click.argument("port", metavar="PORT")
@click.option("--write", "-w", metavar="FILE", required=True, help="The pcapng file; it is overwritten.")
@click.option("--count", "-c", type=_options.COUNT, metavar="N", help="End after so many frames.")
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End after so long; without either with Ctrl-C.",
)
def capture(port: str, write: str, count: int | None, seconds: float | None) -> None:
    """Captures the frames that come in at PORT into a file.

    \b
    Examples:
      netfast capture eth0 -w eth0.pcapng -c 1000
      netfast capture tap:nf0 -w nf0.pcapng --for 60
    """
    with open_device(port, written=write) as device:
        # The longest frame that a device gives is a super-packet.
        file = CaptureFile(record=write, mtu=65_535)
        patch = Patch(device._native, file._native, limit=count)
    try:
        with terminated():
            patch.run(seconds)
    except KeyboardInterrupt:
        # That is how it is ended.
        pass
    finally:
        received, recorded = patch.counters()
        patch.close()
    lost = sum(received["dropped_in"].values())
    message(
        f"{_words.count(recorded['sent'], 'frame')} in {write}" + (f", {lost:,} lost before" if lost else "")
    )
