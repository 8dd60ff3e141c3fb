"""How a command ends: every error is one line, every status has its meaning."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from netfast.capture import words_of_damage, words_of_unfiltered
from netfast.cli import _words
from netfast.errors import ConfigError, NetfastError

__all__ = ["Commands", "message", "one_line", "tell_damage", "tell_reassembly", "tell_unfiltered"]

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_USAGE = 2


class Commands(click.Group):
    """A group whose commands end with one line on standard error, not with a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        # What the terminal's encoding does not have is no reason to end.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            _let_go_of_stdout()
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the rows has had enough; that is no error of anybody's.
            _let_go_of_stdout()
            ctx.exit(_BROKEN_PIPE)
        except (NetfastError, OSError) as error:
            _let_go_of_stdout()
            message(one_line(error))
            ctx.exit(_USAGE if isinstance(error, ConfigError) else 1)


def message(text: str) -> None:
    """One line on standard error; options are called as they are on the command line."""
    text = " ".join(text.replace("lenient=True", "--lenient").split())
    click.echo(f"netfast: {_words.plain(text)}", err=True)


def tell_unfiltered(unfiltered: Mapping[int, int]) -> None:
    """One line about packets that the filter could not be asked about, if there were some."""
    if unfiltered:
        message(words_of_unfiltered(unfiltered))


def tell_damage(captures: Iterable[Mapping[str, Any]], lenient: bool) -> None:
    """One line for each damaged capture that was read on; without `lenient` there is an error instead."""
    for capture in captures if lenient else ():
        message(f"{words_of_damage(capture)}; netfast info --lenient has the details")


def tell_reassembly(counters: Mapping[str, Any]) -> None:
    """One line about fragments that did not become whole, or may have become the wrong whole, if there were some."""
    parts = [f"{count:,} {_words.fragments(reason)}" for reason, count in counters["dropped"].items()]
    if parts:
        message(f"fragments that are of no whole datagram: {', '.join(parts)}")
    if counters["checksum_bad"]:
        of = _words.count(counters["checksum_bad"], "reassembled datagram")
        message(f"{of} with a wrong transport checksum: perhaps fragments of two (RFC 4963)")


def one_line(error: BaseException) -> str:
    """What went wrong, with the file first where one is known."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    said = error.strerror or os.strerror(error.errno)
    return f"{error.filename}: {said}" if error.filename is not None else said


def _let_go_of_stdout() -> None:
    """Gives standard output to nobody when what it buffers cannot be written: it would raise again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        try:
            descriptor = sys.stdout.fileno()
        except (OSError, ValueError):
            return
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, descriptor)
        os.close(nobody)
