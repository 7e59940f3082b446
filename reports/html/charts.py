"""Lines over time as inline SVG, with the bands of faults behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reports.html.page import Html, element, join, text
from reports.load_model import Band

WIDTH, HEIGHT = 900, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 18, 24
_NAME_WIDTH = 26
"""A fault's name over its band takes so much; where there is less, every other is left out."""
_LETTER_WIDTH = 6.5


@dataclass(frozen=True, slots=True)
class Line:
    """A name and points (time in seconds, value); None is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def chart(
    title: str,
    lines: Sequence[Line],
    bands: Sequence[Band],
    *,
    load_s: float,
    lasted_s: float,
    said: Callable[[float], str],
) -> Html:
    """At most two lines; `said` writes a value on the axis. After `load_s` only what was under way goes on."""
    values = [value for line in lines for _, value in line.points if value is not None]
    if not values:
        return element("p", join([element("strong", text(f"{title} ")), text("nothing was measured")]), class_="quiet")
    most = max(values) or 1.0
    ticks = _ticks(most)
    top = ticks[-1]

    def x(at_s: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(at_s / max(lasted_s, 1e-9), 0), 1), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top, 1)

    parts = [
        *(_band(band, x) for band in bands),
        *_names(bands, x),
        *([_end_of_load(x(load_s))] if load_s < lasted_s else []),
        *(_level(value, y, said) for value in ticks),
        *(_moment(at_s, x) for at_s in _ticks(lasted_s) if at_s <= lasted_s),
        *(_drawn(line, kind, x, y) for line, kind in zip(lines, ("one", "two"), strict=False)),
    ]
    keys = [
        element("span", text(f"— {line.name}  "), class_=f"key-{kind}")
        for line, kind in zip(lines, ("one", "two"), strict=False)
    ]
    svg = element("svg", join(parts), viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    heading = element("p", join([element("strong", text(f"{title} ")), *keys]))
    return join([heading, element("div", svg, class_="wide")])


def _drawn(line: Line, kind: str, x: Callable[[float], float], y: Callable[[float], float]) -> Html:
    return join(
        element("polyline", points=" ".join(f"{x(at_s)},{y(value)}" for at_s, value in run), class_=kind)
        for run in _runs(line.points)
    )


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    """The stretches without a gap; a lone point becomes a short dash, or it would not be seen."""
    run: list[tuple[float, float]] = []
    for at_s, value in (*points, (math.inf, None)):
        if value is not None:
            run.append((at_s, value))
        elif run:
            yield run if len(run) > 1 else [run[0], (run[0][0] + 0.5, run[0][1])]
            run = []


def _band(band: Band, x: Callable[[float], float]) -> Html:
    left, right = x(band.from_s), x(band.to_s)
    told = element("title", text(f"{band.what}: {band.from_s:.1f} to {band.to_s:.1f} s"))
    width = max(round(right - left, 1), 2)
    return element("rect", told, x=left, y=_TOP, width=width, height=HEIGHT - _TOP - _BOTTOM, class_="band")


def _names(bands: Sequence[Band], x: Callable[[float], float]) -> Iterator[Html]:
    """The faults' names, by which the table beneath tells of them."""
    free_from = 0.0
    for band in sorted(bands, key=lambda band: band.from_s):
        name, colon, _ = band.what.partition(":")
        at = x(band.from_s)
        if colon and len(name) * _LETTER_WIDTH <= _NAME_WIDTH and free_from <= at <= WIDTH - _NAME_WIDTH:
            free_from = at + _NAME_WIDTH
            yield element("text", text(name), x=at, y=_TOP - 5)


def _end_of_load(at: float) -> Html:
    told = element("title", text("the load ends"))
    return element("line", told, x1=at, x2=at, y1=_TOP, y2=HEIGHT - _BOTTOM, class_="end")


def _level(value: float, y: Callable[[float], float], said: Callable[[float], str]) -> Html:
    at = y(value)
    rule = element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="axis")
    return join([rule, element("text", text(said(value)), x=_LEFT - 6, y=at + 4, text_anchor="end")])


def _moment(at_s: float, x: Callable[[float], float]) -> Html:
    told, at = f"{at_s:g} s", x(at_s)
    fits = at + len(told) * _LETTER_WIDTH / 2 <= WIDTH
    return element(
        "text",
        text(told),
        x=at if fits else WIDTH - 1,
        y=HEIGHT - 8,
        text_anchor="middle" if fits else "end",
    )


def _ticks(most: float) -> list[float]:
    """Round values from 0 to `most` or just above it, four to eight of them."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * 0.999)
    return [round(step * number, 12) for number in range(math.ceil(most / step - 1e-9) + 1)]
