"""`netfast check`: what is wrong or odd in a configuration."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from netfast.cli import _options, _words
from netfast.cli._output import uninterrupted
from netfast.cli.run import config_argument

__all__ = ["check"]

_USAGE = 2


@click.command()
@config_argument
@_options.json_option
@click.pass_context
def check(ctx: click.Context, config: str, as_json: bool) -> None:
    """What is wrong in CONFIG (errors), and what is odd (warnings), each with line and column.

    A CONFIG that ends in .nft, or begins as one, is rules alone. Status is 0 without errors, 2 with some.

    \b
    Examples:
      netfast check edge.toml
      netfast check edge.toml --json
      netfast check edge.nft
    """
    from netfast.stack import check as check_config

    findings = check_config(config)
    errors = sum(finding.severity == "error" for finding in findings)
    with uninterrupted():
        for finding in findings:
            if as_json:
                click.echo(json.dumps(asdict(finding)))
            else:
                click.echo(_words.plain(f"{finding.severity}: {finding}"))
        if not as_json:
            warnings = len(findings) - errors
            click.echo(f"{config}: {_words.count(errors, 'error')}, {_words.count(warnings, 'warning')}")
    if errors:
        ctx.exit(_USAGE)
