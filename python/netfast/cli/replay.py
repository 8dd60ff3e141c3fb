"""`netfast replay`: the frames of a file, sent by a port."""

from __future__ import annotations

import click

from netfast._netfast import Patch
from netfast.cli import _options, _words
from netfast.cli._device import PORT_HELP, open_device, terminated
from netfast.cli._run import message
from netfast.ports import CaptureFile

__all__ = ["replay"]

# Why frames of a file cannot be sent.
_UNSENT = {"truncated": "cut by their capture", "malformed": "neither Ethernet frames nor IP packets"}


@click.command(epilog=PORT_HELP)
@click.argument("file", metavar="FILE")
@click.argument("port", metavar="PORT")
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="How many times as fast as the file says; 0: as fast as can be.",
)
@click.option("--loops", type=click.IntRange(1, (1 << 32) - 1), default=1, show_default=True, help="Times.")
@click.option("--count", "-c", type=_options.COUNT, metavar="N", help="End after so many frames.")
@click.option("--lenient", is_flag=True, help="Go on after damage where the format allows it.")
def replay(file: str, port: str, speed: float, loops: int, count: int | None, lenient: bool) -> None:
    """Sends the frames of a capture by PORT, at the distances in time that they have in FILE.

    \b
    Examples:
      netfast replay clients.pcapng eth0
      netfast replay clients.pcapng tap:nf0 --speed 10 --loops 3
    """
    source = CaptureFile(file, speed=speed, loops=loops, lenient=lenient)
    with source, open_device(port, read=file) as device:
        patch = Patch(source._native, device._native, limit=count)
    try:
        with terminated():
            patch.run()
    finally:
        read, sent = patch.counters()
        patch.close()
        lost = [f"{number:,} {_UNSENT.get(reason, reason)}" for reason, number in read["dropped_in"].items()]
        dropped = [f"{number:,} {reason}" for reason, number in sent["dropped_out"].items()]
        message(
            f"{_words.count(sent['sent'], 'frame')} sent"
            + (f", not sent: {', '.join(lost)}" if lost else "")
            + (f", dropped: {', '.join(dropped)}" if dropped else "")
        )
    if (lost or dropped) and not sent["sent"]:
        raise SystemExit(1)
