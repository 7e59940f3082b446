"""From a history to a verdict: `failed` if anything does not hold, `inconclusive` if nothing was shown, else `passed`.

A run is never green for having done nothing: a fault that never began, no operation answered and no final state are
reasons against a pass. A violation outweighs them, for what was seen was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sim.history import History, Ok
from sim.invariants import expectations
from sim.invariants.delegations import View, view_of
from sim.invariants.registry import ALL
from sim.invariants.violation import Violation
from sim.scenario.model import Scenario

Verdict: TypeAlias = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reasons` say why a run is inconclusive; `not_observed` are ids that this history could not be judged by."""

    verdict: Verdict
    violations: tuple[Violation, ...]
    reasons: tuple[str, ...]
    not_observed: tuple[str, ...]


def judge(scenario: Scenario, history: History) -> Judgement:
    """Judge a finished run by every invariant that its history can answer, and by what the scenario expects."""
    view = view_of(history)
    observed = view.observed
    violations: list[Violation] = []
    not_observed: list[str] = []
    for invariant in ALL:
        if invariant.needs <= observed:
            violations.extend(invariant.check(view))
        else:
            not_observed.append(invariant.id)
    violations.extend(expectations.unmet(scenario, view))
    if any(expectations.unobserved(wanted, view) for wanted in scenario.expect):
        not_observed.append(expectations.ID)
    reasons = tuple(_reasons(scenario, view))
    verdict: Verdict = "failed" if violations else "inconclusive" if reasons else "passed"
    return Judgement(verdict, tuple(violations), reasons, tuple(not_observed))


def _reasons(scenario: Scenario, view: View) -> Iterator[str]:
    for fault in scenario.faults:
        if fault.name not in view.fault_names:
            yield f"fault {fault.name} never began: its trigger was not reached"
    if not any(isinstance(call.end, Ok) for call in view.calls.values()):
        yield "no operation was answered"
    if view.final is None:
        yield "the run ended before the final state was read"
    elif view.delegations and "statuses" not in view.observed:
        yield "how the work ended was not observed: the broker's listing did not answer, and there are no rows"
