"""Tasks of the tools, answered or kept wrongly; `MCP` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Ok

from .histories import Run
from .histories_mcp import SYNC, asked, checked, declined, delivered, offline, queued, said


def answered_dispatched() -> Run:
    """S2: the status before it was `queued`."""
    run = delivered()
    run.without(Ok)
    run.entries.append(Ok(0.01, "d1", 200, queued(status="dispatched")))
    return run


def ended_after_its_budget() -> Run:
    return delivered(ended_s=14.0)


def sent_though_unmarshalled() -> Run:
    """H4."""
    return declined("marshal_error: not JSON", status=None)


def status_not_told() -> Run:
    return declined("target_offline: Internal Server Error")


def status_that_nobody_answered() -> Run:
    return declined("http_status: 404", status=None)


def failure_of_no_kind() -> Run:
    run = offline()
    for row in (*run.activity, *run.ledger):
        row["error_detail"] = row["error_detail"] and "context canceled"
    return run


def answered_and_not_recorded() -> Run:
    """H5."""
    run = Run()
    asked(run, said("done"), tool=SYNC)
    return run


def told_to_a_stranger() -> Run:
    return checked(delivered(), "delivered", by="dee")


def told_of_another_task() -> Run:
    return checked(delivered(), "delivered", task="id-d9")


def task_not_found() -> Run:
    return checked(delivered(), "not_found")


def delivered_before_the_reply() -> Run:
    """H55."""
    return checked(delivered(replied_s=3.0, ended_s=4.0), "delivered")


def delivered_then_queued() -> Run:
    return checked(checked(delivered(), "delivered"), "queued", op="c2", at_s=3.0)


MCP: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-34", delivered_then_queued, "then queued according to the check c2", "d1"),
    ("INV-60", answered_dispatched, "d1 must be answered with a task of bob that is queued", "d1"),
    ("INV-61", ended_after_its_budget, "ended 14.0 s after it was asked for; delegate_task_async has 8 s", "d1"),
    ("INV-62", sent_though_unmarshalled, "and bob was sent it all the same", "d1"),
    ("INV-63", status_not_told, "which must say http_status: 500", "d1"),
    ("INV-63", status_that_nobody_answered, "which must say a status that the agent answered", "d1"),
    ("INV-63", failure_of_no_kind, "failed with 'context canceled', which must say target_offline", "d1"),
    ("INV-64", answered_and_not_recorded, "was answered 'done', and the broker has no delegation of it", "d1"),
    ("INV-65", told_to_a_stranger, "is dee's, and was told that it is delivered", "c1"),
    ("INV-65", told_of_another_task, "was told of another task (id-d9)", "c1"),
    ("INV-65", task_not_found, "was told that there is no such task", "c1"),
    ("INV-66", delivered_before_the_reply, "until then nobody had replied to it", "c1"),
)
