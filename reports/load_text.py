"""The result of a load for a terminal, and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from reports.load_model import LoadReport, Timing
from reports.plain import fit, pad, printable

VERSION = 1
SHOWN_MAX = 3
"""So many violations are told with their histories; the HTML report and JSON have more."""
_LINES_MAX = 30
_COLUMNS = 140
_HELD = {True: "held", False: "FAILED", None: "not judged"}


def render(report: LoadReport) -> str:
    """Verdict, what was measured, the gates, and what does not hold. Ends with a newline."""
    return "\n".join(_lines(report)) + "\n"


def render_json(report: LoadReport) -> str:
    """For programs. Ends with a newline."""
    return json.dumps({"version": VERSION, **asdict(report)}, indent=1) + "\n"


def _lines(report: LoadReport) -> Iterator[str]:
    yield f"{report.verdict.upper()} {printable(report.scenario)}: {printable(report.title)}"
    ended = ", ".join(f"{count} {printable(status)}" for status, count in sorted(report.statuses.items())) or "none"
    yield (
        f"  {report.operations} operations in {report.duration_s:g} s by {report.workers} "
        f"{'worker' if report.workers == 1 else 'workers'}; delegations: {ended}; "
        f"{report.judged} histories judged in {report.judging_s:.1f} s"
    )
    yield ""
    yield from _table(
        ("", "requests", "failed", "p50", "p95", "p99", "slowest"), [*map(_timing, (*report.timings, *report.actions))]
    )
    yield ""
    yield from _table(
        ("gate", "where", "allowed", "measured", ""),
        [
            (
                each.gate,
                each.where,
                each.allowed,
                each.measured,
                _HELD[each.held],
            )
            for each in report.gates
        ],
    )
    for reason in report.reasons:
        yield ""
        first, *more = reason.splitlines()
        yield f"  incomplete: {printable(first)}"
        yield from (f"    {printable(line)}" for line in more)
    if report.states_unknown:
        yield ""
        yield f"  not observed: how {report.states_unknown} of {report.accepted} delegations ended"
    if report.violations:
        yield ""
        yield "  violations: " + ", ".join(
            f"{printable(name)} {count}" for name, count in sorted(report.violations.items())
        )
    for finding in report.findings[:SHOWN_MAX]:
        yield ""
        yield f"  {printable(finding.invariant)} {printable(finding.sentence)}"
        for line in finding.lines[:_LINES_MAX]:
            yield fit(f"    {printable(line)}", _COLUMNS)
    if report.verdict != "passed":
        yield ""
        yield f"  again: {printable(report.replay)}"


def _timing(timing: Timing) -> tuple[str, ...]:
    times = (timing.p50_s, timing.p95_s, timing.p99_s, timing.slowest_s)
    return (timing.what, str(timing.count), str(timing.failed), *map(spoken, times))


def spoken(seconds: float | None) -> str:
    """A latency for a table."""
    if seconds is None:
        return "–"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[fit(printable(cell), 60) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    for row in shown:
        yield ("  " + "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True))).rstrip()
