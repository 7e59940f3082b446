"""No invariant complains about what a correct broker leaves, in each of the ways a piece of work can go."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from sim.history import Broadcast, Contact, Fail, Flags, Info, Invoke, ModeRead, NodeChanged, Ok
from sim.invariants.verdict import judge

from .histories import Run, at, scenario, workspace_id

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
    run.queue.append({"body": {"params": {"message": {"messageId": "id-d1"}}}, "status": "queued"})
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
    waiting_in_the_queue,
    reply_lost_to_a_fault_of_the_link,
    reply_lost_with_the_broker,
    broker_never_back,
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
)


@pytest.mark.parametrize("made", CORRECT, ids=lambda made: made.__name__)
def test_a_correct_run_has_no_violation(made: Callable[[], Run]) -> None:
    assert judge(scenario(), made().history()).violations == ()
