"""`netfast info`: what captures hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from netfast.cli import _options, _words
from netfast.cli._output import refuse_to_overwrite, uninterrupted
from netfast.cli._run import message, one_line, tell_unfiltered
from netfast.cli._source import Bar, call
from netfast.errors import ConfigError, ParseError
from netfast.files import info as read_info
from netfast.files import words_of_copy

__all__ = ["facts", "info"]

# Damaged places that are shown one by one; --json has them all.
_PLACES = 20

_ODDITIES = {
    "caplen_above_len": "captured longer than they were on the wire",
    "fraction_above_second": "with a second or more as the fraction of a second",
    "without_time": "without a time",
    "time_out_of_range": "with a time before 1970 or after 2262, shown as the nearest of these",
    "unknown_blocks": "blocks of unknown types, skipped",
    "custom_blocks": "custom blocks, skipped",
    "journal_blocks": "systemd journal blocks, skipped",
    "shared_interfaces": "interface descriptions beyond 65,536, counted as one of their kind",
    "options_cut": "blocks with an option longer than they are, read up to it",
    "unknown_interface_statistics": "statistics blocks of interfaces that are not described, skipped",
    "metadata_dropped": "descriptions beyond the limit of memory, not kept",
}


@click.command()
@_options.files
@_options.filter_option
@_options.write_option
@_options.json_option
@_options.reading
@click.pass_context
def info(
    ctx: click.Context,
    files: tuple[str, ...],
    expression: str | None,
    write: str | None,
    as_json: bool,
    lenient: bool,
    mmap: bool,
) -> None:
    """What captures hold: format, interfaces, packets, times, drops, damage.

    Files are told one by one. Reading ends at the first damage that may hide packets; with --lenient it
    goes on and tells every damaged place.

    \b
    Examples:
      netfast info capture.pcapng
      netfast info *.pcap --json
      netfast info broken.pcap --lenient
    """
    _options.check_write(write)
    refuse_to_overwrite(files, write)
    if write is not None and len(files) > 1:
        raise click.UsageError(
            "-w: netfast info reads files one by one; netfast packets FILE... -w merges them"
        )
    failed = False
    for number, path in enumerate(files):
        try:
            with Bar([path]) as bar:
                report = call(
                    lambda progress, path=path: read_info(  # type: ignore[misc]
                        path, filter=expression, mmap=mmap, lenient=lenient, write=write, progress=progress
                    ),
                    bar,
                )
        except ConfigError:
            raise
        except (ParseError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            message(one_line(error))
            failed = True
            continue
        with uninterrupted():
            if as_json:
                click.echo(json.dumps(report))
            else:
                click.echo(("\n" if number else "") + _text(report))
        tell_unfiltered(report["unfiltered"])
        if write is not None:
            for words in words_of_copy(report["copied"], report["copies_cut"], report["copies_bared"]):
                message(f"{write}: {words}")
        if report["error"] is not None:
            message(f"{path}: {report['error']}")
            failed = True
    if failed:
        ctx.exit(1)


def _text(report: dict[str, Any]) -> str:
    lines = list(facts(report))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}".rstrip() for name, value in lines)


def facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The report as names and values; a name that is empty goes on with the one before."""
    return ((name, _words.plain(value)) for name, value in _facts(report))


def _facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "file", report["path"]
    packed = f", compressed with {' in '.join(report['compression'])}" if report["compression"] else ""
    yield "format", report["format_text"] + packed
    yield from _counts(report)
    yield from _times(report)
    dropped = report["dropped"]
    yield "dropped", "not told" if dropped is None else _words.count(dropped, "packet")
    yield "link types", ", ".join(_link(link) for link in report["link_types"]) or "no packets"
    for interface in report["interfaces"]:
        yield f"interface {interface['number']}", _interface(interface)
    for number, section in enumerate(report["sections"]):
        yield from _section(number, section)
    for name, count in report["oddities"].items():
        yield "odd", f"{_words.count(count)} {_ODDITIES.get(name, name)}"
    yield from _damage(report)


def _counts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    packets = report["packets"]
    of = f" of {_words.count(report['file_packets'])}" if packets != report["file_packets"] else ""
    yield "packets", _words.count(packets) + of
    yield "captured", f"{_words.count(report['captured_bytes'], 'byte')}"
    yield "on the wire", f"{_words.count(report['wire_bytes'], 'byte')}"
    if report["cut_packets"]:
        yield "cut", f"{_words.count(report['cut_packets'], 'packet')} captured shorter than on the wire"


def _times(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if report["first_ns"] is None:
        return
    yield "first", _words.iso(report["first_ns"])
    yield "last", _words.iso(report["last_ns"])
    yield "duration", _words.duration(report["duration_ns"])
    if report["packets_per_second"] is not None:
        rate = _words.count(round(report["packets_per_second"], 1))
        yield "rate", f"{rate} packets/s, {report['bits_per_second'] / 1e6:,.3f} Mbit/s on the wire"
    if report["in_time_order"]:
        yield "order", "by time"
    else:
        back = _words.duration(report["largest_backward_ns"])
        yield "order", f"time goes back {_words.count(report['backward_steps'], 'time')}, at most by {back}"


def _link(link: dict[str, Any]) -> str:
    words = f" ({link['description']})" if link["description"] else ""
    return f"{link['name']}{words}: {_words.count(link['packets'], 'packet')}"


def _interface(interface: dict[str, Any]) -> str:
    snaplen = interface["snaplen"]
    parts = [
        interface["name"] or "",
        f"({interface['description']})" if interface["description"] else "",
        interface["link_name"],
        f"snaplen {snaplen}" if snaplen else "no snaplen",
        f"times in {interface['resolution']}",
        f"filter {interface['filter']!r}" if interface["filter"] else "",
        f"on {interface['os']}" if interface["os"] else "",
        interface["hardware"] or "",
        _words.count(interface["packets"], "packet"),
    ]
    for name, column in (
        ("dropped", "dropped"),
        ("dropped by the system", "os_dropped"),
        ("received", "received"),
    ):
        if interface[column] is not None:
            parts.append(f"{_words.count(interface[column])} {name}")
    if interface["packet_drops"]:
        parts.append(f"{_words.count(interface['packet_drops'])} lost between packets")
    parts.extend(f"“{comment}”" for comment in interface["comments"])
    return ", ".join(filter(None, parts)).replace(", (", " (", 1)


def _section(number: int, section: dict[str, Any]) -> Iterator[tuple[str, str]]:
    parts = [
        f"{section['byte_order']}-endian",
        section["hardware"] or "",
        section["os"] or "",
        section["application"] or "",
        _words.count(section["names"], "name") if section["names"] else "",
        _words.count(section["secrets"], "secret") if section["secrets"] else "",
        *(f"“{comment}”" for comment in section["comments"]),
    ]
    yield f"section {number}", ", ".join(filter(None, parts))


def _damage(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    places = report["damage"]
    if not report["damage_count"]:
        yield "damage", "none"
        return
    for place in places[:_PLACES]:
        skipped = f" ({_words.count(place['skipped'], 'byte')} skipped)" if place["skipped"] else ""
        where = "" if place["what"].startswith("frame ") else f"frame {place['frame']}: "
        yield "damage", f"{where}{place['what']}{skipped}"
    if (more := report["damage_count"] - _PLACES) > 0:
        yield "", f"and {_words.count(more)} more"
