"""No invariant complains about what a correct broker leaves, in each of the ways a piece of work can go."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from sim.history import Broadcast, Contact, Fail, Flags, Info, Invoke, ModeRead, NodeChanged, Ok
from sim.invariants.verdict import judge

from . import histories_mcp
from .histories import Run, at, scenario, workspace_id
from .spoiled_queues import dropped_with_its_delegator

UUID_COLUMNS = ("workspace_id", "source_id", "target_id", "caller_id", "callee_id")


def completed() -> Run:
    return Run().completed()


def failed() -> Run:
    return Run().failed()


def left_to_poll() -> Run:
    return Run().left_to_poll()


def sent() -> Run:
    return Run().sent()


def sent_to_a_poller() -> Run:
    run = Run().sent(target="cid", answer={"status": "queued", "delivery_mode": "poll"})
    run.without(Contact)
    run.without(ModeRead)
    return run


def retried_after_restarting() -> Run:
    run = Run().completed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1, status=503, restarting=True, text=None)
    run.contact("id-d1", at_s=8.1)
    return run


def retried_after_an_aborted_request_without_ids() -> Run:
    run = Run().completed()
    run.without(Contact)
    run.contact(None, at_s=0.1, delivered=False)
    run.contact("id-d1", at_s=8.2)
    return run


def answer_lost() -> Run:
    """The broker accepted, and the client never heard."""
    run = Run().completed()
    run.without(Ok)
    run.entries.append(Info(0.4, "d1", "the connection was reset"))
    return run


def two_alike_with_lost_answers() -> Run:
    run = Run().completed("d1").completed("d2", at_s=5.0)
    run.without(Ok)
    return run


def reported_by_the_poller() -> Run:
    run = Run()
    run.asked("d1", target="cid", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.inbound("id-d1", target="cid")
    run.stored("id-d1", task="work of d1", status="completed", target="cid")
    run.entries.append(Invoke(0.9, "r1", "report", "cid", {"delegation": "d1", "status": "completed", "text": "done"}))
    run.entries.append(Ok(1.2, "r1", 200, {"status": "completed"}))
    return run


def key_repeated() -> Run:
    run = Run().completed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "completed", "target_id": workspace_id("bob"), "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", answer=(200, hit))
    return run


def key_freed_by_a_failure() -> Run:
    return Run().failed("d1", key="k").completed("d2", key="k", at_s=3.0)


def key_freed_and_the_first_rows_gone() -> Run:
    """The original deletes the failed delegate row, and its ledger row makes room (D13)."""
    run = key_freed_by_a_failure()
    run.activity.remove(run.row("delegate"))
    del run.ledger[0], run.listing["ann"][0]
    return run


def one_key_of_two_sources() -> Run:
    return Run().completed("d1", key="k").completed("d2", key="k", source="cid", at_s=2.0)


def fallback_announced() -> Run:
    run = Run().completed()
    run.without(ModeRead)
    payload = {"delegation_id": "id-d1", "target_id": workspace_id("bob"), "reason": "deadlock detected"}
    run.entries.append(Broadcast(0.05, "DELIVERY_MODE_FALLBACK", workspace_id("ann"), payload))
    return run


def waiting_in_the_queue() -> Run:
    run = Run()
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.stored("id-d1", task="work of d1", status="queued")
    run.item("id-d1", "queued", at_s=0.02, attempts=0)
    return run


def drained_once_free() -> Run:
    return Run().drained()


def drained_in_order() -> Run:
    return Run().drained("d1").drained("d2", at_s=2.0, sent_s=70.0)


def urgent_drained_first() -> Run:
    run = Run().drained("d1", sent_s=70.0).drained("d2", at_s=2.0, sent_s=60.0)
    run.queue[1]["priority"] = 100
    return run


def older_sent_after_the_broker_had_lost_its_claim() -> Run:
    run = Run().drained("d1", sent_s=70.0).drained("d2", at_s=2.0, sent_s=60.0)
    run.fault("f1", where="broker-database", at_s=50.0, until_s=55.0)
    return run


def sent_on_a_free_heartbeat_that_was_not_answered() -> Run:
    run = Run().drained()
    run.entries = [entry for entry in run.entries if not (isinstance(entry, Ok) and entry.op == "d1-free")]
    return run


def sent_as_the_agent_becomes_busy() -> Run:
    run = Run().drained()
    run.beat("h1", at_s=59.95, active_tasks=1)
    return run


def pushed_to_a_busy_agent_after_an_announced_fallback() -> Run:
    run = Run().completed(at_s=1.0)
    run.beat("h1", at_s=0.5, active_tasks=1)
    payload = {"delegation_id": "id-d1", "target_id": workspace_id("bob"), "reason": "deadlock detected"}
    run.events.append({"event_type": "DELIVERY_MODE_FALLBACK", "payload": payload, "created_at": at(1.05)})
    return run


def exhausted_in_the_queue() -> Run:
    run = Run()
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.stored("id-d1", task="work of d1", status="failed", detail="failed to reach workspace agent")
    run.item("id-d1", "failed", at_s=0.02, attempts=5, last_error="failed to reach workspace agent")
    return run


def reply_lost_to_a_fault_of_the_link() -> Run:
    run = Run().failed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1)
    run.fault("f1", where="broker-agent:bob", at_s=0.05, until_s=5.0)
    return run


def reply_lost_with_the_broker() -> Run:
    run = Run().failed()
    run.without(Contact)
    run.contact("id-d1", at_s=0.1)
    run.entries += [NodeChanged(0.1015, "broker", "killed"), NodeChanged(0.9, "broker", "started")]
    return run


def taken_by_a_broker_that_is_never_back() -> Run:
    run = dropped_with_its_delegator()
    run.entries.append(NodeChanged(max(entry.at_s for entry in run.entries) + 1.0, "broker", "killed"))
    return run


def lost_with_the_broker_as_warned() -> Run:
    run = Run()
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated", "warning": "not tracked"}))
    run.entries += [NodeChanged(0.2, "broker", "killed"), NodeChanged(0.9, "broker", "started")]
    return run


def broker_never_back() -> Run:
    run = Run()
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.stored("id-d1", task="work of d1", status="pending")
    run.entries.append(NodeChanged(0.02, "broker", "killed"))
    return run


def without_ledger_and_inbox() -> Run:
    run = Run(flags=Flags(ledger=False, inbox_push=False)).completed()
    run.ledger.clear()
    run.activity.remove(run.row("inbox"))
    run.inbox.clear()
    return run


def ids_as_asyncpg_gives_them() -> Run:
    run = Run().completed()
    for row in (*run.activity, *run.ledger):
        row.update({column: UUID(row[column]) for column in row if column in UUID_COLUMNS and row[column] is not None})
    return run


def answers_of_every_kind() -> Run:
    run = Run().completed()
    run.entries += [Invoke(2.0, "i1", "inbox", "ann", {}), Ok(2.1, "i1", 200, [])]
    run.entries += [Invoke(2.2, "l1", "list", "ann", {}), Ok(2.3, "l1", 502, "<html>bad gateway</html>")]
    run.entries += [Invoke(2.4, "h1", "heartbeat", "bob", {"active_tasks": 1}), Ok(2.5, "h1", 204, None)]
    run.entries.append(Fail(2.6, "r1", "ann was never told the delegation id of d7"))
    return run


def polled_with_a_cursor() -> Run:
    """Four rows of one instant, in three polls; another workspace's cursor, and a lost one."""
    run = Run()
    for number in range(4):
        run.inbound(f"id-{number}", target="ann")
    run.inbound("id-cid", target="cid")
    run.polled("i1", at_s=1.0, since=None, given=[1, 0])
    run.polled("i2", at_s=2.0, since="row-1", given=[2])
    run.polled("i3", at_s=3.0, since="row-2", given=[3])
    run.polled("i4", at_s=4.0, since="row-3", given=[])
    run.polled("i5", at_s=5.0, since="row-4", given=[], status=410)
    run.polled("i6", at_s=6.0, since="row-99", given=[], status=410)
    run.polled("i7", at_s=7.0, since=None, given=[3, 2, 1, 0])
    return run


def denied_by_the_hierarchy() -> Run:
    """ann is a root, bob has a parent; nothing but the caller's own rows comes of it."""
    run = Run(parents={"bob": "dee"})
    run.asked("d1", answer=(202, {"delegation_id": "id-d1", "status": "delegated"}))
    run.stored("id-d1", task="work of d1", status="failed", detail="access denied")
    return run


def pushed_after_it_polled() -> Run:
    """cid asks to be pushed to; that it was made to poll says nothing any more."""
    run = Run().completed(target="cid", at_s=5.0)
    run.entries += [Invoke(1.0, "r1", "register", "cid", {"delivery": "push"}), Ok(1.1, "r1", 200, {})]
    return run


def recorded_and_open() -> Run:
    return Run().recorded()


def recorded_and_reported() -> Run:
    run = Run().recorded(status="failed", text="no model")
    run.reported("u2", of="r1", by="ann", status="failed", text="again", at_s=2.0)
    run.reported("u3", of="r1", by="dee", at_s=2.5, answer=(404, {"error": "delegation not found"}))
    run.reported("u4", of="r1", at_s=3.0, answer=(409, {"error": "already failed", "status": "failed"}))
    return run


def recorded_twice_with_a_lost_answer() -> Run:
    run = Run().recorded("r2")
    run.entries += [
        Invoke(0.5, "r3", "record", "ann", {"target": "bob", "task": "work", "id": "r2-recorded"}),
        Info(0.6, "r3", "ConnectionResetError"),
        Invoke(0.7, "r4", "record", "dee", {"target": "bob", "task": "work", "id": "r2-recorded"}),
        Ok(0.8, "r4", 409, {"error": "taken"}),
    ]
    return run


def stuck() -> Run:
    run = Run().recorded()
    run.ledger[0]["status"] = run.listing["ann"][0]["status"] = "stuck"
    run.heard["bob"] = at(300.0)
    return run


def failed_at_its_deadline() -> Run:
    run = Run().left_to_poll()
    run.activity.clear()
    run.ledger.clear()
    run.listing.clear()
    run.inbound("id-d1", target="cid")
    run.stored("id-d1", task="work of d1", status="failed", target="cid", ended_s=3700.0,
               detail="deadline exceeded by sweeper")  # fmt: skip
    run.ledger[0]["deadline"] = at(3600.0)
    return run


def overdue_while_the_database_was_away() -> Run:
    run = Run().recorded()
    run.ledger[0]["deadline"] = at(600.0)
    run.fault("f1", where="broker-database", at_s=500.0, until_s=3900.0)
    return run


def refused() -> Run:
    run = Run()
    run.asked("d1", answer=(400, {"error": "self-delegation not permitted"}))
    return run


CORRECT: tuple[Callable[[], Run], ...] = (
    completed,
    failed,
    left_to_poll,
    sent,
    sent_to_a_poller,
    retried_after_restarting,
    retried_after_an_aborted_request_without_ids,
    answer_lost,
    two_alike_with_lost_answers,
    reported_by_the_poller,
    key_repeated,
    key_freed_by_a_failure,
    key_freed_and_the_first_rows_gone,
    one_key_of_two_sources,
    fallback_announced,
    polled_with_a_cursor,
    denied_by_the_hierarchy,
    pushed_after_it_polled,
    waiting_in_the_queue,
    drained_once_free,
    drained_in_order,
    urgent_drained_first,
    older_sent_after_the_broker_had_lost_its_claim,
    sent_on_a_free_heartbeat_that_was_not_answered,
    sent_as_the_agent_becomes_busy,
    pushed_to_a_busy_agent_after_an_announced_fallback,
    exhausted_in_the_queue,
    reply_lost_to_a_fault_of_the_link,
    reply_lost_with_the_broker,
    broker_never_back,
    lost_with_the_broker_as_warned,
    taken_by_a_broker_that_is_never_back,
    without_ledger_and_inbox,
    ids_as_asyncpg_gives_them,
    answers_of_every_kind,
    recorded_and_open,
    recorded_and_reported,
    recorded_twice_with_a_lost_answer,
    stuck,
    failed_at_its_deadline,
    overdue_while_the_database_was_away,
    refused,
    *histories_mcp.CORRECT,
)


@pytest.mark.parametrize("made", CORRECT, ids=lambda made: made.__name__)
def test_a_correct_run_has_no_violation(made: Callable[[], Run]) -> None:
    assert judge(scenario(), made().history()).violations == ()
