"""The queue: who has to wait, who is drained when, how an item ends, and what its delegation and its caller get."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.contract.world import (
    ANN,
    BOB,
    NOBODY,
    POLLY,
    Behaviour,
    World,
    a2a_text,
    after,
    answers,
    resets,
    says,
    world,
)

Database = tuple[str, str]
HELLO = {"method": "message/send", "params": {"message": {"messageId": "m1", "parts": []}}}
MESSAGE = "workspace agent busy — request queued, will dispatch when capacity available"
CAPACITY_TEXT = "Delegation queued — target at capacity"
NO_SWEEP = {"queue_sweep_interval_s": 60.0}


async def beat(it: World, *, active_tasks: int = 0, workspace: str = BOB) -> None:
    body = {"workspace_id": workspace, "active_tasks": active_tasks}
    assert await it.post("/registry/heartbeat", body) == (200, {"status": "ok"})


async def send(it: World, message_id: str = "m1", *, caller: str | None = ANN, **params: Any) -> tuple[int, Any]:
    body = {"method": "message/send", "params": {"message": {"messageId": message_id, "parts": []}, **params}}
    return await it.post(f"/workspaces/{BOB}/a2a", body, **({"X_Workspace_ID": caller} if caller else {}))


async def held(it: World, message_id: str = "m1", **params: Any) -> str:
    """A message that waits in the queue; its item."""
    status, answer = await send(it, message_id, **params)
    assert status == 202
    return str(answer["queue_id"])


async def waiting(it: World, **body: Any) -> str:
    """A delegation that waits in the queue."""
    _, answer = await it.delegate(**body)
    await it.settled(answer["delegation_id"], "queued")
    return str(answer["delegation_id"])


async def item(it: World, message_id: str) -> asyncpg.Record:
    return await it.one("SELECT * FROM a2a_queue WHERE idempotency_key = $1", message_id)


async def ended(it: World, message_id: str, status: str, *, attempts: int | None = None) -> asyncpg.Record:
    """The item, once it has the status, after so many attempts."""
    async with asyncio.timeout(8):
        while True:
            row = await item(it, message_id)
            if row["status"] == status and attempts in (None, row["attempts"]):
                return row
            await asyncio.sleep(0.01)  # the database does not call back


async def order_of(it: World) -> list[str]:
    return [request["params"]["message"]["messageId"] for request in it.bob.requests]


# Into the queue


def test_a_message_for_a_busy_target_waits(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            status, answer = await send(it)
            row = await item(it, "m1")
            assert (status, answer) == (
                202,
                {"queued": True, "queue_id": str(row["id"]), "queue_depth": 1, "message": MESSAGE},
            )
            stored = {name: row[name] for name in ("status", "priority", "attempts", "method", "expires_at")}
            assert stored == {
                "status": "queued",
                "priority": 50,
                "attempts": 0,
                "method": "message/send",
                "expires_at": None,
            }
            assert (str(row["workspace_id"]), str(row["caller_id"])) == (BOB, ANN)
            assert json.loads(row["body"])["params"]["message"]["messageId"] == "m1"
            assert row["dispatched_at"] is row["completed_at"] is row["last_error"] is None
            inbound = await it.one("SELECT status, summary FROM activity_logs")
            assert tuple(inbound) == ("ok", "message/send → bob (queued: target busy)")
            assert (await send(it, "m2", caller=None))[1]["queue_depth"] == 2
            assert (await item(it, "m2"))["caller_id"] is None
            assert it.bob.requests == []

    asyncio.run(play())


@pytest.mark.parametrize(
    ("active_tasks", "capacity", "waits"), [(0, 1, False), (1, 1, True), (2, 1, True), (1, 2, False), (2, 2, True)]
)
def test_busy_is_having_no_capacity(database: Database, active_tasks: int, capacity: int, waits: bool) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await it.rows.execute("UPDATE workspaces SET max_concurrent_tasks = $1 WHERE id = $2", capacity, BOB)
            await beat(it, active_tasks=active_tasks)
            assert (await send(it))[0] == (202 if waits else 200)
            assert len(it.bob.requests) == (0 if waits else 1)

    asyncio.run(play())


def test_a_busy_target_that_polls_gets_its_messages(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1, workspace=POLLY)
            status, answer = await it.post(f"/workspaces/{POLLY}/a2a", HELLO)
            assert (status, answer["delivery_mode"]) == (200, "poll")
            assert await it.rows.fetchval("SELECT count(*) FROM a2a_queue") == 0

    asyncio.run(play())


def test_a_message_waits_once_however_often_it_is_sent(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            answers_ = await asyncio.gather(*(send(it) for _ in range(8)))
            assert {answer["queue_id"] for _, answer in answers_} == {str((await item(it, "m1"))["id"])}
            assert {answer["queue_depth"] for _, answer in answers_} == {1}

    asyncio.run(play())


def test_an_expired_item_does_not_stand_for_a_new_message(database: Database) -> None:
    """H62."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            first = await held(it, expires_in_seconds=0.05)
            await asyncio.sleep(0.1)
            second = await held(it)
            assert first != second
            rows = await it.rows.fetch("SELECT id, status, last_error FROM a2a_queue ORDER BY enqueued_at")
            assert [(str(row[0]), *row[1:]) for row in rows] == [
                (first, "dropped", "expired in the queue"),
                (second, "queued", None),
            ]

    asyncio.run(play())


def test_a_message_that_cannot_be_queued_is_told_to_come_back(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            await it.rows.execute("ALTER TABLE a2a_queue RENAME TO gone")
            try:
                async with it.http.post(it.base + f"/workspaces/{BOB}/a2a", json=HELLO) as response:
                    assert (response.status, response.headers["Retry-After"]) == (503, "30")
                    assert await response.json() == {
                        "error": "workspace agent busy — retry after a short backoff",
                        "busy": True,
                        "retry_after": 30,
                    }
            finally:
                await it.rows.execute("ALTER TABLE gone RENAME TO a2a_queue")
            assert it.bob.requests == []

    asyncio.run(play())


def test_a_client_that_hangs_up_leaves_all_or_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            for pause_ms in range(12):
                asking = asyncio.create_task(send(it, f"m{pause_ms}"))
                await asyncio.sleep(pause_ms / 1000)
                asking.cancel()
                await asyncio.wait([asking])
            await asyncio.sleep(0.2)
            inbound = await it.rows.fetch("SELECT message_id FROM activity_logs ORDER BY message_id")
            items = await it.rows.fetch("SELECT idempotency_key FROM a2a_queue ORDER BY idempotency_key")
            assert [row[0] for row in inbound] == [row[0] for row in items]

    asyncio.run(play())


# Out of it


def test_a_heartbeat_with_capacity_drains_one_item(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("hi"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            for name in ("m1", "m2", "m3"):
                await held(it, name)
            await beat(it, active_tasks=1)
            await asyncio.sleep(0.1)
            assert it.bob.requests == []
            for number, name in enumerate(("m1", "m2", "m3"), start=1):
                await beat(it)
                row = await ended(it, name, "completed")
                assert (row["attempts"], row["last_error"]) == (1, None)
                assert row["enqueued_at"] < row["dispatched_at"] < row["completed_at"]
                await asyncio.sleep(0.1)
                assert len(it.bob.requests) == number
            inbound = await it.one("SELECT * FROM activity_logs WHERE message_id = 'm1'")
            assert (inbound["status"], json.loads(inbound["response_body"])) == ("ok", json.loads(a2a_text("hi")))

    asyncio.run(play())


def test_priority_comes_first_then_age(database: Database) -> None:
    async def play() -> None:
        async with world(database, queue_sweep_interval_s=0.05) as it:
            await beat(it, active_tasks=1)
            for name in ("old", "young", "info", "urgent"):
                await held(it, name)
            for priority, name in ((10, "info"), (100, "urgent")):
                await it.rows.execute("UPDATE a2a_queue SET priority = $1 WHERE idempotency_key = $2", priority, name)
            await beat(it)
            await ended(it, "info", "completed")
            assert await order_of(it) == ["urgent", "old", "young", "info"]

    asyncio.run(play())


@pytest.mark.parametrize("status", ["paused", "removed", "hibernated", "failed"])
def test_a_workspace_that_does_not_work_is_not_drained(database: Database, status: str) -> None:
    """D30."""

    async def play() -> None:
        async with world(database, queue_sweep_interval_s=0.05) as it:
            await beat(it, active_tasks=1)
            await held(it)
            await it.rows.execute("UPDATE workspaces SET status = $1, active_tasks = 0 WHERE id = $2", status, BOB)
            await beat(it)
            await asyncio.sleep(0.3)
            assert it.bob.requests == []
            assert (await item(it, "m1"))["attempts"] == 0

    asyncio.run(play())


def test_one_item_at_a_time(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.4, says("slow")), queue_sweep_interval_s=0.05) as it:
            await beat(it, active_tasks=1)
            for name in ("m1", "m2"):
                await held(it, name)
            await asyncio.gather(*(beat(it) for _ in range(5)))
            await it.bob.contacted.wait()
            await asyncio.sleep(0.2)
            assert await order_of(it) == ["m1"]
            await ended(it, "m2", "completed")
            assert await order_of(it) == ["m1", "m2"]

    asyncio.run(play())


BUSY_ONCE_CLAIMED = """
CREATE FUNCTION busy_once_claimed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE workspaces SET active_tasks = 1 WHERE id = NEW.workspace_id;
    RETURN NULL;
END $$;
CREATE TRIGGER busy_once_claimed AFTER UPDATE ON a2a_queue
    FOR EACH ROW WHEN (NEW.status = 'dispatched') EXECUTE FUNCTION busy_once_claimed()
"""


def test_a_target_that_is_busy_again_keeps_its_item_and_its_attempts(database: Database) -> None:
    """D1."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            await held(it)
            await it.rows.execute(BUSY_ONCE_CLAIMED)
            try:
                await beat(it)
                await asyncio.sleep(0.2)
            finally:
                await it.rows.execute("DROP FUNCTION busy_once_claimed CASCADE")
            assert await it.rows.fetchval("SELECT active_tasks FROM workspaces WHERE id = $1", BOB) == 1
            row = await item(it, "m1")
            assert (row["status"], row["attempts"], row["dispatched_at"]) == ("queued", 0, None)
            assert it.bob.requests == []
            await beat(it)
            assert (await ended(it, "m1", "completed"))["attempts"] == 1

    asyncio.run(play())


def test_a_moved_agent_is_found(database: Database) -> None:
    """H58."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await send(it, "m0")
            await beat(it, active_tasks=1)
            await held(it)
            it.bob.stop()
            it.bob.port = 0
            await it.bob.start()
            await it.rows.execute("UPDATE workspaces SET url = $1 WHERE id = $2", it.bob.url, BOB)
            await beat(it)
            await ended(it, "m1", "completed")

    asyncio.run(play())


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

    asyncio.run(play())


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
        async with world(database, behaviour, says("no"), queue_sweep_interval_s=0.05) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await beat(it)
            row = await ended(it, d, item_status)
            assert (row["attempts"], row["last_error"]) == (1, error)
            await asyncio.sleep(0.2)
            assert len(it.bob.requests) == 1
            delegate = await it.one("SELECT * FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate'", d)
            assert (delegate["status"], delegate["error_detail"]) == (status, detail)
            if status == "failed":
                assert (await it.kinds(d))[-1] == ("a2a_receive", "delegate_result", "error")
                assert (await it.events(d))[-1] == (
                    "DELEGATION_FAILED",
                    {"delegation_id": d, "target_id": BOB, "error": detail, "via": "queue_drain"},
                )

    asyncio.run(play())


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

    asyncio.run(play())


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

    asyncio.run(play())


def test_a_report_that_comes_first_keeps_the_drained_reply_out(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(0.3, says("too late")), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await beat(it)
            await it.bob.contacted.wait()
            await reported(it, d)
            await ended(it, d, "completed")
            result = await it.one("SELECT response_body FROM activity_logs WHERE delegation_id = $1 "
                                  "AND activity_type = 'delegation' AND method = 'delegate_result'", d)  # fmt: skip
            assert json.loads(result[0])["text"] == "by other means"

    asyncio.run(play())


# Dropping


async def expire(it: World, d: str) -> None:
    await it.rows.execute("UPDATE a2a_queue SET expires_at = enqueued_at WHERE idempotency_key = $1", d)


async def grow_old(it: World, d: str) -> None:
    await it.rows.execute(
        "UPDATE a2a_queue SET enqueued_at = $1 WHERE idempotency_key = $2", datetime.now(UTC) - timedelta(hours=2), d
    )
    assert await it.post("/admin/a2a-queue/drop-stale", {}) == (200, {"dropped": 1})


@pytest.mark.parametrize(
    ("drop", "reason"), [(expire, "expired in the queue"), (grow_old, "dropped from the queue: older than 60 min")]
)
def test_a_dropped_item_fails_its_delegation(
    database: Database, drop: Callable[[World, str], Awaitable[None]], reason: str
) -> None:
    async def play() -> None:
        async with world(database, queue_sweep_interval_s=0.05) as it:
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

    asyncio.run(play())


@pytest.mark.parametrize("value", ["0", "-5", "x", "1.5", "9" * 30])
def test_drop_stale_checks_its_arguments(database: Database, value: str) -> None:
    async def play() -> None:
        async with world(database) as it:
            status, _ = await it.post(f"/admin/a2a-queue/drop-stale?max_age_minutes={value}", {})
            assert status == 400
            assert (await it.post("/admin/a2a-queue/drop-stale?workspace_id=bob", {}))[0] == 400

    asyncio.run(play())


def test_drop_stale_is_for_the_operator_and_keeps_to_its_bounds(database: Database) -> None:
    async def play() -> None:
        async with world(database, admin_token="root", **NO_SWEEP) as it:
            await it.rows.execute("UPDATE workspaces SET active_tasks = 1 WHERE id = $1", BOB)
            await held(it)
            an_hour_ago = datetime.now(UTC) - timedelta(minutes=61)
            await it.rows.execute("UPDATE a2a_queue SET enqueued_at = $1", an_hour_ago)
            path = "/admin/a2a-queue/drop-stale"
            assert await it.post(path, {}) == (401, {"error": "missing admin auth token"})
            wrong, right = ({"Authorization": f"Bearer {token}"} for token in ("x", "root"))
            assert await it.post(path, {}, **wrong) == (401, {"error": "invalid admin auth token"})
            for query, dropped in [("?max_age_minutes=62", 0), (f"?workspace_id={ANN}", 0), ("", 1), ("", 0)]:
                assert await it.post(path + query, {}, **right) == (200, {"dropped": dropped})

    asyncio.run(play())


# Asking how an item fares


def test_an_item_is_shown_to_its_parties(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("hi"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            queue_id = await held(it)
            path = f"/workspaces/{BOB}/a2a/queue/{queue_id}"
            missing = (404, {"error": "queue item not found"})
            for party in (ANN, BOB):
                status, shown = await it.get(path, **{"X-Workspace-ID": party})
                assert (status, shown.pop("enqueued_at")[:2]) == (200, "20")
                assert shown == {
                    "queue_id": queue_id,
                    "workspace_id": BOB,
                    "status": "queued",
                    "priority": 50,
                    "attempts": 0,
                }
            assert await it.get(path) == missing
            assert await it.get(path, **{"X-Workspace-ID": POLLY}) == missing
            for elsewhere in (f"/workspaces/{ANN}/a2a/queue/{queue_id}", f"/workspaces/{BOB}/a2a/queue/{NOBODY}"):
                assert await it.get(elsewhere, **{"X-Workspace-ID": ANN}) == missing
            assert await it.get(f"/workspaces/{BOB}/a2a/queue/x", **{"X-Workspace-ID": ANN}) == missing
            await beat(it)
            await ended(it, "m1", "completed")
            _, shown = await it.get(path, **{"X-Workspace-ID": ANN})
            assert (shown["status"], shown["attempts"]) == ("completed", 1)
            assert {"dispatched_at", "completed_at"} < shown.keys()
            assert shown["response_body"] == json.loads(a2a_text("hi"))

    asyncio.run(play())


def test_a_party_with_a_token_has_to_show_it(database: Database) -> None:
    async def play() -> None:
        async with world(database, admin_token="root", **NO_SWEEP) as it:
            await it.rows.execute("UPDATE workspaces SET active_tasks = 1 WHERE id = $1", BOB)
            queue_id = await held(it)
            for number, (owner, token) in enumerate([(ANN, "of ann"), (POLLY, "of polly")]):
                await it.rows.execute(
                    "INSERT INTO workspace_auth_tokens (id, workspace_id, token_hash, prefix, created_at) "
                    "VALUES ($1, $2, $3, 'of', $4)",
                    f"00000000-0000-4000-8000-0000000000{number:02}",
                    owner,
                    hashlib.sha256(token.encode()).digest(),
                    datetime.now(UTC),
                )
            path = f"/workspaces/{BOB}/a2a/queue/{queue_id}"
            for headers, status in [
                ({"X-Workspace-ID": ANN}, 401),
                ({"Authorization": "Bearer of ann"}, 200),
                ({"Authorization": "Bearer of polly", "X-Workspace-ID": ANN}, 404),
                ({"Authorization": "Bearer nobody's", "X-Workspace-ID": ANN}, 404),
                ({"Authorization": "Bearer root"}, 200),
            ]:
                assert (await it.get(path, **headers))[0] == status

    asyncio.run(play())


# Restarts and a database that fails


def test_what_was_claimed_and_never_sent_is_sent_after_a_restart(database: Database) -> None:
    async def play() -> None:
        async with world(database, queue_sweep_interval_s=0.05) as it:
            await beat(it, active_tasks=1)
            d = await waiting(it)
            await it.rows.execute("UPDATE a2a_queue SET status = 'dispatched', attempts = 5, claim_id = $1", NOBODY)
            await it.restart()
            await it.rows.execute("UPDATE workspaces SET active_tasks = 0 WHERE id = $1", BOB)
            assert await it.settled(d) == "completed"
            assert (await item(it, d))["attempts"] == 5

    asyncio.run(play())


def test_what_may_have_been_sent_fails_after_a_restart(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(30, says("late")), **NO_SWEEP) as it:
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

    asyncio.run(play())


@pytest.mark.parametrize("fault", ["lose", "ack"])
@pytest.mark.parametrize("at", range(1, 15))
def test_a_drain_survives_the_loss_of_any_message_to_the_database(database: Database, at: int, fault: str) -> None:
    """The claim, the gates, the mark, the inbound row, the stitch: whichever it is, one delivery and one outcome."""

    async def play() -> None:
        async with world(database, database_pool_size=1, queue_sweep_interval_s=0.1) as it:
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

    asyncio.run(play())
