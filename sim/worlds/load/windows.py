"""When faults were there: the windows by which a load is judged, and which every small history has to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from sim.history import Entry, FaultBegan, FaultEnded, NodeChanged

_SAME_S = 0.05
FaultEntry: TypeAlias = FaultBegan | FaultEnded | NodeChanged


@dataclass(frozen=True, slots=True)
class Span:
    """A fault, or a node that did not run: its entries, from the first to the last. `to_s` is infinite if it lasts."""

    what: str
    from_s: float
    to_s: float
    entries: tuple[FaultEntry, ...]

    def overlaps(self, from_s: float, to_s: float) -> bool:
        """Whether it was there at some time of a span, ends included."""
        return self.from_s <= to_s and self.to_s >= from_s


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which at least one fault was there, `what` says which."""

    what: str
    from_s: float
    to_s: float

    @property
    def label(self) -> str:
        """What was wrong, and when."""
        return f"{self.what} ({self.from_s:.1f}–{self.to_s:.1f} s)"


def spans_of(entries: Sequence[Entry]) -> tuple[Span, ...]:
    """Every fault and every time that a node did not run, by its beginning."""
    begun: dict[str, FaultBegan | NodeChanged] = {}
    spans: list[Span] = []
    for entry in entries:
        match entry:
            case FaultBegan(fault=name):
                begun[f"fault {name}"] = entry
            case NodeChanged(node=node, change="killed" | "paused"):
                begun.setdefault(f"node {node}", entry)
            case FaultEnded(fault=name):
                _end(spans, begun, f"fault {name}", entry)
            case NodeChanged(node=node):
                _end(spans, begun, f"node {node}", entry)
            case _:
                pass
    spans += [Span(_what(entry), entry.at_s, inf, (entry,)) for entry in begun.values()]
    return tuple(sorted(spans, key=lambda span: span.from_s))


def spans_about(spans: Sequence[Span], from_s: float, to_s: float) -> Iterator[Span]:
    """Those of a time, and the last one of all to end: that there was one at all matters to every history."""
    last = max(spans, key=lambda span: span.to_s, default=None)
    for span in spans:
        if span is last or span.overlaps(from_s, to_s):
            yield span


def windows_of(spans: Sequence[Span], ended_s: float) -> list[Window]:
    """Spans that touch each other are one window. `ended_s`: when the load ended, for those that last."""
    windows: list[Window] = []
    for span in sorted(spans, key=lambda span: span.from_s):
        to_s = min(span.to_s, ended_s)
        if span.from_s >= ended_s:
            continue
        if windows and span.from_s <= windows[-1].to_s + _SAME_S:
            before = windows[-1]
            # That a node went down is what the fault beside it says already.
            is_said = isinstance(span.entries[0], NodeChanged) and span.from_s - before.from_s <= _SAME_S
            what = before.what if is_said else f"{before.what}; {span.what}"
            windows[-1] = Window(what, before.from_s, max(before.to_s, to_s))
        else:
            windows.append(Window(span.what, span.from_s, to_s))
    return windows


def _end(
    spans: list[Span], begun: dict[str, FaultBegan | NodeChanged], key: str, entry: FaultEnded | NodeChanged
) -> None:
    if (first := begun.pop(key, None)) is not None:
        spans.append(Span(_what(first), first.at_s, entry.at_s, (first, entry)))


def _what(entry: FaultBegan | NodeChanged) -> str:
    return entry.what if isinstance(entry, FaultBegan) else f"{entry.node} {entry.change}"
