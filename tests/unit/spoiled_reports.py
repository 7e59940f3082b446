"""Work that agents report, and what the sweeper does about it; `REPORTS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Invoke, Ok

from .histories import Run, at


def ended_by_a_stranger() -> Run:
    """D14."""
    run = Run().recorded(status="completed")
    run.reported("u2", of="r1", by="dee", at_s=0.95)
    return run


def recorded_under_a_taken_id() -> Run:
    run = Run().recorded()
    run.entries += [
        Invoke(0.5, "r2", "record", "ann", {"target": "dee", "task": "work", "id": "r1-recorded"}),
        Ok(0.6, "r2", 202, {"delegation_id": "r1-recorded", "status": "recorded"}),
    ]
    return run


def result_replaced_by_a_second_report() -> Run:
    """D15."""
    run = Run().recorded(status="completed", text="first")
    run.reported("u2", of="r1", text="second", at_s=2.0)
    for row in (run.row("result"), run.row("inbox")):
        row["response_body"]["text"] = "second"
    return run


def left_open_past_its_deadline() -> Run:
    run = Run().recorded()
    run.ledger[0]["deadline"] = at(600.0)
    return run


def failed_before_its_deadline() -> Run:
    run = Run().left_to_poll()
    run.activity.clear()
    run.ledger.clear()
    run.listing.clear()
    run.inbound("id-d1", target="cid")
    run.stored("id-d1", task="work of d1", status="failed", target="cid", detail="deadline exceeded by sweeper")
    return run


def stuck_without_a_sign_of_life() -> Run:
    """H73."""
    run = Run().recorded()
    run.ledger[0]["status"] = run.listing["ann"][0]["status"] = "stuck"
    return run


def rewritten_by_a_sweep() -> Run:
    """H74."""
    run = Run().completed()
    run.ledger[0]["updated_at"] = at(300.0)
    return run


def report_refused_for_being_stuck() -> Run:
    """H64."""
    run = Run().recorded()
    run.reported("u1", of="r1", at_s=2.0, answer=(409, {"error": "delegation is already stuck", "status": "stuck"}))
    return run


def report_refused_as_unknown() -> Run:
    run = Run().recorded()
    run.reported("u1", of="r1", by="ann", at_s=2.0, answer=(404, {"error": "delegation not found"}))
    return run


REPORTS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-18", ended_by_a_stranger, "was reported completed by dee, who is no party of it, and u2 was", "r1"),
    ("INV-18", recorded_under_a_taken_id, "r2 of ann to dee was recorded under the id of", "r1/r2"),
    ("INV-35", result_replaced_by_a_second_report, "and u2 replaced what was stored by 'second'", "r1"),
    ("INV-95", left_open_past_its_deadline, "is still dispatched 3400 s after its deadline", "r1"),
    ("INV-95", failed_before_its_deadline, "was failed for its deadline 21599 s before it", "d1"),
    ("INV-96", stuck_without_a_sign_of_life, "is stuck although bob was never heard", "r1"),
    ("INV-97", rewritten_by_a_sweep, "was changed 299 s after it was completed", "d1"),
    ("INV-98", report_refused_for_being_stuck, "and u1 was refused because it is stuck", "r1"),
    ("INV-98", report_refused_as_unknown, "and u1 was refused as unknown", "r1"),
)
