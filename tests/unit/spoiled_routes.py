"""Messages that go where they must not, or leave no row; `ROUTES` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Contact, ModeRead

from .histories import Run, at, workspace_id


def pushed_without_a_reading() -> Run:
    run = Run().completed()
    run.without(ModeRead)
    return run


def pushed_on_a_reading_older_than_the_message() -> Run:
    run = Run().completed(at_s=5.0)
    run.without(ModeRead)
    run.entries.append(ModeRead(4.0, workspace_id("bob"), "push"))
    return run


def fallback_announced_too_late() -> Run:
    run = pushed_without_a_reading()
    payload = {"delegation_id": "id-d1", "target_id": workspace_id("bob"), "reason": "deadlock detected"}
    run.events.append({"event_type": "DELIVERY_MODE_FALLBACK", "payload": payload, "created_at": at(0.2)})
    return run


def fallback_without_a_reason() -> Run:
    run = pushed_without_a_reading()
    payload = {"delegation_id": None, "target_id": workspace_id("bob")}
    run.events.append({"event_type": "DELIVERY_MODE_FALLBACK", "payload": payload, "created_at": at(0.05)})
    return run


def pushed_to_a_poller() -> Run:
    """H2."""
    run = Run().left_to_poll()
    run.contact("id-d1", agent="cid", at_s=0.1, mode=None)
    return run


def poll_row_lost() -> Run:
    """H41."""
    run = Run().left_to_poll()
    run.activity.remove(run.row("inbound"))
    return run


def poll_row_doubled() -> Run:
    run = Run().left_to_poll()
    run.inbound("id-d1", target="cid")
    return run


def push_row_lost() -> Run:
    run = Run().sent()
    run.activity.remove(run.row("inbound"))
    return run


def push_row_lost_with_its_sender() -> Run:
    """H42: the sender hung up, and the agent replied all the same."""
    run = Run().completed()
    run.activity.remove(run.row("inbound"))
    return run


def push_row_doubled() -> Run:
    """H87."""
    run = Run().completed()
    run.inbound("id-d1")
    return run


def retried_on_the_reading_of_the_first_attempt() -> Run:
    run = Run().completed()
    run.entries = [entry for entry in run.entries if not isinstance(entry, Contact)]
    run.contacts = 0
    run.contact("id-d1", at_s=0.1, status=503, text=None, restarting=True)
    run.contact("id-d1", at_s=8.2, mode=None)
    return run


def sent_against_the_hierarchy() -> Run:
    return Run(parents={"bob": "dee"}).completed()


def left_against_the_hierarchy() -> Run:
    run = Run(parents={"cid": "dee"}).failed(target="cid")
    run.without(Contact)
    run.without(ModeRead)
    run.inbound("id-d1", target="cid")
    return run


ROUTES: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-10", pushed_without_a_reading, "d1 (ann to bob) was pushed to bob (its request 1) although", "d1"),
    ("INV-10", pushed_on_a_reading_older_than_the_message, "had not been read as push", "d1"),
    ("INV-10", fallback_announced_too_late, "no DELIVERY_MODE_FALLBACK was recorded before", "d1"),
    ("INV-11", fallback_without_a_reason, "The DELIVERY_MODE_FALLBACK event for bob does not say its reason", "bob"),
    ("INV-12", pushed_to_a_poller, "cid polls, but the broker sent it d1 (ann to cid) by HTTP (request 1)", "d1"),
    ("INV-13", poll_row_lost, "left 0 a2a_receive rows for cid where there must be exactly one", "d1"),
    ("INV-13", poll_row_doubled, "left 2 a2a_receive rows for cid where there must be exactly one", "d1"),
    ("INV-14", push_row_lost, "left 0 a2a_receive rows for bob where there must be exactly one", "s1"),
    ("INV-14", push_row_lost_with_its_sender, "left 0 a2a_receive rows for bob where there must be exactly one", "d1"),
    ("INV-14", push_row_doubled, "left 2 a2a_receive rows for bob where there must be exactly one", "d1"),
    ("INV-10", retried_on_the_reading_of_the_first_attempt, "had not been read as push", "d1"),
    ("INV-15", sent_against_the_hierarchy, "there are 1 requests at bob and 1 rows for it", "d1"),
    ("INV-15", left_against_the_hierarchy, "there are 0 requests at cid and 1 rows for it", "d1"),
)
