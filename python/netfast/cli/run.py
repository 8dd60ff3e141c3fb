"""`netfast run`: captures through a node."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netfast.cli import _options, _words
from netfast.cli._output import refuse_to_overwrite, uninterrupted
from netfast.cli._run import message, tell_damage
from netfast.cli._source import Bar, call
from netfast.errors import ConfigError
from netfast.node.views import Event, RunResult

if TYPE_CHECKING:
    from netfast.stack import Stack

__all__ = ["INPUT", "by_port", "config_argument", "configured", "run", "without_quotes"]

# Differences and missed ends that are shown; --json has them all.
_SHOWN = 10
# Files that a run writes besides one for each port.
_LOCAL = "local.pcapng"
_RULES = "rules, with the packets that matched them:"
_QUOTED = re.compile(r'"[^"]*"')
_SETS = re.compile(r"\{[^}]*\}")
# The verdict of a rule that drops what it matches; in a map it holds for some packets only.
_DROPS = re.compile(r"\b(drop|reject)\b")


class _PortFile(click.ParamType):  # type: ignore[type-arg]
    """A port and a capture of it."""

    name = "input"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        port, equals, path = str(value).partition("=")
        if not (port and equals and path):
            self.fail(f"{value}: give PORT=FILE, such as lan=clients.pcapng", parameter, context)
        return port, path


INPUT = _PortFile()


def by_port(option: str, given: Iterable[tuple[str, str]], remedy: str) -> dict[str, str]:
    """What was given for ports, each once."""
    found: dict[str, str] = {}
    for port, path in given:
        if port in found:
            raise click.UsageError(f"{option} {port}=… is given twice; {remedy}")
        found[port] = path
    return found


def without_quotes(rule: str) -> str:
    """A rule without comments, prefixes and names, in which any word may stand."""
    return _QUOTED.sub("", rule)


def no_standard_input(context: click.Context, parameter: click.Parameter, path: str) -> str:
    """A configuration is a file: rules_file is looked for beside it."""
    if path == "-":
        raise click.UsageError("CONFIG is a file; standard input cannot be one")
    return path


def configured(config: str, verify: bool = False) -> Stack:
    """The node of a configuration; of several mistakes the first is told, and where the others are shown."""
    from netfast.node.configuration import is_ruleset, read_text
    from netfast.stack import Stack

    try:
        return Stack.from_toml(config, verify=verify)
    except ConfigError as error:
        # A pipe cannot be read again.
        if os.path.isfile(config) and is_ruleset(config, read_text(config)):
            rules = json.dumps(os.path.basename(config))
            raise ConfigError(
                f"{config}: this is a file of rules; a node has ports and routes, too: give a configuration in TOML "
                f"with rules_file = {rules}"
            ) from None
        if not error.others:
            raise
        more = f"{len(error.others)} more, see netfast check {config}"
        raise ConfigError(f"{error} ({more})") from None


config_argument = click.argument("config", metavar="CONFIG", callback=no_standard_input)


@click.command()
@config_argument
@click.option(
    "--in",
    "inputs",
    type=INPUT,
    multiple=True,
    metavar="PORT=FILE",
    help="A capture that comes in at a port; may be given more than once. Without any the node serves its live ports.",
)
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Serve live ports for so long; without it until Ctrl-C or SIGTERM.",
)
@click.option("--user", metavar="NAME", help="Open the live ports, then go on as this user.")
@click.option(
    "--out",
    metavar="DIR",
    help=f"Write what leaves by each port to DIR/PORT.pcapng, and what is for the node itself to DIR/{_LOCAL}. "
    "Files of these names are overwritten, but for those that are read.",
)
@click.option(
    "--tap",
    "taps",
    type=INPUT,
    multiple=True,
    metavar="PORT=FILE",
    help="Write what comes in and goes out at a port to this pcapng file, overwriting it; packets that are dropped "
    "say why in their comments.",
)
@click.option("--rules", "show_rules", is_flag=True, help="Show every rule and how many packets it matched.")
@click.option("--log", "show_log", is_flag=True, help="Show what rules logged.")
@click.option(
    "--verify", is_flag=True, help="Decide every packet twice and tell each difference; status 1 then."
)
@_options.json_option
@click.option("--lenient", is_flag=True, help="Go on after damage where the format allows it.")
@click.pass_context
def run(
    ctx: click.Context,
    config: str,
    inputs: tuple[tuple[str, str], ...],
    seconds: float | None,
    user: str | None,
    out: str | None,
    taps: tuple[tuple[str, str], ...],
    show_rules: bool,
    show_log: bool,
    verify: bool,
    as_json: bool,
    lenient: bool,
) -> None:
    """Captures through the node that CONFIG describes, in the order of their times; or without --in its live ports.

    Live, it shows each second what goes through the ports (with --json as one object a line), with --log what rules
    log as it comes, and with --rules their counts at the end. It ends with Ctrl-C or SIGTERM: what waits may still
    leave, and devices, namespaces and rules are as they were before.

    \b
    Examples:
      netfast run router.toml
      netfast run router.toml --for 60 --json --user nobody
      netfast run edge.toml --in lan=clients.pcapng --out out/
      netfast run edge.toml --in lan=a.pcap --in wan=b.pcap --rules --tap wan=tap.pcapng
      netfast run edge.toml --in lan=a.pcap --in wan=b.pcap --verify --json
    """
    if not inputs:
        _options.refuse(("out", "lenient"), "is about captures: give --in, too")
        if as_json:
            _options.refuse(("show_log",), "adds nothing to --json, which has an object for each event")
        tapped = by_port("--tap", taps, "a port has one tap")
        _serve(ctx, config, tapped, seconds, user, verify, as_json, show_rules, show_log)
        return
    _options.refuse(("seconds", "user"), "is about live ports, and --in gives captures")
    captures = by_port("--in", inputs, "merge the captures with netfast packets -w")
    tapped = by_port("--tap", taps, "a port has one tap")
    files = list(captures.values())
    if files.count("-") > 1:
        raise click.UsageError("standard input (-) is named twice; it can be read once")
    if as_json:
        _options.refuse(("show_rules", "show_log"), "adds nothing to --json, which has rules and log")
    stack = configured(config, verify)
    _check_written(stack, [config, *_rules_files(config), *files], out, tapped)
    # Leaving it completes the taps.
    with stack, Bar(files) as bar:
        for port, path in tapped.items():
            stack.tap(port, path)
        result = call(lambda progress: stack.run(captures, out=out, lenient=lenient, progress=progress), bar)
    with uninterrupted():
        events = stack.events()
        if as_json:
            click.echo(json.dumps(_data(result, stack, events, tapped)))
        else:
            lines = _lines(result, stack, events, tapped, show_rules, show_log)
            click.echo("\n".join(_words.plain(line) for text in lines for line in text.split("\n")))
    tell_damage(result.damage, lenient)
    if result.differences or not result.conserved:
        message(
            "the cache and the tables differ; this is a defect of netfast"
            if result.differences
            else "lost packets"
        )
        ctx.exit(1)


def _serve(
    ctx: click.Context,
    config: str,
    tapped: Mapping[str, str],
    seconds: float | None,
    user: str | None,
    verify: bool,
    as_json: bool,
    show_rules: bool,
    show_log: bool,
) -> None:
    """The live ports of a configuration."""
    from netfast.cli._live import Screen, control_of, serve_shown

    stack = configured(config, verify)
    if not any(port.get("device") for port in stack.ports()):
        raise ConfigError(
            f"{config}: no port has a device, so there is nothing to serve; give a port one, such as "
            'device = { kind = "tun", name = "nf0" }, or captures with --in',
            option="device",
        )
    _check_written(stack, [config, *_rules_files(config)], None, tapped)
    with stack, control_of(stack, config) as control:
        stack.open_ports()
        for port, path in tapped.items():
            stack.tap(port, path)
        if user is not None:
            if control is not None:
                control.give(user)
            stack.drop_privileges(user)
        screen = Screen(stack, as_json, show_log)
        try:
            serve_shown(stack, control, screen, seconds)
        finally:
            # After Ctrl-C, too.
            _tell_rules(stack, as_json, show_rules, screen.unshown)
        differences = stack.differences()
    for line in differences[:_SHOWN]:
        message(line)
    if differences or not stack.counters.conserved:
        message(
            "the cache and the tables differ; this is a defect of netfast" if differences else "lost packets"
        )
        ctx.exit(1)


def _tell_rules(stack: Stack, as_json: bool, show_rules: bool, unshown: int) -> None:
    """What rules of live ports matched, and how much of their log was not shown."""
    lines = [json.dumps({"rules": stack.rules()})] if as_json and show_rules else []
    if show_rules and not as_json:
        lines += [_words.plain(line) for text in _table(_RULES, stack.rules()) for line in text.split("\n")]
    if unshown:
        lines.append(_not_shown(unshown))
    if lines:
        with uninterrupted():
            click.echo("\n".join(lines))


def _rules_files(config: str) -> list[str]:
    """The file of rules that a configuration names."""
    if not os.path.isfile(config):
        return []
    with open(config, "rb") as file:
        named = tomllib.load(file).get("rules_file")
    return [] if named is None else [os.path.join(os.path.dirname(config), named)]


def _check_written(stack: Stack, read: list[str], out: str | None, tapped: Mapping[str, str]) -> None:
    """What is written is nothing that is read, and each file has one writer."""
    written = list(tapped.values())
    if "-" in written:
        raise click.UsageError("--tap: standard output has the results; name a file")
    if out is not None:
        written += [os.path.join(out, f"{port['name']}.pcapng") for port in stack.ports()]
        written.append(os.path.join(out, _LOCAL))
    places = [os.path.realpath(path) for path in written]
    for path, place in zip(written, places, strict=True):
        if places.count(place) > 1:
            raise click.UsageError(f"{path} would be written twice; give another name to --tap")
    refuse_to_overwrite(read, *written)


def _data(
    result: RunResult, stack: Stack, events: list[Event], tapped: Mapping[str, str]
) -> dict[str, object]:
    return {
        **asdict(result),
        # The node is new: its counts are those of the run, with bytes and reasons.
        "ports": stack.counters.ports,
        "conserved": result.conserved,
        "unresolved": [{"port": port, "ip": ip} for port, ip in _unresolved(events)],
        "rules": stack.rules(),
        "log": [{"time_ns": event.time_ns, **event.details} for event in _logged(events)],
        "missed_events": _missed(events),
        "taps": dict(tapped),
    }


def _logged(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "log"]


def _missed(events: list[Event]) -> int:
    return sum(event.details["count"] for event in events if event.kind == "missed")


def _unresolved(events: list[Event]) -> list[tuple[str, str]]:
    """The neighbours, by port, whose link addresses are not known; packets for them wait."""
    asked = [event.details for event in events if event.kind == "unresolved_neighbour"]
    return list(dict.fromkeys((details["port"], details["ip"]) for details in asked))


def _lines(
    result: RunResult,
    stack: Stack,
    events: list[Event],
    tapped: Mapping[str, str],
    show_rules: bool,
    show_log: bool,
) -> Iterator[str]:
    """The result for people."""
    yield result.summary()
    yield from (f"tap {port}: {path}" for port, path in tapped.items())
    rules = stack.rules()
    if show_rules:
        yield from _table(_RULES, rules)
    else:
        yield from _table("dropped by rules:", [rule for rule in rules if rule["hits"] and _drops(rule)])
    yield from _log(events, show_log)
    unresolved = [f"  {ip} at {port}" for port, ip in _unresolved(events)]
    if unresolved:
        yield "unresolved neighbours; packets for them wait until the configuration says their mac:"
    yield from _first(unresolved)
    yield from _first(result.differences)


def _first(lines: list[str]) -> Iterator[str]:
    """The first of some lines, and how many more there are."""
    yield from lines[:_SHOWN]
    if (more := len(lines) - _SHOWN) > 0:
        yield f"and {_words.count(more)} more"


def _drops(rule: Mapping[str, Any]) -> bool:
    """Whether a rule drops all that it matches."""
    return _DROPS.search(_SETS.sub("", without_quotes(rule["text"]))) is not None


def _table(title: str, rules: list[dict[str, Any]]) -> Iterator[str]:
    """Rules with their hits and places, if there are some."""
    if rules:
        yield title
    width = max((len(_words.count(rule["hits"])) for rule in rules), default=0)
    for rule in rules:
        line = "" if rule["line"] is None else f" line {rule['line']}"
        place = f"{rule['table']} {rule['chain']}{line}"
        yield f"  {_words.count(rule['hits']):>{width}}  {place}: {rule['text']}"


def _not_shown(count: int) -> str:
    return f"log: {_words.count(count, 'line')}, which --log shows"


def _log(events: list[Event], shown: bool) -> Iterator[str]:
    """What rules logged: all of it, or how much."""
    logged = _logged(events)
    if logged and not shown:
        yield _not_shown(len(logged))
    elif logged:
        yield "log:"
        yield from (f"  {event}" for event in logged)
    if missed := _missed(events):
        yield f"{_words.count(missed, 'event')} more than max_events were not kept, log lines perhaps among them"
