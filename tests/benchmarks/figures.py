"""One measured figure beside its target, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Figure:
    """`measured` in `unit`; without a target it is told for information. None: not measured, `note` says why."""

    name: str
    measured: float | None
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How good it is against its target: 1 and more has met it."""
        if self.measured is None:
            return None
        if self.at_most is not None and not self.measured:
            return 1.0 if not self.at_most else inf
        if self.at_most is not None:
            return self.at_most / self.measured
        if self.at_least is not None:
            return self.measured / self.at_least
        return None


def table(title: str, figures: Iterable[Figure]) -> str:
    """The figures of one benchmark, a line each."""
    lines = [f"{title}", f"  {'':<46}{'measured':>16}{'target':>16}   ratio"]
    lines += [_line(figure) for figure in figures]
    return "\n".join(line.rstrip() for line in lines)


def _line(figure: Figure) -> str:
    if figure.measured is None:
        return f"  {figure.name:<46}not measured: {figure.note}"
    target = ""
    if figure.at_most is not None:
        target = f"<= {_number(figure.at_most)} {figure.unit}"
    elif figure.at_least is not None:
        target = f">= {_number(figure.at_least)} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} {'ok' if figure.ratio >= 1 else 'MISSED'}"
    measured = f"{_number(figure.measured)} {figure.unit}"
    return f"  {figure.name:<46}{measured:>16}{target:>16}   {ratio:<13}{figure.note}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
