"""Agreement of the two worlds, for a person: one line a scenario, then one block for each difference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reports.plain import pad, printable, width

VERSION = 1
Answer: TypeAlias = Literal["agrees", "differs", "undecided", "not played"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario. `reason` says why it was not played, or not to a decision.

    `simulated` and `live` are where the histories part first. `left_open`: what came out as in no simulated run, but as
    the scenario allows.
    """

    path: str
    answer: Answer
    time_scale: float = 1.0
    live_s: float = 0.0
    reason: str = ""
    differences: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()
    simulated: str | None = None
    live: str | None = None
    replay: str = ""


def render(results: Sequence[Compared]) -> str:
    """For a terminal. Ends with a newline."""
    names = max((width(printable(each.path)) for each in results), default=0)
    lines = [f"{each.answer:<11} {pad(printable(each.path), names)}  {_how(each)}" for each in results]
    blocks = ["\n".join(_block(each)) for each in results if each.answer in ("differs", "undecided")]
    counts: dict[Answer, int] = {}
    for each in results:
        counts[each.answer] = counts.get(each.answer, 0) + 1
    total = f"{len(results)} scenarios: " + ", ".join(f"{count} {answer}" for answer, count in counts.items())
    return "\n\n".join(["\n".join(lines), *blocks, total]) + "\n"


def render_json(results: Sequence[Compared], components: Mapping[str, str]) -> str:
    """For programs. Ends with a newline."""
    scenarios = [
        {
            "scenario": each.path,
            "answer": each.answer,
            "time_scale": each.time_scale,
            "live_s": round(each.live_s, 3),
            "reason": each.reason,
            "differences": list(each.differences),
            "left_open": list(each.left_open),
            "diverges": {"simulated": each.simulated, "live": each.live},
        }
        for each in results
    ]
    return json.dumps({"version": VERSION, "components": dict(components), "scenarios": scenarios}, indent=2) + "\n"


def _how(each: Compared) -> str:
    if each.reason:
        return printable(each.reason)
    told = f"{each.live_s:5.1f} s, {each.time_scale:g} scenario seconds a second"
    return f"{told}; otherwise where it is left open: {len(each.left_open)}" if each.left_open else told


def _block(each: Compared) -> Iterator[str]:
    yield f"{each.answer}: {printable(each.path)}"
    yield from (f"  {printable(difference)}" for difference in each.differences)
    if each.simulated is not None or each.live is not None:
        yield "  the histories part here:"
        yield f"    simulated  {each.simulated or '(nothing more of this actor)'}"
        yield f"    live       {each.live or '(nothing more of this actor)'}"
    yield f"  both histories: {each.replay}"
