"""Verdicts: what makes a run failed, inconclusive or passed, what is not observed, and what a scenario expects."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sim.history import Contact, Info, ModeRead, Ok
from sim.invariants.registry import ALL
from sim.invariants.verdict import judge
from sim.scenario.model import AtTime, Down, Expectation, Fault

from .histories import Run, scenario

CUT = Fault(name="f1", when=AtTime(at_s=1.0), do=Down(link="broker-database"))


def test_a_run_that_did_its_work_passes() -> None:
    judgement = judge(scenario(expect=(Expectation(op="d1", statuses=("completed",)),)), Run().completed().history())
    assert (judgement.verdict, judgement.violations, judgement.reasons) == ("passed", (), ())
    assert judgement.not_observed == ()


def test_a_fault_that_never_began_is_inconclusive() -> None:
    judgement = judge(scenario(faults=(CUT,)), Run().completed().history())
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons == ("fault f1 never began: its trigger was not reached",)


def test_a_fault_that_began_is_no_reason() -> None:
    run = Run().completed()
    run.fault("f1", where="broker-database", at_s=0.5, until_s=2.0)
    assert judge(scenario(faults=(CUT,)), run.history()).verdict == "passed"


def test_a_run_without_any_answer_is_inconclusive() -> None:
    run = Run()
    run.asked("d1")
    run.entries.append(Info(9.0, "d1", "timed out"))
    assert judge(scenario(), run.history()).reasons == ("no operation was answered",)


def test_a_run_without_a_final_state_is_inconclusive_and_still_judged_by_what_agents_saw() -> None:
    run = Run().completed()
    run.has_final = False
    judgement = judge(scenario(expect=(Expectation(op="d1", statuses=("failed",)),)), run.history())
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons == ("the run ended before the final state was read",)
    assert "INV-31" in judgement.not_observed and "INV-24" not in judgement.not_observed

    run.contact("id-d1", at_s=8.2)
    assert judge(scenario(), run.history()).verdict == "failed"


def test_failed_wins_over_inconclusive() -> None:
    run = Run().completed()
    run.ledger.clear()
    judgement = judge(scenario(faults=(CUT,)), run.history())
    assert judgement.verdict == "failed" and judgement.reasons


def test_what_needs_an_unobserved_part_is_named_and_not_judged() -> None:
    run = Run().completed()
    run.without(ModeRead)
    run.has_rows = False
    history = run.history()
    history.watches_database = False
    expect = (Expectation(op="d1", statuses=("failed",)),)
    judgement = judge(scenario(expect=expect), history)
    assert judgement.violations == ()
    # Nothing was disturbed and no agent was busy: there was nothing to fall back from, and nobody to wait for.
    needing = [each.id for each in ALL if each.needs - {"fallbacks", "attempts"}]
    assert judgement.not_observed == (*needing, "EXPECT")


EXPECTATIONS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"answers": (200, None)}, "to be answered 200 or not at all; it was answered 202"),
    ({"statuses": ("completed", None)}, "to end completed or never accepted; it ended failed (the agent answered 500)"),
    ({"deliveries": (0, 2)}, "to be delivered 0 or 2 times; it was delivered 1 times"),
    ({"inbox": ("ok", "none")}, "to leave an inbox row ok or none; it left error"),
    ({"detail": "delivery_unknown"}, "to say why with 'delivery_unknown'; it did not (the agent answered 500)"),
    ({"text": "done"}, "to have the text 'done'; it has ''"),
    (
        {"statuses": ("completed",), "deliveries": (2,)},
        "d1 was expected to be delivered 2 times and to end completed; it was delivered 1 times and ended failed",
    ),
)


@pytest.mark.parametrize(("wanted", "says"), EXPECTATIONS, ids=lambda value: str(value)[:40])
def test_an_unmet_expectation_says_what_was_expected_and_what_came(wanted: dict[str, Any], says: str) -> None:
    judgement = judge(scenario(expect=(Expectation(op="d1", **wanted),)), Run().failed().history())
    assert [violation.invariant for violation in judgement.violations] == ["EXPECT"]
    assert says in judgement.violations[0].sentence


def test_a_met_expectation_is_silent() -> None:
    wanted = Expectation(
        op="d1", answers=(202,), statuses=("failed",), deliveries=(1,), inbox=("error",), detail="answered 500"
    )
    assert judge(scenario(expect=(wanted,)), Run().failed().history()).violations == ()


def test_a_restarting_answer_is_no_delivery() -> None:
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, status=503, restarting=True, text=None)
    run.contact("id-d1", at_s=8.2)
    wanted = Expectation(op="d1", deliveries=(1,), text="done", inbox=("ok",))
    assert judge(scenario(expect=(wanted,)), run.history()).violations == ()


def test_the_text_of_a_send_is_read_from_its_answer() -> None:
    run = Run().sent()
    assert judge(scenario(expect=(Expectation(op="s1", text="hi", deliveries=(1,)),)), run.history()).violations == ()
    missing = judge(scenario(expect=(Expectation(op="s1", text="bye"),)), run.history()).violations
    assert "to have the text 'bye'; it has 'hi'" in missing[0].sentence


def test_nothing_accepted_is_told_from_something_lost() -> None:
    run = Run()
    run.asked("d1", answer=(503, {"error": "idempotency check unavailable"}))
    wanted = Expectation(op="d1", answers=(503,), statuses=(None,), deliveries=(0,), inbox=("none",))
    assert judge(scenario(expect=(wanted,)), run.history()).violations == ()


def test_an_operation_that_was_never_played_is_unmet() -> None:
    violations = judge(scenario(expect=(Expectation(op="d7"),)), Run().completed().history()).violations
    assert [violation.sentence for violation in violations] == ["d7 was expected to be played and never began"]


def test_an_answer_lost_and_a_row_found_are_one_delegation() -> None:
    run = Run().completed()
    run.without(Ok)
    wanted = Expectation(op="d1", answers=(None,), statuses=("completed",), inbox=("ok",))
    assert judge(scenario(expect=(wanted,)), run.history()).violations == ()


def test_judging_one_delegation_takes_well_under_a_millisecond() -> None:
    """The bound that matters is 0.2 ms on a free core; the test allows for a busy one, and takes the best of many."""
    history, played = Run().completed().history(), scenario(expect=(Expectation(op="d1", statuses=("completed",)),))
    best_s = float("inf")
    for _ in range(200):
        began_s = time.perf_counter()
        judge(played, history)
        best_s = min(best_s, time.perf_counter() - began_s)
    assert best_s < 0.0005, f"{best_s * 1e6:.0f} µs"
