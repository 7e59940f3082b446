"""The report of a load: what came of it, how it went second by second with the faults under it, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator

from reports.html.charts import Line, chart
from reports.html.page import Html, element, join, label, page, section, table, text
from reports.load_model import Gate, LoadReport, Second, Timing
from reports.load_text import spoken
from reports.model import Finding

_HELD = {True: "held", False: "failed", None: "not judged"}
_LINES_MAX = 400
_POINTS_MAX = 600


def render(report: LoadReport) -> str:
    """The whole page."""
    return page(
        f"{report.scenario}: {report.verdict}",
        _head(report),
        section("Verdict", _gates(report), *_reasons(report), _violations(report)),
        section("Over time", *_charts(report)),
        section("By window and kind", _timings(report)),
        section("What does not hold", *_findings(report)),
        section("How it was run", _facts(report)),
    )


def _head(report: LoadReport) -> Html:
    verdict = element("span", text(report.verdict), class_=f"verdict {report.verdict}")
    ended = ", ".join(f"{count} {status}" for status, count in report.statuses.items()) or "none"
    return join(
        [
            element("h1", text(report.title)),
            element("p", join([verdict, text(f" {report.path}")])),
            *_why(report),
            element(
                "p",
                text(
                    f"{report.operations} operations in {report.duration_s:g} s, {report.accepted} delegations; "
                    f"at the end: {ended}"
                ),
                class_="quiet",
            ),
        ]
    )


def _why(report: LoadReport) -> Iterator[Html]:
    """What is wrong, in a line each, for who reads no further."""
    for gate in report.gates:
        if gate.held is False:
            told = f"{gate.gate}: {gate.measured}, and {gate.allowed} is allowed ({gate.where})"
            yield element("p", text(told), class_="failed")
    if report.violations:
        counts = ", ".join(f"{name} ({count})" for name, count in sorted(report.violations.items()))
        yield element("p", text(f"does not hold: {counts}"), class_="failed")
    if report.reasons:
        number = len(report.reasons)
        told = f"incomplete, for {'a reason' if number == 1 else f'{number} reasons'} told below"
        yield element("p", text(told), class_="inconclusive")


def _gates(report: LoadReport) -> Html:
    return table(("gate", "where", "allowed", "measured", ""), map(_gate, report.gates))


def _gate(gate: Gate) -> tuple[Html, ...]:
    held = _HELD[gate.held]
    told = element("span", text(held), class_=held.replace(" ", "-"))
    return text(gate.gate), label(gate.where), text(gate.allowed), text(gate.measured), told


def _reasons(report: LoadReport) -> Iterator[Html]:
    for reason in report.reasons:
        told = join([text("incomplete: "), Html("\n".join(map(text, reason.splitlines())))])
        yield element("p", told, class_="inconclusive lines")


def _violations(report: LoadReport) -> Html:
    if not report.judged:
        return element("p", text("nothing was judged"), class_="inconclusive")
    if not report.violations:
        return element("p", text(f"{report.judged} histories were judged, and every invariant holds"), class_="quiet")
    rows = ((text(name), text(count)) for name, count in sorted(report.violations.items()))
    return table(("invariant", "violations"), rows)


def _charts(report: LoadReport) -> Iterator[Html]:
    seconds, bands = _thinned(report.seconds), report.bands
    load_s, lasted_s = report.duration_s, report.lasted_s
    yield chart(
        "Latency",
        [
            Line("p99", [(each.at_s, each.p99_s) for each in seconds]),
            Line("p50", [(each.at_s, each.p50_s) for each in seconds]),
        ],
        bands,
        load_s=load_s,
        lasted_s=lasted_s,
        said=spoken,
    )
    yield chart(
        "Delegations ended in a second",
        [
            Line("completed", [(each.at_s, each.completed) for each in seconds]),
            Line("failed", [(each.at_s, each.failed_work) for each in seconds]),
        ],
        bands,
        load_s=load_s,
        lasted_s=lasted_s,
        said=_count,
    )
    yield chart(
        "Requests in a second",
        [
            Line("asked", [(each.at_s, each.asked) for each in seconds]),
            Line("failed", [(each.at_s, each.failed) for each in seconds]),
        ],
        bands,
        load_s=load_s,
        lasted_s=lasted_s,
        said=_count,
    )
    depths = report.depths[:: max(len(report.depths) // _POINTS_MAX, 1)]
    yield chart(
        "What waits",
        [
            Line("under way", [(each.at_s, each.under_way) for each in depths]),
            Line("in the queue", [(each.at_s, each.queued) for each in depths]),
        ],
        bands,
        load_s=load_s,
        lasted_s=lasted_s,
        said=_count,
    )
    if bands:
        rows = ((label(band.what), text(f"{band.from_s:.1f} s"), text(f"{band.to_s:.1f} s")) for band in bands)
        yield table(("fault", "from", "to"), rows)


def _thinned(seconds: tuple[Second, ...]) -> tuple[Second, ...]:
    """Of a long load the worst second of each stretch: an average would hide what a report is for."""
    size = -(-len(seconds) // _POINTS_MAX)
    if size <= 1:
        return seconds
    stretches = [seconds[start : start + size] for start in range(0, len(seconds), size)]
    return tuple(max(stretch, key=lambda each: (each.failed, each.p99_s or 0.0)) for stretch in stretches)


def _timings(report: LoadReport) -> Html:
    head = ("", "requests", "failed", "p50", "p95", "p99", "slowest")
    return table(head, map(_timing, (*report.timings, *report.actions)))


def _timing(timing: Timing) -> tuple[Html, ...]:
    times = (timing.p50_s, timing.p95_s, timing.p99_s, timing.slowest_s)
    return (label(timing.what), *map(text, (timing.count, timing.failed, *map(spoken, times))))


def _findings(report: LoadReport) -> Iterator[Html]:
    if not report.findings:
        yield element("p", text("nothing"), class_="quiet")
    for finding in report.findings:
        yield _finding(finding)
    shown, all_of_them = len(report.findings), sum(report.violations.values())
    if all_of_them > shown:
        yield element("p", text(f"{all_of_them - shown} more are counted above"), class_="quiet")


def _finding(finding: Finding) -> Html:
    told = element("summary", join([element("strong", text(f"{finding.invariant} ")), text(finding.sentence)]))
    lines = Html("\n".join(text(line) for line in finding.lines[:_LINES_MAX]))
    return element("details", join([told, element("pre", lines)]))


def _facts(report: LoadReport) -> Html:
    facts = {
        "command": report.replay,
        "workers": report.workers,
        "histories judged": f"{report.judged} in {report.judging_s:.1f} s",
        "not observed": _not_observed(report),
        **report.components,
    }
    return table(("", ""), ((text(name), label(value)) for name, value in facts.items()))


def _not_observed(report: LoadReport) -> str:
    parts = list(report.not_observed)
    if report.states_unknown:
        parts.append(f"how {report.states_unknown} of {report.accepted} delegations ended")
    return ", ".join(parts) or "nothing"


def _count(value: float) -> str:
    return f"{value:g}"
