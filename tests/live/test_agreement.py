"""Whether two runs agree: outcomes are compared and not times, and a difference is explained where it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from sim.agree_command import Comparison, hurried, paces_for
from sim.agreement import compare
from sim.history import Contact, History, Info, Ok
from sim.invariants.verdict import judge
from sim.scenario.model import Expectation, Scenario
from sim.worlds.run import Run
from tests.unit.histories import Run as Made
from tests.unit.histories import scenario


def run_of(history: History) -> Run:
    made = scenario()
    return Run(
        scenario=made,
        seed=1,
        history=history,
        judgement=judge(made, history),
        trace_hash="",
        virtual_s=1.0,
        cpu_s=0.0,
        wall_s=0.0,
        replay="",
    )


def completed() -> Run:
    return run_of(Made().completed().history())


def failed() -> Run:
    return run_of(Made().failed().history())


def test_equal_runs_agree() -> None:
    agreement = compare([completed()], completed())
    assert (agreement.differences, agreement.divergence) == ((), None)


def test_times_are_no_difference() -> None:
    live = completed()
    live.history.entries[:] = [replace(entry, at_s=entry.at_s * 3 + 1) for entry in live.history.entries]
    assert compare([completed()], live).differences == ()


def test_another_outcome_is_a_difference_and_is_explained() -> None:
    agreement = compare([completed()], failed())
    told = [str(difference) for difference in agreement.differences]
    assert "d1 ends: completed simulated, failed live" in told, told
    assert any(line.startswith("d1 leaves in the inbox: 1 ok simulated") for line in told)
    assert agreement.divergence is not None


def test_what_one_of_the_seeds_did_is_right() -> None:
    assert compare([completed(), failed()], failed()).differences == ()


@pytest.mark.parametrize(
    ("expected", "left_open", "differ"),
    [
        (
            Expectation(op="d1", statuses=("completed", "failed"), inbox=("ok", "error")),
            ["ends", "leaves in the inbox"],
            [],
        ),
        (Expectation(op="d1", statuses=("completed", "failed")), ["ends"], ["leaves in the inbox"]),
        (Expectation(op="d1", statuses=("failed",), inbox=("ok", "none")), [], ["ends", "leaves in the inbox"]),
    ],
)
def test_what_the_scenario_leaves_open_may_come_out_as_in_no_seed(
    expected: Expectation, left_open: list[str], differ: list[str]
) -> None:
    live = replace(failed(), scenario=scenario(expect=(expected,)))
    agreement = compare([completed()], live)
    assert [each.fact.what for each in agreement.left_open] == left_open
    assert [
        each.fact.what for each in agreement.differences if each.fact.what in ("ends", "leaves in the inbox")
    ] == differ


def test_the_first_observation_that_differs_is_shown() -> None:
    live = completed()
    entries = live.history.entries
    answered = next(index for index, entry in enumerate(entries) if isinstance(entry, Ok))
    entries[answered] = Info(entries[answered].at_s, "d1", "connection reset")
    divergence = compare([completed()], live).divergence
    assert divergence is not None and divergence.simulated is not None and divergence.live is not None
    assert "is answered 202" in divergence.simulated
    assert "outcome unknown: connection reset" in divergence.live


def test_what_is_missing_at_the_end_is_shown_as_nothing() -> None:
    live = completed()
    live.history.entries[:] = [
        entry for entry in live.history.entries if not (isinstance(entry, Contact) and entry.stage == "answered")
    ]
    agreement = compare([failed()], live)
    assert agreement.differences and agreement.divergence is not None


@pytest.mark.parametrize(
    ("lasts_s", "limit_s", "wanted", "paces"),
    [
        (100, 120, None, [20.0, 5.0, 1.0]),
        (500, 120, None, [20.0, 5.0]),
        (2000, 120, None, [20.0]),
        (10_000, 120, None, [100.0]),
        (100_000, 120, None, []),
        (100, 120, 7.0, [7.0]),
        (10_000, 120, 7.0, []),
    ],
)
def test_a_difference_is_looked_at_again_at_a_slower_pace(
    lasts_s: float, limit_s: float, wanted: float | None, paces: list[float]
) -> None:
    assert paces_for(lasts_s, limit_s, wanted) == paces


@pytest.mark.parametrize(
    ("time_scale", "reason"),
    [
        (100.0, "differs at 100; --limit 75 allows 20"),
        (20.0, "differs at 20; --limit 300 allows 5"),
        (5.0, ""),
        (1.0, ""),
    ],
)
def test_a_difference_at_a_hurried_pace_decides_nothing_and_says_what_would(time_scale: float, reason: str) -> None:
    assert hurried(time_scale, lasts_s=1499.9) == reason


class Simulated:
    """Worlds that take 1000 virtual seconds."""

    def play(self, _scenario: Scenario, _seed: int) -> Run:
        return replace(completed(), virtual_s=1000.0)


@dataclass(frozen=True)
class Hurried:
    """A live world in which a quick pace makes something else of a scenario."""

    time_scale: float = 1.0

    def play(self, _scenario: Scenario) -> Run:
        return failed() if self.time_scale > 5 else completed()


@pytest.mark.parametrize(
    ("limit_s", "pace", "answer", "time_scale"),
    [
        (120.0, None, "undecided", 20.0),
        (300.0, None, "agrees", 5.0),
        (120.0, 20.0, "differs", 20.0),
        (9.0, None, "not played", 1.0),
    ],
)
def test_a_pace_that_was_asked_for_decides_and_a_hurried_one_does_not(
    limit_s: float, pace: float | None, answer: str, time_scale: float
) -> None:
    comparison = Comparison(scenario(), seeds=2, limit_s=limit_s, pace=pace)
    compared = comparison.play(cast(Any, Simulated()), cast(Any, Hurried()))
    assert (compared.answer, compared.time_scale) == (answer, time_scale)
