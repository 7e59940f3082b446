"""SIGTERM (decisions, §5): running executions get their grace, and the next start recovers the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import aiohttp
import pytest

from tests.contract.agents import after, says
from tests.contract.database import Database
from tests.contract.virtual import in_virtual_time
from tests.contract.world import ANN, BOB, World, exactly, world

COMMAND = (sys.executable, "-m", "reference_impl")
UNKNOWN = "delivery_unknown: broker restarted while the request was in flight"


async def rows_of(it: World, d: str, status: str) -> None:
    assert await it.kinds(d) == [
        ("delegation", "delegate", status),
        ("delegation", "delegate_result", status),
        ("a2a_receive", "delegate_result", "ok" if status == "completed" else "error"),
    ]


def test_what_ends_within_the_grace_ends_well_and_the_rest_is_recovered(database: Database) -> None:
    async def play() -> None:
        async with world(database, after(5, says("in time")), after(3600, says("never"))) as it:
            ids = []
            for _ in range(2):
                _, body = await it.delegate()
                ids.append(body["delegation_id"])
                await it.settled(ids[-1], "dispatched")
                await asyncio.sleep(1)
                assert len(it.bob.requests) == len(ids)
            base = it.base
            stopping = asyncio.create_task(it.broker.stop())
            began_s = it.time_s
            assert await it.settled(ids[0]) == "completed"
            assert not stopping.done()
            with pytest.raises(aiohttp.ClientConnectorError):
                await it.http.get(base + "/health")
            await stopping
            assert it.time_s - began_s == exactly(it.config.grace_s)
            await rows_of(it, ids[0], "completed")
            assert await it.status(ids[1]) == "dispatched"
            await it.restart()
            assert await it.status(ids[1]) == "failed"
            await rows_of(it, ids[1], "failed")
            assert (await it.events(ids[1]))[-1][1]["error"] == UNKNOWN
            await rows_of(it, ids[0], "completed")
            assert len(it.bob.requests) == 2

    in_virtual_time(database, play())


def test_a_stop_with_nothing_to_wait_for_is_quick(database: Database) -> None:
    async def play() -> None:
        async with world(
            database,
        ) as it:
            _, body = await it.delegate()
            await it.settled(body["delegation_id"])
            with it.takes(0):
                await it.broker.stop()

    in_virtual_time(database, play())


def test_sweeper_and_retention_do_not_keep_a_stop_waiting_on_a_silent_database(database: Database) -> None:
    async def play() -> None:
        async with world(database, database_timeout_s=3600.0) as it:
            order = {"target_id": BOB, "task": "t", "delegation_id": "d-1"}
            await it.post(f"/workspaces/{ANN}/delegations/record", order)
            it.wire.silence()
            await it.rows.execute("UPDATE delegations SET deadline = created_at")
            # Retention begins after four minutes, the sweeper after five.
            await asyncio.sleep(it.config.sweeper_interval_s + 30)
            with it.takes(0):
                await it.broker.stop()
            it.wire.heal()
            await it.restart()
            await rows_of(it, "d-1", "failed")

    in_virtual_time(database, play())


def test_sigterm_lets_the_service_finish_what_it_executes(database: Database) -> None:
    async def play() -> None:
        async with world(database.on_real_sockets(), after(1.0, says("in time"))) as it:
            await it.broker.stop()
            environment = {
                **os.environ,
                "PORT": "0",
                "DATABASE_URL": it.config.database_url,
                "BROKER_ENV": "development",
                "BROKER_ALLOW_LOOPBACK": "1",
            }
            service = await asyncio.create_subprocess_exec(*COMMAND, env=environment, stderr=asyncio.subprocess.PIPE)
            assert service.stderr is not None
            while b"listening on port" not in (line := await service.stderr.readline()):
                assert line, "the service ended early"
            port = int(line.rsplit(b" ", 1)[1])
            url = f"http://127.0.0.1:{port}/workspaces/{ANN}/delegate"
            async with it.http.post(url, json={"target_id": BOB, "task": "t"}) as response:
                d = (await response.json())["delegation_id"]
            await it.bob.contacted.wait()
            service.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert await service.wait() == 0
            assert 0.5 < time.monotonic() - began < 5
            await rows_of(it, d, "completed")

    asyncio.run(play())
