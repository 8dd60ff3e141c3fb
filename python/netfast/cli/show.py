"""`netfast show`: one packet, with every field."""

from __future__ import annotations

import json
from typing import Any

import click

from netfast.cli import _options, _words
from netfast.cli._source import Bar, call
from netfast.errors import NetfastError
from netfast.files import frame as read_frame

__all__ = ["show"]


@click.command()
@_options.files
@click.option(
    "--number", "-n", type=_options.COUNT, metavar="FRAME", required=True, help="The frame, from 1."
)
@_options.json_option
@_options.reading
def show(files: tuple[str, ...], number: int, as_json: bool, lenient: bool, mmap: bool) -> None:
    """One packet as a tree of headers: every field, its offset, its bytes, and what is wrong.

    \b
    Examples:
      netfast show capture.pcap -n 7
      netfast show capture.pcap -n 7 --json
    """
    with Bar(files) as bar:
        found = call(lambda _: read_frame(files, number, mmap=mmap, lenient=lenient), bar)
    if found is None:
        name = files[0] if len(files) == 1 else "the merged captures"
        raise NetfastError(f"{name}: there is no frame {number}")
    from netfast.packet import dissect

    packet = dissect(found["data"], link=found["link_type"], wire_len=found["len"])
    if as_json:
        # What has no other form in JSON is bytes.
        click.echo(json.dumps(_data(found, packet), default=bytes.hex))
        return
    click.echo(_head(found))
    click.echo(_plain_lines(packet.explain()))
    click.echo()
    click.echo(_plain_lines(packet.show()))


def _plain_lines(text: str) -> str:
    return "\n".join(map(_words.plain, text.split("\n")))


def _head(found: dict[str, Any]) -> str:
    cut = (
        ""
        if found["caplen"] == found["len"]
        else f", {_words.count(found['caplen'], 'byte')} of them captured"
    )
    where = f" on {found['interface']}" if found["interface"] else ""
    length = _words.count(found["len"], "byte")
    lines = [f"Frame {found['frame']}, {_words.iso(found['time_ns'])}{where}, {length}{cut}"]
    lines.extend(f"“{comment}”" for comment in found["comments"])
    return "\n".join(map(_words.plain, lines))


def _data(found: dict[str, Any], packet: Any) -> dict[str, Any]:
    described = {key: value for key, value in found.items() if key != "data"}
    wrong = [{"header": header, "offset": offset, "what": what} for header, offset, what in packet.wrong]
    return {
        **described,
        "verdict": packet.verdict,
        "explanation": packet.explain(),
        "wrong": wrong,
        "headers": packet.tree(),
        "data": found["data"].hex(),
    }
