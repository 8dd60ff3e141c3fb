"""What commands have in common that read captures, change packets, and write one capture: `collate`, `defrag`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from netfast.cli import _options
from netfast.cli._output import refuse_to_overwrite
from netfast.cli._run import tell_damage, tell_unfiltered
from netfast.cli._source import Bar, call

__all__ = ["from_files", "rewrite"]

_F = TypeVar("_F", bound=Callable[..., Any])
_Work = Callable[[str | int, Callable[[int, int], None]], dict[str, Any]]


def from_files(function: _F) -> _F:
    """FILE… OUT, --filter."""
    # Whichever of the two is missing, all that there is goes to OUT, which is where that is told.
    target = click.argument("target", metavar="OUT", required=False, callback=_told_apart)
    return _options.files(target(_options.filter_option(function)), required=False)


def _told_apart(context: click.Context, parameter: click.Parameter, target: str | None) -> str:
    """OUT, unless it or FILE... is missing."""
    if target is not None and context.params["files"]:
        return target
    files = next(each for each in context.command.params if each.name == "files")
    raise click.MissingParameter(ctx=context, param=files if target is None else parameter)


def rewrite(files: tuple[str, ...], target: str, lenient: bool, work: _Work) -> dict[str, Any]:
    """What `work` did; it is given where to write, a path or a descriptor, and whom to tell its progress."""
    refuse_to_overwrite(files, target)
    if target == "-" and sys.stdout.isatty():
        raise click.UsageError("OUT is -: packets are no text for a terminal; send them to a file or a pipe")
    sys.stdout.flush()
    where: str | int = sys.stdout.fileno() if target == "-" else target
    with Bar(files) as bar:
        told = call(lambda progress: work(where, progress), bar)
    tell_unfiltered(told["unfiltered"])
    tell_damage(told["damage"], lenient)
    return told
