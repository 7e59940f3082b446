"""Outcomes that are told wrongly, or not once; `OUTCOMES` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Broadcast, Flags

from .histories import Run


def result_row_missing() -> Run:
    """H72."""
    run = Run().failed()
    run.activity.remove(run.row("result"))
    return run


def result_row_doubled() -> Run:
    """D15."""
    run = Run().completed()
    run.activity.append(dict(run.row("result")))
    return run


def event_not_recorded() -> Run:
    """D29."""
    run = Run().completed()
    run.events.clear()
    return run


def broadcast_twice() -> Run:
    run = Run().completed()
    run.entries.append(next(entry for entry in run.entries if isinstance(entry, Broadcast)))
    return run


def inbox_row_missing() -> Run:
    """H70."""
    run = Run().completed()
    run.activity.remove(run.row("inbox"))
    run.inbox.clear()
    return run


def inbox_row_doubled() -> Run:
    """H68."""
    run = Run().completed()
    run.activity.append(dict(run.row("inbox")))
    run.inbox["ann"].append(dict(run.row("inbox")))
    return run


def inbox_row_while_queued() -> Run:
    run = Run().left_to_poll()
    row = dict(Run().completed().row("inbox"))
    run.activity.append(row)
    run.inbox["ann"] = [row]
    return run


def inbox_row_though_switched_off() -> Run:
    return Run(flags=Flags(inbox_push=False)).completed()


def failure_told_as_ok() -> Run:
    run = Run().failed()
    run.row("inbox")["status"] = "ok"
    return run


def failure_told_without_why() -> Run:
    run = Run().failed()
    run.row("inbox")["error_detail"] = None
    return run


def inbox_row_without_the_id() -> Run:
    run = Run().completed()
    run.row("inbox")["response_body"] = {"text": "done"}
    return run


def dropped_by_the_poller() -> Run:
    """H47."""
    run = Run().completed()
    run.inbox.clear()
    return run


def given_twice_by_the_poller() -> Run:
    run = Run().completed()
    run.inbox["ann"].append(dict(run.inbox["ann"][0]))
    return run


OUTCOMES: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-30", result_row_missing, "ended failed with 0 terminal result rows instead of 1", "d1"),
    ("INV-30", result_row_doubled, "ended completed with 2 terminal result rows instead of 1", "d1"),
    ("INV-30", event_not_recorded, "ended completed with 0 terminal events recorded instead of 1", "d1"),
    ("INV-30", broadcast_twice, "ended completed with 2 terminal events broadcast instead of 1", "d1"),
    ("INV-31", inbox_row_missing, "d1 (ann to bob) is completed: ann must have 1 inbox rows of it, there are 0", "d1"),
    ("INV-31", inbox_row_doubled, "ann must have 1 inbox rows of it, there are 2", "d1"),
    ("INV-31", inbox_row_while_queued, "is queued: ann must have 0 inbox rows of it, there are 1", "d1"),
    ("INV-31", inbox_row_though_switched_off, "inbox rows are switched off: ann must have 0", "d1"),
    ("INV-32", failure_told_as_ok, "which ended failed, says ok instead of error", "d1"),
    ("INV-32", failure_told_without_why, "which ended failed, does not say why", "d1"),
    ("INV-32", inbox_row_without_the_id, "does not name the delegation in its response_body", "d1"),
    ("INV-33", dropped_by_the_poller, "The poller of ann was given the result of d1 (ann to bob) 0 times", "d1"),
    ("INV-33", given_twice_by_the_poller, "2 times instead of 1", "d1"),
)
