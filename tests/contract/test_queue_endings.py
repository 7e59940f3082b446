"""How an item of the queue ends, and what its delegation and its caller get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.contract.agents import Behaviour, after, answers, resets, says
from tests.contract.database import Database
from tests.contract.queue_steps import NO_SWEEP, beat, ended, item, order_of, waiting
from tests.contract.virtual import in_virtual_time
from tests.contract.world import BOB, NOBODY, World, world

CAPACITY_TEXT = "Delegation queued — target at capacity"

# How a delegation fares


QUEUED_ROWS = [("delegation", "delegate", "queued"), ("delegation", "delegate_result", "queued")]


def test_a_delegation_waits_and_its_late_reply_completes_it(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("done at last"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d, other = await waiting(it), await waiting(it, task="something else")
            assert await it.kinds(d) == QUEUED_ROWS
            placeholder = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 "
                                       "AND method = 'delegate_result'", d)  # fmt: skip
            assert placeholder["summary"] == CAPACITY_TEXT
            assert json.loads(placeholder["response_body"]) == {"delegation_id": d, "queued": True}
            assert (await item(it, d))["status"] == "queued"
            await beat(it)
            assert await it.settled(d) == "completed"
            assert await it.kinds(d) == [
                ("delegation", "delegate", "completed"),
                ("delegation", "delegate_result", "completed"),
                ("a2a_receive", "delegate_result", "ok"),
            ]
            result = await it.one("SELECT * FROM activity_logs WHERE id = $1", placeholder["id"])
            assert json.loads(result["response_body"]) == {"delegation_id": d, "text": "done at last"}
            assert (await item(it, d))["status"] == "completed"
            ledger = await it.one("SELECT status, result_preview FROM delegations WHERE delegation_id = $1", d)
            assert tuple(ledger) == ("completed", "done at last")
            events = await it.events(d)
            assert [name for name, _ in events] == ["DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_COMPLETE"]
            assert events[1][1] == {"delegation_id": d, "target_id": BOB, "status": "queued"}
            assert events[2][1] == {
                "delegation_id": d,
                "target_id": BOB,
                "response_preview": "done at last",
                "via": "queue_drain",
            }
            # The other delegation to the same target is untouched (INV-78).
            assert await it.kinds(other) == QUEUED_ROWS

    in_virtual_time(database, play())


JSON_RPC_ERROR = answers(b'{"jsonrpc":"2.0","id":"1","error":{"code":-32000,"message":"no"}}')


@pytest.mark.parametrize(
    ("behaviour", "item_status", "error", "status", "detail"),
    [
        (answers(b'{"error":"oops"}', status="500 X"), "failed", "oops", "failed", "oops"),
        (answers(b'{"busy":true}', status="503 X"), "failed", "Service Unavailable", "failed", "Service Unavailable"),
        (answers(b"", status="502 X"), "failed", "Bad Gateway", "failed", "Bad Gateway"),
        (
            answers(b""),
            "failed",
            "agent returned empty response body",
            "failed",
            "agent returned empty response body",
        ),
        (JSON_RPC_ERROR, "completed", None, "failed", "no"),
        (
            resets,
            "failed",
            "delivery_unknown: connection lost before a reply",
            "failed",
            "delivery_unknown: connection lost before a reply",
        ),
        (answers(b'{"queued":true}', status="202 X"), "completed", None, "queued", None),
    ],
)
def test_what_the_agent_got_is_not_sent_again(
    database: Database, behaviour: Behaviour, item_status: str, error: str | None, status: str, detail: str | None
) -> None:
    async def play() -> None:
        async with world(database, behaviour, says("no")) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await beat(it)
            row = await ended(it, d, item_status)
            assert (row["attempts"], row["last_error"]) == (1, error)
            await asyncio.sleep(60)
            assert len(it.bob.requests) == 1
            delegate = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", d)
            assert (delegate["status"], delegate["error_detail"]) == (status, detail)
            if status == "failed":
                assert (await it.kinds(d))[-1] == ("a2a_receive", "delegate_result", "error")
                assert (await it.events(d))[-1] == (
                    "DELEGATION_FAILED",
                    {"delegation_id": d, "target_id": BOB, "error": detail, "via": "queue_drain"},
                )

    in_virtual_time(database, play())


RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 X")


@pytest.mark.parametrize(
    ("refusals", "item_status", "status", "attempts"), [(4, "completed", "completed", 5), (5, "failed", "failed", 5)]
)
def test_what_was_not_delivered_has_five_attempts(
    database: Database, refusals: int, item_status: str, status: str, attempts: int
) -> None:
    async def play() -> None:
        async with world(database, *[RESTARTING] * refusals, says("done"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            for number in range(1, attempts):
                await beat(it)
                row = await ended(it, d, "queued", attempts=number)
                assert (row["last_error"], row["dispatched_at"]) == ("restarting", None)
                assert await it.kinds(d) == QUEUED_ROWS
            await beat(it)
            row = await ended(it, d, item_status)
            assert row["attempts"] == attempts
            assert await it.settled(d) == status
            assert len(it.bob.requests) == attempts

    in_virtual_time(database, play())


async def reported(it: World, d: str) -> None:
    report = {"status": "completed", "response_preview": "by other means"}
    assert (await it.post(f"/workspaces/{BOB}/delegations/{d}/update", report))[0] == 200


def test_what_was_reported_while_it_waited_is_not_sent(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await reported(it, d)
            await beat(it)
            row = await ended(it, d, "dropped")
            assert row["last_error"] == "the delegation is completed already"
            assert it.bob.requests == []
            assert [name for name, _ in await it.events(d)].count("DELEGATION_COMPLETE") == 1

    in_virtual_time(database, play())


def test_a_report_that_comes_first_keeps_the_drained_reply_out(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(30, says("too late")), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await beat(it)
            await it.bob.contacted.wait()
            await reported(it, d)
            await ended(it, d, "completed")
            result = await it.one("SELECT response_body FROM activity_logs WHERE delegation_id = $1 "
                                  "AND activity_type = 'delegation' AND method = 'delegate_result'", d)  # fmt: skip
            assert json.loads(result[0])["text"] == "by other means"

    in_virtual_time(database, play())


# Dropping


async def expire(it: World, d: str) -> None:
    await it.rows.execute("UPDATE a2a_queue SET expires_at = enqueued_at WHERE idempotency_key = $1", d)


async def grow_old(it: World, d: str) -> None:
    await it.rows.execute(
        "UPDATE a2a_queue SET enqueued_at = $1 WHERE idempotency_key = $2", it.now - timedelta(hours=2), d
    )
    assert await it.post("/admin/a2a-queue/drop-stale", {}) == (200, {"dropped": 1})


@pytest.mark.parametrize(
    ("drop", "reason"), [(expire, "expired in the queue"), (grow_old, "dropped from the queue: older than 60 min")]
)
def test_a_dropped_item_fails_its_delegation(
    database: Database, drop: Callable[[World, str], Awaitable[None]], reason: str
) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            d, other = await waiting(it), await waiting(it, task="other")
            await drop(it, d)
            row = await ended(it, d, "dropped")
            assert (row["last_error"], row["attempts"], row["completed_at"] is None) == (reason, 0, False)
            assert await it.settled(d) == "failed"
            assert (await it.kinds(d))[1:] == [
                ("delegation", "delegate_result", "failed"),
                ("a2a_receive", "delegate_result", "error"),
            ]
            assert (await it.events(d))[-1] == (
                "DELEGATION_FAILED",
                {"delegation_id": d, "target_id": BOB, "error": reason, "via": "queue_drain_drop"},
            )
            await beat(it)
            assert await it.settled(other) == "completed"
            assert await order_of(it) == [other]

    in_virtual_time(database, play())


# Restarts and a database that fails


def test_what_was_claimed_and_never_sent_is_sent_after_a_restart(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await it.rows.execute("UPDATE a2a_queue SET status = 'dispatched', attempts = 5, claim_id = $1", NOBODY)
            await it.restart()
            await it.rows.execute("UPDATE workspaces SET active_tasks = 0 WHERE id = $1", BOB)
            assert await it.settled(d) == "completed"
            assert (await item(it, d))["attempts"] == 5

    in_virtual_time(database, play())


def test_what_may_have_been_sent_fails_after_a_restart(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(3600, says("late")), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await beat(it)
            await it.bob.contacted.wait()
            await it.restart()
            detail = "delivery_unknown: broker restarted while the request was in flight"
            row = await item(it, d)
            assert (row["status"], row["last_error"]) == ("failed", detail)
            assert await it.status(d) == "failed"
            assert (await it.kinds(d))[-1] == ("a2a_receive", "delegate_result", "error")
            assert len(it.bob.requests) == 1

    in_virtual_time(database, play())


@pytest.mark.parametrize("fault", ["lose", "ack"])
@pytest.mark.parametrize("at", range(1, 15))
def test_a_drain_survives_the_loss_of_any_message_to_the_database(database: Database, at: int, fault: str) -> None:
    """The claim, the gates, the mark, the inbound row, the stitch: whichever it is, one delivery and one outcome."""

    async def play() -> None:
        async with world(
            database,
            database_pool_size=1,
        ) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await it.rows.execute("UPDATE workspaces SET active_tasks = 0 WHERE id = $1", BOB)
            it.wire.arm(at, fault)
            assert await it.settled(d) == "completed"
            row = await ended(it, d, "completed")
            assert 1 <= row["attempts"] <= 5
            assert await order_of(it) == [d]
            assert [name for name, _ in await it.events(d)].count("DELEGATION_COMPLETE") == 1
            assert (await it.kinds(d))[1:] == [
                ("delegation", "delegate_result", "completed"),
                ("a2a_receive", "delegate_result", "ok"),
            ]

    in_virtual_time(database, play())
