"""Results for a person at a terminal: one line a scenario, then one block for each that did not pass.

A block ends with the one command that plays the run again. Colour only says again what words already say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Literal, TextIO, TypeAlias

from reports.model import RunReport, ScenarioResult, Summary
from reports.plain import fit, pad, printable, width
from sim.invariants.verdict import Verdict

WIDTH_MIN = 40
_MINUTE_S, _HOUR_S = 60.0, 3600.0

Style: TypeAlias = Literal["passed", "failed", "inconclusive", "quiet"]
_CODES: Mapping[Style, str] = {"passed": "32", "failed": "31;1", "inconclusive": "33", "quiet": "2"}
_ORDER: tuple[Verdict, ...] = ("passed", "failed", "inconclusive")


def colour_wanted(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Colour for a terminal only, and not if NO_COLOR is set to anything (no-color.org) or TERM is dumb."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def render(summary: Summary, *, columns: int = 100, colour: bool = False) -> str:
    """The table, the blocks of scenarios that did not pass, what was not observed, and one line of counts.

    Ends with a newline.
    """
    parts = [table(summary, columns=columns, colour=colour)]
    for result in summary.scenarios:
        if result.verdict != "passed":
            parts.append(block(result.worst, columns=columns, colour=colour))
    parts.append("\n".join(_not_observed(summary, columns=columns)))
    parts.append(_counts(summary, colour=colour))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(summary: Summary, *, columns: int = 100, colour: bool = False) -> str:
    """One line a scenario: verdict, name, runs passed of all, virtual time of all, title."""
    results = summary.scenarios
    if not results:
        return ""
    cells = [(result, printable(result.worst.scenario), _passed(result), _time(result)) for result in results]
    name_cells = max(width(name) for _, name, _, _ in cells)
    passed_cells = max(len(passed) for _, _, passed, _ in cells)
    time_cells = max(len(time) for _, _, _, time in cells)
    left = max(columns, WIDTH_MIN) - 12 - 2 - passed_cells - 2 - time_cells - 2
    name_cells = min(name_cells, left)
    lines = []
    for result, name, passed, time in cells:
        verdict = _styled(f"{result.verdict:<12}", result.verdict, colour)
        head = f"{verdict}  {pad(fit(name, name_cells), name_cells)}  {passed:>{passed_cells}}  {time:>{time_cells}}"
        title = fit(printable(result.worst.title), left - name_cells - 2) if left - name_cells > 10 else ""
        lines.append(f"{head}  {_styled(title, 'quiet', colour)}" if title else head)
    return "\n".join(lines)


def block(run: RunReport, *, columns: int = 100, colour: bool = False) -> str:
    """What went wrong in one run, with the lines of the history that show it, and how to play it again."""
    return "\n".join(_block_lines(run, max(columns, WIDTH_MIN), colour))


def _block_lines(run: RunReport, columns: int, colour: bool) -> Iterator[str]:
    head = _styled(run.verdict.upper(), run.verdict, colour)
    yield f"{head} {printable(run.scenario)}, seed {run.seed}: {printable(run.title)}"
    for finding in run.violations:
        yield ""
        yield f"  {_styled(finding.invariant, run.verdict, colour)} {printable(finding.sentence)}"
        for line in finding.lines:
            yield _styled(fit(f"    {printable(line)}", columns), "quiet", colour)
    if run.reasons:
        yield ""
    for reason in run.reasons:
        yield f"  inconclusive: {printable(reason)}"
    if run.not_observed:
        yield ""
        yield from wrap(
            f"not observed, so not judged: {', '.join(run.not_observed)}",
            columns,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    yield ""
    yield f"  replay: {printable(run.replay)}"


def _not_observed(summary: Summary, *, columns: int) -> Iterator[str]:
    """Which invariants say nothing of which runs: what was not observed is not judged, and has not passed."""
    everywhere = [
        each
        for each in (summary.runs[0].not_observed if summary.runs else ())
        if all(each in run.not_observed for run in summary.runs)
    ]
    if everywhere:
        yield from wrap(f"not observed, so not judged: {', '.join(everywhere)}", columns, subsequent_indent="  ")
    beside: dict[str, int] = {}
    for run in summary.runs:
        if more := [each for each in run.not_observed if each not in everywhere]:
            beside[", ".join(more)] = beside.get(", ".join(more), 0) + 1
    for ids, runs in beside.items():
        where = f"{'also ' if everywhere else ''}not observed in {runs} of {len(summary.runs)} runs"
        yield from wrap(f"{where}: {ids}", columns, subsequent_indent="  ")


def _counts(summary: Summary, *, colour: bool) -> str:
    if not summary.runs:
        return "nothing was played"
    said = [_styled(f"{summary.count(each)} {each}", each, colour) for each in _ORDER if summary.count(each)]
    virtual_s = sum(run.virtual_s for run in summary.runs)
    runs, scenarios = len(summary.runs), len(summary.scenarios)
    wall_s = sum(run.wall_ms for run in summary.runs) / 1000
    return (
        f"{runs} {'run' if runs == 1 else 'runs'} of {scenarios} {'scenario' if scenarios == 1 else 'scenarios'}: "
        f"{', '.join(said)} "
        f"({duration(virtual_s)} of virtual time in {wall_s:.1f} s of work)"
    )


def _passed(result: ScenarioResult) -> str:
    return f"{result.passed}/{len(result.runs)}"


def _time(result: ScenarioResult) -> str:
    return duration(sum(run.virtual_s for run in result.runs))


def duration(seconds: float) -> str:
    """A virtual time as people say it: `8.2 s`, `31.0 min`, `2.5 h`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.1f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _styled(text: str, style: Style, colour: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if colour and text else text
