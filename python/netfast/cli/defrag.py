"""`netfast defrag`: a capture with its fragments put together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from netfast.cli import _options, _words
from netfast.cli._rewrite import from_files, rewrite
from netfast.cli._run import message
from netfast.files import words_of_copy
from netfast.reassembly import defrag as defrag_capture

__all__ = ["defrag"]


@click.command()
@from_files
@_options.reassembly_options
@click.option(
    "--keep-incomplete",
    is_flag=True,
    help="Also write fragments whose datagram never becomes whole: behind the packets that came until it was given up, "
    "with their own times.",
)
@click.option("--json", "as_json", is_flag=True, help="The statistics as one JSON object.")
@_options.reading
def defrag(
    files: tuple[str, ...],
    target: str,
    expression: str | None,
    as_json: bool,
    lenient: bool,
    **settings: Any,
) -> None:
    """Copies a capture with its IP fragments put together.

    Whole datagrams stand where their last fragment was, with a comment (pcapng); everything else is as it was, and
    in order. Fragments of datagrams that are never whole are left out and counted; those that still wait at the end
    count as timeout.

    \b
    Examples:
      netfast defrag capture.pcap whole.pcapng
      netfast defrag capture.pcap whole.pcapng --filter 'udp port 53'
      netfast defrag attack.pcap seen-by-windows.pcapng --policy windows --json
      tcpdump -w - | netfast defrag - - | tcpdump -r -
    """
    if target == "-" and as_json:
        raise click.UsageError("--json writes to standard output, and OUT is -: name a file")
    counts = rewrite(
        files,
        target,
        lenient,
        lambda where, progress: defrag_capture(
            files, where, filter=expression, lenient=lenient, progress=progress, **settings
        ),
    )
    for words in words_of_copy(counts["packets"], counts["cut"], counts["bared"]):
        message(f"{target}: {words}")
    if as_json:
        click.echo(json.dumps(_statistics(counts)))
    else:
        for line in _lines(counts):
            click.echo(line, err=target == "-")


def _statistics(counts: Mapping[str, Any]) -> dict[str, Any]:
    """What `--json` tells."""
    of = dict(counts["reassembly"])
    return {
        "read": of.pop("packets"),
        "written": counts["packets"],
        "filtered_out": counts["filtered_out"],
        # As the line for people has it: those that are used and those that are not.
        "fragments": of["completed"] + of["joined"] + sum(of["dropped"].values()),
        **of,
    }


def _lines(counts: Mapping[str, Any]) -> Iterator[str]:
    """The statistics for people."""
    of = counts["reassembly"]
    fragments = of["packets"] - of["not_fragments"] - of["atomic"]
    filtered = f", {counts['filtered_out']:,} filtered out" if counts["filtered_out"] else ""
    yield f"packets      {counts['read']:,} read, {counts['packets']:,} written{filtered}"
    yield f"fragments    {fragments:,} of {_words.count(of['datagrams'], 'datagram')}"
    yield f"reassembled  {_words.count(of['completed'], 'datagram')}, {of['completed_bytes']:,} bytes"
    if of["atomic"]:
        yield f"atomic       {of['atomic']:,}, without their fragment headers now"
    if of["dropped"]:
        yield f"not used     {_words.count(sum(of['dropped'].values()), 'fragment')}: {_reasons(of['dropped'])}"
    if of["noted"]:
        yield f"noted        {_reasons(of['noted'])}"


def _reasons(counts: Mapping[str, int]) -> str:
    """Counts by reason, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{_words.fragments(reason)} {count:,}" for reason, count in ordered)
