"""Records of a delegation that contradict each other; `RECORDS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Flags, Invoke, Ok

from .histories import Run


def listed_completed_then_failed() -> Run:
    """D16."""
    run = Run().failed()
    run.listed("l1", at_s=0.5, entries=[{"delegation_id": "id-d1", "status": "completed"}])
    return run


def report_accepted_and_overruled() -> Run:
    run = Run().completed()
    run.entries.append(Invoke(0.9, "r1", "report", "bob", {"delegation": "d1", "status": "failed", "text": "no"}))
    run.entries.append(Ok(1.2, "r1", 200, {"status": "failed"}))
    return run


def terminal_then_open_again() -> Run:
    run = Run().left_to_poll()
    run.listed("l1", at_s=0.5, entries=[{"delegation_id": "id-d1", "status": "completed"}])
    return run


def preview_lost() -> Run:
    """H6."""
    run = Run().completed()
    run.ledger[0]["result_preview"] = None
    return run


def preview_too_long() -> Run:
    run = Run().completed()
    run.ledger[0]["result_preview"] = "ä" * 2049
    return run


def delegate_row_without_why() -> Run:
    run = Run().failed()
    run.row("delegate")["error_detail"] = ""
    return run


def ledger_left_behind() -> Run:
    """H66."""
    run = Run().completed()
    run.ledger[0]["status"] = "dispatched"
    return run


def ledger_row_missing() -> Run:
    """H75."""
    run = Run().completed()
    run.ledger.clear()
    return run


def ledger_written_though_switched_off() -> Run:
    return Run(flags=Flags(ledger=False)).completed()


def ledger_went_back() -> Run:
    run = Run().left_to_poll()
    run.listed("l1", at_s=0.5, entries=[{"delegation_id": "id-d1", "status": "dispatched", "_ledger": True}])
    return run


def not_listed() -> Run:
    """H9."""
    run = Run().completed()
    run.listing.clear()
    return run


def listed_in_another_state() -> Run:
    run = Run().completed()
    run.listing["ann"][0]["status"] = "dispatched"
    return run


RECORDS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    (
        "INV-34",
        listed_completed_then_failed,
        "was completed according to the listing l1, then failed according to",
        "d1",
    ),
    ("INV-34", report_accepted_and_overruled, "then failed according to the accepted report r1", "d1"),
    ("INV-34", terminal_then_open_again, "was completed according to the listing l1, then queued according to", "d1"),
    ("INV-36", preview_lost, "is completed in the ledger without a preview of its text 'done'", "d1"),
    ("INV-36", preview_too_long, "has a preview of more than 4096 bytes in the ledger", "d1"),
    ("INV-37", delegate_row_without_why, "is failed and its delegate row does not say why", "d1"),
    ("INV-38", ledger_left_behind, "is completed in its delegate row and is dispatched in the ledger", "d1"),
    ("INV-38", ledger_row_missing, "is completed in its delegate row and has no ledger row", "d1"),
    ("INV-39", ledger_written_though_switched_off, "The ledger is switched off and has 1 rows", "ledger"),
    ("INV-40", ledger_went_back, "The ledger row of d1 (ann to cid) went from dispatched to queued", "d1"),
    ("INV-42", not_listed, "is completed, but ann's listing does not list it", "d1"),
    ("INV-42", listed_in_another_state, "is completed, but ann's listing lists it as dispatched", "d1"),
)
