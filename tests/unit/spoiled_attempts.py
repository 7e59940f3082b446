"""Attempts that are one too many, or understood wrongly; `ATTEMPTS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Contact, FaultBegan, NodeChanged

from .histories import Run


def sent_three_times() -> Run:
    run = Run().completed()
    run.without(Contact)
    for at_s in (0.1, 8.2, 16.3):
        run.contact("id-d1", at_s=at_s, status=503 if at_s < 16 else 200, restarting=at_s < 16)
    return run


def retried_at_once() -> Run:
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, delivered=False)
    run.contact("id-d1", at_s=3.1)
    return run


def retried_after_busy() -> Run:
    """H11."""
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, status=503)
    run.contact("id-d1", at_s=8.2)
    return run


def retried_after_a_partial_reply() -> Run:
    """H10."""
    run = Run().completed()
    run.contact("id-d1", at_s=8.2)
    return run


def failed_after_a_reply() -> Run:
    run = Run().failed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1)
    run.inbound("id-d1")
    return run


def failed_after_a_reply_while_the_database_was_down() -> Run:
    """A database that comes back does not excuse it."""
    run = failed_after_a_reply()
    run.fault("f1", where="broker-database", at_s=0.05, until_s=3.0)
    return run


def failed_after_a_reply_long_after_the_broker_was_killed() -> Run:
    """A kill excuses what it struck, not what came after the restart; its fault is never healed by name."""
    run = Run().completed("d0").failed("d1", at_s=20.0)
    run.entries = [entry for entry in run.entries if not (isinstance(entry, Contact) and entry.contact == 2)]
    run.contact("id-d1", at_s=20.1)
    run.entries += [
        FaultBegan(3.0, "f1", "the broker loses power", "broker"),
        NodeChanged(3.0, "broker", "killed"),
        NodeChanged(5.0, "broker", "started"),
    ]
    return run


def retried_after_silence() -> Run:
    """D24."""
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, status=None, text=None)
    run.contact("id-d1", at_s=8.2)
    return run


def send_repeated_after_an_empty_2xx() -> Run:
    """D4, on a message of the proxy."""
    run = Run().sent()
    run.without(Contact)
    run.contact("s1-message", at_s=0.1, body_bytes=0)
    run.contact("s1-message", at_s=8.2)
    return run


def completed_by_an_empty_reply() -> Run:
    """H83."""
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, body_bytes=0, text=None)
    return run


def completed_by_the_envelope() -> Run:
    """D9: the answer to a poll target is taken for its reply."""
    run = Run().completed(target="cid")
    run.without(Contact)
    return run


ATTEMPTS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-20", sent_three_times, "d1 (ann to bob) was sent to bob 3 times; 2 is the most", "d1"),
    ("INV-21", retried_at_once, "again 3.000 s after the first attempt; the delay is 8 s", "d1"),
    ("INV-22", retried_after_busy, "(request 3) although the agent had got it in request 2: it answered 503", "d1"),
    ("INV-23", retried_after_a_partial_reply, "it answered 200 with 120 bytes", "d1"),
    (
        "INV-23",
        failed_after_a_reply,
        "ended failed (the agent answered 500) although bob answered 200 with 120 bytes",
        "d1",
    ),
    ("INV-23", failed_after_a_reply_while_the_database_was_down, "although bob answered 200", "d1"),
    ("INV-23", failed_after_a_reply_long_after_the_broker_was_killed, "although bob answered 200", "d1"),
    ("INV-24", retried_after_silence, "was given the whole message", "d1"),
    ("INV-24", send_repeated_after_an_empty_2xx, "s1 (ann to bob) was sent to bob again", "s1"),
    ("INV-25", completed_by_an_empty_reply, "is completed although bob answered 200 without a body", "d1"),
    ("INV-26", completed_by_the_envelope, "is completed ('done') although cid never replied to it", "d1"),
)
