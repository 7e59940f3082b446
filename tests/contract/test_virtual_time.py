"""The worlds of these tests are functions of their seed: played twice, they are the same to the last segment."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.agents import answers, closes, says
from tests.contract.database import Database
from tests.contract.virtual import simulation
from tests.contract.world import BOB, POLLY, world

RESTARTING = answers(b'{"error":"restarting","restarting":true}', status="503 Busy")


def played(database: Database, *, seed: int) -> tuple[str, list[Any]]:
    """The trace's hash and everything that was stored, of an hour with a bit of everything in it."""

    async def play() -> list[Any]:
        async with world(database, RESTARTING, says("done"), closes, says("late")) as it:
            await it.watch()
            delegated = [(await it.delegate(task=f"task {number}"))[1]["delegation_id"] for number in range(3)]
            await it.delegate(target=POLLY, idempotency_key="k")
            for each in delegated:
                await it.settled(each)
            await it.post("/registry/heartbeat", {"workspace_id": BOB, "active_tasks": 1})
            _, waiting = await it.delegate()
            await it.settled(waiting["delegation_id"], "queued")
            it.wire.arm(9, "ack")
            await it.post("/registry/heartbeat", {"workspace_id": BOB})
            await it.settled(waiting["delegation_id"])
            await it.restart()
            await asyncio.sleep(3600)
            return [await it.rows.fetch(f"SELECT * FROM {table} t ORDER BY t::text") for table in it.tables]

    with simulation(database, seed=seed) as made:
        stored = made.run(play())
        return made.trace_hash(), stored


def test_the_same_seed_is_the_same_world(database: Database) -> None:
    first = played(database, seed=1)
    assert first == played(database, seed=1)
    assert first[0] != played(database, seed=2)[0]
