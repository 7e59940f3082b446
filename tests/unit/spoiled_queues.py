"""Runs with a queue, each spoiled so that it breaks one invariant; `QUEUE` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Contact, Info, Invoke, ModeRead, Ok

from .histories import Run, at


def busy_and_contacted_all_the_same() -> Run:
    """H29, D24."""
    run = Run().completed(at_s=1.0)
    run.beat("h1", at_s=0.5, active_tasks=1)
    return run


def queued_answer_without_an_item() -> Run:
    """H18."""
    run = Run()
    run.entries.append(Invoke(0.0, "s1", "send", "ann", {"target": "bob", "text": "hello"}))
    run.entries.append(Ok(0.1, "s1", 202, {"queued": True, "queue_id": "q1", "queue_depth": 1}))
    return run


def dropped_with_its_sender() -> Run:
    """The queue forgets a message whose client does not wait for the answer (#2930)."""
    run = Run()
    run.beat("h1", at_s=0.5, active_tasks=1)
    run.entries.append(Invoke(1.0, "s1", "send", "ann", {"target": "bob", "text": "hello"}))
    run.entries.append(Info(1.01, "s1", "the client hung up"))
    run.inbound("s1-message")
    run.fault("f1", where="s1", at_s=1.01, until_s=1.01)
    return run


def dropped_with_its_delegator() -> Run:
    run = Run()
    run.beat("h1", at_s=0.5, active_tasks=1)
    run.asked("d1", at_s=1.0)
    run.entries.append(Info(1.01, "d1", "the client hung up"))
    run.stored("id-d1", task="work of d1", status="failed", at_s=1.005, ended_s=1.1)
    return run


def two_items_of_a_message() -> Run:
    run = Run()
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.stored("id-d1", task="work of d1", status="queued")
    run.item("id-d1", "queued", at_s=0.02, attempts=0)
    run.item("id-d1", "queued", at_s=0.03, attempts=0)
    return run


def sent_by_two_drains() -> Run:
    run = Run().drained()
    run.contact("id-d1", at_s=59.95, delivered=False)
    return run


def newer_sent_first() -> Run:
    return Run().drained("d1", sent_s=70.0).drained("d2", at_s=2.0, sent_s=60.0)


def less_urgent_sent_first() -> Run:
    run = Run().drained("d1").drained("d2", at_s=2.0, sent_s=70.0)
    run.queue[1]["priority"] = 100
    return run


def expired_and_sent() -> Run:
    run = Run().drained()
    run.queue[0]["expires_at"] = at(30.0)
    return run


def message_claimed_for_ever() -> Run:
    """D3."""
    run = Run()
    run.entries.append(Invoke(0.0, "s1", "send", "ann", {"target": "bob", "text": "hello"}))
    run.entries.append(Ok(0.1, "s1", 202, {"queued": True, "queue_id": "q1", "queue_depth": 1}))
    run.item("s1-message", "dispatched", at_s=0.05)
    return run


def completed_without_a_reply() -> Run:
    """D1."""
    run = message_claimed_for_ever()
    run.queue[0]["status"] = "completed"
    return run


def attempted_six_times() -> Run:
    run = Run().drained()
    run.queue[0]["attempts"] = 6
    return run


def reply_of_another() -> Run:
    run = Run().drained()
    run.row("result")["response_body"]["text"] = "of another delegation"
    return run


def failed_for_another_reason() -> Run:
    run = Run().failed()
    run.without(Contact)
    run.without(ModeRead)
    run.item("id-d1", "failed", at_s=0.02, attempts=5, last_error="failed to reach workspace agent")
    return run


def completed_though_its_item_was_dropped() -> Run:
    run = Run().drained()
    run.queue[0] |= {"status": "dropped", "last_error": "expired in the queue"}
    return run


def drained_while_busy() -> Run:
    run = Run().drained()
    run.beat("h1", at_s=59.95, active_tasks=1)
    run.without(Contact)
    run.without(ModeRead)
    run.contact("id-d1", at_s=90.0)
    return run


def heartbeat_not_told() -> Run:
    run = Run()
    run.beat("h1", at_s=0.5, active_tasks=0)
    run.events.clear()
    return run


def heartbeat_told_twice() -> Run:
    run = Run()
    run.beat("h1", at_s=0.5, active_tasks=0)
    run.events.append(dict(run.events[0]))
    return run


QUEUE: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-70", busy_and_contacted_all_the_same, "was sent to bob, which had said that it is busy", "d1"),
    ("INV-70", queued_answer_without_an_item, "was answered 202 queued, and there is no item of it", "s1"),
    ("INV-71", dropped_with_its_sender, "was taken while bob was busy, its client hung up, and there is no item", "s1"),
    ("INV-71", dropped_with_its_delegator, "its client hung up, and there is no item of it", "d1"),
    ("INV-72", two_items_of_a_message, "has 2 items that wait or are on their way", "d1"),
    ("INV-73", sent_by_two_drains, "was sent 2 times from the queue in 1 attempts", "d1"),
    ("INV-74", newer_sent_first, "was sent after d2 (ann to bob), which came behind it in the queue", "d1"),
    ("INV-74", less_urgent_sent_first, "was sent after d1 (ann to bob), which came behind it in the queue", "d2"),
    ("INV-74", expired_and_sent, "was sent 30.0 s after it had expired", "d1"),
    ("INV-75", message_claimed_for_ever, "has an item that is on its way for ever", "s1"),
    ("INV-75", completed_without_a_reply, "has a completed item although bob never replied to it", "s1"),
    ("INV-76", attempted_six_times, "has an item with 6 attempts; 5 is the most", "d1"),
    ("INV-78", reply_of_another, "was replied 'done'; its result is 'of another delegation'", "d1"),
    ("INV-79", failed_for_another_reason, "its item is failed (failed to reach workspace agent)", "d1"),
    ("INV-79", completed_though_its_item_was_dropped, "and its item is dropped (expired in the queue)", "d1"),
    ("INV-80", drained_while_busy, "was sent from the queue although bob had been busy since 60.0 s", "d1"),
    ("INV-81", heartbeat_not_told, "bob sent 1 heartbeats, 1 of them acknowledged; 0 events tell of them", "bob"),
    ("INV-81", heartbeat_told_twice, "bob sent 1 heartbeats, 1 of them acknowledged; 2 events tell of them", "bob"),
)
