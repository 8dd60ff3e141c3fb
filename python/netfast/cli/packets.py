"""`netfast packets`: one row a packet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from netfast._netfast import PACKET_COLUMNS
from netfast.capture import packets as read_packets
from netfast.cli import _options, _words
from netfast.cli._output import (
    LineSink,
    Sink,
    TextSink,
    ending_of,
    open_file,
    refuse_to_overwrite,
    standard_output,
)
from netfast.cli._run import message, tell_damage, tell_reassembly, tell_unfiltered
from netfast.cli._source import Bar, batches, call
from netfast.files import copy_counting, words_of_copy

__all__ = ["packets"]


@click.command()
@_options.files
@_options.output_option
@_options.filter_option
@click.option("--count", "-c", type=_options.COUNT, metavar="COUNT", help="Stop after so many packets.")
@click.option(
    "--write",
    "-w",
    metavar="FILE",
    help=f"Write the packets to this file in place of rows; {_options.FORMATS}",
)
@click.option("--inner", is_flag=True, help="Describe the innermost packet of tunnels, not the outermost.")
@click.option("--no-checksums", is_flag=True, help="Do not verify checksums; reading is faster.")
@_options.reassemble_option
@_options.times_option
@_options.json_option
@_options.reading
def packets(
    files: tuple[str, ...],
    output: str | None,
    text_addresses: bool,
    expression: str | None,
    count: int | None,
    write: str | None,
    inner: bool,
    no_checksums: bool,
    reassemble: bool,
    times: str,
    as_json: bool,
    lenient: bool,
    mmap: bool,
) -> None:
    """One row a packet: times, addresses, ports, flags, checksums.

    \b
    Examples:
      netfast packets capture.pcap
      netfast packets capture.pcap --filter 'udp port 53' --json
      netfast packets capture.pcap.gz -o packets.parquet
      netfast packets *.pcap --filter 'host 2001:db8::1' -w host.pcapng
    """
    refuse_to_overwrite(files, output, write)
    if write is not None:
        if output is not None or as_json:
            raise click.UsageError("-w writes packets, -o and --json write rows: give one of them")
        _options.refuse_unused(output, as_json, write)
        _write(files, write, expression, count, lenient, mmap)
        return
    _options.refuse_unused(output, as_json)
    if output is not None:
        ending_of(output)
    stream = read_packets(
        files,
        filter=expression,
        inner=inner,
        checksums=not no_checksums,
        text_addresses=text_addresses,
        mmap=mmap,
        lenient=lenient,
        reassemble=reassemble,
    )
    left = count
    try:
        with Bar(files) as bar, closing(_sink(stream, output, as_json, times)) as sink:
            source = stream._with_heads() if isinstance(sink, _Lines) else stream
            for batch in batches(source, sink.prepare, bar):
                rows = sink.write(batch, left)
                if left is not None and (left := left - rows) == 0:
                    break
    finally:
        tell_unfiltered(stream.unfiltered)
        tell_damage(stream.damage, lenient)
        if reassemble:
            tell_reassembly(stream.reassembly)


def _write(
    files: tuple[str, ...], target: str, expression: str | None, count: int | None, lenient: bool, mmap: bool
) -> None:
    if target == "-" and sys.stdout.isatty():
        raise click.UsageError("-w -: packets are no text for a terminal; send them to a file or a pipe")
    sys.stdout.flush()
    where: str | int = sys.stdout.fileno() if target == "-" else target
    with Bar(files) as bar:
        counts = call(
            lambda progress: copy_counting(
                files, where, filter=expression, limit=count, lenient=lenient, mmap=mmap, progress=progress
            ),
            bar,
        )
    for words in words_of_copy(counts["packets"], counts["cut"], counts["bared"]):
        message(f"{target}: {words}")
    tell_unfiltered(counts["unfiltered"])
    tell_damage(counts["damage"], lenient)
    if sys.stderr.isatty():
        click.echo(f"{_words.count(counts['packets'], 'packet')} written", err=True)


def _sink(stream: Any, output: str | None, as_json: bool, times: str) -> Sink:
    columns = tuple(PACKET_COLUMNS)
    if output is not None:
        return open_file(output, columns, stream)
    if as_json:
        return TextSink(standard_output(), "jsonl", columns)
    if not sys.stdout.isatty():
        return TextSink(standard_output(), "tsv", columns)
    return _Lines(_Line(times), _Line.HEADER)


class _Lines(LineSink):
    """Lines that also say what packets without ports are, which no column has."""

    def prepare(self, batch: Any) -> list[dict[str, Any]]:
        rows = super().prepare(batch)
        for row, head in zip(rows, batch._heads(), strict=True):
            row["headers"] = _headers(row, head) if head else {}
        return rows


def _headers(row: dict[str, Any], head: bytes) -> dict[str, dict[str, str]]:
    """The fields of the headers, in words; of several of a kind the innermost."""
    from netfast.packet import dissect

    tree = dissect(head, link=row["link_type"], wire_len=row["len"]).tree()
    named = (header for header in tree if header["header"] not in ("Payload", "Trailer"))
    return {header["header"]: {each["name"]: each["text"] for each in header["fields"]} for header in named}


class _Line:
    """A packet as a line for people."""

    HEADER = (
        f"{'frame':>7} {'time':>14} {'source':>24}   {'destination':24} {'protocol':9} {'length':>6}  info"
    )

    def __init__(self, times: str) -> None:
        self._clock = _words.Clock(times == "relative")

    def __call__(self, row: dict[str, Any]) -> str:
        link = row["headers"].get("Ethernet", {}) if row["ip_version"] is None else {}
        source = _words.endpoint(row["src"], row["src_port"]) or link.get("src", "")
        target = _words.endpoint(row["dst"], row["dst_port"]) or link.get("dst", "")
        protocol = _words.protocol(row["protocol"])
        if row["ip_version"] is None and row["headers"]:
            protocol = list(row["headers"])[-1].lower()
        head = f"{row['frame']:>7} {self._clock(row['time_ns']):>14} {source:>24} → {target:24} "
        return f"{head}{protocol:9} {row['len']:>6}  {_info(row)}".rstrip()


def _info(row: dict[str, Any]) -> str:
    """What is worth a word besides the columns of the line."""
    words = []
    if row["vlan"] is not None:
        words.append(f"vlan {row['vlan']}")
    words.extend(_kind(row))
    if row["tcp_flags"] is not None:
        words.append(f"[{_words.flag_letters(row['tcp_flags'])}]")
    if row["payload_len"]:
        words.append(f"{row['payload_len']} bytes")
    # Every IPv4 packet has an offset; one that is whole has 0 and no more to come.
    if row["more_fragments"] or row["fragment_offset"]:
        more = "+" if row["more_fragments"] else ""
        words.append(f"fragment {row['fragment_id']:#x} at {row['fragment_offset']}{more}")
    bad = [name for name, column in (("L3", "l3_checksum"), ("L4", "l4_checksum")) if row[column] == "bad"]
    if bad:
        words.append(click.style(f"bad {' and '.join(bad)} checksum", fg="red"))
    if row["verdict"] != "ok":
        words.append(click.style(row["verdict"].replace("_", " "), fg="yellow"))
    return ", ".join(words)


def _kind(row: dict[str, Any]) -> Iterator[str]:
    """What a packet without ports is: the type of ICMP, the question of ARP, the protocol that follows."""
    headers = row["headers"]
    icmp = headers.get({1: "ICMPv4", 58: "ICMPv6"}.get(row["protocol"] or 0, ""))
    if icmp is not None:
        yield _name(icmp["type"]) or f"type {icmp['type']}"
        if icmp["code"] != "0":
            yield _name(icmp["code"]) or f"code {icmp['code']}"
    elif (arp := headers.get("ARP")) is not None and row["ip_version"] is None:
        sender, target = arp.get("sender_ip", "?"), arp.get("target_ip", "?")
        answers = {
            "request": f"who has {target}, asks {sender}",
            "reply": f"{sender} is at {arp.get('sender_mac', '?')}",
        }
        yield answers.get(_name(arp["operation"]), f"operation {arp['operation']}")
    elif headers and row["ip_version"] is None:
        last = headers[list(headers)[-1]]
        follows = next(
            filter(None, map(last.get, ("ethertype", "subtype", "type", "protocol", "dsap"))), None
        )
        if follows is not None:
            yield _name(follows) or f"type {follows}"


def _name(text: str) -> str:
    """The name in `8 (echo request)`; nothing where the number has none."""
    return text.partition(" (")[2].removesuffix(")")
