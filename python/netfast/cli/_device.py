"""Devices on the command line: an interface, or a kind with its settings."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import click

from netfast._netfast import Device as _Native
from netfast.cli._output import refuse_to_overwrite
from netfast.ports import Device

__all__ = ["PORT_HELP", "open_device", "terminated"]

PORT_HELP = (
    "PORT is an interface of this system (eth0), or a kind of device with settings: tun:nf0, tap:nf0,mtu=9000, "
    "packet:eth0,netns=blue, unix:local=/run/a,remote=/run/b, unix-stream:/run/a,listen=true."
)

# What the first setting is called where it stands without a name.
_FIRST = {"tun": "name", "tap": "name", "packet": "interface", "unix-stream": "path", "capture": "replay"}
_KINDS = (*_FIRST, "unix", "udp")
_LISTS = ("addresses",)
_WORDS = {"true": True, "false": False}


def open_device(text: str, *, read: str | None = None, written: str | None = None) -> Device:
    """The device that a text names, beside a file that is read and one that is written meanwhile."""
    kind, colon, rest = text.partition(":")
    if not colon:
        kind, rest = "packet", text
    if kind not in _KINDS:
        raise click.UsageError(f"{text}: unknown kind {kind!r} of device; give one of {', '.join(_KINDS)}")
    settings: dict[str, Any] = {}
    for place, part in enumerate(filter(None, rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals and place == 0 and kind in _FIRST:
            key, value = _FIRST[kind], part
        elif not equals:
            raise click.UsageError(f"{text}: {part!r} is no setting; give name=value")
        settings[key] = _value(key, value)
    if kind == "capture":
        names = {key: str(settings[key]) for key in ("replay", "record") if key in settings}
        replayed = [names["replay"]] if "replay" in names else []
        if written is not None and "record" in names and _is_same(names["record"], written):
            raise click.UsageError(f"{written} would be written twice: give two names to record= and -w")
        refuse_to_overwrite(replayed, written)
        refuse_to_overwrite([*replayed, *filter(None, [read])], names.get("record"))
    device = Device.__new__(Device)
    device._native = _Native.open(kind, settings)
    return device


def _is_same(path: str, other: str) -> bool:
    """Whether two names are of one file, which need not be there yet."""
    try:
        return os.path.samefile(path, other) and os.path.isfile(path)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def _value(key: str, text: str) -> Any:
    """A setting's value; several addresses stand with + between them."""
    if key in _LISTS:
        return text.split("+")
    if text in _WORDS:
        return _WORDS[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


@contextlib.contextmanager
def terminated() -> Iterator[None]:
    """Within it SIGTERM ends a command as Ctrl-C does: in order, with its file complete."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
