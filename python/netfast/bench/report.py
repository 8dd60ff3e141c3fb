"""The experiment with identifications that come round as a page: a plot, a table, and how it was made, all in one file.

Needs plotly: `pip install 'netfast[report]'`. The page fetches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from netfast.bench import idwrap
from netfast.errors import NetfastError

__all__ = ["drawing", "need_plotly", "page"]

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
_IPV6 = "#9467bd"
_LABELS = {"0.1%": "0.1 % lost", "1%": "1 % lost", "1%_bursts": "1 % lost, bursts of 10"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.on { color: #070 }
"""


def need_plotly() -> str:
    """Its version; `NetfastError` where it is not installed."""
    try:
        import plotly
    except ImportError:
        text = "the page is made by plotly, which is not installed: pip install 'netfast[report]'"
        raise NetfastError(text) from None
    return str(plotly.__version__)


def page(lines: Iterable[dict[str, Any]]) -> str:
    """The lines of `netfast bench idwrap` as HTML."""
    version = need_plotly()
    lines = [line for line in lines if line["bench"] == "idwrap"]
    runs = [line for line in lines if "rate" in line]
    figure = _figure(runs)
    plot = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    head = f'<meta charset="utf-8"><title>Identifications that come round</title><style>{_STYLE}</style>'
    body = "\n".join(
        (
            "<h1>Identifications that come round</h1>",
            *(f"<p>{text}</p>" for text in _told(runs, lines)),
            plot,
            _table(runs),
            f"<p>Made by <code>netfast bench idwrap --html</code>; plot by plotly {escape(version)}.</p>",
        )
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _told(runs: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> Iterable[str]:
    yield (
        "A sender sends UDP datagrams of 1,500 bytes in two fragments, with identifications one after the other; the "
        "network loses some fragments; the receiver waits 30 s for what is missing (60 s with IPv6). When the "
        "identifications have come round before that, halves of two datagrams are joined (RFC 4963), and the 16-bit "
        "checksum lets one in 65,535 of these pass. <b>Off</b>: nothing but the timer. <b>On</b>: netfast's defaults."
    )
    yield (
        "Points are datagrams that were delivered with bytes other than those sent, with 95 % intervals; lines are the "
        "same by arithmetic. A triangle that points down is a run with none: it stands where the interval ends. Time "
        "is virtual."
    )
    for line in lines:
        if "rate" in line:
            continue
        low, high = line["min"] * line["sent"] / 1e6, line["max"] * line["sent"] / 1e6
        yield (
            f"<b>{'On' if line['protected'] else 'Off'}</b>, all runs: {line['sent']:,} datagrams sent in "
            f"{line['virtual_s']:,.0f} s of virtual time, {line['corrupted'] + line['caught']:,} joined wrongly "
            f"({line['expected_wrong']:,.0f} expected without protections), {line['corrupted']:,} of these delivered "
            f"({line['expected_corrupted']:,.1f} expected of as many; 95 % interval {low:,.1f} to {high:,.1f})."
        )


def _figure(runs: Sequence[dict[str, Any]]) -> Any:
    from plotly.graph_objects import Figure

    figure = Figure()
    for loss, colour in zip(idwrap.LOSSES, _COLOURS, strict=True):
        _curve(figure, 4, loss, colour)
        for protected in (False, True):
            _points(
                figure,
                [run for run in runs if _is(run, False, loss.name, protected)],
                loss.name,
                colour,
                protected,
            )
    loss = idwrap.LOSSES[1]
    _curve(figure, 6, loss, _IPV6)
    for protected in (False, True):
        _points(
            figure,
            [run for run in runs if _is(run, True, loss.name, protected)],
            loss.name,
            _IPV6,
            protected,
            "IPv6, ",
        )
    for version in (4, 6):
        limit = idwrap.limit(version)
        figure.add_vline(x=limit, line={"dash": "dot", "color": "#888"})
        figure.add_annotation(
            # On a logarithmic axis an annotation's place is a power.
            x=math.log10(limit),
            y=1,
            yref="paper",
            text=f"IPv{version}: {idwrap.rate_name(limit)}b/s",
            showarrow=False,
            yanchor="bottom",
        )
    figure.update_layout(
        template="plotly_white",
        height=650,
        xaxis={
            "type": "log",
            "title": "sender, bits of datagrams a second",
            "tickformat": "~s",
            "range": [6.9, 12.2],
        },
        yaxis={
            "type": "log",
            "title": "delivered corrupted, of a million sent",
            "tickformat": "~g",
            # At 1, 2 and 5 of each power: other labels run into each other.
            "dtick": "D2",
        },
        legend={"orientation": "h", "y": -0.15},
    )
    return figure


def _is(run: dict[str, Any], ipv6: bool, network: str, protected: bool) -> bool:
    return (run["ipv6"], run["network"], run["protected"]) == (ipv6, network, protected)


def _curve(figure: Any, version: int, loss: idwrap.Loss, colour: str) -> None:
    """What arithmetic says of every rate; zero is not on a logarithmic axis."""
    points = [(rate, idwrap.Run(version, rate, loss, False).expected_per_million()) for rate in _rates()]
    points = [(rate, value) for rate, value in points if value > 0]
    if points:
        figure.add_scatter(
            x=[rate for rate, _ in points],
            y=[value for _, value in points],
            mode="lines",
            line={"color": colour},
            name=f"{'IPv6, ' if version == 6 else ''}{_LABELS[loss.name]}: off, arithmetic",
        )


def _points(
    figure: Any, runs: Sequence[dict[str, Any]], network: str, colour: str, protected: bool, family: str = ""
) -> None:
    if not runs:
        return
    shown = [run["value"] or run["max"] for run in runs]
    # Open where there are protections; a triangle where nothing was corrupted.
    symbols = ["circle" if run["corrupted"] else "triangle-down" for run in runs]
    figure.add_scatter(
        x=[run["rate"] for run in runs],
        y=shown,
        mode="markers",
        marker={
            "color": colour,
            "size": 10,
            "symbol": [f"{symbol}-open" if protected else symbol for symbol in symbols],
        },
        error_y={
            "array": [
                run["max"] - value if run["corrupted"] else 0 for run, value in zip(runs, shown, strict=True)
            ],
            "arrayminus": [
                value - run["min"] if run["corrupted"] else 0 for run, value in zip(runs, shown, strict=True)
            ],
            "thickness": 1,
        },
        text=[
            f"{run['corrupted']} of {run['sent']:,} corrupted, {run['corrupted'] + run['caught']:,} joined wrongly"
            for run in runs
        ],
        hovertemplate="%{x:~s}b/s: %{text}",
        name=f"{family}{_LABELS[network]}: {'on' if protected else 'off'}, measured",
    )


def _table(runs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in idwrap.cells(run))
        rows.append(f"<tr{' class=on' if run['protected'] else ''}>{cells}</tr>")
    names = "".join(f"<th>{escape(name)}</th>" for name in idwrap.CELLS)
    return (
        f"<div class=wide><table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


# Of the drawing: its size, margins, and powers of ten on both axes.
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 800, 440, 70, 44, 20, 110
_X, _Y = (7, 12.3), (-2, 1.3)


def drawing(lines: Iterable[dict[str, Any]]) -> str:
    """The plot alone as SVG, without plotly: what was measured without protections, and what arithmetic says.

    With protections it has one line: where the 95 % interval of all runs ends.
    """
    lines = [line for line in lines if line["bench"] == "idwrap"]
    parts = [*_axes()]
    curves = [(4, loss, colour) for loss, colour in zip(idwrap.LOSSES, _COLOURS, strict=True)]
    curves.append((6, idwrap.LOSSES[1], _IPV6))
    for at, (version, loss, colour) in enumerate(curves):
        rates = [rate for rate in _rates() if rate < 10 ** _X[1]]
        values = [(rate, idwrap.Run(version, rate, loss, False).expected_per_million()) for rate in rates]
        path = " ".join(f"{_x(rate):.1f},{_y(value):.1f}" for rate, value in values if value > 0)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for run in (line for line in lines if "rate" in line and _is(line, version == 6, loss.name, False)):
            x = _x(run["rate"])
            if run["corrupted"]:
                parts.append(
                    f'<path d="M{x:.1f} {_y(run["min"]):.1f}V{_y(run["max"]):.1f}" stroke="{colour}"/>'
                )
                parts.append(f'<circle cx="{x:.1f}" cy="{_y(run["value"]):.1f}" r="4" fill="{colour}"/>')
        name = f"IPv{version}, off, {_LABELS[loss.name]}"
        parts.append(_legend(at, colour, name))
    for line in lines:
        if "rate" not in line and line["protected"]:
            y = _y(line["max"])
            parts.append(
                f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#555" stroke-dasharray="6 4"/>'
            )
            name = f"on: {line['corrupted']} of {line['sent']:,}, so fewer than this (95 %)"
            parts.append(_legend(len(curves), "#555", name))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
    )
    return (
        f'{head}font-size="12"><rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _rates() -> list[float]:
    """Those that curves are drawn through; the places where they begin are among them."""
    return sorted(
        [10 ** (7 + step / 60) for step in range(330)] + [idwrap.limit(version) * 1.001 for version in (4, 6)]
    )


def _x(rate: float) -> float:
    return _LEFT + (math.log10(rate) - _X[0]) / (_X[1] - _X[0]) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    part = (math.log10(max(value, 10 ** _Y[0])) - _Y[0]) / (_Y[1] - _Y[0])
    return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> Iterable[str]:
    floor = _HEIGHT - _BOTTOM
    for power in range(7, 13):
        x = _x(10.0**power)
        yield f'<path d="M{x:.1f} {_TOP}V{floor}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{idwrap.rate_name(10.0**power)}b/s</text>'
    for power in (-2, -1, 0, 1):
        y = _y(10.0**power)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
    for version in (4, 6):
        x = _x(idwrap.limit(version))
        yield f'<path d="M{x:.1f} {_TOP}V{floor}" stroke="#888" stroke-dasharray="2 3"/>'
        text = f"IPv{version} comes round: {idwrap.rate_name(idwrap.limit(version))}b/s"
        anchor = "start" if version == 4 else "end"
        yield f'<text x="{x:.1f}" y="{_TOP - 6}" text-anchor="{anchor}">{text}</text>'
    yield f'<text x="{_LEFT}" y="14" font-weight="bold">delivered corrupted, of a million sent</text>'


def _legend(at: int, colour: str, name: str) -> str:
    x, y = _LEFT + at % 2 * 350, _HEIGHT - _BOTTOM + 40 + at // 2 * 20
    line = f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2"/>'
    return f'{line}<text x="{x + 30}" y="{y}">{escape(name)}</text>'
