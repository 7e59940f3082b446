"""Each invariant fails on the smallest spoiling of a correct run that breaks it, and on that none other does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sim.history import Broadcast, Contact, FaultBegan, Flags, Invoke, ModeRead, NodeChanged, Ok
from sim.invariants import registry
from sim.invariants.registry import ALL
from sim.invariants.verdict import judge
from sim.scenario.loading import load_file

from . import histories_mcp as mcp
from .histories import Run, at, scenario, workspace_id
from .spoiled_queues import QUEUE

SCENARIOS = Path(__file__).parents[2] / "scenarios"

ACCEPTED = (202, {"delegation_id": "id-d1", "status": "delegated"})


@dataclass(frozen=True)
class Case:
    """`spoiled` breaks `invariant` alone; the sentence about `subject` contains `says`."""

    invariant: str
    spoiled: Callable[[], Run]
    says: str
    subject: str = "d1"


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


def inbox_of(*polls: tuple[str | None, list[int]], status: int = 200, rows: int = 4) -> Run:
    """Polls of ann's inbox, which has rows of one instant; the row after them is cid's."""
    run = Run()
    for number in range(rows):
        run.inbound(f"id-{number}", target="ann")
    run.inbound("id-cid", target="cid")
    for number, (since, given) in enumerate(polls, start=1):
        run.polled(f"i{number}", at_s=float(number), since=since, given=given, status=status)
    return run


def row_of_the_same_instant_skipped() -> Run:
    """H43."""
    return inbox_of((None, [0]), ("row-0", [2, 3]))


def row_that_came_late_skipped() -> Run:
    """D27: it became visible behind what the first poll was given."""
    return inbox_of((None, [3, 1, 0]))


def row_before_the_first_skipped() -> Run:
    return inbox_of((None, [3, 2, 1]))


def cursor_row_given_again() -> Run:
    return inbox_of((None, [0]), ("row-0", [0, 1]))


def newest_first_behind_a_cursor() -> Run:
    return inbox_of((None, [0]), ("row-0", [2, 1]))


def foreign_cursor_taken() -> Run:
    return inbox_of(("row-4", []))


def lost_cursor_taken() -> Run:
    return inbox_of(("row-99", []))


def own_cursor_refused() -> Run:
    return inbox_of(("row-0", []), status=410)


def foreign_rows_given() -> Run:
    return inbox_of((None, [4]))


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


def key_accepted_twice() -> Run:
    """H15, one after the other."""
    return Run().completed("d1", key="k").completed("d2", key="k", at_s=3.0)


def key_freed_before_the_failure() -> Run:
    run = Run().failed("d1", key="k").completed("d2", key="k", at_s=3.0)
    run.events[0]["created_at"] = at(30.0)
    return run


def hit_that_does_not_say_so() -> Run:
    run = Run().completed("d1", key="k")
    run.asked("d2", at_s=3.0, key="k", answer=(200, {"delegation_id": "id-d1", "status": "completed"}))
    return run


def hit_with_another_target() -> Run:
    """D12."""
    run = Run().completed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "completed", "target_id": workspace_id("bob"), "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", target="dee", answer=(200, hit))
    return run


def key_accepted_twice_in_a_race() -> Run:
    return Run().completed("d1", key="k").completed("d2", key="k", at_s=0.005)


def failed_key_still_held() -> Run:
    """H16."""
    run = Run().failed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "failed", "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", answer=(200, hit))
    return run


def key_held_by_what_was_said_to_have_failed() -> Run:
    run = Run().failed("d1", key="k")
    run.asked("d2", at_s=3.0, key="k", answer=(200, {"delegation_id": "id-d1", "idempotent_hit": True}))
    return run


def keys_of_two_sources_mixed() -> Run:
    run = Run().completed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "completed", "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", source="cid", answer=(200, hit))
    return run


def repetition_without_a_key() -> Run:
    run = Run().completed()
    answer = (200, {"delegation_id": "id-d9", "status": "completed", "idempotent_hit": True})
    run.completed("d9", at_s=2.0)
    run.entries = [
        Ok(entry.at_s, "d9", *answer) if isinstance(entry, Ok) and entry.op == "d9" else entry for entry in run.entries
    ]
    return run


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


CASES = (
    Case("INV-01", never_sent, "d1 (ann to bob) was accepted and never reached bob"),
    Case("INV-01", never_sent_after_the_client_hung_up, "though nothing but clients was disturbed"),
    Case("INV-02", sent_long_after_the_budget, "still worked on 1900 s after it was asked for; its budget is 1800 s"),
    Case("INV-03", still_dispatched, "d1 (ann to bob) is still dispatched after everything has healed"),
    Case("INV-03", accepted_and_forgotten, "was accepted, and the broker knows nothing of it at the end"),
    Case("INV-03", queued_without_an_item, "is queued, and no item of the queue will end it (items: none)"),
    Case("INV-03", queue_item_claimed_for_ever, "no item of the queue will end it (items: dispatched)"),
    Case("INV-10", pushed_without_a_reading, "d1 (ann to bob) was pushed to bob (its request 1) although"),
    Case("INV-10", pushed_on_a_reading_older_than_the_message, "had not been read as push"),
    Case("INV-10", fallback_announced_too_late, "no DELIVERY_MODE_FALLBACK was recorded before"),
    Case(
        "INV-11", fallback_without_a_reason, "The DELIVERY_MODE_FALLBACK event for bob does not say its reason", "bob"
    ),
    Case("INV-12", pushed_to_a_poller, "cid polls, but the broker sent it d1 (ann to cid) by HTTP (request 1)"),
    Case("INV-13", poll_row_lost, "left 0 a2a_receive rows for cid where there must be exactly one"),
    Case("INV-13", poll_row_doubled, "left 2 a2a_receive rows for cid where there must be exactly one"),
    Case("INV-14", push_row_lost, "left 0 a2a_receive rows for bob where there must be exactly one", "s1"),
    Case("INV-14", push_row_lost_with_its_sender, "left 0 a2a_receive rows for bob where there must be exactly one"),
    Case("INV-14", push_row_doubled, "left 2 a2a_receive rows for bob where there must be exactly one"),
    Case("INV-10", retried_on_the_reading_of_the_first_attempt, "had not been read as push"),
    Case("INV-15", sent_against_the_hierarchy, "there are 1 requests at bob and 1 rows for it"),
    Case("INV-15", left_against_the_hierarchy, "there are 0 requests at cid and 1 rows for it"),
    Case("INV-18", ended_by_a_stranger, "was reported completed by dee, who is no party of it, and u2 was", "r1"),
    Case("INV-18", recorded_under_a_taken_id, "r2 of ann to dee was recorded under the id of", "r1/r2"),
    Case("INV-20", sent_three_times, "d1 (ann to bob) was sent to bob 3 times; 2 is the most"),
    Case("INV-21", retried_at_once, "again 3.000 s after the first attempt; the delay is 8 s"),
    Case("INV-22", retried_after_busy, "(request 3) although the agent had got it in request 2: it answered 503"),
    Case("INV-23", retried_after_a_partial_reply, "it answered 200 with 120 bytes"),
    Case(
        "INV-23", failed_after_a_reply, "ended failed (the agent answered 500) although bob answered 200 with 120 bytes"
    ),
    Case("INV-23", failed_after_a_reply_while_the_database_was_down, "although bob answered 200"),
    Case("INV-23", failed_after_a_reply_long_after_the_broker_was_killed, "although bob answered 200"),
    Case("INV-24", retried_after_silence, "was given the whole message"),
    Case("INV-24", send_repeated_after_an_empty_2xx, "s1 (ann to bob) was sent to bob again", "s1"),
    Case("INV-25", completed_by_an_empty_reply, "is completed although bob answered 200 without a body"),
    Case("INV-26", completed_by_the_envelope, "is completed ('done') although cid never replied to it"),
    Case("INV-30", result_row_missing, "ended failed with 0 terminal result rows instead of 1"),
    Case("INV-30", result_row_doubled, "ended completed with 2 terminal result rows instead of 1"),
    Case("INV-30", event_not_recorded, "ended completed with 0 terminal events recorded instead of 1"),
    Case("INV-30", broadcast_twice, "ended completed with 2 terminal events broadcast instead of 1"),
    Case("INV-31", inbox_row_missing, "d1 (ann to bob) is completed: ann must have 1 inbox rows of it, there are 0"),
    Case("INV-31", inbox_row_doubled, "ann must have 1 inbox rows of it, there are 2"),
    Case("INV-31", inbox_row_while_queued, "is queued: ann must have 0 inbox rows of it, there are 1"),
    Case("INV-31", inbox_row_though_switched_off, "inbox rows are switched off: ann must have 0"),
    Case("INV-32", failure_told_as_ok, "which ended failed, says ok instead of error"),
    Case("INV-32", failure_told_without_why, "which ended failed, does not say why"),
    Case("INV-32", inbox_row_without_the_id, "does not name the delegation in its response_body"),
    Case("INV-33", dropped_by_the_poller, "The poller of ann was given the result of d1 (ann to bob) 0 times"),
    Case("INV-33", given_twice_by_the_poller, "2 times instead of 1"),
    Case("INV-34", listed_completed_then_failed, "was completed according to the listing l1, then failed according to"),
    Case("INV-34", report_accepted_and_overruled, "then failed according to the accepted report r1"),
    Case("INV-34", terminal_then_open_again, "was completed according to the listing l1, then queued according to"),
    Case("INV-35", result_replaced_by_a_second_report, "and u2 replaced what was stored by 'second'", "r1"),
    Case("INV-36", preview_lost, "is completed in the ledger without a preview of its text 'done'"),
    Case("INV-36", preview_too_long, "has a preview of more than 4096 bytes in the ledger"),
    Case("INV-37", delegate_row_without_why, "is failed and its delegate row does not say why"),
    Case("INV-38", ledger_left_behind, "is completed in its delegate row and is dispatched in the ledger"),
    Case("INV-38", ledger_row_missing, "is completed in its delegate row and has no ledger row"),
    Case("INV-39", ledger_written_though_switched_off, "The ledger is switched off and has 1 rows", "ledger"),
    Case("INV-40", ledger_went_back, "The ledger row of d1 (ann to cid) went from dispatched to queued"),
    Case("INV-42", not_listed, "is completed, but ann's listing does not list it"),
    Case("INV-42", listed_in_another_state, "is completed, but ann's listing lists it as dispatched"),
    Case("INV-50", key_accepted_twice, "d1 and d2 of ann have the key 'k' and became two delegations", "d1/d2"),
    Case("INV-50", key_freed_before_the_failure, "though the first was not failed then", "d1/d2"),
    Case("INV-50", hit_that_does_not_say_so, "d2 was answered 200 for its key without idempotent_hit", "d2"),
    Case("INV-50", hit_with_another_target, "d2 delegates to dee and was answered 200 with a delegation to bob", "d2"),
    Case("INV-51", key_accepted_twice_in_a_race, "d1 and d2 of ann have the key 'k' and became two", "d1/d2"),
    Case("INV-52", failed_key_still_held, "which it says has failed, instead of a new one", "d2"),
    Case("INV-52", key_held_by_what_was_said_to_have_failed, "which had failed before, instead of a new one", "d2"),
    Case("INV-53", keys_of_two_sources_mixed, "do not share a source and a key", "d1/d2"),
    Case("INV-53", repetition_without_a_key, "d9 has no key and was answered as a repetition", "d9"),
    Case("INV-34", mcp.delivered_then_queued, "then queued according to the check c2"),
    Case("INV-60", mcp.answered_dispatched, "d1 must be answered with a task of bob that is queued"),
    Case("INV-61", mcp.ended_after_its_budget, "ended 14.0 s after it was asked for; delegate_task_async has 8 s"),
    Case("INV-62", mcp.sent_though_unmarshalled, "and bob was sent it all the same"),
    Case("INV-63", mcp.status_not_told, "which must say http_status: 500"),
    Case("INV-63", mcp.status_that_nobody_answered, "which must say a status that the agent answered"),
    Case("INV-63", mcp.failure_of_no_kind, "failed with 'context canceled', which must say target_offline"),
    Case("INV-64", mcp.answered_and_not_recorded, "was answered 'done', and the broker has no delegation of it"),
    Case("INV-65", mcp.told_to_a_stranger, "is dee's, and was told that it is delivered", "c1"),
    Case("INV-65", mcp.told_of_another_task, "was told of another task (id-d9)", "c1"),
    Case("INV-65", mcp.task_not_found, "was told that there is no such task", "c1"),
    Case("INV-66", mcp.delivered_before_the_reply, "until then nobody had replied to it", "c1"),
    Case("INV-90", row_of_the_same_instant_skipped, "skips 1 of the rows before its last one", "i2"),
    Case("INV-90", row_that_came_late_skipped, "skips 1 of the rows before its last one", "i1"),
    Case("INV-90", row_before_the_first_skipped, "skips 1 of the rows before its last one", "i1"),
    Case("INV-90", cursor_row_given_again, "has rows that are not past its cursor", "i2"),
    Case("INV-90", newest_first_behind_a_cursor, "has rows in another order than they came", "i2"),
    Case("INV-91", foreign_cursor_taken, "was answered 200 to a cursor that is no row of its own", "i1"),
    Case("INV-91", lost_cursor_taken, "was answered 200 to a cursor that is no row of its own", "i1"),
    Case("INV-91", own_cursor_refused, "was answered 410, though the cursor's row is its own and is there", "i1"),
    Case("INV-91", foreign_rows_given, "was given rows of another workspace", "i1"),
    *(Case(*spoiled) for spoiled in QUEUE),
    Case("INV-95", left_open_past_its_deadline, "is still dispatched 3400 s after its deadline", "r1"),
    Case("INV-95", failed_before_its_deadline, "was failed for its deadline 21599 s before it"),
    Case("INV-96", stuck_without_a_sign_of_life, "is stuck although bob was never heard", "r1"),
    Case("INV-97", rewritten_by_a_sweep, "was changed 299 s after it was completed"),
    Case("INV-98", report_refused_for_being_stuck, "and u1 was refused because it is stuck", "r1"),
    Case("INV-98", report_refused_as_unknown, "and u1 was refused as unknown", "r1"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.invariant}-{case.spoiled.__name__}")
def test_a_spoiled_run_breaks_one_invariant(case: Case) -> None:
    history = case.spoiled().history()
    judgement = judge(scenario(), history)

    assert [violation.invariant for violation in judgement.violations] == [case.invariant]
    violation = judgement.violations[0]
    assert case.says in violation.sentence
    assert violation.subject == case.subject
    assert violation.entries and all(0 <= index < len(history.entries) for index in violation.entries)
    assert judgement.verdict == "failed"


def test_every_invariant_has_a_case_that_breaks_it() -> None:
    assert {case.invariant for case in CASES} == {invariant.id for invariant in ALL}


def test_invariants_are_in_order_and_each_is_one_sentence() -> None:
    assert [invariant.id for invariant in ALL] == sorted({invariant.id for invariant in ALL})
    for invariant in ALL:
        assert invariant.statement.endswith(".") and ". " not in invariant.statement
        assert invariant.source


def test_the_readme_has_the_table() -> None:
    readme = Path(registry.__file__).with_name("README.md").read_text(encoding="utf-8")
    for each in ALL:
        file = each.check.__module__.rsplit(".", 1)[1]
        row = re.search(rf"^\| {each.id} \| (.*) \|$", readme, re.MULTILINE)
        assert row is not None, each.id
        statement, source, named, scenario = row[1].split(" | ")
        assert (statement, source, named) == (each.statement, each.source, f"`{file}.py`")
        if not scenario.startswith("none: "):
            covers = load_file(SCENARIOS / f"{scenario.strip('`')}.yaml").covers
            assert each.id in covers, f"{scenario} does not cover {each.id}"
