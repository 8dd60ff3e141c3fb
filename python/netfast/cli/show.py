"""`netfast show`: packets, with every field."""

from __future__ import annotations

import json
from typing import Any

import click

from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted
from netfast.cli._run import tell_damage
from netfast.cli._source import Bar, batches
from netfast.errors import NetfastError
from netfast.files import frames as read_frames

__all__ = ["show"]


class _Range(click.ParamType):  # type: ignore[type-arg]
    """A number from 1, or first and last with a hyphen between them."""

    name = "range"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        numbers: list[Any] = value.split("-", 1)
        low, high = (
            _options.COUNT.convert(number, parameter, context) for number in (numbers[0], numbers[-1])
        )
        if low > high:
            self.fail(f"{value}: the first number is greater than the last", parameter, context)
        return low, high


@click.command()
@_options.files
@click.option(
    "--number",
    "-n",
    "numbers",
    type=_Range(),
    multiple=True,
    metavar="FRAME",
    help="A frame, from 1, or some: 3-7. May be given more than once; without it --filter says which.",
)
@_options.filter_option
@_options.json_option
@_options.reading
def show(
    files: tuple[str, ...],
    numbers: tuple[tuple[int, int], ...],
    expression: str | None,
    as_json: bool,
    lenient: bool,
    mmap: bool,
) -> None:
    """Packets as trees of headers: every field, its offset, its bytes, and what is wrong.

    \b
    Examples:
      netfast show capture.pcap -n 7
      netfast show capture.pcap -n 3-7 -n 12 --json
      netfast show capture.pcap --filter icmp
    """
    if not numbers and expression is None:
        raise click.UsageError("say which frames: -n 7, -n 3-7 or --filter EXPR")
    found = read_frames(files, numbers, filter=expression, mmap=mmap, lenient=lenient)
    missing = {first for first, last in numbers if first == last} if expression is None else set()
    shown = False
    try:
        with Bar(files) as bar:
            for frame in batches(found, lambda frame: frame, bar):
                with uninterrupted():
                    _show(frame, as_json, shown)
                missing.discard(frame["frame"])
                shown = True
    finally:
        tell_damage(found.damage, lenient)
    name = files[0] if len(files) == 1 else "the merged captures"
    if missing or not shown:
        which = (
            f"no frame {min(missing)}"
            if missing
            else "no such frame" + (" that --filter keeps" if expression else "")
        )
        raise NetfastError(f"{name}: there is {which}")


def _show(found: dict[str, Any], as_json: bool, follows: bool) -> None:
    from netfast.packet import dissect

    packet = dissect(found["data"], link=found["link_type"], wire_len=found["len"])
    if as_json:
        # What has no other form in JSON is bytes.
        click.echo(json.dumps(_data(found, packet), default=bytes.hex))
        return
    if follows:
        click.echo()
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
