"""What is judged where a broker's rows were not observed: by its listing and inboxes alone, and no more than that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.history import Broadcast, Final, History, ModeRead
from sim.invariants.verdict import Judgement, judge
from sim.scenario.model import Expectation

from .histories import Run
from .test_invariants_verdict import scenario


def by_answers(run: Run, **parts: Any) -> History:
    """The history without rows, mode reads, events and the broker's clock; inbox items as the API gives them."""
    run.without(Broadcast)
    run.without(ModeRead)
    history = run.history()
    final = history.entries[-1]
    assert isinstance(final, Final)
    inbox = {"ann": [dict(row) for row in run.rows("inbox")]}
    history.entries[-1] = replace(final, **({"rows": None, "inbox": inbox} | parts))
    history.watches_database, history.epoch = False, None
    return history


def judged(history: History, **wanted: Any) -> Judgement:
    """The verdict on it, if that is expected of its delegation."""
    return judge(scenario(expect=(Expectation(op="d1", **wanted),)), history)


def test_a_completed_run_is_judged_by_what_the_caller_was_told() -> None:
    told = judged(by_answers(Run().completed()), statuses=("completed",), inbox=("ok",), text="done")
    assert (told.verdict, told.violations) == ("passed", ())
    assert not {"INV-01", "INV-03", "INV-12", "INV-24", "INV-25", "INV-32", "INV-33", "EXPECT"} & {*told.not_observed}
    assert {"INV-10", "INV-30", "INV-31", "INV-36", "INV-42", "INV-70", "INV-95"} <= {*told.not_observed}
    wrong = judged(by_answers(Run().completed()), statuses=("failed",), inbox=("error",), text="else")
    assert [violation.invariant for violation in wrong.violations] == ["EXPECT"]


def spoiled(what: str) -> History:
    """A completed run with one thing wrong."""
    run = Run().completed()
    if what == "unfinished":
        run.listing["ann"][0]["status"] = "dispatched"
        return by_answers(run, inbox={"ann": []})
    if what == "forgotten":
        return by_answers(run, listing={"ann": []}, inbox={"ann": []})
    if what == "untold":
        return by_answers(run, inbox={"ann": []})
    history = by_answers(run)
    final = history.final()
    assert final is not None and final.inbox is not None
    row = final.inbox["ann"][0]
    assert isinstance(row, dict)
    if what == "told twice":
        final.inbox["ann"].append({**row, "id": "another"})  # type: ignore[attr-defined]
    else:
        row["status"] = "error"
    return history


@pytest.mark.parametrize(
    ("what", "invariants"),
    [
        ("unfinished", {"INV-03"}),
        ("forgotten", {"INV-03"}),
        ("untold", {"INV-33"}),
        ("told twice", {"INV-33"}),
        ("told wrongly", {"INV-32"}),
    ],
)
def test_what_the_answers_show_to_be_wrong_is_found(what: str, invariants: set[str]) -> None:
    judgement = judge(scenario(), spoiled(what))
    assert {violation.invariant for violation in judgement.violations} == invariants


def test_without_an_answer_at_the_end_a_run_is_not_green() -> None:
    judgement = judge(scenario(), by_answers(Run().completed(), listing=None, inbox=None))
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons == (
        "how the work ended was not observed: the broker's listing did not answer, and there are no rows",
    )


def test_what_needs_a_table_that_is_missing_is_not_observed() -> None:
    history = Run().completed().history()
    final = history.final()
    assert final is not None and final.rows is not None
    for table, needing in (
        ("a2a_queue", {"INV-70", "INV-75"}),
        ("delegations", {"INV-36", "INV-38", "INV-95"}),
        ("structure_events", {"INV-02", "INV-30", "INV-81"}),
        ("workspaces", {"INV-96"}),
    ):
        rows = {name: those for name, those in final.rows.items() if name != table}
        history.entries[-1] = replace(final, rows=rows)
        judgement = judge(scenario(), history)
        assert (judgement.verdict, judgement.violations) == ("passed", ()), table
        assert needing <= {*judgement.not_observed}, table
