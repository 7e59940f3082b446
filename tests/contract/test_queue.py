"""The queue: who has to wait, and who is drained when."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from itertools import pairwise

import asyncpg
import pytest

from reference_impl.queue import claim
from tests.contract.agents import a2a_text, after, says
from tests.contract.database import Database
from tests.contract.queue_steps import HELLO, NO_SWEEP, beat, ended, held, item, order_of, send
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, exactly, world

MESSAGE = "workspace agent busy — request queued, will dispatch when capacity available"

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

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


def test_a_busy_target_that_polls_gets_its_messages(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1, workspace=POLLY)
            status, answer = await it.post(f"/workspaces/{POLLY}/a2a", HELLO)
            assert (status, answer["delivery_mode"]) == (200, "poll")
            assert await it.rows.fetchval("SELECT count(*) FROM a2a_queue") == 0

    in_virtual_time(database, play())


def test_a_message_waits_once_however_often_it_is_sent(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            answers_ = await asyncio.gather(*(send(it) for _ in range(8)))
            assert {answer["queue_id"] for _, answer in answers_} == {str((await item(it, "m1"))["id"])}
            assert {answer["queue_depth"] for _, answer in answers_} == {1}

    in_virtual_time(database, play())


def test_an_expired_item_does_not_stand_for_a_new_message(database: Database) -> None:
    """H62."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            first = await held(it, expires_in_seconds=60)
            await asyncio.sleep(61)
            second = await held(it)
            assert first != second
            rows = await it.rows.fetch("SELECT id, status, last_error FROM a2a_queue ORDER BY enqueued_at")
            assert [(str(row[0]), *row[1:]) for row in rows] == [
                (first, "dropped", "expired in the queue"),
                (second, "queued", None),
            ]

    in_virtual_time(database, play())


@pytest.mark.parametrize("lifetime", [None, 0, -1, True, "60", [60], 1e300])
def test_a_lifetime_that_is_none_is_for_ever(database: Database, lifetime: object) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            await held(it, expires_in_seconds=lifetime)
            assert (await item(it, "m1"))["expires_at"] is None
            await asyncio.sleep(600)
            assert (await item(it, "m1"))["status"] == "queued"

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


def test_a_client_that_hangs_up_leaves_all_or_nothing(database: Database) -> None:
    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            for pause_us in range(0, 6000, 100):
                asking = asyncio.create_task(send(it, f"m{pause_us}"))
                await asyncio.sleep(pause_us / 1e6)
                asking.cancel()
                await asyncio.wait([asking])
            await asyncio.sleep(60)
            inbound = await it.rows.fetch("SELECT message_id FROM activity_logs ORDER BY message_id")
            items = await it.rows.fetch("SELECT idempotency_key FROM a2a_queue ORDER BY idempotency_key")
            assert [row[0] for row in inbound] == [row[0] for row in items]
            assert 0 < len(items) < 60

    in_virtual_time(database, play())


# Out of it


def test_a_heartbeat_with_capacity_drains_one_item(database: Database) -> None:
    async def play() -> None:
        async with world(database, says("hi"), **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            for name in ("m1", "m2", "m3"):
                await held(it, name)
            await beat(it, active_tasks=1)
            await asyncio.sleep(60)
            assert it.bob.requests == []
            for number, name in enumerate(("m1", "m2", "m3"), start=1):
                await beat(it)
                row = await ended(it, name, "completed")
                assert (row["attempts"], row["last_error"]) == (1, None)
                assert row["enqueued_at"] < row["dispatched_at"] < row["completed_at"]
                await asyncio.sleep(60)
                assert len(it.bob.requests) == number
            inbound = await it.one("SELECT * FROM activity_logs WHERE message_id = 'm1'")
            assert (inbound["status"], json.loads(inbound["response_body"])) == ("ok", json.loads(a2a_text("hi")))

    in_virtual_time(database, play())


def test_priority_comes_first_then_age(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            for name in ("old", "young", "info", "urgent"):
                await held(it, name)
            for priority, name in ((10, "info"), (100, "urgent")):
                await it.rows.execute("UPDATE a2a_queue SET priority = $1 WHERE idempotency_key = $2", priority, name)
            await beat(it)
            await ended(it, "info", "completed")
            assert await order_of(it) == ["urgent", "old", "young", "info"]
            assert [later - earlier for earlier, later in pairwise(it.bob.times)] == [exactly(10)] * 3

    in_virtual_time(database, play())


@pytest.mark.parametrize("status", ["paused", "removed", "hibernated", "failed"])
def test_a_workspace_that_does_not_work_is_not_drained(database: Database, status: str) -> None:
    """D30."""

    async def play() -> None:
        async with world(database) as it:
            await beat(it, active_tasks=1)
            await held(it)
            await it.rows.execute("UPDATE workspaces SET status = $1, active_tasks = 0 WHERE id = $2", status, BOB)
            await beat(it)
            await asyncio.sleep(60)
            assert it.bob.requests == []
            assert (await item(it, "m1"))["attempts"] == 0

    in_virtual_time(database, play())


def test_one_item_at_a_time(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(60, says("slow"))) as it:
            await beat(it, active_tasks=1)
            for name in ("m1", "m2"):
                await held(it, name)
            await asyncio.gather(*(beat(it) for _ in range(5)))
            await it.bob.contacted.wait()
            await asyncio.sleep(50)
            assert await order_of(it) == ["m1"]
            await ended(it, "m2", "completed")
            assert await order_of(it) == ["m1", "m2"]
            assert it.bob.times[1] - it.bob.times[0] >= 60

    in_virtual_time(database, play())


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
                await asyncio.sleep(50)
            finally:
                await it.rows.execute("DROP FUNCTION busy_once_claimed CASCADE")
            assert await it.rows.fetchval("SELECT active_tasks FROM workspaces WHERE id = $1", BOB) == 1
            row = await item(it, "m1")
            assert (row["status"], row["attempts"], row["dispatched_at"]) == ("queued", 0, None)
            assert it.bob.requests == []
            await beat(it)
            assert (await ended(it, "m1", "completed"))["attempts"] == 1

    in_virtual_time(database, play())


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

    in_virtual_time(database, play())


def test_two_claims_at_once_take_two_items(database: Database) -> None:
    """INV-73: while one claim is not committed yet, another takes the next item and does not wait."""

    async def play() -> None:
        async with world(database, **NO_SWEEP) as it:
            await beat(it, active_tasks=1)
            first, second = await held(it, "m1"), await held(it, "m2")
            # Capacity again, said behind the broker's back, so that nothing is drained.
            await it.rows.execute("UPDATE workspaces SET active_tasks = 0")
            at = datetime(2026, 1, 1, tzinfo=UTC)
            one, other = [await asyncpg.connect(it.config.database_url) for _ in range(2)]
            try:
                async with asyncio.timeout(5), one.transaction():
                    taken = await claim(one, BOB, claim_id=str(uuid.uuid4()), at=at)
                    next_one = await claim(other, BOB, claim_id=str(uuid.uuid4()), at=at)
                assert taken is not None and next_one is not None
                assert [taken.id, next_one.id] == [first, second]
                assert await claim(other, BOB, claim_id=str(uuid.uuid4()), at=at) is None
            finally:
                one.terminate()
                other.terminate()

    in_virtual_time(database, play())
