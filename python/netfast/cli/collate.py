"""`netfast collate`: captures with super-packets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted
from netfast.cli._rewrite import from_files, rewrite
from netfast.cli._run import message

__all__ = ["collate"]

_DIFFERENT = 1

_F = TypeVar("_F", bound=Callable[..., Any])


def _both(name: str, text: str) -> Callable[[_F], _F]:
    return click.option(f"--{name}/--no-{name}", default=True, show_default=True, help=text)


@click.command()
@from_files
@_both("tcp", "Merge TCP segments.")
@_both("udp", "Merge UDP datagrams.")
@_both("tunnels", "Merge what is in VXLAN, Geneve, GRE and IP tunnels.")
@click.option(
    "--hold",
    type=click.FloatRange(0.001, 1e12),
    default=1000.0,
    show_default=True,
    metavar="MICROSECONDS",
    help="How long a packet waits for the next one, by the capture's times.",
)
@click.option(
    "--max-segments", type=click.IntRange(2, 64), default=64, show_default=True, help="Packets in one."
)
@click.option(
    "--max-length",
    type=click.IntRange(576, 65_535),
    default=65_535,
    show_default=True,
    help="Bytes of an IP packet.",
)
@click.option(
    "--trust-checksums", is_flag=True, help="Do not verify checksums: say that the network card did."
)
@click.option("--verify", is_flag=True, help="Cut each super-packet again and compare with its frames.")
@_options.json_option
@_options.reading
@click.pass_context
def collate(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    target: str,
    expression: str | None,
    hold: float,
    as_json: bool,
    lenient: bool,
    **settings: Any,
) -> None:
    """Merge packets of flows that follow one another, as receivers do, and tell what became of them.

    Several captures are one, merged by time. OUT is a pcapng file (- is standard output, and what is told goes to
    standard error then). A super-packet stands where the first of its packets stood; its comment says how many it
    stands for. All other packets are as they were.

    \b
    Examples:
      netfast collate capture.pcap merged.pcapng
      netfast collate monday.pcap tuesday.pcap.gz merged.pcapng
      netfast collate capture.pcap merged.pcapng --no-udp --hold 50
      netfast collate capture.pcap merged.pcapng --verify --json
    """
    from netfast.offload import collate as collate_capture

    told = rewrite(
        files,
        target,
        lenient,
        lambda where, progress: collate_capture(
            files,
            where,
            filter=expression,
            max_hold=round(hold * 1000),
            lenient=lenient,
            progress=progress,
            **settings,
        ),
    )
    with uninterrupted():
        click.echo(json.dumps(told) if as_json else "\n".join(_lines(told)), err=target == "-")
    if told["different"]:
        message(f"{_words.count(told['different'], 'frame')} did not come back as they were")
        ctx.exit(_DIFFERENT)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    """The statistics for people."""
    frames, supers = told["frames"], told["super_packets"]
    yield f"frames         {_words.count(frames)} in, {_words.count(told['written'])} out"
    mean = f", {told['mean_segments']:.1f} packets each" if supers else ""
    yield f"super-packets  {_words.count(supers)}{mean}"
    yield f"merged         {_words.count(told['merged'])} into the packet before them"
    if told["cut"]:
        yield f"cut short      {_words.count(told['cut'])} by the capture, as they were"
    if told["other_links"]:
        yield f"other links    {_words.count(told['other_links'])} of link types without IP, as they were"
    yield from _reasons("not merged", told["not_merged"])
    yield from _reasons("put out", told["ended"])
    yield f"copied         {_words.size(told['copied_bytes'])} of headers"
    if told["verified"] is not None:
        different = told["different"]
        yield f"verified       {_words.count(told['verified'])} frames came back, {_words.count(different)} different"


def _reasons(title: str, counts: dict[str, int]) -> Iterator[str]:
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{title:14} {_words.count(count):>9}  {name.replace('_', ' ')}"
        title = ""
