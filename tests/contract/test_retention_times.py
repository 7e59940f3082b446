"""When activity is pruned: soon after the start, then at its interval."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import BOB, World, world

HOUR_S = 3600.0
ADD = """
INSERT INTO activity_logs (id, workspace_id, activity_type, status, created_at) VALUES ($1, $2, 'agent_log', 'ok', $3)
"""


async def add_old(it: World) -> None:
    await it.rows.execute(ADD, it.new_id(), BOB, it.now - timedelta(days=8))


async def left(it: World) -> int:
    return int(await it.rows.fetchval("SELECT count(*) FROM activity_logs"))


def test_activity_is_pruned_four_minutes_after_the_start_and_then_every_six_hours(database: Database) -> None:
    async def play() -> None:
        async with world(database) as it:
            await add_old(it)
            await asyncio.sleep(239)
            assert await left(it) == 1
            await asyncio.sleep(2)
            assert await left(it) == 0
            await add_old(it)
            await asyncio.sleep(6 * HOUR_S - 2)
            assert await left(it) == 1
            await asyncio.sleep(2)
            assert await left(it) == 0

    in_virtual_time(database, play())
