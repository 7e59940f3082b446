"""Executions that do not come off, or are not ended; `EXECUTIONS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Contact, ModeRead, NodeChanged

from .histories import Run

ACCEPTED = (202, {"delegation_id": "id-d1", "status": "delegated"})


def never_sent() -> Run:
    run = Run().failed()
    run.without(Contact)
    return run


def never_sent_after_the_client_hung_up() -> Run:
    """H1: hanging up is no excuse."""
    run = never_sent()
    run.fault("f1", where="d1", at_s=0.011, until_s=0.012)
    return run


def sent_long_after_the_budget() -> Run:
    run = Run().completed()
    run.without(Contact)
    run.without(ModeRead)
    run.contact("id-d1", at_s=1900.0)
    return run


def still_dispatched() -> Run:
    run = Run()
    run.asked("d1", answer=ACCEPTED)
    run.contact("id-d1", at_s=0.1)
    run.inbound("id-d1")
    run.stored("id-d1", task="work of d1", status="dispatched")
    return run


def accepted_and_forgotten() -> Run:
    run = Run()
    run.asked("d1", answer=ACCEPTED)
    run.fault("f1", where="broker-database", at_s=0.0, until_s=9.0)
    return run


def accepted_with_a_warning_and_forgotten() -> Run:
    """The warning is no excuse: the broker's process lived on, after one that had ended before."""
    run = Run()
    run.entries += [NodeChanged(0.001, "broker", "killed"), NodeChanged(0.002, "broker", "started")]
    run.asked("d1", at_s=0.01, answer=(202, {**ACCEPTED[1], "warning": "status tracking unavailable"}))
    run.fault("f1", where="broker-database", at_s=0.0, until_s=9.0)
    return run


def queued_without_an_item() -> Run:
    run = Run()
    run.asked("d1", answer=ACCEPTED)
    run.stored("id-d1", task="work of d1", status="queued")
    run.fault("f1", where="broker-agent:bob", at_s=0.0, until_s=9.0)
    return run


def queue_item_claimed_for_ever() -> Run:
    """D3."""
    run = queued_without_an_item()
    run.item("id-d1", "dispatched", at_s=0.02)
    return run


EXECUTIONS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-01", never_sent, "d1 (ann to bob) was accepted and never reached bob", "d1"),
    ("INV-01", never_sent_after_the_client_hung_up, "though nothing but clients was disturbed", "d1"),
    ("INV-02", sent_long_after_the_budget, "still worked on 1900 s after it was asked for; its budget is 1800 s", "d1"),
    ("INV-03", still_dispatched, "d1 (ann to bob) is still dispatched after everything has healed", "d1"),
    ("INV-03", accepted_and_forgotten, "was accepted, and the broker knows nothing of it at the end", "d1"),
    ("INV-03", accepted_with_a_warning_and_forgotten, "the broker knows nothing of it at the end", "d1"),
    ("INV-03", queued_without_an_item, "is queued, and no item of the queue will end it (items: none)", "d1"),
    ("INV-03", queue_item_claimed_for_ever, "no item of the queue will end it (items: dispatched)", "d1"),
)
