"""A finished load as facts for its renderers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from reports import load_model as told
from sim.worlds.load.measures import Timing
from sim.worlds.load.run import LoadRun
from sim.worlds.load.scope import not_judged


def report_of(run: LoadRun, components: Mapping[str, str], *, options: str = "") -> told.LoadReport:
    """What is told of a load. `options`: what the command that plays it again has besides."""
    measures = run.conclusion.measures
    seconds = sorted({*measures.by_second, *run.conclusion.ended_by_second})
    return told.LoadReport(
        scenario=run.scenario.name,
        path=run.scenario.path,
        title=run.scenario.title,
        verdict=run.verdict,
        duration_s=run.duration_s,
        lasted_s=run.lasted_s,
        workers=run.workers,
        operations=run.conclusion.operations,
        accepted=run.conclusion.tally.accepted,
        judged=run.conclusion.tally.groups,
        judging_s=run.conclusion.judging_s,
        statuses=dict(sorted(run.conclusion.tally.statuses.items())),
        gates=tuple(
            told.Gate(gate=each.gate, where=each.where, allowed=each.allowed, measured=each.measured, held=each.held)
            for each in run.gates
        ),
        timings=(
            _timing("whole load", measures.overall),
            *([_timing("outside of faults", measures.outside)] if measures.windows else []),
            *(_timing(each.window.label, each.timing) for each in measures.windows),
        ),
        actions=tuple(_timing(f"{action} alone", timing) for action, timing in sorted(measures.by_action.items())),
        bands=tuple(
            told.Band(what=span.what, from_s=span.from_s, to_s=min(span.to_s, run.lasted_s)) for span in run.spans
        ),
        seconds=tuple(_second(run, second) for second in seconds),
        depths=tuple(told.Depth(at_s=each.at_s, under_way=each.under_way, queued=each.queued) for each in run.samples),
        violations=dict(run.conclusion.tally.violations),
        findings=tuple(run.conclusion.tally.findings),
        reasons=(*run.deaths, *run.troubles, *([run.broken] if run.broken else [])),
        not_observed=tuple(sorted({*run.conclusion.tally.not_observed, *not_judged()})),
        states_unknown=run.conclusion.states_unknown,
        replay=f"fumble load {shlex.quote(run.scenario.path)} --duration {run.duration_s:g}s{options}",
        components=components,
    )


def _timing(what: str, timing: Timing) -> told.Timing:
    return told.Timing(
        what=what,
        count=timing.count,
        failed=timing.failed,
        p50_s=timing.percentile_s(50),
        p95_s=timing.percentile_s(95),
        p99_s=timing.percentile_s(99),
        slowest_s=timing.slowest_s if timing.answered else None,
    )


def _second(run: LoadRun, second: int) -> told.Second:
    timing = run.conclusion.measures.by_second.get(second, Timing())
    ended = run.conclusion.ended_by_second.get(second, {})
    return told.Second(
        at_s=second,
        asked=timing.count,
        failed=timing.failed,
        p50_s=timing.percentile_s(50),
        p99_s=timing.percentile_s(99),
        completed=ended.get("DELEGATION_COMPLETE", 0),
        failed_work=ended.get("DELEGATION_FAILED", 0),
    )
