"""What a run reports: facts that a renderer needs, small enough to come back from a worker process.

A run report holds the lines of the history that its violations point to, not the history: a gate makes thousands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reports.history_text import line
from sim.history import History
from sim.invariants.verdict import Judgement, Verdict
from sim.scenario.model import Scenario

SEVERITY: Mapping[Verdict, int] = {"passed": 0, "inconclusive": 1, "failed": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A violation with its evidence rendered: `lines` are those of the history that show it."""

    invariant: str
    subject: str
    sentence: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run. `replay` is the command that plays it again; `reasons` say why it is inconclusive.

    `scenario` is the name, `path` the file as the user gave it.
    """

    scenario: str
    path: str
    title: str
    family: str
    seed: int
    verdict: Verdict
    trace_hash: str
    virtual_s: float
    cpu_ms: float
    wall_ms: float
    violations: tuple[Finding, ...]
    reasons: tuple[str, ...]
    not_observed: tuple[str, ...]
    replay: str


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """The runs of one scenario, in the order in which they were played; there is at least one."""

    runs: tuple[RunReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its runs."""
        return max((run.verdict for run in self.runs), key=SEVERITY.__getitem__)

    @property
    def passed(self) -> int:
        """How many runs passed."""
        return sum(run.verdict == "passed" for run in self.runs)

    @property
    def worst(self) -> RunReport:
        """The first run that has the verdict of all."""
        return next(run for run in self.runs if run.verdict == self.verdict)


@dataclass(frozen=True, slots=True)
class Summary:
    """All runs of one invocation; `components` names the versions that took part."""

    runs: tuple[RunReport, ...]
    components: Mapping[str, str] = field(default_factory=dict)

    @property
    def scenarios(self) -> tuple[ScenarioResult, ...]:
        """The runs by scenario, in the order in which each first appeared."""
        by_scenario: dict[str, list[RunReport]] = {}
        for run in self.runs:
            by_scenario.setdefault(run.path, []).append(run)
        return tuple(ScenarioResult(tuple(runs)) for runs in by_scenario.values())

    def count(self, verdict: Verdict) -> int:
        """How many runs ended with this verdict."""
        return sum(run.verdict == verdict for run in self.runs)


def report_of(
    scenario: Scenario,
    history: History,
    judgement: Judgement,
    *,
    seed: int,
    trace_hash: str,
    virtual_s: float,
    cpu_ms: float,
    wall_ms: float,
    replay: str,
) -> RunReport:
    """The report of a judged run."""
    return RunReport(
        scenario=scenario.name,
        path=scenario.path,
        title=scenario.title,
        family=scenario.family,
        seed=seed,
        verdict=judgement.verdict,
        trace_hash=trace_hash,
        virtual_s=virtual_s,
        cpu_ms=cpu_ms,
        wall_ms=wall_ms,
        violations=tuple(
            Finding(
                invariant=violation.invariant,
                subject=violation.subject,
                sentence=violation.sentence,
                lines=tuple(_evidence(history, violation.entries)),
            )
            for violation in judgement.violations
        ),
        reasons=judgement.reasons,
        not_observed=judgement.not_observed,
        replay=replay,
    )


def _evidence(history: History, indices: Sequence[int]) -> Iterable[str]:
    return (line(history, index) for index in indices)
