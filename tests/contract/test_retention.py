"""Activity retention: what is old goes, in batches; what is open, and the ledger, stay."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from reference_impl.retention import Retention
from reference_impl.store import Store
from tests.contract.database import Database
from tests.contract.queue_steps import NO_SWEEP
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, POLLY, Clock, World, world

AGED = "UPDATE activity_logs SET created_at = created_at - interval '8 days'"
LOG = """
INSERT INTO activity_logs (id, workspace_id, activity_type, status, created_at)
VALUES ($1, $2, 'agent_log', 'ok', $3)
"""


async def add_logs(it: World, count: int, *, age_days: float) -> None:
    at = it.now - timedelta(days=age_days)
    await it.rows.executemany(LOG, [(it.new_id(), BOB, at) for _ in range(count)])


async def prune(it: World, *, batch_rows: int = 500, days: float = 7.0) -> int:
    store = await Store.open(it.config.database_url, timeout_s=5.0, size=1)
    try:
        config = replace(it.config, activity_retention_days=days)
        return await Retention(config=config, store=store, clock=Clock(), batch_rows=batch_rows).prune()
    finally:
        await store.close()


def test_rows_past_their_age_are_pruned_in_batches(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await add_logs(it, 7, age_days=7.1)
            await add_logs(it, 2, age_days=6.9)
            assert await prune(it, batch_rows=3) == 7
            assert await it.rows.fetchval("SELECT count(*) FROM activity_logs") == 2
            assert await prune(it, days=6.8) == 2

    in_virtual_time(database, play())


def test_what_a_delegation_left_is_gone_after_seven_days(database: Database) -> None:
    async def play() -> None:
        async with world(database, sweeper_interval_s=1e6, **NO_SWEEP) as it:
            d = (await it.delegate())[1]["delegation_id"]
            await it.settled(d)
            await asyncio.sleep(7 * 24 * 3600 - 60)
            assert len(await it.kinds(d)) == 3
            await asyncio.sleep(6 * 3600 + 60)
            assert await it.kinds(d) == []
            (entry,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert (entry["delegation_id"], entry["status"]) == (d, "completed")

    in_virtual_time(database, play())


def test_what_belongs_to_an_open_delegation_stays(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, waiting = await it.delegate(target=POLLY)
            _, done = await it.delegate()
            await it.settled(waiting["delegation_id"], "queued")
            await it.settled(done["delegation_id"])
            order = {"target_id": BOB, "task": "t", "delegation_id": "d-1"}
            await it.post(f"/workspaces/{ANN}/delegations/record", order)
            await it.rows.execute(AGED)
            # Of the finished one: delegate, result and inbox row, and the message at its target.
            assert await prune(it) == 4
            assert await it.kinds(done["delegation_id"]) == []
            assert await it.kinds("d-1") == [("delegation", "delegate", "dispatched")]
            assert await it.kinds(waiting["delegation_id"]) == [
                ("delegation", "delegate", "queued"),
                ("delegation", "delegate_result", "queued"),
            ]
            _, unread = await it.get(f"/workspaces/{POLLY}/activity?type=a2a_receive")
            assert len(unread) == 1
            assert await it.rows.fetchval("SELECT count(*) FROM delegations") == 3
            # It ends as it would have, and then it is old.
            report = {"status": "completed", "response_preview": "late"}
            path = f"/delegations/{waiting['delegation_id']}/update"
            assert (await it.post(f"/workspaces/{POLLY}{path}", report))[0] == 200
            assert await prune(it) == 3
            assert len(await it.kinds(waiting["delegation_id"])) == 1

    in_virtual_time(database, play())


def test_the_ledger_outlives_the_activity_and_keeps_its_keys(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            _, body = await it.delegate(idempotency_key="k")
            d = body["delegation_id"]
            await it.settled(d)
            await it.rows.execute(AGED)
            assert await prune(it) == 4
            (entry,) = (await it.get(f"/workspaces/{ANN}/delegations"))[1]
            assert (entry["delegation_id"], entry["status"], entry["response_preview"]) == (d, "completed", "done")
            status, again = await it.delegate(idempotency_key="k")
            assert (status, again["delegation_id"], again["idempotent_hit"]) == (200, d, True)
            path = f"/workspaces/{BOB}/delegations/{d}/update"
            assert (await it.post(path, {"status": "completed"}))[0] == 200
            assert (await it.post(path, {"status": "failed"}))[0] == 409
            assert await it.kinds(d) == []

    in_virtual_time(database, play())


def test_the_broker_prunes_at_its_interval_and_outlives_a_fault(database: Database) -> None:
    async def play() -> None:
        # Nothing else talks to the database.
        async with world(database, sweeper_interval_s=1e6, **NO_SWEEP) as it:
            first_s, interval_s = 240, 6 * 3600
            await add_logs(it, 3, age_days=8)
            it.wire.arm(1, "lose")
            await asyncio.sleep(first_s - 1)
            assert (it.wire.struck, await it.rows.fetchval("SELECT count(*) FROM activity_logs")) == (False, 3)
            await asyncio.sleep(interval_s)
            assert (it.wire.struck, await it.rows.fetchval("SELECT count(*) FROM activity_logs")) == (True, 3)
            await asyncio.sleep(2)
            assert (it.wire.struck, await it.rows.fetchval("SELECT count(*) FROM activity_logs")) == (True, 0)

    in_virtual_time(database, play())
