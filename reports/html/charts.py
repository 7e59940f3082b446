"""Lines over time as inline SVG, with the bands of faults behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reports.html.page import Html, element, join, text
from reports.load_model import Band

WIDTH, HEIGHT = 900, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 10, 24


@dataclass(frozen=True, slots=True)
class Line:
    """A name and points (time in seconds, value); None is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def chart(
    title: str, lines: Sequence[Line], bands: Sequence[Band], *, lasted_s: float, said: Callable[[float], str]
) -> Html:
    """At most two lines; `said` writes a value on the axis."""
    values = [value for line in lines for _, value in line.points if value is not None]
    most = max(values, default=0.0) or 1.0
    ticks = _ticks(most)
    top = ticks[-1]

    def x(at_s: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(at_s / max(lasted_s, 1e-9), 0), 1), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top, 1)

    parts = [
        *(_band(band, x) for band in bands),
        *(_level(value, y, said) for value in ticks),
        *(_moment(at_s, x) for at_s in _ticks(lasted_s)),
        *(_drawn(line, kind, x, y) for line, kind in zip(lines, ("one", "two"), strict=False)),
    ]
    keys = [
        element("span", text(f"— {line.name}  "), class_=f"key-{kind}")
        for line, kind in zip(lines, ("one", "two"), strict=False)
    ]
    svg = element("svg", join(parts), viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    return join([element("p", join([element("strong", text(f"{title} ")), *keys])), svg])


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


def _level(value: float, y: Callable[[float], float], said: Callable[[float], str]) -> Html:
    at = y(value)
    rule = element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="axis")
    return join([rule, element("text", text(said(value)), x=_LEFT - 6, y=at + 4, text_anchor="end")])


def _moment(at_s: float, x: Callable[[float], float]) -> Html:
    return element("text", text(f"{at_s:g} s"), x=x(at_s), y=HEIGHT - 8, text_anchor="middle")


def _ticks(most: float) -> list[float]:
    """Round values from 0 to `most` or just above it, four to eight of them."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * 0.999)
    return [round(step * number, 12) for number in range(math.ceil(most / step - 1e-9) + 1)]
